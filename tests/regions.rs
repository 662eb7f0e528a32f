//! Regions that stand in for each other: one file for all gateways, each in its own region; what happens when hosts die,
//! come back, flap or have too much to do. On the way of streams and of composed answers.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::{Answer, Exchange, Gateway, Origin, eventually, ports};

/// Both ways to a backend.
const PLANS: [&str; 2] = ["no-op", "json"];

/// A host that can die and come back.
struct Mortal {
    origin: Origin,
    dead: Arc<AtomicBool>,
}

impl Mortal {
    fn new() -> Self {
        let dead = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&dead);
        let origin = Origin::serve(move |exchange| match seen.load(Ordering::Relaxed) {
            true => exchange.close(),
            false => exchange.json("{}"),
        });
        Self { origin, dead }
    }

    fn dies(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    fn lives(&self) {
        self.dead.store(false, Ordering::Relaxed);
    }

    fn url(&self) -> String {
        self.origin.url()
    }

    fn calls(&self) -> usize {
        calls(&self.origin)
    }
}

/// Requests but for probes.
fn calls(origin: &Origin) -> usize {
    let all = origin.requests();
    all.iter().filter(|one| one.path() == "/up").count()
}

/// A file for `/x` over hosts in `eu` and `us`.
fn file(encoding: &str, eu: &[String], us: &[String], thresholds: &Value) -> Value {
    let endpoint = |method: &str| {
        json!({
            "endpoint": "/x", "method": method, "output_encoding": encoding, "timeout": "15s",
            "backend": [{
                "url_pattern": "/up", "method": method, "host": eu,
                "extra_config": {"hanzo/regions": {"region": "eu", "peers": {"us": us}}}
            }]
        })
    };
    json!({
        "endpoints": [endpoint("GET"), endpoint("POST")],
        "extra_config": {
            "hanzo/regions": {"region": "eu", "failover": ["eu", "us"], "thresholds": thresholds},
            "hanzo/health": {"interval": "100ms", "path": "/health", "unhealthy_after": 1}
        }
    })
}

/// Back soon, so that a test may wait for it.
fn soon() -> Value {
    json!({"return_after": "300ms", "ramp": "200ms"})
}

/// Back in an hour.
fn later() -> Value {
    json!({"return_after": "1h"})
}

fn started(file: &Value, region: &str) -> Gateway {
    let setup = Gateway::setup().argument("--region").argument(region);
    setup.native(file.clone())
}

fn regions(gateway: &Gateway) -> Value {
    let health = gateway.get("/__health").json();
    let backends = health["backends"].as_object().unwrap();
    backends.values().next().unwrap()["regions"].clone()
}

fn serving(gateway: &Gateway) -> String {
    let regions = regions(gateway);
    regions["serving"].as_str().unwrap_or_default().to_owned()
}

fn serves(gateway: &Gateway, region: &str) {
    eventually(region, || (serving(gateway) == region).then_some(()));
}

fn all_answered(gateway: &Gateway, times: usize) {
    for method in ["GET", "POST"] {
        for _ in 0..times {
            assert_eq!(ask(gateway, method).status(), 200, "{method}");
        }
    }
}

fn ask(gateway: &Gateway, method: &str) -> Answer {
    let mut client = gateway.client();
    client.request(method, "/x", &[], "");
    client.answer()
}

#[test]
fn two_gateways_of_one_file_each_call_their_own_region_first() {
    for encoding in PLANS {
        let (eu, us) = (Mortal::new(), Mortal::new());
        let file = file(encoding, &[eu.url()], &[us.url()], &later());
        let here = started(&file, "eu");
        let there = Gateway::setup()
            .variable("HANZO_REGION", "us")
            .native(file.clone());
        all_answered(&here, 5);
        assert_eq!((eu.calls(), us.calls()), (10, 0), "{encoding}");
        all_answered(&there, 5);
        assert_eq!((eu.calls(), us.calls()), (10, 10), "{encoding}");
        assert_eq!(
            (serving(&here), serving(&there)),
            ("eu".into(), "us".into())
        );
        let name = format!("127.0.0.1:{}", eu.origin.port());
        for (gateway, region) in [(&here, "eu"), (&there, "us")] {
            let stats = gateway.internal("/__stats").json();
            assert_eq!(stats["region"], region);
            assert_eq!(
                stats["backends"][0]["name"], name,
                "the same name everywhere"
            );
            assert_eq!(stats["backends"][0]["regions"]["serving"], region);
            let line = format!(
                "hanzo_gateway_region_calls_total{{region=\"{region}\",service=\"{name}\"}} 10"
            );
            assert!(gateway.metrics().contains(&line), "{line}");
        }
    }
}

