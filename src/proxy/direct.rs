//! The request of an HTTP/2 client on its way to an HTTP/1.1 backend whose calls no stage looks at: the head is written
//! straight from the client's, and what has come of the body leaves with it in one write.

use crate::base::{Error, Reason};
use crate::gateway::gate::Passage;
use crate::gateway::head::{BodySize, Head};
use crate::gateway::retry::{Answer, Failure};
use crate::gateway::snapshot::{Backend, Endpoint};
use crate::net::client::Written;
use crate::net::{Client, Deadline, Incoming, NetError, Target, Tried};
use crate::pipe::{call, wire};
use crate::proxy::Exchange;
use crate::proxy::compose::unless_gone;
use crate::proxy::head::SessionHead;
use crate::proxy::upload::{SessionBody, Upload};
use http::{Version, header};
use pingora::proxy::Session;
use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

thread_local! {
    static OUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bodies up to this size travel with their head in one write.
const JOINED: usize = 16 << 10;
/// Most memory that rests on a thread for the next request.
const LARGEST: usize = 48 << 10;

/// Whether a request may go this way.
pub fn fits(session: &Session, endpoint: &Endpoint, backend: &Backend) -> bool {
    session.req_header().version == Version::HTTP_2
        && endpoint.lane_now().is_ok()
        && backend.call.is_empty()
}

/// Sends the request and waits for the answer's head.
///
/// # Errors
/// Why there is no answer.
pub async fn exchange(
    session: &mut Session,
    x: &mut Exchange,
    (endpoint, backend): (&Endpoint, &Backend),
    passage: &mut Passage<'_>,
) -> Result<Incoming, Error> {
    let gateway = Arc::clone(&x.ctx.gateway);
    let mut tried = Tried::default();
    let mut target = call::pick(backend, &x.ctx, &mut tried).await?;
    let mut out = OUT.take();
    out.clear();
    let has_body = !session.as_downstream_mut().is_body_empty();
    let head = SessionHead::new(session.as_downstream(), has_body);
    let size = head.body();
    let query = head.query().unwrap_or_default();
    let path = call::wire_target(backend, &x.ctx, head.path(), query)?;
    let told = (&x.ctx, x.edits.upstream.as_slice());
    wire::head(&head, &path, told, (backend, &target), &mut out)?;
    let client = &gateway.client;
    wire::finish(&mut out, size, (backend, client));
    let mut body_at = out.len();
    let left = match size {
        BodySize::Known(length) => Some(join(session, &mut x.upload, length, &mut out).await?),
        BodySize::None | BodySize::Unknown => None,
    };
    let whole = match size {
        BodySize::None => true,
        _ => left == Some(0) && session.as_downstream_mut().is_body_done(),
    };
    let retry = backend.retry.as_ref();
    if let Some(retry) = retry {
        retry.budget.request();
    }
    let repeatable = whole && backend.method.is_idempotent();
    let deadline = x.ctx.started.checked_add(endpoint.timeout);
    let deadline = deadline.map_or(Deadline::NEVER, |at| Deadline::at(at.into()));
    let mut tries = 1;
    let answer = loop {
        let seat = Arc::clone(target.seat());
        passage.meets(target);
        let way = Way {
            client,
            target: seat.target(),
            endpoint,
            backend,
        };
        let answer = if whole {
            let short = retry.filter(|retry| repeatable && retry.is_left(tries));
            let short = short.and_then(|retry| retry.try_timeout);
            let until = short.map_or(deadline, |span| deadline.earlier(Deadline::after(span)));
            let sent = pin!(way.send(&out, until));
            unless_gone(session, sent).await?
        } else {
            way.pass(session, &mut x.upload, &out, left).await?
        };
        let answer = answer
            .map_err(|error| Error::from(error.wrap(&backend.method, &seat.target().url(&path))));
        let wait = retry.and_then(|retry| match &answer {
            Ok(incoming) => {
                let answer = Answer {
                    status: incoming.status.as_u16(),
                    waits: incoming.headers.contains_key(header::RETRY_AFTER),
                    elsewhere: backend.hosts.has_others(tried),
                    repeatable,
                };
                retry.after_answer(tries, answer, deadline.left())
            }
            Err(error) => retry.after(tries, Failure { error, repeatable }, deadline.left()),
        });
        let Some(wait) = wait else { break answer };
        tokio::time::sleep(wait).await;
        tries += 1;
        target = call::pick(backend, &x.ctx, &mut tried).await?;
        // The head is another one for another host; the body behind it stays.
        let body = out.split_off(body_at.min(out.len()));
        out.clear();
        let has_body = size != BodySize::None;
        let head = SessionHead::new(session.as_downstream(), has_body);
        let told = (&x.ctx, x.edits.upstream.as_slice());
        wire::head(&head, &path, told, (backend, &target), &mut out)?;
        wire::finish(&mut out, size, (backend, client));
        body_at = out.len();
        out.extend_from_slice(&body);
    };
    if out.capacity() <= LARGEST {
        OUT.set(out);
    }
    answer
}

/// Appends what is there of a body of this length; how much of it is still to come.
async fn join(
    session: &mut Session,
    upload: &mut Upload,
    length: u64,
    out: &mut Vec<u8>,
) -> Result<u64, Error> {
    let most = out.len() + JOINED;
    let mut left = length;
    while left > 0 && out.len() < most {
        let mut next = pin!(upload.next(session));
        let ready = std::future::poll_fn(|cx| match next.as_mut().poll(cx) {
            Poll::Ready(chunk) => Poll::Ready(Some(chunk)),
            Poll::Pending => Poll::Ready(None),
        });
        let Some(chunk) = ready.await else { break };
        let Some(chunk) = chunk? else {
            return Err(Error::new(Reason::BadBody, "the body ended early"));
        };
        left = left
            .checked_sub(chunk.len() as u64)
            .ok_or_else(|| Error::new(Reason::BadBody, "the body is too long"))?;
        out.extend_from_slice(&chunk);
    }
    Ok(left)
}

/// Where a request goes.
struct Way<'a> {
    client: &'a Client,
    target: &'a Target,
    endpoint: &'a Endpoint,
    backend: &'a Backend,
}

impl Way<'_> {
    /// A request that is there as a whole.
    async fn send(&self, first: &[u8], deadline: Deadline) -> Result<Incoming, NetError> {
        let out = Written {
            method: &self.backend.method,
            first,
            rest: None,
            patience: None,
        };
        self.client.send_written(self.target, out, deadline).await
    }

    /// One whose body is still coming: the time that the client takes for it is not the backend's.
    async fn pass(
        &self,
        session: &mut Session,
        upload: &mut Upload,
        first: &[u8],
        left: Option<u64>,
    ) -> Result<Result<Incoming, NetError>, Error> {
        let mut source = SessionBody {
            session,
            upload,
            interims: None,
            failed: None,
        };
        let out = Written {
            method: &self.backend.method,
            first,
            rest: Some((&mut source, left)),
            patience: Some(self.endpoint.timeout),
        };
        let deadline = Deadline::after(self.endpoint.timeout);
        let sent = self.client.send_written(self.target, out, deadline).await;
        match (sent, source.failed) {
            // The client's fault is told as such and not as the backend's.
            (Err(_), Some(error)) => Err(error),
            (sent, _) => Ok(sent),
        }
    }
}
