//! The corridor: a document and the component tables become a snapshot, or every problem at once. Start,
//! `check`, `explain`, `diff` and reload all walk through here.

pub mod audit;
pub mod backend;
pub mod clients;
pub mod components;
pub mod diff;
pub mod endpoint;
pub mod explain;
pub mod gates;
pub mod hosts;
pub mod regions;
pub mod schema;
pub mod split;
pub mod strip;
pub mod transport;

use crate::base::{Code, Dialect, ErrorShape, Problem, Report};
use crate::component::{At, EndpointDraft, Env, ServiceDraft};
use crate::config::{self, Document};
use crate::gateway::client_ip::{ClientIpRules, ClientIpSettings};
use crate::gateway::health::Health;
use crate::gateway::kept::Kept;
use crate::gateway::lane::Lane;
use crate::gateway::limits::Limits;
use crate::gateway::router::{Route, Router, RouterOptions};
use crate::gateway::snapshot::{Builtin, Endpoint, Gateway, Own, Service, Tasks};
use crate::gateway::task::Task;
use crate::net::{Client, Resolver};
use crate::telemetry::log::LogOptions;
use crate::telemetry::metrics::Metrics;
use http::Method;
use log::LevelFilter;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Client keep-alive where the file says nothing.
const IDLE: Duration = Duration::from_secs(60);
/// Longest pause between two chunks of a streamed answer.
const STREAM_IDLE: Duration = Duration::from_secs(60);

/// What outlives a reload and is handed to every compilation.
#[derive(Debug)]
pub struct Shared {
    /// Metric families.
    pub metrics: Arc<Metrics>,
    /// Names of backends.
    pub resolver: Resolver,
    /// State of configurations.
    pub kept: Arc<Kept>,
    /// Worker threads, which share the caps on idle connections.
    pub threads: usize,
}

impl Shared {
    /// Fresh state for a process with this many workers.
    ///
    /// # Errors
    /// Only when two metrics have one name.
    pub fn new(threads: usize) -> Result<Self, prometheus::Error> {
        Ok(Self {
            metrics: Metrics::new()?,
            resolver: Resolver::new(),
            kept: Arc::default(),
            threads,
        })
    }
}

/// A compiled document.
#[derive(Debug)]
pub struct Compiled {
    /// What requests meet.
    pub gateway: Gateway,
    /// What only a start needs.
    pub listen: Listen,
}

/// What a start needs besides the snapshot; a reload cannot change it.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Port.
    pub port: u16,
    /// Address; all when absent.
    pub ip: Option<IpAddr>,
    /// HTTP/2 in cleartext.
    pub h2c: bool,
    /// Certificates, when the listener speaks TLS.
    pub tls: Option<crate::config::document::Tls>,
    /// Whether clients are asked for certificates although none has to have one.
    pub asks_clients: bool,
    /// How long requests may finish at shutdown; zero for the default.
    pub drain: Duration,
    /// What to log, when the file says so.
    pub logging: Option<LogOptions>,
    /// Roots for Pingora's own upstream path.
    pub ca_file: Option<String>,
}

