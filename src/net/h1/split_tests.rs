//! However an answer is cut into pieces, it reads the same; and no bytes at all make the reader panic.

use http::Method;

use super::{AnswerHead, HeadParser};

#[derive(Debug, PartialEq)]
struct Read {
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    complete: bool,
    unused: usize,
}

/// Reads one answer from pieces; an error of any kind is one result.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Read> {
    let mut parser = HeadParser::new();
    let mut head: Option<AnswerHead> = None;
    let (mut body, mut unused) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = piece;
        if head.is_none() {
            match parser.feed(rest, &Method::GET) {
                Err(_) => return None,
                Ok(None) => continue,
                Ok(Some((found, used))) => {
                    rest = &rest[used..];
                    head = Some(found);
                }
            }
        }
        let framing = &mut head.as_mut().unwrap().framing;
        let used = framing
            .decode(rest, |data| body.extend_from_slice(data))
            .ok()?;
        unused += rest.len() - used;
    }
    let head = head?;
    let fields = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    let complete = head.framing.done();
    Some(Read {
        status: head.status.as_u16(),
        fields,
        body,
        complete,
        unused,
    })
}

fn cut<'a>(random: &mut fastrand::Rng, mut wire: &'a [u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let most = random.usize(1..60);
    while !wire.is_empty() {
        let (piece, rest) = wire.split_at(random.usize(1..=wire.len().min(most)));
        pieces.push(piece);
        wire = rest;
    }
    pieces
}

fn mutate(random: &mut fastrand::Rng, wire: &mut Vec<u8>) {
    const BYTES: &[u8] = b"\r\n:;, \t0aF\0\xff1HT-";
    for _ in 0..random.usize(0..4) {
        if wire.is_empty() {
            return;
        }
        let at = random.usize(..wire.len());
        let byte = BYTES[random.usize(..BYTES.len())];
        match random.u8(..4) {
            0 => wire[at] = byte,
            1 => wire.insert(at, byte),
            2 => drop(wire.remove(at)),
            _ => wire.truncate(at + 1),
        }
    }
}

const ANSWERS: [&[u8]; 6] = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\nX-A: c\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: 1\r\n\r\n",
    b"HTTP/1.0 404 Not Found\nServer: x\n\nuntil the end",
    b"HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\na \t;q=\"1\"\r\n0123456789\r\n00\r\n\r\ntoo much",
];

#[test]
fn every_split_of_valid_and_mutated_answers_reads_the_same() {
    let mut random = fastrand::Rng::with_seed(0x5eed);
    for round in 0..30_000 {
        let mut wire = ANSWERS[round % ANSWERS.len()].to_vec();
        mutate(&mut random, &mut wire);
        let whole = read(std::iter::once(wire.as_slice()));
        let pieces = cut(&mut random, &wire);
        let parts = read(pieces.iter().copied());
        assert_eq!(whole, parts, "{:?}", String::from_utf8_lossy(&wire));
    }
}

#[test]
fn bytes_cut_one_by_one_read_like_the_whole() {
    for wire in ANSWERS {
        assert_eq!(read(std::iter::once(wire)), read(wire.chunks(1)));
    }
}

#[test]
fn raw_passing_and_decoding_agree_on_the_end() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let mut wire = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: 1\r\n\r\nrest".to_vec();
        mutate(&mut random, &mut wire);
        let mut raw = super::Framing::Chunked(super::Chunked::new());
        let mut decoded = raw.clone();
        assert_eq!(raw.feed(&wire), decoded.decode(&wire, |_| ()));
        assert_eq!(raw, decoded);
    }
}
