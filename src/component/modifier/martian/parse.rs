//! The settings of modifiers, read as Go's JSON decoder reads them: names of fields in any case, no
//! conversions between types, absent and `null` the same. All problems are reported, not only the first.

use super::static_file::Files;
use super::{Lookup, Modifier, Op, table};
use crate::base::field::{canonical, is_token};
use crate::base::problem::pointer_join;
use crate::base::{Code, Dialect, Problem, Report};
use crate::config::keys;
use crate::gateway::path::go_quote;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// Modifiers within modifiers; KrakenD has no limit but its stack.
const MAX_DEPTH: usize = 32;

/// One modifier's settings with their place.
pub(super) struct Entry<'v> {
    map: &'v Map<String, Value>,
    pub(super) pointer: String,
}

/// Reads modifiers and reports what is wrong with them.
pub(super) struct Parser<'r> {
    report: &'r mut Report,
    pub(super) dialect: Dialect,
    files: Vec<Files>,
    depth: usize,
}

impl<'r> Parser<'r> {
    pub(super) fn new(report: &'r mut Report, dialect: Dialect) -> Self {
        Self {
            report,
            dialect,
            files: Vec::new(),
            depth: 0,
        }
    }

    /// The files that modifiers serve.
    pub(super) fn files(self) -> Vec<Files> {
        self.files
    }

    /// Notes a `static.Modifier` and gives its number.
    pub(super) fn serve(&mut self, files: Files) -> usize {
        self.files.push(files);
        self.files.len() - 1
    }

    /// Reads an object of one modifier.
    pub(super) fn modifier(&mut self, value: &Value, pointer: &str) -> Option<Modifier> {
        if self.depth == MAX_DEPTH {
            let message = format!("modifiers are nested more than {MAX_DEPTH} times");
            return self.fail(Code::TooDeep, pointer, message, "flatten the groups");
        }
        self.depth += 1;
        let modifier = self.one(value, pointer);
        self.depth -= 1;
        modifier
    }

    fn one(&mut self, value: &Value, pointer: &str) -> Option<Modifier> {
        const HINT: &str = "write one modifier, such as {\"header.Modifier\": {…}}; several belong \
                            into a fifo.Group";
        let Some(map) = value.as_object() else {
            return self.fail(Code::WrongType, pointer, "a modifier is an object", HINT);
        };
        // To KrakenD a comment is one modifier more, and it runs without any.
        let counts = |key: &str| self.dialect == Dialect::Krakend || !keys::is_comment(key);
        let mut members = map.iter().filter(|(key, _)| counts(key));
        let (Some((name, settings)), None) = (members.next(), members.next()) else {
            let message = format!("one modifier is expected here, not {}", map.len());
            return self.fail(Code::BadValue, pointer, message, HINT);
        };
        let place = pointer_join(pointer, name);
        let Some(row) = table::find(name) else {
            let message = format!("there is no modifier \"{}\"", shortened(name));
            let hint = table::advice(name);
            return self.fail(Code::BadValue, &place, message, hint);
        };
        let empty = Map::new();
        let map = match settings {
            Value::Object(map) => map,
            Value::Null => &empty,
            _ => {
                let message = format!("the settings of {name} are an object");
                return self.fail(Code::WrongType, &place, message, "write {…}");
            }
        };
        let mut known = row.keys.to_vec();
        known.push("scope");
        keys::warn_unknown(map, &known, &place, self.report);
        let entry = Entry {
            map,
            pointer: place,
        };
        let scope = self.scope(&entry, row);
        let op = (row.build)(self, &entry);
        let ((request, response), op) = (scope?, op?);
        if matches!(op, Op::Nothing) {
            let message = format!("{name} does nothing: nobody reads what it would record");
            self.report.push(
                Problem::warning(Code::BadValue, entry.pointer.as_str(), message).hint("remove it"),
            );
        }
        if matches!(op, Op::Stash(_)) && response && !request {
            let message = "stash.Modifier cannot stand in the scope \"response\" alone";
            let hint = "write \"scope\": [\"request\", \"response\"]";
            return self.fail(Code::BadValue, &entry.at("scope"), message, hint);
        }
        Some(Modifier {
            request,
            response,
            op,
        })
    }

