//! Several gateways and a store in simulated time: the real limits, the real reports in their real rhythm, and the script
//! that runs in the store, beside a bucket by the book that knows of every request at once. Answers take their time, get
//! lost, and the store forgets. What is measured is what [`super::lease`] promises: how far all together are over the
//! limit at any moment, and how many are refused though the tokens were there.

use super::store::Store;
use super::work::{Batch, Pace, Work};
use crate::gateway::kept::Kept;
use crate::telemetry::metrics::Metrics;
use crate::traffic::limit::day::Daily;
use crate::traffic::limit::gate::{Crowd, Share, Size};
use crate::traffic::limit::plan::Plan;
use crate::traffic::limit::rate::Rate;
use crate::traffic::limit::table::Moment;
use mlua::{Function, Lua};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
/// When the simulations begin, for walls: two seconds before a midnight.
const EVENING: u64 = 20_001 * 86_400 - 2;

/// As much of a store as the script needs, with a clock that is set from outside.
const MEMORY: &str = r"
local kept, ends = {}, {}
local function look(key)
  if ends[key] and ends[key] <= NOW then kept[key], ends[key] = nil, nil end
  return kept[key]
end
redis = {}
function redis.call(word, key, ...)
  local rest = {...}
  if word == 'TIME' then
    return {string.format('%.0f', math.floor(NOW / 1e6)), string.format('%.0f', NOW % 1e6)}
  elseif word == 'GET' then
    return look(key) or false
  elseif word == 'SET' then
    kept[key], ends[key] = rest[1], NOW + rest[3] * 1e6
  elseif word == 'HMGET' then
    local hash, out = look(key) or {}, {}
    for i, field in ipairs(rest) do out[i] = hash[field] or false end
    return out
  elseif word == 'HSET' then
    local hash = look(key) or {}
    for i = 1, #rest, 2 do hash[rest[i]] = tostring(rest[i + 1]) end
    kept[key] = hash
  elseif word == 'PEXPIRE' then
    ends[key] = NOW + rest[1] * 1e3
  else
    error('no ' .. word)
  end
end
redis.pcall = redis.call
function flush() kept, ends = {}, {} end
";

struct Memory {
    lua: Lua,
    share: Function,
    calls: u64,
}

impl Memory {
    fn new() -> Self {
        let lua = Lua::new();
        lua.load(MEMORY).exec().unwrap();
        let text = include_str!("share.lua");
        let text = format!("return function(KEYS, ARGV) {text}\nend");
        let share = lua.load(text).eval().unwrap();
        Self {
            lua,
            share,
            calls: 0,
        }
    }

    /// What the script answers at a moment, in nanoseconds since the start.
    fn run(&mut self, at: u64, batch: &Batch, (peers, own, local): (u32, u32, u64)) -> Vec<i64> {
        self.calls += 1;
        let now = EVENING as f64 * 1e6 + (at / US) as f64;
        self.lua.globals().set("NOW", now).unwrap();
        let (keys, args) = batch.spoken(peers, own, local);
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let said: Vec<f64> = self.share.call((keys, args)).unwrap();
        said.into_iter().map(|number| number as i64).collect()
    }

    fn flush(&self) {
        let flush: Function = self.lua.globals().get("flush").unwrap();
        flush.call::<()>(()).unwrap();
    }
}

/// A call under way.
struct Flight {
    batches: Vec<Batch>,
    numbers: Option<Vec<Vec<i64>>>,
    arrives: u64,
    answers: u64,
    hurried: bool,
    lost: bool,
}

struct Gateway {
    crowd: Crowd,
    store: Arc<Store>,
    work: Work,
    pace: Pace,
    hurried: bool,
    flight: Option<Flight>,
    /// Before this there is no connection.
    back: u64,
    /// What its clock is ahead.
    ahead: u64,
    _kept: Kept,
}

