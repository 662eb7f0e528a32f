//! The family `validation/*`.

pub mod cel;
pub mod json_schema;
