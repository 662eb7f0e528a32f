//! How many connections are open, in all and per address.
//!
//! A trusted proxy speaks for many clients: what opens connections in their name is not limited by its address.

use prometheus::IntGauge;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 16;

/// The count of open client connections.
#[derive(Debug)]
pub struct Connections {
    total: AtomicUsize,
    per_address: [Mutex<HashMap<IpAddr, usize>>; SHARDS],
    gauge: IntGauge,
}

/// A counted connection; dropping it gives the place back.
#[derive(Debug)]
pub struct Permit {
    connections: Arc<Connections>,
    address: Option<IpAddr>,
}

impl Connections {
    /// Nothing open; `gauge` follows the total.
    pub fn new(gauge: IntGauge) -> Arc<Self> {
        Arc::new(Self {
            total: AtomicUsize::new(0),
            per_address: std::array::from_fn(|_| Mutex::default()),
            gauge,
        })
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Counts one more connection unless a limit is reached; a limit of 0 is none.
    pub fn admit(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        max_total: usize,
        max_per_address: usize,
    ) -> Option<Permit> {
        let before = self.total.fetch_add(1, Ordering::Relaxed);
        self.gauge.inc();
        // From here on the permit gives back what was taken, also when a limit refuses.
        let mut permit = Permit {
            connections: self.clone(),
            address: None,
        };
        if max_total != 0 && before >= max_total {
            return None;
        }
        let address = address.map(network);
        if let Some(address) = address.filter(|_| max_per_address != 0) {
            let mut counts = self.shard(address);
            let count = counts.entry(address).or_insert(0);
            if *count >= max_per_address {
                return None;
            }
            *count += 1;
            permit.address = Some(address);
        }
        Some(permit)
    }

    fn shard(&self, address: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or_default();
        let [first, ..] = &self.per_address;
        let shard = self.per_address.get(at).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of IPv6 the network of 64 bits: a client has all of its addresses.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            let mut counts = self.connections.shard(address);
            if let Some(count) = counts.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&address);
                }
            }
        }
        self.connections.gauge.dec();
        self.connections.total.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections() -> Arc<Connections> {
        Connections::new(IntGauge::new("open", "open").unwrap())
    }

    const A: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));
    const B: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)));

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let all = connections();
        let from = |text: &str| all.admit(Some(text.parse().unwrap()), 0, 2);
        let held = [from("2001:db8::1"), from("2001:db8::2")];
        assert!(held.iter().all(Option::is_some));
        assert!(from("2001:db8::ffff:1:2:3").is_none());
        assert!(from("2001:db8:0:1::1").is_some());
        drop(held);
        assert!(from("2001:db8::3").is_some());
    }

    #[test]
    fn refuses_the_connection_over_a_limit_and_counts_it_no_longer() {
        let all = connections();
        let first = all.admit(A, 3, 1).unwrap();
        assert!(all.admit(A, 3, 1).is_none(), "second from one address");
        let second = all.admit(B, 2, 1).unwrap();
        assert!(all.admit(None, 2, 0).is_none(), "third in all");
        assert_eq!(all.open(), 2);
        drop((first, second));
        assert_eq!(all.open(), 0);
        assert_eq!(all.gauge.get(), 0);
        assert!(all.admit(A, 1, 1).is_some());
    }
}
