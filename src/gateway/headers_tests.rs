//! Tests of `headers.rs`.

use super::*;
use crate::gateway::plain::Plain;

const CURL: &[(&str, &str)] = &[
    ("Host", "gw.test"),
    ("Authorization", "t"),
    ("Content-Type", "x/y"),
    ("Cookie", "a=b; c=d"),
    ("X-A", "1"),
    ("x-a", "2"),
    ("User-Agent", "curl"),
];

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|&i| i.to_owned()).collect()
}

fn client(ip: &str, peer: &str, trusted: bool) -> ClientAddr {
    ClientAddr {
        ip: ip.parse().unwrap(),
        peer: peer.parse().unwrap(),
        trusted,
    }
}

fn added(minted: &[Minted]) -> Added<'_> {
    Added {
        request_id: "req_1",
        minted,
    }
}

fn rules(dialect: Dialect, endpoint: &[&str], backend: &[&str]) -> ForwardRules {
    let strip = Arc::new(StripSet::new(["X-User-ID", "X-Org-ID"]));
    ForwardRules::compile(dialect, &list(endpoint), &list(backend), strip, false)
}

/// The fields sent, as sorted lines `name: value`.
fn sent(rules: &ForwardRules, head: &Plain, client: ClientAddr) -> Vec<String> {
    let mut out = Vec::new();
    forward_headers(rules, head, &client, added(&[]), &mut out);
    lines(&out)
}

fn lines(out: &Fields) -> Vec<String> {
    let mut lines: Vec<String> = out
        .iter()
        .map(|(n, v)| format!("{n}: {}", v.to_str().unwrap()))
        .collect();
    // Stable: several values of one name stay in order.
    lines.sort_by(|a, b| a.split(':').next().cmp(&b.split(':').next()));
    lines
}

fn krakend(endpoint: &[&str], backend: &[&str], fields: &[(&str, &str)]) -> Vec<String> {
    let head = Plain::get("/").fields(fields);
    sent(
        &rules(Dialect::Krakend, endpoint, backend),
        &head,
        client("9.9.9.9", "127.0.0.1", true),
    )
}

const UA: &str = "user-agent: KrakenD Version 2.13.8";
const XFF: &str = "x-forwarded-for: 9.9.9.9";
const XFH: &str = "x-forwarded-host: gw.test";
const VIA: &str = "x-forwarded-via: KrakenD Version 2.13.8";
const GO: &str = "user-agent: Go-http-client/1.1";

#[test]
fn krakend_follows_the_worked_vectors() {
    assert_eq!(krakend(&[], &[], CURL), ["content-type: x/y", UA, XFF, XFH]);
    assert_eq!(
        krakend(&["authorization"], &[], CURL),
        ["authorization: t", UA, XFF, XFH]
    );
    assert_eq!(
        krakend(&["User-Agent", "x-a"], &[], CURL),
        ["user-agent: curl", "x-a: 1", "x-a: 2", XFF, XFH, VIA],
    );
    assert_eq!(
        krakend(&["*"], &[], CURL),
        [
            "authorization: t",
            "content-type: x/y",
            "cookie: a=b; c=d",
            "user-agent: curl",
            "x-a: 1",
            "x-a: 2",
            XFF,
            XFH,
            VIA
        ],
    );
    assert_eq!(krakend(&["*"], &["X-A"], CURL), [GO, "x-a: 1", "x-a: 2"]);
    assert_eq!(krakend(&["*"], &["*"], CURL), [GO]);
}

#[test]
fn krakend_overwrites_forwarding_fields_and_keeps_hop_by_hop() {
    let fields = [
        ("X-Forwarded-For", "1.1.1.1"),
        ("X-Forwarded-Host", "evil"),
        ("X-Forwarded-Via", "me"),
        ("Connection", "keep-alive, X-A"),
        ("X-A", "1"),
        ("TE", "trailers"),
        ("Transfer-Encoding", "chunked"),
        ("X-User-Id", "u"),
    ];
    assert_eq!(
        krakend(&["*"], &[], &fields),
        [
            "connection: keep-alive, X-A",
            "te: trailers",
            UA,
            "x-a: 1",
            XFF,
            XFH,
            "x-forwarded-via: me",
            "x-user-id: u"
        ],
    );
    assert_eq!(
        krakend(&["User-Agent"], &["User-Agent", "X-Forwarded-Via"], CURL),
        ["user-agent: curl", VIA],
    );
    assert_eq!(krakend(&["X-A"], &["User-Agent"], CURL), [UA]);
}

#[test]
fn krakend_takes_the_first_user_agent() {
    let fields = [("User-Agent", "a"), ("User-Agent", "b")];
    assert_eq!(
        krakend(&["user-agent"], &[], &fields),
        ["user-agent: a", XFF, XFH, VIA]
    );
}

fn native(endpoint: &[&str], backend: &[&str], head: &Plain, trusted: bool) -> Vec<String> {
    let client = client("9.9.9.9", "10.0.0.1", trusted);
    let lines = sent(&rules(Dialect::Native, endpoint, backend), head, client);
    let ours = [
        "user-agent: hanzo-gateway/",
        "x-gateway-version: ",
        "x-request-id: req_1",
    ];
    for line in ours {
        assert!(
            lines.iter().any(|l| l.starts_with(line)),
            "{line} missing in {lines:?}"
        );
    }
    lines
        .into_iter()
        .filter(|l| !ours.iter().any(|o| l.starts_with(o)))
        .collect()
}

