//! One limit of all callers together, and one of each caller: what stages ask. Each counts for this gateway, or for
//! several with a lease of what they share; this gateway's own count limits in either case.

use super::bucket::Bucket;
use super::callers::{CLEANUP, Callers, SHARDS};
use super::day::{self, Daily};
use super::plan::{Cost, Exhausted, Held, Plan, Seen, Span};
use super::rate::{self, Empty, Rate, Standing};
use super::shared::Back;
use super::shared::lease::{Lease, Next, Reply, Report, Terms, Then, Unused, View};
use super::shared::store::{Ask, Id, Leased, Store, Told};
use super::shown::Census;
use super::table::{Idle, MOST, Moment, Rule, Table};
use super::tally::Tally;
use crate::gateway::charge::{Charge, Refund, Taken};
use crate::gateway::kept::Kept;
use crate::gateway::task::Task;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

/// What the limits of several gateways go by in a store.
#[derive(Clone, Debug)]
pub struct Share {
    /// The store.
    pub store: Arc<Store>,
    /// The limit's name there: the same at every gateway.
    pub limit: String,
}

/// A limit of all callers together.
#[derive(Debug)]
pub struct Gate {
    bucket: Bucket,
    shared: Option<SharedGate>,
    tally: Tally,
}

#[derive(Debug)]
struct SharedGate {
    store: Arc<Store>,
    terms: Terms,
    id: Id,
    lease: Mutex<Lease>,
    me: OnceLock<Weak<Gate>>,
}

impl Gate {
    /// The gate of this name, or a full one. The name says all that it depends on but its store.
    pub fn kept(kept: &Kept, name: &str, rate: Rate, share: Option<Share>) -> Arc<Self> {
        let name = format!("{name}{}", place(share.as_ref()));
        let gate = kept.get_or(&name, || Self::new(rate, Moment::now(), share));
        if let Some(shared) = &gate.shared {
            shared.me.get_or_init(|| Arc::downgrade(&gate));
        }
        gate
    }

    fn new(rate: Rate, at: Moment, share: Option<Share>) -> Self {
        Self {
            bucket: Bucket::new(rate, at.ticks),
            tally: Tally::default(),
            shared: share.map(|share| SharedGate {
                terms: Terms::new(rate.burst(), rate.time_to_full()),
                id: Id::of(&share.limit, 0, b""),
                store: share.store,
                lease: Mutex::default(),
                me: OnceLock::new(),
            }),
        }
    }

    /// The work beside the requests.
    pub fn task(&self) -> Option<Arc<dyn Task>> {
        let shared = self.shared.as_ref()?;
        Some(Arc::clone(&shared.store) as Arc<dyn Task>)
    }

    /// What a request took, for the case that it is refused elsewhere.
    pub fn charge(self: &Arc<Self>, cost: Cost) -> Charge {
        Charge {
            of: Arc::clone(self) as Arc<dyn Refund>,
            key: 0,
            taken: cost.taken(),
        }
    }

    /// Its rate.
    pub const fn rate(&self) -> &Rate {
        self.bucket.rate()
    }

    /// What so many tokens are.
    pub fn cost(&self, tokens: f64) -> Cost {
        let rate = Some(*self.rate());
        Plan { rate, daily: None }.cost(tokens)
    }

    /// Takes the cost of a request.
    ///
    /// # Errors
    /// When it is not there.
    pub fn take(&self, at: Moment, cost: Cost) -> rate::Taken {
        let taken = self.taken(at, cost);
        self.tally.count(taken.is_ok());
        taken
    }

    fn taken(&self, at: Moment, cost: Cost) -> rate::Taken {
        let standing = self.bucket.take(at.ticks, cost.units)?;
        let Some(shared) = &self.shared else {
            return Ok(standing);
        };
        let mut lease = shared.lease();
        let (view, terms) = (shared.store.view(at.ticks), &shared.terms);
        let (taken, then) = lease.take(terms, cost.parts_i64(), None, at.ticks, view);
        let standing = both(standing, self.rate(), (&lease, terms), at, view);
        drop(lease);
        shared.follow(then, at);
        taken.map(|()| standing).map_err(|wait| {
            self.bucket.give_back(at.ticks, cost.units);
            Empty { standing, wait }
        })
    }

