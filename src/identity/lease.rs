//! Something of somebody else's that is good for a while: a token, credentials. It is fetched when it is first asked
//! for, remembered, and fetched anew before it ends, by one fetch at a time however many ask. A fetch belongs to no
//! request: it goes on when the one that began it leaves, and has a deadline of its own.

use crate::base::{Error, Reason};
use crate::net::Deadline;
use arc_swap::ArcSwapOption;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

/// Longest time for one fetch.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The pause after a first failed fetch; doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause after failed fetches.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Somebody who is refused with it makes it forgotten at most this often.
const FORGETS: Duration = Duration::from_secs(1);

/// What a fetch brings.
#[derive(Debug)]
pub struct Fresh<T> {
    /// The value.
    pub value: T,
    /// How long it is good from when the fetch began; `None` for ever.
    pub life: Option<Duration>,
}

/// A fetch under way.
pub type Fetching<T> = Pin<Box<dyn Future<Output = Result<Fresh<T>, Error>> + Send>>;

/// How values are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A value counts as over so long before its end.
    pub margin: Duration,
    /// The margin is at most a fifth of the value's life, a fetch begins in the background when four fifths of what is
    /// left are over, a value in its margin is still used when no other can be had, and fetches that fail are
    /// followed by a pause. Without it, a value is fetched when the last one is over, as often as somebody asks.
    pub eager: bool,
}

/// A remembered value.
#[derive(Debug)]
pub struct Held<T> {
    /// The value.
    pub value: T,
    begun: Instant,
    /// From here on it is fetched anew beside its use.
    ages: Option<Instant>,
    /// From here on it is not used.
    over: Option<Instant>,
    /// Here it ends.
    ends: Option<Instant>,
}

impl<T> Held<T> {
    fn new(fresh: Fresh<T>, begun: Instant, rules: Rules) -> Self {
        let at = |span: Duration| begun.checked_add(span);
        let used = fresh.life.map(|life| {
            let margin = if rules.eager {
                rules.margin.min(life / 5)
            } else {
                rules.margin
            };
            life.saturating_sub(margin)
        });
        Self {
            value: fresh.value,
            begun,
            ages: used
                .filter(|_| rules.eager)
                .and_then(|used| at(used / 5 * 4)),
            over: used.and_then(at),
            ends: fresh.life.and_then(at),
        }
    }

    fn before(moment: Option<Instant>) -> bool {
        moment.is_none_or(|moment| Instant::now() < moment)
    }

    /// Whether it is old enough to be fetched anew beside its use.
    pub fn is_old(&self) -> bool {
        !Self::before(self.ages)
    }
}

type Landed<T> = Option<Result<Arc<Held<T>>, Error>>;

struct Flight<T> {
    under_way: Option<watch::Receiver<Landed<T>>>,
    /// Nothing is fetched before this moment, and this is why.
    pause: Option<(Instant, Error)>,
    failures: u32,
    forgotten: Option<Instant>,
}

/// A value that is held as long as it is good.
pub struct Lease<T> {
    rules: Rules,
    current: ArcSwapOption<Held<T>>,
    flight: Mutex<Flight<T>>,
}

impl<T> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// What somebody who asks for a fetch gets.
enum Begun<T> {
    There(Arc<Held<T>>),
    Waits(watch::Receiver<Landed<T>>),
}

