//! The door of every connection: which protocol, one head after the other, each to Pingora's proxy with
//! exactly its own bytes; what follows a request stays here until its turn.

use crate::base::clock::Turns;
use crate::base::future::boxed;
use crate::base::reply::Asked;
use crate::base::{Dialect, Error, Reason};
use crate::edge::body::Body;
use crate::edge::chunks::Malformed;
use crate::edge::connections::{Connections, Permit};
use crate::edge::gather::Gathered;
use crate::edge::lane::{After, Lane};
use crate::edge::line::{Line, Next, Wait, head_timeout};
use crate::edge::reader::read_more;
use crate::gateway::head::BodySize;
use crate::gateway::http1::HeadInfo;
use crate::gateway::lane::Lane as Setting;
use crate::gateway::live::Live;
use crate::gateway::request_id;
use crate::gateway::snapshot::Gateway;
use crate::proxy::{Proxy, respond};
use crate::telemetry::access::Access;
use crate::telemetry::metrics::Metrics;
use async_trait::async_trait;
use bytes::BytesMut;
use pingora::apps::{HttpServerApp, ReusedHttpStream, ServerApp};
use pingora::listeners::tls::Acceptor;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream as Plain;
use pingora::protocols::{ALPN, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// What an HTTP/2 connection begins with; its first four bytes are no HTTP/1 method.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a refused client may still send before its connection is closed.
const LINGER: Duration = Duration::from_millis(500);

/// In front of Pingora's proxy on every listener.
pub struct Door {
    proxy: Arc<HttpProxy<Proxy>>,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    connections: Arc<Connections>,
    /// HTTP/2 without TLS is spoken when the preface says so.
    h2c: bool,
    /// TLS of the listener; the handshake has a deadline of its own here.
    tls: Option<Arc<Acceptor>>,
    /// Serves what the platform need not serve.
    lane: Lane,
}

impl Door {
    /// A door to a proxy.
    pub fn new(
        proxy: Arc<HttpProxy<Proxy>>,
        live: Arc<Live>,
        metrics: Arc<Metrics>,
        connections: Arc<Connections>,
        draining: &'static AtomicBool,
        h2c: bool,
        tls: Option<Arc<Acceptor>>,
    ) -> Self {
        let lane = Lane {
            metrics: Arc::clone(&metrics),
            draining,
        };
        Self {
            lane,
            proxy,
            live,
            metrics,
            connections,
            h2c,
            tls,
        }
    }

    /// The stream behind the TLS handshake, if the listener speaks TLS.
    async fn unwrapped(&self, stream: Stream, patience: Duration) -> Option<Stream> {
        let Some(tls) = &self.tls else {
            return Some(stream);
        };
        let plain = stream.into_any().downcast::<Plain>().ok()?;
        // Boxed: every connection would carry the handshake's room for as long as it lives.
        let handshake = Box::pin(tls.tls_handshake(*plain));
        match tokio::time::timeout(patience, handshake).await {
            Ok(Ok(stream)) => Some(Box::new(stream)),
            Ok(Err(error)) => {
                log::debug!("TLS handshake failed: {error}");
                None
            }
            Err(_) => None,
        }
    }

    fn admit(&self, gateway: &Gateway, address: Option<IpAddr>) -> Option<Permit> {
        let limits = &gateway.service.limits;
        let rules = &gateway.service.client_ip;
        let address = address.filter(|address| !rules.is_proxy(*address));
        let cap = |limit: usize| if limit == usize::MAX { 0 } else { limit };
        self.connections.admit(
            address,
            cap(limits.max_connections),
            cap(limits.max_connections_per_address),
        )
    }

    /// Whether a cleartext connection begins with the preface of HTTP/2. Four bytes are enough to know
    /// that it does not, and every HTTP/1 request has more.
    async fn speaks_h2(&self, stream: &mut Stream, patience: Duration) -> Option<bool> {
        let mut start = [0; 4];
        let peek = tokio::time::timeout(patience, stream.try_peek(&mut start));
        if !peek.await.ok()?.ok()? || !PREFACE.starts_with(&start) {
            return Some(false);
        }
        let mut preface = [0; PREFACE.len()];
        let peek = tokio::time::timeout(patience, stream.try_peek(&mut preface));
        Some(peek.await.ok()?.ok()? && preface == PREFACE)
    }

    /// Serves one connection in whichever protocol it speaks.
    async fn connection(self: &Arc<Self>, stream: Stream, peer: IpAddr, shutdown: &ShutdownWatch) {
        let patience = head_timeout(&self.live.pin().service.limits);
        let Some(mut stream) = self.unwrapped(stream, patience).await else {
            return;
        };
        let h2 = if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            true
        } else if self.h2c && stream.get_ssl_digest().is_none() {
            match Box::pin(self.speaks_h2(&mut stream, patience)).await {
                Some(h2) => h2,
                None => return,
            }
        } else {
            false
        };
        if h2 {
            // The platform's own loop; it peeks the preface again, which is there by now.
            let stream = Box::new(Gathered::new(stream));
            ServerApp::process_new(&self.proxy, stream, shutdown).await;
        } else {
            self.serve(stream, peer, shutdown).await;
        }
    }

    /// Serves HTTP/1 requests until the connection ends.
    async fn serve(&self, stream: Stream, peer: IpAddr, shutdown: &ShutdownWatch) {
        let mut line = Line::new(stream, peer, shutdown);
        let mut first = true;
        let refused = loop {
            // An idle connection must not keep an old snapshot alive.
            let wait = self.live.read(|gateway| {
                let head = head_timeout(&gateway.service.limits);
                Wait {
                    patience: if first {
                        head
                    } else {
                        gateway.service.idle_timeout
                    },
                    head,
                    first,
                }
            });
            let (head, mut room, gateway) = match line.next_head(&wait, &self.live).await {
                Next::Head(head, room, gateway) => (head, room, gateway),
                Next::Closed => return,
                Next::Refuse(reason) => break reason,
            };
            first = false;
            let stay = head.keep_alive && !*shutdown.borrow() && !self.lane.is_draining();
            let after = if gateway.service.lane == Setting::Auto && head.facts().check().is_ok() {
                // Boxed: a connection that idles needs none of it.
                boxed(|| self.lane.serve(&mut line, gateway, &head, &mut room, stay)).await
            } else {
                After::NotOurs
            };
            room.rest();
            match after {
                After::Again => continue,
                After::Close => return,
                After::Linger => return Box::pin(linger(&mut line.stream)).await,
                After::NotOurs => {}
            }
            let Some(stream) = self
                .platform(line.stream, &mut line.held, head, stay, peer, shutdown)
                .await
            else {
                return;
            };
            line.stream = stream;
        };
        Box::pin(self.refuse(&mut line.stream, &line.held, refused, peer)).await;
    }

    /// One request on Pingora's path; gives the connection back if it may go on.
    async fn platform(
        &self,
        mut stream: Stream,
        held: &mut BytesMut,
        head: HeadInfo,
        stay: bool,
        peer: IpAddr,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let mut body = Body::of(head.body);
        let Ok(prefix) = take_request(held, head.end, &mut body) else {
            let reason = Reason::BadChunk;
            Box::pin(self.refuse(&mut stream, held, reason, peer)).await;
            return None;
        };
        let may_switch = head.upgrade && head.body == BodySize::None;
        stream = Box::new(Gathered::request(stream, body, may_switch));
        let reused = self.hand_over(stream, prefix, stay, shutdown).await?;
        let (stream, _) = reused.consume();
        let (stream, early) = Gathered::unwrap(stream).await?;
        held.extend_from_slice(&early);
        Some(stream)
    }

    /// One request for Pingora's proxy. No `async fn`: the session would lie in the connection's own
    /// future, where it is needed for a moment only.
    fn hand_over<'a>(
        &'a self,
        stream: Stream,
        prefix: BytesMut,
        stay: bool,
        shutdown: &'a ShutdownWatch,
    ) -> impl Future<Output = Option<ReusedHttpStream>> + 'a {
        let mut session = ServerSession::new_http1(stream);
        session.set_keepalive(if stay { Some(60) } else { None });
        session.set_pipelined_prefix(prefix);
        self.proxy.process_new_http(session, shutdown)
    }

    /// Answers a head that no session will see, and ends the connection.
    async fn refuse(&self, stream: &mut Stream, head: &[u8], reason: Reason, peer: IpAddr) {
        let began = Instant::now();
        let gateway = self.live.pin();
        let id = match gateway.dialect {
            Dialect::Native => request_id::mint(),
            Dialect::Krakend => String::new(),
        };
        let error = Error::from(reason);
        let reply = gateway.service.errors.reply(
            &error,
            Asked {
                request_id: &id,
                accept: None,
            },
        );
        let (method, path) = request_line(head);
        self.metrics.refused(reason);
        gateway
            .service
            .unrouted
            .finished(reply.status, began.elapsed().as_secs_f64());
        let out = respond::raw(&reply, method == "HEAD", false);
        let written = tokio::time::timeout(LINGER, async {
            stream.write_all(&out).await?;
            stream.flush().await
        });
        let delivered = matches!(written.await, Ok(Ok(())));
        if gateway.service.access_log {
            let access = Access {
                method,
                route: "",
                path,
                status: if delivered { reply.status } else { 0 },
                duration: began.elapsed(),
                bytes_out: reply.body.len() as u64,
                bytes_in: 0,
                request_id: &id,
                backend: "",
                client: peer,
                reason: reason.word(),
                error: "",
            };
            access.write(gateway.dialect, Instant::now());
        }
        linger(stream).await;
    }
}

