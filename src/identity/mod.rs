//! Who is calling: tokens and the keys that verify them, API keys, introspection. Machinery without settings:
//! components read the file and build their stages of what stands here.

pub mod access;
pub mod answers;
pub mod aws;
pub mod bearer;
pub mod chain;
pub mod claims;
pub mod collapse;
pub mod digests;
mod foretell;
pub mod gob;
pub mod google;
pub mod introspection;
pub mod jose;
pub mod jwks;
pub mod keys;
pub mod lease;
pub mod memory;
pub mod mint;
pub mod passwords;
pub mod revoked;
pub mod rules;
pub mod static_keys;
pub mod verifier;
pub mod vouching;

pub use access::{Access, Demand, Match};
pub use bearer::Bearer;
pub use claims::ClaimPath;
pub use memory::{Bounds, Digest, Memory, digest_of};
pub use mint::{Absent, Mint, MintRule};
pub use rules::Rules;
pub use verifier::{Found, Keys, Naming, SourceKeys, Verifier, VerifierOptions};
