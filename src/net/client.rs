//! The client for backends: a connection from the pool or a new one, one request, one answer.
//!
//! As in KrakenD: HTTP/1.1, one retry on a connection that died while it rested. Different: no proxy
//! from the environment; HTTP/2 where the options allow it. Redirects and gzip are the caller's.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderName, HeaderValue};
use pingora::protocols::http::v2::client::Http2Session;
use pingora::protocols::l4::stream::Stream as Plain;
use pingora::protocols::{ALPN, Stream};
use tokio::net::TcpStream;

use super::connect::dial;
use super::deadline::Deadline;
use super::error::NetError;
use super::exchange::{Failure, Rest, Waits, exchange};
use super::h1::writer::{LAST_CHUNK, RequestHead, Sending, push_chunk, request_head};
use super::h2;
use super::incoming::Incoming;
use super::interim::Interims;
use super::io::{Conn, ConnKey, Io};
use super::pool::{self, Limits};
use super::proxy::Proxy;
use super::tls::{Tls, TlsOptions};
use super::url::Target;
use crate::base::Reason;
use crate::base::field::{ConnectionOption, connection_options};

/// A request's body as it becomes known.
#[async_trait]
pub trait BodySource: Send {
    /// The next bytes; `None` at the end. An error ends the exchange with this error. The
    /// wait is given up when the answer makes the rest of no use.
    async fn next(&mut self) -> Result<Option<Bytes>, NetError>;

    /// Waits, once all was given, until there is nobody left to answer to; then the exchange ends with
    /// this error. Never, where that cannot be told.
    async fn gone(&mut self) -> NetError {
        std::future::pending().await
    }
}

/// A request's body.
pub enum OutBody<'a> {
    /// None.
    None,
    /// Known as a whole.
    Full {
        /// The bytes.
        bytes: Bytes,
        /// Send them as one chunk instead of declaring their length, as KrakenD does unless
        /// `Content-Length` is among the forwarded fields.
        chunked: bool,
    },
    /// Sent as it comes.
    Stream {
        /// Where it comes from.
        source: &'a mut dyn BodySource,
        /// The length to declare; chunks without one. A source that gives another number of bytes
        /// fails the exchange.
        length: Option<u64>,
    },
}

/// A request to a backend.
pub struct Outgoing<'a, 'b> {
    /// The method.
    pub method: &'a Method,
    /// Path and query as they go on the wire, behind the target's base path.
    pub path_and_query: &'a str,
    /// Value of `Host`; the target's when `None`.
    pub host: Option<&'a [u8]>,
    /// Fields in order. Those of the framing (`Host`, `Content-Length`, `Transfer-Encoding`,
    /// `Trailer`) are passed over.
    pub fields: &'a [(HeaderName, HeaderValue)],
    /// The body.
    pub body: OutBody<'b>,
    /// For bodies that come as slowly as their sender likes: the deadline then bounds the connection
    /// only, and this each piece that the backend takes and the wait for the answer's head once all is
    /// sent. HTTP/1 only.
    pub patience: Option<Duration>,
    /// Where interim answers are left for whoever passes them on, who is woken with the exchange; without
    /// it they are dropped. HTTP/1 only: Pingora's HTTP/2 client drops them.
    pub interims: Option<&'a Interims>,
}

/// A request to an HTTP/1.1 backend whose head is written already.
pub struct Written<'a, 'b> {
    /// The method.
    pub method: &'a Method,
    /// The head, and as much of the body as goes with it.
    pub first: &'a [u8],
    /// The rest of the body and, unless it goes in chunks, its length.
    pub rest: Option<(&'b mut dyn BodySource, Option<u64>)>,
    /// As that of [`Outgoing`].
    pub patience: Option<Duration>,
}

/// How a client connects.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Bound of dialling one backend (`dialer_timeout`); `None` leaves it to the request's deadline.
    pub connect_timeout: Option<Duration>,
    /// Bound of a TLS handshake.
    pub handshake_timeout: Duration,
    /// Bound of the wait for an answer's head once the request is sent over HTTP/1.1
    /// (`response_header_timeout`); `None` leaves it to the deadline.
    pub head_timeout: Option<Duration>,
    /// Life of an idle connection (`idle_connection_timeout`); zero means 90 seconds.
    pub idle_timeout: Duration,
    /// Idle connections to one address in the process (`max_idle_connections_per_host`).
    pub max_idle_per_host: usize,
    /// Idle connections in the process (`max_idle_connections`); zero means no cap.
    pub max_idle: usize,
    /// Threads that share the two caps.
    pub threads: usize,
    /// One connection per request (`disable_keep_alives`).
    pub disable_keep_alives: bool,
    /// Offer HTTP/2 to TLS backends.
    pub http2: bool,
    /// TLS.
    pub tls: TlsOptions,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: None,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: None,
            idle_timeout: Duration::ZERO,
            max_idle_per_host: 250,
            max_idle: 0,
            threads: 1,
            disable_keep_alives: false,
            http2: false,
            tls: TlsOptions::default(),
        }
    }
}

