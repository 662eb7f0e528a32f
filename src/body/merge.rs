//! Several answers become one. Parts are taken in the order in which they arrive; of equal top-level
//! names the later arrival wins, nothing below the top level is mixed. The same accumulator serves the
//! sequential strategy, where arrival is the order of the configuration.

use std::fmt::Display;

use super::Data;
use super::value::Object;

/// The answer of one backend.
#[derive(Debug)]
pub struct Part {
    /// Its data after shaping.
    pub data: Data,
    /// Whether the backend gave all it was asked for.
    pub complete: bool,
}

/// Collects parts and failures; `E` is the caller's error.
#[derive(Debug)]
pub struct Merge<E> {
    pending: usize,
    arrived: usize,
    data: Data,
    complete: bool,
    errors: Vec<E>,
}

/// The outcome of a [`Merge`].
#[derive(Debug)]
pub struct Merged<E> {
    /// The merged data; an empty object when nothing arrived.
    pub data: Data,
    /// Whether every expected part arrived, complete and with data.
    pub complete: bool,
    /// How many parts arrived. With none the errors are the answer, else they are only logged.
    pub arrived: usize,
    /// What failed, in the order of arrival.
    pub errors: Vec<E>,
}

impl<E> Merge<E> {
    /// Waits for this many parts.
    pub fn new(expected: usize) -> Self {
        Self {
            pending: expected,
            arrived: 0,
            data: None,
            complete: true,
            errors: Vec::new(),
        }
    }

    /// Takes what a backend gave.
    pub fn push(&mut self, result: Result<Part, E>) {
        self.pending = self.pending.saturating_sub(1);
        match result {
            Ok(part) => self.part(part),
            Err(error) => self.errors.push(error),
        }
    }

    /// A lone part without data stays without data; with a second part the absent ones count as `{}`.
    fn part(&mut self, part: Part) {
        self.complete &= part.complete && part.data.is_some();
        self.arrived += 1;
        if self.arrived == 1 {
            self.data = part.data;
        } else {
            self.data
                .get_or_insert_default()
                .extend(part.data.unwrap_or_default());
        }
    }

    /// The data so far, for parts that read what came before them.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The result; parts that never came make it incomplete.
    pub fn finish(self) -> Merged<E> {
        let complete =
            self.complete && self.arrived > 0 && self.pending == 0 && self.errors.is_empty();
        let data = if self.arrived == 0 {
            Some(Object::new())
        } else {
            self.data
        };
        Merged {
            data,
            complete,
            arrived: self.arrived,
            errors: self.errors,
        }
    }
}

/// The text of several errors: one a line.
pub fn join_errors<E: Display>(errors: &[E]) -> String {
    let mut text = String::new();
    for error in errors {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&error.to_string());
    }
    text
}

/// Whether the client is told `X-Krakend-Completed: true`: the answer must be complete and hold at least
/// one member, so neither `{}` nor `null` ever is.
pub fn completed(data: Option<&Object>, complete: bool) -> bool {
    complete && data.is_some_and(|object| !object.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::decode::Decoder;
    use super::*;

    fn part(text: &str) -> Result<Part, String> {
        Ok(Part {
            data: Decoder::Json.decode(text.as_bytes(), false).unwrap(),
            complete: true,
        })
    }

    fn merge(parts: Vec<Result<Part, String>>) -> Merged<String> {
        let mut merge = Merge::new(parts.len());
        parts.into_iter().for_each(|part| merge.push(part));
        merge.finish()
    }

    fn text(data: &Data) -> String {
        format!("{data:?}")
    }

    #[test]
    fn lets_the_last_arrival_win_at_the_top_level() {
        let merged = merge(vec![
            part(r#"{"a":{"x":1},"b":1}"#),
            part(r#"{"a":{"y":2},"c":3}"#),
        ]);
        assert_eq!(text(&merged.data), r#"Some({"a":{"y":2},"b":1,"c":3})"#);
        assert!(merged.complete);
    }

    #[test]
    fn answers_with_what_arrived_and_says_it_is_incomplete() {
        let merged = merge(vec![
            part(r#"{"a":1}"#),
            Err("bad".into()),
            part(r#"{"b":2}"#),
        ]);
        assert_eq!(text(&merged.data), r#"Some({"a":1,"b":2})"#);
        assert!(!merged.complete);
        assert_eq!(merged.errors, ["bad"]);
    }

    #[test]
    fn is_incomplete_with_an_incomplete_or_absent_part() {
        let mut incomplete = part(r#"{"a":1}"#).unwrap();
        incomplete.complete = false;
        assert!(!merge(vec![Ok(incomplete), part("{}")]).complete);
        let merged = merge(vec![part("null"), part(r#"{"a":1}"#)]);
        assert!(!merged.complete);
        assert_eq!(text(&merged.data), r#"Some({"a":1})"#);
        assert_eq!(
            text(&merge(vec![part("null"), part("null")]).data),
            "Some({})"
        );
        assert_eq!(text(&merge(vec![part("null")]).data), "None");
    }

    #[test]
    fn is_incomplete_when_a_part_never_came() {
        let mut merge = Merge::new(2);
        merge.push(part(r#"{"a":1}"#));
        assert!(!merge.finish().complete);
    }

    #[test]
    fn tells_all_errors_when_nothing_arrived() {
        let merged = merge(vec![Err("one".into()), Err("two".into())]);
        assert_eq!(
            (merged.arrived, join_errors(&merged.errors).as_str()),
            (0, "one\ntwo")
        );
    }

    #[test]
    fn completes_only_with_a_member() {
        let object = Object::with("a", super::super::Value::Null);
        assert!(completed(Some(&object), true));
        assert!(!completed(Some(&object), false));
        assert!(!completed(Some(&Object::new()), true));
        assert!(!completed(None, true));
    }
}
