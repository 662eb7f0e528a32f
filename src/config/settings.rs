//! How settings are read: a window on one object with typed, weakly converting getters that report
//! every wrong value at its exact place. Components read their `extra_config` through it.
//!
//! KrakenD's components mostly switch themselves off on a wrong value without a word; here a wrong
//! value is an error.

use super::document::Namespace;
use super::keys;
use super::weak::{self, Mismatch};
use super::{duration, weak::go_path};
use crate::base::problem::pointer_join;
use crate::base::{Code, Problem, Report};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::time::Duration;

/// One object of the document with its place and the report that takes the findings.
///
/// A key is looked up exactly, then without regard to case. Absent and `null` are the same. A
/// getter that returns `None` has either met neither or has reported why.
#[derive(Debug)]
pub struct Settings<'a> {
    value: &'a Value,
    pointer: Cow<'a, str>,
    report: &'a mut Report,
}

impl<'a> Settings<'a> {
    /// A window on a value; on what is no object all getters find nothing.
    pub fn new(value: &'a Value, pointer: impl Into<Cow<'a, str>>, report: &'a mut Report) -> Self {
        Self {
            value,
            pointer: pointer.into(),
            report,
        }
    }

    /// The settings of a component; an error unless they are an object.
    pub fn open(namespace: &'a Namespace, report: &'a mut Report) -> Option<Self> {
        let mut settings = Self::new(&namespace.value, namespace.pointer.as_str(), report);
        settings.require_object().then_some(settings)
    }

