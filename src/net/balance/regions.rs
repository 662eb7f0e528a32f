//! Regions that stand in for each other: the hosts of a backend in tiers, in an order that is the gateway's own region
//! first. KrakenD has nothing like it.
//!
//! A region has all of the traffic while enough of its hosts are healthy; below that the part that is missing goes to
//! the next one. One that is above its share of requests in flight passes the others on. It loses traffic at once and
//! gets it back after a while, little by little ([`turn`]). Each region is a [`Pool`] by the backend's rule, so that
//! what holds for hosts (probes, ejection, slow start, keys) holds within a region.
//!
//! A call reads one number and picks; all else is decided beside the requests, ten times a second. Where a region's
//! hosts fail between two looks, the pick goes on to the next one by itself.

mod turn;

use super::seat::{Moment, Roster};
use super::{Balance, Lent, Pool, PoolOptions, Tried, rule};
use crate::net::url::Target;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
pub use turn::Thresholds;
use turn::{Step, Turn};

/// All of the traffic.
const ALL: u32 = u32::MAX;

/// One region being made: its name, and its hosts with their weights.
pub type Hosted = (Box<str>, Vec<(Target, u32)>);

/// What is known of the regions of one backend; outlives a reload that leaves hosts, order and thresholds alone.
#[derive(Debug)]
pub struct Memory {
    places: Box<[Arc<Place>]>,
    turns: Mutex<Vec<Turn>>,
}

/// What calls read of a region.
#[derive(Debug)]
pub struct Place {
    /// The part of the traffic of this region and those before it.
    upto: AtomicU32,
    /// Requests in flight, where they are bounded.
    in_flight: AtomicU32,
    /// How many there may be.
    room: AtomicU32,
    /// How many went on because there was no room.
    spilled: AtomicU64,
    /// How many of them were told of.
    told: AtomicU64,
}

impl Memory {
    /// Of so many regions, all of them good.
    pub fn new(regions: usize) -> Self {
        let place = || {
            Arc::new(Place {
                upto: AtomicU32::new(ALL),
                in_flight: AtomicU32::new(0),
                room: AtomicU32::new(u32::MAX),
                spilled: AtomicU64::new(0),
                told: AtomicU64::new(0),
            })
        };
        Self {
            places: (0..regions).map(|_| place()).collect(),
            turns: Mutex::new(vec![Turn::default(); regions]),
        }
    }
}

impl Place {
    /// Counts a request in, if there is room.
    fn enter(&self) -> bool {
        let room = self.room.load(Ordering::Relaxed);
        let more = |before: u32| (before < room).then(|| before + 1);
        let (order, flying) = (Ordering::Relaxed, &self.in_flight);
        flying.fetch_update(order, order, more).is_ok()
    }

    pub(super) fn left(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The regions of one backend, in the order in which they stand in for each other.
#[derive(Debug)]
pub struct Regions {
    tiers: Box<[Tier]>,
    memory: Arc<Memory>,
    rules: Thresholds,
    options: PoolOptions,
}

/// Where a call may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    /// To the region whose turn it is.
    Anywhere,
    /// To the one after that of the host that was tried last.
    Onwards,
    /// To the first and no other: it was sent here from another region, and must not wander.
    Nowhere,
}

/// One of them.
#[derive(Debug)]
struct Tier {
    name: Box<str>,
    pool: Pool,
}

/// What happened to a region since it was looked at last.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its place in the order.
    pub region: usize,
    /// What.
    pub kind: Kind,
    /// Its healthy hosts, and all of them.
    pub hosts: (usize, usize),
}

/// What may happen to a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Too few of its hosts are healthy: it loses traffic, or would not get any.
    Unhealthy,
    /// It was good for long enough: its part grows from now on.
    Returns,
    /// It gets all that its hosts are good for.
    Returned,
    /// It has as many requests in flight as it may: others go on.
    Full,
    /// It has room again, and had for a while.
    Roomy,
}

/// How a region stands, for whoever looks.
#[derive(Clone, Debug, PartialEq)]
pub struct View<'r> {
    /// Its name.
    pub name: &'r str,
    /// The part of the traffic that is meant for it, from 0 to 1.
    pub share: f32,
    /// Its healthy hosts, and all of them.
    pub hosts: (usize, usize),
    /// One word for it.
    pub state: State,
    /// How long it has to be good before it gets more.
    pub waits: Option<Duration>,
    /// Requests in flight, where they are bounded, and their bound.
    pub in_flight: Option<(u32, u32)>,
    /// How many went on for want of room since the start.
    pub spilled: u64,
}

