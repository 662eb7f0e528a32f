//! Thousands of malformed and ambiguous requests of our own making, between well-formed ones: what arrives
//! at a backend that takes nothing but exact messages, and what the clients are told.
//!
//! The shapes and the strict reading are in `wire`; a connection is known by its number alone, so a finding
//! can be played again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::support::{Gateway, PATIENCE};
use crate::wire::{Choices, Recorder, Script, Sums, config, judge, key, play, script, strict};

/// How many connections are played, each with one or two bent requests.
const CONNECTIONS: usize = 5_000;
/// How many of them at once.
const AT_ONCE: usize = 16;
/// How many findings are told before the rest is only counted.
const TOLD: usize = 12;

/// What a connection with this number sends.
fn connection(number: usize) -> Script {
    let mut random = fastrand::Rng::with_seed(number as u64);
    let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(96).collect();
    script(&mut Choices::new(&bytes), number)
}

/// Plays all connections, some at a time; what they add up to, and what must not be.
fn play_all(port: u16) -> (Sums, Vec<String>, Vec<Script>) {
    let next = AtomicUsize::new(0);
    let all = Mutex::new((Sums::default(), Vec::new(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= CONNECTIONS {
                        return;
                    }
                    let script = connection(number);
                    let heard = play(port, &script, PATIENCE);
                    let verdict = judge(&script, &heard);
                    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    match verdict {
                        Ok(sums) => all.0.add(sums),
                        Err(what) => all
                            .1
                            .push(format!("{what}\n{}\nheard {heard:?}", told(&script))),
                    }
                    all.2.push(script);
                }
            });
        }
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn told(script: &Script) -> String {
    let bytes = &script.bytes[..script.bytes.len().min(1500)];
    format!(
        "  {:?}, which ends {:?}:\n  {}",
        script.shapes,
        script.end,
        bytes.escape_ascii()
    )
}

/// The method with which a request arrives: that of the backend, where `HEAD` is served as `GET` is.
fn method(sent: &strict::Request) -> &str {
    match sent.method.as_str() {
        "HEAD" => "GET",
        other => other,
    }
}

/// Every request that arrived is one that was sent, once and as it was sent.
fn strangers(seen: &[strict::Request], scripts: &[Script]) -> Vec<String> {
    let mut sent: HashMap<String, Vec<&strict::Request>> = HashMap::new();
    for request in scripts.iter().flat_map(|script| &script.whole) {
        sent.entry(key(&request.target)).or_default().push(request);
    }
    let mut found = Vec::new();
    for request in seen {
        let mark = key(&request.target);
        let candidates = sent.entry(mark.clone()).or_default();
        let same = candidates
            .iter()
            .position(|sent| method(sent) == request.method && sent.body == request.body);
        match same {
            Some(at) => drop(candidates.swap_remove(at)),
            None => found.push(format!(
                "{mark} arrived as {} {} with {:?}, which nobody has sent (any more)",
                request.method,
                request.target,
                request.body.escape_ascii().to_string()
            )),
        }
    }
    found
}

#[test]
fn nothing_but_exact_requests_arrives_and_each_of_them_once() {
    let recorder = Recorder::start();
    let config: Value = serde_json::from_str(&config(&recorder.url())).unwrap();
    let gateway = Gateway::native(config);
    let (sums, mut found, scripts) = play_all(gateway.port());
    let seen = recorder.take();
    found.extend(recorder.violations());
    found.extend(strangers(&seen, &scripts));
    eprintln!(
        "{sums:?}; {} arrived whole, {} cut",
        seen.len(),
        recorder.cut()
    );
    let many = found.len();
    found.truncate(TOLD);
    assert!(many == 0, "{many} findings:\n\n{}", found.join("\n\n"));
    assert_eq!(
        sums.silent, 0,
        "a malformed request was not answered: {sums:?}"
    );
    assert!(
        sums.served > CONNECTIONS && sums.refused > CONNECTIONS / 4,
        "{sums:?}"
    );
}

#[test]
fn shapes_that_are_never_requests_are_none_by_the_strict_reading() {
    for number in 0..CONNECTIONS {
        let script = connection(number);
        let broken = matches!(script.end, crate::wire::End::Broken(_));
        assert!(
            broken || !script.surely_bad,
            "connection {number}\n{}",
            told(&script)
        );
    }
}
