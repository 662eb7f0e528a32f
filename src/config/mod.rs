//! The document as written: JSON, YAML or TOML with positions, environment overrides, weak typing.

pub mod document;
pub mod source;

pub use document::{AsyncAgent, Backend, Document, Endpoint, Extra, Namespace, Service};
