//! Servers known by their public keys (`jwk_fingerprints`): the certificate shown, or one that vouches for it, must
//! have a key whose SHA-256 was written down.
//!
//! Stricter than KrakenD, where any certificate that a server sends along may match, whether it has to do with the
//! server's or not: here a pinned certificate beside the server's own must have signed it, over others or itself. And
//! with all other checks off the server must at least prove that it has the private key.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use pingora::tls::{
    CertificateDer, CertificateError, CryptoProvider, DigitallySignedStruct,
    HandshakeSignatureValid, RootCertStore, RusTlsError, ServerCertVerified, ServerCertVerifier,
    ServerName, SignatureScheme, UnixTime, WebPkiServerVerifier,
};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Looks at keys, beside the usual checks or in their place.
pub(super) struct Pinned {
    /// The usual checks; without them names and dates of the server's own certificate do not count.
    trust: Option<Arc<WebPkiServerVerifier>>,
    pins: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned").finish_non_exhaustive()
    }
}

impl Pinned {
    /// Checks with these roots (`None`: without any) and these keys.
    pub(super) fn new(
        roots: Option<RootCertStore>,
        pins: &[[u8; 32]],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let usual = |roots| {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build()
                .map_err(|error| format!("client_tls: {error}"))
        };
        Ok(Self {
            trust: roots.map(usual).transpose()?,
            pins: pins.to_vec(),
            provider: Arc::clone(provider),
        })
    }

    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return false;
        };
        let sum = digest(&SHA256, certificate.public_key().raw);
        self.pins.iter().any(|pin| sum.as_ref() == pin)
    }

    /// Whether a certificate vouches for the server's, directly or over some of those between them.
    fn vouches(
        &self,
        authority: &CertificateDer<'_>,
        server: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> bool {
        let (Ok(anchor), Ok(server)) = (
            anchor_from_trusted_cert(authority),
            EndEntityCert::try_from(server),
        ) else {
            return false;
        };
        let algorithms = self.provider.signature_verification_algorithms.all;
        let usage = KeyUsage::server_auth();
        server
            .verify_for_usage(algorithms, &[anchor], between, now, usage, None, None)
            .is_ok()
    }

    /// Whether the server has the key of its certificate.
    fn signed(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
        first_only: bool,
    ) -> Result<HandshakeSignatureValid, RusTlsError> {
        let bad = || RusTlsError::InvalidCertificate(CertificateError::BadSignature);
        let certificate = EndEntityCert::try_from(certificate).map_err(|_| bad())?;
        let all = self.provider.signature_verification_algorithms.mapping;
        let named = all.iter().find(|(scheme, _)| *scheme == signature.scheme);
        let mut ways = named.map_or(&[][..], |(_, ways)| *ways).iter();
        // TLS 1.3 means one curve by a scheme; TLS 1.2 leaves it open.
        let ways: Vec<_> = match first_only {
            true => ways.next().into_iter().collect(),
            false => ways.collect(),
        };
        let fits = ways.into_iter().any(|way| {
            let checked = certificate.verify_signature(*way, message, signature.signature());
            checked.is_ok()
        });
        if fits {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(bad())
        }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        status: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RusTlsError> {
        if let Some(trust) = &self.trust {
            trust.verify_server_cert(server, chain, name, status, now)?;
        }
        let pinned = self.is_pinned(server)
            || chain.iter().any(|authority| {
                self.is_pinned(authority) && self.vouches(authority, server, chain, now)
            });
        if pinned {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(RusTlsError::General(
                "the server's key is not one of those that are pinned".to_owned(),
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RusTlsError> {
        match &self.trust {
            Some(trust) => trust.verify_tls12_signature(message, certificate, signature),
            None => self.signed(message, certificate, signature, false),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RusTlsError> {
        if let Some(trust) = &self.trust {
            return trust.verify_tls13_signature(message, certificate, signature);
        }
        let old = [
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::RSA_PKCS1_SHA512,
        ];
        if old.contains(&signature.scheme) {
            let text = "a signature that TLS 1.3 does not have";
            return Err(RusTlsError::General(text.to_owned()));
        }
        self.signed(message, certificate, signature, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tls::provider_of;
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use std::time::Duration;

    struct Made {
        der: CertificateDer<'static>,
        pin: [u8; 32],
        issuer: Issuer<'static, KeyPair>,
    }

    fn made(name: &str, above: Option<&Made>, is_ca: bool) -> Made {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let certificate = match above {
            Some(above) => params.signed_by(&key, &above.issuer).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        let der = certificate.der().clone();
        let (_, parsed) = X509Certificate::from_der(&der).unwrap();
        let pin = digest(&SHA256, parsed.public_key().raw)
            .as_ref()
            .try_into()
            .unwrap();
        Made {
            der,
            pin,
            issuer: Issuer::new(params, key),
        }
    }

    fn taken(
        roots: Option<&Made>,
        pin: [u8; 32],
        server: &Made,
        chain: &[&Made],
        name: &str,
    ) -> bool {
        let store = roots.map(|root| {
            let mut store = RootCertStore::empty();
            store.add(root.der.clone()).unwrap();
            store
        });
        let provider = provider_of("test", &[], &[]).unwrap();
        let pinned = Pinned::new(store, &[[0; 32], pin], &provider).unwrap();
        let chain: Vec<_> = chain.iter().map(|made| made.der.clone()).collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        pinned
            .verify_server_cert(&server.der, &chain, &name, &[], now)
            .is_ok()
    }

    #[test]
    fn a_pinned_key_is_the_servers_or_one_that_vouches_for_it() {
        let root = made("root.example", None, true);
        let middle = made("middle.example", Some(&root), true);
        let server = made("a.example", Some(&middle), false);
        let other = made("other.example", None, true);
        for trust in [Some(&root), None] {
            let taken = |pin, chain: &[&Made]| taken(trust, pin, &server, chain, "a.example");
            assert!(taken(server.pin, &[&middle]));
            assert!(taken(middle.pin, &[&middle]));
            assert!(taken(root.pin, &[&middle, &root]));
            assert!(!taken(other.pin, &[&middle, &root]));
            // Sent along, but it has nothing to do with the server's.
            assert!(!taken(other.pin, &[&middle, &root, &other]));
        }
    }

    #[test]
    fn a_pin_replaces_no_other_check() {
        let (root, other) = (
            made("root.example", None, true),
            made("other.example", None, true),
        );
        let server = made("a.example", Some(&root), false);
        assert!(taken(Some(&root), server.pin, &server, &[], "a.example"));
        assert!(!taken(Some(&root), server.pin, &server, &[], "b.example"));
        assert!(!taken(Some(&other), server.pin, &server, &[], "a.example"));
        assert!(taken(None, server.pin, &server, &[], "b.example"));
    }
}
