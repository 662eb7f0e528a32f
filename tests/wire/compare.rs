//! The same bytes through two gateways: what both backends saw and what both clients got must be the same,
//! except for what is new with each request.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::judge::{REFUSED, Sums, judge};
use super::play::{Heard, Reply, play};
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
        // What came too late for the connection before.
        self.recorder.take();
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
    let mut sums = Sums::default();
    let mut played = Vec::new();
    for side in sides {
        let (heard, more, seen) = side.play(script, patience)?;
        sums = more;
        played.push((heard.replies, seen));
    }
    // The platform's parser refuses some targets that the gateway takes, and closes.
    let refused = |at: usize| {
        played
            .iter()
            .map(move |(replies, _)| replies.get(at).is_some_and(bare))
    };
    let longest = played.iter().map(|(replies, _)| replies.len()).max();
    let alone = |at: &usize| refused(*at).any(|bare| bare) && !refused(*at).all(|bare| bare);
    if let Some(at) = (0..longest.unwrap_or(0)).find(alone) {
        for (replies, seen) in &mut played {
            replies.truncate(at);
            seen.truncate(replies.iter().filter(|reply| reply.status == 200).count());
        }
        // The backend may hear of what stumbled after its client was answered.
        std::thread::sleep(Duration::from_millis(100));
    }
    let answers = answers(script, &played[0].0, &played[1].0);
    let both = answers.and_then(|()| requests(&played[0], &played[1]));
    both.map(|()| sums)
        .map_err(|what| format!("{what} ({}, {})", sides[0].name, sides[1].name))
}

/// Whether an answer is a refusal by the platform itself.
fn bare(reply: &Reply) -> bool {
    reply.status == 400 && reply.body.is_empty()
}

fn answers(script: &Script, first: &[Reply], second: &[Reply]) -> Result<(), String> {
    let common = first.len().min(second.len());
    // Who says that he closes may do so: for what was sent too early, or for a body that he did not want.
    let closed = |replies: &[Reply]| {
        replies.len() == common
            && replies
                .last()
                .is_some_and(|reply| reply.close && (!script.paced || reply.status != 200))
    };
    let excused = excused(script, common)
        || closed(first)
        || closed(second)
        || forgotten(script, first, second);
    if first.len() != second.len() && !excused {
        return Err(format!("so many answers differ:\n{first:?}\n{second:?}"));
    }
    for (at, (one, other)) in first.iter().zip(second).enumerate() {
        // What was sent behind a request may be a reason to close or not, by when it comes.
        let clean = at + 1 == script.whole.len() && script.end == End::Clean;
        let counts = script.paced || clean || at >= script.whole.len();
        let close = one.close == other.close || !counts || (at + 1 == common && excused);
        // Of several faults in one request each lane names the one that it meets first, by how its bytes arrive.
        let fault = |reply: &Reply| {
            matches!(reply.status, 400 | 404 | 405 | 413 | 414 | 431 | 501) && reply.close
        };
        let several = script.shapes.len() > 1;
        let broken = at >= script.whole.len() && one.status == 400 && other.status == 400;
        let faulty = (several || broken) && fault(one) && fault(other);
        let same = faulty
            || one.status == other.status
                && stable(&one.body) == stable(&other.body)
                && told(one) == told(other);
        if !same || !close {
            return Err(format!("answer {at} differs:\n{one:?}\n{other:?}"));
        }
    }
    Ok(())
}

fn requests(
    first: &(Vec<Reply>, Vec<Request>),
    second: &(Vec<Reply>, Vec<Request>),
) -> Result<(), String> {
    let (one, other) = (&first.1, &second.1);
    if first.0.len() == second.0.len() && one.len() != other.len() {
        return Err(format!("so many requests differ:\n{one:?}\n{other:?}"));
    }
    match one
        .iter()
        .zip(other)
        .find(|(one, other)| end_to_end(one) != end_to_end(other))
    {
        Some((one, other)) => Err(format!("a request differs:\n{one:?}\n{other:?}")),
        None => Ok(()),
    }
}

/// Whether only one of the two refused what its client had begun and left: RFC 9112 section 8 lets a server do either,
/// and which of them sees the end before the begin is chance.
fn forgotten(script: &Script, first: &[Reply], second: &[Reply]) -> bool {
    let (fewer, more) = match first.len() < second.len() {
        true => (first, second),
        false => (second, first),
    };
    let rest = more.get(fewer.len()..).unwrap_or_default();
    script.shapes.contains(&"cut off")
        && fewer.len() >= script.whole.len()
        && matches!(rest, [last] if last.close && REFUSED.contains(&last.status))
}

/// Whether one of the two may have gone on where the other closed: behind a second `Connection` line.
fn excused(script: &Script, answered: usize) -> bool {
    let last = answered
        .checked_sub(1)
        .and_then(|last| script.whole.get(last));
    last.is_some_and(|request| strict::all(&request.fields, "connection").count() > 1)
}

/// The fields of an answer that do not belong to one moment or one connection.
fn told(reply: &Reply) -> Vec<&(String, String)> {
    const OWN: [&str; 6] = [
        "date",
        "x-request-id",
        "connection",
        "keep-alive",
        "content-length",
        "transfer-encoding",
    ];
    let stays = |field: &&(String, String)| !OWN.contains(&field.0.as_str());
    by_name(reply.fields.iter().filter(stays))
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

/// Fields with the lines of one name side by side, as the platform's map has them; their order counts, that
/// of different names does not (RFC 9110 section 5.3).
fn by_name<'f, V>(fields: impl Iterator<Item = &'f (String, V)>) -> Vec<&'f (String, V)> {
    let mut fields: Vec<_> = fields.collect();
    fields.sort_by_key(|(name, _)| name);
    fields
}

type EndToEnd<'r> = (&'r str, &'r str, Vec<&'r (String, Vec<u8>)>, &'r [u8]);

fn end_to_end(request: &Request) -> EndToEnd<'_> {
    let stays = |field: &&(String, Vec<u8>)| !VOLATILE.contains(&field.0.as_str());
    let fields = by_name(request.fields.iter().filter(stays));
    (&request.method, &request.target, fields, &request.body)
}
