//! Choosing one of several hosts.
//!
//! As in KrakenD: a random pick per call, or one after the other from a random start where the
//! process has one processor; a host listed twice counts twice; no health, no retry elsewhere.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The rule of choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Any, each time anew.
    Random,
    /// One after the other.
    RoundRobin,
}

impl Balance {
    /// What KrakenD would use on this machine.
    pub fn for_this_machine() -> Self {
        match std::thread::available_parallelism() {
            Ok(n) if n.get() > 1 => Self::Random,
            _ => Self::RoundRobin,
        }
    }
}

/// A fixed list and a rule; picks without a lock.
#[derive(Debug)]
pub struct Balancer<T> {
    list: Box<[T]>,
    rule: Balance,
    next: AtomicUsize,
}

impl<T> Balancer<T> {
    /// A balancer over a list; an empty list picks nothing.
    pub fn new(list: impl Into<Box<[T]>>, rule: Balance) -> Self {
        Self {
            list: list.into(),
            rule,
            next: AtomicUsize::new(fastrand::usize(..)),
        }
    }

    /// The next host; `None` when there is none.
    pub fn pick(&self) -> Option<&T> {
        pick(&self.list, self.rule, &self.next)
    }

    /// All hosts in the order given.
    pub fn all(&self) -> &[T] {
        &self.list
    }
}

/// One element by a rule; `next` is the round-robin position.
pub(crate) fn pick<'a, T>(list: &'a [T], rule: Balance, next: &AtomicUsize) -> Option<&'a T> {
    match list {
        [] => None,
        [only] => Some(only),
        _ => {
            let at = match rule {
                Balance::Random => fastrand::usize(..list.len()),
                Balance::RoundRobin => next.fetch_add(1, Ordering::Relaxed) % list.len(),
            };
            list.get(at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_picks_nothing() {
        assert_eq!(Balancer::<u8>::new([], Balance::Random).pick(), None);
    }

    #[test]
    fn round_robin_visits_each_in_turn() {
        let balancer = Balancer::new([0, 1, 2], Balance::RoundRobin);
        let first = *balancer.pick().unwrap();
        for step in 1..7 {
            assert_eq!(*balancer.pick().unwrap(), (first + step) % 3);
        }
    }

    #[test]
    fn random_reaches_every_host() {
        let balancer = Balancer::new(["a", "b"], Balance::Random);
        let picks: std::collections::HashSet<_> =
            (0..200).filter_map(|_| balancer.pick()).collect();
        assert_eq!(picks.len(), 2);
    }
}
