//! Daytime (RFC 867): sends the date and time as one line and ends the connection, whatever the
//! client sends. Replies to every datagram with the same line.

use super::{DatagramHandler, Service, Sharing};
use crate::config::{Config, StartError};
use crate::session::{ACCEPTED, CLOSED, Context, Session, Time, Transition, Wait};
use std::net::IpAddr;
use std::sync::Arc;

struct Daytime;

pub(super) fn start(_: &Config) -> Result<Arc<dyn Service>, StartError> {
    Ok(Arc::new(Daytime))
}

impl Service for Daytime {
    fn session(&self, _peer: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(Daytime)
    }

    fn datagram_handler(&self) -> Option<&dyn DatagramHandler> {
        Some(self)
    }

    fn speaks_first(&self) -> bool {
        true
    }

    fn transitions(&self) -> &'static [Transition] {
        &[(ACCEPTED, "sending the time"), ("sending the time", CLOSED)]
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }

    fn name(&self) -> &str {
        "daytime"
    }

    fn about(&self) -> String {
        "the date and time".into()
    }
}

/// The line. RFC 867 leaves the format open; this is HTTP's date, in UTC.
fn line(time: &Time) -> [u8; 31] {
    let mut line = *b"DDD, DD MMM YYYY HH:MM:SS GMT\r\n";
    line[..29].copy_from_slice(time.date());
    line
}

impl DatagramHandler for Daytime {
    fn reply(&self, _datagram: &[u8], time: &Time, reply: &mut Vec<u8>) -> bool {
        reply.extend_from_slice(&line(time));
        true
    }
}

impl Session for Daytime {
    fn open(&mut self, cx: &mut Context<'_>) {
        let line = line(&cx.worker.time);
        cx.put(&line);
        cx.worker.counters.requests += 1;
    }

    fn receive(&mut self, input: &[u8], _cx: &mut Context<'_>) -> usize {
        input.len()
    }

    fn waits_for(&self) -> Wait {
        // Input that arrives after the close would reset the connection and could destroy the line
        // on its way.
        Wait::Linger
    }

    fn state(&self) -> &'static str {
        "sending the time"
    }
}
