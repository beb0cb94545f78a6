//! Daytime (RFC 867): the date and the time as a line, then the end, whatever the peer says.

use super::Service;
use crate::config::{Config, StartError};
use crate::session::{Context, Session, Wait};
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

    fn speaks_first(&self) -> bool {
        true
    }

    fn name(&self) -> &str {
        "daytime"
    }

    fn about(&self) -> String {
        "the date and the time".into()
    }
}

impl Session for Daytime {
    fn open(&mut self, cx: &mut Context<'_>) {
        // RFC 867 leaves the form open; this is HTTP's, in universal time.
        let date = *cx.worker.time.date();
        cx.put(&date);
        cx.put(b"\r\n");
        cx.worker.counters.requests += 1;
    }

    fn receive(&mut self, input: &[u8], _cx: &mut Context<'_>) -> usize {
        input.len()
    }

    fn waits_for(&self) -> Wait {
        Wait::Close
    }

    fn state(&self) -> &'static str {
        "telling the time"
    }
}
