//! Numbers that every request changes. Each thread counts in memory of its own, so that cores do not
//! pass cache lines to each other; whoever reads adds up. Memory is taken when a thread first counts.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::ops::Add;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Most copies of one number; threads beyond share.
const MOST: usize = 16;
/// Numbers in one line.
const WIDTH: usize = 16;

/// Two cache lines, which processors fetch together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([AtomicU64; WIDTH]);

/// A row of numbers that start at zero and only grow.
#[derive(Debug)]
pub struct Cells {
    /// One place a shard; how many is a power of two.
    shards: Box<[OnceLock<Box<[Line]>>]>,
    lines: usize,
}

/// A thread's own copy of a row.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a>(&'a [Line]);

/// How many shards suit this machine; for [`Cells::new`].
pub fn shards() -> usize {
    std::thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .next_power_of_two()
        .min(MOST)
}

impl Cells {
    /// A row of so many numbers in at most so many copies, rounded up to a power of two.
    pub fn new(numbers: usize, shards: usize) -> Self {
        Self {
            shards: (0..shards.clamp(1, MOST).next_power_of_two())
                .map(|_| OnceLock::new())
                .collect(),
            lines: numbers.div_ceil(WIDTH),
        }
    }

    /// The copy to count in. Cheap; worth keeping while one request is counted.
    pub fn own(&self) -> Own<'_> {
        let at = seat() & (self.shards.len() - 1);
        let lines = self.shards.get(at).map_or(&[][..], |shard| {
            shard.get_or_init(|| (0..self.lines).map(|_| Line::default()).collect())
        });
        Own(lines)
    }

    /// A number over all threads; 0 for one that the row does not have.
    pub fn total(&self, at: usize) -> u64 {
        self.each(at).fold(0, u64::wrapping_add)
    }

    /// The same for a number that [`Own::add_float`] counts.
    pub fn total_float(&self, at: usize) -> f64 {
        self.each(at).map(f64::from_bits).fold(0.0, f64::add)
    }

    fn each(&self, at: usize) -> impl Iterator<Item = u64> + '_ {
        self.shards
            .iter()
            .filter_map(move |shard| Own(shard.get()?).cell(at))
            .map(|cell| cell.load(Ordering::Relaxed))
    }
}

impl<'a> Own<'a> {
    /// One more.
    pub fn add(self, at: usize) {
        if let Some(cell) = self.cell(at) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// So much more; the cell holds the bits of a float.
    pub fn add_float(self, at: usize, more: f64) {
        let Some(cell) = self.cell(at) else { return };
        let add = |bits| Some((f64::from_bits(bits) + more).to_bits());
        let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    fn cell(self, at: usize) -> Option<&'a AtomicU64> {
        self.0.get(at / WIDTH)?.0.get(at % WIDTH)
    }
}

/// A number of this thread; threads that count take them in turn.
fn seat() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SEAT: Cell<Option<usize>> = const { Cell::new(None) };
    }
    SEAT.get().unwrap_or_else(|| {
        let seat = NEXT.fetch_add(1, Ordering::Relaxed);
        SEAT.set(Some(seat));
        seat
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_what_all_threads_count() {
        let cells = Cells::new(20, 3);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        cells.own().add(17);
                        cells.own().add_float(3, 0.5);
                    }
                });
            }
        });
        assert_eq!(cells.total(17), 6000);
        assert_eq!(cells.total_float(3), 3000.0);
        assert_eq!(cells.total(16), 0);
    }

    #[test]
    fn takes_memory_only_for_threads_that_count() {
        let cells = Cells::new(16, 16);
        let used = |cells: &Cells| cells.shards.iter().filter(|s| s.get().is_some()).count();
        assert_eq!(used(&cells), 0);
        cells.own().add(0);
        cells.own().add(1);
        assert_eq!(used(&cells), 1);
    }

    #[test]
    fn numbers_beyond_the_row_are_ignored() {
        let cells = Cells::new(1, 0);
        cells.own().add(16);
        cells.own().add_float(usize::MAX, 1.0);
        assert_eq!(cells.total(16), 0);
    }
}
