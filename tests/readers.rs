//! The checks of three fuzz targets on stable Rust: their seeds, bent at random, so that a reader that depends
//! on how its bytes are cut, or reads what a plain one does not, is found without a fuzzer.

#[allow(unreachable_pub, reason = "public for the fuzz crate")]
#[path = "../fuzz/src/answer.rs"]
mod answer;
#[allow(unreachable_pub, reason = "public for the fuzz crate")]
#[path = "../fuzz/src/framing.rs"]
mod framing;
#[allow(unreachable_pub, reason = "public for the fuzz crate")]
#[path = "../fuzz/src/plan.rs"]
mod plan;
#[path = "../fuzz/src/planned.rs"]
mod planned;

use std::fs;
use std::path::Path;

/// Inputs of each kind.
const ROUNDS: usize = 20_000;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn bend(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    const BYTES: &[u8] = b"\r\n\r\n\0 \t:;,=\"0aF1\x0b\x7f\xff";
    // How the rest is cut, and what was asked.
    bytes
        .iter_mut()
        .take(8)
        .for_each(|byte| *byte = random.u8(..));
    for _ in 0..random.usize(..5) {
        let at = random.usize(..bytes.len());
        let byte = BYTES[random.usize(..BYTES.len())];
        match random.u8(..5) {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 if bytes.len() > 9 => drop(bytes.remove(at)),
            3 => {
                let end = (at + random.usize(1..20)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => bytes.truncate(at.max(8)),
        }
    }
}

fn play(target: &str, check: fn(&[u8])) {
    let seeds = seeds(target);
    let mut random = fastrand::Rng::with_seed(42);
    for round in 0..ROUNDS {
        let mut bytes = seeds[round % seeds.len()].clone();
        bend(&mut random, &mut bytes);
        let told = bytes.escape_ascii().to_string();
        let outcome = std::panic::catch_unwind(|| check(&bytes));
        assert!(outcome.is_ok(), "{target}: {told}");
    }
}

#[test]
fn heads_of_answers_have_one_reading_however_they_are_cut() {
    play("answer", answer::check);
}

#[test]
fn bodies_have_one_reading_however_they_are_cut() {
    play("framing", framing::check);
}

#[test]
fn heads_on_the_fast_lane_are_those_of_plain_readers() {
    play("plan", plan::check);
}
