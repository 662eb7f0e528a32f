//! The data of an answer while a script looks at it: `luaTable` and `luaList` are live references into one
//! arena, where containers are opened only when the script reaches into them. What it never touched goes
//! back as it came, number by number.
//!
//! Differs from KrakenD: a list that grows or shrinks does so for everybody who holds it (there a stale
//! copy stays in the parent); data that contains itself is an error and no crash; what a script adds counts
//! against its memory.

use super::number;
use crate::body::{Array, Object, Value};
use std::collections::BTreeMap;

/// What an item costs besides its text.
const ITEM: usize = 64;

/// Nesting down to which a script opens or builds data: closing it costs call stack for each level.
const MAX_DEPTH: usize = 256;

/// One member or element.
#[derive(Debug)]
pub(super) enum Item {
    /// As it came: a leaf, or a container that nobody opened.
    Plain(Value),
    /// An opened container.
    Node(usize),
}

/// An opened container.
#[derive(Debug)]
pub(super) enum Node {
    /// A `luaTable`.
    Table(BTreeMap<Box<str>, Item>),
    /// A `luaList`.
    List(Vec<Item>),
}

/// What a script reads from a container.
#[derive(Debug, PartialEq)]
pub(super) enum Got {
    /// Nothing there.
    Missing,
    /// JSON's `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number, as close as a float comes.
    Number(f64),
    /// Text, maybe not UTF-8.
    Text(Vec<u8>),
    /// An object.
    Table(usize),
    /// A list.
    List(usize),
}

/// Why data cannot be what the script wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DataError {
    /// Over the script's memory.
    #[error("not enough memory")]
    Memory,
    /// It contains itself.
    #[error("data contains itself")]
    Cycle,
    /// Deeper than [`MAX_DEPTH`].
    #[error("data is nested too deeply")]
    Depth,
    /// NaN or infinity.
    #[error("unsupported value: not a finite number")]
    Number,
}

/// Every opened container of one run.
#[derive(Debug, Default)]
pub(super) struct Arena {
    nodes: Vec<Node>,
    /// Bytes that the script added.
    used: usize,
    limit: usize,
    /// A container may stand at more than one place.
    shared: bool,
}

fn cost(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    }
}

