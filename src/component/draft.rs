//! What components fill in while a document is compiled; `compile` makes the snapshot of it. And what they find there:
//! the process around them, and what components of the service have for those of its endpoints.

use crate::body::flatmap::Flatmap;
use crate::gateway::affinity::Affinity;
use crate::gateway::health::{HealthOptions, ProbeOptions};
use crate::gateway::identity::ClaimStage;
use crate::gateway::kept::Kept;
use crate::gateway::lane::Lane;
use crate::gateway::limits::Limits;
use crate::gateway::snapshot::Statics;
use crate::gateway::split::{Sticky, When};
use crate::gateway::stage::{CallStage, DoorStage, HeadStage, PipeStage, SealStage};
use crate::gateway::task::Task;
use crate::net::balance::{Outliers, Thresholds};
use crate::net::{Balance, Client, ClientOptions, ProxyAddress, Resolver, Tls};
use crate::telemetry::log::LogOptions;
use crate::telemetry::metrics::Metrics;
use crate::traffic::{breaker, overload};
use bytes::Bytes;
use http::HeaderName;
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The process around a compilation, for components that keep state or ask services of their own. A compilation
/// itself starts nothing and fetches nothing: that is for tasks and requests.
#[derive(Clone, Debug)]
pub struct Env {
    /// State that outlives a reload.
    pub kept: Arc<Kept>,
    /// Names of hosts.
    pub resolver: Resolver,
    /// The client for services that the gateway asks: the one of the service's backends.
    pub client: Arc<Client>,
    /// Metric families.
    pub metrics: Arc<Metrics>,
}

impl Default for Env {
    #[expect(clippy::expect_used, reason = "metric names are unique, tests hold it")]
    fn default() -> Self {
        Self {
            kept: Arc::default(),
            resolver: Resolver::new(),
            client: Arc::new(Client::new(ClientOptions::default())),
            metrics: Metrics::new().expect("each metric has a name of its own"),
        }
    }
}

/// What components of the service have for those of its endpoints and backends, by type.
#[derive(Clone, Default)]
pub struct Offers(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Offers {
    /// Offers something; the last one of a type counts.
    pub fn put<T: Any + Send + Sync>(&mut self, offer: Arc<T>) {
        self.0.insert(TypeId::of::<T>(), offer);
    }

    /// What is offered of this type.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(self.0.get(&TypeId::of::<T>())?).downcast().ok()
    }
}

/// Which endpoint is being compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// Its method.
    pub method: String,
    /// Its path as written.
    pub path: String,
    /// Where it stands in the document.
    pub pointer: String,
}

/// The service being compiled.
#[derive(Default)]
pub struct ServiceDraft {
    /// The process around.
    pub env: Env,
    /// What is there for endpoints and backends.
    pub offers: Offers,
    /// Work beside the requests.
    pub tasks: Vec<Arc<dyn Task>>,
    /// Who has a say about the claims of verified tokens.
    pub claims: Vec<Box<dyn ClaimStage>>,
    /// Fields that backends are told in who calls: no client's are believed anywhere.
    pub minted: Vec<HeaderName>,
    /// `router`.
    pub router: RouterFlags,
    /// `hanzo/limits`, on top of the dialect's defaults.
    pub limits: Limits,
    /// `hanzo/health`.
    pub health: HealthOptions,
    /// `hanzo/edge`.
    pub lane: Lane,
    /// `hanzo/regions`.
    pub regions: Option<ServiceRegions>,
    /// `telemetry/logging`, when it is there.
    pub logging: Option<LogOptions>,
    /// Stages that see every request, whatever the router finds for it.
    pub door: Vec<Box<dyn DoorStage>>,
    /// Stages for everything but health.
    pub head: Vec<Box<dyn HeadStage>>,
}

/// An endpoint being compiled.
#[derive(Default)]
pub struct EndpointDraft {
    /// The process around.
    pub env: Env,
    /// What the service's components have for endpoints.
    pub offers: Offers,
    /// Which endpoint it is.
    pub at: At,
    /// Work beside the requests.
    pub tasks: Vec<Arc<dyn Task>>,
    /// Who has a say about the claims of verified tokens.
    pub claims: Vec<Box<dyn ClaimStage>>,
    /// `auth/public`: whoever locks all endpoints leaves this one open.
    pub public: bool,
    /// Whether tokens are verified here, so that somebody asks those.
    pub authenticates: bool,
    /// Fields that backends are told in who calls: no client's are believed anywhere.
    pub minted: Vec<HeaderName>,
    /// The service's limits with the endpoint's on top.
    pub limits: Limits,
    /// Stages in place of the service's of this kind.
    pub door: Vec<Box<dyn DoorStage>>,
    /// Stages of this endpoint.
    pub head: Vec<Box<dyn HeadStage>>,
    /// Stages around this endpoint's pipe.
    pub pipe: Vec<Box<dyn PipeStage>>,
    /// Parameters of the query that no backend gets: they are secrets.
    pub hidden_query: Vec<String>,
    /// Who has the last word about the answer.
    pub seal: Option<Box<dyn SealStage>>,
    /// `hanzo/split`.
    pub split: Option<Splitting>,
    /// `proxy.static`.
    pub statics: Option<Statics>,
    /// `proxy.flatmap_filter`.
    pub flatmap: Option<Flatmap>,
    /// `proxy.sequential`: what is passed on by name beside the slots of the patterns.
    pub sequential: Option<Vec<String>>,
}

