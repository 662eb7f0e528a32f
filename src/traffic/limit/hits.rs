//! What happens when a limit refuses: the error with its one reason, the counter, and a warning that a flood cannot
//! turn into a flood of lines.

use super::fields::retry_after;
use crate::base::{Error, Reason};
use crate::gateway::ctx::Ctx;
use crate::telemetry::metrics::Metrics;
use prometheus::IntCounter;
use std::sync::atomic::{AtomicU64, Ordering};

/// The shortest time between two lines about one limit, in nanoseconds.
const QUIET: u64 = 1_000_000_000;

/// One limit's refusals.
#[derive(Debug)]
pub struct Hits {
    reason: Reason,
    level: &'static str,
    counter: IntCounter,
    /// When the next line may be written, in ticks.
    next: AtomicU64,
    /// Refusals since the last line.
    untold: AtomicU64,
}

impl Hits {
    /// Refusals for this reason at a level (`global`, `endpoint`, `client`, `tier`, `backend`) of an endpoint, whose
    /// pattern is empty for the service's own limits.
    pub fn new(metrics: &Metrics, reason: Reason, level: &'static str, endpoint: &str) -> Self {
        Self {
            reason,
            level,
            counter: metrics.rate_limit(level, endpoint),
            next: AtomicU64::new(0),
            untold: AtomicU64::new(0),
        }
    }

    /// Counts and logs a refusal at a moment in ticks, and gives what the request dies of. `wait` is in nanoseconds.
    pub fn hit(&self, ctx: &Ctx, ticks: u64, wait: u64) -> Error {
        self.counter.inc();
        if let Some(untold) = self.may_tell(ticks) {
            let (route, client) = (ctx.route(), ctx.client.to_string());
            let (level, reason, client) = (self.level, self.reason.word(), client.as_str());
            let request_id = &*ctx.request_id;
            log::warn!(route, level, reason, client, request_id, untold; "rate limit hit");
        }
        Error::from(self.reason).retry_after(retry_after(wait))
    }

    /// How many refusals went untold, if it is time for a line again.
    fn may_tell(&self, ticks: u64) -> Option<u64> {
        let next = self.next.load(Ordering::Relaxed);
        let then = ticks.saturating_add(QUIET);
        let mine = ticks >= next
            && self
                .next
                .compare_exchange(next, then, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if mine {
            return Some(self.untold.swap(0, Ordering::Relaxed));
        }
        self.untold.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_one_line_a_second() {
        let metrics = Metrics::new().unwrap();
        let hits = Hits::new(&metrics, Reason::ClientRateExceeded, "client", "/a");
        assert_eq!(hits.may_tell(5), Some(0));
        for tick in 6..500 {
            assert_eq!(hits.may_tell(tick), None);
        }
        assert_eq!(hits.may_tell(QUIET + 5), Some(494));
        assert_eq!(hits.may_tell(QUIET + 6), None);
    }
}
