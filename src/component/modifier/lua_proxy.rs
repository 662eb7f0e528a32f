//! `modifier/lua-proxy` – scripts before and behind the pipe of an endpoint: the request that all of its
//! backends get, the data they make together.
//!
//! Differs from KrakenD: a script has a time and a memory of its own (`timeout`, `max_memory`); one that
//! cannot be compiled or is not what its MD5 says refuses the file.

use super::PipeScript;
use crate::base::{Dialect, Problem};
use crate::component::{Component, EndpointDraft};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::message::{Answer, Request};
use crate::gateway::stage::{Go, PipeStage, Step};

/// The table line.
pub const COMPONENT: Component = Component {
    endpoint: Some(build),
    ..Component::named(NAME)
};

const NAME: &str = "modifier/lua-proxy";

fn build(s: &mut Settings<'_>, draft: &mut EndpointDraft, _: Dialect) -> Result<(), Problem> {
    if let Some(script) = PipeScript::build(s) {
        draft.pipe.push(Box::new(Stage(script)));
    }
    Ok(())
}

struct Stage(PipeScript);

fn label(ctx: &Ctx) -> String {
    format!("[ENDPOINT: {}][Lua]", ctx.route())
}

impl PipeStage for Stage {
    fn name(&self) -> &'static str {
        NAME
    }

    fn reads_body(&self) -> bool {
        self.0.reads_body()
    }

    fn before<'a>(&'a self, request: &'a mut Request, ctx: &'a Ctx) -> Step<'a, Go> {
        self.0.before(request, ctx, label)
    }

    fn after<'a>(
        &'a self,
        request: &'a Request,
        answer: &'a mut Answer,
        ctx: &'a Ctx,
    ) -> Step<'a, ()> {
        self.0.after(request, answer, ctx, label)
    }
}