#[test]
fn the_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    let (eu, us) = (Mortal::new(), Mortal::new());
    let file = file("no-op", &[eu.url()], &[us.url()], &later());
    assert_eq!(serving(&Gateway::native(file.clone())), "eu");
    let setup = || Gateway::setup().variable("HANZO_REGION", "us");
    assert_eq!(serving(&setup().native(file.clone())), "us");
    let both = setup().argument("--region").argument("eu");
    assert_eq!(serving(&both.native(file)), "eu");
}

#[test]
fn a_region_that_dies_is_left_and_comes_back_by_itself() {
    for encoding in PLANS {
        let eu = [Mortal::new(), Mortal::new()];
        let us = Mortal::new();
        let hosts: Vec<String> = eu.iter().map(Mortal::url).collect();
        let file = file(encoding, &hosts, &[us.url()], &soon());
        let gateway = started(&file, "eu");
        all_answered(&gateway, 3);
        assert_eq!(us.calls(), 0);
        eu.iter().for_each(Mortal::dies);
        serves(&gateway, "us");
        let line = gateway.log_line("region has too few healthy hosts");
        assert!(line.contains("WARN") && line.contains("eu"), "{line}");
        let why = regions(&gateway)["why"].to_string();
        assert!(why.contains("eu: 0 of 2 hosts are healthy"), "{why}");
        let before = eu[0].calls() + eu[1].calls();
        all_answered(&gateway, 10);
        assert_eq!(eu[0].calls() + eu[1].calls(), before, "{encoding}");
        eu.iter().for_each(Mortal::lives);
        let line = gateway.log_line("region has its traffic back");
        assert!(line.contains("INFO"), "{line}");
        serves(&gateway, "eu");
        let away = us.calls();
        all_answered(&gateway, 10);
        assert_eq!(us.calls(), away, "{encoding}");
    }
}

#[test]
fn a_region_that_is_back_too_soon_waits() {
    for encoding in PLANS {
        let (eu, us) = (Mortal::new(), Mortal::new());
        let gateway = started(&file(encoding, &[eu.url()], &[us.url()], &later()), "eu");
        for _ in 0..3 {
            eu.dies();
            let state = |word: &'static str| {
                eventually(word, || {
                    (regions(&gateway)["order"][0]["state"] == word).then_some(())
                });
            };
            state("down");
            eu.lives();
            state("waiting");
            let before = eu.calls();
            all_answered(&gateway, 5);
            assert_eq!(eu.calls(), before, "{encoding}");
        }
        let told = regions(&gateway);
        assert_eq!(told["serving"], "us");
        assert!(told["why"].to_string().contains("good again"), "{told}");
        assert!(told["order"][0]["returns_in_seconds"].as_f64() > Some(3000.0));
        let lines = gateway.stdout();
        assert_eq!(
            lines.matches("too few healthy hosts").count(),
            1,
            "told once"
        );
    }
}

#[test]
fn the_region_that_waits_serves_when_its_stand_in_dies() {
    let (eu, us) = (Mortal::new(), Mortal::new());
    let gateway = started(&file("no-op", &[eu.url()], &[us.url()], &later()), "eu");
    eu.dies();
    serves(&gateway, "us");
    eu.lives();
    eventually("eu to wait", || {
        (regions(&gateway)["order"][0]["state"] == "waiting").then_some(())
    });
    us.dies();
    serves(&gateway, "eu");
    all_answered(&gateway, 5);
}

#[test]
fn part_of_a_region_keeps_its_part_of_the_traffic() {
    let eu = [Mortal::new(), Mortal::new()];
    let us = Mortal::new();
    let hosts: Vec<String> = eu.iter().map(Mortal::url).collect();
    let thresholds = json!({"healthy": 1, "return_after": "1h"});
    let gateway = started(&file("no-op", &hosts, &[us.url()], &thresholds), "eu");
    eu[1].dies();
    eventually("its part", || {
        (regions(&gateway)["order"][0]["share"] == 0.5).then_some(())
    });
    let before = eu[0].calls();
    all_answered(&gateway, 100);
    let (here, away) = (eu[0].calls() - before, us.calls());
    assert!(
        (60..140).contains(&here) && (60..140).contains(&away),
        "{here} {away}"
    );
}

