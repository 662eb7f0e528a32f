//! Writing a request head in HTTP/1.1.
//!
//! Field names are written as Go writes them (`X-Y-Z`), because that is what backends behind KrakenD
//! see today. Fields keep the caller's order; Go sorts them, which no backend may rely on.

use http::Method;
use http::header::{self, HeaderName, HeaderValue};

use crate::base::Reason;
use crate::base::field::push_canonical;
use crate::net::error::NetError;

/// How the request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// No body. `POST`, `PUT` and `PATCH` say so with `Content-Length: 0`.
    Nothing,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// The parts of a request head.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// Scheme and authority, where a proxy reads the request line; else empty.
    pub origin: &'a str,
    /// Value of `Proxy-Authorization`; where a proxy reads the head, one of the caller's is left out.
    pub proxy_authorization: Option<&'a str>,
    /// Path in front of the target's path; may be empty.
    pub base_path: &'a str,
    /// Path and query as they go on the wire.
    pub path_and_query: &'a str,
    /// Value of `Host`.
    pub host: &'a [u8],
    /// Value of `X-Gateway-Region`, where the host is in another one.
    pub region: Option<&'a str>,
    /// Fields. `Host`, `Content-Length`, `Transfer-Encoding` and `Trailer` are left out: they are
    /// written from the other parts.
    pub fields: &'a [(HeaderName, HeaderValue)],
    /// The body's framing.
    pub sending: Sending,
    /// Whether to ask for the connection to be closed; a `Connection` field of the caller is left out
    /// then.
    pub close: bool,
}

/// Appends a request head to `out`. Fails, having appended a part, when the path or a field would
/// break the message.
pub fn request_head(out: &mut Vec<u8>, head: &RequestHead<'_>) -> Result<(), NetError> {
    let path = [head.origin, head.base_path, head.path_and_query];
    line(out, head.method, path, head.host)?;
    if let Some(region) = head.region {
        push_region(out, region);
    }
    if let Some(value) = head.proxy_authorization {
        push_spelled(out, "Proxy-Authorization", value.as_bytes());
    }
    for (name, value) in head.fields {
        let proxied = !head.origin.is_empty() && *name == header::PROXY_AUTHORIZATION;
        if proxied || is_framing(name) || head.close && *name == header::CONNECTION {
            continue;
        }
        // A name cannot hold what ends a line; a value of the platform's making was never asked.
        check_value(name.as_str(), value.as_bytes())?;
        push_field(out, name.as_str(), value.as_bytes());
    }
    finish(out, head.method, head.sending, head.close);
    Ok(())
}

/// Appends the request line and `Host`.
pub fn start(
    out: &mut Vec<u8>,
    method: &Method,
    base_path: &str,
    path_and_query: &str,
    host: &[u8],
) -> Result<(), NetError> {
    line(out, method, ["", base_path, path_and_query], host)
}

/// The same, the path with what stands in front of it.
fn line(
    out: &mut Vec<u8>,
    method: &Method,
    [origin, base_path, path_and_query]: [&str; 3],
    host: &[u8],
) -> Result<(), NetError> {
    check_target(base_path, path_and_query)?;
    check_value("Host", host)?;
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    // Mostly there is one part of these, and room for all of the head.
    for part in [origin, base_path, path_and_query] {
        if !part.is_empty() {
            out.extend_from_slice(part.as_bytes());
        }
    }
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(host);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Appends the region that a call comes from.
pub fn push_region(out: &mut Vec<u8>, region: &str) {
    push_spelled(out, "X-Gateway-Region", region.as_bytes());
}

/// Appends a field whose name is a token and whose value holds no line end. One piece of code for all who do: see
/// [`same`](crate::base::field::same).
#[inline(never)]
pub fn push_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    push_canonical(out, name);
    push_value(out, value);
}

/// Appends a field whose name is spelled as it goes on the wire.
#[inline(never)]
pub fn push_spelled(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name.as_bytes());
    push_value(out, value);
}

#[inline(never)]
fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends the fields of the framing and the end of the head.
pub fn finish(out: &mut Vec<u8>, method: &Method, sending: Sending, close: bool) {
    match sending {
        Sending::Nothing => {
            if matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
                out.extend_from_slice(b"Content-Length: 0\r\n");
            }
        }
        Sending::Length(length) => push_length(out, length),
        Sending::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    if close {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends one chunk; nothing for no data, since an empty chunk ends the body.
pub fn push_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let width = (usize::BITS - data.len().leading_zeros()).div_ceil(4);
    for place in (0..width).rev() {
        let digit = data.len() >> (place * 4) & 0xf;
        out.push(b"0123456789abcdef".get(digit).copied().unwrap_or(b'0'));
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// The end of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Whether a field is written from the framing, not from the caller's list.
pub(crate) fn is_framing(name: &HeaderName) -> bool {
    [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::TRAILER,
    ]
    .contains(name)
}

/// Path and query must not be able to end the request line.
pub(crate) fn check_target(base_path: &str, path_and_query: &str) -> Result<(), NetError> {
    let rooted = if base_path.is_empty() {
        path_and_query
    } else {
        base_path
    }
    .starts_with('/');
    let plain = |text: &str| text.bytes().all(|byte| byte > b' ' && byte != 0x7f);
    if rooted && plain(base_path) && plain(path_and_query) {
        return Ok(());
    }
    Err(NetError::new(
        Reason::BadSlot,
        "net/http: invalid request target",
    ))
}

fn check_value(name: &str, value: &[u8]) -> Result<(), NetError> {
    if value
        .iter()
        .all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f)
    {
        return Ok(());
    }
    let text = format!("net/http: invalid header field value for {name:?}");
    Err(NetError::new(Reason::MalformedRequest, text))
}

fn push_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(method: &Method, path: &str, fields: &[(&str, &str)]) -> Result<String, NetError> {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let mut out = Vec::new();
        let head = RequestHead {
            method,
            origin: "",
            proxy_authorization: None,
            base_path: "",
            path_and_query: path,
            region: None,
            host: b"h:1",
            fields: &fields,
            sending: Sending::Nothing,
            close: false,
        };
        request_head(&mut out, &head).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn names_are_written_in_gos_case() {
        let head = write(&Method::GET, "/x?y=1", &[("x-FORWARDED-for", "1.2.3.4")]).unwrap();
        assert_eq!(
            head,
            "GET /x?y=1 HTTP/1.1\r\nHost: h:1\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
        );
    }

    #[test]
    fn a_post_without_body_says_so() {
        let head = write(&Method::POST, "/", &[]).unwrap();
        assert_eq!(
            head,
            "POST / HTTP/1.1\r\nHost: h:1\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn framing_fields_of_the_caller_are_left_out() {
        let fields = [
            ("Content-length", "5"),
            ("TRANSFER-ENCODING", "gzip"),
            ("host", "evil"),
        ];
        assert_eq!(
            write(&Method::GET, "/", &fields).unwrap(),
            "GET / HTTP/1.1\r\nHost: h:1\r\n\r\n"
        );
    }

    #[test]
    fn nothing_can_break_out_of_its_line() {
        assert!(write(&Method::GET, "/a b", &[]).is_err());
        assert!(write(&Method::GET, "/\r\nX: y", &[]).is_err());
        assert!(write(&Method::GET, "x", &[]).is_err());
    }

    #[test]
    fn chunks_have_hexadecimal_sizes() {
        let mut out = Vec::new();
        push_chunk(&mut out, b"");
        push_chunk(&mut out, &[b'a'; 26]);
        assert_eq!(out, format!("1a\r\n{}\r\n", "a".repeat(26)).into_bytes());
    }
}
