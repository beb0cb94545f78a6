//! Answers a line that holds the number N with the Nth prime, which it computes in one go.

use evserve::{Context, Service, Session, Sharing};
use std::net::IpAddr;

/// The largest N. Without a limit, a client could keep a thread for years.
const LARGEST: usize = 100_000;

pub struct Primes;

impl Service for Primes {
    fn session(&self, _: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(Primes)
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }

    fn name(&self) -> &str {
        "primes"
    }
}

impl Session for Primes {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            return 0;
        };
        let prime = number(&input[..end]).and_then(|n| (2..).filter(is_prime).nth(n - 1));
        let reply = prime.map_or(format!("1 to {LARGEST}, please.\n"), |p| format!("{p}\n"));
        if cx.room() < reply.len() {
            return 0;
        }
        cx.put(reply.as_bytes());
        end + 1
    }
}

/// Reads N from a line.
pub fn number(line: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(line).ok()?;
    text.trim()
        .parse()
        .ok()
        .filter(|n| (1..=LARGEST).contains(n))
}

/// Tries all divisors up to the square root.
pub fn is_prime(number: &u64) -> bool {
    let mut divisors = (2..).take_while(|divisor| divisor * divisor <= *number);
    *number >= 2 && divisors.all(|divisor| !number.is_multiple_of(divisor))
}
