//! Functions of sprig that this gateway does not offer. What they make differs at every rendering, so that
//! two replicas of one configuration would not have the same secret; and they need libraries of their own.

use super::{Entry, Failure, Given, Host};
use crate::config::template::value::Value;

const fn no(name: &'static str) -> Entry {
    Entry {
        name,
        params: "A*",
        call: refuse,
    }
}

pub(super) const TABLE: &[Entry] = &[
    no("bcrypt"),
    no("htpasswd"),
    no("derivePassword"),
    no("genPrivateKey"),
    no("buildCustomCert"),
    no("genCA"),
    no("genCAWithKey"),
    no("genSelfSignedCert"),
    no("genSelfSignedCertWithKey"),
    no("genSignedCert"),
    no("genSignedCertWithKey"),
];

fn refuse(_: &mut Host<'_>, _: &[Value]) -> Given {
    let failure =
        Failure::from("keys, certificates and password hashes are not made by templates here");
    Err(failure.hint("make them once and outside, and put the result into a settings file, a partial or the environment"))
}
