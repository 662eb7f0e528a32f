//! Components: a file here has the path of its `extra_config` namespace (`-` as `_`), and one line in
//! [`COMPONENTS`], whose order is the running order. What the tables do not name is unknown.

pub mod auth;
pub mod backend;
pub mod draft;
pub mod fields;
pub mod hanzo;
pub mod modifier;
pub mod not_yet;
pub mod proof;
pub mod proxy;
pub mod qos;
pub mod redis;
pub mod router;
pub mod security;
pub mod telemetry;
mod together;
pub mod tokens;
pub mod validation;

use crate::base::{Dialect, Problem, Report};
use crate::config::settings::Settings;
pub use draft::{
    At, BackendDraft, BackendRegions, Balancing, EndpointDraft, Env, ErrorMode, Failover, Listed,
    Offers, Retrying, RouterFlags, ServiceDraft, ServiceRegions, Share, Splitting,
    WrittenThresholds,
};
pub use not_yet::{Loss, NOT_YET, NotYet};
pub use proof::{Proof, until};
pub use together::whole;
pub use tokens::{MadeVerifier, TOKEN_KEYS, TokenDefaults, Tokens, TokensRead, read_tokens};
pub use validation::cel::Policy;

/// Where a component may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// The document's own `extra_config`.
    Service,
    /// An endpoint's.
    Endpoint,
    /// A backend's.
    Backend,
    /// An async agent's.
    Agent,
}

impl Level {
    /// From the outside to the inside.
    pub const ALL: &'static [Level] = &[
        Level::Service,
        Level::Endpoint,
        Level::Backend,
        Level::Agent,
    ];

    /// The word for messages.
    pub const fn word(self) -> &'static str {
        match self {
            Level::Service => "service",
            Level::Endpoint => "endpoint",
            Level::Backend => "backend",
            Level::Agent => "async agent",
        }
    }
}

/// Turns the settings of a component into its part of a draft. Findings go into the report that the
/// settings carry; what is returned as an error refuses the file.
pub type Build<T> = fn(&mut Settings<'_>, &mut T, Dialect) -> Result<(), Problem>;

/// What a component does for every endpoint, whether its namespace stands there or not; after its builder, where both
/// are there.
pub type EachEndpoint = fn(&mut EndpointDraft, Dialect, &mut Report);

/// One component: plain data, no trait.
pub struct Component {
    /// Canonical short namespace.
    pub name: &'static str,
    /// It locks nothing: wrong values are warnings, and the setting is ignored.
    pub lenient: bool,
    /// Its settings need not be an object.
    pub any_value: bool,
    /// Builder at service level, if it may stand there.
    pub service: Option<Build<ServiceDraft>>,
    /// Builder at endpoint level.
    pub endpoint: Option<Build<EndpointDraft>>,
    /// Builder at backend level.
    pub backend: Option<Build<BackendDraft>>,
    /// What it does for every endpoint.
    pub each_endpoint: Option<EachEndpoint>,
}

impl Component {
    /// A component of this name that may stand nowhere yet.
    pub const fn named(name: &'static str) -> Self {
        Self {
            name,
            lenient: false,
            any_value: false,
            service: None,
            endpoint: None,
            backend: None,
            each_endpoint: None,
        }
    }

    /// Whether it may stand at a level.
    pub const fn allows(&self, level: Level) -> bool {
        match level {
            Level::Service => self.service.is_some(),
            Level::Endpoint => self.endpoint.is_some(),
            Level::Backend => self.backend.is_some(),
            Level::Agent => false,
        }
    }

    /// What its settings are at a level. The data stands apart from the code, in [`fields`]: it also
    /// describes what is not implemented, and the two are read by different people.
    pub fn fields(&self, level: Level) -> Option<&'static fields::Entry> {
        fields::find(self.name, level)
    }
}

/// Every component, in running order.
pub static COMPONENTS: &[Component] = &[
    hanzo::compat::COMPONENT,
    hanzo::edge::COMPONENT,
    telemetry::logging::COMPONENT,
    router::COMPONENT,
    hanzo::limits::COMPONENT,
    hanzo::health::COMPONENT,
    // Others name its stores.
    redis::COMPONENT,
    security::cors::COMPONENT,
    security::http::COMPONENT,
    security::bot_detector::COMPONENT,
    // In front of authentication: a flood costs no signatures.
    qos::ratelimit::service::COMPONENT,
    qos::ratelimit::service::redis::COMPONENT,
    // Behind what turns clients away by their looks, in front of all that may ask who they are. What leaves an
    // endpoint open is read before what locks all of them.
    auth::public::COMPONENT,
    hanzo::auth::COMPONENT,
    auth::validator::COMPONENT,
    auth::api_keys::COMPONENT,
    auth::basic::COMPONENT,
    hanzo::mtls::COMPONENT,
    // Behind authentication: a 401 costs nobody a token.
    hanzo::ratelimit::COMPONENT,
    // It has a say about the claims that a validator finds.
    auth::revoker::COMPONENT,
    modifier::lua_endpoint::COMPONENT,
    qos::ratelimit::router::COMPONENT,
    qos::ratelimit::router::redis::COMPONENT,
    qos::ratelimit::tiered::COMPONENT,
    // Behind what the krakend dialect's signer leaves out.
    auth::signer::COMPONENT,
    modifier::lua_proxy::COMPONENT,
    // It makes the request that scripts and rules of its backend see.
    backend::graphql::COMPONENT,
    modifier::lua_backend::COMPONENT,
    // Behind scripts, in front of schemas.
    validation::cel::COMPONENT,
    validation::json_schema::COMPONENT,
    proxy::COMPONENT,
    hanzo::split::COMPONENT,
    hanzo::regions::COMPONENT,
    hanzo::balance::COMPONENT,
    hanzo::retry::COMPONENT,
    qos::circuit_breaker::http::COMPONENT,
    qos::circuit_breaker::COMPONENT,
    // Inside of the breaker, which takes a refused call for a failure, as in KrakenD.
    qos::ratelimit::proxy::COMPONENT,
    backend::http::COMPONENT,
    backend::http_client::COMPONENT,
    // It sees the request that leaves and the answer that arrives.
    modifier::martian::COMPONENT,
    // Innermost: nobody behind it may change what it says of us.
    auth::client_credentials::COMPONENT,
    auth::aws_sigv4::COMPONENT,
    auth::gcp::COMPONENT,
    // The last word at each endpoint: by then it is known who calls.
    hanzo::overload::COMPONENT,
];

/// A namespace that is known and not implemented.
pub fn not_yet(name: &str) -> Option<&'static NotYet> {
    not_yet::find(name)
}

/// Finds a component by its short name.
pub fn find(name: &str) -> Option<&'static Component> {
    COMPONENTS.iter().find(|component| component.name == name)
}
