//! Whether the gateway itself has more to do than it can: its threads answer late, or its memory runs out. Then a
//! growing share of requests is turned away before anything is done for them, strangers first, until the pressure is
//! gone. Health is never turned away.
//!
//! Threads are measured where they work: now and then a request leaves a timer behind, and how late that fires is how
//! late everything on that thread is. KrakenD has nothing like it.

use crate::base::{Error, Reason, clock};
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::stage::{Edits, HeadStage, Step};
use crate::gateway::task::{Running, Task};
use prometheus::IntGauge;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;

/// What is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How late timers may fire.
    pub lag: Duration,
    /// Bytes of memory; `None` for what the control group allows, if it does.
    pub memory: Option<u64>,
}

/// Distance of two timers of one thread.
const EVERY: u64 = 20_000_000;
/// For how long such a timer is set.
const SHORT: Duration = Duration::from_millis(5);
/// Distance of two decisions.
const STEP: u64 = 100_000_000;
/// After this long without a request nothing is known.
const STALE: u64 = 2_000_000_000;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// All, in thousandths.
const WHOLE: u32 = 1_000;
/// From this share on known callers are turned away too.
const STRANGERS: u32 = 800;
/// Of the memory that is allowed, in hundredths: from here on it is too much.
const FULL: u64 = 90;

/// The pressure on this process.
#[derive(Debug)]
pub struct Pressure {
    bounds: Bounds,
    memory: Option<u64>,
    /// The share of requests that is turned away, in thousandths.
    share: AtomicU32,
    /// The latest that a timer fired since the last decision, in nanoseconds.
    lag: AtomicU64,
    /// Whether memory is scarce.
    full: AtomicU32,
    decided: AtomicU64,
    gauge: IntGauge,
}

impl Pressure {
    /// No pressure yet; `gauge` shows the share that is turned away.
    pub fn new(bounds: Bounds, gauge: IntGauge) -> Self {
        Self {
            memory: bounds.memory.or_else(allowed),
            bounds,
            share: AtomicU32::new(0),
            lag: AtomicU64::new(0),
            full: AtomicU32::new(0),
            decided: AtomicU64::new(0),
            gauge,
        }
    }

    /// The share of requests that is turned away, in thousandths.
    pub fn share(&self) -> u32 {
        self.share.load(Ordering::Relaxed)
    }

    /// Takes how late a timer fired, and decides anew when it is time.
    fn fired(&self, late: Duration, now: u64) {
        let late = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
        self.lag.fetch_max(late, Ordering::Relaxed);
        let before = self.decided.load(Ordering::Relaxed);
        let since = now.saturating_sub(before);
        let mine = since >= STEP
            && self
                .decided
                .compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if mine {
            self.decide(since >= STALE);
        }
    }

    /// More is turned away by a tenth of all, less by a twentieth: it is calm again only after a while.
    fn decide(&self, stale: bool) {
        let lag = Duration::from_nanos(self.lag.swap(0, Ordering::Relaxed));
        let full = self.full.load(Ordering::Relaxed) != 0;
        let before = self.share();
        let next = if stale && !full {
            0
        } else if full || lag > self.bounds.lag {
            (before + WHOLE / 10).min(WHOLE - WHOLE / 20)
        } else if lag < self.bounds.lag / 2 {
            before.saturating_sub(WHOLE / 20)
        } else {
            before
        };
        self.share.store(next, Ordering::Relaxed);
        self.gauge.set(i64::from(next / 10));
        match (before, next) {
            (0, 1..) => {
                let lag_ms = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
                log::warn!(lag_ms, memory = full; "overload: requests are turned away");
            }
            (1.., 0) => log::warn!("overload is over"),
            _ => {}
        }
    }

    /// Whether a request is turned away: strangers by the whole share, the known by what is left of it above theirs.
    fn sheds(&self, known: bool, drawn: u32) -> bool {
        let share = match (self.share(), known) {
            (0, _) => return false,
            (share, false) => share,
            (share, true) => share.saturating_sub(STRANGERS) * WHOLE / (WHOLE - STRANGERS),
        };
        drawn < share
    }
}

/// Bytes that the control group allows.
fn allowed() -> Option<u64> {
    let text = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?;
    text.trim().parse().ok()
}

/// Bytes of this process that are in memory.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes.saturating_mul(1024))
}

impl Task for Pressure {
    fn name(&self) -> &'static str {
        "pressure"
    }

    fn run(self: Arc<Self>) -> Running {
        Box::pin(async move {
            let Some(most) = self.memory else { return };
            loop {
                if let Some(used) = resident() {
                    let full = used > most / 100 * FULL;
                    self.full.store(u32::from(full), Ordering::Relaxed);
                    self.fired(Duration::ZERO, clock::moment());
                }
                tokio::time::sleep(LOOK).await;
            }
        })
    }
}

