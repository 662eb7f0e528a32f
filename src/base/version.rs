//! Who we say we are, on the wire and on the terminal.

/// Version of this package, `major.minor.patch`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Version of KrakenD CE whose behaviour the krakend dialect reproduces.
pub const KRAKEND_VERSION: &str = "2.13.8";

/// Value of `X-Gateway-Version`: product and `major.minor` (contract section 1).
pub const GATEWAY_VERSION: &str = concat!(
    "hanzo-gateway/",
    env!("CARGO_PKG_VERSION_MAJOR"),
    ".",
    env!("CARGO_PKG_VERSION_MINOR")
);

/// `User-Agent` towards backends in the native dialect.
pub const USER_AGENT: &str = concat!("hanzo-gateway/", env!("CARGO_PKG_VERSION"));

/// `User-Agent` towards backends in the krakend dialect.
pub const KRAKEND_USER_AGENT: &str = "KrakenD Version 2.13.8";

/// Value of `X-Krakend` on answers in the krakend dialect.
pub const KRAKEND_HEADER: &str = "Version 2.13.8";
