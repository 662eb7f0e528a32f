//! The fast lane: one request, from the bytes that came to the bytes that go, without a session of the
//! platform. Every decision is made by the same code as on Pingora's path.

use crate::base::future::boxed;
use crate::base::{Dialect, Error, Reason, Reply, clock};
use crate::edge::answer::{self, Asked, Planned};
use crate::edge::body::Body;
use crate::edge::chunks::Fed;
use crate::edge::down::Down;
use crate::edge::duplex::{Duplex, Ended, Patience, Up};
use crate::edge::head::WireHead;
use crate::edge::line::Line;
use crate::edge::reader;
use crate::edge::room::Room;
use crate::edge::wire::{self, Written};
use crate::gateway::ctx::Ctx;
use crate::gateway::gate::{Caller, Passage};
use crate::gateway::head::{BodySize, Head};
use crate::gateway::http1::HeadInfo;
use crate::gateway::retry::{Answer, Failure, Retry};
use crate::gateway::snapshot::{Backend, Compose, Endpoint, Gateway, Plan};
use crate::gateway::stage::{Called, Edits};
use crate::net::io::Conn;
use crate::net::{Deadline, NetError, Target, Tried};
use crate::pipe::call::Named;
use crate::pipe::{self, Inbound, call};
use crate::proxy::finish;
use crate::proxy::request::{Routed, enter, guard, identify, route};
use crate::proxy::stream::Failed;
use crate::proxy::{Exchange, builtin, compose, respond};
use crate::telemetry::metrics::{self, Metrics};
use bytes::{Bytes, BytesMut};
use http::{Method, header};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What every request on the lane shares.
#[derive(Debug)]
pub struct Lane {
    /// Counters of the process.
    pub metrics: Arc<Metrics>,
    /// Whether the process is about to end.
    pub draining: &'static AtomicBool,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Another request may come.
    Again,
    /// It ends now.
    Close,
    /// It ends once the client has had time to read its answer: part of the request was not read.
    Linger,
    /// Nothing happened: the request is for the other lane.
    NotOurs,
}

impl After {
    /// What follows an answer: whether the client was told to stay, and whether all of its request was read.
    const fn of(keep: bool, received: bool) -> Self {
        match (keep, received) {
            (true, _) => Self::Again,
            (false, true) => Self::Close,
            (false, false) => Self::Linger,
        }
    }
}

/// One request on the lane.
struct Visit<'a> {
    line: &'a mut Line,
    room: &'a mut Room,
    info: &'a HeadInfo,
    /// The head, and what came of the body with it.
    bytes: BytesMut,
    /// What of the latter is what.
    fed: Fed,
    /// What is still to come of the body.
    body: Body,
    /// Whether the client may stay, as far as its request tells.
    keep: bool,
    /// Nobody may stay any more.
    draining: &'a AtomicBool,
    status: u16,
    bytes_out: u64,
    bytes_in: u64,
}

