//! `proxy` – sequential calls, static data, flatmap filters, shadow backends.
//!
//! Differs from KrakenD: what it would crash on (a list entry that is no text) or pass over without a word is a
//! warning here. `max_payload` and `decompress_gzip` are Enterprise there and not implemented yet.

use crate::base::{Code, Dialect, Problem};
use crate::body::Value;
use crate::body::flatmap::Flatmap;
use crate::component::Component;
use crate::component::{BackendDraft, EndpointDraft};
use crate::config::settings::Settings;
use crate::gateway::snapshot::{Statics, Strategy};

/// The table line.
pub const COMPONENT: Component = Component {
    endpoint: Some(endpoint),
    backend: Some(backend),
    lenient: true,
    ..Component::named("proxy")
};

const ENDPOINT: &[&str] = &[
    "sequential",
    "sequential_propagated_params",
    "static",
    "flatmap_filter",
    "combiner",
    "strategy",
    "max_payload",
    "decompress_gzip",
    "force_sandboxed_request",
];
const BACKEND: &[&str] = &["shadow", "shadow_timeout", "flatmap_filter"];
/// What would change an answer and is not implemented yet.
const MISSING: &[&str] = &["max_payload", "decompress_gzip"];

fn endpoint(s: &mut Settings<'_>, draft: &mut EndpointDraft, _: Dialect) -> Result<(), Problem> {
    s.known(ENDPOINT);
    not_yet(s);
    draft.sequential = sequential(s);
    draft.flatmap = flatmap(s);
    if let Some(combiner) = s.string("combiner")
        && combiner != "default"
    {
        let message = format!("there is no combiner \"{combiner}\"; the default is used");
        s.warn("combiner", Code::BadValue, message);
    }
    if let Some(mut settings) = s.object("static") {
        settings.known(&["data", "strategy"]);
        let strategy = match settings.string_or("strategy", "always").as_str() {
            "success" => Strategy::Success,
            "errored" => Strategy::Errored,
            "complete" => Strategy::Complete,
            "incomplete" => Strategy::Incomplete,
            _ => Strategy::Always,
        };
        let data = settings
            .value("data")
            .map(Value::from_config)
            .and_then(Value::into_object);
        draft.statics = data.map(|data| Statics { strategy, data });
    }
    Ok(())
}

/// The list of what is passed on by name, when calls are sequential: `strategy` wins over `sequential`.
fn sequential(s: &mut Settings<'_>) -> Option<Vec<String>> {
    let listed = s.list_of_strings("sequential_propagated_params");
    let asked = s.bool_or("sequential", false);
    let sequential = match s.string("strategy").as_deref() {
        None => asked,
        Some("sequential") => true,
        Some("parallel") => false,
        Some(other) => {
            let message = format!("there is no strategy \"{other}\"; the calls are parallel");
            let hint = "write one of \"parallel\", \"sequential\"";
            s.warn_hint("strategy", Code::BadValue, message, hint);
            false
        }
    };
    if !sequential && !listed.is_empty() {
        s.warn_hint(
            "sequential_propagated_params",
            Code::BadValue,
            "nothing is propagated between calls that are made at the same time",
            "add \"sequential\": true",
        );
    }
    sequential.then_some(listed)
}

fn backend(s: &mut Settings<'_>, draft: &mut BackendDraft, _: Dialect) -> Result<(), Problem> {
    s.known(BACKEND);
    draft.flatmap = flatmap(s);
    let timeout = s.duration("shadow_timeout");
    draft.shadow = s.bool_or("shadow", false).then_some(timeout);
    Ok(())
}

fn flatmap(s: &mut Settings<'_>) -> Option<Flatmap> {
    let (flatmap, warnings) = Flatmap::compile(s.value("flatmap_filter")?);
    for warning in warnings {
        s.warn("flatmap_filter", Code::BadValue, warning);
    }
    flatmap
}

fn not_yet(s: &mut Settings<'_>) {
    for key in MISSING {
        let off = s
            .value(key)
            .is_none_or(|value| value == &serde_json::Value::Bool(false));
        if !off {
            s.warn(
                key,
                Code::NotYet,
                format!("proxy.{key} is not implemented yet and is ignored"),
            );
        }
    }
}
