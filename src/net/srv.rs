//! Hosts from SRV records (`sd: dns`).
//!
//! As in KrakenD: only the records of the lowest priority number, each host repeated by its weight;
//! a failed refresh keeps the old set. Different: when all weights are zero KrakenD has no host left,
//! the native dialect treats the records as equal; and each backend does not poll in a loop of its own,
//! the set is refreshed by use.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::balance::{Lent, Pool, PoolOptions, Roster, Tried};
use super::dns::{Resolver, Service};
use super::error::NetError;
use super::refresh::Cached;
use super::transport::Transport;
use super::url::{Scheme, Target};
use crate::base::Reason;

/// What all-zero weights mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroWeights {
    /// No host at all (krakend dialect).
    Nobody,
    /// Every host alike (native dialect).
    Equal,
}

/// The set of hosts behind one SRV name.
pub struct Srv {
    name: Box<str>,
    scheme: Scheme,
    every: Duration,
    zero: ZeroWeights,
    options: PoolOptions,
    roster: Arc<Roster>,
    resolver: Resolver,
    transport: Option<Arc<Transport>>,
    cached: Arc<Cached<Arc<Pool>>>,
}

impl fmt::Debug for Srv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Srv").field(&self.name).finish()
    }
}

impl Srv {
    /// A set that has not been looked up; `name` is the full SRV name, `every` the `dns_cache_ttl`
    /// (at least one second).
    pub fn new(
        name: &str,
        scheme: Scheme,
        every: Duration,
        zero: ZeroWeights,
        (options, roster): (PoolOptions, Arc<Roster>),
        resolver: &Resolver,
    ) -> Self {
        Self {
            name: name.into(),
            scheme,
            every: every.max(Duration::from_secs(1)),
            zero,
            options,
            roster,
            resolver: resolver.clone(),
            transport: None,
            cached: Cached::new(),
        }
    }

    /// The same set, whose hosts are connected to in a way of their own.
    #[must_use]
    pub fn with_transport(mut self, transport: Option<&Arc<Transport>>) -> Self {
        self.transport = transport.cloned();
        self
    }

    /// How its hosts are called.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The current set, hosts repeated by weight. The first call waits for the look-up (run it under a
    /// deadline; at start it fills the memory), later ones refresh in the background. What is known of a host
    /// stays with it from one set to the next.
    pub async fn pool(&self) -> Result<Arc<Pool>, NetError> {
        self.cached
            .get(|| {
                let (resolver, name) = (self.resolver.clone(), self.name.clone());
                let (scheme, every, zero) = (self.scheme, self.every, self.zero);
                let (options, roster) = (self.options, Arc::clone(&self.roster));
                let own = self.transport.clone();
                async move {
                    let services = resolver.services(&name).await?;
                    let expanded = expand(&services, zero);
                    let targets = targets(&expanded, scheme, &resolver, own.as_ref());
                    let pool = Pool::new(targets, options, &roster);
                    Ok((Arc::new(pool), every))
                }
            })
            .await
    }

    /// One host of the current set, by the key of the request where the rule asks for one.
    pub async fn pick(&self, key: u64, tried: &mut Tried) -> Result<Lent, NetError> {
        let pool = self.pool().await?;
        pool.pick(key, tried)
            .ok_or_else(|| NetError::new(Reason::NoHosts, "no hosts available"))
    }
}

/// Hosts as targets; names that cannot be a host are left out.
fn targets(
    services: &[&Service],
    scheme: Scheme,
    resolver: &Resolver,
    own: Option<&Arc<Transport>>,
) -> Vec<(Target, u32)> {
    let target = |service: &&Service| {
        let text = format!("{}://{}:{}", scheme.as_str(), service.target, service.port);
        let target = Target::parse(&text, resolver).ok()?;
        Some((target.with_transport(own), 1))
    };
    services.iter().filter_map(target).collect()
}

/// Most entries that weights may expand to, unless there are more records.
const SCALE: u64 = 100;

