//! Requests against small files: each test asks one "why".

use super::*;
use crate::base::Report;
use crate::compile::{Shared, compile};
use crate::config::{Format, LoadOptions, parse};

pub(super) const FILE: &str = r#"{
  "version": 3,
  "timeout": "3s",
  "host": ["http://up:8080"],
  "extra_config": {"security/cors": {}, "governance/quota": {}, "auth/validator": {}},
  "endpoints": [
    {
      "endpoint": "/users/{id}",
      "input_headers": ["X-A", "X-User-ID"],
      "input_query_strings": ["page"],
      "backend": [{"url_pattern": "/u/{id}?z=1", "allow": ["name"],
                   "extra_config": {"governance/quota": {}}}]
    },
    {
      "endpoint": "/upload", "method": "POST", "output_encoding": "no-op",
      "extra_config": {"hanzo/limits": {"max_body": 10}, "security/policies": {}},
      "backend": [{"url_pattern": "/up"}]
    },
    {"endpoint": "/lost", "backend": [{"url_pattern": "/", "host": ["ftp://x"], "disable_host_sanitize": true}]}
  ]
}"#;

pub(super) fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> Request {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.as_bytes().to_vec())),
        None => (target, None),
    };
    let host = ("Host", "gw");
    Request {
        method: method.parse().unwrap(),
        path: path.into(),
        query,
        host: b"gw".to_vec(),
        fields: std::iter::once(&host)
            .chain(fields)
            .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()))
            .collect(),
        peer: [127, 0, 0, 1].into(),
        secure: false,
        version: "1.1",
        body: BodySize::None,
    }
}

fn ask_in(dialect: Dialect, request: &Request) -> Explanation {
    ask_about(FILE, dialect, None, request)
}

/// Asks another file, with what the command line says of the lane.
pub(super) fn ask_about(
    file: &str,
    dialect: Dialect,
    fast: Option<bool>,
    request: &Request,
) -> Explanation {
    let options = LoadOptions {
        dialect,
        ..LoadOptions::default()
    };
    let mut report = Report::default();
    let mut document = parse("t.json", file, Format::Json, &options, &mut report).unwrap();
    document.service.fast_lane = fast;
    let compiled = compile(&document, dialect, &Shared::new(1).unwrap(), &mut report);
    let gateway = compiled
        .unwrap_or_else(|| panic!("{:?}", report.problems))
        .gateway;
    explain(&document, Arc::new(gateway), request)
}

fn ask(request: &Request) -> Explanation {
    ask_in(Dialect::Native, request)
}

pub(super) fn step<'e>(explanation: &'e Explanation, name: &str) -> &'e Step {
    let found = explanation.steps.iter().find(|step| step.name == name);
    found.unwrap_or_else(|| panic!("no step {name} in {:?}", explanation.steps))
}

pub(super) fn line(place: Option<&Place>) -> Option<u32> {
    place?.position.map(|(line, _)| line)
}

