//! The writes to a client on the platform's path, gathered: a head and its body leave together, and on
//! HTTP/2 all answers that become ready together. The listener's streams have no buffer of their own, which
//! an idle connection would pay for with memory.
//!
//! The platform's HTTP/2 connection flushes whenever one of its streams has written something, and each
//! flush is one or two system calls, which cost more than all else that is done for a small answer. Here
//! a flush first lets every task run that is ready now, and sends after that what they all have written.
//! Nothing waits for a timer or for anything that is not ready: an answer alone leaves at once.
//!
//! What is read is, on HTTP/1, of one request only, and no malformed chunk of it passes.

use crate::edge::body::Body;
use crate::edge::chunks::Malformed;
use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Room that a connection takes while it has something to send: two frames of the usual greatest size
/// and small ones about them.
const ROOM: usize = 36 << 10;
/// So much is sent without asking for more.
const ENOUGH: usize = 32 << 10;

thread_local! {
    /// Room that nobody uses now; most connections need one for a moment only.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A stream that holds what is written until it is flushed, and flushes once all that is ready is there.
#[derive(Debug)]
pub struct Gathered {
    stream: Stream,
    /// What waits; without memory of its own while nothing does.
    held: Vec<u8>,
    /// How much of it is sent.
    sent: usize,
    /// How much of it waited when others were given their turn.
    asked: usize,
    /// Whether others write to the stream too, who may be ready.
    shared: bool,
    /// What the client sends behind its request stays here; nothing is held where there is no request to tell.
    withheld: Option<Withheld>,
    /// The beginning of a new protocol, that came early.
    early: Vec<u8>,
}

/// What a client sends behind one request is its next one, and not for the platform to see while it serves
/// the first: it would end the connection. A client that asked for another protocol has nothing to say
/// before it has read the 101; what it says all the same is no business of a backend's.
#[derive(Debug)]
struct Withheld {
    /// What is still to come of this request's body.
    body: Body,
    /// What came behind it.
    early: Vec<u8>,
    /// Whether the protocol may be switched; the bytes behind the request belong to the new one then.
    may_switch: bool,
    /// The beginning of what was written, until its status is known.
    begun: Vec<u8>,
    reader: Option<Waker>,
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Malformed)
}

/// So much is taken of what comes early; more waits in the socket.
const MOST_EARLY: usize = 64 << 10;

impl Withheld {
    /// Whether what is written switches the protocol; `None` while that is not known.
    fn switches(&mut self, written: &[u8]) -> Option<bool> {
        const STATUS: &[u8] = b"HTTP/1.1 101";
        let missing = STATUS.len().saturating_sub(self.begun.len());
        self.begun.extend_from_slice(
            written
                .get(..missing.min(written.len()))
                .unwrap_or_default(),
        );
        if self.begun.len() < STATUS.len() {
            return None;
        }
        let switches = self.begun == STATUS;
        if !switches && self.begun.starts_with(b"HTTP/1.1 1") {
            // An interim answer; the platform writes each head in one piece.
            self.begun.clear();
            return None;
        }
        Some(switches)
    }
}

