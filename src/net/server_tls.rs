//! TLS of the listener (`tls`): certificates by server name, versions, suites, client certificates.
//!
//! Different from KrakenD: the native dialect allows TLS 1.2 by default, and every problem of a file stops
//! the start instead of ending it with exit code 0 later.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::listeners::TlsAccept;
use pingora::listeners::tls::{Acceptor, TlsSettings};
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::tls::{
    CertificateDer, ClientHello, CryptoProvider, ResolvesServerCert, RootCertStore, ServerConfig,
    ServerName, TlsAcceptor, WebPkiClientVerifier, load_ca_file_into_store,
    load_certs_and_key_files, load_native_certs, sign::CertifiedKey, version,
};
use webpki::EndEntityCert;

use super::certificate::Certificate;
use super::tls::provider_of;

/// What the listener's section says.
#[derive(Clone, Debug, Default)]
pub struct ServerTls {
    /// Certificate and key files; the first pair answers names that none is for.
    pub keys: Vec<(String, String)>,
    /// No TLS 1.2.
    pub tls13_only: bool,
    /// No TLS 1.3.
    pub tls12_only: bool,
    /// Suites to allow (IANA numbers); empty for all.
    pub cipher_suites: Vec<u16>,
    /// Groups to allow (IANA numbers); empty for all.
    pub groups: Vec<u16>,
    /// Whose certificates clients must show; `None` asks for none.
    pub client_ca: Option<ClientCa>,
}

/// Who vouches for clients.
#[derive(Clone, Debug, Default)]
pub struct ClientCa {
    /// PEM files.
    pub files: Vec<String>,
    /// The system's roots too.
    pub system: bool,
    /// Clients may come without a certificate; what they show must be good all the same.
    pub optional: bool,
}

/// Reads all files and makes an acceptor with HTTP/2 and HTTP/1.1.
///
/// # Errors
/// A text that names the file and what is wrong.
pub fn acceptor(options: &ServerTls) -> Result<Arc<Acceptor>, String> {
    let provider = provider_of("tls", &options.cipher_suites, &options.groups)?;
    let versions: &[_] = match (options.tls13_only, options.tls12_only) {
        (true, true) => return Err("tls: min_version is above max_version".to_owned()),
        (true, false) => &[&version::TLS13],
        (false, true) => &[&version::TLS12],
        (false, false) => &[&version::TLS12, &version::TLS13],
    };
    let certs = Arc::new(Certificates::read(&options.keys, &provider)?);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| format!("tls: {error}"))?;
    let builder = match &options.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let roots = Arc::new(client_roots(ca, options)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = if ca.optional {
                verifier.allow_unauthenticated()
            } else {
                verifier
            };
            let verifier = verifier
                .build()
                .map_err(|error| format!("tls: no usable client certificate authority: {error}"))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::clone(&certs) as _);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if options.client_ca.is_none() {
        return Ok(Arc::new(Acceptor::from_server_config(Arc::new(config))));
    }
    let fault = |error: Box<pingora::Error>| format!("tls: {error}");
    let mut settings = TlsSettings::with_callbacks(Box::new(Reader)).map_err(fault)?;
    settings.set_cert_resolver(certs);
    let mut acceptor = settings.build();
    // Only the settings take a call-back, and only a configuration says all that the file says.
    acceptor.acceptor = TlsAcceptor::from(Arc::new(config));
    Ok(Arc::new(acceptor))
}

/// Reads the certificate of each client once its handshake is done.
struct Reader;

#[async_trait]
impl TlsAccept for Reader {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Shown> {
        let certificate = Certificate::parse(tls.peer_certificate_der()?)?;
        Some(Arc::new(Arc::new(certificate)))
    }
}

/// What Pingora keeps for a connection.
type Shown = Arc<dyn Any + Send + Sync>;

/// The certificate that the client of a connection has shown.
pub fn certificate(tls: &SslDigest) -> Option<&Arc<Certificate>> {
    tls.extension.get()
}

/// As in KrakenD, the listener's own certificates vouch for clients too.
fn client_roots(ca: &ClientCa, options: &ServerTls) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    if ca.system {
        store.add_parsable_certificates(load_native_certs().unwrap_or_default());
    }
    for file in &ca.files {
        load_ca_file_into_store(file, &mut store)
            .map_err(|error| format!("tls: {file}: {error}"))?;
    }
    for (cert, _) in &options.keys {
        // A certificate that is no authority vouches for nobody but itself; no reason to fail.
        let _ = load_ca_file_into_store(cert, &mut store);
    }
    Ok(store)
}

/// The listener's certificates.
struct Certificates(Vec<Arc<CertifiedKey>>);

impl Certificates {
    fn read(keys: &[(String, String)], provider: &CryptoProvider) -> Result<Self, String> {
        let mut all = Vec::with_capacity(keys.len());
        for (cert, key) in keys {
            let fail = |what: &str| format!("tls: {cert}, {key}: {what}");
            let (chain, key) = load_certs_and_key_files(cert, key)
                .map_err(|error| fail(&error.to_string()))?
                .ok_or_else(|| fail("no certificate or no key in it"))?;
            let chain: Vec<CertificateDer<'static>> = chain;
            let pair = CertifiedKey::from_der(chain, key, provider)
                .map_err(|error| fail(&error.to_string()))?;
            all.push(Arc::new(pair));
        }
        if all.is_empty() {
            return Err(
                "tls: no certificate: add \"keys\" with public_key and private_key".to_owned(),
            );
        }
        Ok(Self(all))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let first = self.0.first();
        let wanted = hello
            .server_name()
            .and_then(|name| ServerName::try_from(name).ok());
        let (Some(name), 2..) = (wanted, self.0.len()) else {
            return first.cloned();
        };
        let fits = |pair: &&Arc<CertifiedKey>| {
            pair.cert
                .first()
                .and_then(|der| EndEntityCert::try_from(der).ok())
                .is_some_and(|cert| cert.verify_is_valid_for_subject_name(&name).is_ok())
        };
        self.0.iter().find(fits).or(first).cloned()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_broken_file_is_named() {
        let keys = vec![("no-such.pem".to_owned(), "no-such.key".to_owned())];
        let error = acceptor(&ServerTls {
            keys,
            ..ServerTls::default()
        })
        .err()
        .unwrap();
        assert!(error.contains("no-such.pem"), "{error}");
        assert!(
            acceptor(&ServerTls::default())
                .err()
                .unwrap()
                .contains("keys")
        );
    }
}
