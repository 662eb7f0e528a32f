//! Settings, and what becomes of endpoints.

use super::*;
use crate::base::Severity;
use serde_json::{Value, json};

/// Settings that set up every way in, and need nothing from outside.
fn whole() -> Value {
    json!({
        "jwt": {"alg": "RS256", "jwk_url": "https://iam.example/jwks"},
        "api_key": {"validate_url": "http://iam.example/validate"},
        "introspection": {"url": "http://iam.example/introspect", "client_id": "gw"},
        "public": ["/open", "/part/login", "/all/*"]
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut settings = whole();
    change(&mut settings);
    settings
}

/// Places and severities of what is said about the service's settings.
fn built(settings: &Value) -> (ServiceDraft, Vec<(String, Severity)>) {
    let mut report = Report::default();
    let mut draft = ServiceDraft::default();
    let mut s = Settings::new(settings, "/h", &mut report);
    if let Err(problem) = service(&mut s, &mut draft, Dialect::Native) {
        report.push(problem);
    }
    let found = report.problems.into_iter();
    (draft, found.map(|p| (p.pointer, p.severity)).collect())
}

fn errors(settings: &Value) -> Vec<String> {
    let (_, found) = built(settings);
    let errors = found
        .into_iter()
        .filter(|(_, severity)| *severity == Severity::Error);
    errors.map(|(pointer, _)| pointer).collect()
}

/// An endpoint of the whole settings: how many stages guard it, and what is wrong.
fn at(path: &str, own: Option<&Value>, open: bool, dialect: Dialect) -> (usize, Vec<String>) {
    let (service, found) = built(&whole());
    assert_eq!(found, []);
    let mut report = Report::default();
    let mut draft = EndpointDraft {
        offers: service.offers.clone(),
        public: open,
        ..EndpointDraft::default()
    };
    draft.at.path = path.to_owned();
    if let Some(own) = own {
        let mut s = Settings::new(own, "/e", &mut report);
        if let Err(problem) = endpoint(&mut s, &mut draft, dialect) {
            report.push(problem);
        }
    }
    each_endpoint(&mut draft, dialect, &mut report);
    let problems = report.problems.into_iter().map(|p| p.pointer).collect();
    (draft.head.len(), problems)
}

fn native(path: &str, own: Option<&Value>) -> (usize, Vec<String>) {
    at(path, own, false, Dialect::Native)
}

#[test]
fn every_endpoint_is_locked_unless_it_is_public() {
    for (path, stages) in [
        ("/x", 1),
        ("/open", 0),
        ("/open/", 1),
        ("/all/x", 0),
        ("/all/{id}", 0),
        ("/all", 1),
        ("/part/*", 1),
    ] {
        assert_eq!(native(path, None), (stages, vec![]), "{path}");
    }
    assert_eq!(native("/x", Some(&json!({"public": true}))), (0, vec![]));
    assert_eq!(at("/x", None, true, Dialect::Native), (0, vec![]));
    assert_eq!(native("/x", Some(&json!({"public": false}))), (1, vec![]));
    assert_eq!(native("/open", Some(&json!({"public": true}))), (0, vec![]));
}

#[test]
fn in_krakends_dialect_public_endpoints_lose_what_names_somebody() {
    let (stages, problems) = at("/open", None, false, Dialect::Krakend);
    assert_eq!((stages, problems), (1, vec![]));
}

#[test]
fn an_endpoint_that_is_public_and_locked_is_a_mistake() {
    for own in [
        json!({"scopes": ["a"]}),
        json!({"roles": ["a"]}),
        json!({"methods": ["jwt"]}),
        json!({"public": false}),
    ] {
        assert_eq!(native("/open", Some(&own)).1, ["/e"], "{own}");
        assert_eq!(
            at("/x", Some(&own), true, Dialect::Native).1,
            ["/e"],
            "{own}"
        );
    }
    let own = json!({"public": true, "scopes": ["a"]});
    assert_eq!(native("/x", Some(&own)).1, ["/e"]);
}

#[test]
fn what_an_endpoint_says_must_mean_something() {
    for (own, place) in [
        (json!({"methods": ["password"]}), "/e/methods/0"),
        (json!({"methods": []}), "/e/methods"),
        (json!({"scopes": []}), "/e/scopes"),
        (json!({"roles": [""]}), "/e/roles"),
        (json!({"public": "perhaps"}), "/e/public"),
        (
            json!({"scopes": ["a"], "scopes_matcher": "some"}),
            "/e/scopes_matcher",
        ),
    ] {
        let (_, problems) = native("/x", Some(&own));
        assert!(problems.iter().any(|p| p == place), "{own}: {problems:?}");
    }
    let good = json!({"methods": ["api_key"], "scopes": ["a", "b"], "roles": ["r"]});
    assert_eq!(native("/x", Some(&good)), (1, vec![]));
}

#[test]
fn an_endpoint_cannot_take_what_the_service_has_not_set_up() {
    let (service, _) = built(&with(|s| {
        s.as_object_mut().unwrap().remove("jwt");
    }));
    let mut report = Report::default();
    let mut draft = EndpointDraft {
        offers: service.offers,
        ..EndpointDraft::default()
    };
    let own = json!({"methods": ["api_key", "jwt"]});
    let mut s = Settings::new(&own, "/e", &mut report);
    endpoint(&mut s, &mut draft, Dialect::Native).unwrap();
    let places: Vec<_> = report.problems.iter().map(|p| p.pointer.as_str()).collect();
    assert_eq!(places, ["/e/methods/1"]);
}

#[test]
fn an_endpoint_alone_locks_nothing_and_says_so() {
    let mut report = Report::default();
    let mut draft = EndpointDraft::default();
    let own = json!({"scopes": ["a"]});
    let mut s = Settings::new(&own, "/e", &mut report);
    assert!(endpoint(&mut s, &mut draft, Dialect::Native).is_err());
}

#[test]
fn good_settings_are_good() {
    let (draft, found) = built(&whole());
    assert_eq!(found, []);
    assert_eq!(draft.tasks.len(), 3, "keys of issuers, and two renewals");
    let mut minted: Vec<_> = draft.minted.iter().map(|name| name.as_str()).collect();
    minted.dedup();
    for name in ["x-user-id", "x-org-id", "x-scopes"] {
        assert!(minted.contains(&name), "{minted:?}");
    }
    let rich = json!({
        "api_key": {
            "prefixes": ["a-", "b-"], "headers": ["X-Key"], "validate_url": "https://k/x?y=1", "method": "GET",
            "request_headers": {"X-Asked": "{key}"}, "refused_statuses": [401, 404], "cache_ttl": "1m",
            "answer": {"valid": "data.ok", "sub": "data.user", "exp": "data.until"},
            "negative_ttl": "0s", "stale_if_error": "10m", "timeout": "500ms"
        },
        "claims": {"sub": "X-Sub", "a.b": "X-Deep"}
    });
    assert_eq!(built(&rich).1, []);
    let form = json!({"api_key": {"validate_url": "https://k/x", "body": "token={key}"}});
    assert_eq!(built(&form).1, []);
}

#[test]
fn broken_settings_refuse_the_file() {
    type Change = fn(&mut Value);
    let all: &[(Change, &str)] = &[
        (|s| s["public"] = json!(["open"]), "/h/public/0"),
        (|s| s["public"] = json!(["/*"]), "/h/public/0"),
        (|s| s["public"] = json!(["/ok", "/a%2fb"]), "/h/public/1"),
        (|s| s["claims"] = json!({"sub": "Host"}), "/h/claims/sub"),
        (|s| s["claims"] = json!({"sub": "X Y"}), "/h/claims/sub"),
        (
            |s| s["claims"] = json!({"a": "X-A", "b": "x-a"}),
            "/h/claims/b",
        ),
        (|s| s["claims"] = json!(7), "/h/claims"),
        (|s| s["jwt"]["alg"] = json!("none"), "/h/jwt/alg"),
        (|s| s["jwt"] = json!(true), "/h/jwt"),
        (|s| s["api_key"] = json!({}), "/h/api_key"),
        (
            |s| s["api_key"]["validate_url"] = json!("iam/x"),
            "/h/api_key/validate_url",
        ),
        (
            |s| s["api_key"]["prefixes"] = json!([]),
            "/h/api_key/prefixes",
        ),
        (
            |s| s["api_key"]["prefixes"] = json!([""]),
            "/h/api_key/prefixes",
        ),
        (
            |s| s["api_key"]["headers"] = json!([]),
            "/h/api_key/headers",
        ),
        (
            |s| s["api_key"]["headers"] = json!(["Cookie"]),
            "/h/api_key/headers/0",
        ),
        (
            |s| s["api_key"]["method"] = json!("DELETE"),
            "/h/api_key/method",
        ),
        (|s| s["api_key"]["method"] = json!("GET"), "/h/api_key/body"),
        (
            |s| s["api_key"]["body"] = json!({"key": "x"}),
            "/h/api_key/body",
        ),
        (|s| s["api_key"]["body"] = json!(7), "/h/api_key/body"),
        (
            |s| s["api_key"]["timeout"] = json!("0s"),
            "/h/api_key/timeout",
        ),
        (
            |s| s["api_key"]["cache_ttl"] = json!("soon"),
            "/h/api_key/cache_ttl",
        ),
        (
            |s| s["api_key"]["cache_ttl"] = json!("48h"),
            "/h/api_key/cache_ttl",
        ),
        (
            |s| s["api_key"]["refused_statuses"] = json!([500]),
            "/h/api_key/refused_statuses",
        ),
        (
            |s| s["api_key"]["request_headers"] = json!({"Host": "x"}),
            "/h/api_key/request_headers/Host",
        ),
        (
            |s| s["introspection"]["url"] = json!(null),
            "/h/introspection",
        ),
        (
            |s| s["introspection"]["client_auth"] = json!("client_secret_post"),
            "/h/introspection/client_auth",
        ),
        (
            |s| s["introspection"]["client_secret_file"] = json!("/no/such"),
            "/h/introspection/client_secret_file",
        ),
        (
            |s| s["introspection"]["audience_match"] = json!("none"),
            "/h/introspection/audience_match",
        ),
    ];
    for (change, place) in all {
        let settings = with(change);
        let found = errors(&settings);
        assert!(found.iter().any(|p| p == place), "{place} not in {found:?}");
    }
    assert_eq!(errors(&json!({})), ["/h"]);
    let nameless = json!({"introspection": {"url": "http://x", "client_secret": "hush"}});
    assert_eq!(errors(&nameless), ["/h/introspection/client_id"]);
}

#[test]
fn a_secret_may_stand_in_a_file_and_in_no_message() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "hush\n").unwrap();
    let settings = json!({"introspection": {"url": "http://x", "client_id": "gw",
        "client_secret_file": path.to_str().unwrap()}});
    assert_eq!(built(&settings).1, []);
    let both = with(|s| {
        s["introspection"]["client_secret"] = json!("topsecret");
        s["introspection"]["client_secret_file"] = json!(path.to_str().unwrap());
    });
    let mut report = Report::default();
    let mut s = Settings::new(&both, "/h", &mut report);
    service(&mut s, &mut ServiceDraft::default(), Dialect::Native).unwrap();
    assert_eq!(report.errors(), 1);
    let told = format!("{:?}", report.problems);
    assert!(
        !told.contains("topsecret") && !told.contains("hush"),
        "{told}"
    );
}

