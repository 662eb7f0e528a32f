//! Tokens that stop before they expire: every door by which a revocation comes, and what survives a change of the file.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Gateway, Origin, PATIENCE, eventually, ports};

fn config(origin: &Origin, revoker: Value) -> Value {
    json!({
        "version": 3,
        "extra_config": {"auth/revoker": revoker},
        "endpoints": [
            {"endpoint": "/x", "backend": [{"url_pattern": "/", "host": [origin.url()]}]},
            {"endpoint": "/stream", "output_encoding": "no-op", "backend": [{"url_pattern": "/", "host": [origin.url()]}]},
        ],
    })
}

/// Settings with some more; requests show their token's number in a field.
fn revoker(more: Value) -> Value {
    let mut all = json!({"N": 1000, "P": 0.0001, "hash_name": "optimal", "TTL": 3600, "token_keys": ["jti"], "headers": ["X-Jti"]});
    all.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    all
}

fn ask(gateway: &Gateway, path: &str, number: &str) -> u16 {
    let fields = [("X-Jti", number)];
    let answer = gateway.client().request("GET", path, &fields, "").answer();
    if answer.status() == 401 {
        answer.assert_error(401, "unauthorized");
        assert!(!answer.text().contains("revoked"), "{answer:?}");
    }
    answer.status()
}

/// What composed and streamed answers have in common.
fn status(gateway: &Gateway, number: &str) -> u16 {
    let (composed, streamed) = (ask(gateway, "/x", number), ask(gateway, "/stream", number));
    assert_eq!(composed, streamed);
    composed
}

/// Waits until a number is refused and tells how long that took.
fn refused(gateway: &Gateway, number: &str) -> Duration {
    let begun = Instant::now();
    eventually("the refusal", || {
        (ask(gateway, "/x", number) == 401).then_some(())
    });
    let took = begun.elapsed();
    assert_eq!(status(gateway, number), 401);
    took
}

fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_line_of_the_file_revokes_from_the_start_and_when_it_is_added() {
    let origin = Origin::json("{}");
    let gateway = Gateway::setup()
        .file(
            "revoked",
            "# one\nX-Jti-first\n\n  X-Jti-second\r\nX-Jti-last",
        )
        .native(config(&origin, revoker(json!({"file": "revoked"}))));
    for number in ["first", "second", "last"] {
        assert_eq!(status(&gateway, number), 401, "{number}");
    }
    assert_eq!(status(&gateway, "third"), 200);
    let path = gateway.folder().join("revoked");
    append(&path, "\nX-Jti-third\nX-Jti-fou");
    let took = refused(&gateway, "third");
    append(&path, "rth\n");
    refused(&gateway, "fourth");
    assert_eq!(status(&gateway, "fifth"), 200);
    // Another file takes its place, as editors do it.
    fs::write(gateway.folder().join("other"), "X-Jti-fifth\n").unwrap();
    fs::rename(gateway.folder().join("other"), &path).unwrap();
    refused(&gateway, "fifth");
    assert_eq!(status(&gateway, "first"), 401);
    fs::remove_file(&path).unwrap();
    gateway.log_line("cannot be read");
    assert_eq!(status(&gateway, "fifth"), 401);
    assert_eq!(status(&gateway, "sixth"), 200);
    assert!(took < PATIENCE);
}

/// One command and its answer.
fn told(path: &Path, line: &str) -> String {
    let socket = eventually("the socket", || UnixStream::connect(path).ok());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut socket = BufReader::new(socket);
    socket.get_mut().write_all(line.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_line(&mut answer).unwrap();
    answer
}

#[test]
fn a_line_to_the_socket_revokes_at_once() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(config(&origin, revoker(json!({"socket": "revoker.sock"}))));
    let path = gateway.folder().join("revoker.sock");
    assert_eq!(status(&gateway, "a"), 200);
    assert_eq!(told(&path, "check X-Jti-a\n"), "good\n");
    assert_eq!(told(&path, "add X-Jti-a\n"), "ok\n");
    assert_eq!(status(&gateway, "a"), 401);
    assert_eq!(told(&path, "check X-Jti-a\n"), "revoked\n");
    for wrong in ["", "add", "add  ", "drop X-Jti-a"] {
        assert!(
            told(&path, &format!("{wrong}\n")).starts_with("error: "),
            "{wrong}"
        );
    }
    assert_eq!(
        told(&path, &"x".repeat(5000)),
        "error: the line is too long\n"
    );
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // What was revoked is still so after a reload, by whatever settings.
    for elements in [1000, 5000] {
        let mut next = config(
            &origin,
            revoker(json!({"socket": "revoker.sock", "N": elements})),
        );
        next["port"] = json!(gateway.port());
        next["endpoints"][0]["endpoint"] = json!(format!("/x{elements}"));
        next["endpoints"].as_array_mut().unwrap().push(json!(
            {"endpoint": "/x", "backend": [{"url_pattern": "/", "host": [origin.url()]}]}));
        fs::write(gateway.folder().join("gateway.json"), next.to_string()).unwrap();
        gateway.signal("HUP");
        let there = format!("/x{elements}");
        eventually("the reload", || {
            (gateway.get(&there).status() == 200).then_some(())
        });
        assert_eq!(status(&gateway, "a"), 401);
        let number = format!("n{elements}");
        eventually("the socket of the new file", || {
            let answer = told(&path, &format!("add X-Jti-{number}\n"));
            (answer == "ok\n" && ask(&gateway, "/x", &number) == 401).then_some(())
        });
    }
}

