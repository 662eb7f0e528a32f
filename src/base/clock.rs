//! Time and randomness, in one place so that tests can hold them still.

use pin_project_lite::pin_project;
use std::cell::Cell;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What a thread knows of the time.
#[derive(Clone, Copy)]
enum Turn {
    /// No task in [`Turns`] is polled.
    No,
    /// One is, and it has not asked yet.
    New,
    /// It asked, and this is its time; also as a [`moment`].
    At(Instant, u64),
}

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(Turn::No) };
}

/// The time. In a task in [`Turns`] that of its turn: the clock is read when it is first asked for. Everywhere else,
/// and behind [`renew`], it is read each time. In tests tokio's clock, which they can hold still.
#[inline]
pub fn now() -> Instant {
    match TURN.get() {
        Turn::At(now, _) => now,
        turn => read(turn).0,
    }
}

/// [`now`], and read anew when it would be no later than a moment: what begins and ends in one turn took time too.
pub fn after(moment: Instant) -> Instant {
    if now() <= moment {
        renew();
    }
    now()
}

/// Has the clock read anew in this turn, after work that took long.
pub fn renew() {
    if matches!(TURN.get(), Turn::At(..)) {
        TURN.set(Turn::New);
    }
}

#[inline(never)]
fn read(turn: Turn) -> (Instant, u64) {
    let now = tokio::time::Instant::now().into_std();
    let ticks = ticks_at(now);
    if matches!(turn, Turn::New) {
        TURN.set(Turn::At(now, ticks));
    }
    (now, ticks)
}

pin_project! {
    /// A task for which time stands still from when it is polled until it waits: microseconds, in which a request asks
    /// for it a dozen times. Reading the clock costs as much as sixty instructions and more.
    #[derive(Debug)]
    #[must_use]
    pub struct Turns<F> {
        #[pin]
        task: F,
    }
}

impl<F: Future> Turns<F> {
    /// A task in turns.
    pub const fn new(task: F) -> Self {
        Self { task }
    }
}

impl<F: Future> Future for Turns<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        /// However the turn ends: the next task must not find its time.
        struct End(Turn);
        impl Drop for End {
            fn drop(&mut self) {
                TURN.set(self.0);
            }
        }
        let _end = End(TURN.replace(Turn::New));
        self.project().task.poll(cx)
    }
}

/// Seconds and nanoseconds since the epoch; zero if the machine's clock stands before 1970.
pub fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// The same for a moment that is at hand, so that nobody asks two clocks for one. A change of the machine's
/// clock shows within a second.
pub fn since_epoch_at(moment: Instant) -> Duration {
    wall_at(ticks_at(moment))
}

/// [`since_epoch_at`] for a [`moment`].
pub fn wall_at(ticks: u64) -> Duration {
    const SECOND: u64 = 1_000_000_000;
    thread_local! {
        static ANCHOR: Cell<(u64, Duration)> = const { Cell::new((u64::MAX, Duration::ZERO)) };
    }
    let (at, wall) = ANCHOR.get();
    match ticks.checked_sub(at) {
        Some(since @ ..SECOND) => wall + Duration::from_nanos(since),
        _ => {
            let passed = Duration::from_nanos(moment().saturating_sub(ticks));
            let then = since_epoch().saturating_sub(passed);
            ANCHOR.set((ticks, then));
            then
        }
    }
}

/// Nanoseconds since the process began, at [`now`]; never goes back.
pub fn moment() -> u64 {
    match TURN.get() {
        Turn::At(_, ticks) => ticks,
        turn => read(turn).1,
    }
}

