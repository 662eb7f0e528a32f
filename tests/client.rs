//! `backend/http/client`: redirects that are not followed, backends with TLS settings of their own, and
//! backends behind a forward proxy.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::support::{Answer, Gateway, Head, Origin};
use super::tls::Certificates;

/// A backend that talks only to those who show a certificate of the authority; its port, and the heads that
/// it has read.
fn guarded_origin(certificates: &Certificates) -> (u16, Arc<Mutex<Vec<Head>>>) {
    certificates.sign("backend", &["127.0.0.1", "backend.test"]);
    let mut roots = RootCertStore::empty();
    roots.add(certificates.der("ca")).unwrap();
    let provider = Arc::new(default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![certificates.der("backend")],
            certificates.private("backend"),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || {
                let mut stream = BufReader::new(StreamOwned::new(session, socket));
                while let Ok(Some(head)) = Head::read(&mut stream) {
                    seen.lock().unwrap().push(head);
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n";
                    if write!(stream.get_mut(), "{head}{{\"tls\":true}}").is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, heads)
}

/// Signs a certificate to show, and gives the section that shows it.
fn identity(certificates: &Certificates) -> Value {
    certificates.sign("client", &["client.test"]);
    json!({
        "ca_certs": [certificates.path("ca.pem")],
        "disable_system_ca_pool": true,
        "client_certs": [{
            "certificate": certificates.path("client.pem"),
            "private_key": certificates.path("client.key"),
        }],
    })
}

/// An endpoint, streamed or composed, whose backend has these client settings.
fn endpoint(path: &str, encoding: &str, host: &str, client: &Value) -> Value {
    let mut backend = json!({"url_pattern": "/", "host": [host], "encoding": encoding});
    if !client.is_null() {
        backend["extra_config"] = json!({"backend/http/client": client});
    }
    json!({"endpoint": path, "output_encoding": encoding, "backend": [backend]})
}

fn started(krakend: bool, config: Value) -> Gateway {
    if krakend {
        Gateway::krakend(config)
    } else {
        Gateway::native(config)
    }
}

#[test]
fn a_backend_shows_its_own_certificate_on_connections_of_its_own() {
    let certificates = Certificates::new();
    let (port, _) = guarded_origin(&certificates);
    let host = format!("https://127.0.0.1:{port}");
    let own = json!({"client_tls": identity(&certificates)});
    for (krakend, failed) in [(false, 502), (true, 500)] {
        // The service believes the backend, and has nothing to show.
        let config = json!({
            "client_tls": {"ca_certs": [certificates.path("ca.pem")]},
            "endpoints": [
                endpoint("/own/raw", "no-op", &host, &own),
                endpoint("/own/made", "json", &host, &own),
                endpoint("/raw", "no-op", &host, &Value::Null),
                endpoint("/made", "json", &host, &Value::Null),
            ],
        });
        let gateway = started(krakend, config);
        // More than once: a connection that rests in a pool serves only those who made it.
        for round in 0..4 {
            for kind in ["raw", "made"] {
                let with = gateway.get(&format!("/own/{kind}"));
                assert_eq!(with.status(), 200, "{krakend} {round} {kind}: {with:?}");
                assert_eq!(with.json(), json!({"tls": true}));
                let without = gateway.get(&format!("/{kind}"));
                assert_eq!(
                    without.status(),
                    failed,
                    "{krakend} {round} {kind}: {without:?}"
                );
            }
        }
    }
}

#[test]
fn a_backend_of_its_own_does_not_use_what_the_service_believes() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let (port, heads) = guarded_origin(&certificates);
    let host = format!("https://127.0.0.1:{port}");
    let mut own = identity(&certificates);
    own["ca_certs"] = json!([others.path("ca.pem")]);
    let own = json!({"client_tls": own});
    let gateway = Gateway::native(json!({
        "client_tls": {"allow_insecure_connections": true},
        "endpoints": [
            endpoint("/raw", "no-op", &host, &own),
            endpoint("/made", "json", &host, &own),
        ],
    }));
    for path in ["/raw", "/made"] {
        assert_eq!(gateway.get(path).status(), 502, "{path}");
    }
    let mut client = gateway.client();
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let answer = client.request("GET", "/raw", &upgrade, "").answer();
    assert_eq!(answer.status(), 502, "{answer:?}");
    assert!(heads.lock().unwrap().is_empty());
}

#[test]
fn a_wish_to_switch_protocols_does_not_change_how_a_backend_is_connected_to() {
    let certificates = Certificates::new();
    let (port, heads) = guarded_origin(&certificates);
    let host = format!("https://127.0.0.1:{port}");
    let own = json!({"client_tls": identity(&certificates)});
    let gateway = Gateway::native(json!({"endpoints": [endpoint("/raw", "no-op", &host, &own)]}));
    let mut client = gateway.client();
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let answer = client.request("GET", "/raw", &upgrade, "").answer();
    assert_eq!(answer.status(), 200, "{answer:?}");
    let heads = heads.lock().unwrap();
    assert_eq!((heads.len(), heads[0].get("upgrade")), (1, None));
}

#[test]
fn a_redirect_is_followed_with_the_settings_of_the_backend() {
    let certificates = Certificates::new();
    let (port, _) = guarded_origin(&certificates);
    let first = Origin::serve(move |exchange| {
        exchange.raw(format!(
            "HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n"
        ));
    });
    let own = json!({"client_tls": identity(&certificates)});
    let config = json!({
        "client_tls": {"ca_certs": [certificates.path("ca.pem")]},
        "endpoints": [
            endpoint("/own", "json", &first.url(), &own),
            endpoint("/", "json", &first.url(), &Value::Null),
        ],
    });
    let gateway = Gateway::native(config);
    assert_eq!(gateway.get("/own").json(), json!({"tls": true}));
    assert_eq!(gateway.get("/").status(), 502);
}

#[test]
fn tls_settings_that_cannot_be_kept_refuse_the_start() {
    for (tls, word) in [
        (
            json!({"ca_certs": ["/no/such/authority.pem"]}),
            "authority.pem",
        ),
        (json!({"min_version": "TLS14"}), "TLS14"),
        (json!(true), "client_tls"),
    ] {
        let client = json!({"client_tls": tls});
        let config =
            json!({"endpoints": [endpoint("/a", "json", "http://backend.test:81", &client)]});
        for dialect in ["native", "krakend"] {
            let output = Gateway::setup()
                .argument("--compat")
                .argument(dialect)
                .refused(config.clone());
            assert_eq!(output.code, Some(1), "{output:#?}");
            assert!(output.stderr.contains(word), "{word}: {output:#?}");
            assert!(
                output.stderr.contains("backend~1http~1client/client_tls"),
                "{output:#?}"
            );
        }
    }
}

#[test]
fn a_redirect_is_the_answer_when_the_backend_says_so() {
    let origin = Origin::serve(|exchange| match exchange.request.path() {
        "/there" => exchange.json(r#"{"there":true}"#),
        _ => exchange.raw("HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"),
    });
    let stay = json!({"no_redirect": true});
    let mut shown = endpoint("/shown", "json", &origin.url(), &stay);
    shown["backend"][0]["extra_config"]["backend/http"] = json!({"return_error_code": true});
    let config = json!({"endpoints": [
        endpoint("/raw", "no-op", &origin.url(), &stay),
        endpoint("/made", "json", &origin.url(), &stay),
        shown,
        endpoint("/followed", "json", &origin.url(), &Value::Null),
    ]});
    for (krakend, failed) in [(false, 502), (true, 500)] {
        let gateway = started(krakend, config.clone());
        let raw = gateway.get("/raw");
        assert_eq!(
            (raw.status(), raw.header("location")),
            (302, Some("/there"))
        );
        assert_eq!(gateway.get("/made").status(), failed);
        assert_eq!(gateway.get("/shown").status(), 302);
        assert_eq!(gateway.get("/followed").json(), json!({"there": true}));
    }
}

/// A forward proxy. It answers plaintext requests itself, and leads tunnels to loopback, whatever the name;
/// without credentials (`u:p`) it does neither.
struct Forward {
    port: u16,
    /// The number of the connection and what it said.
    seen: Arc<Mutex<Vec<(usize, Head)>>>,
}

impl Forward {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        std::thread::spawn(move || {
            for (number, socket) in listener.incoming().flatten().enumerate() {
                let record = Arc::clone(&record);
                std::thread::spawn(move || forward(number, socket, &record));
            }
        });
        Self { port, seen }
    }

    fn address(&self, credentials: &str) -> Value {
        json!({"proxy_address": format!("http://{credentials}127.0.0.1:{}", self.port)})
    }

    /// Request lines so far.
    fn lines(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .map(|(_, head)| format!("{} {}", head.word(0), head.word(1)))
            .collect()
    }
}

fn forward(number: usize, socket: TcpStream, seen: &Mutex<Vec<(usize, Head)>>) {
    let mut writer = socket.try_clone().unwrap();
    let mut reader = BufReader::new(socket);
    while let Ok(Some(head)) = Head::read(&mut reader) {
        let (method, target) = (head.word(0).to_owned(), head.word(1).to_owned());
        let known = head.all("proxy-authorization") == ["Basic dTpw"];
        seen.lock().unwrap().push((number, head));
        let answer = if !target.starts_with('/') && !known {
            "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
        } else if method == "CONNECT" {
            let port: u16 = target.rsplit(':').next().unwrap().parse().unwrap();
            let mut there = TcpStream::connect(("127.0.0.1", port)).unwrap();
            writer
                .write_all(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n")
                .unwrap();
            let mut back = there.try_clone().unwrap();
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut back, &mut writer);
                let _ = writer.shutdown(std::net::Shutdown::Both);
            });
            let _ = std::io::copy(&mut reader, &mut there);
            let _ = there.shutdown(std::net::Shutdown::Both);
            return;
        } else if target.ends_with("/moved") {
            "HTTP/1.1 302 Found\r\nLocation: http://other.test/\r\nContent-Length: 0\r\n\r\n"
        } else {
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"ok\":42}"
        };
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn asked(gateway: &Gateway, path: &str, fields: &[(&str, &str)]) -> Answer {
    gateway.client().request("GET", path, fields, "").answer()
}

#[test]
fn plaintext_requests_go_to_the_proxy_with_their_whole_url() {
    for krakend in [false, true] {
        let proxy = Forward::start();
        let through = proxy.address("u:p@");
        let host = "http://backend.test:81";
        let mut raw = endpoint("/raw", "no-op", host, &through);
        raw["input_headers"] = json!(["*"]);
        let made = endpoint("/made", "json", host, &through);
        let mut moved = endpoint("/moved", "json", host, &through);
        moved["backend"][0]["url_pattern"] = json!("/moved");
        let gateway = started(krakend, json!({"endpoints": [raw, made, moved]}));
        let own = ("Proxy-Authorization", "Basic mine");
        let switch = [own, ("Connection", "Upgrade"), ("Upgrade", "websocket")];
        for (path, fields) in [("/raw", &[own][..]), ("/raw", &switch), ("/made", &[])] {
            let answer = asked(&gateway, path, fields);
            assert_eq!(answer.json(), json!({"ok": 42}), "{krakend} {path}");
        }
        assert_eq!(gateway.get("/moved").json(), json!({"ok": 42}));
        let url = "GET http://backend.test:81/";
        let moved = "GET http://backend.test:81/moved";
        let lines = proxy.lines();
        assert_eq!(lines, [url, url, url, moved, "GET http://other.test/"]);
        let seen = proxy.seen.lock().unwrap();
        assert_eq!(seen[0].1.get("host"), Some("backend.test:81"));
        if !krakend {
            assert_eq!(seen[1].1.get("upgrade"), None);
        }
    }
}

#[test]
fn tls_goes_through_a_tunnel_of_the_proxy() {
    let certificates = Certificates::new();
    let (port, heads) = guarded_origin(&certificates);
    let host = format!("https://backend.test:{port}");
    for (krakend, failed) in [(false, 502), (true, 500)] {
        heads.lock().unwrap().clear();
        let proxy = Forward::start();
        let mut through = proxy.address("u:p@");
        through["client_tls"] = identity(&certificates);
        let config = json!({
            "client_tls": {"ca_certs": [certificates.path("ca.pem")]},
            "endpoints": [
                endpoint("/raw", "no-op", &host, &through),
                endpoint("/made", "json", &host, &through),
                // The same way with nothing to show.
                endpoint("/other", "json", &host, &proxy.address("u:p@")),
            ],
        });
        let gateway = started(krakend, config);
        for path in ["/raw", "/made", "/raw", "/made"] {
            assert_eq!(gateway.get(path).json(), json!({"tls": true}), "{path}");
            assert_eq!(gateway.get("/other").status(), failed);
        }
        let connect = format!("CONNECT backend.test:{port}");
        assert!(proxy.lines().iter().all(|line| *line == connect));
        let heads = heads.lock().unwrap();
        assert_eq!(heads.len(), 4);
        for head in heads.iter() {
            assert_eq!((head.word(1), head.get("proxy-authorization")), ("/", None));
        }
    }
}

#[test]
fn a_proxy_that_refuses_is_no_way_to_the_backend() {
    let certificates = Certificates::new();
    let (port, heads) = guarded_origin(&certificates);
    let proxy = Forward::start();
    let mut through = proxy.address("u:wrong@");
    through["client_tls"] = identity(&certificates);
    let host = format!("https://127.0.0.1:{port}");
    let gateway = Gateway::native(json!({"endpoints": [
        endpoint("/raw", "no-op", &host, &through),
        endpoint("/made", "json", &host, &through),
        endpoint("/plain", "json", "http://backend.test:81", &through),
    ]}));
    for path in ["/raw", "/made", "/plain"] {
        assert_eq!(gateway.get(path).status(), 502, "{path}");
    }
    assert!(heads.lock().unwrap().is_empty());
    assert_eq!(proxy.lines().len(), 3);
}

#[test]
fn connections_to_a_proxy_are_not_those_to_a_backend_at_its_address() {
    let proxy = Forward::start();
    let host = format!("http://127.0.0.1:{}", proxy.port);
    let gateway = Gateway::native(json!({"endpoints": [
        endpoint("/direct", "json", &host, &Value::Null),
        endpoint("/through", "json", &host, &proxy.address("u:p@")),
    ]}));
    for _ in 0..6 {
        for path in ["/direct", "/through"] {
            assert_eq!(gateway.get(path).json(), json!({"ok": 42}), "{path}");
        }
    }
    let seen = proxy.seen.lock().unwrap();
    let numbers = |direct: bool| {
        let of = seen
            .iter()
            .filter(|(_, head)| (head.word(1) == "/") == direct);
        of.map(|(number, _)| *number).collect::<Vec<_>>()
    };
    let (direct, through) = (numbers(true), numbers(false));
    assert_eq!((direct.len(), through.len()), (6, 6));
    assert!(direct.iter().all(|number| !through.contains(number)));
}

#[test]
fn a_proxy_that_cannot_be_used_refuses_the_start() {
    let http2 = |client: Value| {
        let mut endpoint = endpoint("/a", "no-op", "http://backend.test:81", &client);
        endpoint["backend"][0]["extra_config"]["backend/http"] = json!({"http2": true});
        endpoint
    };
    let written = |address: &str| {
        let client = json!({"proxy_address": address});
        endpoint("/a", "json", "http://backend.test:81", &client)
    };
    for (endpoint, word) in [
        (written("socks5://u:secret@127.0.0.1:1"), "proxy_address"),
        (written("127.0.0.1:1"), "proxy_address"),
        (
            http2(json!({"proxy_address": "http://u:secret@127.0.0.1:1"})),
            "http2",
        ),
        (
            http2(json!({"client_tls": {"allow_insecure_connections": true}})),
            "http2",
        ),
    ] {
        let output = Gateway::refused(json!({"endpoints": [endpoint]}));
        assert_eq!(output.code, Some(1), "{output:#?}");
        assert!(output.stderr.contains(word), "{output:#?}");
        assert_eq!(output.stderr.matches("error[").count(), 1, "{output:#?}");
    }
}
