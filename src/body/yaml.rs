//! Data as YAML, as goccy/go-yaml writes it for KrakenD: members sorted, two spaces a level, lists not
//! indented under their name, text quoted only where it would read as something else. Numbers of JSON
//! bodies are text for that encoder, so most of them are quoted; the numbers of a record are not.
//!
//! Differences: text of several lines as a *name* is quoted (there the original writes broken YAML), and
//! below [`FLOW_DEPTH`] levels values are written as JSON, so that indentation cannot blow up the output.

use super::build::Children;
use super::value::{Object, Value};
use super::{Data, json};

/// Levels of block style.
const FLOW_DEPTH: usize = 100;

/// The data as a YAML document.
pub(super) fn encode(data: &Data) -> Vec<u8> {
    let mut out = String::with_capacity(256);
    match data {
        None => out.push_str("null\n"),
        Some(object) if object.is_empty() => out.push_str("{}\n"),
        Some(object) => members(object, &mut out),
    }
    out.into_bytes()
}

fn members(object: &Object, out: &mut String) {
    let list = object.iter();
    for (name, value) in list {
        member(name, value, 0, 0, false, out);
    }
}

/// One member of a mapping at its indentation; ends with a line break.
fn member(
    name: &str,
    value: &Value,
    indent: usize,
    depth: usize,
    plain_numbers: bool,
    out: &mut String,
) {
    if name.contains(['\n', '\r']) {
        quote(name, out)
    } else {
        text(name, 0, out)
    }
    out.push(':');
    match value {
        Value::Array(items) if !items.is_empty() && depth < FLOW_DEPTH => {
            out.push('\n');
            sequence(items, indent, depth + 1, out);
        }
        value if nested(value) && depth < FLOW_DEPTH => {
            out.push('\n');
            push_indent(indent + 2, out);
            mapping(value, indent + 2, depth + 1, out);
        }
        value => {
            out.push(' ');
            inline(value, indent + 2, plain_numbers, out);
            out.push('\n');
        }
    }
}

/// The members of a mapping whose first line is already indented.
fn mapping(value: &Value, indent: usize, depth: usize, out: &mut String) {
    let Some((_, children)) = Children::of(value) else {
        return;
    };
    let plain_numbers = matches!(value, Value::Record(_));
    for (at, (name, value)) in children.enumerate() {
        if at > 0 {
            push_indent(indent, out);
        }
        member(
            name.unwrap_or_default(),
            value,
            indent,
            depth,
            plain_numbers,
            out,
        );
    }
}

fn sequence(items: &[Value], indent: usize, depth: usize, out: &mut String) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 || !out.ends_with("- ") {
            push_indent(indent, out);
        }
        out.push_str("- ");
        match item {
            Value::Array(inner) if !inner.is_empty() && depth < FLOW_DEPTH => {
                sequence(inner, indent + 2, depth + 1, out);
            }
            item if nested(item) && depth < FLOW_DEPTH => mapping(item, indent + 2, depth + 1, out),
            item => {
                inline(item, indent + 2, false, out);
                out.push('\n');
            }
        }
    }
}

/// Whether this is a mapping with members.
fn nested(value: &Value) -> bool {
    match value {
        Value::Object(object) => !object.is_empty(),
        Value::Record(record) => !record.members().is_empty(),
        _ => false,
    }
}

fn push_indent(width: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', width));
}

/// A value that stands on the line of its name.
fn inline(value: &Value, indent: usize, plain_numbers: bool, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(number) if plain_numbers => out.push_str(number),
        Value::Number(number) => text(number, indent, out),
        Value::String(string) => text(string, indent, out),
        Value::Bytes(bytes) => text(&String::from_utf8_lossy(bytes), indent, out),
        other => out.push_str(&String::from_utf8_lossy(&json::to_vec(other))),
    }
}

fn text(text: &str, indent: usize, out: &mut String) {
    if needs_quotes(text) {
        quote(text, out);
    } else if text.contains(['\n', '\r']) {
        block(text, indent, out);
    } else {
        out.push_str(text);
    }
}

