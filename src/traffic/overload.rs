//! How many calls a backend gets at the same time: as many as it bears, a few more wait for a short while, all others
//! are refused at once, so that a slow backend holds no memory and no time of the gateway's. Who proved who they are
//! wait in front of those who did not, and take their place where the queue is full.
//!
//! KrakenD has nothing like it. Costs: two atomic operations for a call that need not wait.

use crate::base::{Error, Reason};
use crate::gateway::gate::{Caller, Ending, Gate};
use crate::gateway::stage::Step;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot::{Receiver, Sender, channel};

/// What a backend bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Calls at the same time.
    pub calls: u32,
    /// Calls that may wait besides.
    pub queue: usize,
    /// How long they may.
    pub patience: Duration,
}

/// The calls of one backend.
#[derive(Debug)]
pub struct Concurrency {
    name: String,
    bounds: Bounds,
    running: AtomicU32,
    /// How many wait, for whoever only looks.
    waiting: AtomicU32,
    refused: AtomicU64,
    queue: Mutex<Queue>,
}

/// Those who wait, each in the order of their coming.
#[derive(Debug, Default)]
struct Queue {
    known: VecDeque<Sender<Slot>>,
    anonymous: VecDeque<Sender<Slot>>,
}

impl Queue {
    fn len(&self) -> usize {
        self.known.len() + self.anonymous.len()
    }

    fn next(&mut self) -> Option<Sender<Slot>> {
        self.known
            .pop_front()
            .or_else(|| self.anonymous.pop_front())
    }

    /// Lets go who gave up.
    fn sweep(&mut self) {
        self.known.retain(|one| !one.is_closed());
        self.anonymous.retain(|one| !one.is_closed());
    }
}

/// Leave to make one call; goes back when dropped, wherever that happens.
#[derive(Debug)]
struct Slot(Option<Arc<Concurrency>>);

impl Slot {
    /// The slot is held by a number from here on, and given back by hand.
    fn kept(mut self) {
        self.0 = None;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(of) = self.0.take() {
            give_back(&of);
        }
    }
}

impl Concurrency {
    /// A backend that nobody calls yet.
    pub fn new(name: &str, bounds: Bounds) -> Self {
        Self {
            name: name.to_owned(),
            bounds,
            running: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            refused: AtomicU64::new(0),
            queue: Mutex::default(),
        }
    }

    /// Calls under way, and those that wait.
    pub fn load(&self) -> (u32, u32) {
        let waiting = self.waiting.load(Ordering::Relaxed);
        (self.running.load(Ordering::Relaxed), waiting)
    }

    fn take(&self) -> bool {
        self.running
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, |running| {
                (running < self.bounds.calls).then_some(running + 1)
            })
            .is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, queue: &Queue) {
        let waiting = u32::try_from(queue.len()).unwrap_or(u32::MAX);
        self.waiting.store(waiting, Ordering::SeqCst);
    }

    fn refusal(&self) -> Error {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let text = "the backend has as many calls as it bears";
        Error::new(Reason::Overloaded, text).retry_after(1)
    }
}

/// Hands freed slots to those who wait.
fn give_back(of: &Arc<Concurrency>) {
    of.running.fetch_sub(1, Ordering::SeqCst);
    // Whoever begins to wait looks for a slot once more after it is counted here, so that nobody is forgotten.
    if of.waiting.load(Ordering::SeqCst) == 0 {
        return;
    }
    let mut queue = of.lock();
    while queue.len() > 0 && of.take() {
        let mut slot = Slot(Some(Arc::clone(of)));
        loop {
            let Some(next) = queue.next() else {
                // By hand: dropped, it would ask for the lock that is held here.
                slot.kept();
                of.running.fetch_sub(1, Ordering::SeqCst);
                break;
            };
            match next.send(slot) {
                Ok(()) => break,
                // Nobody waits there any more.
                Err(back) => slot = back,
            }
        }
    }
    of.count(&queue);
}

/// Asks for a slot: at once, or by waiting for it.
enum Asked {
    Taken,
    Waits(Receiver<Slot>),
    Refused,
}

