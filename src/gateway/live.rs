//! The running snapshot: requests pin it, a reload publishes the next one. Nobody else sees the swap.

use crate::gateway::snapshot::Gateway;
use arc_swap::ArcSwap;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The one place where a reload becomes visible.
pub struct Live {
    current: ArcSwap<Gateway>,
    changed: Notify,
}

impl Live {
    /// Starts with a snapshot.
    pub fn new(first: Gateway) -> Self {
        Self {
            current: ArcSwap::from_pointee(first),
            changed: Notify::new(),
        }
    }

    /// The snapshot of this moment; a request keeps it to its end.
    pub fn pin(&self) -> Arc<Gateway> {
        self.current.load_full()
    }

    /// Looks something up in the snapshot of this moment, without keeping it.
    pub fn read<T>(&self, look: impl FnOnce(&Gateway) -> T) -> T {
        look(&self.current.load())
    }

    /// Makes the next snapshot visible to requests that start from now on.
    pub fn publish(&self, next: Gateway) {
        self.current.store(Arc::new(next));
        self.changed.notify_waiters();
    }

    /// Waits for the next snapshot; one that is published before the first poll or `enable` is missed.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}