impl<T: Send + Sync + 'static> Lease<T> {
    /// Nothing is held yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            current: ArcSwapOption::empty(),
            flight: Mutex::new(Flight {
                under_way: None,
                pause: None,
                failures: 0,
                forgotten: None,
            }),
        }
    }

    /// What is held and may be used. Does not wait.
    pub fn held(&self) -> Option<Arc<Held<T>>> {
        let held = self.current.load_full()?;
        Held::<T>::before(held.over).then_some(held)
    }

    /// Begins a fetch that nobody waits for, unless one is under way.
    pub fn renew(self: &Arc<Self>, fetch: impl FnOnce() -> Fetching<T>) {
        // Nobody is refused for it: what is held is still good, and the failure is told where it happens.
        let _ = self.begin(true, fetch);
    }

    /// What is held, or what a fetch brings until the deadline.
    ///
    /// # Errors
    /// What the fetch died of, or that it took too long.
    pub async fn get(
        self: &Arc<Self>,
        deadline: Deadline,
        fetch: impl FnOnce() -> Fetching<T>,
    ) -> Result<Arc<Held<T>>, Error> {
        let landed = match self.begin(false, fetch) {
            Ok(Begun::There(held)) => return Ok(held),
            Ok(Begun::Waits(mut landing)) => {
                let there = landing.wait_for(Option::is_some);
                let landed = match deadline.run(there).await {
                    Some(Ok(landed)) => landed.clone(),
                    Some(Err(_)) => Some(Err(lost("the fetch broke off"))),
                    None => Some(Err(lost("it did not come in time"))),
                };
                landed.unwrap_or_else(|| Err(lost("the fetch broke off")))
            }
            Err(error) => Err(error),
        };
        landed.or_else(|error| self.last_resort().ok_or(error))
    }

    /// Forgets what is held if it was had before this moment: somebody who was shown it refused it. A source whose
    /// every value is refused is not asked more often for that.
    pub fn forget(&self, shown: std::time::Instant) {
        let held = self.current.load();
        let Some(old) = held.as_ref().filter(|held| held.begun <= shown.into()) else {
            return;
        };
        let mut flight = self.flight();
        let now = Instant::now();
        let recently = |at: Instant| now.saturating_duration_since(at) < FORGETS;
        if !flight.forgotten.is_some_and(recently) {
            flight.forgotten = Some(now);
            self.current.compare_and_swap(old, None);
        }
    }

    fn last_resort(&self) -> Option<Arc<Held<T>>> {
        let held = self.current.load_full()?;
        (self.rules.eager && Held::<T>::before(held.ends)).then_some(held)
    }

    fn flight(&self) -> MutexGuard<'_, Flight<T>> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(
        self: &Arc<Self>,
        anew: bool,
        fetch: impl FnOnce() -> Fetching<T>,
    ) -> Result<Begun<T>, Error> {
        let mut flight = self.flight();
        // It may have landed since the caller looked.
        if let Some(held) = self.held().filter(|held| !anew || !held.is_old()) {
            return Ok(Begun::There(held));
        }
        // A fetch that panicked has closed its end.
        let alive = |landing: &&watch::Receiver<_>| landing.has_changed().is_ok();
        if let Some(landing) = flight.under_way.as_ref().filter(alive) {
            return Ok(Begun::Waits(landing.clone()));
        }
        if let Some((until, error)) = &flight.pause
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        let (tell, landing) = watch::channel(None);
        flight.under_way = Some(landing.clone());
        drop(flight);
        let (lease, fetching, begun) = (Arc::clone(self), fetch(), Instant::now());
        // On its own, for it outlives the request; its deadline ends it, and the process does not wait.
        Handle::current().spawn(async move {
            let brought = Deadline::after(PATIENCE).run(fetching).await;
            let brought = brought.unwrap_or_else(|| Err(lost("it did not come in time")));
            tell.send_replace(Some(lease.land(brought, begun)));
        });
        Ok(Begun::Waits(landing))
    }

    /// Takes what a fetch brought.
    fn land(
        &self,
        brought: Result<Fresh<T>, Error>,
        begun: Instant,
    ) -> Result<Arc<Held<T>>, Error> {
        let mut flight = self.flight();
        flight.under_way = None;
        match brought {
            Ok(fresh) => {
                let held = Arc::new(Held::new(fresh, begun, self.rules));
                self.current.store(Some(Arc::clone(&held)));
                (flight.pause, flight.failures) = (None, 0);
                Ok(held)
            }
            Err(error) => {
                if self.rules.eager {
                    let doubled = FIRST_PAUSE.saturating_mul(1 << flight.failures.min(8));
                    let pause = doubled.min(LONGEST_PAUSE);
                    flight.failures = flight.failures.saturating_add(1);
                    flight.pause = Some((Instant::now() + pause, error.clone()));
                }
                Err(error)
            }
        }
    }
}

