//! The exchange of a call: a host is picked, the request is sent, redirects are followed, and where a host fails
//! another one is asked as far as the backend's rules allow it (`gateway::retry`).
//!
//! Differs from KrakenD, which asks one host once.

use crate::base::{Dialect, Error, Reason};
use crate::gateway::ctx::Ctx;
use crate::gateway::gate::Passage;
use crate::gateway::retry::{Answer, Failure};
use crate::gateway::snapshot::{Backend, Hosts};
use crate::net::balance::Seat;
use crate::net::balance::regions::Going;
use crate::net::{Deadline, Incoming, Interims, Lent, NetError, OutBody, Outgoing, Target, Tried};
use crate::pipe::call::{Fields, Inbound, Request, declares_length};
use crate::pipe::redirect;
use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderName, HeaderValue};
use std::sync::Arc;

/// A host of the backend for one call, none of those that were tried as long as there is another.
///
/// # Errors
/// When there is none.
pub async fn pick(backend: &Backend, ctx: &Ctx, tried: &mut Tried) -> Result<Lent, Error> {
    let key = match backend.affinity {
        Some(_) => ctx.keys.get(backend.index).copied().unwrap_or(0),
        None => 0,
    };
    let none = || Error::new(Reason::NoHosts, "no hosts available");
    match &backend.hosts {
        Hosts::Fixed(pool) => pool.pick(key, tried).ok_or_else(none),
        Hosts::Regional(regional) => {
            // The last try goes to another region: what failed may be all of this one.
            let retry = backend.retry.as_ref();
            let last = retry.is_some_and(|retry| !retry.is_left(tried.count() + 1));
            let going = match last && tried.count() > 0 {
                _ if ctx.spilled => Going::Nowhere,
                true => Going::Onwards,
                false => Going::Anywhere,
            };
            let picked = regional.regions.pick(key, tried, going);
            let lent = picked.ok_or_else(none)?;
            if let Some(calls) = regional.calls.get(lent.region()) {
                calls.inc();
            }
            Ok(lent)
        }
        Hosts::Srv(srv) => Ok(srv.pick(key, tried).await?),
    }
}

/// An answer and where it came from after redirects.
#[derive(Debug)]
pub struct Exchange {
    /// The answer.
    pub incoming: Incoming,
    /// Where it came from.
    pub origin: Origin,
}

/// Where an answer came from.
#[derive(Debug)]
pub struct Origin {
    from: From,
    /// Path and query.
    path: String,
}

/// Who gave an answer.
#[derive(Debug)]
enum From {
    /// A host of the backend.
    Host(Arc<Seat>),
    /// Whoever a redirect or a stage named.
    Other(Box<Target>),
}

impl Origin {
    /// The URL that gave the answer; made when somebody asks.
    pub fn url(&self) -> String {
        match &self.from {
            From::Host(seat) => seat.target().url(&self.path),
            From::Other(target) => target.url(&self.path),
        }
    }
}

/// Where a request goes at first.
#[derive(Debug)]
pub enum First {
    /// To whichever host is picked.
    Any,
    /// To this one, which was picked already.
    Host(Lent, Tried),
    /// To what a stage named; nobody else can stand in for it.
    Elsewhere(Box<Target>),
}

