//! Which of several hosts gets a call: by rule, by weight, by key; without those that are down or fail; again at
//! another host where one fails. On the way of streams and of composed answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};

use crate::support::{Exchange, Gateway, Origin, eventually, ports};

/// Both ways to a backend.
const PLANS: [&str; 2] = ["no-op", "json"];

/// One endpoint `/x` with `GET` and one with `POST`, over hosts.
fn config(encoding: &str, hosts: &[String], extra: &Value) -> Value {
    let endpoint = |method: &str| {
        json!({
            "endpoint": "/x", "method": method, "output_encoding": encoding, "timeout": "15s",
            "input_headers": ["X-User"],
            "backend": [{"url_pattern": "/up", "method": method, "host": hosts, "extra_config": extra}]
        })
    };
    json!({"endpoints": [endpoint("GET"), endpoint("POST")]})
}

fn hosts(origins: &[&Origin]) -> Vec<String> {
    origins.iter().map(|origin| origin.url()).collect()
}

fn refusing() -> String {
    format!("http://127.0.0.1:{}", ports::free())
}

fn share(origin: &Origin) -> usize {
    origin.requests().len()
}

#[test]
fn round_robin_and_weights_are_exact() {
    for encoding in PLANS {
        let (a, b) = (Origin::json("{}"), Origin::json("{}"));
        let extra = json!({"hanzo/balance": {"method": "round_robin", "weights": [3, 1]}});
        let gateway = Gateway::native(config(encoding, &hosts(&[&a, &b]), &extra));
        let mut client = gateway.client();
        for _ in 0..40 {
            assert_eq!(client.get("/x").status(), 200);
        }
        assert_eq!((share(&a), share(&b)), (30, 10), "{encoding}");
    }
}

#[test]
fn weights_that_fit_no_hosts_refuse_the_file() {
    let extra = json!({"hanzo/balance": {"weights": [3, 1]}});
    let refused = Gateway::refused(config(
        "json",
        &["http://a.example:8080".to_owned()],
        &extra,
    ));
    let said = refused.stdout + &refused.stderr;
    assert!(said.contains("2 weights for 1 hosts"), "{said}");
}

#[test]
fn a_caller_stays_at_one_host_by_a_field_or_a_cookie() {
    let keyed = |hash: Value, field: fn(usize) -> String| {
        for encoding in PLANS {
            let origins = [Origin::json("{}"), Origin::json("{}"), Origin::json("{}")];
            let all: Vec<&Origin> = origins.iter().collect();
            let extra = json!({"hanzo/balance": {"hash": hash}});
            let gateway = Gateway::native(config(encoding, &hosts(&all), &extra));
            for user in 0..12 {
                let before: Vec<usize> = all.iter().map(|one| share(one)).collect();
                for _ in 0..3 {
                    let mut client = gateway.client();
                    client.send(format!(
                        "GET /x HTTP/1.1\r\nHost: gw\r\n{}\r\n\r\n",
                        field(user)
                    ));
                    assert_eq!(client.answer().status(), 200);
                }
                let grown = all
                    .iter()
                    .zip(&before)
                    .filter(|(one, had)| share(one) > **had);
                assert_eq!(grown.count(), 1, "{encoding}: {} moved", field(user));
            }
            assert!(all.iter().filter(|one| share(one) > 0).count() > 1);
        }
    };
    keyed(json!({"header": "X-User"}), |user| {
        format!("X-User: {user}")
    });
    keyed(json!({"cookie": "sid"}), |user| {
        format!("Cookie: a=b; sid={user}")
    });
}

