//! Sends what one client says to all of them.

use evserve::session::{Inbox, Mailbox};
use evserve::{Context, Service, Session, Sharing, Timeout, Wait};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

#[derive(Default, Clone)]
pub struct Relay(Arc<Mutex<Vec<Weak<Mailbox>>>>);

struct Member {
    all: Relay,
    own: Arc<Mailbox>,
}

impl Service for Relay {
    fn session(&self, _: Option<IpAddr>) -> Box<dyn Session> {
        let (all, own) = (self.clone(), Arc::new(Mailbox::default()));
        let mut mailboxes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mailboxes.push(Arc::downgrade(&own));
        Box::new(Member { all, own })
    }

    fn sharing(&self) -> Sharing {
        Sharing::Messages
    }

    fn name(&self) -> &str {
        "relay"
    }
}

impl Session for Member {
    fn receive(&mut self, input: &[u8], _: &mut Context<'_>) -> usize {
        let message: Arc<[u8]> = input.into();
        let mut mailboxes = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Keeps the mailboxes that took the message. `upgrade` fails if the member has left, and
        // `put` returns false if its mailbox is full.
        mailboxes.retain(|one| one.upgrade().is_some_and(|one| one.put(&message)));
        input.len()
    }

    fn mailbox(&self) -> Option<&dyn Inbox> {
        Some(&*self.own)
    }

    fn waits_for(&self) -> Wait {
        Wait::Bytes(Timeout::Forever)
    }
}
