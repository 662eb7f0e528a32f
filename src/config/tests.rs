//! Whole documents: defaults, inheritance, every refusal, and that no input makes the reader panic.

use super::*;
use crate::base::{Code, Dialect, Report, Severity};
use serde_json::{Value, json};
use std::time::Duration;

fn options(dialect: Dialect) -> LoadOptions {
    LoadOptions {
        dialect,
        ..LoadOptions::default()
    }
}

fn read_as(value: &Value, dialect: Dialect) -> (Document, Report) {
    let mut report = Report::default();
    let text = serde_json::to_string_pretty(value).unwrap();
    let document = parse(
        "test.json",
        &text,
        Format::Json,
        &options(dialect),
        &mut report,
    )
    .unwrap();
    (document, report)
}

fn read(value: &Value) -> (Document, Report) {
    read_as(value, Dialect::Krakend)
}

/// One endpoint with one backend, and the members of a patch on top of each.
fn one(endpoint: Value, backend: Value) -> Value {
    let mut inner = json!({"url_pattern": "/y", "host": ["http://h"]});
    inner
        .as_object_mut()
        .unwrap()
        .extend(backend.as_object().unwrap().clone());
    let mut outer = json!({"endpoint": "/x", "backend": [inner]});
    outer
        .as_object_mut()
        .unwrap()
        .extend(endpoint.as_object().unwrap().clone());
    json!({"version": 3, "endpoints": [outer]})
}

fn findings(report: &Report, severity: Severity) -> Vec<(Code, &str)> {
    let of = report
        .problems
        .iter()
        .filter(|problem| problem.severity == severity);
    of.map(|problem| (problem.code, problem.pointer.as_str()))
        .collect()
}

fn errors(value: &Value) -> Vec<(Code, String)> {
    let (_, report) = read(value);
    findings(&report, Severity::Error)
        .into_iter()
        .map(|(code, pointer)| (code, pointer.to_owned()))
        .collect()
}

fn warnings(value: &Value) -> Vec<(Code, String)> {
    let (_, report) = read(value);
    assert!(!report.has_errors(), "{:?}", report.problems);
    findings(&report, Severity::Warning)
        .into_iter()
        .map(|(code, pointer)| (code, pointer.to_owned()))
        .collect()
}

fn message(value: &Value) -> String {
    let (_, report) = read(value);
    report
        .problems
        .into_iter()
        .find(|problem| problem.severity == Severity::Error)
        .unwrap()
        .message
}

/// Every key of every level, all right.
fn full() -> Value {
    serde_json::from_str(FULL).unwrap()
}

/// A text, because the macro cannot nest that many members.
const FULL: &str = r##"{
    "$schema": "x", "version": 3, "name": "n", "port": 8081, "listen_ip": "::1", "host": ["http://default:80"],
    "timeout": "3s", "cache_ttl": "60s", "output_encoding": "json", "debug_endpoint": true, "echo_endpoint": true,
    "disable_rest": false, "sequential_start": true, "plugin": {"folder": "f", "pattern": ".so"},
    "tls": {"keys": [{"public_key": "c", "private_key": "k"}], "min_version": "TLS12", "max_version": "TLS13",
        "curve_preferences": [23, 24], "cipher_suites": [4865], "prefer_server_cipher_suites": true,
        "enable_mtls": true, "ca_certs": ["ca"], "disable_system_ca_pool": true, "disabled": false},
    "client_tls": {"allow_insecure_connections": true, "ca_certs": ["ca"], "disable_system_ca_pool": true,
        "client_certs": [{"certificate": "c", "private_key": "k"}], "min_version": "TLS12",
        "max_version": "TLS13", "curve_preferences": [23], "cipher_suites": [4865]},
    "use_h2c": true, "read_timeout": "1s", "write_timeout": "2s", "idle_timeout": "3s",
    "read_header_timeout": "4s", "max_header_bytes": 5, "max_shutdown_wait_time": "6s",
    "disable_keep_alives": true, "disable_compression": true, "max_idle_connections": 7,
    "max_idle_connections_per_host": 8, "idle_connection_timeout": "9s", "response_header_timeout": "10s",
    "expect_continue_timeout": "11s", "dialer_timeout": "12s", "dialer_fallback_delay": "13s",
    "dialer_keep_alive": "14s", "dns_cache_ttl": "15s", "extra_config": {"router": {"auto_options": true}},
    "async_agent": [{"name": "a", "encoding": "json", "extra_config": {"async/amqp": {"host": "amqp://h"}},
        "consumer": {"topic": "*.x", "workers": 5, "timeout": "150ms", "max_rate": 0.5},
        "connection": {"max_retries": 10, "backoff_strategy": "linear", "health_interval": "10s"},
        "backend": [{"url_pattern": "no-slash/{x}", "host": ["h"]}]}],
    "endpoints": [{
        "endpoint": "/x/{id}", "method": "POST", "timeout": "1500ms", "cache_ttl": "1h", "output_encoding": "xml",
        "concurrent_calls": 2, "input_headers": ["x-a", "*"], "input_query_strings": ["q"],
        "extra_config": {"proxy": {"sequential": true}},
        "backend": [{"url_pattern": "/y/{id}?a={JWT.sub}", "host": ["https://a:8443/"], "method": "put",
            "disable_host_sanitize": false, "encoding": "XML", "is_collection": true, "target": "t",
            "allow": ["a.b"], "deny": [], "mapping": {"a": "b", "@x": "y"}, "group": "g", "sd": "dns",
            "sd_scheme": "https", "input_headers": ["x-a"], "input_query_strings": ["q"],
            "extra_config": {"backend/http": {"return_error_code": true}}}]
    }]
}"##;

