//! What goes to each backend: URL, fields and parameters with what was left behind and which key would
//! let it pass, and what becomes of the answer.

use super::route::lossy;
use super::{Lookup, Outcome, Place, Walk};
use crate::base::reply::{X_GATEWAY_REGION, X_GATEWAY_VERSION};
use crate::base::{Dialect, Error, Reason, secret};
use crate::component::{self, Loss};
use crate::config;
use crate::gateway::head::{BodySize, Head};
use crate::gateway::headers::{
    StripSet, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_FORWARDED_VIA,
    forward_headers, hop_by_hop,
};
use crate::gateway::query;
use crate::gateway::snapshot::{
    Backend, Compose, Endpoint, Hosts, Merging, Plan, Regional, StatusRule,
};
use crate::gateway::stage::Edits;
use crate::net::Balance;
use crate::net::Pool;
use crate::pipe::Inbound;
use crate::pipe::call::{Fields, declares_length, wire_fields, wire_target};
use bytes::Bytes;
use http::{HeaderName, header};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Parameters and fields that are told about; a request with more is not written by hand.
const TOLD: usize = 100;

/// A call to one backend.
#[derive(Clone, Debug)]
pub struct CallPlan {
    /// Where the backend stands.
    pub place: Place,
    /// Method of the call.
    pub method: String,
    /// Path and query; the reason when none can be built.
    pub target: Result<String, String>,
    /// The whole URL on each host; one of them is called.
    pub urls: Vec<String>,
    /// Fields that go to it.
    pub fields: Vec<Sent>,
    /// Fields of the client that do not.
    pub dropped_fields: Vec<Dropped>,
    /// Query parameters of the client that do not.
    pub dropped_query: Vec<Dropped>,
    /// What stands in front of the call: limits, breakers, how hosts are chosen, how it is repeated.
    pub guards: Vec<(String, Option<Place>)>,
    /// What becomes of the body.
    pub body: String,
    /// What becomes of the answer, in order.
    pub answer: Vec<(String, Option<Place>)>,
    /// What the file asks for around the call and nothing implements yet.
    pub missing: Vec<(String, Option<Place>)>,
    /// Which regions it may go to, in order; `None` for a backend that is in none.
    pub regions: Option<(String, Option<Place>)>,
    /// Why the call cannot be made at all.
    pub refused: Option<Reason>,
}

/// A field that goes to a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its name.
    pub name: String,
    /// Its value; credentials are cut short.
    pub value: String,
    /// Whether it is the client's own.
    pub from_client: bool,
}

/// Something of the client's that stays behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
    /// What to write so that it passes; `None` when nothing can.
    pub fix: Option<String>,
    /// The list that decided.
    pub because: Option<Place>,
}

