//! The task that speaks to a store: it collects what was taken, reports it in few and large calls, and fills leases.
//!
//! One call (a round trip, one script) carries up to hundreds of callers, and there is some call for each two hundred
//! requests ([`Pace`]). A call that fails ends the connection and turns the limits local at once; the task goes on trying.
//! Every two seconds a gateway also says that it is there, and hears how many share ([`Script`] `peers.lua`): this is the
//! first thing that it says on a connection, so a store that takes no writes (a replica, one without memory) is away
//! from the start, and not back and away again with each report.

use super::lease::{Next, Reply, Report, View};
use super::link::{self, Link, Place, Script};
use super::work::{AT_ONCE, Back, Batch, GROUPS, NUMBERS, Pace, Work};
use crate::gateway::kept::Kept;
use crate::gateway::task::{Running, Task};
use crate::telemetry::metrics::{Metrics, StoreMeters};
use crate::traffic::limit::table::Moment;
use aws_lc_rs::digest;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, timeout};

/// Callers that may wait for the store.
pub(super) const WAITING: usize = 1 << 15;
/// How often a gateway says that it is there.
const BEAT: Duration = Duration::from_secs(2);
/// Who was silent for so many seconds is not counted.
const SILENT: i64 = 7;
/// The end of time, in ticks.
const NEVER: u64 = u64::MAX;
/// Clocks that are further apart than this are told of.
const ASTRAY: Duration = Duration::from_secs(30);
/// Pauses between attempts to connect.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Nothing was heard of it yet.
const UNKNOWN: u8 = 0;
/// It answers.
const UP: u8 = 1;
/// A call failed and is made again; limits are local meanwhile.
const LOST: u8 = 2;
/// It does not answer.
const AWAY: u8 = 3;

/// What a caller or a limit is called in the store: a hash, so that nobody reads there who called. All gateways
/// make the same of the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id([u8; 16]);

impl Id {
    /// The name of a caller of this kind under a limit.
    pub fn of(limit: &str, kind: u8, caller: &[u8]) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&(limit.len() as u64).to_le_bytes());
        hash.update(limit.as_bytes());
        hash.update(&[kind]);
        hash.update(caller);
        let mut id = [0; 16];
        let whole = hash.finish();
        for (to, from) in id.iter_mut().zip(whole.as_ref()) {
            *to = *from;
        }
        Self(id)
    }

    pub(super) fn group(self) -> u8 {
        let [first, ..] = self.0;
        first % GROUPS
    }

    /// Its key: `hzrl:{group}:…` in hexadecimal digits.
    pub(super) fn key(self, group: u8) -> String {
        use std::fmt::Write as _;
        let mut key = String::with_capacity(42);
        let _ = write!(key, "hzrl:{{{group}}}:");
        for byte in self.0 {
            let _ = write!(key, "{byte:02x}");
        }
        key
    }
}

/// What the store is told of one caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Picoseconds of one token; 0 without a bucket.
    pub step: u64,
    /// Tokens of the bucket.
    pub burst: u64,
    /// What was taken and is wanted.
    pub report: Report,
    /// The day.
    pub day: u64,
    /// Its limit in thousandths; 0 for none.
    pub daily: u64,
    /// What was taken of it since the last report.
    pub spent: i64,
    /// What was known of it before this report.
    pub known: u64,
    /// What is missing in the gateway's own bucket, in thousandths.
    pub missing: i64,
}

/// A limit with leases.
pub trait Leased: Send + Sync {
    /// What is to be told of a caller; `None` when there is nothing, or no such caller.
    fn report(&self, key: u64, at: Moment) -> Option<Told>;

    /// Takes the store's answer in, to a call that was made at `sent` first.
    fn settle(&self, key: u64, at: Moment, sent: u64, told: &Told, reply: &Reply) -> Next;

    /// A lease that may be unused, to be given back.
    fn unused(&self, key: u64, at: Moment) -> Back;

    /// The report did not arrive; it will be made again.
    fn failed(&self, key: u64, at: Moment);
}

/// A caller that has something to report.
#[derive(Clone)]
pub struct Ask {
    /// Whose caller it is.
    pub whose: Weak<dyn Leased>,
    /// The caller's key there.
    pub key: u64,
    /// Its name in the store.
    pub id: Id,
}

