//! What a file says.

use crate::base::Code;
use crate::component::{EndpointDraft, Env};
use crate::config::settings::Settings;
use crate::traffic::limit::day::Daily;
use crate::traffic::limit::fields::Label;
use crate::traffic::limit::gate::{Crowd, Gate, Share, Size};
use crate::traffic::limit::plan::Plan;
use crate::traffic::limit::rate::Rate;
use crate::traffic::limit::shared::link::Place;
use crate::traffic::limit::shared::store::Store;
use crate::traffic::limit::shown::{Counted, Pace, Shown};
use std::sync::Arc;
use std::time::Duration;

/// Requests a second of all callers together where the file says nothing (contract section 5).
const GLOBAL: f64 = 50_000.0;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What a caller is known by, in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The API key that somebody vouched for.
    Key,
    /// The organisation of a token or key.
    Org,
    /// The user of a token or key.
    User,
    /// The client's address.
    Ip,
}

const WORDS: [(&str, By); 4] = [
    ("api_key", By::Key),
    ("org", By::Org),
    ("user", By::User),
    ("ip", By::Ip),
];

/// The service's settings, which its endpoints share.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) global: Option<Arc<Gate>>,
    pub(super) identity: Box<[By]>,
    pub(super) tiers: Box<[Tier]>,
    pub(super) claim: Option<String>,
    /// The place of the plan of all others.
    pub(super) default: usize,
    pub(super) store: Option<Arc<Store>>,
}

/// A plan.
#[derive(Debug)]
pub(super) struct Tier {
    pub(super) name: String,
    pub(super) crowd: Crowd,
    pub(super) rate: Option<Label>,
    pub(super) day: Option<Label>,
    pub(super) shown: Arc<Shown>,
}

/// What `/__stats` tells of a limit of all callers.
pub(super) fn shown(gate: &Arc<Gate>, level: &'static str, at: &str) -> Arc<Shown> {
    Arc::new(Shown {
        component: super::NAME,
        level,
        name: level.to_owned(),
        endpoint: at.to_owned(),
        by: String::new(),
        pace: Some(Pace {
            amount: gate.rate().per_second(),
            every: SECOND,
            burst: gate.rate().burst(),
        }),
        counted: Counted::Gate(Arc::clone(gate)),
        told: None,
    })
}

/// An endpoint's settings.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) gate: Option<Arc<Gate>>,
    pub(super) cost: f64,
}

/// Reads the service's.
pub(super) fn service(s: &mut Settings<'_>, env: &Env) -> Service {
    s.known(&[
        "global",
        "identity",
        "tiers",
        "tier_claim",
        "default_tier",
        "store",
    ]);
    let store = store(s, env);
    let global = global(s, env, store.as_ref());
    let identity = identity(s);
    let by = words(&identity);
    let (tiers, strictest) = tiers(s, env, store.as_ref(), &by);
    let default = default(s, &tiers, strictest);
    Service {
        global,
        identity,
        tiers,
        claim: s.string("tier_claim").filter(|claim| !claim.is_empty()),
        default,
        store,
    }
}

/// What callers are known by, the first of which counts.
fn words(identity: &[By]) -> String {
    let word = |by: &By| {
        WORDS
            .iter()
            .find(|(_, known)| known == by)
            .map(|(word, _)| *word)
    };
    let words: Vec<&str> = identity.iter().filter_map(word).collect();
    words.join(", else ")
}

/// `store`: where several gateways count together.
fn store(s: &mut Settings<'_>, env: &Env) -> Option<Arc<Store>> {
    let mut inner = s.object("store")?;
    inner.known(&["valkey", "cluster", "on_failure", "ca_file"]);
    // There is one way to go on; the word makes it readable in the file.
    inner.one_of("on_failure", &["local"]);
    if !inner.require("valkey") {
        return None;
    }
    let urls = inner.list_of_strings("valkey");
    let mut place = Place::at(urls, inner.bool_or("cluster", false));
    if let Some(file) = inner.string("ca_file") {
        match std::fs::read(&file) {
            Ok(roots) => place.roots = Some(roots),
            Err(error) => {
                let message = format!("{file} cannot be read: {}", error.kind());
                let hint = "name a file with certificates in PEM";
                inner.error_hint("ca_file", Code::BadValue, message, hint);
            }
        }
    }
    if let Err(why) = place.check() {
        let hint = "write for example \"redis://valkey:6379\", or \"rediss://…\" for TLS, or the nodes of a cluster as a list";
        inner.error_hint("valkey", Code::BadValue, why, hint);
        return None;
    }
    Some(Store::kept(&env.kept, "hanzo", place, &env.metrics))
}

/// What a limit of this component goes by in the store.
fn share(store: Option<&Arc<Store>>, limit: &str) -> Option<Share> {
    Some(Share {
        store: Arc::clone(store?),
        limit: format!("{} {limit}", super::NAME),
    })
}

