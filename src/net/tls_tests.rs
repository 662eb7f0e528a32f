//! TLS and HTTP/2 against servers on Pingora's own server half.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use pingora::http::ResponseHeader;
use pingora::protocols::http::v2::server::{H2Accept, HttpSession, handshake};
use pingora::protocols::l4::stream::Stream as Plain;
use pingora::protocols::{Digest, Stream};
use pingora::tls::{
    ServerConfig, TlsAcceptor, install_default_crypto_provider, load_certs_and_key_files,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Client, ClientOptions, Deadline, OutBody, Outgoing, Resolver, Target, TlsOptions};
use crate::base::Reason;

/// A certificate for `localhost` and 127.0.0.1 that serves these tests only.
const CERT: &str = "\
-----BEGIN CERTIFICATE-----
MIIBdzCCAR2gAwIBAgIUeITlkhFyhoKfNzX/i5k8kKjqoVcwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI0MDEwMTAwMDAwMFoYDzIxMjQwMTAx
MDAwMDAwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATXwejHd9j5mCFk9sFa3ql51FV0R1/S9NA/rBNB6EFTRgkUBVqi69Rb
4D+QKCoUXGDi8y0v5fP4+b6m5x09anF/o0swSTAMBgNVHRMBAf8EAjAAMBoGA1Ud
EQQTMBGCCWxvY2FsaG9zdIcEfwAAATAdBgNVHQ4EFgQUsSjfG1u6P3vIyP0vcw57
nd73AvYwCgYIKoZIzj0EAwIDSAAwRQIgOTABOR69J7Jvlq/k0ZqKOGMy09a6oKaU
Z865xBCdAMQCIQDpQOwjTYYPtZYI/7iQpPiANivj66dCHptKQWa7uuhFoA==
-----END CERTIFICATE-----
";
const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGgMWM1TotDFMs4gv
Q/pKsZEm/YOCMFgb6e5+V/fM1R6hRANCAATXwejHd9j5mCFk9sFa3ql51FV0R1/S
9NA/rBNB6EFTRgkUBVqi69Rb4D+QKCoUXGDi8y0v5fP4+b6m5x09anF/
-----END PRIVATE KEY-----
";

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cert.pem"), CERT).unwrap();
        std::fs::write(dir.path().join("key.pem"), KEY).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn trusting(&self) -> TlsOptions {
        let ca_certs = vec![self.path("cert.pem")];
        TlsOptions {
            ca_certs,
            disable_system_ca_pool: true,
            ..TlsOptions::default()
        }
    }

    fn acceptor(&self) -> TlsAcceptor {
        install_default_crypto_provider();
        let files = load_certs_and_key_files(&self.path("cert.pem"), &self.path("key.pem"));
        let (chain, key) = files.unwrap().unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()))
    }
}

/// A TLS server that answers `requests` small requests on each connection; returns its port.
async fn tls_server(files: &Files, requests: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, acceptor) = (listener.local_addr().unwrap().port(), files.acceptor());
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(tcp).await else {
                continue;
            };
            for _ in 0..requests {
                let mut seen = Vec::new();
                while !seen.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = tls.read_u8().await else {
                        return;
                    };
                    seen.push(byte);
                }
                tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await
                    .unwrap();
            }
        }
    });
    port
}

/// A plaintext HTTP/2 server that answers each request with its path and the size of its body.
async fn h2_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        // One connection only: a second request must share it.
        let stream: Stream = Box::new(Plain::from(tcp));
        let mut connection = handshake(stream, None).await.unwrap();
        let digest = Arc::new(Digest::default());
        while let Ok(Some(accepted)) =
            HttpSession::from_h2_conn(&mut connection, digest.clone()).await
        {
            let H2Accept::Session(session) = accepted else {
                continue;
            };
            tokio::spawn(answer(session));
        }
    });
    port
}

