//! `qos/…`, `governance/…`, `redis`: limits, quotas, breakers, caches.

use super::Kind::{Any, Duration, Flag, Int, List, Number, Object, Some, Text, Word};
use super::{Entry, Field, entry, field};
use crate::component::Level::{Backend as B, Endpoint as E, Service as S};

const STRATEGY: super::Kind = Word(&["ip", "header", "param"]);
const TIER_AS: super::Kind = Word(&["literal", "policy", "*"]);

const ROUTER: &[Field] = &[
    field(
        "max_rate",
        Number,
        "Requests of all clients together; 0 is no limit.",
    )
    .or("0"),
    field(
        "capacity",
        Int,
        "The size of that bucket; `max_rate` when absent.",
    ),
    field(
        "client_max_rate",
        Number,
        "Requests of one client; 0 is no limit.",
    )
    .or("0"),
    field("client_capacity", Int, "The size of its bucket.")
        .differs("`client_max_rate` when absent; KrakenD takes `max_rate` for it"),
    field("strategy", STRATEGY, "What a client is known by.")
        .differs("another word refuses the file; KrakenD drops the limit"),
    field(
        "key",
        Text,
        "The header field or parameter; for `ip` a field that holds the address.",
    )
    .differs("a field with an address is believed from trusted proxies only"),
    field("every", Duration, "The time in which rates count.").or("1s"),
    field("num_shards", Int, "How many locks the counters have.")
        .or("64")
        .differs("KrakenD has 2048"),
    field("cleanup_period", Duration, "How often idle counters go.").or("1m"),
    field("cleanup_threads", Int, "Accepted and without meaning.").or("1"),
];

const REDIS_LIMIT: &[Field] = &[
    field("connection_name", Text, "Which connection of `redis`."),
    field("connection_pool", Text, "The same, in its old spelling."),
    field("max_rate", Number, "Requests of all clients together."),
    field("capacity", Int, "The size of that bucket.").or("1"),
    field("client_max_rate", Number, "Requests of one client."),
    field("client_capacity", Int, "The size of its bucket.").or("1"),
    field("strategy", STRATEGY, "What a client is known by."),
    field("key", Text, "The header field or parameter."),
    field("every", Duration, "The time in which rates count.").or("1s"),
    field(
        "on_failure_allow",
        Flag,
        "Whether requests pass while the store is away, or are refused with 503.",
    )
    .differs("without it the limits hold for each gateway alone then; KrakenD refuses"),
];

const TIERED: &[Field] = &[
    field("tier_key", Text, "The header field that names the plan.").must(),
    field(
        "tiers",
        Some(&Object(&[
            field("tier_value", Text, "The name of the plan."),
            field("tier_value_as", TIER_AS, "How the name is compared.")
                .or("literal")
                .differs("an expression of `policy` sees `value`, `JWT` and `now`"),
            field("ratelimit", Object(ROUTER), "Its limit."),
            field("ratelimit_redis", Object(REDIS_LIMIT), "Its limit, shared."),
        ])),
        "Plans; the first that fits counts.",
    )
    .must(),
];

const BREAKER: &[Field] = &[
    field(
        "interval",
        Int,
        "After how many seconds failures are forgotten.",
    )
    .must()
    .eg("60"),
    field("timeout", Int, "How many seconds it stays open.")
        .must()
        .eg("10"),
    field("max_errors", Int, "How many failures in a row are borne.")
        .must()
        .eg("3"),
    field(
        "name",
        Text,
        "Its name in logs and metrics; the backend's first host when absent.",
    )
    .differs("in native, backends of one name at the same hosts share one breaker"),
    field("log_status_change", Flag, "Log when it opens and closes.")
        .or("false")
        .differs("native logs it unless this is false"),
];

const BREAKER_HTTP: &[Field] = &[
    field(
        "interval",
        Int,
        "After how many seconds failures are forgotten.",
    )
    .must(),
    field("timeout", Int, "How many seconds it stays open.").must(),
    field("max_errors", Int, "How many failures in a row are borne.").must(),
    field(
        "valid_status_codes",
        List(&Int),
        "Statuses that are no failure.",
    )
    .must(),
    field("name", Text, "A name for logs."),
    field("log_status_change", Flag, "Log when it opens and closes.")
        .or("false")
        .differs("native logs it unless this is false"),
];

const OTEL_STORE: &[Field] = &[
    field("disable_metrics", Flag, "No metrics.").or("false"),
    field("disable_traces", Flag, "No traces.").or("false"),
    field(
        "metrics_static_attributes",
        Any,
        "Attributes of all metrics.",
    ),
    field("traces_static_attributes", Any, "Attributes of all traces."),
];

