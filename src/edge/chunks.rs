//! A strict look at chunked request bodies, before Pingora decodes them.
//!
//! Pingora's reader takes blanks around a chunk's size and anything but a line end in its extensions;
//! another server may read such bytes differently, so they are refused (contract section 3).

use crate::base::field::{in_value, is_token};
use std::ops::Range;

/// Most digits of a chunk's size: a body that needs more is over every limit.
const DIGITS: u8 = 15;
/// Most bytes of one chunk's extensions, and of all trailers.
const EXTRA: usize = 4 << 10;

/// The framing broke RFC 9112 section 7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed chunked framing")]
pub struct Malformed;

/// Follows a chunked body through the bytes as they come.
#[derive(Clone, Debug, Default)]
pub struct Chunks {
    state: State,
    /// Digits of the size that is being read.
    digits: u8,
    /// The size being read; then what is left of the chunk.
    left: u64,
    /// Bytes of extensions or trailers.
    extra: usize,
    /// Whether the last bytes stood within trailers.
    trailing: bool,
}

/// What of some bytes belongs to a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// Bytes at the front that belong to it, framing included.
    pub used: usize,
    /// Which of them are trailers.
    pub trailers: Range<usize>,
    /// How many of them are its data.
    pub data: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    /// Before an extension's name: nothing of it has come.
    NameStart,
    Name,
    /// Behind `=`: nothing of the value has come.
    ValueStart,
    Value,
    Quoted,
    QuotedPair,
    /// Behind the closing quote.
    QuotedEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line.
    Line,
    Field,
    FieldValue,
    FieldLf,
    EndLf,
    Done,
    Broken,
}

