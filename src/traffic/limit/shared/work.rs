//! What waits to be reported to a store, when, and in which calls. Pure decisions about moments that are handed in;
//! [`super::store`] is the task around them.

use super::lease::{Next, Reply};
use super::store::{Ask, Told, WAITING};
use crate::traffic::limit::table::Moment;
use std::collections::{HashMap, HashSet, VecDeque};

/// Callers of one call.
pub(super) const BATCH: usize = 512;
/// Calls that are made at the same time: what more there is to tell waits for their answers.
pub(super) const AT_ONCE: usize = 8;
/// Groups of keys in a cluster, which needs the keys of one call in one place.
pub(super) const GROUPS: u8 = 8;
/// After this an unused lease goes back.
const UNUSED: u64 = 300 * MS;
/// How often a call that the store does not take is made again before it is given up.
const TRIES: u8 = 5;
/// Numbers in the answer for each caller.
pub(super) const NUMBERS: usize = 4;
const MS: u64 = 1_000_000;
const SECOND: f64 = 1e9;

/// When reports are made: one call for some two hundred requests, but no rarer than twice a second while there is
/// something to tell, and no more often than twenty times. Reports that are hurried have a budget of their own.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the last one was made.
    last: Option<u64>,
    /// The pause after it.
    rhythm: u64,
    /// The shortest rhythm.
    fastest: u64,
    /// Hurried calls that may be made still.
    haste: f64,
    /// Whether nobody was found to have much left.
    contested: bool,
}

impl Pace {
    const FASTEST: u64 = 50 * MS;
    const SLOWEST: u64 = 500 * MS;
    /// The pause before a hurried report.
    const HURRY: u64 = MS / 2;
    /// Requests that pay for one call; half of them where there is little left.
    const EACH: u64 = 200;
    /// Hurried calls: at once, for each second, and for each request.
    const HASTE: (f64, f64, f64) = (10.0, 1.0, 1.0 / 500.0);

    /// A cluster is called once for each of its groups, and half as often.
    pub(super) fn new(cluster: bool) -> Self {
        let fastest = if cluster {
            Self::FASTEST * 2
        } else {
            Self::FASTEST
        };
        Self {
            last: None,
            rhythm: fastest,
            fastest,
            haste: Self::HASTE.0,
            contested: false,
        }
    }

    /// When the next report is due, if there is something to tell.
    pub(super) fn due(&self, hurried: bool) -> u64 {
        let Some(last) = self.last else { return 0 };
        let hurried = hurried && self.is_hasty();
        last.saturating_add(if hurried { Self::HURRY } else { self.rhythm })
    }

    /// Whether reports can be hurried.
    pub(super) fn is_hasty(&self) -> bool {
        self.haste >= 1.0
    }

    /// Answers came. A hurried call that found plenty costs little; where there is little, reports are made more often.
    pub(super) fn answered(&mut self, hurried: bool, plenty: bool) {
        self.contested = !plenty;
        if hurried && plenty {
            self.haste += 0.8;
        }
    }

    /// Reports of so many requests were made in so many calls.
    pub(super) fn made(&mut self, now: u64, calls: usize, requests: u64, hurried: bool) {
        let since = now.saturating_sub(self.last.unwrap_or(0));
        let (most, each_second, each) = Self::HASTE;
        let earned = since as f64 / SECOND * each_second + requests as f64 * each;
        self.haste = (self.haste + earned).min(most);
        if hurried && self.is_hasty() {
            self.haste -= 1.0;
        }
        let each = Self::EACH / if self.contested { 2 } else { 1 };
        let wanted = u128::from(since) * u128::from(each) * calls as u128;
        let wanted = u64::try_from(wanted / u128::from(requests.max(1))).unwrap_or(u64::MAX);
        self.rhythm = wanted.clamp(self.fastest, Self::SLOWEST);
        self.last = Some(now);
    }
}

/// A limit and a caller's key there.
type Whose = (usize, u64);