    /// Whether there is room for a request, taking nothing; where there is none it was refused.
    ///
    /// # Errors
    /// When the cost is not there.
    pub fn peek(&self, at: Moment, cost: Cost) -> rate::Taken {
        let may = self.may(at, cost);
        if may.is_err() {
            self.tally.count(false);
        }
        may
    }

    /// How it stands, for whoever only looks.
    pub fn standing(&self, at: Moment) -> Standing {
        let nothing = Cost { units: 0, parts: 0 };
        self.may(at, nothing).unwrap_or_else(|empty| empty.standing)
    }

    /// What became of its requests.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Where several gateways count together.
    pub fn store(&self) -> Option<&Arc<Store>> {
        self.shared.as_ref().map(|shared| &shared.store)
    }

    /// Its lease.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        if let Some(shared) = &self.shared {
            census.lease(shared.lease().balance());
        }
        census
    }

    fn may(&self, at: Moment, cost: Cost) -> rate::Taken {
        let standing = self.bucket.peek(at.ticks, cost.units)?;
        let Some(shared) = &self.shared else {
            return Ok(standing);
        };
        let (lease, view, terms) = (shared.lease(), shared.store.view(at.ticks), &shared.terms);
        let may = lease.may(terms, cost.parts_i64(), None, at.ticks, view);
        let standing = both(standing, self.rate(), (&lease, terms), at, view);
        may.map(|()| standing)
            .map_err(|wait| Empty { standing, wait })
    }
}

impl SharedGate {
    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, then: Then, at: Moment) {
        if matches!(then, Then::Report | Then::Urgent)
            && let Some(whose) = self.me.get().cloned()
        {
            let (key, id) = (0, self.id);
            self.store.ask(Ask { whose, key, id });
        }
        if matches!(then, Then::Hurry | Then::Urgent) {
            self.store.hurry(at.ticks);
        }
    }
}

impl Gate {
    fn told(&self, report: Report, at: Moment) -> Told {
        Told {
            spent: report.spent,
            missing: self.bucket.missing(at.ticks),
            ..told(Some(self.rate()), report)
        }
    }
}

impl Leased for Gate {
    fn report(&self, _: u64, at: Moment) -> Option<Told> {
        let shared = self.shared.as_ref()?;
        let report = shared.lease().report(&shared.terms, at.ticks);
        Some(self.told(report, at))
    }

    fn settle(&self, _: u64, at: Moment, sent: u64, told: &Told, reply: &Reply) -> Next {
        let Some(shared) = &self.shared else {
            return Next::default();
        };
        let (view, moments) = (shared.store.view(at.ticks), (sent, at.ticks));
        shared
            .lease()
            .settle(&shared.terms, &told.report, reply, moments, view)
    }

    fn unused(&self, _: u64, at: Moment) -> Back {
        let unused = |shared: &SharedGate| shared.lease().unused(&shared.terms, at.ticks);
        let unused = self.shared.as_ref().map(unused);
        match unused.unwrap_or(Unused::Nothing) {
            Unused::Nothing => Back::Nothing,
            Unused::Busy => Back::Busy,
            Unused::Back(report) => Back::Told(self.told(report, at)),
        }
    }

    fn failed(&self, _: u64, at: Moment) {
        if let Some(shared) = &self.shared {
            shared.lease().failed(at.ticks);
        }
    }
}

/// What of a store state depends on.
fn place(share: Option<&Share>) -> String {
    share.map_or_else(String::new, |share| {
        format!(" at {} {}", share.store.mark(), share.limit)
    })
}

/// What the store is told, but for days and what is missing here.
fn told(rate: Option<&Rate>, report: Report) -> Told {
    let step = |rate: &Rate| rate.time_to_full() as f64 * 1e3 / rate.burst() as f64;
    Told {
        // Saturates: a token in three months is the slowest that is shared.
        step: rate.map_or(0, |rate| step(rate).min(9e18) as u64),
        burst: rate.map_or(0, Rate::burst),
        report,
        ..Told::default()
    }
}

impl Refund for Gate {
    fn give_back(&self, _: u64, taken: Taken) {
        self.tally.returned();
        self.bucket.give_back(Moment::now().ticks, taken.units);
        if let Some(shared) = &self.shared {
            let parts = Cost::of(taken).parts_i64();
            let now = Moment::now().ticks;
            shared.lease().give_back(&shared.terms, parts, now);
        }
    }
}

