//! `hanzo/auth` before a real gateway, against the identity service of the demo: three ways in, what backends learn, what
//! is refused, and what callers notice when the service rotates its keys, falls silent or dies. Nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hanzo_gateway::demo::{IdentityService, KEYS, OPAQUE_TOKEN};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::support::{Answer, Client, Gateway, Origin, eventually};

const KEY: &str = KEYS[1].0;
const OTHER_KEY: &str = KEYS[2].0;
const UNKNOWN_KEY: &str = "sk-hanzo-nobody-has-this-one";

/// The identity service and the runtime that it lives on.
struct Iam {
    service: IdentityService,
    runtime: Runtime,
}

impl Iam {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let service = runtime.block_on(IdentityService::start());
        Self {
            service: service.expect("the service starts"),
            runtime,
        }
    }

    fn addr(&self) -> SocketAddr {
        self.service.addr
    }

    fn token(&self, subject: &str, scope: &str) -> String {
        self.service.iam.token_for(subject, scope).expect("a token")
    }

    fn asked(&self, path: &str) -> u64 {
        self.service.iam.asked(path)
    }

    fn stop(&mut self) {
        self.runtime.block_on(self.service.stop());
    }

    fn restart(&mut self) {
        let runtime = &self.runtime;
        let service = &mut self.service;
        eventually("the old port", || runtime.block_on(service.restart()).ok());
    }
}

fn auth(iam: SocketAddr) -> Value {
    json!({
        "jwt": {
            "alg": "RS256", "jwk_url": format!("http://{iam}/.well-known/jwks"), "disable_jwk_security": true,
            "issuer": "https://iam.hanzo.ai", "audience": ["https://api.hanzo.ai"], "cache": true
        },
        "api_key": {"validate_url": format!("http://{iam}/api/validate-key"), "timeout": "1s"},
        "introspection": {"url": format!("http://{iam}/introspect"), "client_id": "gw", "timeout": "1s"},
        "claims": {"sub": "X-User-ID", "org": "X-Org-ID", "scope": "X-Scopes"},
        "public": ["/open", "/part/login", "/part/all/*"]
    })
}

/// Streams, composes, asks for more, is open, is partly open.
fn config(auth: &Value, origin: &Origin) -> Value {
    let endpoint = |path: &str, own: Value| {
        json!({
            "endpoint": path, "output_encoding": "no-op", "input_headers": ["*"], "extra_config": own,
            "backend": [{"url_pattern": path, "host": [origin.url()], "encoding": "no-op"}]
        })
    };
    let more = |more: Value| json!({"hanzo/auth": more});
    let composed = json!({
        "endpoint": "/composed", "backend": [{"url_pattern": "/composed", "host": [origin.url()]}]
    });
    json!({
        "extra_config": {"hanzo/auth": auth},
        "endpoints": [
            endpoint("/stream", json!({})),
            composed,
            endpoint("/writes", more(json!({"scopes": ["api", "kms:write"]}))),
            endpoint("/reads", more(json!({"scopes": ["api", "kms:read"]}))),
            endpoint("/admins", more(json!({"roles": ["admin"]}))),
            endpoint("/keys", more(json!({"methods": ["api_key"]}))),
            endpoint("/open", json!({})),
            endpoint("/alone", json!({"auth/public": true})),
            endpoint("/part/*", json!({})),
        ]
    })
}

struct Scene {
    iam: Iam,
    origin: Origin,
    gateway: Gateway,
}

fn scene() -> Scene {
    scene_with(|_| {})
}

/// With other settings of `hanzo/auth`.
fn scene_with(change: impl FnOnce(&mut Value)) -> Scene {
    scene_of(|file| change(&mut file["extra_config"]["hanzo/auth"]))
}

