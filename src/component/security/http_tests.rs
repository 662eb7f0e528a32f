//! Heads in, decisions out.

use super::*;
use crate::base::{Report, Severity};
use crate::gateway::plain::Plain;
use serde_json::json;

fn build(value: &Value, dialect: Dialect) -> (Secure, Report) {
    let mut report = Report::default();
    let secure = read(&mut Settings::new(value, "/h", &mut report), dialect);
    (secure, report)
}

fn native(value: &Value) -> Secure {
    let (secure, report) = build(value, Dialect::Native);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    secure
}

fn get(host: &str) -> Plain {
    let mut head = Plain::get("/a?b=c");
    head.host = host.into();
    head
}

/// Name and value of each recorded field.
fn recorded(secure: &Secure, head: &Plain) -> Vec<(String, String)> {
    let mut edits = Vec::new();
    assert!(matches!(
        secure.decide(head, false, &mut edits),
        Ok(Flow::Next)
    ));
    edits
        .iter()
        .map(|edit| match edit {
            Edit::Set(name, value) | Edit::Append(name, value) => {
                (name.to_string(), value.to_str().unwrap().to_owned())
            }
            Edit::Remove(name) => panic!("{name} is removed"),
        })
        .collect()
}

fn passes(secure: &Secure, head: &Plain, believed: bool) -> bool {
    secure.decide(head, believed, &mut Vec::new()).is_ok()
}

fn location(secure: &Secure, head: &Plain) -> Option<String> {
    match secure.decide(head, false, &mut Vec::new()) {
        Ok(Flow::Reply(reply)) => {
            assert_eq!(reply.status, 301);
            let (_, value) = &reply.headers[0];
            Some(value.to_str().unwrap().to_owned())
        }
        _ => None,
    }
}

#[test]
fn says_to_browsers_what_the_file_says() {
    let secure = native(&json!({
        "sts_seconds": 300, "sts_include_subdomains": true, "frame_deny": true, "content_type_nosniff": true,
        "browser_xss_filter": true, "content_security_policy": "default-src 'self'",
        "referrer_policy": "same-origin"
    }));
    let plain = recorded(&secure, &get("a"));
    let text: Vec<_> = plain.iter().map(|(n, v)| format!("{n}: {v}")).collect();
    assert_eq!(
        text,
        [
            "x-frame-options: DENY",
            "x-content-type-options: nosniff",
            "x-xss-protection: 1; mode=block",
            "content-security-policy: default-src 'self'",
            "referrer-policy: same-origin"
        ]
    );
    let mut tls = get("a");
    tls.secure = true;
    let (name, value) = &recorded(&secure, &tls)[0];
    assert_eq!(name, "strict-transport-security");
    assert_eq!(value, "max-age=300; includeSubDomains");
}

#[test]
fn a_custom_frame_option_goes_before_deny() {
    let secure = native(&json!({"frame_deny": true, "custom_frame_options_value": "SAMEORIGIN"}));
    let found = recorded(&secure, &get("a"));
    assert_eq!(found, [("x-frame-options".into(), "SAMEORIGIN".into())]);
}

#[test]
fn cleartext_may_be_told_of_tls_when_the_file_insists() {
    let secure = native(&json!({"sts_seconds": 1, "force_sts_header": true}));
    assert_eq!(recorded(&secure, &get("a"))[0].1, "max-age=1");
    let secure =
        native(&json!({"sts_seconds": 1, "force_sts_header": true, "is_development": true}));
    assert!(recorded(&secure, &get("a")).is_empty());
}

#[test]
fn each_answer_has_a_nonce_of_its_own() {
    let secure = native(&json!({"content_security_policy": "script-src $NONCE"}));
    let values: Vec<_> = (0..2)
        .map(|_| recorded(&secure, &get("a"))[0].1.clone())
        .collect();
    assert_ne!(values[0], values[1]);
    for value in values {
        let nonce = value.strip_prefix("script-src 'nonce-").unwrap();
        assert_eq!(nonce.len(), 33, "{nonce}");
    }
}

#[test]
fn hosts_are_compared_whole_and_in_any_case() {
    let secure = native(&json!({"allowed_hosts": ["gw.test", "api.test:8443"]}));
    for (host, allowed) in [
        ("gw.test", true),
        ("GW.Test", true),
        ("api.test:8443", true),
        ("api.test", false),
        ("gw.test:80", false),
        ("evil.gw.test", false),
        ("", false),
    ] {
        assert_eq!(passes(&secure, &get(host), false), allowed, "{host}");
    }
    let refused = secure.decide(&get("x"), false, &mut Vec::new());
    assert_eq!(refused.unwrap_err().reason, Reason::HostNotAllowed);
}

