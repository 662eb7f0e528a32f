//! Rate limits as those see them who only look: answers, `/__stats` and `explain`. Nothing here decides about a request,
//! and no caller's name is told.

use crate::gateway::stage::Edits;
use serde_json::Value;
use std::sync::Arc;

/// A limit that somebody may look at.
pub trait RateLimit: Send + Sync {
    /// A number that limits have in common which count together in this process: they are one, wherever they stand.
    fn counts(&self) -> usize;

    /// What it allows, in one line.
    fn words(&self) -> String;

    /// Records for a client how it stands, where that is the same for everybody; `refused` says that a limit of these
    /// refused the request.
    fn tell(&self, _edits: &mut Edits, _refused: bool) {}

    /// What `/__stats` shows of it. It may look at every caller, so it is not for requests.
    fn figures(&self) -> Value;

    /// Where several gateways count together, with a number that tells this store from others.
    fn store(&self) -> Option<(usize, Value)> {
        None
    }
}

/// Limits of one stage.
pub type RateLimits = Vec<Arc<dyn RateLimit>>;
