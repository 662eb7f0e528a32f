//! `hanzo/…` and `auth/public`: what KrakenD does not have.

use super::Kind::{
    Any, Between, Duration, Either, Flag, Int, Like, List, Map, Min, Number, Object, Range, Size,
    Some, Text, Word,
};
use super::{Entry, Field, Kind, auth, entry, field};
use crate::component::Level::{Backend as B, Endpoint as E, Service as S};

const BODY_LIMITS: &[Field] = &[
    field(
        "max_body",
        Size,
        "The longest request body; it is counted while it arrives.",
    )
    .or("10MB"),
    field(
        "body_min_rate",
        Size,
        "Bytes a second that a body must keep up once `body_grace` is over.",
    )
    .or("1KB"),
    field("body_grace", Duration, "How long a body may be slow.").or("10s"),
];

const LIMITS: &[Field] = &[
    field(
        "max_body",
        Size,
        "The longest request body; it is counted while it arrives.",
    )
    .or("10MB"),
    field(
        "body_min_rate",
        Size,
        "Bytes a second that a body must keep up once `body_grace` is over.",
    )
    .or("1KB"),
    field("body_grace", Duration, "How long a body may be slow.").or("10s"),
    field("max_url", Size, "The longest request target; at least 64.").or("8KB"),
    field(
        "max_headers",
        Size,
        "How many header fields a request may have; at least 4.",
    )
    .or("64"),
    field(
        "max_header_bytes",
        Size,
        "The longest request head; at least 256.",
    )
    .or("16KB"),
    field(
        "header_timeout",
        Duration,
        "How long a whole request head may take to arrive; at least 100ms.",
    )
    .or("10s"),
    field("max_connections", Size, "Connections in all."),
    field(
        "max_connections_per_address",
        Size,
        "Connections of one address, or of one network of 64 bits of IPv6; proxies of `router.trusted_proxies` have no such bound.",
    ),
];

const PROBE_INTERVAL: Field =
    field("interval", Duration, "Distance of probes; at least 100ms.").or("10s");
const PROBE_TIMEOUT: Field = field("timeout", Duration, "How long a probe may take.").or("3s");
const PROBE_PATH: Field = field(
    "path",
    Text,
    "What is asked for; an answer below 500 is a good one. Without it a connection is enough.",
)
.eg("/health");
const UNHEALTHY_AFTER: Field = field(
    "unhealthy_after",
    Min(0),
    "Failures in a row until a host is down.",
)
.or("2");
const HEALTHY_AFTER: Field = field(
    "healthy_after",
    Min(0),
    "Successes in a row until it is up again.",
)
.or("1");

const HEALTH: &[Field] = &[
    PROBE_INTERVAL,
    PROBE_TIMEOUT,
    field(
        "critical",
        List(&Text),
        "Backends without which the gateway is not ready.",
    )
    .eg("[\"iam\"]"),
    PROBE_PATH,
    UNHEALTHY_AFTER,
    HEALTHY_AFTER,
];

const HASH: &[Field] = &[
    field("header", Text, "A header field.").eg("X-User-ID"),
    field("cookie", Text, "A cookie.").eg("sid"),
];

const OUTLIERS: &[Field] = &[
    field(
        "failures",
        Min(0),
        "Failed calls and 5xx in a row until a host is left out; 0 for never.",
    )
    .or("5"),
    field(
        "ejection",
        Duration,
        "For how long the first time; twice as long each further time.",
    )
    .or("5s"),
    field("longest", Duration, "The longest that it is left out.").or("5m"),
];

const BALANCE: &[Field] = &[
    field(
        "method",
        Word(&["random", "round_robin", "least_requests", "hash"]),
        "Which host gets a call; as in KrakenD when absent: a random one, or one after the other where the machine has one processor.",
    ),
    field(
        "weights",
        List(&Range(0, 1_000_000)),
        "The share of each host, in the order of `host`; equal when absent.",
    )
    .eg("[3, 1]"),
    field(
        "hash",
        Object(HASH),
        "What keeps a caller at one host; the client's address where it is missing.",
    ),
    field(
        "all_down",
        Word(&["try", "refuse"]),
        "When no host is good: try all of them, or answer 503.",
    )
    .or("try"),
    field(
        "slow_start",
        Duration,
        "Over how long a host that is back gets its share again.",
    )
    .or("10s"),
    field(
        "outliers",
        Object(OUTLIERS),
        "When calls that fail take a host out; never more than half of the hosts.",
    ),
    field(
        "health",
        Object(&[
            PROBE_INTERVAL,
            PROBE_TIMEOUT,
            PROBE_PATH,
            UNHEALTHY_AFTER,
            HEALTHY_AFTER,
        ]),
        "How the hosts of this backend are probed, whether `hanzo/health` is there or not.",
    ),
];

