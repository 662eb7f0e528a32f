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
            Self::Header(name) => head.header(name),
            Self::Cookie(name) => head.header(&COOKIE).and_then(|all| cookie(all, name)),
            Self::Address => None,
        };
        match found.filter(|value| !value.is_empty()) {
            Some(value) => hash(value),
            None => match client {
                IpAddr::V4(address) => hash(&address.octets()),
                IpAddr::V6(address) => hash(&address.octets()),
            },
        }
    }
}

/// The value of a cookie among those of one field.
pub fn cookie<'a>(all: &'a [u8], name: &str) -> Option<&'a [u8]> {
    all.split(|byte| *byte == b';').find_map(|pair| {
        let pair = pair.trim_ascii();
        pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let all = b"xsid=no; sid=a=b ;sid=late";
        assert_eq!(cookie(all, "sid"), Some(&b"a=b"[..]));
        assert_eq!(cookie(all, "si"), None);
        assert_eq!(cookie(b"", "sid"), None);
        assert_eq!(cookie(b"sid", "sid"), None);
    }
}
