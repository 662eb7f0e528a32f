//! One endpoint of the document as an endpoint of the snapshot.

use crate::base::{Code, Dialect, Problem, Report};
use crate::body::Output;
use crate::compile::backend::Compiled;
use crate::compile::regions::Regions;
use crate::compile::{Shared, backend};
use crate::component::{EndpointDraft, ServiceDraft};
use crate::config::{self, Document};
use crate::gateway::headers::{ForwardRules, StripSet};
use crate::gateway::lane::{Lane, Slow};
use crate::gateway::pattern::{SlotKind, title};
use crate::gateway::query::QueryFilter;
use crate::gateway::rate_limit::RateLimits;
use crate::gateway::router::param_names;
use crate::gateway::snapshot::{
    Backend, Compose, Endpoint, Merging, Plan, Propagated, Shadow, Staged,
};
use crate::gateway::stage::{HeadStage, PipeStage, SealStage};
use crate::gateway::task::Task;
use crate::pipe::compose::merge_timeout;
use crate::pipe::shadow;
use http::{HeaderValue, Method};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

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
    /// Where this gateway is, and the regions of the document.
    pub regions: Regions,
    /// Takes the findings.
    pub report: &'a mut Report,
}

/// Compiles an endpoint; `None` when it cannot be served, which the report explains.
pub fn compile(
    written: &config::Endpoint,
    draft: EndpointDraft,
    tasks: &mut Vec<Arc<dyn Task>>,
    scope: &mut Scope<'_>,
) -> Option<Endpoint> {
    tasks.extend(draft.tasks.iter().cloned());
    let method = Method::from_bytes(written.method.as_bytes()).ok()?;
    let params = param_names(&written.endpoint, scope.document.service.disable_rest);
    let wildcard = written.endpoint.ends_with("/*");
    let streams = written.output_encoding == "no-op";
    let mut backends = Vec::with_capacity(written.backend.len());
    let mut shadows = Vec::new();
    let mut shadow_timeout = Duration::ZERO;
    for (index, one) in written.backend.iter().enumerate() {
        let place = backend::Place {
            endpoint: written,
            params: &params,
            wildcard,
            index,
            at: &draft.at,
            hidden_query: &draft.hidden_query,
        };
        let Compiled { backend, shadow } = backend::compile(one, &place, tasks, scope);
        match shadow {
            None => backends.push(backend),
            Some(timeout) => {
                shadow_timeout = shadow_timeout.max(timeout.unwrap_or(written.timeout));
                shadows.push(backend);
            }
        }
    }
    if backends.is_empty() {
        warn_shadows(written, scope);
    }
    let several = backends.len() > 1;
    let plain = |backend: &Backend| backend.pipe.is_empty() && backend.wire.is_empty();
    let staged = !draft.pipe.is_empty()
        || !shadows.is_empty()
        || !backends.iter().all(plain)
        || draft.seal.is_some();
    let reads_body = draft.head.iter().any(|stage| stage.reads_body());
    let rewrites = heads(scope.draft, &draft).any(|stage| stage.rewrites());
    let plan = if streams && !staged && backends.len() == 1 {
        Plan::Stream(Box::new(backends.pop()?))
    } else {
        let only = match written.backend.as_slice() {
            [one] => Some(one.encoding.as_str()),
            _ => None,
        };
        warn_encoding(written, scope.report);
        Plan::Compose(Compose {
            merging: merging(&backends, draft.sequential.as_deref()),
            output: match draft.seal.as_deref().map(SealStage::bare) {
                None => Output::parse(&written.output_encoding, only),
                Some(bare) => sealed_output(bare, only, written, scope.report),
            },
            merge_timeout: if several {
                merge_timeout(written.timeout)
            } else {
                written.timeout
            },
            flatmap: draft.flatmap,
            statics: draft.statics,
            staged: around(draft.pipe, &draft.hidden_query, written, scope),
            shadow: beside(shadows, shadow_timeout),
            seal: draft.seal,
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
        params: params.iter().map(|name| title(name).into()).collect(),
        reads_body,
        keyed: keyed(&plan),
        routed: true,
        split: None,
        door: draft.door.into(),
        head: draft.head.into(),
        claims: draft.claims.into(),
        lane: lane(&plan, rewrites, scope),
        told: match scope.dialect {
            Dialect::Native => told(&plan),
            Dialect::Krakend => RateLimits::new(),
        },
        plan,
        timeout: written.timeout,
        limits: draft.limits,
        cache_control,
    })
}

/// The limits of backends that answers wait for.
fn told(plan: &Plan) -> RateLimits {
    let backends = match plan {
        Plan::Stream(backend) => std::slice::from_ref(&**backend),
        Plan::Compose(compose) => &compose.backends,
    };
    let stages = backends.iter().flat_map(|backend| &backend.call);
    stages.flat_map(|stage| stage.limits()).collect()
}

/// How an answer is written about whose data somebody has the last word.
fn sealed_output(
    bare: bool,
    only: Option<&str>,
    written: &config::Endpoint,
    report: &mut Report,
) -> Output {
    if bare {
        return Output::Json;
    }
    let output = Output::parse(&written.output_encoding, only);
    if output == Output::NoOp {
        let pointer = format!("{}/output_encoding", written.pointer);
        let message = "what passes as it is cannot be signed";
        let hint = "leave \"output_encoding\" away, or auth/signer";
        report.push(Problem::error(Code::BadValue, pointer, message).hint(hint));
    }
    output
}

/// The stages that see the head of a request to this endpoint.
fn heads<'a>(
    service: &'a ServiceDraft,
    own: &'a EndpointDraft,
) -> impl Iterator<Item = &'a dyn HeadStage> {
    service.head.iter().chain(&own.head).map(|stage| &**stage)
}

