//! TLS on both sides. Certificates are made when a test runs and live in its folder.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};

use super::support::{Gateway, Head, Origin, PATIENCE, eventually};

/// An authority and what it has signed, as PEM files in a folder.
pub(crate) struct Certificates {
    folder: TempDir,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self {
            folder,
            issuer: Issuer::new(params, key),
        }
    }

    /// Signs a certificate for names; the files are `<file>.pem` and `<file>.key`.
    pub(crate) fn sign(&self, file: &str, names: &[&str]) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign_all(file, &CertificateParams::new(names).unwrap());
    }

    /// Signs a certificate that says more.
    pub(crate) fn sign_all(&self, file: &str, params: &CertificateParams) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path(&format!("{file}.pem")), certificate.pem()).unwrap();
        fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub(crate) fn key(&self, file: &str) -> Value {
        json!({
            "public_key": self.path(&format!("{file}.pem")), "private_key": self.path(&format!("{file}.key")),
        })
    }

    pub(crate) fn der(&self, file: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(&format!("{file}.pem"))).unwrap()
    }

    pub(crate) fn private(&self, file: &str) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(self.path(&format!("{file}.key"))).unwrap()
    }

    /// A client that trusts the authority.
    fn client(&self) -> Caller<'_> {
        Caller {
            all: self,
            versions: vec![&TLS12, &TLS13],
            alpn: Vec::new(),
            identity: None,
        }
    }
}

/// What a client brings to a handshake.
struct Caller<'a> {
    all: &'a Certificates,
    versions: Vec<&'static SupportedProtocolVersion>,
    alpn: Vec<Vec<u8>>,
    identity: Option<&'a str>,
}

/// What came of it.
#[derive(Debug)]
struct Seen {
    status: String,
    body: String,
    certificate: CertificateDer<'static>,
    alpn: Option<Vec<u8>>,
}

impl<'a> Caller<'a> {
    fn version(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    fn alpn(mut self, protocol: &str) -> Self {
        self.alpn.push(protocol.as_bytes().to_vec());
        self
    }

    fn identity(mut self, file: &'a str) -> Self {
        self.identity = Some(file);
        self
    }

    fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.all.der("ca")).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.identity {
            Some(file) => config
                .with_client_auth_cert(vec![self.all.der(file)], self.all.private(file))
                .unwrap(),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        Arc::new(config)
    }

    /// One `GET` over TLS, to a server of this name.
    fn get(&self, gateway: &Gateway, name: &str, target: &str) -> std::io::Result<Seen> {
        let socket = TcpStream::connect(("127.0.0.1", gateway.port()))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let session = ClientConnection::new(self.config(), name).unwrap();
        let mut stream = BufReader::new(StreamOwned::new(session, socket));
        write!(
            stream.get_mut(),
            "GET {target} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
        )?;
        let head = Head::read(&mut stream)?
            .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::UnexpectedEof))?;
        let length = head
            .get("content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let session = &stream.get_ref().conn;
        Ok(Seen {
            status: head.word(1).to_owned(),
            body: String::from_utf8(body).unwrap(),
            certificate: session.peer_certificates().unwrap()[0].clone().into_owned(),
            alpn: session.alpn_protocol().map(<[u8]>::to_vec),
        })
    }
}

/// A file with one endpoint and this `tls` section.
fn listening(tls: Value, origin: &Origin) -> Value {
    json!({
        "tls": tls,
        "endpoints": [{"endpoint": "/a", "backend": [{"url_pattern": "/a", "host": [origin.url()]}]}],
    })
}

