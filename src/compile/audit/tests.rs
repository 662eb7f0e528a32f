//! Each rule fires where it should and not where it should not.

use super::*;
use crate::base::Report;
use crate::config::{Format, LoadOptions, parse};
use serde_json::json;
use std::collections::BTreeSet;

fn document(value: &Value, dialect: Dialect) -> Document {
    let mut report = Report::default();
    let options = LoadOptions {
        dialect,
        ..LoadOptions::default()
    };
    let document = parse(
        "krakend.json",
        &value.to_string(),
        Format::Json,
        &options,
        &mut report,
    );
    document.unwrap_or_else(|| panic!("{report:?}"))
}

/// The places at which a rule fires.
fn fires(id: &str, value: &Value, dialect: Dialect) -> Option<Vec<String>> {
    let findings = audit(&document(value, dialect), dialect);
    findings
        .into_iter()
        .find(|finding| finding.rule.id == id)
        .map(|finding| finding.places)
}

/// A service with these members.
fn service(members: Value) -> Value {
    let mut value = json!({"version": 3});
    merge(&mut value, members);
    value
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

fn global(name: &str, settings: Value) -> Value {
    service(json!({"extra_config": {name: settings}}))
}

/// A service with one endpoint of one backend, and members of the endpoint.
fn endpoint(members: Value) -> Value {
    let mut one =
        json!({"endpoint": "/a", "backend": [{"url_pattern": "/", "host": ["http://a"]}]});
    merge(&mut one, members);
    service(json!({"endpoints": [one]}))
}

fn inside(name: &str, settings: Value) -> Value {
    endpoint(json!({"extra_config": {name: settings}}))
}

fn backend(name: &str, settings: Value) -> Value {
    endpoint(
        json!({"backend": [{"url_pattern": "/", "host": ["http://a"], "extra_config": {name: settings}}]}),
    )
}

fn methods(all: &[&str]) -> Value {
    let backends: Vec<Value> = all
        .iter()
        .map(|method| json!({"url_pattern": "/", "host": ["http://a"], "method": method}))
        .collect();
    endpoint(json!({"backend": backends}))
}

fn otel(exporters: Value) -> Value {
    global("telemetry/opentelemetry", json!({"exporters": exporters}))
}

fn agents(count: usize, sequential: bool) -> Value {
    let one = |n: usize| json!({"name": format!("a{n}"), "consumer": {"topic": "t"}, "backend": [{"url_pattern": "/", "host": ["http://a"]}]});
    service(
        json!({"sequential_start": sequential, "async_agent": (0..count).map(one).collect::<Vec<_>>()}),
    )
}

fn plain() -> Value {
    service(json!({}))
}

/// Rule, a file on which it fires, how many places it names, a file on which it does not.
type Case = (&'static str, Value, usize, Value);

fn krakends() -> Vec<Case> {
    let cert = json!({"keys": [{"public_key": "a", "private_key": "b"}]});
    let server = |name: &str| global("plugin/http-server", json!({"name": [name]}));
    let client = |name: &str| backend("plugin/http-client", json!({"name": name}));
    let modifier = |name: &str| inside("plugin/req-resp-modifier", json!({"name": [name]}));
    vec![
        ("1.1.1", server("basic-auth"), 1, server("other")),
        ("1.1.1", inside("auth/basic", json!({})), 1, plain()),
        (
            "1.1.2",
            global("auth/api-keys", json!({"keys": []})),
            1,
            plain(),
        ),
        (
            "1.2.1",
            plain(),
            0,
            inside("auth/validator", json!({"alg": "RS256"})),
        ),
        (
            "2.1.1",
            service(json!({"allow_insecure_connections": true})),
            1,
            plain(),
        ),
        (
            "2.1.1",
            service(json!({"client_tls": {"allow_insecure_connections": true}})),
            1,
            service(json!({"client_tls": {}})),
        ),
        ("2.1.2", plain(), 0, service(json!({"tls": cert}))),
        (
            "2.1.3",
            service(json!({"tls": {"disabled": true}})),
            1,
            service(json!({"tls": cert})),
        ),
        ("2.1.7", plain(), 0, global("security/http", json!({}))),
        ("2.1.8", service(json!({"use_h2c": true})), 1, plain()),
        (
            "2.1.8",
            global("router", json!({"use_h2c": true})),
            1,
            global("router", json!({"use_h2c": false})),
        ),
        (
            "2.1.9",
            backend(
                "backend/http/client",
                json!({"client_tls": {"allow_insecure_connections": true}}),
            ),
            1,
            backend("backend/http/client", json!({})),
        ),
        (
            "2.2.1",
            global("router", json!({})),
            0,
            global("router", json!({"hide_version_header": true})),
        ),
        ("2.2.2", plain(), 0, global("security/cors", json!({}))),
        (
            "2.2.3",
            endpoint(json!({"input_headers": ["*"]})),
            1,
            endpoint(json!({"input_headers": ["X-A"]})),
        ),
        (
            "2.2.4",
            endpoint(json!({"input_query_strings": ["*"]})),
            1,
            endpoint(json!({"input_query_strings": ["a"]})),
        ),
        (
            "2.2.5",
            global("grpc", json!({"catalog": [], "server": {"services": []}})),
            1,
            global("grpc", json!({"catalog": []})),
        ),
        (
            "2.2.5",
            global("grpc", json!({"server": {}})),
            1,
            global("grpc", json!({"server": {"services": [{}]}})),
        ),
        (
            "2.3.1",
            backend("qos/http-cache", json!({"max_items": 5})),
            1,
            backend("qos/http-cache", json!({"max_items": 5, "max_size": 9})),
        ),
        (
            "3.1.1",
            plain(),
            0,
            global("security/bot-detector", json!({})),
        ),
        (
            "3.1.2",
            plain(),
            0,
            inside("qos/ratelimit/router", json!({"max_rate": 1})),
        ),
        (
            "3.1.2",
            plain(),
            0,
            backend("qos/ratelimit/proxy", json!({"max_rate": 1})),
        ),
        (
            "3.1.2",
            plain(),
            0,
            global("qos/ratelimit/service", json!({"max_rate": 1})),
        ),
        ("3.1.2", plain(), 0, server("redis-ratelimit")),
        (
            "3.1.3",
            plain(),
            0,
            backend("qos/circuit-breaker", json!({})),
        ),
        (
            "3.3.1",
            endpoint(json!({"timeout": "3001ms"})),
            1,
            endpoint(json!({"timeout": "3s"})),
        ),
        (
            "3.3.2",
            endpoint(json!({"timeout": "6s"})),
            1,
            endpoint(json!({"timeout": "5s"})),
        ),
        (
            "3.3.3",
            endpoint(json!({"timeout": "31s"})),
            1,
            endpoint(json!({"timeout": "30s"})),
        ),
        (
            "3.3.4",
            endpoint(json!({"timeout": "61s"})),
            1,
            endpoint(json!({"timeout": "1m"})),
        ),
        (
            "4.1.1",
            otel(json!({"prometheus": [{"name": "p"}]})),
            0,
            global("telemetry/metrics", json!({})),
        ),
        (
            "4.1.3",
            otel(json!({"prometheus": [{"name": "p"}], "otlp": [{"name": "o"}]})),
            1,
            otel(
                json!({"prometheus": [{"name": "p"}], "otlp": [{"name": "o", "disable_metrics": true}]}),
            ),
        ),
        (
            "4.1.3",
            service(json!({"extra_config": {"telemetry/metrics": {}, "telemetry/newrelic": {}}})),
            2,
            global("telemetry/metrics", json!({})),
        ),
        ("4.2.1", plain(), 0, otel(json!({"otlp": [{"name": "o"}]}))),
        (
            "4.2.1",
            otel(json!({"otlp": [{"name": "o", "disable_traces": true}]})),
            0,
            global("telemetry/newrelic", json!({})),
        ),
        ("4.3.1", plain(), 0, global("telemetry/logstash", json!({}))),
        ("5.1.1", service(json!({"disable_rest": true})), 1, plain()),
        (
            "5.1.2",
            service(json!({"debug_endpoint": true})),
            1,
            plain(),
        ),
        ("5.1.3", service(json!({"echo_endpoint": true})), 1, plain()),
        (
            "5.1.4",
            endpoint(json!({"endpoint": "/a/*"})),
            1,
            endpoint(json!({})),
        ),
        (
            "5.1.5",
            endpoint(json!({"endpoint": "/__catchall"})),
            1,
            endpoint(json!({})),
        ),
        (
            "5.1.6",
            methods(&["POST", "PUT"]),
            1,
            methods(&["POST", "GET", "HEAD"]),
        ),
        (
            "5.1.6",
            methods(&["get", "post"]),
            1,
            methods(&["GET", "POST"]),
        ),
        (
            "5.1.7",
            inside("proxy", json!({"sequential": true})),
            1,
            inside("proxy", json!({})),
        ),
        ("5.2.2", endpoint(json!({})), 0, methods(&["GET", "GET"])),
        ("5.2.2", plain(), 0, methods(&["GET", "GET"])),
        (
            "5.2.3",
            endpoint(json!({"output_encoding": "no-op"})),
            0,
            endpoint(json!({})),
        ),
        ("6.1.1", agents(10, true), 1, agents(9, true)),
        ("6.1.1", agents(10, true), 1, agents(10, false)),
        ("7.1.1", server("virtualhost"), 1, server("other")),
        ("7.1.2", server("static-filesystem"), 1, server("other")),
        ("7.1.3", server("basic-auth"), 1, server("other")),
        ("7.1.4", server("wildcard"), 1, server("other")),
        ("7.1.5", client("http-proxy"), 1, client("other")),
        ("7.1.6", client("static-filesystem"), 1, client("other")),
        ("7.1.7", client("no-redirect"), 1, client("other")),
        ("7.1.8", modifier("content-replacer"), 1, modifier("other")),
        (
            "7.1.9",
            backend(
                "plugin/req-resp-modifier",
                json!({"name": ["response-schema-validator"]}),
            ),
            1,
            modifier("other"),
        ),
        (
            "7.2.1",
            global("telemetry/ganalytics", json!({})),
            1,
            plain(),
        ),
        ("7.2.2", global("telemetry/instana", json!({})), 1, plain()),
        (
            "7.2.3",
            global("telemetry/opencensus", json!({})),
            1,
            plain(),
        ),
        (
            "7.2.4",
            global("github_com/letgoapp/krakend-influx", json!({})),
            1,
            plain(),
        ),
        (
            "7.3.1",
            service(json!({"tls": {"public_key": "a", "private_key": "b"}})),
            2,
            service(json!({"tls": cert})),
        ),
    ]
}

fn ours() -> Vec<Case> {
    let validator = |settings: Value| inside("auth/validator", settings);
    let open = json!({"endpoint": "/b", "backend": [{"url_pattern": "/", "host": ["http://a"]}]});
    let locked = json!({"endpoint": "/a", "extra_config": {"auth/validator": {"alg": "RS256"}}, "backend": [{"url_pattern": "/", "host": ["http://a"]}]});
    let public = json!({"endpoint": "/b", "extra_config": {"auth/public": true}, "backend": [{"url_pattern": "/", "host": ["http://a"]}]});
    let credentials = |secret: &str| {
        backend(
            "auth/client-credentials",
            json!({"client_secret": secret, "token_url": "https://x"}),
        )
    };
    let limit = |strategy: &str| {
        inside(
            "qos/ratelimit/router",
            json!({"client_max_rate": 1, "strategy": strategy}),
        )
    };
    vec![
        (
            "H1.1",
            global("governance/processors", json!({})),
            1,
            global("telemetry/gelf", json!({})),
        ),
        (
            "H1.2",
            validator(json!({"disable_jwk_security": true, "jwk_url": "http://x"})),
            2,
            validator(json!({"jwk_url": "https://x"})),
        ),
        (
            "H1.2",
            global("hanzo/auth", json!({"introspection": {"url": "http://x"}})),
            1,
            global("hanzo/auth", json!({"introspection": {"url": "https://x"}})),
        ),
        (
            "H1.3",
            validator(json!({"alg": "RS256"})),
            1,
            validator(json!({"issuer": "me"})),
        ),
        (
            "H1.4",
            service(json!({"endpoints": [locked, open]})),
            1,
            service(json!({"endpoints": [locked, public]})),
        ),
        ("H1.5", credentials("hunter2"), 1, credentials("${SECRET}")),
        (
            "H2.1",
            global("router", json!({"trusted_proxies": ["0.0.0.0/0"]})),
            1,
            global("router", json!({"trusted_proxies": ["10.0.0.0/8"]})),
        ),
        (
            "H2.2",
            global("security/cors", json!({"allow_credentials": true})),
            1,
            global(
                "security/cors",
                json!({"allow_credentials": true, "allow_origins": ["https://a"]}),
            ),
        ),
        (
            "H2.3",
            global(
                "security/cors",
                json!({"allow_origins": ["http://localhost:3000"]}),
            ),
            1,
            global("security/cors", json!({"allow_origins": ["https://a"]})),
        ),
        (
            "H2.4",
            service(json!({"client_tls": {"min_version": "TLS10"}})),
            1,
            service(json!({"client_tls": {"min_version": "TLS12"}})),
        ),
        (
            "H2.5",
            endpoint(json!({"cache_ttl": "1m", "input_headers": ["authorization"]})),
            1,
            endpoint(json!({"cache_ttl": "1m", "input_headers": ["Accept"]})),
        ),
        (
            "H2.6",
            backend("backend/http", json!({"return_error_details": "a"})),
            1,
            backend("backend/http", json!({"return_error_code": true})),
        ),
        (
            "H3.1",
            global("hanzo/limits", json!({"max_body": "1GB"})),
            1,
            global("hanzo/limits", json!({"max_body": "100MB"})),
        ),
        ("H3.2", limit("header"), 1, limit("ip")),
        (
            "H3.3",
            endpoint(json!({"timeout": 3000})),
            1,
            endpoint(json!({"timeout": "3s"})),
        ),
        (
            "H4.1",
            service(json!({"plugin": {"folder": "/x", "pattern": ".so"}})),
            1,
            plain(),
        ),
        (
            "H4.2",
            inside("modifier/lua-proxy", json!({"allow_open_libs": true})),
            1,
            inside("modifier/lua-proxy", json!({"pre": ""})),
        ),
        (
            "H4.3",
            global("modifier/lua-endpoint", json!({"live": true})),
            1,
            global("modifier/lua-endpoint", json!({})),
        ),
        (
            "H5.1",
            global("router", json!({"disable_access_log": true})),
            1,
            global("router", json!({})),
        ),
        (
            "H5.2",
            global("router", json!({"disable_health": true})),
            1,
            global("router", json!({})),
        ),
    ]
}

#[test]
fn each_rule_fires_where_it_should_and_only_there() {
    for (id, risky, places, careful) in krakends().into_iter().chain(ours()) {
        let found = fires(id, &risky, Dialect::Native);
        assert_eq!(
            found.as_ref().map(Vec::len),
            Some(places),
            "{id}: {found:?} in {risky}"
        );
        for pointer in found.unwrap_or_default() {
            assert!(
                risky.pointer(&pointer).is_some(),
                "{id}: {pointer} in {risky}"
            );
        }
        assert_eq!(
            fires(id, &careful, Dialect::Native),
            None,
            "{id} in {careful}"
        );
    }
}

#[test]
fn each_rule_has_a_case() {
    let cases: BTreeSet<&str> = krakends()
        .into_iter()
        .chain(ours())
        .map(|case| case.0)
        .collect();
    for rule in rules() {
        // Loading fails before 5.2.1 could fire; 4.1.2 never does, there as here.
        assert!(
            cases.contains(rule.id) || ["4.1.2", "5.2.1"].contains(&rule.id),
            "{}",
            rule.id
        );
    }
}

/// KrakenD's rules by severity.
const KRAKENDS: &[(&str, &str)] = &[
    ("CRITICAL", "2.1.3 3.3.4 5.2.1"),
    (
        "HIGH",
        "1.1.1 1.2.1 2.1.1 2.1.2 2.1.7 2.1.8 2.2.2 2.2.3 2.2.4 3.1.2 3.1.3 3.3.3 4.1.3 7.1.1 7.1.2 7.1.3 \
         7.1.4 7.1.5 7.1.6 7.1.7 7.1.8 7.1.9 7.2.1 7.2.2 7.2.3 7.2.4",
    ),
    (
        "MEDIUM",
        "1.1.2 2.2.1 2.3.1 3.3.2 4.1.1 4.1.2 4.2.1 4.3.1 5.1.5 5.1.6 5.1.7 7.3.1",
    ),
    (
        "LOW",
        "2.1.9 2.2.5 3.1.1 3.3.1 5.1.1 5.1.2 5.1.3 5.1.4 5.2.2 5.2.3 6.1.1",
    ),
];

#[test]
fn the_numbers_and_severities_are_krakends() {
    for (severity, ids) in KRAKENDS {
        let mine: Vec<&str> = rules()
            .filter(|rule| rule.severity.word() == *severity && !rule.id.starts_with('H'))
            .map(|rule| rule.id)
            .collect();
        assert_eq!(mine.join(" "), *ids, "{severity}");
    }
}

#[test]
fn no_number_is_given_twice() {
    let mut ids: Vec<&str> = rules().map(|rule| rule.id).collect();
    let total = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), total);
}

