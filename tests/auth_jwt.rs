//! `auth/validator`: who shows a signed token comes in, backends are told who it is, and nobody else gets as far
//! as a backend. The issuer of each test is a server of its own, so keys change, fail and hang as it says.

use std::sync::{Arc, Mutex};

use hanzo_gateway::base::{Dialect, Report};
use hanzo_gateway::body::json as body;
use hanzo_gateway::compile::{Shared, compile};
use hanzo_gateway::config::{Format, LoadOptions, parse};
use hanzo_gateway::gateway::client_ip::ClientAddr;
use hanzo_gateway::gateway::head::BodySize;
use hanzo_gateway::gateway::headers::{Added, Fields, ForwardRules, StripSet, forward_headers};
use hanzo_gateway::gateway::plain::Plain;
use hanzo_gateway::identity::jose::{Algorithm, Signer};
use serde_json::{Value, json};

use crate::support::{Answer, Exchange, Gateway, Origin, PATIENCE, Setup, eventually};

/// Long after these tests.
const FAR: u64 = 4_102_444_800;

/// Keys by their names; each has a secret of its own.
fn jwk(kid: &str) -> Value {
    let secret: String = kid.chars().cycle().take(84).collect();
    json!({"kty": "oct", "kid": kid, "k": secret.replace(|c: char| !c.is_ascii_alphanumeric(), "A")})
}

fn set(kids: &[&str]) -> String {
    let keys: Vec<Value> = kids.iter().map(|kid| jwk(kid)).collect();
    json!({ "keys": keys }).to_string()
}

/// A token that names one key and was signed with another.
fn forged(kid: &str, signed_with: &str, claims: &Value) -> String {
    let object = |value: &Value| {
        let text = body::decode(value.to_string().as_bytes()).unwrap();
        text.into_object().unwrap()
    };
    let key = object(&jwk(signed_with));
    let signer = Signer::new(Algorithm::Hs256, &key, Dialect::Native).unwrap();
    let header = object(&json!({"typ": "JWT", "kid": kid}));
    let claims = claims.to_string();
    signer.sign_compact(&header, claims.as_bytes()).unwrap()
}

fn sign(kid: &str, claims: &Value) -> String {
    forged(kid, kid, claims)
}