/// Ends a connection of which not all was read: unread bytes at its close would reset it before the client
/// has read its answer.
async fn linger(stream: &mut Stream) {
    let _ = stream.shutdown().await;
    let mut rest = BytesMut::new();
    let drain = async {
        while let Ok(1..) = read_more(stream, &mut rest).await {
            rest.clear();
        }
    };
    let _ = tokio::time::timeout(LINGER, drain).await;
}

#[async_trait]
impl ServerApp for Door {
    async fn process_new(
        self: &Arc<Self>,
        mut stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let address = peer_of(&stream);
        let peer = address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let gateway = self.live.pin();
        let Some(permit) = self.admit(&gateway, address) else {
            drop(gateway);
            Box::pin(self.refuse(&mut stream, b"", Reason::ConnectionLimit, peer)).await;
            return None;
        };
        drop(gateway);
        let (door, shutdown) = (Arc::clone(self), shutdown.clone());
        // A task of its own: the platform's carries the room of a TLS handshake for as long as the
        // connection lives, 8 KiB that every idle one would pay. The drain counts permits, not tasks.
        tokio::runtime::Handle::current().spawn(Turns::new(async move {
            let _permit = permit;
            door.connection(stream, peer, &shutdown).await;
        }));
        None
    }

    async fn cleanup(&self) {
        ServerApp::cleanup(&*self.proxy).await;
    }
}