/// [`moment`] for one that is at hand.
fn ticks_at(moment: Instant) -> u64 {
    let since = moment.saturating_duration_since(process_start());
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// When this process first asked for the time; the start for uptimes.
pub fn process_start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// A moment as RFC 3339 in UTC with milliseconds, e.g. `2026-11-22T03:50:33.120Z`.
pub fn rfc3339(since_epoch: Duration) -> String {
    let mut out = String::with_capacity(24);
    push_rfc3339(&mut out, since_epoch);
    out
}

/// Appends a moment as RFC 3339 in UTC with milliseconds, without allocating in between. Each thread
/// keeps the text of the last second that it wrote.
pub fn push_rfc3339(out: &mut String, since_epoch: Duration) {
    thread_local! {
        static LAST: Cell<(u64, [u8; 24])> = const { Cell::new((u64::MAX, [0; 24])) };
    }
    let (mut second, mut text) = LAST.get();
    if second != since_epoch.as_secs() {
        second = since_epoch.as_secs();
        text = to_the_second(second);
        LAST.set((second, text));
    }
    digits(&mut text, 20, u64::from(since_epoch.subsec_millis()), 3);
    out.push_str(std::str::from_utf8(&text).unwrap_or_default());
}

/// The text of a second, with room for three digits.
fn to_the_second(seconds: u64) -> [u8; 24] {
    let (year, month, day) = civil(seconds / 86_400);
    let of_day = seconds % 86_400;
    let mut text = *b"yyyy-mm-ddThh:mm:ss.mmmZ";
    digits(&mut text, 0, year, 4);
    for (at, value) in [
        (5, month),
        (8, day),
        (11, of_day / 3600),
        (14, of_day / 60 % 60),
        (17, of_day % 60),
    ] {
        digits(&mut text, at, value, 2);
    }
    text
}

fn digits(text: &mut [u8; 24], at: usize, mut value: u64, width: usize) {
    for place in text.iter_mut().skip(at).take(width).rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Year, month and day of a number of days since 1970-01-01 (Gregorian, era arithmetic).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_stands_still_in_a_turn_and_nowhere_else() {
        let sleep = || std::thread::sleep(Duration::from_millis(2));
        let later = |sleep: &dyn Fn()| {
            let first = now();
            sleep();
            now() > first
        };
        assert!(later(&sleep));
        Turns::new(async {
            let first = now();
            assert!(!later(&sleep));
            assert_eq!(moment(), ticks_at(first));
            assert!(after(first) > first);
            let renewed = now();
            assert!(!later(&sleep));
            assert_eq!(after(first), renewed);
            sleep();
            renew();
            assert!(now() > renewed);
            let before = now();
            sleep();
            tokio::task::yield_now().await;
            assert!(now() > before);
        })
        .await;
        assert!(later(&sleep));
    }

    #[test]
    fn a_turn_that_breaks_off_leaves_no_time_behind() {
        let broken = std::panic::catch_unwind(|| {
            let mut task = std::pin::pin!(Turns::new(async {
                now();
                panic!("on purpose");
            }));
            let _ = task
                .as_mut()
                .poll(&mut Context::from_waker(std::task::Waker::noop()));
        });
        assert!(broken.is_err());
        let first = now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(now() > first);
    }

    #[test]
    fn a_moment_at_hand_has_the_time_of_the_wall() {
        process_start();
        let start = Instant::now();
        let first = since_epoch_at(start);
        let apart = |a: Duration, b: Duration| a.abs_diff(b) < Duration::from_secs(1);
        assert!(apart(first, since_epoch()));
        let later = start + Duration::from_millis(300);
        assert_eq!(since_epoch_at(later), first + Duration::from_millis(300));
        let before = start.checked_sub(Duration::from_millis(5)).unwrap_or(start);
        assert!(apart(since_epoch_at(before), first));
    }

    #[test]
    fn writes_known_moments() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_700_000_000, "2023-11-14T22:13:20.000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_secs(seconds)), text);
        }
        assert_eq!(
            rfc3339(Duration::from_millis(1_007)),
            "1970-01-01T00:00:01.007Z"
        );
    }

    #[test]
    fn the_second_that_is_kept_is_the_one_that_is_written() {
        for (milliseconds, text) in [
            (1_999, "1970-01-01T00:00:01.999Z"),
            (1_000, "1970-01-01T00:00:01.000Z"),
            (2_000, "1970-01-01T00:00:02.000Z"),
            (1_234, "1970-01-01T00:00:01.234Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_millis(milliseconds)), text);
        }
    }
}
