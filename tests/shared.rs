//! Limits that several gateways count together in a real store: what they add up to, and what happens while the store is
//! slow, away, or has forgotten everything. Rates are so low that nothing comes in during a test.

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Origin, Store, eventually};
use crate::tls::Certificates;

fn plan(store: &Value, plan: Value) -> Value {
    json!({"hanzo/ratelimit": {"global": {"rate": 0}, "tiers": {"only": plan}, "store": store}})
}

fn gateway(origin: &Origin, extra: Value) -> Gateway {
    Gateway::native(json!({
        "timeout": "5s", "extra_config": extra,
        "endpoints": [{"endpoint": "/a", "output_encoding": "no-op",
            "backend": [{"url_pattern": "/up", "host": [origin.url()]}]}]
    }))
}

fn is_up(gateway: &Gateway, up: u8) {
    let line = format!("hanzo_gateway_rate_limit_store_up{{store=\"hanzo\"}} {up}");
    eventually(&line, || gateway.metrics().contains(&line).then_some(()));
}

fn left(answer: &Answer) -> u64 {
    answer
        .header("x-ratelimit-remaining")
        .unwrap()
        .parse()
        .unwrap()
}

/// What a caller took of its day, as the store knows it.
fn used(store: &Store, tokens: u64) {
    let known = || (store.sum("u") - tokens as f64 * 1_000.0).abs() < 0.5;
    eventually(&format!("{tokens} in the store"), || known().then_some(()));
}

fn passed(gateway: &Gateway, times: usize) -> usize {
    (0..times)
        .filter(|_| gateway.get("/a").status() == 200)
        .count()
}

#[test]
fn two_gateways_give_a_caller_together_what_one_would() {
    let (origin, store) = (Origin::json("{}"), Store::start());
    let settings = plan(
        &json!({"valkey": store.url()}),
        json!({"per_minute": 0.01, "burst": 100, "per_day": 1000}),
    );
    let gateways = [(); 2].map(|()| gateway(&origin, settings.clone()));
    gateways.iter().for_each(|gateway| is_up(gateway, 1));
    // However late the store's answers are: half of the bucket is this gateway's to go ahead by, and more when they are.
    for n in 0..60 {
        assert_eq!(gateways[0].get("/a").status(), 200, "{n}");
    }
    used(&store, 60);
    // The other hears of it with its first report.
    assert_eq!(gateways[1].get("/a").status(), 200);
    used(&store, 61);
    let left = eventually("the rest of both", || {
        let left = left(&gateways[1].get("/a"));
        (left < 40).then_some(left)
    });
    let more = passed(&gateways[1], 100);
    // What the first one did not use of its lease comes back meanwhile, and a little may be owed.
    assert!(more as u64 <= left + 10 + 16, "{more} of {left}");
    let answer = gateways[1].get("/a");
    answer.assert_error(429, "rate_limit_exceeded");
    assert!(
        answer
            .header("proxy-status")
            .unwrap()
            .contains("tier_minute_exhausted")
    );
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("0"));
    // And the first one soon knows too, although it has 40 left for itself.
    eventually("the first one to know", || {
        (gateways[0].get("/a").status() == 429).then_some(())
    });
    // None is lost: what lay unused in a lease is had at either in the end.
    eventually("all hundred", || {
        gateways.iter().for_each(|gateway| drop(gateway.get("/a")));
        (origin.requests().len() >= 100).then_some(())
    });
    let all = origin.requests().len();
    assert!(all <= 100 + 2 * 16, "{all}");
}

#[test]
fn many_requests_are_few_calls() {
    let (origin, store) = (Origin::json("{}"), Store::start());
    let settings = plan(
        &json!({"valkey": store.url()}),
        json!({"per_minute": 6000, "burst": 3000, "per_day": 100_000}),
    );
    let gateway = gateway(&origin, settings);
    is_up(&gateway, 1);
    let before = store.calls();
    let mut client = gateway.client();
    let started = std::time::Instant::now();
    for _ in 0..1_000 {
        assert_eq!(client.get("/a").status(), 200);
    }
    let took = started.elapsed();
    used(&store, 1_000);
    let calls = u128::from(store.calls() - before);
    // One for each two hundred, one each half of a second, and some when leases are first found to be too small.
    let most = 5 + took.as_millis() / 500 + 12;
    assert!(calls <= most, "{calls} calls in {took:?}");
}

