//! One endpoint of the document as an endpoint of the snapshot.

use crate::base::{Code, Dialect, Problem, Report};
use crate::body::Output;
use crate::compile::{Shared, backend};
use crate::component::{EndpointDraft, ServiceDraft};
use crate::config::{self, Document};
use crate::gateway::headers::StripSet;
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
        plan,
        timeout: written.timeout,
        limits: draft.limits,
        cache_control,
    })
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