/// Good claims with others on top.
fn claims(more: Value) -> Value {
    let mut claims = json!({
        "iss": "https://id.test", "aud": ["api"], "sub": "u1", "exp": FAR, "roles": ["admin"],
        "scope": "read write", "org": {"id": 7}, "list": ["a", "b"],
    });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn good() -> String {
    sign("k1", &claims(json!({})))
}

/// What an issuer does when it is asked for its keys.
#[derive(Clone)]
enum Does {
    Give(String),
    Fail,
    Hang,
}

struct Issuer {
    origin: Origin,
    does: Arc<Mutex<Does>>,
}

impl Issuer {
    fn new(does: Does) -> Self {
        let does = Arc::new(Mutex::new(does));
        let shown = Arc::clone(&does);
        let origin = Origin::serve(move |exchange| {
            let does = shown.lock().unwrap().clone();
            match does {
                Does::Give(keys) => exchange.json(&keys),
                Does::Fail => exchange.answer(500, &[], "no"),
                Does::Hang => exchange.stall(),
            }
        });
        Self { origin, does }
    }

    fn with(kids: &[&str]) -> Self {
        Self::new(Does::Give(set(kids)))
    }

    fn now(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    fn url(&self) -> String {
        format!("{}/keys", self.origin.url())
    }
}

/// The settings of a validator of this issuer with others on top.
fn validator(issuer: &Issuer, more: Value) -> Value {
    let mut settings = json!({
        "alg": "HS256", "jwk_url": issuer.url(), "disable_jwk_security": true,
        "issuer": "https://id.test", "audience": ["api"], "cookie_key": "tok",
        "propagate_claims": [["sub", "X-User-ID"], ["org.id", "X-Org-ID"], ["list", "X-List"], ["no", "X-No"]],
    });
    for (name, value) in more.as_object().unwrap() {
        settings[name] = value.clone();
    }
    json!({ "auth/validator": settings })
}

const INPUT: [&str; 7] = [
    "X-User-ID",
    "X-Org-ID",
    "X-List",
    "X-No",
    "x_user_id",
    "X_ORG-ID",
    "X-Other",
];

fn endpoint(path: &str, origin: &Origin, extra: &Value) -> Value {
    let encoding = if path.starts_with("/raw") {
        "no-op"
    } else {
        "json"
    };
    json!({
        "endpoint": path, "output_encoding": encoding, "input_headers": INPUT, "extra_config": extra,
        "backend": [{"url_pattern": path, "host": [origin.url()], "encoding": encoding}],
    })
}

/// `/raw` passes through, `/made` is composed; both want tokens. `/raw-public` and `/public` do not.
fn config(origin: &Origin, extra: &Value) -> Value {
    json!({"timeout": "5s", "endpoints": [
        endpoint("/raw", origin, extra),
        endpoint("/made", origin, extra),
        endpoint("/raw-public", origin, &json!({})),
        endpoint("/public", origin, &json!({})),
    ]})
}

fn app() -> Origin {
    Origin::json(r#"{"ok":true}"#)
}

fn ask(gateway: &Gateway, path: &str, fields: &[(&str, &str)]) -> Answer {
    gateway.client().request("GET", path, fields, "").answer()
}

fn show(gateway: &Gateway, path: &str, token: &str) -> Answer {
    ask(
        gateway,
        path,
        &[("Authorization", &format!("Bearer {token}"))],
    )
}

const PATHS: [&str; 2] = ["/raw", "/made"];

#[test]
fn who_shows_a_good_token_comes_in_and_backends_are_told_who_it_is() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let gateway = Gateway::native(config(&origin, &validator(&issuer, json!({}))));
    let token = good();
    let (scheme, lower) = (format!("Bearer {token}"), format!("bearer {token}"));
    let (cookie, quoted) = (format!("a=1; tok={token}"), format!("tok=\"{token}\""));
    for path in PATHS {
        for fields in [
            [("Authorization", &*scheme)],
            [("authorization", &*lower)],
            [("Authorization", &*token)],
            [("Cookie", &*cookie)],
            [("Cookie", &*quoted)],
        ] {
            let answer = ask(&gateway, path, &fields);
            assert_eq!(answer.status(), 200, "{path} {fields:?} {answer:?}");
            let seen = origin.requests().pop().unwrap();
            assert_eq!(seen.head.all("x-user-id"), ["u1"], "{seen:?}");
            assert_eq!(seen.head.all("x-org-id"), ["7"]);
            assert_eq!(seen.head.all("x-list"), ["a,b"]);
            assert_eq!(
                seen.head.all("x-no"),
                [""],
                "a claim that is missing is empty"
            );
            assert_eq!(seen.header("authorization"), None);
        }
    }
    let asked = issuer.origin.requests().len();
    assert_eq!(asked, 1, "both endpoints share one set of keys");
}

#[test]
fn lists_may_become_several_fields() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let more = json!({"propagate_claims_preserve_array": true});
    let gateway = Gateway::native(config(&origin, &validator(&issuer, more)));
    for path in PATHS {
        assert_eq!(show(&gateway, path, &good()).status(), 200);
        let seen = origin.requests().pop().unwrap();
        assert_eq!(seen.head.all("x-list"), ["a", "b"], "{seen:?}");
    }
}

/// Tokens that are no good, each with the reason that the log tells.
fn bad_tokens() -> Vec<(String, &'static str)> {
    let with = |more: Value| sign("k1", &claims(more));
    let mut tampered = good();
    let last = tampered.pop().unwrap();
    tampered.push(if last == 'A' { 'Q' } else { 'A' });
    vec![
        ("x".to_owned(), "token_malformed"),
        ("a.b.c".to_owned(), "token_malformed"),
        ("eyJhbGciOiJub25lIn0.e30.".to_owned(), "token_malformed"),
        ("eyJhbGciOiJub25lIn0.e30.AAAA".to_owned(), "token_malformed"),
        (
            "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIn0.e30.AAAA".to_owned(),
            "algorithm_mismatch",
        ),
        (sign("ghost", &claims(json!({}))), "key_unknown"),
        (
            forged("k1", "other", &claims(json!({}))),
            "signature_invalid",
        ),
        (tampered, "signature_invalid"),
        (with(json!({"exp": 1_000_000_000})), "token_expired"),
        (with(json!({"exp": null})), "expiry_missing"),
        (with(json!({"nbf": FAR - 1})), "token_not_yet_valid"),
        (with(json!({"iat": FAR - 1})), "token_not_yet_valid"),
        (with(json!({"iss": "https://evil.test"})), "issuer_mismatch"),
        (with(json!({"aud": "app"})), "audience_mismatch"),
        (with(json!({"aud": null})), "audience_mismatch"),
        (with(json!({"sub": "u1\r\nX-Admin: 1"})), "token_malformed"),
    ]
}

#[test]
fn a_bad_token_is_refused_with_a_challenge_and_no_detail() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let gateway = Gateway::native(config(&origin, &validator(&issuer, json!({}))));
    for (token, reason) in bad_tokens() {
        for path in PATHS {
            let answer = show(&gateway, path, &token);
            answer.assert_error(401, "unauthorized");
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, Some("Bearer error=\"invalid_token\""), "{token}");
            assert_eq!(answer.header("proxy-status"), None);
            assert!(!answer.text().contains(reason), "{}", answer.text());
        }
        let line = gateway.log_line(&format!("\"reason\":\"{reason}\""));
        assert!(line.contains("127.0.0.1"), "{line}");
        let counted = format!("refusals_total{{reason=\"{reason}\"}}");
        assert!(gateway.metrics().contains(&counted), "{reason}");
    }
    for fields in [
        &[][..],
        &[("Authorization", "Basic YTpi"), ("Cookie", "tok=x")],
        &[("Authorization", "Bearer")],
    ] {
        for path in PATHS {
            let answer = ask(&gateway, path, fields);
            answer.assert_error(401, "unauthorized");
            assert_eq!(
                answer.header("www-authenticate"),
                Some("Bearer"),
                "{fields:?}"
            );
        }
    }
    for (method, result) in [("jwt", "refused"), ("none", "refused")] {
        let series = format!("authentications_total{{method=\"{method}\",result=\"{result}\"}} ");
        let metrics = gateway.metrics();
        let line = metrics.lines().find(|line| line.contains(&series));
        assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
    }
    let token = good();
    let twice = [("Authorization", &*token), ("Authorization", &*token)];
    assert_eq!(ask(&gateway, "/raw", &twice).status(), 401);
    assert!(origin.requests().is_empty(), "no backend was asked");
}

