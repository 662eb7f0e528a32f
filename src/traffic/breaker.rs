//! Circuit breakers: a backend that fails again and again is left alone for a while, then one request finds out
//! whether it is back (reference/krakend-components section 3.1).
//!
//! The states and their transitions are those of KrakenD in both dialects: closed until more failures follow each
//! other than are borne, open for a while, half-open with one probe at a time; what a call brings counts only in the
//! generation in which it began. What counts as a failure is the dialect's: [`Judge`].
//!
//! Costs: while a breaker is closed and nothing fails, two loads and a look at the clock.

use crate::base::{Dialect, Error, Reason, clock};
use crate::gateway::gate::{Caller, Ending, Gate, of_backend};
use crate::gateway::kept::Kept;
use crate::gateway::stage::Step;
use crate::telemetry::metrics::Metrics;
use prometheus::IntGauge;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Calls are made.
    Closed = 0,
    /// No call is made.
    Open = 1,
    /// One call at a time finds out.
    HalfOpen = 2,
}

impl State {
    /// The word of log lines and statistics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// How much a breaker bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// After this long failures are forgotten while it is closed; zero for never.
    pub interval: Duration,
    /// How long it stays open.
    pub timeout: Duration,
    /// How many failures in a row are borne: the next one opens it.
    pub max_errors: u32,
}

/// What a call says of its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Success,
    /// It does not.
    Failure,
    /// Nothing.
    Nothing,
}

/// Why a call is not made, and after which time another may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Open, or half-open with its probe under way.
    pub state: State,
    /// How long it stays open.
    pub wait: Duration,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it was.
    pub from: State,
    /// What it is.
    pub to: State,
}

/// A moment, in nanoseconds since the process began.
pub type Moment = u64;

/// No moment.
const NEVER: Moment = Moment::MAX;

/// The states of one breaker. All times are told, so that tests hold the clock.
#[derive(Debug)]
pub struct Machine {
    limits: Limits,
    /// Generation and state for whoever only looks: the generation, and in its lowest bits the state.
    shown: AtomicU64,
    /// When the generation ends by itself.
    ends: AtomicU64,
    /// Failures in a row.
    failures: AtomicU32,
    exact: Mutex<Exact>,
}

/// What changes together.
#[derive(Debug)]
struct Exact {
    state: State,
    generation: u64,
    /// Calls of this generation that were let through while half-open.
    probes: u32,
    failures: u32,
    ends: Moment,
}

/// A pass that has been reported already.
const DONE: u64 = u64::MAX;

impl Machine {
    /// A closed breaker, whose first interval begins now.
    pub fn new(limits: Limits, now: Moment) -> Self {
        let machine = Self {
            limits,
            shown: AtomicU64::new(0),
            ends: AtomicU64::new(NEVER),
            failures: AtomicU32::new(0),
            exact: Mutex::new(Exact {
                state: State::Closed,
                generation: 0,
                probes: 0,
                failures: 0,
                ends: NEVER,
            }),
        };
        let mut exact = machine.lock();
        machine.renew(&mut exact, now);
        drop(exact);
        machine
    }

    /// Asks to make a call; the number goes with its outcome to [`Machine::report`].
    ///
    /// # Errors
    /// When none may be made.
    pub fn enter(&self, now: Moment) -> (Result<u64, Refused>, Option<Change>) {
        let shown = self.shown.load(Ordering::Acquire);
        if shown & 3 == State::Closed as u64 && now <= self.ends.load(Ordering::Relaxed) {
            return (Ok(shown >> 2), None);
        }
        let mut exact = self.lock();
        let change = self.settle(&mut exact, now);
        let wait = Duration::from_nanos(exact.ends.saturating_sub(now));
        let outcome = match exact.state {
            State::Closed => Ok(exact.generation),
            State::HalfOpen if exact.probes == 0 => {
                exact.probes = 1;
                Ok(exact.generation)
            }
            state @ State::HalfOpen => Err(Refused {
                state,
                wait: Duration::ZERO,
            }),
            state @ State::Open => Err(Refused { state, wait }),
        };
        (outcome, change)
    }

    /// Tells what a call brought.
    pub fn report(&self, pass: u64, verdict: Verdict, now: Moment) -> Option<Change> {
        let shown = self.shown.load(Ordering::Acquire);
        let young = now <= self.ends.load(Ordering::Relaxed);
        let closed = young && shown == pass << 2 | State::Closed as u64;
        let calm = closed && self.failures.load(Ordering::Relaxed) == 0;
        match verdict {
            Verdict::Success if calm => return None,
            Verdict::Nothing if closed => return None,
            _ => {}
        }
        let mut exact = self.lock();
        let aged = self.settle(&mut exact, now);
        if exact.generation != pass {
            return aged;
        }
        match (exact.state, verdict) {
            (State::Closed, Verdict::Success) => {
                exact.failures = 0;
                self.show(&exact);
                None
            }
            (State::Closed, Verdict::Failure) => {
                exact.failures = exact.failures.saturating_add(1);
                self.show(&exact);
                let opens = exact.failures > self.limits.max_errors;
                opens.then(|| self.turn(&mut exact, State::Open, now))
            }
            (State::HalfOpen, Verdict::Success) => Some(self.turn(&mut exact, State::Closed, now)),
            (State::HalfOpen, Verdict::Failure) => Some(self.turn(&mut exact, State::Open, now)),
            (State::HalfOpen, Verdict::Nothing) => {
                exact.probes = 0;
                None
            }
            (State::Open, _) | (State::Closed, Verdict::Nothing) => None,
        }
    }