#[test]
fn native_adds_its_own_fields() {
    let head = Plain::get("/").fields(&[("Content-Type", "x/y"), ("X-Request-ID", "theirs")]);
    assert_eq!(
        native(&[], &[], &head, false),
        [
            "content-type: x/y",
            "via: 1.1 hanzo-gateway",
            "x-forwarded-for: 10.0.0.1",
            XFH,
            "x-forwarded-proto: http"
        ],
    );
}

#[test]
fn native_strips_hop_by_hop_nominated_and_identity_fields() {
    let head = Plain::get("/").fields(&[
        ("Connection", "close, X-Secret"),
        ("connection", "x-other"),
        ("X-Secret", "1"),
        ("X-Other", "1"),
        ("Keep-Alive", "1"),
        ("Proxy-Authorization", "p"),
        ("TE", "trailers"),
        ("Upgrade", "h2c"),
        ("X_User-ID", "u"),
        ("x-user_id", "u"),
        ("X-ORG-ID", "o"),
        ("X-Kept", "1"),
        ("Expect", "100-continue"),
        ("X-Gateway-Version", "evil"),
    ]);
    let rest = [
        "via: 1.1 hanzo-gateway",
        "x-forwarded-for: 10.0.0.1",
        XFH,
        "x-forwarded-proto: http",
        "x-kept: 1",
    ];
    assert_eq!(native(&["*"], &[], &head, false), rest);
    let listed = [
        "X-Kept",
        "X-Secret",
        "Connection",
        "TE",
        "x-user-id",
        "X_User-ID",
        "Upgrade",
    ];
    assert_eq!(native(&listed, &[], &head, false), rest);
}

#[test]
fn native_appends_to_the_chain_of_a_trusted_proxy_only() {
    let head = Plain::get("/").fields(&[
        ("X-Forwarded-For", "1.1.1.1"),
        ("x-forwarded-for", "2.2.2.2, 3.3.3.3"),
        ("X-Forwarded-Host", "shop.test"),
        ("X-Forwarded-Proto", "https"),
        ("Via", "1.0 fred"),
    ]);
    assert_eq!(
        native(&[], &[], &head, true),
        [
            "via: 1.0 fred, 1.1 hanzo-gateway",
            "x-forwarded-for: 1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.1",
            "x-forwarded-host: shop.test",
            "x-forwarded-proto: https"
        ],
    );
    assert_eq!(
        native(&[], &[], &head, false),
        [
            "via: 1.0 fred, 1.1 hanzo-gateway",
            "x-forwarded-for: 10.0.0.1",
            XFH,
            "x-forwarded-proto: http"
        ],
    );
}

#[test]
fn native_keeps_its_identification_past_the_second_filter() {
    let head = Plain::get("/").fields(&[("X-A", "1")]);
    assert_eq!(
        native(&["*"], &["X-A"], &head, false),
        ["via: 1.1 hanzo-gateway", "x-a: 1"]
    );
}

#[test]
fn too_many_nominated_names_stop_all_forwarding() {
    let names: Vec<String> = (0..=MAX_NOMINATED).map(|n| format!("x{n}")).collect();
    let head = Plain::get("/").fields(&[("Connection", &names.join(",")), ("X-A", "1")]);
    assert!(!native(&["*"], &[], &head, false).contains(&"x-a: 1".to_owned()));
}

#[test]
fn joins_cookies_that_http2_cut() {
    let mut head = Plain::get("/").fields(&[("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2")]);
    head.version = "2";
    assert_eq!(
        native(&["Cookie"], &[], &head, false)[0],
        "cookie: a=1; b=2"
    );
}

#[test]
fn minted_fields_replace_the_clients_and_obey_the_filters() {
    let rules = rules(Dialect::Native, &["X-User-ID", "X-A"], &[]);
    let head = Plain::get("/").fields(&[("X-User-ID", "forged"), ("X-A", "1")]);
    let mint = |name, unlisted| Minted {
        name: HeaderName::from_static(name),
        values: Box::from([HeaderValue::from_static("minted")]),
        unlisted,
    };
    let minted = [
        mint("x-user-id", false),
        mint("x-a", false),
        mint("x-scopes", false),
        mint("x-org-id", true),
    ];
    let client = client("9.9.9.9", "9.9.9.9", false);
    let mut out = Vec::new();
    forward_headers(&rules, &head, &client, added(&minted), &mut out);
    let lines = lines(&out);
    assert!(lines.contains(&"x-org-id: minted".to_owned()), "{lines:?}");
    assert!(lines.contains(&"x-user-id: minted".to_owned()), "{lines:?}");
    assert_eq!(lines.iter().filter(|l| l.starts_with("x-a:")).count(), 1);
    assert!(
        !lines
            .iter()
            .any(|l| l.contains("forged") || l.starts_with("x-scopes"))
    );
}

#[test]
fn never_forwards_host_or_framing_as_fields() {
    let rules = rules(Dialect::Krakend, &["Host", "Content-Length"], &[]);
    assert!(rules.passes_content_length());
    let head = Plain::get("/").fields(&[("Host", "a"), ("Content-Length", "4")]);
    let lines = sent(&rules, &head, client("9.9.9.9", "9.9.9.9", true));
    assert_eq!(lines, [UA, XFF, XFH]);
}
