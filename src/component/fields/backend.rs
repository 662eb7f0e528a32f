//! `backend/…`, `grpc`: how backends are called that are more than an HTTP service.

use super::Kind::{Any, Choice, Duration, Flag, Int, List, Map, Object, Open, Ref, Text, Word};
use super::{Entry, Field, entry, field};
use crate::component::Level::{Backend as B, Service as S};

const HTTP: &[Field] = &[
    field(
        "return_error_details",
        Text,
        "A name; the status and body of a failure become data under `error_<name>`.",
    )
    .eg("users"),
    field(
        "return_error_code",
        Flag,
        "The status of a failure is the client's, when it is the only backend.",
    ),
    field("http2", Flag, "Cleartext HTTP/2 with prior knowledge.")
        .or("false")
        .ours()
        .differs("native only"),
];

const CLIENT: &[Field] = &[
    field(
        "send_body_on_redirect",
        Flag,
        "Keep the body for a 307 or 308.",
    )
    .or("false"),
    field(
        "no_redirect",
        Flag,
        "Do not follow redirects: the 3xx is the answer (Enterprise).",
    )
    .or("false"),
    field(
        "proxy_address",
        Text,
        "The proxy that requests go through: `http://[user:password@]host[:port]` (Enterprise).",
    )
    .eg("http://proxy:3128")
    .differs("proxies are spoken to in plaintext; protocol upgrades are not passed on"),
    field(
        "client_tls",
        Ref("client_tls"),
        "TLS towards this backend, in place of the service's settings (Enterprise).",
    )
    .differs(
        "what cannot be read or kept refuses the file; protocol upgrades to it are not passed on",
    ),
];

const GRAPHQL: &[Field] = &[
    field("type", Word(&["query", "mutation"]), "What it is.").must(),
    field("method", Word(&["GET", "POST"]), "How it is sent.").or("POST"),
    field("query", Text, "The text.").eg("query($id: String) { user(id: $id) { name } }"),
    field("query_path", Text, "A file with the text; it wins."),
    field("operationName", Text, "Which operation of the text."),
    field(
        "variables",
        Open(&[]),
        "Values; `{name}` is a parameter of the endpoint.",
    )
    .eg("{\"id\": \"{id}\"}"),
];

const GRPC: &[Field] = &[
    field("client_tls", Ref("client_tls"), "TLS."),
    field("input_mapping", Map(&Text), "Parameters and their fields."),
    field(
        "header_mapping",
        Map(&Text),
        "Header fields and their metadata.",
    ),
    field("use_request_body", Flag, "The body is the message.").or("false"),
    field("disable_query_params", Flag, "Only parameters of the path.").or("false"),
    field("input_assume_bytes", Flag, "Bytes are not base64."),
    field("output_enum_as_string", Flag, "Names of enumerations."),
    field("output_timestamp_as_string", Flag, "Times as text."),
    field("output_duration_as_string", Flag, "Durations as text."),
    field(
        "output_remove_unset_values",
        Flag,
        "Leave out what is not set.",
    ),
    field(
        "request_naming_convention",
        Word(&["snake_case", "camelCase"]),
        "Names in requests.",
    ),
    field(
        "response_naming_convention",
        Word(&["snake_case", "camelCase"]),
        "Names in answers.",
    ),
    field("read_buffer_size", Int, "Bytes."),
    field("max_call_recv_msg_size", Int, "The longest answer."),
    field(
        "idle_conn_disconnect_time",
        Duration,
        "How long a connection may idle.",
    )
    .or("10m"),
    field("use_alternate_host_on_error", Flag, "Try another host."),
];

/// The namespaces.
pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "backend/http",
        &[B],
        Choice(HTTP, &["return_error_details", "return_error_code"]),
        "What becomes of a failure of the backend.",
    ),
    entry(
        "backend/http/client",
        &[B],
        Object(CLIENT),
        "How the HTTP client behaves.",
    ),
    entry(
        "backend/graphql",
        &[B],
        Object(GRAPHQL),
        "A GraphQL query or mutation.",
    )
    .differs("native: over GET the query really is sent, a query that cannot be read refuses the file, and a body that is no JSON object is the client's fault (400)"),
    entry(
        "backend/lambda",
        &[B],
        Object(&[
            field("function_name", Text, "The function."),
            field("function_param_name", Text, "The parameter that names it.").or("function"),
            field("region", Text, "The region.").eg("eu-west-1"),
            field("endpoint", Text, "Another address of the service."),
            field("max_retries", Int, "How often again.").or("0"),
        ]),
        "An AWS Lambda function.",
    ),
    entry(
        "backend/conditional",
        &[B],
        Object(&[
            field(
                "strategy",
                Word(&["header", "policy", "fallback"]),
                "When it is called.",
            )
            .must(),
            field("name", Text, "The header field."),
            field("value", Text, "Its value, or the policy."),
        ]),
        "The backend is called only if a rule holds.",
    )
    .enterprise(),
    entry("backend/grpc", &[B], Object(GRPC), "A gRPC method.").enterprise(),
    entry(
        "backend/soap",
        &[B],
        Object(&[
            field("path", Text, "A file with a Go template."),
            field("template", Text, "The template in place, base64."),
            field("content_type", Text, "The type.").or("text/xml"),
            field("debug", Flag, "Log what it makes.").or("false"),
        ]),
        "A SOAP request made of a template.",
    )
    .enterprise(),
    entry(
        "backend/static-filesystem",
        &[B],
        Object(&[
            field("path", Text, "The folder.").must(),
            field("directory_listing", Flag, "Show what is in a folder.").or("false"),
        ]),
        "Files as a backend.",
    )
    .enterprise(),
    entry(
        "grpc",
        &[S],
        Object(&[
            field(
                "catalog",
                List(&Text),
                "Descriptions: `.pb` files or folders.",
            )
            .must(),
            field(
                "server",
                Object(&[
                    field("services", List(&Any), "Services that are offered."),
                    field("opentelemetry", Any, "What is measured."),
                ]),
                "gRPC towards clients.",
            ),
        ]),
        "gRPC descriptions, and a gRPC server.",
    )
    .enterprise(),
];