/// With another file.
fn scene_of(change: impl FnOnce(&mut Value)) -> Scene {
    let iam = Iam::start();
    let origin = Origin::json("{\"a\":1}");
    let mut file = config(&auth(iam.addr()), &origin);
    change(&mut file);
    let gateway = Gateway::native(file);
    let scene = Scene {
        iam,
        origin,
        gateway,
    };
    // Keys of tokens are fetched beside the requests.
    let token = scene.iam.token("early", "api");
    eventually("the issuer's keys", || {
        (scene.ask("/stream", &[bearer(&token)]).status() == 200).then_some(())
    });
    scene
}

type Field = (String, String);

fn bearer(token: &str) -> Field {
    ("Authorization".to_owned(), format!("Bearer {token}"))
}

fn iam_key(key: &str) -> Field {
    ("X-IAM-Key".to_owned(), key.to_owned())
}

fn ask_on(client: &mut Client, path: &str, fields: &[Field]) -> Answer {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    client.request("GET", path, &fields, "").answer()
}

impl Scene {
    fn ask(&self, path: &str, fields: &[Field]) -> Answer {
        ask_on(&mut self.gateway.client(), path, fields)
    }

    /// What the backend was told in these fields by the last request.
    fn told(&self, names: &[&str]) -> Vec<Vec<String>> {
        let all = self.origin.requests();
        let last = all.last().expect("a request came through");
        let values = |name: &&str| {
            let plain = |text: &str| text.to_ascii_lowercase().replace('_', "-");
            let fields = last.head.fields.iter();
            let own = fields.filter(|(own, _)| plain(own) == plain(name));
            own.map(|(_, value)| value.clone()).collect()
        };
        names.iter().map(values).collect()
    }
}

const WHO: [&str; 3] = ["X-User-ID", "X-Org-ID", "X-Scopes"];

#[test]
fn three_ways_lead_in_and_backends_learn_who_calls() {
    let scene = scene();
    let token = scene.iam.token("ada", "api chat");
    let all = "openid profile api kms:read";
    for (credential, user, org, scopes) in [
        (bearer(&token), "ada", "hanzo", "api chat"),
        (bearer(KEY), "user-developer", "org-developer", all),
        (iam_key(OTHER_KEY), "user-team", "org-team", all),
        (bearer(OPAQUE_TOKEN), "third-party", "partner", "api"),
        (
            ("Cookie".to_owned(), format!("a=b; access_token={token}")),
            "ada",
            "hanzo",
            "api chat",
        ),
    ] {
        for path in ["/stream", "/composed"] {
            for _ in 0..2 {
                let answer = scene.ask(path, std::slice::from_ref(&credential));
                assert_eq!(answer.status(), 200, "{user} {path} {}", answer.text());
                assert_eq!(scene.told(&WHO), [[user], [org], [scopes]], "{path}");
            }
        }
    }
}

#[test]
fn credentials_reach_backends_only_where_they_are_listed() {
    let scene = scene();
    scene.ask("/composed", &[iam_key(KEY)]);
    assert_eq!(scene.told(&["X-IAM-Key", "Authorization"]), [[""; 0]; 2]);
    scene.ask("/stream", &[iam_key(KEY)]);
    assert_eq!(scene.told(&["X-IAM-Key"]), [[KEY]]);
}

#[test]
fn identity_fields_of_clients_never_pass_however_they_are_spelled() {
    let scene = scene();
    let mut random = 0x9e37_79b9_u32;
    let mut coin = || {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        random & 1 == 0
    };
    for round in 0..40 {
        let spell = |coin: &mut dyn FnMut() -> bool, name: &str| -> String {
            let one = |c: char| match c {
                '-' if coin() => '_',
                c if coin() => c.to_ascii_uppercase(),
                c => c.to_ascii_lowercase(),
            };
            name.chars().map(one).collect()
        };
        let mut fields: Vec<Field> = Vec::new();
        for name in WHO {
            fields.push((spell(&mut coin, name), "root".to_owned()));
            fields.push((spell(&mut coin, name), "admin".to_owned()));
        }
        for path in ["/open", "/alone"] {
            assert_eq!(scene.ask(path, &fields).status(), 200);
            assert_eq!(scene.told(&WHO), [[""; 0]; 3], "{round}: {fields:?}");
        }
        fields.insert(round % 6, iam_key(KEY));
        assert_eq!(scene.ask("/stream", &fields).status(), 200);
        let told = scene.told(&WHO);
        assert_eq!(told[0], ["user-developer"], "{round}: {fields:?}");
        assert_eq!(told[1], ["org-developer"], "{round}: {fields:?}");
        assert_eq!(told[2].len(), 1, "{round}: {fields:?}");
    }
}

