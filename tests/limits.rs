//! What a client may send (contract section 3): each limit at its edge and one over, shapes that two
//! servers may read differently, clients that are too slow or too many. What is refused costs the
//! backend nothing: the recording origin sees nothing of it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Client, Gateway, Head, Origin, PATIENCE, eventually};

/// `GET` and `POST /x`, streaming, and `POST /c`, composed, under these limits.
fn config(origin: &Origin, limits: Value) -> Value {
    let endpoint = |path: &str, method: &str, encoding: &str| {
        json!({
            "endpoint": path, "method": method, "output_encoding": encoding,
            "input_headers": ["*"], "input_query_strings": ["*"], "timeout": "15s",
            "backend": [{"url_pattern": "/up", "method": method, "host": [origin.url()]}]
        })
    };
    json!({
        "extra_config": {"hanzo/limits": limits},
        "endpoints": [
            endpoint("/x", "GET", "no-op"), endpoint("/x", "POST", "no-op"), endpoint("/c", "POST", "json")
        ]
    })
}

fn gateway(origin: &Origin, limits: Value) -> Gateway {
    Gateway::native(config(origin, limits))
}

/// The error body with all its fields, and nothing more.
fn assert_error(answer: &Answer, status: u16, error: &str) {
    answer.assert_error(status, error);
    let body = answer.json();
    assert!(
        body["request_id"]
            .as_str()
            .is_some_and(|id| id.starts_with("req_")),
        "{answer:?}"
    );
    assert_eq!(body.get("retry_after").is_some(), status == 503);
    assert_eq!(
        body.as_object().unwrap().len(),
        if status == 503 { 5 } else { 4 },
        "{answer:?}"
    );
    assert!(answer.header("proxy-status").is_some(), "{answer:?}");
}

/// Sends bytes on a connection of their own and expects a refusal and the end of the connection.
fn assert_refused(gateway: &Gateway, bytes: impl AsRef<[u8]>, status: u16, error: &str) {
    let bytes = bytes.as_ref();
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
    let mut client = gateway.client();
    // A method that is none would make the client wait for a body in vain.
    let _ = client.try_send(bytes);
    let answer = client.try_answer();
    let answer = answer.unwrap_or_else(|e| panic!("{shown:?}: {e}"));
    let answer = answer.unwrap_or_else(|| panic!("{shown:?}: closed without an answer"));
    assert_eq!(answer.status(), status, "{shown:?}: {answer:?}");
    assert_error(&answer, status, error);
    let close = answer.header("connection").unwrap_or_default();
    assert!(close.eq_ignore_ascii_case("close"), "{shown:?}: {answer:?}");
    assert!(client.is_closed(), "{shown:?}: still open");
}

fn assert_good(gateway: &Gateway, bytes: impl AsRef<[u8]>) {
    let answer = gateway.client().send(bytes).answer();
    assert_eq!(answer.status(), 200, "{answer:?}");
}

#[test]
fn a_target_may_be_as_long_as_the_limit_and_no_byte_longer() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin, json!({}));
    let request = |length: usize| {
        format!(
            "GET /x?{} HTTP/1.1\r\nHost: gw\r\n\r\n",
            "q".repeat(length - "/x?".len())
        )
    };
    assert_good(&gateway, request(8192));
    assert_eq!(origin.requests().len(), 1);
    assert_refused(&gateway, request(8193), 414, "uri_too_long");
    assert_refused(
        &gateway,
        format!("GET /{}", "x".repeat(20_000)),
        414,
        "uri_too_long",
    );
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn there_may_be_as_many_fields_as_the_limit_and_no_more() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin, json!({}));
    let request = |fields: usize| {
        let more: String = (1..fields).map(|n| format!("X-{n}: v\r\n")).collect();
        format!("GET /x HTTP/1.1\r\nHost: gw\r\n{more}\r\n")
    };
    assert_good(&gateway, request(64));
    assert_refused(&gateway, request(65), 431, "headers_too_large");
    assert_refused(&gateway, request(5000), 431, "headers_too_large");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn the_header_section_may_be_as_large_as_the_limit_and_no_larger() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin, json!({}));
    let request = |bytes: usize| {
        let fixed = "Host: gw\r\nX: \r\n".len();
        format!(
            "GET /x HTTP/1.1\r\nHost: gw\r\nX: {}\r\n\r\n",
            "v".repeat(bytes - fixed)
        )
    };
    assert_good(&gateway, request(16 << 10));
    assert_refused(&gateway, request((16 << 10) + 1), 431, "headers_too_large");
    let endless = format!("GET /x HTTP/1.1\r\nX: {}", "v".repeat(1 << 20));
    assert_refused(&gateway, endless, 431, "headers_too_large");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn limits_follow_the_configuration() {
    let origin = Origin::json("{}");
    let limits = json!({"max_url": 64, "max_headers": 4, "max_header_bytes": 256, "max_body": 4});
    let gateway = gateway(&origin, limits);
    let target = |length: usize| format!("/x?{}", "q".repeat(length - 3));
    assert_good(
        &gateway,
        format!("GET {} HTTP/1.1\r\nHost: gw\r\n\r\n", target(64)),
    );
    assert_refused(
        &gateway,
        format!("GET {} HTTP/1.1\r\nHost: gw\r\n\r\n", target(65)),
        414,
        "uri_too_long",
    );
    let fields = "A: 1\r\nB: 2\r\nC: 3\r\n";
    assert_good(
        &gateway,
        format!("GET /x HTTP/1.1\r\nHost: gw\r\n{fields}\r\n"),
    );
    assert_refused(
        &gateway,
        format!("GET /x HTTP/1.1\r\nHost: gw\r\n{fields}D: 4\r\n\r\n"),
        431,
        "headers_too_large",
    );
    assert_good(
        &gateway,
        "POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 4\r\n\r\n1234",
    );
    assert_refused(
        &gateway,
        "POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\n\r\n12345",
        413,
        "payload_too_large",
    );
    assert_eq!(origin.requests().len(), 3);
}