async fn answer(mut session: HttpSession) {
    let mut size = 0;
    while let Some(chunk) = session.read_body_bytes().await.unwrap() {
        size += chunk.len();
    }
    let text = format!("{} {size}", session.req_header().uri);
    let head = ResponseHeader::build(200, None).unwrap();
    session
        .write_response_header(Box::new(head), false)
        .unwrap();
    session.write_body(Bytes::from(text), true).await.unwrap();
}

async fn fetch(client: &Client, target: &Target, body: OutBody<'_>) -> Result<Bytes, Reason> {
    let value = http::HeaderValue::from_static;
    let fields = [
        (http::header::CONNECTION, value("keep-alive")),
        (http::HeaderName::from_static("x-a"), value("b")),
    ];
    let out = Outgoing {
        method: &Method::GET,
        path_and_query: "/x?y",
        host: None,
        fields: &fields,
        body,
        patience: None,
        interims: None,
    };
    let deadline = Deadline::after(Duration::from_secs(20));
    let incoming = client
        .send(target, out, deadline)
        .await
        .map_err(|error| error.reason)?;
    incoming
        .collect(1 << 20)
        .await
        .map_err(|error| error.reason)
}

fn target(text: &str) -> Target {
    Target::parse(text, &Resolver::new()).unwrap()
}

#[tokio::test]
async fn tls_connections_are_checked_and_reused() {
    let files = Files::new();
    let target = target(&format!(
        "https://localhost:{}",
        tls_server(&files, 2).await
    ));
    let client = Client::new(ClientOptions {
        tls: files.trusting(),
        ..ClientOptions::default()
    });
    for _ in 0..2 {
        assert_eq!(fetch(&client, &target, OutBody::None).await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn an_unknown_authority_is_refused_unless_insecure() {
    let files = Files::new();
    let target = target(&format!(
        "https://127.0.0.1:{}",
        tls_server(&files, 1).await
    ));
    let strict = Client::new(ClientOptions::default());
    assert_eq!(
        fetch(&strict, &target, OutBody::None).await,
        Err(Reason::TlsFailed)
    );
    let tls = TlsOptions {
        insecure: true,
        ..TlsOptions::default()
    };
    let loose = Client::new(ClientOptions {
        tls,
        ..ClientOptions::default()
    });
    assert_eq!(fetch(&loose, &target, OutBody::None).await.unwrap(), "ok");
}

#[tokio::test]
async fn a_server_without_http2_gets_http1_when_both_are_offered() {
    let files = Files::new();
    let target = target(&format!(
        "https://localhost:{}",
        tls_server(&files, 1).await
    ));
    let tls = files.trusting();
    let client = Client::new(ClientOptions {
        tls,
        http2: true,
        ..ClientOptions::default()
    });
    assert_eq!(fetch(&client, &target, OutBody::None).await.unwrap(), "ok");
}

#[tokio::test]
async fn unreadable_roots_fail_the_request_not_the_process() {
    let tls = TlsOptions {
        ca_certs: vec!["/nonexistent".into()],
        ..TlsOptions::default()
    };
    let client = Client::new(ClientOptions {
        tls,
        ..ClientOptions::default()
    });
    let target = target("https://127.0.0.1:1");
    assert_eq!(
        fetch(&client, &target, OutBody::None).await,
        Err(Reason::TlsFailed)
    );
}

#[tokio::test]
async fn plaintext_http2_shares_one_connection() {
    let port = h2_server().await;
    let target = target(&format!("http://127.0.0.1:{port}/base")).with_prior_knowledge();
    let client = Client::new(ClientOptions::default());
    let path = format!("http://127.0.0.1:{port}/base/x?y");
    let body = fetch(&client, &target, OutBody::None).await.unwrap();
    assert_eq!(body, format!("{path} 0"));
    let bytes = Bytes::from(vec![b'a'; 300_000]);
    let body = fetch(
        &client,
        &target,
        OutBody::Full {
            bytes,
            chunked: false,
        },
    )
    .await
    .unwrap();
    assert_eq!(body, format!("{path} 300000"));
}
