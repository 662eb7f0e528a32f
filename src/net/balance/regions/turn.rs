//! How much of its duty a region is trusted with: less at once when its hosts fail, more only after it has been good
//! for a while, and then little by little.

use super::super::seat::Moment;
use std::time::Duration;

/// When regions stand in for each other, and when one returns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// The part of a region's hosts that has to be healthy for all of its traffic; above 0, at most 1.
    pub healthy: f32,
    /// Requests in flight for each healthy host of a region, counted by this gateway; what is above goes on.
    pub share: Option<u32>,
    /// How long a region has to be good without a break before it gets more again.
    pub return_after: Duration,
    /// Over how long it gets it.
    pub ramp: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            healthy: 0.7,
            share: None,
            return_after: Duration::from_secs(30),
            ramp: Duration::from_secs(10),
        }
    }
}

/// What happened to a region's trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It lost some.
    Fell,
    /// It was good for long enough and gets it back from now on.
    Rises,
    /// It has all that its hosts are good for.
    Whole,
}

/// Where a region stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// The part of its duty that it is trusted with.
    pub(super) level: f32,
    /// What its hosts were good for when they were last looked at.
    pub(super) able: f32,
    /// Since when they have been good for more than it is trusted with.
    good_since: Option<Moment>,
    /// From which level it rises, and since when.
    rise: Option<(f32, Moment)>,
    /// Spills for want of room that were told, and when there was one last.
    full: Option<Moment>,
    spilled: u64,
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            level: 1.0,
            able: 1.0,
            good_since: None,
            rise: None,
            full: None,
            spilled: 0,
        }
    }
}

impl Turn {
    /// Takes what the hosts are good for now (0 to 1).
    pub(super) fn step(&mut self, able: f32, now: Moment, rules: &Thresholds) -> Option<Step> {
        let before = std::mem::replace(&mut self.able, able);
        if able < self.level {
            self.level = able;
            (self.good_since, self.rise) = (None, None);
            return Some(Step::Fell);
        }
        if able <= self.level {
            (self.good_since, self.rise) = (None, None);
            return None;
        }
        let since = match self.good_since {
            // A relapse, however small, begins the wait anew.
            Some(since) if able >= before => since,
            _ => {
                self.rise = None;
                now
            }
        };
        self.good_since = Some(since);
        if let Some((from, began)) = self.rise {
            return self.rise(from, began, now, rules);
        }
        if now.saturating_sub(since) < nanos(rules.return_after) {
            return None;
        }
        self.rise = Some((self.level, now));
        let whole = self.rise(self.level, now, now, rules);
        whole.or(Some(Step::Rises))
    }

    fn rise(&mut self, from: f32, began: Moment, now: Moment, rules: &Thresholds) -> Option<Step> {
        let ramp = nanos(rules.ramp);
        let passed = now.saturating_sub(began);
        if passed < ramp {
            // Of the whole duty and not of what is left: two gateways that return bring the same load a second.
            self.level = (from + passed as f32 / ramp as f32).min(self.able);
        } else {
            self.level = self.able;
        }
        if self.level < self.able {
            return None;
        }
        (self.good_since, self.rise) = (None, None);
        Some(Step::Whole)
    }

    /// Takes the number of calls that found no room; whether the region is full now, when that is news.
    pub(super) fn crowd(&mut self, spilled: u64, now: Moment, rules: &Thresholds) -> Option<bool> {
        if std::mem::replace(&mut self.spilled, spilled) != spilled {
            return self.full.replace(now).is_none().then_some(true);
        }
        let since = self.full?;
        if now.saturating_sub(since) < nanos(rules.return_after) {
            return None;
        }
        self.full = None;
        Some(false)
    }

    /// Whether it had no room lately.
    pub(super) fn is_full(&self) -> bool {
        self.full.is_some()
    }

