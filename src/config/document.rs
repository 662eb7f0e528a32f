//! The typed form of a configuration: every key of the reference with its default filled in, still
//! in KrakenD's words. Nothing here is compiled; `compile` turns it into a running gateway.

use serde_json::Value;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// The file it came from; empty for text given in a test.
    pub file: PathBuf,
    /// The typed service.
    pub service: Service,
    /// The merged generic value (after environment overrides), for linting and dumps.
    pub root: Value,
    /// Where things stand in the text.
    pub source: crate::config::source::Source,
}

/// Service level (reference/krakend-core section 2.1).
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// Telemetry label.
    pub name: String,
    /// Listening port, 8080 when absent.
    pub port: u16,
    /// Listening address; all interfaces when absent.
    pub listen_ip: Option<IpAddr>,
    /// Default backend hosts, sanitised.
    pub host: Vec<String>,
    /// Default endpoint timeout, 2 s when absent or 0; zero stands for a negative one, which is over
    /// at once.
    pub timeout: Duration,
    /// Default `cache_ttl`.
    pub cache_ttl: Duration,
    /// Default `output_encoding`, `json` when absent.
    pub output_encoding: String,
    /// Endpoints in file order.
    pub endpoints: Vec<Endpoint>,
    /// Async agents in file order.
    pub async_agents: Vec<AsyncAgent>,
    /// Components at service level.
    pub extra_config: Extra,
    /// `/__debug/*`.
    pub debug_endpoint: bool,
    /// `/__echo/*`.
    pub echo_endpoint: bool,
    /// Looser parameter syntax.
    pub disable_rest: bool,
    /// Agents start one after another.
    pub sequential_start: bool,
    /// `plugin` is present (Go plugins cannot be loaded).
    pub plugin: bool,
    /// Listener TLS.
    pub tls: Option<Tls>,
    /// Backend TLS.
    pub client_tls: Option<ClientTls>,
    /// Deprecated spelling of `client_tls.allow_insecure_connections`.
    pub allow_insecure_connections: bool,
    /// Cleartext HTTP/2 on the listener.
    pub use_h2c: bool,
    /// Whole request including body; zero for none.
    pub read_timeout: Duration,
    /// Writing of the answer; zero for none.
    pub write_timeout: Duration,
    /// Client keep-alive idle; zero for the default.
    pub idle_timeout: Duration,
    /// Request head; zero for the default.
    pub read_header_timeout: Duration,
    /// Bytes of the request head; 0 for the default.
    pub max_header_bytes: u64,
    /// Drain at shutdown; zero for the default.
    pub max_shutdown_wait_time: Duration,
    /// No keep-alive towards backends.
    pub disable_keep_alives: bool,
    /// Do not ask backends for gzip.
    pub disable_compression: bool,
    /// Idle backend connections in all; 0 for unlimited.
    pub max_idle_connections: u64,
    /// Idle backend connections per host, 250 when 0.
    pub max_idle_connections_per_host: u64,
    /// How long a backend connection may idle; zero for ever.
    pub idle_connection_timeout: Duration,
    /// Backend answer head; zero for none.
    pub response_header_timeout: Duration,
    /// Wait for `100 Continue`.
    pub expect_continue_timeout: Duration,
    /// Backend connect; zero for the default.
    pub dialer_timeout: Duration,
    /// Happy eyeballs; zero for the default.
    pub dialer_fallback_delay: Duration,
    /// The delay was negative: no happy eyeballs at all.
    pub dialer_fallback_disabled: bool,
    /// TCP keep-alive probes towards backends; zero for the default.
    pub dialer_keep_alive: Duration,
    /// The interval was negative: no probes at all.
    pub dialer_keep_alive_disabled: bool,
    /// SRV refresh, 30 s when absent or below 1 s.
    pub dns_cache_ttl: Duration,
    /// Where this gateway is by the command line, over `hanzo/regions`; no key sets it.
    pub region: Option<String>,
    /// What the command line says of the fast lane, over `hanzo/edge`; no key sets it.
    pub fast_lane: Option<bool>,
}

/// One endpoint (section 2.2).
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// JSON pointer of this endpoint, e.g. `/endpoints/3`.
    pub pointer: String,
    /// Path with a leading slash, parameters as written (`{name}`).
    pub endpoint: String,
    /// The same with each recognised parameter as `:name`; from a colon a parameter runs to the next
    /// slash, and a last segment `*` takes all that follows.
    pub route: String,
    /// Names of the recognised parameters, sorted, each once.
    pub params: Vec<String>,
    /// The method is one that is not served; the endpoint must not be registered.
    pub skipped: bool,
    /// Upper-cased, `GET` when absent.
    pub method: String,
    /// Backends in file order.
    pub backend: Vec<Backend>,
    /// Whole pipe; the service's when absent or 0. Zero stands for a negative one: over at once.
    pub timeout: Duration,
    /// The service's when absent or 0.
    pub cache_ttl: Duration,
    /// The service's when absent.
    pub output_encoding: String,
    /// 1 when absent, 0 or negative.
    pub concurrent_calls: usize,
    /// As written, in Go's canonical spelling; `*` for all.
    pub input_headers: Vec<String>,
    /// As written; `*` for all.
    pub input_query_strings: Vec<String>,
    /// Components at endpoint level.
    pub extra_config: Extra,
}

