//! Holds a document to the schema and tells each violation as a problem with its place and a hint.
//!
//! Differs from KrakenD, which prints the tree of its validator: a name that nothing knows comes with the
//! nearest one that something does, a component at a wrong level with the right one.

use super::schema;
use crate::base::problem::pointer_join;
use crate::base::{Code, Dialect, Problem};
use crate::component::{Level, fields};
use crate::config::{keys, namespaces};
use jsonschema::error::{TypeKind, ValidationError, ValidationErrorKind as Wrong};
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// More findings than this help nobody.
const MOST: usize = 1000;
/// Longest list of words in a message.
const WORDS: usize = 12;

/// Every violation of our own schema, in the words of a dialect.
pub fn lint(root: &Value, dialect: Dialect) -> Vec<Problem> {
    let schema = schema(dialect);
    against(&schema, root).unwrap_or_else(|problem| vec![problem])
}

/// Every violation of a schema.
///
/// # Errors
/// When the schema is none, or refers to something outside of it: nothing is fetched.
pub fn against(schema: &Value, root: &Value) -> Result<Vec<Problem>, Problem> {
    let validator = compile(schema)?;
    let mut found: Vec<Problem> = Vec::new();
    for error in validator.iter_errors(root).take(MOST) {
        told(&error, schema, &mut found);
    }
    found.dedup();
    Ok(found)
}

/// A validator that reads no file, asks no server, and whose patterns take linear time.
///
/// # Errors
/// When the schema is none.
pub fn compile(schema: &Value) -> Result<Validator, Problem> {
    let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
    options.build(schema).map_err(|error| {
        let message = format!("the schema cannot be used: {}", error.masked());
        Problem::error(Code::BadValue, "", message)
            .hint("nothing is fetched: everything a schema refers to must be in it")
    })
}

/// What one violation means.
fn told(error: &ValidationError<'_>, schema: &Value, found: &mut Vec<Problem>) {
    let at = error.instance_path().as_str().to_owned();
    let name = display(&at);
    let problem = match error.kind() {
        Wrong::AdditionalProperties { unexpected } => {
            found.extend(
                unexpected
                    .iter()
                    .map(|key| unknown(key, &at, error, schema)),
            );
            return;
        }
        Wrong::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            Problem::error(Code::MissingKey, at, format!("{name} has no \"{key}\""))
                .hint(format!("add \"{key}\""))
        }
        Wrong::Type { kind } => {
            let (is, wanted) = (kind_of(error.instance()), expected(kind));
            Problem::error(
                Code::WrongType,
                at,
                format!("{name} is {is} and must be {wanted}"),
            )
        }
        Wrong::Enum { options } => not_among(at, &name, error.instance(), options),
        Wrong::Constant { expected_value } => Problem::error(
            Code::BadValue,
            at,
            format!("{name} must be {expected_value}"),
        ),
        Wrong::Pattern { pattern }
            if *pattern == super::DURATION || *pattern == super::PLAIN_DURATION =>
        {
            Problem::error(Code::BadDuration, at, format!("{name} is no duration"))
                .hint("write a number and a unit (ns, us, ms, s, m, h), for example \"2s\"")
        }
        Wrong::Pattern { pattern } => Problem::error(
            Code::BadValue,
            at,
            format!("{name} does not match the pattern {pattern}"),
        ),
        Wrong::Minimum { limit } | Wrong::ExclusiveMinimum { limit } => {
            Problem::error(Code::OutOfRange, at, format!("{name} is less than {limit}"))
        }
        Wrong::Maximum { limit } | Wrong::ExclusiveMaximum { limit } => Problem::error(
            Code::OutOfRange,
            at,
            format!("{name} is greater than {limit}"),
        ),
        Wrong::MinItems { limit } => Problem::error(
            Code::BadValue,
            at,
            format!("{name} needs at least {limit} element(s)"),
        ),
        Wrong::MinProperties { limit } => Problem::error(
            Code::BadValue,
            at,
            format!("{name} needs at least {limit} key(s)"),
        ),
        Wrong::MaxProperties { limit } => Problem::error(
            Code::BadValue,
            at,
            format!("{name} takes at most {limit} key(s)"),
        ),
        Wrong::AnyOf { context } | Wrong::OneOfNotValid { context } => none_of(at, &name, context),
        Wrong::OneOfMultipleValid { .. } => Problem::error(
            Code::BadValue,
            at,
            format!("{name} holds keys of which only one may be there"),
        ),
        // The value itself is not shown: it may be a secret.
        _ => Problem::error(Code::BadValue, at, format!("{name}: {}", error.masked())),
    };
    found.push(problem);
}

