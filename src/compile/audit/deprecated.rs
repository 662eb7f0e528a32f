//! 7.x: what has been replaced.

use super::Severity::{High, Medium};
use super::{Facts, Places, Rule, at, lists, rule};

pub(super) const RULES: &[Rule] = &[
    rule(
        "7.1.1",
        High,
        "the plugin `virtualhost` is deprecated",
        "use `server/virtualhost`",
        |facts| server(facts, "virtualhost"),
    ),
    rule(
        "7.1.2",
        High,
        "the plugin `static-filesystem` is deprecated",
        "use `server/static-filesystem`",
        |facts| server(facts, "static-filesystem"),
    ),
    rule(
        "7.1.3",
        High,
        "the plugin `basic-auth` is deprecated",
        "use `auth/basic`",
        |facts| server(facts, "basic-auth"),
    ),
    rule(
        "7.1.4",
        High,
        "the plugin `wildcard` is deprecated",
        "write endpoints that end in `/*`",
        |facts| server(facts, "wildcard"),
    ),
    rule(
        "7.1.5",
        High,
        "the plugin `http-proxy` is deprecated",
        "use `proxy_address` of `backend/http/client`",
        |facts| client(facts, "http-proxy"),
    ),
    rule(
        "7.1.6",
        High,
        "the plugin `static-filesystem` of a backend is deprecated",
        "use `backend/static-filesystem`",
        |facts| client(facts, "static-filesystem"),
    ),
    rule(
        "7.1.7",
        High,
        "the plugin `no-redirect` is deprecated",
        "use `no_redirect` of `backend/http/client`",
        |facts| client(facts, "no-redirect"),
    ),
    rule(
        "7.1.8",
        High,
        "the plugin `content-replacer` is deprecated",
        "use `modifier/response-body`",
        |facts| modifier(facts, "content-replacer"),
    ),
    rule(
        "7.1.9",
        High,
        "the plugin `response-schema-validator` is deprecated",
        "use `validation/response-json-schema`",
        |facts| modifier(facts, "response-schema-validator"),
    ),
    rule(
        "7.2.1",
        High,
        "`telemetry/ganalytics` is deprecated",
        "use `telemetry/opentelemetry`",
        |facts| at(facts.globals(&["telemetry/ganalytics"])),
    ),
    rule(
        "7.2.2",
        High,
        "`telemetry/instana` is deprecated",
        "use `telemetry/opentelemetry`",
        |facts| at(facts.globals(&["telemetry/instana"])),
    ),
    rule(
        "7.2.3",
        High,
        "`telemetry/opencensus` is deprecated",
        "use `telemetry/opentelemetry`",
        |facts| at(facts.globals(&["telemetry/opencensus"])),
    ),
    rule(
        "7.2.4",
        High,
        "`telemetry/influx` is deprecated",
        "use `telemetry/opentelemetry`",
        |facts| at(facts.globals(&["telemetry/influx"])),
    ),
    rule(
        "7.3.1",
        Medium,
        "`tls.public_key` and `tls.private_key` are deprecated",
        "write them as an element of `tls.keys`",
        single_pair,
    ),
];

fn server(facts: &Facts<'_>, plugin: &str) -> Places {
    at(
        lists(&facts.service().extra_config, "plugin/http-server", plugin)
            .into_iter()
            .collect(),
    )
}

/// KrakenD looks at endpoints, where such a plugin does nothing; it stands at backends.
fn client(facts: &Facts<'_>, plugin: &str) -> Places {
    inner(facts, "plugin/http-client", plugin)
}

fn modifier(facts: &Facts<'_>, plugin: &str) -> Places {
    inner(facts, "plugin/req-resp-modifier", plugin)
}

fn inner(facts: &Facts<'_>, namespace: &str, plugin: &str) -> Places {
    let mut places = Vec::new();
    for endpoint in facts.endpoints() {
        places.extend(lists(&endpoint.extra_config, namespace, plugin));
        for backend in &endpoint.backend {
            places.extend(lists(&backend.extra_config, namespace, plugin));
        }
    }
    at(places)
}

fn single_pair(facts: &Facts<'_>) -> Places {
    let places = ["/tls/public_key", "/tls/private_key"];
    let written = places.iter().filter(|pointer| {
        facts
            .written(pointer)
            .and_then(|v| v.as_str())
            .is_some_and(|text| !text.is_empty())
    });
    at(written.map(|&pointer| pointer.to_owned()).collect())
}
