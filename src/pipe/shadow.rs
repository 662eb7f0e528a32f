//! `proxy.shadow`: backends that get a copy of each request and whose answers nobody waits for
//! (reference/krakend-core section 9.6). They have a deadline of their own and go on when the client leaves.
//!
//! Differs from KrakenD: how many such calls are under way is bounded, so that a slow shadow cannot fill the
//! memory; what comes beyond is dropped and said in the log.

use crate::base::{Error, Reason};
use crate::gateway::ctx::Ctx;
use crate::gateway::snapshot::{Endpoint, Plan, Shadow};
use crate::net::Deadline;
use crate::pipe::call::{Fields, Inbound, Named};
use crate::pipe::compose::called;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;

/// Shadow calls of one endpoint that may be under way at the same time.
pub const MOST: usize = 1024;

/// What a shadow keeps of a request.
struct Copy {
    ctx: Ctx,
    raw_path: Vec<u8>,
    raw_query: Vec<u8>,
    body: Option<Bytes>,
    params: Named,
    query: Option<String>,
}

/// Starts the calls of an endpoint's shadows and does not wait for them.
pub fn start(shadow: &Shadow, inbound: &Inbound<'_>, fields: Vec<Fields>) {
    let Ok(room) = Arc::clone(&shadow.room).try_acquire_owned() else {
        let route = &*inbound.endpoint.pattern;
        log::warn!(route; "too many shadow calls are under way; this one is dropped");
        return;
    };
    let copy = Copy {
        ctx: inbound.ctx.clone(),
        raw_path: inbound.raw_path.to_vec(),
        raw_query: inbound.raw_query.to_vec(),
        body: inbound.body.clone(),
        params: inbound.params.clone(),
        query: inbound.query.clone(),
    };
    let timeout = shadow.timeout;
    // On its own, for it outlives the request; its deadline ends it, and the process does not wait.
    Handle::current().spawn(async move {
        let _room = room;
        let ended = Deadline::after(timeout).run(run(&copy, fields)).await;
        let result = ended.unwrap_or_else(|| Err(Error::from(Reason::BackendTimeout)));
        if let Err(error) = result {
            let route = copy.ctx.route();
            log::debug!(route; "shadow: {}", error.text);
        }
    });
}

async fn run(copy: &Copy, fields: Vec<Fields>) -> Result<(), Error> {
    let Some((endpoint, shadow)) = of(&copy.ctx) else {
        return Ok(());
    };
    let inbound = Inbound {
        ctx: &copy.ctx,
        endpoint,
        raw_path: &copy.raw_path,
        raw_query: &copy.raw_query,
        body: copy.body.clone(),
        params: copy.params.clone(),
        query: copy.query.clone(),
        started: Instant::now(),
    };
    called(&shadow.plan, &inbound, fields).await.map(drop)
}

fn of(ctx: &Ctx) -> Option<(&Endpoint, &Shadow)> {
    let endpoint = ctx.endpoint()?;
    match &endpoint.plan {
        Plan::Compose(compose) => Some((endpoint, compose.shadow.as_deref()?)),
        Plan::Stream(_) => None,
    }
}
