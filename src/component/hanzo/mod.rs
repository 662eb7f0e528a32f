//! Our own family `hanzo/*` (contract section 5).

pub mod auth;
pub mod balance;
pub mod compat;
pub mod edge;
pub mod health;
pub mod limits;
pub mod mtls;
pub mod overload;
pub mod ratelimit;
pub mod regions;
pub mod retry;
pub mod split;

use crate::base::Code;
use crate::config::settings::Settings;
use crate::gateway::health::ProbeOptions;
use serde_json::Value;
use std::time::Duration;

/// The shortest distance of two probes.
const OFTEN: Duration = Duration::from_millis(100);

/// Reads how hosts are probed.
fn probe(s: &mut Settings<'_>, options: &mut ProbeOptions) {
    if let Some(interval) = s.duration("interval") {
        if interval < OFTEN {
            s.error_hint(
                "interval",
                Code::OutOfRange,
                "probes more often than every 100ms are not allowed",
                "write for example \"10s\"",
            );
        }
        options.interval = interval;
    }
    if let Some(timeout) = s.duration("timeout").filter(|t| !t.is_zero()) {
        options.timeout = timeout;
    }
    if let Some(path) = s.string("path") {
        if path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic()) {
            options.path = Some(path.into());
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
        ("unhealthy_after", &mut options.unhealthy_after),
        ("healthy_after", &mut options.healthy_after),
    ] {
        if let Some(count) = s.unsigned(key) {
            *field = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        }
    }
}

/// A number of bytes: plain, or with a unit (`KB MB GB KiB MiB GiB`; all of them powers of 1024).
fn bytes(s: &mut Settings<'_>, key: &str) -> Option<u64> {
    let text = s.value(key)?.as_str().map(str::to_owned);
    let Some(text) = text else {
        return s.unsigned(key);
    };
    let parsed = parse_bytes(&text);
    if parsed.is_none() {
        s.error_hint(
            key,
            Code::BadValue,
            format!("\"{text}\" is no size"),
            "write bytes as a number, or for example \"10MB\"",
        );
    }
    parsed
}

fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Whether a value is a number with a fraction, which a reader of whole numbers would cut off.
fn is_fraction(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number.fract() != 0.0)
}

/// Whether a text is a name of a cookie (RFC 6265 section 4.1.1).
fn is_cookie_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
    !text.is_empty() && text.bytes().all(good)
}
