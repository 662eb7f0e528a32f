//! One call to one backend: the request is built from what the endpoint let through, sent, redirects
//! are followed, and the answer becomes a part (reference/krakend-core sections 7 and 8).

use crate::base::{Dialect, Error, Reason};
use crate::body;
use crate::gateway::ctx::Ctx;
use crate::gateway::gate::{Caller, Passage};
use crate::gateway::identity::Identity;
use crate::gateway::message::{Answer, AnswerBody};
use crate::gateway::path::has_dot_segments;
use crate::gateway::pattern::{Pattern, Slot, SlotKind};
use crate::gateway::query;
use crate::gateway::snapshot::{Backend, Endpoint, StatusRule};
use crate::gateway::stage::{Call, Called, Flow};
use crate::net::{Deadline, Incoming};
pub use crate::pipe::exchange::{Exchange, First, exchange, pick};
use crate::pipe::staged;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// Largest body of a part; a larger one is a failed call.
pub const MAX_PART: usize = 64 << 20;
/// Largest backend body that is read to tell an error's details.
const MAX_DETAILS: usize = 1 << 20;

/// Fields of a head, in order.
pub type Fields = Vec<(HeaderName, HeaderValue)>;

/// A client's request as the endpoint lets it through.
#[derive(Debug)]
pub struct Inbound<'a> {
    /// The request's state.
    pub ctx: &'a Ctx,
    /// The endpoint.
    pub endpoint: &'a Endpoint,
    /// The path as received.
    pub raw_path: &'a [u8],
    /// The query as received; empty for none.
    pub raw_query: &'a [u8],
    /// The body; `None` when the client sent none.
    pub body: Option<Bytes>,
    /// Parameters beside and instead of the path's.
    pub params: Named,
    /// The query as the endpoint's stages left it, encoded; takes the place of the one received, and only
    /// a backend's own filter still counts.
    pub query: Option<String>,
    /// When the pipe began; deadlines count from here.
    pub started: Instant,
}

/// Values by the key of their slot.
pub type Named = Vec<(String, String)>;

/// Finds a value; a later one of the same key counts.
pub fn named<'n>(values: &'n [(String, String)], key: &str) -> Option<&'n str> {
    let found = values.iter().rfind(|(own, _)| own == key);
    found.map(|(_, value)| value.as_str())
}

impl Inbound<'_> {
    /// The end of a span that began with the pipe.
    pub fn deadline(&self, span: Duration) -> Deadline {
        self.started
            .checked_add(span)
            .map_or(Deadline::NEVER, |at| Deadline::at(at.into()))
    }
}

/// A request to a backend, without its body.
#[derive(Debug)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// Fields, without those of the framing.
    pub fields: Fields,
    /// The body, unless it is streamed.
    pub body: Option<Bytes>,
}

/// Path and query for a backend: the pattern with its slots filled, the filtered query behind it.
///
/// # Errors
/// When what comes out is no URL.
pub fn wire_target(
    backend: &Backend,
    ctx: &Ctx,
    raw_path: &[u8],
    raw_query: &[u8],
) -> Result<String, Error> {
    let mut target = filled(backend, ctx, raw_path, &[])?;
    if let Some(filtered) = backend.query.apply(raw_query) {
        query::append(&mut target, &filtered);
    }
    Ok(target)
}

/// The pattern with its slots filled; these values come before the path's. Slots that wait for what does not
/// exist (claims, earlier answers) stay as they are.
fn filled(
    backend: &Backend,
    ctx: &Ctx,
    raw_path: &[u8],
    values: &[(String, String)],
) -> Result<String, Error> {
    let value = |slot: &Slot| {
        named(values, &slot.key)
            .map(Cow::Borrowed)
            .or_else(|| claim(slot, ctx))
    };
    let target = backend
        .pattern
        .fill(&ctx.params, &ctx.path, raw_path, &value)?;
    if let Some(identity) = &ctx.identity
        && ctx.gateway.dialect == Dialect::Native
    {
        check_claims(&backend.pattern, identity, &target)?;
    }
    Ok(target.into_owned())
}

/// Natively a claim is a value and never more of a URL than that: what its owner wrote into their own profile must
/// not lead to another resource. KrakenD puts it in as it is.
fn check_claims(pattern: &Pattern, identity: &Identity, target: &str) -> Result<(), Error> {
    let mut any = false;
    for (name, in_query) in pattern.claims() {
        let Some(text) = identity.claim_text(name, Dialect::Native) else {
            continue;
        };
        any = true;
        let breaks = |c: char| matches!(c, '?' | '#' | '%') || (in_query && matches!(c, '&' | ';'));
        if text.contains(breaks) {
            let told = format!("the claim {name} holds what means something else in a URL");
            return Err(Error::new(Reason::BadSlot, told));
        }
    }
    let path = target.split('?').next().unwrap_or_default();
    if any && has_dot_segments(path.as_bytes()) {
        let told = "a claim leads out of the path that it stands in";
        return Err(Error::new(Reason::BadSlot, told));
    }
    Ok(())
}

