//! `ai/…`: language models as backends, tools for them.

use super::Kind::{Any, Between, Duration, Flag, List, Min, Object, Open, Sole, Some, Text, Word};
use super::{Entry, Field, Kind, entry, field};
use crate::component::Level::{Backend as B, Endpoint as E, Service as S};

const VARIABLES: Kind = Open(&[
    field("model", Text, "The model."),
    field("max_tokens", Min(0), "The longest answer."),
    field("max_output_tokens", Min(0), "The longest answer."),
    field("temperature", Between(0.0, 2.0), "How free it is."),
    field(
        "top_p",
        Between(0.0, 1.0),
        "How much of the likely it takes.",
    ),
    field("top_k", Kind::Number, "How many of the likely it takes."),
    field("stop_sequences", List(&Text), "Where it ends."),
    field("extra_payload", Any, "Further values for the template."),
]);

const VERSION: Kind = Object(&[
    field("credentials", Text, "The key.").must(),
    field("variables", VARIABLES, "What the model is asked with.").must(),
    field("debug", Flag, "Log requests.").or("false"),
    field("input_template", Text, "A template of the request."),
    field("output_template", Text, "A template of the answer."),
]);

const OPEN_VERSION: Kind = Open(&[
    field("credentials", Any, "The key."),
    field("variables", VARIABLES, "What the model is asked with.").must(),
    field("debug", Flag, "Log requests.").or("false"),
    field("input_template", Text, "A template of the request."),
    field("output_template", Text, "A template of the answer."),
]);

const LLM: &[Field] = &[
    field(
        "openai",
        Sole(&[field("v1", VERSION, "Version 1.")]),
        "OpenAI.",
    ),
    field(
        "mistral",
        Sole(&[field("v1", VERSION, "Version 1.")]),
        "Mistral.",
    ),
    field(
        "anthropic",
        Sole(&[field("v1", VERSION, "Version 1.")]),
        "Anthropic.",
    ),
    field(
        "gemini",
        Sole(&[field("v1beta", VERSION, "Version 1 beta.")]),
        "Gemini.",
    ),
    field(
        "bedrock",
        Sole(&[field("v1", OPEN_VERSION, "Version 1.")]),
        "Bedrock.",
    ),
];

const TOOL: &[Field] = &[
    field("name", Text, "Its name.").must(),
    field("title", Text, "Its title.").must(),
    field("description", Text, "What it does.").must(),
    field("type", Word(&["text", "audio", "image"]), "What it gives."),
    field("annotations", Any, "Hints."),
    field("input_schema", Any, "What it takes."),
    field("output_schema", Any, "What it gives, as a schema."),
    field("input_headers", List(&Text), "Header fields that pass."),
    field("return_error_msg", Flag, "Tell why it failed."),
    field(
        "workflow",
        Object(super::router::WORKFLOW),
        "What it calls.",
    )
    .must(),
];

/// The namespaces.
pub(super) const ENTRIES: &[Entry] = &[
    entry("ai/llm", &[B], Sole(LLM), "A language model.").enterprise(),
    entry(
        "ai/mcp",
        &[S],
        Object(&[field(
            "servers",
            Some(&Object(&[
                field("name", Text, "Its name.").must(),
                field("title", Text, "Its title.").must(),
                field("version", Text, "Its version.").must(),
                field("instructions", Text, "How to use it."),
                field("json_response", Flag, "JSON instead of a stream.").or("false"),
                field("stateless", Flag, "No sessions.").or("false"),
                field("ping_period", Duration, "How often clients are asked."),
                field("tools", List(&Object(TOOL)), "Its tools."),
            ])),
            "The servers.",
        )
        .must()]),
        "Servers of the Model Context Protocol.",
    )
    .enterprise(),
    entry(
        "ai/mcp",
        &[E],
        Object(&[field("server_name", Text, "Which server.").must()]),
        "Where such a server is.",
    )
    .enterprise(),
];