#[test]
fn expressions_hold_the_whole_host() {
    let value = json!({"allowed_hosts": ["a\\.test|b\\.test"], "allowed_hosts_are_regex": true});
    let secure = native(&value);
    for (host, allowed) in [
        ("a.test", true),
        ("B.test", true),
        ("a.test.evil", false),
        ("xb.test", false),
    ] {
        assert_eq!(passes(&secure, &get(host), false), allowed, "{host}");
    }
    // KrakenD anchors the text and not the alternatives.
    let (krakend, _) = build(&value, Dialect::Krakend);
    assert!(passes(&krakend, &get("a.test.evil"), false));
    assert!(!passes(&krakend, &get("B.test"), false));
}

#[test]
fn only_believed_proxies_name_another_host() {
    let secure =
        native(&json!({"allowed_hosts": ["gw.test"], "host_proxy_headers": ["X-Forwarded-Host"]}));
    let mut head = get("inner").fields(&[("x-forwarded-host", "gw.test")]);
    assert!(passes(&secure, &head, true));
    assert!(!passes(&secure, &head, false));
    head.fields.clear();
    head.host = b"gw.test".into();
    assert!(
        passes(&secure, &head, true),
        "without the field its Host counts"
    );
}

#[test]
fn development_serves_every_host_without_tls() {
    let secure =
        native(&json!({"allowed_hosts": ["a"], "ssl_redirect": true, "is_development": true}));
    assert!(recorded(&secure, &get("b")).is_empty());
}

#[test]
fn cleartext_is_sent_to_tls() {
    let secure =
        native(&json!({"ssl_redirect": true, "ssl_proxy_headers": {"X-Forwarded-Proto": "https"}}));
    let found = location(&secure, &get("gw.test"));
    assert_eq!(found.as_deref(), Some("https://gw.test/a?b=c"));
    let proxied = get("gw.test").fields(&[("X-Forwarded-Proto", "https")]);
    assert_eq!(location(&secure, &proxied), None);
    let mut tls = get("gw.test");
    tls.secure = true;
    assert_eq!(location(&secure, &tls), None);
    let secure = native(&json!({"ssl_redirect": true, "ssl_host": "secure.test:444"}));
    let found = location(&secure, &get("gw.test"));
    assert_eq!(found.as_deref(), Some("https://secure.test:444/a?b=c"));
}

#[test]
fn what_cannot_be_understood_is_told_with_its_place() {
    let value = json!({
        "allowed_hosts": ["("], "allowed_hosts_are_regex": true, "frame_deny": [], "ssl_host": "https://a/",
        "referrer_policy": "a\nb", "host_proxy_headers": ["a b"], "ssl_proxy_headers": {"é": "x"},
        "sts_seconds": -1
    });
    let (_, report) = build(&value, Dialect::Native);
    let mut places: Vec<_> = report.problems.iter().map(|p| p.pointer.as_str()).collect();
    places.sort_unstable();
    assert_eq!(
        places,
        [
            "/h/allowed_hosts/0",
            "/h/frame_deny",
            "/h/host_proxy_headers/0",
            "/h/referrer_policy",
            "/h/ssl_host",
            "/h/ssl_proxy_headers",
            "/h/sts_seconds"
        ]
    );
    assert_eq!(report.errors(), 7);
}

#[test]
fn krakend_takes_a_value_of_a_wrong_type_for_none() {
    let value = json!({
        "frame_deny": "true", "sts_seconds": "300", "referrer_policy": 1, "Content_Type_Nosniff": true,
        "browser_xss_filter": true
    });
    let (secure, report) = build(&value, Dialect::Krakend);
    let found = recorded(&secure, &get("a"));
    assert_eq!(found, [("x-xss-protection".into(), "1; mode=block".into())]);
    assert_eq!(report.errors(), 0);
    let told = |key: &str| {
        report
            .problems
            .iter()
            .any(|p| p.pointer == format!("/h/{key}"))
    };
    assert!(told("frame_deny") && told("sts_seconds") && told("referrer_policy"));
    assert!(
        report
            .problems
            .iter()
            .all(|p| p.severity == Severity::Warning)
    );
}
