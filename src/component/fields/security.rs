//! `security/…`: other origins, hosts, robots, policies.

use super::Kind::{Duration, Flag, Int, Known, List, Map, Object, Regex, Text};
use super::{Entry, Field, entry, field};
use crate::component::Level::{Backend as B, Endpoint as E, Service as S};

const CORS: &[Field] = &[
    field(
        "allow_origins",
        List(&Text),
        "Origins that may ask; `*` in one stands for any text.",
    )
    .or("[\"*\"]")
    .eg("[\"https://*.example.org\"]")
    .differs(
        "native: `*` stands for labels of a host, or for a port where `is_development` is set; every origin \
         together with `allow_credentials` refuses the file",
    ),
    field(
        "allow_methods",
        List(&Known(&[
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS",
        ])),
        "Methods that they may use.",
    )
    .or("[\"GET\", \"POST\", \"HEAD\"]"),
    field(
        "allow_headers",
        List(&Text),
        "Header fields that they may send.",
    )
    .or("[\"*\"]"),
    field(
        "expose_headers",
        List(&Text),
        "Header fields that they may read.",
    ),
    field(
        "allow_credentials",
        Flag,
        "They may send cookies and credentials.",
    )
    .or("false"),
    field(
        "allow_private_network",
        Flag,
        "Public pages may ask a private network.",
    )
    .or("false"),
    field(
        "options_passthrough",
        Flag,
        "Preflights go on to the endpoint.",
    )
    .or("false"),
    field("options_success_status", Int, "The status of a preflight.").or("204"),
    field("max_age", Duration, "How long a preflight holds.").eg("12h"),
    field("debug", Flag, "Log decisions.").or("false"),
    field(
        "is_development",
        Flag,
        "Production never reads this file: origins such as `http://localhost:*` are allowed.",
    )
    .or("false")
    .ours(),
];

const HTTP: &[Field] = &[
    field(
        "allowed_hosts",
        List(&Text),
        "Hosts that requests may name; all when empty.",
    )
    .eg("[\"api.example.org\"]"),
    field(
        "allowed_hosts_are_regex",
        Flag,
        "They are regular expressions.",
    )
    .or("false"),
    field(
        "host_proxy_headers",
        List(&Text),
        "Fields that name the host instead.",
    )
    .differs("native: believed from `router.trusted_proxies` only"),
    field("ssl_redirect", Flag, "Send plain HTTP to HTTPS.").or("false"),
    field("ssl_host", Text, "To this host; the request's when absent."),
    field(
        "ssl_proxy_headers",
        Map(&Text),
        "Fields and values that mean the request came by HTTPS.",
    )
    .eg("{\"X-Forwarded-Proto\": \"https\"}"),
    field(
        "sts_seconds",
        Int,
        "`Strict-Transport-Security`, in seconds; 0 is none.",
    )
    .or("0"),
    field("sts_include_subdomains", Flag, "With `includeSubDomains`.").or("false"),
    field(
        "force_sts_header",
        Flag,
        "Also where the request came by plain HTTP.",
    )
    .or("false"),
    field("frame_deny", Flag, "`X-Frame-Options: DENY`.").or("false"),
    field("custom_frame_options_value", Text, "Another value of it."),
    field(
        "content_type_nosniff",
        Flag,
        "`X-Content-Type-Options: nosniff`.",
    )
    .or("false"),
    field(
        "browser_xss_filter",
        Flag,
        "`X-XSS-Protection: 1; mode=block`.",
    )
    .or("false"),
    field(
        "content_security_policy",
        Text,
        "`Content-Security-Policy`.",
    )
    .eg("default-src 'self'"),
    field("referrer_policy", Text, "`Referrer-Policy`.").eg("same-origin"),
    field(
        "hpkp_public_key",
        Text,
        "Accepted and without meaning: browsers dropped it.",
    ),
    field(
        "is_development",
        Flag,
        "Hosts, redirects and `Strict-Transport-Security` are left alone.",
    )
    .or("false"),
];

const BOTS: &[Field] = &[
    field(
        "allow",
        List(&Text),
        "User agents that always pass, letter by letter.",
    ),
    field("deny", List(&Text), "User agents that never do."),
    field(
        "patterns",
        List(&Regex),
        "Regular expressions of user agents that do not.",
    )
    .eg("[\"(?i)crawler\"]"),
    field(
        "cache_size",
        Int,
        "How many decisions are remembered; 0 is none.",
    )
    .or("0")
    .differs("none are: all patterns are one automaton"),
    field("empty_user_agent_is_bot", Flag, "No user agent is a bot.").or("false"),
];

const POLICY: &[Field] = &[
    field("policies", List(&Text), "Expressions that must all hold.").must(),
    field(
        "error",
        Object(&[
            field("status", Int, "The status.").or("500"),
            field("body", Text, "The body."),
            field("content_type", Text, "Its type.").or("text/plain"),
        ]),
        "What is answered otherwise.",
    ),
];

/// The namespaces.
pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "security/cors",
        &[S],
        Object(CORS),
        "Pages of other origins may ask.",
    )
    .differs("native: what a backend says of CORS is replaced, and requested fields may come in any order; a value of a wrong type refuses the file"),
    entry(
        "security/cors",
        &[E],
        Object(CORS),
        "Pages of other origins may ask this endpoint; in place of the service's rules.",
    )
    .enterprise()
    .differs("served in the native dialect"),
    entry(
        "security/http",
        &[S],
        Object(HTTP),
        "Hosts, redirects to HTTPS, and header fields that browsers heed.",
    )
    .differs("a host pattern that cannot be compiled refuses the file. Native: a wrong host is 403 and not 500, `host_proxy_headers` are believed from trusted proxies only, and a backend's own field is replaced"),
    entry(
        "security/http",
        &[E],
        Object(HTTP),
        "The same for one endpoint, on top of the service's.",
    )
    .enterprise()
    .differs("served in the native dialect"),
    entry(
        "security/bot-detector",
        &[S, E],
        Object(BOTS),
        "Robots are refused by their user agent.",
    )
    .differs(
        "native: a pattern that cannot be compiled refuses the file; KrakenD (and the krakend dialect, with a warning) drops the whole component",
    ),
    entry(
        "security/policies",
        &[E, B],
        Object(&[
            field("req", Object(POLICY), "Before the call."),
            field("resp", Object(POLICY), "After it."),
            field("jwt", Object(POLICY), "On the token; 403 otherwise."),
            field(
                "auto_join_policies",
                Flag,
                "All expressions of a list as one.",
            )
            .or("false"),
            field("disable_macros", Flag, "Without macros.").or("false"),
            field("debug", Flag, "Log decisions.").or("false"),
        ]),
        "Rules as expressions.",
    )
    .enterprise(),
];
