//! Who may call from where, by what name, and what browsers are told: CORS, `security/http`, bots. All of
//! it holds for answers of every kind, not only for those of backends.

use http::{HeaderMap, Request};
use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Origin, PATIENCE, eventually, ports};

const ALLOW: &str = "access-control-allow-origin";
const OK: (&str, &str) = ("Origin", "https://ok.test");
const EVIL: (&str, &str) = ("Origin", "https://evil.test");

/// Endpoints of each kind: passed through, composed, and without a backend that answers.
fn endpoints(origin: &Origin) -> Value {
    let dead = format!("http://127.0.0.1:{}", ports::free());
    let stream = |path: &str, host: &str| json!({"endpoint": path, "output_encoding": "no-op", "backend": [{"url_pattern": path, "host": [host]}]});
    let compose = |path: &str, host: &str| json!({"endpoint": path, "backend": [{"url_pattern": path, "host": [host]}]});
    json!([
        stream("/stream", &origin.url()),
        compose("/made", &origin.url()),
        stream("/dead-stream", &dead),
        compose("/dead-made", &dead),
        {"endpoint": "/small", "method": "POST", "output_encoding": "no-op",
         "extra_config": {"hanzo/limits": {"max_body": 2}},
         "backend": [{"url_pattern": "/", "host": [origin.url()]}]},
    ])
}

fn cors() -> Value {
    json!({
        "allow_origins": ["https://ok.test", "https://*.sub.test"], "allow_methods": ["GET", "POST", "HEAD"],
        "allow_headers": ["X-A", "Content-Type"], "expose_headers": ["X-Out"], "max_age": "10m",
        "allow_credentials": true
    })
}

fn with(extra: Value, origin: &Origin) -> Value {
    json!({"timeout": "5s", "extra_config": extra, "endpoints": endpoints(origin)})
}

fn ask(gateway: &Gateway, method: &str, target: &str, fields: &[(&str, &str)]) -> Answer {
    gateway
        .client()
        .request(method, target, fields, "")
        .answer()
}

fn preflight(gateway: &Gateway, target: &str, origin: (&str, &str), method: &str) -> Answer {
    let asked = ("Access-Control-Request-Method", method);
    ask(gateway, "OPTIONS", target, &[origin, asked])
}

#[test]
fn every_answer_can_be_read_by_an_allowed_origin() {
    let origin = Origin::json("{\"a\":1}");
    let gateway = Gateway::native(with(json!({"security/cors": cors()}), &origin));
    for (method, target, status) in [
        ("GET", "/stream", 200),
        ("GET", "/made", 200),
        ("HEAD", "/made", 200),
        ("GET", "/dead-stream", 502),
        ("GET", "/dead-made", 502),
        ("GET", "/nowhere", 404),
        ("POST", "/made", 405),
        ("GET", "/made/", 301),
        ("GET", "/health", 200),
        ("GET", "/__health", 200),
    ] {
        let answer = ask(&gateway, method, target, &[OK]);
        assert_eq!(answer.status(), status, "{method} {target}: {answer:?}");
        assert_eq!(answer.head.all(ALLOW), ["https://ok.test"], "{answer:?}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{answer:?}");
        let credentials = answer.header("access-control-allow-credentials");
        assert_eq!(credentials, Some("true"));
        assert_eq!(
            answer.header("access-control-expose-headers"),
            Some("X-Out")
        );
        assert!(answer.header("x-request-id").is_some());
    }
    let large = gateway
        .client()
        .request("POST", "/small", &[OK], "large")
        .answer();
    assert_eq!(
        (large.status(), large.header(ALLOW)),
        (413, Some("https://ok.test"))
    );
}

#[test]
fn others_get_their_answer_and_no_leave_to_read_it() {
    let origin = Origin::serve(|exchange| {
        let fields = [
            (ALLOW, "*"),
            ("Access-Control-Allow-Credentials", "true"),
            ("X-Own", "1"),
        ];
        exchange.answer(200, &fields, "{}");
    });
    let gateway = Gateway::native(with(json!({"security/cors": cors()}), &origin));
    for target in ["/stream", "/made", "/nowhere", "/dead-made"] {
        for fields in [&[EVIL][..], &[("Origin", "null")], &[]] {
            let answer = ask(&gateway, "GET", target, fields);
            assert_eq!(answer.header("vary"), Some("Origin"), "{answer:?}");
            // Without an Origin no browser asks.
            if !fields.is_empty() {
                assert_eq!(answer.header(ALLOW), None, "{answer:?}");
                assert_eq!(answer.header("access-control-allow-credentials"), None);
            }
        }
    }
    let answer = ask(&gateway, "GET", "/stream", &[OK]);
    assert_eq!(
        answer.head.all(ALLOW),
        ["https://ok.test"],
        "one answer, not the backend's beside it"
    );
    assert_eq!(answer.header("x-own"), Some("1"));
}

