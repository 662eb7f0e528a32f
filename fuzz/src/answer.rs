//! Heads of answers: cut in any way they read the same, and what is taken has one reading only, that of a
//! plain reader which sees all bytes at once.

use hanzo_gateway::net::h1::{AnswerHead, Framing, HeadParser};
use http::Method;

use crate::wire::Choices;
use crate::wire::strict;

/// The first bytes say what was asked and where the rest, an answer, is cut.
pub fn check(input: &[u8]) {
    let (start, bytes) = input.split_at(input.len().min(8));
    let mut choices = Choices::new(start);
    let method = if choices.once_in(4) {
        Method::HEAD
    } else {
        Method::GET
    };
    let whole = read(&[bytes], &method);
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    for _ in 0..choices.below(4) {
        let (piece, behind) = rest.split_at(choices.below(rest.len() + 1));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    same(&whole, &read(&pieces, &method));
    same(&whole, &read(&bytes.chunks(1).collect::<Vec<_>>(), &method));
    if let Ok(Some((head, used))) = &whole {
        one_reading(head, &bytes[..*used], &method);
    }
}

/// The head and its length, `None` when there must be more, or that it is none.
type Read = Result<Option<(AnswerHead, usize)>, ()>;

fn read(pieces: &[&[u8]], method: &Method) -> Read {
    let mut parser = HeadParser::new();
    let mut before = 0;
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        match parser.feed(piece, method) {
            Ok(Some((head, used))) => {
                assert!(used <= piece.len());
                return Ok(Some((head, before + used)));
            }
            Ok(None) => before += piece.len(),
            Err(_) => return Err(()),
        }
    }
    Ok(None)
}

fn same(whole: &Read, parted: &Read) {
    match (whole, parted) {
        (Ok(Some((one, used))), Ok(Some((other, also)))) => {
            assert_eq!(
                (used, one.status, &one.framing),
                (also, other.status, &other.framing)
            );
            assert_eq!(
                (&one.headers, one.keep_alive),
                (&other.headers, other.keep_alive)
            );
        }
        (Ok(None), Ok(None)) | (Err(()), Err(())) => {}
        _ => panic!("{whole:?} but {parted:?}"),
    }
}

/// Lines may end with LF alone here; a plain reading of them must come to the same.
fn one_reading(head: &AnswerHead, bytes: &[u8], method: &Method) {
    let mut lines = bytes
        .split(|b| *b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let minor = u8::from(first.starts_with("HTTP/1.1 "));
    assert!(minor == 1 || first.starts_with("HTTP/1.0 "), "{first}");
    assert_eq!(first.get(9..12), Some(head.status.as_str()), "{first}");
    assert!(
        matches!(first.as_bytes().get(12), None | Some(b' ')),
        "{first}"
    );
    let mut fields = Vec::new();
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let colon = line.iter().position(|b| *b == b':').expect("a colon");
        assert!(strict::is_token(&line[..colon]), "{}", line.escape_ascii());
        let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
        fields.push((name, line[colon + 1..].trim_ascii().to_vec()));
    }
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [b""],
        "the head ends at its first empty line"
    );
    assert_eq!(head.headers.len(), fields.len());
    for (name, _) in &fields {
        let values: Vec<&[u8]> = head
            .headers
            .get_all(name)
            .iter()
            .map(|value| value.as_bytes())
            .collect();
        assert_eq!(
            values,
            strict::all(&fields, name).collect::<Vec<_>>(),
            "{name}"
        );
        assert!(values.iter().all(|value| {
            value
                .iter()
                .all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f))
        }));
    }
    framing(head, &fields, minor, method);
}

fn framing(head: &AnswerHead, fields: &strict::Fields, minor: u8, method: &Method) {
    let stated = strict::stated(fields, minor).expect("one framing");
    let bodyless = *method == Method::HEAD
        || head.status.is_informational()
        || [204, 304].contains(&head.status.as_u16());
    match (&head.framing, stated) {
        (Framing::Empty, _) => assert!(bodyless),
        (Framing::Length(one), strict::Framing::Length(other)) => assert_eq!(*one, other as u64),
        (Framing::Chunked(_), strict::Framing::Chunked)
        | (Framing::Close, strict::Framing::Close) => {}
        (one, other) => panic!("{one:?} but {other:?}"),
    }
    let says = |word: &str| {
        strict::all(fields, "connection")
            .flat_map(|value| value.split(|b| *b == b','))
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    let stays =
        !says("close") && (minor == 1 || says("keep-alive")) && head.framing != Framing::Close;
    assert_eq!(head.keep_alive, stays);
}