/// Compiles a document. `None` exactly when the report holds an error; warnings alone still give a
/// gateway.
pub fn compile(
    document: &Document,
    dialect: Dialect,
    shared: &Shared,
    report: &mut Report,
) -> Option<Compiled> {
    let doc = &document.service;
    let client = Arc::new(Client::new(transport::client(
        doc,
        dialect,
        shared.threads,
        report,
    )));
    let mut draft = ServiceDraft {
        env: Env {
            kept: Arc::clone(&shared.kept),
            resolver: shared.resolver.clone(),
            client: Arc::clone(&client),
            metrics: Arc::clone(&shared.metrics),
        },
        limits: Limits::of(dialect),
        ..ServiceDraft::default()
    };
    transport::limits(doc, dialect, &mut draft.limits);
    components::service(&doc.extra_config, &mut draft, dialect, report);
    if let Some(fast) = doc.fast_lane {
        draft.lane = if fast { Lane::Auto } else { Lane::Off };
    }
    let regions = regions::Regions::of(document, &draft, report);
    let region = regions.here.clone();
    let client_ip = client_ip(&draft, document, dialect, report);
    // All endpoints' components before the first endpoint: what one of them mints, none of them believes.
    let mut drafts = Vec::with_capacity(doc.endpoints.len());
    for written in &doc.endpoints {
        let mut own = EndpointDraft {
            env: draft.env.clone(),
            offers: draft.offers.clone(),
            at: at(written),
            limits: draft.limits.clone(),
            ..EndpointDraft::default()
        };
        components::endpoint(&written.extra_config, &mut own, dialect, report);
        drafts.push((written, own));
    }
    let strip = Arc::new(strip::set(
        document,
        &draft,
        drafts.iter().map(|(_, own)| own),
    ));
    let mut scope = endpoint::Scope {
        document,
        dialect,
        shared,
        draft: &draft,
        strip: Arc::clone(&strip),
        regions,
        report,
    };
    let mut endpoints = Vec::new();
    let mut tasks = Vec::new();
    for (written, mut own) in drafts {
        let mut asked = Vec::new();
        let from = endpoints.len();
        let compiled = match own.split.take() {
            Some(split) => split::compile(written, (own, split), from, &mut asked, &mut scope),
            None => {
                let compiled = endpoint::compile(written, own, &mut asked, &mut scope);
                compiled.into_iter().collect()
            }
        };
        if !written.skipped {
            tasks.extend(asked);
            endpoints.extend(compiled);
        }
    }
    for agent in &doc.async_agents {
        components::agent(agent, report);
    }
    let builtins = builtins(document, &draft, dialect);
    let router = router(&endpoints, &builtins, document, &draft, dialect, report);
    let health = health(&endpoints, &draft, document, report);
    transport::prepare_tls(&client, &endpoints, report);
    let asks_clients = clients::asks(document, report);
    if report.has_errors() {
        return None;
    }
    let errors = errors(&draft, dialect);
    let watch = hosts::watch(&endpoints, &shared.metrics);
    let gateway = Gateway {
        dialect,
        router: router?,
        builtins: builtins
            .into_iter()
            .map(|(method, pattern, builtin)| Own {
                builtin,
                meters: shared.metrics.endpoint(method.as_str(), &pattern),
                pattern: pattern.into(),
            })
            .collect(),
        endpoints: endpoints.into(),
        service: Service {
            version_header: errors.version_header(),
            errors,
            limits: draft.limits.clone(),
            client_ip,
            idle_timeout: transport::idle_timeout(doc).unwrap_or(IDLE),
            stream_idle: STREAM_IDLE,
            lane: draft.lane,
            remove_extra_slash: draft.router.remove_extra_slash,
            disable_path_decoding: draft.router.disable_path_decoding,
            access_log: access_log(&draft, dialect),
            skip_log_paths: skipped_paths(&draft),
            regional: watch.is_some(),
            region: region.map(Into::into),
            insecure: transport::insecure(doc),
            unrouted: shared.metrics.endpoint("", ""),
            door: draft.door.into(),
            head: draft.head.into(),
            claims: draft.claims.into(),
            strip,
        },
        client,
        resolver: shared.resolver.clone(),
        health: Arc::new(health),
        tasks: distinct(draft.tasks.into_iter().chain(tasks).chain(watch)),
    };
    let listen = Listen {
        port: doc.port,
        ip: doc.listen_ip,
        h2c: doc.use_h2c || draft.router.use_h2c,
        tls: doc.tls.clone().filter(|tls| !tls.disabled),
        asks_clients,
        drain: doc.max_shutdown_wait_time,
        logging: draft.logging,
        ca_file: doc
            .client_tls
            .as_ref()
            .and_then(|tls| tls.ca_certs.first().cloned()),
    };
    Some(Compiled { gateway, listen })
}

fn at(written: &config::Endpoint) -> At {
    At {
        method: written.method.clone(),
        path: written.endpoint.clone(),
        pointer: written.pointer.clone(),
    }
}

/// Each task once: endpoints with the same settings share theirs.
fn distinct(all: impl Iterator<Item = Arc<dyn Task>>) -> Tasks {
    let mut tasks: Vec<Arc<dyn Task>> = Vec::new();
    for task in all {
        if !tasks.iter().any(|known| Arc::ptr_eq(known, &task)) {
            tasks.push(task);
        }
    }
    Tasks(tasks)
}

fn errors(draft: &ServiceDraft, dialect: Dialect) -> ErrorShape {
    let flags = &draft.router;
    ErrorShape {
        dialect,
        return_error_msg: flags.return_error_msg,
        body_404: flags.body_404.clone(),
        body_405: flags.body_405.clone(),
        hide_version: flags.hide_version_header,
    }
}

/// Native access lines are records of level INFO; KrakenD's are not subject to a level.
fn access_log(draft: &ServiceDraft, dialect: Dialect) -> bool {
    let level = draft
        .logging
        .as_ref()
        .map_or(LevelFilter::Info, |logging| logging.level);
    !draft.router.disable_access_log && (dialect == Dialect::Krakend || level >= LevelFilter::Info)
}

fn skipped_paths(draft: &ServiceDraft) -> Box<[Box<[u8]>]> {
    let paths = draft.router.logger_skip_paths.iter();
    paths.map(|path| Box::from(path.as_bytes())).collect()
}