    /// How long it still has to be good before it gets more; `None` while it does not wait.
    pub(super) fn waits(&self, now: Moment, rules: &Thresholds) -> Option<Duration> {
        let since = self.good_since.filter(|_| self.rise.is_none())?;
        let left = nanos(rules.return_after).saturating_sub(now.saturating_sub(since));
        Some(Duration::from_nanos(left))
    }

    /// Whether its part grows.
    pub(super) fn rises(&self) -> bool {
        self.rise.is_some()
    }
}

/// The part of the traffic of each region, in their order: as far as each is trusted; what is left as far as its hosts
/// are able, so that caution never costs an answer; and in proportion where all of them together are not enough. The
/// first has all of it when nobody is able.
pub(super) fn loads(turns: &[Turn]) -> Vec<f32> {
    let mut left = 1.0_f32;
    let mut loads: Vec<f32> = Vec::with_capacity(turns.len());
    for turn in turns {
        let load = turn.level.min(left);
        left -= load;
        loads.push(load);
    }
    for (load, turn) in loads.iter_mut().zip(turns) {
        let more = (turn.able - *load).max(0.0).min(left);
        left -= more;
        *load += more;
    }
    let sum = 1.0 - left;
    if sum > 0.0 {
        loads.iter_mut().for_each(|load| *load /= sum);
    } else if let Some(first) = loads.first_mut() {
        *first = 1.0;
    }
    loads
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Moment = 1_000_000_000;

    fn rules() -> Thresholds {
        Thresholds::default()
    }

    /// A turn on a clock that goes by seconds.
    struct Clocked {
        turn: Turn,
        at: u64,
    }

    impl Clocked {
        fn new() -> Self {
            Self {
                turn: Turn::default(),
                at: 1,
            }
        }

        /// So many seconds during which the hosts are good for this; what happened in them.
        fn pass(&mut self, seconds: u64, able: f32) -> Vec<Step> {
            let steps = (0..seconds).filter_map(|_| {
                self.at += 1;
                self.turn.step(able, self.at * SECOND, &rules())
            });
            steps.collect()
        }
    }

    #[test]
    fn a_region_that_fails_loses_its_traffic_at_once() {
        let mut clocked = Clocked::new();
        assert_eq!(clocked.pass(3, 1.0), []);
        assert_eq!(clocked.pass(2, 0.0), [Step::Fell]);
        assert!(clocked.turn.level == 0.0);
    }

    #[test]
    fn it_returns_after_it_was_good_for_long_enough_and_then_by_and_by() {
        let mut clocked = Clocked::new();
        clocked.pass(5, 0.0);
        assert_eq!(
            clocked.pass(30, 1.0),
            [],
            "29 seconds since it was seen good"
        );
        assert!(clocked.turn.level == 0.0);
        assert_eq!(clocked.pass(1, 1.0), [Step::Rises]);
        assert_eq!(clocked.pass(5, 1.0), []);
        assert!((clocked.turn.level - 0.5).abs() < 1e-3);
        assert_eq!(clocked.pass(5, 1.0), [Step::Whole]);
        assert!(clocked.turn.level == 1.0);
        assert_eq!(clocked.pass(100, 1.0), []);
    }

    #[test]
    fn a_relapse_while_it_waits_begins_the_wait_anew() {
        let mut clocked = Clocked::new();
        clocked.pass(1, 0.0);
        for _ in 0..50 {
            assert_eq!(clocked.pass(29, 1.0), []);
            assert_eq!(
                clocked.pass(1, 0.5),
                [],
                "still more than it is trusted with"
            );
        }
        assert!(
            clocked.turn.level == 0.0,
            "a region that flaps gets nothing"
        );
        assert_eq!(clocked.pass(31, 1.0), [Step::Rises]);
    }

    #[test]
    fn a_relapse_while_it_rises_stops_it() {
        let mut clocked = Clocked::new();
        clocked.pass(1, 0.0);
        clocked.pass(36, 1.0);
        assert!((clocked.turn.level - 0.5).abs() < 1e-3);
        assert_eq!(clocked.pass(1, 0.8), []);
        assert_eq!(clocked.pass(29, 1.0), []);
        assert!(
            (clocked.turn.level - 0.5).abs() < 1e-3,
            "it keeps what it has"
        );
        assert_eq!(clocked.pass(1, 0.2), [Step::Fell]);
        assert!((clocked.turn.level - 0.2).abs() < 1e-3);
    }

    #[test]
    fn a_part_that_is_missing_is_waited_for_as_the_whole_is() {
        let mut clocked = Clocked::new();
        assert_eq!(clocked.pass(1, 0.4), [Step::Fell]);
        assert_eq!(clocked.pass(30, 0.7), []);
        assert_eq!(clocked.pass(1, 0.7), [Step::Rises]);
        assert_eq!(clocked.pass(10, 0.7), [Step::Whole]);
        assert!((clocked.turn.level - 0.7).abs() < 1e-3);
    }

    #[test]
    fn without_wait_and_ramp_it_returns_at_once() {
        let rules = Thresholds {
            return_after: Duration::ZERO,
            ramp: Duration::ZERO,
            ..rules()
        };
        let mut turn = Turn::default();
        assert_eq!(turn.step(0.0, 1, &rules), Some(Step::Fell));
        assert_eq!(turn.step(1.0, 2, &rules), Some(Step::Whole));
    }

    #[test]
    fn it_tells_how_long_it_still_waits() {
        let mut clocked = Clocked::new();
        assert_eq!(clocked.turn.waits(0, &rules()), None);
        clocked.pass(1, 0.0);
        clocked.pass(11, 1.0);
        let left = clocked.turn.waits(clocked.at * SECOND, &rules());
        assert_eq!(left, Some(Duration::from_secs(20)));
    }

    #[test]
    fn being_full_is_told_once_and_over_after_a_while_without() {
        let mut turn = Turn::default();
        let rules = rules();
        assert_eq!(turn.crowd(0, SECOND, &rules), None);
        assert_eq!(turn.crowd(3, 2 * SECOND, &rules), Some(true));
        assert_eq!(turn.crowd(9, 3 * SECOND, &rules), None);
        assert_eq!(turn.crowd(9, 32 * SECOND, &rules), None);
        assert!(turn.is_full());
        assert_eq!(turn.crowd(9, 33 * SECOND, &rules), Some(false));
        assert_eq!(turn.crowd(9, 99 * SECOND, &rules), None);
    }

    fn shared(turns: &[(f32, f32)]) -> Vec<u32> {
        let turns = turns.iter().map(|(level, able)| Turn {
            level: *level,
            able: *able,
            ..Turn::default()
        });
        let turns: Vec<Turn> = turns.collect();
        let percent = |load: &f32| (load * 100.0).round() as u32;
        loads(&turns).iter().map(percent).collect()
    }

    #[test]
    fn traffic_goes_to_the_first_and_what_is_missing_on() {
        assert_eq!(shared(&[(1.0, 1.0), (1.0, 1.0)]), [100, 0]);
        assert_eq!(shared(&[(0.6, 0.6), (1.0, 1.0)]), [60, 40]);
        assert_eq!(shared(&[(0.5, 0.5), (0.3, 0.3), (1.0, 1.0)]), [50, 30, 20]);
        assert_eq!(shared(&[(0.0, 0.0), (1.0, 1.0)]), [0, 100]);
    }

    #[test]
    fn where_all_together_are_not_enough_it_is_in_proportion() {
        assert_eq!(shared(&[(0.4, 0.4), (0.1, 0.1)]), [80, 20]);
        assert_eq!(
            shared(&[(0.0, 0.0), (0.0, 0.0)]),
            [100, 0],
            "nobody is able"
        );
    }

    #[test]
    fn caution_never_costs_an_answer() {
        // The first waits for its return, and the one that stood in for it fails.
        assert_eq!(shared(&[(0.0, 1.0), (0.0, 0.0)]), [100, 0]);
        assert_eq!(shared(&[(0.0, 0.4), (0.5, 0.5)]), [44, 56]);
    }
}
