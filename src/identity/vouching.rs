//! Services that vouch for credentials, asked as rarely as can be: what they said is remembered, questions about one
//! credential are asked once, answers that are in use are renewed before they end, and an outage shows only to callers
//! who are not remembered.
//!
//! - Questions under way are bounded, in all and for each client address: whoever tries keys holds up nobody else.
//! - After three failures of the service in a row strangers are refused at once, one question a second tries whether
//!   it is back; those who are remembered go on, beyond the time of their answer, up to `stale`.
//! - An answer that a question about one credential alone fails with (500, nonsense) refuses that caller and stops
//!   nobody else.

use super::answers::{Answers, Known, Remembered, Terms, Verdict};
use super::collapse::{Asking, Flights};
use super::memory::{Digest, digest_of};
use crate::base::clock;
use crate::base::{Error, Reason};
use crate::gateway::identity::{Identity, Proof};
use crate::gateway::stage::Step;
use crate::gateway::task::{Running, Task};
use crate::net::Deadline;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Most questions that a service is asked at the same time; more wait for their turn.
const AT_ONCE: usize = 64;
/// Most questions that are asked or wait for their turn.
const MOST: usize = 1024;
/// Most of them for one client address, or one /64 network.
const MOST_OF_ONE: u32 = 256;
/// Most renewals that wait for their turn.
const RENEWALS: usize = 1024;
/// Failures in a row after which strangers are refused unasked.
const OUT: u32 = 3;
/// How long one failure holds questions back that could be left.
const PAUSE: Duration = Duration::from_secs(1);

/// A credential as it was sent. It is nowhere but in the question about it.
pub struct Secret(Box<str>);

impl Secret {
    /// Keeps a credential.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text, for the question alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What a service said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Whose the credential is.
    pub verdict: Verdict,
    /// When the credential itself ends, since the epoch.
    pub expires: Option<Duration>,
}

/// Why a service said nothing that could be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The service is out of order, so nobody can be asked about.
    Outage(String),
    /// This question failed.
    Failed(String),
}

/// A service that vouches for credentials.
pub trait Voucher: Send + Sync + 'static {
    /// What it vouches for.
    fn proof(&self) -> Proof;

    /// Why a caller is refused when it cannot be asked.
    fn unavailable(&self) -> Reason;

    /// Asks about a credential, whose SHA-256 is `key`, within a deadline.
    fn ask(
        self: Arc<Self>,
        secret: Secret,
        key: Digest,
        deadline: Deadline,
    ) -> Asking<Result<Said, Silence>>;
}

/// How answers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long a good answer holds.
    pub good: Duration,
    /// How long a bad one does.
    pub bad: Duration,
    /// How much longer a good one holds while nobody can be asked.
    pub stale: Duration,
    /// How long a question may take, its turn included.
    pub timeout: Duration,
}

/// What outlives a reload of a service with the same settings.
#[derive(Debug, Default)]
pub struct Remembrance {
    answers: Answers,
    health: Mutex<Health>,
}

/// How the service has been lately.
#[derive(Debug, Default)]
struct Health {
    failures: u32,
    retry: Option<Instant>,
}

impl Health {
    /// How much longer questions that could be left are left.
    fn holds(&self, now: Instant) -> Option<Duration> {
        let retry = self.retry.filter(|_| self.failures > 0)?;
        retry
            .checked_duration_since(now)
            .filter(|left| !left.is_zero())
    }

    /// Whether a stranger may be asked about. During an outage one at a time, to see whether it is over.
    ///
    /// # Errors
    /// When it makes sense to come again.
    fn admits(&mut self, now: Instant, timeout: Duration) -> Result<(), Duration> {
        if self.failures < OUT {
            return Ok(());
        }
        if let Some(left) = self.holds(now) {
            return Err(left);
        }
        self.retry = now.checked_add(timeout);
        Ok(())
    }
}

type Answered = Result<Arc<Known>, Silence>;

/// A service with what is remembered of it.
pub struct Vouching<V> {
    voucher: Arc<V>,
    patience: Patience,
    memory: Arc<Remembrance>,
    flights: Flights<Answered>,
    turns: Arc<Semaphore>,
    crowd: Arc<Mutex<Crowd>>,
    renewals: mpsc::Sender<(Digest, Secret)>,
    renewing: tokio::sync::Mutex<mpsc::Receiver<(Digest, Secret)>>,
}