#[test]
fn a_preflight_is_answered_on_every_path_and_asks_no_backend() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(with(json!({"security/cors": cors()}), &origin));
    for target in ["/stream", "/made", "/nowhere", "/health", "/made/"] {
        let answer = preflight(&gateway, target, OK, "POST");
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (204, ""),
            "{answer:?}"
        );
        assert_eq!(answer.head.all(ALLOW), ["https://ok.test"]);
        assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
        assert_eq!(answer.header("access-control-max-age"), Some("600"));
        assert!(answer.header("x-request-id").is_some());
        let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        assert_eq!(answer.head.all("vary"), [vary]);
        assert_eq!(answer.header("content-length"), None);
    }
    for (from, method) in [
        (EVIL, "GET"),
        (OK, "PUT"),
        (("Origin", "https://evil.com/.sub.test"), "GET"),
    ] {
        let answer = preflight(&gateway, "/made", from, method);
        assert_eq!(answer.status(), 204);
        assert_eq!(answer.header(ALLOW), None, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-methods"), None);
    }
    assert!(origin.requests().is_empty());
}

#[test]
fn a_connection_goes_on_after_a_preflight() {
    let origin = Origin::json("{\"a\":1}");
    let gateway = Gateway::native(with(json!({"security/cors": cors()}), &origin));
    let mut client = gateway.client();
    let asked = [OK, ("Access-Control-Request-Method", "GET")];
    for _ in 0..3 {
        assert_eq!(
            client
                .request("OPTIONS", "/made", &asked, "")
                .answer()
                .status(),
            204
        );
        let answer = client.request("GET", "/stream", &[OK], "").answer();
        assert_eq!(answer.header(ALLOW), Some("https://ok.test"));
        let answer = client.request("GET", "/stream", &[], "").answer();
        assert_eq!(
            answer.header(ALLOW),
            None,
            "nothing is left of the request before"
        );
        assert_eq!(answer.head.all("vary"), ["Origin"]);
    }
}

#[test]
fn options_without_a_question_goes_to_the_router() {
    let origin = Origin::json("{}");
    let mut extra = json!({"security/cors": cors()});
    let gateway = Gateway::native(with(extra.clone(), &origin));
    assert_eq!(ask(&gateway, "OPTIONS", "/made", &[OK]).status(), 405);
    extra["router"] = json!({"auto_options": true});
    let gateway = Gateway::native(with(extra.clone(), &origin));
    let answer = ask(&gateway, "OPTIONS", "/made", &[OK]);
    assert_eq!(
        (answer.status(), answer.header(ALLOW)),
        (200, Some("https://ok.test"))
    );
    assert!(
        answer
            .header("allow")
            .is_some_and(|allow| allow.contains("GET"))
    );
    assert_eq!(preflight(&gateway, "/made", OK, "GET").status(), 204);
    extra["security/cors"]["options_passthrough"] = json!(true);
    let gateway = Gateway::native(with(extra, &origin));
    let answer = preflight(&gateway, "/made", OK, "GET");
    assert_eq!(
        (answer.status(), answer.header(ALLOW)),
        (200, Some("https://ok.test"))
    );
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET"));
}

