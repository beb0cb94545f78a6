//! A session that is about to begin.

use super::Session;
use std::any::Any;

/// A session that is about to begin, and what it holds.
pub struct Start {
    /// The session.
    pub session: Box<dyn Session>,
    /// A place that is counted, if it takes one.
    pub permit: Option<Permit>,
}

/// A place that is counted: whatever is in there is dropped when the connection closes, before its socket does.
pub struct Permit(#[allow(dead_code, reason = "it is only kept")] Box<dyn Any + Send>);

impl Permit {
    /// A permit that is released by dropping `place`.
    pub fn new(place: impl Any + Send) -> Permit {
        Permit(Box::new(place))
    }
}

impl From<Box<dyn Session>> for Start {
    fn from(session: Box<dyn Session>) -> Start {
        Start {
            session,
            permit: None,
        }
    }
}
