//! The routes of one method as they are collected and as redirects need them. Fixed paths stand in one
//! table; only paths with parameters need the tree, whose edges are whole segments. Look-ups use
//! another form of it, [`Compact`].

use super::compact::Compact;
use crate::base::fx::Fx;
use crate::gateway::params::Params;
use http::Method;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

pub(super) type Table<V> = HashMap<Box<[u8]>, V, BuildHasherDefault<Fx>>;

/// What stands at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// An endpoint.
    Endpoint(u32),
    /// The automatic `OPTIONS`; index of its `Allow`.
    Options(u32),
}

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// Fixed text.
    Static(Vec<u8>),
    /// Fixed text and then a parameter up to the end of the segment.
    Param { prefix: Vec<u8>, name: String },
    /// Everything that is left; `None` is `/*`, whose tail is forwarded raw.
    Tail(Option<String>),
}

/// What takes all that is left of a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wildcard {
    pub(super) target: Target,
    /// Whether the tail is forwarded as it was sent.
    pub(super) raw: bool,
}

#[derive(Debug, Default)]
pub(super) struct Node {
    statics: Table<u32>,
    /// Lower-cased text → the children that it may mean; for redirects.
    folded: Table<Vec<u32>>,
    /// The text of the edge to this node, for redirects.
    text: Box<[u8]>,
    /// Longest prefix first, the plain parameter (empty prefix) last.
    params: Vec<(Box<[u8]>, u32)>,
    pub(super) wildcard: Option<Wildcard>,
    pub(super) target: Option<Target>,
}

impl Node {
    /// The text of the edge to this node: all of a segment, or what stands before its parameter.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The children with fixed text, in a stable order.
    pub(super) fn fixed(&self) -> impl Iterator<Item = u32> {
        let mut all: Vec<u32> = self.statics.values().copied().collect();
        all.sort_unstable();
        all.into_iter()
    }

    /// The children with a parameter, in the order in which they are tried.
    pub(super) fn with_param(&self) -> impl Iterator<Item = u32> {
        self.params.iter().map(|(_, child)| *child)
    }
}

/// The routes of one method.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) method: Method,
    /// The endpoint that takes what nobody wants.
    pub(super) catchall: Option<u32>,
    exact: Table<Target>,
    exact_folded: Table<Box<[u8]>>,
    longest_exact: usize,
    nodes: Vec<Node>,
    compact: Compact,
}

const ROOT: u32 = 0;

impl Tree {
    pub(super) fn new(method: Method) -> Self {
        Self {
            method,
            catchall: None,
            exact: Table::default(),
            exact_folded: Table::default(),
            longest_exact: 0,
            nodes: vec![Node::default()],
            compact: Compact::default(),
        }
    }

    /// Adds a route; gives back what already stands at the same place, unchanged.
    pub(super) fn insert(&mut self, segments: &[Segment], target: Target) -> Option<Target> {
        if let Some(path) = fixed_path(segments) {
            if let Some(taken) = self.exact.get(path.as_slice()) {
                return Some(*taken);
            }
            self.longest_exact = self.longest_exact.max(path.len());
            self.exact_folded
                .entry(fold(&path))
                .or_insert_with(|| path.clone().into());
            self.exact.insert(path.into(), target);
            return None;
        }
        let mut at = ROOT;
        for segment in segments {
            at = match segment {
                Segment::Static(text) => self.static_child(at, text),
                Segment::Param { prefix, .. } => self.param_child(at, prefix),
                Segment::Tail(name) => {
                    let node = self.nodes.get_mut(at as usize)?;
                    let taken = node.wildcard.map(|wildcard| wildcard.target);
                    if taken.is_none() {
                        node.wildcard = Some(Wildcard {
                            target,
                            raw: name.is_none(),
                        });
                    }
                    return taken;
                }
            };
        }
        let node = self.nodes.get_mut(at as usize)?;
        if node.target.is_none() {
            node.target = Some(target);
            return None;
        }
        node.target
    }

    fn add_node(&mut self, text: &[u8]) -> u32 {
        self.nodes.push(Node {
            text: text.into(),
            ..Node::default()
        });
        // Routes are bounded by the size of the document, far below 2^32.
        u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
    }