fn ask(of: &Arc<Concurrency>, caller: Caller) -> Asked {
    if of.waiting.load(Ordering::Relaxed) == 0 && of.take() {
        return Asked::Taken;
    }
    let mut queue = of.lock();
    if queue.len() >= of.bounds.queue {
        queue.sweep();
    }
    if queue.len() >= of.bounds.queue {
        // A known caller takes the place of the stranger who came last, who is told at once.
        let place = match caller {
            Caller::Known => queue.anonymous.pop_back(),
            Caller::Anonymous => None,
        };
        if place.is_none() {
            return if of.bounds.queue == 0 && of.take() {
                Asked::Taken
            } else {
                Asked::Refused
            };
        }
    }
    let (sender, receiver) = channel();
    match caller {
        Caller::Known => queue.known.push_back(sender),
        Caller::Anonymous => queue.anonymous.push_back(sender),
    }
    of.count(&queue);
    // One that was freed in between.
    if of.take() {
        let next = queue.next();
        of.count(&queue);
        drop(queue);
        let slot = Slot(Some(Arc::clone(of)));
        if let Some(next) = next {
            drop(next.send(slot));
        }
    }
    Asked::Waits(receiver)
}

/// The calls of a backend as its gate.
#[derive(Clone, Debug)]
pub struct Limit {
    /// They.
    of: Arc<Concurrency>,
    /// How long one of this gate may wait.
    patience: Duration,
}

impl Limit {
    /// The gate of an endpoint that has `timeout` for its calls: nobody waits longer than that.
    pub fn new(of: Arc<Concurrency>, timeout: Duration) -> Self {
        let patience = of.bounds.patience.min(timeout);
        Self { of, patience }
    }

    async fn wait(&self, mut receiver: Receiver<Slot>) -> Result<u64, Error> {
        let given = tokio::time::timeout(self.patience, &mut receiver).await;
        let slot = match given {
            Ok(given) => given.ok(),
            Err(_) => {
                receiver.close();
                receiver.try_recv().ok()
            }
        };
        match slot {
            Some(slot) => {
                slot.kept();
                Ok(0)
            }
            None => Err(self.of.refusal()),
        }
    }
}

