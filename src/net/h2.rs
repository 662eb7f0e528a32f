//! HTTP/2 towards backends, on Pingora's client: by ALPN over TLS, or at once in plaintext.
//!
//! Connections are shared by the requests of one thread. KrakenD speaks HTTP/1.1 only.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, Uri};
use pingora::connectors::http::v2::{ConnectionRef, H2HandshakeSettings, handshake};
use pingora::http::RequestHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::v2::client::Http2Session;
use pingora::protocols::http::v2::write_body;
use tokio::time::Instant;

use super::client::{OutBody, Outgoing};
use super::deadline::Deadline;
use super::error::NetError;
use super::exchange::Failure;
use super::h1::writer::{check_target, is_framing};
use super::incoming::Incoming;
use super::io::ConnKey;
use super::url::Target;
use crate::base::Reason;
use crate::base::reply::X_GATEWAY_REGION;

/// Requests at a time on one connection; the backend may allow fewer.
const STREAMS: usize = 100;

struct Shared {
    connection: ConnectionRef,
    key: Option<ConnKey>,
    until: Instant,
}

thread_local! {
    static SHARED: RefCell<HashMap<SocketAddr, Vec<Shared>>> = RefCell::new(HashMap::new());
}

/// A stream on a connection that this thread shares already.
pub(crate) async fn reuse(
    peer: SocketAddr,
    key: Option<&ConnKey>,
    idle: Duration,
) -> Option<Http2Session> {
    loop {
        let connection = find(peer, key, idle)?;
        match connection.spawn_stream().await {
            Ok(Some(session)) => return Some(session),
            // Full or going away: a full one was not found by `find`, so it is not offered again.
            Ok(None) => connection.mark_shutdown(),
            Err(_) => connection.mark_shutdown(),
        }
    }
}

fn find(peer: SocketAddr, key: Option<&ConnKey>, idle: Duration) -> Option<ConnectionRef> {
    let now = Instant::now();
    let found = SHARED.try_with(|shared| {
        let mut hosts = shared.try_borrow_mut().ok()?;
        let rest = hosts.get_mut(&peer)?;
        rest.retain(|entry| {
            let connection = &entry.connection;
            let expired = connection.is_idle() && now >= entry.until;
            !connection.is_closed() && !connection.is_shutting_down() && !expired
        });
        if rest.is_empty() {
            hosts.remove(&peer);
            return None;
        }
        let usable = |entry: &&mut Shared| {
            entry.key.as_ref() == key && entry.connection.more_streams_allowed()
        };
        let entry = rest.iter_mut().find(usable)?;
        entry.until = now + idle;
        Some(entry.connection.clone())
    });
    found.ok().flatten()
}

/// Speaks HTTP/2 on a new connection and shares it with this thread's later requests.
pub(crate) async fn open(
    stream: Stream,
    peer: SocketAddr,
    key: Option<ConnKey>,
    idle: Duration,
) -> Result<Http2Session, NetError> {
    let mut settings = H2HandshakeSettings::new();
    settings.max_streams = STREAMS;
    let connection = handshake(stream, settings)
        .await
        .map_err(|error| failed(&error))?;
    let session = connection
        .spawn_stream()
        .await
        .map_err(|error| failed(&error))?
        .ok_or_else(|| NetError::new(Reason::BackendReset, "http2: server sent GOAWAY"))?;
    let _ = SHARED.try_with(|shared| {
        if let Ok(mut hosts) = shared.try_borrow_mut() {
            let until = Instant::now() + idle;
            hosts.entry(peer).or_default().push(Shared {
                connection,
                key,
                until,
            });
        }
    });
    Ok(session)
}

/// Sends a request and reads the answer's head.
pub(crate) async fn exchange(
    mut session: Http2Session,
    target: &Target,
    out: &mut Outgoing<'_, '_>,
    deadline: Deadline,
) -> Result<Incoming, Failure> {
    let request = request(target, out).map_err(Failure::new)?;
    let bodyless = match &out.body {
        OutBody::None => true,
        OutBody::Full { bytes, .. } => bytes.is_empty(),
        OutBody::Stream { .. } => false,
    };
    session
        .write_request_header(Box::new(request), bodyless)
        .map_err(|error| gone(&error))?;
    if !bodyless {
        talk(&mut session, &mut out.body).await?;
    } else {
        session
            .read_response_header()
            .await
            .map_err(|error| gone(&error))?;
    }
    let Some(head) = session.response_header() else {
        return Err(Failure::new(NetError::invalid("http2: no response header")));
    };
    let (status, headers) = (head.status, head.headers.clone());
    let ended = *out.method == Method::HEAD;
    let body = H2Body {
        session: Some(session),
        ended,
    };
    Ok(Incoming::h2(status, headers, body, deadline))
}

