//! Heads in, fields out.

use super::*;
use crate::base::{Report, Severity};
use crate::gateway::plain::Plain;
use serde_json::{Value, json};

fn build(value: &Value, dialect: Dialect) -> (Cors, Report) {
    let mut report = Report::default();
    let cors = read(&mut Settings::new(value, "/c", &mut report), dialect);
    (cors, report)
}

fn native(value: &Value) -> Cors {
    let (cors, report) = build(value, Dialect::Native);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    cors
}

/// The codes and places of what is wrong with settings.
fn problems(value: &Value, dialect: Dialect) -> Vec<(Code, Severity, String)> {
    let (_, report) = build(value, dialect);
    let problems = report.problems.into_iter();
    problems.map(|p| (p.code, p.severity, p.pointer)).collect()
}

/// What is answered at once, and the edits as text.
fn ask(cors: &Cors, head: &Plain) -> (Option<u16>, Vec<String>) {
    let mut edits = Edits::default();
    let reply = cors.on_request(head, &mut edits);
    let text = edits.answer.iter().map(|edit| match edit {
        Edit::Set(name, value) => format!("{name}={}", value.to_str().unwrap()),
        Edit::Append(name, value) => format!("{name}+{}", value.to_str().unwrap()),
        Edit::Remove(name) => format!("-{name}"),
    });
    (reply.map(|reply| reply.status), text.collect())
}

fn get(origin: &str) -> Plain {
    Plain::get("/a").fields(&[("Origin", origin)])
}

fn preflight(origin: &str, method: &str, headers: &[&str]) -> Plain {
    let mut head = Plain::get("/a").fields(&[
        ("Origin", origin),
        ("Access-Control-Request-Method", method),
    ]);
    for list in headers {
        head = head.fields(&[("access-control-request-headers", list)]);
    }
    head.method = Method::OPTIONS;
    head
}

fn listed() -> Value {
    json!({
        "allow_origins": ["https://ok.test", "https://*.sub.test"], "allow_methods": ["GET", "POST"],
        "allow_headers": ["X-A", "Content-Type"], "expose_headers": ["x-out", "X-Request-ID"],
        "max_age": "10m", "allow_credentials": true
    })
}

const VARY: &str = "vary+Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

#[test]
fn an_allowed_origin_may_read_the_answer() {
    let (reply, edits) = ask(&native(&listed()), &get("https://ok.test"));
    assert_eq!(reply, None);
    assert_eq!(
        edits,
        [
            "vary+Origin",
            "access-control-allow-origin=https://ok.test",
            "access-control-expose-headers=X-Out, X-Request-Id",
            "access-control-allow-credentials=true"
        ]
    );
}

#[test]
fn others_may_not_whatever_a_backend_says() {
    for head in [get("https://evil.test"), get("null"), {
        let mut head = get("https://ok.test");
        head.method = Method::DELETE;
        head
    }] {
        let (reply, edits) = ask(&native(&listed()), &head);
        assert_eq!(reply, None);
        assert_eq!(
            edits,
            [
                "vary+Origin",
                "-access-control-allow-origin",
                "-access-control-expose-headers",
                "-access-control-allow-credentials"
            ]
        );
        let (_, edits) = ask(&build(&listed(), Dialect::Krakend).0, &head);
        assert_eq!(edits, ["vary+Origin"]);
    }
}

#[test]
fn without_an_origin_only_caches_are_told() {
    for dialect in [Dialect::Native, Dialect::Krakend] {
        let (_, edits) = ask(&build(&listed(), dialect).0, &Plain::get("/a"));
        assert_eq!(edits, ["vary+Origin"]);
    }
}

#[test]
fn a_list_of_edits_that_was_used_before_is_used_again_as_it_is() {
    let cors = native(&listed());
    let mut edits = Edits::default();
    edits.answer.reserve_exact(4);
    let (place, room) = (edits.answer.as_ptr(), edits.answer.capacity());
    for head in [
        Plain::get("/a"),
        get("https://ok.test"),
        get("https://evil.test"),
    ] {
        edits.answer.clear();
        assert!(cors.on_request(&head, &mut edits).is_none());
        assert_eq!(
            (edits.answer.as_ptr(), edits.answer.capacity()),
            (place, room)
        );
    }
}