impl Gate for Limit {
    fn name(&self) -> &'static str {
        "hanzo/overload"
    }

    fn enter(&self, caller: Caller) -> Step<'_, u64> {
        match ask(&self.of, caller) {
            Asked::Taken => Step::Now(Ok(0)),
            Asked::Waits(receiver) => Step::Wait(Box::pin(self.wait(receiver))),
            Asked::Refused => Step::Now(Err(self.of.refusal())),
        }
    }

    fn words(&self) -> String {
        let Bounds { calls, queue, .. } = self.of.bounds;
        let patience = self.patience.as_secs_f64();
        format!("{calls} calls at the same time, {queue} more wait for {patience}s at most")
    }

    fn leave(&self, _: u64, _: Ending<'_>) {
        give_back(&self.of);
    }

    fn figures(&self) -> Option<Value> {
        let (running, waiting) = self.of.load();
        Some(json!({
            "concurrency": self.of.name,
            "calls": running,
            "waiting": waiting,
            "refused": self.of.refused.load(Ordering::Relaxed),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::gate::{Gates, Passage};
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    const HOUR: Duration = Duration::from_secs(3600);

    fn limit(calls: u32, queue: usize) -> (Vec<Box<dyn Gate>>, Arc<Concurrency>) {
        let bounds = Bounds {
            calls,
            queue,
            patience: Duration::from_millis(100),
        };
        let concurrency = Arc::new(Concurrency::new("b", bounds));
        (
            vec![Box::new(Limit::new(Arc::clone(&concurrency), HOUR))],
            concurrency,
        )
    }

    async fn enter(gates: &Gates, caller: Caller) -> Result<Passage<'_>, Error> {
        Passage::enter(gates, caller).await
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    use Caller::{Anonymous, Known};

    #[tokio::test]
    async fn as_many_as_are_borne_pass_and_no_more() {
        let (gates, load) = limit(2, 0);
        let (a, _b) = (enter(&gates, Known).await, enter(&gates, Known).await);
        let error = enter(&gates, Known).await.map(drop).unwrap_err();
        assert_eq!(
            (error.reason, error.retry_after),
            (Reason::Overloaded, Some(1))
        );
        drop(a);
        assert!(enter(&gates, Anonymous).await.is_ok());
        assert_eq!(load.load(), (1, 0));
    }

    #[tokio::test]
    async fn who_waits_gets_what_is_freed_in_the_order_of_coming() {
        let (gates, load) = limit(1, 2);
        let first = enter(&gates, Anonymous).await.unwrap();
        let mut second = pin!(enter(&gates, Anonymous));
        let mut third = pin!(enter(&gates, Anonymous));
        assert!(poll(second.as_mut()).is_pending() && poll(third.as_mut()).is_pending());
        assert!(enter(&gates, Anonymous).await.is_err(), "the queue is full");
        drop(first);
        assert!(poll(third.as_mut()).is_pending());
        let second = second.await.unwrap();
        drop(second);
        drop(third.await.unwrap());
        assert_eq!(load.load(), (0, 0));
    }

    #[tokio::test]
    async fn known_callers_go_before_strangers_and_take_their_place() {
        let (gates, load) = limit(1, 1);
        let first = enter(&gates, Anonymous).await.unwrap();
        let mut stranger = pin!(enter(&gates, Anonymous));
        assert!(poll(stranger.as_mut()).is_pending());
        let mut known = pin!(enter(&gates, Known));
        assert!(poll(known.as_mut()).is_pending());
        assert!(stranger.await.is_err());
        assert!(enter(&gates, Anonymous).await.is_err(), "no place is left");
        drop(first);
        drop(known.await.unwrap());
        assert_eq!(load.load(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_has_an_end() {
        let (gates, load) = limit(1, 1);
        let first = enter(&gates, Known).await.unwrap();
        assert!(enter(&gates, Known).await.is_err());
        drop(first);
        assert!(enter(&gates, Known).await.is_ok());
        assert_eq!(load.load().0, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_its_endpoint_has_for_a_call() {
        let bounds = Bounds {
            calls: 1,
            queue: 9,
            patience: HOUR,
        };
        let concurrency = Arc::new(Concurrency::new("b", bounds));
        let short = Limit::new(Arc::clone(&concurrency), Duration::from_secs(2));
        let gates: Vec<Box<dyn Gate>> = vec![Box::new(short)];
        let _first = enter(&gates, Known).await.unwrap();
        let began = tokio::time::Instant::now();
        assert!(enter(&gates, Known).await.is_err());
        assert!(began.elapsed() < Duration::from_secs(3));
    }

    #[tokio::test]
    async fn whoever_leaves_while_waiting_or_with_a_slot_on_the_way_loses_none() {
        let (gates, load) = limit(1, 4);
        let first = enter(&gates, Known).await.unwrap();
        let mut gone = Box::pin(enter(&gates, Known));
        assert!(poll(gone.as_mut()).is_pending());
        drop(gone);
        let mut given = Box::pin(enter(&gates, Known));
        assert!(poll(given.as_mut()).is_pending());
        drop(first);
        drop(given);
        assert_eq!(load.load().0, 0);
        assert!(enter(&gates, Known).await.is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn under_contention_the_bound_holds_and_nobody_is_forgotten() {
        let bounds = Bounds {
            calls: 3,
            queue: 1_000,
            patience: Duration::from_secs(60),
        };
        let concurrency = Arc::new(Concurrency::new("b", bounds));
        let most = Arc::new(AtomicU32::new(0));
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let (limit, most) = (
                Limit::new(Arc::clone(&concurrency), HOUR),
                Arc::clone(&most),
            );
            all.spawn(async move {
                let gates: Vec<Box<dyn Gate>> = vec![Box::new(limit.clone())];
                for _ in 0..20 {
                    let passage = enter(&gates, Anonymous).await.unwrap();
                    most.fetch_max(limit.of.load().0, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    drop(passage);
                }
            });
        }
        while let Some(done) = all.join_next().await {
            done.unwrap();
        }
        assert_eq!(concurrency.load(), (0, 0));
        assert!(most.load(Ordering::Relaxed) <= 3);
    }
}
