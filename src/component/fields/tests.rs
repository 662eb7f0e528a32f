//! What holds of the tables as a whole.

use super::*;
use crate::base::{Dialect, Report};
use crate::component::{COMPONENTS, Level, NOT_YET};
use crate::config::settings::Settings;
use serde_json::{Map, Value};

/// Every field, with where it stands.
fn all() -> Vec<(String, &'static Field)> {
    fn walk(at: &str, kind: &'static Kind, into: &mut Vec<(String, &'static Field)>) {
        match kind {
            Kind::List(of) | Kind::Some(of) | Kind::Map(of) | Kind::Keys(_, of) => {
                walk(at, of, into)
            }
            Kind::Either(kinds) => kinds.iter().for_each(|kind| walk(at, kind, into)),
            other => {
                for field in other.fields() {
                    let at = format!("{at}/{}", field.name);
                    into.push((at.clone(), field));
                    walk(&at, &field.kind, into);
                }
            }
        }
    }
    let mut found = Vec::new();
    for entry in entries() {
        walk(entry.name, &entry.value, &mut found);
    }
    for part in parts() {
        walk(part.name, &part.kind, &mut found);
    }
    for field in document::SERVICE {
        found.push((field.name.to_owned(), field));
    }
    found
}

#[test]
fn every_component_has_its_fields_at_each_of_its_levels() {
    for component in COMPONENTS {
        for level in Level::ALL.iter().filter(|level| component.allows(**level)) {
            assert!(
                component.fields(*level).is_some(),
                "{} at {} level",
                component.name,
                level.word()
            );
        }
    }
}

#[test]
fn every_namespace_that_is_not_implemented_has_its_fields_too() {
    for row in NOT_YET {
        for level in row.levels {
            assert!(
                find(row.name, *level).is_some(),
                "{} at {} level",
                row.name,
                level.word()
            );
        }
    }
}

#[test]
fn every_namespace_of_the_tables_is_known_to_the_gateway() {
    for entry in entries() {
        assert!(
            crate::component::find(entry.name).is_some()
                || NOT_YET.iter().any(|row| row.name == entry.name),
            "{}",
            entry.name
        );
    }
}

#[test]
fn a_namespace_is_described_once_at_a_level() {
    let mut seen = std::collections::BTreeSet::new();
    for entry in entries() {
        assert!(!entry.levels.is_empty(), "{}", entry.name);
        for level in entry.levels {
            assert!(
                seen.insert((entry.name, level.word())),
                "{} at {}",
                entry.name,
                level.word()
            );
        }
    }
}

#[test]
fn every_field_is_told_in_one_sentence() {
    for (at, field) in all() {
        let text = field.meaning;
        assert!(
            text.ends_with('.') && text.len() > 3 && !text.contains(['|', '\n']),
            "{at}: {text}"
        );
        assert!(
            !field.differs.contains(['|', '\n']) && !field.differs.ends_with('.'),
            "{at}"
        );
    }
    for entry in entries() {
        assert!(
            entry.meaning.ends_with('.') && !entry.meaning.contains('|'),
            "{}",
            entry.name
        );
    }
}

#[test]
fn no_object_has_a_field_twice() {
    let mut names: Vec<(String, &str)> = Vec::new();
    for entry in entries() {
        for level in entry.levels {
            for field in entry.fields() {
                names.push((format!("{} {}", entry.name, level.word()), field.name));
            }
        }
    }
    let total = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), total);
}

/// All fields of the table, each `null`: what is absent has no value that could be wrong.
fn nothing(entry: &Entry) -> Value {
    let members: Map<String, Value> = entry
        .fields()
        .iter()
        .map(|field| (field.name.to_owned(), Value::Null))
        .collect();
    Value::Object(members)
}

/// Fields of KrakenD's schema that a component calls unknown, because it would do nothing with them.
const UNREAD: &[(&str, &str)] = &[("telemetry/logging", "backend")];

/// Keys that a component reads at the top of its settings.
fn read(component: &crate::component::Component, level: Level, value: &Value) -> Vec<String> {
    use crate::component::{BackendDraft, EndpointDraft, ServiceDraft};
    use crate::config::keys::ASKED;
    let mut report = Report::default();
    let native = Dialect::Native;
    ASKED.with(|asked| asked.borrow_mut().clear());
    let mut settings = Settings::new(value, "", &mut report);
    let s = &mut settings;
    let _ = match level {
        Level::Service => component
            .service
            .map(|build| build(s, &mut ServiceDraft::default(), native)),
        Level::Endpoint => component
            .endpoint
            .map(|build| build(s, &mut EndpointDraft::default(), native)),
        Level::Backend => component
            .backend
            .map(|build| build(s, &mut BackendDraft::default(), native)),
        Level::Agent => None,
    };
    let asked = ASKED.with(|asked| asked.borrow().clone());
    let top = asked.into_iter().find(|(pointer, _)| pointer.is_empty());
    top.map(|(_, keys)| keys).unwrap_or_default()
}

#[test]
fn a_component_reads_the_fields_that_its_table_has_and_no_others() {
    for component in COMPONENTS {
        for level in Level::ALL {
            let Some(entry) = component
                .fields(*level)
                .filter(|_| component.allows(*level))
            else {
                continue;
            };
            let keys = read(component, *level, &nothing(entry));
            // A component whose settings are a schema or a list has no keys of its own.
            if keys.is_empty()
                && matches!(entry.value, Kind::Open([]) | Kind::List(_) | Kind::Ref(_))
            {
                continue;
            }
            let place = format!("{} at {} level", component.name, level.word());
            for field in entry.fields().iter().filter(|field| !field.old) {
                let unread = UNREAD.contains(&(component.name, field.name));
                assert!(
                    unread || keys.iter().any(|key| key == field.name),
                    "{place}: nothing reads {}",
                    field.name
                );
            }
            for key in &keys {
                assert!(
                    entry.fields().iter().any(|field| field.name == key),
                    "{place}: no table has {key}"
                );
            }
        }
    }
}

#[test]
fn the_keys_of_the_document_are_those_that_are_read() {
    use crate::config::keys;
    let names = |fields: &[Field]| {
        let mut names: Vec<&str> = fields.iter().map(|field| field.name).collect();
        names.sort_unstable();
        names.join(" ")
    };
    let known = |keys: &[&str]| {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        keys.join(" ")
    };
    for (fields, keys) in [
        (document::SERVICE, keys::SERVICE),
        (document::ENDPOINT, keys::ENDPOINT),
        (document::BACKEND, keys::BACKEND),
        (document::AGENT, keys::AGENT),
        (document::TLS, keys::TLS),
        (document::CLIENT_TLS, keys::CLIENT_TLS),
    ] {
        assert_eq!(names(fields), known(keys));
    }
}

#[test]
fn a_bare_default_is_a_text() {
    assert_eq!(json("2s"), Value::from("2s"));
    assert_eq!(json("8080"), Value::from(8080));
    assert_eq!(json("[\"a\"]"), serde_json::json!(["a"]));
}