/// What the caller's token says, for `{JWT.name}`.
fn claim<'c>(slot: &Slot, ctx: &'c Ctx) -> Option<Cow<'c, str>> {
    match &slot.kind {
        SlotKind::Claim(name) => {
            let identity = ctx.identity.as_ref()?;
            identity.claim_text(name, ctx.gateway.dialect)
        }
        _ => None,
    }
}

/// As [`wire_target`], with what stages and earlier calls made of parameters and query.
///
/// # Errors
/// When what comes out is no URL.
pub fn target_of(
    backend: &Backend,
    inbound: &Inbound<'_>,
    values: &[(String, String)],
) -> Result<String, Error> {
    let mut target = filled(backend, inbound.ctx, inbound.raw_path, values)?;
    let filtered = match &inbound.query {
        Some(query) => backend.own_query.apply(query.as_bytes()),
        None => backend.query.apply(inbound.raw_query),
    };
    if let Some(filtered) = filtered {
        query::append(&mut target, &filtered);
    }
    Ok(target)
}

/// The fields for a backend, with gzip asked for where we may.
pub fn wire_fields(backend: &Backend, mut fields: Fields) -> Fields {
    ask_for_gzip(backend, &backend.method, &mut fields);
    fields
}

/// Asks for gzip where we may, and says whether it did: what we ask for ourselves we undo.
pub fn ask_for_gzip(backend: &Backend, method: &Method, fields: &mut Fields) -> bool {
    let has = |name: HeaderName| fields.iter().any(|(n, _)| *n == name);
    let asks = backend.inflate
        && *method != Method::HEAD
        && !has(header::ACCEPT_ENCODING)
        && !has(header::RANGE);
    if asks {
        fields.push((header::ACCEPT_ENCODING, HeaderValue::from_static("gzip")));
    }
    asks
}

/// Whether a body's length is told to a backend and not chunked: always in native, in the krakend
/// dialect when `Content-Length` passes the filters.
pub fn declares_length(backend: &Backend, ctx: &Ctx) -> bool {
    ctx.gateway.dialect == Dialect::Native || backend.forward.passes_content_length()
}

/// One call with its stages, as a part of a composed answer. `values` fill slots before the path's parameters.
///
/// # Errors
/// What the call died of; failed stages too.
pub async fn call(
    backend: &Backend,
    inbound: &Inbound<'_>,
    fields: Fields,
    values: &[(String, String)],
    deadline: Deadline,
) -> Result<Answer, Error> {
    let ctx = inbound.ctx;
    let mut passage = Passage::enter(&backend.gates, Caller::of(ctx)).await?;
    let mut call = Call {
        headers: fields,
        target: target_of(backend, inbound, values)?,
    };
    let (entered, admitted) = enter(backend, &mut call, ctx).await;
    let result = match admitted {
        Err(error) => Err(error),
        Ok(()) if backend.pipe.is_empty() && backend.wire.is_empty() => {
            send(backend, inbound, call, deadline, &mut passage).await
        }
        // Boxed: few calls have such stages, and all would carry their room.
        Ok(()) => {
            let sending = staged::send(backend, inbound, call, values, deadline, &mut passage);
            Box::pin(sending).await
        }
    };
    let called = match &result {
        Ok((_, status)) => Ok(Called {
            status: Some(*status),
        }),
        Err(error) => Err(error.clone()),
    };
    leave(backend, entered, &called, ctx);
    passage.leave(result.as_ref().map(|(_, status)| *status));
    if result.is_err() {
        backend.meters.errors.inc();
    }
    result.map(|(answer, _)| answer)
}

/// Asks a backend's stages before a call, in order; also tells how many of them let it pass.
pub async fn enter(backend: &Backend, call: &mut Call, ctx: &Ctx) -> (usize, Result<(), Error>) {
    let mut entered = 0;
    for stage in &backend.call {
        match stage.before(call, ctx).outcome().await {
            Ok(Flow::Next) => entered += 1,
            Ok(Flow::Reply(reply)) => {
                let text = String::from_utf8_lossy(&reply.body).into_owned();
                let error = Error::new(Reason::BackendStatus, text).exposing(reply.status, None);
                return (entered, Err(error));
            }
            Err(error) => return (entered, Err(error)),
        }
    }
    (entered, Ok(()))
}

/// Tells those stages what a call brought, in reverse order.
pub fn leave(backend: &Backend, entered: usize, called: &Result<Called, Error>, ctx: &Ctx) {
    for stage in backend.call.iter().take(entered).rev() {
        stage.after(called, ctx);
    }
}

