//! From a head to a plan: limits, request id, client address, route, parameters, stages.

use crate::base::field::{ConnectionOption, connection_options, same};
use crate::base::reply::X_GATEWAY_REGION;
use crate::base::{Dialect, Error, Reason, Reply};
use crate::gateway::ctx::Ctx;
use crate::gateway::head::{BodySize, Head};
use crate::gateway::params::Params;
use crate::gateway::router::Found;
use crate::gateway::snapshot::{Builtin, Endpoint, Gateway};
use crate::gateway::stage::{DoorStage, Edit, Flow, HeadStage};
use crate::gateway::told::Told;
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
    /// Answer with this; nobody else is asked.
    Answered(Reply),
    /// Answer with this, if the service's stages let the request pass.
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
    ctx.spilled = ctx.gateway.service.regional && head.header(&X_GATEWAY_REGION).is_some();
}

/// Limits of heads that no door has checked.
///
/// # Errors
/// The limit that is broken.
pub fn check_limits(head: &dyn Head, x: &Exchange) -> Result<(), Error> {
    limits::check(head, &x.ctx.gateway.service.limits).map_err(Error::from)
}

/// Finds what a request meets in the snapshot that its context holds; whoever asks holds it too, so that none of these
/// steps has to. Asks nobody and counts nothing, so that a lane may ask and leave the
/// request to another.
///
/// # Errors
/// Why it meets nothing.
pub fn route(gateway: &Gateway, head: &dyn Head, x: &mut Exchange) -> Result<Routed, Error> {
    let decoded =
        path::decode(head.path()).map_err(|bad| Error::new(Reason::BadTarget, bad.to_string()))?;
    let matched = gateway.router.prepare(&decoded);
    let found = gateway
        .router
        .find(head.method(), &matched, &mut x.ctx.params);
    for stage in doors(gateway, head, &found, &matched) {
        if let Some(reply) = stage.on_request(head, &mut x.edits) {
            return Ok(Routed::Answered(builtin::stamped(reply, &x.ctx)));
        }
    }
    let id = match found {
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
            let reply = builtin::redirect(code, &location, get, &x.ctx);
            return Ok(match gateway.dialect {
                Dialect::Native => Routed::Reply(reply),
                // Its router redirects before any of its stages is asked.
                Dialect::Krakend => Routed::Answered(reply),
            });
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
        pattern::check_params(&x.ctx.params, &matched, gateway.dialect)?;
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
        x.upload.start(endpoint.limits.body());
    }
    Ok(endpoint.reads_body)
}

/// The stages at the door for a request, of which a router said `found`.
pub fn doors<'g>(
    gateway: &'g Gateway,
    head: &dyn Head,
    found: &Found<'_>,
    matched: &[u8],
) -> &'g [Box<dyn DoorStage>] {
    let meant = match asked_method(head) {
        None => id_of(found),
        Some(asked) => Method::from_bytes(asked).ok().and_then(|method| {
            let mut params = Params::default();
            id_of(&gateway.router.find(&method, matched, &mut params))
        }),
    };
    let endpoint = meant.and_then(|id| gateway.endpoints.get(id));
    match endpoint {
        Some(endpoint) if !endpoint.door.is_empty() => &endpoint.door,
        _ => &gateway.service.door,
    }
}

fn id_of(found: &Found<'_>) -> Option<usize> {
    match found {
        Found::Endpoint { id, .. } => Some(*id as usize),
        _ => None,
    }
}

