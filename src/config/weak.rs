//! Weak typing: what KrakenD makes of a value that is not of the type a setting wants (`"8080"` for
//! a number, `true` for a text, one host for a list of hosts). All functions are total.
//!
//! One difference: numbers of JSON, YAML and TOML are treated alike, and what does not fit into 64
//! bits is an error instead of a wrapped number.

use super::duration::{self, DurationError};
use crate::base::{Code, Problem};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Why a value cannot be converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// No rule leads from this kind of value to the wanted type.
    Type {
        /// The wanted type in Go's words.
        wanted: &'static str,
        /// The kind of value in Go's words.
        got: &'static str,
    },
    /// A text that does not read as the wanted type.
    Parse {
        /// The wanted type in Go's words.
        wanted: &'static str,
        /// What Go says.
        reason: &'static str,
    },
    /// A text that is no duration.
    Duration(DurationError),
    /// A number that does not fit.
    Range {
        /// The wanted type in Go's words.
        wanted: &'static str,
    },
}

impl Mismatch {
    /// The finding for the value at a pointer.
    pub fn problem(&self, pointer: &str) -> Problem {
        let name = go_path(pointer);
        match self {
            Self::Type { wanted, got } => Problem::error(
                Code::WrongType,
                pointer,
                format!("'{name}' expected type '{wanted}', got unconvertible type '{got}'"),
            )
            .hint(format!("write {}", example(wanted))),
            Self::Parse { wanted, reason } => Problem::error(
                Code::WrongType,
                pointer,
                format!("'{name}' cannot parse value as '{wanted}': {reason}"),
            )
            .hint(format!("write {}", example(wanted))),
            Self::Duration(error) => {
                Problem::error(Code::BadDuration, pointer, format!("'{name}' {error}"))
                    .hint(error.hint())
            }
            Self::Range { wanted } => Problem::error(
                Code::OutOfRange,
                pointer,
                format!("'{name}' does not fit into '{wanted}'"),
            ),
        }
    }
}

fn example(wanted: &str) -> &'static str {
    match wanted {
        "string" => "a text in quotes",
        "int" => "a whole number",
        "float64" => "a number",
        "bool" => "true or false",
        "time.Duration" => "a duration such as \"500ms\", \"3s\" or \"1m30s\"",
        "[]string" => "a list of texts",
        _ => "an object in { }",
    }
}

/// The way KrakenD names a place: `endpoints[0].backend[1].host`; the whole document is empty.
pub fn go_path(pointer: &str) -> String {
    let mut path = String::new();
    for token in pointer.split('/').skip(1) {
        if !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit()) {
            let _ = write!(path, "[{token}]");
            continue;
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(&token.replace("~1", "/").replace("~0", "~"));
    }
    path
}

/// The kind of a value in Go's words.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn unconvertible<T>(wanted: &'static str, value: &Value) -> Result<T, Mismatch> {
    Err(Mismatch::Type {
        wanted,
        got: kind(value),
    })
}

/// A text; numbers become plain decimals, booleans `1` and `0`.
///
/// # Errors
/// For lists and objects.
pub fn string(value: &Value) -> Result<String, Mismatch> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Bool(bool) => Ok(if *bool { "1" } else { "0" }.to_owned()),
        Value::Number(number) => Ok(decimal(number)),
        Value::Array(_) | Value::Object(_) => unconvertible("string", value),
    }
}

/// Decimal text without exponent.
fn decimal(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => format!("{float}"),
        _ => number.to_string(),
    }
}

