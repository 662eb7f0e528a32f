//! Building and walking values without recursion. Everything that goes over a whole tree (decoding,
//! copying, comparing, printing) uses these two pieces.

use super::value::{Member, Object, Record, Value};

/// What kind of container is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Array,
    Object,
    Record,
}

/// Assembles a value from a stream of events. Finished children wait on shared stacks, so that every
/// container is allocated once and at its exact size.
pub(super) struct Builder {
    values: Vec<Value>,
    keys: Vec<Box<str>>,
    open: Vec<(Kind, usize, usize)>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            values: Vec::with_capacity(16),
            keys: Vec::with_capacity(16),
            open: Vec::with_capacity(8),
        }
    }

    #[inline]
    pub(super) fn open(&mut self, kind: Kind) {
        self.open.push((kind, self.values.len(), self.keys.len()));
    }

    #[inline]
    pub(super) fn key(&mut self, key: impl Into<Box<str>>) {
        self.keys.push(key.into());
    }

    #[inline]
    pub(super) fn value(&mut self, value: Value) {
        self.values.push(value);
    }

    #[inline]
    pub(super) fn close(&mut self) {
        let Some((kind, values, keys)) = self.open.pop() else {
            return;
        };
        let value = match kind {
            Kind::Array => Value::Array(self.values.drain(values..).collect()),
            Kind::Object => Value::Object(Object::from_members(self.members(values, keys))),
            Kind::Record => Value::Record(Record::from(self.members(values, keys))),
        };
        self.values.push(value);
    }

    #[inline]
    fn members(&mut self, values: usize, keys: usize) -> Vec<Member> {
        self.keys
            .drain(keys..)
            .zip(self.values.drain(values..))
            .collect()
    }

    /// The value, when everything that was opened is closed.
    pub(super) fn finish(mut self) -> Value {
        self.values.pop().unwrap_or_default()
    }
}

/// The children of a container, one after the other.
pub(super) enum Children<'a> {
    Items(std::slice::Iter<'a, Value>),
    Members(std::slice::Iter<'a, Member>),
}

impl<'a> Children<'a> {
    /// Kind and children of a container; `None` for a leaf.
    #[inline]
    pub(super) fn of(value: &'a Value) -> Option<(Kind, Self)> {
        match value {
            Value::Array(array) => Some((Kind::Array, Self::Items(array.iter()))),
            Value::Object(object) => Some((Kind::Object, Self::Members(object.members().iter()))),
            Value::Record(record) => Some((Kind::Record, Self::Members(record.members().iter()))),
            _ => None,
        }
    }
}

impl<'a> Iterator for Children<'a> {
    type Item = (Option<&'a str>, &'a Value);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Items(items) => items.next().map(|value| (None, value)),
            Self::Members(members) => members
                .next()
                .map(|member| (Some(member.0.as_ref()), &member.1)),
        }
    }
}

/// A copy of a value of any depth.
pub(super) fn copy(value: &Value) -> Value {
    match Children::of(value) {
        Some((kind, children)) => copy_children(kind, children),
        None => value.copy_leaf().unwrap_or_default(),
    }
}

/// A container of copies of these children.
pub(super) fn copy_children(kind: Kind, children: Children<'_>) -> Value {
    let mut builder = Builder::new();
    let mut walks = vec![children];
    builder.open(kind);
    while let Some(walk) = walks.last_mut() {
        let Some((key, value)) = walk.next() else {
            walks.pop();
            builder.close();
            continue;
        };
        if let Some(key) = key {
            builder.key(key);
        }
        match Children::of(value) {
            Some((kind, children)) => {
                builder.open(kind);
                walks.push(children);
            }
            None => builder.value(value.copy_leaf().unwrap_or_default()),
        }
    }
    builder.finish()
}

/// Whether two values are the same; numbers compare as text.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    let mut pending = vec![(a, b)];
    while let Some(pair) = pending.pop() {
        let same = match pair {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Number(a), Value::Number(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Array(a), Value::Array(b)) => {
                pending.extend(a.iter().zip(b.iter()));
                a.len() == b.len()
            }
            (Value::Object(a), Value::Object(b)) => {
                same_members(a.members(), b.members(), &mut pending)
            }
            (Value::Record(a), Value::Record(b)) => {
                same_members(a.members(), b.members(), &mut pending)
            }
            _ => false,
        };
        if !same {
            return false;
        }
    }
    true
}

/// Whether two lists of members are the same.
pub(super) fn equal_members(a: &[Member], b: &[Member]) -> bool {
    let mut pending = Vec::new();
    same_members(a, b, &mut pending) && pending.into_iter().all(|(a, b)| equal(a, b))
}

fn same_members<'a>(
    a: &'a [Member],
    b: &'a [Member],
    pending: &mut Vec<(&'a Value, &'a Value)>,
) -> bool {
    pending.extend(a.iter().zip(b).map(|(a, b)| (&a.1, &b.1)));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0)
}
