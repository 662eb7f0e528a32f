//! The request id of the native dialect (contract section 1); KrakenD has none.

/// Longest id that is kept from a client, in bytes.
const LONGEST: usize = 128;

/// The id of a request: the client's `X-Request-ID` when it is 1–128 visible ASCII characters,
/// else `req_` and 32 hexadecimal digits.
pub fn request_id(sent: Option<&[u8]>) -> String {
    if let Some(sent) = sent
        && (1..=LONGEST).contains(&sent.len())
        && sent.iter().all(u8::is_ascii_graphic)
        && let Ok(kept) = std::str::from_utf8(sent)
    {
        return kept.to_owned();
    }
    mint()
}

/// A fresh id. Unique enough to find a request by, no secret.
pub fn mint() -> String {
    let mut id = *b"req_00000000000000000000000000000000";
    let bits = fastrand::u128(..).to_be_bytes();
    for (digits, byte) in id[4..].chunks_exact_mut(2).zip(bits) {
        digits.copy_from_slice(&HEX[usize::from(byte)]);
    }
    String::from_utf8(id.to_vec()).unwrap_or_default()
}

/// The digits of each byte.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_visible_ascii_up_to_128_characters() {
        let longest = "x".repeat(128);
        for id in ["a", "req_1/2:3", "\"<>\"", &longest] {
            assert_eq!(request_id(Some(id.as_bytes())), id);
        }
    }

    #[test]
    fn replaces_everything_else() {
        let long = "x".repeat(129);
        for id in [
            &b""[..],
            b"a b",
            b"a\tb",
            b"\xc3\xa9",
            b"a\x7f",
            long.as_bytes(),
        ] {
            let made = request_id(Some(id));
            assert_eq!(made.len(), 36, "{made}");
            assert!(
                made.strip_prefix("req_")
                    .unwrap()
                    .bytes()
                    .all(|b| b.is_ascii_hexdigit())
            );
        }
        assert_ne!(request_id(None), request_id(None));
    }
    #[test]
    fn made_ids_have_every_byte_in_two_digits() {
        let pairs: Vec<_> = (0..=255u8)
            .map(|byte| format!("{byte:02x}").into_bytes())
            .collect();
        assert!(
            HEX.iter()
                .zip(&pairs)
                .all(|(made, pair)| made[..] == pair[..])
        );
        let id = mint();
        assert_eq!(id.len(), 36);
        assert!(
            id[4..]
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
            "{id}"
        );
    }
}