/// A whole number; fractions are cut off, texts are Go integer literals, booleans 1 and 0.
///
/// # Errors
/// For lists, objects, other texts, and what does not fit into 64 bits.
pub fn int(value: &Value) -> Result<i64, Mismatch> {
    match value {
        Value::Null => Ok(0),
        Value::Bool(bool) => Ok(i64::from(*bool)),
        Value::Number(number) => whole(number).ok_or(Mismatch::Range { wanted: "int" }),
        Value::String(text) => go_int(text),
        Value::Array(_) | Value::Object(_) => unconvertible("int", value),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(number: &Number) -> Option<i64> {
    if let Some(int) = number.as_i64() {
        return Some(int);
    }
    // 2^63 is exact as a float.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    number
        .as_f64()
        .filter(|f| (-LIMIT..LIMIT).contains(f))
        .map(|f| f.trunc() as i64)
}

/// Go's `ParseInt` with base 0; an empty text is 0.
pub(super) fn go_int(text: &str) -> Result<i64, Mismatch> {
    let invalid = Mismatch::Parse {
        wanted: "int",
        reason: "strconv.ParseInt: invalid syntax",
    };
    let range = Mismatch::Parse {
        wanted: "int",
        reason: "strconv.ParseInt: value out of range",
    };
    if text.is_empty() {
        return Ok(0);
    }
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = unsigned.to_ascii_lowercase();
    let (radix, digits, prefixed) = match (lower.get(..2), lower.strip_prefix('0')) {
        (Some("0x"), _) => (16, lower.get(2..), true),
        (Some("0b"), _) => (2, lower.get(2..), true),
        (Some("0o"), _) => (8, lower.get(2..), true),
        (_, Some(rest)) if !rest.is_empty() => (8, Some(rest), true),
        _ => (10, Some(lower.as_str()), false),
    };
    let digits = digits.unwrap_or_default();
    if !underscores_separate(digits, prefixed) {
        return Err(invalid);
    }
    let digits = digits.replace('_', "");
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(invalid);
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).map_err(|_| range)
}

/// Underscores stand between digits, or between the base prefix and a digit.
fn underscores_separate(digits: &str, prefixed: bool) -> bool {
    !digits.ends_with('_') && !digits.contains("__") && (prefixed || !digits.starts_with('_'))
}

/// A number with fraction; texts are decimal, booleans 1 and 0.
///
/// # Errors
/// For lists, objects, other texts, and what is not finite.
pub fn float(value: &Value) -> Result<f64, Mismatch> {
    let invalid = Mismatch::Parse {
        wanted: "float64",
        reason: "strconv.ParseFloat: invalid syntax",
    };
    match value {
        Value::Null => Ok(0.0),
        Value::Bool(bool) => Ok(f64::from(u8::from(*bool))),
        Value::Number(number) => number.as_f64().ok_or(Mismatch::Range { wanted: "float64" }),
        Value::String(text) if text.is_empty() => Ok(0.0),
        Value::String(text) => text
            .parse::<f64>()
            .ok()
            .filter(|f| f.is_finite())
            .ok_or(invalid),
        Value::Array(_) | Value::Object(_) => unconvertible("float64", value),
    }
}

/// A switch; numbers are true unless 0, texts as Go's `ParseBool`, the empty text is false.
///
/// # Errors
/// For lists, objects and other texts.
pub fn bool(value: &Value) -> Result<bool, Mismatch> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(bool) => Ok(*bool),
        Value::Number(number) => Ok(number.as_f64() != Some(0.0)),
        Value::String(text) => match text.as_str() {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
            "" | "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
            _ => Err(Mismatch::Parse {
                wanted: "bool",
                reason: "strconv.ParseBool: invalid syntax",
            }),
        },
        Value::Array(_) | Value::Object(_) => unconvertible("bool", value),
    }
}

/// Nanoseconds; texts in Go's grammar, numbers are nanoseconds already.
///
/// # Errors
/// For lists, objects and other texts, the empty one among them.
pub fn duration(value: &Value) -> Result<i64, Mismatch> {
    match value {
        Value::String(text) => duration::parse(text).map_err(Mismatch::Duration),
        Value::Array(_) | Value::Object(_) => unconvertible("time.Duration", value),
        value => int(value).map_err(|_| Mismatch::Range {
            wanted: "time.Duration",
        }),
    }
}

/// The elements of a list; what is no list is a list of one, an empty object the empty list.
pub fn list(value: &Value) -> Cow<'_, [Value]> {
    match value {
        Value::Null => Cow::Borrowed(&[]),
        Value::Array(items) => Cow::Borrowed(items),
        Value::Object(map) if map.is_empty() => Cow::Borrowed(&[]),
        value => Cow::Borrowed(std::slice::from_ref(value)),
    }
}

/// A list of texts; on failure the index of the element that is no text.
///
/// # Errors
/// For elements that are lists or objects.
pub fn strings(value: &Value) -> Result<Vec<String>, (usize, Mismatch)> {
    list(value)
        .iter()
        .enumerate()
        .map(|(index, item)| string(item).map_err(|error| (index, error)))
        .collect()
}