/// The method that a browser asks about before it uses it.
fn asked_method(head: &dyn Head) -> Option<&[u8]> {
    if *head.method() != Method::OPTIONS {
        return None;
    }
    head.header(&header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Asks the service's stages, which see everything but health: what they say goes before what the router said.
///
/// # Errors
/// Why the request is refused, by them or by the router.
pub async fn guard(
    gateway: &Gateway,
    head: &dyn Head,
    x: &mut Exchange,
    routed: Result<Routed, Error>,
) -> Result<Routed, Error> {
    if gateway.service.head.is_empty() || !is_guarded(&routed, gateway.dialect) {
        return routed;
    }
    let walked = walk(&gateway.service.head, head, x).await;
    if let (Err(error), Ok(Routed::Endpoint(id))) = (&walked, &routed)
        && let Some(endpoint) = gateway.endpoints.get(*id)
    {
        tell(&endpoint.head, head, x, Some(error));
    }
    match walked? {
        Some(reply) => Ok(Routed::Answered(reply)),
        None => routed,
    }
}

/// Whether the service's stages see a request of which the router said this.
pub fn is_guarded(routed: &Result<Routed, Error>, dialect: Dialect) -> bool {
    match routed {
        Ok(Routed::Endpoint(_) | Routed::Reply(_)) => true,
        Ok(Routed::Answered(_)) => false,
        Ok(Routed::Builtin(builtin)) => !builtin.is_health(),
        Err(error) => match error.reason {
            Reason::NoRoute | Reason::MethodNotAllowed => true,
            Reason::BadTarget => false,
            _ => dialect == Dialect::Native,
        },
    }
}

/// Asks the limits and the stages of an endpoint, or of the part of it that the request is for; the context names it
/// from here on.
///
/// # Errors
/// Why the request is refused.
pub async fn enter(
    gateway: &Gateway,
    head: &dyn Head,
    x: &mut Exchange,
    id: usize,
) -> Result<Option<Reply>, Error> {
    let mut endpoint = gateway.endpoints.get(id).ok_or(Reason::Internal)?;
    if let Some(split) = &endpoint.split {
        let choice = split.choose(head).ok_or(Reason::Internal)?;
        x.ctx.endpoint = Some(choice.endpoint);
        endpoint = gateway
            .endpoints
            .get(choice.endpoint)
            .ok_or(Reason::Internal)?;
        let cookie = choice
            .cookie
            .map(|value| Edit::Append(header::SET_COOKIE, value));
        x.edits.answer.extend(cookie);
    }
    // A body that says itself that it is too large is refused before it is sent.
    if let Err(reason) = endpoint.limits.check_body(head.body()) {
        tell(&endpoint.head, head, x, None);
        return Err(reason.into());
    }
    x.upload.start(endpoint.limits.body());
    if endpoint.keyed {
        x.ctx.keys = keys(endpoint, head, &x.ctx);
    }
    let answered = walk(&endpoint.head, head, x).await?;
    if answered.is_some() {
        x.tell_limits(false);
    }
    Ok(answered)
}

/// Has the client told of limits that were not asked, because the request was answered in front of them. A limit that
/// refused has the last word.
fn tell(stages: &[Box<dyn HeadStage>], head: &dyn Head, x: &mut Exchange, error: Option<&Error>) {
    if error.is_some_and(|error| error.reason.is_rate_limit()) {
        return;
    }
    for stage in stages {
        stage.tell(head, &mut x.edits, &x.ctx);
    }
}

/// What the calls of each backend are balanced by.
fn keys(endpoint: &Endpoint, head: &dyn Head, ctx: &Ctx) -> Vec<u64> {
    let mut keys = Vec::new();
    for backend in endpoint.backends() {
        if let Some(affinity) = &backend.affinity {
            keys.resize(keys.len().max(backend.index + 1), 0);
            if let Some(key) = keys.get_mut(backend.index) {
                *key = affinity.key(head, ctx.client);
            }
        }
    }
    keys
}

async fn walk(
    stages: &[Box<dyn HeadStage>],
    head: &dyn Head,
    x: &mut Exchange,
) -> Result<Option<Reply>, Error> {
    for (at, stage) in stages.iter().enumerate() {
        let rest = || stages.get(at + 1..).unwrap_or_default();
        let Exchange {
            ctx,
            edits,
            entered,
            ..
        } = x;
        let rewritten = ctx.rewritten.clone();
        let head = rewritten.as_deref().map_or(head, |r| r as &dyn Head);
        let identity = ctx.identity.clone();
        let told = identity.as_deref().map(|who| Told::new(head, &who.minted));
        let head = told.as_ref().map_or(head, |told| told as &dyn Head);
        let flow = match stage.on_request(head, edits, ctx).outcome().await {
            Ok(flow) => flow,
            Err(error) => {
                if refused_for_want_of_room(error.reason) {
                    x.ctx.refund();
                }
                tell(rest(), head, x, Some(&error));
                return Err(error);
            }
        };
        *entered += 1;
        // Who has just proved who they are is told to those who see a request that was read before.
        if let (Some(own), Some(who)) = (&mut ctx.rewritten, &ctx.identity)
            && identity
                .as_ref()
                .is_none_or(|before| !Arc::ptr_eq(before, who))
        {
            own.tell(&who.minted);
        }
        if let Flow::Reply(reply) = flow {
            tell(rest(), head, x, None);
            return Ok(Some(builtin::stamped(reply, &x.ctx)));
        }
    }
    Ok(None)
}

/// Whether a limit said no, and not the request's own fault.
fn refused_for_want_of_room(reason: Reason) -> bool {
    let own = matches!(reason, Reason::Overloaded | Reason::LimitStoreUnavailable);
    own || reason.status() == 429
}

/// Whether a client waits for leave to send its body.
pub fn expects_continue(head: &dyn Head) -> bool {
    head.version() == "1.1"
        && head
            .header(&header::EXPECT)
            .is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"100-continue"))
}

/// Whether a client wants to switch protocols: an `Upgrade` that `Connection` does not name is none (RFC 9110
/// section 7.8). One that comes with a body is passed over, as that section allows: the body would have to be over
/// before the new protocol begins, and no client of WebSocket sends one.
pub fn wants_upgrade(head: &dyn Head) -> bool {
    let plain = head.version() != "1.1" || head.header(&header::UPGRADE).is_none();
    if plain || head.body() != BodySize::None {
        return false;
    }
    let mut named = false;
    head.each(&mut |name, value| {
        named |= same(name.as_bytes(), b"connection")
            && connection_options(value)
                .filter_map(ConnectionOption::name)
                .any(|name| same(name, b"upgrade"));
    });
    named
}
