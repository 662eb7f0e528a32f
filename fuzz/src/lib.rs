//! What must hold for any input, as plain functions that panic when it does not: the targets in
//! `fuzz_targets/` call them, and so can a test on stable Rust.

pub mod document;
pub mod head;
pub mod path;
pub mod shape;
