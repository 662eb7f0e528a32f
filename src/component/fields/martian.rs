//! `modifier/martian`: one modifier, which may hold others.

use super::Kind::{Flag, Int, List, Map, Object, Ref, Regex, Sole, Text, Word};
use super::{Entry, Field, Part, entry, field, part};
use crate::component::Level::Backend as B;

const SCOPE: Field = field(
    "scope",
    List(&Word(&["request", "response"])),
    "Where it works; everywhere it can when absent.",
);
const NAME: Field = field("name", Text, "The name.").must();
const VALUE: Field = field("value", Text, "The value.").must();
const ANY_VALUE: Field = field("value", Text, "The value; any when empty.");
const INNER: Field = field("modifier", Ref("martian"), "What is done then.").must();
const ELSE: Field = field("else", Ref("martian"), "What is done otherwise.");

const MODIFIERS: &[Field] = &[
    field(
        "fifo.Group",
        Object(&[
            SCOPE,
            field("modifiers", List(&Ref("martian")), "The modifiers.").must(),
            field("aggregateErrors", Flag, "Go on after an error.").or("false"),
        ]),
        "Several modifiers in order.",
    ),
    field(
        "priority.Group",
        Object(&[
            SCOPE,
            field(
                "modifiers",
                List(&Object(&[
                    field("priority", Int, "The highest goes first.").must(),
                    field("modifier", Ref("martian"), "The modifier.").must(),
                ])),
                "The modifiers.",
            )
            .must(),
        ]),
        "Several modifiers by priority.",
    ),
    field(
        "header.Modifier",
        Object(&[SCOPE, NAME, VALUE]),
        "Sets a header field.",
    ),
    field(
        "header.Append",
        Object(&[SCOPE, NAME, VALUE]),
        "Adds a header field.",
    ),
    field(
        "header.Blacklist",
        Object(&[SCOPE, field("names", List(&Text), "The names.").must()]),
        "Drops header fields.",
    ),
    field(
        "header.Copy",
        Object(&[
            SCOPE,
            field("from", Text, "From which.").must(),
            field("to", Text, "To which.").must(),
        ]),
        "Copies a header field.",
    ),
    field(
        "header.Id",
        Object(&[
            SCOPE,
            field("header", Text, "Which field.").or("X-Krakend-Id"),
        ]),
        "Sets a random id.",
    ),
    field(
        "header.Filter",
        Object(&[SCOPE, NAME, ANY_VALUE, INNER, ELSE]),
        "If a header field has a value.",
    ),
    field(
        "header.RegexFilter",
        Object(&[
            SCOPE,
            field("header", Text, "Which field of the request.").must(),
            field("regex", Regex, "The pattern.").must(),
            INNER,
            ELSE,
        ]),
        "If a header field of the request matches.",
    ),
    field(
        "header.Verifier",
        Object(&[SCOPE, NAME, ANY_VALUE]),
        "Accepted and without effect.",
    ),
    field(
        "body.Modifier",
        Object(&[
            SCOPE,
            field("contentType", Text, "Its type."),
            field("body", Text, "The body, base64.").must(),
        ]),
        "Replaces the body.",
    ),
    field(
        "cookie.Modifier",
        Object(&[
            SCOPE,
            NAME,
            VALUE,
            field("path", Text, "Its path."),
            field("domain", Text, "Its domain."),
            field("expires", Text, "When it expires (RFC 3339)."),
            field("secure", Flag, "Over TLS only."),
            field("httpOnly", Flag, "Not for scripts."),
            field("maxAge", Int, "How long it holds, in seconds."),
        ]),
        "Sets a cookie.",
    ),
    field(
        "cookie.Filter",
        Object(&[SCOPE, NAME, ANY_VALUE, INNER, ELSE]),
        "If there is a cookie.",
    ),
    field(
        "url.Modifier",
        Object(&[
            SCOPE,
            field("scheme", Text, "The scheme."),
            field("host", Text, "The host."),
            field("path", Text, "The path."),
            field("query", Text, "The query."),
        ]),
        "Changes parts of the URL.",
    ),
    field(
        "url.Filter",
        Object(&[
            SCOPE,
            field("scheme", Text, "The scheme."),
            field("host", Text, "The host; `*` for a label."),
            field("path", Text, "The path."),
            field("query", Text, "The query."),
            INNER,
            ELSE,
        ]),
        "If parts of the URL are so.",
    ),
    field(
        "url.RegexFilter",
        Object(&[
            SCOPE,
            field("regex", Regex, "The pattern.").must(),
            INNER,
            ELSE,
        ]),
        "If the URL matches.",
    ),
    field(
        "port.Modifier",
        Object(&[
            SCOPE,
            field("port", Int, "The port."),
            field("defaultForScheme", Flag, "The scheme's own port."),
            field("remove", Flag, "No port."),
        ]),
        "Changes the port.",
    ),
    field(
        "port.Filter",
        Object(&[SCOPE, field("port", Int, "The port.").must(), INNER, ELSE]),
        "If the port is this.",
    ),
    field(
        "querystring.Modifier",
        Object(&[SCOPE, NAME, VALUE]),
        "Sets a query parameter.",
    ),
    field(
        "querystring.Filter",
        Object(&[SCOPE, NAME, ANY_VALUE, INNER, ELSE]),
        "If there is a query parameter.",
    ),
    field(
        "stash.Modifier",
        Object(&[SCOPE, field("headerName", Text, "Which field.").must()]),
        "Keeps the URL in a header field.",
    ),
    field(
        "status.Modifier",
        Object(&[SCOPE, field("statusCode", Int, "The status.").must()]),
        "Sets the status of the answer.",
    ),
    field(
        "static.Modifier",
        Object(&[
            SCOPE,
            field("rootPath", Text, "The folder.").must(),
            field("explicitPaths", Map(&Text), "Files of single paths."),
        ]),
        "Answers from files, without a call.",
    ),
    field(
        "url.Verifier",
        super::Kind::Any,
        "Accepted and without effect.",
    ),
    field(
        "querystring.Verifier",
        super::Kind::Any,
        "Accepted and without effect.",
    ),
    field(
        "status.Verifier",
        super::Kind::Any,
        "Accepted and without effect.",
    ),
];

/// One modifier.
pub(super) const PARTS: &[Part] = &[part("martian", Sole(MODIFIERS), "One modifier.")];

/// The namespace.
pub(super) const ENTRIES: &[Entry] = &[entry(
    "modifier/martian",
    &[B],
    Ref("martian"),
    "Declared changes of the request and of the answer of a backend.",
)
.differs(
    "native: a modifier that cannot be understood refuses the file; KrakenD (and the krakend dialect, with a warning) calls the backend without any",
)];
