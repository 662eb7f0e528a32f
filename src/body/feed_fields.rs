//! The typed pieces of a feed and how they print: in the order of gofeed's structs, empty ones left out.

use std::collections::BTreeMap;

use super::date::Moment;
use super::feed_tree::{Node, Tree};
use super::value::{Member, Object, Record, Value};

/// Deepest nesting of extension elements that is shown.
const EXTENSION_DEPTH: usize = 32;

/// Members that are kept only if they hold something.
#[derive(Default)]
pub(super) struct Fields(Vec<Member>);

impl Fields {
    pub(super) fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.0.push((name.into(), Value::string(text)));
        }
    }

    pub(super) fn list(&mut self, name: &str, list: &[String]) {
        if !list.is_empty() {
            self.0.push((name.into(), strings(list)));
        }
    }

    pub(super) fn date(&mut self, name: &str, date: Option<Moment>) {
        if let Some(date) = date {
            self.text(name, &date.rfc3339());
        }
    }

    pub(super) fn value(&mut self, name: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.0.push((name.into(), value));
        }
    }

    pub(super) fn record(self) -> Value {
        Value::Record(Record::from(self.0))
    }
}

/// A list of strings.
pub(super) fn strings(list: &[String]) -> Value {
    Value::Array(list.iter().map(|text| Value::string(text)).collect())
}

/// A person by name and address.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) email: String,
}

impl Person {
    /// Splits `name (address)`, `address (name)`, a bare name or a bare address.
    pub(super) fn parse(text: &str) -> Self {
        let mut person = Self::default();
        let split = text
            .strip_suffix(')')
            .and_then(|text| text.rsplit_once('('));
        match split {
            Some((before, inside)) if before.ends_with(char::is_whitespace) => {
                let before = before.trim_end();
                match (before.contains('@'), inside.contains('@')) {
                    (true, false) => {
                        (person.email, person.name) = (before.to_owned(), inside.to_owned())
                    }
                    (false, true) => {
                        (person.name, person.email) = (before.to_owned(), inside.to_owned())
                    }
                    _ => {}
                }
            }
            _ if text.contains(['(', ')']) => {}
            _ if !text.contains('@') => person.name = text.to_owned(),
            _ if text.matches('@').count() == 1
                && !text.starts_with('@')
                && !text.ends_with('@') =>
            {
                person.email = text.to_owned();
            }
            _ => {}
        }
        person
    }

    pub(super) fn record(&self) -> Value {
        let mut fields = Fields::default();
        fields.text("name", &self.name);
        fields.text("email", &self.email);
        fields.record()
    }
}

/// `{url, title}`.
pub(super) fn image(url: &str, title: &str) -> Value {
    let mut fields = Fields::default();
    fields.text("url", url);
    fields.text("title", title);
    fields.record()
}

/// `{url, length, type}`.
pub(super) fn enclosure(url: &str, length: &str, kind: &str) -> Value {
    let mut fields = Fields::default();
    fields.text("url", url);
    fields.text("length", length);
    fields.text("type", kind);
    fields.record()
}

/// One item of a feed, whatever its format.
#[derive(Default)]
pub(super) struct Item {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) content: String,
    pub(super) link: String,
    pub(super) links: Vec<String>,
    pub(super) updated: String,
    pub(super) updated_parsed: Option<Moment>,
    pub(super) published: String,
    pub(super) published_parsed: Option<Moment>,
    pub(super) author: Option<Person>,
    pub(super) authors: Vec<Person>,
    pub(super) guid: String,
    pub(super) image: Option<Value>,
    pub(super) categories: Vec<String>,
    pub(super) enclosures: Vec<Value>,
    pub(super) extensions: Extensions,
    pub(super) custom: BTreeMap<String, String>,
}

impl Item {
    /// The item as it prints.
    pub(super) fn record(self) -> Value {
        let mut fields = Fields::default();
        fields.text("title", &self.title);
        fields.text("description", &self.description);
        fields.text("content", &self.content);
        fields.text("link", &self.link);
        fields.list("links", &self.links);
        fields.text("updated", &self.updated);
        fields.date("updatedParsed", self.updated_parsed);
        fields.text("published", &self.published);
        fields.date("publishedParsed", self.published_parsed);
        fields.value("author", self.author.as_ref().map(Person::record));
        if !self.authors.is_empty() {
            fields.value(
                "authors",
                Some(Value::Array(
                    self.authors.iter().map(Person::record).collect(),
                )),
            );
        }
        fields.text("guid", &self.guid);
        fields.value("image", self.image);
        fields.list("categories", &self.categories);
        if !self.enclosures.is_empty() {
            fields.value("enclosures", Some(Value::Array(self.enclosures.into())));
        }
        fields.value("dcExt", self.extensions.dublin_core());
        fields.value("itunesExt", self.extensions.itunes());
        fields.value("extensions", self.extensions.value());
        if !self.custom.is_empty() {
            let custom: Object = self
                .custom
                .iter()
                .map(|(k, v)| (k.as_str().into(), Value::string(v)))
                .collect();
            fields.value("custom", Some(Value::Object(custom)));
        }
        fields.record()
    }
}

