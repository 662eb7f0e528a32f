//! Prometheus metrics of namespace `hanzo_gateway` (contract section 6). Label values come from the
//! configuration or from fixed tables, never from clients, so the number of series is bounded.

use crate::base::{Reason, version};
use crate::telemetry::cells;
use crate::telemetry::series::{Requests, Series, Shown, Words};
use prometheus::{
    Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::sync::Arc;
use std::time::Duration;

const NAMESPACE: &str = "hanzo_gateway";

/// All metrics of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Arc<Requests>,
    backend_errors: IntCounterVec,
    rate_limit_hits: IntCounterVec,
    store_up: IntGaugeVec,
    store_calls: IntCounterVec,
    store_reports: IntCounterVec,
    circuit_breakers: IntGaugeVec,
    region_calls: IntCounterVec,
    region_passed_on: IntCounterVec,
    region_share: GaugeVec,
    jwks_fetches: IntCounterVec,
    refusals: Arc<Words>,
    lanes: Arc<Words>,
    authentications: Box<[IntCounter]>,
    overload_shed: IntGauge,
    /// Open client connections.
    pub active_connections: IntGauge,
    /// Upgraded client connections.
    pub websocket_connections: IntGauge,
    /// Whether the last reload was published.
    pub reload_successful: IntGauge,
    /// When the running configuration was published, seconds since the epoch.
    pub reload_timestamp: Gauge,
    /// Access lines and records lost to a slow reader of standard output.
    pub log_lines_dropped: IntGauge,
}

/// Who carried a request to its backend and the answer back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The gateway itself, byte for byte.
    Fast,
    /// The platform's proxy.
    Pingora,
}

impl Lane {
    /// All of them, in the order of their numbers.
    const ALL: [Self; 2] = [Self::Fast, Self::Pingora];

    /// The value of the label `lane`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Pingora => "pingora",
        }
    }
}

/// How an attempt to come in ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Somebody proved who they are, and may come in.
    Accepted,
    /// The proof was missing or no good.
    Refused,
    /// It was good and not enough.
    Forbidden,
    /// Nobody could tell.
    Unavailable,
}

impl Authentication {
    const ALL: [Self; 4] = [
        Self::Accepted,
        Self::Refused,
        Self::Forbidden,
        Self::Unavailable,
    ];

    /// How an attempt ended that was refused for this.
    pub const fn of(reason: Reason) -> Self {
        match reason.status() {
            401 => Self::Refused,
            403 => Self::Forbidden,
            _ => Self::Unavailable,
        }
    }

