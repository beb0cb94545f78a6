//! Operations that go on until they are cancelled.

use super::description::note_queued;
use super::operation::Operation;
use super::ring::Ring;
use crate::recording::RingOperation;
use crate::sys::SocketFlags;
use io_uring::types::Fd;
use io_uring::{opcode, squeue};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// IORING_RECV_MULTISHOT: go on after each result.
const MULTISHOT: u16 = 2;

impl Ring {
    /// Queues an [`Accept`](Operation::Accept) that goes on until it fails or is cancelled. Accepted
    /// sockets don't block.
    ///
    /// # Errors
    /// Those of io_uring_enter(2), if the queue is full.
    pub fn accept_repeatedly(&mut self, listener: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        note_queued((RingOperation::Accept, 0), "accept", listener, || {
            ", repeatedly".into()
        });
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let request = opcode::AcceptMulti::new(Fd(listener.as_raw_fd()))
            .flags(flags.bits() as i32)
            .build();
        self.push(&[request.user_data(Operation::Accept.user_data(key))])
    }

    /// How many results one wait returns at most.
    pub fn max_results(&mut self) -> usize {
        self.ring.completion().capacity()
    }

    /// Queues a [`Receive`](Operation::Receive) that goes on: it gives a result each time when data
    /// has arrived, with at most one buffer of it. It ends when it fails, when no buffer is free
    /// (ENOBUFS), at the end of the input, and when it is cancelled.
    ///
    /// # Errors
    /// Those of io_uring_enter(2), if the queue is full.
    pub fn receive_repeatedly(&mut self, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        note_queued((RingOperation::Receive, 0), "receive", fd, || {
            ", repeatedly".into()
        });
        let target = self.target(fd, key)?;
        let buffers = self.buffers.as_ref().expect("a ring with buffers");
        let request = opcode::Recv::new(target.number, std::ptr::null_mut(), 0)
            .ioprio(MULTISHOT)
            .buf_group(buffers.group())
            .build()
            .flags(squeue::Flags::BUFFER_SELECT | target.flags);
        self.push(&[request.user_data(Operation::Receive.user_data(key))])
    }
}

#[cfg(test)]
mod tests {
    use super::super::restrictions::Uses;
    use super::super::tests::{complete, complete_now};
    use super::*;
    use crate::sys::Errno;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    /// How many buffers a ring has, and the size of each.
    const COUNT: u16 = 4;
    const SIZE: usize = 16;

    fn ring() -> Ring {
        let uses = Uses::WATCH | Uses::TRANSFER;
        Ring::with_buffers(8, (COUNT, SIZE), uses, 0, None).expect("a ring")
    }

    /// The sides of a TCP connection: ours and the peer's.
    fn tcp_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let peer = TcpStream::connect(listener.local_addr().expect("bound")).expect("accepted");
        let (ours, _) = listener.accept().expect("it is connected");
        (ours, peer)
    }

    #[test]
    fn a_receive_goes_on_until_the_end_of_input() {
        let mut ring = ring();
        let (ours, mut peer) = tcp_pair();
        ring.receive_repeatedly(ours.as_fd(), 7).expect("queued");
        for _ in 0..3 * COUNT {
            assert!(complete_now(&mut ring).is_empty());
            peer.write_all(b"text").expect("sent");
            let all = complete(&mut ring, 1);
            assert_eq!((all.len(), all[0].result, all[0].more), (1, Ok(4), true));
            let buffer = all[0].buffer.expect("bytes come in a buffer");
            assert_eq!(ring.received(buffer, 4), b"text");
            ring.put_back(buffer);
        }
        drop(peer);
        let all = complete(&mut ring, 1);
        assert_eq!((all.len(), all[0].result, all[0].more), (1, Ok(0), false));
    }

    #[test]
    fn a_receive_ends_when_the_buffers_run_out() {
        let mut ring = ring();
        let (ours, mut peer) = tcp_pair();
        peer.write_all(&[1; 10 * SIZE]).expect("sent");
        ring.receive_repeatedly(ours.as_fd(), 0).expect("queued");
        let all = complete(&mut ring, usize::from(COUNT) + 1);
        let (last, others) = all.split_last().expect("some");
        assert!(
            others
                .iter()
                .all(|one| one.result == Ok(SIZE as u32) && one.more)
        );
        assert_eq!((last.result, last.more), (Err(Errno::NOBUFS), false));
    }

    #[test]
    fn a_cancelled_receive_gives_a_last_result() {
        let mut ring = ring();
        let (ours, mut peer) = tcp_pair();
        peer.write_all(b"text").expect("sent");
        ring.receive_repeatedly(ours.as_fd(), 3).expect("queued");
        assert_eq!(complete(&mut ring, 1).len(), 1);
        ring.cancel_operation(Operation::Receive, ours.as_fd(), 3)
            .expect("queued");
        let all = complete(&mut ring, 1);
        assert_eq!((all.len(), all[0].more), (1, false), "{all:?}");
        assert_eq!(all[0].result, Err(Errno::CANCELED));
    }
}
