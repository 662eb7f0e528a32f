//! Pairs of small configurations: what is told about the step from one to the other.

use super::*;
use crate::base::Report;
use crate::config::{Format, LoadOptions, parse};
use serde_json::json;

fn document(value: &Value) -> Document {
    let mut report = Report::default();
    let options = LoadOptions::default();
    let document = parse("t", &value.to_string(), Format::Json, &options, &mut report).unwrap();
    assert!(!report.has_errors(), "{:?}", report.problems);
    document
}

fn service(extra: Value, endpoints: Value) -> Value {
    json!({"version": 3, "host": ["http://a"], "extra_config": extra, "endpoints": endpoints})
}

/// Endpoints `/x` with these members besides.
fn x(members: Value) -> Value {
    let mut endpoint = json!({"endpoint": "/x", "backend": [{"url_pattern": "/b"}]});
    for (key, value) in members.as_object().unwrap() {
        endpoint[key] = value.clone();
    }
    service(json!({}), json!([endpoint]))
}

fn told(old: &Value, new: &Value) -> Vec<(Weight, String)> {
    let changes = diff(&document(old), &document(new), Dialect::Native);
    changes
        .into_iter()
        .map(|c| (c.weight, format!("{}: {}", c.topic, c.text)))
        .collect()
}

/// Exactly one change, and its direction there and back.
fn one(old: &Value, new: &Value, there: Weight, back: Weight, text: &str) {
    let found = told(old, new);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].0, found[0].1.as_str()), (there, text));
    let found = told(new, old);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, back, "{found:?}");
}

use Weight::{Breaking, Changed, Loosened, Tightened};

#[test]
fn spelling_and_written_out_defaults_are_no_change() {
    let short = x(json!({}));
    let long = x(json!({
        "method": "get", "timeout": "2000ms", "output_encoding": "json", "@comment": "hi",
        "backend": [{"url_pattern": "b", "host": ["a"], "method": "GET", "encoding": "json"}],
    }));
    assert_eq!(told(&short, &long), []);
}

#[test]
fn a_changed_lane_is_told_and_the_default_written_out_is_none() {
    let edge = |lane: &str| service(json!({"hanzo/edge": {"lane": lane}}), json!([]));
    let none = service(json!({}), json!([]));
    assert_eq!(told(&none, &edge("auto")), []);
    let text = "hanzo/edge: lane: auto → off";
    one(&none, &edge("off"), Changed, Changed, text);
    one(&edge("auto"), &edge("off"), Changed, Changed, text);
}

#[test]
fn a_lost_path_breaks_and_a_new_one_does_not() {
    let both = service(
        json!({}),
        json!([
        {"endpoint": "/x", "backend": [{"url_pattern": "/b"}]},
        {"endpoint": "/y/{id}", "backend": [{"url_pattern": "/b"}]}]),
    );
    one(
        &both,
        &x(json!({})),
        Breaking,
        Changed,
        "route: path is gone",
    );
}

#[test]
fn a_lost_method_says_what_is_left() {
    let post = x(json!({"method": "POST"}));
    let found = told(&x(json!({})), &post);
    assert_eq!(
        found[0],
        (
            Breaking,
            "route: method is gone; the path still has POST".to_owned()
        )
    );
}

#[test]
fn another_name_of_a_parameter_is_the_same_endpoint() {
    let with = |name: &str| {
        service(
            json!({}),
            json!([{"endpoint": format!("/u/{{{name}}}/z"),
            "backend": [{"url_pattern": "/b"}]}]),
        )
    };
    one(
        &with("id"),
        &with("user"),
        Changed,
        Changed,
        "route: endpoint: id → user",
    );
}

#[test]
fn taking_a_lock_away_loosens() {
    let locked = x(json!({"extra_config": {"auth/validator": {"roles": ["admin"]}}}));
    let found = told(&locked, &x(json!({})));
    assert!(
        found.iter().all(|(weight, _)| *weight == Loosened),
        "{found:?}"
    );
    assert_eq!(
        found[0].1,
        "authentication: anybody may call it: no authentication any more"
    );
    assert!(
        told(&x(json!({})), &locked)
            .iter()
            .all(|(weight, _)| *weight == Tightened)
    );
}

#[test]
fn more_roles_loosen_and_more_scopes_tighten() {
    let with = |key: &str, list: Value| x(json!({"extra_config": {"auth/validator": {key: list}}}));
    let few = with("roles", json!(["admin"]));
    let text = "authentication: auth/validator roles gains [\"user\"]";
    one(
        &few,
        &with("roles", json!(["admin", "user"])),
        Loosened,
        Tightened,
        text,
    );
    let text = "authentication: auth/validator roles loses [\"admin\"]";
    one(&few, &with("roles", json!([])), Loosened, Tightened, text);
    let found = told(
        &with("scopes", json!(["a"])),
        &with("scopes", json!(["a", "b"])),
    );
    assert_eq!(found[0].0, Tightened);
}

