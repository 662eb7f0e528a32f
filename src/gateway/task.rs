//! Work beside the requests that a configuration asks for: fetching keys, probing, filling leases. `serve` runs each
//! task of the live snapshot once; a task that a reload drops is ended where it waits.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What a task does until it is dropped.
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something that runs as long as a snapshot holds it. Snapshots that hold the same object share one run.
pub trait Task: Send + Sync {
    /// The word for the log.
    fn name(&self) -> &'static str;

    /// Runs for ever, or until there is nothing left to do. Dropped at any wait, when no snapshot holds it any
    /// more and at shutdown.
    fn run(self: Arc<Self>) -> Running;
}
