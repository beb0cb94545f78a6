//! A panic in a protocol ends its connection, and concerns no other one.

use crate::observe::throttled;
use crate::session::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a part of a conversation. A panic in there is a fault of its protocol: it ends this connection, and concerns no
/// other one. `None` after that; what the part had borrowed and did not give back is freed and not missed.
pub(super) fn catch_panic<T>(part: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(part)).ok()
}

/// Runs what comes before a conversation. A panic in there ends it before it has begun.
pub(super) fn catch_start_panic<T>(part: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_panic(part).unwrap_or_else(|| {
        throttled!(Error, "a session panicked before it had begun");
        None
    })
}

/// Says that a connection's protocol has panicked, and where it was. Nothing can be done for the peer any more.
pub(super) fn abort_after_panic(connection: &mut Connection) {
    let state = catch_panic(|| connection.state()).unwrap_or("in no state at all");
    throttled!(
        Error,
        "a session panicked: {state}; its connection is closed, and all others go on"
    );
    connection.abort();
}
