//! `modifier/lua-endpoint` – a script that sees and may change a client's request before any field of it is
//! selected, for one endpoint or for the whole service.
//!
//! Differs from KrakenD: the body is read only for scripts that speak of it, within the body limit, and not
//! at service level; a script has a time and a memory of its own (`timeout`, `max_memory`).

use super::HeadScript;
use crate::base::{Code, Dialect, Error, Problem, Reason, Reply};
use crate::component::{Component, EndpointDraft, ServiceDraft};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::message::Rewritten;
use crate::gateway::stage::{Edits, Flow, HeadStage, Outcome, Step};
use http::HeaderValue;
use http::header::CONTENT_TYPE;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(service),
    endpoint: Some(endpoint),
    ..Component::named(NAME)
};

const NAME: &str = "modifier/lua-endpoint";

fn service(
    s: &mut Settings<'_>,
    draft: &mut ServiceDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    if let Some(stage) = build(s, dialect, true) {
        if stage.script.reads_body() {
            s.warn_hint(
                "",
                Code::WrongLevel,
                "a script of the whole service does not see bodies",
                "move what reads the body to modifier/lua-endpoint of the endpoints",
            );
        }
        draft.head.push(Box::new(stage));
    }
    Ok(())
}

fn endpoint(
    s: &mut Settings<'_>,
    draft: &mut EndpointDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    if let Some(stage) = build(s, dialect, false) {
        draft.head.push(Box::new(stage));
    }
    Ok(())
}

fn build(s: &mut Settings<'_>, dialect: Dialect, whole_service: bool) -> Option<Stage> {
    HeadScript::build(s).map(|script| Stage {
        script,
        dialect,
        whole_service,
    })
}

struct Stage {
    script: HeadScript,
    dialect: Dialect,
    whole_service: bool,
}

impl Stage {
    fn label(&self, ctx: &Ctx) -> String {
        if self.whole_service {
            return "[SERVICE: Gin][Lua]".to_owned();
        }
        format!("[ENDPOINT: {}][Lua]", ctx.route())
    }

    async fn run(&self, head: &dyn Head, ctx: &mut Ctx) -> Outcome {
        let own = match ctx.rewritten.take() {
            Some(own) => own,
            None => Box::new(Rewritten::believed(head, ctx)),
        };
        let label = self.label(ctx);
        match self.script.run(own, ctx, label).await {
            Ok(own) => {
                ctx.rewritten = Some(own);
                Ok(Flow::Next)
            }
            Err(error) => self.refuse(error, ctx),
        }
    }

    /// What the client gets. KrakenD aborts without any field of its own, and at service level always
    /// with 500.
    fn refuse(&self, mut error: Error, ctx: &mut Ctx) -> Outcome {
        if self.whole_service {
            error = Error::new(Reason::ScriptFailed, error.text);
        }
        if self.dialect == Dialect::Native {
            return Err(error);
        }
        log::error!("{} {}", self.label(ctx), error.text);
        let mut reply = Reply::new(500, "");
        if let Some(exposed) = &error.exposed {
            reply.status = exposed.status;
            let declared = exposed.content_type.as_deref();
            if let Some(value) = declared.and_then(|text| HeaderValue::from_str(text).ok()) {
                reply = reply.with(CONTENT_TYPE, value);
            }
        }
        ctx.error = Some(error);
        Ok(Flow::Reply(reply))
    }
}

impl HeadStage for Stage {
    fn name(&self) -> &'static str {
        NAME
    }

    fn reads_body(&self) -> bool {
        !self.whole_service && self.script.reads_body()
    }

    fn rewrites(&self) -> bool {
        true
    }

    fn on_request<'a>(
        &'a self,
        head: &'a dyn Head,
        _edits: &'a mut Edits,
        ctx: &'a mut Ctx,
    ) -> Step<'a> {
        Step::Wait(Box::pin(self.run(head, ctx)))
    }
}
