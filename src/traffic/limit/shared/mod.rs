//! Limits that several gateways share through a Valkey or Redis. Requests never wait for it: they take from leases
//! ([`lease`]), and a task beside them reports what was taken and fills the leases ([`store`]).
//!
//! While the store is slow, away or has forgotten everything, each gateway goes on with what it knows itself, and what it
//! let pass is reported when the store is back.

pub mod lease;
pub mod link;
pub mod store;

mod work;

#[cfg(test)]
mod sim_tests;

pub use work::Back;