fn global(s: &mut Settings<'_>, env: &Env, store: Option<&Arc<Store>>) -> Option<Arc<Gate>> {
    let mut rate = GLOBAL;
    if s.has("global") {
        let mut inner = s.object("global")?;
        inner.known(&["rate"]);
        if inner.has("rate") {
            rate = number(&mut inner, "rate")?;
        }
    }
    let burst = (rate as u64).max(1);
    gate(s, "global", (rate, burst), env, ("", store))
}

/// A limit of all callers together; none for a rate of 0.
fn gate(
    s: &mut Settings<'_>,
    key: &str,
    (rate, burst): (f64, u64),
    env: &Env,
    (at, store): (&str, Option<&Arc<Store>>),
) -> Option<Arc<Gate>> {
    if rate == 0.0 {
        return None;
    }
    let made = Rate::new(rate, SECOND, burst);
    if made.is_none() {
        impossible(s, key, rate);
    }
    let name = format!("{} {at} {rate} {burst}", super::NAME);
    made.map(|made| Gate::kept(&env.kept, &name, made, share(store, &format!("gate {at}"))))
}

fn impossible(s: &mut Settings<'_>, key: &str, rate: f64) {
    let message = format!("{rate} is no rate that can be kept");
    let hint = "write a number above 0.000000001, or 0 for no limit";
    s.error_hint(key, Code::OutOfRange, message, hint);
}

/// A bucket that nothing flows into limits nobody, which whoever wrote it does not know.
fn without_rate(s: &mut Settings<'_>, rate: &str) {
    if s.has("burst") && !s.has(rate) {
        let message = format!("burst without {rate} limits nobody");
        s.error_hint(
            "burst",
            Code::MissingKey,
            message,
            format!("add \"{rate}\""),
        );
    }
}

/// A number that is not negative; an error otherwise.
fn number(s: &mut Settings<'_>, key: &str) -> Option<f64> {
    let number = s.float(key)?;
    if (0.0..=1e9).contains(&number) {
        return Some(number);
    }
    let message = format!("{key} is {number}");
    let hint = "write a number above zero, or 0 for no limit";
    s.error_hint(key, Code::OutOfRange, message, hint);
    None
}

fn identity(s: &mut Settings<'_>) -> Box<[By]> {
    let mut order = Vec::new();
    for (pointer, word) in s.located_strings("identity") {
        match WORDS.iter().find(|(known, _)| *known == word) {
            Some((_, by)) => order.push(*by),
            None => {
                let message = format!("\"{word}\" is nothing that a caller is known by");
                let problem = crate::base::Problem::error(Code::BadValue, pointer, message)
                    .hint("write \"api_key\", \"org\", \"user\" or \"ip\"");
                s.report().push(problem);
            }
        }
    }
    if order.is_empty() {
        return WORDS.map(|(_, by)| by).into();
    }
    // Nobody may be unknown: the address is always there.
    if !order.contains(&By::Ip) {
        order.push(By::Ip);
    }
    order.into()
}

/// The plans, and the place of the one that allows least.
fn tiers(
    s: &mut Settings<'_>,
    env: &Env,
    store: Option<&Arc<Store>>,
    by: &str,
) -> (Box<[Tier]>, usize) {
    let Some(mut all) = s.object("tiers") else {
        return (Box::default(), 0);
    };
    let names: Vec<String> = all.entries().map(|(name, _)| name.to_owned()).collect();
    let mut tiers = Vec::new();
    let mut strictest: Option<(f64, usize)> = None;
    for name in names {
        let Some(mut inner) = all.object(&name) else {
            continue;
        };
        let (tier, allows) = tier(&mut inner, (name, by), env, store);
        if strictest.is_none_or(|(least, _)| allows < least) {
            strictest = Some((allows, tiers.len()));
        }
        tiers.push(tier);
    }
    (tiers.into(), strictest.map_or(0, |(_, at)| at))
}

