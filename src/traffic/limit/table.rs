//! The state of many callers: keyed by a hash, bounded in number, each shard behind a lock that is held for some
//! fifty nanoseconds.
//!
//! A caller is known here by a hash whose key this process drew at random: no address and no API key stands in memory,
//! and nobody outside can make two callers meet. It has 64 bits: that any two of a million meet is less likely than one
//! in thirty million. What the callers are allowed stands once, in the [`Rule`], and not beside each of them.
//!
//! Differs from KrakenD: the number is bounded. Who may be forgotten is for the rule to say. The native rules let go
//! of callers who stand as if they had never come, so forgetting gives nobody anything. When a shard is full of others,
//! new callers share one more state until some have gone: strict for them, and never a way to get more.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::clock;

/// Most callers of one table, unless it is told otherwise.
pub const MOST: usize = 1_048_576;
/// Shards of more places than this are as many as it takes, and full when the table is.
const LARGE: usize = 512;
/// The pause after a look for callers to forget that found too few, in nanoseconds: a full shard is not searched for
/// each newcomer.
const PAUSE: u64 = 1_000_000_000;

/// A moment on two clocks: one that never jumps, and the wall's, for days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Nanoseconds since the process started.
    pub ticks: u64,
    /// Since 1970-01-01 UTC.
    pub wall: Duration,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let ticks = clock::moment();
        Self {
            ticks,
            wall: clock::wall_at(ticks),
        }
    }

    /// The same, later: for tests and for deadlines.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let ticks = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self {
            ticks: self.ticks.saturating_add(ticks),
            wall: self.wall.saturating_add(span),
        }
    }
}

/// Whether a caller may be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// No: it would get something that it has used.
    Not,
    /// Only where there is no room otherwise: it rests, and would get this much back.
    Costs(u64),
    /// It stands as if it had never come.
    Fresh,
}

/// What callers of a table are allowed, and what is kept of each.
pub trait Rule: Send + Sync {
    /// What is kept of a caller.
    type State: Copy + Send;

    /// A caller that was never seen.
    fn fresh(&self, at: Moment) -> Self::State;

    /// Whether one may be forgotten.
    fn idle(&self, state: &Self::State, at: Moment) -> Idle;
}

/// Callers and their state.
pub struct Table<R: Rule> {
    rule: R,
    shards: Box<[Mutex<Shard<R::State>>]>,
    /// Most callers of one shard.
    most: usize,
    hash: RandomState,
}

struct Shard<S> {
    callers: HashMap<u64, S, BuildHasherDefault<Turned>>,
    /// Whom there is no room for.
    beyond: Option<S>,
    /// When it makes sense to look for callers to forget again.
    look: u64,
}

impl<R: Rule> Table<R> {
    /// An empty table of at least `shards` shards for at least `most` callers.
    pub fn new(rule: R, shards: usize, most: usize) -> Self {
        let shards = shards.clamp(1, 2048);
        // A map holds seven eighths of a power of two. The bound is where it would grow next, and the shards
        // are as many as that takes, so that a full table is full and not half empty.
        let room = (most / shards).max(7) * 8 / 7;
        let mut slots = room.next_power_of_two().max(16);
        if slots > LARGE {
            // More shards rather than such as are half empty when all have come.
            slots /= 2;
        }
        let most_each = slots / 8 * 7;
        let count = shards.max(most.div_ceil(most_each));
        let empty = || {
            Mutex::new(Shard {
                callers: HashMap::default(),
                beyond: None,
                look: 0,
            })
        };
        Self {
            rule,
            shards: (0..count).map(|_| empty()).collect(),
            most: most_each,
            hash: RandomState::new(),
        }
    }

    /// What callers are allowed.
    pub const fn rule(&self) -> &R {
        &self.rule
    }

    /// The key of a caller of this kind. Kinds are apart: an address never meets a user of that name.
    pub fn key(&self, kind: u8, caller: &[u8]) -> u64 {
        let mut hasher = self.hash.build_hasher();
        hasher.write_u8(kind);
        hasher.write(caller);
        hasher.finish()
    }

    /// Works on the state of a caller, who need not have come before.
    pub fn with<T>(&self, key: u64, at: Moment, work: impl FnOnce(&R, &mut R::State) -> T) -> T {
        let mut shard = self.shard(key);
        if let Some(state) = shard.callers.get_mut(&key) {
            return work(&self.rule, state);
        }
        if shard.callers.len() >= self.most {
            self.make_room(&mut shard, at);
        }
        let mut state = self.rule.fresh(at);
        if shard.callers.len() < self.most {
            let done = work(&self.rule, &mut state);
            shard.callers.insert(key, state);
            return done;
        }
        work(&self.rule, shard.beyond.get_or_insert(state))
    }

