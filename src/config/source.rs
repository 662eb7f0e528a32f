//! Where things stand in the text of a configuration, so that every finding can show its line.
//!
//! KrakenD names neither line nor column. The readers of JSON, YAML and TOML record the byte offset
//! of each value and each key in a tree of [`Mark`]s that mirrors the document; nothing is kept by
//! full pointer, so deep or wide documents cost no more than their values.

use super::template::origin::{Origins, Spot};
use crate::base::{Code, Problem};
use std::sync::Arc;

/// The text with a map from JSON pointers to lines and columns.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Name to show, usually the file as given.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// Byte offsets at which the lines begin.
    lines: Vec<u32>,
    /// The mark of the whole document, unless only the text is known.
    root: Option<Mark>,
    /// The templates that the text was rendered from.
    origins: Option<Arc<Origins>>,
}

/// The place of one value and of all values inside it.
#[derive(Clone, Debug, Default)]
pub struct Mark {
    /// Byte offset of the value.
    pub value: u32,
    /// Byte offset of the member name, when it is a member of an object.
    pub key: Option<u32>,
    /// The values inside.
    pub children: Children,
}

/// The marks inside an array or an object.
#[derive(Clone, Debug, Default)]
pub enum Children {
    /// A scalar.
    #[default]
    None,
    /// Elements in order.
    Array(Vec<Mark>),
    /// Members, sorted by name.
    Object(Vec<(Box<str>, Mark)>),
}

impl Children {
    /// Members in file order; of a name that occurs twice the last one counts.
    pub fn object(mut members: Vec<(Box<str>, Mark)>) -> Self {
        members.reverse();
        members.sort_by(|a, b| a.0.cmp(&b.0));
        members.dedup_by(|later, kept| later.0 == kept.0);
        members.shrink_to_fit();
        Self::Object(members)
    }
}

impl Mark {
    /// The mark of a scalar.
    pub fn scalar(value: u32) -> Self {
        Self {
            value,
            key: None,
            children: Children::None,
        }
    }

    fn child(&self, token: &str) -> Option<&Self> {
        match &self.children {
            Children::None => None,
            Children::Array(items) => items.get(token.parse::<usize>().ok()?),
            Children::Object(members) => {
                let at = members
                    .binary_search_by(|(name, _)| (**name).cmp(token))
                    .ok()?;
                members.get(at).map(|(_, mark)| mark)
            }
        }
    }

    fn child_mut(&mut self, token: &str) -> Option<&mut Self> {
        match &mut self.children {
            Children::None => None,
            Children::Array(items) => items.get_mut(token.parse::<usize>().ok()?),
            Children::Object(members) => {
                let at = members
                    .binary_search_by(|(name, _)| (**name).cmp(token))
                    .ok()?;
                members.get_mut(at).map(|(_, mark)| mark)
            }
        }
    }
}

impl Source {
    /// The text alone: lines can be shown, pointers are not known.
    pub fn plain(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let starts = text
            .bytes()
            .enumerate()
            .filter(|&(_, b)| b == b'\n')
            .map(|(at, _)| offset(at + 1));
        let lines = std::iter::once(0).chain(starts).collect();
        Self {
            name: name.into(),
            text,
            lines,
            root: None,
            origins: None,
        }
    }

    /// The same text as the output of templates: places are told in their files.
    #[must_use]
    pub fn with_origins(mut self, origins: Arc<Origins>) -> Self {
        self.origins = Some(origins);
        self
    }

    /// Whether the text was rendered from templates.
    pub fn is_rendered(&self) -> bool {
        self.origins.is_some()
    }

