//! What templates compute with: Go's values as far as a template can tell them apart.
//!
//! A value that is missing (no such key) and JSON's null differ until a pipeline ends, as in Go: `.a.b` of
//! a missing `a` is `<no value>`, of a null `a` an error.

use serde_json::Value as Json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;

/// A dictionary; `set` and `unset` change it for everybody who holds it, as in Go.
pub(crate) type Dict = Rc<RefCell<Members>>;

/// The elements of a list. Values may be nested as deep as a template likes: they are taken apart one by
/// one and not by recursion.
#[derive(Debug, Default)]
pub(crate) struct Items(Vec<Value>);

/// The members of a dictionary; as [`Items`].
#[derive(Debug, Default)]
pub(crate) struct Members(BTreeMap<Arc<str>, Value>);

impl Deref for Items {
    type Target = Vec<Value>;
    fn deref(&self) -> &Vec<Value> {
        &self.0
    }
}

impl Deref for Members {
    type Target = BTreeMap<Arc<str>, Value>;
    fn deref(&self) -> &BTreeMap<Arc<str>, Value> {
        &self.0
    }
}

impl DerefMut for Members {
    fn deref_mut(&mut self) -> &mut BTreeMap<Arc<str>, Value> {
        &mut self.0
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        dismantle(std::mem::take(&mut self.0));
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        dismantle(std::mem::take(&mut self.0).into_values().collect());
    }
}

fn dismantle(mut left: Vec<Value>) {
    while let Some(value) = left.pop() {
        match value {
            Value::List(items, _) => {
                if let Ok(mut items) = Rc::try_unwrap(items) {
                    left.append(&mut items.0);
                }
            }
            Value::Map(members, _) => {
                if let Ok(members) = Rc::try_unwrap(members) {
                    let mut members = members.into_inner();
                    left.extend(std::mem::take(&mut members.0).into_values());
                }
            }
            _ => {}
        }
    }
}

/// How many values one operation may still visit: values share parts, so that a small one may be endless
/// to walk.
#[derive(Debug)]
pub(crate) struct Walk(u64);

impl Walk {
    /// Enough for any real configuration.
    pub(crate) const fn new() -> Self {
        Self(1_000_000)
    }

    fn step(&mut self, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH || self.0 == 0 {
            return Err(format!(
                "a value is nested more than {MAX_DEPTH} levels deep, holds itself, or is too large"
            ));
        }
        self.0 -= 1;
        Ok(())
    }
}

/// How deep values may be nested before printing, comparing or copying them stops.
pub(crate) const MAX_DEPTH: usize = 128;

/// Which of Go's integer types a number has; arithmetic is the same, `typeOf` and JSON tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// `int`: literals, `int`, YAML.
    Int,
    /// `int64`: sprig's arithmetic, TOML.
    Int64,
    /// `uint8`: one byte of a string.
    Uint8,
}

/// What the elements of a list or dictionary are declared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elem {
    /// `interface {}`.
    Any,
    /// `string`.
    Text,
    /// `int`.
    Int,
}

/// Where a text comes from, when it is still exactly the text of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin(pub(crate) usize);

/// A value of a template.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// What is not there: prints `<no value>`.
    Missing,
    /// `nil` inside an `interface {}`.
    Nil,
    /// `bool`.
    Bool(bool),
    /// An integer.
    Int(i64, Width),
    /// `float64`.
    Float(f64),
    /// `string`; with the file whose whole text it is.
    Text(Arc<str>, Option<Origin>),
    /// A slice.
    List(Rc<Items>, Elem),
    /// A map from strings.
    Map(Dict, Elem),
    /// `time.Time`, UTC: seconds since 1970 and nanoseconds.
    Time(i64, u32),
    /// A value of a library with fields: its type, how it prints, what can be read of it.
    Object(Rc<Object>),
}