    /// Where it stands now.
    pub fn state(&self, now: Moment) -> State {
        let exact = self.lock();
        match exact.state {
            State::Open if exact.ends < now => State::HalfOpen,
            state => state,
        }
    }

    /// Whether its probe is under way.
    fn probes(&self) -> bool {
        self.shown.load(Ordering::Relaxed) & 3 == State::HalfOpen as u64
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Exact> {
        self.exact.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What time alone has done.
    fn settle(&self, exact: &mut Exact, now: Moment) -> Option<Change> {
        if now <= exact.ends {
            return None;
        }
        match exact.state {
            State::Closed => {
                self.renew(exact, now);
                None
            }
            State::Open => Some(self.turn(exact, State::HalfOpen, now)),
            State::HalfOpen => None,
        }
    }

    fn turn(&self, exact: &mut Exact, to: State, now: Moment) -> Change {
        let from = std::mem::replace(&mut exact.state, to);
        self.renew(exact, now);
        Change { from, to }
    }

    /// Begins a generation.
    fn renew(&self, exact: &mut Exact, now: Moment) {
        let span = |span: Duration| {
            let nanos = u64::try_from(span.as_nanos()).unwrap_or(NEVER);
            now.saturating_add(nanos)
        };
        exact.generation += 1;
        exact.probes = 0;
        exact.failures = 0;
        exact.ends = match exact.state {
            State::Closed if self.limits.interval.is_zero() => NEVER,
            State::Closed => span(self.limits.interval),
            State::Open => span(self.limits.timeout),
            State::HalfOpen => NEVER,
        };
        self.show(exact);
    }

    fn show(&self, exact: &Exact) {
        self.failures.store(exact.failures, Ordering::Relaxed);
        self.ends.store(exact.ends, Ordering::Relaxed);
        let shown = exact.generation << 2 | exact.state as u64;
        self.shown.store(shown, Ordering::Release);
    }
}

/// What counts as a failure of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judge {
    /// Krakend: every error but a client that left, and nothing else; an answer that is passed on is a success
    /// whatever its status. Native: what the backend itself did wrong, a 5xx that is passed on too; our own
    /// refusals and a client's mistakes (4xx) say nothing against it.
    pub dialect: Dialect,
    /// `qos/circuit-breaker/http`: the statuses that are no failure; all others are.
    pub valid: Option<Box<[u16]>>,
}

impl Judge {
    /// What a finished call says of its backend.
    pub fn ended(&self, ending: Ending<'_>) -> Verdict {
        match ending {
            Ending::Gone => Verdict::Nothing,
            // A stream mostly ends so: whoever had begun to answer works, as far as anybody can tell. KrakenD ignores
            // whatever a client gave up.
            Ending::Left(_) if self.dialect == Dialect::Krakend => Verdict::Nothing,
            Ending::Left(status) => self.status(status),
            Ending::Answered(status) => self.status(status),
            Ending::Failed(error, status) => self.failed(error, status),
        }
    }

    /// What the status of an answer says.
    pub fn status(&self, status: u16) -> Verdict {
        let good = match (&self.valid, self.dialect) {
            (Some(valid), _) => valid.contains(&status),
            (None, Dialect::Krakend) => true,
            (None, Dialect::Native) => status < 500,
        };
        if good {
            Verdict::Success
        } else {
            Verdict::Failure
        }
    }

    fn failed(&self, error: &Error, status: Option<u16>) -> Verdict {
        match (error.reason, status) {
            (Reason::ClientGone, _) => Verdict::Nothing,
            (Reason::BackendStatus, Some(status)) if self.valid.is_some() => self.status(status),
            _ if self.dialect == Dialect::Krakend => Verdict::Failure,
            (Reason::BackendStatus, Some(status)) => self.status(status),
            (reason, _) if of_backend(reason) => Verdict::Failure,
            _ => Verdict::Nothing,
        }
    }
}

/// A breaker with all that it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The component's namespace.
    pub component: &'static str,
    /// How much it bears.
    pub limits: Limits,
    /// What counts.
    pub judge: Judge,
    /// The value of the metric's label, and the name in log lines.
    pub name: String,
    /// What it is the breaker of: those with the same name and all the same settings are one.
    pub of: String,
    /// Whether changes are written to the log.
    pub log: bool,
}

