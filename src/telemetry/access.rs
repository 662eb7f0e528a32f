//! The access line: one per request, written once at its end, straight into the sink.

use crate::base::reply::escape_json;
use crate::base::{Dialect, clock};
use crate::telemetry::redact;
use crate::telemetry::sink::Sink;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Everything that an access line tells.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// Request method.
    pub method: &'a str,
    /// Pattern of the endpoint; empty when none was found.
    pub route: &'a str,
    /// Path as received, without the query: queries may carry secrets.
    pub path: &'a [u8],
    /// Status that the client saw; 0 when it saw none.
    pub status: u16,
    /// From the first byte of the head to the last of the answer.
    pub duration: Duration,
    /// Body bytes sent to the client.
    pub bytes_out: u64,
    /// Body bytes read from the client.
    pub bytes_in: u64,
    /// Request id; empty in the krakend dialect.
    pub request_id: &'a str,
    /// Host of the backend that answered; empty for none.
    pub backend: &'a str,
    /// Address of the client.
    pub client: IpAddr,
    /// Why the gateway refused or failed the request; empty for none.
    pub reason: &'a str,
    /// Detail of the failure for the operator; empty for none.
    pub error: &'a str,
}

impl Access<'_> {
    /// Writes the line of a request that ended at a moment: in the form of contract section 8, or in that
    /// of KrakenD's router (reference/krakend-core section 4.9).
    pub fn write(&self, dialect: Dialect, ended: Instant) {
        let now = clock::since_epoch_at(ended);
        Sink::stdout().line(|line| match dialect {
            Dialect::Native => self.json(line, now),
            Dialect::Krakend => self.gin(line, now),
        });
    }

    /// The first of the two to another sink, for tests and benchmarks.
    pub fn write_json_to(&self, sink: &Sink) {
        sink.line(|line| self.json(line, clock::since_epoch()));
    }

    /// Appends the line of [`Access::write`] in the native dialect; `now` is counted from the epoch.
    pub fn json(&self, line: &mut String, now: Duration) {
        // Pieces and no `write!`, whose machinery costs more than the rest of the line.
        let mut number = itoa::Buffer::new();
        line.push_str("{\"ts\":\"");
        clock::push_rfc3339(line, now);
        line.push_str("\",\"level\":\"INFO\",\"msg\":\"request\",\"method\":\"");
        escape_json(line, self.method);
        line.push_str("\",\"route\":\"");
        escape_json(line, self.route);
        line.push_str("\",\"path\":\"");
        match std::str::from_utf8(self.path) {
            Ok(path) => escape_json(line, path),
            Err(_) => escape_json(line, &String::from_utf8_lossy(self.path)),
        }
        line.push_str("\",\"status\":");
        line.push_str(number.format(self.status));
        line.push_str(",\"duration_ms\":");
        push_milliseconds(line, self.duration);
        line.push_str(",\"bytes\":");
        line.push_str(number.format(self.bytes_out));
        line.push_str(",\"bytes_in\":");
        line.push_str(number.format(self.bytes_in));
        line.push_str(",\"client\":\"");
        push_address(line, self.client);
        line.push('"');
        push_field(line, ",\"request_id\":\"", self.request_id);
        push_field(line, ",\"backend\":\"", self.backend);
        push_field(line, ",\"reason\":\"", self.reason);
        if !self.error.is_empty() {
            push_field(line, ",\"error\":\"", &redact::addresses(self.error));
        }
        line.push_str("}\n");
    }

    fn gin(&self, line: &mut String, now: Duration) {
        let stamp = clock::rfc3339(now);
        let part = |range: Range<usize>| stamp.get(range).unwrap_or_default();
        let (year, month, day) = (part(0..4), part(5..7), part(8..10));
        for piece in ["[GIN] ", year, "/", month, "/", day, " - ", part(11..19)] {
            line.push_str(piece);
        }
        let _ = writeln!(
            line,
            " | {:>3} | {:>8} | {:>15} | {:<7}  {:?}",
            self.status,
            gin_latency(self.duration),
            self.client,
            self.method,
            String::from_utf8_lossy(self.path),
        );
        if !self.error.is_empty() {
            let _ = writeln!(line, "Error #01: {}", redact::addresses(self.error));
        }
    }
}

/// A field of the line, if there is something to tell; `start` is its name and all up to the value.
fn push_field(line: &mut String, start: &str, value: &str) {
    if !value.is_empty() {
        line.push_str(start);
        escape_json(line, value);
        line.push('"');
    }
}

fn push_milliseconds(line: &mut String, span: Duration) {
    line.push_str(itoa::Buffer::new().format(span.as_millis()));
    let rest = span.subsec_micros() % 1000;
    line.push('.');
    for place in [100, 10, 1] {
        line.push(char::from(b'0' + (rest / place % 10) as u8));
    }
}

fn push_address(line: &mut String, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let mut number = itoa::Buffer::new();
            for (at, octet) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    line.push('.');
                }
                line.push_str(number.format(octet));
            }
        }
        IpAddr::V6(address) => {
            let _ = write!(line, "{address}");
        }
    }
}