/// A struct with fields or getters.
#[derive(Debug)]
pub(crate) struct Object {
    /// Go's name of the type.
    pub(crate) type_name: &'static str,
    /// How it prints.
    pub(crate) shown: String,
    /// Fields and methods without arguments.
    pub(crate) fields: Vec<(&'static str, Value)>,
}

impl Value {
    /// A string.
    pub(crate) fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into(), None)
    }

    /// An `int`.
    pub(crate) fn int(number: i64) -> Self {
        Self::Int(number, Width::Int)
    }

    /// An `int64`.
    pub(crate) fn int64(number: i64) -> Self {
        Self::Int(number, Width::Int64)
    }

    /// A `[]interface {}`.
    pub(crate) fn list(items: Vec<Value>) -> Self {
        Self::typed(items, Elem::Any)
    }

    /// A slice of this type.
    pub(crate) fn typed(items: Vec<Value>, elem: Elem) -> Self {
        Self::List(Rc::new(Items(items)), elem)
    }

    /// A `[]string`.
    pub(crate) fn texts<T: Into<Arc<str>>>(items: impl IntoIterator<Item = T>) -> Self {
        let items = items.into_iter().map(|item| Self::text(item));
        Self::typed(items.collect(), Elem::Text)
    }

    /// A `map[string]interface {}`.
    pub(crate) fn map(members: BTreeMap<Arc<str>, Value>) -> Self {
        Self::mapping(members, Elem::Any)
    }

    /// A map of this type.
    pub(crate) fn mapping(members: BTreeMap<Arc<str>, Value>, elem: Elem) -> Self {
        Self::Map(Rc::new(RefCell::new(Members(members))), elem)
    }

    /// Whether `if` takes the first branch.
    pub(crate) fn truth(&self) -> bool {
        match self {
            Self::Missing | Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value, _) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text, _) => !text.is_empty(),
            Self::List(items, _) => !items.is_empty(),
            Self::Map(members, _) => !members.borrow().is_empty(),
            Self::Time(..) | Self::Object(_) => true,
        }
    }

    /// Whether it is not there or nil.
    pub(crate) fn is_nil(&self) -> bool {
        matches!(self, Self::Missing | Self::Nil)
    }

    /// Go's name of its type (`%T`).
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Missing | Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_, Width::Int) => "int",
            Self::Int(_, Width::Int64) => "int64",
            Self::Int(_, Width::Uint8) => "uint8",
            Self::Float(_) => "float64",
            Self::Text(..) => "string",
            Self::List(_, Elem::Any) => "[]interface {}",
            Self::List(_, Elem::Text) => "[]string",
            Self::List(_, Elem::Int) => "[]int",
            Self::Map(_, Elem::Any) => "map[string]interface {}",
            Self::Map(_, Elem::Text) => "map[string]string",
            Self::Map(_, Elem::Int) => "map[string]int",
            Self::Time(..) => "time.Time",
            Self::Object(object) => object.type_name,
        }
    }

    /// Go's name of its kind.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self {
            Self::Missing | Self::Nil => "invalid",
            Self::List(..) => "slice",
            Self::Map(..) => "map",
            Self::Time(..) => "struct",
            Self::Object(_) => "ptr",
            other => other.type_name(),
        }
    }

    /// What lies below an `interface {}`: after a pipeline nil is nothing at all.
    pub(crate) fn settled(self) -> Self {
        match self {
            Self::Nil => Self::Missing,
            other => other,
        }
    }

    /// The value of settings: numbers of JSON are `float64`, of other languages what they are.
    pub(crate) fn of_json(json: &Json, floats: bool) -> Self {
        match json {
            Json::Null => Self::Nil,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(n) => match n.as_i64() {
                Some(whole) if !floats => Self::int(whole),
                _ => Self::Float(n.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Self::text(text.as_str()),
            Json::Array(items) => {
                Self::list(items.iter().map(|v| Self::of_json(v, floats)).collect())
            }
            Json::Object(map) => Self::map(
                map.iter()
                    .map(|(name, v)| (Arc::from(name.as_str()), Self::of_json(v, floats)))
                    .collect(),
            ),
        }
    }

    /// Go's `reflect.DeepEqual`.
    pub(crate) fn deep_equal(&self, other: &Self) -> Result<bool, String> {
        self.equal(other, 0, &mut Walk::new())
    }

    fn equal(&self, other: &Self, depth: usize, walk: &mut Walk) -> Result<bool, String> {
        walk.step(depth)?;
        Ok(match (self, other) {
            (Self::Missing | Self::Nil, Self::Missing | Self::Nil) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a, x), Self::Int(b, y)) => a == b && x == y,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Text(a, _), Self::Text(b, _)) => a == b,
            (Self::Time(a, x), Self::Time(b, y)) => a == b && x == y,
            (Self::Object(a), Self::Object(b)) => a.type_name == b.type_name && a.shown == b.shown,
            (Self::List(a, x), Self::List(b, y)) => {
                if x != y || a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(b.iter()) {
                    if !a.equal(b, depth + 1, walk)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Map(a, x), Self::Map(b, y)) => {
                if Rc::ptr_eq(a, b) {
                    return Ok(true);
                }
                let (a, b) = (a.borrow(), b.borrow());
                if x != y || a.len() != b.len() {
                    return Ok(false);
                }
                for ((name, a), (other, b)) in a.iter().zip(b.iter()) {
                    if name != other || !a.equal(b, depth + 1, walk)? {
                        return Ok(false);
                    }
                }
                true
            }
            _ => false,
        })
    }

    /// A copy that shares no dictionary with this one.
    pub(crate) fn deep_copy(&self) -> Result<Self, String> {
        self.copy(0, &mut Walk::new())
    }

    fn copy(&self, depth: usize, walk: &mut Walk) -> Result<Self, String> {
        walk.step(depth)?;
        Ok(match self {
            Self::List(items, elem) => {
                let items = items.iter().map(|item| item.copy(depth + 1, walk));
                Self::typed(items.collect::<Result<_, _>>()?, *elem)
            }
            Self::Map(members, elem) => {
                let mut copy = BTreeMap::new();
                for (name, value) in members.borrow().iter() {
                    copy.insert(Arc::clone(name), value.copy(depth + 1, walk)?);
                }
                Self::mapping(copy, *elem)
            }
            other => other.clone(),
        })
    }
}