fn reason(explanation: &Explanation) -> (u16, Reason) {
    match &explanation.verdict {
        Verdict::Refused { status, reason, .. } => (*status, *reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_the_endpoint_its_line_and_its_parameters() {
    let found = ask(&request("GET", "/users/a%20b?page=1", &[]));
    assert_eq!(found.verdict, Verdict::Served);
    assert_eq!(found.endpoint.as_deref(), Some("GET /users/{id}"));
    let route = step(&found, "route");
    assert_eq!(line(route.because.as_ref()), Some(8));
    assert_eq!(route.notes[0].0, "{id} = a b");
}

#[test]
fn shows_the_url_that_would_be_called() {
    let found = ask(&request("GET", "/users/7?page=1&debug=1", &[]));
    assert_eq!(found.calls[0].urls, ["http://up:8080/u/7?z=1&page=1"]);
    let dropped = &found.calls[0].dropped_query[0];
    assert_eq!(dropped.name, "debug");
    assert_eq!(
        dropped.fix.as_deref(),
        Some("add \"debug\" to input_query_strings at /endpoints/0")
    );
    assert_eq!(line(dropped.because.as_ref()), Some(10));
}

#[test]
fn says_which_key_would_let_a_field_pass() {
    let fields = [
        ("X-A", "1"),
        ("Authorization", "Bearer x"),
        ("X-User-Id", "me"),
        ("TE", "gzip"),
    ];
    let found = ask(&request("GET", "/users/7", &fields));
    let call = &found.calls[0];
    let sent = call.fields.iter().find(|f| f.name == "x-a").unwrap();
    assert!(sent.from_client);
    let dropped: Vec<_> = call
        .dropped_fields
        .iter()
        .map(|d| (d.name.as_str(), d.fix.as_deref()))
        .collect();
    let fix = "add \"Authorization\" to input_headers at /endpoints/0";
    assert_eq!(
        dropped,
        [
            ("Authorization", Some(fix)),
            ("X-User-Id", None),
            ("TE", None)
        ]
    );
}

#[test]
fn the_krakend_dialect_passes_what_is_listed() {
    let found = ask_in(
        Dialect::Krakend,
        &request("GET", "/users/7", &[("X-User-Id", "me")]),
    );
    assert!(found.calls[0].dropped_fields.is_empty());
    assert!(found.steps.iter().all(|step| step.name != "request id"));
}

#[test]
fn says_which_rule_locks_an_endpoint_and_where_it_stands() {
    let file = r#"{
      "version": 3, "host": ["http://up:8080"],
      "extra_config": {"hanzo/auth": {
        "api_key": {"validate_url": "http://iam/x"},
        "public": ["/open",
                   "/all/*"]
      }},
      "endpoints": [
        {"endpoint": "/locked", "backend": [{"url_pattern": "/"}]},
        {"endpoint": "/more", "backend": [{"url_pattern": "/"}],
         "extra_config": {"hanzo/auth": {"scopes": ["a", "b"]}}},
        {"endpoint": "/all/x", "backend": [{"url_pattern": "/"}]},
        {"endpoint": "/own", "backend": [{"url_pattern": "/"}],
         "extra_config": {"auth/public": true}}
      ]
    }"#;
    let ask = |path: &str| {
        let request = request("GET", path, &[]);
        ask_about(file, Dialect::Native, None, &request)
    };
    for (path, text, at, served) in [
        ("/locked", "by api_key", 3, false),
        ("/more", "scopes: a, b", 3, false),
        ("/all/x", "public", 6, true),
        ("/own", "public", 14, true),
    ] {
        let found = ask(path);
        let step = step(&found, "authentication");
        assert!(step.text.contains(text), "{path}: {}", step.text);
        assert_eq!(line(step.because.as_ref()), Some(at), "{path}");
        assert_eq!(found.verdict == Verdict::Served, served, "{path}");
    }
    let found = ask("/locked");
    assert_eq!(reason(&found), (401, Reason::CredentialsMissing));
    let decided = step(&found, "hanzo/auth");
    assert_eq!(decided.outcome, Outcome::Refused);
    assert_eq!(line(decided.because.as_ref()), Some(3));
    let found = ask("/more");
    let note = &step(&found, "authentication").notes[0];
    assert_eq!(line(note.1.as_ref()), Some(11));
}

#[test]
fn names_what_would_run_but_is_not_implemented() {
    let found = ask(&request("GET", "/users/7", &[]));
    assert_eq!(step(&found, "governance/quota").outcome, Outcome::Missing);
    assert!(step(&found, "authentication").text.contains("anybody"));
    assert!(
        found.calls[0].missing[0]
            .0
            .starts_with("governance/quota is not implemented")
    );
    let found = ask(&request("POST", "/upload", &[]));
    assert!(
        step(&found, "security/policies")
            .text
            .contains("guard this endpoint")
    );
}

#[test]
fn a_path_that_is_nowhere_is_told_the_nearest() {
    let found = ask(&request("GET", "/user/7", &[]));
    assert_eq!(reason(&found), (404, Reason::NoRoute));
    let near = &step(&found, "route").notes[0];
    assert_eq!(near.0, "GET /users/{id} is near");
    assert_eq!(line(near.1.as_ref()), Some(8));
}

#[test]
fn another_method_is_told_which_are_served() {
    let found = ask(&request("PUT", "/upload", &[]));
    assert_eq!(reason(&found), (405, Reason::MethodNotAllowed));
    assert!(step(&found, "route").text.contains("Allow: POST"));
}

#[test]
fn a_slash_too_many_is_a_redirect() {
    let found = ask(&request("GET", "/users/7/?page=2", &[]));
    assert_eq!(found.verdict, Verdict::Answered { status: 301 });
    assert!(
        step(&found, "route")
            .text
            .ends_with("301 to /users/7?page=2")
    );
}

#[test]
fn a_limit_is_named_with_its_line() {
    let mut big = request("POST", "/upload", &[]);
    big.body = BodySize::Known(11);
    let found = ask(&big);
    assert_eq!(reason(&found), (413, Reason::BodyTooLarge));
    assert_eq!(line(step(&found, "body").because.as_ref()), Some(16));
    let long = format!("/{}", "a".repeat(9000));
    let found = ask(&request("GET", &long, &[]));
    assert_eq!(reason(&found), (414, Reason::UriTooLong));
    assert!(step(&found, "limits").notes[0].0.contains("max_url"));
}

#[test]
fn a_backend_that_cannot_be_called_refuses() {
    assert_eq!(
        reason(&ask(&request("GET", "/lost", &[]))),
        (503, Reason::NoHosts)
    );
}

#[test]
fn hostile_targets_are_refused_and_never_a_panic() {
    for target in [
        "/users/%zz",
        "/users/%2e%2e/x",
        "/%",
        "x",
        "",
        "/users/%253f",
        "/a b",
        "/\u{0}",
    ] {
        let found = ask(&request("GET", target, &[]));
        assert!(
            matches!(found.verdict, Verdict::Refused { .. }),
            "{target}: {:?}",
            found.verdict
        );
    }
}

const GUARDED: &str = r#"{
  "version": 3,
  "host": ["http://up:8080"],
  "extra_config": {
    "security/cors": {"allow_origins": ["https://a.test"]},
    "security/http": {"frame_deny": true},
    "security/bot-detector": {"deny": ["bad"]}
  },
  "endpoints": [
    {"endpoint": "/a", "backend": [{"url_pattern": "/"}]},
    {"endpoint": "/own", "backend": [{"url_pattern": "/"}],
     "extra_config": {"security/cors": {"allow_origins": ["https://b.test"]}}}
  ]
}"#;

#[test]
fn stages_decide_for_what_no_endpoint_takes_too() {
    let ask = |target: &str, fields: &[(&str, &str)]| {
        ask_about(
            GUARDED,
            Dialect::Native,
            None,
            &request("GET", target, fields),
        )
    };
    let origin = ("Origin", "https://a.test");
    let found = ask("/a", &[origin]);
    assert_eq!(found.verdict, Verdict::Served);
    let cors = step(&found, "security/cors");
    assert!(
        cors.text.contains("Allow-Origin: https://a.test"),
        "{}",
        cors.text
    );
    assert_eq!(line(cors.because.as_ref()), Some(5));
    assert_eq!(step(&found, "security/http").outcome, Outcome::Passed);
    let bad = ask("/lost", &[("User-Agent", "bad")]);
    assert_eq!(reason(&bad), (403, Reason::BotDetected));
    assert_eq!(reason(&ask("/lost", &[])), (404, Reason::NoRoute));
    let health = ask("/__health", &[("User-Agent", "bad")]);
    assert_eq!(health.verdict, Verdict::Answered { status: 200 });
    let own = ask("/own", &[origin]);
    let cors = step(&own, "security/cors");
    assert_eq!(cors.text, "the answer says Vary: Origin");
    assert_eq!(line(cors.because.as_ref()), Some(12));
}

#[test]
fn a_preflight_is_answered_at_the_door() {
    let fields = [
        ("Origin", "https://a.test"),
        ("Access-Control-Request-Method", "GET"),
    ];
    let asked = request("OPTIONS", "/a", &fields);
    let found = ask_about(GUARDED, Dialect::Native, None, &asked);
    assert_eq!(found.verdict, Verdict::Answered { status: 204 });
    assert!(found.steps.iter().all(|step| step.name != "route"));
}

#[test]
fn what_stands_around_the_calls_is_told_with_its_line() {
    let file = r#"{
  "version": 3,
  "endpoints": [{"endpoint": "/a", "extra_config": {
      "proxy": {
        "sequential": true},
      "validation/cel": [{"check_expr": "true"}]
    },
    "backend": [
      {"url_pattern": "/b", "host": ["http://a"], "extra_config": {
        "modifier/martian": {"header.Modifier": {"name": "X-A", "value": "b"}}}},
      {"url_pattern": "/c", "host": ["http://a"]}
    ]}]
}"#;
    let found = ask_about(file, Dialect::Native, None, &request("GET", "/a", &[]));
    let notes = &step(&found, "plan").notes;
    let told = |text: &str| {
        let note = notes.iter().find(|(note, _)| note.contains(text));
        let (_, place) = note.unwrap_or_else(|| panic!("{text}: {notes:?}"));
        line(place.as_ref())
    };
    assert_eq!(told("validation/cel sees"), Some(6));
    assert_eq!(told("one after the other"), Some(5));
    let (text, place) = &found.calls[0].answer[0];
    assert!(text.starts_with("modifier/martian may change"), "{text}");
    assert_eq!(line(place.as_ref()), Some(10));
}
