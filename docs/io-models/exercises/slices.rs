//! The same as `primes`, in slices: other clients have their turns in between.

use super::primes::{is_prime, number};
use evserve::{Context, Service, Session, Sharing, Timeout, Wait};
use std::net::IpAddr;

pub struct Slices;

/// Where the computation stands: primes that are still to be found, and the number tried last.
#[derive(Default)]
struct Search {
    left: usize,
    tried: u64,
}

impl Service for Slices {
    fn session(&self, _: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(Search::default())
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }

    fn name(&self) -> &str {
        "slices"
    }
}

impl Session for Search {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            return 0;
        };
        match number(&input[..end]) {
            Some(n) => *self = Search { left: n, tried: 1 },
            None => drop(cx.put(b"That is too large, or no number.\n")),
        }
        end + 1
    }

    fn proceed(&mut self, cx: &mut Context<'_>) {
        while self.left > 0 && cx.worker.work > 0 {
            cx.worker.work -= 1;
            self.tried += 1;
            self.left -= usize::from(is_prime(&self.tried));
        }
        if self.left == 0 {
            cx.put(format!("{}\n", self.tried).as_bytes());
        }
    }

    fn waits_for(&self) -> Wait {
        match self.left {
            0 => Wait::Bytes(Timeout::Idle),
            _ => Wait::Turn,
        }
    }
}
