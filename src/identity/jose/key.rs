//! A key that signatures are checked with, made ready when it is read.
//!
//! Differs from KrakenD in the native dialect: `use`, `key_ops` and `alg` of the key hold, RSA keys have 2048 bits
//! and more, secrets are as long as the digest, moduli of a known faulty generator are refused.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::ParsedPublicKey;

use super::algorithm::{Algorithm, Algorithms};
use super::public::{Material, text};
use super::set::KeyIds;
use super::x5::{self, Thumbprints};
use crate::base::Dialect;
use crate::body::{Object, Value, json};

/// A key, with everything prepared for each algorithm that it may be used with. Each algorithm has its own entry,
/// made from the kind of key that it is for, so that none can be tried on the bytes of another kind.
pub struct Key {
    kid: Box<str>,
    thumbprints: Thumbprints,
    ways: Box<[(Algorithm, Way)]>,
    fingerprint: Fingerprint,
}

/// SHA-256 of the members of a key.
pub(super) type Fingerprint = [u8; 32];

/// The fingerprint of a key as it is written, whatever the order of its members.
pub(super) fn fingerprint(jwk: &Object) -> Fingerprint {
    let mut text = Vec::with_capacity(512);
    json::encode_object(jwk, &mut text);
    let sum = digest(&SHA256, &text);
    // SHA-256 always has 32 bytes.
    sum.as_ref().try_into().unwrap_or_default()
}

enum Way {
    Public(ParsedPublicKey),
    Secret(Box<hmac::Key>),
}

/// Shows names, no material.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms = self.algorithms().collect::<Vec<_>>();
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithms", &algorithms)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// Reads one JSON Web Key (RFC 7517). Of a private key the public half counts.
    ///
    /// # Errors
    /// A word about what makes it unusable: `kty`, `crv`, `member`, `encoding`, `coordinates`, `size`, `exponent`,
    /// `roca`, `point`, `use`, `key_ops`, `alg`, `kid`, `x5t`, `x5c`.
    pub fn from_jwk(jwk: &Object, dialect: Dialect) -> Result<Self, &'static str> {
        let material = Material::read(jwk, dialect)?;
        let mut algorithms = material.algorithms(dialect);
        if algorithms.is_empty() {
            return Err("size");
        }
        if dialect == Dialect::Native {
            algorithms = allowed(jwk, algorithms)?;
        }
        let ways: Box<[_]> = Algorithm::ALL
            .into_iter()
            .filter(|algorithm| algorithms.contains(*algorithm))
            .filter_map(|algorithm| Some((algorithm, way(&material, algorithm)?)))
            .collect();
        if ways.is_empty() {
            return Err("point");
        }
        Ok(Self {
            kid: x5::kid(jwk).ok_or("kid")?,
            thumbprints: Thumbprints::read(jwk, &material, dialect)?,
            ways,
            fingerprint: fingerprint(jwk),
        })
    }

    /// The key's own name (`kid`); empty when it has none.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// What the key is found by.
    pub(super) fn id(&self, ids: KeyIds) -> Cow<'_, str> {
        match ids {
            KeyIds::Kid => Cow::Borrowed(&self.kid),
            KeyIds::X5t => Cow::Borrowed(&self.thumbprints.sha1),
            KeyIds::X5tS256 => Cow::Borrowed(&self.thumbprints.sha256),
            KeyIds::KidX5t => Cow::Owned(format!("{}{}", self.kid, self.thumbprints.sha1)),
        }
    }

    /// The algorithms that it may be used with.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.ways.iter().map(|(algorithm, _)| *algorithm)
    }

    /// Whether it may be used with an algorithm.
    pub fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithms().any(|known| known == algorithm)
    }

    /// Whether it made this signature over this text with this algorithm. MACs are compared in constant time.
    pub fn verify(&self, algorithm: Algorithm, signing_input: &[u8], signature: &[u8]) -> bool {
        let way = self.ways.iter().find(|(known, _)| *known == algorithm);
        match way {
            Some((_, Way::Public(key))) => key.verify_sig(signing_input, signature).is_ok(),
            Some((_, Way::Secret(key))) => hmac::verify(key, signing_input, signature).is_ok(),
            None => false,
        }
    }
}

/// Whether a key made a signature over a text with an algorithm; never, when the key is not for it.
pub fn verify(algorithm: Algorithm, key: &Key, signing_input: &[u8], signature: &[u8]) -> bool {
    key.verify(algorithm, signing_input, signature)
}

fn way(material: &Material, algorithm: Algorithm) -> Option<Way> {
    let Material::Oct(secret) = material else {
        return material.prepare(algorithm).map(Way::Public);
    };
    let mac = hmac_of(algorithm)?;
    Some(Way::Secret(Box::new(hmac::Key::new(mac, secret))))
}

/// The MAC of an algorithm with a shared secret.
pub(super) const fn hmac_of(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::Hs256 => Some(hmac::HMAC_SHA256),
        Algorithm::Hs384 => Some(hmac::HMAC_SHA384),
        Algorithm::Hs512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

/// What is left of the algorithms when the key's own word about its use counts.
fn allowed(jwk: &Object, algorithms: Algorithms) -> Result<Algorithms, &'static str> {
    if jwk.get("use").is_some() && text(jwk, "use") != Some("sig") {
        return Err("use");
    }
    match jwk.get("key_ops") {
        None => {}
        Some(Value::Array(all)) if all.iter().any(|one| one.as_str() == Some("verify")) => {}
        Some(_) => return Err("key_ops"),
    }
    if jwk.get("alg").is_none() {
        return Ok(algorithms);
    }
    let only = text(jwk, "alg").and_then(named).ok_or("alg")?;
    let left = algorithms.retain(|algorithm| algorithm == only);
    match left.is_empty() {
        true if only.is_symmetric() && !algorithms.retain(Algorithm::is_symmetric).is_empty() => {
            Err("size")
        }
        true => Err("alg"),
        false => Ok(left),
    }
}

/// What a key calls its algorithm; some call that of P-521 by the size of the curve.
fn named(word: &str) -> Option<Algorithm> {
    match word {
        "ES521" => Some(Algorithm::Es512),
        word => Algorithm::of(word),
    }
}
