//! What services said of credentials, by their SHA-256: never the credential itself. What is good and what is not are kept
//! apart, so that whoever invents credentials pushes out other inventions and nothing else.

use super::memory::{Bounds, Digest, Memory};
use crate::base::{Reason, clock};
use crate::gateway::identity::Identity;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Good credentials that are remembered, and the bytes that they may take by rough count.
const GOOD: Bounds = Bounds {
    entries: 100_000,
    weight: 128 << 20,
};
/// Bad ones.
const BAD: Bounds = Bounds {
    entries: 16_384,
    weight: 16_384,
};

/// What a credential is.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Somebody's.
    Good(Arc<Identity>),
    /// Nobody's, and why.
    Bad(Reason),
}

/// How long an answer holds, from when it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Unasked.
    pub fresh: Duration,
    /// While nobody can be asked; at least as long.
    pub stale: Duration,
}

/// A remembered answer.
#[derive(Debug)]
pub struct Known {
    /// What was said.
    pub verdict: Verdict,
    since: Instant,
    terms: Terms,
    /// Milliseconds after `since` when it may be asked for again although it still holds.
    renew: AtomicU64,
}

/// What is remembered of a credential.
#[derive(Debug)]
pub enum Remembered {
    /// It holds.
    Fresh(Arc<Known>),
    /// It holds only while nobody can be asked.
    Stale(Arc<Known>),
    /// Nothing.
    Nothing,
}

impl Known {
    /// An answer that was given now.
    pub fn new(verdict: Verdict, terms: Terms, now: Instant) -> Self {
        // The last fifth of its time is for asking again.
        let renew = milliseconds(terms.fresh / 5 * 4);
        Self {
            verdict,
            since: now,
            terms,
            renew: AtomicU64::new(renew),
        }
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Whether it is time to ask again. Says so to one caller in each `pause`.
    pub fn wants_renewal(&self, now: Instant, pause: Duration) -> bool {
        let (age, due) = (
            milliseconds(self.age(now)),
            self.renew.load(Ordering::Relaxed),
        );
        if age < due {
            return false;
        }
        let next = age.saturating_add(milliseconds(pause).max(1));
        let order = Ordering::Relaxed;
        self.renew.compare_exchange(due, next, order, order).is_ok()
    }

    /// What it takes to remember it, in bytes by rough count.
    fn weight(&self) -> usize {
        let Verdict::Good(identity) = &self.verdict else {
            return 1;
        };
        let fields = identity.minted.iter().flat_map(|field| &field.values);
        let claims: usize = identity
            .claims
            .iter()
            .map(|(name, _)| name.len() + 96)
            .sum();
        512 + claims + fields.map(|value| value.len() + 64).sum::<usize>()
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The remembered answers of one service.
#[derive(Debug)]
pub struct Answers {
    good: Memory<Arc<Known>>,
    bad: Memory<Arc<Known>>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            good: Memory::new(GOOD),
            bad: Memory::new(BAD),
        }
    }
}

impl Answers {
    /// What is remembered of a credential.
    pub fn get(&self, key: &Digest, now: Instant) -> Remembered {
        let wall = clock::since_epoch_at(now);
        let found = self.good.get(key, wall).or_else(|| self.bad.get(key, wall));
        let Some(known) = found else {
            return Remembered::Nothing;
        };
        let age = known.age(now);
        if age < known.terms.fresh {
            Remembered::Fresh(known)
        } else if age < known.terms.stale {
            Remembered::Stale(known)
        } else {
            Remembered::Nothing
        }
    }

    /// Remembers an answer in place of the one before.
    pub fn put(&self, key: Digest, known: Arc<Known>, now: Instant) {
        let (own, other) = match known.verdict {
            Verdict::Good(_) => (&self.good, &self.bad),
            Verdict::Bad(_) => (&self.bad, &self.good),
        };
        other.forget(&key);
        // Its own clock decides; the memory's may be set.
        let until = clock::since_epoch_at(now).saturating_add(known.terms.stale);
        let weight = known.weight();
        own.put(key, known, until, weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const TERMS: Terms = Terms {
        fresh: MINUTE,
        stale: Duration::from_secs(600),
    };

    fn key(number: u32) -> Digest {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_le_bytes());
        key
    }

    fn good(now: Instant) -> Arc<Known> {
        Arc::new(Known::new(Verdict::Good(Arc::default()), TERMS, now))
    }

    fn bad(now: Instant) -> Arc<Known> {
        let verdict = Verdict::Bad(Reason::ApiKeyInvalid);
        let terms = Terms {
            fresh: MINUTE,
            stale: MINUTE,
        };
        Arc::new(Known::new(verdict, terms, now))
    }

    #[test]
    fn an_answer_is_fresh_then_stale_then_gone() {
        let (answers, now) = (Answers::default(), Instant::now());
        answers.put(key(1), good(now), now);
        assert!(matches!(answers.get(&key(1), now), Remembered::Fresh(_)));
        let stale = answers.get(&key(1), now + MINUTE);
        assert!(matches!(stale, Remembered::Stale(_)));
        let gone = answers.get(&key(1), now + MINUTE * 10);
        assert!(matches!(gone, Remembered::Nothing));
        assert!(matches!(answers.get(&key(2), now), Remembered::Nothing));
    }

    #[test]
    fn the_last_answer_counts_whatever_it_is() {
        let (answers, now) = (Answers::default(), Instant::now());
        let verdict = || match answers.get(&key(1), now) {
            Remembered::Fresh(known) => known.verdict.clone(),
            other => panic!("{other:?}"),
        };
        answers.put(key(1), good(now), now);
        answers.put(key(1), bad(now), now);
        assert!(matches!(verdict(), Verdict::Bad(Reason::ApiKeyInvalid)));
        answers.put(key(1), good(now), now);
        assert!(matches!(verdict(), Verdict::Good(_)));
    }

    #[test]
    fn invented_credentials_push_out_no_real_one() {
        let (answers, now) = (Answers::default(), Instant::now());
        answers.put(key(u32::MAX), good(now), now);
        for number in 0..100_000 {
            answers.put(key(number), bad(now), now);
        }
        let real = answers.get(&key(u32::MAX), now);
        assert!(matches!(real, Remembered::Fresh(_)));
        assert!(answers.bad.len() <= BAD.entries + 64);
    }

    #[test]
    fn it_is_asked_for_again_before_it_ends_by_one_caller_at_a_time() {
        let now = Instant::now();
        let known = good(now);
        let pause = Duration::from_secs(3);
        assert!(!known.wants_renewal(now + Duration::from_secs(47), pause));
        let due = now + Duration::from_secs(48);
        assert!(known.wants_renewal(due, pause));
        assert!(!known.wants_renewal(due, pause));
        assert!(!known.wants_renewal(due + Duration::from_secs(2), pause));
        assert!(known.wants_renewal(due + pause, pause));
    }
}
