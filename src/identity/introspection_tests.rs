//! The question of RFC 7662 and its answers.

use super::*;
use crate::gateway::identity::Identity;
use crate::net::{ClientOptions, Resolver};
use serde_json::json;

fn issuer(auth: ClientAuth, wanted: Wanted) -> Introspection {
    Introspection {
        client: Arc::new(Client::new(ClientOptions::default())),
        place: Place::parse("https://iam.example/introspect", &Resolver::new()).unwrap(),
        auth,
        hint: "access_token".into(),
        wanted,
        mint: Mint::default(),
    }
}

fn any() -> Introspection {
    issuer(ClientAuth::Nobody, Wanted::default())
}

fn said(introspection: &Introspection, status: u16, body: &str) -> Result<Said, Silence> {
    introspection.understood(&Fetched {
        status: StatusCode::from_u16(status).unwrap(),
        headers: http::HeaderMap::new(),
        body: Bytes::from(body.to_owned()),
    })
}

fn verdict(
    introspection: &Introspection,
    body: serde_json::Value,
) -> Result<Arc<Identity>, Reason> {
    match said(introspection, 200, &body.to_string()).unwrap().verdict {
        Verdict::Good(identity) => Ok(identity),
        Verdict::Bad(reason) => Err(reason),
    }
}

#[test]
fn an_active_token_is_somebody() {
    let answer = json!({"active": true, "sub": "ada", "org": "acme", "tier": "team", "scope": "a b", "exp": 4e9});
    let found = said(&any(), 200, &answer.to_string()).unwrap();
    assert_eq!(found.expires, Some(Duration::from_secs(4_000_000_000)));
    let ada = verdict(&any(), answer).unwrap();
    assert_eq!(ada.proof, Some(Proof::Introspection));
    assert_eq!(ada.subject.as_deref(), Some("ada"));
    assert_eq!(ada.tier.as_deref(), Some("team"));
    assert_eq!(ada.claims.get("scope").and_then(Value::as_str), Some("a b"));
    assert_eq!(ada.key, None);
}

#[test]
fn one_that_is_not_active_is_nobody() {
    for body in [
        json!({"active": false}),
        json!({"active": false, "sub": "ada", "exp": 4e9}),
    ] {
        assert_eq!(verdict(&any(), body).unwrap_err(), Reason::TokenInactive);
    }
}

#[test]
fn an_answer_that_says_nothing_is_nobodys_fault_but_ours() {
    for (status, body) in [
        (200, ""),
        (200, "{}"),
        (200, r#"{"active":"true"}"#),
        (200, r#"{"active":1}"#),
        (200, "eyJhbGciOiJub25lIn0.e30."),
        (401, r#"{"error":"invalid_client"}"#),
        (403, r#"{"active":false}"#),
        (500, r#"{"active":true}"#),
        (302, ""),
    ] {
        assert!(said(&any(), status, body).is_err(), "{status} {body}");
    }
}

#[test]
fn an_answer_that_is_a_signed_token_was_not_asked_for() {
    for media in ["application/token-introspection+jwt", "Application/JWT"] {
        let mut headers = http::HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        let found = any().understood(&Fetched {
            status: StatusCode::OK,
            headers,
            body: Bytes::from_static(br#"{"active":true}"#),
        });
        assert!(matches!(found, Err(Silence::Failed(_))), "{media}");
    }
}

#[test]
fn its_times_are_held_to() {
    let now = clock::since_epoch().as_secs();
    for (claims, reason) in [
        (json!({"exp": now - 60}), Some(Reason::TokenExpired)),
        (json!({"exp": now - 5}), None),
        (json!({"nbf": now + 60}), Some(Reason::TokenNotYetValid)),
        (json!({"nbf": now + 5}), None),
        (json!({"exp": "soon"}), Some(Reason::TokenMalformed)),
    ] {
        let mut body = claims.clone();
        body["active"] = json!(true);
        assert_eq!(verdict(&any(), body).err(), reason, "{claims}");
    }
}

#[test]
fn issuer_and_audience_are_checked_where_the_settings_name_them() {
    let wanted = |all: bool| Wanted {
        issuer: Some("https://iam".into()),
        audience: Box::from(["a".into(), "b".into()]),
        all,
    };
    let of = |iss: &str, aud: serde_json::Value| json!({"active": true, "iss": iss, "aud": aud});
    let (one, all) = (
        issuer(ClientAuth::Nobody, wanted(false)),
        issuer(ClientAuth::Nobody, wanted(true)),
    );
    let mismatch = Some(Reason::AudienceMismatch);
    for (body, of_one, of_all) in [
        (of("https://iam", json!(["a", "b"])), None, None),
        (of("https://iam", json!("b")), None, mismatch),
        (of("https://iam", json!(["c"])), mismatch, mismatch),
        (of("https://iam", json!(null)), mismatch, mismatch),
        (
            of("https://iam/", json!("a")),
            Some(Reason::IssuerMismatch),
            Some(Reason::IssuerMismatch),
        ),
        (
            json!({"active": true, "aud": "a"}),
            Some(Reason::IssuerMismatch),
            Some(Reason::IssuerMismatch),
        ),
    ] {
        assert_eq!(verdict(&one, body.clone()).err(), of_one, "{body}");
        assert_eq!(verdict(&all, body.clone()).err(), of_all, "{body}");
    }
}

fn question(auth: ClientAuth) -> (Option<String>, String) {
    let (fields, body) = issuer(auth, Wanted::default()).question(&Secret::new("a+b/c="));
    assert!(
        !format!("{fields:?}").contains("Basic"),
        "it shows in no log"
    );
    let own = fields
        .iter()
        .find(|(name, _)| *name == header::AUTHORIZATION);
    let own = own.map(|(_, value)| value.to_str().unwrap().to_owned());
    (own, String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn the_gateway_says_who_it_is_in_four_ways() {
    let token = "token=a%2Bb%2Fc%3D&token_type_hint=access_token";
    assert_eq!(question(ClientAuth::Nobody), (None, token.to_owned()));
    let named = ClientAuth::Named("my gateway".into());
    assert_eq!(
        question(named),
        (None, format!("{token}&client_id=my+gateway"))
    );
    let post = ClientAuth::Post("gw".into(), Secret::new("p&s"));
    let body = format!("{token}&client_id=gw&client_secret=p%26s");
    assert_eq!(question(post), (None, body));
}

#[test]
fn name_and_secret_are_encoded_before_they_are_joined() {
    // RFC 6749 section 2.3.1: a colon in either cannot be taken for the one between them.
    let (field, body) = question(ClientAuth::basic("a:b", "c d%"));
    let field = field.unwrap();
    let both = STANDARD
        .decode(field.strip_prefix("Basic ").unwrap())
        .unwrap();
    assert_eq!(both, b"a%3Ab:c+d%25");
    assert!(!body.contains("client"));
}
