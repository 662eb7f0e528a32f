//! What must hold for any input, as plain functions that panic when it does not: the targets in
//! `fuzz_targets/` call them, and so can a test on stable Rust.

pub mod answer;
pub mod cel;
pub mod document;
pub mod framing;
pub mod head;
pub mod lanes;
pub mod path;
pub mod plan;
mod planned;
pub mod shape;
pub mod template;

/// The makers and readers of hostile bytes that the tests of whole gateways have.
#[path = "../../tests/wire/mod.rs"]
#[allow(unused_imports, reason = "a vocabulary")]
mod wire;
