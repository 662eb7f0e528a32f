//! Where a message body ends (RFC 9112 section 6). The same state machine checks bytes that are passed
//! on as they are and finds the data in bytes that are decoded.

use super::chunked::Chunked;
use crate::net::error::NetError;

/// The rest of a body that is being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body, or its end was reached.
    Empty,
    /// So many bytes are still to come.
    Length(u64),
    /// Chunks.
    Chunked(Chunked),
    /// Ends with the connection.
    Close,
}

/// What the next bytes are: first framing, then data of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of framing to leave out when decoding.
    pub skip: usize,
    /// Bytes of the body behind them.
    pub data: usize,
}

impl Framing {
    /// Whether the end of the body was reached. A body that ends with the connection never is.
    pub fn done(&self) -> bool {
        match self {
            Self::Empty | Self::Length(0) => true,
            Self::Length(_) | Self::Close => false,
            Self::Chunked(chunked) => chunked.done(),
        }
    }

    /// Looks at the front of `input` and moves on behind the piece it returns. A piece of nothing
    /// means the body is done or `input` is empty.
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, NetError> {
        match self {
            Self::Empty => Ok(Piece { skip: 0, data: 0 }),
            Self::Length(left) => {
                let data = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                *left -= data as u64;
                Ok(Piece { skip: 0, data })
            }
            Self::Chunked(chunked) => chunked.next(input),
            Self::Close => Ok(Piece {
                skip: 0,
                data: input.len(),
            }),
        }
    }

    /// How many bytes at the front of `input` belong to this body, framing included: for passing bytes
    /// on as they are. What is behind them belongs to no answer.
    pub fn feed(&mut self, input: &[u8]) -> Result<usize, NetError> {
        self.feed_counting(input, &mut 0)
    }

    /// The same, and adds to `data` how many of them are the body's own.
    pub fn feed_counting(&mut self, input: &[u8], data: &mut u64) -> Result<usize, NetError> {
        let mut used = 0;
        while !self.done() {
            let piece = self.next(input.get(used..).unwrap_or_default())?;
            if piece.skip + piece.data == 0 {
                break;
            }
            used += piece.skip + piece.data;
            *data += piece.data as u64;
        }
        Ok(used)
    }

    /// Takes the body's data out of `input` and hands it to `sink`; returns the bytes used.
    pub fn decode(&mut self, input: &[u8], mut sink: impl FnMut(&[u8])) -> Result<usize, NetError> {
        let mut used = 0;
        while !self.done() {
            let piece = self.next(input.get(used..).unwrap_or_default())?;
            if piece.skip + piece.data == 0 {
                break;
            }
            let from = used + piece.skip;
            used = from + piece.data;
            if let Some(data) = input.get(from..used)
                && !data.is_empty()
            {
                sink(data);
            }
        }
        Ok(used)
    }

    /// The connection ended: fine when the body ends with it or was over already.
    pub fn eof(&mut self) -> Result<(), NetError> {
        if self.done() || *self == Self::Close {
            *self = Self::Empty;
            return Ok(());
        }
        Err(NetError::unexpected_eof())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_takes_no_byte_more() {
        let mut framing = Framing::Length(3);
        assert_eq!(framing.feed(b"ab").unwrap(), 2);
        assert!(!framing.done());
        assert_eq!(framing.feed(b"cHTTP/1.1 200").unwrap(), 1);
        assert!(framing.done());
    }

    #[test]
    fn end_of_connection_ends_only_a_close_delimited_body() {
        assert!(Framing::Close.eof().is_ok());
        assert!(Framing::Length(0).eof().is_ok());
        assert!(Framing::Length(1).eof().is_err());
        assert!(Framing::Chunked(Chunked::new()).eof().is_err());
    }

    #[test]
    fn decoding_drops_the_framing_of_chunks() {
        let mut framing = Framing::Chunked(Chunked::new());
        let mut data = Vec::new();
        let wire = b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\nrest";
        let used = framing
            .decode(wire, |part| data.extend_from_slice(part))
            .unwrap();
        assert_eq!(
            (data.as_slice(), &wire[used..]),
            (&b"abcde"[..], &b"rest"[..])
        );
        assert!(framing.done());
    }
}