#[test]
fn the_host_with_fewer_calls_under_way_is_preferred() {
    let slow = Origin::serve(Exchange::stall);
    let quick = Origin::json("{}");
    let extra = json!({"hanzo/balance": {"method": "least_requests"}});
    let gateway = Gateway::native(config("no-op", &hosts(&[&slow, &quick]), &extra));
    let mut held = Vec::new();
    // One call after the other is seen somewhere; those that hang are held.
    let mut call = || {
        let (slows, quicks) = (share(&slow), share(&quick));
        let mut client = gateway.client();
        client.send("GET /x HTTP/1.1\r\nHost: gw\r\n\r\n");
        let quickly = eventually("the call", || {
            let (now, quickly) = (share(&slow), share(&quick) > quicks);
            (quickly || now > slows).then_some(quickly)
        });
        match quickly {
            true => assert_eq!(client.answer().status(), 200),
            false => held.push(client),
        }
    };
    while share(&slow) == 0 {
        call();
    }
    let (stuck, before) = (share(&slow), share(&quick));
    for _ in 0..30 {
        call();
    }
    let (more, most) = (share(&slow) - stuck, share(&quick) - before);
    // A call of the quick one counts until a moment after its answer: until two hang at the other it may be a tie.
    assert!(more < 4, "{more} {most}");
}

#[test]
fn a_host_that_refuses_costs_no_request_and_is_left_out() {
    for encoding in PLANS {
        for method in ["GET", "POST"] {
            let good = Origin::json("{}");
            let all = vec![refusing(), good.url()];
            let extra = json!({"hanzo/retry": {"back_off": "1ms", "least": 100}});
            let gateway = Gateway::native(config(encoding, &all, &extra));
            for _ in 0..30 {
                let mut client = gateway.client();
                client.request(method, "/x", &[], "");
                assert_eq!(client.answer().status(), 200, "{encoding} {method}");
            }
            let stats = gateway.internal("/__stats").json();
            let words = stats["backends"][0]["hosts"].to_string();
            assert!(words.contains("ejected"), "{words}");
        }
    }
}

#[test]
fn what_may_not_be_done_twice_is_not_when_a_host_may_have_seen_it() {
    for encoding in PLANS {
        let dying = Origin::serve(Exchange::close);
        let good = Origin::json("{}");
        let extra =
            json!({"hanzo/balance": {"method": "round_robin"}, "hanzo/retry": {"least": 100}});
        let gateway = Gateway::native(config(encoding, &hosts(&[&dying, &good]), &extra));
        let statuses = |method: &str| {
            let mut seen: HashMap<u16, usize> = HashMap::new();
            for _ in 0..4 {
                let mut client = gateway.client();
                client.request(method, "/x", &[], "");
                *seen.entry(client.answer().status()).or_default() += 1;
            }
            seen
        };
        assert_eq!(
            statuses("POST"),
            HashMap::from([(200, 2), (502, 2)]),
            "{encoding}"
        );
        assert_eq!(statuses("GET"), HashMap::from([(200, 4)]), "{encoding}");
    }
}

#[test]
fn statuses_of_the_list_are_passed_over_for_another_hosts() {
    for encoding in PLANS {
        let busy = Origin::serve(|exchange| exchange.answer(503, &[], "{}"));
        let good = Origin::json("{}");
        let extra = json!({
            "hanzo/balance": {"outliers": {"failures": 0}},
            "hanzo/retry": {"statuses": [503], "least": 100, "back_off": "1ms"}
        });
        let gateway = Gateway::native(config(encoding, &hosts(&[&busy, &good]), &extra));
        let mut client = gateway.client();
        for _ in 0..20 {
            assert_eq!(client.get("/x").status(), 200, "{encoding}");
        }
        assert!(share(&busy) > 0);
    }
}

#[test]
fn a_host_that_hangs_costs_a_try_and_not_the_request() {
    for encoding in PLANS {
        let hanging = Origin::serve(Exchange::stall);
        let good = Origin::json("{}");
        let extra =
            json!({"hanzo/retry": {"try_timeout": "100ms", "least": 100, "back_off": "1ms"}});
        let gateway = Gateway::native(config(encoding, &hosts(&[&hanging, &good]), &extra));
        for _ in 0..12 {
            assert_eq!(gateway.get("/x").status(), 200, "{encoding}");
        }
        assert!(share(&hanging) < 12, "left out at some time");
    }
}

