//! The text of a script: files joined by line ends, `pre` and `post`, compiled once to the bytecode that each
//! run loads.
//!
//! Differs from KrakenD: what cannot be read or compiled refuses the file, as does an MD5 that does not
//! match, where KrakenD leaves the script out; with `live` the MD5 is checked at every reading. A file that is
//! not there is looked for at each request, which fails until it is: KrakenD starts on such a configuration.

use super::fault::{self, POST, PRE, SOURCES};
use super::md5;
use mlua::chunk::ChunkMode;
use mlua::{Lua, LuaOptions, StdLib};

/// Largest text of all sources together.
const MAX_TEXT: u64 = 8 << 20;

/// Where the lines of joined sources came from.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(Vec<(u32, String)>);

impl Lines {
    /// `file:Lline` of a line of a chunk.
    pub(super) fn place(&self, chunk: &str, line: u32) -> String {
        match self.origin(chunk, line) {
            Some((path, line)) => format!("{path}:L{line}"),
            None => format!("{chunk}:L{line}"),
        }
    }

    fn origin(&self, chunk: &str, line: u32) -> Option<(&str, u32)> {
        if chunk != SOURCES {
            return None;
        }
        let (first, path) = self.0.iter().rev().find(|(first, _)| *first <= line)?;
        Some((path, line - first + 1))
    }
}

/// One compiled text.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    /// Bytecode of the interpreter that this process is linked with.
    pub(super) code: Vec<u8>,
}

/// The joined sources, compiled.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    /// Nothing when there are none.
    pub(super) chunk: Option<Chunk>,
    /// Where its lines came from.
    pub(super) lines: Lines,
    /// The text, for what it mentions.
    pub(super) text: Vec<u8>,
}

/// A file of a script and what its MD5 must be.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Relative to the working directory, as KrakenD reads it.
    pub(super) path: String,
    /// Lower-case hex digits.
    pub(super) md5: Option<String>,
}

/// Why a script cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadSource {
    /// Which file, by its place in the list; `None` for the inline texts.
    pub(super) file: Option<usize>,
    /// What is wrong, with file and line where there is one.
    pub(super) text: String,
    /// What to do about it.
    pub(super) hint: &'static str,
    /// Whether the file is not there at all.
    pub(super) missing: bool,
}

/// Reads and compiles the sources.
///
/// # Errors
/// The first file that cannot be read, is not what its MD5 says, or does not compile.
pub(super) fn read(files: &[File]) -> Result<Sources, BadSource> {
    if files.is_empty() {
        return Ok(Sources::default());
    }
    let mut text = Vec::new();
    let mut lines = Vec::new();
    let mut line = 1_u32;
    for (at, file) in files.iter().enumerate() {
        let own = read_file(at, file)?;
        lines.push((line, file.path.clone()));
        let own_lines = own.iter().filter(|b| **b == b'\n').count() + 1;
        line = line.saturating_add(u32::try_from(own_lines).unwrap_or(u32::MAX));
        text.extend_from_slice(&own);
        text.push(b'\n');
    }
    let lines = Lines(lines);
    let chunk = compile(&text, SOURCES).map_err(|message| {
        let (at, text) = told(&message, &lines, files);
        BadSource {
            file: Some(at),
            text,
            hint: "correct the script; the file is refused rather than served without it",
            missing: false,
        }
    })?;
    Ok(Sources {
        chunk: Some(chunk),
        lines,
        text,
    })
}

fn read_file(at: usize, file: &File) -> Result<Vec<u8>, BadSource> {
    let bad = |text, hint| BadSource {
        file: Some(at),
        text,
        hint,
        missing: false,
    };
    let unreadable = |why: String| {
        bad(
            format!("{} cannot be read: {why}", file.path),
            "paths are relative to the directory in which the gateway is started",
        )
    };
    let failed = |e: std::io::Error| BadSource {
        missing: e.kind() == std::io::ErrorKind::NotFound,
        ..unreadable(e.to_string())
    };
    let size = std::fs::metadata(&file.path).map_err(failed)?.len();
    if size > MAX_TEXT {
        return Err(unreadable(format!("larger than {MAX_TEXT} bytes")));
    }
    let text = std::fs::read(&file.path).map_err(failed)?;
    if let Some(wanted) = &file.md5 {
        let found = md5::hex(&text);
        if !found.eq_ignore_ascii_case(wanted) {
            return Err(bad(
                format!("the MD5 of {} is {found}, not {wanted}", file.path),
                "review what changed in the file, then write its new MD5",
            ));
        }
    }
    Ok(text)
}