fn peer_of(stream: &Stream) -> Option<IpAddr> {
    let digest = stream.get_socket_digest()?;
    let address = digest.peer_addr()?.as_inet()?.ip();
    Some(address.to_canonical())
}

/// Splits off the bytes of one request: its head, which ends there, and what has come of its body, which is told of
/// them. What follows belongs to the next request, behind an upgrade too: a client sends nothing in the new protocol
/// before it has read the 101, and a backend that does not upgrade would read what is no request of its connection's
/// as one.
fn take_request(held: &mut BytesMut, head: usize, body: &mut Body) -> Result<BytesMut, Malformed> {
    let begun = held.get(head..).unwrap_or_default();
    let rest = held.split_off(head + body.feed(begun)?.used);
    let request = std::mem::replace(held, rest);
    if held.is_empty() {
        // Even an empty rest would share the request's memory, for as long as the connection idles.
        *held = BytesMut::new();
    }
    Ok(request)
}

/// Method and path of a head that may be anything, for the access line.
fn request_line(head: &[u8]) -> (&'static str, &[u8]) {
    let mut words = head.splitn(3, |&b| b == b' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let path = target
        .split(|&b| b == b'?' || b == b'\r' || b == b'\n')
        .next()
        .unwrap_or_default();
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let name = METHODS
        .into_iter()
        .find(|m| m.as_bytes() == method)
        .unwrap_or("-");
    (name, path.get(..path.len().min(256)).unwrap_or_default())
}
