//! `check -d`, `-dd`, `-ddd`: what was understood of a file, as KrakenD's tree (reference section 13.2).
//!
//! Differs from KrakenD: settings of components are printed in file order and not at random, and those
//! whose name says that they are secret are not printed at all.

use crate::cli::report::printable;
use crate::compile::diff::shown;
use crate::config::document::Service;
use crate::config::{AsyncAgent, Backend, Document, Endpoint, Extra, duration};
use std::fmt::Display;
use std::time::Duration;

/// The tree; `level` is how often `-d` was given.
pub fn tree(document: &Document, level: u8, indent: &str) -> String {
    let mut tree = Tree {
        out: String::new(),
        level,
        indent,
    };
    let service = &document.service;
    tree.line(1, 0, "Global settings");
    tree.service(service);
    tree.tls(document);
    tree.client_tls(service);
    if service.plugin {
        for (key, label) in [("folder", "Folder"), ("pattern", "Pattern")] {
            let value = document
                .root
                .get("plugin")
                .and_then(|plugin| plugin.get(key));
            let text = value
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default();
            tree.field(1, 1, label, text);
        }
    } else {
        tree.line(2, 0, "No Plugin section defined");
    }
    tree.components(
        &service.extra_config,
        0,
        "global component configuration(s):",
    );
    tree.line(
        1,
        0,
        &format!("{} API endpoint(s):", service.endpoints.len()),
    );
    for endpoint in &service.endpoints {
        tree.endpoint(endpoint);
    }
    tree.line(
        1,
        0,
        &format!("{} async agent(s):", service.async_agents.len()),
    );
    for agent in &service.async_agents {
        tree.agent(agent);
    }
    tree.out
}

struct Tree<'a> {
    out: String,
    level: u8,
    indent: &'a str,
}

