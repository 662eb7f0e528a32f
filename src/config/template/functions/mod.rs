//! The functions of templates: those of text/template, KrakenD's two, and sprig 3.2.3.
//!
//! A table a family; each line is name, types of the parameters and the function. Arguments are fitted to
//! the types before the call, with Go's words when they do not fit. What cannot be offered stands in
//! `refused` with its reason: a template that calls it is told at the place of the call.

mod builtin;
mod convert;
mod crypto;
pub(crate) mod dates;
mod dicts;
mod host;
mod json;
mod layout;
mod lists;
mod maths;
mod paths;
mod refused;
mod regexes;
mod semver;
mod strings;
mod urls;
mod words;

pub(crate) use host::{Host, Missing, World};

use super::value::{Elem, Value, Width};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What a function fails with.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: Option<String>,
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self {
            message,
            hint: None,
        }
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

impl Failure {
    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What a call gives.
pub(crate) type Given = Result<Value, Failure>;

type Call = fn(&mut Host<'_>, &[Value]) -> Given;

/// One function.
#[derive(Debug)]
pub(crate) struct Entry {
    /// As templates call it.
    pub(crate) name: &'static str,
    /// One letter a parameter: `A`ny, `S`tring, `I`nt, `F`loat64, `B`ool, `M`ap, `T`ime; `*` for any
    /// number of the last one.
    pub(crate) params: &'static str,
    /// What it does.
    pub(crate) call: Call,
}

const TABLES: &[&[Entry]] = &[
    builtin::TABLE,
    convert::TABLE,
    crypto::TABLE,
    dates::TABLE,
    dicts::TABLE,
    json::TABLE,
    lists::TABLE,
    maths::TABLE,
    paths::TABLE,
    refused::TABLE,
    regexes::TABLE,
    semver::TABLE,
    strings::TABLE,
    urls::TABLE,
    words::TABLE,
];

static ALL: LazyLock<BTreeMap<&'static str, &'static Entry>> = LazyLock::new(|| {
    let entries = TABLES.iter().flat_map(|table| table.iter());
    entries.map(|entry| (entry.name, entry)).collect()
});

/// A function by its name.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    ALL.get(name).copied()
}

/// Whether templates may name it; `and` and `or` are part of the language.
pub(crate) fn exists(name: &str) -> bool {
    name == "and" || name == "or" || ALL.contains_key(name)
}

/// What to say of a name that there is not.
pub(crate) fn advice(name: &str) -> String {
    let lower = name.to_lowercase();
    match ALL.keys().find(|known| known.to_lowercase() == lower) {
        Some(known) => format!("it is written {known}"),
        None => "functions are those of Go's text/template, sprig's, include and marshal; values begin with a dot (.x) or $".to_owned(),
    }
}

/// Every name, sorted.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ALL.keys().copied()
}

/// A complaint about an argument and what to do.
pub(crate) type Unfit = (String, Option<String>);

impl Entry {
    fn parameter(&self, index: usize) -> char {
        let fixed = self.params.trim_end_matches('*');
        let own = fixed.chars().nth(index);
        own.or_else(|| fixed.chars().last()).unwrap_or('A')
    }

    /// Whether it takes this many arguments.
    pub(crate) fn arity(&self, count: usize) -> Result<(), String> {
        let name = self.name;
        match self.params.strip_suffix('*') {
            Some(fixed) if count + 1 >= fixed.len() => Ok(()),
            Some(fixed) => Err(format!(
                "wrong number of args for {name}: want at least {} got {count}",
                fixed.len() - 1
            )),
            None if count == self.params.len() => Ok(()),
            None => Err(format!(
                "wrong number of args for {name}: want {} got {count}",
                self.params.len()
            )),
        }
    }

    /// The value as the parameter at this index takes it. Literals of numbers have no type of their own.
    pub(crate) fn fit(&self, index: usize, value: Value, literal: bool) -> Result<Value, Unfit> {
        let (wanted, hint) = match (self.parameter(index), &value) {
            // An interface that holds nothing.
            ('A', Value::Missing) => return Ok(Value::Nil),
            ('A', _)
            | ('S', Value::Text(..))
            | ('I', Value::Int(_, Width::Int))
            | ('F', Value::Float(_))
            | ('B', Value::Bool(_))
            | ('M', Value::Map(_, Elem::Any))
            | ('T', Value::Time(..)) => return Ok(value),
            ('F', Value::Int(number, _)) if literal => return Ok(Value::Float(*number as f64)),
            ('I', Value::Float(number)) if literal && number.fract() == 0.0 => {
                return Ok(Value::int(*number as i64));
            }
            // A nil map: empty for who reads it.
            ('M', Value::Missing) => return Ok(value),
            ('S', _) => ("string", "convert it: (toString …) or (printf \"%v\" …)"),
            ('I', _) => ("int", "numbers of settings are floats; write (int …)"),
            ('F', _) => ("float64", "write (float64 …)"),
            ('B', _) => ("bool", "write (eq …), (not …) or (empty …)"),
            ('T', _) => ("time.Time", "write (now) or (toDate \"2006-01-02\" …)"),
            _ => ("map[string]interface {}", "give it a dictionary"),
        };
        let message = match &value {
            Value::Missing => format!("invalid value; expected {wanted}"),
            _ if literal => format!("expected {wanted}; found {}", super::print::show(&value)),
            Value::Nil => format!("wrong type for value; expected {wanted}; got interface {{}}"),
            other => format!(
                "wrong type for value; expected {wanted}; got {}",
                other.type_name()
            ),
        };
        let hint = match &value {
            Value::Missing | Value::Nil => {
                "the value is not set; write (default … .x), or guard it with {{ if }}"
            }
            _ => hint,
        };
        Err((message, Some(hint.to_owned())))
    }
}

/// The text of an argument that was fitted to `S`.
fn text(args: &[Value], index: usize) -> &str {
    match args.get(index) {
        Some(Value::Text(text, _)) => text,
        _ => "",
    }
}

/// The number of an argument that was fitted to `I`.
fn int(args: &[Value], index: usize) -> i64 {
    match args.get(index) {
        Some(Value::Int(number, _)) => *number,
        _ => 0,
    }
}

/// An argument.
fn any(args: &[Value], index: usize) -> &Value {
    args.get(index).unwrap_or(&Value::Nil)
}

/// What a function gives as a string.
fn give(text: impl Into<std::sync::Arc<str>>) -> Given {
    Ok(Value::text(text))
}

/// sprig's `strval`.
fn strval(value: &Value) -> String {
    super::print::show(value)
}
