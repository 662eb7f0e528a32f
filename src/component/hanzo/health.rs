//! `hanzo/health` – how backends are probed and which of them the gateway cannot do without.

use crate::base::{Code, Dialect, Problem};
use crate::component::Component;
use crate::component::ServiceDraft;
use crate::config::settings::Settings;
use std::time::Duration;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(build),
    ..Component::named("hanzo/health")
};

fn build(s: &mut Settings<'_>, service: &mut ServiceDraft, _: Dialect) -> Result<(), Problem> {
    s.known(&[
        "interval",
        "timeout",
        "critical",
        "path",
        "unhealthy_after",
        "healthy_after",
    ]);
    let health = &mut service.health;
    if let Some(interval) = s.duration("interval") {
        if interval < Duration::from_millis(100) {
            s.error_hint(
                "interval",
                Code::OutOfRange,
                "probes more often than every 100ms are not allowed",
                "write for example \"10s\"",
            );
        }
        health.interval = interval;
    }
    if let Some(timeout) = s.duration("timeout").filter(|t| !t.is_zero()) {
        health.timeout = timeout;
    }
    health.critical = s.list_of_strings("critical");
    if let Some(path) = s.string("path") {
        if path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic()) {
            health.path = Some(path.into());
        } else {
            s.error_hint(
                "path",
                Code::BadValue,
                "path is no path",
                "write for example \"/health\"",
            );
        }
    }
    for (key, field) in [
        ("unhealthy_after", &mut health.unhealthy_after),
        ("healthy_after", &mut health.healthy_after),
    ] {
        if let Some(count) = s.unsigned(key) {
            *field = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        }
    }
    Ok(())
}
