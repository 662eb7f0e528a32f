//! `validation/json-schema` – the body of a request must fit a schema. The settings are the schema.
//!
//! Differs from KrakenD: a schema that cannot be compiled refuses the file (there it switches the check
//! off, which the krakend dialect does with a warning); the body is read within the body limit, and one
//! nested deeper than a recursive schema may follow is refused. Numbers are exact, as there.
//! Nothing is ever fetched: a `$ref` that leads out of the file is an error at its place.

mod bounds;
mod decimal;
mod message;
mod node;

use self::node::Body;
use crate::base::json::Lexer;
use crate::base::{Code, Dialect, Error, Problem, Reason};
use crate::body;
use crate::component::{Component, EndpointDraft};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::message::Request;
use crate::gateway::stage::{Go, PipeStage, Step};
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

/// The table line.
pub const COMPONENT: Component = Component {
    endpoint: Some(build),
    any_value: true,
    ..Component::named(NAME)
};

const NAME: &str = "validation/json-schema";

/// How deep a body may be nested where the schema refers to itself: each level costs call stack.
const DEEPEST: usize = 128;
/// Steps back that a pattern with look-around may take; patterns without never take one.
const BACKTRACKS: usize = 100_000;
/// Bytes of a compiled pattern.
const PATTERN_SIZE: usize = 4 << 20;
/// Keywords that lead to another part of the schema, and so possibly back.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// A compiled schema.
pub struct Schema {
    validator: Validator<Body>,
    /// Whether it may follow a body to any depth.
    recursive: bool,
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// What is wrong, with its JSON pointer inside the schema.
    pub fn compile(schema: &Value) -> Result<Self, Broken> {
        let draft = Draft::default().detect(schema);
        let asserts_formats = matches!(draft, Draft::Draft4 | Draft::Draft6 | Draft::Draft7);
        let patterns = PatternOptions::fancy_regex()
            .backtrack_limit(BACKTRACKS)
            .size_limit(PATTERN_SIZE)
            .dfa_size_limit(PATTERN_SIZE);
        let options = jsonschema::options_for::<Body>()
            .offline()
            .should_validate_formats(asserts_formats)
            .without_content_media_type_support("application/json")
            .without_content_encoding_support("base64")
            .with_pattern_options(patterns);
        let validator = bounds::exact(options)
            .build(schema)
            .map_err(|error| Broken::of(&error, schema))?;
        Ok(Self {
            validator,
            recursive: find(schema, &mut |key, _| REFERENCES.contains(&key)).is_some(),
        })
    }

    /// Checks a body.
    ///
    /// # Errors
    /// Why it does not fit, for the log and for `return_error_msg`.
    pub fn check(&self, body: &[u8]) -> Result<(), Error> {
        if body.is_empty() {
            return Err(refused(
                Reason::BadBody,
                "could not validate an empty body".to_owned(),
            ));
        }
        // Whether anything follows the document, and how deep it is, without building it.
        let depth = depth(body).map_err(|text| refused(Reason::BadBody, text))?;
        if self.recursive && depth > DEEPEST {
            let text = format!("nested deeper than {DEEPEST} levels");
            return Err(refused(Reason::SchemaViolated, text));
        }
        let value = body::json::decode(body)
            .map_err(|error| refused(Reason::BadBody, error.to_string()))?;
        if self.validator.is_valid(&value) {
            return Ok(());
        }
        let text = message::tell(self.validator.iter_errors(&value));
        Err(refused(Reason::SchemaViolated, text))
    }
}

/// Deepest level of a text that is exactly one JSON document.
fn depth(body: &[u8]) -> Result<usize, String> {
    let mut lexer = Lexer::new(body);
    let mut deepest = 0;
    while lexer.next().map_err(|error| error.to_string())?.is_some() {
        deepest = deepest.max(lexer.depth());
    }
    lexer.finish().map_err(|error| error.to_string())?;
    Ok(deepest)
}

fn refused(reason: Reason, text: String) -> Error {
    Error::new(reason, text).exposing(400, None)
}

/// Why a schema cannot be used.
#[derive(Debug)]
pub struct Broken {
    /// JSON pointer inside the schema.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: &'static str,
}

impl Broken {
    fn of(error: &ValidationError<'_>, schema: &Value) -> Self {
        let message = error.to_string();
        let place = error.instance_path().as_str();
        // An error about a reference names the reference, not the place where it stands.
        let referred = find(schema, &mut |key, value| {
            (key.ends_with("Ref") || key == "$ref" || key == "$schema")
                && value
                    .as_str()
                    .is_some_and(|target| leads_out(target, &message))
        });
        let (pointer, hint) = match referred {
            Some(pointer) if place.is_empty() => (
                pointer,
                "nothing is fetched: put what it refers to under \"$defs\" of this schema and write \"#/$defs/…\"",
            ),
            _ => (
                place.to_owned(),
                "correct the schema; KrakenD would start without checking anything",
            ),
        };
        Self {
            pointer,
            message,
            hint,
        }
    }
}

fn leads_out(target: &str, message: &str) -> bool {
    let document = target.split('#').next().unwrap_or_default();
    let fragment = target.split('#').nth(1).unwrap_or_default();
    (!document.is_empty() && message.contains(document.trim_end_matches('/')))
        || (!fragment.is_empty() && message.contains(fragment))
}

/// JSON pointer of the first member of a schema that a test picks; goes no deeper than the file does.
fn find(schema: &Value, picks: &mut dyn FnMut(&str, &Value) -> bool) -> Option<String> {
    let mut rest = vec![(String::new(), schema)];
    while let Some((pointer, value)) = rest.pop() {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    let pointer = crate::base::problem::pointer_join(&pointer, key);
                    if picks(key, value) {
                        return Some(pointer);
                    }
                    rest.push((pointer, value));
                }
            }
            Value::Array(items) => {
                let places = items.iter().enumerate();
                rest.extend(places.map(|(at, item)| (format!("{pointer}/{at}"), item)));
            }
            _ => {}
        }
    }
    None
}

fn build(s: &mut Settings<'_>, draft: &mut EndpointDraft, dialect: Dialect) -> Result<(), Problem> {
    match Schema::compile(s.raw()) {
        Ok(schema) => draft.pipe.push(Box::new(schema)),
        Err(broken) => {
            let pointer = format!("{}{}", s.pointer(), broken.pointer);
            let message = format!("the schema cannot be used: {}", broken.message);
            s.report().push(match dialect {
                Dialect::Native => {
                    Problem::error(Code::BadValue, pointer, message).hint(broken.hint)
                }
                Dialect::Krakend => Problem::warning(
                    Code::BadValue,
                    pointer,
                    format!("{message}; as in KrakenD, bodies are not checked"),
                )
                .hint(broken.hint),
            });
        }
    }
    Ok(())
}

impl PipeStage for Schema {
    fn name(&self) -> &'static str {
        NAME
    }

    fn before<'a>(&'a self, request: &'a mut Request, _: &'a Ctx) -> Step<'a, Go> {
        let body = request.body.as_deref().unwrap_or_default();
        Step::Now(self.check(body).map(|()| Go::Next))
    }
}

#[cfg(test)]
#[path = "json_schema/tests.rs"]
mod tests;
