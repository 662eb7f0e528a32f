//! Choosing one of several hosts, without a lock and without memory from the allocator.
//!
//! As in KrakenD where a file says nothing else: a random pick per call, or one after the other from a random start
//! where the process has one processor; a host listed twice counts twice. Different: weights, the host with fewer
//! calls under way, hosts by a key; hosts that probes or calls found bad are passed over, and come back slowly. When
//! none is left all of them are tried, unless the file says otherwise: a wrong alarm must not become an outage.

pub mod regions;
mod rule;
pub mod seat;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub use regions::{Regions, Thresholds};
pub use rule::{hash, wish};
pub use seat::{Moment, Outliers, Roster, Standing, Use};

use super::url::Target;
use crate::base::clock;

/// The rule of choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Any, each time anew.
    Random,
    /// One after the other.
    RoundRobin,
    /// Of two that are drawn the one with fewer calls under way for its weight.
    LeastRequests,
    /// The one that the key of the request belongs to (rendezvous hashing).
    Hash,
}

impl Balance {
    /// What KrakenD would use on this machine.
    pub fn for_this_machine() -> Self {
        match std::thread::available_parallelism() {
            Ok(n) if n.get() > 1 => Self::Random,
            _ => Self::RoundRobin,
        }
    }
}

/// How a pool is balanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// The rule.
    pub rule: Balance,
    /// When no host is good: whether all are tried, or none.
    pub try_all: bool,
    /// Over how long a host that is back gets its share again.
    pub slow_start: Duration,
}

impl PoolOptions {
    /// A rule and nothing else.
    pub const fn of(rule: Balance) -> Self {
        Self {
            rule,
            try_all: true,
            slow_start: Duration::ZERO,
        }
    }
}

/// One host of a pool.
#[derive(Debug)]
pub struct Seat {
    target: Target,
    origin: Box<str>,
    weight: u32,
    hash: u64,
    standing: Arc<Standing>,
    roster: Arc<Roster>,
}

/// A list of hosts and a rule.
#[derive(Debug)]
pub struct Pool {
    seats: Box<[Arc<Seat>]>,
    /// Indexes of seats in the order of their turns.
    order: Box<[u32]>,
    options: PoolOptions,
    next: AtomicUsize,
    /// What the first of its hosts is among those that a request remembers: pools of regions share them.
    base: usize,
}

/// Which hosts a request has met already, as bits; those beyond the 64th are not remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    hosts: u64,
    picks: u32,
    /// The place of the region of the last one.
    region: u32,
}

impl Tried {
    fn has(self, at: usize) -> bool {
        at < 64 && self.hosts & 1 << at != 0
    }

    fn mark(&mut self, at: usize) {
        if at < 64 {
            self.hosts |= 1 << at;
        }
    }

    fn add(&mut self, at: usize, region: usize) {
        self.mark(at);
        self.picks = self.picks.saturating_add(1);
        self.region = u32::try_from(region).unwrap_or(u32::MAX);
    }

    /// How often a host was picked.
    pub const fn count(self) -> u32 {
        self.picks
    }
}

/// A host that was picked for one call; given back when dropped.
#[derive(Debug)]
pub struct Lent {
    seat: Arc<Seat>,
    at: usize,
    counted: bool,
    region: usize,
    /// The region that it is counted in, where there is a bound on those.
    place: Option<Arc<regions::Place>>,
}

impl Pool {
    /// A pool of hosts, each with its weight; those of one origin are one host whose weights add up. An empty list
    /// picks nothing. With equal weights the turns are those of the list.
    pub fn new(hosts: Vec<(Target, u32)>, options: PoolOptions, roster: &Arc<Roster>) -> Self {
        Self::group(hosts, options, (roster, 0), 0)
    }

    /// The same as one group of a roster; `base` hosts stand in the groups before it.
    fn group(
        hosts: Vec<(Target, u32)>,
        options: PoolOptions,
        (roster, group): (&Arc<Roster>, usize),
        base: usize,
    ) -> Self {
        let mut distinct: Vec<(Target, Box<str>, u32)> = Vec::new();
        let mut turns = Vec::with_capacity(hosts.len());
        let first = hosts.first().map(|(_, weight)| *weight);
        let even = hosts.iter().all(|(_, weight)| Some(*weight) == first);
        for (target, weight) in hosts {
            let origin = target.url("");
            let known = distinct.iter().position(|(_, own, _)| **own == *origin);
            let at = known.unwrap_or_else(|| {
                distinct.push((target, origin.into(), 0));
                distinct.len() - 1
            });
            if let Some((_, _, sum)) = distinct.get_mut(at) {
                *sum = sum.saturating_add(weight);
            }
            turns.push(u32::try_from(at).unwrap_or(u32::MAX));
        }
        let weights: Vec<u32> = distinct.iter().map(|(_, _, weight)| *weight).collect();
        let standings = roster.enroll(group, distinct.iter().map(|(_, origin, _)| &**origin));
        let seats = distinct.into_iter().zip(standings);
        let seats = seats.map(|((target, origin, weight), standing)| {
            Arc::new(Seat {
                hash: hash(origin.as_bytes()),
                roster: Arc::clone(roster),
                target,
                origin,
                weight,
                standing,
            })
        });
        Self {
            seats: seats.collect(),
            order: if even {
                turns.into()
            } else {
                rule::interleaved(&weights)
            },
            options,
            next: AtomicUsize::new(fastrand::usize(..)),
            base,
        }
    }

