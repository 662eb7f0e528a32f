//! What every key of a configuration is: name, type, default, meaning, and how it differs from KrakenD.
//! Plain data, for the JSON schema that `schema` prints and `check --lint` holds files to, and for
//! `docs/COMPONENTS.md`; the components themselves read their settings without it.
//!
//! KrakenD publishes its schema apart from its code, and the two disagree in places; where they do, the
//! default and the meaning here are those of the code.

mod ai;
mod auth;
mod backend;
pub mod document;
mod documentation;
mod hanzo;
mod martian;
mod messaging;
mod modifier;
mod plugin;
mod qos;
mod router;
mod security;
mod telemetry;
mod validation;

use crate::component::Level;

/// The type of a value.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A text.
    Text,
    /// A text that matches a regular expression, and the words for it.
    Like(&'static str, &'static str),
    /// A switch.
    Flag,
    /// A whole number.
    Int,
    /// A whole number that is at least this.
    Min(i64),
    /// A whole number from here to there.
    Range(i64, i64),
    /// A number.
    Number,
    /// A number from here to there.
    Between(f64, f64),
    /// A duration such as `2s`.
    Duration,
    /// A regular expression.
    Regex,
    /// Bytes: a number, or a text such as `10MB`.
    Size,
    /// One of several words.
    Word(&'static [&'static str]),
    /// One of these words for KrakenD's linter; here any text will do.
    Known(&'static [&'static str]),
    /// One of several whole numbers.
    Code(&'static [i64]),
    /// A list.
    List(&'static Kind),
    /// A list with at least one element.
    Some(&'static Kind),
    /// An object with names of one's own.
    Map(&'static Kind),
    /// An object whose names match a regular expression.
    Keys(&'static str, &'static Kind),
    /// An object with these fields and no others.
    Object(&'static [Field]),
    /// An object with these fields, exactly one of which is there.
    Sole(&'static [Field]),
    /// As `Object`; KrakenD's linter wants exactly one of these names.
    Choice(&'static [Field], &'static [&'static str]),
    /// An object with these fields and any others.
    Open(&'static [Field]),
    /// One of several types.
    Either(&'static [Kind]),
    /// A part that is described once: [`SHARED`], or the `extra_config` of a level.
    Ref(&'static str),
    /// Anything.
    Any,
}

/// One key of an object.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// As written in a file.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What holds when it is absent: JSON, or a bare text; `None` when that is nothing.
    pub default: Option<&'static str>,
    /// One sentence.
    pub meaning: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// How it differs from KrakenD; empty when it does not.
    pub differs: &'static str,
    /// An old spelling: it works, and KrakenD's linter refuses it.
    pub old: bool,
    /// KrakenD does not have it.
    pub ours: bool,
    /// A value to show: JSON, or a bare text.
    pub example: Option<&'static str>,
}

impl Field {
    /// The same with the value that holds when it is absent.
    const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// The same, and it must be there.
    const fn must(mut self) -> Self {
        self.required = true;
        self
    }

    /// The same with its difference from KrakenD.
    const fn differs(mut self, how: &'static str) -> Self {
        self.differs = how;
        self
    }

    /// The same as an old spelling.
    const fn old(mut self) -> Self {
        self.old = true;
        self
    }

    /// The same as a key of ours.
    const fn ours(mut self) -> Self {
        self.ours = true;
        self
    }

    /// The same with an example.
    const fn eg(mut self, example: &'static str) -> Self {
        self.example = Some(example);
        self
    }
}

/// A key that may be absent.
const fn field(name: &'static str, kind: Kind, meaning: &'static str) -> Field {
    Field {
        name,
        kind,
        default: None,
        meaning,
        required: false,
        differs: "",
        old: false,
        ours: false,
        example: None,
    }
}

/// Whose a namespace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    /// KrakenD CE executes it.
    Community,
    /// In KrakenD's schema, executed by its Enterprise edition only.
    Enterprise,
    /// Of this gateway.
    Own,
}

/// What a namespace is at some levels.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Canonical short name.
    pub name: &'static str,
    /// Where it is this.
    pub levels: &'static [Level],
    /// Whose it is there.
    pub edition: Edition,
    /// The type of its value.
    pub value: Kind,
    /// One sentence.
    pub meaning: &'static str,
    /// How it differs from KrakenD; empty when it does not.
    pub differs: &'static str,
}

impl Entry {
    /// The same with its difference from KrakenD.
    const fn differs(mut self, how: &'static str) -> Self {
        self.differs = how;
        self
    }

    /// The same for KrakenD's Enterprise edition.
    const fn enterprise(mut self) -> Self {
        self.edition = Edition::Enterprise;
        self
    }

    /// The same as ours.
    const fn own(mut self) -> Self {
        self.edition = Edition::Own;
        self
    }

    /// Its fields; none when its value is no object.
    pub const fn fields(&self) -> &'static [Field] {
        self.value.fields()
    }
}

/// A namespace of KrakenD CE.
const fn entry(
    name: &'static str,
    levels: &'static [Level],
    value: Kind,
    meaning: &'static str,
) -> Entry {
    Entry {
        name,
        levels,
        edition: Edition::Community,
        value,
        meaning,
        differs: "",
    }
}

impl Kind {
    /// The fields of an object; none of what is no object.
    pub const fn fields(&self) -> &'static [Field] {
        match self {
            Kind::Object(fields)
            | Kind::Sole(fields)
            | Kind::Choice(fields, _)
            | Kind::Open(fields) => fields,
            _ => &[],
        }
    }

    /// The words for people.
    pub fn words(&self) -> String {
        match self {
            Kind::Text => "string".to_owned(),
            Kind::Like(_, words) => (*words).to_owned(),
            Kind::Flag => "bool".to_owned(),
            Kind::Int => "integer".to_owned(),
            Kind::Min(least) => format!("integer ≥ {least}"),
            Kind::Range(from, to) => format!("integer {from}–{to}"),
            Kind::Number => "number".to_owned(),
            Kind::Between(from, to) => format!("number {from}–{to}"),
            Kind::Duration => "duration".to_owned(),
            Kind::Regex => "regular expression".to_owned(),
            Kind::Size => "bytes".to_owned(),
            Kind::Word(words) | Kind::Known(words) => words
                .iter()
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", "),
            Kind::Code(codes) => codes
                .iter()
                .map(|code| format!("`{code}`"))
                .collect::<Vec<_>>()
                .join(", "),
            Kind::List(of) | Kind::Some(of) => format!("list of {}", of.words()),
            Kind::Map(of) | Kind::Keys(_, of) => format!("map to {}", of.words()),
            Kind::Object(_) | Kind::Choice(..) | Kind::Open(_) => "object".to_owned(),
            Kind::Sole(_) => "object with one key".to_owned(),
            Kind::Either(kinds) => {
                let all: Vec<String> = kinds.iter().map(Kind::words).collect();
                all.join(" or ")
            }
            Kind::Ref(name) => name.replace('_', " "),
            Kind::Any => "anything".to_owned(),
        }
    }

    /// The fields of the object that stands inside, however deep in lists and maps.
    pub fn inner(&self) -> &'static [Field] {
        match self {
            Kind::List(of) | Kind::Some(of) | Kind::Map(of) | Kind::Keys(_, of) => of.inner(),
            Kind::Either(kinds) => kinds
                .iter()
                .map(Kind::inner)
                .find(|fields| !fields.is_empty())
                .unwrap_or_default(),
            other => other.fields(),
        }
    }
}

/// A part of the document that several places use.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its name in the schema.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// One sentence.
    pub meaning: &'static str,
}

/// A part.
const fn part(name: &'static str, kind: Kind, meaning: &'static str) -> Part {
    Part {
        name,
        kind,
        meaning,
    }
}

/// Parts by name, but for the `extra_config` of the levels.
pub static SHARED: &[&[Part]] = &[document::PARTS, martian::PARTS, messaging::PARTS];

/// Every namespace, by family.
pub static FAMILIES: &[&[Entry]] = &[
    hanzo::ENTRIES,
    router::ENTRIES,
    auth::ENTRIES,
    security::ENTRIES,
    qos::ENTRIES,
    validation::ENTRIES,
    modifier::ENTRIES,
    martian::ENTRIES,
    backend::ENTRIES,
    messaging::ENTRIES,
    plugin::ENTRIES,
    telemetry::ENTRIES,
    documentation::ENTRIES,
    ai::ENTRIES,
];

/// Every namespace in the order of the pages.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    FAMILIES.iter().copied().flatten()
}

/// Every shared part.
pub fn parts() -> impl Iterator<Item = &'static Part> {
    SHARED.iter().copied().flatten()
}

/// What a namespace is at a level.
pub fn find(name: &str, level: Level) -> Option<&'static Entry> {
    entries().find(|entry| entry.name == name && entry.levels.contains(&level))
}

/// Where a namespace may stand.
pub fn levels(name: &str) -> Vec<Level> {
    Level::ALL
        .iter()
        .copied()
        .filter(|level| find(name, *level).is_some())
        .collect()
}

/// A default or an example as JSON: what is no JSON is a text.
pub fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests;