    /// The object itself; empty when the value is none.
    pub fn map(&self) -> Option<&'a Map<String, Value>> {
        self.value.as_object()
    }

    /// The value as written.
    pub fn raw(&self) -> &'a Value {
        self.value
    }

    /// JSON pointer of this object.
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// JSON pointer of a key in the spelling that was written; of the object itself for `""`.
    pub fn pointer_of(&self, key: &str) -> String {
        if key.is_empty() {
            return self.pointer.to_string();
        }
        let written = self.map().and_then(|map| keys::lookup(map, key));
        pointer_join(&self.pointer, written.map_or(key, |(name, _)| name))
    }

    /// The report, for findings that name their own place.
    pub fn report(&mut self) -> &mut Report {
        self.report
    }

    /// The value of a key, unless absent or `null`.
    pub fn value(&self, key: &str) -> Option<&'a Value> {
        let (_, value) = keys::lookup(self.map()?, key)?;
        (!value.is_null()).then_some(value)
    }

    /// Whether a key is there and not `null`.
    pub fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// All members but comments, in the order of their names.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        let members = self.map().into_iter().flatten();
        members
            .map(|(key, value)| (key.as_str(), value))
            .filter(|(key, _)| !keys::is_comment(key))
    }

    /// A text; numbers and booleans are converted.
    pub fn string(&mut self, key: &str) -> Option<String> {
        self.read(key, weak::string)
    }

    /// A text, or a default.
    pub fn string_or(&mut self, key: &str, default: &str) -> String {
        self.string(key).unwrap_or_else(|| default.to_owned())
    }

    /// One of several words, or `None` after an error that lists them.
    pub fn one_of(&mut self, key: &str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.string(key)?;
        let found = words.iter().copied().find(|word| *word == text);
        if found.is_none() {
            let message = format!(
                "'{}' is \"{}\"",
                go_path(&self.pointer_of(key)),
                super::json::shortened(&text)
            );
            self.error_hint(
                key,
                Code::BadValue,
                message,
                format!("write one of \"{}\"", words.join("\", \"")),
            );
        }
        found
    }

    /// A switch.
    pub fn bool(&mut self, key: &str) -> Option<bool> {
        self.read(key, weak::bool)
    }

    /// A switch, or a default.
    pub fn bool_or(&mut self, key: &str, default: bool) -> bool {
        self.bool(key).unwrap_or(default)
    }

    /// A whole number; a part of one is cut off, as KrakenD does, and warned of.
    pub fn int(&mut self, key: &str) -> Option<i64> {
        let int = self.read(key, weak::int)?;
        let written = self.value(key).and_then(Value::as_f64);
        if let Some(written) = written.filter(|written| written.fract() != 0.0) {
            let message = format!(
                "'{}' is {written} and is read as {int}",
                go_path(&self.pointer_of(key))
            );
            self.warn(key, Code::OutOfRange, message);
        }
        Some(int)
    }

    /// A whole number, or a default.
    pub fn int_or(&mut self, key: &str, default: i64) -> i64 {
        self.int(key).unwrap_or(default)
    }

    /// A whole number that is not negative; an error otherwise.
    pub fn unsigned(&mut self, key: &str) -> Option<u64> {
        let int = self.int(key)?;
        let unsigned = u64::try_from(int).ok();
        if unsigned.is_none() {
            let message = format!(
                "'{}' is {int}, which is negative",
                go_path(&self.pointer_of(key))
            );
            self.error(key, Code::OutOfRange, message);
        }
        unsigned
    }

    /// A number.
    pub fn float(&mut self, key: &str) -> Option<f64> {
        self.read(key, weak::float)
    }

    /// A duration of at least zero; a negative one counts as zero and is warned of.
    pub fn duration(&mut self, key: &str) -> Option<Duration> {
        let nanos = self.nanos(key)?;
        if nanos < 0 {
            let message = format!(
                "'{}' is negative and counts as 0",
                go_path(&self.pointer_of(key))
            );
            self.warn(key, Code::OutOfRange, message);
        }
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
    }

    /// A duration in nanoseconds with its sign. Warns of small bare numbers: they are nanoseconds.
    pub fn nanos(&mut self, key: &str) -> Option<i64> {
        let nanos = self.read(key, weak::duration)?;
        let bare = self.value(key).is_some_and(|value| !value.is_string());
        if bare && nanos != 0 && nanos.abs() < duration::MILLISECOND {
            let read = duration::format(nanos);
            let message = format!(
                "'{}' has no unit and is read as {read}",
                go_path(&self.pointer_of(key))
            );
            let hint =
                format!("numbers are nanoseconds; write for example \"{nanos}ms\" or \"{nanos}s\"");
            self.warn_hint(key, Code::SuspiciousDuration, message, hint);
        }
        Some(nanos)
    }

    /// A list of texts, empty when absent; a single text is a list of one.
    pub fn list_of_strings(&mut self, key: &str) -> Vec<String> {
        self.list(key, weak::string)
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    }

    /// Like [`Settings::list_of_strings`], each text with its pointer.
    pub fn located_strings(&mut self, key: &str) -> Vec<(String, String)> {
        self.list(key, weak::string)
    }

    /// A list of whole numbers, empty when absent.
    pub fn list_of_ints(&mut self, key: &str) -> Vec<i64> {
        self.list(key, weak::int)
            .into_iter()
            .map(|(_, int)| int)
            .collect()
    }

    /// An object from texts to texts, sorted by key; comments are real entries here.
    pub fn string_map(&mut self, key: &str) -> Vec<(String, String)> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let pointer = self.pointer_of(key);
        let map = match weak::map(value) {
            Ok(map) => map,
            Err(mismatch) => {
                self.report.push(mismatch.problem(&pointer));
                return Vec::new();
            }
        };
        let mut pairs = Vec::new();
        for (name, item) in map.iter() {
            match weak::string(item) {
                Ok(text) => pairs.push((name.clone(), text)),
                // In a list of objects the member's own place is not known.
                Err(mismatch) if value.is_array() => self.report.push(mismatch.problem(&pointer)),
                Err(mismatch) => self
                    .report
                    .push(mismatch.problem(&pointer_join(&pointer, name))),
            }
        }
        pairs.sort();
        pairs
    }

    /// The settings of a nested object; an error when the value is something else.
    pub fn object(&mut self, key: &str) -> Option<Settings<'_>> {
        let value = self.value(key)?;
        let pointer = self.pointer_of(key);
        let mut inner = Settings::new(value, pointer, self.report);
        inner.require_object().then_some(inner)
    }

    /// Reads each object of a list (a single object is a list of one); elements that are no object
    /// are errors and left out.
    pub fn objects<T>(
        &mut self,
        key: &str,
        mut read: impl FnMut(&mut Settings<'_>) -> T,
    ) -> Vec<T> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let mut all = Vec::new();
        let pointer = self.pointer_of(key);
        for (index, item) in weak::list(value).iter().enumerate() {
            let mut inner = Settings::new(item, element(&pointer, value, index), self.report);
            if inner.require_object() {
                all.push(read(&mut inner));
            }
        }
        all
    }

    /// Warns of each key that is not among these; comments (`@ $ _ #`) are no keys.
    pub fn known(&mut self, keys: &[&str]) {
        if let Some(map) = self.map() {
            keys::warn_unknown(map, keys, &self.pointer, self.report);
        }
    }

    /// Whether a key is there; an error when it is not.
    pub fn require(&mut self, key: &str) -> bool {
        let has = self.has(key);
        if !has {
            let message = format!("\"{key}\" is missing");
            let pointer = self.pointer.to_string();
            self.report.push(
                Problem::error(Code::BadValue, pointer, message).hint(format!("add \"{key}\"")),
            );
        }
        has
    }

    /// An error at a key (`""` for the object itself).
    pub fn error(&mut self, key: &str, code: Code, message: impl Into<String>) {
        let pointer = self.pointer_of(key);
        self.report.push(Problem::error(code, pointer, message));
    }

    /// An error at a key with advice.
    pub fn error_hint(
        &mut self,
        key: &str,
        code: Code,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let pointer = self.pointer_of(key);
        self.report
            .push(Problem::error(code, pointer, message).hint(hint));
    }

    /// A warning at a key (`""` for the object itself).
    pub fn warn(&mut self, key: &str, code: Code, message: impl Into<String>) {
        let pointer = self.pointer_of(key);
        self.report.push(Problem::warning(code, pointer, message));
    }

    /// A warning at a key with advice.
    pub fn warn_hint(
        &mut self,
        key: &str,
        code: Code,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let pointer = self.pointer_of(key);
        self.report
            .push(Problem::warning(code, pointer, message).hint(hint));
    }

    fn read<T>(&mut self, key: &str, convert: fn(&Value) -> Result<T, Mismatch>) -> Option<T> {
        let value = self.value(key)?;
        match convert(value) {
            Ok(converted) => Some(converted),
            Err(mismatch) => {
                let pointer = self.pointer_of(key);
                self.report.push(mismatch.problem(&pointer));
                None
            }
        }
    }

    fn require_object(&mut self) -> bool {
        let is_object = self.value.is_object();
        if !is_object {
            let mismatch = Mismatch::Type {
                wanted: "map[string]interface {}",
                got: weak::kind(self.value),
            };
            self.report.push(mismatch.problem(&self.pointer));
        }
        is_object
    }

    /// The elements that convert, each with its pointer; the others are errors.
    fn list<T>(
        &mut self,
        key: &str,
        convert: fn(&Value) -> Result<T, Mismatch>,
    ) -> Vec<(String, T)> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let (list, mut converted) = (self.pointer_of(key), Vec::new());
        for (index, item) in weak::list(value).iter().enumerate() {
            let pointer = element(&list, value, index);
            match convert(item) {
                Ok(item) => converted.push((pointer, item)),
                Err(mismatch) => self.report.push(mismatch.problem(&pointer)),
            }
        }
        converted
    }
}

