//! Sinks only: log lines and metrics. What to say is decided elsewhere.

pub mod access;
pub mod cells;
pub mod log;
pub mod metrics;
pub mod redact;
mod series;
pub mod sink;