#[test]
fn a_full_document_has_no_findings() {
    let (document, report) = read(&full());
    assert_eq!(report.problems, []);
    let service = document.service;
    assert_eq!(
        (service.port, service.listen_ip),
        (8081, Some("::1".parse().unwrap()))
    );
    assert_eq!(service.host, ["http://default:80"]);
    assert_eq!(
        service.tls.unwrap().keys,
        [("c".to_owned(), "k".to_owned())]
    );
    assert_eq!(service.dns_cache_ttl, Duration::from_secs(15));
    let endpoint = &service.endpoints[0];
    assert_eq!(
        (endpoint.route.as_str(), endpoint.params.as_slice()),
        ("/x/:id", &["id".to_owned()][..])
    );
    assert_eq!(endpoint.input_headers, ["X-A", "*"]);
    assert_eq!(endpoint.timeout, Duration::from_millis(1500));
    let backend = &endpoint.backend[0];
    assert_eq!(
        (backend.method.as_str(), backend.encoding.as_str()),
        ("PUT", "xml")
    );
    assert_eq!(backend.host, ["https://a:8443"]);
    assert_eq!(backend.url_pattern, "/y/{id}?a={JWT.sub}");
    assert_eq!(backend.placeholders, ["JWT.sub", "id"]);
    assert_eq!(backend.mapping[0], ("@x".to_owned(), "y".to_owned()));
    assert_eq!(backend.pointer, "/endpoints/0/backend/0");
    let agent = &service.async_agents[0];
    assert_eq!(
        (agent.workers, agent.max_rate, agent.timeout),
        (5, 0.5, Duration::from_millis(150))
    );
    assert_eq!(agent.backend[0].url_pattern, "no-slash/{x}");
    assert_eq!(agent.backend[0].method, "GET");
}

#[test]
fn an_almost_empty_document_has_all_defaults() {
    let (document, report) = read(&json!({"version": 3}));
    assert_eq!(report.problems, []);
    let service = document.service;
    assert_eq!(
        (
            service.port,
            service.listen_ip,
            service.output_encoding.as_str()
        ),
        (8080, None, "json")
    );
    assert_eq!(
        (service.timeout, service.cache_ttl),
        (Duration::from_secs(2), Duration::ZERO)
    );
    assert_eq!(
        (service.max_idle_connections_per_host, service.dns_cache_ttl),
        (250, Duration::from_secs(30))
    );
    assert!(service.tls.is_none() && service.endpoints.is_empty() && !service.plugin);
}

#[test]
fn endpoints_and_backends_inherit() {
    let mut value = one(json!({"method": "post"}), json!({}));
    value["timeout"] = json!("5s");
    value["cache_ttl"] = json!("1m");
    value["output_encoding"] = json!("no-op");
    value["host"] = json!("svc");
    value["endpoints"][0]["backend"][0]
        .as_object_mut()
        .unwrap()
        .remove("host");
    let (document, report) = read(&value);
    assert_eq!(report.problems, []);
    let endpoint = &document.service.endpoints[0];
    assert_eq!(
        (endpoint.timeout, endpoint.cache_ttl),
        (Duration::from_secs(5), Duration::from_secs(60))
    );
    assert_eq!(
        (endpoint.method.as_str(), endpoint.concurrent_calls),
        ("POST", 1)
    );
    let backend = &endpoint.backend[0];
    assert_eq!(
        (backend.method.as_str(), backend.encoding.as_str()),
        ("POST", "no-op")
    );
    assert_eq!(
        (backend.host.as_slice(), backend.sd.as_str()),
        (&["http://svc".to_owned()][..], "static")
    );
}

