//! A session that is about to begin.

use super::Session;
use std::any::Any;

/// A session that is about to begin, and what it holds.
pub struct NewSession {
    /// The session.
    pub session: Box<dyn Session>,
    /// The permit that it holds, if its number is limited.
    pub permit: Option<Permit>,
}

/// Counts a connection against a limit. It is dropped when the connection closes, before its socket does.
pub struct Permit(#[allow(dead_code, reason = "it is only kept")] Box<dyn Any + Send>);

impl Permit {
    /// A permit that is released by dropping `place`.
    pub fn new(place: impl Any + Send) -> Permit {
        Permit(Box::new(place))
    }
}

impl From<Box<dyn Session>> for NewSession {
    fn from(session: Box<dyn Session>) -> NewSession {
        NewSession {
            session,
            permit: None,
        }
    }
}
