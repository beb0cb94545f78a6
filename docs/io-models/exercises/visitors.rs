//! Tells each client its number.

use evserve::{Context, Service, Session, Wait};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Default)]
pub struct Visitors(AtomicU64);

struct Visitor(u64);

impl Service for Visitors {
    fn session(&self, _: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(Visitor(self.0.fetch_add(1, Relaxed) + 1))
    }

    fn speaks_first(&self) -> bool {
        true
    }

    fn name(&self) -> &str {
        "visitors"
    }
}

impl Session for Visitor {
    fn open(&mut self, cx: &mut Context<'_>) {
        cx.put(format!("You are visitor {}.\n", self.0).as_bytes());
    }

    fn receive(&mut self, input: &[u8], _: &mut Context<'_>) -> usize {
        input.len()
    }

    fn waits_for(&self) -> Wait {
        Wait::Linger
    }
}
