//! Request paths as bytes: percent-decoding, cleaning and re-encoding exactly as Go's `net/url`
//! and gin do it, because which endpoint answers and what a backend sees depend on it.
//! No difference from KrakenD; [`has_dot_segments`] serves the native dialect alone.

use crate::base::{Error, Reason};
use std::borrow::Cow;
use std::fmt;

/// A `%` that two hexadecimal digits do not follow. Prints in Go's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEscape {
    bytes: [u8; 3],
    len: u8,
}

impl BadEscape {
    fn at(text: &[u8], offset: usize) -> Self {
        let mut bytes = [0; 3];
        let mut len = 0;
        for (slot, byte) in bytes.iter_mut().zip(text.iter().skip(offset)) {
            *slot = *byte;
            len += 1;
        }
        Self { bytes, len }
    }
}

impl fmt::Display for BadEscape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        write!(f, "invalid URL escape {}", go_quote(bytes))
    }
}

impl std::error::Error for BadEscape {}

impl From<BadEscape> for Error {
    fn from(bad: BadEscape) -> Self {
        Self::new(Reason::BadTarget, bad.to_string())
    }
}

/// A text in double quotes, escaped as Go's `%q` prints it.
pub fn go_quote(text: &[u8]) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\x07' => out.push_str("\\a"),
                '\x08' => out.push_str("\\b"),
                '\x0b' => out.push_str("\\v"),
                '\x0c' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_ascii_control() => drop(write!(out, "\\x{:02x}", c as u32)),
                c if c.is_control() => drop(write!(out, "\\u{:04x}", c as u32)),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

const fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The byte that the escape at `offset` (the place of its `%`) stands for.
pub(crate) fn escaped_byte(text: &[u8], offset: usize) -> Result<u8, BadEscape> {
    let high = text.get(offset + 1).copied().and_then(hex);
    let low = text.get(offset + 2).copied().and_then(hex);
    match (high, low) {
        (Some(high), Some(low)) => Ok(high << 4 | low),
        _ => Err(BadEscape::at(text, offset)),
    }
}

/// Percent-decodes a path; `+` stays. Borrows when nothing is encoded.
///
/// # Errors
/// The first `%` that is no escape.
pub fn decode(path: &[u8]) -> Result<Cow<'_, [u8]>, BadEscape> {
    let Some(first) = path.iter().position(|&b| b == b'%') else {
        return Ok(Cow::Borrowed(path));
    };
    let mut out = Vec::with_capacity(path.len());
    let (plain, _) = path.split_at(first);
    out.extend_from_slice(plain);
    let mut at = first;
    while let Some(&byte) = path.get(at) {
        if byte == b'%' {
            out.push(escaped_byte(path, at)?);
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    Ok(Cow::Owned(out))
}

/// Where a byte of the decoded path stands in the raw path: the raw offset of decoded byte
/// `decoded`, or the raw length when it is past the end.
pub fn raw_offset(raw: &[u8], decoded: usize) -> usize {
    let mut at = 0;
    for _ in 0..decoded {
        match raw.get(at) {
            Some(b'%') => at += 3,
            Some(_) => at += 1,
            None => break,
        }
    }
    at.min(raw.len())
}

/// Whether a decoded path holds a `.` or `..` segment.
pub fn has_dot_segments(decoded: &[u8]) -> bool {
    // Nearly every path is done after the search for "/.".
    decoded.starts_with(b".") && is_dots(decoded)
        || decoded
            .windows(2)
            .enumerate()
            .any(|(at, pair)| pair == b"/." && decoded.get(at + 1..).is_some_and(is_dots))
}

/// Whether the text starts with a segment `.` or `..`.
fn is_dots(text: &[u8]) -> bool {
    matches!(
        text,
        [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..]
    )
}

/// The cleaned form of a decoded path, as httprouter and gin make it: a leading slash, no empty
/// segments, dot segments resolved, a trailing slash kept. Borrows when it is clean already.
pub fn clean(path: &[u8]) -> Cow<'_, [u8]> {
    let dirty = path.first() != Some(&b'/')
        || path.windows(2).any(|pair| pair == b"//")
        || has_dot_segments(path);
    if !dirty {
        return Cow::Borrowed(path);
    }
    let mut out = Vec::with_capacity(path.len() + 1);
    let mut last: &[u8] = b"";
    for segment in path.split(|&b| b == b'/') {
        last = segment;
        match segment {
            b"" | b"." => {}
            b".." => {
                let parent = out.iter().rposition(|&b| b == b'/').unwrap_or(0);
                out.truncate(parent);
            }
            segment => {
                out.push(b'/');
                out.extend_from_slice(segment);
            }
        }
    }
    // "/a/" and "/a/." keep their slash, "/a/b/.." loses it.
    if out.is_empty() || (path.len() > 1 && matches!(last, b"" | b".")) {
        out.push(b'/');
    }
    Cow::Owned(out)
}

/// Letters, digits and `-_.~`: never encoded by Go.
pub(crate) const fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

/// What Go leaves bare when it encodes a path itself.
const fn bare_in_path(byte: u8) -> bool {
    unreserved(byte)
        || matches!(
            byte,
            b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'@'
        )
}

