//! What a limit has taken for a request, and puts back where another limit refuses that request.

use std::fmt::Debug;
use std::sync::Arc;

/// A limit that can put back what it took.
pub trait Refund: Send + Sync + Debug {
    /// Puts back what it took from the caller of this key.
    fn give_back(&self, key: u64, taken: Taken);
}

/// What was taken of a limit, in its own units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Of its bucket.
    pub units: u64,
    /// Of the day.
    pub parts: u64,
}

/// What one limit has taken.
#[derive(Clone, Debug)]
pub struct Charge {
    /// The limit.
    pub of: Arc<dyn Refund>,
    /// Whose share it is.
    pub key: u64,
    /// How much.
    pub taken: Taken,
}