#[test]
fn trust_in_everybody_is_krakends_default_and_not_ours() {
    let value = plain();
    assert!(fires("H2.1", &value, Dialect::Krakend).is_some());
    assert!(fires("H2.1", &value, Dialect::Native).is_none());
    let off = global("router", json!({"forwarded_by_client_ip": false}));
    assert!(fires("H2.1", &off, Dialect::Krakend).is_none());
}

#[test]
fn a_limit_that_krakend_ignores_is_none_in_its_dialect() {
    let value = global("qos/ratelimit/router", json!({"max_rate": 5}));
    assert!(fires("3.1.2", &value, Dialect::Native).is_none());
    assert!(fires("3.1.2", &value, Dialect::Krakend).is_some());
}

#[test]
fn all_slow_endpoints_of_a_slow_service_are_named() {
    let value = service(json!({"timeout": "10s", "endpoints": [
        {"endpoint": "/a", "backend": [{"url_pattern": "/", "host": ["http://a"]}]},
        {"endpoint": "/b", "timeout": "20s", "backend": [{"url_pattern": "/", "host": ["http://a"]}]}]}));
    let places = fires("3.3.2", &value, Dialect::Native).unwrap();
    assert_eq!(places, ["/endpoints/0", "/endpoints/1/timeout"]);
}
