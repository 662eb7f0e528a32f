//! Ports that nobody listens on, each given out once in the life of the test process.
//!
//! They lie below the range from which systems take ports for outgoing connections and for listeners
//! that do not care: between the choice here and the bind in the gateway nobody else can be given them,
//! and a client that tries too early cannot meet itself.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Linux begins at 32768 with its own, others at 49152.
const OURS: Range<u16> = 12_000..32_000;

/// Ports of this process so far.
static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A port that is free on all interfaces and that no other test of this process gets. At random, because
/// other test processes may run beside this one.
pub(crate) fn free() -> u16 {
    loop {
        let port = fastrand::u16(OURS);
        let fresh = GIVEN
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(port);
        if fresh && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}
