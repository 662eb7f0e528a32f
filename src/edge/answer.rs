//! From the bytes of a backend's head to the bytes of the client's, without anything in between. What
//! passes and what is added is decided where the other lane decides it.

use crate::base::field::same;
use crate::base::reply::X_GATEWAY_VERSION;
use crate::gateway::ctx::Ctx;
use crate::gateway::rate_fields::RateFields;
use crate::gateway::stage::{Edit, Edits};
use crate::net::NetError;
use crate::net::h1::Framing;
use crate::net::h1::head::{MAX_FIELDS, Meaning, parse_raw};
use crate::net::h1::writer::{push_field, push_spelled};
use crate::proxy::answer::{nominated, stays};
use http::{Method, StatusCode, header};
use httparse::Header;
use pingora::protocols::http::date::get_cached_date;
use std::mem::MaybeUninit;

/// What an answer's head needs to know of its request.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The request's state.
    pub ctx: &'a Ctx,
    /// What stages changed.
    pub edits: &'a Edits,
    /// Method that the backend was asked with; a body belongs to it or not.
    pub method: &'a Method,
    /// Whether the client's own method lets its answer have a body.
    pub head_only: bool,
    /// Whether the client's connection may serve another request.
    pub keep: bool,
}

/// What a backend's head says, once the client's was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The status.
    pub status: StatusCode,
    /// How the backend frames the body.
    pub framing: Framing,
    /// The body ends with the backend's connection, so the client gets it in chunks.
    pub rechunk: bool,
    /// Whether the backend's connection may serve another request.
    pub keep_alive: bool,
}

/// What takes away fields of the same name, and which lengths such names have: most fields are of none of them.
#[derive(Clone, Copy, Debug, Default)]
struct Cleared<'e> {
    answer: &'e [Edit],
    limits: Option<&'e RateFields>,
    lengths: u64,
}

impl<'e> Cleared<'e> {
    fn of(edits: &'e Edits) -> Self {
        let answer = edits.answer.as_slice();
        Self {
            answer,
            limits: Some(&edits.limits).filter(|limits| !limits.is_empty()),
            lengths: Edits::lengths(answer),
        }
    }

    /// Whether a field of this name stays.
    fn spare(&self, name: &str) -> bool {
        self.spare_by_stages(name) && self.limits.is_none_or(|limits| !limits.clears(name))
    }

    fn spare_by_stages(&self, name: &str) -> bool {
        self.lengths >> (name.len() % 64) & 1 == 0 || Edits::spare(self.answer, name)
    }
}

/// What a backend sent.
struct Passing<'h> {
    fields: &'h [Header<'h>],
    /// Names that its `Connection` declares to be the connection's own.
    nominated: Vec<&'h [u8]>,
}

/// Reads a whole head of a backend and appends the client's to `out`. An interim answer is written as
/// one; `100 Continue` is for nobody here and leaves nothing behind.
///
/// # Errors
/// When the head is no valid answer, or one to a question that was not asked.
pub fn plan(head: &[u8], asked: &Asked<'_>, out: &mut Vec<u8>) -> Result<Planned, NetError> {
    let mut room = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let (meaning, fields) = parse_raw(head, &mut room, asked.method)?;
    let Meaning {
        status,
        framing,
        keep_alive,
        nominates,
    } = meaning;
    // Mostly there are none.
    let nominated = if nominates {
        nominations(fields)
    } else {
        Vec::new()
    };
    let passing = Passing { fields, nominated };
    let rechunk = framing == Framing::Close;
    let (mut framing, mut keep_alive) = (framing, keep_alive);
    if asked.head_only && !framing.done() {
        // A `HEAD` that a `GET` endpoint answers: the body is not for anybody.
        (framing, keep_alive) = (Framing::Empty, false);
    }
    match status {
        StatusCode::SWITCHING_PROTOCOLS => {
            return Err(NetError::invalid("unexpected 101 Switching Protocols"));
        }
        StatusCode::CONTINUE => {}
        status if status.is_informational() => {
            push_status(out, status);
            // An interim answer has no body, so it has no length either.
            push_fields(out, &passing, asked, &Cleared::default(), false);
            out.extend_from_slice(b"\r\n");
        }
        status => push_final(out, status, &framing, &passing, asked),
    }
    Ok(Planned {
        status,
        framing,
        rechunk,
        keep_alive,
    })
}

