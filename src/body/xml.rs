//! XML as data, in the mapping of mxj that KrakenD uses: an element is a member; attributes are `-name`;
//! text beside attributes or children is `#text`; repeated elements are a list; every value is a string;
//! prefixes of namespaces are dropped.
//!
//! Entities of a document type are never expanded, so the data is never larger than the text. Of several
//! runs of text in one element only one stays, as in mxj. Error texts follow Go's where they are common.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::errors::{Error, IllFormedError};
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::decode::DecodeError;
use super::value::{Member, Object, Value};
use crate::base::json::MAX_DEPTH;

/// The root element as the one member of an object.
pub(super) fn decode(body: &[u8]) -> Result<Object, DecodeError> {
    let text = to_utf8(body)
        .map_err(|error| DecodeError::Markup(format!("xml.Decoder.Token() - {error}")))?;
    let mut reader = Reader::from_str(&text);
    reader.config_mut().expand_empty_elements = true;
    let mut open: Vec<Element> = Vec::new();
    let mut run = String::new();
    loop {
        let event = reader
            .read_event()
            .map_err(|error| failure(&text, &reader, &go_text(error)))?;
        match &event {
            Event::Text(part) if !open.is_empty() => {
                run.push_str(&part.xml10_content());
                continue;
            }
            Event::GeneralRef(reference) if !open.is_empty() => {
                run.push_str(&resolve(reference).map_err(|error| failure(&text, &reader, &error))?);
                continue;
            }
            _ => {}
        }
        if let Some(element) = open.last_mut() {
            element.text(&run);
            run.clear();
        }
        match event {
            Event::Start(start) => {
                if open.len() >= MAX_DEPTH {
                    return Err(failure(&text, &reader, "exceeded max depth"));
                }
                open.push(Element::open(&start).map_err(|error| failure(&text, &reader, &error))?);
            }
            Event::CData(data) => {
                if let Some(element) = open.last_mut() {
                    element.text(&data.xml10_content());
                }
            }
            Event::End(_) => {
                let Some(element) = open.pop() else { continue };
                let member = element.close();
                match open.last_mut() {
                    Some(parent) => parent.children.push(member),
                    None => return Ok(Object::from_members(vec![member])),
                }
            }
            Event::Eof if open.is_empty() => return Err(DecodeError::Empty),
            Event::Eof => return Err(failure(&text, &reader, "unexpected EOF")),
            _ => {}
        }
    }
}

/// An element whose end has not been met.
struct Element {
    name: Box<str>,
    attributes: Vec<Member>,
    children: Vec<Member>,
    /// Text met before anything else was in the element; it wins over later text.
    lead: Option<String>,
    text: Option<String>,
}

impl Element {
    fn open(start: &BytesStart<'_>) -> Result<Self, String> {
        let name = start.local_name();
        check_name(name.as_ref())?;
        let mut attributes = Vec::new();
        for attribute in start.attributes().with_checks(false) {
            let attribute = attribute
                .map_err(|_| "unquoted or missing attribute value in element".to_owned())?;
            let value = quick_xml::escape::unescape(&attribute.value)
                .map_err(|error| entity(&error.to_string()))?;
            let key = format!("-{}", attribute.key.local_name().as_ref());
            attributes.push((key.into(), Value::String(unix_lines(&value).into())));
        }
        Ok(Self {
            name: name.as_ref().into(),
            attributes,
            children: Vec::new(),
            lead: None,
            text: None,
        })
    }

    fn text(&mut self, run: &str) {
        let run = run.trim_matches(['\t', '\r', '\x08', '\n', ' ']);
        if run.is_empty() {
            return;
        }
        let bare = self.attributes.is_empty() && self.children.is_empty();
        *(if bare { &mut self.lead } else { &mut self.text }) = Some(run.to_owned());
    }

    fn close(self) -> Member {
        let text = self.lead.or(self.text);
        if self.attributes.is_empty() && self.children.is_empty() {
            return (self.name, Value::String(text.unwrap_or_default().into()));
        }
        let mut members = self.attributes;
        members.extend(group(self.children));
        members.extend(text.map(|text| ("#text".into(), Value::String(text.into()))));
        (self.name, Value::Object(Object::from_members(members)))
    }
}

