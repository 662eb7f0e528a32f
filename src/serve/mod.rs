//! Start and end of the process: listeners, background work, signals, reload, drain.

pub mod admin;
pub mod background;
pub mod boot;
pub mod probes;
pub mod reload;
pub mod signals;
mod stats;
pub mod tasks;

pub use boot::{Boot, Options, RuntimeDir, StartError, start};
pub use reload::Reload;