#[test]
fn a_longer_list_of_public_paths_loosens() {
    let with = |public: Value| {
        service(
            json!({"hanzo/auth": {"public": public}}),
            json!([
        {"endpoint": "/x", "backend": [{"url_pattern": "/b"}]}]),
        )
    };
    let found = told(&with(json!(["/health"])), &with(json!(["/health", "/x"])));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found.iter().all(|(weight, _)| *weight == Loosened),
        "{found:?}"
    );
}

#[test]
fn a_service_that_locks_no_more_loosens() {
    let with = |extra: Value, own: Value| {
        let endpoint =
            json!([{"endpoint": "/x", "extra_config": own, "backend": [{"url_pattern": "/b"}]}]);
        service(extra, endpoint)
    };
    let locked = json!({"hanzo/auth": {"api_key": {"validate_url": "http://iam/"}}});
    let found = told(
        &with(locked.clone(), json!({})),
        &with(json!({}), json!({})),
    );
    assert!(found.len() >= 2, "{found:?}");
    assert!(
        found.iter().all(|(weight, _)| *weight == Loosened),
        "{found:?}"
    );
    // Public for the service, and with a lock of its own.
    let own = json!({"hanzo/auth": {"public": true}, "auth/validator": {"alg": "RS256"}});
    let found = told(&with(locked.clone(), own), &with(locked, json!({})));
    let open = found
        .iter()
        .any(|(_, text)| text.contains("anybody may call it"));
    assert!(!open, "it was never open: {found:?}");
}

#[test]
fn fields_that_carry_credentials_are_not_shown() {
    let with = |value: &str| {
        let fields = json!({"Authorization": value, "X-Client-Secret": value});
        let auth = json!({"api_key": {"validate_url": "http://iam/", "request_headers": fields}});
        service(json!({"hanzo/auth": auth}), json!([]))
    };
    let found = told(&with("Basic hush1"), &with("Basic hush2"));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(!format!("{found:?}").contains("hush"), "{found:?}");
}

#[test]
fn limits_have_a_direction() {
    let with =
        |rate: Value| x(json!({"extra_config": {"qos/ratelimit/router": {"max_rate": rate}}}));
    let text = "limit: qos/ratelimit/router max_rate: 10 → 20";
    one(
        &with(json!(10)),
        &with(json!(20)),
        Loosened,
        Tightened,
        text,
    );
    let found = told(&with(json!(10)), &with(json!(0)));
    assert_eq!(found[0].0, Loosened, "0 is no limit at all");
    let body = |size: &str| x(json!({"extra_config": {"hanzo/limits": {"max_body": size}}}));
    let text = "limit: hanzo/limits max_body: \"900KB\" → \"2MB\"";
    one(&body("900KB"), &body("2MB"), Loosened, Tightened, text);
}

#[test]
fn more_origins_loosen() {
    let with = |origins: Value| {
        service(
            json!({"security/cors": {"allow_origins": origins}}),
            json!([]),
        )
    };
    let few = with(json!(["https://a"]));
    let text = "cors: security/cors allow_origins gains [\"*\"], loses [\"https://a\"]";
    one(&few, &with(json!(["*"])), Loosened, Tightened, text);
}

#[test]
fn fields_newly_forwarded_loosen_and_others_break() {
    let with = |names: Value| x(json!({"input_headers": names}));
    let text = "forwarding: header fields newly forwarded: authorization";
    one(
        &with(json!(["X-A"])),
        &with(json!(["X-A", "Authorization"])),
        Loosened,
        Breaking,
        text,
    );
    let text = "forwarding: every header field is forwarded";
    one(
        &with(json!(["X-A"])),
        &with(json!(["*"])),
        Loosened,
        Breaking,
        text,
    );
    let queries = |names: Value| x(json!({"input_query_strings": names}));
    let text = "forwarding: query parameters newly forwarded: q";
    one(
        &queries(json!([])),
        &queries(json!(["q"])),
        Loosened,
        Breaking,
        text,
    );
}

#[test]
fn what_answers_look_like_breaks() {
    let text = "encoding: output_encoding: json → xml";
    one(
        &x(json!({})),
        &x(json!({"output_encoding": "xml"})),
        Breaking,
        Breaking,
        text,
    );
    let with = |allow: Value| x(json!({"backend": [{"url_pattern": "/b", "allow": allow}]}));
    let text = "answer: now shown of the answer: email";
    one(
        &with(json!(["id"])),
        &with(json!(["id", "email"])),
        Loosened,
        Breaking,
        text,
    );
}

