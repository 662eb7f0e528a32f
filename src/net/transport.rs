//! What a backend's connections have of their own (`backend/http/client`): TLS settings in place of the
//! service's. Made with the configuration; a connection made with one is never lent to another.

use std::sync::Arc;

use super::tls::Tls;

/// A backend's own way to connect.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// TLS settings in place of the client's.
    pub tls: Option<Tls>,
}

impl Transport {
    /// This transport, unless it changes nothing.
    pub fn shared(self) -> Option<Arc<Self>> {
        self.tls.is_some().then(|| Arc::new(self))
    }
}
