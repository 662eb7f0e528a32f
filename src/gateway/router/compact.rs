//! The routes of one method as look-ups want them: a node fills one cache line, its children lie side
//! by side and near those of their children, and only places with many children need the hash table.
//! So ten thousand routes cost what ten do, as long as the processor's cache holds the part in use.

use super::tree::{Node, Target, Tree, Wildcard};
use crate::gateway::params::Params;

/// Longest text that a node holds itself.
const INLINE: usize = 30;
/// Marks a text that lies outside its node.
const OUTSIDE: u8 = u8::MAX;
/// Up to this number children are compared one by one.
const FEW: u32 = 4;
/// The node whose children are whole paths without parameters.
const EXACT: u32 = 0;
/// The node at which all other paths begin.
const ROOT: u32 = 1;
const EMPTY: u32 = u32::MAX;

/// One place in the tree.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Spot {
    /// The children with fixed text, and behind them those with a parameter.
    first: u32,
    fixed: u32,
    with_param: u32,
    /// Length of the text of the edge to this node, or [`OUTSIDE`].
    length: u8,
    text: [u8; INLINE],
    wildcard: Option<Wildcard>,
    target: Option<Target>,
}

// What was measured holds only as long as this does.
const _: () = assert!(size_of::<Spot>() == 64);

/// The routes of one method, for look-ups only.
#[derive(Debug, Default)]
pub(super) struct Compact {
    spots: Vec<Spot>,
    /// Children of places with many: a part of the hash and the index of the child. The size is a
    /// power of two, at most half is in use.
    table: Vec<(u32, u32)>,
    /// Texts that are too long for a node: the node holds where and how long.
    texts: Vec<u8>,
    longest_exact: usize,
}

impl Compact {
    /// Lays out a finished tree.
    pub(super) fn of(tree: &Tree) -> Self {
        let mut compact = Self {
            longest_exact: tree.exact().map(|(path, _)| path.len()).max().unwrap_or(0),
            ..Self::default()
        };
        for _ in [EXACT, ROOT] {
            let spot = compact.spot(b"", None, None);
            compact.spots.push(spot);
        }
        let paths = tree
            .exact()
            .map(|(path, target)| (path, Some(target), None));
        let first = compact.children(EXACT, paths);
        debug_assert_eq!(first, ROOT + 1);
        if let Some(root) = tree.root() {
            compact.fill(ROOT, root, tree);
        }
        compact.hash_all();
        compact
    }

    fn spot(&mut self, text: &[u8], target: Option<Target>, wildcard: Option<Wildcard>) -> Spot {
        let mut inline = [0; INLINE];
        let length = match inline.get_mut(..text.len()) {
            Some(room) => {
                room.copy_from_slice(text);
                u8::try_from(text.len()).unwrap_or(OUTSIDE)
            }
            None => {
                let place = [narrow(self.texts.len()), narrow(text.len())];
                for (slot, byte) in inline
                    .iter_mut()
                    .zip(place.map(u32::to_le_bytes).as_flattened())
                {
                    *slot = *byte;
                }
                self.texts.extend_from_slice(text);
                OUTSIDE
            }
        };
        Spot {
            first: 0,
            fixed: 0,
            with_param: 0,
            length,
            text: inline,
            wildcard,
            target,
        }
    }

    /// Appends children with fixed text; gives the index of the first.
    fn children<'t>(
        &mut self,
        parent: u32,
        all: impl Iterator<Item = (&'t [u8], Option<Target>, Option<Wildcard>)>,
    ) -> u32 {
        let first = narrow(self.spots.len());
        for (text, target, wildcard) in all {
            let spot = self.spot(text, target, wildcard);
            self.spots.push(spot);
        }
        let fixed = narrow(self.spots.len()) - first;
        if let Some(parent) = self.spots.get_mut(parent as usize) {
            parent.first = first;
            parent.fixed = fixed;
        }
        first
    }

