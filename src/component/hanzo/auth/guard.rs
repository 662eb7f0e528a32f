//! What stands before an endpoint: nobody comes in who does not prove who they are and that they may.

use super::NAME;
use super::public::Entry;
use crate::base::{Error, clock};
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::identity::{Identity, Proof};
use crate::gateway::stage::{Edits, Flow, Foretold, HeadStage, Outcome, Step};
use crate::identity::Access;
use crate::identity::chain::{Chain, Methods};
use crate::telemetry::metrics::{Authentication, Metrics};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The lock of one endpoint.
pub(super) struct Guard {
    pub(super) chain: Arc<Chain>,
    pub(super) methods: Methods,
    /// What signed tokens must allow.
    pub(super) signed: Access,
    /// What keys and opaque tokens must.
    pub(super) asked: Access,
    /// Paths of this endpoint that need no credentials.
    pub(super) open: Box<[Entry]>,
    /// What takes identity fields of clients away on those paths.
    pub(super) nobody: Option<Arc<Identity>>,
    pub(super) metrics: Arc<Metrics>,
}

impl Guard {
    /// Lets somebody in, or not.
    fn admit(
        &self,
        proof: Option<Proof>,
        found: Result<Arc<Identity>, Error>,
        ctx: &mut Ctx,
    ) -> Outcome {
        let admitted = found.and_then(|identity| {
            // Keys are no tokens: what is said of the claims of tokens is not said of them.
            if identity.proof != Some(Proof::ApiKey) {
                ctx.check_claims(&identity.claims)?;
            }
            let claims = &identity.claims;
            match (identity.proof, &self.chain.jwt) {
                (Some(Proof::Jwt), Some(door)) => {
                    door.access.check(claims)?;
                    self.signed.check(claims)?;
                }
                _ => self.asked.check(claims)?,
            }
            Ok(identity)
        });
        let result = match &admitted {
            Ok(_) => Authentication::Accepted,
            Err(error) => Authentication::of(error.reason),
        };
        self.metrics.authenticated(proof.map(Proof::word), result);
        ctx.identity = Some(admitted?);
        Ok(Flow::Next)
    }
}

impl HeadStage for Guard {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request<'a>(
        &'a self,
        head: &'a dyn Head,
        _: &'a mut Edits,
        ctx: &'a mut Ctx,
    ) -> Step<'a> {
        if self.open.iter().any(|entry| entry.names(head.path())) {
            ctx.identity.clone_from(&self.nobody);
            return Step::NEXT;
        }
        let now = clock::since_epoch_at(ctx.started);
        let from: IpAddr = ctx.client;
        match self.chain.who(head, from, self.methods, now) {
            (proof, Step::Now(found)) => Step::Now(self.admit(proof, found, ctx)),
            (proof, Step::Wait(later)) => Step::Wait(Box::pin(async move {
                let found = later.await;
                self.admit(proof, found, ctx)
            })),
        }
    }

    fn foretell(&self, head: &dyn Head, now: Duration) -> Foretold {
        if self.open.iter().any(|entry| entry.names(head.path())) {
            return Foretold::default();
        }
        self.chain.foretell(head, self.methods, now, &self.signed)
    }
}

/// What stands before a public endpoint in the krakend dialect, where fields of clients are not stripped everywhere: it
/// takes away those that would name somebody.
pub(super) struct Nobody(pub(super) Arc<Identity>);

impl HeadStage for Nobody {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request<'a>(&'a self, _: &'a dyn Head, _: &'a mut Edits, ctx: &'a mut Ctx) -> Step<'a> {
        ctx.identity = Some(Arc::clone(&self.0));
        Step::NEXT
    }
}