/// What a region is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes what comes.
    Good,
    /// It has as many requests as it may.
    Full,
    /// Some of its hosts are out and it gets less for it.
    Degraded,
    /// All of its hosts are out.
    Down,
    /// It is good again and has to stay so for a while.
    Waiting,
    /// Its part grows.
    Returning,
}

impl State {
    /// The word in statistics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Full => "full",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Waiting => "waiting",
            Self::Returning => "returning",
        }
    }
}

impl Regions {
    /// Regions in their order. `memory` is of as many.
    pub fn new(
        hosted: Vec<Hosted>,
        (options, rules): (PoolOptions, Thresholds),
        roster: &Arc<Roster>,
        memory: Arc<Memory>,
    ) -> Self {
        let mut base = 0;
        let tiers = hosted.into_iter().enumerate().map(|(at, (name, hosts))| {
            let pool = Pool::group(hosts, options, (roster, at), base);
            base += pool.seats().len();
            Tier { name, pool }
        });
        let made = Self {
            tiers: tiers.collect(),
            memory,
            rules,
            options,
        };
        made.bound();
        made
    }

    /// The bounds that hold until somebody looks.
    fn bound(&self) {
        let Some(share) = self.rules.share else {
            return;
        };
        for (tier, place) in self.tiers.iter().zip(&self.memory.places) {
            let hosts = u32::try_from(tier.pool.seats().len()).unwrap_or(u32::MAX);
            let order = Ordering::Relaxed;
            let room = share.saturating_mul(hosts);
            // One that was found again knows better.
            let _ = place.room.compare_exchange(u32::MAX, room, order, order);
        }
    }

    /// A host for a call, of the region whose turn it is; none of those that were tried as long as there are others.
    /// `None` when there is none.
    pub fn pick(&self, key: u64, tried: &mut Tried, going: Going) -> Option<Lent> {
        let (first, most) = match going {
            Going::Anywhere => (self.drawn(key), self.tiers.len()),
            Going::Onwards => (tried.region as usize + 1, self.tiers.len()),
            Going::Nowhere => (0, 1),
        };
        let order = || (first..first + most).map(|at| at % self.tiers.len().max(1));
        let met = *tried;
        for at in order() {
            if let Some(lent) = self.lend(at, tried, |pool| pool.good(key, met), true) {
                return Some(lent);
            }
        }
        // All are full or out. Full: as if there were no bound; whoever wants one refuses in front of the call.
        let mut lend =
            |at, pick: &dyn Fn(&Pool) -> Option<usize>| self.lend(at, tried, pick, false);
        order()
            .find_map(|at| lend(at, &|pool| pool.good(key, met)))
            .or_else(|| order().find_map(|at| lend(at, &|pool| pool.good(key, Tried::default()))))
            .or_else(|| (0..most).find_map(|at| lend(at, &|pool| pool.any(key, met))))
    }

    /// The region whose turn it is: by the key where the rule asks for one, so that those who move are few.
    fn drawn(&self, key: u64) -> usize {
        let places = &self.memory.places;
        let upto = |place: &Arc<Place>| place.upto.load(Ordering::Relaxed);
        if places.first().is_none_or(|place| upto(place) == ALL) {
            return 0;
        }
        let draw = match self.options.rule {
            Balance::Hash => (rule::hash(&key.to_le_bytes()) >> 32) as u32,
            Balance::Random | Balance::RoundRobin | Balance::LeastRequests => fastrand::u32(..),
        };
        let mut all = places.iter().map(upto);
        let found = all.position(|upto| upto == ALL || draw < upto);
        found.unwrap_or(0)
    }

