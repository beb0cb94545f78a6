//! Connections that are closed at once, without a word to the peer.

use crate::observe::{PAUSE, Throttle};
use crate::session::{Context, Session, Wait, Worker};
use std::fmt::Display;
use std::sync::Arc;

/// Those that were refused for one kind of reason.
#[derive(Debug)]
pub(super) struct Refusals(Throttle);

impl Refusals {
    /// The name of the reason tells it from others.
    pub fn new(reason: &str) -> Arc<Refusals> {
        Arc::new(Refusals(Throttle::new(reason, PAUSE)))
    }

    /// A session that ends before it begins.
    pub fn session(self: &Arc<Self>, why: String) -> Box<dyn Session> {
        let refusals = self.clone();
        Box::new(Refused { refusals, why })
    }

    /// Counts one, and says why unless that was done a moment ago.
    pub fn note(&self, why: impl Display, worker: &mut Worker) {
        worker.counters.turned_away += 1;
        self.0.log(log::Level::Warn, module_path!(), why);
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