#[test]
fn each_wrong_credential_is_refused_and_only_operators_learn_why() {
    let debug = json!({"level": "DEBUG", "stdout": true});
    let scene = scene_of(|file| file["extra_config"]["telemetry/logging"] = debug);
    let iam = &scene.iam.service.iam;
    let claims = |change: &dyn Fn(&mut Value)| {
        let mut claims = json!({"iss": "https://iam.hanzo.ai", "aud": "https://api.hanzo.ai", "sub": "eve",
            "exp": 4_000_000_000_u64});
        change(&mut claims);
        iam.sign(&claims).expect("a token")
    };
    let good = claims(&|_| {});
    let tampered = {
        let (head, signature) = good.rsplit_once('.').expect("three parts");
        let first = if signature.starts_with('A') { "B" } else { "A" };
        format!("{head}.{first}{}", &signature[1..])
    };
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJldmUifQ.";
    let wrong: Vec<(Vec<Field>, &str)> = vec![
        (vec![], "credentials_missing"),
        (
            vec![("Authorization".into(), "Basic eDp5".into())],
            "credentials_missing",
        ),
        (vec![bearer(UNKNOWN_KEY)], "api_key_invalid"),
        (vec![iam_key(UNKNOWN_KEY)], "api_key_invalid"),
        (vec![iam_key("no-such-form")], "api_key_invalid"),
        (vec![bearer("opaque-and-unknown")], "token_inactive"),
        (vec![bearer(&tampered)], "signature_invalid"),
        (vec![bearer(none)], "token_malformed"),
        (
            vec![bearer(&claims(&|c| c["exp"] = json!(1)))],
            "token_expired",
        ),
        (
            vec![bearer(&claims(&|c| c["iss"] = json!("https://evil")))],
            "issuer_mismatch",
        ),
        (
            vec![bearer(&claims(&|c| c["aud"] = json!("other")))],
            "audience_mismatch",
        ),
        (
            vec![bearer(&claims(&|c| c["nbf"] = json!(4_000_000_000_u64)))],
            "token_not_yet_valid",
        ),
        (vec![iam_key(KEY), iam_key(OTHER_KEY)], "token_malformed"),
        (vec![iam_key(KEY), bearer(&good)], "token_malformed"),
        (vec![bearer(KEY), bearer(OTHER_KEY)], "token_malformed"),
    ];
    let before = scene.origin.requests().len();
    for (fields, reason) in &wrong {
        for path in ["/stream", "/composed"] {
            let answer = scene.ask(path, fields);
            assert_eq!(answer.status(), 401, "{reason}: {}", answer.text());
            assert_eq!(answer.json()["error"], "unauthorized");
            let text = format!("{:?}{}", answer.head, answer.text());
            assert!(!text.contains(reason), "{reason} is told: {text}");
            let challenge = answer.header("www-authenticate");
            let expected = match *reason {
                "credentials_missing" => "Bearer",
                _ => "Bearer error=\"invalid_token\"",
            };
            assert_eq!(challenge, Some(expected), "{reason}");
        }
        scene.gateway.log_line(&format!("\"reason\":\"{reason}\""));
    }
    assert_eq!(
        scene.origin.requests().len(),
        before,
        "a refusal costs the backend nothing"
    );
    let line = scene.gateway.log_line("\"reason\":\"api_key_invalid\"");
    assert!(
        line.contains("\"client\":\"127.0.0.1\"") && line.contains("WARN"),
        "{line}"
    );
    let metrics = scene.gateway.metrics();
    for (line, least) in [
        ("refusals_total{reason=\"signature_invalid\"}", 2),
        (
            "authentications_total{method=\"none\",result=\"refused\"}",
            4,
        ),
        (
            "authentications_total{method=\"api_key\",result=\"refused\"}",
            6,
        ),
        (
            "authentications_total{method=\"introspection\",result=\"refused\"}",
            2,
        ),
        (
            "authentications_total{method=\"jwt\",result=\"refused\"}",
            12,
        ),
    ] {
        let value = metrics
            .lines()
            .find_map(|l| l.strip_prefix(&format!("hanzo_gateway_{line} ")));
        let value: u64 = value.and_then(|v| v.parse().ok()).unwrap_or(0);
        assert!(value >= least, "{line} {value}\n{metrics}");
    }
    let said = scene.gateway.stdout() + &scene.gateway.stderr() + &metrics;
    for secret in [
        KEY,
        OTHER_KEY,
        UNKNOWN_KEY,
        &good,
        &tampered,
        "opaque-and-unknown",
        "eDp5",
    ] {
        assert!(
            !said.contains(secret),
            "{secret} is in what the gateway wrote"
        );
    }
}

