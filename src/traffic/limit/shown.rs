//! A limit as `/__stats` and `explain` tell of it: what it allows, what it counted, how many callers it knows. It tells
//! no caller's name, because none is kept.

use super::callers::Callers;
use super::day::{self, Daily};
use super::fields::{Before, Label, Policies};
use super::gate::{Crowd, Gate};
use super::krakend::Shared;
use super::plan::{Held, KrakendClients, Plan};
use super::shared::store::Store;
use super::table::Moment;
use super::tally::Tally;
use crate::base::clock;
use crate::gateway::rate_limit::RateLimit;
use crate::gateway::stage::Edits;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Thousandths, in which days and leases are kept.
const PARTS: u64 = 1_000;

/// A limit, and what a file calls it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The namespace that it is written in.
    pub component: &'static str,
    /// Where it stands: `global`, `endpoint`, `client`, `tier`, `key`, `backend`.
    pub level: &'static str,
    /// What tells it from others there: the name of a plan, the word that clients are told.
    pub name: String,
    /// Method and path of its endpoint; empty for the service's.
    pub endpoint: String,
    /// What its callers are known by; empty for a limit of all together.
    pub by: String,
    /// How fast its bucket fills, and its size; `None` where only the day is limited.
    pub pace: Option<Pace>,
    /// What counts.
    pub counted: Counted,
    /// What answers tell of it that nobody else tells of: of a limit of all callers together.
    pub told: Option<Told>,
}

/// What an answer tells of a limit.
#[derive(Clone, Debug)]
pub struct Told {
    label: Label,
    policy: Policies,
}

impl Told {
    /// A limit under this label.
    pub fn of(label: Label) -> Option<Self> {
        let policy = Policies::of([&label])?;
        Some(Self { label, policy })
    }
}

/// A rate as it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// So many,
    pub amount: f64,
    /// in so long,
    pub every: Duration,
    /// and so many at once.
    pub burst: u64,
}

/// What counts the requests of a limit.
#[derive(Clone, Debug)]
pub enum Counted {
    /// A bucket of all callers.
    Gate(Arc<Gate>),
    /// A plan for each.
    Crowd(Crowd),
    /// KrakenD's bucket of all clients.
    KrakendAll(Arc<Shared>),
    /// KrakenD's bucket of each.
    KrakendEach(Arc<Callers<KrakendClients>>),
}

/// The callers of a limit at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// How many are known.
    pub callers: u64,
    /// How many have not one token.
    pub empty: u64,
    /// Thousandths that all of them used of their day.
    pub used: u64,
    /// How many have used all of their day.
    pub spent: u64,
    /// How many have leases,
    pub leases: u64,
    /// how many thousandths these hold,
    pub leased: u64,
    /// and how many are taken that the store has not granted.
    pub owed: u64,
}

impl Census {
    /// Takes one caller in.
    pub(super) fn add(&mut self, plan: &Plan, held: &Held, at: Moment) {
        self.callers += 1;
        if let Some(rate) = &plan.rate {
            let left = rate.peek(held.rate, at.ticks).remaining;
            self.empty += u64::from(left == 0);
        }
        if let Some(daily) = &plan.daily {
            self.used = self.used.saturating_add(Daily::used(held.daily, at.wall));
            self.spent += u64::from(daily.peek(held.daily, at.wall).remaining == 0);
        }
    }

    /// Takes the balance of a lease in.
    pub(super) fn lease(&mut self, balance: i64) {
        self.leases += u64::from(balance > 0);
        let amount = balance.unsigned_abs();
        let sum = if balance > 0 {
            &mut self.leased
        } else {
            &mut self.owed
        };
        *sum = sum.saturating_add(amount);
    }
}

impl Counted {
    fn tally(&self) -> &Tally {
        match self {
            Self::Gate(gate) => gate.tally(),
            Self::Crowd(crowd) => crowd.tally(),
            Self::KrakendAll(shared) => &shared.tally,
            Self::KrakendEach(callers) => &callers.tally,
        }
    }

    fn store(&self) -> Option<&Arc<Store>> {
        match self {
            Self::Gate(gate) => gate.store(),
            Self::Crowd(crowd) => crowd.store(),
            Self::KrakendAll(_) | Self::KrakendEach(_) => None,
        }
    }
}

