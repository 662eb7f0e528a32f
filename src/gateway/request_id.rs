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
    let mut bits = fastrand::u128(..);
    let mut id = String::with_capacity(36);
    id.push_str("req_");
    for _ in 0..32 {
        let digit = (bits >> 124) as u32;
        id.push(char::from_digit(digit, 16).unwrap_or('0'));
        bits <<= 4;
    }
    id
}

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
}
