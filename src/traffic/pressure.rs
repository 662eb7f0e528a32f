//! Whether the gateway itself has more to do than it can: its threads answer late, or its memory runs out. Then a
//! growing share of requests is turned away before anything is done for them, strangers first, until the pressure is
//! gone. Health is never turned away.
//!
//! Threads are measured where they work: the first request on one leaves a timer behind that is set again and again
//! while requests come, and how late it fires is how late everything on that thread is. KrakenD has nothing like it.

use crate::base::{Error, Reason, clock};
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::stage::{Edits, HeadStage, Step};
use crate::gateway::task::{Running, Task};
use prometheus::IntGauge;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
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

/// For how long a timer is set, as a part of the lag that is too much: work that holds a thread up for so long and a
/// quarter more is seen whenever it begins.
const PART: u32 = 4;
/// No timer is shorter than this: two hundred of a second for a busy thread.
const SHORT: Duration = Duration::from_millis(5);
/// For how long after the last request of a thread its timer is set again, in nanoseconds.
const LINGER: u64 = 1_000_000_000;
/// Distance of two decisions.
const STEP: u64 = 100_000_000;
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
    full: AtomicBool,
    decided: AtomicU64,
    /// Threads that are measured.
    meters: AtomicU32,
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
            full: AtomicBool::new(false),
            decided: AtomicU64::new(0),
            meters: AtomicU32::new(0),
            gauge,
        }
    }

    /// The share of requests that is turned away, in thousandths.
    pub fn share(&self) -> u32 {
        self.share.load(Ordering::Relaxed)
    }

    /// For how long timers are set.
    fn wait(&self) -> Duration {
        (self.bounds.lag / PART).max(SHORT)
    }

    /// Takes whether memory is scarce. When no thread is measured because no requests come, nothing else is known; one
    /// that is measured and says nothing is late, not calm.
    fn looked(&self, full: bool, now: u64) {
        self.full.store(full, Ordering::Relaxed);
        if full {
            self.fired(Duration::ZERO, now);
        } else if self.meters.load(Ordering::Relaxed) == 0 {
            self.turn_away(0, Duration::ZERO);
        }
    }

    /// Takes how late a timer fired, and decides anew when it is time.
    fn fired(&self, late: Duration, now: u64) {
        let late = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
        self.lag.fetch_max(late, Ordering::Relaxed);
        let before = self.decided.load(Ordering::Relaxed);
        let mine = now.saturating_sub(before) >= STEP
            && self
                .decided
                .compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if mine {
            self.decide();
        }
    }

    /// More is turned away by a tenth of all, less by a twentieth: it is calm again only after a while.
    fn decide(&self) {
        let lag = Duration::from_nanos(self.lag.swap(0, Ordering::Relaxed));
        let share = self.share();
        if self.full.load(Ordering::Relaxed) || lag > self.bounds.lag {
            self.turn_away((share + WHOLE / 10).min(WHOLE - WHOLE / 20), lag);
        } else if lag < self.bounds.lag / 2 {
            self.turn_away(share.saturating_sub(WHOLE / 20), lag);
        }
    }

    fn turn_away(&self, share: u32, lag: Duration) {
        match (self.share.swap(share, Ordering::Relaxed), share) {
            (0, 1..) => {
                let lag_ms = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
                let memory = self.full.load(Ordering::Relaxed);
                log::warn!(lag_ms, memory; "overload: requests are turned away");
            }
            (1.., 0) => log::warn!("overload is over"),
            _ => {}
        }
        self.gauge.set(i64::from(share / 10));
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
            loop {
                let full = match self.memory {
                    Some(most) => resident().is_some_and(|used| used > most / 100 * FULL),
                    None => false,
                };
                self.looked(full, clock::moment());
                tokio::time::sleep(LOOK).await;
            }
        })
    }
}

/// Turns requests away; the last stage of each endpoint, so that it is known who calls.
#[derive(Clone, Debug)]
pub struct Shed(pub Arc<Pressure>);

/// How late one thread is.
#[derive(Debug)]
struct Meter {
    of: Arc<Pressure>,
    /// When the last request came here; 0 while no timer is set.
    seen: AtomicU64,
}

impl Meter {
    /// Sets a timer until no requests come any more.
    async fn run(self: Arc<Self>) {
        let (of, wait) = (&self.of, self.of.wait());
        of.meters.fetch_add(1, Ordering::Relaxed);
        loop {
            let set = clock::moment();
            tokio::time::sleep(wait).await;
            let fired = clock::moment();
            let late = Duration::from_nanos(fired.saturating_sub(set)).saturating_sub(wait);
            of.fired(late, fired);
            let seen = self.seen.load(Ordering::Relaxed);
            // Not when another request came just now.
            if fired.saturating_sub(seen) > LINGER && self.rests(seen) {
                of.meters.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        }
    }

    fn rests(&self, seen: u64) -> bool {
        self.seen
            .compare_exchange(seen, 0, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

impl Shed {
    /// Has this thread measured from now on.
    fn measure(&self) {
        thread_local! {
            static METER: RefCell<Option<Arc<Meter>>> = const { RefCell::new(None) };
        }
        METER.with_borrow_mut(|here| {
            let meter = match here {
                Some(meter) if Arc::ptr_eq(&meter.of, &self.0) => meter,
                // The first request, or the first of another configuration.
                _ => here.insert(Arc::new(Meter {
                    of: Arc::clone(&self.0),
                    seen: AtomicU64::new(0),
                })),
            };
            let now = clock::moment().max(1);
            if meter.seen.swap(now, Ordering::Relaxed) != 0 {
                return;
            }
            match Handle::try_current() {
                Ok(handle) => drop(handle.spawn(Arc::clone(meter).run())),
                Err(_) => meter.seen.store(0, Ordering::Relaxed),
            }
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
    const LONG: u64 = 20_000_000_000;

    #[test]
    fn the_share_grows_while_timers_are_late_and_shrinks_when_they_are_not() {
        let pressure = pressure();
        let mut now = LONG;
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
        pressure.fired(SOON, LONG);
        for part in 1..10 {
            pressure.fired(LATE, LONG + part);
        }
        assert_eq!(pressure.share(), 0);
        pressure.fired(SOON, LONG + STEP);
        assert_eq!(pressure.share(), 100);
        pressure.fired(SOON, LONG + 2 * STEP);
        assert_eq!(pressure.share(), 50);
    }

    #[test]
    fn without_requests_it_is_calm_and_who_is_late_says_nothing() {
        let pressure = pressure();
        pressure.share.store(500, Ordering::Relaxed);
        pressure.meters.store(1, Ordering::Relaxed);
        pressure.looked(false, LONG);
        assert_eq!(pressure.share(), 500);
        pressure.meters.store(0, Ordering::Relaxed);
        pressure.looked(false, LONG);
        assert_eq!(pressure.share(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn each_thread_is_measured_once_for_each_configuration() {
        let (first, second) = (Shed(Arc::new(pressure())), Shed(Arc::new(pressure())));
        let meters = |shed: &Shed| shed.0.meters.load(Ordering::Relaxed);
        first.measure();
        first.measure();
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(meters(&first), 1);
        // Another configuration has a meter of its own.
        second.measure();
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!((meters(&first), meters(&second)), (1, 1));
    }

    #[test]
    fn scarce_memory_counts_like_late_timers() {
        let pressure = pressure();
        pressure.looked(true, LONG);
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
