//! How large and how slow a request may be, and which heads are refused (contract section 3).
//! Raw HTTP/1 heads are read in [`crate::gateway::http1`]; here are the rules that a parsed head of
//! any version must keep. KrakenD has no such limits but Go's; shapes that two servers may read
//! differently are refused in both dialects.

use crate::base::field::{self, in_value};
use crate::base::{Dialect, Reason};
use crate::gateway::head::{BodySize, Head};
use crate::gateway::host_rules::valid_host;
use http::Method;
use std::time::Duration;

/// The limits of a service or an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whose rules where they differ.
    pub dialect: Dialect,
    /// Longest target, in bytes.
    pub max_uri: usize,
    /// Most fields.
    pub max_headers: usize,
    /// Largest header section in bytes; in the krakend dialect the request line counts too.
    pub max_header_bytes: usize,
    /// Largest body in bytes; `u64::MAX` for no limit.
    pub max_body: u64,
    /// In which time a head must have arrived; `None` for no limit.
    pub header_timeout: Option<Duration>,
    /// Slowest body in bytes per second once [`body_grace`](Self::body_grace) is over; 0 for no limit.
    pub body_min_rate: u64,
    /// How long a body may be as slow as it likes.
    pub body_grace: Duration,
    /// Most client connections.
    pub max_connections: usize,
    /// Most connections from one address.
    pub max_connections_per_address: usize,
}

/// How large and how slow a body may be: all that is asked again while it comes.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Largest, in bytes.
    pub max: u64,
    /// Slowest rate in bytes per second once [`grace`](Self::grace) is over; 0 for no limit.
    pub min_rate: u64,
    /// How long it may be as slow as it likes.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            dialect: Dialect::Native,
            max_uri: 8192,
            max_headers: 64,
            max_header_bytes: 16 * 1024,
            max_body: 10 * 1024 * 1024,
            header_timeout: Some(Duration::from_secs(10)),
            body_min_rate: 1024,
            body_grace: Duration::from_secs(10),
            max_connections: 65_536,
            max_connections_per_address: 16_384,
        }
    }
}

impl Limits {
    /// What Go's server allows: 1 MiB of head and its 4 KiB of slack, and nothing else.
    pub fn krakend() -> Self {
        Self {
            dialect: Dialect::Krakend,
            max_uri: usize::MAX,
            max_headers: usize::MAX,
            max_header_bytes: 1024 * 1024 + 4096,
            max_body: u64::MAX,
            header_timeout: None,
            body_min_rate: 0,
            body_grace: Duration::ZERO,
            max_connections: usize::MAX,
            max_connections_per_address: usize::MAX,
        }
    }

    /// The defaults of a dialect.
    pub fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Native => Self::default(),
            Dialect::Krakend => Self::krakend(),
        }
    }

    /// Refuses a body that is known to be too large; for others count with
    /// [`BodyLimits::check_received`].
    ///
    /// # Errors
    /// [`Reason::BodyTooLarge`].
    pub fn check_body(&self, body: BodySize) -> Result<(), Reason> {
        match body {
            BodySize::Known(length) => self.body().check_received(length),
            BodySize::None | BodySize::Unknown => Ok(()),
        }
    }

    /// What a body is measured by.
    pub const fn body(&self) -> BodyLimits {
        BodyLimits {
            max: self.max_body,
            min_rate: self.body_min_rate,
            grace: self.body_grace,
        }
    }
}

impl BodyLimits {
    /// None at all.
    pub const NONE: Self = Self {
        max: u64::MAX,
        min_rate: 0,
        grace: Duration::ZERO,
    };

    /// Refuses a body of which this many bytes have arrived.
    ///
    /// # Errors
    /// [`Reason::BodyTooLarge`].
    pub fn check_received(&self, bytes: u64) -> Result<(), Reason> {
        if bytes > self.max {
            Err(Reason::BodyTooLarge)
        } else {
            Ok(())
        }
    }

    /// Refuses a body that arrives too slowly: `bytes` came within `elapsed`.
    ///
    /// # Errors
    /// [`Reason::BodyTimeout`].
    pub fn check_pace(&self, bytes: u64, elapsed: Duration) -> Result<(), Reason> {
        if self.min_rate == 0 || elapsed <= self.grace {
            return Ok(());
        }
        let due = (elapsed - self.grace)
            .as_secs()
            .saturating_mul(self.min_rate);
        if bytes < due {
            Err(Reason::BodyTimeout)
        } else {
            Ok(())
        }
    }
}

