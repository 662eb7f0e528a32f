//! The XML of a feed as a flat tree, lenient where feeds are sloppy: unknown entities and stray `&` are
//! text, and an element's content can be had as it was written, since titles hold markup now and then.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::decode::DecodeError;
use super::xml;

/// Deepest nesting of a feed.
const MAX_DEPTH: usize = 1_000;

/// A feed's elements; the root is the first.
pub(super) struct Tree {
    source: String,
    nodes: Vec<Node>,
}

/// One element.
pub(super) struct Node {
    /// Prefix of the name as written, in lower case.
    pub(super) prefix: Box<str>,
    /// Local name as written.
    pub(super) name: Box<str>,
    attributes: Vec<(Box<str>, Box<str>)>,
    children: Vec<usize>,
    inner: Range<usize>,
    text: String,
}

impl Tree {
    /// The tree of a document.
    pub(super) fn parse(body: &[u8]) -> Result<Self, DecodeError> {
        let markup = |error: String| DecodeError::Markup(error);
        let source = xml::to_utf8(body).map_err(markup)?.into_owned();
        let nodes = read(&source).map_err(markup)?;
        Ok(Self { source, nodes })
    }

    pub(super) fn root(&self) -> Option<&Node> {
        self.nodes.first()
    }

    /// The child elements, in the order of the document.
    pub(super) fn children<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Node> {
        node.children.iter().filter_map(|&at| self.nodes.get(at))
    }

    /// Content as gofeed reads text: CDATA as it is, the rest with its entities resolved.
    pub(super) fn content(&self, node: &Node) -> String {
        let mut rest = self
            .source
            .get(node.inner.clone())
            .unwrap_or_default()
            .trim();
        let mut out = String::with_capacity(rest.len());
        while let Some((before, after)) = rest.split_once("<![CDATA[") {
            entities(before, &mut out);
            let (data, after) = after.split_once("]]>").unwrap_or((after, ""));
            out.push_str(data);
            rest = after;
        }
        entities(rest, &mut out);
        out
    }

    /// Content exactly as written.
    pub(super) fn raw(&self, node: &Node) -> &str {
        self.source
            .get(node.inner.clone())
            .unwrap_or_default()
            .trim()
    }
}

impl Node {
    /// Whether it has this local name in any case.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Whether it belongs to another vocabulary than RSS, RDF and the feed's own.
    pub(super) fn is_extension(&self) -> bool {
        !matches!(self.prefix.as_ref(), "" | "rss" | "rdf" | "content")
    }

    /// An attribute by its local name; empty when missing.
    pub(super) fn attribute(&self, name: &str) -> &str {
        self.attributes
            .iter()
            .find(|pair| pair.0.as_ref() == name)
            .map_or("", |pair| &pair.1)
    }

    pub(super) fn attributes(&self) -> &[(Box<str>, Box<str>)] {
        &self.attributes
    }

    /// The text directly inside, without that of children.
    pub(super) fn text(&self) -> &str {
        self.text.trim()
    }

    fn open(start: &BytesStart<'_>, begin: usize) -> Self {
        let name = start.name();
        let mut attributes = start.attributes();
        let attributes = attributes.with_checks(false).flatten().map(|attribute| {
            let mut value = String::with_capacity(attribute.value.len());
            entities(&attribute.value, &mut value);
            (attribute.key.local_name().as_ref().into(), value.into())
        });
        Self {
            prefix: name
                .prefix()
                .map_or("", |prefix| prefix.into_inner())
                .to_ascii_lowercase()
                .into(),
            name: name.local_name().as_ref().into(),
            attributes: attributes.collect(),
            children: Vec::new(),
            inner: begin..begin,
            text: String::new(),
        }
    }
}

fn read(source: &str) -> Result<Vec<Node>, String> {
    let mut reader = Reader::from_str(source);
    reader.config_mut().expand_empty_elements = true;
    reader.config_mut().allow_dangling_amp = true;
    let position =
        |reader: &Reader<&[u8]>| usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
    let mut nodes: Vec<Node> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    loop {
        let before = position(&reader);
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(_) if open.len() >= MAX_DEPTH => {
                return Err("exceeded max depth".to_owned());
            }
            Event::Start(start) => {
                let at = nodes.len();
                if let Some(parent) = open.last().and_then(|&parent| nodes.get_mut(parent)) {
                    parent.children.push(at);
                }
                nodes.push(Node::open(&start, position(&reader)));
                open.push(at);
            }
            Event::End(_) => {
                if let Some(node) = open.pop().and_then(|at| nodes.get_mut(at)) {
                    node.inner.end = before.max(node.inner.start);
                }
                if open.is_empty() {
                    return Ok(nodes);
                }
            }
            Event::Eof => return Err("unexpected EOF".to_owned()),
            event => {
                if let Some(node) = open.last().and_then(|&at| nodes.get_mut(at)) {
                    match event {
                        Event::Text(text) => node.text.push_str(&text.xml10_content()),
                        Event::CData(text) => node.text.push_str(&text.xml10_content()),
                        Event::GeneralRef(name) => {
                            entities(&format!("&{};", name.xml10_content()), &mut node.text)
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

/// Appends a text with its entities resolved; what is no entity stays as it is.
fn entities(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at..).unwrap_or_default();
        // No entity has a longer name; a bound keeps a text of many `&` from being searched again and again.
        let name = rest
            .bytes()
            .take(32)
            .position(|b| b == b';')
            .and_then(|end| rest.get(1..end));
        match name.and_then(|name| Some((name, character(name)?))) {
            Some((name, c)) => {
                out.push(c);
                rest = rest.get(name.len() + 2..).unwrap_or_default();
            }
            None => {
                out.push('&');
                rest = rest.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
}

/// The character of an entity: numbers, XML's five, and those of HTML that feeds use.
fn character(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return Some(
            char::from_u32(code)
                .filter(|&c| c != '\0')
                .unwrap_or(char::REPLACEMENT_CHARACTER),
        );
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "copy" => '©',
        "reg" => '®',
        "trade" => '™',
        "deg" => '°',
        "euro" => '€',
        "pound" => '£',
        "laquo" => '«',
        "raquo" => '»',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "ndash" => '–',
        "mdash" => '—',
        "hellip" => '…',
        "bull" => '•',
        "middot" => '·',
        "times" => '×',
        "agrave" => 'à',
        "aacute" => 'á',
        "auml" => 'ä',
        "ccedil" => 'ç',
        "egrave" => 'è',
        "eacute" => 'é',
        "iacute" => 'í',
        "ntilde" => 'ñ',
        "oacute" => 'ó',
        "ouml" => 'ö',
        "szlig" => 'ß',
        "uacute" => 'ú',
        "uuml" => 'ü',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_entities_and_leaves_the_rest() {
        for (text, expected) in [
            ("a &amp; b", "a & b"),
            ("AT&T", "AT&T"),
            ("&#65;&#x42;&eacute;&foo;", "ABé&foo;"),
            ("&", "&"),
            ("&é;", "&é;"),
        ] {
            let mut out = String::new();
            entities(text, &mut out);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn gives_content_as_text_and_as_written() {
        let tree =
            Tree::parse(b"<a><b> x <i>y</i> &amp; <![CDATA[<z>&amp;]]> </b><c/></a>").unwrap();
        let root = tree.root().unwrap();
        let b = tree.children(root).next().unwrap();
        assert_eq!(tree.content(b), "x <i>y</i> & <z>&amp;");
        assert_eq!(tree.raw(tree.children(root).nth(1).unwrap()), "");
    }
}
