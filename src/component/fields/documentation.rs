//! `documentation/…`: nothing of it changes what the gateway does.

use super::Kind::{Any, Flag, List, Object, Open, Text};
use super::{Entry, Field, Kind, entry, field};
use crate::component::Level::{Endpoint as E, Service as S};

const RESPONSE: Kind = Object(&[
    field("description", Text, "What it means."),
    field("content_type", Text, "Its type."),
    field("example", Any, "An example."),
    field("examples", Open(&[]), "Several."),
    field("example_schema", Any, "A JSON schema."),
    field("ref", Text, "A schema of `components_schemas`."),
]);

const REQUEST: Kind = Object(&[
    field("content_type", Text, "Its type.").must(),
    field("description", Text, "What it means."),
    field("example", Any, "An example."),
    field("examples", Open(&[]), "Several."),
    field("example_schema", Any, "A JSON schema."),
    field("ref", Text, "A schema of `components_schemas`."),
]);

const PARAMETER: Kind = Object(&[
    field("name", Text, "The name.").must(),
    field("description", Text, "What it means."),
    field("type", Text, "The type.").or("string"),
    field("format", Text, "The format."),
    field("enum", List(&Any), "Allowed values."),
    field("required", Flag, "Whether it must be there."),
    field("hide", Flag, "Leave it out.").or("false"),
    field("example", Any, "An example."),
    field("examples", Open(&[]), "Several."),
]);

/// KrakenD describes both levels by one schema.
const OPENAPI: &[Field] = &[
    field("description", Text, "A longer text."),
    field("summary", Text, "A short text."),
    field("version", Text, "The version of the API."),
    field("audience", List(&Text), "For whom it is."),
    field("base_path", Text, "What stands before every path."),
    field("host", Text, "Where the API is."),
    field("schemes", List(&Text), "How it is reached.").or("[\"http\"]"),
    field(
        "servers",
        List(&Object(&[
            field("url", Any, "The address.").must(),
            field("description", Text, "What it is."),
            field("variables", Open(&[]), "Variables of the address."),
        ])),
        "Where the API is.",
    ),
    field("terms_of_service", Text, "The terms."),
    field("contact_name", Text, "Whom to ask."),
    field("contact_email", Text, "By mail."),
    field("contact_url", Text, "On the web."),
    field("license_name", Text, "The licence."),
    field("license_url", Text, "Its text."),
    field("jwt_key", Text, "The name of the scheme with tokens.").or("KrakenD-JWT"),
    field("cookie_name", Text, "The cookie with a session.").or("SESSIONID"),
    field("components_schemas", Open(&[]), "Schemas to refer to."),
    field("custom_security_schemes", Open(&[]), "Further schemes."),
    field(
        "disable_default_response_definitions",
        Flag,
        "No answers of its own.",
    )
    .or("false"),
    field("example", Any, "An example of the answer."),
    field("operation_id", Text, "The name of the operation."),
    field("tags", List(&Text), "Groups."),
    field(
        "tag_definition",
        List(&Object(&[
            field("name", Text, "The name.").must(),
            field("description", Text, "What it groups."),
        ])),
        "Groups and what they are.",
    ),
    field(
        "param_definition",
        List(&PARAMETER),
        "Parameters of the path.",
    ),
    field(
        "query_definition",
        List(&PARAMETER),
        "Parameters of the query.",
    ),
    field("header_definition", List(&PARAMETER), "Header fields."),
    field("request_definition", List(&REQUEST), "Bodies of requests."),
    field("response_definition", RESPONSES, "Answers by status."),
];

/// Statuses and `default`; KrakenD's linter allows no comment among them.
const RESPONSES: Kind = Kind::Keys("default|^[0-9]+$", &RESPONSE);

const POSTMAN: &[Field] = &[
    field("name", Text, "The name."),
    field("description", Text, "What it is."),
    field("version", Any, "The version."),
    field("folder", Any, "Folders."),
];

/// The namespaces.
pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "documentation/openapi",
        &[S, E],
        Object(OPENAPI),
        "Texts for an OpenAPI description.",
    )
    .enterprise(),
    entry(
        "documentation/postman",
        &[S, E],
        Object(POSTMAN),
        "Texts for a Postman collection.",
    )
    .enterprise(),
];
