//! The vocabulary against itself, so that a failing whole-gateway test points at the gateway.

use std::collections::HashSet;

use serde_json::json;

use super::{Client, Gateway, Origin, feed, ports};

/// Listens on the port of the configuration it is given, and on `SIGTERM` says so and ends.
const LISTENS: &str = r#"
import json, os, signal, socket, sys
config = json.load(open(sys.argv[sys.argv.index("-c", 1) + 1]))
def leave(*_):
    print("leaving", flush=True)
    os._exit(7)
signal.signal(signal.SIGTERM, leave)
door = socket.create_server(("127.0.0.1", config["port"]))
print(" ".join(sys.argv[1:]), os.environ.get("GREETING"), "KRAKEND_PORT" in os.environ, file=sys.stderr, flush=True)
while True:
    guest, _ = door.accept()
    guest.recv(65536)
    guest.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    guest.close()
"#;

#[test]
fn never_gives_a_port_twice() {
    let ports: HashSet<u16> = (0..200).map(|_| ports::free()).collect();
    assert_eq!(ports.len(), 200);
}

#[test]
fn origin_answers_and_remembers_the_bytes() {
    let origin = Origin::json(r#"{"a":1}"#);
    let raw = "POST /x?y=1 HTTP/1.1\r\nhOST: o\r\nContent-Length: 3\r\n\r\nabc";
    let answer = Client::connect(origin.port()).send(raw).answer();
    assert_eq!((answer.status(), answer.json()), (200, json!({"a": 1})));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let request = origin.request();
    assert_eq!(
        (request.method(), request.target(), request.path()),
        ("POST", "/x?y=1", "/x")
    );
    assert_eq!(
        (request.header("host"), request.text().as_str()),
        (Some("o"), "abc")
    );
    assert_eq!(request.raw, raw.as_bytes());
}

#[test]
fn one_connection_carries_many_requests() {
    let origin = Origin::serve(|exchange| {
        let target = exchange.request.target().to_owned();
        exchange.answer(200, &[], target);
    });
    let mut client = Client::connect(origin.port());
    assert_eq!(client.get("/a").text(), "/a");
    assert_eq!(
        client
            .request("PUT", "/b", &[("Host", "h")], "body")
            .answer()
            .text(),
        "/b"
    );
    assert_eq!(client.request("HEAD", "/c", &[], "").answer().text(), "");
    assert_eq!(client.get("/d").text(), "/d");
    assert_eq!((origin.connections(), origin.wait_for(4).len()), (1, 4));
}

#[test]
fn chunked_requests_are_decoded_and_kept_raw() {
    let origin = Origin::json("{}");
    let raw = "POST / HTTP/1.1\r\nHost: o\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=1\r\nde\r\n0\r\nT: 1\r\n\r\n";
    let mut client = Client::connect(origin.port());
    assert_eq!(client.send(raw).answer().status(), 200);
    assert_eq!(client.get("/again").status(), 200);
    let requests = origin.requests();
    assert_eq!(requests[0].body, b"abcde");
    assert_eq!(requests[0].raw, raw.as_bytes());
    assert_eq!(requests[1].path(), "/again");
}

#[test]
fn pieces_come_when_the_test_lets_them() {
    let (tap, taps_end) = feed();
    let origin = Origin::serve(move |exchange| {
        exchange.stream(&[("Content-Type", "text/event-stream")], &taps_end)
    });
    let mut client = Client::connect(origin.port());
    assert_eq!(
        client
            .request("GET", "/", &[], "")
            .head()
            .get("content-type"),
        Some("text/event-stream")
    );
    tap.send("one");
    let (first, piece) = client.piece().expect("a piece");
    assert_eq!(piece, b"one");
    tap.send("two");
    let (second, piece) = client.piece().expect("a piece");
    assert_eq!(piece, b"two");
    assert!(second >= first);
    drop(tap);
    assert_eq!(client.piece(), None);
}

#[test]
fn a_stalled_origin_lets_go_when_it_ends() {
    let origin = Origin::serve(super::Exchange::stall);
    let mut client = Client::connect(origin.port());
    client.request("GET", "/", &[], "");
    origin.wait_for(1);
    drop(origin);
    assert!(client.is_closed());
}

#[test]
fn an_early_close_is_told_as_no_answer() {
    let origin = Origin::serve(super::Exchange::close);
    let answer = Client::connect(origin.port())
        .request("GET", "/", &[], "")
        .try_answer();
    assert!(!matches!(answer, Ok(Some(_))), "{answer:?}");
}

#[test]
fn a_cut_body_is_an_error_and_no_short_answer() {
    let origin = Origin::serve(|exchange| {
        exchange.raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        exchange.close();
    });
    assert!(
        Client::connect(origin.port())
            .request("GET", "/", &[], "")
            .try_answer()
            .is_err()
    );
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    let origin = Origin::serve(|exchange| {
        exchange.raw("HTTP/1.1 200 OK\r\n\r\nabc");
        exchange.close();
    });
    assert_eq!(Client::connect(origin.port()).get("/").text(), "abc");
}

#[test]
fn interim_answers_are_passed_over() {
    let origin = Origin::serve(|exchange| {
        exchange.raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n")
    });
    assert_eq!(Client::connect(origin.port()).get("/").status(), 204);
}

#[test]
fn a_body_can_be_watched_as_it_arrives() {
    let origin = Origin::serve_heads(|exchange| {
        let first = exchange.piece().expect("a piece");
        exchange.raw(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            first.len()
        ));
        exchange.raw(first);
    });
    let mut client = Client::connect(origin.port());
    client
        .send("POST / HTTP/1.1\r\nHost: o\r\nContent-Length: 6\r\n\r\n")
        .send("abc");
    assert_eq!(client.answer().text(), "abc");
    client.send("def");
}

#[test]
fn a_request_that_breaks_off_is_recorded_as_such() {
    let origin = Origin::json("{}");
    let mut client = Client::connect(origin.port());
    client
        .send("POST / HTTP/1.1\r\nHost: o\r\nContent-Length: 6\r\n\r\nabc")
        .finish();
    let requests = origin.wait_for(1);
    assert!(!requests[0].complete);
    assert_eq!(requests[0].body, b"abc");
}

#[test]
fn gateway_is_started_awaited_and_ended() {
    let setup = Gateway::setup()
        .program(&["python3", "-c", LISTENS])
        .variable("GREETING", "hello")
        .argument("-x");
    let gateway = setup.krakend(json!({"endpoints": []}));
    assert_eq!(gateway.get("/").text(), "hi");
    assert_eq!(
        gateway.url("/a"),
        format!("http://127.0.0.1:{}/a", gateway.port())
    );
    let line = gateway.log_line("hello");
    assert!(
        line.starts_with("run -c ") && line.ends_with("-x --compat krakend hello False"),
        "{line}"
    );
    assert!(gateway.folder().join("gateway.json").exists());
    let output = gateway.stop();
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(7), "leaving\n")
    );
}

#[test]
fn gateway_that_gives_up_is_told_with_its_words() {
    let setup = Gateway::setup().program(&["sh", "-c", "cat \"$3\" >&2; exit 3", "sh"]);
    let output = setup.refused(json!({"name": "odd"}));
    assert_eq!(output.code, Some(3));
    assert!(
        output.stderr.contains(r#""name":"odd""#) && output.stderr.contains(r#""version":3"#),
        "{output:?}"
    );
}
