//! Admits accepted connections: `--trusted-proxy` and `--max-per-ip`.
//!
//! Without these options every connection is admitted, without a lookup or a lock. On an encrypted
//! address, its session begins behind a layer.

use super::Service;
use super::per_ip::{PerIpLimiter, Quota};
use super::proxy_header::{ProxyHeaderSession, display_peer};
use crate::config::{Config, TrustedProxies};
use crate::observe::throttled;
use crate::session::{Counters, Layers, NewSession, Permit};
use std::net::IpAddr;
use std::sync::Arc;

/// Decides which session a new connection starts with, if any. Clones share their counts.
#[derive(Clone, Default)]
pub struct Admission {
    limiter: Option<Arc<PerIpLimiter>>,
    trusted_proxies: Option<Arc<TrustedProxies>>,
    /// Encrypts connections, behind the PROXY header if there is one.
    layers: Option<Arc<dyn Layers>>,
}

impl Admission {
    /// Creates the admission that the options ask for.
    pub fn new(config: &Config) -> Admission {
        Admission {
            limiter: config.max_per_ip.map(PerIpLimiter::new),
            trusted_proxies: config.trusted_proxies.clone().map(Arc::new),
            layers: None,
        }
    }

    /// The same for an address where connections are encrypted by these.
    #[must_use]
    pub fn encrypted(&self, layers: Arc<dyn Layers>) -> Admission {
        Admission {
            layers: Some(layers),
            ..self.clone()
        }
    }

    /// True if connections start with a PROXY header or a handshake. The client then speaks first
    /// under every protocol.
    pub fn client_speaks_first(&self) -> bool {
        self.trusted_proxies.is_some() || self.layers.is_some()
    }

    /// Returns the session to start with for a connection from `peer`, which is `None` on a Unix
    /// socket. Returns `None` if the connection is refused, after counting and logging that: close
    /// it at once.
    pub fn admit(
        &self,
        service: &Arc<dyn Service>,
        peer: Option<IpAddr>,
        counters: &mut Counters,
    ) -> Option<NewSession> {
        match &self.trusted_proxies {
            None => self.admit_client(&**service, peer, counters),
            Some(trusted) if trusted.contains(peer) => {
                let (admission, service) = (self.clone(), service.clone());
                let admit = move |client, counters: &mut Counters| {
                    admission.admit_client(&*service, client, counters)
                };
                let session = ProxyHeaderSession::new(peer, Box::new(admit));
                Some(NewSession {
                    session: Box::new(session),
                    permit: None,
                    layer: None,
                })
            }
            Some(_) => {
                counters.refused_connections += 1;
                let peer = display_peer(peer);
                throttled!(
                    Warn,
                    "closed a connection from {peer}: it is not a --trusted-proxy"
                );
                None
            }
        }
    }

    /// Admits a client whose address is known.
    ///
    /// Up to the limit, clients of an address are served. As many again get the protocol's own
    /// refusal, if it has one; further ones are disconnected. Clients without an address are not
    /// counted: file permissions decide who may connect to a Unix socket.
    fn admit_client(
        &self,
        service: &dyn Service,
        client: Option<IpAddr>,
        counters: &mut Counters,
    ) -> Option<NewSession> {
        let layer = match &self.layers {
            None => None,
            Some(layers) => Some(layers.layer().or_else(|| {
                counters.refused_connections += 1;
                throttled!(
                    Warn,
                    "closed a connection: there are no random bytes for TLS"
                );
                None
            })?),
        };
        let (Some(limiter), Some(address)) = (&self.limiter, client) else {
            return Some(NewSession {
                layer,
                ..service.session(client).into()
            });
        };
        if let Some(permit) = limiter.acquire(address, Quota::Served) {
            let session = service.session(client);
            let permit = Some(Permit::new(permit));
            return Some(NewSession {
                session,
                permit,
                layer,
            });
        }
        counters.refused_connections += 1;
        if let Some(permit) = limiter.acquire(address, Quota::TurnedAway)
            && let Some(session) = service.turn_away(address)
        {
            let permit = Some(Permit::new(permit));
            return Some(NewSession {
                session,
                permit,
                layer,
            });
        }
        let limit = limiter.limit();
        throttled!(
            Warn,
            "closed a connection from {address}: it already has {limit} (--max-per-ip)"
        );
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Action, Connection, Context, Session, Time, Worker};
    use std::time::{Instant, SystemTime};

    const PROXY: [u8; 4] = [127, 0, 0, 1];
    const HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 258 80\r\n";

    /// A protocol with a refusal of its own.
    struct RefusingService;

    impl Service for RefusingService {
        fn session(&self, _: Option<IpAddr>) -> Box<dyn Session> {
            Box::new(NamedSession("served"))
        }

        fn turn_away(&self, _: IpAddr) -> Option<Box<dyn Session>> {
            Some(Box::new(NamedSession("turned away")))
        }

        fn name(&self) -> &str {
            "refusing"
        }
    }

    struct NamedSession(&'static str);

    impl Session for NamedSession {
        fn receive(&mut self, input: &[u8], _: &mut Context<'_>) -> usize {
            input.len()
        }

        fn state(&self) -> &'static str {
            self.0
        }
    }

    #[test]
    fn clients_are_served_then_turned_away_then_disconnected() {
        let admission = Admission::new(&Config {
            max_per_ip: Some(1),
            ..Config::default()
        });
        let service: Arc<dyn Service> = Arc::new(RefusingService);
        let mut counters = Counters::default();
        let mut admit = |peer| admission.admit(&service, peer, &mut counters);
        let state = |start: &Option<NewSession>| start.as_ref().map(|start| start.session.state());
        let peer = Some(IpAddr::from([192, 0, 2, 7]));
        let all = [(); 3].map(|()| admit(peer));
        let expected = [Some("served"), Some("turned away"), None];
        assert_eq!(all.each_ref().map(state), expected);
        drop(all);
        assert_eq!(state(&admit(peer)), Some("served"), "permits were returned");
        let on_a_path = [(); 3].map(|()| admit(None));
        assert!(on_a_path.iter().all(|start| state(start) == Some("served")));
        assert_eq!(counters.refused_connections, 2);
    }

    #[test]
    fn clients_behind_a_proxy_are_counted_until_their_connections_close() {
        let admission = Admission::new(&Config {
            max_per_ip: Some(1),
            trusted_proxies: Some(TrustedProxies {
                networks: vec!["127.0.0.1/32".parse().expect("a network")],
                unix: false,
            }),
            ..Config::default()
        });
        let service: Arc<dyn Service> = Arc::new(RefusingService);
        let mut worker = Worker::new(Time::new(Instant::now(), SystemTime::now()));
        let open = |worker: &mut Worker| {
            let start = admission.admit(&service, Some(PROXY.into()), &mut worker.counters);
            let mut connection = Connection::open(start.expect("it is trusted"), 0, worker);
            assert_eq!(connection.state(), "reading PROXY header");
            connection.received(HEADER, worker);
            connection
        };
        let mut all = [(); 3].map(|()| open(&mut worker));
        let states = all.each_ref().map(Connection::state);
        assert_eq!(states, ["served", "turned away", "refused"]);
        assert_eq!(all[2].next(), Action::Close { may_linger: false });
        all[0].close(&mut worker);
        assert_eq!(open(&mut worker).state(), "served");
        let stranger = Some(IpAddr::from([192, 0, 2, 7]));
        let refused = admission.admit(&service, stranger, &mut worker.counters);
        assert!(refused.is_none());
        assert_eq!(worker.counters.refused_connections, 3);
    }
}
