//! Echo that tells a silent client why its connection ends.

use evserve::{Context, Service, Session, Sharing, Timeout};
use std::net::IpAddr;

pub struct Goodbye;

impl Service for Goodbye {
    fn session(&self, _: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(Goodbye)
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }

    fn name(&self) -> &str {
        "goodbye"
    }
}

impl Session for Goodbye {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        cx.put(input)
    }

    fn timed_out(&mut self, _: Timeout, cx: &mut Context<'_>) {
        cx.put(b"You were silent for too long. Goodbye.\n");
    }
}
