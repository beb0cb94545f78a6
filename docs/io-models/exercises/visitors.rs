//! Tells each client its number.

use evserve::{Context, Service, Session, Wait};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Clone, Default)]
pub struct Visitors(Arc<AtomicU64>);

impl Service for Visitors {
    fn session(&self, _: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(self.clone())
    }

    fn speaks_first(&self) -> bool {
        true
    }

    fn name(&self) -> &str {
        "visitors"
    }
}

impl Session for Visitors {
    fn open(&mut self, cx: &mut Context<'_>) {
        let number = self.0.fetch_add(1, Relaxed) + 1;
        cx.put(format!("You are visitor {number}.\n").as_bytes());
    }

    fn receive(&mut self, input: &[u8], _: &mut Context<'_>) -> usize {
        input.len()
    }

    fn waits_for(&self) -> Wait {
        Wait::Linger
    }
}