impl Gateway {
    fn new(plan: Plan, peers: u32, ahead: u64) -> Self {
        let (kept, metrics) = (Kept::default(), Metrics::new().unwrap());
        let store = Store::unspoken(&metrics);
        store.see(peers, true);
        let share = Share {
            store: Arc::clone(&store),
            limit: "limit".to_owned(),
        };
        Self {
            crowd: Crowd::kept(&kept, "limit", plan, Size::default(), Some(share)),
            store,
            work: Work::default(),
            pace: Pace::new(false),
            hurried: false,
            flight: None,
            back: 0,
            ahead,
            _kept: kept,
        }
    }

    fn at(&self, now: u64) -> Moment {
        Moment {
            ticks: now + self.ahead,
            wall: Duration::from_secs(EVENING) + Duration::from_nanos(now),
        }
    }

    fn ask(&mut self, caller: u32, now: u64) -> bool {
        let cost = self.crowd.plan().cost(1.0);
        let (_, taken) = self
            .crowd
            .take(1, &caller.to_le_bytes(), self.at(now), cost);
        self.hear();
        taken.is_ok()
    }

    fn hear(&mut self) {
        let (asks, hurried) = self.store.heard();
        asks.into_iter().for_each(|ask| self.work.note(ask));
        self.hurried |= hurried;
    }

    /// When something happens next.
    fn next(&self, now: u64) -> u64 {
        if let Some(flight) = &self.flight {
            return match flight.numbers {
                None => flight.arrives,
                Some(_) => flight.answers,
            };
        }
        let due = if self.work.is_due() {
            self.pace.due(self.hurried)
        } else {
            let unused = self.work.unused().unwrap_or(u64::MAX);
            unused.max(self.pace.due(false))
        };
        due.saturating_sub(self.ahead).max(now).max(self.back)
    }
}

/// What happens on the way to the store.
#[derive(Clone)]
struct Way {
    /// How long one direction takes.
    takes: Range<u64>,
    /// One of so many answers is lost.
    loses: Option<u64>,
    /// How often the store forgets everything.
    flushes: Option<u64>,
}

const PROMPT: Way = Way {
    takes: 50 * US..2 * MS,
    loses: None,
    flushes: None,
};

/// A bucket by the book for each caller, charged with whatever passed.
struct Book {
    burst: f64,
    each: f64,
    levels: Vec<(f64, u64)>,
    /// What one limiter that knows of everything at once would have let pass, and how it stands.
    right: Vec<(f64, u64)>,
    passed: u64,
}

impl Book {
    fn one(&mut self, caller: u32, now: u64) {
        let (level, last) = &mut self.right[caller as usize];
        *level = (*level + (now - *last) as f64 * self.each).min(self.burst);
        *last = now;
        if *level >= 1.0 {
            *level -= 1.0;
            self.passed += 1;
        }
    }

    fn level(&mut self, caller: u32, now: u64) -> f64 {
        let (level, last) = &mut self.levels[caller as usize];
        *level = (*level + (now - *last) as f64 * self.each).min(self.burst);
        *last = now;
        *level
    }

    fn charge(&mut self, caller: u32) -> f64 {
        self.levels[caller as usize].0 -= 1.0;
        self.levels[caller as usize].0
    }
}

/// What came of it.
#[derive(Debug, Default)]
struct Found {
    asked: u64,
    passed: u64,
    /// Refused though the tokens were there.
    wronged: u64,
    /// The most that a caller was over the limit.
    over: f64,
    calls: u64,
    /// What one limiter that knows of everything at once would have let pass.
    right: u64,
}

impl Found {
    fn short(&self) -> f64 {
        1.0 - self.passed as f64 / self.right as f64
    }

    fn calls_for_a_hundred(&self) -> f64 {
        self.calls as f64 / self.asked as f64 * 100.0
    }

    fn wronged_of_a_thousand(&self) -> f64 {
        self.wronged as f64 / self.asked as f64 * 1e3
    }
}

struct World {
    gateways: Vec<Gateway>,
    memory: Memory,
    book: Book,
    way: Way,
    random: fastrand::Rng,
    now: u64,
    flush: u64,
    found: Found,
}

impl World {
    fn new(gateways: u32, (amount, burst): (f64, u64), callers: usize, way: Way) -> Self {
        let rate = Rate::new(amount, Duration::from_secs(1), burst);
        let plan = Plan { rate, daily: None };
        Self::of(plan, gateways, (amount, burst), callers, way)
    }

