//! What a backend's connections have of their own (`backend/http/client`): TLS settings in place of the
//! service's, a proxy in between. Made with the configuration; a connection made with one is never lent to another.

use std::sync::Arc;

use super::proxy::Proxy;
use super::tls::Tls;

/// A backend's own way to connect.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// TLS settings in place of the client's.
    pub tls: Option<Tls>,
    /// The proxy that stands in between.
    pub proxy: Option<Proxy>,
}

impl Transport {
    /// This transport, unless it changes nothing.
    pub fn shared(self) -> Option<Arc<Self>> {
        (self.tls.is_some() || self.proxy.is_some()).then(|| Arc::new(self))
    }
}
