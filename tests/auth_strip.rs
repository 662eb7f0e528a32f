//! No client tells backends who it is: identity fields in any spelling, on every kind of endpoint, over HTTP/1.1 and
//! HTTP/2, on the lane that the tests run with. `compile::strip` holds the rules themselves over all configurations.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::support::{Gateway, Origin, PATIENCE, Request};

/// Names that the configuration below may tell backends.
const MINTED: &[&str] = &[
    "X-User-ID",
    "X-Org-ID",
    "X-Scopes",
    "X-Role",
    "X_Login",
    "x-login-2",
    "X-Tier",
];

fn endpoint(path: &str, encoding: &str, more: Value, origin: &Origin) -> Value {
    let backend = json!({"url_pattern": path, "host": [origin.url()], "encoding": encoding});
    let mut endpoint = json!({
        "endpoint": path, "output_encoding": encoding, "input_headers": ["*"], "backend": [backend],
    });
    endpoint
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().cloned().unwrap_or_default());
    endpoint
}

fn config(origin: &Origin) -> Value {
    let listed: Vec<String> = MINTED
        .iter()
        .flat_map(|name| {
            [
                (*name).to_owned(),
                name.replace('-', "_"),
                name.to_lowercase(),
            ]
        })
        .collect();
    let twice = |path: &str| {
        let one = json!({"url_pattern": path, "host": [origin.url()]});
        json!({"backend": [one, one]})
    };
    let shadow = json!({"backend": [
        {"url_pattern": "/shadow", "host": [origin.url()]},
        {"url_pattern": "/shadow", "host": [origin.url()], "extra_config": {"proxy": {"shadow": true}}},
    ]});
    let staged =
        json!({"extra_config": {"validation/cel": [{"check_expr": "req_method == 'GET'"}]}});
    let script = json!({"extra_config": {"modifier/lua-endpoint": {
        "pre": "local c = ctx.load(); c:headers('X-Script', 'was here')", "live": false, "allow_open_libs": false,
    }}});
    let keyed = json!({"extra_config": {"auth/api-keys": {"roles": ["r"]}}});
    json!({
        "use_h2c": true,
        "extra_config": {
            "auth/api-keys": {"keys": [{"key": "k", "roles": ["r"]}], "propagate_role": "X-Role"},
            "auth/basic": {"propagate_user": "X_Login"},
        },
        "endpoints": [
            endpoint("/stream", "no-op", json!({}), origin),
            endpoint("/made", "json", json!({}), origin),
            endpoint("/listed", "json", json!({ "input_headers": listed }), origin),
            endpoint("/listed-stream", "no-op", json!({ "input_headers": listed }), origin),
            endpoint("/twice", "json", twice("/twice"), origin),
            endpoint("/shadow", "json", shadow, origin),
            endpoint("/staged", "no-op", staged, origin),
            endpoint("/script", "no-op", script, origin),
            endpoint("/keyed", "no-op", keyed, origin),
            endpoint("/login", "json", json!({"extra_config": {"auth/basic": {
                "users": {"ann": bcrypt::hash("pw", 4).unwrap()}, "propagate_user": "x-login-2"}}}), origin),
            endpoint("/claims", "json", json!({"extra_config": {"auth/basic": {
                "users": {"ann": bcrypt::hash("pw", 4).unwrap()}, "propagate_user": "X-Tier"}}}), origin),
        ],
    })
}

const OPEN: &[&str] = &[
    "/stream",
    "/made",
    "/listed",
    "/listed-stream",
    "/twice",
    "/shadow",
    "/staged",
    "/script",
];

fn spelled(name: &str, bits: u32) -> String {
    let change = |(at, c): (usize, char)| match (c, bits.rotate_right((at % 32) as u32) & 1 == 1) {
        ('-', true) => '_',
        ('_', true) => '-',
        (c, true) => c.to_ascii_uppercase(),
        (c, false) => c.to_ascii_lowercase(),
    };
    name.chars().enumerate().map(change).collect()
}

fn same(a: &str, b: &str) -> bool {
    a.replace('_', "-")
        .eq_ignore_ascii_case(&b.replace('_', "-"))
}

/// Identity fields that a backend saw; values of the gateway's own are not among them.
fn believed(request: &Request) -> Vec<String> {
    let lines = request.head.fields.iter();
    let identity = lines
        .filter(|(name, value)| MINTED.iter().any(|own| same(own, name)) && value.contains("root"));
    identity
        .map(|(name, value)| format!("{name}: {value}"))
        .collect()
}

type Picks = Vec<(usize, u32, u8)>;

fn picks() -> impl Strategy<Value = Picks> {
    prop::collection::vec((any::<usize>(), any::<u32>(), 1..4_u8), 1..12)
}