#[test]
fn whatever_one_of_three_hosts_does_no_request_fails() {
    type Act = fn(&mut Exchange);
    let ways: [(&str, Act); 5] = [
        ("closes", Exchange::close),
        ("stalls", Exchange::stall),
        ("garbage", |exchange| {
            exchange.raw("\x16\x03\x01 nonsense\r\n\r\n");
            exchange.close();
        }),
        ("half a head", |exchange| {
            exchange.raw("HTTP/1.1 200 OK\r\nContent-Le");
            exchange.close();
        }),
        ("errors", |exchange| exchange.answer(500, &[], "no")),
    ];
    for encoding in PLANS {
        for (name, act) in ways {
            let bad = Origin::serve(act);
            let good = [Origin::json("{}"), Origin::json("{}")];
            let extra = json!({
                "hanzo/balance": {"method": "round_robin"},
                "hanzo/retry": {"tries": 3, "try_timeout": "200ms", "statuses": [500], "least": 1000, "back_off": "1ms"}
            });
            let all = hosts(&[&bad, &good[0], &good[1]]);
            let gateway = Gateway::native(config(encoding, &all, &extra));
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let mut client = gateway.client();
                        for _ in 0..10 {
                            assert_eq!(client.get("/x").status(), 200, "{encoding} {name}");
                        }
                    });
                }
            });
            assert!(share(&bad) < 30, "{encoding} {name}: it was left out");
        }
    }
}

#[test]
fn calls_made_again_stay_within_their_budget() {
    for encoding in PLANS {
        let bad = [
            Origin::serve(Exchange::close),
            Origin::serve(Exchange::close),
        ];
        let extra =
            json!({"hanzo/retry": {"tries": 5, "back_off": "0s", "budget": 20, "least": 3}});
        let gateway = Gateway::native(config(encoding, &hosts(&[&bad[0], &bad[1]]), &extra));
        for _ in 0..100 {
            assert_eq!(gateway.get("/x").status(), 502);
        }
        let calls = share(&bad[0]) + share(&bad[1]);
        assert!((103..=120).contains(&calls), "{encoding}: {calls}");
    }
}

#[test]
fn the_krakend_dialect_repeats_nothing_and_leaves_nobody_out() {
    let good = Origin::json("{}");
    let gateway = Gateway::krakend(config("json", &[refusing(), good.url()], &json!({})));
    let failed = (0..60)
        .filter(|_| gateway.get("/x").status() == 500)
        .count();
    assert!((10..50).contains(&failed), "{failed}");
}

/// An origin that answers its probes with the status in the cell, and all else well.
fn probed() -> (Origin, Arc<AtomicU16>) {
    let cell = Arc::new(AtomicU16::new(200));
    let shown = Arc::clone(&cell);
    let origin = Origin::serve(move |exchange| match exchange.request.path() {
        "/health" => exchange.answer(shown.load(Ordering::Relaxed), &[], "{}"),
        _ => exchange.json("{}"),
    });
    (origin, cell)
}

fn calls(origin: &Origin) -> usize {
    let all = origin.requests();
    all.iter().filter(|one| one.path() == "/up").count()
}

