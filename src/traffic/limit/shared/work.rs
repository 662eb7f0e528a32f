//! What waits to be reported to a store, and in which calls.

use super::lease::Reply;
use super::store::{Ask, Told, WAITING};
use crate::traffic::limit::table::Moment;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until};

/// The shortest pause between two reports, when leases run out.
const HURRY: Duration = Duration::from_millis(2);
/// Callers of one call.
const BATCH: usize = 512;
/// Groups of keys in a cluster, which needs the keys of one call in one place.
pub(super) const GROUPS: u8 = 8;
/// After this an unused lease goes back.
const UNUSED: Duration = Duration::from_millis(300);

/// What is to be reported.
#[derive(Default)]
pub(super) struct Work {
    /// By where it is kept and its key there.
    waiting: HashMap<(usize, u128), Ask>,
    /// Leases that may turn out to be unused, by when.
    granted: VecDeque<(Instant, Ask)>,
    /// Calls that failed, to be made again before anything new is said of their callers.
    pub(super) unsure: Vec<Batch>,
}

/// Callers of one call.
pub(super) struct Batch {
    pub(super) callers: Vec<(Ask, Told)>,
    group: u8,
    /// What marks it in the store: a call whose answer is lost is made again, and counts once.
    mark: u64,
}

impl Work {
    fn note(&mut self, ask: Ask) {
        if self.waiting.len() < WAITING {
            let whose = ask.whose.as_ptr().cast::<()>() as usize;
            self.waiting.insert((whose, ask.key), ask);
        }
    }

    /// Notes what comes until a moment.
    pub(super) async fn wait(&mut self, asked: &mut Receiver<Ask>, until: Instant) {
        loop {
            tokio::select! {
                Some(ask) = asked.recv() => self.note(ask),
                () = sleep_until(until) => return,
            }
        }
    }

    /// Whether there is something to report at the next occasion.
    fn is_due(&self) -> bool {
        !self.waiting.is_empty() || !self.unsure.is_empty()
    }

    /// Notes what comes until it is time for a report; `false` when `end` comes before anything is to be reported.
    pub(super) async fn gather<'n>(
        &mut self,
        asked: &mut Receiver<Ask>,
        (last, rhythm, end): (Instant, Duration, Option<Instant>),
        hurried: impl Fn() -> tokio::sync::futures::Notified<'n>,
    ) -> bool {
        let mut due = last + rhythm;
        loop {
            let now = Instant::now();
            if end.is_some_and(|end| now >= end) {
                return false;
            }
            let until = if !self.is_due() {
                let granted = self.granted.front().map(|(at, _)| *at);
                granted.unwrap_or(now + Duration::from_secs(3600)).max(due)
            } else {
                due
            };
            if self.is_due() && now >= due {
                return true;
            }
            let ends = end.unwrap_or(now + Duration::from_secs(3600));
            tokio::select! {
                Some(ask) = asked.recv() => {
                    self.note(ask);
                    while let Ok(ask) = asked.try_recv() {
                        self.note(ask);
                    }
                }
                () = hurried() => due = due.min(last + HURRY),
                () = sleep_until(until) => return true,
                () = sleep_until(ends) => {}
            }
        }
    }

    pub(super) fn batches(&mut self, cluster: bool) -> Vec<Batch> {
        let at = Moment::now();
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
                }),
            }
        };
        let now = Instant::now();
        while let Some((due, _)) = self.granted.front()
            && *due <= now
            && let Some((_, ask)) = self.granted.pop_front()
        {
            // One that reports anyway is no idle one.
            let told = ask
                .whose
                .upgrade()
                .and_then(|whose| whose.unused(ask.key, at));
            if let Some(told) = told {
                add(ask, told);
            }
        }
        for (_, ask) in self.waiting.drain() {
            let told = ask
                .whose
                .upgrade()
                .and_then(|whose| whose.report(ask.key, at));
            if let Some(told) = told {
                add(ask, told);
            }
        }
        groups
    }

    pub(super) fn settle(&mut self, batch: Batch, numbers: &[i64]) {
        let (at, now) = (Moment::now(), Instant::now());
        for ((ask, told), numbers) in batch.callers.into_iter().zip(numbers.chunks_exact(4)) {
            let &[granted, left, wait, used] = numbers else {
                continue;
            };
            let reply = Reply {
                granted,
                left,
                wait: u64::try_from(wait).unwrap_or(0).saturating_mul(1_000),
                used,
            };
            let Some(whose) = ask.whose.upgrade() else {
                continue;
            };
            let more = whose.settle(ask.key, at, &told, &reply);
            if granted > 0 && self.granted.len() < WAITING {
                self.granted.push_back((now + UNUSED, ask.clone()));
            }
            if more {
                self.note(ask);
            }
        }
    }

    /// Keeps a call of which nobody knows whether it arrived.
    pub(super) fn failed(&mut self, batch: Batch) {
        let at = Moment::now();
        for (ask, _) in &batch.callers {
            if let Some(whose) = ask.whose.upgrade() {
                whose.failed(ask.key, at);
            }
        }
        self.unsure.push(batch);
    }
}

