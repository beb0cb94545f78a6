//! The minimal loop of io_uring with one system call for each message.
#![allow(unsafe_code)]

use io_uring::squeue::{Entry, Flags};
use io_uring::{IoUring, opcode, types::Fd};
use nix::libc::MSG_WAITALL;
use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::null_mut;

/// The listener's key. A client's key is its descriptor.
const LISTENER: u64 = u64::MAX;

/// The key of a send, which has a result only if it fails. The receive behind it is then cancelled.
const FAILED_SEND: u64 = u64::MAX - 1;

/// A client. A receive is under way for it, or is linked to the send that is.
struct Client {
    stream: TcpStream,
    buffer: Box<[u8; 4096]>,
}

pub fn serve(listener: &TcpListener) -> io::Result<()> {
    let mut ring = IoUring::new(64)?;
    // Never freed: the kernel may use a buffer until the request with it has completed.
    let clients: &mut HashMap<u64, Client> = Box::leak(Box::default());
    queue(&mut ring, &[accept(listener)])?;
    loop {
        ring.submit_and_wait(1)?;
        let results: Vec<_> = ring.completion().collect();
        for result in results {
            match (result.user_data(), result.result()) {
                (FAILED_SEND, _) => {}
                (LISTENER, fd) => {
                    queue(&mut ring, &[accept(listener)])?;
                    if fd >= 0 {
                        let client = clients.entry(fd as u64).or_insert(Client::new(fd));
                        queue(&mut ring, &[client.receive()])?;
                    }
                }
                (key, ..=0) => drop(clients.remove(&key)),
                (key, count) => {
                    let client = clients.get_mut(&key).expect("kept until its last result");
                    queue(&mut ring, &client.send_then_receive(count as u32))?;
                }
            }
        }
    }
}

impl Client {
    fn new(fd: i32) -> Client {
        Client {
            // SAFETY: the kernel has just made this descriptor, and nobody else has it.
            stream: unsafe { TcpStream::from_raw_fd(fd) },
            buffer: Box::new([0; 4096]),
        }
    }

    fn receive(&mut self) -> Entry {
        let fd = self.stream.as_raw_fd();
        let receive = opcode::Recv::new(Fd(fd), self.buffer.as_mut_ptr(), 4096);
        receive.build().user_data(fd as u64)
    }

    /// The receive begins when all was sent. So the two can share the buffer.
    fn send_then_receive(&mut self, count: u32) -> [Entry; 2] {
        let fd = Fd(self.stream.as_raw_fd());
        let send = opcode::Send::new(fd, self.buffer.as_ptr(), count)
            .flags(MSG_WAITALL) // A shorter send is a failed one: the link breaks.
            .build()
            .flags(Flags::IO_LINK | Flags::SKIP_SUCCESS)
            .user_data(FAILED_SEND);
        [send, self.receive()]
    }
}

fn accept(listener: &TcpListener) -> Entry {
    let accept = opcode::Accept::new(Fd(listener.as_raw_fd()), null_mut(), null_mut());
    accept.build().user_data(LISTENER)
}

/// Puts requests into the queue, all or none. If they do not fit, hands over what is in it.
fn queue(ring: &mut IoUring, requests: &[Entry]) -> io::Result<()> {
    // SAFETY: buffers stay in place until their requests have completed.
    while unsafe { ring.submission().push_multiple(requests) }.is_err() {
        ring.submit()?;
    }
    Ok(())
}