    fn static_child(&mut self, at: u32, text: &[u8]) -> u32 {
        let known = self
            .nodes
            .get(at as usize)
            .and_then(|node| node.statics.get(text));
        if let Some(&child) = known {
            return child;
        }
        let child = self.add_node(text);
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.statics.insert(text.into(), child);
            node.folded.entry(fold(text)).or_default().push(child);
        }
        child
    }

    fn param_child(&mut self, at: u32, prefix: &[u8]) -> u32 {
        let known = self.nodes.get(at as usize).map(|node| node.params.iter());
        if let Some((_, child)) = known.and_then(|mut all| all.find(|(p, _)| **p == *prefix)) {
            return *child;
        }
        let child = self.add_node(prefix);
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.params.push((prefix.into(), child));
            node.params
                .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        }
        child
    }

    /// Gets ready for look-ups once everything is inserted.
    pub(super) fn seal(&mut self) {
        self.compact = Compact::of(self);
    }

    /// The target of a decoded path; `params` gets its values on top of what it holds.
    pub(super) fn find(&self, path: &[u8], params: &mut Params) -> Option<Target> {
        self.compact.find(path, params)
    }

    /// The fixed paths and what stands at their ends, in a stable order.
    pub(super) fn exact(&self) -> impl Iterator<Item = (&[u8], Target)> {
        let mut all: Vec<_> = self
            .exact
            .iter()
            .map(|(path, target)| (&**path, *target))
            .collect();
        all.sort_unstable_by_key(|(path, _)| *path);
        all.into_iter()
    }

    /// Where all other paths begin.
    pub(super) fn root(&self) -> Option<&Node> {
        self.node(ROOT)
    }

    pub(super) fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(index as usize)
    }

    /// Whether a path ends at a parameter below which there is more, though nothing at `path/`. gin
    /// takes the slash away then, whether or not that leads anywhere.
    pub(super) fn stops_at_param(&self, path: &[u8]) -> bool {
        path.first() == Some(&b'/') && self.walk_to_param(ROOT, 1, path)
    }

    fn walk_to_param(&self, at: u32, start: usize, path: &[u8]) -> bool {
        let Some((node, rest)) = self.nodes.get(at as usize).zip(path.get(start..)) else {
            return false;
        };
        let length = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
        let segment = rest.get(..length).unwrap_or_default();
        let mut params = node
            .params
            .iter()
            .filter(|(prefix, _)| segment.starts_with(prefix));
        if length == rest.len() {
            return params.any(|(_, child)| {
                let child = self.nodes.get(*child as usize);
                child.is_some_and(|c| !c.statics.is_empty() || !c.params.is_empty())
            });
        }
        let next = start + length + 1;
        let fixed = node
            .statics
            .get(segment)
            .is_some_and(|c| self.walk_to_param(*c, next, path));
        fixed || params.any(|(_, child)| self.walk_to_param(*child, next, path))
    }

    /// The right spelling of a path whose fixed text may be in the wrong case.
    pub(super) fn find_any_case(&self, path: &[u8]) -> Option<Vec<u8>> {
        if path.len() <= 3 * self.longest_exact
            && let Some(right) = self.exact_folded.get(&fold(path))
        {
            return Some(right.to_vec());
        }
        let mut right = Vec::with_capacity(path.len());
        (path.first() == Some(&b'/') && self.walk_any_case(ROOT, 1, path, &mut right))
            .then_some(right)
    }

    fn walk_any_case(&self, at: u32, start: usize, path: &[u8], right: &mut Vec<u8>) -> bool {
        let Some((node, rest)) = self.nodes.get(at as usize).zip(path.get(start..)) else {
            return false;
        };
        let length = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
        let segment = rest.get(..length).unwrap_or_default();
        let last = length == rest.len();
        let mark = right.len();
        let fixed = (!node.folded.is_empty())
            .then(|| node.folded.get(&fold(segment)))
            .flatten();
        let fixed = fixed.into_iter().flatten().map(|child| (*child, None));
        let with_param = node.params.iter().filter_map(|(prefix, child)| {
            let (head, value) = segment.split_at_checked(prefix.len())?;
            let fits = head.eq_ignore_ascii_case(prefix) && !(last && value.is_empty());
            fits.then_some((*child, Some(value)))
        });
        for (index, value) in fixed.chain(with_param) {
            let Some(child) = self.nodes.get(index as usize) else {
                continue;
            };
            right.push(b'/');
            right.extend_from_slice(&child.text);
            right.extend_from_slice(value.unwrap_or_default());
            let found = if last {
                child.target.is_some()
            } else {
                self.walk_any_case(index, start + length + 1, path, right)
            };
            if found {
                return true;
            }
            right.truncate(mark);
        }
        if node.wildcard.is_some() {
            right.push(b'/');
            right.extend_from_slice(rest);
        }
        node.wildcard.is_some()
    }
}

/// The whole path, if no segment is a parameter.
fn fixed_path(segments: &[Segment]) -> Option<Vec<u8>> {
    let mut path = Vec::new();
    for segment in segments {
        let Segment::Static(text) = segment else {
            return None;
        };
        path.push(b'/');
        path.extend_from_slice(text);
    }
    Some(path)
}

/// Lower case, of Unicode text too.
fn fold(text: &[u8]) -> Box<[u8]> {
    match std::str::from_utf8(text) {
        Ok(text) if !text.is_ascii() => text.to_lowercase().into_bytes().into(),
        _ => text.to_ascii_lowercase().into(),
    }
}