    fn of(
        plan: Plan,
        gateways: u32,
        (amount, burst): (f64, u64),
        callers: usize,
        way: Way,
    ) -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let ahead = (0..gateways).map(|_| random.u64(0..1 << 50));
        let gateways: Vec<_> = ahead
            .map(|ahead| Gateway::new(plan, gateways, ahead))
            .collect();
        Self {
            gateways,
            memory: Memory::new(),
            book: Book {
                burst: burst as f64,
                each: amount / 1e9,
                levels: vec![(burst as f64, 0); callers],
                right: vec![(burst as f64, 0); callers],
                passed: 0,
            },
            flush: way.flushes.unwrap_or(u64::MAX),
            way,
            random,
            now: 0,
            found: Found::default(),
        }
    }

    fn ask(&mut self, gateway: usize, caller: u32, at: u64) -> bool {
        self.until(at);
        let level = self.book.level(caller, at);
        self.book.one(caller, at);
        let passed = self.gateways[gateway].ask(caller, at);
        self.found.asked += 1;
        if passed {
            self.found.passed += 1;
            let level = self.book.charge(caller);
            self.found.over = self.found.over.max(-level);
        } else {
            // A thousandth for the rounding of the book itself.
            self.found.wronged += u64::from(level >= 1.001);
        }
        passed
    }

    /// Lets happen what happens until a moment.
    fn until(&mut self, end: u64) {
        loop {
            let next = |(n, gateway): (usize, &Gateway)| (gateway.next(self.now), n);
            let (at, n) = self.gateways.iter().enumerate().map(next).min().unwrap();
            if at > end {
                break;
            }
            self.now = at;
            if at >= self.flush {
                self.memory.flush();
                self.flush = at + self.way.flushes.unwrap();
            }
            self.step(n);
        }
        self.now = end;
    }

    fn step(&mut self, n: usize) {
        let (now, peers) = (self.now, self.gateways.len() as u32);
        let gateway = &mut self.gateways[n];
        let at = gateway.at(now);
        let Some(mut flight) = gateway.flight.take() else {
            let mut batches = std::mem::take(&mut gateway.work.unsure);
            if batches.is_empty() {
                batches = gateway.work.batches(false, at);
            }
            let requests = batches.iter().map(Batch::requests).sum();
            gateway
                .pace
                .made(at.ticks, batches.len(), requests, gateway.hurried);
            gateway.store.comes(at.ticks);
            gateway.store.see(peers, gateway.pace.is_hasty());
            let hurried = std::mem::take(&mut gateway.hurried);
            if !batches.is_empty() {
                gateway.store.calls(at.ticks);
                let arrives = now + self.random.u64(self.way.takes.clone());
                let lost = |many| self.random.u64(0..many) == 0;
                gateway.flight = Some(Flight {
                    batches,
                    numbers: None,
                    arrives,
                    answers: 0,
                    hurried,
                    lost: self.way.loses.is_some_and(lost),
                });
            }
            return;
        };
        if flight.numbers.is_none() {
            let words = (peers, n as u32, at.ticks);
            let run = |batch| self.memory.run(now, batch, words);
            flight.numbers = Some(flight.batches.iter().map(run).collect());
            let takes = self.random.u64(self.way.takes.clone());
            flight.answers = now + if flight.lost { 500 * MS } else { takes };
            gateway.flight = Some(flight);
            return;
        }
        gateway.store.answers(at.ticks);
        let numbers = flight.numbers.unwrap_or_default();
        for (batch, numbers) in flight.batches.into_iter().zip(numbers) {
            if flight.lost {
                gateway.work.failed(batch, at);
                gateway.store.see(0, false);
                gateway.back = now + 100 * MS;
            } else {
                let (urgent, plenty) = gateway.work.settle(batch, &numbers, at);
                gateway.hurried |= urgent;
                gateway.pace.answered(flight.hurried, plenty);
                if now >= gateway.back {
                    gateway.store.see(peers, gateway.pace.is_hasty());
                }
            }
        }
    }

    fn end(mut self) -> Found {
        self.until(self.now + SECOND);
        self.found.calls = self.memory.calls;
        self.found.right = self.book.passed;
        self.found
    }
}

