//! One host in the pool of a backend: whether it may be called, how much of its share it gets, and what calls and
//! probes have said of it.
//!
//! A host leaves the pool when probes say that it is down, or when calls to it fail in a row (ejection); it comes
//! back after its time or with the first good probe, with a growing share. Never more than half of a pool is ejected:
//! what fails everywhere is no fault of a host. A pool whose hosts stand in groups (regions) may lose all of one group while another stands.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A moment, in nanoseconds since the process began.
pub type Moment = u64;

/// Probes say that it is down.
const DOWN: u32 = 1;
/// Calls to it failed in a row.
const EJECTED: u32 = 2;
/// It is back and gets a growing share.
const WARMING: u32 = 4;

/// The least share of a host that has just come back.
const FIRST_SHARE: f32 = 0.1;

/// When calls alone take a host out of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outliers {
    /// Failures in a row; zero for never.
    pub failures: u32,
    /// How long it stays out the first time; twice as long each further time.
    pub ejection: Duration,
    /// The longest that it stays out.
    pub longest: Duration,
}

impl Default for Outliers {
    fn default() -> Self {
        Self {
            failures: 5,
            ejection: Duration::from_secs(5),
            longest: Duration::from_secs(300),
        }
    }
}

impl Outliers {
    /// No host is taken out.
    pub const OFF: Self = Self {
        failures: 0,
        ejection: Duration::ZERO,
        longest: Duration::ZERO,
    };
}

/// What is known of one host, shared by all who balance over the same pool. Starts good.
#[derive(Debug, Default)]
pub struct Standing {
    flags: AtomicU32,
    /// Failed calls in a row.
    failures: AtomicU32,
    /// How often it was ejected lately.
    ejections: AtomicU32,
    /// Calls under way, where the rule asks for them.
    in_flight: AtomicU32,
    /// When its ejection ends.
    until: AtomicU64,
    /// When it came back.
    since: AtomicU64,
    /// When an ejection was forgiven last.
    forgiven: AtomicU64,
}

/// Whether a host may be called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Use {
    /// Like any other.
    Full,
    /// With this share of its calls.
    Partly(f32),
    /// Not now.
    Not,
}

impl Standing {
    /// Whether it may be called; the clock is asked only when something is the matter with it.
    pub fn usable(&self, slow_start: Duration, now: impl Fn() -> Moment) -> Use {
        match self.flags.load(Ordering::Relaxed) {
            0 => Use::Full,
            flags => self.troubled(flags, slow_start, now()),
        }
    }

    fn troubled(&self, mut flags: u32, slow_start: Duration, now: Moment) -> Use {
        if flags & EJECTED != 0 && now >= self.until.load(Ordering::Relaxed) {
            flags = self.back(EJECTED, now);
        }
        if flags & (DOWN | EJECTED) != 0 {
            return Use::Not;
        }
        if flags & WARMING == 0 {
            return Use::Full;
        }
        let warm = now.saturating_sub(self.since.load(Ordering::Relaxed));
        let whole = nanos(slow_start);
        if warm >= whole {
            self.flags.fetch_and(!WARMING, Ordering::Relaxed);
            return Use::Full;
        }
        Use::Partly((warm as f32 / whole as f32).max(FIRST_SHARE))
    }

