//! A plain Pingora proxy, what anybody writes first: the yardstick of `benches/load`, nothing else.
//!
//! Every path goes to the upstreams in turn, on kept-alive connections. `GET /agg?n=3` fetches
//! `/json` n times at once, parses the answers and sends them merged under `b0`, `b1`, … Nothing
//! that a gateway adds (routes, limits, logs, metrics) is here, so the distance to it is the price
//! of those. Same allocator as the gateway, so that the allocator is not what is compared.
//!
//! `BARE_LISTEN=127.0.0.1:8080 BARE_UPSTREAMS=127.0.0.1:9000,127.0.0.1:9001 bare -c server.yaml`

use std::error::Error as StdError;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::client::HttpSession;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::Opt;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, OrErr, Result};
use serde_json::{Map, Value};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Most parts of one merged answer.
const MAX_PARTS: usize = 16;
/// Longest part that is read.
const MAX_PART: usize = 1 << 20;

struct Bare {
    upstreams: Vec<HttpPeer>,
    turn: AtomicUsize,
    connector: Connector,
}

impl Bare {
    fn new(upstreams: Vec<HttpPeer>, connector: Connector) -> Self {
        Self {
            upstreams,
            turn: AtomicUsize::new(0),
            connector,
        }
    }

    fn next_peer(&self) -> Result<&HttpPeer> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let peer = turn
            .checked_rem(self.upstreams.len())
            .and_then(|at| self.upstreams.get(at));
        peer.ok_or_else(|| Error::explain(ErrorType::ConnectNoRoute, "no upstream"))
    }

    async fn aggregate(&self, parts: usize) -> Result<Bytes> {
        let mut merged = Map::new();
        for (at, part) in join_all((0..parts).map(|_| self.fetch_json()))
            .await
            .into_iter()
            .enumerate()
        {
            merged.insert(format!("b{at}"), part?);
        }
        let text = serde_json::to_vec(&Value::Object(merged))
            .or_err(ErrorType::InternalError, "merged answer")?;
        Ok(Bytes::from(text))
    }

    /// One part; tried again once when a kept-alive connection turned out to be dead.
    async fn fetch_json(&self) -> Result<Value> {
        let peer = self.next_peer()?;
        loop {
            let (mut upstream, reused) = self.connector.get_http_session(peer).await?;
            match exchange(&mut upstream, peer).await {
                Ok(body) => {
                    if let HttpSession::H1(connection) = &mut upstream {
                        connection.respect_keepalive();
                    }
                    self.connector
                        .release_http_session(upstream, peer, peer.options.idle_timeout)
                        .await;
                    return serde_json::from_slice(&body)
                        .or_err(ErrorType::InternalError, "part is no JSON");
                }
                Err(_) if reused => {}
                Err(error) => return Err(error),
            }
        }
    }
}

async fn exchange(upstream: &mut HttpSession, peer: &HttpPeer) -> Result<BytesMut> {
    upstream.set_read_timeout(peer.options.read_timeout);
    upstream.set_write_timeout(peer.options.write_timeout);
    let mut request = RequestHeader::build("GET", b"/json", Some(1))?;
    request.insert_header("host", peer._address.to_string())?;
    upstream.write_request_header(Box::new(request)).await?;
    upstream.finish_request_body().await?;
    upstream.read_response_header().await?;
    if upstream
        .response_header()
        .is_none_or(|head| head.status.as_u16() != 200)
    {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "part is not 200");
    }
    let mut body = BytesMut::new();
    while let Some(piece) = upstream.read_response_body().await? {
        if body.len() + piece.len() > MAX_PART {
            return Error::e_explain(ErrorType::InternalError, "part is too long");
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Drives all futures at once on the task of the caller; results keep their order.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        let mut pending = false;
        for (future, output) in &mut waiting {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(value) => *output = Some(value),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    waiting
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

/// The `n` of `/agg?n=3`, when the target is that path.
fn parts_wanted(path: &str, query: Option<&str>) -> Option<usize> {
    if path != "/agg" {
        return None;
    }
    let n = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("n=")));
    Some(
        n.and_then(|n| n.parse().ok())
            .unwrap_or(3)
            .clamp(1, MAX_PARTS),
    )
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, _: &mut ()) -> Result<bool> {
        let uri = &session.req_header().uri;
        let Some(parts) = parts_wanted(uri.path(), uri.query()) else {
            return Ok(false);
        };
        let body = self.aggregate(parts).await?;
        let mut head = ResponseHeader::build(200, Some(2))?;
        head.insert_header("content-type", "application/json")?;
        head.insert_header("content-length", body.len())?;
        session.write_response_header(Box::new(head), false).await?;
        session.write_response_body(Some(body), true).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        self.next_peer().map(|peer| Box::new(peer.clone()))
    }
}

fn peer(address: &str) -> Result<HttpPeer, Box<dyn StdError>> {
    let address: SocketAddr = address
        .trim()
        .parse()
        .map_err(|error| format!("upstream {address:?}: {error}"))?;
    let mut peer = HttpPeer::new(address, false, String::new());
    peer.options.connection_timeout = Some(Duration::from_secs(2));
    peer.options.total_connection_timeout = Some(Duration::from_secs(2));
    peer.options.read_timeout = Some(Duration::from_secs(10));
    peer.options.write_timeout = Some(Duration::from_secs(10));
    peer.options.idle_timeout = Some(Duration::from_secs(60));
    Ok(peer)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the yardstick has no configuration of its own"
)]
fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("{name} is not set"))
}

fn main() -> Result<(), Box<dyn StdError>> {
    env_logger::init();
    let mut server = Server::new(Some(Opt::parse_args()))?;
    server.bootstrap();
    let upstreams = variable("BARE_UPSTREAMS")?
        .split(',')
        .map(peer)
        .collect::<Result<Vec<_>, _>>()?;
    let connector = Connector::new(Some(ConnectorOptions::from_server_conf(
        &server.configuration,
    )));
    let mut service = http_proxy_service(
        &Arc::clone(&server.configuration),
        Bare::new(upstreams, connector),
    );
    service.add_tcp(&variable("BARE_LISTEN")?);
    server.add_service(service);
    server.run_forever()
}
