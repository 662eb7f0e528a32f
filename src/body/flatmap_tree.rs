//! The tree that `flatmap_filter` works on: edges with a label lead from a list or an object to its
//! children, and an element of a list keeps the label it came with whatever happens to its neighbours.
//!
//! KrakenD takes the whole answer apart. Here a node is opened into edges when an operation goes through
//! it; everything else stays the [`Value`] it was, is moved as a whole and never walked.

use std::collections::HashMap;

use super::build::{Builder, Kind};
use super::value::Value;

/// The name of an edge. Text that reads as an index is an index, so that `0` is the same label in a
/// path, in a list and in an object.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Label {
    Index(usize),
    Text(Box<str>),
}

impl Label {
    pub(super) fn of(text: &str) -> Self {
        let digits = match text.as_bytes() {
            [b'0'] => true,
            [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        match text.parse() {
            Ok(index) if digits => Self::Index(index),
            _ => Self::Text(text.into()),
        }
    }

    fn owned(text: Box<str>) -> Self {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return Self::of(&text);
        }
        Self::Text(text)
    }

    fn into_text(self) -> Box<str> {
        match self {
            Self::Index(index) => index.to_string().into(),
            Self::Text(text) => text,
        }
    }
}

/// One step of a path.
#[derive(Debug)]
pub(super) struct Segment {
    text: Box<str>,
    label: Label,
    any: bool,
}

impl Segment {
    /// The steps of a path as written; an empty path is one step with an empty name.
    pub(super) fn split(path: &str) -> Vec<Self> {
        path.split('.')
            .map(|text| Self {
                text: text.into(),
                label: Label::of(text),
                any: text == "*",
            })
            .collect()
    }

    /// Whether this is `*`.
    pub(super) fn is_any(&self) -> bool {
        self.any
    }

    pub(super) fn label(&self) -> &Label {
        &self.label
    }

    /// Whether both may lead to the same child.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.any || other.any || self.label == other.label
    }
}

/// A place in [`Tree::nodes`].
pub(super) type Id = usize;

struct Edge {
    label: Label,
    to: Id,
}

/// A node. Without edges it is its `value`, which is what was there before it got any edges; nothing
/// resets that, so what loses its last edge is `null` unless it was a leaf once.
#[derive(Default)]
struct Node {
    value: Value,
    edges: Vec<Edge>,
    open: bool,
    collection: bool,
    /// The edge at every position of a list has that position as its label.
    plain: bool,
}

/// A node found by a path, with the labels that were asked for on the way.
pub(super) struct Found {
    pub(super) node: Id,
    pub(super) labels: Vec<Label>,
}

