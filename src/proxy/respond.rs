//! The only writer of answers that the gateway makes itself.

use crate::base::Reply;
use crate::base::reply::X_REQUEST_ID;
use crate::net::h1::writer::{push_field, push_spelled};
use crate::proxy::spell;
use bytes::Bytes;
use http::{Method, Version, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::date::get_cached_date;
use pingora::proxy::Session;
use std::time::Duration;

/// Body bytes that are read and thrown away before a connection is closed with the body unread, so that
/// the client reads our answer instead of a reset.
const LINGER_BYTES: usize = 1 << 20;
/// How long that may take.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Writes a whole answer.
///
/// # Errors
/// When the client is gone.
pub async fn write(session: &mut Session, reply: Reply) -> pingora::Result<()> {
    if reply.close {
        session.set_keepalive(None);
    }
    let mut head = ResponseHeader::build(reply.status, Some(reply.headers.len() + 3))?;
    for (name, value) in reply.headers {
        spell::append(&mut head, &name, value)?;
    }
    write_body(session, head, reply.body).await?;
    if reply.close {
        linger(session).await;
    }
    Ok(())
}

/// Writes a head and a body that is known as a whole, with its length.
///
/// # Errors
/// When the client is gone.
pub async fn write_body(
    session: &mut Session,
    mut head: ResponseHeader,
    body: Bytes,
) -> pingora::Result<()> {
    let bodyless = matches!(head.status.as_u16(), 204 | 304);
    if !bodyless {
        head.insert_header(header::CONTENT_LENGTH, body.len())?;
    }
    let is_head = session.req_header().method == Method::HEAD;
    let end = bodyless || is_head || body.is_empty();
    session.write_response_header(Box::new(head), end).await?;
    if !end {
        session.write_response_body(Some(body), true).await?;
    } else {
        session.as_downstream_mut().finish_body().await?;
    }
    Ok(())
}

/// Reads what the client still sends, within bounds.
async fn linger(session: &mut Session) {
    if session.as_downstream_mut().is_body_done() || session.req_header().version == Version::HTTP_2
    {
        return;
    }
    let drain = async {
        let mut seen = 0;
        while let Ok(Some(chunk)) = session.as_downstream_mut().read_request_body().await {
            seen += chunk.len();
            if seen > LINGER_BYTES {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER_TIME, drain).await;
}

/// A whole answer as HTTP/1.1 bytes, for a connection that has no session.
pub fn raw(reply: &Reply, head_only: bool, keep: bool) -> Vec<u8> {
    let status = http::StatusCode::from_u16(reply.status).unwrap_or(http::StatusCode::BAD_REQUEST);
    let mut out = Vec::with_capacity(384 + reply.body.len());
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("Error").as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in &reply.headers {
        if *name == X_REQUEST_ID {
            push_spelled(&mut out, "X-Request-ID", value.as_bytes());
        } else {
            push_field(&mut out, name.as_str(), value.as_bytes());
        }
    }
    let bodyless = matches!(reply.status, 204 | 304);
    if !bodyless {
        let length = reply.body.len().to_string();
        push_field(&mut out, "content-length", length.as_bytes());
    }
    push_field(&mut out, "date", get_cached_date().as_bytes());
    let connection = if keep { "keep-alive" } else { "close" };
    push_field(&mut out, "connection", connection.as_bytes());
    out.extend_from_slice(b"\r\n");
    if !head_only && !bodyless {
        out.extend_from_slice(&reply.body);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn raw_answers_are_whole_and_close() {
        let reply = Reply::new(431, "{}").with(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        let text = String::from_utf8(raw(&reply, false, false)).unwrap();
        let (head, rest) = text.split_once("Date: ").unwrap();
        assert_eq!(
            head,
            "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/json\r\n\
             Content-Length: 2\r\n"
        );
        assert!(rest.ends_with(" GMT\r\nConnection: close\r\n\r\n{}"));
        assert!(raw(&reply, true, true).ends_with(b"Connection: keep-alive\r\n\r\n"));
    }
}