/// Arrivals at random, so many a second of all callers together, each at any gateway.
fn crowd(
    gateways: u32,
    limit: (f64, u64),
    callers: u32,
    offered: u64,
    arrivals: u64,
    way: &Way,
) -> Found {
    let mut world = World::new(gateways, limit, callers as usize, way.clone());
    let mut random = fastrand::Rng::with_seed(1);
    let mut at = 0;
    for _ in 0..arrivals {
        at += random.u64(0..2 * SECOND / offered);
        let (gateway, caller) = (random.usize(0..gateways as usize), random.u32(0..callers));
        world.ask(gateway, caller, at);
    }
    world.end()
}

/// Callers who come with a burst at one gateway, one request after another or all at once, and rest.
fn bursts(gateways: u32, limit: (f64, u64), arrivals: u64, each: Range<u64>, way: &Way) -> Found {
    let mut world = World::new(gateways, limit, 4, way.clone());
    let mut random = fastrand::Rng::with_seed(2);
    let mut at = 0;
    while world.found.asked < arrivals {
        let (gateway, caller) = (random.usize(0..gateways as usize), random.u32(0..4));
        for _ in 0..random.u64(1..=limit.1) {
            at += random.u64(each.clone());
            world.ask(gateway, caller, at);
        }
        let full = (limit.1 as f64 / limit.0 * 1e9) as u64;
        at += random.u64(0..full);
    }
    world.end()
}

/// What is in the margins of a machine that is not busy: see the figures of each test with `--nocapture`.
fn shown(what: &str, found: &Found) {
    println!(
        "{what}: {:.2} calls for 100 requests, {:+.2} % of what is right, {:.2} of 1,000 wronged, {:.1} over; {found:?}",
        found.calls_for_a_hundred(),
        -found.short() * 100.0,
        found.wronged_of_a_thousand(),
        found.over
    );
}

const SLOW: Way = Way {
    takes: 50 * MS..150 * MS,
    loses: None,
    flushes: None,
};
const BAD: Way = Way {
    takes: 50 * US..2 * MS,
    loses: Some(50),
    flushes: Some(3 * SECOND),
};

#[test]
fn who_stays_below_the_limit_is_never_refused_and_costs_one_call_for_a_hundred_requests() {
    for (offered, way) in [(2_400, PROMPT), (9_000, PROMPT), (2_400, SLOW)] {
        let limit = (offered as f64 * 1.25, offered + offered / 4);
        let found = crowd(3, limit, 1, offered, 100_000, &way);
        shown("below the limit", &found);
        assert_eq!((found.wronged, found.passed), (0, found.asked));
        assert!(found.calls_for_a_hundred() <= 1.0);
    }
}

#[test]
fn a_limit_that_all_strain_at_gives_what_one_gateway_would() {
    for (offered, way) in [(9_000, PROMPT), (3_600, PROMPT)] {
        let found = crowd(3, (3_000.0, 3_000), 1, offered, 150_000, &way);
        shown("beyond the limit", &found);
        // One in a hundred, and a lease; how far they are over at any moment is a debt, and not over and over again.
        let lease = 3_000.0 / 3.0;
        assert!(found.over <= 30.0 + lease, "{}", found.over);
        assert!(found.passed as f64 <= found.right as f64 * 1.01 + lease);
        assert!(found.short() < 0.02);
        assert!(found.calls_for_a_hundred() <= 1.0);
    }
}

#[test]
fn callers_with_limits_of_their_own_are_told_together() {
    for offered in [9_000, 1_800] {
        let found = crowd(3, (5.0, 10), 500, offered, 100_000, &PROMPT);
        shown("500 callers", &found);
        // Small buckets: each of the two others may let pass one of them before it is told.
        assert!(found.over <= 2.0 * 10.0, "{}", found.over);
        assert!(found.passed as f64 <= found.right as f64 * 1.01 + 500.0 * 3.0);
        assert!(found.wronged_of_a_thousand() < 8.0);
        assert!(found.calls_for_a_hundred() <= 1.0);
    }
}

