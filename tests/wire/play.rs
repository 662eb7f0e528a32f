//! The client's side of a [`Script`]: sends its bytes, reads answers strictly, and ends its own side only
//! when everything that could be answered was.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::time::Duration;

use super::script::Script;
use super::strict;

/// One final answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
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
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the gateway listens");
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(patience));
    let _ = stream.set_write_timeout(Some(patience));
    let mut from = 0;
    for cut in script.cuts.iter().copied().chain([script.bytes.len()]) {
        // The gateway may have refused and closed before the rest.
        if stream.write_all(&script.bytes[from..cut]).is_err() {
            break;
        }
        from = cut;
    }
    listen(&mut stream, script)
}

fn listen(stream: &mut TcpStream, script: &Script) -> Heard {
    let mut heard = Heard {
        replies: Vec::new(),
        interim: 0,
        fault: String::new(),
    };
    let (mut held, mut piece) = (Vec::new(), [0; 16 << 10]);
    let mut ended = false;
    let mut finished = false;
    loop {
        while let Some(used) = take(&held, script, ended, &mut heard) {
            held.drain(..used);
        }
        if ended || !heard.fault.is_empty() {
            break;
        }
        if !finished && heard.replies.len() >= script.whole.len() {
            finished = true;
            // Whoever waits for more learns that there is none; whoever has refused does not care.
            let _ = stream.shutdown(Shutdown::Write);
        }
        match stream.read(&mut piece) {
            Ok(0) => ended = true,
            Ok(read) => held.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => ended = true,
            Err(_) => heard.fault = "no answer and no end in time".to_owned(),
        }
    }
    if heard.fault.is_empty() && !held.is_empty() {
        heard.fault = format!(
            "the connection ends inside an answer: {}",
            held.escape_ascii()
        );
    }
    heard
}

/// Takes one answer from what is held; its length in bytes.
fn take(held: &[u8], script: &Script, ended: bool, heard: &mut Heard) -> Option<usize> {
    if held.is_empty() {
        return None;
    }
    let to_head = match script.whole.get(heard.replies.len()) {
        Some(request) => request.method == "HEAD",
        None => script.rest().starts_with(b"HEAD "),
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
