//! As whom the gateway calls its backends: tokens that it fetches, signatures that it makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Exchange, Gateway, Origin, eventually, feed, ports};

/// Stands in every token and secret of these tests; nothing that the gateway writes may hold it.
const HUSH: &str = "hush-hush";

/// A token service whose tokens are numbered.
struct Tokens {
    origin: Origin,
    fails: Arc<AtomicUsize>,
}

impl Tokens {
    fn of(accepts: impl Fn(&Exchange) -> bool + Send + Sync + 'static) -> Self {
        let (fails, count) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
        let down = Arc::clone(&fails);
        let origin = Origin::serve(move |exchange| {
            let fails = down.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            if fails.is_ok() {
                return exchange.answer(503, &[], HUSH);
            }
            if !accepts(exchange) {
                return exchange.answer(401, &[], r#"{"error":"invalid_client"}"#);
            }
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            exchange.json(&format!(
                r#"{{"access_token":"{HUSH}-{number}","token_type":"bearer","expires_in":3600}}"#
            ));
        });
        Self { origin, fails }
    }

    fn new() -> Self {
        Self::of(|_| true)
    }

    fn settings(&self) -> Value {
        settings(&format!("{}/token", self.origin.url()))
    }

    fn asked(&self) -> usize {
        self.origin.requests().len()
    }
}

fn settings(url: &str) -> Value {
    json!({"client_id": "me", "client_secret": format!("{HUSH}-secret"), "token_url": url, "scopes": "a,b"})
}

fn backend(origin: &Origin, settings: &Value) -> Value {
    json!({"url_pattern": "/up", "host": [origin.url()],
        "extra_config": {"auth/client-credentials": settings}})
}

fn endpoint(path: &str, encoding: &str, backend: Value) -> Value {
    json!({"endpoint": path, "timeout": "10s", "input_headers": ["*"], "output_encoding": encoding, "backend": [backend]})
}

fn loud(endpoints: Value) -> Value {
    json!({"extra_config": {"telemetry/logging": {"level": "DEBUG", "stdout": true}}, "endpoints": endpoints})
}

fn bearer(number: usize) -> String {
    format!("Bearer {HUSH}-{number}")
}

/// All that a gateway has told anybody holds no secret.
fn assert_silent(gateway: Gateway) {
    let metrics = gateway.metrics();
    let output = gateway.stop();
    for text in [metrics, output.stdout, output.stderr] {
        assert!(!text.contains(HUSH), "{text}");
    }
}

fn shown(origin: &Origin) -> Vec<String> {
    let all = origin.requests();
    let values = all.iter().map(|r| r.head.all("authorization").join("|"));
    values.collect()
}

#[test]
fn every_kind_of_call_carries_one_token_in_place_of_the_clients() {
    for krakend in [false, true] {
        let (tokens, origin) = (Tokens::new(), Origin::json("{}"));
        let martian = json!({"header.Modifier": {"scope": ["request"], "name": "Authorization", "value": "martian"}});
        let mut ruled = backend(&origin, &tokens.settings());
        ruled["extra_config"]["modifier/martian"] = martian;
        let mut upload = endpoint("/upload", "no-op", backend(&origin, &tokens.settings()));
        upload["method"] = json!("POST");
        upload["backend"][0]["method"] = json!("POST");
        let mut twice = endpoint("/twice", "json", backend(&origin, &tokens.settings()));
        twice["concurrent_calls"] = json!(2);
        let config = loud(json!([
            endpoint("/composed", "json", backend(&origin, &tokens.settings())),
            endpoint("/stream", "no-op", backend(&origin, &tokens.settings())),
            endpoint("/ruled", "json", ruled.clone()),
            endpoint("/ruled-stream", "no-op", ruled),
            upload,
            twice,
        ]));
        let gateway = if krakend {
            Gateway::krakend(config)
        } else {
            Gateway::native(config)
        };
        for path in [
            "/composed",
            "/stream",
            "/ruled",
            "/ruled-stream",
            "/upload",
            "/twice",
        ] {
            let (method, body) = if path == "/upload" {
                ("POST", "body")
            } else {
                ("GET", "")
            };
            let fields = [("Authorization", "Bearer of-the-client")];
            let answer = gateway
                .client()
                .request(method, path, &fields, body)
                .answer();
            assert_eq!(answer.status(), 200, "{path}: {answer:?}");
        }
        let shown = shown(&origin);
        assert!(
            shown.len() >= 6 && shown.iter().all(|value| *value == bearer(1)),
            "{shown:?}"
        );
        let asked = tokens.origin.request();
        assert_eq!((asked.method(), asked.target()), ("POST", "/token"));
        assert_eq!(asked.text(), "grant_type=client_credentials&scope=a+b");
        let kind = asked.header("content-type");
        assert_eq!(kind, Some("application/x-www-form-urlencoded"));
        assert!(
            asked
                .header("authorization")
                .is_some_and(|v| v.starts_with("Basic "))
        );
        assert_silent(gateway);
    }
}

#[test]
fn first_requests_that_come_together_make_one_fetch() {
    let (tap, feed) = feed();
    let (count, feed) = (Arc::new(AtomicUsize::new(0)), feed);
    let asked = Arc::clone(&count);
    let tokens = Origin::serve(move |exchange| {
        asked.fetch_add(1, Ordering::SeqCst);
        exchange.stream(&[("Content-Type", "application/json")], &feed);
    });
    let origin = Origin::json("{}");
    let backend = backend(&origin, &settings(&format!("{}/t", tokens.url())));
    let gateway = Gateway::native(json!({"endpoints": [
        endpoint("/a", "json", backend.clone()), endpoint("/b", "no-op", backend)]}));
    let mut clients: Vec<_> = (0..20).map(|_| gateway.client()).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        client.request("GET", if at % 2 == 0 { "/a" } else { "/b" }, &[], "");
    }
    eventually("the fetch", || {
        (count.load(Ordering::SeqCst) > 0).then_some(())
    });
    // One of those who wait leaves; the fetch is not theirs.
    drop(clients.remove(0));
    tap.send(r#"{"access_token":"hush-hush-1","expires_in":99}"#);
    drop(tap);
    for client in &mut clients {
        assert_eq!(client.answer().status(), 200);
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert!(shown(&origin).iter().all(|value| *value == bearer(1)));
}

#[test]
fn a_service_that_wants_the_proof_in_the_body_gets_it_there_and_that_is_remembered() {
    let tokens = Tokens::of(|exchange| exchange.request.text().contains("client_secret="));
    let status = Arc::new(AtomicUsize::new(200));
    let says = Arc::clone(&status);
    let origin = Origin::serve(move |exchange| {
        let status = u16::try_from(says.load(Ordering::SeqCst)).unwrap();
        exchange.answer(status, &[("Content-Type", "application/json")], "{}");
    });
    let gateway = Gateway::native(loud(json!([endpoint(
        "/x",
        "json",
        backend(&origin, &tokens.settings())
    )])));
    assert_eq!(gateway.get("/x").status(), 200);
    assert_eq!(tokens.asked(), 2);
    status.store(401, Ordering::SeqCst);
    gateway.get("/x").assert_error(502, "bad_gateway");
    status.store(200, Ordering::SeqCst);
    assert_eq!(gateway.get("/x").status(), 200);
    let asked = tokens.origin.requests();
    assert_eq!(asked.len(), 3);
    assert!(asked[2].header("authorization").is_none());
    assert!(
        asked[2]
            .text()
            .contains("client_id=me&client_secret=hush-hush-secret")
    );
    assert_silent(gateway);
}

#[test]
fn a_token_that_the_backend_refuses_is_dropped_in_native() {
    for encoding in ["json", "no-op"] {
        let tokens = Tokens::new();
        let origin = Origin::serve(|exchange| {
            let old = exchange.request.header("authorization") == Some("Bearer hush-hush-1");
            let status = if old { 401 } else { 200 };
            exchange.answer(status, &[("Content-Type", "application/json")], "{}");
        });
        let config =
            json!({"endpoints": [endpoint("/x", encoding, backend(&origin, &tokens.settings()))]});
        let gateway = Gateway::native(config.clone());
        // The token of the first call is as fresh as can be: refusing it says nothing about its age.
        let mut statuses: Vec<u16> = (0..3).map(|_| gateway.get("/x").status()).collect();
        let refused = if encoding == "json" { 502 } else { 401 };
        assert_eq!(statuses.split_off(1), [refused, 200], "{encoding}");
        assert_eq!((statuses, tokens.asked()), (vec![refused], 2));
        let gateway = Gateway::krakend(config);
        for _ in 0..4 {
            gateway.get("/x");
        }
        assert_eq!(tokens.asked(), 3);
    }
}

#[test]
fn without_a_token_no_call_is_made_and_each_dialect_says_so_in_its_way() {
    let origin = Origin::json("{}");
    let nobody = format!("http://127.0.0.1:{}/token", ports::free());
    let refusing = Tokens::of(|_| false);
    for settings in [settings(&nobody), refusing.settings(), settings("no url")] {
        let config = loud(json!([
            endpoint("/composed", "json", backend(&origin, &settings)),
            endpoint("/stream", "no-op", backend(&origin, &settings)),
        ]));
        let (native, krakend) = (Gateway::native(config.clone()), Gateway::krakend(config));
        for path in ["/composed", "/stream"] {
            let answer = native.get(path);
            answer.assert_error(502, "bad_gateway");
            assert!(!answer.text().contains("127.0.0.1"), "{answer:?}");
            let answer = krakend.get(path);
            assert_eq!((answer.status(), answer.text().as_str()), (500, ""));
        }
        native.log_line("backend_token_unavailable");
        assert!(
            native
                .metrics()
                .contains(r#"reason="backend_token_unavailable"} 2"#)
        );
        // A finding shows the line of the file that it is about, and this file has one line only.
        if settings["token_url"] != "no url" {
            assert_silent(native);
            assert_silent(krakend);
        }
    }
    assert!(origin.requests().is_empty());
}

#[test]
fn a_service_that_fails_is_not_hammered_and_forgiven() {
    let (tokens, origin) = (Tokens::new(), Origin::json("{}"));
    tokens.fails.store(2, Ordering::SeqCst);
    let gateway = Gateway::native(
        json!({"endpoints": [endpoint("/x", "json", backend(&origin, &tokens.settings()))]}),
    );
    let mut refused = 0;
    eventually("a token", || {
        let good = gateway.get("/x").status() == 200;
        refused += usize::from(!good);
        good.then_some(())
    });
    // One fetch with the proof in the head and one with it in the body, however many asked; then a good one.
    assert_eq!(tokens.asked(), 3);
    assert!(refused > 1, "{refused}");
}

#[test]
fn a_service_that_hangs_costs_a_request_its_own_time_only() {
    let (tokens, origin) = (Origin::serve(Exchange::stall), Origin::json("{}"));
    let mut all = Vec::new();
    for (path, encoding) in [("/composed", "json"), ("/stream", "no-op")] {
        let settings = settings(&format!("{}/{encoding}", tokens.url()));
        let mut endpoint = endpoint(path, encoding, backend(&origin, &settings));
        endpoint["timeout"] = json!("300ms");
        all.push(endpoint);
    }
    let gateway = Gateway::native(json!({"endpoints": all}));
    for path in ["/composed", "/stream"] {
        let answer = gateway.get(path);
        answer.assert_error(502, "bad_gateway");
        assert!(answer.took < Duration::from_secs(8), "{:?}", answer.took);
    }
}

#[test]
fn a_redirect_to_another_host_takes_no_token_along() {
    let tokens = Tokens::new();
    let other = Origin::json(r#"{"other":true}"#);
    let place = format!("http://localhost:{}/there", other.port());
    let origin = Origin::serve(move |exchange| exchange.answer(302, &[("Location", &place)], ""));
    let config =
        json!({"endpoints": [endpoint("/x", "json", backend(&origin, &tokens.settings()))]});
    for gateway in [Gateway::native(config.clone()), Gateway::krakend(config)] {
        assert_eq!(gateway.get("/x").json(), json!({"other": true}));
    }
    assert!(
        shown(&origin)
            .iter()
            .all(|value| value.starts_with("Bearer "))
    );
    assert_eq!(shown(&other), ["", ""]);
}

#[test]
fn a_token_outlives_a_reload() {
    let (tokens, origin) = (Tokens::new(), Origin::json("{}"));
    let config = |path: &str| json!({"endpoints": [endpoint(path, "json", backend(&origin, &tokens.settings()))]});
    let gateway = Gateway::native(config("/a"));
    assert_eq!(gateway.get("/a").status(), 200);
    let mut next = config("/b");
    next["version"] = json!(3);
    next["port"] = json!(gateway.port());
    std::fs::write(gateway.folder().join("gateway.json"), next.to_string()).unwrap();
    gateway.signal("HUP");
    eventually("the new route", || {
        (gateway.get("/b").status() == 200).then_some(())
    });
    assert_eq!(tokens.asked(), 1);
}

#[test]
fn a_shadow_has_its_token_too() {
    let (tokens, origin, beside) = (Tokens::new(), Origin::json("{}"), Origin::json("{}"));
    let mut shadow = backend(&beside, &tokens.settings());
    shadow["extra_config"]["proxy"] = json!({"shadow": true});
    let mut endpoint = endpoint(
        "/x",
        "json",
        json!({"url_pattern": "/", "host": [origin.url()]}),
    );
    endpoint["backend"].as_array_mut().unwrap().push(shadow);
    let gateway = Gateway::native(json!({"endpoints": [endpoint]}));
    assert_eq!(gateway.get("/x").status(), 200);
    assert_eq!(
        beside.wait_for(1)[0].header("authorization"),
        Some(bearer(1).as_str())
    );
    assert_eq!(shown(&origin), [""]);
}

#[test]
fn a_switched_off_component_sends_no_token() {
    let (tokens, origin) = (Tokens::new(), Origin::json("{}"));
    let mut settings = tokens.settings();
    settings["is_disabled"] = json!(true);
    let gateway = Gateway::native(
        json!({"endpoints": [endpoint("/x", "json", backend(&origin, &settings))]}),
    );
    assert_eq!(gateway.get("/x").status(), 200);
    assert_eq!((shown(&origin), tokens.asked()), (vec![String::new()], 0));
}

/// What AWS does with a signed request: everything is computed anew from what came over the wire.
mod aws {
    use super::*;
    use crate::support::Request;
    use aws_lc_rs::{digest, hmac};
    use std::fmt::Write;

    /// Key, secret and session of somebody who may call.
    #[derive(Clone, Copy)]
    pub(super) struct Keys(
        pub(super) &'static str,
        pub(super) &'static str,
        pub(super) Option<&'static str>,
    );

    pub(super) const OWN: Keys = Keys("AKIDOWN", "hush-hush-own", None);
    pub(super) const ROLE: Keys = Keys("AKIDROLE", "hush-hush-role", Some("hush-hush-session"));

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    fn keyed(key: &[u8], text: &str) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
    }

    fn encoded(text: &[u8], keep: &[u8]) -> String {
        text.iter().fold(String::new(), |mut out, byte| {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) || keep.contains(byte) {
                out.push(char::from(*byte));
            } else {
                write!(out, "%{byte:02X}").unwrap();
            }
            out
        })
    }

    fn decoded(text: &str) -> Vec<u8> {
        let bytes = text.as_bytes();
        let (mut out, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let (byte, used) = match bytes[at] {
                b'%' => (u8::from_str_radix(&text[at + 1..at + 3], 16).unwrap(), 3),
                b'+' => (b' ', 1),
                byte => (byte, 1),
            };
            out.push(byte);
            at += used;
        }
        out
    }

    fn query(raw: &str) -> String {
        let mut pairs: Vec<_> = raw
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| {
                [name, value]
                    .map(|text| encoded(&decoded(text), b""))
                    .join("=")
            })
            .collect();
        pairs.sort();
        pairs.join("&")
    }

    /// The part of `Authorization` behind a name.
    fn part<'a>(field: &'a str, name: &str) -> &'a str {
        let (_, rest) = field.split_once(&format!("{name}=")).unwrap_or_default();
        rest.split(',').next().unwrap_or_default()
    }

    /// Says what is wrong with a request, if it is not signed with these keys for this service.
    pub(super) fn wrong(request: &Request, keys: Keys, service: &str) -> Option<String> {
        let field = request.head.all("authorization").join("|");
        let scope = part(&field, "Credential");
        let Some((key, scope)) = scope.split_once('/') else {
            return Some(format!("no scope in {field}"));
        };
        let date = scope.split('/').next().unwrap_or_default();
        if key != keys.0 || scope != format!("{date}/us-east-1/{service}/aws4_request") {
            return Some(format!("the scope is {field}"));
        }
        if request.header("x-amz-security-token") != keys.2 {
            return Some("another session".to_owned());
        }
        let signed = part(&field, "SignedHeaders");
        if !signed.split(';').any(|name| name == "host") {
            return Some("the host is not signed".to_owned());
        }
        let fields: String = signed
            .split(';')
            .map(|name| {
                let value = request.head.all(name).join(",");
                let words: Vec<_> = value.split_whitespace().collect();
                format!("{name}:{}\n", words.join(" "))
            })
            .collect();
        let (path, raw) = request
            .target()
            .split_once('?')
            .unwrap_or_else(|| (request.target(), ""));
        let path = if service == "s3" {
            path.to_owned()
        } else {
            encoded(path.as_bytes(), b"/")
        };
        let body = hex(digest::digest(&digest::SHA256, &request.body).as_ref());
        if service == "s3" && request.header("x-amz-content-sha256") != Some(&body) {
            return Some("another digest of the body".to_owned());
        }
        let canonical = [request.method(), &path, &query(raw), &fields, signed, &body].join("\n");
        let time = request.header("x-amz-date").unwrap_or_default();
        let hashed = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}");
        let start = format!("AWS4{}", keys.1).into_bytes();
        let key = scope.split('/').fold(start, |key, part| keyed(&key, part));
        let wanted = hex(&keyed(&key, &text));
        (part(&field, "Signature") != wanted)
            .then(|| format!("the signature is not that of {canonical}"))
    }

    /// A service that answers 403 to whoever has not signed with these keys.
    pub(super) fn origin(keys: Keys, service: &'static str) -> Origin {
        Origin::serve(
            move |exchange| match wrong(&exchange.request, keys, service) {
                None => exchange.json("{}"),
                Some(why) => exchange.answer(403, &[], why),
            },
        )
    }
}