#[test]
fn a_burst_at_one_gateway_passes_as_it_would_at_the_only_one() {
    let found = bursts(3, (10.0, 100), 50_000, MS..MS + 1, &PROMPT);
    shown("bursts, a request a millisecond", &found);
    assert!(found.wronged_of_a_thousand() < 5.0);
    assert!(found.over <= 2.0 * 100.0 / 3.0, "{}", found.over);
    let found = bursts(3, (1.0, 10), 50_000, 0..US, &PROMPT);
    shown("bursts of ten at once", &found);
    assert!(found.wronged_of_a_thousand() < 1.0);
    assert!(found.over <= 20.0, "{}", found.over);
}

#[test]
fn one_gateway_alone_is_exact() {
    for way in [PROMPT, SLOW] {
        let found = bursts(1, (10.0, 100), 50_000, 0..US, &way);
        shown("alone", &found);
        assert!(found.over < 1.0, "{}", found.over);
        assert!(found.short() < 0.001, "{}", found.short());
    }
}

#[test]
fn a_store_that_loses_answers_and_forgets_leaves_what_each_gateway_knows() {
    let found = crowd(3, (3_000.0, 3_000), 1, 9_000, 100_000, &BAD);
    shown("beyond the limit, a bad store", &found);
    // While it is away each gives what one would; what it forgets it is taught again.
    assert!(found.over <= 3.0 * 3_000.0, "{}", found.over);
    assert!(found.passed as f64 <= found.right as f64 * 1.5);
    assert!(found.short() < 0.02);
}

const MIDNIGHT: u64 = 2 * SECOND;

fn by_the_day(limit: u64) -> World {
    let plan = Plan {
        rate: None,
        daily: Daily::new(limit),
    };
    World::of(plan, 3, (1.0, 1), 1, PROMPT)
}

/// How many pass, a request each five milliseconds, at one gateway after the other.
fn of_two_hundred(world: &mut World, from: u64) -> u64 {
    let ask = |n: u64| world.ask(n as usize % 3, 0, from + n * 5 * MS);
    (0..200).map(ask).map(u64::from).sum()
}

#[test]
fn a_day_that_is_shared_turns_at_midnight_and_not_before() {
    let mut world = by_the_day(60);
    let first = of_two_hundred(&mut world, 0);
    assert!((60..=60 + 2 * 16).contains(&first), "{first}");
    for gateway in 0..3 {
        assert!(!world.ask(gateway, 0, MIDNIGHT - 1));
    }
    for gateway in 0..3 {
        assert!(world.ask(gateway, 0, MIDNIGHT));
    }
    let second = 3 + of_two_hundred(&mut world, MIDNIGHT + MS);
    assert!((60..=60 + 2 * 16).contains(&second), "{second}");
}

#[test]
fn what_was_taken_yesterday_while_the_store_was_away_is_none_of_todays() {
    let mut world = by_the_day(60);
    world.gateways[0].store.see(0, false);
    world.gateways[0].back = MIDNIGHT + 10 * MS;
    for n in 0..50 {
        assert!(world.ask(0, 0, n * MS));
    }
    assert!(world.ask(0, 0, MIDNIGHT + MS));
    // It has been told by now: one, and not fifty-one.
    let rest = (0..100).map(|n| world.ask(1, 0, MIDNIGHT + SECOND + n * 20 * MS));
    assert_eq!(rest.filter(|passed| *passed).count(), 59);
}

#[test]
fn an_outage_below_the_limit_is_refused_to_nobody_afterwards() {
    let mut world = World::new(3, (3_000.0, 3_000), 1, PROMPT);
    let mut passed = 0;
    for n in 0..20_000_u64 {
        // 2,400 a second; from the third second to the sixth there is no store.
        let at = n * SECOND / 2_400;
        if at / SECOND == 2 && world.gateways[0].back == 0 {
            for gateway in &mut world.gateways {
                gateway.store.see(0, false);
                // Each finds it again in its own time.
                gateway.back = 5 * SECOND + gateway.ahead % SECOND;
            }
        }
        passed += u64::from(world.ask(n as usize % 3, 0, at));
    }
    assert_eq!(passed, 20_000);
}
