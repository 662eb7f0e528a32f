//! A pull lexer for JSON (RFC 8259) over a byte slice: no recursion, no tree, numbers as written,
//! errors in the words of Go's `encoding/json`, which KrakenD's users know and grep for.
//!
//! Configuration (`config`, with positions) and bodies (`body`, without) build their own trees on it.
//! As in Go, invalid UTF-8 inside strings becomes U+FFFD, and so does a lone surrogate escape.

use std::borrow::Cow;
use std::fmt;

/// Deepest nesting that is read (Go's limit).
pub const MAX_DEPTH: usize = 10_000;

/// One piece of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Token<'a> {
    /// `{`
    ObjectStart,
    /// `}`
    ObjectEnd,
    /// `[`
    ArrayStart,
    /// `]`
    ArrayEnd,
    /// A member name, unescaped; its colon is consumed.
    Key(Cow<'a, str>),
    /// A string value, unescaped.
    String(Cow<'a, str>),
    /// A number exactly as written.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// Why the text is no JSON, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Byte offset of the offending character, or the length of the text when it ended too early.
    pub offset: usize,
    /// What was met.
    pub kind: ErrorKind,
}

/// The kinds of syntax errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text ended inside a value; `empty` when there was no value at all.
    UnexpectedEnd {
        /// Only white space was found.
        empty: bool,
    },
    /// A character that may not stand there, and the context in Go's words.
    InvalidCharacter(u8, &'static str),
    /// Deeper than [`MAX_DEPTH`].
    TooDeep,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ErrorKind::UnexpectedEnd { .. } => f.write_str("unexpected end of JSON input"),
            ErrorKind::TooDeep => f.write_str("exceeded max depth"),
            ErrorKind::InvalidCharacter(byte, context) => {
                f.write_str("invalid character ")?;
                match byte {
                    b'\'' => f.write_str(r"'\''")?,
                    b'"' => f.write_str("'\"'")?,
                    b'\\' => f.write_str(r"'\\'")?,
                    b'\n' => f.write_str(r"'\n'")?,
                    b'\r' => f.write_str(r"'\r'")?,
                    b'\t' => f.write_str(r"'\t'")?,
                    0x00..=0x1f | 0x7f => write!(f, r"'\x{byte:02x}'")?,
                    0x80..=0x9f | 0xad => write!(f, r"'\u00{byte:02x}'")?,
                    _ => write!(f, "'{}'", char::from(byte))?,
                }
                write!(f, " {context}")
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// A value must follow.
    Value,
    /// Just after `[`: a value or `]`.
    FirstElement,
    /// Just after `{`: a key or `}`.
    FirstKey,
    /// After `,` in an object: a key.
    NextKey,
    /// After a value, inside whatever is on the stack.
    After,
}

/// Reads one value, token by token; [`Lexer::next`] gives `None` when it is complete.
pub struct Lexer<'a> {
    text: &'a [u8],
    /// The same, when all of it is UTF-8: found out once, not again for every string.
    valid: Option<&'a str>,
    at: usize,
    start: usize,
    state: State,
    /// One entry an open bracket: `true` for an object.
    stack: Vec<bool>,
}

const BEGIN_VALUE: &str = "looking for beginning of value";
const BEGIN_KEY: &str = "looking for beginning of object key string";

impl<'a> Lexer<'a> {
    /// A lexer at the beginning of a text.
    pub fn new(text: &'a [u8]) -> Self {
        let valid = std::str::from_utf8(text).ok();
        Self {
            text,
            valid,
            at: 0,
            start: 0,
            state: State::Value,
            stack: Vec::new(),
        }
    }

    /// Byte offset at which the last token began.
    pub fn token_start(&self) -> usize {
        self.start
    }

    /// Byte offset just behind the last token.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// How many brackets are open.
    pub fn depth(&self) -> usize {
        self.stack.len()
    }

    /// The next token; `None` when the first value of the text is complete.
    ///
    /// # Errors
    /// When the text is no JSON; the lexer must not be used afterwards.
    #[inline]
    #[expect(
        clippy::should_implement_trait,
        reason = "fallible, and the tokens borrow the text"
    )]
    pub fn next(&mut self) -> Result<Option<Token<'a>>, SyntaxError> {
        loop {
            if self.state == State::After && self.stack.is_empty() {
                return Ok(None);
            }
            self.skip_space();
            self.start = self.at;
            let Some(&byte) = self.text.get(self.at) else {
                let empty = self.state == State::Value && self.stack.is_empty();
                return Err(self.error(ErrorKind::UnexpectedEnd { empty }));
            };
            match self.state {
                State::After => {
                    if let Some(token) = self.after(byte)? {
                        return Ok(Some(token));
                    }
                }
                State::FirstKey if byte == b'}' => return Ok(Some(self.close(Token::ObjectEnd))),
                State::FirstKey | State::NextKey => return self.key(byte).map(Some),
                State::FirstElement if byte == b']' => {
                    return Ok(Some(self.close(Token::ArrayEnd)));
                }
                State::FirstElement | State::Value => return self.value(byte).map(Some),
            }
        }
    }

    /// Checks that nothing but white space follows the value.
    ///
    /// # Errors
    /// When something follows.
    pub fn finish(&mut self) -> Result<(), SyntaxError> {
        self.skip_space();
        match self.text.get(self.at) {
            None => Ok(()),
            Some(&byte) => Err(self.invalid(byte, "after top-level value")),
        }
    }

    #[inline]
    fn skip_space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn error(&self, kind: ErrorKind) -> SyntaxError {
        SyntaxError {
            offset: self.at,
            kind,
        }
    }

    fn invalid(&self, byte: u8, context: &'static str) -> SyntaxError {
        self.error(ErrorKind::InvalidCharacter(byte, context))
    }

    fn ended(&self) -> SyntaxError {
        self.error(ErrorKind::UnexpectedEnd { empty: false })
    }

    #[inline]
    fn close(&mut self, token: Token<'a>) -> Token<'a> {
        self.at += 1;
        self.stack.pop();
        self.state = State::After;
        token
    }

    #[inline]
    fn open(&mut self, object: bool) -> Result<Token<'a>, SyntaxError> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(self.error(ErrorKind::TooDeep));
        }
        self.at += 1;
        self.stack.push(object);
        self.state = if object {
            State::FirstKey
        } else {
            State::FirstElement
        };
        Ok(if object {
            Token::ObjectStart
        } else {
            Token::ArrayStart
        })
    }

    /// Between values: a comma (no token) or a closing bracket.
    fn after(&mut self, byte: u8) -> Result<Option<Token<'a>>, SyntaxError> {
        let in_object = self.stack.last() == Some(&true);
        match (in_object, byte) {
            (true, b',') => self.state = State::NextKey,
            (false, b',') => self.state = State::Value,
            (true, b'}') => return Ok(Some(self.close(Token::ObjectEnd))),
            (false, b']') => return Ok(Some(self.close(Token::ArrayEnd))),
            (true, byte) => return Err(self.invalid(byte, "after object key:value pair")),
            (false, byte) => return Err(self.invalid(byte, "after array element")),
        }
        self.at += 1;
        Ok(None)
    }

    fn key(&mut self, byte: u8) -> Result<Token<'a>, SyntaxError> {
        if byte != b'"' {
            return Err(self.invalid(byte, BEGIN_KEY));
        }
        let key = self.string()?;
        self.skip_space();
        match self.text.get(self.at) {
            Some(b':') => self.at += 1,
            Some(&byte) => return Err(self.invalid(byte, "after object key")),
            None => return Err(self.ended()),
        }
        self.state = State::Value;
        Ok(Token::Key(key))
    }

    fn value(&mut self, byte: u8) -> Result<Token<'a>, SyntaxError> {
        let token = match byte {
            b'{' => return self.open(true),
            b'[' => return self.open(false),
            b'"' => Token::String(self.string()?),
            b'-' | b'0'..=b'9' => Token::Number(self.number()?),
            b't' => self.literal(b"true", Token::Bool(true))?,
            b'f' => self.literal(b"false", Token::Bool(false))?,
            b'n' => self.literal(b"null", Token::Null)?,
            byte => return Err(self.invalid(byte, BEGIN_VALUE)),
        };
        self.state = State::After;
        Ok(token)
    }

    fn literal(&mut self, word: &'static [u8], token: Token<'a>) -> Result<Token<'a>, SyntaxError> {
        for &expected in word {
            match self.text.get(self.at) {
                Some(&byte) if byte == expected => self.at += 1,
                Some(&byte) => return Err(self.invalid(byte, literal_context(word, expected))),
                None => return Err(self.ended()),
            }
        }
        Ok(token)
    }

    #[inline]
    fn number(&mut self) -> Result<&'a str, SyntaxError> {
        let begin = self.at;
        if self.text.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        match self.text.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.skip_digits(),
            Some(&byte) => return Err(self.invalid(byte, "in numeric literal")),
            None => return Err(self.ended()),
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        // Only ASCII was accepted.
        Ok(match self.valid.and_then(|text| text.get(begin..self.at)) {
            Some(text) => text,
            None => {
                let text = self.text.get(begin..self.at).unwrap_or_default();
                std::str::from_utf8(text).unwrap_or_default()
            }
        })
    }

    #[inline]
    fn skip_digits(&mut self) {
        while matches!(self.text.get(self.at), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self, context: &'static str) -> Result<(), SyntaxError> {
        match self.text.get(self.at) {
            Some(b'0'..=b'9') => self.skip_digits(),
            Some(&byte) => return Err(self.invalid(byte, context)),
            None => return Err(self.ended()),
        }
        Ok(())
    }

    /// A string at its opening quote. Borrows the text unless an escape or bad UTF-8 needs a copy.
    #[inline]
    fn string(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        self.at += 1;
        let begin = self.at;
        let head = self.plain();
        match self.text.get(self.at) {
            None => Err(self.ended()),
            Some(b'"') => {
                let end = self.at;
                self.at += 1;
                Ok(match self.valid.and_then(|text| text.get(begin..end)) {
                    Some(text) => Cow::Borrowed(text),
                    None => unicode_text(head),
                })
            }
            Some(b'\\') => self.escaped(head.to_vec()),
            Some(&byte) => Err(self.invalid(byte, "in string literal")),
        }
    }

    /// The part of a string up to the next byte that needs attention.
    #[inline]
    fn plain(&mut self) -> &'a [u8] {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let part = rest.get(..plain_length(rest)).unwrap_or_default();
        self.at += part.len();
        part
    }

    /// The rest of a string from its first escape on; `out` holds what came before.
    fn escaped(&mut self, mut out: Vec<u8>) -> Result<Cow<'a, str>, SyntaxError> {
        loop {
            out.extend_from_slice(self.plain());
            let Some(&byte) = self.text.get(self.at) else {
                return Err(self.ended());
            };
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(Cow::Owned(match String::from_utf8(out) {
                        Ok(text) => text,
                        Err(bad) => unicode_text(bad.as_bytes()).into_owned(),
                    }));
                }
                b'\\' => {
                    self.at += 1;
                    self.escape(&mut out)?;
                }
                byte => return Err(self.invalid(byte, "in string literal")),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), SyntaxError> {
        let Some(&byte) = self.text.get(self.at) else {
            return Err(self.ended());
        };
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.at += 1;
                let c = self.unicode()?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            byte => return Err(self.invalid(byte, "in string escape code")),
        };
        self.at += 1;
        out.push(plain);
        Ok(())
    }

    fn unicode(&mut self) -> Result<char, SyntaxError> {
        let first = self.hex4()?;
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        // A pair only if a low surrogate follows at once; otherwise what follows stands for itself.
        if self.text.get(self.at..self.at + 2) == Some(b"\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let joined = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = back;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32, SyntaxError> {
        let mut value = 0;
        for _ in 0..4 {
            let Some(&byte) = self.text.get(self.at) else {
                return Err(self.ended());
            };
            let Some(digit) = char::from(byte).to_digit(16) else {
                return Err(self.invalid(byte, "in \\u hexadecimal character escape"));
            };
            value = value * 16 + digit;
            self.at += 1;
        }
        Ok(value)
    }
}

