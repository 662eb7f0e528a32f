//! 5.x and 6.x: routes, and how the gateway starts.

use super::Severity::{Critical, Low, Medium};
use super::{Facts, Places, Rule, at, on, rule, there, when};
use crate::config::Backend;
use serde_json::Value;

pub(super) const RULES: &[Rule] = &[
    rule(
        "5.1.1",
        Low,
        "parameters may stand inside of path segments",
        "remove `disable_rest`",
        |facts| there(facts.service().disable_rest, "/disable_rest"),
    ),
    rule(
        "5.1.2",
        Low,
        "the debug endpoint is on",
        "remove `debug_endpoint`",
        |facts| there(facts.service().debug_endpoint, "/debug_endpoint"),
    ),
    rule(
        "5.1.3",
        Low,
        "the echo endpoint is on",
        "remove `echo_endpoint`",
        |facts| there(facts.service().echo_endpoint, "/echo_endpoint"),
    ),
    rule(
        "5.1.4",
        Low,
        "an endpoint takes every path below its own",
        "declare the paths that there are",
        wildcard,
    ),
    rule(
        "5.1.5",
        Medium,
        "an endpoint takes everything that no other takes",
        "declare the paths that there are",
        catchall,
    ),
    rule(
        "5.1.6",
        Medium,
        "an endpoint changes things in several backends at once",
        "let one service do it: half of it may fail",
        several_writes,
    ),
    rule(
        "5.1.7",
        Medium,
        "an endpoint calls its backends one after the other",
        "call them at once, or let one service do it",
        sequential,
    ),
    rule(
        "5.2.1",
        Critical,
        "an endpoint has no backend",
        "add one",
        |facts| at(facts.endpoints_where(|endpoint| endpoint.backend.is_empty())),
    ),
    rule(
        "5.2.2",
        Low,
        "no endpoint puts several backends together",
        "let endpoints answer with all that a page needs",
        |facts| {
            when(
                facts
                    .endpoints()
                    .iter()
                    .all(|endpoint| endpoint.backend.len() <= 1),
            )
        },
    ),
    rule(
        "5.2.3",
        Low,
        "every endpoint passes its answer as it is",
        "use another encoding than `no-op` where answers can be shaped",
        |facts| {
            when(
                facts
                    .endpoints()
                    .iter()
                    .all(|endpoint| endpoint.output_encoding == "no-op"),
            )
        },
    ),
    rule(
        "6.1.1",
        Low,
        "many async agents start one after the other",
        "remove `sequential_start`",
        |facts| {
            there(
                facts.service().sequential_start && facts.service().async_agents.len() >= 10,
                "/sequential_start",
            )
        },
    ),
];

fn wildcard(facts: &Facts<'_>) -> Places {
    let found = facts.endpoints_where(|endpoint| endpoint.endpoint.ends_with('*'));
    at(found
        .into_iter()
        .map(|pointer| format!("{pointer}/endpoint"))
        .collect())
}

fn catchall(facts: &Facts<'_>) -> Places {
    at(facts.endpoints_where(|endpoint| endpoint.endpoint == "/__catchall"))
}

/// Whether a backend's method, as written, is none that only reads.
fn writes(facts: &Facts<'_>, backend: &Backend) -> bool {
    let written = facts
        .written(&format!("{}/method", backend.pointer))
        .and_then(Value::as_str);
    let method = written
        .filter(|method| !method.is_empty())
        .unwrap_or(&backend.method);
    method != "GET" && method != "HEAD"
}

fn several_writes(facts: &Facts<'_>) -> Places {
    at(facts.endpoints_where(|endpoint| {
        endpoint
            .backend
            .iter()
            .filter(|backend| writes(facts, backend))
            .count()
            > 1
    }))
}

fn sequential(facts: &Facts<'_>) -> Places {
    let proxies = facts
        .endpoints()
        .iter()
        .filter_map(|endpoint| endpoint.extra_config.get("proxy"));
    at(proxies
        .filter(|proxy| on(proxy, "sequential"))
        .map(|proxy| format!("{}/sequential", proxy.pointer))
        .collect())
}
