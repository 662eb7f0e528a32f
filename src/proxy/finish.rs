//! How a request ends, whichever lane served it: the refusal that a client sees, the metrics, the access
//! line.

use crate::base::reply::Asked;
use crate::base::{Dialect, Error, Reason, Reply, clock};
use crate::gateway::stage::Edits;
use crate::proxy::Exchange;
use crate::telemetry::access::Access;
use crate::telemetry::metrics::Metrics;
use std::time::{Duration, Instant};

/// Answers slower than this are worth a warning (contract section 8).
const SLOW: Duration = Duration::from_secs(5);

/// What was told to a client, and heard.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Method of the request.
    pub method: &'a str,
    /// Path as received, without the query.
    pub path: &'a [u8],
    /// Status of the answer; 0 when none went out.
    pub status: u16,
    /// Body bytes sent.
    pub bytes_out: u64,
    /// Body bytes read.
    pub bytes_in: u64,
}

/// The answer to an error; counts and logs it.
pub fn refusal(metrics: &Metrics, x: &mut Exchange, error: Error, accept: Option<&[u8]>) -> Reply {
    metrics.refused(error.reason);
    if !error.reason.is_rate_limit() {
        x.tell_limits(error.reason == Reason::BackendRateExceeded);
    }
    let asked = Asked {
        request_id: &x.ctx.request_id,
        accept,
    };
    let mut reply = x.ctx.gateway.service.errors.reply(&error, asked);
    x.edits.settle();
    Edits::apply(&x.edits.answer, &mut reply.headers);
    tell(x, &error);
    x.ctx.error = Some(error);
    reply
}

/// Logs a refusal. Somebody must act when a backend or we ourselves fail; who tries credentials that are no good is worth
/// knowing (contract section 8); other mistakes of a client's are its own.
fn tell(x: &Exchange, error: &Error) {
    let native = x.ctx.gateway.dialect == Dialect::Native;
    let level = match error.reason.status() {
        500.. if error.reason != Reason::Draining => log::Level::Error,
        _ if error.reason.is_authentication() && native => log::Level::Warn,
        _ => log::Level::Debug,
    };
    if level > log::max_level() {
        return;
    }
    let (route, reason) = (x.ctx.route(), error.reason.word());
    let request_id = &*x.ctx.request_id;
    if error.reason.is_authentication() {
        let client = x.ctx.client.to_string();
        let client = client.as_str();
        log::log!(level, route, reason, client, request_id; "authentication failed: {}", error.text);
    } else {
        log::log!(level, route, reason, request_id; "request failed: {}", error.text);
    }
}

/// An answer that is no refusal and no backend's, with what stages recorded.
pub fn own(x: &mut Exchange, mut reply: Reply) -> Reply {
    x.edits.settle();
    Edits::apply(&x.edits.answer, &mut reply.headers);
    reply
}

/// Metrics and the access line, once per request, which ends now.
pub fn finish(x: &Exchange, told: &Told<'_>) -> Instant {
    let ctx = &x.ctx;
    let ended = clock::after(ctx.started);
    let elapsed = ended.saturating_duration_since(ctx.started);
    // Nobody saw an answer: 499, as the field calls it.
    let status = if told.status == 0 { 499 } else { told.status };
    ctx.meters().finished(status, elapsed.as_secs_f64());
    if elapsed > SLOW && !x.upgraded {
        let route = ctx.route();
        log::warn!(
            route, duration_ms = elapsed.as_millis() as u64, request_id = &*ctx.request_id;
            "slow answer"
        );
    }
    let service = &ctx.gateway.service;
    let skipped = |path: &[u8]| service.skip_log_paths.iter().any(|skip| **skip == *path);
    if !service.access_log || skipped(told.path) {
        return ended;
    }
    let access = Access {
        method: told.method,
        route: ctx.route(),
        path: told.path,
        status: told.status,
        duration: elapsed,
        bytes_out: told.bytes_out,
        bytes_in: told.bytes_in,
        request_id: &ctx.request_id,
        backend: ctx.backend().map_or("", |backend| &backend.service),
        client: ctx.client,
        reason: ctx.error.as_ref().map_or("", |error| error.reason.word()),
        error: ctx.error.as_ref().map_or("", |error| &error.text),
    };
    access.write(ctx.gateway.dialect, ended);
    ended
}
