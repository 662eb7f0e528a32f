//! `telemetry/logging` – level, form and prefix of log records.
//!
//! Differs from KrakenD: native records are JSON whatever `format` says unless it is `default` and the
//! krakend dialect speaks; `syslog` and `custom` are named as not implemented.

use crate::base::{Code, Dialect, Problem};
use crate::component::Component;
use crate::component::ServiceDraft;
use crate::config::settings::Settings;
use crate::telemetry::log::{Format, LogOptions};
use log::LevelFilter;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(build),
    lenient: true,
    ..Component::named("telemetry/logging")
};

fn build(
    s: &mut Settings<'_>,
    service: &mut ServiceDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    s.known(&[
        "level",
        "prefix",
        "stdout",
        "syslog",
        "syslog_facility",
        "format",
        "custom_format",
        "access_log_format",
        "access_log_custom_format",
        "access_log_missing_key_marker",
    ]);
    let written = s.string_or("level", "DEBUG");
    let level = level_of(&written).unwrap_or_else(|| {
        s.warn_hint(
            "level",
            Code::BadValue,
            format!("\"{written}\" is no level; DEBUG is used"),
            "write one of CRITICAL, ERROR, WARNING, NOTICE, INFO, DEBUG",
        );
        LevelFilter::Debug
    });
    if s.bool_or("syslog", false) {
        s.warn(
            "syslog",
            Code::NotYet,
            "syslog is not implemented yet; records go to stdout",
        );
    }
    let written_format = s.string_or("format", "default");
    if !matches!(written_format.as_str(), "default" | "logstash") {
        s.warn(
            "format",
            Code::NotYet,
            format!("format \"{written_format}\" is not implemented yet"),
        );
    }
    let format = match (dialect, written_format.as_str()) {
        (Dialect::Krakend, "default") => Format::Krakend,
        _ => Format::Json,
    };
    service.logging = Some(LogOptions {
        level,
        format,
        prefix: s.string_or("prefix", ""),
    });
    Ok(())
}

fn level_of(word: &str) -> Option<LevelFilter> {
    Some(match word.to_ascii_uppercase().as_str() {
        "CRITICAL" | "ERROR" => LevelFilter::Error,
        "WARNING" => LevelFilter::Warn,
        "NOTICE" | "INFO" => LevelFilter::Info,
        "DEBUG" => LevelFilter::Debug,
        _ => return None,
    })
}
