//! Where the calls of a backend go: its hosts as a pool or as SRV records, by which rule one is chosen, and how often a
//! call is made again.

use crate::base::{Code, Dialect, Problem};
use crate::compile::endpoint::Scope;
use crate::compile::regions::{self, Order, Tier};
use crate::component::draft::{Balancing, Retrying};
use crate::component::{BackendDraft, Listed};
use crate::config;
use crate::gateway::retry::{Budget, Retry};
use crate::gateway::snapshot::{Endpoint, Hosts, Regional};
use crate::gateway::task::Task;
use crate::net::balance::regions::{Hosted, Memory};
use crate::net::balance::{PoolOptions, Regions, Roster};
use crate::net::srv::ZeroWeights;
use crate::net::url::Authority;
use crate::net::{Balance, Pool, Scheme, Srv, Target, Transport};
use crate::telemetry::metrics::Metrics;
use crate::traffic::regions::{Watch, Watched};
use std::fmt::Write as _;
use std::sync::Arc;

/// How the hosts of a backend are chosen: what its file says, or what the dialect does without. Regions want to know
/// which hosts are good.
pub fn balancing(draft: &mut BackendDraft, dialect: Dialect, regions: bool) -> Balancing {
    draft.balance.take().unwrap_or_else(|| match dialect {
        Dialect::Krakend if !regions => Balancing::krakend(),
        Dialect::Native | Dialect::Krakend => Balancing::native(),
    })
}

impl Balancing {
    fn options(&self) -> PoolOptions {
        PoolOptions {
            rule: self.rule.unwrap_or_else(Balance::for_this_machine),
            try_all: self.try_all,
            slow_start: self.slow_start,
        }
    }
}

/// A backend being given hosts.
pub struct Hosting<'a> {
    /// As written.
    pub written: &'a config::Backend,
    /// What its components say.
    pub draft: &'a BackendDraft,
    /// How its hosts are chosen.
    pub balancing: &'a Balancing,
    /// How they are connected to, when not as the service's others.
    pub transport: Option<&'a Arc<Transport>>,
}