/// The records of the lowest priority number, each repeated by its normalised weight.
pub fn expand(services: &[Service], zero: ZeroWeights) -> Vec<&Service> {
    let Some(lowest) = services.iter().map(|service| service.priority).min() else {
        return Vec::new();
    };
    let mut chosen: Vec<&Service> = services
        .iter()
        .filter(|service| service.priority == lowest)
        .collect();
    let weights = normalised(&chosen);
    if weights.iter().all(|weight| *weight == 0) {
        if zero == ZeroWeights::Nobody {
            chosen.clear();
        }
        return chosen;
    }
    let repeat = |(service, weight)| std::iter::repeat_n(service, weight);
    let mut expanded: Vec<&Service> = chosen.into_iter().zip(weights).flat_map(repeat).collect();
    if expanded.len() > 100 {
        fastrand::shuffle(&mut expanded);
    }
    expanded
}

/// Weights scaled so that their sum is at most max(100, count), then divided by what they share.
fn normalised(services: &[&Service]) -> Vec<usize> {
    let scale = SCALE.max(services.len() as u64);
    let sum: u64 = services
        .iter()
        .map(|service| u64::from(service.weight))
        .sum();
    let scaled = |service: &&Service| {
        let weight = u64::from(service.weight);
        if sum > scale {
            weight * scale / sum
        } else {
            weight
        }
    };
    let weights: Vec<u64> = services.iter().map(scaled).collect();
    let shared = weights.iter().copied().fold(0, gcd).max(1);
    weights
        .into_iter()
        .map(|weight| usize::try_from(weight / shared).unwrap_or(0))
        .collect()
}

const fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(priority: u16, weight: u16, target: &str) -> Service {
        Service {
            priority,
            weight,
            port: 80,
            target: target.to_owned(),
        }
    }

    fn names(services: &[Service], zero: ZeroWeights) -> String {
        expand(services, zero)
            .iter()
            .map(|service| service.target.as_str())
            .collect()
    }

    #[test]
    fn only_the_lowest_priority_number_counts() {
        let services = [service(2, 1, "a"), service(1, 1, "b"), service(1, 1, "c")];
        assert_eq!(names(&services, ZeroWeights::Equal), "bc");
    }

    #[test]
    fn weights_repeat_hosts_after_division_by_what_they_share() {
        let services = [service(1, 20, "a"), service(1, 10, "b")];
        assert_eq!(names(&services, ZeroWeights::Equal), "aab");
    }

    #[test]
    fn large_weights_are_scaled_and_a_small_one_may_vanish() {
        let services = [service(1, 60_000, "a"), service(1, 1, "b")];
        assert_eq!(names(&services, ZeroWeights::Equal), "a");
        let services = [service(1, 30_000, "a"), service(1, 10_000, "b")];
        assert_eq!(names(&services, ZeroWeights::Equal), "aaab");
    }

    #[test]
    fn zero_weights_are_nobody_in_one_dialect_and_equal_in_the_other() {
        let services = [service(1, 0, "a"), service(1, 0, "b")];
        assert_eq!(names(&services, ZeroWeights::Nobody), "");
        assert_eq!(names(&services, ZeroWeights::Equal), "ab");
        assert_eq!(names(&[], ZeroWeights::Equal), "");
    }

    #[test]
    fn targets_keep_the_trailing_dot_in_host() {
        let services = [service(1, 1, "a.example.")];
        let found = targets(
            &expand(&services, ZeroWeights::Equal),
            Scheme::Http,
            &Resolver::new(),
            None,
        );
        assert_eq!(found[0].0.authority().host_header, "a.example.:80");
    }

    #[tokio::test]
    async fn an_unknown_service_is_an_error() {
        let (resolver, every) = (Resolver::new(), Duration::from_secs(30));
        let options = PoolOptions::of(crate::net::Balance::Random);
        let srv = Srv::new(
            "_x._tcp.name.invalid.",
            Scheme::Http,
            every,
            ZeroWeights::Equal,
            (options, Arc::default()),
            &resolver,
        );
        let picked = srv.pick(0, &mut Tried::default()).await;
        assert_eq!(picked.unwrap_err().reason, Reason::DnsFailed);
    }
}
