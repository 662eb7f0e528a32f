//! The family `modifier/*`.

pub mod martian;
