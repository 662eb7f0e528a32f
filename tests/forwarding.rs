//! What of a client's request a backend gets to see, and what the gateway adds (contract section 1).

use serde_json::{Value, json};

use crate::support::{Gateway, Origin, Request};

fn endpoint(origin: &Origin, endpoint_keys: Value, backend_keys: Value) -> Value {
    let mut backend = json!({"url_pattern": "/up", "host": [origin.url()]});
    backend
        .as_object_mut()
        .unwrap()
        .extend(backend_keys.as_object().unwrap().clone());
    let mut endpoint = json!({"endpoint": "/x", "backend": [backend]});
    endpoint
        .as_object_mut()
        .unwrap()
        .extend(endpoint_keys.as_object().unwrap().clone());
    endpoint
}

/// A configuration for each of the two ways to a backend: composed and streaming.
fn both(origin: &Origin, endpoint_keys: Value, backend_keys: Value) -> [Value; 2] {
    ["json", "no-op"].map(|encoding| {
        let mut keys = endpoint_keys.clone();
        keys["output_encoding"] = json!(encoding);
        json!({"endpoints": [endpoint(origin, keys, backend_keys.clone())]})
    })
}

/// What the backend gets of one `GET` with these fields.
fn sent(gateway: &Gateway, origin: &Origin, target: &str, fields: &[(&str, &str)]) -> Request {
    let before = origin.requests().len();
    let answer = gateway.client().request("GET", target, fields, "").answer();
    assert_eq!(answer.status(), 200, "{answer:?}");
    origin.requests().swap_remove(before)
}

#[test]
fn nothing_passes_that_was_not_asked_for() {
    let origin = Origin::json("{}");
    for config in both(&origin, json!({}), json!({})) {
        let gateway = Gateway::native(config);
        let fields = [
            ("Authorization", "Bearer t"),
            ("Cookie", "c=1"),
            ("X-A", "1"),
            ("User-Agent", "curl"),
            ("Content-Type", "text/a"),
        ];
        let request = sent(&gateway, &origin, "/x?a=1&b=2", &fields);
        assert_eq!(request.target(), "/up");
        for name in ["authorization", "cookie", "x-a"] {
            assert_eq!(request.header(name), None, "{name}");
        }
        assert_eq!(request.header("content-type"), Some("text/a"));
        assert!(
            request
                .header("user-agent")
                .unwrap()
                .starts_with("hanzo-gateway/")
        );
    }
}

#[test]
fn listed_fields_and_parameters_pass_with_all_values() {
    let origin = Origin::json("{}");
    let keys = json!({"input_headers": ["x-a", "User-Agent"], "input_query_strings": ["b", "a"]});
    for config in both(&origin, keys, json!({})) {
        let gateway = Gateway::native(config);
        let fields = [
            ("X-A", "1"),
            ("x-a", "2"),
            ("X-B", "3"),
            ("User-Agent", "curl"),
            ("Content-Type", "t/t"),
        ];
        let request = sent(&gateway, &origin, "/x?b=2&c=3&a=x%20y&b=1", &fields);
        assert_eq!(request.target(), "/up?a=x+y&b=2&b=1");
        assert_eq!(request.head.all("x-a"), ["1", "2"]);
        assert_eq!(
            (request.header("x-b"), request.header("content-type")),
            (None, None)
        );
        assert_eq!(request.header("user-agent"), Some("curl"));
        assert!(
            request
                .header("x-forwarded-via")
                .unwrap()
                .starts_with("hanzo-gateway/")
        );
    }
}

