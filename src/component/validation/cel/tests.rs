//! When expressions run, what they refuse, and what a file is told about them.

mod language;

use super::*;
use crate::base::{Report, Severity};
use crate::body::json::decode;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::json;
use std::time::Duration;

fn request() -> Request {
    let field = |name: &'static str, value: &'static str| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    Request {
        method: Method::POST,
        path: "/a/7".to_owned(),
        url: String::new(),
        query: "a=1&a=2&b=x%20y".to_owned(),
        params: vec![("Id".to_owned(), "7".to_owned())],
        headers: vec![
            field("x-header", "something"),
            field("accept", "*/*"),
            field("x-header", "b"),
        ],
        body: Some(Bytes::from_static(b"body")),
    }
}

fn answer(data: &str) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("text/plain"));
    Answer {
        data: decode(data.as_bytes()).unwrap().into_object(),
        complete: true,
        status: 201,
        headers,
        ..Answer::default()
    }
}

fn built(settings: &Value, level: Level, dialect: Dialect) -> (Checks, Vec<(Severity, String)>) {
    let mut report = Report::default();
    let checks = build(
        &mut Settings::new(settings, "/x", &mut report),
        level,
        dialect,
    );
    let found = report.problems.into_iter();
    (checks, found.map(|p| (p.severity, p.pointer)).collect())
}

fn checks(sources: &[&str], dialect: Dialect) -> (Checks, Vec<(Severity, String)>) {
    let items: Vec<Value> = sources.iter().map(|s| json!({"check_expr": s})).collect();
    built(
        &Value::Array(items),
        Level::Endpoint { verified: false },
        dialect,
    )
}

fn counts(sources: &[&str], dialect: Dialect) -> [usize; 3] {
    let checks = checks(sources, dialect).0;
    [checks.before.len(), checks.after.len(), checks.token.len()]
}

#[test]
fn natively_the_variables_decide_when_an_expression_runs() {
    let native = |source| counts(&[source], Dialect::Native);
    assert_eq!(native("req_method == 'GET'"), [1, 0, 0]);
    assert_eq!(native("resp_data.required == true"), [0, 1, 0]);
    assert_eq!(native("req_path == resp_data.path"), [0, 1, 0]);
    assert_eq!(native("timestamp(now).getHours() > 8"), [1, 0, 0]);
    assert_eq!(native("JWT.sub == 'x'"), [0, 0, 1]);
}

#[test]
fn in_the_krakend_dialect_the_letters_do() {
    let krakend = |source| counts(&[source], Dialect::Krakend);
    assert_eq!(krakend("req_method == 'GET'"), [1, 0, 0]);
    assert_eq!(krakend("resp_data.required == true"), [1, 1, 0]);
    assert_eq!(krakend("timestamp(now).getHours() > 8"), [0, 0, 0]);
    assert_eq!(krakend("JWT.sub == 'req'"), [1, 0, 1]);
}

#[test]
fn natively_a_broken_expression_refuses_the_file_at_its_place() {
    let place = |at: usize| vec![(Severity::Error, format!("/x/{at}/check_expr"))];
    for source in [
        "req_method ==",
        "has(req_headers)",
        "req_body == ''",
        "req_method == 1",
        "req_method",
        "req_path.matches('(')",
        "JWT.sub == req_path",
    ] {
        let (_, found) = checks(&["req_method == 'GET'", source], Dialect::Native);
        assert_eq!(found, place(1), "{source}");
    }
    for broken in [
        json!({"check_expr": "true"}),
        json!("true"),
        json!([1]),
        json!([{}]),
        json!([{"check_expr": 1}]),
    ] {
        let (_, found) = built(
            &broken,
            Level::Endpoint { verified: false },
            Dialect::Native,
        );
        assert_eq!(found.len(), 1, "{broken}");
        assert_eq!(found[0].0, Severity::Error, "{broken}");
    }
    let (_, found) = built(
        &json!([{"check_expr": "JWT.sub == ''"}]),
        Level::Backend,
        Dialect::Native,
    );
    assert_eq!(found, place(0));
}

#[test]
fn in_the_krakend_dialect_it_switches_off_what_krakend_switches_off() {
    let good = "req_method == 'GET'";
    let krakend = |bad| {
        let (checks, found) = checks(&[good, bad, good], Dialect::Krakend);
        assert_eq!(found.len(), 1, "{bad}");
        assert_eq!(found[0].0, Severity::Warning);
        checks.before.len()
    };
    assert_eq!(krakend("has(req_headers)"), 0);
    assert_eq!(krakend("req_method =="), 0);
    assert_eq!(krakend("req_method == 1"), 2);
    assert_eq!(krakend("req_nope == 1"), 2);
}

#[test]
fn the_first_expression_that_does_not_hold_ends_it() {
    let sources = ["req_method == 'POST'", "req_params.Nope == ''", "false"];
    let (native, _) = checks(&sources, Dialect::Native);
    let request = request();
    assert_eq!(
        first_failing(&native.before, &Scope::before(&request)),
        Some(1)
    );
    let (fine, _) = checks(&sources[..1], Dialect::Native);
    assert_eq!(first_failing(&fine.before, &Scope::before(&request)), None);
    // The krakend dialect shows an answer's checks the answer only, the native one both.
    let both = ["resp_completed && req_method == 'POST'"];
    let answer = answer("{}");
    let (native, _) = checks(&both, Dialect::Native);
    assert!(native.both);
    assert_eq!(
        first_failing(&native.after, &Scope::after(Some(&request), &answer)),
        None
    );
    let (krakend, _) = checks(&both, Dialect::Krakend);
    assert!(!krakend.both);
    assert_eq!(
        first_failing(&krakend.after, &Scope::after(None, &answer)),
        Some(0)
    );
}

#[test]
fn now_is_local_time_without_zeros_at_its_end() {
    let now = super::time::now();
    assert!(super::time::parse(&now).is_ok(), "{now}");
    for (millis, fraction) in [
        (0, None),
        (5, Some("005")),
        (50, Some("05")),
        (500, Some("5")),
        (123, Some("123")),
    ] {
        let text = super::time::local(Duration::from_millis(1_700_000_000_000 + millis));
        let written = text.split_once('.').map(|(_, rest)| {
            let digits = rest.find(|c: char| !c.is_ascii_digit());
            rest.split_at(digits.unwrap()).0
        });
        assert_eq!(written, fraction, "{text}");
    }
}
