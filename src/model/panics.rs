//! Panics of protocols: each ends only its own connection.

use crate::observe::throttled;
use crate::session::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `part`, which runs a session. Returns `None` if it panics. What it had borrowed from a
/// pool and not returned is freed.
pub(super) fn catch_panic<T>(part: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(part)).ok()
}

/// The same for code that creates a session. A panic is logged.
pub(super) fn catch_start_panic<T>(part: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_panic(part).unwrap_or_else(|| {
        throttled!(Error, "a session panicked before it began");
        None
    })
}

/// Logs that a connection's session has panicked, with its state, and aborts the connection.
pub(super) fn abort_after_panic(connection: &mut Connection) {
    let state = catch_panic(|| connection.state()).unwrap_or("unknown state");
    throttled!(
        Error,
        "a session panicked: {state}; its connection is closed, and all others continue"
    );
    connection.abort();
}
