//! What one client connection sends: well-formed requests with a mark of their own, and among them requests
//! bent into malformed and ambiguous shapes. What that means is not noted while it is made but read from the
//! finished bytes by [`strict`], so that shapes can be piled up without thinking.

use super::choices::Choices;
use super::shapes::SHAPES;
use super::strict::{self, From, Request};

/// How the bytes end, by the strict reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a whole request.
    Clean,
    /// Inside a request that may still be one.
    Incomplete,
    /// With bytes that are no request, and why.
    Broken(String),
}

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// All that the client sends.
    pub(crate) bytes: Vec<u8>,
    /// Where the bytes are cut into writes.
    pub(crate) cuts: Vec<usize>,
    /// The requests that they are.
    pub(crate) whole: Vec<Request>,
    /// Where each of them ends.
    pub(crate) ends: Vec<usize>,
    /// Whether the client waits for each answer before it goes on; else it sends all at once.
    pub(crate) paced: bool,
    /// What is behind them.
    pub(crate) end: End,
    /// Method and target of those that nobody has bent: they must be served.
    pub(crate) plain: Vec<String>,
    /// The shapes that were applied, for messages.
    pub(crate) shapes: Vec<&'static str>,
    /// Whether one shape alone was applied and it is never well-formed: a check of the strict reading itself.
    pub(crate) surely_bad: bool,
}

impl Script {
    /// What is behind the whole requests.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.ends.last().copied().unwrap_or(0)..]
    }
}

impl Script {
    /// Whether what is behind the whole requests looks like a `HEAD`: its answer has no body.
    pub(crate) fn rest_is_head(&self) -> bool {
        self.rest_message().starts_with(b"HEAD ")
    }

    /// Whether what is behind the whole requests begins with a head in which nothing is wrong, so that it can only be
    /// the body.
    pub(crate) fn rest_has_head(&self) -> bool {
        let rest = self.rest_message();
        let end = rest.windows(4).position(|window| window == b"\r\n\r\n");
        end.and_then(|end| rest.get(..end + 4))
            .is_some_and(|head| strict::request(head, From::Client).is_ok())
    }

    /// What is behind the whole requests, without empty lines in front of it.
    fn rest_message(&self) -> &[u8] {
        let mut rest = self.rest();
        while let Some(behind) = rest.strip_prefix(b"\r\n") {
            rest = behind;
        }
        rest
    }
}

/// A request in the making.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) mark: String,
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) version: Vec<u8>,
    /// Whole lines, without their ends.
    pub(crate) fields: Vec<Vec<u8>>,
    pub(crate) line_end: Vec<u8>,
    /// Framing included.
    pub(crate) body: Vec<u8>,
    /// Bytes in front of it.
    pub(crate) before: Vec<u8>,
    /// Between the words of the request line.
    pub(crate) spaces: [Vec<u8>; 2],
    /// Where it is cut off; nothing follows then.
    pub(crate) cut: Option<usize>,
    /// Single bytes set, put in or taken out at the end: place, what, byte.
    pub(crate) blots: Vec<(usize, u8, u8)>,
}

impl Draft {
    /// A well-formed request of one of five kinds.
    pub(crate) fn new(kind: usize, mark: String) -> Self {
        let path = if kind >= 3 { "/c/" } else { "/s/" };
        let body = format!("body-of-{mark}");
        let mut draft = Self {
            method: if kind.is_multiple_of(3) {
                "GET"
            } else {
                "POST"
            }
            .into(),
            target: format!("{path}{mark}").into_bytes(),
            version: b"HTTP/1.1".to_vec(),
            fields: vec![
                b"Host: gw.test".to_vec(),
                format!("X-Mark: {mark}").into_bytes(),
            ],
            line_end: b"\r\n".to_vec(),
            body: Vec::new(),
            before: Vec::new(),
            spaces: [b" ".to_vec(), b" ".to_vec()],
            cut: None,
            blots: Vec::new(),
            mark,
        };
        match kind {
            1 | 4 => {
                draft.field(format!("Content-Length: {}", body.len()));
                draft.body = body.into_bytes();
            }
            2 => {
                draft.field("Transfer-Encoding: chunked");
                draft.body = chunks(body.as_bytes());
            }
            _ => {}
        }
        draft
    }

    /// One more field line.
    pub(crate) fn field(&mut self, line: impl AsRef<[u8]>) {
        self.fields.push(line.as_ref().to_vec());
    }

    /// Takes the framing out, and the body with it.
    pub(crate) fn unframed(&mut self) {
        self.without("content-length");
        self.without("transfer-encoding");
        self.body.clear();
    }

