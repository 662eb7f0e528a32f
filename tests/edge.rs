//! The fast lane seen from outside: which requests take it, how both lanes share a connection, and what
//! must be the same on either of them. Everything else that a gateway does is proven by the other tests,
//! which `make test` plays on each lane.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{channel, sync_channel};

use serde_json::{Value, json};

use crate::support::{Exchange, Gateway, Origin, PATIENCE, eventually, feed};

/// The two settings; with `off` everything goes the platform's way.
const LANES: [&str; 2] = ["auto", "off"];

/// `GET` and `POST /x` stream, `GET /c` composes, `GET /h` streams the answer to a `HEAD`.
fn config(origin: &Origin) -> Value {
    let endpoint = |path: &str, method: &str, asked: &str, encoding: &str| {
        json!({
            "endpoint": path, "method": method, "output_encoding": encoding, "timeout": "15s",
            "input_headers": ["*"], "input_query_strings": ["*"],
            "backend": [{"url_pattern": "/up", "method": asked, "host": [origin.url()]}]
        })
    };
    json!({
        "extra_config": {"hanzo/limits": {"max_headers": 100}},
        "endpoints": [
            endpoint("/x", "GET", "GET", "no-op"), endpoint("/x", "POST", "POST", "no-op"),
            endpoint("/c", "GET", "GET", "json"), endpoint("/h", "GET", "HEAD", "no-op")
        ]
    })
}

fn gateway(origin: &Origin, lane: &str) -> Gateway {
    Gateway::setup().lane(Some(lane)).native(config(origin))
}

/// Answers with what the request calls itself.
fn echo() -> Origin {
    Origin::serve(|exchange| {
        let tag = exchange.request.header("x-tag").unwrap_or("none");
        let text = format!("\"{tag}\"");
        exchange.json(&text);
    })
}

/// How many requests each lane has served: the fast one, the platform's.
fn served(gateway: &Gateway) -> (u64, u64) {
    let metrics = gateway.metrics();
    let count = |lane: &str| {
        let series = format!("hanzo_gateway_lane_requests_total{{lane=\"{lane}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
        line.and_then(|value| value.parse().ok()).unwrap_or(0)
    };
    (count("fast"), count("pingora"))
}

/// Waits until all are counted, which is after their answers have left, and tells where.
fn all_served(gateway: &Gateway, all: u64) -> (u64, u64) {
    eventually("the lane counters", || {
        Some(served(gateway)).filter(|(fast, platform)| fast + platform >= all)
    })
}

/// Sends one request on a connection of its own and tells which lane has served it.
fn lane_of(gateway: &Gateway, bytes: &str) -> &'static str {
    let (fast, platform) = served(gateway);
    let mut client = gateway.client();
    client.send(bytes).answer();
    let now = all_served(gateway, fast + platform + 1);
    match (now.0 - fast, now.1 - platform) {
        (1, 0) => "fast",
        (0, 1) => "pingora",
        other => panic!("{bytes:?} was counted as {other:?}"),
    }
}

#[test]
fn a_request_is_served_on_the_lane_that_explain_promises() {
    let origin = echo();
    let gateway = gateway(&origin, "auto");
    let many = |count: usize| -> Vec<String> {
        // `Host` is one of them.
        (1..count).map(|n| format!("X-N{n}: {n}")).collect()
    };
    let one = |line: &str| vec![line.to_owned()];
    for (fields, fast) in [
        (vec![], true),
        (one("Connection: keep-alive"), true),
        (one("Connection: Close"), true),
        (many(64), true),
        (many(65), false),
        (one("Connection: x"), false),
        (one("Upgrade: anything"), false),
        (one("Expect: 100-continue"), false),
        (one("TE: trailers"), false),
    ] {
        let mut words = vec!["explain", "/x", "--json"];
        for field in &fields {
            words.extend(["-H", field]);
        }
        let output = Gateway::setup().command(&words, config(&origin));
        let told: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(told["lane"]["fast"], json!(fast), "{fields:?}: {told}");
        let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let lane = lane_of(
            &gateway,
            &format!("GET /x HTTP/1.1\r\nHost: gw\r\n{lines}\r\n"),
        );
        assert_eq!(lane == "fast", fast, "{fields:?}");
    }
}

