//! A rate with a burst as one number of state: the generic cell rate algorithm (ITU-T I.371), exact to one request.
//!
//! A bucket of `burst` tokens fills with a constant rate. Its whole state is the moment at which it will be full
//! again (the theoretical arrival time). That moment is not kept in nanoseconds, in which most rates have no whole
//! interval, but in units so fine that a nanosecond and a token are both a whole number of them. So nothing is ever
//! rounded, and a million requests later the answer is still the one of pencil and paper.

use std::time::Duration;

/// Most units that a full bucket may hold; four times that many tell a bucket that was idle for days from one
/// that is used.
const DEEPEST: u64 = 1 << 61;
/// Most units of one nanosecond: a bucket may rest for a day and a half before its moment could be mistaken.
const FINEST: u128 = 1 << 16;

/// A rate and the size of its bucket, ready to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units that come with each nanosecond.
    grain: u64,
    /// Units of one token.
    token: u64,
    /// Units of the full bucket.
    depth: u64,
}

pub use crate::gateway::rate_fields::Standing;

/// A bucket that has not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Empty {
    /// How it stands; nothing was taken.
    pub standing: Standing,
    /// Nanoseconds until it will have that much, if nobody else takes.
    pub wait: u64,
}

/// What a decision comes to.
pub type Taken = Result<Standing, Empty>;

impl Rate {
    /// `amount` tokens in each `every`, `burst` of them at once. `None` when the amount is not above zero, or
    /// `every` or the burst is zero.
    ///
    /// The amount is taken as the decimal that was written. A rate that has no small fraction (one of more than
    /// some five digits a minute) is at most a billionth slower than written, and a bucket that would take centuries
    /// to fill is smaller.
    pub fn new(amount: f64, every: Duration, burst: u64) -> Option<Self> {
        if every.is_zero() || burst == 0 {
            return None;
        }
        let (mut above, ten) = decimal(amount)?;
        let mut below = ten.checked_mul(every.as_nanos())?;
        let common = divisor(above, below);
        (above, below) = (above / common, below / common);
        let mut grain = above.min(FINEST);
        // More than one token a unit cannot be told apart.
        let mut token = below.checked_mul(grain)?.div_ceil(above).max(1);
        while grain > 1 && token.saturating_mul(u128::from(burst)) > u128::from(DEEPEST) {
            grain /= 2;
            token = below.checked_mul(grain)?.div_ceil(above).max(1);
        }
        let token = u64::try_from(token).ok().filter(|t| *t <= DEEPEST)?;
        let depth = token.saturating_mul(burst.min(DEEPEST / token).max(1));
        let grain = u64::try_from(grain).ok()?;
        Some(Self {
            grain,
            token,
            depth,
        })
    }

    /// Tokens of the full bucket.
    pub fn burst(&self) -> u64 {
        self.depth / self.token
    }

    /// Nanoseconds in which an empty bucket fills.
    pub fn time_to_full(&self) -> u64 {
        self.depth.div_ceil(self.grain)
    }

    /// Tokens that come with each second.
    pub fn per_second(&self) -> f64 {
        self.grain as f64 * 1e9 / self.token as f64
    }

    /// Units of a number of tokens, rounded up. More than the bucket holds is never there.
    pub fn units(&self, tokens: f64) -> u64 {
        if tokens.fract() == 0.0 {
            return (tokens as u64).saturating_mul(self.token);
        }
        // Saturates, and what is no number is nothing.
        (tokens * self.token as f64).ceil() as u64
    }

    /// The state of a full bucket.
    pub const fn full(&self, now: u64) -> u64 {
        now.wrapping_mul(self.grain)
    }

    /// Whether a bucket is full, which is how a caller that was never seen stands.
    pub const fn is_full(&self, state: u64, now: u64) -> bool {
        self.ahead(state, now) == 0
    }

    /// Takes `units` out of a bucket, if they are there; `now` is in nanoseconds of any clock that does not
    /// jump back. Also gives the state to keep.
    ///
    /// # Errors
    /// When they are not there. The state stays.
    pub const fn take(&self, state: u64, now: u64, units: u64) -> Result<(u64, Standing), Empty> {
        let ahead = self.ahead(state, now);
        let after = ahead.saturating_add(units);
        if after > self.depth {
            let wait = (after - self.depth).div_ceil(self.grain);
            let standing = self.standing(ahead);
            return Err(Empty { standing, wait });
        }
        let state = now.wrapping_mul(self.grain).wrapping_add(after);
        Ok((state, self.standing(after)))
    }