/// A backend being compiled.
#[derive(Default)]
pub struct BackendDraft {
    /// The process around.
    pub env: Env,
    /// What the service's components have for backends.
    pub offers: Offers,
    /// Which endpoint it belongs to.
    pub at: At,
    /// Work beside the requests.
    pub tasks: Vec<Arc<dyn Task>>,
    /// What becomes of statuses other than 200 and 201.
    pub errors: ErrorMode,
    /// Cleartext HTTP/2 with prior knowledge.
    pub http2: bool,
    /// Bodies are kept so that a 307 or 308 can be followed.
    pub send_body_on_redirect: bool,
    /// Redirects are passed on, or judged as what they are.
    pub no_redirect: bool,
    /// TLS settings of its own, in place of the service's.
    pub tls: Option<Tls>,
    /// The proxy in front of it.
    pub proxy: Option<ProxyAddress>,
    /// `proxy.flatmap_filter`.
    pub flatmap: Option<Flatmap>,
    /// `proxy.shadow`: a time limit of its own, or the endpoint's.
    pub shadow: Option<Option<Duration>>,
    /// `hanzo/balance`.
    pub balance: Option<Balancing>,
    /// `hanzo/retry`.
    pub retry: Option<Retrying>,
    /// `hanzo/regions`.
    pub regions: Option<BackendRegions>,
    /// `hanzo/overload`: how many calls at the same time.
    pub concurrency: Option<overload::Bounds>,
    /// Circuit breakers, outermost first; what they are the breakers of is not known yet.
    pub breakers: Vec<breaker::Settings>,
    /// Stages around each call.
    pub call: Vec<Box<dyn CallStage>>,
    /// Stages around each call that see its request and its decoded data; inside `call`.
    pub pipe: Vec<Box<dyn PipeStage>>,
    /// Stages around each exchange on the wire; innermost.
    pub wire: Vec<Box<dyn PipeStage>>,
}

/// `hanzo/balance`: how hosts are chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balancing {
    /// The rule; KrakenD's without one.
    pub rule: Option<Balance>,
    /// One weight for each host, in their order; equal without any.
    pub weights: Vec<u32>,
    /// Where the weights stand in the document.
    pub weights_at: String,
    /// What calls are balanced by.
    pub affinity: Option<Affinity>,
    /// Whether all hosts are tried when none is good.
    pub try_all: bool,
    /// Over how long a host that is back gets its share again.
    pub slow_start: Duration,
    /// When calls alone take a host out.
    pub outliers: Outliers,
    /// How its hosts are probed, in place of the service's way.
    pub probe: Option<ProbeOptions>,
}

impl Balancing {
    /// What holds where a file says nothing: KrakenD's rule, without bad hosts.
    pub fn native() -> Self {
        Self {
            slow_start: Duration::from_secs(10),
            outliers: Outliers::default(),
            ..Self::krakend()
        }
    }

    /// KrakenD's rule over all hosts.
    pub const fn krakend() -> Self {
        Self {
            rule: None,
            weights: Vec::new(),
            weights_at: String::new(),
            affinity: None,
            try_all: true,
            slow_start: Duration::ZERO,
            outliers: Outliers::OFF,
            probe: None,
        }
    }
}

/// `hanzo/regions` of the service.
#[derive(Clone, Debug)]
pub struct ServiceRegions {
    /// Where a gateway is that is not told otherwise, and hosts of which nothing else is said.
    pub region: Option<String>,
    /// For each other region, what stands there for a host or domain.
    pub peers: Vec<(String, Elsewhere)>,
    /// Who stands in for whom.
    pub failover: Option<Failover>,
    /// When.
    pub thresholds: WrittenThresholds,
    /// Where it stands in the document.
    pub pointer: String,
}

/// `hanzo/regions` of a backend.
#[derive(Clone, Debug)]
pub struct BackendRegions {
    /// Where its hosts are.
    pub region: Option<String>,
    /// Its hosts in other regions; what the service says without.
    pub peers: Option<Elsewhere>,
    /// Who stands in for whom, in place of what the service says.
    pub failover: Option<Failover>,
    /// When; what is not written is the service's.
    pub thresholds: WrittenThresholds,
    /// Where it stands in the document.
    pub pointer: String,
}

/// A text of a list, and where it stands in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The text.
    pub text: String,
    /// Its place.
    pub pointer: String,
}

/// What is listed under each key.
pub type Elsewhere = Vec<(String, Vec<Listed>)>;

