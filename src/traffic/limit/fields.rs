//! The limits of this room in the words that clients know.

use super::rate::Rate;
pub use crate::gateway::rate_fields::{Before, Label, Policies};

const SECOND: u64 = 1_000_000_000;
const DAY_SECONDS: u64 = 86_400;

impl Label {
    /// A bucket under this word of ours.
    pub fn bucket(word: &str, rate: &Rate) -> Self {
        let window = rate.time_to_full().div_ceil(SECOND).max(1);
        Self::new(word, rate.burst(), window)
    }

    /// A day's allowance.
    pub fn daily(limit: u64) -> Self {
        Self::new("day", limit, DAY_SECONDS)
    }
}

/// Nanoseconds as whole seconds for `Retry-After`, at least one.
pub fn retry_after(wait: u64) -> u32 {
    u32::try_from(wait.div_ceil(SECOND))
        .unwrap_or(u32::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_to_wait_is_told_whole_seconds() {
        for (wait, seconds) in [
            (0, 1),
            (1, 1),
            (SECOND, 1),
            (SECOND + 1, 2),
            (u64::MAX, u32::MAX),
        ] {
            let least = retry_after(wait);
            assert!(least == seconds || wait == u64::MAX && least > 1_000_000);
        }
    }
}