    /// Works on the state of a caller that is there.
    pub fn known<T>(&self, key: u64, work: impl FnOnce(&R, &mut R::State) -> T) -> Option<T> {
        let mut shard = self.shard(key);
        let state = shard.callers.get_mut(&key)?;
        Some(work(&self.rule, state))
    }

    /// How many shards there are to sweep.
    pub const fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Forgets those callers of one shard that stand as if they had never come, and gives memory back that is not
    /// needed any more.
    pub fn sweep(&self, shard: usize, at: Moment) {
        let Some(shard) = self.shards.get(shard) else {
            return;
        };
        let mut shard = lock(shard);
        self.forget_fresh(&mut shard, at);
        let (len, room) = (shard.callers.len(), shard.callers.capacity());
        if room > 64 && len < room / 4 {
            shard.callers.shrink_to(len * 2);
        }
        let beyond = shard.beyond.as_ref();
        if beyond.is_some_and(|state| self.rule.idle(state, at) == Idle::Fresh) {
            shard.beyond = None;
        }
    }

    /// How many callers there are.
    pub fn len(&self) -> usize {
        let each = |shard: &Mutex<Shard<_>>| lock(shard).callers.len();
        self.shards.iter().map(each).sum()
    }

    /// Shows every caller, one shard after the other, each under its lock.
    pub fn each(&self, mut look: impl FnMut(&R, &R::State)) {
        for shard in &self.shards {
            let shard = lock(shard);
            for state in shard.callers.values() {
                look(&self.rule, state);
            }
        }
    }

    /// Whether nobody has come.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard<R::State>> {
        // The high bits choose the shard.
        let count = self.shards.len() as u64;
        let at = (u128::from(key) * u128::from(count)) >> 64;
        #[expect(
            clippy::indexing_slicing,
            reason = "the high word of a product with the count is below the count"
        )]
        lock(&self.shards[at as usize])
    }

    fn forget_fresh(&self, shard: &mut Shard<R::State>, at: Moment) {
        let rule = &self.rule;
        shard
            .callers
            .retain(|_, state| rule.idle(state, at) != Idle::Fresh);
    }

    /// Forgets who may be, at best an eighth of a full shard. Seldom: the cost of a look is shared by those
    /// who find room.
    fn make_room(&self, shard: &mut Shard<R::State>, at: Moment) {
        if at.ticks < shard.look {
            return;
        }
        self.forget_fresh(shard, at);
        let wanted = self.most / 8 + 1;
        let free = self.most.saturating_sub(shard.callers.len());
        if free < wanted {
            self.forget_cheapest(shard, at, wanted - free);
        }
        if self.most.saturating_sub(shard.callers.len()) < wanted {
            shard.look = at.ticks.saturating_add(PAUSE);
        }
    }

    fn forget_cheapest(&self, shard: &mut Shard<R::State>, at: Moment, wanted: usize) {
        let costs = |state: &R::State| match self.rule.idle(state, at) {
            Idle::Not => None,
            Idle::Costs(costs) => Some(costs),
            Idle::Fresh => Some(0),
        };
        let mut all: Vec<u64> = shard.callers.values().filter_map(costs).collect();
        let Some(last) = wanted.min(all.len()).checked_sub(1) else {
            return;
        };
        let (_, most, _) = all.select_nth_unstable(last);
        let (most, mut left) = (*most, wanted);
        shard.callers.retain(|_, state| {
            let goes = left > 0 && costs(state).is_some_and(|costs| costs <= most);
            left -= usize::from(goes);
            !goes
        });
    }
}

impl<R: Rule> std::fmt::Debug for Table<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("callers", &self.len())
            .finish_non_exhaustive()
    }
}

fn lock<S>(shard: &Mutex<Shard<S>>) -> MutexGuard<'_, Shard<S>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keys are hashes already. Those of one shard have their high bits in common, by which a map tells its entries apart,
/// so they go to where it needs none.
#[derive(Default)]
struct Turned(u64);

impl Hasher for Turned {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Held;
    use super::super::shared::lease::Lease;
    use super::*;

    /// One request each ten nanoseconds, and a state that costs something to forget.
    struct Ten;

    impl Rule for Ten {
        type State = (u64, u64);

        fn fresh(&self, at: Moment) -> (u64, u64) {
            (at.ticks, 0)
        }

        fn idle(&self, state: &(u64, u64), at: Moment) -> Idle {
            match state {
                (until, _) if *until > at.ticks => Idle::Not,
                (_, 0) => Idle::Fresh,
                (_, costs) => Idle::Costs(*costs),
            }
        }
    }