    /// A pool by a rule alone, with a memory of its own.
    pub fn plain(targets: Vec<Target>, rule: Balance) -> Self {
        let hosts = targets.into_iter().map(|target| (target, 1)).collect();
        let roster = Arc::new(Roster::new(Outliers::OFF));
        Self::new(hosts, PoolOptions::of(rule), &roster)
    }

    /// A host for a call: by the key where the rule asks for one, and none of those that were tried as long as there
    /// are others. `None` when there is none.
    pub fn pick(&self, key: u64, tried: &mut Tried) -> Option<Lent> {
        let at = match &*self.seats {
            [] => return None,
            [only] if self.options.try_all || only.usable(self.options.slow_start) != Use::Not => 0,
            [_] => return None,
            _ => self.choose(key, *tried)?,
        };
        self.lend(at, 0, tried)
    }

    /// Lends a host of this place.
    fn lend(&self, at: usize, region: usize, tried: &mut Tried) -> Option<Lent> {
        let seat = Arc::clone(self.seats.get(at)?);
        tried.add(self.base + at, region);
        let counted = self.options.rule == Balance::LeastRequests;
        if counted {
            seat.standing.begun();
        }
        Some(Lent {
            seat,
            at,
            counted,
            region,
            place: None,
        })
    }

    fn choose(&self, key: u64, tried: Tried) -> Option<usize> {
        self.good(key, tried).or_else(|| self.any(key, tried))
    }

    /// A host that works and was not tried, by the rule; else one that is warming.
    fn good(&self, key: u64, tried: Tried) -> Option<usize> {
        let fresh = |at: usize| !self.met(tried, at) && self.usable(at) != Use::Not;
        let good = match (&*self.seats, self.options.rule) {
            ([], _) => return None,
            ([_], _) => return fresh(0).then_some(0),
            (_, Balance::RoundRobin) => {
                self.by_turns(tried, || self.next.fetch_add(1, Ordering::Relaxed))
            }
            (_, Balance::Random) => self.by_turns(tried, || fastrand::usize(..)),
            (_, Balance::LeastRequests) => self.less_busy(tried),
            (_, Balance::Hash) => self.by_key(key, fresh),
        };
        good.or_else(|| self.scan(fresh))
    }

    /// A host that does not work and was not tried, as far as those may be; else one that was.
    fn any(&self, key: u64, tried: Tried) -> Option<usize> {
        let fresh = |at: usize| self.options.try_all && !self.met(tried, at);
        match self.options.rule {
            Balance::Hash => self.by_key(key, fresh),
            _ => self.scan(fresh),
        }
        .or_else(|| self.scan(|at| self.options.try_all || self.usable(at) != Use::Not))
    }

    /// The first host that is accepted, from a random start.
    fn scan(&self, accept: impl Fn(usize) -> bool) -> Option<usize> {
        let start = fastrand::usize(..self.order.len().max(1));
        let turns = self.order.iter().cycle().skip(start).take(self.order.len());
        turns.map(|at| *at as usize).find(|at| accept(*at))
    }

    fn met(&self, tried: Tried, at: usize) -> bool {
        tried.has(self.base + at)
    }

    fn usable(&self, at: usize) -> Use {
        let seat = self.seats.get(at);
        seat.map_or(Use::Not, |seat| seat.usable(self.options.slow_start))
    }

    /// Whether a host takes a call that is meant for it: one that has just come back does not take all.
    fn takes(&self, at: usize) -> bool {
        match self.usable(at) {
            Use::Full => true,
            Use::Partly(share) => fastrand::f32() < share,
            Use::Not => false,
        }
    }

    fn turn(&self, number: usize) -> Option<usize> {
        let at = number.checked_rem(self.order.len())?;
        self.order.get(at).map(|at| *at as usize)
    }