const OVERLOAD: &[Field] = &[
    field(
        "max_lag",
        Duration,
        "How late the gateway's threads may be; at least 10ms.",
    )
    .or("200ms"),
    field(
        "max_memory",
        Size,
        "Nine tenths of this are too much; what the control group allows when absent.",
    )
    .eg("1GB"),
];

const CONCURRENCY: &[Field] = &[
    field(
        "max_calls",
        Range(1, 1_000_000),
        "How many calls it gets at the same time.",
    )
    .must()
    .eg("100"),
    field(
        "queue",
        Range(0, 1_000_000),
        "How many more may wait; known callers go before strangers.",
    )
    .or("0"),
    field("queue_timeout", Duration, "How long they may.").or("100ms"),
];

const RETRY: &[Field] = &[
    field(
        "tries",
        Range(1, 5),
        "Calls for one request, the first included.",
    )
    .or("2"),
    field(
        "back_off",
        Duration,
        "The wait before the second, with jitter; twice as long before each further one.",
    )
    .or("25ms"),
    field(
        "try_timeout",
        Duration,
        "The longest wait for an answer while there are tries left; the whole timeout when absent.",
    )
    .eg("2s"),
    field(
        "statuses",
        List(&Int),
        "Answers that are as good as none: 429 and statuses from 500.",
    )
    .or("[]")
    .eg("[502, 503]"),
    field(
        "budget",
        Range(0, 100),
        "Calls made again for a hundred requests of the last ten seconds.",
    )
    .or("20"),
    field(
        "least",
        Range(0, 1_000),
        "Calls made again that are allowed in ten seconds however few requests there are.",
    )
    .or("10"),
];

const API_KEY: &[Field] = &[
    field("prefixes", Some(&Text), "How keys begin.").or("[\"sk-hanzo-\"]"),
    field(
        "headers",
        Some(&Text),
        "Where keys are: `Authorization` behind `Bearer`, other fields alone.",
    )
    .or("[\"Authorization\", \"X-IAM-Key\"]"),
    field("validate_url", Text, "Who knows whether a key is good.")
        .must()
        .eg("http://iam:8000/api/validate-key"),
    field("method", Word(&["POST", "GET", "PUT"]), "How it is asked.").or("POST"),
    field(
        "body",
        Any,
        "With which body: JSON in whose texts `{key}` stands for the key, or the text of a form.",
    )
    .or("{\"key\": \"{key}\"}"),
    field(
        "request_headers",
        Map(&Text),
        "With which fields besides; `{key}` in a value stands for the key.",
    )
    .eg("{\"X-Service\": \"gateway\"}"),
    field(
        "answer",
        Map(&Text),
        "Where the answer says whether the key is good (`valid`) and who has it: a dotted path for each claim; \
         `exp` is the moment when the key ends.",
    )
    .or("{\"valid\": \"valid\", \"sub\": \"user_id\", \"org\": \"org_id\", \"scope\": \"scopes\", \"tier\": \"tier\", \"roles\": \"roles\"}"),
    field(
        "refused_statuses",
        List(&Range(400, 499)),
        "Statuses that say that a key is no good; without them only a clear answer does.",
    )
    .eg("[404]"),
    field(
        "cache_ttl",
        Duration,
        "How long a good key stays good unasked; in use it is asked about again before.",
    )
    .or("5m"),
    field(
        "negative_ttl",
        Duration,
        "How long a bad key stays bad unasked.",
    )
    .or("10s"),
    field(
        "stale_if_error",
        Duration,
        "How much longer a good key stays good while nobody answers.",
    )
    .or("1h"),
    field("timeout", Duration, "How long asking may take.").or("2s"),
];

