//! What an operator sees: access lines, log records, metrics. And what nobody may see: secrets.

use regex::Regex;
use serde_json::{Value, json};

use super::support::{Gateway, Origin, Output, eventually, ports};

const SECRET: &str = "s3cr3t-0f-a-cl13nt";

/// An endpoint that passes its only backend through.
fn passing(pattern: &str, host: &str) -> Value {
    json!({
        "endpoint": pattern,
        "output_encoding": "no-op",
        "backend": [{"url_pattern": pattern, "host": [host], "encoding": "no-op"}],
    })
}

/// Where nobody listens.
fn nowhere() -> String {
    format!("http://127.0.0.1:{}", ports::free())
}

fn logging(level: &str) -> Value {
    json!({"telemetry/logging": {"level": level, "stdout": true}})
}

/// All that was logged, as objects.
///
/// # Panics
/// When a line of standard output is no JSON object.
fn records(output: &Output) -> Vec<Value> {
    let lines = output.stdout.lines();
    lines
        .map(|line| match serde_json::from_str(line) {
            Ok(Value::Object(object)) => Value::Object(object),
            other => panic!("{other:?}: {line}"),
        })
        .collect()
}

fn access_lines(output: &Output) -> Vec<Value> {
    let mut all = records(output);
    all.retain(|record| record["msg"] == "request");
    all
}

/// Waits until the metrics hold a line that begins like this, and gives what follows.
fn sample(gateway: &Gateway, series: &str) -> f64 {
    eventually(series, || {
        let text = gateway.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix(series))?;
        line.trim().parse().ok()
    })
}

/// Waits for a counter to arrive at a value: it is counted after the answer has left.
fn counts(gateway: &Gateway, series: &str, value: f64) {
    eventually(series, || (sample(gateway, series) >= value).then_some(()));
    assert_eq!(sample(gateway, series), value, "{series}");
}