impl Hosting<'_> {
    /// The hosts. What is known of them is found again after a reload, as long as hosts and rules stay.
    pub fn hosts(&self, order: Option<Order>, scope: &mut Scope<'_>) -> Hosts {
        if let Some(order) = order {
            return self.regional(order, scope);
        }
        let (written, balancing) = (self.written, self.balancing);
        let options = balancing.options();
        let names = written.host.join(" ");
        let probed = self.probed(scope);
        let key = format!("{} {names} {balancing:?} {probed}", written.sd);
        let rules = balancing.outliers;
        let roster = self.draft.env.kept.get_or(&key, || Roster::new(rules));
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
            return Hosts::Srv(Arc::new(srv.with_transport(self.transport)));
        }
        let targets = self.written_hosts(scope);
        Hosts::Fixed(Pool::new(targets, options, &roster))
    }

    /// What probes said must not outlive the probes: nobody would ever take it back.
    fn probed(&self, scope: &Scope<'_>) -> bool {
        self.balancing.probe.is_some() || scope.draft.health.probe.is_some()
    }

    /// The hosts of the backend's own list, with their weights.
    fn written_hosts(&self, scope: &mut Scope<'_>) -> Vec<(Target, u32)> {
        let written = self.written;
        let mut targets = Vec::with_capacity(written.host.len());
        let weights = &self.balancing.weights;
        if !weights.is_empty() && weights.len() != written.host.len() {
            let (weights, hosts) = (weights.len(), written.host.len());
            let message = format!("{weights} weights for {hosts} hosts");
            let pointer = self.balancing.weights_at.clone();
            let problem = Problem::error(Code::BadValue, pointer, message);
            let hint = "write one weight for each host, in the order of \"host\"";
            scope.report.push(problem.hint(hint));
        }
        for (index, host) in written.host.iter().enumerate() {
            let weight = weights.get(index).copied().unwrap_or(1);
            match self.target(host, scope) {
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
        targets
    }

    fn target(&self, host: &str, scope: &Scope<'_>) -> Result<Target, String> {
        let target = Target::parse(host, &scope.shared.resolver)?;
        let target = target.with_transport(self.transport);
        Ok(match self.draft.http2 {
            true => target.with_prior_knowledge(),
            false => target,
        })
    }

    /// Hosts in regions. Weights are those of the backend's own list; elsewhere hosts are alike.
    fn regional(&self, order: Order, scope: &mut Scope<'_>) -> Hosts {
        let mut hosted: Vec<Hosted> = Vec::with_capacity(order.tiers.len());
        let (rules, probed) = (order.thresholds, self.probed(scope));
        let mut key = format!("{:?} {rules:?} {probed}", self.balancing);
        let here: Arc<str> = order.here.into();
        for Tier { name, hosts } in order.tiers {
            let mut targets = match hosts {
                None => self.written_hosts(scope),
                Some(hosts) => self.listed_hosts(&hosts, scope),
            };
            if *name != *here {
                let away = |(target, weight): (Target, u32)| (target.away_from(&here), weight);
                targets = targets.into_iter().map(away).collect();
            }
            let _ = write!(key, " {name}");
            for (target, weight) in &targets {
                let _ = write!(key, " {}*{weight}", target.url(""));
            }
            hosted.push((name.into(), targets));
        }
        let kept = &self.draft.env.kept;
        let roster = kept.get_or(&key, || Roster::new(self.balancing.outliers));
        let memory = kept.get_or(&key, || Memory::new(hosted.len()));
        let rules = (self.balancing.options(), order.thresholds);
        let regions = Arc::new(Regions::new(hosted, rules, &roster, memory));
        let service = service_of(self.written);
        let metrics = &scope.shared.metrics;
        let calls = regions
            .names()
            .map(|name| metrics.region(&service, name).calls);
        Hosts::Regional(Regional {
            calls: calls.collect(),
            regions,
        })
    }

    /// Hosts of another region. What cannot be called is an error: it would show only in the hour of need.
    fn listed_hosts(&self, hosts: &[Listed], scope: &mut Scope<'_>) -> Vec<(Target, u32)> {
        let mut targets = Vec::with_capacity(hosts.len());
        for host in hosts {
            let read = regions::cleaned(host, self.written).and_then(|url| {
                self.target(&url, scope).map_err(|text| {
                    let message = format!("\"{}\" cannot be called: {text}", host.text);
                    let problem = Problem::error(Code::BadHost, host.pointer.clone(), message);
                    problem.hint("write for example \"http://service.us.example:8080\"")
                })
            });
            match read {
                Ok(target) => targets.push((target, 1)),
                Err(problem) => scope.report.push(problem),
            }
        }
        targets
    }
}

/// The task that looks after the regions of all backends, where some have any.
pub fn watch(endpoints: &[Endpoint], metrics: &Metrics) -> Option<Arc<dyn Task>> {
    let backends = endpoints.iter().flat_map(Endpoint::backends);
    let watched = backends.filter_map(|backend| match &backend.hosts {
        Hosts::Regional(Regional { regions, .. }) => Some(Watched {
            service: Arc::clone(&backend.service),
            meters: regions
                .names()
                .map(|name| metrics.region(&backend.service, name))
                .collect(),
            regions: Arc::clone(regions),
        }),
        Hosts::Fixed(_) | Hosts::Srv(_) => None,
    });
    Some(Watch::over(watched)?)
}

/// The name for metrics and health: the first host with its port.
pub fn service(hosts: &Hosts, written: &config::Backend) -> String {
    match hosts {
        Hosts::Fixed(pool) => pool
            .targets()
            .next()
            .map_or_else(|| "-".to_owned(), |target| named(target.authority())),
        // The same everywhere, wherever the gateway is.
        Hosts::Regional(_) => service_of(written),
        Hosts::Srv(_) => written.host.first().cloned().unwrap_or_default(),
    }
}

fn service_of(written: &config::Backend) -> String {
    let mut hosts = written.host.iter();
    let first = hosts.find_map(|host| Authority::parse(host).ok());
    first.map_or_else(|| "-".to_owned(), |authority| named(&authority))
}

fn named(authority: &Authority) -> String {
    format!("{}:{}", authority.host, authority.port)
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
        Hosts::Regional(Regional { regions, .. }) => {
            regions
                .pools()
                .map(|(_, pool)| pool.seats().len())
                .sum::<usize>()
                > 1
        }
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