#[test]
fn requests_in_other_forms_are_the_platforms() {
    let origin = echo();
    let gateway = gateway(&origin, "auto");
    for request in [
        "GET /x HTTP/1.0\r\nHost: gw\r\n\r\n",
        "GET http://gw/x HTTP/1.1\r\nHost: gw\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: gw\r\n\r\n",
    ] {
        assert_eq!(lane_of(&gateway, request), "pingora", "{request:?}");
    }
}

#[test]
fn whatever_is_not_streamed_is_fast_too() {
    let origin = echo();
    let gateway = gateway(&origin, "auto");
    for (line, body) in [
        ("GET /c", ""),
        ("HEAD /x", ""),
        ("GET /nowhere", ""),
        ("DELETE /x", ""),
        ("GET /x/", ""),
        ("GET /health", ""),
        ("POST /x", "Content-Length: 2\r\n\r\nab"),
        (
            "POST /x",
            "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        ),
    ] {
        let rest = if body.is_empty() { "\r\n" } else { body };
        let request = format!("{line} HTTP/1.1\r\nHost: gw\r\n{rest}");
        assert_eq!(lane_of(&gateway, &request), "fast", "{request:?}");
    }
}

#[test]
fn without_the_lane_everything_is_the_platforms() {
    let origin = echo();
    let request = "GET /x HTTP/1.1\r\nHost: gw\r\n\r\n";
    assert_eq!(lane_of(&gateway(&origin, "off"), request), "pingora");
    let krakend = Gateway::setup().lane(Some("auto")).krakend(config(&origin));
    assert_eq!(lane_of(&krakend, request), "pingora");
}

#[test]
fn a_reload_changes_the_lane_of_open_connections() {
    let origin = echo();
    let gateway = Gateway::setup().lane(None).native(config(&origin));
    let mut client = gateway.client();
    assert_eq!(client.get("/x").status(), 200);
    assert_eq!(all_served(&gateway, 1), (1, 0));
    let mut off = config(&origin);
    off["version"] = json!(3);
    off["port"] = json!(gateway.port());
    off["extra_config"]["hanzo/edge"] = json!({"lane": "off"});
    fs::write(gateway.folder().join("gateway.json"), off.to_string()).unwrap();
    gateway.signal("HUP");
    let mut sent = 1;
    eventually("a request on the platform's way", || {
        assert_eq!(client.get("/x").status(), 200);
        sent += 1;
        (all_served(&gateway, sent).1 > 0).then_some(())
    });
}

#[test]
fn one_connection_changes_lanes_as_often_as_it_likes() {
    let origin = echo();
    let gateway = gateway(&origin, "auto");
    let mut client = gateway.client();
    for round in 0..6 {
        let tag = round.to_string();
        let mut fields = vec![("X-Tag", tag.as_str())];
        if round % 2 == 1 {
            fields.push(("TE", "trailers"));
        }
        let (method, body) = if round % 3 == 0 {
            ("POST", "a body")
        } else {
            ("GET", "")
        };
        let answer = client.request(method, "/x", &fields, body).answer();
        assert_eq!(answer.text(), format!("\"{tag}\""));
    }
    assert_eq!(all_served(&gateway, 6), (3, 3));
    for request in origin.requests() {
        let sent = if request.method() == "POST" {
            "a body"
        } else {
            ""
        };
        assert_eq!(request.text(), sent);
    }
}

#[test]
fn pipelined_requests_of_both_lanes_are_answered_in_order() {
    let origin = echo();
    let gateway = gateway(&origin, "auto");
    let fast = |tag: &str| format!("GET /x HTTP/1.1\r\nHost: gw\r\nX-Tag: {tag}\r\n\r\n");
    let slow =
        |tag: &str| format!("GET /x HTTP/1.1\r\nHost: gw\r\nTE: gzip\r\nX-Tag: {tag}\r\n\r\n");
    let post = |more: &str, tag: &str| {
        format!(
            "POST /x HTTP/1.1\r\nHost: gw\r\n{more}X-Tag: {tag}\r\nContent-Length: 5\r\n\r\nfirst"
        )
    };
    let chunked = |more: &str, tag: &str| {
        format!(
            "POST /x HTTP/1.1\r\nHost: gw\r\n{more}X-Tag: {tag}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n"
        )
    };
    for all in [
        [fast("a"), slow("b"), fast("c")],
        [slow("a"), fast("b"), slow("c")],
        [post("", "a"), post("TE: gzip\r\n", "b"), fast("c")],
        [post("TE: gzip\r\n", "a"), post("", "b"), slow("c")],
        [chunked("", "a"), chunked("TE: gzip\r\n", "b"), fast("c")],
        [chunked("TE: gzip\r\n", "a"), post("", "b"), slow("c")],
    ] {
        let mut client = gateway.client();
        client.send(all.concat());
        for tag in ["\"a\"", "\"b\"", "\"c\""] {
            assert_eq!(client.answer().text(), tag, "{all:?}");
        }
        assert_eq!(client.get("/x").status(), 200, "the connection stays");
    }
    assert_eq!(all_served(&gateway, 24), (15, 9));
}

/// The platform says that it closes when more has come than it wants to keep; the fast lane keeps its client.
#[test]
fn requests_that_come_while_one_is_answered_wait_their_turn_however_many() {
    const MANY: usize = 3000;
    let (tap, taps_end) = feed();
    let origin = Origin::serve(move |exchange| exchange.stream(&[], &taps_end));
    let gateway = gateway(&origin, "auto");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, gateway.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        // More than the gateway takes in before it has answered.
        let rest = "GET /nowhere HTTP/1.1\r\nHost: gw\r\n\r\n".repeat(MANY);
        writer.write_all(format!("GET /x HTTP/1.1\r\nHost: gw\r\n\r\n{rest}").as_bytes())
    });
    origin.wait_for(1);
    drop(tap);
    let (mut heard, mut piece) = (Vec::new(), [0; 16 << 10]);
    let count = |heard: &[u8]| heard.windows(12).filter(|w| *w == b"HTTP/1.1 404").count();
    while heard.len() < 200 * MANY || count(&heard) < MANY {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "closed after {} answers", count(&heard));
        heard.extend_from_slice(&piece[..read]);
    }
    assert!(heard.starts_with(b"HTTP/1.1 200"));
    writer.join().unwrap().unwrap();
}

