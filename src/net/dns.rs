//! Addresses of backends.
//!
//! Go resolves a name for every new connection; here the addresses live in memory for their TTL and
//! are refreshed in the background, so a slow name server delays no request but the first.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use tokio::sync::OnceCell;

use super::error::NetError;
use super::refresh::{Cached, FAILURE_SPAN};

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// Looks names up as the system is configured (`/etc/resolv.conf`, `/etc/hosts`). Cheap to clone; made
/// without I/O, the configuration is read at the first look-up.
#[derive(Clone, Default)]
pub struct Resolver(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Who is asked in place of the system's name servers.
    servers: OnceLock<Vec<SocketAddr>>,
    hickory: OnceCell<TokioResolver>,
    hosts: Mutex<HashMap<(String, u16), Weak<Host>>>,
    /// Names that are not looked up.
    pinned: Mutex<HashMap<(String, u16), SocketAddr>>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The lowest number wins.
    pub priority: u16,
    /// Share among records of one priority.
    pub weight: u16,
    /// Port of the target.
    pub port: u16,
    /// Name of the target as in the record, with its trailing dot.
    pub target: String,
}

impl Resolver {
    /// A resolver that has not read anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has these name servers asked in place of the system's; before the first look-up, and once.
    pub fn ask(&self, servers: Vec<SocketAddr>) {
        if !servers.is_empty() {
            let _ = self.0.servers.set(servers);
        }
    }

    /// Makes a name and port stand for an address from now on; entries that exist keep what they have.
    pub fn pin(&self, name: &str, port: u16, address: SocketAddr) {
        let mut pinned = self.0.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        pinned.insert((name.to_ascii_lowercase(), port), address);
    }

    fn pinned(&self, key: &(String, u16)) -> Option<Arc<[SocketAddr]>> {
        let pinned = self.0.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        pinned.get(key).map(|address| Arc::from([*address]))
    }

    /// The entry for a name or address literal and a port; equal ones share one entry.
    pub fn host(&self, name: &str, port: u16) -> Arc<Host> {
        let key = (name.to_ascii_lowercase(), port);
        if let Some(addresses) = fixed(name, port).or_else(|| self.pinned(&key)) {
            return Arc::new(Host {
                name: name.into(),
                place: Place::Fixed(addresses),
            });
        }
        let mut hosts = self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(&key).and_then(Weak::upgrade) {
            return host;
        }
        hosts.retain(|_, host| host.strong_count() > 0);
        let place = Place::Named {
            resolver: self.clone(),
            port,
            cached: Cached::new(),
        };
        let host = Arc::new(Host {
            name: name.into(),
            place,
        });
        hosts.insert(key, Arc::downgrade(&host));
        host
    }

    /// The addresses of a name, IPv4 first, and how long they are good.
    async fn addresses(&self, name: &str) -> Result<(Vec<IpAddr>, Duration), NetError> {
        let hickory = self.hickory(name).await?;
        let found = hickory
            .lookup_ip(name)
            .await
            .map_err(|error| finding(name, &error))?;
        let mut addresses: Vec<IpAddr> = found.iter().collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        if addresses.is_empty() {
            return Err(NetError::lookup(name, NO_SUCH_HOST));
        }
        Ok((addresses, span(found.valid_until())))
    }

    /// The SRV records of a full service name.
    pub async fn services(&self, name: &str) -> Result<Vec<Service>, NetError> {
        let hickory = self.hickory(name).await?;
        let found = hickory
            .srv_lookup(name)
            .await
            .map_err(|error| finding(name, &error))?;
        let services = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(Service {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    target: srv.target.to_ascii(),
                }),
                _ => None,
            });
        Ok(services.collect())
    }

    async fn hickory(&self, name: &str) -> Result<&TokioResolver, NetError> {
        // Reading the system's files blocks, so it does not happen on a worker.
        let servers = self.0.servers.get().cloned();
        let read = || async move {
            match tokio::task::spawn_blocking(move || build(servers)).await {
                Ok(Ok(resolver)) => Ok(resolver),
                Ok(Err(error)) => Err(NetError::lookup(name, &error.to_string())),
                Err(_) => Err(NetError::lookup(name, "resolver could not be started")),
            }
        };
        self.0.hickory.get_or_try_init(read).await
    }
}

