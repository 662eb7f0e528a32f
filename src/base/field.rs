//! Field names as they are written: Go's canonical spelling, in which KrakenD compares and sends them. And which names
//! `Connection` declares to be of one connection only.

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
    let name = out.get_mut(start..).unwrap_or_default();
    let (words, rest) = name.as_chunks_mut::<8>();
    let mut upper = HIGH & 0xff;
    for word in words {
        let (spelled, next) = spell(u64::from_le_bytes(*word), upper);
        *word = spelled.to_le_bytes();
        upper = next;
    }
    let mut upper = upper != 0;
    for byte in rest {
        *byte = if upper {
            byte.to_ascii_uppercase()
        } else {
            byte.to_ascii_lowercase()
        };
        upper = *byte == b'-';
    }
}

const ONES: u64 = u64::MAX / 255;
/// The highest bit of each byte.
const HIGH: u64 = ONES * 0x80;

/// Eight bytes in canonical spelling, the first in memory being the lowest; `upper` has the high bit of the first where
/// that begins a word. Also gives the same for the byte behind. Each mask has the high bits of the bytes that it means.
const fn spell(bytes: u64, upper: u64) -> (u64, u64) {
    let ascii = !bytes & HIGH;
    let low = bytes & !HIGH;
    let dash = between(low, b'-', b'-') & ascii;
    let begins = dash << 8 | upper;
    let wrong = between(low, b'A', b'Z') & !begins | between(low, b'a', b'z') & begins;
    // The high bit two places down is the one that tells cases apart.
    (bytes ^ (wrong & ascii) >> 2, dash >> 56)
}

/// Which of eight bytes below 128 are in a range. Sums of two such numbers stay in their bytes.
const fn between(low: u64, first: u8, last: u8) -> u64 {
    let from = low + ONES * (0x80 - first as u64);
    let behind = low + ONES * (0x7f - last as u64);
    from & !behind & HIGH
}

/// Whether two names are the same, in any case. Each head has many to tell apart, of which the lengths tell most: no
/// place has code of its own for the others, as requests that come rarely pay for every line of it.
#[inline]
pub fn same(name: &[u8], other: &[u8]) -> bool {
    #[inline(never)]
    fn letters(name: &[u8], other: &[u8]) -> bool {
        name.eq_ignore_ascii_case(other)
    }
    name.len() == other.len() && letters(name, other)
}

/// What an option of `Connection` says (RFC 9110, section 7.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionOption<'v> {
    /// The connection ends behind this message (RFC 9112, section 9.6).
    Close,
    /// It goes on, also in HTTP/1.0.
    KeepAlive,
    /// Fields of this name are the connection's own; no other option is a name of one.
    Nominates(&'v [u8]),
}

impl<'v> ConnectionOption<'v> {
    /// The name that is nominated, if one is.
    pub fn name(self) -> Option<&'v [u8]> {
        match self {
            Self::Nominates(name) => Some(name),
            Self::Close | Self::KeepAlive => None,
        }
    }
}

/// The options that a value of `Connection` holds, without empty ones. Each reader of heads asks here: where two of
/// them saw different options, a field would pass on one way and stay on the other.
pub fn connection_options(value: &[u8]) -> impl Iterator<Item = ConnectionOption<'_>> {
    let options = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    options
        .filter(|option| !option.is_empty())
        .map(|option| match option {
            close if same(close, b"close") => ConnectionOption::Close,
            keep if same(keep, b"keep-alive") => ConnectionOption::KeepAlive,
            name => ConnectionOption::Nominates(name),
        })
}

/// Whether a byte may stand in a field name or a method (RFC 9110, section 5.6.2).
pub const fn is_token(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        || byte.is_ascii_alphanumeric()
}

/// Whether a byte may stand in a field value: visible, space, tab or not ASCII (RFC 9110, section 5.5).
pub const fn in_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_connection_are_told_apart_in_any_case() {
        use ConnectionOption::{Close, KeepAlive, Nominates};
        for (value, options) in [
            ("close", vec![Close]),
            ("Keep-ALIVE ,\tcLose", vec![KeepAlive, Close]),
            ("", vec![]),
            (" ,, ", vec![]),
            (
                "x-a, closed, close",
                vec![Nominates(b"x-a"), Nominates(b"closed"), Close],
            ),
            ("Upgrade", vec![Nominates(b"Upgrade")]),
        ] {
            assert_eq!(
                connection_options(value.as_bytes()).collect::<Vec<_>>(),
                options,
                "{value:?}"
            );
        }
        // One byte that is no text does not hide the others.
        let mixed: Vec<_> = connection_options(b"\xff, X-Own").collect();
        assert_eq!(mixed, [Nominates(b"\xff"), Nominates(b"X-Own")]);
    }

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

    #[test]
    fn names_are_the_same_in_any_case() {
        assert!(same(b"Content-LENGTH", b"content-length") && same(b"", b""));
        for other in [
            &b"content-lengt"[..],
            b"content-lengti",
            b"content\x0dlength",
        ] {
            assert!(!same(b"content-length", other));
        }
    }

    #[test]
    fn eight_bytes_at_once_are_spelled_as_one_by_one() {
        let slow = |name: &str| {
            let mut upper = true;
            let spell = |byte: u8| {
                let spelled = match upper {
                    true => byte.to_ascii_uppercase(),
                    false => byte.to_ascii_lowercase(),
                };
                upper = byte == b'-';
                spelled
            };
            name.bytes().map(spell).collect::<Vec<u8>>()
        };
        let alphabet = [
            'a', 'A', 'z', 'Z', '-', '@', '[', '`', '{', '0', '\u{7f}', 'é', '\u{ad}',
        ];
        let mut random = fastrand::Rng::with_seed(7);
        for length in (0..40).cycle().take(20_000) {
            let letters = (0..length).map(|_| alphabet[random.usize(..alphabet.len())]);
            let name: String = letters.collect();
            let mut out = b"before".to_vec();
            push_canonical(&mut out, &name);
            assert_eq!(out.split_off(6), slow(&name), "{name:?}");
        }
    }
}
