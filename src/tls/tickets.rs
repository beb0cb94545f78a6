//! Session tickets (RFC 8446 section 4.6.1, RFC 5077): a client that comes again shows one and
//! skips most of the handshake. The server keeps nothing for it.
//!
//! Every loop, thread and process accepts the tickets of all others, also those that it was forked
//! from hours ago: the keys follow from one secret, made at the start, and from the time. Each
//! period's secret is a hash of the one before, which is then overwritten. So a secret that leaks
//! decrypts no ticket older than [`LIFETIME_SECONDS`]. What ring has made of a secret is freed, but
//! cannot be overwritten.

use parking_lot::RwLock;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long tickets are encrypted with the same key.
pub(super) const PERIOD: Duration = Duration::from_secs(6 * 60 * 60);

/// How long a ticket is accepted at most: to the end of the period after its own.
const LIFETIME_SECONDS: u32 = 12 * 60 * 60;

const NAME_LEN: usize = 16;

/// Makes and reads tickets.
pub(super) struct Tickets {
    began: Instant,
    /// Held for a clone of the `Arc`, or to store the next one.
    keys: RwLock<Arc<Keys>>,
}

/// The keys of a period.
struct Keys {
    period: u64,
    secret: Zeroizing<[u8; 32]>,
    current: Key,
    previous: Option<Key>,
}

/// The key of a ticket, and the name by which the ticket tells it.
struct Key {
    name: [u8; NAME_LEN],
    key: LessSafeKey,
}

impl Tickets {
    /// Begins with a random secret.
    pub fn new() -> Result<Tickets, Unspecified> {
        let mut secret = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(&mut *secret)?;
        Ok(Tickets {
            began: Instant::now(),
            keys: RwLock::new(Arc::new(Keys::new(0, secret, None)?)),
        })
    }

    /// Forgets the keys of past periods. Every ticket that is made or read does this, too.
    pub fn forget_past(&self) {
        self.keys_of(self.period());
    }

    fn period(&self) -> u64 {
        self.began.elapsed().as_secs() / PERIOD.as_secs()
    }

    /// The keys of a period, or of a later one if that has begun.
    fn keys_of(&self, period: u64) -> Option<Arc<Keys>> {
        let keys = self.keys.read().clone();
        if keys.period >= period {
            return Some(keys);
        }
        let mut keys = keys;
        while keys.period < period {
            keys = Arc::new(keys.next().ok()?);
        }
        let mut stored = self.keys.write();
        if stored.period < keys.period {
            *stored = keys.clone();
        }
        Some(keys)
    }

    fn encrypt_in(&self, period: u64, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys_of(period)?;
        let Key { name, key } = &keys.current;
        // Random, because a counter would show how many clients there are, and because processes
        // share the key. 2^32 tickets in a period are far off.
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut ticket = [&name[..], &nonce, plain].concat();
        let (head, body) = ticket.split_at_mut(NAME_LEN + NONCE_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(head), body);
        ticket.extend(tag.ok()?.as_ref());
        Some(ticket)
    }

    fn decrypt_in(&self, period: u64, ticket: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys_of(period)?;
        let (head, body) = ticket.split_at_checked(NAME_LEN + NONCE_LEN)?;
        let (name, nonce) = head.split_at(NAME_LEN);
        let mut known = [Some(&keys.current), keys.previous.as_ref()].into_iter();
        let known = known.find_map(|key| key.filter(|key| key.name == name))?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = body.to_vec();
        let plain = known.key.open_in_place(nonce, Aad::from(head), &mut body);
        let length = plain.ok()?.len();
        body.truncate(length);
        Some(body)
    }
}

impl Keys {
    fn new(
        period: u64,
        secret: Zeroizing<[u8; 32]>,
        previous: Option<Key>,
    ) -> Result<Keys, Unspecified> {
        let mut key = Zeroizing::new([0; 32]);
        derive(&secret, b"key", &mut *key);
        let mut name = [0; NAME_LEN];
        derive(&secret, b"name", &mut name);
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*key)?);
        Ok(Keys {
            period,
            secret,
            current: Key { name, key },
            previous,
        })
    }

    /// The keys of the next period.
    fn next(&self) -> Result<Keys, Unspecified> {
        let mut secret = Zeroizing::new([0; 32]);
        derive(&self.secret, b"next", &mut *secret);
        let previous = Key {
            name: self.current.name,
            key: self.current.key.clone(),
        };
        Keys::new(self.period + 1, secret, Some(previous))
    }
}

/// Derives up to 32 bytes from a secret. Bytes with different labels tell nothing of each other.
fn derive(secret: &[u8; 32], label: &[u8], into: &mut [u8]) {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), label);
    into.copy_from_slice(&tag.as_ref()[..into.len()]);
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_SECONDS
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.encrypt_in(self.period(), plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.decrypt_in(self.period(), ticket)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a process has that was forked from this one.
    fn forked(tickets: &Tickets) -> Tickets {
        Tickets {
            began: tickets.began,
            keys: RwLock::new(tickets.keys.read().clone()),
        }
    }

    #[test]
    fn all_processes_read_the_tickets_of_two_periods() {
        let parent = Tickets::new().expect("random bytes");
        let child = forked(&parent);
        let ticket = child.encrypt_in(3, b"secret").expect("a ticket");
        assert!(!ticket.windows(6).any(|part| part == b"secret"));
        let plain = Some(b"secret".to_vec());
        assert_eq!(parent.decrypt_in(3, &ticket), plain);
        let late = forked(&parent);
        assert_eq!(late.decrypt_in(4, &ticket), plain, "in the next period");
        assert_eq!(late.decrypt_in(5, &ticket), None, "not in the one after");
        assert_eq!(
            parent.decrypt_in(2, &ticket),
            plain,
            "time does not go back"
        );
        let again = parent.encrypt_in(3, b"secret").expect("a ticket");
        assert_ne!(
            again, ticket,
            "two tickets have nothing in common but the name"
        );
        let other = Tickets::new().expect("random bytes");
        assert_eq!(other.decrypt_in(3, &ticket), None, "of another server");
    }

    #[test]
    fn a_changed_ticket_is_refused() {
        let tickets = Tickets::new().expect("random bytes");
        let ticket = tickets.encrypt_in(0, b"secret").expect("a ticket");
        for index in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[index] ^= 1;
            assert_eq!(tickets.decrypt_in(0, &changed), None, "byte {index}");
            assert_eq!(
                tickets.decrypt_in(0, &ticket[..index]),
                None,
                "cut at {index}"
            );
        }
        assert_eq!(tickets.decrypt_in(0, &ticket), Some(b"secret".to_vec()));
    }

    #[test]
    fn a_past_secret_is_gone() {
        let tickets = Tickets::new().expect("random bytes");
        let first = *tickets.keys.read().secret;
        tickets.keys_of(1).expect("the next keys");
        assert_ne!(*tickets.keys.read().secret, first);
        assert!(tickets.keys.read().previous.is_some());
    }
}
