//! The family `qos/*`.

pub mod circuit_breaker;
