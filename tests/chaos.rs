//! Backends that break every rule, under many clients at once: each client gets the answer to its own request,
//! an error that fits, or a cut connection, and never a byte of another's answer; who behaves well on the same
//! gateway, even on the same backend, is served as ever.
//!
//! All bytes of an answer carry the mark of the request, so that a stray one is known wherever it turns up.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};

use serde_json::{Value, json};

use crate::support::{Exchange, Gateway, Origin, PATIENCE};
use crate::wire::strict;

/// Clients at once, and how many requests each of them makes.
const CLIENTS: usize = 16;
const REQUESTS: usize = 60;
/// Marks in a body.
const LENGTH: usize = 100;

/// A way to misbehave, and what a client may be told then.
struct Way {
    name: &'static str,
    statuses: &'static [u16],
    /// Whether the answer comes to its end; else it is cut, or the client leaves.
    whole: bool,
    act: fn(&mut Exchange, &str),
}

const fn way(
    name: &'static str,
    statuses: &'static [u16],
    whole: bool,
    act: fn(&mut Exchange, &str),
) -> Way {
    Way {
        name,
        statuses,
        whole,
        act,
    }
}

const WAYS: &[Way] = &[
    way("ok", &[200], true, |exchange, body| {
        drain(exchange);
        exchange.answer(200, &[], body);
    }),
    way("nothing", &[502], true, |exchange, _| exchange.close()),
    way("half-a-head", &[502], true, |exchange, _| {
        drain(exchange);
        exchange.raw("HTTP/1.1 200 OK\r\nContent-Le");
        exchange.close();
    }),
    way("short", &[200], false, |exchange, body| {
        drain(exchange);
        exchange.raw(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len() + 7
        ));
        exchange.close();
    }),
    way("open-chunk", &[200], false, |exchange, body| {
        drain(exchange);
        exchange.raw(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n5\r\n",
            body.len()
        ));
        exchange.close();
    }),
    way("broken-chunk", &[200, 502], false, |exchange, body| {
        drain(exchange);
        exchange.raw(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\nxyz\r\n",
            body.len()
        ));
    }),
    way("early", &[200, 502], true, |exchange, body| {
        exchange.answer(200, &[], body)
    }),
    way("early-and-gone", &[200, 502], true, |exchange, body| {
        exchange.answer(200, &[("Connection", "close")], body);
        exchange.close();
    }),
    way("too-large", &[413, 502], true, |exchange, body| {
        exchange.answer(413, &[], body)
    }),
    way("too-large-and-gone", &[413, 502], true, |exchange, body| {
        exchange.answer(413, &[("Connection", "close")], body);
        exchange.close();
    }),
    way("trickle", &[200], true, |exchange, body| {
        drain(exchange);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        answer.bytes().for_each(|byte| exchange.raw([byte]));
    }),
    way("stuck-head", &[504], true, |exchange, _| exchange.stall()),
    way("stuck-body", &[200], false, |exchange, body| {
        drain(exchange);
        exchange.raw(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len() + 7
        ));
        exchange.stall();
    }),
    way("garbage-behind", &[200], true, |exchange, body| {
        drain(exchange);
        exchange.raw(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}m999x999;",
            body.len()
        ));
    }),
    way("two-answers", &[200], true, |exchange, body| {
        drain(exchange);
        let answer = |body: &str| {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        exchange.raw(answer(body) + &answer("m999x999;"));
    }),
    way("garbage-behind-chunks", &[200], true, |exchange, body| {
        drain(exchange);
        exchange.raw(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\nm999x999;",
            body.len()
        ));
    }),
    way("until-close", &[200], true, |exchange, body| {
        drain(exchange);
        exchange.raw(format!("HTTP/1.1 200 OK\r\n\r\n{body}"));
        exchange.close();
    }),
    way("interim", &[200], true, |exchange, body| {
        drain(exchange);
        exchange.raw("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(3));
        exchange.answer(200, &[], body);
    }),
    way("flood", &[200, 502], true, |exchange, body| {
        drain(exchange);
        exchange.raw("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(2_000));
        exchange.answer(200, &[], body);
    }),
    way("two-lengths", &[502], true, |exchange, body| {
        drain(exchange);
        exchange.raw(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\n{body}"
        ));
        exchange.close();
    }),
    way("length-and-chunks", &[502], true, |exchange, body| {
        drain(exchange);
        exchange.raw(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ));
        exchange.close();
    }),
    way("no-http", &[502], true, |exchange, _| {
        drain(exchange);
        exchange.raw("SSH-2.0-x\r\n");
    }),
];

/// Reads the request to its end, as most backends do before they answer.
fn drain(exchange: &mut Exchange) {
    while exchange.piece().is_some() {}
}

/// A backend that behaves as the path says: `/{way}/{mark}`.
fn origin() -> Origin {
    Origin::serve_heads(|exchange| {
        let target = exchange.request.target().to_owned();
        let mut words = target.trim_start_matches('/').splitn(2, '/');
        let (name, mark) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let way = WAYS
            .iter()
            .find(|way| way.name == name)
            .expect("a way that is known");
        (way.act)(exchange, &body(mark));
    })
}

fn body(mark: &str) -> String {
    format!("{mark};").repeat(LENGTH)
}

/// `/x/{way}/{mark}` streams, with little patience for one of the ways; `/good/…` is the same on a backend
/// of its own.
fn config(chaos: &Origin, good: &Origin) -> Value {
    let mut endpoints = Vec::new();
    for (path, timeout, origin) in [
        ("/x", "15s", chaos),
        ("/t", "400ms", chaos),
        ("/good", "15s", good),
    ] {
        for method in ["GET", "POST"] {
            endpoints.push(json!({
                "endpoint": format!("{path}/{{way}}/{{mark}}"), "method": method, "output_encoding": "no-op",
                "timeout": timeout,
                "backend": [{"url_pattern": "/{way}/{mark}", "method": method, "host": [origin.url()]}]
            }));
        }
    }
    json!({ "endpoints": endpoints })
}

