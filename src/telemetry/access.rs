//! The access line: one per request, written once at its end, straight into the sink.

use crate::base::clock;
use crate::base::reply::escape_json;
use crate::telemetry::redact;
use crate::telemetry::sink::Sink;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

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
    /// Writes the line in the form of contract section 8.
    pub fn write_json(&self) {
        // Formatted before the lock is taken: other threads wait for a copy, not for formatting.
        let mut line = String::with_capacity(384);
        self.json(&mut line, clock::since_epoch());
        Sink::stdout().line(|out| out.extend_from_slice(line.as_bytes()));
    }

    /// Writes the line in the form of KrakenD's router (reference/krakend-core section 4.9).
    pub fn write_gin(&self) {
        Sink::stdout().line(|out| {
            let stamp = clock::rfc3339(clock::since_epoch());
            let (day, time) = stamp.split_once('T').unwrap_or_default();
            let path = String::from_utf8_lossy(self.path);
            let line = format!(
                "[GIN] {} - {} | {:>3} | {:>8} | {:>15} | {:<7}  {:?}\n",
                day.replace('-', "/"),
                time.get(..8).unwrap_or_default(),
                self.status,
                gin_latency(self.duration),
                self.client.to_string(),
                self.method,
                path,
            );
            out.extend_from_slice(line.as_bytes());
            if !self.error.is_empty() {
                out.extend_from_slice(
                    format!("Error #01: {}\n", redact::addresses(self.error)).as_bytes(),
                );
            }
        });
    }

    fn json(&self, line: &mut String, now: Duration) {
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
        let _ = write!(
            line,
            "\",\"status\":{},\"duration_ms\":{}.{:03},\"bytes\":{},\"bytes_in\":{},\"client\":\"{}\"",
            self.status,
            self.duration.as_millis(),
            self.duration.subsec_micros() % 1000,
            self.bytes_out,
            self.bytes_in,
            self.client,
        );
        let error = redact::addresses(self.error);
        for (key, value) in [
            ("request_id", self.request_id),
            ("backend", self.backend),
            ("reason", self.reason),
            ("error", &*error),
        ] {
            if !value.is_empty() {
                let _ = write!(line, ",\"{key}\":\"");
                escape_json(line, value);
                line.push('"');
            }
        }
        line.push_str("}\n");
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

    #[test]
    fn is_one_json_object_without_the_query() {
        let access = Access {
            method: "GET",
            route: "/v1/{id}",
            path: b"/v1/\"\n\xff",
            status: 200,
            duration: Duration::from_micros(1_234_567),
            bytes_out: 10,
            bytes_in: 0,
            request_id: "req_1",
            backend: "",
            client: IpAddr::from([127, 0, 0, 1]),
            reason: "",
            error: "",
        };
        let mut line = String::new();
        access.json(&mut line, Duration::from_secs(1));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["duration_ms"], 1234.567);
        assert_eq!(value["route"], "/v1/{id}");
        assert_eq!(value["request_id"], "req_1");
        assert!(value.get("backend").is_none());
    }
}
