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
/// Most room of a buffer that is used again.
const LARGEST: usize = 16 << 10;
/// Buffers that rest on a thread; more requests than that are rarely under way at once.
const RESTING: usize = 64;

thread_local! {
    /// One per thread instead of one per connection: it is only borrowed while bytes are there.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
    /// What requests on this thread lay in.
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
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
        if into.capacity() == 0 {
            *into = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        }
        // The buffer becomes the request's own memory without another copy.
        into.extend_from_slice(filled);
        Poll::Ready(Ok(filled.len()))
    })
}

/// Takes the memory of a request that has ended, which it shares with nobody, for another one.
pub fn rest(mut bytes: BytesMut) {
    SPARE.with_borrow_mut(|spare| {
        if bytes.capacity() <= LARGEST && spare.len() < RESTING {
            bytes.clear();
            spare.push(bytes);
        }
    });
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
    /// Whether nothing was looked at.
    pub fn is_new(&self) -> bool {
        self.seen == 0
    }

    /// Looks at the bytes that are new since the last call.
    pub fn scan(&mut self, head: &[u8]) -> Scan {
        while let Some(rest) = head.get(self.seen..) {
            let Some(at) = rest.iter().position(|&b| b == b'\r' || b == b'\n') else {
                self.seen = head.len();
                break;
            };
            let end = self.seen + at;
            match (rest.get(at), rest.get(at + 1)) {
                (Some(b'\r'), Some(b'\n')) => self.seen = end + 2,
                // The LF may be under way: looked at again with what comes next.
                (Some(b'\r'), None) => {
                    self.seen = end;
                    break;
                }
                // Waiting would not make it better.
                _ => return Scan::BareLf,
            }
            if end >= 2 && head.get(end - 2..end) == Some(b"\r\n") {
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
    fn tells_a_bare_line_end_however_the_head_is_cut() {
        let head = b"POST / HTTP/1.1\rHost: a\rX: b\r\nY: c\r\n";
        for cut in 0..head.len() {
            let mut scan = HeadScan::default();
            let first = scan.scan(&head[..cut]);
            let whole = if first == Scan::Partial {
                scan.scan(head)
            } else {
                first
            };
            assert_eq!(whole, Scan::BareLf, "cut at {cut}");
        }
    }

    #[test]
    fn tells_bare_line_feeds_at_once() {
        for head in [
            &b"GET / HTTP/1.1\nHost: a\n\n"[..],
            b"\n",
            b"GET / HTTP/1.1\r\nHost: a\n\r\n",
            b"GET / HTTP/1.1\rHost: a",
            b"GET / HTTP/1.1\rHost: a\r\nX-",
            b"GET / HTTP/1.1\r\r\n",
        ] {
            assert_eq!(HeadScan::default().scan(head), Scan::BareLf);
        }
    }
}