fn whose(ask: &Ask) -> Whose {
    (ask.whose.as_ptr().cast::<()>() as usize, ask.key)
}

/// What is to be reported.
#[derive(Default)]
pub(super) struct Work {
    waiting: HashMap<Whose, Ask>,
    /// Leases that may turn out to be unused, by when.
    granted: VecDeque<(u64, Ask)>,
    /// Who is among them.
    holding: HashSet<Whose>,
    /// Calls that failed, to be made again before anything new is said of their callers.
    pub(super) unsure: Vec<Batch>,
}

/// Callers of one call.
pub(super) struct Batch {
    pub(super) callers: Vec<(Ask, Told)>,
    group: u8,
    /// What marks it in the store: a call whose answer is lost is made again, and counts once.
    mark: u64,
    /// When it was made first.
    sent: u64,
    /// How often it failed.
    failed: u8,
}

impl Work {
    pub(super) fn note(&mut self, ask: Ask) {
        if self.waiting.len() < WAITING {
            self.waiting.insert(whose(&ask), ask);
        }
    }

    /// Whether there is something to report at the next occasion.
    pub(super) fn is_due(&self) -> bool {
        !self.waiting.is_empty() || !self.unsure.is_empty()
    }

    /// When the first lease may turn out to be unused.
    pub(super) fn unused(&self) -> Option<u64> {
        self.granted.front().map(|(at, _)| *at)
    }

    /// What is told now, in calls that are made at the same time.
    pub(super) fn batches(&mut self, cluster: bool, at: Moment) -> Vec<Batch> {
        let mut groups: Vec<Batch> = Vec::new();
        let mut add = |ask: Ask, told: Told| {
            let group = if cluster { ask.id.group() } else { 0 };
            let open = |batch: &&mut Batch| batch.group == group && batch.callers.len() < BATCH;
            match groups.iter_mut().rev().find(open) {
                Some(batch) => batch.callers.push((ask, told)),
                None => groups.push(Batch {
                    callers: vec![(ask, told)],
                    group,
                    mark: fastrand::u64(..),
                    sent: at.ticks,
                    failed: 0,
                }),
            }
        };
        let mut room = BATCH * AT_ONCE;
        // One that reports anyway is no idle one.
        let now: Vec<Whose> = self.waiting.keys().take(room).copied().collect();
        for ask in now.iter().filter_map(|whose| self.waiting.remove(whose)) {
            let limit = ask.whose.upgrade();
            if let Some(told) = limit.and_then(|limit| limit.report(ask.key, at)) {
                room = room.saturating_sub(1);
                add(ask, told);
            }
        }
        while let Some((due, _)) = self.granted.front()
            && *due <= at.ticks
            && room > 0
            && let Some((_, ask)) = self.granted.pop_front()
        {
            self.holding.remove(&whose(&ask));
            let limit = ask.whose.upgrade();
            match limit.map_or(Back::Nothing, |limit| limit.unused(ask.key, at)) {
                Back::Nothing => {}
                Back::Busy => self.holds(ask, at.ticks),
                Back::Told(told) => {
                    room -= 1;
                    add(ask, told);
                }
            }
        }
        // The room of a crowd that has gone is given back.
        if self.waiting.is_empty() && self.waiting.capacity() > 4 * BATCH {
            self.waiting = HashMap::new();
        }
        if self.granted.is_empty() && self.granted.capacity() > 4 * BATCH {
            self.granted = VecDeque::new();
            self.holding = HashSet::new();
        }
        groups
    }

    fn holds(&mut self, ask: Ask, now: u64) {
        if self.holding.len() < WAITING && self.holding.insert(whose(&ask)) {
            self.granted.push_back((now.saturating_add(UNUSED), ask));
        }
    }

