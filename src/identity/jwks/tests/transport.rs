//! Whom keys are taken from: certificates, pins, redirects, answers.

use super::*;
use pingora::tls::{
    RootCertStore, ServerConfig, TlsAcceptor, WebPkiClientVerifier,
    install_default_crypto_provider, load_certs_and_key_files,
};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer as Above, KeyPair,
};

/// An authority, and certificates of the server and of a client that it signed, as files.
struct Certificates {
    folder: tempfile::TempDir,
    authority: rcgen::Certificate,
    server: rcgen::Certificate,
}

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["ca.example".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        let above = Above::new(params, key);
        let write =
            |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        let signed = |name: &str, usage| {
            let key = KeyPair::generate().unwrap();
            let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            let mut params = CertificateParams::new(names).unwrap();
            params.extended_key_usages = vec![usage];
            let certificate = params.signed_by(&key, &above).unwrap();
            write(&format!("{name}.key"), key.serialize_pem());
            certificate
        };
        let server = signed("server", ExtendedKeyUsagePurpose::ServerAuth);
        let client = signed("client", ExtendedKeyUsagePurpose::ClientAuth);
        write("ca.pem", authority.pem());
        write("server.pem", format!("{}{}", server.pem(), authority.pem()));
        write("client.pem", client.pem());
        Self {
            folder,
            authority,
            server,
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn acceptor(&self, asks_for_a_certificate: bool) -> TlsAcceptor {
        install_default_crypto_provider();
        let files = load_certs_and_key_files(&self.path("server.pem"), &self.path("server.key"));
        let (chain, key) = files.unwrap().unwrap();
        let config = ServerConfig::builder();
        let config = if asks_for_a_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(self.authority.der().clone()).unwrap();
            config.with_client_cert_verifier(
                WebPkiClientVerifier::builder(Arc::new(roots))
                    .build()
                    .unwrap(),
            )
        } else {
            config.with_no_client_auth()
        };
        TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()))
    }

    async fn issuer(&self) -> Issuer {
        Issuer::serving(Says::Keys(jwks(&["a"])), Some(self.acceptor(false))).await
    }
}

fn secure(issuer: &Issuer) -> SourceOptions {
    SourceOptions::new(
        format!("https://127.0.0.1:{}/jwks", issuer.port()),
        Dialect::Native,
    )
}

/// The fingerprint of a certificate, as a configuration writes it.
fn fingerprint(certificate: &rcgen::Certificate) -> String {
    use base64::Engine;
    use x509_parser::prelude::FromDer;
    let (_, parsed) = x509_parser::prelude::X509Certificate::from_der(certificate.der()).unwrap();
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, parsed.public_key().raw);
    base64::engine::general_purpose::URL_SAFE.encode(sum)
}

#[tokio::test]
async fn an_authority_of_the_file_is_believed() {
    let certificates = Certificates::new();
    let (world, issuer) = (World::new(), certificates.issuer().await);
    let failure = world.fetch(&secure(&issuer)).await.unwrap_err();
    assert!(matches!(failure, FetchFailure::Net(_)), "{failure}");
    let options = SourceOptions {
        local_ca: Some(certificates.path("ca.pem")),
        ..secure(&issuer)
    };
    assert!(world.fetch(&options).await.unwrap().held.is_some());
    let options = SourceOptions {
        disable_security: true,
        ..secure(&issuer)
    };
    assert!(world.fetch(&options).await.is_ok());
}

#[tokio::test]
async fn the_services_leave_to_believe_anybody_is_not_for_keys() {
    let certificates = Certificates::new();
    let world = World::with_tls(TlsOptions {
        insecure: true,
        ..TlsOptions::default()
    });
    let issuer = certificates.issuer().await;
    assert!(world.fetch(&secure(&issuer)).await.is_err());
}

