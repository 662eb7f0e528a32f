//! A request head as policy sees it: never Pingora's types, so that every lane shares one policy.

use crate::net::Certificate;
use http::{HeaderName, Method};
use std::net::IpAddr;
use std::sync::Arc;

/// What is known of a body before it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodySize {
    /// No body at all.
    #[default]
    None,
    /// `Content-Length`.
    Known(u64),
    /// Chunked, or HTTP/2 without a length.
    Unknown,
}

/// A read-only request head.
pub trait Head: Send + Sync {
    /// The method.
    fn method(&self) -> &Method;
    /// The path as received, still percent-encoded, without the query.
    fn path(&self) -> &[u8];
    /// The query as received, without `?`; `None` when there is no `?`.
    fn query(&self) -> Option<&[u8]>;
    /// The authority the client asked for (`Host` or `:authority`), empty if it sent none.
    fn host(&self) -> &[u8];
    /// The first value of a field.
    fn header(&self, name: &HeaderName) -> Option<&[u8]>;
    /// Calls `each` with every field in order; names in whatever case the lane keeps.
    fn each(&self, each: &mut dyn FnMut(&str, &[u8]));
    /// The address of the peer on the socket.
    fn peer(&self) -> IpAddr;
    /// Whether the connection to the client is encrypted.
    fn secure(&self) -> bool;
    /// The certificate that the client has shown, if the listener asks for one. TLS has verified it.
    fn certificate(&self) -> Option<&Arc<Certificate>> {
        None
    }
    /// The HTTP version as in `Via`: `1.0`, `1.1` or `2`.
    fn version(&self) -> &'static str;
    /// The body to come.
    fn body(&self) -> BodySize;
}
