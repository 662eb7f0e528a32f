//! A request head of Pingora's as policy sees it.

use crate::gateway::head::{BodySize, Head};
use crate::net::Certificate;
use crate::net::server_tls::certificate;
use http::{HeaderName, Method, Version, header};
use pingora::http::RequestHeader;
use pingora::protocols::Digest;
use pingora::protocols::http::ServerSession;
use std::net::IpAddr;
use std::sync::Arc;

/// A view on the session's head; made anew where it is needed, copies nothing.
#[derive(Debug)]
pub struct SessionHead<'a> {
    request: &'a RequestHeader,
    path: &'a [u8],
    query: Option<&'a [u8]>,
    host: &'a [u8],
    peer: IpAddr,
    secure: bool,
    certificate: Option<&'a Arc<Certificate>>,
    body: BodySize,
}

impl<'a> SessionHead<'a> {
    /// The head of a session. `has_body` is what the session says of its body, which is all that HTTP/2
    /// has to say without a length.
    pub fn new(session: &'a ServerSession, has_body: bool) -> Self {
        let request = session.req_header();
        let (path, query) = target(request);
        let host = match request.uri.authority() {
            Some(authority) => authority.as_str().as_bytes(),
            None => request
                .headers
                .get(header::HOST)
                .map_or(&b""[..], |v| v.as_bytes()),
        };
        let tls = session
            .digest()
            .and_then(|d: &Digest| d.ssl_digest.as_ref());
        Self {
            request,
            path,
            query,
            host,
            peer: super::ip_of(session.client_addr().and_then(|a| a.as_inet().copied())),
            secure: tls.is_some(),
            certificate: tls.and_then(|tls| certificate(tls)),
            body: body_size(request, has_body),
        }
    }
}

/// Path and query as received; an absolute-form target counts from its path on.
fn target(request: &RequestHeader) -> (&[u8], Option<&[u8]>) {
    let raw = request.raw_path();
    let raw = if raw.starts_with(b"/") || raw == b"*" {
        raw
    } else {
        request
            .uri
            .path_and_query()
            .map_or(&b"/"[..], |pq| pq.as_str().as_bytes())
    };
    match raw.iter().position(|&b| b == b'?') {
        Some(at) => (raw.get(..at).unwrap_or_default(), raw.get(at + 1..)),
        None => (raw, None),
    }
}

fn body_size(request: &RequestHeader, has_body: bool) -> BodySize {
    if !has_body {
        return BodySize::None;
    }
    let length = request.headers.get(header::CONTENT_LENGTH);
    let length = length
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.trim().parse().ok());
    length.map_or(BodySize::Unknown, BodySize::Known)
}

impl Head for SessionHead<'_> {
    fn method(&self) -> &Method {
        &self.request.method
    }

    fn path(&self) -> &[u8] {
        self.path
    }

    fn query(&self) -> Option<&[u8]> {
        self.query
    }

    fn host(&self) -> &[u8] {
        self.host
    }

    fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        self.request.headers.get(name).map(|value| value.as_bytes())
    }

    fn each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        for (name, value) in &self.request.headers {
            each(name.as_str(), value.as_bytes());
        }
    }

    fn peer(&self) -> IpAddr {
        self.peer
    }

    fn secure(&self) -> bool {
        self.secure
    }

    fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.certificate
    }

    fn version(&self) -> &'static str {
        match self.request.version {
            Version::HTTP_2 => "2",
            Version::HTTP_10 => "1.0",
            _ => "1.1",
        }
    }

    fn body(&self) -> BodySize {
        self.body
    }
}