const IDLE: Duration = Duration::from_secs(90);

/// Sends requests to backends. Made once per configuration and shared by reference.
#[derive(Debug)]
pub struct Client {
    options: ClientOptions,
    limits: Limits,
    tls: OnceLock<Result<Tls, String>>,
}

/// A way to the backend.
enum Way {
    H1(Conn),
    H2(Box<Http2Session>),
}

thread_local! {
    static OUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bodies up to this size travel with their head in one write.
const JOINED: usize = 16 * 1024;

impl Client {
    /// A client; opens nothing and reads no file.
    pub fn new(options: ClientOptions) -> Self {
        let idle = if options.idle_timeout.is_zero() {
            IDLE
        } else {
            options.idle_timeout
        };
        let threads = options.threads.max(1);
        let total = if options.max_idle == 0 {
            usize::MAX
        } else {
            options.max_idle
        };
        let limits = Limits {
            idle,
            per_host: if options.disable_keep_alives {
                0
            } else {
                options.max_idle_per_host.div_ceil(threads)
            },
            total: total.div_ceil(threads),
        };
        Self {
            options,
            limits,
            tls: OnceLock::new(),
        }
    }

    /// What its TLS set-up is made of, for those who make another one for the same service.
    pub fn tls_options(&self) -> &TlsOptions {
        &self.options.tls
    }

    /// Reads the files of the TLS set-up now. Call it where blocking is fine and a target is `https`;
    /// without it the first such request does it. The error names the file.
    pub fn prepare_tls(&self) -> Result<&Tls, &str> {
        let tls = self
            .tls
            .get_or_init(|| Tls::new(&self.options.tls, self.options.http2));
        tls.as_ref().map_err(String::as_str)
    }

    /// Sends a request and waits for the answer's head, all within the deadline, which bounds the
    /// body as well. A request without a body source and with an idempotent method is sent once more
    /// on a new connection when a reused one turns out to be dead.
    pub async fn send(
        &self,
        target: &Target,
        mut out: Outgoing<'_, '_>,
        deadline: Deadline,
    ) -> Result<Incoming, NetError> {
        let (way, reused) = self.reach(target, deadline, true).await?;
        let failure = match self.exchange(way, target, &mut out, deadline).await {
            Ok(incoming) => return Ok(incoming),
            Err(failure) => failure,
        };
        let replayable = !matches!(out.body, OutBody::Stream { .. });
        if !(reused && failure.untouched && replayable && out.method.is_idempotent()) {
            return Err(failure.error);
        }
        let (way, _) = self.reach(target, deadline, false).await?;
        self.exchange(way, target, &mut out, deadline)
            .await
            .map_err(|failure| failure.error)
    }

    /// As [`Client::send`], for a target that is spoken to in HTTP/1.1 and a head that was written for it.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send_written(
        &self,
        target: &Target,
        mut out: Written<'_, '_>,
        deadline: Deadline,
    ) -> Result<Incoming, NetError> {
        let conn = self.connection(target, deadline, true).await?;
        let reused = conn.reused;
        let failure = match self.exchange_written(conn, &mut out, deadline).await {
            Ok(incoming) => return Ok(incoming),
            Err(failure) => failure,
        };
        let replayable = out.rest.is_none() && out.method.is_idempotent();
        if !(reused && failure.untouched && replayable) {
            return Err(failure.error);
        }
        let conn = self.connection(target, deadline, false).await?;
        self.exchange_written(conn, &mut out, deadline)
            .await
            .map_err(|failure| failure.error)
    }

    async fn exchange_written(
        &self,
        mut conn: Conn,
        out: &mut Written<'_, '_>,
        deadline: Deadline,
    ) -> Result<Incoming, Failure> {
        let deadline = match out.patience {
            Some(_) => Deadline::NEVER,
            None => deadline,
        };
        let waits = self.waits(out.patience);
        let rest = match &mut out.rest {
            Some((source, length)) => Rest::Source(&mut **source, *length),
            None => Rest::Nothing,
        };
        let answer = exchange(&mut conn, out.method, out.first, rest, waits, None);
        let late = || Err(Failure::new(NetError::deadline()));
        let answer = deadline.run(answer).await.unwrap_or_else(late)?;
        let keep = (!self.options.disable_keep_alives).then_some(self.limits);
        Ok(Incoming::h1(conn, answer, keep, deadline))
    }

    fn waits(&self, patience: Option<Duration>) -> Waits {
        let head = match (self.options.head_timeout, patience) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Waits {
            head,
            stall: patience,
        }
    }

    /// A connection on which the caller speaks HTTP/1.1 by itself: a pooled one if that is wanted and
    /// there is one, else a new one. For targets that are never spoken to in HTTP/2.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn connection(
        &self,
        target: &Target,
        deadline: Deadline,
        pooled: bool,
    ) -> Result<Conn, NetError> {
        if !target.origin().is_empty() {
            return Err(NetError::invalid("a proxy reads heads of its own kind"));
        }
        match self.reach(target, deadline, pooled).await? {
            (Way::H1(conn), _) => Ok(conn),
            (Way::H2(_), _) => Err(NetError::invalid("the backend chose HTTP/2 unasked")),
        }
    }

    /// A connection to an HTTP/1 target that rests and may be used; `None` where there is none, and where one had to
    /// wait to know: then [`Self::connection`] does.
    pub fn resting(&self, target: &Target) -> Option<Conn> {
        if !target.speaks_http1() || !target.origin().is_empty() || self.limits.per_host == 0 {
            return None;
        }
        let key = key(target, self.tls_of(target).ok()?);
        let found = |addresses: &[SocketAddr]| {
            let mut addresses = addresses.iter();
            addresses.find_map(|at| pool::take(*at, key.as_ref()))
        };
        target.host().known(found).flatten()
    }

    /// Takes back a connection whose last answer was read to its end.
    pub fn keep(&self, conn: Conn) {
        pool::put(conn, self.limits);
    }

    /// Whether every connection serves one request only.
    pub fn closes(&self) -> bool {
        self.options.disable_keep_alives
    }

    /// Bound of the wait for an answer's head once the request is sent.
    pub fn head_timeout(&self) -> Option<Duration> {
        self.options.head_timeout
    }

    /// A pooled connection if there is one and it may be used, else a new one.
    async fn reach(
        &self,
        target: &Target,
        deadline: Deadline,
        pooled: bool,
    ) -> Result<(Way, bool), NetError> {
        let addresses = match deadline.run(target.host().addresses()).await {
            Some(addresses) => addresses?,
            None => return Err(NetError::connect_deadline()),
        };
        let tls = self.tls_of(target)?;
        let key = key(target, tls);
        if pooled
            && let Some(way) = self
                .pooled(target, &addresses, key.as_ref(), deadline)
                .await
        {
            return Ok((way, true));
        }
        // Boxed: opening is rare and its future is large.
        let way = Box::pin(self.open(target, &addresses, (tls, key), deadline)).await?;
        Ok((way, false))
    }

    async fn open(
        &self,
        target: &Target,
        addresses: &[SocketAddr],
        (tls, key): (Option<&Tls>, Option<ConnKey>),
        deadline: Deadline,
    ) -> Result<Way, NetError> {
        let (tcp, peer) = dial(addresses, self.options.connect_timeout, deadline).await?;
        let stream = match tls {
            Some(tls) => self.secured(tcp, target, tls, deadline).await?,
            None if target.prior_knowledge() => Box::new(Plain::from(tcp)) as Stream,
            None => {
                return Ok(Way::H1(Conn {
                    io: Io::Tcp(tcp),
                    peer,
                    key,
                    reused: false,
                }));
            }
        };
        let http2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
        target.agree(http2);
        if tls.is_none() || http2 {
            let opening = h2::open(stream, peer, key, self.limits.idle);
            let session = connecting(deadline, opening).await?;
            return Ok(Way::H2(Box::new(session)));
        }
        Ok(Way::H1(Conn {
            io: Io::Tls(stream),
            peer,
            key,
            reused: false,
        }))
    }

    /// The stream behind the TLS handshake, through the target's proxy if it has one.
    async fn secured(
        &self,
        mut tcp: TcpStream,
        target: &Target,
        tls: &Tls,
        deadline: Deadline,
    ) -> Result<Stream, NetError> {
        if let Some(proxy) = target.proxy() {
            let place = target.place();
            let asking = proxy.tunnel(&mut tcp, &place);
            self.prepared(asking, deadline).await?;
        }
        let name = target.tls_name().map_or("", AsRef::as_ref);
        self.prepared(tls.connect(tcp, name), deadline).await
    }

    /// Whether a target can be connected to now, as calls to it are: through its proxy, with TLS where it speaks that.
    /// The connection is closed at once.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn reaches(&self, target: &Target, deadline: Deadline) -> Result<(), NetError> {
        let addresses = match deadline.run(target.host().addresses()).await {
            Some(addresses) => addresses?,
            None => return Err(NetError::connect_deadline()),
        };
        let tls = self.tls_of(target)?;
        let (tcp, _) = dial(&addresses, self.options.connect_timeout, deadline).await?;
        if let Some(tls) = tls {
            self.secured(tcp, target, tls, deadline).await?;
        }
        Ok(())
    }

    /// A step of making a connection ready: the handshake's bound is the bound of each.
    async fn prepared<T>(
        &self,
        step: impl Future<Output = Result<T, NetError>>,
        deadline: Deadline,
    ) -> Result<T, NetError> {
        let until = deadline.earlier(Deadline::after(self.options.handshake_timeout));
        match until.run(step).await {
            Some(outcome) => outcome,
            None if until == deadline => Err(NetError::connect_deadline()),
            None => {
                let text = "net/http: TLS handshake timeout";
                Err(NetError::new(Reason::ConnectTimeout, text))
            }
        }
    }

    /// The TLS set-up, for TLS targets.
    fn tls_of<'a>(&'a self, target: &'a Target) -> Result<Option<&'a Tls>, NetError> {
        if target.tls_name().is_none() {
            return Ok(None);
        }
        if let Some(own) = target.transport().and_then(|own| own.tls.as_ref()) {
            return Ok(Some(own));
        }
        let service = self.prepare_tls();
        service
            .map(Some)
            .map_err(|error| NetError::new(Reason::TlsFailed, error.to_owned()))
    }

    async fn pooled(
        &self,
        target: &Target,
        addresses: &[SocketAddr],
        key: Option<&ConnKey>,
        deadline: Deadline,
    ) -> Option<Way> {
        if self.limits.per_host == 0 {
            return None;
        }
        let tls = target.tls_name().is_some();
        let http2 = target.prior_knowledge() || (tls && self.options.http2);
        for address in addresses {
            if http2
                && let Some(session) = deadline
                    .run(h2::reuse(*address, key, self.limits.idle))
                    .await
                    .flatten()
            {
                return Some(Way::H2(Box::new(session)));
            }
            if !target.prior_knowledge()
                && let Some(conn) = pool::take(*address, key)
            {
                return Some(Way::H1(conn));
            }
        }
        None
    }

    async fn exchange(
        &self,
        way: Way,
        target: &Target,
        out: &mut Outgoing<'_, '_>,
        deadline: Deadline,
    ) -> Result<Incoming, Failure> {
        let answer = match way {
            Way::H1(conn) if out.patience.is_some() => {
                Some(self.exchange_h1(conn, target, out, Deadline::NEVER).await)
            }
            Way::H1(conn) => {
                deadline
                    .run(self.exchange_h1(conn, target, out, deadline))
                    .await
            }
            Way::H2(session) => {
                let exchange = h2::exchange(*session, target, out, deadline);
                deadline.run(Box::pin(exchange)).await
            }
        };
        answer.unwrap_or_else(|| Err(Failure::new(NetError::deadline())))
    }

    async fn exchange_h1(
        &self,
        mut conn: Conn,
        target: &Target,
        out: &mut Outgoing<'_, '_>,
        deadline: Deadline,
    ) -> Result<Incoming, Failure> {
        let mut first = OUT.take();
        first.clear();
        let close = self.options.disable_keep_alives;
        let rest = prepare(&mut first, target, out, close).map_err(Failure::new)?;
        let method = out.method;
        let asked_to_close = close || out.fields.iter().any(|(name, value)| closes(name, value));
        let rest = match (rest, &mut out.body) {
            (Behind::Whole, OutBody::Full { bytes, .. }) => Rest::Bytes(bytes),
            (Behind::Source, OutBody::Stream { source, length }) => {
                Rest::Source(&mut **source, *length)
            }
            _ => Rest::Nothing,
        };
        let waits = self.waits(out.patience);
        let answer = exchange(&mut conn, method, &first, rest, waits, out.interims).await?;
        if first.capacity() <= 2 * JOINED {
            OUT.set(first);
        }
        let keep = (!asked_to_close).then_some(self.limits);
        Ok(Incoming::h1(conn, answer, keep, deadline))
    }
}

