//! `telemetry/…`: logs, metrics, traces.

use super::Kind::{Any, Between, Duration, Flag, Int, List, Object, Open, Range, Ref, Text, Word};
use super::{Entry, Field, Kind, entry, field};
use crate::component::Level::{Backend as B, Endpoint as E, Service as S};

const LOGGING: &[Field] = &[
    field(
        "level",
        Word(&["DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL"]),
        "The least that is logged.",
    )
    .must(),
    field("prefix", Text, "What stands before each line."),
    field("stdout", Flag, "To standard output.")
        .or("false")
        .differs("always"),
    field("syslog", Flag, "To syslog.")
        .or("false")
        .differs("not implemented"),
    field(
        "syslog_facility",
        Word(&[
            "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
        ]),
        "As whom.",
    )
    .or("local3"),
    field(
        "format",
        Word(&["default", "logstash", "custom"]),
        "How lines look.",
    )
    .or("default")
    .differs("native: one JSON object a line; `custom` is not implemented"),
    field("custom_format", Text, "A format of one's own."),
    field(
        "access_log_format",
        Word(&[
            "",
            "default",
            "httpdCommon",
            "httpdCombine",
            "json",
            "custom",
        ]),
        "How access lines look (Enterprise).",
    ),
    field(
        "access_log_custom_format",
        Text,
        "A format of one's own for them (Enterprise).",
    ),
    field(
        "access_log_missing_key_marker",
        Text,
        "What stands for nothing (Enterprise).",
    )
    .or("-"),
    field(
        "backend",
        Object(LOG_BACKEND),
        "Lines about calls of backends (Enterprise).",
    ),
];

const LOG_BACKEND: &[Field] = &[
    field("log_with_level", Text, "Their level."),
    field("custom_format", Text, "Their format."),
    field("no_value", Text, "What stands for nothing.").or("-"),
    field("prefix", Text, "What stands before each line."),
];

const METRICS: &[Field] = &[
    field(
        "collection_time",
        Duration,
        "How often figures are gathered.",
    )
    .or("60s"),
    field("listen_address", Text, "Where they are served.").or(":8090"),
    field("endpoint_disabled", Flag, "Do not serve them.").or("false"),
    field("proxy_disabled", Flag, "None of the pipe.").or("false"),
    field("router_disabled", Flag, "None of the router.").or("false"),
    field("backend_disabled", Flag, "None of backends.").or("false"),
];

const OTLP: &[Field] = &[
    field("name", Text, "Its name.").must(),
    field("host", Text, "Where the collector is.")
        .must()
        .or("localhost"),
    field("port", Range(0, 65535), "Its port.").or("4317"),
    field("use_http", Flag, "HTTP instead of gRPC.").or("false"),
    field("disable_metrics", Flag, "No metrics.").or("false"),
    field("disable_traces", Flag, "No traces.").or("false"),
    field(
        "custom_metric_reporting_period",
        Int,
        "How often, in seconds.",
    ),
];

const PROMETHEUS: &[Field] = &[
    field("name", Text, "Its name.").must(),
    field("port", Range(0, 65535), "Where it is served.").or("9090"),
    field("listen_ip", Text, "On which address."),
    field("host", Text, "On which address, as the code reads it.").old(),
    field("process_metrics", Flag, "Figures of the process.").or("false"),
    field("go_metrics", Flag, "Figures of Go's run time.").or("false"),
    field("disable_metrics", Flag, "Switched off.").or("false"),
    field(
        "custom_metric_reporting_period",
        Int,
        "How often, in seconds.",
    ),
];

const GLOBAL: &[Field] = &[
    field("disable_metrics", Flag, "No metrics.").or("false"),
    field("disable_traces", Flag, "No traces.").or("false"),
    field(
        "disable_propagation",
        Flag,
        "Do not go on with the trace of the client.",
    )
    .or("false"),
    field("report_headers", Flag, "Header fields become attributes.").or("false"),
    field("skip_headers", List(&Text), "But these do not."),
    field(
        "metrics_static_attributes",
        Ref("static_attributes"),
        "Attributes of all metrics.",
    ),
    field(
        "traces_static_attributes",
        Ref("static_attributes"),
        "Attributes of all traces.",
    ),
    field(
        "semantic_convention",
        Text,
        "Which names are used: none, or `1.27`.",
    ),
];

const PROXY: &[Field] = &[
    field("disable_metrics", Flag, "No metrics.").or("false"),
    field("disable_traces", Flag, "No traces.").or("false"),
    field("report_headers", Flag, "Header fields become attributes.").or("false"),
    field("skip_headers", List(&Text), "But these do not."),
    field(
        "metrics_static_attributes",
        Ref("static_attributes"),
        "Attributes of all metrics.",
    ),
    field(
        "traces_static_attributes",
        Ref("static_attributes"),
        "Attributes of all traces.",
    ),
];

