//! A request's head as stages see it that run behind authentication: with what its caller proved in place of what it
//! says of itself. In KrakenD the fields of claims are set on the request, so that scripts and limits that go by them
//! work; here they stand beside it, and this is how they are seen.

use crate::gateway::head::{BodySize, Head};
use crate::gateway::identity::Minted;
use crate::net::Certificate;
use http::{HeaderName, Method};
use std::net::IpAddr;
use std::sync::Arc;

/// A head with minted fields over it.
pub struct Told<'a> {
    head: &'a dyn Head,
    minted: &'a [Minted],
}

impl<'a> Told<'a> {
    /// These fields take the place of the client's.
    pub const fn new(head: &'a dyn Head, minted: &'a [Minted]) -> Self {
        Self { head, minted }
    }
}

impl Head for Told<'_> {
    fn method(&self) -> &Method {
        self.head.method()
    }

    fn path(&self) -> &[u8] {
        self.head.path()
    }

    fn query(&self) -> Option<&[u8]> {
        self.head.query()
    }

    fn host(&self) -> &[u8] {
        self.head.host()
    }

    fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        match self.minted.iter().find(|field| field.name == *name) {
            Some(field) => field.values.first().map(|value| value.as_bytes()),
            None => self.head.header(name),
        }
    }

    fn each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        self.head.each(&mut |name, value| {
            let taken = |field: &Minted| field.name.as_str().eq_ignore_ascii_case(name);
            if !self.minted.iter().any(taken) {
                each(name, value);
            }
        });
        for field in self.minted {
            for value in &field.values {
                each(field.name.as_str(), value.as_bytes());
            }
        }
    }

    fn peer(&self) -> IpAddr {
        self.head.peer()
    }

    fn secure(&self) -> bool {
        self.head.secure()
    }

    fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.head.certificate()
    }

    fn version(&self) -> &'static str {
        self.head.version()
    }

    fn body(&self) -> BodySize {
        self.head.body()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::plain::Plain;
    use http::HeaderValue;

    #[test]
    fn what_was_proved_stands_in_place_of_what_was_said() {
        let minted = |name: &'static str, values: &[&'static str]| Minted {
            name: HeaderName::from_static(name),
            values: values
                .iter()
                .map(|value| HeaderValue::from_static(value))
                .collect(),
            unlisted: false,
        };
        let head = Plain::get("/a?b").fields(&[
            ("X-User-ID", "spoofed"),
            ("X-Org-Id", "spoofed"),
            ("X-Other", "kept"),
            ("x-user-id", "again"),
        ]);
        let fields = [
            minted("x-user-id", &["u1"]),
            minted("x-roles", &["a", "b"]),
            minted("x-org-id", &[]),
        ];
        let told = Told::new(&head, &fields);
        let first = |name| told.header(&HeaderName::from_static(name));
        assert_eq!(first("x-user-id"), Some(&b"u1"[..]));
        assert_eq!(first("x-org-id"), None);
        assert_eq!(first("x-other"), Some(&b"kept"[..]));
        let mut all = Vec::new();
        told.each(&mut |name, value| {
            all.push(format!("{name}={}", String::from_utf8_lossy(value)));
        });
        assert_eq!(
            all,
            ["X-Other=kept", "x-user-id=u1", "x-roles=a", "x-roles=b"]
        );
        assert_eq!((told.path(), told.query()), (&b"/a"[..], Some(&b"b"[..])));
    }
}