/// A compiler's message with the file it is about.
fn told(message: &str, lines: &Lines, files: &[File]) -> (usize, String) {
    let Some(((chunk, line), rest)) = fault::placed(message) else {
        return (0, message.to_owned());
    };
    let Some((path, line)) = lines.origin(chunk, line) else {
        return (0, message.to_owned());
    };
    let at = files.iter().position(|file| file.path == path);
    (at.unwrap_or(0), format!("{path}:{line}: {rest}"))
}

/// Compiles `pre` or `post`.
///
/// # Errors
/// The compiler's message with the line.
pub(super) fn inline(text: &str, is_post: bool) -> Result<Chunk, BadSource> {
    let name = if is_post { POST } else { PRE };
    compile(text.as_bytes(), name).map_err(|text| BadSource {
        file: None,
        text,
        hint: "correct the script; the file is refused rather than served without it",
        missing: false,
    })
}

fn compile(text: &[u8], name: &str) -> Result<Chunk, String> {
    let lua = Lua::new_with(StdLib::NONE, LuaOptions::new()).map_err(|e| e.to_string())?;
    let function = lua
        .load(text)
        .set_name(format!("={name}"))
        .set_mode(ChunkMode::Text)
        .into_function()
        .map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => message,
            other => other.to_string(),
        })?;
    Ok(Chunk {
        code: function.dump(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn files(texts: &[&str]) -> (Vec<tempfile::NamedTempFile>, Vec<File>) {
        let written: Vec<_> = texts
            .iter()
            .map(|text| {
                let mut file = tempfile::NamedTempFile::new().unwrap();
                file.write_all(text.as_bytes()).unwrap();
                file
            })
            .collect();
        let files = written
            .iter()
            .map(|file| File {
                path: file.path().display().to_string(),
                md5: None,
            })
            .collect();
        (written, files)
    }

    #[test]
    fn lines_lead_back_to_their_file() {
        let (_kept, files) = files(&["a = 1\nb = 2\n", "c = 3", "\nd = 4\n"]);
        let sources = read(&files).unwrap();
        // The first file ends with a line end, so an empty line stands between it and the second.
        for (line, file, own) in [(1, 0, 1), (3, 0, 3), (4, 1, 1), (5, 2, 1), (6, 2, 2)] {
            let place = sources.lines.place(SOURCES, line);
            assert_eq!(place, format!("{}:L{own}", files[file].path), "{line}");
        }
        assert_eq!(sources.lines.place(PRE, 7), "pre-script:L7");
    }

    #[test]
    fn a_syntax_error_names_file_and_line() {
        let (_kept, files) = files(&["a = 1\n", "b = 2\nc = = 3"]);
        let bad = read(&files).unwrap_err();
        assert_eq!(bad.file, Some(1));
        assert!(
            bad.text.starts_with(&format!("{}:2: ", files[1].path)),
            "{}",
            bad.text
        );
        assert!(inline("x = ", false).is_err_and(|bad| bad.text.starts_with("pre-script:1: ")));
    }

    #[test]
    fn a_wrong_md5_and_a_missing_file_are_refused() {
        let (_kept, mut files) = files(&["a = 1"]);
        files[0].md5 = Some(md5::hex(b"a = 1").to_uppercase());
        assert!(read(&files).is_ok());
        files[0].md5 = Some(md5::hex(b"a = 2"));
        assert!(read(&files).is_err_and(|bad| bad.text.contains("MD5")));
        files[0].path = "/nowhere/at/all.lua".to_owned();
        assert!(read(&files).is_err_and(|bad| bad.text.contains("cannot be read")));
    }

    #[test]
    fn goto_compiles_and_bytecode_is_no_source() {
        assert!(inline("for i = 1, 3 do goto next ::next:: end", false).is_ok());
        let code = inline("x = 1", false).unwrap().code;
        assert!(compile(&code, PRE).is_err());
    }
}