impl Walk<'_> {
    /// Streams or composes, and calls whom. Refused when no backend at all can be called.
    pub(super) fn plan(&mut self, endpoint: &Endpoint) -> Result<(), Error> {
        let document = self.document;
        let written = document
            .service
            .endpoints
            .iter()
            .find(|e| *e.pointer == *endpoint.pointer);
        let written = written.ok_or(Reason::Internal)?;
        self.tell_plan(endpoint, written);
        self.tell_lane(endpoint, written);
        let (calls, refusal) = self.calls_of(endpoint, written);
        self.calls = calls;
        let all_fail = self.calls.iter().all(|call| call.refused.is_some());
        match refusal {
            Some(error) if all_fail => Err(error),
            _ => Ok(()),
        }
    }

    /// The calls of an endpoint, and why one of them cannot be made.
    pub(super) fn calls_of(
        &self,
        endpoint: &Endpoint,
        written: &config::Endpoint,
    ) -> (Vec<CallPlan>, Option<Error>) {
        let mut calls = Vec::new();
        let fields: Vec<_> = endpoint
            .backends()
            .map(|backend| {
                let mut fields = Vec::new();
                forward_headers(
                    &backend.forward,
                    self.request,
                    &self.client,
                    self.ctx.added(),
                    &mut fields,
                );
                Edits::apply(&self.edits.upstream, &mut fields);
                fields
            })
            .collect();
        let strip = Arc::clone(&self.ctx.gateway.service.strip);
        let mut refusal = None;
        for (backend, selected) in endpoint.backends().zip(fields) {
            let mut backends = written.backend.iter();
            let Some(own) = backends.find(|own| *own.pointer == *backend.pointer) else {
                continue;
            };
            let inbound = Inbound {
                ctx: &self.ctx,
                endpoint,
                raw_path: &self.request.path,
                raw_query: self.request.query.as_deref().unwrap_or_default(),
                body: (self.request.body != BodySize::None).then(Bytes::new),
                params: Vec::new(),
                query: None,
                started: Instant::now(),
            };
            let call = Call {
                walk: self,
                backend,
                own,
                written,
                strip: &strip,
            };
            let (plan, error) = call.plan(&inbound, selected);
            refusal = refusal.or(error);
            calls.push(plan);
        }
        (calls, refusal)
    }

    fn tell_plan(&mut self, endpoint: &Endpoint, written: &config::Endpoint) {
        let pointer = endpoint.pointer.to_string();
        let encoding = self.at.inherited(&pointer, "output_encoding");
        let (text, merge) = match &endpoint.plan {
            Plan::Stream(_) => (
                "stream: the backend's answer passes through untouched".to_owned(),
                None,
            ),
            Plan::Compose(compose) => (
                format!(
                    "compose: {} backend{}, answered as {}",
                    compose.backends.len(),
                    if compose.backends.len() == 1 { "" } else { "s" },
                    written.output_encoding
                ),
                (compose.backends.len() > 1).then_some(compose.merge_timeout),
            ),
        };
        self.step("plan", Outcome::Passed, text, encoding);
        let timeout = self.at.inherited(&pointer, "timeout");
        let whose = if timeout.is_some() {
            ""
        } else {
            " (the default)"
        };
        let limit = span(endpoint.timeout);
        let text = match &endpoint.plan {
            Plan::Stream(_) if self.native() => {
                let idle = span(self.gateway.service.stream_idle);
                format!(
                    "connecting and the answer's head may take {limit}{whose}, each pause after it {idle}"
                )
            }
            _ => format!("the whole may take {limit}{whose}"),
        };
        self.note(text, timeout);
        if let Some(merge) = merge {
            let text = format!(
                "parts that are not there after {} are left out",
                span(merge)
            );
            self.note(text, None);
        }
        if let Plan::Compose(compose) = &endpoint.plan {
            self.tell_pipe(compose, written);
        }
        if let Some(control) = endpoint
            .cache_control
            .as_ref()
            .and_then(|c| c.to_str().ok())
        {
            let because = self.at.inherited(&pointer, "cache_ttl");
            self.note(
                format!("complete answers carry Cache-Control: {control}"),
                because,
            );
        }
        if written.concurrent_calls > 1 {
            let because = self.at.key(&pointer, "concurrent_calls");
            self.note(
                format!("{} copies of each call race", written.concurrent_calls),
                because,
            );
        }
    }
}

impl Walk<'_> {
    /// What stands around the calls of a composed answer, from the outside in.
    fn tell_pipe(&mut self, compose: &Compose, written: &config::Endpoint) {
        let around = compose.staged.iter().flat_map(|staged| &staged.stages);
        for stage in around {
            let because = placed(&self.at, &written.extra_config, stage.name());
            let text = format!(
                "{} sees the request first and the answer last",
                stage.name()
            );
            self.note(text, because);
        }
        let proxy = |walk: &Self, key: &str| {
            let settings = written.extra_config.get("proxy")?;
            walk.at.key(&settings.pointer, key)
        };
        if let Some(shadow) = &compose.shadow {
            let count = shadow.plan.backends.len();
            let text = format!("{count} more called beside; nobody waits for their answers");
            self.note(text, None);
        }
        if compose.statics.is_some() {
            let because = proxy(self, "static");
            self.note("static data may be added".to_owned(), because);
        }
        if compose.flatmap.is_some() && compose.backends.len() > 1 {
            let because = proxy(self, "flatmap_filter");
            self.note("the merged data is rearranged".to_owned(), because);
        }
        if matches!(compose.merging, Merging::Sequential(_)) && compose.backends.len() > 1 {
            let because = proxy(self, "sequential").or_else(|| proxy(self, "strategy"));
            let text = "the backends are called one after the other";
            self.note(text.to_owned(), because);
        }
    }
}

/// Where the settings of a component stand.
fn placed(at: &Lookup<'_>, extra: &config::Extra, name: &str) -> Option<Place> {
    Some(at.place(extra.get(name)?.pointer.as_str()))
}

/// One backend being told about.
struct Call<'w, 'a> {
    walk: &'w Walk<'a>,
    backend: &'w Backend,
    own: &'w config::Backend,
    written: &'w config::Endpoint,
    strip: &'w StripSet,
}

