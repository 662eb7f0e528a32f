//! Answers of which parts become signed tokens, and what becomes of such a token later.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Origin, eventually, ports};

/// A set with one symmetric key.
const SET: &str = r#"{"keys":[{"kty":"oct","kid":"k","alg":"HS256","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldC1zZWNyZXQ"}]}"#;
/// What a service that knows its users answers to a login.
const LOGIN: &str =
    r#"{"access":{"sub":"u1","jti":"one","exp":4102444800},"other":{"x":1.0},"plain":"text"}"#;

fn keys() -> Origin {
    Origin::json(SET)
}

fn signer(keys: &Origin) -> Value {
    json!({"alg": "HS256", "kid": "k", "keys_to_sign": ["access", "refresh"], "jwk_url": keys.url(), "disable_jwk_security": true})
}

fn backend(origin: &Origin) -> Value {
    json!({"url_pattern": "/", "host": [origin.url()]})
}

fn login(signer: &Value, backends: &[Value]) -> Value {
    json!({"endpoint": "/login", "timeout": "5s", "cache_ttl": "60s", "backend": backends,
        "extra_config": {"auth/signer": signer}})
}

/// The token in an answer.
fn token(answer: &Answer) -> String {
    let json = answer.json();
    assert_eq!(
        (&json["other"], &json["plain"]),
        (&json!({"x": 1.0}), &json!("text")),
        "{answer:?}"
    );
    json["access"].as_str().unwrap().to_owned()
}

#[test]
fn a_token_that_was_signed_here_opens_an_endpoint_until_it_is_revoked() {
    let (keys, origin) = (keys(), Origin::json(LOGIN));
    let config = json!({
        "extra_config": {"auth/revoker": {"N": 1000, "P": 0.0001, "hash_name": "optimal", "TTL": 3600,
            "token_keys": ["jti"], "port": ports::free(), "socket": "revoker.sock"}},
        "endpoints": [login(&signer(&keys), &[backend(&origin)]),
            {"endpoint": "/in", "backend": [backend(&origin)], "extra_config": {"auth/validator":
                {"alg": "HS256", "jwk_url": keys.url(), "disable_jwk_security": true, "cache": true}}}]});
    for gateway in [
        Gateway::native(config.clone()),
        Gateway::krakend(config.clone()),
    ] {
        let token = token(&gateway.get("/login"));
        let enter = || {
            let bearer = format!("Bearer {token}");
            let fields = [("Authorization", bearer.as_str())];
            gateway
                .client()
                .request("GET", "/in", &fields, "")
                .answer()
                .status()
        };
        for _ in 0..3 {
            assert_eq!(enter(), 200);
        }
        let path = gateway.folder().join("revoker.sock");
        let socket = eventually("the socket", || UnixStream::connect(&path).ok());
        let mut socket = BufReader::new(socket);
        socket.get_mut().write_all(b"add jti-one\n").unwrap();
        let mut said = String::new();
        socket.read_line(&mut said).unwrap();
        // It was remembered as a good one.
        assert_eq!((said.as_str(), enter()), ("ok\n", 401));
        assert_eq!(gateway.get("/in").status(), 401);
    }
}

#[test]
fn native_answers_keep_their_fields_and_encodings_and_krakends_do_not() {
    let (keys, origin) = (keys(), Origin::json(LOGIN));
    let mut xml = login(&signer(&keys), &[backend(&origin)]);
    xml["endpoint"] = json!("/xml");
    xml["output_encoding"] = json!("xml");
    let config = json!({"endpoints": [login(&signer(&keys), &[backend(&origin)]), xml]});
    let native = Gateway::native(config.clone()).get("/login");
    assert_eq!(native.header("x-krakend-completed"), Some("true"));
    assert_eq!(native.header("cache-control"), Some("public, max-age=60"));
    assert!(native.header("x-request-id").is_some());
    let gateway = Gateway::krakend(config.clone());
    let krakend = gateway.get("/login");
    assert_eq!(token(&native), token(&krakend));
    for name in [
        "x-krakend",
        "x-krakend-completed",
        "cache-control",
        "x-request-id",
    ] {
        assert_eq!(krakend.header(name), None, "{name}");
    }
    assert_eq!(
        krakend.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    assert!(gateway.get("/xml").text().starts_with('{'));
    assert!(
        Gateway::native(config)
            .get("/xml")
            .text()
            .contains("<access>ey")
    );
}

#[test]
fn an_answer_of_which_parts_failed_is_not_signed() {
    let (keys, origin) = (keys(), Origin::json(LOGIN));
    let failing = Origin::serve(|exchange| exchange.answer(500, &[], "no"));
    for backends in [
        vec![backend(&origin), backend(&failing)],
        vec![backend(&failing)],
    ] {
        let config = json!({"endpoints": [login(&signer(&keys), &backends)]});
        Gateway::native(config.clone())
            .get("/login")
            .assert_error(502, "bad_gateway");
        let answer = Gateway::krakend(config).get("/login");
        assert_eq!((answer.status(), answer.text().as_str()), (400, ""));
        assert_eq!(
            (
                answer.header("x-krakend"),
                answer.header("x-krakend-completed")
            ),
            (None, None)
        );
    }
}

#[test]
fn without_a_key_nothing_is_asked_until_there_is_one() {
    let there = Arc::new(AtomicBool::new(false));
    let opens = Arc::clone(&there);
    let keys = Origin::serve(move |exchange| match opens.load(Ordering::SeqCst) {
        true => exchange.json(SET),
        false => exchange.answer(503, &[], ""),
    });
    let origin = Origin::json(LOGIN);
    let config = json!({"endpoints": [login(&signer(&keys), &[backend(&origin)])]});
    let (native, krakend) = (Gateway::native(config.clone()), Gateway::krakend(config));
    native
        .get("/login")
        .assert_error(503, "service_unavailable");
    native.log_line("signing_key_unavailable");
    let refused = krakend.get("/login");
    assert_eq!((refused.status(), refused.text().as_str()), (401, ""));
    assert!(origin.requests().is_empty());
    there.store(true, Ordering::SeqCst);
    eventually("the key", || {
        (native.get("/login").status() == 200).then_some(())
    });
    // KrakenD asks once.
    assert_eq!(krakend.get("/login").status(), 401);
}

#[test]
fn limits_hold_at_a_signers_endpoint_in_native_and_not_in_krakend() {
    let (keys, origin) = (keys(), Origin::json(LOGIN));
    let mut endpoint = login(&signer(&keys), &[backend(&origin)]);
    endpoint["extra_config"]["qos/ratelimit/router"] =
        json!({"max_rate": 1, "capacity": 1, "every": "1h"});
    let config = json!({"endpoints": [endpoint]});
    let statuses = |gateway: Gateway| {
        [
            gateway.get("/login").status(),
            gateway.get("/login").status(),
        ]
    };
    assert_eq!(statuses(Gateway::native(config.clone())), [200, 429]);
    assert_eq!(statuses(Gateway::krakend(config)), [200, 200]);
}

#[test]
fn what_passes_as_it_is_cannot_be_signed() {
    let (keys, origin) = (keys(), Origin::json(LOGIN));
    let mut endpoint = login(&signer(&keys), &[backend(&origin)]);
    endpoint["output_encoding"] = json!("no-op");
    let output = Gateway::refused(json!({"endpoints": [endpoint]}));
    assert!(format!("{}{}", output.stderr, output.stdout).contains("output_encoding"));
}
