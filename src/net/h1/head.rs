//! Reading the head of an answer: bounded, in pieces of any size, and refusing what two readers could
//! understand in two ways.
//!
//! Different from KrakenD: a repeated `Content-Length`, one beside `Transfer-Encoding`, and a transfer
//! coding in an HTTP/1.0 answer are errors, not repaired.

use memchr::memchr;
use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use httparse::{Header, ParserConfig, Response, Status};

use super::chunked::Chunked;
use super::framing::Framing;
use crate::base::field::{ConnectionOption, connection_options, same};
use crate::net::error::NetError;

/// Most bytes of an answer's head.
pub const MAX_HEAD: usize = 64 * 1024;
/// Most fields of an answer's head.
pub const MAX_FIELDS: usize = 128;

/// An answer's head, understood.
#[derive(Clone, Debug)]
pub struct AnswerHead {
    /// The status.
    pub status: StatusCode,
    /// Fields in the order of each name.
    pub headers: HeaderMap,
    /// How the body is framed.
    pub framing: Framing,
    /// Whether the connection may serve another request behind the body.
    pub keep_alive: bool,
}

/// What a head says besides its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// The status.
    pub status: StatusCode,
    /// How the body is framed.
    pub framing: Framing,
    /// Whether the connection may serve another request behind the body.
    pub keep_alive: bool,
    /// Whether an option of `Connection` is [nominating](ConnectionOption::Nominates).
    pub nominates: bool,
}

/// Collects a head that comes in pieces. One parser reads one head.
#[derive(Debug, Default)]
pub struct HeadParser {
    pending: Vec<u8>,
    scanned: usize,
}

impl HeadParser {
    /// A parser that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether any byte was seen.
    pub fn started(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes more bytes. `Some` with the head and the number of bytes of *this* input that belong to
    /// it; `None` when more are needed (all of the input was kept). Interim answers (1xx) are heads of
    /// their own; the caller goes on with a new parser.
    pub fn feed(
        &mut self,
        input: &[u8],
        method: &Method,
    ) -> Result<Option<(AnswerHead, usize)>, NetError> {
        if self.pending.is_empty() {
            return match find_end(input, 0)? {
                Some(end) => {
                    let head = parse(input.get(..end).unwrap_or_default(), method)?;
                    Ok(Some((head, end)))
                }
                None => {
                    self.pending.extend_from_slice(input);
                    self.scanned = input.len();
                    Ok(None)
                }
            };
        }
        let before = self.pending.len();
        let room = (MAX_HEAD + 1).saturating_sub(before).min(input.len());
        self.pending
            .extend_from_slice(input.get(..room).unwrap_or_default());
        let Some(end) = find_end(&self.pending, self.scanned)? else {
            self.scanned = self.pending.len();
            return Ok(None);
        };
        let head = parse(self.pending.get(..end).unwrap_or_default(), method)?;
        self.pending.clear();
        Ok(Some((head, end.saturating_sub(before))))
    }
}

/// Index behind the empty line that ends a head; `from` is how much was searched before. Garbage is
/// found out at once, so a backend that speaks something else is not waited for.
///
/// # Errors
/// When it cannot become a head, or is too large.
pub fn find_end(bytes: &[u8], from: usize) -> Result<Option<usize>, NetError> {
    const START: &[u8] = b"HTTP/1.";
    let known = bytes.len().min(START.len());
    if bytes.get(..known) != START.get(..known) {
        return Err(malformed(bytes));
    }
    let window = bytes.get(..bytes.len().min(MAX_HEAD)).unwrap_or_default();
    let mut at = from.saturating_sub(2).min(window.len());
    while let Some(step) = window.get(at..).and_then(|rest| memchr(b'\n', rest)) {
        at += step + 1;
        match window.get(at..) {
            Some([b'\n', ..]) => return Ok(Some(at + 1)),
            Some([b'\r', b'\n', ..]) => return Ok(Some(at + 2)),
            _ => {}
        }
    }
    if bytes.len() > MAX_HEAD {
        let text = format!("net/http: server response headers exceeded {MAX_HEAD} bytes; aborted");
        return Err(NetError::invalid(text));
    }
    Ok(None)
}

/// Parses a complete head into its own fields.
fn parse(bytes: &[u8], method: &Method) -> Result<AnswerHead, NetError> {
    let mut room = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let (meaning, fields) = parse_raw(bytes, &mut room, method)?;
    let block = Bytes::copy_from_slice(bytes);
    // With room for what a gateway adds.
    let mut headers = HeaderMap::with_capacity(fields.len() + 5);
    for field in fields {
        // The values share one copy of the head: a reference each instead of an allocation.
        let value = HeaderValue::from_maybe_shared(block.slice_ref_or_copy(bytes, field.value));
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(bad_field(field.name));
        };
        headers.append(name, value);
    }
    let Meaning {
        status,
        framing,
        keep_alive,
        ..
    } = meaning;
    Ok(AnswerHead {
        status,
        headers,
        framing,
        keep_alive,
    })
}

