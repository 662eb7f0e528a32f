//! The family `auth/*`: who may come in, and as whom the gateway calls backends.

pub mod api_keys;
pub mod aws_sigv4;
pub mod basic;
pub mod client_credentials;
pub mod gcp;
pub mod public;
pub mod revoker;
pub mod signer;
pub mod validator;