impl Chunks {
    /// Looks at the next bytes and tells what they are; what stands behind the body's end is not looked at.
    ///
    /// # Errors
    /// At the first byte that cannot be, and from then on.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Fed, Malformed> {
        self.decode(bytes, |_| ())
    }

    /// The same, and hands the data to `sink`.
    ///
    /// # Errors
    /// At the first byte that cannot be, and from then on.
    pub fn decode(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8])) -> Result<Fed, Malformed> {
        let mut fed = Fed::default();
        let mut trailers = self.trailing.then_some(0);
        while let Some([byte, ..]) = bytes.get(fed.used..) {
            match self.state {
                State::Done => break,
                State::Data => {
                    let rest = bytes.len() - fed.used;
                    let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest);
                    self.left -= here as u64;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    let end = fed.used + here;
                    sink(bytes.get(fed.used..end).unwrap_or_default());
                    fed.used = end;
                    fed.data += here as u64;
                    continue;
                }
                _ => {}
            }
            let at_line = self.state == State::Line;
            let next = self.step(*byte);
            self.state = next.unwrap_or(State::Broken);
            match next.ok_or(Malformed)? {
                State::Field if at_line && trailers.is_none() => trailers = Some(fed.used),
                State::EndLf => {
                    if let Some(from) = trailers.take() {
                        fed.trailers = from..fed.used;
                    }
                }
                _ => {}
            }
            fed.used += 1;
        }
        self.trailing = trailers.is_some();
        if let Some(from) = trailers {
            fed.trailers = from..fed.used;
        }
        Ok(fed)
    }

    /// Whether the last byte of the body was seen.
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether a byte was seen that cannot be.
    pub fn broken(&self) -> bool {
        self.state == State::Broken
    }

    fn step(&mut self, byte: u8) -> Option<State> {
        use State as S;
        let token = is_token(byte);
        match (self.state, byte) {
            (S::Size, _) => self.size(byte),
            (S::NameStart | S::Name, _) if token => self.spend(S::Name),
            (S::Name, b'=') => self.spend(S::ValueStart),
            (S::ValueStart, b'"') => self.spend(S::Quoted),
            (S::ValueStart | S::Value, _) if token => self.spend(S::Value),
            (S::Quoted, b'"') => self.spend(S::QuotedEnd),
            (S::Quoted, b'\\') => self.spend(S::QuotedPair),
            (S::Quoted | S::QuotedPair, _) if in_value(byte) => self.spend(S::Quoted),
            (S::Name | S::Value | S::QuotedEnd, b';') => self.spend(S::NameStart),
            (S::Name | S::Value | S::QuotedEnd, b'\r') => Some(S::SizeLf),
            (S::SizeLf, b'\n') => {
                self.digits = 0;
                self.extra = 0;
                Some(if self.left == 0 { S::Line } else { S::Data })
            }
            (S::DataCr, b'\r') => Some(S::DataLf),
            (S::DataLf, b'\n') => Some(S::Size),
            (S::Line, b'\r') => Some(S::EndLf),
            (S::Line | S::Field, _) if token => self.spend(S::Field),
            (S::Field, b':') => self.spend(S::FieldValue),
            (S::FieldValue, b'\r') => Some(S::FieldLf),
            (S::FieldValue, _) if in_value(byte) => self.spend(S::FieldValue),
            (S::FieldLf, b'\n') => Some(S::Line),
            (S::EndLf, b'\n') => Some(S::Done),
            _ => None,
        }
    }

    fn size(&mut self, byte: u8) -> Option<State> {
        let Some(digit) = char::from(byte).to_digit(16) else {
            return match byte {
                _ if self.digits == 0 => None,
                b'\r' => Some(State::SizeLf),
                b';' => self.spend(State::NameStart),
                _ => None,
            };
        };
        if self.digits == DIGITS {
            return None;
        }
        self.left = if self.digits == 0 { 0 } else { self.left << 4 } | u64::from(digit);
        self.digits += 1;
        Some(State::Size)
    }

    fn spend(&mut self, next: State) -> Option<State> {
        self.extra += 1;
        (self.extra <= EXTRA).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(body: &str) -> Result<bool, Malformed> {
        let mut whole = Chunks::default();
        let result = whole.feed(body.as_bytes()).map(drop);
        let mut bytewise = Chunks::default();
        let again = body
            .bytes()
            .try_for_each(|byte| bytewise.feed(&[byte]).map(drop));
        assert_eq!(result, again, "{body:?} in one piece and in many");
        result.map(|()| whole.state == State::Done)
    }

    #[test]
    fn follows_a_body_to_its_end_and_no_further() {
        for body in [
            "0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "00a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n",
            "3;a;b=c;d=\"e \\\" f\"\r\nabc\r\n0\r\n\r\n",
            "3\r\n\r\n\r\r\n0\r\nT: 1\r\nU:\r\n\r\n",
            "0\r\n\r\nanything \0 \n",
        ] {
            assert_eq!(looked(body), Ok(true), "{body:?}");
        }
        assert_eq!(looked("3\r\nabc\r\n0\r\n"), Ok(false));
    }

    #[test]
    fn refuses_what_two_readers_may_read_differently() {
        for body in [
            "3 \r\nabc",
            " 3\r\nabc",
            "3\t;a\r\nabc",
            "3; a\r\nabc",
            "3;a =b\r\nabc",
            "3;\r\nabc",
            "3;a=\r\nabc",
            "3;a\n\r\nabc",
            "3;a=\"b\"c\r\nabc",
            "3;a=\"\0\"\r\n",
            "3\nabc",
            "3\r\rabc",
            "0x3\r\nabc",
            "+3\r\nabc",
            "\r\nabc",
            "3\r\nabcd",
            "3\r\nabc\n",
            "3\r\nabc0",
            "1000000000000000\r\n",
            "0\r\n\n",
            "0\r\nT : 1\r\n\r\n",
            "0\r\n: 1\r\n\r\n",
            "0\r\nT: \0\r\n\r\n",
        ] {
            assert_eq!(looked(body), Err(Malformed), "{body:?}");
        }
    }

    #[test]
    fn tells_framing_data_and_trailers_however_the_bytes_are_cut() {
        let body = b"3;a\r\nabc\r\n0\r\nT: 1\r\nU: 2\r\n\r\nrest";
        let end = body.len() - 4;
        for cut in 0..=body.len() {
            let mut chunks = Chunks::default();
            let (mut kept, mut data, mut used) = (Vec::new(), 0, 0);
            for part in [&body[..cut], &body[cut..]] {
                let fed = chunks.feed(part).unwrap();
                kept.extend_from_slice(&part[..fed.trailers.start.min(fed.used)]);
                if fed.trailers.is_empty() {
                    kept.truncate(kept.len() - fed.trailers.start.min(fed.used));
                    kept.extend_from_slice(&part[..fed.used]);
                } else {
                    kept.extend_from_slice(&part[fed.trailers.end..fed.used]);
                }
                data += fed.data;
                used += fed.used;
            }
            assert_eq!((data, used, chunks.done()), (3, end, true), "cut at {cut}");
            assert_eq!(kept, b"3;a\r\nabc\r\n0\r\n\r\n", "cut at {cut}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let long = "a".repeat(EXTRA + 1);
        assert_eq!(looked(&format!("3;{long}\r\n")), Err(Malformed));
        assert_eq!(looked(&format!("0\r\n{long}: 1\r\n")), Err(Malformed));
    }
}