#[test]
fn a_dead_region_costs_no_request_although_nobody_probes() {
    for encoding in PLANS {
        for dialect in ["native", "krakend"] {
            let us = Mortal::new();
            let refusing = || format!("http://127.0.0.1:{}", ports::free());
            let mut file = file(encoding, &[refusing(), refusing()], &[us.url()], &later());
            file["extra_config"]
                .as_object_mut()
                .unwrap()
                .remove("hanzo/health");
            for endpoint in file["endpoints"].as_array_mut().unwrap() {
                let extra = &mut endpoint["backend"][0]["extra_config"];
                extra["hanzo/retry"] = json!({"tries": 2, "back_off": "1ms", "least": 1000});
            }
            let setup = Gateway::setup().argument("--compat").argument(dialect);
            let gateway = setup.native(file);
            all_answered(&gateway, 15);
            assert_eq!(us.calls(), 30, "{encoding} {dialect}");
            let stats = || gateway.internal("/__stats").json();
            eventually("both to be left out", || {
                let stats = stats();
                let first = &stats["backends"][0]["regions"]["order"][0];
                (first["state"] == "down").then_some(())
            });
        }
    }
}

#[test]
fn what_is_above_the_share_of_a_region_goes_to_the_next() {
    for encoding in PLANS {
        let eu = Origin::serve(|exchange: &mut Exchange| match exchange.request.path() {
            "/up" => exchange.stall(),
            _ => exchange.json("{}"),
        });
        let us = Mortal::new();
        let thresholds = json!({"share": 2});
        let gateway = started(&file(encoding, &[eu.url()], &[us.url()], &thresholds), "eu");
        let mut held = Vec::new();
        for count in 1..=2 {
            let mut client = gateway.client();
            client.send("GET /x HTTP/1.1\r\nHost: gw\r\n\r\n");
            eventually("the call", || (calls(&eu) == count).then_some(()));
            held.push(client);
        }
        all_answered(&gateway, 5);
        assert_eq!((calls(&eu), us.calls()), (2, 10), "{encoding}");
        let line = gateway.log_line("region is over its share");
        assert!(line.contains("WARN"), "{line}");
        let first = regions(&gateway)["order"][0].clone();
        assert_eq!(first["in_flight"], 2);
        assert_eq!(
            (&first["state"], &first["passed_on"]),
            (&json!("full"), &json!(10))
        );
        eventually("the metric", || {
            let metrics = gateway.metrics();
            let mut lines = metrics.lines();
            let counted = |line: &str| {
                line.starts_with("hanzo_gateway_region_passed_on_total{region=\"eu\"")
                    && line.ends_with(" 10")
            };
            lines.any(counted).then_some(())
        });
        held.clear();
        eventually("room", || {
            (regions(&gateway)["order"][0]["in_flight"] == 0).then_some(())
        });
    }
}

#[test]
fn a_reload_in_the_middle_changes_nothing_of_who_serves() {
    for encoding in PLANS {
        let (eu, us) = (Mortal::new(), Mortal::new());
        let gateway = started(&file(encoding, &[eu.url()], &[us.url()], &later()), "eu");
        eu.dies();
        serves(&gateway, "us");
        eu.lives();
        eventually("eu to wait", || {
            (regions(&gateway)["order"][0]["state"] == "waiting").then_some(())
        });
        let before = eu.calls();
        let path = gateway.folder().join("gateway.json");
        let mut file: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        file["endpoints"][0]["timeout"] = json!("14s");
        fs::write(&path, file.to_string()).unwrap();
        gateway.signal("HUP");
        gateway.log_line("configuration reloaded");
        all_answered(&gateway, 10);
        assert_eq!(eu.calls(), before, "{encoding}: it still waits");
        assert_eq!(regions(&gateway)["order"][0]["state"], "waiting");
        assert_eq!(gateway.internal("/__stats").json()["region"], "eu");
    }
}