#[test]
fn roles_and_scopes_are_asked_for_with_403() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    for (settings, good, bad) in [
        (
            json!({"roles": ["admin", "root"]}),
            json!({"roles": "x root"}),
            json!({"roles": ["dev", 5, null]}),
        ),
        (
            json!({"roles": ["admin"]}),
            json!({}),
            json!({"roles": null}),
        ),
        (
            json!({"roles": ["admin"], "roles_key": "realm.access.roles", "roles_key_is_nested": true}),
            json!({"realm": {"access": {"roles": ["admin"]}}}),
            json!({"realm": {"access": "roles"}}),
        ),
        (
            json!({"scopes": ["write", "none"], "scopes_key": "scope"}),
            json!({"scope": ["write"]}),
            json!({"scope": "read"}),
        ),
        (
            json!({"scopes": ["read", "write"], "scopes_key": "o.scope", "scopes_matcher": "all"}),
            json!({"o": {"scope": "write read"}}),
            json!({"o": {"scope": "write"}}),
        ),
    ] {
        let gateway = Gateway::native(config(&origin, &validator(&issuer, settings.clone())));
        for path in PATHS {
            let token = sign("k1", &claims(good.clone()));
            assert_eq!(
                show(&gateway, path, &token).status(),
                200,
                "{settings} {good}"
            );
            let token = sign("k1", &claims(bad.clone()));
            for _ in 0..2 {
                let answer = show(&gateway, path, &token);
                answer.assert_error(403, "forbidden");
                assert_eq!(answer.header("www-authenticate"), None);
            }
        }
    }
}

#[test]
fn in_krakends_dialect_refusals_are_bare() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let more = json!({"roles": ["admin"], "operation_debug": true});
    let gateway = Gateway::krakend(config(&origin, &validator(&issuer, more)));
    let poor = sign("k1", &claims(json!({"roles": []})));
    let soon = sign("k1", &claims(json!({"exp": null})));
    for path in PATHS {
        assert_eq!(
            show(&gateway, path, &soon).status(),
            200,
            "exp may be missing"
        );
        for (token, status) in [("a.b.c", 401), ("", 401), (&poor, 403)] {
            let answer = show(&gateway, path, token);
            assert_eq!((answer.status(), answer.text().as_str()), (status, ""));
            for name in [
                "x-krakend",
                "x-krakend-completed",
                "content-type",
                "www-authenticate",
            ] {
                assert_eq!(answer.header(name), None, "{answer:?}");
            }
        }
    }
    let label = |path: &str| format!("[ENDPOINT: {path}][JWTValidator]");
    gateway.log_line(&format!("{} Unable to validate the token", label("/raw")));
    gateway.log_line(&format!(
        "{} Token sent by client does not have sufficient roles",
        label("/made")
    ));
}