#[test]
fn another_host_is_one_change_for_all_endpoints() {
    let with = |host: &str| {
        json!({"version": 3, "host": [host], "endpoints": [
        {"endpoint": "/x", "backend": [{"url_pattern": "/b"}]},
        {"endpoint": "/y", "backend": [{"url_pattern": "/b"}]}]})
    };
    let changes = diff(
        &document(&with("http://a")),
        &document(&with("http://b")),
        Dialect::Native,
    );
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0].subjects, ["GET /x", "GET /y"]);
    assert_eq!(changes[0].text, "host: http://a → http://b");
}

#[test]
fn backends_are_paired_by_what_they_call() {
    let with = |list: Value| x(json!({"backend": list}));
    let two = with(json!([{"url_pattern": "/b"}, {"url_pattern": "/c"}]));
    let turned = with(json!([{"url_pattern": "/c"}, {"url_pattern": "/b"}]));
    assert_eq!(told(&two, &turned), []);
    let text = "backend: GET http://a/c is called no more";
    one(&two, &x(json!({})), Breaking, Changed, text);
}

#[test]
fn secrets_are_not_shown() {
    let with = |secret: &str| x(json!({"extra_config": {"my/thing": {"client_secret": secret}}}));
    let found = told(&with("hush"), &with("whist"));
    assert_eq!(
        found[0].1,
        "my/thing: my/thing client_secret has another value"
    );
}

#[test]
fn locks_of_every_kind_have_a_direction() {
    let keys = |value: Value| x(json!({"extra_config": {"auth/api-keys": value}}));
    let (some, any) = (json!({"roles": ["a"]}), json!({"roles": []}));
    let text = "auth/api-keys: auth/api-keys roles loses [a]";
    let found = told(&keys(some.clone()), &keys(any));
    assert_eq!(found[0].0, Loosened, "{found:?} {text}");
    let more = keys(json!({"roles": ["a", "b"]}));
    assert_eq!(told(&keys(some.clone()), &more)[0].0, Loosened);
    assert_eq!(told(&more, &keys(some.clone()))[0].0, Tightened);
    let slow = keys(json!({"roles": ["a"], "client_max_rate": 5}));
    assert_eq!(told(&keys(some), &slow)[0].0, Tightened);
    let users = |value: Value| x(json!({"extra_config": {"auth/basic": {"users": value}}}));
    let (ann, both) = (
        users(json!({"ann": "h1"})),
        users(json!({"ann": "h1", "bob": "h2"})),
    );
    assert_eq!(told(&ann, &both)[0].0, Loosened);
    assert_eq!(told(&both, &ann)[0].0, Tightened);
    let other = told(&ann, &users(json!({"ann": "h3"})));
    assert_eq!(other[0].0, Changed);
    for (_, text) in told(&ann, &both).into_iter().chain(other) {
        assert!(
            !text.contains("h1") && !text.contains("h2") && !text.contains("h3"),
            "{text}"
        );
    }
}

#[test]
fn certificates_that_are_no_longer_wanted_leave_an_endpoint_open() {
    let mtls = |service_: Value, own: Value| {
        let mut endpoint = json!({"endpoint": "/x", "backend": [{"url_pattern": "/b"}]});
        if !own.is_null() {
            endpoint["extra_config"] = json!({ "hanzo/mtls": own });
        }
        let extra = match service_ {
            Value::Null => json!({}),
            all => json!({ "hanzo/mtls": all }),
        };
        service(extra, json!([endpoint]))
    };
    let open = "anybody may call it";
    for (old, new) in [
        (mtls(json!({}), Value::Null), mtls(Value::Null, Value::Null)),
        (
            mtls(json!({}), Value::Null),
            mtls(json!({"require": false}), Value::Null),
        ),
        (
            mtls(json!({}), Value::Null),
            mtls(json!({}), json!({"require": false})),
        ),
        (mtls(Value::Null, json!({})), mtls(Value::Null, Value::Null)),
    ] {
        let (there, back) = (told(&old, &new), told(&new, &old));
        assert!(
            there
                .iter()
                .any(|(w, t)| *w == Loosened && t.contains(open)),
            "{there:?}"
        );
        let locked = "callers have to say who they are";
        assert!(
            back.iter()
                .any(|(w, t)| *w == Tightened && t.contains(locked)),
            "{back:?}"
        );
    }
    let allowing = |allow: Value| mtls(json!({ "allow": allow }), Value::Null);
    let (one, two) = (
        allowing(json!({"san_dns": ["a"]})),
        allowing(json!({"san_dns": ["a", "b"]})),
    );
    assert_eq!(told(&one, &two)[0].0, Loosened);
    let all = mtls(json!({}), Value::Null);
    assert_eq!(told(&one, &all)[0].0, Loosened);
    assert_eq!(told(&all, &one)[0].0, Tightened);
}