/// The tree of one answer.
pub(super) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    pub(super) const ROOT: Id = 0;

    pub(super) fn new(value: Value) -> Self {
        let root = Node {
            value,
            ..Node::default()
        };
        Self { nodes: vec![root] }
    }

    fn add(&mut self, value: Value) -> Id {
        self.nodes.push(Node {
            value,
            ..Node::default()
        });
        self.nodes.len() - 1
    }

    /// The edges of a node, which is opened for it.
    fn edges(&mut self, id: Id) -> &[Edge] {
        self.open(id);
        self.nodes.get(id).map_or(&[], |node| &node.edges)
    }

    fn open(&mut self, id: Id) {
        let Some(node) = self.nodes.get_mut(id).filter(|node| !node.open) else {
            return;
        };
        node.open = true;
        node.collection = is_list(&node.value);
        node.plain = node.collection;
        let edges: Vec<Edge> = match std::mem::take(&mut node.value) {
            Value::Array(items) if !items.is_empty() && !opaque(&items) => items
                .into_vec()
                .into_iter()
                .enumerate()
                .map(|(index, value)| Edge {
                    label: Label::Index(index),
                    to: self.add(value),
                })
                .collect(),
            Value::Object(object) if !object.is_empty() => object
                .into_members()
                .into_iter()
                .map(|(name, value)| Edge {
                    label: Label::owned(name),
                    to: self.add(value),
                })
                .collect(),
            leaf => {
                if let Some(node) = self.nodes.get_mut(id) {
                    node.value = leaf;
                }
                return;
            }
        };
        if let Some(node) = self.nodes.get_mut(id) {
            node.edges = edges;
        }
    }

    /// The first child with this label.
    fn child(&mut self, id: Id, label: &Label) -> Option<Id> {
        let edges = self.edges(id);
        edges
            .iter()
            .find(|edge| edge.label == *label)
            .map(|edge| edge.to)
    }

    /// Every node that a path leads to, in the order of the edges. Of the steps where `keep` has a `*`
    /// the labels that were matched are told.
    pub(super) fn find(&mut self, path: &[Segment], keep: &[Segment]) -> Vec<Found> {
        let mut found = vec![Found {
            node: Self::ROOT,
            labels: Vec::new(),
        }];
        for (depth, step) in path.iter().enumerate() {
            let keep = keep.get(depth).is_some_and(Segment::is_any);
            let mut next = Vec::new();
            for Found { node, mut labels } in found {
                if step.any {
                    next.extend(self.edges(node).iter().map(|edge| {
                        let mut labels = labels.clone();
                        labels.extend(keep.then(|| edge.label.clone()));
                        Found {
                            node: edge.to,
                            labels,
                        }
                    }));
                } else if let Some(node) = self.child(node, &step.label) {
                    labels.extend(keep.then(|| step.label.clone()));
                    next.push(Found { node, labels });
                }
            }
            found = next;
        }
        found
    }

    /// Gives the first edge with a label another one. Where it meets an equal label in an object it comes
    /// last, as what is attached does, so that it wins.
    pub(super) fn relabel(&mut self, id: Id, from: &Segment, to: &Segment) {
        if from.label == to.label {
            return;
        }
        if let Some(Value::Object(object)) = self.closed(id)
            && object.get(&to.text).is_none()
        {
            if let Some(value) = object.remove(&from.text) {
                object.insert(&to.text, value);
            }
            return;
        }
        self.open(id);
        let Some(node) = self.nodes.get_mut(id) else {
            return;
        };
        let Some(at) = node.edges.iter().position(|edge| edge.label == from.label) else {
            return;
        };
        node.plain = false;
        if let Some(edge) = node.edges.get_mut(at) {
            edge.label = to.label.clone();
        }
        if !node.collection {
            let edge = node.edges.remove(at);
            node.edges.push(edge);
        }
    }

    fn closed(&mut self, id: Id) -> Option<&mut Value> {
        self.nodes
            .get_mut(id)
            .filter(|node| !node.open)
            .map(|node| &mut node.value)
    }

    /// Takes the first edge with a label out; gives the node it led to.
    pub(super) fn detach(&mut self, id: Id, segment: &Segment) -> Option<Id> {
        if let Some(value) = self.closed(id)
            && let Value::Object(object) = value
        {
            let taken = object.remove(&segment.text)?;
            if object.is_empty() {
                *value = Value::Null;
            }
            return Some(self.add(taken));
        }
        self.open(id);
        let node = self.nodes.get_mut(id)?;
        let at = node
            .edges
            .iter()
            .position(|edge| edge.label == segment.label)?;
        node.plain = false;
        Some(node.edges.remove(at).to)
    }

    /// Hangs a node under another one, behind what is there.
    pub(super) fn attach(&mut self, parent: Id, label: &Label, child: Id) {
        self.open(parent);
        if let Some(node) = self.nodes.get_mut(parent) {
            node.plain = false;
            node.edges.push(Edge {
                label: label.clone(),
                to: child,
            });
        }
    }

    /// The node that labels lead to; what is missing is made.
    pub(super) fn reach(&mut self, from: Id, path: &[Segment]) -> Id {
        path.iter().fold(from, |at, step| {
            self.child(at, &step.label).unwrap_or_else(|| {
                let child = self.add(Value::Null);
                self.attach(at, &step.label, child);
                child
            })
        })
    }

    /// Deletes everything that a path leads to.
    pub(super) fn delete(&mut self, path: &[Segment]) {
        let Some((last, above)) = path.split_last() else {
            return;
        };
        for Found { node, .. } in self.find(above, &[]) {
            if !last.any {
                self.detach(node, last);
                continue;
            }
            self.open(node);
            if let Some(node) = self.nodes.get_mut(node) {
                node.plain = false;
                node.edges.clear();
            }
        }
    }

    /// Whether a path leads to a list, or to several values by a `*`, which make one.
    pub(super) fn leads_to_list(&mut self, path: &[Segment]) -> bool {
        let mut at = Self::ROOT;
        for step in path {
            if step.any {
                return !self.edges(at).is_empty();
            }
            match self.child(at, &step.label) {
                Some(child) => at = child,
                None => return false,
            }
        }
        self.nodes.get(at).is_some_and(|node| {
            if node.edges.is_empty() {
                is_list(&node.value)
            } else {
                node.collection
            }
        })
    }

    /// Puts elements behind those of a list. They are numbered on from `count`; a list whose numbers have
    /// gaps is numbered anew.
    pub(super) fn push_all(
        &mut self,
        list: Id,
        renumber: bool,
        count: usize,
        elements: Vec<Value>,
    ) {
        if let Some(Value::Array(items)) = self.closed(list) {
            items.extend(elements);
            return;
        }
        let children: Vec<Id> = elements.into_iter().map(|value| self.add(value)).collect();
        let Some(node) = self.nodes.get_mut(list) else {
            return;
        };
        let mut next = count;
        if renumber {
            for (index, edge) in node.edges.iter_mut().enumerate() {
                edge.label = Label::Index(index);
            }
            next = node.edges.len();
            node.plain = true;
        }
        node.edges
            .extend(children.into_iter().enumerate().map(|(index, to)| Edge {
                label: Label::Index(next + index),
                to,
            }));
    }

    /// How many elements an opened list has, and whether their numbers have gaps.
    pub(super) fn numbering(&self, list: Id) -> (usize, bool) {
        self.nodes.get(list).map_or((0, false), |node| {
            (node.edges.len(), node.open && !node.plain)
        })
    }

    /// Makes a node a list of its own.
    pub(super) fn replace(&mut self, id: Id, elements: Vec<Value>) {
        if let Some(node) = self.nodes.get_mut(id) {
            *node = Node {
                value: Value::Array(elements.into()),
                ..Node::default()
            };
        }
    }

    /// What a path leads to as one value: `*` makes a list, in which what is missing is `null`.
    pub(super) fn gather(&mut self, path: &[Segment], take: bool) -> Value {
        enum Task {
            Visit(Id, usize),
            Close,
        }
        let mut builder = Builder::new();
        let mut tasks = vec![Task::Visit(Self::ROOT, 0)];
        while let Some(task) = tasks.pop() {
            let Task::Visit(id, depth) = task else {
                builder.close();
                continue;
            };
            let Some(step) = path.get(depth) else {
                builder.value(self.value(id, take));
                continue;
            };
            if !step.any {
                match self.child(id, &step.label) {
                    Some(child) => tasks.push(Task::Visit(child, depth + 1)),
                    None => builder.value(Value::Null),
                }
            } else if self.edges(id).is_empty() {
                builder.value(Value::Null);
            } else {
                builder.open(Kind::Array);
                tasks.push(Task::Close);
                let children = self.edges(id).iter().rev();
                tasks.extend(children.map(|edge| Task::Visit(edge.to, depth + 1)));
            }
        }
        builder.finish()
    }

    /// A node as a value; `take` leaves `null` behind instead of copying.
    pub(super) fn value(&mut self, id: Id, take: bool) -> Value {
        enum Task {
            Visit(Option<Box<str>>, Id),
            Close,
        }
        let mut builder = Builder::new();
        let mut tasks = vec![Task::Visit(None, id)];
        while let Some(task) = tasks.pop() {
            let Task::Visit(key, id) = task else {
                builder.close();
                continue;
            };
            if let Some(key) = key {
                builder.key(key);
            }
            let Some(node) = self.nodes.get_mut(id) else {
                builder.value(Value::Null);
                continue;
            };
            if node.edges.is_empty() {
                builder.value(if take {
                    std::mem::take(&mut node.value)
                } else {
                    node.value.clone()
                });
                continue;
            }
            let named = !node.collection;
            builder.open(if named { Kind::Object } else { Kind::Array });
            tasks.push(Task::Close);
            if take {
                let edges = std::mem::take(&mut node.edges).into_iter().rev();
                tasks.extend(
                    edges.map(|edge| Task::Visit(named.then(|| edge.label.into_text()), edge.to)),
                );
            } else {
                tasks.extend(node.edges.iter().rev().map(|edge| {
                    Task::Visit(named.then(|| edge.label.clone().into_text()), edge.to)
                }));
            }
        }
        builder.finish()
    }
}

