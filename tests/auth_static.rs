//! Keys and passwords that stand in the file: `auth/api-keys` and `auth/basic`, streamed and composed.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Origin, eventually};

const KEY_A: &str = "4d2c61e1-34c4-e96c-9456-15bd983c5019";
const KEY_B: &str = "58427514-be32-0b52-b7c6-d01fada30497";

/// One endpoint of each kind with these settings.
fn endpoints(name: &str, extra: &Value, more: &Value, origin: &Origin) -> Vec<Value> {
    let kinds = [("no-op", "stream"), ("json", "made")];
    let all = kinds.into_iter().map(|(encoding, kind)| {
        let mut endpoint = json!({
            "endpoint": format!("/{kind}/{name}"), "output_encoding": encoding, "extra_config": extra,
            "backend": [{"url_pattern": format!("/{name}"), "host": [origin.url()], "encoding": encoding}],
        });
        let members = more.as_object().cloned().unwrap_or_default();
        endpoint.as_object_mut().unwrap().extend(members);
        endpoint
    });
    all.collect()
}

fn ask(gateway: &Gateway, target: &str, fields: &[(&str, &str)]) -> Answer {
    gateway.client().request("GET", target, fields, "").answer()
}

fn keyed(service: Value, origin: &Origin) -> Value {
    let own = |roles: Value| json!({"auth/api-keys": {"roles": roles}});
    let everything = json!({"input_headers": ["*"], "input_query_strings": ["*"]});
    let query = json!({"auth/api-keys": {"roles": ["a", "b"], "strategy": "query_string"}});
    let all = [
        endpoints("a", &own(json!(["a"])), &everything, origin),
        endpoints("both", &own(json!(["b", "a"])), &json!({}), origin),
        endpoints("query", &query, &everything, origin),
        endpoints("open", &json!({}), &everything, origin),
    ];
    json!({"extra_config": {"auth/api-keys": service}, "endpoints": all.concat()})
}

fn two_keys() -> Value {
    json!({
        "propagate_role": "X-Role",
        "keys": [{"key": KEY_A, "roles": ["a"], "@note": "ann"}, {"key": KEY_B, "roles": ["b"]}],
    })
}

#[test]
fn only_endpoints_that_ask_for_a_key_are_locked() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(keyed(two_keys(), &origin));
    let (a, b) = (format!("Bearer {KEY_A}"), format!("bearer {KEY_B}"));
    for (name, key, status) in [
        ("open", None, 200),
        ("a", None, 401),
        ("a", Some(a.as_str()), 200),
        ("a", Some(b.as_str()), 403),
        ("a", Some("Bearer 4d2c61e1"), 401),
        ("a", Some(KEY_A), 401),
        ("both", Some(a.as_str()), 200),
        ("both", Some(b.as_str()), 200),
    ] {
        for kind in ["stream", "made"] {
            let fields: Vec<_> = key.map(|key| ("Authorization", key)).into_iter().collect();
            let answer = ask(&gateway, &format!("/{kind}/{name}"), &fields);
            assert_eq!(answer.status(), status, "{kind} {name} {key:?}: {answer:?}");
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge.is_some(), status == 401, "{answer:?}");
        }
    }
    let metrics = gateway.metrics();
    for reason in ["credentials_missing", "api_key_invalid", "roles_missing"] {
        let series = format!("refusals_total{{reason=\"{reason}\"}}");
        assert!(metrics.contains(&series), "{reason}");
    }
    let warning = gateway.log_line("api_key_invalid");
    assert!(warning.contains("127.0.0.1"), "{warning}");
}

#[test]
fn backends_are_told_the_role_and_never_what_a_client_says_of_it() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(keyed(two_keys(), &origin));
    let key = format!("Bearer {KEY_A}");
    let lies = [("X-Role", "root"), ("x_role", "root"), ("X-ROLE", "admin")];
    for (target, role) in [("both", Some("a")), ("a", Some("a")), ("open", None)] {
        for kind in ["stream", "made"] {
            let mut fields = vec![("Authorization", key.as_str())];
            fields.extend(lies);
            let before = origin.requests().len();
            assert_eq!(
                ask(&gateway, &format!("/{kind}/{target}"), &fields).status(),
                200
            );
            let seen = &origin.requests()[before];
            let roles: Vec<_> = role.into_iter().collect();
            assert_eq!(seen.head.all("x-role"), roles, "{kind} {target}");
            assert_eq!(seen.header("x_role"), None, "{kind} {target}");
        }
    }
}

