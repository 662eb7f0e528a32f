//! sprig's regular expressions: RE2's language on an engine of the same family, linear in the text.
//!
//! An expression that cannot be compiled is an error in every function; sprig's `regexMatch` calls it no
//! match.

use super::{Entry, Failure, Given, Host, give, int, text};
use crate::config::template::value::Value;
use regex::{NoExpand, Regex, RegexBuilder};

pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "regexMatch",
        params: "SS",
        call: matches,
    },
    Entry {
        name: "mustRegexMatch",
        params: "SS",
        call: matches,
    },
    Entry {
        name: "regexFind",
        params: "SS",
        call: find,
    },
    Entry {
        name: "mustRegexFind",
        params: "SS",
        call: find,
    },
    Entry {
        name: "regexFindAll",
        params: "SSI",
        call: find_all,
    },
    Entry {
        name: "mustRegexFindAll",
        params: "SSI",
        call: find_all,
    },
    Entry {
        name: "regexReplaceAll",
        params: "SSS",
        call: |host, a| replace(host, a, false),
    },
    Entry {
        name: "mustRegexReplaceAll",
        params: "SSS",
        call: |host, a| replace(host, a, false),
    },
    Entry {
        name: "regexReplaceAllLiteral",
        params: "SSS",
        call: |host, a| replace(host, a, true),
    },
    Entry {
        name: "mustRegexReplaceAllLiteral",
        params: "SSS",
        call: |host, a| replace(host, a, true),
    },
    Entry {
        name: "regexSplit",
        params: "SSI",
        call: split,
    },
    Entry {
        name: "mustRegexSplit",
        params: "SSI",
        call: split,
    },
    Entry {
        name: "regexQuoteMeta",
        params: "S",
        call: |_, a| give(quoted(text(a, 0))),
    },
];

fn compile(host: &mut Host<'_>, args: &[Value]) -> Result<Regex, Failure> {
    host.charge(1 << 14)?;
    let built = RegexBuilder::new(text(args, 0)).size_limit(1 << 20).build();
    built.map_err(|error| {
        let last = error
            .to_string()
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned();
        let shown = text(args, 0);
        Failure::from(format!("regular expression `{shown}`: {last}"))
            .hint("the language is RE2's: no look-around and no back references")
    })
}

fn matches(host: &mut Host<'_>, args: &[Value]) -> Given {
    Ok(Value::Bool(compile(host, args)?.is_match(text(args, 1))))
}

fn find(host: &mut Host<'_>, args: &[Value]) -> Given {
    let found = compile(host, args)?;
    give(found.find(text(args, 1)).map_or("", |found| found.as_str()))
}

/// How many of what can be found are wanted.
fn wanted(args: &[Value]) -> usize {
    usize::try_from(int(args, 2)).unwrap_or(usize::MAX)
}

fn find_all(host: &mut Host<'_>, args: &[Value]) -> Given {
    let regex = compile(host, args)?;
    let found = regex.find_iter(text(args, 1)).take(wanted(args));
    Ok(Value::texts(found.map(|found| found.as_str())))
}

fn replace(host: &mut Host<'_>, args: &[Value], literal: bool) -> Given {
    let regex = compile(host, args)?;
    let (source, with) = (text(args, 1), text(args, 2));
    let found = regex.find_iter(source).count() as u64;
    let each = with.len() as u64
        + if literal {
            0
        } else {
            source.len() as u64 * with.matches('$').count() as u64
        };
    host.charge(found.saturating_mul(each))?;
    give(if literal {
        regex.replace_all(source, NoExpand(with)).into_owned()
    } else {
        regex.replace_all(source, with).into_owned()
    })
}

fn split(host: &mut Host<'_>, args: &[Value]) -> Given {
    let regex = compile(host, args)?;
    let (source, wanted) = (text(args, 1), wanted(args));
    if wanted == 0 {
        return Ok(Value::texts(Vec::<String>::new()));
    }
    let (mut parts, mut from, mut end) = (Vec::new(), 0, 0);
    for found in regex.find_iter(source) {
        if parts.len() + 1 == wanted {
            break;
        }
        end = found.start();
        // An empty match at the very beginning splits nothing.
        if found.end() != 0 {
            parts.push(source.get(from..end).unwrap_or_default());
        }
        from = found.end();
    }
    if end != source.len() {
        parts.push(source.get(from..).unwrap_or_default());
    }
    Ok(Value::texts(parts))
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
