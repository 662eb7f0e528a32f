//! What `/__stats` shows of limits: which there are and where, what became of their requests, how many callers they
//! know and where several gateways count – and nobody's name.

use serde_json::{Value, json};

use crate::support::{Gateway, Origin, Store, eventually};

/// What a caller is known by, and what must not be seen.
const SECRET: &str = "k-3f9a-caller";

fn limits(gateway: &Gateway) -> Vec<Value> {
    let stats = gateway.internal("/__stats").json();
    stats["limits"].as_array().unwrap().clone()
}

/// The one limit of this level, name and endpoint.
fn limit(gateway: &Gateway, level: &str, name: &str, endpoint: Option<&str>) -> Value {
    let all = limits(gateway);
    let found: Vec<&Value> = all
        .iter()
        .filter(|one| {
            one["level"] == level && one["name"] == name && one["endpoint"] == json!(endpoint)
        })
        .collect();
    assert_eq!(found.len(), 1, "{level} {name} {endpoint:?} in {all:#?}");
    found[0].clone()
}

/// Holds some of the fields to what they should be.
fn shows(limit: &Value, fields: Value) {
    for (key, value) in fields.as_object().unwrap() {
        assert_eq!(&limit[key], value, "{key} of {limit:#}");
    }
}

fn statuses(gateway: &Gateway, target: &str, times: usize) -> Vec<u16> {
    let ask = |_| {
        let field = [("X-Key", SECRET)];
        let mut client = gateway.client();
        client.request("GET", target, &field, "").answer().status()
    };
    (0..times).map(ask).collect()
}

fn everything(origin: &Origin) -> Value {
    let backend =
        |limit: Value| json!({"url_pattern": "/up", "host": [origin.url()], "extra_config": limit});
    let tiers = json!([
        {"tier_value": "gold", "ratelimit": {"max_rate": 9, "capacity": 9, "every": "1h"}},
        {"tier_value_as": "*", "ratelimit": {"max_rate": 1, "capacity": 1, "every": "1h"}},
    ]);
    json!({
        "timeout": "5s",
        "extra_config": {"hanzo/ratelimit": {
            "global": {"rate": 1000}, "tiers": {"free": {"per_minute": 0.5, "burst": 20, "per_day": 100}},
            "identity": ["ip"]
        }},
        "endpoints": [
            {"endpoint": "/clients", "backend": [backend(json!({}))], "extra_config": {"qos/ratelimit/router": {
                "max_rate": 7, "capacity": 7, "client_max_rate": 2, "client_capacity": 2, "every": "1h",
                "strategy": "header", "key": "X-Key"
            }}},
            {"endpoint": "/calls", "output_encoding": "no-op", "backend": [backend(
                json!({"qos/ratelimit/proxy": {"max_rate": 1, "capacity": 1, "every": "1h"}})
            )]},
            {"endpoint": "/tiered", "backend": [backend(json!({}))], "extra_config": {"qos/ratelimit/tiered": {
                "tier_key": "X-Plan", "tiers": tiers
            }}}
        ]
    })
}

#[test]
fn every_limit_tells_where_it_stands_what_it_allows_and_what_it_counted() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(everything(&origin));
    assert_eq!(statuses(&gateway, "/clients", 3), [200, 200, 429]);
    assert_eq!(statuses(&gateway, "/calls", 3), [200, 429, 429]);
    assert_eq!(statuses(&gateway, "/tiered", 2), [200, 429]);
    shows(
        &limit(&gateway, "global", "global", None),
        json!({"component": "hanzo/ratelimit", "rate": 1000.0, "burst": 1000, "allowed": 8, "refused": 0}),
    );
    let plan = limit(&gateway, "tier", "free", None);
    // What the limit of an endpoint refused, the caller has back.
    shows(
        &plan,
        json!({"rate": 0.5, "every_seconds": 60.0, "burst": 20, "allowed": 6, "refused": 0, "callers": 1,
            "exhausted": 0, "by": "ip", "backend": null}),
    );
    shows(
        &plan["day"],
        json!({"limit": 100, "used": 6, "exhausted": 0}),
    );
    let ends = plan["day"]["ends"].as_str().unwrap();
    assert!(ends.ends_with("T00:00:00.000Z"), "{ends}");
    assert!(plan["day"]["ends_in_seconds"].as_u64().unwrap() <= 86_400);
    let here = Some("GET /clients");
    // What the client's own limit refused, the limit of all was never asked for.
    shows(
        &limit(&gateway, "endpoint", "endpoint", here),
        json!({"component": "qos/ratelimit/router", "rate": 7.0, "every_seconds": 3600.0, "burst": 7,
            "allowed": 2, "refused": 0, "remaining": 5, "by": null}),
    );
    shows(
        &limit(&gateway, "client", "client", here),
        json!({"rate": 2.0, "burst": 2, "allowed": 2, "refused": 1, "callers": 1, "exhausted": 1,
            "by": "header x-key"}),
    );
    let host = origin.url().replace("http://", "");
    shows(
        &limit(&gateway, "backend", "backend", Some("GET /calls")),
        json!({"component": "qos/ratelimit/proxy", "backend": host, "burst": 1, "remaining": 0,
            "allowed": 1, "refused": 2}),
    );
    shows(
        &limit(&gateway, "endpoint", "*", Some("GET /tiered")),
        json!({"component": "qos/ratelimit/tiered", "allowed": 1, "refused": 1}),
    );
    shows(
        &limit(&gateway, "endpoint", "gold", Some("GET /tiered")),
        json!({"burst": 9, "allowed": 0, "refused": 0}),
    );
    let text = gateway.internal("/__stats").text();
    assert!(!text.contains(SECRET), "{text}");
}