fn lies(picks: &Picks, lower: bool) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (at, bits, times) in picks {
        for time in 0..*times {
            let name = spelled(MINTED[at % MINTED.len()], bits.rotate_left(time.into()));
            let name = if lower { name.to_lowercase() } else { name };
            all.push((name, format!("root{time}")));
        }
    }
    all.push(("x-user-ids".to_owned(), "kept".to_owned()));
    all
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    })
}

/// What arrived since a moment is clean, and something arrived; shadows may still be on their way.
fn clean(origin: &Origin, before: usize, target: &str) -> Result<(), TestCaseError> {
    let seen = origin.wait_for(
        before
            + if target == "/shadow" || target == "/twice" {
                2
            } else {
                1
            },
    );
    for request in &seen[before..] {
        let believed = believed(request);
        prop_assert!(believed.is_empty(), "{target}: {believed:?}");
        let open = !target.starts_with("/listed");
        prop_assert_eq!(request.header("x-user-ids").is_some(), open, "{}", target);
    }
    Ok(())
}

#[test]
fn no_identity_of_a_client_reaches_a_backend_over_http1() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(config(&origin));
    let run = |picks: Picks| {
        for target in OPEN {
            let (before, mut client) = (origin.requests().len(), gateway.client());
            let lies = lies(&picks, false);
            let fields: Vec<_> = lies.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let answer = client.request("GET", target, &fields, "").answer();
            prop_assert_eq!(answer.status(), 200, "{}: {:?}", target, answer);
            clean(&origin, before, target)?;
        }
        Ok(())
    };
    runner(12).run(&picks(), run).unwrap();
}

#[test]
fn no_identity_of_a_client_reaches_a_backend_over_http2() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(config(&origin));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let port = gateway.port();
    let run = |picks: Picks| {
        for target in OPEN {
            let before = origin.requests().len();
            let lies = lies(&picks, true);
            let exchange = async {
                let socket = tokio::net::TcpStream::connect(("127.0.0.1", port))
                    .await
                    .unwrap();
                let (mut sender, connection) = h2::client::handshake(socket).await.unwrap();
                let connection = tokio::spawn(connection);
                let mut request = http::Request::get(format!("http://127.0.0.1:{port}{target}"));
                for (name, value) in &lies {
                    request = request.header(name, value);
                }
                let (answer, _) = sender
                    .send_request(request.body(()).unwrap(), true)
                    .unwrap();
                let status = answer.await.unwrap().status().as_u16();
                connection.abort();
                status
            };
            let status = runtime
                .block_on(async { tokio::time::timeout(PATIENCE, exchange).await })
                .unwrap();
            prop_assert_eq!(status, 200, "{}", target);
            clean(&origin, before, target)?;
        }
        Ok(())
    };
    runner(8).run(&picks(), run).unwrap();
}

#[test]
fn no_identity_of_a_client_reaches_a_backend_before_a_websocket() {
    let origin = Origin::serve_heads(|exchange| {
        exchange.raw(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        );
        exchange.close();
    });
    let gateway = Gateway::native(config(&origin));
    let run = |picks: Picks| {
        for target in ["/stream", "/listed-stream"] {
            let before = origin.requests().len();
            let lies = lies(&picks, false);
            let mut fields = vec![("Connection", "Upgrade"), ("Upgrade", "websocket")];
            fields.extend(lies.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            let mut client = gateway.client();
            client.request("GET", target, &fields, "");
            clean(&origin, before, target)?;
        }
        Ok(())
    };
    runner(8).run(&picks(), run).unwrap();
}

#[test]
fn what_the_gateway_knows_takes_the_place_of_every_lie() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(config(&origin));
    let login = format!(
        "Basic {}",
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "ann:pw")
    );
    let run = |picks: Picks| {
        for (target, credentials, name, value) in [
            ("/keyed", "Bearer k", "x-role", "r"),
            ("/login", &login, "x-login-2", "ann"),
            ("/claims", &login, "x-tier", "ann"),
        ] {
            let before = origin.requests().len();
            let lies = lies(&picks, false);
            let mut fields = vec![("Authorization", credentials)];
            fields.extend(lies.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            let answer = gateway
                .client()
                .request("GET", target, &fields, "")
                .answer();
            prop_assert_eq!(answer.status(), 200, "{:?}", answer);
            let seen = &origin.requests()[before];
            prop_assert_eq!(seen.head.all(name), [value], "{}", target);
            prop_assert!(believed(seen).is_empty(), "{:?}", seen);
        }
        Ok(())
    };
    runner(12).run(&picks(), run).unwrap();
}
