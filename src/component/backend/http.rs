//! `backend/http` – what becomes of a backend's error status, and how it is spoken to.
//!
//! Differs from KrakenD: `http2` is ours (cleartext HTTP/2 with prior knowledge). As there, an alias
//! in `return_error_details` makes `return_error_code` count for nothing, and an empty one does too.

use crate::base::{Code, Dialect, Problem};
use crate::component::Component;
use crate::component::{BackendDraft, ErrorMode};
use crate::config::settings::Settings;

/// The table line.
pub const COMPONENT: Component = Component {
    backend: Some(build),
    lenient: true,
    ..Component::named("backend/http")
};

fn build(
    s: &mut Settings<'_>,
    backend: &mut BackendDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    s.known(&["return_error_details", "return_error_code", "http2"]);
    backend.errors = if s.has("return_error_details") {
        match s.raw().get("return_error_details").and_then(|v| v.as_str()) {
            Some(alias) if !alias.is_empty() => ErrorMode::Details(alias.to_owned()),
            _ => {
                s.warn_hint(
                    "return_error_details",
                    Code::BadValue,
                    "return_error_details is no name, so backend errors stay hidden",
                    "write the key under which the details appear, such as \"backend_a\"",
                );
                ErrorMode::Hide
            }
        }
    } else if s.bool_or("return_error_code", false) {
        ErrorMode::Code
    } else {
        ErrorMode::Hide
    };
    backend.http2 = dialect == Dialect::Native && s.bool_or("http2", false);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Report;
    use serde_json::json;

    fn mode(value: &serde_json::Value) -> (ErrorMode, usize) {
        let mut report = Report::default();
        let mut draft = BackendDraft::default();
        build(
            &mut Settings::new(value, "/b", &mut report),
            &mut draft,
            Dialect::Native,
        )
        .unwrap();
        (draft.errors, report.problems.len())
    }

    #[test]
    fn details_win_over_the_code_even_when_they_are_empty() {
        assert_eq!(
            mode(&json!({"return_error_code": true})),
            (ErrorMode::Code, 0)
        );
        let both = json!({"return_error_details": "a", "return_error_code": true});
        assert_eq!(mode(&both), (ErrorMode::Details("a".into()), 0));
        let empty = json!({"return_error_details": "", "return_error_code": true});
        assert_eq!(mode(&empty), (ErrorMode::Hide, 1));
    }
}
