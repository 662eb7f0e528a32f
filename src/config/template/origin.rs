//! Where the bytes of a rendered document come from, so that a finding is told in the file that somebody
//! can edit.
//!
//! Text of a template and of a partial (`include`) is followed byte by byte; what an action computes is
//! placed at its `{{`. A partial that went through another function is placed at the action.

use crate::config::source::offset;
use std::sync::{Arc, OnceLock};

/// One file that took part.
#[derive(Clone, Debug)]
pub struct File {
    /// As it is shown.
    pub name: String,
    /// Its text.
    pub text: Arc<str>,
    /// Byte offsets at which the lines begin, once somebody asked.
    lines: OnceLock<Vec<u32>>,
}

/// One piece of the output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    out: u32,
    file: u32,
    at: u32,
    verbatim: bool,
}

impl Segment {
    /// A piece that begins at this byte of the output.
    pub(crate) fn new(out: usize, file: usize, at: usize, verbatim: bool) -> Self {
        Self {
            out: offset(out),
            file: offset(file),
            at: offset(at),
            verbatim,
        }
    }
}

/// The map from a rendered document to its templates.
#[derive(Debug, Default)]
pub struct Origins {
    files: Vec<File>,
    segments: Vec<Segment>,
}

/// A place in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot<'a> {
    /// The file.
    pub file: &'a str,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// The line's text, without its line break.
    pub text: Option<&'a str>,
}

impl Origins {
    /// The files and the pieces, ascending.
    pub(crate) fn new(files: Vec<File>, segments: Vec<Segment>) -> Self {
        Self { files, segments }
    }

    /// The place that a byte of the output comes from.
    pub fn spot(&self, at: u32) -> Option<Spot<'_>> {
        let index = self.segments.partition_point(|segment| segment.out <= at);
        let segment = self.segments.get(index.checked_sub(1)?)?;
        let file = self.files.get(segment.file as usize)?;
        let inside = if segment.verbatim {
            at - segment.out
        } else {
            0
        };
        let (line, column) = file.place((segment.at + inside) as usize);
        Some(Spot {
            file: &file.name,
            line,
            column,
            text: file.line(line),
        })
    }

    /// One of the files by its name.
    pub fn file(&self, name: &str) -> Option<&File> {
        self.files.iter().find(|file| file.name == name)
    }
}

impl File {
    /// A file with this text.
    pub fn new(name: impl Into<String>, text: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
            lines: OnceLock::new(),
        }
    }

    fn lines(&self) -> &[u32] {
        self.lines.get_or_init(|| {
            let breaks = self.text.bytes().enumerate().filter(|&(_, b)| b == b'\n');
            std::iter::once(0)
                .chain(breaks.map(|(at, _)| offset(at + 1)))
                .collect()
        })
    }

    /// Line and column (from 1, columns in characters) of a byte.
    pub fn place(&self, at: usize) -> (u32, u32) {
        let at = at.min(self.text.len());
        let index = self.lines().partition_point(|&start| start as usize <= at);
        let index = index.saturating_sub(1);
        let start = self.lines().get(index).copied().unwrap_or_default() as usize;
        let before = self.text.as_bytes().get(start..at).unwrap_or_default();
        let column = before.iter().filter(|&&b| b & 0xc0 != 0x80).count();
        (offset(index + 1), offset(column + 1))
    }

    /// The line of a number counted from 1, without its line break.
    pub fn line(&self, number: u32) -> Option<&str> {
        let start = *self.lines().get((number as usize).checked_sub(1)?)?;
        let line = self.text.get(start as usize..)?.split('\n').next()?;
        Some(line.strip_suffix('\r').unwrap_or(line))
    }
}
