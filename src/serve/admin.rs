//! The internal listener: metrics for Prometheus and statistics as JSON. Reading only; nothing on any
//! listener changes state.

use crate::base::version::VERSION;
use crate::edge::connections::Connections;
use crate::gateway::health::HostProbe;
use crate::gateway::live::Live;
use crate::gateway::snapshot::{Gateway, Plan};
use crate::telemetry::metrics::Metrics;
use async_trait::async_trait;
use http::{Response, StatusCode, header};
use pingora::apps::http_app::{HttpServer, ServeHttp};
use pingora::protocols::http::ServerSession;
use pingora::services::listening::Service;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;

/// Answers on the internal listener.
#[derive(Debug)]
pub struct Admin {
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    connections: Arc<Connections>,
}

impl Admin {
    /// The service on its address, with a thread of its own.
    pub fn service(
        at: SocketAddr,
        live: Arc<Live>,
        metrics: &Arc<Metrics>,
        connections: &Arc<Connections>,
    ) -> Service<HttpServer<Self>> {
        let admin = Self {
            live,
            metrics: Arc::clone(metrics),
            connections: Arc::clone(connections),
        };
        let mut service = Service::new("internal".to_owned(), HttpServer::new_app(admin));
        service.threads = Some(1);
        service.add_tcp(&at.to_string());
        service
    }

    fn stats(&self) -> String {
        let gateway = self.live.pin();
        let endpoints: Vec<_> = gateway
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.routed)
            .map(|endpoint| {
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
            })
            .collect();
        let health = &gateway.health;
        let backends: Vec<_> = health
            .services
            .iter()
            .map(|service| {
                let status = if health.is_up(service) { "up" } else { "down" };
                let hosts: Vec<_> = health.hosts_of(service).map(host).collect();
                json!({
                    "name": &*service.name,
                    "status": status,
                    "critical": service.critical,
                    "hosts": hosts,
                })
            })
            .collect();
        let stats = json!({
            "schema": 1,
            "version": VERSION,
            "uptime_seconds": crate::base::clock::process_start().elapsed().as_secs(),
            "connections": self.connections.open(),
            "endpoints": endpoints,
            "backends": backends,
            "breakers": gates(&gateway, "breaker"),
            "concurrency": gates(&gateway, "concurrency"),
        });
        stats.to_string()
    }
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

fn host(host: &HostProbe) -> Value {
    let calls: u32 = host.standings.iter().map(|one| one.in_flight()).sum();
    json!({"host": &*host.origin, "status": host.word(), "calls": calls})
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let (status, kind, body) = match (request.method.as_str(), request.uri.path()) {
            ("GET" | "HEAD", "/metrics") => (
                200,
                "text/plain; version=0.0.4; charset=utf-8",
                self.metrics.render(),
            ),
            ("GET" | "HEAD", "/__stats" | "/__stats/") => (200, "application/json", self.stats()),
            ("GET" | "HEAD", "/health") => {
                (200, "application/json", "{\"status\":\"ok\"}".to_owned())
            }
            (_, "/metrics" | "/__stats" | "/__stats/" | "/health") => (
                405,
                "text/plain; charset=utf-8",
                "only GET is answered here\n".to_owned(),
            ),
            _ => (
                404,
                "text/plain; charset=utf-8",
                "try /metrics or /__stats\n".to_owned(),
            ),
        };
        let mut response = Response::new(body.into_bytes());
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        let length = response.body().len();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
        headers.insert(header::CONTENT_LENGTH, header::HeaderValue::from(length));
        response
    }
}