/// Members of the same name become one list, in the order of the document.
fn group(mut children: Vec<Member>) -> Vec<Member> {
    children.sort_by(|a, b| a.0.cmp(&b.0));
    let mut grouped: Vec<Member> = Vec::with_capacity(children.len());
    let mut repeated = false;
    for (name, value) in children {
        match grouped.last_mut() {
            Some((last, list)) if *last == name => {
                if let (true, Value::Array(list)) = (repeated, &mut *list) {
                    list.push(value);
                } else {
                    let first = std::mem::take(list);
                    *list = Value::Array(vec![first, value].into());
                    repeated = true;
                }
            }
            _ => {
                grouped.push((name, value));
                repeated = false;
            }
        }
    }
    grouped
}

fn check_name(name: &str) -> Result<(), String> {
    match name.chars().next() {
        None => Err("expected element name after <".to_owned()),
        Some(c) if c.is_ascii() && !c.is_ascii_alphabetic() && c != '_' => {
            Err(format!("invalid XML name: {name}"))
        }
        Some(_) => Ok(()),
    }
}

fn resolve(reference: &BytesRef<'_>) -> Result<Cow<'static, str>, String> {
    let name = reference.xml10_content();
    match reference.resolve_char_ref() {
        Ok(Some(c)) => return Ok(c.to_string().into()),
        Ok(None) => {}
        Err(_) => return Err(entity(&name)),
    }
    quick_xml::escape::resolve_predefined_entity(&name)
        .map(Cow::Borrowed)
        .ok_or_else(|| entity(&name))
}

fn entity(name: &str) -> String {
    format!("invalid character entity &{name};")
}

fn unix_lines(text: &str) -> String {
    if text.contains('\r') {
        text.replace("\r\n", "\n").replace('\r', "\n")
    } else {
        text.to_owned()
    }
}

fn failure(text: &str, reader: &Reader<&[u8]>, error: &str) -> DecodeError {
    let position = usize::try_from(reader.buffer_position())
        .unwrap_or(usize::MAX)
        .min(text.len());
    let before = text.as_bytes().get(..position).unwrap_or_default();
    let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
    DecodeError::Markup(format!(
        "xml.Decoder.Token() - XML syntax error on line {line}: {error}"
    ))
}

fn go_text(error: Error) -> String {
    match error {
        Error::IllFormed(IllFormedError::MismatchedEndTag { expected, found }) => {
            format!("element <{expected}> closed by </{found}>")
        }
        Error::IllFormed(IllFormedError::UnmatchedEndTag(name)) => {
            format!("unexpected end element </{name}>")
        }
        Error::IllFormed(IllFormedError::UnclosedReference) => {
            "invalid character entity & (no semicolon)".to_owned()
        }
        Error::Syntax(_) => "unexpected EOF".to_owned(),
        other => other.to_string(),
    }
}

/// The text of a document whose declaration may name another charset than UTF-8.
pub(super) fn to_utf8(body: &[u8]) -> Result<Cow<'_, str>, String> {
    if let Some((encoding, length)) = encoding_rs::Encoding::for_bom(body) {
        let rest = body.get(length..).unwrap_or_default();
        return Ok(encoding.decode_without_bom_handling(rest).0);
    }
    if let Some(label) = declared_charset(body)
        && !label.eq_ignore_ascii_case(b"utf-8")
    {
        let Some(encoding) = encoding_rs::Encoding::for_label(label) else {
            let label = String::from_utf8_lossy(label);
            return Err(format!(
                "xml: opening charset {label:?}: unsupported charset: {label:?}"
            ));
        };
        return Ok(encoding.decode_without_bom_handling(body).0);
    }
    std::str::from_utf8(body)
        .map(Cow::Borrowed)
        .map_err(|error| {
            let before = body.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
            format!("XML syntax error on line {line}: invalid UTF-8")
        })
}