    /// Takes a reason to be out away; the flags that are left.
    fn back(&self, flag: u32, now: Moment) -> u32 {
        // First, so that nobody sees it back with the time of another return.
        if self.flags.load(Ordering::Relaxed) & flag != 0 {
            self.since.store(now, Ordering::Relaxed);
        }
        let swapped = self
            .flags
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |flags| {
                (flags & flag != 0).then_some(flags & !flag | WARMING)
            });
        match swapped {
            Ok(flags) => flags & !flag | WARMING,
            // Somebody else did.
            Err(flags) => flags,
        }
    }

    /// What a probe says.
    pub fn probed(&self, up: bool, now: Moment) {
        if up {
            self.back(DOWN, now);
        } else {
            self.flags.fetch_or(DOWN, Ordering::Relaxed);
        }
    }

    /// A probe was answered well: whoever is out because calls failed comes back on trial.
    pub fn proved(&self, now: Moment) {
        if self.flags.load(Ordering::Relaxed) & EJECTED != 0 {
            self.back(EJECTED, now);
        }
    }

    /// Whether probes say that it is down.
    pub fn is_down(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & DOWN != 0
    }

    /// Whether it is out because calls failed.
    pub fn is_ejected(&self, now: Moment) -> bool {
        self.flags.load(Ordering::Relaxed) & EJECTED != 0
            && now < self.until.load(Ordering::Relaxed)
    }

    /// Whether it is out for one reason or the other.
    pub fn is_out(&self, now: Moment) -> bool {
        self.is_down() || self.is_ejected(now)
    }

    /// Calls under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn begun(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn over(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// A call that it answered.
    fn good(&self, rules: &Outliers, now: impl Fn() -> Moment) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        let ejections = self.ejections.load(Ordering::Relaxed);
        if ejections != 0 {
            // Forgiven one by one, for each span that it held out.
            let (since, forgiven) = (&self.since, &self.forgiven);
            let since = since.load(Ordering::Relaxed);
            let since = since.max(forgiven.load(Ordering::Relaxed));
            let now = now();
            if now.saturating_sub(since) > nanos(rules.ejection) {
                self.forgiven.store(now, Ordering::Relaxed);
                self.ejections.store(ejections - 1, Ordering::Relaxed);
            }
        }
    }

    /// Puts it out; for how long.
    fn eject(&self, rules: &Outliers, now: Moment) -> Duration {
        let times = self.ejections.fetch_add(1, Ordering::Relaxed).min(16);
        let span = rules.ejection.saturating_mul(1 << times).min(rules.longest);
        self.until
            .store(now.saturating_add(nanos(span)), Ordering::Relaxed);
        // Back on trial: the next failure puts it out again.
        self.failures
            .store(rules.failures.saturating_sub(1), Ordering::Relaxed);
        self.flags.fetch_or(EJECTED, Ordering::Relaxed);
        span
    }
}

/// The hosts of one pool and what is known of them; outlives a reload that leaves the pool alone.
#[derive(Debug, Default)]
pub struct Roster {
    rules: Outliers,
    members: Mutex<Vec<Member>>,
}

/// One host of a roster.
#[derive(Debug)]
struct Member {
    origin: Box<str>,
    standing: Arc<Standing>,
    /// Which of the groups that stand in for each other.
    group: usize,
}

/// How many hosts of a group there are, and how many of them are out.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    group: usize,
    hosts: usize,
    out: usize,
}

impl Roster {
    /// A pool that nobody is in yet.
    pub fn new(rules: Outliers) -> Self {
        Self {
            rules,
            members: Mutex::default(),
        }
    }

    /// Makes these the members of a group, each with what is known of it; in their order. A pool without groups is
    /// the group 0.
    pub fn enroll<'o>(
        &self,
        group: usize,
        origins: impl Iterator<Item = &'o str>,
    ) -> Vec<Arc<Standing>> {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let all = std::mem::take(&mut *members);
        let (known, others): (Vec<Member>, Vec<Member>) =
            all.into_iter().partition(|member| member.group == group);
        *members = others;
        let from = members.len();
        for origin in origins {
            let fresh = members.get(from..).unwrap_or_default();
            let standing = known
                .iter()
                .chain(fresh)
                .find(|member| &*member.origin == origin);
            let standing = standing.map(|member| Arc::clone(&member.standing));
            members.push(Member {
                origin: origin.into(),
                standing: standing.unwrap_or_default(),
                group,
            });
        }
        let fresh = members.get(from..).unwrap_or_default();
        fresh.iter().map(|one| Arc::clone(&one.standing)).collect()
    }

    /// A call that this member answered well.
    pub fn good(&self, standing: &Standing, now: impl Fn() -> Moment) {
        if self.rules.failures != 0 {
            standing.good(&self.rules, now);
        }
    }

    /// A call that this member failed; for how long it is put out, if it is.
    pub fn bad(&self, standing: &Standing, now: Moment) -> Option<Duration> {
        if self.rules.failures == 0 {
            return None;
        }
        let failures = standing.failures.fetch_add(1, Ordering::Relaxed);
        if failures.saturating_add(1) < self.rules.failures {
            return None;
        }
        // Rare: a lock, so that two hosts do not leave on one look at the others.
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let may = !standing.is_out(now) && may_leave(&members, standing, now);
        may.then(|| standing.eject(&self.rules, now))
    }
}

