//! Query strings: what of the client's query reaches a backend (reference section 7.4 and 7.3), as
//! Go parses and writes them. Differs from KrakenD only in reading no more than [`MAX_PAIRS`] pairs.

use crate::gateway::path::{BadEscape, escaped_byte, push_escaped, unreserved};
use std::borrow::Cow;

/// How many pairs of a query are considered; the rest is dropped.
pub const MAX_PAIRS: usize = 1000;

/// A decoded name and value.
pub type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// Which query parameters a backend receives: `input_query_strings` of the endpoint and of the
/// backend, made into one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum QueryFilter {
    /// None at all.
    #[default]
    None,
    /// Everything that can be parsed.
    All,
    /// These names, exactly.
    Listed(Box<[Box<str>]>),
    /// Everything that can be parsed but these names: they are for the gateway alone.
    AllBut(Box<[Box<str>]>),
}

impl QueryFilter {
    /// Compiles both lists. In the endpoint's, `*` stands for everything; in the backend's it is
    /// an ordinary name, and an empty list means that there is no second filter.
    pub fn compile(endpoint: &[String], backend: &[String]) -> Self {
        let boxed = |names: &[String]| names.iter().map(|n| n.as_str().into()).collect();
        match (endpoint.iter().any(|n| n == "*"), endpoint, backend) {
            (false, [], _) => Self::None,
            (true, _, []) => Self::All,
            (true, _, backend) => Self::Listed(boxed(backend)),
            (false, endpoint, []) => Self::Listed(boxed(endpoint)),
            (false, endpoint, backend) => {
                let both: Box<[Box<str>]> = endpoint
                    .iter()
                    .filter(|name| backend.contains(name))
                    .map(|name| name.as_str().into())
                    .collect();
                if both.is_empty() {
                    Self::None
                } else {
                    Self::Listed(both)
                }
            }
        }
    }

    /// The same filter, which lets none of these names pass.
    #[must_use]
    pub fn without(self, hidden: &[String]) -> Self {
        if hidden.is_empty() {
            return self;
        }
        let boxed = || hidden.iter().map(|name| name.as_str().into()).collect();
        match self {
            Self::None => Self::None,
            Self::All => Self::AllBut(boxed()),
            Self::AllBut(names) => {
                Self::AllBut(names.into_iter().chain(Vec::from(boxed())).collect())
            }
            Self::Listed(names) => {
                let left = names
                    .into_iter()
                    .filter(|name| !hidden.iter().any(|hidden| **hidden == **name));
                Self::Listed(left.collect())
            }
        }
    }

    /// Whether a decoded name passes.
    pub fn passes(&self, name: &[u8]) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Listed(names) => names.iter().any(|n| n.as_bytes() == name),
            Self::AllBut(names) => !names.iter().any(|n| n.as_bytes() == name),
        }
    }

    /// The query to send, encoded and sorted; `None` when nothing is left of the client's.
    pub fn apply(&self, raw_query: &[u8]) -> Option<String> {
        if raw_query.is_empty() || *self == Self::None {
            return None;
        }
        let mut kept: Vec<Pair<'_>> = pairs(raw_query).filter(|(n, _)| self.passes(n)).collect();
        if kept.is_empty() {
            return None;
        }
        Some(encode(&mut kept))
    }
}

/// The pairs of a query in order, decoded as a form; pairs with `;` or a bad escape are skipped.
pub fn pairs(raw_query: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    raw_query
        .split(|&b| b == b'&')
        .filter(|piece| !piece.is_empty())
        .take(MAX_PAIRS)
        .filter_map(|piece| {
            if piece.contains(&b';') {
                return None;
            }
            let mut halves = piece.splitn(2, |&b| b == b'=');
            let name = decode_form(halves.next().unwrap_or_default()).ok()?;
            let value = decode_form(halves.next().unwrap_or_default()).ok()?;
            Some((name, value))
        })
}

/// Sorts pairs by name (bytewise, values of one name keep their order) and writes them as a form.
pub fn encode(pairs: &mut [Pair<'_>]) -> String {
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out = String::with_capacity(pairs.iter().map(|(n, v)| n.len() + v.len() + 2).sum());
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        push_form(&mut out, name);
        out.push('=');
        push_form(&mut out, value);
    }
    out
}