/// A part of a buffer's copy, found by its place in the buffer.
trait SliceOf {
    fn slice_ref_or_copy(&self, buffer: &[u8], part: &[u8]) -> Bytes;
}

impl SliceOf for Bytes {
    fn slice_ref_or_copy(&self, buffer: &[u8], part: &[u8]) -> Bytes {
        let start = (part.as_ptr() as usize).wrapping_sub(buffer.as_ptr() as usize);
        match start.checked_add(part.len()) {
            Some(end) if start <= end && end <= self.len() => self.slice(start..end),
            _ => Bytes::copy_from_slice(part),
        }
    }
}

/// Parses a complete head in place, for lanes that write the fields on without keeping them.
pub fn parse_raw<'b, 'h>(
    bytes: &'b [u8],
    room: &'h mut [MaybeUninit<Header<'b>>],
    method: &Method,
) -> Result<(Meaning, &'h [Header<'b>]), NetError> {
    let mut response = Response::new(&mut []);
    let parsed = ParserConfig::default()
        .parse_response_with_uninit_headers(&mut response, bytes, room)
        .map_err(|error| explain(error, bytes))?;
    let (Status::Complete(used), Some(code), Some(minor)) =
        (parsed, response.code, response.version)
    else {
        return Err(malformed(bytes));
    };
    // Both ends must agree on where the head ends.
    if used != bytes.len() || code < 100 {
        return Err(malformed(bytes));
    }
    let status = StatusCode::from_u16(code).map_err(|_| malformed(bytes))?;
    let fields: &'h [Header<'b>] = response.headers;
    let meaning = meaning(status, minor, fields, method)?;
    Ok((meaning, fields))
}

/// The body's framing (RFC 9112 section 6.3) and whether the connection persists (section 9.3).
fn meaning(
    status: StatusCode,
    minor: u8,
    fields: &[Header<'_>],
    method: &Method,
) -> Result<Meaning, NetError> {
    let (mut length, mut chunked) = (None, false);
    let (mut close, mut keep, mut nominates) = (false, false, false);
    for field in fields {
        let is = |known: &str| same(field.name.as_bytes(), known.as_bytes());
        if is("content-length") {
            let value = plain_number(field.value).ok_or_else(|| bad_length(field.value))?;
            if length.replace(value).is_some() {
                return Err(NetError::invalid(
                    "http: message cannot contain multiple Content-Length headers",
                ));
            }
        } else if is("transfer-encoding") {
            if chunked || minor == 0 || !field.value.eq_ignore_ascii_case(b"chunked") {
                let value = String::from_utf8_lossy(field.value);
                return Err(NetError::invalid(format!(
                    "unsupported transfer encoding: {value:?}"
                )));
            }
            chunked = true;
        } else if is("connection") {
            for option in connection_options(field.value) {
                match option {
                    ConnectionOption::Close => close = true,
                    ConnectionOption::KeepAlive => keep = true,
                    ConnectionOption::Nominates(_) => nominates = true,
                }
            }
        }
    }
    if chunked && length.is_some() {
        return Err(NetError::invalid("Content-Length beside Transfer-Encoding"));
    }
    let bodyless = *method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let framing = match length {
        _ if bodyless => Framing::Empty,
        _ if chunked => Framing::Chunked(Chunked::new()),
        Some(length) => Framing::Length(length),
        None => Framing::Close,
    };
    let keep_alive = !close && (minor == 1 || keep) && framing != Framing::Close;
    Ok(Meaning {
        status,
        framing,
        keep_alive,
        nominates,
    })
}

/// Digits only, at most 18 of them.
fn plain_number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 {
        return None;
    }
    value.iter().try_fold(0u64, |sum, byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + u64::from(byte - b'0'))
    })
}

