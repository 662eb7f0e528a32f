//! Circuit breakers on the whole gateway: what opens them in each dialect and on each way to a backend, what the
//! client is told, who shares one, and what a reload leaves of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};

use crate::support::{Answer, Exchange, Gateway, Origin, eventually, feed, ports};

/// A breaker that stays open as long as a test lasts.
fn breaker(max_errors: u32) -> Value {
    json!({"interval": 0, "timeout": 600, "max_errors": max_errors, "name": "b", "log_status_change": true})
}

/// One endpoint with one backend behind a breaker.
fn endpoint(path: &str, encoding: &str, host: &str, extra: &Value) -> Value {
    json!({
        "endpoint": path, "output_encoding": encoding, "timeout": "15s",
        "backend": [{"url_pattern": path, "host": [host], "extra_config": extra}]
    })
}

fn one(encoding: &str, host: &str, breaker: &Value) -> Value {
    let extra = json!({"qos/circuit-breaker": breaker});
    json!({"endpoints": [endpoint("/x", encoding, host, &extra)]})
}

/// An origin whose answers have the status that stands in the cell.
fn moody(status: u16) -> (Origin, Arc<AtomicU16>) {
    let cell = Arc::new(AtomicU16::new(status));
    let shown = Arc::clone(&cell);
    let origin = Origin::serve(move |exchange| {
        exchange.answer(shown.load(Ordering::Relaxed), &[], "{}");
    });
    (origin, cell)
}

fn assert_open(answer: &Answer) {
    answer.assert_error(503, "service_unavailable");
    let status = answer.header("proxy-status").unwrap_or_default();
    assert!(status.contains("breaker_open"), "{answer:?}");
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=600).contains(&seconds), "{answer:?}");
}

#[test]
fn a_composed_backend_is_left_alone_after_one_failure_more_than_is_borne() {
    for krakend in [true, false] {
        let (origin, _) = moody(500);
        let config = one("json", &origin.url(), &breaker(1));
        let gateway = match krakend {
            true => Gateway::krakend(config),
            false => Gateway::native(config),
        };
        for _ in 0..4 {
            let answer = gateway.get("/x");
            assert_eq!(answer.status() == 500, krakend, "{answer:?}");
        }
        assert_eq!(origin.requests().len(), 2, "krakend {krakend}");
    }
}

#[test]
fn the_krakend_dialect_never_opens_for_what_it_passes_on() {
    let (origin, _) = moody(500);
    let breaker =
        json!({"qos/circuit-breaker": breaker(0), "backend/http": {"return_error_details": "b"}});
    let gateway = Gateway::krakend(json!({"endpoints": [
        endpoint("/stream", "no-op", &origin.url(), &json!({"qos/circuit-breaker": breaker["qos/circuit-breaker"]})),
        endpoint("/details", "json", &origin.url(), &breaker),
    ]}));
    for _ in 0..3 {
        assert_eq!(gateway.get("/stream").status(), 500);
        assert_eq!(gateway.get("/details").status(), 200);
    }
    assert_eq!(origin.requests().len(), 6);
}

#[test]
fn the_krakend_dialect_tells_its_words_where_errors_are_shown() {
    let (origin, _) = moody(500);
    let mut config = one("json", &origin.url(), &breaker(0));
    config["extra_config"] = json!({"router": {"return_error_msg": true}});
    let gateway = Gateway::krakend(config);
    gateway.get("/x");
    let answer = gateway.get("/x");
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (500, "circuit breaker is open")
    );
    gateway.log_line("[CB] Circuit breaker named 'b' went from 'closed' to 'open'");
}

#[test]
fn a_native_stream_opens_with_5xx_and_tells_when_to_come_back() {
    let (origin, status) = moody(502);
    let gateway = Gateway::native(one("no-op", &origin.url(), &breaker(1)));
    assert_eq!(gateway.get("/x").status(), 502);
    status.store(404, Ordering::Relaxed);
    // What a client asks for wrongly is no fault of the backend: the row of failures is broken.
    assert_eq!(gateway.get("/x").status(), 404);
    status.store(502, Ordering::Relaxed);
    assert_eq!(gateway.get("/x").status(), 502);
    assert_eq!(gateway.get("/x").status(), 502);
    assert_open(&gateway.get("/x"));
    assert_eq!(origin.requests().len(), 4);
}

