//! Values as Go's `fmt` prints them, which is what KrakenD puts where text is wanted and something else is
//! found: in the URL of a sequential backend and in the text of an XML element.

use super::build::{Children, Kind};
use super::value::Value;

/// A value as `%v` shows it: strings bare, numbers as written, `<nil>`, `[a b]`, `map[k:v l:w]`.
pub fn go_text(value: &Value) -> String {
    let mut out = String::new();
    write_go_text(value, &mut out, usize::MAX);
    out
}

/// Writes a value as [`go_text`] shows it behind what is in `out`, and tells whether the whole of it is
/// there. It stops as soon as `out` is longer than `limit` bytes.
pub(super) fn write_go_text(value: &Value, out: &mut String, limit: usize) -> bool {
    let mut walks = Vec::new();
    let mut next = Some(value);
    loop {
        if let Some(value) = next {
            match Children::of(value) {
                Some((kind, children)) => {
                    out.push_str(opening(kind));
                    walks.push((kind, children, true));
                }
                None => leaf(value, out),
            }
        }
        if out.len() > limit {
            return false;
        }
        let Some((kind, walk, first)) = walks.last_mut() else {
            return true;
        };
        match walk.next() {
            Some((key, value)) => {
                if !std::mem::take(first) {
                    out.push(' ');
                }
                if let Some(key) = key.filter(|_| *kind == Kind::Object) {
                    out.push_str(key);
                    out.push(':');
                }
                next = Some(value);
            }
            None => {
                out.push(if *kind == Kind::Record { '}' } else { ']' });
                walks.pop();
                next = None;
            }
        }
    }
}

fn opening(kind: Kind) -> &'static str {
    match kind {
        Kind::Array => "[",
        Kind::Object => "map[",
        Kind::Record => "{",
    }
}

fn leaf(value: &Value, out: &mut String) {
    match value {
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(text) => out.push_str(text),
        Value::String(text) => out.push_str(text),
        Value::Bytes(bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
        Value::Null | Value::Array(_) | Value::Object(_) | Value::Record(_) => {
            out.push_str("<nil>")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    #[test]
    fn prints_as_go_does() {
        for (value, expected) in [
            ("7", "7"),
            ("1.50", "1.50"),
            ("\"v\"", "v"),
            ("null", "<nil>"),
            ("[]", "[]"),
            (r#"["a",[1,null],{"k":"v"}]"#, "[a [1 <nil>] map[k:v]]"),
            (r#"{"k":"v","a":{"b":true}}"#, "map[a:map[b:true] k:v]"),
        ] {
            assert_eq!(go_text(&json::decode(value.as_bytes()).unwrap()), expected);
        }
    }
}
