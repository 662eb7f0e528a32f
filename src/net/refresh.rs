//! A value that is looked up outside: served from memory, refreshed in the background, looked up once
//! however many wait for it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::base::clock;

use super::error::NetError;

/// How long a failure is remembered, and how long an old value serves on after a failed refresh.
pub(crate) const FAILURE_SPAN: Duration = Duration::from_secs(1);

struct Entry<T> {
    value: Result<T, NetError>,
    until: Instant,
}

/// The memory of one look-up.
pub(crate) struct Cached<T> {
    entry: ArcSwapOption<Entry<T>>,
    running: AtomicBool,
    done: Notify,
}

impl<T: Clone + Send + Sync + 'static> Cached<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            entry: ArcSwapOption::empty(),
            running: AtomicBool::new(false),
            done: Notify::new(),
        })
    }

    /// The value: a fresh one at once, a stale one at once while one refresh runs, none yet after the
    /// first look-up ended. `lookup` gives the value and how long it is fresh. It runs in a task of its
    /// own, so a waiter that gives up does not waste it for the others.
    pub(crate) async fn get<F, Fut>(self: &Arc<Self>, lookup: F) -> Result<T, NetError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<(T, Duration), NetError>> + Send + 'static,
    {
        loop {
            if let Some(value) = self.at_hand(&lookup) {
                return value;
            }
            // Listening takes a lock, so only who may wait does; what ended meanwhile is seen by the second look.
            let mut done = std::pin::pin!(self.done.notified());
            done.as_mut().enable();
            if let Some(value) = self.at_hand(&lookup) {
                return value;
            }
            self.start(lookup());
            done.await;
        }
    }

    /// What is known; a look-up begins where that is not fresh.
    fn at_hand<F, Fut>(self: &Arc<Self>, lookup: &F) -> Option<Result<T, NetError>>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<(T, Duration), NetError>> + Send + 'static,
    {
        let (value, fresh) = self.known()?;
        if !fresh {
            self.start(lookup());
        }
        Some(value)
    }

    /// Shows the value if it is a fresh one: nobody is told to look it up.
    pub(crate) fn fresh<R>(&self, see: impl FnOnce(&T) -> R) -> Option<R> {
        let entry = self.entry.load();
        let entry = entry.as_ref()?;
        let value = entry.value.as_ref().ok()?;
        (Instant::from_std(clock::now()) < entry.until).then(|| see(value))
    }

    /// What is known, and whether it is fresh. A stale failure counts as unknown.
    fn known(&self) -> Option<(Result<T, NetError>, bool)> {
        let entry = self.entry.load();
        let entry = entry.as_ref()?;
        let fresh = Instant::now() < entry.until;
        (fresh || entry.value.is_ok()).then(|| (entry.value.clone(), fresh))
    }

    /// Runs a look-up unless one runs already.
    fn start<Fut>(self: &Arc<Self>, lookup: Fut)
    where
        Fut: Future<Output = Result<(T, Duration), NetError>> + Send + 'static,
    {
        if self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let turn = Turn(Arc::clone(self));
        #[expect(
            clippy::disallowed_methods,
            reason = "one refresh at a time per name, bounded by the resolver's own deadline; whoever waits for it may go"
        )]
        tokio::spawn(async move {
            let found = lookup.await;
            turn.0.store(found);
            drop(turn);
        });
    }

    fn store(&self, found: Result<(T, Duration), NetError>) {
        let now = Instant::now();
        let (value, span) = match found {
            Ok((value, span)) => (Ok(value), span),
            Err(error) => match self.entry.load().as_ref() {
                Some(old) if old.value.is_ok() => (old.value.clone(), FAILURE_SPAN),
                _ => (Err(error), FAILURE_SPAN),
            },
        };
        self.entry.store(Some(Arc::new(Entry {
            value,
            until: now + span,
        })));
    }
}

/// The right to look up; given back however the task ends.
struct Turn<T: Clone + Send + Sync + 'static>(Arc<Cached<T>>);

impl<T: Clone + Send + Sync + 'static> Drop for Turn<T> {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
        self.0.done.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Reason;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Semaphore;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn many_waiters_cause_one_lookup() {
        let cached = Cached::new();
        let (calls, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let lookup = || {
            let (calls, gate) = (Arc::clone(&calls), Arc::clone(&gate));
            async move {
                calls.fetch_add(1, Ordering::Relaxed);
                gate.acquire().await.unwrap().forget();
                Ok((7, LONG))
            }
        };
        let (a, b, ()) = tokio::join!(cached.get(lookup), cached.get(lookup), async {
            gate.add_permits(1);
        });
        assert_eq!((a, b), (Ok(7), Ok(7)));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_stale_value_is_served_while_one_refresh_runs() {
        let cached = Cached::new();
        cached.store(Ok((1, Duration::ZERO)));
        let done = cached.done.notified();
        assert_eq!(cached.get(|| async { Ok((2, LONG)) }).await, Ok(1));
        done.await;
        assert_eq!(cached.get(|| async { Ok((3, LONG)) }).await, Ok(2));
    }

    #[tokio::test]
    async fn a_failed_refresh_keeps_the_old_value() {
        let cached = Cached::new();
        let fail = || async { Err(NetError::new(Reason::DnsFailed, "no")) };
        cached.store(Ok((1, Duration::ZERO)));
        let done = cached.done.notified();
        assert_eq!(cached.get(fail).await, Ok(1));
        done.await;
        assert_eq!(cached.get(fail).await, Ok(1));
    }

    #[test]
    fn only_a_fresh_value_is_at_hand() {
        let cached = Cached::new();
        assert_eq!(cached.fresh(|value| *value), None);
        cached.store(Ok((1, LONG)));
        assert_eq!(cached.fresh(|value| *value), Some(1));
        cached.store(Ok((2, Duration::ZERO)));
        assert_eq!(cached.fresh(|value| *value), None);
        let failed = Cached::<u8>::new();
        failed.store(Err(NetError::new(Reason::DnsFailed, "no")));
        assert_eq!(failed.fresh(|value| *value), None);
    }

    #[tokio::test]
    async fn a_failure_is_remembered_for_a_while() {
        let cached = Cached::<u8>::new();
        let fail = || async { Err(NetError::new(Reason::DnsFailed, "no")) };
        assert!(cached.get(fail).await.is_err());
        assert!(cached.get(|| async { Ok((1, LONG)) }).await.is_err());
    }
}
