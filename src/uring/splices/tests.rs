//! Tests of operations on files and pipes, and of sends that need not copy, against the kernel.

#![allow(unsafe_code)]

use super::super::operation::{Completion, SendKind};
use super::super::restrictions::Uses;
use super::super::tests::{complete, complete_now, pair};
use super::*;
use crate::sys::{self, Errno};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;

const SIZE: usize = 1024;

/// The length of the file.
const LENGTH: usize = 300_000;

fn ring(use_for: Uses) -> Ring {
    let uses = Uses::WATCH | Uses::TRANSFER | use_for;
    Ring::with_buffers(8, (8, SIZE), uses, 0, None).expect("a ring")
}

fn file() -> (File, Vec<u8>) {
    let bytes: Vec<u8> = (0..LENGTH).map(|n| (n / 7) as u8).collect();
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&bytes).expect("written");
    (file, bytes)
}

fn pipe() -> Pipe {
    let (output, input, size) = sys::pipe(64 * 1024).expect("a pipe");
    Pipe {
        input,
        output,
        size,
    }
}

/// The only completion.
fn only(ring: &mut Ring) -> Completion {
    let mut all = complete(ring, 1);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn a_read_brings_the_bytes_at_its_offset() {
    let (mut ring, (file, bytes)) = (ring(Uses::READ), file());
    let mut into = [0; 1000];
    for (offset, count) in [(0, 1000), (299_500, 500), (300_000, 0)] {
        let to = NonNull::from(&mut into).cast();
        // SAFETY: the file and the memory stay until the read has completed.
        unsafe { ring.read(file.as_fd(), 3, to, 1000, offset as u64) }.expect("queued");
        let read = only(&mut ring);
        assert_eq!((read.key, read.operation), (3, Operation::Read));
        assert_eq!(read.result, Ok(count));
        let count = count as usize;
        assert_eq!(into[..count], bytes[offset..offset + count]);
    }
}

#[test]
fn a_zero_copy_send_gives_its_count_and_then_a_notification() {
    let mut ring = ring(Uses::ZERO_COPY);
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let mut peer = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (ours, _) = listener.accept().expect("accepted");
    let text = [7; 5000];
    for then in [&text[..0], &text[..]] {
        let length = text.len() + then.len();
        // SAFETY: the text stays to the end.
        unsafe { ring.send(ours.as_fd(), 1, &text, then, SendKind::ZeroCopy) }.expect("queued");
        let mut all = complete(&mut ring, 1);
        let mut got = vec![0; length];
        peer.read_exact(&mut got).expect("it was sent");
        assert!(got.iter().all(|byte| *byte == 7));
        if all.len() == 1 {
            all.extend(complete(&mut ring, 1));
        }
        assert_eq!((all[0].result, all[0].more), (Ok(length as u32), true));
        assert_eq!(all[0].copied, None);
        assert!(all[1].copied.is_some() && !all[1].more, "{all:?}");
    }
}

#[test]
fn a_unix_socket_refuses_zero_copy_sends() {
    let (mut ring, (ours, _peer)) = (ring(Uses::ZERO_COPY), pair());
    // SAFETY: the text is static.
    unsafe { ring.send(ours.as_fd(), 1, b"text", b"", SendKind::ZeroCopy) }.expect("queued");
    assert_eq!(complete(&mut ring, 1)[0].result, Err(Errno::OPNOTSUPP));
}

/// Queues a fill and a drain. Returns the only result.
fn splice(ring: &mut Ring, file: &File, offset: u64, pipe: &Pipe, ours: &UnixStream) -> Completion {
    let socket = ours.as_fd();
    ring.fill_then_drain((file.as_fd(), offset), pipe, socket, 2, pipe.size)
        .expect("queued");
    only(ring)
}

#[test]
fn a_whole_fill_is_drained_and_only_the_drain_completes() {
    let (mut ring, (file, bytes), pipe) = (ring(Uses::SPLICE), file(), pipe());
    let (ours, mut peer) = pair();
    let drained = splice(&mut ring, &file, 4096, &pipe, &ours);
    assert_eq!(drained.operation, Operation::Drain);
    assert_eq!(drained.result, Ok(pipe.size as u32));
    let mut got = vec![0; pipe.size];
    peer.read_exact(&mut got).expect("it was sent");
    assert!(got == bytes[4096..4096 + pipe.size]);
    assert!(complete_now(&mut ring).is_empty());
}

#[test]
fn a_short_fill_completes_and_is_not_drained() {
    let (mut ring, (file, bytes), pipe) = (ring(Uses::SPLICE), file(), pipe());
    let (ours, mut peer) = pair();
    for (offset, left) in [(LENGTH, 0), (LENGTH - 1000, 1000)] {
        let filled = splice(&mut ring, &file, offset as u64, &pipe, &ours);
        assert_eq!(filled.operation, Operation::Fill);
        assert_eq!(filled.result, Ok(left));
    }
    ring.drain(&pipe, ours.as_fd(), 2, 1000).expect("queued");
    let drained = only(&mut ring);
    assert_eq!(
        (drained.operation, drained.result),
        (Operation::Drain, Ok(1000))
    );
    let mut got = vec![0; 1000];
    peer.read_exact(&mut got).expect("it was sent");
    assert!(got == bytes[LENGTH - 1000..]);
}

#[test]
fn a_full_socket_or_an_empty_pipe_keeps_no_drain_waiting() {
    let (mut ring, (file, _), pipe) = (ring(Uses::SPLICE), file(), pipe());
    let (mut ours, _peer) = pair();
    ring.drain(&pipe, ours.as_fd(), 2, 1000).expect("queued");
    assert_eq!(only(&mut ring).result, Err(Errno::AGAIN));
    while ours.write(&[0; 65536]).is_ok() {}
    let drained = splice(&mut ring, &file, 0, &pipe, &ours);
    assert_eq!(drained.operation, Operation::Drain);
    assert_eq!(drained.result, Err(Errno::AGAIN));
}
