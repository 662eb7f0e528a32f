//! Requests and answers of the demo's server: their types, and reading the head of a request with
//! every shape refused that two readers could understand differently.

use bytes::Bytes;
use std::time::Duration;

/// Largest request body, in bytes.
pub(crate) const MAX_BODY: usize = 16 * 1024 * 1024;
/// Most header lines, and most trailer lines.
pub(crate) const MAX_HEADERS: usize = 128;

/// A request, read to its end.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// As sent.
    pub(crate) method: String,
    /// Up to the question mark, as sent (not decoded).
    pub(crate) path: String,
    /// Behind the question mark; empty for none.
    pub(crate) query: String,
    /// Names in lower case, in the order received.
    pub(crate) headers: Vec<(String, String)>,
    /// Decoded from chunks where it was chunked.
    pub(crate) body: Bytes,
}

/// What goes back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// With `Content-Type`, without framing.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
    /// How long the client waits for it.
    pub(crate) after: Duration,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    /// Sent with its length.
    Full(Bytes),
    /// Sent as one chunk each, with a pause before every piece but the first.
    Stream { pieces: Vec<Bytes>, pause: Duration },
}

impl Request {
    /// The first value of a header by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON, if it is JSON.
    pub(crate) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl Answer {
    /// A JSON document.
    pub(crate) fn json(status: u16, value: &serde_json::Value) -> Self {
        let body = Body::Full(Bytes::from(value.to_string()));
        let headers = vec![("Content-Type", "application/json".to_owned())];
        Self {
            status,
            headers,
            body,
            after: Duration::ZERO,
        }
    }

    /// Server-sent events, one piece per event.
    pub(crate) fn events(events: impl IntoIterator<Item = String>, pause: Duration) -> Self {
        let pieces = events.into_iter();
        let pieces = pieces.map(|data| Bytes::from(format!("data: {data}\n\n")));
        Self {
            status: 200,
            headers: vec![
                ("Content-Type", "text/event-stream".to_owned()),
                ("Cache-Control", "no-cache".to_owned()),
            ],
            body: Body::Stream {
                pieces: pieces.collect(),
                pause,
            },
            after: Duration::ZERO,
        }
    }
}

/// How the body of a request ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
}

/// A request without its body, and how to go on.
pub(crate) struct Head {
    pub(crate) request: Request,
    pub(crate) framing: Framing,
    /// The client wants to ask more on this connection.
    pub(crate) keep_alive: bool,
    /// HTTP/1.1, so that an answer may be chunked.
    pub(crate) chunks: bool,
}

/// Reads a head, or says with which status to refuse it.
pub(crate) fn parse(text: &[u8]) -> Result<Head, u16> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(text) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(431),
        _ => return Err(400),
    }
    let (path, query) = target(parsed.path.unwrap_or_default());
    let headers = parsed.headers.iter().map(|header| {
        let value = String::from_utf8_lossy(header.value);
        (header.name.to_ascii_lowercase(), value.into_owned())
    });
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path,
        query,
        headers: headers.collect(),
        body: Bytes::new(),
    };
    let newest = parsed.version == Some(1);
    let connection = request.header("connection").unwrap_or_default();
    let keep_alive = match newest {
        true => !connection.eq_ignore_ascii_case("close"),
        false => connection.eq_ignore_ascii_case("keep-alive"),
    };
    Ok(Head {
        framing: framing(&request)?,
        request,
        keep_alive,
        chunks: newest,
    })
}

/// Path and query of a target, whichever form it has.
fn target(target: &str) -> (String, String) {
    let origin = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
        }
        _ => target,
    };
    let (path, query) = origin.split_once('?').unwrap_or((origin, ""));
    (path.to_owned(), query.to_owned())
}

/// How the body ends; anything that two readers could understand differently is refused.
fn framing(request: &Request) -> Result<Framing, u16> {
    let values = |name: &str| {
        let of_name = request.headers.iter().filter(|(n, _)| n == name);
        of_name.map(|(_, v)| v.trim()).collect::<Vec<_>>()
    };
    match (
        values("content-length").as_slice(),
        values("transfer-encoding").as_slice(),
    ) {
        ([], []) => Ok(Framing::Length(0)),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        ([digits], []) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            match digits.parse() {
                Ok(length) if length <= MAX_BODY => Ok(Framing::Length(length)),
                _ => Err(413),
            }
        }
        _ => Err(400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_body_beyond_the_limit() {
        let head = format!(
            "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
            MAX_BODY + 1
        );
        assert_eq!(parse(head.as_bytes()).err(), Some(413));
    }

    #[test]
    fn refuses_more_headers_than_it_has_room_for() {
        let head = format!(
            "GET / HTTP/1.1\r\n{}\r\n",
            "a: b\r\n".repeat(MAX_HEADERS + 1)
        );
        assert_eq!(parse(head.as_bytes()).err(), Some(431));
    }

    #[test]
    fn understands_the_absolute_form_of_a_target() {
        assert_eq!(target("http://a:1/b?c"), ("/b".to_owned(), "c".to_owned()));
        assert_eq!(
            target("/b?u=x://y"),
            ("/b".to_owned(), "u=x://y".to_owned())
        );
    }
}
