//! The compiled configuration: immutable, everything ready that can be made before a request comes.

use crate::base::{Dialect, ErrorShape};
use crate::body::flatmap::Flatmap;
use crate::body::{Decoder, Object, Output, Shape};
use crate::gateway::affinity::Affinity;
use crate::gateway::client_ip::ClientIpRules;
use crate::gateway::gate::Gates;
use crate::gateway::headers::{ForwardRules, StripSet};
use crate::gateway::health::{Health, ProbeOptions};
use crate::gateway::identity::ClaimStage;
use crate::gateway::lane::{Lane, Slow};
use crate::gateway::limits::Limits;
use crate::gateway::pattern::Pattern;
use crate::gateway::query::QueryFilter;
use crate::gateway::rate_limit::RateLimits;
use crate::gateway::retry::Retry;
use crate::gateway::router::Router;
use crate::gateway::split::Split;
use crate::gateway::stage::{CallStage, DoorStage, HeadStage, PipeStage, SealStage};
use crate::gateway::task::Task;
use crate::net::balance::Regions;
use crate::net::{Client, Pool, Resolver, Scheme, Srv, Target, Transport, Tried};
use crate::telemetry::metrics::{BackendMeters, EndpointMeters};
use http::{HeaderName, HeaderValue, Method};
use prometheus::IntCounter;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// One whole configuration, ready to run.
#[derive(Debug)]
pub struct Gateway {
    /// Whose words are spoken.
    pub dialect: Dialect,
    /// Finds the endpoint of a request.
    pub router: Router,
    /// Endpoints by index.
    pub endpoints: Box<[Endpoint]>,
    /// What the router's identifiers at and above `endpoints.len()` stand for.
    pub builtins: Box<[Own]>,
    /// Rules of the whole service.
    pub service: Service,
    /// Connections to backends.
    pub client: Arc<Client>,
    /// Names of hosts that only a redirect tells.
    pub resolver: Resolver,
    /// State of the backends.
    pub health: Arc<Health>,
    /// Work beside the requests.
    pub tasks: Tasks,
}

/// Work that a snapshot asks for.
#[derive(Clone, Default)]
pub struct Tasks(pub Vec<Arc<dyn Task>>);

/// Rules of the whole service.
pub struct Service {
    /// Stages that see every request, whatever the router finds for it.
    pub door: Box<[Box<dyn DoorStage>]>,
    /// Stages for every endpoint, for what no endpoint takes, and for our own endpoints but health.
    pub head: Box<[Box<dyn HeadStage>]>,
    /// Who has a say about the claims of verified tokens.
    pub claims: Box<[Box<dyn ClaimStage>]>,
    /// Fields of clients that are never believed.
    pub strip: Arc<StripSet>,
    /// How errors look.
    pub errors: ErrorShape,
    /// Limits before an endpoint is known.
    pub limits: Limits,
    /// Where the client's address comes from.
    pub client_ip: ClientIpRules,
    /// Client keep-alive idle time.
    pub idle_timeout: Duration,
    /// Longest pause between two chunks of a streamed answer.
    pub stream_idle: Duration,
    /// Whether there is a fast lane; each endpoint knows whether it may take it.
    pub lane: Lane,
    /// Double slashes are cleaned before matching.
    pub remove_extra_slash: bool,
    /// Parameters are not checked.
    pub disable_path_decoding: bool,
    /// Access lines are written.
    pub access_log: bool,
    /// Paths without an access line.
    pub skip_log_paths: Box<[Box<[u8]>]>,
    /// Where this gateway is, if it is anywhere.
    pub region: Option<Box<str>>,
    /// Whether some backend has hosts in regions.
    pub regional: bool,
    /// Certificates of backends are not verified.
    pub insecure: bool,
    /// `X-Krakend` or `X-Gateway-Version`, if answers carry one.
    pub version_header: Option<(HeaderName, HeaderValue)>,
    /// Counts requests that no endpoint took.
    pub unrouted: EndpointMeters,
}