impl Tree<'_> {
    /// A line at a depth of indentation, if the tree is this talkative.
    fn line(&mut self, level: u8, depth: usize, text: &str) {
        if level <= self.level {
            for _ in 0..depth {
                self.out.push_str(self.indent);
            }
            self.out.push_str(&printable(text));
            self.out.push('\n');
        }
    }

    fn field(&mut self, level: u8, depth: usize, label: &str, value: impl Display) {
        if level <= self.level {
            self.line(level, depth, &format!("{label}: {value}"));
        }
    }

    fn service(&mut self, s: &Service) {
        self.field(1, 1, "Name", &s.name);
        self.field(1, 1, "Version", 3);
        let address = s.listen_ip.map(|ip| ip.to_string()).unwrap_or_default();
        self.field(1, 1, "Address", address);
        self.field(1, 1, "Port", s.port);
        self.field(2, 1, "Default cache TTL", span(s.cache_ttl));
        self.field(2, 1, "Default timeout", span(s.timeout));
        self.field(
            if s.host.is_empty() { 2 } else { 1 },
            1,
            "Default backend hosts",
            list(&s.host),
        );
        for (label, value) in [
            ("Read timeout", s.read_timeout),
            ("Write timeout", s.write_timeout),
            ("Idle timeout", s.idle_timeout),
            ("Read header timeout", s.read_header_timeout),
            ("Idle connection timeout", s.idle_connection_timeout),
            ("Response header timeout", s.response_header_timeout),
            ("Expect continue timeout", s.expect_continue_timeout),
            ("Dialer timeout", s.dialer_timeout),
            ("Dialer fallback delay", s.dialer_fallback_delay),
            ("Dialer keep alive", s.dialer_keep_alive),
        ] {
            self.field(3, 1, label, span(value));
        }
        self.field(3, 1, "Disable keep alives", s.disable_keep_alives);
        self.field(3, 1, "Disable compression", s.disable_compression);
        self.field(3, 1, "Max idle connections", s.max_idle_connections);
        self.field(
            3,
            1,
            "Max idle connections per host",
            s.max_idle_connections_per_host,
        );
        self.field(3, 1, "Sequential start", s.sequential_start);
        self.field(3, 1, "Max header bytes", s.max_header_bytes);
        self.field(3, 1, "Echo endpoint enabled", s.echo_endpoint);
        self.field(3, 1, "Default encoding strategy", &s.output_encoding);
        self.field(3, 1, "Disable strict REST", s.disable_rest);
        self.field(3, 1, "Run lura in debug mode", s.debug_endpoint);
        self.field(
            3,
            1,
            "Allow insecure connections",
            s.allow_insecure_connections,
        );
        self.field(3, 1, "UseH2C", s.use_h2c);
    }

    fn tls(&mut self, document: &Document) {
        let Some(tls) = &document.service.tls else {
            self.line(2, 0, "No TLS section defined");
            return;
        };
        self.field(1, 1, "TLS Disabled", tls.disabled);
        for (public, private) in &tls.keys {
            self.field(1, 1, "TLS Public key", public);
            self.field(1, 1, "TLS Private key", private);
        }
        self.field(1, 1, "TLS Enable MTLS", tls.enable_mtls);
        self.field(
            1,
            1,
            "TLS Disable System CA Pool",
            tls.disable_system_ca_pool,
        );
        self.field(2, 1, "TLS Min version", &tls.min_version);
        self.field(2, 1, "TLS Max version", &tls.max_version);
        self.field(3, 1, "TLS Curve preferences", list(&tls.curve_preferences));
        let prefers = document.root.pointer("/tls/prefer_server_cipher_suites");
        let prefers = prefers
            .and_then(serde_json::Value::as_bool)
            .unwrap_or_default();
        self.field(3, 1, "TLS Prefer server cipher suites", prefers);
        self.field(3, 1, "TLS Cipher suites", list(&tls.cipher_suites));
    }

    fn client_tls(&mut self, service: &Service) {
        let Some(tls) = &service.client_tls else {
            return;
        };
        let name = |what: &str| format!("Client TLS {what}");
        self.field(
            1,
            1,
            &name("Allow Insecure Connections"),
            tls.allow_insecure_connections,
        );
        self.field(
            1,
            1,
            &name("Disable System CA Pool"),
            tls.disable_system_ca_pool,
        );
        self.field(2, 1, &name("Min version"), &tls.min_version);
        self.field(2, 1, &name("Max version"), &tls.max_version);
        self.field(
            3,
            1,
            &name("Curve preferences"),
            list(&tls.curve_preferences),
        );
        self.field(3, 1, &name("Cipher suites"), list(&tls.cipher_suites));
    }

    fn components(&mut self, extra: &Extra, depth: usize, label: &str) {
        if extra.0.is_empty() {
            self.line(2, depth, &format!("0 {label}"));
            return;
        }
        self.line(1, depth, &format!("{} {label}", extra.0.len()));
        let mut sorted: Vec<_> = extra.0.iter().collect();
        sorted.sort_by(|a, b| a.name.cmp(&b.name));
        for namespace in sorted {
            self.line(1, depth, &format!("- {}", namespace.name));
            if self.level < 2 {
                continue;
            }
            for (key, value) in namespace.value.as_object().into_iter().flatten() {
                self.field(2, depth + 1, key, shown(key, value));
            }
        }
    }

    fn endpoint(&mut self, endpoint: &Endpoint) {
        self.line(
            1,
            1,
            &format!("- {} {}", endpoint.method, endpoint.endpoint),
        );
        self.field(1, 1, "Timeout", span(endpoint.timeout));
        let queries = &endpoint.input_query_strings;
        self.field(
            if queries.is_empty() { 2 } else { 1 },
            1,
            "QueryString",
            list(queries),
        );
        self.field(2, 1, "CacheTTL", span(endpoint.cache_ttl));
        self.field(2, 1, "Headers to pass", list(&endpoint.input_headers));
        self.field(2, 1, "OutputEncoding", &endpoint.output_encoding);
        let calls = endpoint.concurrent_calls;
        self.field(if calls > 1 { 1 } else { 2 }, 1, "Concurrent calls", calls);
        self.components(
            &endpoint.extra_config,
            1,
            "endpoint component configuration(s):",
        );
        self.line(
            1,
            1,
            &format!("Connecting to {} backend(s):", endpoint.backend.len()),
        );
        for backend in &endpoint.backend {
            let place = (endpoint.timeout, endpoint.concurrent_calls);
            self.backend(backend, place);
        }
    }

    fn backend(&mut self, b: &Backend, (timeout, calls): (Duration, usize)) {
        self.line(1, 2, &format!("[+] {} {}", b.method, b.url_pattern));
        self.field(1, 2, "Timeout", span(timeout));
        self.field(1, 2, "Hosts", list(&b.host));
        self.field(2, 2, "Concurrent calls", calls);
        self.field(2, 2, "Host sanitization disabled", b.disable_host_sanitize);
        self.field(2, 2, "Target", &b.target);
        self.line(
            2,
            2,
            &format!("Deny: {}, Allow: {}", list(&b.deny), list(&b.allow)),
        );
        let mapping: Vec<String> = b
            .mapping
            .iter()
            .map(|(from, to)| format!("{from}:{to}"))
            .collect();
        self.field(2, 2, "Mapping", format!("map{}", list(&mapping)));
        self.field(2, 2, "Group", &b.group);
        self.field(2, 2, "Encoding", &b.encoding);
        self.field(2, 2, "Is collection", b.is_collection);
        self.field(2, 2, "SD", &b.sd);
        self.field(2, 2, "SD scheme", &b.sd_scheme);
        self.field(2, 2, "Headers to pass", list(&b.input_headers));
        self.field(2, 2, "Query strings to pass", list(&b.input_query_strings));
        self.components(&b.extra_config, 2, "backend component configuration(s):");
        self.line(1, 0, "");
    }

    fn agent(&mut self, agent: &AsyncAgent) {
        self.line(1, 1, &format!("- {}", agent.name));
        self.field(2, 1, "Encoding", &agent.encoding);
        self.field(2, 1, "Consumer Topic", &agent.topic);
        self.field(2, 1, "Consumer Timeout", span(agent.timeout));
        self.field(2, 1, "Consumer Workers", agent.workers);
        self.field(2, 1, "Consumer Max Rate", agent.max_rate);
        self.field(2, 1, "Connection Max Retries", agent.max_retries);
        self.field(2, 1, "Connection Backoff Strategy", &agent.backoff_strategy);
        self.field(
            2,
            1,
            "Connection Health Interval",
            span(agent.health_interval),
        );
        self.components(
            &agent.extra_config,
            1,
            "async agent component configuration(s):",
        );
        self.line(
            1,
            1,
            &format!("Connecting to {} backend(s):", agent.backend.len()),
        );
        for backend in &agent.backend {
            self.backend(backend, (agent.timeout, 1));
        }
    }
}

