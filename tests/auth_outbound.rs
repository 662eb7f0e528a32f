//! As whom the gateway calls its backends: tokens that it fetches, signatures that it makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Exchange, Gateway, Origin, eventually, feed, ports};

/// Stands in every token and secret of these tests; nothing that the gateway writes may hold it.
const HUSH: &str = "hush-hush";

/// A token service whose tokens are numbered.
struct Tokens {
    origin: Origin,
    fails: Arc<AtomicUsize>,
}

impl Tokens {
    fn of(accepts: impl Fn(&Exchange) -> bool + Send + Sync + 'static) -> Self {
        let (fails, count) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
        let down = Arc::clone(&fails);
        let origin = Origin::serve(move |exchange| {
            let fails = down.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            if fails.is_ok() {
                return exchange.answer(503, &[], HUSH);
            }
            if !accepts(exchange) {
                return exchange.answer(401, &[], r#"{"error":"invalid_client"}"#);
            }
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            exchange.json(&format!(
                r#"{{"access_token":"{HUSH}-{number}","token_type":"bearer","expires_in":3600}}"#
            ));
        });
        Self { origin, fails }
    }

    fn new() -> Self {
        Self::of(|_| true)
    }

    fn settings(&self) -> Value {
        settings(&format!("{}/token", self.origin.url()))
    }

    fn asked(&self) -> usize {
        self.origin.requests().len()
    }
}

fn settings(url: &str) -> Value {
    json!({"client_id": "me", "client_secret": format!("{HUSH}-secret"), "token_url": url, "scopes": "a,b"})
}

fn backend(origin: &Origin, settings: &Value) -> Value {
    json!({"url_pattern": "/up", "host": [origin.url()],
        "extra_config": {"auth/client-credentials": settings}})
}

fn endpoint(path: &str, encoding: &str, backend: Value) -> Value {
    json!({"endpoint": path, "timeout": "10s", "input_headers": ["*"], "output_encoding": encoding, "backend": [backend]})
}

fn loud(endpoints: Value) -> Value {
    json!({"extra_config": {"telemetry/logging": {"level": "DEBUG", "stdout": true}}, "endpoints": endpoints})
}

fn bearer(number: usize) -> String {
    format!("Bearer {HUSH}-{number}")
}

/// All that a gateway has told anybody holds no secret.
fn assert_silent(gateway: Gateway) {
    let metrics = gateway.metrics();
    let output = gateway.stop();
    for text in [metrics, output.stdout, output.stderr] {
        assert!(!text.contains(HUSH), "{text}");
    }
}

fn shown(origin: &Origin) -> Vec<String> {
    let all = origin.requests();
    let values = all.iter().map(|r| r.head.all("authorization").join("|"));
    values.collect()
}

#[test]
fn every_kind_of_call_carries_one_token_in_place_of_the_clients() {
    for krakend in [false, true] {
        let (tokens, origin) = (Tokens::new(), Origin::json("{}"));
        let martian = json!({"header.Modifier": {"scope": ["request"], "name": "Authorization", "value": "martian"}});
        let mut ruled = backend(&origin, &tokens.settings());
        ruled["extra_config"]["modifier/martian"] = martian;
        let mut upload = endpoint("/upload", "no-op", backend(&origin, &tokens.settings()));
        upload["method"] = json!("POST");
        upload["backend"][0]["method"] = json!("POST");
        let mut twice = endpoint("/twice", "json", backend(&origin, &tokens.settings()));
        twice["concurrent_calls"] = json!(2);
        let config = loud(json!([
            endpoint("/composed", "json", backend(&origin, &tokens.settings())),
            endpoint("/stream", "no-op", backend(&origin, &tokens.settings())),
            endpoint("/ruled", "json", ruled.clone()),
            endpoint("/ruled-stream", "no-op", ruled),
            upload,
            twice,
        ]));
        let gateway = if krakend {
            Gateway::krakend(config)
        } else {
            Gateway::native(config)
        };
        for path in [
            "/composed",
            "/stream",
            "/ruled",
            "/ruled-stream",
            "/upload",
            "/twice",
        ] {
            let (method, body) = if path == "/upload" {
                ("POST", "body")
            } else {
                ("GET", "")
            };
            let fields = [("Authorization", "Bearer of-the-client")];
            let answer = gateway
                .client()
                .request(method, path, &fields, body)
                .answer();
            assert_eq!(answer.status(), 200, "{path}: {answer:?}");
        }
        let shown = shown(&origin);
        assert!(
            shown.len() >= 6 && shown.iter().all(|value| *value == bearer(1)),
            "{shown:?}"
        );
        let asked = tokens.origin.request();
        assert_eq!((asked.method(), asked.target()), ("POST", "/token"));
        assert_eq!(asked.text(), "grant_type=client_credentials&scope=a+b");
        let kind = asked.header("content-type");
        assert_eq!(kind, Some("application/x-www-form-urlencoded"));
        assert!(
            asked
                .header("authorization")
                .is_some_and(|v| v.starts_with("Basic "))
        );
        assert_silent(gateway);
    }
}

#[test]
fn first_requests_that_come_together_make_one_fetch() {
    let (tap, feed) = feed();
    let (count, feed) = (Arc::new(AtomicUsize::new(0)), feed);
    let asked = Arc::clone(&count);
    let tokens = Origin::serve(move |exchange| {
        asked.fetch_add(1, Ordering::SeqCst);
        exchange.stream(&[("Content-Type", "application/json")], &feed);
    });
    let origin = Origin::json("{}");
    let backend = backend(&origin, &settings(&format!("{}/t", tokens.url())));
    let gateway = Gateway::native(json!({"endpoints": [
        endpoint("/a", "json", backend.clone()), endpoint("/b", "no-op", backend)]}));
    let mut clients: Vec<_> = (0..20).map(|_| gateway.client()).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        client.request("GET", if at % 2 == 0 { "/a" } else { "/b" }, &[], "");
    }
    eventually("the fetch", || {
        (count.load(Ordering::SeqCst) > 0).then_some(())
    });
    // One of those who wait leaves; the fetch is not theirs.
    drop(clients.remove(0));
    tap.send(r#"{"access_token":"hush-hush-1","expires_in":99}"#);
    drop(tap);
    for client in &mut clients {
        assert_eq!(client.answer().status(), 200);
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert!(shown(&origin).iter().all(|value| *value == bearer(1)));
}

#[test]
fn a_service_that_wants_the_proof_in_the_body_gets_it_there_and_that_is_remembered() {
    let tokens = Tokens::of(|exchange| exchange.request.text().contains("client_secret="));
    let status = Arc::new(AtomicUsize::new(200));
    let says = Arc::clone(&status);
    let origin = Origin::serve(move |exchange| {
        let status = u16::try_from(says.load(Ordering::SeqCst)).unwrap();
        exchange.answer(status, &[("Content-Type", "application/json")], "{}");
    });
    let gateway = Gateway::native(loud(json!([endpoint(
        "/x",
        "json",
        backend(&origin, &tokens.settings())
    )])));
    assert_eq!(gateway.get("/x").status(), 200);
    assert_eq!(tokens.asked(), 2);
    status.store(401, Ordering::SeqCst);
    gateway.get("/x").assert_error(502, "bad_gateway");
    status.store(200, Ordering::SeqCst);
    assert_eq!(gateway.get("/x").status(), 200);
    let asked = tokens.origin.requests();
    assert_eq!(asked.len(), 3);
    assert!(asked[2].header("authorization").is_none());
    assert!(
        asked[2]
            .text()
            .contains("client_id=me&client_secret=hush-hush-secret")
    );
    assert_silent(gateway);
}

#[test]
fn a_token_that_the_backend_refuses_is_dropped_in_native() {
    for encoding in ["json", "no-op"] {
        let tokens = Tokens::new();
        let origin = Origin::serve(|exchange| {
            let old = exchange.request.header("authorization") == Some("Bearer hush-hush-1");
            let status = if old { 401 } else { 200 };
            exchange.answer(status, &[("Content-Type", "application/json")], "{}");
        });
        let config =
            json!({"endpoints": [endpoint("/x", encoding, backend(&origin, &tokens.settings()))]});
        let gateway = Gateway::native(config.clone());
        // The token of the first call is as fresh as can be: refusing it says nothing about its age.
        let mut statuses: Vec<u16> = (0..3).map(|_| gateway.get("/x").status()).collect();
        let refused = if encoding == "json" { 502 } else { 401 };
        assert_eq!(statuses.split_off(1), [refused, 200], "{encoding}");
        assert_eq!((statuses, tokens.asked()), (vec![refused], 2));
        let gateway = Gateway::krakend(config);
        for _ in 0..4 {
            gateway.get("/x");
        }
        assert_eq!(tokens.asked(), 3);
    }
}

#[test]
fn without_a_token_no_call_is_made_and_each_dialect_says_so_in_its_way() {
    let origin = Origin::json("{}");
    let nobody = format!("http://127.0.0.1:{}/token", ports::free());
    let refusing = Tokens::of(|_| false);
    for settings in [settings(&nobody), refusing.settings(), settings("no url")] {
        let config = loud(json!([
            endpoint("/composed", "json", backend(&origin, &settings)),
            endpoint("/stream", "no-op", backend(&origin, &settings)),
        ]));
        let (native, krakend) = (Gateway::native(config.clone()), Gateway::krakend(config));
        for path in ["/composed", "/stream"] {
            let answer = native.get(path);
            answer.assert_error(502, "bad_gateway");
            assert!(!answer.text().contains("127.0.0.1"), "{answer:?}");
            let answer = krakend.get(path);
            assert_eq!((answer.status(), answer.text().as_str()), (500, ""));
        }
        native.log_line("backend_token_unavailable");
        assert!(
            native
                .metrics()
                .contains(r#"reason="backend_token_unavailable"} 2"#)
        );
        // A finding shows the line of the file that it is about, and this file has one line only.
        if settings["token_url"] != "no url" {
            assert_silent(native);
            assert_silent(krakend);
        }
    }
    assert!(origin.requests().is_empty());
}

#[test]
fn a_service_that_fails_is_not_hammered_and_forgiven() {
    let (tokens, origin) = (Tokens::new(), Origin::json("{}"));
    tokens.fails.store(2, Ordering::SeqCst);
    let gateway = Gateway::native(
        json!({"endpoints": [endpoint("/x", "json", backend(&origin, &tokens.settings()))]}),
    );
    let mut refused = 0;
    eventually("a token", || {
        let good = gateway.get("/x").status() == 200;
        refused += usize::from(!good);
        good.then_some(())
    });
    // One fetch with the proof in the head and one with it in the body, however many asked; then a good one.
    assert_eq!(tokens.asked(), 3);
    assert!(refused > 1, "{refused}");
}

#[test]
fn a_service_that_hangs_costs_a_request_its_own_time_only() {
    let (tokens, origin) = (Origin::serve(Exchange::stall), Origin::json("{}"));
    let mut all = Vec::new();
    for (path, encoding) in [("/composed", "json"), ("/stream", "no-op")] {
        let settings = settings(&format!("{}/{encoding}", tokens.url()));
        let mut endpoint = endpoint(path, encoding, backend(&origin, &settings));
        endpoint["timeout"] = json!("300ms");
        all.push(endpoint);
    }
    let gateway = Gateway::native(json!({"endpoints": all}));
    for path in ["/composed", "/stream"] {
        let answer = gateway.get(path);
        answer.assert_error(502, "bad_gateway");
        assert!(answer.took < Duration::from_secs(8), "{:?}", answer.took);
    }
}

#[test]
fn a_redirect_to_another_host_takes_no_token_along() {
    let tokens = Tokens::new();
    let other = Origin::json(r#"{"other":true}"#);
    let place = format!("http://localhost:{}/there", other.port());
    let origin = Origin::serve(move |exchange| exchange.answer(302, &[("Location", &place)], ""));
    let config =
        json!({"endpoints": [endpoint("/x", "json", backend(&origin, &tokens.settings()))]});
    for gateway in [Gateway::native(config.clone()), Gateway::krakend(config)] {
        assert_eq!(gateway.get("/x").json(), json!({"other": true}));
    }
    assert!(
        shown(&origin)
            .iter()
            .all(|value| value.starts_with("Bearer "))
    );
    assert_eq!(shown(&other), ["", ""]);
}

#[test]
fn a_token_outlives_a_reload() {
    let (tokens, origin) = (Tokens::new(), Origin::json("{}"));
    let config = |path: &str| json!({"endpoints": [endpoint(path, "json", backend(&origin, &tokens.settings()))]});
    let gateway = Gateway::native(config("/a"));
    assert_eq!(gateway.get("/a").status(), 200);
    let mut next = config("/b");
    next["version"] = json!(3);
    next["port"] = json!(gateway.port());
    std::fs::write(gateway.folder().join("gateway.json"), next.to_string()).unwrap();
    gateway.signal("HUP");
    eventually("the new route", || {
        (gateway.get("/b").status() == 200).then_some(())
    });
    assert_eq!(tokens.asked(), 1);
}

#[test]
fn a_shadow_has_its_token_too() {
    let (tokens, origin, beside) = (Tokens::new(), Origin::json("{}"), Origin::json("{}"));
    let mut shadow = backend(&beside, &tokens.settings());
    shadow["extra_config"]["proxy"] = json!({"shadow": true});
    let mut endpoint = endpoint(
        "/x",
        "json",
        json!({"url_pattern": "/", "host": [origin.url()]}),
    );
    endpoint["backend"].as_array_mut().unwrap().push(shadow);
    let gateway = Gateway::native(json!({"endpoints": [endpoint]}));
    assert_eq!(gateway.get("/x").status(), 200);
    assert_eq!(
        beside.wait_for(1)[0].header("authorization"),
        Some(bearer(1).as_str())
    );
    assert_eq!(shown(&origin), [""]);
}

#[test]
fn a_switched_off_component_sends_no_token() {
    let (tokens, origin) = (Tokens::new(), Origin::json("{}"));
    let mut settings = tokens.settings();
    settings["is_disabled"] = json!(true);
    let gateway = Gateway::native(
        json!({"endpoints": [endpoint("/x", "json", backend(&origin, &settings))]}),
    );
    assert_eq!(gateway.get("/x").status(), 200);
    assert_eq!((shown(&origin), tokens.asked()), (vec![String::new()], 0));
}