    /// Turn after turn until a host takes the call, so that what a bad host would get goes to all others alike.
    fn by_turns(&self, tried: Tried, number: impl Fn() -> usize) -> Option<usize> {
        // Bounded: where most are out the scan behind it finds the others.
        let turns = self.order.len().min(16);
        (0..turns)
            .filter_map(|_| self.turn(number()))
            .find(|at| !self.met(tried, *at) && self.takes(*at))
    }

    fn less_busy(&self, tried: Tried) -> Option<usize> {
        let one = self.by_turns(tried, || fastrand::usize(..))?;
        let mut others = tried;
        others.mark(self.base + one);
        // Among few hosts chance may find the same one again and again; then any other will do.
        let other = self
            .by_turns(others, || fastrand::usize(..))
            .or_else(|| self.scan(|at| !self.met(others, at) && self.takes(at)));
        let busy = |at: usize| {
            let seat = self.seats.get(at);
            seat.map_or(f32::MAX, |seat| {
                (seat.standing.in_flight() + 1) as f32 / seat.weight.max(1) as f32
            })
        };
        let other = other.filter(|other| busy(*other) < busy(one));
        Some(other.unwrap_or(one))
    }

    fn by_key(&self, key: u64, accept: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best = None;
        // A host without a share gets nothing, as by every other rule; hosts that all have none are alike.
        let any = self.seats.iter().any(|seat| seat.weight > 0);
        for (at, seat) in self.seats.iter().enumerate() {
            if any && seat.weight == 0 {
                continue;
            }
            let wish = rule::wish(key, seat.hash, seat.weight);
            if best.is_none_or(|(_, most)| wish > most) && accept(at) {
                best = Some((at, wish));
            }
        }
        best.map(|(at, _)| at)
    }

    /// Every host once, in the order given.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.seats.iter().map(|seat| &seat.target)
    }

    /// Every host once, with what is known of it.
    pub fn seats(&self) -> &[Arc<Seat>] {
        &self.seats
    }

    /// The rule.
    pub fn rule(&self) -> Balance {
        self.options.rule
    }
}

impl Seat {
    /// Where it is.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Its share.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// What is known of it.
    pub fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    fn usable(&self, slow_start: Duration) -> Use {
        self.standing.usable(slow_start, clock::moment)
    }
}

impl Lent {
    /// The host answered as one that works.
    pub fn good(&self) {
        self.seat.roster.good(&self.seat.standing, clock::moment);
    }

    /// The call failed, or was answered with a 5xx.
    pub fn bad(&self) {
        let seat = &self.seat;
        if let Some(span) = seat.roster.bad(&seat.standing, clock::moment()) {
            let seconds = span.as_secs_f64();
            log::warn!(host = &*seat.origin, seconds; "host fails again and again and is left out");
        }
    }

    /// The host of the pool.
    pub fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }

    /// Its place in the pool.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The place of its region in the order of those, the first one without any.
    pub fn region(&self) -> usize {
        self.region
    }
}

impl std::ops::Deref for Lent {
    type Target = Target;

