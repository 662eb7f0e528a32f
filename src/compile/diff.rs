//! Which behaviour changes between two configurations, endpoint by endpoint, in the words of an operator:
//! a path lost, a lock loosened, a limit raised, a field newly forwarded. The documents are compared as
//! they are understood, so spelling, order and defaults written out make no difference.

mod backends;
mod endpoints;
mod extras;

use crate::base::problem::pointer_join;
use crate::base::{Dialect, secret};
use crate::component::hanzo::edge;
use crate::config::document::Service;
use crate::config::{Document, duration};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Display;
use std::time::Duration;

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Weight {
    /// Requests that were served are not, or their answers look different.
    Breaking,
    /// Something is open, unlimited or forwarded that was not.
    Loosened,
    /// Something is locked, limited or held back that was not.
    Tightened,
    /// Different, without a direction.
    Changed,
}

impl Weight {
    /// The word for people and machines.
    pub const fn word(self) -> &'static str {
        match self {
            Weight::Breaking => "breaking",
            Weight::Loosened => "loosened",
            Weight::Tightened => "tightened",
            Weight::Changed => "changed",
        }
    }
}

/// One change of behaviour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it means.
    pub weight: Weight,
    /// Subject: `route`, `authentication`, `limit`, `cors`, `timeout`, `backend`, `forwarding`,
    /// `encoding`, `cache`, `listener` or the name of a component.
    pub topic: String,
    /// The sentence.
    pub text: String,
    /// Whom it concerns: endpoints as `GET /path`, or `service`.
    pub subjects: Vec<String>,
    /// JSON pointer in the old file; of the first subject.
    pub old: Option<String>,
    /// JSON pointer in the new file; of the first subject.
    pub new: Option<String>,
}

/// Every change of behaviour, the gravest first; what changes alike at many endpoints is told once.
pub fn diff(old: &Document, new: &Document, dialect: Dialect) -> Vec<Change> {
    let mut changes = Changes::new(&old.root, &new.root);
    service(&old.service, &new.service, &mut changes);
    lane(&old.service, &new.service, &mut changes);
    extras::compare(
        &old.service.extra_config,
        &new.service.extra_config,
        &mut changes,
    );
    endpoints::compare(old, new, dialect, &mut changes);
    changes.done()
}

/// Changes while they are found.
struct Changes<'a> {
    /// Both documents as written, to find where a value comes from.
    roots: (&'a Value, &'a Value),
    all: Vec<Change>,
    /// Index of a change by what it says, to join those of many endpoints.
    known: HashMap<(Weight, String, String), usize>,
    subject: String,
    old: String,
    new: String,
}

impl<'a> Changes<'a> {
    fn new(old: &'a Value, new: &'a Value) -> Self {
        Self {
            roots: (old, new),
            all: Vec::new(),
            known: HashMap::new(),
            subject: "service".to_owned(),
            old: String::new(),
            new: String::new(),
        }
    }

    /// What follows concerns this subject, which stands at these pointers.
    fn enter(&mut self, subject: &str, old: &str, new: &str) {
        subject.clone_into(&mut self.subject);
        old.clone_into(&mut self.old);
        new.clone_into(&mut self.new);
    }

    /// A change at these places below the subject (`None`: it is not there).
    fn at(
        &mut self,
        weight: Weight,
        topic: &str,
        text: String,
        old: Option<String>,
        new: Option<String>,
    ) {
        let key = (weight, topic.to_owned(), text);
        // Each route that comes or goes is a change of its own.
        let known = self.known.get(&key).filter(|_| topic != "route");
        if let Some(change) = known.and_then(|&at| self.all.get_mut(at)) {
            change.subjects.push(self.subject.clone());
            return;
        }
        self.known.insert(key.clone(), self.all.len());
        let (weight, topic, text) = key;
        let subjects = vec![self.subject.clone()];
        self.all.push(Change {
            weight,
            topic,
            text,
            subjects,
            old,
            new,
        });
    }

    /// A change of a key of the subject.
    fn key(&mut self, weight: Weight, topic: &str, key: &str, text: String) {
        let (old, new) = (
            source(self.roots.0, &self.old, key),
            source(self.roots.1, &self.new, key),
        );
        self.at(weight, topic, text, Some(old), Some(new));
    }

