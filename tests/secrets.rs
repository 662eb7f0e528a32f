//! Secrets stay where they belong: not in a log at any level, not in an answer, a metric, a statistic, a finding, and as far
//! as the gateway can help it not in its memory.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Gateway, Origin, PATIENCE, ports};

/// A secret that nothing else looks like.
fn mark(what: &str) -> String {
    format!("hush-{what}-7f3a9c51d2")
}

fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

fn endpoint(path: &str, encoding: &str, host: &str, extra: Value) -> Value {
    json!({
        "endpoint": path, "method": "POST", "output_encoding": encoding, "extra_config": extra, "timeout": "2s",
        "input_headers": ["*"], "input_query_strings": ["*"],
        "backend": [{"url_pattern": path, "host": [host], "encoding": encoding,
                     "extra_config": {"backend/http": {"return_error_details": "failed"}}}],
    })
}

/// Endpoints of every kind, behind every lock, in front of backends that answer, that are not there, and that talk nonsense.
fn config(origin: &Origin, nonsense: &Origin) -> Value {
    let dead = format!("http://127.0.0.1:{}", ports::free());
    let hosts = [
        ("ok", origin.url()),
        ("dead", dead),
        ("bad", nonsense.url()),
    ];
    let locks = [
        ("open", json!({})),
        ("key", json!({"auth/api-keys": {"roles": ["r"]}})),
        (
            "field",
            json!({"auth/api-keys": {"roles": ["r"], "identifier": "X-API-Key"}}),
        ),
        (
            "query",
            json!({"auth/api-keys": {"roles": ["r"], "strategy": "query_string", "identifier": "api key"}}),
        ),
        ("login", json!({"auth/basic": {}})),
        (
            "rule",
            json!({"validation/cel": [{"check_expr": "req_headers['Authorization'][0].size() < 0"}]}),
        ),
    ];
    let mut endpoints = Vec::new();
    for (encoding, kind) in [("no-op", "stream"), ("json", "made")] {
        for (name, host) in &hosts {
            for (lock, extra) in &locks {
                let path = format!("/{kind}/{name}/{lock}");
                endpoints.push(endpoint(&path, encoding, host, extra.clone()));
            }
        }
    }
    json!({
        "use_h2c": true,
        "extra_config": {
            "telemetry/logging": {"level": "DEBUG", "stdout": true},
            "auth/api-keys": {
                "hash": "sha256", "salt": mark("salt"),
                "keys": [{"key": sha256(&(mark("salt") + &mark("key"))), "roles": ["r"]}],
            },
            "auth/basic": {"users": {"ann": bcrypt::hash(mark("password"), 4).unwrap()}},
        },
        "endpoints": endpoints,
    })
}

