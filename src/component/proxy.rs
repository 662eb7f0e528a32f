//! `proxy` – sequential calls, static data, flatmap filters, shadow backends.
//!
//! Only `static` is implemented yet: each other key that would change an answer is named.

use crate::base::{Code, Dialect, Problem};
use crate::body::Value;
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
/// Keys that need no warning: `default` is the only combiner, every backend gets its own copy of the
/// request anyway, and static data works.
const HARMLESS: &[&str] = &["combiner", "force_sandboxed_request", "static"];

fn endpoint(s: &mut Settings<'_>, draft: &mut EndpointDraft, _: Dialect) -> Result<(), Problem> {
    not_yet(s, ENDPOINT);
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

fn backend(s: &mut Settings<'_>, _: &mut BackendDraft, _: Dialect) -> Result<(), Problem> {
    not_yet(s, BACKEND);
    Ok(())
}

fn not_yet(s: &mut Settings<'_>, keys: &[&str]) {
    s.known(keys);
    for key in keys.iter().filter(|key| !HARMLESS.contains(key)) {
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