    /// Takes `units` whether they are there or not, at most a bucket's depth below empty: what was used already.
    pub const fn charge(&self, state: u64, now: u64, units: u64) -> u64 {
        let ahead = self.ahead(state, now).saturating_add(units);
        let most = self.depth.saturating_mul(2);
        let ahead = if ahead > most { most } else { ahead };
        now.wrapping_mul(self.grain).wrapping_add(ahead)
    }

    /// Puts units back that were taken for nothing.
    pub const fn give_back(&self, state: u64, now: u64, units: u64) -> u64 {
        let ahead = self.ahead(state, now).saturating_sub(units);
        now.wrapping_mul(self.grain).wrapping_add(ahead)
    }

    /// How a bucket stands, taking nothing.
    pub const fn peek(&self, state: u64, now: u64) -> Standing {
        self.standing(self.ahead(state, now))
    }

    /// Thousandths of tokens that are missing to the full, rounded down.
    pub fn missing(&self, state: u64, now: u64) -> i64 {
        let parts = u128::from(self.ahead(state, now)) * 1_000 / u128::from(self.token);
        i64::try_from(parts).unwrap_or(i64::MAX)
    }

    /// Units that are missing to the full.
    const fn ahead(&self, state: u64, now: u64) -> u64 {
        let ahead = state.wrapping_sub(now.wrapping_mul(self.grain));
        // Beyond half of the range the moment has passed; beyond a quarter it passed long ago.
        if ahead > DEEPEST * 2 { 0 } else { ahead }
    }

    const fn standing(&self, ahead: u64) -> Standing {
        Standing {
            limit: self.depth / self.token,
            remaining: self.depth.saturating_sub(ahead) / self.token,
            reset: ahead.div_ceil(self.grain),
        }
    }
}

