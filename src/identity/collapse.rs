//! Questions about the same thing that come together are asked once. Whoever comes first begins; any of those who wait
//! drives it on, so that it goes on when the first one's client hangs up, and it ends with the last one who wants
//! to know. No thread and no task stands behind it.

use super::memory::Digest;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A question on its way.
pub type Asking<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// From so many entries on, those that nobody waits for any more are swept.
const SWEEP: usize = 256;

/// The questions under way.
pub struct Flights<T>(Mutex<Table<T>>);

struct Table<T> {
    all: HashMap<Digest, Weak<Flight<T>>>,
    /// How many there may be before it is swept.
    sweep: usize,
}

/// One question that somebody waits for.
pub struct Flight<T> {
    key: Digest,
    state: tokio::sync::Mutex<State<T>>,
}

enum State<T> {
    Under(Asking<T>),
    Done(T),
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Mutex::new(Table {
            all: HashMap::new(),
            sweep: SWEEP,
        }))
    }
}

impl<T> fmt::Debug for Flights<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flights")
    }
}

impl<T: Clone + Send> Flights<T> {
    /// The question of this key that is under way, or the one that `begin` begins.
    ///
    /// # Errors
    /// What `begin` says when it does not want to.
    pub fn join<E>(
        &self,
        key: Digest,
        begin: impl FnOnce() -> Result<Asking<T>, E>,
    ) -> Result<Arc<Flight<T>>, E> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = table.all.get(&key).and_then(Weak::upgrade) {
            return Ok(flight);
        }
        let state = tokio::sync::Mutex::new(State::Under(begin()?));
        let flight = Arc::new(Flight { key, state });
        if table.all.len() >= table.sweep {
            table.all.retain(|_, flight| flight.strong_count() > 0);
            // So that a table of many that live is not searched each time.
            table.sweep = (table.all.len() * 2).max(SWEEP);
        }
        table.all.insert(key, Arc::downgrade(&flight));
        Ok(flight)
    }

    /// The answer to a question, for each who waits.
    pub async fn wait(&self, flight: Arc<Flight<T>>) -> T {
        let mut state = flight.state.lock().await;
        let answer = match &mut *state {
            State::Done(answer) => return answer.clone(),
            State::Under(asking) => asking.await,
        };
        *state = State::Done(answer.clone());
        drop(state);
        self.landed(&flight);
        answer
    }

    /// Who comes from now on asks anew.
    fn landed(&self, flight: &Arc<Flight<T>>) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = Arc::as_ptr(flight);
        let known = table.all.get(&flight.key);
        if known.is_some_and(|known| std::ptr::eq(known.as_ptr(), own)) {
            table.all.remove(&flight.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Poll;
    use tokio::sync::Notify;

    type Never = std::convert::Infallible;

    /// A question that is answered with how often it was asked, once it is let go.
    fn counting(count: &Arc<AtomicU32>, gate: &Arc<Notify>) -> Asking<u32> {
        let (count, gate) = (Arc::clone(count), Arc::clone(gate));
        let asked = count.fetch_add(1, Ordering::SeqCst) + 1;
        Box::pin(async move {
            gate.notified().await;
            asked
        })
    }

    fn join(
        flights: &Flights<u32>,
        count: &Arc<AtomicU32>,
        gate: &Arc<Notify>,
    ) -> Arc<Flight<u32>> {
        let begun = flights.join([1; 32], || Ok::<_, Never>(counting(count, gate)));
        begun.unwrap_or_else(|never| match never {})
    }

    #[tokio::test]
    async fn those_who_come_together_ask_once() {
        let (flights, count, gate) = (Flights::default(), Arc::default(), Arc::default());
        let all: Vec<_> = (0..50).map(|_| join(&flights, &count, &gate)).collect();
        gate.notify_one();
        let answers = futures_util::future::join_all(all.into_iter().map(|f| flights.wait(f)));
        assert_eq!(answers.await, vec![1; 50]);
        let next = join(&flights, &count, &gate);
        gate.notify_one();
        assert_eq!(flights.wait(next).await, 2);
        assert!(flights.0.lock().unwrap().all.is_empty());
    }

    #[tokio::test]
    async fn it_goes_on_when_the_first_one_goes_away() {
        let (flights, count, gate) = (Flights::default(), Arc::default(), Arc::default());
        let first = join(&flights, &count, &gate);
        let second = join(&flights, &count, &gate);
        {
            let mut first = Box::pin(flights.wait(first));
            let begun =
                std::future::poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending()));
            assert!(begun.await);
        }
        gate.notify_one();
        assert_eq!(flights.wait(second).await, 1);
    }

    #[tokio::test]
    async fn it_ends_with_the_last_one_who_wants_to_know() {
        let (flights, count, gate) = (Flights::default(), Arc::default(), Arc::default());
        drop(flights.wait(join(&flights, &count, &gate)));
        gate.notify_one();
        assert_eq!(flights.wait(join(&flights, &count, &gate)).await, 2);
    }

    #[test]
    fn who_does_not_want_to_begin_leaves_nothing() {
        let flights = Flights::<u32>::default();
        assert!(flights.join([0; 32], || Err("no")).is_err());
        assert!(flights.0.lock().unwrap().all.is_empty());
    }

    #[test]
    fn questions_that_were_given_up_do_not_pile_up() {
        let flights = Flights::<u32>::default();
        for number in 0..10_000_u32 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_be_bytes());
            let asking: Asking<u32> = Box::pin(std::future::pending());
            drop(flights.join(key, || Ok::<_, Never>(asking)));
        }
        assert!(flights.0.lock().unwrap().all.len() <= SWEEP);
    }
}