impl Gathered {
    /// Gathers the writes of many requests to a stream.
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            held: Vec::new(),
            sent: 0,
            asked: 0,
            shared: true,
            withheld: None,
            early: Vec::new(),
        }
    }

    /// Joins the writes of one request, of which so much of its body is still to come: a flush waits for nobody. What
    /// the client sends behind it is kept for [`Gathered::unwrap`], or, where the protocol may be switched, for the 101.
    pub fn request(stream: Stream, body: Body, may_switch: bool) -> Self {
        Self {
            shared: false,
            withheld: Some(Withheld {
                body,
                early: Vec::new(),
                may_switch,
                begun: Vec::new(),
                reader: None,
            }),
            ..Self::new(stream)
        }
    }

    /// Looks at what is written to a client that waits for its 101.
    fn watch(&mut self, written: &[u8]) {
        let Some(withheld) = &mut self.withheld else {
            return;
        };
        if withheld.may_switch && withheld.switches(written) == Some(true) {
            let reader = withheld.reader.take();
            self.early = std::mem::take(&mut withheld.early);
            self.withheld = None;
            if let Some(reader) = reader {
                reader.wake();
            }
        }
    }

    /// The stream itself, if it was wrapped, once it has taken what waits, and what the client has sent behind its
    /// request.
    pub async fn unwrap(stream: Stream) -> Option<(Stream, Vec<u8>)> {
        let mut gathered = stream.into_any().downcast::<Self>().ok()?;
        let sent = std::future::poll_fn(|cx| Pin::new(&mut *gathered).poll_flush(cx)).await;
        let early = gathered.withheld.take().map(|withheld| withheld.early);
        sent.ok()
            .map(|()| (gathered.stream, early.unwrap_or_default()))
    }

    /// Keeps what comes behind a request; ready only at the end of the connection.
    fn poll_early(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(withheld) = &mut self.withheld else {
            return Poll::Ready(Ok(()));
        };
        withheld.reader = Some(cx.waker().clone());
        let mut room = [0; 2048];
        while withheld.early.len() < MOST_EARLY {
            let mut buf = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            withheld.early.extend_from_slice(buf.filled());
        }
        Poll::Pending
    }

    /// Hands all that waits to the stream.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.held.get(self.sent..)
            && !rest.is_empty()
        {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += n;
        }
        (self.sent, self.asked) = (0, 0);
        if self.held.capacity() > 0 {
            // An idle connection holds no memory for its next answer.
            let mut room = std::mem::take(&mut self.held);
            room.clear();
            SPARE.set(room);
        }
        Poll::Ready(Ok(()))
    }

    fn hold(&mut self, bytes: &[u8]) {
        if self.held.capacity() == 0 {
            self.held = SPARE.take();
            self.held.reserve_exact(ROOM);
        }
        self.held.extend_from_slice(bytes);
    }

    fn fits(&self, more: usize) -> bool {
        self.sent == 0 && self.held.len().saturating_add(more) <= ROOM
    }
}

