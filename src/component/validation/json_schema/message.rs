//! What is wrong with a body, in the words KrakenD's validator uses: one line a violation,
//! `- at '/foo': got number, want string`.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value as Config;
use std::fmt::Write;

/// Violations told about.
const LINES: usize = 16;
/// Length of the whole text.
const LONGEST: usize = 4096;

/// The text for a list of violations.
pub(super) fn tell<'i>(errors: impl Iterator<Item = ValidationError<'i>>) -> String {
    let mut text = String::new();
    for error in errors.take(LINES) {
        if !text.is_empty() {
            text.push('\n');
        }
        let place: String = error.instance_path().as_str().chars().take(256).collect();
        let _ = write!(text, "- at '{place}': {}", what(&error));
        if text.len() > LONGEST {
            break;
        }
    }
    text
}

fn what(error: &ValidationError<'_>) -> String {
    let got = error.instance().as_ref();
    match error.kind() {
        Kind::Type { kind } => format!("got {}, want {}", word_of(got), wanted(kind)),
        Kind::Required { property } => format!("missing property '{}'", text(property)),
        Kind::AdditionalProperties { unexpected } => {
            format!("additional properties {} not allowed", quoted(unexpected))
        }
        Kind::UnevaluatedProperties { unexpected } => {
            format!("unevaluated properties {} not allowed", quoted(unexpected))
        }
        Kind::UnevaluatedItems { .. } => "unevaluated items not allowed".to_owned(),
        Kind::AdditionalItems { limit } => format!("more than {limit} items not allowed"),
        Kind::MinLength { limit } => format!("minLength: want {limit}"),
        Kind::MaxLength { limit } => format!("maxLength: want {limit}"),
        Kind::MinItems { limit } => format!("minItems: want {limit}"),
        Kind::MaxItems { limit } => format!("maxItems: want {limit}"),
        Kind::MinProperties { limit } => format!("minProperties: want {limit}"),
        Kind::MaxProperties { limit } => format!("maxProperties: want {limit}"),
        Kind::Pattern { pattern } => format!("'{}' does not match pattern '{pattern}'", text(got)),
        Kind::Format { format } => format!("'{}' is not valid {format}", text(got)),
        Kind::UniqueItems => "items are not unique".to_owned(),
        Kind::FalseSchema => "false schema".to_owned(),
        Kind::Contains => "no items match contains schema".to_owned(),
        Kind::AnyOf { .. } => "anyOf failed".to_owned(),
        Kind::OneOfNotValid { .. } => "oneOf failed, none matched".to_owned(),
        Kind::OneOfMultipleValid { .. } => "oneOf failed, several matched".to_owned(),
        Kind::Not { .. } => "not failed".to_owned(),
        Kind::PropertyNames { error } => format!("invalid propertyName: {}", what(error)),
        Kind::Custom { message, .. } => message.clone(),
        other => format!("{} failed", other.keyword()),
    }
}

fn wanted(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => word(*one).to_owned(),
        TypeKind::Multiple(several) => several.iter().map(word).collect::<Vec<_>>().join(" or "),
    }
}

const fn word(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "array",
        JsonType::Boolean => "boolean",
        JsonType::Integer => "integer",
        JsonType::Null => "null",
        JsonType::Number => "number",
        JsonType::Object => "object",
        JsonType::String => "string",
    }
}

const fn word_of(value: &Config) -> &'static str {
    match value {
        Config::Null => "null",
        Config::Bool(_) => "boolean",
        Config::Number(_) => "number",
        Config::String(_) => "string",
        Config::Array(_) => "array",
        Config::Object(_) => "object",
    }
}

/// A text as it is, anything else as JSON.
fn text(value: &Config) -> String {
    match value {
        Config::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn quote(value: &Config) -> String {
    match value {
        Config::String(text) => format!("'{text}'"),
        other => other.to_string(),
    }
}

/// Values of the schema, for a message.
pub(super) fn listed(options: &[Config]) -> String {
    let some = options.iter().take(LINES);
    some.map(quote).collect::<Vec<_>>().join(", ")
}

fn quoted(names: &[String]) -> String {
    let some = names.iter().take(LINES);
    some.map(|name| format!("'{}'", name.chars().take(64).collect::<String>()))
        .collect::<Vec<_>>()
        .join(", ")
}