#[test]
fn nobody_says_who_they_are_by_themselves() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let gateway = Gateway::native(config(&origin, &validator(&issuer, json!({}))));
    let bearer = format!("Bearer {}", good());
    let spoofed = [
        ("X-User-ID", "admin"),
        ("x_user_id", "admin"),
        ("X-USER-ID", "admin"),
        ("x-user_ID", "admin"),
        ("X_Org_Id", "admin"),
        ("x-org-id", "admin"),
        ("X-No", "admin"),
        ("X-List", "admin"),
        ("X-Other", "kept"),
    ];
    let mut with_token = vec![("Authorization", &*bearer)];
    with_token.extend(spoofed);
    for (path, fields) in [
        ("/raw", &with_token[..]),
        ("/made", &with_token),
        ("/raw-public", &spoofed),
        ("/public", &spoofed),
    ] {
        let answer = ask(&gateway, path, fields);
        assert_eq!(answer.status(), 200, "{path}: {answer:?}");
        let seen = origin.requests().pop().unwrap();
        let raw = String::from_utf8_lossy(&seen.raw).into_owned();
        assert!(!raw.contains("admin"), "{path}: {raw}");
        assert_eq!(seen.header("x-other"), Some("kept"), "{raw}");
        let told = if path.contains("public") {
            &[][..]
        } else {
            &["u1"]
        };
        assert_eq!(seen.head.all("x-user-id"), told, "{raw}");
    }
}

#[test]
fn a_new_key_counts_at_once_and_an_old_one_no_longer() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let gateway = Gateway::native(config(&origin, &validator(&issuer, json!({}))));
    let (old, new) = (good(), sign("k2", &claims(json!({}))));
    assert_eq!(show(&gateway, "/raw", &old).status(), 200);
    assert_eq!(show(&gateway, "/raw", &old).status(), 200);
    issuer.now(Does::Give(set(&["k2"])));
    assert_eq!(show(&gateway, "/raw", &new).status(), 200, "fetched for it");
    assert_eq!(show(&gateway, "/made", &new).status(), 200);
    assert_eq!(
        show(&gateway, "/raw", &old).status(),
        401,
        "remembered no longer"
    );
    assert_eq!(issuer.origin.requests().len(), 2);
}

#[test]
fn unknown_keys_make_nobody_ask_the_issuer_again_and_again() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let gateway = Gateway::native(config(&origin, &validator(&issuer, json!({}))));
    for number in 0..20 {
        let token = sign(&format!("ghost{number}"), &claims(json!({})));
        assert_eq!(show(&gateway, "/raw", &token).status(), 401);
    }
    assert_eq!(show(&gateway, "/raw", &good()).status(), 200);
    assert_eq!(
        issuer.origin.requests().len(),
        2,
        "the start, and one in ten seconds"
    );
}

#[test]
fn without_keys_the_gateway_says_that_it_is_its_own_outage_until_they_come() {
    let (issuer, origin) = (Issuer::new(Does::Fail), app());
    let gateway = Gateway::native(config(&origin, &validator(&issuer, json!({}))));
    let answer = show(&gateway, "/raw", &good());
    answer.assert_error(503, "service_unavailable");
    assert!(answer.header("retry-after").is_some());
    gateway.log_line("jwks_unavailable");
    assert_eq!(
        ask(&gateway, "/raw", &[]).status(),
        401,
        "nothing to verify"
    );
    issuer.now(Does::Give(set(&["k1"])));
    eventually("the keys", || {
        (show(&gateway, "/raw", &good()).status() == 200).then_some(())
    });
}

#[test]
fn in_krakends_dialect_missing_keys_are_a_wrong_token() {
    let (issuer, origin) = (Issuer::new(Does::Fail), app());
    let gateway = Gateway::krakend(config(&origin, &validator(&issuer, json!({}))));
    let answer = show(&gateway, "/raw", &good());
    assert_eq!((answer.status(), answer.text().as_str()), (401, ""));
}

#[test]
fn who_is_known_does_not_wait_for_an_issuer_that_hangs() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let gateway = Gateway::native(config(&origin, &validator(&issuer, json!({}))));
    assert_eq!(show(&gateway, "/raw", &good()).status(), 200);
    issuer.now(Does::Hang);
    let ghost = format!("Bearer {}", sign("ghost", &claims(json!({}))));
    let mut waiting = gateway.client();
    waiting.request("GET", "/raw", &[("Authorization", &ghost)], "");
    issuer.origin.wait_for(2);
    // Neither a token that is remembered nor a new one of a known key.
    let other = sign("k1", &claims(json!({"sub": "u2"})));
    for token in [good(), other] {
        for path in PATHS {
            assert_eq!(show(&gateway, path, &token).status(), 200);
        }
    }
    waiting.answer().assert_error(401, "unauthorized");
}

