//! `ProxyHttp` on Pingora: the phases, the two plans, and the only code that writes to a client.

pub mod answer;
pub mod builtin;
pub mod compose;
pub mod direct;
pub mod failure;
pub mod finish;
pub mod head;
pub mod interim;
pub mod phases;
pub mod request;
pub mod respond;
pub mod spell;
pub mod stream;
pub mod upload;
pub mod upstream;

use crate::gateway::ctx::Ctx;
use crate::gateway::live::Live;
use crate::gateway::snapshot::Gateway;
use crate::gateway::stage::Edits;
use crate::telemetry::metrics::Metrics;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The gateway as Pingora sees it.
#[derive(Debug)]
pub struct Proxy {
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    draining: &'static AtomicBool,
}

/// One request on its way through the phases.
#[derive(Debug)]
pub struct Exchange {
    /// What policy knows.
    pub ctx: Ctx,
    /// What stages changed.
    pub edits: Edits,
    /// Service and endpoint stages that ran, for the way back.
    pub entered: usize,
    /// State of Pingora's own upstream path, once a request takes it: few do.
    pub upstream: Option<Box<upstream::Upstream>>,
    /// Counts the request's body.
    pub upload: upload::Upload,
    /// Whether a backend switched protocols.
    pub upgraded: bool,
    /// Whether the process is about to end.
    pub draining: &'static AtomicBool,
}

impl Exchange {
    /// State of Pingora's own upstream path.
    pub fn upstream(&mut self) -> &mut upstream::Upstream {
        self.upstream.get_or_insert_default()
    }

    /// Has the client told how limits of the endpoint's backends stand, now that the answer is about to go; `refused`
    /// says that one of them refused.
    pub fn tell_limits(&mut self, refused: bool) {
        let Some(endpoint) = self
            .ctx
            .endpoint
            .and_then(|id| self.ctx.gateway.endpoints.get(id))
        else {
            return;
        };
        // The tightest of them is told in any case, and the tightest of all where none refused.
        let mut refused = refused;
        for limit in &endpoint.told {
            limit.tell(&mut self.edits, std::mem::take(&mut refused));
        }
    }

    /// A request that just came in, on the snapshot that it keeps.
    pub fn new(gateway: Arc<Gateway>, draining: &'static AtomicBool) -> Self {
        let ctx = Ctx::new(gateway);
        Self {
            upload: upload::Upload::new(ctx.started),
            ctx,
            edits: Edits::default(),
            entered: 0,
            upstream: None,
            upgraded: false,
            draining,
        }
    }

    /// Retires the connection with this answer when the process is about to end.
    pub fn retire(&self, session: &mut pingora::proxy::Session) {
        if self.draining.load(Ordering::Relaxed) {
            session.set_keepalive(None);
        }
    }
}

impl Drop for Exchange {
    /// Whatever ended the request without its last phase, a breaker's probe and a place at a backend are given back.
    fn drop(&mut self) {
        phases::give_back(self, None);
    }
}

impl Proxy {
    /// A proxy over the live snapshot.
    pub fn new(live: Arc<Live>, metrics: Arc<Metrics>, draining: &'static AtomicBool) -> Self {
        Self {
            live,
            metrics,
            draining,
        }
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// The address part of a peer; loopback for sockets without one (Unix sockets).
fn ip_of(peer: Option<SocketAddr>) -> std::net::IpAddr {
    peer.map_or(
        std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        |addr| addr.ip().to_canonical(),
    )
}
