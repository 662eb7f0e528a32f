//! Every answer of a limited route says how its limits stand (contract section 9): whatever limits it, however it is
//! answered – passed through, composed, failed, refused by somebody else – on both lanes and over HTTP/2.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::http2;
use crate::support::{Answer, Gateway, Origin, Store, eventually, ports};

const NAMES: [&str; 5] = [
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "ratelimit-policy",
    "ratelimit",
];

/// How the requests of a scene are made.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// HTTP/1.1, on the lane that takes it, or on the platform's.
    Lane(&'static str),
    Http2,
}

const WAYS: [Way; 3] = [Way::Lane("auto"), Way::Lane("off"), Way::Http2];

struct Scene {
    gateway: Gateway,
    way: Way,
}

impl Scene {
    fn new(way: Way, mut config: Value) -> Self {
        config["use_h2c"] = json!(true);
        config["timeout"] = json!("5s");
        let lane = match way {
            Way::Lane(lane) => lane,
            Way::Http2 => "auto",
        };
        let gateway = Gateway::setup().lane(Some(lane)).native(config);
        Self { gateway, way }
    }

    fn ask(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> (u16, HeaderMap) {
        match self.way {
            Way::Http2 => http2::asked(&self.gateway, (method, target), fields),
            Way::Lane(_) => {
                let mut client = self.gateway.client();
                let answer = client.request(method, target, fields, "").answer();
                (answer.status(), heads(&answer))
            }
        }
    }

    fn get(&self, target: &str) -> (u16, HeaderMap) {
        self.ask("GET", target, &[])
    }
}

fn heads(answer: &Answer) -> HeaderMap {
    let field = |name: &'static str| {
        let values = answer.head.all(name).into_iter();
        values.map(move |value| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_static(name), value)
        })
    };
    let names = NAMES.into_iter().chain(["retry-after", "proxy-status"]);
    names.flat_map(field).collect()
}

/// What the fields say: size, rest, and the word of the limit. All five are there, each of the first three once, and
/// they say the same.
fn told(what: &str, fields: &HeaderMap) -> (u64, u64, String) {
    for name in NAMES {
        assert!(fields.contains_key(name), "{what}: no {name} in {fields:?}");
        let all = fields.get_all(name).iter().count();
        assert!(all == 1 || name == "ratelimit-policy", "{what}: {fields:?}");
    }
    let number = |name| {
        let value: &HeaderValue = &fields[name];
        value.to_str().unwrap().parse::<u64>().unwrap()
    };
    let state = fields["ratelimit"].to_str().unwrap();
    let (word, rest) = state.split_once(';').unwrap();
    let (limit, left) = (number("x-ratelimit-limit"), number("x-ratelimit-remaining"));
    let reset = number("x-ratelimit-reset");
    assert_eq!(rest, format!("r={left};t={reset}"), "{what}");
    let policies = fields.get_all("ratelimit-policy").iter();
    let policies: Vec<&str> = policies.map(|value| value.to_str().unwrap()).collect();
    let own = format!("{word};q={limit};w=");
    assert_eq!(
        policies.join(", ").matches(&own).count(),
        1,
        "{what}: {policies:?}"
    );
    (limit, left, word.trim_matches('"').to_owned())
}

fn backend(host: &str, extra: Value) -> Value {
    json!({"url_pattern": "/up", "host": [host], "extra_config": extra})
}

fn endpoint(path: &str, encoding: &str, backends: Value, extra: Value) -> Value {
    json!({"endpoint": path, "output_encoding": encoding, "backend": backends, "extra_config": extra})
}

/// So many in an hour, so that nothing comes in meanwhile.
fn all(size: u64) -> Value {
    json!({"max_rate": 1, "capacity": size, "every": "1h"})
}

fn each(size: u64) -> Value {
    json!({"client_max_rate": 1, "client_capacity": size, "every": "1h", "strategy": "ip"})
}

