//! Endpoints and their backends: defaults, inheritance and validation, in KrakenD's order and words.
//!
//! The native dialect serves any method but CONNECT and TRACE, KrakenD five.

use super::decode::{self, Context};
use super::document::{Backend, Endpoint, Service};
use super::path::{self, Route};
use super::settings::Settings;
use super::{header, keys, namespaces};
use crate::base::{Code, Dialect};

/// Fields of KrakenD's backend that can be written though they have no documented key.
const INNER_KEYS: &[&str] = &["timeout", "concurrentcalls", "urlkeys", "decoder"];

/// Decodes an endpoint. The service's defaults must be complete, its endpoints need not be.
pub(super) fn endpoint(s: &mut Settings<'_>, context: &Context<'_>, service: &Service) -> Endpoint {
    s.known(keys::ENDPOINT);
    let (method, skipped) = method(s, context.dialect);
    let (path, route) = endpoint_path(s, context.dialect, service.disable_rest);
    let cache_ttl = decode::span(s, "cache_ttl");
    let mut endpoint = Endpoint {
        pointer: s.pointer().to_owned(),
        timeout: decode::timeout(s, "timeout", service.timeout),
        cache_ttl: if cache_ttl.is_zero() {
            service.cache_ttl
        } else {
            cache_ttl
        },
        output_encoding: decode::output_encoding(s, &service.output_encoding),
        concurrent_calls: usize::try_from(decode::count(s, "concurrent_calls"))
            .unwrap_or(usize::MAX)
            .max(1),
        input_headers: s
            .list_of_strings("input_headers")
            .iter()
            .map(|name| header::canonical(name))
            .collect(),
        input_query_strings: s.list_of_strings("input_query_strings"),
        extra_config: namespaces::extra(s, context),
        endpoint: path,
        route: route.path,
        params: route.params,
        method,
        skipped,
        backend: Vec::new(),
    };
    let mut index = 0;
    endpoint.backend = s.objects("backend", |s| {
        index += 1;
        backend(s, context, service, &endpoint, index - 1)
    });
    check_backends(s, &endpoint);
    endpoint
}

/// The method in upper case, and whether it is one that is not served.
fn method(s: &mut Settings<'_>, dialect: Dialect) -> (String, bool) {
    let method = s.string_or("method", "").to_ascii_uppercase();
    let skipped = match method.as_str() {
        "" => return ("GET".to_owned(), false),
        "GET" | "POST" | "PUT" | "PATCH" | "DELETE" => false,
        // Tunnels and loops are no methods of an endpoint.
        "CONNECT" | "TRACE" => true,
        _ => dialect == Dialect::Krakend || !method.bytes().all(header::is_token),
    };
    if skipped {
        let path = path::clean(&s.string_or("endpoint", ""));
        let message = format!(
            "[ENDPOINT: {path}] Unsupported method {}",
            super::json::shortened(&method)
        );
        let hint = match dialect {
            Dialect::Krakend => "the endpoint is skipped; write GET, POST, PUT, PATCH or DELETE",
            Dialect::Native => "the endpoint is skipped; write an HTTP method such as GET",
        };
        s.warn_hint("method", Code::BadMethod, message, hint);
    }
    (method, skipped)
}

fn endpoint_path(s: &mut Settings<'_>, dialect: Dialect, disable_rest: bool) -> (String, Route) {
    if !s.has("endpoint") {
        s.warn_hint(
            "",
            Code::BadPath,
            "\"endpoint\" is missing, \"/\" is served",
            "add \"endpoint\": \"/path\"",
        );
    }
    let path = path::clean(&s.string_or("endpoint", ""));
    let route = path::route(&path, disable_rest);
    if path::is_forbidden(&path) {
        let method = s.string_or("method", "");
        let message = format!("ignoring the '{method} {path}' endpoint, since it is invalid!!!");
        let hint = "nothing may follow a *, and no segment may be __debug, __echo or __health";
        s.error_hint("endpoint", Code::BadPath, message, hint);
    } else if let Some(message) = path::router_problem(&route.path, dialect) {
        let hint = "a segment is either plain text or one {parameter}";
        s.error_hint("endpoint", Code::BadPath, message, hint);
    } else if path.contains('?') {
        s.warn(
            "endpoint",
            Code::BadPath,
            "the path of an endpoint has no query; the ? is taken literally",
        );
    }
    (path, route)
}

fn check_backends(s: &mut Settings<'_>, endpoint: &Endpoint) {
    let count = s
        .value("backend")
        .map_or(0, |value| super::weak::list(value).len());
    if count == 0 {
        let method = s.string_or("method", "");
        let message = format!(
            "ignoring the '{method} {}' endpoint, since it has 0 backends defined!",
            endpoint.endpoint
        );
        s.error_hint(
            "",
            Code::NoBackend,
            message,
            "add \"backend\": [{\"host\": [\"http://api\"], \"url_pattern\": \"/\"}]",
        );
    }
    // Of several that share the requests each one gets its own.
    let split = endpoint.extra_config.get("hanzo/split").is_some();
    if endpoint.output_encoding == "no-op" && count > 1 && !split {
        let message =
            "can not use NoOp encoding with more than one backends connected to the same endpoint";
        let hint = "keep one backend, or use another \"output_encoding\"";
        s.error_hint("backend", Code::NoOpManyBackends, message, hint);
    }
}

