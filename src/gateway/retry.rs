//! Whether a call that failed is made again, at another host: few times, only what may be done twice, and never more
//! than a share of the traffic, so that a backend in trouble does not get more calls than one that works.

use crate::base::{Error, Reason, clock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How calls are repeated.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Calls for one request, the first included.
    pub tries: u32,
    /// The wait before the second try; doubled for each further one, with jitter.
    pub back_off: Duration,
    /// Longest wait for the head of an answer while there are tries left.
    pub try_timeout: Option<Duration>,
    /// Statuses that are as good as a failure.
    pub statuses: Box<[u16]>,
    /// How many in all.
    pub budget: Arc<Budget>,
}

/// The longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(1);

/// What is known of a call that failed.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'e> {
    /// Why.
    pub error: &'e Error,
    /// Whether it may be sent twice: its method is idempotent, and its body is there as a whole.
    pub repeatable: bool,
}

/// What is known of a call that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Whether it says when to come back: it has a `Retry-After`.
    pub waits: bool,
    /// Whether the backend has a host that was not asked.
    pub elsewhere: bool,
    /// Whether the call may be sent twice.
    pub repeatable: bool,
}

impl Retry {
    /// How long to wait before a call is made again, if it is; `tries` were made, and this much time is `left` for the
    /// next one. Takes its part of the budget.
    pub fn after(
        &self,
        tries: u32,
        failure: Failure<'_>,
        left: Option<Duration>,
    ) -> Option<Duration> {
        let may = unsent(failure.error.reason)
            || failure.repeatable && lost(failure.error.reason, self.try_timeout.is_some());
        may.then(|| self.again(tries, left)).flatten()
    }

    /// The same for an answer. A backend that says when to come back and has no other host is not asked again before.
    pub fn after_answer(
        &self,
        tries: u32,
        answer: Answer,
        left: Option<Duration>,
    ) -> Option<Duration> {
        let may = answer.repeatable
            && self.statuses.contains(&answer.status)
            && (answer.elsewhere || !answer.waits);
        may.then(|| self.again(tries, left)).flatten()
    }

    /// The wait, unless there are no tries left, no time behind it, or no budget.
    fn again(&self, tries: u32, left: Option<Duration>) -> Option<Duration> {
        if tries >= self.tries {
            return None;
        }
        let wait = self.pause(tries);
        let in_time = left.is_none_or(|left| wait < left);
        (in_time && self.budget.take()).then_some(wait)
    }

    /// Whether tries are left.
    pub const fn is_left(&self, tries: u32) -> bool {
        tries < self.tries
    }

    /// Between half and one and a half times the wait.
    fn pause(&self, tries: u32) -> Duration {
        let doubled = self
            .back_off
            .saturating_mul(1 << tries.saturating_sub(1).min(10));
        doubled.min(LONGEST).mul_f64(0.5 + fastrand::f64())
    }
}

/// Whether the backend saw nothing of the request.
pub const fn unsent(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::DnsFailed
            | Reason::ConnectRefused
            | Reason::ConnectFailed
            | Reason::ConnectTimeout
            | Reason::TlsFailed
    )
}

/// Whether the backend may have seen the request and nobody will know what came of it.
const fn lost(reason: Reason, try_timeout: bool) -> bool {
    matches!(reason, Reason::BackendReset | Reason::BackendInvalid)
        || try_timeout && matches!(reason, Reason::BackendTimeout)
}

/// How many seconds the budget looks back.
const WINDOW: u32 = 10;

/// A share of the requests of the last ten seconds.
#[derive(Debug)]
pub struct Budget {
    /// Repeated calls for a hundred requests.
    percent: u32,
    /// Repeated calls that are allowed in the window however few requests there are.
    least: u32,
    seconds: [Second; WINDOW as usize],
}

/// What was counted in one second.
#[derive(Debug, Default)]
struct Second {
    number: AtomicU32,
    requests: AtomicU32,
    repeated: AtomicU32,
}

impl Budget {
    /// A budget that is not used yet.
    pub fn new(percent: u32, least: u32) -> Self {
        Self {
            percent,
            least,
            seconds: Default::default(),
        }
    }

    /// A request comes.
    pub fn request(&self) {
        self.count(second(), |second| &second.requests);
    }

    /// Takes a repeated call, if one is left.
    pub fn take(&self) -> bool {
        self.take_at(second())
    }

    fn take_at(&self, now: u32) -> bool {
        let within = |more: u32| {
            let (requests, repeated) = self.sums(now);
            let share = u64::from(requests) * u64::from(self.percent) / 100;
            u64::from(repeated) + u64::from(more) <= share.max(u64::from(self.least))
        };
        if !within(1) {
            return false;
        }
        self.count(now, |second| &second.repeated);
        // Others may have taken the last one in between. Who sees too many goes without: too few are better.
        let taken = within(0);
        if !taken {
            self.uncount(now);
        }
        taken
    }