#[test]
fn hosts_elsewhere_may_be_told_once_for_the_whole_service() {
    let (eu, us, other) = (Mortal::new(), Mortal::new(), Mortal::new());
    let place = |one: &Mortal| format!("127.0.0.1:{}", one.origin.port());
    let endpoint = |path: &str, host: String| {
        json!({
            "endpoint": path, "output_encoding": "no-op",
            "backend": [{"url_pattern": "/up", "host": [host]}]
        })
    };
    let file = json!({
        "endpoints": [endpoint("/x", eu.url()), endpoint("/other", other.url())],
        "extra_config": {"hanzo/regions": {"region": "eu", "peers": {"us": {place(&eu): place(&us)}}}}
    });
    let there = started(&file, "us");
    assert_eq!(there.get("/x").status(), 200);
    assert_eq!(there.get("/other").status(), 200);
    assert_eq!((eu.calls(), us.calls(), other.calls()), (0, 1, 1));
}

#[test]
fn whoever_is_not_listed_stands_in_for_nobody() {
    let (eu, us) = (Mortal::new(), Mortal::new());
    let mut file = file("no-op", &[eu.url()], &[us.url()], &later());
    let order = json!({"eu": [], "us": ["eu"]});
    file["extra_config"]["hanzo/regions"]["failover"] = order;
    let (here, there) = (started(&file, "eu"), started(&file, "us"));
    eu.dies();
    us.dies();
    assert_ne!(here.get("/x").status(), 200);
    us.lives();
    eu.dies();
    assert_ne!(here.get("/x").status(), 200, "what is in eu stays in eu");
    eu.lives();
    us.dies();
    serves(&there, "eu");
    assert_eq!(there.get("/x").status(), 200);
}

#[test]
fn a_gateway_in_a_region_without_hosts_begins_with_the_next() {
    let (eu, us) = (Mortal::new(), Mortal::new());
    let mut file = file("no-op", &[eu.url()], &[us.url()], &later());
    let order = json!({"edge": ["us", "eu"], "eu": ["us"], "us": ["eu"]});
    file["extra_config"]["hanzo/regions"]["failover"] = order;
    let gateway = started(&file, "edge");
    all_answered(&gateway, 3);
    assert_eq!((eu.calls(), us.calls()), (0, 6));
}

#[test]
fn a_region_that_the_file_does_not_know_refuses_the_start() {
    let (eu, us) = (Mortal::new(), Mortal::new());
    let file = file("no-op", &[eu.url()], &[us.url()], &later());
    let setup = Gateway::setup().argument("--region").argument("mars");
    let refused = setup.refused(file.clone());
    for text in ["the file knows no region", "mars", "\"eu\", \"us\""] {
        assert!(refused.stderr.contains(text), "{text}: {}", refused.stderr);
    }
    assert_eq!(refused.stderr.matches("error[").count(), 1, "told once");
    let setup = || Gateway::setup().variable("HANZO_REGION", "mars");
    assert_eq!(setup().command(&["check"], file).code, Some(1));
    let nowhere = setup().native(json!({"endpoints": []}));
    assert!(
        nowhere.stderr().contains("knows no regions"),
        "only a warning"
    );
}

#[test]
fn the_shipped_file_is_good_in_every_region_that_it_names() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = folder.join("conf/regions/gateway.json");
    let check = |words: &[&str]| {
        let words = [&["check", "-l", "-c", path.to_str().unwrap()], words].concat();
        Gateway::setup().spawn(&words).ended()
    };
    for region in ["eu", "us", "ap", "edge-za"] {
        let output = check(&["--region", region]);
        assert_eq!(output.code, Some(0), "{region}: {}", output.stderr);
    }
    assert_eq!(check(&[]).code, Some(0));
    assert_eq!(check(&["--region", "mars"]).code, Some(1));
}

#[test]
fn mistakes_in_regions_refuse_the_file() {
    let (eu, us) = (Mortal::new(), Mortal::new());
    let good = file("no-op", &[eu.url()], &[us.url()], &later());
    let here = "/extra_config/hanzo~1regions";
    let backend = "/endpoints/0/backend/0/extra_config/hanzo~1regions";
    for (at, key, wrong, text) in [
        (
            here,
            "failover",
            json!(["eu", "su"]),
            "no backend has hosts in region",
        ),
        (
            here,
            "failover",
            json!({"eu": ["su"]}),
            "no backend has hosts in region",
        ),
        (
            backend,
            "failover",
            json!(["su"]),
            "no backend has hosts in region",
        ),
        (
            backend,
            "peers",
            json!({"eu": [eu.url()]}),
            "where the hosts of the backend itself are",
        ),
        (backend, "peers", json!({"us": ["no host"]}), "is no host"),
        (backend, "thresholds", json!({"healthy": 2}), "healthy"),
    ] {
        let mut file = good.clone();
        file.pointer_mut(at).unwrap()[key] = wrong.clone();
        let refused = Gateway::refused(file);
        assert!(
            refused.stderr.contains(text),
            "{key} {wrong}: {}",
            refused.stderr
        );
    }
    let mut file = good;
    file.pointer_mut(here).unwrap()["failover"] = json!({"eu": ["us"], "us": []});
    file["endpoints"][0]["backend"][0]["extra_config"]["hanzo/regions"]["peers"] = json!({});
    let setup = Gateway::setup().argument("--region").argument("us");
    let refused = setup.refused(file);
    let text = "no region with hosts of this backend stands in for";
    assert!(refused.stderr.contains(text), "{}", refused.stderr);
}

