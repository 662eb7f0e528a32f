//! Answers that the gateway makes itself, and the one place where an [`Error`] becomes one, in both
//! dialects (contract section 2).

use crate::base::error::Challenge;
use crate::base::version;
use crate::base::{Error, Reason};
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use std::fmt::Write as _;

/// Whose words the gateway speaks to clients and backends (contract section 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// The contract's.
    #[default]
    Native,
    /// What a client of KrakenD CE sees, to the byte.
    Krakend,
}

/// `X-Krakend`.
pub const X_KRAKEND: HeaderName = HeaderName::from_static("x-krakend");
/// `X-Krakend-Completed`.
pub const X_KRAKEND_COMPLETED: HeaderName = HeaderName::from_static("x-krakend-completed");
/// `X-Gateway-Region`: the region that a call comes from, where it goes to another one.
pub const X_GATEWAY_REGION: HeaderName = HeaderName::from_static("x-gateway-region");
/// `X-Gateway-Version`.
pub const X_GATEWAY_VERSION: HeaderName = HeaderName::from_static("x-gateway-version");
/// `X-Request-ID`.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// `Proxy-Status` (RFC 9209).
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// A complete answer made by the gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Fields, without `Content-Length`, which the writer adds.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; empty for none.
    pub body: Bytes,
    /// Whether the connection ends after this answer.
    pub close: bool,
}

impl Reply {
    /// An answer without fields.
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            close: false,
        }
    }

    /// The same answer with one more field.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// A redirect, with Go's page for those who read it (`GET` and `HEAD`).
    pub fn redirect(status: u16, location: &str, page: bool) -> Self {
        let mut reply = Self::new(status, Bytes::new());
        if let Ok(value) = HeaderValue::from_str(location) {
            reply.headers.push((header::LOCATION, value));
        }
        if page {
            let mut href = String::with_capacity(location.len() + 8);
            for c in location.chars() {
                match c {
                    '&' => href.push_str("&amp;"),
                    '<' => href.push_str("&lt;"),
                    '>' => href.push_str("&gt;"),
                    '"' => href.push_str("&#34;"),
                    '\'' => href.push_str("&#39;"),
                    c => href.push(c),
                }
            }
            let text = canonical_reason(status);
            reply.body = Bytes::from(format!("<a href=\"{href}\">{text}</a>.\n\n"));
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            reply.headers.push((header::CONTENT_TYPE, html));
        }
        reply
    }

    /// A JSON answer.
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, body).with(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )
    }
}

/// How errors look to the clients of one configuration; compiled once.
#[derive(Clone, Debug, Default)]
pub struct ErrorShape {
    /// Whose words.
    pub dialect: Dialect,
    /// `router.return_error_msg`: the krakend dialect shows the error's text.
    pub return_error_msg: bool,
    /// `router.error_body.404`, compact JSON (both dialects).
    pub body_404: Option<Bytes>,
    /// `router.error_body.405`, compact JSON (both dialects).
    pub body_405: Option<Bytes>,
    /// `router.hide_version_header`.
    pub hide_version: bool,
}

/// What an error answer needs to know of its request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The request id, empty before there is one.
    pub request_id: &'a str,
    /// The `Accept` field, for `application/problem+json`.
    pub accept: Option<&'a [u8]>,
}

impl ErrorShape {
    /// The answer to an error, complete but for `Content-Length`.
    pub fn reply(&self, error: &Error, asked: Asked<'_>) -> Reply {
        let mut reply = match self.dialect {
            Dialect::Native => self.native(error, asked),
            Dialect::Krakend => self.krakend(error),
        };
        reply.close = closes(error.reason);
        if let Some(allow) = &error.allow
            && let Ok(value) = HeaderValue::from_str(allow)
        {
            reply.headers.push((header::ALLOW, value));
        }
        reply
    }

    /// The status that the client sees for an error.
    pub fn status(&self, error: &Error) -> u16 {
        if let Some(exposed) = &error.exposed {
            return exposed.status;
        }
        match self.dialect {
            Dialect::Native => error.reason.status(),
            Dialect::Krakend => krakend_status(error.reason),
        }
    }

    /// The version fields that every answer carries.
    pub fn version_header(&self) -> Option<(HeaderName, HeaderValue)> {
        match (self.dialect, self.hide_version) {
            (Dialect::Native, true) => None,
            (Dialect::Native, false) => Some((
                X_GATEWAY_VERSION,
                HeaderValue::from_static(version::GATEWAY_VERSION),
            )),
            (Dialect::Krakend, true) => {
                Some((X_KRAKEND, HeaderValue::from_static("Version undefined")))
            }
            (Dialect::Krakend, false) => {
                Some((X_KRAKEND, HeaderValue::from_static(version::KRAKEND_HEADER)))
            }
        }
    }