    fn uncount(&self, now: u32) {
        let slot = self.seconds.get((now % WINDOW) as usize);
        if let Some(slot) = slot.filter(|slot| slot.number.load(Ordering::Relaxed) == now) {
            let less = |count: u32| Some(count.saturating_sub(1));
            let _ = slot
                .repeated
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// Requests and repeated calls in the window.
    pub fn used(&self) -> (u32, u32) {
        self.sums(second())
    }

    fn sums(&self, now: u32) -> (u32, u32) {
        let recent = |one: &&Second| now.wrapping_sub(one.number.load(Ordering::Relaxed)) < WINDOW;
        let recent = self.seconds.iter().filter(recent);
        recent.fold((0, 0), |(requests, repeated), one| {
            (
                requests + one.requests.load(Ordering::Relaxed),
                repeated + one.repeated.load(Ordering::Relaxed),
            )
        })
    }

    fn count(&self, now: u32, which: impl Fn(&Second) -> &AtomicU32) {
        let Some(slot) = self.seconds.get((now % WINDOW) as usize) else {
            return;
        };
        let known = slot.number.load(Ordering::Relaxed);
        if known != now
            && slot
                .number
                .compare_exchange(known, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            // Whoever counts in between is lost or counted in the old second: a request or two in ten seconds.
            slot.requests.store(0, Ordering::Relaxed);
            slot.repeated.store(0, Ordering::Relaxed);
        }
        which(slot).fetch_add(1, Ordering::Relaxed);
    }
}

/// Seconds since the process began; from one, so that an empty slot is none of them.
fn second() -> u32 {
    u32::try_from(clock::moment() / 1_000_000_000)
        .unwrap_or(u32::MAX)
        .saturating_add(WINDOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(statuses: &[u16], try_timeout: Option<Duration>) -> Retry {
        Retry {
            tries: 3,
            back_off: Duration::from_millis(10),
            try_timeout,
            statuses: statuses.into(),
            budget: Arc::new(Budget::new(20, 100)),
        }
    }

    #[test]
    fn only_what_may_be_done_twice_is_repeated() {
        let second = Some(Duration::from_secs(1));
        for (reason, try_timeout, repeatable, again) in [
            (Reason::ConnectRefused, None, false, true),
            (Reason::TlsFailed, None, false, true),
            (Reason::BackendReset, None, true, true),
            (Reason::BackendReset, None, false, false),
            (Reason::BackendTimeout, None, true, false),
            (Reason::BackendTimeout, second, true, true),
            (Reason::BackendTimeout, second, false, false),
            (Reason::ClientGone, None, true, false),
            (Reason::BackendStatus, None, true, false),
            (Reason::Overloaded, None, true, false),
        ] {
            let error = &Error::from(reason);
            let failure = Failure { error, repeatable };
            let found = retry(&[], try_timeout).after(1, failure, None).is_some();
            assert_eq!(found, again, "{reason:?} {try_timeout:?} {repeatable}");
        }
        let retry = retry(&[503], None);
        for (status, waits, elsewhere, repeatable, again) in [
            (503, false, false, true, true),
            (503, false, true, false, false),
            (500, false, true, true, false),
            (503, true, true, true, true),
            (503, true, false, true, false),
        ] {
            let answer = Answer {
                status,
                waits,
                elsewhere,
                repeatable,
            };
            let found = retry.after_answer(1, answer, None).is_some();
            assert_eq!(found, again, "{answer:?}");
        }
    }

    #[test]
    fn tries_are_bounded_and_waits_grow_with_jitter() {
        let error = &Error::from(Reason::ConnectRefused);
        let repeatable = true;
        let retry = retry(&[], None);
        let wait = |tries| retry.after(tries, Failure { error, repeatable }, None);
        for (tries, base) in [(1, 10), (2, 20)] {
            let wait = wait(tries).unwrap().as_millis();
            assert!((base / 2..base * 2).contains(&wait), "{wait}");
        }
        assert_eq!(wait(3), None);
    }

    #[test]
    fn a_wait_that_is_longer_than_what_is_left_is_not_begun_and_costs_nothing() {
        let retry = retry(&[503], None);
        let short = Some(Duration::from_millis(5));
        let error = &Error::from(Reason::ConnectRefused);
        let failure = Failure {
            error,
            repeatable: true,
        };
        assert_eq!(retry.after(1, failure, short), None);
        let answer = Answer {
            status: 503,
            waits: false,
            elsewhere: true,
            repeatable: true,
        };
        assert_eq!(retry.after_answer(1, answer, short), None);
        assert_eq!(retry.after(1, failure, Some(Duration::ZERO)), None);
        assert_eq!(retry.budget.used(), (0, 0));
        let long = Some(Duration::from_secs(1));
        assert!(retry.after(1, failure, long).is_some());
    }

    #[test]
    fn no_more_than_a_share_is_taken_by_many_at_once() {
        let budget = Budget::new(20, 3);
        for _ in 0..1_000 {
            budget.count(50, |second| &second.requests);
        }
        let taken: usize = std::thread::scope(|scope| {
            let take = || (0..500).filter(|_| budget.take_at(50)).count();
            let all: Vec<_> = (0..8).map(|_| scope.spawn(take)).collect();
            all.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert!(taken <= 200, "{taken}");
        assert_eq!(budget.sums(50).1 as usize, taken);
    }

    #[test]
    fn no_more_than_a_share_of_the_traffic_is_repeated() {
        let budget = Budget::new(20, 3);
        for _ in 0..1_000 {
            budget.count(50, |second| &second.requests);
        }
        let taken = (0..1_000).filter(|_| budget.take_at(50)).count();
        assert_eq!(taken, 200);
        // Ten seconds later all of that is forgotten.
        assert!(!budget.take_at(59));
        let taken = (0..1_000).filter(|_| budget.take_at(60)).count();
        assert_eq!(taken, 3);
    }

    #[test]
    fn the_window_slides() {
        let budget = Budget::new(50, 0);
        for second in 20..30 {
            for _ in 0..10 {
                budget.count(second, |second| &second.requests);
            }
        }
        assert_eq!(budget.sums(29), (100, 0));
        assert_eq!(budget.sums(34), (50, 0));
        assert_eq!(budget.sums(40), (0, 0));
    }
}
