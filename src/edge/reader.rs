//! Reading the next head of a connection: as much as the client sent, never past a deadline, and
//! without a buffer of its own while the connection idles.

use bytes::BytesMut;
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes taken from the socket at once.
const SCRATCH: usize = 16 << 10;

thread_local! {
    /// One per thread instead of one per connection: it is only borrowed while bytes are there.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// Appends what the client sent; 0 when it closed.
///
/// # Errors
/// The socket's.
pub async fn read_more<S: AsyncRead + Unpin + ?Sized>(
    stream: &mut S,
    into: &mut BytesMut,
) -> io::Result<usize> {
    std::future::poll_fn(|cx| poll_more(stream, into, cx)).await
}

/// The same, once.
pub fn poll_more<S: AsyncRead + Unpin + ?Sized>(
    stream: &mut S,
    into: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    BUFFER.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        let filled = buffer.filled();
        // A fresh buffer becomes the request's own memory without another copy.
        into.extend_from_slice(filled);
        Poll::Ready(Ok(filled.len()))
    })
}

/// Looks for the end of a head in bytes that arrive piece by piece, each byte once.
#[derive(Debug, Default)]
pub struct HeadScan {
    /// Bytes that were looked at.
    seen: usize,
}

/// What the scan knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// More bytes are needed.
    Partial,
    /// The head is complete.
    Complete,
    /// A line end of LF or CR alone: RFC 9112 lets us refuse it, and smuggling begins there.
    BareLf,
}

impl HeadScan {
    /// Looks at the bytes that are new since the last call.
    pub fn scan(&mut self, head: &[u8]) -> Scan {
        while let Some(rest) = head.get(self.seen..) {
            let Some(at) = rest.iter().position(|&b| b == b'\n') else {
                // A CR that no LF follows: waiting would not make it better.
                let known = rest.len().saturating_sub(1);
                if rest.get(..known).is_some_and(|rest| rest.contains(&b'\r')) {
                    return Scan::BareLf;
                }
                // The last byte may be the CR of a line end, so it is looked at again.
                self.seen = head.len() - usize::from(rest.last() == Some(&b'\r'));
                return Scan::Partial;
            };
            let newline = self.seen + at;
            self.seen = newline + 1;
            if newline == 0 || head.get(newline - 1) != Some(&b'\r') {
                return Scan::BareLf;
            }
            if newline >= 3 && head.get(newline - 3..newline) == Some(b"\r\n\r") {
                return Scan::Complete;
            }
        }
        Scan::Partial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_however_the_head_is_cut() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for cut in 0..head.len() {
            let mut scan = HeadScan::default();
            let first = scan.scan(&head[..cut]);
            assert_eq!(first == Scan::Complete, cut >= 27, "cut at {cut}");
            if first == Scan::Partial {
                assert_eq!(scan.scan(head), Scan::Complete, "cut at {cut}");
            }
        }
    }

    #[test]
    fn tells_bare_line_feeds_at_once() {
        for head in [
            &b"GET / HTTP/1.1\nHost: a\n\n"[..],
            b"\n",
            b"GET / HTTP/1.1\r\nHost: a\n\r\n",
            b"GET / HTTP/1.1\rHost: a",
        ] {
            assert_eq!(HeadScan::default().scan(head), Scan::BareLf);
        }
    }
}
