//! What one connection carries, on both sides: many exchanges, uploads, tunnels, older clients.

use super::*;

#[test]
fn bytes_behind_an_answer_spoil_its_connection_only() {
    let origin = Origin::serve(|exchange| {
        exchange.raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    });
    let gateway = single_threaded(&origin);
    let mut client = gateway.client();
    for _ in 0..3 {
        assert_eq!(client.get("/x").text(), "ok");
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn connections_to_the_origin_are_used_again() {
    let origin = Origin::json("{}");
    let gateway = single_threaded(&origin);
    for _ in 0..3 {
        assert_eq!(gateway.get("/x").status(), 200);
    }
    let mut client = gateway.client();
    for _ in 0..3 {
        assert_eq!(
            client.request("POST", "/x", &[], "body").answer().status(),
            200
        );
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_origin_that_closes_is_taken_at_its_word() {
    let origin = Origin::serve(|exchange| {
        exchange.answer(200, &[("Connection", "close")], "bye");
        exchange.close();
    });
    let gateway = single_threaded(&origin);
    let mut client = gateway.client();
    for _ in 0..3 {
        let answer = client.get("/x");
        assert_eq!((answer.status(), answer.text().as_str()), (200, "bye"));
        assert_ne!(
            answer.header("connection"),
            Some("close"),
            "that was the backend's connection"
        );
    }
    assert_eq!(origin.connections(), 3);
}

/// Answers the first request, drops the second without a word, answers all others.
fn forgetful() -> Origin {
    let seen = AtomicUsize::new(0);
    Origin::serve(move |exchange| {
        if seen.fetch_add(1, Ordering::SeqCst) == 1 {
            exchange.close();
        } else {
            exchange.json("{}");
        }
    })
}

#[test]
fn a_get_is_sent_once_more_when_a_resting_connection_turns_out_dead() {
    let origin = forgetful();
    let gateway = single_threaded(&origin);
    assert_eq!(gateway.get("/x").status(), 200);
    assert_eq!(gateway.get("/x").status(), 200);
    assert_eq!((origin.requests().len(), origin.connections()), (3, 2));
}

#[test]
fn a_post_is_never_sent_twice() {
    let origin = forgetful();
    let gateway = single_threaded(&origin);
    let post = || gateway.client().request("POST", "/x", &[], "pay").answer();
    assert_eq!(post().status(), 200);
    post().assert_error(502, "bad_gateway");
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn a_get_on_a_fresh_connection_is_not_sent_twice() {
    let origin = Origin::serve(Exchange::close);
    let gateway = single_threaded(&origin);
    gateway.get("/x").assert_error(502, "bad_gateway");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn an_upload_keeps_its_framing() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    client.request("POST", "/x", &[], "hello").answer();
    client.send("POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
    client.send("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
    let requests = origin.requests();
    let framing = |at: usize| {
        (
            requests[at].header("content-length"),
            requests[at].header("transfer-encoding"),
            requests[at].text(),
        )
    };
    assert_eq!(framing(0), (Some("5"), None, "hello".to_owned()));
    assert_eq!(framing(1), (None, Some("chunked"), "abcde".to_owned()));
    assert_eq!(framing(2), (Some("0"), None, String::new()));
}

#[test]
fn an_upload_streams_piece_by_piece() {
    let (heard, hears) = channel();
    let heard = Mutex::new(heard);
    let origin = Origin::serve_heads(move |exchange| {
        while let Some(piece) = exchange.piece() {
            heard.lock().unwrap().send(piece).unwrap();
        }
        exchange.json("{}");
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    client.send("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 9\r\n\r\n");
    for piece in ["one", "two", "six"] {
        client.send(piece);
        assert_eq!(hears.recv_timeout(PATIENCE).unwrap(), piece.as_bytes());
    }
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn leave_to_send_is_given_before_the_body() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin);
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, gateway.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(
            b"POST /x HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        )
        .unwrap();
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 100 "));
    stream.write_all(b"body").unwrap();
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 200 "));
    assert_eq!(
        (
            origin.request().text().as_str(),
            origin.request().header("expect")
        ),
        ("body", None)
    );
}

#[test]
fn a_body_that_would_be_refused_gets_no_leave() {
    let origin = Origin::json("{}");
    let mut config = config(&origin.url(), "15s");
    config["extra_config"] = json!({"hanzo/limits": {"max_body": 3}});
    let gateway = Gateway::native(config);
    let mut client = gateway.client();
    client
        .send("POST /x HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    client.answer().assert_error(413, "payload_too_large");
    assert!(origin.requests().is_empty());
}

fn websockets(gateway: &Gateway) -> f64 {
    let metrics = gateway.metrics();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("hanzo_gateway_websocket_connections "));
    line.and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .expect("the gauge is there")
}

#[test]
fn websockets_pass_both_ways_and_are_counted() {
    let (url, origin) = raw_origin(|mut stream| {
        let head = read_head(&mut stream);
        assert!(
            head.to_ascii_lowercase().contains("upgrade: websocket\r\n"),
            "{head}"
        );
        assert!(
            head.to_ascii_lowercase()
                .contains("sec-websocket-key: abc\r\n"),
            "{head}"
        );
        // What else the client's connection has of its own ends here.
        assert!(head.contains("\r\nConnection: Upgrade\r\n"), "{head}");
        assert!(!head.to_ascii_lowercase().contains("x-own"), "{head}");
        // Pingora takes the end of the request's empty body for the tunnel's end when the 101 comes
        // before it has looked at that; no origin beyond loopback is so fast.
        std::thread::sleep(Duration::from_millis(50));
        let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: xyz\r\n\r\nhello";
        stream.write_all(switch.as_bytes()).unwrap();
        let mut four = [0; 4];
        while stream.read_exact(&mut four).is_ok() {
            stream.write_all(&four).unwrap();
        }
    });
    let gateway = Gateway::native(config(&url, "1s"));
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, gateway.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let ask = "GET /x HTTP/1.1\r\nHost: gw\r\nConnection: keep-alive, X-Own, Upgrade\r\nUpgrade: websocket\r\nX-Own: 1\r\nSec-WebSocket-Key: abc\r\nSec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(ask.as_bytes()).unwrap();
    let head = read_head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let lower = head.to_ascii_lowercase();
    assert!(
        lower.contains("upgrade: websocket\r\n") && lower.contains("sec-websocket-accept: xyz\r\n"),
        "{head}"
    );
    let mut five = [0; 5];
    stream.read_exact(&mut five).unwrap();
    assert_eq!(&five, b"hello");
    for word in [b"ping", b"\x00\xff\x0d\x0a"] {
        stream.write_all(word).unwrap();
        let mut four = [0; 4];
        stream.read_exact(&mut four).unwrap();
        assert_eq!(&four, word);
    }
    eventually("the open connection in the metrics", || {
        (websockets(&gateway) == 1.0).then_some(())
    });
    drop(stream);
    origin.join().unwrap();
    eventually("no connection in the metrics", || {
        (websockets(&gateway) == 0.0).then_some(())
    });
}

#[test]
fn a_refused_upgrade_is_an_ordinary_answer() {
    let origin = Origin::serve(|exchange| exchange.answer(403, &[], "not you"));
    let gateway = gateway(&origin);
    let fields = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "abc"),
    ];
    let answer = gateway.client().request("GET", "/x", &fields, "").answer();
    assert_eq!((answer.status(), answer.text().as_str()), (403, "not you"));
    assert_eq!(websockets(&gateway), 0.0);
}

#[test]
fn http10_clients_get_an_answer_they_can_read() {
    let (tap, taps_end) = feed();
    let origin = Origin::serve(move |exchange| exchange.stream(&[], &taps_end));
    let gateway = gateway(&origin);
    tap.send("all");
    drop(tap);
    let mut client = gateway.client();
    let answer = client.send("GET /x HTTP/1.0\r\nHost: gw\r\n\r\n").answer();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "all"));
    assert!(answer.header("transfer-encoding").is_none(), "{answer:?}");
    assert!(client.is_closed());
}

#[test]
fn http10_clients_may_ask_to_stay() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    for _ in 0..2 {
        let ask = "GET /x HTTP/1.0\r\nHost: gw\r\nConnection: keep-alive\r\n\r\n";
        let answer = client.send(ask).answer();
        assert_eq!((answer.status(), answer.text().as_str()), (200, "{}"));
        assert!(
            answer
                .header("connection")
                .is_some_and(|c| c.eq_ignore_ascii_case("keep-alive"))
        );
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::serve(|exchange| {
        let tag = exchange
            .request
            .header("x-tag")
            .unwrap_or_default()
            .to_owned();
        exchange.answer(200, &[], tag);
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    let mut all = String::new();
    for tag in 0..8 {
        all += &format!("GET /x HTTP/1.1\r\nHost: gw\r\nX-Tag: {tag}\r\n\r\n");
    }
    client.send(all);
    for tag in 0..8 {
        assert_eq!(client.answer().text(), tag.to_string());
    }
    assert_eq!(client.get("/x").status(), 200);
}

#[test]
fn a_request_behind_an_upload_is_answered_after_it() {
    let origin = Origin::serve(|exchange| {
        let body = exchange.request.body.clone();
        exchange.answer(200, &[], body);
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    client.send("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\n\r\nfirstGET /x HTTP/1.1\r\nHost: gw\r\n\r\n");
    assert_eq!(client.answer().text(), "first");
    assert_eq!(client.answer().text(), "");
}

#[test]
fn a_client_that_wants_to_close_is_obeyed() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    let answer = client
        .request("GET", "/x", &[("Connection", "close")], "")
        .answer();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "{}"));
    assert!(
        answer
            .header("connection")
            .is_some_and(|c| c.eq_ignore_ascii_case("close"))
    );
    assert!(client.is_closed());
    assert_eq!(origin.request().header("connection"), None);
}

#[test]
fn a_connection_serves_many_requests() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin);
    let mut client: Client = gateway.client();
    for _ in 0..20 {
        assert_eq!(client.get("/x").status(), 200);
        assert_eq!(
            client.request("POST", "/x", &[], "b").answer().status(),
            200
        );
    }
}
