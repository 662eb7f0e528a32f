//! Heads of answers on the fast lane: what the client is told is one exact head, of the same answer as a
//! plain reader finds in the backend's.

use hanzo_gateway::edge::answer::{Asked, Planned, plan};
use hanzo_gateway::gateway::ctx::Ctx;
use hanzo_gateway::gateway::rate_fields::{Before, Label, Policies, RateFields, Standing};
use hanzo_gateway::gateway::stage::{Edit, Edits};
use hanzo_gateway::net::h1::head::find_end;
use hanzo_gateway::net::h1::writer::{LAST_CHUNK, push_chunk};
use hanzo_gateway::net::h1::{AnswerHead, Framing, HeadParser};
use http::{HeaderName, HeaderValue, Method, header};
use std::sync::Arc;

use super::plan::GATEWAY;
use crate::wire::Choices;
use crate::wire::strict::{self, Fields};

/// Longest body that is made up to see whether a head is one.
const LONGEST: u64 = 4_000;

/// What belongs to the backend's connection, or is the gateway's to say.
const KEPT: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
    "x-gateway-version",
    "x-krakend-completed",
];

/// The backend's method, and whether the client's was `HEAD`.
const ASKED: [(Method, bool); 5] = [
    (Method::GET, false),
    (Method::GET, true),
    (Method::HEAD, true),
    (Method::HEAD, false),
    (Method::POST, false),
];

pub(crate) fn check(bytes: &[u8], choices: &mut Choices<'_>) {
    let (method, head_only) = &ASKED[choices.below(ASKED.len())];
    let edits = Edits {
        answer: edits(choices),
        limits: limits(choices),
        ..Edits::default()
    };
    let mut ctx = Ctx::new(Arc::clone(&GATEWAY));
    ctx.request_id = "req_1".to_owned();
    let asked = Asked {
        ctx: &ctx,
        edits: &edits,
        method,
        head_only: *head_only,
        keep: choices.once_in(2),
    };
    let Ok(Some(end)) = find_end(bytes, 0) else {
        return;
    };
    let mut out = b"before".to_vec();
    let planned = plan(&bytes[..end], &asked, &mut out);
    let read = HeadParser::new().feed(bytes, method);
    let (planned, head) = match (planned, read) {
        (Ok(planned), Ok(Some((head, used)))) => {
            assert_eq!(used, end);
            (planned, head)
        }
        (Err(_), Err(_)) => return,
        (Err(_), Ok(Some((head, _)))) if head.status == 101 => return,
        (planned, head) => panic!("{planned:?} but {head:?}"),
    };
    assert_eq!(&out[..6], b"before", "what is there stays");
    let out = &out[6..];
    meant(&planned, &head, &asked);
    let fields = fields(&bytes[..end]);
    if !planned.status.is_informational() {
        last(out, &planned, &fields, &asked);
    } else if planned.status == 100 {
        assert_eq!(out, b"");
    } else {
        interim(out, &planned, &fields, &asked);
    }
}

/// Changes that stages may make; none touches the framing.
fn edits(choices: &mut Choices<'_>) -> Vec<Edit> {
    let one = HeaderValue::from_static("1");
    let all = [
        Edit::Set(HeaderName::from_static("x-a"), one.clone()),
        Edit::Append(HeaderName::from_static("x-a"), one.clone()),
        Edit::Remove(HeaderName::from_static("x-a")),
        Edit::Append(header::SET_COOKIE, one.clone()),
        Edit::Remove(header::SERVER),
        Edit::Set(header::DATE, one.clone()),
        Edit::Remove(header::DATE),
        Edit::Remove(HeaderName::from_static("x-request-id")),
        Edit::Set(HeaderName::from_static("x-krakend-completed"), one),
    ];
    let count = choices.below(4);
    (0..count)
        .map(|_| all[choices.below(all.len())].clone())
        .collect()
}

/// What limits have to say, if anything.
fn limits(choices: &mut Choices<'_>) -> RateFields {
    let mut limits = RateFields::default();
    for (word, remaining) in [("minute", 7), ("day", 3)] {
        if choices.once_in(3) {
            let label = Label::new(word, 10, 60);
            let policies = Policies::of([&label]).filter(|_| choices.once_in(2));
            let standing = Standing {
                limit: 10,
                remaining,
                reset: 1,
            };
            limits.passed((&label, &standing), policies.as_ref(), Before::Beside);
        }
    }
    limits
}

/// Names in lower case and values of a head whose lines may end with LF alone.
fn fields(head: &[u8]) -> Fields {
    let lines = head
        .split(|b| *b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let colon = line.iter().position(|b| *b == b':').expect("a colon");
            let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
            (name, line[colon + 1..].trim_ascii().to_vec())
        })
        .collect()
}