#[test]
fn shapes_that_smuggle_are_refused_before_any_backend() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin, json!({}));
    let shapes: &[&[u8]] = &[
        b"POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        b"POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 4, 4\r\n\r\nabcd",
        b"POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: +4\r\n\r\nabcd",
        b"POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 0x4\r\n\r\nabcd",
        b"POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 4 4\r\n\r\nabcd",
        b"POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: \r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: gzip\r\n\r\nabcd",
        b"POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.0\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: gw\r\nX: a\rb\r\n\r\n",
        b"GET /x HTTP/1.1\rHost: gw\r\r\n\r\n",
        b"GET /x HTTP/1.1\nHost: gw\n\n",
        b"GET /x HTTP/1.1\r\nHost: gw\nX: 1\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: gw\r\n\n",
        b"GET /x HTTP/1.1\r\nHost: gw\r\nX: a\r\n folded\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: gw\r\nX: a\r\n\tfolded\r\n\r\n",
        b"GET /x HTTP/1.1\r\n folded: first\r\nHost: gw\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: gw\r\nX : 1\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: gw\r\nX\t: 1\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: gw\r\n: 1\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: gw\r\nX(1): 1\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: gw\r\nX\xe9: 1\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: gw\r\nno colon\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: gw\r\nX: a\0b\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: gw\r\nX: a\x1bb\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: gw\r\nX: a\x7fb\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: gw\r\nHost: gw\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: gw\r\nHost: other\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: gw/path\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: user@gw\r\n\r\n",
        b"GET /x HTTP/1.1\r\n\r\n",
        b"GET http://other/x HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"GET ftp://gw/x HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"GET x HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"GET /x y HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"GET  /x HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"GET /x\t HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"GET /x\0 HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"GET /x\x7f HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"GET /x?a=\x01 HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"GET /x#part HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"G(T /x HTTP/1.1\r\nHost: gw\r\n\r\n",
        b" GET /x HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"GET /x\r\nHost: gw\r\n\r\n",
        b"GET /x HTTP/1.2\r\nHost: gw\r\n\r\n",
        b"GET /x HTTP/2.0\r\nHost: gw\r\n\r\n",
        b"GET /x http/1.1\r\nHost: gw\r\n\r\n",
        b"GET /x HTTP/1.1 \r\nHost: gw\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /% HTTP/1.1\r\nHost: gw\r\n\r\n",
    ];
    for shape in shapes {
        // Not a malformed line but a malformed path: its connection may stay.
        if shape.starts_with(b"GET /% ") {
            let answer = gateway.client().send(shape).answer();
            assert_error(&answer, 400, "bad_request");
        } else {
            assert_refused(&gateway, shape, 400, "bad_request");
        }
    }
    assert_refused(
        &gateway,
        "CONNECT gw:443 HTTP/1.1\r\nHost: gw:443\r\n\r\n",
        501,
        "not_implemented",
    );
    assert!(origin.requests().is_empty(), "{:#?}", origin.requests());
    assert_eq!(origin.connections(), 0);
}