impl<V> fmt::Debug for Vouching<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vouching")
    }
}

impl<V: Voucher> Vouching<V> {
    /// A service, asked with this patience. It is also a task, which renews answers.
    pub fn new(voucher: V, patience: Patience, memory: Arc<Remembrance>) -> Arc<Self> {
        let (renewals, renewing) = mpsc::channel(RENEWALS);
        Arc::new(Self {
            voucher: Arc::new(voucher),
            patience,
            memory,
            flights: Flights::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            crowd: Arc::default(),
            renewals,
            renewing: tokio::sync::Mutex::new(renewing),
        })
    }

    /// What is remembered.
    pub fn memory(&self) -> Arc<Remembrance> {
        Arc::clone(&self.memory)
    }

    /// Whose credential it is: at once when that is remembered.
    pub fn whose<'a>(
        self: &'a Arc<Self>,
        credential: &str,
        from: IpAddr,
    ) -> Step<'a, Arc<Identity>> {
        let (now, key) = (Instant::now(), digest_of(credential.as_bytes()));
        let stale = match self.memory.answers.get(&key, now) {
            Remembered::Fresh(known) => {
                self.renew(&known, key, credential, now);
                return Step::Now(outcome(&known));
            }
            Remembered::Stale(known) => Some(known),
            Remembered::Nothing => None,
        };
        match &stale {
            Some(known) if self.health().failures > 0 => {
                self.renew(known, key, credential, now);
                return Step::Now(outcome(known));
            }
            Some(_) => {}
            None => {
                if let Err(left) = self.health().admits(now, self.patience.timeout) {
                    return Step::Now(Err(self.refuse("it did not answer lately", Some(left))));
                }
            }
        }
        let secret = Secret::new(credential);
        let begin = || self.begin(key, secret, Some(from));
        match self.flights.join(key, begin) {
            Ok(flight) => Step::Wait(Box::pin(async move {
                match (self.flights.wait(flight).await, stale) {
                    (Ok(known), _) | (Err(_), Some(known)) => outcome(&known),
                    (Err(Silence::Outage(why) | Silence::Failed(why)), None) => {
                        Err(self.refuse(&why, None))
                    }
                }
            })),
            Err(why) => Step::Now(match stale {
                Some(known) => outcome(&known),
                None => Err(self.refuse(why, None)),
            }),
        }
    }

    fn refuse(&self, why: &str, left: Option<Duration>) -> Error {
        let seconds = left.map_or(1, |left| left.as_secs() + 1);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        Error::new(self.voucher.unavailable(), why.to_owned()).retry_after(seconds)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.memory
            .health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Has an answer renewed that is about to end, if nobody else sees to it.
    fn renew(&self, known: &Known, key: Digest, credential: &str, now: Instant) {
        // Twice the time of a question: its turn, and a doubt.
        let pause = self.patience.timeout * 2 + PAUSE;
        if !matches!(known.verdict, Verdict::Good(_)) || !known.wants_renewal(now, pause) {
            return;
        }
        if self.health().holds(now).is_none() {
            let _ = self.renewals.try_send((key, Secret::new(credential)));
        }
    }

    /// Begins a question, unless there are too many.
    fn begin(
        self: &Arc<Self>,
        key: Digest,
        secret: Secret,
        from: Option<IpAddr>,
    ) -> Result<Asking<Answered>, &'static str> {
        let place = match from {
            Some(from) => Some(Place::of(&self.crowd, from).ok_or("too many are asked about")?),
            None => None,
        };
        let deadline = Deadline::after(self.patience.timeout);
        let own = Arc::clone(self);
        Ok(Box::pin(async move {
            let _place = place;
            let turn = deadline.run(own.turns.acquire()).await;
            let Some(Ok(_turn)) = turn else {
                return Err(Silence::Failed("too many are asked about".to_owned()));
            };
            let asking = Arc::clone(&own.voucher).ask(secret, key, deadline);
            let said = deadline.run(asking).await;
            let late = || Err(Silence::Outage("it did not answer in time".to_owned()));
            own.heard(key, said.unwrap_or_else(late))
        }))
    }

    /// Remembers an answer, or that there was none.
    fn heard(&self, key: Digest, said: Result<Said, Silence>) -> Answered {
        let now = Instant::now();
        let said = match said {
            Ok(said) => {
                self.back();
                said
            }
            Err(silence) => {
                self.silent(&silence, now);
                return Err(silence);
            }
        };
        let left = said
            .expires
            .map(|end| end.saturating_sub(clock::since_epoch()));
        let most = left.unwrap_or(Duration::MAX);
        let patience = self.patience;
        let terms = match said.verdict {
            Verdict::Good(_) => Terms {
                fresh: patience.good.min(most),
                stale: patience.good.saturating_add(patience.stale).min(most),
            },
            Verdict::Bad(_) => Terms {
                fresh: patience.bad,
                stale: patience.bad,
            },
        };
        let known = Arc::new(Known::new(said.verdict, terms, now));
        self.memory.answers.put(key, Arc::clone(&known), now);
        Ok(known)
    }

    fn back(&self) {
        let mut health = self.health();
        let failures = std::mem::take(&mut health.failures);
        drop(health);
        if failures > 0 {
            let method = self.voucher.proof().word();
            log::info!(method; "the service that vouches for callers answers again");
        }
    }

    fn silent(&self, silence: &Silence, now: Instant) {
        let method = self.voucher.proof().word();
        let why = match silence {
            Silence::Failed(why) => {
                log::error!(method; "asking about a caller failed: {why}");
                return;
            }
            Silence::Outage(why) => why,
        };
        let mut health = self.health();
        health.failures = health.failures.saturating_add(1);
        health.retry = now.checked_add(PAUSE);
        let first = health.failures == 1;
        drop(health);
        if first {
            log::error!(method; "the service that vouches for callers is out of order: {why}");
        }
    }
}

