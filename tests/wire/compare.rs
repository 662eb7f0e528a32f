//! The same bytes through two gateways: what both backends saw and what both clients got must be the same,
//! except for what is new with each request.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::judge::{Sums, judge};
use super::play::{Heard, play};
use super::recorder::Recorder;
use super::script::{End, Script};
use super::strict::{self, Request};

/// Fields that differ from request to request, or name the backend's own port.
const VOLATILE: [&str; 4] = ["x-request-id", "host", "traceparent", "tracestate"];

/// Whether a binary knows the flag that chooses a lane.
pub(crate) fn knows_lanes(binary: &Path) -> bool {
    let help = Command::new(binary).args(["run", "--help"]).output();
    help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--lane"))
}

/// A gateway with the backend behind it.
pub(crate) struct Side<'a> {
    pub(crate) name: &'a str,
    pub(crate) port: u16,
    pub(crate) recorder: &'a Recorder,
}

impl Side<'_> {
    fn play(
        &self,
        script: &Script,
        patience: Duration,
    ) -> Result<(Heard, Sums, Vec<Request>), String> {
        let heard = play(self.port, script, patience);
        let seen = self.recorder.take();
        let named = |what: String| format!("{}: {what}", self.name);
        let sums = judge(script, &heard).map_err(|what| named(format!("{what}; {heard:?}")))?;
        match self.recorder.violations().into_iter().next() {
            Some(violation) => Err(named(violation)),
            None => Ok((heard, sums, seen)),
        }
    }
}

/// Plays a connection through both sides, one after the other, while nobody else uses them.
///
/// # Errors
/// What one of them must not do, or what differs.
pub(crate) fn compare(
    script: &Script,
    sides: [&Side<'_>; 2],
    patience: Duration,
) -> Result<Sums, String> {
    let (first, sums, first_seen) = sides[0].play(script, patience)?;
    let (second, _, second_seen) = sides[1].play(script, patience)?;
    let common = first.replies.len().min(second.replies.len());
    let alike = first.replies.len() == second.replies.len();
    let closed = |heard: &Heard| {
        let shorter = heard.replies.len() == common;
        shorter && !script.paced && heard.replies.last().is_some_and(|reply| reply.close)
    };
    let excused = excused(script, common) || closed(&first) || closed(&second);
    let differ = |what: &str, at: usize, one: &dyn std::fmt::Debug, other: &dyn std::fmt::Debug| {
        Err(format!(
            "{what} {at} differs:\n{}: {one:?}\n{}: {other:?}",
            sides[0].name, sides[1].name
        ))
    };
    if !alike && !excused {
        return differ("the number of answers", common, &first, &second);
    }
    for (at, (one, other)) in first.replies.iter().zip(&second.replies).enumerate() {
        // What was sent behind a request may be a reason to close or not, by when it comes.
        let last =
            at >= script.whole.len() || (at + 1 == script.whole.len() && script.end == End::Clean);
        let close =
            one.close == other.close || !(last || script.paced) || (at + 1 == common && excused);
        if one.status != other.status || stable(&one.body) != stable(&other.body) || !close {
            return differ("answer", at, one, other);
        }
    }
    if alike && first_seen.len() != second_seen.len() {
        return differ(
            "the number of requests",
            first_seen.len(),
            &first_seen,
            &second_seen,
        );
    }
    for (at, (one, other)) in first_seen.iter().zip(&second_seen).enumerate() {
        if end_to_end(one) != end_to_end(other) {
            return differ("request", at, one, other);
        }
    }
    Ok(sums)
}

/// Whether one of the two may have gone on where the other closed: behind a chunked request with more sent at once, a refused upgrade
/// or a second `Connection` line.
fn excused(script: &Script, answered: usize) -> bool {
    let last = answered
        .checked_sub(1)
        .and_then(|last| script.whole.get(last));
    last.is_some_and(|request| {
        let lines = |name| strict::all(&request.fields, name).count();
        request.upgrade
            || (!script.paced && lines("transfer-encoding") > 0)
            || lines("connection") > 1
    })
}

/// A body without the request's number in it.
fn stable(body: &str) -> String {
    match body.split_once("\"request_id\":\"") {
        Some((before, behind)) => {
            let rest = behind.split_once('"').map_or("", |(_, rest)| rest);
            format!("{before}{rest}")
        }
        None => body.to_owned(),
    }
}

type EndToEnd<'r> = (&'r str, &'r str, Vec<&'r (String, Vec<u8>)>, &'r [u8]);

fn end_to_end(request: &Request) -> EndToEnd<'_> {
    let stays = |field: &&(String, Vec<u8>)| !VOLATILE.contains(&field.0.as_str());
    let fields = request.fields.iter().filter(stays).collect();
    (&request.method, &request.target, fields, &request.body)
}
