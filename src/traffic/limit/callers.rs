//! The callers of one limit: their table, and the sweep that empties it while requests go on.

use super::table::{Moment, Rule, Table};
use super::tally::Tally;
use crate::gateway::task::{Running, Task};
use std::sync::Arc;
use std::time::Duration;

/// How often idle callers are forgotten, unless a file says otherwise.
pub const CLEANUP: Duration = Duration::from_secs(60);
/// Shards of a table, unless a file says otherwise. A lock is held for some fifty nanoseconds: more would
/// only be more memory.
pub const SHARDS: usize = 64;

/// Callers of a limit. As a task it sweeps its table; a table that nobody sweeps is bounded too, and only
/// keeps memory longer than it must.
#[derive(Debug)]
pub struct Callers<R: Rule> {
    /// Their state.
    pub table: Table<R>,
    /// What became of their requests.
    pub tally: Tally,
    every: Duration,
}

impl<R: Rule> Callers<R> {
    /// Nobody yet; swept in this rhythm, at most once a second.
    pub fn new(table: Table<R>, every: Duration) -> Self {
        Self {
            table,
            tally: Tally::default(),
            every: every.max(Duration::from_secs(1)),
        }
    }
}

impl<R: Rule + 'static> Task for Callers<R> {
    fn name(&self) -> &'static str {
        "sweep of rate limits"
    }

    fn run(self: Arc<Self>) -> Running {
        Box::pin(async move {
            loop {
                tokio::time::sleep(self.every).await;
                for shard in 0..self.table.shards() {
                    self.table.sweep(shard, Moment::now());
                    // A shard of thousands takes a tenth of a millisecond; requests come between two.
                    tokio::task::yield_now().await;
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::super::rate::Rate;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn callers_that_are_full_again_are_forgotten() {
        let plan = Plan {
            // Full again before anybody looks.
            rate: Rate::new(1e9, Duration::from_secs(1), 1),
            daily: None,
        };
        let table = Table::new(plan, 4, 1_000);
        let callers = Arc::new(Callers::new(table, Duration::ZERO));
        for caller in 0..100_u8 {
            let (key, at) = (callers.table.key(0, &[caller]), Moment::now());
            let cost = plan.cost(1.0);
            let taken = callers
                .table
                .with(key, at, |plan, held| plan.take(held, at, cost));
            taken.unwrap();
        }
        let sweep = tokio::time::timeout(Duration::from_secs(10), Arc::clone(&callers).run());
        assert!(sweep.await.is_err(), "a sweep never ends by itself");
        assert!(callers.table.is_empty());
    }
}