/// An endpoint of our own.
#[derive(Debug)]
pub struct Own {
    /// What it answers.
    pub builtin: Builtin,
    /// Its path.
    pub pattern: Box<str>,
    /// Counters.
    pub meters: EndpointMeters,
}

/// Answers that the gateway makes without a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// Native `/health`: the process runs.
    Live,
    /// Native `/__health`: the critical backends are up.
    Ready,
    /// KrakenD's `/__health`.
    KrakendHealth,
    /// `/__debug/*`.
    Debug,
    /// `/__echo/*`.
    Echo,
}

impl Builtin {
    /// Whether it is there to be probed: the service's stages leave it alone, as in KrakenD.
    pub const fn is_health(self) -> bool {
        matches!(self, Self::Live | Self::Ready | Self::KrakendHealth)
    }
}

/// One endpoint.
pub struct Endpoint {
    /// Its method.
    pub method: Method,
    /// Its path as written.
    pub pattern: Box<str>,
    /// Where it stands in the document.
    pub pointer: Box<str>,
    /// The keys of its parameters, in the order of its path.
    pub params: Box<[Box<str>]>,
    /// Stages in place of the service's of this kind.
    pub door: Box<[Box<dyn DoorStage>]>,
    /// Stages of this endpoint, after the service's.
    pub head: Box<[Box<dyn HeadStage>]>,
    /// Who has a say about the claims of verified tokens, after the service's.
    pub claims: Box<[Box<dyn ClaimStage>]>,
    /// Whether some of the stages want the request's body.
    pub reads_body: bool,
    /// Whether calls to some backends are balanced by a key.
    pub keyed: bool,
    /// Whether a path leads to it; the parts of a split are reached through the first of them.
    pub routed: bool,
    /// How its requests are shared out, itself included.
    pub split: Option<Box<Split>>,
    /// How it is answered.
    pub plan: Plan,
    /// Whether its requests may take the fast lane, or why none of them may.
    pub lane: Result<(), Slow>,
    /// Longest time to the answer.
    pub timeout: Duration,
    /// Limits of this endpoint.
    pub limits: Limits,
    /// `Cache-Control` of complete answers.
    pub cache_control: Option<HeaderValue>,
    /// Limits of its backends, of which its answers tell.
    pub told: RateLimits,
    /// Counters.
    pub meters: EndpointMeters,
}

/// How an endpoint is answered.
#[derive(Debug)]
pub enum Plan {
    /// The backend's answer passes through.
    Stream(Box<Backend>),
    /// Answers are decoded, merged and rendered.
    Compose(Compose),
}

/// A composed answer.
#[derive(Debug)]
pub struct Compose {
    /// The backends, in file order.
    pub backends: Box<[Backend]>,
    /// In which order they are called.
    pub merging: Merging,
    /// How the merged data is written.
    pub output: Output,
    /// Longest wait for the parts: 85 % of the timeout when there are several.
    pub merge_timeout: Duration,
    /// `proxy.flatmap_filter`, over the merged data.
    pub flatmap: Option<Flatmap>,
    /// `proxy.static`.
    pub statics: Option<Statics>,
    /// Stages around all of it, if there are any.
    pub staged: Option<Box<Staged>>,
    /// Backends that are called beside, if there are any.
    pub shadow: Option<Box<Shadow>>,
    /// Who has the last word, if there is somebody.
    pub seal: Option<Box<dyn SealStage>>,
}

/// In which order the backends of a composed answer are called.
#[derive(Debug)]
pub enum Merging {
    /// All at once.
    Parallel,
    /// One after the other; for each backend what later ones want of its answer.
    Sequential(Box<[Box<[Propagated]>]>),
}

/// A value of one backend's answer that becomes a parameter for later ones (reference/krakend-core section 9.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Propagated {
    /// The parameter's key: `Resp0_a.b`.
    pub key: Box<str>,
    /// Path into the data; `None` for the whole body as it is.
    pub field: Option<Box<str>>,
}