#[test]
fn chunked_bodies_that_two_servers_may_read_differently_are_refused() {
    for path in ["/x", "/c"] {
        let origin = Origin::json("{}");
        let gateway = gateway(&origin, json!({}));
        for (round, body) in [
            "3 \r\nabc\r\n0\r\n\r\n",
            " 3\r\nabc\r\n0\r\n\r\n",
            "3;a\x01=1\r\nabc\r\n0\r\n\r\n",
            "3;\0\r\nabc\r\n0\r\n\r\n",
            "3;a=b c\x7f\r\nabc\r\n0\r\n\r\n",
            "3;=b\r\nabc\r\n0\r\n\r\n",
            "3;a\rb\r\nabc\r\n0\r\n\r\n",
            "3\nabc\n0\n\n",
            "3;x\nabc\r\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            "+3\r\nabc\r\n0\r\n\r\n",
            "-3\r\nabc\r\n0\r\n\r\n",
            "g\r\nabc\r\n0\r\n\r\n",
            "\r\nabc\r\n0\r\n\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "3\r\nabc0\r\n\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
            "10000000000000003\r\nabc\r\n0\r\n\r\n",
        ]
        .into_iter()
        .enumerate()
        {
            let sent = format!(
                "POST {path} HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
            );
            assert_refused(&gateway, &sent, 400, "bad_request");
            // The framing that comes behind the head in a piece of its own.
            let (head, body) = sent.split_at(sent.find("\r\n\r\n").unwrap() + 4);
            let mut client = gateway.client();
            client.send(head);
            if path == "/x" {
                eventually("the call", || (origin.connections() > round).then_some(()));
            }
            client.send(body);
            let answer = client.try_answer();
            let answer = answer.unwrap_or_else(|e| panic!("{path} {body:?}: {e}"));
            let answer =
                answer.unwrap_or_else(|| panic!("{path} {body:?}: closed without an answer"));
            assert_error(&answer, 400, "bad_request");
            assert!(client.is_closed(), "{path} {body:?}");
            let whole = origin
                .requests()
                .into_iter()
                .find(|request| request.complete);
            assert!(
                whole.is_none(),
                "{path} {body:?} reached the backend as {whole:?}"
            );
        }
    }
}

#[test]
fn chunked_bodies_in_order_pass() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin, json!({}));
    for body in [
        "3\r\nabc\r\n0\r\n\r\n",
        "03\r\nabc\r\n000\r\n\r\n",
        "3;a=1;b=\"q\"\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nTrailer-Field: 1\r\n\r\n",
    ] {
        for path in ["/x", "/c"] {
            let head =
                format!("POST {path} HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n");
            let answer = gateway.client().send(head + body).answer();
            assert_eq!(answer.status(), 200, "{path} {body:?}: {answer:?}");
        }
    }
    assert!(
        origin
            .requests()
            .iter()
            .all(|request| request.body == b"abc")
    );
}

#[test]
fn a_request_hidden_in_a_body_stays_body() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin, json!({}));
    let hidden = "GET /x HTTP/1.1\r\nHost: gw\r\n\r\n";
    let mut client = gateway.client();
    client.send(format!(
        "POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: {}\r\n\r\n{hidden}",
        hidden.len()
    ));
    assert_eq!(client.answer().status(), 200);
    assert_eq!(client.get("/x").status(), 200);
    let requests = origin.requests();
    assert_eq!((requests.len(), requests[0].text().as_str()), (2, hidden));
}

#[test]
fn forms_of_the_target_that_mean_the_same_are_served() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin, json!({}));
    assert_good(&gateway, "GET http://gw/x HTTP/1.1\r\nHost: gw\r\n\r\n");
    assert_good(&gateway, "\r\nGET /x HTTP/1.1\r\nHost: gw\r\n\r\n");
    assert_good(
        &gateway,
        "GET /x HTTP/1.1\r\nhOsT:gw\r\nX:  padded \t\r\n\r\n",
    );
    assert_eq!(origin.requests().len(), 3);
    assert!(
        origin
            .requests()
            .iter()
            .all(|request| request.target() == "/up")
    );
}

/// Sends a head byte by byte until the gateway answers.
fn drip(gateway: &Gateway, pause: Duration) -> (Answer, Duration) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, gateway.port())).unwrap();
    let began = Instant::now();
    let writer = {
        let mut stream = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            let _ = stream.write_all(b"GET /x HTTP/1.1\r\nHost: gw\r\nX: ");
            while began.elapsed() < PATIENCE && stream.write_all(b"a").is_ok() {
                std::thread::sleep(pause);
            }
        })
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..read]);
    }
    let took = began.elapsed();
    drop(stream);
    writer.join().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    let head = Head::read(&mut format!("{head}\r\n\r\n").as_bytes())
        .unwrap()
        .unwrap();
    (
        Answer {
            head,
            body: body.as_bytes().to_vec(),
            took,
        },
        took,
    )
}