impl Refund for Callers<Plan> {
    fn give_back(&self, key: u64, taken: Taken) {
        self.tally.returned();
        let (at, cost) = (Moment::now(), Cost::of(taken));
        self.table
            .known(key, |plan, held| plan.give_back(held, at, cost));
    }
}

impl Refund for SharedCrowd {
    fn give_back(&self, key: u64, taken: Taken) {
        self.callers.tally.returned();
        let (at, cost) = (Moment::now(), Cost::of(taken));
        let table = &self.callers.table;
        table.known(key, |SharedPlan(plan), (held, lease)| {
            plan.give_back(held, at, cost);
            lease.give_back(&self.terms, cost.parts_i64(), at.ticks);
        });
    }
}

/// The tighter of what is known here and what the store said.
fn both(
    own: Standing,
    rate: &Rate,
    (lease, terms): (&Lease, &Terms),
    at: Moment,
    view: View,
) -> Standing {
    match lease.left(terms, at.ticks) {
        Some(left) if view.peers > 0 && left < own.remaining => {
            let (full, burst) = (rate.time_to_full(), rate.burst());
            let missing = u128::from(burst - left.min(burst)) * u128::from(full);
            let reset = missing / u128::from(burst.max(1));
            Standing {
                remaining: left,
                reset: u64::try_from(reset).unwrap_or(u64::MAX),
                ..own
            }
        }
        _ => own,
    }
}

/// A limit of each caller.
#[derive(Clone, Debug)]
pub enum Crowd {
    /// For this gateway.
    Own(Arc<Callers<Plan>>),
    /// For several.
    Shared(Arc<SharedCrowd>),
}

/// Callers of several gateways.
#[derive(Debug)]
pub struct SharedCrowd {
    callers: Arc<Callers<SharedPlan>>,
    terms: Terms,
    share: Share,
    me: OnceLock<Weak<SharedCrowd>>,
}

/// A plan whose callers have leases.
#[derive(Clone, Copy, Debug)]
pub struct SharedPlan(pub Plan);

impl Rule for SharedPlan {
    type State = (Held, Lease);

    fn fresh(&self, at: Moment) -> Self::State {
        (self.0.full(at), Lease::default())
    }

    fn idle(&self, (held, lease): &Self::State, at: Moment) -> Idle {
        if lease.is_settled() {
            self.0.idle(held, at)
        } else {
            Idle::Not
        }
    }
}

impl SharedCrowd {
    fn new(plan: Plan, size: Size, share: Share) -> Self {
        let table = Table::new(SharedPlan(plan), size.shards, MOST);
        let terms = match (&plan.rate, &plan.daily) {
            (Some(rate), _) => Terms::new(rate.burst(), rate.time_to_full()),
            (None, daily) => Terms::of_day(daily.map_or(0, |daily| daily.limit())),
        };
        Self {
            callers: Arc::new(Callers::new(table, size.cleanup)),
            terms,
            share,
            me: OnceLock::new(),
        }
    }

    fn take(
        &self,
        key: u64,
        (kind, caller): (u8, &[u8]),
        at: Moment,
        cost: Cost,
    ) -> Result<Option<Seen>, Exhausted> {
        let view = self.share.store.view(at.ticks);
        let table = &self.callers.table;
        let (taken, then) = table.with(key, at, |SharedPlan(plan), (held, lease)| {
            let mut seen = match plan.take(held, at, cost) {
                Ok(seen) => seen,
                Err(exhausted) => return (Err(exhausted), Then::Nothing),
            };
            let parts = cost.parts_i64();
            let day = plan.daily.as_ref().map(|daily| {
                let left = daily.left(held.daily, at.wall);
                // Before this request, and all that the store was not told of yet.
                left.saturating_add(parts).saturating_add(lease.untold())
            });
            let (taken, then) = lease.take(&self.terms, parts, day, at.ticks, view);
            if let (Some(seen), Some(rate)) = (&mut seen, &plan.rate)
                && seen.span == Span::Rate
            {
                seen.standing = both(seen.standing, rate, (lease, &self.terms), at, view);
            }
            let taken = taken.map(|()| seen).map_err(|wait| {
                plan.give_back(held, at, cost);
                beyond(plan, held, at, wait)
            });
            (taken, then)
        });
        if matches!(then, Then::Report | Then::Urgent)
            && let Some(whose) = self.me.get().cloned()
        {
            let id = Id::of(&self.share.limit, kind, caller);
            self.share.store.ask(Ask { whose, key, id });
        }
        if matches!(then, Then::Hurry | Then::Urgent) {
            self.share.store.hurry(at.ticks);
        }
        taken
    }

