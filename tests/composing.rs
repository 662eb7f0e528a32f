//! Composed endpoints: several backends become one answer, failed ones are told by their cause, and
//! nobody works for a client that has gone.

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::{Answer, Exchange, Gateway, Origin, PATIENCE, ports};

fn backend(origin: &Origin) -> Value {
    json!({"url_pattern": "/up", "host": [origin.url()]})
}

/// A backend with further keys.
fn with(origin: &Origin, more: Value) -> Value {
    let mut backend = backend(origin);
    backend
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    backend
}

fn endpoint(backends: &[Value]) -> Value {
    json!({"endpoint": "/x", "timeout": "10s", "backend": backends})
}

fn gateway(backends: &[Value]) -> Gateway {
    Gateway::native(json!({"endpoints": [endpoint(backends)]}))
}

fn refused() -> Value {
    json!({"url_pattern": "/up", "host": [format!("http://127.0.0.1:{}", ports::free())]})
}

/// The gateway's own error, which does not say where the backend is.
fn assert_error(answer: &Answer, status: u16, error: &str) {
    answer.assert_error(status, error);
    assert!(!answer.text().contains("127.0.0.1"), "{answer:?}");
}

fn completed(answer: &Answer) -> Option<&str> {
    answer.header("x-krakend-completed")
}

