//! `router`, `proxy`, `server/…`, `websocket`, `workflow`: how requests are taken and answers made.

use super::Kind::{Any, Duration, Flag, Int, List, Map, Object, Open, Ref, Some, Text, Word};
use super::{Entry, Field, entry, field};
use crate::component::Level::{Agent as A, Backend as B, Endpoint as E, Service as S};

const ROUTER: &[Field] = &[
    field(
        "return_error_msg",
        Flag,
        "The text of an error becomes the body.",
    )
    .or("false")
    .differs("native: errors are JSON, always"),
    field(
        "error_body",
        Object(&[
            field("404", Any, "Body where there is no route."),
            field("405", Any, "Body where there is no method."),
        ]),
        "Bodies of the router's own refusals.",
    ),
    field("disable_health", Flag, "No health endpoint.").or("false"),
    field("health_path", Text, "Where the health endpoint is.").or("/__health"),
    field("disable_access_log", Flag, "No line for each request.").or("false"),
    field(
        "logger_skip_paths",
        List(&Text),
        "Paths without such a line.",
    ),
    field(
        "disable_redirect_trailing_slash",
        Flag,
        "`/a/` is not sent to `/a`, nor the other way.",
    )
    .or("false"),
    field(
        "disable_redirect_fixed_path",
        Flag,
        "`//A` is not sent to `/a`.",
    )
    .or("false"),
    field(
        "disable_handle_method_not_allowed",
        Flag,
        "404 instead of 405.",
    )
    .or("false"),
    field(
        "disable_path_decoding",
        Flag,
        "Encoded characters in parameters are let through.",
    )
    .or("false"),
    field(
        "auto_options",
        Flag,
        "`OPTIONS` is answered with the methods of a path.",
    )
    .or("false"),
    field(
        "forwarded_by_client_ip",
        Flag,
        "The address of the client comes from header fields.",
    )
    .or("true"),
    field("remote_ip_headers", List(&Text), "Which fields.")
        .or("[\"X-Forwarded-For\", \"X-Real-IP\"]"),
    field(
        "trusted_proxies",
        List(&Text),
        "Whose fields are believed; KrakenD believes everybody when absent.",
    )
    .eg("[\"10.0.0.0/8\"]")
    .differs("native: nobody when absent; an entry that is no network refuses the file"),
    field("app_engine", Flag, "`X-Appengine-Remote-Addr` is believed.").or("false"),
    field(
        "max_multipart_memory",
        Int,
        "Accepted and without meaning for a gateway.",
    ),
    field(
        "remove_extra_slash",
        Flag,
        "Double slashes are cleaned before matching.",
    )
    .or("false"),
    field("hide_version_header", Flag, "No version on answers.").or("false"),
    field("use_h2c", Flag, "HTTP/2 without TLS.").or("false"),
    field("max_payload", Int, "The longest body (Enterprise).")
        .or("0")
        .differs("use `max_body` of `hanzo/limits`"),
    field("decompress_gzip", Flag, "Inflate requests (Enterprise).")
        .or("false")
        .differs("not implemented"),
    field("disable_gzip", Flag, "Do not deflate answers (Enterprise).")
        .or("false")
        .differs("not implemented"),
];

const FLATMAP: super::Kind = List(&Object(&[
    field("type", Word(&["move", "del", "append"]), "What to do.").must(),
    field("args", List(&Text), "Dotted paths; `*` is every element.")
        .must()
        .eg("[\"users.*.name\", \"users.*.label\"]"),
]));

const PROXY: &[Field] = &[
    field(
        "sequential",
        Flag,
        "One backend after the other; later ones may use `{resp0_…}`.",
    )
    .or("false"),
    field(
        "sequential_propagated_params",
        List(&Text),
        "Values of earlier answers that later backends see though no pattern names them.",
    ),
    field(
        "static",
        Object(&[
            field(
                "strategy",
                Word(&["always", "success", "complete", "errored", "incomplete"]),
                "When.",
            )
            .must(),
            field("data", Open(&[]), "What.").must(),
        ]),
        "Fixed data in the answer.",
    )
    .eg("{\"strategy\": \"incomplete\", \"data\": {\"partial\": true}}"),
    field(
        "flatmap_filter",
        FLATMAP,
        "Changes of the merged answer, in order; needs two backends.",
    ),
    field(
        "combiner",
        Text,
        "How answers are merged; `default` is the only way.",
    ),
    field(
        "strategy",
        Text,
        "`parallel` or `sequential`; wins over `sequential`.",
    ),
    field(
        "force_sandboxed_request",
        Flag,
        "Each backend gets a copy of its own.",
    )
    .or("false")
    .differs("always so"),
    field("max_payload", Int, "The longest body (Enterprise).")
        .or("0")
        .differs("use `max_body` of `hanzo/limits`"),
    field("decompress_gzip", Flag, "Inflate requests (Enterprise).")
        .or("false")
        .differs("not implemented"),
];

