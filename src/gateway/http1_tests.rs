//! Tests of `http1.rs`.

use super::*;

fn native(raw: &str) -> Result<Option<HeadInfo>, Reason> {
    check_head(raw.as_bytes(), &Limits::default())
}

fn both(raw: &str, reason: Reason) {
    for limits in [Limits::default(), Limits::krakend()] {
        assert_eq!(check_head(raw.as_bytes(), &limits), Err(reason), "{raw:?}");
    }
}

/// A request with `Host` and these further lines.
fn with(lines: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: gw.test\r\n{lines}\r\n")
}

fn info(raw: &str) -> HeadInfo {
    native(raw).unwrap().unwrap()
}

#[test]
fn tells_how_to_go_on() {
    let raw =
        "\r\nPOST /a?b=c HTTP/1.1\r\nhOsT: \tgw.test:80 \r\nContent-Length: 5\r\nX:\r\n\r\nhello";
    let head = info(raw);
    assert_eq!(&raw[head.start..][..4], "POST");
    assert_eq!(&raw[head.end..], "hello");
    assert_eq!(&raw[head.target.clone()], "/a?b=c");
    assert_eq!(&raw[head.host.clone()], "gw.test:80");
    assert_eq!(
        (head.method, head.body, head.fields),
        (Method::POST, BodySize::Known(5), 3)
    );
    assert!(head.http11 && head.keep_alive && !head.unusual.upgrade && !head.expect_continue);
}

#[test]
fn is_patient_with_every_incomplete_head() {
    let raw = with("A: b\r\nContent-Length: 3\r\n");
    for length in 0..raw.len() {
        assert_eq!(native(&raw[..length]), Ok(None), "{length}");
    }
    assert!(native(&raw).unwrap().is_some());
}