/// A client that stays on its connection for as long as the gateway lets it.
struct Caller {
    port: u16,
    stream: Option<TcpStream>,
}

/// What one request brought.
#[derive(Debug)]
struct Outcome {
    bytes: Vec<u8>,
    answer: Option<strict::Answer>,
}

impl Caller {
    fn call(&mut self, method: &str, target: &str, body: &str, leaves: bool) -> Outcome {
        let mut stream = self.stream.take().unwrap_or_else(|| {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            stream
        });
        let length = if method == "POST" {
            format!("Content-Length: {}\r\n", body.len())
        } else {
            String::new()
        };
        let request = format!("{method} {target} HTTP/1.1\r\nHost: gw.test\r\n{length}\r\n");
        // An early answer may end the connection while the body is under way.
        let _ = stream.write_all(request.as_bytes());
        if method == "POST" {
            let _ = stream.write_all(body.as_bytes());
        }
        let (bytes, answer) = listen(&mut stream, leaves);
        let stays = answer.as_ref().is_some_and(|answer| {
            !strict::all(&answer.fields, "connection")
                .any(|value| value.eq_ignore_ascii_case(b"close"))
        });
        if stays {
            self.stream = Some(stream);
        } else {
            let _ = stream.shutdown(Shutdown::Both);
        }
        Outcome { bytes, answer }
    }
}

/// All that comes until an answer is whole or the connection ends; one that `leaves` goes when the whole
/// text that it knows of is there.
fn listen(stream: &mut TcpStream, leaves: bool) -> (Vec<u8>, Option<strict::Answer>) {
    let (mut all, mut held, mut piece) = (Vec::new(), Vec::new(), [0; 4096]);
    loop {
        let read = match stream.read(&mut piece) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("{error} after {}", all.escape_ascii()),
        };
        all.extend_from_slice(&piece[..read]);
        held.extend_from_slice(&piece[..read]);
        while let Some((answer, used)) = strict::answer(&held, false, read == 0).expect("HTTP") {
            held.drain(..used);
            if answer.status >= 200 {
                assert!(
                    held.is_empty(),
                    "bytes behind an answer: {}",
                    held.escape_ascii()
                );
                return (all, Some(answer));
            }
        }
        if read == 0 || (leaves && all.iter().filter(|byte| **byte == b';').count() >= LENGTH) {
            return (all, None);
        }
    }
}

/// No mark but its own.
fn only_own(bytes: &[u8], mark: &str) {
    let text = String::from_utf8_lossy(bytes);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    for word in body
        .split(';')
        .filter(|word| word.starts_with('m') && word.contains('x'))
    {
        let whole = word.trim_start_matches(|c: char| c != 'm');
        assert!(
            mark.starts_with(whole) || whole.starts_with(&format!("{mark}\r")),
            "{mark} got bytes of {whole}: {text}"
        );
    }
}

fn check(way: &Way, method: &str, mark: &str, outcome: &Outcome) {
    only_own(&outcome.bytes, mark);
    let told = || {
        format!(
            "{} {method} {mark}: {}",
            way.name,
            outcome.bytes.escape_ascii()
        )
    };
    let Some(answer) = &outcome.answer else {
        let status = strict::status(&outcome.bytes);
        let uploads = method == "POST"
            && way.name.contains("early")
                | way.name.contains("large")
                | way.name.contains("nothing");
        let fits = status.is_some_and(|status| way.statuses.contains(&status) && !way.whole);
        assert!(fits || uploads, "cut: {}", told());
        return;
    };
    assert!(way.statuses.contains(&answer.status), "{}", told());
    if answer.status == 200 || answer.status == 413 {
        assert!(way.whole, "no end was sent: {}", told());
        assert_eq!(
            String::from_utf8_lossy(&answer.body),
            body(mark),
            "{}",
            told()
        );
    }
}

/// One client's life: each way in its own order, and a well-behaved request between any two.
fn client(port: u16, number: usize) {
    let mut random = fastrand::Rng::with_seed(number as u64);
    let mut caller = Caller { port, stream: None };
    let ok = &WAYS[0];
    for request in 0..REQUESTS {
        let way = &WAYS[random.usize(..WAYS.len())];
        let method = if random.bool() { "GET" } else { "POST" };
        let upload = "u".repeat([10, 5_000, 300_000][random.usize(..3)]);
        let mark = format!("m{number}x{request}");
        let path = if way.name == "stuck-head" { "/t" } else { "/x" };
        let outcome = caller.call(
            method,
            &format!("{path}/{}/{mark}", way.name),
            &upload,
            way.name == "stuck-body",
        );
        check(way, method, &mark, &outcome);
        for path in ["/x", "/good"] {
            let mark = format!("m{number}x{request}{}", path.len());
            let outcome = caller.call(method, &format!("{path}/ok/{mark}"), &upload, false);
            check(ok, method, &mark, &outcome);
            assert!(outcome.answer.is_some(), "{mark} got nothing");
        }
    }
}

#[test]
fn nobody_gets_the_answer_of_another_whatever_backends_do() {
    let (chaos, good) = (origin(), origin());
    let gateway = Gateway::native(config(&chaos, &good));
    let port = gateway.port();
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || client(port, number));
        }
    });
    let mut last = Caller { port, stream: None };
    let outcome = last.call("GET", "/x/ok/m0x0", "", false);
    check(&WAYS[0], "GET", "m0x0", &outcome);
}