    fn custom_body(&self, reason: Reason) -> Option<&Bytes> {
        match reason {
            Reason::NoRoute => self.body_404.as_ref(),
            Reason::MethodNotAllowed => self.body_405.as_ref(),
            _ => None,
        }
    }

    fn native(&self, error: &Error, asked: Asked<'_>) -> Reply {
        let status = self.status(error);
        let problem_json = asked.accept.is_some_and(wants_problem_json);
        let retry_after =
            matches!(status, 429 | 503).then(|| error.retry_after.unwrap_or(1).max(1));
        let (body, content_type) = match self.custom_body(error.reason) {
            Some(body) => (body.clone(), "application/json; charset=utf-8"),
            None => {
                let body = native_body(error, status, asked.request_id, retry_after, problem_json);
                let content_type = if problem_json {
                    "application/problem+json"
                } else {
                    "application/json"
                };
                (Bytes::from(body), content_type)
            }
        };
        let mut reply = Reply::new(status, body)
            .with(header::CONTENT_TYPE, HeaderValue::from_static(content_type))
            .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = retry_after {
            reply
                .headers
                .push((header::RETRY_AFTER, HeaderValue::from(seconds)));
        }
        if error.reason.challenges() {
            reply = reply.with(header::WWW_AUTHENTICATE, challenge(error));
        }
        if let Some(value) = proxy_status(error.reason) {
            reply.headers.push((PROXY_STATUS, value));
        }
        reply.headers.extend(self.version_header());
        if let Ok(id) = HeaderValue::from_str(asked.request_id)
            && !asked.request_id.is_empty()
        {
            reply.headers.push((X_REQUEST_ID, id));
        }
        let before_pipe = aborted(error.reason) || error.reason == Reason::BadParamEncoding;
        if !refused_by_server(error.reason) && !before_pipe {
            reply
                .headers
                .push((X_KRAKEND_COMPLETED, HeaderValue::from_static("false")));
        }
        reply
    }

    fn krakend(&self, error: &Error) -> Reply {
        let status = self.status(error);
        let mut reply = Reply::new(status, Bytes::new());
        match error.reason {
            Reason::NoRoute | Reason::MethodNotAllowed => {
                let (body, content_type) = match (self.custom_body(error.reason), status) {
                    (Some(body), _) => (body.clone(), "application/json; charset=utf-8"),
                    (None, 404) => (Bytes::from_static(b"404 page not found"), "text/plain"),
                    (None, _) => (Bytes::from_static(b"405 method not allowed"), "text/plain"),
                };
                reply.body = body;
                let content_type = HeaderValue::from_static(content_type);
                reply.headers.push((header::CONTENT_TYPE, content_type));
            }
            Reason::BadParamEncoding => {
                reply.body = Bytes::from(error.text.clone().into_owned());
                reply = reply.with(header::CONTENT_TYPE, sniffed(error.text.as_bytes()));
                return reply;
            }
            Reason::HostNotAllowed => {
                let plain = HeaderValue::from_static("text/plain; charset=utf-8");
                reply.body = Bytes::from_static(b"Bad Host\n");
                reply = reply.with(header::CONTENT_TYPE, plain);
                let nosniff = HeaderValue::from_static("nosniff");
                return reply.with(header::X_CONTENT_TYPE_OPTIONS, nosniff);
            }
            // Its signer stands in place of the code that says more.
            Reason::SigningFailed => return reply,
            reason if aborted(reason) => return reply,
            // What Go's server answers before any of KrakenD's code runs.
            reason if refused_by_server(reason) => {
                let text = format!("{status} {}", canonical_reason(status));
                reply.body = Bytes::from(text);
                let plain = HeaderValue::from_static("text/plain; charset=utf-8");
                reply.headers.push((header::CONTENT_TYPE, plain));
                return reply;
            }
            _ if self.return_error_msg => {
                reply.body = Bytes::from(error.text.clone().into_owned());
                let declared = error
                    .exposed
                    .as_ref()
                    .and_then(|e| e.content_type.as_deref());
                let content_type = declared
                    .and_then(|t| HeaderValue::from_str(t).ok())
                    .unwrap_or_else(|| sniffed(error.text.as_bytes()));
                reply.headers.push((header::CONTENT_TYPE, content_type));
            }
            _ => {}
        }
        reply.headers.extend(self.version_header());
        reply
            .headers
            .push((X_KRAKEND_COMPLETED, HeaderValue::from_static("false")));
        reply
    }
}

