//! Which endpoint a request meets, what becomes of its path, and the answers that need no backend.

use serde_json::{Value, json};

use crate::support::{Gateway, Origin, eventually, ports};

/// An endpoint whose backend's path says what it got.
fn route(origin: &Origin, path: &str, pattern: &str) -> Value {
    json!({"endpoint": path, "output_encoding": "no-op", "backend": [{"url_pattern": pattern, "host": [origin.url()]}]})
}

/// An origin that answers with the target it was asked for.
fn mirror() -> Origin {
    Origin::serve(|exchange| {
        let target = exchange.request.target().to_owned();
        exchange.answer(200, &[], target);
    })
}

fn gateway(origin: &Origin, routes: &[(&str, &str)]) -> Gateway {
    let endpoints: Vec<Value> = routes
        .iter()
        .map(|(path, pattern)| route(origin, path, pattern))
        .collect();
    Gateway::native(json!({"endpoints": endpoints}))
}

/// A composed endpoint of `GET /x`.
fn simple(origin: &Origin) -> Value {
    json!([{"endpoint": "/x", "backend": [{"url_pattern": "/up", "host": [origin.url()]}]}])
}

#[test]
fn parameters_fill_the_backends_path() {
    let origin = mirror();
    let gateway = gateway(
        &origin,
        &[
            ("/u/{id}/p/{post}", "/posts/{post}/of/{id}?by={id}"),
            ("/u/me/p/{post}", "/mine/{post}"),
        ],
    );
    for (path, target) in [
        ("/u/7/p/a-b", "/posts/a-b/of/7?by=7"),
        ("/u/me/p/1", "/mine/1"),
        ("/u/mee/p/1", "/posts/1/of/mee?by=mee"),
    ] {
        let answer = gateway.get(path);
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (200, target),
            "{path}"
        );
    }
}

#[test]
fn what_is_encoded_in_a_parameter_cannot_leave_it() {
    let origin = mirror();
    let gateway = gateway(&origin, &[("/u/{id}", "/up/{id}/end")]);
    assert_eq!(gateway.get("/u/a%20b").text(), "/up/a%20b/end");
    for path in ["/u/%253f", "/u/%3Fa=1", "/u/a%23b", "/u/%2561", "/u/100%25"] {
        let answer = gateway.get(path);
        answer.assert_error(400, "bad_request");
    }
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn double_encoding_passes_where_its_check_is_switched_off() {
    let origin = mirror();
    let gateway = Gateway::native(json!({
        "extra_config": {"router": {"disable_path_decoding": true}},
        "endpoints": [route(&origin, "/u/{id}", "/up/{id}")]
    }));
    assert_eq!(gateway.get("/u/%2561").status(), 200);
}

#[test]
fn dot_segments_never_reach_a_backend() {
    let origin = mirror();
    let gateway = gateway(
        &origin,
        &[("/u/{id}", "/up/{id}"), ("/files/*", "/store/*")],
    );
    for path in [
        "/u/..",
        "/u/.",
        "/u/%2e%2e",
        "/u/%2E",
        "/files/../secret",
        "/files/a/%2e%2e/%2e%2e/secret",
        "/files/.%2e/x",
    ] {
        let answer = gateway.get(path);
        assert!(
            answer.status() == 400 || answer.status() == 404,
            "{path}: {answer:?}"
        );
        answer.assert_error(
            answer.status(),
            if answer.status() == 400 {
                "bad_request"
            } else {
                "not_found"
            },
        );
    }
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
    assert_eq!(gateway.get("/u/...").text(), "/up/...");
}

#[test]
fn a_wildcard_takes_the_rest_of_the_path() {
    let origin = mirror();
    let gateway = gateway(
        &origin,
        &[
            ("/files/*", "/store/*"),
            ("/files/fixed", "/fixed"),
            ("/bare/*", "/pre"),
        ],
    );
    for (path, target) in [
        ("/files/a", "/store/a"),
        ("/files/a/b/c.txt", "/store/a/b/c.txt"),
        ("/files/a%20b/c", "/store/a%20b/c"),
        ("/files/fixed", "/fixed"),
        ("/files/fixed/more", "/store/fixed/more"),
        ("/bare/a/b", "/pre/a/b"),
    ] {
        let answer = gateway.get(path);
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (200, target),
            "{path}"
        );
    }
}

