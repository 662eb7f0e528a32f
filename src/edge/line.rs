//! A client's HTTP/1 connection: what was read of it and not yet used, and its one timer.

use crate::base::{Reason, clock};
use crate::edge::reader::{HeadScan, Scan, poll_more};
use crate::edge::room::Room;
use crate::edge::timer::Timer;
use crate::gateway::http1::{HeadInfo, check_head_noting};
use crate::gateway::limits::Limits;
use crate::gateway::live::Live;
use crate::gateway::snapshot::Gateway;
use bytes::BytesMut;
use pingora::protocols::Stream;
use pingora::protocols::tls::SslDigest;
use pingora::server::ShutdownWatch;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::AsyncWrite;

/// Bytes of later requests that are kept while one is served; then the client has to wait.
pub const MOST_HELD: usize = 64 << 10;
/// Longest wait for a client to take a piece of its answer.
pub const STUCK: Duration = Duration::from_secs(60);
/// A head deadline where the configuration has none: nobody may hold a connection for ever.
const LONGEST_HEAD: Duration = Duration::from_secs(60);
/// How long a connection that is new when the process begins to end may take to send its request: it was
/// accepted, so it is answered.
const LAST_CHANCE: Duration = Duration::from_millis(500);

/// A connection between two requests, or in one.
pub struct Line {
    /// The client.
    pub stream: Stream,
    /// Bytes that came and belong to the next request.
    pub held: BytesMut,
    /// Wakes it when a wait has been too long.
    pub timer: Timer,
    /// The other end.
    pub peer: IpAddr,
    /// What is known of its encryption; `None` in clear.
    pub tls: Option<Arc<SslDigest>>,
    /// When its last request ended: now, as far as the wait for the next one is concerned.
    pub seen: Option<Instant>,
    /// Ends when the process begins to end.
    closing: Option<Closing>,
}

/// What came of waiting for a head.
pub enum Next {
    /// A whole head, where its fields stand, and the snapshot that serves it.
    Head(HeadInfo, Box<Room>, Arc<Gateway>),
    /// What came cannot be answered otherwise than with this.
    Refuse(Reason),
    /// Nothing will come.
    Closed,
}

/// How long to wait for a head, and under which limits.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// For its first byte.
    pub patience: Duration,
    /// From its first byte to its last.
    pub head: Duration,
    /// Whether it is the connection's first: then its absence is a fault.
    pub first: bool,
}

/// In which time a head has to come.
pub fn head_timeout(limits: &Limits) -> Duration {
    limits.header_timeout.unwrap_or(LONGEST_HEAD)
}

impl Line {
    /// A connection that has said nothing yet.
    pub fn new(stream: Stream, peer: IpAddr, shutdown: &ShutdownWatch) -> Self {
        let tls = stream.get_ssl_digest();
        Self {
            stream,
            held: BytesMut::new(),
            timer: Timer::default(),
            peer,
            tls,
            seen: None,
            closing: Some(Closing::new(shutdown)),
        }
    }

    /// Waits for the next head: for its first byte as long as a connection may idle (the first one as
    /// long as a head may take), then until the head's own deadline. The snapshot of the moment in which
    /// the head is whole decides about it.
    pub async fn next_head(&mut self, wait: &Wait, live: &Live) -> Next {
        let mut deadline: Option<Instant> = None;
        let mut scan = HeadScan::default();
        let mut began = false;
        loop {
            while self.held.starts_with(b"\r\n") {
                // RFC 9112 section 2.2: empty lines before a request line are passed over.
                let _ = self.held.split_to(2);
            }
            if !self.held.is_empty() {
                if let Some(next) = self.look(&mut scan, live) {
                    return next;
                }
                if !began {
                    began = true;
                    deadline = None;
                }
            }
            let span = if began { wait.head } else { wait.patience };
            let quiet = Quiet {
                span,
                began,
                first: wait.first,
            };
            let came = poll_fn(|cx| self.poll_bytes(cx, &mut deadline, &quiet)).await;
            match came {
                Came::Bytes => {}
                Came::End => return Next::Closed,
                Came::Late if began || wait.first => return Next::Refuse(Reason::HeaderTimeout),
                Came::Late => return Next::Closed,
            }
        }
    }

    /// Bytes, the end, or the deadline, which is only made when there is something to wait for.
    fn poll_bytes(
        &mut self,
        cx: &mut Context<'_>,
        deadline: &mut Option<Instant>,
        quiet: &Quiet,
    ) -> Poll<Came> {
        match poll_more(&mut self.stream, &mut self.held, cx) {
            Poll::Ready(Ok(1..)) => return Poll::Ready(Came::Bytes),
            Poll::Ready(_) => return Poll::Ready(Came::End),
            Poll::Pending => {}
        }
        let seen = self.seen.take();
        let until = deadline.get_or_insert_with(|| seen.unwrap_or_else(clock::now) + quiet.span);
        if let Some(closing) = &mut self.closing
            && !quiet.began
            && closing.poll(cx).is_ready()
        {
            self.closing = None;
            *until = (*until).min(clock::now() + LAST_CHANCE);
        }
        // Between requests a connection may end at any time.
        let closing = !quiet.began && self.closing.is_none();
        if closing && !quiet.first {
            return Poll::Ready(Came::End);
        }
        let late = self.timer.poll(cx, *until);
        late.map(|()| if closing { Came::End } else { Came::Late })
    }