/// Checks a parsed head: HTTP/2, and HTTP/1 where another parser read it.
///
/// # Errors
/// Why the request is refused.
pub fn check(head: &dyn Head, limits: &Limits) -> Result<(), Reason> {
    let native = limits.dialect == Dialect::Native;
    let query = head.query().map_or(0, |query| query.len() + 1);
    if head.path().len() + query > limits.max_uri {
        return Err(Reason::UriTooLong);
    }
    if head.method() == Method::CONNECT {
        return Err(Reason::MethodUnsupported);
    }
    let origin = head.path().starts_with(b"/")
        || (head.path() == b"*" && head.query().is_none() && head.method() == Method::OPTIONS);
    if !origin
        || !target_bytes(head.path(), native)
        || !target_bytes(head.query().unwrap_or_default(), native)
    {
        return Err(Reason::BadTarget);
    }
    let mut fields = Fields {
        http2: head.version() == "2",
        ..Fields::default()
    };
    let mut refusal = None;
    head.each(&mut |name, value| {
        if refusal.is_none() {
            refusal = fields.take(name.as_bytes(), value, head, limits).err();
        }
    });
    if let Some(reason) = refusal {
        return Err(reason);
    }
    if fields.length && fields.coding {
        return Err(Reason::FramingConflict);
    }
    let host = head.host();
    let missing = host.is_empty() && (native || (head.version() == "1.1" && fields.hosts == 0));
    if missing || (!host.is_empty() && !valid_host(host)) {
        return Err(Reason::BadHost);
    }
    Ok(())
}

/// What was seen of a head's fields so far.
#[derive(Default)]
struct Fields {
    http2: bool,
    count: usize,
    bytes: usize,
    hosts: usize,
    length: bool,
    coding: bool,
}

impl Fields {
    fn take(
        &mut self,
        name: &[u8],
        value: &[u8],
        head: &dyn Head,
        limits: &Limits,
    ) -> Result<(), Reason> {
        self.count += 1;
        // As a line of HTTP/1 would count: colon, space and CRLF.
        self.bytes += name.len() + value.len() + 4;
        if self.bytes > limits.max_header_bytes {
            return Err(Reason::HeadersTooLarge);
        }
        if self.count > limits.max_headers {
            return Err(Reason::TooManyHeaders);
        }
        if !is_token(name) || !value.iter().all(|&b| in_value(b)) {
            return Err(Reason::MalformedRequest);
        }
        match Special::of(name) {
            Some(Special::Host) => {
                self.hosts += 1;
                if self.hosts > 1 || !value.trim_ascii().eq_ignore_ascii_case(head.host()) {
                    return Err(Reason::BadHost);
                }
            }
            Some(Special::ContentLength) => {
                if self.length || content_length(value).is_none() {
                    return Err(Reason::FramingConflict);
                }
                self.length = true;
            }
            Some(Special::TransferEncoding) if !self.http2 => {
                if self.coding || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(Reason::UnknownTransferCoding);
                }
                self.coding = true;
            }
            _ if self.http2 && !allowed_in_http2(name, value) => {
                return Err(Reason::MalformedRequest);
            }
            _ => {}
        }
        Ok(())
    }
}

/// RFC 9113 section 8.2.2: a field of a connection makes an HTTP/2 request malformed.
fn allowed_in_http2(name: &[u8], value: &[u8]) -> bool {
    let banned: [&[u8]; 5] = [
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
    ];
    if name.eq_ignore_ascii_case(b"te") {
        return value.eq_ignore_ascii_case(b"trailers");
    }
    !banned
        .iter()
        .any(|banned| name.eq_ignore_ascii_case(banned))
}

/// Fields that decide how a request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Upgrade,
    Expect,
    Te,
}

impl Special {
    pub(crate) fn of(name: &[u8]) -> Option<Self> {
        let (known, special) = match name.len() {
            2 => (is(name, b"te"), Self::Te),
            4 => (is(name, b"host"), Self::Host),
            6 => (is(name, b"expect"), Self::Expect),
            7 => (is(name, b"upgrade"), Self::Upgrade),
            10 => (is(name, b"connection"), Self::Connection),
            14 => (is(name, b"content-length"), Self::ContentLength),
            17 => (is(name, b"transfer-encoding"), Self::TransferEncoding),
            _ => return None,
        };
        known.then_some(special)
    }
}

/// Whether a name is one in lower case, whatever its own case. Of known length and without stopping, so that the
/// compiler makes a few words of it.
#[inline(always)]
fn is<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    <&[u8; N]>::try_from(name).is_ok_and(|name| {
        let other = |(byte, lower): (&u8, &u8)| {
            let case = if lower.is_ascii_lowercase() { 0x20 } else { 0 };
            (byte | case) ^ lower
        };
        name.iter()
            .zip(lower)
            .map(other)
            .fold(0, |all, one| all | one)
            == 0
    })
}

/// A `Content-Length`: digits and nothing else, in the range of 63 bits.
pub(crate) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        value
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')),
    )
}

/// Whether a text is an RFC 9110 token.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && token_end(text) == text.len()
}

