//! The answer on its way down: heads are read and made into the client's, bodies pass with their framing
//! checked, what the client does not take at once is kept.

use crate::edge::answer::Planned;
use crate::edge::room::scratch;
use crate::net::h1::head::{MAX_HEAD, find_end};
use crate::net::h1::writer::{LAST_CHUNK, push_chunk};
use crate::net::{NetError, interim};
use pingora::protocols::Stream;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Makes the client's head of a backend's: the bytes of the one, whether the client may stay, and where
/// the other goes.
pub type Plan<'p> = dyn FnMut(&[u8], bool, &mut Vec<u8>) -> Result<Planned, NetError> + Send + 'p;

/// The answer on its way down.
#[derive(Debug, Default)]
pub struct Down {
    /// Begin of a head whose end has not come yet.
    partial: Vec<u8>,
    scanned: usize,
    interim: u32,
    /// What the final head says, once it came.
    pub planned: Option<Planned>,
    /// Whether anything of an answer came.
    pub(super) touched: bool,
    /// Whether bytes of the final answer went to the client.
    pub written: bool,
    /// Whether the client was told that its connection stays.
    pub keeps_client: bool,
    /// Bytes for the client that it did not take at once.
    pub(super) pending: Vec<u8>,
    taken: usize,
    pub(super) flushed: bool,
    pub(super) slow: bool,
    pub(super) done: bool,
    /// Body bytes so far.
    pub bytes: u64,
}

impl Down {
    /// An answer of which nothing has come.
    pub fn new() -> Self {
        Self {
            flushed: true,
            ..Self::default()
        }
    }
}

/// Where the bytes of an answer go, and how its head is made.
pub(super) struct Route<'r, 'p> {
    pub(super) client: &'r mut Stream,
    pub(super) plan: &'r mut Plan<'p>,
    /// Whether nothing of the request is left to be read.
    pub(super) whole: bool,
}

impl Down {
    /// Sends what the client did not take before.
    pub(super) fn poll_drain(
        &mut self,
        client: &mut Stream,
        cx: &mut Context<'_>,
        moved: &mut bool,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self
            .pending
            .get(self.taken..)
            .filter(|rest| !rest.is_empty())
        {
            let n = ready!(Pin::new(&mut *client).poll_write(cx, rest))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.taken += n;
            *moved = true;
        }
        if self.taken > 0 {
            // Given back: a slow client would hold the room of its largest piece to the end.
            self.pending = Vec::new();
            self.taken = 0;
        }
        if !self.flushed {
            ready!(Pin::new(client).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what the backend sent: nothing is its end.
    pub(super) fn take(
        &mut self,
        buffer: &mut [u8],
        came: Range<usize>,
        route: &mut Route<'_, '_>,
        cx: &mut Context<'_>,
    ) -> Result<(), NetError> {
        if came.is_empty() {
            return self.end();
        }
        self.touched = true;
        scratch(|head| self.take_into(buffer, came, route, cx, head))
    }

    fn take_into(
        &mut self,
        buffer: &mut [u8],
        came: Range<usize>,
        route: &mut Route<'_, '_>,
        cx: &mut Context<'_>,
        head: &mut Vec<u8>,
    ) -> Result<(), NetError> {
        let mut at = came.start;
        if self.planned.is_none() {
            let bytes = buffer.get(came.clone()).unwrap_or_default();
            let Some(used) = self.read_head(bytes, route, head)? else {
                self.emit(head, route.client, cx);
                return Ok(());
            };
            at += used;
        }
        let Some(planned) = &mut self.planned else {
            return Ok(());
        };
        let body = buffer.get(at..came.end).unwrap_or_default();
        let used = planned.framing.feed_counting(body, &mut self.bytes)?;
        if used < body.len() {
            // Bytes that nobody asked for: the next answer could not be trusted.
            planned.keep_alive = false;
        }
        self.done = planned.framing.done();
        let rechunk = planned.rechunk;
        self.written = true;
        if rechunk {
            let body = body.get(..used).unwrap_or_default();
            push_chunk(head, body);
            self.emit(head, route.client, cx);
            return Ok(());
        }
        // The head goes right in front of its body, where the backend's head or free room is.
        match at.checked_sub(head.len()) {
            Some(from) => {
                if let Some(place) = buffer.get_mut(from..at) {
                    place.copy_from_slice(head);
                }
                let whole = buffer.get(from..at + used).unwrap_or_default();
                self.emit(whole, route.client, cx);
            }
            None => {
                let body = buffer.get(at..at + used).unwrap_or_default();
                head.extend_from_slice(body);
                self.emit(head, route.client, cx);
            }
        }
        Ok(())
    }

    /// Reads heads until the final one, each made into the client's; `None` while more must come, else
    /// how many of the bytes were heads.
    fn read_head(
        &mut self,
        bytes: &[u8],
        route: &mut Route<'_, '_>,
        head: &mut Vec<u8>,
    ) -> Result<Option<usize>, NetError> {
        let mut at = 0;
        loop {
            let fresh = bytes.get(at..).unwrap_or_default();
            if fresh.is_empty() {
                return Ok(None);
            }
            let planned = if self.partial.is_empty() {
                let Some(end) = find_end(fresh, 0)? else {
                    self.partial.extend_from_slice(fresh);
                    self.scanned = fresh.len();
                    return Ok(None);
                };
                at += end;
                (route.plan)(fresh.get(..end).unwrap_or_default(), route.whole, head)?
            } else {
                let before = self.partial.len();
                let room = (MAX_HEAD + 1).saturating_sub(before).min(fresh.len());
                self.partial
                    .extend_from_slice(fresh.get(..room).unwrap_or_default());
                let Some(end) = find_end(&self.partial, self.scanned)? else {
                    self.scanned = self.partial.len();
                    return Ok(None);
                };
                at += end.saturating_sub(before);
                let partial = std::mem::take(&mut self.partial);
                (route.plan)(partial.get(..end).unwrap_or_default(), route.whole, head)?
            };
            if !planned.status.is_informational() {
                self.keeps_client = route.whole;
                self.planned = Some(planned);
                return Ok(Some(at));
            }
            interim::count(&mut self.interim)?;
        }
    }

    /// The backend closed its side.
    fn end(&mut self) -> Result<(), NetError> {
        let Some(planned) = &mut self.planned else {
            return Err(if self.touched {
                NetError::unexpected_eof()
            } else {
                NetError::eof()
            });
        };
        planned.framing.eof()?;
        planned.keep_alive = false;
        if planned.rechunk {
            self.pending.extend_from_slice(LAST_CHUNK);
        }
        self.flushed = false;
        self.done = true;
        Ok(())
    }

    /// Sends bytes to the client; what it does not take at once is kept. A failed write is met again when
    /// what is kept is sent.
    fn emit(&mut self, mut bytes: &[u8], client: &mut Stream, cx: &mut Context<'_>) {
        self.flushed &= bytes.is_empty();
        while !bytes.is_empty()
            && let Poll::Ready(Ok(n @ 1..)) = Pin::new(&mut *client).poll_write(cx, bytes)
        {
            bytes = bytes.get(n..).unwrap_or_default();
        }
        if !bytes.is_empty() {
            self.slow = true;
            self.pending.extend_from_slice(bytes);
        }
    }
}
