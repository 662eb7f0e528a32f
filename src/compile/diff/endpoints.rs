//! Endpoints of two documents, paired by method and by the shape of their paths.

use super::{Changes, Weight, arrow, backends, extras, span};
use crate::base::Dialect;
use crate::compile::explain::is_public;
use crate::config::{Document, Endpoint, Extra, Namespace, keys};
use std::collections::HashMap;

/// Components that ask who calls.
pub(super) const AUTHENTICATES: &[&str] = &[
    "auth/validator",
    "auth/api-keys",
    "auth/basic",
    "hanzo/auth",
];

pub(super) fn compare(old: &Document, new: &Document, dialect: Dialect, changes: &mut Changes<'_>) {
    let mut by_route: HashMap<String, Vec<(usize, &Endpoint)>> = HashMap::new();
    let mut methods: HashMap<String, Vec<&str>> = HashMap::new();
    for (index, endpoint) in served(new).enumerate() {
        let path = shape(&endpoint.endpoint);
        by_route
            .entry(route(endpoint))
            .or_default()
            .push((index, endpoint));
        methods.entry(path).or_default().push(&endpoint.method);
    }
    let mut pairs = Vec::new();
    for before in served(old) {
        // Two endpoints of one route refuse a file, so there is one at most.
        match by_route.get_mut(&route(before)).and_then(Vec::pop) {
            Some((_, after)) => pairs.push((before, after)),
            None => {
                let left = methods
                    .get(&shape(&before.endpoint))
                    .map_or(&[][..], Vec::as_slice);
                lost(before, left, dialect, changes);
            }
        }
    }
    let mut added: Vec<(usize, &Endpoint)> = by_route.into_values().flatten().collect();
    added.sort_by_key(|(index, _)| *index);
    let locks = served(new).any(|endpoint| authenticates(new, endpoint));
    for (_, endpoint) in added {
        gained(endpoint, new, locks, changes);
    }
    for (before, after) in pairs {
        let subject = format!("{} {}", after.method, after.endpoint);
        changes.enter(&subject, &before.pointer, &after.pointer);
        pair((old, before), (new, after), changes);
    }
}

fn served(document: &Document) -> impl Iterator<Item = &Endpoint> {
    document
        .service
        .endpoints
        .iter()
        .filter(|endpoint| !endpoint.skipped)
}

/// Method and path without the names of parameters, which clients never see.
fn route(endpoint: &Endpoint) -> String {
    format!("{} {}", endpoint.method, shape(&endpoint.endpoint))
}

/// A path without the names of its parameters.
fn shape(path: &str) -> String {
    let mut shape = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, inside)) = rest.split_once('{') {
        shape.push_str(before);
        match inside.split_once('}') {
            Some((_, after)) => {
                shape.push_str("{}");
                rest = after;
            }
            None => {
                shape.push('{');
                rest = inside;
            }
        }
    }
    shape.push_str(rest);
    shape
}

fn lost(endpoint: &Endpoint, left: &[&str], dialect: Dialect, changes: &mut Changes<'_>) {
    let subject = format!("{} {}", endpoint.method, endpoint.endpoint);
    changes.enter(&subject, &endpoint.pointer, "");
    let by_get = dialect == Dialect::Native && endpoint.method == "HEAD" && left.contains(&"GET");
    let (weight, text) = if by_get {
        (
            Weight::Changed,
            "is gone; the GET endpoint answers HEAD now".to_owned(),
        )
    } else if left.is_empty() {
        (Weight::Breaking, "path is gone".to_owned())
    } else {
        let left = left.join(", ");
        (
            Weight::Breaking,
            format!("method is gone; the path still has {left}"),
        )
    };
    changes.at(weight, "route", text, Some(endpoint.pointer.clone()), None);
}

fn gained(endpoint: &Endpoint, new: &Document, locks: bool, changes: &mut Changes<'_>) {
    let subject = format!("{} {}", endpoint.method, endpoint.endpoint);
    changes.enter(&subject, "", &endpoint.pointer);
    let (weight, text) = if locks && !authenticates(new, endpoint) {
        (Weight::Loosened, "is new, and open to everybody")
    } else {
        (Weight::Changed, "is new")
    };
    changes.at(
        weight,
        "route",
        text.to_owned(),
        None,
        Some(endpoint.pointer.clone()),
    );
}

/// Whether a document wants to know who calls an endpoint.
fn authenticates(document: &Document, endpoint: &Endpoint) -> bool {
    let service = document.service.extra_config.get("hanzo/auth");
    // An endpoint may be public for the service and have a lock of its own.
    let own = |extra: &Extra| {
        let locks = AUTHENTICATES.iter().filter(|name| **name != "hanzo/auth");
        locks.into_iter().any(|name| extra.get(name).is_some())
    };
    own(&endpoint.extra_config)
        || service.is_some_and(|auth| !is_public(auth, endpoint))
        || wants_certificate(document, endpoint)
}

/// Whether nobody gets to an endpoint without a certificate: `require` of the endpoint, else of the service.
fn wants_certificate(document: &Document, endpoint: &Endpoint) -> bool {
    let own = endpoint.extra_config.get("hanzo/mtls");
    let all = document.service.extra_config.get("hanzo/mtls");
    let says = |namespace: Option<&Namespace>| {
        let (_, value) = keys::lookup(namespace?.value.as_object()?, "require")?;
        value.as_bool()
    };
    (own.is_some() || all.is_some()) && says(own).or_else(|| says(all)).unwrap_or(true)
}

fn pair(
    (old, before): (&Document, &Endpoint),
    (new, after): (&Document, &Endpoint),
    changes: &mut Changes<'_>,
) {
    let (was, is) = (authenticates(old, before), authenticates(new, after));
    if was != is {
        let (weight, text) = if is {
            (Weight::Tightened, "callers have to say who they are")
        } else {
            (
                Weight::Loosened,
                "anybody may call it: no authentication any more",
            )
        };
        changes.key(weight, "authentication", "extra_config", text.to_owned());
    }
    if before.params != after.params {
        let (a, b) = (before.params.join(", "), after.params.join(", "));
        changes.value("route", "endpoint", &a, &b);
    }
    changes.value(
        "timeout",
        "timeout",
        &span(before.timeout),
        &span(after.timeout),
    );
    changes.value(
        "cache",
        "cache_ttl",
        &span(before.cache_ttl),
        &span(after.cache_ttl),
    );
    changes.value(
        "backend",
        "concurrent_calls",
        &before.concurrent_calls,
        &after.concurrent_calls,
    );
    if before.output_encoding != after.output_encoding {
        let text = arrow(
            "output_encoding",
            &before.output_encoding,
            &after.output_encoding,
        );
        changes.key(Weight::Breaking, "encoding", "output_encoding", text);
    }
    extras::compare(&before.extra_config, &after.extra_config, changes);
    backends::compare(before, after, changes);
}
