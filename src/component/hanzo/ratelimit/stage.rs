//! What requests meet.

use super::NAME;
use super::read::{self, By, Own, Service, Tier};
use crate::base::{Dialect, Error, Reason};
use crate::component::{At, Env};
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::identity::Identity;
use crate::gateway::rate_limit::{RateLimit, RateLimits};
use crate::gateway::stage::{Edits, Flow, HeadStage, Step};
use crate::traffic::limit::fields::{Before, Label, Policies};
use crate::traffic::limit::gate::{Crowd, Gate};
use crate::traffic::limit::hits::Hits;
use crate::traffic::limit::plan::{Cost, Exhausted, Seen, Span};
use crate::traffic::limit::table::Moment;
use std::net::IpAddr;
use std::sync::Arc;

/// The limit of all, in front of everything.
pub(super) struct Global {
    gate: Arc<Gate>,
    cost: Cost,
    label: Label,
    policy: Option<Policies>,
    hits: Hits,
    shown: Arc<dyn RateLimit>,
}

impl Global {
    pub(super) fn new(gate: Arc<Gate>, env: &Env) -> Self {
        let label = Label::bucket("global", gate.rate());
        Self {
            cost: gate.cost(1.0),
            policy: Policies::of([&label]),
            hits: Hits::new(&env.metrics, Reason::GlobalRateExceeded, "global", ""),
            shown: read::shown(&gate, "global", ""),
            gate,
            label,
        }
    }
}

impl HeadStage for Global {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request<'a>(
        &'a self,
        _: &'a dyn Head,
        edits: &'a mut Edits,
        ctx: &'a mut Ctx,
    ) -> Step<'a> {
        let at = Moment::now();
        let policy = self.policy.as_ref();
        match self.gate.take(at, self.cost) {
            Ok(standing) => {
                edits
                    .limits
                    .passed((&self.label, &standing), policy, Before::Beside);
                Step::NEXT
            }
            Err(empty) => {
                let told = (&self.label, &empty.standing);
                edits.limits.refused(told, policy, Before::Beside);
                Step::Now(Err(self.hits.hit(ctx, at.ticks, empty.wait)))
            }
        }
    }

    fn limits(&self) -> RateLimits {
        vec![Arc::clone(&self.shown)]
    }

    fn tell(&self, _: &dyn Head, edits: &mut Edits, _: &Ctx) {
        let standing = self.gate.standing(Moment::now());
        let told = (&self.label, &standing);
        edits
            .limits
            .passed(told, self.policy.as_ref(), Before::Beside);
    }
}

/// The limit of an endpoint and the plans of callers, behind authentication.
pub(super) struct Callers {
    service: Option<Arc<Service>>,
    /// One for each plan of the service.
    plans: Box<[Here]>,
    own: Option<Limit>,
    /// What [`Global`] told, which is part of what is told here.
    told: Option<Policies>,
    /// The policies where there is no plan.
    policy: Option<Policies>,
    shown: RateLimits,
}

/// A limit of all callers of the endpoint.
struct Limit {
    gate: Arc<Gate>,
    cost: Cost,
    label: Label,
    hits: Hits,
}

/// A plan at this endpoint.
struct Here {
    cost: Cost,
    policy: Option<Policies>,
    rate: Hits,
    day: Hits,
}

/// A caller whose plan was charged.
struct Charged<'c> {
    crowd: &'c Crowd,
    key: u64,
    cost: Cost,
}