/// A store of counters, and the task that speaks to it.
pub struct Store {
    place: Place,
    /// What it is called in logs and metrics.
    name: String,
    /// One of the states above.
    state: AtomicU8,
    /// This gateway's, among those that share.
    own: u32,
    /// Twice the number of those, and one while reports can be hurried; 0 while it is away.
    view: AtomicU32,
    /// The number of those, as it was heard last.
    count: AtomicU32,
    /// When the call was made that waits for its answer; at the end of time without one.
    called: AtomicU64,
    /// How long its last answer took.
    took: AtomicU64,
    /// When it came.
    since: AtomicU64,
    asks: Sender<Ask>,
    asked: Mutex<Receiver<Ask>>,
    hurry: Notify,
    meters: StoreMeters,
    share: Script,
    peers: Script,
    /// Whether it was told that the clocks are apart.
    astray: AtomicBool,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// The store at this place, or one that nobody has spoken to yet.
    pub fn kept(kept: &Kept, name: &str, place: Place, metrics: &Metrics) -> Arc<Self> {
        let mark = place.mark();
        kept.get_or(&format!("store {name} {mark}"), || {
            Self::new(name, place, metrics)
        })
    }

    /// What tells it from a store at another place.
    pub fn mark(&self) -> String {
        self.place.mark()
    }

    fn new(name: &str, place: Place, metrics: &Metrics) -> Self {
        let (asks, asked) = mpsc::channel(WAITING);
        Self {
            place,
            name: name.to_owned(),
            state: AtomicU8::new(UNKNOWN),
            own: fastrand::u32(..),
            count: AtomicU32::new(1),
            view: AtomicU32::new(0),
            called: AtomicU64::new(NEVER),
            took: AtomicU64::new(0),
            since: AtomicU64::new(0),
            asks,
            asked: Mutex::new(asked),
            hurry: Notify::new(),
            meters: metrics.store(name),
            share: Script::new(include_str!("share.lua")),
            peers: Script::new(include_str!("peers.lua")),
            astray: AtomicBool::new(false),
        }
    }

