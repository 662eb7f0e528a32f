//! `qos/ratelimit/router/redis` – the limits of an endpoint, counted by several gateways together (Enterprise in
//! KrakenD).

use crate::component::Component;

/// The table line.
pub const COMPONENT: Component = Component {
    endpoint: Some(|s, draft, dialect| super::super::redis::endpoint(s, draft, dialect, NAME)),
    ..Component::named(NAME)
};

const NAME: &str = "qos/ratelimit/router/redis";
