//! The streaming plan on the pooled client: the backend's answer passes chunk by chunk, nothing is
//! buffered, and the client's pace is the backend's.
//!
//! Native: the endpoint's timeout covers connect and head, then each pause between chunks has its own
//! limit; redirects, packed bodies and interim answers pass untouched. Krakend: redirects are followed, gzip that we
//! asked for is undone, the timeout covers the whole transfer.

use crate::base::{Dialect, Error, Reason};
use crate::gateway::gate::{Caller, Passage};
use crate::gateway::head::BodySize;
use crate::gateway::message::AnswerBody;
use crate::gateway::snapshot::{Backend, Compose, Endpoint};
use crate::gateway::stage::{Call, Called};
use crate::net::{Deadline, Incoming, Interims, NetError, OutBody};
use crate::pipe::Composed;
use crate::pipe::call::{self, Exchange as Exchanged, Fields, First, Inbound, Request};
use crate::proxy::compose::{rewritten_body, rewritten_params, take, unless_gone};
use crate::proxy::upload::{SessionBody, Upload};
use crate::proxy::{Exchange, answer, direct, interim};
use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use http::{Method, StatusCode, Version, header};
use pingora::ErrorType;
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use std::io::Write;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

/// Packed bytes that are inflated at once, so that a bomb cannot fill the memory.
const INFLATE_STEP: usize = 4 << 10;

/// How far a failed stream came.
#[derive(Debug)]
pub enum Failed {
    /// Nothing was written: the error can still become an answer.
    Before(Error),
    /// The head is out: only the connection can tell.
    During(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Before(error)
    }
}

/// Streams the answer of an endpoint's backend.
///
/// # Errors
/// Why there is no answer, or why it broke off.
pub async fn serve(
    session: &mut Session,
    x: &mut Exchange,
    backend: &Backend,
) -> Result<(), Failed> {
    let gateway = Arc::clone(&x.ctx.gateway);
    let Some(endpoint) = x.ctx.endpoint.and_then(|id| gateway.endpoints.get(id)) else {
        return Err(Error::from(Reason::Internal).into());
    };
    x.ctx.backend = Some(0);
    let entering = pin!(Passage::enter(&backend.gates, Caller::of(&x.ctx)));
    // Nobody waits in a queue for a client that has gone.
    let mut passage = unless_gone(session, entering).await??;
    let served = passing(session, x, (endpoint, backend), &mut passage).await;
    let status = passage.status();
    passage.leave(match &served {
        Ok(()) => Ok(status.unwrap_or(0)),
        Err(Failed::Before(error) | Failed::During(error)) => Err(error),
    });
    served
}

/// The exchange and the answer's way to the client.
async fn passing(
    session: &mut Session,
    x: &mut Exchange,
    (endpoint, backend): (&Endpoint, &Backend),
    passage: &mut Passage<'_>,
) -> Result<(), Failed> {
    let gateway = Arc::clone(&x.ctx.gateway);
    if x.ctx.rewritten.is_none() && direct::fits(session, endpoint, backend) {
        let sent = direct::exchange(session, x, (endpoint, backend), passage).await;
        let mut incoming = sent.inspect_err(|_| backend.meters.errors.inc())?;
        passage.began(incoming.status.as_u16());
        incoming.set_deadline(Deadline::after(gateway.service.stream_idle));
        return relay(session, x, backend, incoming).await;
    }
    // Boxed: only one of the two is ever needed, and this one is larger.
    let incoming = Box::pin(ask(session, x, (endpoint, backend), passage)).await?;
    passage.began(incoming.status.as_u16());
    relay(session, x, backend, incoming).await
}

/// Passes the answer of a pipe on whose body was not decoded.
///
/// # Errors
/// Why there is no answer, or why it broke off.
pub async fn pass(
    session: &mut Session,
    x: &mut Exchange,
    compose: &Compose,
    composed: Composed,
) -> Result<(), Failed> {
    let Some(backend) = compose.backends.first() else {
        return Err(Error::from(Reason::NoHosts).into());
    };
    x.ctx.backend = Some(0);
    let answer = composed.answer;
    // As Go's server has it: nobody said anything else.
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut incoming = match answer.body {
        AnswerBody::Stream(incoming) => {
            let mut incoming = *incoming;
            (incoming.status, incoming.headers) = (status, answer.headers);
            incoming
        }
        AnswerBody::Full(bytes) => Incoming::whole(status, answer.headers, bytes),
        AnswerBody::Empty => Incoming::whole(status, answer.headers, Bytes::new()),
    };
    if x.ctx.gateway.dialect == Dialect::Native {
        incoming.set_deadline(Deadline::after(x.ctx.gateway.service.stream_idle));
    }
    relay(session, x, backend, incoming).await
}