/// As Go prints a duration.
fn span(span: Duration) -> String {
    duration::format(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
}

/// As Go prints a slice.
fn list<T: Display>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(T::to_string).collect();
    format!("[{}]", texts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Report;
    use crate::config::{Format, LoadOptions, parse};

    fn printed(level: u8) -> String {
        let text = r#"{"version": 3, "name": "gw", "host": ["http://a"], "timeout": "1500ms",
            "extra_config": {"router": {"hide_version_header": true},
                             "auth/x": {"client_secret": "hush"}},
            "endpoints": [{"endpoint": "/u/{id}", "input_query_strings": ["q"],
                           "backend": [{"url_pattern": "/x/{id}", "allow": ["a", "b"]}]}]}"#;
        let options = LoadOptions::default();
        let document = parse("t", text, Format::Json, &options, &mut Report::default()).unwrap();
        tree(&document, level, "  ")
    }

    #[test]
    fn says_krakends_words() {
        let tree = printed(1);
        assert!(
            tree.starts_with(
                "Global settings\n  Name: gw\n  Version: 3\n  Address: \n  Port: 8080\n"
            )
        );
        for line in [
            "  Default backend hosts: [http://a]",
            "2 global component configuration(s):\n- auth/x\n- router\n1 API endpoint(s):",
            "  - GET /u/{id}\n  Timeout: 1.5s\n  QueryString: [q]\n  Connecting to 1 backend(s):",
            "    [+] GET /x/{id}\n    Timeout: 1.5s\n    Hosts: [http://a]\n\n0 async agent(s):",
        ] {
            assert!(tree.contains(line), "{line} in\n{tree}");
        }
        assert!(!tree.contains("Default timeout"));
    }

    #[test]
    fn says_more_when_asked_twice_and_thrice() {
        let two = printed(2);
        for line in [
            "  Default timeout: 1.5s",
            "    Deny: [], Allow: [a b]",
            "  hide_version_header: true",
        ] {
            assert!(two.contains(line), "{line} in\n{two}");
        }
        assert!(!two.contains("Dialer timeout"));
        assert!(printed(3).contains("  Dialer timeout: 0s"));
    }

    #[test]
    fn keeps_secrets() {
        assert!(!printed(3).contains("hush"));
    }
}