impl Callers {
    /// What stands at an endpoint; `None` where nothing is limited.
    pub(super) fn new(
        service: Option<Arc<Service>>,
        own: Option<Arc<Own>>,
        at: &At,
        env: &Env,
    ) -> Option<Self> {
        let gate = own.as_ref().and_then(|own| own.gate.clone());
        let hits = |reason, level| Hits::new(&env.metrics, reason, level, &at.path);
        let mut shown = RateLimits::new();
        if let Some(gate) = &gate {
            let place = format!("{} {}", at.method, at.path);
            shown.push(read::shown(gate, "endpoint", &place));
        }
        let limit = gate.map(|gate| Limit {
            cost: gate.cost(1.0),
            label: Label::bucket("endpoint", gate.rate()),
            hits: hits(Reason::EndpointRateExceeded, "endpoint"),
            gate,
        });
        let tiers = service.as_ref().map_or(&[][..], |service| &service.tiers);
        if limit.is_none() && tiers.is_empty() {
            return None;
        }
        for tier in tiers {
            shown.push(tier.shown.clone());
        }
        let tokens = own.map_or(1.0, |own| own.cost);
        let global = service
            .as_ref()
            .and_then(|service| service.global.as_ref())
            .map(|gate| Label::bucket("global", gate.rate()));
        let before = || {
            global
                .iter()
                .chain(limit.as_ref().map(|limit| &limit.label))
        };
        let here = |tier: &Tier| Here {
            cost: tier.crowd.plan().cost(tokens),
            policy: Policies::of(before().chain(&tier.rate).chain(&tier.day)),
            rate: hits(Reason::TierMinuteExhausted, "tier"),
            day: hits(Reason::TierDayExhausted, "tier"),
        };
        Some(Self {
            plans: tiers.iter().map(here).collect(),
            told: Policies::of(&global),
            policy: Policies::of(before()),
            own: limit,
            service,
            shown,
        })
    }

    fn ask(&self, edits: &mut Edits, ctx: &mut Ctx) -> Result<(), Error> {
        let at = Moment::now();
        let service = self.service.as_deref();
        let who = ctx.identity.clone();
        let identity = who.as_deref();
        let tier = service.and_then(|service| service.tier(identity));
        let here = tier.and_then(|(place, _)| self.plans.get(place));
        let policy = here.map_or(&self.policy, |here| &here.policy).as_ref();
        let before = self.told.as_ref().map_or(Before::Beside, Before::Told);
        // A request that the endpoint has no room for costs its caller nothing.
        if let Some(own) = &self.own
            && let Err(empty) = own.gate.peek(at, own.cost)
        {
            edits
                .limits
                .refused((&own.label, &empty.standing), policy, before);
            return Err(own.hits.hit(ctx, at.ticks, empty.wait));
        }
        let mut charged = None;
        if let (Some(service), Some((_, tier)), Some(here)) = (service, tier, here) {
            let (key, taken) = service.take(&tier.crowd, (identity, ctx.client), at, here.cost);
            match taken {
                Ok(seen) => {
                    let told = seen.and_then(|seen| tier.told(seen));
                    if let Some((label, seen)) = told {
                        edits.limits.passed((label, &seen.standing), policy, before);
                    }
                    charged = Some(Charged {
                        crowd: &tier.crowd,
                        key,
                        cost: here.cost,
                    });
                }
                Err(refused) => return Err(self.exhausted((tier, here), &refused, edits, ctx, at)),
            }
        }
        self.take_own(charged.as_ref(), (edits, policy), ctx, at)?;
        let charged = charged.map(|one| one.crowd.charge(one.key, one.cost));
        let own = self.own.as_ref().map(|own| own.gate.charge(own.cost));
        ctx.charges.extend(charged.into_iter().chain(own));
        Ok(())
    }

    fn take_own(
        &self,
        charged: Option<&Charged<'_>>,
        (edits, policy): (&mut Edits, Option<&Policies>),
        ctx: &Ctx,
        at: Moment,
    ) -> Result<(), Error> {
        let Some(own) = &self.own else { return Ok(()) };
        // With a plan the policies were told already.
        let told = if charged.is_some() {
            policy
        } else {
            self.told.as_ref()
        };
        let before = told.map_or(Before::Beside, Before::Told);
        match own.gate.take(at, own.cost) {
            Ok(standing) => {
                edits.limits.passed((&own.label, &standing), policy, before);
                Ok(())
            }
            Err(empty) => {
                if let Some(charged) = charged {
                    charged.crowd.give_back(charged.key, charged.cost);
                }
                edits
                    .limits
                    .refused((&own.label, &empty.standing), policy, before);
                Err(own.hits.hit(ctx, at.ticks, empty.wait))
            }
        }
    }