#[test]
fn a_reload_keeps_keys_and_known_tokens() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let mut config = config(&origin, &validator(&issuer, json!({})));
    let gateway = Gateway::native(config.clone());
    assert_eq!(show(&gateway, "/raw", &good()).status(), 200);
    issuer.now(Does::Fail);
    let more = validator(&issuer, json!({"roles": ["admin"]}));
    let list = config["endpoints"].as_array_mut().unwrap();
    list.push(endpoint("/raw-new", &origin, &more));
    reload(&gateway, config);
    eventually("the new endpoint", || {
        let answer = show(&gateway, "/raw-new", &good());
        assert_ne!(answer.status(), 503);
        (answer.status() == 200).then_some(())
    });
    let other = sign("k1", &claims(json!({"sub": "u2"})));
    assert_eq!(show(&gateway, "/made", &other).status(), 200);
    assert_eq!(
        issuer.origin.requests().len(),
        1,
        "nothing was fetched again"
    );
}

fn reload(gateway: &Gateway, mut config: Value) {
    config["version"] = json!(3);
    config["port"] = json!(gateway.port());
    let file = gateway.folder().join("gateway.json");
    std::fs::write(file, config.to_string()).unwrap();
    gateway.signal("HUP");
}

#[test]
fn keys_of_a_file_are_read_again_by_a_reload() {
    let origin = app();
    let settings = json!({"auth/validator": {"alg": "HS256", "jwk_local_path": "keys.json"}});
    let setup = || Gateway::setup().file("keys.json", &set(&["k1"]));
    let gateway = setup().native(config(&origin, &settings));
    let new = sign("k2", &claims(json!({})));
    assert_eq!(show(&gateway, "/raw", &good()).status(), 200);
    assert_eq!(show(&gateway, "/raw", &new).status(), 401);
    std::fs::write(gateway.folder().join("keys.json"), set(&["k2"])).unwrap();
    gateway.signal("HUP");
    eventually("the new key", || {
        (show(&gateway, "/raw", &new).status() == 200).then_some(())
    });
    assert_eq!(show(&gateway, "/raw", &good()).status(), 401);
    // In KrakenD a file needs disable_jwk_security all the same.
    let gateway = setup().krakend(config(&origin, &settings));
    assert_eq!(show(&gateway, "/raw", &good()).status(), 401);
}

#[test]
fn claims_stand_in_the_addresses_of_backends() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let extra = validator(&issuer, json!({}));
    let mut config = config(&origin, &extra);
    for index in 0..2 {
        config["endpoints"][index]["backend"][0]["url_pattern"] =
            json!("/u/{JWT.sub}/{JWT.n}?l={JWT.list}");
    }
    let token = sign("k1", &claims(json!({"n": 5})));
    for gateway in [Gateway::native(config.clone()), Gateway::krakend(config)] {
        for path in PATHS {
            assert_eq!(show(&gateway, path, &token).status(), 200);
            let seen = origin.requests().pop().unwrap();
            assert_eq!(seen.target(), "/u/u1/5?l=a,b", "{path}");
        }
    }
}

#[test]
fn a_claim_leads_to_no_other_resource() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let mut config = config(&origin, &validator(&issuer, json!({})));
    for index in 0..2 {
        let backend = &mut config["endpoints"][index]["backend"][0];
        backend["url_pattern"] = json!("/u/{JWT.name}/x?l={JWT.last}");
    }
    let gateway = Gateway::native(config);
    for (name, last) in [
        ("..", "a"),
        ("a/../../admin", "a"),
        ("a?admin=1", "a"),
        ("a#", "a"),
        ("%2e%2e", "a"),
        ("a", "b&admin=1"),
    ] {
        let token = sign("k1", &claims(json!({"name": name, "last": last})));
        for path in PATHS {
            show(&gateway, path, &token).assert_error(502, "bad_gateway");
        }
    }
    assert!(origin.requests().is_empty());
    let token = sign("k1", &claims(json!({"name": "R&D|ü", "last": "o'b"})));
    for path in PATHS {
        assert_eq!(show(&gateway, path, &token).status(), 200);
        let seen = origin.requests().pop().unwrap();
        assert_eq!(seen.target(), "/u/R&D%7C%C3%BC/x?l=o'b");
    }
}