#[tokio::test]
async fn a_fingerprint_is_asked_for_beside_the_authority_and_without_it() {
    let certificates = Certificates::new();
    let (world, issuer) = (World::new(), certificates.issuer().await);
    let own = fingerprint(&certificates.server);
    let above = fingerprint(&certificates.authority);
    let other = fingerprint(&Certificates::new().server);
    for (pins, local_ca, disable_security, taken) in [
        (vec![&own], true, false, true),
        (vec![&above], true, false, true),
        (vec![&other, &own], true, false, true),
        (vec![&other], true, false, false),
        (vec![&own], false, false, false),
        (vec![&own], false, true, true),
        (vec![&above], false, true, true),
        (vec![&other], false, true, false),
    ] {
        let options = SourceOptions {
            fingerprints: pins.into_iter().cloned().collect(),
            local_ca: local_ca.then(|| certificates.path("ca.pem")),
            disable_security,
            ..secure(&issuer)
        };
        let fetched = world.fetch(&options).await;
        assert_eq!(fetched.is_ok(), taken, "{options:?} {fetched:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_the_service_is_shown_to_issuers_that_ask() {
    let certificates = Certificates::new();
    let issuer = Issuer::serving(Says::Keys(jwks(&["a"])), Some(certificates.acceptor(true))).await;
    let options = SourceOptions {
        local_ca: Some(certificates.path("ca.pem")),
        ..secure(&issuer)
    };
    assert!(World::new().fetch(&options).await.is_err());
    let client_cert = Some((
        certificates.path("client.pem"),
        certificates.path("client.key"),
    ));
    let world = World::with_tls(TlsOptions {
        client_cert,
        ..TlsOptions::default()
    });
    assert!(world.fetch(&options).await.is_ok());
}

#[tokio::test]
async fn a_new_certificate_makes_a_new_source() {
    let certificates = Certificates::new();
    let options = SourceOptions {
        local_ca: Some(certificates.path("ca.pem")),
        ..SourceOptions::new("https://a.example/jwks", Dialect::Native)
    };
    let client_cert = Some((
        certificates.path("client.pem"),
        certificates.path("client.key"),
    ));
    let world = World::with_tls(TlsOptions {
        client_cert,
        ..TlsOptions::default()
    });
    let source = || Source::kept(&options, &world.env()).unwrap();
    let first = source();
    assert!(Arc::ptr_eq(&first, &source()));
    let other = Certificates::new();
    for names in [&["ca.pem"][..], &["client.pem", "client.key"]] {
        for name in names {
            std::fs::copy(other.path(name), certificates.path(name)).unwrap();
        }
        let now = source();
        assert!(!Arc::ptr_eq(&first, &now), "{names:?}");
    }
}

#[tokio::test]
async fn cipher_suites_are_those_that_can_be_had() {
    let certificates = Certificates::new();
    let (world, issuer) = (World::new(), certificates.issuer().await);
    let options = SourceOptions {
        local_ca: Some(certificates.path("ca.pem")),
        cipher_suites: vec![49199, 49195, 49171, 4865],
        ..secure(&issuer)
    };
    assert_eq!(options.unknown_cipher_suites(), [49171]);
    assert!(world.fetch(&options).await.is_ok());
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_named() {
    let world = World::new();
    let secure = || SourceOptions::new("https://a.example/jwks", Dialect::Native);
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem").to_str().unwrap().to_owned();
    std::fs::write(&empty, "nothing").unwrap();
    for (options, setting) in [
        (
            SourceOptions::new("http://a.example/jwks", Dialect::Native),
            "jwk_url",
        ),
        (SourceOptions::new("", Dialect::Native), "jwk_url"),
        (
            SourceOptions::new("ftp://a.example", Dialect::Krakend),
            "jwk_url",
        ),
        (
            SourceOptions {
                local_ca: Some("/nonexistent.pem".to_owned()),
                ..secure()
            },
            "jwk_local_ca",
        ),
        (
            SourceOptions {
                fingerprints: vec!["AAAA".to_owned()],
                ..secure()
            },
            "jwk_fingerprints",
        ),
        (
            SourceOptions {
                fingerprints: vec!["!".to_owned()],
                ..secure()
            },
            "jwk_fingerprints",
        ),
    ] {
        let error = Source::kept(&options, &world.env()).unwrap_err();
        assert_eq!(error.setting, setting, "{error}");
        // A second try finds nothing that was left over.
        assert!(Source::kept(&options, &world.env()).is_err());
    }
    assert!(Source::kept(&secure(), &world.env()).is_ok());
}

#[tokio::test]
async fn redirects_are_followed_but_not_out_of_tls() {
    let certificates = Certificates::new();
    let (world, open, closed) = (
        World::new(),
        Issuer::new(Says::Keys(jwks(&["a"]))).await,
        certificates.issuer().await,
    );
    let to = |issuer: &Issuer, scheme: &str| {
        let location = format!("Location: {scheme}://127.0.0.1:{}/x\r\n", issuer.port());
        Says::Answer(302, location, String::new())
    };
    let first = Issuer::new(to(&open, "http")).await;
    assert!(world.fetch(&plain(&first)).await.is_ok());
    assert_eq!(open.hits(), 1);
    first.says(to(&first, "http"));
    let failure = world.fetch(&plain(&first)).await.unwrap_err();
    assert_eq!(failure, FetchFailure::Redirect("too often"));
    closed.says(to(&open, "http"));
    let options = SourceOptions {
        disable_security: true,
        ..secure(&closed)
    };
    let failure = world.fetch(&options).await.unwrap_err();
    assert_eq!(failure, FetchFailure::Redirect("from https to http"));
    assert_eq!(open.hits(), 1);
}

#[tokio::test]
async fn each_dialect_has_its_own_good_answers() {
    let (world, issuer) = (World::new(), Issuer::new(Says::Keys(String::new())).await);
    let (native, krakend) = (
        plain(&issuer),
        SourceOptions {
            dialect: Dialect::Krakend,
            ..plain(&issuer)
        },
    );
    for (status, kind, native_takes, krakend_takes) in [
        (200, "application/json; charset=utf-8", true, true),
        (200, "application/jwk-set+json", true, true),
        (200, "text/plain", true, false),
        (404, "application/json", false, true),
        (500, "text/html", false, false),
    ] {
        issuer.says(Says::Answer(
            status,
            format!("Content-Type: {kind}\r\n"),
            jwks(&["a"]),
        ));
        assert_eq!(
            world.fetch(&native).await.is_ok(),
            native_takes,
            "{status} {kind}"
        );
        assert_eq!(
            world.fetch(&krakend).await.is_ok(),
            krakend_takes,
            "{status} {kind}"
        );
    }
}

#[tokio::test]
async fn an_answer_has_a_bound() {
    let long = format!(
        "{}{}",
        jwks(&["a"]),
        " ".repeat(crate::identity::jose::MAX_SET)
    );
    let (world, issuer) = (World::new(), Issuer::new(Says::Keys(long)).await);
    let failure = world.fetch(&plain(&issuer)).await.unwrap_err();
    assert!(matches!(failure, FetchFailure::Net(_)), "{failure}");
}

#[tokio::test]
async fn the_issuers_age_is_told() {
    let fields = "Cache-Control: public, max-age=42\r\n".to_owned();
    let (world, issuer) = (
        World::new(),
        Issuer::new(Says::Answer(200, fields, jwks(&["a"]))).await,
    );
    let keys = world.fetch(&plain(&issuer)).await.unwrap();
    assert_eq!(keys.max_age, Some(Duration::from_secs(42)));
}

#[tokio::test]
async fn failures_tell_no_path_and_no_query() {
    let issuer = Issuer::new(Says::Answer(500, String::new(), String::new())).await;
    let options = SourceOptions {
        url: format!("http://127.0.0.1:{}/secret-path?key=secret", issuer.port()),
        ..plain(&issuer)
    };
    let world = World::new();
    let fetcher = Fetcher::new(&options, &world.env()).unwrap();
    let failure = fetcher.keys(|| None).await.unwrap_err();
    let source = Source::kept(&options, &world.env()).unwrap();
    let all = format!(
        "{failure} {failure:?} {} {fetcher:?} {source:?}",
        fetcher.host()
    );
    assert!(!all.contains("secret"), "{all}");
}
