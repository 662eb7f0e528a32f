//! The family `backend/*`.

pub mod http;
pub mod http_client;
