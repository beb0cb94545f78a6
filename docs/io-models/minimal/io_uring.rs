//! One thread waits in io_uring_enter(2). The kernel accepts, receives and sends by itself.
#![allow(unsafe_code)]

use io_uring::{IoUring, opcode, squeue::Entry, types::Fd};
use nix::libc::MSG_WAITALL;
use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::null_mut;

/// The listener's key. A client's key is its descriptor.
const LISTENER: u64 = u64::MAX;

/// A client. At most one request is under way for it.
struct Client {
    stream: TcpStream,
    buffer: Box<[u8; 4096]>,
    /// True while what was received is being sent back.
    sends: bool,
}

pub fn serve(listener: &TcpListener) -> io::Result<()> {
    let mut ring = IoUring::new(64)?;
    // Never freed: the kernel may use a buffer until the request with it has completed.
    let clients: &mut HashMap<u64, Client> = Box::leak(Box::default());
    queue(&mut ring, &accept(listener))?;
    loop {
        ring.submit_and_wait(1)?; // Hands over all requests, and waits for a result.
        let results: Vec<_> = ring.completion().collect();
        for result in results {
            let (mut key, count) = (result.user_data(), result.result());
            if key == LISTENER {
                queue(&mut ring, &accept(listener))?;
                if count < 0 {
                    continue; // The client has left already.
                }
                key = count as u64; // The result of an accept is a descriptor.
                clients.insert(key, Client::new(count));
            } else if count <= 0 {
                clients.remove(&key); // Nothing is under way for it, so its buffer is free.
                continue;
            }
            let client = clients.get_mut(&key).expect("kept until its last result");
            let request = client.next(count as u32).user_data(key);
            queue(&mut ring, &request)?;
        }
    }
}

impl Client {
    fn new(fd: i32) -> Client {
        Client {
            // SAFETY: the kernel has just made this descriptor, and nobody else has it.
            stream: unsafe { TcpStream::from_raw_fd(fd) },
            buffer: Box::new([0; 4096]),
            sends: true,
        }
    }

    /// The next request: to receive when all was sent, to send when `count` bytes have come.
    fn next(&mut self, count: u32) -> Entry {
        let (fd, buffer) = (Fd(self.stream.as_raw_fd()), self.buffer.as_mut_ptr());
        self.sends = !self.sends;
        match self.sends {
            true => opcode::Send::new(fd, buffer, count)
                .flags(MSG_WAITALL) // Completes when all of it is sent.
                .build(),
            false => opcode::Recv::new(fd, buffer, 4096).build(),
        }
    }
}

fn accept(listener: &TcpListener) -> Entry {
    let accept = opcode::Accept::new(Fd(listener.as_raw_fd()), null_mut(), null_mut());
    accept.build().user_data(LISTENER)
}

/// Puts a request into the queue. If it is full, hands over what is in it.
fn queue(ring: &mut IoUring, request: &Entry) -> io::Result<()> {
    // SAFETY: buffers stay in place until their requests have completed.
    while unsafe { ring.submission().push(request) }.is_err() {
        ring.submit()?;
    }
    Ok(())
}