/// Stages around a pipe, and what makes the request that they see.
pub struct Staged {
    /// The stages.
    pub stages: Box<[Box<dyn PipeStage>]>,
    /// Which of the client's fields they see: the endpoint's filter.
    pub forward: ForwardRules,
    /// Which of the client's query parameters they see: the endpoint's filter.
    pub query: QueryFilter,
}

/// Backends that are called beside the others, and whose answers nobody waits for.
#[derive(Debug)]
pub struct Shadow {
    /// They alone.
    pub plan: Compose,
    /// Longest time for them, however long the client's request takes.
    pub timeout: Duration,
    /// Bounds how many such calls are under way; what comes beyond is dropped.
    pub room: Arc<Semaphore>,
}

/// Data that an endpoint adds to its answer.
#[derive(Clone, Debug)]
pub struct Statics {
    /// When.
    pub strategy: Strategy,
    /// Top-level keys that overwrite the answer's.
    pub data: Object,
}

/// When static data is added (reference/krakend-core section 9.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Whatever happened.
    #[default]
    Always,
    /// Nothing failed.
    Success,
    /// Something failed.
    Errored,
    /// Nothing failed and the answer is whole.
    Complete,
    /// The answer is not whole.
    Incomplete,
}

/// One backend of an endpoint.
pub struct Backend {
    /// Name for metrics and health: the first host with its port.
    pub service: Arc<str>,
    /// Where it stands in the document.
    pub pointer: Box<str>,
    /// Its hosts.
    pub hosts: Hosts,
    /// What its calls are balanced by, where the rule asks for a key.
    pub affinity: Option<Affinity>,
    /// How its calls are repeated.
    pub retry: Option<Retry>,
    /// How its hosts are probed, if they are.
    pub probe: Option<ProbeOptions>,
    /// Path and query with their slots.
    pub pattern: Pattern,
    /// Method of the calls.
    pub method: Method,
    /// Its place in the endpoint's list.
    pub index: usize,
    /// Which fields go to it: the endpoint's filter and its own.
    pub forward: ForwardRules,
    /// Which query parameters go to it: the endpoint's filter and its own.
    pub query: QueryFilter,
    /// Its own filter alone, for queries that the endpoint's has passed already.
    pub own_query: QueryFilter,
    /// How its body is read.
    pub decoder: Decoder,
    /// Its body is an array.
    pub is_collection: bool,
    /// What is kept of the data and where it goes.
    pub shape: Shape,
    /// `proxy.flatmap_filter`, in place of the shape's filters.
    pub flatmap: Option<Flatmap>,
    /// What becomes of statuses other than 200 and 201.
    pub errors: StatusRule,
    /// Copies of each call that race; 1 for none.
    pub concurrent_calls: usize,
    /// Longest wait for one call: 75 % of the timeout when copies race.
    pub call_timeout: Duration,
    /// Redirects are followed here and not by the client.
    pub follow_redirects: bool,
    /// A body is kept so that a 307 or 308 can be followed.
    pub send_body_on_redirect: bool,
    /// Its own way to connect, wherever its requests go: to its hosts, to those that they redirect to, and
    /// to those that a stage chooses.
    pub transport: Option<Arc<Transport>>,
    /// The body is inflated when the backend packed it because we asked.
    pub inflate: bool,
    /// Pingora's own path streams: HTTP/2 in cleartext, where gRPC wants its trailers.
    pub platform_streams: bool,
    /// What decides whether a call is made at all, outermost first.
    pub gates: Box<Gates>,
    /// Stages around each call.
    pub call: Box<[Box<dyn CallStage>]>,
    /// Stages around each call that see its request and its data.
    pub pipe: Box<[Box<dyn PipeStage>]>,
    /// Stages around each exchange on the wire.
    pub wire: Box<[Box<dyn PipeStage>]>,
    /// Counters.
    pub meters: BackendMeters,
}

/// Where a backend's calls go.
#[derive(Debug)]
pub enum Hosts {
    /// The list of the file.
    Fixed(Pool),
    /// Lists of several regions.
    Regional(Regional),
    /// SRV records.
    Srv(Arc<Srv>),
}