#[test]
fn backends_that_refuse_or_stall_or_talk_nonsense_open_it_on_both_plans() {
    let refusing = format!("http://127.0.0.1:{}", ports::free());
    let stalling = Origin::serve(Exchange::stall);
    let raw = Origin::serve(|exchange| {
        exchange.raw("nonsense\r\n\r\n");
        exchange.close();
    });
    for encoding in ["no-op", "json"] {
        for (host, status) in [
            (refusing.clone(), 502),
            (stalling.url(), 504),
            (raw.url(), 502),
        ] {
            let mut config = one(encoding, &host, &breaker(0));
            config["endpoints"][0]["timeout"] = json!("200ms");
            let gateway = Gateway::native(config);
            assert_eq!(gateway.get("/x").status(), status, "{encoding} {host}");
            assert_open(&gateway.get("/x"));
        }
    }
}

#[test]
fn a_stream_that_breaks_off_in_the_middle_opens_it() {
    let origin = Origin::serve(|exchange| {
        exchange.raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        exchange.close();
    });
    let gateway = Gateway::native(one("no-op", &origin.url(), &breaker(0)));
    let mut client = gateway.client();
    client.request("GET", "/x", &[], "");
    assert_eq!(client.head().word(1), "200");
    // The next may be under way before the end of the first is known, and breaks off as well.
    let answer = eventually("the breaker to open", || {
        client = gateway.client();
        client.request("GET", "/x", &[], "");
        let answer = client.try_answer().ok().flatten();
        answer.filter(|answer| answer.status() == 503)
    });
    assert_open(&answer);
}

#[test]
fn a_client_that_leaves_says_nothing_of_the_backend() {
    for encoding in ["no-op", "json"] {
        let origin = Origin::serve(|exchange| match exchange.request.header("x-wait") {
            Some(_) => exchange.stall(),
            None => exchange.json("{}"),
        });
        let mut config = one(encoding, &origin.url(), &breaker(0));
        config["endpoints"][0]["input_headers"] = json!(["X-Wait"]);
        let gateway = Gateway::native(config);
        let mut client = gateway.client();
        client.send("GET /x HTTP/1.1\r\nHost: gw\r\nX-Wait: 1\r\n\r\n");
        origin.wait_for(1);
        drop(client);
        assert_eq!(gateway.get("/x").status(), 200, "{encoding}");
    }
}

#[test]
fn after_its_time_one_probe_finds_out_and_a_good_one_closes_it() {
    let (origin, status) = moody(500);
    let breaker = json!({"interval": 60, "timeout": 1, "max_errors": 0, "name": "b", "log_status_change": true});
    let gateway = Gateway::native(one("json", &origin.url(), &breaker));
    gateway.get("/x");
    assert_open(&gateway.get("/x"));
    status.store(200, Ordering::Relaxed);
    eventually("the probe", || {
        (gateway.get("/x").status() == 200).then_some(())
    });
    assert_eq!(origin.requests().len(), 2);
    assert_eq!(gateway.get("/x").status(), 200);
    for change in [
        "from closed to open",
        "from open to half-open",
        "from half-open to closed",
    ] {
        let line = gateway.log_line(change);
        assert!(line.contains("ERROR") || line.contains("error"), "{line}");
    }
}

#[test]
fn changes_are_logged_in_native_unless_the_file_says_no() {
    let (origin, _) = moody(500);
    let of = |extra: Value| {
        let mut breaker = json!({"interval": 60, "timeout": 600, "max_errors": 0, "name": "b"});
        let all = breaker.as_object_mut().unwrap();
        all.extend(extra.as_object().unwrap().clone());
        let gateway = Gateway::native(one("json", &origin.url(), &breaker));
        gateway.get("/x");
        assert_open(&gateway.get("/x"));
        gateway.stop().stdout
    };
    let change = "circuit breaker went from closed to open";
    assert!(of(json!({})).contains(change));
    assert!(!of(json!({"log_status_change": false})).contains(change));
}

