//! `qos/ratelimit/tiered` – limits by plan, named by a header field (Enterprise in KrakenD).
//!
//! The first tier that fits counts; a caller whom none fits is not limited here, which is warned of when the file
//! is read. A tier fits by its value (`literal`), always (`*`), or by a condition (`policy`) that knows the field as
//! `value`, the claims of a verified token as `JWT`, and `now`. A condition that has no answer for a caller – it looks at a
//! claim that is not there – does not fit; where none of the others fits either the caller is refused and not let pass
//! unlimited.

use super::limiter::{KEYS, Limiter, Scope, read};
use super::who::Place;
use super::{enterprise_only, redis, whole};
use crate::base::{Code, Dialect, Problem, Reason};
use crate::component::{Component, EndpointDraft, Env, Offers, Policy, ServiceDraft};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::rate_limit::RateLimits;
use crate::gateway::stage::{Edits, Flow, HeadStage, Step};
use crate::gateway::task::Task;
use crate::traffic::limit::hits::Hits;
use crate::traffic::limit::table::Moment;
use http::HeaderName;
use std::sync::Arc;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(service),
    endpoint: Some(endpoint),
    ..Component::named(NAME)
};

const NAME: &str = "qos/ratelimit/tiered";

fn service(
    s: &mut Settings<'_>,
    draft: &mut ServiceDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    if dialect == Dialect::Krakend {
        enterprise_only(s, NAME);
        return Ok(());
    }
    let scope = Scope {
        component: NAME,
        name: NAME,
        tier: "",
        at: "",
        endpoint: "",
        reason: Reason::GlobalRateExceeded,
        level: "global",
    };
    let tiered = build(s, (&draft.env, &draft.offers), scope, Place::Service);
    if let Some(tiered) = tiered {
        draft.tasks.extend(tiered.tasks());
        draft.head.push(Box::new(tiered));
    }
    Ok(())
}

fn endpoint(
    s: &mut Settings<'_>,
    draft: &mut EndpointDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    if dialect == Dialect::Krakend {
        enterprise_only(s, NAME);
        return Ok(());
    }
    let at = format!("{} {}", draft.at.method, draft.at.path);
    let scope = Scope {
        component: NAME,
        name: NAME,
        tier: "",
        at: &at,
        endpoint: &draft.at.path,
        reason: Reason::EndpointRateExceeded,
        level: "endpoint",
    };
    let tiered = build(
        s,
        (&draft.env, &draft.offers),
        scope,
        Place::Endpoint(&draft.at.path),
    );
    if let Some(tiered) = tiered {
        draft.tasks.extend(tiered.tasks());
        draft.head.push(Box::new(tiered));
    }
    Ok(())
}

struct Tiered {
    key: HeaderName,
    tiers: Box<[Tier]>,
    /// Callers of whom a condition could not say whether they fit, and nothing else fitted.
    lost: Hits,
}

/// What limits a caller.
enum Found<'t> {
    Tier(&'t Tier),
    /// No tier is meant for it.
    None,
    /// Some tier may have been meant for it.
    Unknown,
}

struct Tier {
    fits: Fits,
    /// `None` for a tier that limits nothing.
    limiter: Option<Limiter>,
}

enum Fits {
    /// The field's value is this.
    Literal(Box<[u8]>),
    /// The condition holds.
    Policy(Policy),
    /// Whatever it is, and without one too.
    All,
}

fn build(
    s: &mut Settings<'_>,
    (env, offers): (&Env, &Offers),
    scope: Scope<'_>,
    place: Place<'_>,
) -> Option<Tiered> {
    whole(s, Dialect::Native, |s| {
        s.known(&["tier_key", "tiers"]);
        let written = s.string_or("tier_key", "");
        let key = HeaderName::from_bytes(written.as_bytes());
        if key.is_err() {
            let message = format!("tier_key \"{written}\" is no name of a header field");
            let hint = "name the field that holds the plan, for example \"X-Plan\"";
            s.error_hint("tier_key", Code::BadValue, message, hint);
        }
        let mut number = 0;
        let tiers = s.objects("tiers", |s| {
            number += 1;
            tier(s, (env, offers), (scope, number), place)
        });
        let all = |tier: &Option<Tier>| {
            matches!(
                tier,
                Some(Tier {
                    fits: Fits::All,
                    ..
                })
            )
        };
        if tiers.is_empty() {
            let message = "there is no tier, so nobody is limited";
            let hint = "add \"tiers\" with their limits";
            s.error_hint("tiers", Code::BadValue, message, hint);
        } else if !tiers.iter().any(all) {
            let message = "callers whom no tier fits are not limited";
            let hint = "end the list with a tier whose tier_value_as is \"*\"";
            s.warn_hint("tiers", Code::BadValue, message, hint);
        }
        Some(Tiered {
            key: key.ok()?,
            tiers: tiers.into_iter().flatten().collect(),
            lost: Hits::new(
                &env.metrics,
                Reason::ClientRateExceeded,
                "client",
                scope.endpoint,
            ),
        })
    })
    .flatten()
}

