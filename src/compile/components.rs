//! Runs the builders of all components of one `extra_config`, and tells what nothing builds.

use crate::base::{Code, Dialect, Problem, Report, Severity};
use crate::component::Loss;
use crate::component::{
    self, BackendDraft, Build, COMPONENTS, Component, EndpointDraft, Level, ServiceDraft,
};
use crate::config::settings::Settings;
use crate::config::{AsyncAgent, Extra, Namespace};

/// Families whose every member is a lock; one that nobody knows is treated as one.
pub const LOCKS: &[&str] = &[
    "auth/",
    "hanzo/auth",
    "security/",
    "qos/",
    "validation/",
    "governance/",
];

/// Components of the service.
pub fn service(extra: &Extra, draft: &mut ServiceDraft, dialect: Dialect, report: &mut Report) {
    build(
        extra,
        Level::Service,
        (|c| c.service, |_| None),
        draft,
        dialect,
        report,
    );
}

/// Components of an endpoint.
pub fn endpoint(extra: &Extra, draft: &mut EndpointDraft, dialect: Dialect, report: &mut Report) {
    build(
        extra,
        Level::Endpoint,
        (|c| c.endpoint, |c| c.each_endpoint),
        draft,
        dialect,
        report,
    );
}

/// Components of a backend.
pub fn backend(extra: &Extra, draft: &mut BackendDraft, dialect: Dialect, report: &mut Report) {
    build(
        extra,
        Level::Backend,
        (|c| c.backend, |_| None),
        draft,
        dialect,
        report,
    );
}

/// Components of an async agent: none is implemented.
pub fn agent(agent: &AsyncAgent, report: &mut Report) {
    let message = format!(
        "async agent \"{}\" is not implemented yet and does not run",
        agent.name
    );
    report.push(Problem::warning(
        Code::NotYet,
        agent.pointer.clone(),
        message,
    ));
    for namespace in &agent.extra_config.0 {
        unbuilt(namespace, Level::Agent, Dialect::Native, report);
    }
}

/// What a component does although nobody asked by name.
type Each<T> = fn(&mut T, Dialect, &mut Report);

/// What a component has for one level: its builder, and what it does for each.
type Has<T> = (
    fn(&Component) -> Option<Build<T>>,
    fn(&Component) -> Option<Each<T>>,
);

/// The running order is the table's, not the file's.
fn build<T>(
    extra: &Extra,
    level: Level,
    (at, each): Has<T>,
    draft: &mut T,
    dialect: Dialect,
    report: &mut Report,
) {
    for component in COMPONENTS {
        if let (Some(namespace), Some(build)) = (extra.get(component.name), at(component)) {
            one(component, (namespace, build), draft, dialect, report);
        }
        if let Some(each) = each(component) {
            each(draft, dialect, report);
        }
    }
    for namespace in &extra.0 {
        let known = component::find(&namespace.name);
        if known.is_none_or(|component| at(component).is_none()) {
            unbuilt(namespace, level, dialect, report);
        }
    }
}

/// Runs one builder.
fn one<T>(
    component: &Component,
    (namespace, build): (&Namespace, Build<T>),
    draft: &mut T,
    dialect: Dialect,
    report: &mut Report,
) {
    let before = report.problems.len();
    let settings = if component.any_value {
        let pointer = namespace.pointer.as_str();
        Some(Settings::new(&namespace.value, pointer, report))
    } else {
        Settings::open(namespace, report)
    };
    if let Some(mut settings) = settings
        && let Err(problem) = build(&mut settings, draft, dialect)
    {
        report.push(problem);
    }
    if component.lenient {
        soften(report, before);
    }
}

/// What KrakenD starts on starts here too: a wrong value in something that locks nothing is a warning.
fn soften(report: &mut Report, from: usize) {
    for problem in report.problems.iter_mut().skip(from) {
        if problem.severity == Severity::Error {
            problem.severity = Severity::Warning;
            problem.message.push_str("; the setting is ignored");
        }
    }
}

