//! Breakers against a clock that the test holds, and against a plain model of KrakenD's.

use super::breaker::*;
use crate::base::{Dialect, Error, Reason};
use crate::gateway::gate::{Caller, Ending, Passage};
use crate::gateway::gate::{Gate, Gates};
use crate::gateway::kept::Kept;
use crate::telemetry::metrics::Metrics;
use std::time::Duration;

const SECOND: Moment = 1_000_000_000;

fn limits(interval: u64, timeout: u64, max_errors: u32) -> Limits {
    Limits {
        interval: Duration::from_secs(interval),
        timeout: Duration::from_secs(timeout),
        max_errors,
    }
}

/// One call that fails; whether it was made.
fn fail(machine: &Machine, now: Moment) -> bool {
    call(machine, Verdict::Failure, now)
}

fn call(machine: &Machine, verdict: Verdict, now: Moment) -> bool {
    let pass = machine.enter(now).0;
    if let Ok(pass) = pass {
        machine.report(pass, verdict, now);
    }
    pass.is_ok()
}

#[test]
fn it_opens_with_the_failure_after_those_that_are_borne() {
    let machine = Machine::new(limits(60, 10, 1), 0);
    assert!(fail(&machine, 1));
    assert_eq!(machine.state(1), State::Closed);
    assert!(fail(&machine, 1));
    assert_eq!(machine.state(1), State::Open);
    assert!(!fail(&machine, 1));
}

#[test]
fn a_success_between_failures_begins_the_count_anew() {
    let machine = Machine::new(limits(60, 10, 1), 0);
    for _ in 0..5 {
        assert!(fail(&machine, 1));
        assert!(call(&machine, Verdict::Success, 1));
    }
    assert_eq!(machine.state(1), State::Closed);
}

#[test]
fn failures_are_forgotten_with_their_interval_and_only_then() {
    let machine = Machine::new(limits(60, 10, 1), 0);
    fail(&machine, 1);
    fail(&machine, 60 * SECOND + 1);
    assert_eq!(machine.state(60 * SECOND + 1), State::Closed);
    let endless = Machine::new(limits(0, 10, 1), 0);
    fail(&endless, 1);
    fail(&endless, 3_600 * SECOND);
    assert_eq!(endless.state(3_600 * SECOND), State::Open);
}

#[test]
fn it_says_how_long_it_stays_open() {
    let machine = Machine::new(limits(60, 10, 0), 0);
    fail(&machine, 0);
    let refused = machine.enter(3 * SECOND).0.unwrap_err();
    assert_eq!(refused.wait, Duration::from_secs(7));
    assert_eq!(refused.state, State::Open);
}

#[test]
fn half_open_lets_exactly_one_probe_through() {
    let machine = Machine::new(limits(60, 10, 0), 0);
    fail(&machine, 0);
    let later = 10 * SECOND + 1;
    let (probe, change) = machine.enter(later);
    let (from, to) = (State::Open, State::HalfOpen);
    assert_eq!(change, Some(Change { from, to }));
    let refused = machine.enter(later).0.unwrap_err();
    assert_eq!(refused.state, State::HalfOpen);
    let change = machine.report(probe.unwrap(), Verdict::Success, later);
    let (from, to) = (State::HalfOpen, State::Closed);
    assert_eq!(change, Some(Change { from, to }));
    assert!(machine.enter(later).0.is_ok());
}

#[test]
fn a_probe_that_fails_opens_it_for_as_long_again() {
    let machine = Machine::new(limits(60, 10, 0), 0);
    fail(&machine, 0);
    assert!(fail(&machine, 10 * SECOND + 1));
    assert!(!fail(&machine, 20 * SECOND + 1));
    assert!(fail(&machine, 20 * SECOND + 2));
}

#[test]
fn a_probe_that_nobody_waits_for_makes_room_for_the_next() {
    let machine = Machine::new(limits(60, 10, 0), 0);
    fail(&machine, 0);
    let later = 11 * SECOND;
    assert!(call(&machine, Verdict::Nothing, later));
    assert_eq!(machine.state(later), State::HalfOpen);
    assert!(call(&machine, Verdict::Success, later));
    assert_eq!(machine.state(later), State::Closed);
}

#[test]
fn what_began_before_it_opened_says_nothing_of_what_came_then() {
    let machine = Machine::new(limits(60, 10, 0), 0);
    let slow = machine.enter(0).0.unwrap();
    fail(&machine, 0);
    let later = 11 * SECOND;
    let probe = machine.enter(later).0.unwrap();
    assert_eq!(machine.report(slow, Verdict::Failure, later), None);
    assert_eq!(machine.report(slow, Verdict::Success, later), None);
    assert_eq!(machine.state(later), State::HalfOpen);
    machine.report(probe, Verdict::Success, later);
    assert_eq!(machine.state(later), State::Closed);
}

