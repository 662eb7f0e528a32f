//! base64url as RFC 7515 section 2 writes it: no padding, no white space, and one text for each value.
//!
//! KrakenD's decoder cuts padding off and passes over bits that belong to no byte; its dialect does too.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::base::Dialect;

const STRICT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(false),
);

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// The bytes of a text that may be written in one way only.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    STRICT.decode(text).ok()
}

/// The bytes of a text, as exactly as the dialect is.
pub(super) fn decode_in(text: &[u8], dialect: Dialect) -> Option<Vec<u8>> {
    if dialect == Dialect::Native {
        return decode(text);
    }
    let end = text.iter().rposition(|byte| *byte != b'=');
    let text = text.get(..end.map_or(0, |last| last + 1))?;
    LENIENT.decode(text).ok()
}

/// The text of bytes.
pub(super) fn encode(bytes: &[u8]) -> String {
    STRICT.encode(bytes)
}

/// Appends the text of bytes.
pub(super) fn push(bytes: &[u8], out: &mut String) {
    STRICT.encode_string(bytes, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_for_each_value() {
        assert_eq!(decode(b"Zm9v"), Some(b"foo".to_vec()));
        assert_eq!(decode(b"Zg"), Some(b"f".to_vec()));
        assert_eq!(decode(b""), Some(Vec::new()));
        for bad in [
            "Zg==", "Zh", "Z", "Zm9v=", "Zm 9v", "Zm9v\n", " Zm9v", "Zm+v", "Zm/v", "Zm9v.",
            "Zm9vé",
        ] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn the_krakend_dialect_passes_over_padding_and_spare_bits() {
        let krakend = |text: &str| decode_in(text.as_bytes(), Dialect::Krakend);
        assert_eq!(krakend("Zg=="), Some(b"f".to_vec()));
        assert_eq!(krakend("Zh"), Some(b"f".to_vec()));
        assert_eq!(krakend("Z"), None);
        assert_eq!(krakend("Zm+v"), None);
        assert_eq!(krakend("Z=g"), None);
    }

    #[test]
    fn writes_what_it_reads() {
        let mut text = "x.".to_owned();
        push(&[0xfb, 0xff], &mut text);
        assert_eq!(text, "x.-_8");
        assert_eq!(encode(&[0xfb, 0xff]), "-_8");
    }
}