fn signed(origin: &Origin, settings: Value) -> Value {
    let mut all = json!({"region": "us-east-1", "service": "execute-api"});
    all.as_object_mut()
        .unwrap()
        .extend(settings.as_object().unwrap().clone());
    json!({"url_pattern": "/up/{id}?z=1", "host": [origin.url()],
        "extra_config": {"auth/aws-sigv4": all}})
}

/// A gateway that finds these keys in its environment.
fn with_keys(config: Value, krakend: bool) -> Gateway {
    let setup = Gateway::setup()
        .variable("AWS_ACCESS_KEY_ID", aws::OWN.0)
        .variable("AWS_SECRET_ACCESS_KEY", aws::OWN.1);
    if krakend {
        setup.krakend(config)
    } else {
        setup.native(config)
    }
}

#[test]
fn calls_are_signed_as_they_leave() {
    for (krakend, service) in [
        (false, "execute-api"),
        (true, "execute-api"),
        (false, "s3"),
        (true, "s3"),
    ] {
        let origin = aws::origin(aws::OWN, service);
        let backend = signed(&origin, json!({"service": service, "debug": true}));
        let mut ruled = backend.clone();
        ruled["extra_config"]["modifier/martian"] = json!({"header.Modifier":
            {"scope": ["request"], "name": "X-Amz-Meta", "value": " of  the rule "}});
        let mut all = Vec::new();
        for (path, encoding, backend) in [
            ("c", "json", &backend),
            ("s", "no-op", &backend),
            ("r", "json", &ruled),
        ] {
            for method in ["GET", "POST"] {
                let mut one = endpoint(&format!("/{path}/{{id}}"), encoding, backend.clone());
                one["method"] = json!(method);
                one["backend"][0]["method"] = json!(method);
                one["input_query_strings"] = json!(["*"]);
                all.push(one);
            }
        }
        let gateway = with_keys(loud(json!(all)), krakend);
        let fields = [
            ("Authorization", "AWS4-HMAC-SHA256 of the client"),
            ("X-Amz-Date", "20000101T000000Z"),
            ("X-Amz-Security-Token", "of the client"),
            ("X-Amz-Target", "kept"),
            ("Content-Type", "text/plain"),
        ];
        for path in ["c", "s", "r"] {
            for (method, body) in [("GET", ""), ("POST", "some body")] {
                let target = format!("/{path}/a%20b%C3%A9?q=x+y%2Fz&empty&b=~*");
                let answer = gateway
                    .client()
                    .request(method, &target, &fields, body)
                    .answer();
                assert_eq!(
                    answer.status(),
                    200,
                    "{method} {path} {service}: {}",
                    answer.text()
                );
            }
        }
        let all = origin.requests();
        assert_eq!(all.len(), 6);
        for request in &all {
            assert_eq!(aws::wrong(request, aws::OWN, service), None);
            assert_eq!(request.header("x-amz-target"), Some("kept"));
        }
        assert!(all.iter().any(|request| request.text() == "some body"));
        if !krakend {
            gateway.log_line("a call was signed");
        }
        assert_silent(gateway);
    }
}

