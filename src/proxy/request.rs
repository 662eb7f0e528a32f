//! From a head to a plan: limits, request id, client address, route, parameters, stages.

use crate::base::{Dialect, Error, Reason, Reply};
use crate::gateway::head::Head;
use crate::gateway::router::Found;
use crate::gateway::snapshot::Builtin;
use crate::gateway::stage::{Flow, HeadStage};
use crate::gateway::{limits, path, pattern, request_id, router};
use crate::proxy::{Exchange, builtin};
use http::{HeaderName, Method, header};
use std::sync::Arc;

const X_REQUEST_ID: HeaderName = crate::base::reply::X_REQUEST_ID;
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// What the router says of a request.
#[derive(Debug)]
pub enum Routed {
    /// An endpoint of the file, noted in the context.
    Endpoint(usize),
    /// Answer with this.
    Reply(Reply),
    /// Answer from here; the body may be needed.
    Builtin(Builtin),
}

/// What must be known before anything can be refused in the right form: request id and client address.
pub fn identify(head: &dyn Head, x: &mut Exchange) {
    let ctx = &mut x.ctx;
    if ctx.gateway.dialect == Dialect::Native {
        ctx.request_id = request_id::request_id(head.header(&X_REQUEST_ID));
    }
    ctx.client = ctx.gateway.service.client_ip.resolve(head).ip;
}

/// Limits of heads that no door has checked.
///
/// # Errors
/// The limit that is broken.
pub fn check_limits(head: &dyn Head, x: &Exchange) -> Result<(), Error> {
    limits::check(head, &x.ctx.gateway.service.limits).map_err(Error::from)
}

/// Finds what a request meets. Asks nobody and counts nothing, so that a lane may ask and leave the
/// request to another.
///
/// # Errors
/// Why it meets nothing.
pub fn route(head: &dyn Head, x: &mut Exchange) -> Result<Routed, Error> {
    let gateway = Arc::clone(&x.ctx.gateway);
    let decoded =
        path::decode(head.path()).map_err(|bad| Error::new(Reason::BadTarget, bad.to_string()))?;
    let matched = gateway.router.prepare(&decoded);
    let id = match gateway
        .router
        .find(head.method(), &matched, &mut x.ctx.params)
    {
        Found::Endpoint { id, .. } => id as usize,
        Found::Redirect {
            code,
            mut location,
            slash,
        } => {
            if slash
                && gateway.dialect == Dialect::Krakend
                && let Some(prefix) = head.header(&X_FORWARDED_PREFIX)
            {
                location = router::prefixed_location(&location, prefix);
            }
            let location = router::location_with_query(location, head.query());
            let get = matches!(*head.method(), Method::GET | Method::HEAD);
            return Ok(Routed::Reply(builtin::redirect(
                code, &location, get, &x.ctx,
            )));
        }
        Found::AutoOptions { allow } => {
            return Ok(Routed::Reply(builtin::options(allow, &x.ctx)));
        }
        Found::MethodNotAllowed { allow } => {
            return Err(Error::from(Reason::MethodNotAllowed).allowing(allow));
        }
        Found::NotFound => return Err(Reason::NoRoute.into()),
    };
    if gateway.dialect == Dialect::Native && path::has_dot_segments(&matched) {
        return Err(Reason::DotSegments.into());
    }
    if !gateway.service.disable_path_decoding {
        pattern::check_params(&x.ctx.params, &matched)?;
    }
    x.ctx.path = matched.into_owned();
    x.ctx.endpoint = Some(id);
    if id < gateway.endpoints.len() {
        return Ok(Routed::Endpoint(id));
    }
    let own = gateway.own(id).ok_or(Reason::Internal)?;
    Ok(Routed::Builtin(own.builtin))
}

/// Whether the stages of an endpoint want the body before they are asked; what it says of its size is checked
/// then.
///
/// # Errors
/// When the body says itself that it is too large.
pub fn wants_body(head: &dyn Head, x: &mut Exchange, id: usize) -> Result<bool, Error> {
    let Some(endpoint) = x.ctx.gateway.endpoints.get(id) else {
        return Ok(false);
    };
    if endpoint.reads_body {
        endpoint.limits.check_body(head.body())?;
        x.upload.start(&endpoint.limits);
    }
    Ok(endpoint.reads_body)
}

/// Asks the limits and the stages of an endpoint.
///
/// # Errors
/// Why the request is refused.
pub async fn enter(head: &dyn Head, x: &mut Exchange, id: usize) -> Result<Option<Reply>, Error> {
    let gateway = Arc::clone(&x.ctx.gateway);
    let endpoint = gateway.endpoints.get(id).ok_or(Reason::Internal)?;
    // A body that says itself that it is too large is refused before it is sent.
    endpoint.limits.check_body(head.body())?;
    x.upload.start(&endpoint.limits);
    for stages in [&gateway.service.head, &endpoint.head] {
        if let Some(reply) = walk(stages, head, x).await? {
            return Ok(Some(reply));
        }
    }
    Ok(None)
}

async fn walk(
    stages: &[Box<dyn HeadStage>],
    head: &dyn Head,
    x: &mut Exchange,
) -> Result<Option<Reply>, Error> {
    for stage in stages {
        let Exchange {
            ctx,
            edits,
            entered,
            ..
        } = x;
        let rewritten = ctx.rewritten.clone();
        let head = rewritten.as_deref().map_or(head, |r| r as &dyn Head);
        let flow = stage.on_request(head, edits, ctx).outcome().await?;
        *entered += 1;
        if let Flow::Reply(reply) = flow {
            return Ok(Some(reply));
        }
    }
    Ok(None)
}

/// Whether a client waits for leave to send its body.
pub fn expects_continue(head: &dyn Head) -> bool {
    head.version() == "1.1"
        && head
            .header(&header::EXPECT)
            .is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"100-continue"))
}

/// Whether a client wants to switch protocols: an `Upgrade` that `Connection` does not name is none (RFC 9110
/// section 7.8).
pub fn wants_upgrade(head: &dyn Head) -> bool {
    if head.version() != "1.1" || head.header(&header::UPGRADE).is_none() {
        return false;
    }
    let mut named = false;
    head.each(&mut |name, value| {
        let mut options = value.split(|&byte| byte == b',');
        named |= name.eq_ignore_ascii_case("connection")
            && options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    });
    named
}
