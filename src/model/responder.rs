//! Receives datagrams and sends the replies, for all models.
//!
//! A sender's address can be forged, and the reply then goes to a third party. The rules in
//! [`Responder::may_reply`] make this useless for an attack.

use super::{DatagramEndpoint, catch_panic};
use crate::net::{BoundAddress, DatagramSender, ReceiveError};
use crate::observe::throttled;
use crate::service::SHORT_REPLY;
use crate::session::Worker;
use crate::sys::Errno;
use crate::trace;
use std::io;

/// The most datagrams answered per socket in a turn.
pub const DATAGRAMS_PER_TURN: usize = 64;

/// The most datagrams still answered when the server stops. Their senders count on a reply, but a
/// flood must not keep the server running.
const LAST_DATAGRAMS: usize = 4096;

/// The longest datagram that is answered, in bytes: the longest of UDP, 65,507 over IPv4 and 65,527
/// over IPv6. Unix sockets allow longer ones.
const MAX_DATAGRAM: usize = 65_527;

/// Ports of services that reply to anything, even to a reply: echo, daytime, quotation of the day,
/// character generator, time (RFC 862, 867, 865, 864, 868). Port 0 is not a port.
const ANSWERING_PORTS: [u16; 6] = [0, 7, 13, 17, 19, 37];

/// Receives datagrams and replies, for the sockets of one thread.
pub struct Responder {
    /// The UDP ports of all sockets of the server.
    own_ports: Vec<u16>,
    datagram: Box<[u8]>,
    reply: Vec<u8>,
}

impl Responder {
    /// Creates a responder for a thread that serves one or all of the server's sockets. It takes no
    /// memory if there are none.
    pub fn new(all: &[DatagramEndpoint]) -> Responder {
        let port = |one: &DatagramEndpoint| match one.socket.bound() {
            BoundAddress::Udp(address) => Some(address.port()),
            _ => None,
        };
        let length = if all.is_empty() { 0 } else { MAX_DATAGRAM };
        Responder {
            own_ports: all.iter().filter_map(port).collect(),
            datagram: vec![0; length].into_boxed_slice(),
            reply: Vec::with_capacity(length),
        }
    }

