//! What happens between several backends and one answer: one call after the other, data of the
//! configuration, flatmap filters, shadows, and what is told of a backend that failed. In both dialects.

use serde_json::{Value, json};

use crate::support::{Answer, Exchange, Gateway, Origin, PATIENCE, feed};

fn backend(origin: &Origin, pattern: &str) -> Value {
    json!({"url_pattern": pattern, "host": [origin.url()]})
}

/// A value with further keys.
fn with(mut value: Value, more: Value) -> Value {
    let object = value.as_object_mut().unwrap();
    object.extend(more.as_object().unwrap().clone());
    value
}

/// A backend with settings of `proxy`.
fn proxied(backend: Value, proxy: Value) -> Value {
    with(backend, json!({"extra_config": {"proxy": proxy}}))
}

/// A backend with settings of `backend/http`.
fn told(backend: Value, http: Value) -> Value {
    with(backend, json!({"extra_config": {"backend/http": http}}))
}

/// An endpoint with settings of `proxy`.
fn endpoint(path: &str, proxy: Value, backends: &[Value]) -> Value {
    json!({"endpoint": path, "timeout": "10s", "backend": backends, "extra_config": {"proxy": proxy}})
}

/// The gateway in each dialect.
fn both(endpoints: &[Value]) -> [(bool, Gateway); 2] {
    let config = json!({"endpoints": endpoints});
    [
        (false, Gateway::native(config.clone())),
        (true, Gateway::krakend(config)),
    ]
}

fn failing(status: u16) -> Origin {
    Origin::serve(move |exchange| {
        exchange.answer(status, &[("Content-Type", "text/plain")], "no such thing");
    })
}

fn targets(origin: &Origin) -> Vec<String> {
    let requests = origin.requests();
    requests.iter().map(|r| r.target().to_owned()).collect()
}

#[track_caller]
fn assert_part(answer: &Answer, body: &str, completed: &str) {
    let told = answer.header("x-krakend-completed");
    assert_eq!(
        (answer.status(), answer.text().as_str(), told),
        (200, body, Some(completed))
    );
}

/// The error of an answer without any part: KrakenD's has no body.
#[track_caller]
fn assert_failed(krakend: bool, answer: &Answer) {
    if krakend {
        assert_eq!((answer.status(), answer.text().as_str()), (500, ""));
    } else {
        answer.assert_error(502, "bad_gateway");
    }
}

const FIRST: &str = r#"{"id":7,"tags":["a","b"],"o":{"k":"v"},"n":null,"f":1.50,"e":[],"t":true}"#;

#[test]
fn later_backends_are_called_with_what_earlier_ones_answered() {
    let first = Origin::json(FIRST);
    let second = Origin::json("{}");
    let slots = [
        ("resp0_id", "7"),
        ("resp0_f", "1.50"),
        ("resp0_t", "true"),
        ("resp0_tags", "a,b"),
        ("resp0_o.k", "v"),
        ("resp0_n", "%3Cnil%3E"),
        ("resp0_e", ""),
        ("resp0_zz", "%7B%7B.Resp0_zz%7D%7D"),
        ("resp0_zz.id", "7"),
    ];
    let endpoints: Vec<Value> = slots
        .iter()
        .enumerate()
        .map(|(at, (slot, _))| {
            let backends = [
                backend(&first, "/first"),
                backend(&second, &format!("/s/{{{slot}}}/x")),
            ];
            endpoint(&format!("/{at}"), json!({"sequential": true}), &backends)
        })
        .collect();
    let wanted: Vec<String> = slots
        .iter()
        .map(|(_, text)| format!("/s/{text}/x"))
        .collect();
    for (krakend, gateway) in both(&endpoints) {
        for (at, (slot, _)) in slots.iter().enumerate() {
            let answer = gateway.get(&format!("/{at}"));
            assert_eq!(answer.status(), 200, "{slot} krakend: {krakend}");
        }
    }
    let seen = targets(&second);
    assert_eq!(seen[..slots.len()], wanted, "native");
    assert_eq!(seen[slots.len()..], wanted, "krakend");
}