/// How long a call may take.
const BOTH: &str =
    "a call may take as long as both together, 30s at most; 500ms where neither is written";
/// A store has one connection.
const ONE: &str = "no effect, which a warning tells: one connection carries all calls";

const POOL: &[Field] = &[
    field("name", Text, "What others call it.").must(),
    field("address", Text, "Where it is.")
        .must()
        .eg("redis:6379"),
    field("user_name", Text, "The user."),
    field("password", Text, "The password."),
    field("db", Int, "The database.").or("0"),
    field("client_name", Text, "Our name there."),
    field("tls", Any, "TLS."),
    field("pool_size", Int, "Connections.")
        .or("10")
        .differs(ONE),
    field("pool_timeout", Duration, "How long to wait for one.").differs(ONE),
    field(
        "min_idle_conns",
        Int,
        "How many idle ones are kept at least.",
    )
    .differs(ONE),
    field("max_idle_conns", Int, "How many at most.").differs(ONE),
    field("max_active_conns", Int, "How many in all.").differs(ONE),
    field("conn_max_idle_time", Duration, "How long one may idle.")
        .differs("it is made anew then; never where this is not written"),
    field("conn_max_life_time", Duration, "How long one may live.").differs("it is made anew then"),
    field("dial_timeout", Duration, "How long connecting may take.").or("5s"),
    field("read_timeout", Duration, "How long reading may take.").differs(BOTH),
    field("write_timeout", Duration, "How long writing may take.").differs(BOTH),
    field(
        "max_retries",
        Int,
        "How often a call is made again before the store counts as away.",
    )
    .or("3"),
    field("min_retry_backoff", Duration, "The shortest pause.").or("8ms"),
    field("max_retry_backoff", Duration, "The longest.").or("512ms"),
    field("opentelemetry", Object(OTEL_STORE), "What is measured.")
        .differs("no effect, which a warning tells"),
];

const CLUSTER: &[Field] = &[
    field("name", Text, "What others call it.").must(),
    field("addresses", List(&Text), "Where it is.").must(),
    field("user_name", Text, "The user."),
    field("password", Text, "The password."),
    field("client_name", Text, "Our name there."),
    field("tls", Any, "TLS."),
    field("client_tls", Any, "TLS, in its newer spelling."),
    field(
        "max_redirects",
        Int,
        "How many redirects inside of the cluster.",
    )
    .or("3"),
    field("pool_size", Int, "Connections.")
        .or("10")
        .differs(ONE),
    field("pool_timeout", Duration, "How long to wait for one.").differs(ONE),
    field(
        "min_idle_conns",
        Int,
        "How many idle ones are kept at least.",
    )
    .differs(ONE),
    field("max_idle_conns", Int, "How many at most.").differs(ONE),
    field("max_active_conns", Int, "How many in all.").differs(ONE),
    field("conn_max_idle_time", Duration, "How long one may idle.")
        .differs("it is made anew then; never where this is not written"),
    field("conn_max_life_time", Duration, "How long one may live.").differs("it is made anew then"),
    field("dial_timeout", Duration, "How long connecting may take.").or("5s"),
    field("read_timeout", Duration, "How long reading may take.").differs(BOTH),
    field("write_timeout", Duration, "How long writing may take.").differs(BOTH),
    field(
        "max_retries",
        Int,
        "How often a call is made again before the store counts as away.",
    )
    .or("3"),
    field("min_retry_backoff", Duration, "The shortest pause.").or("8ms"),
    field("max_retry_backoff", Duration, "The longest.").or("512ms"),
    field("opentelemetry", Object(OTEL_STORE), "What is measured.")
        .differs("no effect, which a warning tells"),
];

const QUOTA_DEFINITION: &[Field] = &[
    field("name", Text, "Its name.").must(),
    field("connection_name", Text, "Which connection of `redis`.").must(),
    field("hash_keys", Flag, "Hash the names of callers.").or("false"),
    field(
        "on_failure_allow",
        Flag,
        "Let requests pass while the store is away.",
    ),
    field(
        "on_failure_backoff_strategy",
        Word(&["linear", "exponential"]),
        "How the pauses grow.",
    )
    .or("exponential"),
    field("on_failure_max_retries", Int, "How often again.").or("0"),
    field(
        "rejecter_cache",
        Object(&[
            field("N", Int, "How many callers.").must(),
            field("P", Number, "How likely a mistake is.").must(),
            field("hash_name", Text, "How they are hashed."),
            field("cleanup_interval", Duration, "How often it is emptied.").or("30m"),
        ]),
        "Callers that are over, remembered here.",
    ),
    field("deny_queue_size", Int, "Refusals that wait to be counted."),
    field("deny_queue_flush_threshold", Int, "How many go at once.").or("10"),
    field(
        "deny_queue_flush_interval",
        Duration,
        "How long they wait at most.",
    )
    .or("1s"),
    field(
        "rules",
        Some(&Object(&[
            field("name", Text, "Its name.").must(),
            field(
                "limits",
                Some(&Object(&[
                    field("amount", Int, "How many.").must(),
                    field(
                        "unit",
                        Word(&["second", "minute", "hour", "day", "week", "month", "year"]),
                        "In which time.",
                    )
                    .must(),
                ])),
                "Its limits.",
            )
            .must(),
        ])),
        "Plans.",
    )
    .must(),
];

