//! One JSON-like value. It differs from a Go `interface{}` in what it guarantees: numbers keep the text
//! they were written with, members are always sorted by their bytes and unique, and a tree of any depth
//! is cloned, compared, printed and dropped without using the call stack for its depth.

use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};

use super::build::{Builder, Children, Kind};
use super::digits::Digits;

/// A name and its value.
pub type Member = (Box<str>, Value);

/// A value of a body.
#[derive(Default)]
pub enum Value {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as written in its source; always a valid JSON number.
    Number(Digits),
    /// Text.
    String(Box<str>),
    /// Text that is not UTF-8. Only the `string` decoder makes it, so that the `string` output can give
    /// back the bytes unchanged; every other output replaces what is broken.
    Bytes(Box<[u8]>),
    /// A list.
    Array(Array),
    /// Members, sorted.
    Object(Object),
    /// Members in a fixed order, made by the gateway itself (error details, feed items). Filters and
    /// look-ups by path treat it as one opaque leaf, as KrakenD does with its Go structs.
    Record(Record),
}

// Decoding moves values about more than anything else.
const _: () = assert!(size_of::<Value>() == 32);

/// A list of values; behaves as a `Vec`.
#[derive(Debug, Default)]
pub struct Array(Vec<Value>);

/// Members sorted bytewise by name, each name once.
#[derive(Default)]
pub struct Object(Vec<Member>);

/// Members in the order they were given.
#[derive(Debug, Default)]
pub struct Record(Vec<Member>);

impl Value {
    /// A string value.
    pub fn string(text: &str) -> Self {
        Self::String(text.into())
    }

    /// A value of the configuration. As in KrakenD, every number there has been a 64-bit float once and
    /// is printed as Go prints one.
    pub fn from_config(value: &serde_json::Value) -> Self {
        enum Walk<'a> {
            Items(std::slice::Iter<'a, serde_json::Value>),
            Members(serde_json::map::Iter<'a>),
        }
        let mut builder = Builder::new();
        let mut walks = Vec::new();
        let mut next = Some((None, value));
        loop {
            if let Some((key, value)) = next.take() {
                if let Some(key) = key {
                    builder.key(key);
                }
                match value {
                    serde_json::Value::Null => builder.value(Self::Null),
                    serde_json::Value::Bool(b) => builder.value(Self::Bool(*b)),
                    serde_json::Value::Number(n) => builder.value(Self::Number(go_float(n).into())),
                    serde_json::Value::String(s) => builder.value(Self::string(s)),
                    serde_json::Value::Array(items) => {
                        builder.open(Kind::Array);
                        walks.push(Walk::Items(items.iter()));
                    }
                    serde_json::Value::Object(members) => {
                        builder.open(Kind::Object);
                        walks.push(Walk::Members(members.iter()));
                    }
                }
            }
            next = match walks.last_mut() {
                None => return builder.finish(),
                Some(Walk::Items(items)) => items.next().map(|value| (None, value)),
                Some(Walk::Members(members)) => members
                    .next()
                    .map(|(key, value)| (Some(key.as_str()), value)),
            };
            if next.is_none() {
                walks.pop();
                builder.close();
            }
        }
    }

    /// The text, when this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The object, when this is one.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The list, when this is one.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// The object, when this is one, by value.
    pub fn into_object(self) -> Option<Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Whether this is neither list nor object nor record.
    pub fn is_leaf(&self) -> bool {
        !matches!(self, Self::Array(_) | Self::Object(_) | Self::Record(_))
    }

    /// A copy of a leaf; `None` for containers.
    pub(super) fn copy_leaf(&self) -> Option<Self> {
        Some(match self {
            Self::Null => Self::Null,
            Self::Bool(b) => Self::Bool(*b),
            Self::Number(text) => Self::Number(text.clone()),
            Self::String(text) => Self::String(text.clone()),
            Self::Bytes(bytes) => Self::Bytes(bytes.clone()),
            Self::Array(_) | Self::Object(_) | Self::Record(_) => return None,
        })
    }
}

/// Go's `encoding/json` on a float64: plain digits within 1e-6 … 1e21, else an exponent with a sign.
fn go_float(number: &serde_json::Number) -> String {
    let Some(float) = number.as_f64() else {
        return number.to_string();
    };
    let size = float.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{float:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        };
    }
    format!("{float}")
}

