//! Clients that show a certificate: `hanzo/mtls` on every lane, streamed and composed, over HTTP/1.1, HTTP/2 and in
//! front of a WebSocket.

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{
    CertificateParams, CertificateRevocationListParams, DnType, KeyIdMethod, RevokedCertParams,
    SanType, SerialNumber,
};
use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::{Gateway, Head, Origin, PATIENCE, eventually};
use crate::tls::Certificates;

/// An authority, the listener's certificate and those of some clients.
fn certificates() -> Certificates {
    let all = Certificates::new();
    all.sign("listener", &["gw.test"]);
    let mut params = CertificateParams::new(vec!["web.clients.test".to_owned()]).unwrap();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Hanzo");
    params
        .distinguished_name
        .push(DnType::CommonName, "web, one");
    params.serial_number = Some(SerialNumber::from(77));
    params.subject_alt_names.extend([
        SanType::URI("spiffe://hanzo.ai/ns/a/sa/web".try_into().unwrap()),
        SanType::DnsName("alias.clients.test".try_into().unwrap()),
        SanType::IpAddress([192, 0, 2, 9].into()),
    ]);
    all.sign_all("web", &params);
    all.sign("other", &["other.test"]);
    all
}

fn tls(all: &Certificates, enable_mtls: bool) -> Value {
    json!({
        "keys": [all.key("listener")], "enable_mtls": enable_mtls,
        "ca_certs": [all.path("ca.pem")], "disable_system_ca_pool": true,
    })
}

fn headers() -> Value {
    json!({
        "subject": "X-Client-Subject", "san_dns": "X-Client-DNS", "san_uri": "X-Client-URI", "san_email": "X-Client-Mail",
        "serial": "X-Client-Serial", "fingerprint": "X-Client-Fingerprint",
    })
}

fn endpoint(path: &str, encoding: &str, own: &Value, origin: &Origin) -> Value {
    let mut endpoint = json!({
        "endpoint": path, "output_encoding": encoding, "input_headers": ["*"],
        "backend": [{"url_pattern": path, "host": [origin.url()], "encoding": encoding}],
    });
    if !own.is_null() {
        endpoint["extra_config"] = json!({ "hanzo/mtls": own });
    }
    endpoint
}

fn config(tls: Value, service: Value, own: &Value, origin: &Origin) -> Value {
    let mut config = json!({"tls": tls, "endpoints": [
        endpoint("/stream", "no-op", own, origin), endpoint("/made", "json", own, origin),
    ]});
    if !service.is_null() {
        config["extra_config"] = json!({ "hanzo/mtls": service });
    }
    config
}

