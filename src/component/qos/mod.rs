//! The family `qos/*`: limits and breakers.

pub mod circuit_breaker;
pub mod ratelimit;
