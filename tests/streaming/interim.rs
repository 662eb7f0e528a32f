//! Interim answers (1xx): told to clients that understand them, never taken for the answer.

use super::*;

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";

/// Gives hints, and answers once the test lets it.
fn hinting(head: &'static str) -> (Origin, Sender<()>) {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::serve(move |exchange| {
        exchange.raw(head);
        let _ = wait.lock().unwrap().recv_timeout(PATIENCE);
        exchange.json("{\"final\":true}");
    });
    (origin, go)
}

#[test]
fn hints_arrive_before_the_answer_is_made() {
    let (origin, go) = hinting(HINTS);
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    let hints = client.request("GET", "/x", &[], "").any_head();
    assert_eq!(hints.first, "HTTP/1.1 103 Early Hints");
    assert_eq!(
        hints.fields,
        [("Link".to_owned(), "</a.css>".to_owned())],
        "and nothing else"
    );
    go.send(()).unwrap();
    let answer = client.answer();
    assert_eq!(
        (answer.status(), answer.json()),
        (200, json!({"final": true}))
    );
    assert!(answer.header("link").is_none());
    go.send(()).unwrap();
    assert_eq!(client.get("/x").status(), 200, "the connection stays");
}

#[test]
fn several_in_one_piece_arrive_in_order() {
    let origin = Origin::serve(|exchange| {
        let wire = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n\
                    HTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
        exchange.raw(wire);
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    client.request("GET", "/x", &[], "");
    let heads: Vec<_> = (0..4).map(|_| client.any_head()).collect();
    let told: Vec<_> = heads.iter().map(|h| (h.word(1), h.get("link"))).collect();
    let expected = [
        ("102", None),
        ("103", Some("</a.css>")),
        ("103", Some("</b.css>")),
        ("204", None),
    ];
    assert_eq!(told, expected);
}

#[test]
fn hints_pass_while_the_request_is_still_being_sent() {
    let origin = Origin::serve_heads(|exchange| {
        exchange.raw(HINTS);
        while exchange.piece().is_some() {}
        exchange.raw("HTTP/1.1 102 Processing\r\n\r\n");
        exchange.json("{}");
    });
    let gateway = gateway(&origin);
    for framing in ["Content-Length: 4", "Transfer-Encoding: chunked"] {
        let mut client = gateway.client();
        client.send(format!("POST /x HTTP/1.1\r\nHost: gw\r\n{framing}\r\n\r\n"));
        assert_eq!(client.any_head().word(1), "103", "{framing}");
        client.send(if framing.starts_with('C') {
            "body"
        } else {
            "4\r\nbody\r\n0\r\n\r\n"
        });
        assert_eq!(client.any_head().word(1), "102", "{framing}");
        assert_eq!(client.answer().status(), 200, "{framing}");
        let again = client.request("POST", "/x", &[], "ab").any_head();
        assert_eq!(again.word(1), "103", "{framing}: the connection stays");
    }
    assert_eq!(origin.requests()[0].text(), "body");
}

#[test]
fn a_refusal_behind_hints_ends_the_sending() {
    let origin = Origin::serve_heads(|exchange| {
        exchange.raw(HINTS);
        exchange.answer(413, &[], "no");
        exchange.close();
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    client.send("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 100\r\n\r\nsome");
    assert_eq!(client.any_head().word(1), "103");
    assert_eq!(client.any_head().word(1), "413");
}

#[test]
fn large_hints_that_a_client_reads_late_stay_whole() {
    const PAD: usize = 60_000;
    let origin = Origin::serve_heads(|exchange| {
        for number in 0..30 {
            let pad = "x".repeat(PAD);
            exchange.raw(format!(
                "HTTP/1.1 103 Early Hints\r\nX-N: {number}\r\nX-Pad: {pad}\r\n\r\n"
            ));
        }
        exchange.answer(413, &[], "no");
        exchange.close();
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    client.send("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 100\r\n\r\n");
    // The whole answer is with the gateway, which watches its backend while it writes.
    origin.wait_for(1);
    for number in 0..30 {
        let head = client.any_head();
        assert_eq!(head.get("x-n"), Some(&*number.to_string()));
        assert_eq!(head.get("x-pad").map(str::len), Some(PAD), "{number}");
    }
    assert_eq!(client.any_head().word(1), "413");
}

#[test]
fn what_belongs_to_the_backends_connection_or_to_us_stays_behind() {
    let (origin, go) = hinting(
        "HTTP/1.1 103 Early Hints\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         X-Request-ID: forged\r\nX-Gateway-Version: forged\r\nContent-Length: 5\r\nlink: </a.css>\r\n\r\n",
    );
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    let hints = client.request("GET", "/x", &[], "").any_head();
    assert_eq!(hints.word(1), "103");
    let names: Vec<_> = hints.fields.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Link"]);
    go.send(()).unwrap();
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn a_client_that_waits_for_leave_gets_it_once() {
    let origin = Origin::serve_heads(|exchange| {
        exchange.raw("HTTP/1.1 100 Continue\r\n\r\n");
        while exchange.piece().is_some() {}
        exchange.raw("HTTP/1.1 100 Continue\r\n\r\n");
        exchange.json("{}");
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    let expect =
        "POST /x HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    assert_eq!(client.send(expect).any_head().word(1), "100");
    assert_eq!(client.send("body").any_head().word(1), "200");
    let mut client = gateway.client();
    client.request("POST", "/x", &[], "body");
    assert_eq!(client.any_head().word(1), "200", "nobody asked for leave");
}

#[test]
fn older_clients_are_told_the_answer_only() {
    let (origin, go) = hinting(HINTS);
    go.send(()).unwrap();
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    client.send("GET /x HTTP/1.0\r\nHost: gw\r\n\r\n");
    assert_eq!(client.any_head().word(1), "200");
}

#[test]
fn krakends_dialect_drops_them() {
    let (origin, go) = hinting(HINTS);
    go.send(()).unwrap();
    let gateway = Gateway::krakend(config(&origin.url(), "15s"));
    let mut client = gateway.client();
    assert_eq!(
        client.request("GET", "/x", &[], "").any_head().word(1),
        "200"
    );
}

#[test]
fn a_flood_of_them_is_a_broken_backend() {
    let origin = Origin::serve(|exchange| {
        for _ in 0..40 {
            exchange.raw(HINTS);
        }
        exchange.json("{}");
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    client.request("GET", "/x", &[], "");
    let mut told = 0;
    let last = loop {
        let head = client.any_head();
        if head.word(1) != "103" {
            break head;
        }
        told += 1;
    };
    assert_eq!(last.word(1), "502");
    assert!(told <= 32, "{told}");
}

#[test]
fn a_backend_that_only_hints_has_failed_and_is_not_asked_again() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let origin = Origin::serve(move |exchange| {
        // The first answer leaves a connection that the second request finds used.
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            exchange.json("{}");
        } else {
            exchange.raw(HINTS);
            exchange.close();
        }
    });
    let gateway = single_threaded(&origin);
    let mut client = gateway.client();
    assert_eq!(client.get("/x").status(), 200);
    client.request("GET", "/x", &[], "");
    assert_eq!(client.any_head().word(1), "103");
    let answer = client.answer();
    answer.assert_error(502, "bad_gateway");
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    gateway.log_line("\"status\":502");
}

#[test]
fn switching_protocols_unasked_is_a_broken_backend() {
    let origin = Origin::serve(|exchange| {
        exchange
            .raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
    });
    assert_eq!(gateway(&origin).get("/x").status(), 502);
}

#[test]
fn a_client_that_leaves_after_hints_is_counted_as_gone() {
    let origin = Origin::serve(|exchange| {
        exchange.raw(HINTS);
        exchange.stall();
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    client.request("GET", "/x", &[], "");
    assert_eq!(client.any_head().word(1), "103");
    drop(client);
    eventually("the metric", || {
        gateway
            .metrics()
            .lines()
            .any(|line| line.contains("requests_total") && line.contains("status=\"499\""))
            .then_some(())
    });
}

#[test]
fn hints_pass_on_the_way_of_an_upgrade_too() {
    let origin = Origin::serve(|exchange| {
        exchange.raw("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nX-Request-ID: forged\r\n\r\n");
        exchange.json("{}");
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    let fields = [("Connection", "Upgrade"), ("Upgrade", "x")];
    let hints = client.request("GET", "/x", &fields, "").any_head();
    assert_eq!(
        (hints.word(1), hints.get("link")),
        ("103", Some("</a.css>"))
    );
    assert_eq!(hints.get("x-request-id"), None);
    assert_eq!(client.answer().status(), 200);
}