#[test]
fn a_star_lets_everything_pass() {
    let origin = Origin::json("{}");
    let keys = json!({"input_headers": ["*"], "input_query_strings": ["*"]});
    for config in both(&origin, keys, json!({})) {
        let gateway = Gateway::native(config);
        let fields = [
            ("Authorization", "Bearer t"),
            ("Cookie", "c=1"),
            ("X-A", "1"),
            ("Accept-Encoding", "br"),
        ];
        let request = sent(&gateway, &origin, "/x?z=1&a", &fields);
        assert_eq!(request.target(), "/up?a=&z=1");
        for (name, value) in fields {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
    }
}

#[test]
fn a_backend_may_filter_again() {
    let origin = Origin::json("{}");
    let keys = json!({"input_headers": ["X-A", "X-B"], "input_query_strings": ["a", "b"]});
    let filter = json!({"input_headers": ["X-A"], "input_query_strings": ["a"]});
    for config in both(&origin, keys, filter) {
        let request = sent(
            &Gateway::native(config),
            &origin,
            "/x?a=1&b=2",
            &[("X-A", "1"), ("X-B", "2")],
        );
        assert_eq!(
            (
                request.target(),
                request.header("x-a"),
                request.header("x-b")
            ),
            ("/up?a=1", Some("1"), None)
        );
        assert_eq!(
            request.header("x-forwarded-for"),
            None,
            "the second filter is for ours too"
        );
        assert!(
            request.header("x-request-id").is_some(),
            "what makes a request traceable always passes"
        );
    }
}

#[test]
fn a_querys_own_parameters_stand_before_the_clients() {
    let origin = Origin::json("{}");
    let keys = json!({"input_query_strings": ["*"]});
    for config in both(&origin, keys, json!({"url_pattern": "/up?z=1"})) {
        let gateway = Gateway::native(config);
        assert_eq!(
            sent(&gateway, &origin, "/x?a=2&z=3", &[]).target(),
            "/up?z=1&a=2&z=3"
        );
        assert_eq!(sent(&gateway, &origin, "/x", &[]).target(), "/up?z=1");
    }
}

#[test]
fn fields_of_the_clients_connection_stay_there() {
    let origin = Origin::json("{}");
    for config in both(&origin, json!({"input_headers": ["*"]}), json!({})) {
        let gateway = Gateway::native(config);
        let fields = [
            ("Connection", "keep-alive, X-Private, x-other"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("Proxy-Authorization", "Basic eDp5"),
            ("TE", "trailers"),
            ("Trailer", "X-T"),
            ("X-Private", "1"),
            ("X-OTHER", "1"),
            ("X-Public", "1"),
        ];
        let request = sent(&gateway, &origin, "/x", &fields);
        for (name, _) in &fields[..fields.len() - 1] {
            assert_eq!(request.header(name), None, "{name}");
        }
        assert_eq!(request.header("x-public"), Some("1"));
    }
}

#[test]
fn nobody_can_claim_an_identity_in_any_spelling() {
    let origin = Origin::json("{}");
    let keys = json!({"input_headers": ["*"], "extra_config": {}});
    let listed = json!({"input_headers": ["X-User-ID", "x_user_id", "X-Org-ID", "X-Scopes", "x_scopes", "X-Fine"]});
    let spellings = [
        "X-User-ID",
        "x-user-id",
        "X-USER-ID",
        "x_user_id",
        "X_User-Id",
        "X-Org-ID",
        "X_ORG_ID",
        "X-Scopes",
        "x_scopes",
    ];
    for keys in [keys, listed] {
        for config in both(&origin, keys.clone(), json!({})) {
            let gateway = Gateway::native(config);
            let mut fields: Vec<(&str, &str)> =
                spellings.iter().map(|name| (*name, "root")).collect();
            fields.push(("X-Fine", "1"));
            let request = sent(&gateway, &origin, "/x", &fields);
            for (name, value) in &request.head.fields {
                assert_ne!(value, "root", "{name} passed");
            }
            assert_eq!(request.header("x-fine"), Some("1"));
        }
    }
}

#[test]
fn a_request_id_is_kept_or_made_and_told_to_both_sides() {
    let origin = Origin::json("{}");
    for config in both(&origin, json!({}), json!({})) {
        let gateway = Gateway::native(config);
        let long = "i".repeat(128);
        for id in ["mine", long.as_str()] {
            let answer = gateway
                .client()
                .request("GET", "/x", &[("X-Request-ID", id)], "")
                .answer();
            assert_eq!(answer.head.all("x-request-id"), [id]);
            assert_eq!(
                origin.requests().pop().unwrap().head.all("x-request-id"),
                [id]
            );
        }
        let too_long = "i".repeat(129);
        for id in [
            None,
            Some(too_long.as_str()),
            Some("with space"),
            Some("h\u{e9}"),
            Some(""),
        ] {
            let fields: Vec<_> = id.map(|id| ("X-Request-ID", id)).into_iter().collect();
            let answer = gateway.client().request("GET", "/x", &fields, "").answer();
            let made = answer.header("x-request-id").unwrap().to_owned();
            assert!(made.len() == 36 && made.starts_with("req_"), "{made}");
            assert!(
                made[4..]
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
                "{made}"
            );
            assert_eq!(
                origin.requests().pop().unwrap().header("x-request-id"),
                Some(made.as_str())
            );
            gateway.log_line(&made);
        }
    }
}

#[test]
fn answers_without_backend_carry_the_request_id_too() {
    let gateway = Gateway::native(json!({"endpoints": []}));
    for (path, status) in [("/health", 200), ("/none", 404)] {
        let answer = gateway
            .client()
            .request("GET", path, &[("X-Request-ID", "mine")], "")
            .answer();
        assert_eq!(
            (answer.status(), answer.header("x-request-id")),
            (status, Some("mine"))
        );
        assert!(answer.header("x-gateway-version").is_some());
    }
}

#[test]
fn the_version_is_told_unless_it_is_hidden() {
    let origin = Origin::json("{}");
    for mut config in both(&origin, json!({}), json!({})) {
        let gateway = Gateway::native(config.clone());
        let answer = gateway.get("/x");
        let version = answer.header("x-gateway-version").unwrap().to_owned();
        assert!(
            version.starts_with("hanzo-gateway/") && version.matches('.').count() == 1,
            "{version}"
        );
        assert_eq!(
            origin.requests().pop().unwrap().header("x-gateway-version"),
            Some(version.as_str())
        );
        assert_eq!(answer.header("x-krakend"), None);
        config["extra_config"] = json!({"router": {"hide_version_header": true}});
        let answer = Gateway::native(config).get("/x");
        assert_eq!(answer.header("x-gateway-version"), None);
        assert_eq!(
            origin.requests().pop().unwrap().header("x-gateway-version"),
            None
        );
    }
}

#[test]
fn a_client_cannot_speak_for_the_gateway() {
    let origin = Origin::json("{}");
    for config in both(&origin, json!({"input_headers": ["*"]}), json!({})) {
        let gateway = Gateway::native(config);
        let fields = [
            ("X-Gateway-Version", "forged"),
            ("X-Forwarded-For", "forged"),
            ("X-Forwarded-Host", "forged"),
            ("X-Forwarded-Proto", "forged"),
            ("Via", "1.1 real"),
        ];
        let request = sent(&gateway, &origin, "/x", &fields);
        assert!(
            request
                .head
                .fields
                .iter()
                .all(|(_, value)| !value.contains("forged")),
            "{:?}",
            request.head
        );
        assert_eq!(request.head.all("via"), ["1.1 real, 1.1 hanzo-gateway"]);
    }
}

#[test]
fn a_stranger_is_told_as_the_client_whatever_he_says() {
    let origin = Origin::json("{}");
    for config in both(&origin, json!({}), json!({})) {
        let gateway = Gateway::native(config);
        let fields = [
            ("X-Forwarded-For", "192.0.2.1"),
            ("X-Forwarded-Proto", "https"),
            ("Host", "shop.example:8443"),
        ];
        let request = sent(&gateway, &origin, "/x", &fields);
        assert_eq!(request.head.all("x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(request.header("x-forwarded-proto"), Some("http"));
        assert_eq!(
            request.header("x-forwarded-host"),
            Some("shop.example:8443")
        );
        assert_eq!(request.header("via"), Some("1.1 hanzo-gateway"));
    }
}

#[test]
fn a_trusted_proxy_is_believed_and_named() {
    let origin = Origin::json("{}");
    for mut config in both(&origin, json!({}), json!({})) {
        config["extra_config"] = json!({"router": {"trusted_proxies": ["127.0.0.0/8"]}});
        let gateway = Gateway::native(config);
        let fields = [
            ("X-Forwarded-For", "198.51.100.7, 192.0.2.1"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "shop.example"),
        ];
        let request = sent(&gateway, &origin, "/x", &fields);
        assert_eq!(
            request.head.all("x-forwarded-for"),
            ["198.51.100.7, 192.0.2.1, 127.0.0.1"]
        );
        assert_eq!(request.header("x-forwarded-proto"), Some("https"));
        assert_eq!(request.header("x-forwarded-host"), Some("shop.example"));
        let line: Value = serde_json::from_str(&gateway.log_line("192.0.2.1")).unwrap();
        assert!(
            !line.to_string().contains("198.51.100.7"),
            "the rightmost stranger counts: {line}"
        );
    }
}

#[test]
fn host_is_the_backends() {
    let origin = Origin::json("{}");
    for config in both(&origin, json!({"input_headers": ["*", "Host"]}), json!({})) {
        let request = sent(
            &Gateway::native(config),
            &origin,
            "/x",
            &[("Host", "shop.example")],
        );
        assert_eq!(
            request.head.all("host"),
            [format!("127.0.0.1:{}", origin.port())]
        );
    }
}

#[test]
fn a_known_length_is_told_and_an_unknown_one_is_not() {
    let origin = Origin::json("{}");
    for mut config in both(
        &origin,
        json!({"method": "POST"}),
        json!({"method": "POST"}),
    ) {
        let gateway = Gateway::native(config.take());
        let before = origin.requests().len();
        gateway.client().request("POST", "/x", &[], "body").answer();
        let request = origin.requests().swap_remove(before);
        assert_eq!(
            (
                request.header("content-length"),
                request.header("transfer-encoding")
            ),
            (Some("4"), None)
        );
        assert_eq!(request.text(), "body");
    }
}

#[test]
fn krakend_says_what_krakend_says() {
    let origin = Origin::json(r#"{"a":1}"#);
    for config in both(
        &origin,
        json!({"method": "POST"}),
        json!({"method": "POST"}),
    ) {
        let streams = config["endpoints"][0]["output_encoding"] == "no-op";
        let gateway = Gateway::krakend(config);
        let before = origin.requests().len();
        let fields = [
            ("X-Forwarded-For", "192.0.2.1, 198.51.100.7"),
            ("X-Request-ID", "mine"),
            ("Content-Type", "a/b"),
        ];
        let answer = gateway
            .client()
            .request("POST", "/x", &fields, "body")
            .answer();
        assert_eq!(answer.header("x-krakend"), Some("Version 2.13.8"));
        assert_eq!(
            answer.header("x-krakend-completed"),
            Some(if streams { "false" } else { "true" })
        );
        assert_eq!(
            (
                answer.header("x-request-id"),
                answer.header("x-gateway-version")
            ),
            (None, None)
        );
        let request = origin.requests().swap_remove(before);
        assert_eq!(request.header("user-agent"), Some("KrakenD Version 2.13.8"));
        assert_eq!(request.header("x-forwarded-for"), Some("192.0.2.1"));
        let none = [
            "via",
            "x-forwarded-proto",
            "x-request-id",
            "x-gateway-version",
        ];
        assert!(
            none.iter().all(|name| request.header(name).is_none()),
            "{:?}",
            request.head
        );
        assert_eq!(
            (
                request.header("transfer-encoding"),
                request.header("content-length")
            ),
            (Some("chunked"), None)
        );
    }
}

#[test]
fn krakend_forwards_identities_and_connection_fields_under_a_star() {
    let origin = Origin::json("{}");
    let [config, _] = both(&origin, json!({"input_headers": ["*"]}), json!({}));
    let gateway = Gateway::krakend(config);
    let fields = [
        ("X-User-ID", "root"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
    ];
    let request = sent(&gateway, &origin, "/x", &fields);
    for (name, value) in fields {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
}

#[test]
fn krakend_follows_redirects_and_unpacks_where_it_streams() {
    let origin = Origin::serve(|exchange| match exchange.request.path() {
        "/up" => exchange.answer(302, &[("Location", "/next")], ""),
        _ => exchange.answer(200, &[("X-From", "next")], "end"),
    });
    let [_, streams] = both(&origin, json!({}), json!({}));
    let answer = Gateway::krakend(streams).get("/x");
    assert_eq!(
        (
            answer.status(),
            answer.text().as_str(),
            answer.header("x-from")
        ),
        (200, "end", Some("next"))
    );
    assert_eq!(origin.requests()[0].header("accept-encoding"), Some("gzip"));
}

#[test]
fn krakend_has_no_head_on_get() {
    let origin = Origin::json("{}");
    let [composed, _] = both(&origin, json!({}), json!({}));
    let answer = Gateway::krakend(composed)
        .client()
        .request("HEAD", "/x", &[], "")
        .answer();
    assert_eq!(
        (answer.status(), answer.header("allow")),
        (405, Some("GET"))
    );
}