#[test]
fn reads_connection_upgrade_and_expectation() {
    assert!(!info(&with("Connection: x, Close\r\n")).keep_alive);
    assert!(!info("GET / HTTP/1.0\r\n\r\n").keep_alive);
    assert!(info("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
    let named = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
    assert!(info(&with(named)).upgrade);
    assert!(!info(&with("Upgrade: websocket\r\n")).upgrade);
    assert!(info(&with("Upgrade: websocket\r\n")).unusual.upgrade);
    assert!(info(&with("Expect: 100-Continue\r\n")).expect_continue);
    assert_eq!(
        info(&with("Transfer-Encoding: Chunked\r\n")).body,
        BodySize::Unknown
    );
}

#[test]
fn refuses_what_other_parsers_read_differently() {
    for lines in [
        "A: b\n",
        "A: b\r\r\n",
        "A: b\rC: d\r\n",
        " folded\r\n",
        "A: b\r\n\tfolded\r\n",
        "A : b\r\n",
        "A\t: b\r\n",
        ": b\r\n",
        "no colon\r\n",
        "A: \0\r\n",
        "A: \x0b\r\n",
        "A: \x7f\r\n",
        "A(: b\r\n",
        "é: b\r\n",
        "Content-Length : 1\r\n",
    ] {
        both(&with(lines), Reason::MalformedRequest);
    }
    both("GET / HTTP/1.1\nHost: a\n\n", Reason::MalformedRequest);
}

#[test]
fn refuses_bad_request_lines() {
    for line in [
        "GET /",
        "GET  HTTP/1.1",
        "/ HTTP/1.1",
        " GET / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / http/1.1",
        "GET / HTTP/1.1 ",
        "",
        "GET / HTTP/11",
        "GET\t/\tHTTP/1.1",
    ] {
        let raw = format!("\r\n{line}\r\nHost: a\r\n\r\n");
        let refused = native(&raw).unwrap_err();
        assert!(
            matches!(refused, Reason::MalformedRequest | Reason::BadTarget),
            "{line}"
        );
    }
}

#[test]
fn refuses_bad_targets() {
    for target in [
        "/a b",
        "/a\tb",
        "/\x01",
        "a",
        "*",
        "http://",
        "http:///a",
        "ftp://gw.test/",
        "http://u@gw.test/",
        "//",
        "?a",
        "",
    ] {
        let raw = format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        if target == "//" {
            assert!(native(&raw).unwrap().is_some());
        } else {
            both(&raw, Reason::BadTarget);
        }
    }
    for target in ["/é", "/a#b"] {
        let raw = format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        assert_eq!(native(&raw), Err(Reason::BadTarget));
        assert!(
            check_head(raw.as_bytes(), &Limits::krakend())
                .unwrap()
                .is_some()
        );
    }
    both(
        "CONNECT gw.test:443 HTTP/1.1\r\nHost: gw.test:443\r\n\r\n",
        Reason::MethodUnsupported,
    );
    assert!(
        native("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap()
            .is_some()
    );
}

#[test]
fn reads_absolute_targets() {
    for (target, rest) in [
        ("http://gw.test/a?b", "/a?b"),
        ("HTTPS://GW.test", ""),
        ("http://gw.test?x", "?x"),
    ] {
        let raw = format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        assert_eq!(&raw[info(&raw).target], rest);
    }
    both("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", Reason::BadHost);
}

#[test]
fn refuses_bad_hosts() {
    both("GET / HTTP/1.1\r\n\r\n", Reason::BadHost);
    both(&with("Host: gw.test\r\n"), Reason::BadHost);
    for host in ["a b", "a/b", "a,b", "a@b", "a:x"] {
        both(
            &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            Reason::BadHost,
        );
    }
    let empty = "GET / HTTP/1.1\r\nHost: \r\n\r\n";
    assert_eq!(native(empty), Err(Reason::BadHost));
    let lenient = check_head(empty.as_bytes(), &Limits::krakend())
        .unwrap()
        .unwrap();
    assert!(lenient.host.is_empty());
    assert!(native("GET / HTTP/1.0\r\n\r\n").unwrap().is_some());
}

#[test]
fn refuses_framing_that_is_not_clear() {
    for lines in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length:\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: 99999999999999999999\r\n",
    ] {
        both(&with(lines), Reason::FramingConflict);
    }
    both(
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        Reason::FramingConflict,
    );
    for coding in [
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        "identity",
        "xchunked",
        "",
        "\"chunked\"",
    ] {
        both(
            &with(&format!("Transfer-Encoding: {coding}\r\n")),
            Reason::UnknownTransferCoding,
        );
    }
    let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n";
    both(&with(twice), Reason::UnknownTransferCoding);
}

#[test]
fn holds_the_limits() {
    let target = |length: usize| {
        format!(
            "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
            "x".repeat(length - 1)
        )
    };
    assert!(native(&target(8192)).unwrap().is_some());
    assert_eq!(native(&target(8193)), Err(Reason::UriTooLong));
    assert_eq!(native(&"x".repeat(9000)), Err(Reason::UriTooLong));
    assert_eq!(
        native(&with(&"A: b\r\n".repeat(64))),
        Err(Reason::TooManyHeaders)
    );
    assert!(native(&with(&"A: b\r\n".repeat(63))).unwrap().is_some());
    // "Host: gw.test" and "A: " with their ends take 15 + 5 bytes.
    let large = |length: usize| with(&format!("A: {}\r\n", "x".repeat(length - 20)));
    assert!(native(&large(16 * 1024)).unwrap().is_some());
    assert_eq!(native(&large(16 * 1024 + 1)), Err(Reason::HeadersTooLarge));
    let endless = format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(17 * 1024));
    assert_eq!(native(&endless), Err(Reason::HeadersTooLarge));
}

#[test]
fn is_patient_with_the_longest_method_and_target() {
    let raw = format!(
        "{} /{} HTTP/1.1\r\nHost: a\r\n\r\n",
        "M".repeat(MAX_METHOD),
        "x".repeat(8191)
    );
    let line = raw.find('\r').unwrap();
    assert_eq!(native(&raw[..=line]), Ok(None));
    assert!(native(&raw).unwrap().is_some());
}

#[test]
fn refuses_targets_that_are_no_text_in_both_dialects() {
    for limits in [Limits::default(), Limits::krakend()] {
        let head = check_head(b"GET /\xf3 HTTP/1.1\r\nHost: a\r\n\r\n", &limits);
        assert_eq!(head, Err(Reason::BadTarget));
    }
}

#[test]
fn never_panics_on_mangled_heads() {
    let sound = with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n");
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let mut raw = sound.clone().into_bytes();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..raw.len());
            raw[at] = random.u8(..);
        }
        raw.truncate(random.usize(..=raw.len()));
        for limits in [Limits::default(), Limits::krakend()] {
            let _ = check_head(&raw, &limits);
        }
    }
}
