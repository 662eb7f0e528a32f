//! What one request knows of itself. No maps of strings; rare parts are optional.

use crate::base::{Error, clock};
use crate::gateway::charge::Charge;
use crate::gateway::headers::Added;
use crate::gateway::identity::Identity;
use crate::gateway::message::Rewritten;
use crate::gateway::params::Params;
use crate::gateway::snapshot::{Backend, Endpoint, Gateway, Plan};
use crate::telemetry::metrics::EndpointMeters;
use std::any::Any;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The state of one request, from its head to its access line.
#[derive(Clone, Debug)]
pub struct Ctx {
    /// The snapshot that this request keeps to its end.
    pub gateway: Arc<Gateway>,
    /// What the router found: an endpoint's index, or above them one of our own.
    pub endpoint: Option<usize>,
    /// The decoded path that the parameters point into.
    pub path: Vec<u8>,
    /// Path parameters.
    pub params: Params,
    /// `X-Request-ID`; empty in the krakend dialect.
    pub request_id: String,
    /// The client's address after looking behind trusted proxies.
    pub client: IpAddr,
    /// Whether another region's gateway sent it here: it goes no further.
    pub spilled: bool,
    /// Who calls, once somebody proved it.
    pub identity: Option<Arc<Identity>>,
    /// What the calls of backends are balanced by, by the place of the backend; empty where nothing is.
    pub keys: Vec<u64>,
    /// What limits of the endpoint have taken so far.
    pub charges: Vec<Charge>,
    /// When the head was complete.
    pub started: Instant,
    /// The client's request as a stage rewrote it; takes the place of its head from there on.
    pub rewritten: Option<Box<Rewritten>>,
    /// What stages keep from a request to its answer.
    pub kept: Kept,
    /// Which backend answers, by index.
    pub backend: Option<usize>,
    /// Why the request failed, for the access line.
    pub error: Option<Error>,
    /// Whether `X-Krakend-Completed` is true.
    pub completed: bool,
}

/// What a stage keeps between `before` and `after` of one call. A copy of the context has nothing kept.
#[derive(Default)]
pub struct Kept(Mutex<Vec<KeptOne>>);

/// Whose it is, for which call, and what.
type KeptOne = (usize, usize, Box<dyn Any + Send>);

impl Kept {
    /// Keeps a value of a stage for a call. Both are told by numbers of their own, such as their addresses.
    pub fn put<T: Any + Send>(&self, stage: usize, call: usize, value: T) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push((stage, call, Box::new(value)));
    }

    /// Takes the value of a stage for a call, if it is one of this type.
    pub fn take<T: Any + Send>(&self, stage: usize, call: usize) -> Option<T> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept
            .iter()
            .rposition(|(own, of, _)| *own == stage && *of == call)?;
        let (_, _, value) = kept.swap_remove(at);
        drop(kept);
        value.downcast().ok().map(|value| *value)
    }
}

impl Clone for Kept {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl Ctx {
    /// A request that just came in.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self {
            gateway,
            endpoint: None,
            path: Vec::new(),
            params: Params::default(),
            request_id: String::new(),
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            spilled: false,
            identity: None,
            keys: Vec::new(),
            charges: Vec::new(),
            started: clock::now(),
            rewritten: None,
            kept: Kept::default(),
            backend: None,
            error: None,
            completed: false,
        }
    }

    /// One limit refused what others had let pass: they get back what they took, so that a refusal costs nothing.
    pub fn refund(&mut self) {
        for charge in self.charges.drain(..) {
            charge.of.give_back(charge.key, charge.taken);
        }
    }

    /// The endpoint of this request.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.gateway.endpoints.get(self.endpoint?)
    }

    /// What backends are told of this request.
    pub fn added(&self) -> Added<'_> {
        Added {
            request_id: &self.request_id,
            minted: self.identity.as_ref().map_or(&[], |who| &who.minted),
        }
    }

    /// The path of whatever was found, as configured; empty for nothing.
    pub fn route(&self) -> &str {
        let own = || Some(&*self.gateway.own(self.endpoint?)?.pattern);
        self.endpoint()
            .map(|endpoint| &*endpoint.pattern)
            .or_else(own)
            .unwrap_or("")
    }

    /// Counters of whatever was found.
    pub fn meters(&self) -> &EndpointMeters {
        let own = || Some(&self.gateway.own(self.endpoint?)?.meters);
        let found = self
            .endpoint()
            .map(|endpoint| &endpoint.meters)
            .or_else(own);
        found.unwrap_or(&self.gateway.service.unrouted)
    }

    /// The backend that was chosen.
    pub fn backend(&self) -> Option<&Backend> {
        let index = self.backend?;
        match &self.endpoint()?.plan {
            Plan::Stream(backend) => Some(backend),
            Plan::Compose(compose) => compose.backends.get(index),
        }
    }

    /// How long the request has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
