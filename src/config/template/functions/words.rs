//! sprig's functions of words and letters: cases, initials, chance.

use super::{Entry, Failure, Given, Host, give, int, text};
use crate::config::template::value::Value;

pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "title",
        params: "S",
        call: |_, a| give(title(text(a, 0))),
    },
    Entry {
        name: "untitle",
        params: "S",
        call: |_, a| give(untitle(text(a, 0))),
    },
    Entry {
        name: "swapcase",
        params: "S",
        call: |_, a| give(swap(text(a, 0))),
    },
    Entry {
        name: "initials",
        params: "S",
        call: |_, a| give(initials(text(a, 0))),
    },
    Entry {
        name: "snakecase",
        params: "S",
        call: |_, a| give(lowered(text(a, 0), '_')),
    },
    Entry {
        name: "kebabcase",
        params: "S",
        call: |_, a| give(lowered(text(a, 0), '-')),
    },
    Entry {
        name: "camelcase",
        params: "S",
        call: |_, a| give(camel(text(a, 0))),
    },
    Entry {
        name: "shuffle",
        params: "S",
        call: |_, a| give(shuffled(text(a, 0))),
    },
    Entry {
        name: "randAlphaNum",
        params: "I",
        call: |host, a| random(host, a, |c| c.is_ascii_alphanumeric()),
    },
    Entry {
        name: "randAlpha",
        params: "I",
        call: |host, a| random(host, a, |c| c.is_ascii_alphabetic()),
    },
    Entry {
        name: "randNumeric",
        params: "I",
        call: |host, a| random(host, a, |c| c.is_ascii_digit()),
    },
    Entry {
        name: "randAscii",
        params: "I",
        call: |host, a| random(host, a, |c| (' '..='~').contains(c)),
    },
];

fn capital(c: char) -> impl Iterator<Item = char> {
    c.to_uppercase()
}

/// `strings.Title`: a letter behind what is no letter, digit, underscore or quote.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars() {
        let begins = if before.is_ascii() {
            !(before.is_ascii_alphanumeric() || before == '_' || before == '\'')
        } else {
            !before.is_alphanumeric() && before.is_whitespace()
        };
        if begins {
            out.extend(capital(c));
        } else {
            out.push(c);
        }
        before = c;
    }
    out
}

fn untitle(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut begins = true;
    for c in text.chars() {
        if c.is_whitespace() {
            begins = true;
            out.push(c);
        } else if std::mem::take(&mut begins) {
            out.extend(c.to_lowercase());
        } else {
            out.push(c);
        }
    }
    out
}

fn swap(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_uppercase() {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
    }
    out
}

fn initials(text: &str) -> String {
    text.split_whitespace()
        .filter_map(|word| word.chars().next())
        .collect()
}

fn connects(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

/// xstrings' `ToCamelCase`: leading connectors stay.
fn camel(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    let mut last = None;
    for c in chars.by_ref() {
        if !connects(c) {
            last = Some(c.to_uppercase().collect::<String>());
            break;
        }
        out.push(c);
    }
    let Some(mut held) = last else {
        // Of connectors alone the last one is written twice there; this keeps what was written.
        if let Some(c) = text.chars().last() {
            out.push(c);
        }
        return out;
    };
    for c in chars {
        let behind = held.chars().all(connects);
        if connects(c) && behind {
            out.push_str(&held);
            continue;
        }
        if behind {
            held = c.to_uppercase().collect();
        } else {
            out.push_str(&held);
            held = c.to_lowercase().collect();
        }
    }
    out.push_str(&held);
    out
}

/// The kinds of pieces that xstrings sees in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    End,
    Number,
    Upper,
    Letters,
    Connector,
    Punct,
    Other,
}

fn punct(c: char) -> bool {
    c.is_ascii_punctuation() && !matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~')
}

