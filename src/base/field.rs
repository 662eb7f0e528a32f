//! Field names as they are written: Go's canonical spelling, in which KrakenD compares and sends them.

/// `x-y-z` becomes `X-Y-Z`; a name with a character that no field name has stays as it is.
pub fn canonical(name: &str) -> String {
    if name.is_empty() || !name.bytes().all(is_token) {
        return name.to_owned();
    }
    let mut out = Vec::with_capacity(name.len());
    push_canonical(&mut out, name);
    String::from_utf8(out).unwrap_or_default()
}

/// Appends a field name in canonical spelling: upper case at the start and behind each `-`.
pub fn push_canonical(out: &mut Vec<u8>, name: &str) {
    let start = out.len();
    out.extend_from_slice(name.as_bytes());
    let mut upper = true;
    for byte in out.iter_mut().skip(start) {
        *byte = if upper {
            byte.to_ascii_uppercase()
        } else {
            byte.to_ascii_lowercase()
        };
        upper = *byte == b'-';
    }
}

/// Whether a byte may stand in a field name or a method (RFC 9110, section 5.6.2).
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spells_as_go_does() {
        for (name, spelled) in [
            ("x-request-ID", "X-Request-Id"),
            ("CONTENT-type", "Content-Type"),
            ("a b", "a b"),
            ("x_y-z", "X_y-Z"),
            ("", ""),
        ] {
            assert_eq!(canonical(name), spelled);
        }
    }
}