const INTROSPECTION: &[Field] = &[
    field("url", Text, "Who knows whether a token is good (RFC 7662).")
        .must()
        .eg("http://iam:8000/introspect"),
    field("client_id", Text, "Our name there."),
    field("client_secret", Text, "Our secret there."),
    field(
        "client_secret_file",
        Text,
        "A file with our secret, in place of `client_secret`.",
    ),
    field(
        "client_auth",
        Word(&["client_secret_basic", "client_secret_post"]),
        "How we show it (RFC 6749 section 2.3.1).",
    )
    .or("client_secret_basic"),
    field(
        "token_type_hint",
        Text,
        "What it is told of the token's kind; nothing when empty.",
    )
    .or("access_token"),
    field("issuer", Text, "The issuer that answers must name."),
    field("audience", List(&Text), "Audiences that answers must name."),
    field(
        "audience_match",
        Word(&["any", "all"]),
        "Whether one of them is enough.",
    )
    .or("any"),
    field(
        "cache_ttl",
        Duration,
        "How long an answer holds, at most until the token ends.",
    )
    .or("60s"),
    field(
        "negative_ttl",
        Duration,
        "How long a bad token stays bad unasked.",
    )
    .or("10s"),
    field(
        "stale_if_error",
        Duration,
        "How much longer a good token stays good while nobody answers, at most until it ends.",
    )
    .or("1h"),
    field("timeout", Duration, "How long asking may take.").or("2s"),
];

const AUTH_SERVICE: &[Field] = &[
    field(
        "jwt",
        Object(auth::VALIDATOR),
        "Signed tokens, with the fields of `auth/validator`; by default `leeway` is 30s, `cache_duration` 3600 and \
         one audience is enough.",
    ),
    field("api_key", Object(API_KEY), "API keys."),
    field("introspection", Object(INTROSPECTION), "Opaque tokens."),
    field(
        "claims",
        Map(&Text),
        "Which claim becomes which header field towards backends.",
    )
    .or("{\"sub\": \"X-User-ID\", \"org\": \"X-Org-ID\", \"scope\": \"X-Scopes\"}"),
    field(
        "public",
        List(&Text),
        "Endpoints that need no credentials, by their path; a final `*` stands for the rest.",
    )
    .eg("[\"/v1/auth/login\", \"/v1/auth/.well-known/*\"]"),
];

const AUTH_ENDPOINT: &[Field] = &[
    field("public", Flag, "No credentials are needed.").or("false"),
    field(
        "methods",
        List(&Word(&["jwt", "api_key", "introspection"])),
        "What counts here; everything of the service when absent.",
    ),
    field("scopes", List(&Text), "Scopes that a caller needs."),
    field(
        "scopes_matcher",
        Word(&["all", "any"]),
        "Whether one scope is enough.",
    )
    .or("all"),
    field("roles", List(&Text), "Roles of which a caller needs one."),
];

const MTLS_HEADERS: &[Field] = &[
    field(
        "subject",
        Text,
        "Its distinguished name, as RFC 4514 writes it.",
    )
    .eg("X-Client-Subject"),
    field("common_name", Text, "The first common name of it."),
    field("issuer", Text, "The distinguished name of who signed it."),
    field("serial", Text, "Its serial number, in hexadecimal digits."),
    field("fingerprint", Text, "Its SHA-256, in hexadecimal digits."),
    field("san_dns", Text, "The names of hosts that it is for."),
    field(
        "san_uri",
        Text,
        "The URIs that it is for, those of SPIFFE too.",
    ),
    field("san_email", Text, "The addresses of mail that it is for."),
    field("san_ip", Text, "The IP addresses that it is for."),
];

const MTLS_ALLOW: &[Field] = &[
    field("subject", List(&Text), "Distinguished names."),
    field("common_name", List(&Text), "Common names."),
    field(
        "issuer",
        List(&Text),
        "Distinguished names of who signed it.",
    ),
    field("serial", List(&Text), "Serial numbers."),
    field("fingerprint", List(&Text), "SHA-256 of whole certificates."),
    field("san_dns", List(&Text), "Names of hosts.").eg("[\"*.clients.example.org\"]"),
    field("san_uri", List(&Text), "URIs.").eg("[\"spiffe://example.org/ns/*/sa/web\"]"),
    field("san_email", List(&Text), "Addresses of mail."),
    field("san_ip", List(&Text), "IP addresses and networks."),
];

const MTLS_SERVICE: &[Field] = &[
    field(
        "headers",
        Object(MTLS_HEADERS),
        "What of the certificate becomes which header field towards backends.",
    ),
    field(
        "require",
        Flag,
        "A request needs a certificate; otherwise one without passes as nobody.",
    )
    .or("true"),
    field(
        "allow",
        Object(MTLS_ALLOW),
        "Patterns of which a certificate has to fit one: `*` stands for a part, `**` for anything; without them every verified one is let in.",
    ),
    field(
        "crls",
        List(&Text),
        "Files of revoked certificates (PEM or DER); they are read again at each reload.",
    ),
];

