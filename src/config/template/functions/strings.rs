//! sprig's functions of strings. They count bytes where Go does; a cut inside a character leaves U+FFFD
//! where Go leaves half a character.

use super::{Entry, Failure, Given, Host, any, give, int, strval, text};
use crate::config::template::print::quote;
use crate::config::template::value::{Elem, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "hello",
        params: "",
        call: |_, _| give("Hello!"),
    },
    Entry {
        name: "abbrev",
        params: "IS",
        call: |_, a| abbreviate(text(a, 1), 0, int(a, 0)),
    },
    Entry {
        name: "abbrevboth",
        params: "IIS",
        call: abbrevboth,
    },
    Entry {
        name: "trunc",
        params: "IS",
        call: trunc,
    },
    Entry {
        name: "trim",
        params: "S",
        call: |_, a| give(text(a, 0).trim()),
    },
    Entry {
        name: "trimAll",
        params: "SS",
        call: trim_all,
    },
    Entry {
        name: "trimall",
        params: "SS",
        call: trim_all,
    },
    Entry {
        name: "trimSuffix",
        params: "SS",
        call: |_, a| {
            give(
                text(a, 1)
                    .strip_suffix(text(a, 0))
                    .unwrap_or_else(|| text(a, 1)),
            )
        },
    },
    Entry {
        name: "trimPrefix",
        params: "SS",
        call: |_, a| {
            give(
                text(a, 1)
                    .strip_prefix(text(a, 0))
                    .unwrap_or_else(|| text(a, 1)),
            )
        },
    },
    Entry {
        name: "upper",
        params: "S",
        call: |_, a| give(text(a, 0).to_uppercase()),
    },
    Entry {
        name: "lower",
        params: "S",
        call: |_, a| give(text(a, 0).to_lowercase()),
    },
    Entry {
        name: "substr",
        params: "IIS",
        call: substr,
    },
    Entry {
        name: "repeat",
        params: "IS",
        call: repeat,
    },
    Entry {
        name: "nospace",
        params: "S",
        call: |_, a| {
            give(
                text(a, 0)
                    .chars()
                    .filter(|c| !c.is_whitespace())
                    .collect::<String>(),
            )
        },
    },
    Entry {
        name: "contains",
        params: "SS",
        call: |_, a| Ok(Value::Bool(text(a, 1).contains(text(a, 0)))),
    },
    Entry {
        name: "hasPrefix",
        params: "SS",
        call: |_, a| Ok(Value::Bool(text(a, 1).starts_with(text(a, 0)))),
    },
    Entry {
        name: "hasSuffix",
        params: "SS",
        call: |_, a| Ok(Value::Bool(text(a, 1).ends_with(text(a, 0)))),
    },
    Entry {
        name: "quote",
        params: "A*",
        call: |_, a| quoted(a, |value| quote(&strval(value))),
    },
    Entry {
        name: "squote",
        params: "A*",
        call: |_, a| quoted(a, |value| format!("'{}'", strval(value))),
    },
    Entry {
        name: "cat",
        params: "A*",
        call: cat,
    },
    Entry {
        name: "indent",
        params: "IS",
        call: |host, a| indent(host, a, ""),
    },
    Entry {
        name: "nindent",
        params: "IS",
        call: |host, a| indent(host, a, "\n"),
    },
    Entry {
        name: "replace",
        params: "SSS",
        call: replace,
    },
    Entry {
        name: "plural",
        params: "SSI",
        call: |_, a| {
            give(if int(a, 2) == 1 {
                text(a, 0)
            } else {
                text(a, 1)
            })
        },
    },
    Entry {
        name: "split",
        params: "SS",
        call: |_, a| {
            Ok(numbered(
                text(a, 1).split(text(a, 0)).collect(),
                text(a, 0),
                text(a, 1),
            ))
        },
    },
    Entry {
        name: "splitn",
        params: "SIS",
        call: splitn,
    },
    Entry {
        name: "splitList",
        params: "SS",
        call: |_, a| Ok(Value::texts(pieces(text(a, 0), text(a, 1)))),
    },
    Entry {
        name: "toStrings",
        params: "A",
        call: |_, a| Ok(Value::texts(texts_of(any(a, 0)))),
    },
    Entry {
        name: "join",
        params: "SA",
        call: join,
    },
    Entry {
        name: "sortAlpha",
        params: "A",
        call: sort_alpha,
    },
    Entry {
        name: "wrap",
        params: "IS",
        call: |_, a| Ok(Value::text(wrap(text(a, 1), int(a, 0), "\n", false))),
    },
    Entry {
        name: "wrapWith",
        params: "ISS",
        call: wrap_with,
    },
];