    /// The value of the label `result`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The values of the label `method` of attempts to come in; `none` is for requests that show nothing.
const METHODS: [&str; 6] = ["none", "jwt", "api_key", "introspection", "basic", "mtls"];

/// Ready handles of one endpoint.
#[derive(Debug)]
pub struct EndpointMeters {
    series: Arc<Series>,
}

/// Ready handles of one backend service.
#[derive(Clone, Debug)]
pub struct BackendMeters {
    /// Failed calls.
    pub errors: IntCounter,
}

/// Ready handles of one region of a backend service.
#[derive(Clone, Debug)]
pub struct RegionMeters {
    /// Calls that went there.
    pub calls: IntCounter,
    /// Calls that went on to the next because this one had no room.
    pub passed_on: IntCounter,
    /// The part of the traffic that is meant for it, from 0 to 1.
    pub share: Gauge,
}

/// Ready handles of one store of shared limits.
#[derive(Clone, Debug)]
pub struct StoreMeters {
    /// Whether it answers.
    pub up: IntGauge,
    /// Calls that it answered.
    pub answered: IntCounter,
    /// Calls and connections that failed.
    pub failed: IntCounter,
    /// Callers that were reported; each call carries many.
    pub reports: IntCounter,
}

impl Metrics {
    /// Registers every family.
    ///
    /// # Errors
    /// Only when a name is taken twice, which is a mistake in this file.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        let shards = cells::shards();
        let requests = Arc::new(Requests::new(NAMESPACE, shards)?);
        let backend_errors = IntCounterVec::new(
            opts(
                "backend_errors_total",
                "Failed calls to backends by service.",
            ),
            &["service"],
        )?;
        let rate_limit_hits = IntCounterVec::new(
            opts(
                "rate_limit_hits_total",
                "Requests that a rate limit refused, by level and endpoint.",
            ),
            &["level", "endpoint"],
        )?;
        let circuit_breakers = IntGaugeVec::new(
            opts(
                "circuit_breaker_state",
                "Where the breakers of a name stand: 0 closed, 1 open, 2 half-open.",
            ),
            &["backend"],
        )?;
        let region_calls = IntCounterVec::new(
            opts(
                "region_calls_total",
                "Calls to backends by the region that they went to.",
            ),
            &["service", "region"],
        )?;
        let region_passed_on = IntCounterVec::new(
            opts(
                "region_passed_on_total",
                "Calls that went on to the next region because this one was over its share.",
            ),
            &["service", "region"],
        )?;
        let region_share = GaugeVec::new(
            opts(
                "region_share",
                "The part of a backend's traffic that is meant for a region, from 0 to 1.",
            ),
            &["service", "region"],
        )?;
        let jwks_fetches = IntCounterVec::new(
            opts(
                "jwks_fetches_total",
                "Fetches of the keys of token issuers, by result.",
            ),
            &["result"],
        )?;
        let refusals = Arc::new(Words::new(
            format!("{NAMESPACE}_refusals_total"),
            "Requests that the gateway refused or failed, by reason.",
            "reason",
            Reason::ALL.iter().map(|reason| reason.word()).collect(),
            shards,
        )?);
        let lanes = Arc::new(Words::new(
            format!("{NAMESPACE}_lane_requests_total"),
            "Requests by the lane that served them.",
            "lane",
            Lane::ALL.iter().map(|lane| lane.word()).collect(),
            shards,
        )?);
        let attempts = IntCounterVec::new(
            opts(
                "authentications_total",
                "Attempts to come in, by the way that was tried and by how they ended.",
            ),
            &["method", "result"],
        )?;
        let authentications = METHODS.iter().flat_map(|method| {
            let one = |result: Authentication| [*method, result.word()];
            Authentication::ALL.map(one)
        });
        let authentications = authentications
            .map(|labels| attempts.with_label_values(&labels))
            .collect();
        let build_info = IntGauge::with_opts(
            opts("build_info", "Constant 1 with the version.")
                .const_label("version", version::VERSION),
        )?;
        build_info.set(1);
        let active_connections =
            IntGauge::with_opts(opts("active_connections", "Open client connections."))?;
        let websocket_connections = IntGauge::with_opts(opts(
            "websocket_connections",
            "Upgraded client connections.",
        ))?;
        let reload_successful = IntGauge::with_opts(opts(
            "config_last_reload_successful",
            "1 when the last configuration that was read is the one that runs.",
        ))?;
        let reload_timestamp = Gauge::with_opts(opts(
            "config_last_reload_success_timestamp_seconds",
            "When the running configuration was published.",
        ))?;
        let log_lines_dropped = IntGauge::with_opts(opts(
            "log_lines_dropped",
            "Log lines lost because standard output was read too slowly.",
        ))?;
        registry.register(Box::new(Shown(Arc::clone(&requests))))?;
        registry.register(Box::new(backend_errors.clone()))?;
        registry.register(Box::new(rate_limit_hits.clone()))?;
        let store_up = IntGaugeVec::new(
            opts(
                "rate_limit_store_up",
                "1 while the store of shared limits answers; limits are local while it does not.",
            ),
            &["store"],
        )?;
        let store_calls = IntCounterVec::new(
            opts(
                "rate_limit_store_calls_total",
                "Calls to stores of shared limits by what came of them.",
            ),
            &["store", "result"],
        )?;
        let store_reports = IntCounterVec::new(
            opts(
                "rate_limit_store_reports_total",
                "Callers that were reported to stores of shared limits.",
            ),
            &["store"],
        )?;
        registry.register(Box::new(store_up.clone()))?;
        registry.register(Box::new(store_calls.clone()))?;
        registry.register(Box::new(store_reports.clone()))?;
        registry.register(Box::new(circuit_breakers.clone()))?;
        registry.register(Box::new(region_calls.clone()))?;
        registry.register(Box::new(region_passed_on.clone()))?;
        registry.register(Box::new(region_share.clone()))?;
        registry.register(Box::new(jwks_fetches.clone()))?;
        let overload_shed = IntGauge::with_opts(opts(
            "overload_shed_percent",
            "Share of requests that are turned away because the gateway has too much to do.",
        ))?;
        registry.register(Box::new(overload_shed.clone()))?;
        registry.register(Box::new(Shown(Arc::clone(&refusals))))?;
        registry.register(Box::new(Shown(Arc::clone(&lanes))))?;
        registry.register(Box::new(attempts))?;
        registry.register(Box::new(build_info))?;
        for gauge in [
            &active_connections,
            &websocket_connections,
            &reload_successful,
            &log_lines_dropped,
        ] {
            registry.register(Box::new(gauge.clone()))?;
        }
        registry.register(Box::new(reload_timestamp.clone()))?;
        Ok(Arc::new(Self {
            registry,
            requests,
            backend_errors,
            rate_limit_hits,
            store_up,
            store_calls,
            store_reports,
            circuit_breakers,
            region_calls,
            region_passed_on,
            region_share,
            jwks_fetches,
            refusals,
            lanes,
            authentications,
            overload_shed,
            active_connections,
            websocket_connections,
            reload_successful,
            reload_timestamp,
            log_lines_dropped,
        }))
    }

