//! Which settings are secrets, by their names, and how lines of a file are shown without them. Findings quote the line
//! that they are about, and whoever reads a log must not read a password there.

/// Words that make a setting's name that of a secret.
const WORDS: &[&str] = &[
    "secret",
    "password",
    "passphrase",
    "passwd",
    "token",
    "credential",
    "private",
    "authorization",
    "cookie",
];

/// Names that are one without such a word.
const NAMES: &[&str] = &["key", "keys", "salt", "users", "license"];

/// Stands for each character of a secret.
const HIDDEN: char = '*';

/// Whether a setting of this name is to be shown to nobody.
pub fn hides(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace([' ', '-'], "_");
    NAMES.contains(&name.as_str())
        || name.ends_with("_key")
        || name.ends_with("apikey")
        || WORDS.iter().any(|word| name.contains(word))
}

/// A line of JSON, YAML or TOML with `*` in place of each character of a secret, so that columns stay what they are.
/// With `all` every value of the line counts as one.
pub fn masked(line: &str, all: bool) -> String {
    let mut mask = Mask {
        out: Vec::with_capacity(line.len()),
        all,
        depth: 0,
        hidden: None,
    };
    let chars: Vec<char> = line.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        at = mask.step(&chars, at);
    }
    hide_userinfo(&mut mask.out);
    mask.out.into_iter().collect()
}

/// A target or a URL without the values of parameters that are secrets by their names.
pub fn query_masked(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else {
        return target.to_owned();
    };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if hides(&decoded(name)) => format!("{name}=…"),
        _ => pair.to_owned(),
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

/// A name of a query, decoded as far as its words are concerned.
fn decoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        let escaped = (byte == b'%').then(|| {
            let mut rest = bytes.clone();
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            u8::try_from(high * 16 + low).ok().zip(Some(rest))
        });
        match escaped.flatten() {
            Some((byte, rest)) => {
                out.push(char::from(byte));
                bytes = rest;
            }
            None if byte == b'+' => out.push(' '),
            None => out.push(char::from(byte)),
        }
    }
    out
}

struct Mask {
    out: Vec<char>,
    all: bool,
    /// Open brackets.
    depth: usize,
    /// The depth at which a hidden value began, and whether it is one that ends with its line or at a comma.
    hidden: Option<(usize, bool)>,
}

impl Mask {
    /// Takes a piece that begins at a character; gives where the next begins.
    fn step(&mut self, chars: &[char], at: usize) -> usize {
        let Some(&c) = chars.get(at) else {
            return at + 1;
        };
        match c {
            '"' | '\'' => {
                let end = literal(chars, at);
                let inside = at + 1..end.saturating_sub(1).max(at + 1);
                let text = chars.get(inside).unwrap_or_default();
                self.piece(chars, (at, end), text, true);
                end
            }
            '{' | '[' => {
                self.out.push(c);
                self.depth += 1;
                if let Some((_, bare)) = &mut self.hidden {
                    *bare = false;
                }
                at + 1
            }
            '}' | ']' | ',' => {
                self.close(c);
                at + 1
            }
            ':' | '=' | ' ' | '\t' => {
                self.out.push(c);
                at + 1
            }
            _ => {
                let end = bare(chars, at);
                let text = chars.get(at..end).unwrap_or_default();
                self.piece(chars, (at, end), text, false);
                end
            }
        }
    }

    fn close(&mut self, c: char) {
        self.out.push(c);
        if c != ',' {
            self.depth = self.depth.saturating_sub(1);
        }
        let over = |(depth, bare): (usize, bool)| {
            let comma_inside = c == ',' && !bare;
            self.depth < depth || (self.depth == depth && !comma_inside)
        };
        if self.hidden.is_some_and(over) {
            self.hidden = None;
        }
    }

    /// A name or a value.
    fn piece(&mut self, chars: &[char], (from, to): (usize, usize), text: &[char], quoted: bool) {
        let piece = chars.get(from..to).unwrap_or_default();
        let name = is_name(chars, to);
        if name && self.hidden.is_none() {
            self.out.extend(piece);
            let text: String = text.iter().collect();
            if self.all || hides(&text) {
                self.hidden = Some((self.depth, true));
            }
            return;
        }
        let hide = self.hidden.is_some() || (self.all && !name);
        if !hide || name {
            self.out.extend(piece);
            return;
        }
        for (at, c) in piece.iter().enumerate() {
            let last = at + 1 == piece.len() && at > 0 && piece.first() == Some(c);
            let mark = quoted && (at == 0 || last);
            self.out.push(if mark || c.is_whitespace() {
                *c
            } else {
                HIDDEN
            });
        }
        // A value in quotes is over; one without may have blanks.
        if quoted && self.hidden.is_some_and(|(_, bare)| bare) {
            self.hidden = None;
        }
    }
}

/// Where a text in quotes ends, behind its second quote or with the line.
fn literal(chars: &[char], from: usize) -> usize {
    let quote = chars.get(from).copied().unwrap_or('"');
    let mut at = from + 1;
    while let Some(&c) = chars.get(at) {
        at += match c {
            '\\' if quote == '"' => 2,
            c if c == quote => return at + 1,
            _ => 1,
        };
    }
    chars.len()
}