    /// Appends what is below a node; depth is bounded by the segments that a pattern may have.
    fn fill(&mut self, at: u32, node: &Node, tree: &Tree) {
        if let Some(spot) = self.spots.get_mut(at as usize) {
            spot.wildcard = node.wildcard;
            spot.target = node.target;
        }
        let fixed: Vec<&Node> = node.fixed().filter_map(|child| tree.node(child)).collect();
        let with_param: Vec<&Node> = node
            .with_param()
            .filter_map(|child| tree.node(child))
            .collect();
        let first = self.children(at, fixed.iter().map(|child| (child.text(), None, None)));
        for child in &with_param {
            let spot = self.spot(child.text(), None, None);
            self.spots.push(spot);
        }
        if let Some(spot) = self.spots.get_mut(at as usize) {
            spot.with_param = narrow(with_param.len());
        }
        for (child, node) in (first..).zip(fixed.into_iter().chain(with_param)) {
            self.fill(child, node, tree);
        }
    }

    /// Enters the children of places with many into the table.
    fn hash_all(&mut self) {
        let many = || self.spots.iter().filter(|spot| spot.fixed > FEW);
        let count: usize = many().map(|spot| spot.fixed as usize).sum();
        if count == 0 {
            return;
        }
        let mut table = vec![(0, EMPTY); (count * 2).next_power_of_two()];
        let mask = table.len() - 1;
        for spot in many() {
            for child in spot.first..spot.first + spot.fixed {
                let text = self
                    .spots
                    .get(child as usize)
                    .map_or(&b""[..], |spot| self.text(spot));
                let hash = hash(spot.first, text);
                let mut at = start(hash, mask);
                while table.get(at).is_some_and(|slot| slot.1 != EMPTY) {
                    at = (at + 1) & mask;
                }
                if let Some(slot) = table.get_mut(at) {
                    *slot = (tag(hash), child);
                }
            }
        }
        self.table = table;
    }

    fn text<'s>(&'s self, spot: &'s Spot) -> &'s [u8] {
        if spot.length != OUTSIDE {
            return spot
                .text
                .get(..usize::from(spot.length))
                .unwrap_or_default();
        }
        let (words, _) = spot.text.as_chunks::<4>();
        let [offset, length, ..] = words else {
            return b"";
        };
        let (offset, length) = (
            u32::from_le_bytes(*offset) as usize,
            u32::from_le_bytes(*length),
        );
        self.texts
            .get(offset..offset + length as usize)
            .unwrap_or_default()
    }

    /// The child with this fixed text.
    #[inline]
    fn child(&self, spot: &Spot, text: &[u8]) -> Option<&Spot> {
        let (first, fixed) = (spot.first as usize, spot.fixed as usize);
        if spot.fixed <= FEW {
            let children = self.spots.get(first..first + fixed)?;
            return children.iter().find(|child| self.text(child) == text);
        }
        let mask = self.table.len().wrapping_sub(1);
        let hash = hash(spot.first, text);
        let mut at = start(hash, mask);
        loop {
            let &(known, index) = self.table.get(at)?;
            if index == EMPTY {
                return None;
            }
            if known == tag(hash)
                && (first..first + fixed).contains(&(index as usize))
                && let Some(child) = self.spots.get(index as usize)
                && self.text(child) == text
            {
                return Some(child);
            }
            at = (at + 1) & mask;
        }
    }

    /// The target of a decoded path; `params` gets its values on top of what it holds.
    pub(super) fn find(&self, path: &[u8], params: &mut Params) -> Option<Target> {
        if path.len() <= self.longest_exact
            && let Some(found) = self.child(self.spots.get(EXACT as usize)?, path)
        {
            return found.target;
        }
        if path.first() != Some(&b'/') {
            return None;
        }
        self.walk(self.spots.get(ROOT as usize)?, 1, path, params)
    }

