//! The chunked transfer coding, byte by byte where it is framing and in slices where it is data.
//!
//! Lines end with CR LF and nothing else: a reader that takes a lone LF and one that does not would
//! see different messages in the same bytes. Extensions and trailers are checked, bounded and dropped.

use super::framing::Piece;
use crate::base::field::{in_value, is_token};
use crate::net::error::NetError;

/// Most bytes of extensions beyond what the data pays for, and most bytes of trailers.
const OVERHEAD: usize = 16 * 1024;
/// Most digits of a chunk size; more would not fit 64 bits.
const DIGITS: u8 = 16;

/// The state of reading a chunked body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunked {
    state: State,
    /// Size of the chunk, or what is left of it.
    left: u64,
    digits: u8,
    /// Bytes of extensions not yet paid for by data; of trailers at the end.
    overhead: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    /// Blanks between size and `;`.
    Blank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// Start of a trailer line, or of the empty line at the end.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

impl Chunked {
    /// Before the first chunk.
    pub const fn new() -> Self {
        Self {
            state: State::Size,
            left: 0,
            digits: 0,
            overhead: 0,
        }
    }

    /// Whether the last byte of the coding was seen.
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Skips framing at the front of `input` and takes the data behind it.
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, NetError> {
        let mut skip = 0;
        for &byte in input {
            if matches!(self.state, State::Data | State::Done) {
                break;
            }
            self.state = self.step(byte)?;
            skip += 1;
        }
        if self.state != State::Data {
            return Ok(Piece { skip, data: 0 });
        }
        let room = input.len() - skip;
        let data = usize::try_from(self.left).unwrap_or(usize::MAX).min(room);
        self.left -= data as u64;
        self.overhead = self.overhead.saturating_sub(data);
        if self.left == 0 {
            self.state = State::DataCr;
        }
        Ok(Piece { skip, data })
    }

    fn step(&mut self, byte: u8) -> Result<State, NetError> {
        match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte),
            (State::Size, _) if self.digits == 0 => Err(malformed()),
            (State::Size | State::Blank | State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Size | State::Blank, b' ' | b'\t') => self.pay(State::Blank),
            (State::Size | State::Blank, b';') => self.pay(State::Extension),
            (State::Extension, _) if in_value(byte) => self.pay(State::Extension),
            (State::SizeLf, b'\n') => Ok(self.size_known()),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                self.digits = 0;
                Ok(State::Size)
            }
            (State::Trailer, b'\r') => Ok(State::EndLf),
            (State::Trailer | State::TrailerName, _) if is_token(byte) => {
                self.pay(State::TrailerName)
            }
            (State::TrailerName, b':') => self.pay(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if in_value(byte) => self.pay(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::Trailer),
            (State::EndLf, b'\n') => Ok(State::Done),
            _ => Err(malformed()),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<State, NetError> {
        if self.digits == DIGITS {
            return Err(NetError::invalid("http chunk length too large"));
        }
        let value = char::from(byte).to_digit(16).unwrap_or(0);
        self.left = self.left << 4 | u64::from(value);
        self.digits += 1;
        Ok(State::Size)
    }

    fn size_known(&mut self) -> State {
        if self.left > 0 {
            return State::Data;
        }
        self.overhead = 0;
        State::Trailer
    }

    fn pay(&mut self, next: State) -> Result<State, NetError> {
        self.overhead += 1;
        if self.overhead > OVERHEAD {
            return Err(NetError::invalid(
                "chunked encoding contains too much non-data",
            ));
        }
        Ok(next)
    }
}

fn malformed() -> NetError {
    NetError::invalid("malformed chunked encoding")
}

#[cfg(test)]
mod tests {
    use super::super::Framing;
    use super::*;

    fn read(wire: &[u8]) -> Result<(usize, bool), NetError> {
        let mut framing = Framing::Chunked(Chunked::new());
        framing.feed(wire).map(|used| (used, framing.done()))
    }

    #[test]
    fn extensions_and_trailers_pass() {
        let wire = b"3 ;a=\"b\"\r\nabc\r\n000;x\r\nA: b\r\nC:\r\n\r\n";
        assert_eq!(read(wire).unwrap(), (wire.len(), true));
    }

    #[test]
    fn anything_but_crlf_and_digits_is_refused() {
        let bad: [&[u8]; 12] = [
            b"3\nabc\r\n0\r\n\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b"\r\n",
            b"x\r\n",
            b"+3\r\n",
            b"0x3\r\n",
            b"3\rabc",
            b"3\r\nabcd",
            b"0\r\n b: c\r\n",
            b"0\r\nb\r\n",
            b"3;a\nb\r\n",
            b"3 4\r\n",
        ];
        for wire in bad {
            assert!(read(wire).is_err(), "{:?}", String::from_utf8_lossy(wire));
        }
    }

    #[test]
    fn sizes_beyond_64_bits_are_refused() {
        assert!(read(b"00000000000000003\r\n").is_err());
        assert_eq!(read(b"ffffffffffffffff\r\na").unwrap(), (19, false));
    }

    #[test]
    fn endless_extensions_and_trailers_are_refused() {
        let extension = [b"1;".as_slice(), &vec![b'a'; OVERHEAD + 1]].concat();
        let trailer = [b"0\r\na:".as_slice(), &vec![b'a'; OVERHEAD + 1]].concat();
        let many = b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n".repeat(OVERHEAD / 31 + 2);
        for wire in [extension, trailer, many] {
            assert!(read(&wire).is_err());
        }
    }
}
