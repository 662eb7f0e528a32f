//! A client that sends exactly the bytes it is given and reads what comes, on one connection that
//! stays open for as long as both sides want.

use std::io::{BufReader, Result, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::message::{Answer, Body, Framing, Head, buffered, closes};

/// One connection to a gateway, or to an [`super::Origin`].
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    port: u16,
    /// Method of the request under way: it decides whether its answer has a body.
    method: String,
    sent_at: Instant,
    body: Option<Body>,
}

impl Client {
    /// Connects to a port of loopback.
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("somebody listens");
        Self {
            stream: buffered(stream),
            port,
            method: String::new(),
            sent_at: Instant::now(),
            body: None,
        }
    }

    /// Sends bytes as they are. The first word after an answer counts as a request's method.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes.as_ref())
            .expect("the peer takes the bytes");
        self
    }

    /// [`Client::send`] for a peer that may have closed.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> Result<()> {
        if self.method.is_empty() {
            let word = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
            self.method = String::from_utf8_lossy(word).into_owned();
        }
        self.stream.get_mut().write_all(bytes)?;
        self.sent_at = Instant::now();
        Ok(())
    }

    /// Sends a request with a `Host`, the given fields and, for a body, its length.
    pub(crate) fn request(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> &mut Self {
        let mut text = format!("{method} {target} HTTP/1.1\r\n");
        if !fields
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            text += &format!("Host: 127.0.0.1:{}\r\n", self.port);
        }
        for (name, value) in fields {
            text += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        self.send(text + "\r\n" + body)
    }

    /// One `GET` and its answer.
    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.request("GET", target, &[], "").answer()
    }

    /// The final answer to what was sent, complete.
    ///
    /// # Panics
    /// When the peer closes before the end of it.
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer()
            .expect("an answer")
            .expect("an answer, not a close")
    }

    /// [`Client::answer`] for a peer that may close; `None` when it did so without a byte.
    pub(crate) fn try_answer(&mut self) -> Result<Option<Answer>> {
        let Some(head) = self.try_head()? else {
            return Ok(None);
        };
        let body = match self.body.take() {
            Some(mut body) => body.rest(&mut self.stream)?,
            None => Vec::new(),
        };
        self.method.clear();
        Ok(Some(Answer {
            head,
            body,
            took: self.sent_at.elapsed(),
        }))
    }

    /// The head of the answer alone, as soon as it is there; then come [`Client::piece`]s.
    pub(crate) fn head(&mut self) -> Head {
        self.try_head()
            .expect("a head")
            .expect("a head, not a close")
    }

    /// The next piece of the body and when it came, counted from the request; `None` at its end.
    pub(crate) fn piece(&mut self) -> Option<(Duration, Vec<u8>)> {
        let body = self.body.as_mut().expect("pieces come after a head");
        let piece = body.piece(&mut self.stream).expect("a whole body");
        if piece.is_none() {
            self.method.clear();
        }
        piece.map(|piece| (self.sent_at.elapsed(), piece))
    }

    /// The next head, be it an interim one; behind the final one its body is to be read by hand.
    pub(crate) fn any_head(&mut self) -> Head {
        Head::read(&mut self.stream)
            .expect("a head")
            .expect("a head, not a close")
    }

    fn try_head(&mut self) -> Result<Option<Head>> {
        loop {
            let Some(head) = Head::read(&mut self.stream)? else {
                return Ok(None);
            };
            let interim = head.word(1).starts_with('1') && head.word(1) != "101";
            if !interim {
                self.body = Some(Body::new(Framing::of_answer(&head, &self.method)));
                return Ok(Some(head));
            }
        }
    }

    /// Whether the peer closes the connection without sending more.
    pub(crate) fn is_closed(&mut self) -> bool {
        closes(&mut self.stream)
    }

    /// Ends the sending side only; answers can still come.
    pub(crate) fn finish(&mut self) {
        self.stream
            .get_ref()
            .shutdown(Shutdown::Write)
            .expect("an open connection");
    }
}