    fn exhausted(
        &self,
        (tier, here): (&Tier, &Here),
        refused: &Exhausted,
        edits: &mut Edits,
        ctx: &Ctx,
        at: Moment,
    ) -> Error {
        let before = self.told.as_ref().map_or(Before::Beside, Before::Told);
        if let Some((label, seen)) = tier.told(refused.seen) {
            let told = (label, &seen.standing);
            edits.limits.refused(told, here.policy.as_ref(), before);
        }
        let hits = match refused.seen.span {
            Span::Rate => &here.rate,
            Span::Day => &here.day,
        };
        hits.hit(ctx, at.ticks, refused.wait)
    }
}

impl HeadStage for Callers {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request<'a>(
        &'a self,
        _: &'a dyn Head,
        edits: &'a mut Edits,
        ctx: &'a mut Ctx,
    ) -> Step<'a> {
        Step::Now(self.ask(edits, ctx).map(|()| Flow::Next))
    }

    fn limits(&self) -> RateLimits {
        self.shown.clone()
    }

    fn tell(&self, _: &dyn Head, edits: &mut Edits, ctx: &Ctx) {
        let at = Moment::now();
        let identity = ctx.identity.as_deref();
        let service = self.service.as_deref();
        let tier = service.and_then(|service| Some((service, service.tier(identity)?)));
        let here = tier.and_then(|(_, (place, _))| self.plans.get(place));
        let policy = here.map_or(&self.policy, |here| &here.policy).as_ref();
        let mut before = self.told.as_ref().map_or(Before::Beside, Before::Told);
        if let Some((service, (_, tier))) = tier {
            let peek = |kind, name: &[u8]| tier.crowd.peek(kind, name, at);
            let seen = service.name((identity, ctx.client), peek);
            if let Some((label, seen)) = seen.and_then(|seen| tier.told(seen)) {
                edits.limits.passed((label, &seen.standing), policy, before);
                before = policy.map_or(before, Before::Told);
            }
        }
        if let Some(own) = &self.own {
            let standing = own.gate.standing(at);
            edits.limits.passed((&own.label, &standing), policy, before);
        }
    }
}

impl Tier {
    /// The label of the limit that is told.
    fn told(&self, seen: Seen) -> Option<(&Label, Seen)> {
        let label = match seen.span {
            Span::Rate => self.rate.as_ref(),
            Span::Day => self.day.as_ref(),
        };
        Some((label?, seen))
    }
}

impl Service {
    /// The plan of a caller: the one of the claim, of the key, or of all others.
    fn tier(&self, identity: Option<&Identity>) -> Option<(usize, &Tier)> {
        let named = |name: &str| self.tiers.iter().position(|tier| tier.name == name);
        let claimed = || {
            let name = identity?.claim_text(self.claim.as_deref()?, Dialect::Native)?;
            named(&name)
        };
        let bought = || named(identity?.tier.as_deref()?);
        let at = claimed().or_else(bought).unwrap_or(self.default);
        self.tiers.get(at).map(|tier| (at, tier))
    }

    /// Takes from a caller's share: of the first that it is known by.
    fn take(
        &self,
        crowd: &Crowd,
        who: (Option<&Identity>, IpAddr),
        at: Moment,
        cost: Cost,
    ) -> Charge {
        self.name(who, |kind, name| crowd.take(kind, name, at, cost))
    }

    /// Calls `found` with the kind and the name of the first that a caller is known by.
    fn name<T>(
        &self,
        (identity, client): (Option<&Identity>, IpAddr),
        found: impl FnOnce(u8, &[u8]) -> T,
    ) -> T {
        for by in &self.identity {
            let name = match by {
                By::Key => identity.and_then(|who| who.key.as_ref().map(<[u8; 32]>::as_slice)),
                By::Org => identity.and_then(|who| who.org.as_deref().map(str::as_bytes)),
                By::User => identity.and_then(|who| who.subject.as_deref().map(str::as_bytes)),
                By::Ip => break,
            };
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                return found(*by as u8, name);
            }
        }
        // Of IPv6 the network, whose other half a client may choose.
        let kind = By::Ip as u8;
        match client {
            IpAddr::V4(ip) => found(kind, &ip.octets()),
            IpAddr::V6(ip) => {
                let octets = ip.octets();
                found(kind, octets.get(..8).unwrap_or_default())
            }
        }
    }
}