#[test]
fn an_endpoint_of_its_own_rules_has_no_others() {
    let origin = Origin::json("{}");
    let mut config = with(json!({"security/cors": cors()}), &origin);
    config["endpoints"][1]["extra_config"] = json!({"security/cors": {"allow_origins": ["https://own.test"], "allow_methods": ["GET", "DELETE"]}});
    let own = ("Origin", "https://own.test");
    let gateway = Gateway::native(config.clone());
    assert_eq!(
        ask(&gateway, "GET", "/made", &[own]).header(ALLOW),
        Some("https://own.test")
    );
    assert_eq!(ask(&gateway, "GET", "/made", &[OK]).header(ALLOW), None);
    assert_eq!(ask(&gateway, "GET", "/stream", &[own]).header(ALLOW), None);
    assert_eq!(
        preflight(&gateway, "/made", own, "GET").header(ALLOW),
        Some("https://own.test")
    );
    assert_eq!(preflight(&gateway, "/made", OK, "GET").header(ALLOW), None);
    // No endpoint has this method, so the service's rules count.
    assert_eq!(
        preflight(&gateway, "/made", own, "DELETE").header(ALLOW),
        None
    );
    // KrakenD CE knows it at service level only.
    let gateway = Gateway::krakend(config);
    assert_eq!(ask(&gateway, "GET", "/made", &[own]).header(ALLOW), None);
    assert_eq!(
        ask(&gateway, "GET", "/made", &[OK]).header(ALLOW),
        Some("https://ok.test")
    );
}

#[test]
fn krakends_preflight_says_nothing_of_the_gateway() {
    let origin = Origin::json("{}");
    let gateway = Gateway::krakend(with(json!({"security/cors": cors()}), &origin));
    let answer = preflight(&gateway, "/nowhere", OK, "GET");
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.header("x-krakend"), None);
    assert_eq!(answer.header(ALLOW), Some("https://ok.test"));
    let answer = preflight(&gateway, "/made", ("Origin", "https://x/.sub.test"), "GET");
    assert!(
        answer.header(ALLOW).is_some(),
        "its wildcard takes anything"
    );
}

#[test]
fn rules_that_let_everybody_act_for_a_visitor_are_refused() {
    let origin = Origin::json("{}");
    for (rules, place) in [
        (
            json!({"allow_origins": ["*"], "allow_credentials": true}),
            "allow_origins/0",
        ),
        (json!({"allow_credentials": true}), "allow_credentials"),
        (
            json!({"allow_origins": ["http://localhost:*"]}),
            "is_development",
        ),
    ] {
        let config = with(json!({ "security/cors": rules }), &origin);
        let output = Gateway::refused(config.clone());
        assert!(output.stderr.contains("HG0402"), "{output:#?}");
        assert!(output.stderr.contains(place), "{output:#?}");
        let gateway = Gateway::krakend(config);
        assert_eq!(preflight(&gateway, "/made", OK, "GET").status(), 204);
    }
}

fn secure() -> Value {
    json!({
        "frame_deny": true, "content_type_nosniff": true, "browser_xss_filter": true, "referrer_policy": "no-referrer",
        "content_security_policy": "default-src 'self'", "sts_seconds": 300, "force_sts_header": true
    })
}

#[test]
fn browsers_are_told_to_be_careful_with_every_answer_but_health() {
    let origin = Origin::serve(|exchange| {
        exchange.answer(200, &[("X-Frame-Options", "ALLOWALL")], "{\"a\":1}");
    });
    let gateway = Gateway::native(with(json!({"security/http": secure()}), &origin));
    for (method, target, status) in [
        ("GET", "/stream", 200),
        ("GET", "/made", 200),
        ("GET", "/dead-stream", 502),
        ("GET", "/nowhere", 404),
        ("POST", "/made", 405),
        ("GET", "/made/", 301),
    ] {
        let answer = ask(&gateway, method, target, &[]);
        assert_eq!(answer.status(), status, "{answer:?}");
        assert_eq!(answer.head.all("x-frame-options"), ["DENY"], "{answer:?}");
        assert_eq!(
            answer.header("strict-transport-security"),
            Some("max-age=300")
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-xss-protection"), Some("1; mode=block"));
        assert_eq!(
            answer.header("content-security-policy"),
            Some("default-src 'self'")
        );
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    }
    for target in ["/health", "/__health"] {
        assert_eq!(
            ask(&gateway, "GET", target, &[]).header("x-frame-options"),
            None
        );
    }
}

#[test]
fn a_host_that_is_not_served_gets_no_further() {
    let origin = Origin::json("{}");
    let rules = json!({"security/http": {"allowed_hosts": ["gw.test"]}, "security/cors": cors()});
    let (good, bad) = (("Host", "GW.test"), ("Host", "other.test"));
    let gateway = Gateway::native(with(rules.clone(), &origin));
    for target in ["/made", "/stream", "/nowhere"] {
        let answer = ask(&gateway, "GET", target, &[bad, OK]);
        answer.assert_error(403, "forbidden");
        assert_eq!(
            answer.header(ALLOW),
            Some("https://ok.test"),
            "a script may read why"
        );
    }
    assert!(origin.requests().is_empty());
    assert_eq!(ask(&gateway, "GET", "/made", &[good]).status(), 200);
    assert_eq!(ask(&gateway, "GET", "/__health", &[bad]).status(), 200);
    assert_eq!(
        preflight(&gateway, "/made", OK, "GET").status(),
        204,
        "CORS comes first"
    );
    let counted = "hanzo_gateway_refusals_total{reason=\"host_not_allowed\"} 3";
    eventually(counted, || {
        gateway.metrics().contains(counted).then_some(())
    });
    let gateway = Gateway::krakend(with(rules, &origin));
    let answer = ask(&gateway, "GET", "/made", &[bad]);
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (500, "Bad Host\n")
    );
    assert_eq!(answer.header("x-krakend"), None);
}