#[test]
fn a_head_that_drips_in_is_cut_at_its_deadline() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin, json!({"header_timeout": "300ms"}));
    let (answer, took) = drip(&gateway, Duration::from_millis(20));
    assert_error(&answer, 408, "request_timeout");
    assert!(
        took >= Duration::from_millis(290) && took < Duration::from_secs(5),
        "{took:?}"
    );
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_client_that_says_nothing_is_cut() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin, json!({"header_timeout": "300ms"}));
    let mut client = gateway.client();
    if let Ok(Some(answer)) = client.try_answer() {
        assert_error(&answer, 408, "request_timeout");
        assert!(client.is_closed());
    }
}

#[test]
fn a_connection_that_rests_between_requests_is_not_a_slow_head() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin, json!({"header_timeout": "100ms"}));
    let mut client = gateway.client();
    assert_eq!(client.get("/x").status(), 200);
    // Longer than a head may take: what is tested is that this much time may pass.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(client.get("/x").status(), 200);
}

#[test]
fn a_body_that_drips_in_is_cut() {
    let origin = Origin::json("{}");
    let gateway = gateway(
        &origin,
        json!({"body_grace": "200ms", "body_min_rate": 1000}),
    );
    // All at the same time: each waits for its own end.
    let clients: Vec<Client> = [("/x", true), ("/x", false), ("/c", true), ("/c", false)]
        .into_iter()
        .map(|(path, length)| {
            let framing = if length {
                "Content-Length: 100000"
            } else {
                "Transfer-Encoding: chunked"
            };
            let mut client = gateway.client();
            client.send(format!(
                "POST {path} HTTP/1.1\r\nHost: gw\r\n{framing}\r\n\r\n"
            ));
            client.send(if length { "a" } else { "1\r\na\r\n" });
            client
        })
        .collect();
    for mut client in clients {
        let answer = client.answer();
        assert_error(&answer, 408, "request_timeout");
        assert!(answer.took < Duration::from_secs(8), "{:?}", answer.took);
        assert!(client.is_closed());
    }
    assert!(!origin.requests().iter().any(|request| request.complete));
}

#[test]
fn a_body_that_keeps_dripping_is_cut_too() {
    let origin = Origin::json("{}");
    let gateway = gateway(
        &origin,
        json!({"body_grace": "200ms", "body_min_rate": 1000}),
    );
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, gateway.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let began = Instant::now();
    let mut writer = stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        let _ = writer.write_all(b"POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 100000\r\n\r\n");
        while began.elapsed() < PATIENCE && writer.write_all(b"a").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let mut text = [0; 12];
    (&stream).read_exact(&mut text).unwrap();
    assert_eq!(&text, b"HTTP/1.1 408");
    assert!(began.elapsed() < Duration::from_secs(8));
    let _ = stream.shutdown(std::net::Shutdown::Both);
    writer.join().unwrap();
}

#[test]
fn a_body_over_the_limit_by_its_length_is_refused_and_the_client_reads_it() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin, json!({"max_body": "64KB"}));
    for path in ["/x", "/c"] {
        let body = "b".repeat((64 << 10) + 1);
        let mut client = gateway.client();
        // All of it is sent before the answer is read, as most clients do.
        let _ = client.try_send(
            format!(
                "POST {path} HTTP/1.1\r\nHost: gw\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .as_bytes(),
        );
        assert_error(&client.answer(), 413, "payload_too_large");
        assert!(client.is_closed());
        let fits = "b".repeat(64 << 10);
        assert_eq!(
            gateway
                .client()
                .request("POST", path, &[], &fits)
                .answer()
                .status(),
            200
        );
    }
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn a_body_over_the_limit_by_its_chunks_is_refused_and_the_client_reads_it() {
    for path in ["/x", "/c"] {
        let origin = Origin::json("{}");
        let gateway = gateway(&origin, json!({"max_body": "64KB"}));
        let chunk = format!("1000\r\n{}\r\n", "b".repeat(0x1000));
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut client = gateway.client();
        let _ = client.try_send((head.clone() + &chunk.repeat(17) + "0\r\n\r\n").as_bytes());
        assert_error(&client.answer(), 413, "payload_too_large");
        assert!(client.is_closed());
        assert!(!origin.requests().iter().any(|request| request.complete));
        let fits = head + &chunk.repeat(16) + "0\r\n\r\n";
        assert_eq!(gateway.client().send(fits).answer().status(), 200);
    }
}

#[test]
fn an_endpoint_may_take_larger_or_smaller_bodies() {
    let origin = Origin::json("{}");
    let mut config = config(&origin, json!({"max_body": 10}));
    config["endpoints"][1]["extra_config"] = json!({"hanzo/limits": {"max_body": 20}});
    config["endpoints"][2]["extra_config"] = json!({"hanzo/limits": {"max_body": 5}});
    let gateway = Gateway::native(config);
    let post = |path: &str, length: usize| {
        gateway
            .client()
            .request("POST", path, &[], &"b".repeat(length))
            .answer()
            .status()
    };
    assert_eq!((post("/x", 20), post("/x", 21)), (200, 413));
    assert_eq!((post("/c", 5), post("/c", 6)), (200, 413));
}

#[test]
fn a_refused_request_leaves_its_reason_in_log_and_metrics() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin, json!({}));
    assert_refused(&gateway, "GET /x HTTP/1.1\r\n\r\n", 400, "bad_request");
    let metrics = gateway.metrics();
    assert!(
        metrics.contains("hanzo_gateway_refusals_total{reason=\"bad_host\"} 1"),
        "{metrics}"
    );
    let line = gateway.log_line("bad_host");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["status"], json!(400), "{line}");
}