#[test]
fn a_role_is_taken_once_for_all_calls() {
    let sts = Origin::serve(|exchange| {
        if let Some(why) = aws::wrong(&exchange.request, aws::OWN, "sts") {
            return exchange.answer(403, &[], format!("<Code>SignatureDoesNotMatch</Code>{why}"));
        }
        let aws::Keys(key, secret, session) = aws::ROLE;
        let session = session.unwrap();
        exchange.answer(200, &[], format!("<AssumeRoleResponse><AssumeRoleResult><Credentials>\
            <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{session}</SessionToken>\
            <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"));
    });
    let origin = aws::origin(aws::ROLE, "execute-api");
    let settings =
        json!({"assume_role_arn": "arn:aws:iam::1:role/gateway", "sts_region": "us-east-1"});
    let backend = signed(&origin, settings);
    let config = loud(json!([
        endpoint("/c/{id}", "json", backend.clone()),
        endpoint("/s/{id}", "no-op", backend)
    ]));
    let gateway = Gateway::setup()
        .variable("AWS_ACCESS_KEY_ID", aws::OWN.0)
        .variable("AWS_SECRET_ACCESS_KEY", aws::OWN.1)
        .variable("AWS_ENDPOINT_URL_STS", &sts.url())
        .native(config);
    let mut clients: Vec<_> = (0..10).map(|_| gateway.client()).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        client.request("GET", if at % 2 == 0 { "/c/1" } else { "/s/1" }, &[], "");
    }
    for client in &mut clients {
        assert_eq!(client.answer().status(), 200);
    }
    let asked = sts.request();
    assert!(
        asked
            .text()
            .contains("RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fgateway"),
        "{}",
        asked.text()
    );
    assert_silent(gateway);
}

