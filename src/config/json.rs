//! Strict JSON into a generic value and its marks, with advice for what people get wrong.
//!
//! As in KrakenD the last of two equal keys counts (here with a warning) and text behind the value
//! is an error; unlike there, every error has its line and column, and depth is bounded.

use super::source::{Children, Mark, offset, place_in};
use crate::base::json::{ErrorKind, Lexer, SyntaxError, Token};
use crate::base::problem::pointer_push;
use crate::base::{Code, Problem, Report};
use serde_json::{Map, Number, Value};
use std::collections::HashSet;

/// Deepest nesting of a configuration, in any format.
pub(super) const MAX_DEPTH: usize = 256;

/// Reads one JSON document. Duplicate keys are warnings in the report.
///
/// # Errors
/// The syntax error, or that the document is too deep, at its place.
pub(super) fn read(text: &str, report: &mut Report) -> Result<(Value, Mark), Problem> {
    let mut reader = Reader {
        lexer: Lexer::new(text.as_bytes()),
        text,
        open: Vec::new(),
        path: Vec::new(),
        report,
    };
    let read = reader.document();
    read.map_err(|stop| match stop {
        Stop::Syntax(error) => explain(text, &error, &reader.open),
        Stop::Problem(problem) => *problem,
    })
}

enum Stop {
    Syntax(SyntaxError),
    Problem(Box<Problem>),
}

impl From<SyntaxError> for Stop {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

enum Step {
    Key(String),
    Index(usize),
}

struct Reader<'a, 'r> {
    lexer: Lexer<'a>,
    text: &'a str,
    /// Where the brackets that are open stand.
    open: Vec<usize>,
    path: Vec<Step>,
    report: &'r mut Report,
}

impl Reader<'_, '_> {
    fn document(&mut self) -> Result<(Value, Mark), Stop> {
        let read = self.value()?.unwrap_or_default();
        self.lexer.finish()?;
        Ok(read)
    }

    /// The next value, or `None` at the end of the array. Recursion is bounded by [`MAX_DEPTH`].
    fn value(&mut self) -> Result<Option<(Value, Mark)>, Stop> {
        let Some(token) = self.lexer.next()? else {
            return Ok(None);
        };
        let at = self.lexer.token_start();
        let value = match token {
            Token::ObjectStart => return self.nested(at, Self::object).map(Some),
            Token::ArrayStart => return self.nested(at, Self::array).map(Some),
            Token::String(text) => Value::String(text.into_owned()),
            Token::Number(text) => self.number(text, at)?,
            Token::Bool(bool) => Value::Bool(bool),
            Token::Null => Value::Null,
            Token::ArrayEnd | Token::ObjectEnd | Token::Key(_) => return Ok(None),
        };
        Ok(Some((value, Mark::scalar(offset(at)))))
    }

