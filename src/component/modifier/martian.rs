//! `modifier/martian` – changes what a backend is sent and what it answers, by modifiers that the
//! configuration puts together (reference/krakend-components section 6.2).
//!
//! Differs from KrakenD: a configuration that cannot be read refuses the start in the native dialect (in the
//! krakend dialect the backend runs without modifiers, and a warning says so); the verifiers that panic there
//! do nothing; a `Range` that does not fit the body is answered by RFC 9110 in native and by an error otherwise;
//! `static.Modifier` never leaves its root, not even through a symbolic link.

mod body;
mod cookie;
mod header;
mod names;
mod parse;
mod ranges;
mod regexp;
mod sides;
mod static_file;
mod table;
mod tree;
mod url;

use body::BodyOp;
use cookie::Cookie;
use header::{Field, Head, HeaderOp, Lookup};
use parse::{Entry, Parser};
use ranges::Asked;
use sides::{Inbound, Outbound};
use static_file::{Files, Served};
use tree::{Condition, Modifier, Op};
use url::{UrlMatch, UrlOp};

use crate::base::{Dialect, Error, Problem, Reason, Severity};
use crate::component::{BackendDraft, Component};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::message::{Answer, Request};
use crate::gateway::stage::{Go, PipeStage, Step};

/// The table line.
pub const COMPONENT: Component = Component {
    backend: Some(build),
    ..Component::named(NAME)
};

const NAME: &str = "modifier/martian";

fn build(
    s: &mut Settings<'_>,
    backend: &mut BackendDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    if let Some(martian) = Martian::compile(s, dialect) {
        backend.wire.push(Box::new(martian));
    }
    Ok(())
}

/// The modifiers of one backend.
pub struct Martian {
    root: Modifier,
    /// Files that answers may come from.
    files: Vec<Files>,
    dialect: Dialect,
}

impl Martian {
    /// Reads the settings of a backend; what is wrong with them is reported there. `None` means that the
    /// backend runs without modifiers, which only the krakend dialect lets happen.
    pub fn compile(s: &mut Settings<'_>, dialect: Dialect) -> Option<Self> {
        let (value, pointer) = (s.raw(), s.pointer().to_owned());
        let from = s.report().problems.len();
        let mut parser = Parser::new(s.report(), dialect);
        let root = parser.modifier(value, &pointer);
        let files = parser.files();
        if dialect == Dialect::Krakend {
            for problem in s.report().problems.iter_mut().skip(from) {
                if problem.severity == Severity::Error {
                    problem.severity = Severity::Warning;
                    problem
                        .message
                        .push_str("; the backend runs without modifier/martian");
                }
            }
        }
        Some(Self {
            root: root?,
            files,
            dialect,
        })
    }

    /// Changes an answer; `served` are the files read for it, by the number of their modifier.
    fn answer(
        &self,
        request: &Request,
        answer: &mut Answer,
        served: Vec<Served>,
    ) -> Result<(), Error> {
        let mut inbound = Inbound::new(request, answer, served, self.dialect);
        self.root.answer(&mut inbound)
    }
}

impl PipeStage for Martian {
    fn name(&self) -> &'static str {
        NAME
    }

    fn before<'a>(&'a self, request: &'a mut Request, _ctx: &'a Ctx) -> Step<'a, Go> {
        Step::Now(self.root.before(request, self.dialect))
    }

    fn after<'a>(
        &'a self,
        request: &'a Request,
        answer: &'a mut Answer,
        _ctx: &'a Ctx,
    ) -> Step<'a, ()> {
        if self.files.is_empty() {
            return Step::Now(self.answer(request, answer, Vec::new()));
        }
        Step::Wait(Box::pin(async move {
            let mut served = Vec::with_capacity(self.files.len());
            for files in &self.files {
                served.push(files.serve(request).await);
            }
            self.answer(request, answer, served)
        }))
    }
}

/// What a modifier fails with.
fn fault(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Reason::Internal, text)
}

#[cfg(test)]
mod tests;
