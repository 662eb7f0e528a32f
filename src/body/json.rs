//! JSON in and out. Decoding keeps number text and, as Go's streaming decoder, reads the first value and
//! ignores what follows it. Encoding is Go's: compact, members sorted, `<`, `>`, `&`, U+2028 and U+2029
//! escaped so that the text may stand inside HTML.

use super::build::{Builder, Children, Kind};
use super::value::{Object, Value};
use crate::base::json::{Lexer, SyntaxError, Token};

/// The first JSON value of a text.
///
/// # Errors
/// When the text is no JSON up to the end of its first value.
pub fn decode(text: &[u8]) -> Result<Value, SyntaxError> {
    let mut lexer = Lexer::new(text);
    let mut builder = Builder::new();
    while let Some(token) = lexer.next()? {
        match token {
            Token::ObjectStart => builder.open(Kind::Object),
            Token::ArrayStart => builder.open(Kind::Array),
            Token::ObjectEnd | Token::ArrayEnd => builder.close(),
            Token::Key(key) => builder.key(key),
            Token::String(text) => builder.value(Value::String(text.into())),
            Token::Number(text) => builder.value(Value::Number(text.into())),
            Token::Bool(b) => builder.value(Value::Bool(b)),
            Token::Null => builder.value(Value::Null),
        }
    }
    Ok(builder.finish())
}

/// Appends a value as JSON.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match Children::of(value) {
        Some((kind, children)) => container(kind, children, out),
        None => leaf(value, out),
    }
}

/// Appends an object as JSON.
pub fn encode_object(object: &Object, out: &mut Vec<u8>) {
    container(
        Kind::Object,
        Children::Members(object.members().iter()),
        out,
    );
}

/// A value as JSON text.
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    encode(value, &mut out);
    out
}

fn container(kind: Kind, children: Children<'_>, out: &mut Vec<u8>) {
    let mut walks = Vec::with_capacity(8);
    out.push(bracket(kind, b'[', b'{'));
    walks.push((kind, children));
    let mut first = true;
    while let Some((kind, walk)) = walks.last_mut() {
        let Some((key, value)) = walk.next() else {
            out.push(bracket(*kind, b']', b'}'));
            walks.pop();
            first = false;
            continue;
        };
        if !first {
            out.push(b',');
        }
        first = false;
        if let Some(key) = key {
            string(key, out);
            out.push(b':');
        }
        match Children::of(value) {
            Some((kind, children)) => {
                out.push(bracket(kind, b'[', b'{'));
                walks.push((kind, children));
                first = true;
            }
            None => leaf(value, out),
        }
    }
}

#[inline]
fn bracket(kind: Kind, array: u8, object: u8) -> u8 {
    if kind == Kind::Array { array } else { object }
}

#[inline]
fn leaf(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(text) => out.extend_from_slice(text.as_bytes()),
        Value::String(text) => string(text, out),
        Value::Bytes(bytes) => broken_string(bytes, out),
        Value::Null | Value::Array(_) | Value::Object(_) | Value::Record(_) => {
            out.extend_from_slice(b"null")
        }
    }
}

/// What stands for a byte in a string: 0 for itself, `u` for `\u00XX`, else the letter after `\`.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 0x20 {
        table[at] = b'u';
        at += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'<' as usize] = b'u';
    table[b'>' as usize] = b'u';
    table[b'&' as usize] = b'u';
    // First byte of U+2028 and U+2029; looked at more closely when met.
    table[0xe2] = b'?';
    table
};

/// Appends a string in quotes.
#[inline]
pub fn string(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 3);
    out.push(b'"');
    if plain_length(text.as_bytes()) == text.len() {
        out.extend_from_slice(text.as_bytes());
    } else {
        escaped(text, out);
    }
    out.push(b'"');
}