    fn lend(
        &self,
        at: usize,
        tried: &mut Tried,
        pick: impl FnOnce(&Pool) -> Option<usize>,
        bounded: bool,
    ) -> Option<Lent> {
        let (tier, place) = (self.tiers.get(at)?, self.memory.places.get(at)?);
        let host = pick(&tier.pool)?;
        if self.rules.share.is_none() {
            return tier.pool.lend(host, at, tried);
        }
        if !place.enter() {
            if bounded {
                place.spilled.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            place.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        let mut lent = tier.pool.lend(host, at, tried)?;
        lent.place = Some(Arc::clone(place));
        Some(lent)
    }

    /// Looks at all hosts and decides anew who gets how much; what is news comes back. Called beside the requests.
    pub fn settle(&self, now: Moment) -> Vec<Change> {
        let mut turns = self.turns();
        let mut changes = Vec::new();
        let tiers = self.tiers.iter().zip(&self.memory.places);
        for (region, ((tier, place), turn)) in tiers.zip(turns.iter_mut()).enumerate() {
            let hosts = tier.hosts(now);
            if let Some(share) = self.rules.share {
                // While all are out it is the rule for that which counts.
                let bearing = if hosts.0 == 0 { hosts.1 } else { hosts.0 };
                let bearing = u32::try_from(bearing).unwrap_or(u32::MAX);
                place
                    .room
                    .store(share.saturating_mul(bearing), Ordering::Relaxed);
            }
            let step = turn.step(tier.able(now, self.rules.healthy), now, &self.rules);
            let crowd = turn.crowd(place.spilled.load(Ordering::Relaxed), now, &self.rules);
            let kinds = [
                step.map(|step| match step {
                    Step::Fell => Kind::Unhealthy,
                    Step::Rises => Kind::Returns,
                    Step::Whole => Kind::Returned,
                }),
                crowd.map(|full| if full { Kind::Full } else { Kind::Roomy }),
            ];
            changes.extend(kinds.into_iter().flatten().map(|kind| Change {
                region,
                kind,
                hosts,
            }));
        }
        let mut sum = 0.0;
        for (place, load) in self.memory.places.iter().zip(turn::loads(&turns)) {
            sum += load;
            let upto = match sum > 0.999_99 {
                true => ALL,
                false => (sum * ALL as f32) as u32,
            };
            place.upto.store(upto, Ordering::Relaxed);
        }
        changes
    }

    fn turns(&self) -> std::sync::MutexGuard<'_, Vec<Turn>> {
        let turns = &self.memory.turns;
        turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How each region stands, in their order.
    pub fn view(&self, now: Moment) -> Vec<View<'_>> {
        let turns = self.turns();
        let loads = turn::loads(&turns);
        let all = self.tiers.iter().zip(&self.memory.places);
        let all = all.zip(turns.iter().zip(loads));
        all.map(|((tier, place), (turn, share))| {
            let in_flight = self.rules.share.map(|_| {
                let count = |of: &AtomicU32| of.load(Ordering::Relaxed);
                (count(&place.in_flight), count(&place.room))
            });
            View {
                name: &tier.name,
                share,
                hosts: tier.hosts(now),
                state: state(turn),
                waits: turn.waits(now, &self.rules),
                in_flight,
                spilled: place.spilled.load(Ordering::Relaxed),
            }
        })
        .collect()
    }

    /// How many calls went on for want of room in each region since this was asked last, whoever asked.
    pub fn spilled(&self) -> impl Iterator<Item = u64> {
        self.memory.places.iter().map(|place| {
            let now = place.spilled.load(Ordering::Relaxed);
            now.saturating_sub(place.told.swap(now, Ordering::Relaxed))
        })
    }

    /// The names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tiers.iter().map(|tier| &*tier.name)
    }

    /// Their hosts, in their order.
    pub fn pools(&self) -> impl Iterator<Item = (&str, &Pool)> {
        self.tiers.iter().map(|tier| (&*tier.name, &tier.pool))
    }

    /// What is remembered of them; two that share it are one.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// When they stand in.
    pub const fn thresholds(&self) -> &Thresholds {
        &self.rules
    }
}

fn state(turn: &Turn) -> State {
    match () {
        () if turn.able <= 0.0 => State::Down,
        () if turn.rises() => State::Returning,
        () if turn.able > turn.level => State::Waiting,
        () if turn.able < 1.0 => State::Degraded,
        () if turn.is_full() => State::Full,
        () => State::Good,
    }
}

impl Tier {
    /// Healthy hosts, and all.
    fn hosts(&self, now: Moment) -> (usize, usize) {
        let seats = self.pool.seats();
        let good = seats.iter().filter(|seat| !seat.standing.is_out(now));
        (good.count(), seats.len())
    }

    /// What its hosts are good for: 1 where enough of their weight is healthy, in proportion below.
    fn able(&self, now: Moment, enough: f32) -> f32 {
        let (mut good, mut all) = (0_u64, 0_u64);
        for seat in self.pool.seats() {
            let weight = u64::from(seat.weight);
            all += weight;
            good += if seat.standing.is_out(now) { 0 } else { weight };
        }
        match all {
            0 => 0.0,
            _ => (good as f32 / all as f32 / enough).min(1.0),
        }
    }
}

#[cfg(test)]
mod tests;