/// Elements of other vocabularies, by prefix and name.
#[derive(Default)]
pub(super) struct Extensions(BTreeMap<Box<str>, BTreeMap<Box<str>, Vec<Extension>>>);

struct Extension {
    text: String,
    href: String,
    value: Value,
}

const DUBLIN_CORE: [&str; 16] = [
    "title",
    "creator",
    "author",
    "subject",
    "description",
    "publisher",
    "contributor",
    "date",
    "type",
    "format",
    "identifier",
    "source",
    "language",
    "relation",
    "coverage",
    "rights",
];

const ITUNES: [&str; 13] = [
    "author",
    "block",
    "duration",
    "explicit",
    "keywords",
    "subtitle",
    "summary",
    "image",
    "isClosedCaptioned",
    "episode",
    "season",
    "order",
    "episodeType",
];

impl Extensions {
    pub(super) fn add(&mut self, tree: &Tree, node: &Node) {
        let extension = Extension {
            text: node.text().to_owned(),
            href: node.attribute("href").to_owned(),
            value: extension(tree, node, 0),
        };
        self.0
            .entry(node.prefix.clone())
            .or_default()
            .entry(node.name.clone())
            .or_default()
            .push(extension);
    }

    fn texts(&self, prefix: &str, name: &str) -> Vec<String> {
        let list = self.0.get(prefix).and_then(|names| names.get(name));
        list.into_iter()
            .flatten()
            .map(|extension| extension.text.clone())
            .collect()
    }

    /// Every text of a Dublin Core element.
    pub(super) fn dc(&self, name: &str) -> Vec<String> {
        self.texts("dc", name)
    }

    /// The first text of an element, or empty.
    pub(super) fn first(&self, prefix: &str, name: &str) -> String {
        self.texts(prefix, name)
            .into_iter()
            .next()
            .unwrap_or_default()
    }

    /// The address of the podcast's picture.
    pub(super) fn itunes_image(&self) -> String {
        let list = self.0.get("itunes").and_then(|names| names.get("image"));
        list.and_then(|list| list.first())
            .map(|extension| extension.href.clone())
            .unwrap_or_default()
    }

    fn dublin_core(&self) -> Option<Value> {
        self.0.get("dc")?;
        let mut fields = Fields::default();
        for name in DUBLIN_CORE {
            fields.list(name, &self.dc(name));
        }
        Some(fields.record())
    }

    fn itunes(&self) -> Option<Value> {
        self.0.get("itunes")?;
        let mut fields = Fields::default();
        for name in ITUNES {
            fields.text(
                name,
                &if name == "image" {
                    self.itunes_image()
                } else {
                    self.first("itunes", name)
                },
            );
        }
        Some(fields.record())
    }

    fn value(self) -> Option<Value> {
        if self.0.is_empty() {
            return None;
        }
        let prefixes = self.0.into_iter().map(|(prefix, names)| {
            let names = names.into_iter().map(|(name, list)| {
                (
                    name,
                    Value::Array(list.into_iter().map(|extension| extension.value).collect()),
                )
            });
            (prefix, Value::Object(names.collect()))
        });
        Some(Value::Object(prefixes.collect()))
    }
}

/// `{name, value, attrs, children}`; never empty ones left out.
fn extension(tree: &Tree, node: &Node, depth: usize) -> Value {
    let attributes: Object = node
        .attributes()
        .iter()
        .map(|(k, v)| (k.clone(), Value::String(v.clone())))
        .collect();
    let mut children: BTreeMap<Box<str>, Vec<Value>> = BTreeMap::new();
    if depth < EXTENSION_DEPTH {
        for child in tree.children(node) {
            children
                .entry(child.name.clone())
                .or_default()
                .push(extension(tree, child, depth + 1));
        }
    }
    let children = children
        .into_iter()
        .map(|(name, list)| (name, Value::Array(list.into())));
    Value::Record(Record::from(vec![
        ("name".into(), Value::String(node.name.clone())),
        ("value".into(), Value::string(node.text())),
        ("attrs".into(), Value::Object(attributes)),
        ("children".into(), Value::Object(children.collect())),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_names_and_addresses() {
        let person = |name: &str, email: &str| Person {
            name: name.into(),
            email: email.into(),
        };
        assert_eq!(Person::parse("a@b.c (Ada L)"), person("Ada L", "a@b.c"));
        assert_eq!(Person::parse("Ada L (a@b.c)"), person("Ada L", "a@b.c"));
        assert_eq!(Person::parse("Ada L"), person("Ada L", ""));
        assert_eq!(Person::parse("a@b.c"), person("", "a@b.c"));
        assert_eq!(Person::parse("(x"), person("", ""));
    }
}
