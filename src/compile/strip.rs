//! Which fields of clients are never believed: every name that a claim, a key or an introspection answer
//! can be propagated to anywhere in the document (contract section 1: strip list ⊇ mint list).

//!
//! Two lists become one. What components really mint stands in their drafts, so that no kind of credentials can be
//! added without its fields being stripped. What the document names counts as well where nothing is made of it: at
//! endpoints that are skipped, and of components that are not implemented yet.

use crate::base::Report;
use crate::component::{EndpointDraft, ServiceDraft};
use crate::config::settings::Settings;
use crate::config::{Document, Extra, weak};
use crate::gateway::headers::StripSet;
use std::collections::BTreeSet;

/// What services behind this gateway trust even when the file names no claims.
const ALWAYS: &[&str] = &["X-User-ID", "X-Org-ID", "X-Scopes"];

/// The fields of clients that are never believed with these components.
pub fn set<'d>(
    document: &Document,
    service: &ServiceDraft,
    endpoints: impl Iterator<Item = &'d EndpointDraft>,
) -> StripSet {
    let own = endpoints.flat_map(|endpoint| &endpoint.minted);
    let all = service.minted.iter().chain(own);
    StripSet::new(named(document)).and(all.map(|name| name.as_str()))
}

/// Every field name that the document says may be minted.
fn named(document: &Document) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = ALWAYS.iter().map(|&name| name.to_owned()).collect();
    collect(&document.service.extra_config, &mut names);
    for endpoint in &document.service.endpoints {
        collect(&endpoint.extra_config, &mut names);
    }
    names
}

fn collect(extra: &Extra, names: &mut BTreeSet<String>) {
    // Read as components read it, whatever the case of a key and the type of a value; they report what is wrong.
    let mut unheard = Report::default();
    for namespace in &extra.0 {
        let mut settings = Settings::new(&namespace.value, "", &mut unheard);
        match namespace.name.as_str() {
            "auth/validator" => propagated(&settings, names),
            "hanzo/auth" => {
                names.extend(fields(&mut settings, "claims"));
                for part in ["jwt", "introspection", "api_key"] {
                    if let Some(mut part) = settings.object(part) {
                        propagated(&part, names);
                        names.extend(fields(&mut part, "claims"));
                    }
                }
            }
            "auth/api-keys" => names.extend(settings.string("propagate_role")),
            "auth/basic" => names.extend(settings.string("propagate_user")),
            "hanzo/mtls" => names.extend(fields(&mut settings, "headers")),
            _ => {}
        }
    }
}

/// The names of an object that says what becomes which field.
fn fields(settings: &mut Settings<'_>, key: &str) -> Vec<String> {
    let pairs = settings.string_map(key);
    pairs.into_iter().map(|(_, name)| name).collect()
}

/// `propagate_claims`: pairs of claim and field name.
fn propagated(settings: &Settings<'_>, names: &mut BTreeSet<String>) {
    let pairs = settings.value("propagate_claims").map(weak::list);
    for pair in pairs.unwrap_or_default().iter() {
        names.extend(pair.get(1).and_then(|name| weak::string(name).ok()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Endpoint, Namespace};
    use http::HeaderName;
    use serde_json::{Value, json};

    fn extra(name: &str, value: Value) -> Extra {
        Extra(vec![Namespace {
            name: name.into(),
            pointer: String::new(),
            value,
        }])
    }

    #[test]
    fn what_components_mint_is_stripped_whatever_the_document_says() {
        let name = |text: &'static str| HeaderName::from_static(text);
        let service = ServiceDraft {
            minted: vec![name("x-of-service")],
            ..ServiceDraft::default()
        };
        let endpoint = EndpointDraft {
            minted: vec![name("x-of-endpoint")],
            ..EndpointDraft::default()
        };
        let strip = set(&Document::default(), &service, [endpoint].iter());
        for name in ["X-Of-Service", "x_of_endpoint", "X-USER_ID"] {
            assert!(strip.contains(name), "{name}");
        }
        assert!(!strip.contains("X-Other"));
    }

    #[test]
    fn finds_every_name_that_can_be_minted() {
        let mut document = Document::default();
        document.service.extra_config = extra(
            "hanzo/auth",
            json!({"Claims": {"tier": "X-Tier"}, "JWT": {"propagate_Claims": [["a", "X-A"]]}}),
        );
        for own in [
            extra(
                "auth/validator",
                json!({"Propagate_claims": [["a.b", "x-deep"], 7, ["n", 5]]}),
            ),
            extra("auth/api-keys", json!({"propagate_role": "X-Role"})),
            extra("auth/basic", json!({"PROPAGATE_USER": "X-Name"})),
            extra("hanzo/mtls", json!({"headers": {"subject": "X-Client"}})),
        ] {
            document.service.endpoints.push(Endpoint {
                extra_config: own,
                ..Endpoint::default()
            });
        }
        let names = named(&document);
        for name in [
            "X-User-ID",
            "X-Org-ID",
            "X-Scopes",
            "X-Tier",
            "X-A",
            "x-deep",
            "5",
            "X-Role",
            "X-Name",
            "X-Client",
        ] {
            assert!(names.contains(name), "{name}");
        }
    }
}

#[cfg(test)]
#[path = "strip_tests.rs"]
mod property;
