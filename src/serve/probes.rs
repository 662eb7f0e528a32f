//! Health probes of the backends (`hanzo/health`): each on its own clock with jitter, at most one at a
//! time per backend, nothing of it on a request's path.

use crate::base::clock;
use crate::gateway::health::{Findings, HostProbe, ProbeOptions};
use crate::gateway::live::Live;
use crate::gateway::snapshot::Gateway;
use crate::net::{Deadline, OutBody, Outgoing, Srv, Target};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::Method;
use http::header::{self, HeaderValue};
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use std::collections::HashMap;
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
            let changed = self.live.changed();
            tokio::pin!(changed);
            // Listens before it looks: a snapshot that is published in between counts.
            changed.as_mut().enable();
            let gateway = self.live.pin();
            let round = all(&gateway);
            tokio::select! {
                () = round => {}
                () = &mut changed => {}
                _ = shutdown.wait_for(|down| *down) => return,
            }
        }
    }
}

/// Probes every host of a snapshot for ever, each on its own clock; a slow one keeps no other waiting.
async fn all(gateway: &Gateway) {
    let hosts = gateway.health.hosts.iter();
    let mut running: FuturesUnordered<BoxFuture<'_, ()>> = hosts
        .filter_map(|host| Some((host, host.options.as_ref()?)))
        .map(|(host, options)| Box::pin(one(gateway, host, options)) as BoxFuture<'_, ()>)
        .collect();
    for service in &gateway.health.services {
        if let Some((srv, Some(options), found)) = &service.srv {
            let probing = records(gateway, (&service.name, srv), options, found);
            running.push(Box::pin(probing));
        }
    }
    while running.next().await.is_some() {}
    // Nothing is probed: until there is another snapshot.
    std::future::pending().await
}

/// Between two probes: ± 10 %, so that many gateways do not probe in step.
async fn pause(options: &ProbeOptions) {
    let wait = options.interval.mul_f64(0.9 + fastrand::f64() * 0.2);
    tokio::time::sleep(wait).await;
}

/// Probes one host for ever.
async fn one(gateway: &Gateway, host: &HostProbe, options: &ProbeOptions) {
    loop {
        let began = Instant::now();
        let good = probe(gateway, &host.target, options).await;
        tell(
            &host.origin,
            host.record(good.is_ok(), began.elapsed()),
            good,
        );
        pause(options).await;
    }
}

/// Probes the hosts of SRV records for ever, whichever they are.
async fn records(
    gateway: &Gateway,
    (name, srv): (&str, &Srv),
    options: &ProbeOptions,
    found: &Findings,
) {
    let mut known: HashMap<Box<str>, Findings> = HashMap::new();
    loop {
        let began = Instant::now();
        let looked_up = Deadline::after(options.timeout).run(srv.pool()).await;
        let seats = match &looked_up {
            Some(Ok(pool)) => pool.seats(),
            Some(Err(_)) | None => &[],
        };
        known.retain(|origin, _| seats.iter().any(|seat| seat.origin() == &**origin));
        let probing = seats
            .iter()
            .map(|seat| async move { (seat, probe(gateway, seat.target(), options).await) });
        let mut probing: FuturesUnordered<_> = probing.collect();
        let mut up = 0;
        while let Some((seat, good)) = probing.next().await {
            let own = known.entry(seat.origin().into());
            let own = own.or_insert_with(|| Findings::new(!seat.standing().is_down()));
            let changed = own.record(good.is_ok(), began.elapsed(), options);
            if let Some(up) = changed {
                seat.standing().probed(up, clock::moment());
            }
            if good.is_ok() {
                seat.standing().proved(clock::moment());
            }
            up += usize::from(own.is_up());
            tell(seat.origin(), changed, good);
        }
        let why = match &looked_up {
            Some(Err(error)) => error.to_string(),
            _ => "no host is up".to_owned(),
        };
        let changed = found.record(up > 0, began.elapsed(), options);
        tell(name, changed, Err(why));
        pause(options).await;
    }
}

fn tell(backend: &str, changed: Option<bool>, good: Result<(), String>) {
    match (changed, good) {
        (Some(true), _) => log::warn!(backend; "backend is up again"),
        (Some(false), Err(why)) => log::error!(backend; "backend is down: {why}"),
        _ => {}
    }
}

/// One probe.
async fn probe(gateway: &Gateway, target: &Target, options: &ProbeOptions) -> Result<(), String> {
    let deadline = Deadline::after(options.timeout);
    match &options.path {
        Some(path) => answers(gateway, target, path, deadline).await,
        None => connects(gateway, target, deadline).await,
    }
}

/// A connection can be made.
async fn connects(gateway: &Gateway, target: &Target, deadline: Deadline) -> Result<(), String> {
    let reached = gateway.client.reaches(target, deadline).await;
    reached.map_err(|error| error.to_string())
}

/// A GET is answered with less than 500: what answers 401 or 404 is up.
async fn answers(
    gateway: &Gateway,
    target: &Target,
    path: &str,
    deadline: Deadline,
) -> Result<(), String> {
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
        .send(target, out, deadline)
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
