//! `modifier/…` but martian: scripts and changes of requests and answers.

use super::Kind::{Any, Duration, Flag, List, Map, Object, Size, Sole, Text, Word};
use super::{Entry, Field, entry, field};
use crate::component::Level::{Agent as A, Backend as B, Endpoint as E, Service as S};

const LUA: &[Field] = &[
    field("sources", List(&Text), "Files that run first.").eg("[\"lib.lua\"]"),
    field("pre", Text, "A script before the call.")
        .eg("local r = request.load(); r:headers('X-A', '1')"),
    field("post", Text, "A script after it."),
    field("skip_next", Flag, "Do not call; the answer begins empty.").or("false"),
    field("live", Flag, "Read the files again for each request.").or("false"),
    field("allow_open_libs", Flag, "All libraries of Lua.").or("false"),
    field("md5", Map(&Text), "Check sums of the files."),
    field("timeout", Duration, "How long a script may run.")
        .or("5s")
        .ours(),
    field("max_memory", Size, "How much memory a script may take.")
        .or("64MB")
        .ours(),
];

const LUA_ENDPOINT: &[Field] = &[
    field("sources", List(&Text), "Files that run first.").eg("[\"lib.lua\"]"),
    field("pre", Text, "The script.").eg("local c = ctx.load(); c:headers('X-A', '1')"),
    field("live", Flag, "Read the files again for each request.").or("false"),
    field("allow_open_libs", Flag, "All libraries of Lua.").or("false"),
    field("md5", Map(&Text), "Check sums of the files."),
    field("timeout", Duration, "How long a script may run.")
        .or("5s")
        .ours(),
    field("max_memory", Size, "How much memory a script may take.")
        .or("64MB")
        .ours(),
];

const TEMPLATE: &[Field] = &[
    field("path", Text, "A file with a Go template."),
    field("template", Text, "The template in place, base64."),
    field("content_type", Text, "What it makes.").or("application/json"),
    field("variables", Any, "Values for the template."),
    field("debug", Flag, "Log what it makes.").or("false"),
];

const OPERATION: &[Field] = &[
    field("type", Word(&["header", "query_string"]), "What is set.").must(),
    field(
        "strategy",
        Word(&["dotnotation", "jmespath"]),
        "How the body is read.",
    )
    .must(),
    field("expression", Text, "What is read.").must(),
    field("target", Text, "The name of what is set.").must(),
    field(
        "on_conflict",
        Word(&["skip", "replace", "append"]),
        "What happens when it is there.",
    )
    .must(),
];

const REPLACE: super::Kind = Object(&[
    field("field", Text, "Which field.").must(),
    field("find", Text, "What.").must(),
    field("replace", Text, "By what.").must(),
]);
const ONE_FIELD: super::Kind = Object(&[field("field", Text, "Which field.").must()]);

const RESPONSE_STEP: &[Field] = &[
    field("literal", REPLACE, "Replace a text."),
    field("regexp", REPLACE, "Replace a pattern."),
    field("upper", ONE_FIELD, "To upper case."),
    field("lower", ONE_FIELD, "To lower case."),
    field(
        "trim",
        Object(&[
            field("field", Text, "Which field.").must(),
            field("find", Text, "Characters to cut at both ends.").must(),
        ]),
        "Cut both ends.",
    ),
];

const FAILS: &str = "a script that cannot be compiled or read, or a wrong check sum, refuses the file; scripts are compiled \
                     once and cut off at the endpoint's timeout";

/// The namespaces.
pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "modifier/lua-endpoint",
        &[S, E],
        Object(LUA_ENDPOINT),
        "A Lua script on the request as it comes in.",
    )
    .differs(FAILS),
    entry(
        "modifier/lua-proxy",
        &[E, A],
        Object(LUA),
        "Lua scripts around all backends of an endpoint.",
    )
    .differs(FAILS),
    entry(
        "modifier/lua-backend",
        &[B],
        Object(LUA),
        "Lua scripts around the call of one backend.",
    )
    .differs(FAILS),
    entry(
        "modifier/jmespath",
        &[E, B],
        Object(&[field("expr", Text, "The expression.").must()]),
        "A JMESPath expression on the answer.",
    )
    .enterprise(),
    entry(
        "modifier/body-generator",
        &[B],
        Object(TEMPLATE),
        "The old name of `modifier/request-body-generator`.",
    )
    .enterprise(),
    entry(
        "modifier/request-body-generator",
        &[E, B],
        Object(TEMPLATE),
        "A template makes the body of the request.",
    )
    .enterprise(),
    entry(
        "modifier/response-body-generator",
        &[E, B],
        Object(TEMPLATE),
        "A template makes the body of the answer.",
    )
    .enterprise(),
    entry(
        "modifier/request-body-extractor",
        &[S, E],
        Object(&[field("operations", List(&Object(OPERATION)), "What is taken.").must()]),
        "Parts of the body become header fields or query parameters.",
    )
    .enterprise(),
    entry(
        "modifier/request-body-extractor/early",
        &[E],
        Object(&[field("operations", List(&Object(OPERATION)), "What is taken.").must()]),
        "The same, before all other components.",
    )
    .enterprise(),
    entry(
        "modifier/response-body",
        &[E, B],
        Object(&[field(
            "modifiers",
            List(&Sole(RESPONSE_STEP)),
            "Changes, in order.",
        )
        .must()]),
        "Changes of texts in the answer.",
    )
    .enterprise(),
    entry(
        "modifier/response-headers",
        &[S],
        Object(&[
            field("add", Map(&List(&Text)), "Fields to add."),
            field("replace", Map(&List(&Text)), "Fields to set."),
            field("rename", Map(&Text), "Fields to rename."),
            field("delete", List(&Text), "Fields to drop."),
        ]),
        "Changes of the header fields of answers.",
    )
    .enterprise(),
];
