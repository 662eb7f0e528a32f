//! What was found out about tokens and keys, for those who show them again. Kept under the SHA-256 of what was shown,
//! so that nothing here is of use to whoever gets to read it; bounded in number and size; a value is forgotten when
//! its time is over.
//!
//! KrakenD verifies every token anew. Here a token that comes again costs a hash and one look into a table
//! (`benches/callers.rs`).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

/// What a secret is kept under.
pub type Digest = [u8; 32];

/// SHA-256: who could find two tokens with one digest could come in as somebody else, so nothing less will do.
pub fn digest_of(secret: &[u8]) -> Digest {
    let mut out = [0; 32];
    let digest = digest(&SHA256, secret);
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}

/// How much is remembered at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Values.
    pub entries: usize,
    /// The sum of what the values weigh, in the unit of [`Memory::put`].
    pub weight: usize,
}

/// Values by digest. Split into parts with a lock each, which is held for a look-up only.
///
/// Each part has two generations: what is asked for stays in the young one or moves there, and when that is
/// full the old one goes as a whole. So there is no list to keep in order, and what nobody asks for leaves first.
pub struct Memory<V> {
    parts: Box<[Mutex<Part<V>>]>,
    /// The bounds of one generation of one part.
    generation: Bounds,
}

const PARTS: usize = 32;

struct Part<V> {
    young: HashMap<Digest, Entry<V>>,
    old: HashMap<Digest, Entry<V>>,
    /// What the young ones weigh.
    weight: usize,
}

struct Entry<V> {
    value: V,
    until: Duration,
    weight: usize,
}

/// What has to go; dropped after the lock was given back.
type Leaving<V> = (Option<Entry<V>>, HashMap<Digest, Entry<V>>);

impl<V: Clone> Memory<V> {
    /// An empty memory.
    pub fn new(bounds: Bounds) -> Self {
        let share = |whole: usize| whole.div_ceil(PARTS * 2).max(1);
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            generation: Bounds {
                entries: share(bounds.entries),
                weight: share(bounds.weight),
            },
        }
    }

    /// The value of a digest, if its time is not over. `now` is the time since the epoch.
    pub fn get(&self, key: &Digest, now: Duration) -> Option<V> {
        self.get_if(key, now, |_| true)
    }

    /// The value of a digest, if its time is not over and `keep` wants it; it is forgotten otherwise.
    pub fn get_if(&self, key: &Digest, now: Duration, keep: impl FnOnce(&V) -> bool) -> Option<V> {
        let (value, leaving) = {
            let mut part = self
                .part(key)?
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            part.get(key, self.generation, |entry| {
                now <= entry.until && keep(&entry.value)
            })
        };
        drop(leaving);
        value
    }

    /// Remembers a value until a moment since the epoch, that moment included. What weighs more than there is room
    /// for is not remembered.
    pub fn put(&self, key: Digest, value: V, until: Duration, weight: usize) {
        if weight > self.generation.weight {
            return;
        }
        let entry = Entry {
            value,
            until,
            weight,
        };
        let leaving = self.part(&key).map(|part| {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            let before = part.old.remove(&key);
            let (replaced, rest) = part.insert(key, entry, self.generation);
            drop(part);
            (before, replaced, rest)
        });
        drop(leaving);
    }

    /// Forgets a value.
    pub fn forget(&self, key: &Digest) {
        if let Some(part) = self.part(key) {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            let young = part.take_young(key);
            let old = part.old.remove(key);
            drop(part);
            drop((young, old));
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        let count = |part: &Mutex<Part<V>>| {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner);
            part.young.len() + part.old.len()
        };
        self.parts.iter().map(count).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn part(&self, key: &Digest) -> Option<&Mutex<Part<V>>> {
        let [first, ..] = key;
        self.parts.get(usize::from(*first) % PARTS)
    }
}

impl<V: Clone> Part<V> {
    fn get(
        &mut self,
        key: &Digest,
        bounds: Bounds,
        good: impl FnOnce(&Entry<V>) -> bool,
    ) -> (Option<V>, Leaving<V>) {
        if let Some(entry) = self.young.get(key) {
            if good(entry) {
                return (Some(entry.value.clone()), (None, HashMap::new()));
            }
            return (None, (self.take_young(key), HashMap::new()));
        }
        let Some(entry) = self.old.remove(key) else {
            return (None, (None, HashMap::new()));
        };
        if !good(&entry) {
            return (None, (Some(entry), HashMap::new()));
        }
        let value = entry.value.clone();
        (Some(value), self.insert(*key, entry, bounds))
    }

