//! The document as written: JSON, YAML or TOML with positions, environment overrides, weak typing.
//!
//! `load` goes from text (`json`, `yaml`, `toml`, each with a map of positions in `source`) over
//! overrides (`env`) to the typed document (`decode`, `endpoint`, `agent`, `tls`), which is read
//! through `settings`. `path`, `host`, `header`, `duration`, `weak` and `namespaces` hold the rules.

mod agent;
mod decode;
pub mod document;
pub mod duration;
mod endpoint;
mod env;
pub mod header;
pub mod host;
mod json;
pub mod keys;
pub mod load;
pub mod namespaces;
pub mod path;
pub mod settings;
pub mod source;
pub mod template;
#[cfg(test)]
mod tests;
pub mod tls;
mod toml;
pub mod weak;
mod yaml;

pub use document::{AsyncAgent, Backend, Document, Endpoint, Extra, Namespace, Service};
pub use load::{Format, LoadOptions, load, parse};
pub use settings::Settings;
pub use source::Source;