impl Lane {
    /// Whether connections are to end with their next answer.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Serves the request whose checked head stands at the front of the line's bytes, if it is one for
    /// this lane; `keep` says whether the connection may go on after it.
    pub async fn serve(
        &self,
        line: &mut Line,
        gateway: Arc<Gateway>,
        info: &HeadInfo,
        room: &mut Room,
        keep: bool,
    ) -> After {
        let mut x = Exchange::new(Arc::clone(&gateway), self.draining);
        room.swap_lists(&mut x);
        let Some(routed) = routed(&gateway, line, info, room, &mut x) else {
            room.swap_lists(&mut x);
            return After::NotOurs;
        };
        let (body, fed, bad) = begun(info, &line.held);
        let bytes = take_front(&mut line.held, info.end + fed.used);
        let alone = line.held.is_empty();
        let mut visit = Visit {
            bytes,
            line,
            room,
            info,
            bytes_in: fed.data,
            fed,
            body,
            keep,
            draining: self.draining,
            status: 0,
            bytes_out: 0,
        };
        // What lives while something is waited for is part of every request's memory, so each piece ends here.
        let guarded = {
            let head = visit.head();
            guard(&gateway, &head, &mut x, routed).await
        };
        let outcome = match guarded {
            _ if bad => Err(Failed::Before(Reason::BadChunk.into())),
            Ok(Routed::Endpoint(id)) => visit.admitted(&gateway, &mut x, id).await,
            Ok(Routed::Answered(reply) | Routed::Reply(reply)) => {
                Ok(visit.answer(&finish::own(&mut x, reply)).await)
            }
            Ok(Routed::Builtin(which)) => {
                let draining = self.is_draining();
                let reply = builtin::reply(which, &visit.head(), &[], &x.ctx, draining);
                Ok(visit.answer(&finish::own(&mut x, reply)).await)
            }
            Err(error) => Err(Failed::Before(error)),
        };
        let after = match outcome {
            Ok(after) => after,
            Err(failed) => visit.failed(&self.metrics, &mut x, failed).await,
        };
        self.metrics.lane(metrics::Lane::Fast);
        visit.line.seen = Some(finish::finish(&x, &visit.told()));
        visit.room.swap_lists(&mut x);
        if alone {
            reader::rest(visit.bytes);
        }
        after
    }
}

/// What a request meets; `None` when this lane can do nothing for it. Nothing is counted yet: the other
/// lane asks the same again.
fn routed(
    gateway: &Gateway,
    line: &Line,
    info: &HeadInfo,
    room: &Room,
    x: &mut Exchange,
) -> Option<Result<Routed, Error>> {
    let head = &WireHead::new(
        &line.held,
        info,
        &room.spans,
        line.peer,
        line.tls.as_deref(),
    );
    identify(head, x);
    let routed = route(gateway, head, x);
    match &routed {
        Ok(Routed::Endpoint(id)) => {
            let endpoint = gateway.endpoints.get(*id)?;
            endpoint.lane_now().ok()?;
            let parts = endpoint.split.iter().flat_map(|split| &split.parts);
            for part in parts {
                let part = gateway.endpoints.get(part.endpoint)?;
                part.lane_now().ok()?;
            }
        }
        Ok(Routed::Builtin(which)) if builtin::wants_body(*which) => return None,
        _ => {}
    }
    Some(routed)
}

/// What is still to come of the body, what of it came with its head, and whether that cannot be a body.
fn begun(info: &HeadInfo, held: &[u8]) -> (Body, Fed, bool) {
    let mut body = Body::of(info.body);
    let fed = body.feed(held.get(info.end..).unwrap_or_default());
    let bad = fed.is_err();
    (body, fed.unwrap_or_default(), bad)
}

/// Splits the first bytes off. Mostly nothing is left, and then no memory is shared.
fn take_front(held: &mut BytesMut, end: usize) -> BytesMut {
    if end >= held.len() {
        return std::mem::take(held);
    }
    held.split_to(end)
}

