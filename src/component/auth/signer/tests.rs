//! Settings of the signer, and what becomes of answers.

use super::*;
use crate::base::Report;
use crate::gateway::message::Answer;
use serde_json::json;

/// A symmetric key named `k`.
const SET: &str = r#"{"keys":[{"kty":"oct","kid":"k","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldC1zZWNyZXQ"}]}"#;

fn file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SET).unwrap();
    file
}

fn built(value: &serde_json::Value, dialect: Dialect) -> (EndpointDraft, Vec<(Severity, String)>) {
    let mut draft = EndpointDraft::default();
    let mut report = Report::default();
    let mut settings = Settings::new(value, "/x", &mut report);
    build(&mut settings, &mut draft, dialect).unwrap();
    let found = report.problems.into_iter().map(|p| (p.severity, p.pointer));
    (draft, found.collect())
}

fn settings(path: &std::path::Path) -> serde_json::Value {
    json!({"alg": "HS256", "kid": "k", "keys_to_sign": ["a", "b", "c", "d"], "jwk_local_path": path,
        "disable_jwk_security": true})
}

#[test]
fn objects_become_tokens_and_all_else_stays() {
    let file = file();
    let (draft, found) = built(&settings(file.path()), Dialect::Native);
    assert_eq!(found, []);
    let seal = draft.seal.unwrap();
    let data =
        json::decode(br#"{"a":{"z":1.0,"sub":"<u>"},"b":"text","c":[{}],"e":{"x":1}}"#).unwrap();
    let mut answer = Answer {
        data: data.into_object(),
        ..Answer::default()
    };
    seal.seal(&mut answer).unwrap();
    let data = answer.data.unwrap();
    let token = data.get("a").and_then(Value::as_str).unwrap();
    let parsed = crate::identity::jose::Token::parse(token.as_bytes()).unwrap();
    assert_eq!(parsed.payload(), br#"{"sub":"\u003cu\u003e","z":1.0}"#);
    assert_eq!((parsed.kid(), parsed.typ()), (Some("k"), Some("JWT")));
    assert!(
        data.get("b").and_then(Value::as_str) == Some("text")
            && data.get("c").unwrap().as_array().is_some()
    );
    assert!(data.get("e").unwrap().as_object().is_some() && data.get("d").is_none());
}

#[test]
fn no_data_is_no_answer_in_krakend_only() {
    let file = file();
    for (dialect, good) in [(Dialect::Native, true), (Dialect::Krakend, false)] {
        let (draft, found) = built(&settings(file.path()), dialect);
        assert_eq!((found, draft.head.len()), (vec![], 1));
        let sealed = draft.seal.unwrap().seal(&mut Answer::default());
        assert_eq!(sealed.is_ok(), good);
    }
}

#[test]
fn settings_that_cannot_sign_refuse_the_file_and_let_nobody_in_in_krakend() {
    let file = file();
    for (key, value, place) in [
        ("alg", json!("HS1"), "/x/alg"),
        ("alg", json!(null), "/x"),
        ("alg", json!("RS256"), "/x/jwk_local_path"),
        ("kid", json!("other"), "/x/jwk_local_path"),
        (
            "jwk_local_path",
            json!("/no/such/file"),
            "/x/jwk_local_path",
        ),
        ("secret_url", json!("awskms://x"), "/x/secret_url"),
        ("full", json!([]), "/x/full"),
    ] {
        let mut wrong = settings(file.path());
        wrong[key] = value;
        let (_, found) = built(&wrong, Dialect::Native);
        assert_eq!(found, [(Severity::Error, place.to_owned())], "{key}");
        let (draft, found) = built(&wrong, Dialect::Krakend);
        assert_eq!(found, [(Severity::Warning, place.to_owned())], "{key}");
        assert!(draft.seal.is_none() && draft.head.len() == 1);
    }
}

#[test]
fn a_key_without_tls_is_not_fetched_unless_it_may() {
    let url = |url: &str, insecure: bool| json!({"alg": "HS256", "kid": "k", "keys_to_sign": ["a"], "jwk_url": url, "disable_jwk_security": insecure});
    let (_, found) = built(&url("http://keys/x", false), Dialect::Native);
    assert_eq!(found, [(Severity::Error, "/x/jwk_url".to_owned())]);
    for good in [url("http://keys/x", true), url("https://keys/x", false)] {
        let (draft, found) = built(&good, Dialect::Native);
        assert_eq!((found, draft.tasks.len()), (vec![], 1));
    }
    // KrakenD looks at the address even where a file has the key.
    let file = file();
    let mut local = settings(file.path());
    local["disable_jwk_security"] = json!(false);
    assert_eq!(built(&local, Dialect::Native).1, []);
    let (draft, found) = built(&local, Dialect::Krakend);
    assert_eq!((found.len(), draft.seal.is_none()), (1, true));
}
