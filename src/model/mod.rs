//! Who waits, and how.
//!
//! A model runs connections by doing what [`Connection::next`](crate::session::Connection::next) says. It knows neither
//! the protocols nor their files. Adding a model is one file here and one row in [`MODELS`].

mod clock;
mod event_loop;
mod signals;
mod timeouts;

pub use signals::Signals;

use crate::config::Timeouts;
use crate::net::{self, Listener};
use crate::observe::LogFile;
use crate::poller;
use crate::service::Service;
use crate::session::{Counters, Piece};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

/// A model that can be chosen with `--model`.
pub struct ModelRow {
    /// What it is called.
    pub name: &'static str,
    /// How it waits, in a sentence for --help.
    pub about: &'static str,
    /// Serves until a signal ends it; says what was done.
    pub run: fn(Serving) -> io::Result<Counters>,
}

/// All models.
pub const MODELS: &[ModelRow] = &[ModelRow {
    name: "epoll",
    about: "One thread, epoll(7) through mio: told once per change, at no cost for idle connections",
    run: event_loop::run::<poller::Epoll>,
}];

/// The model that is used unless another is chosen.
pub const DEFAULT: &str = "epoll";

/// The row of that name.
pub fn find(name: &str) -> Option<&'static ModelRow> {
    MODELS.iter().find(|row| row.name == name)
}

/// All that a model is given.
pub struct Serving {
    /// Where to accept connections, and what to do with them.
    pub listening: Vec<Listening>,
    /// How many connections there may be at once.
    pub max_connections: usize,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// What ends it all.
    pub signals: Signals,
    /// Where the access log goes.
    pub log: LogFile,
}

/// A listener and the service behind it.
pub struct Listening {
    /// Where to accept.
    pub listener: Listener,
    /// What makes the sessions.
    pub service: Arc<dyn Service>,
}

/// Sends as much of `piece` as the kernel takes, at most `share` bytes of a file, and says how much that was. 0 means
/// that a file has become shorter than was promised.
fn send(socket: impl AsFd, piece: &Piece<'_>, share: usize) -> Result<usize, Errno> {
    match piece {
        Piece::Bytes { bytes, then, more } => net::send(socket, bytes, then, *more),
        Piece::File {
            file,
            offset,
            count,
        } => {
            let count = usize::try_from(*count).unwrap_or(usize::MAX).min(share);
            net::send_file(socket, file, *offset, count)
        }
    }
}