/// A plan, and how many requests it allows in a day.
fn tier(
    s: &mut Settings<'_>,
    (name, by): (String, &str),
    env: &Env,
    store: Option<&Arc<Store>>,
) -> (Tier, f64) {
    s.known(&["per_minute", "per_day", "burst"]);
    let per_minute = number(s, "per_minute").unwrap_or(0.0);
    let per_day = s.unsigned("per_day").unwrap_or(0);
    let burst = s.unsigned("burst").unwrap_or(0);
    let burst = if burst == 0 {
        (per_minute as u64).max(1)
    } else {
        burst
    };
    let rate = (per_minute > 0.0).then(|| Rate::new(per_minute, MINUTE, burst));
    if rate == Some(None) {
        impossible(s, "per_minute", per_minute);
    }
    without_rate(s, "per_minute");
    let daily = Daily::new(per_day);
    if per_day > 0 && daily.is_none() {
        let message = format!("per_day is {per_day}, more than can be counted");
        let hint = "write at most 1000000000, or 0 for no limit";
        s.error_hint("per_day", Code::OutOfRange, message, hint);
    }
    if per_minute == 0.0 && per_day == 0 {
        let message = "this plan limits nothing";
        let hint = "write per_minute, per_day or both";
        s.warn_hint("", Code::BadValue, message, hint);
    }
    let plan = Plan {
        rate: rate.flatten(),
        daily,
    };
    let kept = format!("{} tier {name} {per_minute} {burst} {per_day}", super::NAME);
    let share = share(store, &format!("tier {name}"));
    let crowd = Crowd::kept(&env.kept, &kept, plan, Size::default(), share);
    let pace = plan.rate.map(|_| Pace {
        amount: per_minute,
        every: MINUTE,
        burst,
    });
    let shown = Shown {
        component: super::NAME,
        level: "tier",
        name: name.clone(),
        endpoint: String::new(),
        by: by.to_owned(),
        pace,
        counted: Counted::Crowd(crowd.clone()),
        told: None,
    };
    let tier = Tier {
        name,
        crowd,
        shown: Arc::new(shown),
        rate: plan.rate.map(|rate| Label::bucket("minute", &rate)),
        day: plan.daily.map(|daily| Label::daily(daily.limit())),
    };
    let no_limit = |allowed: f64| if allowed > 0.0 { allowed } else { f64::MAX };
    let allows = no_limit(per_minute * 1440.0).min(no_limit(per_day as f64));
    (tier, allows)
}

/// The plan of callers that name none, or one that is not there: nobody goes without.
fn default(s: &mut Settings<'_>, tiers: &[Tier], strictest: usize) -> usize {
    let Some(first) = tiers.get(strictest) else {
        if let Some(name) = s.string("default_tier") {
            let message = format!("default_tier \"{name}\" and there are no tiers");
            let hint = "add \"tiers\" with this one among them";
            s.error_hint("default_tier", Code::BadValue, message, hint);
        }
        return 0;
    };
    let Some(name) = s.string("default_tier") else {
        if tiers.len() > 1 {
            let message = format!(
                "callers without a plan get \"{}\", the strictest",
                first.name
            );
            let hint = "name the plan of all others in \"default_tier\"";
            s.warn_hint("", Code::MissingKey, message, hint);
        }
        return strictest;
    };
    let found = tiers.iter().position(|tier| tier.name == name);
    if found.is_none() {
        let names: Vec<&str> = tiers.iter().map(|tier| &*tier.name).collect();
        let message = format!("default_tier \"{name}\" is none of the tiers");
        let hint = format!("write one of \"{}\"", names.join("\", \""));
        s.error_hint("default_tier", Code::BadValue, message, hint);
    }
    found.unwrap_or(strictest)
}

/// Reads an endpoint's.
pub(super) fn endpoint(
    s: &mut Settings<'_>,
    draft: &EndpointDraft,
    service: Option<&Service>,
) -> Own {
    s.known(&["rate", "burst", "cost"]);
    let rate = number(s, "rate").unwrap_or(0.0);
    let burst = s.unsigned("burst").unwrap_or(0);
    let burst = if burst == 0 {
        (rate as u64).max(1)
    } else {
        burst
    };
    without_rate(s, "rate");
    let at = format!("{} {}", draft.at.method, draft.at.path);
    let store = service.and_then(|service| service.store.as_ref());
    let gate = gate(s, "rate", (rate, burst), &draft.env, (&at, store));
    Own {
        gate,
        cost: cost(s, service),
    }
}

fn cost(s: &mut Settings<'_>, service: Option<&Service>) -> f64 {
    if !s.has("cost") {
        return 1.0;
    }
    let cost = number(s, "cost").unwrap_or(1.0);
    let Some(service) = service.filter(|service| !service.tiers.is_empty()) else {
        let message = "cost says what a request takes of its caller's plan, and there is no plan";
        let hint = "add \"tiers\" to hanzo/ratelimit of the service";
        s.warn_hint("cost", Code::BadValue, message, hint);
        return cost;
    };
    let never = service.tiers.iter().find(|tier| {
        let plan = tier.crowd.plan();
        let burst = plan.rate.map_or(u64::MAX, |rate| rate.burst());
        let day = plan.daily.map_or(u64::MAX, |daily| daily.limit());
        cost > burst.min(day) as f64
    });
    if let Some(tier) = never {
        let message = format!(
            "cost is {cost}, more than \"{}\" has at any time",
            tier.name
        );
        let hint = "lower it, or raise the plan's burst";
        s.error_hint("cost", Code::OutOfRange, message, hint);
    }
    cost
}