impl Visit<'_> {
    fn head(&self) -> WireHead<'_> {
        let line = &self.line;
        WireHead::new(
            &self.bytes,
            self.info,
            &self.room.spans,
            line.peer,
            line.tls.as_deref(),
        )
    }

    /// What became of it, for the access line.
    fn told(&self) -> finish::Told<'_> {
        finish::Told {
            method: self.info.method.as_str(),
            path: self.head().raw_path(),
            status: self.status,
            bytes_out: self.bytes_out,
            bytes_in: self.bytes_in,
        }
    }

    /// Asks limits and stages, then streams.
    async fn admitted(
        &mut self,
        gateway: &Gateway,
        x: &mut Exchange,
        id: usize,
    ) -> Result<After, Failed> {
        let entered = {
            let head = self.head();
            enter(gateway, &head, x, id).await
        };
        if let Some(reply) = entered? {
            return Ok(self.answer(&finish::own(x, reply)).await);
        }
        let id = x.ctx.endpoint.unwrap_or(id);
        let endpoint = gateway.endpoints.get(id).ok_or(Reason::Internal);
        let endpoint = endpoint.map_err(Error::from)?;
        let backend = match &endpoint.plan {
            Plan::Stream(backend) => backend,
            // Boxed: it is large, and a stream would carry its room for nothing.
            Plan::Compose(plan) => return boxed(|| self.compose(x, endpoint, plan)).await,
        };
        x.ctx.backend = Some(0);
        x.upload.count(self.fed.data).map_err(Error::from)?;
        let mut passage = self.passage(backend, Caller::of(&x.ctx)).await?;
        let to = (gateway, endpoint, &**backend);
        let streamed = self.stream(x, to, &mut passage).await;
        passage.leave(match &streamed {
            Ok(_) => Ok(self.status),
            Err(Failed::Before(error) | Failed::During(error)) => Err(error),
        });
        streamed
    }

    /// Passes a backend's gates. Nobody waits in a queue for a client that has gone.
    async fn passage<'g>(
        &mut self,
        backend: &'g Backend,
        caller: Caller,
    ) -> Result<Passage<'g>, Error> {
        let entering = pin!(Passage::enter(&backend.gates, caller));
        if !self.body.done() {
            return entering.await;
        }
        let entered = self.line.while_there(entering).await;
        entered.unwrap_or_else(|| Err(Reason::ClientGone.into()))
    }

    /// The exchange with a backend that streams; with another host of it where one fails and its rules allow it.
    async fn stream(
        &mut self,
        x: &mut Exchange,
        (gateway, endpoint, backend): (&Gateway, &Endpoint, &Backend),
        passage: &mut Passage<'_>,
    ) -> Result<After, Failed> {
        let started = x.ctx.started;
        let mut tried = Tried::default();
        let mut again = backend.retry.as_ref().map(|retry| {
            retry.budget.request();
            Again {
                retry,
                tries: 0,
                repeatable: self.body.done() && backend.method.is_idempotent(),
                until: started.checked_add(endpoint.timeout),
                others: true,
                wait: None,
            }
        });
        loop {
            let target = call::pick(backend, &x.ctx, &mut tried).await?;
            let seat = Arc::clone(target.seat());
            passage.meets(target);
            let target = seat.target();
            let written = self.written(x, backend, target).await?;
            x.tell_limits(false);
            let way = Way {
                gateway,
                endpoint,
                backend,
                target,
                written: &written,
                started,
            };
            if let Some(again) = &mut again {
                again.tries += 1;
                again.others = backend.hosts.has_others(tried);
            }
            let failed = match self.pass(x, &way, passage, again.as_mut()).await {
                Err(Failed::Before(error)) => error,
                outcome => return outcome,
            };
            let wait = again.as_mut().and_then(|again| again.after(&failed));
            let Some(wait) = wait else {
                return Err(failed.into());
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// What the request becomes for a host.
    async fn written(
        &mut self,
        x: &Exchange,
        backend: &Backend,
        target: &Target,
    ) -> Result<Written, Failed> {
        let (line, spans) = (&self.line, &self.room.spans);
        let head = WireHead::new(
            &self.bytes,
            self.info,
            spans,
            line.peer,
            line.tls.as_deref(),
        );
        let written = wire::request(&head, x, (backend, target), &mut self.room.out).await;
        written.map_err(|(entered, error)| {
            backend.meters.errors.inc();
            call::leave(backend, entered, &Err(error.clone()), &x.ctx);
            error.into()
        })
    }

    /// Tells a client why it gets no answer, as far as that can still be told.
    async fn failed(&mut self, metrics: &Metrics, x: &mut Exchange, failed: Failed) -> After {
        match failed {
            Failed::Before(error) if error.reason != Reason::ClientGone => {
                let accept = self.head().header(&header::ACCEPT).map(<[u8]>::to_vec);
                let reply = finish::refusal(metrics, x, error, accept.as_deref());
                self.answer(&reply).await
            }
            Failed::Before(error) | Failed::During(error) => {
                metrics.refused(error.reason);
                x.ctx.error = Some(error);
                After::Close
            }
        }
    }

    /// Writes a whole answer of the gateway's own.
    async fn answer(&mut self, reply: &Reply) -> After {
        let received = self.body.done();
        let draining = self.draining.load(Ordering::Relaxed);
        let keep = self.keep && received && !reply.close && !draining;
        let head_only = self.info.method == Method::HEAD;
        let out = respond::raw(reply, head_only, keep);
        if self.line.send(&out).await.is_err() {
            return After::Close;
        }
        self.status = reply.status;
        if !head_only {
            self.bytes_out = reply.body.len() as u64;
        }
        After::of(keep, received)
    }

    /// Answers with a composed answer.
    async fn compose(
        &mut self,
        x: &mut Exchange,
        endpoint: &Endpoint,
        plan: &Compose,
    ) -> Result<After, Failed> {
        let arrived = clock::now();
        let body = match self.info.body {
            BodySize::None => None,
            BodySize::Known(_) | BodySize::Unknown => Some(self.collect(x).await?),
        };
        // Native: the time that the client takes to send its body is not the backends'.
        let started = match x.ctx.gateway.dialect {
            Dialect::Native => clock::now(),
            Dialect::Krakend => arrived,
        };
        let line = &mut *self.line;
        let spans = &self.room.spans;
        // The line itself is needed for waiting.
        let tls = line.tls.clone();
        let head = WireHead::new(&self.bytes, self.info, spans, line.peer, tls.as_deref());
        let composed = {
            let inbound = Inbound {
                ctx: &x.ctx,
                endpoint,
                raw_path: head.raw_path(),
                raw_query: head.raw_query(),
                body,
                params: Named::new(),
                query: None,
                started,
            };
            let fields = compose::fields_for(&head, plan, x);
            let work = pin!(pipe::compose(plan, inbound, fields));
            let gone = || Error::from(Reason::ClientGone);
            line.while_there(work).await.ok_or_else(gone)??
        };
        let accept = head.header(&header::ACCEPT);
        let reply = compose::reply(x, endpoint, plan.output, composed, accept);
        Ok(self.answer(&reply).await)
    }

    /// The whole body, within the limits of its endpoint.
    async fn collect(&mut self, x: &mut Exchange) -> Result<Bytes, Error> {
        let mut whole = BytesMut::new();
        let begun = self.bytes.get(self.info.end..).unwrap_or_default();
        let bad = |_| Error::from(Reason::BadChunk);
        let mut body = Body::of(self.info.body);
        let first = body.decode(begun, |data| whole.extend_from_slice(data));
        let mut data = first.map_err(bad)?.data;
        loop {
            x.upload.count(data)?;
            self.bytes_in = whole.len() as u64;
            if body.done() {
                self.body = body;
                return Ok(whole.freeze());
            }
            if self.line.held.is_empty() {
                match self.line.receive(x.upload.patience()).await {
                    Some(1..) => {}
                    Some(_) => return Err(Reason::ClientGone.into()),
                    None => return Err(Reason::BodyTimeout.into()),
                }
            }
            let held = &mut self.line.held;
            let fed = body.decode(held, |data| whole.extend_from_slice(data));
            let fed = fed.map_err(bad)?;
            data = fed.data;
            drop(take_front(held, fed.used));
        }
    }

    /// Passes a request to its backend and the answer back: in one exchange, and another when the connection had died
    /// while it rested, nothing of an answer came and the request may be sent twice. All in one piece: what waits
    /// inside of what waits has its own copy of what it works with, in memory that every request touches.
    async fn pass(
        &mut self,
        x: &mut Exchange,
        way: &Way<'_>,
        passage: &mut Passage<'_>,
        again: Option<&mut Again<'_>>,
    ) -> Result<After, Failed> {
        let Exchange {
            ctx, edits, upload, ..
        } = x;
        let short = again.as_deref().and_then(Again::try_timeout);
        let repeatable = self.body.done() && way.backend.method.is_idempotent();
        let mut told = Told {
            passage,
            again,
            head: false,
        };
        let lost = 'lost: {
            let mut conn = match way.gateway.client.resting(way.target) {
                Some(conn) => conn,
                // Boxed: few requests wait for one.
                None => match Box::pin(way.connection(true, short)).await {
                    Ok(conn) => conn,
                    Err(ended) => break 'lost ended,
                },
            };
            loop {
                let ended = {
                    let body = std::mem::replace(&mut self.body, Body::Length(0));
                    let (out, line) = (&mut self.room.out, &mut *self.line);
                    let begun = self.bytes.get(self.info.end..).unwrap_or_default();
                    // What an exchange before this one left behind the head.
                    out.truncate(way.written.head);
                    let mut duplex = Duplex::new(
                        (&mut line.stream, &mut line.held, &mut line.timer),
                        &mut conn,
                        Up::new(out, (begun, &self.fed), body, upload),
                        Down::new(),
                        way.patience(told.again.as_deref()),
                    );
                    let mut answering = Answering {
                        ctx,
                        edits,
                        way,
                        head_only: self.info.method == Method::HEAD,
                        keep: &mut self.keep,
                        draining: self.draining,
                        told: &mut told,
                    };
                    let mut plan =
                        |head: &[u8], whole, out: &mut Vec<u8>| answering.plan(head, whole, out);
                    let ended = duplex.run(&mut plan).await;
                    let reusable = duplex.reusable();
                    let Duplex { up, down, .. } = duplex;
                    self.body = up.body;
                    self.bytes_in = up.received;
                    self.bytes_out = down.bytes;
                    if let Some(planned) = down.planned.filter(|_| down.written) {
                        self.status = planned.status.as_u16();
                    }
                    ended.map(|()| (reusable, self.keep && down.keeps_client))
                };
                match ended {
                    Ok((reusable, keep)) => {
                        if reusable {
                            way.gateway.client.keep(conn);
                        }
                        return Ok(After::of(keep, self.body.done()));
                    }
                    Err(Ended::Backend {
                        untouched: true, ..
                    }) if conn.reused && repeatable => {}
                    Err(ended) => break 'lost ended,
                }
                drop(conn);
                conn = match Box::pin(way.connection(false, short)).await {
                    Ok(conn) => conn,
                    Err(ended) => break 'lost ended,
                };
            }
        };
        Err(self.lost(lost, way, told.head, ctx))
    }

    /// Why there is no answer, or no whole one; the backend's stages are told if they were not told of one.
    fn lost(&self, ended: Ended, way: &Way<'_>, told: bool, ctx: &Ctx) -> Failed {
        let error = match ended {
            Ended::Client(reason) => Error::from(reason),
            Ended::Backend { error, .. } => {
                way.backend.meters.errors.inc();
                let url = way.target.url(&way.written.path);
                Error::from(error.wrap(&way.backend.method, &url))
            }
        };
        if !told {
            let failed = Err(error.clone());
            call::leave(way.backend, way.written.entered, &failed, ctx);
        }
        match self.status {
            0 => Failed::Before(error),
            _ => Failed::During(error),
        }
    }
}

/// The tries of one request.
struct Again<'r> {
    retry: &'r Retry,
    tries: u32,
    /// Whether the request may be sent twice.
    repeatable: bool,
    /// When there is no time left.
    until: Option<Instant>,
    /// Whether there are hosts that were not tried.
    others: bool,
    /// An answer was not taken: the wait before the next try.
    wait: Option<Duration>,
}