/// What Go accepts in a path that somebody else encoded.
const fn legal_in_path(byte: u8) -> bool {
    bare_in_path(byte) || matches!(byte, b'!' | b'\'' | b'(' | b')' | b'*' | b'[' | b']' | b'%')
}

/// Appends one byte as `%XX`.
pub(crate) fn push_escaped(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    for nibble in [byte >> 4, byte & 15] {
        out.push(
            DIGITS
                .get(usize::from(nibble))
                .map_or('0', |&d| char::from(d)),
        );
    }
}

/// Encodes a decoded path as Go prints one that it has no raw form of.
pub fn encode(decoded: &[u8]) -> String {
    let mut out = String::with_capacity(decoded.len());
    for &byte in decoded {
        if bare_in_path(byte) {
            out.push(char::from(byte));
        } else {
            push_escaped(&mut out, byte);
        }
    }
    out
}

/// The path that goes on the wire for a path text: verbatim when every byte is legal in a path,
/// else the whole of it decoded and encoded again.
///
/// # Errors
/// The first `%` that is no escape.
pub fn go_escape_path(raw: &[u8]) -> Result<Cow<'_, str>, BadEscape> {
    if raw.iter().all(|&b| legal_in_path(b))
        && let Ok(text) = std::str::from_utf8(raw)
    {
        // The escapes must be valid even when nothing is re-encoded.
        for (at, _) in raw.iter().enumerate().filter(|(_, b)| **b == b'%') {
            escaped_byte(raw, at)?;
        }
        return Ok(Cow::Borrowed(text));
    }
    Ok(Cow::Owned(encode(&decode(raw)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_escapes_and_keeps_plus() {
        assert!(matches!(decode(b"/a+b"), Ok(Cow::Borrowed(b"/a+b"))));
        assert_eq!(&*decode(b"/a%20b%2fc%C3%A9").unwrap(), "/a b/cé".as_bytes());
        assert_eq!(&*decode(b"%25").unwrap(), b"%");
    }

    #[test]
    fn names_bad_escapes_in_gos_words() {
        for (path, text) in [
            (&b"/p/%zz"[..], "invalid URL escape \"%zz\""),
            (b"%", "invalid URL escape \"%\""),
            (b"%a", "invalid URL escape \"%a\""),
            (b"50%\"x", "invalid URL escape \"%\\\"x\""),
            (b"%\xff1", "invalid URL escape \"%\\xff1\""),
            (b"%\n1", "invalid URL escape \"%\\n1\""),
        ] {
            assert_eq!(decode(path).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn maps_decoded_offsets_back() {
        let raw = b"/a%2Fb/c%20d";
        let decoded = decode(raw).unwrap();
        assert_eq!(&decoded[5..], b"c d");
        assert_eq!(&raw[raw_offset(raw, 5)..], b"c%20d");
        assert_eq!(raw_offset(raw, 99), raw.len());
        assert_eq!(raw_offset(b"%4", 1), 2);
    }

    #[test]
    fn finds_dot_segments_only_as_whole_segments() {
        for path in ["/..", "/.", "/a/../b", "/a/./b", "/a/..", "..", "./a"] {
            assert!(has_dot_segments(path.as_bytes()), "{path}");
        }
        for path in [
            "/",
            "/a",
            "/...",
            "/.well-known/x",
            "/a/..b",
            "/a../b",
            "/.a",
            "",
            "/a/.b/",
        ] {
            assert!(!has_dot_segments(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn cleans_like_httprouter() {
        for (path, cleaned) in [
            ("/", "/"),
            ("", "/"),
            ("a", "/a"),
            ("a/", "/a/"),
            ("/abc/def/", "/abc/def/"),
            ("//", "/"),
            ("///a", "/a"),
            ("/a//b//", "/a/b/"),
            ("/./a", "/a"),
            ("/a/.", "/a/"),
            ("/a/./", "/a/"),
            ("/a/..", "/"),
            ("/a/../", "/"),
            ("/a/b/..", "/a"),
            ("/a/b/../", "/a/"),
            ("/../../a", "/a"),
            ("..", "/"),
            (".", "/"),
            ("/..a", "/..a"),
            ("/x/../file", "/file"),
            ("/abc/./../def", "/def"),
            ("abc/../../././../def", "/def"),
        ] {
            assert_eq!(&*clean(path.as_bytes()), cleaned.as_bytes(), "{path}");
        }
    }

    #[test]
    fn escapes_paths_as_go_does() {
        for (raw, sent) in [
            ("/x%2Fy", "/x%2Fy"),
            ("/x%2Fy z", "/x/y%20z"),
            ("/x/é%2F", "/x/%C3%A9/"),
            ("/[x]!*'()", "/[x]!*'()"),
            ("/a\"b^c|d`e<f>", "/a%22b%5Ec%7Cd%60e%3Cf%3E"),
            ("/x/{{.A}}", "/x/%7B%7B.A%7D%7D"),
            ("/[x] ", "/%5Bx%5D%20"),
            ("//x", "//x"),
        ] {
            assert_eq!(go_escape_path(raw.as_bytes()).unwrap(), sent);
        }
        assert!(go_escape_path(b"/%zz").is_err());
        assert!(go_escape_path(b"/%z z").is_err());
    }
}