    /// Answers at most `most` datagrams that wait at a socket. Returns true if more may be waiting.
    ///
    /// # Errors
    /// If nothing more can be received at the socket.
    pub fn answer(
        &mut self,
        endpoint: &DatagramEndpoint,
        most: usize,
        worker: &mut Worker,
    ) -> io::Result<bool> {
        for number in 0..most {
            worker.counters.receive_calls += 1;
            match endpoint.socket.receive(&mut self.datagram) {
                Ok((length, sender)) => {
                    worker.counters.received_datagrams += 1;
                    worker.counters.received_bytes += length as u64;
                    self.reply(endpoint, length, &sender, worker);
                }
                Err(ReceiveError::WouldBlock) => {
                    worker.counters.would_blocks += 1;
                    // A socket that was shut down stays readable forever, without any datagram.
                    if number == 0 && endpoint.socket.is_shut_down() {
                        return Err(io::Error::other("the socket has been shut down"));
                    }
                    return Ok(false);
                }
                Err(ReceiveError::Transient) => {}
                Err(ReceiveError::Broken(error)) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Answers the datagrams still waiting at a socket, before the server stops. Counts those that
    /// the kernel has dropped.
    pub fn finish(&mut self, endpoint: &DatagramEndpoint, worker: &mut Worker) {
        // Errors do not matter: the server stops.
        let _ = self.answer(endpoint, LAST_DATAGRAMS, worker);
        worker.counters.dropped_datagrams += endpoint.socket.lost();
    }

    /// Logs that nothing more can be received at a socket.
    pub fn log_broken(endpoint: &DatagramEndpoint, error: &io::Error) {
        let place = endpoint.socket.bound();
        log::error!("stopped receiving datagrams at {place}: {error}");
    }

    fn reply(
        &mut self,
        endpoint: &DatagramEndpoint,
        length: usize,
        sender: &DatagramSender,
        worker: &mut Worker,
    ) {
        self.reply.clear();
        let counters = &mut worker.counters;
        let Some(datagram) = self.datagram.get(..length) else {
            // The datagram is longer than the buffer.
            counters.refused_datagrams += 1;
            return;
        };
        let (service, reply) = (&endpoint.service, &mut self.reply);
        let answer = || {
            let datagrams = service.datagram_handler();
            datagrams.is_some_and(|one| one.reply(datagram, &worker.time, reply))
        };
        match catch_panic(answer) {
            // The protocol has no reply.
            Some(false) => return,
            Some(true) if self.may_reply(length, sender) => {}
            Some(true) => {
                counters.refused_datagrams += 1;
                return;
            }
            None => {
                counters.refused_datagrams += 1;
                throttled!(
                    Error,
                    "a service panicked; the datagram gets no reply, and all others are answered"
                );
                return;
            }
        }
        counters.send_calls += 1;
        match endpoint.socket.reply(&self.reply, sender) {
            Ok(()) => {
                counters.sent_replies += 1;
                counters.sent_bytes += self.reply.len() as u64;
                trace::count_answered(1);
            }
            Err(error) => {
                counters.unsent_replies += 1;
                let is_full = error.raw_os_error() == Some(Errno::AGAIN.raw_os_error());
                counters.would_blocks += u64::from(is_full);
            }
        }
    }

    /// True if the reply may be sent to the sender of a datagram of this length. The reply must not
    /// be much longer than the datagram, and the port must not belong to a service that replies to
    /// replies.
    fn may_reply(&self, length: usize, sender: &DatagramSender) -> bool {
        let is_refused = |port| ANSWERING_PORTS.contains(&port) || self.own_ports.contains(&port);
        self.reply.len() <= length.max(SHORT_REPLY)
            && sender.can_be_answered()
            && !sender.port().is_some_and(is_refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::DatagramSocket;
    use crate::service::{DatagramHandler, Service};
    use crate::session::{Session, Time};
    use std::net::{IpAddr, UdpSocket};
    use std::sync::Arc;
    use std::time::{Instant, SystemTime};

    struct Picky;

    impl Service for Picky {
        fn session(&self, _peer: Option<IpAddr>) -> Box<dyn Session> {
            unreachable!("there are no connections")
        }

        fn datagram_handler(&self) -> Option<&dyn DatagramHandler> {
            Some(self)
        }

        fn name(&self) -> &str {
            "picky"
        }
    }

    impl DatagramHandler for Picky {
        fn reply(&self, datagram: &[u8], _time: &Time, reply: &mut Vec<u8>) -> bool {
            assert!(datagram != b"panic", "a test of panics");
            reply.extend(datagram.repeat(100));
            reply.truncate(if datagram == b"long" { 65 } else { 64 });
            datagram != b"silence"
        }
    }

    #[test]
    fn long_replies_and_panics_are_counted_as_refused() {
        let address = "udp:127.0.0.1:0".parse().expect("an address");
        let mut sockets = DatagramSocket::bind_several(&address, 0, 1).expect("bound");
        let endpoint = DatagramEndpoint {
            socket: sockets.remove(0).remove(0),
            service: Arc::new(Picky),
        };
        let BoundAddress::Udp(place) = *endpoint.socket.bound() else {
            panic!("it is UDP")
        };
        let client = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let datagrams = ["short", "silence", "long", "panic"];
        for datagram in datagrams {
            client.send_to(datagram.as_bytes(), place).expect("sent");
        }
        let mut worker = Worker::new(Time::new(Instant::now(), SystemTime::now()));
        let mut responder = Responder::new(std::slice::from_ref(&endpoint));
        let result = responder.answer(&endpoint, datagrams.len(), &mut worker);
        assert!(result.expect("the socket works"), "there may be more");
        let counters = &worker.counters;
        let counted = (
            counters.received_datagrams,
            counters.sent_replies,
            counters.refused_datagrams,
        );
        assert_eq!(
            counted,
            (4, 1, 2),
            "the long reply and the panic are refused"
        );
    }
}