    /// Handles for an endpoint; the path is its pattern. The same method and path count on where they
    /// stood, also after a reload.
    pub fn endpoint(&self, method: &str, path: &str) -> EndpointMeters {
        EndpointMeters {
            series: self.requests.series(method, path),
        }
    }

    /// Handles for a backend service, named by its first host.
    pub fn backend(&self, service: &str) -> BackendMeters {
        BackendMeters {
            errors: self.backend_errors.with_label_values(&[service]),
        }
    }

    /// The counter of a rate limit; the endpoint is a pattern, empty for the service's own.
    pub fn rate_limit(&self, level: &str, endpoint: &str) -> IntCounter {
        self.rate_limit_hits.with_label_values(&[level, endpoint])
    }

    /// The state of the circuit breakers of a name.
    pub fn circuit_breaker_state(&self, name: &str) -> IntGauge {
        self.circuit_breakers.with_label_values(&[name])
    }

    /// Handles for a region of a backend service.
    pub fn region(&self, service: &str, region: &str) -> RegionMeters {
        let labels = [service, region];
        RegionMeters {
            calls: self.region_calls.with_label_values(&labels),
            passed_on: self.region_passed_on.with_label_values(&labels),
            share: self.region_share.with_label_values(&labels),
        }
    }

    /// The counters of fetches of issuers' keys: those that brought keys, and those that failed.
    pub fn jwks_fetches(&self) -> (IntCounter, IntCounter) {
        let result = |word| self.jwks_fetches.with_label_values(&[word]);
        (result("ok"), result("failed"))
    }

    /// The share of requests that are turned away, in hundredths.
    pub fn overload_shed_percent(&self) -> IntGauge {
        self.overload_shed.clone()
    }

    /// Handles for a store of shared limits.
    pub fn store(&self, name: &str) -> StoreMeters {
        let calls = |result| self.store_calls.with_label_values(&[name, result]);
        StoreMeters {
            up: self.store_up.with_label_values(&[name]),
            answered: calls("ok"),
            failed: calls("error"),
            reports: self.store_reports.with_label_values(&[name]),
        }
    }

    /// Counts a refusal.
    pub fn refused(&self, reason: Reason) {
        self.refusals.count(reason as usize);
    }

    /// Counts an attempt to come in, by the word of the way that was tried; `None` when nothing was shown.
    pub fn authenticated(&self, method: Option<&'static str>, result: Authentication) {
        let method = method.and_then(|word| METHODS.iter().position(|known| *known == word));
        let at = method.unwrap_or(0) * Authentication::ALL.len() + result as usize;
        if let Some(counter) = self.authentications.get(at) {
            counter.inc();
        }
    }

    /// Counts a request in the lane that serves it.
    pub fn lane(&self, lane: Lane) {
        self.lanes.count(lane as usize);
    }