    fn peek(&self, (kind, caller): (u8, &[u8]), at: Moment) -> Option<Seen> {
        let (table, view) = (&self.callers.table, self.share.store.view(at.ticks));
        let key = table.key(kind, caller);
        let known = table.known(key, |SharedPlan(plan), (held, lease)| {
            let mut seen = plan.peek(held, at)?;
            if let (Span::Rate, Some(rate)) = (seen.span, &plan.rate) {
                seen.standing = both(seen.standing, rate, (lease, &self.terms), at, view);
            }
            Some(seen)
        });
        known.unwrap_or_else(|| {
            let SharedPlan(plan) = table.rule();
            plan.peek(&plan.full(at), at)
        })
    }

    fn told(&self, held: &Held, report: Report, at: Moment) -> Told {
        let plan = &self.callers.table.rule().0;
        let used = Daily::used(held.daily, at.wall);
        // What was taken yesterday and never told is none of today's.
        let used = i64::try_from(used).unwrap_or(i64::MAX);
        let spent = report.spent.min(used);
        let missing = |rate: &Rate| rate.missing(held.rate, at.ticks);
        Told {
            day: day::day(at.wall),
            daily: plan.daily.map_or(0, |daily| Daily::whole(daily.limit())),
            spent: if plan.daily.is_some() {
                spent
            } else {
                report.spent
            },
            known: u64::try_from(used.saturating_sub(spent)).unwrap_or(0),
            missing: plan.rate.as_ref().map_or(0, missing),
            ..told(plan.rate.as_ref(), report)
        }
    }
}

/// How a plan stands that has what is asked, when the store may not.
fn beyond(plan: &Plan, held: &Held, at: Moment, wait: u64) -> Exhausted {
    let (span, standing) = match (&plan.rate, &plan.daily) {
        (None, Some(daily)) => (Span::Day, daily.peek(held.daily, at.wall)),
        (rate, _) => {
            let peek = |rate: &Rate| rate.peek(held.rate, at.ticks);
            (Span::Rate, rate.as_ref().map(peek).unwrap_or_default())
        }
    };
    let standing = Standing {
        remaining: 0,
        reset: wait,
        ..standing
    };
    let seen = Seen { span, standing };
    Exhausted { seen, wait }
}

impl Leased for SharedCrowd {
    fn report(&self, key: u64, at: Moment) -> Option<Told> {
        let state = self.callers.table.known(key, |_, state| *state);
        let (held, lease) = state?;
        Some(self.told(&held, lease.report(&self.terms, at.ticks), at))
    }

    fn settle(&self, key: u64, at: Moment, sent: u64, told: &Told, reply: &Reply) -> Next {
        let view = self.share.store.view(at.ticks);
        let (terms, moments) = (&self.terms, (sent, at.ticks));
        let table = &self.callers.table;
        let settled = table.known(key, |SharedPlan(plan), (held, lease)| {
            let next = lease.settle(terms, &told.report, reply, moments, view);
            if plan.daily.is_some() && told.day == day::day(at.wall) && reply.used >= 0 {
                let used = u64::try_from(reply.used.saturating_add(lease.untold())).unwrap_or(0);
                held.daily = Daily::learn(held.daily, at.wall, used);
            }
            next
        });
        settled.unwrap_or_default()
    }

    fn unused(&self, key: u64, at: Moment) -> Back {
        let table = &self.callers.table;
        let found = table.known(key, |_, (held, lease)| {
            (*held, lease.unused(&self.terms, at.ticks))
        });
        match found {
            None | Some((_, Unused::Nothing)) => Back::Nothing,
            Some((_, Unused::Busy)) => Back::Busy,
            Some((held, Unused::Back(report))) => Back::Told(self.told(&held, report, at)),
        }
    }

    fn failed(&self, key: u64, at: Moment) {
        let table = &self.callers.table;
        table.known(key, |_, (_, lease)| lease.failed(at.ticks));
    }
}

/// How a table of callers is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// How many locks it has.
    pub shards: usize,
    /// How often idle callers are forgotten.
    pub cleanup: Duration,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            shards: SHARDS,
            cleanup: CLEANUP,
        }
    }
}

