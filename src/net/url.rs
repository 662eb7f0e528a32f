//! A backend's host as configured, compiled once: where to connect and what to write as `Host`.
//!
//! KrakenD keeps hosts as text and parses the joined URL on each call; here a host that cannot work
//! is found when the configuration is read.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::dns::{Host, Resolver};
use super::proxy::Proxy;
use super::transport::Transport;

/// How a backend is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plaintext.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// The scheme's name in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port when none is written.
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The parts of `http://host:port/base`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Plaintext or TLS.
    pub scheme: Scheme,
    /// Name or address, an IPv6 literal without its brackets.
    pub host: String,
    /// As written, else the scheme's.
    pub port: u16,
    /// Value of `Host`: host and port as written. Visible ASCII only.
    pub host_header: String,
    /// Path that goes in front of every request's path (`disable_host_sanitize`), as written; may be
    /// empty.
    pub base_path: String,
}

impl Authority {
    /// Reads `scheme://host[:port][/base]`. The error names what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fail = |what: &str| format!("host \"{text}\" not valid: {what}");
        let (scheme, rest) = text.split_once("://").ok_or_else(|| fail("no scheme"))?;
        let scheme = match scheme {
            s if s.eq_ignore_ascii_case("http") => Scheme::Http,
            s if s.eq_ignore_ascii_case("https") => Scheme::Https,
            _ => return Err(fail("scheme is neither http nor https")),
        };
        let at = rest.find('/').unwrap_or(rest.len());
        let (place, base_path) = rest.split_at(at);
        if base_path
            .bytes()
            .any(|b| b <= b' ' || b == 0x7f || b == b'?' || b == b'#')
        {
            return Err(fail("path holds blanks, controls, `?` or `#`"));
        }
        let (host, port) = split_port(place).map_err(&fail)?;
        let port = match port {
            None | Some("") => scheme.port(),
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(|_| fail("port out of range"))?
            }
            Some(_) => return Err(fail("port is no number")),
        };
        Ok(Self {
            scheme,
            host,
            port,
            host_header: place.to_owned(),
            base_path: base_path.to_owned(),
        })
    }

    /// The whole URL of a request to this host.
    pub fn url(&self, path_and_query: &str) -> String {
        let (scheme, place) = (self.scheme.as_str(), &self.host_header);
        format!("{scheme}://{place}{}{path_and_query}", self.base_path)
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.scheme.as_str(),
            self.host_header,
            self.base_path
        )
    }
}

/// Host (without brackets) and port as written.
fn split_port(place: &str) -> Result<(String, Option<&str>), &'static str> {
    if let Some(rest) = place.strip_prefix('[') {
        let (literal, rest) = rest.split_once(']').ok_or("`[` without `]`")?;
        let address: Ipv6Addr = literal.parse().map_err(|_| "no IPv6 address in brackets")?;
        let port = match rest {
            "" => None,
            _ => Some(rest.strip_prefix(':').ok_or("text after `]`")?),
        };
        return Ok((address.to_string(), port));
    }
    let (host, port) = match place.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    };
    if host.is_empty() {
        return Err("no host name");
    }
    if host.contains('@') || port.is_some_and(|port| port.contains('@')) {
        return Err("user information is not supported");
    }
    if !host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    {
        return Err("host name holds bytes other than letters, digits, `.`, `-`, `_`");
    }
    Ok((host.to_owned(), port))
}

/// A host ready for requests: its parts, its addresses, its name for TLS.
#[derive(Clone, Debug)]
pub struct Target {
    authority: Authority,
    host: Arc<Host>,
    tls_name: Option<Arc<str>>,
    prior_knowledge: bool,
    transport: Option<Arc<Transport>>,
    /// What tells its connections from others of the same set-up: name and way.
    kept_as: Option<Arc<str>>,
    /// Scheme and authority, for request lines that a proxy reads.
    origin: Box<str>,
    /// What the last TLS handshake agreed on.
    agreed: Arc<AtomicU8>,
    /// The region that calls come from, where it is another one.
    from: Option<Arc<str>>,
}

/// Values of [`Target::agreed`]; 0 before the first handshake.
const HTTP1: u8 = 1;
const HTTP2: u8 = 2;

impl Target {
    /// Joins a parsed host with the resolver's entry for it; no look-up happens here.
    pub fn new(authority: Authority, resolver: &Resolver) -> Self {
        let host = resolver.host(&authority.host, authority.port);
        let tls_name = (authority.scheme == Scheme::Https)
            .then(|| Arc::from(authority.host.trim_end_matches('.')));
        Self {
            authority,
            host,
            kept_as: tls_name.clone(),
            tls_name,
            prior_knowledge: false,
            transport: None,
            origin: Box::default(),
            agreed: Arc::default(),
            from: None,
        }
    }

    /// The same target, in another region than this one that its calls come from. They say so
    /// (`X-Gateway-Region`), so that a gateway which gets one does not send it on.
    #[must_use]
    pub fn away_from(mut self, region: &Arc<str>) -> Self {
        self.from = Some(Arc::clone(region));
        self
    }

    /// The region that calls to it come from, when it is in another one.
    pub fn from(&self) -> Option<&str> {
        self.from.as_deref()
    }

