//! `no-op` endpoints: what the backend sends passes at once and as it is, each side at the other's
//! pace, and neither works on when the other has gone. What connections carry is in `connections`.

mod connections;
mod interim;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Client, Exchange, Gateway, Origin, PATIENCE, eventually, feed, ports};

/// One `no-op` endpoint `/x` with `GET`, and one with `POST`, to a host.
fn config(host: &str, timeout: &str) -> Value {
    let endpoint = |method: &str| {
        json!({
            "endpoint": "/x", "method": method, "output_encoding": "no-op", "timeout": timeout,
            "input_headers": ["*"],
            "backend": [{"url_pattern": "/up", "method": method, "host": [host]}]
        })
    };
    json!({"endpoints": [endpoint("GET"), endpoint("POST")]})
}

fn gateway(origin: &Origin) -> Gateway {
    Gateway::native(config(&origin.url(), "15s"))
}

/// With one worker thread, which holds all pooled connections.
fn single_threaded(origin: &Origin) -> Gateway {
    Gateway::setup()
        .argument("--threads")
        .argument("1")
        .native(config(&origin.url(), "15s"))
}

/// Bytes that no coding and no mistake in an offset leaves alike.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        u8::try_from(state >> 24).unwrap()
    };
    (0..length).map(|_| next()).collect()
}

/// An origin that says on a channel when the gateway has closed the connection.
fn left(begin: impl Fn(&mut Exchange) + Send + Sync + 'static) -> (Origin, Receiver<()>) {
    let (gone, told) = channel::<()>();
    let gone: Mutex<Sender<()>> = Mutex::new(gone);
    let origin = Origin::serve(move |exchange| {
        begin(exchange);
        exchange.stall();
        let _ = gone.lock().unwrap().send(());
    });
    (origin, told)
}

