//! `hanzo/limits` – how large and how slow a request may be (contract section 3). An endpoint may
//! override what concerns its body.

use super::bytes;
use crate::base::{Code, Dialect, Problem};
use crate::component::Component;
use crate::component::{EndpointDraft, ServiceDraft};
use crate::config::settings::Settings;
use crate::gateway::limits::Limits;
use std::time::Duration;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(service),
    endpoint: Some(endpoint),
    ..Component::named("hanzo/limits")
};

const BODY: &[&str] = &["max_body", "body_min_rate", "body_grace"];
const SERVICE: &[&str] = &[
    "max_body",
    "body_min_rate",
    "body_grace",
    "max_url",
    "max_headers",
    "max_header_bytes",
    "header_timeout",
    "max_connections",
    "max_connections_per_address",
];

fn service(s: &mut Settings<'_>, draft: &mut ServiceDraft, _: Dialect) -> Result<(), Problem> {
    s.known(SERVICE);
    let limits = &mut draft.limits;
    body(s, limits);
    size(s, "max_url", 64, &mut limits.max_uri);
    size(s, "max_headers", 4, &mut limits.max_headers);
    size(s, "max_header_bytes", 256, &mut limits.max_header_bytes);
    size(s, "max_connections", 1, &mut limits.max_connections);
    size(
        s,
        "max_connections_per_address",
        1,
        &mut limits.max_connections_per_address,
    );
    if let Some(timeout) = s.duration("header_timeout") {
        if timeout < Duration::from_millis(100) {
            s.error_hint(
                "header_timeout",
                Code::OutOfRange,
                "no client sends its head within less than 100ms",
                "write for example \"10s\"",
            );
        }
        limits.header_timeout = Some(timeout);
    }
    Ok(())
}

fn endpoint(s: &mut Settings<'_>, draft: &mut EndpointDraft, _: Dialect) -> Result<(), Problem> {
    s.known(BODY);
    body(s, &mut draft.limits);
    Ok(())
}

fn body(s: &mut Settings<'_>, limits: &mut Limits) {
    if let Some(bytes) = bytes(s, "max_body") {
        limits.max_body = bytes;
    }
    if let Some(rate) = bytes(s, "body_min_rate") {
        limits.body_min_rate = rate;
    }
    if let Some(grace) = s.duration("body_grace") {
        limits.body_grace = grace;
    }
}

/// A count that must not be so small that nothing passes.
fn size(s: &mut Settings<'_>, key: &str, least: u64, field: &mut usize) {
    let Some(value) = bytes(s, key) else { return };
    if value < least {
        let hint = format!("write at least {least}, or leave the key out for the default");
        s.error_hint(
            key,
            Code::OutOfRange,
            format!("{key} is {value}, with which nothing passes"),
            hint,
        );
        return;
    }
    *field = usize::try_from(value).unwrap_or(usize::MAX);
}

#[cfg(test)]
mod tests {
    use super::super::parse_bytes;
    use super::*;
    use crate::base::Report;
    use serde_json::json;

    #[test]
    fn sizes_may_carry_a_unit() {
        for (text, bytes) in [
            ("10", Some(10)),
            ("10MB", Some(10 << 20)),
            ("1 KiB", Some(1024)),
            ("2g", Some(2 << 30)),
            ("ten", None),
            ("1TB", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_bytes(text), bytes, "{text}");
        }
    }

    #[test]
    fn a_limit_that_stops_everything_is_refused() {
        let mut report = Report::default();
        let mut draft = ServiceDraft::default();
        let value = json!({"max_headers": 0, "max_body": "5MB", "body_min_rate": "x"});
        let mut settings = Settings::new(&value, "/l", &mut report);
        service(&mut settings, &mut draft, Dialect::Native).unwrap();
        assert_eq!(draft.limits.max_headers, 64);
        assert_eq!(draft.limits.max_body, 5 << 20);
        let places: Vec<_> = report.problems.iter().map(|p| p.pointer.as_str()).collect();
        assert_eq!(places, ["/l/body_min_rate", "/l/max_headers"]);
    }
}
