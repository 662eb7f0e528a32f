//! A request head of plain values: a request that nobody sent, for `explain` and for unit tests.

use crate::gateway::head::{BodySize, Head};
use http::{HeaderName, Method};
use std::net::IpAddr;

/// A request that nobody sent.
#[derive(Clone, Debug)]
pub struct Plain {
    /// Method.
    pub method: Method,
    /// Path, percent-encoded.
    pub path: Vec<u8>,
    /// Query, without `?`.
    pub query: Option<Vec<u8>>,
    /// Authority.
    pub host: Vec<u8>,
    /// Fields in order, `Host` among them if one is to be seen.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The other end of the connection.
    pub peer: IpAddr,
    /// Whether the client speaks TLS.
    pub secure: bool,
    /// The HTTP version as in `Via`.
    pub version: &'static str,
    /// Size of the body.
    pub body: BodySize,
}

impl Head for Plain {
    fn method(&self) -> &Method {
        &self.method
    }
    fn path(&self) -> &[u8] {
        &self.path
    }
    fn query(&self) -> Option<&[u8]> {
        self.query.as_deref()
    }
    fn host(&self) -> &[u8] {
        &self.host
    }
    fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        let mut fields = self.fields.iter();
        fields
            .find(|(n, _)| n.eq_ignore_ascii_case(name.as_str()))
            .map(|(_, v)| v.as_slice())
    }
    fn each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        for (name, value) in &self.fields {
            each(name, value);
        }
    }
    fn peer(&self) -> IpAddr {
        self.peer
    }
    fn secure(&self) -> bool {
        self.secure
    }
    fn version(&self) -> &'static str {
        self.version
    }
    fn body(&self) -> BodySize {
        self.body
    }
}

#[cfg(test)]
impl Plain {
    pub(crate) fn get(target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.into())),
            None => (target, None),
        };
        Self {
            method: Method::GET,
            path: path.into(),
            query,
            host: b"gw.test".to_vec(),
            fields: Vec::new(),
            peer: IpAddr::from([127, 0, 0, 1]),
            secure: false,
            version: "1.1",
            body: BodySize::None,
        }
    }

    pub(crate) fn peer_at(mut self, peer: &str) -> Self {
        self.peer = peer.parse().unwrap();
        self
    }

    pub(crate) fn fields(mut self, fields: &[(&str, &str)]) -> Self {
        self.fields.extend(
            fields
                .iter()
                .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())),
        );
        self
    }
}
