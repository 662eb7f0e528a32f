//! Health probes of the backends (`hanzo/health`): each on its own clock with jitter, at most one at a
//! time per backend, nothing of it on a request's path.

use crate::gateway::health::{Health, Probe};
use crate::gateway::live::Live;
use crate::gateway::snapshot::Gateway;
use crate::net::{Deadline, OutBody, Outgoing, Target};
use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::Method;
use http::header::{self, HeaderValue};
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use std::sync::Arc;
use std::time::Instant;

/// Probes the backends of the running snapshot.
#[derive(Debug)]
pub struct Probes {
    live: Arc<Live>,
}

impl Probes {
    /// Probes for the live snapshot, whichever that is.
    pub fn new(live: Arc<Live>) -> Self {
        Self { live }
    }
}

#[async_trait]
impl BackgroundService for Probes {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        loop {
            let gateway = self.live.pin();
            if gateway.health.enabled {
                round(&gateway).await;
            }
            let interval = gateway.health.options.interval;
            drop(gateway);
            // ± 10 %, so that many gateways do not probe in step.
            let wait = interval.mul_f64(0.9 + fastrand::f64() * 0.2);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = shutdown.wait_for(|down| *down) => return,
            }
        }
    }
}

/// One probe of every backend, all at the same time.
async fn round(gateway: &Gateway) {
    let health = &gateway.health;
    let mut running: FuturesUnordered<_> = health
        .probes
        .iter()
        .map(|probe| one(gateway, health, probe))
        .collect();
    while running.next().await.is_some() {}
}

async fn one(gateway: &Gateway, health: &Health, probe: &Probe) {
    let began = Instant::now();
    let deadline = Deadline::after(health.options.timeout);
    let good = match &health.options.path {
        Some(path) => answers(gateway, probe, path, deadline).await,
        None => connects(gateway, probe, deadline).await,
    };
    let changed = probe.record(good.is_ok(), began.elapsed(), &health.options);
    match (changed, good) {
        (Some(true), _) => log::warn!(backend = &*probe.name; "backend is up again"),
        (Some(false), Err(why)) => log::error!(backend = &*probe.name; "backend is down: {why}"),
        _ => {}
    }
}

/// What is probed, connected to as its backend is.
fn target(gateway: &Gateway, probe: &Probe) -> Result<Target, String> {
    let backend = gateway.backends().find(|b| *b.service == *probe.name);
    match backend {
        Some(backend) => gateway.target_of(backend, &probe.url),
        None => gateway.target(&probe.url),
    }
}

/// A TCP connection can be made.
async fn connects(gateway: &Gateway, probe: &Probe, deadline: Deadline) -> Result<(), String> {
    let target = target(gateway, probe)?;
    let dial = async {
        let addresses = target
            .host()
            .addresses()
            .await
            .map_err(|error| error.to_string())?;
        let mut last = "no address".to_owned();
        for address in addresses.iter() {
            match tokio::net::TcpStream::connect(address).await {
                Ok(_) => return Ok(()),
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    };
    deadline
        .run(dial)
        .await
        .unwrap_or_else(|| Err("timed out".to_owned()))
}

/// A GET is answered with less than 500: what answers 401 or 404 is up.
async fn answers(
    gateway: &Gateway,
    probe: &Probe,
    path: &str,
    deadline: Deadline,
) -> Result<(), String> {
    let target = target(gateway, probe)?;
    let agent = HeaderValue::from_static(crate::base::version::USER_AGENT);
    let out = Outgoing {
        method: &Method::GET,
        path_and_query: path,
        host: None,
        fields: &[(header::USER_AGENT, agent)],
        body: OutBody::None,
        patience: None,
        interims: None,
    };
    let answer = gateway
        .client
        .send(&target, out, deadline)
        .await
        .map_err(|e| e.to_string())?;
    let status = answer.status.as_u16();
    // Read to its end, so that the connection serves the next probe.
    let _ = answer.collect(64 << 10).await;
    if status < 500 {
        Ok(())
    } else {
        Err(format!("status {status}"))
    }
}
