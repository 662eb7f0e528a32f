//! The JSON schema (draft 2020-12) of a whole configuration, made from the field tables: `schema` prints
//! it for editors, and `check --lint` holds files to it.
//!
//! Differs from KrakenD, which downloads its schema from a website: this one is in the binary. It knows
//! the old long names of components and the old spellings of keys (marked deprecated), durations as the
//! gateway reads them, and our own components. In the krakend dialect it refuses what KrakenD's linter
//! refuses.

pub mod lint;

use crate::base::Dialect;
use crate::base::version::VERSION;
use crate::component::Level;
use crate::component::fields::{self, Edition, Entry, Field, Kind, document};
use crate::config::namespaces::LONG_NAMES;
use serde_json::{Map, Value, json};

/// Keys that are comments.
const COMMENTS: &str = "^[@$_#]";
/// Durations as they are read.
const DURATION: &str = "^[-+]?(0|([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))(([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*$";
/// Durations as KrakenD's linter wants them.
const PLAIN_DURATION: &str = "^[0-9]+(ns|ms|us|µs|s|m|h)$";
/// Sizes as text.
const SIZE: &str = "^[0-9]+ *([kKmMgG][iI]?)?[bB]?$";

/// The schema in the words of a dialect.
pub fn schema(dialect: Dialect) -> Value {
    let maker = Maker { dialect };
    let mut schema = maker.object(document::SERVICE, true);
    let mut definitions = Map::new();
    for part in fields::parts() {
        let mut made = maker.kind(&part.kind);
        if part.name == "tls" {
            maker.certificates(&mut made);
        }
        describe(&mut made, part.name, part.meaning);
        definitions.insert(part.name.to_owned(), made);
    }
    for level in Level::ALL {
        let (name, made) = maker.extra(*level);
        definitions.insert(name.to_owned(), made);
    }
    for entry in fields::entries().filter(|entry| maker.knows(entry)) {
        definitions.insert(slug(entry), maker.entry(entry));
    }
    let (major, minor) = version();
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("https://github.com/hanzoai/gateway/schema/v{major}.{minor}/config.json"),
        "title": "Configuration of hanzo-gateway",
        "description": "A KrakenD configuration, version 3, with what hanzo-gateway adds.",
    });
    if let (Some(schema), Value::Object(head)) = (schema.as_object_mut(), head) {
        schema.extend(head);
        schema.insert("$defs".to_owned(), Value::Object(definitions));
    }
    schema
}

fn version() -> (&'static str, &'static str) {
    let mut parts = VERSION.split('.');
    (parts.next().unwrap_or("0"), parts.next().unwrap_or("0"))
}

/// The name of a namespace's definition.
fn slug(entry: &Entry) -> String {
    let levels: Vec<String> = entry
        .levels
        .iter()
        .map(|level| level.word().replace(' ', "_"))
        .collect();
    format!("{}.{}", entry.name.replace('/', "."), levels.join("."))
}

/// The name of the definition of a level's `extra_config`.
const fn extra_name(level: Level) -> &'static str {
    match level {
        Level::Service => "service_extra_config",
        Level::Endpoint => "endpoint_extra_config",
        Level::Backend => "backend_extra_config",
        Level::Agent => "agent_extra_config",
    }
}

