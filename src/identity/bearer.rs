//! Where a request has its token: a field first, then a cookie (reference/krakend-components section 1.1, step 1).
//!
//! As in KrakenD, `Bearer` may be written in any case, a token may stand there without it, and a field that holds
//! something else is not made up for by a cookie. Differs from it natively: a field that stands twice is refused, since
//! somebody behind us may believe the other one.

use std::borrow::Cow;

use http::header::{self, HeaderName};

use crate::base::{Dialect, Error, Reason};
use crate::gateway::head::Head;

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    field: HeaderName,
    cookie: Box<str>,
    dialect: Dialect,
}

/// The scheme with the space behind it.
const SCHEME: &[u8] = b"bearer ";

impl Bearer {
    /// Looks into this field, and into this cookie when the field is missing or empty; an empty name is no cookie.
    pub fn new(field: HeaderName, cookie: &str, dialect: Dialect) -> Self {
        Self {
            field,
            cookie: cookie.into(),
            dialect,
        }
    }

    /// The field.
    pub const fn field(&self) -> &HeaderName {
        &self.field
    }

    /// What came as a token; it may be anything.
    ///
    /// # Errors
    /// [`Reason::CredentialsMissing`] when nothing came, or something of another scheme;
    /// [`Reason::TokenMalformed`] when two did.
    pub fn find<'h>(&self, head: &'h dyn Head) -> Result<Cow<'h, [u8]>, Error> {
        let value = head.header(&self.field).unwrap_or_default().trim_ascii();
        if value.is_empty() {
            return self.in_cookie(head);
        }
        if self.dialect == Dialect::Native {
            self.once(head)?;
            return native(value).map(Cow::Borrowed);
        }
        Ok(Cow::Borrowed(krakend(value)))
    }

    fn once(&self, head: &dyn Head) -> Result<(), Error> {
        let mut times = 0;
        head.each(&mut |name, _| {
            times += u32::from(name.eq_ignore_ascii_case(self.field.as_str()));
        });
        if times > 1 {
            let told = "the field with the token stands there more than once";
            return Err(Error::new(Reason::TokenMalformed, told));
        }
        Ok(())
    }

    /// The first cookie of the name, in whichever of the fields it is.
    fn in_cookie<'h>(&self, head: &'h dyn Head) -> Result<Cow<'h, [u8]>, Error> {
        let name = self.cookie.as_bytes();
        let missing = || Error::from(Reason::CredentialsMissing);
        let first = head.header(&header::COOKIE).filter(|_| !name.is_empty());
        if let Some(value) = cookie(first.ok_or_else(missing)?, name) {
            return Ok(Cow::Borrowed(value));
        }
        let mut found: Option<Vec<u8>> = None;
        head.each(&mut |field, value| {
            if found.is_none() && field.eq_ignore_ascii_case("cookie") {
                found = cookie(value, name).map(<[u8]>::to_vec);
            }
        });
        found.map(Cow::Owned).ok_or_else(missing)
    }
}

/// KrakenD takes the whole value for a token where there is no scheme, whatever it is.
fn krakend(value: &[u8]) -> &[u8] {
    match value.split_at_checked(SCHEME.len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(SCHEME) && !token.is_empty() => token,
        _ => value,
    }
}

fn native(value: &[u8]) -> Result<&[u8], Error> {
    let space = |byte: &u8| byte.is_ascii_whitespace();
    let end = value.iter().position(space).unwrap_or(value.len());
    let (word, rest) = value.split_at(end);
    let rest = rest.trim_ascii_start();
    if word.eq_ignore_ascii_case(b"bearer") && !rest.is_empty() {
        return Ok(rest);
    }
    // One word is a token; JSON serializations may have spaces.
    let bare = (rest.is_empty() || word.starts_with(b"{")) && !word.eq_ignore_ascii_case(b"bearer");
    if bare {
        return Ok(value);
    }
    let told = "the field with the token holds something of another kind";
    Err(Error::new(Reason::CredentialsMissing, told))
}

