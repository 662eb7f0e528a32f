//! The client's side of a [`Script`]: sends its bytes, reads answers strictly, and ends its own side only
//! when everything that could be answered was.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::time::Duration;

use super::script::Script;
use super::strict;

/// One final answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case and values, in the order of arrival.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
    /// Whether it says that the connection ends.
    pub(crate) close: bool,
}

/// All that came back on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Final answers in order.
    pub(crate) replies: Vec<Reply>,
    /// Interim answers, counted.
    pub(crate) interim: usize,
    /// Bytes that are no answer, or what else went wrong; empty when all is well.
    pub(crate) fault: String,
}

/// Plays one connection to its end. `patience` bounds every wait.
pub(crate) fn play(port: u16, script: &Script, patience: Duration) -> Heard {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the gateway listens");
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(patience));
    let _ = stream.set_write_timeout(Some(patience));
    let mut player = Player {
        stream,
        script,
        held: Vec::new(),
        ended: false,
        heard: Heard {
            replies: Vec::new(),
            interim: 0,
            fault: String::new(),
        },
    };
    let mut from = 0;
    for (at, end) in script.ends.iter().enumerate().filter(|_| script.paced) {
        player.send(from, *end);
        from = *end;
        if !player.listen(at + 1) {
            return player.finish();
        }
    }
    player.send(from, script.bytes.len());
    if player.listen(script.whole.len()) {
        // Whoever waits for more learns that there is none; whoever has refused does not care.
        let _ = player.stream.shutdown(Shutdown::Write);
        player.listen(usize::MAX);
    }
    player.finish()
}

struct Player<'s> {
    stream: TcpStream,
    script: &'s Script,
    held: Vec<u8>,
    ended: bool,
    heard: Heard,
}

impl Player<'_> {
    /// Sends a part of the bytes in the writes into which they are cut.
    fn send(&mut self, mut from: usize, to: usize) {
        let inside: Vec<usize> = self
            .script
            .cuts
            .iter()
            .copied()
            .filter(|cut| *cut > from && *cut < to)
            .collect();
        for cut in inside.into_iter().chain([to]) {
            // The gateway may have refused and closed before the rest.
            if self
                .stream
                .write_all(&self.script.bytes[from..cut])
                .is_err()
            {
                return;
            }
            from = cut;
        }
    }

    /// Reads until there are so many answers; `false` when there will not be.
    fn listen(&mut self, count: usize) -> bool {
        let mut piece = [0; 16 << 10];
        loop {
            while let Some(used) = take(&self.held, self.script, self.ended, &mut self.heard) {
                self.held.drain(..used);
            }
            if self.ended || !self.heard.fault.is_empty() {
                return false;
            }
            if self.heard.replies.len() >= count {
                return true;
            }
            match self.stream.read(&mut piece) {
                Ok(0) => self.ended = true,
                Ok(read) => self.held.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.ended = true,
                // A fuzzer's own clock.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.heard.fault = format!("no answer and no end in time: {error}"),
            }
        }
    }

    fn finish(self) -> Heard {
        let mut heard = self.heard;
        if heard.fault.is_empty() && !self.held.is_empty() {
            heard.fault = format!(
                "the connection ends inside an answer: {}",
                self.held.escape_ascii()
            );
        }
        heard
    }
}

/// Takes one answer from what is held; its length in bytes.
fn take(held: &[u8], script: &Script, ended: bool, heard: &mut Heard) -> Option<usize> {
    if held.is_empty() {
        return None;
    }
    let to_head = match script.whole.get(heard.replies.len()) {
        Some(request) => request.method == "HEAD",
        None => script.rest_is_head(),
    };
    match strict::answer(held, to_head, ended) {
        Ok(None) => None,
        Ok(Some((answer, used))) if answer.status < 200 => {
            heard.interim += 1;
            Some(used)
        }
        Ok(Some((answer, used))) => {
            let close = strict::all(&answer.fields, "connection")
                .any(|value| value.eq_ignore_ascii_case(b"close"));
            heard.replies.push(Reply {
                status: answer.status,
                fields: answer
                    .fields
                    .into_iter()
                    .map(|(name, value)| (name, value.escape_ascii().to_string()))
                    .collect(),
                body: String::from_utf8_lossy(&answer.body).into_owned(),
                close,
            });
            Some(used)
        }
        Err(what) => {
            heard.fault = format!("{what} in an answer: {}", held.escape_ascii());
            None
        }
    }
}