#[test]
fn a_sequence_searches_the_shaped_data() {
    let first = Origin::json(r#"{"data":{"id":7}}"#);
    let second = Origin::json(r#"{"b":1}"#);
    let backends = [
        with(
            backend(&first, "/a"),
            json!({"target": "data", "group": "g"}),
        ),
        backend(&second, "/b/{resp0_g.id}?q={resp0_g.id}"),
    ];
    for (_, gateway) in both(&[endpoint("/x", json!({"sequential": true}), &backends)]) {
        assert_part(&gateway.get("/x"), r#"{"b":1,"g":{"id":7}}"#, "true");
    }
    assert_eq!(targets(&second), ["/b/7?q=7", "/b/7?q=7"]);
}

#[test]
fn the_last_backend_of_a_sequence_wins() {
    let (a, b) = (
        Origin::json(r#"{"k":"a","a":1}"#),
        Origin::json(r#"{"k":"b"}"#),
    );
    let backends = [backend(&a, "/a"), backend(&b, "/b")];
    for (_, gateway) in both(&[endpoint("/x", json!({"sequential": true}), &backends)]) {
        assert_part(&gateway.get("/x"), r#"{"a":1,"k":"b"}"#, "true");
    }
}

#[test]
fn a_sequence_whose_first_backend_fails_is_an_error() {
    let (bad, second) = (failing(404), Origin::json("{}"));
    let plain = [backend(&bad, "/a"), backend(&second, "/b")];
    let code = json!({"return_error_code": true});
    let coded = [told(backend(&bad, "/a"), code), backend(&second, "/b")];
    let sequential = json!({"sequential": true});
    let endpoints = [
        endpoint("/plain", sequential.clone(), &plain),
        endpoint("/coded", sequential, &coded),
    ];
    for (krakend, gateway) in both(&endpoints) {
        assert_failed(krakend, &gateway.get("/plain"));
        assert_eq!(gateway.get("/coded").status(), 404, "krakend: {krakend}");
    }
    assert_eq!(second.requests().len(), 0);
}

#[test]
fn a_sequence_ends_with_what_there_is_when_a_later_backend_fails() {
    let (first, bad, third) = (Origin::json(r#"{"a":1}"#), failing(500), Origin::json("{}"));
    let backends = [
        backend(&first, "/a"),
        backend(&bad, "/b"),
        backend(&third, "/c"),
    ];
    for (_, gateway) in both(&[endpoint("/x", json!({"sequential": true}), &backends)]) {
        let answer = gateway.get("/x");
        assert_part(&answer, r#"{"a":1}"#, "false");
        assert_eq!(answer.header("cache-control"), None);
    }
    assert_eq!(third.requests().len(), 0);
}

#[test]
fn a_sequence_ends_behind_a_part_that_is_not_whole() {
    let (bad, second) = (failing(404), Origin::json("{}"));
    let details = json!({"return_error_details": "a"});
    let backends = [told(backend(&bad, "/a"), details), backend(&second, "/b")];
    for (_, gateway) in both(&[endpoint("/x", json!({"sequential": true}), &backends)]) {
        assert_part(
            &gateway.get("/x"),
            r#"{"error_a":{"http_status_code":404,"http_body":"no such thing","http_body_encoding":"text/plain"}}"#,
            "false",
        );
    }
    assert_eq!(second.requests().len(), 0);
}

#[test]
fn the_strategy_by_name_wins_over_sequential() {
    let (bad, good) = (failing(500), Origin::json(r#"{"b":1}"#));
    let backends = [backend(&bad, "/a"), backend(&good, "/b")];
    let endpoints = [
        endpoint(
            "/p",
            json!({"sequential": true, "strategy": "parallel"}),
            &backends,
        ),
        endpoint(
            "/s",
            json!({"sequential": false, "strategy": "sequential"}),
            &backends,
        ),
    ];
    for (krakend, gateway) in both(&endpoints) {
        assert_part(&gateway.get("/p"), r#"{"b":1}"#, "false");
        assert_failed(krakend, &gateway.get("/s"));
    }
}

#[test]
fn static_data_is_added_where_its_strategy_matches() {
    let (good, bad) = (Origin::json(r#"{"a":1}"#), failing(500));
    let parts = [
        ("whole", vec![backend(&good, "/a"), backend(&good, "/b")]),
        ("partial", vec![backend(&good, "/a"), backend(&bad, "/b")]),
        ("failed", vec![backend(&bad, "/a"), backend(&bad, "/b")]),
        ("lone", vec![backend(&bad, "/a")]),
    ];
    // Which of them get the data.
    let strategies = [
        ("always", "whole partial failed lone"),
        ("unheard-of", "whole partial failed lone"),
        ("success", "whole"),
        ("errored", "partial failed lone"),
        ("complete", "whole"),
        ("incomplete", "partial failed lone"),
    ];
    let mut endpoints = Vec::new();
    for (strategy, _) in strategies {
        for (name, backends) in &parts {
            let data = json!({"a": 25, "s": {"x": 1.0}});
            let proxy = json!({"static": {"strategy": strategy, "data": data}});
            endpoints.push(endpoint(&format!("/{strategy}/{name}"), proxy, backends));
        }
    }
    for (krakend, gateway) in both(&endpoints) {
        for (strategy, matching) in strategies {
            for (name, _) in &parts {
                let answer = gateway.get(&format!("/{strategy}/{name}"));
                let completed = if *name == "whole" { "true" } else { "false" };
                if matching.split(' ').any(|one| one == *name) {
                    assert_part(&answer, r#"{"a":25,"s":{"x":1}}"#, completed);
                } else if matches!(*name, "failed" | "lone") {
                    assert_failed(krakend, &answer);
                } else {
                    assert_part(&answer, r#"{"a":1}"#, completed);
                }
            }
        }
    }
}

#[test]
fn a_flatmap_of_a_backend_replaces_its_filters() {
    let origin = Origin::json(r#"{"data":{"l":[{"i":1,"p":"x"},{"i":2,"p":"y"}],"k":1},"m":0}"#);
    let shape = json!({"target": "data", "group": "g", "allow": ["k"], "mapping": {"k": "z"}});
    let ops = json!({"flatmap_filter": [
        {"type": "move", "args": ["l.*.p", "l.*.url"]},
        {"type": "del", "args": ["l.*.i", "k"]},
    ]});
    let single = proxied(with(backend(&origin, "/a"), shape.clone()), ops);
    let untyped = json!({"flatmap_filter": [{"args": ["k"]}]});
    let filtered = proxied(with(backend(&origin, "/a"), shape), untyped);
    let endpoints = [
        endpoint("/x", json!({}), &[single]),
        endpoint("/untyped", json!({}), &[filtered]),
    ];
    for (_, gateway) in both(&endpoints) {
        assert_part(
            &gateway.get("/x"),
            r#"{"g":{"l":[{"url":"x"},{"url":"y"}]}}"#,
            "true",
        );
        assert_part(&gateway.get("/untyped"), r#"{"g":{"z":1}}"#, "true");
    }
}

#[test]
fn a_flatmap_that_wipes_an_answer_leaves_null() {
    let origin = Origin::json(r#"{"a":1}"#);
    let ops = json!({"flatmap_filter": [{"type": "del", "args": ["*"]}]});
    let wiped = proxied(backend(&origin, "/a"), ops);
    for (_, gateway) in both(&[endpoint("/x", json!({}), &[wiped])]) {
        assert_part(&gateway.get("/x"), "null", "false");
    }
}

#[test]
fn a_flatmap_of_an_endpoint_sees_the_merged_answer_of_several() {
    let (a, b, bad) = (
        Origin::json(r#"{"l":[1],"x":0}"#),
        Origin::json(r#"{"m":[2]}"#),
        failing(500),
    );
    let ops = json!({"flatmap_filter": [
        {"type": "append", "args": ["m", "l"]},
        {"type": "del", "args": ["x"]},
    ]});
    let endpoints = [
        endpoint("/two", ops.clone(), &[backend(&a, "/a"), backend(&b, "/b")]),
        // With one backend, and where a part is missing, it does nothing.
        endpoint("/one", ops.clone(), &[backend(&a, "/a")]),
        endpoint("/partial", ops, &[backend(&a, "/a"), backend(&bad, "/b")]),
    ];
    for (_, gateway) in both(&endpoints) {
        assert_part(&gateway.get("/two"), r#"{"l":[1,2]}"#, "true");
        assert_part(&gateway.get("/one"), r#"{"l":[1],"x":0}"#, "true");
        assert_part(&gateway.get("/partial"), r#"{"l":[1],"x":0}"#, "false");
    }
}

#[test]
fn a_shadow_gets_the_request_and_leaves_the_answer_alone() {
    let origin = Origin::json(r#"{"a":1}"#);
    let (ok, bad) = (Origin::json(r#"{"a":2,"s":1}"#), failing(500));
    let shadow = |origin: &Origin| {
        let post = with(backend(origin, "/s/{id}"), json!({"method": "POST"}));
        proxied(post, json!({"shadow": true}))
    };
    let main = with(backend(&origin, "/m/{id}"), json!({"method": "POST"}));
    let backends = [main, shadow(&ok), shadow(&bad)];
    let posted = with(
        endpoint("/x/{id}", json!({}), &backends),
        json!({"method": "POST"}),
    );
    for (turn, (_, gateway)) in both(&[posted]).into_iter().enumerate() {
        let mut client = gateway.client();
        let answer = client.request("POST", "/x/7", &[], "the body").answer();
        assert_part(&answer, r#"{"a":1}"#, "true");
        for origin in [&ok, &bad] {
            let requests = origin.wait_for(turn + 1);
            let last = requests.last().unwrap();
            assert_eq!((last.target(), last.text().as_str()), ("/s/7", "the body"));
        }
    }
    assert_eq!(targets(&origin), ["/m/7", "/m/7"]);
}

#[test]
fn a_shadow_outlives_the_answer() {
    for dialect in [Gateway::native, Gateway::krakend] {
        let (tap, flow) = feed();
        let origin = Origin::json(r#"{"a":1}"#);
        let slow = Origin::serve(move |exchange| exchange.stream(&[], &flow));
        let shadow = json!({"shadow": true, "shadow_timeout": "30s"});
        let backends = [
            backend(&origin, "/m"),
            proxied(backend(&slow, "/s"), shadow),
        ];
        let config = with(
            endpoint("/x", json!({}), &backends),
            json!({"timeout": "2s"}),
        );
        let gateway = dialect(json!({"endpoints": [config]}));
        let answer = gateway.get("/x");
        assert_part(&answer, r#"{"a":1}"#, "true");
        assert!(answer.took < PATIENCE);
        slow.wait_for(1);
        tap.send(r#"{"late":true}"#);
    }
}

#[test]
fn details_of_a_failed_backend_are_a_part_of_the_answer() {
    let (good, bad) = (Origin::json(r#"{"a":1}"#), failing(404));
    let empty = Origin::serve(|exchange| exchange.answer(503, &[], ""));
    let details = |origin: &Origin| {
        let shaped = with(
            backend(origin, "/b"),
            json!({"group": "g", "allow": ["zz"]}),
        );
        told(shaped, json!({"return_error_details": "b"}))
    };
    let endpoints = [
        endpoint("/lone", json!({}), &[details(&bad)]),
        endpoint("/two", json!({}), &[backend(&good, "/a"), details(&bad)]),
        endpoint("/empty", json!({}), &[details(&empty)]),
    ];
    const ERROR: &str = r#""error_b":{"http_status_code":404,"http_body":"no such thing","http_body_encoding":"text/plain"}"#;
    for (_, gateway) in both(&endpoints) {
        assert_part(&gateway.get("/lone"), &format!("{{{ERROR}}}"), "false");
        assert_part(
            &gateway.get("/two"),
            &format!(r#"{{"a":1,{ERROR}}}"#),
            "false",
        );
        assert_part(
            &gateway.get("/empty"),
            r#"{"error_b":{"http_status_code":503}}"#,
            "false",
        );
    }
}

#[test]
fn the_status_of_a_failed_backend_is_told_when_asked_for() {
    let bad = failing(418);
    let coded = told(backend(&bad, "/b"), json!({"return_error_code": true}));
    let empty = told(
        backend(&bad, "/b"),
        json!({"return_error_code": true, "return_error_details": ""}),
    );
    let endpoints = [
        endpoint("/coded", json!({}), &[coded]),
        endpoint("/empty", json!({}), &[empty]),
    ];
    for (krakend, gateway) in both(&endpoints) {
        let answer = gateway.get("/coded");
        assert_eq!(answer.status(), 418, "krakend: {krakend}");
        assert!(!answer.text().contains("127.0.0.1"), "{answer:?}");
        if krakend {
            // Details that are asked for without a name switch the code off.
            assert_failed(krakend, &gateway.get("/empty"));
        }
    }
}

#[test]
fn copies_of_a_call_that_all_fail_are_an_error() {
    let (bad, silent) = (failing(500), Origin::serve(Exchange::stall));
    let thrice = json!({"concurrent_calls": 3});
    let late = json!({"concurrent_calls": 2, "timeout": "400ms"});
    let endpoints = [
        with(endpoint("/bad", json!({}), &[backend(&bad, "/b")]), thrice),
        with(
            endpoint("/late", json!({}), &[backend(&silent, "/b")]),
            late,
        ),
    ];
    for (krakend, gateway) in both(&endpoints) {
        assert_failed(krakend, &gateway.get("/bad"));
        let status = if krakend { 500 } else { 504 };
        assert_eq!(gateway.get("/late").status(), status);
    }
    assert_eq!(bad.requests().len(), 6);
}
