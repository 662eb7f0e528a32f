//! Namespaces that KrakenD (CE or Enterprise) or our contract knows and that nothing here implements
//! yet, with their levels. `check` names each one; a **protection** among them makes a native start
//! refuse, because a file that asks for a lock must not run without it.

use crate::component::Level;

/// A known namespace without an implementation.
#[derive(Clone, Copy, Debug)]
pub struct NotYet {
    /// Canonical short name.
    pub name: &'static str,
    /// Where KrakenD's schema allows it.
    pub levels: &'static [Level],
    /// What leaving it out means.
    pub loss: Loss,
}

/// What is lost when a namespace is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A lock: authentication, limit, CORS, validation, breaker, bot rule, revocation.
    Protection,
    /// The call itself: something else would be called in its place.
    Driver,
    /// The endpoint would do something else than the file says.
    Function,
    /// Something to look at: metrics, traces, documents.
    Comfort,
}

use Level::{Agent as A, Backend as B, Endpoint as E, Service as S};
use Loss::{Comfort, Driver, Function, Protection};

const fn row(name: &'static str, levels: &'static [Level], loss: Loss) -> NotYet {
    NotYet { name, levels, loss }
}

/// The table, sorted by name.
pub static NOT_YET: &[NotYet] = &[
    row("ai/llm", &[B], Function),
    row("ai/mcp", &[S, E], Function),
    row("async/amqp", &[A], Function),
    row("async/kafka", &[A], Function),
    row("auth/ntlm", &[B], Function),
    row("backend/amqp/consumer", &[B], Driver),
    row("backend/amqp/producer", &[B], Driver),
    row("backend/conditional", &[B], Function),
    row("backend/grpc", &[B], Function),
    row("backend/lambda", &[B], Driver),
    row("backend/pubsub/publisher", &[B], Driver),
    row("backend/pubsub/publisher/kafka", &[B], Function),
    row("backend/pubsub/subscriber", &[B], Driver),
    row("backend/pubsub/subscriber/kafka", &[B], Function),
    row("backend/soap", &[B], Function),
    row("backend/static-filesystem", &[B], Function),
    row("documentation/openapi", &[S, E], Comfort),
    row("documentation/postman", &[S, E], Comfort),
    row("governance/processors", &[S], Protection),
    row("governance/quota", &[S, E, B], Protection),
    row("grpc", &[S], Function),
    row("hanzo/cache", &[E], Comfort),
    row("modifier/body-generator", &[B], Function),
    row("modifier/jmespath", &[E, B], Function),
    row("modifier/request-body-extractor", &[S, E], Function),
    row("modifier/request-body-extractor/early", &[E], Function),
    row("modifier/request-body-generator", &[E, B], Function),
    row("modifier/response-body", &[E, B], Function),
    row("modifier/response-body-generator", &[E, B], Function),
    row("modifier/response-headers", &[S], Function),
    row("plugin/http-client", &[B], Function),
    row("plugin/http-server", &[S], Function),
    row("plugin/middleware", &[E, B], Function),
    row("plugin/req-resp-modifier", &[E, B, A], Function),
    row("qos/http-cache", &[B], Comfort),
    row("security/policies", &[E, B], Protection),
    row("server/static-filesystem", &[S], Function),
    row("server/virtualhost", &[S], Function),
    row("telemetry/gelf", &[S], Comfort),
    row("telemetry/influx", &[S], Comfort),
    row("telemetry/logstash", &[S], Comfort),
    row("telemetry/metrics", &[S], Comfort),
    row("telemetry/moesif", &[S], Comfort),
    row("telemetry/newrelic", &[S], Comfort),
    row("telemetry/opencensus", &[S, E, B], Comfort),
    row("telemetry/opentelemetry", &[S, E, B], Comfort),
    row("telemetry/opentelemetry-security", &[S], Comfort),
    row("validation/response-json-schema", &[E, B], Protection),
    row("websocket", &[E], Function),
    row("workflow", &[B], Function),
];

/// Finds a namespace of the table.
pub fn find(name: &str) -> Option<&'static NotYet> {
    let at = NOT_YET.binary_search_by(|row| row.name.cmp(name)).ok()?;
    NOT_YET.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_it_can_be_searched() {
        assert!(NOT_YET.windows(2).all(|w| w[0].name < w[1].name));
        assert!(find("security/policies").is_some_and(|n| n.loss == Loss::Protection));
        assert!(find("router").is_none());
    }
}
