//! HTTP/2 on the cleartext port by prior knowledge: every stream is a request like any other, and what
//! reaches an HTTP/1.1 backend is clean.

use std::future::Future;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request, Response};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::support::{Gateway, Origin, PATIENCE, feed};

/// One HTTP/2 connection.
struct Connection {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    port: u16,
}

/// A whole answer.
#[derive(Debug)]
struct Whole {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Whole {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Connection {
    fn to(gateway: &Gateway) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let port = gateway.port();
        let sender = runtime.block_on(soon(async {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .unwrap();
            let (sender, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            sender
        }));
        Self {
            runtime,
            sender,
            port,
        }
    }

    fn request(&self, method: &str, target: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:{}{target}", self.port))
    }

    /// Sends a request with the pieces of its body; `None` for none. The stream ends with the last
    /// piece, which may be empty.
    fn start(&self, request: http::request::Builder, body: Option<&[&str]>) -> ResponseFuture {
        let request = request.body(()).unwrap();
        let ready = self.runtime.block_on(soon(self.sender.clone().ready()));
        let sent = ready.unwrap().send_request(request, body.is_none());
        let (answer, mut stream) = sent.unwrap();
        let pieces = body.unwrap_or_default();
        for (index, piece) in pieces.iter().enumerate() {
            let last = index + 1 == pieces.len();
            // The peer may have answered and reset the stream by now.
            let _ = stream.send_data(Bytes::copy_from_slice(piece.as_bytes()), last);
        }
        answer
    }

    fn head(&self, answer: ResponseFuture) -> Response<RecvStream> {
        self.runtime.block_on(soon(answer)).expect("an answer")
    }

    /// The next piece that is not empty; `None` at the end.
    fn piece(&self, body: &mut RecvStream) -> Option<String> {
        loop {
            let piece = self
                .runtime
                .block_on(soon(body.data()))?
                .expect("a whole body");
            let _ = body.flow_control().release_capacity(piece.len());
            if !piece.is_empty() {
                return Some(String::from_utf8(piece.to_vec()).unwrap());
            }
        }
    }

    fn whole(&self, answer: ResponseFuture) -> Whole {
        let (head, mut body) = self.head(answer).into_parts();
        let mut text = String::new();
        while let Some(piece) = self.piece(&mut body) {
            text += &piece;
        }
        Whole {
            status: head.status.as_u16(),
            headers: head.headers,
            body: text,
        }
    }

