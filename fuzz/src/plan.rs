//! Heads on the fast lane: where the fields of a request stand, what decides about its lane, what its
//! backend is sent and what the client is told are those of plain readers that see all bytes at once.

use hanzo_gateway::base::{Dialect, Report};
use hanzo_gateway::compile::{Shared, compile};
use hanzo_gateway::config::{Format, LoadOptions, load};
use hanzo_gateway::edge::body::{Body, passing};
use hanzo_gateway::edge::head::WireHead;
use hanzo_gateway::edge::wire;
use hanzo_gateway::gateway::head::{BodySize, Head};
use hanzo_gateway::gateway::http1::{HeadInfo, Span, check_head, check_head_noting};
use hanzo_gateway::gateway::lane::{Facts, MAX_FIELDS};
use hanzo_gateway::gateway::limits::Limits;
use hanzo_gateway::gateway::snapshot::{Gateway, Plan};
use hanzo_gateway::net::Tried;
use hanzo_gateway::pipe::call;
use hanzo_gateway::proxy::Exchange;
use hanzo_gateway::proxy::request::{Routed, identify, route};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use super::planned;
use crate::wire::Choices;
use crate::wire::strict::{self, Fields, From};

/// Longest body that is made up to see whether a head is one.
const LONGEST: u64 = 4_000;

const CONFIG: &str = r#"{"version": 3,
  "extra_config": {"router": {"trusted_proxies": ["10.0.0.0/8"]}},
  "endpoints": [
    {"endpoint": "/s/{id}", "method": "GET", "output_encoding": "no-op", "input_headers": ["*"], "input_query_strings": ["*"],
     "backend": [{"url_pattern": "/to/{id}", "host": ["http://127.0.0.1:9000"]}]},
    {"endpoint": "/s/{id}", "method": "POST", "output_encoding": "no-op", "input_headers": ["*"],
     "backend": [{"url_pattern": "/to/{id}", "host": ["http://127.0.0.1:9000"]}]},
    {"endpoint": "/w/*", "method": "PUT", "output_encoding": "no-op", "input_headers": ["*"], "input_query_strings": ["a", "b"],
     "backend": [{"url_pattern": "/w/*?own=1", "host": ["http://127.0.0.1:9000"]}]},
    {"endpoint": "/l", "method": "GET", "output_encoding": "no-op", "input_headers": ["X-A", "Cookie", "x_user_id", "Via"],
     "backend": [{"url_pattern": "/", "host": ["http://127.0.0.1:9000"]}]}]}"#;

/// What `/l` lets through of a client's own fields.
const LISTED: [&str; 2] = ["x-a", "cookie"];

/// What a backend hears from nobody but the gateway, or from nobody at all.
const KEPT: [&str; 24] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "trailer",
    "te",
    "upgrade",
    "expect",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "http2-settings",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-via",
    "x-request-id",
    "x-gateway-version",
    "x-user-id",
    "x-org-id",
    "x-scopes",
];

/// What stands exactly once in a request without `User-Agent`, `Via` and the like of the client's.
const SAID: [&str; 7] = [
    "host",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

pub(crate) static GATEWAY: LazyLock<Arc<Gateway>> = LazyLock::new(|| {
    let options = LoadOptions {
        env: Vec::new(),
        strict: true,
        port: None,
        dialect: Dialect::Native,
    };
    let mut report = Report::default();
    let document = load::parse("plan", CONFIG, Format::Json, &options, &mut report);
    let shared = Shared::new(1).expect("metrics");
    let compiled =
        document.and_then(|document| compile(&document, Dialect::Native, &shared, &mut report));
    Arc::new(compiled.unwrap_or_else(|| panic!("{report:?}")).gateway)
});

/// The first bytes say what the rest is, a request or an answer, and what is done with it.
pub fn check(input: &[u8]) {
    let (start, bytes) = input.split_at(input.len().min(8));
    let mut choices = Choices::new(start);
    if choices.below(2) == 0 {
        let dialect = if choices.once_in(4) {
            Dialect::Krakend
        } else {
            Dialect::Native
        };
        request(bytes, dialect, &mut choices);
    } else {
        planned::check(bytes, &mut choices);
    }
}

fn request(bytes: &[u8], dialect: Dialect, choices: &mut Choices<'_>) {
    let limits = Limits::of(dialect);
    let mut spans = Vec::with_capacity(MAX_FIELDS);
    let info = check_head_noting(bytes, &limits, &mut spans);
    assert_eq!(info, check_head(bytes, &limits), "noting changes nothing");
    let Ok(Some(info)) = info else {
        return;
    };
    let fields = scanned(bytes, &info);
    stand(bytes, &spans, &fields);
    let peer: IpAddr = if choices.once_in(3) {
        [10, 0, 0, 1].into()
    } else {
        [127, 0, 0, 1].into()
    };
    // A choice of earlier times: it keeps what is in the corpus meaning what it meant.
    let _ = choices.once_in(2);
    let head = WireHead::new(bytes, &info, &spans, peer, None);
    if info.fields <= MAX_FIELDS {
        same_facts(&head, &info, &fields);
    }
    if dialect == Dialect::Native {
        understood(bytes, &info, &fields);
        if info.facts().check().is_ok() {
            sent(bytes, &info, &head, choices);
        }
    }
}

/// The field lines of a head, by a plain split, names as they were spelled.
fn scanned<'b>(bytes: &'b [u8], info: &HeadInfo) -> Vec<(usize, &'b [u8], &'b [u8])> {
    let (mut at, mut fields) = (info.start, Vec::new());
    loop {
        let (line, next) = strict::line(&bytes[..info.end], at)
            .expect("lines")
            .expect("a whole head");
        if line.is_empty() {
            assert_eq!(next, info.end, "a head ends at its first empty line");
            return fields;
        }
        if at > info.start {
            let colon = line.iter().position(|b| *b == b':').expect("a colon");
            fields.push((at, &line[..colon], &line[colon + 1..]));
        }
        at = next;
    }
}

