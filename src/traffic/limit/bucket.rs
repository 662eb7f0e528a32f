//! One bucket that everybody shares: an atomic number, taken from without a lock.

use super::rate::{Empty, Rate, Standing, Taken};
use std::sync::atomic::{AtomicU64, Ordering};

/// A bucket of all callers together.
#[derive(Debug)]
pub struct Bucket {
    rate: Rate,
    state: AtomicU64,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: Rate, now: u64) -> Self {
        Self {
            rate,
            state: AtomicU64::new(rate.full(now)),
        }
    }

    /// Its rate.
    pub const fn rate(&self) -> &Rate {
        &self.rate
    }

    /// Takes `units`, if they are there.
    ///
    /// # Errors
    /// When they are not.
    pub fn take(&self, now: u64, units: u64) -> Taken {
        let mut seen = self.state.load(Ordering::Relaxed);
        loop {
            let (next, standing) = self.rate.take(seen, now, units)?;
            match self.swap(seen, next) {
                Ok(()) => return Ok(standing),
                Err(other) => seen = other,
            }
        }
    }

    /// How it stands, and whether `units` are there; takes nothing.
    ///
    /// # Errors
    /// When they are not.
    pub fn peek(&self, now: u64, units: u64) -> Result<Standing, Empty> {
        let state = self.state.load(Ordering::Relaxed);
        self.rate.take(state, now, units)?;
        Ok(self.rate.peek(state, now))
    }

    /// Thousandths of tokens that are missing to the full.
    pub fn missing(&self, now: u64) -> i64 {
        let state = self.state.load(Ordering::Relaxed);
        self.rate.missing(state, now)
    }

    /// Takes what was used already, whether it is there or not.
    pub fn charge(&self, now: u64, units: u64) {
        self.change(|state| self.rate.charge(state, now, units));
    }

    /// Puts back what was taken for nothing.
    pub fn give_back(&self, now: u64, units: u64) {
        self.change(|state| self.rate.give_back(state, now, units));
    }

    fn change(&self, next: impl Fn(u64) -> u64) {
        let mut seen = self.state.load(Ordering::Relaxed);
        while let Err(other) = self.swap(seen, next(seen)) {
            seen = other;
        }
    }

    /// Nothing else is published with the number, so it needs no order with other memory.
    fn swap(&self, seen: u64, next: u64) -> Result<(), u64> {
        self.state
            .compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed)
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn many_threads_get_together_what_one_would() {
        let rate = Rate::new(1.0, Duration::from_secs(3600), 1_000).unwrap();
        let bucket = Arc::new(Bucket::new(rate, 5));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let bucket = Arc::clone(&bucket);
                std::thread::spawn(move || {
                    let one = bucket.rate().units(1.0);
                    (0..500).filter(|_| bucket.take(5, one).is_ok()).count()
                })
            })
            .collect();
        let taken: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
        assert_eq!(taken, 1_000);
    }

    #[test]
    fn looking_takes_nothing_and_giving_back_undoes() {
        let rate = Rate::new(1.0, Duration::from_secs(1), 2).unwrap();
        let bucket = Bucket::new(rate, 0);
        let one = rate.units(1.0);
        for _ in 0..3 {
            assert_eq!(bucket.peek(0, one).unwrap().remaining, 2);
        }
        assert_eq!(bucket.take(0, 2 * one).unwrap().remaining, 0);
        assert_eq!(bucket.peek(0, one).unwrap_err().wait, 1_000_000_000);
        bucket.give_back(0, one);
        assert!(bucket.take(0, one).is_ok());
    }
}
