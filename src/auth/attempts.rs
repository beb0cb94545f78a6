//! Bounds how many wrong passwords come from one address.
//!
//! Each attempt moves the address's time forward by [`ATTEMPT_INTERVAL`]; no attempt is allowed
//! while that time lies more than [`ATTEMPTS`] intervals in the future. So an address has
//! [`ATTEMPTS`] at once, and then one per interval. The table has a fixed size.

use super::hashing::Key;
use super::shared::{Entry, SETS, Set, Shared, WAYS};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many wrong passwords an address may send at once.
pub const ATTEMPTS: u32 = 10;

/// After how long it may send one more.
pub const ATTEMPT_INTERVAL: Duration = Duration::from_secs(6);

/// How many addresses are remembered. More push out those that have the fewest attempts, among the
/// few that share a place in the table.
pub const ADDRESSES: usize = SETS * WAYS;

/// The bytes of an IPv6 address that count, as for `--max-per-ip`: a subscriber has a /64.
const PREFIX_MASK: u128 = !0 << 64;

/// The client's address, as a keyed hash: no client can choose its place in the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client(u64);

/// The attempts of all addresses.
#[derive(Debug)]
pub(super) struct Attempts(Mutex<Vec<Set>>);

/// A peer without an address is a process of this machine: all these count together.
pub(super) fn client_of(address: Option<IpAddr>, key: &Key) -> Client {
    let address = match address.map(|address| address.to_canonical()) {
        // No masked address is like this one.
        None => 1,
        Some(IpAddr::V4(four)) => four.to_ipv6_mapped().to_bits(),
        Some(IpAddr::V6(six)) => Ipv6Addr::from_bits(six.to_bits() & PREFIX_MASK).to_bits(),
    };
    let tag = key.tag(&[b"client", &address.to_le_bytes()]);
    let first = tag
        .first_chunk()
        .map_or(1, |first| u64::from_le_bytes(*first));
    // Zero is an unused entry.
    Client(first.max(1))
}

impl Attempts {
    /// With `forks`, all entries are in what processes share.
    pub fn new(forks: bool) -> Attempts {
        let sets = if forks { 0 } else { SETS };
        Attempts(Mutex::new(vec![Set::default(); sets]))
    }

    /// Counts an attempt. Returns how long to wait if there were too many.
    pub fn begin(
        &self,
        client: Client,
        now: Duration,
        shared: Option<&Shared>,
    ) -> Result<(), Duration> {
        self.with_entry(client, shared, |entry| {
            let now = now.as_nanos() as u64;
            let interval = ATTEMPT_INTERVAL.as_nanos() as u64;
            let until = entry.until.max(now) + interval;
            let latest = now + u64::from(ATTEMPTS) * interval;
            if until > latest {
                return Err(Duration::from_nanos(until - latest));
            }
            *entry = Entry {
                client: client.0,
                until,
            };
            Ok(())
        })
    }

    /// Takes an attempt back, since the password was right.
    pub fn forgive(&self, client: Client, now: Duration, shared: Option<&Shared>) {
        self.with_entry(client, shared, |entry| {
            if entry.client == client.0 && entry.until > now.as_nanos() as u64 {
                entry.until -= ATTEMPT_INTERVAL.as_nanos() as u64;
            }
        });
    }

    /// Calls `act` with the client's entry, or with the one that it would replace, whose time then
    /// is 0.
    fn with_entry<T>(
        &self,
        client: Client,
        shared: Option<&Shared>,
        act: impl FnOnce(&mut Entry) -> T,
    ) -> T {
        let place = client.0 as usize % SETS;
        let mut here = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match shared {
            Some(shared) => shared.with_set(place, |set| act_on(set, client, act)),
            None => act_on(&mut here[place], client, act),
        }
    }
}

fn act_on<T>(set: &mut Set, client: Client, act: impl FnOnce(&mut Entry) -> T) -> T {
    let known = set.iter().position(|entry| entry.client == client.0);
    let oldest = || (0..WAYS).min_by_key(|&at| set[at].until).unwrap_or(0);
    let at = known.unwrap_or_else(oldest);
    if known.is_none() {
        set[at] = Entry::default();
    }
    act(&mut set[at])
}

#[cfg(feature = "auth")]
#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    #[test]
    fn an_address_has_some_attempts_at_once_and_then_one_per_interval() {
        for shared in [None, Some(Shared::new().expect("memory"))] {
            let (attempts, shared) = (Attempts::new(shared.is_some()), shared.as_ref());
            let begin = |client, seconds| attempts.begin(Client(client), after(seconds), shared);
            for _ in 0..ATTEMPTS {
                assert_eq!(begin(7, 0), Ok(()));
            }
            assert_eq!(begin(7, 0), Err(ATTEMPT_INTERVAL));
            assert_eq!(begin(7, 5), Err(Duration::from_secs(1)));
            assert_eq!(begin(7 + SETS as u64, 0), Ok(()), "another address");
            assert_eq!(begin(7, 6), Ok(()));
            assert_eq!(begin(7, 6), Err(ATTEMPT_INTERVAL));
            attempts.forgive(Client(7), after(6), shared);
            assert_eq!(begin(7, 6), Ok(()), "a right one does not count");
        }
    }

    #[test]
    fn a_million_addresses_need_no_more_memory() {
        let attempts = Attempts::new(false);
        for client in 1..1_000_000 {
            assert_eq!(attempts.begin(Client(client), after(0), None), Ok(()));
        }
        let sets = attempts.0.lock().expect("no panic");
        assert_eq!((sets.len(), sets.capacity()), (SETS, SETS));
    }

    #[test]
    fn addresses_of_one_subscriber_count_together() {
        let key = Key::new().expect("a key");
        let client = |text: &str| client_of(Some(text.parse().expect("an address")), &key).0;
        assert_eq!(client("2001:db8::1"), client("2001:db8::2"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("192.0.2.1"), client("::ffff:192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        assert_ne!(client("::1"), client_of(None, &key).0);
    }
}
