//! Making signatures (`auth/signer`): a private key (RFC 7517) and its algorithm, made ready once.
//!
//! Differs from KrakenD: the parts of an RSA key that speed signing up must be there (`dp`, `dq`, `qi`; RFC 7518
//! section 6.3.2 wants all or none), and its modulus has at least 2048 bits in both dialects.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaKeyPair, RsaSignatureEncoding,
};
use aws_lc_rs::{hmac, signature};

use super::algorithm::Algorithm;
use super::encoding;
use super::key::hmac_of;
use super::public::{Curve, Material, bytes, text};
use super::set::{self, SetError};
use crate::base::Dialect;
use crate::body::{Object, Value, json};

/// Why there is no signature. The texts hold nothing of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The set of keys cannot be read.
    #[error("{0}")]
    Set(#[from] SetError),
    /// No key of this name.
    #[error("no key \"{0}\" in the key set")]
    NoKey(String),
    /// The key cannot sign with the algorithm; the word says what is wrong with it.
    #[error("the key cannot sign with {0}: {1}")]
    Key(Algorithm, &'static str),
    /// Signing failed.
    #[error("signing failed")]
    Failed,
}

enum Secret {
    Rsa(Box<RsaKeyPair>, &'static RsaSignatureEncoding),
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Oct(Box<hmac::Key>),
}

/// A private key with its algorithm.
pub struct Signer {
    algorithm: Algorithm,
    secret: Secret,
    random: SystemRandom,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("alg", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Makes a private key ready.
    ///
    /// # Errors
    /// [`SignError::Key`] when it is no private key for the algorithm.
    pub fn new(algorithm: Algorithm, jwk: &Object, dialect: Dialect) -> Result<Self, SignError> {
        let fail = |why| SignError::Key(algorithm, why);
        let material = Material::read(jwk, dialect).map_err(fail)?;
        if !material.algorithms(dialect).contains(algorithm) {
            return Err(fail(match material {
                Material::Oct(_) if algorithm.is_symmetric() => "size",
                _ => "kty",
            }));
        }
        if dialect == Dialect::Native {
            allowed(jwk, algorithm).map_err(fail)?;
        }
        Ok(Self {
            algorithm,
            secret: secret(algorithm, jwk, material, dialect).map_err(fail)?,
            random: SystemRandom::new(),
        })
    }

    /// Makes the key of a set (or the single key that a text is) ready that has this name.
    ///
    /// # Errors
    /// When the set cannot be read, has no such key, or the key cannot sign.
    pub fn from_set(
        algorithm: Algorithm,
        set: &[u8],
        kid: &str,
        dialect: Dialect,
    ) -> Result<Self, SignError> {
        match set::named(set, kid)? {
            Some(jwk) => Self::new(algorithm, &jwk, dialect),
            None => Err(SignError::NoKey(kid.to_owned())),
        }
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A token in compact form. The header's `alg` is the signer's, whatever was given.
    ///
    /// # Errors
    /// [`SignError::Failed`].
    pub fn sign_compact(&self, header: &Object, payload: &[u8]) -> Result<String, SignError> {
        let mut token = self.signing_input(header, payload);
        let signature = self.sign(token.as_bytes())?;
        token.push('.');
        encoding::push(&signature, &mut token);
        Ok(token)
    }

    /// A token as flattened JSON (RFC 7515 section 7.2.2), as KrakenD's `full` writes it.
    ///
    /// # Errors
    /// [`SignError::Failed`].
    pub fn sign_json(&self, header: &Object, payload: &[u8]) -> Result<String, SignError> {
        let signing_input = self.signing_input(header, payload);
        let signature = encoding::encode(&self.sign(signing_input.as_bytes())?);
        let (protected, payload) = signing_input.split_once('.').unwrap_or_default();
        Ok(format!(
            r#"{{"payload":"{payload}","protected":"{protected}","signature":"{signature}"}}"#
        ))
    }

    /// The signature of a text.
    ///
    /// # Errors
    /// [`SignError::Failed`].
    pub fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.secret {
            Secret::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &self.random, text, &mut signature)
                    .map_err(|_| SignError::Failed)?;
                Ok(signature)
            }
            Secret::Ec(pair) => match pair.sign(&self.random, text) {
                Ok(signature) => Ok(signature.as_ref().to_vec()),
                Err(_) => Err(SignError::Failed),
            },
            Secret::Ed25519(pair) => match pair.try_sign(text) {
                Ok(signature) => Ok(signature.as_ref().to_vec()),
                Err(_) => Err(SignError::Failed),
            },
            Secret::Oct(key) => Ok(hmac::sign(key, text).as_ref().to_vec()),
        }
    }

    fn signing_input(&self, header: &Object, payload: &[u8]) -> String {
        let mut header = header.clone();
        header.insert("alg", Value::string(self.algorithm.word()));
        let mut encoded = Vec::with_capacity(128);
        json::encode_object(&header, &mut encoded);
        let mut out = encoding::encode(&encoded);
        out.push('.');
        encoding::push(payload, &mut out);
        out
    }
}

/// Whether the key's own word about its use lets it sign.
fn allowed(jwk: &Object, algorithm: Algorithm) -> Result<(), &'static str> {
    if jwk.get("use").is_some() && text(jwk, "use") != Some("sig") {
        return Err("use");
    }
    match jwk.get("key_ops") {
        None => {}
        Some(Value::Array(all)) if all.iter().any(|one| one.as_str() == Some("sign")) => {}
        Some(_) => return Err("key_ops"),
    }
    match jwk.get("alg") {
        Some(alg) if alg.as_str() != Some(algorithm.word()) => Err("alg"),
        _ => Ok(()),
    }
}