impl Call<'_, '_> {
    fn plan(&self, inbound: &Inbound<'_>, selected: Fields) -> (CallPlan, Option<Error>) {
        let walk = self.walk;
        let target = wire_target(self.backend, &walk.ctx, inbound.raw_path, inbound.raw_query);
        let mut error = target.as_ref().err().cloned();
        let urls = match (&self.backend.hosts, &target) {
            (Hosts::Fixed(pool), Ok(target)) => pool
                .targets()
                .take(TOLD)
                .map(|host| host.url(target))
                .collect(),
            (Hosts::Regional(Regional { regions, .. }), Ok(target)) => {
                let targets = regions.pools().flat_map(|(_, pool)| pool.targets());
                targets.take(TOLD).map(|host| host.url(target)).collect()
            }
            (Hosts::Srv(_), Ok(target)) => {
                let name = self.own.host.first().map_or("", String::as_str);
                vec![format!("{}://<SRV {name}>{target}", self.own.sd_scheme)]
            }
            (_, Err(_)) => Vec::new(),
        };
        if urls.is_empty() && error.is_none() {
            error = Some(Error::new(Reason::NoHosts, "no hosts available"));
        }
        let fields = wire_fields(self.backend, selected);
        let plan = CallPlan {
            place: walk.at.place(self.own.pointer.as_str()),
            method: self.backend.method.to_string(),
            target: target.map_err(|error| error.text.into_owned()),
            urls,
            dropped_fields: self.dropped_fields(),
            dropped_query: self.dropped_query(),
            guards: self.guards(),
            body: self.body(),
            answer: self.answer(),
            missing: self.missing(),
            regions: self.regions(),
            refused: error.as_ref().map(|error| error.reason),
            fields: fields
                .iter()
                .take(TOLD)
                .map(|(n, v)| self.sent(n, v.as_bytes()))
                .collect(),
        };
        (plan, error)
    }

    /// From the outside in, as a call meets them.
    fn guards(&self) -> Vec<(String, Option<Place>)> {
        let (at, extra) = (&self.walk.at, &self.own.extra_config);
        let mut all = Vec::new();
        for gate in &self.backend.gates {
            all.push((gate.words(), placed(at, extra, gate.name())));
        }
        for stage in &self.backend.call {
            let because = placed(at, extra, stage.name());
            let limits = stage.limits().into_iter();
            all.extend(limits.map(|limit| (limit.words(), because.clone())));
        }
        let several = |pool: &&Pool| pool.seats().len() > 1;
        let pool = match &self.backend.hosts {
            Hosts::Fixed(pool) => Some(pool).filter(several),
            Hosts::Regional(Regional { regions, .. }) => {
                regions.pools().map(|(_, pool)| pool).find(several)
            }
            Hosts::Srv(_) => None,
        };
        if let Some(pool) = pool {
            let rule = match pool.rule() {
                Balance::Random => "any of the hosts is called",
                Balance::RoundRobin => "the hosts are called one after the other",
                Balance::LeastRequests => "of two hosts the one with fewer calls is called",
                Balance::Hash => "the host is called that the caller's key belongs to",
            };
            let because = placed(at, extra, "hanzo/balance");
            all.push((rule.to_owned(), because));
        }
        if let Some(retry) = &self.backend.retry {
            let because = placed(at, extra, "hanzo/retry");
            let last = match &self.backend.hosts {
                Hosts::Regional(_) => ", the last in another region",
                Hosts::Fixed(_) | Hosts::Srv(_) => "",
            };
            let text = format!("{} tries at most, each at another host{last}", retry.tries);
            all.push((text, because));
        }
        all
    }

    /// The regions of the backend's hosts, in the order in which they stand in.
    fn regions(&self) -> Option<(String, Option<Place>)> {
        let Hosts::Regional(Regional { regions, .. }) = &self.backend.hosts else {
            return None;
        };
        let walk = self.walk;
        let here = walk.gateway.service.region.as_deref();
        let one = |(name, pool): (&str, &Pool)| {
            let hosts = pool.seats().len();
            let plural = if hosts == 1 { "" } else { "s" };
            let own = if here == Some(name) { ", here" } else { "" };
            format!("{name} ({hosts} host{plural}{own})")
        };
        let order: Vec<String> = regions.pools().map(one).collect();
        let rules = regions.thresholds();
        let share = rules.share.map_or_else(String::new, |share| {
            format!(", or more than {share} requests in flight for each of them")
        });
        let text = format!(
            "{}; the next with less than {:.0} % healthy hosts{share}; back after {} of health, over {}",
            order.join(", then "),
            rules.healthy * 100.0,
            span(rules.return_after),
            span(rules.ramp),
        );
        let service = &walk.document.service.extra_config;
        let because = placed(&walk.at, &self.own.extra_config, "hanzo/regions")
            .or_else(|| placed(&walk.at, service, "hanzo/regions"));
        Some((text, because))
    }