#[test]
fn one_access_line_tells_all_of_a_request_but_its_query() {
    let origin = Origin::json(r#"{"id":7}"#);
    let gateway = Gateway::native(json!({"endpoints": [{
        "endpoint": "/users/{id}", "method": "POST", "output_encoding": "no-op",
        "backend": [{"url_pattern": "/u/{id}", "method": "POST", "host": [origin.url()]}],
    }]}));
    let fields = [("X-Request-ID", "abc-1"), ("Accept", "*/*")];
    let answer = gateway
        .client()
        .request("POST", "/users/7?q=who", &fields, "hello")
        .answer();
    assert_eq!(answer.status(), 200);
    let output = gateway.stop();
    let lines = access_lines(&output);
    assert_eq!(lines.len(), 1, "{output:#?}");
    let line = &lines[0];
    for (key, value) in [
        ("level", json!("INFO")),
        ("method", json!("POST")),
        ("route", json!("/users/{id}")),
        ("path", json!("/users/7")),
        ("status", json!(200)),
        ("bytes", json!(8)),
        ("bytes_in", json!(5)),
        ("request_id", json!("abc-1")),
        ("backend", json!(format!("127.0.0.1:{}", origin.port()))),
        ("client", json!("127.0.0.1")),
    ] {
        assert_eq!(line[key], value, "{key} in {line}");
    }
    assert!(line["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0));
    let stamp = Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$").unwrap();
    assert!(stamp.is_match(line["ts"].as_str().unwrap()), "{line}");
    assert!(!output.stdout.contains("who"), "{output:#?}");
}

#[test]
fn a_refusal_has_the_same_reason_in_log_and_metric() {
    let gateway = Gateway::native(json!({"endpoints": [passing("/down", &nowhere())]}));
    assert_eq!(gateway.get("/nowhere").status(), 404);
    assert_eq!(gateway.get("/down").status(), 502);
    let mut client = gateway.client();
    assert_eq!(
        client.request("DELETE", "/down", &[], "").answer().status(),
        405
    );
    let twice = "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    assert_eq!(gateway.client().send(twice).answer().status(), 400);
    for reason in [
        "no_route",
        "connect_refused",
        "method_not_allowed",
        "bad_host",
    ] {
        counts(
            &gateway,
            &format!("hanzo_gateway_refusals_total{{reason=\"{reason}\"}}"),
            1.0,
        );
    }
    let output = gateway.stop();
    let mut reasons: Vec<_> = access_lines(&output)
        .iter()
        .map(|line| {
            (
                line["status"].as_u64().unwrap(),
                line["reason"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    reasons.sort();
    let expected = [
        (400, "bad_host"),
        (404, "no_route"),
        (405, "method_not_allowed"),
        (502, "connect_refused"),
    ];
    assert_eq!(
        reasons,
        expected.map(|(status, reason)| (status, reason.to_owned()))
    );
}

#[test]
fn no_secret_of_a_request_is_written_anywhere() {
    let origin = Origin::serve(|exchange| {
        let cookie = format!("sid={SECRET}");
        exchange.answer(
            200,
            &[
                ("Set-Cookie", &cookie),
                ("Content-Type", "application/json"),
            ],
            "{}",
        );
    });
    let endpoint = |pattern: &str, encoding: &str, host: &str| {
        json!({
            "endpoint": pattern, "method": "POST", "output_encoding": encoding,
            "input_headers": ["*"], "input_query_strings": ["*"],
            "backend": [
                {"url_pattern": pattern, "method": "POST", "host": [host], "encoding": encoding},
            ],
        })
    };
    let down = nowhere();
    for krakend in [false, true] {
        let config = json!({
            "extra_config": logging("DEBUG"),
            "endpoints": [
                endpoint("/stream", "no-op", &origin.url()), endpoint("/compose", "json", &origin.url()),
                endpoint("/down", "no-op", &down), endpoint("/part", "json", &down),
            ],
        });
        let gateway = if krakend {
            Gateway::krakend(config)
        } else {
            Gateway::native(config)
        };
        let bearer = format!("Bearer {SECRET}");
        let cookie = format!("a=1; session={SECRET}");
        let fields = [
            ("Authorization", &*bearer),
            ("Cookie", &*cookie),
            ("X-IAM-Key", SECRET),
        ];
        let query = format!("?token={SECRET}");
        for path in ["/stream", "/compose", "/down", "/part", "/none", "/stream/"] {
            let target = format!("{path}{query}");
            gateway
                .client()
                .request("POST", &target, &fields, SECRET)
                .answer();
        }
        let wrong = format!("GET /stream{query} HTTP/1.1\r\nCookie: {cookie}\r\n bad\r\n\r\n");
        assert_eq!(gateway.client().send(wrong).answer().status(), 400);
        let output = gateway.stop();
        let all = [output.stdout, output.stderr].concat();
        assert!(all.contains("/compose"), "{all}");
        assert!(!all.contains(SECRET), "{all}");
    }
}

#[test]
fn metrics_have_the_names_and_labels_of_the_contract() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(
        json!({"endpoints": [passing("/users/{id}", &origin.url()), passing("/down", &nowhere())]}),
    );
    for path in ["/users/1", "/users/2", "/down"] {
        gateway.get(path);
    }
    for (series, value) in [
        (
            r#"requests_total{method="GET",path="/users/{id}",status="200"}"#,
            2.0,
        ),
        (
            r#"requests_total{method="GET",path="/down",status="502"}"#,
            1.0,
        ),
        (
            r#"request_duration_seconds_count{method="GET",path="/users/{id}"}"#,
            2.0,
        ),
        (
            r#"request_duration_seconds_bucket{method="GET",path="/users/{id}",le="+Inf"}"#,
            2.0,
        ),
        ("config_last_reload_successful", 1.0),
    ] {
        counts(&gateway, &format!("hanzo_gateway_{series}"), value);
    }
    let published = sample(
        &gateway,
        "hanzo_gateway_config_last_reload_success_timestamp_seconds",
    );
    let age = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs_f64()
        - published;
    assert!((0.0..60.0).contains(&age), "{age}");
    let text = gateway.metrics();
    let version = format!(
        "hanzo_gateway_build_info{{version=\"{}",
        env!("CARGO_PKG_VERSION")
    );
    for start in [
        version.as_str(),
        "hanzo_gateway_backend_errors_total{service=\"127.0.0.1:",
        "hanzo_gateway_active_connections ",
        "hanzo_gateway_websocket_connections ",
        "hanzo_gateway_log_lines_dropped 0",
        "hanzo_gateway_lane_requests_total{lane=\"fast\"} ",
        "hanzo_gateway_lane_requests_total{lane=\"pingora\"} ",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(start)),
            "{start} in\n{text}"
        );
    }
}

#[test]
fn open_connections_are_counted_and_forgotten() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(json!({"endpoints": [passing("/a", &origin.url())]}));
    let mut clients = [gateway.client(), gateway.client()];
    for client in &mut clients {
        client.get("/a");
    }
    let series = "hanzo_gateway_active_connections";
    // The probe of the harness may not be gone yet.
    eventually("two connections", || {
        (sample(&gateway, series) == 2.0).then_some(())
    });
    drop(clients);
    eventually("no connection", || {
        (sample(&gateway, series) == 0.0).then_some(())
    });
}

#[test]
fn clients_cannot_add_series() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(json!({"endpoints": [passing("/users/{id}", &origin.url())]}));
    let series = |gateway: &Gateway| gateway.metrics().lines().count();
    let mut client = gateway.client();
    let mut ask = |method: &str, target: &str| {
        client
            .request(method, target, &[("X-Forwarded-Proto", target)], "")
            .answer()
            .status()
    };
    assert_eq!(ask("GET", "/users/x"), 200);
    assert_eq!(ask("GET", "/none"), 404);
    let odd = ask("ODD", "/users/x");
    assert!(odd == 405 || odd == 501, "{odd}");
    let unrouted = r#"hanzo_gateway_requests_total{method="",path="",status="404"}"#;
    counts(&gateway, unrouted, 1.0);
    let before = series(&gateway);
    for n in 0..1000 {
        assert_eq!(ask("GET", &format!("/none/{n}")), 404);
        if n % 4 == 0 {
            assert_eq!(ask(&format!("ODD{n}"), "/users/x"), odd);
            assert_eq!(ask("GET", &format!("/users/{n}")), 200);
        }
    }
    counts(&gateway, unrouted, 1001.0);
    assert_eq!(series(&gateway), before, "{}", gateway.metrics());
}

#[test]
fn the_internal_listener_only_reads() {
    let gateway = Gateway::native(json!({"endpoints": [passing("/a", &nowhere())]}));
    let stats = gateway.internal("/__stats").json();
    assert_eq!(stats["endpoints"][0]["endpoint"], "/a");
    assert_eq!(gateway.internal("/health").json(), json!({"status": "ok"}));
    assert_eq!(gateway.internal("/other").status(), 404);
    assert_eq!(gateway.get("/metrics").status(), 404);
    assert_eq!(gateway.get("/__stats").status(), 404);
}

#[test]
fn krakends_dialect_writes_krakends_access_line() {
    let origin = Origin::json("{}");
    let gateway = Gateway::krakend(json!({"endpoints": [passing("/a", &origin.url())]}));
    assert_eq!(gateway.get("/a").status(), 200);
    assert_eq!(gateway.get("/none").status(), 404);
    let line = gateway.log_line("\"/a\"");
    let form = r#"^\[GIN\] \d{4}/\d\d/\d\d - \d\d:\d\d:\d\d \| 200 \| +[0-9.]+(µs|ms|s) \|       127\.0\.0\.1 \| GET      "/a"$"#;
    assert!(Regex::new(form).unwrap().is_match(&line), "{line}");
    assert!(gateway.log_line("\"/none\"").contains("| 404 |"));
}

#[test]
fn access_lines_can_be_switched_off() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(json!({
        "extra_config": {"router": {"disable_access_log": true}},
        "endpoints": [passing("/a", &origin.url())],
    }));
    gateway.get("/a");
    gateway.get("/none");
    gateway.client().send("GET / HTTP/1.1\r\n\r\n").answer();
    let output = gateway.stop();
    assert_eq!(access_lines(&output).len(), 0, "{output:#?}");
}

#[test]
fn single_paths_can_be_kept_out_of_the_log() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(json!({
        "extra_config": {"router": {"logger_skip_paths": ["/users/1", "/__health"]}},
        "endpoints": [passing("/users/{id}", &origin.url())],
    }));
    for path in ["/users/1", "/users/2", "/__health", "/users/1?q=1"] {
        gateway.get(path);
    }
    let lines = access_lines(&gateway.stop());
    let paths: Vec<_> = lines
        .iter()
        .map(|line| line["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["/users/2"]);
}

#[test]
fn the_level_of_the_file_decides_which_records_are_written() {
    for (level, info, debug) in [
        ("ERROR", false, false),
        ("INFO", true, false),
        ("DEBUG", true, true),
    ] {
        let gateway = Gateway::native(json!({
            "extra_config": logging(level), "endpoints": [passing("/down", &nowhere())],
        }));
        gateway.get("/none");
        let records = records(&gateway.stop());
        let has = |level: &str| {
            records
                .iter()
                .any(|record| record["level"] == level && record["msg"] != "request")
        };
        assert_eq!(
            (has("INFO"), has("DEBUG")),
            (info, debug),
            "{level}: {records:#?}"
        );
    }
}