fn lost(text: &'static str) -> Error {
    Error::new(Reason::BackendTokenUnavailable, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const EAGER: Rules = Rules {
        margin: Duration::from_secs(10),
        eager: true,
    };
    const PLAIN: Rules = Rules {
        eager: false,
        ..EAGER
    };

    #[derive(Clone, Default)]
    struct Source(Arc<AtomicUsize>);

    impl Source {
        fn asked(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }

        /// Brings the number of the fetch, after a second.
        fn fetch(&self, life: Option<u64>) -> Fetching<usize> {
            let value = self.0.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let life = life.map(Duration::from_secs);
                Ok(Fresh { value, life })
            })
        }

        fn fail(&self) -> Fetching<usize> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Err(lost("no")) })
        }
    }

    fn lease(rules: Rules) -> (Arc<Lease<usize>>, Source) {
        (Arc::new(Lease::new(rules)), Source::default())
    }

    async fn value(lease: &Arc<Lease<usize>>, source: &Source, life: Option<u64>) -> usize {
        let got = lease.get(Deadline::NEVER, || source.fetch(life)).await;
        got.unwrap().value
    }

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_make_one_fetch() {
        let (lease, source) = lease(EAGER);
        let all = (0..50).map(|_| value(&lease, &source, Some(100)));
        let all = futures_util::future::join_all(all).await;
        assert_eq!((all, source.asked()), (vec![0; 50], 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_goes_on_when_the_one_who_began_it_leaves() {
        let (lease, source) = lease(EAGER);
        let short = Deadline::after(Duration::from_millis(10));
        let left = lease.get(short, || source.fetch(Some(100))).await;
        assert_eq!(left.unwrap_err().reason, Reason::BackendTokenUnavailable);
        pass(2).await;
        assert_eq!((lease.held().unwrap().value, source.asked()), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_over_ten_seconds_before_its_end() {
        let (lease, source) = lease(PLAIN);
        assert_eq!(value(&lease, &source, Some(100)).await, 0);
        pass(88).await;
        assert!(!lease.held().unwrap().is_old());
        pass(2).await;
        assert!(lease.held().is_none());
        assert_eq!(value(&lease, &source, Some(5)).await, 1);
        // What lives shorter than that is used by those who waited, and by nobody else.
        assert_eq!(value(&lease, &source, Some(5)).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_value_is_fetched_anew_beside_its_use() {
        let (lease, source) = lease(EAGER);
        assert_eq!(value(&lease, &source, Some(110)).await, 0);
        pass(78).await;
        assert!(!lease.held().unwrap().is_old());
        pass(2).await;
        assert!(lease.held().unwrap().is_old());
        for _ in 0..3 {
            lease.renew(|| source.fetch(Some(110)));
        }
        assert_eq!(lease.held().unwrap().value, 0);
        pass(2).await;
        assert_eq!((lease.held().unwrap().value, source.asked()), (1, 2));
        lease.renew(|| source.fetch(Some(110)));
        assert_eq!(source.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_fails_is_left_alone_for_a_while() {
        let (lease, source) = lease(EAGER);
        for _ in 0..5 {
            let failed = lease.get(Deadline::NEVER, || source.fail()).await;
            assert_eq!(failed.unwrap_err().text, "no");
        }
        assert_eq!(source.asked(), 1);
        for asked in [2, 3, 4, 5, 6, 7, 8] {
            pass(6).await;
            let _ = lease.get(Deadline::NEVER, || source.fail()).await;
            let _ = lease.get(Deadline::NEVER, || source.fail()).await;
            assert_eq!(source.asked(), asked);
        }
        pass(6).await;
        assert_eq!(value(&lease, &source, None).await, 8);
    }

    #[tokio::test(start_paused = true)]
    async fn without_eagerness_each_who_asks_tries_again() {
        let (lease, source) = lease(PLAIN);
        for asked in 1..4 {
            assert!(lease.get(Deadline::NEVER, || source.fail()).await.is_err());
            assert_eq!(source.asked(), asked);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_its_source_is_down_a_value_is_used_to_its_end() {
        let (lease, source) = lease(EAGER);
        assert_eq!(value(&lease, &source, Some(100)).await, 0);
        pass(94).await;
        assert!(lease.held().is_none());
        let got = lease.get(Deadline::NEVER, || source.fail()).await;
        assert_eq!(got.unwrap().value, 0);
        pass(6).await;
        assert!(lease.get(Deadline::NEVER, || source.fail()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_refused_is_forgotten_once_a_second_and_only_if_it_is_what_was_shown() {
        let (lease, source) = lease(EAGER);
        let early = Instant::now().into_std();
        pass(1).await;
        assert_eq!(value(&lease, &source, None).await, 0);
        lease.forget(early);
        assert!(lease.held().is_some());
        let late = || Instant::now().into_std();
        lease.forget(late());
        assert!(lease.held().is_none());
        lease.renew(|| {
            Box::pin(async {
                Ok(Fresh {
                    value: 7,
                    life: None,
                })
            })
        });
        tokio::task::yield_now().await;
        lease.forget(late());
        assert_eq!(lease.held().unwrap().value, 7);
        pass(1).await;
        lease.forget(late());
        assert!(lease.held().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_breaks_does_not_block_the_next() {
        let (lease, source) = lease(EAGER);
        let broken = lease.get(Deadline::NEVER, || Box::pin(async { panic!("on purpose") }));
        assert!(broken.await.is_err());
        assert_eq!(value(&lease, &source, None).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_ends_after_ten_seconds() {
        let (lease, _) = lease(EAGER);
        let begun = Instant::now();
        let hung = lease.get(Deadline::NEVER, || Box::pin(std::future::pending()));
        assert!(hung.await.is_err());
        assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());
    }
}