/// One backend (section 2.3).
#[derive(Clone, Debug, Default)]
pub struct Backend {
    /// JSON pointer of this backend.
    pub pointer: String,
    /// With a leading slash, placeholders as written (`{name}`).
    pub url_pattern: String,
    /// Names of the placeholders of `url_pattern`, sorted, each once; empty for async agents.
    pub placeholders: Vec<String>,
    /// Sanitised unless `disable_host_sanitize`; the service's when absent.
    pub host: Vec<String>,
    /// Hosts are used verbatim as URL prefix.
    pub disable_host_sanitize: bool,
    /// Upper-cased; the endpoint's when absent.
    pub method: String,
    /// Lower-cased, `json` when absent; `no-op` when the endpoint's output is.
    pub encoding: String,
    /// The body is an array.
    pub is_collection: bool,
    /// Dotted path to descend to; empty for none.
    pub target: String,
    /// Dotted paths to keep.
    pub allow: Vec<String>,
    /// Dotted paths to drop.
    pub deny: Vec<String>,
    /// Renames of top-level keys, sorted by key.
    pub mapping: Vec<(String, String)>,
    /// Key to put the data under; empty for none.
    pub group: String,
    /// `static` or `dns`.
    pub sd: String,
    /// Scheme for SRV results, `http` when absent.
    pub sd_scheme: String,
    /// Second filter, canonical spelling; empty for none.
    pub input_headers: Vec<String>,
    /// Second filter; empty for none.
    pub input_query_strings: Vec<String>,
    /// Components at backend level.
    pub extra_config: Extra,
}

/// One async agent (section 2.4).
#[derive(Clone, Debug, Default)]
pub struct AsyncAgent {
    /// JSON pointer of this agent.
    pub pointer: String,
    /// `AsyncAgent-NN` when absent.
    pub name: String,
    /// `consumer.topic`.
    pub topic: String,
    /// Pipe and backends.
    pub timeout: Duration,
    /// Parallel consumers, at least 1.
    pub workers: u64,
    /// Messages per second and worker; 0 for unlimited.
    pub max_rate: f64,
    /// 0 for unlimited.
    pub max_retries: u64,
    /// As written.
    pub backoff_strategy: String,
    /// At least 1 s.
    pub health_interval: Duration,
    /// As written.
    pub encoding: String,
    /// Backends in file order.
    pub backend: Vec<Backend>,
    /// Components, among them the driver.
    pub extra_config: Extra,
}

/// Listener TLS (section 5.2).
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The section is ignored.
    pub disabled: bool,
    /// Certificate and key files; the deprecated single pair comes last.
    pub keys: Vec<(String, String)>,
    /// As written (`TLS12`, …); empty for the default.
    pub min_version: String,
    /// As written; empty for the default.
    pub max_version: String,
    /// IANA ids.
    pub curve_preferences: Vec<u64>,
    /// IANA ids.
    pub cipher_suites: Vec<u64>,
    /// Clients must show a certificate.
    pub enable_mtls: bool,
    /// PEM files for client certificates.
    pub ca_certs: Vec<String>,
    /// Start from an empty pool.
    pub disable_system_ca_pool: bool,
}

/// Backend TLS (section 5.4).
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// No verification at all.
    pub allow_insecure_connections: bool,
    /// PEM files added to the pool.
    pub ca_certs: Vec<String>,
    /// Start from an empty pool.
    pub disable_system_ca_pool: bool,
    /// Certificate and key files.
    pub client_certs: Vec<(String, String)>,
    /// As written; empty for the default.
    pub min_version: String,
    /// As written; empty for the default.
    pub max_version: String,
    /// IANA ids.
    pub curve_preferences: Vec<u64>,
    /// IANA ids.
    pub cipher_suites: Vec<u64>,
}

/// An `extra_config` object: its namespaces in file order, comments (`@ $ _ #`) left out.
#[derive(Clone, Debug, Default)]
pub struct Extra(pub Vec<Namespace>);

/// One namespace of an `extra_config`.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// Canonical short name (`auth/validator`), whichever spelling was written.
    pub name: String,
    /// JSON pointer of the value, with the spelling that was written.
    pub pointer: String,
    /// The value.
    pub value: Value,
}

impl Extra {
    /// The value of a namespace by its short name.
    pub fn get(&self, name: &str) -> Option<&Namespace> {
        self.0.iter().find(|n| n.name == name)
    }
}