/// Both readers of answers take the head for the same.
fn meant(planned: &Planned, head: &AnswerHead, asked: &Asked<'_>) {
    assert_eq!(planned.status, head.status);
    assert_eq!(planned.rechunk, head.framing == Framing::Close);
    if asked.head_only && head.framing != Framing::Empty && !head.framing.done() {
        assert!(!planned.keep_alive && planned.framing.done());
    } else {
        assert_eq!(
            (&planned.framing, planned.keep_alive),
            (&head.framing, head.keep_alive)
        );
    }
}

/// What passes of a backend's fields.
fn passing(fields: &Fields) -> Fields {
    let nominated: Vec<String> = strict::all(fields, "connection")
        .flat_map(|value| value.split(|b| *b == b','))
        .map(|word| String::from_utf8_lossy(word.trim_ascii()).to_ascii_lowercase())
        .filter(|word| !["close", "keep-alive"].contains(&word.as_str()))
        .collect();
    let stays = |name: &String| KEPT.contains(&name.as_str()) || nominated.contains(name);
    fields
        .iter()
        .filter(|(name, _)| !stays(name))
        .cloned()
        .collect()
}

fn interim(out: &[u8], planned: &Planned, fields: &Fields, asked: &Asked<'_>) {
    let read = strict::answer(out, asked.head_only, false);
    let Ok(Some((answer, end))) = read else {
        panic!("{read:?}: {}", out.escape_ascii());
    };
    assert_eq!((answer.status, end), (planned.status.as_u16(), out.len()));
    let mut expected = passing(fields);
    expected.retain(|(name, _)| name != "content-length");
    assert_eq!(answer.fields, expected);
}

/// The final head with a body that it announces is one answer, however many connections end.
fn last(out: &[u8], planned: &Planned, fields: &Fields, asked: &Asked<'_>) {
    let mut whole = out.to_vec();
    let mut body = Vec::new();
    match &planned.framing {
        Framing::Empty => {}
        Framing::Length(length) if *length <= LONGEST => {
            body.resize(*length as usize, b'x');
            whole.extend_from_slice(&body);
        }
        Framing::Length(_) => return,
        Framing::Chunked(_) | Framing::Close => {
            assert_eq!(planned.framing == Framing::Close, planned.rechunk);
            body.extend_from_slice(b"piece");
            push_chunk(&mut whole, &body);
            whole.extend_from_slice(LAST_CHUNK);
        }
    }
    let read = strict::answer(&whole, asked.head_only, false);
    let Ok(Some((answer, end))) = read else {
        panic!("{read:?}: {}", whole.escape_ascii());
    };
    assert_eq!((answer.status, end), (planned.status.as_u16(), whole.len()));
    assert_eq!(answer.body, body);
    let word: &[u8] = if asked.keep { b"keep-alive" } else { b"close" };
    let said: Vec<&[u8]> = strict::all(&answer.fields, "connection").collect();
    assert_eq!(said, [word]);
    told(&answer.fields, fields, asked);
}

/// All fields but those of the framing, and the date that the gateway itself adds, whatever their order.
fn told(to: &Fields, from: &Fields, asked: &Asked<'_>) {
    const FRAMING: [&str; 3] = ["connection", "transfer-encoding", "content-length"];
    let made = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    let mut expected = passing(from);
    expected.push(made("x-request-id", b"req_1"));
    expected.push(made("x-krakend-completed", b"false"));
    if let Some((name, value)) = &asked.ctx.gateway.service.version_header {
        expected.push(made(name.as_str(), value.as_bytes()));
    }
    let dated = strict::all(&expected, "date").next().is_some();
    if !dated {
        expected.push(made("date", b"now"));
    }
    let mut expected: Vec<_> = expected
        .into_iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            (name, HeaderValue::from_bytes(&value).expect("a value"))
        })
        .collect();
    let mut edits = asked.edits.clone();
    edits.settle();
    Edits::apply(&edits.answer, &mut expected);
    let plain = |name: &str, value: &[u8]| {
        let now = name == "date" && !dated && value != b"1";
        made(name, if now { b"now" } else { value })
    };
    let mut expected: Fields = expected
        .iter()
        .map(|(name, value)| plain(name.as_str(), value.as_bytes()))
        .collect();
    let mut told: Fields = to.iter().map(|(name, value)| plain(name, value)).collect();
    for fields in [&mut expected, &mut told] {
        fields.retain(|(name, _)| !FRAMING.contains(&name.as_str()));
        // Stable: the lines of one name keep their order.
        fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
    assert_eq!(told, expected);
}