impl Arena {
    /// An arena whose additions stay within `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Bytes that a script may make outside of its interpreter.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Counts bytes that a script made outside of its interpreter.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), DataError> {
        let used = self.used.saturating_add(bytes);
        if used > self.limit {
            return Err(DataError::Memory);
        }
        self.used = used;
        Ok(())
    }

    fn refund(&mut self, item: Option<Item>) {
        if let Some(Item::Plain(value)) = item {
            self.used = self.used.saturating_sub(cost(&value) + ITEM);
        }
    }

    /// An object as an opened table.
    pub(super) fn open(&mut self, object: Object) -> usize {
        let members = object.into_members().into_iter();
        let table = members.map(|(name, value)| (name, Item::Plain(value)));
        self.add(Node::Table(table.collect()))
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// A new empty table.
    pub(super) fn new_table(&mut self) -> Result<usize, DataError> {
        self.charge(ITEM)?;
        Ok(self.add(Node::Table(BTreeMap::new())))
    }

    /// A new empty list.
    pub(super) fn new_list(&mut self) -> Result<usize, DataError> {
        self.charge(ITEM)?;
        Ok(self.add(Node::List(Vec::new())))
    }

    /// A list of texts.
    pub(super) fn list_of(
        &mut self,
        texts: impl Iterator<Item = Vec<u8>>,
    ) -> Result<usize, DataError> {
        let list = self.new_list()?;
        for (at, text) in texts.enumerate() {
            self.list_set(list, at, Item::Plain(text_value(text)))?;
        }
        Ok(list)
    }

    /// The texts of a list; what is no text is passed over.
    pub(super) fn texts(&self, list: usize) -> Vec<Vec<u8>> {
        let Some(Node::List(items)) = self.nodes.get(list) else {
            return Vec::new();
        };
        let texts = items.iter().filter_map(|item| match item {
            Item::Plain(Value::String(text)) => Some(text.as_bytes().to_vec()),
            Item::Plain(Value::Bytes(bytes)) => Some(bytes.to_vec()),
            _ => None,
        });
        texts.collect()
    }

    /// How many members or elements.
    pub(super) fn len(&self, node: usize) -> usize {
        match self.nodes.get(node) {
            Some(Node::Table(table)) => table.len(),
            Some(Node::List(list)) => list.len(),
            None => 0,
        }
    }

    /// The names of a table, sorted.
    pub(super) fn keys(&self, table: usize) -> Vec<Box<str>> {
        match self.nodes.get(table) {
            Some(Node::Table(table)) => table.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a table has a member.
    pub(super) fn has(&self, table: usize, key: &str) -> bool {
        matches!(self.nodes.get(table), Some(Node::Table(table)) if table.contains_key(key))
    }

    /// A member of a table; containers are opened.
    pub(super) fn get(&mut self, table: usize, key: &str) -> Got {
        let taken = match self.nodes.get_mut(table) {
            Some(Node::Table(table)) => table.get_mut(key).map(take),
            _ => None,
        };
        let Some(item) = taken else {
            return Got::Missing;
        };
        let (item, got) = self.look(item);
        if let Some(Node::Table(table)) = self.nodes.get_mut(table)
            && let Some(place) = table.get_mut(key)
        {
            *place = item;
        }
        got
    }

    /// An element of a list.
    pub(super) fn list_get(&mut self, list: usize, at: usize) -> Got {
        let taken = match self.nodes.get_mut(list) {
            Some(Node::List(list)) => list.get_mut(at).map(take),
            _ => None,
        };
        let Some(item) = taken else {
            return Got::Missing;
        };
        let (item, got) = self.look(item);
        if let Some(Node::List(list)) = self.nodes.get_mut(list)
            && let Some(place) = list.get_mut(at)
        {
            *place = item;
        }
        got
    }

    /// What an item is to a script, and the item to put back.
    fn look(&mut self, item: Item) -> (Item, Got) {
        let value = match item {
            Item::Node(node) => {
                let got = match self.nodes.get(node) {
                    Some(Node::List(_)) => Got::List(node),
                    _ => Got::Table(node),
                };
                return (Item::Node(node), got);
            }
            Item::Plain(value) => value,
        };
        let got = match &value {
            Value::Null => Got::Null,
            Value::Bool(b) => Got::Bool(*b),
            Value::Number(digits) => Got::Number(digits.parse().unwrap_or(f64::NAN)),
            Value::String(text) => Got::Text(text.as_bytes().to_vec()),
            Value::Bytes(bytes) => Got::Text(bytes.to_vec()),
            Value::Record(record) => {
                // The gateway's own record stays what it is; the script sees a copy.
                let names = [
                    "http_status_code",
                    "http_body",
                    "http_body_encoding",
                    "name",
                ];
                let members = names
                    .iter()
                    .filter_map(|name| Some((Box::from(*name), record.get(name)?.clone())));
                let copy = self.open(members.collect());
                return (Item::Plain(value), Got::Table(copy));
            }
            Value::Array(_) | Value::Object(_) => {
                let node = self.unfold(value);
                let got = match self.nodes.get(node) {
                    Some(Node::List(_)) => Got::List(node),
                    _ => Got::Table(node),
                };
                return (Item::Node(node), got);
            }
        };
        (Item::Plain(value), got)
    }

    fn unfold(&mut self, value: Value) -> usize {
        match value {
            Value::Array(array) => {
                let items = array.into_vec().into_iter().map(Item::Plain);
                self.add(Node::List(items.collect()))
            }
            value => self.open(value.into_object().unwrap_or_default()),
        }
    }

    /// Sets a member.
    pub(super) fn set(&mut self, table: usize, key: &str, item: Item) -> Result<(), DataError> {
        let name = if self.has(table, key) { 0 } else { key.len() };
        self.accept(&item, name)?;
        let old = match self.nodes.get_mut(table) {
            Some(Node::Table(table)) => table.insert(key.into(), item),
            _ => None,
        };
        self.refund(old);
        Ok(())
    }

    /// Takes a member away.
    pub(super) fn del(&mut self, table: usize, key: &str) {
        let old = match self.nodes.get_mut(table) {
            Some(Node::Table(table)) => table.remove(key),
            _ => None,
        };
        self.refund(old);
    }

    /// Sets an element; a list that is too short grows with `null`.
    pub(super) fn list_set(&mut self, list: usize, at: usize, item: Item) -> Result<(), DataError> {
        let gap = at.saturating_sub(self.len(list));
        self.charge(gap.saturating_mul(ITEM))?;
        self.accept(&item, 0)?;
        let Some(Node::List(list)) = self.nodes.get_mut(list) else {
            return Ok(());
        };
        if at >= list.len() {
            list.resize_with(at, || Item::Plain(Value::Null));
            list.push(item);
            return Ok(());
        }
        let old = list.get_mut(at).map(|old| std::mem::replace(old, item));
        self.refund(old);
        Ok(())
    }

    /// Takes an element away; those behind it move up.
    pub(super) fn list_del(&mut self, list: usize, at: usize) {
        let old = match self.nodes.get_mut(list) {
            Some(Node::List(list)) if at < list.len() => Some(list.remove(at)),
            _ => None,
        };
        self.refund(old);
    }

    fn accept(&mut self, item: &Item, name: usize) -> Result<(), DataError> {
        if matches!(item, Item::Node(_)) {
            self.shared = true;
        }
        let text = match item {
            Item::Plain(value) => cost(value),
            Item::Node(_) => 0,
        };
        self.charge(ITEM + name + text)
    }

    /// The whole tree under a table as an object again. Costs what was opened; where a script put
    /// containers into containers, all of it, within the script's memory.
    pub(super) fn close(&mut self, root: usize) -> Result<Object, DataError> {
        let value = if self.shared {
            self.copy(root, 0, &mut Vec::new())?
        } else {
            self.fold(root, 0)?
        };
        Ok(value.into_object().unwrap_or_default())
    }

    /// Moves a tree out: no node stands at two places.
    fn fold(&mut self, node: usize, depth: usize) -> Result<Value, DataError> {
        if depth > MAX_DEPTH {
            return Err(DataError::Depth);
        }
        let Some(taken) = self.nodes.get_mut(node) else {
            return Ok(Value::Null);
        };
        let taken = std::mem::replace(taken, Node::List(Vec::new()));
        let mut fold = |item: Item| match item {
            Item::Plain(value) => Ok(value),
            Item::Node(node) => self.fold(node, depth + 1),
        };
        Ok(match taken {
            Node::List(items) => {
                let values: Result<Array, DataError> = items.into_iter().map(fold).collect();
                Value::Array(values?)
            }
            Node::Table(table) => {
                let mut members = Vec::with_capacity(table.len());
                for (name, item) in table {
                    members.push((name, fold(item)?));
                }
                Value::Object(Object::from_members(members))
            }
        })
    }

    /// Copies a tree in which nodes may stand at several places, even inside themselves.
    fn copy(
        &mut self,
        node: usize,
        depth: usize,
        above: &mut Vec<usize>,
    ) -> Result<Value, DataError> {
        if above.contains(&node) {
            return Err(DataError::Cycle);
        }
        if depth > MAX_DEPTH {
            return Err(DataError::Depth);
        }
        above.push(node);
        let names = self.keys(node);
        let is_list = matches!(self.nodes.get(node), Some(Node::List(_)));
        let value = if is_list {
            let mut values = Vec::new();
            for at in 0..self.len(node) {
                self.open_at(node, None, at);
                values.push(self.copy_item(node, None, at, depth, above)?);
            }
            Value::Array(values.into())
        } else {
            let mut members = Vec::with_capacity(names.len());
            for name in names {
                self.open_at(node, Some(&name), 0);
                let value = self.copy_item(node, Some(&name), 0, depth, above)?;
                members.push((name, value));
            }
            Value::Object(Object::from_members(members))
        };
        above.pop();
        Ok(value)
    }

    /// Opens a container, so that its copies are counted piece by piece. Records are leaves.
    fn open_at(&mut self, node: usize, key: Option<&str>, at: usize) {
        let closed = matches!(
            self.item(node, key, at),
            Some(Item::Plain(Value::Array(_) | Value::Object(_)))
        );
        if closed {
            match key {
                Some(key) => self.get(node, key),
                None => self.list_get(node, at),
            };
        }
    }

    fn item(&self, node: usize, key: Option<&str>, at: usize) -> Option<&Item> {
        match (self.nodes.get(node)?, key) {
            (Node::Table(table), Some(key)) => table.get(key),
            (Node::List(list), None) => list.get(at),
            _ => None,
        }
    }

    fn copy_item(
        &mut self,
        node: usize,
        key: Option<&str>,
        at: usize,
        depth: usize,
        above: &mut Vec<usize>,
    ) -> Result<Value, DataError> {
        let (value, child) = match self.item(node, key, at) {
            Some(Item::Plain(value)) => (Some(value.clone()), 0),
            Some(Item::Node(child)) => (None, *child),
            None => (Some(Value::Null), 0),
        };
        let Some(value) = value else {
            self.charge(ITEM)?;
            return self.copy(child, depth + 1, above);
        };
        self.charge(ITEM + cost(&value))?;
        Ok(value)
    }
}

fn take(place: &mut Item) -> Item {
    std::mem::replace(place, Item::Plain(Value::Null))
}

/// Text of a script as a value.
pub(super) fn text_value(text: Vec<u8>) -> Value {
    match String::from_utf8(text) {
        Ok(text) => Value::String(text.into()),
        Err(error) => Value::Bytes(error.into_bytes().into()),
    }
}

/// A number of a script as a value.
pub(super) fn number_value(x: f64) -> Result<Value, DataError> {
    let text = number::json(x).ok_or(DataError::Number)?;
    Ok(Value::Number(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::json;

    fn arena(text: &str) -> (Arena, usize) {
        let mut arena = Arena::new(1 << 20);
        let object = json::decode(text.as_bytes()).unwrap();
        let root = arena.open(object.into_object().unwrap());
        (arena, root)
    }

    fn closed(arena: &mut Arena, root: usize) -> String {
        let object = arena.close(root).unwrap();
        String::from_utf8(json::to_vec(&Value::Object(object))).unwrap()
    }

    #[test]
    fn what_is_not_touched_keeps_its_digits() {
        let text = r#"{"a":{"m":[1e2],"n":1.50},"b":12345678901234567890}"#;
        let (mut arena, root) = arena(text);
        assert!(matches!(arena.get(root, "a"), Got::Table(_)));
        assert!(matches!(arena.get(root, "b"), Got::Number(_)));
        assert_eq!(closed(&mut arena, root), text);
    }

    #[test]
    fn references_are_live() {
        let (mut arena, root) = arena(r#"{"a":{"l":[1,2]}}"#);
        let Got::Table(a) = arena.get(root, "a") else {
            panic!()
        };
        let Got::List(list) = arena.get(a, "l") else {
            panic!()
        };
        arena
            .list_set(list, 4, Item::Plain(Value::Bool(true)))
            .unwrap();
        arena.list_del(list, 0);
        arena.set(a, "k", Item::Plain(Value::string("v"))).unwrap();
        assert_eq!(arena.get(root, "a"), Got::Table(a));
        assert_eq!(
            closed(&mut arena, root),
            r#"{"a":{"k":"v","l":[2,null,null,true]}}"#
        );
    }

    #[test]
    fn a_container_at_two_places_is_written_twice() {
        let (mut arena, root) = arena(r#"{"a":{"x":[1,{"y":2}]}}"#);
        let Got::Table(a) = arena.get(root, "a") else {
            panic!()
        };
        arena.set(root, "b", Item::Node(a)).unwrap();
        assert_eq!(
            closed(&mut arena, root),
            r#"{"a":{"x":[1,{"y":2}]},"b":{"x":[1,{"y":2}]}}"#
        );
    }

    #[test]
    fn data_that_contains_itself_is_an_error() {
        let (mut arena, root) = arena(r#"{"a":{}}"#);
        arena.set(root, "self", Item::Node(root)).unwrap();
        assert_eq!(arena.close(root).err(), Some(DataError::Cycle));
    }

    #[test]
    fn copies_of_copies_run_out_of_memory_and_not_the_machine() {
        let (mut arena, root) = arena("{}");
        let mut below = root;
        for _ in 0..64 {
            let table = arena.new_table().unwrap();
            arena.set(table, "l", Item::Node(below)).unwrap();
            arena.set(table, "r", Item::Node(below)).unwrap();
            below = table;
        }
        assert_eq!(arena.close(below).err(), Some(DataError::Memory));
    }

    #[test]
    fn a_list_does_not_grow_beyond_the_memory() {
        let (mut arena, _) = arena("{}");
        let list = arena.new_list().unwrap();
        let far = arena.list_set(list, usize::MAX, Item::Plain(Value::Null));
        assert_eq!(far, Err(DataError::Memory));
        assert_eq!(arena.len(list), 0);
    }

    #[test]
    fn overwriting_costs_nothing() {
        let (mut arena, root) = arena("{}");
        for _ in 0..100_000 {
            let text = Value::string(&"x".repeat(1000));
            arena.set(root, "", Item::Plain(text)).unwrap();
        }
    }

    #[test]
    fn deep_answers_are_opened_down_to_a_bound() {
        let text = format!("{{\"a\":{}1{}}}", "[".repeat(3000), "]".repeat(3000));
        let (mut arena, root) = arena(&text);
        let Got::List(mut list) = arena.get(root, "a") else {
            panic!()
        };
        for _ in 0..250 {
            let Got::List(next) = arena.list_get(list, 0) else {
                panic!()
            };
            list = next;
        }
        let object = arena.close(root).unwrap();
        assert_eq!(json::to_vec(&Value::Object(object)).len(), text.len());
    }
}
