//! One of several backends answers: by share, by a field of the request, and the same one for a caller that stays.

use serde_json::{Value, json};

use crate::support::{Gateway, Origin, PATIENCE};

const PLANS: [&str; 2] = ["no-op", "json"];

fn config(encoding: &str, origins: [&Origin; 2], split: &Value) -> Value {
    let backend = |origin: &Origin| json!({"url_pattern": "/up", "host": [origin.url()]});
    json!({"endpoints": [{
        "endpoint": "/x/{id}", "output_encoding": encoding, "input_headers": ["X-User"],
        "extra_config": {"hanzo/split": split},
        "backend": [backend(origins[0]), backend(origins[1])]
    }]})
}

fn counts(origins: [&Origin; 2]) -> (usize, usize) {
    (origins[0].requests().len(), origins[1].requests().len())
}

#[test]
fn requests_are_shared_by_weight_and_a_field_decides_before_it() {
    for encoding in PLANS {
        let (stable, canary) = (Origin::json("{}"), Origin::json("{}"));
        let split = json!({"backends": [
            {"weight": 100}, {"weight": 0, "match": {"header": "X-Canary", "value": "yes"}}
        ]});
        let gateway = Gateway::native(config(encoding, [&stable, &canary], &split));
        let mut client = gateway.client();
        for _ in 0..20 {
            assert_eq!(client.get("/x/1").status(), 200);
        }
        assert_eq!(counts([&stable, &canary]), (20, 0), "{encoding}");
        client.send("GET /x/1 HTTP/1.1\r\nHost: gw\r\nX-Canary: yes\r\n\r\n");
        assert_eq!(client.answer().status(), 200);
        client.send("GET /x/1 HTTP/1.1\r\nHost: gw\r\nX-Canary: no\r\n\r\n");
        assert_eq!(client.answer().status(), 200);
        assert_eq!(counts([&stable, &canary]), (21, 1), "{encoding}");
        let even = json!({"backends": [{"weight": 1}, {"weight": 1}]});
        let gateway = Gateway::native(config(encoding, [&stable, &canary], &even));
        for _ in 0..100 {
            assert_eq!(gateway.get("/x/1").status(), 200);
        }
        let (a, b) = counts([&stable, &canary]);
        assert!(a > 21 + 20 && b > 1 + 20, "{encoding}: {a} {b}");
    }
}

#[test]
fn a_caller_stays_by_a_field_or_by_the_cookie_that_it_is_given() {
    for encoding in PLANS {
        let origins = [Origin::json("{}"), Origin::json("{}")];
        let both = [&origins[0], &origins[1]];
        let by = |sticky: Value| {
            let split = json!({"backends": [{"weight": 1}, {"weight": 1}], "sticky": sticky});
            Gateway::native(config(encoding, both, &split))
        };
        let one_grew = |before: (usize, usize), calls: usize| {
            let after = counts(both);
            let grown = (after.0 - before.0, after.1 - before.1);
            assert!(grown == (calls, 0) || grown == (0, calls), "{grown:?}");
        };
        let gateway = by(json!({"header": "X-User"}));
        for user in 0..8 {
            let before = counts(both);
            for _ in 0..4 {
                let mut client = gateway.client();
                client.send(format!(
                    "GET /x/1 HTTP/1.1\r\nHost: gw\r\nX-User: {user}\r\n\r\n"
                ));
                assert_eq!(client.answer().status(), 200);
            }
            one_grew(before, 4);
        }
        let gateway = by(json!({"cookie": "group"}));
        for _ in 0..8 {
            let before = counts(both);
            let answer = gateway.get("/x/1");
            let given = answer.header("set-cookie").unwrap().to_owned();
            assert!(
                given.starts_with("group=") && given.contains("HttpOnly"),
                "{given}"
            );
            let cookie = given.split(';').next().unwrap();
            for _ in 0..3 {
                let mut client = gateway.client();
                client.send(format!(
                    "GET /x/1 HTTP/1.1\r\nHost: gw\r\nCookie: a=b; {cookie}\r\n\r\n"
                ));
                let answer = client.answer();
                assert_eq!(answer.status(), 200);
                assert_eq!(answer.header("set-cookie"), None);
            }
            one_grew(before, 4);
        }
    }
}

#[test]
fn cookies_in_fields_of_their_own_keep_a_caller_where_it_is() {
    let origins = [Origin::json("{}"), Origin::json("{}")];
    let both = [&origins[0], &origins[1]];
    let split = json!({"backends": [{"weight": 1}, {"weight": 1}], "sticky": {"cookie": "group"}});
    let mut file = config("no-op", both, &split);
    file["use_h2c"] = json!(true);
    let gateway = Gateway::native(file);
    for caller in 0..4 {
        let before = counts(both);
        for other in 0..4 {
            let own = format!("group={caller}");
            let fields = [("cookie", format!("a={other}")), ("cookie", own)];
            let answer = http2_get(&gateway, "/x/1", &fields);
            assert_eq!(answer.status().as_u16(), 200);
            assert!(!answer.headers().contains_key("set-cookie"), "{answer:?}");
        }
        let mut client = gateway.client();
        client.send(format!(
            "GET /x/1 HTTP/1.1\r\nHost: gw\r\nCookie: b=1; group={caller}\r\n\r\n"
        ));
        assert_eq!(client.answer().status(), 200);
        let after = counts(both);
        let grown = (after.0 - before.0, after.1 - before.1);
        assert!(grown == (5, 0) || grown == (0, 5), "{grown:?}");
    }
}

