//! Stages that see whole requests and answers: the request is made for them, walked through them in order,
//! and what comes back goes through them in reverse (reference/krakend-core sections 6.2 and 6.3).
//!
//! Differs from KrakenD: a stage cannot take the body away from the next one, and none of them can bring
//! the process down.

use crate::base::{Error, Reason};
use crate::gateway::ctx::Ctx;
use crate::gateway::gate::Passage;
use crate::gateway::headers::Fields;
use crate::gateway::message::{Answer, Request};
use crate::gateway::path;
use crate::gateway::snapshot::{Backend, Staged};
use crate::gateway::stage::{Call, Go, PipeStage};
use crate::net::{Deadline, Lent, NetError, Target, Tried};
use crate::pipe::call::{self, Exchange, First, Inbound, MAX_PART, Named, named};

/// The stages of one place.
pub type Stages = [Box<dyn PipeStage>];

/// Takes a request through stages; an answer of one of them ends the walk. Also tells how many are to see
/// what comes back.
///
/// # Errors
/// The first stage's that fails.
pub async fn before(
    stages: &Stages,
    request: &mut Request,
    ctx: &Ctx,
) -> Result<(usize, Option<Answer>), Error> {
    for (at, stage) in stages.iter().enumerate() {
        match stage.before(request, ctx).outcome().await? {
            Go::Next => {}
            Go::Answer(answer) => return Ok((at + 1, Some(*answer))),
        }
    }
    Ok((stages.len(), None))
}

/// Takes an answer back through the stages that let its request pass.
///
/// # Errors
/// The first stage's that fails; those before it in the list do not see the answer.
pub async fn after(
    stages: &Stages,
    entered: usize,
    request: &Request,
    answer: &mut Answer,
    ctx: &Ctx,
) -> Result<(), Error> {
    for stage in stages.iter().take(entered).rev() {
        if stage.reads_body() {
            answer.collect(MAX_PART).await?;
        }
        stage.after(request, answer, ctx).outcome().await?;
    }
    Ok(())
}

/// The request that the stages of an endpoint see.
pub fn request(staged: &Staged, inbound: &Inbound<'_>, fields: Fields) -> Request {
    let ctx = inbound.ctx;
    let method = match &ctx.rewritten {
        Some(rewritten) => rewritten.method.clone(),
        None => inbound.endpoint.method.clone(),
    };
    Request {
        method,
        path: String::from_utf8_lossy(&ctx.path).into_owned(),
        url: String::new(),
        query: staged.query.apply(inbound.raw_query).unwrap_or_default(),
        params: params(inbound, &[]),
        headers: fields,
        body: inbound.body.clone(),
    }
}

/// Every parameter by its key: the path's, then those that came to it.
fn params(inbound: &Inbound<'_>, values: &[(String, String)]) -> Named {
    let ctx = inbound.ctx;
    let mut all = Named::new();
    let mut put = |key: &str, value: String| match all.iter_mut().find(|(own, _)| own == key) {
        Some((_, old)) => *old = value,
        None => all.push((key.to_owned(), value)),
    };
    for (index, key) in inbound.endpoint.params.iter().enumerate() {
        let value = ctx.params.get(index, &ctx.path).unwrap_or_default();
        put(key, String::from_utf8_lossy(value).into_owned());
    }
    for (key, value) in inbound.params.iter().chain(values) {
        put(key, value.clone());
    }
    all
}

/// Those parameters of a request that are not what the path says: they fill slots in its place.
pub fn changed(request: Named, inbound: &Inbound<'_>) -> Named {
    let before = params(inbound, &[]);
    let mut changed = inbound.params.clone();
    let new = request
        .into_iter()
        .filter(|(key, value)| named(&before, key) != Some(value));
    changed.extend(new);
    changed
}