/// Turns requests away; the last stage of each endpoint, so that it is known who calls.
#[derive(Clone, Debug)]
pub struct Shed(pub Arc<Pressure>);

impl Shed {
    /// Leaves a timer behind, now and then.
    fn measure(&self) {
        thread_local! {
            static NEXT: Cell<u64> = const { Cell::new(0) };
        }
        let now = clock::moment();
        if now < NEXT.get() {
            return;
        }
        NEXT.set(now + EVERY);
        let Ok(handle) = Handle::try_current() else {
            return;
        };
        let pressure = Arc::clone(&self.0);
        // On this thread and for some milliseconds: at most fifty a second, and only while requests come.
        handle.spawn(async move {
            tokio::time::sleep(SHORT).await;
            let fired = clock::moment();
            let late = Duration::from_nanos(fired.saturating_sub(now)).saturating_sub(SHORT);
            pressure.fired(late, fired);
        });
    }
}

impl HeadStage for Shed {
    fn name(&self) -> &'static str {
        "hanzo/overload"
    }

    fn on_request<'a>(&'a self, _: &'a dyn Head, _: &'a mut Edits, ctx: &'a mut Ctx) -> Step<'a> {
        self.measure();
        if self.0.share() > 0 && self.0.sheds(ctx.identity.is_some(), fastrand::u32(..WHOLE)) {
            // Not all at the same time again.
            let seconds = fastrand::u32(1..=3);
            return Step::Now(Err(Error::from(Reason::Overloaded).retry_after(seconds)));
        }
        Step::NEXT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressure() -> Pressure {
        let bounds = Bounds {
            lag: Duration::from_millis(100),
            memory: Some(1 << 30),
        };
        Pressure::new(bounds, IntGauge::new("share", "share").unwrap())
    }

    const LATE: Duration = Duration::from_millis(150);
    const SOON: Duration = Duration::from_millis(1);

    #[test]
    fn the_share_grows_while_timers_are_late_and_shrinks_when_they_are_not() {
        let pressure = pressure();
        let mut now = 10 * STALE;
        let mut fire = |late| {
            now += STEP;
            pressure.fired(late, now);
            pressure.share()
        };
        fire(SOON);
        let shares: Vec<u32> = (0..4).map(|_| fire(LATE)).collect();
        assert_eq!(shares, [100, 200, 300, 400]);
        assert_eq!((0..20).map(|_| fire(LATE)).last(), Some(950));
        // Neither late nor soon: it stays.
        assert_eq!(fire(Duration::from_millis(70)), 950);
        assert_eq!((0..19).map(|_| fire(SOON)).last(), Some(0));
    }

    #[test]
    fn one_late_timer_counts_once() {
        let pressure = pressure();
        pressure.fired(SOON, 10 * STALE);
        for part in 1..10 {
            pressure.fired(LATE, 10 * STALE + part);
        }
        assert_eq!(pressure.share(), 0);
        pressure.fired(SOON, 10 * STALE + STEP);
        assert_eq!(pressure.share(), 100);
        pressure.fired(SOON, 10 * STALE + 2 * STEP);
        assert_eq!(pressure.share(), 50);
    }

    #[test]
    fn what_was_long_ago_says_nothing() {
        let pressure = pressure();
        pressure.share.store(500, Ordering::Relaxed);
        pressure.decided.store(STEP, Ordering::Relaxed);
        pressure.fired(SOON, STEP + STALE);
        assert_eq!(pressure.share(), 0);
    }

    #[test]
    fn scarce_memory_counts_like_late_timers() {
        let pressure = pressure();
        pressure.full.store(1, Ordering::Relaxed);
        pressure.fired(SOON, 10 * STALE);
        assert_eq!(pressure.share(), 100);
    }

    #[test]
    fn strangers_are_turned_away_before_the_known() {
        let pressure = pressure();
        for (share, strangers, known) in [(0, 0, 0), (500, 500, 0), (800, 800, 0), (900, 900, 500)]
        {
            pressure.share.store(share, Ordering::Relaxed);
            let shed = |known| {
                (0..WHOLE)
                    .filter(|drawn| pressure.sheds(known, *drawn))
                    .count()
            };
            assert_eq!((shed(false), shed(true)), (strangers, known), "{share}");
        }
    }

    #[test]
    fn the_memory_of_this_process_is_known() {
        assert!(resident().is_none_or(|bytes| bytes > 1 << 20));
    }
}
