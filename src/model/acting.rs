//! Records when connections stop acting and when they go on: the same events under every model.

use crate::recording::{self, Event, Kind, NEVER, Reason};
use crate::session::{Action, Connection, Timeout, Worker};

/// Why a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// What it waited for has come, or may have.
    Ready,
    /// It was woken.
    Woken,
    /// Its deadline has passed.
    Expired,
}

/// For what a connection waits that can do nothing now.
pub fn awaited(connection: &Connection) -> Reason {
    match connection.next() {
        Action::Send => Reason::Send,
        Action::Load => Reason::Load,
        Action::Wait if connection.waiting().0 == Timeout::Pause => Reason::Others,
        Action::Wait => Reason::Job,
        _ => Reason::Receive,
    }
}

/// Records that a connection stops, with its deadline and with what its buffers hold.
pub fn record_stop(fd: i32, reason: Reason, connection: &Connection, worker: &Worker) {
    let left = worker.left(connection.deadline(worker));
    let now = recording::now();
    let deadline = left.map(|left| now.saturating_add(left.as_nanos() as u64));
    recording::push_at(Event {
        at: now,
        code: reason as u8,
        detail: connection.waiting().0 as u16,
        extra: deadline.unwrap_or(NEVER),
        ..Event::new(Kind::Stop, fd)
    });
    let (output, input) = connection.buffered();
    if output > 0 || input > 0 {
        recording::push(Event {
            value: output as i64,
            extra: input as u64,
            ..Event::new(Kind::Buffers, fd)
        });
    }
}

/// Records why a connection goes on. Its turn comes next.
pub fn record_cause(fd: i32, cause: Cause, connection: &Connection) {
    match cause {
        Cause::Ready => {}
        Cause::Woken => recording::push(Event::new(Kind::Woken, fd)),
        Cause::Expired => recording::push(Event {
            code: connection.waiting().0 as u8,
            ..Event::new(Kind::Expired, fd)
        }),
    }
}

/// Records that a connection goes on, on this thread.
pub fn record_turn(fd: i32, cause: Cause, connection: &Connection) {
    recording::set_subject(fd);
    record_cause(fd, cause, connection);
    recording::push(Event::new(Kind::Turn, fd));
}