#[test]
fn a_caller_stays_when_its_backend_gets_another_host_and_when_the_list_is_sorted_anew() {
    let (a, more, b) = (Origin::json("{}"), Origin::json("{}"), Origin::json("{}"));
    let sticky = |shares: Value| json!({"backends": shares, "sticky": {"header": "X-User"}});
    let even = sticky(json!([{"weight": 1}, {"weight": 1}]));
    let mut grown = config("no-op", [&a, &b], &even);
    grown["endpoints"][0]["backend"][0]["host"] = json!([a.url(), more.url()]);
    let files = [
        config("no-op", [&a, &b], &even),
        grown,
        config("no-op", [&b, &a], &even),
    ];
    let homes = files.map(|file| {
        let gateway = Gateway::native(file);
        let at_b = |user: usize| {
            let before = b.requests().len();
            let mut client = gateway.client();
            let user = user.to_string();
            client.request("GET", "/x/1", &[("X-User", &user)], "");
            assert_eq!(client.answer().status(), 200);
            b.requests().len() > before
        };
        (0..24).map(at_b).collect::<Vec<_>>()
    });
    assert!(homes[0].contains(&true) && homes[0].contains(&false));
    assert_eq!(homes[0], homes[1]);
    assert_eq!(homes[0], homes[2]);
}

/// One `GET` over cleartext HTTP/2; its head.
fn http2_get(gateway: &Gateway, path: &str, fields: &[(&str, String)]) -> http::Response<()> {
    let mut request = http::Request::get(format!("http://127.0.0.1:{}{path}", gateway.port()));
    for (name, value) in fields {
        request = request.header(*name, value);
    }
    let exchange = async {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", gateway.port()));
        let (sender, connection) = h2::client::handshake(stream.await.unwrap()).await.unwrap();
        tokio::spawn(connection);
        let mut sender: h2::client::SendRequest<bytes::Bytes> = sender.ready().await.unwrap();
        let (answer, _) = sender
            .send_request(request.body(()).unwrap(), true)
            .unwrap();
        let (head, mut body) = answer.await.unwrap().into_parts();
        while let Some(Ok(_)) = body.data().await {}
        http::Response::from_parts(head, ())
    };
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, exchange).await });
    answer.expect("an answer in time")
}

#[test]
fn shares_that_fit_no_backend_refuse_the_file() {
    let origins = [Origin::json("{}"), Origin::json("{}")];
    for shares in [
        json!([{"weight": 1}, {"weight": 1}, {"weight": 1}]),
        json!({"nobody": {"weight": 1}}),
    ] {
        let split = json!({"backends": shares});
        let refused = Gateway::refused(config("json", [&origins[0], &origins[1]], &split));
        let said = refused.stdout + &refused.stderr;
        assert!(said.contains("hanzo~1split"), "{said}");
    }
}

#[test]
fn explain_names_every_part_its_share_and_what_it_would_do() {
    let origins = [Origin::json("{}"), Origin::json("{}")];
    let split = json!({
        "backends": [{"weight": 75}, {"weight": 25, "match": {"header": "X-Canary"}}],
        "sticky": {"cookie": "group"}
    });
    let mut config = config("json", [&origins[0], &origins[1]], &split);
    let backends = &mut config["endpoints"][0]["backend"];
    backends[0]["extra_config"] =
        json!({"qos/circuit-breaker": {"interval": 60, "timeout": 10, "max_errors": 2}});
    backends[1]["extra_config"] = json!({"qos/ratelimit/proxy": {"max_rate": 3, "capacity": 4}});
    let ask = |more: &[&str]| {
        let words = [&["explain", "GET", "/x/1"], more].concat();
        Gateway::setup().command(&words, config.clone()).stdout
    };
    let machine = ask(&["--json", "-H", "X-Canary: 1"]);
    let told: Value = serde_json::from_str(&machine).unwrap();
    let split = &told["split"];
    assert_eq!(split["rule"], "match");
    assert_eq!(split["sticky"], "the cookie group");
    assert_eq!(
        split["because"]["pointer"],
        "/endpoints/0/extra_config/hanzo~1split/backends"
    );
    let part = |at: usize| {
        let part = &split["parts"][at];
        assert_eq!(part["part"], at + 1);
        let backend = &part["backends"][0];
        assert_eq!(backend["urls"][0], format!("{}/up", origins[at].url()));
        (
            part["share_percent"].clone(),
            part["chosen"].clone(),
            backend["guards"][0]["text"].to_string(),
        )
    };
    let (share, chosen, guard) = part(0);
    assert_eq!((share, chosen), (json!(75.0), json!(false)));
    assert!(guard.contains("more than 2 calls in a row"), "{guard}");
    let (share, chosen, guard) = part(1);
    assert_eq!((share, chosen), (json!(25.0), json!(true)));
    assert!(guard.contains("3 in a second, 4 at once"), "{guard}");
    assert_eq!(
        told["backends"][0]["urls"][0],
        format!("{}/up", origins[1].url())
    );
    let page = ask(&[]);
    for line in [
        "part 1 of 2: weight 75 (75.0 %), compose",
        "part 2 of 2: weight 25 (25.0 %), compose",
        "always for requests with x-canary",
        "the caller gets a cookie group",
        "guard: breaker",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
    assert!(origins.iter().all(|origin| origin.requests().is_empty()));
}
