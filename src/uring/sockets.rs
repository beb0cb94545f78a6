//! How operations name their sockets: by their descriptors, or by places in the ring's table.

use super::description::note_queued;
use super::operation::{Completion, file_update};
use super::registered::{EMPTY, REFUSED};
use super::ring::Ring;
use crate::recording::RingOperation;
use crate::sys::Errno;
use io_uring::types::Fd;
use io_uring::{opcode, squeue};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::Ordering::Relaxed;

/// How an operation names its socket.
#[derive(Clone, Copy)]
pub(super) struct Target {
    /// The descriptor, or the place in the table.
    pub number: Fd,
    /// The flag that tells which.
    pub flags: squeue::Flags,
}

impl Ring {
    /// How an operation names a socket. Registers the socket if it is not, and there is a place for
    /// it.
    pub(super) fn target(&mut self, fd: BorrowedFd<'_>, key: usize) -> io::Result<Target> {
        let number = fd.as_raw_fd();
        let by_descriptor = Target {
            number: Fd(number),
            flags: squeue::Flags::empty(),
        };
        let Some(entry) = self.registered.entry(key) else {
            return Ok(by_descriptor);
        };
        match entry.load(Relaxed) {
            REFUSED => return Ok(by_descriptor),
            EMPTY => {
                note_queued((RingOperation::Other, 0), "register", fd, String::new);
                entry.store(number, Relaxed);
                self.update_place(key)?;
            }
            known => debug_assert_eq!(known, number, "another socket has this key"),
        }
        Ok(Target {
            number: Fd(key as RawFd),
            flags: squeue::Flags::FIXED_FILE,
        })
    }

    /// Empties the place of a socket. Call this when no operation is under way for it: the kernel
    /// holds it open until then, although its descriptor is closed.
    ///
    /// # Errors
    /// Those of io_uring_enter(2), if the queue is full.
    pub fn unregister(&mut self, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        match self.registered.known(key) {
            Some(entry) if entry.load(Relaxed) != EMPTY => {
                note_queued((RingOperation::Other, 0), "unregister", fd, String::new);
                entry.store(EMPTY, Relaxed);
                self.update_place(key)
            }
            _ => Ok(()),
        }
    }

    /// Queues a copy of an entry to its place. It is done when it is handed over, before what is
    /// queued after it.
    fn update_place(&mut self, key: usize) -> io::Result<()> {
        let entry = self.registered.known(key).expect("a place").as_ptr();
        let request = opcode::FilesUpdate::new(entry, 1).offset(key as i32);
        let request = request.build().user_data(file_update(key));
        self.push(&[request.flags(squeue::Flags::SKIP_SUCCESS)])
    }

    /// An update has failed. The kernel empties a place before it looks at the new descriptor, so
    /// the place is empty, unless that was what failed.
    pub(super) fn update_failed(&mut self, key: usize) -> io::Result<()> {
        match self.registered.known(key) {
            Some(entry) if entry.load(Relaxed) != EMPTY => entry.store(REFUSED, Relaxed),
            _ => self.update_place(key)?,
        }
        Ok(())
    }

    /// Calls an operation cancelled that has found nothing in the place of its socket.
    pub(super) fn excuse_refused(&self, completion: &mut Completion) {
        let entry = self.registered.known(completion.key);
        if completion.result == Err(Errno::BADF)
            && entry.is_some_and(|entry| entry.load(Relaxed) == REFUSED)
        {
            completion.result = Err(Errno::CANCELED);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::operation::Operation;
    use super::super::restrictions::Uses;
    use super::super::tests::{complete, complete_now, pair};
    use super::*;
    use crate::poller::Poller;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::thread;

    const SIZE: usize = 1024;

    pub(in super::super) fn ring(places: usize) -> Ring {
        let uses = Uses::WATCH | Uses::TRANSFER | Uses::REGISTERED;
        Ring::with_buffers(8, (8, SIZE), uses, places, None).expect("a ring")
    }

    /// The result of a receive of one byte under a key.
    pub(in super::super) fn receive(
        ring: &mut Ring,
        fd: impl AsFd,
        key: usize,
    ) -> Result<u32, Errno> {
        ring.receive(fd.as_fd(), key, SIZE).expect("queued");
        let all = complete(ring, 1);
        assert_eq!((all.len(), all[0].key), (1, key), "{all:?}");
        all[0].buffer.into_iter().for_each(|one| ring.put_back(one));
        all[0].result
    }

    #[test]
    fn a_registered_socket_closes_when_its_place_is_emptied() {
        let mut ring = ring(4);
        if !ring.ring.params().is_feature_no_iowait() {
            return eprintln!("skipped: older kernels keep it open while another operation waits");
        }
        let ((ours, mut peer), (other, mut other_peer)) = (pair(), pair());
        peer.write_all(b"x").expect("sent");
        assert_eq!(receive(&mut ring, &ours, 2), Ok(1));
        // It goes on waiting while the place of another socket is emptied.
        ring.receive(other.as_fd(), 1, SIZE).expect("queued");
        ring.unregister(ours.as_fd(), 2).expect("queued");
        drop(ours);
        // The loop waits at once, and learns nothing before the peer has seen the end.
        let ended = thread::spawn(move || {
            assert_eq!(peer.read(&mut [0]).expect("the end"), 0);
            other_peer.write_all(b"x").expect("sent");
            other_peer
        });
        let all = complete(&mut ring, 1);
        assert_eq!((all[0].key, all[0].result), (1, Ok(1)));
        ended.join().expect("it ended");
    }

    #[test]
    fn a_place_serves_the_next_socket_with_its_key() {
        let mut ring = ring(4);
        for number in 0..3 {
            let (ours, mut peer) = pair();
            peer.write_all(b"x").expect("sent");
            assert_eq!(receive(&mut ring, &ours, 3), Ok(1), "socket {number}");
            // What empties the place is handed over with what fills it again.
            ring.unregister(ours.as_fd(), 3).expect("queued");
        }
    }

    #[test]
    fn a_socket_without_a_place_is_named_by_its_descriptor() {
        let mut ring = ring(1);
        let (ours, mut peer) = pair();
        peer.write_all(b"x").expect("sent");
        assert_eq!(receive(&mut ring, &ours, 7), Ok(1));
        ring.unregister(ours.as_fd(), 7).expect("nothing to do");
        drop(ours);
        assert_eq!(peer.read(&mut [0]).expect("the end"), 0);
    }

    #[test]
    fn an_operation_goes_to_the_registered_socket() {
        let mut ring = ring(4);
        let (ours, _peer) = pair();
        let target = ring.target(ours.as_fd(), 2).expect("queued");
        assert_eq!(target.number.0, 2);
        assert_eq!(target.flags, squeue::Flags::FIXED_FILE);
        ring.await_writable(ours.as_fd(), 2).expect("queued");
        let all = complete(&mut ring, 1);
        assert_eq!(all[0].operation, Operation::AwaitWritable);
        assert!(all[0].result.is_ok(), "{all:?}");
        assert!(complete_now(&mut ring).is_empty());
        assert_eq!(ring.take_traffic().requests, 2);
    }
}