    /// Tells that the configuration which was read last is the one that runs, since now.
    pub fn published(&self, now: Duration) {
        self.reload_successful.set(1);
        self.reload_timestamp.set(now.as_secs_f64());
    }

    /// The exposition text.
    pub fn render(&self) -> String {
        self.log_lines_dropped.set(
            i64::try_from(crate::telemetry::sink::Sink::stdout().dropped()).unwrap_or(i64::MAX),
        );
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }
}

impl EndpointMeters {
    /// Counts one finished request.
    pub fn finished(&self, status: u16, seconds: f64) {
        self.series.count(status, seconds);
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_under_the_names_of_the_contract() {
        let metrics = Metrics::new().unwrap();
        let endpoint = metrics.endpoint("GET", "/a/{id}");
        endpoint.finished(200, 0.001);
        endpoint.finished(200, 0.001);
        endpoint.finished(418, 0.001);
        metrics.refused(Reason::NoRoute);
        metrics.backend("llm:4000").errors.inc();
        let text = metrics.render();
        for line in [
            "hanzo_gateway_requests_total{method=\"GET\",path=\"/a/{id}\",status=\"200\"} 2",
            "hanzo_gateway_requests_total{method=\"GET\",path=\"/a/{id}\",status=\"418\"} 1",
            "hanzo_gateway_request_duration_seconds_count{method=\"GET\",path=\"/a/{id}\"} 3",
            "hanzo_gateway_refusals_total{reason=\"no_route\"} 1",
            "hanzo_gateway_backend_errors_total{service=\"llm:4000\"} 1",
            "hanzo_gateway_active_connections 0",
        ] {
            assert!(text.contains(line), "{line} missing in\n{text}");
        }
    }

    #[test]
    fn an_endpoint_counts_on_after_a_reload() {
        let metrics = Metrics::new().unwrap();
        metrics.endpoint("GET", "/a").finished(200, 0.5);
        metrics.endpoint("GET", "/a").finished(200, 0.5);
        let text = metrics.render();
        for line in [
            "hanzo_gateway_requests_total{method=\"GET\",path=\"/a\",status=\"200\"} 2\n",
            "hanzo_gateway_request_duration_seconds_sum{method=\"GET\",path=\"/a\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} missing in\n{text}");
        }
    }

    #[test]
    fn attempts_to_come_in_are_counted_by_way_and_end() {
        let metrics = Metrics::new().unwrap();
        metrics.authenticated(Some("api_key"), Authentication::Accepted);
        metrics.authenticated(Some("api_key"), Authentication::of(Reason::ScopesMissing));
        metrics.authenticated(None, Authentication::of(Reason::CredentialsMissing));
        metrics.authenticated(Some("jwt"), Authentication::of(Reason::JwksUnavailable));
        metrics.authenticated(Some("mtls"), Authentication::Refused);
        let text = metrics.render();
        for (method, result) in [
            ("api_key", "accepted"),
            ("api_key", "forbidden"),
            ("none", "refused"),
            ("jwt", "unavailable"),
            ("mtls", "refused"),
        ] {
            let name = "hanzo_gateway_authentications_total";
            let line = format!("{name}{{method=\"{method}\",result=\"{result}\"}} 1\n");
            assert!(text.contains(&line), "{line} missing in\n{text}");
        }
        assert_eq!(
            text.matches("hanzo_gateway_authentications_total{").count(),
            24
        );
    }

    #[test]
    fn each_refusal_and_each_lane_has_its_own_series() {
        let metrics = Metrics::new().unwrap();
        for (at, &reason) in Reason::ALL.iter().enumerate() {
            (0..=at).for_each(|_| metrics.refused(reason));
        }
        metrics.lane(Lane::Pingora);
        let text = metrics.render();
        for (at, reason) in Reason::ALL.iter().enumerate() {
            let word = reason.word();
            let line = format!(
                "hanzo_gateway_refusals_total{{reason=\"{word}\"}} {}\n",
                at + 1
            );
            assert!(text.contains(&line), "{line} missing in\n{text}");
        }
        assert!(text.contains("hanzo_gateway_lane_requests_total{lane=\"fast\"} 0\n"));
        assert!(text.contains("hanzo_gateway_lane_requests_total{lane=\"pingora\"} 1\n"));
    }
}