const PROXY_BACKEND: &[Field] = &[
    field(
        "shadow",
        Flag,
        "It gets a copy, and nobody waits for its answer.",
    )
    .or("false"),
    field(
        "shadow_timeout",
        Duration,
        "How long that copy may take; the endpoint's time when absent.",
    ),
    field(
        "flatmap_filter",
        FLATMAP,
        "Changes of this answer, in order; `allow`, `deny` and `mapping` then do nothing.",
    ),
    field("sequential", Flag, "Accepted; it belongs to the endpoint.")
        .or("false")
        .old(),
];

const WEBSOCKET: &[Field] = &[
    field("input_headers", List(&Text), "Header fields that pass."),
    field(
        "connect_event",
        Flag,
        "Tell the backend of each new client.",
    )
    .or("false"),
    field("disconnect_event", Flag, "Tell it of each that leaves.").or("false"),
    field("read_buffer_size", Int, "Bytes.").or("1024"),
    field("write_buffer_size", Int, "Bytes.").or("1024"),
    field("message_buffer_size", Int, "Messages that wait.").or("256"),
    field("max_message_size", Int, "The longest message.").or("512"),
    field("write_wait", Duration, "How long a write may take.").or("10s"),
    field("pong_wait", Duration, "How long a client may be silent.").or("60s"),
    field("ping_period", Duration, "How often it is asked.").or("54s"),
    field(
        "max_retries",
        Int,
        "How often the backend is dialled again; 0 is for ever.",
    )
    .or("0"),
    field(
        "backoff_strategy",
        Word(super::messaging::BACKOFF),
        "How the pauses grow.",
    )
    .or("fallback"),
    field(
        "enable_direct_communication",
        Flag,
        "One connection to the backend for each client.",
    )
    .or("false"),
    field("return_error_details", Flag, "Tell clients why it failed.").or("false"),
    field("subprotocols", List(&Text), "Protocols spoken inside."),
    field("timeout", Duration, "How long dialling may take.").or("5m"),
    field("disable_otel_metrics", Flag, "No metrics.").or("false"),
];

/// What stands in `workflow`, and as the tool of an MCP server.
pub(super) const WORKFLOW: &[Field] = &[
    field(
        "endpoint",
        Text,
        "A name for logs, with the parameters that backends use.",
    )
    .must()
    .eg("/user/{id}"),
    field("backend", Some(&Ref("backend")), "The backends.").must(),
    field("extra_config", Any, "Components of this part."),
    field("concurrent_calls", Int, "How many equal calls race.").or("1"),
    field("timeout", Duration, "How long it may take."),
    field("output_encoding", Text, "How its answer is written."),
    field("ignore_errors", Flag, "The endpoint goes on when it fails.").or("false"),
    field("method", Text, "The method."),
    field("input_headers", List(&Text), "Header fields that pass."),
    field(
        "input_query_strings",
        List(&Text),
        "Query parameters that pass.",
    ),
];

/// The namespaces.
pub(super) const ENTRIES: &[Entry] = &[
    entry("router", &[S], Object(ROUTER), "Redirects, health, error bodies, client addresses.")
        .differs("one wrong value leaves its own key at the default; KrakenD (and the krakend dialect) drops the whole block"),
    entry("proxy", &[E, A], Object(PROXY), "How backends are called and their answers merged."),
    entry("proxy", &[B], Object(PROXY_BACKEND), "Shadow traffic, and changes of one answer."),
    entry("server/static-filesystem", &[S], Object(&[
        field("path", Text, "The folder.").must(),
        field("prefix", Text, "The path it is served under.").must(),
        field("skip", List(&Text), "Paths below it that are not."),
        field("directory_listing", Flag, "Show what is in a folder.").or("false"),
    ]), "Files are served.").enterprise(),
    entry("server/virtualhost", &[S], Object(&[
        field("hosts", List(&Text), "Names of hosts."),
        field("aliased_hosts", Map(&Text), "Names of hosts by alias."),
    ]), "Endpoints by host.").enterprise(),
    entry("websocket", &[E], Object(WEBSOCKET), "WebSockets through one connection to the backend.").enterprise()
        .differs("without it a `no-op` endpoint passes upgrades as they are, each on its own connection"),
    entry("workflow", &[B], Object(WORKFLOW), "An endpoint inside of a backend.").enterprise(),
];
