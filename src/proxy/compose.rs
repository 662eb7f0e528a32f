//! The composing plan: read the body, call the backends, render, write.

use crate::base::reply::{X_KRAKEND_COMPLETED, X_REQUEST_ID};
use crate::base::{Dialect, Error, Reason, Reply, clock};
use crate::body::{self, Output};
use crate::gateway::head::{BodySize, Head};
use crate::gateway::headers::{ForwardRules, forward_headers};
use crate::gateway::message::{Answer, BodyRead, Rewritten};
use crate::gateway::pattern::title;
use crate::gateway::snapshot::{Compose, Endpoint, Plan};
use crate::gateway::stage::Edits;
use crate::pipe::call::{Fields, Named};
use crate::pipe::{self, Composed, Inbound};
use crate::proxy::head::SessionHead;
use crate::proxy::stream::Failed;
use crate::proxy::{Exchange, request, respond, stream, upload};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use pingora::proxy::Session;
use std::pin::{Pin, pin};
use std::sync::Arc;

/// What of the client's head the pipe needs, taken before the session is used otherwise.
#[derive(Debug)]
pub struct Taken {
    /// Selected and added fields, one list for each backend.
    pub fields: Vec<Fields>,
    /// Path as received.
    pub path: Vec<u8>,
    /// Query as received.
    pub query: Vec<u8>,
    /// The body to come.
    pub body: BodySize,
    /// Whether the client waits for leave to send it.
    pub expects_continue: bool,
}

/// Selects and adds the fields for the backends of an endpoint; the head is not looked at again.
pub fn take<'r>(
    session: &mut Session,
    rules: impl Iterator<Item = &'r ForwardRules>,
    x: &Exchange,
) -> Taken {
    let has_body = !session.as_downstream_mut().is_body_empty();
    let sent = SessionHead::new(session.as_downstream(), has_body);
    let head: &dyn Head = match &x.ctx.rewritten {
        Some(rewritten) => &**rewritten,
        None => &sent,
    };
    Taken {
        fields: selected(rules, head, x),
        path: sent.path().to_vec(),
        query: head.query().unwrap_or_default().to_vec(),
        body: sent.body(),
        expects_continue: request::expects_continue(&sent),
    }
}

/// Selects and adds the fields for the backends of a composed answer, or for the stages around it.
pub fn fields_for(head: &dyn Head, compose: &Compose, x: &Exchange) -> Vec<Fields> {
    let head = x.ctx.rewritten.as_deref().map_or(head, |r| r as &dyn Head);
    selected(rules(compose), head, x)
}

/// By which rules fields are selected: those of each backend, or the endpoint's for its stages.
fn rules(compose: &Compose) -> impl Iterator<Item = &ForwardRules> {
    let staged = compose.staged.iter().map(|staged| &staged.forward);
    let backends = compose.staged.is_none().then(|| compose.all());
    staged.chain(
        backends
            .into_iter()
            .flatten()
            .map(|backend| &backend.forward),
    )
}

/// The fields that each set of rules selects and adds.
pub fn selected<'r>(
    rules: impl Iterator<Item = &'r ForwardRules>,
    head: &dyn Head,
    x: &Exchange,
) -> Vec<Fields> {
    let ctx = &x.ctx;
    let client = ctx.gateway.service.client_ip.resolve(head);
    let fields = rules.map(|rules| {
        let mut fields = Vec::with_capacity(12);
        forward_headers(rules, head, &client, ctx.added(), &mut fields);
        Edits::apply(&x.edits.upstream, &mut fields);
        fields
    });
    fields.collect()
}

/// Parameters that a stage has set at the request's head, by key.
pub fn rewritten_params(x: &Exchange) -> Named {
    let Some(params) = x.ctx.rewritten.as_ref().and_then(|r| r.params.as_ref()) else {
        return Named::new();
    };
    let titled = params
        .iter()
        .map(|(name, value)| (title(name), value.clone()));
    titled.collect()
}

/// Answers a request with a composed answer.
///
/// # Errors
/// When nothing could be composed; nothing has been written then.
pub async fn serve(
    session: &mut Session,
    x: &mut Exchange,
    compose: &Compose,
) -> Result<(), Failed> {
    let gateway = Arc::clone(&x.ctx.gateway);
    let Some(endpoint) = x.ctx.endpoint.and_then(|id| gateway.endpoints.get(id)) else {
        return Err(Error::from(Reason::Internal).into());
    };
    let arrived = clock::now();
    let taken = take(session, rules(compose), x);
    let body = read_body(session, x, &taken).await?;
    // Native: the time that the client takes to send its body is not the backends'.
    let started = match gateway.dialect {
        Dialect::Native => clock::now(),
        Dialect::Krakend => arrived,
    };
    let composed = {
        let inbound = Inbound {
            ctx: &x.ctx,
            endpoint,
            raw_path: &taken.path,
            raw_query: &taken.query,
            body,
            params: rewritten_params(x),
            query: None,
            started,
        };
        let work = pin!(pipe::compose(compose, inbound, taken.fields));
        unless_gone(session, work).await??
    };
    if compose.output == Output::NoOp {
        return Box::pin(stream::pass(session, x, compose, composed)).await;
    }
    let accept = session.req_header().headers.get(header::ACCEPT).cloned();
    let accept = accept.as_ref().map(HeaderValue::as_bytes);
    let reply = reply(x, endpoint, compose.output, composed, accept);
    x.retire(session);
    respond::write(session, reply)
        .await
        .map_err(|error| Error::new(Reason::ClientGone, error.to_string()).into())
}

