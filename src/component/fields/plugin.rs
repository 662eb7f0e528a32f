//! `plugin/…`: code that is loaded. Go's shared objects cannot be loaded here; the file is told so.

use super::Kind::{Either, List, Open, Text};
use super::{Entry, entry, field};
use crate::component::Level::{Agent as A, Backend as B, Endpoint as E, Service as S};

const GO: &str = "Go plugins cannot be loaded";

/// The namespaces. Settings of a plugin stand under its name.
pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "plugin/http-server",
        &[S],
        Open(&[field(
            "name",
            Either(&[List(&Text), Text]),
            "Plugins, the last one outermost.",
        )
        .must()]),
        "Plugins around the whole server.",
    )
    .differs(GO),
    entry(
        "plugin/http-client",
        &[B],
        Open(&[field("name", Text, "The plugin.").must()]),
        "A plugin instead of the HTTP client.",
    )
    .differs(GO),
    entry(
        "plugin/req-resp-modifier",
        &[E, B, A],
        Open(&[field("name", List(&Text), "Plugins, in order.").must()]),
        "Plugins on requests and answers.",
    )
    .differs(GO),
    entry(
        "plugin/middleware",
        &[E, B],
        Open(&[field("name", List(&Text), "Plugins, in order.").must()]),
        "Plugins around an endpoint or a backend.",
    )
    .enterprise()
    .differs(GO),
];
