//! Limits how many connections each service may have at once.
//!
//! Part of the total limit is reserved for each service, and the rest is common. Without this,
//! clients that may stay silent forever (members of a chat, watchers of the status) could take
//! every connection, and other services with the same limit could not be reached.

/// The most connections reserved for the status: enough for a load balancer and a few people.
const STATUS_RESERVED: usize = 16;

/// One in this many connections is reserved for the status, at most.
const STATUS_PART: usize = 8;

/// How much of the limit is reserved for a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservedPermits {
    /// Half of an equal share.
    Equal,
    /// A few connections, for the status.
    Few,
}

/// The permits of all services, which are known by their indices. Pure bookkeeping: nothing here
/// waits.
#[derive(Debug)]
pub struct Permits {
    services: Vec<Service>,
    /// How many permits are left beyond the reserved ones.
    common: usize,
}

#[derive(Clone, Copy, Debug)]
struct Service {
    reserved: usize,
    taken: usize,
}

impl Permits {
    /// Permits for `limit` connections of services with these reservations. If there are fewer
    /// permits than services, nothing is reserved.
    pub fn new(limit: usize, reservations: &[ReservedPermits]) -> Permits {
        let few = (limit / STATUS_PART).clamp(1, STATUS_RESERVED);
        let count = |kind| reservations.iter().filter(|one| **one == kind).count();
        let parts = count(ReservedPermits::Equal).max(1);
        let left = limit.saturating_sub(few * count(ReservedPermits::Few));
        let part = (left / (2 * parts)).max(1);
        let reserved = |kind: &ReservedPermits| match kind {
            _ if limit < reservations.len() => 0,
            ReservedPermits::Few => few,
            ReservedPermits::Equal => part,
        };
        let services = reservations.iter().map(|kind| Service {
            reserved: reserved(kind),
            taken: 0,
        });
        let services: Vec<_> = services.collect();
        let reserved: usize = services.iter().map(|service| service.reserved).sum();
        Permits {
            common: limit.saturating_sub(reserved),
            services,
        }
    }

    /// `limit` permits for each of `services` services, which share nothing.
    pub fn of_each(limit: usize, services: usize) -> Permits {
        let service = Service {
            reserved: limit,
            taken: 0,
        };
        Permits {
            services: vec![service; services],
            common: 0,
        }
    }

    /// True if the service may have one more connection.
    pub fn has_free(&self, service: usize) -> bool {
        self.free(service) > 0
    }

    /// How many more connections the service may have.
    pub fn free(&self, service: usize) -> usize {
        let Service { reserved, taken } = self.services[service];
        reserved.saturating_sub(taken) + self.common
    }

    /// True if every service may have one more connection.
    pub fn has_common(&self) -> bool {
        self.common > 0
    }

    /// Takes a permit for the service. Call this only if [`has_free`](Permits::has_free).
    pub fn take(&mut self, service: usize) {
        let service = &mut self.services[service];
        service.taken += 1;
        if service.taken > service.reserved {
            self.common -= 1;
        }
    }

    /// Releases a permit of the service.
    pub fn release(&mut self, service: usize) {
        let service = &mut self.services[service];
        if service.taken > service.reserved {
            self.common += 1;
        }
        service.taken -= 1;
    }

    /// True if service `to` could take a permit that service `from` releases.
    pub fn helps(&self, from: usize, to: usize) -> bool {
        let Service { reserved, taken } = self.services[from];
        taken > 0 && (from == to || taken > reserved)
    }

    /// How many permits all services have taken.
    pub fn taken_by_all(&self) -> usize {
        self.services.iter().map(|service| service.taken).sum()
    }

    /// The number of services.
    pub fn services(&self) -> usize {
        self.services.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ReservedPermits::{Equal, Few};

    impl Permits {
        /// How many permits a service has taken.
        fn taken(&self, service: usize) -> usize {
            self.services[service].taken
        }
    }

    fn reserved(limit: usize, reservations: &[ReservedPermits]) -> (Vec<usize>, usize) {
        let permits = Permits::new(limit, reservations);
        let each = permits.services.iter().map(|service| service.reserved);
        (each.collect(), permits.common)
    }

    #[test]
    fn half_is_reserved_in_equal_parts_and_the_rest_is_common() {
        let cases: &[(usize, &[ReservedPermits], &[usize], usize)] = &[
            (200, &[Equal], &[100], 100),
            (200, &[Equal, Equal], &[50, 50], 100),
            (200, &[Equal, Equal, Few], &[46, 46, 16], 92),
            (20, &[Equal, Few], &[9, 2], 9),
            (3, &[Equal, Equal], &[1, 1], 1),
            (2, &[Equal, Few], &[1, 1], 0),
            (1, &[Equal, Few], &[0, 0], 1),
            (1, &[Equal], &[1], 0),
            (
                usize::MAX,
                &[Equal, Few],
                &[(usize::MAX - 16) / 2, 16],
                usize::MAX / 2 - 7,
            ),
        ];
        for (limit, reservations, each, common) in cases {
            assert_eq!(
                reserved(*limit, reservations),
                (each.to_vec(), *common),
                "{limit} {reservations:?}"
            );
        }
    }

    #[test]
    fn a_service_cannot_take_what_is_reserved_for_another() {
        let mut permits = Permits::new(20, &[Equal, Equal]);
        let mut taken = 0;
        while permits.has_free(0) {
            permits.take(0);
            taken += 1;
        }
        assert_eq!(taken, 15, "its own five and all common ones");
        for _ in 0..5 {
            assert!(permits.has_free(1));
            assert!(permits.helps(0, 1), "it has more than is reserved for it");
            permits.take(1);
        }
        assert!(!permits.has_free(1));
        assert!(permits.helps(1, 1));
        assert!(!permits.helps(1, 0), "it has only what is reserved for it");
        permits.release(0);
        assert!(permits.has_free(0) && permits.has_free(1));
        permits.take(1);
        assert!(permits.helps(1, 0));
        assert!(!permits.has_free(0) && !permits.has_free(1));
    }

    /// No sequence of calls exceeds the limit or takes what is reserved for another service.
    #[test]
    fn random_sequences_keep_the_limit_and_the_reservations() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let reservations: Vec<_> = (0..random.usize(1..6))
                .map(|index| if index == 3 { Few } else { Equal })
                .collect();
            let limit = random.usize(1..100);
            let mut permits = Permits::new(limit, &reservations);
            for _ in 0..500 {
                let service = random.usize(..reservations.len());
                if random.bool() && permits.has_free(service) {
                    permits.take(service);
                } else if permits.taken(service) > 0 {
                    permits.release(service);
                }
                let taken: usize = (0..reservations.len()).map(|one| permits.taken(one)).sum();
                assert!(taken <= limit, "{taken} of {limit}");
                let free = |one: &Service| one.taken < one.reserved;
                let owed = permits.services.iter().enumerate();
                for (index, _) in owed.filter(|(_, one)| free(one)) {
                    assert!(permits.has_free(index));
                }
                let unused: usize = permits
                    .services
                    .iter()
                    .map(|one| one.reserved.saturating_sub(one.taken))
                    .sum();
                assert!(taken + unused <= limit, "what is reserved is available");
            }
        }
    }
}
