//! Bodies: both state machines of chunks against plain decoders that see all bytes at once, and cut in any
//! way they say the same.

use hanzo_gateway::edge::chunks::Chunks;
use hanzo_gateway::net::h1::{Chunked, Framing};

use crate::wire::Choices;
use crate::wire::strict;

/// Bounds of extensions and trailers, which no plain decoder has, are not reached by shorter bodies.
const LONGEST: usize = 4_000;

/// The first bytes say how the rest, a body and what follows it, is framed and cut.
pub fn check(input: &[u8]) {
    let (start, body) = input.split_at(input.len().min(8));
    if body.len() > LONGEST {
        return;
    }
    let mut choices = Choices::new(start);
    let framing = match choices.below(4) {
        0 => Framing::Length(choices.below(300) as u64),
        1 => Framing::Close,
        _ => Framing::Chunked(Chunked::new()),
    };
    let pieces = cut(&mut choices, body);
    decoder(&framing, body, &pieces);
    if matches!(framing, Framing::Chunked(_)) {
        looker(body, &pieces);
    }
}

/// The same bytes in up to five pieces.
fn cut<'a>(choices: &mut Choices<'_>, mut body: &'a [u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for _ in 0..choices.below(5) {
        let (piece, rest) = body.split_at(choices.below(body.len() + 1));
        pieces.push(piece);
        body = rest;
    }
    pieces.push(body);
    pieces
}

/// What decoding in pieces makes of a body: its data, how many bytes it took, whether it is done.
fn decode(framing: &Framing, pieces: &[&[u8]]) -> Option<(Vec<u8>, usize, bool)> {
    let (mut decoding, mut feeding) = (framing.clone(), framing.clone());
    let (mut data, mut used) = (Vec::new(), 0);
    for piece in pieces {
        let taken = decoding.decode(piece, |part| data.extend_from_slice(part));
        assert_eq!(taken.is_ok(), feeding.feed(piece).is_ok());
        assert!(
            taken.is_err() || decoding == feeding,
            "passing on and decoding differ"
        );
        let taken = taken.ok()?;
        assert!(
            taken == piece.len() || decoding.done(),
            "stopped inside a body"
        );
        used += taken;
    }
    let done = decoding.done();
    assert_eq!(decoding.eof().is_ok(), done || *framing == Framing::Close);
    Some((data, used, done))
}

fn decoder(framing: &Framing, body: &[u8], pieces: &[&[u8]]) {
    let whole = decode(framing, &[body]);
    assert_eq!(decode(framing, pieces), whole, "in pieces");
    assert_eq!(
        decode(framing, &body.chunks(1).collect::<Vec<_>>()),
        whole,
        "in bytes"
    );
    match framing {
        Framing::Length(length) => {
            let end = body.len().min(*length as usize);
            assert_eq!(
                whole,
                Some((body[..end].to_vec(), end, end as u64 == *length))
            );
        }
        Framing::Chunked(_) => match forgiving(body) {
            Ok(Some((data, end))) => assert_eq!(whole, Some((data, end, true))),
            Ok(None) => assert!(whole.is_none_or(|(_, _, done)| !done)),
            Err(()) => assert_eq!(whole, None),
        },
        _ => assert_eq!(whole, Some((body.to_vec(), body.len(), false))),
    }
    if let (Framing::Chunked(_), Ok(Some((data, end)))) =
        (framing, strict::chunked(body, 0, strict::From::Client))
    {
        assert_eq!(
            decode(framing, &[body]),
            Some((data, end, true)),
            "what is exact is understood"
        );
    }
}

/// A chunked body as backends may write it: blanks before an extension, any text in it.
fn forgiving(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, ()> {
    let (mut data, mut at) = (Vec::new(), 0);
    let text = |text: &[u8]| {
        text.iter()
            .all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f))
    };
    loop {
        let Some((line, next)) = strict::line(bytes, at).map_err(drop)? else {
            return Ok(None);
        };
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let size = std::str::from_utf8(&line[..digits]).map_err(drop)?;
        let size = u64::from_str_radix(size, 16).map_err(drop)?;
        let behind = line[digits..].trim_ascii_start();
        if digits > 16 || !(behind.is_empty() || behind.starts_with(b";")) || !text(&line[digits..])
        {
            return Err(());
        }
        at = next;
        if size == 0 {
            break;
        }
        let end = usize::try_from(size)
            .ok()
            .and_then(|size| at.checked_add(size));
        let Some(chunk) = end.and_then(|end| bytes.get(at..end)) else {
            return Ok(None);
        };
        data.extend_from_slice(chunk);
        at += chunk.len();
        match bytes.get(at..at + 2) {
            Some(b"\r\n") => at += 2,
            Some(_) => return Err(()),
            None => return Ok(None),
        }
    }
    while let Some((line, next)) = strict::line(bytes, at).map_err(drop)? {
        at = next;
        if line.is_empty() {
            return Ok(Some((data, at)));
        }
        let colon = line.iter().position(|b| *b == b':').ok_or(())?;
        if !strict::is_token(&line[..colon]) || !text(&line[colon..]) {
            return Err(());
        }
    }
    Ok(None)
}

/// The door's look at bodies of requests.
fn looker(body: &[u8], pieces: &[&[u8]]) {
    let look = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut chunks = Chunks::default();
        pieces
            .map(|piece| chunks.feed(piece))
            .any(|fed| fed.is_err())
    };
    let refused = look(&mut std::iter::once(body));
    assert_eq!(look(&mut pieces.iter().copied()), refused, "in pieces");
    assert_eq!(look(&mut body.chunks(1)), refused, "in bytes");
    match strict::chunked(body, 0, strict::From::Client) {
        Ok(Some(_)) => assert!(!refused, "an exact body is refused"),
        Err(what) => assert!(refused, "{what}, and it is taken"),
        Ok(None) => {}
    }
}