/// The value of a cookie (RFC 6265 section 5.4), without the quotes around it; an empty one is none.
fn cookie<'v>(field: &'v [u8], name: &[u8]) -> Option<&'v [u8]> {
    let pairs = field.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let value = pairs.into_iter().find_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (own, value) = pair.split_at(at);
        (own.trim_ascii() == name).then(|| value.get(1..).unwrap_or_default())
    })?;
    let value = value.trim_ascii();
    let quoted = value
        .strip_prefix(b"\"")
        .and_then(|v| v.strip_suffix(b"\""));
    Some(quoted.unwrap_or(value)).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::plain::Plain;

    fn find(fields: &[(&str, &str)], dialect: Dialect) -> Result<String, Reason> {
        let head = Plain::get("/").fields(fields);
        let bearer = Bearer::new(header::AUTHORIZATION, "tok", dialect);
        let found = bearer.find(&head);
        found
            .map(|token| String::from_utf8(token.into_owned()).unwrap())
            .map_err(|error| error.reason)
    }

    const BOTH: [Dialect; 2] = [Dialect::Native, Dialect::Krakend];

    #[test]
    fn a_token_stands_behind_the_scheme_or_alone() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c", "a.b.c"] {
            for dialect in BOTH {
                let found = find(&[("Authorization", value)], dialect);
                assert_eq!(found.as_deref(), Ok("a.b.c"), "{value:?}");
            }
        }
        let found = find(&[("Authorization", "Bearer \t a.b.c")], Dialect::Native);
        assert_eq!(found.as_deref(), Ok("a.b.c"));
    }

    #[test]
    fn another_scheme_is_no_token_and_no_cookie_makes_up_for_it() {
        let fields = [("Authorization", "Basic eHl6"), ("Cookie", "tok=c")];
        let found = find(&fields, Dialect::Native);
        assert_eq!(found, Err(Reason::CredentialsMissing));
        let found = find(&fields, Dialect::Krakend);
        assert_eq!(found.as_deref(), Ok("Basic eHl6"), "refused by its form");
        for value in ["Bearer", "bearer "] {
            let found = find(
                &[("Authorization", value), ("Cookie", "tok=c")],
                Dialect::Native,
            );
            assert_eq!(found, Err(Reason::CredentialsMissing), "{value:?}");
        }
    }

    #[test]
    fn cookies_count_where_there_is_no_field() {
        for (fields, token) in [
            (&[("Cookie", "a=1; tok=t1; tok=t2")][..], "t1"),
            (&[("Cookie", "tok=\"t1\"")][..], "t1"),
            (&[("Cookie", "xtok=0;tok = t1")][..], "t1"),
            (&[("Cookie", "a=1"), ("Cookie", "tok=t1")][..], "t1"),
            (&[("Authorization", ""), ("Cookie", "tok=a=b")][..], "a=b"),
            (
                &[("Authorization", "Bearer t0"), ("Cookie", "tok=t1")][..],
                "t0",
            ),
        ] {
            for dialect in BOTH {
                let found = find(fields, dialect);
                assert_eq!(found.as_deref(), Ok(token), "{fields:?}");
            }
        }
        for fields in [
            &[][..],
            &[("Cookie", "")],
            &[("Cookie", "tok")],
            &[("Cookie", "tok=")],
            &[("Cookie", "TOK=t1")],
            &[("X-Authorization", "Bearer t1")],
        ] {
            for dialect in BOTH {
                let found = find(fields, dialect);
                assert_eq!(found, Err(Reason::CredentialsMissing), "{fields:?}");
            }
        }
    }

    #[test]
    fn two_fields_are_one_too_many() {
        let fields = [("Authorization", "Bearer a"), ("authorization", "Bearer b")];
        let found = find(&fields, Dialect::Native);
        assert_eq!(found, Err(Reason::TokenMalformed));
        assert_eq!(find(&fields, Dialect::Krakend).as_deref(), Ok("a"));
    }

    #[test]
    fn any_field_may_hold_it() {
        let head = Plain::get("/").fields(&[("X-Token", "a.b.c"), ("Authorization", "Bearer x")]);
        let bearer = Bearer::new(HeaderName::from_static("x-token"), "", Dialect::Native);
        assert_eq!(&*bearer.find(&head).unwrap(), b"a.b.c");
        let head = Plain::get("/").fields(&[("Cookie", "=x; access_token=y")]);
        assert!(bearer.find(&head).is_err(), "no name, no cookie");
    }
}