/// Statuses of the krakend dialect: nearly everything is 500 (reference/krakend-core section 10.5).
fn krakend_status(reason: Reason) -> u16 {
    match reason {
        reason if refused_by_server(reason) => reason.status(),
        Reason::NoRoute => 404,
        Reason::MethodNotAllowed => 405,
        Reason::BotDetected | Reason::RolesMissing | Reason::ScopesMissing => 403,
        // Its keys not at hand, KrakenD tells a client that its token is wrong.
        reason if reason.is_authentication() => 401,
        Reason::BadParamEncoding | Reason::BadBody | Reason::SigningFailed => 400,
        Reason::ConnectionLimit | Reason::Draining | Reason::Overloaded => 503,
        // A limit of all clients together is told as our weakness, and one of a client's as its own.
        Reason::GlobalRateExceeded | Reason::EndpointRateExceeded => 503,
        reason if reason.is_rate_limit() => 429,
        _ => 500,
    }
}

/// Refusals made before routing, where KrakenD's own code has no part.
fn refused_by_server(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::MalformedRequest
            | Reason::BadTarget
            | Reason::BadHost
            | Reason::FramingConflict
            | Reason::UnknownTransferCoding
            | Reason::BadChunk
            | Reason::DotSegments
            | Reason::HeaderTimeout
            | Reason::BodyTimeout
            | Reason::BodyTooLarge
            | Reason::UriTooLong
            | Reason::HeadersTooLarge
            | Reason::TooManyHeaders
            | Reason::MethodUnsupported
    )
}

/// Refusals in front of the pipe: KrakenD says nothing in them but the status, and nobody of completeness
/// (reference/krakend-components section 0.4).
fn aborted(reason: Reason) -> bool {
    matches!(reason, Reason::BotDetected | Reason::HostNotAllowed)
        || reason.is_authentication()
        || reason.is_rate_limit()
}

/// `WWW-Authenticate`: what to come back with. Says no more than whether something came and was wrong (RFC 6750
/// section 3.1).
fn challenge(error: &Error) -> HeaderValue {
    HeaderValue::from_static(match (error.challenge, error.reason) {
        (Challenge::Basic, _) => "Basic realm=\"hanzo-gateway\", charset=\"UTF-8\"",
        (Challenge::Bearer, Reason::CredentialsMissing) => "Bearer",
        (Challenge::Bearer, _) => "Bearer error=\"invalid_token\"",
    })
}

/// Whether the connection cannot be trusted after such a refusal.
fn closes(reason: Reason) -> bool {
    (refused_by_server(reason) && reason != Reason::DotSegments)
        || matches!(
            reason,
            Reason::ConnectionLimit | Reason::Draining | Reason::ClientGone
        )
}

/// Go's content sniffing, reduced to what an error text can be.
fn sniffed(text: &[u8]) -> HeaderValue {
    let trimmed = text.trim_ascii_start();
    let lower: Vec<u8> = trimmed
        .iter()
        .take(16)
        .map(u8::to_ascii_lowercase)
        .collect();
    const HTML: &[&[u8]] = &[
        b"<!doctype html",
        b"<html",
        b"<head",
        b"<script",
        b"<iframe",
        b"<h1",
        b"<div",
        b"<font",
        b"<table",
        b"<a",
        b"<style",
        b"<title",
        b"<b",
        b"<body",
        b"<br",
        b"<p",
        b"<!--",
    ];
    let html = HTML.iter().any(|tag| {
        lower.starts_with(tag) && matches!(lower.get(tag.len()), None | Some(b' ' | b'>'))
            || (*tag == b"<!--" && lower.starts_with(tag))
    });
    let value = if html {
        "text/html; charset=utf-8"
    } else if trimmed.starts_with(b"<?xml") {
        "text/xml; charset=utf-8"
    } else {
        "text/plain; charset=utf-8"
    };
    HeaderValue::from_static(value)
}

/// RFC 9209: who failed and how. Details of authentication stay inside (contract section 2).
fn proxy_status(reason: Reason) -> Option<HeaderValue> {
    let of_the_request = matches!(reason, Reason::BotDetected | Reason::HostNotAllowed);
    let of_the_caller = matches!(reason.status(), 401 | 403) && !of_the_request;
    if reason.proxy_status().is_empty() || of_the_caller {
        return None;
    }
    let value = format!(
        "hanzo-gateway; error={}; details=\"{}\"",
        reason.proxy_status(),
        reason.word()
    );
    HeaderValue::from_str(&value).ok()
}

