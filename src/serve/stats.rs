//! `/__stats`: what the running snapshot looks like at this moment, as JSON. KrakenD's has figures of Go's runtime
//! instead.

use crate::base::clock;
use crate::base::version::VERSION;
use crate::gateway::health::HostProbe;
use crate::gateway::rate_limit::RateLimit;
use crate::gateway::regions;
use crate::gateway::snapshot::{Gateway, Plan};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

/// Everything; `connections` are those of clients.
pub(super) fn stats(gateway: &Gateway, connections: usize) -> String {
    let (limits, stores) = limits(gateway);
    let stats = json!({
        "schema": 1,
        "version": VERSION,
        "uptime_seconds": crate::base::clock::process_start().elapsed().as_secs(),
        "region": gateway.service.region.as_deref(),
        "connections": connections,
        "endpoints": endpoints(gateway),
        "backends": backends(gateway),
        "breakers": gates(gateway, "breaker"),
        "concurrency": gates(gateway, "concurrency"),
        "limits": limits,
        "stores": stores,
    });
    stats.to_string()
}

fn endpoints(gateway: &Gateway) -> Vec<Value> {
    let routed = gateway.endpoints.iter().filter(|endpoint| endpoint.routed);
    let shown = routed.map(|endpoint| {
        let (plan, backends) = match &endpoint.plan {
            Plan::Stream(_) => ("stream", 1),
            Plan::Compose(compose) => ("compose", compose.backends.len()),
        };
        json!({
            "method": endpoint.method.as_str(),
            "endpoint": &*endpoint.pattern,
            "plan": plan,
            "backends": backends,
            "timeout_ms": u64::try_from(endpoint.timeout.as_millis()).unwrap_or(u64::MAX),
        })
    });
    shown.collect()
}

fn backends(gateway: &Gateway) -> Vec<Value> {
    let health = &gateway.health;
    let now = clock::moment();
    let shown = health.services.iter().map(|service| {
        let status = if health.is_up(service) { "up" } else { "down" };
        let hosts: Vec<_> = health.hosts_of(service).map(host).collect();
        json!({
            "name": &*service.name,
            "status": status,
            "critical": service.critical,
            "hosts": hosts,
            "regions": service.regions.as_ref().map(|one| regions::told(one, now)),
        })
    });
    shown.collect()
}

fn host(host: &HostProbe) -> Value {
    let calls: u32 = host.standings.iter().map(|one| one.in_flight()).sum();
    json!({"host": &*host.origin, "status": host.word(), "calls": calls})
}

/// The figures of all gates of a kind; backends share them.
fn gates(gateway: &Gateway, kind: &str) -> Vec<Value> {
    let all = gateway.backends().flat_map(|backend| backend.gates.iter());
    let figures = all.filter_map(|gate| gate.figures());
    let mut figures: Vec<Value> = figures.filter(|one| one.get(kind).is_some()).collect();
    figures.sort_by_key(Value::to_string);
    figures.dedup();
    figures
}

/// Every rate limit once, from the outside in, and every store that some of them count in.
fn limits(gateway: &Gateway) -> (Vec<Value>, Vec<Value>) {
    let mut page = Page::default();
    for stage in &gateway.service.head {
        page.add(stage.limits(), None);
    }
    for endpoint in &gateway.endpoints {
        for stage in &endpoint.head {
            page.add(stage.limits(), None);
        }
        for backend in endpoint.backends() {
            for stage in &backend.call {
                page.add(stage.limits(), Some(&backend.service));
            }
        }
    }
    (page.limits, page.stores)
}

#[derive(Default)]
struct Page {
    limits: Vec<Value>,
    stores: Vec<Value>,
    seen: HashSet<usize>,
}

impl Page {
    fn add(&mut self, limits: Vec<Arc<dyn RateLimit>>, backend: Option<&str>) {
        for limit in limits {
            if !self.seen.insert(limit.counts()) {
                continue;
            }
            let mut figures = limit.figures();
            if let Some(figures) = figures.as_object_mut() {
                // Only where the limit was found it is known which backend it is one of.
                figures.insert("backend".to_owned(), json!(backend));
            }
            self.limits.push(figures);
            if let Some((store, figures)) = limit.store()
                && self.seen.insert(store)
            {
                self.stores.push(figures);
            }
        }
    }
}
