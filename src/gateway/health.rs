//! What is known of the backends' health; filled by probes, read by `/__health` and `/__stats`, and by the pools that
//! leave out what is down.

use crate::base::clock;
use crate::base::reply::escape_json;
use crate::gateway::kept::Kept;
use crate::gateway::regions;
use crate::gateway::snapshot::{Backend, Hosts, Regional};
use crate::net::balance::{Regions, Seat, Standing};
use crate::net::{Pool, Srv, Target};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// How a host is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeOptions {
    /// Time between two probes.
    pub interval: Duration,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Path of an HTTP probe; `None` probes the TCP connection only.
    pub path: Option<Box<str>>,
    /// Failed probes in a row until a host is down.
    pub unhealthy_after: u32,
    /// Good probes in a row until it is up again.
    pub healthy_after: u32,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(3),
            path: None,
            unhealthy_after: 2,
            healthy_after: 1,
        }
    }
}

/// `hanzo/health`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthOptions {
    /// How hosts are probed, if they are.
    pub probe: Option<ProbeOptions>,
    /// Names of backends without which the gateway is not ready.
    pub critical: Vec<String>,
}

/// What probes of one host said.
#[derive(Debug)]
pub struct Findings {
    up: AtomicBool,
    failures: AtomicU32,
    successes: AtomicU32,
    latency_ms: AtomicU64,
    /// Milliseconds since the epoch of the last probe; 0 before the first.
    checked: AtomicU64,
}

impl Findings {
    /// Nothing yet, which counts as up unless it is known otherwise.
    pub fn new(up: bool) -> Self {
        Self {
            up: AtomicBool::new(up),
            failures: AtomicU32::new(0),
            successes: AtomicU32::new(0),
            latency_ms: AtomicU64::new(0),
            checked: AtomicU64::new(0),
        }
    }

    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Takes the result of one probe; gives the new state when it changed.
    pub fn record(&self, good: bool, latency: Duration, options: &ProbeOptions) -> Option<bool> {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        self.latency_ms.store(millis(latency), Ordering::Relaxed);
        self.checked
            .store(millis(clock::since_epoch()), Ordering::Relaxed);
        let (run, other, needed) = if good {
            (&self.successes, &self.failures, options.healthy_after)
        } else {
            (&self.failures, &self.successes, options.unhealthy_after)
        };
        other.store(0, Ordering::Relaxed);
        let in_a_row = run.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if in_a_row < needed.max(1) {
            return None;
        }
        (self.up.swap(good, Ordering::Relaxed) != good).then_some(good)
    }

    /// Whether no probe has said anything yet.
    fn is_new(&self) -> bool {
        self.checked.load(Ordering::Relaxed) == 0
    }

    fn write(&self, out: &mut String) {
        let checked = self.checked.load(Ordering::Relaxed);
        if checked != 0 {
            let latency = self.latency_ms.load(Ordering::Relaxed);
            let _ = write!(out, ",\"latency_ms\":{latency},\"checked\":\"");
            clock::push_rfc3339(out, Duration::from_millis(checked));
            out.push('"');
        }
    }
}

/// One host that is probed in one way, for every pool that it is in.
#[derive(Debug)]
pub struct HostProbe {
    /// Scheme, host and port.
    pub origin: Box<str>,
    /// Where it is, connected to as its backend does.
    pub target: Target,
    /// How it is probed; not at all without.
    pub options: Option<ProbeOptions>,
    /// What probes said; outlives a reload that probes it in the same way.
    pub found: Arc<Findings>,
    /// Its standing in each pool.
    pub standings: Vec<Arc<Standing>>,
}

impl HostProbe {
    /// Takes the result of one probe; gives the new state when it changed.
    pub fn record(&self, good: bool, latency: Duration) -> Option<bool> {
        let changed = self.found.record(good, latency, self.options.as_ref()?);
        self.tell();
        if good {
            for standing in &self.standings {
                standing.proved(clock::moment());
            }
        }
        changed
    }

