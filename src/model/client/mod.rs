//! The client's side: makes connections, and runs the same sessions as a server's models.
//!
//! [`ClientLoop`] runs many connections on one thread, over any poller. [`ClientThread`] runs one
//! after the other with blocking calls. A session cannot tell them apart, nor a client from a
//! server.
//!
//! A connection is opened when it is made, as a server's is when it is accepted: neither is an
//! [`Action`](crate::session::Action). One that cannot be made is opened and closed at once, with
//! the reason in [`Worker::failure`]. So every session learns how it ends, in one place.

mod connection;
mod event_loop;
mod thread;

pub use event_loop::ClientLoop;
pub use thread::ClientThread;

use super::clock::Clock;
use super::{catch_panic, catch_start_panic};
use crate::session::{Connection, NewSession, TimeLimits, Timeout, Wakers, Worker};
use std::io;

/// Creates the worker of a client's sessions, and the clock that sets its time.
fn worker(limits: &TimeLimits, wakers: impl Wakers + 'static) -> (Clock, Worker) {
    let (clock, time) = Clock::start();
    let worker = Worker {
        time_limits: *limits,
        wakers: Some(Box::new(wakers)),
        ..Worker::new(time)
    };
    (clock, worker)
}

/// Opens a connection that has been made.
fn open(start: NewSession, key: usize, worker: &mut Worker) -> Option<Connection> {
    catch_start_panic(|| Some(Connection::open(start, key, worker)))
}

/// Tells a session that its connection could not be made.
fn refuse(start: NewSession, key: usize, error: io::Error, worker: &mut Worker) {
    if let Some(mut connection) = open(start, key, worker) {
        connection.abort();
        close(connection, Some(error), worker);
    }
}

/// Ends a connection. `failure` is what went wrong, if anything did.
fn close(mut connection: Connection, failure: Option<io::Error>, worker: &mut Worker) {
    worker.failure = failure;
    catch_panic(|| connection.close(worker));
    worker.failure = None;
    connection.release(worker);
}

/// Reports to a connection that its deadline has passed. Returns the error to tell its session,
/// unless it may go on.
fn expire(connection: &mut Connection, worker: &mut Worker) -> Option<io::Error> {
    let (kind, _) = connection.waiting();
    connection.expired(worker);
    let text = match kind {
        Timeout::Pause => return None,
        Timeout::Send => "the peer takes nothing",
        _ => "the peer sends nothing, or too slowly",
    };
    Some(io::Error::new(io::ErrorKind::TimedOut, text))
}

/// The error of a connection that was not made in time.
fn not_in_time() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}
