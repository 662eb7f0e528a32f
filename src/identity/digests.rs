//! Digests by which secrets are found again without being kept: plain ones, and ones keyed by this process, so that
//! neither how long a comparison takes nor a copy of the memory tells anything about what was hashed.

use aws_lc_rs::{digest, hmac, rand};
use std::sync::OnceLock;

/// 32 bytes that stand for a secret.
pub type Digest = [u8; 32];

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut out = Digest::default();
    let made = digest::digest(&digest::SHA256, bytes);
    out.copy_from_slice(made.as_ref());
    out
}

/// HMAC-SHA-256 over several parts under a key that this process made for itself. Each part counts with its length, so
/// that no two lists of parts are alike.
pub fn keyed(parts: &[&[u8]]) -> Digest {
    let mut context = hmac::Context::with_key(process_key());
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = Digest::default();
    out.copy_from_slice(context.sign().as_ref());
    out
}

fn process_key() -> &'static hmac::Key {
    static KEY: OnceLock<hmac::Key> = OnceLock::new();
    KEY.get_or_init(|| {
        let random = rand::SystemRandom::new();
        hmac::Key::generate(hmac::HMAC_SHA256, &random).unwrap_or_else(|_| {
            // Nothing is protected by this key alone: it only keeps comparisons from being measured.
            let bytes: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
                .take(32)
                .collect();
            hmac::Key::new(hmac::HMAC_SHA256, &bytes)
        })
    })
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    let pairs = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    pairs.collect()
}

/// The bytes of hexadecimal digits in either case; `None` for anything else.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
            _ => None,
        })
        .collect()
}

/// FNV-1 of 128 bits; `a` for the variant that mixes before it multiplies.
pub fn fnv128(bytes: &[u8], a: bool) -> [u8; 16] {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in bytes {
        if a {
            hash = (hash ^ u128::from(*byte)).wrapping_mul(PRIME);
        } else {
            hash = hash.wrapping_mul(PRIME) ^ u128::from(*byte);
        }
    }
    hash.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_gives_the_published_values() {
        // Test vectors of the authors' page for the empty text and "a", 128 bits.
        assert_eq!(hex(&fnv128(b"", false)), "6c62272e07bb014262b821756295c58d");
        assert_eq!(
            hex(&fnv128(b"a", false)),
            "d228cb69101a8caf78912b704e4a141e"
        );
        assert_eq!(hex(&fnv128(b"a", true)), "d228cb696f1a8caf78912b704e4a8964");
    }

    #[test]
    fn lists_of_parts_are_told_apart_by_their_lengths() {
        assert_ne!(keyed(&[b"ab", b"c"]), keyed(&[b"a", b"bc"]));
        assert_eq!(keyed(&[b"ab", b"c"]), keyed(&[b"ab", b"c"]));
        assert_ne!(keyed(&[b"ab"]), sha256(b"ab"));
    }
}
