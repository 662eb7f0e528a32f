//! The family `modifier/*`.

mod lua;
pub mod lua_backend;
pub mod lua_endpoint;
pub mod lua_proxy;
pub mod martian;

pub use lua::{HeadScript, PipeScript};