#[test]
fn a_day_outlives_the_gateway() {
    let (origin, store) = (Origin::json("{}"), Store::start());
    let settings = plan(&json!({"valkey": store.url()}), json!({"per_day": 5}));
    let first = gateway(&origin, settings.clone());
    is_up(&first, 1);
    assert_eq!(passed(&first, 3), 3);
    used(&store, 3);
    drop(first);
    let second = gateway(&origin, settings);
    is_up(&second, 1);
    assert_eq!(second.get("/a").status(), 200);
    used(&store, 4);
    eventually("what was used before", || {
        let answer = second.get("/a");
        (answer.status() == 429).then_some(())
    });
    // One more passed than the day has at most: the request that was the first to be told.
    used(&store, origin.requests().len() as u64);
    assert!(origin.requests().len() <= 6);
}

#[test]
fn a_store_that_dies_leaves_local_limits_and_hears_of_everything_when_it_is_back() {
    let origin = Origin::json("{}");
    let mut store = Store::start();
    let settings = plan(
        &json!({"valkey": store.url()}),
        json!({"per_minute": 0.01, "burst": 20, "per_day": 1000}),
    );
    let gateway = gateway(&origin, settings);
    is_up(&gateway, 1);
    assert_eq!(passed(&gateway, 5), 5);
    used(&store, 5);
    store.kill();
    assert_eq!(passed(&gateway, 5), 5);
    is_up(&gateway, 0);
    let line = gateway.log_line("the store of shared limits is away");
    assert!(line.contains("WARN"), "{line}");
    assert_eq!(passed(&gateway, 15), 10, "the local limit holds");
    store.again();
    is_up(&gateway, 1);
    gateway.log_line("limits are shared");
    // It forgot the first five and is taught them again.
    used(&store, 20);
    assert_eq!(gateway.get("/a").status(), 429);
}

#[test]
fn a_store_that_hangs_holds_nobody_up() {
    let (origin, store) = (Origin::json("{}"), Store::start());
    let settings = plan(
        &json!({"valkey": store.url()}),
        json!({"per_minute": 0.01, "burst": 500, "per_day": 1000}),
    );
    let gateway = gateway(&origin, settings);
    is_up(&gateway, 1);
    assert_eq!(gateway.get("/a").status(), 200);
    used(&store, 1);
    store.signal("STOP");
    // Local limits decide as soon as the store is found to be slow; until then there is what may be owed.
    assert!(passed(&gateway, 10) == 10);
    is_up(&gateway, 0);
    assert_eq!(passed(&gateway, 50), 50);
    store.signal("CONT");
    is_up(&gateway, 1);
    used(&store, 61);
}

#[test]
fn a_store_that_was_emptied_is_taught_the_day_again() {
    let (origin, store) = (Origin::json("{}"), Store::start());
    let settings = plan(
        &json!({"valkey": store.url()}),
        json!({"per_minute": 0.01, "burst": 50, "per_day": 1000}),
    );
    let gateways = [(); 2].map(|()| gateway(&origin, settings.clone()));
    gateways.iter().for_each(|gateway| is_up(gateway, 1));
    assert_eq!(passed(&gateways[0], 10), 10);
    used(&store, 10);
    let _: String = store.ask(&["FLUSHALL"]);
    assert_eq!(passed(&gateways[0], 1), 1);
    used(&store, 11);
    let metrics = gateways[0].metrics();
    assert!(metrics.contains("store_up{store=\"hanzo\"} 1"), "{metrics}");
}