#[test]
fn an_endpoint_that_is_open_to_others_may_have_a_lock_of_its_own() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let mut config = config(&origin, &validator(&issuer, json!({})));
    config["extra_config"]["hanzo/auth"] = json!({
        "jwt": {"alg": "HS256", "jwk_url": issuer.url(), "disable_jwk_security": true},
        "public": PATHS,
    });
    for gateway in [Gateway::native(config.clone()), Gateway::krakend(config)] {
        for path in PATHS {
            assert_eq!(ask(&gateway, path, &[("X-User-ID", "admin")]).status(), 401);
            assert_eq!(show(&gateway, path, &good()).status(), 200);
            let seen = origin.requests().pop().unwrap();
            assert_eq!(seen.head.all("x-user-id"), ["u1"], "{seen:?}");
        }
    }
}

#[test]
fn limits_may_go_by_what_callers_proved() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let mut extra = validator(&issuer, json!({}));
    extra["qos/ratelimit/router"] = json!({
        "client_max_rate": 1, "client_capacity": 1, "every": "1h", "strategy": "header", "key": "X-User-Id",
    });
    let gateway = Gateway::native(config(&origin, &extra));
    let bearer = |user: &str| format!("Bearer {}", sign("k1", &claims(json!({"sub": user}))));
    for (user, says, status) in [("u1", "u1", 200), ("u1", "u9", 429), ("u2", "u1", 200)] {
        let fields = [("Authorization", &*bearer(user)), ("X-User-Id", says)];
        let answer = ask(&gateway, "/raw", &fields);
        assert_eq!(answer.status(), status, "{user} says {says}: {answer:?}");
    }
    // Who is refused spends nobody's quota.
    for _ in 0..3 {
        let fields = [("Authorization", "Bearer x"), ("X-User-Id", "u3")];
        assert_eq!(ask(&gateway, "/raw", &fields).status(), 401);
    }
    let fields = [("Authorization", &*bearer("u3"))];
    assert_eq!(ask(&gateway, "/raw", &fields).status(), 200);
}

#[test]
fn over_http2_it_is_the_same() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let mut config = config(&origin, &validator(&issuer, json!({})));
    config["use_h2c"] = json!(true);
    let gateway = Gateway::native(config);
    let bearer = format!("Bearer {}", good());
    let (first, second) = ("a=1", format!("tok={}", good()));
    for path in PATHS {
        assert_eq!(over_http2(&gateway, path, &[]), 401);
        assert_eq!(
            over_http2(&gateway, path, &[("authorization", "Bearer a.b.c")]),
            401
        );
        for fields in [
            &[
                ("authorization", &*bearer),
                ("x-user-id", "admin"),
                ("x_user_id", "admin"),
            ][..],
            // A cookie may come in pieces.
            &[("cookie", first), ("cookie", &second)],
        ] {
            assert_eq!(over_http2(&gateway, path, fields), 200, "{path} {fields:?}");
            let seen = origin.requests().pop().unwrap();
            assert_eq!(seen.head.all("x-user-id"), ["u1"], "{seen:?}");
            assert!(!String::from_utf8_lossy(&seen.raw).contains("admin"));
        }
    }
}

/// The status of one `GET` on a connection of its own.
fn over_http2(gateway: &Gateway, path: &str, fields: &[(&str, &str)]) -> u16 {
    let mut request = http::Request::get(gateway.url(path));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let port = gateway.port();
    let asked = async move {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
        let (sender, connection) = h2::client::handshake(stream.unwrap()).await.unwrap();
        tokio::spawn(connection);
        let mut sender = sender.ready().await.unwrap();
        let (answer, _) = sender.send_request(request, true).unwrap();
        answer.await.unwrap().status().as_u16()
    };
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
    answer.expect("it answers in time")
}

#[test]
fn expressions_on_claims_have_a_say_each_time() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let mut extra = validator(&issuer, json!({}));
    extra["validation/cel"] = json!([{"check_expr": "JWT.sub == 'u1' && size(JWT.roles) > 0"}]);
    let other = sign("k1", &claims(json!({"sub": "u2"})));
    let gateway = Gateway::native(config(&origin, &extra));
    for path in PATHS {
        for _ in 0..2 {
            assert_eq!(show(&gateway, path, &good()).status(), 200);
            show(&gateway, path, &other).assert_error(401, "unauthorized");
        }
    }
    gateway.log_line("claims_refused");
    let gateway = Gateway::krakend(config(&origin, &extra));
    let answer = show(&gateway, "/made", &other);
    assert_eq!((answer.status(), answer.text().as_str()), (401, ""));
}