impl Batch {
    /// Keys and numbers for the script.
    pub(super) fn spoken(&self) -> (Vec<String>, Vec<String>) {
        let mut keys = Vec::with_capacity(self.callers.len() + 1);
        keys.push(format!("hzrl:{{{}}}:call:{:016x}", self.group, self.mark));
        keys.extend(self.callers.iter().map(|(ask, _)| ask.id.key(self.group)));
        let mut args = Vec::with_capacity(self.callers.len() * 8);
        for (_, told) in &self.callers {
            args.push(format!("{:.6}", told.step));
            args.push(told.burst.to_string());
            args.push(told.report.owed.to_string());
            args.push(told.report.wanted.to_string());
            args.push(told.day.to_string());
            args.push(told.daily.to_string());
            args.push(told.report.spent.to_string());
            args.push(told.known.to_string());
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
        fn report(&self, key: u128, _: Moment) -> Option<Told> {
            (key != 7).then(Told::default)
        }
        fn settle(&self, _: u128, _: Moment, _: &Told, _: &Reply) -> bool {
            false
        }
        fn unused(&self, _: u128, _: Moment) -> Option<Told> {
            None
        }
        fn failed(&self, _: u128, _: Moment) {}
    }

    fn work(callers: u128) -> (Arc<dyn Leased>, Work) {
        let whose: Arc<dyn Leased> = Arc::new(Nobody);
        let mut work = Work::default();
        for key in 0..callers {
            let id = Id::of("x", 0, &key.to_le_bytes());
            let whose = Arc::downgrade(&whose);
            work.note(Ask { whose, key, id });
        }
        (whose, work)
    }

    #[test]
    fn many_callers_are_few_calls() {
        let (_whose, mut all) = work(1_200);
        let batches = all.batches(false);
        let sizes: Vec<usize> = batches.iter().map(|batch| batch.callers.len()).collect();
        assert_eq!(sizes, [512, 512, 175], "one of them has nothing to tell");
        let (keys, args) = batches[0].spoken();
        assert_eq!((keys.len(), args.len()), (513, 512 * 8));
        assert_ne!(keys[0], batches[1].spoken().0[0], "each call has its mark");
    }

    #[test]
    fn the_keys_of_one_call_are_in_one_place_of_a_cluster() {
        let (_whose, mut all) = work(1_000);
        let batches = all.batches(true);
        assert_eq!(batches.len(), usize::from(GROUPS));
        for batch in &batches {
            let (keys, _) = batch.spoken();
            let group = format!("hzrl:{{{}}}:", batch.group);
            assert!(keys.iter().all(|key| key.starts_with(&group)));
        }
    }

    #[test]
    fn limits_that_a_reload_dropped_are_not_reported() {
        let (whose, mut all) = work(10);
        drop(whose);
        assert!(all.batches(false).is_empty());
    }
}