/// One after the other until nothing is left, and once more.
fn counts_down(scene: &Scene, target: &str, (size, word): (u64, &str), reason: &str) {
    let what = format!("{:?} {target}", scene.way);
    for left in (0..size).rev() {
        let (status, fields) = scene.get(target);
        assert_eq!(status, 200, "{what}");
        assert!(!fields.contains_key("retry-after"), "{what}");
        assert_eq!(
            told(&what, &fields),
            (size, left, word.to_owned()),
            "{what}"
        );
    }
    let (status, fields) = scene.get(target);
    assert_eq!(status, 429, "{what}");
    assert_eq!(told(&what, &fields), (size, 0, word.to_owned()), "{what}");
    let after: u64 = fields["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&after), "{what}: {after}");
    let why = fields["proxy-status"].to_str().unwrap();
    assert!(why.contains(reason), "{what}: {why}");
}

#[test]
fn limits_at_an_endpoint_and_its_backend_count_down_on_every_answer() {
    let origin = Origin::json("{\"a\":1}");
    let url = origin.url();
    let plain = || json!([backend(&url, json!({}))]);
    let behind = |limit: Value| json!([backend(&url, json!({"qos/ratelimit/proxy": limit}))]);
    let tiered =
        json!({"tier_key": "X-Plan", "tiers": [{"tier_value_as": "*", "ratelimit": all(3)}]});
    for way in WAYS {
        let mut endpoints = Vec::new();
        for encoding in ["no-op", "json"] {
            let at = |name: &str| format!("/{name}/{encoding}");
            let router = |limit| json!({"qos/ratelimit/router": limit});
            endpoints.extend([
                endpoint(&at("all"), encoding, plain(), router(all(2))),
                endpoint(&at("each"), encoding, plain(), router(each(2))),
                endpoint(
                    &at("tiered"),
                    encoding,
                    plain(),
                    json!({"qos/ratelimit/tiered": tiered}),
                ),
                endpoint(&at("backend"), encoding, behind(all(2)), json!({})),
            ]);
        }
        let scene = Scene::new(way, json!({"endpoints": endpoints}));
        for encoding in ["no-op", "json"] {
            let count = |name: &str, size, word: &str, reason: &str| {
                counts_down(&scene, &format!("/{name}/{encoding}"), (size, word), reason);
            };
            count("all", 2, "endpoint", "endpoint_rate_exceeded");
            count("each", 2, "client", "client_rate_exceeded");
            count("tiered", 3, "endpoint", "endpoint_rate_exceeded");
            count("backend", 2, "backend", "backend_rate_exceeded");
        }
    }
}

#[test]
fn limits_of_the_service_and_plans_count_down_on_every_answer() {
    let origin = Origin::json("{\"a\":1}");
    let services = [
        (
            json!({"qos/ratelimit/service": all(3)}),
            "global",
            "global_rate_exceeded",
        ),
        (
            json!({"qos/ratelimit/service": each(3)}),
            "client",
            "client_rate_exceeded",
        ),
        (
            json!({"hanzo/ratelimit": {"global": {"rate": 0}, "tiers": {"t": {"per_minute": 0.01, "burst": 3}}}}),
            "minute",
            "tier_minute_exhausted",
        ),
        (
            json!({"hanzo/ratelimit": {"global": {"rate": 0}, "tiers": {"t": {"per_day": 3}}}}),
            "day",
            "tier_day_exhausted",
        ),
    ];
    for way in WAYS {
        for encoding in ["no-op", "json"] {
            for (service, word, reason) in &services {
                let backends = json!([backend(&origin.url(), json!({}))]);
                let scene = Scene::new(
                    way,
                    json!({"extra_config": service,
                        "endpoints": [endpoint("/a", encoding, backends, json!({}))]}),
                );
                counts_down(&scene, "/a", (3, word), reason);
            }
        }
    }
}

#[test]
fn answers_that_failed_tell_of_the_limits_too() {
    let origin = Origin::serve(|exchange| exchange.answer(500, &[], "no"));
    let dead = format!("http://127.0.0.1:{}", ports::free());
    for way in WAYS {
        for limit in ["endpoint", "backend"] {
            let (outside, inside) = match limit {
                "endpoint" => (json!({"qos/ratelimit/router": all(50)}), json!({})),
                _ => (json!({}), json!({"qos/ratelimit/proxy": all(50)})),
            };
            let one = |path: &str, encoding: &str, host: &str| {
                let backends = json!([backend(host, inside.clone())]);
                endpoint(path, encoding, backends, outside.clone())
            };
            let mut broken = one("/open", "no-op", &dead);
            broken["backend"][0]["extra_config"]["qos/circuit-breaker"] =
                json!({"interval": 600, "timeout": 600, "max_errors": 1});
            let config = json!({"endpoints": [
                one("/passed", "no-op", &origin.url()), one("/made", "json", &origin.url()),
                one("/dead", "no-op", &dead), one("/made-dead", "json", &dead), broken,
            ]});
            let scene = Scene::new(way, config);
            let fails = |target: &str, status: u16, left: u64| {
                let what = format!("{way:?} {limit} {target}");
                let (found, fields) = scene.get(target);
                assert_eq!(found, status, "{what}");
                assert_eq!(told(&what, &fields), (50, left, limit.to_owned()));
            };
            fails("/passed", 500, 49);
            fails("/made", 502, 49);
            fails("/dead", 502, 49);
            fails("/made-dead", 502, 49);
            fails("/open", 502, 49);
            fails("/open", 502, 48);
            // Natively an open breaker is in front of the backend's limit, which stays as it is.
            fails("/open", 503, if limit == "endpoint" { 47 } else { 48 });
        }
    }
}

#[test]
fn a_part_that_its_backends_limit_refused_is_told_on_the_answer_of_the_others() {
    let (first, second) = (Origin::json("{\"a\":1}"), Origin::json("{\"b\":2}"));
    for way in WAYS {
        let backends = json!([
            backend(&first.url(), json!({"qos/ratelimit/proxy": all(9)})),
            backend(&second.url(), json!({"qos/ratelimit/proxy": all(1)})),
        ]);
        let config = json!({"endpoints": [endpoint("/a", "json", backends, json!({}))]});
        let scene = Scene::new(way, config);
        for _ in 0..2 {
            let (status, fields) = scene.get("/a");
            assert_eq!(status, 200);
            assert_eq!(told("parts", &fields), (1, 0, "backend-2".to_owned()));
            let policies = fields.get_all("ratelimit-policy").iter().count();
            assert_eq!(policies, 2, "{fields:?}");
        }
        let answer = scene.gateway.get("/a");
        assert_eq!(
            answer.json(),
            json!({"a": 1}),
            "only the one that was asked"
        );
    }
}

#[test]
fn who_is_refused_in_front_of_a_limit_is_told_and_spends_nothing() {
    let origin = Origin::json("{}");
    let url = origin.url();
    let lock = json!({"auth/api-keys": {"roles": ["r"]}, "qos/ratelimit/router": {
        "max_rate": 1, "capacity": 9, "client_max_rate": 1, "client_capacity": 4, "every": "1h", "strategy": "ip"
    }});
    for way in WAYS {
        let mut large = endpoint(
            "/large",
            "json",
            json!([backend(&url, json!({}))]),
            json!({
            "hanzo/limits": {"max_body": "1B"}, "qos/ratelimit/router": all(5)}),
        );
        large["method"] = json!("POST");
        let config = json!({
            "extra_config": {
                "auth/api-keys": {"keys": [{"key": "0123456789abcdef", "roles": ["r"]}]},
                "hanzo/ratelimit": {"global": {"rate": 1000}, "tiers": {"t": {"per_minute": 0.01, "burst": 7}}}
            },
            "endpoints": [
                endpoint("/locked", "no-op", json!([backend(&url, json!({}))]), lock.clone()),
                large,
            ]
        });
        let scene = Scene::new(way, config);
        for _ in 0..3 {
            let (status, fields) = scene.get("/locked");
            assert_eq!(status, 401);
            // Nobody has come yet: all that limits callers is full.
            let (limit, left, word) = told(&format!("{way:?} 401"), &fields);
            assert_eq!((word.as_str(), limit), ("global", 1_000));
            assert!(left < 1_000);
            let policies = format!(
                "{:?}",
                fields
                    .get_all("ratelimit-policy")
                    .iter()
                    .collect::<Vec<_>>()
            );
            for word in ["global", "minute", "endpoint", "client"] {
                assert!(policies.contains(word), "{policies}");
            }
        }
        let key = [("Authorization", "Bearer 0123456789abcdef")];
        let (status, fields) = scene.ask("GET", "/locked", &key);
        assert_eq!(status, 200);
        assert_eq!(told("200", &fields), (4, 3, "client".to_owned()));
        if !matches!(way, Way::Http2) {
            let (status, fields) = scene.ask("POST", "/large", &[("Content-Length", "400")]);
            assert_eq!(status, 413);
            let policies = format!("{fields:?}");
            assert!(policies.contains("\\\"endpoint\\\";q=5"), "{policies}");
        }
    }
}

#[test]
fn what_has_no_endpoint_tells_of_the_services_limit_and_preflights_of_none() {
    let origin = Origin::json("{}");
    for way in WAYS {
        let config = json!({
            "extra_config": {
                "hanzo/ratelimit": {"global": {"rate": 100}},
                "security/cors": {"allow_origins": ["https://ok.test"], "allow_methods": ["GET"]},
                "router": {"auto_options": true}
            },
            "endpoints": [endpoint("/a", "json", json!([backend(&origin.url(), json!({}))]), json!({}))]
        });
        let scene = Scene::new(way, config);
        for (method, target, status) in [
            ("GET", "/nothing", 404),
            ("DELETE", "/a", 405),
            ("OPTIONS", "/a", 200),
            ("GET", "/a", 200),
        ] {
            let (found, fields) = scene.ask(method, target, &[]);
            assert_eq!(found, status, "{method} {target}");
            let what = format!("{way:?} {method} {target}");
            assert_eq!(told(&what, &fields).2, "global", "{what}");
        }
        let counted = || {
            let stats = scene.gateway.internal("/__stats").json();
            stats["limits"][0]["allowed"].as_u64().unwrap()
        };
        let before = counted();
        let preflight = [
            ("Origin", "https://ok.test"),
            ("Access-Control-Request-Method", "GET"),
        ];
        let (status, fields) = scene.ask("OPTIONS", "/a", &preflight);
        assert_eq!(status, 204);
        // It costs no token, so there is nothing to tell.
        assert!(!fields.contains_key("ratelimit"), "{fields:?}");
        assert_eq!(scene.get("/__health").0, 200);
        assert_eq!(counted(), before);
    }
}

#[test]
fn shared_limits_tell_the_same() {
    let (origin, store) = (Origin::json("{}"), Store::start());
    for way in WAYS {
        let limit = json!({"connection_name": "one", "max_rate": 1, "capacity": 3, "every": "1h"});
        let config = json!({
            "extra_config": {"redis": {"connection_pools": [
                {"name": "one", "address": format!("127.0.0.1:{}", store.port())}
            ]}},
            "endpoints": [endpoint("/a", "no-op", json!([backend(&origin.url(), json!({}))]),
                json!({"qos/ratelimit/router/redis": limit}))]
        });
        let scene = Scene::new(way, config);
        let up = "hanzo_gateway_rate_limit_store_up{store=\"one\"} 1";
        eventually(up, || scene.gateway.metrics().contains(up).then_some(()));
        let (status, fields) = scene.get("/a");
        assert_eq!(status, 200);
        assert_eq!(told("shared", &fields).0, 3);
        let fields = eventually("the end of it", || {
            let (status, fields) = scene.get("/a");
            (status == 429).then_some(fields)
        });
        assert_eq!(told("shared", &fields), (3, 0, "endpoint".to_owned()));
        assert!(fields.contains_key("retry-after"));
        let _: () = store.ask(&["FLUSHALL"]);
    }
}

#[test]
fn krakends_dialect_tells_nothing_as_krakend() {
    let origin = Origin::json("{}");
    let limits = json!({"qos/ratelimit/proxy": all(1)});
    let config = json!({"endpoints": [
        endpoint("/a", "json", json!([backend(&origin.url(), limits)]), json!({"qos/ratelimit/router": all(50)}))
    ]});
    let gateway = Gateway::krakend(config);
    // Its bucket gives its content, and what came in meanwhile once more.
    for status in [200, 500] {
        let answer = gateway.get("/a");
        assert_eq!(answer.status(), status);
        for name in NAMES.into_iter().chain(["retry-after"]) {
            assert_eq!(answer.header(name), None, "{name}");
        }
    }
}