fn blanks(value: &[u8]) -> &[u8] {
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    let start = value.iter().position(|b| !blank(b)).unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|b| !blank(b))
        .map_or(start, |at| at + 1);
    &value[start..end]
}

fn stand(bytes: &[u8], spans: &[Span], fields: &[(usize, &[u8], &[u8])]) {
    assert_eq!(spans.len(), fields.len().min(MAX_FIELDS));
    for (span, (at, name, value)) in spans.iter().zip(fields) {
        assert_eq!(span.start as usize, *at);
        assert_eq!(span.colon as usize, at + name.len());
        assert_eq!(span.end as usize, at + name.len() + 1 + value.len());
        assert_eq!(span.name(bytes), *name);
        assert_eq!(span.value(bytes), blanks(value));
    }
}

/// What decides about the lane: noted while reading, asked of a head, and looked for here.
fn same_facts(head: &WireHead<'_>, info: &HeadInfo, fields: &[(usize, &[u8], &[u8])]) {
    let there = |other: &str| {
        fields
            .iter()
            .any(|(_, name, _)| name.eq_ignore_ascii_case(other.as_bytes()))
    };
    let nominates = fields.iter().any(|(_, name, value)| {
        let word = |word: &[u8]| {
            [&b""[..], b"close", b"keep-alive"]
                .iter()
                .any(|own| blanks(word).eq_ignore_ascii_case(own))
        };
        name.eq_ignore_ascii_case(b"connection") && !value.split(|b| *b == b',').all(word)
    });
    let facts = info.facts();
    let plain = Facts {
        http11: info.http11,
        absolute_target: info.absolute,
        upgrade: there("upgrade"),
        expect: there("expect"),
        te: there("te"),
        nominates,
        fields: fields.len(),
        head_bytes: info.end - info.start,
    };
    assert_eq!(facts, plain);
    // A head does not know its blanks, nor that its path stood behind an authority.
    let asked = Facts::of(head);
    let asked = Facts {
        head_bytes: plain.head_bytes,
        absolute_target: asked.absolute_target || info.absolute,
        ..asked
    };
    assert_eq!(asked, plain);
    let mut seen = Vec::new();
    head.each(&mut |name, value| seen.push((name.as_bytes().to_vec(), value.to_vec())));
    let all: Vec<_> = fields
        .iter()
        .map(|(_, name, value)| (name.to_vec(), blanks(value).to_vec()))
        .collect();
    assert_eq!(seen, all);
}

/// What is taken is a request by the strict reading too, and the same one.
fn understood(bytes: &[u8], info: &HeadInfo, fields: &[(usize, &[u8], &[u8])]) {
    let mut whole = bytes[..info.end].to_vec();
    match info.body {
        BodySize::None => {}
        BodySize::Known(length) if length <= LONGEST => {
            whole.resize(info.end + length as usize, b'x');
        }
        BodySize::Known(_) => return,
        BodySize::Unknown => whole.extend_from_slice(b"0\r\n\r\n"),
    }
    let read = strict::request(&whole, From::Client);
    let Ok(Some((request, end))) = read else {
        panic!("{read:?}: {}", whole.escape_ascii());
    };
    assert_eq!(end, whole.len());
    assert_eq!(request.method, info.method.as_str());
    let target = &bytes[info.target.clone()];
    assert!(request.target.as_bytes().ends_with(target));
    assert!(info.absolute || request.target.as_bytes() == target);
    assert_eq!(request.stays, info.keep_alive);
    let lower = |name: &[u8]| String::from_utf8_lossy(name).to_ascii_lowercase();
    let plain: Fields = fields
        .iter()
        .map(|(_, name, value)| (lower(name), blanks(value).to_vec()))
        .collect();
    assert_eq!(request.fields, plain);
    let host = strict::all(&plain, "host").next().unwrap_or_default();
    assert_eq!(&bytes[info.host.clone()], host);
}

