//! Cookies as Go reads them out of a head, and random identifiers.

use crate::base::field::is_token;
use crate::gateway::headers::Fields;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use std::fmt::Write as _;

/// A cookie's name and value without the quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair<'h> {
    name: &'h [u8],
    value: &'h [u8],
}

impl Pair<'_> {
    /// Whether it has this name and value; any value when the one asked for is empty.
    pub(super) fn is(&self, name: &[u8], value: &[u8]) -> bool {
        self.name == name && (value.is_empty() || self.value == value)
    }
}

/// The cookies that a request carries.
pub(super) fn sent_cookies(fields: &Fields) -> impl Iterator<Item = Pair<'_>> {
    fields
        .iter()
        .filter(|(name, _)| *name == COOKIE)
        .flat_map(|(_, value)| value.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|part| {
            let part = part.trim_ascii();
            // A name without `=` has an empty value here.
            let at = part.iter().position(|byte| *byte == b'=');
            let (name, value) = match at {
                Some(at) => (part.get(..at)?, part.get(at + 1..)?),
                None => (part, &[][..]),
            };
            pair(name, value)
        })
}

/// The cookies that an answer sets.
pub(super) fn set_cookies(headers: &HeaderMap) -> impl Iterator<Item = Pair<'_>> {
    let lines = headers
        .get_all(SET_COOKIE)
        .iter()
        .map(HeaderValue::as_bytes);
    lines.filter_map(|line| {
        let first = line.split(|byte| *byte == b';').next()?.trim_ascii();
        let at = first.iter().position(|byte| *byte == b'=')?;
        pair(first.get(..at)?, first.get(at + 1..)?)
    })
}

fn pair<'h>(name: &'h [u8], value: &'h [u8]) -> Option<Pair<'h>> {
    let name = name.trim_ascii();
    if name.is_empty() || !name.iter().copied().all(is_token) {
        return None;
    }
    let value = match value {
        [b'"', inner @ .., b'"'] => inner,
        value => value,
    };
    let legal = |byte: &u8| (0x20..0x7f).contains(byte) && !b"\";\\".contains(byte);
    value.iter().all(legal).then_some(Pair { name, value })
}

/// A random UUID (version 4).
pub(super) fn uuid() -> String {
    let mut bytes = fastrand::u128(..).to_be_bytes();
    if let Some(version) = bytes.get_mut(6) {
        *version = *version & 0x0f | 0x40;
    }
    if let Some(variant) = bytes.get_mut(8) {
        *variant = *variant & 0x3f | 0x80;
    }
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Sixty random hexadecimal digits, as Go separates the parts of a body with.
pub(super) fn boundary() -> String {
    let mut text = String::with_capacity(64);
    for _ in 0..4 {
        let _ = write!(text, "{:016x}", fastrand::u64(..));
    }
    text.truncate(60);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_version_four() {
        let one = uuid();
        assert_eq!((one.len(), one.as_bytes()[14]), (36, b'4'));
        assert!(b"89ab".contains(&one.as_bytes()[19]), "{one}");
        assert_ne!(one, uuid());
        assert_eq!(boundary().len(), 60);
    }

    #[test]
    fn cookies_are_read_as_in_go() {
        let line = |text: &'static str| vec![(COOKIE, HeaderValue::from_static(text))];
        for (text, name, value, there) in [
            ("a=1; b=2", "b", "2", true),
            ("a=1;b=2", "b", "", true),
            ("a=1", "A", "1", false),
            ("a=\"q r\"", "a", "q r", true),
            ("a=x\\y", "a", "", false),
            ("a", "a", "", true),
            ("a b=1", "a b", "1", false),
            (" a =1", "a", "1", true),
            ("a=b=c", "a", "b=c", true),
        ] {
            let found = sent_cookies(&line(text)).any(|c| c.is(name.as_bytes(), value.as_bytes()));
            assert_eq!(found, there, "{text}");
        }
    }
}
