//! Go's `net/rpc` over `encoding/gob`, as far as the revoker's calls need it: a conversation takes the messages of one
//! connection and gives the answers (reference/krakend-components section 14.2). Requests are read by the places of
//! their fields; the definitions of types that go before them are passed over.
//!
//! Differs from Go: messages and lists are bounded, and calls are answered in the order in which they came.

/// Longest message, in bytes.
pub const MAX_MESSAGE: usize = 4 << 20;
/// Most definitions of types that one connection may send.
const MAX_DEFINITIONS: usize = 256;

/// What callers may ask.
pub trait Calls {
    /// Revokes elements and says how many.
    fn add(&self, elements: &[&[u8]]) -> usize;

    /// Which of these elements are revoked.
    fn check(&self, elements: &[&[u8]]) -> Vec<bool>;
}

/// The bytes are not what a Go client sends; the conversation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

const RESPONSE: i64 = 65;
const ADDED: i64 = 66;
const CHECKED: i64 = 67;
const BOOLS: i64 = 68;
const NOTHING: i64 = 69;
/// Types that every gob knows.
const BOOL: i64 = 1;
const INT: i64 = 2;
const UINT: i64 = 3;
const STRING: i64 = 6;

/// One connection's state.
#[derive(Debug, Default)]
pub struct Conversation {
    /// The request whose argument is still to come: method and number.
    asked: Option<(Vec<u8>, u64)>,
    definitions: usize,
    /// Types of ours that the client knows.
    told: Vec<i64>,
}

impl Conversation {
    /// Takes a message, without its length, and appends what is to be answered.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub fn take(
        &mut self,
        message: &[u8],
        to: &dyn Calls,
        out: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        let mut reader = Reader(message);
        if reader.int()? < 0 {
            self.definitions += 1;
            return if self.definitions > MAX_DEFINITIONS {
                Err(Broken)
            } else {
                Ok(())
            };
        }
        match self.asked.take() {
            None => self.asked = Some(request(&mut reader)?),
            Some((method, number)) => self.answer(&method, number, &mut reader, to, out)?,
        }
        Ok(())
    }

    fn answer(
        &mut self,
        method: &[u8],
        number: u64,
        argument: &mut Reader<'_>,
        to: &dyn Calls,
        out: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        match method {
            b"BloomfilterRPC.Add" => {
                let count = to.add(&elements(argument)?);
                self.head(method, number, "", out);
                self.define(
                    ADDED,
                    &structure("AddOutput", ADDED, &[("Count", INT)]),
                    out,
                );
                let mut value = Vec::new();
                if count > 0 {
                    value.push(1);
                    push_int(&mut value, i64::try_from(count).unwrap_or(i64::MAX));
                }
                finish(ADDED, value, out);
            }
            b"BloomfilterRPC.Check" => {
                let checks = to.check(&elements(argument)?);
                self.head(method, number, "", out);
                self.define(BOOLS, &list("[]bool", BOOLS, BOOL), out);
                let checked = structure("CheckOutput", CHECKED, &[("Checks", BOOLS)]);
                self.define(CHECKED, &checked, out);
                let mut value = Vec::new();
                if !checks.is_empty() {
                    value.push(1);
                    push_uint(&mut value, checks.len() as u64);
                    value.extend(checks.into_iter().map(u8::from));
                }
                finish(CHECKED, value, out);
            }
            b"BloomfilterRPC.Union" => {
                let text = "a filter cannot be taken over as a whole; add its elements";
                self.refuse(method, number, text, out);
            }
            _ => {
                let name = String::from_utf8_lossy(method);
                let service = name.rsplit_once('.').map_or("", |(service, _)| service);
                let text = match service {
                    "BloomfilterRPC" => format!("rpc: can't find method {name}"),
                    _ => format!("rpc: can't find service {name}"),
                };
                self.refuse(method, number, &text, out);
            }
        }
        Ok(())
    }

    fn refuse(&mut self, method: &[u8], number: u64, text: &str, out: &mut Vec<u8>) {
        self.head(method, number, text, out);
        self.define(NOTHING, &structure("", NOTHING, &[]), out);
        finish(NOTHING, Vec::new(), out);
    }

    /// The head of an answer. Fields that hold nothing are left out.
    fn head(&mut self, method: &[u8], number: u64, error: &str, out: &mut Vec<u8>) {
        let fields = [("ServiceMethod", STRING), ("Seq", UINT), ("Error", STRING)];
        self.define(RESPONSE, &structure("Response", RESPONSE, &fields), out);
        let mut value = vec![1];
        push_text(&mut value, method);
        let mut skipped = 1;
        if number > 0 {
            value.push(1);
            push_uint(&mut value, number);
            skipped = 0;
        }
        if !error.is_empty() {
            value.push(1 + skipped);
            push_text(&mut value, error.as_bytes());
        }
        finish(RESPONSE, value, out);
    }

    fn define(&mut self, id: i64, definition: &[u8], out: &mut Vec<u8>) {
        if !self.told.contains(&id) {
            self.told.push(id);
            push_message(-id, definition, out);
        }
    }
}