fn client_ip(
    draft: &ServiceDraft,
    document: &Document,
    dialect: Dialect,
    report: &mut Report,
) -> ClientIpRules {
    let flags = &draft.router;
    let (rules, bad) = ClientIpRules::compile(
        dialect,
        ClientIpSettings {
            forwarded_by_client_ip: Some(flags.forwarded_by_client_ip),
            trusted_proxies: flags.trusted_proxies.as_deref(),
            remote_ip_headers: &flags.remote_ip_headers,
            app_engine: flags.app_engine,
        },
    );
    let pointer = |key: &str| match document.service.extra_config.get("router") {
        Some(router) => format!("{}/{key}", router.pointer),
        None => String::new(),
    };
    for entry in bad {
        let message = format!("\"{entry}\" is neither an address nor a network");
        let hint = "write for example \"10.0.0.0/8\" or \"192.0.2.1\"";
        let problem =
            Problem::error(Code::BadValue, pointer("trusted_proxies"), message).hint(hint);
        report.push(match dialect {
            Dialect::Native => problem,
            Dialect::Krakend => Problem {
                severity: crate::base::Severity::Warning,
                ..problem
            },
        });
    }
    if dialect == Dialect::Native
        && flags.trusted_proxies.is_none()
        && !flags.remote_ip_headers.is_empty()
    {
        let message = "remote_ip_headers without trusted_proxies: KrakenD believes these fields from \
                       every client, this gateway from nobody";
        report.push(
            Problem::warning(
                Code::TrustsEveryProxy,
                pointer("remote_ip_headers"),
                message,
            )
            .hint("list the addresses of your proxies in \"trusted_proxies\""),
        );
    }
    rules
}

/// What we answer ourselves: method, pattern, what. In KrakenD's order, which shows in `Allow`.
fn builtins(
    document: &Document,
    draft: &ServiceDraft,
    dialect: Dialect,
) -> Vec<(Method, String, Builtin)> {
    let taken = |path: &str| {
        document
            .service
            .endpoints
            .iter()
            .any(|e| e.endpoint == path && !e.skipped)
    };
    let mut all = Vec::new();
    let native = dialect == Dialect::Native;
    let replaced = native && taken(&draft.router.health_path);
    if !(draft.router.disable_health || replaced) {
        let which = if native {
            Builtin::Ready
        } else {
            Builtin::KrakendHealth
        };
        all.push((Method::GET, draft.router.health_path.clone(), which));
    }
    if native && draft.router.health_path != "/health" && !taken("/health") {
        all.push((Method::GET, "/health".to_owned(), Builtin::Live));
    }
    let methods = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::HEAD,
        Method::OPTIONS,
        Method::DELETE,
        Method::CONNECT,
        Method::TRACE,
    ];
    for (on, path, builtin) in [
        (
            document.service.debug_endpoint,
            "/__debug/*param",
            Builtin::Debug,
        ),
        (
            document.service.echo_endpoint,
            "/__echo/*param",
            Builtin::Echo,
        ),
    ] {
        if on {
            all.extend(
                methods
                    .iter()
                    .map(|m| (m.clone(), path.to_owned(), builtin)),
            );
        }
    }
    all
}

fn router(
    endpoints: &[Endpoint],
    builtins: &[(Method, String, Builtin)],
    document: &Document,
    draft: &ServiceDraft,
    dialect: Dialect,
    report: &mut Report,
) -> Option<Router> {
    let id = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
    let own = builtins
        .iter()
        .enumerate()
        .map(|(i, (method, pattern, _))| Route {
            method: method.clone(),
            pattern: pattern.clone(),
            endpoint: id(endpoints.len() + i),
        });
    let written = endpoints.iter().enumerate();
    let written = written.filter(|(_, endpoint)| endpoint.routed);
    let written = written.map(|(i, endpoint)| Route {
        method: endpoint.method.clone(),
        pattern: endpoint.pattern.to_string(),
        endpoint: id(i),
    });
    let flags = &draft.router;
    let options = RouterOptions {
        disable_rest: document.service.disable_rest,
        redirect_trailing_slash: !flags.disable_redirect_trailing_slash,
        redirect_fixed_path: !flags.disable_redirect_fixed_path,
        remove_extra_slash: flags.remove_extra_slash,
        handle_method_not_allowed: !flags.disable_handle_method_not_allowed,
        auto_options: flags.auto_options,
        ..RouterOptions::new(dialect)
    };
    let conflicts = match Router::build(own.chain(written).collect(), options) {
        Ok(router) => return Some(router),
        Err(conflicts) => conflicts,
    };
    for conflict in conflicts {
        let pointer = |id: u32| match endpoints.get(id as usize) {
            Some(endpoint) => endpoint.pointer.to_string(),
            None => "a built-in endpoint".to_owned(),
        };
        let (first, second) = (pointer(conflict.first), pointer(conflict.second));
        let message = if first == second {
            conflict.text
        } else {
            format!("{} (the other is {first})", conflict.text)
        };
        let hint = "remove one of the two, or give it another path or method";
        report.push(Problem::error(Code::RouteConflict, second, message).hint(hint));
    }
    None
}

/// The distinct services behind all endpoints.
fn health(
    endpoints: &[Endpoint],
    draft: &ServiceDraft,
    document: &Document,
    report: &mut Report,
) -> Health {
    let backends = endpoints.iter().flat_map(Endpoint::backends);
    let health = Health::new(backends, &draft.health.critical, &draft.env.kept);
    if let Some(settings) = document.service.extra_config.get("hanzo/health") {
        for name in health.unknown_critical() {
            let message = format!("\"{name}\" names no backend of this file");
            let hint = "write the host of a backend, with or without its port, or its first label";
            let pointer = format!("{}/critical", settings.pointer);
            report.push(Problem::error(Code::BadValue, pointer, message).hint(hint));
        }
    }
    health
}