    fn sent(&self, name: &HeaderName, value: &[u8]) -> Sent {
        let from_client = self
            .walk
            .request
            .fields
            .iter()
            .any(|(n, v)| n.eq_ignore_ascii_case(name.as_str()) && v.as_slice() == value);
        let mut value = lossy(value);
        if secret::hides(name.as_str()) {
            // What kind of credentials they are may be shown, and nothing of them.
            let known = |scheme: &&str| ["Bearer", "Basic"].contains(scheme);
            let scheme = value.split_once(' ').map(|(scheme, _)| scheme);
            value = match scheme.filter(known) {
                Some(scheme) => format!("{scheme} …"),
                None => "…".to_owned(),
            };
        }
        Sent {
            name: name.as_str().to_owned(),
            value,
            from_client,
        }
    }

    fn dropped_fields(&self) -> Vec<Dropped> {
        let mut seen = HashSet::new();
        let mut dropped = Vec::new();
        for (name, _) in self.walk.request.fields.iter().take(TOLD) {
            let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
                continue;
            };
            if seen.insert(parsed.clone())
                && let Some((why, fix, because)) = self.why_field(&parsed, name)
            {
                dropped.push(Dropped {
                    name: name.clone(),
                    why,
                    fix,
                    because,
                });
            }
        }
        dropped
    }

    /// Why a field of the client stays behind; `None` when it does not.
    fn why_field(
        &self,
        name: &HeaderName,
        shown: &str,
    ) -> Option<(String, Option<String>, Option<Place>)> {
        let native = self.walk.gateway.dialect == Dialect::Native;
        let never = |why: &str| Some((why.to_owned(), None, None));
        if [header::HOST, X_FORWARDED_FOR, X_FORWARDED_HOST].contains(name)
            || (native && [X_FORWARDED_PROTO, header::VIA].contains(name))
            || (native && *name == crate::base::reply::X_REQUEST_ID)
        {
            return None;
        }
        if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(name) {
            return None;
        }
        if native {
            if hop_by_hop(name) {
                return never(
                    "it belongs to the connection with the client and is never forwarded",
                );
            }
            if self.strip.contains(name.as_str()) {
                return never("it tells who the caller is, which only the gateway may say");
            }
            if [X_FORWARDED_VIA, X_GATEWAY_REGION, X_GATEWAY_VERSION].contains(name) {
                return never("the gateway writes this field itself");
            }
            if self.nominated(name) {
                return never("the client's Connection field names it, so it ends here");
            }
        }
        if *name == header::TRAILER {
            return never("trailers of requests are not forwarded");
        }
        if self.backend.forward.passes(name) {
            return None;
        }
        Some(self.filtered(
            shown,
            "input_headers",
            &self.written.input_headers,
            |listed| listed.eq_ignore_ascii_case(shown),
        ))
    }

    fn nominated(&self, name: &HeaderName) -> bool {
        let mut found = false;
        self.walk.request.each(&mut |field, value| {
            found |= field.eq_ignore_ascii_case("connection")
                && value.split(|&b| b == b',').any(|token| {
                    token
                        .trim_ascii()
                        .eq_ignore_ascii_case(name.as_str().as_bytes())
                });
        });
        found
    }

    /// Which of the two lists stops a name, and what to write.
    fn filtered(
        &self,
        shown: &str,
        key: &str,
        endpoint: &[String],
        same: impl Fn(&str) -> bool,
    ) -> (String, Option<String>, Option<Place>) {
        let at = &self.walk.at;
        let here = self.written.pointer.as_str();
        let default = key == "input_headers" && endpoint.is_empty() && same("Content-Type");
        if default || endpoint.iter().any(|listed| listed == "*" || same(listed)) {
            let place = at.key(&self.own.pointer, key);
            let why = format!("the backend's own {key} does not list it");
            let fix = format!("add \"{shown}\" to {key} at {}", self.own.pointer);
            return (why, Some(fix), place);
        }
        let place = at.key(here, key);
        let why = match &place {
            Some(_) => format!("{key} does not list it"),
            None => format!("the endpoint has no {key}, and nothing is forwarded unasked"),
        };
        (
            why,
            Some(format!("add \"{shown}\" to {key} at {here}")),
            place,
        )
    }

    fn dropped_query(&self) -> Vec<Dropped> {
        let raw = self.walk.request.query.as_deref().unwrap_or_default();
        let mut dropped: Vec<Dropped> = Vec::new();
        let written = raw
            .split(|&b| b == b'&')
            .filter(|piece| !piece.is_empty())
            .count();
        let pairs: Vec<_> = query::pairs(raw).collect();
        let mut seen = BTreeSet::new();
        for (name, _) in pairs.iter().take(TOLD) {
            if self.backend.query.passes(name) || !seen.insert(name.clone()) {
                continue;
            }
            let name = lossy(name);
            let lists = &self.written.input_query_strings;
            let (why, fix, because) =
                self.filtered(&name, "input_query_strings", lists, |listed| listed == name);
            dropped.push(Dropped {
                name,
                why,
                fix,
                because,
            });
        }
        if written > pairs.len() && written <= query::MAX_PAIRS {
            let why = format!(
                "{} of the query's parts hold ; or a % that is no escape, and are skipped",
                written - pairs.len()
            );
            let fix = Some("encode ; as %3B and % as %25".to_owned());
            dropped.push(Dropped {
                name: "?".to_owned(),
                why,
                fix,
                because: None,
            });
        }
        dropped
    }

    fn body(&self) -> String {
        let declared = declares_length(self.backend, &self.walk.ctx);
        match self.walk.request.body {
            BodySize::None => "none".to_owned(),
            BodySize::Known(size) if declared => format!("{size} bytes, with Content-Length"),
            BodySize::Known(size) => {
                format!("{size} bytes, chunked (Content-Length is not in input_headers)")
            }
            BodySize::Unknown => "chunked".to_owned(),
        }
    }

    fn answer(&self) -> Vec<(String, Option<Place>)> {
        let own = self.own;
        let place = |key: &str| self.walk.at.key(&own.pointer, key);
        let mut all = Vec::new();
        for stage in self.backend.pipe.iter().chain(&self.backend.wire) {
            let because = placed(&self.walk.at, &own.extra_config, stage.name());
            all.push((
                format!("{} may change the request and the answer", stage.name()),
                because,
            ));
        }
        if self.written.output_encoding == "no-op" {
            if self.backend.follow_redirects {
                all.push((
                    "redirects of the backend are followed here".to_owned(),
                    None,
                ));
            }
            return all;
        }
        let list = if own.is_collection {
            ", a list (put under \"collection\")"
        } else {
            ""
        };
        all.push((format!("read as {}{list}", own.encoding), place("encoding")));
        let status = match &self.backend.errors {
            StatusRule::Hide => "any status but 200 and 201 is a failure".to_owned(),
            StatusRule::Details(name) => format!("other statuses become data under error_{name}"),
            StatusRule::Code => "other statuses are shown to the client".to_owned(),
        };
        let http = own.extra_config.get("backend/http");
        all.push((status, http.map(|n| self.walk.at.place(n.pointer.as_str()))));
        if !own.target.is_empty() {
            all.push((
                format!("only {} of it is kept", own.target),
                place("target"),
            ));
        }
        if !own.allow.is_empty() {
            all.push((
                format!("only these are kept: {}", own.allow.join(", ")),
                place("allow"),
            ));
        }
        if !own.deny.is_empty() && own.allow.is_empty() {
            all.push((
                format!("these are dropped: {}", own.deny.join(", ")),
                place("deny"),
            ));
        }
        for (from, to) in own.mapping.iter().take(TOLD) {
            all.push((format!("{from} is renamed to {to}"), place("mapping")));
        }
        if !own.group.is_empty() {
            all.push((format!("put under \"{}\"", own.group), place("group")));
        }
        all
    }

    fn missing(&self) -> Vec<(String, Option<Place>)> {
        let mut all = Vec::new();
        for namespace in &self.own.extra_config.0 {
            let Some(row) = component::not_yet(&namespace.name) else {
                continue;
            };
            if namespace.name.starts_with("telemetry/") {
                continue;
            }
            let what = match row.loss {
                Loss::Protection => "it would guard this call",
                Loss::Driver | Loss::Function => "it would change this call or its answer",
                Loss::Comfort => "it would serve this call",
            };
            let text = format!("{} is not implemented yet; {what}", namespace.name);
            all.push((text, Some(self.walk.at.place(namespace.pointer.as_str()))));
        }
        all
    }
}

fn span(span: Duration) -> String {
    config::duration::format(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
}
