//! The head for a backend, written as bytes from the bytes of the client's.

use crate::base::Error;
use crate::edge::head::WireHead;
use crate::gateway::head::Head;
use crate::gateway::headers::{FieldName, FieldSink};
use crate::gateway::snapshot::Backend;
use crate::gateway::stage::Call;
use crate::net::Target;
use crate::pipe::call;
use crate::pipe::wire::{self, WireSink};
use crate::proxy::Exchange;
use crate::proxy::compose::selected;

/// What a request becomes for its backend.
#[derive(Debug)]
pub struct Written {
    /// Path and query.
    pub path: String,
    /// How many stages of the backend let it pass.
    pub entered: usize,
    /// How long its head is.
    pub head: usize,
}

/// Writes the head for a backend into `out`.
///
/// # Errors
/// Why it cannot be asked, with the number of stages that let the call pass.
pub async fn request(
    head: &WireHead<'_>,
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
    let (path, entered) = if backend.call.is_empty() {
        wire::head(head, &path, (ctx, edits), (backend, target), out).map_err(before)?;
        (path, 0)
    } else {
        let fields = selected(std::iter::once(&backend.forward), head, x);
        let fields = fields.into_iter().next().unwrap_or_default();
        let headers = call::wire_fields(backend, fields);
        let mut made = Call {
            headers,
            target: path,
        };
        let (entered, admitted) = call::enter(backend, &mut made, ctx).await;
        let after = |error: Error| (entered, error);
        admitted.map_err(after)?;
        wire::start(out, &made.target, (backend, target)).map_err(after)?;
        let mut sink = WireSink::new(out, &[]);
        for (name, value) in &made.headers {
            sink.field(FieldName::Known(name), value.as_bytes());
        }
        (made.target, entered)
    };
    wire::finish(out, head.body(), (backend, &ctx.gateway.client));
    Ok(Written {
        path,
        entered,
        head: out.len(),
    })
}
