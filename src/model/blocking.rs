//! One connection at a time, blocking calls: the textbook's first server.
//!
//! It is the pool with a single thread for each listener. All others wait meanwhile, so a conversation ends with its
//! first answer; and a peer that connects and says nothing, as browsers do to save time later, freezes the server until
//! its deadline. That freeze is what the other models exist for.

use super::{Serving, pool};
use crate::session::Counters;
use std::io;

/// Serves until a signal ends it.
///
/// # Errors
/// If the thread cannot be started.
pub fn run(serving: Serving) -> io::Result<Counters> {
    pool::serve(serving, 1, true)
}
