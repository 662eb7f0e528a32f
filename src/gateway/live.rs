//! The running snapshot: requests pin it, a reload publishes the next one. Nobody else sees the swap.

use crate::gateway::snapshot::Gateway;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// The one place where a reload becomes visible.
pub struct Live(ArcSwap<Gateway>);

impl Live {
    /// Starts with a snapshot.
    pub fn new(first: Gateway) -> Self {
        Self(ArcSwap::from_pointee(first))
    }

    /// The snapshot of this moment; a request keeps it to its end.
    pub fn pin(&self) -> Arc<Gateway> {
        self.0.load_full()
    }

    /// Looks something up in the snapshot of this moment, without keeping it.
    pub fn read<T>(&self, look: impl FnOnce(&Gateway) -> T) -> T {
        look(&self.0.load())
    }

    /// Makes the next snapshot visible to requests that start from now on.
    pub fn publish(&self, next: Gateway) {
        self.0.store(Arc::new(next));
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}
