//! The head of an answer on its way to the client: what of a backend's head passes, what is added.

use crate::base::Dialect;
use crate::base::field::{ConnectionOption, connection_options, same};
use crate::base::reply::{X_KRAKEND_COMPLETED, X_REQUEST_ID};
use crate::gateway::ctx::Ctx;
use crate::gateway::stage::{Edit, Edits};
use crate::proxy::spell;
use http::header::{self, HeaderName, HeaderValue};
use http::response::Parts;
use http::{HeaderMap, StatusCode, Version};
use pingora::http::ResponseHeader;

/// Fields of every answer that passed the router: version, request id.
///
/// # Errors
/// Never in practice: the values are checked where they are made.
pub fn stamp(head: &mut ResponseHeader, ctx: &Ctx) -> pingora::Result<()> {
    if let Some((name, value)) = &ctx.gateway.service.version_header {
        // KrakenD adds to what a backend sent; ours replaces it.
        match ctx.gateway.dialect {
            Dialect::Krakend => spell::append(head, name, value.clone())?,
            Dialect::Native => spell::insert(head, name, value.clone())?,
        }
    }
    if !ctx.request_id.is_empty()
        && let Ok(id) = HeaderValue::from_str(&ctx.request_id)
    {
        spell::insert(head, &X_REQUEST_ID, id)?;
    }
    Ok(())
}

/// `X-Krakend-Completed`.
///
/// # Errors
/// Never in practice.
pub fn completed(head: &mut ResponseHeader, completed: bool) -> pingora::Result<()> {
    let value = HeaderValue::from_static(if completed { "true" } else { "false" });
    spell::append(head, &X_KRAKEND_COMPLETED, value)
}

/// Whether a backend's field stays here, whatever its value: it is of one connection (RFC 9110 section
/// 7.6.1), or one that a native gateway answers for itself. The name may be in any case.
pub fn stays(name: &[u8], dialect: Dialect) -> bool {
    let native = dialect == Dialect::Native;
    let is = |known: &str| same(name, known.as_bytes());
    match name.len() {
        2 => is("te"),
        7 => is("trailer") || is("upgrade"),
        10 => is("connection") || is("keep-alive"),
        12 => native && is("x-request-id"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding") || native && is("x-gateway-version"),
        19 => native && is("x-krakend-completed"),
        _ => false,
    }
}

/// Builds the head of a streamed answer for a client of this protocol version from a backend's.
///
/// # Errors
/// When the status is none.
pub fn streamed(
    status: StatusCode,
    backend: &HeaderMap,
    version: Version,
    inflated: bool,
    ctx: &Ctx,
) -> pingora::Result<ResponseHeader> {
    let mut head = spell::head(status, version, backend.len() + 5)?;
    stamp_first(&mut head, ctx)?;
    let nominated = nominations(backend);
    let dialect = ctx.gateway.dialect;
    // Go's server leaves the type out where there is no body; RFC 9110 section 15.4.5 lets it pass.
    let untyped = status == StatusCode::NOT_MODIFIED && dialect == Dialect::Krakend;
    let passes = |name: &HeaderName| {
        let gone = stays(name.as_str().as_bytes(), dialect)
            || nominated.contains(name)
            || (inflated && (*name == header::CONTENT_LENGTH || *name == header::CONTENT_ENCODING))
            || (untyped && *name == header::CONTENT_TYPE);
        !gone
    };
    let passing = backend.iter().filter(|(name, _)| passes(name));
    if version != Version::HTTP_2 {
        for (name, value) in passing {
            spell::append(&mut head, name, value.clone())?;
        }
        return Ok(head);
    }
    // Without a spelling to keep, the platform need not look at each name again.
    let mut parts = Parts::from(head);
    for (name, value) in passing {
        let full = |_| pingora::Error::new(pingora::ErrorType::InvalidHTTPHeader);
        let (name, value) = (name.clone(), value.clone());
        parts.headers.try_append(name, value).map_err(full)?;
    }
    Ok(parts.into())
}

/// Makes the head of a streamed answer for an HTTP/2 client of a backend's own fields. Native only, where
/// nothing is inflated.
///
/// # Errors
/// When the head is full.
pub fn moved(
    status: StatusCode,
    mut fields: HeaderMap,
    ctx: &Ctx,
) -> pingora::Result<ResponseHeader> {
    for name in nominations(&fields) {
        fields.remove(name);
    }
    let stay = |name: &&HeaderName| stays(name.as_str().as_bytes(), Dialect::Native);
    let gone: Vec<HeaderName> = fields.keys().filter(stay).cloned().collect();
    for name in gone {
        fields.remove(name);
    }
    let full = |_| pingora::Error::new(pingora::ErrorType::InvalidHTTPHeader);
    if let Some((name, value)) = &ctx.gateway.service.version_header {
        fields.try_insert(name, value.clone()).map_err(full)?;
    }
    if !ctx.request_id.is_empty()
        && let Ok(mut id) = HeaderValue::from_str(&ctx.request_id)
    {
        // Never the same twice: in the table of a connection's fields it would only displace others.
        id.set_sensitive(true);
        fields.try_insert(X_REQUEST_ID, id).map_err(full)?;
    }
    let completed = HeaderValue::from_static("false");
    fields
        .try_insert(X_KRAKEND_COMPLETED, completed)
        .map_err(full)?;
    let (mut parts, ()) = http::Response::new(()).into_parts();
    (parts.status, parts.version, parts.headers) = (status, Version::HTTP_2, fields);
    Ok(parts.into())
}

/// Builds the client's head of an interim answer from a backend's. Native only.
///
/// # Errors
/// When the status is none.
pub fn interim(status: StatusCode, backend: &HeaderMap) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build(status, Some(backend.len()))?;
    let nominated = nominations(backend);
    for (name, value) in backend {
        let stays = stays(name.as_str().as_bytes(), Dialect::Native)
            // There is no body whose length it could be (RFC 9110 section 8.6).
            || *name == header::CONTENT_LENGTH
            || nominated.contains(name);
        if !stays {
            spell::append(&mut head, name, value.clone())?;
        }
    }
    Ok(head)
}

/// The names that a value of a backend's `Connection` nominates: such fields belong to its connection too. Never the
/// length, which is for all who read the answer and may not be nominated (RFC 9110 section 7.6.1): without it, nobody
/// would know where the answer ends.
pub fn nominated(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    connection_options(value)
        .filter_map(ConnectionOption::name)
        .filter(|name| !same(name, b"content-length"))
}

/// The names that a backend's head nominates.
fn nominations(backend: &HeaderMap) -> Vec<HeaderName> {
    let values = backend.get_all(header::CONNECTION).iter();
    values
        .flat_map(|value| nominated(value.as_bytes()))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect()
}

/// The krakend dialect writes its fields before the backend's; the order shows only there.
fn stamp_first(head: &mut ResponseHeader, ctx: &Ctx) -> pingora::Result<()> {
    stamp(head, ctx)?;
    completed(head, false)
}

/// Applies what stages recorded.
///
/// # Errors
/// Never in practice: the values were checked by the stage.
pub fn edit(head: &mut ResponseHeader, edits: &Edits) -> pingora::Result<()> {
    for edit in &edits.answer {
        match edit {
            Edit::Set(name, value) => spell::insert(head, name, value.clone())?,
            Edit::Append(name, value) => spell::append(head, name, value.clone())?,
            Edit::Remove(name) => drop(head.remove_header(name)),
        }
    }
    Ok(())
}