/// A resolver that asks these servers, or as the system is configured; one that knows only the hosts file where the
/// system has no configuration.
fn build(
    servers: Option<Vec<SocketAddr>>,
) -> Result<TokioResolver, hickory_resolver::net::NetError> {
    let with = |servers: Vec<SocketAddr>| {
        let servers = servers.into_iter().map(server).collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let mut builder = match servers {
        Some(servers) => with(servers),
        None => TokioResolver::builder_tokio().unwrap_or_else(|_| with(Vec::new())),
    };
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.positive_max_ttl = Some(LONGEST);
    options.negative_max_ttl = Some(FAILURE_SPAN);
    builder.build()
}

/// A name server on a port of its own.
fn server(at: SocketAddr) -> NameServerConfig {
    let on = |mut connection: ConnectionConfig| {
        connection.port = at.port();
        connection
    };
    let connections = vec![on(ConnectionConfig::udp()), on(ConnectionConfig::tcp())];
    NameServerConfig::new(at.ip(), true, connections)
}

const NO_SUCH_HOST: &str = "no such host";

fn finding(name: &str, error: &hickory_resolver::net::NetError) -> NetError {
    if error.is_nx_domain() || error.is_no_records_found() {
        return NetError::lookup(name, NO_SUCH_HOST);
    }
    if matches!(error, hickory_resolver::net::NetError::Timeout) {
        return NetError::lookup(name, "i/o timeout");
    }
    NetError::lookup(name, &error.to_string())
}

fn span(until: std::time::Instant) -> Duration {
    until
        .saturating_duration_since(std::time::Instant::now())
        .clamp(SHORTEST, LONGEST)
}

/// Addresses that need no look-up: literals and `localhost`.
fn fixed(name: &str, port: u16) -> Option<Arc<[SocketAddr]>> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Some(Arc::from([SocketAddr::new(address, port)]));
    }
    name.trim_end_matches('.')
        .eq_ignore_ascii_case("localhost")
        .then(|| {
            let (v4, v6) = (
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            );
            Arc::from([SocketAddr::new(v4, port), SocketAddr::new(v6, port)])
        })
}

/// A backend's name and port with what is known of its addresses.
pub struct Host {
    name: Box<str>,
    place: Place,
}

enum Place {
    Fixed(Arc<[SocketAddr]>),
    Named {
        resolver: Resolver,
        port: u16,
        cached: Arc<Cached<Arc<[SocketAddr]>>>,
    },
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Host").field(&self.name).finish()
    }
}

impl Host {
    /// The name as configured.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Shows the addresses of [`Self::addresses`] if they are at hand: no look-up is due.
    pub fn known<R>(&self, see: impl FnOnce(&[SocketAddr]) -> R) -> Option<R> {
        match &self.place {
            Place::Fixed(addresses) => Some(see(addresses)),
            Place::Named { cached, .. } => cached.fresh(|addresses| see(addresses)),
        }
    }

    /// The addresses to try in order; never empty. From memory once known; the first call waits for
    /// the look-up, so run it under a deadline. A failure is remembered for a second.
    pub async fn addresses(&self) -> Result<Arc<[SocketAddr]>, NetError> {
        match &self.place {
            Place::Fixed(addresses) => Ok(Arc::clone(addresses)),
            Place::Named {
                resolver,
                port,
                cached,
            } => {
                let port = *port;
                cached
                    .get(|| {
                        let (resolver, name) = (resolver.clone(), self.name.clone());
                        async move {
                            let (found, span) = resolver.addresses(&name).await?;
                            let found = found.into_iter().map(|ip| SocketAddr::new(ip, port));
                            Ok((found.collect(), span))
                        }
                    })
                    .await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Reason;

    #[tokio::test]
    async fn literals_need_no_lookup() {
        let resolver = Resolver::new();
        let v4 = resolver.host("127.0.0.1", 80).addresses().await.unwrap();
        let v6 = resolver.host("::1", 81).addresses().await.unwrap();
        assert_eq!(v4[..], ["127.0.0.1:80".parse().unwrap()]);
        assert_eq!(v6[..], ["[::1]:81".parse().unwrap()]);
        let known = resolver.host("127.0.0.1", 80).known(<[_]>::to_vec);
        assert_eq!(known.as_deref(), Some(&v4[..]));
        let unknown = resolver.host("name.invalid", 80).known(<[_]>::len);
        assert_eq!(unknown, None);
        assert!(resolver.0.hickory.get().is_none());
    }

    #[tokio::test]
    async fn localhost_has_both_families_and_ipv4_first() {
        let addresses = Resolver::new()
            .host("localhost", 9)
            .addresses()
            .await
            .unwrap();
        let expected: Vec<SocketAddr> =
            vec!["127.0.0.1:9".parse().unwrap(), "[::1]:9".parse().unwrap()];
        assert_eq!(addresses[..], expected[..]);
    }

    #[tokio::test]
    async fn an_unknown_name_is_an_error_and_stays_one_for_a_while() {
        let host = Resolver::new().host("name.invalid", 80);
        let error = host.addresses().await.unwrap_err();
        assert_eq!(error.reason, Reason::DnsFailed);
        assert_eq!(error.text, "dial tcp: lookup name.invalid: no such host");
        assert_eq!(host.addresses().await.unwrap_err(), error);
    }

    #[test]
    fn equal_names_share_one_entry() {
        let resolver = Resolver::new();
        let (a, b) = (
            resolver.host("a.example", 80),
            resolver.host("A.example", 80),
        );
        assert!(Arc::ptr_eq(&a, &b));
        assert!(!Arc::ptr_eq(&a, &resolver.host("a.example", 81)));
    }

    #[tokio::test]
    async fn hostile_names_are_errors() {
        let long = "a".repeat(300);
        for name in ["..", "", long.as_str(), "a..b"] {
            assert!(
                Resolver::new().host(name, 80).addresses().await.is_err(),
                "{name:?}"
            );
        }
    }
}