/// The stages around the pipe, with what makes the request that they see.
fn around(
    stages: Vec<Box<dyn PipeStage>>,
    hidden: &[String],
    written: &config::Endpoint,
    scope: &Scope<'_>,
) -> Option<Box<Staged>> {
    if stages.is_empty() {
        return None;
    }
    Some(Box::new(Staged {
        stages: stages.into(),
        forward: ForwardRules::compile(
            scope.dialect,
            &written.input_headers,
            &[],
            Arc::clone(&scope.strip),
            scope.draft.router.hide_version_header,
        ),
        query: QueryFilter::compile(&written.input_query_strings, &[]).without(hidden),
    }))
}

/// The backends that are called beside the others.
fn beside(shadows: Vec<Backend>, timeout: Duration) -> Option<Box<Shadow>> {
    if shadows.is_empty() {
        return None;
    }
    let several = shadows.len() > 1;
    let plan = Compose {
        merging: Merging::Parallel,
        output: Output::default(),
        merge_timeout: if several {
            merge_timeout(timeout)
        } else {
            timeout
        },
        flatmap: None,
        statics: None,
        staged: None,
        shadow: None,
        seal: None,
        backends: shadows.into(),
    };
    let room = Arc::new(Semaphore::new(shadow::MOST));
    Some(Box::new(Shadow {
        plan,
        timeout,
        room,
    }))
}

/// Sequential calls with what each answer passes on: what slots of later patterns ask for, and what the list of
/// `sequential_propagated_params` names.
fn merging(backends: &[Backend], listed: Option<&[String]>) -> Merging {
    let Some(listed) = listed else {
        return Merging::Parallel;
    };
    let mut wanted: Vec<Vec<Propagated>> = backends.iter().map(|_| Vec::new()).collect();
    let mut want = |from: usize, key: &str, field: Option<&str>| {
        if let Some(wanted) = wanted.get_mut(from)
            && !wanted.iter().any(|one| &*one.key == key)
        {
            wanted.push(Propagated {
                key: key.into(),
                field: field.map(Into::into),
            });
        }
    };
    for (index, backend) in backends.iter().enumerate() {
        for slot in backend.pattern.slots() {
            if let SlotKind::Response { backend, field } = &slot.kind
                && *backend < index
            {
                want(*backend, &slot.key, Some(field));
            }
        }
    }
    for text in listed {
        if let Some((from, field)) = propagated(text) {
            let key = match field {
                Some(field) => format!("Resp{from}_{field}"),
                None => format!("Resp{from}"),
            };
            want(from, &key, field);
        }
    }
    Merging::Sequential(wanted.into_iter().map(Into::into).collect())
}

/// What an entry of `sequential_propagated_params` asks for: `resp0_a.b`, or `resp0` for a whole body. What
/// stands around it is passed over.
fn propagated(text: &str) -> Option<(usize, Option<&str>)> {
    let at = text.match_indices("esp").map(|(at, _)| at).find(|&at| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + 3..).and_then(|after| after.chars().next());
        matches!(before, Some('r' | 'R')) && after.is_some_and(|c| c.is_ascii_digit())
    })?;
    let rest = text.get(at + 3..)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = rest.split_at_checked(digits)?;
    let field = rest.strip_prefix('_').map(|rest| {
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let end = rest.find(|c| !name(c)).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    });
    Some((
        number.parse().ok()?,
        field.filter(|field| !field.is_empty()),
    ))
}

/// KrakenD serves such an endpoint with 500 to every request.
fn warn_shadows(written: &config::Endpoint, scope: &mut Scope<'_>) {
    let pointer = format!("{}/backend", written.pointer);
    let message = "every backend is a shadow, so that nothing can be answered";
    let problem = match scope.dialect {
        Dialect::Native => Problem::error(Code::BadValue, pointer, message),
        Dialect::Krakend => Problem::warning(Code::BadValue, pointer, message),
    };
    let hint = "leave \"shadow\" away from one backend";
    scope.report.push(problem.hint(hint));
}

/// Whether requests of an endpoint may take the fast lane.
fn lane(plan: &Plan, rewrites: bool, scope: &Scope<'_>) -> Result<(), Slow> {
    if scope.draft.lane == Lane::Off {
        return Err(Slow::Off);
    }
    match plan {
        _ if rewrites => Err(Slow::Rewritten),
        Plan::Compose(compose) if compose.output == Output::NoOp => Err(Slow::Staged),
        Plan::Compose(_) => Ok(()),
        Plan::Stream(_) if scope.dialect == Dialect::Krakend => Err(Slow::Krakend),
        Plan::Stream(backend) if backend.platform_streams => Err(Slow::PlatformStreams),
        Plan::Stream(backend) if proxied(backend) => Err(Slow::Proxied),
        Plan::Stream(_) => Ok(()),
    }
}

/// Whether calls to some backends are balanced by a key.
fn keyed(plan: &Plan) -> bool {
    match plan {
        Plan::Stream(backend) => backend.affinity.is_some(),
        Plan::Compose(compose) => compose.all().any(|one| one.affinity.is_some()),
    }
}

fn proxied(backend: &Backend) -> bool {
    let own = backend.transport.as_ref();
    own.is_some_and(|own| own.proxy.is_some())
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
        let client = |settings: Value| {
            let mut backend = plain();
            backend["extra_config"] = json!({"backend/http/client": settings});
            lane_of(&backend, Dialect::Native, None)
        };
        let found = client(json!({"proxy_address": "http://proxy:3128"}));
        assert_eq!(found, Err(Slow::Proxied));
        let found = client(json!({"client_tls": {"allow_insecure_connections": true}}));
        assert_eq!(found, Ok(()));
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
