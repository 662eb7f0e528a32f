//! The phases of `ProxyHttp`; each only says what happens when, the work is in the sibling files.

use crate::base::{Dialect, Error, Reason, Reply};
use crate::gateway::ctx::Ctx;
use crate::gateway::gate::{Caller, Ending, Passage};
use crate::gateway::head::{BodySize, Head};
use crate::gateway::snapshot::{Backend, Builtin, Plan};
use crate::gateway::stage::{Call, Called};
use crate::pipe::call;
use crate::proxy::head::SessionHead;
use crate::proxy::request::{
    Routed, check_limits, enter, guard, identify, route, wants_body, wants_upgrade,
};
use crate::proxy::stream::Failed;
use crate::proxy::upstream;
use crate::proxy::{Exchange, Proxy, answer, builtin, compose, failure, finish, respond, stream};
use crate::telemetry::metrics::Lane;
use async_trait::async_trait;
use bytes::Bytes;
use http::{Version, header};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::{HttpPeer, Peer};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a client to take a piece of its answer.
const STUCK: Duration = Duration::from_secs(60);

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new(self.live.pin(), self.draining)
    }

    /// None: compression would buffer what streams, and each module costs every request.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, x: &mut Exchange) -> Result<()> {
        x.retire(session);
        // A client that takes nothing for this long is gone.
        session.set_write_timeout(Some(STUCK));
        let head = SessionHead::new(session.as_downstream(), true);
        identify(&head, x);
        // The door has looked at HTTP/1 heads; HTTP/2 comes past it.
        if session.req_header().version == Version::HTTP_2
            && let Err(error) = check_limits(&head, x)
        {
            return Err(fail(x, error));
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, x: &mut Exchange) -> Result<bool> {
        match self.serve(session, x).await {
            Ok(done) => Ok(done),
            Err(Failed::Before(error)) if error.reason != Reason::ClientGone => {
                self.refuse(session, x, error).await?;
                Ok(true)
            }
            // The head is out, or nobody is there: only the connection can tell.
            Err(Failed::Before(error) | Failed::During(error)) => Err(fail(x, error)),
        }
    }

    async fn upstream_peer(&self, _: &mut Session, x: &mut Exchange) -> Result<Box<HttpPeer>> {
        let gateway = Arc::clone(&x.ctx.gateway);
        let Some((backend, timeout)) = streaming_backend(&gateway, &x.ctx) else {
            return Err(fail(x, Reason::Internal.into()));
        };
        if let Err(error) = before_call(x, backend).await {
            return Err(fail(x, error));
        }
        let Exchange { ctx, upstream, .. } = x;
        let upstream = upstream.get_or_insert_default();
        upstream::peer((&gateway, ctx), backend, timeout, upstream)
            .await
            .map_err(|error| fail(x, error))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        x: &mut Exchange,
    ) -> Result<()> {
        let gateway = Arc::clone(&x.ctx.gateway);
        let Some((backend, _)) = streaming_backend(&gateway, &x.ctx) else {
            return Err(fail(x, Reason::Internal.into()));
        };
        let has_body = !session.as_downstream_mut().is_body_empty();
        let head = SessionHead::new(session.as_downstream(), has_body);
        let length = match head.body() {
            BodySize::Known(length) => Some(length),
            BodySize::None | BodySize::Unknown => None,
        };
        let h2 = request.version == Version::HTTP_2;
        upstream::rewrite(request, backend, x.upstream(), h2, length)
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        x: &mut Exchange,
    ) -> Result<()> {
        let length = body.as_ref().map_or(0, Bytes::len);
        if length > 0
            && !x.upgraded
            && let Err(reason) = x.upload.count(length as u64)
        {
            return Err(fail(x, reason.into()));
        }
        // An empty last piece would be written as a chunk of its own and again as the end of the body:
        // the next request on that connection would begin with a stray `0` (Pingora issue 935).
        if end_of_stream && length == 0 {
            *body = None;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        x: &mut Exchange,
    ) -> Result<()> {
        if response.status.as_u16() == 101 {
            let gateway = Arc::clone(&x.ctx.gateway);
            if let Some((backend, _)) = streaming_backend(&gateway, &x.ctx) {
                x.upstream().passes.began(&backend.gates, 101);
            }
            x.upgraded = true;
            self.metrics.websocket_connections.inc();
            return Ok(());
        }
        if response.status.is_informational() {
            let version = response.version;
            *response = answer::interim(response.status, &response.headers)?;
            response.set_version(version);
            return Ok(());
        }
        x.retire(session);
        let gateway = Arc::clone(&x.ctx.gateway);
        if let Some((backend, _)) = streaming_backend(&gateway, &x.ctx) {
            let status = response.status.as_u16();
            x.upstream().passes.began(&backend.gates, status);
        }
        after_call(
            x,
            &Ok(Called {
                status: Some(response.status.as_u16()),
            }),
        );
        let framing = response.headers.get(header::TRANSFER_ENCODING).cloned();
        let mut head = answer::streamed(
            response.status,
            &response.headers,
            session.req_header().version,
            false,
            &x.ctx,
        )?;
        if let Some(framing) = framing {
            head.insert_header(header::TRANSFER_ENCODING, framing)?;
        }
        x.tell_limits(false);
        x.edits.settle();
        answer::edit(&mut head, &x.edits)?;
        head.set_version(response.version);
        *response = head;
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        x: &mut Exchange,
        mut error: Box<pingora::Error>,
    ) -> Box<pingora::Error> {
        let gateway = Arc::clone(&x.ctx.gateway);
        let backend = streaming_backend(&gateway, &x.ctx).map(|(backend, _)| backend);
        error.set_retry(upstream::may_retry(x.upstream(), backend));
        error
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<pingora::Error>,
        x: &mut Exchange,
        reused: bool,
    ) -> Box<pingora::Error> {
        let mut error = error.more_context(format!("backend {}", peer.address()));
        // Only a connection that died while it rested, only what may be done twice, and only whole.
        let gateway = Arc::clone(&x.ctx.gateway);
        let backend = streaming_backend(&gateway, &x.ctx).map(|(backend, _)| backend);
        let replayable = session.req_header().method.is_idempotent()
            && !session.as_ref().retry_buffer_truncated()
            && session.response_written().is_none()
            && upstream::may_retry(x.upstream(), backend);
        if replayable {
            error.retry.decide_reuse(reused);
        } else {
            error.set_retry(false);
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &pingora::Error,
        x: &mut Exchange,
    ) -> FailToProxy {
        let ours = x
            .ctx
            .error
            .take()
            .unwrap_or_else(|| failure::translate(error));
        after_call(x, &Err(ours.clone()));
        let gone = FailToProxy {
            error_code: 0,
            can_reuse_downstream: false,
        };
        if ours.reason == Reason::ClientGone || answered(session).is_some() {
            self.note(&ours);
            x.ctx.error = Some(ours);
            return gone;
        }
        let status = x.ctx.gateway.service.errors.status(&ours);
        let written = self.refuse(session, x, ours).await;
        let reuse = written.is_ok() && session.as_downstream_mut().is_body_done();
        FailToProxy {
            error_code: status,
            can_reuse_downstream: reuse,
        }
    }

    async fn logging(&self, session: &mut Session, _: Option<&pingora::Error>, x: &mut Exchange) {
        if x.upgraded {
            self.metrics.websocket_connections.dec();
        }
        give_back(x, answered(session));
        self.finish(session, x);
    }

    /// Told in our own access line and records.
    fn suppress_error_log(&self, _: &Session, _: &Exchange, _: &pingora::Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Exchange,
        _: &pingora::Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

impl Proxy {
    /// The walk of one request; `false` leaves it to Pingora's own upstream path.
    async fn serve(&self, session: &mut Session, x: &mut Exchange) -> Result<bool, Failed> {
        let has_body = !session.as_downstream_mut().is_body_empty();
        let head = SessionHead::new(session.as_downstream(), has_body);
        let upgrade = wants_upgrade(&head);
        let admitted = admit(session, x).await?;
        let written = |error: Box<pingora::Error>| {
            Failed::During(Error::new(Reason::ClientGone, error.to_string()))
        };
        match admitted {
            Admitted::Reply(reply) => {
                let reply = finish::own(x, reply);
                respond::write(session, reply).await.map_err(written)?;
                return Ok(true);
            }
            Admitted::Builtin(which) => {
                let body = if builtin::wants_body(which) {
                    x.upload.start(x.ctx.gateway.service.limits.body());
                    x.upload.collect(session).await?
                } else {
                    Bytes::new()
                };
                let head = SessionHead::new(session.as_downstream(), has_body);
                let reply = builtin::reply(which, &head, &body, &x.ctx, self.is_draining());
                let reply = finish::own(x, reply);
                respond::write(session, reply).await.map_err(written)?;
                return Ok(true);
            }
            Admitted::Endpoint => {}
        }
        let gateway = Arc::clone(&x.ctx.gateway);
        match x
            .ctx
            .endpoint
            .and_then(|id| gateway.endpoints.get(id))
            .map(|e| &e.plan)
        {
            Some(Plan::Compose(plan)) => compose::serve(session, x, plan).await?,
            Some(Plan::Stream(backend)) => {
                let native = gateway.dialect == Dialect::Native;
                // What a stage has read cannot be read by the platform again.
                // Where the platform cannot connect as the backend asks, a wish to switch protocols is
                // passed over, as RFC 9110 allows.
                let upgrade = upgrade && backend.transport.is_none();
                let platform = upgrade || backend.platform_streams;
                if native && platform && compose::rewritten_body(x).flatten().is_none() {
                    self.hand_over(session, x, backend, upgrade)?;
                    return Ok(false);
                }
                stream::serve(session, x, backend).await?;
            }
            None => return Err(Error::from(Reason::Internal).into()),
        }
        Ok(true)
    }

    /// Prepares what Pingora's upstream path needs of the client's head.
    fn hand_over(
        &self,
        session: &mut Session,
        x: &mut Exchange,
        backend: &Backend,
        upgrade: bool,
    ) -> Result<(), Error> {
        let taken = compose::take(session, std::iter::once(&backend.forward), x);
        x.ctx.backend = Some(0);
        let target = call::wire_target(backend, &x.ctx, &taken.path, &taken.query)?;
        let upstream = x.upstream();
        upstream.upgrade = upgrade;
        upstream.target = target;
        upstream.fields = taken.fields.into_iter().next().unwrap_or_default();
        Ok(())
    }

    /// Answers with an error.
    async fn refuse(&self, session: &mut Session, x: &mut Exchange, error: Error) -> Result<()> {
        let accept = session.req_header().headers.get(header::ACCEPT).cloned();
        x.retire(session);
        let accept = accept.as_ref().map(http::HeaderValue::as_bytes);
        let reply = finish::refusal(&self.metrics, x, error, accept);
        respond::write(session, reply).await
    }

    fn note(&self, error: &Error) {
        self.metrics.refused(error.reason);
    }

    /// Metrics and the access line, once per request.
    fn finish(&self, session: &Session, x: &Exchange) {
        let status = answered(session).unwrap_or(0);
        let head = SessionHead::new(session.as_downstream(), true);
        let told = finish::Told {
            method: head.method().as_str(),
            path: head.path(),
            status,
            bytes_out: session.body_bytes_sent() as u64,
            bytes_in: session.body_bytes_read() as u64,
        };
        self.metrics.lane(Lane::Pingora);
        finish::finish(x, &told);
    }
}

/// The status that the client was answered with; an interim answer is none.
fn answered(session: &Session) -> Option<u16> {
    let status = session.response_written()?.status;
    (status.as_u16() == 101 || !status.is_informational()).then_some(status.as_u16())
}

/// What is to be done with an admitted request.
enum Admitted {
    /// Serve the endpoint of the context.
    Endpoint,
    /// Answer with this.
    Reply(Reply),
    /// Answer from here; the body may be needed.
    Builtin(Builtin),
}

/// Walks a request up to its plan.
async fn admit(session: &mut Session, x: &mut Exchange) -> Result<Admitted, Error> {
    let has_body = !session.as_downstream_mut().is_body_empty();
    let head = SessionHead::new(session.as_downstream(), has_body);
    let gateway = Arc::clone(&x.ctx.gateway);
    let routed = route(&gateway, &head, x);
    match guard(&gateway, &head, x, routed).await? {
        Routed::Answered(reply) | Routed::Reply(reply) => Ok(Admitted::Reply(reply)),
        Routed::Builtin(which) => Ok(Admitted::Builtin(which)),
        Routed::Endpoint(id) => {
            // Whoever the service's stages have refused need not upload.
            if wants_body(&head, x, id)? {
                compose::read_for_stages(session, x).await?;
            }
            let head = SessionHead::new(session.as_downstream(), has_body);
            let reply = enter(&gateway, &head, x, id).await?;
            Ok(reply.map_or(Admitted::Endpoint, Admitted::Reply))
        }
    }
}

/// Keeps our error for `fail_to_proxy` and gives Pingora one that stands for it.
fn fail(x: &mut Exchange, error: Error) -> Box<pingora::Error> {
    let stand_in = failure::stand_in(&error);
    x.ctx.error = Some(error);
    stand_in
}

fn streaming_backend<'a>(
    gateway: &'a crate::gateway::snapshot::Gateway,
    ctx: &Ctx,
) -> Option<(&'a Backend, Duration)> {
    let endpoint = gateway.endpoints.get(ctx.endpoint?)?;
    match &endpoint.plan {
        Plan::Stream(backend) => Some((backend, endpoint.timeout)),
        Plan::Compose(_) => None,
    }
}

/// Backend stages before a call of Pingora's own path; again on each try.
async fn before_call(x: &mut Exchange, backend: &Backend) -> Result<(), Error> {
    if x.upstream().tries == 0 {
        let entered = Passage::enter(&backend.gates, Caller::of(&x.ctx)).await;
        x.upstream().passes = entered?.into_passes();
        if let Some(retry) = &backend.retry {
            retry.budget.request();
        }
    }
    let upstream = x.upstream();
    let mut made = Call {
        headers: std::mem::take(&mut upstream.fields),
        target: std::mem::take(&mut upstream.target),
    };
    let (entered, outcome) = call::enter(backend, &mut made, &x.ctx).await;
    let upstream = x.upstream();
    upstream.entered = entered;
    upstream.fields = made.headers;
    upstream.target = made.target;
    outcome
}

/// The call is over: what its gates gave goes back to them.
pub(super) fn give_back(x: &mut Exchange, status: Option<u16>) {
    let Exchange { ctx, upstream, .. } = x;
    let Some(passes) = upstream.as_mut().map(|upstream| &mut upstream.passes) else {
        return;
    };
    if passes.is_empty() {
        return;
    }
    let Some((backend, _)) = streaming_backend(&ctx.gateway, ctx) else {
        return;
    };
    let ending = match (&ctx.error, status) {
        (Some(error), _) => passes.ending(Err(error)),
        (None, Some(status)) => Ending::Answered(status),
        (None, None) => Ending::Gone,
    };
    passes.leave(&backend.gates, ending);
}

/// Backend stages after a call, once.
fn after_call(x: &mut Exchange, called: &Result<Called, Error>) {
    let Some(upstream) = &mut x.upstream else {
        return;
    };
    let (entered, tries) = (std::mem::take(&mut upstream.entered), upstream.tries);
    let gateway = Arc::clone(&x.ctx.gateway);
    let Some((backend, _)) = streaming_backend(&gateway, &x.ctx) else {
        return;
    };
    call::leave(backend, entered, called, &x.ctx);
    if called.is_err() && tries > 0 {
        backend.meters.errors.inc();
    }
}
