//! What a caller may use: so many a minute with a burst, and so many a day. Both or nothing is taken.

use super::day::Daily;
use super::krakend::{Filling, Level};
use super::rate::{Rate, Standing};
use super::table::{Idle, Moment, Rule};
use crate::gateway::charge::Taken;
use crate::gateway::rate_fields::is_tighter;

/// A plan: either limit may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The bucket and how it fills.
    pub rate: Option<Rate>,
    /// The day's allowance.
    pub daily: Option<Daily>,
}

/// What is kept of a caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The bucket's state.
    pub rate: u64,
    /// The day's.
    pub daily: u64,
}

/// Which of the two limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The bucket.
    Rate,
    /// The day.
    Day,
}

/// How the limit stands that has the least left, relative to its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which.
    pub span: Span,
    /// How it stands.
    pub standing: Standing,
}

/// A plan that has not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// The limit that it fails at; the day where both do.
    pub seen: Seen,
    /// Nanoseconds until it makes sense to ask again.
    pub wait: u64,
}

/// What one request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Of the bucket, in its units.
    pub units: u64,
    /// Of the day, in thousandths.
    pub parts: u64,
}

impl Cost {
    /// The same as what is to be put back.
    pub const fn taken(self) -> Taken {
        Taken {
            units: self.units,
            parts: self.parts,
        }
    }

    /// What was taken as a cost.
    pub const fn of(taken: Taken) -> Self {
        Self {
            units: taken.units,
            parts: taken.parts,
        }
    }

    /// The parts with a sign, for balances.
    pub fn parts_i64(self) -> i64 {
        i64::try_from(self.parts).unwrap_or(i64::MAX)
    }
}

impl Plan {
    /// What so many tokens are for this plan.
    pub fn cost(&self, tokens: f64) -> Cost {
        Cost {
            units: self.rate.map_or(0, |rate| rate.units(tokens)),
            parts: Daily::parts(tokens),
        }
    }

    /// A caller that was never seen.
    pub fn full(&self, at: Moment) -> Held {
        Held {
            rate: self.rate.map_or(0, |rate| rate.full(at.ticks)),
            daily: 0,
        }
    }

    /// Takes the cost of a request from both, if both have it.
    ///
    /// # Errors
    /// When one has not. Nothing is taken.
    pub fn take(&self, held: &mut Held, at: Moment, cost: Cost) -> Result<Option<Seen>, Exhausted> {
        let mut next = *held;
        let mut seen = None;
        if let Some(daily) = &self.daily {
            let (state, standing) = daily
                .take(held.daily, at.wall, cost.parts)
                .map_err(|used| exhausted(Span::Day, used.standing, used.wait))?;
            next.daily = state;
            seen = Some(Seen {
                span: Span::Day,
                standing,
            });
        }
        if let Some(rate) = &self.rate {
            let (state, standing) = rate
                .take(held.rate, at.ticks, cost.units)
                .map_err(|empty| exhausted(Span::Rate, empty.standing, empty.wait))?;
            next.rate = state;
            let own = Seen {
                span: Span::Rate,
                standing,
            };
            seen = Some(tighter(own, seen));
        }
        *held = next;
        Ok(seen)
    }

    /// How it stands, taking nothing; `None` where there is no limit.
    pub fn peek(&self, held: &Held, at: Moment) -> Option<Seen> {
        let day = self.daily.as_ref().map(|daily| Seen {
            span: Span::Day,
            standing: daily.peek(held.daily, at.wall),
        });
        let Some(rate) = &self.rate else { return day };
        let own = Seen {
            span: Span::Rate,
            standing: rate.peek(held.rate, at.ticks),
        };
        Some(tighter(own, day))
    }

    /// Puts back what a request took that was then refused elsewhere.
    pub fn give_back(&self, held: &mut Held, at: Moment, cost: Cost) {
        if let Some(rate) = &self.rate {
            held.rate = rate.give_back(held.rate, at.ticks, cost.units);
        }
        if let Some(daily) = &self.daily {
            held.daily = daily.give_back(held.daily, at.wall, cost.parts);
        }
    }
}

impl Rule for Plan {
    type State = Held;

    fn fresh(&self, at: Moment) -> Held {
        self.full(at)
    }

    fn idle(&self, held: &Held, at: Moment) -> Idle {
        let full = |rate: &Rate| rate.is_full(held.rate, at.ticks);
        if !self.rate.as_ref().is_none_or(full) {
            return Idle::Not;
        }
        let used = self.daily.map_or(0, |_| Daily::used(held.daily, at.wall));
        match used {
            0 => Idle::Fresh,
            used => Idle::Costs(used),
        }
    }
}

/// The one that has less left, relative to its size; the first where they are equal.
pub fn tighter(one: Seen, other: Option<Seen>) -> Seen {
    match other {
        Some(other) if is_tighter(&other.standing, &one.standing) => other,
        _ => one,
    }
}

const fn exhausted(span: Span, standing: Standing, wait: u64) -> Exhausted {
    let seen = Seen { span, standing };
    Exhausted { seen, wait }
}

/// KrakenD's clients of one endpoint: its bucket, dropped when it was not asked for a while, which fills it.
#[derive(Clone, Copy, Debug)]
pub struct KrakendClients {
    /// The bucket.
    pub filling: Filling,
    /// Nanoseconds after which an unused one is dropped.
    pub ttl: u64,
}

/// What is kept of such a client.
#[derive(Clone, Copy, Debug)]
pub struct KrakendClient {
    level: Level,
    seen: u64,
}