/// Reads the body for the stages that are to be asked, and puts the request where they find it.
///
/// # Errors
/// The limit that is broken, or that the client has gone.
pub async fn read_for_stages(session: &mut Session, x: &mut Exchange) -> Result<(), Error> {
    let taken = take(session, std::iter::empty(), x);
    let body = read_body(session, x, &taken).await?;
    let head = SessionHead::new(session.as_downstream(), body.is_some());
    // What a stage before made of the head stays.
    let own = x.ctx.rewritten.take();
    let mut own = own.unwrap_or_else(|| Box::new(Rewritten::believed(&head, &x.ctx)));
    own.body = BodyRead::Whole(body);
    x.ctx.rewritten = Some(own);
    Ok(())
}

async fn read_body(
    session: &mut Session,
    x: &mut Exchange,
    taken: &Taken,
) -> Result<Option<Bytes>, Error> {
    if let Some(body) = rewritten_body(x) {
        return Ok(body);
    }
    if taken.body == BodySize::None {
        return Ok(None);
    }
    if taken.expects_continue {
        let told = session.as_downstream_mut().write_continue_response().await;
        told.map_err(|error| Error::new(Reason::ClientGone, error.to_string()))?;
    }
    x.upload.collect(session).await.map(Some)
}

/// The body that was read for a stage, or that it put in its place.
pub fn rewritten_body(x: &Exchange) -> Option<Option<Bytes>> {
    match &x.ctx.rewritten.as_ref()?.body {
        BodyRead::Not(_) => None,
        BodyRead::Whole(body) => Some(body.clone()),
    }
}

/// Waits for something (pinned by the caller: as an argument it would be held twice) while watching whether the client
/// is still there; nobody works for a client that has gone.
///
/// # Errors
/// When the client has gone.
pub async fn unless_gone<T>(
    session: &mut Session,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        done = &mut work => Ok(done),
        gone = upload::left(session) => Err(gone),
    }
}

/// The answer that composed data becomes; logs which parts are missing.
pub fn reply(
    x: &mut Exchange,
    endpoint: &Endpoint,
    output: Output,
    composed: Composed,
    accept: Option<&[u8]>,
) -> Reply {
    for error in &composed.errors {
        log::warn!(
            endpoint = &*endpoint.pattern, reason = error.reason.word(), request_id = &*x.ctx.request_id;
            "part of the answer is missing: {}", error.text
        );
    }
    x.tell_limits(false);
    x.edits.settle();
    if sealed_bare(endpoint) {
        return bare(x, composed.answer);
    }
    let Answer {
        data,
        complete,
        headers,
        ..
    } = composed.answer;
    let completed = body::completed(data.as_ref(), complete);
    x.ctx.completed = completed;
    let rendered = body::render(output, Some(&data), accept);
    // Large answers take a while to join and to write.
    clock::renew();
    let mut reply = Reply::new(200, rendered.body);
    let fields = &mut reply.headers;
    fields.extend(x.ctx.gateway.service.version_header.clone());
    if !x.ctx.request_id.is_empty()
        && let Ok(id) = HeaderValue::from_str(&x.ctx.request_id)
    {
        fields.push((X_REQUEST_ID, id));
    }
    if data.as_ref().is_some_and(|d| !d.is_empty()) {
        // What stages said; no backend's field is among them.
        let named = headers.iter().map(|(n, v)| (n.clone(), v.clone()));
        fields.extend(named);
    }
    if complete
        && data.as_ref().is_some_and(|d| !d.is_empty())
        && let Some(value) = &endpoint.cache_control
    {
        fields.push((header::CACHE_CONTROL, value.clone()));
    }
    let completed = HeaderValue::from_static(if completed { "true" } else { "false" });
    fields.push((X_KRAKEND_COMPLETED, completed));
    if !fields.iter().any(|(name, _)| *name == header::CONTENT_TYPE) {
        let kind = HeaderValue::from_static(rendered.content_type);
        fields.push((header::CONTENT_TYPE, kind));
    }
    Edits::apply(&x.edits.answer, fields);
    reply
}

fn sealed_bare(endpoint: &Endpoint) -> bool {
    match &endpoint.plan {
        Plan::Compose(compose) => compose.seal.as_ref().is_some_and(|seal| seal.bare()),
        Plan::Stream(_) => false,
    }
}

/// An answer of KrakenD's signer: data, and the first value of each field that somebody said.
fn bare(x: &Exchange, answer: Answer) -> Reply {
    let rendered = body::render(Output::Json, Some(&answer.data), None);
    let status = if answer.status == 0 {
        200
    } else {
        answer.status
    };
    let mut reply = Reply::new(status, rendered.body);
    let kind = HeaderValue::from_static(rendered.content_type);
    for name in answer.headers.keys() {
        let framing = [
            header::CONTENT_TYPE,
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
        ];
        if let Some(value) = answer.headers.get(name)
            && !framing.contains(name)
        {
            reply.headers.push((name.clone(), value.clone()));
        }
    }
    reply.headers.push((header::CONTENT_TYPE, kind));
    Edits::apply(&x.edits.answer, &mut reply.headers);
    reply
}