    /// A value of a key that may have changed, without a direction.
    fn value<T: PartialEq + Display>(&mut self, topic: &str, key: &str, old: &T, new: &T) {
        if old != new {
            self.key(Weight::Changed, topic, key, arrow(key, old, new));
        }
    }

    fn done(mut self) -> Vec<Change> {
        self.all.sort_by_key(|change| change.weight);
        self.all
    }
}

/// Where the value of a key comes from: the subject, else the service, else the subject's default.
fn source(root: &Value, subject: &str, key: &str) -> String {
    let inner = format!("{subject}/{key}");
    let outer = format!("/{key}");
    if root.pointer(&inner).is_none() && root.pointer(&outer).is_some() {
        outer
    } else {
        inner
    }
}

/// `key: old → new`.
fn arrow(key: &str, old: &dyn Display, new: &dyn Display) -> String {
    let text = |value: &dyn Display| {
        let text = value.to_string();
        if text.is_empty() {
            "nothing".to_owned()
        } else {
            text
        }
    };
    format!("{key}: {} → {}", text(old), text(new))
}

/// As Go prints a duration.
fn span(span: Duration) -> String {
    duration::format(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
}

/// A setting's value for people, short; what its name says to be secret is not shown.
pub fn shown(key: &str, value: &Value) -> String {
    let hides = value.is_string() || value.is_array() || value.is_object();
    if hides && secret::hides(key) {
        return "(not shown)".to_owned();
    }
    match value {
        Value::Object(map) => {
            let members: Vec<String> = map
                .iter()
                .take(20)
                .map(|(key, value)| format!("{key}: {}", shown(key, value)))
                .collect();
            let more = if map.len() > 20 { ", …" } else { "" };
            format!("{{{}{more}}}", members.join(", "))
        }
        Value::Array(items) => {
            let texts: Vec<String> = items.iter().take(20).map(|item| shown("", item)).collect();
            let more = if items.len() > 20 { ", …" } else { "" };
            format!("[{}{more}]", texts.join(", "))
        }
        Value::String(text) if text.chars().count() > 100 => {
            format!("\"{}…\"", text.chars().take(100).collect::<String>())
        }
        other => other.to_string(),
    }
}

fn service(old: &Service, new: &Service, changes: &mut Changes<'_>) {
    if old.port != new.port {
        changes.key(
            Weight::Breaking,
            "listener",
            "port",
            arrow("port", &old.port, &new.port),
        );
    }
    let address = |s: &Service| {
        s.listen_ip
            .map_or_else(|| "all addresses".to_owned(), |ip| ip.to_string())
    };
    changes.value("listener", "listen_ip", &address(old), &address(new));
    tls(old, new, changes);
    for (key, text, was, is) in [
        (
            "debug_endpoint",
            "the debug endpoint",
            old.debug_endpoint,
            new.debug_endpoint,
        ),
        (
            "echo_endpoint",
            "the echo endpoint",
            old.echo_endpoint,
            new.echo_endpoint,
        ),
        (
            "client_tls",
            "calls to backends with certificates that nobody verifies",
            insecure(old),
            insecure(new),
        ),
    ] {
        match (was, is) {
            (false, true) => {
                changes.key(
                    Weight::Loosened,
                    "service",
                    key,
                    format!("{text}: now allowed"),
                );
            }
            (true, false) => {
                changes.key(
                    Weight::Tightened,
                    "service",
                    key,
                    format!("{text}: no longer allowed"),
                );
            }
            _ => {}
        }
    }
    numbers(old, new, changes);
    agents(old, new, changes);
}

/// Settings of both listeners and connections without a direction.
fn numbers(old: &Service, new: &Service, changes: &mut Changes<'_>) {
    for (key, was, is) in [
        ("use_h2c", old.use_h2c, new.use_h2c),
        ("disable_rest", old.disable_rest, new.disable_rest),
        (
            "disable_keep_alives",
            old.disable_keep_alives,
            new.disable_keep_alives,
        ),
        (
            "disable_compression",
            old.disable_compression,
            new.disable_compression,
        ),
    ] {
        changes.value("service", key, &was, &is);
    }
    for (key, was, is) in [
        ("read_timeout", old.read_timeout, new.read_timeout),
        ("write_timeout", old.write_timeout, new.write_timeout),
        ("idle_timeout", old.idle_timeout, new.idle_timeout),
        (
            "read_header_timeout",
            old.read_header_timeout,
            new.read_header_timeout,
        ),
        (
            "response_header_timeout",
            old.response_header_timeout,
            new.response_header_timeout,
        ),
        ("dialer_timeout", old.dialer_timeout, new.dialer_timeout),
        (
            "idle_connection_timeout",
            old.idle_connection_timeout,
            new.idle_connection_timeout,
        ),
        (
            "max_shutdown_wait_time",
            old.max_shutdown_wait_time,
            new.max_shutdown_wait_time,
        ),
        ("dns_cache_ttl", old.dns_cache_ttl, new.dns_cache_ttl),
    ] {
        changes.value("timeout", key, &span(was), &span(is));
    }
    for (key, was, is) in [
        (
            "max_header_bytes",
            old.max_header_bytes,
            new.max_header_bytes,
        ),
        (
            "max_idle_connections",
            old.max_idle_connections,
            new.max_idle_connections,
        ),
        (
            "max_idle_connections_per_host",
            old.max_idle_connections_per_host,
            new.max_idle_connections_per_host,
        ),
    ] {
        changes.value("limit", key, &was, &is);
    }
}

/// A file without `hanzo/edge` has the lane that it would write as "auto".
fn lane(old: &Service, new: &Service, changes: &mut Changes<'_>) {
    let (was, is) = (edge::lane(&old.extra_config), edge::lane(&new.extra_config));
    if was == is {
        return;
    }
    let text = arrow("lane", &was.word(), &is.word());
    let place = |service: &Service| {
        let edge = service.extra_config.get("hanzo/edge")?;
        Some(pointer_join(&edge.pointer, "lane"))
    };
    changes.at(Weight::Changed, "hanzo/edge", text, place(old), place(new));
}

fn insecure(service: &Service) -> bool {
    super::transport::insecure(service)
}

fn tls(old: &Service, new: &Service, changes: &mut Changes<'_>) {
    let of = |s: &Service| s.tls.clone().filter(|tls| !tls.disabled);
    match (of(old), of(new)) {
        (Some(_), None) => {
            let text = "clients connect without TLS".to_owned();
            changes.key(Weight::Loosened, "listener", "tls", text);
        }
        (None, Some(_)) => {
            let text = "clients have to connect with TLS".to_owned();
            changes.key(Weight::Breaking, "listener", "tls", text);
        }
        (Some(a), Some(b)) => {
            if a.enable_mtls != b.enable_mtls {
                let (weight, text) = if b.enable_mtls {
                    (Weight::Tightened, "clients have to show a certificate")
                } else {
                    (Weight::Loosened, "clients need no certificate any more")
                };
                changes.key(weight, "listener", "tls", text.to_owned());
            }
            changes.value(
                "listener",
                "tls/min_version",
                &a.min_version,
                &b.min_version,
            );
            changes.value(
                "listener",
                "tls/max_version",
                &a.max_version,
                &b.max_version,
            );
            if a.keys != b.keys {
                let text = "other certificate files".to_owned();
                changes.key(Weight::Changed, "listener", "tls", text);
            }
        }
        (None, None) => {}
    }
}

fn agents(old: &Service, new: &Service, changes: &mut Changes<'_>) {
    let names = |s: &Service| -> Vec<(String, String)> {
        s.async_agents
            .iter()
            .map(|a| (a.name.clone(), a.pointer.clone()))
            .collect()
    };
    let (before, after) = (names(old), names(new));
    for (name, pointer) in before
        .iter()
        .filter(|(n, _)| !after.iter().any(|(m, _)| m == n))
    {
        let text = format!("async agent \"{name}\" is gone");
        changes.at(Weight::Breaking, "agent", text, Some(pointer.clone()), None);
    }
    for (name, pointer) in after
        .iter()
        .filter(|(n, _)| !before.iter().any(|(m, _)| m == n))
    {
        let text = format!("async agent \"{name}\" is new");
        changes.at(Weight::Changed, "agent", text, None, Some(pointer.clone()));
    }
}

#[cfg(test)]
#[path = "diff/tests.rs"]
mod tests;