impl Array {
    /// The elements by value.
    pub fn into_vec(mut self) -> Vec<Value> {
        std::mem::take(&mut self.0)
    }
}

impl Deref for Array {
    type Target = Vec<Value>;

    fn deref(&self) -> &Vec<Value> {
        &self.0
    }
}

impl DerefMut for Array {
    fn deref_mut(&mut self) -> &mut Vec<Value> {
        &mut self.0
    }
}

impl From<Vec<Value>> for Array {
    fn from(values: Vec<Value>) -> Self {
        Self(values)
    }
}

impl FromIterator<Value> for Array {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Object {
    /// An object without members; does not allocate.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// An object of these members in any order; of equal names the last one stays.
    pub fn from_members(mut members: Vec<Member>) -> Self {
        if !members.is_sorted_by(|a, b| a.0 < b.0) {
            members.sort_by(|a, b| a.0.cmp(&b.0));
            members.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                if same {
                    std::mem::swap(later, kept);
                }
                same
            });
        }
        Self(members)
    }

    /// An object with one member.
    pub fn with(name: &str, value: Value) -> Self {
        Self(vec![(name.into(), value)])
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0
            .binary_search_by(|member| member.0.as_ref().cmp(name))
    }

    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let at = self.find(name).ok()?;
        self.0.get(at).map(|member| &member.1)
    }

    /// The value of a member, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        let at = self.find(name).ok()?;
        self.0.get_mut(at).map(|member| &mut member.1)
    }

    /// Sets a member and gives back what it replaced.
    pub fn insert(&mut self, name: &str, value: Value) -> Option<Value> {
        match self.find(name) {
            Ok(at) => self
                .0
                .get_mut(at)
                .map(|member| std::mem::replace(&mut member.1, value)),
            Err(at) => {
                self.0.insert(at, (name.into(), value));
                None
            }
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.find(name).ok()?;
        Some(self.0.remove(at).1)
    }

    /// Keeps the members for which `keep` says so; `keep` may change the values.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value) -> bool) {
        self.0.retain_mut(|member| keep(&member.0, &mut member.1));
    }

    /// Adds members; equal names take the new value. Costs one merge of two sorted lists.
    pub fn extend(&mut self, other: Object) {
        if self.0.is_empty() {
            *self = other;
        } else if !other.0.is_empty() {
            let mut members = std::mem::take(&mut self.0);
            members.extend(other.into_members());
            *self = Self::from_members(members);
        }
    }

    /// The members in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|member| (member.0.as_ref(), &member.1))
    }

    /// The members by value, sorted.
    pub fn into_members(mut self) -> Vec<Member> {
        std::mem::take(&mut self.0)
    }

    /// The members as they stand.
    pub fn members(&self) -> &[Member] {
        &self.0
    }
}

impl FromIterator<Member> for Object {
    fn from_iter<I: IntoIterator<Item = Member>>(members: I) -> Self {
        Self::from_members(members.into_iter().collect())
    }
}

impl Record {
    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|member| member.0.as_ref() == name)
            .map(|member| &member.1)
    }

    /// The members as they stand.
    pub fn members(&self) -> &[Member] {
        &self.0
    }
}

impl From<Vec<Member>> for Record {
    fn from(members: Vec<Member>) -> Self {
        Self(members)
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        match self.copy_leaf() {
            Some(leaf) => leaf,
            None => super::build::copy(self),
        }
    }
}

impl Clone for Array {
    fn clone(&self) -> Self {
        match super::build::copy_children(Kind::Array, Children::Items(self.0.iter())) {
            Value::Array(array) => array,
            _ => Self::default(),
        }
    }
}

impl Clone for Object {
    fn clone(&self) -> Self {
        match super::build::copy_children(Kind::Object, Children::Members(self.0.iter())) {
            Value::Object(object) => object,
            _ => Self::default(),
        }
    }
}