fn bad_length(value: &[u8]) -> NetError {
    NetError::invalid(format!(
        "bad Content-Length {:?}",
        String::from_utf8_lossy(value)
    ))
}

fn bad_field(name: &str) -> NetError {
    NetError::invalid(format!("malformed MIME header: {name:?}"))
}

fn explain(error: httparse::Error, bytes: &[u8]) -> NetError {
    match error {
        httparse::Error::TooManyHeaders => NetError::invalid(format!(
            "server response has more than {MAX_FIELDS} headers"
        )),
        httparse::Error::HeaderName | httparse::Error::HeaderValue => NetError::invalid(
            "net/http: HTTP/1.x transport connection broken: malformed MIME header line",
        ),
        _ => malformed(bytes),
    }
}

/// Go's complaint, with at most a piece of the first line.
fn malformed(bytes: &[u8]) -> NetError {
    let line = bytes
        .split(|byte| matches!(byte, b'\r' | b'\n'))
        .next()
        .unwrap_or_default();
    let line = String::from_utf8_lossy(line.get(..line.len().min(64)).unwrap_or_default());
    NetError::invalid(format!(
        "net/http: HTTP/1.x transport connection broken: malformed HTTP response {line:?}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Reason;

    fn read(text: &str) -> Result<AnswerHead, NetError> {
        read_for(&Method::GET, text)
    }

    fn read_for(method: &Method, text: &str) -> Result<AnswerHead, NetError> {
        let (head, used) = HeadParser::new().feed(text.as_bytes(), method)?.unwrap();
        assert_eq!(used, text.len());
        Ok(head)
    }

    #[test]
    fn repeated_fields_keep_their_order() {
        let head =
            read("HTTP/1.1 200 OK\r\nA: 1\r\nb: x\r\na: 2\r\nContent-Length: 0\r\n\r\n").unwrap();
        let values: Vec<_> = head.headers.get_all("a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert!(head.keep_alive);
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for fields in [
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: 1\r\nContent-Length: 2",
            "Content-Length: 1, 1",
            "Content-Length: +1",
            "Content-Length:",
            "Content-Length: 1234567890123456789",
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: identity",
            "A: b\r\n c",
            "A : b",
            "A: b\rc",
            "A: b\0",
        ] {
            let error = read(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")).unwrap_err();
            assert_eq!(error.reason, Reason::BackendInvalid, "{fields:?}");
        }
        assert!(read("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn bad_status_lines_are_refused() {
        for line in [
            "HTTP/2.0 200 OK",
            "HTTP/1.1 20 OK",
            "HTTP/1.1 abc",
            "HTTP/1.1 099 X",
            "ICY 200 OK",
            "",
        ] {
            assert!(
                HeadParser::new()
                    .feed(format!("{line}\r\n\r\n").as_bytes(), &Method::GET)
                    .is_err(),
                "{line}"
            );
        }
    }

    #[test]
    fn answers_without_body_have_none_whatever_they_say() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(
            read_for(&Method::HEAD, text).unwrap().framing,
            Framing::Empty
        );
        let text = "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(read(text).unwrap().framing, Framing::Empty);
        assert_eq!(
            read("HTTP/1.1 204 No Content\r\n\r\n").unwrap().framing,
            Framing::Empty
        );
    }

    #[test]
    fn persistence_follows_version_and_connection() {
        let keep = |text: &str| read(text).unwrap().keep_alive;
        assert!(!keep(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n"
        ));
        assert!(!keep("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(keep(
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n"
        ));
        assert!(!keep("HTTP/1.1 200 OK\r\n\r\n"));
    }

    #[test]
    fn heads_are_bounded_in_bytes_and_fields() {
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(MAX_HEAD));
        assert!(
            HeadParser::new()
                .feed(long.as_bytes(), &Method::GET)
                .is_err()
        );
        let many = format!(
            "HTTP/1.1 200 OK\r\n{}\r\n",
            "A: b\r\n".repeat(MAX_FIELDS + 1)
        );
        assert!(read(&many).is_err());
    }

    #[test]
    fn garbage_is_refused_before_its_first_line_ends() {
        let error = HeadParser::new()
            .feed(b"\x16\x03", &Method::GET)
            .unwrap_err();
        assert_eq!(error.reason, Reason::BackendInvalid);
    }
}
