//! KrakenD's `flatmap_filter`: moving, appending and deleting anywhere in an answer, also inside lists,
//! which the filters of [`Shape`](super::Shape) never enter. Paths are split when the configuration is
//! compiled; what an operation does not touch is neither walked nor copied.
//!
//! Where KrakenD differs:
//! * The members of its objects are in random order, ours are sorted: `*` goes through them by name, and
//!   where a moved member meets another one of its new name the moved one wins.
//! * An operation with too few arguments, or a `move` with an argument that is no text, makes every
//!   request panic there. Here it does nothing and the configuration is warned about.
//! * Appending to a list that lost elements before overwrites some of the others there, and appending
//!   twice to one member named `*` mixes both.
//! * Deep promotions through several `*` may land in a neighbour there.

use super::Data;
use super::flatmap_tree::{Finder, Found, Segment, Tree};
use super::value::Value;

/// How many `append` operations may have a `*` in their destination. Each of them doubles what it
/// addresses, at worst.
const MAX_DOUBLING: usize = 4;

/// The compiled operations of one `flatmap_filter`.
#[derive(Debug, Default)]
pub struct Flatmap {
    operations: Vec<Operation>,
}

#[derive(Debug)]
enum Operation {
    Move(Move),
    Append(Vec<Segment>, Vec<Segment>),
    Delete(Vec<Segment>),
}

/// A move: the last step of `from`, in everything that the steps above lead to.
#[derive(Debug)]
struct Move {
    above: Vec<Segment>,
    last: Segment,
    to: Destination,
}

/// Where a moved node goes; each has its new label.
#[derive(Debug)]
enum Destination {
    /// Both paths have one length: it stays and is renamed.
    Same(Segment),
    /// The new path is shorter: from the root along these steps, as far as they exist.
    Up(Vec<Segment>, Segment),
    /// The new path is longer: from where it was along these steps, which are made.
    Down(Vec<Segment>, Segment),
}

impl Flatmap {
    /// Compiles the list of operations as it stands in the configuration, and tells what in it does
    /// nothing. `None` when no operation has a type in text: only then do `allow`, `deny` and `mapping`
    /// of the backend still count.
    pub fn compile(ops: &serde_json::Value) -> (Option<Self>, Vec<String>) {
        let mut compiler = Compiler::default();
        let Some(list) = ops.as_array() else {
            return (None, vec!["not a list of operations".to_owned()]);
        };
        for (at, op) in list.iter().enumerate() {
            compiler.at = at;
            compiler.operation(op);
        }
        let flatmap = Self {
            operations: compiler.operations,
        };
        ((compiler.counted > 0).then_some(flatmap), compiler.warnings)
    }

    /// How many operations do something.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether [`Flatmap::apply`] changes nothing.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The data after all operations, in their order. Absent data stays absent; an object that lost all
    /// its members by them is absent, too.
    pub fn apply(&self, data: Data) -> Data {
        let object = data?;
        if self.is_empty() || object.is_empty() {
            return Some(object);
        }
        let mut tree = Tree::new(Value::Object(object));
        for operation in &self.operations {
            match operation {
                Operation::Move(movement) => movement.run(&mut tree),
                Operation::Append(from, to) => append(&mut tree, from, to),
                Operation::Delete(path) => tree.delete(path),
            }
        }
        tree.value(Tree::ROOT, true).into_object()
    }
}

impl Move {
    fn new(mut from: Vec<Segment>, mut to: Vec<Segment>) -> Option<Self> {
        let (depth, length) = (from.len(), to.len());
        let (last, label) = (from.pop()?, to.pop()?);
        let to = match length.cmp(&depth) {
            std::cmp::Ordering::Equal => Destination::Same(label),
            std::cmp::Ordering::Less => Destination::Up(to, label),
            std::cmp::Ordering::Greater => {
                to.drain(..depth - 1);
                Destination::Down(to, label)
            }
        };
        Some(Self {
            above: from,
            last,
            to,
        })
    }

    fn run(&self, tree: &mut Tree) {
        match &self.to {
            Destination::Same(label) => {
                for Found { node, .. } in tree.find(&self.above, &[]) {
                    tree.relabel(node, &self.last, label);
                }
            }
            Destination::Up(walk, label) => self.promote(tree, walk, label),
            Destination::Down(walk, label) => {
                for (found, moved) in self.take_out(tree, &[]) {
                    let parent = tree.reach(found.node, walk);
                    tree.attach(parent, label.label(), moved);
                }
            }
        }
    }