fn status_of(gateway: &Gateway, origin: &Origin) -> String {
    let health = gateway.get("/__health").json();
    let backends = health["backends"].as_object().unwrap();
    let hosts = &backends.values().next().unwrap()["hosts"];
    hosts[origin.url()]["status"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_host_that_is_down_gets_no_calls_until_it_is_up_again() {
    let (a, mood) = probed();
    let (b, _) = probed();
    let health = json!({"interval": "100ms", "path": "/health", "unhealthy_after": 2});
    let mut file = config(
        "no-op",
        &hosts(&[&a, &b]),
        &json!({"hanzo/balance": {"slow_start": "0s"}}),
    );
    file["extra_config"] = json!({"hanzo/health": health});
    let gateway = Gateway::native(file);
    mood.store(500, Ordering::Relaxed);
    eventually("the probe", || {
        (status_of(&gateway, &a) == "down").then_some(())
    });
    let before = calls(&a);
    for _ in 0..20 {
        assert_eq!(gateway.get("/x").status(), 200);
    }
    assert_eq!(calls(&a), before);
    let answer = gateway.get("/__health");
    let name = format!("127.0.0.1:{}", a.port());
    assert_eq!(
        answer.json()["backends"][name]["status"],
        "up",
        "one host is left"
    );
    mood.store(200, Ordering::Relaxed);
    eventually("its return", || {
        gateway.get("/x");
        (calls(&a) > before).then_some(())
    });
    assert_eq!(status_of(&gateway, &a), "up");
}

#[test]
fn what_probes_know_outlives_a_reload() {
    let (a, mood) = probed();
    let (b, _) = probed();
    mood.store(500, Ordering::Relaxed);
    let extra = json!({"hanzo/balance": {"health": {"interval": "100ms", "path": "/health", "unhealthy_after": 1, "healthy_after": 1000}}});
    let gateway = Gateway::native(config("json", &hosts(&[&a, &b]), &extra));
    eventually("the probe", || {
        (status_of(&gateway, &a) == "down").then_some(())
    });
    mood.store(200, Ordering::Relaxed);
    gateway.signal("HUP");
    gateway.log_line("configuration reloaded");
    let before = calls(&a);
    for _ in 0..20 {
        assert_eq!(gateway.get("/x").status(), 200);
    }
    assert_eq!(calls(&a), before);
    assert_eq!(status_of(&gateway, &a), "down");
}

/// Writes another file and waits until it counts: `path` is new in it.
fn reload(gateway: &Gateway, mut config: Value, path: &str) {
    let probe = json!({"endpoint": path, "backend": [{"url_pattern": "/", "host": [refusing()]}]});
    config["endpoints"].as_array_mut().unwrap().push(probe);
    (config["port"], config["version"]) = (json!(gateway.port()), json!(3));
    let (next, file) = (
        gateway.folder().join("next"),
        gateway.folder().join("gateway.json"),
    );
    std::fs::write(&next, config.to_string()).unwrap();
    std::fs::rename(next, file).unwrap();
    gateway.signal("HUP");
    eventually("the new file", || {
        (gateway.get(path).status() != 404).then_some(())
    });
}

#[test]
fn a_host_that_is_down_stays_out_when_hosts_and_pools_come_and_go() {
    let (a, mood) = probed();
    let (b, _) = probed();
    let (c, _) = probed();
    // A host that was down once stays so as long as this test lasts.
    let health =
        json!({"interval": "1h", "path": "/health", "unhealthy_after": 1, "healthy_after": 1000});
    let file = |hosts: &[String], balance: &str| {
        let extra = json!({"hanzo/balance": {"method": balance}, "hanzo/retry": {"tries": 1}});
        let mut file = config("no-op", hosts, &extra);
        file["extra_config"] = json!({"hanzo/health": health});
        file
    };
    mood.store(500, Ordering::Relaxed);
    let gateway = Gateway::native(file(&hosts(&[&a, &b]), "round_robin"));
    eventually("the probe", || {
        (status_of(&gateway, &a) == "down").then_some(())
    });
    mood.store(200, Ordering::Relaxed);
    for (path, all, balance) in [
        ("/new-host", hosts(&[&a, &b, &c]), "round_robin"),
        ("/new-rule", hosts(&[&a, &b, &c]), "random"),
        ("/host-less", hosts(&[&a, &c]), "random"),
    ] {
        reload(&gateway, file(&all, balance), path);
        let before = calls(&a);
        for _ in 0..20 {
            assert_eq!(gateway.get("/x").status(), 200);
        }
        assert_eq!(calls(&a), before, "{path}");
    }
    // What nobody probes any more is nothing that anybody knows.
    let mut file = file(&hosts(&[&a, &c]), "random");
    file["extra_config"] = json!({});
    reload(&gateway, file, "/no-probes");
    let before = calls(&a);
    eventually("its calls", || {
        gateway.get("/x");
        (calls(&a) > before).then_some(())
    });
}

#[test]
fn a_good_probe_brings_back_who_is_out_because_calls_failed() {
    let failing = Arc::new(AtomicU16::new(500));
    let shown = Arc::clone(&failing);
    let origin = Origin::serve(move |exchange| match exchange.request.path() {
        "/health" => exchange.answer(200, &[], "{}"),
        _ => exchange.answer(shown.load(Ordering::Relaxed), &[], "{}"),
    });
    let good = Origin::json("{}");
    let extra = json!({"hanzo/balance": {
        "method": "round_robin", "slow_start": "0s",
        "outliers": {"failures": 1, "ejection": "10m", "longest": "10m"},
        "health": {"interval": "100ms", "path": "/health"}
    }});
    let gateway = Gateway::native(config("no-op", &hosts(&[&origin, &good]), &extra));
    eventually("the failure", || {
        gateway.get("/x");
        gateway.stdout().contains("is left out").then_some(())
    });
    failing.store(200, Ordering::Relaxed);
    let before = calls(&origin);
    eventually("its return", || {
        gateway.get("/x");
        (calls(&origin) > before + 5).then_some(())
    });
}

#[test]
fn no_try_is_waited_for_that_comes_too_late() {
    for encoding in PLANS {
        let extra = json!({"hanzo/retry": {"tries": 5, "back_off": "10s", "least": 100}});
        let mut file = config(encoding, &[refusing(), refusing()], &extra);
        file["endpoints"][0]["timeout"] = json!("200ms");
        let gateway = Gateway::native(file);
        for _ in 0..5 {
            // Not the time-out that a wait would end in.
            assert_eq!(gateway.get("/x").status(), 502, "{encoding}");
        }
    }
}

#[test]
fn a_backend_that_says_when_to_come_back_is_not_asked_before_unless_it_has_another_host() {
    let busy = || Origin::serve(|exchange| exchange.answer(503, &[("retry-after", "30")], "{}"));
    for encoding in PLANS {
        let extra = json!({
            "hanzo/retry": {"statuses": [503], "tries": 5, "least": 100, "back_off": "1ms"},
            "backend/http": {"return_error_code": true}
        });
        let (one, other) = (busy(), busy());
        let gateway = Gateway::native(config(encoding, &hosts(&[&one]), &extra));
        assert_eq!(gateway.get("/x").status(), 503);
        assert_eq!(share(&one), 1, "{encoding}");
        let gateway = Gateway::native(config(encoding, &hosts(&[&one, &other]), &extra));
        assert_eq!(gateway.get("/x").status(), 503);
        assert_eq!((share(&one), share(&other)), (2, 1), "{encoding}");
    }
}

#[test]
fn a_host_without_a_share_gets_nothing_by_a_key_either() {
    let idle = Origin::json("{}");
    let extra = json!({
        "hanzo/balance": {"hash": {"header": "X-User"}, "weights": [1, 0]},
        "hanzo/retry": {"least": 100, "back_off": "1ms"}
    });
    let gateway = Gateway::native(config("json", &[refusing(), idle.url()], &extra));
    for _ in 0..10 {
        assert_eq!(gateway.get("/x").status(), 502);
    }
    assert_eq!(share(&idle), 0);
}

#[test]
fn when_all_are_down_they_are_tried_unless_the_file_says_otherwise() {
    for (word, status) in [("try", 200), ("refuse", 503)] {
        for encoding in PLANS {
            let (a, mood) = probed();
            let (b, other) = probed();
            mood.store(500, Ordering::Relaxed);
            other.store(500, Ordering::Relaxed);
            let health = json!({"interval": "100ms", "path": "/health", "unhealthy_after": 1});
            let extra = json!({"hanzo/balance": {"all_down": word, "health": health}});
            let gateway = Gateway::native(config(encoding, &hosts(&[&a, &b]), &extra));
            for origin in [&a, &b] {
                eventually("the probes", || {
                    (status_of(&gateway, origin) == "down").then_some(())
                });
            }
            let answer = gateway.get("/x");
            assert_eq!(answer.status(), status, "{word} {encoding}");
            if status == 503 {
                answer.assert_error(503, "service_unavailable");
                assert!(answer.header("retry-after").is_some());
            }
        }
    }
}