/// The value of `encoding` in an XML declaration at the beginning of the body.
fn declared_charset(body: &[u8]) -> Option<&[u8]> {
    let declaration = body.trim_ascii_start().strip_prefix(b"<?xml")?;
    let declaration = declaration.get(..256.min(declaration.len()))?;
    let end = declaration.windows(2).position(|pair| pair == b"?>")?;
    let declaration = declaration.get(..end)?;
    let at = declaration
        .windows(8)
        .position(|word| word == b"encoding")?;
    let value = declaration
        .get(at + 8..)?
        .trim_ascii_start()
        .strip_prefix(b"=")?
        .trim_ascii_start();
    let (&quote, value) = value.split_first()?;
    if quote != b'"' && quote != b'\'' {
        return None;
    }
    value.split(|&b| b == quote).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> String {
        match decode(body) {
            Ok(object) => format!("{object:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn maps_elements_attributes_and_text() {
        for (text, expected) in [
            ("<a/>", r#"{"a":""}"#),
            ("<a>  </a>", r#"{"a":""}"#),
            ("<a q=\"1\"> t </a>", r##"{"a":{"#text":"t","-q":"1"}}"##),
            ("<a>x<b/>y</a>", r##"{"a":{"#text":"x","b":""}}"##),
            (
                "<a><b>1</b>mid<b>2</b><c/></a>",
                r##"{"a":{"#text":"mid","b":["1","2"],"c":""}}"##,
            ),
            (
                "<a><b x=\"1\">t</b><b/><b>u</b></a>",
                r##"{"a":{"b":[{"#text":"t","-x":"1"},"","u"]}}"##,
            ),
            (
                "<n:a xmlns:n=\"u\" n:z=\"1\"><n:b/></n:a>",
                r#"{"a":{"-n":"u","-z":"1","b":""}}"#,
            ),
            ("<a>x<!--c-->y</a>", r#"{"a":"y"}"#),
            ("<a>x<![CDATA[<y>]]></a>", r#"{"a":"\u003cy\u003e"}"#),
            (
                "<a b=\"&lt;\">&#65;&amp;B</a>",
                r##"{"a":{"#text":"A\u0026B","-b":"\u003c"}}"##,
            ),
            ("<a x='1' x='2'/>", r#"{"a":{"-x":"2"}}"#),
            ("<a>l1\r\nl2</a>", r#"{"a":"l1\nl2"}"#),
            ("plain <a>1</a><b/>", r#"{"a":"1"}"#),
            ("<?xml version=\"1.0\"?><!DOCTYPE a><a/>", r#"{"a":""}"#),
        ] {
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn reads_the_recorded_documents() {
        let user = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<user type=\"admin\">\n  <name>Elliot</name>\n  <social>\n    <facebook>https://facebook.com</facebook>\n  </social>\n</user>";
        assert_eq!(
            read(user.as_bytes()),
            r#"{"user":{"-type":"admin","name":"Elliot","social":{"facebook":"https://facebook.com"}}}"#
        );
        let list = b"<list n=\"2\"><item id=\"1\">a</item><item id=\"2\">b</item><empty/></list>";
        assert_eq!(
            read(list),
            r##"{"list":{"-n":"2","empty":"","item":[{"#text":"a","-id":"1"},{"#text":"b","-id":"2"}]}}"##
        );
    }

    #[test]
    fn speaks_the_words_of_go() {
        let at_line_1 =
            |error: &str| format!("xml.Decoder.Token() - XML syntax error on line 1: {error}");
        assert_eq!(read(b""), "EOF");
        assert_eq!(read(b"{\"a\":1}"), "EOF");
        assert_eq!(read(b"<a>"), at_line_1("unexpected EOF"));
        assert_eq!(read(b"<a></b>"), at_line_1("element <a> closed by </b>"));
        assert_eq!(
            read(b"<a>&foo;</a>"),
            at_line_1("invalid character entity &foo;")
        );
        assert_eq!(read(b"<a>\xff</a>"), at_line_1("invalid UTF-8"));
        assert_eq!(read(b"<1a/>"), at_line_1("invalid XML name: 1a"));
        assert_eq!(
            read(b"<a b=c/>"),
            at_line_1("unquoted or missing attribute value in element")
        );
    }

    #[test]
    fn never_expands_entities_of_a_document_type() {
        let bomb = b"<!DOCTYPE a [<!ENTITY e \"v\">]><a>&e;</a>";
        assert!(read(bomb).ends_with("invalid character entity &e;"));
    }

    #[test]
    fn honours_the_declared_charset() {
        assert_eq!(
            read(b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>"),
            "{\"a\":\"é\"}"
        );
        assert!(read(b"<?xml version='1.0' encoding='none'?><a/>").contains("unsupported charset"));
    }

    #[test]
    fn stops_at_the_deepest_nesting() {
        assert!(decode("<a>".repeat(20_000).as_bytes()).is_err());
        let deep = format!("{}{}", "<a>".repeat(9_000), "</a>".repeat(9_000));
        assert!(decode(deep.as_bytes()).is_ok());
    }
}
