//! Sinks only: log lines and metrics. What to say is decided elsewhere.

pub mod access;
pub mod log;
pub mod metrics;
pub mod redact;
pub mod sink;
