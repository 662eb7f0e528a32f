//! Our own family `hanzo/*` (contract section 5).

pub mod auth;
pub mod compat;
pub mod edge;
pub mod health;
pub mod limits;
pub mod ratelimit;
