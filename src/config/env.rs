//! Environment overrides: `KRAKEND_PORT=9000` sets the key `port`, `KRAKEND_TLS.MIN_VERSION` a nested
//! one. Values are texts and are converted weakly.
//!
//! KrakenD dies of `KRAKEND_PORT=tcp://…`, which Kubernetes sets for a service of that name, and
//! ignores names that are no key; here the first is ignored too and both are warned of.

use super::keys;
use super::source::Source;
use crate::base::problem::{pointer_join, pointer_push};
use crate::base::{Code, Problem, Report};
use serde_json::{Map, Value};

const PREFIX: &str = "KRAKEND_";

/// A value that an environment variable has set.
pub(super) struct Override {
    pointer: String,
    variable: String,
}

/// Sets the overrides and forgets the places of what they replace.
pub(super) fn apply(
    root: &mut Map<String, Value>,
    env: &[(String, String)],
    source: &mut Source,
    report: &mut Report,
) -> Vec<Override> {
    let mut overrides = Vec::new();
    for (variable, value) in env {
        let Some(name) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        let name = name.to_lowercase();
        let top = name.split('.').next().unwrap_or_default();
        if !keys::SERVICE.contains(&top) {
            if !is_service_link(&name) {
                report.push(unknown(variable, top));
            }
            continue;
        }
        if name == "port" && value.contains("://") {
            let message = format!(
                "{variable}={} is no port, it is ignored",
                super::json::shortened(value)
            );
            let hint = "Kubernetes sets it for a service called krakend; rename the service or set enableServiceLinks \
                        to false";
            report.push(Problem::warning(Code::Environment, "/port", message).hint(hint));
            continue;
        }
        let mut pointer = String::new();
        for key in name.split('.') {
            pointer_push(&mut pointer, key);
        }
        set(root, &name, value);
        source.forget(&pointer);
        overrides.push(Override {
            pointer,
            variable: variable.clone(),
        });
    }
    overrides
}

/// Findings about overridden values name the variable instead of a place in the file.
pub(super) fn blame(overrides: &[Override], problems: &mut [Problem]) {
    for problem in problems
        .iter_mut()
        .filter(|problem| problem.code != Code::Environment)
    {
        let of = |o: &&Override| {
            let rest = problem.pointer.strip_prefix(o.pointer.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if let Some(found) = overrides.iter().find(of) {
            problem.code = Code::Environment;
            problem.message = format!(
                "{} (set by the environment variable {})",
                problem.message, found.variable
            );
        }
    }
}

/// Names that Kubernetes makes of a service called krakend.
fn is_service_link(name: &str) -> bool {
    name.starts_with("service_") || name.starts_with("port_")
}

fn unknown(variable: &str, top: &str) -> Problem {
    let pointer = pointer_join("", top);
    let shown = super::json::shortened(variable);
    let problem = Problem::warning(
        Code::Environment,
        pointer,
        format!("{shown} sets no known key, it is ignored"),
    );
    match keys::nearest(top, keys::SERVICE) {
        Some(key) => problem.hint(format!(
            "did you mean {PREFIX}{}?",
            key.to_ascii_uppercase()
        )),
        None => problem,
    }
}

/// Sets a dotted path; what stands in the way and is no object is replaced.
fn set(root: &mut Map<String, Value>, name: &str, value: &str) {
    let (path, last) = name.rsplit_once('.').unwrap_or(("", name));
    let mut map = root;
    // A variable's name is no document: deeper than any section is no override.
    for key in path.split('.').filter(|_| !path.is_empty()).take(16) {
        let inner = map.entry(key).or_insert(Value::Null);
        if !inner.is_object() {
            *inner = Value::Object(Map::new());
        }
        let Value::Object(inner) = inner else { return };
        map = inner;
    }
    map.insert(last.to_owned(), Value::String(value.to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn applied(mut root: Value, env: &[(&str, &str)]) -> (Value, Report) {
        let env: Vec<_> = env
            .iter()
            .map(|&(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        let mut report = Report::default();
        apply(
            root.as_object_mut().unwrap(),
            &env,
            &mut Source::default(),
            &mut report,
        );
        (root, report)
    }

    #[test]
    fn sets_keys_of_the_service() {
        let env = [
            ("KRAKEND_PORT", "9000"),
            ("KRAKEND_READ_HEADER_TIMEOUT", "1s"),
            ("krakend_name", "x"),
            ("HOME", "/"),
        ];
        let (root, report) = applied(json!({"port": 8080}), &env);
        assert_eq!(root, json!({"port": "9000", "read_header_timeout": "1s"}));
        assert!(report.problems.is_empty());
    }

    #[test]
    fn a_dot_reaches_nested_keys() {
        let env = [
            ("KRAKEND_TLS.PUBLIC_KEY", "a"),
            ("KRAKEND_PLUGIN.FOLDER", "b"),
        ];
        let (root, _) = applied(json!({"tls": {"disabled": true}, "plugin": 1}), &env);
        assert_eq!(
            root,
            json!({"tls": {"disabled": true, "public_key": "a"}, "plugin": {"folder": "b"}})
        );
    }

    #[test]
    fn ignores_what_kubernetes_sets() {
        let env = [
            ("KRAKEND_PORT", "tcp://10.0.0.1:8080"),
            ("KRAKEND_SERVICE_HOST", "x"),
            ("KRAKEND_PORT_80_TCP", "x"),
        ];
        let (root, report) = applied(json!({"port": 1}), &env);
        assert_eq!(root, json!({"port": 1}));
        assert_eq!(report.problems.len(), 1);
        assert_eq!(report.problems[0].code, Code::Environment);
    }

    #[test]
    fn warns_of_names_that_are_no_key() {
        let (root, report) = applied(json!({}), &[("KRAKEND_TIMEOUTS", "1s")]);
        assert_eq!(root, json!({}));
        assert_eq!(
            report.problems[0].hint.as_deref(),
            Some("did you mean KRAKEND_TIMEOUT?")
        );
    }
}