/// What the connections of a target are told from others by.
fn key(target: &Target, tls: Option<&Tls>) -> Option<ConnKey> {
    let name = target.kept_as()?.clone();
    let setup = match tls {
        Some(tls) => tls.setup(),
        None => target.proxy()?.number(),
    };
    Some(ConnKey { setup, name })
}

/// What follows the bytes that `prepare` made.
enum Behind {
    Nothing,
    Whole,
    Source,
}

/// Writes the head, and a body small enough to travel with it.
fn prepare(
    first: &mut Vec<u8>,
    target: &Target,
    out: &Outgoing<'_, '_>,
    close: bool,
) -> Result<Behind, NetError> {
    let sending = match &out.body {
        OutBody::None => Sending::Nothing,
        OutBody::Full {
            bytes,
            chunked: false,
        } => Sending::Length(bytes.len() as u64),
        OutBody::Full { .. } | OutBody::Stream { length: None, .. } => Sending::Chunked,
        OutBody::Stream {
            length: Some(length),
            ..
        } => Sending::Length(*length),
    };
    let authority = target.authority();
    let plain_proxy = target.proxy().filter(|_| !target.origin().is_empty());
    let head = RequestHead {
        method: out.method,
        origin: target.origin(),
        proxy_authorization: plain_proxy.and_then(Proxy::authorization),
        base_path: &authority.base_path,
        path_and_query: out.path_and_query,
        host: out.host.unwrap_or(authority.host_header.as_bytes()),
        region: target.from(),
        fields: out.fields,
        sending,
        close,
    };
    request_head(first, &head)?;
    match &out.body {
        OutBody::None => Ok(Behind::Nothing),
        OutBody::Stream { .. } => Ok(Behind::Source),
        OutBody::Full {
            bytes,
            chunked: true,
        } => {
            push_chunk(first, bytes);
            first.extend_from_slice(LAST_CHUNK);
            Ok(Behind::Nothing)
        }
        OutBody::Full {
            bytes,
            chunked: false,
        } if bytes.len() <= JOINED => {
            first.extend_from_slice(bytes);
            Ok(Behind::Nothing)
        }
        OutBody::Full { .. } => Ok(Behind::Whole),
    }
}

/// Whether a forwarded field ends the connection after this exchange.
fn closes(name: &HeaderName, value: &HeaderValue) -> bool {
    *name == header::CONNECTION
        && connection_options(value.as_bytes()).any(|option| option == ConnectionOption::Close)
}

async fn connecting<T>(
    deadline: Deadline,
    opening: impl Future<Output = Result<T, NetError>>,
) -> Result<T, NetError> {
    deadline
        .run(opening)
        .await
        .unwrap_or_else(|| Err(NetError::connect_deadline()))
}