/// `return_error_msg` → `Return error msg`.
fn title(name: &str) -> String {
    let mut words = name.replace(['_', '-'], " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

fn describe(made: &mut Value, name: &str, meaning: &str) {
    if let Some(made) = made.as_object_mut() {
        made.insert("title".to_owned(), title(name).into());
        made.insert("description".to_owned(), meaning.into());
    }
}

struct Maker {
    dialect: Dialect,
}

impl Maker {
    fn krakend(&self) -> bool {
        self.dialect == Dialect::Krakend
    }

    /// In the krakend dialect our own components remain where their name cannot be KrakenD's.
    fn knows(&self, entry: &Entry) -> bool {
        !self.krakend() || entry.edition != Edition::Own || entry.name.starts_with("hanzo/")
    }

    fn entry(&self, entry: &Entry) -> Value {
        let mut made = self.kind(&entry.value);
        let mut text = entry.meaning.to_owned();
        if entry.edition == Edition::Enterprise {
            text.push_str(" (KrakenD Enterprise)");
        }
        if !entry.differs.is_empty() {
            text.push_str(&format!(" Difference from KrakenD: {}.", entry.differs));
        }
        describe(&mut made, "", &text);
        if let Some(made) = made.as_object_mut() {
            made.insert("title".to_owned(), entry.name.into());
        }
        made
    }

    /// The `extra_config` of a level.
    fn extra(&self, level: Level) -> (&'static str, Value) {
        let mut properties = Map::new();
        let here = fields::entries().filter(|entry| entry.levels.contains(&level));
        for entry in here.filter(|entry| self.knows(entry)) {
            let reference = format!("#/$defs/{}", slug(entry));
            properties.insert(entry.name.to_owned(), json!({"$ref": reference}));
            let long = LONG_NAMES.iter().find(|(short, _)| *short == entry.name);
            if let Some((short, long)) = long.filter(|_| !self.krakend()) {
                let text = format!("The old name of {short}.");
                let old = json!({"$ref": reference, "deprecated": true, "description": text});
                properties.insert((*long).to_owned(), old);
            }
        }
        let text = format!("Components at {} level.", level.word());
        // KrakenD's schema closes all of them but an agent's.
        let open = level == Level::Agent;
        let made = json!({
            "type": "object",
            "title": title(extra_name(level)),
            "description": text,
            "properties": properties,
            "patternProperties": {COMMENTS: true},
            "additionalProperties": open,
        });
        (extra_name(level), made)
    }

    /// TLS towards clients needs a certificate.
    fn certificates(&self, made: &mut Value) {
        let Some(made) = made.as_object_mut() else {
            return;
        };
        if self.krakend() {
            made.insert("required".to_owned(), json!(["keys"]));
            return;
        }
        let ways = json!([
            {"required": ["keys"]},
            {"required": ["public_key", "private_key"]},
            {"required": ["disabled"], "properties": {"disabled": {"const": true}}},
        ]);
        made.insert("anyOf".to_owned(), ways);
    }

    fn kind(&self, kind: &Kind) -> Value {
        match kind {
            Kind::Text | Kind::Regex => json!({"type": "string"}),
            Kind::Like(pattern, _) => json!({"type": "string", "pattern": pattern}),
            Kind::Flag => json!({"type": "boolean"}),
            Kind::Int => json!({"type": "integer"}),
            Kind::Min(least) => json!({"type": "integer", "minimum": least}),
            Kind::Range(from, to) => json!({"type": "integer", "minimum": from, "maximum": to}),
            Kind::Number => json!({"type": "number"}),
            Kind::Between(from, to) => json!({"type": "number", "minimum": from, "maximum": to}),
            Kind::Duration => json!({"type": "string", "pattern": self.duration()}),
            Kind::Size => {
                json!({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": SIZE}]})
            }
            Kind::Word(words) => json!({"enum": words}),
            Kind::Known(words) if self.krakend() => json!({"enum": words}),
            Kind::Known(words) => json!({"type": "string", "examples": words}),
            Kind::Code(codes) => json!({"enum": codes}),
            Kind::List(of) => json!({"type": "array", "items": self.kind(of)}),
            Kind::Some(of) => json!({"type": "array", "items": self.kind(of), "minItems": 1}),
            Kind::Map(of) => json!({
                "type": "object",
                "patternProperties": {COMMENTS: true},
                "additionalProperties": self.kind(of),
            }),
            Kind::Keys(pattern, of) => json!({
                "type": "object",
                "patternProperties": {*pattern: self.kind(of)},
                "additionalProperties": false,
            }),
            Kind::Object(fields) => self.object(fields, true),
            Kind::Open(fields) => self.object(fields, false),
            Kind::Sole(fields) => self.sole(fields),
            Kind::Choice(fields, names) => self.choice(fields, names),
            Kind::Either(kinds) => {
                let all: Vec<Value> = kinds.iter().map(|kind| self.kind(kind)).collect();
                json!({"anyOf": all})
            }
            Kind::Ref(name) => json!({"$ref": format!("#/$defs/{name}")}),
            Kind::Any => json!({}),
        }
    }

    fn duration(&self) -> &'static str {
        if self.krakend() {
            PLAIN_DURATION
        } else {
            DURATION
        }
    }

    fn sole(&self, fields: &[Field]) -> Value {
        let mut made = self.object(fields, true);
        if let Some(made) = made.as_object_mut() {
            made.insert("minProperties".to_owned(), 1.into());
            made.insert("maxProperties".to_owned(), 1.into());
        }
        made
    }

    fn choice(&self, fields: &[Field], names: &[&str]) -> Value {
        let mut made = self.object(fields, true);
        if self.krakend()
            && !names.is_empty()
            && let Some(made) = made.as_object_mut()
        {
            let ways: Vec<Value> = names
                .iter()
                .map(|name| json!({"required": [name]}))
                .collect();
            made.insert("oneOf".to_owned(), ways.into());
        }
        made
    }

    fn object(&self, fields: &[Field], closed: bool) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in fields {
            if self.krakend() && (field.old || field.ours) {
                continue;
            }
            if field.required {
                required.push(field.name);
            }
            properties.insert(field.name.to_owned(), self.field(field));
        }
        let mut made = Map::new();
        made.insert("type".to_owned(), "object".into());
        made.insert("properties".to_owned(), properties.into());
        if !required.is_empty() {
            made.insert("required".to_owned(), json!(required));
        }
        if closed {
            made.insert("patternProperties".to_owned(), json!({COMMENTS: true}));
            made.insert("additionalProperties".to_owned(), false.into());
        }
        made.into()
    }

    fn field(&self, field: &Field) -> Value {
        let mut made = self.kind(&field.kind);
        let mut text = field.meaning.to_owned();
        if !field.differs.is_empty() {
            text.push_str(&format!(" Difference from KrakenD: {}.", field.differs));
        }
        describe(&mut made, field.name, &text);
        if let Some(made) = made.as_object_mut() {
            if let Some(default) = field.default {
                made.insert("default".to_owned(), fields::json(default));
            }
            if let Some(example) = field.example {
                made.insert("examples".to_owned(), json!([fields::json(example)]));
            }
            if field.old {
                made.insert("deprecated".to_owned(), true.into());
            }
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_one() {
        for dialect in [Dialect::Native, Dialect::Krakend] {
            let schema = schema(dialect);
            assert!(jsonschema::draft202012::meta::is_valid(&schema));
            assert!(lint::compile(&schema).is_ok());
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(value: &Value, all: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(to)) = map.get("$ref") {
                        all.push(to.clone());
                    }
                    map.values().for_each(|value| walk(value, all));
                }
                Value::Array(list) => list.iter().for_each(|value| walk(value, all)),
                _ => {}
            }
        }
        for dialect in [Dialect::Native, Dialect::Krakend] {
            let schema = schema(dialect);
            let mut all = Vec::new();
            walk(&schema, &mut all);
            assert!(all.len() > 100);
            for reference in all {
                let pointer = reference.trim_start_matches('#');
                assert!(schema.pointer(pointer).is_some(), "{reference}");
            }
        }
    }

    #[test]
    fn every_default_and_example_is_valid_where_it_stands() {
        fn walk(schema: &Value, root: &Value, at: &str, wrong: &mut Vec<String>) {
            let Some(map) = schema.as_object() else {
                return;
            };
            let properties = map.get("properties").and_then(Value::as_object);
            for (name, field) in properties.into_iter().flatten() {
                let at = format!("{at}/{name}");
                let mut alone = field.clone();
                // Compiling all definitions for each of some thousand fields would take half a minute.
                if field.to_string().contains("$ref")
                    && let Some(alone) = alone.as_object_mut()
                {
                    alone.insert("$defs".to_owned(), root["$defs"].clone());
                }
                let examples = field.get("examples").and_then(Value::as_array);
                let values = field
                    .get("default")
                    .into_iter()
                    .chain(examples.into_iter().flatten());
                for value in values {
                    if !jsonschema::draft202012::new(&alone)
                        .unwrap()
                        .is_valid(value)
                    {
                        wrong.push(format!("{at}: {value}"));
                    }
                }
                walk(field, root, &at, wrong);
            }
        }
        let schema = schema(Dialect::Native);
        let mut wrong = Vec::new();
        walk(&schema, &schema, "", &mut wrong);
        for name in [
            "endpoint",
            "backend",
            "tls",
            "client_tls",
            "router.service",
            "proxy.endpoint.async_agent",
        ] {
            walk(&schema["$defs"][name], &schema, name, &mut wrong);
        }
        assert_eq!(wrong, Vec::<String>::new());
    }

    #[test]
    fn old_names_are_known_natively_and_marked() {
        let native = schema(Dialect::Native);
        let old = "/$defs/endpoint_extra_config/properties/github.com~1devopsfaith~1krakend~1proxy";
        assert_eq!(native.pointer(old).unwrap()["deprecated"], true);
        assert!(schema(Dialect::Krakend).pointer(old).is_none());
    }
}