/// The bytes from `from` to `to`, both inside.
fn bytes(text: &str, from: usize, to: usize) -> String {
    let bytes = text
        .as_bytes()
        .get(from..to.min(text.len()))
        .unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

fn size(number: i64) -> usize {
    usize::try_from(number).unwrap_or_default()
}

fn out_of_range(number: i64, length: usize) -> Failure {
    format!("slice bounds out of range [:{number}] with length {length}").into()
}

/// goutils' `AbbreviateFull`; texts that cannot be shortened like this come out empty, as there.
fn abbreviate(text: &str, offset: usize, width: i64) -> Given {
    if width < 4 {
        return give(if offset == 0 { text } else { "" });
    }
    let width = size(width);
    if text.len() <= width {
        return give(text);
    }
    let mut offset = offset.min(text.len());
    if text.len() - offset < width - 3 {
        offset = text.len() - (width - 3);
    }
    if offset <= 4 {
        return give(bytes(text, 0, width - 3) + "...");
    }
    if width < 7 {
        return give("");
    }
    if offset + width - 3 < text.len() {
        let rest = bytes(text, offset, text.len());
        let short = bytes(&rest, 0, (width - 3).saturating_sub(3));
        let short = match rest.len() <= width - 3 {
            true => rest,
            false => short + "...",
        };
        return give(format!("...{short}"));
    }
    give(format!(
        "...{}",
        bytes(text, text.len() - (width - 3), text.len())
    ))
}

fn abbrevboth(_: &mut Host<'_>, args: &[Value]) -> Given {
    let (left, right) = (int(args, 0), int(args, 1));
    if right < 4 || left > 0 && right < 7 {
        return give(text(args, 2));
    }
    abbreviate(text(args, 2), size(left), right)
}

fn trunc(_: &mut Host<'_>, args: &[Value]) -> Given {
    let (count, text) = (int(args, 0), text(args, 1));
    let length = text.len();
    let magnitude = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    give(if magnitude >= length {
        text.to_owned()
    } else if count < 0 {
        bytes(text, length - magnitude, length)
    } else {
        bytes(text, 0, magnitude)
    })
}

fn trim_all(_: &mut Host<'_>, args: &[Value]) -> Given {
    let set = text(args, 0);
    give(text(args, 1).trim_matches(|c| set.contains(c)))
}

fn substr(_: &mut Host<'_>, args: &[Value]) -> Given {
    let (start, end, text) = (int(args, 0), int(args, 1), text(args, 2));
    let length = text.len();
    if start < 0 {
        return match usize::try_from(end) {
            Ok(end) if end <= length => give(bytes(text, 0, end)),
            _ => Err(out_of_range(end, length)),
        };
    }
    let end = if end < 0 || size(end) > length {
        length
    } else {
        size(end)
    };
    if size(start) > end {
        return Err(out_of_range(start, length));
    }
    give(bytes(text, size(start), end))
}

fn repeat(host: &mut Host<'_>, args: &[Value]) -> Given {
    let (count, text) = (int(args, 0), text(args, 1));
    let Ok(count) = usize::try_from(count) else {
        return Err("strings: negative Repeat count".into());
    };
    let length = (count as u64).saturating_mul(text.len() as u64);
    host.charge(length)?;
    give(text.repeat(count))
}

fn quoted(args: &[Value], with: impl Fn(&Value) -> String) -> Given {
    let there = args.iter().filter(|value| !value.is_nil());
    give(there.map(with).collect::<Vec<_>>().join(" "))
}

fn cat(_: &mut Host<'_>, args: &[Value]) -> Given {
    let there = args.iter().filter(|value| !value.is_nil());
    give(there.map(strval).collect::<Vec<_>>().join(" "))
}

fn indent(host: &mut Host<'_>, args: &[Value], before: &str) -> Given {
    let (spaces, text) = (int(args, 0), text(args, 1));
    let Ok(spaces) = usize::try_from(spaces) else {
        return Err("strings: negative Repeat count".into());
    };
    let lines = text.bytes().filter(|&b| b == b'\n').count() as u64 + 1;
    host.charge(lines.saturating_mul(spaces as u64))?;
    let pad = " ".repeat(spaces);
    give(format!(
        "{before}{pad}{}",
        text.replace('\n', &format!("\n{pad}"))
    ))
}

fn replace(host: &mut Host<'_>, args: &[Value]) -> Given {
    let (old, new, source) = (text(args, 0), text(args, 1), text(args, 2));
    let most = (source.len() / old.len().max(1) + 1) as u64;
    host.charge(most.saturating_mul(new.len() as u64))?;
    give(source.replace(old, new))
}

/// Go's `strings.Split`: an empty separator gives the characters.
fn pieces<'t>(separator: &str, text: &'t str) -> Vec<&'t str> {
    if separator.is_empty() {
        return text
            .char_indices()
            .map(|(at, c)| text.get(at..at + c.len_utf8()).unwrap_or_default())
            .collect();
    }
    text.split(separator).collect()
}