    /// Tells every pool what probes found, those too that have the host only since the last reload.
    fn tell(&self) {
        let up = self.found.is_up();
        for standing in &self.standings {
            if standing.is_down() == up {
                standing.probed(up, clock::moment());
            }
        }
    }

    /// What is known of it already counts from the beginning: a host that is down gets no calls until the first probes
    /// have found that out again.
    fn begin(&self) {
        if self.options.is_none() {
            return;
        }
        if self.found.is_new() && self.standings.iter().any(|one| one.is_down()) {
            self.found.up.store(false, Ordering::Relaxed);
        }
        self.tell();
    }

    /// Up, down, or left out because calls to it fail.
    pub fn word(&self) -> &'static str {
        let now = clock::moment();
        match self.found.is_up() {
            false => "down",
            true if self.standings.iter().any(|one| one.is_ejected(now)) => "ejected",
            true => "up",
        }
    }
}

/// One backend service.
#[derive(Debug)]
pub struct Service {
    /// Its first host with port, or its SRV name.
    pub name: Box<str>,
    /// Whether the gateway is not ready while it is down.
    pub critical: bool,
    /// Its hosts, by their place in [`Health::hosts`].
    hosts: Vec<usize>,
    /// Its regions, where it has several.
    pub regions: Option<Arc<Regions>>,
    /// SRV records, with how their hosts are probed, and what that found.
    pub srv: Option<(Arc<Srv>, Option<ProbeOptions>, Findings)>,
}

/// All services of one configuration.
#[derive(Debug, Default)]
pub struct Health {
    /// The services, sorted by name.
    pub services: Vec<Service>,
    /// Their hosts.
    pub hosts: Vec<HostProbe>,
    critical: Vec<String>,
}

