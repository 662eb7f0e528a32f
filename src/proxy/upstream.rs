//! Pingora's own upstream path, for what the pooled client does not stream: protocol upgrades, and cleartext
//! HTTP/2 with its trailers. Peers are made of addresses only, every time-out is set, retries are few.

use crate::base::reply::X_GATEWAY_REGION;
use crate::base::{Error, Reason};
use crate::gateway::ctx::Ctx;
use crate::gateway::gate::Passes;
use crate::gateway::snapshot::{Backend, Gateway};
use crate::net::{Target, Tried};
use crate::pipe::call;
use http::Version;
use http::header::{self, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use pingora::protocols::ALPN;
use pingora::upstreams::peer::{HttpPeer, Peer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Connections that are tried for one request.
pub const MAX_TRIES: u8 = 3;
/// Wait before the second try; doubled, with jitter, before the third.
const BACK_OFF: Duration = Duration::from_millis(10);
/// Streams of one HTTP/2 connection to a backend.
const H2_STREAMS: usize = 100;
/// Longest wait for a connection when the endpoint would wait longer.
const CONNECT: Duration = Duration::from_secs(10);

/// What one request knows of its backend's side.
#[derive(Debug, Default)]
pub struct Upstream {
    /// Connections tried so far.
    pub tries: u8,
    /// Hosts that were tried.
    pub met: Tried,
    /// Addresses that were tried.
    pub tried: Vec<SocketAddr>,
    /// `Host` for the backend.
    pub host: Option<HeaderValue>,
    /// The region that the call comes from, where the backend's host is in another one.
    pub region: Option<HeaderValue>,
    /// Path and query for the backend.
    pub target: String,
    /// Fields for the backend.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// Whether the client asked to switch protocols.
    pub upgrade: bool,
    /// Backend stages that ran.
    pub entered: usize,
    /// What the backend's gates gave.
    pub passes: Passes,
}

/// Chooses an address and describes how to speak to it.
///
/// # Errors
/// When there is no host or no address.
pub async fn peer(
    (gateway, ctx): (&Gateway, &Ctx),
    backend: &Backend,
    timeout: Duration,
    upstream: &mut Upstream,
) -> Result<Box<HttpPeer>, Error> {
    if upstream.tries > 0 {
        let wait = BACK_OFF * 2u32.pow(u32::from(upstream.tries - 1));
        tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64())).await;
    }
    upstream.tries += 1;
    let target = call::pick(backend, ctx, &mut upstream.met).await?;
    let seat = Arc::clone(target.seat());
    upstream.passes.meets(target);
    let target = seat.target();
    if target.transport().is_some() {
        // The platform would connect with the service's settings.
        return Err(Error::new(
            Reason::TlsFailed,
            "the platform cannot connect as this backend asks",
        ));
    }
    let found = tokio::time::timeout(timeout, target.host().addresses()).await;
    let addresses = found.map_err(|_| Error::from(Reason::DnsFailed))??;
    let fresh = addresses
        .iter()
        .find(|a| !upstream.tried.contains(a))
        .or_else(|| addresses.first());
    let address = *fresh.ok_or(Reason::DnsFailed)?;
    upstream.tried.push(address);
    upstream.region = target
        .from()
        .and_then(|region| HeaderValue::from_str(region).ok());
    upstream.host = HeaderValue::from_bytes(target.authority().host_header.as_bytes()).ok();
    Ok(Box::new(describe(
        gateway,
        target,
        address,
        timeout,
        upstream.upgrade,
    )))
}

fn describe(
    gateway: &Gateway,
    target: &Target,
    address: SocketAddr,
    timeout: Duration,
    upgrade: bool,
) -> HttpPeer {
    let tls = target.tls_name();
    let sni = tls.map_or_else(String::new, |name| name.to_string());
    let mut peer = HttpPeer::new(address, tls.is_some(), sni);
    let options = &mut peer.options;
    let connect = timeout.min(CONNECT);
    options.connection_timeout = Some(connect);
    options.total_connection_timeout = Some(connect.saturating_mul(2));
    // One limit for head and chunks is all that the platform knows; a tunnel may be silent for long.
    let silent = gateway.service.stream_idle;
    options.read_timeout = Some(if upgrade {
        silent.max(Duration::from_secs(3600))
    } else {
        timeout.max(silent)
    });
    options.write_timeout = Some(timeout.max(silent));
    options.idle_timeout = Some(Duration::from_secs(60));
    options.max_h2_streams = H2_STREAMS;
    options.alpn = match (upgrade, tls.is_some()) {
        (false, false) if target.prior_knowledge() => ALPN::H2,
        (false, true) => ALPN::H2H1,
        _ => ALPN::H1,
    };
    options.verify_cert = !gateway.service.insecure;
    options.verify_hostname = !gateway.service.insecure;
    peer
}

/// Rewrites the head that Pingora cloned from the client's into the one for the backend.
///
/// # Errors
/// When a part is no valid head.
pub fn rewrite(
    request: &mut RequestHeader,
    backend: &Backend,
    upstream: &Upstream,
    peer_is_h2: bool,
    length: Option<u64>,
) -> pingora::Result<()> {
    let path = upstream.target.as_bytes();
    let mut head = RequestHeader::build(
        backend.method.clone(),
        path,
        Some(upstream.fields.len() + 4),
    )?;
    head.set_version(if peer_is_h2 {
        Version::HTTP_2
    } else {
        Version::HTTP_11
    });
    if let Some(host) = &upstream.host {
        head.insert_header(header::HOST, host.clone())?;
        if peer_is_h2
            && let Ok(authority) = host.to_str()
            && let Ok(uri) = http::Uri::builder()
                .scheme("https")
                .authority(authority)
                .path_and_query(upstream.target.as_str())
                .build()
        {
            head.set_uri(uri);
        }
    }
    for (name, value) in &upstream.fields {
        head.append_header(name, value.clone())?;
    }
    if let Some(region) = &upstream.region {
        head.insert_header(X_GATEWAY_REGION, region.clone())?;
    }
    if upstream.upgrade
        && let Some(protocols) = request.headers.get(header::UPGRADE)
    {
        head.insert_header(header::UPGRADE, protocols.clone())?;
        // What else the client's declares is of the client's connection.
        head.insert_header(header::CONNECTION, HeaderValue::from_static("Upgrade"))?;
    }
    if let Some(length) = length {
        head.insert_header(header::CONTENT_LENGTH, length)?;
    } else if request.headers.contains_key(header::TRANSFER_ENCODING) && !peer_is_h2 {
        head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    *request = head;
    Ok(())
}

/// Whether another connection may be tried: no byte of the request was sent, and not too often, by the backend's
/// rules where it has some.
pub fn may_retry(upstream: &Upstream, backend: Option<&Backend>) -> bool {
    let retry = backend.and_then(|backend| backend.retry.as_ref());
    let most = retry.map_or(MAX_TRIES, |retry| {
        u8::try_from(retry.tries).unwrap_or(u8::MAX)
    });
    upstream.tries < most && retry.is_none_or(|retry| retry.budget.take())
}

/// The peer's address for log lines.
pub fn shown(peer: &HttpPeer) -> String {
    peer.address().to_string()
}