#[test]
fn scopes_roles_and_methods_are_asked_for_where_they_are_written() {
    let scene = scene();
    let writes = scene.iam.token("ada", "kms:write api");
    let reads = scene.iam.token("bob", "api kms:read");
    let admin = scene
        .iam
        .service
        .iam
        .sign(&json!({"iss": "https://iam.hanzo.ai", "sub": "root",
        "aud": "https://api.hanzo.ai", "exp": 4_000_000_000_u64, "roles": ["user", "admin"]}));
    let admin = admin.expect("a token");
    for (path, credential, status) in [
        ("/writes", bearer(&writes), 200),
        ("/writes", bearer(&reads), 403),
        ("/writes", bearer(KEY), 403),
        ("/writes", bearer(OPAQUE_TOKEN), 403),
        ("/reads", bearer(&reads), 200),
        ("/reads", bearer(KEY), 200),
        ("/reads", bearer(OPAQUE_TOKEN), 403),
        ("/admins", bearer(&admin), 200),
        ("/admins", bearer(&writes), 403),
        ("/admins", bearer(KEY), 403),
        ("/keys", bearer(KEY), 200),
        ("/keys", iam_key(KEY), 200),
        ("/keys", bearer(&writes), 401),
        ("/keys", bearer(OPAQUE_TOKEN), 401),
    ] {
        let answer = scene.ask(path, std::slice::from_ref(&credential));
        assert_eq!(answer.status(), status, "{path} {credential:?}");
        if status == 403 {
            assert_eq!(answer.json()["error"], "forbidden");
            assert_eq!(answer.header("www-authenticate"), None);
        }
    }
    scene.gateway.log_line("scopes_missing");
    scene.gateway.log_line("roles_missing");
}

#[test]
fn nobody_walks_around_the_lock_of_an_endpoint_that_is_partly_open() {
    let scene = scene();
    for path in [
        "/open",
        "/alone",
        "/part/login",
        "/part/all/",
        "/part/all/x/y",
        "/health",
    ] {
        assert_eq!(scene.ask(path, &[]).status(), 200, "{path}");
    }
    let before = scene.origin.requests().len();
    for path in [
        "/stream",
        "/part/other",
        "/part/",
        "/part/Login",
        "/part/login/",
        "/part/login/x",
        "/part/logi%6e",
        "/part/login%2f..%2fother",
        "/part/login;/other",
        "/part//login",
        "/part/./login",
        "/part/x/../login",
        "/part/all",
        "/part/all/../other",
        "/part/all/..%2fother",
        "/part/all/%2e%2e/other",
        "/part/all/%252e%252e/other",
        "/part/all/..;/other",
        "/part/all/..%5cother",
        "/part/all//other",
        "/stream?x=/part/login",
        "/open%2f..%2fstream",
        "/open/../stream",
        "//open/../stream",
    ] {
        let answer = scene.ask(path, &[]);
        let refused = matches!(answer.status(), 400 | 401 | 404) || answer.status() / 100 == 3;
        assert!(refused, "{path}: {}", answer.status());
    }
    assert_eq!(scene.origin.requests().len(), before);
}

