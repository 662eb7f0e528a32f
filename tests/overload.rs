//! More to do than can be done: calls beyond what a backend bears wait or are refused, requests beyond what the gateway
//! bears are turned away, and health is answered all the while.

use serde_json::{Value, json};

use crate::support::{Answer, Client, Exchange, Gateway, Origin, eventually, feed};

const PLANS: [&str; 2] = ["no-op", "json"];

fn config(encoding: &str, origin: &Origin, bounds: &Value) -> Value {
    let endpoint = |path: &str| {
        json!({
            "endpoint": path, "output_encoding": encoding, "timeout": "15s", "input_headers": ["X-Wait"],
            "backend": [{"url_pattern": path, "host": [origin.url()], "extra_config": {"hanzo/overload": bounds}}]
        })
    };
    json!({"endpoints": [endpoint("/x"), endpoint("/y")]})
}

/// An origin that lets those wait who ask for it.
fn patient() -> Origin {
    Origin::serve(|exchange| match exchange.request.header("x-wait") {
        Some(_) => exchange.stall(),
        None => exchange.json("{}"),
    })
}

fn waiting(gateway: &Gateway, path: &str) -> Client {
    let mut client = gateway.client();
    client.send(format!(
        "GET {path} HTTP/1.1\r\nHost: gw\r\nX-Wait: 1\r\n\r\n"
    ));
    client
}

fn assert_refused(answer: &Answer) {
    answer.assert_error(503, "service_unavailable");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}

#[test]
fn a_backend_gets_as_many_calls_as_it_bears_over_all_its_endpoints() {
    for encoding in PLANS {
        let origin = patient();
        let gateway = Gateway::native(config(encoding, &origin, &json!({"max_calls": 2})));
        let held = (waiting(&gateway, "/x"), waiting(&gateway, "/y"));
        origin.wait_for(2);
        assert_refused(&gateway.get("/x"));
        assert_refused(&gateway.get("/y"));
        let stats = gateway.internal("/__stats").json();
        assert_eq!(stats["concurrency"][0]["calls"], 2);
        // Who leaves makes room.
        drop(held);
        eventually("room", || (gateway.get("/x").status() == 200).then_some(()));
        assert_eq!(gateway.get("/y").status(), 200);
    }
}

#[test]
fn a_stream_counts_until_its_end() {
    let (tap, rest) = feed();
    let rest = std::sync::Mutex::new(Some(rest));
    let origin = Origin::serve(move |exchange| match rest.lock().unwrap().take() {
        Some(rest) => exchange.stream(&[], &rest),
        None => exchange.json("{}"),
    });
    let gateway = Gateway::native(config("no-op", &origin, &json!({"max_calls": 1})));
    let mut client = gateway.client();
    client.send("GET /x HTTP/1.1\r\nHost: gw\r\n\r\n");
    tap.send("begun");
    assert_eq!(client.head().word(1), "200");
    assert_refused(&gateway.get("/x"));
    drop(tap);
    eventually("the end", || {
        (gateway.get("/x").status() == 200).then_some(())
    });
}

#[test]
fn who_waits_in_the_queue_is_served_when_there_is_room() {
    for encoding in PLANS {
        let origin = patient();
        let bounds = json!({"max_calls": 1, "queue": 1, "queue_timeout": "15s"});
        let gateway = Gateway::native(config(encoding, &origin, &bounds));
        let held = waiting(&gateway, "/x");
        origin.wait_for(1);
        let mut queued = gateway.client();
        queued.send("GET /y HTTP/1.1\r\nHost: gw\r\n\r\n");
        eventually("the queue", || {
            let stats = gateway.internal("/__stats").json();
            (stats["concurrency"][0]["waiting"] == 1).then_some(())
        });
        assert_refused(&gateway.get("/x"));
        drop(held);
        assert_eq!(queued.answer().status(), 200, "{encoding}");
    }
}

#[test]
fn the_queue_is_left_after_its_time() {
    let origin = Origin::serve(Exchange::stall);
    let bounds = json!({"max_calls": 1, "queue": 1, "queue_timeout": "50ms"});
    let gateway = Gateway::native(config("no-op", &origin, &bounds));
    let _held = waiting(&gateway, "/x");
    origin.wait_for(1);
    assert_refused(&gateway.get("/x"));
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn nobody_waits_longer_for_a_place_than_the_endpoint_has_for_its_answer() {
    for encoding in PLANS {
        let origin = patient();
        let bounds = json!({"max_calls": 1, "queue": 5, "queue_timeout": "1h"});
        let mut file = config(encoding, &origin, &bounds);
        file["endpoints"][1]["timeout"] = json!("100ms");
        let gateway = Gateway::native(file);
        let _held = waiting(&gateway, "/x");
        origin.wait_for(1);
        assert_refused(&gateway.get("/y"));
        assert_eq!(origin.requests().len(), 1, "{encoding}");
    }
}

#[test]
fn nothing_is_asked_for_those_who_left_the_queue() {
    for encoding in PLANS {
        let origin = patient();
        let bounds = json!({"max_calls": 1, "queue": 5, "queue_timeout": "1h"});
        let gateway = Gateway::native(config(encoding, &origin, &bounds));
        let held = waiting(&gateway, "/x");
        origin.wait_for(1);
        let mut gone: Vec<Client> = (0..3).map(|_| waiting(&gateway, "/x")).collect();
        let waits = |most: u64| {
            let stats = gateway.internal("/__stats").json();
            (stats["concurrency"][0]["waiting"] == most).then_some(())
        };
        eventually("the queue", || waits(3));
        gone.clear();
        eventually("their end", || {
            let log = gateway.stdout();
            (log.matches("client_gone").count() == 3).then_some(())
        });
        drop(held);
        assert_eq!(gateway.get("/y").status(), 200, "{encoding}");
        let paths = origin.requests();
        let paths: Vec<&str> = paths.iter().map(|one| one.path()).collect();
        assert_eq!(paths, ["/x", "/y"], "{encoding}");
    }
}

#[test]
fn without_memory_requests_are_turned_away_and_health_is_not() {
    let origin = Origin::json("{}");
    let mut file = config("no-op", &origin, &json!({"max_calls": 100}));
    file["extra_config"] = json!({"hanzo/overload": {"max_memory": "8MB"}});
    let gateway = Gateway::native(file);
    let answer = eventually("the pressure", || {
        Some(gateway.get("/x")).filter(|answer| answer.status() == 503)
    });
    assert_refused(&answer);
    let reason = answer.header("proxy-status").unwrap_or_default();
    assert!(reason.contains("overloaded"), "{answer:?}");
    for _ in 0..20 {
        assert_eq!(gateway.get("/__health").status(), 200);
        assert_eq!(gateway.get("/health").status(), 200);
    }
    let shed = "hanzo_gateway_overload_shed_percent 0\n";
    assert!(!gateway.metrics().contains(shed));
    gateway.log_line("requests are turned away");
}