    fn at(ticks: u64) -> Moment {
        Moment {
            ticks,
            wall: Duration::ZERO,
        }
    }

    fn busy_until(table: &Table<Ten>, caller: u32, ticks: u64, costs: u64) {
        let key = table.key(0, &caller.to_le_bytes());
        table.with(key, at(1), |_, state| *state = (ticks, costs));
    }

    #[test]
    fn callers_of_different_kinds_and_names_are_apart() {
        let table = Table::new(Ten, 4, 100);
        let keys = [table.key(1, b"a"), table.key(2, b"a"), table.key(1, b"b")];
        for (at_key, key) in keys.iter().enumerate() {
            table.with(*key, at(0), |_, state| state.1 += at_key as u64 + 1);
        }
        let seen = keys.map(|key| table.known(key, |_, state| state.1));
        assert_eq!(seen, [Some(1), Some(2), Some(3)]);
        let other = Table::new(Ten, 4, 100);
        assert_ne!(
            other.key(1, b"a"),
            keys[0],
            "the key is drawn for each table"
        );
    }

    #[test]
    fn the_number_of_callers_is_bounded_and_the_busy_stay() {
        let table = Table::new(Ten, 1, 100);
        for caller in 0..5_000 {
            busy_until(&table, caller, 1_000, 0);
        }
        let most = table.len();
        assert!((100..=256).contains(&most), "{most}");
        let first = table.key(0, &0_u32.to_le_bytes());
        let kept = table.known(first, |_, state| state.0);
        assert_eq!(kept, Some(1_000));
    }

    #[test]
    fn newcomers_to_a_full_table_share_one_state() {
        let table = Table::new(Ten, 1, 100);
        for caller in 0..5_000 {
            busy_until(&table, caller, 1_000, 0);
        }
        for caller in 10_000..10_003_u32 {
            let key = table.key(0, &caller.to_le_bytes());
            table.with(key, at(2), |_, state| state.1 += 1);
        }
        let key = table.key(0, b"another");
        assert_eq!(table.with(key, at(2), |_, state| state.1), 3);
        // Later there is room again, and they are apart.
        let later = at(PAUSE + 2_000);
        let key = table.key(0, b"later");
        assert_eq!(table.with(key, later, |_, state| state.1), 0);
        assert!(table.known(key, |_, _| ()).is_some());
    }

    #[test]
    fn where_there_is_no_room_the_cheapest_of_the_idle_go() {
        let table = Table::new(Ten, 1, 100);
        let most = table.most as u32;
        for caller in 0..most {
            busy_until(&table, caller, 0, u64::from(1 + caller));
        }
        busy_until(&table, most, 0, 7);
        let kept = |caller: u32| {
            let key = table.key(0, &caller.to_le_bytes());
            table.known(key, |_, _| ()).is_some()
        };
        assert!(!kept(0) && kept(most - 1) && kept(most));
        assert_eq!(table.len() as u32, most - (most / 8 + 1) + 1);
    }

    #[test]
    fn a_full_shard_is_not_searched_for_each_newcomer() {
        let table = Table::new(Ten, 1, 100);
        for caller in 0..table.most as u32 {
            busy_until(&table, caller, u64::MAX, 0);
        }
        busy_until(&table, 1 << 20, 5, 0);
        let look = lock(&table.shards[0]).look;
        assert_eq!(look, PAUSE + 1);
        busy_until(&table, 1 << 21, 5, 0);
        assert_eq!(lock(&table.shards[0]).look, look);
    }

    #[test]
    fn sweeping_forgets_the_fresh_and_gives_memory_back() {
        let table = Table::new(Ten, 2, 10_000);
        for caller in 0..8_000 {
            busy_until(&table, caller, if caller < 10 { 1_000 } else { 5 }, 0);
        }
        (0..table.shards()).for_each(|shard| table.sweep(shard, at(10)));
        assert_eq!(table.len(), 10);
        let room: usize = table
            .shards
            .iter()
            .map(|s| lock(s).callers.capacity())
            .sum();
        assert!(room < 1_000, "{room}");
    }

    #[test]
    fn a_million_callers_fit_into_a_hundred_megabytes() {
        // The largest state that is kept of a caller; counted here, and measured by benches/load/callers.py.
        let table = Table::new(Ten, 64, MOST);
        let slots = table.most / 7 * 8 * table.shards.len();
        let each = size_of::<(u64, (Held, Lease))>() + 1;
        assert!(table.most * table.shards.len() >= MOST);
        assert!(slots * each < 80 << 20, "{} MB", (slots * each) >> 20);
    }
}
