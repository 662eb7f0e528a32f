//! Log records: one JSON object a line on standard output (contract section 8), or plain text for a
//! person at a terminal. Tokens, keys, cookies and bodies never reach this file.

use crate::base::clock;
use crate::base::reply::escape_json;
use crate::telemetry::redact;
use crate::telemetry::sink::Sink;
use log::kv::{self, VisitSource};
use log::{Level, LevelFilter, Record};
use std::fmt::Write as _;

/// How records look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// KrakenD's default text form.
    Krakend,
    /// Short text for a terminal.
    Text,
}

/// What to log and how.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Records below this level are dropped.
    pub level: LevelFilter,
    /// Look of a record.
    pub format: Format,
    /// `telemetry/logging.prefix`, for the text forms.
    pub prefix: String,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            level: LevelFilter::Info,
            format: Format::Json,
            prefix: String::new(),
        }
    }
}

/// Installs the logger; later calls change nothing but are harmless (tests, demo).
/// `RUST_LOG` directives, read by the caller, refine the level per target.
pub fn init(options: LogOptions, directives: Option<&str>) {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(options.level);
    // The platform's own chatter: what matters of it is told again, in our words, by `proxy`.
    for target in [
        "pingora",
        "pingora_core",
        "pingora_proxy",
        "hickory_resolver",
        "hickory_proto",
    ] {
        builder.filter_module(target, options.level.min(LevelFilter::Error));
    }
    builder.filter_module("pingora_proxy", LevelFilter::Off);
    if let Some(directives) = directives {
        builder.parse_filters(directives);
    }
    builder.format(move |_, record| {
        Sink::stdout().line(|line| write_record(line, record, &options));
        Ok(())
    });
    let _ = builder.try_init();
}

fn write_record(line: &mut String, record: &Record<'_>, options: &LogOptions) {
    let text = record.args().to_string();
    let text = redact::addresses(&text);
    match options.format {
        Format::Json => write_json(line, record, &text),
        Format::Krakend => {
            let stamp = clock::rfc3339(clock::since_epoch());
            let stamp = stamp
                .get(..23)
                .unwrap_or_default()
                .replace('T', " ")
                .replace('-', "/");
            let _ = write!(
                line,
                "{stamp} {} ▶ {} {}",
                options.prefix,
                record.level(),
                text
            );
            write_pairs(line, record);
        }
        Format::Text => {
            let _ = write!(
                line,
                "{:<5} {}",
                record.level().as_str().to_lowercase(),
                text
            );
            write_pairs(line, record);
        }
    }
    line.push('\n');
}

fn write_json(line: &mut String, record: &Record<'_>, text: &str) {
    line.push_str("{\"ts\":\"");
    clock::push_rfc3339(line, clock::since_epoch());
    let _ = write!(
        line,
        "\",\"level\":\"{}\",\"target\":\"",
        word(record.level())
    );
    escape_json(line, room(record.target()));
    line.push_str("\",\"msg\":\"");
    escape_json(line, text);
    line.push('"');
    let _ = record.key_values().visit(&mut JsonPairs(line));
    line.push('}');
}

fn write_pairs(line: &mut String, record: &Record<'_>) {
    let _ = record.key_values().visit(&mut TextPairs(line));
}

const fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warn => "WARN",
        Level::Info => "INFO",
        Level::Debug => "DEBUG",
        Level::Trace => "TRACE",
    }
}

/// Our targets are module paths; the room says enough.
fn room(target: &str) -> &str {
    target
        .strip_prefix("hanzo_gateway::")
        .map_or(target, |rest| rest.split("::").next().unwrap_or(rest))
}

struct JsonPairs<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for JsonPairs<'_> {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        self.0.push_str(",\"");
        escape_json(self.0, key.as_str());
        self.0.push_str("\":");
        if value.to_i64().is_some() || value.to_f64().is_some() || value.to_bool().is_some() {
            let _ = write!(self.0, "{value}");
        } else {
            self.0.push('"');
            escape_json(self.0, &value.to_string());
            self.0.push('"');
        }
        Ok(())
    }
}

struct TextPairs<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for TextPairs<'_> {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        let _ = write!(self.0, " {key}={value}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_one_json_object_a_line() {
        let pairs: &[(&str, kv::Value<'_>)] = &[
            ("status", kv::Value::from(502)),
            ("backend", kv::Value::from("a\"b")),
        ];
        let record = Record::builder()
            .level(Level::Warn)
            .target("hanzo_gateway::proxy::request")
            .args(format_args!("backend \"x\" failed\n"))
            .key_values(&pairs)
            .build();
        let mut line = String::new();
        write_record(&mut line, &record, &LogOptions::default());
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["level"], "WARN");
        assert_eq!(value["target"], "proxy");
        assert_eq!(value["msg"], "backend \"x\" failed\n");
        assert_eq!(value["status"], 502);
        assert_eq!(value["backend"], "a\"b");
    }
}