    fn insert(&mut self, key: Digest, entry: Entry<V>, bounds: Bounds) -> Leaving<V> {
        let replaced = self.take_young(&key);
        let full = self.young.len() >= bounds.entries || self.weight + entry.weight > bounds.weight;
        let mut leaving = HashMap::new();
        if full {
            let aging = std::mem::take(&mut self.young);
            leaving = std::mem::replace(&mut self.old, aging);
            self.weight = 0;
        }
        self.weight += entry.weight;
        self.young.insert(key, entry);
        (replaced, leaving)
    }

    fn take_young(&mut self, key: &Digest) -> Option<Entry<V>> {
        let taken = self.young.remove(key)?;
        self.weight -= taken.weight;
        Some(taken)
    }
}

impl<V> Default for Part<V> {
    fn default() -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            weight: 0,
        }
    }
}

impl<V> fmt::Debug for Memory<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const ROOM: Bounds = Bounds {
        entries: 64 * PARTS,
        weight: 1 << 20,
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A digest of the first part.
    fn key(number: u8) -> Digest {
        let mut key = [0; 32];
        key[31] = number;
        key
    }

    #[test]
    fn a_value_lives_to_its_last_moment() {
        let memory = Memory::new(ROOM);
        memory.put(key(1), "a", at(10), 1);
        assert_eq!(memory.get(&key(1), at(10)), Some("a"));
        assert_eq!(memory.get(&key(2), at(10)), None);
        assert_eq!(memory.get(&key(1), at(10) + Duration::from_nanos(1)), None);
        assert!(memory.is_empty(), "what is over is gone");
    }

    #[test]
    fn what_nobody_wants_any_more_is_forgotten() {
        let memory = Memory::new(ROOM);
        memory.put(key(1), 7, at(10), 1);
        assert_eq!(memory.get_if(&key(1), at(1), |_| false), None);
        assert!(memory.is_empty());
        memory.put(key(1), 7, at(10), 1);
        memory.forget(&key(1));
        assert_eq!(memory.get(&key(1), at(1)), None);
    }

    #[test]
    fn a_later_value_takes_the_place_of_an_earlier() {
        let memory = Memory::new(ROOM);
        memory.put(key(1), 1, at(10), 1);
        memory.put(key(1), 2, at(20), 1);
        assert_eq!(memory.get(&key(1), at(15)), Some(2));
        assert_eq!(memory.len(), 1);
    }

    #[test]
    fn numbers_are_bounded_and_what_is_asked_for_stays() {
        let memory = Memory::new(ROOM);
        memory.put(key(0), 0, at(10), 1);
        for number in 1..=255 {
            memory.put(key(number), number, at(10), 1);
            assert_eq!(memory.get(&key(0), at(1)), Some(0), "after {number}");
            assert!(memory.len() <= 65, "{}", memory.len());
        }
        assert_eq!(memory.get(&key(1), at(1)), None);
        assert_eq!(memory.get(&key(255), at(1)), Some(255));
    }

    #[test]
    fn size_is_bounded() {
        let memory = Memory::new(Bounds {
            entries: 1 << 20,
            weight: 100 * 2 * PARTS,
        });
        let value = Arc::new(());
        for number in 0..=255 {
            memory.put(key(number), Arc::clone(&value), at(10), 30);
            assert!(Arc::strong_count(&value) <= 1 + 6);
        }
        memory.put(key(7), Arc::clone(&value), at(10), 101);
        assert_eq!(memory.get(&key(7), at(1)), None, "too large to be kept");
    }

    #[test]
    fn every_digest_has_its_place() {
        let memory = Memory::new(Bounds {
            entries: 100_000,
            weight: 100_000,
        });
        for number in 0_u32..5000 {
            memory.put(digest_of(&number.to_le_bytes()), number, at(1), 1);
        }
        for number in 0_u32..5000 {
            let found = memory.get(&digest_of(&number.to_le_bytes()), at(1));
            assert_eq!(found, Some(number));
        }
    }

    #[test]
    fn digests_are_those_of_everybody() {
        let abc = digest_of(b"abc");
        assert_eq!(&abc[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
