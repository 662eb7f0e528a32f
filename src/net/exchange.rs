//! One request and the head of its answer on one HTTP/1.1 connection.
//!
//! The answer is watched while the body is sent. A backend that refuses early (a status from 300 on, or
//! a complete answer) ends the sending; one that answers while it reads gets the rest of the body, and
//! what it says meanwhile is kept up to a bound.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::client::BodySource;
use super::deadline::Deadline;
use super::error::NetError;
use super::h1::framing::Framing;
use super::h1::writer::{LAST_CHUNK, push_chunk};
use super::h1::{AnswerHead, HeadParser};
use super::interim::{self, Interim, Interims};
use super::io::{self, Came, Conn};
use crate::base::Reason;

/// Bytes of an early answer's body that are kept while the request is still being sent.
const EARLY: usize = 1024 * 1024;

/// The body behind the bytes that were joined with the head.
pub(crate) enum Rest<'a> {
    /// Nothing more.
    Nothing,
    /// Bytes as they go on the wire.
    Bytes(&'a [u8]),
    /// A source; `Some` for a declared length, `None` for chunks.
    Source(&'a mut dyn BodySource, Option<u64>),
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: AnswerHead,
    /// Bytes that came behind the head.
    pub(crate) rest: Bytes,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: NetError,
    /// Whether the connection failed before a byte of an answer: a reused one may have been dead.
    pub(crate) untouched: bool,
}

impl Failure {
    pub(crate) fn new(error: NetError) -> Self {
        Self {
            error,
            untouched: false,
        }
    }
}

/// Longest waits of an exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waits {
    /// For the answer's head once all is sent.
    pub(crate) head: Option<Duration>,
    /// For the backend to take a piece of the request.
    pub(crate) stall: Option<Duration>,
}

/// Sends `first` (the head, and a small body behind it), then `rest`, and reads the answer's head. Heads
/// of interim answers go to `interims`.
pub(crate) async fn exchange(
    conn: &mut Conn,
    method: &Method,
    first: &[u8],
    rest: Rest<'_>,
    waits: Waits,
    interims: Option<&Interims>,
) -> Result<Answer, Failure> {
    let mut talk = Talk::new(conn, method);
    talk.stall = waits.stall;
    talk.interims = interims;
    let mut sent = talk.send(first).await?;
    let mut asker: Option<&mut dyn BodySource> = None;
    if sent {
        sent = match rest {
            Rest::Nothing => true,
            Rest::Bytes(bytes) => talk.send(bytes).await?,
            Rest::Source(source, length) => {
                let sent = talk.send_all(source, length).await?;
                asker = Some(source);
                sent
            }
        };
    }
    let until = waits.head.map_or(Deadline::NEVER, Deadline::after);
    let answer = match asker {
        None => until.run(talk.finish()).await,
        Some(source) => until.run(unless_gone(talk.finish(), source)).await,
    };
    let mut answer = answer.unwrap_or_else(|| Err(head_too_late()))?;
    answer.head.keep_alive &= sent;
    Ok(answer)
}

/// The answer, unless whoever sent the body goes away before it: then nobody waits for it.
async fn unless_gone(
    answer: impl Future<Output = Result<Answer, Failure>>,
    source: &mut dyn BodySource,
) -> Result<Answer, Failure> {
    tokio::select! {
        biased;
        answer = answer => answer,
        error = source.gone() => Err(Failure::new(error)),
    }
}

/// Both directions of one exchange.
struct Talk<'a> {
    conn: &'a mut Conn,
    method: &'a Method,
    parser: HeadParser,
    head: Option<AnswerHead>,
    /// What came behind the head with it.
    front: Bytes,
    /// What came after that.
    body: Vec<u8>,
    /// Follows `body` to know when an early answer is complete.
    probe: Framing,
    /// How many interim answers came.
    interim: u32,
    /// Where their heads go.
    interims: Option<&'a Interims>,
    /// Whether any byte of an answer came.
    touched: bool,
    /// A failed write: the answer that explains it may still come.
    broken: Option<NetError>,
    /// Longest wait for the backend to take a piece.
    stall: Option<Duration>,
}

impl<'a> Talk<'a> {
    fn new(conn: &'a mut Conn, method: &'a Method) -> Self {
        Self {
            conn,
            method,
            parser: HeadParser::new(),
            head: None,
            front: Bytes::new(),
            body: Vec::new(),
            probe: Framing::Empty,
            interim: 0,
            interims: None,
            touched: false,
            broken: None,
            stall: None,
        }
    }

    /// Writes bytes while watching for the answer; `false` when there is no use in sending more.
    async fn send(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        let until = self.stall.map_or(Deadline::NEVER, Deadline::after);
        let sent = until.run(self.send_at_leisure(bytes)).await;
        sent.unwrap_or_else(|| Err(Failure::new(NetError::deadline())))
    }

