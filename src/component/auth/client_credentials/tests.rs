//! What is sent for a token, what is made of the answer, and what of the settings.

use super::token::{Grant, read};
use crate::base::{Code, Dialect, Report, Severity};
use crate::component::BackendDraft;
use crate::config::settings::Settings;
use crate::net::fetch::Fetched;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

fn grant() -> Grant {
    Grant {
        url: "https://id.example/token".into(),
        id: "my app".into(),
        secret: "h+u/sh".into(),
        scope: "a b".into(),
        params: vec![
            ("audience".into(), "x&y".into()),
            ("audience".into(), "z".into()),
        ],
        dialect: Dialect::Native,
    }
}

#[test]
fn the_form_is_what_gos_client_sends() {
    let mut grant = grant();
    let form = "audience=x%26y&audience=z&grant_type=client_credentials&scope=a+b";
    assert_eq!(grant.form(false), form);
    let form = "audience=x%26y&audience=z&client_id=my+app&client_secret=h%2Bu%2Fsh&grant_type=client_credentials&scope=a+b";
    assert_eq!(grant.form(true), form);
    // base64 of my+app:h%2Bu%2Fsh
    let basic = grant.basic().unwrap();
    assert_eq!(basic, "Basic bXkrYXBwOmglMkJ1JTJGc2g=");
    assert!(basic.is_sensitive());
    grant.params = vec![
        ("grant_type".into(), "password".into()),
        ("client_id".into(), "other".into()),
    ];
    assert_eq!(
        grant.form(false),
        "client_id=other&grant_type=password&scope=a+b"
    );
    assert_eq!(
        grant.form(true),
        "client_id=my+app&client_secret=h%2Bu%2Fsh&grant_type=password&scope=a+b"
    );
}

fn answer(status: u16, kind: &'static str, body: &str) -> Fetched {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Fetched {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: body.to_owned().into(),
    }
}

fn token(kind: &'static str, body: &str) -> (String, Option<u64>) {
    let fresh = read(&answer(200, kind, body), Dialect::Krakend).unwrap();
    let value = fresh.value.to_str().unwrap().to_owned();
    (value, fresh.life.as_ref().map(Duration::as_secs))
}

#[test]
fn answers_are_read_as_json_or_as_a_form() {
    let kind = "application/json;charset=utf-8";
    for (body, value, life) in [
        (
            r#"{"access_token":"t","token_type":"bearer","expires_in":60}"#,
            "Bearer t",
            Some(60),
        ),
        (
            r#"{"access_token":"t","expires_in":"90"}"#,
            "Bearer t",
            Some(90),
        ),
        (
            r#"{"access_token":"t","token_type":"mac","expires_in":null}"#,
            "MAC t",
            None,
        ),
        (
            r#"{"access_token":"t","token_type":"Odd","expires_in":1e99}"#,
            "Odd t",
            Some(2_147_483_647),
        ),
        (r#"{"access_token":"t","expires_in":-5}"#, "Bearer t", None),
    ] {
        assert_eq!(token(kind, body), (value.to_owned(), life), "{body}");
    }
    let body = "access_token=a%2Bb&access_token=c&token_type=bearer&expires_in=7";
    for kind in [
        "application/x-www-form-urlencoded",
        "text/plain; charset=utf-8",
    ] {
        assert_eq!(token(kind, body), ("Bearer a+b".to_owned(), Some(7)));
    }
    let fresh = read(
        &answer(200, kind, r#"{"access_token":"t"}"#),
        Dialect::Native,
    )
    .unwrap();
    assert_eq!(fresh.life, Some(Duration::from_secs(3600)));
}

#[test]
fn what_is_no_token_is_told_without_repeating_it() {
    let all = [
        (
            401,
            r#"{"error":"invalid_client","error_description":"S3CRET"}"#,
            "answered 401 (invalid_client)",
        ),
        (400, r#"{"error":"S3CRET"}"#, "answered 400"),
        (
            200,
            r#"{"error":"invalid_scope","access_token":"S3CRET"}"#,
            "answered 200 (invalid_scope)",
        ),
        (500, "S3CRET", "answered 500"),
        (200, "S3CRET", "holds no token"),
        (200, "{}", "holds no token"),
        (200, r#"{"access_token":"S3CRET\n"}"#, "no field value"),
        (200, r#"{"access_token":["S3CRET"]}"#, "holds no token"),
    ];
    for (status, body, text) in all {
        let error = read(&answer(status, "application/json", body), Dialect::Native).unwrap_err();
        assert!(
            error.text.contains(text) && !error.text.contains("S3CRET"),
            "{}",
            error.text
        );
    }
}

/// What is found about settings, and the numbers of stages around a call and on the wire.
fn built(value: &Value, mut draft: BackendDraft) -> (Vec<(Severity, Code)>, usize, usize) {
    let mut report = Report::default();
    let mut settings = Settings::new(value, "/x", &mut report);
    super::build(&mut settings, &mut draft, Dialect::Native).unwrap();
    let found = report
        .problems
        .iter()
        .map(|p| (p.severity, p.code))
        .collect();
    (found, draft.call.len(), draft.wire.len())
}

#[test]
fn settings_are_what_a_fetch_needs() {
    let (warning, error) = (Severity::Warning, Severity::Error);
    let good = json!({"client_id": "a", "client_secret": "b", "token_url": "https://x/t", "scopes": "a,b"});
    assert_eq!(built(&good, BackendDraft::default()), (vec![], 1, 0));
    let with = |key: &str, value: Value| {
        let mut all = good.clone();
        all[key] = value;
        built(&all, BackendDraft::default())
    };
    assert_eq!(with("is_disabled", json!(true)), (vec![], 0, 0));
    assert_eq!(
        with("endpoint_params", json!({"audience": ["a"]})),
        (vec![], 1, 0)
    );
    let bad = |severity, code| (vec![(severity, code)], 1, 0);
    assert_eq!(
        with("token_url", json!("http://x/t")),
        bad(warning, Code::BadValue)
    );
    assert_eq!(
        with("token_url", json!("nonsense")),
        bad(warning, Code::BadValue)
    );
    assert_eq!(
        with("client_secret", json!([])),
        (
            vec![(error, Code::WrongType), (warning, Code::MissingKey)],
            1,
            0
        )
    );
    assert_eq!(
        with("client_secret", json!("")),
        bad(warning, Code::MissingKey)
    );
    assert_eq!(
        with("endpoint_params", json!({"scope": ["a"]})),
        bad(warning, Code::BadValue)
    );
    assert_eq!(
        with("endpoint_params", json!({"a": [{}]})),
        bad(error, Code::WrongType)
    );
}

#[test]
fn behind_scripts_and_rules_of_its_backend_it_stands_on_the_wire() {
    let value = json!({"client_id": "a", "client_secret": "b", "token_url": "https://x/t"});
    let mut draft = BackendDraft::default();
    let mut report = Report::default();
    let mut settings = Settings::new(&value, "/x", &mut report);
    super::build(&mut settings, &mut draft, Dialect::Native).unwrap();
    // Whatever stands there: another of its kind will do.
    let first = BackendDraft {
        wire: vec![Box::new(super::proof(None, &draft, Dialect::Native))],
        ..BackendDraft::default()
    };
    assert_eq!(built(&value, first), (vec![], 0, 2));
}

#[test]
fn tokens_are_shared_by_backends_with_the_same_settings_only() {
    let (a, mut b) = (grant(), grant());
    assert_eq!(a.name(), b.name());
    b.secret.push('x');
    assert_ne!(a.name(), b.name());
    assert!(!b.name().contains("h+u"));
}
