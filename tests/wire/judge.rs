//! Compares what a connection sent, by the strict reading, with what came back on it.

use super::play::{Heard, Reply};
use super::script::{End, Script};
use super::strict;

/// What a request that the gateway cannot read may be answered with.
pub(crate) const REFUSED: [u16; 6] = [400, 408, 413, 414, 431, 501];
/// What a request that can be read may be answered with besides 200: it is over a limit, or for no endpoint.
const UNSERVED: [u16; 12] = [204, 301, 307, 308, 400, 404, 405, 413, 414, 417, 431, 501];

/// Counted over many connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    /// Well-formed requests that were answered 200.
    pub(crate) served: usize,
    /// Well-formed ones that were refused, for a limit or for want of an endpoint.
    pub(crate) unserved: usize,
    /// Malformed ones that were answered with an error.
    pub(crate) refused: usize,
    /// Malformed ones after which the connection was closed without a word.
    pub(crate) silent: usize,
    /// Refusals that are not in the gateway's own words: the platform's parser knows fewer targets than the
    /// gateway lets through to it.
    pub(crate) foreign: usize,
    /// Connections that ended inside a request, answered or not.
    pub(crate) truncated: usize,
}

impl Sums {
    /// Adds what another has counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.served += other.served;
        self.unserved += other.unserved;
        self.refused += other.refused;
        self.silent += other.silent;
        self.foreign += other.foreign;
        self.truncated += other.truncated;
    }
}

/// The mark by which a request is known again on both sides: `c…r…` at the start of a segment of its target,
/// or else the whole path, as for requests that were hidden in a body.
pub(crate) fn key(target: &str) -> String {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mark = |segment: &str| {
        let rest = segment.strip_prefix('c')?;
        let connection = digits(rest);
        let request = digits(rest.get(connection..)?.strip_prefix('r')?);
        let length = 2 + connection + request;
        (connection > 0 && request > 0).then(|| segment.get(..length).map(str::to_owned))?
    };
    // What is encoded may be so or not behind the gateway, a query and the authority of an absolute target stay behind; a
    // quote would end the text of an answer.
    let whole = || {
        let target = target.split('?').next().unwrap_or_default();
        let path = match target.split_once("://") {
            Some((_, rest)) if !target.starts_with('/') => {
                rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
            }
            _ => target,
        };
        let decoded = hanzo_gateway::gateway::path::decode(path.as_bytes());
        let plain = |byte: &&u8| byte.is_ascii_graphic() && !b"\"\\".contains(byte);
        let bytes = decoded.as_deref().unwrap_or(path.as_bytes());
        bytes
            .iter()
            .filter(plain)
            .copied()
            .map(char::from)
            .collect()
    };
    target.split('/').find_map(mark).unwrap_or_else(whole)
}

/// What came back on a connection, against what it sent.
///
/// # Errors
/// What must not be, in words.
pub(crate) fn judge(script: &Script, heard: &Heard) -> Result<Sums, String> {
    let mut sums = Sums::default();
    if !heard.fault.is_empty() {
        return Err(heard.fault.clone());
    }
    let mut open = true;
    for (at, reply) in heard.replies.iter().enumerate() {
        if !open {
            return Err(format!("answer {at} came after the connection was over"));
        }
        let Some(request) = script.whole.get(at) else {
            behind(script, at, reply, &mut sums)?;
            open = false;
            continue;
        };
        one(script, request, reply, &mut sums)?;
        // The platform reads the first `Connection` line only; whoever says `close` in a second one is
        // kept, which costs nobody anything.
        let repeated = strict::all(&request.fields, "connection").count() > 1;
        open = (request.stays || repeated) && !reply.close;
    }
    missing(script, heard, open, &mut sums).map(|()| sums)
}

/// The answer to a whole request.
fn one(
    script: &Script,
    request: &strict::Request,
    reply: &Reply,
    sums: &mut Sums,
) -> Result<(), String> {
    let mark = key(&request.target);
    let to_head = request.method == "HEAD";
    if reply.status == 200 {
        if !to_head && !reply.body.contains(&format!("\"{mark}\"")) {
            return Err(format!("{mark} got another answer: {}", reply.body));
        }
        sums.served += 1;
        return Ok(());
    }
    let plain = script
        .plain
        .contains(&format!("{} {}", request.method, request.target));
    if plain || !UNSERVED.contains(&reply.status) {
        let kind = if plain { " is well-formed and" } else { "" };
        return Err(format!("{mark}{kind} got {}: {}", reply.status, reply.body));
    }
    sums.unserved += 1;
    sums.foreign += usize::from(!to_head && foreign(reply));
    Ok(())
}

/// The answer to what is behind the whole requests.
fn behind(script: &Script, at: usize, reply: &Reply, sums: &mut Sums) -> Result<(), String> {
    let status = reply.status;
    if at > script.whole.len() || script.end == End::Clean {
        return Err(format!("answer {at} ({status}) belongs to no request"));
    }
    let expected: &[u16] = match script.end {
        End::Incomplete => &UNSERVED,
        // Its path and method may be answered before its body is looked at.
        End::Broken(_) if script.rest_has_head() => &UNSERVED,
        _ => &REFUSED,
    };
    if !expected.contains(&status) {
        return Err(format!("bytes that are no request were answered {status}"));
    }
    sums.refused += 1;
    let to_head = script.rest_is_head();
    sums.foreign += usize::from(!to_head && foreign(reply));
    Ok(())
}

/// Whether an error is not in the gateway's words of the native dialect.
fn foreign(reply: &Reply) -> bool {
    reply.status >= 400 && !reply.body.contains("\"request_id\"")
}

/// Whether there is an end of a head, however odd: without one the gateway may wait for it.
fn whole_head(bytes: &[u8]) -> bool {
    let ends: [&[u8]; 3] = [b"\r\n\r\n", b"\n\n", b"\n\r\n"];
    ends.iter()
        .any(|end| bytes.windows(end.len()).any(|window| window == *end))
}

/// Whether all that had to be answered was.
fn missing(script: &Script, heard: &Heard, open: bool, sums: &mut Sums) -> Result<(), String> {
    let answered = heard.replies.len();
    if answered < script.whole.len() {
        let last = answered
            .checked_sub(1)
            .and_then(|last| Some((script.whole.get(last)?, heard.replies.get(last)?)));
        let over = last.is_some_and(|(request, reply)| !request.stays || reply.close);
        return if over {
            Ok(())
        } else {
            let request = &script.whole[answered];
            Err(format!(
                "{} {} was never answered",
                request.method, request.target
            ))
        };
    }
    if open && answered == script.whole.len() {
        match script.end {
            End::Clean => {}
            End::Broken(_) if whole_head(script.rest()) => sums.silent += 1,
            End::Broken(_) | End::Incomplete => sums.truncated += 1,
        }
    }
    Ok(())
}