#[test]
fn cleartext_is_redirected_to_tls() {
    let origin = Origin::json("{}");
    let rules = json!({"security/http": {
        "ssl_redirect": true, "ssl_host": "gw.test", "ssl_proxy_headers": {"X-Forwarded-Proto": "https"}
    }});
    for gateway in [
        Gateway::native(with(rules.clone(), &origin)),
        Gateway::krakend(with(rules, &origin)),
    ] {
        for target in ["/made?a=b", "/nowhere"] {
            let answer = ask(&gateway, "GET", target, &[]);
            assert_eq!(answer.status(), 301);
            let location = format!("https://gw.test{target}");
            assert_eq!(answer.header("location"), Some(location.as_str()));
            assert!(answer.text().contains("Moved Permanently"));
        }
        assert!(ask(&gateway, "POST", "/made", &[]).text().is_empty());
        let proxied = ask(&gateway, "GET", "/made", &[("X-Forwarded-Proto", "https")]);
        assert_eq!(proxied.status(), 200);
        assert_eq!(ask(&gateway, "GET", "/__health", &[]).status(), 200);
    }
}

#[test]
fn an_endpoint_may_say_more_to_browsers_than_the_service() {
    let origin = Origin::json("{}");
    let mut config = with(json!({"security/http": secure()}), &origin);
    config["endpoints"][1]["extra_config"] =
        json!({"security/http": {"custom_frame_options_value": "SAMEORIGIN"}});
    let gateway = Gateway::native(config.clone());
    let answer = ask(&gateway, "GET", "/made", &[]);
    assert_eq!(answer.head.all("x-frame-options"), ["SAMEORIGIN"]);
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(
        ask(&gateway, "GET", "/stream", &[]).header("x-frame-options"),
        Some("DENY")
    );
    let gateway = Gateway::krakend(config);
    assert_eq!(
        ask(&gateway, "GET", "/made", &[]).header("x-frame-options"),
        Some("DENY")
    );
}

#[test]
fn bots_are_turned_away_before_anything_else_but_from_health() {
    let origin = Origin::json("{}");
    let rules = json!({"security/bot-detector": {"deny": ["bad"], "patterns": ["^curl/"]}, "security/http": secure()});
    let gateway = Gateway::native(with(rules.clone(), &origin));
    for agent in ["bad", "curl/8"] {
        for target in ["/made", "/stream", "/nowhere"] {
            let answer = ask(&gateway, "GET", target, &[("User-Agent", agent)]);
            answer.assert_error(403, "forbidden");
            assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        }
        let health = ask(&gateway, "GET", "/__health", &[("User-Agent", agent)]);
        assert_eq!(health.status(), 200);
    }
    assert!(origin.requests().is_empty());
    assert!(gateway.log_line("bot_detected").contains("403"));
    let counted = "hanzo_gateway_refusals_total{reason=\"bot_detected\"} 6";
    eventually(counted, || {
        gateway.metrics().contains(counted).then_some(())
    });
    assert_eq!(
        ask(&gateway, "GET", "/made", &[("User-Agent", "Mozilla")]).status(),
        200
    );
    let gateway = Gateway::krakend(with(rules, &origin));
    let answer = ask(&gateway, "GET", "/nowhere", &[("User-Agent", "bad")]);
    assert_eq!((answer.status(), answer.text().as_str()), (403, ""));
    assert_eq!(answer.header("x-krakend"), None);
}