    async fn send_at_leisure(&mut self, mut bytes: &[u8]) -> Result<bool, Failure> {
        poll_fn(|cx| {
            match self.conn.io.poll_write_all(cx, &mut bytes) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(true)),
                Poll::Ready(Err(error)) => {
                    let local = self.conn.io.local();
                    let error = NetError::socket("write", local, self.conn.peer, &error);
                    self.broken = Some(error);
                    return Poll::Ready(Ok(false));
                }
                Poll::Pending => {}
            }
            self.watch(cx)
        })
        .await
    }

    /// Writes all that a source gives; as `send`.
    async fn send_all(
        &mut self,
        source: &mut dyn BodySource,
        length: Option<u64>,
    ) -> Result<bool, Failure> {
        let mut out = Vec::new();
        let mut left = length;
        loop {
            let Some(chunk) = self.next_of(source).await? else {
                return Ok(false);
            };
            let Some(chunk) = chunk else { break };
            let sent = match &mut left {
                Some(left) => {
                    *left = left
                        .checked_sub(chunk.len() as u64)
                        .ok_or_else(wrong_length)?;
                    self.send(&chunk).await?
                }
                None => {
                    out.clear();
                    push_chunk(&mut out, &chunk);
                    self.send(&out).await?
                }
            };
            if !sent {
                return Ok(false);
            }
        }
        match left {
            None => self.send(LAST_CHUNK).await,
            Some(0) => Ok(true),
            Some(_) => Err(wrong_length()),
        }
    }

    /// The source's next chunk; the outer `None` when there is no use in sending it.
    async fn next_of(
        &mut self,
        source: &mut dyn BodySource,
    ) -> Result<Option<Option<Bytes>>, Failure> {
        let mut next = source.next();
        poll_fn(|cx| {
            if let Poll::Ready(chunk) = next.as_mut().poll(cx) {
                return Poll::Ready(chunk.map(Some).map_err(Failure::new));
            }
            let before = self.interim;
            if let Poll::Ready(useless) = self.watch(cx) {
                return Poll::Ready(useless.map(|_| None));
            }
            // The source may be the one that passes on what just came.
            if self.interim != before
                && let Poll::Ready(chunk) = next.as_mut().poll(cx)
            {
                return Poll::Ready(chunk.map(Some).map_err(Failure::new));
            }
            Poll::Pending
        })
        .await
    }

    /// Reads what the backend says while we are sending. Ready with `false` when sending is of no use
    /// any more, otherwise pending.
    fn watch(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        while self.front.len() + self.body.len() < EARLY {
            ready!(self.poll_read(cx))?;
            if let Some(head) = &self.head
                && (head.status >= StatusCode::MULTIPLE_CHOICES || self.probe.done())
            {
                return Poll::Ready(Ok(false));
            }
        }
        Poll::Pending
    }

    /// Reads once, into the head or behind it.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let came = match ready!(io::poll_read(&mut self.conn.io, cx)) {
            Ok(came) => came,
            Err(error) => return Poll::Ready(Err(self.failed(&error))),
        };
        Poll::Ready(if came.bytes().is_empty() {
            self.ended()
        } else {
            self.touched = true;
            self.understand(came).map_err(Failure::new)
        })
    }

    fn understand(&mut self, came: Came) -> Result<(), NetError> {
        let bytes = came.bytes();
        let (came_before, interims) = (&mut self.interim, self.interims);
        let behind = read_head(
            bytes,
            &mut self.parser,
            &mut self.head,
            self.method,
            |found| {
                interim::count(came_before)?;
                if let Some(interims) = interims {
                    interims.push(found);
                }
                Ok(())
            },
        )?;
        let Some(found) = &self.head else {
            return Ok(());
        };
        let first = self.front.is_empty() && self.body.is_empty();
        if first && self.probe == Framing::Empty {
            self.probe = found.framing.clone();
        }
        self.probe.feed(behind)?;
        if first {
            let from = bytes.len() - behind.len();
            self.front = came.keep(from);
        } else {
            self.body.extend_from_slice(behind);
        }
        Ok(())
    }

    /// The backend closed its side.
    fn ended(&mut self) -> Result<(), Failure> {
        if self.head.is_some() {
            // A body that ends with the connection is complete; any other is found short by its
            // reader. Either way there is nobody to send to.
            self.probe = Framing::Empty;
            return Ok(());
        }
        let untouched = !self.touched;
        let error = self.broken.take().unwrap_or_else(|| {
            if untouched {
                NetError::eof()
            } else {
                NetError::unexpected_eof()
            }
        });
        Err(Failure { error, untouched })
    }

    fn failed(&mut self, error: &std::io::Error) -> Failure {
        let error = self.broken.take().unwrap_or_else(|| {
            NetError::socket("read", self.conn.io.local(), self.conn.peer, error)
        });
        Failure {
            error,
            untouched: !self.touched,
        }
    }

    /// Waits for the head.
    async fn finish(mut self) -> Result<Answer, Failure> {
        loop {
            if let Some(head) = self.head.take() {
                let rest = if self.body.is_empty() {
                    self.front
                } else {
                    [&self.front[..], &self.body].concat().into()
                };
                return Ok(Answer { head, rest });
            }
            poll_fn(|cx| self.poll_read(cx)).await?;
        }
    }
}

/// Feeds bytes to the head, giving interim answers away; returns what is behind it.
fn read_head<'b>(
    mut bytes: &'b [u8],
    parser: &mut HeadParser,
    head: &mut Option<AnswerHead>,
    method: &Method,
    mut interim: impl FnMut(Interim) -> Result<(), NetError>,
) -> Result<&'b [u8], NetError> {
    while head.is_none() && !bytes.is_empty() {
        let Some((found, used)) = parser.feed(bytes, method)? else {
            return Ok(&[]);
        };
        bytes = bytes.get(used..).unwrap_or_default();
        if !found.status.is_informational() {
            *head = Some(found);
        } else if found.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(NetError::invalid("unexpected 101 Switching Protocols"));
        } else {
            interim(Interim {
                status: found.status,
                headers: found.headers,
            })?;
            *parser = HeadParser::new();
        }
    }
    Ok(bytes)
}

fn head_too_late() -> Failure {
    let text = "net/http: timeout awaiting response headers";
    Failure::new(NetError::new(Reason::BackendTimeout, text))
}

fn wrong_length() -> Failure {
    let text = "http: request body length differs from Content-Length";
    Failure::new(NetError::new(Reason::BadBody, text))
}
