//! An answer while its body is being read.

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::deadline::Deadline;
use super::error::NetError;
use super::exchange::Answer;
use super::h1::Framing;
use super::h2::H2Body;
use super::io::{self, Conn};
use super::pool::{self, Limits};

/// A backend's answer: the head, and the body as it comes. Reading the body to its end gives the
/// connection back for the next request; dropping the answer before closes it.
#[derive(Debug)]
pub struct Incoming {
    /// The status.
    pub status: StatusCode,
    /// The fields, as the backend sent them; values of one name keep their order.
    pub headers: HeaderMap,
    body: Body,
    deadline: Deadline,
}

#[derive(Debug)]
enum Body {
    H1(H1Body),
    H2(Box<H2Body>),
    Whole(Bytes),
}

#[derive(Debug)]
struct H1Body {
    /// Gone once the body was read.
    conn: Option<Conn>,
    framing: Framing,
    /// Bytes that were read but not handed out.
    rest: Bytes,
    /// Where the connection goes; `None` when it cannot serve another request.
    keep: Option<Limits>,
}

impl Incoming {
    pub(super) fn h1(conn: Conn, answer: Answer, keep: Option<Limits>, deadline: Deadline) -> Self {
        let Answer { head, rest } = answer;
        let keep = keep.filter(|_| head.keep_alive);
        let mut body = H1Body {
            conn: Some(conn),
            framing: head.framing,
            rest,
            keep,
        };
        body.settle();
        let (status, headers) = (head.status, head.headers);
        Self {
            status,
            headers,
            body: Body::H1(body),
            deadline,
        }
    }

    pub(super) fn h2(
        status: StatusCode,
        headers: HeaderMap,
        body: H2Body,
        deadline: Deadline,
    ) -> Self {
        Self {
            status,
            headers,
            body: Body::H2(Box::new(body)),
            deadline,
        }
    }

    /// An answer that is there already; its length is said anew.
    pub fn whole(status: StatusCode, mut headers: HeaderMap, bytes: Bytes) -> Self {
        headers.remove(header::TRANSFER_ENCODING);
        if !matches!(status.as_u16(), 100..=199 | 204 | 304) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        }
        Self {
            status,
            headers,
            body: Body::Whole(bytes),
            deadline: Deadline::NEVER,
        }
    }

    /// Bounds the rest of the body anew, for answers whose chunks have a deadline each.
    pub fn set_deadline(&mut self, deadline: Deadline) {
        self.deadline = deadline;
    }

    /// The declared length of the body, if there is one.
    pub fn content_length(&self) -> Option<u64> {
        self.headers
            .get(header::CONTENT_LENGTH)?
            .to_str()
            .ok()?
            .parse()
            .ok()
    }

    /// The next bytes of the body without framing, never empty; `None` at its end. After an error the
    /// answer is of no further use.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        let deadline = self.deadline;
        let next = async {
            match &mut self.body {
                Body::H1(body) => body.chunk().await,
                Body::H2(body) => body.chunk().await,
                Body::Whole(bytes) => {
                    Ok(Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()))
                }
            }
        };
        deadline
            .run(next)
            .await
            .unwrap_or_else(|| Err(NetError::deadline()))
    }

    /// Whether the body has been handed out to its end, as far as that is known without waiting.
    pub fn is_done(&self) -> bool {
        match &self.body {
            Body::H1(body) => body.framing.done(),
            Body::H2(body) => body.is_done(),
            Body::Whole(bytes) => bytes.is_empty(),
        }
    }

    /// The whole body, of at most `limit` bytes; a longer one is refused as soon as that is known.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, NetError> {
        let over = |length: u64| length > limit as u64;
        let declared = match &self.body {
            Body::H1(H1Body {
                framing: Framing::Length(length),
                ..
            }) => Some(*length),
            Body::H1(_) => None,
            Body::H2(_) => self.content_length(),
            Body::Whole(bytes) => Some(bytes.len() as u64),
        };
        if declared.is_some_and(over) {
            return Err(NetError::too_large(limit));
        }
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        if over(first.len() as u64) {
            return Err(NetError::too_large(limit));
        }
        if declared == Some(first.len() as u64) {
            // Lets the end be seen, which gives the connection back.
            return match self.chunk().await? {
                None => Ok(first),
                Some(_) => Err(NetError::invalid("body longer than declared")),
            };
        }
        let expected = declared
            .and_then(|length| usize::try_from(length).ok())
            .unwrap_or(0);
        let mut whole = BytesMut::with_capacity(expected.max(first.len()));
        whole.extend_from_slice(&first);
        while let Some(chunk) = self.chunk().await? {
            if whole.len().saturating_add(chunk.len()) > limit {
                return Err(NetError::too_large(limit));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }
}

impl H1Body {
    async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        loop {
            if let Some(chunk) = self.kept()? {
                return Ok(Some(chunk));
            }
            if self.framing.done() {
                self.settle();
                return Ok(None);
            }
            self.read().await?;
        }
    }

    /// The next piece of what was read, without copying it.
    fn kept(&mut self) -> Result<Option<Bytes>, NetError> {
        while !self.framing.done() && !self.rest.is_empty() {
            let piece = self.framing.next(&self.rest)?;
            drop(self.rest.split_to(piece.skip));
            if piece.data > 0 {
                let chunk = self.rest.split_to(piece.data);
                self.settle();
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// Reads once; the end of the connection may be that of the body.
    async fn read(&mut self) -> Result<(), NetError> {
        let Some(open) = &mut self.conn else {
            return Err(NetError::unexpected_eof());
        };
        let came = match poll_fn(|cx| io::poll_read(&mut open.io, cx)).await {
            Ok(came) => came,
            Err(error) => {
                return Err(NetError::socket("read", open.io.local(), open.peer, &error));
            }
        };
        if came.bytes().is_empty() {
            self.keep = None;
            return self.framing.eof();
        }
        self.rest = came.keep(0);
        Ok(())
    }

    /// Gives the connection away once the whole body was read from it.
    fn settle(&mut self) {
        let read = match self.framing {
            Framing::Length(length) => length == self.rest.len() as u64,
            ref framing => framing.done() && self.rest.is_empty(),
        };
        if read && let (Some(conn), Some(limits)) = (self.conn.take(), self.keep) {
            pool::put(conn, limits);
        }
        // Anything else behind the body closes the connection with this answer.
    }
}