#[test]
fn a_day_that_the_store_forgot_is_what_the_gateways_know_of_it() {
    let (origin, store) = (Origin::json("{}"), Store::start());
    let settings = plan(&json!({"valkey": store.url()}), json!({"per_day": 20}));
    let gateways = [(); 2].map(|()| gateway(&origin, settings.clone()));
    gateways.iter().for_each(|gateway| is_up(gateway, 1));
    assert_eq!(passed(&gateways[0], 10), 10);
    used(&store, 10);
    assert_eq!(passed(&gateways[1], 1), 1);
    used(&store, 11);
    let _: String = store.ask(&["FLUSHALL"]);
    // The second one was told of the first one's ten.
    let mut more = 0;
    while gateways[1].get("/a").status() == 200 {
        more += 1;
    }
    assert!(more <= 9, "{more}");
    used(&store, 11 + more);
}

#[test]
fn a_store_that_takes_no_writes_is_away_and_told_of_once() {
    let origin = Origin::json("{}");
    // A replica of nobody.
    let store = Store::with(&["--replicaof", "127.0.0.1", "1"]);
    let settings = plan(
        &json!({"valkey": store.url()}),
        json!({"per_minute": 0.01, "burst": 20, "per_day": 1000}),
    );
    let gateway = gateway(&origin, settings);
    assert_eq!(passed(&gateway, 25), 20, "the local limit holds");
    let failed = "hanzo_gateway_rate_limit_store_calls_total{result=\"error\",store=\"hanzo\"} ";
    eventually("some attempts", || {
        let metrics = gateway.metrics();
        let line = metrics.lines().find_map(|line| line.strip_prefix(failed))?;
        (line.parse::<f64>().ok()? >= 4.0).then_some(())
    });
    let told = |words: &str| gateway.stdout().matches(words).count();
    assert_eq!(told("the store of shared limits is away"), 1);
    assert_eq!(told("limits are shared"), 0);
    let _: String = store.ask(&["REPLICAOF", "NO", "ONE"]);
    is_up(&gateway, 1);
    used(&store, 20);
}

#[test]
fn what_somebody_else_wrote_in_the_store_stops_nobody() {
    let (origin, store) = (Origin::json("{}"), Store::start());
    let settings = plan(
        &json!({"valkey": store.url()}),
        json!({"per_minute": 0.01, "burst": 20, "per_day": 1000}),
    );
    let gateway = gateway(&origin, settings);
    is_up(&gateway, 1);
    assert_eq!(passed(&gateway, 5), 5);
    used(&store, 5);
    let keys: Vec<String> = store.ask(&["KEYS", "hzrl:*"]);
    for key in keys {
        let _: String = store.ask(&["SET", &key, "nonsense"]);
    }
    assert_eq!(passed(&gateway, 1), 1);
    eventually("the day in the store", || {
        let keys: Vec<String> = store.ask(&["KEYS", "hzrl:*"]);
        let counted = |key: &String| store.ask::<String>(&["TYPE", key]) == "hash";
        keys.iter().any(counted).then_some(())
    });
    assert!(gateway.metrics().contains("store_up{store=\"hanzo\"} 1"));
}