/// Whether this is a list that can be taken apart.
fn is_list(value: &Value) -> bool {
    value.as_array().is_some_and(|items| !opaque(items))
}

/// A list of records is one leaf, as KrakenD's typed slices are.
fn opaque(items: &[Value]) -> bool {
    matches!(items.first(), Some(Value::Record(_)))
}

/// Edges below this many are looked through one by one.
const FEW: usize = 16;

/// Look-ups from the root while nodes are only attached: every large node on the way is indexed once,
/// so that a hundred thousand elements each find their own place in linear time.
#[derive(Default)]
pub(super) struct Finder {
    indexes: HashMap<Id, HashMap<Label, Id>>,
}

impl Finder {
    /// The first child with this label.
    pub(super) fn child(&mut self, tree: &mut Tree, id: Id, label: &Label) -> Option<Id> {
        if let Some(index) = self.indexes.get(&id) {
            return index.get(label).copied();
        }
        tree.open(id);
        let node = tree.nodes.get(id)?;
        if node.edges.len() < FEW {
            return tree.child(id, label);
        }
        if let (true, Label::Index(index)) = (node.plain, label) {
            return node.edges.get(*index).map(|edge| edge.to);
        }
        let mut index = HashMap::with_capacity(node.edges.len());
        for edge in &node.edges {
            index.entry(edge.label.clone()).or_insert(edge.to);
        }
        let found = index.get(label).copied();
        self.indexes.insert(id, index);
        found
    }

    /// As [`Tree::attach`].
    pub(super) fn attach(&mut self, tree: &mut Tree, parent: Id, label: &Label, child: Id) {
        tree.attach(parent, label, child);
        if let Some(index) = self.indexes.get_mut(&parent) {
            index.entry(label.clone()).or_insert(child);
        }
    }
}
