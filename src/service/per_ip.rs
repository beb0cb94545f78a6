//! So many connections from one address, and no more.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one subscriber has of IPv6 (RFC 6177): any address in there is as easy to come by as the next.
const PREFIX_MASK: u128 = !0 << 64;

/// Counts the connections from each address, over all services and loops.
#[derive(Debug)]
pub(super) struct PerIpLimiter {
    limit: usize,
    /// Each [`Quota`] by itself. Only addresses that have any are kept: no more than there are connections.
    present: Mutex<HashMap<IpAddr, [usize; 2]>>,
}

/// What becomes of a connection that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quota {
    Served,
    TurnedAway,
}

/// A connection that is counted, until it is dropped.
#[derive(Debug)]
pub(super) struct PerIpPermit {
    limiter: Arc<PerIpLimiter>,
    network: IpAddr,
    quota: Quota,
}

impl PerIpLimiter {
    /// Allows `limit` connections of each quota from one IPv4 address, or from one /64 of IPv6.
    pub fn new(limit: usize) -> Arc<PerIpLimiter> {
        Arc::new(PerIpLimiter {
            limit,
            present: Mutex::default(),
        })
    }

    /// How many connections may be served at once.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// A place for a connection from this address, if there is one left.
    pub fn acquire(self: &Arc<Self>, address: IpAddr, quota: Quota) -> Option<PerIpPermit> {
        let network = network(address);
        let mut present = self.present();
        let count = &mut present.entry(network).or_default()[quota as usize];
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

    fn present(&self) -> MutexGuard<'_, HashMap<IpAddr, [usize; 2]>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PerIpPermit {
    fn drop(&mut self) {
        let mut present = self.limiter.present();
        if let Some(counts) = present.get_mut(&self.network) {
            counts[self.quota as usize] -= 1;
            if *counts == [0, 0] {
                present.remove(&self.network);
            }
        }
    }
}

/// What an address is counted as.
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
    fn one_subscriber_is_one() {
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
    fn a_place_that_is_left_can_be_taken_and_nothing_else_is_kept() {
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
        assert!(take(one).is_some(), "being turned away takes no place");
        drop(turned_away);
        assert!(limiter.present().is_empty());
    }

    /// A million subscribers, one after the other, leave nothing behind; those who are there at once take an entry each.
    #[test]
    fn addresses_are_kept_only_while_they_have_connections() {
        let limiter = PerIpLimiter::new(1);
        let subscriber = |number: u64| Ipv6Addr::from_bits(u128::from(number) << 64).into();
        let take = |number| limiter.acquire(subscriber(number), Quota::Served);
        let present: Vec<_> = (0..100).map(take).collect();
        for number in 100..1_000_000 {
            assert!(take(number).is_some());
        }
        assert_eq!(limiter.present().len(), 100);
        assert!(limiter.present().capacity() < 1000);
        drop(present);
        assert!(limiter.present().is_empty());
    }
}
