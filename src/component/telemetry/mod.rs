//! The family `telemetry/*`.

pub mod logging;
