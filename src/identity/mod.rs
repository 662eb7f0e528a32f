//! Who is calling: tokens and the keys that verify them, API keys, introspection. Machinery without settings:
//! components read the file and build their stages of what stands here.

pub mod gob;
pub mod jose;
pub mod jwks;
pub mod lease;
pub mod revoked;
