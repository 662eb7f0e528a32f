//! The limits of `qos/ratelimit/router` and its relatives: of all clients together and of each.

use super::who::{self, Place, Who};
use super::{capacity, every, rate};
use crate::base::{Code, Dialect, Error, Reason};
use crate::component::Env;
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::rate_limit::{RateLimit, RateLimits};
use crate::gateway::stage::Edits;
use crate::gateway::task::Task;
use crate::traffic::limit::callers::{CLEANUP, Callers, SHARDS};
use crate::traffic::limit::fields::{Before, Label, Policies};
use crate::traffic::limit::gate::{Crowd, Gate, Share, Size};
use crate::traffic::limit::hits::Hits;
use crate::traffic::limit::krakend::{Filling, Shared};
use crate::traffic::limit::plan::{Cost, KrakendClients, Plan};
use crate::traffic::limit::rate::{Empty, Rate, Standing};
use crate::traffic::limit::shared::store::Store;
use crate::traffic::limit::shown::{Counted, Pace, Shown};
use crate::traffic::limit::table::{MOST, Moment, Table};
use std::sync::Arc;
use std::time::Duration;

/// Nanoseconds of ten minutes, for which KrakenD keeps a client at least.
const KRAKEND_TTL: f64 = 600e9;

/// What a file says about a limit.
#[derive(Debug)]
pub(super) struct Written {
    pub every: Duration,
    pub max_rate: f64,
    pub capacity: u64,
    pub client_max_rate: f64,
    pub client_capacity: u64,
    pub who: Option<Who>,
    pub cleanup: Duration,
    pub shards: usize,
    /// Where several gateways count together.
    pub store: Option<Arc<Store>>,
    /// What becomes of requests while that is away.
    pub away: Away,
}

/// What becomes of requests while the store is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Away {
    /// The limits hold for this gateway alone.
    #[default]
    Local,
    /// They pass.
    Pass,
    /// They are refused.
    Refuse,
}

impl Written {
    const fn pace(&self, amount: f64, burst: u64) -> Pace {
        Pace {
            amount,
            every: self.every,
            burst,
        }
    }
}

/// Keys of `qos/ratelimit/router`.
pub(super) const KEYS: &[&str] = &[
    "max_rate",
    "capacity",
    "client_max_rate",
    "client_capacity",
    "strategy",
    "key",
    "every",
    "num_shards",
    "cleanup_period",
    "cleanup_threads",
];

/// Rates, and the buckets that are nothing without them.
const RATES: [(&str, &str); 2] = [
    ("max_rate", "capacity"),
    ("client_max_rate", "client_capacity"),
];

/// Reads the settings of `qos/ratelimit/router`.
pub(super) fn read(s: &mut Settings<'_>, dialect: Dialect, place: Place<'_>) -> Written {
    s.known(KEYS);
    let span = every(s, dialect, super::SECOND);
    let (max_rate, client_max_rate) = (rate(s, "max_rate"), rate(s, "client_max_rate"));
    let seconds = span.as_secs_f64();
    // KrakenD looks at the rate of all for the bucket of one: with `client_max_rate` alone it holds one.
    let for_client = match dialect {
        Dialect::Krakend if max_rate / seconds < 1.0 => 0.0,
        _ => client_max_rate / seconds,
    };
    let who = (client_max_rate > 0.0)
        .then(|| who::read(s, dialect, place))
        .flatten();
    let capacities = (
        capacity(s, "capacity", max_rate / seconds),
        capacity(s, "client_capacity", for_client),
    );
    if dialect == Dialect::Native {
        super::without_rate(s, &RATES);
        possible(s, "max_rate", max_rate, span, capacities.0);
        possible(s, "client_max_rate", client_max_rate, span, capacities.1);
    }
    let shards = s.unsigned("num_shards").unwrap_or(SHARDS as u64);
    // KrakenD parses it and uses one all the same.
    s.unsigned("cleanup_threads");
    Written {
        every: span,
        max_rate,
        capacity: capacities.0,
        client_max_rate,
        client_capacity: capacities.1,
        who,
        cleanup: s.duration("cleanup_period").unwrap_or(CLEANUP),
        // So many locks are enough for any machine.
        shards: usize::try_from(shards).unwrap_or(SHARDS).clamp(1, 2048),
        store: None,
        away: Away::Local,
    }
}