/// A literal block: its header tells how the text ends.
fn block(text: &str, indent: usize, out: &mut String) {
    let line_break = if text.contains("\r\n") {
        "\r\n"
    } else if text.contains('\n') {
        "\n"
    } else {
        "\r"
    };
    let rest = text.strip_suffix(line_break);
    out.push_str(match rest {
        Some(rest) if rest.ends_with(line_break) => "|+",
        Some(_) => "|",
        None => "|-",
    });
    // What follows the last break is empty for `|` and `|+`; the writer's own line break stands for it.
    let body = if let Some(rest) = rest { rest } else { text };
    let kept = if body.ends_with(line_break) {
        body.strip_suffix(line_break)
    } else {
        None
    };
    if rest.is_some() && body.is_empty() {
        out.push_str(line_break);
        return;
    }
    for line in kept.unwrap_or(body).split(line_break) {
        out.push_str(line_break);
        push_indent(indent, out);
        out.push_str(line);
    }
    if kept.is_some() {
        out.push_str(line_break);
    }
}

/// Words that YAML 1.1 or 1.2 reads as null or as a boolean.
const WORDS: &[&str] = &[
    "null", "Null", "NULL", "~", "false", "False", "FALSE", "true", "True", "TRUE", "y", "Y",
    "yes", "Yes", "YES", "n", "N", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF",
];

fn needs_quotes(text: &str) -> bool {
    let (Some(first), Some(last)) = (text.bytes().next(), text.bytes().last()) else {
        return true;
    };
    WORDS.contains(&text)
        || text == "-"
        || b"*&[{}],!|>%'\"@ `".contains(&first)
        || matches!(last, b':' | b' ')
        || is_number(text)
        || is_timestamp(text)
        || text.contains(['#', '\\'])
        || text.contains(": ")
        || text.contains("- ")
}

fn is_number(text: &str) -> bool {
    if text.starts_with('_') {
        return false;
    }
    let digits = text.strip_prefix('+').unwrap_or(text);
    let digits = digits.strip_prefix('-').unwrap_or(digits);
    if !digits.starts_with(|c: char| {
        c.is_ascii_hexdigit() || matches!(c, '.' | '_' | 'i' | 'I' | 'n' | 'N')
    }) {
        return false;
    }
    let digits = digits.replace('_', "");
    let dots = digits.matches('.').count();
    let all = |rest: &str, base: u32| !rest.is_empty() && rest.chars().all(|c| c.is_digit(base));
    if let Some(rest) = digits.strip_prefix("0x") {
        all(rest, 16)
    } else if let Some(rest) = digits.strip_prefix("0o") {
        all(rest, 8)
    } else if let Some(rest) = digits.strip_prefix("0b") {
        all(rest, 2)
    } else if digits.len() > 1 && digits.starts_with('0') && dots == 0 {
        all(&digits, 8)
    } else if dots == 1 {
        digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && digits.parse::<f64>().is_ok()
    } else {
        dots == 0 && all(&digits, 10)
    }
}

/// Dates, date and time, RFC 3339, and `15:4`.
fn is_timestamp(text: &str) -> bool {
    if !text.starts_with(|c: char| c.is_ascii_digit()) || text.len() > 40 {
        return false;
    }
    let bounded = |part: &str, sizes: std::ops::RangeInclusive<usize>, most: u32| {
        sizes.contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_digit())
            && part.parse::<u32>().is_ok_and(|n| n <= most)
    };
    if let Some((hour, minute)) = text.split_once(':')
        && bounded(hour, 1..=2, 23)
    {
        return bounded(minute, 1..=2, 59);
    }
    let date_only = text.len() == 10;
    super::date::iso(text).is_some() || (date_only && super::date::iso_date(text).is_some())
}

