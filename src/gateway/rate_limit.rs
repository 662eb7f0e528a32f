//! Rate limits as those see them who only look: `/__stats` and `explain`. Nothing here decides about a request, and no
//! caller's name is told.

use serde_json::Value;
use std::sync::Arc;

/// A limit that somebody may look at.
pub trait RateLimit: Send + Sync {
    /// A number that limits have in common which count together in this process: they are one, wherever they stand.
    fn counts(&self) -> usize;

    /// What it allows, in one line.
    fn words(&self) -> String;

    /// What `/__stats` shows of it. It may look at every caller, so it is not for requests.
    fn figures(&self) -> Value;

    /// Where several gateways count together, with a number that tells this store from others.
    fn store(&self) -> Option<(usize, Value)> {
        None
    }
}

/// Limits of one stage.
pub type RateLimits = Vec<Arc<dyn RateLimit>>;
