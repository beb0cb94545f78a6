//! Limits connections per client address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The part of an IPv6 address that counts. One subscriber usually has a whole /64 (RFC 6177), so
/// the rest tells no clients apart.
const PREFIX_MASK: u128 = !0 << 64;

/// Counts the connections of each client address, over all services and loops.
#[derive(Debug)]
pub(super) struct PerIpLimiter {
    limit: usize,
    /// The counts of both quotas, by address. An address is removed with its last connection, so
    /// there are at most as many entries as connections.
    counts: Mutex<HashMap<IpAddr, [usize; 2]>>,
}

/// The quota that a connection is counted against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quota {
    Served,
    TurnedAway,
}

/// A counted connection, until it is dropped.
#[derive(Debug)]
pub(super) struct PerIpPermit {
    limiter: Arc<PerIpLimiter>,
    network: IpAddr,
    quota: Quota,
}

impl PerIpLimiter {
    /// Allows `limit` connections per quota from one IPv4 address or one /64 of IPv6.
    pub fn new(limit: usize) -> Arc<PerIpLimiter> {
        Arc::new(PerIpLimiter {
            limit,
            counts: Mutex::default(),
        })
    }

    /// The most connections per address that are served at once.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Returns a permit for a connection from this address, or `None` at the limit.
    pub fn acquire(self: &Arc<Self>, address: IpAddr, quota: Quota) -> Option<PerIpPermit> {
        let network = network(address);
        let mut counts = self.counts();
        let count = &mut counts.entry(network).or_default()[quota as usize];
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(PerIpPermit {
            limiter: self.clone(),
            network,
            quota,
        })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, [usize; 2]>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PerIpPermit {
    fn drop(&mut self) {
        let mut counts = self.limiter.counts();
        if let Some(of_network) = counts.get_mut(&self.network) {
            of_network[self.quota as usize] -= 1;
            if *of_network == [0, 0] {
                counts.remove(&self.network);
            }
        }
    }
}

/// The address that a connection from `address` is counted under.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() & PREFIX_MASK).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn addresses_of_one_ipv6_prefix_count_together() {
        let cases = [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ];
        for (one, other, same) in cases {
            let same_network = network(address(one)) == network(address(other));
            assert_eq!(same_network, same, "{one} and {other}");
        }
    }

    #[test]
    fn dropped_permits_are_free_again() {
        let limiter = PerIpLimiter::new(2);
        let one = address("192.0.2.1");
        let take = |peer| limiter.acquire(peer, Quota::Served);
        let first = take(one);
        let second = take(one);
        assert!(first.is_some() && second.is_some());
        assert!(take(one).is_none());
        let other = take(address("192.0.2.2"));
        assert!(other.is_some());
        drop(first);
        assert!(take(one).is_some());
        let turned_away = [(); 3].map(|()| limiter.acquire(one, Quota::TurnedAway));
        assert!(turned_away[1].is_some() && turned_away[2].is_none());
        drop((second, other));
        assert!(take(one).is_some(), "refusals have a quota of their own");
        drop(turned_away);
        assert!(limiter.counts().is_empty());
    }

    /// A million addresses in turn leave nothing behind; those connected at the same time take one
    /// entry each.
    #[test]
    fn addresses_are_kept_only_while_they_have_connections() {
        let limiter = PerIpLimiter::new(1);
        let subscriber = |number: u64| Ipv6Addr::from_bits(u128::from(number) << 64).into();
        let take = |number| limiter.acquire(subscriber(number), Quota::Served);
        let permits: Vec<_> = (0..100).map(take).collect();
        for number in 100..1_000_000 {
            assert!(take(number).is_some());
        }
        assert_eq!(limiter.counts().len(), 100);
        assert!(limiter.counts().capacity() < 1000);
        drop(permits);
        assert!(limiter.counts().is_empty());
    }
}
