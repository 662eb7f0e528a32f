//! The internal listener: metrics for Prometheus and statistics as JSON. Reading only; nothing on any
//! listener changes state.

use crate::edge::connections::Connections;
use crate::gateway::live::Live;
use crate::serve::stats::stats;
use crate::telemetry::metrics::Metrics;
use async_trait::async_trait;
use http::{Response, StatusCode, header};
use pingora::apps::http_app::{HttpServer, ServeHttp};
use pingora::protocols::http::ServerSession;
use pingora::services::listening::Service;
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
            ("GET" | "HEAD", "/__stats" | "/__stats/") => (
                200,
                "application/json",
                stats(&self.live.pin(), self.connections.open()),
            ),
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