fn login(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// Everything that a client might show, right or wrong, and in each place.
fn credentials() -> Vec<Vec<(&'static str, String)>> {
    let jwt = format!(
        "Bearer eyJhbGciOiJSUzI1NiJ9.{}.{}",
        STANDARD.encode(mark("claims")),
        mark("signature")
    );
    let cookie = format!(
        "session={}; access_token={}",
        mark("cookie"),
        mark("cookietoken")
    );
    vec![
        vec![],
        vec![("Authorization", format!("Bearer {}", mark("key")))],
        vec![("Authorization", format!("Bearer {}", mark("wrongkey")))],
        vec![("Authorization", format!("Bearer  {} ", mark("odd")))],
        vec![("Authorization", mark("bare"))],
        vec![("Authorization", login("ann", &mark("password")))],
        vec![("Authorization", login("ann", &mark("wrongpassword")))],
        vec![("Authorization", login(&mark("stranger"), &mark("password")))],
        vec![("Authorization", format!("Basic {}", mark("nobase64")))],
        vec![("Authorization", jwt)],
        vec![(
            "Authorization",
            format!("Bearer {}", mark("long").repeat(300)),
        )],
        vec![(
            "Authorization",
            format!("Bearer {}", mark("huge").repeat(900)),
        )],
        vec![("X-API-Key", mark("key")), ("Cookie", cookie)],
        vec![
            ("X-API-Key", mark("wrongkey")),
            ("Proxy-Authorization", mark("proxy")),
        ],
        vec![
            ("X-IAM-Key", mark("iam")),
            ("X-Request-ID", "\u{7f}".to_owned()),
        ],
        vec![("Authorization", format!("Bearer {}\u{1}", mark("control")))],
    ]
}

/// Heads that are refused before anybody looks at them as a request.
fn broken() -> Vec<String> {
    let token = mark("broken");
    vec![
        format!("GET /made/ok/open HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer {token}\r\n\r\n"),
        format!(
            "GET /made/ok/open HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer\r\n {token}\r\n\r\n"
        ),
        format!("GET /made/ok/open?key={token} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        format!("GET /made/ok/open?key={token} HTTP/9.9\r\n\r\n"),
        format!("{token}\r\n\r\n"),
        format!(
            "GET /a?{token} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        ),
        format!(
            "GET /made/ok/open/?token={token} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        ),
        format!(
            "GET /nowhere?token={token} HTTP/1.1\r\nHost: a\r\nCookie: {token}\r\nConnection: close\r\n\r\n"
        ),
    ]
}

fn hidden() -> Vec<String> {
    let words = [
        "key",
        "wrongkey",
        "odd",
        "bare",
        "password",
        "wrongpassword",
        "nobase64",
        "claims",
        "signature",
        "long",
        "huge",
        "cookie",
        "cookietoken",
        "proxy",
        "iam",
        "control",
        "broken",
        "query",
        "body",
        "salt",
        "stranger",
    ];
    let mut all: Vec<String> = words.into_iter().map(mark).collect();
    let coded = [
        STANDARD.encode(format!("ann:{}", mark("password"))),
        STANDARD.encode(mark("claims")),
        sha256(&mark("key")),
        "$2b$04$".to_owned(),
    ];
    all.extend(coded);
    all
}

fn shows_nothing(what: &str, text: &str) {
    for secret in hidden() {
        if let Some(at) = text.find(&secret) {
            let from = text[..at]
                .char_indices()
                .rev()
                .nth(120)
                .map_or(0, |(at, _)| at);
            panic!("{what} shows {secret}: {}", &text[from..at + secret.len()]);
        }
    }
}

fn ask(gateway: &Gateway, target: &str, fields: &[(&str, String)], body: &str) -> String {
    let mut client = gateway.client();
    let mut head = format!("POST {target} HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n");
    for (name, value) in fields {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    let _ = client.try_send(head.as_bytes());
    match client.try_answer() {
        Ok(Some(answer)) => String::from_utf8_lossy(&answer.head.raw).into_owned() + &answer.text(),
        _ => String::new(),
    }
}

/// Shows all credentials to all endpoints; gives all answers.
fn show_all(gateway: &Gateway) -> String {
    let mut answers = String::new();
    let body = json!({"password": mark("body")}).to_string();
    for kind in ["stream", "made"] {
        for host in ["ok", "dead", "bad"] {
            for lock in ["open", "key", "field", "query", "login", "rule"] {
                for (at, fields) in credentials().iter().enumerate() {
                    let query = match (lock, at % 2) {
                        ("query", 0) => format!("api+key={}", mark("key")),
                        _ => format!("token={}&key={}", mark("query"), mark("wrongkey")),
                    };
                    let target = format!("/{kind}/{host}/{lock}?{query}");
                    answers += &ask(gateway, &target, fields, &body);
                }
            }
        }
    }
    for head in broken() {
        let mut client = gateway.client();
        let _ = client.try_send(head.as_bytes());
        if let Ok(Some(answer)) = client.try_answer() {
            answers += &answer.text();
        }
    }
    answers
}

async fn show_http2(port: u16) -> String {
    let mut answers = String::new();
    for fields in credentials() {
        let socket = tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .unwrap();
        let (mut sender, connection) = h2::client::handshake(socket).await.unwrap();
        let connection = tokio::spawn(connection);
        for lock in ["open", "key", "query", "login"] {
            let uri = format!(
                "http://127.0.0.1:{port}/made/dead/{lock}?api+key={}",
                mark("key")
            );
            let mut request = http::Request::post(uri);
            for (name, value) in &fields {
                if let Ok(value) = http::HeaderValue::from_str(value) {
                    request = request.header(name.to_lowercase(), value);
                }
            }
            let Ok(ready) = sender.ready().await else {
                break;
            };
            sender = ready;
            let Ok((answer, _)) = sender.send_request(request.body(()).unwrap(), true) else {
                break;
            };
            let Ok(mut answer) = answer.await else {
                continue;
            };
            answers += &format!("{:?}", answer.headers());
            while let Some(Ok(piece)) = answer.body_mut().data().await {
                let _ = answer
                    .body_mut()
                    .flow_control()
                    .release_capacity(piece.len());
                answers += &String::from_utf8_lossy(&piece);
            }
        }
        connection.abort();
    }
    answers
}

fn nonsense() -> Origin {
    Origin::serve(|exchange| {
        exchange.raw("HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n");
        exchange.close();
    })
}

#[test]
fn nothing_that_a_client_shows_is_told_to_anybody_else() {
    let (origin, nonsense) = (Origin::json("{}"), nonsense());
    for krakend in [false, true] {
        let config = config(&origin, &nonsense);
        let gateway = match krakend {
            false => Gateway::native(config),
            true => Gateway::krakend(config),
        };
        let answers = show_all(&gateway);
        assert!(answers.contains("200"), "nothing was let in");
        assert!(answers.contains("401"), "nothing was refused");
        shows_nothing("an answer", &answers);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let all = async { tokio::time::timeout(PATIENCE, show_http2(gateway.port())).await };
        shows_nothing("an answer over HTTP/2", &runtime.block_on(all).unwrap());
        if !krakend {
            shows_nothing("a metric", &gateway.metrics());
            shows_nothing("a statistic", &gateway.internal("/__stats").text());
        }
        let output = gateway.stop();
        assert!(
            output.stdout.contains("/made/dead/login"),
            "the log is there"
        );
        shows_nothing("standard output", &output.stdout);
        shows_nothing("standard error", &output.stderr);
    }
}

/// Secrets of a file, and where they stand; some settings are wrong, so that they are spoken of.
fn telling() -> Value {
    json!({
        "extra_config": {
            "auth/api-keys": {
                "keys": [{"key": mark("key"), "roles": ["r"], "nonsense": 1}, {"key": mark("key"), "roles": 5}],
                "salt": mark("salt"), "hush": 1,
            },
            "auth/basic": {"users": {"ann": mark("password"), "bob": [mark("body")]}},
        },
        "endpoints": [
            {"endpoint": "/a", "extra_config": {"auth/api-keys": {"roles": ["r"], "strategy": mark("x").len()}},
             "backend": [{"url_pattern": "/", "host": ["http://127.0.0.1:1"], "extra_config": {
                 "auth/client-credentials": {"client_id": "me", "client_secret": mark("cookie"), "token_url": 5}}}]},
            {"endpoint": "/b", "extra_config": {"auth/basic": {"users": {"ann": mark("password")}}},
             "backend": [{"url_pattern": "/", "host": ["http://127.0.0.1:1"]}]},
        ],
    })
}

#[test]
fn no_command_shows_what_is_secret_in_a_file() {
    for words in [
        &["check"][..],
        &["check", "--json"],
        &["check", "-ddd"],
        &["check", "-l"],
        &["audit"],
        &["run"],
    ] {
        let output = Gateway::setup().command(words, telling());
        let all = format!("{}{}", output.stdout, output.stderr);
        assert!(!all.is_empty(), "{words:?}");
        shows_nothing(&format!("{words:?}"), &all);
    }
}

#[test]
fn explain_shows_nothing_of_what_it_is_given() {
    let (origin, nonsense) = (Origin::json("{}"), nonsense());
    for lock in ["open", "key", "field", "query", "login"] {
        let url = format!(
            "http://gw/made/ok/{lock}?token={}&api%20key={}",
            mark("query"),
            mark("key")
        );
        let fields = [
            format!("Authorization: {}", login("ann", &mark("password"))),
            format!("X-API-Key: {}", mark("key")),
            format!("Cookie: a={}", mark("cookie")),
        ];
        let base = ["explain", "POST", &url, "-H", &fields[1], "-H", &fields[2]];
        let token = mark("bare");
        for more in [
            &["-H", fields[0].as_str()][..],
            &["--token", &token],
            &["--json", "--token", &token],
        ] {
            let words = [&base[..], more].concat();
            let output = Gateway::setup().command(&words, config(&origin, &nonsense));
            let all = format!("{}{}", output.stdout, output.stderr);
            assert!(all.contains("/made/ok"), "{all}");
            shows_nothing(&format!("explain of {lock}"), &all);
        }
    }
}

/// How often texts that begin alike stand in the memory that a process can write to.
fn in_memory(pid: u32, start: &str, texts: &[String]) -> Vec<usize> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("its maps can be read");
    let memory = fs::File::open(format!("/proc/{pid}/mem"));
    let mut memory = memory.expect("a parent may look at its child");
    let (mut counts, mut seen) = (vec![0; texts.len()], 0);
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let range = line.split(' ').next().unwrap_or_default();
        let (from, to) = range.split_once('-').expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("hexadecimal");
        let (from, to) = (number(from), number(to));
        let mut bytes = vec![0; usize::try_from(to - from).expect("it fits")];
        let read = memory
            .seek(SeekFrom::Start(from))
            .and_then(|_| memory.read_exact(&mut bytes));
        if read.is_ok() {
            seen += bytes.len();
            count(&bytes, start.as_bytes(), texts, &mut counts);
        }
    }
    assert!(seen > 1 << 20, "its memory can be read");
    counts
}

fn count(bytes: &[u8], start: &[u8], texts: &[String], counts: &mut [usize]) {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == start[0]) {
        rest = &rest[at..];
        if rest.starts_with(start) {
            for (count, text) in counts.iter_mut().zip(texts) {
                *count += usize::from(rest.starts_with(text.as_bytes()));
            }
        }
        rest = &rest[1..];
    }
}

/// Requests come and go through memory that is used again, so a key that was shown is there for a while, in buffers of
/// connections: as many copies as there were buffers, and not one for each request. What is decoded is overwritten
/// at once: no password stands anywhere in clear.
#[test]
fn no_memory_keeps_what_clients_showed() {
    const SHOWS: usize = 300;
    let (origin, nonsense) = (Origin::json("{}"), nonsense());
    let gateway = Gateway::setup()
        .argument("--threads")
        .argument("1")
        .native(config(&origin, &nonsense));
    let right = login("ann", &mark("password"));
    let wrong = login("ann", &mark("wrongpassword"));
    for at in 0..SHOWS {
        let kind = ["stream", "made"][at % 2];
        for (lock, value) in [
            ("key", format!("Bearer {}", mark("key"))),
            ("key", format!("Bearer {}", mark("wrongkey"))),
            ("login", right.clone()),
            ("login", wrong.clone()),
        ] {
            let target = format!("/{kind}/ok/{lock}");
            let answer = ask(&gateway, &target, &[("Authorization", value)], "{}");
            assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
        }
    }
    let keys = [mark("key"), mark("wrongkey")];
    for (key, copies) in keys.iter().zip(in_memory(gateway.pid(), "hush-", &keys)) {
        assert!(
            copies < SHOWS / 2,
            "{copies} copies of {key} after {SHOWS} requests"
        );
    }
    // An allocator overwrites the beginning of what is given back, so the end is what counts.
    let end = ["password-7f3a9c51d2".to_owned()];
    assert_eq!(in_memory(gateway.pid(), "password-7f", &end), [0]);
}