#[test]
fn a_preflight_is_answered_with_what_was_asked_for() {
    let asked = preflight("https://a.sub.test", "POST", &["content-type,x-a"]);
    let (reply, edits) = ask(&native(&listed()), &asked);
    assert_eq!(reply, Some(204));
    assert_eq!(
        edits,
        [
            VARY,
            "access-control-allow-origin=https://a.sub.test",
            "access-control-allow-methods=POST",
            "access-control-allow-headers+content-type,x-a",
            "access-control-allow-credentials=true",
            "access-control-max-age=600"
        ]
    );
}

#[test]
fn a_failed_preflight_looks_good_and_allows_nothing() {
    for head in [
        preflight("https://evil.test", "GET", &[]),
        preflight("https://ok.test", "PUT", &[]),
        preflight("https://ok.test", "get", &[]),
        preflight("https://ok.test", "GET", &["x-z"]),
        preflight("https://ok.test", "GET", &["x-a", "x-z"]),
        preflight("", "GET", &[]),
    ] {
        for dialect in [Dialect::Native, Dialect::Krakend] {
            let (reply, edits) = ask(&build(&listed(), dialect).0, &head);
            assert_eq!((reply, edits), (Some(204), vec![VARY.to_owned()]));
        }
    }
}

#[test]
fn options_that_ask_for_nothing_are_a_request_like_any_other() {
    let mut head = get("https://ok.test");
    head.method = Method::OPTIONS;
    let (reply, edits) = ask(&native(&listed()), &head);
    assert_eq!((reply, edits.len()), (None, 4));
}

#[test]
fn requested_names_may_come_in_any_order_and_case_but_not_to_krakend() {
    let (cors, krakend) = (native(&listed()), build(&listed(), Dialect::Krakend).0);
    let allows = |cors: &Cors, list: &str| {
        let (_, edits) = ask(cors, &preflight("https://ok.test", "GET", &[list]));
        edits.len() > 1
    };
    for (list, there) in [
        ("content-type,x-a", true),
        ("content-type, x-a", true),
        (",content-type,,x-a,", true),
        ("", true),
        ("content-type,  x-a", false),
        ("x-a,content-type", false),
        ("x-a,x-a", false),
        ("Content-Type,X-A", false),
    ] {
        assert!(allows(&cors, list), "{list}");
        assert_eq!(allows(&krakend, list), there, "{list}");
    }
    let commas = ",".repeat(MOST_EMPTY + 1);
    assert!(!allows(&cors, &commas) && !allows(&krakend, &commas));
}

#[test]
fn without_lists_everybody_may_send_everything_simple() {
    for dialect in [Dialect::Native, Dialect::Krakend] {
        let (cors, _) = build(&json!({}), dialect);
        let (_, edits) = ask(&cors, &preflight("https://a", "HEAD", &["X-B , x-a"]));
        assert!(
            edits[1].ends_with('*') && edits[3].ends_with("+X-B , x-a"),
            "{edits:?}"
        );
        let (_, edits) = ask(&cors, &preflight("https://a", "PUT", &[]));
        assert_eq!(edits, [VARY]);
    }
}

#[test]
fn private_networks_are_asked_for_and_allowed_by_name() {
    let cors = native(&json!({"allow_private_network": true}));
    let head = preflight("https://a", "GET", &[]);
    let (_, edits) = ask(&cors, &head);
    assert!(edits[0].ends_with(", Access-Control-Request-Private-Network"));
    assert_eq!(edits.len(), 3);
    let head = head.fields(&[("Access-Control-Request-Private-Network", "true")]);
    let (_, edits) = ask(&cors, &head);
    assert_eq!(edits[3], "access-control-allow-private-network=true");
}

#[test]
fn a_preflight_may_be_passed_on() {
    let mut value = listed();
    value["options_passthrough"] = json!(true);
    let (reply, edits) = ask(&native(&value), &preflight("https://ok.test", "GET", &[]));
    assert_eq!(reply, None);
    assert!(edits.contains(&"-access-control-allow-headers".to_owned()));
    assert!(edits.contains(&"access-control-allow-methods=GET".to_owned()));
}