    /// Parses and joins in one step. The error names what is wrong with the text.
    pub fn parse(text: &str, resolver: &Resolver) -> Result<Self, String> {
        Authority::parse(text).map(|authority| Self::new(authority, resolver))
    }

    /// The same target, spoken to in HTTP/2 without negotiation when it is plaintext
    /// (`backend/http`: `http2`).
    #[must_use]
    pub fn with_prior_knowledge(mut self) -> Self {
        self.prior_knowledge = self.authority.scheme == Scheme::Http;
        self
    }

    /// The same target, connected to in a way of its own.
    #[must_use]
    pub fn with_transport(mut self, transport: Option<&Arc<Transport>>) -> Self {
        self.transport = transport.cloned();
        self.kept_as.clone_from(&self.tls_name);
        self.origin = Box::default();
        if let Some(proxy) = self.proxy() {
            let number = proxy.number();
            let (kept_as, origin) = match &self.tls_name {
                Some(name) => (
                    format!("{name} at {} by {number}", self.place()),
                    String::new(),
                ),
                None => (
                    String::new(),
                    format!("http://{}", self.authority.host_header),
                ),
            };
            (self.kept_as, self.origin) = (Some(kept_as.into()), origin.into());
        }
        self
    }

    /// Its own way to be connected to, in place of the client's.
    pub fn transport(&self) -> Option<&Arc<Transport>> {
        self.transport.as_ref()
    }

    /// The parts.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The proxy that its connections lead to.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.transport.as_ref()?.proxy.as_ref()
    }

    /// Where the addresses that are connected to come from: its own, or its proxy's.
    pub fn host(&self) -> &Arc<Host> {
        self.proxy().map_or(&self.host, Proxy::host)
    }

    /// Host and port, for a tunnel.
    pub fn place(&self) -> String {
        let Authority { host, port, .. } = &self.authority;
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }

    /// What stands in front of the path in request lines: nothing, unless a proxy reads them.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What tells its connections from others of the same set-up; `None` for plaintext to itself.
    pub(crate) fn kept_as(&self) -> Option<&Arc<str>> {
        self.kept_as.as_ref()
    }

    /// Name for SNI and certificate check; `None` for plaintext.
    pub fn tls_name(&self) -> Option<&Arc<str>> {
        self.tls_name.as_ref()
    }

    /// Whether plaintext HTTP/2 is spoken at once.
    pub fn prior_knowledge(&self) -> bool {
        self.prior_knowledge
    }

    /// Whether a request to it is surely spoken in HTTP/1.1: always in plaintext without prior knowledge,
    /// over TLS when the last handshake agreed on it.
    pub fn speaks_http1(&self) -> bool {
        match self.tls_name {
            None => !self.prior_knowledge,
            Some(_) => self.agreed.load(Ordering::Relaxed) == HTTP1,
        }
    }

    /// Notes what a TLS handshake agreed on.
    pub(crate) fn agree(&self, http2: bool) {
        let agreed = if http2 { HTTP2 } else { HTTP1 };
        self.agreed.store(agreed, Ordering::Relaxed);
    }

    /// The address if the host is written as one.
    pub fn literal(&self) -> Option<IpAddr> {
        self.authority.host.parse().ok()
    }

    /// The whole URL of a request to this host.
    pub fn url(&self, path_and_query: &str) -> String {
        self.authority.url(path_and_query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_host_port_and_base_path() {
        let authority = Authority::parse("http://h:1/base").unwrap();
        assert_eq!((authority.host.as_str(), authority.port), ("h", 1));
        assert_eq!(authority.host_header, "h:1");
        assert_eq!(authority.url("/x?y"), "http://h:1/base/x?y");
    }

    #[test]
    fn port_follows_the_scheme() {
        assert_eq!(Authority::parse("https://a").unwrap().port, 443);
        assert_eq!(Authority::parse("HTTP://a:").unwrap().port, 80);
    }

    #[test]
    fn ipv6_literals_lose_their_brackets_only_for_the_address() {
        let authority = Authority::parse("http://[::1]:8080").unwrap();
        assert_eq!((authority.host.as_str(), authority.port), ("::1", 8080));
        assert_eq!(authority.host_header, "[::1]:8080");
    }

    #[test]
    fn refuses_what_cannot_be_connected_to() {
        for bad in [
            "",
            "h:1",
            "ftp://h",
            "http://",
            "http://:80",
            "http://u:p@h",
            "http://h:70000",
            "http://h:x",
            "http://h:-1",
            "http://[::1",
            "http://[::1]x",
            "http://a b",
            "http://h/a b",
            "http://h/?q",
            "http://h\r\n",
            "http://hé",
            "http://::1",
        ] {
            assert!(Authority::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_tls_targets_have_a_tls_name() {
        let resolver = Resolver::new();
        let target = Target::parse("https://a.example.:8443", &resolver).unwrap();
        assert_eq!(target.tls_name().map(AsRef::as_ref), Some("a.example"));
        assert!(
            Target::parse("http://a", &resolver)
                .unwrap()
                .tls_name()
                .is_none()
        );
    }
}
