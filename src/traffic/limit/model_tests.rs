//! The limiter beside an exact reference: a bucket that is filled in fractions which nothing rounds. A million random
//! arrivals for each rate; never one request more than allowed, never one less when tokens were there.

use super::bucket::Bucket;
use super::rate::Rate;
use std::time::Duration;

const ARRIVALS: u32 = 1_000_000;

/// A bucket by the book. Tokens are counted in parts of `every` nanoseconds, so `amount` of these come with
/// each nanosecond, whole.
struct Book {
    amount: u128,
    every: u128,
    burst: u128,
    parts: u128,
    last: u128,
}

impl Book {
    fn new(amount: u32, every: Duration, burst: u64) -> Self {
        let (every, burst) = (every.as_nanos(), u128::from(burst));
        Self {
            amount: u128::from(amount),
            every,
            burst,
            parts: burst * every,
            last: 0,
        }
    }

    fn take(&mut self, now: u128, cost: u32) -> bool {
        let came = (now - self.last) * self.amount;
        self.parts = (self.parts + came).min(self.burst * self.every);
        self.last = now;
        let cost = u128::from(cost) * self.every;
        let there = self.parts >= cost;
        if there {
            self.parts -= cost;
        }
        there
    }

    fn tokens(&self) -> u128 {
        self.parts / self.every
    }

    fn until_full(&self) -> u128 {
        (self.burst * self.every - self.parts).div_ceil(self.amount)
    }
}

fn play(amount: u32, every: Duration, burst: u64, seed: u64) {
    let rate = Rate::new(f64::from(amount), every, burst).unwrap();
    // Somewhere in the life of a process, not at its start.
    let start = seed.wrapping_mul(7_919);
    let bucket = Bucket::new(rate, start);
    let mut book = Book::new(amount, every, burst);
    let mut random = fastrand::Rng::with_seed(seed);
    let interval = (every.as_nanos() / u128::from(amount)).max(1) as u64;
    let mut now: u64 = 0;
    let mut allowed = 0;
    for arrival in 0..ARRIVALS {
        now += match random.u32(0..100) {
            0..30 => 0,
            30..60 => random.u64(0..=interval),
            // Where rounding would show.
            60..90 => (interval + 1).saturating_sub(random.u64(0..3)),
            90..99 => random.u64(0..interval * 4),
            _ if random.u64(0..burst) == 0 => random.u64(0..interval.saturating_mul(burst * 2)),
            _ => interval,
        };
        let cost = if random.u32(0..10) == 0 {
            random.u32(1..=4)
        } else {
            1
        };
        let ours = bucket.take(start.wrapping_add(now), rate.units(f64::from(cost)));
        let right = book.take(u128::from(now), cost);
        assert_eq!(ours.is_ok(), right, "arrival {arrival} at {now}");
        allowed += u32::from(right);
        let (Ok(standing) | Err(super::rate::Empty { standing, .. })) = ours;
        assert_eq!(u128::from(standing.remaining), book.tokens());
        assert_eq!(u128::from(standing.reset), book.until_full());
        if let Err(empty) = ours {
            let (there, short) = (empty.wait, empty.wait - 1);
            let at = |wait: u64| start.wrapping_add(now + wait);
            let units = rate.units(f64::from(cost));
            let never = u64::from(cost) > burst;
            assert!(bucket.peek(at(short), units).is_err());
            assert_eq!(bucket.peek(at(there), units).is_err(), never);
        }
    }
    // A run in which nearly all or nearly nothing passed would prove little.
    assert!(
        (ARRIVALS / 10..ARRIVALS / 10 * 9).contains(&allowed),
        "{allowed}"
    );
}

#[test]
fn a_plan_by_the_minute_is_exact() {
    play(60, Duration::from_secs(60), 10, 1);
}

#[test]
fn a_rate_without_a_whole_interval_is_exact() {
    play(7, Duration::from_secs(60), 3, 2);
}

#[test]
fn an_odd_rate_of_thousands_a_second_is_exact() {
    play(12_347, Duration::from_secs(1), 100, 3);
}

#[test]
fn a_fast_rate_with_a_deep_bucket_is_exact() {
    play(50_000, Duration::from_secs(1), 50_000, 4);
}

#[test]
fn a_few_in_an_odd_span_are_exact() {
    play(3, Duration::from_nanos(100_000_007), 2, 5);
}
