//! `validation/…`: requests and answers that must be so.

use super::Kind::{Any, Int, List, Object, Open, Text};
use super::{Entry, entry, field};
use crate::component::Level::{Agent as A, Backend as B, Endpoint as E};

/// The namespaces.
pub(super) const ENTRIES: &[Entry] = &[
    entry("validation/cel", &[E, B, A], List(&Object(&[
        field("check_expr", Text, "An expression that must be true.").must().eg("int(req_params.Id) > 0"),
        field("mod_expr", Text, "Accepted and without meaning."),
    ])), "Requests, answers and tokens must satisfy expressions.")
        .differs("native: an expression that cannot be compiled refuses the file; KrakenD (and the krakend dialect, with a warning) drops it or the component. Native: its variables decide when it runs, not the letters `req` and `resp` in its text"),
    entry("validation/json-schema", &[E, A], Open(&[]), "The body of a request must satisfy this JSON schema.")
        .differs("native: a schema that cannot be compiled refuses the file; KrakenD (and the krakend dialect, with a warning) validates nothing. No schema is fetched"),
    entry("validation/response-json-schema", &[E, B], Object(&[
        field("schema", Any, "The JSON schema.").must(),
        field("error", Object(&[
            field("status", Int, "The status.").or("500"),
            field("body", Text, "The body."),
            field("content_type", Text, "Its type.").or("text/plain"),
        ]), "What is answered otherwise."),
    ]), "The answer must satisfy a JSON schema.").enterprise(),
];
