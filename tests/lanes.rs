//! The fast lane and the platform's path are two ways to do the same: hostile bytes go through both, and
//! whatever a backend sees or a client gets is the same. The fuzz target `lanes` goes on where this ends.

use std::path::Path;

use serde_json::Value;

use crate::support::{Gateway, Origin, PATIENCE};
use crate::wire::{Choices, Recorder, Side, Sums, compare, config, knows_lanes, script};

/// How many connections go through both; `HANZO_TEST_CONNECTIONS` says another number, for long runs.
const CONNECTIONS: usize = 600;
/// Other connections than those of `framing`, and of another long run with `HANZO_TEST_SEED`.
const SEED: u64 = 0x1a_7e5;

fn number(name: &str, else_: usize) -> usize {
    let said = std::env::var(name).ok();
    said.map_or(else_, |said| said.parse().expect("a number"))
}

fn gateway(recorder: &Recorder, lane: &str) -> Gateway {
    let known = knows_lanes(Path::new(env!("CARGO_BIN_EXE_hanzo-gateway")));
    let config: Value = serde_json::from_str(&config(&recorder.url())).unwrap();
    Gateway::setup().lane(known.then_some(lane)).native(config)
}

#[test]
fn a_body_of_no_length_is_told_to_backends_by_method_alone() {
    let origin = Origin::json("{}");
    for lane in ["auto", "off"] {
        let config = serde_json::from_str(&config(&origin.url())).unwrap();
        let gateway = Gateway::setup().lane(Some(lane)).native(config);
        let mut client = gateway.client();
        for path in ["/s/a", "/c/a"] {
            for (method, told) in [("GET", None), ("POST", Some("0"))] {
                for fields in [&[("Content-Length", "0")][..], &[]] {
                    client.request(method, path, fields, "");
                    assert_eq!(client.answer().status(), 200);
                    let request = origin.requests().pop().unwrap();
                    let what = format!("{lane} {method} {path} {fields:?}");
                    assert_eq!(request.header("content-length"), told, "{what}");
                    assert_eq!(request.header("transfer-encoding"), None, "{what}");
                }
            }
        }
    }
}

#[test]
fn both_lanes_say_and_pass_on_the_same() {
    let recorders = [Recorder::start(), Recorder::start()];
    let gateways = [
        gateway(&recorders[0], "auto"),
        gateway(&recorders[1], "off"),
    ];
    let side = |at: usize, name| Side {
        name,
        port: gateways[at].port(),
        recorder: &recorders[at],
    };
    let sides = [side(0, "auto"), side(1, "off")];
    let (mut sums, mut found) = (Sums::default(), Vec::new());
    let connections = number("HANZO_TEST_CONNECTIONS", CONNECTIONS);
    let seed = SEED + number("HANZO_TEST_SEED", 0) as u64;
    for number in 0..connections {
        let mut random = fastrand::Rng::with_seed(seed + number as u64);
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(96).collect();
        let script = script(&mut Choices::new(&bytes), number);
        match compare(&script, [&sides[0], &sides[1]], PATIENCE) {
            Ok(more) => sums.add(more),
            Err(what) => {
                let bytes = &script.bytes[..script.bytes.len().min(1500)];
                let told = format!(
                    "connection {number} {:?}:\n{}\n{what}",
                    script.shapes,
                    bytes.escape_ascii()
                );
                eprintln!("{told}");
                found.push(told);
            }
        }
    }
    let many = found.len();
    found.truncate(8);
    assert!(many == 0, "{many} findings:\n\n{}", found.join("\n\n"));
    assert!(
        sums.served > connections && sums.refused > connections / 4,
        "{sums:?}"
    );
}