#[test]
fn credentials_come_from_where_the_machine_has_them() {
    let answer = |session: &str| {
        let aws::Keys(key, secret, token) = aws::ROLE;
        assert!(!session.is_empty());
        json!({"AccessKeyId": key, "SecretAccessKey": secret, "Token": token, "Expiration": "2999-01-01T00:00:00Z"}).to_string()
    };
    // The agent of a container, and the metadata of a machine.
    let machine = Origin::serve(move |exchange| {
        let shown = exchange
            .request
            .header("x-aws-ec2-metadata-token")
            .map(str::to_owned);
        let allowed = exchange.request.header("authorization") == Some("hush-hush-agent");
        match (exchange.request.method(), exchange.request.path()) {
            ("GET", "/agent") if allowed => exchange.json(&answer("agent")),
            ("PUT", "/latest/api/token") => exchange.answer(200, &[], "hush-hush-imds"),
            ("GET", "/latest/meta-data/iam/security-credentials/") if shown.is_some() => {
                exchange.answer(200, &[], "role\n")
            }
            ("GET", "/latest/meta-data/iam/security-credentials/role") if shown.is_some() => {
                exchange.json(&answer("imds"))
            }
            _ => exchange.answer(404, &[], ""),
        }
    });
    let origin = aws::origin(aws::ROLE, "execute-api");
    let config = || {
        loud(json!([endpoint(
            "/{id}",
            "json",
            signed(&origin, json!({}))
        )]))
    };
    let agent = Gateway::setup()
        .variable("HOME", "/nonexistent")
        .variable(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            &format!("{}/agent", machine.url()),
        )
        .variable("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hush-hush-agent");
    let metadata = Gateway::setup()
        .variable("HOME", "/nonexistent")
        .variable("AWS_EC2_METADATA_SERVICE_ENDPOINT", &machine.url());
    for setup in [agent, metadata] {
        let gateway = setup.native(config());
        assert_eq!(gateway.get("/1").status(), 200);
        assert_silent(gateway);
    }
}