#[test]
fn a_crowd_with_a_new_key_is_one_question_and_a_wrong_one_is_not_asked_about_twice() {
    let scene = scene();
    scene
        .iam
        .service
        .iam
        .delay("/api/validate-key", Duration::from_millis(300));
    let port = scene.gateway.port();
    let crowd: Vec<_> = (0..40)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::connect(port);
                ask_on(&mut client, "/stream", &[bearer(KEY)]).status()
            })
        })
        .collect();
    let statuses: Vec<_> = crowd
        .into_iter()
        .map(|one| one.join().expect("a status"))
        .collect();
    assert_eq!(statuses, vec![200; 40]);
    assert_eq!(scene.iam.asked("/api/validate-key"), 1);
    for _ in 0..20 {
        assert_eq!(scene.ask("/stream", &[bearer(UNKNOWN_KEY)]).status(), 401);
    }
    assert_eq!(scene.iam.asked("/api/validate-key"), 2);
}

/// Callers who ask all the time, until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    callers: Vec<std::thread::JoinHandle<BTreeMap<u16, u64>>>,
}

impl Load {
    /// Two callers for each credential; a caller asks for what to show before each request.
    fn start<C: Fn() -> Field + Send + Sync + 'static>(gateway: &Gateway, shown: Vec<C>) -> Self {
        let (stop, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let port = gateway.port();
        let mut callers = Vec::new();
        for shown in shown
            .into_iter()
            .map(Arc::new)
            .flat_map(|one| [Arc::clone(&one), one])
        {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            callers.push(std::thread::spawn(move || {
                let mut statuses = BTreeMap::new();
                let mut client = Client::connect(port);
                while !stop.load(Ordering::Relaxed) {
                    let status = ask_on(&mut client, "/stream", &[shown()]).status();
                    *statuses.entry(status).or_default() += 1;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                statuses
            }));
        }
        Self {
            stop,
            done,
            callers,
        }
    }

    /// Waits for so many more requests.
    fn goes_on(&self, more: u64) {
        let until = self.done.load(Ordering::Relaxed) + more;
        eventually("the callers", || {
            (self.done.load(Ordering::Relaxed) >= until).then_some(())
        });
    }

    /// All statuses that callers got.
    fn end(self) -> BTreeMap<u16, u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        for caller in self.callers {
            for (status, count) in caller.join().expect("a caller ends") {
                *all.entry(status).or_default() += count;
            }
        }
        all
    }
}

fn only(statuses: &BTreeMap<u16, u64>, status: u16) -> bool {
    statuses.len() == 1 && statuses.contains_key(&status)
}

#[test]
fn keys_of_the_issuer_rotate_under_load_without_one_wrong_refusal() {
    let scene = scene();
    let iam = Arc::clone(&scene.iam.service.iam);
    let fresh = Arc::new(AtomicU64::new(0));
    // Each request has a token of its own, signed with the key of the moment.
    let shown = {
        let (iam, fresh) = (Arc::clone(&iam), Arc::clone(&fresh));
        move || {
            let number = fresh.fetch_add(1, Ordering::Relaxed);
            bearer(
                &iam.token_for(&format!("user-{number}"), "api")
                    .expect("a token"),
            )
        }
    };
    let load = Load::start(&scene.gateway, vec![shown]);
    load.goes_on(50);
    iam.rotate(true).expect("a new key");
    let rotated = std::time::Instant::now();
    load.goes_on(50);
    // A key that nobody knows makes the gateway ask at most every ten seconds.
    eventually("the end of the pause", || {
        load.goes_on(10);
        (rotated.elapsed() > Duration::from_millis(10_500)).then_some(())
    });
    iam.rotate(true).expect("another one");
    load.goes_on(50);
    let statuses = load.end();
    assert!(only(&statuses, 200), "{statuses:?}");
}

