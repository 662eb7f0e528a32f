//! `schema`: the JSON schema of a configuration on standard output, for editors and pipelines.

use crate::base::Dialect;
use crate::cli::args::{Compat, Schema};
use crate::cli::paint;
use crate::cli::{GOOD, PROBLEMS};
use crate::compile::schema as schemas;
use crate::component::fields;
use crate::config::keys;
use serde_json::{Value, json};

/// Runs `schema`; `krakend` says whether the program was called by that name.
pub fn schema(args: &Schema, krakend: bool) -> u8 {
    let dialect = match args.compat {
        Some(Compat::Krakend) => Dialect::Krakend,
        None if krakend => Dialect::Krakend,
        _ => Dialect::Native,
    };
    let whole = schemas::schema(dialect);
    let made = match &args.component {
        None => whole,
        Some(name) => match component(name, &whole) {
            Some(part) => part,
            None => {
                paint::talk(&unknown(name));
                return PROBLEMS;
            }
        },
    };
    paint::print(&format!("{made:#}\n"));
    GOOD
}

/// The schema of one component's settings, at whichever level it may stand.
fn component(name: &str, whole: &Value) -> Option<Value> {
    let mut ways = Vec::new();
    let levels = whole.get("$defs")?.as_object()?;
    for (level, extra) in levels
        .iter()
        .filter(|(level, _)| level.ends_with("_extra_config"))
    {
        let reference = extra
            .pointer("/properties")?
            .get(name)
            .and_then(|p| p.get("$ref"));
        if let Some(reference) = reference
            && !ways.iter().any(|(_, known)| known == reference)
        {
            ways.push((level.clone(), reference.clone()));
        }
    }
    if ways.is_empty() {
        return None;
    }
    let any: Vec<Value> = ways
        .into_iter()
        .map(|(_, reference)| json!({"$ref": reference}))
        .collect();
    Some(json!({
        "$schema": whole["$schema"],
        "$id": format!("{}/{name}.json", whole["$id"].as_str()?.trim_end_matches("/config.json")),
        "title": name,
        "anyOf": any,
        "$defs": whole["$defs"],
    }))
}

fn unknown(name: &str) -> String {
    let known: Vec<&str> = fields::entries().map(|entry| entry.name).collect();
    let shown = crate::cli::report::printable(name);
    match keys::nearest(name, &known) {
        Some(near) => format!("no component is called {shown}; did you mean {near}?"),
        None => format!("no component is called {shown}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_component_can_be_had_alone() {
        let whole = schemas::schema(Dialect::Native);
        let cors = component("security/cors", &whole).unwrap();
        assert!(jsonschema::draft202012::meta::is_valid(&cors));
        let validator = jsonschema::draft202012::new(&cors).unwrap();
        assert!(validator.is_valid(&json!({"allow_origins": ["*"]})));
        assert!(!validator.is_valid(&json!({"origins": ["*"]})));
        assert!(component("security/kors", &whole).is_none());
        assert!(unknown("security/kors").contains("security/cors"));
    }
}
