//! One backend of the document as a backend of the snapshot.

use crate::base::{Code, Dialect, Problem};
use crate::body::{Decoder, Shape};
use crate::compile::components;
use crate::compile::endpoint::Scope;
use crate::compile::gates::gates;
use crate::compile::hosts::{self, Hosting};
use crate::component::ErrorMode;
use crate::component::{At, BackendDraft};
use crate::config;
use crate::gateway::headers::ForwardRules;
use crate::gateway::pattern::Pattern;
use crate::gateway::query::QueryFilter;
use crate::gateway::snapshot::{Backend, StatusRule};
use crate::gateway::task::Task;
use crate::net::{Proxy, Transport};
use crate::pipe::compose::race_timeout;
use http::Method;
use std::sync::Arc;
use std::time::Duration;

/// Where a backend stands.
pub struct Place<'a> {
    /// Its endpoint.
    pub endpoint: &'a config::Endpoint,
    /// The endpoint's parameters in the router's order.
    pub params: &'a [String],
    /// The endpoint's path ends in `/*`.
    pub wildcard: bool,
    /// Its place in the endpoint's list.
    pub index: usize,
    /// The endpoint as components know it.
    pub at: &'a At,
    /// Parameters of the query that no backend gets.
    pub hidden_query: &'a [String],
}

/// A backend, and whether it is called beside the others.
pub struct Compiled {
    /// The backend.
    pub backend: Backend,
    /// `proxy.shadow`, with a time limit of its own if it has one.
    pub shadow: Option<Option<Duration>>,
}

/// Compiles a backend; `tasks` takes the work beside the requests that it asks for.
pub fn compile(
    written: &config::Backend,
    place: &Place<'_>,
    tasks: &mut Vec<Arc<dyn Task>>,
    scope: &mut Scope<'_>,
) -> Compiled {
    let endpoint = place.endpoint;
    let native = scope.dialect == Dialect::Native;
    let mut draft = BackendDraft {
        env: scope.draft.env.clone(),
        offers: scope.draft.offers.clone(),
        at: place.at.clone(),
        ..BackendDraft::default()
    };
    components::backend(
        &written.extra_config,
        &mut draft,
        scope.dialect,
        scope.report,
    );
    tasks.append(&mut draft.tasks);
    let transport = transport(&mut draft, scope);
    if draft.http2 && transport.is_some() {
        let message =
            "cleartext HTTP/2 cannot be spoken over connections of the backend's own making";
        let hint = "leave out \"http2\": over TLS it is agreed on by itself";
        let pointer = format!("{}/extra_config", written.pointer);
        let problem = Problem::error(Code::BadValue, pointer, message).hint(hint);
        scope.report.push(problem);
    }
    let streams = endpoint.output_encoding == "no-op";
    let order = scope.regions.order(
        written,
        draft.regions.as_ref(),
        scope.draft.regions.as_ref(),
        scope.report,
    );
    let balancing = hosts::balancing(&mut draft, scope.dialect, order.is_some());
    let hosting = Hosting {
        written,
        draft: &draft,
        balancing: &balancing,
        transport: transport.as_ref(),
    };
    let hosts = hosting.hosts(order, scope);
    let service = hosts::service(&hosts, written);
    let retry = hosts::retry(written, &draft, &hosts, scope.dialect);
    warn_encoding(written, scope);
    let shadow = draft.shadow;
    let gates = gates(
        &mut draft,
        (written, place),
        (&service, endpoint.timeout),
        scope.dialect,
    );
    let backend = Backend {
        meters: scope.shared.metrics.backend(&service),
        service: service.into(),
        pointer: written.pointer.as_str().into(),
        hosts,
        affinity: balancing.affinity,
        retry,
        probe: balancing.probe.or_else(|| scope.draft.health.probe.clone()),
        pattern: Pattern::compile(&url_pattern(written, place), place.params, place.wildcard),
        method: Method::from_bytes(written.method.as_bytes()).unwrap_or(Method::GET),
        index: place.index,
        forward: ForwardRules::compile(
            scope.dialect,
            &endpoint.input_headers,
            &written.input_headers,
            Arc::clone(&scope.strip),
            scope.draft.router.hide_version_header,
        ),
        query: QueryFilter::compile(&endpoint.input_query_strings, &written.input_query_strings)
            .without(place.hidden_query),
        own_query: match written.input_query_strings.as_slice() {
            [] => QueryFilter::All,
            own => QueryFilter::compile(own, own),
        },
        decoder: if streams {
            Decoder::NoOp
        } else {
            Decoder::parse(&written.encoding)
        },
        is_collection: written.is_collection,
        shape: Shape::compile(
            &written.target,
            &written.allow,
            &written.deny,
            &written.mapping,
            &written.group,
        ),
        flatmap: draft.flatmap,
        errors: match draft.errors {
            ErrorMode::Hide => StatusRule::Hide,
            ErrorMode::Details(name) => StatusRule::Details(name.into()),
            ErrorMode::Code => StatusRule::Code,
        },
        concurrent_calls: if streams {
            1
        } else {
            endpoint.concurrent_calls.max(1)
        },
        call_timeout: race_timeout(endpoint.timeout),
        follow_redirects: !(native && streams || draft.no_redirect),
        send_body_on_redirect: draft.send_body_on_redirect,
        inflate: !(scope.document.service.disable_compression || native && streams),
        transport,
        platform_streams: native && draft.http2,
        gates,
        call: draft.call.into(),
        pipe: draft.pipe.into(),
        wire: draft.wire.into(),
    };
    Compiled { backend, shadow }
}

/// Under a wildcard endpoint the rest of the path belongs behind the pattern, written or not.
fn url_pattern(written: &config::Backend, place: &Place<'_>) -> String {
    let pattern = &written.url_pattern;
    if !place.wildcard || pattern.contains('*') || pattern.contains('?') {
        return pattern.clone();
    }
    format!("{}/*", pattern.trim_end_matches('/'))
}

/// How the backend is connected to, when not as the service's others.
fn transport(draft: &mut BackendDraft, scope: &Scope<'_>) -> Option<Arc<Transport>> {
    let proxy = draft.proxy.take();
    let transport = Transport {
        tls: draft.tls.take(),
        proxy: proxy.map(|address| Proxy::new(address, &scope.shared.resolver)),
    };
    transport.shared()
}

fn warn_encoding(written: &config::Backend, scope: &mut Scope<'_>) {
    let name = written.encoding.as_str();
    if Decoder::known(name).is_none() && name != "fast-json" {
        let pointer = format!("{}/encoding", written.pointer);
        let message = format!("encoding \"{name}\" is unknown; json is used");
        let hint = "write one of json, safejson, xml, rss, string, no-op";
        scope
            .report
            .push(Problem::warning(Code::UnknownEncoding, pointer, message).hint(hint));
    }
}