    /// The directions: those that are listed, or all that the modifier has.
    fn scope(&mut self, entry: &Entry<'_>, row: &table::Row) -> Option<(bool, bool)> {
        let hint = "write [\"request\"], [\"response\"] or both";
        let Some(value) = entry.value("scope") else {
            return Some((row.request, row.response));
        };
        let place = entry.at("scope");
        let Some(list) = value.as_array() else {
            return self.fail(Code::WrongType, &place, "\"scope\" is a list", hint);
        };
        let (mut request, mut response, mut good) = (false, false, true);
        for (index, item) in list.iter().enumerate() {
            let problem = match item.as_str() {
                Some("request") if row.request => {
                    request = true;
                    continue;
                }
                Some("response") if row.response => {
                    response = true;
                    continue;
                }
                Some(word @ ("request" | "response")) => {
                    format!("{} cannot change a {word}", row.name)
                }
                Some(word) => format!("\"{}\" is no scope", shortened(word)),
                None => "a scope is a text".to_owned(),
            };
            let place = pointer_join(&place, &index.to_string());
            let hint = match (row.request, row.response) {
                (true, false) => "write [\"request\"]",
                (false, true) => "write [\"response\"]",
                _ => hint,
            };
            good = self
                .fail(Code::BadValue, &place, problem, hint)
                .unwrap_or(false);
        }
        good.then_some((request, response))
    }

