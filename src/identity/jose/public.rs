//! The material of a JSON Web Key (RFC 7518 section 6, RFC 8037): what is in its members, checked for what any
//! algorithm needs of it.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    EcdsaVerificationAlgorithm, ParsedPublicKey, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
};

use super::algorithm::{Algorithm, Algorithms, Family};
use super::{encoding, roca};
use crate::base::Dialect;
use crate::body::Object;

/// Shortest modulus of the native dialect, in bits.
const MIN_RSA: usize = 2048;
/// Shortest modulus that AWS-LC checks signatures with.
const MIN_RSA_KRAKEND: usize = 1024;
/// Longest.
const MAX_RSA: usize = 8192;

/// A curve of RFC 7518 section 6.2.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    fn of(word: &str) -> Option<Self> {
        match word {
            "P-256" => Some(Self::P256),
            "P-384" => Some(Self::P384),
            "P-521" => Some(Self::P521),
            _ => None,
        }
    }

    /// Bytes of a coordinate.
    pub(super) const fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    pub(super) const fn algorithm(self) -> Algorithm {
        match self {
            Self::P256 => Algorithm::Es256,
            Self::P384 => Algorithm::Es384,
            Self::P521 => Algorithm::Es512,
        }
    }

    const fn verification(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED,
            Self::P384 => &ECDSA_P384_SHA384_FIXED,
            Self::P521 => &ECDSA_P521_SHA512_FIXED,
        }
    }
}

/// The public half of a key pair, or a shared secret. Has no `Debug`: it may be secret.
pub(super) enum Material {
    /// Modulus and exponent, big-endian without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// An uncompressed point.
    Ec { curve: Curve, point: Vec<u8> },
    /// A point of Ed25519.
    Ed25519(Vec<u8>),
    /// A secret.
    Oct(Vec<u8>),
}

impl Material {
    /// Reads the members that `kty` asks for. The error is a word about what is wrong.
    pub(super) fn read(jwk: &Object, dialect: Dialect) -> Result<Self, &'static str> {
        let member = |name: &str| bytes(jwk, name, dialect);
        match text(jwk, "kty") {
            Some("RSA") => {
                let (n, e) = (without_zeros(member("n")?), without_zeros(member("e")?));
                check_rsa(&n, &e, dialect)?;
                Ok(Self::Rsa { n, e })
            }
            Some("EC") => {
                let curve = text(jwk, "crv").and_then(Curve::of).ok_or("crv")?;
                let (x, y) = (member("x")?, member("y")?);
                if x.len() != curve.size() || y.len() != curve.size() {
                    return Err("coordinates");
                }
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                Ok(Self::Ec { curve, point })
            }
            Some("OKP") if text(jwk, "crv") == Some("Ed25519") => {
                let point = member("x")?;
                match point.len() {
                    32 => Ok(Self::Ed25519(point)),
                    _ => Err("coordinates"),
                }
            }
            Some("OKP") => Err("crv"),
            Some("oct") => {
                let secret = member("k")?;
                match secret.is_empty() {
                    false => Ok(Self::Oct(secret)),
                    true => Err("size"),
                }
            }
            _ => Err("kty"),
        }
    }

    /// What it may be used for as far as its kind and size go.
    pub(super) fn algorithms(&self, dialect: Dialect) -> Algorithms {
        let native = dialect == Dialect::Native;
        match self {
            Self::Rsa { .. } => Algorithms::of_family(Family::Rsa),
            Self::Ec { curve, .. } => [curve.algorithm()].into_iter().collect(),
            Self::Ed25519(_) => [Algorithm::EdDsa].into_iter().collect(),
            Self::Oct(secret) => Algorithms::of_family(Family::Oct)
                .retain(|algorithm| !native || secret.len() >= algorithm.digest_length()),
        }
    }

    /// The public key, ready for an algorithm; `None` where the two do not fit.
    pub(super) fn prepare(&self, algorithm: Algorithm) -> Option<ParsedPublicKey> {
        match self {
            Self::Rsa { n, e } => {
                let small = bits(n) < MIN_RSA;
                let components = PublicKeyComponents { n, e };
                let parameters = rsa_parameters(algorithm, small)?;
                components.to_parsed_public_key(parameters).ok()
            }
            Self::Ec { curve, point } if algorithm == curve.algorithm() => {
                ParsedPublicKey::new(curve.verification(), point).ok()
            }
            Self::Ed25519(point) if algorithm == Algorithm::EdDsa => {
                ParsedPublicKey::new(&ED25519, point).ok()
            }
            Self::Ec { .. } | Self::Ed25519(_) | Self::Oct(_) => None,
        }
    }
}