/// A caller's key, and what came of it.
type Charge = (u64, Result<Option<Seen>, Exhausted>);

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use crate::base::Report;
    use crate::body::json;
    use crate::config::settings::Settings;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn service(text: &str) -> Service {
        let (mut report, value) = (Report::default(), serde_json::from_str(text).unwrap());
        let mut settings = Settings::new(&value, "/r", &mut report);
        let service = read::service(&mut settings, &Env::default());
        assert_eq!(report.errors(), 0, "{:?}", report.problems);
        service
    }

    fn plans(identity: &str) -> Service {
        service(&format!(
            r#"{{"tiers": {{"free": {{"per_day": 2}}, "team": {{"per_day": 50}}}}, "tier_claim": "plan",
                "default_tier": "free", "identity": {identity}}}"#
        ))
    }

    fn who(claims: &str) -> Identity {
        let claims = json::decode(claims.as_bytes()).unwrap();
        let claims = claims.into_object().unwrap();
        let text = |name: &str| claims.get(name).and_then(|v| v.as_str()).map(Into::into);
        Identity {
            subject: text("sub"),
            org: text("org"),
            tier: text("tier"),
            key: claims.get("key").map(|_| [7; 32]),
            claims,
            ..Identity::default()
        }
    }

    /// How many requests of a caller pass that one of another caller has not used up.
    fn shares(service: &Service, one: &Identity, other: &Identity) -> bool {
        let crowd = &service.tiers.first().unwrap().crowd;
        let (at, cost) = (Moment::now(), crowd.plan().cost(1.0));
        let ask = |who| service.take(crowd, (Some(who), HOME), at, cost).1.is_ok();
        assert!(ask(one) && ask(one) && !ask(one));
        !ask(other)
    }

    #[test]
    fn a_caller_is_the_first_that_is_known() {
        let all = r#"["api_key", "org", "user", "ip"]"#;
        let key = who(r#"{"key": 1, "org": "o", "sub": "a"}"#);
        let org = who(r#"{"org": "o", "sub": "a"}"#);
        let mate = who(r#"{"org": "o", "sub": "b"}"#);
        assert!(shares(&plans(all), &org, &mate));
        assert!(
            !shares(&plans(all), &key, &org),
            "a key has a share of its own"
        );
        assert!(!shares(&plans(r#"["user"]"#), &org, &mate));
        assert!(shares(&plans(r#"["ip"]"#), &key, &mate));
        // Who is nobody in particular is an address, also where the list does not say so.
        let (nobody, other) = (who("{}"), who(r#"{"sub": ""}"#));
        assert!(shares(&plans(r#"["api_key"]"#), &nobody, &other));
        // A user of the name of an organisation is another caller.
        let (user, org) = (who(r#"{"sub": "x"}"#), who(r#"{"org": "x"}"#));
        assert!(!shares(&plans(all), &user, &org));
    }

    #[test]
    fn the_plan_is_the_claims_then_the_keys_then_the_one_of_all_others() {
        let service = plans("[]");
        let of = |who: Option<&Identity>| service.tier(who).unwrap().1.name.clone();
        assert_eq!(of(None), "free");
        assert_eq!(
            of(Some(&who(r#"{"plan": "team", "tier": "free"}"#))),
            "team"
        );
        assert_eq!(
            of(Some(&who(r#"{"plan": "gold", "tier": "team"}"#))),
            "team"
        );
        assert_eq!(of(Some(&who(r#"{"tier": "gold"}"#))), "free");
    }

    #[test]
    fn a_network_of_ipv6_is_one_caller() {
        let service = plans("[]");
        let crowd = &service.tiers.first().unwrap().crowd;
        let (at, cost) = (Moment::now(), crowd.plan().cost(1.0));
        let ask = |ip: &str| {
            service
                .take(crowd, (None, ip.parse().unwrap()), at, cost)
                .1
                .is_ok()
        };
        let near = ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3"].map(ask);
        assert_eq!(near, [true, true, false]);
        assert!(ask("2001:db8:0:1::1"));
    }

    #[test]
    fn without_a_plan_for_all_others_the_strictest_is_theirs() {
        let service = service(
            r#"{"tiers": {"a": {"per_minute": 100, "burst": 5}, "b": {"per_minute": 2, "burst": 9}}}"#,
        );
        assert_eq!(service.tier(None).unwrap().1.name, "b");
    }
}
