//! `router` – redirects, health, error bodies, client addresses.
//!
//! Differs from KrakenD: a value of a wrong type is a warning and leaves its own flag at the default; in
//! the krakend dialect it switches the whole block off, as there. A proxy list that cannot be parsed
//! refuses the file: it decides whose word is believed.

use crate::base::{Code, Dialect, Problem};
use crate::component::Component;
use crate::component::{RouterFlags, ServiceDraft};
use crate::config::settings::Settings;
use bytes::Bytes;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(build),
    lenient: true,
    ..Component::named("router")
};

const KEYS: &[&str] = &[
    "return_error_msg",
    "error_body",
    "disable_health",
    "health_path",
    "disable_access_log",
    "logger_skip_paths",
    "disable_redirect_trailing_slash",
    "disable_redirect_fixed_path",
    "disable_handle_method_not_allowed",
    "disable_path_decoding",
    "auto_options",
    "forwarded_by_client_ip",
    "remote_ip_headers",
    "trusted_proxies",
    "app_engine",
    "max_multipart_memory",
    "remove_extra_slash",
    "hide_version_header",
    "use_h2c",
    "max_payload",
    "decompress_gzip",
    "disable_gzip",
];

fn build(
    s: &mut Settings<'_>,
    service: &mut ServiceDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    s.known(KEYS);
    for key in ["max_payload", "decompress_gzip", "disable_gzip"] {
        if s.has(key) {
            s.warn_hint(
                key,
                Code::EnterpriseOnly,
                format!("router.{key} belongs to KrakenD's Enterprise edition and is not implemented yet"),
                "limit bodies with \"hanzo/limits\": {\"max_body\": …}",
            );
        }
    }
    let before = s.report().errors();
    let flags = read(s);
    let failed = s.report().errors() > before;
    // KrakenD decodes the block as one unit: one wrong type and all of it is gone.
    service.router = if failed && dialect == Dialect::Krakend {
        RouterFlags::default()
    } else {
        flags
    };
    Ok(())
}

fn read(s: &mut Settings<'_>) -> RouterFlags {
    let defaults = RouterFlags::default();
    let (body_404, body_405) = error_bodies(s);
    RouterFlags {
        return_error_msg: s.bool_or("return_error_msg", false),
        body_404,
        body_405,
        disable_health: s.bool_or("disable_health", false),
        health_path: s
            .string("health_path")
            .filter(|path| path.starts_with('/'))
            .unwrap_or(defaults.health_path),
        disable_access_log: s.bool_or("disable_access_log", false),
        logger_skip_paths: s.list_of_strings("logger_skip_paths"),
        disable_redirect_trailing_slash: s.bool_or("disable_redirect_trailing_slash", false),
        disable_redirect_fixed_path: s.bool_or("disable_redirect_fixed_path", false),
        remove_extra_slash: s.bool_or("remove_extra_slash", false),
        disable_handle_method_not_allowed: s.bool_or("disable_handle_method_not_allowed", false),
        disable_path_decoding: s.bool_or("disable_path_decoding", false),
        auto_options: s.bool_or("auto_options", false),
        forwarded_by_client_ip: s.bool_or("forwarded_by_client_ip", true),
        remote_ip_headers: s.list_of_strings("remote_ip_headers"),
        trusted_proxies: s
            .has("trusted_proxies")
            .then(|| s.list_of_strings("trusted_proxies")),
        app_engine: s.bool_or("app_engine", false),
        hide_version_header: s.bool_or("hide_version_header", false),
        use_h2c: s.bool_or("use_h2c", false),
    }
}

fn error_bodies(s: &mut Settings<'_>) -> (Option<Bytes>, Option<Bytes>) {
    let Some(bodies) = s.object("error_body") else {
        return (None, None);
    };
    let body = |key| {
        bodies
            .value(key)
            .map(|value| Bytes::from(value.to_string()))
    };
    (body("404"), body("405"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Report;
    use serde_json::json;

    fn flags(value: &serde_json::Value, dialect: Dialect) -> (RouterFlags, Report) {
        let mut report = Report::default();
        let mut draft = ServiceDraft::default();
        build(
            &mut Settings::new(value, "/r", &mut report),
            &mut draft,
            dialect,
        )
        .unwrap();
        (draft.router, report)
    }

    #[test]
    fn one_wrong_type_disables_the_block_only_for_krakend() {
        let value = json!({"auto_options": true, "app_engine": []});
        assert!(flags(&value, Dialect::Native).0.auto_options);
        assert!(!flags(&value, Dialect::Krakend).0.auto_options);
    }

    #[test]
    fn error_bodies_are_compact_json() {
        let value = json!({"error_body": {"404": {"b": 1, "a": 2}, "405": null}});
        let (flags, report) = flags(&value, Dialect::Native);
        assert_eq!(flags.body_404.as_deref(), Some(&b"{\"a\":2,\"b\":1}"[..]));
        assert_eq!(flags.body_405, None);
        assert!(report.problems.is_empty());
    }
}
