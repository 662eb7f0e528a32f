//! The thirteen signature algorithms of RFC 7518 and RFC 8037, by the names that `alg` has in tokens, in keys
//! and in the configuration. There is no `none` and no way to make one: what is no member of the enumeration
//! is refused where it is read.

use std::fmt;

/// A digital signature or MAC algorithm (`alg`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// Ed25519.
    EdDsa,
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

/// The kind of key (`kty`) that an algorithm works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Rsa,
    Ec,
    Okp,
    Oct,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 13] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
    ];

    /// The name as it is written in tokens, keys and configuration; case counts.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    /// The algorithm of a name; `None` for every other text, `none` in all spellings included.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.word() == word)
    }

    /// Whether the key is a shared secret: who can verify can sign as well.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    pub(super) const fn family(self) -> Family {
        match self {
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => {
                Family::Rsa
            }
            Self::Es256 | Self::Es384 | Self::Es512 => Family::Ec,
            Self::EdDsa => Family::Okp,
            Self::Hs256 | Self::Hs384 | Self::Hs512 => Family::Oct,
        }
    }

    /// Bytes of the digest; RFC 7518 section 3.2 wants HMAC keys of at least as many.
    pub(super) const fn digest_length(self) -> usize {
        match self {
            Self::Rs256 | Self::Ps256 | Self::Es256 | Self::Hs256 => 32,
            Self::Rs384 | Self::Ps384 | Self::Es384 | Self::Hs384 => 48,
            Self::Rs512 | Self::Ps512 | Self::Es512 | Self::Hs512 | Self::EdDsa => 64,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Some of the algorithms: what a key may be used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Algorithms(u16);

impl Algorithms {
    pub(super) fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & (1 << algorithm as u16) != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn retain(self, keep: impl Fn(Algorithm) -> bool) -> Self {
        Algorithm::ALL
            .into_iter()
            .filter(|algorithm| self.contains(*algorithm) && keep(*algorithm))
            .collect()
    }

    pub(super) fn of_family(family: Family) -> Self {
        Algorithm::ALL
            .into_iter()
            .filter(|algorithm| algorithm.family() == family)
            .collect()
    }
}

impl FromIterator<Algorithm> for Algorithms {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        let bits = algorithms
            .into_iter()
            .fold(0, |bits, algorithm| bits | 1 << algorithm as u16);
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_found_by_its_name_only() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::of(algorithm.word()), Some(algorithm));
        }
        for odd in [
            "", "none", "None", "NONE", "nOnE", "rs256", "RS256 ", " RS256", "RS256\0", "ES521",
            "ES256K", "HS1", "RS1", "Ed25519", "EDDSA", "dir", "A128KW",
        ] {
            assert_eq!(Algorithm::of(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn a_selection_holds_what_was_put_in() {
        let hmac = Algorithms::of_family(Family::Oct);
        assert!(
            Algorithm::ALL
                .into_iter()
                .all(|a| hmac.contains(a) == a.is_symmetric())
        );
        let short = hmac.retain(|a| a.digest_length() <= 48);
        assert!(short.contains(Algorithm::Hs384) && !short.contains(Algorithm::Hs512));
        assert!(short.retain(|_| false).is_empty());
    }
}