/// The machine as it is described: one lock, no short cuts.
struct Model {
    limits: Limits,
    state: State,
    generation: u64,
    requests: u32,
    failures: u32,
    ends: Option<Moment>,
}

impl Model {
    fn new(limits: Limits, now: Moment) -> Self {
        let mut model = Self {
            limits,
            state: State::Closed,
            generation: 0,
            requests: 0,
            failures: 0,
            ends: None,
        };
        model.renew(now);
        model
    }

    fn renew(&mut self, now: Moment) {
        (self.requests, self.failures) = (0, 0);
        self.generation += 1;
        let after = |span: Duration| Some(now + u64::try_from(span.as_nanos()).unwrap());
        self.ends = match self.state {
            State::Closed if self.limits.interval.is_zero() => None,
            State::Closed => after(self.limits.interval),
            State::Open => after(self.limits.timeout),
            State::HalfOpen => None,
        };
    }

    fn turn(&mut self, state: State, now: Moment) {
        self.state = state;
        self.renew(now);
    }

    fn settle(&mut self, now: Moment) {
        let over = self.ends.is_some_and(|ends| ends < now);
        match self.state {
            State::Closed if over => self.renew(now),
            State::Open if over => self.turn(State::HalfOpen, now),
            _ => {}
        }
    }

    fn enter(&mut self, now: Moment) -> Option<u64> {
        self.settle(now);
        let refused =
            self.state == State::Open || self.state == State::HalfOpen && self.requests >= 1;
        self.requests += u32::from(!refused);
        (!refused).then_some(self.generation)
    }

    fn report(&mut self, pass: u64, success: bool, now: Moment) {
        self.settle(now);
        if self.generation != pass {
            return;
        }
        match (self.state, success) {
            (State::Closed, true) => self.failures = 0,
            (State::Closed, false) => {
                self.failures += 1;
                if self.failures > self.limits.max_errors {
                    self.turn(State::Open, now);
                }
            }
            (State::HalfOpen, true) => self.turn(State::Closed, now),
            (State::HalfOpen, false) => self.turn(State::Open, now),
            (State::Open, _) => {}
        }
    }
}

#[test]
fn it_does_what_the_plain_model_does() {
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..200 {
        let limits = limits(random.u64(0..4), random.u64(1..4), random.u32(0..4));
        let (machine, mut model) = (Machine::new(limits, 0), Model::new(limits, 0));
        let (mut now, mut open) = (0, Vec::new());
        for step in 0..500 {
            now += random.u64(0..SECOND / 2);
            if open.is_empty() || random.bool() {
                let found = machine.enter(now).0.ok();
                assert_eq!(found, model.enter(now), "round {round} step {step}");
                open.extend(found);
            } else {
                let pass = open.swap_remove(random.usize(..open.len()));
                let good = random.u8(..3) > 0;
                let verdict = if good {
                    Verdict::Success
                } else {
                    Verdict::Failure
                };
                machine.report(pass, verdict, now);
                model.report(pass, good, now);
            }
            model.settle(now);
            assert_eq!(machine.state(now), model.state, "round {round} step {step}");
        }
    }
}