impl Again<'_> {
    /// How long to wait before a call that failed is made again, if it is.
    fn after(&mut self, error: &Error) -> Option<Duration> {
        let repeatable = self.repeatable;
        let failure = Failure { error, repeatable };
        let wait = self.wait.take();
        wait.or_else(|| self.retry.after(self.tries, failure, self.left()))
    }

    fn left(&self) -> Option<Duration> {
        let until = self.until?;
        Some(until.saturating_duration_since(clock::now()))
    }

    /// Whether an answer of this status and head is passed over for another one.
    fn after_status(&mut self, status: u16, head: &[u8]) -> bool {
        if !self.retry.statuses.contains(&status) {
            return false;
        }
        let answer = Answer {
            status,
            waits: says_when_to_return(head),
            elsewhere: self.others,
            repeatable: self.repeatable,
        };
        self.wait = self.retry.after_answer(self.tries, answer, self.left());
        self.wait.is_some()
    }

    fn try_timeout(&self) -> Option<Duration> {
        let left = self.repeatable && self.retry.is_left(self.tries);
        self.retry.try_timeout.filter(|_| left)
    }
}

/// Whether a head has a `Retry-After`.
fn says_when_to_return(head: &[u8]) -> bool {
    const NAME: &[u8] = b"retry-after:";
    head.split(|byte| *byte == b'\n').any(|line| {
        line.get(..NAME.len())
            .is_some_and(|name| name.eq_ignore_ascii_case(NAME))
    })
}