impl AsyncRead for Gathered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.early.is_empty() {
            let take = this.early.len().min(buf.remaining());
            buf.put_slice(this.early.get(..take).unwrap_or_default());
            this.early.drain(..take);
            return Poll::Ready(Ok(()));
        }
        let Some(withheld) = &mut this.withheld else {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        };
        if withheld.body.done() {
            return this.poll_early(cx);
        }
        if withheld.body.broken() {
            // Whoever drains what is left need not wait for more of it.
            return Poll::Ready(Err(malformed()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let new = buf.filled().get(before..).unwrap_or_default();
        let Ok(fed) = withheld.body.feed(new) else {
            // Nobody sees a byte of it.
            buf.set_filled(before);
            return Poll::Ready(Err(malformed()));
        };
        // Of the request's own body, and not a byte more.
        let behind = new.get(fed.used..).unwrap_or_default();
        withheld.early.extend_from_slice(behind);
        buf.set_filled(before + fed.used);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gathered {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.fits(buf.len()) {
            ready!(this.poll_send(cx))?;
            if buf.len() > ROOM {
                let written = ready!(Pin::new(&mut this.stream).poll_write(cx, buf))?;
                this.watch(buf.get(..written).unwrap_or_default());
                return Poll::Ready(Ok(written));
            }
        }
        this.hold(buf);
        this.watch(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let waiting = this.held.len();
        // Asked again only when the last time was of use.
        if this.shared && this.sent == 0 && waiting > this.asked && waiting < ENOUGH {
            this.asked = waiting;
            // The runtime puts a task that wakes itself behind all that are ready.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Gathered {
    async fn shutdown(&mut self) {
        let _ = std::future::poll_fn(|cx| self.poll_send(cx)).await;
        Shutdown::shutdown(&mut *self.stream).await;
    }
}

impl UniqueID for Gathered {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Gathered {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Gathered {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.stream.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.stream.get_write_pending_time()
    }
}

impl GetProxyDigest for Gathered {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Gathered {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

#[async_trait]
impl Peek for Gathered {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        self.stream.try_peek(buf).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::head::BodySize;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    async fn pair() -> (Gathered, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
        let plain = pingora::protocols::l4::stream::Stream::from(ours.unwrap());
        (Gathered::new(Box::new(plain)), theirs.unwrap().0)
    }

    #[tokio::test]
    async fn a_flush_lets_others_write_first_and_sends_all() {
        let (mut ours, mut theirs) = pair().await;
        ours.write_all(b"one ").await.unwrap();
        let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut ours).poll_flush(cx))).await;
        assert!(first.is_pending());
        ours.write_all(b"two").await.unwrap();
        ours.flush().await.unwrap();
        let mut got = [0; 7];
        theirs.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"one two");
        assert_eq!(ours.held.capacity(), 0);
    }

    #[tokio::test]
    async fn order_is_kept_between_small_and_large_pieces() {
        let (mut ours, mut theirs) = pair().await;
        let mut whole = Vec::new();
        for (number, length) in [10, ROOM, 1, 9000, ENOUGH, 5, 3 * ROOM, ROOM - 1, 2]
            .into_iter()
            .enumerate()
        {
            whole.resize(whole.len() + length, number as u8);
        }
        let copy = whole.clone();
        let reader = async {
            let mut got = vec![0; copy.len()];
            theirs.read_exact(&mut got).await.unwrap();
            got
        };
        let writer = async {
            for piece in whole.chunk_by(|a, b| a == b) {
                ours.write_all(piece).await.unwrap();
            }
            ours.flush().await.unwrap();
        };
        let (got, ()) = tokio::join!(reader, writer);
        assert!(got == copy);
    }

    #[tokio::test]
    async fn nothing_is_read_before_the_101() {
        for (status, opens) in [("HTTP/1.1 101 Switching", true), ("HTTP/1.1 200 OK", false)] {
            let (plain, mut theirs) = pair().await;
            let mut ours = Gathered::request(plain.stream, Body::Length(0), true);
            theirs.write_all(b"early").await.unwrap();
            let mut got = [0; 5];
            let early = tokio::time::timeout(Duration::from_millis(20), ours.read(&mut got)).await;
            assert!(early.is_err(), "{status}");
            let (first, rest) = status.split_at(9);
            ours.write_all(first.as_bytes()).await.unwrap();
            ours.write_all(rest.as_bytes()).await.unwrap();
            let patience = Duration::from_millis(if opens { 5000 } else { 20 });
            let late = tokio::time::timeout(patience, ours.read_exact(&mut got)).await;
            assert_eq!(late.is_ok(), opens, "{status}");
        }
    }

    #[tokio::test]
    async fn what_comes_behind_a_request_is_kept_for_the_next() {
        let (plain, mut theirs) = pair().await;
        let mut ours = Gathered::request(plain.stream, Body::Length(4), false);
        theirs.write_all(b"bodyGET /next").await.unwrap();
        let mut got = [0; 16];
        let mut length = 0;
        while length < 4 {
            length += ours.read(&mut got[length..]).await.unwrap();
        }
        assert_eq!(&got[..length], b"body");
        let more = tokio::time::timeout(Duration::from_millis(20), ours.read(&mut got)).await;
        assert!(more.is_err());
        let (_, early) = Gathered::unwrap(Box::new(ours)).await.unwrap();
        assert_eq!(early, b"GET /next");
    }

    #[tokio::test]
    async fn what_comes_behind_chunks_is_kept_and_what_is_no_chunk_is_not_seen() {
        let body = || Body::of(BodySize::Unknown);
        let (plain, mut theirs) = pair().await;
        let mut ours = Gathered::request(plain.stream, body(), false);
        let chunks = b"1\r\na\r\n0\r\nX-T: 1\r\n\r\n";
        theirs.write_all(chunks).await.unwrap();
        theirs.write_all(b"GET /next").await.unwrap();
        let mut got = vec![0; chunks.len()];
        ours.read_exact(&mut got).await.unwrap();
        assert_eq!(got, chunks);
        let more = tokio::time::timeout(Duration::from_millis(20), ours.read(&mut got)).await;
        assert!(more.is_err());
        let (_, early) = Gathered::unwrap(Box::new(ours)).await.unwrap();
        assert_eq!(early, b"GET /next");

        let (plain, mut theirs) = pair().await;
        let mut ours = Gathered::request(plain.stream, body(), false);
        theirs.write_all(b"1\r\nab\r\n").await.unwrap();
        for _ in 0..2 {
            let error = ours.read(&mut got).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[tokio::test]
    async fn a_client_that_leaves_is_noticed_whatever_it_sent_before() {
        let (plain, mut theirs) = pair().await;
        let mut ours = Gathered::request(plain.stream, Body::Length(0), false);
        theirs.write_all(b"GET /next").await.unwrap();
        drop(theirs);
        let mut got = [0; 16];
        assert_eq!(ours.read(&mut got).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_waits_is_sent_before_the_end() {
        let (mut ours, mut theirs) = pair().await;
        ours.write_all(b"last words").await.unwrap();
        AsyncWriteExt::shutdown(&mut ours).await.unwrap();
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"last words");
    }
}