#[test]
fn when_the_service_dies_under_load_those_who_are_remembered_notice_nothing() {
    let mut scene = scene_with(|auth| {
        // Their answers end while it is away.
        auth["api_key"]["cache_ttl"] = json!("500ms");
        auth["introspection"]["cache_ttl"] = json!("500ms");
    });
    let token = scene.iam.token("ada", "api");
    let shown = [
        bearer(&token),
        bearer(KEY),
        iam_key(OTHER_KEY),
        bearer(OPAQUE_TOKEN),
    ];
    let shown = shown.map(|field| move || field.clone());
    let load = Load::start(&scene.gateway, shown.into());
    load.goes_on(200);
    scene.iam.stop();
    let gone = std::time::Instant::now();
    eventually("the end of the answers", || {
        load.goes_on(20);
        (gone.elapsed() > Duration::from_millis(1500)).then_some(())
    });
    let stranger = scene.ask("/stream", &[bearer(UNKNOWN_KEY)]);
    assert_eq!(stranger.status(), 503, "{}", stranger.text());
    assert_eq!(stranger.json()["error"], "service_unavailable");
    assert!(stranger.header("retry-after").is_some());
    let stranger = scene.ask("/stream", &[bearer("unknown-opaque")]);
    assert_eq!(stranger.status(), 503, "{}", stranger.text());
    scene.gateway.log_line("key_service_unavailable");
    scene.gateway.log_line("introspection_unavailable");
    scene.iam.restart();
    eventually("an answer about the stranger", || {
        (scene.ask("/stream", &[bearer(UNKNOWN_KEY)]).status() == 401).then_some(())
    });
    load.goes_on(200);
    let statuses = load.end();
    assert!(only(&statuses, 200), "{statuses:?}");
}

#[test]
fn a_service_that_hangs_holds_up_nobody_who_is_remembered() {
    let scene = scene_with(|auth| {
        auth["api_key"]["cache_ttl"] = json!("300ms");
        auth["api_key"]["timeout"] = json!("500ms");
    });
    assert_eq!(scene.ask("/stream", &[bearer(KEY)]).status(), 200);
    let load = Load::start(&scene.gateway, vec![|| bearer(KEY)]);
    load.goes_on(50);
    let long = Duration::from_secs(60);
    scene.iam.service.iam.delay("/api/validate-key", long);
    scene.iam.service.iam.delay("/introspect", long);
    eventually("the service to be seen to hang", || {
        scene
            .gateway
            .stdout()
            .contains("out of order")
            .then_some(())
    });
    load.goes_on(500);
    let statuses = load.end();
    assert!(only(&statuses, 200), "{statuses:?}");
    assert_eq!(scene.ask("/stream", &[bearer(UNKNOWN_KEY)]).status(), 503);
}

#[test]
fn keys_that_hang_hold_up_no_token() {
    let scene = scene();
    scene
        .iam
        .service
        .iam
        .delay("/.well-known/jwks", Duration::from_secs(60));
    for number in 0..50 {
        let token = scene.iam.token(&format!("user-{number}"), "api");
        let answer = scene.ask("/stream", &[bearer(&token)]);
        assert_eq!(answer.status(), 200);
        assert!(answer.took < Duration::from_secs(5), "{:?}", answer.took);
    }
    for number in 0..20 {
        assert_eq!(
            scene.ask("/stream", &[bearer(KEY)]).status(),
            200,
            "{number}"
        );
    }
}