    /// What it is called in logs and metrics.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether limits are `shared` at this moment, or `local`.
    pub fn word(&self) -> &'static str {
        if self.is_up() { "shared" } else { "local" }
    }

    /// What `/__stats` shows of it. Calls, failures and reports are those of all stores of this name.
    pub fn figures(&self) -> Value {
        let waiting = self.asks.max_capacity() - self.asks.capacity();
        json!({
            "name": self.name,
            "state": self.word(),
            "away": self.is_away(),
            "cluster": self.place.cluster,
            "calls": self.meters.answered.get(),
            "failures": self.meters.failed.get(),
            "reports": self.meters.reports.get(),
            "waiting": waiting,
        })
    }

    /// Whether it answered last time.
    pub fn is_up(&self) -> bool {
        self.state.load(Ordering::Relaxed) == UP
    }

    /// Whether it did not answer last time, and all attempts to call it again failed too.
    pub fn is_away(&self) -> bool {
        self.state.load(Ordering::Relaxed) == AWAY
    }

    /// How it stands at a moment: nobody shares while it does not answer.
    pub fn view(&self, ticks: u64) -> View {
        let view = self.view.load(Ordering::Relaxed);
        let called = self.called.load(Ordering::Relaxed);
        View {
            peers: view >> 1,
            hasty: view & 1 == 1,
            late: ticks
                .saturating_sub(called)
                .max(self.took.load(Ordering::Relaxed)),
            up: ticks.saturating_sub(self.since.load(Ordering::Relaxed)),
        }
    }

    fn peers(&self) -> u32 {
        self.view.load(Ordering::Relaxed) >> 1
    }

    /// Notes that it is called.
    pub(super) fn calls(&self, ticks: u64) {
        self.called.store(ticks, Ordering::Relaxed);
    }

    /// Notes that it answered.
    pub(super) fn answers(&self, ticks: u64) {
        let called = self.called.swap(NEVER, Ordering::Relaxed);
        if called != NEVER {
            let took = ticks.saturating_sub(called);
            self.took.store(took, Ordering::Relaxed);
        }
    }

    /// Notes when it came, if it was away.
    pub(super) fn comes(&self, ticks: u64) -> bool {
        let away = self.peers() == 0;
        if away {
            self.since.store(ticks, Ordering::Relaxed);
        }
        away
    }

    /// Sets how it stands.
    pub(super) fn see(&self, peers: u32, hasty: bool) {
        let view = peers.min(u32::MAX >> 1) << 1 | u32::from(hasty);
        self.view.store(view, Ordering::Relaxed);
    }

    /// Notes a caller for the next report. Where too many wait already it is noted when it comes again.
    pub fn ask(&self, ask: Ask) {
        let _ = self.asks.try_send(ask);
    }

    /// Has the next report made at once. From now on it owes an answer.
    pub fn hurry(&self, ticks: u64) {
        let (never, relaxed) = (NEVER, Ordering::Relaxed);
        let _ = self.called.compare_exchange(never, ticks, relaxed, relaxed);
        self.hurry.notify_one();
    }

    fn came(&self, hasty: bool) {
        self.meters.up.set(1);
        let gateways = self.count.load(Ordering::Relaxed);
        let before = self.state.swap(UP, Ordering::Relaxed);
        if before == UNKNOWN || before == AWAY {
            log::info!(store = self.name.as_str(), gateways; "limits are shared");
        }
        self.comes(Moment::now().ticks);
        self.see(gateways, hasty);
    }

    fn went(&self, why: &str) {
        self.meters.up.set(0);
        if self.state.swap(AWAY, Ordering::Relaxed) != AWAY {
            log::warn!(store = self.name.as_str(), reason = why; "the store of shared limits is away, limits are local");
        }
    }

    async fn serve(&self) {
        let mut asked = self.asked.lock().await;
        let mut work = Work::default();
        let mut pause = AGAIN.0;
        let mut attempt = 0;
        loop {
            let why = match self.reach().await {
                Ok(link) => {
                    let since = Moment::now();
                    let spoken = self.speak(link, &mut work, &mut asked, &mut attempt).await;
                    // One that goes away again at once is not asked ten times a second.
                    let lasted = Moment::now().ticks.saturating_sub(since.ticks);
                    if u128::from(lasted) > AGAIN.1.as_nanos() {
                        pause = AGAIN.0;
                    }
                    match spoken {
                        Spoken::Enough => continue,
                        Spoken::Failed(why) => why,
                    }
                }
                Err(why) => why,
            };
            // Nobody shall wait for it meanwhile.
            self.see(0, false);
            self.meters.failed.inc();
            attempt += 1;
            if let Some(soon) = self.place.again.pause(attempt) {
                // That it is away is not said yet.
                let (up, lost) = (UP, LOST);
                let order = Ordering::Relaxed;
                let _ = self.state.compare_exchange(up, lost, order, order);
                wait(&mut work, &mut asked, soon).await;
                continue;
            }
            self.went(&why);
            wait(&mut work, &mut asked, pause).await;
            pause = (pause * 2).min(AGAIN.1);
        }
    }

    /// Connects, and says that this gateway is there.
    async fn reach(&self) -> Result<Link, String> {
        let link = match timeout(self.place.dial + self.place.call, self.place.connect()).await {
            Ok(Ok(link)) => link,
            Ok(Err(error)) => return Err(link::fault(&error)),
            Err(_) => return Err("no connection in time".to_owned()),
        };
        self.beat(&link).await?;
        Ok(link)
    }

    /// Says that this gateway is there, and hears how many are.
    async fn beat(&self, link: &Link) -> Result<(), String> {
        let (mut link, keys) = (link.clone(), ["hzrl:{0}:gateways".to_owned()]);
        let args = [self.own.to_string(), SILENT.to_string()];
        let args = args.as_slice();
        let call = link.run(&self.peers, &keys, &args);
        self.calls(Moment::now().ticks);
        let answer = timeout(self.place.call, call).await;
        self.answers(Moment::now().ticks);
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(link::fault(&error)),
            Err(_) => return Err("no answer in time".to_owned()),
        };
        self.meters.answered.inc();
        let &[peers, clock] = answer.as_slice() else {
            return Err("an answer of another size".to_owned());
        };
        let peers = u32::try_from(peers).unwrap_or(1).max(1);
        self.count.store(peers, Ordering::Relaxed);
        self.compare(clock);
        Ok(())
    }

    /// Days are shared where the clocks are of one day; what is apart by much is told once.
    fn compare(&self, clock: i64) {
        let clock = Duration::from_secs(u64::try_from(clock).unwrap_or(0));
        let apart = clock.abs_diff(Moment::now().wall);
        let astray = apart > ASTRAY;
        if astray && !self.astray.swap(true, Ordering::Relaxed) {
            let (store, seconds) = (self.name.as_str(), apart.as_secs());
            log::warn!(store, seconds; "the clock of the store of shared limits is apart from this one, days are shared only where both have the same");
        } else if !astray {
            self.astray.store(false, Ordering::Relaxed);
        }
    }

    /// Reports until a call fails, or the connection has had its time. It answers once it was heard: `attempt` begins
    /// again with the first call that it took, or at once where nothing waits to be told.
    async fn speak(
        &self,
        link: Link,
        work: &mut Work,
        asked: &mut Receiver<Ask>,
        attempt: &mut u32,
    ) -> Spoken {
        let mut pace = Pace::new(self.place.cluster);
        if work.unsure.is_empty() {
            self.came(true);
            *attempt = 0;
        }
        let made = Moment::now().ticks;
        let (mut beat, mut used) = (next_beat(), made);
        loop {
            let end = self.end(made, used);
            let hurried = self.gather(work, asked, &pace, beat.min(end)).await;
            let now = Moment::now().ticks;
            if now >= end {
                return Spoken::Enough;
            }
            if now >= beat {
                if let Err(why) = self.beat(&link).await {
                    return Spoken::Failed(why);
                }
                beat = next_beat();
            }
            match self.flush(&link, work, &mut pace, hurried).await {
                Ok(0) => {}
                Ok(_) => {
                    used = now;
                    self.came(pace.is_hasty());
                    *attempt = 0;
                }
                Err(why) => return Spoken::Failed(why),
            }
        }
    }

    /// When a connection has had its time that was made and used at these moments.
    fn end(&self, made: u64, used: u64) -> u64 {
        let renewal = &self.place.renewal;
        let after = |at: u64, span: Duration| {
            at.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(NEVER))
        };
        let idle = renewal.idle.map(|span| after(used, span));
        let life = renewal.life.map(|span| after(made, span));
        idle.into_iter().chain(life).min().unwrap_or(NEVER)
    }

    /// Notes what comes until it is time for a report, or for the next beat. Tells whether somebody is in a hurry.
    async fn gather(
        &self,
        work: &mut Work,
        asked: &mut Receiver<Ask>,
        pace: &Pace,
        beat: u64,
    ) -> bool {
        let mut hurried = false;
        loop {
            while let Ok(ask) = asked.try_recv() {
                work.note(ask);
            }
            let now = Moment::now().ticks;
            let due = if work.is_due() {
                pace.due(hurried)
            } else {
                work.unused().unwrap_or(u64::MAX).max(pace.due(false))
            };
            let due = due.min(beat);
            if now >= due {
                return hurried;
            }
            tokio::select! {
                Some(ask) = asked.recv() => work.note(ask),
                () = self.hurry.notified() => {
                    hurried = true;
                    if !work.is_due() && asked.is_empty() {
                        // It was told already.
                        self.called.store(NEVER, Ordering::Relaxed);
                    }
                }
                () = sleep(Duration::from_nanos(due - now)) => {}
            }
        }
    }

    /// Makes the calls that are due, and tells how many they were.
    async fn flush(
        &self,
        link: &Link,
        work: &mut Work,
        pace: &mut Pace,
        hurried: bool,
    ) -> Result<usize, String> {
        let again = std::mem::take(&mut work.unsure);
        let mut count = again.len();
        if !again.is_empty() {
            self.call(link, work, again).await?;
        }
        loop {
            let at = Moment::now();
            let batches = work.batches(self.place.cluster, at);
            if batches.is_empty() {
                return Ok(count);
            }
            count += batches.len();
            let requests = batches.iter().map(Batch::requests).sum();
            pace.made(at.ticks, batches.len(), requests, hurried);
            if self.peers() > 0 {
                self.see(self.peers(), pace.is_hasty());
            }
            let full = batches.len() >= AT_ONCE;
            let plenty = self.call(link, work, batches).await?;
            pace.answered(hurried, plenty);
            // More than one round holds is told in the next.
            if !(full && work.is_due()) {
                return Ok(count);
            }
        }
    }

    /// Makes calls. Tells whether somebody has plenty.
    async fn call(
        &self,
        link: &Link,
        work: &mut Work,
        batches: Vec<Batch>,
    ) -> Result<bool, String> {
        let peers = self.count.load(Ordering::Relaxed);
        let now = Moment::now().ticks;
        self.calls(now);
        let calls = batches.into_iter().map(|batch| {
            let mut link = link.clone();
            async move {
                let (keys, args) = batch.spoken(peers, self.own, now);
                let call = link.run(&self.share, &keys, &args);
                let answer = match timeout(self.place.call, call).await {
                    Ok(Ok(numbers)) if numbers.len() == batch.callers.len() * NUMBERS => {
                        Ok(numbers)
                    }
                    Ok(Ok(_)) => Err("an answer of another size".to_owned()),
                    Ok(Err(error)) => Err(link::fault(&error)),
                    Err(_) => Err("no answer in time".to_owned()),
                };
                (batch, answer)
            }
        });
        let (mut failed, mut urgent, mut plenty) = (None, false, false);
        let answers = join_all(calls).await;
        self.answers(Moment::now().ticks);
        for (batch, answer) in answers {
            self.meters.reports.inc_by(batch.callers.len() as u64);
            let at = Moment::now();
            match answer {
                Ok(numbers) => {
                    self.meters.answered.inc();
                    let (now, much) = work.settle(batch, &numbers, at);
                    urgent |= now;
                    plenty |= much;
                }
                Err(why) => {
                    work.failed(batch, at);
                    failed = Some(why);
                }
            }
        }
        if urgent {
            self.hurry(Moment::now().ticks);
        }
        failed.map_or(Ok(plenty), Err)
    }
}

