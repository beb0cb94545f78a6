//! Something did not come in time. On a busy machine that is no failure of a server: what could not
//! be measured is a gap.

use crate::Fault;
use std::fmt::{self, Display};
use std::io;

/// What did not come, as a sentence.
#[derive(Debug)]
pub struct Late(pub String);

impl Late {
    /// Whether a fault is of this kind, or a timeout of a socket.
    pub fn is_cause_of(fault: &Fault) -> bool {
        let is_timeout = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            )
        };
        fault.is::<Late>() || fault.downcast_ref().is_some_and(is_timeout)
    }
}

impl Display for Late {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Late {}
