//! `modifier/martian` through the whole gateway: what the backend sees, what becomes of its answer, and
//! which files are refused.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Exchange, Gateway, Origin, feed};

fn endpoint(path: &str, origin: &Origin, martian: Value) -> Value {
    json!({"endpoint": path, "timeout": "10s", "input_headers": ["Range", "Cookie", "X-Url"],
        "backend": [{"url_pattern": "/up", "host": [origin.url()],
            "extra_config": {"modifier/martian": martian}}]})
}

fn no_op(path: &str, origin: &Origin, martian: Value) -> Value {
    let mut endpoint = endpoint(path, origin, martian);
    endpoint["output_encoding"] = json!("no-op");
    endpoint["backend"][0]["encoding"] = json!("no-op");
    endpoint
}

fn echo() -> Origin {
    Origin::json(r#"{"ok":true}"#)
}

fn both(config: &Value, test: impl Fn(&Gateway)) {
    test(&Gateway::native(config.clone()));
    test(&Gateway::krakend(config.clone()));
}

#[test]
fn a_backend_sees_the_fields_that_modifiers_set() {
    let origin = echo();
    let config = json!({"endpoints": [endpoint("/x", &origin, json!({"fifo.Group": {
    "scope": ["request"], "modifiers": [
        {"header.Modifier": {"scope": ["request"], "name": "X-A", "value": "1"}},
        {"header.Append": {"scope": ["request"], "name": "X-A", "value": "2"}},
        {"header.Blacklist": {"scope": ["request"], "names": ["User-Agent"]}},
        {"header.Modifier": {"scope": ["request"], "name": "Host", "value": "v.example"}},
    ]}}))]});
    both(&config, |gateway| {
        assert_eq!(gateway.get("/x").json(), json!({"ok": true}));
    });
    let seen = origin.requests();
    for request in &seen {
        assert_eq!(request.head.all("x-a"), ["1", "2"]);
        assert_eq!(request.head.all("host"), ["v.example"]);
    }
    assert_eq!(seen[0].header("user-agent"), None);
    assert_eq!(seen[1].header("user-agent"), Some("Go-http-client/1.1"));
}

#[test]
fn a_body_of_the_configuration_is_sent_with_its_length() {
    let origin = echo();
    let mut endpoint = endpoint(
        "/x",
        &origin,
        json!({"body.Modifier": {
        "scope": ["request"], "contentType": "text/plain", "body": "bmV3IGJvZHk="}}),
    );
    endpoint["method"] = json!("POST");
    both(&json!({"endpoints": [endpoint]}), |gateway| {
        let mut client = gateway.client();
        let answer = client
            .request("POST", "/x", &[], "a much longer old body")
            .answer();
        assert_eq!(answer.status(), 200);
    });
    for request in origin.wait_for(2) {
        assert_eq!(
            (request.text().as_str(), request.complete),
            ("new body", true)
        );
        assert_eq!(request.header("content-length"), Some("8"));
        assert_eq!(request.header("transfer-encoding"), None);
        assert_eq!(request.header("content-type"), Some("text/plain"));
    }
}

#[test]
fn urls_are_rewritten_host_and_all() {
    let (first, second) = (echo(), Origin::json(r#"{"second":1}"#));
    let place = second.url().replace("http://", "");
    let config = json!({"endpoints": [endpoint("/x", &first, json!({"fifo.Group": {"modifiers": [
        {"url.Modifier": {"scope": ["request"], "host": place, "path": "/a b", "query": "z=1"}},
        {"querystring.Modifier": {"scope": ["request"], "name": "a", "value": "x y"}},
    ]}}))]});
    both(&config, |gateway| {
        assert_eq!(gateway.get("/x").json(), json!({"second": 1}));
    });
    assert!(first.requests().is_empty());
    for request in second.requests() {
        assert_eq!(request.target(), "/a%20b?a=x+y&z=1");
        // The URL changed, not whom the request is for.
        assert_eq!(
            request.header("host"),
            Some(first.url().replace("http://", "").as_str())
        );
    }
}

#[test]
fn a_status_is_changed_before_it_is_judged() {
    let origin = Origin::serve(|exchange: &mut Exchange| {
        exchange.answer(404, &[("content-type", "application/json")], r#"{"a":1}"#);
    });
    let config = json!({"endpoints": [endpoint("/x", &origin,
        json!({"status.Modifier": {"scope": ["response"], "statusCode": 200}}))]});
    both(&config, |gateway| {
        let answer = gateway.get("/x");
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (200, r#"{"a":1}"#)
        );
        assert_eq!(answer.header("x-krakend-completed"), Some("true"));
    });
}

#[test]
fn a_body_for_the_answer_is_what_gets_decoded() {
    let origin = Origin::json(r#"{"old":1}"#);
    let martian = json!({"body.Modifier": {"scope": ["response"],
        "contentType": "application/json", "body": "eyJuZXciOjJ9"}});
    let config = json!({"endpoints": [
        endpoint("/x", &origin, martian.clone()), no_op("/raw", &origin, martian)]});
    both(&config, |gateway| {
        assert_eq!(gateway.get("/x").text(), r#"{"new":2}"#);
        let raw = gateway.get("/raw");
        assert_eq!((raw.status(), raw.text().as_str()), (200, r#"{"new":2}"#));
        let mut client = gateway.client();
        let part = client
            .request("GET", "/raw", &[("Range", "bytes=1-3")], "")
            .answer();
        assert_eq!((part.status(), part.text().as_str()), (206, r#""ne"#));
        assert_eq!(part.header("content-range"), Some("bytes 1-3/9"));
    });
}

#[test]
fn answers_that_stream_still_stream_behind_modified_heads() {
    let (tap, pieces) = feed();
    let pieces = std::sync::Mutex::new(Some(pieces));
    let origin = Origin::serve(move |exchange: &mut Exchange| {
        let pieces = pieces.lock().unwrap().take().unwrap();
        exchange.stream(&[("x-old", "1"), ("server", "up")], &pieces);
    });
    let gateway = Gateway::native(
        json!({"endpoints": [no_op("/x", &origin, json!({"fifo.Group": {
        "scope": ["response"], "modifiers": [
            {"header.Modifier": {"scope": ["response"], "name": "X-New", "value": "2"}},
            {"header.Copy": {"scope": ["response"], "from": "X-Old", "to": "X-Copy"}},
            {"header.Blacklist": {"scope": ["response"], "names": ["X-Old"]}},
            {"cookie.Modifier": {"scope": ["response"], "name": "c", "value": "1"}},
            {"status.Modifier": {"scope": ["response"], "statusCode": 203}},
        ]}}))]}),
    );
    let mut client = gateway.client();
    client.request("GET", "/x", &[], "");
    tap.send("one");
    let head = client.head();
    assert_eq!(head.word(1), "203");
    assert_eq!(head.get("x-new"), Some("2"));
    assert_eq!(head.get("x-copy"), Some("1"));
    assert_eq!(head.get("x-old"), None);
    assert_eq!(head.get("set-cookie"), Some("c=1"));
    // The first piece is here while the backend still has the second.
    assert_eq!(
        client.piece().map(|(_, piece)| piece),
        Some(b"one".to_vec())
    );
    tap.send("two");
    assert_eq!(
        client.piece().map(|(_, piece)| piece),
        Some(b"two".to_vec())
    );
    drop(tap);
}

#[test]
fn files_answer_and_the_backend_is_not_called() {
    let origin = echo();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.json"), r#"{"file":1}"#).unwrap();
    fs::write(folder.path().join("b.txt"), "0123456789").unwrap();
    let martian = |path: &str| {
        json!({"fifo.Group": {"modifiers": [
        {"url.Modifier": {"scope": ["request"], "path": path}},
        {"static.Modifier": {"scope": ["request", "response"], "rootPath": folder.path()}}]}})
    };
    let config = json!({"endpoints": [
        endpoint("/json", &origin, martian("/a.json")),
        no_op("/text", &origin, martian("/b.txt")),
        no_op("/gone", &origin, martian("/../secret")),
    ]});
    both(&config, |gateway| {
        assert_eq!(gateway.get("/json").json(), json!({"file": 1}));
        let text = gateway.get("/text");
        assert_eq!((text.status(), text.text().as_str()), (200, "0123456789"));
        assert_eq!(
            text.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        let mut client = gateway.client();
        let part = client
            .request("GET", "/text", &[("Range", "bytes=7-")], "")
            .answer();
        assert_eq!((part.status(), part.text().as_str()), (206, "789"));
        assert_eq!(gateway.get("/gone").status(), 404);
    });
    assert!(origin.requests().is_empty());
}

#[test]
fn a_stashed_url_comes_back_with_the_answer() {
    let origin = echo();
    let gateway = Gateway::native(json!({"endpoints": [no_op("/x", &origin,
        json!({"stash.Modifier": {"headerName": "X-Url"}}))]}));
    let url = format!("{}/up", origin.url());
    assert_eq!(gateway.get("/x").header("x-url"), Some(url.as_str()));
    assert_eq!(origin.request().header("x-url"), Some(url.as_str()));
}

#[test]
fn a_modifier_that_fails_is_an_error_of_ours() {
    let origin = echo();
    let config = json!({"endpoints": [endpoint("/x", &origin,
        json!({"header.Append": {"scope": ["request"], "name": "Host", "value": "v"}}))]});
    Gateway::native(config.clone())
        .get("/x")
        .assert_error(500, "internal_error");
    let answer = Gateway::krakend(config).get("/x");
    assert_eq!((answer.status(), answer.text().as_str()), (500, ""));
    assert!(origin.requests().is_empty());
}

#[test]
fn a_native_start_refuses_what_it_cannot_read_and_points_at_it() {
    let origin = echo();
    let config = json!({"endpoints": [endpoint("/x", &origin, json!({"fifo.Group": {"modifiers": [
        {"header.Modifer": {"name": "X-A"}},
        {"url.RegexFilter": {"regex": "(", "modifier": {"header.Modifier": {"name": "X"}}}},
    ]}}))]});
    let output = Gateway::refused(config.clone());
    let text = format!("{}{}", output.stderr, output.stdout);
    assert!(text.contains("header.Modifer"), "{text}");
    assert!(text.contains("did you mean \"header.Modifier\"?"), "{text}");
    assert!(text.contains("regex"), "{text}");
    // KrakenD runs without the modifiers, and so does its dialect.
    let gateway = Gateway::krakend(config);
    assert_eq!(gateway.get("/x").json(), json!({"ok": true}));
    assert!(
        gateway.stderr().contains("runs without modifier/martian")
            || gateway.stdout().contains("runs without modifier/martian")
    );
}