#[test]
fn a_key_of_the_query_goes_nowhere_else() {
    let origin = Origin::json("{}");
    let mut config = keyed(two_keys(), &origin);
    config["extra_config"]["telemetry/logging"] = json!({"level": "DEBUG", "stdout": true});
    let gateway = Gateway::native(config);
    for kind in ["stream", "made"] {
        let target = format!("/{kind}/query?z=1&%6Bey={KEY_A}&a=2");
        assert_eq!(ask(&gateway, &target, &[]).status(), 200);
        assert_eq!(
            ask(&gateway, &format!("/{kind}/query?key=no-such-key"), &[]).status(),
            401
        );
        assert_eq!(ask(&gateway, &format!("/{kind}/query"), &[]).status(), 401);
    }
    for request in origin.requests() {
        assert_eq!(request.target(), "/query?a=2&z=1");
    }
    assert_eq!(origin.requests().len(), 2);
    let output = gateway.stop();
    for text in [&output.stdout, &output.stderr] {
        assert!(
            !text.contains(KEY_A) && !text.contains("no-such-key"),
            "{text}"
        );
    }
}

#[test]
fn keys_may_be_hashed_in_the_file() {
    let origin = Origin::json("{}");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"pepperopen sesame");
    let written: String = digest.as_ref().iter().map(|b| format!("{b:02X}")).collect();
    let service =
        json!({"hash": "sha256", "salt": "pepper", "keys": [{"key": written, "roles": ["a"]}]});
    let gateway = Gateway::native(keyed(service, &origin));
    for (key, status) in [
        ("open sesame", 200),
        ("Open sesame", 401),
        (written.as_str(), 401),
    ] {
        let shown = format!("Bearer {key}");
        let answer = ask(&gateway, "/made/a", &[("Authorization", &shown)]);
        assert_eq!(answer.status(), status, "{key}");
    }
}

#[test]
fn each_key_has_a_rate_of_its_own_at_an_endpoint() {
    let origin = Origin::json("{}");
    let limited = json!({"auth/api-keys": {"roles": ["a", "b"], "client_max_rate": 0.01}});
    let all = endpoints("slow", &limited, &json!({}), &origin);
    let config = json!({"extra_config": {"auth/api-keys": two_keys()}, "endpoints": all});
    for krakend in [false, true] {
        let gateway = match krakend {
            false => Gateway::native(config.clone()),
            true => Gateway::krakend(config.clone()),
        };
        for kind in ["stream", "made"] {
            let target = format!("/{kind}/slow");
            let status = |key: &str| {
                let key = format!("Bearer {key}");
                ask(&gateway, &target, &[("Authorization", &key)])
            };
            assert_eq!(status("wrong").status(), 401);
            assert_eq!((status(KEY_A).status(), status(KEY_B).status()), (200, 200));
            let refused = status(KEY_A);
            assert_eq!(refused.status(), 429, "{refused:?}");
            assert_eq!(
                refused.header("retry-after").is_some(),
                !krakend,
                "{refused:?}"
            );
            assert_eq!(status("wrong").status(), 401);
        }
    }
}

#[test]
fn in_krakends_dialect_a_missing_role_is_401_without_a_body() {
    let origin = Origin::json("{}");
    let gateway = Gateway::krakend(keyed(two_keys(), &origin));
    for (key, status) in [(KEY_A, 200), (KEY_B, 401), ("x", 401)] {
        let key = format!("Bearer {key}");
        let answer = ask(&gateway, "/made/a", &[("Authorization", &key)]);
        assert_eq!(answer.status(), status);
        assert!(status == 200 || answer.text().is_empty(), "{answer:?}");
    }
}

#[test]
fn keys_are_those_of_the_file_after_a_reload() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(keyed(two_keys(), &origin));
    let status = |key: &str| {
        let key = format!("Bearer {key}");
        ask(&gateway, "/stream/both", &[("Authorization", &key)]).status()
    };
    assert_eq!((status(KEY_A), status(KEY_B)), (200, 200));
    let path = gateway.folder().join("gateway.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(KEY_A, "another-key")).unwrap();
    gateway.signal("HUP");
    eventually("the new keys", || {
        (status("another-key") == 200).then_some(())
    });
    assert_eq!((status(KEY_A), status(KEY_B)), (401, 200));
}