/// Sends the body and waits for the head at the same time; a refusal ends the sending.
async fn talk(session: &mut Http2Session, body: &mut OutBody<'_>) -> Result<(), Failure> {
    let Some(mut writer) = session.take_request_body_writer() else {
        return Err(Failure::new(NetError::invalid("http2: stream closed")));
    };
    let upload = async {
        match body {
            OutBody::None => {}
            OutBody::Full { bytes, .. } => {
                write_body(&mut writer, bytes.clone(), true, None)
                    .await
                    .map_err(|error| gone(&error))?;
            }
            OutBody::Stream { source, .. } => {
                while let Some(chunk) = source.next().await.map_err(Failure::new)? {
                    if !chunk.is_empty() {
                        write_body(&mut writer, chunk, false, None)
                            .await
                            .map_err(|error| gone(&error))?;
                    }
                }
                write_body(&mut writer, Bytes::new(), true, None)
                    .await
                    .map_err(|error| gone(&error))?;
            }
        }
        Ok(())
    };
    let head = async {
        session
            .read_response_header()
            .await
            .map_err(|error| gone(&error))?;
        Ok(session.response_header().map(|head| head.status))
    };
    let (mut upload, mut head) = (pin!(upload), pin!(head));
    let (mut sent, mut answered) = (false, false);
    poll_fn(|cx| {
        if !answered && let Poll::Ready(status) = head.as_mut().poll(cx)? {
            if status.is_some_and(|status| status >= StatusCode::MULTIPLE_CHOICES) {
                return Poll::Ready(Ok(()));
            }
            answered = true;
        }
        if !sent && let Poll::Ready(outcome) = upload.as_mut().poll(cx) {
            // An answer beats a failed upload: the backend may have said why it stopped reading.
            match outcome {
                Err(failure) if !answered => return Poll::Ready(Err(failure)),
                _ => sent = true,
            }
        }
        if sent && answered {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    })
    .await
}

/// The head in HTTP/2: no connection fields, the host as authority.
fn request(target: &Target, out: &Outgoing<'_, '_>) -> Result<RequestHeader, NetError> {
    let authority = target.authority();
    check_target(&authority.base_path, out.path_and_query)?;
    let bad = |_| NetError::new(Reason::MalformedRequest, "net/http: invalid header field");
    let path = format!("{}{}", authority.base_path, out.path_and_query);
    let mut request =
        RequestHeader::build(out.method.clone(), path.as_bytes(), Some(out.fields.len()))
            .map_err(|_| NetError::new(Reason::BadSlot, "net/http: invalid request target"))?;
    let host = out.host.unwrap_or(authority.host_header.as_bytes());
    let uri = Uri::builder()
        .scheme(authority.scheme.as_str())
        .authority(host)
        .path_and_query(path.as_str())
        .build()
        .map_err(|_| NetError::new(Reason::BadSlot, "net/http: invalid request target"))?;
    request.set_uri(uri);
    for (name, value) in out.fields {
        if is_framing(name) || is_connection(name.as_str(), value.as_bytes()) {
            continue;
        }
        request.append_header(name, value.clone()).map_err(bad)?;
    }
    if let Some(region) = target.from() {
        request
            .insert_header(X_GATEWAY_REGION, region)
            .map_err(bad)?;
    }
    let length = match &out.body {
        OutBody::Full {
            bytes,
            chunked: false,
        } if !bytes.is_empty() => Some(bytes.len() as u64),
        OutBody::Stream { length, .. } => *length,
        _ => None,
    };
    if let Some(length) = length {
        request
            .insert_header("content-length", length)
            .map_err(bad)?;
    }
    Ok(request)
}

/// Fields that HTTP/2 forbids (RFC 9113 section 8.2.2).
fn is_connection(name: &str, value: &[u8]) -> bool {
    if name.eq_ignore_ascii_case("te") {
        return !value.eq_ignore_ascii_case(b"trailers");
    }
    [
        "connection",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "http2-settings",
    ]
    .iter()
    .any(|field| name.eq_ignore_ascii_case(field))
}

fn failed(error: &pingora::Error) -> NetError {
    NetError::new(
        Reason::BackendReset,
        format!("http2: {}", error.root_cause()),
    )
}

/// A failure before any of the answer was seen.
fn gone(error: &pingora::Error) -> Failure {
    Failure {
        error: failed(error),
        untouched: true,
    }
}

/// The rest of an answer's body on its stream.
pub(crate) struct H2Body {
    /// Gone at the end of the body, which frees the stream.
    session: Option<Http2Session>,
    ended: bool,
}

impl fmt::Debug for H2Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("H2Body")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl H2Body {
    pub(crate) fn is_done(&self) -> bool {
        self.ended
    }

    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        loop {
            let Some(session) = self.session.as_mut().filter(|_| !self.ended) else {
                return Ok(None);
            };
            let chunk = session
                .read_response_body()
                .await
                .map_err(|error| failed(&error))?;
            match chunk {
                Some(chunk) if chunk.is_empty() => {}
                Some(chunk) => return Ok(Some(chunk)),
                None => {
                    self.ended = true;
                    self.session = None;
                }
            }
        }
    }
}