/// A rate that cannot be kept exactly must not be dropped without a word.
pub(super) fn possible(s: &mut Settings<'_>, key: &str, rate: f64, every: Duration, capacity: u64) {
    if rate > 0.0 && Rate::new(rate, every, capacity).is_none() {
        let message = format!("{key} is {rate} in {every:?}, which is no rate that can be kept");
        let hint = "write a number above 0.000000001, and a time of years at most";
        s.error_hint(key, Code::OutOfRange, message, hint);
    }
}

/// Where a limiter stands: what its state and its refusals are called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    /// The namespace,
    pub component: &'static str,
    /// and what else tells this limiter from others at its place.
    pub name: &'a str,
    /// The value that chooses it among tiers; empty for none.
    pub tier: &'a str,
    /// Method and path; empty for the service.
    pub at: &'a str,
    /// The pattern, for metrics; empty for the service.
    pub endpoint: &'a str,
    /// What a refusal of all clients together is.
    pub reason: Reason,
    /// Its level in metrics.
    pub level: &'static str,
}

impl Scope<'_> {
    /// What a limit goes by where several gateways count together: the same whatever its rate is at the moment.
    fn share(&self, store: Option<&Arc<Store>>, which: &str) -> Option<Share> {
        Some(Share {
            store: Arc::clone(store?),
            limit: format!("{} {} {which}", self.name, self.at),
        })
    }
}

/// The limits of a place, ready to ask.
pub(super) struct Limiter {
    /// Whether it is one of the whole service, which counts every request, refused ones too.
    whole: bool,
    all: Option<All>,
    each: Option<(Who, Each)>,
    policy: Option<Policies>,
    all_hits: Hits,
    each_hits: Hits,
    shown: RateLimits,
    /// The store without which requests pass, or do not.
    needed: Option<(Arc<Store>, Away)>,
}

enum All {
    Native(Arc<Gate>, Cost, Label),
    Krakend(Arc<Shared>),
}

enum Each {
    Native(Crowd, Cost, Label),
    Krakend(Arc<Callers<KrakendClients>>),
}

impl Limiter {
    /// Makes what was written, unless it limits nothing. State of a running snapshot is found again when all that it
    /// depends on is as it was.
    pub(super) fn new(
        written: Written,
        env: &Env,
        dialect: Dialect,
        scope: Scope<'_>,
    ) -> Option<Self> {
        let all = (written.max_rate > 0.0)
            .then(|| all(&written, env, dialect, scope))
            .flatten();
        let each = each(&written, env, dialect, scope);
        let paces = [
            written.pace(written.max_rate, written.capacity),
            written.pace(written.client_max_rate, written.client_capacity),
        ];
        let away = written.away;
        let needed = written.store.filter(|_| away != Away::Local);
        let each = written.who.and_then(|who| Some((who, each?)));
        if all.is_none() && each.is_none() {
            return None;
        }
        let shown = shown(all.as_ref(), each.as_ref(), paces, scope);
        let mut labels = Vec::new();
        if let Some(All::Native(_, _, label)) = &all {
            labels.push(label);
        }
        if let Some((_, Each::Native(_, _, label))) = &each {
            labels.push(label);
        }
        let policy = Policies::of(labels);
        let hits = |reason, level| Hits::new(&env.metrics, reason, level, scope.endpoint);
        Some(Self {
            whole: scope.at.is_empty(),
            policy,
            needed: needed.map(|store| (store, away)),
            shown,
            all_hits: hits(scope.reason, scope.level),
            each_hits: hits(Reason::ClientRateExceeded, "client"),
            all,
            each,
        })
    }

    /// The limits, for whoever only looks.
    pub(super) fn limits(&self) -> RateLimits {
        self.shown.clone()
    }

    /// Records how both limits stand for a request that somebody in front answered; takes nothing.
    pub(super) fn tell(&self, head: &dyn Head, edits: &mut Edits, ctx: &Ctx) {
        let (at, policy) = (Moment::now(), self.policy.as_ref());
        let mut before = Before::Beside;
        if let Some((who, Each::Native(crowd, _, label))) = &self.each
            && let Some(Some(seen)) = who.ask(head, ctx, |kind, name| crowd.peek(kind, name, at))
        {
            edits.limits.passed((label, &seen.standing), policy, before);
            before = self.policy.as_ref().map_or(before, Before::Told);
        }
        if let Some(All::Native(gate, _, label)) = &self.all {
            edits
                .limits
                .passed((label, &gate.standing(at)), policy, before);
        }
    }