impl Health {
    /// The services of a configuration; a `critical` entry may leave out the port or name only the
    /// first label of the host. What probes found is found again in `kept`.
    pub fn new<'b>(
        backends: impl Iterator<Item = &'b Backend>,
        critical: &[String],
        kept: &Kept,
    ) -> Self {
        let mut health = Self {
            critical: critical.to_vec(),
            ..Self::default()
        };
        let mut services: BTreeMap<&str, Service> = BTreeMap::new();
        let mut places: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        for backend in backends {
            let name = &*backend.service;
            let service = services.entry(name).or_insert_with(|| Service {
                name: name.into(),
                critical: critical.iter().any(|entry| names(entry, name)),
                hosts: Vec::new(),
                regions: None,
                srv: None,
            });
            match &backend.hosts {
                Hosts::Fixed(pool) => {
                    health.take(service, &mut places, pool, (&backend.probe, kept))
                }
                Hosts::Regional(Regional { regions, .. }) => {
                    for (_, pool) in regions.pools() {
                        health.take(service, &mut places, pool, (&backend.probe, kept));
                    }
                    service.regions.get_or_insert_with(|| Arc::clone(regions));
                }
                Hosts::Srv(srv) => {
                    service.srv.get_or_insert_with(|| {
                        (Arc::clone(srv), backend.probe.clone(), Findings::new(true))
                    });
                }
            }
        }
        health.services = services.into_values().collect();
        health.hosts.iter().for_each(HostProbe::begin);
        health
    }

    /// Takes the hosts of a pool among those of a service.
    fn take(
        &mut self,
        service: &mut Service,
        places: &mut HashMap<Box<str>, Vec<usize>>,
        pool: &Pool,
        (probe, kept): (&Option<ProbeOptions>, &Kept),
    ) {
        for seat in pool.seats() {
            let of_origin = places.entry(seat.origin().into()).or_default();
            let at = self.host(of_origin, seat, probe, kept);
            let Some(host) = self.hosts.get_mut(at) else {
                continue;
            };
            let standing = seat.standing();
            if !host.standings.iter().any(|one| Arc::ptr_eq(one, standing)) {
                host.standings.push(Arc::clone(standing));
            }
            if !service.hosts.contains(&at) {
                service.hosts.push(at);
            }
        }
    }

    /// The place of a host that is probed in this way.
    fn host(
        &mut self,
        places: &mut Vec<usize>,
        seat: &Seat,
        options: &Option<ProbeOptions>,
        kept: &Kept,
    ) -> usize {
        // Connected to as the first backend that has it: one probe of a host is enough.
        let same = |host: &HostProbe| host.options == *options;
        let known = |at: &&usize| self.hosts.get(**at).is_some_and(same);
        places.iter().find(known).copied().unwrap_or_else(|| {
            places.push(self.hosts.len());
            let key = format!("{} {options:?}", seat.origin());
            self.hosts.push(HostProbe {
                origin: seat.origin().into(),
                target: seat.target().clone(),
                options: options.clone(),
                found: kept.get_or(&key, || Findings::new(true)),
                standings: Vec::new(),
            });
            self.hosts.len() - 1
        })
    }

    /// Entries of `critical` that name no backend.
    pub fn unknown_critical(&self) -> impl Iterator<Item = &str> {
        self.critical
            .iter()
            .filter(|c| !self.services.iter().any(|s| names(c, &s.name)))
            .map(String::as_str)
    }

    /// The hosts of a service.
    pub fn hosts_of<'h>(&'h self, service: &'h Service) -> impl Iterator<Item = &'h HostProbe> {
        service.hosts.iter().filter_map(|at| self.hosts.get(*at))
    }

    /// Whether some host of a service is up.
    pub fn is_up(&self, service: &Service) -> bool {
        match &service.srv {
            Some((_, _, found)) => found.is_up(),
            None => service.hosts.is_empty() || self.hosts_of(service).any(|h| h.found.is_up()),
        }
    }

    /// Whether every critical service is up.
    pub fn ready(&self) -> bool {
        self.services
            .iter()
            .all(|service| !service.critical || self.is_up(service))
    }

    /// The body of `/__health` in the native dialect.
    pub fn json(&self, ready: bool) -> String {
        let mut out = String::from("{\"status\":\"");
        out.push_str(if ready { "ok" } else { "unavailable" });
        out.push_str("\",\"backends\":{");
        for (i, service) in self.services.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            self.write(service, &mut out);
        }
        out.push_str("}}");
        out
    }

    fn write(&self, service: &Service, out: &mut String) {
        out.push('"');
        escape_json(out, &service.name);
        let up = if self.is_up(service) { "up" } else { "down" };
        let critical = service.critical;
        let _ = write!(out, "\":{{\"status\":\"{up}\",\"critical\":{critical}");
        let best = self.hosts_of(service).find(|host| host.found.is_up());
        let shown = best.or_else(|| self.hosts_of(service).next());
        let shown = shown.map(|host| &*host.found);
        let of_records = || service.srv.as_ref().map(|(_, _, found)| found);
        if let Some(found) = shown.or_else(of_records) {
            found.write(out);
        }
        if service.hosts.len() > 1 {
            out.push_str(",\"hosts\":{");
            for (i, host) in self.hosts_of(service).enumerate() {
                out.push_str(if i > 0 { ",\"" } else { "\"" });
                escape_json(out, &host.origin);
                let _ = write!(out, "\":{{\"status\":\"{}\"", host.word());
                host.found.write(out);
                out.push('}');
            }
            out.push('}');
        }
        if let Some(regions) = &service.regions {
            let _ = write!(
                out,
                ",\"regions\":{}",
                regions::told(regions, clock::moment())
            );
        }
        out.push('}');
    }
}