/// A number as a fraction: the decimal that it is written as. `None` unless it is above zero and of a size that
/// makes sense for a rate.
fn decimal(number: f64) -> Option<(u128, u128)> {
    if !(number.is_finite() && (1e-9..=1e12).contains(&number)) {
        return None;
    }
    let text = format!("{number}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = fraction.get(..18.min(fraction.len()))?;
    let ten = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let whole: u128 = whole.parse().ok()?;
    let rest: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let above = whole.checked_mul(ten)?.checked_add(rest)?;
    (above > 0).then_some((above, ten))
}

fn divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rate(amount: f64, every: u64, burst: u64) -> Rate {
        Rate::new(amount, Duration::from_secs(every), burst).unwrap()
    }

    #[test]
    fn a_fresh_bucket_gives_its_burst_and_then_its_rate() {
        let free = rate(60.0, 60, 10);
        let one = free.units(1.0);
        let mut state = free.full(0);
        for left in (0..10).rev() {
            let (next, standing) = free.take(state, 0, one).unwrap();
            assert_eq!((standing.limit, standing.remaining), (10, left));
            assert_eq!(standing.reset, (10 - left) * SECOND);
            state = next;
        }
        let empty = free.take(state, 0, one).unwrap_err();
        assert_eq!(empty.wait, SECOND);
        assert_eq!(free.take(state, SECOND - 1, one).unwrap_err().wait, 1);
        assert!(free.take(state, SECOND, one).is_ok());
        assert_eq!(free.peek(state, 10 * SECOND).remaining, 10);
    }

    #[test]
    fn rates_without_a_whole_interval_do_not_drift() {
        // One in 8.571428… seconds.
        let seven = rate(7.0, 60, 2);
        let one = seven.units(1.0);
        let mut state = seven.take(seven.full(0), 0, 2 * one).unwrap().0;
        for n in 1..70_000_u64 {
            let due = (n * 60 * SECOND).div_ceil(7);
            assert!(seven.take(state, due - 1, one).is_err(), "{n}");
            state = seven.take(state, due, one).unwrap().0;
        }
    }

    #[test]
    fn a_clock_that_went_around_changes_nothing() {
        let odd = rate(11_111.0, 7, 5);
        let one = odd.units(1.0);
        let end = u64::MAX - 3;
        let mut state = odd.full(end);
        for _ in 0..5 {
            state = odd.take(state, end, one).unwrap().0;
        }
        let wait = odd.take(state, end, one).unwrap_err().wait;
        let then = end.wrapping_add(wait);
        assert!(then < end);
        assert!(odd.take(state, then.wrapping_sub(1), one).is_err());
        assert!(odd.take(state, then, one).is_ok());
    }

    #[test]
    fn a_bucket_that_rested_for_a_day_is_full() {
        for rate in [rate(65_535.1, 1, 9), rate(1.0, 86_400, 3)] {
            let mut state = rate.full(0);
            for _ in 0..rate.burst() {
                state = rate.take(state, 0, rate.units(1.0)).unwrap().0;
            }
            let later = 36 * 3600 * SECOND * if rate.burst() == 3 { 10 } else { 1 };
            assert!(rate.is_full(state, later));
        }
    }

    #[test]
    fn a_moment_before_the_last_one_is_no_reason_to_give_more() {
        let two = rate(2.0, 1, 2);
        let mut state = two.full(SECOND);
        for _ in 0..2 {
            state = two.take(state, SECOND, two.units(1.0)).unwrap().0;
        }
        // Another thread asked the clock a moment earlier.
        let empty = two.take(state, SECOND - 50, two.units(1.0)).unwrap_err();
        assert_eq!(empty.wait, SECOND / 2 + 50);
    }

    #[test]
    fn costs_are_parts_of_tokens_or_many() {
        let ten = rate(1.0, 1, 10);
        let state = ten.full(0);
        let (state, standing) = ten.take(state, 0, ten.units(2.5)).unwrap();
        assert_eq!(standing.remaining, 7);
        let (state, standing) = ten.take(state, 0, ten.units(7.5)).unwrap();
        assert_eq!(standing.remaining, 0);
        assert_eq!(ten.take(state, 0, 1).unwrap_err().wait, 1);
        assert!(ten.take(ten.full(0), 0, ten.units(10.5)).is_err());
    }

    #[test]
    fn what_was_used_already_is_charged_below_empty_and_what_was_not_comes_back() {
        let one = rate(1.0, 1, 4);
        let token = one.units(1.0);
        let state = one.charge(one.full(0), 0, 6 * token);
        assert_eq!(one.take(state, 0, token).unwrap_err().wait, 3 * SECOND);
        let state = one.charge(state, 0, u64::MAX);
        assert_eq!(one.take(state, 0, token).unwrap_err().wait, 5 * SECOND);
        let state = one.give_back(state, 0, 5 * token);
        assert_eq!(one.peek(state, 0).remaining, 1);
        assert_eq!(one.give_back(state, 0, u64::MAX), one.full(0));
    }

    #[test]
    fn hostile_settings_never_overflow() {
        let amounts = [1e-9, 0.1, 1.0, 1e5 + 0.123, 1e12, 3.0e-7];
        let spans = [1, 999_999_999, 86_400_000_000_000, u64::MAX];
        for (amount, span) in amounts.iter().flat_map(|a| spans.map(|s| (*a, s))) {
            for burst in [1, 10, 1 << 40, u64::MAX] {
                let Some(rate) = Rate::new(amount, Duration::from_nanos(span), burst) else {
                    continue;
                };
                for now in [0, 1, u64::MAX / 2, u64::MAX] {
                    let state = rate.full(now);
                    let _ = rate.take(state, now, u64::MAX);
                    let (state, _) = rate.take(state, now, rate.units(1.0)).unwrap();
                    assert!(!rate.is_full(state, now));
                    let _ = rate.peek(rate.charge(state, now, u64::MAX), now);
                }
            }
        }
        for amount in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300, 1e-300] {
            assert_eq!(Rate::new(amount, Duration::from_secs(1), 1), None);
        }
        assert_eq!(Rate::new(1.0, Duration::ZERO, 1), None);
        assert_eq!(Rate::new(1.0, Duration::from_secs(1), 0), None);
    }
}
