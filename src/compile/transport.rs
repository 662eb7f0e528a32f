//! Time-outs, pools and TLS of both sides, from the keys of the service level.

use crate::base::{Code, Dialect, Problem, Report};
use crate::component::backend::http_client;
use crate::config::document::Service;
use crate::gateway::limits::Limits;
use crate::gateway::snapshot::{Endpoint, Hosts};
use crate::net::{Client, ClientOptions, Scheme, TlsOptions};
use std::time::Duration;

/// What KrakenD's own keys say of request heads, on top of the dialect's defaults.
pub fn limits(doc: &Service, dialect: Dialect, limits: &mut Limits) {
    let written = [doc.read_header_timeout, doc.read_timeout];
    if let Some(timeout) = written.into_iter().find(|t| !t.is_zero()) {
        limits.header_timeout = Some(match limits.header_timeout {
            // A looser value than ours is no reason to be looser: it is KrakenD's key with KrakenD's
            // meaning, and ours is a protection of its own.
            Some(ours) if dialect == Dialect::Native => timeout.min(ours),
            _ => timeout,
        });
    }
    if let Ok(bytes @ 1..) = usize::try_from(doc.max_header_bytes) {
        limits.max_header_bytes = match dialect {
            Dialect::Native => bytes,
            // Go adds its own slack.
            Dialect::Krakend => bytes.saturating_add(4096),
        };
    }
}

/// How long a client's connection may idle; `None` where the file says nothing.
pub fn idle_timeout(doc: &Service) -> Option<Duration> {
    [doc.idle_timeout, doc.read_timeout, doc.read_header_timeout]
        .into_iter()
        .find(|t| !t.is_zero())
}

/// Whether certificates of backends are taken unseen.
pub fn insecure(doc: &Service) -> bool {
    doc.allow_insecure_connections
        || doc
            .client_tls
            .as_ref()
            .is_some_and(|tls| tls.allow_insecure_connections)
}

/// How backends are connected to.
pub fn client(
    doc: &Service,
    dialect: Dialect,
    threads: usize,
    report: &mut Report,
) -> ClientOptions {
    let some = |span: Duration| (!span.is_zero()).then_some(span);
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    ClientOptions {
        connect_timeout: some(doc.dialer_timeout),
        head_timeout: some(doc.response_header_timeout),
        idle_timeout: doc.idle_connection_timeout,
        max_idle_per_host: count(doc.max_idle_connections_per_host).max(1),
        max_idle: count(doc.max_idle_connections),
        threads,
        disable_keep_alives: doc.disable_keep_alives,
        http2: dialect == Dialect::Native,
        tls: tls(doc, dialect, report),
        ..ClientOptions::default()
    }
}

fn tls(doc: &Service, dialect: Dialect, report: &mut Report) -> TlsOptions {
    let Some(written) = &doc.client_tls else {
        return TlsOptions {
            insecure: insecure(doc),
            ..TlsOptions::default()
        };
    };
    if written.client_certs.len() > 1 {
        report.push(Problem::warning(
            Code::NotYet,
            "/client_tls/client_certs",
            "only the first client certificate is used",
        ));
    }
    TlsOptions {
        insecure: insecure(doc),
        ..http_client::tls_options(written, dialect)
    }
}

/// Reads the files of `client_tls` now, when any backend needs them.
pub fn prepare_tls(client: &Client, endpoints: &[Endpoint], report: &mut Report) {
    let needs = endpoints
        .iter()
        .flat_map(Endpoint::backends)
        .filter(|backend| {
            backend
                .transport
                .as_ref()
                .is_none_or(|own| own.tls.is_none())
        })
        .any(|backend| is_tls(&backend.hosts));
    if needs && let Err(text) = client.prepare_tls() {
        let hint = "check the files that client_tls names";
        report.push(Problem::error(Code::BadTls, "/client_tls", text).hint(hint));
    }
}

fn is_tls(hosts: &Hosts) -> bool {
    !hosts.all(|target| target.authority().scheme != Scheme::Https)
}