fn secret(
    algorithm: Algorithm,
    jwk: &Object,
    material: Material,
    dialect: Dialect,
) -> Result<Secret, &'static str> {
    match material {
        Material::Rsa { n, e } => {
            if jwk.get("oth").is_some() {
                return Err("oth");
            }
            let part = |name: &str| bytes(jwk, name, dialect);
            let components = KeyPairComponents {
                public_key: PublicKeyComponents { n, e },
                d: part("d")?,
                p: part("p")?,
                q: part("q")?,
                dP: part("dp")?,
                dQ: part("dq")?,
                qInv: part("qi")?,
            };
            let pair = RsaKeyPair::from_components(&components).map_err(|_| "components")?;
            let encoding = rsa_encoding(algorithm).ok_or("kty")?;
            Ok(Secret::Rsa(Box::new(pair), encoding))
        }
        Material::Ec { curve, point } => {
            let d = bytes(jwk, "d", dialect)?;
            if d.len() != curve.size() {
                return Err("d");
            }
            EcdsaKeyPair::from_private_key_and_public_key(ecdsa(curve), &d, &point)
                .map(Secret::Ec)
                .map_err(|_| "components")
        }
        Material::Ed25519(point) => {
            let d = bytes(jwk, "d", dialect)?;
            Ed25519KeyPair::from_seed_and_public_key(&d, &point)
                .map(Secret::Ed25519)
                .map_err(|_| "components")
        }
        Material::Oct(secret) => {
            let digest = hmac_of(algorithm).ok_or("kty")?;
            Ok(Secret::Oct(Box::new(hmac::Key::new(digest, &secret))))
        }
    }
}

const fn ecdsa(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        Curve::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
    }
}

/// Padding and digest; with PSS the salt is as long as the digest, as RFC 7518 section 3.5 wants it.
const fn rsa_encoding(algorithm: Algorithm) -> Option<&'static signature::RsaSignatureEncoding> {
    Some(match algorithm {
        Algorithm::Rs256 => &RSA_PKCS1_SHA256,
        Algorithm::Rs384 => &RSA_PKCS1_SHA384,
        Algorithm::Rs512 => &RSA_PKCS1_SHA512,
        Algorithm::Ps256 => &RSA_PSS_SHA256,
        Algorithm::Ps384 => &RSA_PSS_SHA384,
        Algorithm::Ps512 => &RSA_PSS_SHA512,
        _ => return None,
    })
}
