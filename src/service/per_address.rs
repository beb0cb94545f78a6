//! So many connections from one address, and no more.
//!
//! As many again are told so, where the protocol has a word for it; the others are closed at once.
//!
//! A service is wrapped only where there is such a limit; where there is none it costs nothing. Peers without an address,
//! on sockets in the file system, are not counted: there, permissions say who may connect.

use super::refused::Refusals;
use super::{Datagrams, Service};
use crate::session::{Context, Inbox, Job, Session, Step, Time, Timeout, Wait};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one subscriber has of IPv6 (RFC 6177): any address in there is as easy to come by as the next.
const SUBSCRIBER: u128 = !0 << 64;

/// How many connections there are from each address, over all services that share this.
#[derive(Debug)]
pub struct Census {
    limit: usize,
    /// Each [`Welcome`] on its own; only those addresses that have any: no more than there are connections.
    present: Mutex<HashMap<IpAddr, [usize; 2]>>,
    refusals: Arc<Refusals>,
}

impl Census {
    /// Allows so many connections from one IPv4 address, or from one /64 of IPv6.
    pub fn new(limit: usize) -> Arc<Census> {
        Arc::new(Census {
            limit,
            present: Mutex::default(),
            refusals: Refusals::new("too many from one address"),
        })
    }

    /// The same service with the limit in front of it.
    pub fn limit(self: &Arc<Census>, service: Arc<dyn Service>) -> Arc<dyn Service> {
        let census = self.clone();
        Arc::new(PerAddress { service, census })
    }

    fn admit(self: &Arc<Census>, peer: IpAddr, welcome: Welcome) -> Option<Seat> {
        let network = network(peer);
        let mut present = self.present();
        let count = &mut present.entry(network).or_default()[welcome as usize];
        let census = self.clone();
        (*count < self.limit).then(|| {
            *count += 1;
            Seat {
                census,
                network,
                welcome,
            }
        })
    }

    fn present(&self) -> MutexGuard<'_, HashMap<IpAddr, [usize; 2]>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom an address is counted as.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() & SUBSCRIBER).into(),
    }
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Welcome {
    Served,
    TurnedAway,
}

/// One connection of those that are allowed, until it is dropped.
struct Seat {
    census: Arc<Census>,
    network: IpAddr,
    welcome: Welcome,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut present = self.census.present();
        if let Some(counts) = present.get_mut(&self.network) {
            counts[self.welcome as usize] -= 1;
            if *counts == [0, 0] {
                present.remove(&self.network);
            }
        }
    }
}

struct PerAddress {
    service: Arc<dyn Service>,
    census: Arc<Census>,
}

impl Service for PerAddress {
    fn session(&self, peer: Option<IpAddr>) -> Box<dyn Session> {
        let Some(peer) = peer else {
            return self.service.session(None);
        };
        let counted = |session, seat| Box::new(Counted { session, seat });
        if let seat @ Some(_) = self.census.admit(peer, Welcome::Served) {
            return counted(self.service.session(Some(peer)), seat);
        }
        if let seat @ Some(_) = self.census.admit(peer, Welcome::TurnedAway)
            && let Some(session) = self.service.turn_away(peer)
        {
            return counted(session, seat);
        }
        self.census.refusals.session(format!(
            "a connection from {peer} is closed: there are {} from there already; see --max-per-ip",
            self.census.limit
        ))
    }

    fn speaks_first(&self) -> bool {
        self.service.speaks_first()
    }

    fn is_shared(&self) -> bool {
        self.service.is_shared()
    }

    /// Datagrams are no connections.
    fn datagrams(&self) -> Option<&dyn Datagrams> {
        self.service.datagrams()
    }

    fn notifier(&self) -> Option<BorrowedFd<'_>> {
        self.service.notifier()
    }

    fn notified(&self) {
        self.service.notified();
    }

    fn directories(&self) -> Vec<PathBuf> {
        self.service.directories()
    }

    fn is_ready(&self, time: &Time) -> bool {
        self.service.is_ready(time)
    }

    fn steps(&self) -> &'static [Step] {
        self.service.steps()
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn about(&self) -> String {
        self.service.about()
    }

    fn url_scheme(&self) -> Option<&'static str> {
        self.service.url_scheme()
    }
}

/// A session that is counted.
struct Counted {
    session: Box<dyn Session>,
    seat: Option<Seat>,
}

impl Session for Counted {
    fn open(&mut self, cx: &mut Context<'_>) {
        let welcome = self.seat.as_ref().map(|seat| seat.welcome);
        cx.worker.counters.turned_away += u64::from(welcome == Some(Welcome::TurnedAway));
        self.session.open(cx);
    }

    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        self.session.receive(input, cx)
    }

    fn end_of_input(&mut self, cx: &mut Context<'_>) {
        self.session.end_of_input(cx);
    }

    fn sent(&mut self, cx: &mut Context<'_>) {
        self.session.sent(cx);
    }

    fn proceed(&mut self, cx: &mut Context<'_>) {
        self.session.proceed(cx);
    }

    fn job(&mut self) -> Option<Job> {
        self.session.job()
    }

    fn timed_out(&mut self, timeout: Timeout, cx: &mut Context<'_>) {
        self.session.timed_out(timeout, cx);
    }

    fn closed(&mut self, cx: &mut Context<'_>) {
        self.session.closed(cx);
        // Before the socket closes: whoever sees that may come again at once.
        self.seat = None;
    }

    fn waits_for(&self) -> Wait {
        self.session.waits_for()
    }

    fn mailbox(&self) -> Option<&dyn Inbox> {
        self.session.mailbox()
    }

    fn state(&self) -> &'static str {
        self.session.state()
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
    fn who_leaves_makes_room_and_nothing_is_kept_of_them() {
        let census = Census::new(2);
        let one = address("192.0.2.1");
        let admit = |peer| census.admit(peer, Welcome::Served);
        let first = admit(one);
        let second = admit(one);
        assert!(first.is_some() && second.is_some());
        assert!(admit(one).is_none());
        let other = admit(address("192.0.2.2"));
        assert!(other.is_some());
        drop(first);
        assert!(admit(one).is_some());
        let turned_away = [(); 3].map(|()| census.admit(one, Welcome::TurnedAway));
        assert!(turned_away[1].is_some() && turned_away[2].is_none());
        drop((second, other));
        assert!(admit(one).is_some(), "who is turned away takes no place");
        drop(turned_away);
        assert!(census.present().is_empty());
    }

    /// A million subscribers, one after the other, leave nothing behind; those who are there at once take an entry each.
    #[test]
    fn addresses_are_kept_only_while_they_have_connections() {
        let census = Census::new(1);
        let subscriber = |number: u64| Ipv6Addr::from_bits(u128::from(number) << 64).into();
        let present: Vec<_> = (0..100)
            .map(|number| census.admit(subscriber(number), Welcome::Served))
            .collect();
        for number in 100..1_000_000 {
            assert!(census.admit(subscriber(number), Welcome::Served).is_some());
        }
        assert_eq!(census.present().len(), 100);
        assert!(census.present().capacity() < 1000);
        drop(present);
        assert!(census.present().is_empty());
    }
}