/// An object; a list of objects is merged from left to right, the empty list is the empty object.
///
/// # Errors
/// For everything else.
pub fn map(value: &Value) -> Result<Cow<'_, Map<String, Value>>, Mismatch> {
    match value {
        Value::Null => Ok(Cow::Owned(Map::new())),
        Value::Object(map) => Ok(Cow::Borrowed(map)),
        Value::Array(items) => {
            let mut merged = Map::new();
            for item in items {
                match item {
                    Value::Object(map) => {
                        merged.extend(map.iter().map(|(k, v)| (k.clone(), v.clone())))
                    }
                    Value::Null => {}
                    other => return unconvertible("map[string]interface {}", other),
                }
            }
            Ok(Cow::Owned(merged))
        }
        value => unconvertible("map[string]interface {}", value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn makes_texts() {
        for (value, text) in [
            (json!(true), "1"),
            (json!(false), "0"),
            (json!(42), "42"),
            (json!(-1.5), "-1.5"),
            (json!(1e21), "1000000000000000000000"),
            (json!(1e-7), "0.0000001"),
            (json!(3.0), "3"),
            (json!(null), ""),
        ] {
            assert_eq!(string(&value).unwrap(), text);
        }
        assert!(string(&json!({})).is_err());
        assert!(string(&json!(["a"])).is_err());
    }

    #[test]
    fn makes_whole_numbers() {
        for (value, number) in [
            (json!(1.9), 1),
            (json!(-1.9), -1),
            (json!("0x1f"), 31),
            (json!("0o17"), 15),
            (json!("010"), 8),
            (json!("0b1"), 1),
            (json!("1_000"), 1000),
            (json!("0x_f"), 15),
            (json!("-7"), -7),
            (json!("+7"), 7),
            (json!(""), 0),
            (json!("0"), 0),
            (json!(true), 1),
            (json!(null), 0),
            (json!("9223372036854775807"), i64::MAX),
            (json!("-9223372036854775808"), i64::MIN),
        ] {
            assert_eq!(int(&value), Ok(number), "{value}");
        }
        for text in [
            "x",
            "1.5",
            "08",
            "_1",
            "1_",
            "1__0",
            "0x",
            "-",
            "--1",
            "1 ",
            "tcp://h:1",
            "0b2",
            "é1",
        ] {
            assert!(
                matches!(int(&json!(text)), Err(Mismatch::Parse { .. })),
                "{text}"
            );
        }
        assert!(int(&json!("9223372036854775808")).is_err());
        assert_eq!(int(&json!(1e300)), Err(Mismatch::Range { wanted: "int" }));
        assert!(int(&json!([])).is_err());
    }

    #[test]
    fn makes_switches() {
        for value in [
            json!(1),
            json!(-0.5),
            json!("t"),
            json!("TRUE"),
            json!("1"),
            json!(true),
        ] {
            assert_eq!(bool(&value), Ok(true), "{value}");
        }
        for value in [
            json!(0),
            json!(0.0),
            json!("f"),
            json!(""),
            json!("False"),
            json!(null),
        ] {
            assert_eq!(bool(&value), Ok(false), "{value}");
        }
        assert!(bool(&json!("yes")).is_err());
        assert!(bool(&json!([])).is_err());
    }

    #[test]
    fn makes_durations() {
        assert_eq!(duration(&json!("1m30s")), Ok(90 * duration::SECOND));
        assert_eq!(duration(&json!(3000)), Ok(3000));
        assert_eq!(duration(&json!(null)), Ok(0));
        assert_eq!(
            duration(&json!("")),
            Err(Mismatch::Duration(DurationError::Invalid))
        );
        assert!(duration(&json!({})).is_err());
    }

    #[test]
    fn makes_floats() {
        assert_eq!(float(&json!("1.5")), Ok(1.5));
        assert_eq!(float(&json!("")), Ok(0.0));
        assert_eq!(float(&json!(true)), Ok(1.0));
        assert!(float(&json!("inf")).is_err());
        assert!(float(&json!([])).is_err());
    }

    #[test]
    fn makes_lists() {
        assert_eq!(strings(&json!("a")), Ok(vec!["a".to_owned()]));
        assert_eq!(
            strings(&json!(["a", 1, true, null])),
            Ok(vec!["a".into(), "1".into(), "1".into(), String::new()])
        );
        assert_eq!(strings(&json!(null)), Ok(vec![]));
        assert_eq!(strings(&json!({})), Ok(vec![]));
        assert_eq!(strings(&json!("")), Ok(vec![String::new()]));
        assert_eq!(strings(&json!(["a", []])).unwrap_err().0, 1);
        assert_eq!(list(&json!({"a": 1})).len(), 1);
    }

    #[test]
    fn makes_objects() {
        assert!(map(&json!([])).unwrap().is_empty());
        assert_eq!(
            *map(&json!([{"a": 1, "b": 1}, {"b": 2}])).unwrap(),
            *json!({"a": 1, "b": 2}).as_object().unwrap()
        );
        assert!(map(&json!("x")).is_err());
        assert!(map(&json!([1])).is_err());
    }

    #[test]
    fn speaks_the_words_of_krakend() {
        let problem = int(&json!("x")).unwrap_err().problem("/port");
        assert_eq!(
            problem.message,
            "'port' cannot parse value as 'int': strconv.ParseInt: invalid syntax"
        );
        let problem = int(&json!({}))
            .unwrap_err()
            .problem("/endpoints/0/backend/1/a~1b");
        assert_eq!(
            problem.message,
            "'endpoints[0].backend[1].a/b' expected type 'int', got unconvertible type 'map[string]interface {}'"
        );
        let problem = duration(&json!("soon")).unwrap_err().problem("/timeout");
        assert_eq!(
            (problem.code, problem.message.as_str()),
            (Code::BadDuration, "'timeout' time: invalid duration")
        );
    }
}
