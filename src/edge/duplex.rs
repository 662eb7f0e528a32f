//! Both directions of one request at once: what the client sends goes up, what the backend answers comes
//! down, as the bytes they are. Nothing is read that nobody takes, nothing waits without a deadline.
//!
//! The first piece of an answer's body leaves in one write with its head. What a socket does not take at
//! once is kept, and until it is gone nothing more is read for it.

use crate::base::{Reason, clock};
use crate::edge::body::{Body, passing};
use crate::edge::chunks::Fed;
use crate::edge::down::{Down, Plan, Route};
use crate::edge::line::{MOST_HELD, STUCK};
use crate::edge::room::scratch;
use crate::edge::timer::Timer;
use crate::net::NetError;
use crate::net::io::{Conn, SCRATCH, poll_through, poll_with_room};
use crate::proxy::upload::Upload;
use bytes::BytesMut;
use pingora::protocols::Stream;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::AsyncWrite;

/// Bytes read at once for a client that has shown to be slower than its backend.
const SLOW_PIECE: usize = 16 << 10;

/// Bytes read at once of a body that is large. The part of a piece that a client does not take is kept for it, and
/// such bodies are what clients do not take at once; smaller ones are read in one piece.
const LARGE_PIECE: usize = 96 << 10;

/// Why an exchange ended before its end.
#[derive(Debug)]
pub enum Ended {
    /// The backend's fault.
    Backend {
        /// What happened.
        error: NetError,
        /// No byte of an answer came: a connection that had rested may have been dead.
        untouched: bool,
    },
    /// The client's.
    Client(Reason),
}

impl Ended {
    fn backend(error: NetError) -> Self {
        Self::Backend {
            error,
            untouched: false,
        }
    }
}

/// How long each wait may be.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// When the request began.
    pub started: Instant,
    /// From then to the answer's head; counted from the end of the upload when there is one.
    pub answer: Duration,
    /// For the answer's head once the request is sent, if that has a limit of its own.
    pub head: Option<Duration>,
    /// Between two pieces of the answer's body.
    pub pause: Duration,
}

/// How far the request's way up is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// More is to be sent.
    Going,
    /// All is sent.
    Done,
    /// There is no use in sending more.
    Stopped,
}

/// The request on its way up.
#[derive(Debug)]
pub struct Up<'a> {
    /// Bytes for the backend: at first the head.
    pub out: &'a mut Vec<u8>,
    /// What came of the body with the client's head, until it is sent or in `out`.
    begun: Option<(&'a [u8], &'a Fed)>,
    /// What is still to come from the client.
    pub body: Body,
    /// Counts and times it.
    pub upload: &'a mut Upload,
    /// Body bytes so far.
    pub received: u64,
    sent: usize,
    flushed: bool,
    state: Sending,
}

impl<'a> Up<'a> {
    /// A request whose head is in `out`; of the body, these bytes came with the client's head, and are what is told.
    pub fn new(
        out: &'a mut Vec<u8>,
        begun: (&'a [u8], &'a Fed),
        body: Body,
        upload: &'a mut Upload,
    ) -> Self {
        Self {
            out,
            begun: Some(begun).filter(|(bytes, _)| !bytes.is_empty()),
            body,
            upload,
            received: begun.1.data,
            sent: 0,
            flushed: false,
            state: Sending::Going,
        }
    }

    /// Sends head and begin of the body in one write. They are joined in memory of the thread: a request that waits
    /// for its answer keeps the body once, as it came.
    fn poll_first(
        &mut self,
        (bytes, fed): (&[u8], &Fed),
        conn: &mut Conn,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        scratch(|whole| {
            whole.extend_from_slice(self.out);
            passing(bytes, fed, |part| whole.extend_from_slice(part));
            let sent = Pin::new(&mut conn.io).poll_write(cx, whole);
            let n = match &sent {
                Poll::Ready(Ok(n)) => *n,
                Poll::Ready(Err(_)) | Poll::Pending => 0,
            };
            if n < whole.len() {
                let behind = whole.get(self.out.len()..).unwrap_or_default();
                self.out.extend_from_slice(behind);
            }
            self.sent = n.min(self.out.len());
            sent.map(|sent| match sent {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                sent => sent.map(drop),
            })
        })
    }
}

