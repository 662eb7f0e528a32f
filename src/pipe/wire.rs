//! The head for an HTTP/1.1 backend, written as bytes straight from a client's head: no list of fields in
//! between. For backends whose calls no stage looks at.

use crate::base::Error;
use crate::gateway::ctx::Ctx;
use crate::gateway::head::{BodySize, Head};
use crate::gateway::headers::{FieldName, FieldSink, OwnName, forward_headers};
use crate::gateway::snapshot::Backend;
use crate::gateway::stage::{Edit, Edits};
use crate::net::h1::writer::{self, Sending, is_framing, push_field, push_spelled};
use crate::net::{Client, Target};
use http::header;

/// Appends request line and fields to `out`; [`finish`] is still to come.
///
/// # Errors
/// When the target is no request target.
pub fn head(
    head: &dyn Head,
    path: &str,
    (ctx, edits): (&Ctx, &[Edit]),
    (backend, target): (&Backend, &Target),
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    start(out, path, (backend, target))?;
    let client = ctx.gateway.service.client_ip.resolve(head);
    let mut sink = WireSink::new(out, edits);
    forward_headers(&backend.forward, head, &client, ctx.added(), &mut sink);
    sink.added();
    Ok(())
}

/// Appends the request line and `Host`.
///
/// # Errors
/// When the target is no request target.
pub fn start(
    out: &mut Vec<u8>,
    path: &str,
    (backend, target): (&Backend, &Target),
) -> Result<(), Error> {
    let authority = target.authority();
    let host = authority.host_header.as_bytes();
    writer::start(out, &backend.method, &authority.base_path, path, host)?;
    if let Some(region) = target.from() {
        writer::push_region(out, region);
    }
    Ok(())
}

/// Appends the fields of the framing that a body of the client's asks for, and the end of the head.
pub fn finish(out: &mut Vec<u8>, body: BodySize, (backend, client): (&Backend, &Client)) {
    let sending = match body {
        BodySize::None => Sending::Nothing,
        BodySize::Known(length) => Sending::Length(length),
        BodySize::Unknown => Sending::Chunked,
    };
    writer::finish(out, &backend.method, sending, client.closes());
}

/// Writes fields behind a request line.
#[derive(Debug)]
pub struct WireSink<'o> {
    out: &'o mut Vec<u8>,
    edits: &'o [Edit],
    /// Behind the value of `Cookie`, once there is one.
    cookie: Option<usize>,
}

impl<'o> WireSink<'o> {
    /// Appends fields to `out` as these edits leave them.
    pub fn new(out: &'o mut Vec<u8>, edits: &'o [Edit]) -> Self {
        Self {
            out,
            edits,
            cookie: None,
        }
    }

    /// What the edits add, behind all else.
    pub fn added(&mut self) {
        for (name, value) in Edits::added(self.edits) {
            if !is_framing(name) {
                push_field(self.out, name.as_str(), value.as_bytes());
            }
        }
    }
}

impl FieldSink for WireSink<'_> {
    fn own(&mut self, name: &OwnName, value: &[u8]) {
        if self.edits.is_empty() || Edits::spare(self.edits, name.spelled) {
            push_spelled(self.out, name.spelled, value);
        }
    }

    fn field(&mut self, name: FieldName<'_>, value: &[u8]) {
        // Names of the client's that frame a message are never copied; those of stages may be.
        let framing = matches!(name, FieldName::Known(name) if is_framing(name));
        let text = name.as_str();
        if !framing && (self.edits.is_empty() || Edits::spare(self.edits, text)) {
            push_field(self.out, text, value);
            if self.cookie.is_none() && name.is(&header::COOKIE) {
                self.cookie = self.out.len().checked_sub(2);
            }
        }
    }

    fn join_cookie(&mut self, piece: &[u8]) -> bool {
        let Some(at) = self.cookie.filter(|at| *at <= self.out.len()) else {
            return false;
        };
        let more = b"; ".iter().chain(piece).copied();
        self.out.splice(at..at, more);
        self.cookie = Some(at + 2 + piece.len());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_cookie_become_one_field() {
        let mut out = Vec::new();
        let mut sink = WireSink::new(&mut out, &[]);
        assert!(!sink.join_cookie(b"a=1"));
        sink.field(FieldName::Text("cookie"), b"a=1");
        sink.field(FieldName::Known(&header::ACCEPT), b"*/*");
        assert!(sink.join_cookie(b"b=2"));
        assert!(sink.join_cookie(b"c=3"));
        assert_eq!(out, b"Cookie: a=1; b=2; c=3\r\nAccept: */*\r\n");
    }
}
