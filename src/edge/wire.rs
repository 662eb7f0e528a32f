//! The head for a backend, written as bytes from the bytes of the client's.

use crate::base::Error;
use crate::edge::body::passing;
use crate::edge::chunks::Fed;
use crate::edge::head::WireHead;
use crate::gateway::head::{BodySize, Head};
use crate::gateway::headers::{FieldName, FieldSink, OwnName, forward_headers};
use crate::gateway::snapshot::Backend;
use crate::gateway::stage::{Call, Edit, Edits};
use crate::net::Target;
use crate::net::h1::writer::{self, Sending, is_framing, push_field, push_spelled};
use crate::pipe::call;
use crate::proxy::Exchange;
use crate::proxy::compose::fields_of;

/// What a request becomes for its backend.
#[derive(Debug)]
pub struct Written {
    /// Path and query.
    pub path: String,
    /// How many stages of the backend let it pass.
    pub entered: usize,
}

/// Writes the head for a backend, and what came of the body with the client's head, into `out`.
///
/// # Errors
/// Why it cannot be asked, with the number of stages that let the call pass.
pub async fn request(
    head: &WireHead<'_>,
    (begun, fed): (&[u8], &Fed),
    x: &Exchange,
    (backend, target): (&Backend, &Target),
    out: &mut Vec<u8>,
) -> Result<Written, (usize, Error)> {
    out.clear();
    let ctx = &x.ctx;
    let before = |error: Error| (0, error);
    let path =
        call::wire_target(backend, ctx, head.raw_path(), head.raw_query()).map_err(before)?;
    let edits = x.edits.upstream.as_slice();
    let written = if backend.call.is_empty() {
        start(out, backend, target, &path).map_err(before)?;
        let client = ctx.gateway.service.client_ip.resolve(head);
        let mut sink = WireSink { out, edits };
        forward_headers(&backend.forward, head, &client, &ctx.request_id, &mut sink);
        sink.added();
        Written { path, entered: 0 }
    } else {
        let headers = call::wire_fields(backend, fields_of(head, backend, x));
        let mut made = Call {
            headers,
            target: path,
        };
        let (entered, admitted) = call::enter(backend, &mut made, ctx).await;
        let after = |error: Error| (entered, error);
        admitted.map_err(after)?;
        start(out, backend, target, &made.target).map_err(after)?;
        let mut sink = WireSink { out, edits: &[] };
        for (name, value) in &made.headers {
            sink.field(FieldName::Known(name), value.as_bytes());
        }
        let path = made.target;
        Written { path, entered }
    };
    let sending = match head.body() {
        BodySize::None => Sending::Nothing,
        BodySize::Known(length) => Sending::Length(length),
        BodySize::Unknown => Sending::Chunked,
    };
    writer::finish(out, &backend.method, sending, ctx.gateway.client.closes());
    passing(begun, fed, |part| out.extend_from_slice(part));
    Ok(written)
}

/// The request line and `Host`.
fn start(out: &mut Vec<u8>, backend: &Backend, target: &Target, path: &str) -> Result<(), Error> {
    let authority = target.authority();
    let host = authority.host_header.as_bytes();
    writer::start(out, &backend.method, &authority.base_path, path, host).map_err(Error::from)
}

/// Writes fields behind a request line.
struct WireSink<'o> {
    out: &'o mut Vec<u8>,
    edits: &'o [Edit],
}

impl WireSink<'_> {
    /// What the edits add, behind all else.
    fn added(&mut self) {
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
        let name = name.as_str();
        if !framing && (self.edits.is_empty() || Edits::spare(self.edits, name)) {
            push_field(self.out, name, value);
        }
    }
}
