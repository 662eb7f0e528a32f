//! Hostile bytes and a strict reading of them: shared by the tests of framing and by the fuzz crate, which
//! includes this folder by its path. Needs nothing but the standard library.
//!
//! [`Choices`] turns bytes, from a seed or from a fuzzer, into decisions; [`script`] makes of them what one
//! client connection sends; [`strict`] says what RFC 9112 makes of those bytes; [`Recorder`] is a backend
//! that takes nothing but exact messages; [`play`] is the client and [`judge`] compares the three;
//! [`compare`] does it for two gateways at once.

#![allow(
    dead_code,
    reason = "a vocabulary: tests and fuzz targets each use a part of it"
)]

mod choices;
mod compare;
mod judge;
mod play;
mod recorder;
mod script;
mod shapes;
pub(crate) mod strict;
mod tricks;

pub(crate) use choices::Choices;
pub(crate) use compare::{Side, compare, knows_lanes};
pub(crate) use judge::{Sums, judge, key};
pub(crate) use play::play;
pub(crate) use recorder::Recorder;
pub(crate) use script::{End, Script, script};

/// The whole configuration of a gateway in front of a [`Recorder`]: `/s/{id}` streams, `/c/{id}` composes.
pub(crate) fn config(backend: &str) -> String {
    let endpoint = |path: &str, method: &str, more: &str| {
        format!(
            r#"{{"endpoint": "{path}/{{id}}", "method": "{method}", "input_headers": ["*"], "timeout": "10s", {more}
               "backend": [{{"url_pattern": "{path}/{{id}}", "method": "{method}", "host": ["{backend}"]}}]}}"#
        )
    };
    let stream = r#""output_encoding": "no-op","#;
    format!(
        r#"{{"version": 3, "endpoints": [{}, {}, {}, {}]}}"#,
        endpoint("/s", "GET", stream),
        endpoint("/s", "POST", stream),
        endpoint("/c", "GET", ""),
        endpoint("/c", "POST", "")
    )
}