#[test]
fn after_an_error_no_endpoint_is_blamed() {
    let (service, found) = built(&with(|s| s["api_key"] = json!({})));
    assert_eq!(found.len(), 1);
    let mut draft = EndpointDraft {
        offers: service.offers,
        ..EndpointDraft::default()
    };
    let mut report = Report::default();
    let own = json!({"methods": ["jwt"]});
    endpoint(
        &mut Settings::new(&own, "/e", &mut report),
        &mut draft,
        Dialect::Native,
    )
    .unwrap();
    each_endpoint(&mut draft, Dialect::Native, &mut report);
    assert_eq!(report.problems, []);
}

#[test]
fn the_same_settings_find_what_was_remembered() {
    let env = crate::component::Env::default();
    let build = |settings: &Value| {
        let mut report = Report::default();
        let mut draft = ServiceDraft {
            env: env.clone(),
            ..ServiceDraft::default()
        };
        let mut s = Settings::new(settings, "/h", &mut report);
        service(&mut s, &mut draft, Dialect::Native).unwrap();
        let setup = draft.offers.get::<Setup>().unwrap();
        let chain = setup.chain.clone().unwrap();
        let keys = &chain.keys.as_ref().unwrap().service;
        (keys.memory(), chain)
    };
    let (first, _held) = build(&whole());
    let (second, _) = build(&with(|s| s["public"] = json!([])));
    assert!(Arc::ptr_eq(&first, &second));
    let (other, _) = build(&with(|s| s["api_key"]["cache_ttl"] = json!("1m")));
    assert!(!Arc::ptr_eq(&first, &other));
    let (other, _) = build(&with(|s| s["claims"] = json!({"sub": "X-Other"})));
    assert!(
        !Arc::ptr_eq(&first, &other),
        "what backends are told is a part of it"
    );
}
