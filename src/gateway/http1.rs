//! The raw head of an HTTP/1 request, read in one pass and without memory of its own. Stricter than
//! the general parsers that may read the same bytes after it: a line ends in CRLF and nothing else,
//! a field is never folded, framing is said once (contract section 3). KrakenD is Go's server,
//! which forgives bare line feeds, folding and repeated lengths; nobody honest sends them.

use crate::base::{Dialect, Reason};
use crate::gateway::head::BodySize;
use crate::gateway::host_rules::{same_authority, valid_host};
use crate::gateway::limits::{Limits, Special, content_length, in_value, is_token, target_bytes};
use http::Method;
use std::ops::Range;

/// Longest method.
const MAX_METHOD: usize = 32;
/// The room that a request line has beside its target: a method, two spaces, `HTTP/1.1` and CR.
const BESIDE_TARGET: usize = MAX_METHOD + 11;

/// What a head says about how to go on. Ranges are into the bytes that were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadInfo {
    /// Where the head begins; an empty line before it is allowed.
    pub start: usize,
    /// Where the body begins.
    pub end: usize,
    /// The method.
    pub method: Method,
    /// Path and query; empty for an absolute target without a path, which means `/`.
    pub target: Range<usize>,
    /// Value of `Host`; empty when there is none.
    pub host: Range<usize>,
    /// Whether the version is 1.1 and not 1.0.
    pub http11: bool,
    /// How the body is framed.
    pub body: BodySize,
    /// Whether the client wants to keep the connection.
    pub keep_alive: bool,
    /// Whether the client asks for another protocol (`Upgrade`, nominated by `Connection`).
    pub upgrade: bool,
    /// Whether the client waits for `100 Continue`.
    pub expect_continue: bool,
    /// How many fields there are.
    pub fields: usize,
}

/// Checks a head. `None` means that it is not complete yet and within the limits so far; each call
/// starts from the beginning, so callers that read in small pieces should wait for an empty line.
///
/// # Errors
/// Why the request is refused; the connection must close, its bytes cannot be trusted.
pub fn check_head(raw: &[u8], limits: &Limits) -> Result<Option<HeadInfo>, Reason> {
    // RFC 9112 section 2.2: one empty line left over from the body before is ignored.
    let start = if raw.starts_with(b"\r\n") { 2 } else { 0 };
    let Some((line, fields_start)) = line(raw, start)? else {
        return too_long_a_start(raw.len() - start, limits).map(|()| None);
    };
    let request = request_line(line, start, limits)?;
    let section = match limits.dialect {
        Dialect::Native => fields_start,
        Dialect::Krakend => start,
    };
    let mut fields = Fields::default();
    let mut at = fields_start;
    let end = loop {
        let next = line_within(raw, at, section, limits)?;
        let Some((text, after)) = next else {
            return Ok(None);
        };
        if text.is_empty() {
            break after;
        }
        fields.take(text, at, limits)?;
        at = after;
    };
    let host = fields.host(raw, &request, limits)?;
    Ok(Some(HeadInfo {
        start,
        end,
        body: fields.body(request.http11)?,
        keep_alive: !fields.close && (request.http11 || fields.keep_alive),
        upgrade: request.http11 && fields.upgrade && fields.upgrade_nominated,
        expect_continue: request.http11 && fields.expect_continue,
        fields: fields.count,
        method: request.method,
        target: request.target,
        http11: request.http11,
        host,
    }))
}

/// One line without its CRLF, and where the next begins.
fn line(raw: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Reason> {
    let rest = raw.get(at..).unwrap_or_default();
    let Some(length) = line_feed(rest) else {
        return Ok(None);
    };
    match rest.get(..length) {
        Some([line @ .., b'\r']) if !line.contains(&b'\r') => Ok(Some((line, at + length + 1))),
        _ => Err(Reason::MalformedRequest),
    }
}

/// Where the next line feed is. Eight bytes at a time: most of a head is the inside of lines.
fn line_feed(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let other = u64::from_le_bytes(*word) ^ (ONES * b'\n' as u64);
        let found = other.wrapping_sub(ONES) & !other & (ONES * 0x80);
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|&b| b == b'\n')?;
    Some(words.len() * 8 + at)
}

/// The next line, unless the header section that began at `section` is too large by then.
fn line_within<'r>(
    raw: &'r [u8],
    at: usize,
    section: usize,
    limits: &Limits,
) -> Result<Option<(&'r [u8], usize)>, Reason> {
    let most = section.saturating_add(limits.max_header_bytes);
    // What lies behind the limit is not even looked at.
    let seen = raw
        .get(..raw.len().min(most.saturating_add(2)))
        .unwrap_or(raw);
    match line(seen, at)? {
        Some((text, after)) if text.is_empty() || after <= most => Ok(Some((text, after))),
        None if raw.len() <= most => Ok(None),
        _ => Err(Reason::HeadersTooLarge),
    }
}

fn too_long_a_start(length: usize, limits: &Limits) -> Result<(), Reason> {
    if length > limits.max_uri.saturating_add(BESIDE_TARGET) {
        return Err(Reason::UriTooLong);
    }
    if limits.dialect == Dialect::Krakend && length > limits.max_header_bytes {
        return Err(Reason::HeadersTooLarge);
    }
    Ok(())
}

struct RequestLine {
    method: Method,
    target: Range<usize>,
    authority: Option<Range<usize>>,
    http11: bool,
}