/// Sends a request and follows redirects where the backend says so; to another host, where this one fails and the
/// backend's rules allow it. `stream` is a body that can be sent only once; without it the body of the request is
/// sent. Interim answers go to `interims`. The passage is told of each host.
///
/// # Errors
/// The transport's, in Go's words.
pub async fn exchange(
    (backend, passage): (&Backend, &mut Passage<'_>),
    inbound: &Inbound<'_>,
    mut request: Request,
    mut stream: Option<OutBody<'_>>,
    deadline: Deadline,
    (first, interims): (First, Option<&Interims>),
) -> Result<Exchange, Error> {
    let ctx = inbound.ctx;
    let host = own_host(&mut request.fields);
    let way = Sending {
        backend,
        inbound,
        host: host.as_ref(),
        interims,
        once: stream.is_some(),
        // A stage that says how long its body is means it.
        declares: declares_length(backend, ctx)
            || request
                .fields
                .iter()
                .any(|(name, _)| *name == header::CONTENT_LENGTH),
    };
    let (mut next, mut tried) = match first {
        First::Elsewhere(target) => {
            let body = stream.take();
            let sent = way.follow(&target, &request, body, deadline).await;
            let sent = sent.map_err(|broken| broken.error)?;
            return Ok(sent.exchange(|| From::Other(target), request));
        }
        First::Host(host, tried) => (Some(host), tried),
        First::Any => (None, Tried::default()),
    };
    let retry = backend.retry.as_ref();
    if let Some(retry) = retry {
        retry.budget.request();
    }
    let repeatable = !way.once && request.method.is_idempotent();
    let mut tries = 0;
    loop {
        let target = match next.take() {
            Some(host) => host,
            None => pick(backend, ctx, &mut tried).await?,
        };
        let seat = Arc::clone(target.seat());
        passage.meets(target);
        tries += 1;
        let short = retry
            .filter(|retry| repeatable && retry.is_left(tries))
            .and_then(|retry| retry.try_timeout);
        let until = short.map_or(deadline, |span| deadline.earlier(Deadline::after(span)));
        let body = stream.as_mut().map(reborrowed);
        let wait = match (
            way.follow(seat.target(), &request, body, until).await,
            retry,
        ) {
            (Ok(mut sent), Some(retry)) => {
                let answer = Answer {
                    status: sent.incoming.status.as_u16(),
                    waits: sent.incoming.headers.contains_key(header::RETRY_AFTER),
                    elsewhere: backend.hosts.has_others(tried),
                    repeatable,
                };
                let Some(wait) = retry.after_answer(tries, answer, deadline.left()) else {
                    if short.is_some() {
                        sent.incoming.set_deadline(deadline);
                    }
                    return Ok(sent.exchange(|| From::Host(seat), request));
                };
                wait
            }
            (Ok(sent), None) => return Ok(sent.exchange(|| From::Host(seat), request)),
            (Err(broken), None) => return Err(broken.error),
            (Err(Broken { error, later }), Some(retry)) => {
                let failure = Failure {
                    error: &error,
                    repeatable,
                };
                let again = || retry.after(tries, failure, deadline.left());
                let Some(wait) = (!later).then(again).flatten() else {
                    return Err(error);
                };
                wait
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// The same body for one more try: what can be sent only once is asked for only when a connection is there.
fn reborrowed<'b>(body: &'b mut OutBody<'_>) -> OutBody<'b> {
    match body {
        OutBody::None => OutBody::None,
        OutBody::Full { bytes, chunked } => OutBody::Full {
            bytes: bytes.clone(),
            chunked: *chunked,
        },
        OutBody::Stream { source, length } => OutBody::Stream {
            source: &mut **source,
            length: *length,
        },
    }
}

/// What the tries of one request share.
struct Sending<'s> {
    backend: &'s Backend,
    inbound: &'s Inbound<'s>,
    host: Option<&'s HeaderValue>,
    interims: Option<&'s Interims>,
    /// The body can be sent only once.
    once: bool,
    declares: bool,
}

/// An answer, and where it came from if redirects led away.
struct Sent {
    incoming: Incoming,
    away: Option<(Target, String)>,
}

impl Sent {
    fn exchange(self, from: impl FnOnce() -> From, request: Request) -> Exchange {
        let (from, path) = match self.away {
            Some((target, path)) => (From::Other(Box::new(target)), path),
            None => (from(), request.target),
        };
        Exchange {
            incoming: self.incoming,
            origin: Origin { from, path },
        }
    }
}

/// A try that failed.
struct Broken {
    error: Error,
    /// The first answer was a redirect: what failed is not the backend's host.
    later: bool,
}

/// A request after a redirect.
struct Hop {
    target: Target,
    request: Request,
}

impl Sending<'_> {
    /// Sends a request to a host and follows redirects.
    async fn follow(
        &self,
        first: &Target,
        request: &Request,
        mut stream: Option<OutBody<'_>>,
        deadline: Deadline,
    ) -> Result<Sent, Broken> {
        let ctx = self.inbound.ctx;
        let client = &ctx.gateway.client;
        // Native: the time that the client takes to send its body is not the backend's.
        let native = ctx.gateway.dialect == Dialect::Native;
        let patience = native.then_some(self.inbound.endpoint.timeout);
        let mut hop: Option<Hop> = None;
        for count in 0..=redirect::MAX {
            let (target, now, host) = match &hop {
                None => (first, request, self.host),
                Some(hop) => (&hop.target, &hop.request, None),
            };
            let out = Outgoing {
                method: &now.method,
                path_and_query: &now.target,
                host: host.map(HeaderValue::as_bytes),
                fields: &now.fields,
                patience: patience.filter(|_| stream.is_some()),
                interims: self.interims,
                body: stream
                    .take()
                    .unwrap_or_else(|| out_body(&now.method, now.body.clone(), self.declares)),
            };
            let later = hop.is_some();
            let wrap = |e: NetError| Broken {
                error: e.wrap(&now.method, &target.url(&now.target)).into(),
                later,
            };
            let incoming = client.send(target, out, deadline).await.map_err(wrap)?;
            let next = self.next(first, (target, now), &incoming).map_err(wrap)?;
            let Some(next) = next else {
                let away = hop.map(|hop| (hop.target, hop.request.target));
                return Ok(Sent { incoming, away });
            };
            if count == redirect::MAX {
                let text = "stopped after 10 redirects";
                return Err(wrap(NetError::new(Reason::BackendInvalid, text)));
            }
            hop = Some(next);
        }
        Err(Broken {
            error: Reason::Internal.into(),
            later: true,
        })
    }

    /// Where an answer leads, if it is a redirect that is followed.
    fn next(
        &self,
        first: &Target,
        (target, now): (&Target, &Request),
        incoming: &Incoming,
    ) -> Result<Option<Hop>, NetError> {
        if !self.backend.follow_redirects {
            return Ok(None);
        }
        let replayable = !self.once && (now.body.is_none() || self.backend.send_body_on_redirect);
        let status = incoming.status.as_u16();
        let (from, path) = (target.authority(), &now.target);
        let headers = &incoming.headers;
        let next = redirect::follow(status, headers, &now.method, from, path, replayable);
        let Some(next) = next else { return Ok(None) };
        let gateway = &self.inbound.ctx.gateway;
        let there = gateway
            .target_of(self.backend, &next.origin)
            .map_err(|text| NetError::new(Reason::BackendInvalid, text))?;
        let mut fields = now.fields.clone();
        let (home, away) = (&first.authority().host, &there.authority().host);
        redirect::prepare(&mut fields, &next, home, away);
        set_referer(&mut fields, &target.url(path));
        Ok(Some(Hop {
            target: there,
            request: Request {
                method: next.method,
                target: next.target,
                fields,
                body: now.body.clone().filter(|_| next.keep_body),
            },
        }))
    }
}

/// A `Host` that a stage has put among the fields.
fn own_host(fields: &mut Fields) -> Option<HeaderValue> {
    let at = fields.iter().position(|(name, _)| *name == header::HOST)?;
    let (_, host) = fields.swap_remove(at);
    fields.retain(|(name, _)| *name != header::HOST);
    Some(host)
}

/// The previous URL, except from https to http.
fn set_referer(fields: &mut Vec<(HeaderName, HeaderValue)>, url: &str) {
    fields.retain(|(name, _)| *name != header::REFERER);
    if !url.starts_with("https://")
        && let Ok(value) = HeaderValue::from_str(url)
    {
        fields.push((header::REFERER, value));
    }
}

fn out_body<'b>(method: &Method, body: Option<Bytes>, declare_length: bool) -> OutBody<'b> {
    match body {
        Some(bytes) => OutBody::Full {
            chunked: !declare_length && !bytes.is_empty(),
            bytes,
        },
        // Methods that define a body say that there is none.
        None if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => OutBody::Full {
            bytes: Bytes::new(),
            chunked: false,
        },
        None => OutBody::None,
    }
}