    /// Everything is taken out before anything is put back.
    fn take_out(&self, tree: &mut Tree, keep: &[Segment]) -> Vec<(Found, usize)> {
        tree.find(&self.above, keep)
            .into_iter()
            .filter_map(|found| {
                let moved = tree.detach(found.node, &self.last)?;
                Some((found, moved))
            })
            .collect()
    }

    fn promote(&self, tree: &mut Tree, walk: &[Segment], label: &Segment) {
        let mut finder = Finder::default();
        for (found, moved) in self.take_out(tree, walk) {
            let mut matched = found.labels.iter();
            let mut parent = Tree::ROOT;
            for step in walk {
                let any = step.is_any().then(|| matched.next()).flatten();
                let label = any.unwrap_or_else(|| step.label());
                match finder.child(tree, parent, label) {
                    Some(child) => parent = child,
                    None => break,
                }
            }
            finder.attach(tree, parent, label.label(), moved);
        }
    }
}

/// Puts the elements of one list behind those of another and deletes the first.
fn append(tree: &mut Tree, from: &[Segment], to: &[Segment]) {
    if !tree.leads_to_list(from) || !tree.leads_to_list(to) {
        return;
    }
    let apart = from.iter().zip(to).any(|(a, b)| !a.meets(b));
    let Value::Array(elements) = tree.gather(from, apart) else {
        return;
    };
    let elements = elements.into_vec();
    if to.iter().any(Segment::is_any) {
        // What `*` matches is read as one list, but written to a member of that very name.
        let Value::Array(list) = tree.gather(to, false) else {
            return;
        };
        let mut list = list.into_vec();
        list.extend(elements);
        let place = tree.reach(Tree::ROOT, to);
        tree.replace(place, list);
        tree.delete(from);
    } else {
        let list = tree.reach(Tree::ROOT, to);
        let (count, gaps) = tree.numbering(list);
        if gaps {
            // Numbering anew must not lead the deletion to a neighbour.
            tree.delete(from);
            tree.push_all(list, gaps, count, elements);
        } else {
            tree.push_all(list, gaps, count, elements);
            tree.delete(from);
        }
    }
}

/// Compiles operations one by one.
#[derive(Default)]
struct Compiler {
    at: usize,
    counted: usize,
    doubling: usize,
    operations: Vec<Operation>,
    warnings: Vec<String>,
}

impl Compiler {
    fn warn(&mut self, what: impl std::fmt::Display) {
        self.warnings.push(format!("operation {}: {what}", self.at));
    }

    fn operation(&mut self, op: &serde_json::Value) {
        let Some(kind) = op.get("type").and_then(serde_json::Value::as_str) else {
            return self.warn("no type, ignored");
        };
        self.counted += 1;
        let args = op.get("args").and_then(serde_json::Value::as_array);
        let args = args.map_or(&[][..], Vec::as_slice);
        match kind {
            "move" => {
                if let Some((from, to)) = self.pair(kind, args) {
                    let movement = Move::new(from, to);
                    self.operations.extend(movement.map(Operation::Move));
                }
            }
            "append" => {
                if let Some((from, to)) = self.pair(kind, args) {
                    self.append(from, to);
                }
            }
            "del" => self.delete(args),
            _ => self.warn(format_args!("unknown type {kind:?}, ignored")),
        }
    }

    fn path(&mut self, arg: &serde_json::Value) -> Option<Vec<Segment>> {
        let Some(text) = arg.as_str() else {
            self.warn(format_args!("argument {arg} is not a string, ignored"));
            return None;
        };
        Some(Segment::split(text))
    }

    fn pair(
        &mut self,
        kind: &str,
        args: &[serde_json::Value],
    ) -> Option<(Vec<Segment>, Vec<Segment>)> {
        let [from, to, rest @ ..] = args else {
            self.warn(format_args!("{kind} needs two arguments, ignored"));
            return None;
        };
        if !rest.is_empty() {
            self.warn(format_args!(
                "{kind} takes two arguments, the rest is ignored"
            ));
        }
        let (from, to) = (self.path(from), self.path(to));
        Some((from?, to?))
    }

    fn append(&mut self, from: Vec<Segment>, to: Vec<Segment>) {
        if to.iter().any(Segment::is_any) {
            if self.doubling == MAX_DOUBLING {
                return self.warn("too many appends to a destination with *, ignored");
            }
            self.doubling += 1;
            self.warn("append writes to a member named *, not to what * matches");
        }
        self.operations.push(Operation::Append(from, to));
    }

    fn delete(&mut self, args: &[serde_json::Value]) {
        if args.is_empty() {
            self.warn("del needs an argument, ignored");
        }
        for arg in args {
            let path = self.path(arg);
            self.operations.extend(path.map(Operation::Delete));
        }
    }
}

#[cfg(test)]
#[path = "flatmap_tests.rs"]
mod tests;
