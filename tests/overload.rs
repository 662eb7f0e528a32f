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

/// So much data that a thread has to work on it for a good while; composed, so that it is read there.
fn heavy() -> String {
    let row = r#"{"id":12345,"name":"a name of some length","list":[1,2,3,4,5,6,7,8],"ok":true}"#;
    let rows = vec![row; 20_000].join(",");
    format!("{{\"rows\":[{rows}]}}")
}

/// Requests to an endpoint one after the other, until the test drops it.
struct Load {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn on(gateway: &Gateway, path: &'static str, count: usize) -> Self {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let threads = (0..count).map(|_| {
            let (port, stop) = (gateway.port(), std::sync::Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut client = Client::connect(port);
                while !stop.load(std::sync::atomic::Ordering::Acquire) {
                    request(&mut client, path);
                    if !matches!(client.try_answer(), Ok(Some(_))) {
                        client = Client::connect(port);
                    }
                }
            })
        });
        let threads = threads.collect();
        Self { stop, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Asks as somebody who proves who it is, on a connection that goes on.
fn ask(client: &mut Client, path: &str) -> Answer {
    request(client, path);
    client.answer()
}

fn request(client: &mut Client, path: &str) {
    let field = format!("Bearer {KEY}");
    client.request("GET", path, &[("Authorization", field.as_str())], "");
}

/// What it proves that with.
const KEY: &str = "0123456789abcdef0123";

#[test]
fn late_threads_turn_strangers_away_first_and_health_never() {
    let (origin, large) = (Origin::json("{}"), Origin::json(&heavy()));
    let endpoint = |path: &str, encoding: &str, host: &Origin, extra: Value| {
        json!({"endpoint": path, "output_encoding": encoding, "timeout": "20s", "extra_config": extra,
            "backend": [{"url_pattern": path, "host": [host.url()]}]})
    };
    let lock = || json!({"auth/api-keys": {"roles": ["r"]}});
    let config = json!({
        "extra_config": {
            "hanzo/overload": {"max_lag": "10ms", "max_memory": "1000GB"},
            "auth/api-keys": {"keys": [{"key": KEY, "roles": ["r"]}]}
        },
        "endpoints": [
            endpoint("/open", "no-op", &origin, json!({})),
            endpoint("/locked", "no-op", &origin, lock()),
            endpoint("/heavy", "json", &large, lock()),
        ]
    });
    let gateway = Gateway::setup()
        .argument("--threads")
        .argument("1")
        .native(config);
    let (mut stranger, mut friend) = (gateway.client(), gateway.client());
    assert_eq!(stranger.get("/open").status(), 200);
    assert_eq!(ask(&mut friend, "/locked").status(), 200);
    // Its only thread decodes and writes megabytes, one answer after the other: whatever else it does is late.
    let load = Load::on(&gateway, "/heavy", 2);
    let refused = eventually("the pressure", || {
        Some(stranger.get("/open")).filter(|answer| answer.status() == 503)
    });
    // Both may be refused when it rises much, but strangers more often. They are counted in rounds and not against
    // the clock: the more there is to do, the longer each takes.
    let mut ahead = 0;
    let rounds = (1..=200).find(|_| {
        ahead += i32::from(stranger.get("/open").status() == 503);
        ahead -= i32::from(ask(&mut friend, "/locked").status() == 503);
        ahead >= 5
    });
    assert!(rounds.is_some(), "strangers are ahead by {ahead} refusals");
    for _ in 0..5 {
        assert_eq!(gateway.get("/health").status(), 200);
        assert_eq!(gateway.get("/__health").status(), 200);
    }
    assert_refused(&refused);
    let after: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3).contains(&after), "{after}");
    let reason = refused.header("proxy-status").unwrap_or_default();
    assert!(reason.contains("overloaded"), "{refused:?}");
    gateway.log_line("requests are turned away");
    drop(load);
    // And it falls when the load is gone: memory is looked at without any request, and time goes by with it.
    eventually("calm", || {
        let line = "hanzo_gateway_overload_shed_percent 0\n";
        gateway.metrics().contains(line).then_some(())
    });
    assert_eq!(stranger.get("/open").status(), 200);
    assert_eq!(ask(&mut friend, "/locked").status(), 200);
}
