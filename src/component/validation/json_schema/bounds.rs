//! The keywords that compare with what the schema says, exactly: the validator's own use doubles
//! beyond 64 bits.

use super::decimal::Decimal;
use super::node::{Body, equal};
use crate::body::Value;
use jsonschema::paths::Location;
use jsonschema::{Keyword, ValidationError, ValidationOptions};
use serde_json::{Map, Value as Config};
use std::cmp::Ordering;

type Made<'a> = Result<Box<dyn for<'i> Keyword<'i, Body>>, ValidationError<'a>>;

/// A limit with the words that tell about it.
struct Bound {
    word: &'static str,
    limit: Decimal,
    shown: String,
    /// Cheap case: most limits and most numbers are small integers.
    small: Option<i64>,
    holds: fn(Ordering) -> bool,
}

impl<'i> Keyword<'i, Body> for Bound {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if self.is_valid(instance) {
            return Ok(());
        }
        Err(ValidationError::custom(format!(
            "{}: got {}, want {}",
            self.word,
            shown(instance),
            self.shown
        )))
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        let Value::Number(digits) = instance else {
            return true;
        };
        let order = match (self.small, digits.parse::<i64>()) {
            (Some(limit), Ok(value)) => value.cmp(&limit),
            _ => Decimal::parse(digits).cmp(&self.limit),
        };
        (self.holds)(order)
    }
}

/// `multipleOf`.
struct Multiple {
    step: Decimal,
    shown: String,
}

impl<'i> Keyword<'i, Body> for Multiple {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if self.is_valid(instance) {
            return Ok(());
        }
        Err(ValidationError::custom(format!(
            "multipleOf: got {}, want {}",
            shown(instance),
            self.shown
        )))
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        match instance {
            Value::Number(digits) => Decimal::parse(digits).is_multiple_of(&self.step),
            _ => true,
        }
    }
}

/// `enum` and, with one value, `const`.
struct OneOf(Vec<Config>);

impl<'i> Keyword<'i, Body> for OneOf {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if self.is_valid(instance) {
            return Ok(());
        }
        let words = if self.0.len() == 1 { "" } else { "one of " };
        Err(ValidationError::custom(format!(
            "value must be {words}{}",
            super::message::listed(&self.0)
        )))
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        self.0.iter().any(|allowed| equal(instance, allowed))
    }
}

/// Everything is allowed: what draft 4's boolean `exclusiveMinimum` is by itself.
struct Nothing;

impl<'i> Keyword<'i, Body> for Nothing {
    fn validate(&self, _: &'i Value) -> Result<(), ValidationError<'i>> {
        Ok(())
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        true
    }
}

fn shown(instance: &Value) -> &str {
    match instance {
        Value::Number(digits) => digits.get(..40).unwrap_or(digits),
        _ => "",
    }
}

fn bound<'a>(word: &'static str, limit: &Config, holds: fn(Ordering) -> bool) -> Made<'a> {
    // The schema was checked against its own schema before; what is no number is draft 4's boolean.
    let Config::Number(limit) = limit else {
        return Ok(Box::new(Nothing));
    };
    let shown = limit.to_string();
    Ok(Box::new(Bound {
        word,
        limit: Decimal::parse(&shown),
        small: limit.as_i64(),
        shown,
        holds,
    }))
}

fn is_exclusive(parent: &Map<String, Config>, key: &str) -> bool {
    parent.get(key) == Some(&Config::Bool(true))
}

fn minimum<'a>(parent: &'a Map<String, Config>, limit: &'a Config, _: Location) -> Made<'a> {
    if is_exclusive(parent, "exclusiveMinimum") {
        return above(parent, limit, Location::new());
    }
    bound("minimum", limit, Ordering::is_ge)
}

fn maximum<'a>(parent: &'a Map<String, Config>, limit: &'a Config, _: Location) -> Made<'a> {
    if is_exclusive(parent, "exclusiveMaximum") {
        return below(parent, limit, Location::new());
    }
    bound("maximum", limit, Ordering::is_le)
}

fn above<'a>(_: &'a Map<String, Config>, limit: &'a Config, _: Location) -> Made<'a> {
    bound("exclusiveMinimum", limit, Ordering::is_gt)
}

fn below<'a>(_: &'a Map<String, Config>, limit: &'a Config, _: Location) -> Made<'a> {
    bound("exclusiveMaximum", limit, Ordering::is_lt)
}

fn multiple<'a>(_: &'a Map<String, Config>, step: &'a Config, _: Location) -> Made<'a> {
    let shown = step.to_string();
    Ok(Box::new(Multiple {
        step: Decimal::parse(&shown),
        shown,
    }))
}

fn one_of<'a>(_: &'a Map<String, Config>, values: &'a Config, _: Location) -> Made<'a> {
    let values = values.as_array().cloned().unwrap_or_default();
    Ok(Box::new(OneOf(values)))
}

fn constant<'a>(_: &'a Map<String, Config>, value: &'a Config, _: Location) -> Made<'a> {
    Ok(Box::new(OneOf(vec![value.clone()])))
}

/// Puts the exact keywords in place of the validator's.
pub(super) fn exact<R>(options: ValidationOptions<'_, R, Body>) -> ValidationOptions<'_, R, Body> {
    options
        .with_keyword("minimum", minimum)
        .with_keyword("maximum", maximum)
        .with_keyword("exclusiveMinimum", above)
        .with_keyword("exclusiveMaximum", below)
        .with_keyword("multipleOf", multiple)
        .with_keyword("enum", one_of)
        .with_keyword("const", constant)
}