    /// Takes a field out.
    pub(crate) fn without(&mut self, name: &str) {
        self.fields.retain(|line| {
            let start = line.get(..name.len()).unwrap_or_default();
            !start.eq_ignore_ascii_case(name.as_bytes())
        });
    }

    /// A request hidden in a body: it must never become one.
    pub(crate) fn evil(&self) -> Vec<u8> {
        format!(
            "GET /s/evil-{} HTTP/1.1\r\nHost: gw.test\r\n\r\n",
            self.mark
        )
        .into_bytes()
    }

    fn write(&self) -> Vec<u8> {
        let mut out = self.before.clone();
        for part in [
            &self.method,
            &self.spaces[0],
            &self.target,
            &self.spaces[1],
            &self.version,
        ] {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(&self.line_end);
        for field in &self.fields {
            out.extend_from_slice(field);
            out.extend_from_slice(&self.line_end);
        }
        out.extend_from_slice(&self.line_end);
        out.extend_from_slice(&self.body);
        for &(place, what, byte) in &self.blots {
            let at = place % (out.len() + 1);
            match what {
                0 => out.insert(at, byte),
                1 if at < out.len() => drop(out.remove(at)),
                _ if at < out.len() => out[at] = byte,
                _ => {}
            }
        }
        if let Some(cut) = self.cut {
            out.truncate(cut % out.len().max(1));
        }
        out
    }
}

/// A body in two chunks.
pub(crate) fn chunks(body: &[u8]) -> Vec<u8> {
    let (first, second) = body.split_at(body.len().min(3));
    let mut out = format!("{:x}\r\n", first.len()).into_bytes();
    out.extend_from_slice(first);
    out.extend_from_slice(format!("\r\n{:X}\r\n", second.len()).as_bytes());
    out.extend_from_slice(second);
    out.extend_from_slice(b"\r\n0\r\n\r\n");
    out
}

/// The connection that some decisions make. `connection` is a number that no other one has; all marks carry
/// it.
pub(crate) fn script(choices: &mut Choices<'_>, connection: usize) -> Script {
    let mut bytes = Vec::new();
    let (mut plain, mut shapes) = (Vec::new(), Vec::new());
    let mut bad = false;
    let before = choices.below(3);
    let bent = 1 + usize::from(choices.once_in(8));
    let mut cut = false;
    for number in 0..=before + bent {
        let mark = format!("c{connection}r{number}");
        let mut draft = Draft::new(choices.below(5), mark);
        let last = number == before + bent;
        let style = choices.below(16);
        if (1..8).contains(&style) {
            draft.field(format!("X-Style: {style}"));
        }
        if number >= before && !last {
            let times = 1 + usize::from(choices.once_in(4)) + usize::from(choices.once_in(12));
            for _ in 0..times {
                let shape = &SHAPES[choices.below(SHAPES.len())];
                (shape.bend)(&mut draft, choices);
                shapes.push(shape.name);
                bad = shape.bad;
            }
        } else {
            plain.push(format!("{} {}", lossy(&draft.method), lossy(&draft.target)));
        }
        if last {
            draft.field("Connection: close");
        }
        bytes.extend(draft.write());
        if draft.cut.is_some() {
            cut = true;
            break;
        }
    }
    let surely_bad = bad && shapes.len() == 1 && !cut;
    finish(choices, bytes, plain, shapes, surely_bad)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn finish(
    choices: &mut Choices<'_>,
    bytes: Vec<u8>,
    plain: Vec<String>,
    shapes: Vec<&'static str>,
    surely_bad: bool,
) -> Script {
    let mut cuts: Vec<usize> = Vec::new();
    for _ in 0..choices.below(4).saturating_sub(1) {
        cuts.push(choices.below(65_536) % bytes.len().max(1));
    }
    cuts.sort_unstable();
    let (mut whole, mut ends, mut used) = (Vec::new(), Vec::new(), 0);
    let paced = choices.once_in(2);
    let end = loop {
        match strict::request(&bytes[used..], From::Client) {
            Ok(Some((request, length))) => {
                used += length;
                ends.push(used);
                whole.push(request);
            }
            Ok(None) if bytes[used..].iter().all(|b| b"\r\n".contains(b)) => break End::Clean,
            Ok(None) => break End::Incomplete,
            Err(why) => break End::Broken(why),
        }
    };
    Script {
        bytes,
        cuts,
        whole,
        ends,
        paced,
        end,
        plain,
        shapes,
        surely_bad,
    }
}
