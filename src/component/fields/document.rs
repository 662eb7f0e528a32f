//! The keys of the document itself: service, endpoint, backend, agent, TLS, plugins.

use super::Kind::{
    Code, Duration, Flag, Int, Known, Like, List, Map, Number, Object, Open, Range, Ref, Some,
    Text, Word,
};
use super::{Field, Part, field, part};

const VERSIONS: super::Kind = Word(&["SSL3.0", "TLS10", "TLS11", "TLS12", "TLS13"]);
const ENCODINGS_OUT: super::Kind = Word(&[
    "json",
    "fast-json",
    "json-collection",
    "xml",
    "yaml",
    "negotiate",
    "string",
    "no-op",
]);
const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE"];

/// The document.
pub const SERVICE: &[Field] = &[
    field("version", Code(&[3]), "The version of this format.").must(),
    field("name", Text, "A name for logs and telemetry."),
    field("port", Range(0, 65535), "The port to listen on.").or("8080"),
    field(
        "listen_ip",
        Text,
        "The address to listen on, IPv4 or IPv6; all interfaces when absent.",
    )
    .eg("127.0.0.1"),
    field("host", List(&Text), "Hosts of backends that name none.").eg("[\"http://users:8080\"]"),
    field(
        "timeout",
        Duration,
        "How long an endpoint may take that says nothing itself.",
    )
    .or("2s"),
    field(
        "cache_ttl",
        Duration,
        "`Cache-Control: public, max-age=…` of complete answers.",
    )
    .or("0s"),
    field(
        "output_encoding",
        ENCODINGS_OUT,
        "How answers are written where an endpoint says nothing.",
    )
    .or("json"),
    field("endpoints", List(&Ref("endpoint")), "What is served."),
    field(
        "async_agent",
        List(&Ref("async_agent")),
        "What is done on messages of a queue.",
    )
    .differs("not implemented yet"),
    field(
        "extra_config",
        Ref("service_extra_config"),
        "Components of the whole service.",
    ),
    field(
        "debug_endpoint",
        Flag,
        "Serve `/__debug/`, which logs what it gets.",
    )
    .or("false"),
    field(
        "echo_endpoint",
        Flag,
        "Serve `/__echo/`, which answers with what it gets.",
    )
    .or("false"),
    field(
        "disable_rest",
        Flag,
        "Allow parameters inside of path segments, such as `/file.{ext}`.",
    )
    .or("false"),
    field(
        "sequential_start",
        Flag,
        "Start async agents one after another.",
    )
    .or("false"),
    field("plugin", Ref("plugin"), "Where Go plugins are.")
        .differs("Go plugins cannot be loaded; a file that asks for one is told so"),
    field("tls", Ref("tls"), "TLS towards clients."),
    field("client_tls", Ref("client_tls"), "TLS towards backends."),
    field(
        "allow_insecure_connections",
        Flag,
        "Do not verify certificates of backends.",
    )
    .or("false")
    .old(),
    field("use_h2c", Flag, "HTTP/2 without TLS towards clients.").or("false"),
    field(
        "read_timeout",
        Duration,
        "How long a whole request may take to arrive; 0 is no limit.",
    )
    .or("0s")
    .differs("native: `hanzo/limits` bounds head and body besides"),
    field(
        "write_timeout",
        Duration,
        "How long writing an answer may take; 0 is no limit.",
    )
    .or("0s"),
    field(
        "idle_timeout",
        Duration,
        "How long a kept connection may be idle; 0 is `read_timeout`.",
    )
    .or("0s")
    .differs("60s when nothing is set"),
    field(
        "read_header_timeout",
        Duration,
        "How long a request head may take to arrive.",
    )
    .or("0s")
    .differs("native: 10s when nothing is set"),
    field("max_header_bytes", Int, "The longest request head.")
        .or("1000000")
        .differs("native: 16 KiB when nothing is set"),
    field(
        "max_shutdown_wait_time",
        Duration,
        "How long requests may finish at shutdown; 0 is no limit.",
    )
    .or("0s"),
    field(
        "disable_keep_alives",
        Flag,
        "A connection to a backend serves one request only.",
    )
    .or("false"),
    field("disable_compression", Flag, "Do not ask backends for gzip.").or("false"),
    field(
        "max_idle_connections",
        Int,
        "Idle connections to backends in all; 0 is no limit.",
    )
    .or("0"),
    field(
        "max_idle_connections_per_host",
        Int,
        "Idle connections to one backend; 0 is 250.",
    )
    .or("250"),
    field(
        "idle_connection_timeout",
        Duration,
        "How long a connection to a backend may idle; 0 is for ever.",
    )
    .or("0s"),
    field(
        "response_header_timeout",
        Duration,
        "How long a backend may take for the head of its answer; 0 is no limit.",
    )
    .or("0s"),
    field(
        "expect_continue_timeout",
        Duration,
        "How long to wait for `100 Continue` of a backend.",
    )
    .or("0s"),
    field(
        "dialer_timeout",
        Duration,
        "How long connecting to a backend may take; 0 leaves it to the system.",
    )
    .or("0s"),
    field(
        "dialer_fallback_delay",
        Duration,
        "When the other address family is tried too; negative is never.",
    )
    .or("300ms"),
    field(
        "dialer_keep_alive",
        Duration,
        "Distance of TCP keep-alive probes; negative is none.",
    )
    .or("15s"),
    field(
        "dns_cache_ttl",
        Duration,
        "How often SRV records are asked for; below 1s the default holds.",
    )
    .or("30s"),
];

