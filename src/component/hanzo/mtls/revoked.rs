//! Certificates that their authorities took back (RFC 5280 section 5), from files that are read at start and at each
//! reload. They are believed as they stand: whoever can write them can write the configuration.

use crate::base::Code;
use crate::config::settings::Settings;
use crate::net::Certificate;
use crate::net::certificate::number;
use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::time::Duration;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

/// The longest file.
const MAX_FILE: u64 = 64 << 20;

/// Serial numbers by who gave them (the name as it is encoded).
#[derive(Debug, Default)]
pub(super) struct Revoked(HashMap<Box<[u8]>, HashSet<Box<[u8]>>>);

impl Revoked {
    /// Whether a certificate was taken back.
    pub(super) fn has(&self, certificate: &Certificate) -> bool {
        let all = self.0.get(&certificate.issuer_der);
        all.is_some_and(|all| all.contains(&certificate.serial))
    }

    fn take(&mut self, der: &[u8]) -> Option<i64> {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        let issuer = list.tbs_cert_list.issuer.as_raw();
        let all = self.0.entry(issuer.into()).or_default();
        let serials = list.iter_revoked_certificates();
        all.extend(serials.map(|one| Box::from(number(one.raw_serial()))));
        Some(list.next_update().map_or(i64::MAX, |at| at.timestamp()))
    }
}

/// Reads the files of `crls`; `now` is counted from the epoch.
pub(super) fn read(s: &mut Settings<'_>, now: Duration) -> Revoked {
    let mut all = Revoked::default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    for (place, path) in s.located_strings("crls") {
        let read = bytes(&path).and_then(|bytes| lists(&bytes, &mut all));
        let report = s.report();
        use crate::base::Problem;
        match read {
            Ok(until) if until < now => {
                let message = format!("{path} should have been replaced by a newer list");
                let hint = "fetch it again and reload; what it takes back stays taken back";
                report.push(Problem::warning(Code::BadValue, place, message).hint(hint));
            }
            Ok(_) => {}
            Err(why) => {
                let message = format!("{path} is no list of revoked certificates: {why}");
                let hint = "write a file in PEM (X509 CRL) or DER";
                report.push(Problem::error(Code::Unreadable, place, message).hint(hint));
            }
        }
    }
    all
}

fn bytes(path: &str) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let mut file = file.take(MAX_FILE + 1);
    file.read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE {
        return Err("it is longer than 64 MB".to_owned());
    }
    Ok(bytes)
}

/// Takes every list of a file; gives the earliest time by which one of them is out of date.
fn lists(bytes: &[u8], all: &mut Revoked) -> Result<i64, String> {
    let broken = || "it cannot be parsed".to_owned();
    if bytes.first() == Some(&0x30) {
        return all.take(bytes).ok_or_else(broken);
    }
    let mut earliest = None;
    for part in Pem::iter_from_buffer(bytes) {
        let part = part.map_err(|_| broken())?;
        if part.label != "X509 CRL" {
            continue;
        }
        let until = all.take(&part.contents).ok_or_else(broken)?;
        earliest = Some(earliest.unwrap_or(until).min(until));
    }
    earliest.ok_or_else(|| "there is none in it".to_owned())
}