#[test]
fn agents_have_defaults_of_their_own() {
    let value = json!({"version": 3, "timeout": "4s", "async_agent": [
        {"backend": {"url_pattern": "p", "host": "h", "input_headers": ["x-a"]}},
        {"connection": {"health_interval": "10ms", "max_retries": -1}, "consumer": {"workers": 0}}
    ]});
    let (document, report) = read(&value);
    assert_eq!(report.problems, []);
    let agents = &document.service.async_agents;
    assert_eq!(
        (agents[0].name.as_str(), agents[1].name.as_str()),
        ("AsyncAgent-00", "AsyncAgent-01")
    );
    assert_eq!(
        (agents[0].timeout, agents[0].workers),
        (Duration::from_secs(4), 1)
    );
    assert_eq!(agents[0].backend[0].input_headers, ["x-a"]);
    assert_eq!(
        (agents[1].health_interval, agents[1].max_retries),
        (Duration::from_secs(1), 0)
    );
}

#[test]
fn refuses_in_the_words_of_krakend() {
    for (value, text) in [
        (json!({}), "unsupported version: 0 (want: 3)"),
        (json!({"version": 2}), "unsupported version: 2 (want: 3)"),
        (
            json!({"version": 3, "listen_ip": "localhost"}),
            "invalid ip address localhost",
        ),
        (
            json!({"version": 3, "host": ["http://a/b"]}),
            "host http://a/b not valid: invalid host",
        ),
        (
            json!({"version": 3, "timeout": "soon"}),
            "'timeout' time: invalid duration",
        ),
        (
            one(json!({"backend": []}), json!({})),
            "ignoring the ' /x' endpoint, since it has 0 backends defined!",
        ),
        (
            one(json!({"endpoint": "__debug/x", "method": "get"}), json!({})),
            "ignoring the 'get /__debug/x' endpoint, since it is invalid!!!",
        ),
        (
            one(
                json!({"output_encoding": "no-op", "backend": [{"host": "h"}, {"host": "h"}]}),
                json!({}),
            ),
            "can not use NoOp encoding with more than one backends connected to the same endpoint",
        ),
        (
            one(
                json!({"endpoint": "/x/{a}"}),
                json!({"url_pattern": "/{b}"}),
            ),
            "undefined output param 'b'! endpoint: GET /x/:a, backend: 0. input: [a], output: [b]",
        ),
        (json!({"version": 3, "tls": {}}), "public key not defined"),
        (
            json!({"version": 3, "tls": {"keys": [{"public_key": "c"}]}}),
            "private key not defined",
        ),
    ] {
        assert_eq!(message(&value), text);
    }
}

#[test]
fn accepts_what_krakend_accepts() {
    for value in [
        json!({"version": "3"}),
        json!({"version": 3.0}),
        json!({"VERSION": 3}),
        json!({"version": 3, "port": 0}),
        json!({"version": 3, "tls": {"disabled": true}}),
        json!({"version": 3, "endpoints": null}),
        one(json!({}), json!({"url_pattern": "/{resp0_id}/{JWT.sub}"})),
        one(json!({"timeout": "1h30m"}), json!({})),
    ] {
        assert_eq!(warnings(&value), [], "{value}");
    }
}