    fn nested(
        &mut self,
        at: usize,
        read: fn(&mut Self) -> Result<(Value, Children), Stop>,
    ) -> Result<(Value, Mark), Stop> {
        if self.lexer.depth() > MAX_DEPTH {
            return Err(self.problem(
                Code::TooDeep,
                at,
                format!("the document is nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        self.open.push(at);
        let (value, children) = read(self)?;
        self.open.pop();
        Ok((
            value,
            Mark {
                value: offset(at),
                key: None,
                children,
            },
        ))
    }

    fn array(&mut self) -> Result<(Value, Children), Stop> {
        let (mut values, mut marks) = (Vec::new(), Vec::new());
        self.path.push(Step::Index(0));
        while let Some((value, mark)) = self.value()? {
            values.push(value);
            marks.push(mark);
            if let Some(step) = self.path.last_mut() {
                *step = Step::Index(values.len());
            }
        }
        self.path.pop();
        Ok((Value::Array(values), Children::Array(marks)))
    }

    fn object(&mut self) -> Result<(Value, Children), Stop> {
        let (mut map, mut marks) = (Map::new(), Vec::new());
        let mut warned = HashSet::new();
        while let Some(Token::Key(key)) = self.lexer.next()? {
            let at = self.lexer.token_start();
            let key = key.into_owned();
            self.path.push(Step::Key(key.clone()));
            if map.contains_key(&key) && warned.insert(key.clone()) {
                self.duplicate(&key);
            }
            let Some((value, mut mark)) = self.value()? else {
                break;
            };
            mark.key = Some(offset(at));
            marks.push((key.clone().into_boxed_str(), mark));
            map.insert(key, value);
            self.path.pop();
        }
        Ok((Value::Object(map), Children::object(marks)))
    }

    fn number(&self, text: &str, at: usize) -> Result<Value, Stop> {
        if let Ok(int) = text.parse::<i64>() {
            return Ok(int.into());
        }
        if let Ok(int) = text.parse::<u64>() {
            return Ok(int.into());
        }
        let float = text.parse::<f64>().ok().and_then(Number::from_f64);
        float.map(Value::Number).ok_or_else(|| {
            self.problem(
                Code::OutOfRange,
                at,
                format!("cannot read number {} as 64-bit float", shortened(text)),
            )
        })
    }

    fn duplicate(&mut self, key: &str) {
        let message = format!(
            "key \"{}\" occurs more than once, only the last one counts",
            shortened(key)
        );
        let problem = Problem::warning(Code::DuplicateKey, self.pointer(), message);
        self.report.push(problem.hint("remove all but one"));
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) => pointer_push(&mut pointer, key),
                Step::Index(index) => pointer_push(&mut pointer, &index.to_string()),
            }
        }
        pointer
    }

    fn problem(&self, code: Code, at: usize, message: String) -> Stop {
        let (line, column) = place_in(self.text, at);
        let pointer = if code == Code::TooDeep {
            String::new()
        } else {
            self.pointer()
        };
        Stop::Problem(Box::new(
            Problem::error(code, pointer, message).at(line, column),
        ))
    }
}

/// At most 64 characters of a foreign text, for messages.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The syntax error with its place and what to write instead.
fn explain(text: &str, error: &SyntaxError, open: &[usize]) -> Problem {
    let (line, column) = place_in(text, error.offset);
    let code = if error.kind == ErrorKind::TooDeep {
        Code::TooDeep
    } else {
        Code::Syntax
    };
    let problem = Problem::error(code, "", error.to_string()).at(line, column);
    match advice(text, error, open) {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

fn advice(text: &str, error: &SyntaxError, open: &[usize]) -> Option<String> {
    let bytes = text.as_bytes();
    let fixed = |hint: &str| Some(hint.to_owned());
    let (byte, context) = match error.kind {
        ErrorKind::TooDeep => return None,
        ErrorKind::UnexpectedEnd { empty: true } => {
            return fixed("the file is empty; write at least {\"version\": 3}");
        }
        ErrorKind::UnexpectedEnd { empty: false } => return Some(unclosed(text, open)),
        ErrorKind::InvalidCharacter(byte, context) => (byte, context),
    };
    if error.offset == 0 && text.starts_with('\u{feff}') {
        return fixed("the file begins with a byte order mark; save it as UTF-8 without BOM");
    }
    if looks_like_template(bytes, error.offset) {
        return fixed("this looks like a template; set FC_ENABLE=1 to render it first");
    }
    let next = bytes.get(error.offset + 1);
    let previous = bytes
        .get(..error.offset)?
        .iter()
        .rev()
        .find(|b| !b.is_ascii_whitespace());
    match (byte, context) {
        (b'/', _) if matches!(next, Some(b'/' | b'*')) => {
            fixed("JSON has no comments; use a key that begins with @, for example \"@comment\"")
        }
        (b'#', _) => {
            fixed("JSON has no comments; use a key that begins with @, for example \"@comment\"")
        }
        (b'\'', _) => fixed("write double quotes (\") instead of single quotes"),
        (b'}' | b']', c) if c.starts_with("looking for") && previous == Some(&b',') => {
            fixed("remove the comma in front of the closing bracket")
        }
        (b',', c) if c.starts_with("looking for") => fixed("remove one comma"),
        (b'"' | b'{' | b'[', c)
            if c.starts_with("after object key:") || c.starts_with("after array") =>
        {
            fixed("a comma is missing in front of this")
        }
        (b'=', "after object key") => fixed("write a colon between key and value"),
        (_, "after object key") => fixed("a colon is missing between key and value"),
        (_, "looking for beginning of object key string") => fixed("keys stand in double quotes"),
        (b'T' | b'F' | b'N', "looking for beginning of value") => {
            fixed("true, false and null are written in lower case; other words need double quotes")
        }
        (b'+' | b'.', "looking for beginning of value") => {
            fixed("a number begins with a digit or a minus sign")
        }
        (_, "looking for beginning of value") => fixed("text stands in double quotes"),
        (_, "in string literal") => {
            fixed("close the quote on the same line, or write \\n for a line break")
        }
        (_, "in string escape code") => fixed("write \\\\ for a backslash"),
        (b'0'..=b'9', _) => fixed("numbers have no leading zeros"),
        (_, "after top-level value") => {
            fixed("the file holds one object; remove what stands behind it")
        }
        _ => None,
    }
}

fn unclosed(text: &str, open: &[usize]) -> String {
    let Some(&at) = open.last() else {
        return "the last value is not complete".to_owned();
    };
    let (line, column) = place_in(text, at);
    let bracket = text.as_bytes().get(at).copied().map_or('{', char::from);
    format!("the {bracket} of line {line}, column {column} (or a quote behind it) is never closed")
}

/// `{{` just before, at or earlier on the line of the error.
pub(super) fn looks_like_template(bytes: &[u8], at: usize) -> bool {
    let end = bytes.len().min(at + 2);
    let line = bytes
        .get(..at)
        .unwrap_or_default()
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |n| n + 1);
    // A bound keeps files without line breaks cheap.
    let from = line.max(at.saturating_sub(4096));
    bytes
        .get(from..end)
        .is_some_and(|near| near.windows(2).any(|pair| pair == b"{{"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(text: &str) -> Problem {
        read(text, &mut Report::default()).unwrap_err()
    }

    #[test]
    fn reads_numbers_as_narrow_as_they_are() {
        let (value, _) = read(
            "[1, -2, 18446744073709551615, 1.0, 1e2]",
            &mut Report::default(),
        )
        .unwrap();
        assert_eq!(
            value,
            serde_json::json!([1, -2, 18_446_744_073_709_551_615_u64, 1.0, 100.0])
        );
        assert_eq!(fails("[1e999]").code, Code::OutOfRange);
    }

    #[test]
    fn warns_once_of_a_key_that_occurs_again() {
        let mut report = Report::default();
        let (value, _) = read("{\"x\": [{\"a\": 1,\n \"a\": 2, \"a\": 3}]}", &mut report).unwrap();
        assert_eq!(value, serde_json::json!({"x": [{"a": 3}]}));
        assert_eq!(report.problems.len(), 1);
        assert_eq!(report.problems[0].pointer, "/x/0/a");
    }

    #[test]
    fn explains_syntax_errors() {
        for (text, line, column, message, hint) in [
            ("", 1, 1, "unexpected end of JSON input", "empty"),
            (
                "{\n \"a\": [1",
                2,
                9,
                "unexpected end of JSON input",
                "the [ of line 2, column 7",
            ),
            (
                "{\"a\": 1,\n}",
                2,
                1,
                "'}' looking for beginning of object key",
                "remove the comma",
            ),
            (
                "[1,]",
                1,
                4,
                "']' looking for beginning of value",
                "remove the comma",
            ),
            ("{\n// x\n\"a\":1}", 2, 1, "'/' looking for", "no comments"),
            ("{\"a\": 1 # x\n}", 1, 9, "'#' after object", "no comments"),
            ("{'a': 1}", 1, 2, r"'\''", "double quotes"),
            (
                "{\"a\": 1 \"b\": 2}",
                1,
                9,
                "after object key:value pair",
                "a comma is missing",
            ),
            (
                "{\"a\": {{ env \"X\" }}}",
                1,
                8,
                "'{' looking for",
                "FC_ENABLE=1",
            ),
            (
                "{\"a\": \"{{ env \"X\" }}\"}",
                1,
                16,
                "'X' after object",
                "FC_ENABLE=1",
            ),
            ("{{ if }}{}", 1, 2, "'{' looking for", "FC_ENABLE=1"),
            (
                "{a: 1}",
                1,
                2,
                "'a' looking for",
                "keys stand in double quotes",
            ),
            ("{\"a\": True}", 1, 7, "'T' looking for", "lower case"),
            ("{\"a\" 1}", 1, 6, "after object key", "colon"),
            ("{} {}", 1, 4, "after top-level value", "one object"),
            ("\u{feff}{}", 1, 1, "'ï' looking for", "byte order mark"),
            ("{\"a\": \"x\ny\"}", 1, 9, "in string literal", "line break"),
            ("{\"a\": \"C:\\x\"}", 1, 11, "in string escape code", "\\\\"),
        ] {
            let problem = fails(text);
            assert_eq!(problem.code, Code::Syntax);
            assert_eq!(
                problem.position,
                Some((line, column)),
                "{text:?} {}",
                problem.message
            );
            assert!(
                problem.message.contains(message),
                "{text:?}: {}",
                problem.message
            );
            let found = problem.hint.unwrap_or_default();
            assert!(found.contains(hint), "{text:?}: {found}");
        }
    }

    #[test]
    fn bounds_the_depth() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(read(&nested(MAX_DEPTH), &mut Report::default()).is_ok());
        assert_eq!(fails(&nested(MAX_DEPTH + 1)).code, Code::TooDeep);
        assert_eq!(fails(&"{\"a\":".repeat(100_000)).code, Code::TooDeep);
    }
}