fn numbered(parts: Vec<&str>, separator: &str, text: &str) -> Value {
    let parts = if separator.is_empty() {
        pieces("", text)
    } else {
        parts
    };
    let members = parts.into_iter().enumerate();
    let members = members.map(|(at, part)| (Arc::from(format!("_{at}")), Value::text(part)));
    Value::mapping(members.collect::<BTreeMap<_, _>>(), Elem::Text)
}

fn splitn(_: &mut Host<'_>, args: &[Value]) -> Given {
    let (separator, count, source) = (text(args, 0), int(args, 1), text(args, 2));
    let parts: Vec<&str> = match usize::try_from(count) {
        Ok(0) => Vec::new(),
        Ok(count) if !separator.is_empty() => source.splitn(count, separator).collect(),
        Ok(count) => {
            let mut parts = pieces("", source);
            if parts.len() > count {
                let at: usize = parts.iter().take(count - 1).map(|part| part.len()).sum();
                parts.truncate(count - 1);
                parts.push(source.get(at..).unwrap_or_default());
            }
            parts
        }
        Err(_) => pieces(separator, source),
    };
    Ok(numbered(parts, "-", ""))
}

/// sprig's `strslice`: the elements as strings without nil, or one string.
pub(super) fn texts_of(value: &Value) -> Vec<String> {
    match value {
        Value::Missing | Value::Nil => Vec::new(),
        Value::List(items, _) => items.iter().filter(|v| !v.is_nil()).map(strval).collect(),
        other => vec![strval(other)],
    }
}

fn join(host: &mut Host<'_>, args: &[Value]) -> Given {
    let parts = texts_of(any(args, 1));
    host.charge((parts.len() as u64).saturating_mul(text(args, 0).len() as u64))?;
    give(parts.join(text(args, 0)))
}

fn sort_alpha(_: &mut Host<'_>, args: &[Value]) -> Given {
    let mut texts = match any(args, 0) {
        list @ Value::List(..) => texts_of(list),
        other => vec![strval(other)],
    };
    texts.sort_unstable();
    Ok(Value::texts(texts))
}

fn wrap_with(host: &mut Host<'_>, args: &[Value]) -> Given {
    let (width, separator, source) = (int(args, 0), text(args, 1), text(args, 2));
    host.charge((source.len() as u64).saturating_mul(separator.len() as u64))?;
    let separator = if separator.is_empty() {
        "\n"
    } else {
        separator
    };
    give(wrap(source, width, separator, true))
}

/// goutils' `WrapCustom`.
fn wrap(source: &str, width: i64, separator: &str, cut_long: bool) -> String {
    let width = size(width).max(1);
    let all = source.as_bytes();
    let mut out: Vec<u8> = Vec::with_capacity(all.len());
    let mut at = 0;
    while all.len() - at > width {
        let rest = all.get(at..).unwrap_or_default();
        if rest.first() == Some(&b' ') {
            at += 1;
            continue;
        }
        let window = rest.get(..=width).unwrap_or(rest);
        let next = match window.iter().rposition(|&b| b == b' ') {
            Some(space) => (space, space + 1),
            None if cut_long => (width, width),
            None => match rest.iter().skip(width).position(|&b| b == b' ') {
                Some(space) => (width + space, width + space + 1),
                None => (rest.len(), rest.len()),
            },
        };
        out.extend_from_slice(rest.get(..next.0).unwrap_or_default());
        at += next.1;
        if next.1 < rest.len() || next.1 > next.0 || cut_long {
            out.extend_from_slice(separator.as_bytes());
        }
    }
    out.extend_from_slice(all.get(at..).unwrap_or_default());
    String::from_utf8_lossy(&out).into_owned()
}