    /// Matches what follows `start`, the beginning of a segment, below a node. A node has one parent,
    /// so it stands at one depth and is visited once at most, whatever the path.
    fn walk(&self, spot: &Spot, start: usize, path: &[u8], params: &mut Params) -> Option<Target> {
        let rest = path.get(start..)?;
        let end = start + rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
        let segment = path.get(start..end)?;
        if let Some(child) = self.child(spot, segment)
            && let Some(target) = self.enter(child, end, path, params)
        {
            return Some(target);
        }
        let behind = (spot.first + spot.fixed) as usize;
        let with_param = self.spots.get(behind..behind + spot.with_param as usize)?;
        for child in with_param {
            let prefix = self.text(child);
            // Inside the path a value may be empty, at its end it may not.
            if !segment.starts_with(prefix) || (end == path.len() && segment.len() == prefix.len())
            {
                continue;
            }
            let mark = params.len();
            params.push(start + prefix.len(), end);
            if let Some(target) = self.enter(child, end, path, params) {
                return Some(target);
            }
            params.truncate(mark);
        }
        let wildcard = spot.wildcard?;
        params.push(start, path.len());
        params.set_raw_tail(wildcard.raw);
        Some(wildcard.target)
    }

    fn enter(&self, child: &Spot, end: usize, path: &[u8], params: &mut Params) -> Option<Target> {
        if end == path.len() {
            child.target
        } else {
            self.walk(child, end + 1, path, params)
        }
    }
}

/// Sizes and places; all are bounded by the size of the document, far below 2^32.
fn narrow(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// A fast hash for keys that come from the configuration; nobody else can choose collisions. `place`
/// tells equal texts below different nodes apart.
#[inline]
fn hash(place: u32, text: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| {
        let wide = u128::from(hash ^ word) * u128::from(FACTOR);
        (wide as u64) ^ (wide >> 64) as u64
    };
    let mut hash = mix(u64::from(place), text.len() as u64);
    let (words, rest) = text.as_chunks::<8>();
    for word in words {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    let rest = rest
        .iter()
        .fold(1, |word, byte| word << 8 | u64::from(*byte));
    mix(hash, rest)
}

const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

const fn start(hash: u64, mask: usize) -> usize {
    hash as usize & mask
}

#[cfg(test)]
mod tests {
    use super::super::tree::Segment;
    use super::*;
    use http::Method;

    fn tree(paths: &[&str]) -> Tree {
        let mut tree = Tree::new(Method::GET);
        for (path, id) in paths.iter().zip(0..) {
            let segments =
                path.strip_prefix('/')
                    .unwrap()
                    .split('/')
                    .map(|text| match text.split_once(':') {
                        None => Segment::Static(text.into()),
                        Some((prefix, name)) => Segment::Param {
                            prefix: prefix.into(),
                            name: name.into(),
                        },
                    });
            let segments: Vec<_> = segments.collect();
            assert_eq!(tree.insert(&segments, Target::Endpoint(id)), None);
        }
        tree
    }

    fn find(compact: &Compact, path: &str) -> Option<Target> {
        compact.find(path.as_bytes(), &mut Params::default())
    }

    #[test]
    fn finds_each_of_many_children_and_no_other() {
        for count in [1, 4, 5, 500] {
            let fixed = (0..count).map(|i| format!("/fixed/{i}"));
            let below = (0..count).map(|i| format!("/below/{i}/:x"));
            let paths: Vec<String> = fixed.chain(below).collect();
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let compact = Compact::of(&tree(&paths));
            for (path, id) in paths.iter().zip(0..) {
                assert_eq!(find(&compact, path), Some(Target::Endpoint(id)), "{path}");
                assert_eq!(find(&compact, &format!("{path}/y")), None);
            }
            assert_eq!(find(&compact, "/below/501/x"), None);
            assert_eq!(find(&compact, "/fixed/"), None);
        }
    }

    #[test]
    fn tells_texts_of_any_length_apart() {
        for length in [
            0,
            1,
            7,
            8,
            9,
            INLINE - 1,
            INLINE,
            INLINE + 1,
            254,
            255,
            256,
            1000,
        ] {
            let text = "x".repeat(length);
            let pattern = format!("/{text}y/:v");
            let compact = Compact::of(&tree(&[&pattern, "/a/b"]));
            assert!(find(&compact, &format!("/{text}y/1")).is_some(), "{length}");
            assert!(find(&compact, &format!("/{text}/1")).is_none());
            assert!(find(&compact, &format!("/{text}z/1")).is_none());
        }
    }
}