const MTLS_ENDPOINT: &[Field] = &[
    field(
        "headers",
        Object(MTLS_HEADERS),
        "As at the service, in place of what stands there.",
    ),
    field("require", Flag, "As at the service.").or("true"),
    field(
        "allow",
        Object(MTLS_ALLOW),
        "As at the service, in place of what stands there.",
    ),
];

const TIER: &[Field] = &[
    field("per_minute", Min(0), "How fast the bucket refills."),
    field(
        "per_day",
        Min(0),
        "Requests a day, counted from 00:00 UTC; 0 is no limit.",
    ),
    field("burst", Min(0), "The size of the bucket."),
];

const LIMIT_SERVICE: &[Field] = &[
    field(
        "global",
        Object(&[field("rate", Number, "Requests a second in all; 0 is no limit.").or("50000")]),
        "A limit for all callers together.",
    ),
    field(
        "identity",
        List(&Word(&["api_key", "org", "user", "ip"])),
        "Whose bucket it is: the first that is known.",
    )
    .or("[\"api_key\", \"org\", \"user\", \"ip\"]"),
    field("tiers", Map(&Object(TIER)), "Plans by name."),
    field("tier_claim", Text, "The claim that names the plan."),
    field("default_tier", Text, "The plan of all others."),
    field(
        "store",
        Object(&[
            field("valkey", Either(&[Text, List(&Text)]), "Where the counters are shared: a URL (`redis`, `rediss`, `valkey`, `valkeys`), or the nodes of a cluster.").eg("redis://valkey:6379"),
            field("cluster", Flag, "The one URL is a node of a cluster.").or("false"),
            field("ca_file", Text, "Who vouches for its certificate, instead of the roots of the machine (PEM)."),
            field(
                "on_failure",
                Word(&["local"]),
                "What holds while it is away.",
            )
            .or("local"),
        ]),
        "Counters of several gateways.",
    ),
];

const SPLIT_BACKEND: &[Field] = &[
    field("weight", Range(0, 1_000_000), "Its share.")
        .or("0")
        .eg("10"),
    field(
        "match",
        Object(&[
            field("header", Text, "A field.").must().eg("X-Canary"),
            field("value", Text, "Its value; any when absent.").eg("yes"),
        ]),
        "Requests that always go there.",
    ),
];

const SPLIT: &[Field] = &[
    field(
        "backends",
        Either(&[List(&Object(SPLIT_BACKEND)), Map(&Object(SPLIT_BACKEND))]),
        "The shares, in the order of `backend` or by the first host of each.",
    )
    .must(),
    field(
        "sticky",
        Object(&[
            field(
                "header",
                Text,
                "A field that keeps a caller at one backend.",
            ),
            field(
                "cookie",
                Text,
                "A cookie that does; who has none is given one.",
            ),
        ]),
        "What keeps a caller where it is.",
    ),
];

/// A name of a region.
const REGION: &str = "^[A-Za-z0-9._-]{1,64}$";

const FAILOVER: Kind = Either(&[List(&Text), Map(&List(&Text))]);

const THRESHOLDS: &[Field] = &[
    field("healthy", Between(0.0, 1.0), "The part of a region's hosts that has to be healthy for all of its traffic; below it, what is missing goes to the next region. Above 0.").or("0.7"),
    field("share", Min(1), "Requests in flight for each healthy host of a region, counted by each gateway for itself; what is above goes to the next region.").eg("100"),
    field("return_after", Duration, "How long a region has to be good without a break before it gets its traffic back.").or("30s"),
    field("ramp", Duration, "Over how long it gets all of it.").or("10s"),
];