#[test]
fn a_key_that_was_revoked_stops_with_its_answer() {
    let scene = scene_with(|auth| auth["api_key"]["cache_ttl"] = json!("300ms"));
    assert_eq!(scene.ask("/stream", &[bearer(KEY)]).status(), 200);
    scene.iam.service.iam.revoke(KEY);
    eventually("the end of the key", || {
        (scene.ask("/stream", &[bearer(KEY)]).status() == 401).then_some(())
    });
    assert_eq!(scene.ask("/stream", &[bearer(OTHER_KEY)]).status(), 200);
}

#[test]
fn what_is_remembered_outlives_a_reload() {
    let mut scene = scene();
    let token = scene.iam.token("ada", "api");
    for shown in [bearer(KEY), bearer(OPAQUE_TOKEN), bearer(&token)] {
        assert_eq!(scene.ask("/stream", &[shown]).status(), 200);
    }
    scene.iam.stop();
    let path = scene.gateway.folder().join("gateway.json");
    let text = std::fs::read_to_string(&path).expect("the file is there");
    let mut file: Value = serde_json::from_str(&text).expect("it is JSON");
    file["extra_config"]["hanzo/auth"]["public"] = json!(["/open", "/stream2"]);
    let mut more = file["endpoints"][0].clone();
    more["endpoint"] = json!("/stream2");
    file["endpoints"]
        .as_array_mut()
        .expect("endpoints")
        .push(more);
    std::fs::write(&path, file.to_string()).expect("it can be written");
    scene.gateway.signal("HUP");
    eventually("the new file", || {
        (scene.ask("/stream2", &[]).status() == 200).then_some(())
    });
    for shown in [bearer(KEY), bearer(OPAQUE_TOKEN), bearer(&token)] {
        assert_eq!(
            scene.ask("/stream", std::slice::from_ref(&shown)).status(),
            200,
            "{shown:?}"
        );
    }
    assert_eq!(scene.ask("/stream", &[bearer(UNKNOWN_KEY)]).status(), 503);
}

#[test]
fn the_gateway_shows_the_issuer_who_it_is_and_blames_nobody_else_when_that_fails() {
    for (way, secret, status) in [
        ("client_secret_basic", "p:w %&", 200),
        ("client_secret_post", "p:w %&", 200),
        ("client_secret_basic", "wrong", 503),
        ("client_secret_post", "wrong", 503),
    ] {
        let scene = scene_with(|auth| {
            auth["introspection"]["client_id"] = json!("the gateway");
            auth["introspection"]["client_secret"] = json!(secret);
            auth["introspection"]["client_auth"] = json!(way);
        });
        scene
            .iam
            .service
            .iam
            .require_client("the gateway", "p:w %&");
        let answer = scene.ask("/stream", &[bearer(OPAQUE_TOKEN)]);
        assert_eq!(answer.status(), status, "{way} {secret}");
        let said = scene.gateway.stdout() + &scene.gateway.stderr();
        assert!(!said.contains(secret) || secret == "wrong", "{said}");
    }
}

