//! The raw head of an HTTP/1 request, read in one pass and without memory of its own. Stricter than
//! the general parsers that may read the same bytes after it: a line ends in CRLF and nothing else,
//! a field is never folded, framing is said once (contract section 3). KrakenD is Go's server,
//! which forgives bare line feeds, folding and repeated lengths; nobody honest sends them.

use crate::base::field::{ConnectionOption, connection_options, in_value, same};
use crate::base::{Dialect, Reason};
use crate::gateway::head::BodySize;
use crate::gateway::host_rules::{same_authority, valid_host};
use crate::gateway::lane::Facts;
use crate::gateway::limits::{Limits, Special, content_length, is_token, target_bytes, token_end};
use http::Method;
use memchr::memchr;
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
    /// Where the path of the target ends: at the question mark of its query, or with it.
    pub path_end: usize,
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
    /// Whether the target is anything but a path.
    pub absolute: bool,
    /// Whether any of `Upgrade`, `Expect`, `TE` is there, whatever it says.
    pub unusual: Unusual,
    /// Whether `Connection` holds more than `keep-alive` and `close`.
    pub nominates: bool,
}

impl HeadInfo {
    /// What of it decides about the lane.
    pub fn facts(&self) -> Facts {
        Facts {
            http11: self.http11,
            absolute_target: self.absolute,
            upgrade: self.unusual.upgrade,
            expect: self.unusual.expect,
            te: self.unusual.te,
            nominates: self.nominates,
            fields: self.fields,
            head_bytes: self.end - self.start,
        }
    }
}

/// Fields that change how a request is served, by their presence alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unusual {
    /// `Upgrade`.
    pub upgrade: bool,
    /// `Expect`.
    pub expect: bool,
    /// `TE`.
    pub te: bool,
}

/// Where a field stands in the bytes that were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where the name begins.
    pub start: u32,
    /// Where the colon stands.
    pub colon: u32,
    /// Where the line ends, before its CRLF.
    pub end: u32,
}

impl Span {
    /// The name, in the client's spelling.
    pub fn name<'r>(&self, raw: &'r [u8]) -> &'r [u8] {
        raw.get(self.start as usize..self.colon as usize)
            .unwrap_or_default()
    }

    /// The value without the blanks around it.
    pub fn value<'r>(&self, raw: &'r [u8]) -> &'r [u8] {
        raw.get(self.colon as usize + 1..self.end as usize)
            .unwrap_or_default()
            .trim_ascii()
    }
}

/// Checks a head. `None` means that it is not complete yet and within the limits so far; each call
/// starts from the beginning, so callers that read in small pieces should wait for an empty line.
///
/// # Errors
/// Why the request is refused; the connection must close, its bytes cannot be trusted.
pub fn check_head(raw: &[u8], limits: &Limits) -> Result<Option<HeadInfo>, Reason> {
    check_head_noting(raw, limits, &mut Vec::new())
}

/// The same, and notes where the fields stand, so that nobody needs to look for them again; at most
/// `spans`' capacity of them, more would only make it grow.
///
/// # Errors
/// As [`check_head`].
pub fn check_head_noting(
    raw: &[u8],
    limits: &Limits,
    spans: &mut Vec<Span>,
) -> Result<Option<HeadInfo>, Reason> {
    spans.clear();
    // RFC 9112 section 2.2: one empty line left over from the body before is ignored.
    let start = if raw.starts_with(b"\r\n") { 2 } else { 0 };
    let Some((line, fields_start)) = line(raw, start)? else {
        return too_long_a_start(raw.len() - start, limits).map(|()| None);
    };
    if memchr(b'\r', line).is_some() {
        return Err(Reason::MalformedRequest);
    }
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
        let colon = fields.take(text, at, limits)?;
        if spans.len() < spans.capacity() {
            spans.push(span(at, colon, text.len()));
        }
        at = after;
    };
    let host = fields.host(raw, &request, limits)?;
    let target = raw.get(request.target.clone()).unwrap_or_default();
    let path = memchr(b'?', target).unwrap_or(target.len());
    Ok(Some(HeadInfo {
        start,
        end,
        body: fields.body(request.http11)?,
        keep_alive: !fields.close && (request.http11 || fields.keep_alive),
        upgrade: request.http11 && fields.unusual.upgrade && fields.upgrade_nominated,
        expect_continue: request.http11 && fields.expect_continue,
        fields: fields.count,
        absolute: raw.get(request.target.start) != Some(&b'/') || request.authority.is_some(),
        unusual: fields.unusual,
        nominates: fields.nominates,
        method: request.method,
        path_end: request.target.start + path,
        target: request.target,
        http11: request.http11,
        host,
    }))
}

/// The place of a line of `length` bytes at `at` whose name is `colon` bytes long. A head over 4 GiB is
/// never whole.
fn span(at: usize, colon: usize, length: usize) -> Span {
    let place = |offset: usize| u32::try_from(at + offset).unwrap_or(u32::MAX);
    Span {
        start: place(0),
        colon: place(colon),
        end: place(length),
    }
}

/// One line without its CRLF, and where the next begins. Whoever takes it has to refuse a CR inside.
fn line(raw: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Reason> {
    let rest = raw.get(at..).unwrap_or_default();
    let Some(length) = memchr(b'\n', rest) else {
        return Ok(None);
    };
    match rest.get(..length) {
        Some([line @ .., b'\r']) => Ok(Some((line, at + length + 1))),
        _ => Err(Reason::MalformedRequest),
    }
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
        // The empty line behind the last field does not count, nor does half of it.
        None if raw.len() <= most || at <= most && raw.get(at..) == Some(b"\r") => Ok(None),
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
    upgrade_nominated: bool,
    expect_continue: bool,
    nominates: bool,
    unusual: Unusual,
}

impl Fields {
    /// Reads one field line that begins at `at`; gives the length of its name.
    fn take(&mut self, line: &[u8], at: usize, limits: &Limits) -> Result<usize, Reason> {
        self.count += 1;
        if self.count > limits.max_headers {
            return Err(Reason::TooManyHeaders);
        }
        // A folded line begins with white space, which no name does.
        let colon = token_end(line);
        let (name, rest) = line.split_at(colon);
        let rest = match rest {
            [b':', rest @ ..] if colon > 0 && all_in_value(rest) => rest,
            _ => return Err(Reason::MalformedRequest),
        };
        let Some(special) = Special::of(name) else {
            return Ok(colon);
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
                for option in connection_options(value) {
                    match option {
                        ConnectionOption::Close => self.close = true,
                        ConnectionOption::KeepAlive => self.keep_alive = true,
                        ConnectionOption::Nominates(name) => {
                            self.nominates = true;
                            self.upgrade_nominated |= same(name, b"upgrade");
                        }
                    }
                }
            }
            Special::Upgrade => self.unusual.upgrade = true,
            Special::Expect => {
                self.unusual.expect = true;
                self.expect_continue |= value.eq_ignore_ascii_case(b"100-continue");
            }
            Special::Te => self.unusual.te = true,
        }
        Ok(colon)
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
            // A body of no length is none: whether a backend is told of it is a matter of the method.
            (false, None | Some(0)) => Ok(BodySize::None),
            (false, Some(length)) => Ok(BodySize::Known(length)),
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
