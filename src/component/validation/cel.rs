//! `validation/cel` – expressions that requests and answers must fulfil, at an endpoint or a backend.
//!
//! The parser is the `cel` crate's; types, checks and evaluation are ours: values are looked at where they
//! lie, every step is counted, and an expression that can never work is found when the file is read.
//!
//! Differs from KrakenD: an expression that cannot be used refuses the file (there the whole component or
//! the one expression is silently off, which the krakend dialect does with a warning). Natively the
//! variables of an expression decide when it runs, not the letters `req` and `resp` anywhere in its text:
//! `resp_data.required` is no check of the request, an expression on both runs when the answer is there and
//! sees both, and one on neither is checked too.

mod compile;
mod convert;
mod eval;
mod fault;
mod functions;
mod operators;
mod policy;
mod program;
mod scope;
mod time;
mod types;
mod value;

pub use self::compile::Broken;
pub use self::fault::Fault;
pub use self::policy::Policy;
pub use self::program::{Program, Uses};
pub use self::scope::Scope;

use self::types::Ty;
use crate::base::problem::pointer_join;
use crate::base::{Code, Dialect, Error, Problem, Reason};
use crate::body::Object;
use crate::component::{BackendDraft, Component, EndpointDraft};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::identity::ClaimStage;
use crate::gateway::message::{Answer, Request};
use crate::gateway::stage::{Go, PipeStage, Step};
use serde_json::Value;

/// The table line.
pub const COMPONENT: Component = Component {
    endpoint: Some(|s, draft: &mut EndpointDraft, dialect| {
        let level = Level::Endpoint {
            verified: draft.authenticates,
        };
        let mut checks = build(s, level, dialect);
        draft.claims.extend(checks.on_claims());
        draft.pipe.extend(checks.stage());
        Ok(())
    }),
    backend: Some(|s, draft: &mut BackendDraft, dialect| {
        draft.pipe.extend(build(s, Level::Backend, dialect).stage());
        Ok(())
    }),
    any_value: true,
    ..Component::named(NAME)
};

const NAME: &str = "validation/cel";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Endpoint {
        /// Whether tokens are verified there.
        verified: bool,
    },
    Backend,
}

/// The expressions of one endpoint or backend, by when they run.
#[derive(Debug, Default)]
pub struct Checks {
    before: Vec<Program>,
    after: Vec<Program>,
    /// Expressions on `JWT`.
    token: Vec<Program>,
    /// Whether answers are checked together with their request.
    both: bool,
}

impl Checks {
    fn stage(self) -> Option<Box<dyn PipeStage>> {
        (!self.before.is_empty() || !self.after.is_empty())
            .then(|| Box::new(self) as Box<dyn PipeStage>)
    }

    /// The expressions that have a say about a verified token.
    fn on_claims(&mut self) -> Option<Box<dyn ClaimStage>> {
        let token = std::mem::take(&mut self.token);
        (!token.is_empty()).then(|| Box::new(Claims(token)) as Box<dyn ClaimStage>)
    }
}

/// Expressions on the claims of a verified token.
struct Claims(Vec<Program>);

impl ClaimStage for Claims {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self, claims: &Object) -> Result<(), Error> {
        let failing = first_failing(&self.0, &Scope::token(claims));
        failing.map_or(Ok(()), |at| Err(refused(Reason::ClaimsRefused, at)))
    }
}

/// The index of the first expression that does not hold.
fn first_failing(programs: &[Program], scope: &Scope<'_>) -> Option<usize> {
    programs.iter().enumerate().find_map(|(at, program)| {
        let result = program.holds(scope);
        if let Err(fault) = &result {
            log::debug!("{NAME}: evaluator #{at}: {}", fault.0);
        }
        (result != Ok(true)).then_some(at)
    })
}

fn refused(reason: Reason, at: usize) -> Error {
    Error::new(reason, format!("request aborted by evaluator #{at}"))
}

impl PipeStage for Checks {
    fn name(&self) -> &'static str {
        NAME
    }

    fn before<'a>(&'a self, request: &'a mut Request, _: &'a Ctx) -> Step<'a, Go> {
        let failing = first_failing(&self.before, &Scope::before(request));
        Step::Now(failing.map_or(Ok(Go::Next), |at| Err(refused(Reason::CheckFailed, at))))
    }

    fn after<'a>(
        &'a self,
        request: &'a Request,
        answer: &'a mut Answer,
        _: &'a Ctx,
    ) -> Step<'a, ()> {
        let scope = Scope::after(self.both.then_some(request), answer);
        let failing = first_failing(&self.after, &scope);
        Step::Now(failing.map_or(Ok(()), |at| Err(refused(Reason::AnswerCheckFailed, at))))
    }
}

/// When KrakenD runs an expression: by letters anywhere in its text.
fn krakend_uses(source: &str) -> Uses {
    Uses {
        request: source.contains("req"),
        answer: source.contains("resp"),
        token: source.contains("JWT"),
    }
}