    fn send(&self, method: &str, target: &str, body: Option<&[&str]>) -> Whole {
        self.whole(self.start(self.request(method, target), body))
    }
}

/// Nothing takes for ever.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("it happens soon")
}

/// A gateway with HTTP/2: `/raw` passes through, `/made` is composed.
fn gateway(origin: &Origin) -> Gateway {
    Gateway::native(config(origin))
}

fn config(origin: &Origin) -> Value {
    let mut endpoints = Vec::new();
    for (pattern, encoding) in [("/raw/{id}", "no-op"), ("/made/{id}", "json")] {
        for method in ["GET", "POST"] {
            endpoints.push(json!({
                "endpoint": pattern, "method": method, "output_encoding": encoding,
                "input_headers": ["X-Own"], "input_query_strings": ["q"],
                "backend": [{
                    "url_pattern": pattern, "method": method, "host": [origin.url()], "encoding": encoding,
                }],
            }));
        }
    }
    json!({"use_h2c": true, "endpoints": endpoints})
}

/// Pingora's session has no way to write an interim answer to an HTTP/2 stream.
#[test]
fn hints_of_a_backend_do_not_disturb_a_stream() {
    let origin = Origin::serve(|exchange| {
        exchange.raw("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
        exchange.json(r#"{"a":1}"#);
    });
    let gateway = gateway(&origin);
    let connection = Connection::to(&gateway);
    for body in [None, Some(&["x", "y"][..])] {
        let method = if body.is_some() { "POST" } else { "GET" };
        let answer = connection.send(method, "/raw/1", body);
        assert_eq!((answer.status, answer.json()), (200, json!({"a": 1})));
        assert!(!answer.headers.contains_key("link"), "{answer:?}");
    }
}

#[test]
fn streams_are_requests_like_any_other() {
    let origin = Origin::json(r#"{"a":1}"#);
    let gateway = gateway(&origin);
    let connection = Connection::to(&gateway);
    for path in ["/raw/1", "/made/1"] {
        let request = connection
            .request("GET", &format!("{path}?q=2&r=3"))
            .header("x-own", "yes");
        let answer = connection.whole(connection.start(request, None));
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({"a": 1})),
            "{answer:?}"
        );
        assert!(
            answer.headers["x-request-id"]
                .to_str()
                .unwrap()
                .starts_with("req_")
        );
        assert!(!answer.headers.contains_key("connection"), "{answer:?}");
        let seen = origin.requests().pop().unwrap();
        assert_eq!(seen.target(), format!("{path}?q=2"));
        assert_eq!(seen.header("x-own"), Some("yes"));
        let host = format!("127.0.0.1:{}", gateway.port());
        assert_eq!(seen.header("x-forwarded-host"), Some(&*host));
        assert!(
            seen.header("via").is_some_and(|via| via.starts_with("2")),
            "{seen:?}"
        );
    }
    let missing = connection.send("GET", "/none", None);
    assert_eq!(
        (missing.status, &missing.json()["error"]),
        (404, &json!("not_found"))
    );
    let method = connection.send("DELETE", "/raw/1", None);
    assert_eq!(
        (method.status, &method.headers["allow"]),
        (405, &"GET, HEAD, POST".parse().unwrap())
    );
    assert_eq!(connection.send("HEAD", "/raw/1", None).body, "");
}

#[test]
fn bodies_arrive_whole() {
    let origin = Origin::serve(|exchange| {
        let body = exchange.request.text();
        exchange.json(&json!({"got": body}).to_string());
    });
    let gateway = gateway(&origin);
    let connection = Connection::to(&gateway);
    for path in ["/raw/1", "/made/1"] {
        let answer = connection.send("POST", path, Some(&["one ", "two ", "three"]));
        assert_eq!(answer.json(), json!({"got": "one two three"}), "{answer:?}");
        let request = connection
            .request("POST", path)
            .header("content-length", "3");
        let answer = connection.whole(connection.start(request, Some(&["abc"])));
        assert_eq!(answer.json(), json!({"got": "abc"}), "{answer:?}");
    }
}

/// An upload that ends with an empty DATA frame must not end twice on the wire: the second end would be
/// the beginning of the next request on that connection.
#[test]
fn an_empty_last_frame_leaves_no_stray_chunk_behind() {
    let origin = Origin::json("{}");
    // Each thread has its own pool, so only one thread is sure to use a connection again.
    let setup = Gateway::setup().argument("--threads").argument("1");
    let gateway = setup.native(config(&origin));
    let connection = Connection::to(&gateway);
    for path in ["/raw/1", "/made/1"] {
        for body in [&["hello", ""][..], &[""]] {
            let before = origin.requests().len();
            assert_eq!(connection.send("POST", path, Some(body)).status, 200);
            assert_eq!(connection.send("GET", path, None).status, 200);
            let [.., post, get] = &origin.wait_for(before + 2)[..] else {
                panic!("two came")
            };
            let raw = String::from_utf8_lossy(&post.raw);
            assert_eq!(post.text(), body.concat(), "{raw}");
            let ends = raw.matches("0\r\n\r\n").count();
            assert!(
                ends <= 1 && (ends == 0 || raw.ends_with("0\r\n\r\n")),
                "{raw}"
            );
            let next = String::from_utf8_lossy(&get.raw);
            assert!(
                next.starts_with(&format!("GET {path} HTTP/1.1\r\n")),
                "{next}"
            );
            assert!(next.ends_with("\r\n\r\n"), "{next}");
        }
    }
    assert_eq!(origin.connections(), 1, "the connection was used again");
}

#[test]
fn an_upload_of_known_length_arrives_whole_in_any_pieces() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin);
    let connection = Connection::to(&gateway);
    let large = "x".repeat(60_000);
    let bodies = [&["hello"][..], &["he", "llo"], &["hello", ""], &[&large]];
    for (number, body) in bodies.into_iter().enumerate() {
        let whole = body.concat();
        let request = connection
            .request("POST", "/raw/1")
            .header("content-length", whole.len());
        let answer = connection.start(request, Some(body));
        assert_eq!(connection.head(answer).status(), 200);
        let seen = &origin.wait_for(number + 1)[number];
        assert_eq!(
            seen.header("Content-Length"),
            Some(&*whole.len().to_string())
        );
        assert_eq!(seen.header("Transfer-Encoding"), None);
        assert_eq!(seen.text(), whole);
    }
}

#[test]
fn pieces_of_an_answer_pass_as_they_come() {
    let (tap, taps_end) = feed();
    let origin = Origin::serve(move |exchange| {
        exchange.stream(&[("Content-Type", "text/event-stream")], &taps_end);
    });
    let gateway = gateway(&origin);
    let connection = Connection::to(&gateway);
    let answer = connection.start(connection.request("GET", "/raw/1"), None);
    let (head, mut body) = connection.head(answer).into_parts();
    assert_eq!(head.headers["content-type"], "text/event-stream");
    for piece in ["one", "two", "three"] {
        tap.send(piece);
        assert_eq!(connection.piece(&mut body).as_deref(), Some(piece));
    }
    drop(tap);
    assert_eq!(connection.piece(&mut body), None);
}

