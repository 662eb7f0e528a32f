//! Backends of one endpoint: who is called, with what, and what is kept of the answers.

use super::{Changes, Weight, arrow, extras};
use crate::config::{Backend, Endpoint};
use std::collections::BTreeSet;

/// Stands for everything in a list.
const ALL: &str = "*";

pub(super) fn compare(before: &Endpoint, after: &Endpoint, changes: &mut Changes<'_>) {
    let mut left: Vec<Option<&Backend>> = after.backend.iter().map(Some).collect();
    let mut pairs: Vec<(&Backend, &Backend)> = Vec::new();
    let mut alone = Vec::new();
    for old in &before.backend {
        match take(&mut left, |new| same_call(old, new)) {
            Some(new) => pairs.push((old, new)),
            None => alone.push(old),
        }
    }
    for old in alone {
        match take(&mut left, |_| true) {
            Some(new) => pairs.push((old, new)),
            None => {
                let text = format!("{} is called no more", name(old));
                changes.at(
                    Weight::Breaking,
                    "backend",
                    text,
                    Some(old.pointer.clone()),
                    None,
                );
            }
        }
    }
    for new in left.into_iter().flatten() {
        let text = format!("{} is called too", name(new));
        changes.at(
            Weight::Changed,
            "backend",
            text,
            None,
            Some(new.pointer.clone()),
        );
    }
    let subject = changes.subject.clone();
    for (old, new) in pairs {
        forwarding((before, old), (after, new), changes);
        changes.enter(&subject, &old.pointer, &new.pointer);
        pair(old, new, changes);
        extras::compare(&old.extra_config, &new.extra_config, changes);
        changes.enter(&subject, &before.pointer, &after.pointer);
    }
}

fn take<'a>(
    left: &mut [Option<&'a Backend>],
    fits: impl Fn(&Backend) -> bool,
) -> Option<&'a Backend> {
    left.iter_mut().find(|slot| slot.is_some_and(&fits))?.take()
}

fn same_call(a: &Backend, b: &Backend) -> bool {
    a.url_pattern == b.url_pattern && a.method == b.method && a.host == b.host
}

fn name(backend: &Backend) -> String {
    let host = backend.host.first().map_or("", String::as_str);
    format!("{} {host}{}", backend.method, backend.url_pattern)
}

fn pair(old: &Backend, new: &Backend, changes: &mut Changes<'_>) {
    let list = |items: &[String]| items.join(", ");
    changes.value("backend", "host", &list(&old.host), &list(&new.host));
    changes.value("backend", "url_pattern", &old.url_pattern, &new.url_pattern);
    changes.value("backend", "method", &old.method, &new.method);
    changes.value("backend", "sd", &old.sd, &new.sd);
    changes.value("encoding", "encoding", &old.encoding, &new.encoding);
    // What clients find in the answer.
    let mapping = |b: &Backend| {
        let pairs: Vec<String> = b
            .mapping
            .iter()
            .map(|(from, to)| format!("{from}={to}"))
            .collect();
        pairs.join(", ")
    };
    for (key, was, is) in [
        ("target", old.target.clone(), new.target.clone()),
        ("group", old.group.clone(), new.group.clone()),
        ("mapping", mapping(old), mapping(new)),
        (
            "is_collection",
            old.is_collection.to_string(),
            new.is_collection.to_string(),
        ),
    ] {
        if was != is {
            changes.key(Weight::Breaking, "answer", key, arrow(key, &was, &is));
        }
    }
    kept(old, new, changes);
}

/// `allow` and `deny` of the answer: showing more is a leak, showing less breaks clients.
fn kept(old: &Backend, new: &Backend, changes: &mut Changes<'_>) {
    if old.allow != new.allow {
        let (gone, added) = (minus(&old.allow, &new.allow), minus(&new.allow, &old.allow));
        // An empty list keeps everything.
        if new.allow.is_empty() {
            let text = "every field of the answer is shown".to_owned();
            changes.key(Weight::Loosened, "answer", "allow", text);
        } else if old.allow.is_empty() {
            let text = format!("only {} of the answer are shown", new.allow.join(", "));
            changes.key(Weight::Breaking, "answer", "allow", text);
        } else {
            tell(changes, Weight::Breaking, "allow", "no longer shown", &gone);
            tell(changes, Weight::Loosened, "allow", "now shown", &added);
        }
    }
    if old.deny != new.deny {
        let (gone, added) = (minus(&old.deny, &new.deny), minus(&new.deny, &old.deny));
        tell(changes, Weight::Loosened, "deny", "now shown", &gone);
        tell(changes, Weight::Breaking, "deny", "no longer shown", &added);
    }
}

fn tell(changes: &mut Changes<'_>, weight: Weight, key: &str, what: &str, names: &[String]) {
    if !names.is_empty() {
        let text = format!("{what} of the answer: {}", names.join(", "));
        changes.key(weight, "answer", key, text);
    }
}

fn minus(a: &[String], b: &[String]) -> Vec<String> {
    a.iter().filter(|item| !b.contains(item)).cloned().collect()
}

/// Fields and parameters of the client that reach the backend, by both lists together.
fn forwarding(
    (before, old): (&Endpoint, &Backend),
    (after, new): (&Endpoint, &Backend),
    changes: &mut Changes<'_>,
) {
    let headers = |endpoint: &Endpoint, backend: &Backend| {
        let lower = |names: &[String]| {
            names
                .iter()
                .map(|n| n.to_ascii_lowercase())
                .collect::<Vec<_>>()
        };
        let mut first = lower(&endpoint.input_headers);
        if first.is_empty() {
            first.push("content-type".to_owned());
        }
        passing(&first, &lower(&backend.input_headers))
    };
    let queries = |endpoint: &Endpoint, backend: &Backend| {
        passing(&endpoint.input_query_strings, &backend.input_query_strings)
    };
    let both = [
        (
            "input_headers",
            "header field",
            headers(before, old),
            headers(after, new),
        ),
        (
            "input_query_strings",
            "query parameter",
            queries(before, old),
            queries(after, new),
        ),
    ];
    for (key, what, was, is) in both {
        let (was_all, is_all) = (was.contains(ALL), is.contains(ALL));
        let names = |set: &BTreeSet<String>, without: &BTreeSet<String>| {
            set.difference(without)
                .cloned()
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (gained, lost) = (names(&is, &was), names(&was, &is));
        match (was_all, is_all) {
            (true, true) => {}
            (false, true) => {
                let text = format!("every {what} is forwarded");
                changes.key(Weight::Loosened, "forwarding", key, text);
            }
            (true, false) => {
                let left = if gained.is_empty() { "none" } else { &gained };
                let text = format!("not every {what} is forwarded any more, only: {left}");
                changes.key(Weight::Breaking, "forwarding", key, text);
            }
            (false, false) => {
                if !gained.is_empty() {
                    let text = format!("{what}s newly forwarded: {gained}");
                    changes.key(Weight::Loosened, "forwarding", key, text);
                }
                if !lost.is_empty() {
                    let text = format!("{what}s no longer forwarded: {lost}");
                    changes.key(Weight::Breaking, "forwarding", key, text);
                }
            }
        }
    }
}

/// What both lists let pass; an empty second list lets everything pass.
fn passing(first: &[String], second: &[String]) -> BTreeSet<String> {
    if first.iter().any(|name| name == ALL) {
        return match second {
            [] => BTreeSet::from([ALL.to_owned()]),
            second => second.iter().cloned().collect(),
        };
    }
    let passes = |name: &&String| second.is_empty() || second.contains(name);
    first.iter().filter(passes).cloned().collect()
}
