//! One endpoint of the document as an endpoint of the snapshot.

use crate::base::{Code, Dialect, Problem, Report};
use crate::body::Output;
use crate::compile::{Shared, backend};
use crate::component::{EndpointDraft, ServiceDraft};
use crate::config::{self, Document};
use crate::gateway::headers::StripSet;
use crate::gateway::lane::{Lane, Slow};
use crate::gateway::router::param_names;
use crate::gateway::snapshot::{Compose, Endpoint, Hosts, Plan};
use crate::pipe::compose::merge_timeout;
use http::{HeaderValue, Method};
use std::sync::Arc;

/// What every endpoint of one document is compiled with.
pub struct Scope<'a> {
    /// The document.
    pub document: &'a Document,
    /// Whose words.
    pub dialect: Dialect,
    /// What outlives a reload.
    pub shared: &'a Shared,
    /// The service's components.
    pub draft: &'a ServiceDraft,
    /// Fields of clients that are never believed.
    pub strip: Arc<StripSet>,
    /// Takes the findings.
    pub report: &'a mut Report,
}

/// Compiles an endpoint; `None` when it cannot be served, which the report explains.
pub fn compile(
    written: &config::Endpoint,
    draft: EndpointDraft,
    scope: &mut Scope<'_>,
) -> Option<Endpoint> {
    let method = Method::from_bytes(written.method.as_bytes()).ok()?;
    let params = param_names(&written.endpoint, scope.document.service.disable_rest);
    let wildcard = written.endpoint.ends_with("/*");
    let streams = written.output_encoding == "no-op";
    let several = written.backend.len() > 1;
    let mut backends = Vec::with_capacity(written.backend.len());
    for (index, one) in written.backend.iter().enumerate() {
        let place = backend::Place {
            endpoint: written,
            params: &params,
            wildcard,
            index,
            several,
        };
        backends.push(backend::compile(one, &place, scope));
    }
    let plan = if streams {
        Plan::Stream(Box::new(backends.pop()?))
    } else {
        let only = match written.backend.as_slice() {
            [one] => Some(one.encoding.as_str()),
            _ => None,
        };
        warn_encoding(written, scope.report);
        Plan::Compose(Compose {
            output: Output::parse(&written.output_encoding, only),
            merge_timeout: if several {
                merge_timeout(written.timeout)
            } else {
                written.timeout
            },
            statics: draft.statics,
            backends: backends.into(),
        })
    };
    let max_age = written.cache_ttl.as_secs();
    let cache_control = (!written.cache_ttl.is_zero())
        .then(|| HeaderValue::from_str(&format!("public, max-age={max_age}")).ok())
        .flatten();
    Some(Endpoint {
        meters: scope
            .shared
            .metrics
            .endpoint(method.as_str(), &written.endpoint),
        method,
        pattern: written.endpoint.as_str().into(),
        pointer: written.pointer.as_str().into(),
        head: draft.head.into(),
        lane: lane(&plan, scope.draft.lane, scope.dialect),
        plan,
        timeout: written.timeout,
        limits: draft.limits,
        cache_control,
    })
}

/// Whether requests of an endpoint may take the fast lane.
fn lane(plan: &Plan, lane: Lane, dialect: Dialect) -> Result<(), Slow> {
    if lane == Lane::Off {
        return Err(Slow::Off);
    }
    match plan {
        Plan::Compose(_) => Ok(()),
        Plan::Stream(_) if dialect == Dialect::Krakend => Err(Slow::Krakend),
        Plan::Stream(backend) if backend.platform_streams => Err(Slow::PlatformStreams),
        Plan::Stream(_) => Ok(()),
    }
}

/// Names that neither KrakenD nor this gateway knows become JSON, without a word there.
fn warn_encoding(written: &config::Endpoint, report: &mut Report) {
    let name = written.output_encoding.as_str();
    if Output::known(name).is_none() && name != "fast-json" {
        let pointer = format!("{}/output_encoding", written.pointer);
        let message =
            format!("output_encoding \"{name}\" is unknown; the backend's or JSON is used");
        let hint = "write one of json, json-collection, negotiate, string, xml, yaml, no-op";
        report.push(Problem::warning(Code::UnknownEncoding, pointer, message).hint(hint));
    }
}