    /// Takes an answer in. Tells whether somebody needs the next one at once, and whether somebody has plenty.
    pub(super) fn settle(&mut self, batch: Batch, numbers: &[i64], at: Moment) -> (bool, bool) {
        let (mut urgent, mut plenty) = (false, false);
        let sent = batch.sent;
        for ((ask, told), numbers) in batch.callers.into_iter().zip(numbers.chunks_exact(NUMBERS)) {
            let &[granted, left, sole, used] = numbers else {
                continue;
            };
            let reply = Reply {
                granted,
                left,
                sole: sole == 1,
                used,
            };
            let Some(limit) = ask.whose.upgrade() else {
                continue;
            };
            let next: Next = limit.settle(ask.key, at, sent, &told, &reply);
            urgent |= next.urgent;
            plenty |= next.plenty;
            if next.holds {
                self.holds(ask.clone(), at.ticks);
            }
            if next.more {
                self.note(ask);
            }
        }
        (urgent, plenty)
    }

    /// Keeps a call of which nobody knows whether it arrived.
    pub(super) fn failed(&mut self, mut batch: Batch, at: Moment) {
        for (ask, _) in &batch.callers {
            if let Some(limit) = ask.whose.upgrade() {
                limit.failed(ask.key, at);
            }
        }
        batch.failed += 1;
        // One that the store never takes would keep all others from it.
        if batch.failed < TRIES {
            self.unsure.push(batch);
        }
    }
}

/// What became of a lease that may be unused.
pub enum Back {
    /// It was in use just now; it is looked at again.
    Busy,
    /// This goes back.
    Told(Told),
    /// There is nothing.
    Nothing,
}

impl Batch {
    /// Requests that it tells of.
    pub(super) fn requests(&self) -> u64 {
        let parts = self
            .callers
            .iter()
            .map(|(_, told)| told.report.spent.max(0));
        let parts = parts.fold(0, i64::saturating_add);
        u64::try_from(parts / 1_000).unwrap_or(0)
    }

