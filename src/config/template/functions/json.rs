//! JSON as Go writes it: keys sorted, `<`, `>` and `&` escaped unless raw, floats without exponent up to
//! 1e+21.
//!
//! What Go cannot encode, and JSON that it cannot read, comes out empty there; here it is an error, except
//! that `fromJson` of what is no JSON gives nil, for which templates test.

use super::{Entry, Failure, Given, Host, any, give, text};
use crate::config::template::print;
use crate::config::template::value::{MAX_DEPTH, Value};
use std::fmt::Write as _;

pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "toJson",
        params: "A",
        call: to_json,
    },
    Entry {
        name: "mustToJson",
        params: "A",
        call: to_json,
    },
    Entry {
        name: "toPrettyJson",
        params: "A",
        call: pretty,
    },
    Entry {
        name: "mustToPrettyJson",
        params: "A",
        call: pretty,
    },
    Entry {
        name: "toRawJson",
        params: "A",
        call: |_, a| encode(any(a, 0), false, false),
    },
    Entry {
        name: "mustToRawJson",
        params: "A",
        call: |_, a| encode(any(a, 0), false, false),
    },
    Entry {
        name: "fromJson",
        params: "S",
        call: |_, a| Ok(decode(text(a, 0)).unwrap_or(Value::Nil)),
    },
    Entry {
        name: "mustFromJson",
        params: "S",
        call: |_, a| decode(text(a, 0)),
    },
];

/// Compact JSON.
pub(super) fn to_json(_: &mut Host<'_>, args: &[Value]) -> Given {
    encode(any(args, 0), true, false)
}

fn pretty(_: &mut Host<'_>, args: &[Value]) -> Given {
    encode(any(args, 0), true, true)
}

fn encode(value: &Value, html: bool, pretty: bool) -> Given {
    let mut writer = Writer {
        out: String::new(),
        html,
        pretty,
    };
    writer.value(value, 0)?;
    give(writer.out)
}

fn decode(text: &str) -> Given {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) => Ok(Value::of_json(&json, true)),
        Err(error) => Err(error.to_string().into()),
    }
}

struct Writer {
    out: String,
    html: bool,
    pretty: bool,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Failure> {
        if depth > MAX_DEPTH || self.out.len() > crate::config::load::MAX_SIZE {
            return Err("json: the value is too deep or too large, or holds itself".into());
        }
        match value {
            Value::Missing | Value::Nil => self.out.push_str("null"),
            Value::Bool(flag) => self.out.push_str(if *flag { "true" } else { "false" }),
            Value::Int(number, _) => {
                let _ = write!(self.out, "{number}");
            }
            Value::Float(number) if number.is_finite() => {
                self.out.push_str(&print::json_float(*number));
            }
            Value::Float(number) => {
                let shown = print::float(*number);
                return Err(format!("json: unsupported value: {shown}").into());
            }
            Value::Text(text, _) => self.string(text),
            Value::Time(seconds, nanos) => {
                let text = super::dates::rfc3339(*seconds, *nanos);
                self.string(&text);
            }
            Value::Object(object) => self.string(&object.shown),
            Value::List(items, _) => {
                self.out.push('[');
                for (at, item) in items.iter().enumerate() {
                    self.between(at, depth + 1);
                    self.value(item, depth + 1)?;
                }
                self.end(items.is_empty(), depth, ']');
            }
            Value::Map(members, _) => {
                let members = members.borrow();
                self.out.push('{');
                for (at, (name, member)) in members.iter().enumerate() {
                    self.between(at, depth + 1);
                    self.string(name);
                    self.out.push_str(if self.pretty { ": " } else { ":" });
                    self.value(member, depth + 1)?;
                }
                self.end(members.is_empty(), depth, '}');
            }
        }
        Ok(())
    }

    fn between(&mut self, at: usize, depth: usize) {
        if at > 0 {
            self.out.push(',');
        }
        self.line(depth);
    }

    fn end(&mut self, empty: bool, depth: usize, mark: char) {
        if !empty {
            self.line(depth);
        }
        self.out.push(mark);
    }

    fn line(&mut self, depth: usize) {
        if self.pretty {
            self.out.push('\n');
            self.out.push_str(&"  ".repeat(depth));
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\x08' => self.out.push_str("\\b"),
                '\x0c' => self.out.push_str("\\f"),
                '<' | '>' | '&' if self.html => {
                    let _ = write!(self.out, "\\u{:04x}", c as u32);
                }
                '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => {
                    let _ = write!(self.out, "\\u{:04x}", c as u32);
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}
