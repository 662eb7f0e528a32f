//! Data as XML, in the mapping of mxj that KrakenD uses. No declaration, no white space.
//!
//! Object or list under `#text` appear as Go prints them, but escaped, which KrakenD forgets.
//! A record (a Go struct there) is escaped into text as Go's XML of that struct; here it is an element
//! with the record's members, which is what its readers can use.

use super::Data;
use super::build::Children;
use super::text::go_text;
use super::value::{Object, Value};

enum Work<'a> {
    Element(&'a str, &'a Value),
    Close(&'a str),
}

/// The data as XML; nothing when an attribute would hold an object, a list or null.
pub(super) fn encode(data: &Data) -> Vec<u8> {
    let empty = Object::new();
    let object = data.as_ref().unwrap_or(&empty);
    let mut out = Vec::with_capacity(256);
    let mut work = Vec::new();
    let written = match root(object) {
        Some((name, value)) => {
            work.push(Work::Element(name, value));
            Ok(())
        }
        None => members("doc", object.iter(), &mut out, &mut work),
    };
    match written.and_then(|()| run(work, &mut out)) {
        Ok(()) => out,
        Err(BadAttribute) => Vec::new(),
    }
}

/// A `-name` member that is no scalar.
struct BadAttribute;

/// The single member that may be the root: not a list of anything but objects.
fn root(object: &Object) -> Option<(&str, &Value)> {
    let (name, value) = object.iter().next().filter(|_| object.len() == 1)?;
    match value {
        Value::Array(items) if !items.iter().all(|item| matches!(item, Value::Object(_))) => None,
        _ => Some((name, value)),
    }
}

fn run<'a>(mut work: Vec<Work<'a>>, out: &mut Vec<u8>) -> Result<(), BadAttribute> {
    while let Some(next) = work.pop() {
        match next {
            Work::Close(name) => tag(b"</", name, b">", out),
            Work::Element(name, Value::Array(items)) if !items.is_empty() => {
                work.extend(items.iter().rev().map(|item| Work::Element(name, item)));
            }
            Work::Element(name, Value::Object(object)) => {
                members(name, object.iter(), out, &mut work)?
            }
            Work::Element(name, Value::Record(record)) => {
                let list = record
                    .members()
                    .iter()
                    .map(|member| (member.0.as_ref(), &member.1));
                members(name, list, out, &mut work)?;
            }
            Work::Element(name, value) => {
                let at = out.len();
                tag(b"<", name, b">", out);
                let begin = out.len();
                scalar(value, out);
                if out.len() == begin {
                    out.truncate(at);
                    tag(b"<", name, b"/>", out);
                } else {
                    tag(b"</", name, b">", out);
                }
            }
        }
    }
    Ok(())
}

/// Writes the start of an element with members and queues the rest of it.
fn members<'a>(
    name: &'a str,
    list: impl Iterator<Item = (&'a str, &'a Value)>,
    out: &mut Vec<u8>,
    work: &mut Vec<Work<'a>>,
) -> Result<(), BadAttribute> {
    tag(b"<", name, b"", out);
    let mut text = None;
    let mark = work.len();
    work.push(Work::Close(name));
    for (key, value) in list {
        if let Some(attribute) = key.strip_prefix('-').filter(|rest| !rest.is_empty()) {
            if matches!(value, Value::Null) || Children::of(value).is_some() {
                return Err(BadAttribute);
            }
            tag(b" ", attribute, b"=\"", out);
            scalar(value, out);
            out.push(b'"');
        } else if key == "#text" {
            text = Some(value);
        } else {
            work.push(Work::Element(key, value));
        }
    }
    if text.is_none() && work.len() == mark + 1 {
        work.pop();
        out.extend_from_slice(b"/>");
        return Ok(());
    }
    out.push(b'>');
    if let Some(value) = text {
        match value {
            Value::Null => out.extend_from_slice(b"<nil>"),
            value if !value.is_leaf() => escape(go_text(value).as_bytes(), out),
            value => scalar(value, out),
        }
    }
    if let Some(queued) = work.get_mut(mark + 1..) {
        queued.reverse();
    }
    Ok(())
}

fn tag(open: &[u8], name: &str, close: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(open);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(close);
}

fn scalar(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null | Value::Array(_) | Value::Object(_) | Value::Record(_) => {}
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Number(text) => out.extend_from_slice(text.as_bytes()),
        Value::String(text) => escape(text.as_bytes(), out),
        Value::Bytes(bytes) => escape(String::from_utf8_lossy(bytes).as_bytes(), out),
    }
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&apos;"),
            byte => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode::Decoder;
    use super::*;

    fn xml(text: &str) -> String {
        String::from_utf8(encode(
            &Decoder::Json.decode(text.as_bytes(), false).unwrap(),
        ))
        .unwrap()
    }

    #[test]
    fn writes_what_mxj_writes() {
        for (data, expected) in [
            ("{}", "<doc/>"),
            ("null", "<doc/>"),
            (r#"{"a":5}"#, "<a>5</a>"),
            (r#"{"a":null}"#, "<a/>"),
            (r#"{"a":[]}"#, "<a/>"),
            (r#"{"a":[1]}"#, "<doc><a>1</a></doc>"),
            (r#"{"a":[[]]}"#, "<doc><a/></doc>"),
            (
                r#"{"a":[{"b":1},{"c":2}]}"#,
                "<a><b>1</b></a><a><c>2</c></a>",
            ),
            (
                r##"{"a":{"-x":1,"-a":"<\"","#text":"t"}}"##,
                r#"<a a="&lt;&quot;" x="1">t</a>"#,
            ),
            (
                r##"{"a":{"-x":1,"#text":"t","b":1}}"##,
                r#"<a x="1">t<b>1</b></a>"#,
            ),
            (
                r#"{"a":null,"b":"","c":{},"d":[[1,2],[]],"e":[null,""],"f":true}"#,
                "<doc><a/><b/><c/><d>1</d><d>2</d><d/><e/><e/><f>true</f></doc>",
            ),
            (r#"{"-a":1,"b":2}"#, r#"<doc a="1"><b>2</b></doc>"#),
            (r##"{"#text":"x","a":1}"##, "<doc>x<a>1</a></doc>"),
            (r#"{"a":"<>&\"'"}"#, "<a>&lt;&gt;&amp;&quot;&apos;</a>"),
            (r##"{"a":{"#text":""}}"##, "<a></a>"),
            (r##"{"a":{"#text":{"b":1}}}"##, "<a>map[b:1]</a>"),
            (r##"{"a":{"#text":[1,"x"],"c":1}}"##, "<a>[1 x]<c>1</c></a>"),
            (r#"{"a":{"-x":{}}}"#, ""),
            (
                r#"{"a":1.50,"z":{"-n":1.50,"-b":true}}"#,
                r#"<doc><a>1.50</a><z b="true" n="1.50"/></doc>"#,
            ),
        ] {
            assert_eq!(xml(data), expected, "{data}");
        }
    }
}