/// Whether an entry means a backend: by its first host with the port, without it, or by that host's first label.
pub fn names(entry: &str, name: &str) -> bool {
    let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
    let label = host.split('.').next().unwrap_or(host);
    entry == name || entry == host || entry == label
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Resolver;

    fn host(name: &str) -> HostProbe {
        let origin = format!("http://{name}:80");
        HostProbe {
            target: Target::parse(&origin, &Resolver::new()).unwrap(),
            origin: origin.into(),
            options: Some(ProbeOptions::default()),
            found: Arc::new(Findings::new(true)),
            standings: vec![Arc::default(), Arc::default()],
        }
    }

    /// `iam`, which is critical, with one host, and `llm` with two.
    fn health() -> Health {
        let service = |name: &str, critical, hosts| Service {
            name: name.into(),
            critical,
            hosts,
            regions: None,
            srv: None,
        };
        Health {
            services: vec![
                service("iam.hanzo.svc:8000", true, vec![0]),
                service("llm.hanzo.svc:4000", false, vec![1, 2]),
            ],
            hosts: vec![host("iam"), host("llm-a"), host("llm-b")],
            critical: vec!["iam".into(), "nobody".into()],
        }
    }

    fn fail(host: &HostProbe) {
        assert_eq!(host.record(false, Duration::ZERO), None);
        assert_eq!(host.record(false, Duration::ZERO), Some(false));
    }

    #[test]
    fn a_critical_backend_makes_unready_only_after_the_threshold() {
        let health = health();
        let iam = &health.hosts[0];
        assert_eq!(iam.record(false, Duration::ZERO), None);
        assert!(health.ready());
        assert_eq!(iam.record(false, Duration::ZERO), Some(false));
        assert!(!health.ready());
        assert_eq!(iam.record(true, Duration::ZERO), Some(true));
        assert!(health.ready());
    }

    #[test]
    fn a_host_that_is_down_leaves_all_its_pools() {
        let health = health();
        fail(&health.hosts[1]);
        assert!(health.hosts[1].standings.iter().all(|one| one.is_down()));
        health.hosts[1].record(true, Duration::ZERO);
        assert!(!health.hosts[1].standings.iter().any(|one| one.is_down()));
    }

    #[test]
    fn a_pool_that_has_a_host_since_the_last_reload_hears_of_it_what_others_know() {
        let mut later = host("iam");
        fail(&later);
        later.standings.push(Arc::default());
        later.begin();
        assert!(later.standings.iter().all(|one| one.is_down()));
        // The same where it was told before its standing was made.
        later.standings.push(Arc::default());
        assert_eq!(later.record(false, Duration::ZERO), None);
        assert!(later.standings.iter().all(|one| one.is_down()));
    }

    #[test]
    fn what_a_pool_knows_counts_where_probes_have_said_nothing_yet() {
        let fresh = host("iam");
        fresh.standings[0].probed(false, 0);
        fresh.begin();
        assert!(!fresh.found.is_up());
        assert!(fresh.standings[1].is_down());
        assert_eq!(fresh.record(true, Duration::ZERO), Some(true));
        assert!(!fresh.standings.iter().any(|one| one.is_down()));
    }

    #[test]
    fn a_backend_is_up_while_one_of_its_hosts_is() {
        let health = health();
        fail(&health.hosts[1]);
        let json = |health: &Health| -> serde_json::Value {
            serde_json::from_str(&health.json(true)).unwrap()
        };
        let found = &json(&health)["backends"]["llm.hanzo.svc:4000"];
        assert_eq!(found["status"], "up");
        assert_eq!(found["hosts"]["http://llm-a:80"]["status"], "down");
        assert_eq!(found["hosts"]["http://llm-b:80"]["status"], "up");
        fail(&health.hosts[2]);
        let found = json(&health);
        assert_eq!(found["backends"]["llm.hanzo.svc:4000"]["status"], "down");
        assert_eq!(found["backends"]["iam.hanzo.svc:8000"]["critical"], true);
        assert!(health.ready(), "others do not count for readiness");
    }

    #[test]
    fn tells_which_critical_names_are_unknown() {
        assert_eq!(health().unknown_critical().collect::<Vec<_>>(), ["nobody"]);
    }
}