/// The namespaces.
pub(super) const ENTRIES: &[Entry] = &[
    entry("hanzo/compat", &[S], Object(&[
        field("dialect", Word(&["native", "krakend"]), "What clients and backends see: the contract of this gateway, or KrakenD CE to the byte.").or("native"),
    ]), "Whose words the gateway speaks; `--compat` and `HANZO_COMPAT` win over it.").own(),
    entry("hanzo/edge", &[S], Object(&[
        field("lane", Word(&["auto", "off"]), "Which requests may take the fast lane: all that can, or none.").or("auto"),
    ]), "Whether requests may take the fast lane; `--lane` and `HANZO_GATEWAY_LANE` win over it.").own(),
    entry("hanzo/limits", &[S], Object(LIMITS), "Limits on what a client may send.").own(),
    entry("hanzo/limits", &[E], Object(BODY_LIMITS), "Limits on the bodies of one endpoint.").own(),
    entry("hanzo/health", &[S], Object(HEALTH), "Probes of backends: hosts that are down get no calls, and `/__health` tells of them.").own(),
    entry("hanzo/balance", &[B], Object(BALANCE), "Which of the hosts of a backend gets a call. In native, hosts that fail in a row are left out without it too.").own(),
    entry("hanzo/retry", &[B], Object(RETRY), "Calls that fail are made again at another host: what may be done twice, and anything of which nothing was sent. In native, once without it too where a backend has several hosts.").own(),
    entry("hanzo/overload", &[S], Object(OVERLOAD), "Requests are turned away while the gateway has more to do than it can, strangers first.").own(),
    entry("hanzo/overload", &[B], Object(CONCURRENCY), "How many calls a backend bears, counted over all endpoints that call the same hosts.").own(),
    entry("hanzo/auth", &[S], Object(AUTH_SERVICE), "Who may come in, for all endpoints.").own(),
    entry("hanzo/auth", &[E], Object(AUTH_ENDPOINT), "Who may come in at one endpoint.").own(),
    entry("auth/public", &[E], Flag, "The endpoint needs no credentials; the same as `public` in `hanzo/auth`.").own(),
    entry("hanzo/mtls", &[S], Object(MTLS_SERVICE), "Certificates of clients tell who they are, at every endpoint; `tls` says who vouches for them.").own(),
    entry("hanzo/mtls", &[E], Object(MTLS_ENDPOINT), "Certificates of clients at one endpoint.").own(),
    entry("hanzo/ratelimit", &[S], Object(LIMIT_SERVICE), "Plans, and a limit for all.").own(),
    entry("hanzo/ratelimit", &[E], Object(&[
        field("rate", Number, "Requests a second."),
        field("burst", Int, "The size of the bucket."),
        field("cost", Number, "How much one request takes from the caller's bucket.").or("1"),
    ]), "The limit of one endpoint.").own(),
    entry("hanzo/cache", &[E], Object(&[
        field("ttl", Duration, "How long an answer is fresh."),
        field("stale_while_revalidate", Duration, "How long a stale one serves while a new one is fetched."),
        field("stale_if_error", Duration, "How long a stale one serves while the backend fails."),
        field("max_object", Size, "The longest answer that is kept."),
        field("tags", List(&Text), "Names to drop answers by."),
    ]), "Answers are kept in memory.").own(),
    entry("hanzo/split", &[E], Object(SPLIT), "One of the endpoint's backends answers instead of all: canaries and A/B tests.").own(),
    entry("hanzo/regions", &[S], Object(&[
        field("region", Like(REGION, "a name of letters, digits, `-`, `_`, `.`"), "Where a gateway is that is not told otherwise (`--region`, `HANZO_REGION`), and where hosts are of which nothing else is said.").eg("eu"),
        field("peers", Map(&Map(&Either(&[Text, List(&Text)]))), "For each other region, which hosts or domains there stand for which in `host`; the longest that fits counts, and ports stay unless one is written.").eg("{\"us\": {\"hanzo.svc\": \"us.hanzo.svc\"}}"),
        field("failover", FAILOVER, "Who stands in for whom: one order for all, or one for each region. Whoever is not listed stands in for nobody; without it all do, by name.").eg("[\"eu\", \"us\"]"),
        field("thresholds", Object(THRESHOLDS), "When they do."),
    ]), "Regions that stand in for each other: the gateway's own first. The file is the same everywhere, `--region` or `HANZO_REGION` says where it runs (`docs/REGIONS.md`).").own(),
    entry("hanzo/regions", &[B], Object(&[
        field("region", Like(REGION, "a name of letters, digits, `-`, `_`, `.`"), "Where the hosts of `host` are; the service's region without it.").eg("eu"),
        field("peers", Map(&Either(&[Text, List(&Text)])), "Hosts of the same service in other regions, in place of what the service's `peers` say; `{}` for none.").eg("{\"us\": [\"http://llm.us.example:4000\"]}"),
        field("failover", FAILOVER, "Who stands in for whom, in place of the service's."),
        field("thresholds", Object(THRESHOLDS), "When they do; what is not written is the service's."),
    ]), "Where a backend's hosts are, and where the same service is elsewhere.").own(),
];
