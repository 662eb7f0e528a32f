//! `audit`: what is risky about a configuration, rule by rule, with KrakenD's numbers and severities
//! (reference section 15) and rules of our own, which begin with H.
//!
//! Differs from KrakenD: a finding names every place in the file. KrakenD fires a rule once, without a
//! place; rules that it looks up where they cannot fire (1.1.1 for `auth/basic`, 7.1.5–7.1.7) fire here
//! where they were meant to.

mod access;
mod deprecated;
mod exposure;
mod limits;
mod own;
mod routes;
mod telemetry;

use crate::base::Dialect;
use crate::config::document::Service;
use crate::config::{Backend, Document, Endpoint, Extra, Namespace};
use serde_json::Value;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth to know.
    Low,
    /// Worth to change.
    Medium,
    /// To be changed.
    High,
    /// To be changed now.
    Critical,
}

impl Severity {
    /// From the worst to the least.
    pub const ALL: [Severity; 4] = [
        Severity::Critical,
        Severity::High,
        Severity::Medium,
        Severity::Low,
    ];

    /// KrakenD's word.
    pub const fn word(self) -> &'static str {
        match self {
            Severity::Low => "LOW",
            Severity::Medium => "MEDIUM",
            Severity::High => "HIGH",
            Severity::Critical => "CRITICAL",
        }
    }
}

/// Where a rule fires, as JSON pointers; empty when it is about something that is not there.
type Places = Option<Vec<String>>;

/// One rule: plain data.
pub struct Rule {
    /// KrakenD's number, or ours.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is risky.
    pub title: &'static str,
    /// What to do.
    pub advice: &'static str,
    /// Whether and where it fires.
    check: fn(&Facts<'_>) -> Places,
}

const fn rule(
    id: &'static str,
    severity: Severity,
    title: &'static str,
    advice: &'static str,
    check: fn(&Facts<'_>) -> Places,
) -> Rule {
    Rule {
        id,
        severity,
        title,
        advice,
        check,
    }
}

/// A rule that fired.
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// JSON pointers; empty when it is about something that is not there.
    pub places: Vec<String>,
}

/// Every rule, in the order of its number, ours last.
pub static RULES: &[&[Rule]] = &[
    access::RULES,
    exposure::RULES,
    limits::RULES,
    telemetry::RULES,
    routes::RULES,
    deprecated::RULES,
    own::RULES,
];

/// Every rule.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    RULES.iter().copied().flatten()
}

/// Every rule that fires, in the order of the rules.
pub fn audit(document: &Document, dialect: Dialect) -> Vec<Finding> {
    let facts = Facts { document, dialect };
    let fired = rules().filter_map(|rule| Some((rule, (rule.check)(&facts)?)));
    fired
        .map(|(rule, places)| Finding { rule, places })
        .collect()
}

/// What rules ask.
struct Facts<'a> {
    document: &'a Document,
    dialect: Dialect,
}

impl<'a> Facts<'a> {
    fn service(&self) -> &'a Service {
        &self.document.service
    }

    fn native(&self) -> bool {
        self.dialect == Dialect::Native
    }

    /// A component of the service.
    fn global(&self, name: &str) -> Option<&'a Namespace> {
        self.service().extra_config.get(name)
    }

    /// Whether the service has one of these.
    fn any_global(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.global(name).is_some())
    }

    /// The places of components of the service.
    fn globals(&self, names: &[&str]) -> Vec<String> {
        names
            .iter()
            .filter_map(|name| Some(self.global(name)?.pointer.clone()))
            .collect()
    }

    fn endpoints(&self) -> &'a [Endpoint] {
        &self.service().endpoints
    }

    /// Every backend of an endpoint.
    fn backends(&self) -> impl Iterator<Item = &'a Backend> + use<'a> {
        self.endpoints()
            .iter()
            .flat_map(|endpoint| &endpoint.backend)
    }

    /// Every component of an endpoint or of one of its backends.
    fn inner(&self) -> impl Iterator<Item = &'a Namespace> + use<'a> {
        let extras = |endpoint: &'a Endpoint| {
            let backends = endpoint.backend.iter().map(|backend| &backend.extra_config);
            std::iter::once(&endpoint.extra_config).chain(backends)
        };
        self.endpoints()
            .iter()
            .flat_map(extras)
            .flat_map(|extra| &extra.0)
    }

    /// Every component at any level.
    fn all(&self) -> impl Iterator<Item = &'a Namespace> + use<'a> {
        self.service().extra_config.0.iter().chain(self.inner())
    }

    /// A value as it is written.
    fn written(&self, pointer: &str) -> Option<&'a Value> {
        self.document.root.pointer(pointer)
    }

    /// The places of endpoints of which something holds.
    fn endpoints_where(&self, holds: impl Fn(&Endpoint) -> bool) -> Vec<String> {
        let found = self.endpoints().iter().filter(|endpoint| holds(endpoint));
        found.map(|endpoint| endpoint.pointer.clone()).collect()
    }
}

/// Fires where there is a place.
fn at(places: Vec<String>) -> Places {
    (!places.is_empty()).then_some(places)
}

/// Fires without a place.
fn when(fires: bool) -> Places {
    fires.then(Vec::new)
}

/// Fires at one place.
fn there(fires: bool, pointer: impl Into<String>) -> Places {
    fires.then(|| vec![pointer.into()])
}

/// A switch of a component that is on.
fn on(namespace: &Namespace, key: &str) -> bool {
    namespace.value.get(key) == Some(&Value::Bool(true))
}

/// The texts of a list, or of a single text.
fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Whether a plugin namespace lists a plugin of this name.
fn lists(extra: &Extra, namespace: &str, plugin: &str) -> Option<String> {
    let found = extra.get(namespace)?;
    texts(found.value.get("name"))
        .contains(&plugin)
        .then(|| format!("{}/name", found.pointer))
}

#[cfg(test)]
mod tests;