/// `/endpoints/0/timeout` → `endpoints[0].timeout`.
fn display(pointer: &str) -> String {
    let mut out = String::new();
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit()) {
            out.push_str(&format!("[{token}]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(&token);
        }
    }
    if out.is_empty() {
        "the document".to_owned()
    } else {
        format!("'{out}'")
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(number) if number.is_f64() => "a number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn expected(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => article(&one.to_string()),
        TypeKind::Multiple(several) => {
            let all: Vec<String> = several
                .iter()
                .map(|one| article(&one.to_string()))
                .collect();
            all.join(" or ")
        }
    }
}

fn article(word: &str) -> String {
    match word {
        "boolean" => "a bool".to_owned(),
        "array" => "a list".to_owned(),
        "integer" | "object" => format!("an {word}"),
        "null" => "null".to_owned(),
        _ => format!("a {word}"),
    }
}

fn not_among(at: String, name: &str, value: &Value, options: &Value) -> Problem {
    let words: Vec<&str> = options
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if words.is_empty() {
        return Problem::error(
            Code::BadValue,
            at,
            format!("{name} must be one of {options}"),
        );
    }
    let Some(text) = value.as_str() else {
        let message = format!("{name} is {} and must be a string", kind_of(value));
        return Problem::error(Code::WrongType, at, message).hint(listed(&words));
    };
    let shown: String = text.chars().take(40).collect();
    let message = format!(
        "{name} is \"{}\", which is none of the allowed words",
        shown.escape_debug()
    );
    let near = keys::nearest(text, &words).map(|word| format!("did you mean \"{word}\"?"));
    Problem::error(Code::BadValue, at, message).hint(near.unwrap_or_else(|| listed(&words)))
}

fn listed(words: &[&str]) -> String {
    let shown: Vec<&str> = words.iter().copied().take(WORDS).collect();
    let more = if words.len() > WORDS { ", …" } else { "" };
    format!("write one of \"{}\"{more}", shown.join("\", \""))
}

/// Of several ways none fits: what the first one lacks is told when it is the same place.
fn none_of(at: String, name: &str, ways: &[Vec<ValidationError<'static>>]) -> Problem {
    let mut missing = Vec::new();
    let mut types = Vec::new();
    for error in ways.iter().flatten() {
        match error.kind() {
            Wrong::Required { property } => missing.extend(property.as_str()),
            Wrong::Type { kind } => types.push(expected(kind)),
            _ => {}
        }
    }
    missing.dedup();
    types.dedup();
    if !missing.is_empty() {
        let names = missing.join("\", \"");
        return Problem::error(
            Code::MissingKey,
            at,
            format!("{name} has none of \"{names}\""),
        )
        .hint("add one of them");
    }
    if types.is_empty() {
        return Problem::error(
            Code::BadValue,
            at,
            format!("{name} is nothing that is allowed here"),
        );
    }
    Problem::error(
        Code::WrongType,
        at,
        format!("{name} must be {}", types.join(" or ")),
    )
}

/// A key that the schema does not have.
fn unknown(key: &str, at: &str, error: &ValidationError<'_>, schema: &Value) -> Problem {
    let pointer = pointer_join(at, key);
    if let Some(level) = extra_level(at) {
        return unknown_namespace(key, level, pointer);
    }
    let shown: String = key.chars().take(60).collect();
    let problem = Problem::error(
        Code::UnknownKey,
        pointer,
        format!("unknown key \"{}\"", shown.escape_debug()),
    );
    let known = siblings(error, schema);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    match keys::nearest(key, &known) {
        Some(name) => problem.hint(format!("did you mean \"{name}\"?")),
        None if known.is_empty() || known.len() > WORDS => problem,
        None => problem.hint(format!("known are \"{}\"", known.join("\", \""))),
    }
}

/// Whose `extra_config` a pointer leads to.
fn extra_level(at: &str) -> Option<Level> {
    let above = at.strip_suffix("/extra_config")?;
    let mut tokens = above.rsplit('/');
    let (last, list) = (
        tokens.next().unwrap_or_default(),
        tokens.next().unwrap_or_default(),
    );
    let is_index = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    match (is_index, list) {
        (true, "backend") => Some(Level::Backend),
        (true, "endpoints") => Some(Level::Endpoint),
        (true, "async_agent") => Some(Level::Agent),
        _ if above.is_empty() => Some(Level::Service),
        _ => None,
    }
}

fn unknown_namespace(key: &str, level: Level, pointer: String) -> Problem {
    let name = namespaces::short(key);
    let right = fields::levels(name);
    if right.contains(&level) && name != key {
        let message =
            format!("\"{key}\" is the old name of \"{name}\", which KrakenD's linter refuses");
        return Problem::error(Code::Deprecated, pointer, message)
            .hint(format!("write \"{name}\""));
    }
    if !right.is_empty() && !right.contains(&level) {
        let words: Vec<&str> = right.iter().map(|level| level.word()).collect();
        let message = format!("{name} does nothing at {} level", level.word());
        return Problem::error(Code::WrongLevel, pointer, message)
            .hint(format!("move it to {} level", words.join(" or ")));
    }
    let here: Vec<&str> = fields::entries()
        .filter(|entry| entry.levels.contains(&level))
        .map(|entry| entry.name)
        .collect();
    let shown: String = key.chars().take(80).collect();
    let message = format!("nothing knows {}", shown.escape_debug());
    let hint = match keys::nearest(key, &here) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "correct its name, or begin it with @ to make it a comment".to_owned(),
    };
    Problem::error(Code::UnknownNamespace, pointer, message).hint(hint)
}

