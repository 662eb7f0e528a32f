//! 4.x: what one would see when something goes wrong.

use super::Severity::{High, Medium};
use super::{Facts, Places, Rule, rule, when};
use serde_json::Value;

pub(super) const RULES: &[Rule] = &[
    rule(
        "4.1.1",
        Medium,
        "the file asks for no metrics (OpenTelemetry does not count)",
        "add `telemetry/metrics`, or scrape the gateway's own metrics on port 9091 and ignore this rule",
        no_metrics,
    ),
    rule(
        "4.1.2",
        Medium,
        "metrics lead nowhere",
        "name an exporter",
        |_| None,
    ),
    rule(
        "4.1.3",
        High,
        "several components collect the same metrics",
        "keep one of them: each costs memory and time",
        many_metrics,
    ),
    rule(
        "4.2.1",
        Medium,
        "requests cannot be traced",
        "add `telemetry/opentelemetry` with an OTLP exporter",
        no_traces,
    ),
    rule(
        "4.3.1",
        Medium,
        "the file does not say what is logged",
        "add `telemetry/logging`",
        no_logs,
    ),
];

const METRICS: &[&str] = &[
    "telemetry/opencensus",
    "telemetry/metrics",
    "telemetry/newrelic",
    "telemetry/ganalytics",
    "telemetry/instana",
];

fn no_metrics(facts: &Facts<'_>) -> Places {
    when(!facts.any_global(METRICS))
}

/// The exporters of OpenTelemetry of a kind for which a switch is not on.
fn exporters<'a>(facts: &Facts<'a>, kind: &str, switch: &str) -> usize {
    let Some(otel) = facts.global("telemetry/opentelemetry") else {
        return 0;
    };
    let all = otel
        .value
        .get("exporters")
        .and_then(|exporters| exporters.get(kind))
        .and_then(Value::as_array);
    all.into_iter()
        .flatten()
        .filter(|exporter| exporter.get(switch) != Some(&Value::Bool(true)))
        .count()
}

fn many_metrics(facts: &Facts<'_>) -> Places {
    let components = facts.globals(METRICS);
    let exporting = exporters(facts, "otlp", "disable_metrics")
        + exporters(facts, "prometheus", "disable_metrics");
    if components.len() + exporting < 2 {
        return None;
    }
    let mut places = components;
    if exporting > 0 {
        places.extend(facts.globals(&["telemetry/opentelemetry"]));
    }
    Some(places)
}

fn no_traces(facts: &Facts<'_>) -> Places {
    let others = [
        "telemetry/opencensus",
        "telemetry/newrelic",
        "telemetry/instana",
    ];
    when(!facts.any_global(&others) && exporters(facts, "otlp", "disable_traces") == 0)
}

fn no_logs(facts: &Facts<'_>) -> Places {
    when(!facts.any_global(&["telemetry/logging", "telemetry/gelf", "telemetry/logstash"]))
}
