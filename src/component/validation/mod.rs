//! The family `validation/*`.

pub mod json_schema;
