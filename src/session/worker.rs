//! What all sessions of one thread share, and the model that runs them with it.

use super::{Counters, Moment, Pool, Time, Timeout, TraceHooks, Transitions};
use enum_map::EnumMap;
use std::io;
use std::task::Waker;
use std::time::Duration;

/// How much work of their own all sessions of a thread together may do in one turn, in units of one or two microseconds,
/// such as a look at a file: about a millisecond, however many sessions have work.
pub const WORK_PER_TURN: usize = 512;

/// How long a connection must have been idle before it may be closed to make room: before that, its client's next request
/// may be on its way.
pub const MIN_IDLE_AGE: Duration = Duration::from_millis(100);

/// How long each kind of wait may last; without end if it has no limit.
pub type TimeLimits = EnumMap<Timeout, Option<Duration>>;

/// Makes the wakers of connections.
pub trait Wakers: Send {
    /// What wakes the model for the connection of this key, from any thread and without waiting. The model then calls
    /// [`Connection::woken`](super::Connection::woken). A key may be woken after its connection has ended.
    ///
    /// # Errors
    /// If there can be none, for example as no descriptor is free. The connection is then closed.
    fn waker(&self, key: usize) -> io::Result<Waker>;
}

/// What all sessions of one thread share, and the model that runs them with it.
pub struct Worker {
    /// The time, as the model last read it.
    pub time: Time,
    /// How long each kind of wait may last.
    pub time_limits: TimeLimits,
    /// What wakes connections for which others leave something. Without it nothing is left for them by others.
    pub wakers: Option<Box<dyn Wakers>>,
    /// Buffers to lend.
    pub pool: Pool,
    /// Finished lines for the access log; the model writes them out and empties this.
    pub log: Vec<u8>,
    /// What was done so far.
    pub counters: Counters,
    /// The server is stopping: conversations end at their next opportunity, and idle ones at once.
    pub stopping: bool,
    /// Conversations end with their next answer: the model serves one connection at a time, or the server is about to
    /// stop. Those that have no end of their own go on.
    pub one_exchange: bool,
    /// Others wait for the connection's place: it shall not be held for longer than its answers take.
    pub crowded: bool,
    /// How much of [`WORK_PER_TURN`] is left. The model sets it at the beginning of each turn.
    pub work: usize,
    /// The steps that sessions took, if they are to be counted.
    pub transitions: Option<Transitions>,
    /// What is called for each step, if they are to be traced.
    pub trace: Option<&'static TraceHooks>,
}

impl Worker {
    /// A worker that starts at `time` with an empty pool, without limits and without wakers.
    pub fn new(time: Time) -> Worker {
        Worker {
            time,
            time_limits: TimeLimits::default(),
            wakers: None,
            pool: Pool::new(),
            log: Vec::new(),
            counters: Counters::default(),
            stopping: false,
            one_exchange: false,
            crowded: false,
            work: WORK_PER_TURN,
            transitions: None,
            trace: None,
        }
    }

    /// True if the answer that is given now is to be the connection's last.
    pub fn closes_after_response(&self) -> bool {
        self.stopping || self.one_exchange || self.crowded
    }

    /// How much time is left until a [deadline](super::Connection::deadline): zero if it has passed, `None` if there is none.
    pub fn left(&self, deadline: Option<Moment>) -> Option<Duration> {
        deadline.map(|end| end.since(self.time.moment()))
    }

    pub(super) fn answered(&self) {
        if let Some(trace) = self.trace {
            (trace.answered)();
        }
    }

    #[inline]
    pub(super) fn wants_transitions(&self) -> bool {
        self.transitions.is_some() || self.trace.is_some()
    }

    #[inline(never)]
    pub(super) fn transition(&mut self, from: &'static str, to: &'static str) {
        if let Some(transitions) = &mut self.transitions {
            transitions.count(from, to);
        }
        if let Some(trace) = self.trace {
            (trace.transition)(from, to);
        }
    }
}