#[test]
fn scripts_see_who_calls_and_not_who_they_say_they_are() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let plain = "local c = ctx.load(); c:headers('X-Other', 'it is ' .. c:headers('X-User-Id'))";
    // A script that reads the body sees a request that was read before anybody proved anything.
    let reading = format!("{plain} c:body(c:body())");
    for script in [plain, &reading] {
        let mut extra = validator(&issuer, json!({}));
        extra["modifier/lua-endpoint"] = json!({ "pre": script });
        let mut config = config(&origin, &extra);
        config["endpoints"][2]["extra_config"]["modifier/lua-endpoint"] = json!({ "pre": script });
        let gateway = Gateway::native(config);
        let bearer = format!("Bearer {}", good());
        for (path, sees, told) in [
            ("/raw", "it is u1", &["u1"][..]),
            ("/made", "it is u1", &["u1"]),
            ("/raw-public", "it is ", &[]),
        ] {
            let fields = [
                ("Authorization", &*bearer),
                ("X-User-ID", "admin"),
                ("x_user_id", "admin"),
            ];
            assert_eq!(ask(&gateway, path, &fields).status(), 200);
            let seen = origin.requests().pop().unwrap();
            let other = seen.header("x-other").unwrap_or_default();
            assert_eq!(other.trim(), sees.trim(), "{seen:?}");
            assert_eq!(seen.head.all("x-user-id"), told, "{seen:?}");
        }
    }
}

#[test]
fn a_switch_of_protocols_is_for_those_who_show_a_token_too() {
    let issuer = Issuer::with(&["k1"]);
    let origin = Origin::serve(|exchange: &mut Exchange| {
        exchange.raw(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        exchange.stall();
    });
    let gateway = Gateway::native(config(&origin, &validator(&issuer, json!({}))));
    let bearer = format!("Bearer {}", good());
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let ask = |more: &[(&str, &str)]| {
        let fields = [&upgrade[..], more].concat();
        let mut client = gateway.client();
        client.request("GET", "/raw", &fields, "");
        client.any_head().word(1).to_owned()
    };
    assert_eq!(ask(&[]), "401");
    assert_eq!(ask(&[("Authorization", "Bearer a.b.c")]), "401");
    assert!(origin.requests().is_empty());
    assert_eq!(
        ask(&[("Authorization", &bearer), ("X-User-ID", "admin")]),
        "101"
    );
    let seen = origin.requests().pop().unwrap();
    assert_eq!(seen.head.all("x-user-id"), ["u1"], "{seen:?}");
}

#[test]
fn settings_that_cannot_work_refuse_the_start_and_let_nobody_in_where_krakend_does() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let refused = |setup: Setup, more: Value, words: &[&str]| {
        let output = setup.refused(config(&origin, &validator(&issuer, more)));
        for word in words {
            assert!(output.stderr.contains(word), "{word}: {}", output.stderr);
        }
    };
    let insecure = json!({"disable_jwk_security": false});
    let place = "/endpoints/0/extra_config/auth~1validator/";
    refused(
        Gateway::setup(),
        insecure.clone(),
        &["jwk_url", "disable_jwk_security"],
    );
    for more in [
        json!({"alg": "FOO"}),
        json!({"jwk_fingerprints": ["short"]}),
        json!({"jwk_local_ca": "no-such.pem"}),
        json!({"jwk_local_path": "no-such.json"}),
    ] {
        let key = more.as_object().unwrap().keys().next().unwrap().clone();
        refused(Gateway::setup(), more.clone(), &[&key]);
        let krakend = Gateway::setup().argument("--compat").argument("krakend");
        refused(krakend, more, &[&key]);
    }
    let checked = Gateway::setup().command(
        &["check"],
        config(&origin, &validator(&issuer, json!({"alg": "FOO"}))),
    );
    assert_eq!(checked.code, Some(1));
    let told = checked.stdout + &checked.stderr;
    assert!(
        told.contains(&format!("{place}alg")) || told.contains("auth/validator"),
        "{told}"
    );
    let gateway = Gateway::krakend(config(&origin, &validator(&issuer, insecure)));
    for path in PATHS {
        let answer = show(&gateway, path, &good());
        assert_eq!((answer.status(), answer.text().as_str()), (401, ""));
    }
    assert!(origin.requests().is_empty());
}