fn escaped(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let (mut done, mut at) = (0, 0);
    loop {
        at += plain_length(bytes.get(at..).unwrap_or_default());
        let Some(&byte) = bytes.get(at) else { break };
        let mut length = 1;
        let escape = ESCAPES.get(usize::from(byte)).copied().unwrap_or(0);
        if escape == b'?' {
            match bytes.get(at + 1..at + 3) {
                Some([0x80, 0xa8 | 0xa9]) => length = 3,
                _ => {
                    at += 1;
                    continue;
                }
            }
        }
        out.extend_from_slice(bytes.get(done..at).unwrap_or_default());
        match escape {
            b'?' if bytes.get(at + 2) == Some(&0xa8) => out.extend_from_slice(b"\\u2028"),
            b'?' => out.extend_from_slice(b"\\u2029"),
            b'u' => {
                let digit = |half: u8| HEX.get(usize::from(half)).copied().unwrap_or(b'0');
                let digits = [digit(byte >> 4), digit(byte & 15)];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
        at += length;
        done = at;
    }
    out.extend_from_slice(bytes.get(done..).unwrap_or_default());
}

/// How many bytes stand for themselves: up to the first for which [`ESCAPES`] has an entry. Eight at a
/// time, since most of an answer is the inside of strings.
#[inline]
fn plain_length(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    let zero = |x: u64| x.wrapping_sub(ONES) & !x;
    let (words, rest) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // Two pairs differ in one bit: 22 and 26 (`"` and `&`), 3c and 3e (`<` and `>`).
        let found = zero((word & !(ONES * 0x04)) ^ (ONES * 0x22))
            | zero((word & !(ONES * 0x02)) ^ (ONES * 0x3c))
            | zero(word ^ (ONES * 0x5c))
            | zero(word ^ (ONES * 0xe2))
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let found = found & (ONES * 0x80);
        if found != 0 {
            return at * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    // No branch for each byte: names are short, and where a loop ends cannot be foreseen.
    let entry = |byte: &u8| ESCAPES.get(usize::from(*byte)).copied().unwrap_or(0);
    let at = match rest.iter().fold(0, |any, byte| any | entry(byte)) {
        0 => rest.len(),
        _ => rest
            .iter()
            .position(|byte| entry(byte) != 0)
            .unwrap_or(rest.len()),
    };
    words.len() * 8 + at
}

/// A string of broken UTF-8: every byte that belongs to no character becomes an escaped U+FFFD.
fn broken_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        escaped(chunk.valid(), out);
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str) -> String {
        String::from_utf8(to_vec(&decode(text.as_bytes()).unwrap())).unwrap()
    }

    #[test]
    fn keeps_number_text_and_sorts_members() {
        assert_eq!(
            round(r#"{"n":1.50,"big":12345678901234567890,"h":"<a>&"}"#),
            r#"{"big":12345678901234567890,"h":"\u003ca\u003e\u0026","n":1.50}"#
        );
        assert_eq!(
            round(
                r#"{"int":12345678901234567890,"neg":-7,"float":1.0,"small":0.0000001,"exp":1e21,"huge":123456789012.5,"zero":0,"e2":1E+2}"#
            ),
            r#"{"e2":1E+2,"exp":1e21,"float":1.0,"huge":123456789012.5,"int":12345678901234567890,"neg":-7,"small":0.0000001,"zero":0}"#
        );
    }

    #[test]
    fn escapes_as_go_does() {
        assert_eq!(
            round(
                "{\"html\":\"<a href=\\\"x\\\">&'</a>\",\"ls\":\"a\u{2028}b\u{2029}â\",\"accent\":\"é\",\"esc\":\"\\u00e9\\t\",\"emoji\":\"😀\",\"del\":\"\x7f\"}"
            ),
            "{\"accent\":\"é\",\"del\":\"\x7f\",\"emoji\":\"😀\",\"esc\":\"é\\t\",\"html\":\"\\u003ca href=\\\"x\\\"\\u003e\\u0026'\\u003c/a\\u003e\",\"ls\":\"a\\u2028b\\u2029â\"}"
        );
        assert_eq!(
            round(r#""\b\f\n\r\t\u0000\u001f\/\\""#),
            r#""\b\f\n\r\t\u0000\u001f/\\""#
        );
    }

    #[test]
    fn escapes_each_byte_that_is_no_text() {
        assert_eq!(
            to_vec(&Value::Bytes((*b"a\xffb\xe2\x82<").into())),
            br#""a\ufffdb\ufffd\ufffd\u003c""#
        );
    }

    #[test]
    fn finds_what_to_escape_at_any_position() {
        for byte in 0..=255 {
            for length in 0..20 {
                let mut text = vec![b'a'; 20];
                text[length] = byte;
                let plain = if ESCAPES[usize::from(byte)] == 0 {
                    20
                } else {
                    length
                };
                assert_eq!(plain_length(&text), plain, "{byte:#x} at {length}");
            }
        }
    }

    #[test]
    fn prints_empty_and_nested_containers() {
        for text in [
            "{}",
            "[]",
            "null",
            "[[],{},[{}]]",
            r#"{"a":[],"b":{"c":[1,[2]]}}"#,
            "[1,[2],3]",
        ] {
            assert_eq!(round(text), text);
        }
    }

    #[test]
    fn ignores_what_follows_the_first_value() {
        assert_eq!(round("{\"a\":1} trailing"), "{\"a\":1}");
    }

    #[test]
    fn agrees_with_another_parser_on_random_documents() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let value = random_value(&mut random, 0);
            let text = serde_json::to_string(&value).unwrap();
            let again: serde_json::Value =
                serde_json::from_slice(&to_vec(&decode(text.as_bytes()).unwrap())).unwrap();
            assert_eq!(again, value, "{text}");
        }
    }

    fn random_value(random: &mut fastrand::Rng, depth: usize) -> serde_json::Value {
        let text = |random: &mut fastrand::Rng| {
            let pool = [
                'a', 'é', '"', '\\', '\n', '<', '\u{2028}', '\u{2030}', '😀', '\u{1}', '\u{7f}',
                '/',
            ];
            (0..random.usize(0..6))
                .map(|_| pool[random.usize(0..pool.len())])
                .collect::<String>()
        };
        match random.usize(0..if depth > 4 { 5 } else { 7 }) {
            0 => serde_json::Value::Null,
            1 => serde_json::Value::Bool(random.bool()),
            2 => serde_json::Value::from(random.i64(..)),
            3 => serde_json::Value::from(random.i32(..)),
            4 => serde_json::Value::String(text(random)),
            5 => (0..random.usize(0..5))
                .map(|_| random_value(random, depth + 1))
                .collect(),
            _ => {
                let members = (0..random.usize(0..5))
                    .map(|_| (text(random), random_value(random, depth + 1)));
                serde_json::Value::Object(members.collect())
            }
        }
    }
}