    /// Reports an error.
    pub(super) fn fail<T>(
        &mut self,
        code: Code,
        pointer: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Option<T> {
        self.report
            .push(Problem::error(code, pointer, message).hint(hint));
        None
    }

    fn mistyped<T>(&mut self, entry: &Entry<'_>, key: &str, wanted: &str) -> Option<T> {
        let message = format!("\"{key}\" is {wanted}");
        let hint = "martian converts no types: write it as such";
        self.fail(Code::WrongType, &entry.at(key), message, hint)
    }

    /// A text; empty when absent.
    pub(super) fn text(&mut self, entry: &Entry<'_>, key: &str) -> Option<String> {
        match entry.value(key) {
            None => Some(String::new()),
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => self.mistyped(entry, key, "a text"),
        }
    }

    /// A switch; off when absent.
    pub(super) fn bool(&mut self, entry: &Entry<'_>, key: &str) -> Option<bool> {
        match entry.value(key) {
            None => Some(false),
            Some(Value::Bool(on)) => Some(*on),
            Some(_) => self.mistyped(entry, key, "true or false"),
        }
    }

    /// A whole number; 0 when absent. `1.0` is one: KrakenD has made floats of all numbers by then.
    pub(super) fn int(&mut self, entry: &Entry<'_>, key: &str) -> Option<i64> {
        let Some(value) = entry.value(key) else {
            return Some(0);
        };
        let whole = |float: f64| {
            let fits = float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "checked to be whole and small"
            )]
            fits.then_some(float as i64)
        };
        let number = value.as_i64().or_else(|| value.as_f64().and_then(whole));
        match number {
            Some(number) => Some(number),
            None => self.mistyped(entry, key, "a whole number"),
        }
    }

    /// A list of texts with their places; empty when absent.
    pub(super) fn texts(&mut self, entry: &Entry<'_>, key: &str) -> Option<Vec<(String, String)>> {
        match entry.value(key) {
            None => Some(Vec::new()),
            Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
                let place = entry.at(key);
                let texts = items.iter().enumerate().map(|(index, item)| {
                    let text = item.as_str().unwrap_or_default().to_owned();
                    (pointer_join(&place, &index.to_string()), text)
                });
                Some(texts.collect())
            }
            Some(_) => self.mistyped(entry, key, "a list of texts"),
        }
    }

    /// An object of texts; empty when absent.
    pub(super) fn pairs(&mut self, entry: &Entry<'_>, key: &str) -> Option<Vec<(String, String)>> {
        match entry.value(key) {
            None => Some(Vec::new()),
            Some(Value::Object(map)) if map.values().all(Value::is_string) => {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                Some(
                    map.iter()
                        .map(|(key, value)| (key.clone(), text(value)))
                        .collect(),
                )
            }
            Some(_) => self.mistyped(entry, key, "an object of texts"),
        }
    }

    /// The modifier under a key; `None` in the inner place when the key is absent.
    #[expect(clippy::option_option, reason = "absent and wrong are different")]
    pub(super) fn child(&mut self, entry: &Entry<'_>, key: &str) -> Option<Option<Modifier>> {
        match keys::lookup(entry.map, key) {
            None => Some(None),
            Some((_, value)) => self.modifier(value, &entry.at(key)).map(Some),
        }
    }

    /// The objects of a list with their places; empty when absent.
    pub(super) fn list<'v>(
        &mut self,
        entry: &Entry<'v>,
        key: &str,
    ) -> Option<Vec<(String, &'v Value)>> {
        match entry.value(key) {
            None => Some(Vec::new()),
            Some(Value::Array(items)) => {
                let place = entry.at(key);
                let places = (0..items.len()).map(|index| pointer_join(&place, &index.to_string()));
                Some(places.zip(items).collect())
            }
            Some(_) => self.mistyped(entry, key, "a list"),
        }
    }

    /// The members of a list's element; an error when it is no object.
    pub(super) fn entry<'v>(&mut self, value: &'v Value, pointer: &str) -> Option<Entry<'v>> {
        match value.as_object() {
            Some(map) => Some(Entry {
                map,
                pointer: pointer.to_owned(),
            }),
            None => self.fail(
                Code::WrongType,
                pointer,
                "an object is expected here",
                "write {\"priority\": 1, \"modifier\": {…}}",
            ),
        }
    }

    /// A field's name. One that cannot exist refuses the file in native; in the krakend dialect it comes
    /// back, for KrakenD starts on it.
    pub(super) fn field(&mut self, text: &str, pointer: &str) -> Option<Lookup> {
        if text.bytes().all(is_token)
            && let Ok(name) = HeaderName::from_bytes(text.as_bytes())
        {
            return Some(Lookup::Field(name.into()));
        }
        let quoted = go_quote(canonical(text).as_bytes());
        if self.dialect == Dialect::Krakend {
            let bad = format!("net/http: invalid header field name {quoted}");
            return Some(Lookup::Bad(bad));
        }
        let message = format!("{} is no name of a header field", go_quote(text.as_bytes()));
        self.fail(
            Code::BadValue,
            pointer,
            message,
            "write a name such as X-Name",
        )
    }

    /// A field's value, likewise.
    pub(super) fn value(
        &mut self,
        text: &str,
        name: &str,
        pointer: &str,
    ) -> Option<Result<HeaderValue, String>> {
        if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
            return Some(Ok(value));
        }
        if self.dialect == Dialect::Krakend {
            let quoted = go_quote(canonical(name).as_bytes());
            return Some(Err(format!(
                "net/http: invalid header field value for {quoted}"
            )));
        }
        let message = "a header field cannot have this value";
        self.fail(
            Code::BadValue,
            pointer,
            message,
            "remove line ends and control characters",
        )
    }
}

impl<'v> Entry<'v> {
    /// The value of a key, unless absent or `null`.
    pub(super) fn value(&self, key: &str) -> Option<&'v Value> {
        let (_, value) = keys::lookup(self.map, key)?;
        (!value.is_null()).then_some(value)
    }

    /// The place of a key in the spelling that was written.
    pub(super) fn at(&self, key: &str) -> String {
        let written = keys::lookup(self.map, key);
        pointer_join(&self.pointer, written.map_or(key, |(name, _)| name))
    }
}

/// A text of the document, short enough for a message.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}