const BACKEND: &[Field] = &[
    field(
        "metrics",
        Object(&[
            field("disable_stage", Flag, "Not the whole call.").or("false"),
            field("round_trip", Flag, "The exchange.").or("false"),
            field("read_payload", Flag, "Reading the body.").or("false"),
            field("detailed_connection", Flag, "Connecting in detail.").or("false"),
            field(
                "static_attributes",
                Ref("static_attributes"),
                "Attributes of all.",
            ),
        ]),
        "Metrics.",
    ),
    field(
        "traces",
        Object(&[
            field("disable_stage", Flag, "Not the whole call.").or("false"),
            field("round_trip", Flag, "The exchange.").or("false"),
            field("read_payload", Flag, "Reading the body.").or("false"),
            field("detailed_connection", Flag, "Connecting in detail.").or("false"),
            field("report_headers", Flag, "Header fields become attributes.").or("false"),
            field("skip_headers", List(&Text), "But these do not."),
            field(
                "static_attributes",
                Ref("static_attributes"),
                "Attributes of all.",
            ),
        ]),
        "Traces.",
    ),
];

const OTEL: &[Field] = &[
    field("service_name", Text, "As whom we report.").or("KrakenD"),
    field("service_version", Text, "In which version."),
    field("deploy_env", Text, "Where."),
    field(
        "metric_reporting_period",
        Int,
        "How often metrics are sent, in seconds.",
    )
    .or("30"),
    field(
        "trace_sample_rate",
        Between(0.0, 1.0),
        "How many traces are kept.",
    )
    .or("1"),
    field("skip_paths", List(&Text), "Paths that are not reported.")
        .or("[\"/__health\", \"/__debug/\", \"/__echo/\", \"/__stats/\"]"),
    field(
        "exporters",
        Object(&[
            field("otlp", List(&Object(OTLP)), "Collectors."),
            field(
                "prometheus",
                List(&Object(PROMETHEUS)),
                "Addresses to scrape.",
            ),
        ]),
        "Where to.",
    )
    .must(),
    field(
        "layers",
        Object(&[
            field("global", Object(GLOBAL), "The whole request."),
            field("proxy", Object(PROXY), "The pipe."),
            field("backend", Object(BACKEND), "Calls of backends."),
        ]),
        "What.",
    ),
];

const CENSUS_SERVICE: &[Field] = &[
    field("service_name", Text, "As whom.").or("krakend"),
    field("collector_url", Text, "Where."),
    field("endpoint", Text, "Where."),
    field("agent_endpoint", Text, "Where the agent is."),
    field("buffer_max_count", Int, "How many wait."),
];

const CENSUS_PROMETHEUS: &[Field] = &[
    field("port", Range(0, 65535), "Where it is served.")
        .must()
        .or("9091"),
    field("namespace", Text, "How the names begin."),
    field("tag_host", Flag, "With the host.").or("false"),
    field("tag_path", Flag, "With the path.").or("false"),
    field("tag_method", Flag, "With the method.").or("false"),
    field("tag_statuscode", Flag, "With the status.").or("false"),
];

const EXPORTERS: Kind = Object(&[
    field("influxdb", Open(&[]), "InfluxDB."),
    field("zipkin", Open(CENSUS_SERVICE), "Zipkin."),
    field("jaeger", Open(CENSUS_SERVICE), "Jaeger."),
    field("prometheus", Object(CENSUS_PROMETHEUS), "Prometheus."),
    field("xray", Open(&[]), "AWS X-Ray."),
    field("stackdriver", Open(&[]), "Google Cloud."),
    field("ocagent", Open(&[]), "OpenCensus Agent."),
    field("datadog", Open(&[]), "Datadog."),
    field("logger", Open(&[]), "The log; not in KrakenD CE."),
]);

const PATH_AGGREGATION: Field = field(
    "path_aggregation",
    Word(&["pattern", "lastparam", "off"]),
    "Which path is reported.",
)
.or("pattern");

const MOESIF: &[Field] = &[
    field("application_id", Text, "Our name there.").must(),
    field("user_id_headers", List(&Text), "Fields that name the user.").must(),
    field("user_id_jwt_claim", Text, "The claim that does.").or("sub"),
    field(
        "identify_company",
        Open(&[
            field("header", Text, "The field that names the company."),
            field("jwt_claim", Text, "The claim that does."),
            field("query_string", Text, "The parameter that does."),
        ]),
        "The company.",
    ),
    field("log_body", Flag, "With bodies.").or("true"),
    field("batch_size", Int, "How many at once.").or("200"),
    field("event_queue_size", Int, "How many wait.").or("1000000"),
    field("timer_wake_up_seconds", Int, "How often.").or("2"),
    field(
        "request_body_masks",
        List(&Text),
        "Fields of requests that are hidden.",
    ),
    field(
        "request_header_masks",
        List(&Text),
        "Header fields of requests that are hidden.",
    ),
    field(
        "response_body_masks",
        List(&Text),
        "Fields of answers that are hidden.",
    ),
    field(
        "response_header_masks",
        List(&Text),
        "Header fields of answers that are hidden.",
    ),
    field("metadata", Any, "Further data."),
    field("should_skip", Any, "When nothing is sent."),
    field("debug", Flag, "Log what is sent.").or("false"),
];