    /// Keys and numbers for the script.
    pub(super) fn spoken(&self, peers: u32, own: u32, now: u64) -> (Vec<String>, Vec<i64>) {
        let mut keys = Vec::with_capacity(self.callers.len() + 1);
        keys.push(format!("hzrl:{{{}}}:call:{:016x}", self.group, self.mark));
        keys.extend(self.callers.iter().map(|(ask, _)| ask.id.key(self.group)));
        let mut args = Vec::with_capacity(self.callers.len() * 11 + 2);
        args.extend([2 * i64::from(peers.max(1)), i64::from(own)]);
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        // What is told again was taken by so much earlier.
        let waited = now.saturating_sub(self.sent);
        for (_, told) in &self.callers {
            let Told { report, .. } = told;
            args.extend([
                whole(told.step),
                whole(told.burst),
                report.owed,
                report.wanted,
                whole(told.day),
                whole(told.daily),
                told.spent,
                whole(told.known),
                told.missing,
                whole(report.span.saturating_add(waited) / 1_000),
                report.seen,
            ]);
        }
        (keys, args)
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::{Id, Leased};
    use super::*;
    use std::sync::Arc;

    struct Nobody;

    impl Leased for Nobody {
        fn report(&self, key: u64, _: Moment) -> Option<Told> {
            (key != 7).then(Told::default)
        }
        fn settle(&self, _: u64, _: Moment, _: u64, _: &Told, _: &Reply) -> Next {
            Next {
                holds: true,
                ..Next::default()
            }
        }
        fn unused(&self, key: u64, _: Moment) -> Back {
            if key == 1 { Back::Busy } else { Back::Nothing }
        }
        fn failed(&self, _: u64, _: Moment) {}
    }

    fn work(callers: u64) -> (Arc<dyn Leased>, Work) {
        let whose: Arc<dyn Leased> = Arc::new(Nobody);
        let mut work = Work::default();
        for key in 0..callers {
            let id = Id::of("x", 0, &key.to_le_bytes());
            let whose = Arc::downgrade(&whose);
            work.note(Ask { whose, key, id });
        }
        (whose, work)
    }

    fn at(ticks: u64) -> Moment {
        Moment {
            ticks,
            ..Moment::default()
        }
    }

    #[test]
    fn many_callers_are_few_calls() {
        let (_whose, mut all) = work(1_200);
        let batches = all.batches(false, at(1));
        let sizes: Vec<usize> = batches.iter().map(|batch| batch.callers.len()).collect();
        assert_eq!(sizes, [512, 512, 175], "one of them has nothing to tell");
        let (keys, args) = batches[0].spoken(3, 1, 1);
        assert_eq!((keys.len(), args.len()), (513, 512 * 11 + 2));
        assert_ne!(
            keys[0],
            batches[1].spoken(3, 1, 1).0[0],
            "each call has its mark"
        );
    }

    #[test]
    fn the_keys_of_one_call_are_in_one_place_of_a_cluster() {
        let (_whose, mut all) = work(1_000);
        let batches = all.batches(true, at(1));
        assert_eq!(batches.len(), usize::from(GROUPS));
        for batch in &batches {
            let (keys, _) = batch.spoken(3, 1, 1);
            let group = format!("hzrl:{{{}}}:", batch.group);
            assert!(keys.iter().all(|key| key.starts_with(&group)));
        }
    }

    #[test]
    fn limits_that_a_reload_dropped_are_not_reported() {
        let (whose, mut all) = work(10);
        drop(whose);
        assert!(all.batches(false, at(1)).is_empty());
    }

    #[test]
    fn a_crowd_is_told_in_pieces() {
        let (_whose, mut all) = work(3 * (BATCH * AT_ONCE) as u64 / 2);
        let calls = |all: &mut Work| all.batches(false, at(1)).len();
        assert_eq!(calls(&mut all), AT_ONCE);
        assert!(all.is_due());
        assert_eq!((calls(&mut all), calls(&mut all)), (AT_ONCE / 2, 0));
    }

    #[test]
    fn leases_are_looked_at_until_they_are_used_or_gone() {
        let (_whose, mut all) = work(3);
        let batch = all.batches(false, at(1)).remove(0);
        assert_eq!(all.settle(batch, &[0; 12], at(5)), (false, false));
        assert_eq!((all.granted.len(), all.unused()), (3, Some(5 + UNUSED)));
        assert!(all.batches(false, at(6)).is_empty());
        assert!(all.batches(false, at(5 + UNUSED)).is_empty());
        assert_eq!(
            (all.granted.len(), all.holding.len()),
            (1, 1),
            "the busy one"
        );
    }

    #[test]
    fn a_call_that_is_never_taken_is_given_up() {
        let (_whose, mut all) = work(1);
        let mut batch = all.batches(false, at(1)).remove(0);
        let mark = batch.mark;
        for _ in 1..TRIES {
            all.failed(batch, at(2));
            batch = all.unsure.remove(0);
            assert_eq!(batch.mark, mark, "it is the same call");
        }
        all.failed(batch, at(2));
        assert!(all.unsure.is_empty());
    }

    #[test]
    fn two_hundred_requests_make_a_call() {
        let mut pace = Pace::new(false);
        assert_eq!(pace.due(false), 0, "the first at once");
        for (each_second, pause) in [(10_000, 50), (2_000, 100), (800, 250), (10, 500)] {
            let mut now = 0;
            for _ in 0..10 {
                let before = now;
                now = pace.due(false).max(now + 1);
                pace.made(now, 1, (now - before) * each_second / 1_000_000_000, false);
            }
            assert_eq!((pace.due(false) - now) / MS, pause, "{each_second}");
        }
    }

    #[test]
    fn hurried_calls_have_a_budget() {
        let mut pace = Pace::new(false);
        let mut now = 0;
        let mut quick = 0;
        while now < 1_000 * MS {
            let due = pace.due(true);
            quick += u32::from(due <= now + 2 * MS);
            now = due.max(now + 1);
            pace.made(now, 1, 1, true);
        }
        assert!((10..=12).contains(&quick), "{quick}");
    }
}
