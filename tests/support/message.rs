//! HTTP/1.1 messages as a test sees them: heads with every field in the order it came, bodies in
//! the pieces they came in. Reads what well-behaved peers send; hostile bytes are sent raw.

use std::fmt;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result};
use std::net::TcpStream;
use std::time::Duration;

/// The head of a request or an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// Request line or status line, without its line end.
    pub(crate) first: String,
    /// Names and values in the order of arrival, names in their own case.
    pub(crate) fields: Vec<(String, String)>,
    /// The very bytes, from the first line to the empty line.
    pub(crate) raw: Vec<u8>,
}

impl Head {
    /// The first value of a field, whatever the case of its name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All values of a field in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let same = self
            .fields
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }

    /// One of the three words of the first line.
    pub(crate) fn word(&self, at: usize) -> &str {
        self.first.splitn(3, ' ').nth(at).unwrap_or_default()
    }

    /// Reads one head; `None` when the peer closed before its first byte.
    pub(crate) fn read(from: &mut impl BufRead) -> Result<Option<Self>> {
        let mut head = Self::default();
        loop {
            let start = head.raw.len();
            if from.read_until(b'\n', &mut head.raw)? == 0 {
                let early = Error::new(ErrorKind::UnexpectedEof, "closed inside a head");
                return if head.raw.is_empty() {
                    Ok(None)
                } else {
                    Err(early)
                };
            }
            let line = String::from_utf8_lossy(&head.raw[start..])
                .trim_end_matches(['\r', '\n'])
                .to_owned();
            if start == 0 {
                head.first = line;
            } else if line.is_empty() {
                return Ok(Some(head));
            } else {
                let (name, value) = line.split_once(':').unwrap_or((&line, ""));
                head.fields.push((name.to_owned(), value.trim().to_owned()));
            }
        }
    }
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    /// Of a request: without a length there is no body.
    pub(crate) fn of_request(head: &Head) -> Self {
        Self::stated(head).unwrap_or(Self::None)
    }

    /// Of an answer to a request with this method.
    pub(crate) fn of_answer(head: &Head, method: &str) -> Self {
        let status = head.word(1);
        if method == "HEAD" || status.starts_with('1') || status == "204" || status == "304" {
            return Self::None;
        }
        Self::stated(head).unwrap_or(Self::UntilClose)
    }

    fn stated(head: &Head) -> Option<Self> {
        let coding = head
            .get("transfer-encoding")
            .is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
        if coding {
            return Some(Self::Chunked);
        }
        head.get("content-length")
            .and_then(|value| value.parse().ok())
            .map(Self::Length)
    }
}

/// A body that is still arriving.
#[derive(Debug)]
pub(crate) struct Body {
    framing: Framing,
    /// Bytes that are left of a stated length, or of the open chunk.
    left: usize,
    done: bool,
}

impl Body {
    pub(crate) fn new(framing: Framing) -> Self {
        let left = if let Framing::Length(length) = framing {
            length
        } else {
            0
        };
        Self {
            framing,
            left,
            done: framing == Framing::None || framing == Framing::Length(0),
        }
    }

    /// The next bytes as soon as there are some; `None` at the end of the body.
    pub(crate) fn piece(&mut self, from: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
        if self.done {
            return Ok(None);
        }
        if self.framing == Framing::Chunked && self.left == 0 {
            self.left = chunk_size(from)?;
            if self.left == 0 {
                self.done = true;
                while !line(from)?.is_empty() {}
                return Ok(None);
            }
        }
        let there = from.fill_buf()?;
        if there.is_empty() {
            self.done = true;
            let cut = Error::new(ErrorKind::UnexpectedEof, "closed inside a body");
            return if self.framing == Framing::UntilClose {
                Ok(None)
            } else {
                Err(cut)
            };
        }
        let take = if self.framing == Framing::UntilClose {
            there.len()
        } else {
            there.len().min(self.left)
        };
        let piece = there[..take].to_vec();
        from.consume(take);
        if self.framing != Framing::UntilClose {
            self.left -= take;
            self.end_of_part(from)?;
        }
        Ok(Some(piece))
    }

    fn end_of_part(&mut self, from: &mut impl BufRead) -> Result<()> {
        if self.left == 0 {
            match self.framing {
                Framing::Chunked => drop(line(from)?),
                _ => self.done = true,
            }
        }
        Ok(())
    }

    /// All that is left of the body.
    pub(crate) fn rest(&mut self, from: &mut impl BufRead) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(piece) = self.piece(from)? {
            all.extend(piece);
        }
        Ok(all)
    }
}

fn line(from: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(Error::new(
            ErrorKind::UnexpectedEof,
            "closed inside a chunked body",
        ));
    }
    Ok(line.trim_end().to_owned())
}

fn chunk_size(from: &mut impl BufRead) -> Result<usize> {
    let line = line(from)?;
    let digits = line.split(';').next().unwrap_or_default().trim();
    usize::from_str_radix(digits, 16)
        .map_err(|_| Error::new(ErrorKind::InvalidData, format!("chunk size {line:?}")))
}

/// A whole answer.
#[derive(Clone)]
pub(crate) struct Answer {
    /// Status line and fields.
    pub(crate) head: Head,
    /// The body, its transfer coding undone.
    pub(crate) body: Vec<u8>,
    /// From the last byte of the request to the last of the answer.
    pub(crate) took: Duration,
}

impl Answer {
    /// The status code; 0 when there is none.
    pub(crate) fn status(&self) -> u16 {
        self.head.word(1).parse().unwrap_or_default()
    }

    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }

    /// The body as text; what is no UTF-8 shows as U+FFFD.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// An error of the gateway itself in the native dialect, with all that each of them has.
    ///
    /// # Panics
    /// When it is anything else.
    pub(crate) fn assert_error(&self, status: u16, error: &str) {
        let body = self.json();
        assert_eq!(self.status(), status, "{self:?}");
        assert_eq!(body["status"], status, "{self:?}");
        assert_eq!(body["error"], error, "{self:?}");
        assert!(
            body["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{self:?}"
        );
        assert_eq!(
            body["request_id"].as_str(),
            self.header("x-request-id"),
            "{self:?}"
        );
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = String::from_utf8_lossy(&self.head.raw);
        write!(f, "answer after {:?}:\n{head}{}", self.took, self.text())
    }
}

/// A socket with a reader in front of it; both with a deadline on every operation.
pub(crate) fn buffered(stream: TcpStream) -> BufReader<TcpStream> {
    let limit = Some(super::PATIENCE);
    stream
        .set_read_timeout(limit)
        .and_then(|()| stream.set_write_timeout(limit))
        .expect("a socket takes a timeout");
    stream.set_nodelay(true).expect("a socket takes nodelay");
    BufReader::new(stream)
}

/// Waits for the peer's close; `false` when bytes came instead, or nothing for [`super::PATIENCE`].
pub(crate) fn closes(from: &mut BufReader<TcpStream>) -> bool {
    match from.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}