fn build(s: &mut Settings<'_>, level: Level, dialect: Dialect) -> Checks {
    let mut checks = Checks {
        both: dialect == Dialect::Native,
        ..Checks::default()
    };
    let Some(items) = s.raw().as_array() else {
        let message = "the checks are no list".to_owned();
        let hint = r#"write [{"check_expr": "…"}]"#;
        report(s, "", dialect, message, hint);
        return checks;
    };
    for (at, item) in items.iter().enumerate() {
        let pointer = format!("/{at}");
        let Some(source) = expression(s, &pointer, item, dialect) else {
            continue;
        };
        let place = pointer_join(&pointer, "check_expr");
        match Program::compile(source) {
            Ok(program) => {
                let uses = match dialect {
                    Dialect::Native => program.uses,
                    Dialect::Krakend => krakend_uses(source),
                };
                advise(s, &place, &program, uses, level, dialect);
                checks.sort_in(program, source, uses, level, dialect);
            }
            Err(broken) => {
                let (line, column) = broken.at;
                let message = format!(
                    "the expression cannot be used: line {line}, column {column}: {}",
                    broken.message
                );
                report(s, &place, dialect, message, &broken.hint);
                // KrakenD's parser gives up on all of them, its type checker on the one.
                if broken.syntax && dialect == Dialect::Krakend {
                    return Checks::default();
                }
            }
        }
    }
    checks
}

/// The text of one item.
fn expression<'v>(
    s: &mut Settings<'_>,
    pointer: &str,
    item: &'v Value,
    dialect: Dialect,
) -> Option<&'v str> {
    let source = item.get("check_expr").and_then(Value::as_str);
    if source.is_none_or(|source| source.trim().is_empty()) {
        let message = "a check without \"check_expr\"".to_owned();
        let hint = r#"write {"check_expr": "req_method == 'GET'"}"#;
        report(s, pointer, dialect, message, hint);
        return None;
    }
    if let Some(map) = item.as_object() {
        for key in map.keys() {
            let known = ["check_expr", "mod_expr"].contains(&key.as_str())
                || key.starts_with(['@', '$', '_', '#']);
            if !known {
                let place = format!("{}{}", s.pointer(), pointer_join(pointer, key));
                let message = format!("nothing reads '{key}' of a check");
                s.report()
                    .push(Problem::warning(Code::UnknownKey, place, message));
            }
        }
    }
    source
}

/// Natively an error; in the krakend dialect a warning, and the check is off as it is there.
fn report(s: &mut Settings<'_>, pointer: &str, dialect: Dialect, message: String, hint: &str) {
    let pointer = format!("{}{pointer}", s.pointer());
    s.report().push(match dialect {
        Dialect::Native => Problem::error(Code::BadValue, pointer, message).hint(hint),
        Dialect::Krakend => {
            let message = format!("{message}; as in KrakenD, it is not checked");
            Problem::warning(Code::BadValue, pointer, message).hint(hint)
        }
    });
}

/// Tells about expressions that compile and still do not do what they say.
fn advise(
    s: &mut Settings<'_>,
    place: &str,
    program: &Program,
    uses: Uses,
    level: Level,
    dialect: Dialect,
) {
    let native = dialect == Dialect::Native;
    if !program.ty.fits(&Ty::Bool) {
        let message = format!("the expression gives a {}, which never passes", program.ty);
        let hint = "write a condition";
        return if native {
            report(s, place, dialect, message, hint);
        } else {
            warn(s, place, message, hint);
        };
    }
    if uses.token && (level == Level::Backend || (native && (uses.request || uses.answer))) {
        let message = "JWT is there while a token is verified, and only at an endpoint".to_owned();
        let hint = "write expressions on JWT at the endpoint, each by itself";
        return if native {
            report(s, place, dialect, message, hint);
        } else {
            warn(s, place, format!("{message}; it is not checked here"), hint);
        };
    }
    if uses.token && level == (Level::Endpoint { verified: false }) {
        let message = "no token is verified at this endpoint, so this is never checked".to_owned();
        return unprotected(s, place, message);
    }
    if native {
        return;
    }
    if uses == Uses::default() {
        let message = "neither 'req' nor 'resp' is in it: KrakenD never evaluates it".to_owned();
        warn(
            s,
            place,
            message,
            "name a variable of the request or the answer",
        );
    } else if uses.request && program.uses.answer {
        let message = "'req' is in it: KrakenD evaluates it before there is an answer, too";
        let hint = "write the names of fields so that they do not hold 'req'";
        warn(s, place, message.to_owned(), hint);
    }
}

fn warn(s: &mut Settings<'_>, place: &str, message: String, hint: &str) {
    let place = format!("{}{place}", s.pointer());
    s.report()
        .push(Problem::warning(Code::BadValue, place, message).hint(hint));
}

fn unprotected(s: &mut Settings<'_>, place: &str, message: String) {
    let place = format!("{}{place}", s.pointer());
    s.report().push(
        Problem::warning(Code::Unprotected, place, message)
            .hint("add auth/validator to the endpoint"),
    );
}

impl Checks {
    fn sort_in(
        &mut self,
        program: Program,
        source: &str,
        uses: Uses,
        level: Level,
        dialect: Dialect,
    ) {
        if dialect == Dialect::Native {
            let list = match uses {
                Uses { token: true, .. } => &mut self.token,
                Uses { answer: true, .. } => &mut self.after,
                _ => &mut self.before,
            };
            return list.push(program);
        }
        // An expression may run at several times; it is compiled once for each.
        let again = || Program::compile(source).ok();
        if uses.request {
            self.before.extend(again());
        }
        if uses.answer {
            self.after.extend(again());
        }
        if uses.token && level != Level::Backend {
            self.token.push(program);
        }
    }
}

#[cfg(test)]
mod tests;