impl Clone for Record {
    fn clone(&self) -> Self {
        match super::build::copy_children(Kind::Record, Children::Members(self.0.iter())) {
            Value::Record(record) => record,
            _ => Self::default(),
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        super::build::equal(self, other)
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        super::build::equal_members(&self.0, &other.0)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&super::json::to_vec(self)))
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        super::json::encode_object(self, &mut out);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

thread_local! {
    /// How many containers are being dropped inside one another on this thread.
    static DROPPING: Cell<u32> = const { Cell::new(0) };
}

/// Nesting up to which the compiler's recursive drop is used; it needs no memory of its own.
const NATURAL_DEPTH: u32 = 64;

struct Level;

impl Level {
    fn enter() -> Option<Self> {
        DROPPING.with(|depth| {
            (depth.get() < NATURAL_DEPTH).then(|| {
                depth.set(depth.get() + 1);
                Self
            })
        })
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        DROPPING.with(|depth| depth.set(depth.get().saturating_sub(1)));
    }
}

/// Drops a deep tree piece by piece: every container is emptied before it goes.
fn dismantle(mut pending: Vec<Value>) {
    while let Some(mut value) = pending.pop() {
        match &mut value {
            Value::Array(array) => pending.append(&mut array.0),
            Value::Object(object) => pending.extend(object.0.drain(..).map(|member| member.1)),
            Value::Record(record) => pending.extend(record.0.drain(..).map(|member| member.1)),
            _ => {}
        }
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.0);
        if values.iter().all(Value::is_leaf) {
            return;
        }
        match Level::enter() {
            Some(_level) => drop(values),
            None => dismantle(values),
        }
    }
}

fn drop_members(members: Vec<Member>) {
    if members.iter().all(|member| member.1.is_leaf()) {
        return;
    }
    match Level::enter() {
        Some(_level) => drop(members),
        None => dismantle(members.into_iter().map(|member| member.1).collect()),
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        drop_members(std::mem::take(&mut self.0));
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        drop_members(std::mem::take(&mut self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    fn deep(open: &str, close: &str) -> Value {
        let text = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        json::decode(text.as_bytes()).unwrap()
    }

    #[test]
    fn prints_configuration_numbers_as_go_floats() {
        for (text, expected) in [
            ("25", "25"),
            ("-0.0", "-0"),
            ("0.5", "0.5"),
            ("1e21", "1e+21"),
            ("1e20", "100000000000000000000"),
            ("1e-7", "1e-7"),
            ("0.000001", "0.000001"),
            ("1.5e-10", "1.5e-10"),
            ("12345678901234567890", "12345678901234567000"),
        ] {
            let config: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(
                format!("{:?}", Value::from_config(&config)),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn reads_nested_configuration() {
        let config: serde_json::Value =
            serde_json::from_str(r#"{"b":[1,{"c":null}],"a":{"x":"y","t":true}}"#).unwrap();
        assert_eq!(
            format!("{:?}", Value::from_config(&config)),
            r#"{"a":{"t":true,"x":"y"},"b":[1,{"c":null}]}"#
        );
    }

    #[test]
    fn keeps_the_last_of_equal_names() {
        let members = [("b", "1"), ("a", "2"), ("b", "3"), ("b", "4"), ("a", "5")];
        let object: Object = members
            .into_iter()
            .map(|(k, v)| (k.into(), Value::string(v)))
            .collect();
        assert_eq!(format!("{object:?}"), r#"{"a":"5","b":"4"}"#);
    }

    #[test]
    fn inserts_finds_and_removes_members() {
        let mut object = Object::new();
        assert!(object.insert("b", Value::Null).is_none());
        assert!(object.insert("a", Value::Bool(true)).is_none());
        assert_eq!(object.insert("b", Value::Bool(false)), Some(Value::Null));
        assert_eq!(object.get("a"), Some(&Value::Bool(true)));
        assert_eq!(object.get("c"), None);
        assert_eq!(object.remove("a"), Some(Value::Bool(true)));
        assert_eq!(object.len(), 1);
    }

    #[test]
    fn handles_deep_trees_without_the_call_stack() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"k\":[", "]}]")] {
            let open = if open.len() == 7 { "[" } else { open };
            let close = if close.len() == 3 { "]" } else { close };
            let value = deep(open, close);
            let copy = value.clone();
            assert!(copy == value);
            assert!(json::to_vec(&copy).len() >= 20_000);
            drop((value, copy));
        }
    }
}
