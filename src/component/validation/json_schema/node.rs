//! A body as the validator sees it: our own values, borrowed. Numbers stay the text they were written
//! with, and no value is copied unless it is told about in a message.

use super::decimal::Decimal;
use crate::body::{Array as List, Digits, Object as Members, Value};
use jsonschema::JsonType;
use jsonschema::json::{Array, Json, JsonNumber, Node, NodeIdentity, Object};
use serde_json::{Number, Value as Config};
use std::borrow::Cow;
use std::collections::HashSet;

/// How much of a text a message needs at most.
const SHOWN: usize = 64;

/// The validator's name for our values.
pub(super) struct Body;

impl Json for Body {
    type Node<'a> = &'a Value;
    type PreparedKey = Box<str>;
    type StringBuffer = Value;

    fn prepare_key(key: &str) -> Box<str> {
        key.into()
    }

    fn with_string_node<T>(buffer: &mut Value, string: &str, f: impl FnOnce(&Value) -> T) -> T {
        *buffer = Value::string(string);
        f(buffer)
    }
}

/// A number by its text.
pub(super) struct Text<'a>(&'a Digits);

impl JsonNumber for Text<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.0
            .parse()
            .ok()
            .or_else(|| self.whole()?.try_into().ok())
    }

    fn as_i64(&self) -> Option<i64> {
        self.0
            .parse()
            .ok()
            .or_else(|| self.whole()?.try_into().ok())
    }

    fn as_f64(&self) -> Option<f64> {
        self.0.parse().ok().filter(|float: &f64| float.is_finite())
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0)
    }

    fn to_number(&self) -> Cow<'_, Number> {
        let number = self
            .as_u64()
            .map(Number::from)
            .or_else(|| self.as_i64().map(Number::from))
            .or_else(|| self.as_f64().and_then(Number::from_f64));
        Cow::Owned(number.unwrap_or_else(|| Number::from(0)))
    }

    fn is_integer(&self) -> bool {
        let plain = !self.0.contains(['.', 'e', 'E']);
        plain || Decimal::parse(self.0).is_integer()
    }

    /// KrakenD takes `1.0` for an integer in every draft.
    fn is_written_as_integer(&self) -> bool {
        self.is_integer()
    }
}

impl Text<'_> {
    fn whole(&self) -> Option<i128> {
        Decimal::parse(self.0).to_i128()
    }
}

impl<'a> Node<'a, Body> for &'a Value {
    type Object = &'a Members;
    type Array = &'a List;
    type Number = Text<'a>;

    fn as_object(&self) -> Option<&'a Members> {
        Value::as_object(self)
    }

    fn as_array(&self) -> Option<&'a List> {
        Value::as_array(self)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        Value::as_str(self).map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<Text<'a>> {
        match self {
            Value::Number(digits) => Some(Text(digits)),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match self {
            Value::Bool(boolean) => Some(*boolean),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    fn json_type(&self) -> JsonType {
        match self {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Boolean,
            Value::Number(_) => JsonType::Number,
            Value::String(_) | Value::Bytes(_) => JsonType::String,
            Value::Array(_) => JsonType::Array,
            Value::Object(_) | Value::Record(_) => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &Config) -> bool {
        equal(self, expected)
    }

    /// Only messages ask for it, and they show no more: containers without what is in them (which may be
    /// ten megabytes, or ten thousand levels), texts cut short.
    fn to_value(&self) -> Cow<'a, Config> {
        Cow::Owned(match self {
            Value::Null => Config::Null,
            Value::Bool(boolean) => Config::Bool(*boolean),
            Value::Number(digits) => Config::Number(Text(digits).to_number().into_owned()),
            Value::String(text) => Config::String(text.chars().take(SHOWN).collect()),
            Value::Bytes(_) => Config::String(String::new()),
            Value::Array(_) => Config::Array(Vec::new()),
            Value::Object(_) | Value::Record(_) => Config::Object(serde_json::Map::new()),
        })
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref::<Value>(self).addr()))
    }
}

impl<'a> Object<'a, Body> for &'a Members {
    type Node = &'a Value;
    type MemberName = &'a str;
    type MembersIter = Pairs<'a>;

    fn len(&self) -> usize {
        Members::len(self)
    }

    fn get(&self, key: &Box<str>) -> Option<&'a Value> {
        Members::get(self, key)
    }

    fn members(&self) -> Pairs<'a> {
        Pairs(Members::members(self).iter())
    }
}