#[test]
fn a_probe_under_way_keeps_all_others_out() {
    let (tap, begun) = feed();
    let begun = std::sync::Mutex::new(Some(begun));
    let calls = Arc::new(AtomicU16::new(0));
    let counted = Arc::clone(&calls);
    let origin = Origin::serve(
        move |exchange| match counted.fetch_add(1, Ordering::Relaxed) {
            0 => exchange.answer(500, &[], "{}"),
            _ => match begun.lock().unwrap().take() {
                Some(begun) => exchange.stream(&[], &begun),
                None => exchange.json("{}"),
            },
        },
    );
    let breaker = json!({"interval": 60, "timeout": 1, "max_errors": 0});
    let gateway = Gateway::native(one("json", &origin.url(), &breaker));
    gateway.get("/x");
    // The probe has its answer's head and waits for the body, which a composed answer needs.
    eventually("its time", || {
        let stats = gateway.internal("/__stats").json();
        (stats["breakers"][0]["state"] == "half-open").then_some(())
    });
    let mut probing = gateway.client();
    probing.send("GET /x HTTP/1.1\r\nHost: gw\r\n\r\n");
    eventually("the probe", || {
        (calls.load(Ordering::Relaxed) > 1).then_some(())
    });
    for _ in 0..5 {
        assert_open(&gateway.get("/x"));
    }
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    tap.send("{}");
    drop(tap);
    assert_eq!(probing.answer().status(), 200);
    assert_eq!(gateway.get("/x").status(), 200);
}

#[test]
fn backends_of_one_name_and_host_share_one_breaker_and_others_do_not() {
    let (origin, _) = moody(500);
    let other = Origin::json("{}");
    let extra = json!({"qos/circuit-breaker": breaker(0)});
    let gateway = Gateway::native(json!({"endpoints": [
        endpoint("/a", "no-op", &origin.url(), &extra),
        endpoint("/b", "json", &origin.url(), &extra),
        endpoint("/c", "no-op", &other.url(), &extra),
    ]}));
    assert_eq!(gateway.get("/a").status(), 500);
    assert_open(&gateway.get("/b"));
    assert_eq!(gateway.get("/c").status(), 200);
}

#[test]
fn its_state_is_in_metrics_and_statistics_and_survives_a_reload() {
    let (origin, _) = moody(500);
    let config = one("no-op", &origin.url(), &breaker(0));
    let gateway = Gateway::native(config);
    let series = |value| format!("hanzo_gateway_circuit_breaker_state{{backend=\"b\"}} {value}\n");
    assert!(gateway.metrics().contains(&series(0)));
    gateway.get("/x");
    assert!(
        gateway.metrics().contains(&series(1)),
        "{}",
        gateway.metrics()
    );
    let file = gateway.folder().join("gateway.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["endpoints"][0]["timeout"] = json!("14s");
    std::fs::write(&file, config.to_string()).unwrap();
    gateway.signal("HUP");
    gateway.log_line("configuration reloaded");
    assert_open(&gateway.get("/x"));
    let stats = gateway.internal("/__stats").json();
    assert_eq!(stats["breakers"][0]["breaker"], "b");
    assert_eq!(stats["breakers"][0]["state"], "open");
    // Other settings are another breaker.
    config["endpoints"][0]["backend"][0]["extra_config"]["qos/circuit-breaker"]["max_errors"] =
        json!(5);
    std::fs::write(&file, config.to_string()).unwrap();
    gateway.signal("HUP");
    eventually("the new breaker", || {
        (gateway.get("/x").status() == 500).then_some(())
    });
}

#[test]
fn a_switch_of_protocols_is_kept_back_too() {
    let origin = Origin::serve(|exchange| exchange.answer(500, &[], "no"));
    let gateway = Gateway::native(one("no-op", &origin.url(), &breaker(0)));
    let ask = || {
        let mut client = gateway.client();
        client.send(
            "GET /x HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        client.answer()
    };
    assert_eq!(ask().status(), 500);
    assert_open(&ask());
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn the_list_of_statuses_of_the_enterprise_edition_decides() {
    let (origin, status) = moody(404);
    let breaker = json!({"qos/circuit-breaker/http": {
        "interval": 60, "timeout": 600, "max_errors": 0, "valid_status_codes": [200, 404]
    }});
    let gateway = Gateway::native(json!({"endpoints": [
        endpoint("/x", "no-op", &origin.url(), &breaker),
    ]}));
    for _ in 0..3 {
        assert_eq!(gateway.get("/x").status(), 404);
    }
    status.store(403, Ordering::Relaxed);
    assert_eq!(gateway.get("/x").status(), 403);
    assert_open(&gateway.get("/x"));
}

#[test]
fn settings_that_would_leave_it_off_refuse_the_file() {
    for wrong in [
        json!({}),
        json!({"interval": "1m", "timeout": 1, "max_errors": 1}),
    ] {
        let refused = Gateway::refused(one("json", "http://a:1", &wrong));
        let said = refused.stdout + &refused.stderr;
        assert!(said.contains("qos~1circuit-breaker"), "{said}");
    }
}