/// Hosts of several regions that stand in for each other.
#[derive(Debug)]
pub struct Regional {
    /// The regions.
    pub regions: Arc<Regions>,
    /// Counts the calls to each of them, in their order.
    pub calls: Box<[IntCounter]>,
}

impl Hosts {
    /// Whether there are others than those that were tried. Of SRV records it is not known, which counts as yes.
    pub fn has_others(&self, tried: Tried) -> bool {
        match self {
            Self::Fixed(pool) => pool.seats().len() > tried.count() as usize,
            Self::Regional(Regional { regions, .. }) => {
                let hosts = regions.pools().map(|(_, pool)| pool.seats().len());
                hosts.sum::<usize>() > tried.count() as usize
            }
            Self::Srv(_) => true,
        }
    }
}

/// What becomes of an answer whose status is neither 200 nor 201.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusRule {
    /// An error without the backend's status.
    Hide,
    /// Data under `error_<name>`.
    Details(Box<str>),
    /// An error with the backend's status and body.
    Code,
}

impl Compose {
    /// Every backend, those of shadows behind the others.
    pub fn all(&self) -> impl Iterator<Item = &Backend> {
        let beside = self.shadow.iter().flat_map(|s| &s.plan.backends);
        self.backends.iter().chain(beside)
    }
}

impl Endpoint {
    /// Every backend, those of shadows behind the others.
    pub fn backends(&self) -> impl Iterator<Item = &Backend> {
        let (streamed, composed) = match &self.plan {
            Plan::Stream(backend) => (Some(&**backend), None),
            Plan::Compose(compose) => (None, Some(compose.all())),
        };
        streamed.into_iter().chain(composed.into_iter().flatten())
    }

    /// Whether its requests may take the fast lane as things stand: a TLS handshake may have told since the
    /// file was compiled.
    ///
    /// # Errors
    /// Why not.
    pub fn lane_now(&self) -> Result<(), Slow> {
        match &self.plan {
            Plan::Stream(backend) if self.lane.is_ok() && !backend.hosts.speak_http1() => {
                Err(Slow::Http2Backend)
            }
            Plan::Stream(_) | Plan::Compose(_) => self.lane,
        }
    }
}

impl Hosts {
    /// Whether every host is surely spoken to in HTTP/1.1.
    pub fn speak_http1(&self) -> bool {
        match self {
            Self::Srv(srv) => srv.scheme() == Scheme::Http,
            Self::Fixed(_) | Self::Regional(_) => self.all(Target::speaks_http1),
        }
    }

    /// Whether something holds for every host of the file; of SRV records it is not known.
    pub fn all(&self, holds: impl Fn(&Target) -> bool) -> bool {
        match self {
            Self::Fixed(pool) => pool.targets().all(holds),
            Self::Regional(regional) => {
                let mut pools = regional.regions.pools();
                pools.all(|(_, pool)| pool.targets().all(&holds))
            }
            Self::Srv(_) => true,
        }
    }
}

impl Gateway {
    /// The endpoint of our own that the router found, if it is none of the file.
    pub fn own(&self, id: usize) -> Option<&Own> {
        self.builtins.get(id.checked_sub(self.endpoints.len())?)
    }

    /// A host that the file does not name, from a redirect.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn target(&self, origin: &str) -> Result<Target, String> {
        Target::parse(origin, &self.resolver)
    }

    /// The same for a request of a backend's, connected to as the backend's own hosts are.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn target_of(&self, backend: &Backend, origin: &str) -> Result<Target, String> {
        let target = self.target(origin)?;
        Ok(target.with_transport(backend.transport.as_ref()))
    }

    /// Every backend of every endpoint.
    pub fn backends(&self) -> impl Iterator<Item = &Backend> {
        self.endpoints.iter().flat_map(Endpoint::backends)
    }
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|task| task.name()))
            .finish()
    }
}

macro_rules! debug_by_name {
    ($($type:ident $field:ident),*) => {$(
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type))
                    .field(stringify!($field), &self.$field)
                    .finish_non_exhaustive()
            }
        }
    )*};
}

debug_by_name!(Service limits, Endpoint pattern, Backend service, Staged query);
