//! Which lane a request takes, and which line keeps it from the fast one.

use super::{Outcome, Place, Walk};
use crate::config;
use crate::gateway::head::Head;
use crate::gateway::lane::{Facts, Slow};
use crate::gateway::snapshot::Endpoint;

impl Walk<'_> {
    /// The running gateway asks the same two: the endpoint, and the facts of the head.
    pub(super) fn tell_lane(&mut self, endpoint: &Endpoint, written: &config::Endpoint) {
        let head = match self.request.version() {
            "2" => Err(Slow::Http2Client),
            _ => Facts::of(self.request).check(),
        };
        let lane = endpoint.lane.and(head).and_then(|()| endpoint.lane_now());
        self.lane = Some(lane);
        let (text, because) = match lane {
            Ok(()) => ("fast".to_owned(), self.written_lane()),
            Err(slow) => (
                format!("pingora: because {}", slow.describe()),
                self.why_slow(slow, written),
            ),
        };
        self.step("lane", Outcome::Passed, text, because);
        let asked = self.document.service.fast_lane.is_some();
        if asked && matches!(lane, Ok(()) | Err(Slow::Off)) {
            self.note("--lane or HANZO_GATEWAY_LANE says so", None);
        }
        if lane == Err(Slow::Http2Backend) {
            let text = "once all its hosts have chosen HTTP/1.1 in their handshakes, it is fast";
            self.note(text, None);
        }
        if lane.is_ok() && self.request.secure {
            let text = "if the client chooses HTTP/2 in the TLS handshake, it takes pingora's";
            self.note(text, None);
        }
    }

    /// The line of the setting, unless the command line is above it.
    fn written_lane(&self) -> Option<Place> {
        let asked = self.document.service.fast_lane.is_some();
        let written = || self.at.setting("hanzo/edge", "lane");
        (!asked).then(written).flatten()
    }

    /// The line that decided; what the client sent stands in no file.
    fn why_slow(&self, slow: Slow, written: &config::Endpoint) -> Option<Place> {
        let at = &self.at;
        let backend = written.backend.last();
        match slow {
            Slow::Off => self.written_lane(),
            Slow::Krakend => at.setting("hanzo/compat", "dialect"),
            Slow::Http2Backend => at.inherited(&backend?.pointer, "host"),
            Slow::PlatformStreams => {
                let http = backend?.extra_config.get("backend/http")?;
                at.key(&http.pointer, "http2")
            }
            Slow::Proxied => {
                let client = backend?.extra_config.get("backend/http/client")?;
                at.key(&client.pointer, "proxy_address")
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{FILE, ask_about, line, request, step};
    use super::*;
    use crate::base::Dialect;
    use crate::compile::explain::Explanation;

    const STREAMS: &str = r#"{
  "version": 3,
  "extra_config": {"hanzo/edge": {
    "lane": "auto"
  }},
  "endpoints": [
    {"endpoint": "/plain", "output_encoding": "no-op",
     "backend": [{"url_pattern": "/", "host": ["http://a"]}]},
    {"endpoint": "/tls", "output_encoding": "no-op",
     "backend": [{"url_pattern": "/",
       "host": ["https://a"]}]},
    {"endpoint": "/grpc", "output_encoding": "no-op",
     "backend": [{"url_pattern": "/", "host": ["http://a"], "extra_config": {"backend/http": {
       "http2": true
     }}}]}
  ]
}"#;

    /// The sentence, and the line that decided.
    fn told(found: &Explanation) -> (&str, Option<u32>) {
        let step = step(found, "lane");
        (&step.text, line(step.because.as_ref()))
    }

    #[test]
    fn a_stream_is_fast() {
        let found = ask_about(
            STREAMS,
            Dialect::Native,
            None,
            &request("GET", "/plain", &[]),
        );
        assert_eq!(told(&found), ("fast", Some(4)));
        assert_eq!(found.lane, Some(Ok(())));
    }

    #[test]
    fn the_line_that_keeps_an_endpoint_slow_is_named() {
        for (target, text, at) in [
            (
                "/tls",
                "pingora: because the backend is called over TLS and did not choose HTTP/1.1 (so far)",
                11,
            ),
            (
                "/grpc",
                "pingora: because the backend is called over HTTP/2",
                14,
            ),
        ] {
            let found = ask_about(STREAMS, Dialect::Native, None, &request("GET", target, &[]));
            assert_eq!(told(&found), (text, Some(at)), "{target}");
        }
        let off = STREAMS.replace("auto", "off");
        let found = ask_about(&off, Dialect::Native, None, &request("GET", "/plain", &[]));
        let text = "pingora: because the fast lane is switched off";
        assert_eq!(told(&found), (text, Some(4)));
    }

    #[test]
    fn the_command_line_is_named_where_it_decided() {
        let asked = request("GET", "/plain", &[]);
        let found = ask_about(STREAMS, Dialect::Native, Some(false), &asked);
        assert_eq!(found.lane, Some(Err(Slow::Off)));
        let step = step(&found, "lane");
        assert_eq!(step.because, None);
        assert!(step.notes[0].0.starts_with("--lane"), "{:?}", step.notes);
    }

    #[test]
    fn a_composed_answer_is_fast_in_both_dialects() {
        for dialect in [Dialect::Native, Dialect::Krakend] {
            let found = ask_about(FILE, dialect, None, &request("GET", "/users/7", &[]));
            assert_eq!(found.lane, Some(Ok(())), "{dialect:?}");
        }
    }

    #[test]
    fn what_the_client_sends_may_make_it_slow() {
        let asked = request("GET", "/plain", &[("Expect", "100-continue")]);
        let found = ask_about(STREAMS, Dialect::Native, None, &asked);
        assert_eq!(found.lane, Some(Err(Slow::Expect)));
        assert_eq!(step(&found, "lane").because, None);
        let mut asked = request("GET", "/plain", &[]);
        asked.version = "2";
        let found = ask_about(STREAMS, Dialect::Native, None, &asked);
        assert_eq!(found.lane, Some(Err(Slow::Http2Client)));
    }

    #[test]
    fn streams_of_the_krakend_dialect_are_slow_and_refusals_have_no_lane() {
        let asked = request("GET", "/plain", &[]);
        let found = ask_about(STREAMS, Dialect::Krakend, None, &asked);
        assert_eq!(found.lane, Some(Err(Slow::Krakend)));
        let found = ask_about(STREAMS, Dialect::Native, None, &request("GET", "/no", &[]));
        assert_eq!(found.lane, None);
    }
}
