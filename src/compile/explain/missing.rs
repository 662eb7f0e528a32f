//! What the file asks for on the way of a request and nothing implements yet: it is named where it would
//! run, because a lock that is missing is the most surprising reason for an answer.

use super::{Outcome, Walk};
use crate::component::{self, Loss};
use crate::config::{self, Namespace};
use crate::gateway::snapshot::Endpoint;
use serde_json::Value;

/// Components that do nothing to a single request.
const ASIDE: &[&str] = &["telemetry/", "documentation/", "redis", "auth/public"];

/// The order of a request (contract section 4).
const ORDER: &[&str] = &[
    "server/",
    "plugin/http-server",
    "security/cors",
    "security/bot-detector",
    "security/http",
    "qos/ratelimit/service",
    "hanzo/auth",
    "auth/",
    "security/policies",
    "governance/",
    "hanzo/ratelimit",
    "qos/ratelimit/",
    "validation/",
    "modifier/",
    "hanzo/cache",
];

fn rank(name: &str) -> usize {
    ORDER
        .iter()
        .position(|known| name.starts_with(known))
        .unwrap_or(ORDER.len())
}

impl Walk<'_> {
    pub(super) fn missing_stages(&mut self, endpoint: &Endpoint) {
        let document = self.document;
        let Some(written) = document
            .service
            .endpoints
            .iter()
            .find(|e| *e.pointer == *endpoint.pointer)
        else {
            return;
        };
        let service = document
            .service
            .extra_config
            .0
            .iter()
            .map(|n| (n, "every request"));
        let own = written.extra_config.0.iter().map(|n| (n, "this endpoint"));
        let mut all: Vec<(&Namespace, &str)> = service.chain(own).collect();
        all.retain(|(n, _)| {
            component::not_yet(&n.name).is_some()
                && !ASIDE.iter().any(|aside| n.name.starts_with(aside))
        });
        all.sort_by_key(|(n, _)| rank(&n.name));
        for (namespace, whom) in all {
            self.missing(namespace, whom, written);
        }
        if !self.authenticates(written) {
            let text = "the file asks for no authentication here: anybody may call this endpoint";
            self.step("authentication", Outcome::Passed, text.to_owned(), None);
        }
    }

    fn missing(&mut self, namespace: &Namespace, whom: &str, endpoint: &config::Endpoint) {
        let Some(row) = component::not_yet(&namespace.name) else {
            return;
        };
        let because = Some(self.at.place(namespace.pointer.as_str()));
        let public = whom == "every request" && is_public(namespace, endpoint);
        let text = match row.loss {
            _ if public => "would let this path pass: it is public".to_owned(),
            Loss::Protection => format!(
                "not implemented yet; it would guard {whom} here, and for now everybody passes"
            ),
            Loss::Driver | Loss::Function => {
                format!("not implemented yet; it would change {whom} here")
            }
            Loss::Comfort => format!("not implemented yet; it would serve {whom} here"),
        };
        self.step(&namespace.name, Outcome::Missing, text, because);
    }

    /// Whether the file wants to know who calls.
    fn authenticates(&self, endpoint: &config::Endpoint) -> bool {
        let service = &self.document.service.extra_config;
        let own = &endpoint.extra_config;
        let named =
            |names: &[&str], extra: &config::Extra| names.iter().any(|n| extra.get(n).is_some());
        let public = service
            .get("hanzo/auth")
            .is_some_and(|auth| is_public(auth, endpoint))
            || own
                .get("hanzo/auth")
                .is_some_and(|n| n.value.get("public") == Some(&Value::Bool(true)));
        !public
            && (named(
                &[
                    "auth/validator",
                    "auth/api-keys",
                    "auth/basic",
                    "hanzo/auth",
                ],
                own,
            ) || named(&["hanzo/auth"], service))
    }
}

/// Whether a service-level `hanzo/auth` leaves an endpoint open.
pub(crate) fn is_public(auth: &Namespace, endpoint: &config::Endpoint) -> bool {
    let listed = |paths: &Value| {
        let paths = paths
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        paths
            .into_iter()
            .any(|path| covers(path, &endpoint.endpoint))
    };
    if auth.name != "hanzo/auth" {
        return false;
    }
    let own = &endpoint.extra_config;
    auth.value.get("public").is_some_and(listed)
        || own
            .get("auth/public")
            .is_some_and(|n| n.value != Value::Bool(false))
        || own
            .get("hanzo/auth")
            .is_some_and(|n| n.value.get("public") == Some(&Value::Bool(true)))
}

/// Whether an entry of a list of public paths names an endpoint; a final `*` stands for the rest.
fn covers(entry: &str, path: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => entry == path,
    }
}
