//! `qos/ratelimit/router` – how many requests an endpoint takes of all clients together, and of each.
//!
//! Differs from KrakenD (native): 429 for either limit, where KrakenD says 503 for `max_rate`; at service level it limits
//! the whole service, which operators believe that it does; `client_capacity` defaults to `client_max_rate` and
//! not to one; what one limit refuses costs nothing at the other.

pub mod redis;

use super::limiter::{Limiter, Scope, read};
use super::who::Place;
use super::whole;
use crate::base::{Code, Dialect, Problem, Reason};
use crate::component::{Component, EndpointDraft, ServiceDraft};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::rate_limit::RateLimits;
use crate::gateway::stage::{Edits, Flow, HeadStage, Step};

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(service),
    endpoint: Some(endpoint),
    ..Component::named(NAME)
};

const NAME: &str = "qos/ratelimit/router";

fn endpoint(
    s: &mut Settings<'_>,
    draft: &mut EndpointDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    let at = format!("{} {}", draft.at.method, draft.at.path);
    let place = Place::Endpoint(&draft.at.path);
    let scope = Scope {
        component: NAME,
        name: NAME,
        tier: "",
        at: &at,
        endpoint: &draft.at.path,
        reason: Reason::EndpointRateExceeded,
        level: "endpoint",
    };
    let written = whole(s, dialect, |s| read(s, dialect, place));
    let limiter = written.and_then(|written| Limiter::new(written, &draft.env, dialect, scope));
    if let Some(limiter) = limiter {
        draft.tasks.extend(limiter.tasks());
        draft.head.push(Box::new(Stage(NAME, limiter)));
    }
    Ok(())
}

fn service(
    s: &mut Settings<'_>,
    draft: &mut ServiceDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    if dialect == Dialect::Krakend {
        let message = "qos/ratelimit/router does nothing at service level";
        let hint = "move it to endpoint level; in the native dialect it limits the whole service";
        s.warn_hint("", Code::WrongLevel, message, hint);
        return Ok(());
    }
    whole_service(s, draft, NAME);
    Ok(())
}

/// A limit of the whole service.
pub(super) fn whole_service(s: &mut Settings<'_>, draft: &mut ServiceDraft, name: &'static str) {
    let scope = Scope {
        component: name,
        name,
        tier: "",
        at: "",
        endpoint: "",
        reason: Reason::GlobalRateExceeded,
        level: "global",
    };
    let written = whole(s, Dialect::Native, |s| {
        read(s, Dialect::Native, Place::Service)
    });
    let limiter =
        written.and_then(|written| Limiter::new(written, &draft.env, Dialect::Native, scope));
    if let Some(limiter) = limiter {
        draft.tasks.extend(limiter.tasks());
        draft.head.push(Box::new(Stage(name, limiter)));
    }
}

/// A limiter in its place.
pub(super) struct Stage(pub(super) &'static str, pub(super) Limiter);

impl HeadStage for Stage {
    fn name(&self) -> &'static str {
        self.0
    }

    fn on_request<'a>(
        &'a self,
        head: &'a dyn Head,
        edits: &'a mut Edits,
        ctx: &'a mut Ctx,
    ) -> Step<'a> {
        Step::Now(self.1.ask(head, edits, ctx).map(|()| Flow::Next))
    }

    fn limits(&self) -> RateLimits {
        self.1.limits()
    }

    fn tell(&self, head: &dyn Head, edits: &mut Edits, ctx: &Ctx) {
        self.1.tell(head, edits, ctx);
    }
}