/// Who is told that the backend answered.
struct Told<'p, 'g, 'r> {
    passage: &'p mut Passage<'g>,
    again: Option<&'p mut Again<'r>>,
    /// Whether they know.
    head: bool,
}

/// What is done with the heads of an answer.
struct Answering<'a, 'b, 'p, 'g, 'r> {
    ctx: &'a Ctx,
    edits: &'a Edits,
    way: &'a Way<'b>,
    head_only: bool,
    /// Whether the client may stay.
    keep: &'a mut bool,
    draining: &'a AtomicBool,
    /// The backend's stages and gates.
    told: &'a mut Told<'p, 'g, 'r>,
}

impl Answering<'_, '_, '_, '_, '_> {
    /// Makes the client's head of a backend's; `whole` says whether all of the request was sent.
    fn plan(&mut self, head: &[u8], whole: bool, out: &mut Vec<u8>) -> Result<Planned, NetError> {
        let (ctx, edits) = (self.ctx, self.edits);
        let backend = self.way.backend;
        // The process may have begun to end since the request came.
        *self.keep &= !self.draining.load(Ordering::Relaxed);
        let asked = Asked {
            ctx,
            edits,
            method: &backend.method,
            head_only: self.head_only,
            keep: *self.keep && whole,
        };
        let start = out.len();
        let planned = answer::plan(head, &asked, out)?;
        let status = planned.status.as_u16();
        if let Some(again) = &mut self.told.again
            && again.after_status(status, head)
        {
            out.truncate(start);
            return Err(NetError::new(
                Reason::BackendStatus,
                "the answer is not taken",
            ));
        }
        if !planned.status.is_informational() && !std::mem::replace(&mut self.told.head, true) {
            self.told.passage.began(status);
            let called = Ok(Called {
                status: Some(status),
            });
            call::leave(backend, self.way.written.entered, &called, ctx);
        }
        Ok(planned)
    }
}

/// Where a request goes.
struct Way<'a> {
    gateway: &'a Gateway,
    endpoint: &'a Endpoint,
    backend: &'a Backend,
    target: &'a Target,
    written: &'a Written,
    started: Instant,
}

impl Way<'_> {
    fn patience(&self, again: Option<&Again<'_>>) -> Patience {
        let own = self.gateway.client.head_timeout();
        let short = again.and_then(Again::try_timeout);
        Patience {
            started: self.started,
            answer: self.endpoint.timeout,
            head: match (own, short) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
            pause: self.gateway.service.stream_idle,
        }
    }

    async fn connection(&self, pooled: bool, short: Option<Duration>) -> Result<Conn, Ended> {
        let whole = Deadline::at((self.started + self.endpoint.timeout).into());
        let deadline = short.map_or(whole, |span| whole.earlier(Deadline::after(span)));
        let client = &self.gateway.client;
        let reached = client.connection(self.target, deadline, pooled).await;
        reached.map_err(|error: NetError| Ended::Backend {
            error,
            untouched: false,
        })
    }
}