impl Crowd {
    /// The callers of this name, or nobody yet. The name says all that they depend on but their store. Their table is
    /// kept as it was made first: another size of it is no reason to give callers anew what they have used.
    pub fn kept(kept: &Kept, name: &str, plan: Plan, size: Size, share: Option<Share>) -> Self {
        let name = format!("{name}{}", place(share.as_ref()));
        let Some(share) = share else {
            let make = || Callers::new(Table::new(plan, size.shards, MOST), size.cleanup);
            return Self::Own(kept.get_or(&name, make));
        };
        let crowd = kept.get_or(&name, || SharedCrowd::new(plan, size, share));
        crowd.me.get_or_init(|| Arc::downgrade(&crowd));
        Self::Shared(crowd)
    }

    /// What a caller may use.
    pub fn plan(&self) -> &Plan {
        match self {
            Self::Own(callers) => callers.table.rule(),
            Self::Shared(crowd) => &crowd.callers.table.rule().0,
        }
    }

    /// Takes the cost of a request from the share of a caller of this kind. Also gives its key.
    pub fn take(
        &self,
        kind: u8,
        caller: &[u8],
        at: Moment,
        cost: Cost,
    ) -> (u64, Result<Option<Seen>, Exhausted>) {
        let (key, taken) = match self {
            Self::Own(callers) => {
                let key = callers.table.key(kind, caller);
                let take = |plan: &Plan, held: &mut Held| plan.take(held, at, cost);
                (key, callers.table.with(key, at, take))
            }
            Self::Shared(crowd) => {
                let key = crowd.callers.table.key(kind, caller);
                (key, crowd.take(key, (kind, caller), at, cost))
            }
        };
        self.tally().count(taken.is_ok());
        (key, taken)
    }

    /// How a caller of this kind stands, taking nothing and remembering nobody.
    pub fn peek(&self, kind: u8, caller: &[u8], at: Moment) -> Option<Seen> {
        match self {
            Self::Own(callers) => {
                let table = &callers.table;
                let known = table.known(table.key(kind, caller), |plan, held| plan.peek(held, at));
                known.unwrap_or_else(|| {
                    let plan = table.rule();
                    plan.peek(&plan.full(at), at)
                })
            }
            Self::Shared(crowd) => crowd.peek((kind, caller), at),
        }
    }

    /// What became of their requests.
    pub fn tally(&self) -> &Tally {
        match self {
            Self::Own(callers) => &callers.tally,
            Self::Shared(crowd) => &crowd.callers.tally,
        }
    }

    /// Where several gateways count together.
    pub fn store(&self) -> Option<&Arc<Store>> {
        match self {
            Self::Own(_) => None,
            Self::Shared(crowd) => Some(&crowd.share.store),
        }
    }

    /// All callers at a moment.
    pub fn census(&self, at: Moment) -> Census {
        let mut census = Census::default();
        match self {
            Self::Own(callers) => {
                let table = &callers.table;
                table.each(|plan, held| census.add(plan, held, at));
            }
            Self::Shared(crowd) => {
                let table = &crowd.callers.table;
                table.each(|SharedPlan(plan), (held, lease)| {
                    census.add(plan, held, at);
                    census.lease(lease.balance());
                });
            }
        }
        census
    }

    /// Puts back what a request took that was then refused elsewhere.
    pub fn give_back(&self, key: u64, cost: Cost) {
        match self {
            Self::Own(callers) => callers.give_back(key, cost.taken()),
            Self::Shared(crowd) => crowd.give_back(key, cost.taken()),
        }
    }

    /// What a request took, for the case that it is refused elsewhere.
    pub fn charge(&self, key: u64, cost: Cost) -> Charge {
        let of: Arc<dyn Refund> = match self {
            Self::Own(callers) => Arc::clone(callers) as Arc<dyn Refund>,
            Self::Shared(crowd) => Arc::clone(crowd) as Arc<dyn Refund>,
        };
        let taken = cost.taken();
        Charge { of, key, taken }
    }

    /// The work beside the requests.
    pub fn tasks(&self) -> Vec<Arc<dyn Task>> {
        match self {
            Self::Own(callers) => vec![Arc::clone(callers) as Arc<dyn Task>],
            Self::Shared(crowd) => vec![
                Arc::clone(&crowd.callers) as Arc<dyn Task>,
                Arc::clone(&crowd.share.store) as Arc<dyn Task>,
            ],
        }
    }
}