fn backend(
    s: &mut Settings<'_>,
    context: &Context<'_>,
    service: &Service,
    endpoint: &Endpoint,
    index: usize,
) -> Backend {
    let mut backend = common(s, context, service, &endpoint.method);
    backend.url_pattern = path::clean(&backend.url_pattern);
    backend.placeholders = path::placeholders(&backend.url_pattern);
    if endpoint.output_encoding == "no-op" {
        backend.encoding = "no-op".to_owned();
    }
    for name in &mut backend.input_headers {
        *name = header::canonical(name);
    }
    let owner = format!("{} {}", endpoint.method, endpoint.route);
    let pointer = s.pointer_of("url_pattern");
    let checked = path::check_placeholders(
        &backend.placeholders,
        &endpoint.params,
        &owner,
        index,
        &pointer,
    );
    if let Err(problem) = checked {
        s.report().push(problem);
    }
    backend
}

/// What backends of endpoints and of async agents share.
pub(super) fn common(
    s: &mut Settings<'_>,
    context: &Context<'_>,
    service: &Service,
    default_method: &str,
) -> Backend {
    inner_keys(s);
    let disable_host_sanitize = s.bool_or("disable_host_sanitize", false);
    let mut host = decode::hosts(s, !disable_host_sanitize);
    if host.is_empty() {
        host.clone_from(&service.host);
    }
    let backend = Backend {
        pointer: s.pointer().to_owned(),
        url_pattern: s.string_or("url_pattern", ""),
        host,
        disable_host_sanitize,
        method: backend_method(s, default_method),
        encoding: backend_encoding(s),
        is_collection: s.bool_or("is_collection", false),
        target: s.string_or("target", ""),
        allow: s.list_of_strings("allow"),
        deny: s.list_of_strings("deny"),
        mapping: s.string_map("mapping"),
        group: s.string_or("group", ""),
        sd: service_discovery(s),
        sd_scheme: Some(s.string_or("sd_scheme", ""))
            .filter(|scheme| !scheme.is_empty())
            .unwrap_or_else(|| "http".into()),
        input_headers: s.list_of_strings("input_headers"),
        input_query_strings: s.list_of_strings("input_query_strings"),
        extra_config: namespaces::extra(s, context),
        placeholders: Vec::new(),
    };
    warn_without_effect(s, &backend);
    backend
}

/// Keys that are decoded (so that a wrong value refuses the file) but mean nothing.
fn inner_keys(s: &mut Settings<'_>) {
    let known: Vec<&str> = keys::BACKEND.iter().chain(INNER_KEYS).copied().collect();
    s.known(&known);
    s.nanos("timeout");
    s.int("concurrentcalls");
    s.list_of_strings("urlkeys");
    for key in INNER_KEYS.iter().filter(|key| **key != "decoder") {
        if s.has(key) {
            let message = format!("\"{key}\" of a backend has no effect");
            s.warn_hint(
                key,
                Code::UnknownKey,
                message,
                "the endpoint's \"timeout\" and \"concurrent_calls\" count",
            );
        }
    }
    if let Some(value) = s.value("decoder") {
        let wanted = super::weak::Mismatch::Type {
            wanted: "encoding.Decoder",
            got: super::weak::kind(value),
        };
        let problem = wanted.problem(&s.pointer_of("decoder"));
        s.report().push(problem.hint("write \"encoding\""));
    }
}

fn backend_method(s: &mut Settings<'_>, default: &str) -> String {
    let method = s.string_or("method", "").to_ascii_uppercase();
    if method.is_empty() {
        return default.to_owned();
    }
    if !method.bytes().all(header::is_token) {
        let message = format!(
            "\"{}\" is no method, every request to this backend fails",
            super::json::shortened(&method)
        );
        s.warn("method", Code::BadValue, message);
    }
    method
}

fn backend_encoding(s: &mut Settings<'_>) -> String {
    const KNOWN: &[&str] = &[
        "json",
        "safejson",
        "fast-json",
        "xml",
        "rss",
        "string",
        "no-op",
    ];
    let encoding = s.string_or("encoding", "").to_lowercase();
    if encoding.is_empty() {
        return "json".to_owned();
    }
    warn_encoding(s, &encoding, KNOWN);
    encoding
}

fn warn_encoding(s: &mut Settings<'_>, encoding: &str, known: &[&str]) {
    decode::warn_encoding(s, "encoding", encoding, known);
}

fn service_discovery(s: &mut Settings<'_>) -> String {
    match s.string_or("sd", "").as_str() {
        "" | "static" => "static".to_owned(),
        "dns" => "dns".to_owned(),
        other => {
            let message = format!(
                "unknown \"sd\" \"{}\", \"static\" is used",
                super::json::shortened(other)
            );
            s.warn_hint("sd", Code::BadValue, message, "write \"static\" or \"dns\"");
            "static".to_owned()
        }
    }
}

fn warn_without_effect(s: &mut Settings<'_>, backend: &Backend) {
    // Drivers other than HTTP need no host.
    let driver = |name: &str| {
        name.starts_with("backend/")
            && !matches!(
                name,
                "backend/http" | "backend/http/client" | "backend/graphql"
            )
    };
    if backend.host.is_empty()
        && !backend
            .extra_config
            .0
            .iter()
            .any(|namespace| driver(&namespace.name))
    {
        let message = "the backend has no host, every request to it fails";
        s.warn_hint(
            "",
            Code::NoHost,
            message,
            "add \"host\": [\"http://name:port\"] here or to the whole service",
        );
    }
    if !backend.allow.is_empty() && !backend.deny.is_empty() {
        s.warn(
            "deny",
            Code::BadValue,
            "\"deny\" has no effect beside \"allow\"",
        );
    }
    for (key, list) in [
        ("input_headers", &backend.input_headers),
        ("input_query_strings", &backend.input_query_strings),
    ] {
        if list.iter().any(|name| name == "*") {
            let message = format!("\"*\" has no special meaning in \"{key}\" of a backend");
            s.warn_hint(
                key,
                Code::BadValue,
                message,
                format!("leave out \"{key}\" to pass what the endpoint passes"),
            );
        }
    }
}
