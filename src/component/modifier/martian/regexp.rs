//! Go's regular expressions for the `regex` crate. Both come from RE2 and differ in details: `\d`, `\s`,
//! `\w` and `\b` are ASCII in Go; `\Q…\E` and octal escapes exist only there; sets within classes (`&&`, `--`,
//! `~~`, nesting) only here. What neither can do, look-around and references back, is an error in both.

use regex::bytes::{Regex, RegexBuilder};
use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::CharIndices;

/// Go's limit for counted repetitions.
const MAX_REPEAT: u32 = 1000;

/// Compiles an expression of Go. The error says in one line what is wrong.
pub(super) fn compile(expression: &str) -> Result<Regex, String> {
    let translated = translate(expression)?;
    RegexBuilder::new(&translated).build().map_err(|error| {
        let text = error.to_string();
        let last = text.lines().next_back().unwrap_or_default();
        last.trim_start_matches("error: ").to_owned()
    })
}

fn translate(expression: &str) -> Result<String, String> {
    let mut out = String::with_capacity(expression.len() + 16);
    let mut chars = expression.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let rest = expression.get(at..).unwrap_or_default();
        match c {
            '\\' => match chars.next() {
                None => return Err("trailing backslash at end of expression".to_owned()),
                Some((_, 'Q')) => quoted(&mut chars, &mut out),
                Some((_, c)) => escape(c, &mut chars, false, &mut out)?,
            },
            '[' => class(&mut chars, &mut out)?,
            '{' if !is_repeat(rest)? => out.push_str("\\{"),
            '(' => {
                flags(rest)?;
                out.push('(');
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

type Chars<'e> = Peekable<CharIndices<'e>>;

/// `\Q` up to `\E` or the end.
fn quoted(chars: &mut Chars<'_>, out: &mut String) {
    let mut text = String::new();
    while let Some((_, c)) = chars.next() {
        if c == '\\' && chars.peek().is_some_and(|(_, next)| *next == 'E') {
            chars.next();
            break;
        }
        text.push(c);
    }
    out.push_str(&regex::escape(&text));
}

/// The character behind a backslash.
fn escape(c: char, chars: &mut Chars<'_>, in_class: bool, out: &mut String) -> Result<(), String> {
    let bad = || Err(format!("invalid escape sequence: `\\{c}`"));
    let set = |inside: &str, out: &mut String| {
        if in_class {
            out.push_str(inside);
        } else {
            let _ = write!(out, "[{inside}]");
        }
    };
    match c {
        'd' => set("0-9", out),
        's' => set("\\t\\n\\f\\r ", out),
        'w' => set("0-9A-Za-z_", out),
        'D' => out.push_str("[^0-9]"),
        'S' => out.push_str("[^\\t\\n\\f\\r ]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        'b' | 'B' if !in_class => {
            let _ = write!(out, "(?-u:\\{c})");
        }
        'A' | 'z' if !in_class => {
            let _ = write!(out, "\\{c}");
        }
        'a' | 'f' | 'n' | 'r' | 't' | 'v' => {
            let _ = write!(out, "\\{c}");
        }
        'x' | 'p' | 'P' => {
            let _ = write!(out, "\\{c}");
            // Its braces are no repetition.
            if chars.peek().is_some_and(|(_, next)| *next == '{') {
                let mut open = true;
                while let Some((_, c)) = chars.next_if(|_| open) {
                    out.push(c);
                    open = c != '}';
                }
            }
        }
        '0'..='7' => {
            let next = chars.peek().is_some_and(|(_, next)| next.is_digit(8));
            if c != '0' && !next {
                return bad();
            }
            let mut code = c.to_digit(8).unwrap_or_default();
            for _ in 0..2 {
                let Some(digit) = chars.peek().and_then(|(_, next)| next.to_digit(8)) else {
                    break;
                };
                code = code * 8 + digit;
                chars.next();
            }
            let _ = write!(out, "\\x{{{code:x}}}");
        }
        // An escaped bracket is a word's edge in the crate.
        '<' | '>' => out.push(c),
        c if c.is_ascii_alphanumeric() || !c.is_ascii() || c.is_ascii_control() => return bad(),
        c => {
            out.push('\\');
            out.push(c);
        }
    }
    Ok(())
}

/// A class, from behind its `[` to its `]`.
fn class(chars: &mut Chars<'_>, out: &mut String) -> Result<(), String> {
    out.push('[');
    if chars.next_if(|(_, c)| *c == '^').is_some() {
        out.push('^');
    }
    // Whether a `-` here would be the operator's second operand or the first thing at all.
    let (mut first, mut after_dash) = (true, false);
    while let Some((_, c)) = chars.next() {
        let mut dash = false;
        match c {
            ']' if !first => {
                out.push(']');
                return Ok(());
            }
            '[' if chars.peek().is_some_and(|(_, c)| *c == ':') => {
                out.push('[');
                named(chars, out)?;
            }
            '-' if first || after_dash => out.push_str("\\-"),
            '-' => {
                out.push('-');
                dash = true;
            }
            ']' | '[' | '&' | '~' => {
                out.push('\\');
                out.push(c);
            }
            '\\' => match chars.next() {
                None => break,
                Some((_, c)) => escape(c, chars, true, out)?,
            },
            c => out.push(c),
        }
        (first, after_dash) = (false, dash);
    }
    Err("missing closing ]".to_owned())
}

/// `:name:]`
fn named(chars: &mut Chars<'_>, out: &mut String) -> Result<(), String> {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
        "space", "upper", "word", "xdigit",
    ];
    let mut text = String::new();
    for (_, c) in chars.by_ref() {
        text.push(c);
        if c == ']' {
            break;
        }
    }
    let name = text
        .strip_prefix(':')
        .and_then(|text| text.strip_suffix(":]"));
    let name = name.map(|name| name.strip_prefix('^').unwrap_or(name));
    if !name.is_some_and(|name| NAMES.contains(&name)) {
        return Err(format!("invalid character class range: `[{text}`"));
    }
    out.push_str(&text);
    Ok(())
}

/// Whether `{` begins a repetition; otherwise Go takes it for itself.
fn is_repeat(rest: &str) -> Result<bool, String> {
    let Some((inside, _)) = rest.get(1..).and_then(|rest| rest.split_once('}')) else {
        return Ok(false);
    };
    let (low, high) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if low.is_empty() || !digits(low) || !digits(high) {
        return Ok(false);
    }
    let over = |text: &str| !text.is_empty() && text.parse().map_or(true, |n: u32| n > MAX_REPEAT);
    if over(low) || over(high) {
        return Err(format!("invalid repeat count: `{{{inside}}}`"));
    }
    Ok(true)
}

/// Flags that Go does not know.
fn flags(rest: &str) -> Result<(), String> {
    let Some(flags) = rest.strip_prefix("(?") else {
        return Ok(());
    };
    let written: String = flags
        .chars()
        .take_while(|c| c.is_ascii_alphabetic() || *c == '-')
        .collect();
    let ends = flags
        .get(written.len()..)
        .is_some_and(|end| end.starts_with([':', ')']));
    if ends && written.contains(|c| !"imsU-".contains(c)) {
        return Err(format!("invalid or unsupported Perl syntax: `(?{written}`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expression: &str, text: &str) -> Result<bool, String> {
        compile(expression).map(|regex| regex.is_match(text.as_bytes()))
    }

    #[test]
    fn expressions_mean_what_they_mean_in_go() {
        for (expression, text, wanted) in [
            (r"^\d+$", "123", true),
            (r"^\d+$", "١٢", false),
            (r"^\w$", "é", false),
            (r"^\W$", "é", true),
            (r"^\s$", "\u{a0}", false),
            (r"^[\d\s]$", " ", true),
            (r"^[^\D]$", "5", true),
            (r"^[\w-]+$", "a-b_c", true),
            (r"\bfoo\b", "a foo b", true),
            (r"^\Qa.b[\E+$", "a.b[[", true),
            (r"^\Qa.b", "a.b", true),
            (r"^\Qa.b", "axb", false),
            (r"^\101\x42\x{43}$", "ABC", true),
            (r"^a{,2}$", "a{,2}", true),
            (r"^a{$", "a{", true),
            (r"^a{2}$", "aa", true),
            (r"^a{2,}$", "aaaa", true),
            (r"^[[a]$", "[", true),
            (r"^[]a]$", "]", true),
            (r"^[^]a]$", "b", true),
            (r"^[a&&b]$", "&", true),
            (r"^[a~~b]$", "~", true),
            (r"^[+--]$", ",", true),
            (r"^[--a]$", "A", true),
            (r"^[a-]$", "-", true),
            (r"^[[:alpha:]]+$", "ab", true),
            (r"^[[:^alpha:]]$", "a", false),
            (r"^\/\_\<x\>$", "/_<x>", true),
            (r"(?i)^ABC$", "abc", true),
            (r"(?s:a.b)", "a\nb", true),
            ("a.b", "a\nb", false),
            (r"^\pL+$", "é", true),
            (r"^\p{Greek}$", "λ", true),
            (r"^\x{1F}[\x{2A}]$", "\u{1f}*", true),
            (r"^[\p{Greek}{]+$", "λ{", true),
            (r"(?P<n>x)", "x", true),
            ("", "", true),
            ("[0-9]{2}-x", "a12-x", true),
        ] {
            assert_eq!(matches(expression, text), Ok(wanted), "{expression}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for expression in [
            "(",
            "[a",
            "a)",
            "*a",
            r"\8",
            r"\1",
            r"\C",
            r"\Z",
            r"\y",
            "\\",
            "(?=a)",
            "(?<!a)b",
            "(?x)a b",
            "a{1001}",
            "[z-a]",
            r"[\b]",
            r"\é",
            "[[:nope:]]",
            "[[:alpha",
            r"[a\",
            r"\p{",
            r"\p{Nope}",
        ] {
            assert!(compile(expression).is_err(), "{expression}");
        }
    }
}
