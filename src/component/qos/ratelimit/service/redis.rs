//! `qos/ratelimit/service/redis` – the limits of the service, counted by several gateways together (Enterprise in
//! KrakenD).

use crate::component::Component;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(|s, draft, dialect| super::super::redis::service(s, draft, dialect, NAME)),
    ..Component::named(NAME)
};

const NAME: &str = "qos/ratelimit/service/redis";
