//! `body.Modifier`: a body of the configuration takes the place of what was there.

use super::{Inbound, Outbound, names};
use crate::base::Error;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

/// A body with its type.
#[derive(Debug)]
pub(super) struct BodyOp {
    content_type: HeaderValue,
    body: Bytes,
    /// What separates the parts of an answer, made once as in martian.
    boundary: String,
}

impl BodyOp {
    pub(super) fn new(content_type: HeaderValue, body: Vec<u8>) -> Self {
        Self {
            content_type,
            body: body.into(),
            boundary: names::boundary(),
        }
    }

    pub(super) fn send(&self, to: &mut Outbound<'_>) {
        if self.content_type.is_empty() && to.native() {
            to.drop(&CONTENT_TYPE);
        } else {
            to.put(&CONTENT_TYPE, self.content_type.clone());
        }
        to.drop(&CONTENT_ENCODING);
        to.body(self.body.clone());
    }

    pub(super) fn answer(&self, from: &mut Inbound<'_>) -> Result<(), Error> {
        from.body(&self.content_type, &self.body, &self.boundary)
    }
}

/// Base64 as Go's standard encoding reads it: padded, line ends ignored.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let sextet = |byte: u8| -> Option<u32> {
        Some(match byte {
            b'A'..=b'Z' => u32::from(byte - b'A'),
            b'a'..=b'z' => u32::from(byte - b'a') + 26,
            b'0'..=b'9' => u32::from(byte - b'0') + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        })
    };
    let mut digits = text.bytes().filter(|b| !matches!(b, b'\r' | b'\n'));
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    loop {
        let Some(first) = digits.next() else {
            return Some(out);
        };
        let (second, third, fourth) = (digits.next()?, digits.next()?, digits.next()?);
        let mut word = sextet(first)? << 18 | sextet(second)? << 12;
        let kept = match (third, fourth) {
            (b'=', b'=') => 1,
            (third, b'=') => {
                word |= sextet(third)? << 6;
                2
            }
            (third, fourth) => {
                word |= sextet(third)? << 6 | sextet(fourth)?;
                3
            }
        };
        out.extend(word.to_be_bytes().iter().skip(1).take(kept));
        if kept < 3 {
            return digits.next().is_none().then_some(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_gos() {
        for (text, bytes) in [
            ("", Some("")),
            ("bmV3IGJvZHk=", Some("new body")),
            ("YQ==", Some("a")),
            ("YWI=", Some("ab")),
            ("YWJj", Some("abc")),
            ("YW\r\nJj\n", Some("abc")),
            ("YQ", None),
            ("YQ=", None),
            ("YQ==YQ==", None),
            ("Y===", None),
            ("Y-_j", None),
            ("YWJj ", None),
        ] {
            assert_eq!(base64(text).as_deref(), bytes.map(str::as_bytes), "{text}");
        }
        assert_eq!(base64("//79").as_deref(), Some(&[0xff, 0xfe, 0xfd][..]));
    }
}