/// Go's `strconv.Quote`.
fn quote(text: &str, out: &mut String) {
    use std::fmt::Write;
    out.push('"');
    for c in text.chars() {
        let written = match c {
            '"' => out.write_str("\\\""),
            '\\' => out.write_str("\\\\"),
            '\x07' => out.write_str("\\a"),
            '\x08' => out.write_str("\\b"),
            '\x0c' => out.write_str("\\f"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            '\x0b' => out.write_str("\\v"),
            '\0'..'\x20' | '\x7f' => write!(out, "\\x{:02x}", u32::from(c)),
            '\u{80}'..='\u{a0}'
            | '\u{ad}'
            | '\u{2000}'..='\u{200f}'
            | '\u{2028}'..='\u{202f}'
            | '\u{feff}' => {
                write!(out, "\\u{:04x}", u32::from(c))
            }
            c => out.write_char(c),
        };
        // Writing to a string cannot fail.
        debug_assert!(written.is_ok());
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::super::decode::Decoder;
    use super::*;

    fn yaml(text: &str) -> String {
        String::from_utf8(encode(
            &Decoder::Json.decode(text.as_bytes(), false).unwrap(),
        ))
        .unwrap()
    }

    #[test]
    fn writes_the_recorded_document() {
        let user = r#"{"active":true,"address":{"city":"Turin","geo":{"lat":45.07,"lng":7.69}},"email":"ada@mail.test","id":7,"name":"Ada","tags":["x","y"]}"#;
        assert_eq!(
            yaml(user),
            "active: true\naddress:\n  city: Turin\n  geo:\n    lat: \"45.07\"\n    lng: \"7.69\"\nemail: ada@mail.test\nid: \"7\"\nname: Ada\ntags:\n- x\n- \"y\"\n"
        );
    }

    #[test]
    fn nests_lists_and_objects() {
        for (data, expected) in [
            ("null", "null\n"),
            ("{}", "{}\n"),
            (
                r#"{"a":{},"b":[],"c":null,"d":""}"#,
                "a: {}\nb: []\nc: null\nd: \"\"\n",
            ),
            (
                r#"{"a":[[1,2],[3],[]],"m":[{"x":1,"y":[1,{"z":"q"}]},{}],"n":[null,true,"x"]}"#,
                "a:\n- - \"1\"\n  - \"2\"\n- - \"3\"\n- []\nm:\n- x: \"1\"\n  \"y\":\n  - \"1\"\n  - z: q\n- {}\n\"n\":\n- null\n- true\n- x\n",
            ),
            (
                r#"{"a":[[["x"]],[{"a":[1]}]]}"#,
                "a:\n- - - x\n- - a:\n    - \"1\"\n",
            ),
            (
                r#"{"a":{"b":{"c":[{"d":{"e":[{"f":1}]}}]}}}"#,
                "a:\n  b:\n    c:\n    - d:\n        e:\n        - f: \"1\"\n",
            ),
        ] {
            assert_eq!(yaml(data), expected, "{data}");
        }
    }

    #[test]
    fn writes_several_lines_as_a_block() {
        assert_eq!(
            yaml(
                r#"{"t":"line1\nline2","u":"x\n","v":"a\n\nb\n\n","w":{"t":"l1\nl2"},"z":["p\nq", {"k":"p\nq"}]}"#
            ),
            "t: |-\n  line1\n  line2\nu: |\n  x\nv: |+\n  a\n  \n  b\n\nw:\n  t: |-\n    l1\n    l2\nz:\n- |-\n  p\n  q\n- k: |-\n    p\n    q\n"
        );
        assert_eq!(yaml(r#"{"a":"\n","b":"\n\n"}"#), "a: |\n\nb: |+\n  \n\n");
        assert_eq!(
            yaml(r#"{"c":" x\ny","e":"a: b\nc"}"#),
            "c: \" x\\ny\"\ne: \"a: b\\nc\"\n"
        );
    }

    #[test]
    fn quotes_what_would_read_as_something_else() {
        for (text, quoted) in [
            ("é😀", false),
            ("it's", false),
            ("a: b", true),
            ("a #b", true),
            ("a:", true),
            ("trail ", true),
            ("0x1F", true),
            ("1_000", true),
            ("2020-01-01", true),
            ("2020-01-01 10:00:00", true),
            ("2020-01-01T10:00:00Z", true),
            ("12:30", true),
            ("~", true),
            ("Null", true),
            (".inf", false),
            ("-1.5e3", true),
            ("1e5", false),
            ("12345678901234567890", true),
            ("-0", true),
            ("1.0", true),
            ("<a>", false),
            ("=", false),
            ("?", false),
            ("- a", true),
            ("-x", false),
            ("no", true),
            ("1.2.3", false),
        ] {
            assert_eq!(needs_quotes(text), quoted, "{text}");
        }
    }

    #[test]
    fn writes_deep_trees_without_growing_quadratically() {
        let deep = format!("{}1{}", "{\"a\":".repeat(9_000), "}".repeat(9_000));
        assert!(yaml(&deep).len() < 200_000);
    }
}