#[test]
fn without_credentials_nothing_is_called() {
    let origin = aws::origin(aws::OWN, "execute-api");
    let config = loud(json!([endpoint(
        "/{id}",
        "json",
        signed(&origin, json!({}))
    )]));
    let gateway = Gateway::setup()
        .variable("HOME", "/nonexistent")
        .variable("AWS_EC2_METADATA_DISABLED", "true")
        .native(config);
    gateway.get("/1").assert_error(502, "bad_gateway");
    gateway.log_line("no credentials for AWS");
    assert!(origin.requests().is_empty());
    let output = Gateway::refused(
        json!({"endpoints": [endpoint("/{id}", "json", signed(&origin, json!({"region": "a/b"})))]}),
    );
    assert!(format!("{}{}", output.stderr, output.stdout).contains("auth~1aws-sigv4/region"));
}

/// An identity token that is good for long; nobody here looks at its signature.
const GOOGLE: &str = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDB9.aHVzaC1odXNo";

#[test]
fn googles_tokens_come_from_the_machine_or_for_an_assertion() {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    let google = Origin::serve(|exchange| {
        let text = exchange.request.text();
        let target = exchange.request.target().to_owned();
        let flavor = exchange.request.header("metadata-flavor") == Some("Google");
        let place = "/computeMetadata/v1/instance/service-accounts/default/identity";
        if text.starts_with("assertion=ey")
            && text.contains("&grant_type=urn%3Aietf%3Aparams%3Aoauth%3A")
        {
            exchange.json(&format!(r#"{{"id_token":"{GOOGLE}"}}"#));
        } else if flavor && target == format!("{place}?audience=https%3A%2F%2Fservice&format=full")
        {
            exchange.answer(200, &[], GOOGLE);
        } else {
            exchange.answer(400, &[], "");
        }
    });
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    let account = json!({"type": "service_account", "client_email": "a@b", "private_key_id": "k",
        "private_key": pem, "token_uri": format!("{}/token", google.url())});
    let origin = Origin::json("{}");
    let config = |more: Value| {
        let mut settings = json!({"audience": "https://service"});
        settings
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let backend = json!({"url_pattern": "/", "host": [origin.url()], "extra_config": {"auth/gcp": settings}});
        json!({"endpoints": [endpoint("/c", "json", backend.clone()), endpoint("/s", "no-op", backend)]})
    };
    let host = google.url().replace("http://", "");
    let machine = Gateway::setup()
        .variable("GCE_METADATA_HOST", &host)
        .native(config(json!({})));
    let header = json!({"credentials_json": account.to_string(), "s2s_auth_header": "X-Serverless-Authorization"});
    let in_place = Gateway::setup().native(config(header));
    let by_file = Gateway::setup().file("account.json", &account.to_string());
    let by_file = by_file.native(config(json!({"credentials_file": "account.json"})));
    let token = format!("Bearer {GOOGLE}");
    for (gateway, name) in [
        (machine, "authorization"),
        (in_place, "x-serverless-authorization"),
        (by_file, "authorization"),
    ] {
        for path in ["/c", "/s"] {
            assert_eq!(gateway.get(path).status(), 200);
            assert_eq!(
                origin.requests().pop().unwrap().header(name),
                Some(token.as_str())
            );
        }
        let output = gateway.stop();
        assert!(!format!("{}{}", output.stdout, output.stderr).contains(GOOGLE));
    }
    assert_eq!(google.requests().len(), 3);
    let output = Gateway::refused(config(
        json!({"credentials_json": {"type": "authorized_user"}}),
    ));
    assert!(format!("{}{}", output.stderr, output.stdout).contains("auth~1gcp/credentials_json"));
}