/// Puts the members of a dictionary into another: those that are there and not empty stay unless they
/// are to be overwritten; dictionaries are merged in depth (mergo's rules).
pub(crate) fn merge(into: &Dict, from: &Dict, overwrite: bool) -> Result<(), String> {
    merge_at(into, from, overwrite, 0, &mut Walk::new())
}

fn merge_at(
    into: &Dict,
    from: &Dict,
    overwrite: bool,
    depth: usize,
    walk: &mut Walk,
) -> Result<(), String> {
    walk.step(depth)?;
    if Rc::ptr_eq(into, from) {
        return Ok(());
    }
    let members: Vec<(Arc<str>, Value)> = from
        .borrow()
        .iter()
        .map(|(name, value)| (Arc::clone(name), value.clone()))
        .collect();
    for (name, value) in members {
        walk.step(depth)?;
        let there = into.borrow().get(&name).cloned();
        let kept = there.as_ref().is_some_and(Value::truth);
        match (&there, &value) {
            (Some(Value::Map(there, _)), Value::Map(value, _)) if kept => {
                merge_at(there, value, overwrite, depth + 1, walk)?;
            }
            (_, Value::Map(..)) if kept => {}
            (_, Value::Nil | Value::Missing) if !overwrite => {}
            _ if overwrite || !kept => {
                into.borrow_mut().insert(name, value);
            }
            _ => {}
        }
    }
    Ok(())
}
