//! The outside world: a pooled HTTP client for backends, name resolution and balancing.
//!
//! The parts stand alone so that another lane may use them without the client: [`h1`] holds the head
//! writer, the answer parser and the framing state machine; [`pool`] the idle connections of this
//! thread; [`dns`] the addresses. [`client`] puts them together for composed answers.
//!
//! Different from KrakenD: answers whose framing is ambiguous are refused, HTTP/2 towards backends is
//! possible, names are cached and refreshed in the background. Redirects, gzip and header selection
//! are not done here.

pub mod balance;
pub mod certificate;
pub mod client;
pub mod connect;
pub mod deadline;
pub mod dns;
pub mod error;
mod exchange;
pub mod fetch;
pub mod h1;
mod h2;
pub mod incoming;
pub mod interim;
pub mod io;
mod pins;
pub mod pool;
pub mod proxy;
mod refresh;
pub mod server_tls;
pub mod srv;
pub mod tls;
pub mod transport;
pub mod url;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "servers of a test end with its runtime"
)]
mod client_tests;
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "servers of a test end with its runtime"
)]
mod tls_tests;

pub use balance::{Balance, Lent, Pool, Tried};
pub use certificate::Certificate;
pub use client::{BodySource, Client, ClientOptions, OutBody, Outgoing};
pub use deadline::Deadline;
pub use dns::{Host, Resolver};
pub use error::NetError;
pub use incoming::Incoming;
pub use interim::Interims;
pub use proxy::{Proxy, ProxyAddress};
pub use srv::Srv;
pub use tls::{Tls, TlsOptions, TlsVersion};
pub use transport::Transport;
pub use url::{Authority, Scheme, Target};