/// Asks the backend as the pipe does, stages and all.
async fn ask(
    session: &mut Session,
    x: &mut Exchange,
    (endpoint, backend): (&Endpoint, &Backend),
    passage: &mut Passage<'_>,
) -> Result<Incoming, Failed> {
    let gateway = Arc::clone(&x.ctx.gateway);
    let started = Instant::now();
    let taken = take(session, std::iter::once(&backend.forward), x);
    let read = rewritten_body(x);
    if taken.expects_continue && read.is_none() {
        let told = session.as_downstream_mut().write_continue_response().await;
        told.map_err(|error| Error::new(Reason::ClientGone, error.to_string()))?;
    }
    let inbound = Inbound {
        ctx: &x.ctx,
        endpoint,
        raw_path: &taken.path,
        raw_query: &taken.query,
        body: read.clone().flatten(),
        params: rewritten_params(x),
        query: None,
        started,
    };
    let interims = interim::wanted(session, &gateway);
    let upload = Sender {
        session,
        interims: interims.as_ref(),
        upload: &mut x.upload,
        size: if read.is_some() {
            BodySize::None
        } else {
            taken.body
        },
    };
    let fields = taken.fields.into_iter().next().unwrap_or_default();
    let mut entered = 0;
    let to = (backend, passage);
    let result = exchange(to, &inbound, fields, upload, &mut entered).await;
    let called = match &result {
        Ok(incoming) => Ok(Called {
            status: Some(incoming.status.as_u16()),
        }),
        Err(error) => Err(error.clone()),
    };
    call::leave(backend, entered, &called, &x.ctx);
    if result.is_err() {
        backend.meters.errors.inc();
    }
    if let Some(interims) = &interims {
        interim::pass_on(session, interims).await?;
    }
    let mut incoming = result?;
    if gateway.dialect == Dialect::Native {
        incoming.set_deadline(Deadline::after(gateway.service.stream_idle));
    }
    Ok(incoming)
}

/// What is left of the client's side while the request is sent.
struct Sender<'a> {
    session: &'a mut Session,
    interims: Option<&'a Interims>,
    upload: &'a mut Upload,
    size: BodySize,
}

