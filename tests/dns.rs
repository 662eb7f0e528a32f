//! A backend's name that leads somewhere else: requests follow, and nothing that is under way is dropped.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, Gateway, Origin, eventually, feed};

/// The name of the backend.
const NAME: &str = "up.service.example";
/// Where it is first, and later. Both are loopback.
const OLD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const NEW: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// No address: the server says that it has failed.
const NONE: u32 = 0;

/// A name server that answers every question for IPv4 with one address, good for a second.
struct Names {
    address: Arc<AtomicU32>,
    asked: Arc<AtomicUsize>,
    at: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Names {
    fn start(first: Ipv4Addr) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let at = socket.local_addr().unwrap();
        let address = Arc::new(AtomicU32::new(first.to_bits()));
        let (asked, ended) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (own, count, end) = (Arc::clone(&address), Arc::clone(&asked), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            let mut question = [0; 512];
            while !end.load(Ordering::Acquire) {
                let Ok((length, from)) = socket.recv_from(&mut question) else {
                    continue;
                };
                AtomicUsize::fetch_add(&count, 1, Ordering::AcqRel);
                if let Some(answer) = answer(&question[..length], own.load(Ordering::Acquire)) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self {
            address,
            asked,
            at,
            ended,
            thread: Some(thread),
        }
    }

    fn leads_to(&self, address: u32) {
        self.address.store(address, Ordering::Release);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Acquire)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The answer to a question (RFC 1035 section 4): one record for type A, none for others, or a failure.
fn answer(question: &[u8], address: u32) -> Option<Vec<u8>> {
    let mut end = 12;
    while *question.get(end)? != 0 {
        end += usize::from(question[end]) + 1;
    }
    let section = question.get(12..end + 5)?;
    let of_ipv4 = section[section.len() - 4..section.len() - 2] == [0, 1];
    let records = u8::from(of_ipv4 && address != NONE);
    let failure = if address == NONE { 2 } else { 0 };
    let mut out = question[..2].to_vec();
    out.extend([0x84, failure, 0, 1, 0, records, 0, 0, 0, 0]);
    out.extend(section);
    if records == 1 {
        // The name of the question, A, IN, one second, four bytes.
        out.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        out.extend(address.to_be_bytes());
    }
    Some(out)
}

fn config(port: u16) -> Value {
    let endpoint = |path: &str, encoding: &str| {
        json!({"endpoint": path, "output_encoding": encoding, "timeout": "10s",
            "backend": [{"url_pattern": path, "host": [format!("http://{NAME}:{port}")]}]})
    };
    json!({"endpoints": [
        endpoint("/stream", "no-op"), endpoint("/passed", "no-op"), endpoint("/made", "json")
    ]})
}

fn gateway(names: &Names, port: u16) -> Gateway {
    Gateway::setup()
        .argument("--name-servers")
        .argument(&names.at.to_string())
        .native(config(port))
}

/// Which of the two answered.
fn who(client: &mut Client, path: &str) -> String {
    let answer = client.get(path);
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer.json()["who"].as_str().unwrap().to_owned()
}

#[test]
fn a_name_that_leads_elsewhere_is_followed_and_nothing_under_way_is_dropped() {
    let (tap, rest) = feed();
    let rest = Mutex::new(Some(rest));
    let old = Origin::at(SocketAddr::from((OLD, 0)), move |exchange| {
        match exchange.request.path() {
            "/stream" => exchange.stream(&[], &rest.lock().unwrap().take().unwrap()),
            _ => exchange.json(r#"{"who":"old"}"#),
        }
    });
    let new = Origin::at(SocketAddr::from((NEW, old.port())), |exchange| {
        exchange.json(r#"{"who":"new"}"#);
    });
    let names = Names::start(OLD);
    let gateway = gateway(&names, old.port());
    // One connection of a client for all of it, which must live through the change too.
    let mut client = gateway.client();
    for path in ["/passed", "/made"] {
        assert_eq!(who(&mut client, path), "old");
    }
    let mut stream = gateway.client();
    stream.send("GET /stream HTTP/1.1\r\nHost: gw\r\n\r\n");
    tap.send("first ");
    assert_eq!(stream.head().word(1), "200");
    assert_eq!(stream.piece().unwrap().1, b"first ");

    names.leads_to(NEW.to_bits());
    for path in ["/passed", "/made"] {
        // Requests go on all the while; each is answered, by one or the other.
        eventually("the new address", || {
            (who(&mut client, path) == "new").then_some(())
        });
    }
    let before = old.requests().len();
    for _ in 0..50 {
        for path in ["/passed", "/made"] {
            assert_eq!(who(&mut client, path), "new");
        }
    }
    // Nobody went back, and what had begun at the old address goes on there and ends whole.
    assert_eq!(old.requests().len(), before);
    tap.send("second ");
    assert_eq!(stream.piece().unwrap().1, b"second ");
    tap.send("last");
    assert_eq!(stream.piece().unwrap().1, b"last");
    drop(tap);
    assert!(stream.piece().is_none(), "the stream ended as a whole");
    assert!(new.requests().len() >= 100);
    // The connection of the stream may serve again: it was not cut.
    assert_eq!(who(&mut stream, "/passed"), "new");
}

#[test]
fn a_name_server_that_fails_leaves_the_address_that_is_known() {
    let origin = Origin::at(SocketAddr::from((OLD, 0)), |exchange| {
        exchange.json(r#"{"who":"old"}"#);
    });
    let names = Names::start(OLD);
    let gateway = gateway(&names, origin.port());
    let mut client = gateway.client();
    assert_eq!(who(&mut client, "/passed"), "old");
    names.leads_to(NONE);
    let before = names.asked();
    // Asked again and again without an answer that helps, and no request fails for it.
    eventually("more questions", || {
        assert_eq!(who(&mut client, "/passed"), "old");
        (names.asked() > before + 2).then_some(())
    });
    for _ in 0..20 {
        assert_eq!(who(&mut client, "/made"), "old");
    }
}
