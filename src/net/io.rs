//! A connection to a backend and the buffer it is read through.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes read at once; large, because one read per 100 KiB of body is what makes streaming cheap.
pub const SCRATCH: usize = 128 * 1024;
/// Bytes in front of what is read, where a head can be put so that it leaves with the first piece of its
/// body in one write.
pub const ROOM: usize = 8 * 1024;

/// A read of so many bytes is kept in the buffer it was read into; less is copied, so that nobody who waits
/// for a slow reader holds much more than what that reader is to get.
const KEPT: usize = SCRATCH / 2;

thread_local! {
    static BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    static GIVEN: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// What came with one read; nothing at the end.
#[derive(Debug)]
pub struct Came(BytesMut);

impl Came {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes from a place on, to keep: a large piece without copying it.
    pub fn keep(mut self, from: usize) -> Bytes {
        let rest = self.0.get(from..).unwrap_or_default();
        if rest.len() < KEPT {
            return Bytes::copy_from_slice(rest);
        }
        std::mem::take(&mut self.0).freeze().slice(from..)
    }
}

impl Drop for Came {
    fn drop(&mut self) {
        if self.0.capacity() > 0 {
            let mut buffer = std::mem::take(&mut self.0);
            buffer.clear();
            let _ = GIVEN.try_with(|place| place.set(buffer));
        }
    }
}

/// Reads once through a buffer of this thread. It is busy only while data is there, so waiting connections
/// hold none; taken away with a large piece, it is replaced by one that nobody has to clear.
pub fn poll_read<S>(stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<Came>>
where
    S: AsyncRead + Unpin,
{
    let mut came = Came(GIVEN.take());
    if came.0.capacity() < SCRATCH {
        came.0 = BytesMut::with_capacity(SCRATCH);
    }
    let read = pin!(stream.read_buf(&mut came.0));
    ready!(read.poll(cx))?;
    Poll::Ready(Ok(came))
}

/// Reads once through this thread's buffer and hands what came to `take`; nothing means the end. The
/// buffer is busy only while data is there, so waiting connections hold none.
pub fn poll_through<S, R>(
    stream: &mut S,
    cx: &mut Context<'_>,
    take: impl FnOnce(&[u8]) -> R,
) -> Poll<io::Result<R>>
where
    S: AsyncRead + Unpin,
{
    poll_with_room(stream, cx, SCRATCH, |buffer, came, _| {
        take(buffer.get(came).unwrap_or_default())
    })
}

/// The same, at most `most` bytes, for takers that write in the buffer, or to another stream: what came
/// stands in the range, [`ROOM`] bytes behind the beginning.
pub fn poll_with_room<S, R>(
    stream: &mut S,
    cx: &mut Context<'_>,
    most: usize,
    take: impl FnOnce(&mut [u8], Range<usize>, &mut Context<'_>) -> R,
) -> Poll<io::Result<R>>
where
    S: AsyncRead + Unpin,
{
    // Taken, not borrowed: a reader inside `take` would get a buffer of its own instead of a panic.
    let mut buffer = BUFFER
        .take()
        .unwrap_or_else(|| vec![0; ROOM + SCRATCH].into_boxed_slice());
    let end = ROOM + most.min(SCRATCH);
    let mut space = ReadBuf::new(buffer.get_mut(ROOM..end).unwrap_or_default());
    let polled = Pin::new(stream).poll_read(cx, &mut space);
    let came = space.filled().len();
    let outcome = match polled {
        Poll::Ready(Ok(())) => Poll::Ready(Ok(take(&mut buffer, ROOM..ROOM + came, cx))),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Pending => Poll::Pending,
    };
    BUFFER.set(Some(buffer));
    outcome
}

/// A plaintext socket, or a TLS stream that Pingora made.
#[derive(Debug)]
pub enum Io {
    /// Plaintext.
    Tcp(TcpStream),
    /// TLS; its writes need a flush.
    Tls(Stream),
}

impl Io {
    /// Our end, when the system tells.
    pub fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(tcp) => tcp.local_addr().ok(),
            Self::Tls(_) => None,
        }
    }

    /// Writes from the front of `bytes` and moves it on, until it is empty or the socket is full.
    /// Ready when everything is written and flushed.
    pub fn poll_write_all(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut &[u8],
    ) -> Poll<io::Result<()>> {
        while !bytes.is_empty() {
            let n = ready!(Pin::new(&mut *self).poll_write(cx, bytes))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *bytes = bytes.get(n..).unwrap_or_default();
        }
        Pin::new(self).poll_flush(cx)
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// Which TLS set-up or proxy a connection was made with: connections of different ones, or of different
/// names, are never exchanged for one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnKey {
    /// Number of the TLS set-up, or of the proxy that gets plaintext; unique in the process.
    pub setup: u64,
    /// Name that the certificate was checked against, and through which proxy.
    pub name: Arc<str>,
}

/// An open HTTP/1.1 connection between two answers, or in use for one.
#[derive(Debug)]
pub struct Conn {
    /// The stream.
    pub io: Io,
    /// The backend's end.
    pub peer: SocketAddr,
    /// What it was made with; `None` for plaintext to the backend itself.
    pub key: Option<ConnKey>,
    /// Whether it served a request before.
    pub reused: bool,
}