/// Tells about a namespace that has no builder at its level.
fn unbuilt(namespace: &Namespace, level: Level, dialect: Dialect, report: &mut Report) {
    let name = &namespace.name;
    let pointer = namespace.pointer.clone();
    if let Some(component) = component::find(name) {
        let levels = levels(|level| component.allows(level));
        let lock = LOCKS.iter().any(|family| name.starts_with(family));
        report.push(misplaced(name, &levels, level, pointer, lock, dialect));
        return;
    }
    let Some(row) = component::not_yet(name) else {
        report.push(unknown(name, pointer));
        return;
    };
    if !row.levels.contains(&level) {
        let levels = levels(|level| row.levels.contains(&level));
        let lock = row.loss == Loss::Protection;
        report.push(misplaced(name, &levels, level, pointer, lock, dialect));
        return;
    }
    report.push(match row.loss {
        Loss::Protection => Problem::warning(
            Code::Unprotected,
            pointer,
            format!("{name} is a protection that is not implemented yet"),
        )
        .hint("`run` refuses this file unless --allow-unprotected is given"),
        Loss::Driver => Problem::error(
            Code::NotYet,
            pointer,
            format!(
                "{name} is not implemented yet, and its host would be called over HTTP instead"
            ),
        )
        .hint("take this endpoint out of the file until it is"),
        Loss::Function => Problem::warning(
            Code::NotYet,
            pointer,
            format!(
                "{name} is not implemented yet; the {} works without it",
                level.word()
            ),
        ),
        Loss::Comfort => Problem::warning(
            Code::NotYet,
            pointer,
            format!("{name} is not implemented yet and is ignored"),
        ),
    });
}

fn unknown(name: &str, pointer: String) -> Problem {
    if LOCKS.iter().any(|family| name.starts_with(family)) {
        return Problem::warning(
            Code::Unprotected,
            pointer,
            format!("{name} looks like a protection, and nothing knows it"),
        )
        .hint("correct its name; `run` refuses this file unless --allow-unprotected is given");
    }
    Problem::warning(
        Code::UnknownNamespace,
        pointer,
        format!("nothing knows {name}; it is ignored"),
    )
    .hint("correct its name, or begin it with @ to make it a comment")
}

fn levels(allows: impl Fn(Level) -> bool) -> Vec<&'static str> {
    [
        Level::Service,
        Level::Endpoint,
        Level::Backend,
        Level::Agent,
    ]
    .into_iter()
    .filter(|level| allows(*level))
    .map(Level::word)
    .collect()
}

/// KrakenD ignores a component at a wrong level. For a lock that means an open door: native refuses.
fn misplaced(
    name: &str,
    right: &[&str],
    level: Level,
    pointer: String,
    lock: bool,
    dialect: Dialect,
) -> Problem {
    let message = format!("{name} does nothing at {} level", level.word());
    let problem = if lock && dialect == Dialect::Native {
        Problem::error(Code::WrongLevel, pointer, message)
    } else {
        Problem::warning(Code::WrongLevel, pointer, message)
    };
    problem.hint(format!("move it to {} level", right.join(" or ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problems(name: &str, value: serde_json::Value, level: Level) -> Vec<(Code, Severity)> {
        let pointer = format!("/extra_config/{}", name.replace('/', "~1"));
        let extra = Extra(vec![Namespace {
            name: name.to_owned(),
            pointer,
            value,
        }]);
        let mut report = Report::default();
        match level {
            Level::Service => {
                service(
                    &extra,
                    &mut ServiceDraft::default(),
                    Dialect::Native,
                    &mut report,
                );
            }
            Level::Endpoint => {
                endpoint(
                    &extra,
                    &mut EndpointDraft::default(),
                    Dialect::Native,
                    &mut report,
                );
            }
            _ => backend(
                &extra,
                &mut BackendDraft::default(),
                Dialect::Native,
                &mut report,
            ),
        }
        report
            .problems
            .into_iter()
            .map(|p| (p.code, p.severity))
            .collect()
    }

    #[test]
    fn tells_what_is_missing_by_what_it_means() {
        let (warning, error) = (Severity::Warning, Severity::Error);
        for (name, level, found) in [
            (
                "security/policies",
                Level::Endpoint,
                (Code::Unprotected, warning),
            ),
            (
                "auth/no-such",
                Level::Endpoint,
                (Code::Unprotected, warning),
            ),
            (
                "qos/circuit-breaker",
                Level::Endpoint,
                (Code::WrongLevel, error),
            ),
            ("hanzo/auth", Level::Backend, (Code::WrongLevel, error)),
            ("router", Level::Endpoint, (Code::WrongLevel, warning)),
            ("telemetry/gelf", Level::Service, (Code::NotYet, warning)),
            ("backend/lambda", Level::Backend, (Code::NotYet, error)),
            (
                "my/thing",
                Level::Service,
                (Code::UnknownNamespace, warning),
            ),
        ] {
            assert_eq!(problems(name, json!({}), level), [found], "{name}");
        }
    }

    #[test]
    fn wrong_values_refuse_only_where_they_lock() {
        let wrong = json!({"return_error_msg": []});
        let found = problems("router", wrong, Level::Service);
        assert_eq!(found, [(Code::WrongType, Severity::Warning)]);
        let found = problems("hanzo/limits", json!({"max_body": []}), Level::Service);
        assert_eq!(found, [(Code::WrongType, Severity::Error)]);
    }
}