impl KrakendClients {
    /// Takes a token of a client's.
    pub fn allow(&self, client: &mut KrakendClient, at: Moment) -> bool {
        client.seen = at.ticks;
        self.filling.allow(&mut client.level, at.ticks)
    }
}

impl Rule for KrakendClients {
    type State = KrakendClient;

    fn fresh(&self, at: Moment) -> KrakendClient {
        KrakendClient {
            level: self.filling.full(at.ticks),
            seen: at.ticks,
        }
    }

    fn idle(&self, client: &KrakendClient, at: Moment) -> Idle {
        if at.ticks.saturating_sub(client.seen) > self.ttl {
            Idle::Fresh
        } else {
            Idle::Not
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Table;
    use super::*;
    use std::time::Duration;

    const MINUTE: Duration = Duration::from_secs(60);

    fn plan(per_minute: f64, burst: u64, per_day: u64) -> Plan {
        Plan {
            rate: Rate::new(per_minute, MINUTE, burst),
            daily: Daily::new(per_day),
        }
    }

    fn noon() -> Moment {
        Moment {
            ticks: 1_000,
            wall: Duration::from_secs(86_400 * 20_000 + 43_200),
        }
    }

    #[test]
    fn the_limit_that_has_least_left_is_told() {
        let plan = plan(60.0, 10, 12);
        let (mut held, cost) = (plan.full(noon()), plan.cost(1.0));
        let first = plan.take(&mut held, noon(), cost).unwrap().unwrap();
        assert_eq!((first.span, first.standing.remaining), (Span::Rate, 9));
        for _ in 0..9 {
            plan.take(&mut held, noon(), cost).unwrap();
        }
        let later = noon().after(Duration::from_secs(10));
        let seen = plan.take(&mut held, later, cost).unwrap().unwrap();
        assert_eq!((seen.span, seen.standing.remaining), (Span::Day, 1));
        assert_eq!(seen.standing.reset, 43_190_000_000_000);
    }

    #[test]
    fn what_one_limit_refuses_costs_nothing_at_the_other() {
        let plan = plan(60.0, 2, 100);
        let (mut held, cost) = (plan.full(noon()), plan.cost(1.0));
        for _ in 0..2 {
            plan.take(&mut held, noon(), cost).unwrap();
        }
        let before = held;
        for _ in 0..50 {
            let refused = plan.take(&mut held, noon(), cost).unwrap_err();
            assert_eq!(refused.seen.span, Span::Rate);
        }
        assert_eq!(held, before);
    }

    #[test]
    fn a_used_day_is_told_before_an_empty_bucket() {
        let plan = plan(60.0, 2, 2);
        let (mut held, cost) = (plan.full(noon()), plan.cost(1.0));
        for _ in 0..2 {
            plan.take(&mut held, noon(), cost).unwrap();
        }
        let refused = plan.take(&mut held, noon(), cost).unwrap_err();
        assert_eq!(refused.seen.span, Span::Day);
        assert_eq!(refused.wait, 43_200_000_000_000);
    }

    #[test]
    fn a_plan_without_limits_says_nothing() {
        let plan = Plan::default();
        let mut held = plan.full(noon());
        let cost = plan.cost(5.0);
        assert_eq!(plan.take(&mut held, noon(), cost), Ok(None));
    }

    #[test]
    fn a_refund_leaves_no_trace() {
        let plan = plan(60.0, 5, 5);
        let fresh = plan.full(noon());
        let (mut held, cost) = (fresh, plan.cost(1.5));
        plan.take(&mut held, noon(), cost).unwrap();
        plan.give_back(&mut held, noon(), cost);
        assert_eq!(plan.idle(&held, noon()), Idle::Fresh);
        assert_eq!(held.rate, fresh.rate);
    }

    #[test]
    fn forgetting_idle_callers_gives_nobody_more() {
        let plan = plan(60.0, 3, 1_000_000);
        let table = Table::new(plan, 1, 50);
        let (cost, mut random) = (plan.cost(1.0), fastrand::Rng::with_seed(9));
        let mut passed = 0_u64;
        let (victim, span) = (table.key(1, b"victim"), 2_000);
        for second in 0..span {
            let at = noon().after(Duration::from_secs(second));
            // Strangers fill the table again and again.
            for _ in 0..200 {
                let key = table.key(2, &random.u64(..).to_le_bytes());
                let _ = table.with(key, at, |plan, held| plan.take(held, at, cost));
            }
            for _ in 0..4 {
                let taken = table.with(victim, at, |plan, held| plan.take(held, at, cost));
                passed += u64::from(taken.is_ok());
            }
        }
        assert!(passed < 3 + span, "{passed}");
        assert!(table.len() < 128);
    }

    #[test]
    fn an_active_client_of_krakends_keeps_its_bucket_and_an_idle_one_is_dropped() {
        let filling = Filling::new(1.0 / 3600.0, 1);
        let ttl = 600_000_000_000;
        let table = Table::new(KrakendClients { filling, ttl }, 1, 50);
        let key = table.key(1, b"a");
        let ask = |at| table.with(key, at, |rule, client| rule.allow(client, at));
        assert!(ask(noon()));
        for minute in 1..20 {
            let at = noon().after(MINUTE * minute);
            (0..table.shards()).for_each(|shard| table.sweep(shard, at));
            assert!(!ask(at));
        }
        let later = noon().after(MINUTE * 30);
        (0..table.shards()).for_each(|shard| table.sweep(shard, later));
        assert!(ask(later));
    }
}