#[test]
fn many_threads_at_once_get_one_probe() {
    let machine = Machine::new(limits(60, 10, 0), 0);
    fail(&machine, 0);
    let later = 11 * SECOND;
    let probes = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    let got = u32::from(machine.enter(later).0.is_ok());
                    probes.fetch_add(got, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(probes.into_inner(), 1);
}

fn judge(dialect: Dialect, valid: Option<&[u16]>) -> Judge {
    Judge {
        dialect,
        valid: valid.map(Into::into),
    }
}

#[test]
fn each_dialect_has_its_own_failures() {
    use Verdict::{Failure, Nothing, Success};
    let failed = |reason: Reason, status| (reason, status);
    for (ended, native, krakend) in [
        (Ok(200), Success, Success),
        (Ok(404), Success, Success),
        (Ok(500), Failure, Success),
        (Err(failed(Reason::ClientGone, None)), Nothing, Nothing),
        (Err(failed(Reason::BackendTimeout, None)), Failure, Failure),
        (Err(failed(Reason::ConnectRefused, None)), Failure, Failure),
        (
            Err(failed(Reason::DecodeFailed, Some(200))),
            Failure,
            Failure,
        ),
        (
            Err(failed(Reason::BackendReset, Some(200))),
            Failure,
            Failure,
        ),
        (
            Err(failed(Reason::BackendStatus, Some(503))),
            Failure,
            Failure,
        ),
        (
            Err(failed(Reason::BackendStatus, Some(404))),
            Success,
            Failure,
        ),
        (Err(failed(Reason::Overloaded, None)), Nothing, Failure),
        (Err(failed(Reason::ScriptFailed, None)), Nothing, Failure),
        (Err(failed(Reason::BodyTimeout, None)), Nothing, Failure),
    ] {
        let verdict = |dialect| {
            let error = ended.map_err(|(reason, _)| Error::from(reason));
            let ending = match (&error, ended) {
                (Ok(status), _) => Ending::Answered(*status),
                (Err(error), Err((_, status))) => Ending::Failed(error, status),
                (Err(_), Ok(_)) => Ending::Gone,
            };
            judge(dialect, None).ended(ending)
        };
        assert_eq!(verdict(Dialect::Native), native, "native {ended:?}");
        assert_eq!(verdict(Dialect::Krakend), krakend, "krakend {ended:?}");
    }
}

#[test]
fn who_leaves_an_answer_that_has_begun_breaks_the_row_of_failures_in_native() {
    let left = |dialect, status| judge(dialect, None).ended(Ending::Left(status));
    assert_eq!(left(Dialect::Native, 200), Verdict::Success);
    assert_eq!(left(Dialect::Native, 404), Verdict::Success);
    assert_eq!(left(Dialect::Native, 503), Verdict::Failure);
    assert_eq!(left(Dialect::Krakend, 503), Verdict::Nothing);
}

#[test]
fn a_list_of_statuses_decides_in_both_dialects() {
    let error = Error::from(Reason::BackendStatus);
    for dialect in [Dialect::Native, Dialect::Krakend] {
        let judge = judge(dialect, Some(&[200, 404]));
        let verdict = |status| judge.ended(Ending::Answered(status));
        assert_eq!(verdict(404), Verdict::Success);
        assert_eq!(verdict(201), Verdict::Failure);
        let composed = judge.ended(Ending::Failed(&error, Some(404)));
        assert_eq!(composed, Verdict::Success);
    }
}

fn breaker(dialect: Dialect, kept: &Kept, metrics: &Metrics) -> Vec<Box<dyn Gate>> {
    let settings = Settings {
        component: "qos/circuit-breaker",
        limits: limits(60, 10, 0),
        judge: judge(dialect, None),
        name: "b".to_owned(),
        of: String::new(),
        log: false,
    };
    vec![Box::new(Held(Breaker::kept(settings, kept, metrics)))]
}

async fn refused(gates: &Gates) -> Option<Error> {
    Passage::enter(gates, Caller::Anonymous).await.err()
}

#[tokio::test]
async fn equal_settings_share_one_state_and_one_series_of_the_metric() {
    let (kept, metrics) = (Kept::default(), Metrics::new().unwrap());
    let one = breaker(Dialect::Native, &kept, &metrics);
    let other = breaker(Dialect::Native, &kept, &metrics);
    let series = |value| format!("circuit_breaker_state{{backend=\"b\"}} {value}\n");
    assert!(metrics.render().contains(&series(0)));
    let mut passage = Passage::enter(&one, Caller::Known).await.unwrap();
    passage.leave(Ok(503));
    let error = refused(&other).await.unwrap();
    assert_eq!(error.reason, Reason::BreakerOpen);
    assert_eq!(error.retry_after, Some(10));
    assert!(metrics.render().contains(&series(1)));
    drop(passage);
    drop((one, other));
    assert!(metrics.render().contains(&series(0)));
    let fresh = breaker(Dialect::Native, &kept, &metrics);
    assert!(refused(&fresh).await.is_none());
}

#[tokio::test]
async fn a_stream_that_breaks_off_counts_in_native_only() {
    let (kept, metrics) = (Kept::default(), Metrics::new().unwrap());
    for (dialect, opens) in [(Dialect::Native, true), (Dialect::Krakend, false)] {
        let gates = breaker(dialect, &kept, &metrics);
        let mut passage = Passage::enter(&gates, Caller::Known).await.unwrap();
        passage.began(200);
        passage.leave(Err(&Error::from(Reason::BackendReset)));
        assert_eq!(refused(&gates).await.is_some(), opens, "{dialect:?}");
    }
}

#[tokio::test]
async fn a_stream_that_begins_with_a_failure_counts_at_once() {
    let (kept, metrics) = (Kept::default(), Metrics::new().unwrap());
    let gates = breaker(Dialect::Native, &kept, &metrics);
    let mut passage = Passage::enter(&gates, Caller::Known).await.unwrap();
    passage.began(502);
    assert!(refused(&gates).await.is_some());
    passage.leave(Ok(502));
}