fn wants_problem_json(accept: &[u8]) -> bool {
    accept.split(|&b| b == b',').any(|item| {
        let media = item.split(|&b| b == b';').next().unwrap_or_default();
        media
            .trim_ascii()
            .eq_ignore_ascii_case(b"application/problem+json")
    })
}

/// The sentence that a client may read; never the internal text.
fn client_message(error: &Error, retry_after: Option<u32>) -> String {
    match (error.reason.status(), retry_after) {
        (429, Some(n)) => {
            format!(
                "Rate limit exceeded. Retry after {n} second{}.",
                if n == 1 { "" } else { "s" }
            )
        }
        _ => client_sentence(error.reason).to_owned(),
    }
}

fn client_sentence(reason: Reason) -> &'static str {
    match reason.status() {
        401 => "Valid credentials are needed.",
        403 if reason.is_authentication() => "The credentials do not allow this.",
        404 => "No endpoint has this path.",
        405 => "This path does not accept this method.",
        408 => "The request took too long to arrive.",
        413 => "The request body is too large.",
        414 => "The request target is too long.",
        431 => "The header fields are too large.",
        500 => "The gateway failed. Quote the request id to the operator.",
        501 => "The gateway does not implement this.",
        502 => "The backend gave no valid answer.",
        503 => "The service is not available at the moment.",
        504 => "The backend took too long to answer.",
        _ => reason.describe(),
    }
}

fn native_body(
    error: &Error,
    status: u16,
    request_id: &str,
    retry_after: Option<u32>,
    problem_json: bool,
) -> String {
    let code = if status == error.reason.status() {
        error.reason.code()
    } else {
        code_of(status)
    };
    let mut message = String::new();
    escape_json(&mut message, &client_message(error, retry_after));
    let mut id = String::new();
    escape_json(&mut id, request_id);
    let mut body = format!(
        "{{\"status\":{status},\"error\":\"{code}\",\"message\":\"{message}\",\"request_id\":\"{id}\""
    );
    if let Some(seconds) = retry_after {
        let _ = write!(body, ",\"retry_after\":{seconds}");
    }
    if problem_json {
        let _ = write!(
            body,
            ",\"type\":\"https://docs.hanzo.ai/gateway/reasons#{}\",\"title\":\"{}\",\"detail\":\"{message}\",\
             \"instance\":\"urn:request:{id}\"",
            // What exactly is wrong with credentials stays inside.
            if error.reason.is_authentication() {
                code
            } else {
                error.reason.word()
            },
            canonical_reason(status),
        );
    }
    body.push('}');
    body
}

/// Error code for a status that an exposed error chose itself.
fn code_of(status: u16) -> &'static str {
    match status {
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        405 => "method_not_allowed",
        408 => "request_timeout",
        413 => "payload_too_large",
        429 => "rate_limit_exceeded",
        500 => "internal_error",
        502 => "bad_gateway",
        503 => "service_unavailable",
        504 => "gateway_timeout",
        400..500 => "bad_request",
        _ => "internal_error",
    }
}

fn canonical_reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|s| s.canonical_reason())
        .unwrap_or("Error")
}

/// Appends a text as the inside of a JSON string.
pub fn escape_json(out: &mut String, text: &str) {
    let mut rest = text;
    if !any_special(text.as_bytes()) {
        out.push_str(rest);
        return;
    }
    // All of these are characters of one byte, so the text may be cut at them.
    while let Some(at) = rest.bytes().position(is_special) {
        let (clean, after) = rest.split_at(at);
        out.push_str(clean);
        let mut after = after.chars();
        match after.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            other => {
                let _ = write!(out, "\\u{:04x}", other.map_or(0, u32::from));
            }
        }
        rest = after.as_str();
    }
    out.push_str(rest);
}

/// Whether a byte may not stand in a JSON string as it is.
const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || byte == 0x7f
}

/// Whether any of them is special: eight bytes at a time, as most texts are clean.
fn any_special(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    // What a byte below `limit` leaves in its top bit; others may borrow from it, never for nothing.
    const fn below(word: u64, limit: u64) -> u64 {
        word.wrapping_sub(ONES * limit) & !word & TOPS
    }
    const fn is(word: u64, byte: u8) -> u64 {
        below(word ^ (ONES * byte as u64), 1)
    }
    let special = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word);
        below(word, 0x20) | is(word, b'"') | is(word, b'\\') | is(word, 0x7f) != 0
    };
    let (words, _) = bytes.as_chunks::<8>();
    match bytes.last_chunk::<8>() {
        // The last word overlaps the one before it.
        Some(last) => words.iter().any(special) || special(last),
        None => bytes.iter().any(|&byte| is_special(byte)),
    }
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
