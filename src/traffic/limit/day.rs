//! What a caller may use in a day, from 00:00 UTC to 00:00 UTC: a count and the day that it is of, in one number.

use super::rate::Standing;
use std::time::Duration;

const DAY: u64 = 86_400;
/// Counts are kept in thousandths, for requests that cost a part of one.
const PARTS: u64 = 1_000;
/// Bits of the count; the rest is the day, for some forty thousand years.
const BITS: u32 = 40;
const MOST: u64 = (1 << BITS) - 1;

/// So many a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Daily {
    limit: u64,
}

/// A day's allowance that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// How it stands; nothing was taken.
    pub standing: Standing,
    /// Nanoseconds until the next day.
    pub wait: u64,
}

impl Daily {
    /// So many a day; `None` for none or more than a thousand million, which is no limit.
    pub fn new(limit: u64) -> Option<Self> {
        let parts = limit.checked_mul(PARTS)?;
        (limit > 0 && parts <= MOST).then_some(Self { limit: parts })
    }

    /// How many a day.
    pub const fn limit(&self) -> u64 {
        self.limit / PARTS
    }

    /// A cost in the unit of the counts, rounded up.
    pub fn parts(tokens: f64) -> u64 {
        (tokens * PARTS as f64).ceil() as u64
    }

    /// Whole tokens in the unit of the counts.
    pub const fn whole(tokens: u64) -> u64 {
        tokens.saturating_mul(PARTS)
    }

    /// Takes `parts` of the day in which `wall` is, if they are there. Also gives the state to keep; a fresh one
    /// is 0.
    ///
    /// # Errors
    /// When they are not there. The state stays.
    pub fn take(&self, state: u64, wall: Duration, parts: u64) -> Result<(u64, Standing), Used> {
        let (day, used) = Self::of(state, wall);
        let after = used.saturating_add(parts);
        if after > self.limit {
            return Err(Used {
                standing: self.standing(used, wall),
                wait: until_next(wall),
            });
        }
        Ok((day << BITS | after, self.standing(after, wall)))
    }

    /// Counts what was used already.
    pub fn charge(&self, state: u64, wall: Duration, parts: u64) -> u64 {
        let (day, used) = Self::of(state, wall);
        day << BITS | used.saturating_add(parts).min(MOST)
    }

    /// Takes what was counted for nothing off again, if it is still that day.
    pub fn give_back(&self, state: u64, wall: Duration, parts: u64) -> u64 {
        let (day, used) = Self::of(state, wall);
        day << BITS | used.saturating_sub(parts)
    }

    /// How it stands.
    pub fn peek(&self, state: u64, wall: Duration) -> Standing {
        let (_, used) = Self::of(state, wall);
        self.standing(used, wall)
    }

    /// Takes in what is used of this day by all, as somebody else counted it. What is known already is not forgotten.
    pub fn learn(state: u64, wall: Duration, used: u64) -> u64 {
        let (day, known) = Self::of(state, wall);
        day << BITS | used.min(MOST).max(known)
    }

    /// Parts that are left of the day in which `wall` is.
    pub fn left(&self, state: u64, wall: Duration) -> i64 {
        let (_, used) = Self::of(state, wall);
        i64::try_from(self.limit.saturating_sub(used)).unwrap_or(i64::MAX)
    }

    /// Parts that are used of the day in which `wall` is.
    pub fn used(state: u64, wall: Duration) -> u64 {
        Self::of(state, wall).1
    }

    /// The day that counts, and what of it is used. A clock that is set back does not begin a day again.
    fn of(state: u64, wall: Duration) -> (u64, u64) {
        let (kept, today) = (state >> BITS, day(wall));
        if today > kept {
            (today, 0)
        } else {
            (kept, state & MOST)
        }
    }

    fn standing(&self, used: u64, wall: Duration) -> Standing {
        Standing {
            limit: self.limit(),
            remaining: self.limit.saturating_sub(used) / PARTS,
            reset: if used == 0 { 0 } else { until_next(wall) },
        }
    }
}

/// The day in which a moment is, counted from 1970-01-01.
pub fn day(wall: Duration) -> u64 {
    (wall.as_secs() / DAY).min(u64::MAX >> BITS)
}

/// The next 00:00 UTC, since 1970-01-01.
pub const fn next(wall: Duration) -> Duration {
    Duration::from_secs((wall.as_secs() / DAY).saturating_add(1).saturating_mul(DAY))
}

/// Nanoseconds to the next 00:00 UTC.
fn until_next(wall: Duration) -> u64 {
    let next = next(wall);
    u64::try_from(next.saturating_sub(wall).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn counts_begin_again_at_midnight_utc() {
        let daily = Daily::new(3).unwrap();
        let evening = HOUR * 23 + Duration::from_secs(86_400 * 20_000);
        let mut state = 0;
        for left in [2, 1, 0] {
            let (next, standing) = daily.take(state, evening, Daily::whole(1)).unwrap();
            assert_eq!((standing.limit, standing.remaining), (3, left));
            state = next;
        }
        let used = daily.take(state, evening, Daily::whole(1)).unwrap_err();
        assert_eq!(used.wait, 3_600_000_000_000);
        let nearly = evening + HOUR - Duration::from_nanos(1);
        assert_eq!(daily.take(state, nearly, 1).unwrap_err().wait, 1);
        let (state, _) = daily.take(state, evening + HOUR, 1).unwrap();
        assert_eq!(Daily::used(state, evening + HOUR), 1);
    }

    #[test]
    fn a_clock_that_is_set_back_begins_no_day_again() {
        let daily = Daily::new(1).unwrap();
        let noon = HOUR * (24 * 20_000 + 12);
        let (state, _) = daily.take(0, noon, Daily::whole(1)).unwrap();
        assert!(daily.take(state, noon - HOUR * 24, 1).is_err());
        assert!(daily.take(state, noon, 1).is_err());
        assert!(daily.take(state, noon + HOUR * 12, 1).is_ok());
    }

    #[test]
    fn parts_of_a_request_add_up() {
        let daily = Daily::new(1).unwrap();
        let half = Daily::parts(0.5);
        let (state, standing) = daily.take(0, HOUR, half).unwrap();
        assert_eq!(standing.remaining, 0);
        let (state, _) = daily.take(state, HOUR, half).unwrap();
        assert!(daily.take(state, HOUR, 1).is_err());
        let back = daily.give_back(state, HOUR, half);
        assert!(daily.take(back, HOUR, half).is_ok());
    }

    #[test]
    fn what_others_counted_is_learnt_and_nothing_is_forgotten() {
        let daily = Daily::new(5).unwrap();
        let state = Daily::learn(0, HOUR, Daily::whole(4));
        assert_eq!(daily.peek(state, HOUR).remaining, 1);
        let state = Daily::learn(state, HOUR, Daily::whole(2));
        assert_eq!(daily.peek(state, HOUR).remaining, 1);
        assert_eq!(daily.peek(state, HOUR * 24).remaining, 5);
        assert_eq!(
            daily.peek(Daily::learn(0, HOUR, u64::MAX), HOUR).remaining,
            0
        );
    }

    #[test]
    fn what_no_count_holds_is_no_limit() {
        assert_eq!(Daily::new(0), None);
        assert_eq!(Daily::new(u64::MAX), None);
        let most = Daily::new(1_000_000_000).unwrap();
        let state = most.charge(0, HOUR, u64::MAX);
        assert!(most.take(state, HOUR, 1).is_err());
        assert_eq!(day(Duration::MAX), (1 << 24) - 1);
        assert!(most.take(0, Duration::MAX, 1).is_ok());
    }
}
