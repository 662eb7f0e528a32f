//! Async agents. Their backends are taken as written: no leading slash, no placeholders, no
//! canonical header names.

use super::decode::{self, Context};
use super::document::{AsyncAgent, Service};
use super::settings::Settings;
use super::{endpoint, keys, namespaces};
use crate::base::Code;
use std::time::Duration;

/// Decodes the agent with an index in the file.
pub(super) fn agent(
    s: &mut Settings<'_>,
    context: &Context<'_>,
    service: &Service,
    index: usize,
) -> AsyncAgent {
    s.known(keys::AGENT);
    let name = s.string_or("name", "");
    let mut agent = AsyncAgent {
        pointer: s.pointer().to_owned(),
        name: if name.is_empty() {
            format!("AsyncAgent-{index:02}")
        } else {
            name
        },
        timeout: service.timeout,
        workers: 1,
        health_interval: Duration::from_secs(1),
        encoding: s.string_or("encoding", ""),
        extra_config: namespaces::extra(s, context),
        backend: s.objects("backend", |s| endpoint::common(s, context, service, "GET")),
        ..AsyncAgent::default()
    };
    if let Some(mut consumer) = s.object("consumer") {
        consume(&mut consumer, &mut agent, service);
    }
    if let Some(mut connection) = s.object("connection") {
        connect(&mut connection, &mut agent);
    }
    agent
}

fn consume(s: &mut Settings<'_>, agent: &mut AsyncAgent, service: &Service) {
    s.known(keys::CONSUMER);
    agent.timeout = decode::timeout(s, "timeout", service.timeout);
    agent.workers = decode::count(s, "workers").max(1);
    agent.topic = s.string_or("topic", "");
    agent.max_rate = s.float("max_rate").unwrap_or(0.0);
    if agent.max_rate < 0.0 {
        s.warn(
            "max_rate",
            Code::OutOfRange,
            "a negative \"max_rate\" counts as no limit",
        );
        agent.max_rate = 0.0;
    }
}

fn connect(s: &mut Settings<'_>, agent: &mut AsyncAgent) {
    s.known(keys::CONNECTION);
    agent.max_retries = u64::try_from(s.int_or("max_retries", 0)).unwrap_or(0);
    agent.backoff_strategy = s.string_or("backoff_strategy", "");
    agent.health_interval = decode::span(s, "health_interval").max(Duration::from_secs(1));
}