#[test]
fn the_catch_all_takes_what_nobody_wants() {
    let origin = mirror();
    let gateway = gateway(&origin, &[("/x", "/own"), ("/__catchall", "/all")]);
    assert_eq!(gateway.get("/x").text(), "/own");
    assert!(gateway.get("/anything/else").text().starts_with("/all"));
    assert_eq!(gateway.get("/health").json(), json!({"status": "ok"}));
}

#[test]
fn an_unknown_path_is_not_found() {
    let origin = mirror();
    let answer = gateway(&origin, &[("/x", "/up")]).get("/y");
    answer.assert_error(404, "not_found");
    let krakend = Gateway::krakend(json!({"endpoints": simple(&origin)}));
    let answer = krakend.get("/y");
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (404, "404 page not found")
    );
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.header("x-krakend"), Some("Version 2.13.8"));
    assert_eq!(answer.header("x-krakend-completed"), Some("false"));
}

#[test]
fn a_method_that_a_path_lacks_is_told_with_those_it_has() {
    let origin = mirror();
    let mut post = route(&origin, "/x", "/up");
    post["method"] = json!("POST");
    let config = json!({"endpoints": [route(&origin, "/x", "/up"), post]});
    let answer = Gateway::native(config.clone())
        .client()
        .request("DELETE", "/x", &[], "")
        .answer();
    answer.assert_error(405, "method_not_allowed");
    let allow = answer.header("allow").unwrap();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    let answer = Gateway::krakend(config)
        .client()
        .request("DELETE", "/x", &[], "")
        .answer();
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (405, "405 method not allowed")
    );
    assert_eq!(answer.header("allow"), Some("GET, POST"));
}

#[test]
fn a_missing_method_may_be_told_as_a_missing_path() {
    let origin = mirror();
    let config = json!({
        "extra_config": {"router": {"disable_handle_method_not_allowed": true}},
        "endpoints": simple(&origin)
    });
    let answer = Gateway::native(config)
        .client()
        .request("DELETE", "/x", &[], "")
        .answer();
    answer.assert_error(404, "not_found");
}

#[test]
fn error_bodies_may_be_the_operators_own() {
    let origin = mirror();
    let config = json!({
        "extra_config": {"router": {"error_body": {"404": {"b": 1, "a": "none"}, "405": {"no": true}}}},
        "endpoints": simple(&origin)
    });
    for gateway in [Gateway::native(config.clone()), Gateway::krakend(config)] {
        let answer = gateway.get("/y");
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (404, r#"{"a":"none","b":1}"#)
        );
        assert_eq!(
            answer.header("content-type"),
            Some("application/json; charset=utf-8")
        );
        let answer = gateway.client().request("DELETE", "/x", &[], "").answer();
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (405, r#"{"no":true}"#)
        );
        assert!(answer.header("allow").is_some());
    }
}

#[test]
fn a_slash_too_many_or_too_few_is_redirected() {
    let origin = mirror();
    let mut post = route(&origin, "/p", "/up");
    post["method"] = json!("POST");
    let config =
        json!({"endpoints": [route(&origin, "/a", "/up"), route(&origin, "/b/", "/up"), post]});
    for gateway in [Gateway::native(config.clone()), Gateway::krakend(config)] {
        let answer = gateway.get("/a/?q=1&r");
        assert_eq!(
            (answer.status(), answer.header("location")),
            (301, Some("/a?q=1&r"))
        );
        assert_eq!(
            answer.text(),
            "<a href=\"/a?q=1&amp;r\">Moved Permanently</a>.\n\n"
        );
        assert_eq!(
            answer.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert_eq!(gateway.get("/b").header("location"), Some("/b/"));
        let mut client = gateway.client();
        let answer = client.request("POST", "/p/", &[], "body").answer();
        assert_eq!(
            (
                answer.status(),
                answer.header("location"),
                answer.text().as_str()
            ),
            (307, Some("/p"), "")
        );
    }
    assert!(origin.requests().is_empty());
}

#[test]
fn a_path_in_another_spelling_is_redirected() {
    let origin = mirror();
    let gateway = gateway(&origin, &[("/Case/Path", "/up")]);
    for path in [
        "/case/PATH",
        "//Case//Path",
        "/Case/./Path",
        "/z/../Case/Path/",
    ] {
        let answer = gateway.get(path);
        assert_eq!(
            (answer.status(), answer.header("location")),
            (301, Some("/Case/Path")),
            "{path}"
        );
    }
    let answer = gateway.get("//evil.example/..");
    assert!(
        !answer
            .header("location")
            .unwrap_or_default()
            .starts_with("//"),
        "{answer:?}"
    );
}

#[test]
fn redirects_can_be_switched_off() {
    let origin = mirror();
    let gateway = Gateway::native(json!({
        "extra_config": {"router": {"disable_redirect_trailing_slash": true, "disable_redirect_fixed_path": true}},
        "endpoints": simple(&origin)
    }));
    gateway.get("/x/").assert_error(404, "not_found");
    gateway.get("/X").assert_error(404, "not_found");
}

#[test]
fn extra_slashes_can_be_cleaned_before_the_match() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(json!({
        "extra_config": {"router": {"remove_extra_slash": true}},
        "endpoints": simple(&origin)
    }));
    assert_eq!(gateway.get("//x").status(), 200);
    assert_eq!(origin.request().path(), "/up");
}

