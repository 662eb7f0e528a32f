//! KrakenD's own token bucket (reference/krakend-components section 2.1), for the krakend dialect.
//!
//! It counts whole tokens and looks at the clock only when it is empty. The time since the last filling, or
//! since the bucket was made, is turned into tokens then; so a bucket that was left alone while it was full
//! gives its content, what came in meanwhile, and one request more: twice its capacity and one. Teams that migrate
//! see the counts that they are used to; the native dialect has [`super::rate::Rate`].

use super::tally::Tally;
use std::sync::{Mutex, PoisonError};

/// A bucket's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filling {
    /// Tokens that fit, at least one.
    capacity: u32,
    /// Nanoseconds from token to token, at least one.
    interval: u64,
}

/// A bucket's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// When it was filled last, nanoseconds.
    filled: u64,
    tokens: u32,
}

impl Filling {
    /// Tokens a second, and how many fit.
    pub fn new(a_second: f64, capacity: u64) -> Self {
        // A conversion of floats saturates, and makes zero of what is no number.
        let interval = (1e9 / a_second.max(1e-9)) as u64;
        Self {
            capacity: u32::try_from(capacity).unwrap_or(u32::MAX).max(1),
            interval: interval.max(1),
        }
    }

    /// Tokens that fit.
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// A full bucket.
    pub const fn full(&self, now: u64) -> Level {
        Level {
            filled: now,
            tokens: self.capacity,
        }
    }

    /// Takes one token, if there is one.
    pub fn allow(&self, level: &mut Level, now: u64) -> bool {
        if level.tokens > 0 {
            level.tokens -= 1;
            return true;
        }
        let came = now.saturating_sub(level.filled) / self.interval;
        if came == 0 {
            return false;
        }
        level.filled = level.filled.saturating_add(came * self.interval);
        level.tokens = match u32::try_from(came) {
            Ok(came) if came <= self.capacity => came - 1,
            // What flows over does so after this request has had its token.
            _ => self.capacity,
        };
        true
    }
}

/// A bucket of all clients together. Its state is two numbers, so it has a lock, held for a few nanoseconds;
/// KrakenD's has one too.
#[derive(Debug)]
pub struct Shared {
    filling: Filling,
    level: Mutex<Level>,
    /// What became of the requests.
    pub tally: Tally,
}

impl Shared {
    /// A full bucket.
    pub fn new(filling: Filling, now: u64) -> Self {
        Self {
            filling,
            level: Mutex::new(filling.full(now)),
            tally: Tally::default(),
        }
    }

    /// Takes one token, if there is one.
    pub fn allow(&self, now: u64) -> bool {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let allowed = self.filling.allow(&mut level, now);
        drop(level);
        self.tally.count(allowed);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000_000_000;

    fn count(filling: Filling, level: &mut Level, now: u64) -> usize {
        (0..100).take_while(|_| filling.allow(level, now)).count()
    }

    #[test]
    fn an_idle_bucket_gives_twice_its_capacity_and_one() {
        let filling = Filling::new(5.0, 5);
        let mut level = filling.full(0);
        assert_eq!(count(filling, &mut level, HOUR), 11);
    }

    #[test]
    fn a_used_bucket_gives_what_came_since_it_was_filled() {
        let filling = Filling::new(1.0, 3);
        let mut level = filling.full(0);
        assert_eq!(count(filling, &mut level, 0), 3);
        assert_eq!(count(filling, &mut level, 999_999_999), 0);
        assert_eq!(count(filling, &mut level, 1_000_000_000), 1);
        assert_eq!(count(filling, &mut level, 3_500_000_000), 2);
        // Half a token was kept: it counts from the last whole one.
        assert_eq!(count(filling, &mut level, 4_000_000_000), 1);
        // Exactly the capacity came in: no more than that.
        assert_eq!(count(filling, &mut level, 7_000_000_000), 3);
        assert_eq!(count(filling, &mut level, 11_000_000_000), 4);
    }

    #[test]
    fn rates_of_nothing_and_of_everything_are_bounded() {
        let never = Filling::new(0.0, 0);
        let mut level = never.full(0);
        assert_eq!(count(never, &mut level, 0), 1);
        assert_eq!(count(never, &mut level, HOUR), 0);
        let always = Filling::new(f64::MAX, u64::MAX);
        assert!(always.allow(&mut always.full(0), u64::MAX));
        let broken = Filling::new(f64::NAN, 1);
        assert_eq!(count(broken, &mut broken.full(0), HOUR), 1);
    }

    #[test]
    fn all_clients_share_one() {
        let shared = Shared::new(Filling::new(2.0 / 3600.0, 2), 7);
        let allowed = [(); 4].map(|()| shared.allow(7));
        assert_eq!(allowed, [true, true, false, false]);
    }
}