/// The call with its stages.
async fn exchange(
    (backend, passage): (&Backend, &mut Passage<'_>),
    inbound: &Inbound<'_>,
    fields: Fields,
    sender: Sender<'_>,
    entered: &mut usize,
) -> Result<Incoming, Error> {
    let ctx = inbound.ctx;
    let mut made = Call {
        headers: call::wire_fields(backend, fields),
        target: call::target_of(backend, inbound, &inbound.params)?,
    };
    let admitted;
    (*entered, admitted) = call::enter(backend, &mut made, ctx).await;
    admitted?;
    let request = Request {
        method: backend.method.clone(),
        target: made.target,
        fields: made.headers,
        body: inbound.body.clone(),
    };
    let deadline = inbound.deadline(inbound.endpoint.timeout);
    let Sender {
        session,
        interims,
        upload,
        size,
    } = sender;
    let length = match size {
        BodySize::None => {
            let to = (First::Any, interims);
            let asked = (backend, passage);
            let call = call::exchange(asked, inbound, request, None, deadline, to);
            let call = pin!(call);
            return interim::unless_gone_passing(session, interims, call)
                .await?
                .map(|Exchanged { incoming, .. }| incoming);
        }
        BodySize::Known(length) if call::declares_length(backend, ctx) => Some(length),
        BodySize::Known(_) | BodySize::Unknown => None,
    };
    let mut source = SessionBody {
        session,
        upload,
        interims,
        failed: None,
    };
    let body = OutBody::Stream {
        source: &mut source,
        length,
    };
    let to = (First::Any, interims);
    let asked = (backend, passage);
    let sent = call::exchange(asked, inbound, request, Some(body), deadline, to).await;
    match (sent, source.failed) {
        (Ok(Exchanged { incoming, .. }), _) => Ok(incoming),
        // The client's fault is told as such and not as the backend's.
        (Err(_), Some(error)) => Err(error),
        (Err(error), None) => Err(error),
    }
}

/// Passes head and body on.
async fn relay(
    session: &mut Session,
    x: &mut Exchange,
    backend: &Backend,
    mut incoming: Incoming,
) -> Result<(), Failed> {
    let broke = |error: &dyn std::fmt::Display| {
        Failed::During(Error::new(Reason::ClientGone, error.to_string()))
    };
    let packed = incoming
        .headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip"));
    let inflate = backend.inflate && packed && asked_for_gzip(session, backend);
    let version = session.req_header().version;
    let native = x.ctx.gateway.dialect == Dialect::Native;
    let head = if native && version == Version::HTTP_2 {
        let fields = std::mem::take(&mut incoming.headers);
        answer::moved(incoming.status, fields, &x.ctx)
    } else {
        answer::streamed(incoming.status, &incoming.headers, version, inflate, &x.ctx)
    };
    let mut head = head.map_err(|error| Error::new(Reason::BackendInvalid, error.to_string()))?;
    x.tell_limits(false);
    x.edits.settle();
    answer::edit(&mut head, &x.edits).map_err(|e| Error::new(Reason::Internal, e.to_string()))?;
    let status = incoming.status.as_u16();
    let bodyless = matches!(status, 204 | 304) || session.req_header().method == Method::HEAD;
    // It told the length of a body that it does not send, or of one that is never there (RFC 9110 section 8.6).
    if !bodyless && backend.method == Method::HEAD || status == 204 {
        head.remove_header(&header::CONTENT_LENGTH);
    }
    if !bodyless && head.headers.get(header::CONTENT_LENGTH).is_none() {
        match version {
            Version::HTTP_11 => head
                .insert_header(header::TRANSFER_ENCODING, "chunked")
                .map_err(|e| Error::new(Reason::Internal, e.to_string()))?,
            Version::HTTP_2 => {}
            _ => session.set_keepalive(None),
        }
    }
    let mut first = if bodyless {
        None
    } else {
        first_chunk(&mut incoming).await?
    };
    if !bodyless && x.ctx.gateway.dialect == Dialect::Krakend {
        first = Some(held_back(first, &mut incoming).await?);
    }
    let empty = bodyless || matches!(first, Some(None));
    x.retire(session);
    session
        .write_response_header(Box::new(head), empty)
        .await
        .map_err(|e| broke(&e))?;
    if bodyless {
        return session
            .as_downstream_mut()
            .finish_body()
            .await
            .map_err(|e| broke(&e));
    }
    let mut decoder = inflate.then(|| MultiGzDecoder::new(Vec::new()));
    let mut next = first;
    loop {
        let chunk = match next.take() {
            Some(chunk) => chunk,
            None => chunk_or_gone(session, x, &mut incoming).await?,
        };
        let Some(chunk) = chunk else { break };
        match &mut decoder {
            None => {
                // HTTP/2: the end goes with the last bytes where that is known, not in a frame behind them.
                let last = version == Version::HTTP_2 && incoming.is_done();
                session
                    .write_response_body(Some(chunk), last)
                    .await
                    .map_err(|e| broke(&e))?;
                if last {
                    return Ok(());
                }
            }
            Some(decoder) => inflate_to(session, decoder, &chunk).await?,
        }
    }
    if let Some(decoder) = decoder {
        let rest = decoder
            .finish()
            .map_err(|e| Failed::During(inflate_error(&e)))?;
        if !rest.is_empty() {
            let rest = Bytes::from(rest);
            session
                .write_response_body(Some(rest), false)
                .await
                .map_err(|e| broke(&e))?;
        }
    }
    session
        .write_response_body(None, true)
        .await
        .map_err(|e| broke(&e))
}

/// KrakenD undoes only the gzip that it asked for itself; it asks when no field of the client does.
fn asked_for_gzip(session: &Session, backend: &Backend) -> bool {
    let sent = session
        .req_header()
        .headers
        .contains_key(header::ACCEPT_ENCODING);
    !(sent && backend.forward.passes(&header::ACCEPT_ENCODING))
}

/// The first chunk, so that an answer whose body is there already goes out in one piece. Does not wait:
/// a head without a body behind it goes to the client at once.
async fn first_chunk(incoming: &mut Incoming) -> Result<Option<Option<Bytes>>, Failed> {
    match ready_chunk(incoming).await {
        None => Ok(None),
        // A broken body is told after the head, where the client expects it.
        Some(Ok(chunk)) => Ok(Some(chunk)),
        Some(Err(error)) => Err(Failed::Before(Error::from(error))),
    }
}

/// The next chunk if it is there already.
async fn ready_chunk(incoming: &mut Incoming) -> Option<Result<Option<Bytes>, NetError>> {
    std::future::poll_fn(|cx| {
        let next = std::pin::pin!(incoming.chunk());
        Poll::Ready(match next.poll(cx) {
            Poll::Ready(chunk) => Some(chunk),
            Poll::Pending => None,
        })
    })
    .await
}

/// Lets go what Pingora holds back: it joins the writes of an answer whose length is known, and has no
/// other way to be told than the failure of a task, which never leaves this function.
async fn flush(session: &mut Session) -> pingora::Result<()> {
    const STAND_IN: ErrorType = ErrorType::Custom("flush");
    let tasks = vec![
        HttpTask::Body(None, false),
        HttpTask::Failed(pingora::Error::new(STAND_IN)),
    ];
    match session.as_downstream_mut().response_duplex_vec(tasks).await {
        Err(error) if *error.etype() != STAND_IN => Err(error),
        _ => Ok(()),
    }
}

/// Go's server buffers: nothing leaves KrakenD, not even the head, before this much has come or all is
/// there. What comes later passes at once, which no client can tell from its timing alone.
const HELD_BACK: usize = 4 << 10;

/// The beginning of a body as KrakenD lets it go; `None` for an empty one.
async fn held_back(
    first: Option<Option<Bytes>>,
    incoming: &mut Incoming,
) -> Result<Option<Bytes>, Failed> {
    let mut start = BytesMut::new();
    let mut next = first;
    while start.len() < HELD_BACK {
        let chunk = match next.take() {
            Some(chunk) => chunk,
            None => match incoming.chunk().await {
                Ok(chunk) => chunk,
                // What came is sent; the rest is missing, and the connection tells.
                Err(_) if !start.is_empty() => break,
                Err(error) => return Err(Failed::Before(Error::from(error))),
            },
        };
        let Some(chunk) = chunk else { break };
        start.extend_from_slice(&chunk);
    }
    Ok((!start.is_empty()).then(|| start.freeze()))
}

/// The next chunk, unless the client goes away first. Each chunk has its own limit in native.
async fn chunk_or_gone(
    session: &mut Session,
    x: &Exchange,
    incoming: &mut Incoming,
) -> Result<Option<Bytes>, Failed> {
    let gateway = &x.ctx.gateway;
    if gateway.dialect == Dialect::Native {
        incoming.set_deadline(Deadline::after(gateway.service.stream_idle));
    }
    let ready = ready_chunk(incoming).await;
    // What came before a pause, or before a broken end, is the client's.
    let held = !matches!(ready, Some(Ok(_)));
    if held && session.req_header().version != Version::HTTP_2 {
        let gone = |e: Box<pingora::Error>| Error::new(Reason::ClientGone, e.to_string());
        flush(session).await.map_err(|e| Failed::During(gone(e)))?;
    }
    let next = match ready {
        Some(next) => next,
        None => unless_gone(session, pin!(incoming.chunk()))
            .await
            .map_err(Failed::During)?,
    };
    next.map_err(|error| Failed::During(Error::from(error)))
}

async fn inflate_to(
    session: &mut Session,
    decoder: &mut MultiGzDecoder<Vec<u8>>,
    chunk: &[u8],
) -> Result<(), Failed> {
    for piece in chunk.chunks(INFLATE_STEP) {
        decoder
            .write_all(piece)
            .map_err(|e| Failed::During(inflate_error(&e)))?;
        let plain = std::mem::take(decoder.get_mut());
        if !plain.is_empty() {
            let written = session
                .write_response_body(Some(Bytes::from(plain)), false)
                .await;
            written.map_err(|e| Failed::During(Error::new(Reason::ClientGone, e.to_string())))?;
        }
    }
    Ok(())
}

fn inflate_error(error: &std::io::Error) -> Error {
    NetError::new(Reason::BackendInvalid, format!("gzip: {error}")).into()
}