#[test]
fn a_slow_stream_does_not_hold_up_the_others() {
    let (tap, taps_end) = feed();
    let origin = Origin::serve(move |exchange| match exchange.request.path() {
        "/raw/slow" => exchange.stream(&[], &taps_end),
        _ => {
            let path = exchange.request.path().to_owned();
            exchange.answer(200, &[], path);
        }
    });
    let gateway = gateway(&origin);
    let connection = Connection::to(&gateway);
    let slow = connection.start(connection.request("GET", "/raw/slow"), None);
    origin.wait_for(1);
    let paths: Vec<_> = (0..20).map(|n| format!("/raw/{n}")).collect();
    let started: Vec<_> = paths
        .iter()
        .map(|path| connection.start(connection.request("GET", path), None))
        .collect();
    for (path, answer) in paths.iter().zip(started) {
        assert_eq!(&connection.whole(answer).body, path);
    }
    tap.send("late");
    drop(tap);
    assert_eq!(connection.whole(slow).body, "late");
}

#[test]
fn heads_have_the_same_limits_as_in_http1() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin);
    let connection = Connection::to(&gateway);
    let many = (0..70).fold(connection.request("GET", "/raw/1"), |request, n| {
        request.header(format!("x-{n}"), "1")
    });
    let large = connection
        .request("GET", "/raw/1")
        .header("x-own", "v".repeat(17 << 10));
    let long = connection.request("GET", &format!("/raw/{}", "p".repeat(8192)));
    for (request, status, error) in [
        (many, 431, "headers_too_large"),
        (large, 431, "headers_too_large"),
        (long, 414, "uri_too_long"),
    ] {
        let answer = connection.whole(connection.start(request, None));
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (status, &json!(error)),
            "{answer:?}"
        );
    }
    assert_eq!(origin.requests().len(), 0);
    assert_eq!(connection.send("GET", "/raw/1", None).status, 200);
}

#[test]
fn bodies_have_the_same_limit_as_in_http1() {
    let origin = Origin::json("{}");
    let config = json!({
        "use_h2c": true,
        "extra_config": {"hanzo/limits": {"max_body": 1000}},
        "endpoints": [{
            "endpoint": "/raw", "method": "POST", "output_encoding": "no-op",
            "backend": [{"url_pattern": "/raw", "method": "POST", "host": [origin.url()]}],
        }],
    });
    let gateway = Gateway::native(config);
    let connection = Connection::to(&gateway);
    let piece = "x".repeat(600);
    let answer = connection.send("POST", "/raw", Some(&[&piece, &piece]));
    assert_eq!(
        (answer.status, &answer.json()["error"]),
        (413, &json!("payload_too_large"))
    );
    assert_eq!(connection.send("POST", "/raw", Some(&[&piece])).status, 200);
}

#[test]
fn a_cancelled_stream_is_no_harm_to_its_connection() {
    let origin = Origin::serve(|exchange| match exchange.request.path() {
        "/raw/hangs" => exchange.stall(),
        _ => exchange.json("{}"),
    });
    let gateway = gateway(&origin);
    let connection = Connection::to(&gateway);
    let hanging = connection.start(connection.request("GET", "/raw/hangs"), None);
    origin.wait_for(1);
    drop(hanging);
    assert_eq!(connection.send("GET", "/raw/1", None).status, 200);
}

#[test]
fn the_same_port_still_speaks_http1() {
    let origin = Origin::json("{}");
    let gateway = gateway(&origin);
    let connection = Connection::to(&gateway);
    assert_eq!(connection.send("GET", "/raw/1", None).status, 200);
    assert_eq!(gateway.get("/raw/1").status(), 200);
}

#[test]
fn without_the_switch_the_preface_is_no_request() {
    let gateway = Gateway::native(json!({"endpoints": []}));
    let mut client = gateway.client();
    let answer = client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").answer();
    assert_eq!(answer.status(), 400, "{answer:?}");
    assert!(client.is_closed());
}

#[test]
fn the_router_has_the_switch_too() {
    let gateway = Gateway::native(json!({
        "extra_config": {"router": {"use_h2c": true}}, "endpoints": [],
    }));
    assert_eq!(
        Connection::to(&gateway).send("GET", "/health", None).status,
        200
    );
}

#[test]
fn draining_ends_an_idle_connection() {
    let gateway = Gateway::native(json!({"use_h2c": true, "endpoints": []}));
    let connection = Connection::to(&gateway);
    assert_eq!(connection.send("GET", "/health", None).status, 200);
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code, Some(0));
}

/// Status and fields of an answer over HTTP/2 to a request with these fields, for other capabilities that tell something
/// of every answer.
pub(crate) fn asked(
    gateway: &Gateway,
    (method, target): (&str, &str),
    fields: &[(&str, &str)],
) -> (u16, HeaderMap) {
    let connection = Connection::to(gateway);
    let mut request = connection.request(method, target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let answer = connection.whole(connection.start(request, None));
    (answer.status, answer.headers)
}
