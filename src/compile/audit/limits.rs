//! 3.x: what keeps the gateway and its backends from being overrun.

use super::Severity::{Critical, High, Low, Medium};
use super::{Facts, Places, Rule, at, lists, rule, when};
use std::time::Duration;

pub(super) const RULES: &[Rule] = &[
    rule(
        "3.1.1",
        Low,
        "robots are not told apart",
        "add `security/bot-detector`",
        no_bots,
    ),
    rule(
        "3.1.2",
        High,
        "nothing limits how many requests there may be",
        "add `qos/ratelimit/router` to endpoints or `qos/ratelimit/proxy` to backends",
        no_limit,
    ),
    rule(
        "3.1.3",
        High,
        "no circuit breaker protects a backend that fails",
        "add `qos/circuit-breaker` to backends",
        no_breaker,
    ),
    rule(
        "3.3.1",
        Low,
        "an endpoint may take longer than 3 seconds",
        "lower its `timeout`",
        |facts| slower(facts, 3),
    ),
    rule(
        "3.3.2",
        Medium,
        "an endpoint may take longer than 5 seconds",
        "lower its `timeout`",
        |facts| slower(facts, 5),
    ),
    rule(
        "3.3.3",
        High,
        "an endpoint may take longer than 30 seconds",
        "lower its `timeout`",
        |facts| slower(facts, 30),
    ),
    rule(
        "3.3.4",
        Critical,
        "an endpoint may take longer than a minute",
        "lower its `timeout`",
        |facts| slower(facts, 60),
    ),
];

fn no_bots(facts: &Facts<'_>) -> Places {
    when(facts.global("security/bot-detector").is_none())
}

fn no_limit(facts: &Facts<'_>) -> Places {
    let is_limit = |name: &str| name.starts_with("qos/ratelimit/") || name == "hanzo/ratelimit";
    let plugin = lists(
        &facts.service().extra_config,
        "plugin/http-server",
        "redis-ratelimit",
    );
    // KrakenD ignores this one at service level.
    let ignored = |name: &str| name == "qos/ratelimit/router" && !facts.native();
    let global = facts
        .service()
        .extra_config
        .0
        .iter()
        .any(|n| is_limit(&n.name) && !ignored(&n.name));
    when(!global && plugin.is_none() && !facts.inner().any(|n| is_limit(&n.name)))
}

fn no_breaker(facts: &Facts<'_>) -> Places {
    when(
        !facts
            .inner()
            .any(|n| n.name.starts_with("qos/circuit-breaker")),
    )
}

fn slower(facts: &Facts<'_>, seconds: u64) -> Places {
    let most = Duration::from_secs(seconds);
    let slow = facts.endpoints_where(|endpoint| endpoint.timeout > most);
    // An endpoint without a timeout of its own has the service's.
    at(slow
        .into_iter()
        .map(|pointer| {
            let own = format!("{pointer}/timeout");
            if facts.written(&own).is_some() {
                own
            } else {
                pointer
            }
        })
        .collect())
}