#[test]
fn warns_of_what_krakend_ignores() {
    let endpoint = |key: &str, value: Value| one(json!({ key: value }), json!({}));
    let backend = |key: &str, value: Value| one(json!({}), json!({ key: value }));
    for (value, code, pointer) in [
        (
            json!({"version": 3, "unknown": 1}),
            Code::UnknownKey,
            "/unknown",
        ),
        (
            endpoint("method", json!("FETCH")),
            Code::BadMethod,
            "/endpoints/0/method",
        ),
        (
            endpoint("output_encoding", json!("toml")),
            Code::UnknownEncoding,
            "/endpoints/0/output_encoding",
        ),
        (
            endpoint("headers_to_pass", json!([])),
            Code::UnknownKey,
            "/endpoints/0/headers_to_pass",
        ),
        (
            endpoint("timeout", json!(3000)),
            Code::SuspiciousDuration,
            "/endpoints/0/timeout",
        ),
        (
            endpoint("timeout", json!("-1s")),
            Code::OutOfRange,
            "/endpoints/0/timeout",
        ),
        (
            endpoint("concurrent_calls", json!(-2)),
            Code::OutOfRange,
            "/endpoints/0/concurrent_calls",
        ),
        (
            backend("timeout", json!("1s")),
            Code::UnknownKey,
            "/endpoints/0/backend/0/timeout",
        ),
        (
            backend("encoding", json!("yaml")),
            Code::UnknownEncoding,
            "/endpoints/0/backend/0/encoding",
        ),
        (
            backend("host", json!([])),
            Code::NoHost,
            "/endpoints/0/backend/0",
        ),
        (
            backend("sd", json!("consul")),
            Code::BadValue,
            "/endpoints/0/backend/0/sd",
        ),
        (
            backend("input_headers", json!(["*"])),
            Code::BadValue,
            "/endpoints/0/backend/0/input_headers",
        ),
        (
            json!({"version": 3, "allow_insecure_connections": true}),
            Code::Deprecated,
            "/allow_insecure_connections",
        ),
        (
            json!({"version": 3, "tls": {"public_key": "a", "private_key": "b"}}),
            Code::Deprecated,
            "/tls/public_key",
        ),
        (
            json!({"version": 3, "dns_cache_ttl": "10ms"}),
            Code::OutOfRange,
            "/dns_cache_ttl",
        ),
    ] {
        assert_eq!(warnings(&value), [(code, pointer.to_owned())]);
    }
}

#[test]
fn a_broken_inner_field_of_a_backend_refuses_the_file() {
    let pointer = |key: &str| format!("/endpoints/0/backend/0/{key}");
    assert_eq!(
        errors(&one(json!({}), json!({"timeout": "x"}))),
        [(Code::BadDuration, pointer("timeout"))]
    );
    assert_eq!(
        errors(&one(json!({}), json!({"decoder": "x"}))),
        [(Code::WrongType, pointer("decoder"))]
    );
}

#[test]
fn collects_all_findings_with_their_places() {
    let value = json!({"version": 2, "port": "x", "endpoints": [
        {"endpoint": "/a", "backend": [{"url_pattern": "/{q}", "host": ["http://a/b"]}]},
        {"endpoint": "/__health"}
    ]});
    let (document, report) = read(&value);
    let codes: Vec<Code> = findings(&report, Severity::Error)
        .into_iter()
        .map(|(code, _)| code)
        .collect();
    assert_eq!(
        codes,
        [
            Code::Version,
            Code::WrongType,
            Code::BadHost,
            Code::UndefinedParam,
            Code::BadPath,
            Code::NoBackend
        ]
    );
    for problem in &report.problems {
        let (line, _) = document.source.locate_problem(problem).unwrap();
        assert!(
            line > 1 && document.source.line(line).is_some(),
            "{problem:?}"
        );
    }
}

#[test]
fn the_dialects_differ_in_paths_and_methods() {
    let wildcard = one(json!({"endpoint": "/foo/*"}), json!({}));
    assert!(read_as(&wildcard, Dialect::Krakend).1.has_errors());
    assert_eq!(read_as(&wildcard, Dialect::Native).1.problems, []);
    let head = one(json!({"method": "HEAD"}), json!({}));
    assert!(read_as(&head, Dialect::Krakend).0.service.endpoints[0].skipped);
    assert!(!read_as(&head, Dialect::Native).0.service.endpoints[0].skipped);
    let named = one(json!({"endpoint": "/w/*rest"}), json!({}));
    for dialect in [Dialect::Krakend, Dialect::Native] {
        assert!(read_as(&named, dialect).1.has_errors());
    }
}

#[test]
fn negative_values_mean_what_they_mean_to_krakend() {
    let value = json!({"version": 3, "dialer_fallback_delay": "-1s", "dialer_keep_alive": -1,
        "max_idle_connections_per_host": -1});
    let service = read(&value).0.service;
    assert!(
        service.dialer_fallback_disabled
            && service.dialer_keep_alive_disabled
            && service.disable_keep_alives
    );
    let (document, _) = read(&one(json!({"timeout": "-1s"}), json!({})));
    assert_eq!(document.service.endpoints[0].timeout, Duration::ZERO);
}

