//! Sessions of new connections, and the permits they hold.

use super::{Layer, Session};
use std::any::Any;

/// A session for a new connection.
pub struct NewSession {
    /// Its protocol state.
    pub session: Box<dyn Session>,
    /// Its permit, if the number of such connections is limited.
    pub permit: Option<Permit>,
    /// What stands between its socket and the session, if anything.
    pub layer: Option<Box<dyn Layer>>,
}

/// Counts a connection against a limit. The connection drops it when it closes, before its socket
/// closes.
pub struct Permit(#[allow(dead_code, reason = "it is only kept")] Box<dyn Any + Send>);

impl Permit {
    /// A permit that is released when `guard` is dropped.
    pub fn new(guard: impl Any + Send) -> Permit {
        Permit(Box::new(guard))
    }
}

impl From<Box<dyn Session>> for NewSession {
    fn from(session: Box<dyn Session>) -> NewSession {
        NewSession {
            session,
            permit: None,
            layer: None,
        }
    }
}