#[test]
fn an_endpoint_may_turn_away_bots_that_others_serve() {
    let origin = Origin::json("{}");
    for krakend in [false, true] {
        let mut config = with(
            json!({"security/bot-detector": {"deny": ["worst"]}}),
            &origin,
        );
        config["endpoints"][1]["extra_config"] =
            json!({"security/bot-detector": {"deny": ["bad"], "empty_user_agent_is_bot": true}});
        let gateway = if krakend {
            Gateway::krakend(config)
        } else {
            Gateway::native(config)
        };
        for (agent, target, status) in [
            ("bad", "/made", 403),
            ("", "/made", 403),
            ("worst", "/made", 403),
            ("bad", "/stream", 200),
            ("worst", "/stream", 403),
        ] {
            let answer = ask(&gateway, "GET", target, &[("User-Agent", agent)]);
            assert_eq!(answer.status(), status, "{agent} {target}");
        }
        assert_eq!(ask(&gateway, "GET", "/made", &[]).status(), 403);
    }
}

#[test]
fn a_protection_that_cannot_be_understood_stops_the_start_with_its_place() {
    let origin = Origin::json("{}");
    for (name, rules, place) in [
        (
            "security/bot-detector",
            json!({"patterns": ["("]}),
            "/extra_config/security~1bot-detector/patterns/0",
        ),
        (
            "security/http",
            json!({"allowed_hosts": ["("], "allowed_hosts_are_regex": true}),
            "/extra_config/security~1http/allowed_hosts/0",
        ),
        (
            "security/cors",
            json!({"allow_origins": ["*.a.test"]}),
            "/extra_config/security~1cors/allow_origins/0",
        ),
    ] {
        let mut extra = json!({});
        extra[name] = rules;
        let output = Gateway::refused(with(extra, &origin));
        assert!(output.stderr.contains(place), "{output:#?}");
    }
}

/// A request without a body: method, path, fields.
type Asked<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// The heads of answers to HTTP/2 requests.
fn over_http2(port: u16, asked: &[Asked<'_>]) -> Vec<(u16, HeaderMap)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let work = async {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .unwrap();
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut heads = Vec::new();
        for (method, path, fields) in asked {
            let mut request = Request::builder()
                .method(*method)
                .uri(format!("http://127.0.0.1:{port}{path}"));
            for (name, value) in *fields {
                request = request.header(*name, *value);
            }
            sender = sender.ready().await.unwrap();
            let (answer, _) = sender
                .send_request(request.body(()).unwrap(), true)
                .unwrap();
            let head = answer.await.unwrap().into_parts().0;
            heads.push((head.status.as_u16(), head.headers));
        }
        heads
    };
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, work).await })
        .expect("answers")
}

#[test]
fn http2_clients_are_told_the_same() {
    let origin = Origin::json("{\"a\":1}");
    let rules = json!({
        "security/cors": cors(), "security/http": secure(), "security/bot-detector": {"deny": ["bad"]}
    });
    let mut config = with(rules, &origin);
    config["use_h2c"] = json!(true);
    let gateway = Gateway::native(config);
    let asked = ("access-control-request-method", "GET");
    let origin = ("origin", "https://ok.test");
    let found = over_http2(
        gateway.port(),
        &[
            ("GET", "/stream", &[origin]),
            ("GET", "/made", &[origin]),
            ("GET", "/nowhere", &[origin]),
            ("GET", "/dead-stream", &[origin]),
            ("GET", "/made", &[origin, ("user-agent", "bad")]),
            ("OPTIONS", "/made", &[origin, asked]),
        ],
    );
    let statuses: Vec<_> = found.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [200, 200, 404, 502, 403, 204]);
    for (status, fields) in &found {
        assert_eq!(fields[ALLOW], "https://ok.test", "{status}");
        let framed = fields
            .get("x-frame-options")
            .map(|value| value.to_str().unwrap());
        assert_eq!(framed, (*status != 204).then_some("DENY"), "{status}");
    }
}