/// A call with stages around it.
///
/// # Errors
/// A stage's, the transport's, or what the answer is worth.
pub async fn send(
    backend: &Backend,
    inbound: &Inbound<'_>,
    call: Call,
    values: &[(String, String)],
    deadline: Deadline,
    passage: &mut Passage<'_>,
) -> Result<(Answer, u16), Error> {
    let ctx = inbound.ctx;
    let mut tried = Tried::default();
    let host = call::pick(backend, ctx, &mut tried).await?;
    let (before_query, query) = call.target.split_once('?').unwrap_or((&call.target, ""));
    let decoded = path::decode(before_query.as_bytes());
    let path = decoded.map_or_else(
        |_| before_query.to_owned(),
        |path| String::from_utf8_lossy(&path).into_owned(),
    );
    let mut request = Request {
        method: backend.method.clone(),
        path,
        url: host.url(&call.target),
        query: query.to_owned(),
        params: params(inbound, values),
        headers: call.headers,
        body: inbound.body.clone(),
    };
    let place = Place {
        url: request.url.clone(),
        target: call.target,
        host,
        tried,
    };
    let (entered, own) = before(&backend.pipe, &mut request, ctx).await?;
    let (mut answer, status) = match own {
        Some(answer) => {
            let status = answer.status;
            (answer, status)
        }
        None => wire((backend, passage), inbound, &mut request, place, deadline).await?,
    };
    after(&backend.pipe, entered, &request, &mut answer, ctx).await?;
    Ok((answer, status))
}

/// Where a request goes unless a stage says otherwise.
struct Place {
    url: String,
    host: Lent,
    tried: Tried,
    target: String,
}

/// The exchange, with the stages on the wire around it.
async fn wire(
    (backend, passage): (&Backend, &mut Passage<'_>),
    inbound: &Inbound<'_>,
    request: &mut Request,
    place: Place,
    deadline: Deadline,
) -> Result<(Answer, u16), Error> {
    let ctx = inbound.ctx;
    let (entered, own) = before(&backend.wire, request, ctx).await?;
    let mut raw = match own {
        Some(answer) => answer,
        None => {
            let raw = exchange((backend, passage), inbound, request, place, deadline).await?;
            passage.saw(raw.status);
            raw
        }
    };
    after(&backend.wire, entered, request, &mut raw, ctx).await?;
    call::taken(backend, raw, || request.url.clone()).await
}

async fn exchange(
    (backend, passage): (&Backend, &mut Passage<'_>),
    inbound: &Inbound<'_>,
    request: &Request,
    place: Place,
    deadline: Deadline,
) -> Result<Answer, Error> {
    let (first, target) = if request.url == place.url {
        (First::Host(place.host, place.tried), place.target)
    } else if let Some(target) = beneath(&place.host, &request.url) {
        (First::Host(place.host, place.tried), target)
    } else {
        let (host, target) = elsewhere((inbound.ctx, backend), request)?;
        (First::Elsewhere(Box::new(host)), target)
    };
    let mut fields = request.headers.clone();
    let unpack = call::ask_for_gzip(backend, &request.method, &mut fields);
    let out = call::Request {
        method: request.method.clone(),
        target,
        fields,
        body: request.body.clone(),
    };
    let to = (first, None);
    let sent = call::exchange((backend, passage), inbound, out, None, deadline, to).await;
    let Exchange { incoming, .. } = sent?;
    let mut raw = call::raw(incoming);
    if unpack {
        call::unpacked(&mut raw, backend).await?;
    }
    Ok(raw)
}

/// The target of a URL that is still one of this host.
fn beneath(host: &Target, url: &str) -> Option<String> {
    let origin = host.url("");
    let rest = url.strip_prefix(origin.trim_end_matches('/'))?;
    let rest = rest.split('#').next().unwrap_or_default();
    match rest.bytes().next() {
        None | Some(b'?') => Some(format!("/{rest}")),
        Some(b'/') => Some(rest.to_owned()),
        Some(_) => None,
    }
}

/// The host and target of a URL that a stage wrote.
fn elsewhere(
    (ctx, backend): (&Ctx, &Backend),
    request: &Request,
) -> Result<(Target, String), Error> {
    let url = request.url.split('#').next().unwrap_or_default();
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let at = url.len() - rest.len() + rest.find(['/', '?']).unwrap_or(rest.len());
    let (origin, target) = url.split_at_checked(at).unwrap_or((url, ""));
    let there = ctx.gateway.target_of(backend, origin).map_err(|text| {
        Error::from(NetError::new(Reason::BackendInvalid, text).wrap(&request.method, url))
    })?;
    let slash = if target.starts_with('/') { "" } else { "/" };
    Ok((there, format!("{slash}{target}")))
}
