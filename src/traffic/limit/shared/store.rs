//! The task that speaks to a store: it collects what was taken, reports it in few and large calls, and fills leases.
//!
//! One call carries up to hundreds of callers, and there are some twenty calls a second however many requests come. A
//! call that fails ends the connection and turns the limits local at once; the task goes on trying.

use super::lease::{Reply, Report};
use super::link::{self, Link, Place, Script};
use super::work::{Batch, GROUPS, Work};
use crate::gateway::kept::Kept;
use crate::gateway::task::{Running, Task};
use crate::telemetry::metrics::{Metrics, StoreMeters};
use crate::traffic::limit::table::Moment;
use aws_lc_rs::digest;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, timeout};

/// The pause between two reports; of a cluster, which is called once for each of its groups, twice as long.
const RHYTHM: Duration = Duration::from_millis(50);
/// Callers that may wait for the store.
pub(super) const WAITING: usize = 1 << 17;
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
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Told {
    /// Microseconds of one token; 0 without a bucket.
    pub step: f64,
    /// Tokens of the bucket.
    pub burst: u64,
    /// What was taken and is wanted.
    pub report: Report,
    /// The day.
    pub day: u64,
    /// Its limit in thousandths; 0 for none.
    pub daily: u64,
    /// What was known of it before this report.
    pub known: u64,
}

/// A limit with leases.
pub trait Leased: Send + Sync {
    /// What is to be told of a caller; `None` when there is nothing, or no such caller.
    fn report(&self, key: u128, at: Moment) -> Option<Told>;

    /// Takes the store's answer in. Tells whether there is more to report.
    fn settle(&self, key: u128, at: Moment, told: &Told, reply: &Reply) -> bool;

    /// A lease that nobody uses, to be given back.
    fn unused(&self, key: u128, at: Moment) -> Option<Told>;

    /// The report did not arrive; it will be made again.
    fn failed(&self, key: u128, at: Moment);
}

/// A caller that has something to report.
#[derive(Clone)]
pub struct Ask {
    /// Whose caller it is.
    pub whose: Weak<dyn Leased>,
    /// The caller's key there.
    pub key: u128,
    /// Its name in the store.
    pub id: Id,
}

/// A store of counters, and the task that speaks to it.
pub struct Store {
    place: Place,
    /// What it is called in logs and metrics.
    name: String,
    /// One of the states below.
    state: AtomicU8,
    asks: Sender<Ask>,
    asked: Mutex<Receiver<Ask>>,
    hurry: Notify,
    meters: StoreMeters,
    script: Script,
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
            asks,
            asked: Mutex::new(asked),
            hurry: Notify::new(),
            meters: metrics.store(name),
            script: Script::new(include_str!("share.lua")),
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

    /// Notes a caller for the next report. Where too many wait already it is noted when it comes again.
    pub fn ask(&self, ask: Ask) {
        let _ = self.asks.try_send(ask);
    }

    /// Has the next report made at once.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    fn came(&self) {
        self.meters.up.set(1);
        let before = self.state.swap(UP, Ordering::Relaxed);
        if before == UNKNOWN || before == AWAY {
            log::info!(store = self.name.as_str(); "limits are shared");
        }
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
            let why = match self.connect().await {
                Ok(link) => {
                    pause = AGAIN.0;
                    let spoken = self.speak(link, &mut work, &mut asked, &mut attempt).await;
                    match spoken {
                        Spoken::Enough => continue,
                        Spoken::Failed(why) => why,
                    }
                }
                Err(why) => why,
            };
            self.meters.failed.inc();
            attempt += 1;
            if let Some(soon) = self.place.again.pause(attempt) {
                // Nobody shall wait for it meanwhile; that it is away is not said yet.
                let (up, lost) = (UP, LOST);
                let order = Ordering::Relaxed;
                let _ = self.state.compare_exchange(up, lost, order, order);
                work.wait(&mut asked, Instant::now() + soon).await;
                continue;
            }
            self.went(&why);
            work.wait(&mut asked, Instant::now() + pause).await;
            pause = (pause * 2).min(AGAIN.1);
        }
    }

    async fn connect(&self) -> Result<Link, String> {
        match timeout(self.place.dial + self.place.call, self.place.connect()).await {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(error)) => Err(link::fault(&error)),
            Err(_) => Err("no connection in time".to_owned()),
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
        let rhythm = if self.place.cluster {
            RHYTHM * 2
        } else {
            RHYTHM
        };
        if work.unsure.is_empty() {
            self.came();
            *attempt = 0;
        }
        let made = Instant::now();
        let mut last = made - rhythm;
        let mut used = made;
        loop {
            let hurried = || self.hurry.notified();
            let end = self.end(made, used);
            if !work.gather(asked, (last, rhythm, end), hurried).await {
                return Spoken::Enough;
            }
            last = Instant::now();
            match self.flush(&link, work).await {
                Ok(0) => {}
                Ok(_) => {
                    used = last;
                    self.came();
                    *attempt = 0;
                }
                Err(why) => return Spoken::Failed(why),
            }
        }
    }

    /// When a connection has had its time that was made and used at these moments.
    fn end(&self, made: Instant, used: Instant) -> Option<Instant> {
        let renewal = &self.place.renewal;
        let idle = renewal.idle.map(|span| used + span);
        let life = renewal.life.map(|span| made + span);
        idle.into_iter().chain(life).min()
    }

    /// Makes the calls that are due, and tells how many they were.
    async fn flush(&self, link: &Link, work: &mut Work) -> Result<usize, String> {
        let again = std::mem::take(&mut work.unsure);
        let repeated = again.len();
        if !again.is_empty() {
            self.call(link, work, again).await?;
        }
        let batches = work.batches(self.place.cluster);
        let count = repeated + batches.len();
        self.call(link, work, batches).await?;
        Ok(count)
    }

    async fn call(&self, link: &Link, work: &mut Work, batches: Vec<Batch>) -> Result<(), String> {
        let calls = batches.into_iter().map(|batch| {
            let mut link = link.clone();
            async move {
                let (keys, args) = batch.spoken();
                let call = link.run(&self.script, &keys, &args);
                let answer = match timeout(self.place.call, call).await {
                    Ok(Ok(numbers)) if numbers.len() == batch.callers.len() * 4 => Ok(numbers),
                    Ok(Ok(_)) => Err("an answer of another size".to_owned()),
                    Ok(Err(error)) => Err(link::fault(&error)),
                    Err(_) => Err("no answer in time".to_owned()),
                };
                (batch, answer)
            }
        });
        let mut failed = None;
        for (batch, answer) in join_all(calls).await {
            self.meters.reports.inc_by(batch.callers.len() as u64);
            match answer {
                Ok(numbers) => {
                    self.meters.answered.inc();
                    work.settle(batch, &numbers);
                }
                Err(why) => {
                    work.failed(batch);
                    failed = Some(why);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// How a connection ended.
enum Spoken {
    /// It has had its time.
    Enough,
    /// A call failed.
    Failed(String),
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
