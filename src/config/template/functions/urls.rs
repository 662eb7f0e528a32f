//! sprig's `urlParse` and `urlJoin`: a URL as a dictionary, Go's way to cut it.

use super::{Entry, Failure, Given, Host, any, give, text};
use crate::config::template::value::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "urlParse",
        params: "S",
        call: url_parse,
    },
    Entry {
        name: "urlJoin",
        params: "M",
        call: url_join,
    },
];

fn url_parse(_: &mut Host<'_>, args: &[Value]) -> Given {
    let url = text(args, 0);
    let refuse = |why: &str| Failure::from(format!("unable to parse url: parse {url:?}: {why}"));
    if url.chars().any(|c| c.is_ascii_control()) {
        return Err(refuse("net/url: invalid control character in URL"));
    }
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, after))
            if scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) =>
        {
            (scheme.to_ascii_lowercase(), after)
        }
        Some(("", _)) => return Err(refuse("missing protocol scheme")),
        _ => (String::new(), rest),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut opaque = "";
    let (mut authority, mut path) = ("", rest);
    if !scheme.is_empty() && !rest.starts_with('/') {
        (opaque, path) = (rest, "");
    } else if let Some(after) = rest.strip_prefix("//") {
        let end = after.find('/').unwrap_or(after.len());
        (authority, path) = after.split_at(end);
    }
    let (userinfo, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let decoded = |part: &str| unescaped(part).ok_or_else(|| refuse("invalid URL escape"));
    let members = [
        ("scheme", scheme),
        ("host", decoded(host)?),
        ("hostname", hostname(host).to_owned()),
        ("path", decoded(path)?),
        ("query", query.to_owned()),
        ("opaque", opaque.to_owned()),
        ("fragment", decoded(fragment)?),
        ("userinfo", userinfo.to_owned()),
    ];
    let members = members
        .into_iter()
        .map(|(name, value)| (Arc::from(name), Value::text(value)));
    Ok(Value::map(members.collect::<BTreeMap<_, _>>()))
}

fn hostname(host: &str) -> &str {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split(']').next().unwrap_or_default();
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

fn unescaped(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'%' {
            let hex = text.get(at + 1..at + 3)?;
            out.push(u8::from_str_radix(hex, 16).ok()?);
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// Escapes what may not stand in a path or fragment.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*".contains(&byte);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn url_join(_: &mut Host<'_>, args: &[Value]) -> Given {
    let Value::Map(members, _) = any(args, 0) else {
        return give("");
    };
    let members = members.borrow();
    let part = |name: &str| match members.get(name) {
        None => Ok(String::new()),
        Some(Value::Text(text, _)) => Ok(text.to_string()),
        Some(other) => Err(Failure::from(format!(
            "unable to parse {name} key, must be of type string, but {} found",
            other.kind_name()
        ))),
    };
    let (scheme, host, path, query) = (
        part("scheme")?,
        part("host")?,
        part("path")?,
        part("query")?,
    );
    let (opaque, fragment, userinfo) = (part("opaque")?, part("fragment")?, part("userinfo")?);
    let mut out = String::new();
    if !scheme.is_empty() {
        out.push_str(&scheme);
        out.push(':');
    }
    if opaque.is_empty() {
        if !scheme.is_empty() || !host.is_empty() || !userinfo.is_empty() {
            if !host.is_empty() || !path.is_empty() || !userinfo.is_empty() {
                out.push_str("//");
            }
            if !userinfo.is_empty() {
                out.push_str(&userinfo);
                out.push('@');
            }
            out.push_str(&host);
        }
        let path = escaped(&path);
        if !path.is_empty() && !path.starts_with('/') && !host.is_empty() {
            out.push('/');
        }
        out.push_str(&path);
    } else {
        out.push_str(&opaque);
    }
    if !query.is_empty() {
        out.push('?');
        out.push_str(&query);
    }
    if !fragment.is_empty() {
        out.push('#');
        out.push_str(&escaped(&fragment));
    }
    give(out)
}
