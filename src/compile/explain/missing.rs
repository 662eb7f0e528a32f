//! What the file asks for on the way of a request and nothing implements yet: it is named where it would
//! run, because a lock that is missing is the most surprising reason for an answer.

use super::{Outcome, Walk};
use crate::base::problem::pointer_join;
use crate::component::{self, Loss};
use crate::config::{self, Namespace};
use crate::gateway::snapshot::Endpoint;
use serde_json::Value;

/// Components that do nothing to a single request.
const ASIDE: &[&str] = &["telemetry/", "documentation/", "redis"];

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
            self.missing(namespace, whom);
        }
        self.authentication(written);
    }

    /// Which rule says who may come in, and where it stands.
    fn authentication(&mut self, endpoint: &config::Endpoint) {
        let own = |names: &[&str]| names.iter().any(|n| endpoint.extra_config.get(n).is_some());
        let service = self.document.service.extra_config.get("hanzo/auth");
        let Some(auth) = service else {
            if !own(&[
                "auth/validator",
                "auth/api-keys",
                "auth/basic",
                "hanzo/auth",
                "hanzo/mtls",
            ]) && self
                .document
                .service
                .extra_config
                .get("hanzo/mtls")
                .is_none()
            {
                let text =
                    "the file asks for no authentication here: anybody may call this endpoint";
                self.step("authentication", Outcome::Passed, text.to_owned(), None);
            }
            return;
        };
        if let Some(pointer) = public_by(auth, endpoint) {
            let text = "public: hanzo/auth asks for no credentials here".to_owned();
            let because = Some(self.at.place(pointer));
            self.step("authentication", Outcome::Passed, text, because);
            return;
        }
        let settings = endpoint.extra_config.get("hanzo/auth");
        let text = format!(
            "hanzo/auth locks every endpoint that is not public; {}",
            ways(auth, settings)
        );
        let because = Some(self.at.place(auth.pointer.as_str()));
        self.step("authentication", Outcome::Passed, text, because);
        if let Some(settings) = settings {
            let place = self.at.place(settings.pointer.as_str());
            self.note("the endpoint says more about who may come in", Some(place));
        }
    }

    fn missing(&mut self, namespace: &Namespace, whom: &str) {
        let Some(row) = component::not_yet(&namespace.name) else {
            return;
        };
        let because = Some(self.at.place(namespace.pointer.as_str()));
        let text = match row.loss {
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
}

/// How callers may prove who they are at an endpoint, as a sentence.
fn ways(auth: &Namespace, endpoint: Option<&Namespace>) -> String {
    let list = |key: &str| {
        let all = endpoint.and_then(|own| own.value.get(key)?.as_array());
        let all = all.into_iter().flatten().filter_map(Value::as_str);
        all.collect::<Vec<_>>()
    };
    let mut methods = list("methods");
    if methods.is_empty() {
        let known = ["jwt", "api_key", "introspection"].into_iter();
        methods = known
            .filter(|method| auth.value.get(method).is_some())
            .collect();
    }
    let mut text = format!("callers prove who they are by {}", methods.join(", "));
    for (key, what) in [("scopes", "scopes"), ("roles", "roles")] {
        let words = list(key);
        if !words.is_empty() {
            text.push_str(&format!("; {what}: {}", words.join(", ")));
        }
    }
    text
}

/// Whether a service-level `hanzo/auth` leaves an endpoint open.
pub(crate) fn is_public(auth: &Namespace, endpoint: &config::Endpoint) -> bool {
    auth.name == "hanzo/auth" && public_by(auth, endpoint).is_some()
}

/// What leaves an endpoint open: its pointer.
fn public_by(auth: &Namespace, endpoint: &config::Endpoint) -> Option<String> {
    let own = &endpoint.extra_config;
    let yes = Some(&Value::Bool(true));
    let alone = own.get("auth/public").filter(|n| Some(&n.value) == yes);
    if let Some(alone) = alone {
        return Some(alone.pointer.clone());
    }
    let settings = own
        .get("hanzo/auth")
        .filter(|n| n.value.get("public") == yes);
    if let Some(settings) = settings {
        return Some(pointer_join(&settings.pointer, "public"));
    }
    let paths = auth.value.get("public")?.as_array()?;
    let at = paths.iter().position(|path| {
        path.as_str()
            .is_some_and(|path| covers(path, &endpoint.endpoint))
    })?;
    let list = pointer_join(&auth.pointer, "public");
    Some(pointer_join(&list, &at.to_string()))
}

/// Whether an entry of a list of public paths names an endpoint; a final `*` stands for the rest.
fn covers(entry: &str, path: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => entry == path,
    }
}