/// Whether a host may be put out: half of its group stays, or another group of which half is in.
fn may_leave(members: &[Member], standing: &Standing, now: Moment) -> bool {
    let mut seen: Vec<&Arc<Standing>> = Vec::with_capacity(members.len());
    let mut tallies: Vec<Tally> = Vec::new();
    let mut own = 0;
    for member in members {
        if std::ptr::eq(&*member.standing, standing) {
            own = member.group;
        }
        if seen
            .iter()
            .any(|known| Arc::ptr_eq(known, &member.standing))
        {
            continue;
        }
        seen.push(&member.standing);
        let group = member.group;
        let at = tallies.iter().position(|tally| tally.group == group);
        let at = at.unwrap_or_else(|| {
            tallies.push(Tally {
                group,
                ..Tally::default()
            });
            tallies.len() - 1
        });
        if let Some(tally) = tallies.get_mut(at) {
            tally.hosts += 1;
            tally.out += usize::from(member.standing.is_out(now));
        }
    }
    tallies.iter().any(|tally| match tally.group == own {
        true => (tally.out + 1) * 2 <= tally.hosts,
        false => tally.out * 2 <= tally.hosts && tally.out < tally.hosts,
    })
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Moment = 1_000_000_000;
    const SLOW: Duration = Duration::from_secs(10);

    fn roster(hosts: usize) -> (Roster, Vec<Arc<Standing>>) {
        let roster = Roster::new(Outliers {
            failures: 3,
            ejection: Duration::from_secs(5),
            longest: Duration::from_secs(60),
        });
        let names: Vec<String> = (0..hosts).map(|host| host.to_string()).collect();
        let all = roster.enroll(0, names.iter().map(String::as_str));
        (roster, all)
    }

    fn fail(roster: &Roster, standing: &Standing, now: Moment) -> Option<Duration> {
        (0..3).find_map(|_| roster.bad(standing, now))
    }

    #[test]
    fn a_host_that_fails_in_a_row_is_out_for_longer_each_time() {
        let (roster, all) = roster(4);
        let host = &all[0];
        assert_eq!(fail(&roster, host, 0), Some(Duration::from_secs(5)));
        assert_eq!(host.usable(SLOW, || 4 * SECOND), Use::Not);
        assert!(matches!(host.usable(SLOW, || 5 * SECOND), Use::Partly(_)));
        // On trial: one failure is enough.
        let again = roster.bad(host, 6 * SECOND);
        assert_eq!(again, Some(Duration::from_secs(10)));
        assert_eq!(host.usable(SLOW, || 15 * SECOND), Use::Not);
    }

    #[test]
    fn a_success_between_failures_keeps_it_in() {
        let (roster, all) = roster(2);
        for _ in 0..10 {
            assert_eq!(roster.bad(&all[0], 0), None);
            assert_eq!(roster.bad(&all[0], 0), None);
            roster.good(&all[0], || 0);
        }
        assert_eq!(all[0].usable(SLOW, || 0), Use::Full);
    }

    #[test]
    fn never_more_than_half_of_the_hosts_are_put_out() {
        for (hosts, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
            let (roster, all) = roster(hosts);
            let out = all.iter().filter_map(|one| fail(&roster, one, 0)).count();
            assert_eq!(out, most, "{hosts} hosts");
        }
    }

    #[test]
    fn hosts_that_probes_found_down_count_among_those_that_are_out() {
        let (roster, all) = roster(2);
        all[0].probed(false, 0);
        assert_eq!(fail(&roster, &all[1], 0), None);
        assert_eq!(all[0].usable(SLOW, || 0), Use::Not);
    }

    #[test]
    fn a_host_that_is_back_gets_a_growing_share() {
        let standing = Standing::default();
        standing.probed(false, 0);
        standing.probed(true, 100 * SECOND);
        let share = |at: Moment| standing.usable(SLOW, || (100 + at) * SECOND);
        assert_eq!(share(0), Use::Partly(FIRST_SHARE));
        assert_eq!(share(5), Use::Partly(0.5));
        assert_eq!(share(10), Use::Full);
        assert_eq!(share(3), Use::Full, "once it is warm it stays so");
    }

    #[test]
    fn a_good_probe_of_a_host_that_was_up_changes_nothing() {
        let standing = Standing::default();
        standing.probed(true, SECOND);
        assert_eq!(standing.usable(SLOW, || SECOND), Use::Full);
    }

    #[test]
    fn what_is_known_of_a_host_stays_while_others_come_and_go() {
        let roster = Roster::new(Outliers::default());
        let before = roster.enroll(0, ["a", "b"].into_iter());
        let after = roster.enroll(0, ["c", "b", "b"].into_iter());
        assert!(Arc::ptr_eq(&before[1], &after[1]));
        assert!(Arc::ptr_eq(&after[1], &after[2]));
        assert!(!Arc::ptr_eq(&before[0], &after[0]));
    }

    #[test]
    fn a_good_probe_ends_an_ejection_and_the_next_failure_puts_it_out_again() {
        let (roster, all) = roster(2);
        let host = &all[0];
        fail(&roster, host, 0);
        host.proved(SECOND);
        assert!(matches!(host.usable(SLOW, || SECOND), Use::Partly(_)));
        let again = roster.bad(host, 2 * SECOND);
        assert_eq!(again, Some(Duration::from_secs(10)));
        let fine = &all[1];
        fine.proved(SECOND);
        assert_eq!(fine.usable(SLOW, || SECOND), Use::Full);
    }

    #[test]
    fn forgiving_does_not_begin_the_slow_start_again() {
        let (roster, all) = roster(2);
        let host = &all[0];
        for _ in 0..2 {
            fail(&roster, host, 0);
            host.proved(0);
        }
        host.usable(SLOW, || 0);
        roster.good(host, || 6 * SECOND);
        assert_eq!(host.usable(SLOW, || 6 * SECOND), Use::Partly(0.6));
    }

    #[test]
    fn a_group_may_be_put_out_as_a_whole_while_another_stands() {
        let (roster, _) = roster(0);
        let here = roster.enroll(0, ["a", "b"].into_iter());
        let there = roster.enroll(1, ["c"].into_iter());
        assert!(here.iter().all(|one| fail(&roster, one, 0).is_some()));
        assert_eq!(fail(&roster, &there[0], 0), None, "nobody else is left");
        let (roster, _) = self::roster(0);
        let here = roster.enroll(0, ["a"].into_iter());
        let there = roster.enroll(1, ["c"].into_iter());
        there[0].probed(false, 0);
        assert_eq!(fail(&roster, &here[0], 0), None, "the other is down");
        let again = roster.enroll(0, ["a", "d"].into_iter());
        assert!(Arc::ptr_eq(&here[0], &again[0]));
    }

    #[test]
    fn ejections_are_forgiven_while_it_works() {
        let (roster, all) = roster(2);
        let host = &all[0];
        fail(&roster, host, 0);
        host.usable(SLOW, || 5 * SECOND);
        roster.good(host, || 11 * SECOND);
        assert_eq!(
            fail(&roster, host, 20 * SECOND),
            Some(Duration::from_secs(5))
        );
    }
}