#[test]
fn an_early_refusal_reaches_a_client_that_goes_on_uploading() {
    for lane in LANES {
        let origin = Origin::serve_heads(|exchange| {
            exchange.raw("HTTP/1.1 413 Too Large\r\nContent-Length: 7\r\n\r\ntoo big");
        });
        let gateway = gateway(&origin, lane);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, gateway.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            let length = 5 << 20;
            let head = format!("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: {length}\r\n\r\n");
            let _ = writer.write_all(head.as_bytes());
            let _ = writer.write_all(&vec![b'a'; length]);
        });
        let (mut heard, mut piece) = (Vec::new(), [0; 4096]);
        while !heard.ends_with(b"too big") {
            let read = stream.read(&mut piece).unwrap_or_else(|error| {
                panic!("{lane}: {error} after {}", heard.escape_ascii());
            });
            assert!(read > 0, "{lane}: cut off after {}", heard.escape_ascii());
            heard.extend_from_slice(&piece[..read]);
        }
        assert!(heard.starts_with(b"HTTP/1.1 413 "), "{lane}");
        let _ = stream.shutdown(Shutdown::Both);
        writer.join().unwrap();
    }
}

#[test]
fn an_answer_that_begins_while_draining_says_that_it_is_the_last() {
    for lane in LANES {
        for path in ["/x", "/c"] {
            let (go, wait) = sync_channel::<()>(0);
            let wait = Mutex::new(wait);
            let origin = Origin::serve(move |exchange| {
                let _ = wait.lock().unwrap().recv();
                exchange.json("{\"whole\":true}");
            });
            let gateway = gateway(&origin, lane);
            let mut client = gateway.client();
            client.request("GET", path, &[], "");
            origin.wait_for(1);
            gateway.signal("TERM");
            gateway.log_line("SIGTERM");
            drop(go);
            let answer = client.answer();
            assert_eq!(answer.json(), json!({"whole": true}), "{lane} {path}");
            let said = answer.header("connection").unwrap_or_default();
            assert_eq!(said.to_ascii_lowercase(), "close", "{lane} {path}");
            assert!(client.is_closed());
            assert_eq!(gateway.ended().code, Some(0));
        }
    }
}