#[test]
fn no_part_of_a_token_is_written_anywhere() {
    let (issuer, origin) = (Issuer::with(&["k1"]), app());
    let mut config = config(
        &origin,
        &validator(&issuer, json!({"operation_debug": true})),
    );
    config["extra_config"] = json!({"telemetry/logging": {"level": "DEBUG", "stdout": true}});
    for gateway in [Gateway::native(config.clone()), Gateway::krakend(config)] {
        let mut shown = vec![good()];
        shown.extend(bad_tokens().into_iter().map(|(token, _)| token));
        let mut text = String::new();
        for token in &shown {
            for path in PATHS {
                text += &show(&gateway, path, token).text();
                text += &ask(&gateway, path, &[("Cookie", &format!("tok={token}"))]).text();
            }
        }
        text += &gateway.metrics();
        text += &gateway.internal("/__stats").text();
        let output = gateway.stop();
        text = text + &output.stdout + &output.stderr;
        for part in shown.iter().flat_map(|token| token.split('.')) {
            assert!(part.len() < 12 || !text.contains(part), "{part}");
        }
        let secret = jwk("k1")["k"].as_str().unwrap().to_owned();
        assert!(!text.contains(&secret));
    }
}

/// Every field of claims, keys and answers that a file names.
fn minted(value: &Value, found: &mut Vec<String>) {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(object) = value.as_object() {
        let pairs = object.get("propagate_claims").and_then(Value::as_array);
        found.extend(
            pairs
                .into_iter()
                .flatten()
                .filter_map(|pair| text(&pair[1])),
        );
        let claims = object.get("claims").and_then(Value::as_object);
        found.extend(
            claims
                .into_iter()
                .flatten()
                .filter_map(|(_, name)| text(name)),
        );
        found.extend(object.get("propagate_role").and_then(text));
        object.values().for_each(|value| minted(value, found));
    }
    let items = value.as_array().into_iter().flatten();
    items.for_each(|value| minted(value, found));
}

#[test]
fn whatever_a_shipped_file_mints_is_stripped_in_every_spelling() {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut flip = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random & 1 == 0
    };
    for name in ["minimal.json", "hanzo/gateway.json", "lux/gateway.json"] {
        let path = format!("{}/conf/{name}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap();
        let mut report = Report::default();
        let options = LoadOptions::default();
        let document = parse(&path, &text, Format::Json, &options, &mut report).unwrap();
        let shared = Shared::new(1).unwrap();
        let compiled = compile(&document, Dialect::Native, &shared, &mut report);
        let gateway = compiled
            .unwrap_or_else(|| panic!("{name}: {:?}", report.problems))
            .gateway;
        let mut names: Vec<String> = ["X-User-ID", "X-Org-ID", "X-Scopes"]
            .map(str::to_owned)
            .into();
        minted(&serde_json::from_str(&text).unwrap(), &mut names);
        for own in names {
            for _ in 0..100 {
                let spelled: String = own
                    .chars()
                    .map(|c| match c {
                        '-' | '_' if flip() => '_',
                        '-' | '_' => '-',
                        c if flip() => c.to_ascii_uppercase(),
                        c => c.to_ascii_lowercase(),
                    })
                    .collect();
                assert!(
                    gateway.service.strip.contains(&spelled),
                    "{name}: {spelled}"
                );
                let spelled = [(spelled.as_str(), "admin")];
                assert!(
                    !passes(&gateway.service.strip, &spelled),
                    "{name}: {spelled:?}"
                );
            }
        }
    }
}

/// Whether a backend of an endpoint that lets every field pass gets one of these.
fn passes(strip: &Arc<StripSet>, fields: &[(&str, &str)]) -> bool {
    let every = ["*".to_owned()];
    let rules = ForwardRules::compile(Dialect::Native, &every, &[], Arc::clone(strip), false);
    let all = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
    let head = Plain {
        method: http::Method::GET,
        path: b"/".to_vec(),
        query: None,
        host: b"gw".to_vec(),
        fields: all.collect(),
        peer: [127, 0, 0, 1].into(),
        secure: false,
        version: "1.1",
        body: BodySize::None,
    };
    let client = ClientAddr {
        ip: [127, 0, 0, 1].into(),
        peer: [127, 0, 0, 1].into(),
        trusted: false,
    };
    let mut out = Fields::new();
    forward_headers(&rules, &head, &client, Added::default(), &mut out);
    out.iter().any(|(_, value)| value == "admin")
}
