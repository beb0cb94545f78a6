//! The ring's table of files. An operation that names its socket by a place in it saves the kernel
//! the look-up of a descriptor.
//!
//! A socket is registered in the place of its key, before its first operation, and keeps its
//! descriptor. The kernel holds a registered socket open until its place is given another one.

use crate::sys::Resource;
use crate::sys::untraced::getrlimit;
use io_uring::Submitter;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::AtomicI32;

/// The most places of a table (IORING_MAX_FIXED_FILES).
const MAX_PLACES: usize = 1 << 20;

/// An empty place.
pub(super) const EMPTY: RawFd = -1;

/// IORING_REGISTER_FILES_SKIP: the place stays as it is. Its socket could not be registered, and
/// is named by its descriptor.
pub(super) const REFUSED: RawFd = -2;

/// The descriptors that are registered, by key.
///
/// The kernel copies an entry when it takes an update of that place. So an update that waits in the
/// queue does what its place needs by then, and entries never move.
#[derive(Default)]
pub(super) struct Registered(Vec<AtomicI32>);

impl Registered {
    /// Gives a ring a table of `places` places, or fewer if the limit of open files is lower.
    ///
    /// # Errors
    /// Those of io_uring_register(2).
    pub fn register(submitter: &Submitter<'_>, places: usize) -> io::Result<Registered> {
        // The kernel refuses a table that is larger.
        let limit = getrlimit(Resource::Nofile).current;
        let limit = limit.map_or(MAX_PLACES, |limit| limit as usize);
        let places = places.min(limit).min(MAX_PLACES);
        submitter.register_files_sparse(places as u32)?;
        Ok(Registered(Vec::with_capacity(places)))
    }

    /// The entry of a key. `None` if there is no place for it.
    pub fn entry(&mut self, key: usize) -> Option<&AtomicI32> {
        if key >= self.0.capacity() {
            return None;
        }
        if key >= self.0.len() {
            self.0.resize_with(key + 1, || AtomicI32::new(EMPTY));
        }
        self.0.get(key)
    }

    /// The entry of a key that has had one.
    pub fn known(&self, key: usize) -> Option<&AtomicI32> {
        self.0.get(key)
    }
}
