//! Echo (RFC 862): sends back every byte, in order, and every datagram.
//!
//! A session takes only as much input as fits into the output, and the connection receives nothing
//! while output is pending. So a client that does not read takes one buffer and no more.

use super::{DatagramHandler, Service, Sharing};
use crate::config::{Config, StartError};
use crate::session::{ACCEPTED, CLOSED, Context, Session, Time, Timeout, Transition, Wait};
use std::net::IpAddr;
use std::sync::Arc;

struct Echo;

pub(super) fn start(_: &Config) -> Result<Arc<dyn Service>, StartError> {
    Ok(Arc::new(Echo))
}

impl Service for Echo {
    fn session(&self, _peer: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(Echo)
    }

    fn datagram_handler(&self) -> Option<&dyn DatagramHandler> {
        Some(self)
    }

    fn transitions(&self) -> &'static [Transition] {
        &[(ACCEPTED, "echoing"), ("echoing", CLOSED)]
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }

    fn name(&self) -> &str {
        "echo"
    }

    fn about(&self) -> String {
        "sends every byte back".into()
    }
}

impl DatagramHandler for Echo {
    fn reply(&self, datagram: &[u8], _time: &Time, reply: &mut Vec<u8>) -> bool {
        reply.extend_from_slice(datagram);
        true
    }
}

impl Session for Echo {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        cx.put(input)
    }

    fn waits_for(&self) -> Wait {
        Wait::Bytes(Timeout::Forever)
    }

    fn state(&self) -> &'static str {
        "echoing"
    }
}
