//! The certificate of a key (`x5c`, `x5t`, `x5t#S256`; RFC 7517 sections 4.7 to 4.9): its thumbprints, and whether
//! what is there agrees.

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::encoding;
use super::public::{Material, text};
use crate::base::Dialect;
use crate::body::{Object, Value};

/// Thumbprints in base64url; empty where there is none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Thumbprints {
    pub(super) sha1: Box<str>,
    pub(super) sha256: Box<str>,
}

impl Thumbprints {
    /// Those that the key states, else those of its certificate. The error is a word about what is wrong:
    /// thumbprints of another length, or of another certificate, or the certificate of another key.
    pub(super) fn read(
        jwk: &Object,
        material: &Material,
        dialect: Dialect,
    ) -> Result<Self, &'static str> {
        let certificate = certificate(jwk)?;
        if let Some(der) = &certificate
            && !is_of(der, material)
        {
            return Err("x5c");
        }
        let sum = |algorithm| {
            let der = certificate.as_deref()?;
            Some(digest::digest(algorithm, der).as_ref().to_vec())
        };
        let sha1 = agreed(
            stated(jwk, "x5t", 20, dialect)?,
            sum(&SHA1_FOR_LEGACY_USE_ONLY),
        );
        let sha256 = agreed(stated(jwk, "x5t#S256", 32, dialect)?, sum(&SHA256));
        Ok(Self {
            sha1: sha1.ok_or("x5t")?,
            sha256: sha256.ok_or("x5t")?,
        })
    }
}

/// The text of the one thumbprint; `None` when there are two.
fn agreed(stated: Option<Vec<u8>>, computed: Option<Vec<u8>>) -> Option<Box<str>> {
    match (stated, computed) {
        (Some(stated), Some(computed)) if stated != computed => None,
        (Some(sum), _) | (None, Some(sum)) => Some(encoding::encode(&sum).into()),
        (None, None) => Some(Box::default()),
    }
}

/// A thumbprint as written. RFC 7517 can be read as if hexadecimal digits were encoded; some do that.
fn stated(
    jwk: &Object,
    name: &str,
    length: usize,
    dialect: Dialect,
) -> Result<Option<Vec<u8>>, &'static str> {
    let Some(value) = jwk.get(name) else {
        return Ok(None);
    };
    let written = value.as_str().ok_or("x5t")?;
    if written.is_empty() {
        return Ok(None);
    }
    let sum = encoding::decode_in(written.as_bytes(), dialect).ok_or("x5t")?;
    let sum = match sum.len() == 2 * length {
        true => hexadecimal(&sum).ok_or("x5t")?,
        false => sum,
    };
    if sum.len() == length {
        Ok(Some(sum))
    } else {
        Err("x5t")
    }
}

fn hexadecimal(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    let (pairs, _) = digits.as_chunks::<2>();
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(value(*high)? * 16 + value(*low)?).ok())
        .collect()
}

/// The DER of the first certificate of `x5c`.
fn certificate(jwk: &Object) -> Result<Option<Vec<u8>>, &'static str> {
    let first = match jwk.get("x5c") {
        None => return Ok(None),
        Some(Value::Array(chain)) => chain.first(),
        Some(_) => return Err("x5c"),
    };
    let Some(first) = first else {
        return Ok(None);
    };
    let written = first.as_str().ok_or("x5c")?;
    STANDARD.decode(written).map(Some).map_err(|_| "x5c")
}

/// Whether a certificate is that of a key.
fn is_of(der: &[u8], material: &Material) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return false;
    };
    let public = certificate.public_key();
    let without_sign = |number: &[u8]| {
        let start = number.iter().position(|byte| *byte != 0);
        number
            .get(start.unwrap_or(number.len())..)
            .unwrap_or_default()
            .to_vec()
    };
    match (public.parsed(), material) {
        (Ok(PublicKey::RSA(key)), Material::Rsa { n, e }) => {
            without_sign(key.modulus) == *n && without_sign(key.exponent) == *e
        }
        (Ok(PublicKey::EC(key)), Material::Ec { point, .. }) => key.data() == point.as_slice(),
        (Ok(PublicKey::Unknown(key)), Material::Ed25519(point)) => key == point.as_slice(),
        _ => false,
    }
}

/// The kid of a key; `None` when it has one that is no text.
pub(super) fn kid(jwk: &Object) -> Option<Box<str>> {
    match jwk.get("kid") {
        None | Some(Value::Null) => Some(Box::default()),
        Some(_) => text(jwk, "kid").map(Box::from),
    }
}
