//! The family `backend/*`.

pub mod graphql;
pub mod http;
pub mod http_client;