/// What a modulus and an exponent must be for a signature to mean anything.
fn check_rsa(n: &[u8], e: &[u8], dialect: Dialect) -> Result<(), &'static str> {
    let least = match dialect {
        Dialect::Native => MIN_RSA,
        Dialect::Krakend => MIN_RSA_KRAKEND,
    };
    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    if !(least..=MAX_RSA).contains(&bits(n)) {
        return Err("size");
    }
    if !is_odd(n) || !is_odd(e) || bits(e) > 33 || bits(e) < 2 {
        return Err("exponent");
    }
    if dialect == Dialect::Native && roca::is_weak(n) {
        return Err("roca");
    }
    Ok(())
}

/// The way to check; AWS-LC takes short moduli for RS256 and RS512 only.
const fn rsa_parameters(algorithm: Algorithm, small: bool) -> Option<&'static RsaParameters> {
    Some(match (algorithm, small) {
        (Algorithm::Rs256, false) => &RSA_PKCS1_2048_8192_SHA256,
        (Algorithm::Rs384, false) => &RSA_PKCS1_2048_8192_SHA384,
        (Algorithm::Rs512, false) => &RSA_PKCS1_2048_8192_SHA512,
        (Algorithm::Ps256, false) => &RSA_PSS_2048_8192_SHA256,
        (Algorithm::Ps384, false) => &RSA_PSS_2048_8192_SHA384,
        (Algorithm::Ps512, false) => &RSA_PSS_2048_8192_SHA512,
        (Algorithm::Rs256, true) => &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        (Algorithm::Rs512, true) => &RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        _ => return None,
    })
}

fn bits(number: &[u8]) -> usize {
    let first = number
        .first()
        .map_or(8, |byte| byte.leading_zeros() as usize);
    (number.len() * 8).saturating_sub(first)
}

fn without_zeros(number: Vec<u8>) -> Vec<u8> {
    // Some libraries write the sign of Java's BigInteger (RFC 7518 section 6.3.1.1 tells of them).
    match number.iter().position(|byte| *byte != 0) {
        Some(0) => number,
        Some(at) => number.get(at..).unwrap_or_default().to_vec(),
        None => Vec::new(),
    }
}

/// A member that is text.
pub(super) fn text<'a>(jwk: &'a Object, name: &str) -> Option<&'a str> {
    jwk.get(name)?.as_str()
}

/// A member that is bytes in base64url. The error is a word about what is wrong.
pub(super) fn bytes(jwk: &Object, name: &str, dialect: Dialect) -> Result<Vec<u8>, &'static str> {
    let text = text(jwk, name).ok_or("member")?;
    encoding::decode_in(text.as_bytes(), dialect).ok_or("encoding")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_counted_in_bits() {
        assert_eq!(bits(&[]), 0);
        assert_eq!(bits(&[1]), 1);
        assert_eq!(bits(&[3]), 2);
        assert_eq!(bits(&[1, 0, 1]), 17);
        assert_eq!(bits(&[0x80, 0]), 16);
    }

    #[test]
    fn leading_zeros_are_dropped() {
        assert_eq!(without_zeros(vec![0, 0, 1, 0]), [1, 0]);
        assert_eq!(without_zeros(vec![1, 0]), [1, 0]);
        assert!(without_zeros(vec![0, 0]).is_empty());
    }
}
