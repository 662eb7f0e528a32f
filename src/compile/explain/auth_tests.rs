//! Requests that show who they are, and requests that do not: what is told of them offline.

use super::tests::{ask_about, request, step};
use super::*;
use crate::body::{Object, json as body_json};
use crate::identity::jose::{Algorithm, Signer};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const KEY: &str = r#"{"kty":"oct","alg":"HS256","kid":"k","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ1Njc4"}"#;

fn object(text: &str) -> Object {
    let value = body_json::decode(text.as_bytes()).unwrap();
    value.into_object().unwrap()
}

fn token(claims: &str, ends: i64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let exp = i64::try_from(now).unwrap() + ends;
    let claims = claims.replacen('{', &format!("{{\"exp\":{exp},"), 1);
    let signer = Signer::new(Algorithm::Hs256, &object(KEY), Dialect::Native).unwrap();
    let signed = signer.sign_compact(&object(r#"{"kid":"k"}"#), claims.as_bytes());
    format!("Bearer {}", signed.unwrap())
}

/// A file with an endpoint that is locked by these settings.
fn file(extra: &str, service: &str) -> String {
    format!(
        r#"{{"version": 3, "host": ["http://up"], "extra_config": {{{service}}}, "endpoints": [
  {{"endpoint": "/a", "input_headers": ["*"],
    "extra_config": {{{extra}}},
    "backend": [{{"url_pattern": "/a"}}]}}
]}}"#
    )
}

fn ask(file: &str, authorization: Option<&str>) -> Explanation {
    let fields: Vec<_> = authorization
        .map(|value| ("Authorization", value))
        .into_iter()
        .collect();
    ask_about(file, Dialect::Native, None, &request("GET", "/a", &fields))
}

fn notes(explanation: &Explanation, name: &str) -> String {
    let notes = step(explanation, name).notes.iter();
    notes
        .map(|(text, _)| text.as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

fn why(explanation: &Explanation) -> Option<Reason> {
    match &explanation.verdict {
        Verdict::Refused { reason, .. } => Some(*reason),
        _ => None,
    }
}

#[test]
fn a_token_is_held_to_every_rule_and_its_signature_to_a_key_at_hand() {
    let folder = TempDir::new().unwrap();
    let keys = folder.path().join("keys.json");
    std::fs::write(&keys, format!("{{\"keys\":[{KEY}]}}")).unwrap();
    let extra = format!(
        r#""auth/validator": {{"alg": "HS256", "jwk_local_path": "{}", "issuer": "me", "audience": ["api"], "roles": ["admin"]}}"#,
        keys.display()
    );
    let file = file(&extra, "");
    let good = r#"{"iss":"me","aud":"api","roles":["admin"]}"#;
    let found = ask(&file, Some(&token(good, 60)));
    assert_eq!(why(&found), None, "{:?}", found.verdict);
    let told = notes(&found, "auth/validator");
    for words in [
        "alg: HS256",
        "signature: good",
        "\"me\" is wanted",
        "all of api",
        "leeway",
        "one of admin",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    for (claims, ends, reason) in [
        (good, -60, Reason::TokenExpired),
        (
            r#"{"iss":"you","aud":"api","roles":["admin"]}"#,
            60,
            Reason::IssuerMismatch,
        ),
        (
            r#"{"iss":"me","aud":"x","roles":["admin"]}"#,
            60,
            Reason::AudienceMismatch,
        ),
        (
            r#"{"iss":"me","aud":"api","roles":["dev"]}"#,
            60,
            Reason::RolesMissing,
        ),
    ] {
        let found = ask(&file, Some(&token(claims, ends)));
        assert_eq!(why(&found), Some(reason), "{claims}");
        let step = step(&found, "auth/validator");
        assert_eq!(step.outcome, Outcome::Refused);
        assert_eq!(super::tests::line(step.because.as_ref()), Some(3));
    }
    let found = ask(&file, None);
    assert_eq!(why(&found), Some(Reason::CredentialsMissing));
    let told = notes(&found, "auth/validator");
    assert!(
        told.contains("HS256 by \"me\" for api in authorization"),
        "{told}"
    );
}

#[test]
fn keys_that_would_be_fetched_are_said_to_be_unchecked() {
    let extra =
        r#""auth/validator": {"alg": "HS256", "jwk_url": "https://id.test/keys", "issuer": "me"}"#;
    let file = file(extra, "");
    let found = ask(&file, Some(&token(r#"{"iss":"me"}"#, 60)));
    assert_eq!(why(&found), None, "{:?}", found.verdict);
    let told = notes(&found, "auth/validator");
    assert!(told.contains("signature: not checked"), "{told}");
    let found = ask(&file, Some(&token(r#"{"iss":"me"}"#, -60)));
    assert_eq!(why(&found), Some(Reason::TokenExpired));
}

#[test]
fn keys_and_passwords_of_the_file_are_checked() {
    let hash = bcrypt::hash("pw", 4).unwrap();
    let service = format!(
        r#""auth/api-keys": {{"keys": [{{"key": "k1", "roles": ["a"]}}]}}, "auth/basic": {{"users": {{"ann": "{hash}"}}}}"#
    );
    let keyed = file(r#""auth/api-keys": {"roles": ["a", "b"]}"#, &service);
    assert_eq!(why(&ask(&keyed, Some("Bearer k1"))), None);
    assert_eq!(
        why(&ask(&keyed, Some("Bearer k2"))),
        Some(Reason::ApiKeyInvalid)
    );
    let found = ask(&keyed, None);
    assert_eq!(why(&found), Some(Reason::CredentialsMissing));
    let told = notes(&found, "auth/api-keys");
    assert_eq!(
        told,
        "a key with one of the roles a, b is wanted behind Bearer in authorization"
    );
    let login = file(r#""auth/basic": {}"#, &service);
    // "ann:pw" and "ann:no".
    assert_eq!(why(&ask(&login, Some("Basic YW5uOnB3"))), None);
    assert_eq!(
        why(&ask(&login, Some("Basic YW5uOm5v"))),
        Some(Reason::PasswordInvalid)
    );
    assert!(notes(&ask(&login, None), "auth/basic").contains("a name and a password"));
}
