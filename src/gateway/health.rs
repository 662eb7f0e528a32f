//! What is known of the backends' health; filled by probes, read by `/__health` and `/__stats`.

use crate::base::clock;
use crate::base::reply::escape_json;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// One probed backend service.
#[derive(Debug)]
pub struct Probe {
    /// The service's name: its first host with port.
    pub name: Box<str>,
    /// Scheme and authority that are probed.
    pub url: Box<str>,
    /// Whether the gateway is not ready while it is down.
    pub critical: bool,
    up: AtomicBool,
    failures: AtomicU32,
    successes: AtomicU32,
    latency_ms: AtomicU64,
    /// Milliseconds since the epoch of the last probe; 0 before the first.
    checked: AtomicU64,
}

/// Thresholds of the probes.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthOptions {
    /// Time between probes of one backend.
    pub interval: Duration,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Path of an HTTP probe; `None` probes the TCP connection only.
    pub path: Option<Box<str>>,
    /// Failed probes in a row until a backend is down.
    pub unhealthy_after: u32,
    /// Good probes in a row until it is up again.
    pub healthy_after: u32,
    /// Names of backends without which the gateway is not ready.
    pub critical: Vec<String>,
}

impl Default for HealthOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(3),
            path: None,
            unhealthy_after: 2,
            healthy_after: 1,
            critical: Vec::new(),
        }
    }
}

/// All probed services of one configuration.
#[derive(Debug, Default)]
pub struct Health {
    /// The services, sorted by name.
    pub probes: Vec<Probe>,
    /// Thresholds.
    pub options: HealthOptions,
    /// Whether they are probed at all.
    pub enabled: bool,
}

impl Probe {
    /// A service that counts as up until a probe says otherwise.
    pub fn new(name: &str, url: &str, critical: bool) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            critical,
            up: AtomicBool::new(true),
            failures: AtomicU32::new(0),
            successes: AtomicU32::new(0),
            latency_ms: AtomicU64::new(0),
            checked: AtomicU64::new(0),
        }
    }

    /// Whether the service is up.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Takes the result of one probe; gives the new state when it changed.
    pub fn record(&self, good: bool, latency: Duration, options: &HealthOptions) -> Option<bool> {
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
}

impl Health {
    /// The services of a configuration; a `critical` entry may leave out the port or name only the
    /// first label of the host.
    pub fn new(
        services: impl IntoIterator<Item = (String, String)>,
        options: HealthOptions,
    ) -> Self {
        let mut probes: Vec<Probe> = services
            .into_iter()
            .map(|(name, url)| {
                let critical = options.critical.iter().any(|c| names(c, &name));
                Probe::new(&name, &url, critical)
            })
            .collect();
        probes.sort_by(|a, b| a.name.cmp(&b.name));
        probes.dedup_by(|a, b| a.name == b.name);
        Self {
            probes,
            options,
            enabled: false,
        }
    }

    /// Entries of `critical` that name no backend.
    pub fn unknown_critical(&self) -> impl Iterator<Item = &str> {
        self.options
            .critical
            .iter()
            .filter(|c| !self.probes.iter().any(|p| names(c, &p.name)))
            .map(String::as_str)
    }

    /// Whether every critical service is up.
    pub fn ready(&self) -> bool {
        self.probes.iter().all(|p| !p.critical || p.is_up())
    }

    /// The body of `/__health` in the native dialect.
    pub fn json(&self, ready: bool) -> String {
        let mut out = String::from("{\"status\":\"");
        out.push_str(if ready { "ok" } else { "unavailable" });
        out.push_str("\",\"backends\":{");
        for (i, probe) in self.probes.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            out.push('"');
            escape_json(&mut out, &probe.name);
            let _ = write!(
                out,
                "\":{{\"status\":\"{}\",\"critical\":{}",
                if probe.is_up() { "up" } else { "down" },
                probe.critical
            );
            let checked = probe.checked.load(Ordering::Relaxed);
            if checked != 0 {
                let latency = probe.latency_ms.load(Ordering::Relaxed);
                let _ = write!(out, ",\"latency_ms\":{latency},\"checked\":\"");
                clock::push_rfc3339(&mut out, Duration::from_millis(checked));
                out.push('"');
            }
            out.push('}');
        }
        out.push_str("}}");
        out
    }
}

fn names(entry: &str, name: &str) -> bool {
    let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
    let label = host.split('.').next().unwrap_or(host);
    entry == name || entry == host || entry == label
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        let services = [
            (
                "llm.hanzo.svc:4000".to_owned(),
                "http://llm.hanzo.svc:4000".to_owned(),
            ),
            (
                "iam.hanzo.svc:8000".to_owned(),
                "http://iam.hanzo.svc:8000".to_owned(),
            ),
        ];
        let options = HealthOptions {
            critical: vec!["iam".into()],
            ..HealthOptions::default()
        };
        Health::new(services, options)
    }

    #[test]
    fn a_critical_backend_makes_unready_only_after_the_threshold() {
        let health = health();
        let iam = &health.probes[0];
        assert_eq!(iam.record(false, Duration::ZERO, &health.options), None);
        assert!(health.ready());
        assert_eq!(
            iam.record(false, Duration::ZERO, &health.options),
            Some(false)
        );
        assert!(!health.ready());
        assert_eq!(
            iam.record(true, Duration::ZERO, &health.options),
            Some(true)
        );
        assert!(health.ready());
    }

    #[test]
    fn other_backends_do_not_count_for_readiness() {
        let health = health();
        for _ in 0..5 {
            health.probes[1].record(false, Duration::ZERO, &health.options);
        }
        assert!(health.ready());
        let json: serde_json::Value = serde_json::from_str(&health.json(true)).unwrap();
        assert_eq!(json["backends"]["llm.hanzo.svc:4000"]["status"], "down");
        assert_eq!(json["backends"]["iam.hanzo.svc:8000"]["critical"], true);
    }

    #[test]
    fn tells_which_critical_names_are_unknown() {
        let options = HealthOptions {
            critical: vec!["nobody".into()],
            ..HealthOptions::default()
        };
        let health = Health::new([("a:1".to_owned(), "http://a:1".to_owned())], options);
        assert_eq!(health.unknown_critical().collect::<Vec<_>>(), ["nobody"]);
    }
}