/// A breaker as a backend's gate. Backends that share one hold the same state.
#[derive(Debug)]
pub struct Breaker {
    settings: Settings,
    machine: Machine,
    label: Arc<Label>,
}

impl Breaker {
    /// The breaker of these settings: the one that runs already, if there is one.
    pub fn kept(settings: Settings, kept: &Kept, metrics: &Metrics) -> Arc<Self> {
        let key = format!("{settings:?}");
        let label = kept.get_or(&settings.name, || {
            Label::new(metrics.circuit_breaker_state(&settings.name))
        });
        kept.get_or(&key, || {
            label.shift(None, Some(State::Closed));
            Self {
                machine: Machine::new(settings.limits, clock::moment()),
                settings,
                label,
            }
        })
    }

    fn changed(&self, change: Option<Change>) {
        let Some(Change { from, to }) = change else {
            return;
        };
        self.label.shift(Some(from), Some(to));
        if !self.settings.log {
            return;
        }
        let (backend, from, to) = (&*self.settings.name, from.word(), to.word());
        match self.settings.judge.dialect {
            Dialect::Native => {
                log::error!(backend; "circuit breaker went from {from} to {to}");
            }
            Dialect::Krakend => {
                log::warn!("[CB] Circuit breaker named '{backend}' went from '{from}' to '{to}'");
            }
        }
    }

    fn report(&self, pass: u64, verdict: Verdict) {
        self.changed(self.machine.report(pass, verdict, clock::moment()));
    }

    fn refusal(&self, refused: Refused) -> Error {
        let text = match refused.state {
            State::HalfOpen => "too many requests",
            State::Open | State::Closed => "circuit breaker is open",
        };
        let seconds = refused.wait.as_nanos().div_ceil(1_000_000_000);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        Error::new(Reason::BreakerOpen, text).retry_after(seconds)
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        let state = self.machine.lock().state;
        self.label.shift(Some(state), None);
    }
}

/// A breaker as one backend holds it.
#[derive(Clone, Debug)]
pub struct Held(pub Arc<Breaker>);

impl Gate for Held {
    fn name(&self) -> &'static str {
        self.0.settings.component
    }

    fn enter(&self, _: Caller) -> Step<'_, u64> {
        let (outcome, change) = self.0.machine.enter(clock::moment());
        self.0.changed(change);
        Step::Now(outcome.map_err(|refused| self.0.refusal(refused)))
    }

    /// An answer that streams may take long: what is known with its head counts now. A body that breaks off
    /// counts later, in native.
    fn began(&self, pass: &mut u64, status: u16) {
        let breaker = &*self.0;
        let verdict = breaker.settings.judge.status(status);
        let known = breaker.settings.judge.dialect == Dialect::Krakend
            || verdict == Verdict::Failure
            || breaker.machine.probes();
        if known {
            let pass = std::mem::replace(pass, DONE);
            breaker.report(pass, verdict);
        }
    }

    fn leave(&self, pass: u64, ending: Ending<'_>) {
        if pass != DONE {
            self.0.report(pass, self.0.settings.judge.ended(ending));
        }
    }

    fn words(&self) -> String {
        let Settings { limits, name, .. } = &self.0.settings;
        let (most, rest) = (limits.max_errors, limits.timeout.as_secs_f64());
        let within = match limits.interval {
            Duration::ZERO => String::new(),
            span => format!(" within {}s", span.as_secs_f64()),
        };
        format!(
            "breaker \"{name}\": opens for {rest}s when more than {most} calls in a row fail{within}"
        )
    }

    fn figures(&self) -> Option<Value> {
        let breaker = &*self.0;
        let state = breaker.machine.state(clock::moment());
        Some(json!({
            "breaker": breaker.settings.name,
            "state": state.word(),
            "failures": breaker.machine.failures(),
        }))
    }
}

/// One value of the metric's label, for every breaker of that name: the worst of them is shown.
#[derive(Debug)]
struct Label {
    gauge: IntGauge,
    counts: [AtomicI64; 3],
}

impl Label {
    fn new(gauge: IntGauge) -> Self {
        Self {
            gauge,
            counts: Default::default(),
        }
    }

    fn shift(&self, from: Option<State>, to: Option<State>) {
        let add = |state: Option<State>, by: i64| {
            let count = state.and_then(|state| self.counts.get(state as usize));
            if let Some(count) = count {
                count.fetch_add(by, Ordering::Relaxed);
            }
        };
        add(from, -1);
        add(to, 1);
        let any = |state: State| {
            let count = self.counts.get(state as usize);
            count.is_some_and(|count| count.load(Ordering::Relaxed) > 0)
        };
        let worst = [State::Open, State::HalfOpen]
            .into_iter()
            .find(|state| any(*state));
        self.gauge.set(worst.map_or(0, |state| state as i64));
    }
}
