//! Who may make the task fetch, and how others learn that it did: fetches are numbered, a request that needs one gets
//! the number to wait for.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Requests make the task fetch at most once in this time.
const BETWEEN: Duration = Duration::from_secs(10);
/// Most names that are remembered as missing.
const MOST_MISSING: usize = 1024;

/// The fetches of a source by their numbers.
pub(super) struct Asking {
    counts: Mutex<Counts>,
    /// Wakes the task.
    wanted: Notify,
    /// The number of the last fetch that ended, and of the last that brought keys.
    done: watch::Sender<(u64, u64)>,
    /// Names that a fetch did not bring, and until when nobody asks for them again.
    missing: Mutex<HashMap<Box<str>, Instant>>,
    cooldown: Option<Duration>,
}

/// All numbers only grow.
struct Counts {
    /// The last fetch that somebody waits for or that is to come anyway.
    wanted: u64,
    /// The last that began.
    begun: u64,
    /// The last that ended.
    ended: u64,
    /// When a request made the task fetch.
    claimed: Option<Instant>,
}

impl Asking {
    /// Before the first fetch, which comes anyway. With a cooldown, names that a fetch did not bring are not asked
    /// for again that long (`failed_jwk_key_cooldown`).
    pub(super) fn new(cooldown: Option<Duration>) -> Self {
        Self {
            counts: Mutex::new(Counts {
                wanted: 1,
                begun: 0,
                ended: 0,
                claimed: None,
            }),
            wanted: Notify::new(),
            done: watch::Sender::new((0, 0)),
            missing: Mutex::default(),
            cooldown,
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fetch that may bring a key of this name: one that is about to begin or under way, or a new one if that
    /// is due. `None` when there is nothing to wait for.
    pub(super) fn ask(&self, name: &str) -> Option<u64> {
        let now = Instant::now();
        if self.is_missing(name, now) {
            return None;
        }
        let mut counts = self.counts();
        if counts.wanted > counts.ended {
            return Some(counts.wanted);
        }
        let too_soon = |at| now.saturating_duration_since(at) < BETWEEN;
        if counts.claimed.is_some_and(too_soon) {
            return None;
        }
        counts.claimed = Some(now);
        counts.wanted = counts.begun + 1;
        let ticket = counts.wanted;
        drop(counts);
        self.wanted.notify_one();
        Some(ticket)
    }

    /// Waits for the end of a fetch. Whether it brought keys.
    pub(super) async fn answered(&self, ticket: u64) -> bool {
        let mut done = self.done.subscribe();
        let ended = done.wait_for(|(ended, _)| *ended >= ticket).await;
        ended.is_ok_and(|done| done.1 >= ticket)
    }

    /// Waits until a request wants a fetch.
    pub(super) async fn asked(&self) {
        self.wanted.notified().await;
    }

    /// A fetch begins.
    pub(super) fn begin(&self) -> u64 {
        let mut counts = self.counts();
        counts.begun += 1;
        counts.wanted = counts.wanted.max(counts.begun);
        counts.begun
    }

    /// It ended, well or not.
    pub(super) fn finish(&self, ticket: u64, well: bool) {
        let mut counts = self.counts();
        counts.ended = counts.ended.max(ticket);
        // Under the lock, so that who finds it ended finds the word of it too.
        self.done.send_modify(|(ended, good)| {
            *ended = (*ended).max(ticket);
            if well {
                *good = (*good).max(ticket);
            }
        });
    }

    /// A fetch that went well did not bring this name.
    pub(super) fn note_missing(&self, name: &str) {
        let Some(cooldown) = self.cooldown else {
            return;
        };
        let now = Instant::now();
        let mut missing = self.missing();
        if missing.len() >= MOST_MISSING {
            missing.retain(|_, until| *until > now);
        }
        // Still full of names that count: somebody makes them up, and more of them would not help.
        if missing.len() < MOST_MISSING {
            missing.insert(name.into(), now + cooldown);
        }
    }

    fn missing(&self) -> MutexGuard<'_, HashMap<Box<str>, Instant>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_missing(&self, name: &str, now: Instant) -> bool {
        self.cooldown.is_some() && self.missing().get(name).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn before_and_during_a_fetch_everybody_waits_for_it() {
        let asking = Asking::new(None);
        assert_eq!((asking.ask("a"), asking.ask("b")), (Some(1), Some(1)));
        let ticket = asking.begin();
        assert_eq!((ticket, asking.ask("c")), (1, Some(1)));
        asking.finish(ticket, true);
        assert!(asking.answered(1).await);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_make_the_task_fetch_once_in_ten_seconds() {
        let asking = Asking::new(None);
        let ticket = asking.begin();
        asking.finish(ticket, true);
        assert_eq!(asking.ask("a"), Some(2));
        asking.asked().await;
        let ticket = asking.begin();
        asking.finish(ticket, true);
        for name in ["a", "b", "c"] {
            assert_eq!(asking.ask(name), None);
        }
        tokio::time::advance(BETWEEN).await;
        assert_eq!(asking.ask("a"), Some(3));
    }

    #[tokio::test(start_paused = true)]
    async fn fetches_that_come_anyway_cost_no_request_its_turn() {
        let asking = Asking::new(None);
        for _ in 0..3 {
            let ticket = asking.begin();
            asking.finish(ticket, false);
        }
        assert!(!asking.answered(3).await);
        assert_eq!(asking.ask("a"), Some(4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_name_is_not_asked_for_until_its_time_is_over() {
        let asking = Asking::new(Some(Duration::from_secs(60)));
        let ticket = asking.begin();
        asking.finish(ticket, true);
        asking.note_missing("a");
        assert_eq!(asking.ask("a"), None);
        assert_eq!(asking.ask("b"), Some(2));
        let ticket = asking.begin();
        asking.finish(ticket, true);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(asking.ask("a"), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(asking.ask("a"), Some(3));
    }

    #[tokio::test(start_paused = true)]
    async fn missing_names_are_bounded() {
        let asking = Asking::new(Some(Duration::from_secs(60)));
        for at in 0..2 * MOST_MISSING {
            asking.note_missing(&at.to_string());
        }
        assert_eq!(asking.missing().len(), MOST_MISSING);
        tokio::time::advance(Duration::from_secs(60)).await;
        asking.note_missing("new");
        assert_eq!(asking.missing().len(), 1);
    }
}
