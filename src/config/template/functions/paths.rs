//! sprig's functions of paths, with slashes; those of the operating system are the same on ours.

use super::{Entry, give, text};
use crate::config::template::value::Value;

pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "base",
        params: "S",
        call: |_, a| give(base(text(a, 0))),
    },
    Entry {
        name: "osBase",
        params: "S",
        call: |_, a| give(base(text(a, 0))),
    },
    Entry {
        name: "dir",
        params: "S",
        call: |_, a| give(dir(text(a, 0))),
    },
    Entry {
        name: "osDir",
        params: "S",
        call: |_, a| give(dir(text(a, 0))),
    },
    Entry {
        name: "clean",
        params: "S",
        call: |_, a| give(clean(text(a, 0))),
    },
    Entry {
        name: "osClean",
        params: "S",
        call: |_, a| give(clean(text(a, 0))),
    },
    Entry {
        name: "ext",
        params: "S",
        call: |_, a| give(ext(text(a, 0))),
    },
    Entry {
        name: "osExt",
        params: "S",
        call: |_, a| give(ext(text(a, 0))),
    },
    Entry {
        name: "isAbs",
        params: "S",
        call: |_, a| Ok(Value::Bool(text(a, 0).starts_with('/'))),
    },
    Entry {
        name: "osIsAbs",
        params: "S",
        call: |_, a| Ok(Value::Bool(text(a, 0).starts_with('/'))),
    },
];

fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    let path = path.trim_end_matches('/');
    match path.rsplit('/').next() {
        Some("") | None => "/",
        Some(last) => last,
    }
}

fn dir(path: &str) -> String {
    clean(path.rsplit_once('/').map_or("", |(before, _)| {
        path.get(..=before.len()).unwrap_or_default()
    }))
}

fn ext(path: &str) -> &str {
    let last = path.rsplit('/').next().unwrap_or_default();
    last.rfind('.')
        .and_then(|at| last.get(at..))
        .unwrap_or_default()
}

fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(".."),
            },
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}