/// Serves one connection at a time with raw sockets, for what an [`Origin`] cannot say.
fn raw_origin(talk: impl Fn(TcpStream) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        talk(stream);
    });
    (url, thread)
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn pieces_of_an_event_stream_arrive_while_the_origin_waits() {
    let (tap, taps_end) = feed();
    let origin = Origin::serve(move |exchange| {
        exchange.stream(&[("Content-Type", "text/event-stream")], &taps_end);
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    let head = client.request("GET", "/x", &[], "").head();
    assert_eq!(head.get("content-type"), Some("text/event-stream"));
    for round in 0..5 {
        let event = format!("data: {round}\n\n");
        tap.send(event.clone());
        assert_eq!(
            client.piece().map(|(_, piece)| piece),
            Some(event.into_bytes())
        );
    }
    drop(tap);
    assert_eq!(client.piece(), None);
    assert_eq!(origin.wait_for(1).len(), 1);
}

#[test]
fn answers_without_length_stream_until_the_origin_closes() {
    let origin = Origin::serve(|exchange| {
        exchange.raw("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it");
        exchange.close();
    });
    let answer = gateway(&origin).get("/x");
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (200, "all of it")
    );
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
}

#[test]
fn large_bodies_pass_byte_by_byte_in_both_directions() {
    let origin = Origin::serve(|exchange| {
        let body = exchange.request.body.clone();
        exchange.answer(200, &[], body);
    });
    let gateway = gateway(&origin);
    let body = noise(2 << 20);
    let mut client = gateway.client();
    let sender = body.clone();
    client.send(format!(
        "POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(&sender);
    let answer = client.answer();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("content-length"), Some("2097152"));
    assert!(answer.header("transfer-encoding").is_none());
    assert!(answer.body == body, "the body changed on its way");
    assert!(
        origin.request().body == body,
        "the upload changed on its way"
    );
}

#[test]
fn head_is_answered_with_the_length_and_no_body() {
    let origin = Origin::json(r#"{"a":1}"#);
    let gateway = Gateway::native(json!({"endpoints": [{
        "endpoint": "/x", "output_encoding": "no-op",
        "backend": [{"url_pattern": "/up", "host": [origin.url()], "method": "HEAD"}]
    }]}));
    let mut client = gateway.client();
    let answer = client.request("HEAD", "/x", &[], "").answer();
    assert_eq!(
        (answer.status(), answer.header("content-length")),
        (200, Some("7"))
    );
    assert_eq!(answer.body, b"");
    let again = client.request("HEAD", "/x", &[], "").answer();
    assert_eq!(again.status(), 200, "the connection stays in step");
    assert_eq!(origin.requests()[0].method(), "HEAD");
}

#[test]
fn head_of_a_get_endpoint_has_the_body_left_out() {
    let origin = Origin::json(r#"{"a":1}"#);
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    let answer = client.request("HEAD", "/x", &[], "").answer();
    assert_eq!((answer.status(), answer.body.len()), (200, 0));
    assert_eq!(client.get("/x").json(), json!({"a": 1}));
}

#[test]
fn answers_without_body_stay_without_one() {
    let origin = Origin::serve(|exchange| {
        let not_modified = exchange.request.header("if-none-match").is_some();
        let head = if not_modified {
            "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n"
        } else {
            "HTTP/1.1 204 No Content\r\nX-Left: nothing\r\nContent-Length: 7\r\n\r\n"
        };
        exchange.raw(head);
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    let answer = client.get("/x");
    assert_eq!(
        (answer.status(), answer.header("x-left")),
        (204, Some("nothing"))
    );
    assert!(
        answer.header("content-length").is_none() && answer.header("transfer-encoding").is_none()
    );
    let fields = [("If-None-Match", "\"v1\"")];
    let answer = client.request("GET", "/x", &fields, "").answer();
    assert_eq!(
        (answer.status(), answer.header("etag")),
        (304, Some("\"v1\""))
    );
    assert!(answer.header("transfer-encoding").is_none());
    assert_eq!(
        client.get("/x").status(),
        204,
        "the connection stays in step"
    );
}

#[test]
fn redirects_go_to_the_client_untouched() {
    let origin = Origin::serve(|exchange| {
        exchange.answer(
            302,
            &[("Location", "/elsewhere?a=1"), ("Set-Cookie", "s=1")],
            "moved",
        );
    });
    let answer = gateway(&origin).get("/x");
    assert_eq!(
        (answer.status(), answer.header("location")),
        (302, Some("/elsewhere?a=1"))
    );
    assert_eq!(
        (answer.header("set-cookie"), answer.text().as_str()),
        (Some("s=1"), "moved")
    );
    assert_eq!(origin.request().path(), "/up");
}

#[test]
fn packed_bodies_pass_packed_and_nobody_asks_for_them() {
    let packed: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03not even valid";
    let origin = Origin::serve(move |exchange| {
        exchange.answer(200, &[("Content-Encoding", "gzip")], packed);
    });
    let answer = gateway(&origin).get("/x");
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert_eq!(answer.body, packed);
    assert_eq!(origin.request().header("accept-encoding"), None);
}

#[test]
fn errors_of_the_backend_pass_verbatim() {
    for status in [400, 401, 404, 418, 429, 500, 502, 503, 599] {
        let origin = Origin::serve(move |exchange| {
            exchange.answer(
                status,
                &[("Content-Type", "text/x-own"), ("X-Why", "own")],
                "own words",
            );
        });
        let answer = gateway(&origin).get("/x");
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (status, "own words")
        );
        assert_eq!(answer.header("content-type"), Some("text/x-own"));
        assert_eq!(answer.header("x-why"), Some("own"));
        assert_eq!(answer.header("x-krakend-completed"), Some("false"));
    }
}

#[test]
fn several_values_of_a_field_stay_several() {
    let origin = Origin::serve(|exchange| {
        exchange.answer(200, &[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], "");
    });
    let answer = gateway(&origin).get("/x");
    assert_eq!(answer.head.all("set-cookie"), ["a=1", "b=2"]);
}

#[test]
fn fields_of_the_backends_connection_stay_there() {
    let origin = Origin::serve(|exchange| {
        let fields = [
            ("Connection", "keep-alive, X-Private"),
            ("Keep-Alive", "timeout=5"),
            ("X-Private", "1"),
            ("X-Public", "1"),
        ];
        exchange.answer(200, &fields, "ok");
    });
    let answer = gateway(&origin).get("/x");
    assert_eq!(
        (answer.header("x-private"), answer.header("x-public")),
        (None, Some("1"))
    );
    assert_eq!(answer.header("keep-alive"), None);
}

#[test]
fn a_backend_that_nominates_its_length_is_known_to_end() {
    let origin = Origin::serve(|exchange| {
        let fields = [
            ("Connection", "h\u{f6}p, Content-Length, X-Private"),
            ("Close", "1"),
            ("X-Private", "1"),
        ];
        exchange.answer(200, &fields, "ok");
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.get("/x");
        assert_eq!(answer.body, b"ok");
        assert_eq!(answer.header("content-length"), Some("2"));
        assert_eq!(answer.header("close"), Some("1"), "nobody nominated it");
        assert_eq!(answer.header("x-private"), None, "beside what is no text");
    }
    let head = client.request("HEAD", "/x", &[], "").answer();
    assert_eq!((head.status(), head.body.len()), (200, 0));
    assert_eq!(
        client.get("/x").status(),
        200,
        "the connection stays in step"
    );
}

#[test]
fn a_slow_reader_holds_the_origin_back() {
    const PIECE: usize = 64 << 10;
    const BOUND: usize = 64 << 20;
    let written = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&written);
    let (gone, told) = channel();
    let (url, origin) = raw_origin(move |mut stream| {
        read_head(&mut stream);
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            16 * BOUND
        );
        while stream.write_all(&[b'x'; PIECE]).is_ok() {
            counter.fetch_add(PIECE, Ordering::Relaxed);
        }
        gone.send(()).unwrap();
    });
    let gateway = Gateway::native(config(&url, "15s"));
    let mut client = gateway.client();
    client.request("GET", "/x", &[], "").head();
    let still = Duration::from_millis(250);
    let mut last = (0, Instant::now());
    let held = eventually("the origin to be held back", || {
        let now = written.load(Ordering::Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        }
        assert!(
            now < BOUND,
            "the gateway took {now} bytes that nobody reads"
        );
        (now > 0 && last.1.elapsed() > still).then_some(now)
    });
    while written.load(Ordering::Relaxed) <= held {
        client
            .piece()
            .expect("the stream goes on when the client reads");
    }
    drop(client);
    told.recv_timeout(PATIENCE)
        .expect("the origin is let go with the client");
    origin.join().unwrap();
}

#[test]
fn a_client_that_leaves_while_waiting_frees_the_origin() {
    let (origin, gone) = left(|_| {});
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    client.request("GET", "/x", &[], "");
    origin.wait_for(1);
    let left = Instant::now();
    drop(client);
    gone.recv_timeout(Duration::from_secs(5))
        .expect("the connection is closed at once");
    assert!(left.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_client_that_leaves_after_its_upload_frees_the_origin() {
    let (origin, gone) = left(|_| {});
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    client.request("POST", "/x", &[], "a body");
    origin.wait_for(1);
    drop(client);
    gone.recv_timeout(Duration::from_secs(5))
        .expect("the connection is closed at once");
}

#[test]
fn a_client_that_leaves_in_mid_stream_frees_the_origin() {
    let (origin, gone) = left(|exchange| {
        exchange.raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst");
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    client.request("GET", "/x", &[], "").head();
    assert_eq!(
        client.piece().map(|(_, piece)| piece),
        Some(b"first".to_vec())
    );
    drop(client);
    gone.recv_timeout(Duration::from_secs(5))
        .expect("the connection is closed at once");
}

/// Sends half an upload, leaves, and waits until the origin knows that it is not whole.
fn leaves_inside_an_upload(half: &str) {
    let (gone, told) = channel();
    let gone = Mutex::new(gone);
    let origin = Origin::serve_heads(move |exchange| {
        while exchange.piece().is_some() {}
        gone.lock()
            .unwrap()
            .send(exchange.request.complete)
            .unwrap();
        exchange.close();
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    client.send(format!("POST /x HTTP/1.1\r\nHost: gw\r\n{half}"));
    drop(client);
    let complete = told
        .recv_timeout(Duration::from_secs(5))
        .expect("the origin hears of it");
    assert!(!complete, "half an upload must not look like a whole one");
}

#[test]
fn a_client_that_leaves_inside_its_upload_frees_the_origin() {
    leaves_inside_an_upload("Content-Length: 10\r\n\r\nhalf");
}

#[test]
fn a_chunked_upload_that_breaks_off_never_looks_complete() {
    leaves_inside_an_upload("Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
}

#[test]
fn an_answer_that_breaks_off_never_looks_complete() {
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let origin = Origin::serve(move |exchange| {
            let piece = if head.starts_with('C') {
                "first"
            } else {
                "5\r\nfirst\r\n"
            };
            exchange.raw(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{piece}"));
            exchange.close();
        });
        let gateway = gateway(&origin);
        // Whether the head had left already or not: an error, or a connection that is cut.
        if let Ok(Some(answer)) = gateway.client().request("GET", "/x", &[], "").try_answer() {
            answer.assert_error(502, "bad_gateway");
        }
    }
}

#[test]
fn an_answer_that_breaks_off_after_its_head_cuts_the_connection() {
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let (go_on, wait) = channel::<()>();
        let wait = Mutex::new(wait);
        let origin = Origin::serve(move |exchange| {
            let piece = if head.starts_with('C') {
                "first"
            } else {
                "5\r\nfirst\r\n"
            };
            exchange.raw(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{piece}"));
            let _ = wait.lock().unwrap().recv_timeout(PATIENCE);
            exchange.close();
        });
        let gateway = gateway(&origin);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, gateway.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
            .write_all(b"GET /x HTTP/1.1\r\nHost: gw\r\n\r\n")
            .unwrap();
        let text = read_head(&mut stream);
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        go_on.send(()).unwrap();
        let mut rest = Vec::new();
        // A reset ends the reading as well as a close does.
        let _ = stream.read_to_end(&mut rest);
        let rest = String::from_utf8(rest).unwrap();
        assert!(!rest.contains("0\r\n\r\n"), "a clean end after {rest:?}");
        assert!(rest.len() < 100);
    }
}

#[test]
fn garbage_of_a_backend_is_a_bad_gateway() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.6\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad name: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab",
        "",
    ] {
        let origin = Origin::serve(move |exchange| {
            exchange.raw(garbage);
            exchange.close();
        });
        let gateway = gateway(&origin);
        let mut client = gateway.client();
        let answer = client.get("/x");
        answer.assert_error(502, "bad_gateway");
        assert!(!answer.text().contains("127.0.0.1"), "{answer:?}");
        client.get("/x").assert_error(502, "bad_gateway");
    }
}

#[test]
fn a_backend_that_refuses_is_a_bad_gateway() {
    let gateway = Gateway::native(config(
        &format!("http://127.0.0.1:{}", ports::free()),
        "15s",
    ));
    let answer = gateway.get("/x");
    answer.assert_error(502, "bad_gateway");
    let status = answer.header("proxy-status").unwrap();
    assert!(
        status.contains("connection_refused") && status.contains("connect_refused"),
        "{status}"
    );
    let metrics = gateway.metrics();
    let line = "hanzo_gateway_refusals_total{reason=\"connect_refused\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}

#[test]
fn a_backend_that_says_nothing_is_a_timeout() {
    let origin = Origin::serve(Exchange::stall);
    let gateway = Gateway::native(config(&origin.url(), "300ms"));
    let answer = gateway.get("/x");
    answer.assert_error(504, "gateway_timeout");
    assert!(
        answer.took >= Duration::from_millis(290),
        "{:?}",
        answer.took
    );
    assert!(answer.took < Duration::from_secs(5), "{:?}", answer.took);
}

#[test]
fn a_head_that_trickles_is_a_timeout() {
    let origin = Origin::serve(|exchange| {
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
            exchange.raw([*byte]);
            std::thread::sleep(Duration::from_millis(20));
        }
        exchange.stall();
    });
    let gateway = Gateway::native(config(&origin.url(), "300ms"));
    let answer = gateway.get("/x");
    answer.assert_error(504, "gateway_timeout");
    assert!(answer.took < Duration::from_secs(5), "{:?}", answer.took);
}

#[test]
fn the_timeout_ends_with_the_head() {
    let (tap, taps_end) = feed();
    let origin = Origin::serve(move |exchange| exchange.stream(&[], &taps_end));
    let gateway = Gateway::native(config(&origin.url(), "300ms"));
    let mut client = gateway.client();
    client.request("GET", "/x", &[], "").head();
    let since = Instant::now();
    let mut sent = 0;
    while since.elapsed() < Duration::from_millis(500) {
        tap.send("x");
        assert!(client.piece().is_some(), "cut after {sent} pieces");
        sent += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(tap);
    assert_eq!(client.piece(), None);
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_uploading() {
    let origin = Origin::serve_heads(|exchange| {
        exchange
            .raw("HTTP/1.1 413 Too Large\r\nContent-Length: 7\r\nConnection: close\r\n\r\ntoo big");
        exchange.close();
    });
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    client.send("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 1000000\r\n\r\nfirst bytes");
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (413, "too big"));
    assert!(
        client.is_closed(),
        "the rest of the upload cannot be told from a request"
    );
}

#[test]
fn an_origin_may_answer_while_it_reads() {
    let origin = Origin::serve_heads(|exchange| {
        exchange.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while let Some(piece) = exchange.piece() {
            exchange.raw(format!("{:x}\r\n", piece.len()));
            exchange.raw([&piece, &b"\r\n"[..]].concat());
        }
        exchange.raw("0\r\n\r\n");
    });
    let gateway = gateway(&origin);
    let answer = gateway
        .client()
        .request("POST", "/x", &[], "echo me")
        .answer();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "echo me"));
}