fn login(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

fn hash(password: &str) -> String {
    bcrypt::hash(password, 5).unwrap()
}

fn with_users(service: Value, own: Value, origin: &Origin) -> Value {
    let everything = json!({"input_headers": ["*"]});
    let all = [
        endpoints("in", &json!({"auth/basic": own}), &everything, origin),
        endpoints("open", &json!({}), &everything, origin),
    ];
    let mut config = json!({"endpoints": all.concat()});
    if !service.is_null() {
        config["extra_config"] = json!({ "auth/basic": service });
    }
    config
}

#[test]
fn a_name_and_its_password_come_in() {
    let origin = Origin::json("{}");
    let service = json!({"users": {"ann": hash("secret"), "bob": hash("pass:word")}, "propagate_user": "X-Name"});
    let gateway = Gateway::native(with_users(service, json!({}), &origin));
    for (value, status) in [
        (Some(login("ann", "secret")), 200),
        (Some(login("ann", "secret")), 200),
        (Some(login("bob", "pass:word")), 200),
        (Some(login("ann", "Secret")), 401),
        (Some(login("nobody", "secret")), 401),
        (Some(login("", "")), 401),
        (Some("Basic !".to_owned()), 401),
        (Some("Bearer x".to_owned()), 401),
        (None, 401),
    ] {
        for kind in ["stream", "made"] {
            let mut fields = vec![("X-Name", "root"), ("x_name", "root")];
            fields.extend(value.as_deref().map(|value| ("Authorization", value)));
            let before = origin.requests().len();
            let answer = ask(&gateway, &format!("/{kind}/in"), &fields);
            assert_eq!(answer.status(), status, "{kind} {value:?}: {answer:?}");
            if status == 401 {
                let challenge = answer.header("www-authenticate").unwrap();
                assert!(challenge.starts_with("Basic"), "{challenge}");
                assert_eq!(origin.requests().len(), before);
                continue;
            }
            let seen = &origin.requests()[before];
            let name = if value == Some(login("bob", "pass:word")) {
                "bob"
            } else {
                "ann"
            };
            assert_eq!(seen.head.all("x-name"), [name]);
            assert_eq!(seen.header("x_name"), None);
        }
    }
    assert_eq!(
        ask(&gateway, "/stream/open", &[("X-Name", "root")]).status(),
        200
    );
    assert_eq!(origin.requests().last().unwrap().header("x-name"), None);
}

#[test]
fn the_file_of_users_is_read_again_at_a_reload() {
    let origin = Origin::json("{}");
    let config = with_users(Value::Null, json!({"htpasswd_path": "users"}), &origin);
    let file = |name: &str, password: &str| format!("# who\n{name}:{}\n", hash(password));
    let gateway = Gateway::setup()
        .file("users", &file("ann", "one"))
        .native(config);
    let status = |name: &str, password: &str| {
        let value = login(name, password);
        ask(&gateway, "/made/in", &[("Authorization", &value)]).status()
    };
    assert_eq!((status("ann", "one"), status("ann", "two")), (200, 401));
    fs::write(gateway.folder().join("users"), file("ann", "two")).unwrap();
    gateway.signal("HUP");
    eventually("the new password", || {
        (status("ann", "two") == 200).then_some(())
    });
    assert_eq!(
        status("ann", "one"),
        401,
        "remembered passwords end with their hash"
    );
}

#[test]
fn many_at_once_are_all_answered_right() {
    let origin = Origin::json("{}");
    let users: serde_json::Map<String, Value> = (0..4)
        .map(|n| (format!("user{n}"), Value::from(hash(&format!("pass{n}")))))
        .collect();
    let gateway = Gateway::native(with_users(Value::Null, json!({ "users": users }), &origin));
    std::thread::scope(|scope| {
        for n in 0..16 {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut client = gateway.client();
                for round in 0..10 {
                    let wrong = (n + round) % 5 == 0;
                    let password = format!("pass{}", if wrong { 9 } else { n % 4 });
                    let value = login(&format!("user{}", n % 4), &password);
                    let fields = [("Authorization", value.as_str())];
                    let path = if round % 2 == 0 {
                        "/stream/in"
                    } else {
                        "/made/in"
                    };
                    let answer = client.request("GET", path, &fields, "").answer();
                    assert_eq!(answer.status(), if wrong { 401 } else { 200 });
                }
            });
        }
    });
}

#[test]
fn what_guards_nothing_refuses_the_start_and_shows_no_secret() {
    let origin = Origin::json("{}");
    for (config, words) in [
        (
            with_users(
                Value::Null,
                json!({"users": {"ann": "topsecret-123"}}),
                &origin,
            ),
            "bcrypt",
        ),
        (with_users(Value::Null, json!({}), &origin), "no users"),
        (
            with_users(Value::Null, json!({"htpasswd_path": "none"}), &origin),
            "none cannot be read",
        ),
        (
            keyed(
                json!({"hash": "sha256", "keys": [{"key": "topsecret-123", "roles": ["a"]}]}),
                &origin,
            ),
            "hexadecimal",
        ),
    ] {
        let output = Gateway::refused(config);
        assert_eq!(output.code, Some(1), "{output:#?}");
        let all = output.stdout + &output.stderr;
        assert!(all.contains(words) || words == "bcrypt", "{words}: {all}");
        assert!(!all.contains("topsecret-123"), "{all}");
    }
}
