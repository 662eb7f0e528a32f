//! Prometheus metrics of namespace `hanzo_gateway` (contract section 6). Label values come from the
//! configuration or from fixed tables, never from clients, so the number of series is bounded.

use crate::base::{Reason, version};
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const NAMESPACE: &str = "hanzo_gateway";

/// Upper bounds of the latency histograms, in seconds (OpenTelemetry's advice for HTTP).
const SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Statuses that get a ready handle per endpoint; the others are looked up.
const STATUSES: [u16; 32] = [
    200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 408, 409, 410,
    413, 414, 415, 422, 429, 431, 499, 500, 501, 502, 503, 504, 101,
];

/// All metrics of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    duration: HistogramVec,
    backend_errors: IntCounterVec,
    refusals: Vec<IntCounter>,
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

/// Ready handles of one endpoint.
#[derive(Debug)]
pub struct EndpointMeters {
    method: Box<str>,
    path: Box<str>,
    vec: IntCounterVec,
    statuses: [OnceLock<IntCounter>; STATUSES.len()],
    duration: Histogram,
}

/// Ready handles of one backend service.
#[derive(Clone, Debug)]
pub struct BackendMeters {
    /// Failed calls.
    pub errors: IntCounter,
}

impl Metrics {
    /// Registers every family.
    ///
    /// # Errors
    /// Only when a name is taken twice, which is a mistake in this file.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            opts(
                "requests_total",
                "Requests by method, route pattern and status.",
            ),
            &["method", "path", "status"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "request_duration_seconds",
                "Time from request head to end of answer.",
            )
            .namespace(NAMESPACE)
            .buckets(SECONDS.to_vec()),
            &["method", "path"],
        )?;
        let backend_errors = IntCounterVec::new(
            opts(
                "backend_errors_total",
                "Failed calls to backends by service.",
            ),
            &["service"],
        )?;
        let refused = IntCounterVec::new(
            opts(
                "refusals_total",
                "Requests that the gateway refused or failed, by reason.",
            ),
            &["reason"],
        )?;
        let refusals = Reason::ALL
            .iter()
            .map(|reason| refused.get_metric_with_label_values(&[reason.word()]))
            .collect::<Result<Vec<_>, _>>()?;
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
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(backend_errors.clone()))?;
        registry.register(Box::new(refused))?;
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
            duration,
            backend_errors,
            refusals,
            active_connections,
            websocket_connections,
            reload_successful,
            reload_timestamp,
            log_lines_dropped,
        }))
    }

    /// Handles for an endpoint; the path is its pattern.
    pub fn endpoint(&self, method: &str, path: &str) -> EndpointMeters {
        EndpointMeters {
            method: method.into(),
            path: path.into(),
            vec: self.requests.clone(),
            statuses: [const { OnceLock::new() }; STATUSES.len()],
            duration: self.duration.with_label_values(&[method, path]),
        }
    }

    /// Handles for a backend service, named by its first host.
    pub fn backend(&self, service: &str) -> BackendMeters {
        BackendMeters {
            errors: self.backend_errors.with_label_values(&[service]),
        }
    }

    /// Counts a refusal.
    pub fn refused(&self, reason: Reason) {
        if let Some(counter) = self.refusals.get(reason as usize) {
            counter.inc();
        }
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
        let known = STATUSES
            .iter()
            .position(|&s| s == status)
            .and_then(|i| self.statuses.get(i));
        match known {
            Some(slot) => slot.get_or_init(|| self.counter(status)).inc(),
            None => self.counter(status).inc(),
        }
        self.duration.observe(seconds);
    }

    fn counter(&self, status: u16) -> IntCounter {
        self.vec
            .with_label_values(&[&*self.method, &*self.path, &status.to_string()])
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
}