/// How many bytes of a string need no attention: up to a quote, a backslash or a control character.
/// Eight bytes at a time, since most of a document is the inside of strings.
#[inline]
fn plain_length(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES * 0x80;
    let mut at = 0;
    while let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*chunk);
        let zero = |x: u64| x.wrapping_sub(ONES) & !x;
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c)) | control) & HIGHS;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = text.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .position(|&b| b == b'"' || b == b'\\' || b < 0x20)
        .unwrap_or(rest.len())
}

/// Text of bytes; as in Go, each byte that belongs to no character becomes one U+FFFD.
fn unicode_text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text)
}

/// Go names the literal and the letter that it expected.
fn literal_context(word: &[u8], expected: u8) -> &'static str {
    match (word, expected) {
        (b"true", b'r') => "in literal true (expecting 'r')",
        (b"true", b'u') => "in literal true (expecting 'u')",
        (b"true", _) => "in literal true (expecting 'e')",
        (b"false", b'a') => "in literal false (expecting 'a')",
        (b"false", b'l') => "in literal false (expecting 'l')",
        (b"false", b's') => "in literal false (expecting 's')",
        (b"false", _) => "in literal false (expecting 'e')",
        (_, b'u') => "in literal null (expecting 'u')",
        _ => "in literal null (expecting 'l')",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<String, String> {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut out = String::new();
        while let Some(token) = lexer.next().map_err(|e| format!("{e} @{}", e.offset))? {
            out.push_str(&format!("{token:?} "));
        }
        lexer.finish().map_err(|e| format!("{e} @{}", e.offset))?;
        Ok(out)
    }

    #[test]
    fn reads_every_kind_of_value() {
        assert_eq!(
            all(r#" {"a":[1.50,-0,1e5,true,null],"b\n":"\u00e4\ud83d\ude00","c":{}} "#).unwrap(),
            "ObjectStart Key(\"a\") ArrayStart Number(\"1.50\") Number(\"-0\") Number(\"1e5\") Bool(true) Null \
             ArrayEnd Key(\"b\\n\") String(\"ä😀\") Key(\"c\") ObjectStart ObjectEnd ObjectEnd "
        );
    }

    #[test]
    fn speaks_the_words_of_go() {
        for (text, error) in [
            ("", "unexpected end of JSON input @0"),
            ("{", "unexpected end of JSON input @1"),
            (
                "<html>",
                "invalid character '<' looking for beginning of value @0",
            ),
            (
                "{a:1}",
                "invalid character 'a' looking for beginning of object key string @1",
            ),
            ("{\"a\" 1}", "invalid character '1' after object key @5"),
            (
                "{\"a\":1,}",
                "invalid character '}' looking for beginning of object key string @7",
            ),
            ("[1 2]", "invalid character '2' after array element @3"),
            (
                "{\"a\":1]",
                "invalid character ']' after object key:value pair @6",
            ),
            ("[1] x", "invalid character 'x' after top-level value @4"),
            (
                "nul!",
                "invalid character '!' in literal null (expecting 'l') @3",
            ),
            ("\"\\x\"", "invalid character 'x' in string escape code @2"),
            ("\"\n\"", "invalid character '\\n' in string literal @1"),
            ("1.", "unexpected end of JSON input @2"),
            ("-x", "invalid character 'x' in numeric literal @1"),
        ] {
            assert_eq!(all(text).unwrap_err(), error, "{text:?}");
        }
    }

    #[test]
    fn replaces_what_is_no_unicode() {
        let mut lexer = Lexer::new(b"\"a\xffb\\ud800c\"");
        assert_eq!(
            lexer.next().unwrap(),
            Some(Token::String("a\u{fffd}b\u{fffd}c".into()))
        );
    }

    #[test]
    fn replaces_every_byte_of_a_cut_character() {
        let mut lexer = Lexer::new(b"\"\xe2\x82\"");
        assert_eq!(
            lexer.next().unwrap(),
            Some(Token::String("\u{fffd}\u{fffd}".into()))
        );
    }

    #[test]
    fn finds_the_end_of_a_string_at_any_position() {
        for length in 0..40 {
            for (byte, stop) in [
                (b'"', true),
                (b'\\', true),
                (0x1f, true),
                (b'\n', true),
                (0x7f, false),
                (0xff, false),
                (b' ', false),
            ] {
                let mut text = vec![b'a'; 40];
                text[length] = byte;
                assert_eq!(
                    plain_length(&text),
                    if stop { length } else { 40 },
                    "{byte} at {length}"
                );
            }
        }
    }

    #[test]
    fn refuses_to_go_deeper_than_the_limit() {
        let deep = "[".repeat(MAX_DEPTH + 1);
        assert_eq!(
            all(&deep).unwrap_err(),
            format!("exceeded max depth @{MAX_DEPTH}")
        );
    }
}