/// Where the token at the begin of a text ends.
pub(crate) fn token_end(text: &[u8]) -> usize {
    let other = |byte: &u8| !TOKEN.get(usize::from(*byte)).copied().unwrap_or(false);
    text.iter().position(other).unwrap_or(text.len())
}

/// Whether a target is text without a space or control character and, in the native dialect, without
/// a fragment and anything that is not ASCII. Go takes bytes that are no UTF-8 too; the platform's
/// parser does not, and its refusal would not be ours.
pub(crate) fn target_bytes(target: &[u8], native: bool) -> bool {
    if native {
        target.iter().all(|&b| b.is_ascii_graphic() && b != b'#')
    } else {
        target.iter().all(|&b| b > b' ' && b != 0x7f) && std::str::from_utf8(target).is_ok()
    }
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = field::is_token(byte as u8);
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::plain::Plain;

    fn h2(target: &str, fields: &[(&str, &str)]) -> Result<(), Reason> {
        let mut head = Plain::get(target).fields(fields);
        head.version = "2";
        check(&head, &Limits::default())
    }

    #[test]
    fn accepts_an_ordinary_http2_head() {
        assert_eq!(
            h2(
                "/a?b=c",
                &[("accept", "*/*"), ("te", "trailers"), ("host", "gw.test")]
            ),
            Ok(())
        );
    }

    #[test]
    fn refuses_fields_of_a_connection_in_http2() {
        for field in [
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("keep-alive", "1"),
            ("proxy-connection", "x"),
            ("te", "gzip"),
            ("a b", "1"),
            ("a", "x\ny"),
            ("a", "x\0"),
        ] {
            assert_eq!(
                h2("/", &[field]),
                Err(Reason::MalformedRequest),
                "{field:?}"
            );
        }
    }

    #[test]
    fn refuses_contradicting_hosts_lengths_and_targets() {
        assert_eq!(h2("/", &[("host", "other")]), Err(Reason::BadHost));
        assert_eq!(
            h2("/", &[("host", "gw.test"), ("host", "gw.test")]),
            Err(Reason::BadHost)
        );
        let two = [("content-length", "1"), ("content-length", "1")];
        assert_eq!(h2("/", &two), Err(Reason::FramingConflict));
        assert_eq!(
            h2("/", &[("content-length", "+1")]),
            Err(Reason::FramingConflict)
        );
        for target in ["*", "a", "", "/a b", "/é", "/a#b", "/?a\tb"] {
            assert_eq!(h2(target, &[]), Err(Reason::BadTarget), "{target:?}");
        }
        let mut head = Plain::get("/");
        head.host.clear();
        assert_eq!(check(&head, &Limits::default()), Err(Reason::BadHost));
        head.method = Method::CONNECT;
        assert_eq!(
            check(&head, &Limits::default()),
            Err(Reason::MethodUnsupported)
        );
    }

    #[test]
    fn refuses_smuggling_shapes_in_both_dialects() {
        let both = [("Content-Length", "1"), ("Transfer-Encoding", "chunked")];
        for limits in [Limits::default(), Limits::krakend()] {
            let head = Plain::get("/").fields(&both);
            assert_eq!(check(&head, &limits), Err(Reason::FramingConflict));
            let head = Plain::get("/").fields(&[("Transfer-Encoding", "gzip, chunked")]);
            assert_eq!(check(&head, &limits), Err(Reason::UnknownTransferCoding));
        }
    }

    #[test]
    fn counts_fields_bytes_and_the_target() {
        let many: Vec<(&str, &str)> = vec![("a", "b"); 65];
        assert_eq!(h2("/", &many), Err(Reason::TooManyHeaders));
        assert_eq!(h2("/", &many[..64]), Ok(()));
        let large = "x".repeat(16 * 1024);
        assert_eq!(h2("/", &[("a", &large)]), Err(Reason::HeadersTooLarge));
        assert_eq!(h2(&format!("/{}", "x".repeat(8191)), &[]), Ok(()));
        assert_eq!(
            h2(&format!("/?{}", "x".repeat(8191)), &[]),
            Err(Reason::UriTooLong)
        );
    }

    #[test]
    fn limits_bodies_by_size_and_pace() {
        let limits = Limits::default();
        assert_eq!(limits.check_body(BodySize::Known(10 * 1024 * 1024)), Ok(()));
        let over = BodySize::Known(10 * 1024 * 1024 + 1);
        assert_eq!(limits.check_body(over), Err(Reason::BodyTooLarge));
        assert_eq!(
            Limits::krakend().check_body(BodySize::Known(u64::MAX)),
            Ok(())
        );
        assert_eq!(limits.body().check_pace(0, Duration::from_secs(10)), Ok(()));
        assert_eq!(
            limits.body().check_pace(0, Duration::from_secs(12)),
            Err(Reason::BodyTimeout)
        );
        assert_eq!(
            limits.body().check_pace(2048, Duration::from_secs(12)),
            Ok(())
        );
    }
}