#[test]
fn serves_https_and_tells_the_backend() {
    let (certificates, origin) = (Certificates::new(), Origin::json(r#"{"a":1}"#));
    certificates.sign("a", &["a.test"]);
    let gateway = Gateway::native(listening(json!({"keys": [certificates.key("a")]}), &origin));
    let seen = certificates.client().get(&gateway, "a.test", "/a").unwrap();
    assert_eq!(
        (seen.status.as_str(), seen.body.as_str()),
        ("200", r#"{"a":1}"#)
    );
    assert_eq!(seen.certificate, certificates.der("a"));
    assert_eq!(seen.alpn, None);
    assert_eq!(origin.request().header("x-forwarded-proto"), Some("https"));
    let plain = gateway.client().request("GET", "/a", &[], "").try_answer();
    assert!(
        !matches!(plain, Ok(Some(answer)) if answer.status() == 200),
        "no cleartext beside TLS"
    );
}

#[test]
fn each_dialect_has_its_oldest_version() {
    let (certificates, origin) = (Certificates::new(), Origin::json("{}"));
    certificates.sign("a", &["a.test"]);
    let keys = json!([certificates.key("a")]);
    let answers = |gateway: &Gateway, version| {
        certificates
            .client()
            .version(version)
            .get(gateway, "a.test", "/a")
            .is_ok()
    };
    for (tls, krakend, old, new) in [
        (json!({"keys": keys}), false, true, true),
        (
            json!({"keys": keys, "min_version": "TLS13"}),
            false,
            false,
            true,
        ),
        (
            json!({"keys": keys, "max_version": "TLS12"}),
            false,
            true,
            false,
        ),
        (json!({"keys": keys}), true, false, true),
        (
            json!({"keys": keys, "min_version": "TLS12"}),
            true,
            true,
            true,
        ),
    ] {
        let config = listening(tls.clone(), &origin);
        let gateway = if krakend {
            Gateway::krakend(config)
        } else {
            Gateway::native(config)
        };
        let seen = (answers(&gateway, &TLS12), answers(&gateway, &TLS13));
        assert_eq!(seen, (old, new), "krakend {krakend}: {tls}");
    }
}

#[test]
fn the_server_name_chooses_the_certificate() {
    let (certificates, origin) = (Certificates::new(), Origin::json("{}"));
    certificates.sign("a", &["a.test"]);
    certificates.sign("b", &["b.test", "*.wild.test"]);
    let keys = [certificates.key("a"), certificates.key("b")];
    let gateway = Gateway::native(listening(json!({"keys": keys}), &origin));
    for (name, file) in [("a.test", "a"), ("b.test", "b"), ("x.wild.test", "b")] {
        let seen = certificates.client().get(&gateway, name, "/a").unwrap();
        assert_eq!(seen.certificate, certificates.der(file), "{name}");
    }
    let stranger = certificates
        .client()
        .get(&gateway, "other.test", "/a")
        .unwrap_err();
    assert!(stranger.to_string().contains("certificate"), "{stranger}");
}

#[test]
fn client_certificates_are_required_when_the_file_says_so() {
    let (certificates, strangers) = (Certificates::new(), Certificates::new());
    let origin = Origin::json("{}");
    certificates.sign("a", &["a.test"]);
    certificates.sign("client", &["client.test"]);
    strangers.sign("client", &["client.test"]);
    let tls = json!({
        "keys": [certificates.key("a")],
        "enable_mtls": true,
        "ca_certs": [certificates.path("ca.pem")],
        "disable_system_ca_pool": true,
    });
    let gateway = Gateway::native(listening(tls, &origin));
    for version in [&TLS12, &TLS13] {
        let without = certificates
            .client()
            .version(version)
            .get(&gateway, "a.test", "/a");
        assert!(without.is_err(), "{without:?}");
        let with = certificates.client().version(version).identity("client");
        assert_eq!(with.get(&gateway, "a.test", "/a").unwrap().status, "200");
    }
    fs::copy(
        strangers.path("client.pem"),
        certificates.path("stranger.pem"),
    )
    .unwrap();
    fs::copy(
        strangers.path("client.key"),
        certificates.path("stranger.key"),
    )
    .unwrap();
    let stranger = certificates
        .client()
        .identity("stranger")
        .get(&gateway, "a.test", "/a");
    assert!(stranger.is_err(), "{stranger:?}");
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn alpn_chooses_the_protocol() {
    let (certificates, origin) = (Certificates::new(), Origin::json(r#"{"a":1}"#));
    certificates.sign("a", &["a.test"]);
    let gateway = Gateway::native(listening(json!({"keys": [certificates.key("a")]}), &origin));
    let http1 = certificates
        .client()
        .alpn("http/1.1")
        .get(&gateway, "a.test", "/a")
        .unwrap();
    assert_eq!(
        (http1.status.as_str(), http1.alpn.as_deref()),
        ("200", Some(&b"http/1.1"[..]))
    );

    let config = certificates.client().alpn("h2").alpn("http/1.1").config();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let exchange = async {
        let socket = tokio::net::TcpStream::connect(("127.0.0.1", gateway.port()))
            .await
            .unwrap();
        let connector = tokio_rustls::TlsConnector::from(config);
        let stream = connector
            .connect("a.test".try_into().unwrap(), socket)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("https://a.test/a").body(()).unwrap();
        let (answer, _) = sender.send_request(request, true).unwrap();
        let mut answer = answer.await.unwrap();
        let body = answer.body_mut().data().await.unwrap().unwrap();
        (answer.status().as_u16(), body)
    };
    let limit = async { tokio::time::timeout(PATIENCE, exchange).await };
    let (status, body) = runtime.block_on(limit).unwrap();
    assert_eq!((status, &body[..]), (200, &br#"{"a":1}"#[..]));
    assert_eq!(
        origin.requests()[1].header("x-forwarded-proto"),
        Some("https")
    );
}

#[test]
fn a_certificate_that_cannot_be_used_refuses_the_start() {
    let (certificates, origin) = (Certificates::new(), Origin::json("{}"));
    certificates.sign("a", &["a.test"]);
    certificates.sign("b", &["b.test"]);
    fs::write(certificates.path("broken.pem"), "no certificate").unwrap();
    let named = |cert: &str, key: &str| json!({"public_key": certificates.path(cert), "private_key": certificates.path(key)});
    for (key, word) in [
        (named("none.pem", "a.key"), "none.pem"),
        (named("broken.pem", "a.key"), "broken.pem"),
        (named("a.pem", "b.key"), "b.key"),
    ] {
        let output = Gateway::refused(listening(json!({"keys": [key]}), &origin));
        assert_eq!(output.code, Some(1), "{output:#?}");
        assert!(output.stderr.contains(word), "{word}: {output:#?}");
        assert!(!output.stderr.contains("panicked"), "{output:#?}");
    }
}

/// A backend that speaks TLS 1.2 and 1.3 and answers every request with `{"tls":true}`; gives its port.
fn secure_origin(certificates: &Certificates, file: &str) -> u16 {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificates.der(file)], certificates.private(file))
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            std::thread::spawn(move || {
                let mut stream = BufReader::new(StreamOwned::new(session, socket));
                while let Ok(Some(_)) = Head::read(&mut stream) {
                    let body = r#"{"tls":true}"#;
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n";
                    if write!(stream.get_mut(), "{head}{body}").is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Two endpoints, streamed and composed, in front of a TLS backend.
fn calling(port: u16, client_tls: Value) -> Value {
    let endpoint = |pattern: &str, encoding: &str| {
        json!({
            "endpoint": pattern, "output_encoding": encoding,
            "backend": [
                {"url_pattern": "/", "host": [format!("https://127.0.0.1:{port}")], "encoding": encoding},
            ],
        })
    };
    let mut config = json!({"endpoints": [endpoint("/raw", "no-op"), endpoint("/made", "json")]});
    if !client_tls.is_null() {
        config["client_tls"] = client_tls;
    }
    config
}

#[test]
fn backends_are_believed_only_with_a_certificate_of_a_known_authority() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    certificates.sign("backend", &["127.0.0.1"]);
    let port = secure_origin(&certificates, "backend");
    let ca = |folder: &Path| json!({"ca_certs": [folder.join("ca.pem")]});
    for (client_tls, status) in [
        (ca(certificates.folder.path()), 200),
        (json!({"allow_insecure_connections": true}), 200),
        (ca(others.folder.path()), 502),
        (Value::Null, 502),
    ] {
        let gateway = Gateway::native(calling(port, client_tls.clone()));
        for path in ["/raw", "/made"] {
            let answer = gateway.get(path);
            assert_eq!(answer.status(), status, "{path} {client_tls}: {answer:?}");
            if status == 200 {
                assert_eq!(answer.json(), json!({"tls": true}));
            } else {
                assert_eq!(answer.json()["error"], "bad_gateway");
                assert!(
                    gateway
                        .metrics()
                        .contains("refusals_total{reason=\"tls_failed\"} ")
                );
            }
        }
    }
}

#[test]
fn a_probe_of_the_connection_speaks_tls_where_calls_do() {
    let certificates = Certificates::new();
    certificates.sign("backend", &["127.0.0.1"]);
    let port = secure_origin(&certificates, "backend");
    let known = json!({"ca_certs": [certificates.path("ca.pem")]});
    for (client_tls, status) in [(known, "up"), (Value::Null, "down")] {
        let mut file = calling(port, client_tls);
        let health = json!({"interval": "100ms", "unhealthy_after": 1, "critical": [format!("127.0.0.1:{port}")]});
        file["extra_config"] = json!({"hanzo/health": health});
        let gateway = Gateway::native(file);
        eventually("a probe", || {
            let backends = gateway.get("/__health").json()["backends"].clone();
            let found = &backends[format!("127.0.0.1:{port}")];
            (found.get("checked").is_some() && found["status"] == status).then_some(())
        });
    }
}

/// Until a backend has chosen HTTP/1.1, nobody knows that it will.
#[test]
fn a_backend_that_has_chosen_http11_is_called_on_the_fast_lane() {
    let certificates = Certificates::new();
    certificates.sign("backend", &["127.0.0.1"]);
    let port = secure_origin(&certificates, "backend");
    let ca = json!({"ca_certs": [certificates.path("ca.pem")]});
    let gateway = Gateway::setup()
        .lane(Some("auto"))
        .native(calling(port, ca));
    let served = |lane: &str| {
        let series = format!("hanzo_gateway_lane_requests_total{{lane=\"{lane}\"}} ");
        let metrics = gateway.metrics();
        let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
        line.map_or(0, |value| value.parse().unwrap())
    };
    for request in 1..=4 {
        assert_eq!(gateway.get("/raw").json(), json!({"tls": true}));
        // The first tells what the others may do.
        let counts = || Some((served("pingora"), served("fast")));
        let counts = eventually("the lane counters", || {
            counts().filter(|(p, f)| p + f == request)
        });
        assert_eq!(counts, (1, request - 1));
    }
}

#[test]
fn a_certificate_for_another_name_is_not_believed() {
    let certificates = Certificates::new();
    certificates.sign("backend", &["other.test"]);
    let port = secure_origin(&certificates, "backend");
    let gateway = Gateway::native(calling(
        port,
        json!({"ca_certs": [certificates.path("ca.pem")]}),
    ));
    for path in ["/raw", "/made"] {
        let answer = gateway.get(path);
        assert_eq!(answer.status(), 502, "{answer:?}");
        assert!(!answer.text().contains("other.test"), "{answer:?}");
    }
}

#[test]
fn an_authority_that_cannot_be_read_refuses_the_start() {
    let certificates = Certificates::new();
    certificates.sign("backend", &["127.0.0.1"]);
    let port = secure_origin(&certificates, "backend");
    let output = Gateway::refused(calling(
        port,
        json!({"ca_certs": ["/no/such/authority.pem"]}),
    ));
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains("authority.pem"), "{output:#?}");
}
