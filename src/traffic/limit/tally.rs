//! What became of the requests that met a limit, since it was made: it outlives a reload with the limit's own state.

use crate::telemetry::cells::{Cells, shards};

const ALLOWED: usize = 0;
const REFUSED: usize = 1;
const RETURNED: usize = 2;

/// The counts of one limit. Threads count apart, so that a limit of all has no second line of memory to fight for.
#[derive(Debug)]
pub struct Tally(Cells);

impl Default for Tally {
    fn default() -> Self {
        Self(Cells::new(3, shards()))
    }
}

impl Tally {
    /// A request was let pass, or not.
    pub fn count(&self, allowed: bool) {
        self.0.own().add(if allowed { ALLOWED } else { REFUSED });
    }

    /// A request that was let pass was refused elsewhere, and nothing was taken for it.
    pub fn returned(&self) {
        self.0.own().add(RETURNED);
    }

    /// Requests that were let pass.
    pub fn allowed(&self) -> u64 {
        self.0.total(ALLOWED).saturating_sub(self.0.total(RETURNED))
    }

    /// Requests that were refused.
    pub fn refused(&self) -> u64 {
        self.0.total(REFUSED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_back_was_not_allowed() {
        let tally = Tally::default();
        for allowed in [true, true, false, true] {
            tally.count(allowed);
        }
        tally.returned();
        assert_eq!((tally.allowed(), tally.refused()), (2, 1));
    }
}