fn outcome(known: &Known) -> Result<Arc<Identity>, Error> {
    match &known.verdict {
        Verdict::Good(identity) => Ok(Arc::clone(identity)),
        Verdict::Bad(reason) => Err((*reason).into()),
    }
}

impl<V: Voucher> Task for Vouching<V> {
    fn name(&self) -> &'static str {
        match self.voucher.proof() {
            Proof::ApiKey => "renewal of API keys",
            _ => "renewal of introspected tokens",
        }
    }

    /// Renews answers that are in use, a few at a time.
    fn run(self: Arc<Self>) -> Running {
        Box::pin(async move {
            let mut waiting = self.renewing.lock().await;
            let mut under_way = JoinSet::new();
            loop {
                let free = under_way.len() < AT_ONCE / 4;
                tokio::select! {
                    wanted = waiting.recv(), if free => {
                        // The sender is a part of this object.
                        let Some((key, secret)) = wanted else { return };
                        let own = Arc::clone(&self);
                        under_way.spawn(async move { own.renewed(key, secret).await });
                    }
                    Some(_) = under_way.join_next() => {}
                }
            }
        })
    }
}

impl<V: Voucher> Vouching<V> {
    async fn renewed(self: Arc<Self>, key: Digest, secret: Secret) {
        let begun = self.flights.join(key, || self.begin(key, secret, None));
        if let Ok(flight) = begun {
            let _ = self.flights.wait(flight).await;
        }
    }
}

/// Who has questions under way.
#[derive(Debug, Default)]
struct Crowd {
    all: usize,
    by: HashMap<IpAddr, u32>,
}

/// A place in the crowd, given back when the question is over.
#[derive(Debug)]
struct Place {
    crowd: Arc<Mutex<Crowd>>,
    whose: IpAddr,
}

impl Place {
    fn of(crowd: &Arc<Mutex<Crowd>>, from: IpAddr) -> Option<Self> {
        let whose = network(from);
        let mut all = crowd.lock().unwrap_or_else(PoisonError::into_inner);
        if all.all >= MOST {
            return None;
        }
        let own = all.by.entry(whose).or_default();
        if *own >= MOST_OF_ONE {
            return None;
        }
        *own += 1;
        all.all += 1;
        drop(all);
        Some(Self {
            crowd: Arc::clone(crowd),
            whose,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.crowd.lock().unwrap_or_else(PoisonError::into_inner);
        all.all = all.all.saturating_sub(1);
        if let Some(own) = all.by.get_mut(&self.whose) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                all.by.remove(&self.whose);
            }
        }
    }
}

/// Whoever has one address of IPv6 has a whole network of them.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => IpAddr::V4(four),
            None => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() >> 64 << 64)),
        },
    }
}

#[cfg(test)]
#[path = "vouching_tests.rs"]
mod tests;