#[test]
fn only_krakend_believes_a_clients_prefix() {
    let origin = mirror();
    let config = json!({"endpoints": simple(&origin)});
    let ask = |gateway: &Gateway| {
        let answer = gateway
            .client()
            .request("GET", "/x/", &[("X-Forwarded-Prefix", "/pre")], "")
            .answer();
        answer.header("location").map(str::to_owned)
    };
    assert_eq!(ask(&Gateway::native(config.clone())).as_deref(), Some("/x"));
    assert_eq!(ask(&Gateway::krakend(config)).as_deref(), Some("/pre/x"));
}

#[test]
fn head_is_answered_where_get_is() {
    let origin = Origin::json(r#"{"a":1}"#);
    let gateway = Gateway::native(json!({"endpoints": simple(&origin)}));
    let mut client = gateway.client();
    let answer = client.request("HEAD", "/x", &[], "").answer();
    assert_eq!(
        (
            answer.status(),
            answer.body.len(),
            answer.header("content-length")
        ),
        (200, 0, Some("7"))
    );
    assert_eq!(client.get("/x").text(), r#"{"a":1}"#);
    for path in ["/none", "/health", "/x/"] {
        assert_eq!(
            client.request("HEAD", path, &[], "").answer().body,
            b"",
            "{path}"
        );
    }
    assert_eq!(
        client.get("/x").status(),
        200,
        "the connection stays in step"
    );
}

#[test]
fn options_are_answered_where_that_is_switched_on() {
    let origin = mirror();
    let mut post = route(&origin, "/x", "/up");
    post["method"] = json!("POST");
    let mut config = json!({"endpoints": [post, route(&origin, "/x", "/up")]});
    let ask = |gateway: &Gateway| gateway.client().request("OPTIONS", "/x", &[], "").answer();
    ask(&Gateway::native(config.clone())).assert_error(405, "method_not_allowed");
    config["extra_config"] = json!({"router": {"auto_options": true}});
    let answer = ask(&Gateway::native(config.clone()));
    assert_eq!((answer.status(), answer.text().as_str()), (200, ""));
    let allow = answer.header("allow").unwrap();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    let answer = ask(&Gateway::krakend(config));
    assert_eq!(
        (answer.status(), answer.header("allow")),
        (200, Some("GET, POST"))
    );
    assert_eq!(answer.header("x-krakend-completed"), None);
    assert!(origin.requests().is_empty());
}

#[test]
fn health_is_told_while_the_process_runs() {
    let gateway = Gateway::native(json!({"endpoints": []}));
    let answer = gateway.get("/health");
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (200, r#"{"status":"ok"}"#)
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let answer = gateway.get("/__health");
    assert_eq!(
        (answer.status(), &answer.json()["status"]),
        (200, &json!("ok"))
    );
}

#[test]
fn a_critical_backend_that_is_down_makes_the_gateway_unready() {
    let (up, down) = (Origin::json("{}"), ports::free());
    let host = format!("http://127.0.0.1:{down}");
    let config = |critical: &str| {
        json!({
            "extra_config": {"hanzo/health": {"interval": "100ms", "critical": [critical], "unhealthy_after": 1}},
            "endpoints": [
                {"endpoint": "/up", "backend": [{"url_pattern": "/", "host": [up.url()]}]},
                {"endpoint": "/down", "backend": [{"url_pattern": "/", "host": [host]}]}
            ]
        })
    };
    let (up_name, down_name) = (
        format!("127.0.0.1:{}", up.port()),
        format!("127.0.0.1:{down}"),
    );
    let gateway = Gateway::native(config(&down_name));
    let answer = eventually("unready", || {
        Some(gateway.get("/__health")).filter(|answer| answer.status() == 503)
    });
    let body = answer.json();
    assert_eq!(body["status"], json!("unavailable"));
    assert_eq!(body["backends"][&down_name]["status"], json!("down"));
    assert_eq!(body["backends"][&up_name]["status"], json!("up"));
    assert_eq!(
        gateway.get("/health").status(),
        200,
        "the process itself is well"
    );
    let gateway = Gateway::native(config(&up_name));
    let answer = eventually("the probe", || {
        let answer = gateway.get("/__health");
        (answer.json()["backends"][&down_name]["status"] == json!("down")).then_some(answer)
    });
    assert_eq!(
        (answer.status(), &answer.json()["status"]),
        (200, &json!("ok"))
    );
}

#[test]
fn krakends_health_is_krakends() {
    let gateway = Gateway::krakend(json!({"endpoints": []}));
    let answer = gateway.get("/__health");
    let body = answer.json();
    assert_eq!(
        (answer.status(), &body["status"], &body["agents"]),
        (200, &json!("ok"), &json!({}))
    );
    assert!(
        body["now"]
            .as_str()
            .is_some_and(|now| now.contains(" +0000 UTC m=+")),
        "{body}"
    );
    assert_eq!(answer.header("x-krakend"), None);
    assert_eq!(gateway.get("/health").status(), 404);
}

#[test]
fn health_may_be_moved_or_left_out() {
    let config = |router: Value| json!({"extra_config": {"router": router}, "endpoints": []});
    let gateway = Gateway::native(config(json!({"health_path": "/ready"})));
    assert_eq!(
        (
            gateway.get("/ready").status(),
            gateway.get("/__health").status()
        ),
        (200, 404)
    );
    let gateway = Gateway::native(config(json!({"disable_health": true})));
    assert_eq!(
        (
            gateway.get("/health").status(),
            gateway.get("/__health").status()
        ),
        (200, 404)
    );
}

#[test]
fn routes_that_cannot_both_stand_refuse_the_start() {
    let origin = mirror();
    let twice = json!({"endpoints": [route(&origin, "/x", "/a"), route(&origin, "/x", "/b")]});
    for output in [
        Gateway::refused(twice.clone()),
        Gateway::setup()
            .argument("--compat")
            .argument("krakend")
            .refused(twice),
    ] {
        let text = format!("{}{}", output.stdout, output.stderr);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(text.contains("/x"), "{text}");
    }
    let names = json!({"endpoints": [route(&origin, "/u/{id}", "/a"), route(&origin, "/u/{name}/x", "/b")]});
    drop(Gateway::native(names.clone()));
    let output = Gateway::setup()
        .argument("--compat")
        .argument("krakend")
        .refused(names);
    assert_eq!(output.code, Some(1), "{output:?}");
}

#[test]
fn krakend_refuses_wildcards_and_foreign_methods() {
    let origin = mirror();
    let wildcard = json!({"endpoints": [route(&origin, "/files/*", "/a")]});
    assert_eq!(
        Gateway::setup()
            .argument("--compat")
            .argument("krakend")
            .refused(wildcard)
            .code,
        Some(1)
    );
    let mut odd = route(&origin, "/x", "/a");
    odd["method"] = json!("OPTIONS");
    let config = json!({"endpoints": [odd]});
    let ask = |gateway: &Gateway| gateway.client().request("OPTIONS", "/x", &[], "").answer();
    let answer = ask(&Gateway::native(config.clone()));
    assert_eq!((answer.status(), answer.text().as_str()), (200, "/a"));
    assert_eq!(
        ask(&Gateway::krakend(config)).status(),
        404,
        "KrakenD leaves such an endpoint out"
    );
}

#[test]
fn echo_and_debug_answer_where_they_are_switched_on() {
    let gateway =
        Gateway::native(json!({"endpoints": [], "debug_endpoint": true, "echo_endpoint": true}));
    assert_eq!(gateway.get("/__debug/x").json(), json!({"message": "pong"}));
    let answer = gateway
        .client()
        .request("POST", "/__echo/x?b=1&a=2", &[("X-A", "1")], "hello")
        .answer();
    let body = answer.json();
    assert_eq!(
        (answer.status(), &body["req_uri"]),
        (200, &json!("/__echo/x?b=1&a=2"))
    );
    assert_eq!(
        (&body["req_body"], &body["req_method"]),
        (&json!("hello"), &json!("POST"))
    );
    assert_eq!(body["req_headers"]["X-A"], json!(["1"]));
    assert_eq!(
        gateway.get("/__stats").status(),
        404,
        "statistics are not for clients"
    );
    assert_eq!(gateway.get("/metrics").status(), 404);
}