/// Appends an encoded query to a `path` or `path?query`.
pub fn append(target: &mut String, query: &str) {
    if query.is_empty() {
        return;
    }
    match target.find('?') {
        None => target.push('?'),
        // "/p?" is a query too, an empty one.
        Some(at) if at + 1 == target.len() => {}
        Some(_) => target.push('&'),
    }
    target.push_str(query);
}

fn decode_form(text: &[u8]) -> Result<Cow<'_, [u8]>, BadEscape> {
    if !text.iter().any(|b| matches!(b, b'%' | b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                out.push(escaped_byte(text, at - 1)?);
                at += 2;
            }
            byte => out.push(byte),
        }
    }
    Ok(Cow::Owned(out))
}

/// Appends a text as a form writes it, as Go's `url.QueryEscape` does.
pub fn push_form(out: &mut String, text: &[u8]) {
    for &byte in text {
        match byte {
            b' ' => out.push('+'),
            byte if unreserved(byte) => out.push(char::from(byte)),
            byte => push_escaped(out, byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|&n| n.to_owned()).collect()
    }

    fn sent(endpoint: &[&str], backend: &[&str], query: &str) -> Option<String> {
        QueryFilter::compile(&list(endpoint), &list(backend)).apply(query.as_bytes())
    }

    #[test]
    fn follows_the_worked_vectors() {
        for (names, query, expected) in [
            (&[][..], "a=1", "/p?z=1"),
            (&["b", "a"], "b=2&a=1&a=3&c=4", "/p?z=1&a=1&a=3&b=2"),
            (&["*"], "q=a%20b&e", "/p?z=1&e=&q=a+b"),
            (&["*"], "a=1;b=2&c=3", "/p?z=1&c=3"),
            (&["z"], "z=9", "/p?z=1&z=9"),
        ] {
            let mut target = "/p?z=1".to_owned();
            append(&mut target, &sent(names, &[], query).unwrap_or_default());
            assert_eq!(target, expected);
        }
    }

    #[test]
    fn answers_as_recorded() {
        let names = ["b", "a", "c"];
        for (query, expected) in [
            ("a=1&b=2&z=9", Some("a=1&b=2")),
            ("b=2&a=1&b=1", Some("a=1&b=2&b=1")),
            ("a=&b", Some("a=&b=")),
            ("a=x%20y&b=%26&c=%E9", Some("a=x+y&b=%26&c=%E9")),
            ("A=1", None),
            ("a[]=1&c=+", Some("c=+")),
            ("a=1;b=2", None),
            ("a=%zz&b=1", Some("b=1")),
        ] {
            assert_eq!(sent(&names, &[], query).as_deref(), expected, "{query}");
        }
    }

    #[test]
    fn filters_a_second_time_by_exact_names() {
        assert_eq!(sent(&["*"], &["a"], "a=1&b=2").as_deref(), Some("a=1"));
        assert_eq!(
            sent(&["a", "b"], &["b", "c"], "a=1&b=2&c=3").as_deref(),
            Some("b=2")
        );
        assert_eq!(sent(&["*"], &["*"], "a=1&*=2").as_deref(), Some("%2A=2"));
        assert_eq!(sent(&["a"], &["*"], "a=1"), None);
        assert_eq!(sent(&[], &["a"], "a=1"), None);
    }

    #[test]
    fn decodes_names_before_comparing() {
        assert_eq!(
            sent(&["a b"], &[], "a%20b=1&a+b=2").as_deref(),
            Some("a+b=1&a+b=2")
        );
        assert_eq!(sent(&["a"], &[], "%61==x=").as_deref(), Some("a=%3Dx%3D"));
        assert_eq!(sent(&["*"], &[], "&&=&=v"), Some("=&=v".to_owned()));
    }

    #[test]
    fn considers_a_bounded_number_of_pairs() {
        let query = "a&".repeat(MAX_PAIRS + 50);
        let sent = sent(&["*"], &[], &query).unwrap();
        assert_eq!(sent.split('&').count(), MAX_PAIRS);
    }

    #[test]
    fn appends_to_targets_of_every_form() {
        for (target, expected) in [("/p", "/p?a=1"), ("/p?", "/p?a=1"), ("/p?z", "/p?z&a=1")] {
            let mut target = target.to_owned();
            append(&mut target, "a=1");
            assert_eq!(target, expected);
        }
    }
}