fn tier(
    s: &mut Settings<'_>,
    (env, offers): (&Env, &Offers),
    (scope, number): (Scope<'_>, usize),
    place: Place<'_>,
) -> Option<Tier> {
    s.known(&[
        "tier_value",
        "tier_value_as",
        "ratelimit",
        "ratelimit_redis",
    ]);
    let fits = match s.string_or("tier_value_as", "literal").as_str() {
        "literal" => {
            s.require("tier_value");
            Some(Fits::Literal(
                s.string_or("tier_value", "").into_bytes().into(),
            ))
        }
        "*" => Some(Fits::All),
        "policy" => {
            s.require("tier_value");
            let policy = Policy::read(s, "tier_value");
            if policy.as_ref().is_some_and(Policy::needs_token) && matches!(place, Place::Service) {
                let message = "limits of the service stand in front of tokens, so there is no JWT";
                let hint = "write this component at the endpoints, or compare a header field";
                s.error_hint("tier_value", Code::BadValue, message, hint);
            }
            policy.map(Fits::Policy)
        }
        other => {
            let message = format!("a tier's value is not compared as \"{other}\"");
            let hint = "write \"literal\", \"policy\" or \"*\"";
            s.error_hint("tier_value_as", Code::BadValue, message, hint);
            None
        }
    };
    let name = format!("{} {number}", scope.name);
    let tier = match s.string_or("tier_value", "") {
        value if value.is_empty() => "*".to_owned(),
        value => value,
    };
    let written = if let Some(mut inner) = s.object("ratelimit") {
        Some(read(&mut inner, Dialect::Native, place))
    } else if let Some(mut inner) = s.object("ratelimit_redis") {
        redis::read(&mut inner, offers, place)
    } else {
        let message = "this tier has no limit";
        let hint = format!("add \"ratelimit\" with some of {}", KEYS.join(", "));
        s.error_hint("", Code::BadValue, message, hint);
        None
    };
    let scope = Scope {
        name: &name,
        tier: &tier,
        ..scope
    };
    let limiter = written.and_then(|written| Limiter::new(written, env, Dialect::Native, scope));
    Some(Tier {
        fits: fits?,
        limiter,
    })
}

impl Tiered {
    fn tasks(&self) -> Vec<Arc<dyn Task>> {
        let limiters = self.tiers.iter().filter_map(|tier| tier.limiter.as_ref());
        limiters.flat_map(Limiter::tasks).collect()
    }

    fn of(&self, head: &dyn Head, ctx: &Ctx) -> Found<'_> {
        let value = head.header(&self.key).unwrap_or_default();
        let mut none = Found::None;
        for tier in &self.tiers {
            let fits = match &tier.fits {
                Fits::Literal(name) => **name == *value,
                Fits::All => true,
                Fits::Policy(policy) => {
                    let claims = ctx.identity.as_deref().map(|who| &who.claims);
                    let holds = policy.holds(&String::from_utf8_lossy(value), claims);
                    if let Err(fault) = &holds {
                        log::debug!("{NAME}: a policy has no answer: {}", fault.0);
                        none = Found::Unknown;
                    }
                    holds.unwrap_or(false)
                }
            };
            if fits {
                return Found::Tier(tier);
            }
        }
        none
    }
}

impl HeadStage for Tiered {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request<'a>(
        &'a self,
        head: &'a dyn Head,
        edits: &'a mut Edits,
        ctx: &'a mut Ctx,
    ) -> Step<'a> {
        let asked = match self.of(head, ctx) {
            Found::Tier(tier) => match &tier.limiter {
                Some(limiter) => limiter.ask(head, edits, ctx),
                None => Ok(()),
            },
            Found::None => Ok(()),
            Found::Unknown => Err(self.lost.hit(ctx, Moment::now().ticks, 0)),
        };
        Step::Now(asked.map(|()| Flow::Next))
    }

    fn limits(&self) -> RateLimits {
        let limiters = self.tiers.iter().filter_map(|tier| tier.limiter.as_ref());
        limiters.flat_map(Limiter::limits).collect()
    }

    fn tell(&self, head: &dyn Head, edits: &mut Edits, ctx: &Ctx) {
        if let Found::Tier(tier) = self.of(head, ctx)
            && let Some(limiter) = &tier.limiter
        {
            limiter.tell(head, edits, ctx);
        }
    }
}