#[test]
fn a_connection_that_was_accepted_is_served_although_the_end_has_begun() {
    for lane in LANES {
        let origin = echo();
        let gateway = gateway(&origin, lane);
        let mut client = gateway.client();
        eventually("the open connection", || {
            let text = gateway.metrics();
            let open = |line: &str| {
                line.starts_with("hanzo_gateway_active_connections ") && !line.ends_with(" 0")
            };
            text.lines().any(open).then_some(())
        });
        gateway.signal("TERM");
        let answer = client.request("GET", "/x", &[], "").answer();
        assert_eq!(answer.status(), 200, "{lane}");
        assert!(client.is_closed(), "{lane}");
        assert_eq!(gateway.ended().code, Some(0));
    }
}

#[test]
fn an_answer_that_ends_with_its_connection_does_not_end_the_clients() {
    for lane in LANES {
        let origin = Origin::serve(|exchange| {
            exchange.raw("HTTP/1.1 200 OK\r\n\r\nall of it");
            exchange.close();
        });
        let gateway = gateway(&origin, lane);
        let mut client = gateway.client();
        for _ in 0..3 {
            let answer = client.get("/x");
            assert_eq!(answer.text(), "all of it", "{lane}");
            assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
        }
    }
}

#[test]
fn an_empty_answer_that_ends_with_its_connection_is_whole() {
    for lane in LANES {
        let origin = Origin::serve(|exchange| {
            exchange.raw("HTTP/1.1 200 OK\r\n\r\n");
            exchange.close();
        });
        let gateway = gateway(&origin, lane);
        let mut client = gateway.client();
        for _ in 0..2 {
            let answer = client.get("/x");
            assert_eq!(
                (answer.status(), answer.text().as_str()),
                (200, ""),
                "{lane}"
            );
        }
    }
}

#[test]
fn an_answer_in_single_bytes_is_the_same_answer() {
    for lane in LANES {
        let origin = Origin::serve(|exchange| {
            let text = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n4;a=b\r\nwhol\r\n1\r\ne\r\n0\r\n\r\n";
            for byte in text.bytes() {
                exchange.raw([byte]);
            }
        });
        let gateway = gateway(&origin, lane);
        let mut client = gateway.client();
        for _ in 0..2 {
            let answer = client.get("/x");
            assert_eq!(
                (answer.status(), answer.text().as_str()),
                (200, "whole"),
                "{lane}"
            );
            assert_eq!(answer.header("x-a"), Some("1"));
        }
    }
}

#[test]
fn extensions_of_chunks_pass_and_trailers_of_a_request_do_not() {
    for lane in LANES {
        let origin = Origin::serve(|exchange| exchange.json("{}"));
        let gateway = gateway(&origin, lane);
        let mut client = gateway.client();
        // In one piece with the head, and in single bytes behind it.
        let head = "POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n";
        let body = "3;a=\"b;c\";d\r\nabc\r\n0\r\nX-User-ID: root\r\nX-Sum: 1\r\n\r\n";
        assert_eq!(client.send(format!("{head}{body}")).answer().status(), 200);
        // The platform ends its connections behind such a body.
        let mut client = gateway.client();
        client.send(head);
        for byte in body.bytes() {
            client.send([byte]);
        }
        assert_eq!(client.answer().status(), 200);
        for request in origin.wait_for(2) {
            let raw = String::from_utf8_lossy(&request.raw).to_ascii_lowercase();
            assert_eq!(request.text(), "abc", "{lane}");
            assert!(
                !raw.contains("x-user-id") && !raw.contains("x-sum"),
                "{lane}: {raw}"
            );
            assert!(raw.ends_with("\r\n0\r\n\r\n"), "{lane}: {raw}");
        }
    }
}

#[test]
fn trailers_of_an_answer_do_not_disturb_the_next_one() {
    for lane in LANES {
        let origin = Origin::serve(|exchange| {
            exchange.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n");
        });
        let gateway = gateway(&origin, lane);
        let mut client = gateway.client();
        for _ in 0..3 {
            let answer = client.get("/x");
            assert_eq!(
                (answer.status(), answer.text().as_str()),
                (200, "ok"),
                "{lane}"
            );
            assert_eq!(answer.header("trailer"), None, "{lane}");
        }
    }
}