/// Appends the client's head of a final answer.
fn push_final(
    out: &mut Vec<u8>,
    status: StatusCode,
    framing: &Framing,
    passing: &Passing<'_>,
    asked: &Asked<'_>,
) {
    let edits = Cleared::of(asked.edits);
    let bodyless =
        asked.head_only || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    // A backend that is asked with `HEAD` tells the length of a body that it does not send.
    let withheld = !bodyless && *framing == Framing::Empty;
    push_status(out, status);
    stamp(out, asked, &edits);
    // A length may not stand in an answer that never has a body (RFC 9110 section 8.6).
    let sized = !withheld && status != StatusCode::NO_CONTENT;
    let dated = push_fields(out, passing, asked, &edits, sized);
    for (name, value) in Edits::added(edits.answer) {
        push_field(out, name.as_str(), value.as_bytes());
    }
    if let Some(limits) = edits.limits {
        limits.append_to(out);
    }
    if !dated && edits.spare(header::DATE.as_str()) {
        push_field(out, "date", get_cached_date().as_bytes());
    }
    if withheld {
        out.extend_from_slice(b"Content-Length: 0\r\n");
    } else if !bodyless && !matches!(framing, Framing::Length(_)) {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(connection(asked.keep));
}

/// The last field of a head, and its end.
pub const fn connection(keep: bool) -> &'static [u8] {
    if keep {
        b"Connection: keep-alive\r\n\r\n"
    } else {
        b"Connection: close\r\n\r\n"
    }
}

/// Appends a status line.
pub fn push_status(out: &mut Vec<u8>, status: StatusCode) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends the fields that every answer carries.
fn stamp(out: &mut Vec<u8>, asked: &Asked<'_>, edits: &Cleared<'_>) {
    let ctx = asked.ctx;
    // What is told of limits has other names.
    let mut put = |spelled: &str, value: &[u8]| {
        if edits.spare_by_stages(spelled) {
            push_spelled(out, spelled, value);
        }
    };
    if let Some((name, value)) = &ctx.gateway.service.version_header {
        let spelled = if *name == X_GATEWAY_VERSION {
            "X-Gateway-Version"
        } else {
            "X-Krakend"
        };
        put(spelled, value.as_bytes());
    }
    if !ctx.request_id.is_empty() {
        put("X-Request-ID", ctx.request_id.as_bytes());
    }
    put("X-Krakend-Completed", b"false");
}

/// Appends what passes of a backend's fields, its length only if the client gets the body; tells whether
/// `Date` was among them.
fn push_fields(
    out: &mut Vec<u8>,
    passing: &Passing<'_>,
    asked: &Asked<'_>,
    edits: &Cleared<'_>,
    sized: bool,
) -> bool {
    let dialect = asked.ctx.gateway.dialect;
    let mut dated = false;
    for field in passing.fields {
        let name = field.name.as_bytes();
        if stays(name, dialect)
            || passing.nominated.iter().any(|one| same(one, name))
            || !edits.spare(field.name)
            || !sized && same(name, b"content-length")
        {
            continue;
        }
        dated |= same(name, b"date");
        push_field(out, field.name, field.value);
    }
    dated
}

fn nominations<'h>(fields: &[Header<'h>]) -> Vec<&'h [u8]> {
    let mut names = Vec::new();
    for field in fields {
        if !same(field.name.as_bytes(), b"connection") {
            continue;
        }
        names.extend(nominated(field.value));
    }
    names
}
