//! The generic document into the typed one: every key of the service level with its default.
//!
//! KrakenD stops at the first finding; here all are collected. What it refuses is an error, what it
//! silently accepts though it does nothing is a warning.

use super::document::Service;
use super::settings::Settings;
use super::source::Source;
use super::weak::go_path;
use super::{agent, endpoint, host, keys, namespaces, tls};
use crate::base::{Code, Dialect, Problem};
use std::time::Duration;

/// KrakenD's port, and its limit of idle connections per host.
const PORT: u16 = 8080;
const IDLE_PER_HOST: u64 = 250;

/// What decoding needs besides the value.
pub(super) struct Context<'a> {
    /// Where members stand, for file order.
    pub(super) source: &'a Source,
    /// Whose paths and methods are allowed.
    pub(super) dialect: Dialect,
    /// The port of the command line, which replaces the file's.
    pub(super) port: Option<u16>,
}

/// Decodes a whole document.
pub(super) fn service(s: &mut Settings<'_>, context: &Context<'_>) -> Service {
    s.known(keys::SERVICE);
    version(s);
    let mut service = Service {
        name: s.string_or("name", ""),
        timeout: timeout(s, "timeout", Duration::from_secs(2)),
        cache_ttl: span(s, "cache_ttl"),
        output_encoding: output_encoding(s, "json"),
        extra_config: namespaces::extra(s, context),
        debug_endpoint: s.bool_or("debug_endpoint", false),
        echo_endpoint: s.bool_or("echo_endpoint", false),
        disable_rest: s.bool_or("disable_rest", false),
        sequential_start: s.bool_or("sequential_start", false),
        plugin: plugin(s),
        tls: tls::listener(s),
        client_tls: tls::client(s),
        ..Service::default()
    };
    service.host = hosts(s, true);
    listener(s, context, &mut service);
    transport(s, &mut service);
    let mut index = 0;
    service.async_agents = s.objects("async_agent", |s| {
        index += 1;
        agent::agent(s, context, &service, index - 1)
    });
    service.endpoints = s.objects("endpoints", |s| endpoint::endpoint(s, context, &service));
    service
}

fn version(s: &mut Settings<'_>) {
    // A value of the wrong type has been reported as that.
    let found = if s.has("version") {
        s.int("version")
    } else {
        Some(0)
    };
    match found {
        None | Some(3) => {}
        Some(version) => {
            let hint = match version {
                0 => "add \"version\": 3",
                _ => "write \"version\": 3 and use the keys of that version",
            };
            s.error_hint(
                "version",
                Code::Version,
                format!("unsupported version: {version} (want: 3)"),
                hint,
            );
        }
    }
}

fn listener(s: &mut Settings<'_>, context: &Context<'_>, service: &mut Service) {
    service.port = port(s, context);
    let address = s.string_or("listen_ip", "");
    if !address.is_empty() {
        service.listen_ip = address.parse().ok();
        if service.listen_ip.is_none() {
            let hint = "write an IPv4 or IPv6 address such as \"127.0.0.1\" or \"::1\"; names are not allowed";
            let message = format!("invalid ip address {}", super::json::shortened(&address));
            s.error_hint("listen_ip", Code::BadAddress, message, hint);
        }
    }
    service.use_h2c = s.bool_or("use_h2c", false);
    service.read_timeout = span(s, "read_timeout");
    service.write_timeout = span(s, "write_timeout");
    service.idle_timeout = span(s, "idle_timeout");
    service.read_header_timeout = span(s, "read_header_timeout");
    service.max_header_bytes = count(s, "max_header_bytes");
    service.max_shutdown_wait_time = span(s, "max_shutdown_wait_time");
}

fn port(s: &mut Settings<'_>, context: &Context<'_>) -> u16 {
    let written = s.int_or("port", 0);
    if let Some(port) = context.port.filter(|&port| port != 0) {
        return port;
    }
    match u16::try_from(written) {
        Ok(0) => PORT,
        Ok(port) => port,
        Err(_) => {
            s.error_hint(
                "port",
                Code::OutOfRange,
                format!("port {written} cannot be bound"),
                "write 1 to 65535",
            );
            PORT
        }
    }
}

