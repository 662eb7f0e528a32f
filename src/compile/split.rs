//! An endpoint whose backends share its requests: each backend becomes an endpoint of its own, and the first of them
//! knows how requests are shared out. No path leads to the others.

use crate::base::{Code, Problem, Report};
use crate::compile::endpoint::Scope;
use crate::compile::{components, endpoint};
use crate::component::{EndpointDraft, Share, Splitting};
use crate::config;
use crate::gateway::health::names;
use crate::gateway::snapshot::Endpoint;
use crate::gateway::split::{Part, Split};
use crate::gateway::task::Task;
use crate::net::balance::hash;
use std::sync::Arc;

/// Compiles the parts of an endpoint, the one that paths lead to first; `from` is the index that it will have.
pub fn compile(
    written: &config::Endpoint,
    (draft, splitting): (EndpointDraft, Splitting),
    from: usize,
    tasks: &mut Vec<Arc<dyn Task>>,
    scope: &mut Scope<'_>,
) -> Vec<Endpoint> {
    let mut endpoints = Vec::with_capacity(written.backend.len());
    let others: Vec<EndpointDraft> = (1..written.backend.len())
        .map(|_| again(written, &draft, scope))
        .collect();
    let drafts = std::iter::once(draft).chain(others);
    for (backend, draft) in written.backend.iter().zip(drafts) {
        let alone = config::Endpoint {
            backend: vec![backend.clone()],
            ..written.clone()
        };
        endpoints.extend(endpoint::compile(&alone, draft, tasks, scope));
    }
    let parts = parts(written, &splitting, from, scope.report);
    let lane = endpoints.iter().find_map(|one| one.lane.err());
    for one in endpoints.iter_mut().skip(1) {
        one.routed = false;
    }
    if let Some(first) = endpoints.first_mut() {
        first.lane = lane.map_or(first.lane, Err);
        first.split = Some(Box::new(Split {
            parts,
            sticky: splitting.sticky,
        }));
    }
    endpoints
}

/// The stages of an endpoint once more, for another of its parts; what is wrong with them was told already.
fn again(written: &config::Endpoint, first: &EndpointDraft, scope: &Scope<'_>) -> EndpointDraft {
    let mut draft = EndpointDraft {
        env: first.env.clone(),
        offers: scope.draft.offers.clone(),
        at: first.at.clone(),
        limits: scope.draft.limits.clone(),
        ..EndpointDraft::default()
    };
    let told = &mut Report::default();
    components::endpoint(&written.extra_config, &mut draft, scope.dialect, told);
    draft
}

fn parts(
    written: &config::Endpoint,
    splitting: &Splitting,
    from: usize,
    report: &mut Report,
) -> Box<[Part]> {
    let backends = &written.backend;
    let mut wrong = |message: String| {
        let pointer = splitting.pointer.clone();
        let hint = "write one share for each backend, in their order, or by the first host of each";
        report.push(Problem::error(Code::BadValue, pointer, message).hint(hint));
    };
    let mut shares: Vec<Option<&Share>> = vec![None; backends.len()];
    for (at, share) in splitting.shares.iter().enumerate() {
        let at = match &share.name {
            None => Some(at),
            Some(name) => backends.iter().position(|backend| {
                let host = backend.host.first().map_or("", String::as_str);
                names(name, host.split_once("://").map_or(host, |(_, rest)| rest))
            }),
        };
        match at.and_then(|at| shares.get_mut(at)) {
            Some(slot) => *slot = Some(share),
            None => wrong(match &share.name {
                Some(name) => format!("\"{name}\" is the host of no backend of this endpoint"),
                None => format!(
                    "{} shares for {} backends",
                    splitting.shares.len(),
                    backends.len()
                ),
            }),
        }
    }
    for (at, share) in shares.iter().enumerate() {
        if share.is_none() {
            let message = format!("backend {at} has no share: no request meets it");
            let hint = "write one share for each backend; a weight of 0 says that this is meant";
            let pointer = splitting.pointer.clone();
            let problem = Problem::warning(Code::MissingKey, pointer, message);
            report.push(problem.hint(hint));
        }
    }
    let mut seen: Vec<u64> = Vec::new();
    let parts = backends.iter().zip(shares).enumerate();
    let parts = parts.map(|(at, (backend, share))| {
        // By what it is and not by its place, so that callers stay when the list is sorted anew; by its first host,
        // so that they stay when it gets more of them.
        let first = backend.host.first().map_or("", String::as_str);
        let mut own = hash(format!("{first} {}", backend.url_pattern).as_bytes());
        while seen.contains(&own) {
            own = own.wrapping_add(1);
        }
        seen.push(own);
        Part {
            endpoint: from + at,
            hash: own,
            weight: share.map_or(0, |share| share.weight),
            when: share.and_then(|share| share.when.clone()),
        }
    });
    parts.collect()
}
