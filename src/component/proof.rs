//! A field that proves to a backend who we are, and that somebody else makes for us: a token that is fetched, remembered
//! and put among the fields of each call. What the components that send such tokens have in common.

use crate::base::{Dialect, Error};
use crate::component::BackendDraft;
use crate::gateway::ctx::Ctx;
use crate::gateway::headers::Fields;
use crate::gateway::message::{Answer, Request};
use crate::gateway::stage::{Call, CallStage, Called, Flow, Go, PipeStage, Step};
use crate::identity::lease::{Fetching, Held, Lease};
use crate::net::Deadline;
use http::{HeaderName, HeaderValue};
use std::sync::Arc;

/// Puts a token among the fields of a backend's calls, in place of any of the client's.
pub struct Proof {
    /// The component's namespace.
    pub namespace: &'static str,
    /// The field.
    pub field: HeaderName,
    /// Holds its value.
    pub lease: Arc<Lease<HeaderValue>>,
    /// Fetches its value.
    pub fetch: Box<dyn Fn() -> Fetching<HeaderValue> + Send + Sync>,
    /// Native: a value that the backend refuses is forgotten.
    pub dialect: Dialect,
}

impl Proof {
    /// Puts it where it belongs. Innermost, as in KrakenD: rules and scripts of the backend do not see the token and
    /// cannot replace it. Where there are none, a stage around the call does the same, and streams stay what they are.
    pub fn stand(self, draft: &mut BackendDraft) {
        if draft.pipe.is_empty() && draft.wire.is_empty() {
            draft.call.push(Box::new(self));
        } else {
            draft.wire.push(Box::new(self));
        }
    }

    /// The value, without waiting.
    fn held(&self) -> Option<Arc<Held<HeaderValue>>> {
        let held = self.lease.held()?;
        if held.is_old() {
            self.lease.renew(&self.fetch);
        }
        Some(held)
    }

    fn put<'a, T: Send + 'a>(
        &'a self,
        fields: &'a mut Fields,
        ctx: &'a Ctx,
        next: T,
    ) -> Step<'a, T> {
        if let Some(held) = self.held() {
            self.set(fields, &held);
            return Step::Now(Ok(next));
        }
        Step::Wait(Box::pin(async move {
            let held = self.lease.get(until(ctx), &self.fetch).await?;
            self.set(fields, &held);
            Ok(next)
        }))
    }

    fn set(&self, fields: &mut Fields, held: &Held<HeaderValue>) {
        fields.retain(|(name, _)| *name != self.field);
        fields.push((self.field.clone(), held.value.clone()));
    }

    /// A token that the backend refuses is good for nothing, whatever was said of its life.
    fn told(&self, status: Option<u16>, ctx: &Ctx) {
        if (self.dialect, status) == (Dialect::Native, Some(401)) {
            self.lease.forget(ctx.started);
        }
    }
}

/// The end of a request's patience.
pub fn until(ctx: &Ctx) -> Deadline {
    let timeout = ctx.endpoint().map(|endpoint| endpoint.timeout);
    timeout
        .and_then(|timeout| ctx.started.checked_add(timeout))
        .map_or(Deadline::NEVER, |at| Deadline::at(at.into()))
}

impl CallStage for Proof {
    fn name(&self) -> &'static str {
        self.namespace
    }

    fn before<'a>(&'a self, call: &'a mut Call, ctx: &'a Ctx) -> Step<'a> {
        self.put(&mut call.headers, ctx, Flow::Next)
    }

    fn after(&self, called: &Result<Called, Error>, ctx: &Ctx) {
        let status = match called {
            Ok(called) => called.status,
            Err(error) => error.backend_status,
        };
        self.told(status, ctx);
    }
}

impl PipeStage for Proof {
    fn name(&self) -> &'static str {
        self.namespace
    }

    fn before<'a>(&'a self, request: &'a mut Request, ctx: &'a Ctx) -> Step<'a, Go> {
        self.put(&mut request.headers, ctx, Go::Next)
    }

    fn after<'a>(&'a self, _: &'a Request, answer: &'a mut Answer, ctx: &'a Ctx) -> Step<'a, ()> {
        self.told(Some(answer.status), ctx);
        Step::Now(Ok(()))
    }
}