fn transport(s: &mut Settings<'_>, service: &mut Service) {
    service.allow_insecure_connections = s.bool_or("allow_insecure_connections", false);
    if s.has("allow_insecure_connections") {
        let message = "\"allow_insecure_connections\" has moved";
        s.warn_hint(
            "allow_insecure_connections",
            Code::Deprecated,
            message,
            "put it into \"client_tls\"",
        );
    }
    service.disable_keep_alives = s.bool_or("disable_keep_alives", false);
    service.disable_compression = s.bool_or("disable_compression", false);
    service.max_idle_connections = count(s, "max_idle_connections");
    match s.int_or("max_idle_connections_per_host", 0) {
        0 => service.max_idle_connections_per_host = IDLE_PER_HOST,
        limit => {
            // Go keeps no connection at all when the limit is negative.
            service.disable_keep_alives |= limit < 0;
            service.max_idle_connections_per_host = u64::try_from(limit).unwrap_or(IDLE_PER_HOST);
        }
    }
    service.idle_connection_timeout = span(s, "idle_connection_timeout");
    service.response_header_timeout = span(s, "response_header_timeout");
    service.expect_continue_timeout = span(s, "expect_continue_timeout");
    service.dialer_timeout = span(s, "dialer_timeout");
    (
        service.dialer_fallback_delay,
        service.dialer_fallback_disabled,
    ) = switchable(s, "dialer_fallback_delay");
    (
        service.dialer_keep_alive,
        service.dialer_keep_alive_disabled,
    ) = switchable(s, "dialer_keep_alive");
    let refresh = span(s, "dns_cache_ttl");
    let too_short = refresh < Duration::from_secs(1);
    if too_short && !refresh.is_zero() {
        s.warn(
            "dns_cache_ttl",
            Code::OutOfRange,
            "a \"dns_cache_ttl\" below 1s is ignored, 30s are used",
        );
    }
    service.dns_cache_ttl = if too_short {
        Duration::from_secs(30)
    } else {
        refresh
    };
}

fn plugin(s: &mut Settings<'_>) -> bool {
    let Some(mut plugin) = s.object("plugin") else {
        return false;
    };
    plugin.known(keys::PLUGIN);
    plugin.string("folder");
    plugin.string("pattern");
    true
}

/// A duration, zero when absent; negative ones count as zero with a warning.
pub(super) fn span(s: &mut Settings<'_>, key: &str) -> Duration {
    s.duration(key).unwrap_or_default()
}

/// A duration that a negative value switches off.
fn switchable(s: &mut Settings<'_>, key: &str) -> (Duration, bool) {
    let nanos = s.nanos(key).unwrap_or(0);
    (
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)),
        nanos < 0,
    )
}

/// The time for a whole pipe: the default when absent or 0, zero (over at once) when negative.
pub(super) fn timeout(s: &mut Settings<'_>, key: &str, default: Duration) -> Duration {
    match s.nanos(key) {
        None | Some(0) => default,
        Some(nanos) => {
            if nanos < 0 {
                let message = format!(
                    "'{}' is negative: every request times out at once",
                    go_path(&s.pointer_of(key))
                );
                s.warn(key, Code::OutOfRange, message);
            }
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
        }
    }
}

/// A number of things; negative ones count as 0 (the default) with a warning.
pub(super) fn count(s: &mut Settings<'_>, key: &str) -> u64 {
    let count = s.int_or(key, 0);
    if count < 0 {
        let message = format!(
            "'{}' is negative and counts as 0",
            go_path(&s.pointer_of(key))
        );
        s.warn(key, Code::OutOfRange, message);
    }
    u64::try_from(count).unwrap_or(0)
}

/// `output_encoding`, or a default when absent or empty.
pub(super) fn output_encoding(s: &mut Settings<'_>, default: &str) -> String {
    const KNOWN: &[&str] = &[
        "json",
        "fast-json",
        "json-collection",
        "xml",
        "yaml",
        "string",
        "negotiate",
        "no-op",
    ];
    let encoding = s.string_or("output_encoding", "");
    if encoding.is_empty() {
        return default.to_owned();
    }
    warn_encoding(s, "output_encoding", &encoding, KNOWN);
    encoding
}

/// Warns of an encoding that nothing knows.
pub(super) fn warn_encoding(s: &mut Settings<'_>, key: &str, encoding: &str, known: &[&str]) {
    if known.contains(&encoding) {
        return;
    }
    let message = format!(
        "unknown {key} \"{}\", JSON is used",
        super::json::shortened(encoding)
    );
    s.warn_hint(
        key,
        Code::UnknownEncoding,
        message,
        format!("write one of \"{}\"", known.join("\", \"")),
    );
}

/// The hosts of the service or of a backend, cleaned unless they are to be used as written.
pub(super) fn hosts(s: &mut Settings<'_>, sanitize: bool) -> Vec<String> {
    let mut hosts = Vec::new();
    for (pointer, text) in s.located_strings("host") {
        if !sanitize {
            hosts.push(text);
            continue;
        }
        match host::sanitize(&text) {
            Some(host) => hosts.push(host),
            None => {
                let message = format!(
                    "host {} not valid: invalid host",
                    super::json::shortened(&text)
                );
                let hint = "write scheme, name and port only, such as \"http://api:8080\"; a path belongs into \
                            \"url_pattern\"; \"disable_host_sanitize\": true in the backend takes it as written";
                s.report()
                    .push(Problem::error(Code::BadHost, pointer, message).hint(hint));
            }
        }
    }
    hosts
}