/// A span as KrakenD's router writes it: cut to 10 µs above a millisecond, to 10 ms above a second, to 10 s
/// above a minute.
fn gin_latency(span: Duration) -> String {
    let unit = match span.as_millis() {
        0 => 1,
        1..1_000 => 10_000,
        1_000..60_000 => 10_000_000,
        _ => 10_000_000_000,
    };
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let cut = Duration::from_nanos(nanos - nanos % unit);
    let (minutes, seconds) = (cut.as_secs() / 60, cut.as_secs() % 60);
    match minutes {
        0 => format!("{cut:?}"),
        1..60 => format!("{minutes}m{seconds}s"),
        _ => format!("{}h{}m{seconds}s", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_written_as_in_go() {
        for (nanos, text) in [
            (812_345, "812.345µs"),
            (1_239_999, "1.23ms"),
            (2_345_678_901, "2.34s"),
            (83_000_000_000, "1m20s"),
            (3_725_000_000_000, "1h2m0s"),
        ] {
            assert_eq!(gin_latency(Duration::from_nanos(nanos)), text);
        }
    }

    /// The line as `format!` writes it.
    fn formatted(access: &Access<'_>, now: Duration) -> String {
        let escaped = |text: &str| {
            let quoted = serde_json::to_string(text)
                .unwrap()
                .replace('\x7f', "\\u007f");
            let quoted = quoted.replace("\\b", "\\u0008").replace("\\f", "\\u000c");
            quoted[1..quoted.len() - 1].to_owned()
        };
        let mut line = format!(
            "{{\"ts\":\"{}\",\"level\":\"INFO\",\"msg\":\"request\",\"method\":\"{}\",\"route\":\"{}\",\"path\":\"{}\",\
             \"status\":{},\"duration_ms\":{}.{:03},\"bytes\":{},\"bytes_in\":{},\"client\":\"{}\"",
            clock::rfc3339(now),
            escaped(access.method),
            escaped(access.route),
            escaped(&String::from_utf8_lossy(access.path)),
            access.status,
            access.duration.as_millis(),
            access.duration.subsec_micros() % 1000,
            access.bytes_out,
            access.bytes_in,
            access.client,
        );
        for (key, value) in [
            ("request_id", access.request_id),
            ("backend", access.backend),
            ("reason", access.reason),
            ("error", &*redact::addresses(access.error)),
        ] {
            if !value.is_empty() {
                let _ = write!(line, ",\"{key}\":\"{}\"", escaped(value));
            }
        }
        line + "}\n"
    }

    const QUIET: Access<'static> = Access {
        method: "GET",
        route: "",
        path: b"/",
        status: 0,
        duration: Duration::ZERO,
        bytes_out: 0,
        bytes_in: 0,
        request_id: "",
        backend: "",
        client: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        reason: "",
        error: "",
    };

    #[test]
    fn the_line_is_what_formatting_would_write() {
        let full = Access {
            route: "/v1/{id}",
            path: b"/v1/\"\n\xff\x7f\x01\xe2\x82\xac\\",
            status: 200,
            duration: Duration::from_micros(1_234_567),
            bytes_out: u64::MAX,
            bytes_in: 10,
            request_id: "\"<req_1>",
            backend: "llm:4000",
            client: IpAddr::from([192, 0, 2, 255]),
            reason: "connect_refused",
            error: "Get \"http://u:p@h:1/p?token=1\":\trefused",
            ..QUIET
        };
        let with = |change: &dyn Fn(&mut Access<'static>)| {
            let mut access = full;
            change(&mut access);
            access
        };
        for access in [
            QUIET,
            full,
            with(&|access| access.client = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])),
            with(&|access| access.client = IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x201])),
            with(&|access| access.duration = Duration::from_nanos(999)),
            with(&|access| access.duration = Duration::from_nanos(1_000)),
            with(&|access| access.duration = Duration::from_micros(99_010)),
            with(&|access| access.duration = Duration::MAX),
            with(&|access| access.status = u16::MAX),
            with(&|access| access.error = ""),
            with(&|access| access.method = "\u{1f}é"),
        ] {
            for now in [
                0,
                1_000,
                1_763_784_000_120,
                1_763_784_000_121,
                1_763_784_001_000,
            ] {
                let now = Duration::from_millis(now);
                let mut line = String::from("before ");
                access.json(&mut line, now);
                assert_eq!(line, format!("before {}", formatted(&access, now)));
            }
        }
    }

    #[test]
    fn is_one_json_object_without_what_is_empty() {
        let mut line = String::new();
        QUIET.json(&mut line, Duration::from_secs(1));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["duration_ms"], 0.0);
        assert_eq!(value["client"], "0.0.0.0");
        assert!(value.get("backend").is_none());
    }

    #[test]
    fn the_form_of_krakend_has_its_columns() {
        let access = Access {
            path: b"/a\"\xff",
            status: 502,
            duration: Duration::from_micros(812),
            error: "Get \"http://h/?a=b\": refused",
            ..QUIET
        };
        let mut line = String::new();
        access.gin(&mut line, Duration::from_millis(1_700_000_000_999));
        assert_eq!(
            line,
            "[GIN] 2023/11/14 - 22:13:20 | 502 |    812µs |         0.0.0.0 | GET      \"/a\\\"\u{fffd}\"\n\
             Error #01: Get \"http://h/?…\": refused\n"
        );
    }
}