/// Which regions stand in for which.
#[derive(Clone, Debug)]
pub enum Failover {
    /// One order for all.
    List(Vec<Listed>),
    /// One for each region.
    Each(Vec<(String, Vec<Listed>)>),
}

/// Thresholds of regions as far as they are written.
#[derive(Clone, Debug, Default)]
pub struct WrittenThresholds {
    /// The part of a region's hosts that has to be healthy.
    pub healthy: Option<f32>,
    /// Requests in flight for each healthy host.
    pub share: Option<u32>,
    /// How long a region is to be good before it returns.
    pub return_after: Option<Duration>,
    /// Over how long it does.
    pub ramp: Option<Duration>,
}

impl WrittenThresholds {
    /// Puts what is written over what holds without.
    pub fn over(&self, rules: &mut Thresholds) {
        rules.healthy = self.healthy.unwrap_or(rules.healthy);
        rules.share = self.share.or(rules.share);
        rules.return_after = self.return_after.unwrap_or(rules.return_after);
        rules.ramp = self.ramp.unwrap_or(rules.ramp);
    }
}

/// `hanzo/split`: how an endpoint's backends share its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splitting {
    /// The share of each.
    pub shares: Vec<Share>,
    /// What keeps a caller where it is.
    pub sticky: Option<Sticky>,
    /// Where the shares stand in the document.
    pub pointer: String,
}

/// The share of one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its first host; by its place in the list without one.
    pub name: Option<String>,
    /// How much.
    pub weight: u32,
    /// Who always meets it.
    pub when: Option<When>,
}

/// `hanzo/retry`: how calls are made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retrying {
    /// Calls for one request, the first included.
    pub tries: u32,
    /// The wait before the second.
    pub back_off: Duration,
    /// Longest wait for an answer's head while there are tries left.
    pub try_timeout: Option<Duration>,
    /// Statuses that are as good as a failure.
    pub statuses: Vec<u16>,
    /// Calls made again for a hundred requests.
    pub percent: u32,
    /// Calls made again that are allowed in ten seconds however few requests there are.
    pub least: u32,
}

impl Default for Retrying {
    fn default() -> Self {
        Self {
            tries: 2,
            back_off: Duration::from_millis(25),
            try_timeout: None,
            statuses: Vec::new(),
            percent: 20,
            least: 10,
        }
    }
}

/// `backend/http` (reference/krakend-components section 3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ErrorMode {
    /// An error that hides the backend's status.
    #[default]
    Hide,
    /// `return_error_details`: data under this name.
    Details(String),
    /// `return_error_code`: an error that shows the backend's status.
    Code,
}

/// `router` (reference/krakend-components section 7.1).
#[derive(Clone, Debug)]
pub struct RouterFlags {
    /// The error's text becomes the body (krakend dialect).
    pub return_error_msg: bool,
    /// `error_body.404`.
    pub body_404: Option<Bytes>,
    /// `error_body.405`.
    pub body_405: Option<Bytes>,
    /// No `/__health`.
    pub disable_health: bool,
    /// Where `/__health` is.
    pub health_path: String,
    /// No access line.
    pub disable_access_log: bool,
    /// Paths without an access line.
    pub logger_skip_paths: Vec<String>,
    /// No redirect between `/a` and `/a/`.
    pub disable_redirect_trailing_slash: bool,
    /// No redirect to the cleaned or case-folded path.
    pub disable_redirect_fixed_path: bool,
    /// Double slashes are cleaned before matching.
    pub remove_extra_slash: bool,
    /// 404 instead of 405.
    pub disable_handle_method_not_allowed: bool,
    /// No check of parameters.
    pub disable_path_decoding: bool,
    /// `OPTIONS` is answered.
    pub auto_options: bool,
    /// The client's address comes from fields; KrakenD's default is true.
    pub forwarded_by_client_ip: bool,
    /// Which fields; empty for the default.
    pub remote_ip_headers: Vec<String>,
    /// Whose fields; `None` for the dialect's default.
    pub trusted_proxies: Option<Vec<String>>,
    /// `X-Appengine-Remote-Addr` comes first.
    pub app_engine: bool,
    /// No version on answers.
    pub hide_version_header: bool,
    /// Cleartext HTTP/2 on the listener.
    pub use_h2c: bool,
}

impl Default for RouterFlags {
    fn default() -> Self {
        Self {
            return_error_msg: false,
            body_404: None,
            body_405: None,
            disable_health: false,
            health_path: "/__health".to_owned(),
            disable_access_log: false,
            logger_skip_paths: Vec::new(),
            disable_redirect_trailing_slash: false,
            disable_redirect_fixed_path: false,
            remove_extra_slash: false,
            disable_handle_method_not_allowed: false,
            disable_path_decoding: false,
            auto_options: false,
            forwarded_by_client_ip: true,
            remote_ip_headers: Vec::new(),
            trusted_proxies: None,
            app_engine: false,
            hide_version_header: false,
            use_h2c: false,
        }
    }
}
