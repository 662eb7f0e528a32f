//! Which fields of clients are never believed: every name that a claim, a key or an introspection answer
//! can be propagated to anywhere in the document (contract section 1: strip list ⊇ mint list).

use crate::config::{Document, Extra};
use serde_json::Value;
use std::collections::BTreeSet;

/// What services behind this gateway trust even when the file names no claims.
const ALWAYS: &[&str] = &["X-User-ID", "X-Org-ID", "X-Scopes"];

/// Every field name that is or may be minted.
pub fn minted(document: &Document) -> BTreeSet<String> {
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
    use serde_json::json;

    fn extra(name: &str, value: Value) -> Extra {
        Extra(vec![Namespace {
            name: name.into(),
            pointer: String::new(),
            value,
        }])
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
        let names = minted(&document);
        for name in ["X-User-ID", "X-Org-ID", "X-Scopes", "X-Tier", "x-deep"] {
            assert!(names.contains(name), "{name}");
        }
    }
}
