//! One limit of all callers together, and one of each caller: what stages ask.

use super::bucket::Bucket;
use super::callers::Callers;
use super::plan::{Cost, Exhausted, Plan, Seen};
use super::rate::{Rate, Taken};
use super::table::{Moment, Table};
use crate::gateway::task::Task;
use std::sync::Arc;

/// A limit of all callers together.
#[derive(Debug)]
pub struct Gate {
    bucket: Bucket,
}

impl Gate {
    /// A full bucket.
    pub fn new(rate: Rate, at: Moment) -> Self {
        Self {
            bucket: Bucket::new(rate, at.ticks),
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
    pub fn take(&self, at: Moment, cost: Cost) -> Taken {
        self.bucket.take(at.ticks, cost.units)
    }

    /// How it stands, taking nothing.
    ///
    /// # Errors
    /// When the cost is not there.
    pub fn peek(&self, at: Moment, cost: Cost) -> Taken {
        self.bucket.peek(at.ticks, cost.units)
    }
}

/// A limit of each caller.
#[derive(Debug)]
pub struct Crowd {
    callers: Arc<Callers<Plan>>,
}

impl Crowd {
    /// Nobody yet.
    pub fn new(callers: Arc<Callers<Plan>>) -> Self {
        Self { callers }
    }

    /// What a caller may use.
    pub fn plan(&self) -> &Plan {
        self.callers.table.rule()
    }

    /// The key of a caller of this kind.
    pub fn key(&self, kind: u8, caller: &[u8]) -> u128 {
        self.callers.table.key(kind, caller)
    }

    /// Takes the cost of a request from a caller's share.
    ///
    /// # Errors
    /// When it is not there.
    pub fn take(&self, key: u128, at: Moment, cost: Cost) -> Result<Option<Seen>, Exhausted> {
        let table: &Table<Plan> = &self.callers.table;
        table.with(key, at, |plan, held| plan.take(held, at, cost))
    }

    /// Puts back what a request took that was then refused elsewhere.
    pub fn give_back(&self, key: u128, at: Moment, cost: Cost) {
        let table: &Table<Plan> = &self.callers.table;
        table.known(key, |plan, held| plan.give_back(held, at, cost));
    }

    /// The work beside the requests.
    pub fn task(&self) -> Arc<dyn Task> {
        Arc::clone(&self.callers) as Arc<dyn Task>
    }
}