async fn send(
    backend: &Backend,
    inbound: &Inbound<'_>,
    mut call: Call,
    deadline: Deadline,
    passage: &mut Passage<'_>,
) -> Result<(Answer, u16), Error> {
    let unpack = ask_for_gzip(backend, &backend.method, &mut call.headers);
    let request = Request {
        method: backend.method.clone(),
        target: call.target,
        fields: call.headers,
        body: inbound.body.clone(),
    };
    let to = (First::Any, None);
    let sent = exchange((backend, passage), inbound, request, None, deadline, to).await?;
    let Exchange { incoming, origin } = sent;
    passage.saw(incoming.status.as_u16());
    let mut raw = raw(incoming);
    if unpack {
        unpacked(&mut raw, backend).await?;
    }
    taken(backend, raw, || origin.url()).await
}

/// An answer as it is on the wire.
pub fn raw(mut incoming: Incoming) -> Answer {
    Answer {
        status: incoming.status.as_u16(),
        headers: std::mem::take(&mut incoming.headers),
        body: AnswerBody::Stream(Box::new(incoming)),
        ..Answer::default()
    }
}

/// Undoes the gzip that we asked for, where the bytes are passed on as they are; a decoder undoes any.
///
/// # Errors
/// When it is none.
pub async fn unpacked(raw: &mut Answer, backend: &Backend) -> Result<(), Error> {
    let decoded = backend.decoder != body::Decoder::NoOp && backend.wire.is_empty();
    if decoded || !is_packed(&raw.headers) {
        return Ok(());
    }
    let bytes = raw.collect(MAX_PART).await?;
    raw.body = AnswerBody::Full(inflated(true, bytes)?);
    raw.headers.remove(header::CONTENT_ENCODING);
    raw.headers.remove(header::CONTENT_LENGTH);
    Ok(())
}

/// What an answer on the wire is worth: its status is looked at and its body decoded, except for `no-op`. Also
/// gives the backend's status; `url` is asked for when something is wrong.
///
/// # Errors
/// When the status is an error, or the body cannot be read.
pub async fn taken(
    backend: &Backend,
    mut raw: Answer,
    url: impl Fn() -> String,
) -> Result<(Answer, u16), Error> {
    let status = raw.status;
    if backend.decoder == body::Decoder::NoOp {
        // The status is not looked at and the body is not read.
        raw.data = Some(body::Object::new());
        raw.complete = true;
        return Ok((raw, status));
    }
    if !matches!(status, 200 | 201) {
        return failed(backend, raw, url).await.map(|part| (part, status));
    }
    let packed = is_packed(&raw.headers);
    let bytes = inflated(packed, raw.collect(MAX_PART).await?)?;
    let data = backend
        .decoder
        .decode(&bytes, backend.is_collection)
        .map_err(|e| Error::new(Reason::DecodeFailed, e.to_string()))?;
    let answer = Answer {
        data: shaped(backend, data),
        complete: true,
        ..Answer::default()
    };
    Ok((answer, status))
}

fn shaped(backend: &Backend, data: body::Data) -> body::Data {
    match &backend.flatmap {
        None => backend.shape.apply(data),
        Some(flatmap) => backend.shape.apply_around(data, |data| flatmap.apply(data)),
    }
}

/// A status other than 200 and 201, by the backend's rule.
async fn failed(
    backend: &Backend,
    mut raw: Answer,
    url: impl Fn() -> String,
) -> Result<Answer, Error> {
    let status = raw.status;
    if backend.errors == StatusRule::Hide {
        let text = format!(
            "invalid status code {status} [{} {}]: {}",
            backend.method,
            backend.pattern.display(),
            url(),
        );
        return Err(Error::new(Reason::BackendStatus, text).of_status(status));
    }
    let packed = is_packed(&raw.headers);
    let content_type = raw
        .headers
        .get(header::CONTENT_TYPE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default();
    let bytes = inflated(packed, raw.collect(MAX_DETAILS).await?)?;
    match &backend.errors {
        StatusRule::Details(name) => Ok(Answer {
            data: Some(body::error_details(name, status, &bytes, &content_type)),
            complete: false,
            ..Answer::default()
        }),
        StatusRule::Hide | StatusRule::Code => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let content_type = (!content_type.is_empty()).then_some(content_type);
            let error = Error::new(Reason::BackendStatus, text).of_status(status);
            Err(error.exposing(status, content_type))
        }
    }
}

fn is_packed(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| value == "gzip")
}

/// The body without gzip, whoever asked for it.
fn inflated(packed: bool, bytes: Bytes) -> Result<Bytes, Error> {
    if !packed || bytes.is_empty() {
        return Ok(bytes);
    }
    body::gzip::inflate(&bytes, MAX_PART)
        .map(Bytes::from)
        .map_err(|e| Error::new(Reason::DecodeFailed, e.to_string()))
}