fn parse_env(text: &str, env: &[(&str, &str)], port: Option<u16>) -> (Document, Report) {
    let env = env
        .iter()
        .map(|&(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
    let options = LoadOptions {
        env,
        port,
        ..LoadOptions::default()
    };
    let mut report = Report::default();
    (
        parse("", text, Format::Json, &options, &mut report).unwrap(),
        report,
    )
}

#[test]
fn the_environment_overrides_the_file_and_the_flag_overrides_both() {
    let text = "{\"version\": 3, \"port\": 1, \"Timeout\": \"1s\"}";
    let env = [
        ("KRAKEND_PORT", "9000"),
        ("KRAKEND_TIMEOUT", "150ms"),
        ("KRAKEND_HOST", "http://a"),
    ];
    let (document, report) = parse_env(text, &env, None);
    assert!(!report.has_errors(), "{:?}", report.problems);
    let service = document.service;
    assert_eq!(
        (service.port, service.timeout),
        (9000, Duration::from_millis(150))
    );
    assert_eq!(service.host, ["http://a"]);
    assert_eq!(parse_env(text, &env, Some(7)).0.service.port, 7);
    assert_eq!(parse_env(text, &env, Some(0)).0.service.port, 9000);
}

#[test]
fn a_bad_override_names_its_variable() {
    for (name, value) in [
        ("KRAKEND_PORT", "x"),
        ("KRAKEND_ENDPOINTS", "x"),
        ("KRAKEND_TLS", "x"),
        ("KRAKEND_HOST", ""),
    ] {
        let (_, report) = parse_env("{\"version\": 3}", &[(name, value)], None);
        let problem = &report.problems[0];
        assert_eq!(
            (problem.code, problem.severity),
            (Code::Environment, Severity::Error)
        );
        assert!(problem.message.contains(name), "{}", problem.message);
    }
}

#[test]
fn strict_reading_refuses_what_a_linter_refuses() {
    let options = LoadOptions {
        strict: true,
        ..LoadOptions::default()
    };
    let mut report = Report::default();
    parse(
        "",
        "{\"version\": 3, \"x\": 1}",
        Format::Json,
        &options,
        &mut report,
    );
    assert!(report.has_errors());
}

#[test]
fn all_formats_read_alike() {
    let yaml = "version: 3\nendpoints:\n  - endpoint: /x\n    backend:\n      - host: [\"http://h\"]\n        url_pattern: /y\n        timeot: 1\n";
    let toml = "version = 3\n[[endpoints]]\nendpoint = \"/x\"\n[[endpoints.backend]]\nhost = [\"http://h\"]\nurl_pattern = \"/y\"\ntimeot = 1\n";
    for (text, format, place) in [(yaml, Format::Yaml, (7, 9)), (toml, Format::Toml, (7, 1))] {
        let mut report = Report::default();
        let document = parse("f", text, format, &LoadOptions::default(), &mut report).unwrap();
        assert_eq!(document.service.endpoints[0].backend[0].host, ["http://h"]);
        assert_eq!(report.problems.len(), 1);
        assert_eq!(
            document.source.locate_problem(&report.problems[0]),
            Some(place)
        );
    }
}

#[test]
fn refuses_what_is_no_object() {
    for (text, kind) in [
        ("[]", "array"),
        ("1", "number"),
        ("\"x\"", "string"),
        ("true", "bool"),
    ] {
        let mut report = Report::default();
        assert!(parse("", text, Format::Json, &LoadOptions::default(), &mut report).is_none());
        let words = format!(
            "json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        );
        assert_eq!(report.problems[0].message, words);
    }
    let mut report = Report::default();
    assert!(
        parse(
            "",
            "null",
            Format::Json,
            &LoadOptions::default(),
            &mut report
        )
        .is_some()
    );
    assert_eq!(report.problems[0].code, Code::Version);
}

#[test]
fn reads_files_by_their_extension() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("a.yaml"), "version: 3\n").unwrap();
    std::fs::write(path("a.YAML"), "version: 3\n").unwrap();
    std::fs::write(path("a.toml"), "version = 3\n").unwrap();
    std::fs::write(path("a.json"), b"{\"version\": 3, \"name\": \"\xff\"}").unwrap();
    let load = |name: &str| {
        let mut report = Report::default();
        (
            load(&path(name), &LoadOptions::default(), &mut report),
            report,
        )
    };
    assert_eq!(load("a.yaml").0.unwrap().file, path("a.yaml"));
    assert!(load("a.toml").0.is_some());
    assert!(load("a.YAML").0.is_none(), "anything else is JSON");
    let (document, report) = load("a.json");
    assert_eq!(document.unwrap().service.name, "\u{fffd}");
    assert_eq!((report.errors(), report.warnings()), (0, 1));
    assert_eq!(load("none").1.problems[0].code, Code::Unreadable);
    assert_eq!(load(".").1.problems[0].code, Code::Unreadable);
}

/// Pointers of all values of a document.
fn pointers(value: &Value, pointer: &str, all: &mut Vec<String>) {
    all.push(pointer.to_owned());
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                pointers(
                    value,
                    &crate::base::problem::pointer_join(pointer, key),
                    all,
                );
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers(value, &format!("{pointer}/{index}"), all);
            }
        }
        _ => {}
    }
}