#[test]
fn answers_of_several_backends_become_one() {
    let (a, b) = (
        Origin::json(r#"{"a":1,"l":[1]}"#),
        Origin::json(r#"{"b":{"c":null}}"#),
    );
    let answer = gateway(&[backend(&a), backend(&b)]).get("/x");
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (200, r#"{"a":1,"b":{"c":null},"l":[1]}"#)
    );
    assert_eq!(completed(&answer), Some("true"));
    assert_eq!(
        answer.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    assert_eq!((a.request().path(), b.request().path()), ("/up", "/up"));
}

#[test]
fn backends_are_called_at_the_same_time() {
    let (first_here, first_waits) = channel::<()>();
    let (second_here, second_waits) = channel::<()>();
    let meet = |here: std::sync::mpsc::Sender<()>,
                other: std::sync::mpsc::Receiver<()>,
                text: &'static str| {
        let both = Mutex::new((here, other));
        Origin::serve(move |exchange| {
            let both = both.lock().unwrap();
            both.0.send(()).unwrap();
            both.1.recv_timeout(PATIENCE).unwrap();
            exchange.json(text);
        })
    };
    let a = meet(first_here, second_waits, r#"{"a":1}"#);
    let b = meet(second_here, first_waits, r#"{"b":2}"#);
    let answer = gateway(&[backend(&a), backend(&b)]).get("/x");
    assert_eq!(answer.json(), json!({"a": 1, "b": 2}));
}

#[test]
fn a_part_that_fails_leaves_the_others() {
    let good = Origin::json(r#"{"a":1}"#);
    let bad = Origin::serve(|exchange| exchange.answer(500, &[], r#"{"b":2}"#));
    let answer = gateway(&[backend(&good), backend(&bad)]).get("/x");
    assert_eq!((answer.status(), answer.json()), (200, json!({"a": 1})));
    assert_eq!(completed(&answer), Some("false"));
}

#[test]
fn a_partial_answer_is_not_cached() {
    let good = Origin::json(r#"{"a":1}"#);
    for (bad, control) in [(false, Some("public, max-age=60")), (true, None)] {
        let other = Origin::serve(move |exchange| {
            exchange.answer(if bad { 500 } else { 200 }, &[], r#"{"b":2}"#)
        });
        let mut endpoint = endpoint(&[backend(&good), backend(&other)]);
        endpoint["cache_ttl"] = json!("60s");
        let answer = Gateway::native(json!({"endpoints": [endpoint]})).get("/x");
        assert_eq!(
            (answer.status(), answer.header("cache-control")),
            (200, control)
        );
    }
}

#[test]
fn a_single_backend_that_fails_is_told_by_its_cause() {
    let status = Origin::serve(|exchange| exchange.answer(404, &[], "{}"));
    assert_error(&gateway(&[backend(&status)]).get("/x"), 502, "bad_gateway");
    let nonsense = Origin::serve(|exchange| exchange.answer(200, &[], "<html>"));
    assert_error(
        &gateway(&[backend(&nonsense)]).get("/x"),
        502,
        "bad_gateway",
    );
    assert_error(&gateway(&[refused()]).get("/x"), 502, "bad_gateway");
    let cut = Origin::serve(|exchange| {
        exchange.raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a\":");
        exchange.close();
    });
    assert_error(&gateway(&[backend(&cut)]).get("/x"), 502, "bad_gateway");
    let silent = Origin::serve(Exchange::stall);
    let mut slow = endpoint(&[backend(&silent)]);
    slow["timeout"] = json!("200ms");
    let answer = Gateway::native(json!({"endpoints": [slow]})).get("/x");
    assert_error(&answer, 504, "gateway_timeout");
}

#[test]
fn all_backends_failing_are_told_by_the_gravest_cause() {
    let answer = gateway(&[refused(), refused()]).get("/x");
    assert_error(&answer, 502, "bad_gateway");
    let silent = Origin::serve(Exchange::stall);
    let mut slow = endpoint(&[refused(), backend(&silent)]);
    slow["timeout"] = json!("200ms");
    let answer = Gateway::native(json!({"endpoints": [slow]})).get("/x");
    assert_error(&answer, 504, "gateway_timeout");
}

#[test]
fn a_merge_waits_85_percent_of_its_timeout() {
    let good = Origin::json(r#"{"a":1}"#);
    let silent = Origin::serve(Exchange::stall);
    let mut slow = endpoint(&[backend(&good), backend(&silent)]);
    slow["timeout"] = json!("2s");
    let answer = Gateway::native(json!({"endpoints": [slow]})).get("/x");
    assert_eq!(
        (answer.status(), answer.json(), completed(&answer)),
        (200, json!({"a": 1}), Some("false"))
    );
    let (least, most) = (Duration::from_millis(1690), Duration::from_millis(1980));
    assert!(
        answer.took >= least && answer.took < most,
        "{:?}",
        answer.took
    );
}

#[test]
fn parts_are_shaped_before_they_are_merged() {
    let origin =
        Origin::json(r#"{"data":{"id":7,"name":"n","secret":"s","deep":{"a":1,"b":2}},"meta":0}"#);
    for (shape, wanted) in [
        (
            json!({"target": "data", "allow": ["id", "deep.a"]}),
            json!({"id": 7, "deep": {"a": 1}}),
        ),
        (
            json!({"target": "data", "deny": ["secret", "deep"]}),
            json!({"id": 7, "name": "n"}),
        ),
        (
            json!({"target": "data", "allow": ["id"], "mapping": {"id": "number"}}),
            json!({"number": 7}),
        ),
        (
            json!({"deny": ["data"], "group": "g"}),
            json!({"g": {"meta": 0}}),
        ),
        (json!({"target": "nowhere"}), json!({})),
    ] {
        let answer = gateway(&[with(&origin, shape.clone())]).get("/x");
        assert_eq!((answer.status(), answer.json()), (200, wanted), "{shape}");
    }
}

#[test]
fn groups_keep_equal_keys_apart() {
    let (a, b) = (Origin::json(r#"{"v":"a"}"#), Origin::json(r#"{"v":"b"}"#));
    let answer = gateway(&[
        with(&a, json!({"group": "a"})),
        with(&b, json!({"group": "b"})),
    ])
    .get("/x");
    assert_eq!(answer.text(), r#"{"a":{"v":"a"},"b":{"v":"b"}}"#);
}

#[test]
fn collections_are_wrapped_and_may_stay_bare() {
    let origin = Origin::json(r#"[{"a":1},2]"#);
    let list = with(&origin, json!({"is_collection": true}));
    assert_eq!(
        gateway(std::slice::from_ref(&list)).get("/x").text(),
        r#"{"collection":[{"a":1},2]}"#
    );
    let mut bare = endpoint(&[list]);
    bare["output_encoding"] = json!("json-collection");
    assert_eq!(
        Gateway::native(json!({"endpoints": [bare]}))
            .get("/x")
            .text(),
        r#"[{"a":1},2]"#
    );
    assert_error(&gateway(&[backend(&origin)]).get("/x"), 502, "bad_gateway");
}

#[test]
fn numbers_keep_every_digit() {
    let text = r#"{"big":123456789012345678901234567890,"exp":1.50E+2,"long":0.1000000000000000055511151231257827,"max":9007199254740993,"zero":-0.0}"#;
    let origin = Origin::json(text);
    assert_eq!(gateway(&[backend(&origin)]).get("/x").text(), text);
}

#[test]
fn the_first_whole_copy_wins_and_the_others_are_cancelled() {
    let (gone, told) = channel();
    let gone = Mutex::new(gone);
    let count = std::sync::atomic::AtomicUsize::new(0);
    let origin = Origin::serve(move |exchange| {
        if count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1 {
            exchange.json(r#"{"winner":true}"#);
        } else {
            exchange.stall();
            let _ = gone.lock().unwrap().send(());
        }
    });
    let mut race = endpoint(&[backend(&origin)]);
    race["concurrent_calls"] = json!(3);
    let gateway = Gateway::native(json!({"endpoints": [race]}));
    let answer = gateway.get("/x");
    assert_eq!(
        (answer.status(), answer.json()),
        (200, json!({"winner": true}))
    );
    assert!(answer.took < Duration::from_secs(7), "{:?}", answer.took);
    let losers = origin.wait_for(1).len().min(3) - 1;
    for _ in 0..losers {
        told.recv_timeout(Duration::from_secs(5))
            .expect("a loser is let go");
    }
}

#[test]
fn a_failed_copy_does_not_win() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let origin = Origin::serve(move |exchange| {
        let nth = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        exchange.answer(if nth == 0 { 500 } else { 200 }, &[], r#"{"a":1}"#);
    });
    let mut race = endpoint(&[backend(&origin)]);
    race["concurrent_calls"] = json!(2);
    assert_eq!(
        Gateway::native(json!({"endpoints": [race]}))
            .get("/x")
            .json(),
        json!({"a": 1})
    );
}

#[test]
fn every_backend_gets_the_body() {
    let (a, b) = (Origin::json(r#"{"a":1}"#), Origin::json(r#"{"b":1}"#));
    let post = json!({"method": "POST"});
    let mut endpoint = endpoint(&[with(&a, post.clone()), with(&b, post)]);
    endpoint["method"] = json!("POST");
    let gateway = Gateway::native(json!({"endpoints": [endpoint]}));
    let body = "x".repeat(100_000);
    let mut client = gateway.client();
    assert_eq!(
        client
            .request("POST", "/x", &[("Content-Type", "text/a")], &body)
            .answer()
            .status(),
        200
    );
    let chunked = "POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
    assert_eq!(
        client.send(chunked).answer().json(),
        json!({"a": 1, "b": 1})
    );
    for origin in [&a, &b] {
        let requests = origin.requests();
        assert!(requests[0].text() == body && requests[1].text() == "abc");
        assert_eq!(requests[0].header("content-length"), Some("100000"));
        assert_eq!(requests[0].header("content-type"), Some("text/a"));
    }
}

#[test]
fn redirects_of_backends_are_followed_inside() {
    let origin = Origin::serve(|exchange| match exchange.request.path() {
        "/up" => exchange.answer(302, &[("Location", "/next?k=1")], ""),
        "/next" => exchange.answer(301, &[("Location", "end")], ""),
        _ => exchange.json(r#"{"end":true}"#),
    });
    let answer = gateway(&[backend(&origin)]).get("/x");
    assert_eq!(
        (answer.status(), answer.json()),
        (200, json!({"end": true}))
    );
    let targets: Vec<String> = origin
        .requests()
        .iter()
        .map(|r| r.target().to_owned())
        .collect();
    assert_eq!(targets, ["/up", "/next?k=1", "/end"]);
}

#[test]
fn redirects_in_a_circle_end() {
    let origin = Origin::serve(|exchange| exchange.answer(302, &[("Location", "/up")], ""));
    assert_error(&gateway(&[backend(&origin)]).get("/x"), 502, "bad_gateway");
    assert_eq!(origin.requests().len(), 11);
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn packed_parts_are_asked_for_and_unpacked() {
    let body = packed(r#"{"a":1}"#);
    let origin =
        Origin::serve(move |exchange| exchange.answer(200, &[("Content-Encoding", "gzip")], &body));
    let answer = gateway(&[backend(&origin)]).get("/x");
    assert_eq!((answer.status(), answer.json()), (200, json!({"a": 1})));
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(origin.request().header("accept-encoding"), Some("gzip"));
}

#[test]
fn a_part_that_unpacks_without_end_is_an_error() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..80 {
        encoder.write_all(&[b' '; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let origin =
        Origin::serve(move |exchange| exchange.answer(200, &[("Content-Encoding", "gzip")], &bomb));
    assert_error(&gateway(&[backend(&origin)]).get("/x"), 502, "bad_gateway");
}

#[test]
fn a_part_that_is_too_large_is_an_error() {
    let origin = Origin::serve(|exchange| {
        exchange.raw("HTTP/1.1 200 OK\r\nContent-Length: 67108865\r\n\r\n");
        exchange.stall();
    });
    let answer = gateway(&[backend(&origin)]).get("/x");
    assert_error(&answer, 502, "bad_gateway");
    assert!(
        answer.took < Duration::from_secs(8),
        "told by its length: {:?}",
        answer.took
    );
}

#[test]
fn an_error_code_of_the_backend_can_be_shown() {
    let origin = Origin::serve(|exchange| {
        exchange.answer(418, &[("Content-Type", "text/a")], "short and stout")
    });
    let extra = json!({"extra_config": {"backend/http": {"return_error_code": true}}});
    let answer = gateway(&[with(&origin, extra)]).get("/x");
    assert_eq!(answer.status(), 418, "{answer:?}");
    assert_eq!(answer.json()["status"], json!(418));
    assert_eq!(completed(&answer), Some("false"));
}

#[test]
fn details_of_an_error_can_be_merged() {
    let (good, bad) = (
        Origin::json(r#"{"a":1}"#),
        Origin::serve(|exchange| exchange.answer(404, &[("Content-Type", "text/a")], "gone")),
    );
    let extra =
        json!({"extra_config": {"backend/http": {"return_error_details": "b"}}, "group": "g"});
    let answer = gateway(&[backend(&good), with(&bad, extra)]).get("/x");
    let details =
        json!({"http_status_code": 404, "http_body": "gone", "http_body_encoding": "text/a"});
    assert_eq!(
        (answer.status(), answer.json()),
        (200, json!({"a": 1, "error_b": details}))
    );
    assert_eq!(completed(&answer), Some("false"));
}

#[test]
fn static_data_stands_in_where_its_strategy_says() {
    let good = Origin::json(r#"{"a":1}"#);
    for (strategy, on_good, on_bad) in [
        ("always", json!({"a": 1, "s": 1}), Some(json!({"s": 1}))),
        ("success", json!({"a": 1, "s": 1}), None),
        ("errored", json!({"a": 1}), Some(json!({"s": 1}))),
        ("incomplete", json!({"a": 1}), Some(json!({"s": 1}))),
    ] {
        let endpoint = |path: &str, backend: Value| {
            let data = json!({"proxy": {"static": {"strategy": strategy, "data": {"s": 1}}}});
            json!({"endpoint": path, "backend": [backend], "extra_config": data})
        };
        let gateway = Gateway::native(
            json!({"endpoints": [endpoint("/good", backend(&good)), endpoint("/bad", refused())]}),
        );
        assert_eq!(gateway.get("/good").json(), on_good, "{strategy}");
        let answer = gateway.get("/bad");
        match on_bad {
            Some(data) => {
                assert_eq!((answer.status(), answer.json()), (200, data), "{strategy}");
                assert_eq!(completed(&answer), Some("false"));
            }
            None => assert_error(&answer, 502, "bad_gateway"),
        }
    }
}

#[test]
fn an_empty_answer_is_not_complete() {
    let origin = Origin::json("{}");
    let answer = gateway(&[backend(&origin)]).get("/x");
    assert_eq!(
        (answer.status(), answer.text().as_str(), completed(&answer)),
        (200, "{}", Some("false"))
    );
}

#[test]
fn no_field_of_a_backend_reaches_the_client() {
    let origin = Origin::serve(|exchange| {
        exchange.answer(
            200,
            &[("Set-Cookie", "s=1"), ("ETag", "\"1\""), ("X-Own", "1")],
            r#"{"a":1}"#,
        );
    });
    let answer = gateway(&[backend(&origin)]).get("/x");
    for name in ["set-cookie", "etag", "x-own"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
}

#[test]
fn output_follows_the_encoding() {
    let origin = Origin::json(r#"{"a":{"b":"<&>"}}"#);
    for (encoding, content_type, body) in [
        (
            "json",
            "application/json; charset=utf-8",
            r#"{"a":{"b":"\u003c\u0026\u003e"}}"#,
        ),
        ("xml", "application/xml", "<a><b>&lt;&amp;&gt;</b></a>"),
        ("yaml", "application/yaml; charset=utf-8", "a:\n  b: <&>\n"),
    ] {
        let mut endpoint = endpoint(&[backend(&origin)]);
        endpoint["output_encoding"] = json!(encoding);
        let answer = Gateway::native(json!({"endpoints": [endpoint]})).get("/x");
        assert_eq!(
            (answer.header("content-type"), answer.text().as_str()),
            (Some(content_type), body)
        );
    }
}

#[test]
fn a_client_that_leaves_cancels_the_backends() {
    let (gone, told) = channel();
    let stalled = || {
        let gone = Mutex::new(gone.clone());
        Origin::serve(move |exchange| {
            exchange.stall();
            let _ = gone.lock().unwrap().send(());
        })
    };
    let (a, b) = (stalled(), stalled());
    let gateway = gateway(&[backend(&a), backend(&b)]);
    let mut client = gateway.client();
    client.request("GET", "/x", &[], "");
    a.wait_for(1);
    b.wait_for(1);
    let left = Instant::now();
    drop(client);
    for _ in 0..2 {
        told.recv_timeout(Duration::from_secs(5))
            .expect("a backend is let go");
    }
    assert!(left.elapsed() < Duration::from_secs(6));
}

#[test]
fn a_client_that_leaves_after_its_body_cancels_the_backend() {
    let (gone, told) = channel();
    let gone = Mutex::new(gone);
    let origin = Origin::serve(move |exchange| {
        exchange.stall();
        let _ = gone.lock().unwrap().send(());
    });
    let mut endpoint = endpoint(&[with(&origin, json!({"method": "POST"}))]);
    endpoint["method"] = json!("POST");
    let gateway = Gateway::native(json!({"endpoints": [endpoint]}));
    let mut client = gateway.client();
    client.request("POST", "/x", &[], "body");
    origin.wait_for(1);
    drop(client);
    told.recv_timeout(Duration::from_secs(5))
        .expect("the backend is let go");
}

#[test]
fn connections_stay_in_step_over_many_kinds_of_answers() {
    let good = Origin::json(r#"{"a":1}"#);
    let gateway = Gateway::native(json!({"endpoints": [
        {"endpoint": "/good", "backend": [backend(&good)]},
        {"endpoint": "/bad", "backend": [refused()]},
    ]}));
    let mut client = gateway.client();
    for _ in 0..3 {
        assert_eq!(client.get("/good").status(), 200);
        assert_eq!(client.get("/bad").status(), 502);
        assert_eq!(
            client.request("HEAD", "/good", &[], "").answer().status(),
            200
        );
        assert_eq!(client.get("/none").status(), 404);
    }
}

#[test]
fn the_krakend_dialect_tells_failures_as_500_without_a_body() {
    let gateway = Gateway::krakend(json!({"endpoints": [endpoint(&[refused()])]}));
    let answer = gateway.get("/x");
    assert_eq!((answer.status(), answer.text().as_str()), (500, ""));
    assert_eq!(answer.header("x-krakend"), Some("Version 2.13.8"));
    assert_eq!(completed(&answer), Some("false"));
    let told = json!({"extra_config": {"router": {"return_error_msg": true}}, "endpoints": [endpoint(&[refused()])]});
    let answer = Gateway::krakend(told).get("/x");
    assert!(
        answer.text().contains("connect: connection refused"),
        "{answer:?}"
    );
}
