//! The request's body as it comes in: counted against the limit, timed against the slowest rate that is
//! accepted (contract section 3).

use crate::base::{Error, Reason, clock};
use crate::gateway::limits::BodyLimits;
use crate::net::{BodySource, Interims, NetError};
use crate::proxy::interim;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pingora::ErrorType;
use pingora::proxy::Session;
use std::pin::pin;
use std::time::{Duration, Instant};

/// Longest wait for a chunk where no rate is asked for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came in so far.
#[derive(Clone, Debug)]
pub struct Upload {
    seen: u64,
    since: Instant,
    limits: BodyLimits,
}

impl Upload {
    /// Nothing yet, since the head was complete; limits are set once the endpoint is known.
    pub fn new(since: Instant) -> Self {
        Self {
            seen: 0,
            since,
            limits: BodyLimits::NONE,
        }
    }

    /// Starts to count under an endpoint's limits.
    pub fn start(&mut self, limits: BodyLimits) {
        self.limits = limits;
    }

    /// Counts a chunk.
    ///
    /// # Errors
    /// When the body is too large or too slow.
    pub fn count(&mut self, bytes: u64) -> Result<(), Reason> {
        self.seen += bytes;
        if self.seen == 0 {
            return Ok(());
        }
        self.limits.check_received(self.seen)?;
        self.limits.check_pace(self.seen, self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        clock::now().saturating_duration_since(self.since)
    }

    /// Longest wait for the next chunk: until the rate is surely too low.
    pub fn patience(&self) -> Duration {
        let Some(seconds) = self.seen.checked_div(self.limits.min_rate) else {
            return PATIENCE;
        };
        let earned = Duration::from_secs(seconds + 1);
        let until = self.limits.grace + earned + Duration::from_millis(50);
        until
            .saturating_sub(self.elapsed())
            .clamp(Duration::from_millis(1), PATIENCE)
    }

    /// The next chunk of the body; `None` at its end.
    ///
    /// # Errors
    /// When the client is too slow, sends too much, breaks the framing or goes away.
    pub async fn next(&mut self, session: &mut Session) -> Result<Option<Bytes>, Error> {
        let wait = tokio::time::timeout(
            self.patience(),
            session.as_downstream_mut().read_request_body(),
        );
        match wait.await {
            Err(_) => Err(Reason::BodyTimeout.into()),
            Ok(Err(error)) => Err(read_error(&error)),
            Ok(Ok(None)) => Ok(None),
            Ok(Ok(Some(chunk))) => {
                self.count(chunk.len() as u64)?;
                Ok(Some(chunk))
            }
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Upload::next`].
    pub async fn collect(&mut self, session: &mut Session) -> Result<Bytes, Error> {
        let Some(first) = self.next(session).await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.next(session).await? else {
            return Ok(first);
        };
        let mut whole = BytesMut::from(&first[..]);
        whole.extend_from_slice(&second);
        while let Some(chunk) = self.next(session).await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }
}

/// What a failed read of the body means.
pub fn read_error(error: &pingora::Error) -> Error {
    let reason = match error.etype() {
        // Of the edge's own look at chunks, through Pingora's reader.
        ErrorType::ReadError if is_invalid_data(error) => Reason::BadChunk,
        ErrorType::ReadTimedout => Reason::BodyTimeout,
        ErrorType::InvalidHTTPHeader | ErrorType::InvalidH2 => Reason::BadChunk,
        ErrorType::Custom(_) => Reason::BadChunk,
        _ => Reason::ClientGone,
    };
    Error::new(reason, format!("reading the request body: {error}"))
}

/// Whether a read failed because of what was read.
pub fn is_invalid_data(error: &pingora::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::InvalidData)
}

/// The session's body as a source for the client of `net`; keeps the first error in our own words.
pub struct SessionBody<'a> {
    /// The session that is read.
    pub session: &'a mut Session,
    /// What is counted.
    pub upload: &'a mut Upload,
    /// Where interim answers wait to be passed on.
    pub interims: Option<&'a Interims>,
    /// Why the source ended early.
    pub failed: Option<Error>,
}

impl SessionBody<'_> {
    /// The next piece that is not empty; interim answers pass on meanwhile.
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let chunk = match self.interims {
                None => self.upload.next(self.session).await,
                Some(interims) => {
                    interim::pass_on(self.session, interims).await?;
                    let next = pin!(self.upload.next(self.session));
                    match interim::or_interim(next, interims).await {
                        Some(chunk) => chunk,
                        None => continue,
                    }
                }
            };
            match chunk? {
                Some(chunk) if chunk.is_empty() => {}
                chunk => return Ok(chunk),
            }
        }
    }

    /// Why nobody waits for the answer any more; interim answers pass on meanwhile.
    async fn left(&mut self) -> Error {
        let Some(interims) = self.interims else {
            return left(self.session).await;
        };
        loop {
            if let Err(error) = interim::pass_on(self.session, interims).await {
                return error;
            }
            let left = pin!(left(self.session));
            if let Some(error) = interim::or_interim(left, interims).await {
                return error;
            }
        }
    }

    /// Keeps an error and tells it.
    fn fail(&mut self, error: Error) -> NetError {
        let told = NetError::new(error.reason, error.text.clone());
        self.failed = Some(error);
        told
    }
}

/// Waits until the client has gone; forever while its body is still to be read.
pub async fn left(session: &mut Session) -> Error {
    let downstream = session.as_downstream_mut();
    if !downstream.is_body_done() {
        return std::future::pending().await;
    }
    match downstream.read_body_or_idle(true).await {
        // Never that a pipelined request came early: the door keeps it back.
        Err(error) => Error::new(Reason::ClientGone, error.to_string()),
        Ok(_) => std::future::pending().await,
    }
}

#[async_trait]
impl BodySource for SessionBody<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, NetError> {
        match self.piece().await {
            Ok(chunk) => Ok(chunk),
            Err(error) => Err(self.fail(error)),
        }
    }

    async fn gone(&mut self) -> NetError {
        let error = self.left().await;
        self.fail(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::limits::Limits;

    fn upload(limits: Limits) -> Upload {
        let mut upload = Upload::new(Instant::now());
        upload.start(limits.body());
        upload
    }

    #[test]
    fn the_byte_over_the_limit_is_refused() {
        let mut body = upload(Limits {
            max_body: 10,
            ..Limits::default()
        });
        assert_eq!(body.count(10), Ok(()));
        assert_eq!(body.count(1), Err(Reason::BodyTooLarge));
    }

    #[test]
    fn patience_grows_with_what_came() {
        let limits = Limits {
            body_min_rate: 10,
            body_grace: Duration::from_secs(2),
            max_body: u64::MAX,
            ..Limits::default()
        };
        let mut body = upload(limits);
        assert!(body.patience() <= Duration::from_millis(3_050));
        body.seen = 100;
        assert!(body.patience() > Duration::from_secs(10));
    }
}