/// How a client speaks TLS.
fn speaking(all: &Certificates, identity: Option<&str>, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(all.der("ca")).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(file) => config
            .with_client_auth_cert(vec![all.der(file)], all.private(file))
            .unwrap(),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

type Wire = BufReader<StreamOwned<ClientConnection, TcpStream>>;

fn connect(all: &Certificates, identity: Option<&str>, gateway: &Gateway) -> Wire {
    let socket = TcpStream::connect(("127.0.0.1", gateway.port())).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = ServerName::try_from("gw.test").unwrap();
    let session = ClientConnection::new(speaking(all, identity, &[]), name).unwrap();
    BufReader::new(StreamOwned::new(session, socket))
}

/// One `GET` on a connection that stays; its status, or `None` when TLS ended instead.
fn ask(wire: &mut Wire, target: &str, fields: &str) -> Option<u16> {
    let head = format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\n{fields}\r\n");
    wire.get_mut().write_all(head.as_bytes()).ok()?;
    let head = Head::read(wire).ok()??;
    let length: usize = head.get("content-length").map_or(0, |l| l.parse().unwrap());
    let mut body = vec![0; length];
    wire.read_exact(&mut body).ok()?;
    head.word(1).parse().ok()
}

fn once(
    all: &Certificates,
    identity: Option<&str>,
    gateway: &Gateway,
    target: &str,
) -> Option<u16> {
    ask(&mut connect(all, identity, gateway), target, "")
}

const LIES: &str = "X-Client-Subject: CN=root\r\nx-client-dns: root\r\nX_Client_URI: spiffe://hanzo.ai/root\r\n\
                    X-CLIENT-MAIL: root@hanzo.ai\r\nX-Client-Subject: CN=admin\r\n";

/// What backends see of the client with the certificate "web".
fn says_web(request: &crate::support::Request) {
    let head = &request.head;
    assert_eq!(head.all("x-client-subject"), [r"O=Hanzo,CN=web\, one"]);
    let dns = head.all("x-client-dns").join(", ");
    assert_eq!(dns, "web.clients.test, alias.clients.test");
    assert_eq!(head.all("x-client-uri"), ["spiffe://hanzo.ai/ns/a/sa/web"]);
    assert_eq!(head.all("x-client-serial"), ["4d"]);
    assert_eq!(head.get("x-client-fingerprint").unwrap().len(), 64);
    assert_eq!(head.all("x-client-mail"), [""; 0], "it has none");
    for name in ["x_client_uri", "x_client_subject"] {
        assert_eq!(head.get(name), None);
    }
}

/// What backends see of somebody without a certificate.
fn says_nobody(request: &crate::support::Request) {
    for name in headers().as_object().unwrap().values() {
        let name = name.as_str().unwrap();
        assert_eq!(request.header(name), None, "{name}");
        assert_eq!(request.header(&name.replace('-', "_")), None, "{name}");
    }
}

#[test]
fn backends_are_told_who_calls() {
    let (all, origin) = (certificates(), Origin::json("{}"));
    for enable in [true, false] {
        let service = json!({ "headers": headers() });
        let gateway = Gateway::native(config(tls(&all, enable), service, &Value::Null, &origin));
        let mut wire = connect(&all, Some("web"), &gateway);
        for target in ["/stream", "/made", "/stream", "/made"] {
            let before = origin.requests().len();
            assert_eq!(ask(&mut wire, target, LIES), Some(200), "{target}");
            says_web(&origin.requests()[before]);
        }
        let status = once(&all, None, &gateway, "/made");
        assert_eq!(status, if enable { None } else { Some(401) });
        let health = once(&all, None, &gateway, "/health");
        assert_eq!(health, if enable { None } else { Some(200) });
    }
}

#[test]
fn an_endpoint_decides_for_itself() {
    let (all, origin) = (certificates(), Origin::json("{}"));
    let mut config = config(
        tls(&all, false),
        json!({ "headers": headers() }),
        &json!({"require": false}),
        &origin,
    );
    let members = config["endpoints"].as_array_mut().unwrap();
    members.push(endpoint("/closed", "no-op", &Value::Null, &origin));
    let named = json!({"allow": {"san_uri": ["spiffe://hanzo.ai/ns/*/sa/web"]}});
    members.push(endpoint("/named", "json", &named, &origin));
    let gateway = Gateway::native(config);
    for (identity, target, status) in [
        (None, "/stream", 200),
        (None, "/made", 200),
        (None, "/closed", 401),
        (None, "/named", 401),
        (Some("other"), "/closed", 200),
        (Some("other"), "/named", 401),
        (Some("web"), "/named", 200),
    ] {
        let before = origin.requests().len();
        let mut wire = connect(&all, identity, &gateway);
        assert_eq!(
            ask(&mut wire, target, LIES),
            Some(status),
            "{identity:?} {target}"
        );
        let seen = &origin.requests()[before..];
        match (identity, seen) {
            (None, [one]) => says_nobody(one),
            (Some("web"), [one]) => says_web(one),
            (_, []) => assert_eq!(status, 401),
            _ => {}
        }
    }
    assert!(
        gateway
            .metrics()
            .contains("refusals_total{reason=\"certificate_invalid\"}")
    );
}

#[test]
fn a_certificate_of_another_authority_ends_in_the_handshake() {
    let (all, strangers, origin) = (certificates(), certificates(), Origin::json("{}"));
    for file in ["web.pem", "web.key"] {
        fs::copy(
            strangers.path(file),
            all.path(&format!("stranger{}", &file[3..])),
        )
        .unwrap();
    }
    let service = json!({"require": false});
    let gateway = Gateway::native(config(tls(&all, false), service, &Value::Null, &origin));
    assert_eq!(once(&all, Some("stranger"), &gateway, "/made"), None);
    assert_eq!(once(&all, Some("web"), &gateway, "/made"), Some(200));
}

#[test]
fn a_certificate_that_has_expired_ends_in_the_handshake() {
    let (all, origin) = (certificates(), Origin::json("{}"));
    let mut params = CertificateParams::new(vec!["old.test".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    all.sign_all("old", &params);
    let service = json!({"require": false});
    let gateway = Gateway::native(config(tls(&all, false), service, &Value::Null, &origin));
    assert_eq!(once(&all, Some("old"), &gateway, "/made"), None);
}

#[test]
fn http2_clients_are_told_too() {
    let (all, origin) = (certificates(), Origin::json("{}"));
    let service = json!({"headers": headers(), "require": false});
    let gateway = Gateway::native(config(tls(&all, false), service, &Value::Null, &origin));
    for identity in [Some("web"), None] {
        let config = speaking(&all, identity, &["h2"]);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let before = origin.requests().len();
        let exchange = async {
            let port = gateway.port();
            let socket = tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .unwrap();
            let connector = tokio_rustls::TlsConnector::from(config);
            let name = "gw.test".try_into().unwrap();
            let stream = connector.connect(name, socket).await.unwrap();
            let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            for target in ["/stream", "/made", "/stream"] {
                let request = http::Request::get(format!("https://gw.test{target}"))
                    .header("x-client-subject", "CN=root")
                    .header("x_client_uri", "root")
                    .header("x-client-mail", "root")
                    .body(())
                    .unwrap();
                sender = sender.ready().await.unwrap();
                let (answer, _) = sender.send_request(request, true).unwrap();
                assert_eq!(answer.await.unwrap().status().as_u16(), 200);
            }
        };
        runtime
            .block_on(async { tokio::time::timeout(PATIENCE, exchange).await })
            .unwrap();
        let seen = &origin.requests()[before..];
        assert_eq!(seen.len(), 3);
        match identity {
            Some(_) => seen.iter().for_each(says_web),
            None => seen.iter().for_each(says_nobody),
        }
    }
}

#[test]
fn a_websocket_is_told_too() {
    let all = certificates();
    let origin = Origin::serve_heads(|exchange| {
        exchange.raw(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        );
        exchange.close();
    });
    let service = json!({"headers": headers(), "require": false});
    let gateway = Gateway::native(config(tls(&all, false), service, &Value::Null, &origin));
    for identity in [Some("web"), None] {
        let before = origin.requests().len();
        let mut wire = connect(&all, identity, &gateway);
        let fields = format!("Upgrade: websocket\r\nConnection: Upgrade\r\n{LIES}");
        let head = format!("GET /stream HTTP/1.1\r\nHost: gw.test\r\n{fields}\r\n");
        wire.get_mut().write_all(head.as_bytes()).unwrap();
        let seen = &origin.wait_for(before + 1)[before];
        assert_eq!(seen.header("upgrade"), Some("websocket"));
        match identity {
            Some(_) => says_web(seen),
            None => says_nobody(seen),
        }
    }
}

#[test]
fn a_revoked_certificate_ends_with_the_next_reload_on_open_connections_too() {
    let (all, origin) = (certificates(), Origin::json("{}"));
    let list = |serials: &[u64]| {
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from(*serial),
                    revocation_time: rcgen::date_time_ymd(2020, 1, 1),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&all.issuer).unwrap().pem().unwrap()
    };
    let file = all.path("list.pem");
    fs::write(&file, list(&[5])).unwrap();
    let service = json!({ "crls": [file] });
    let gateway = Gateway::native(config(tls(&all, true), service, &Value::Null, &origin));
    let mut wire = connect(&all, Some("web"), &gateway);
    assert_eq!(ask(&mut wire, "/stream", ""), Some(200));
    fs::write(&file, list(&[5, 77])).unwrap();
    gateway.signal("HUP");
    eventually("the revocation", || {
        let mut fresh = connect(&all, Some("web"), &gateway);
        (ask(&mut fresh, "/made", "") == Some(401)).then_some(())
    });
    assert_eq!(ask(&mut wire, "/stream", ""), Some(401));
    assert_eq!(once(&all, Some("other"), &gateway, "/made"), Some(200));
}

#[test]
fn a_certificate_and_a_key_can_be_asked_for_together() {
    let (all, origin) = (certificates(), Origin::json("{}"));
    let service = json!({ "headers": headers() });
    let mut config = config(tls(&all, true), service, &Value::Null, &origin);
    config["extra_config"]["auth/api-keys"] =
        json!({"keys": [{"key": "k", "roles": ["r"]}], "propagate_role": "X-Role"});
    for endpoint in config["endpoints"].as_array_mut().unwrap() {
        endpoint["extra_config"] = json!({"auth/api-keys": {"roles": ["r"]}});
    }
    let gateway = Gateway::native(config);
    let mut wire = connect(&all, Some("web"), &gateway);
    for target in ["/stream", "/made"] {
        assert_eq!(ask(&mut wire, target, LIES), Some(401));
        let before = origin.requests().len();
        let fields = format!("Authorization: Bearer k\r\n{LIES}");
        assert_eq!(ask(&mut wire, target, &fields), Some(200));
        let seen = &origin.requests()[before];
        says_web(seen);
        assert_eq!(seen.head.all("x-role"), ["r"]);
    }
}

#[test]
fn what_could_guard_nothing_refuses_the_start() {
    let (all, origin) = (certificates(), Origin::json("{}"));
    let own = json!({});
    let mut nobody = tls(&all, false);
    nobody["ca_certs"] = json!([]);
    let mut everybody = tls(&all, true);
    everybody["disable_system_ca_pool"] = json!(false);
    for (tls, word) in [
        (Value::Null, "speaks TLS"),
        (nobody, "nobody vouches"),
        (everybody, "public authority"),
    ] {
        let mut config = config(tls.clone(), Value::Null, &own, &origin);
        if tls.is_null() {
            config.as_object_mut().unwrap().remove("tls");
        }
        let output = Gateway::refused(config);
        assert_eq!(output.code, Some(1));
        assert!(output.stderr.contains(word), "{word}: {output:#?}");
    }
}