/// The names that the violated part of the schema has.
fn siblings(error: &ValidationError<'_>, schema: &Value) -> Vec<String> {
    let fragment = error.absolute_keyword_location().and_then(|uri| {
        uri.as_str()
            .split_once('#')
            .map(|(_, fragment)| fragment.to_owned())
    });
    let path = fragment.unwrap_or_else(|| error.schema_path().as_str().to_owned());
    let path = path.replace("%24", "$");
    let above = path.rsplit_once('/').map_or("", |(above, _)| above);
    let properties = schema
        .pointer(above)
        .and_then(|part| part.get("properties"));
    properties
        .and_then(Value::as_object)
        .map(|map| map.keys().cloned().collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(root: Value, dialect: Dialect) -> Vec<(&'static str, String, String)> {
        lint(&root, dialect)
            .into_iter()
            .map(|p| (p.code.id(), p.pointer, p.hint.unwrap_or_default()))
            .collect()
    }

    fn one(root: Value) -> (&'static str, String, String) {
        let mut all = found(root, Dialect::Native);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    #[test]
    fn a_minimal_file_is_good() {
        assert_eq!(found(json!({"version": 3}), Dialect::Native), []);
        let commented = json!({"$schema": "https://www.krakend.io/schema/v2.13/krakend.json", "@a": 1, "_b": [], "#c": {}, "version": 3});
        assert_eq!(found(commented, Dialect::Krakend), []);
    }

    #[test]
    fn unknown_keys_come_with_the_nearest_known_one() {
        let (code, pointer, hint) = one(json!({"version": 3, "tiemout": "2s"}));
        assert_eq!(
            (code, pointer.as_str(), hint.as_str()),
            ("HG0201", "/tiemout", "did you mean \"timeout\"?")
        );
        let (_, pointer, hint) = one(json!({"version": 3, "endpoints": [
            {"endpoint": "/a", "backend": [{"url_pattern": "/", "hosts": ["http://a"]}]}]}));
        assert_eq!(
            (pointer.as_str(), hint.as_str()),
            ("/endpoints/0/backend/0/hosts", "did you mean \"host\"?")
        );
        let (_, pointer, hint) =
            one(json!({"version": 3, "extra_config": {"router": {"health_paht": "/h"}}}));
        assert_eq!(
            (pointer.as_str(), hint.as_str()),
            (
                "/extra_config/router/health_paht",
                "did you mean \"health_path\"?"
            )
        );
    }

    #[test]
    fn a_component_at_a_wrong_level_is_told_the_right_one() {
        let (code, pointer, hint) =
            one(json!({"version": 3, "extra_config": {"modifier/martian": {}}}));
        assert_eq!(
            (code, pointer.as_str(), hint.as_str()),
            (
                "HG0205",
                "/extra_config/modifier~1martian",
                "move it to backend level"
            )
        );
    }

    #[test]
    fn an_unknown_namespace_comes_with_the_nearest_one() {
        let (code, _, hint) = one(json!({"version": 3, "extra_config": {"security/kors": {}}}));
        assert_eq!(
            (code, hint.as_str()),
            ("HG0202", "did you mean \"security/cors\"?")
        );
    }

    #[test]
    fn wrong_values_are_told_in_words() {
        for (root, code, pointer) in [
            (json!({"version": 2}), "HG0104", "/version"),
            (json!({}), "HG0110", ""),
            (json!({"version": 3, "port": "80"}), "HG0101", "/port"),
            (json!({"version": 3, "port": 70000}), "HG0103", "/port"),
            (
                json!({"version": 3, "timeout": "2 s"}),
                "HG0102",
                "/timeout",
            ),
            (json!({"version": 3, "timeout": 3000}), "HG0101", "/timeout"),
            (
                json!({"version": 3, "output_encoding": "jsn"}),
                "HG0104",
                "/output_encoding",
            ),
            (json!({"version": 3, "tls": {}}), "HG0110", "/tls"),
            (
                json!({"version": 3, "extra_config": {"hanzo/limits": {"max_body": "ten"}}}),
                "HG0101",
                "/extra_config/hanzo~1limits/max_body",
            ),
        ] {
            let (found, at, _) = one(root.clone());
            assert_eq!((found, at.as_str()), (code, pointer), "{root}");
        }
    }

    #[test]
    fn durations_are_stricter_in_the_words_of_krakend() {
        let root = json!({"version": 3, "timeout": "1h30m", "dialer_keep_alive": "-1s", "read_timeout": "1.5s"});
        assert_eq!(found(root.clone(), Dialect::Native), []);
        assert_eq!(found(root, Dialect::Krakend).len(), 3);
    }

    #[test]
    fn only_krakends_linter_refuses_old_names() {
        let root = json!({"version": 3, "extra_config": {"github_com/devopsfaith/krakend-cors": {"allow_origins": ["*"]}}});
        assert_eq!(found(root.clone(), Dialect::Native), []);
        assert_eq!(found(root, Dialect::Krakend)[0].0, "HG0207");
        let typo = json!({"version": 3, "extra_config": {"github_com/devopsfaith/krakend-cors": {"origins": []}}});
        assert_eq!(
            one(typo).0,
            "HG0201",
            "old names are held to the same fields"
        );
    }

    #[test]
    fn martian_holds_others() {
        let backend = |martian: Value| {
            json!({"version": 3, "endpoints": [{"endpoint": "/a", "backend": [
                {"url_pattern": "/", "extra_config": {"modifier/martian": martian}}]}]})
        };
        let inner = json!({"header.Modifier": {"scope": ["request"], "name": "X-A", "value": "1"}});
        let group = json!({"fifo.Group": {"scope": ["request"], "modifiers": [inner]}});
        assert_eq!(found(backend(group), Dialect::Native), []);
        let wrong =
            json!({"fifo.Group": {"modifiers": [{"header.Modfier": {"name": "a", "value": "b"}}]}});
        assert!(one(backend(wrong)).2.contains("header.Modifier"));
    }

    #[test]
    fn a_foreign_schema_can_be_used_unless_it_leads_outside() {
        let schema = json!({"type": "object", "required": ["name"]});
        assert_eq!(against(&schema, &json!({})).unwrap().len(), 1);
        let outside = json!({"$ref": "https://example.org/other.json"});
        assert!(
            against(&outside, &json!({}))
                .unwrap_err()
                .message
                .contains("cannot be used")
        );
        let file = json!({"$ref": "file:///etc/passwd"});
        assert!(against(&file, &json!({})).is_err());
    }

    #[test]
    fn secrets_are_not_repeated() {
        let root = json!({"version": 3, "endpoints": [{"endpoint": "/a", "backend": [{"url_pattern": "/", "extra_config": {
            "auth/client-credentials": {"client_id": "a", "client_secret": ["hunter2"], "token_url": "https://x"}}}]}]});
        let all = lint(&root, Dialect::Native);
        assert_eq!(all.len(), 1);
        assert!(!format!("{all:?}").contains("hunter2"));
    }
}