/// What is ready at once.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("nothing is to be waited for"),
    }
}

/// What a backend gets of a request and its body is one exact request, or an unfinished one.
fn sent(bytes: &[u8], info: &HeadInfo, head: &WireHead<'_>, choices: &mut Choices<'_>) {
    static DRAINING: AtomicBool = AtomicBool::new(false);
    let gateway = &*GATEWAY;
    let mut x = Exchange::new(Arc::clone(gateway), &DRAINING);
    identify(head, &mut x);
    let Ok(Routed::Endpoint(id)) = route(gateway, head, &mut x) else {
        return;
    };
    let Plan::Stream(backend) = &gateway.endpoints[id].plan else {
        panic!("all endpoints stream");
    };
    let rest = &bytes[info.end..];
    let (begun, later) = rest.split_at(choices.below(rest.len().min(4_000) + 1));
    let mut body = Body::of(info.body);
    let Ok(fed) = body.feed(begun) else {
        assert!(!matches!(strict::request(bytes, From::Client), Ok(Some(_))));
        return;
    };
    let target = at_once(call::pick(backend, &x.ctx, &mut Tried::default())).expect("a host");
    let mut out = b"left over".to_vec();
    let written = wire::request(head, &x, (backend, &target), &mut out);
    if at_once(written).is_err() {
        return;
    }
    passing(begun, &fed, |part| out.extend_from_slice(part));
    let mut used = info.end + fed.used;
    let mut broken = false;
    if !body.done() {
        match body.feed(later) {
            Ok(fed) => {
                passing(later, &fed, |part| out.extend_from_slice(part));
                used += fed.used;
            }
            Err(_) => broken = true,
        }
    }
    let arrived = strict::request(&out, From::Gateway);
    let arrived = arrived.unwrap_or_else(|what| panic!("{what}: {}", out.escape_ascii()));
    if broken || !body.done() {
        assert_eq!(arrived, None, "an upload that is not done looks complete");
        return;
    }
    let (arrived, end) = arrived.unwrap_or_else(|| panic!("not whole: {}", out.escape_ascii()));
    assert_eq!(end, out.len(), "something stands behind a request");
    let read = strict::request(bytes, From::Client);
    let Ok(Some((theirs, end))) = read else {
        panic!("{read:?}: {}", bytes.escape_ascii());
    };
    assert_eq!(end, used, "where the next request begins");
    assert_eq!(arrived.body, theirs.body);
    assert_eq!(arrived.method, backend.method.as_str());
    let list = (head.raw_path() == b"/l").then_some(&LISTED[..]);
    forwarded(&arrived.fields, &theirs.fields, list, head);
}

/// The client's fields in their order, but for those that are the gateway's to say.
fn forwarded(to: &Fields, from: &Fields, list: Option<&[&str]>, head: &WireHead<'_>) {
    let kept = |name: &str| KEPT.contains(&name.replace('_', "-").as_str());
    let own = |fields: &Fields| -> Fields {
        let passes = |name: &String| !kept(name) && list.is_none_or(|l| l.contains(&&**name));
        fields
            .iter()
            .filter(|(name, _)| passes(name))
            .cloned()
            .collect()
    };
    let arrived: Fields = to.iter().filter(|(name, _)| !kept(name)).cloned().collect();
    assert_eq!(arrived, own(from));
    for name in SAID {
        assert_eq!(strict::all(to, name).count(), 1, "{name}");
    }
    assert!(
        to.iter()
            .all(|(name, _)| !name.contains('_') || !kept(name))
    );
    if head.peer() == IpAddr::from([127, 0, 0, 1]) {
        let said = |name| strict::all(to, name).next().unwrap_or_default();
        assert_eq!(said("x-forwarded-for"), b"127.0.0.1");
        assert_eq!(said("x-forwarded-host"), head.host());
        let proto: &[u8] = if head.secure() { b"https" } else { b"http" };
        assert_eq!(said("x-forwarded-proto"), proto);
    }
}