/// Where a text without quotes ends.
fn bare(chars: &[char], from: usize) -> usize {
    let rest = chars.get(from..).unwrap_or_default();
    let mut end = from;
    for (at, c) in rest.iter().enumerate() {
        let next = rest.get(at + 1);
        let ends = matches!(
            c,
            ',' | '}' | ']' | '{' | '[' | '"' | '\'' | '=' | ' ' | '\t'
        ) || (*c == ':' && next.is_none_or(|next| next.is_whitespace()));
        if ends {
            break;
        }
        end = from + at + 1;
    }
    end.max(from + 1)
}

/// Whether what ends here is the name of a member.
fn is_name(chars: &[char], end: usize) -> bool {
    let rest = chars.get(end..).unwrap_or_default();
    let mut rest = rest.iter().skip_while(|c| matches!(c, ' ' | '\t'));
    matches!(rest.next(), Some(':' | '='))
}

/// Hides what stands between `://` and `@`.
fn hide_userinfo(chars: &mut [char]) {
    let mut from = None;
    for at in 0..chars.len() {
        let Some(&c) = chars.get(at) else { return };
        let slashes = c == '/'
            && at >= 2
            && chars.get(at - 1) == Some(&'/')
            && chars.get(at - 2) == Some(&':');
        if slashes {
            from = Some(at + 1);
        } else if c == '@' {
            let hidden = from.take().map(|from| from..at);
            for one in hidden.into_iter().flatten() {
                if let Some(c) = chars.get_mut(one) {
                    *c = HIDDEN;
                }
            }
        } else if matches!(c, '/' | '"' | '\'' | ' ' | '?') {
            from = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_is_a_secret() {
        for name in [
            "client_secret",
            "password",
            "Password",
            "key",
            "keys",
            "salt",
            "users",
            "api_key",
            "cypher_key",
            "X-API-Key",
            "revoke_server_api_key",
            "credentials_json",
            "Authorization",
            "private_key",
        ] {
            assert!(hides(name), "{name}");
        }
        for name in [
            "host",
            "monkey",
            "url_pattern",
            "timeout",
            "roles",
            "key_identify_strategy",
            "",
        ] {
            assert!(!hides(name), "{name}");
        }
    }

    #[test]
    fn only_what_is_secret_is_hidden_and_columns_stay() {
        for (line, shown) in [
            (
                r#"  "client_secret": "hunter2","#,
                r#"  "client_secret": "*******","#,
            ),
            (
                r#""a": "b", "password":"x\"y", "c": 1"#,
                r#""a": "b", "password":"****", "c": 1"#,
            ),
            (
                r#"{"keys":[{"key":"k1","roles":["r"]}],"hash":"plain"}"#,
                r#"{"keys":[{"key":"**","roles":["*"]}],"hash":"plain"}"#,
            ),
            (
                r#""users": {"ann": "pw", "bob": 5}, "x": "y""#,
                r#""users": {"ann": "**", "bob": *}, "x": "y""#,
            ),
            ("password: open sesame", "password: **** ******"),
            ("- key: abc # note", "- key: *** * ****"),
            ("secret = 'abc' # x", "secret = '***' # x"),
            (r#""token": 12345, "a": 1"#, r#""token": *****, "a": 1"#),
            (r#""password": "unclosed"#, r#""password": "********"#),
            (
                r#""store": {"valkey": "redis://u:pw@h:1/0"}"#,
                r#""store": {"valkey": "redis://****@h:1/0"}"#,
            ),
            (r#""host": ["http://a/b@c"]"#, r#""host": ["http://a/b@c"]"#),
            ("timeout: 3s", "timeout: 3s"),
            ("", ""),
        ] {
            assert_eq!(masked(line, false), shown);
            assert_eq!(masked(line, false).chars().count(), line.chars().count());
        }
    }

    #[test]
    fn parameters_are_hidden_by_their_decoded_names() {
        for (target, shown) in [
            ("/a", "/a"),
            ("/a?b=c&d", "/a?b=c&d"),
            (
                "http://h/a?token=t&page=2&api+key=k",
                "http://h/a?token=…&page=2&api+key=…",
            ),
            ("/a?%61pi%20%6Bey=k&x=%", "/a?%61pi%20%6Bey=…&x=%"),
            ("/a?%zz=1&%=2&password", "/a?%zz=1&%=2&password"),
        ] {
            assert_eq!(query_masked(target), shown);
        }
    }

    #[test]
    fn where_all_is_secret_no_value_is_shown() {
        for (line, shown) in [
            (r#"  "ann": "topsecret","#, r#"  "ann": "*********","#),
            ("ann: topsecret", "ann: *********"),
            (r#"  "topsecret""#, r#"  "*********""#),
            ("  - topsecret", "  * *********"),
        ] {
            assert_eq!(masked(line, true), shown);
        }
    }

    #[test]
    fn any_text_keeps_its_length_and_takes_linear_time() {
        let line = "\"key\":{[\"'\\,:=@ x//".repeat(20_000);
        assert_eq!(masked(&line, false).chars().count(), line.chars().count());
        assert_eq!(masked(&line, true).chars().count(), line.chars().count());
        let blanks = "\"a\" ".repeat(20_000);
        assert_eq!(masked(&blanks, false), blanks);
    }
}