/// The services behind an endpoint: name and URL to probe.
pub fn services(endpoint: &Endpoint) -> Vec<(String, String)> {
    let backends = match &endpoint.plan {
        Plan::Stream(backend) => std::slice::from_ref(&**backend),
        Plan::Compose(compose) => &compose.backends,
    };
    backends
        .iter()
        .filter_map(|backend| match &backend.hosts {
            Hosts::Fixed(balancer) => {
                let target = balancer.all().first()?;
                Some((backend.service.to_string(), target.url("")))
            }
            Hosts::Srv(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Format, LoadOptions, parse};
    use serde_json::{Value, json};

    /// The lane of one streaming endpoint that calls this backend.
    fn lane_of(backend: &Value, dialect: Dialect, fast: Option<bool>) -> Result<(), Slow> {
        let file = json!({"version": 3, "endpoints": [
            {"endpoint": "/a", "output_encoding": "no-op", "backend": [backend]},
        ]});
        lane_in(&file, dialect, fast)
    }

    fn lane_in(file: &Value, dialect: Dialect, fast: Option<bool>) -> Result<(), Slow> {
        let mut report = Report::default();
        let options = LoadOptions {
            dialect,
            ..LoadOptions::default()
        };
        let text = file.to_string();
        let mut document = parse("t", &text, Format::Json, &options, &mut report).unwrap();
        document.service.fast_lane = fast;
        let shared = Shared::new(1).unwrap();
        let compiled = crate::compile::compile(&document, dialect, &shared, &mut report);
        let compiled = compiled.unwrap_or_else(|| panic!("{:?}", report.problems));
        compiled.gateway.endpoints[0].lane
    }

    fn plain() -> Value {
        json!({"url_pattern": "/b", "host": ["http://a"]})
    }

    #[test]
    fn a_stream_from_a_plain_backend_is_fast() {
        assert_eq!(lane_of(&plain(), Dialect::Native, None), Ok(()));
    }

    #[test]
    fn the_krakend_dialect_has_no_fast_lane() {
        let found = lane_of(&plain(), Dialect::Krakend, Some(true));
        assert_eq!(found, Err(Slow::Krakend));
    }

    #[test]
    fn a_backend_over_tls_may_turn_out_to_be_fast() {
        let backend = json!({"url_pattern": "/b", "host": ["http://a", "https://b"]});
        assert_eq!(lane_of(&backend, Dialect::Native, None), Ok(()));
    }

    #[test]
    fn cleartext_http2_is_slow_and_composing_is_not() {
        let mut backend = plain();
        backend["extra_config"] = json!({"backend/http": {"http2": true}});
        let found = lane_of(&backend, Dialect::Native, None);
        assert_eq!(found, Err(Slow::PlatformStreams));
        let file = json!({"version": 3, "endpoints": [{"endpoint": "/a", "backend": [plain()]}]});
        let found = lane_in(&file, Dialect::Native, None);
        assert_eq!(found, Ok(()));
    }

    #[test]
    fn the_setting_switches_it_off_and_the_command_line_decides() {
        let file = |lane: &str| {
            json!({"version": 3, "extra_config": {"hanzo/edge": {"lane": lane}}, "endpoints": [
                {"endpoint": "/a", "output_encoding": "no-op", "backend": [plain()]},
            ]})
        };
        for (lane, asked, found) in [
            ("auto", None, Ok(())),
            ("off", None, Err(Slow::Off)),
            ("off", Some(true), Ok(())),
            ("auto", Some(false), Err(Slow::Off)),
        ] {
            let compiled = lane_in(&file(lane), Dialect::Native, asked);
            assert_eq!(compiled, found, "{lane} {asked:?}");
        }
    }
}