/// How a connection ended.
enum Spoken {
    /// It has had its time.
    Enough,
    /// A call failed.
    Failed(String),
}

fn next_beat() -> u64 {
    Moment::now().after(BEAT).ticks
}

/// Notes what comes for a while.
async fn wait(work: &mut Work, asked: &mut Receiver<Ask>, pause: Duration) {
    let end = sleep(pause);
    tokio::pin!(end);
    loop {
        tokio::select! {
            Some(ask) = asked.recv() => work.note(ask),
            () = &mut end => return,
        }
    }
}

/// A store that nobody speaks to, and what the task would hear: for simulations.
#[cfg(test)]
impl Store {
    pub(super) fn unspoken(metrics: &Metrics) -> Arc<Self> {
        Arc::new(Self::new("none", Place::at(Vec::new(), false), metrics))
    }

    pub(super) fn heard(&self) -> (Vec<Ask>, bool) {
        use futures_util::FutureExt as _;
        let mut asked = self.asked.try_lock().unwrap();
        let asks = std::iter::from_fn(|| asked.try_recv().ok()).collect();
        (asks, self.hurry.notified().now_or_never().is_some())
    }
}

impl Task for Store {
    fn name(&self) -> &'static str {
        "shared limits"
    }

    fn run(self: Arc<Self>) -> Running {
        Box::pin(async move { self.serve().await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_store_tell_callers_apart_and_nothing_about_them() {
        let id = Id::of("tier free", 1, b"10.0.0.1");
        assert_eq!(id, Id::of("tier free", 1, b"10.0.0.1"));
        let others = [
            Id::of("tier free", 2, b"10.0.0.1"),
            Id::of("tier team", 1, b"10.0.0.1"),
            Id::of("tier fre", 1, b"e10.0.0.1"),
            Id::of("tier free", 1, b"10.0.0.2"),
        ];
        assert!(others.iter().all(|other| *other != id));
        let key = id.key(3);
        assert!(key.starts_with("hzrl:{3}:") && key.len() == 41, "{key}");
        assert!(!key.contains("10.0.0.1"));
    }
}
