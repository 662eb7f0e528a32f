//! What the key service is asked and how its answers are understood.

use super::*;
use crate::base::Dialect;
use crate::identity::{Absent, MintRule};
use crate::net::{ClientOptions, Resolver};
use serde_json::json;

fn service() -> KeyService {
    let rule = |claim: &str, field: &str| MintRule {
        claim: ClaimPath::flat(claim),
        name: HeaderName::from_bytes(field.as_bytes()).unwrap(),
        absent: Absent::Nothing,
        unlisted: true,
    };
    let rules = vec![rule("sub", "x-user-id"), rule("scope", "x-scopes")];
    KeyService {
        client: Arc::new(Client::new(ClientOptions::default())),
        place: Place::parse("http://iam.example/validate", &Resolver::new()).unwrap(),
        method: Method::POST,
        body: Template::Json(json!({"key": SLOT})),
        fields: Box::default(),
        answer: Answer::default(),
        refused: Box::default(),
        mint: Mint::new(rules, false, Dialect::Native),
    }
}

fn fetched(status: u16, body: &str) -> Fetched {
    Fetched {
        status: StatusCode::from_u16(status).unwrap(),
        headers: http::HeaderMap::new(),
        body: Bytes::from(body.to_owned()),
    }
}

fn said(service: &KeyService, status: u16, body: &str) -> Result<Said, Silence> {
    service.understood(&fetched(status, body), [7; 32])
}

fn somebody(said: Result<Said, Silence>) -> Arc<Identity> {
    match said.unwrap().verdict {
        Verdict::Good(identity) => identity,
        Verdict::Bad(reason) => panic!("{reason:?}"),
    }
}

fn is_bad(said: &Result<Said, Silence>) -> bool {
    matches!(
        said,
        Ok(Said {
            verdict: Verdict::Bad(Reason::ApiKeyInvalid),
            ..
        })
    )
}

const ADA: &str =
    r#"{"valid":true,"user_id":"ada","org_id":"acme","scopes":["a","b"],"tier":"team"}"#;

#[test]
fn the_answer_says_who_it_is() {
    let ada = somebody(said(&service(), 200, ADA));
    assert_eq!(ada.proof, Some(Proof::ApiKey));
    assert_eq!(ada.subject.as_deref(), Some("ada"));
    assert_eq!(ada.org.as_deref(), Some("acme"));
    assert_eq!(ada.tier.as_deref(), Some("team"));
    assert_eq!(ada.key, Some([7; 32]));
    assert_eq!(ada.claims.get("scope").and_then(Value::as_str), Some("a b"));
    let minted: Vec<_> = ada.minted.iter().flat_map(|field| &field.values).collect();
    assert_eq!(minted, ["ada", "a b"]);
}

#[test]
fn what_the_answer_leaves_out_is_minted_as_nothing() {
    let nobody = somebody(said(&service(), 200, r#"{"valid":true,"user_id":null}"#));
    assert_eq!(nobody.subject, None);
    assert_eq!(nobody.minted.len(), 2);
    assert!(nobody.minted.iter().all(|field| field.values.is_empty()));
}

#[test]
fn only_a_clear_no_is_a_no() {
    let service = service();
    for status in [200, 400, 401, 404] {
        assert!(
            is_bad(&said(&service, status, r#"{"valid":false}"#)),
            "{status}"
        );
    }
    for (status, body) in [
        (200, ""),
        (200, "{}"),
        (200, r#"{"valid":"true"}"#),
        (200, r#"{"valid":1}"#),
        (200, r#"{"valid":null}"#),
        (200, r#"[true]"#),
        (200, r#"{"valid":true}{"valid":false}"#),
        (200, "<html>"),
        (201, ADA),
        (204, ""),
        (302, ""),
        (401, ""),
        (404, "not found"),
        (404, ADA),
        (500, r#"{"valid":false}"#),
        (503, ""),
    ] {
        assert!(said(&service, status, body).is_err(), "{status} {body}");
    }
}

#[test]
fn the_settings_may_say_which_status_is_a_no() {
    let service = KeyService {
        refused: Box::from([401, 404]),
        ..service()
    };
    assert!(is_bad(&said(&service, 404, "not found")));
    assert!(is_bad(&said(&service, 401, ADA)));
    assert!(said(&service, 403, "").is_err());
}

#[test]
fn an_outage_is_told_from_a_question_that_fails() {
    let service = service();
    for (status, outage) in [
        (502, true),
        (503, true),
        (504, true),
        (429, true),
        (500, false),
        (404, false),
    ] {
        let silence = said(&service, status, "").unwrap_err();
        assert_eq!(matches!(silence, Silence::Outage(_)), outage, "{status}");
    }
}

#[test]
fn parts_of_the_answer_may_stand_elsewhere() {
    let claims = [
        ("sub", "data.owner.id"),
        ("scope", "data.grants"),
        ("exp", "data.until"),
    ];
    let service = KeyService {
        answer: Answer {
            valid: ClaimPath::dotted("data.active"),
            claims: claims
                .map(|(to, from)| (to.into(), ClaimPath::dotted(from)))
                .into(),
        },
        ..service()
    };
    let body = |until: serde_json::Value| {
        json!({"data": {"active": true, "owner": {"id": 7}, "grants": "x y", "until": until}})
            .to_string()
    };
    let found = said(&service, 200, &body(json!(4_000_000_000_u64))).unwrap();
    assert_eq!(found.expires, Some(Duration::from_secs(4_000_000_000)));
    let who = somebody(Ok(found));
    assert_eq!(who.subject.as_deref(), Some("7"));
    assert_eq!(who.claims.get("scope").and_then(Value::as_str), Some("x y"));
    let found = said(&service, 200, &body(json!("2100-01-01T00:00:00Z"))).unwrap();
    assert_eq!(found.expires, Some(Duration::from_secs(4_102_444_800)));
    assert!(
        is_bad(&said(&service, 200, &body(json!(1)))),
        "a key that has ended"
    );
    assert!(said(&service, 200, &body(json!("soon"))).is_err());
}

#[test]
fn a_claim_that_would_break_a_line_is_no_answer() {
    let body = r#"{"valid":true,"user_id":"a\r\nX-Org-ID: b"}"#;
    assert!(said(&service(), 200, body).is_err());
}

#[test]
fn the_key_stands_where_the_templates_say() {
    let json = Template::Json(json!({"a": [{"k": "x {key} y"}], "n": 1}));
    let body = json.fill(r#"k"\"#).unwrap();
    let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(read, json!({"a": [{"k": "x k\"\\ y"}], "n": 1}));
    let form = Template::Form("api_key={key}&x=1".into());
    assert_eq!(form.fill("a&b=c+d").unwrap(), "api_key=a%26b%3Dc%2Bd&x=1");
    assert_eq!(Template::Nothing.fill("k"), None);
    let service = KeyService {
        body: Template::Nothing,
        fields: Box::from([(header::AUTHORIZATION, "Key {key}".into())]),
        ..service()
    };
    let fields = service.fields("abc");
    assert!(fields.contains(&(header::AUTHORIZATION, HeaderValue::from_static("Key abc"))));
    assert!(!format!("{fields:?}").contains("abc"), "it shows in no log");
    assert!(!fields.iter().any(|(name, _)| *name == header::CONTENT_TYPE));
}
