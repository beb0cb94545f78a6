//! What a model and all sessions of one thread share.

use super::{Counters, Encryption, Moment, Pool, Time, Timeout, TraceHooks, Transitions};
use enum_map::EnumMap;
use std::io;
use std::task::Waker;
use std::time::Duration;

/// The most work that all sessions of a thread may do in one turn, however many they are. One unit
/// takes one or two microseconds, such as a look at a file: together about a millisecond.
pub const WORK_PER_TURN: usize = 512;

/// How long a connection must have been idle before it may be closed to make room. The client's
/// next request may be on its way earlier.
pub const MIN_IDLE_AGE: Duration = Duration::from_millis(100);

/// The longest time for each kind of wait; `None` is no limit.
pub type TimeLimits = EnumMap<Timeout, Option<Duration>>;

/// Makes wakers for connections.
pub trait Wakers: Send {
    /// Returns a waker that notifies the model about the connection with this key. Any thread may
    /// wake it, without waiting. The model then calls
    /// [`Connection::woken`](super::Connection::woken). A key may be woken after its connection has
    /// ended.
    ///
    /// # Errors
    /// If no waker can be made, for example because no descriptor is free. The connection is then
    /// closed.
    fn waker(&self, key: usize) -> io::Result<Waker>;
}

/// What a model and all sessions of one thread share.
pub struct Worker {
    /// The time, as the model last read it.
    pub time: Time,
    /// The longest time for each kind of wait.
    pub time_limits: TimeLimits,
    /// Makes the wakers of connections that get messages from others. Without it they are not
    /// woken.
    pub wakers: Option<Box<dyn Wakers>>,
    /// Buffers for input and output.
    pub pool: Pool,
    /// Complete lines for the access log. The model writes them out and empties this.
    pub log: Vec<u8>,
    /// What this thread has done so far.
    pub counters: Counters,
    /// The server is stopping: connections close at the next opportunity, and idle ones at once.
    pub stopping: bool,
    /// Connections close after their next response: the model serves one connection at a time, or
    /// the server is about to stop. Endless streams continue.
    pub one_exchange: bool,
    /// Clients wait for this connection's permit: close it after its response.
    pub crowded: bool,
    /// How much of [`WORK_PER_TURN`] is left. The model sets it at the beginning of each turn.
    pub work: usize,
    /// How the connection that acts is encrypted, if it is.
    pub encryption: Option<Box<Encryption>>,
    /// Why the connection that acts is being closed, if an operation on its socket failed and the
    /// model tells. A client does, before [`Connection::close`](super::Connection::close).
    pub failure: Option<io::Error>,
    /// The transitions of all sessions, if they are to be counted.
    pub transitions: Option<Transitions>,
    /// Functions to call for each transition, if sessions are traced.
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
            encryption: None,
            failure: None,
            transitions: None,
            trace: None,
        }
    }

    /// True if the connection must close after the response that is being made.
    pub fn closes_after_response(&self) -> bool {
        self.stopping || self.one_exchange || self.crowded
    }

    /// The time left until a [deadline](super::Connection::deadline): zero if it has passed, `None`
    /// if there is none.
    pub fn left(&self, deadline: Option<Moment>) -> Option<Duration> {
        deadline.map(|end| end.since(self.time.moment()))
    }

    /// Reports a request whose response begins, if sessions are traced. `line` is the method, a
    /// space and the target.
    #[inline]
    pub fn note_request<'a>(&self, line: impl FnOnce() -> &'a [u8], status: u16) {
        if let Some(trace) = self.trace {
            (trace.request)(line(), status);
        }
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