/// An endpoint.
pub const ENDPOINT: &[Field] = &[
    field(
        "endpoint",
        Like("^/[^*?&%]*(/\\*)?$", "path"),
        "The path; `{name}` takes one segment, a last `/*` all that follows.",
    )
    .must()
    .eg("/users/{id}")
    .differs("native: `/*` needs no Enterprise edition"),
    field("method", Known(METHODS), "The method.")
        .or("GET")
        .differs("native: any method"),
    field(
        "backend",
        Some(&Ref("backend")),
        "Where the answer comes from.",
    )
    .must(),
    field(
        "timeout",
        Duration,
        "How long the endpoint may take; 0 is the service's.",
    )
    .differs(
        "native, `no-op`: for the head of the answer; then no pause between pieces longer than 60s",
    ),
    field(
        "cache_ttl",
        Duration,
        "`Cache-Control: public, max-age=…` of complete answers; 0 is the service's.",
    ),
    field(
        "output_encoding",
        ENCODINGS_OUT,
        "How the answer is written.",
    ),
    field(
        "concurrent_calls",
        Int,
        "How many equal calls race for each backend.",
    )
    .or("1"),
    field(
        "input_headers",
        List(&Text),
        "Header fields that pass; `*` is all.",
    )
    .eg("[\"Authorization\"]")
    .differs("native: with `*`, hop-by-hop and identity fields stay behind"),
    field(
        "input_query_strings",
        List(&Text),
        "Query parameters that pass; `*` is all.",
    )
    .eg("[\"page\"]"),
    field(
        "extra_config",
        Ref("endpoint_extra_config"),
        "Components of this endpoint.",
    ),
];

/// A backend.
pub const BACKEND: &[Field] = &[
    field(
        "url_pattern",
        Text,
        "Path and query to ask for; `{name}` is a parameter of the endpoint.",
    )
    .must()
    .eg("/v1/users/{id}"),
    field(
        "host",
        List(&Text),
        "Where, balanced in turn; the service's hosts when absent.",
    )
    .eg("[\"http://users:8080\"]"),
    field(
        "disable_host_sanitize",
        Flag,
        "Take hosts as they are, for those that are no URL.",
    )
    .or("false"),
    field("method", Text, "The method; the endpoint's when absent.").eg("GET"),
    field(
        "encoding",
        Word(&[
            "json",
            "safejson",
            "fast-json",
            "xml",
            "rss",
            "string",
            "no-op",
            "yaml",
        ]),
        "How the answer is read.",
    )
    .or("json"),
    field(
        "is_collection",
        Flag,
        "The answer is a list; it becomes `{\"collection\": […]}`.",
    )
    .or("false"),
    field(
        "target",
        Text,
        "A dotted path in the answer; only what is there stays.",
    )
    .eg("data.user"),
    field(
        "allow",
        List(&Text),
        "Dotted paths that stay; all others go.",
    ),
    field(
        "deny",
        List(&Text),
        "Dotted paths that go, unless `allow` is there.",
    ),
    field("mapping", Map(&Text), "New names of top-level keys.").eg("{\"id\": \"user_id\"}"),
    field("group", Text, "A key to put the whole answer under."),
    field(
        "sd",
        Word(&["static", "dns"]),
        "Where hosts come from: `static` as written, `dns` from SRV records.",
    )
    .or("static"),
    field(
        "sd_scheme",
        Text,
        "The scheme of hosts that SRV records name.",
    )
    .or("http")
    .eg("https"),
    field(
        "input_headers",
        List(&Text),
        "A second, narrower filter of header fields; `*` has no meaning here.",
    ),
    field(
        "input_query_strings",
        List(&Text),
        "A second, narrower filter of query parameters.",
    ),
    field(
        "extra_config",
        Ref("backend_extra_config"),
        "Components of this backend.",
    ),
];

/// An async agent.
pub const AGENT: &[Field] = &[
    field("name", Text, "Its name in logs and health.").must(),
    field("connection", Open(CONNECTION), "How it reconnects."),
    field("consumer", Open(CONSUMER), "What it consumes.").must(),
    field("encoding", Text, "Accepted and without meaning."),
    field("backend", Some(&Ref("backend")), "Who gets the messages.").must(),
    field(
        "extra_config",
        Ref("agent_extra_config"),
        "The driver, and components of the pipe.",
    )
    .must(),
];

