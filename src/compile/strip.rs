//! Which fields of clients are never believed: every name that a claim, a key or an introspection answer
//! can be propagated to anywhere in the document (contract section 1: strip list ⊇ mint list).

//!
//! Two lists become one. What components really mint stands in their drafts, so that no kind of credentials can be
//! added without its fields being stripped. What the document names counts as well where nothing is made of it: at
//! endpoints that are skipped, and of components that are not implemented yet.

use crate::component::{EndpointDraft, ServiceDraft};
use crate::config::{Document, Extra};
use crate::gateway::headers::StripSet;
use serde_json::Value;
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
    for namespace in &extra.0 {
        match namespace.name.as_str() {
            "auth/validator" => propagated(&namespace.value, names),
            "hanzo/auth" => {
                if let Some(claims) = namespace.value.get("claims").and_then(Value::as_object) {
                    names.extend(claims.values().filter_map(Value::as_str).map(str::to_owned));
                }
                for part in ["jwt", "introspection", "api_key"] {
                    if let Some(part) = namespace.value.get(part) {
                        propagated(part, names);
                    }
                }
            }
            "auth/api-keys" => {
                let role = namespace
                    .value
                    .get("propagate_role")
                    .and_then(Value::as_str);
                names.extend(role.map(str::to_owned));
            }
            _ => {}
        }
    }
}

/// `propagate_claims`: pairs of claim and field name.
fn propagated(settings: &Value, names: &mut BTreeSet<String>) {
    let pairs = settings.get("propagate_claims").and_then(Value::as_array);
    for pair in pairs.into_iter().flatten() {
        names.extend(pair.get(1).and_then(Value::as_str).map(str::to_owned));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Endpoint, Namespace};
    use http::HeaderName;
    use serde_json::json;

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
        document.service.extra_config = extra("hanzo/auth", json!({"claims": {"tier": "X-Tier"}}));
        document.service.endpoints.push(Endpoint {
            extra_config: extra(
                "auth/validator",
                json!({"propagate_claims": [["a.b", "x-deep"], 7]}),
            ),
            ..Endpoint::default()
        });
        let names = named(&document);
        for name in ["X-User-ID", "X-Org-ID", "X-Scopes", "X-Tier", "x-deep"] {
            assert!(names.contains(name), "{name}");
        }
    }
}