#[test]
fn a_wrong_type_anywhere_is_converted_or_reported_in_its_place() {
    let wrong = [
        json!(null),
        json!(true),
        json!(-7),
        json!(1.5),
        json!(1e300),
        json!("words"),
        json!(""),
        json!([]),
        json!([[]]),
        json!([{"a": {}}]),
        json!({}),
        json!({"a": []}),
    ];
    let mut all = Vec::new();
    pointers(&full(), "", &mut all);
    assert!(all.len() > 100);
    for pointer in all.iter().filter(|pointer| !pointer.is_empty()) {
        for value in &wrong {
            let mut document = full();
            *document.pointer_mut(pointer).unwrap() = value.clone();
            for dialect in [Dialect::Native, Dialect::Krakend] {
                let (document, report) = read_as(&document, dialect);
                for problem in &report.problems {
                    assert!(document.source.locate_problem(problem).is_some());
                    assert!(
                        document.root.pointer(&problem.pointer).is_some(),
                        "{pointer} = {value}: {problem:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn objects_where_scalars_belong_are_errors() {
    let mut all = Vec::new();
    pointers(&full(), "", &mut all);
    for pointer in all {
        let free = pointer.contains("extra_config") || pointer.contains('$') || pointer.is_empty();
        let scalar = !matches!(
            full().pointer(&pointer),
            Some(Value::Object(_) | Value::Array(_))
        );
        if !scalar || free {
            continue;
        }
        let mut document = full();
        *document.pointer_mut(&pointer).unwrap() = json!({"a": 1});
        let (_, report) = read(&document);
        assert!(
            report
                .problems
                .iter()
                .any(|p| p.severity == Severity::Error && p.pointer == pointer),
            "{pointer}"
        );
    }
}

/// A small generator, so that a failure can be repeated.
fn next(state: &mut u64) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap()
}

fn mutated(text: &str, state: &mut u64) -> String {
    const PIECES: &[&str] = &[
        "{", "}", "[", "]", ",", ":", "\"", "\\", "{{", "1e999", "-", "null", "\n", "\t", "é", "*",
        "/", "&x", "<<: *x", "#", "'",
    ];
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=next(state) % 4 {
        let at = next(state) % bytes.len().max(1);
        let end = (at + next(state) % 9).min(bytes.len());
        match next(state) % 4 {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..at, PIECES[next(state) % PIECES.len()].bytes())),
            2 => drop(bytes.splice(at..end, PIECES[next(state) % PIECES.len()].bytes())),
            _ => bytes.truncate(at.max(1)),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn no_mutation_of_a_document_makes_the_reader_panic() {
    let json = serde_json::to_string_pretty(&full()).unwrap();
    let yaml = "version: 3\nhost: &x [\"http://h\"]\nendpoints:\n  - endpoint: /x/{id}\n    timeout: 2s\n    backend:\n      - host: *x\n        url_pattern: /y/{id}\n        mapping: {a: b}\n";
    let toml = "version = 3\nhost = [\"http://h\"]\n[[endpoints]]\nendpoint = \"/x/{id}\"\ntimeout = \"2s\"\n[[endpoints.backend]]\nurl_pattern = \"/y\"\nmapping = { a = \"b\" }\n[tls]\ndisabled = true\n";
    let mut state = 7;
    for (text, format) in [
        (json.as_str(), Format::Json),
        (yaml, Format::Yaml),
        (toml, Format::Toml),
    ] {
        for _ in 0..2_000 {
            let text = mutated(text, &mut state);
            let mut report = Report::default();
            let document = parse("f", &text, format, &options(Dialect::Native), &mut report);
            let source =
                document.map_or_else(|| Source::plain("f", text), |document| document.source);
            for problem in &report.problems {
                if let Some((line, _)) = source.locate_problem(problem) {
                    assert!(
                        line >= 1 && line as usize <= source.line_count() + 1,
                        "{problem:?}"
                    );
                }
            }
        }
    }
}