const CONNECTION: &[Field] = &[
    field(
        "max_retries",
        Int,
        "How often it reconnects; 0 is for ever.",
    )
    .or("0"),
    field(
        "backoff_strategy",
        Word(super::messaging::BACKOFF),
        "How the pauses grow; 1s each when absent.",
    )
    .or("fallback"),
    field(
        "health_interval",
        Duration,
        "How often it tells that it lives; at least 1s.",
    )
    .or("1s"),
];

const CONSUMER: &[Field] = &[
    field("topic", Text, "The topic, as the driver understands it.")
        .must()
        .eg("*.orders.#"),
    field("workers", Int, "How many messages are worked on at once.").or("1"),
    field(
        "timeout",
        Duration,
        "How long one message may take; the service's when absent.",
    ),
    field(
        "max_rate",
        Number,
        "Messages a second and worker; 0 is no limit.",
    )
    .or("0"),
];

const PLUGIN: &[Field] = &[
    field("pattern", Text, "What the file name contains.")
        .must()
        .eg(".so"),
    field("folder", Text, "Where the files are.")
        .must()
        .eg("/opt/krakend/plugins/"),
];

const TLS_KEYS: &[Field] = &[
    field("public_key", Text, "Certificate chain, PEM file.").must(),
    field("private_key", Text, "Its key, PEM file.").must(),
];

/// TLS towards clients. Without `keys` KrakenD's linter refuses it, even when it is switched off.
pub const TLS: &[Field] = &[
    field("disabled", Flag, "The section is ignored.").or("false"),
    field(
        "keys",
        List(&Object(TLS_KEYS)),
        "Certificates; the client's server name chooses, the first is the default.",
    )
    .eg("[{\"public_key\": \"/etc/tls/tls.crt\", \"private_key\": \"/etc/tls/tls.key\"}]"),
    field("public_key", Text, "A single certificate.").old(),
    field("private_key", Text, "Its key.").old(),
    field("min_version", VERSIONS, "The lowest version.")
        .or("TLS13")
        .differs("native: `TLS12`; below 1.2 nothing is spoken in either dialect"),
    field("max_version", VERSIONS, "The highest version.").or("TLS13"),
    field(
        "curve_preferences",
        List(&Int),
        "Curves by their registered numbers.",
    )
    .or("[23, 24, 25]"),
    field(
        "cipher_suites",
        List(&Int),
        "Suites of TLS 1.2 by their registered numbers.",
    ),
    field(
        "prefer_server_cipher_suites",
        Flag,
        "Accepted and without meaning.",
    )
    .or("false"),
    field("enable_mtls", Flag, "Clients must show a certificate.").or("false"),
    field(
        "ca_certs",
        List(&Text),
        "PEM files of authorities for client certificates.",
    ),
    field("disable_system_ca_pool", Flag, "Only `ca_certs` count.").or("false"),
];

const CLIENT_CERT: &[Field] = &[
    field("certificate", Text, "Certificate chain, PEM file.").must(),
    field("private_key", Text, "Its key, PEM file.").must(),
];

/// TLS towards backends.
pub const CLIENT_TLS: &[Field] = &[
    field(
        "allow_insecure_connections",
        Flag,
        "Do not verify certificates.",
    )
    .or("false"),
    field("ca_certs", List(&Text), "PEM files of further authorities."),
    field("disable_system_ca_pool", Flag, "Only `ca_certs` count.").or("false"),
    field(
        "client_certs",
        List(&Object(CLIENT_CERT)),
        "Certificates to show to backends.",
    ),
    field("min_version", VERSIONS, "The lowest version.")
        .or("TLS13")
        .differs("native: `TLS12`"),
    field("max_version", VERSIONS, "The highest version.").or("TLS13"),
    field(
        "curve_preferences",
        List(&Int),
        "Curves by their registered numbers.",
    ),
    field(
        "cipher_suites",
        List(&Int),
        "Suites of TLS 1.2 by their registered numbers.",
    ),
];

/// The parts of the document.
pub(super) const PARTS: &[Part] = &[
    part(
        "endpoint",
        Object(ENDPOINT),
        "One route: path, method, and the backends behind it.",
    ),
    part(
        "backend",
        Object(BACKEND),
        "One call to one service, and what becomes of its answer.",
    ),
    part(
        "async_agent",
        Object(AGENT),
        "Messages of a queue, each as a request to backends.",
    ),
    part("plugin", Open(PLUGIN), "Where Go plugins are."),
    part("tls", Object(TLS), "TLS towards clients."),
    part("client_tls", Object(CLIENT_TLS), "TLS towards backends."),
    part(
        "static_attributes",
        List(&Object(&[
            field("key", Text, "The name.").must(),
            field("value", Text, "The value.").must(),
        ])),
        "Attributes with fixed values.",
    ),
];
