//! A forward proxy between the gateway and a backend (`proxy_address`): plaintext requests go to it with
//! their whole URL, TLS goes through a tunnel that it opens (`CONNECT`, RFC 9110 section 9.3.6).
//!
//! Different from KrakenD Enterprise: the proxy itself is spoken to in plaintext only.

use std::fmt;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::dns::{Host, Resolver};
use super::error::NetError;
use super::tls::next_setup;
use super::url::{Authority, Scheme};
use crate::base::Reason;

/// Longest head that a proxy may answer `CONNECT` with.
const MAX_HEAD: usize = 16 << 10;

/// `http://[user[:password]@]host[:port]`, read.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyAddress {
    authority: Authority,
    /// Value of `Proxy-Authorization`.
    authorization: Option<Box<str>>,
}

impl fmt::Debug for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyAddress({})", self.authority)
    }
}

impl ProxyAddress {
    /// Reads the address. The error names what is wrong and shows no credentials.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("it is no URL")?;
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (place, path) = rest.split_at(at);
        let (user, place) = match place.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, place),
        };
        if !matches!(path, "" | "/") {
            return Err("it holds more than user, host and port".to_owned());
        }
        let authority = Authority::parse(&format!("{scheme}://{place}"))?;
        if authority.scheme == Scheme::Https {
            return Err("proxies are spoken to in plaintext only".to_owned());
        }
        let authorization = user.map(basic).transpose()?.map(Into::into);
        Ok(Self {
            authority,
            authorization,
        })
    }
}

/// `user:password`, percent-encoded, as the value of `Proxy-Authorization`.
fn basic(user: &str) -> Result<String, String> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let bad = || "its credentials are not percent-encoded correctly".to_owned();
    let mut plain = decoded(name).ok_or_else(bad)?;
    if plain.contains(&b':') {
        return Err("its user name holds a colon".to_owned());
    }
    plain.push(b':');
    plain.extend(decoded(password).ok_or_else(bad)?);
    Ok(format!("Basic {}", base64(&plain)))
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?,
            _ => byte,
        });
    }
    Some(out)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * place) & 63) as usize);
            let digit = digit.filter(|_| place <= group.len());
            out.push(digit.map_or('=', |&digit| char::from(digit)));
        }
    }
    out
}

/// A proxy in use by one backend.
#[derive(Clone, Debug)]
pub struct Proxy {
    address: ProxyAddress,
    host: Arc<Host>,
    number: u64,
}

impl Proxy {
    /// Joins the address with the resolver's entry for it; no look-up happens here.
    pub fn new(address: ProxyAddress, resolver: &Resolver) -> Self {
        let host = resolver.host(&address.authority.host, address.authority.port);
        Self {
            address,
            host,
            number: next_setup(),
        }
    }

    /// Where its addresses come from.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// The number that tells it from every other proxy and TLS set-up in the process.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Value of `Proxy-Authorization`, if it wants one.
    pub fn authorization(&self) -> Option<&str> {
        self.address.authorization.as_deref()
    }

    /// Asks for a tunnel to `place` (`host:port`) on a fresh connection. No deadline of its own.
    pub async fn tunnel(&self, tcp: &mut TcpStream, place: &str) -> Result<(), NetError> {
        let mut ask = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
        if let Some(value) = self.authorization() {
            ask.push_str("Proxy-Authorization: ");
            ask.push_str(value);
            ask.push_str("\r\n");
        }
        ask.push_str("\r\n");
        let broken = |error: std::io::Error| failed(&error.to_string());
        tcp.write_all(ask.as_bytes()).await.map_err(broken)?;
        let mut head = Vec::new();
        let end = loop {
            let from = head.len().saturating_sub(3);
            if tcp.read_buf(&mut head).await.map_err(broken)? == 0 {
                return Err(failed("the proxy closed the connection"));
            }
            let fresh = head.get(from..).unwrap_or_default();
            if let Some(at) = fresh.windows(4).position(|four| four == b"\r\n\r\n") {
                break from + at + 4;
            }
            if head.len() > MAX_HEAD {
                return Err(failed("the proxy's answer is too long"));
            }
        };
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let status = line
            .strip_prefix(b"HTTP/1.")
            .and_then(|rest| rest.get(2..5));
        match status {
            // A server speaks TLS only when spoken to: more bytes are not the backend's.
            Some([b'2', _, _]) if end == head.len() => Ok(()),
            Some([b'2', _, _]) => Err(failed("the proxy sent more than its answer")),
            Some(code) => {
                let code = String::from_utf8_lossy(code);
                Err(failed(&format!("the proxy answered {code}")))
            }
            None => Err(failed("the proxy's answer is no HTTP/1")),
        }
    }
}

fn failed(what: &str) -> NetError {
    NetError::new(Reason::ConnectRefused, format!("proxyconnect: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_host_port_and_perhaps_credentials() {
        let address = ProxyAddress::parse("http://us%3Der:p%40ss:word@proxy.test:3128/").unwrap();
        assert_eq!(address.authority.host_header, "proxy.test:3128");
        // us=er:p@ss:word
        assert_eq!(
            address.authorization.as_deref(),
            Some("Basic dXM9ZXI6cEBzczp3b3Jk")
        );
        let address = ProxyAddress::parse("http://[::1]").unwrap();
        assert_eq!((address.authority.port, address.authorization), (80, None));
    }

    #[test]
    fn base64_pads_to_groups_of_four() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_showing_its_credentials() {
        for bad in [
            "",
            "proxy:3128",
            "ftp://u:secret@proxy",
            "socks5://u:secret@proxy:1",
            "https://u:secret@proxy",
            "http://u:secret@",
            "http://u:secret@proxy:x",
            "http://u:secret@proxy/path",
            "http://u:secret@proxy?q",
            "http://u:secret%4@proxy",
            "http://u%3a:secret@proxy",
            "http://u:secret@a b",
        ] {
            let error = ProxyAddress::parse(bad).unwrap_err();
            assert!(!error.contains("secret"), "{bad}: {error}");
        }
    }
}