#[test]
fn explain_tells_the_order_as_seen_from_a_region() {
    let (eu, us) = (Mortal::new(), Mortal::new());
    let file = file("no-op", &[eu.url()], &[us.url()], &later());
    for (region, order) in [
        ("eu", "eu (1 host, here), then us (1 host)"),
        ("us", "us (1 host, here), then eu (1 host)"),
    ] {
        let setup = Gateway::setup();
        let told = setup.command(&["explain", "/x", "--region", region], file.clone());
        assert_eq!(told.code, Some(0), "{}", told.stderr);
        assert!(told.stdout.contains(order), "{}", told.stdout);
    }
}

#[test]
fn a_websocket_goes_to_the_region_that_serves() {
    let us = Origin::serve_heads(|exchange| {
        let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        exchange.raw(format!("HTTP/1.1 101 Switching Protocols\r\n{fields}"));
        exchange.stall();
    });
    let refusing = format!("http://127.0.0.1:{}", ports::free());
    let mut file = file("no-op", &[refusing], &[us.url()], &later());
    file["extra_config"]
        .as_object_mut()
        .unwrap()
        .remove("hanzo/health");
    file["endpoints"][0]["input_headers"] = json!(["*"]);
    let gateway = started(&file, "eu");
    let mut client = gateway.client();
    client.send(
        "GET /x HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(client.any_head().word(1), "101");
}

#[test]
fn a_host_of_another_region_is_told_where_a_call_comes_from_and_nobody_else() {
    for encoding in PLANS {
        let (eu, us) = (Mortal::new(), Mortal::new());
        let mut file = file(encoding, &[eu.url()], &[us.url()], &later());
        file["endpoints"][0]["input_headers"] = json!(["*"]);
        let gateway = started(&file, "eu");
        let told = |origin: &Origin| {
            let mut all = origin.requests();
            all.retain(|one| one.path() == "/up");
            let last = all.pop().unwrap();
            last.header("x-gateway-region").map(str::to_owned)
        };
        all_answered(&gateway, 1);
        assert_eq!(told(&eu.origin), None);
        let mut client = gateway.client();
        client.request("GET", "/x", &[("X-Gateway-Region", "mars")], "");
        assert_eq!(client.answer().status(), 200);
        assert_eq!(told(&eu.origin), None, "{encoding}: a client's word");
        eu.dies();
        serves(&gateway, "us");
        all_answered(&gateway, 1);
        assert_eq!(told(&us.origin).as_deref(), Some("eu"), "{encoding}");
    }
}

#[test]
fn a_call_that_came_from_another_regions_gateway_is_not_sent_on() {
    for encoding in PLANS {
        let refusing = format!("http://127.0.0.1:{}", ports::free());
        let end = Mortal::new();
        // In us: its own host is dead, and the one in eu works.
        let mut second = file(
            encoding,
            &[end.url()],
            std::slice::from_ref(&refusing),
            &later(),
        );
        for endpoint in second["endpoints"].as_array_mut().unwrap() {
            endpoint["endpoint"] = json!("/up");
        }
        let second = started(&second, "us");
        let direct = second.get("/up");
        assert_eq!((direct.status(), end.calls()), (200, 1), "{encoding}");
        // In eu: its own host is dead, and in us is a gateway.
        let peer = format!("http://127.0.0.1:{}", second.port());
        let first = started(&file(encoding, &[refusing], &[peer], &later()), "eu");
        let answer = first.get("/x");
        assert!(answer.status() >= 500, "{encoding}: {}", answer.status());
        assert_eq!(end.calls(), 1, "{encoding}: it went round");
    }
}