const QUOTA: &[Field] = &[
    field("quota_name", Text, "Which quota.").must(),
    field("tier_key", Text, "The header field that names the plan.").must(),
    field(
        "tiers",
        Some(&Object(&[
            field("rule_name", Text, "Which rule of the quota.").must(),
            field("tier_value", Text, "The name of the plan."),
            field("tier_value_as", TIER_AS, "How the name is compared.").or("literal"),
            field("strategy", STRATEGY, "What a caller is known by."),
            field("key", Text, "The header field or parameter."),
        ])),
        "Plans; the first that fits counts.",
    )
    .must(),
    field("weight_key", Text, "Where the cost of a request stands."),
    field("weight_strategy", Word(&["body", "header"]), "In what.").or("body"),
    field(
        "on_unmatched_tier_allow",
        Flag,
        "Callers without a plan pass.",
    )
    .or("false"),
    field("disable_quota_headers", Flag, "No header fields about it.").or("false"),
];

/// The namespaces.
pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "qos/ratelimit/router",
        &[E],
        Object(ROUTER),
        "How many requests an endpoint takes, in all and of each client.",
    )
    .differs("native: 429 for either limit; KrakenD answers 503 for `max_rate`"),
    entry(
        "qos/ratelimit/router",
        &[S],
        Object(ROUTER),
        "How many requests the whole service takes.",
    )
    .own()
    .differs("KrakenD ignores it at this level"),
    entry(
        "qos/ratelimit/proxy",
        &[B],
        Object(&[
            field("max_rate", Number, "Calls; 0 is no limit.").must(),
            field(
                "capacity",
                Int,
                "The size of the bucket; `max_rate` when absent.",
            ),
            field("every", Duration, "The time in which the rate counts.").or("1s"),
        ]),
        "How many calls a backend gets.",
    ),
    entry(
        "qos/circuit-breaker",
        &[B],
        Object(BREAKER),
        "A backend that fails is left alone for a while.",
    )
    .differs("in native, a 5xx that is passed on and a stream that breaks off count too, a 4xx does not; there is a metric"),
    entry(
        "qos/circuit-breaker/http",
        &[B],
        Object(BREAKER_HTTP),
        "The same, judged by status.",
    )
    .enterprise(),
    entry(
        "qos/http-cache",
        &[B],
        Object(&[
            field("shared", Flag, "One cache for all backends that share.").or("false"),
            field(
                "max_size",
                Int,
                "Bytes; without it or `max_items` nothing is ever dropped.",
            ),
            field(
                "max_items",
                Int,
                "Answers; without it or `max_size` nothing is ever dropped.",
            ),
        ]),
        "Answers of a backend are kept in memory as their header fields allow.",
    ),
    entry(
        "qos/ratelimit/service",
        &[S],
        Object(ROUTER),
        "How many requests the whole service takes.",
    )
    .enterprise(),
    entry(
        "qos/ratelimit/service/redis",
        &[S],
        Object(REDIS_LIMIT),
        "The same, counted for several gateways.",
    )
    .enterprise(),
    entry(
        "qos/ratelimit/router/redis",
        &[E],
        Object(REDIS_LIMIT),
        "The limit of an endpoint, counted for several gateways.",
    )
    .enterprise(),
    entry(
        "qos/ratelimit/tiered",
        &[S, E],
        Object(TIERED),
        "Limits by plan.",
    )
    .enterprise(),
    entry(
        "governance/processors",
        &[S],
        Object(&[field("quotas", Some(&Object(QUOTA_DEFINITION)), "Quotas.").must()]),
        "Quotas and where they are counted.",
    )
    .enterprise(),
    entry(
        "governance/quota",
        &[S, E, B],
        Object(QUOTA),
        "A quota counts here.",
    )
    .enterprise(),
    entry(
        "redis",
        &[S],
        Object(&[
            field("connection_pools", List(&Object(POOL)), "Single stores."),
            field("clusters", List(&Object(CLUSTER)), "Clusters."),
        ]),
        "Stores that others share.",
    )
    .enterprise(),
];
