//! TLS towards backends (`client_tls`): rustls on Pingora's TLS streams.
//!
//! Pingora's own connector knows neither a lowest version nor system roots beside private ones, builds
//! a configuration per connection and ends the process on unreadable roots; so the configuration is
//! made here, once. Different from KrakenD: files that cannot be read are an error instead of being
//! skipped silently, and versions below TLS 1.2 do not exist.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as Plain;
use pingora::protocols::tls::client::handshake;
use pingora::tls::{
    CertificateDer, ClientConfig, CryptoProvider, DigitallySignedStruct, HandshakeSignatureValid,
    PrivateKeyDer, RootCertStore, RusTlsError, ServerCertVerified, ServerCertVerifier, ServerName,
    SignatureScheme, TlsConnector, UnixTime, install_default_crypto_provider,
    load_ca_file_into_store, load_certs_and_key_files, load_native_certs, version,
};
use tokio::net::TcpStream;

use super::error::NetError;
use super::pins::Pinned;
use crate::base::Reason;

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// A number for a set-up, a proxy: whatever connections are told apart by.
pub(super) fn next_setup() -> u64 {
    static SETUPS: AtomicU64 = AtomicU64::new(1);
    SETUPS.fetch_add(1, Ordering::Relaxed)
}

/// What `client_tls` says. Files are PEM and read when the set-up is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Take any certificate.
    pub insecure: bool,
    /// Files with further roots.
    pub ca_certs: Vec<String>,
    /// Leave the system's roots out.
    pub disable_system_ca_pool: bool,
    /// Certificate and key file to show to backends that ask; rustls uses one pair.
    pub client_cert: Option<(String, String)>,
    /// The lowest version.
    pub min_version: TlsVersion,
    /// The highest version; `None` for the newest.
    pub max_version: Option<TlsVersion>,
    /// Numbers of the cipher suites to allow (IANA); empty for all. Numbers that rustls does not have
    /// are passed over.
    pub cipher_suites: Vec<u16>,
    /// Numbers of the groups to allow, in order of preference (IANA); empty for all.
    pub groups: Vec<u16>,
    /// SHA-256 of public keys (SubjectPublicKeyInfo), of which the server's certificate or one that vouches for it
    /// must have one; empty for no such demand. Asked for beside all other checks, and with `insecure` in their place.
    pub pins: Vec<[u8; 32]>,
}

/// The numbers among these that are no cipher suite of the gateway's: they cannot be had.
pub fn unknown_suites(cipher_suites: &[u16]) -> Vec<u16> {
    install_default_crypto_provider();
    let all = CryptoProvider::get_default().map_or(&[][..], |all| &all.cipher_suites);
    let known = |number: &u16| all.iter().any(|suite| u16::from(suite.suite()) == *number);
    let unknown = cipher_suites.iter().filter(|number| !known(number));
    unknown.copied().collect()
}

/// A TLS configuration in use.
#[derive(Clone)]
pub struct Tls {
    setup: u64,
    connector: TlsConnector,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.setup).finish()
    }
}

impl Tls {
    /// Reads the files and makes the configuration; `http2` offers it by ALPN. Blocks on files: for
    /// start and reload, not for requests. The error names the file or setting.
    pub fn new(options: &TlsOptions, http2: bool) -> Result<Self, String> {
        let mut config = config(options)?;
        config.alpn_protocols = if http2 {
            vec![b"h2".to_vec(), b"http/1.1".to_vec()]
        } else {
            vec![b"http/1.1".to_vec()]
        };
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self {
            setup: next_setup(),
            connector,
        })
    }

    /// The number that tells this set-up from all others in the process.
    pub fn setup(&self) -> u64 {
        self.setup
    }

    /// Shakes hands on a connected socket. No deadline of its own.
    pub async fn connect(&self, tcp: TcpStream, name: &str) -> Result<Stream, NetError> {
        match handshake(&self.connector, name, Plain::from(tcp)).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(NetError::new(Reason::TlsFailed, explain(&error))),
        }
    }
}

/// The innermost cause, in Go's words where a user would search for them.
fn explain(error: &pingora::Error) -> String {
    let mut text = error.root_cause().to_string();
    if let Some(at) = text.find("invalid peer certificate: ") {
        text = text.split_off(at + "invalid peer certificate: ".len());
        let text = if text.starts_with("UnknownIssuer") {
            "x509: certificate signed by unknown authority"
        } else {
            text.as_str()
        };
        return format!("tls: failed to verify certificate: {text}");
    }
    if text.starts_with("received fatal alert: ") {
        return text.replacen("received fatal alert", "remote error: tls", 1);
    }
    format!("tls: {text}")
}