    fn deref(&self) -> &Target {
        &self.seat.target
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.counted {
            self.seat.standing.over();
        }
        if let Some(place) = &self.place {
            place.left();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Resolver;
    use std::collections::HashMap;

    fn target(name: &str) -> Target {
        Target::parse(&format!("http://{name}"), &Resolver::new()).unwrap()
    }

    fn pool(hosts: &[(&str, u32)], rule: Balance) -> Pool {
        let hosts = hosts.iter().map(|(name, weight)| (target(name), *weight));
        let roster = Arc::new(Roster::new(Outliers::default()));
        Pool::new(hosts.collect(), PoolOptions::of(rule), &roster)
    }

    fn name(lent: &Lent) -> String {
        lent.authority().host.clone()
    }

    fn one(pool: &Pool) -> String {
        name(&pool.pick(fastrand::u64(..), &mut Tried::default()).unwrap())
    }

    fn counts(pool: &Pool, picks: usize) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for _ in 0..picks {
            *counts.entry(one(pool)).or_default() += 1;
        }
        counts
    }

    const RULES: [Balance; 4] = [
        Balance::Random,
        Balance::RoundRobin,
        Balance::LeastRequests,
        Balance::Hash,
    ];

    fn down(pool: &Pool, at: usize) {
        pool.seats()[at].standing().probed(false, 0);
    }

    #[test]
    fn an_empty_list_picks_nothing() {
        for rule in RULES {
            assert!(pool(&[], rule).pick(0, &mut Tried::default()).is_none());
        }
    }

    #[test]
    fn round_robin_visits_each_in_turn_and_one_listed_twice_twice() {
        let pool = pool(&[("a", 1), ("b", 1), ("a", 1)], Balance::RoundRobin);
        let picks: Vec<String> = (0..6).map(|_| one(&pool)).collect();
        assert_eq!(picks[..3], picks[3..]);
        assert_eq!(
            counts(&pool, 300),
            HashMap::from([("a".into(), 200), ("b".into(), 100)])
        );
    }

    #[test]
    fn weights_are_kept_by_every_rule() {
        for rule in RULES {
            let counts = counts(&pool(&[("a", 3), ("b", 1)], rule), 8_000);
            let share = counts["a"] as f64 / 8_000.0;
            // Least requests draws by weight, and where nothing is under way takes the one with more weight.
            let good = match rule {
                Balance::LeastRequests => share > 0.75,
                _ => (share - 0.75).abs() < 0.03,
            };
            assert!(good, "{rule:?} {share}");
        }
    }

    #[test]
    fn a_host_that_is_down_gets_nothing_and_the_others_share_its_part() {
        for rule in RULES {
            let pool = pool(&[("a", 1), ("b", 1), ("c", 1)], rule);
            down(&pool, 1);
            let counts = counts(&pool, 6_000);
            assert_eq!(counts.get("b"), None, "{rule:?}");
            let share = counts["a"] as f64 / 6_000.0;
            assert!((share - 0.5).abs() < 0.05, "{rule:?} {share}");
        }
    }

    #[test]
    fn a_host_without_a_share_gets_nothing_even_when_the_others_are_down() {
        for rule in RULES {
            let pool = pool(&[("a", 1), ("b", 0), ("c", 1)], rule);
            down(&pool, 0);
            down(&pool, 2);
            let mut met = counts(&pool, 200);
            for _ in 0..50 {
                let mut tried = Tried::default();
                for _ in 0..3 {
                    let lent = pool.pick(fastrand::u64(..), &mut tried).unwrap();
                    *met.entry(name(&lent)).or_default() += 1;
                }
            }
            assert_eq!(met.get("b"), None, "{rule:?}");
        }
    }

    #[test]
    fn when_all_are_down_all_are_tried_or_none_as_the_file_says() {
        for rule in RULES {
            for hosts in [&[("a", 1), ("b", 1)][..], &[("a", 1)]] {
                let mut pool = pool(hosts, rule);
                (0..hosts.len()).for_each(|at| down(&pool, at));
                assert_eq!(counts(&pool, 200).len(), hosts.len(), "{rule:?}");
                pool.options.try_all = false;
                assert!(pool.pick(0, &mut Tried::default()).is_none(), "{rule:?}");
            }
        }
    }

    #[test]
    fn another_try_meets_another_host_as_long_as_there_is_one() {
        for rule in RULES {
            let pool = pool(&[("a", 1), ("b", 1), ("c", 1)], rule);
            let mut tried = Tried::default();
            let mut met: Vec<String> = (0..3)
                .map(|_| name(&pool.pick(7, &mut tried).unwrap()))
                .collect();
            met.sort();
            assert_eq!(met, ["a", "b", "c"], "{rule:?}");
            assert!(pool.pick(7, &mut tried).is_some(), "{rule:?}: one again");
        }
    }

    #[test]
    fn less_busy_hosts_get_more() {
        let pool = pool(&[("a", 1), ("b", 1)], Balance::LeastRequests);
        let held = pool.lend(0, 0, &mut Tried::default()).unwrap();
        let counts = counts(&pool, 1_000);
        assert_eq!(counts["b"], 1_000, "{counts:?}");
        drop(held);
        assert_eq!(pool.seats()[0].standing().in_flight(), 0);
    }

    #[test]
    fn a_key_stays_where_it_is_and_goes_back_there() {
        let pool = pool(&[("a", 1), ("b", 1), ("c", 1)], Balance::Hash);
        let at = |key| pool.pick(key, &mut Tried::default()).unwrap().at();
        let keys: Vec<u64> = (0..200_u64).map(|n| hash(&n.to_le_bytes())).collect();
        let before: Vec<usize> = keys.iter().map(|key| at(*key)).collect();
        down(&pool, 0);
        for (key, home) in keys.iter().zip(&before) {
            assert!(at(*key) == *home || *home == 0);
        }
        pool.seats()[0].standing().probed(true, 0);
        let after: Vec<usize> = keys.iter().map(|key| at(*key)).collect();
        assert_eq!(before, after);
    }

    #[test]
    fn a_host_whose_calls_fail_is_left_out() {
        let pool = pool(&[("a", 1), ("b", 1)], Balance::RoundRobin);
        for _ in 0..20 {
            let lent = pool.pick(0, &mut Tried::default()).unwrap();
            match name(&lent).as_str() {
                "a" => lent.bad(),
                _ => lent.good(),
            }
        }
        assert_eq!(counts(&pool, 50).len(), 1);
    }
}