#[test]
fn http1_on_the_port_for_h2c_is_answered_at_once_however_short() {
    let origin = Origin::json("{}");
    let mut config = config(&origin, json!({"header_timeout": "5s"}));
    config["use_h2c"] = json!(true);
    let gateway = Gateway::native(config);
    let answer = gateway.client().send("GET /x HTTP/1.0\r\n\r\n").answer();
    assert_eq!(answer.status(), 200);
    assert!(answer.took < Duration::from_secs(4), "{:?}", answer.took);
    let answer = gateway.client().send("G / \r\n\r\n").answer();
    assert_error(&answer, 400, "bad_request");
    assert!(answer.took < Duration::from_secs(4), "{:?}", answer.took);
}

#[test]
fn a_silent_client_on_the_port_for_h2c_is_cut() {
    let origin = Origin::json("{}");
    let mut config = config(&origin, json!({"header_timeout": "300ms"}));
    config["use_h2c"] = json!(true);
    let gateway = Gateway::native(config);
    for start in ["", "PRI", "PRI * HTTP/2.0\r\n"] {
        let mut client = gateway.client();
        let began = Instant::now();
        client.send(start);
        while let Ok(Some(_)) = client.try_answer() {}
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "{start:?}: {:?}",
            began.elapsed()
        );
    }
}

/// A connection that is open and served for certain.
fn guest(gateway: &Gateway) -> Client {
    eventually("a place", || {
        let mut client = gateway.client();
        (client
            .request("GET", "/x", &[], "")
            .try_answer()
            .ok()??
            .status()
            == 200)
            .then_some(client)
    })
}

#[test]
fn connections_over_a_limit_are_told_so_and_places_come_back() {
    for limit in ["max_connections", "max_connections_per_address"] {
        let origin = Origin::json("{}");
        let gateway = gateway(&origin, json!({limit: 2}));
        let (mut first, second) = (guest(&gateway), guest(&gateway));
        let mut third = gateway.client();
        let answer = third.answer();
        assert_error(&answer, 503, "service_unavailable");
        assert!(answer.header("retry-after").is_some());
        assert!(third.is_closed());
        assert_eq!(
            first.get("/x").status(),
            200,
            "those who are inside do not notice"
        );
        drop(second);
        guest(&gateway);
    }
}

#[test]
fn the_clients_of_a_trusted_proxy_do_not_share_the_bound_of_one_address() {
    let origin = Origin::json("{}");
    let mut file = config(&origin, json!({"max_connections_per_address": 2}));
    file["extra_config"]["router"] = json!({"trusted_proxies": ["127.0.0.0/8"]});
    let gateway = Gateway::native(file);
    let held: Vec<_> = (0..5).map(|_| guest(&gateway)).collect();
    assert_eq!(held.len(), 5);
}

#[test]
fn the_krakend_dialect_refuses_the_same_shapes_in_gos_words() {
    let origin = Origin::json("{}");
    let gateway = Gateway::krakend(config(&origin, json!({})));
    for shape in [
        "POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: gw\r\nX: a\r\n folded\r\n\r\n",
        "GET /x HTTP/1.1\r\n\r\n",
    ] {
        let mut client = gateway.client();
        let answer = client.send(shape).answer();
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (400, "400 Bad Request"),
            "{shape:?}"
        );
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        assert!(client.is_closed());
    }
    assert!(origin.requests().is_empty());
}