/// A value of a structure, which an empty field number ends.
fn finish(id: i64, mut value: Vec<u8>, out: &mut Vec<u8>) {
    value.push(0);
    push_message(id, &value, out);
}

fn push_message(id: i64, content: &[u8], out: &mut Vec<u8>) {
    let mut whole = Vec::with_capacity(content.len() + 4);
    push_int(&mut whole, id);
    whole.extend_from_slice(content);
    push_uint(out, whole.len() as u64);
    out.extend_from_slice(&whole);
}

/// What all definitions have: a name and a number.
fn push_common(out: &mut Vec<u8>, name: &str, id: i64) {
    out.push(1);
    if name.is_empty() {
        out.push(2);
    } else {
        out.push(1);
        push_text(out, name.as_bytes());
        out.push(1);
    }
    push_int(out, id);
    out.push(0);
}

fn structure(name: &str, id: i64, fields: &[(&str, i64)]) -> Vec<u8> {
    let mut out = vec![3];
    push_common(&mut out, name, id);
    if !fields.is_empty() {
        out.push(1);
        push_uint(&mut out, fields.len() as u64);
        for (name, kind) in fields {
            out.push(1);
            push_text(&mut out, name.as_bytes());
            out.push(1);
            push_int(&mut out, *kind);
            out.push(0);
        }
    }
    out.extend([0, 0]);
    out
}

fn list(name: &str, id: i64, of: i64) -> Vec<u8> {
    let mut out = vec![2];
    push_common(&mut out, name, id);
    out.push(1);
    push_int(&mut out, of);
    out.extend([0, 0]);
    out
}

/// Appends a number as gobs write it: small ones as they are, others with the count of their bytes before them.
pub fn push_uint(out: &mut Vec<u8>, number: u64) {
    match u8::try_from(number) {
        Ok(small @ ..0x80) => out.push(small),
        _ => {
            let bytes = number.to_be_bytes();
            let skipped = (number.leading_zeros() / 8) as usize;
            let used = bytes.get(skipped..).unwrap_or_default();
            out.push((used.len() as u8).wrapping_neg());
            out.extend_from_slice(used);
        }
    }
}

fn push_int(out: &mut Vec<u8>, number: i64) {
    push_uint(out, ((number << 1) ^ (number >> 63)) as u64);
}

fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    push_uint(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// How many bytes follow the first one of a number; none for a small number, which is that byte.
///
/// # Errors
/// When there is no such number.
pub fn uint_rest(first: u8) -> Result<usize, Broken> {
    match first {
        ..0x80 => Ok(0),
        _ => {
            let count = usize::from(first.wrapping_neg());
            if count <= 8 { Ok(count) } else { Err(Broken) }
        }
    }
}

/// The request's head: method and number.
fn request(reader: &mut Reader<'_>) -> Result<(Vec<u8>, u64), Broken> {
    let (mut method, mut number, mut field) = (Vec::new(), 0, 0);
    loop {
        match reader.uint()? {
            0 => return Ok((method, number)),
            step => field += step.min(3),
        }
        match field {
            1 => method = reader.text()?.to_vec(),
            2 => number = reader.uint()?,
            _ => return Err(Broken),
        }
    }
}

/// The argument's list of elements.
fn elements<'m>(reader: &mut Reader<'m>) -> Result<Vec<&'m [u8]>, Broken> {
    match reader.uint()? {
        0 => return Ok(Vec::new()),
        1 => {}
        _ => return Err(Broken),
    }
    let count = reader.uint()?;
    // Each takes a byte at least.
    if count > reader.0.len() as u64 {
        return Err(Broken);
    }
    let all: Result<Vec<_>, _> = (0..count).map(|_| reader.text()).collect();
    match reader.uint()? {
        0 => all,
        _ => Err(Broken),
    }
}

struct Reader<'m>(&'m [u8]);

impl<'m> Reader<'m> {
    fn bytes(&mut self, count: usize) -> Result<&'m [u8], Broken> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Broken)?;
        self.0 = rest;
        Ok(taken)
    }

    fn uint(&mut self) -> Result<u64, Broken> {
        let first = self.bytes(1)?.first().copied().ok_or(Broken)?;
        match uint_rest(first)? {
            0 => Ok(u64::from(first)),
            count => {
                let rest = self.bytes(count)?;
                Ok(rest
                    .iter()
                    .fold(0, |number, byte| number << 8 | u64::from(*byte)))
            }
        }
    }

    fn int(&mut self) -> Result<i64, Broken> {
        let number = self.uint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn text(&mut self) -> Result<&'m [u8], Broken> {
        let length = usize::try_from(self.uint()?).map_err(|_| Broken)?;
        self.bytes(length)
    }
}

#[cfg(test)]
mod tests;
