//! Just enough of Rust's surface to find paths in it: words and punctuation with their lines,
//! comments and literals left out.

/// A word, or one character of punctuation; `::` counts as one.
#[derive(Clone, Copy, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Colons,
    Sign(u8),
}

/// One place where a path of this crate is named.
pub(super) struct Mention {
    /// Where.
    pub(super) line: usize,
    /// From the root of the crate: `crate::pipe::run` is `["pipe", "run"]`.
    pub(super) path: Vec<String>,
}

/// The words of one file.
pub(super) struct Code<'a> {
    tokens: Vec<(usize, Token<'a>)>,
}

impl<'a> Code<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
        while at < bytes.len() {
            let end = match bytes[at] {
                b'/' if bytes[at..].starts_with(b"//") => find(bytes, at, b"\n"),
                b'/' if bytes[at..].starts_with(b"/*") => end_of_comment(bytes, at),
                b'"' => end_of_string(bytes, at + 1),
                b'\'' => end_of_quote(bytes, at),
                byte if is_word(byte) => {
                    let end = at
                        + bytes[at..]
                            .iter()
                            .take_while(|byte| is_word(**byte))
                            .count();
                    match end_of_raw(bytes, at, end) {
                        Some(end) => end,
                        None => {
                            tokens.push((line, Token::Word(&text[at..end])));
                            end
                        }
                    }
                }
                b':' if bytes[at..].starts_with(b"::") => {
                    tokens.push((line, Token::Colons));
                    at + 2
                }
                byte if byte.is_ascii_punctuation() => {
                    tokens.push((line, Token::Sign(byte)));
                    at + 1
                }
                _ => at + 1,
            };
            line += bytes[at..end].iter().filter(|byte| **byte == b'\n').count();
            at = end;
        }
        Self { tokens }
    }

    fn at(&self, index: usize) -> Option<Token<'a>> {
        self.tokens.get(index).map(|(_, token)| *token)
    }

    /// Names of macros that are called, with their lines.
    pub(super) fn macros(&self) -> impl Iterator<Item = (usize, &'a str)> {
        self.tokens.windows(2).filter_map(|pair| match pair {
            [(line, Token::Word(name)), (_, Token::Sign(b'!'))] => Some((*line, *name)),
            _ => None,
        })
    }

    pub(super) fn has_word(&self, word: &str) -> bool {
        self.tokens
            .iter()
            .any(|(_, token)| *token == Token::Word(word))
    }

    /// Whether these words stand somewhere, joined by `::`, with more of the path behind them.
    pub(super) fn has_path(&self, path: &[String]) -> bool {
        (0..self.tokens.len()).any(|start| {
            path.iter().enumerate().all(|(step, word)| {
                let index = start + 2 * step;
                self.at(index) == Some(Token::Word(word))
                    && self.at(index + 1) == Some(Token::Colons)
            })
        })
    }

    /// Every path that begins with `crate`, `super` or `self`, seen from a module.
    pub(super) fn mentions(&self, module: &[String]) -> Vec<Mention> {
        let (mut found, mut here, mut open, mut depth) =
            (Vec::new(), module.to_vec(), Vec::new(), 0);
        for index in 0..self.tokens.len() {
            match self.at(index) {
                Some(Token::Sign(b'{')) => {
                    depth += 1;
                    let head = (
                        index.checked_sub(2).and_then(|at| self.at(at)),
                        index.checked_sub(1).and_then(|at| self.at(at)),
                    );
                    if let (Some(Token::Word("mod")), Some(Token::Word(name))) = head {
                        here.push(name.to_owned());
                        open.push(depth);
                    }
                }
                Some(Token::Sign(b'}')) => {
                    if open.last() == Some(&depth) {
                        open.pop();
                        here.pop();
                    }
                    depth -= 1;
                }
                Some(Token::Word(root @ ("crate" | "super" | "self")))
                    if self.at(index + 1) == Some(Token::Colons) && !self.follows_colons(index) =>
                {
                    self.tree(index + 2, &base(root, &here), &mut found);
                }
                _ => {}
            }
        }
        found
    }

    fn follows_colons(&self, index: usize) -> bool {
        index.checked_sub(1).and_then(|before| self.at(before)) == Some(Token::Colons)
    }

    /// Reads `a::b`, `{a, b::c}` behind a path; gives the index behind it.
    fn tree(&self, mut index: usize, above: &[String], found: &mut Vec<Mention>) -> usize {
        let mut path = above.to_vec();
        let line = self.tokens.get(index).map_or(0, |(line, _)| *line);
        loop {
            match self.at(index) {
                Some(Token::Word("super")) => drop(path.pop()),
                Some(Token::Word("self")) => {}
                Some(Token::Word(word)) => path.push(word.to_owned()),
                Some(Token::Sign(b'{')) => return self.group(index + 1, &path, found),
                _ => break,
            }
            index += 1;
            if self.at(index) != Some(Token::Colons) {
                break;
            }
            index += 1;
        }
        found.push(Mention { line, path });
        index
    }

    fn group(&self, mut index: usize, above: &[String], found: &mut Vec<Mention>) -> usize {
        loop {
            match self.at(index) {
                None => return index,
                Some(Token::Sign(b'}')) => return index + 1,
                Some(Token::Word("as")) => index += 2,
                Some(Token::Word(_) | Token::Sign(b'{')) => index = self.tree(index, above, found),
                Some(_) => index += 1,
            }
        }
    }
}

fn base(root: &str, here: &[String]) -> Vec<String> {
    match root {
        "crate" => Vec::new(),
        "super" => here[..here.len().saturating_sub(1)].to_vec(),
        _ => here.to_vec(),
    }
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> usize {
    bytes[from..]
        .windows(what.len())
        .position(|window| window == what)
        .map_or(bytes.len(), |at| from + at)
}

fn end_of_comment(bytes: &[u8], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (at, depth) = (at + 2, depth + 1),
            Some(b"*/") => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A character literal, or only the tick of a lifetime.
fn end_of_quote(bytes: &[u8], at: usize) -> usize {
    if bytes.get(at + 1) == Some(&b'\\') {
        return (find(bytes, at + 3, b"'") + 1).min(bytes.len());
    }
    let close = bytes[at + 1..]
        .iter()
        .take(5)
        .position(|byte| *byte == b'\'');
    let wide = bytes.get(at + 1).is_some_and(|byte| *byte >= 0x80);
    match close {
        Some(1) => at + 3,
        Some(length) if wide => at + length + 2,
        _ => at + 1,
    }
}

/// When the word before is the prefix of a literal: where that ends.
fn end_of_raw(bytes: &[u8], start: usize, end: usize) -> Option<usize> {
    let hashes = bytes[end..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    let quote = bytes.get(end + hashes) == Some(&b'"');
    match &bytes[start..end] {
        b"r" | b"br" | b"cr" if quote => {
            let close = [&b"\""[..], &vec![b'#'; hashes]].concat();
            Some((find(bytes, end + hashes + 1, &close) + close.len()).min(bytes.len()))
        }
        b"b" | b"c" if quote && hashes == 0 => Some(end_of_string(bytes, end + 1)),
        _ => None,
    }
}
