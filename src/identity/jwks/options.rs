//! What the settings of a source come down to, checked before anything is asked.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};

use crate::base::Dialect;
use crate::gateway::kept::Kept;
use crate::net::tls::unknown_suites;
use crate::net::{Client, Resolver, TlsOptions, TlsVersion};
use crate::telemetry::metrics::Metrics;

/// The process around a source.
#[derive(Clone, Copy, Debug)]
pub struct SourceEnv<'a> {
    /// Sources that other configurations made.
    pub kept: &'a Kept,
    /// The client of the service; of its TLS options the client certificate, the authorities and the versions count
    /// for sources too.
    pub client: &'a Arc<Client>,
    /// Names of hosts.
    pub resolver: &'a Resolver,
    /// Where fetches are counted.
    pub metrics: &'a Metrics,
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct SourceError {
    /// The setting (`jwk_url`, `jwk_local_ca` …).
    pub setting: &'static str,
    /// What is wrong; holds nothing secret.
    pub text: String,
}

impl SourceError {
    pub(super) fn new(setting: &'static str, text: impl Into<String>) -> Self {
        Self {
            setting,
            text: text.into(),
        }
    }
}

/// A source that is fetched, in the words of `auth/validator`.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// `jwk_url`.
    pub url: String,
    /// Which keys and answers are good enough.
    pub dialect: Dialect,
    /// `cache_duration`: how long keys count; 10 seconds at least.
    pub cache_duration: Duration,
    /// `failed_jwk_key_cooldown`: how long nobody asks again for a key that was not there.
    pub failed_key_cooldown: Option<Duration>,
    /// `disable_jwk_security`: `http://` is fine, and so is any certificate.
    pub disable_security: bool,
    /// `jwk_local_ca`: a PEM file with further authorities.
    pub local_ca: Option<String>,
    /// `jwk_fingerprints`: base64url of the SHA-256 of public keys.
    pub fingerprints: Vec<String>,
    /// `cipher_suites`: those of TLS 1.2, by their IANA numbers; empty for all that rustls has.
    pub cipher_suites: Vec<u16>,
}

impl SourceOptions {
    /// `cache_duration` of `auth/validator`, unless the file says otherwise.
    pub const CACHE_OF_VALIDATOR: Duration = Duration::from_secs(900);
    /// The same of `hanzo/auth`.
    pub const CACHE_OF_HANZO: Duration = Duration::from_secs(3600);

    /// A source with the defaults of `auth/validator`.
    pub fn new(url: impl Into<String>, dialect: Dialect) -> Self {
        Self {
            url: url.into(),
            dialect,
            cache_duration: Self::CACHE_OF_VALIDATOR,
            failed_key_cooldown: None,
            disable_security: false,
            local_ca: None,
            fingerprints: Vec::new(),
            cipher_suites: Vec::new(),
        }
    }

    /// The cipher suites among those asked for that cannot be had; they are passed over.
    pub fn unknown_cipher_suites(&self) -> Vec<u16> {
        unknown_suites(&self.cipher_suites)
    }

    /// All that the source depends on, as a name. Files count by what is in them.
    pub(super) fn name(&self, service: &TlsOptions) -> Result<String, SourceError> {
        let mut sum = Context::new(&SHA256);
        sum.update(format!("{self:?} {service:?}").as_bytes());
        if let Some(path) = &self.local_ca {
            let fail = |error| SourceError::new("jwk_local_ca", format!("{path}: {error}"));
            sum.update(&std::fs::read(path).map_err(fail)?);
        }
        let shown = service
            .client_cert
            .iter()
            .flat_map(|(cert, key)| [cert, key]);
        for path in shown.chain(&service.ca_certs) {
            // What cannot be read is found out, and told, when it is used.
            sum.update(&std::fs::read(path).unwrap_or_default());
        }
        let mut name = "jwks ".to_owned();
        for byte in sum.finish().as_ref() {
            // Writing into a string does not fail.
            let _ = write!(name, "{byte:02x}");
        }
        Ok(name)
    }

    /// The TLS options: the service's as far as they say who we are and whom to believe, and the source's own.
    pub(super) fn tls(&self, service: &TlsOptions) -> Result<TlsOptions, SourceError> {
        let own = self.local_ca.iter();
        let options = TlsOptions {
            insecure: self.disable_security,
            ca_certs: service.ca_certs.iter().chain(own).cloned().collect(),
            cipher_suites: self.cipher_suites.clone(),
            pins: self.pins()?,
            ..service.clone()
        };
        Ok(match self.dialect {
            Dialect::Native => options,
            // In KrakenD the service's section says nothing about the versions of this client.
            Dialect::Krakend => TlsOptions {
                min_version: TlsVersion::Tls12,
                max_version: None,
                groups: Vec::new(),
                ..options
            },
        })
    }

    fn pins(&self) -> Result<Vec<[u8; 32]>, SourceError> {
        let pin = |text: &String| {
            let bytes = URL_SAFE
                .decode(text)
                .or_else(|_| URL_SAFE_NO_PAD.decode(text));
            let pin = bytes.ok().and_then(|bytes| bytes.try_into().ok());
            pin.ok_or_else(|| {
                let text = "a fingerprint is the base64url of a SHA-256 sum (32 bytes)";
                SourceError::new("jwk_fingerprints", text)
            })
        };
        self.fingerprints.iter().map(pin).collect()
    }
}