/// What Go's client sends to revoke `jti-a` and `jti-b`, then to ask about `jti-a` and `x`.
const ADD: &str = "2e7f030101075265717565737401ff80000102010d536572766963654d6574686f64010c000103536571010600000017ff80\
0112426c6f6f6d66696c7465725250432e4164640021ff8103010108416464496e70757401ff820001010105456c656d7301ff840000\
0017ff83020101095b5d5b5d75696e743801ff8400010a000011ff820102056a74692d61056a74692d6200";
const CHECK: &str = "1bff800114426c6f6f6d66696c7465725250432e436865636b01010023ff890301010a436865636b496e70757401ff8a0001\
010105456c656d7301ff840000000dff8a0102056a74692d61017800";

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// Reads until these bytes have come.
fn wait_for(stream: &mut TcpStream, wanted: &[u8]) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut all, mut piece) = (Vec::new(), [0; 512]);
    while !all.windows(wanted.len()).any(|part| part == wanted) {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "it closed after {all:?}");
        all.extend_from_slice(&piece[..read]);
    }
}

#[test]
fn gos_remote_calls_revoke_by_the_port_whoever_else_holds_connections() {
    let origin = Origin::json("{}");
    for krakend in [false, true] {
        let port = ports::free();
        let mut settings = revoker(json!({"port": port, "hash_name": "default"}));
        settings["headers"] = json!(["jti"]);
        let config = config(&origin, settings);
        let gateway = if krakend {
            Gateway::krakend(config)
        } else {
            Gateway::native(config)
        };
        let connect = || eventually("the port", || TcpStream::connect(("127.0.0.1", port)).ok());
        let silent: Vec<TcpStream> = (0..80).map(|_| connect()).collect();
        let mut junk = connect();
        junk.write_all(b"\xf8\xff\xff\xff\xff\xff\xff\xff\xff junk")
            .unwrap();
        let mut stream = connect();
        stream.write_all(&bytes(ADD)).unwrap();
        // The last answer's value: field Count is two.
        wait_for(&mut stream, &[0x05, 0xff, 0x84, 0x01, 0x04, 0x00]);
        stream.write_all(&bytes(CHECK)).unwrap();
        wait_for(
            &mut stream,
            &[0x07, 0xff, 0x86, 0x01, 0x02, 0x01, 0x00, 0x00],
        );
        drop(silent);
        // KrakenD reads the names of fields and never looks at them.
        let answer = gateway
            .client()
            .request("GET", "/x", &[("jti", "a")], "")
            .answer();
        assert_eq!(answer.status(), if krakend { 200 } else { 401 });
        assert_eq!(gateway.get("/x").status(), 200);
    }
}

#[test]
fn a_revoker_that_could_not_revoke_refuses_the_file() {
    let origin = Origin::json("{}");
    for wrong in [
        json!({}),
        json!({"port": 1, "hash_name": "sha"}),
        json!({"port": 1, "TTL": 0}),
        json!({"file": "gone"}),
        json!({"port": 1, "revoke_server_ping_url": "http://revoker/instances"}),
    ] {
        let output = Gateway::refused(config(&origin, revoker(wrong.clone())));
        let text = format!("{}{}", output.stderr, output.stdout);
        assert!(text.contains("auth~1revoker"), "{wrong}: {text}");
    }
}
