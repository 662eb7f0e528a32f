//! What whole-gateway tests are told with: `origin → gateway(config) → client → assert`.
//!
//! [`Origin`] is a backend that does exactly what a test says, byte by byte; [`Gateway`] is the real
//! binary with an inline configuration; [`Client`] sends raw bytes and reads what comes. All three
//! are threads and blocking sockets with a deadline on everything, so a test that waits for what
//! never comes fails with words and does not hang. Ports come from [`ports`], never from literals.

#![allow(
    dead_code,
    unused_imports,
    reason = "a vocabulary: not every word is in use every day"
)]

mod client;
mod gateway;
mod message;
mod origin;
pub(crate) mod ports;
mod store;
mod tests;

use std::time::{Duration, Instant};

pub(crate) use client::Client;
pub(crate) use gateway::{Gateway, Output, Process, Setup};
pub(crate) use message::{Answer, Head};
pub(crate) use origin::{Exchange, Feed, Origin, Request, Tap, feed};
pub(crate) use store::Store;

/// How long anything may take before a test gives up. Generous: machines of CI are slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `look` finds what it looks for.
///
/// # Panics
/// After [`PATIENCE`], naming `what` was waited for.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "gave up waiting for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
