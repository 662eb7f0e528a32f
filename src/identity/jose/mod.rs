//! JSON Object Signing: tokens read, keys read, signatures checked and made. Pure functions over bytes; where keys
//! come from is [`super::jwks`]'s business, what a token must say is that of who asks.
//!
//! All thirteen algorithms go one way, through AWS-LC: [`Key`] holds public keys parsed beforehand, one for each
//! algorithm that the key may be used with, so that a check parses nothing and no algorithm can be turned on a key
//! of another kind. Differs from KrakenD in the native dialect: text is read exactly, one bad key is passed over
//! instead of making its whole set useless, and what a key says about its use holds.

mod algorithm;
mod claims;
mod encoding;
mod key;
mod malformed;
mod public;
mod roca;
mod set;
mod signer;
mod strict;
mod token;
mod x5;

#[cfg(test)]
mod tests;

pub use algorithm::Algorithm;
pub use claims::numeric_date;
pub use key::{Key, verify};
pub use malformed::Malformed;
pub use set::{KeyIds, KeySet, MAX_KEYS, MAX_SET, SetError, Skipped};
pub use signer::{SignError, Signer};
pub use token::{MAX_TOKEN, ParseOptions, Token};