    /// The work beside the requests.
    pub(super) fn tasks(&self) -> Vec<Arc<dyn Task>> {
        let mut tasks = Vec::new();
        if let Some(All::Native(gate, ..)) = &self.all {
            tasks.extend(gate.task());
        }
        match &self.each {
            Some((_, Each::Native(crowd, ..))) => tasks.extend(crowd.tasks()),
            Some((_, Each::Krakend(callers))) => {
                tasks.push(Arc::clone(callers) as Arc<dyn Task>);
            }
            None => {}
        }
        tasks
    }

    /// Asks both limits, the client's first, and records what clients are told.
    ///
    /// # Errors
    /// Which of them refuses. Nothing is taken from either then.
    pub(super) fn ask(
        &self,
        head: &dyn Head,
        edits: &mut Edits,
        ctx: &mut Ctx,
    ) -> Result<(), Error> {
        if let Some((store, away)) = &self.needed
            && store.is_away()
        {
            self.tell(head, edits, ctx);
            return match away {
                Away::Local | Away::Pass => Ok(()),
                Away::Refuse => Err(Error::from(Reason::LimitStoreUnavailable).retry_after(1)),
            };
        }
        let taken = self.take(head, edits, ctx)?;
        if self.whole {
            return Ok(());
        }
        if let (Some(key), Some((_, Each::Native(crowd, cost, _)))) = (taken, &self.each) {
            ctx.charges.push(crowd.charge(key, *cost));
        }
        if let Some(All::Native(gate, cost, _)) = &self.all {
            ctx.charges.push(gate.charge(*cost));
        }
        Ok(())
    }

    /// Takes from both; also gives the key of a client from whom was taken.
    fn take(&self, head: &dyn Head, edits: &mut Edits, ctx: &Ctx) -> Result<Option<u64>, Error> {
        let at = Moment::now();
        // A request that all together have no room for costs its client nothing.
        if let Some(All::Native(gate, cost, label)) = &self.all
            && let Err(empty) = gate.peek(at, *cost)
        {
            return Err(self.full(&empty, label, (edits, Before::Beside), (ctx, at)));
        }
        let mut taken = None;
        if let Some((who, each)) = &self.each {
            taken = self.ask_client(who, each, (head, ctx), edits, at)?;
        }
        match &self.all {
            None => Ok(taken),
            Some(All::Krakend(shared)) if shared.allow(at.ticks) => Ok(taken),
            Some(All::Krakend(_)) => Err(self.all_hits.hit(ctx, at.ticks, 0)),
            Some(All::Native(gate, cost, label)) => match gate.take(at, *cost) {
                Ok(standing) => {
                    edits.limits.passed(
                        (label, &standing),
                        self.policy.as_ref(),
                        self.before(taken),
                    );
                    Ok(taken)
                }
                Err(empty) => {
                    if let (Some(key), Some((_, Each::Native(crowd, cost, _)))) =
                        (taken, &self.each)
                    {
                        crowd.give_back(key, *cost);
                    }
                    Err(self.full(&empty, label, (edits, self.before(taken)), (ctx, at)))
                }
            },
        }
    }

    fn ask_client(
        &self,
        who: &Who,
        each: &Each,
        (head, ctx): (&dyn Head, &Ctx),
        edits: &mut Edits,
        at: Moment,
    ) -> Result<Option<u64>, Error> {
        match each {
            Each::Krakend(callers) => {
                let table = &callers.table;
                let key = who.ask(head, ctx, |kind, name| table.key(kind, name));
                let allowed = key
                    .is_some_and(|key| table.with(key, at, |rule, client| rule.allow(client, at)));
                callers.tally.count(allowed);
                if allowed {
                    return Ok(None);
                }
                Err(self.each_hits.hit(ctx, at.ticks, 0))
            }
            Each::Native(crowd, cost, label) => {
                let taken = who.ask(head, ctx, |kind, name| crowd.take(kind, name, at, *cost));
                let Some((key, taken)) = taken else {
                    crowd.tally().count(false);
                    // Nobody in particular has nothing.
                    let plan = crowd.plan().rate;
                    let standing = Standing {
                        limit: plan.map_or(0, |rate| rate.burst()),
                        ..Standing::default()
                    };
                    let told = (label, &standing);
                    edits
                        .limits
                        .refused(told, self.policy.as_ref(), Before::Beside);
                    return Err(self.each_hits.hit(ctx, at.ticks, 0));
                };
                match taken {
                    Ok(seen) => {
                        if let Some(seen) = seen {
                            let told = (label, &seen.standing);
                            edits
                                .limits
                                .passed(told, self.policy.as_ref(), Before::Beside);
                        }
                        Ok(Some(key))
                    }
                    Err(refused) => {
                        let told = (label, &refused.seen.standing);
                        edits
                            .limits
                            .refused(told, self.policy.as_ref(), Before::Beside);
                        Err(self.each_hits.hit(ctx, at.ticks, refused.wait))
                    }
                }
            }
        }
    }