/// Names and values of an object.
pub(super) struct Pairs<'a>(std::slice::Iter<'a, crate::body::value::Member>);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|member| (member.0.as_ref(), &member.1))
    }
}

impl<'a> Array<'a, Body> for &'a List {
    type Node = &'a Value;
    type ElementsIter = std::slice::Iter<'a, Value>;

    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn elements(&self) -> Self::ElementsIter {
        self.iter()
    }

    /// One pass, in memory of the size of the list: the validator's own way compares pairs.
    fn is_unique(&self) -> bool {
        let mut seen = HashSet::with_capacity(Vec::len(self));
        self.iter().all(|value| seen.insert(canonical(value)))
    }
}

/// Whether a value of the body is what the schema says; no deeper than the schema goes.
pub(super) fn equal(value: &Value, expected: &Config) -> bool {
    match (value, expected) {
        (Value::Null, Config::Null) => true,
        (Value::Bool(a), Config::Bool(b)) => a == b,
        (Value::String(a), Config::String(b)) => a.as_ref() == b,
        (Value::Number(a), Config::Number(b)) => {
            Decimal::parse(a) == Decimal::parse(&b.to_string())
        }
        (Value::Array(a), Config::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Config::Object(b)) => {
            a.len() == b.len()
                && b.iter()
                    .all(|(name, b)| a.get(name).is_some_and(|a| equal(a, b)))
        }
        _ => false,
    }
}

/// Text that two values share exactly when JSON schema calls them equal, for values of any depth.
fn canonical(value: &Value) -> Vec<u8> {
    enum Step<'a> {
        Value(&'a Value),
        Name(&'a str),
        Close(u8),
    }
    let mut out = Vec::new();
    let mut steps = vec![Step::Value(value)];
    while let Some(step) = steps.pop() {
        match step {
            Step::Close(end) => out.push(end),
            Step::Name(name) => crate::body::json::string(name, &mut out),
            Step::Value(Value::Number(digits)) => {
                out.extend(format!("{:?}", Decimal::parse(digits)).bytes());
            }
            Step::Value(Value::Array(items)) => {
                out.push(b'[');
                steps.push(Step::Close(b']'));
                steps.extend(items.iter().rev().map(Step::Value));
            }
            Step::Value(Value::Object(object)) => {
                out.push(b'{');
                steps.push(Step::Close(b'}'));
                for (name, value) in object.members().iter().rev() {
                    steps.push(Step::Value(value));
                    steps.push(Step::Name(name));
                }
            }
            Step::Value(leaf) => crate::body::json::encode(leaf, &mut out),
        }
        out.push(b',');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::json::decode;
    use serde_json::json;

    #[test]
    fn constants_are_compared_as_numbers_not_as_text() {
        let value = decode(br#"{"a":[1.0,{"b":"x"}],"c":null}"#).unwrap();
        assert!(equal(&value, &json!({"a": [1, {"b": "x"}], "c": null})));
        assert!(!equal(&value, &json!({"a": [1, {"b": "x"}]})));
        assert!(!equal(&decode(b"true").unwrap(), &json!(1)));
    }

    #[test]
    fn uniqueness_sees_through_spelling_and_survives_depth() {
        let unique = |text: &str| {
            let value = decode(text.as_bytes()).unwrap();
            Array::is_unique(&Value::as_array(&value).unwrap())
        };
        assert!(unique(r#"[1,"1",[1],{"1":1},true,null,"a,b",["a","b"]]"#));
        assert!(!unique("[1,1.0]"));
        assert!(!unique(r#"[{"a":1,"b":2},{"b":2.0,"a":1e0}]"#));
        let deep = format!("{}{}", "[".repeat(9000), "]".repeat(9000));
        assert!(!unique(&format!("[{deep},{deep}]")));
    }

    #[test]
    fn numbers_beyond_doubles_have_a_type_and_a_value() {
        let text = |text: &str| Digits::from(text);
        assert_eq!(Text(&text("1e2")).as_u64(), Some(100));
        assert_eq!(Text(&text("-3.0")).as_i64(), Some(-3));
        assert_eq!(Text(&text("1e400")).as_f64(), None);
        assert!(Text(&text("1e400")).is_integer());
        assert!(!Text(&text("1.5")).is_integer());
    }
}