/// A way to a port on which everything takes a tenth of a second, each way.
fn slow(port: u16) -> u16 {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    let carry = |mut from: TcpStream, mut to: TcpStream| {
        std::thread::spawn(move || {
            let mut bytes = [0; 1 << 16];
            while let Ok(len @ 1..) = from.read(&mut bytes) {
                std::thread::sleep(std::time::Duration::from_millis(100));
                if to.write_all(&bytes[..len]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
    };
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let far = TcpStream::connect(("127.0.0.1", port)).unwrap();
            carry(near.try_clone().unwrap(), far.try_clone().unwrap());
            carry(far, near);
        }
    });
    own
}

#[test]
fn a_slow_store_refuses_nobody_and_is_told_of_everything() {
    let (origin, store) = (Origin::json("{}"), Store::start());
    let url = format!("redis://127.0.0.1:{}", slow(store.port()));
    let settings = plan(
        &json!({"valkey": url}),
        json!({"per_minute": 0.01, "burst": 100, "per_day": 1000}),
    );
    let gateways = [(); 2].map(|()| gateway(&origin, settings.clone()));
    gateways.iter().for_each(|gateway| is_up(gateway, 1));
    assert_eq!(passed(&gateways[0], 105), 100);
    used(&store, 100);
    // The other one lets pass what it asks for before the answer comes, and then nothing.
    eventually("the other one to be told", || {
        (gateways[1].get("/a").status() == 429).then_some(())
    });
    used(&store, origin.requests().len() as u64);
    for gateway in &gateways {
        assert!(!gateway.stdout().contains("is away"));
    }
}

#[test]
fn limits_of_endpoints_and_of_all_are_shared_too() {
    let (origin, store) = (Origin::json("{}"), Store::start());
    let config = json!({
        "timeout": "5s",
        "extra_config": {
            "redis": {"connection_pools": [{"name": "counters", "address": format!("127.0.0.1:{}", store.port())}]},
            "qos/ratelimit/service/redis": {"connection_name": "counters", "max_rate": 1, "capacity": 60, "every": "24h"},
        },
        "endpoints": [
            {"endpoint": "/a", "output_encoding": "no-op", "backend": [{"url_pattern": "/up", "host": [origin.url()]}],
             "extra_config": {"qos/ratelimit/router/redis": {
                "connection_name": "counters", "client_max_rate": 1, "client_capacity": 40, "every": "24h",
                "strategy": "header", "key": "X-Key"}}},
        ]
    });
    let gateways = [(); 2].map(|()| Gateway::native(config.clone()));
    let up = "hanzo_gateway_rate_limit_store_up{store=\"counters\"} 1";
    for gateway in &gateways {
        eventually(up, || gateway.metrics().contains(up).then_some(()));
    }
    let ask = |gateway: &Gateway, key: &str| {
        let mut client = gateway.client();
        client
            .request("GET", "/a", &[("X-Key", key)], "")
            .answer()
            .status()
    };
    let times = |gateway: &Gateway, key: &str| (0..40).filter(|_| ask(gateway, key) == 200).count();
    assert_eq!(times(&gateways[0], "one"), 40);
    assert_eq!(ask(&gateways[0], "one"), 429);
    // The other gateway lets pass what it may before it is told.
    let more = eventually("the other gateway to be told", || {
        (ask(&gateways[1], "one") == 429).then(|| origin.requests().len() - 40)
    });
    assert!(more <= 16, "{more}");
    // All together have 60 on this day. The two refused ones counted for all; what one gateway holds in its lease
    // and does not use, a tenth of all, the other has not.
    eventually("the end for all", || {
        let stranger = fastrand::u64(..).to_string();
        (ask(&gateways[1], &stranger) == 429).then_some(())
    });
    let all = origin.requests().len() + 2;
    assert!((60 - 2 * 6..=60 + 2 * 16).contains(&all), "{all}");
}

#[test]
fn a_cluster_is_spoken_to_by_any_of_its_nodes() {
    let [store] = nodes();
    let origin = Origin::json("{}");
    let place = json!({"valkey": store.url(), "cluster": true});
    let settings = plan(
        &place,
        json!({"per_minute": 0.01, "burst": 20, "per_day": 1000}),
    );
    let gateway = gateway(&origin, settings);
    is_up(&gateway, 1);
    assert_eq!(passed(&gateway, 25), 20);
    used(&store, 20);
}

/// Nodes that are one cluster, each with its part of the slots.
fn nodes<const N: usize>() -> [Store; N] {
    let nodes = [(); N].map(|()| {
        let bus = crate::support::ports::free().to_string();
        let node = Store::with(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
        (node, bus)
    });
    for (at, (node, _)) in nodes.iter().enumerate() {
        let (from, to) = (at * 16_384 / N, (at + 1) * 16_384 / N - 1);
        let _: String = node.ask(&[
            "CLUSTER",
            "ADDSLOTSRANGE",
            &from.to_string(),
            &to.to_string(),
        ]);
        let _: String = node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
    }
    for (node, bus) in &nodes[1..] {
        let port = node.port().to_string();
        let _: String = nodes[0]
            .0
            .ask(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]);
    }
    let (all, slots) = (format!("cluster_known_nodes:{N}"), "cluster_slots_ok:16384");
    for (node, _) in &nodes {
        eventually("the cluster", || {
            let state: String = node.ask(&["CLUSTER", "INFO"]);
            let whole = ["cluster_state:ok", &all, slots];
            whole.iter().all(|line| state.contains(line)).then_some(())
        });
    }
    nodes.map(|(node, _)| node)
}

/// Moves a slot with all that is in it, as tools for clusters do.
fn move_slot(slot: &str, from: &Store, to: &Store) {
    let name = |node: &Store| node.ask::<String>(&["CLUSTER", "MYID"]);
    let (giver, taker, port) = (name(from), name(to), to.port().to_string());
    let set = |node: &Store, what: &[&str]| {
        let words: Vec<&str> = ["CLUSTER", "SETSLOT", slot]
            .iter()
            .chain(what)
            .copied()
            .collect();
        let _: String = node.ask(&words);
    };
    set(to, &["IMPORTING", &giver]);
    set(from, &["MIGRATING", &taker]);
    loop {
        let keys: Vec<String> = from.ask(&["CLUSTER", "GETKEYSINSLOT", slot, "1"]);
        let [key] = &keys[..] else { break };
        let _: String = from.ask(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
    }
    set(to, &["NODE", &taker]);
    set(from, &["NODE", &taker]);
}

#[test]
fn counters_go_on_when_their_slots_move_to_another_node_of_a_cluster() {
    let nodes = nodes::<3>();
    let origin = Origin::json("{}");
    let place = json!({"valkey": [nodes[2].url(), nodes[0].url()]});
    let mut settings = plan(
        &place,
        json!({"per_minute": 0.01, "burst": 500, "per_day": 1000}),
    );
    settings["router"] = json!({"trusted_proxies": ["127.0.0.1"]});
    let gateway = gateway(&origin, settings);
    is_up(&gateway, 1);
    let rounds = |times: usize| {
        for caller in (0..12).cycle().take(12 * times) {
            let from = format!("10.0.0.{caller}");
            let field = [("X-Forwarded-For", from.as_str())];
            let answer = gateway.client().request("GET", "/a", &field, "").answer();
            assert_eq!(answer.status(), 200);
        }
    };
    let all = |tokens: usize| {
        eventually(&format!("{tokens} in all nodes"), || {
            let sum: f64 = nodes.iter().map(|node| node.sum("u")).sum();
            ((sum - tokens as f64 * 1_000.0).abs() < 0.5).then_some(())
        });
    };
    rounds(10);
    all(120);
    let on = |node: &Store| -> Vec<String> { node.ask(&["KEYS", "hzrl:*"]) };
    let held = on(&nodes[1]);
    assert!(!held.is_empty(), "twelve callers are on all nodes");
    let mut slots: Vec<u64> = held
        .iter()
        .map(|key| nodes[1].ask(&["CLUSTER", "KEYSLOT", key]))
        .collect();
    slots.sort_unstable();
    slots.dedup();
    for slot in &slots {
        move_slot(&slot.to_string(), &nodes[1], &nodes[0]);
        rounds(1);
    }
    rounds(10);
    all(12 * (20 + slots.len()));
    assert_eq!(on(&nodes[1]), Vec::<String>::new());
    is_up(&gateway, 1);
}

#[test]
fn a_store_is_spoken_to_over_tls_and_with_a_password_that_nobody_reads() {
    let certificates = Certificates::new();
    certificates.sign("store", &["127.0.0.1"]);
    let file = |name: &str| certificates.path(name).display().to_string();
    let (cert, key, ca) = (file("store.pem"), file("store.key"), file("ca.pem"));
    let store = Store::with(&[
        "--tls-port",
        "PORT",
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
        "--requirepass",
        "open-sesame",
    ]);
    let origin = Origin::json("{}");
    let limits = json!({"per_minute": 0.01, "burst": 20});
    let url = |password: &str| format!("rediss://:{password}@127.0.0.1:{}", store.port());
    let place = json!({"valkey": url("open-sesame"), "ca_file": ca});
    let good = gateway(&origin, plan(&place, limits.clone()));
    is_up(&good, 1);
    assert_eq!(good.get("/a").status(), 200);
    // Whom nobody vouches for is not spoken to, and who does not know the word is not let in.
    let stranger = json!({"valkey": url("open-sesame")});
    let wrong = json!({"valkey": url("close-sesame"), "ca_file": ca});
    for place in [stranger, wrong] {
        let gateway = gateway(&origin, plan(&place, limits.clone()));
        let line = gateway.log_line("the store of shared limits is away");
        assert!(!line.contains("sesame"), "{line}");
        assert_eq!(gateway.get("/a").status(), 200);
        assert!(!gateway.stdout().contains("sesame"));
    }
}

#[test]
fn stores_that_cannot_be_understood_refuse_the_file() {
    let origin = Origin::json("{}");
    let limits = json!({"per_minute": 1, "burst": 1});
    let file = |extra: Value| json!({"extra_config": extra, "endpoints": [{"endpoint": "/a", "backend": [{"url_pattern": "/", "host": [origin.url()]}]}]});
    let named = json!({"qos/ratelimit/service/redis": {"connection_name": "none", "max_rate": 1}});
    for (extra, place) in [
        (plan(&json!({}), limits.clone()), "valkey"),
        (
            plan(&json!({"valkey": "http://store"}), limits.clone()),
            "valkey",
        ),
        (
            plan(
                &json!({"valkey": "redis://store", "on_failure": "open"}),
                limits.clone(),
            ),
            "on_failure",
        ),
        (
            plan(
                &json!({"valkey": "rediss://store", "ca_file": "no-such-file"}),
                limits,
            ),
            "ca_file",
        ),
        (named, "connection_name"),
    ] {
        let output = Gateway::refused(file(extra));
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(
            said.contains(place) && !said.contains("secret"),
            "{place} in\n{said}"
        );
    }
}

/// A gateway whose endpoint is limited by a named store, with these settings of the two.
fn named(origin: &Origin, store: &Store, pool: Value, limit: Value) -> Gateway {
    let mut pool_settings =
        json!({"name": "one", "address": format!("127.0.0.1:{}", store.port())});
    let mut limit_settings =
        json!({"connection_name": "one", "max_rate": 1, "capacity": 3, "every": "1h"});
    for (settings, more) in [(&mut pool_settings, pool), (&mut limit_settings, limit)] {
        let more = more.as_object().unwrap().clone();
        settings.as_object_mut().unwrap().extend(more);
    }
    Gateway::native(json!({
        "timeout": "5s",
        "extra_config": {"redis": {"connection_pools": [pool_settings]}},
        "endpoints": [{"endpoint": "/a", "output_encoding": "no-op",
            "extra_config": {"qos/ratelimit/router/redis": limit_settings},
            "backend": [{"url_pattern": "/up", "host": [origin.url()]}]}]
    }))
}

fn one_is_up(gateway: &Gateway, up: u8) {
    let line = format!("hanzo_gateway_rate_limit_store_up{{store=\"one\"}} {up}");
    eventually(&line, || gateway.metrics().contains(&line).then_some(()));
}

/// Asks until the gateway has noticed that its store is gone.
fn until_away(gateway: &Gateway) {
    eventually("the store is missed", || {
        gateway.get("/a");
        let stats = gateway.internal("/__stats").json();
        (stats["stores"][0]["away"] == true).then_some(())
    });
}

#[test]
fn without_a_word_about_failures_limits_are_local_while_the_store_is_away() {
    let (origin, mut store) = (Origin::json("{}"), Store::start());
    let gateway = named(&origin, &store, json!({}), json!({"capacity": 100}));
    one_is_up(&gateway, 1);
    assert_eq!(gateway.get("/a").status(), 200);
    store.kill();
    until_away(&gateway);
    let passed = passed(&gateway, 200);
    assert!(passed < 100, "{passed}");
    gateway.get("/a").assert_error(429, "rate_limit_exceeded");
}

#[test]
fn on_failure_allow_lets_everybody_pass_or_nobody_while_the_store_is_away() {
    for (allow, status) in [(true, 200), (false, 503)] {
        let (origin, mut store) = (Origin::json("{}"), Store::start());
        let gateway = named(
            &origin,
            &store,
            json!({}),
            json!({"on_failure_allow": allow, "capacity": 50}),
        );
        one_is_up(&gateway, 1);
        assert_eq!(gateway.get("/a").status(), 200);
        store.kill();
        until_away(&gateway);
        for _ in 0..60 {
            let answer = gateway.get("/a");
            assert_eq!(answer.status(), status, "{allow}");
            assert!(answer.header("x-ratelimit-limit").is_some());
        }
        if !allow {
            let answer = gateway.get("/a");
            answer.assert_error(503, "service_unavailable");
            assert_eq!(answer.header("retry-after"), Some("1"));
            let why = answer.header("proxy-status").unwrap();
            assert!(why.contains("limit_store_unavailable"), "{why}");
        }
        store.again();
        one_is_up(&gateway, 1);
        eventually("limits again", || {
            (gateway.get("/a").status() == 429).then_some(())
        });
    }
}

#[test]
fn a_connection_has_the_name_and_the_life_that_the_file_gives_it() {
    let (origin, store) = (Origin::json("{}"), Store::start());
    let pool = json!({"client_name": "edge-7", "conn_max_life_time": "1s"});
    let gateway = named(&origin, &store, pool, json!({}));
    one_is_up(&gateway, 1);
    let id = || {
        let list: String = store.ask(&["CLIENT", "LIST"]);
        let ours = list.lines().find(|line| line.contains("name=edge-7"))?;
        ours.split(' ').next().map(str::to_owned)
    };
    let first = eventually("the connection", id);
    eventually("another connection", || id().filter(|next| *next != first));
    assert_eq!(gateway.get("/a").status(), 200);
    let text = gateway.stdout();
    assert!(!text.contains("store of shared limits is away"), "{text}");
}

#[test]
fn a_call_that_failed_is_made_again_before_the_store_counts_as_away() {
    let (origin, mut store) = (Origin::json("{}"), Store::start());
    let pool = json!({"max_retries": 20, "min_retry_backoff": "100ms", "max_retry_backoff": "1s"});
    let gateway = named(
        &origin,
        &store,
        pool,
        json!({"capacity": 100_000, "on_failure_allow": false}),
    );
    one_is_up(&gateway, 1);
    assert_eq!(gateway.get("/a").status(), 200);
    store.kill();
    // A failed call is known by its count; nobody was refused for it, and nothing was said of the store.
    eventually("a failed call", || {
        // Limits are local meanwhile, and nobody is refused for it.
        assert_eq!(gateway.get("/a").status(), 200);
        let stats = gateway.internal("/__stats").json();
        (stats["stores"][0]["failures"].as_u64()? >= 2).then_some(())
    });
    store.again();
    let before = store.calls();
    eventually("calls again", || {
        gateway.get("/a");
        (store.calls() > before).then_some(())
    });
    let text = gateway.stdout();
    assert!(!text.contains("store of shared limits is away"), "{text}");
}

#[test]
fn settings_of_a_pool_that_have_nothing_to_say_are_told() {
    let origin = Origin::json("{}");
    let config = json!({
        "version": 3,
        "extra_config": {"redis": {"connection_pools": [{
            "name": "one", "address": "127.0.0.1:1", "pool_size": 5, "pool_timeout": "1s", "min_idle_conns": 1,
            "opentelemetry": {"disable_traces": true}, "read_timeout": "2s"
        }]}},
        "endpoints": [{"endpoint": "/a", "backend": [{"url_pattern": "/up", "host": [origin.url()]}]}]
    });
    let output = Gateway::setup().command(&["check"], config);
    let told = output.stdout + &output.stderr;
    for told_of in [
        "pool_size has no effect",
        "pool_timeout has no effect",
        "min_idle_conns has no effect",
        "stores are not traced",
    ] {
        assert!(told.contains(told_of), "{told_of}: {told}");
    }
    assert!(!told.contains("read_timeout has"), "{told}");
}