/// One request between two connections.
pub struct Duplex<'a> {
    client: &'a mut Stream,
    held: &'a mut BytesMut,
    timer: &'a mut Timer,
    conn: &'a mut Conn,
    /// The way up.
    pub up: Up<'a>,
    /// The way down.
    pub down: Down,
    patience: Patience,
    /// A failed write to the backend: the answer that explains it may still come.
    broken: Option<NetError>,
    /// What is waited for, and until when.
    waiting: Option<(Waits, Instant)>,
}

/// What an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// The backend takes what is sent.
    BackendTakes,
    /// The client sends more of the body.
    ClientSends,
    /// The backend answers.
    Head,
    /// The backend sends more of the body.
    Body,
    /// The client takes what is sent.
    ClientTakes,
}

impl<'a> Duplex<'a> {
    /// A request between a client (its connection, what it sent beyond this request, its timer) and a
    /// backend; nothing is sent yet.
    pub fn new(
        (client, held, timer): (&'a mut Stream, &'a mut BytesMut, &'a mut Timer),
        conn: &'a mut Conn,
        up: Up<'a>,
        down: Down,
        patience: Patience,
    ) -> Self {
        Self {
            client,
            held,
            timer,
            conn,
            up,
            down,
            patience,
            broken: None,
            waiting: None,
        }
    }

    /// Goes on until the answer is with the client.
    ///
    /// # Errors
    /// Who ended it, and why.
    pub async fn run(&mut self, plan: &mut Plan<'_>) -> Result<(), Ended> {
        std::future::poll_fn(|cx| self.poll(cx, plan)).await
    }

    /// Whether the backend's connection may serve another request.
    pub fn reusable(&self) -> bool {
        self.down.done
            && self.up.state == Sending::Done
            && self.down.planned.as_ref().is_some_and(|p| p.keep_alive)
    }

    fn poll(&mut self, cx: &mut Context<'_>, plan: &mut Plan<'_>) -> Poll<Result<(), Ended>> {
        let mut moved = self.poll_up(cx)?;
        match self.poll_down(cx, plan, &mut moved) {
            Poll::Ready(ended) => return Poll::Ready(ended),
            Poll::Pending => {}
        }
        if self.up.state == Sending::Done {
            self.watch(cx)?;
        } else if self
            .down
            .planned
            .as_ref()
            .is_some_and(|p| p.status.as_u16() >= 300)
        {
            // A refusal: the rest of the body is of no use to the backend.
            self.up.state = Sending::Stopped;
        }
        let waits = self.waits();
        let deadline = match self.waiting {
            Some((kind, deadline)) if kind == waits && !moved => deadline,
            _ => self.deadline(waits),
        };
        self.waiting = Some((waits, deadline));
        ready!(self.timer.poll(cx, deadline));
        Poll::Ready(Err(self.too_late(waits)))
    }

    fn waits(&self) -> Waits {
        if !self.down.pending.is_empty() || !self.down.flushed {
            Waits::ClientTakes
        } else if self.down.planned.is_some() {
            Waits::Body
        } else if self.up.state != Sending::Going {
            Waits::Head
        } else if self.up.sent < self.up.out.len() {
            Waits::BackendTakes
        } else {
            Waits::ClientSends
        }
    }

    fn deadline(&self, waits: Waits) -> Instant {
        let Patience {
            started,
            answer,
            head,
            pause,
        } = self.patience;
        let now = clock::now;
        let (from, span) = match waits {
            Waits::Head | Waits::BackendTakes if self.up.received == 0 => {
                let end = started + answer;
                return head.map_or(end, |head| end.min(now() + head));
            }
            Waits::Head => (now(), head.map_or(answer, |head| head.min(answer))),
            Waits::BackendTakes => (now(), answer),
            Waits::ClientSends => (now(), self.up.upload.patience()),
            Waits::Body => (now(), pause),
            Waits::ClientTakes => (now(), STUCK),
        };
        from + span
    }

    fn too_late(&mut self, waits: Waits) -> Ended {
        match waits {
            Waits::ClientSends => Ended::Client(Reason::BodyTimeout),
            Waits::ClientTakes => Ended::Client(Reason::ClientGone),
            Waits::Head | Waits::BackendTakes | Waits::Body => {
                Ended::backend(self.broken.take().unwrap_or_else(NetError::deadline))
            }
        }
    }

    /// Sends what there is to send; tells whether anything moved.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        let mut moved = false;
        while self.up.state == Sending::Going {
            let Self { conn, up, .. } = self;
            if let Some(begun) = up.begun.take() {
                match up.poll_first(begun, conn, cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(())) => moved = true,
                    Poll::Ready(Err(error)) => self.broke("write", Some(error)),
                }
                continue;
            }
            let rest = up.out.get(up.sent..).unwrap_or_default();
            if !rest.is_empty() {
                match Pin::new(&mut conn.io).poll_write(cx, rest) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(n @ 1..)) => {
                        up.sent += n;
                        moved = true;
                    }
                    Poll::Ready(outcome) => self.broke("write", outcome.err()),
                }
                continue;
            }
            if !up.flushed {
                match Pin::new(&mut conn.io).poll_flush(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(())) => up.flushed = true,
                    Poll::Ready(Err(error)) => self.broke("write", Some(error)),
                }
                continue;
            }
            if up.body.done() {
                up.state = Sending::Done;
                moved = true;
                break;
            }
            match self.poll_receive(cx)? {
                Poll::Ready(()) => moved = true,
                Poll::Pending => break,
            }
        }
        Ok(moved)
    }

    /// The backend takes nothing more; its answer may still come.
    fn broke(&mut self, operation: &'static str, error: Option<io::Error>) {
        let error = error.unwrap_or_else(|| io::ErrorKind::WriteZero.into());
        let local = self.conn.io.local();
        let error = NetError::socket(operation, local, self.conn.peer, &error);
        self.broken = Some(error);
        self.up.state = Sending::Stopped;
    }

    /// Reads the next piece of the body and sends what the backend takes of it at once.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Ended> {
        let Self {
            client,
            held,
            conn,
            up,
            ..
        } = self;
        up.out.clear();
        up.sent = 0;
        up.flushed = false;
        let read = poll_with_room(*client, cx, SCRATCH, |buffer, came, cx| {
            let bytes = buffer.get(came).unwrap_or_default();
            if bytes.is_empty() {
                return Err(Reason::ClientGone);
            }
            let fed = up.body.feed(bytes).map_err(|_| Reason::BadChunk)?;
            up.received += fed.data;
            up.upload.count(fed.data)?;
            passing(bytes, &fed, |mut part| {
                // What the socket does not take now, and what it fails at, is met again from `out`.
                while up.out.is_empty()
                    && let Poll::Ready(Ok(n @ 1..)) = Pin::new(&mut conn.io).poll_write(cx, part)
                {
                    part = part.get(n..).unwrap_or_default();
                    if part.is_empty() {
                        break;
                    }
                }
                up.out.extend_from_slice(part);
            });
            held.extend_from_slice(bytes.get(fed.used..).unwrap_or_default());
            Ok(())
        });
        match read {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Ok(Ok(()))) => Ok(Poll::Ready(())),
            Poll::Ready(Ok(Err(reason))) => Err(Ended::Client(reason)),
            Poll::Ready(Err(_)) => Err(Ended::Client(Reason::ClientGone)),
        }
    }

    /// Looks whether the client is still there while its answer is on the way; what it sends meanwhile
    /// belongs to its next request.
    fn watch(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        while self.held.len() < MOST_HELD {
            let held = &mut *self.held;
            let read = poll_through(self.client, cx, |bytes| {
                held.extend_from_slice(bytes);
                !bytes.is_empty()
            });
            match read {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(_) => return Err(Ended::Client(Reason::ClientGone)),
            }
        }
        Ok(())
    }

    /// Passes on what the backend sends; ready when all of it is with the client.
    fn poll_down(
        &mut self,
        cx: &mut Context<'_>,
        plan: &mut Plan<'_>,
        moved: &mut bool,
    ) -> Poll<Result<(), Ended>> {
        loop {
            let gone = |_| Ended::Client(Reason::ClientGone);
            ready!(self.down.poll_drain(self.client, cx, moved)).map_err(gone)?;
            if self.down.done {
                return Poll::Ready(Ok(()));
            }
            // A client is told that it may stay only when nothing of its request is left to read.
            let whole = self.up.state == Sending::Done;
            let Self {
                conn, down, client, ..
            } = self;
            let most = match down.bytes {
                _ if down.slow => SLOW_PIECE,
                bytes if bytes >= SCRATCH as u64 => LARGE_PIECE,
                _ => SCRATCH,
            };
            let read = ready!(poll_with_room(
                &mut conn.io,
                cx,
                most,
                |buffer, came, cx| {
                    down.take(
                        buffer,
                        came,
                        &mut Route {
                            client,
                            plan,
                            whole,
                        },
                        cx,
                    )
                }
            ));
            *moved = true;
            let failed = match read {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                Err(error) => {
                    let error = NetError::socket("read", conn.io.local(), conn.peer, &error);
                    self.broken.take().unwrap_or(error)
                }
            };
            let untouched = !self.down.touched;
            let error = if untouched {
                self.broken.take().unwrap_or(failed)
            } else {
                failed
            };
            return Poll::Ready(Err(Ended::Backend { error, untouched }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::head::BodySize;
    use crate::net::io::Io;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn what_a_full_socket_does_not_take_waits_behind_the_head() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = listener.local_addr().unwrap();
        let ours = TcpStream::connect(peer).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        let mut filled = 0;
        while let Ok(n) = ours.try_write(&[b'.'; 1 << 16]) {
            filled += n;
        }
        let mut conn = Conn {
            io: Io::Tcp(ours),
            peer,
            key: None,
            reused: false,
        };
        let mut body = Body::of(BodySize::Known(4));
        let fed = body.feed(b"body").unwrap();
        let mut upload = Upload::new(Instant::now());
        let mut out = b"head ".to_vec();
        let mut up = Up::new(&mut out, (b"body", &fed), body, &mut upload);
        let begun = up.begun.take().unwrap();
        let sent = poll_fn(|cx| Poll::Ready(up.poll_first(begun, &mut conn, cx))).await;
        assert!(sent.is_pending());
        assert_eq!((up.out.as_slice(), up.sent), (&b"head body"[..], 0));

        let mut skipped = vec![0; filled];
        theirs.read_exact(&mut skipped).await.unwrap();
        let mut rest = up.out.as_slice();
        poll_fn(|cx| conn.io.poll_write_all(cx, &mut rest))
            .await
            .unwrap();
        let mut came = [0; 9];
        theirs.read_exact(&mut came).await.unwrap();
        assert_eq!(&came, b"head body");

        // What is sent at once is not kept twice.
        let mut out = b"head ".to_vec();
        let body = Body::of(BodySize::None);
        let mut up = Up::new(&mut out, (b"body", &fed), body, &mut upload);
        let begun = up.begun.take().unwrap();
        poll_fn(|cx| up.poll_first(begun, &mut conn, cx))
            .await
            .unwrap();
        assert_eq!((up.out.as_slice(), up.sent), (&b"head "[..], 5));
        theirs.read_exact(&mut came).await.unwrap();
        assert_eq!(&came, b"head body");
    }
}