/// The first piece of a text and its length.
fn piece(text: &str) -> (Kind, usize) {
    let Some(first) = text.chars().next() else {
        return (Kind::End, 0);
    };
    let run = |holds: &dyn Fn(char) -> bool| -> usize {
        text.chars()
            .take_while(|&c| holds(c))
            .map(char::len_utf8)
            .sum()
    };
    let small = |c: char| c.is_alphabetic() && !c.is_uppercase();
    if connects(first) {
        (Kind::Connector, run(&connects))
    } else if punct(first) {
        (Kind::Punct, run(&punct))
    } else if first.is_uppercase() {
        let capitals = run(&|c| c.is_uppercase());
        let size = first.len_utf8();
        let next = text.get(capitals..).unwrap_or_default().chars().next();
        if capitals > size {
            // "HTTPStatus" is "HTTP" and "Status".
            let last = text.get(..capitals).unwrap_or_default().chars().next_back();
            match next.is_some_and(char::is_alphabetic) {
                true => (Kind::Upper, capitals - last.map_or(0, char::len_utf8)),
                false => (Kind::Upper, capitals),
            }
        } else {
            let rest = text.get(size..).unwrap_or_default();
            let letters: usize = rest
                .chars()
                .take_while(|&c| small(c))
                .map(char::len_utf8)
                .sum();
            (Kind::Upper, size + letters)
        }
    } else if first.is_alphabetic() {
        (Kind::Letters, run(&small))
    } else if first.is_numeric() {
        (Kind::Number, run(&char::is_numeric))
    } else {
        let other = |c: char| !(connects(c) || c.is_alphanumeric() || punct(c));
        (Kind::Other, run(&other).max(first.len_utf8()))
    }
}

/// xstrings' `camelCaseToLowerCase`.
fn lowered(text: &str, connector: char) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let write = |out: &mut String, kind: Kind, word: &str| match kind {
        Kind::Upper | Kind::Connector => {
            for c in word.chars() {
                if connects(c) {
                    out.push(connector);
                } else {
                    out.extend(c.to_lowercase());
                }
            }
        }
        _ => out.push_str(word),
    };
    let mut rest = text;
    let mut next = || {
        let (kind, length) = piece(rest);
        let (word, left) = rest.split_at(length);
        rest = left;
        (kind, word, left.is_empty())
    };
    let inside = |kind| matches!(kind, Kind::Letters | Kind::Number);
    let open = |kind| !matches!(kind, Kind::End | Kind::Punct | Kind::Connector);
    let (mut kind, mut word, mut done) = next();
    while !done {
        if kind != Kind::Connector {
            write(&mut out, kind, word);
        }
        let (before, last) = (kind, word);
        (kind, word, done) = next();
        match before {
            Kind::Number => {
                while inside(kind) {
                    write(&mut out, kind, word);
                    (kind, word, done) = next();
                }
                if open(kind) {
                    out.push(connector);
                }
            }
            Kind::Connector => write(&mut out, before, last),
            Kind::Punct => {}
            _ if kind != Kind::Number => {
                if !matches!(kind, Kind::Connector | Kind::Punct) {
                    out.push(connector);
                }
            }
            _ if done => {}
            _ => {
                let number = word;
                (kind, word, done) = next();
                if kind != Kind::Letters {
                    // A number belongs to the word before it.
                    write(&mut out, Kind::Number, number);
                    if !matches!(kind, Kind::Connector | Kind::Punct) {
                        out.push(connector);
                    }
                } else {
                    out.push(connector);
                    write(&mut out, Kind::Number, number);
                    while inside(kind) {
                        write(&mut out, kind, word);
                        (kind, word, done) = next();
                    }
                    if open(kind) {
                        out.push(connector);
                    }
                }
            }
        }
    }
    write(&mut out, kind, word);
    out
}

fn shuffled(text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    fastrand::shuffle(&mut chars);
    chars.into_iter().collect()
}

/// Characters from the system's source of chance, as sprig takes them: they may become passwords.
fn random(host: &mut Host<'_>, args: &[Value], among: impl Fn(&char) -> bool) -> Given {
    let Ok(count) = usize::try_from(int(args, 0)) else {
        return Err("a negative number of characters".into());
    };
    host.charge(count as u64 * 8)?;
    let alphabet: Vec<char> = ('\0'..='\x7f').filter(|c| among(c)).collect();
    // What would favour some characters is thrown away.
    let limit = 256 - 256 % alphabet.len().max(1);
    let mut out = String::with_capacity(count);
    let mut pool = [0_u8; 256];
    while out.len() < count {
        aws_lc_rs::rand::fill(&mut pool)
            .map_err(|_| Failure::from("no randomness from the system"))?;
        for byte in pool
            .iter()
            .map(|&byte| usize::from(byte))
            .filter(|&byte| byte < limit)
        {
            if out.len() < count
                && let Some(c) = alphabet.get(byte % alphabet.len().max(1))
            {
                out.push(*c);
            }
        }
    }
    give(out)
}