#[test]
fn the_status_of_preflights_can_be_chosen() {
    let status = |value: Value, dialect| {
        let (cors, _) = build(&json!({ "options_success_status": value }), dialect);
        ask(&cors, &preflight("https://a", "GET", &[])).0
    };
    for dialect in [Dialect::Native, Dialect::Krakend] {
        assert_eq!(status(json!(200), dialect), Some(200));
        assert_eq!(status(json!(0), dialect), Some(204));
    }
    assert_eq!(status(json!(404), Dialect::Krakend), Some(404));
    assert_eq!(status(json!("200"), Dialect::Krakend), Some(204));
    let found = problems(&json!({"options_success_status": 404}), Dialect::Native);
    let place = "/c/options_success_status".to_owned();
    assert_eq!(found, [(Code::OutOfRange, Severity::Error, place)]);
}

#[test]
fn ages_are_whole_seconds() {
    for (text, age) in [
        ("12h", Some("43200")),
        ("500ms", None),
        ("0s", None),
        ("-1s", Some("0")),
    ] {
        for dialect in [Dialect::Native, Dialect::Krakend] {
            let (cors, _) = build(&json!({ "max_age": text }), dialect);
            let found = cors.max_age.as_ref().map(|v| v.to_str().unwrap());
            assert_eq!(found, age, "{text}");
        }
    }
}

#[test]
fn everybody_with_credentials_is_refused_in_native_only() {
    let place = |path: &str| vec![(Code::OpenOrigin, Severity::Error, path.to_owned())];
    for (value, path) in [
        (
            json!({"allow_origins": ["https://a", "*"], "allow_credentials": true}),
            "/c/allow_origins/1",
        ),
        (
            json!({"allow_origins": "*", "allow_credentials": true}),
            "/c/allow_origins",
        ),
        (json!({"allow_credentials": true}), "/c/allow_credentials"),
        (
            json!({"allow_origins": [], "allow_credentials": "true"}),
            "/c/allow_credentials",
        ),
        (
            json!({"allow_origins": ["https://*"], "allow_credentials": true}),
            "/c/allow_origins/0",
        ),
    ] {
        assert_eq!(problems(&value, Dialect::Native), place(path), "{value}");
    }
    let value = json!({"allow_origins": ["*"], "allow_credentials": true});
    let (cors, report) = build(&value, Dialect::Krakend);
    assert!(report.problems.is_empty());
    let (_, edits) = ask(&cors, &get("https://a"));
    assert_eq!(
        edits[1..],
        [
            "access-control-allow-origin+*",
            "access-control-allow-credentials+true"
        ]
    );
}

#[test]
fn every_port_is_for_development_only() {
    let mut value = json!({"allow_origins": ["http://localhost:*"]});
    let place = "/c/allow_origins/0".to_owned();
    let found = problems(&value, Dialect::Native);
    assert_eq!(found, [(Code::OpenOrigin, Severity::Error, place)]);
    value["is_development"] = json!(true);
    let (_, edits) = ask(&native(&value), &get("http://localhost:3000"));
    assert_eq!(
        edits[1],
        "access-control-allow-origin=http://localhost:3000"
    );
}

#[test]
fn odd_entries_warn_and_unclear_ones_refuse() {
    let value = json!({
        "allow_origins": ["a.test", "https://a.test/", "*.a.test", "null"], "allow_methods": ["get", "*", "Get-It"],
        "expose_headers": ["a b"], "allow_credentials": true
    });
    let found = problems(&value, Dialect::Native);
    let told: Vec<_> = found
        .iter()
        .map(|(_, severity, place)| (*severity, place.trim_start_matches("/c/")))
        .collect();
    let (warning, error) = (Severity::Warning, Severity::Error);
    assert_eq!(
        told,
        [
            (warning, "allow_origins/0"),
            (warning, "allow_origins/1"),
            (error, "allow_origins/2"),
            (warning, "allow_origins/3"),
            (warning, "allow_methods/0"),
            (warning, "allow_methods/1"),
            (error, "expose_headers/0"),
        ]
    );
}

#[test]
fn krakend_ignores_what_it_does_not_understand_but_for_an_age_that_is_no_text() {
    let value = json!({
        "allow_origins": "https://a", "allow_methods": ["PUT", 1], "allow_credentials": "true", "max_age": "soon"
    });
    let (cors, report) = build(&value, Dialect::Krakend);
    assert_eq!(report.errors(), 0);
    assert_eq!(report.warnings(), 4);
    assert!(cors.origins.answer(b"x").is_some() && !cors.credentials && cors.max_age.is_none());
    assert_eq!(cors.methods.len(), 1);
    let found = problems(&json!({"max_age": 3600}), Dialect::Krakend);
    assert_eq!(found[0].1, Severity::Error);
}