fn request_line(line: &[u8], start: usize, limits: &Limits) -> Result<RequestLine, Reason> {
    let malformed = Reason::MalformedRequest;
    let space = line.iter().position(|&b| b == b' ').ok_or(malformed)?;
    let last = line.iter().rposition(|&b| b == b' ').ok_or(malformed)?;
    let name = line.get(..space).unwrap_or_default();
    if name.len() > MAX_METHOD || !is_token(name) {
        return Err(malformed);
    }
    let http11 = match line.get(last + 1..) {
        Some(b"HTTP/1.1") => true,
        Some(b"HTTP/1.0") => false,
        _ => return Err(malformed),
    };
    let method = Method::from_bytes(name).map_err(|_| malformed)?;
    let whole = line.get(space + 1..last).ok_or(malformed)?;
    if whole.len() > limits.max_uri {
        return Err(Reason::UriTooLong);
    }
    if method == Method::CONNECT {
        return Err(Reason::MethodUnsupported);
    }
    if whole.is_empty() || !target_bytes(whole, limits.dialect == Dialect::Native) {
        return Err(Reason::BadTarget);
    }
    let at = start + space + 1;
    let end = at + whole.len();
    let (target, authority) = match whole {
        [b'/', ..] => (at..end, None),
        b"*" if method == Method::OPTIONS => (at..end, None),
        _ => {
            let authority = absolute(whole).ok_or(Reason::BadTarget)?;
            (
                at + authority.end..end,
                Some(at + authority.start..at + authority.end),
            )
        }
    };
    Ok(RequestLine {
        method,
        target,
        authority,
        http11,
    })
}

/// The authority of an absolute target.
fn absolute(target: &[u8]) -> Option<Range<usize>> {
    let start = ["http://", "https://"]
        .iter()
        .map(|scheme| scheme.len())
        .find(|&length| {
            target.get(..length).is_some_and(|head| {
                head.eq_ignore_ascii_case(b"http://") || head.eq_ignore_ascii_case(b"https://")
            })
        })?;
    let rest = target.get(start..)?;
    let length = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    valid_host(rest.get(..length)?).then_some(start..start + length)
}

/// Whether all bytes may stand in a value. Looks at all of them without stopping, which the compiler
/// makes sixteen at a time.
fn all_in_value(value: &[u8]) -> bool {
    value.iter().fold(true, |all, &byte| all & in_value(byte))
}

/// What the fields said so far.
#[derive(Default)]
struct Fields {
    count: usize,
    host: Option<Range<usize>>,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    upgrade_nominated: bool,
    expect_continue: bool,
}

impl Fields {
    /// Reads one field line that begins at `at`.
    fn take(&mut self, line: &[u8], at: usize, limits: &Limits) -> Result<(), Reason> {
        self.count += 1;
        if self.count > limits.max_headers {
            return Err(Reason::TooManyHeaders);
        }
        // A folded line begins with white space, which no name does.
        let colon = line
            .iter()
            .position(|&b| b == b':')
            .ok_or(Reason::MalformedRequest)?;
        let (name, rest) = line.split_at(colon);
        let rest = rest.get(1..).unwrap_or_default();
        if !is_token(name) || !all_in_value(rest) {
            return Err(Reason::MalformedRequest);
        }
        let Some(special) = Special::of(name) else {
            return Ok(());
        };
        let value = rest.trim_ascii();
        match special {
            Special::Host => self.take_host(rest, at + colon + 1)?,
            Special::ContentLength => {
                let length = content_length(value).ok_or(Reason::FramingConflict)?;
                if self.length.replace(length).is_some() {
                    return Err(Reason::FramingConflict);
                }
            }
            Special::TransferEncoding => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Reason::UnknownTransferCoding);
                }
                self.chunked = true;
            }
            Special::Connection => {
                for token in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
                    self.close |= token.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                    self.upgrade_nominated |= token.eq_ignore_ascii_case(b"upgrade");
                }
            }
            Special::Upgrade => self.upgrade = !value.is_empty(),
            Special::Expect => self.expect_continue |= value.eq_ignore_ascii_case(b"100-continue"),
        }
        Ok(())
    }

    /// Notes where `Host` stands; `rest` is the text after the colon and begins at `at`.
    fn take_host(&mut self, rest: &[u8], at: usize) -> Result<(), Reason> {
        let value = rest.trim_ascii_start();
        let start = at + rest.len() - value.len();
        let host = start..start + value.trim_ascii_end().len();
        match self.host.replace(host) {
            None => Ok(()),
            Some(_) => Err(Reason::BadHost),
        }
    }

    fn body(&self, http11: bool) -> Result<BodySize, Reason> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Reason::FramingConflict),
            // HTTP/1.0 knows no codings: whoever wrote this reads it in another way.
            (true, None) if !http11 => Err(Reason::FramingConflict),
            (true, None) => Ok(BodySize::Unknown),
            (false, Some(length)) => Ok(BodySize::Known(length)),
            (false, None) => Ok(BodySize::None),
        }
    }

    fn host(
        &self,
        raw: &[u8],
        request: &RequestLine,
        limits: &Limits,
    ) -> Result<Range<usize>, Reason> {
        let Some(range) = self.host.clone() else {
            return if request.http11 {
                Err(Reason::BadHost)
            } else {
                Ok(0..0)
            };
        };
        let host = raw.get(range.clone()).unwrap_or_default();
        let empty = host.is_empty() && limits.dialect == Dialect::Krakend;
        if !empty && !valid_host(host) {
            return Err(Reason::BadHost);
        }
        let authority = request.authority.clone().and_then(|range| raw.get(range));
        match authority {
            Some(authority) if !same_authority(authority, host) => Err(Reason::BadHost),
            _ => Ok(range),
        }
    }
}

#[cfg(test)]
#[path = "http1_tests.rs"]
mod tests;
