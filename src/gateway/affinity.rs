//! What keeps the requests of a caller at one host of a backend: a header field, a cookie, or the caller's address.

use crate::gateway::head::Head;
use crate::net::balance::hash;
use http::HeaderName;
use http::header::COOKIE;
use std::net::IpAddr;

/// What a request is balanced by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// A header field.
    Header(HeaderName),
    /// A cookie.
    Cookie(Box<str>),
    /// The client's address.
    Address,
}

impl Affinity {
    /// The key of a request; that of the client's address where the field or cookie is missing or empty.
    pub fn key(&self, head: &dyn Head, client: IpAddr) -> u64 {
        let found = match self {
            Self::Header(name) => hashed_header(head, name),
            Self::Cookie(name) => hashed_cookie(head, name),
            Self::Address => None,
        };
        found.unwrap_or_else(|| match client {
            IpAddr::V4(address) => hash(&address.octets()),
            IpAddr::V6(address) => hash(&address.octets()),
        })
    }
}

/// The hash of the first value of a field that is not empty.
pub fn hashed_header(head: &dyn Head, name: &HeaderName) -> Option<u64> {
    let value = head.header(name)?;
    (!value.is_empty()).then(|| hash(value))
}

/// The hash of the first value of a cookie that is not empty. HTTP/2 clients send cookies in as many fields as they
/// like (RFC 9113 section 8.2.3).
pub fn hashed_cookie(head: &dyn Head, name: &str) -> Option<u64> {
    // A cheap look before walking all fields.
    head.header(&COOKIE)?;
    let mut found = None;
    head.each(&mut |field, value| {
        if found.is_none() && field.eq_ignore_ascii_case(COOKIE.as_str()) {
            let value = cookie(value, name).filter(|value| !value.is_empty());
            found = value.map(hash);
        }
    });
    found
}

/// The value of a cookie among those of one field.
fn cookie<'a>(all: &'a [u8], name: &str) -> Option<&'a [u8]> {
    all.split(|byte| *byte == b';').find_map(|pair| {
        let pair = pair.trim_ascii();
        pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::plain::Plain;

    #[test]
    fn a_cookie_is_found_in_whichever_field_it_stands() {
        let one = Plain::get("/").fields(&[("Cookie", "a=1; sid=x; b=2")]);
        let crumbs = [("cookie", "a=7"), ("cookie", "sid=x"), ("cookie", "sid=y")];
        let crumbs = Plain::get("/").fields(&crumbs);
        assert_eq!(hashed_cookie(&crumbs, "sid"), Some(hash(b"x")));
        assert_eq!(hashed_cookie(&one, "sid"), Some(hash(b"x")));
        assert_eq!(hashed_cookie(&one, "c"), None);
        let empty = Plain::get("/").fields(&[("Cookie", "sid=")]);
        assert_eq!(hashed_cookie(&empty, "sid"), None);
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let all = b"xsid=no; sid=a=b ;sid=late";
        assert_eq!(cookie(all, "sid"), Some(&b"a=b"[..]));
        assert_eq!(cookie(all, "si"), None);
        assert_eq!(cookie(b"", "sid"), None);
        assert_eq!(cookie(b"sid", "sid"), None);
    }
}