#[test]
fn an_endpoint_that_nobody_thought_of_is_locked() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(json!({
        "extra_config": {"hanzo/auth": {"api_key": {"validate_url": "http://127.0.0.1:1/"}}},
        "endpoints": [{"endpoint": "/new", "backend": [{"url_pattern": "/", "host": [origin.url()]}]}]
    }));
    assert_eq!(gateway.get("/new").status(), 401);
    assert_eq!(
        gateway.get("/nowhere").status(),
        404,
        "what is not there is no secret"
    );
    assert_eq!(gateway.get("/health").status(), 200);
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn krakends_dialect_locks_and_tells_backends_too() {
    let iam = Iam::start();
    let origin = Origin::json("{\"a\":1}");
    let mut file = config(&auth(iam.addr()), &origin);
    // Its router has no wildcards.
    let endpoints = file["endpoints"].as_array_mut().expect("endpoints");
    endpoints.retain(|one| one["endpoint"] != "/part/*");
    let gateway = Gateway::krakend(file);
    let scene = Scene {
        iam,
        origin,
        gateway,
    };
    let forged = |name: &str| (name.to_owned(), "root".to_owned());
    for path in ["/stream", "/composed"] {
        assert_eq!(scene.ask(path, &[]).status(), 401, "{path}");
        assert_eq!(
            scene.ask(path, &[bearer(UNKNOWN_KEY)]).status(),
            401,
            "{path}"
        );
        let fields = [iam_key(KEY), forged("X-User-ID"), forged("x-org-id")];
        assert_eq!(scene.ask(path, &fields).status(), 200, "{path}");
        let told = scene.told(&WHO[..2]);
        assert_eq!(told, [["user-developer"], ["org-developer"]], "{path}");
    }
    let fields = [forged("x-user-id"), forged("X-ORG-ID"), forged("X-Scopes")];
    for path in ["/open", "/alone"] {
        assert_eq!(scene.ask(path, &fields).status(), 200, "{path}");
        assert_eq!(scene.told(&WHO), [[""; 0]; 3], "{path}");
    }
}

#[test]
fn broken_settings_refuse_a_start_and_say_where() {
    let origin = Origin::json("{}");
    let file = |auth: Value, own: Value| {
        json!({
            "extra_config": {"hanzo/auth": auth},
            "endpoints": [{"endpoint": "/x", "extra_config": {"hanzo/auth": own},
                "backend": [{"url_pattern": "/", "host": [origin.url()]}]}]
        })
    };
    let good = json!({"api_key": {"validate_url": "http://127.0.0.1:1/"}});
    for (config, place) in [
        (file(json!({}), json!({})), "/extra_config/hanzo~1auth"),
        (
            file(good.clone(), json!({"methods": ["jwt"]})),
            "/methods/0",
        ),
        (
            file(good.clone(), json!({"methods": ["magic"]})),
            "/methods/0",
        ),
        (
            file(good.clone(), json!({"public": true, "roles": ["a"]})),
            "/endpoints/0/extra_config/hanzo~1auth",
        ),
        (
            file(json!({"api_key": {}}), json!({})),
            "/extra_config/hanzo~1auth/api_key",
        ),
    ] {
        let output = Gateway::refused(config);
        assert!(output.stderr.contains(place), "{place}\n{output:#?}");
    }
    let alone = json!({"endpoints": [{"endpoint": "/x", "extra_config": {"hanzo/auth": {"scopes": ["a"]}},
        "backend": [{"url_pattern": "/", "host": [origin.url()]}]}]});
    assert!(Gateway::refused(alone).stderr.contains("hanzo/auth"));
}

#[test]
fn explain_names_the_rule_that_locks_and_its_line() {
    let origin = Origin::json("{}");
    let ask = |target: &str, more: &[&str]| {
        let setup = Gateway::setup().variable("NO_COLOR", "1");
        let words = [&["explain", "GET", target], more].concat();
        setup
            .command(&words, config(&auth(([127, 0, 0, 1], 1).into()), &origin))
            .stdout
    };
    let said = ask("/stream", &[]);
    assert!(said.contains("jwt, api_key, introspection"), "{said}");
    assert!(said.contains("/extra_config/hanzo~1auth"), "{said}");
    assert!(said.contains("401"), "{said}");
    let said = ask("/open", &[]);
    assert!(
        said.contains("public") && said.contains("/extra_config/hanzo~1auth/public/0"),
        "{said}"
    );
    let said = ask("/writes", &[]);
    assert!(said.contains("scopes: api, kms:write"), "{said}");
    let said = ask("/stream", &["-H", &format!("X-IAM-Key: {KEY}")]);
    assert!(
        said.contains("ask somebody else") && !said.contains("not implemented"),
        "{said}"
    );
}
