//! Where the calls of a backend go: its hosts as a pool or as SRV records, by which rule one is chosen, and how often a
//! call is made again.

use crate::base::{Code, Dialect, Problem};
use crate::compile::endpoint::Scope;
use crate::component::BackendDraft;
use crate::component::draft::{Balancing, Retrying};
use crate::config;
use crate::gateway::retry::{Budget, Retry};
use crate::gateway::snapshot::Hosts;
use crate::net::balance::{PoolOptions, Roster};
use crate::net::srv::ZeroWeights;
use crate::net::{Balance, Pool, Scheme, Srv, Target, Transport};
use std::sync::Arc;

/// How the hosts of a backend are chosen: what its file says, or what the dialect does without.
pub fn balancing(draft: &mut BackendDraft, dialect: Dialect) -> Balancing {
    draft.balance.take().unwrap_or_else(|| match dialect {
        Dialect::Native => Balancing::native(),
        Dialect::Krakend => Balancing::krakend(),
    })
}

/// The hosts of a backend. What is known of them is found again after a reload, as long as hosts and rules stay.
pub fn hosts(
    written: &config::Backend,
    (draft, balancing): (&BackendDraft, &Balancing),
    own: Option<&Arc<Transport>>,
    scope: &mut Scope<'_>,
) -> Hosts {
    let options = PoolOptions {
        rule: balancing.rule.unwrap_or_else(Balance::for_this_machine),
        try_all: balancing.try_all,
        slow_start: balancing.slow_start,
    };
    let names = written.host.join(" ");
    // What probes said must not outlive the probes: nobody would ever take it back.
    let probed = balancing.probe.is_some() || scope.draft.health.probe.is_some();
    let key = format!("{} {names} {balancing:?} {probed}", written.sd);
    let rules = balancing.outliers;
    let roster = draft.env.kept.get_or(&key, || Roster::new(rules));
    let resolver = &scope.shared.resolver;
    if written.sd == "dns"
        && let [name, ..] = written.host.as_slice()
    {
        let scheme = if written.sd_scheme == "https" {
            Scheme::Https
        } else {
            Scheme::Http
        };
        let zero = match scope.dialect {
            Dialect::Native => ZeroWeights::Equal,
            Dialect::Krakend => ZeroWeights::Nobody,
        };
        let every = scope.document.service.dns_cache_ttl;
        let srv = Srv::new(name, scheme, every, zero, (options, roster), resolver);
        return Hosts::Srv(Arc::new(srv.with_transport(own)));
    }
    let mut targets = Vec::with_capacity(written.host.len());
    let weights = &balancing.weights;
    if !weights.is_empty() && weights.len() != written.host.len() {
        let (weights, hosts) = (weights.len(), written.host.len());
        let message = format!("{weights} weights for {hosts} hosts");
        let problem = Problem::error(Code::BadValue, balancing.weights_at.clone(), message);
        let hint = "write one weight for each host, in the order of \"host\"";
        scope.report.push(problem.hint(hint));
    }
    for (index, host) in written.host.iter().enumerate() {
        let weight = weights.get(index).copied().unwrap_or(1);
        let target = Target::parse(host, resolver).map(|target| target.with_transport(own));
        match target {
            Ok(target) if draft.http2 => targets.push((target.with_prior_knowledge(), weight)),
            Ok(target) => targets.push((target, weight)),
            Err(text) => {
                // KrakenD starts and fails each request; drivers have hosts that are no HTTP ones.
                let pointer = format!("{}/host/{index}", written.pointer);
                let message = format!("\"{host}\" cannot be called: {text}");
                let hint = "write for example \"http://service.example:8080\"";
                scope
                    .report
                    .push(Problem::warning(Code::BadHost, pointer, message).hint(hint));
            }
        }
    }
    Hosts::Fixed(Pool::new(targets, options, &roster))
}

/// The name for metrics and health: the first host with its port.
pub fn service(hosts: &Hosts, written: &config::Backend) -> String {
    match hosts {
        Hosts::Fixed(pool) => pool.targets().next().map_or_else(
            || "-".to_owned(),
            |target| {
                let authority = target.authority();
                format!("{}:{}", authority.host, authority.port)
            },
        ),
        Hosts::Srv(_) => written.host.first().cloned().unwrap_or_default(),
    }
}

/// How calls are made again: as the file says; in native once where there is another host.
pub fn retry(
    written: &config::Backend,
    draft: &BackendDraft,
    hosts: &Hosts,
    dialect: Dialect,
) -> Option<Retry> {
    let several = match hosts {
        Hosts::Fixed(pool) => pool.seats().len() > 1,
        Hosts::Srv(_) => true,
    };
    let rules = match (&draft.retry, dialect) {
        (Some(written), _) => written.clone(),
        (None, Dialect::Native) if several => Retrying::default(),
        (None, _) => return None,
    };
    if rules.tries < 2 {
        return None;
    }
    let (percent, least) = (rules.percent, rules.least);
    let key = format!("{} {percent} {least}", written.host.join(" "));
    let budget = draft.env.kept.get_or(&key, || Budget::new(percent, least));
    Some(Retry {
        tries: rules.tries,
        back_off: rules.back_off,
        try_timeout: rules.try_timeout,
        statuses: rules.statuses.into(),
        budget,
    })
}