/// Pointer of an element, or of the value itself when it is no list.
fn element(pointer: &str, value: &Value, index: usize) -> String {
    if value.is_array() {
        pointer_join(pointer, &index.to_string())
    } else {
        pointer.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with<T>(
        value: &Value,
        read: impl FnOnce(&mut Settings<'_>) -> T,
    ) -> (T, Vec<(Code, String)>) {
        let mut report = Report::default();
        let out = read(&mut Settings::new(value, "/x", &mut report));
        (
            out,
            report
                .problems
                .into_iter()
                .map(|p| (p.code, p.pointer))
                .collect(),
        )
    }

    #[test]
    fn reads_values_weakly_and_ignores_case_last() {
        let value = json!({"Name": 1, "name": "n", "ON": "t", "n": "0x10", "d": "1s", "l": "one", "z": null});
        let (_, problems) = with(&value, |s| {
            assert_eq!(s.string_or("name", "-"), "n");
            assert_eq!(s.string_or("z", "-"), "-");
            assert!(s.bool_or("on", false));
            assert_eq!(s.int("n"), Some(16));
            assert_eq!(s.duration("d"), Some(Duration::from_secs(1)));
            assert_eq!(s.list_of_strings("l"), ["one"]);
            assert_eq!(s.pointer_of("on"), "/x/ON");
        });
        assert_eq!(problems, []);
    }

    #[test]
    fn warns_of_numbers_that_are_cut_to_whole_ones() {
        let value = json!({"a": 1.5, "b": 2.0, "c": -0.5, "d": 3});
        let (_, problems) = with(&value, |s| {
            let read = ["a", "b", "c", "d"].map(|key| s.int(key));
            assert_eq!(read, [Some(1), Some(2), Some(0), Some(3)]);
        });
        let at = |key: &str| (Code::OutOfRange, format!("/x/{key}"));
        assert_eq!(problems, [at("a"), at("c")]);
    }

    #[test]
    fn reports_wrong_values_at_their_place() {
        let value = json!({"S": {}, "b": "yes", "i": [], "l": ["a", {}, []], "d": "x", "o": 1, "os": [{}, 7], "m": {"k": []}});
        let (_, problems) = with(&value, |s| {
            assert_eq!(s.string("s"), None);
            assert_eq!(s.bool("b"), None);
            assert_eq!(s.int("i"), None);
            assert_eq!(s.list_of_strings("l"), ["a"]);
            assert_eq!(s.duration("d"), None);
            assert!(s.object("o").is_none());
            assert_eq!(
                s.objects("os", |inner| inner.pointer().to_owned()),
                ["/x/os/0"]
            );
            assert_eq!(s.string_map("m"), []);
            assert!(!s.require("gone"));
        });
        let places: Vec<&str> = problems
            .iter()
            .map(|(_, pointer)| pointer.as_str())
            .collect();
        assert_eq!(
            places,
            [
                "/x/S", "/x/b", "/x/i", "/x/l/1", "/x/l/2", "/x/d", "/x/o", "/x/os/1", "/x/m/k",
                "/x"
            ]
        );
    }

    #[test]
    fn warns_of_durations_without_unit_and_below_zero() {
        let value = json!({"a": 3000, "b": 3_000_000_000_u64, "c": "3us", "d": "-1s", "e": 0});
        let (read, problems) = with(&value, |s| {
            ["a", "b", "c", "d", "e"].map(|key| s.duration(key).unwrap().as_nanos())
        });
        assert_eq!(read, [3000, 3_000_000_000, 3000, 0, 0]);
        assert_eq!(
            problems,
            [
                (Code::SuspiciousDuration, "/x/a".to_owned()),
                (Code::OutOfRange, "/x/d".to_owned())
            ]
        );
    }

    #[test]
    fn checks_words_ranges_and_unknown_keys() {
        let value = json!({"w": "b", "v": "x", "n": -1, "@c": 1});
        let (_, problems) = with(&value, |s| {
            s.known(&["w", "n"]);
            assert_eq!(s.one_of("w", &["a", "b"]), Some("b"));
            assert_eq!(s.one_of("v", &["a", "b"]), None);
            assert_eq!(s.unsigned("n"), None);
            assert_eq!(s.entries().count(), 3);
        });
        let codes: Vec<Code> = problems.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, [Code::UnknownKey, Code::BadValue, Code::OutOfRange]);
    }

    #[test]
    fn a_single_object_is_a_list_of_one() {
        let value = json!({"o": {"k": 1}, "e": {}});
        let (_, problems) = with(&value, |s| {
            assert_eq!(
                s.objects("o", |inner| (inner.pointer().to_owned(), inner.int("k"))),
                [("/x/o".into(), Some(1))]
            );
            assert!(s.objects("e", |_| ()).is_empty());
        });
        assert_eq!(problems, []);
    }
}