    /// What to show for a place in the text: the file, line and column somebody can edit. For a text that
    /// was rendered from templates that is a place in one of them.
    pub fn spot(&self, place: (u32, u32)) -> Spot<'_> {
        let (line, column) = place;
        let rendered = self.origins.as_ref();
        rendered
            .and_then(|origins| origins.spot(self.offset_of(line, column)))
            .unwrap_or_else(|| Spot {
                file: &self.name,
                line,
                column,
                text: self.line(line),
            })
    }

    /// What to show for a finding; without a line when its place is not known.
    pub fn spot_problem<'s>(&'s self, problem: &'s Problem) -> (&'s str, Option<Spot<'s>>) {
        if let Some(name) = &problem.file {
            let file = self.origins.as_ref().and_then(|origins| origins.file(name));
            let spot = problem.position.map(|(line, column)| Spot {
                file: name,
                line,
                column,
                text: file.and_then(|file| file.line(line)),
            });
            return (name, spot);
        }
        match self.locate_problem(problem) {
            Some(place) => {
                let spot = self.spot(place);
                (spot.file, Some(spot))
            }
            None => (&self.name, None),
        }
    }

    /// Byte offset of a line and a column, the inverse of [`Source::place`].
    fn offset_of(&self, line: u32, column: u32) -> u32 {
        let index = (line as usize).saturating_sub(1);
        let start = self.lines.get(index).copied().unwrap_or_default();
        let rest = self.text.get(start as usize..).unwrap_or_default();
        let before = rest.chars().take((column as usize).saturating_sub(1));
        start + offset(before.map(char::len_utf8).sum())
    }

    /// The same text with its marks.
    #[must_use]
    pub fn with_marks(mut self, root: Mark) -> Self {
        self.root = Some(root);
        self
    }

    /// Line and column (both from 1, columns in characters) of the value a JSON pointer names; of
    /// its nearest known ancestor when the pointer leads nowhere; nothing when no place is known.
    pub fn locate(&self, pointer: &str) -> Option<(u32, u32)> {
        Some(self.place(self.nearest(pointer)?.0.value))
    }

    /// Like [`Source::locate`], but the place of the member name where there is one.
    pub fn locate_key(&self, pointer: &str) -> Option<(u32, u32)> {
        let (mark, exact) = self.nearest(pointer)?;
        Some(self.place(mark.key.filter(|_| exact).unwrap_or(mark.value)))
    }

    /// Line and column to show for a finding: its own, else the key when the key is what is wrong,
    /// else the value.
    pub fn locate_problem(&self, problem: &Problem) -> Option<(u32, u32)> {
        problem.position.or_else(|| match problem.code {
            Code::UnknownKey
            | Code::UnknownNamespace
            | Code::DuplicateKey
            | Code::Deprecated
            | Code::NotYet
            | Code::Unprotected
            | Code::WrongLevel
            | Code::EnterpriseOnly => self.locate_key(&problem.pointer),
            _ => self.locate(&problem.pointer),
        })
    }

    /// The line of a number counted from 1, without its line break.
    pub fn line(&self, number: u32) -> Option<&str> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        let start = *self.lines.get(index)?;
        let line = self.text.get(start as usize..)?.split('\n').next()?;
        Some(line.strip_suffix('\r').unwrap_or(line))
    }

    /// How many lines the text has.
    pub fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// Line and column (from 1) of a byte offset.
    pub fn place(&self, at: u32) -> (u32, u32) {
        let line = self
            .lines
            .partition_point(|&start| start <= at)
            .saturating_sub(1);
        let start = self.lines.get(line).copied().unwrap_or_default() as usize;
        let text = self
            .text
            .as_bytes()
            .get(start..at as usize)
            .unwrap_or_default();
        // Continuation bytes do not begin a character; this also works in the middle of one.
        let column = text.iter().filter(|&&b| b & 0xc0 != 0x80).count();
        (offset(line + 1), offset(column + 1))
    }

    /// Byte offset of the key of a pointer, to bring members into file order.
    pub(super) fn key_offset(&self, pointer: &str) -> Option<u32> {
        let (mark, exact) = self.nearest(pointer)?;
        mark.key.filter(|_| exact)
    }

    /// Forgets the place of a value that does not come from the text.
    pub(super) fn forget(&mut self, pointer: &str) {
        let Some((parent, token)) = pointer.rsplit_once('/') else {
            return;
        };
        let mut mark = self.root.as_mut();
        for token in parent.split('/').skip(1) {
            mark = mark.and_then(|m| m.child_mut(&unescape(token)));
        }
        if let Some(Mark {
            children: Children::Object(members),
            ..
        }) = mark
        {
            let token = unescape(token);
            members.retain(|(name, _)| **name != *token);
        }
    }

    fn nearest(&self, pointer: &str) -> Option<(&Mark, bool)> {
        let mut mark = self.root.as_ref()?;
        for token in pointer.split('/').skip(1) {
            match mark.child(&unescape(token)) {
                Some(child) => mark = child,
                None => return Some((mark, false)),
            }
        }
        Some((mark, true))
    }
}