#[test]
fn an_answer_to_head_is_empty_for_whoever_asked_with_get() {
    for lane in LANES {
        let origin = Origin::serve(|exchange| {
            let length = exchange.request.header("x-length").map(str::to_owned);
            let length = length.map_or(String::new(), |l| format!("Content-Length: {l}\r\n"));
            exchange.raw(format!("HTTP/1.1 200 OK\r\nX-A: 1\r\n{length}\r\n"));
        });
        let gateway = gateway(&origin, lane);
        let mut client = gateway.client();
        for fields in [&[("X-Length", "7")][..], &[], &[("X-Length", "7")]] {
            let answer = client.request("GET", "/h", fields, "").answer();
            assert_eq!(
                (answer.status(), answer.text().as_str()),
                (200, ""),
                "{lane}"
            );
            assert_eq!(answer.header("x-a"), Some("1"));
        }
        assert_eq!(origin.requests()[0].method(), "HEAD");
    }
}

#[test]
fn a_second_request_of_a_client_that_leaves_is_not_sent() {
    for lane in LANES {
        let (heard, hears) = channel();
        let heard = Mutex::new(heard);
        let origin = Origin::serve(move |exchange: &mut Exchange| {
            let tag = exchange.request.header("x-tag").unwrap_or_default();
            heard.lock().unwrap().send(tag.to_owned()).unwrap();
            exchange.stall();
        });
        let gateway = gateway(&origin, lane);
        let mut client = gateway.client();
        let one = |tag: &str| {
            format!("POST /x HTTP/1.1\r\nHost: gw\r\nX-Tag: {tag}\r\nContent-Length: 0\r\n\r\n")
        };
        client.send(one("first") + &one("second"));
        assert_eq!(hears.recv_timeout(PATIENCE).unwrap(), "first", "{lane}");
        drop(client);
        let mut other = gateway.client();
        other.send(one("other"));
        assert_eq!(hears.recv_timeout(PATIENCE).unwrap(), "other", "{lane}");
    }
}

#[test]
fn an_upgrade_that_connection_does_not_name_is_none() {
    for lane in LANES {
        let origin = echo();
        let gateway = gateway(&origin, lane);
        let mut client = gateway.client();
        let one = |more: &str, tag: &str| {
            format!("GET /x HTTP/1.1\r\nHost: gw\r\n{more}X-Tag: {tag}\r\n\r\n")
        };
        for more in [
            "Upgrade: websocket\r\n",
            "Upgrade: h2c\r\nConnection: keep-alive\r\n",
        ] {
            client.send(one(more, "a") + &one("", "b"));
            for tag in ["\"a\"", "\"b\""] {
                let answer = client.answer();
                assert_eq!(
                    (answer.status(), answer.text().as_str()),
                    (200, tag),
                    "{lane}"
                );
            }
        }
        for request in origin.requests() {
            assert_eq!(request.header("upgrade"), None, "{lane}");
            assert_eq!(request.header("connection"), None, "{lane}");
        }
    }
}

#[test]
fn what_stands_behind_an_upgrade_waits_for_its_answer() {
    for lane in LANES {
        let origin = echo();
        let gateway = gateway(&origin, lane);
        let one = |more: &str, tag: &str| {
            format!("GET /x HTTP/1.1\r\nHost: gw\r\n{more}X-Tag: {tag}\r\n\r\n")
        };
        for split in 0..20 {
            let mut client = gateway.client();
            // The backend speaks HTTP alone: to it, what follows would be bytes of no request.
            client.send(one("Upgrade: chat\r\nConnection: upgrade\r\n", "a"));
            if split % 2 == 0 {
                std::thread::yield_now();
            }
            client.send(one("", "b"));
            for tag in ["\"a\"", "\"b\""] {
                let answer = client.answer();
                assert_eq!(
                    (answer.status(), answer.text().as_str()),
                    (200, tag),
                    "{lane}"
                );
            }
        }
    }
}

#[test]
fn an_upgrade_with_a_body_is_an_ordinary_request() {
    for lane in LANES {
        let origin = echo();
        let gateway = gateway(&origin, lane);
        let mut client = gateway.client();
        for framing in [
            "Content-Length: 3\r\n\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ] {
            client.send(format!(
                "POST /x HTTP/1.1\r\nHost: gw\r\nX-Tag: a\r\nConnection: upgrade\r\nUpgrade: chat\r\n{framing}"
            ));
            assert_eq!(client.answer().status(), 200, "{lane}");
        }
        for request in origin.requests() {
            assert_eq!(request.header("upgrade"), None, "{lane}");
            assert_eq!(request.text(), "abc", "{lane}");
        }
    }
}