    /// Sends bytes to the client, however slowly it takes them as long as it takes some.
    ///
    /// # Errors
    /// When it is gone, or as good as that.
    pub async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut deadline = None;
        poll_fn(|cx| {
            while !bytes.is_empty() {
                match Pin::new(&mut self.stream).poll_write(cx, bytes) {
                    Poll::Ready(Ok(n @ 1..)) => {
                        bytes = bytes.get(n..).unwrap_or_default();
                        deadline = None;
                    }
                    Poll::Ready(Ok(_)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => break,
                }
            }
            if bytes.is_empty()
                && let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(cx)
            {
                return Poll::Ready(flushed);
            }
            let until = *deadline.get_or_insert_with(|| clock::now() + STUCK);
            let stuck = self.timer.poll(cx, until);
            stuck.map(|()| Err(io::ErrorKind::TimedOut.into()))
        })
        .await
    }

    /// Reads once more, for at most a while; 0 when the client closed, `None` when it took too long.
    pub async fn receive(&mut self, patience: Duration) -> Option<usize> {
        let mut until = None;
        poll_fn(|cx| {
            if let Poll::Ready(came) = poll_more(&mut self.stream, &mut self.held, cx) {
                return Poll::Ready(Some(came.unwrap_or(0)));
            }
            let until = *until.get_or_insert_with(|| clock::now() + patience);
            self.timer.poll(cx, until).map(|()| None)
        })
        .await
    }

    /// Waits for something while the client is there; `None` when it went away first. What it sends
    /// meanwhile belongs to its next request.
    pub async fn while_there<T>(
        &mut self,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            while self.held.len() < MOST_HELD {
                match poll_more(&mut self.stream, &mut self.held, cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(None),
                    Poll::Pending => break,
                }
            }
            Poll::Pending
        })
        .await
    }

    /// What the bytes so far amount to; `None` when more are needed.
    fn look(&mut self, scan: &mut HeadScan, live: &Live) -> Option<Next> {
        let gateway = live.pin();
        let limits = &gateway.service.limits;
        // Most heads arrive whole: the rules find the end of such a one by themselves.
        let first = scan.is_new();
        if !first {
            match scan.scan(&self.held) {
                Scan::BareLf => return Some(Next::Refuse(Reason::MalformedRequest)),
                // Each byte is scanned once; the rules are applied when the head is whole, or too large.
                Scan::Partial if self.held.len() <= limits.max_uri.min(limits.max_header_bytes) => {
                    return None;
                }
                Scan::Partial | Scan::Complete => {}
            }
        }
        let mut room = Room::take();
        match check_head_noting(&self.held, limits, &mut room.spans) {
            Ok(Some(head)) => Some(Next::Head(head, room, gateway)),
            Ok(None) => {
                room.rest();
                let broken = first && scan.scan(&self.held) == Scan::BareLf;
                broken.then_some(Next::Refuse(Reason::MalformedRequest))
            }
            Err(reason) => {
                room.rest();
                Some(Next::Refuse(reason))
            }
        }
    }
}

/// The process begins to end.
struct Closing {
    watch: ShutdownWatch,
    began: Pin<Box<dyn Future<Output = ()> + Send>>,
    listens: bool,
}

impl Closing {
    fn new(shutdown: &ShutdownWatch) -> Self {
        let mut watch = shutdown.clone();
        let began = async move {
            let _ = watch.wait_for(|down| *down).await;
        };
        Self {
            watch: shutdown.clone(),
            began: Box::pin(began),
            listens: false,
        }
    }

    /// Asked with every request. Who is to be woken is told once, as a connection is of one task for as long as it
    /// lives: telling it again takes a lock that all connections share.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let news = !matches!(self.watch.has_changed(), Ok(false));
        if self.listens && !news {
            return Poll::Pending;
        }
        // A task that has had its share of a turn is asked again, and told nothing until then.
        self.listens = tokio::task::coop::has_budget_remaining();
        self.began.as_mut().poll(cx)
    }
}

/// What a connection waits for.
struct Quiet {
    /// How long.
    span: Duration,
    /// Whether a head has begun.
    began: bool,
    /// Whether it is the first.
    first: bool,
}

/// What a wait brought.
enum Came {
    Bytes,
    End,
    Late,
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::watch;
    use tokio::task::coop;

    #[tokio::test]
    async fn who_had_no_turn_left_is_told_of_the_end_all_the_same() {
        let (ends, watch) = watch::channel(false);
        let mut closing = Closing::new(&watch);
        poll_fn(|cx| {
            // Uses up this turn.
            while coop::has_budget_remaining() {
                match coop::poll_proceed(cx) {
                    Poll::Ready(used) => used.made_progress(),
                    Poll::Pending => break,
                }
            }
            assert!(closing.poll(cx).is_pending() && !closing.listens);
            Poll::Ready(())
        })
        .await;
        tokio::task::yield_now().await;
        poll_fn(|cx| {
            assert!(closing.poll(cx).is_pending() && closing.listens);
            assert!(closing.poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        ends.send(true).unwrap();
        poll_fn(|cx| closing.poll(cx)).await;
    }
}