impl RateLimit for Shown {
    fn counts(&self) -> usize {
        fn address<T>(of: &Arc<T>) -> usize {
            Arc::as_ptr(of).cast::<()>() as usize
        }
        match &self.counted {
            Counted::Gate(gate) => address(gate),
            Counted::Crowd(Crowd::Own(callers)) => address(callers),
            Counted::Crowd(Crowd::Shared(crowd)) => address(crowd),
            Counted::KrakendAll(shared) => address(shared),
            Counted::KrakendEach(callers) => address(callers),
        }
    }

    fn words(&self) -> String {
        let mut parts = Vec::new();
        if let Some(pace) = &self.pace {
            let nanos = i64::try_from(pace.every.as_nanos()).unwrap_or(i64::MAX);
            let (amount, burst) = (pace.amount, pace.burst);
            parts.push(format!("{amount} in {}, {burst} at once", span(nanos)));
        }
        if let Some(daily) = self.daily() {
            parts.push(format!("{} a day", daily.limit()));
        }
        let limits = match parts.as_slice() {
            [] => "no limit".to_owned(),
            parts => parts.join(" and "),
        };
        let whose = match self.by.as_str() {
            "" => "for all together".to_owned(),
            by => format!("for each caller, by {by}"),
        };
        let shared = match self.counted.store() {
            Some(store) => format!(", counted with other gateways in \"{}\"", store.name()),
            None => String::new(),
        };
        let (component, name) = (self.component, &self.name);
        format!("{component} \"{name}\": {limits}, {whose}{shared}")
    }

    fn tell(&self, edits: &mut Edits, refused: bool) {
        let (Some(told), Counted::Gate(gate)) = (&self.told, &self.counted) else {
            return;
        };
        let standing = gate.standing(Moment::now());
        let (label, policy) = (&told.label, Some(&told.policy));
        let (of, before) = ((label, &standing), Before::Told(&told.policy));
        if refused {
            edits.limits.refused(of, policy, before);
        } else {
            edits.limits.passed(of, policy, before);
        }
    }

    fn figures(&self) -> Value {
        let at = Moment::now();
        let mut out = Map::new();
        let mut put = |key: &str, value: Value| drop(out.insert(key.to_owned(), value));
        put("component", json!(self.component));
        put("level", json!(self.level));
        put("name", json!(self.name));
        put("endpoint", worded(&self.endpoint));
        put("by", worded(&self.by));
        if let Some(pace) = &self.pace {
            put("rate", json!(pace.amount));
            put("every_seconds", json!(pace.every.as_secs_f64()));
            put("burst", json!(pace.burst));
        }
        let tally = self.counted.tally();
        put("allowed", json!(tally.allowed()));
        put("refused", json!(tally.refused()));
        let census = match &self.counted {
            Counted::Gate(gate) => {
                put("remaining", json!(gate.standing(at).remaining));
                gate.census()
            }
            Counted::Crowd(crowd) => {
                let census = crowd.census(at);
                put("callers", json!(census.callers));
                put("exhausted", json!(census.empty));
                census
            }
            Counted::KrakendAll(_) => Census::default(),
            Counted::KrakendEach(callers) => {
                put("callers", json!(callers.table.len()));
                Census::default()
            }
        };
        if let Some(daily) = self.daily() {
            let ends = day::next(at.wall);
            put(
                "day",
                json!({
                    "limit": daily.limit(),
                    "used": census.used / PARTS,
                    "exhausted": census.spent,
                    "ends": clock::rfc3339(ends),
                    "ends_in_seconds": ends.saturating_sub(at.wall).as_secs(),
                }),
            );
        }
        if let Some(store) = self.counted.store() {
            put(
                "store",
                json!({
                    "name": store.name(),
                    "state": store.word(),
                    "leases": census.leases,
                    "leased": census.leased / PARTS,
                    "owed": census.owed / PARTS,
                }),
            );
        }
        Value::Object(out)
    }

    fn store(&self) -> Option<(usize, Value)> {
        let store = self.counted.store()?;
        Some((Arc::as_ptr(store) as usize, store.figures()))
    }
}

impl Shown {
    fn daily(&self) -> Option<Daily> {
        match &self.counted {
            Counted::Crowd(crowd) => crowd.plan().daily,
            _ => None,
        }
    }
}

/// A text, or nothing for an empty one.
fn worded(text: &str) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        json!(text)
    }
}

/// A span as people write it.
fn span(nanos: i64) -> String {
    match nanos {
        1_000_000_000 => "a second".to_owned(),
        60_000_000_000 => "a minute".to_owned(),
        3_600_000_000_000 => "an hour".to_owned(),
        nanos => format!("{}s", nanos as f64 / 1e9),
    }
}
