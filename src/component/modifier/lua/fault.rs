//! What a script died of, in KrakenD's words: `message (file:Lline)`, with the line mapped into the source
//! it came from, and the status that `custom_error` chose.

use super::source::Lines;
use crate::base::{Error, Reason};
use mlua::Value;

/// Between message, status and content type of a `custom_error`, as KrakenD encodes it.
pub(super) const SEPARATOR: &str = " || ";

/// The names of the three chunks.
pub(super) const SOURCES: &str = "sources";
/// The chunk of `pre`.
pub(super) const PRE: &str = "pre-script";
/// The chunk of `post`.
pub(super) const POST: &str = "post-script";

/// A failed script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What is wrong and where; the message of a `custom_error` alone.
    pub(super) text: String,
    /// The status that `custom_error` chose.
    pub(super) status: Option<u16>,
    /// The content type that `custom_error` chose.
    pub(super) content_type: Option<String>,
}

impl Fault {
    /// A fault without a status of its own.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            status: None,
            content_type: None,
        }
    }

    /// A fault of an error value, as `pcall` gave it.
    pub(super) fn of(value: &Value, lines: &Lines) -> Self {
        let text = message(value);
        if let Some((place, rest)) = placed(&text) {
            return Self::new(format!("{rest} ({})", lines.place(place.0, place.1)));
        }
        decoded(&text)
    }

    /// The error that a pipe or call ends with.
    pub(super) fn error(self) -> Error {
        match self.status {
            Some(status) => {
                Error::new(Reason::ScriptRefused, self.text).exposing(status, self.content_type)
            }
            None => Error::new(Reason::ScriptFailed, self.text),
        }
    }
}

impl From<mlua::Error> for Fault {
    fn from(error: mlua::Error) -> Self {
        let (text, _) = unwrapped(&error);
        Self::new(text)
    }
}

/// The error that `custom_error(msg[, status[, content_type]])` raises.
pub(super) fn encoded(message: &str, status: Option<f64>, content_type: Option<&str>) -> String {
    let mut text = message.to_owned();
    if let Some(status) = status {
        text.push_str(SEPARATOR);
        text.push_str(&super::number::text(status));
    }
    if let Some(content_type) = content_type {
        text.push_str(SEPARATOR);
        text.push_str(content_type);
    }
    text
}

/// Takes an encoded `custom_error` apart from its end, so that the message may hold the separator.
fn decoded(text: &str) -> Fault {
    let status = |text: &str| text.parse::<i64>().ok();
    if let Some((message, last)) = text.rsplit_once(SEPARATOR) {
        if let Some(code) = status(last) {
            return refused(message, code, None);
        }
        if let Some((message, code)) = message.rsplit_once(SEPARATOR)
            && let Some(code) = status(code)
        {
            return refused(message, code, Some(last.to_owned()));
        }
    }
    Fault::new(text)
}

fn refused(message: &str, code: i64, content_type: Option<String>) -> Fault {
    // What is no status of a final answer cannot be sent.
    let status = u16::try_from(code).ok();
    let status = status.filter(|status| (200..1000).contains(status));
    Fault {
        text: message.to_owned(),
        status: Some(status.unwrap_or(500)),
        content_type,
    }
}

/// The text of an error value with `chunk:line: ` in front where that is known.
pub(super) fn message(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string_lossy(),
        Value::Error(error) => {
            let (text, place) = unwrapped(error);
            match place {
                Some((chunk, line)) => format!("{chunk}:{line}: {text}"),
                None => text,
            }
        }
        Value::Integer(int) => int.to_string(),
        Value::Number(x) => super::number::text(*x),
        Value::Nil => "nil".to_owned(),
        other => format!("{}: an error that is no text", other.type_name()),
    }
}

/// The innermost text of an error, and where the script called what failed.
fn unwrapped(error: &mlua::Error) -> (String, Option<(&'static str, u32)>) {
    match error {
        mlua::Error::CallbackError { traceback, cause } => {
            let (text, inner) = unwrapped(cause);
            (text, inner.or_else(|| called(traceback)))
        }
        mlua::Error::WithContext { cause, .. } => unwrapped(cause),
        mlua::Error::BadArgument { cause, .. } => unwrapped(cause),
        mlua::Error::RuntimeError(text) | mlua::Error::MemoryError(text) => {
            let cut = text.find("\nstack traceback:").unwrap_or(text.len());
            (text.get(..cut).unwrap_or_default().to_owned(), None)
        }
        mlua::Error::SyntaxError { message, .. } => (message.clone(), None),
        other => (other.to_string(), None),
    }
}

/// The first line of a traceback that stands in one of our chunks.
fn called(traceback: &str) -> Option<(&'static str, u32)> {
    traceback
        .lines()
        .find_map(|line| placed(line.trim_start()).map(|(place, _)| place))
}

/// A text that begins with the place in one of our chunks, and the rest.
pub(super) fn placed(text: &str) -> Option<((&'static str, u32), &str)> {
    for chunk in [SOURCES, PRE, POST] {
        let Some(rest) = text.strip_prefix(chunk).and_then(|r| r.strip_prefix(':')) else {
            continue;
        };
        let (line, rest) = rest.split_once(':')?;
        let line = line.parse().ok()?;
        return Some(((chunk, line), rest.strip_prefix(' ').unwrap_or(rest)));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_error_comes_back_whole() {
        for (message, status, content_type) in [
            ("nope", Some(418), None),
            ("{\"a\":1}", Some(451), Some("application/json")),
            ("a || b", Some(400), None),
            ("nothing", None, None),
            ("", Some(404), None),
        ] {
            let text = encoded(message, status.map(f64::from), content_type);
            let fault = decoded(&text);
            assert_eq!(fault.text, message);
            assert_eq!(fault.status, status);
            assert_eq!(fault.content_type.as_deref(), content_type);
        }
    }

    #[test]
    fn a_status_that_cannot_be_sent_is_500() {
        for status in [0.0, 42.0, 101.0, 1000.0, 99999.0, -1.0] {
            assert_eq!(decoded(&encoded("x", Some(status), None)).status, Some(500));
        }
    }

    #[test]
    fn only_our_chunks_are_places() {
        assert_eq!(
            placed("pre-script:3: boom"),
            Some((("pre-script", 3), "boom"))
        );
        assert_eq!(placed("elsewhere:3: boom"), None);
        assert_eq!(placed("sources: boom"), None);
    }
}
