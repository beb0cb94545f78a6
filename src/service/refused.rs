//! Connections that are closed at once, without a word to the peer.

use crate::session::{Context, Session, Wait, Worker};
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often it is said that connections are refused: whoever makes many must not fill the log.
const PAUSE: Duration = Duration::from_secs(1);

/// Those that were refused for one kind of reason.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    said: Mutex<Option<Instant>>,
}

impl Refusals {
    /// A session that ends before it begins.
    pub fn session(self: &Arc<Self>, why: String) -> Box<dyn Session> {
        let refusals = self.clone();
        Box::new(Refused { refusals, why })
    }

    /// Counts one, and says why unless that was done a moment ago.
    pub fn note(&self, why: impl Display, worker: &mut Worker) {
        worker.counters.turned_away += 1;
        let now = worker.time.now();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|said| now >= said + PAUSE) {
            *said = Some(now);
            log::warn!("{why}");
        }
    }
}

struct Refused {
    refusals: Arc<Refusals>,
    why: String,
}

impl Session for Refused {
    fn open(&mut self, cx: &mut Context<'_>) {
        self.refusals.note(&self.why, cx.worker);
    }

    fn receive(&mut self, input: &[u8], _cx: &mut Context<'_>) -> usize {
        input.len()
    }

    fn waits_for(&self) -> Wait {
        Wait::Abort
    }

    fn state(&self) -> &'static str {
        "refused"
    }
}