/// A byte offset as marks keep it; texts are bounded far below 4 GiB.
pub(super) fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Line and column (from 1) of a byte offset, for a text without a line table.
pub(super) fn place_in(text: &str, at: usize) -> (u32, u32) {
    let before = text
        .as_bytes()
        .get(..at.min(text.len()))
        .unwrap_or_default();
    let line = before.iter().filter(|&&b| b == b'\n').count();
    let start = before
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |n| n + 1);
    let column = before
        .iter()
        .skip(start)
        .filter(|&&b| b & 0xc0 != 0x80)
        .count();
    (offset(line + 1), offset(column + 1))
}

fn unescape(token: &str) -> std::borrow::Cow<'_, str> {
    if token.contains('~') {
        token.replace("~1", "/").replace("~0", "~").into()
    } else {
        token.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Report;
    use crate::config::json;

    fn source(text: &str) -> Source {
        let (_, root) = json::read(text, &mut Report::default()).unwrap();
        Source::plain("test.json", text).with_marks(root)
    }

    #[test]
    fn finds_values_and_keys() {
        let source = source("{\n  \"a\": [1,\n   {\"b/c\": \"x\"}],\n  \"ä\": true, \"k\": 2\r\n}");
        assert_eq!(source.locate(""), Some((1, 1)));
        assert_eq!(source.locate("/a"), Some((2, 8)));
        assert_eq!(source.locate_key("/a"), Some((2, 3)));
        assert_eq!(source.locate("/a/1/b~1c"), Some((3, 12)));
        assert_eq!(source.locate_key("/a/1/b~1c"), Some((3, 5)));
        assert_eq!(
            source.locate("/k"),
            Some((4, 19)),
            "columns count characters"
        );
        assert_eq!(source.line(4), Some("  \"ä\": true, \"k\": 2"));
        assert_eq!(source.line(0), None);
        assert_eq!(source.line(6), None);
    }

    #[test]
    fn falls_back_to_the_nearest_ancestor() {
        let source = source("{\"a\": {\"b\": [7]}}");
        assert_eq!(source.locate("/a/x/y"), Some((1, 7)));
        assert_eq!(source.locate_key("/a/x"), Some((1, 7)));
        assert_eq!(source.locate("/a/b/9"), Some((1, 13)));
        assert_eq!(Source::plain("", "x").locate("/a"), None);
    }

    #[test]
    fn shows_the_key_when_the_key_is_wrong() {
        let source = source("{\"a\": 1}");
        assert_eq!(
            source.locate_problem(&Problem::warning(Code::UnknownKey, "/a", "")),
            Some((1, 2))
        );
        assert_eq!(
            source.locate_problem(&Problem::error(Code::WrongType, "/a", "")),
            Some((1, 7))
        );
        assert_eq!(
            source.locate_problem(&Problem::error(Code::Syntax, "", "").at(9, 9)),
            Some((9, 9))
        );
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        assert_eq!(source("{\"a\": 1, \"a\": 2}").locate("/a"), Some((1, 15)));
    }
}