fn config(options: &TlsOptions) -> Result<ClientConfig, String> {
    let provider = provider(options)?;
    let highest = options.max_version.unwrap_or(TlsVersion::Tls13);
    let versions: Vec<_> = [
        (TlsVersion::Tls12, &version::TLS12),
        (TlsVersion::Tls13, &version::TLS13),
    ]
    .into_iter()
    .filter(|(version, _)| (options.min_version..=highest).contains(version))
    .map(|(_, version)| version)
    .collect();
    if versions.is_empty() {
        return Err("client_tls: min_version is above max_version".to_owned());
    }
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|error| format!("client_tls: {error}"))?;
    let builder = if !options.pins.is_empty() {
        let trusted = (!options.insecure).then(|| roots(options)).transpose()?;
        let pinned = Pinned::new(trusted, &options.pins, &provider);
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned?))
    } else if options.insecure {
        let schemes = provider
            .signature_verification_algorithms
            .supported_schemes();
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(schemes)))
    } else {
        builder.with_root_certificates(roots(options)?)
    };
    match &options.client_cert {
        None => Ok(builder.with_no_client_auth()),
        Some((cert, key)) => {
            let (chain, key) = key_pair(cert, key)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("client_tls: {cert}: {error}"))
        }
    }
}

fn key_pair(
    cert: &str,
    key: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let fail = |what: &str| format!("client_tls: {cert}, {key}: {what}");
    load_certs_and_key_files(cert, key)
        .map_err(|error| fail(&error.to_string()))?
        .ok_or_else(|| fail("no certificate or no key in it"))
}

/// The process's cryptography with the suites and groups that the options allow.
fn provider(options: &TlsOptions) -> Result<Arc<CryptoProvider>, String> {
    provider_of("client_tls", &options.cipher_suites, &options.groups)
}

/// The process's cryptography with these suites and groups (IANA numbers; empty for all). The error begins
/// with the name of the section.
pub(super) fn provider_of(
    section: &str,
    cipher_suites: &[u16],
    groups: &[u16],
) -> Result<Arc<CryptoProvider>, String> {
    install_default_crypto_provider();
    let default = CryptoProvider::get_default()
        .ok_or_else(|| format!("{section}: no cryptography installed"))?;
    if cipher_suites.is_empty() && groups.is_empty() {
        return Ok(Arc::clone(default));
    }
    let mut provider = CryptoProvider::clone(default);
    if !cipher_suites.is_empty() {
        // The suites of TLS 1.3 are not up for choice, as in Go.
        provider.cipher_suites.retain(|suite| {
            suite.tls13().is_some() || cipher_suites.contains(&u16::from(suite.suite()))
        });
    }
    if !groups.is_empty() {
        let all = std::mem::take(&mut provider.kx_groups);
        let named = |number: &u16| all.iter().find(|group| u16::from(group.name()) == *number);
        provider.kx_groups = groups.iter().filter_map(named).copied().collect();
    }
    if provider.cipher_suites.is_empty() || provider.kx_groups.is_empty() {
        return Err(format!("{section}: no cipher suite or no curve left"));
    }
    Ok(Arc::new(provider))
}

/// System roots that cannot be read are passed over one by one: a single odd file must not make every
/// backend unreachable.
fn roots(options: &TlsOptions) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    if !options.disable_system_ca_pool {
        store.add_parsable_certificates(load_native_certs().unwrap_or_default());
    }
    for file in &options.ca_certs {
        load_ca_file_into_store(file, &mut store)
            .map_err(|error| format!("client_tls: {file}: {error}"))?;
    }
    Ok(store)
}

/// Believes every certificate: `allow_insecure_connections`. Whoever sits in between can read along
/// anyway, so signatures are not checked either.
#[derive(Debug)]
struct AnyCertificate(Vec<SignatureScheme>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, RusTlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RusTlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RusTlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_files_and_impossible_versions_are_errors() {
        let missing = "/nonexistent.pem".to_owned();
        let options = TlsOptions {
            ca_certs: vec![missing.clone()],
            ..TlsOptions::default()
        };
        assert!(
            Tls::new(&options, false)
                .unwrap_err()
                .contains("/nonexistent.pem")
        );
        let client_cert = Some((missing.clone(), missing));
        assert!(
            Tls::new(
                &TlsOptions {
                    client_cert,
                    ..TlsOptions::default()
                },
                false
            )
            .is_err()
        );
        let options = TlsOptions {
            min_version: TlsVersion::Tls13,
            max_version: Some(TlsVersion::Tls12),
            ..TlsOptions::default()
        };
        assert!(Tls::new(&options, false).is_err());
    }

    #[test]
    fn each_set_up_has_its_own_number() {
        let a = Tls::new(&TlsOptions::default(), true).unwrap();
        let b = Tls::new(&TlsOptions::default(), true).unwrap();
        assert_ne!(a.setup(), b.setup());
    }
}