/// The namespaces.
pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "telemetry/logging",
        &[S],
        Object(LOGGING),
        "What is logged, and how.",
    ),
    entry(
        "telemetry/logging",
        &[B],
        Object(&[field("backend", Object(LOG_BACKEND), "Lines about calls.")]),
        "Lines about the calls of one backend.",
    )
    .enterprise(),
    entry(
        "telemetry/logstash",
        &[S],
        Object(&[field("enabled", Flag, "Switched on.").must()]),
        "Log lines as JSON for Logstash.",
    )
    .differs("native lines are JSON as they are"),
    entry(
        "telemetry/gelf",
        &[S],
        Object(&[
            field("address", Text, "Where Graylog is, as `host:port`.").must(),
            field("enable_tcp", Flag, "TCP instead of UDP.").or("false"),
        ]),
        "Log lines to Graylog.",
    ),
    entry(
        "telemetry/metrics",
        &[S],
        Object(METRICS),
        "Figures at `/__stats`.",
    )
    .differs("metrics are on port 9091 without any namespace, for Prometheus"),
    entry(
        "telemetry/influx",
        &[S],
        Object(&[
            field("address", Text, "Where InfluxDB is.").must(),
            field("username", Text, "The user."),
            field("password", Text, "The password."),
            field("db", Text, "The database.").or("krakend"),
            field("ttl", Duration, "How often figures are sent.")
                .must()
                .or("60s"),
            field("buffer_size", Int, "How many wait.").or("0"),
        ]),
        "Figures to InfluxDB.",
    ),
    entry(
        "telemetry/opentelemetry",
        &[S],
        Object(OTEL),
        "Metrics and traces by OpenTelemetry.",
    ),
    entry(
        "telemetry/opentelemetry",
        &[E],
        Object(&[
            field("proxy", Object(PROXY), "Instead of the service's."),
            field("backend", Object(BACKEND), "Instead of the service's."),
            field("global", Object(GLOBAL), "Attributes."),
            field(
                "exporters_override",
                Open(&[]),
                "Instead of the service's (Enterprise).",
            ),
            field(
                "metrics_static_attributes",
                Ref("static_attributes"),
                "Attributes of all metrics.",
            ),
            field(
                "traces_static_attributes",
                Ref("static_attributes"),
                "Attributes of all traces.",
            ),
        ]),
        "The same for one endpoint.",
    ),
    entry(
        "telemetry/opentelemetry",
        &[B],
        Object(&[
            field("backend", Object(BACKEND), "Instead of the service's."),
            field("proxy", Object(PROXY), "Instead of the service's."),
            field(
                "exporters_override",
                Open(&[]),
                "Instead of the service's (Enterprise).",
            ),
        ]),
        "The same for one backend.",
    ),
    entry(
        "telemetry/opencensus",
        &[S],
        Object(&[
            field(
                "sample_rate",
                Range(0, 100),
                "How many traces are kept, in percent.",
            )
            .or("100"),
            field("reporting_period", Int, "How often, in seconds.").or("0"),
            field(
                "enabled_layers",
                Object(&[
                    field("backend", Flag, "Calls of backends."),
                    field("router", Flag, "The whole request."),
                    field("pipe", Flag, "The pipe."),
                ]),
                "What; all when absent.",
            ),
            field("exporters", EXPORTERS, "Where to.").must(),
        ]),
        "Metrics and traces by OpenCensus; OpenTelemetry has taken its place.",
    ),
    entry(
        "telemetry/opencensus",
        &[E, B],
        Object(&[PATH_AGGREGATION]),
        "How paths are reported.",
    ),
    entry(
        "telemetry/newrelic",
        &[S],
        Object(&[
            field("license", Text, "The key.").must(),
            field("debug", Flag, "Log what is sent.").or("false"),
            field(
                "headers_to_pass",
                List(&Text),
                "Header fields that are sent.",
            ),
        ]),
        "New Relic.",
    )
    .enterprise(),
    entry("telemetry/moesif", &[S], Object(MOESIF), "Moesif.").enterprise(),
    entry(
        "telemetry/opentelemetry-security",
        &[S],
        Object(&[field(
            "otlp",
            List(&Object(&[
                field("name", Text, "Which exporter.").must(),
                field("headers", Kind::Map(&Text), "The fields.").must(),
            ])),
            "Header fields for collectors.",
        )
        .must()]),
        "Credentials for collectors.",
    )
    .enterprise(),
];