#[test]
fn a_limit_of_krakends_is_shown_too() {
    let origin = Origin::json("{}");
    let mut config = everything(&origin);
    config["extra_config"] = json!({});
    config["endpoints"].as_array_mut().unwrap().truncate(2);
    let gateway = Gateway::krakend(config);
    assert_eq!(statuses(&gateway, "/clients", 3), [200, 200, 429]);
    shows(
        &limit(&gateway, "client", "client", Some("GET /clients")),
        json!({"allowed": 2, "refused": 1, "callers": 1, "burst": 2}),
    );
    shows(
        &limit(&gateway, "backend", "backend", Some("GET /calls")),
        json!({"allowed": 0, "refused": 0}),
    );
}

#[test]
fn what_a_limit_counted_outlives_a_reload() {
    let origin = Origin::json("{}");
    let config = everything(&origin);
    let gateway = Gateway::native(config.clone());
    assert_eq!(statuses(&gateway, "/clients", 3), [200, 200, 429]);
    let mut next = config;
    next["endpoints"][1]["endpoint"] = json!("/renamed");
    next["version"] = json!(3);
    next["port"] = json!(gateway.port());
    std::fs::write(gateway.folder().join("gateway.json"), next.to_string()).unwrap();
    gateway.signal("HUP");
    eventually("the next file", || {
        let all = limits(&gateway);
        let renamed = |one: &Value| one["endpoint"] == "GET /renamed";
        all.iter().any(renamed).then_some(())
    });
    shows(
        &limit(&gateway, "client", "client", Some("GET /clients")),
        json!({"allowed": 2, "refused": 1, "callers": 1}),
    );
}

#[test]
fn a_shared_limit_tells_of_its_leases_and_whether_the_store_is_there() {
    let (origin, mut store) = (Origin::json("{}"), Store::start());
    let gateway = Gateway::native(json!({
        "timeout": "5s",
        "extra_config": {"hanzo/ratelimit": {
            "global": {"rate": 0}, "tiers": {"only": {"per_minute": 0.01, "burst": 100_000, "per_day": 200_000}},
            "store": {"valkey": store.url()}
        }},
        "endpoints": [{"endpoint": "/a", "backend": [{"url_pattern": "/up", "host": [origin.url()]}]}]
    }));
    let state = |word: &str| {
        eventually(word, || {
            let stats = gateway.internal("/__stats").json();
            let limit = &stats["limits"][0]["store"];
            let same = limit["state"] == word && stats["stores"][0]["state"] == word;
            same.then_some(stats)
        })
    };
    let stats = state("shared");
    assert_eq!(stats["stores"].as_array().unwrap().len(), 1, "{stats:#}");
    // A caller that comes again and again gets a lease.
    let mut client = gateway.client();
    let stats = eventually("a lease", || {
        assert_eq!(client.get("/a").status(), 200);
        let stats = gateway.internal("/__stats").json();
        let there = stats["limits"][0]["store"]["leases"] == 1;
        there.then_some(stats)
    });
    assert!(stats["limits"][0]["store"]["leased"].as_u64().is_some());
    assert_eq!(stats["limits"][0]["store"]["name"], "hanzo");
    assert!(stats["stores"][0]["calls"].as_u64().unwrap() >= 1);
    store.kill();
    client.get("/a");
    let stats = state("local");
    assert!(stats["stores"][0]["failures"].as_u64().unwrap() >= 1);
}