    /// The policy is told once, with the client's limit if there is one.
    fn before(&self, client: Option<u64>) -> Before<'_> {
        match (&self.policy, client) {
            (Some(policy), Some(_)) => Before::Told(policy),
            _ => Before::Beside,
        }
    }

    fn full(
        &self,
        empty: &Empty,
        label: &Label,
        (edits, before): (&mut Edits, Before<'_>),
        (ctx, at): (&Ctx, Moment),
    ) -> Error {
        let told = (label, &empty.standing);
        edits.limits.refused(told, self.policy.as_ref(), before);
        self.all_hits.hit(ctx, at.ticks, empty.wait)
    }
}

/// The limits as they are looked at.
fn shown(
    all: Option<&All>,
    each: Option<&(Who, Each)>,
    [of_all, of_each]: [Pace; 2],
    scope: Scope<'_>,
) -> RateLimits {
    let one =
        |level: &'static str, by: String, pace: Pace, counted: Counted| -> Arc<dyn RateLimit> {
            Arc::new(Shown {
                component: scope.component,
                level,
                name: if scope.tier.is_empty() {
                    level
                } else {
                    scope.tier
                }
                .to_owned(),
                endpoint: scope.at.to_owned(),
                by,
                pace: Some(pace),
                counted,
                told: None,
            })
        };
    let all = all.map(|all| {
        let counted = match all {
            All::Native(gate, ..) => Counted::Gate(Arc::clone(gate)),
            All::Krakend(shared) => Counted::KrakendAll(Arc::clone(shared)),
        };
        one(scope.level, String::new(), of_all, counted)
    });
    let each = each.map(|(who, each)| {
        let counted = match each {
            Each::Native(crowd, ..) => Counted::Crowd(crowd.clone()),
            Each::Krakend(callers) => Counted::KrakendEach(Arc::clone(callers)),
        };
        one("client", who.words(), of_each, counted)
    });
    all.into_iter().chain(each).collect()
}

fn all(written: &Written, env: &Env, dialect: Dialect, scope: Scope<'_>) -> Option<All> {
    let (rate, every) = (written.max_rate, written.every);
    let name = format!(
        "{} {} {rate} {every:?} {}",
        scope.name, scope.at, written.capacity
    );
    let now = Moment::now();
    if dialect == Dialect::Krakend {
        let filling = Filling::new(rate / every.as_secs_f64(), written.capacity);
        let make = || Shared::new(filling, now.ticks);
        return Some(All::Krakend(env.kept.get_or(&name, make)));
    }
    let rate = Rate::new(rate, every, written.capacity)?;
    let share = scope.share(written.store.as_ref(), "all");
    let gate = Gate::kept(&env.kept, &name, rate, share);
    let (cost, label) = (gate.cost(1.0), Label::bucket(scope.level, &rate));
    Some(All::Native(gate, cost, label))
}

fn each(written: &Written, env: &Env, dialect: Dialect, scope: Scope<'_>) -> Option<Each> {
    let who = written.who.as_ref()?;
    let (rate, every, capacity) = (
        written.client_max_rate,
        written.every,
        written.client_capacity,
    );
    let (shards, cleanup) = (written.shards, written.cleanup);
    let name = format!(
        "{} {} {rate} {every:?} {capacity} {who:?}",
        scope.name, scope.at
    );
    if dialect == Dialect::Krakend {
        let filling = Filling::new(rate / every.as_secs_f64(), capacity);
        // KrakenD adds up to a quarter at random, so that not all are dropped at once.
        let span = every.as_nanos() as f64;
        let ttl = if span > KRAKEND_TTL {
            span * 1.25
        } else {
            KRAKEND_TTL
        } as u64;
        let rule = KrakendClients { filling, ttl };
        let make = || Callers::new(Table::new(rule, shards, MOST), cleanup);
        return Some(Each::Krakend(env.kept.get_or(&name, make)));
    }
    let rate = Rate::new(rate, every, capacity)?;
    let plan = Plan {
        rate: Some(rate),
        daily: None,
    };
    let size = Size { shards, cleanup };
    let share = scope.share(written.store.as_ref(), "each");
    let crowd = Crowd::kept(&env.kept, &name, plan, size, share);
    Some(Each::Native(
        crowd,
        plan.cost(1.0),
        Label::bucket("client", &rate),
    ))
}
