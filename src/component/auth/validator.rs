//! `auth/validator` – an endpoint for those who show a signed token (reference/krakend-components section 1.1). At
//! service level it only says how long keys are kept.
//!
//! The order of the checks is KrakenD's: token, revocation and expressions (`ClaimStage`), roles, scopes. Differs from it:
//! a token that was verified is remembered, keys are fetched beside the requests and shared by all endpoints with
//! the same settings (`cache` and `shared_cache_duration` only say for how long), and natively settings that cannot
//! work refuse the file. In the krakend dialect they do what they do there: let nobody in, or end the start.

use crate::base::{Dialect, Error, Problem, Reason, clock};
use crate::component::{
    Component, EndpointDraft, ServiceDraft, TokenDefaults, Tokens, TokensRead, read_tokens,
};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::identity::{Identity, Proof};
use crate::gateway::stage::{Edits, Flow, Foretold, HeadStage, Outcome, Step};
use crate::identity::{Access, Bearer, Naming, Verifier};
use crate::telemetry::metrics::{Authentication, Metrics};
use std::sync::Arc;
use std::time::Duration;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(service),
    endpoint: Some(endpoint),
    ..Component::named(NAME)
};

const NAME: &str = "auth/validator";

/// What the service says about the keys of its endpoints.
struct SharedKeys {
    duration: Duration,
}

fn service(s: &mut Settings<'_>, draft: &mut ServiceDraft, _: Dialect) -> Result<(), Problem> {
    s.known(&["shared_cache_duration"]);
    let seconds = s
        .unsigned("shared_cache_duration")
        .filter(|seconds| *seconds > 0);
    let duration = seconds.map_or(TokenDefaults::VALIDATOR.cache, Duration::from_secs);
    draft.offers.put(Arc::new(SharedKeys { duration }));
    Ok(())
}

fn endpoint(
    s: &mut Settings<'_>,
    draft: &mut EndpointDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    // Whatever comes of the settings: nobody gets past them.
    draft.authenticates = true;
    let mut defaults = TokenDefaults::VALIDATOR;
    if let Some(shared) = draft.offers.get::<SharedKeys>() {
        defaults.cache = shared.duration;
    }
    match read_tokens(s, dialect, defaults) {
        TokensRead::Good(tokens) => match build(s, &tokens, draft, dialect) {
            Some(stage) => draft.head.push(Box::new(stage)),
            // The report refuses the file, or says that nobody comes in.
            None => draft.head.push(Box::new(Off)),
        },
        TokensRead::Off => draft.head.push(Box::new(Off)),
        TokensRead::Refused => {}
    }
    Ok(())
}

fn build(
    s: &mut Settings<'_>,
    tokens: &Tokens,
    draft: &mut EndpointDraft,
    dialect: Dialect,
) -> Option<Validator> {
    let made = tokens.verifier(s, &draft.env, &Naming::default())?;
    draft.tasks.extend(made.task);
    draft.minted.extend(tokens.mint.names().cloned());
    let tells = tokens.debug && dialect == Dialect::Krakend;
    Some(Validator {
        verifier: made.verifier,
        bearer: tokens.bearer.clone(),
        access: tokens.access.clone(),
        metrics: Arc::clone(&draft.env.metrics),
        debug: tells.then(|| format!("[ENDPOINT: {}][JWTValidator]", draft.at.path).into()),
    })
}

struct Validator {
    verifier: Arc<Verifier>,
    bearer: Bearer,
    access: Access,
    metrics: Arc<Metrics>,
    /// `operation_debug` of the krakend dialect: what its lines begin with. Native ones always say why.
    debug: Option<Box<str>>,
}

impl Validator {
    /// Lets somebody in who proved who they are, or not.
    fn admit(&self, who: Result<Arc<Identity>, Error>, ctx: &mut Ctx) -> Outcome {
        let admitted = who.and_then(|identity| {
            ctx.check_claims(&identity.claims)?;
            self.access.check(&identity.claims)?;
            Ok(identity)
        });
        match admitted {
            Ok(identity) => {
                self.count(Authentication::Accepted, true);
                ctx.prove(identity);
                Ok(Flow::Next)
            }
            Err(error) => {
                let shown = error.reason != Reason::CredentialsMissing;
                self.count(Authentication::of(error.reason), shown);
                self.tell(&error);
                Err(error)
            }
        }
    }

    fn count(&self, result: Authentication, shown: bool) {
        let method = shown.then_some(Proof::Jwt.word());
        self.metrics.authenticated(method, result);
    }

    fn tell(&self, error: &Error) {
        let Some(label) = &self.debug else {
            return;
        };
        match error.reason {
            Reason::TokenRevoked | Reason::ClaimsRefused => {
                log::error!("{label} Token sent by client rejected");
            }
            Reason::RolesMissing => {
                log::error!("{label} Token sent by client does not have sufficient roles");
            }
            Reason::ScopesMissing => {
                log::error!("{label} Token sent by client does not have the required scopes");
            }
            _ => log::error!("{label} Unable to validate the token: {}", error.text),
        }
    }
}

impl HeadStage for Validator {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request<'a>(
        &'a self,
        head: &'a dyn Head,
        _: &'a mut Edits,
        ctx: &'a mut Ctx,
    ) -> Step<'a> {
        let token = match self.bearer.find(head) {
            Ok(token) => token,
            Err(error) => return Step::Now(self.admit(Err(error), ctx)),
        };
        let now = clock::since_epoch_at(ctx.started);
        match self.verifier.verify(&token, now) {
            Step::Now(who) => Step::Now(self.admit(who, ctx)),
            Step::Wait(later) => Step::Wait(Box::pin(async move { self.admit(later.await, ctx) })),
        }
    }

    fn foretell(&self, head: &dyn Head, now: Duration) -> Foretold {
        let mut foretold = Foretold::default();
        match self.bearer.find(head) {
            Ok(token) => return self.verifier.foretell(&token, now, &[&self.access]),
            Err(_) => {
                let (wanted, field) = (self.verifier.wanted(), self.bearer.field());
                foretold.note(format!("{wanted} in {field} is wanted"));
            }
        }
        foretold
    }
}

/// In KrakenD's dialect: settings with which nobody comes in.
struct Off;

impl HeadStage for Off {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request<'a>(&'a self, _: &'a dyn Head, _: &'a mut Edits, _: &'a mut Ctx) -> Step<'a> {
        Step::Now(Err(Reason::AuthenticationOff.into()))
    }
}
