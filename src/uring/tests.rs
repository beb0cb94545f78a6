//! Tests of rings against the kernel.

#![allow(unsafe_code)]

use super::restrictions::Uses;
use super::{Completion, Operation, Ring, SendKind, sockets};
use crate::poller::{Poller, ReadySet};
use crate::sys::Errno;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many buffers a ring has, and the size of each.
const COUNT: u16 = 64;
const SIZE: usize = 1024;

/// The sides of a connection: ours and the peer's.
pub(super) fn pair() -> (UnixStream, UnixStream) {
    let (ours, peer) = UnixStream::pair().expect("a pair");
    ours.set_nonblocking(true).expect("a socket");
    (ours, peer)
}

fn pairs(count: usize) -> Vec<(UnixStream, UnixStream)> {
    (0..count).map(|_| pair()).collect()
}

fn full_pair() -> (UnixStream, UnixStream) {
    let (mut ours, peer) = pair();
    let full = loop {
        if let Err(error) = ours.write(&[0; 65536]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    (ours, peer)
}

fn ring(capacity: usize) -> Ring {
    let uses = Uses::WATCH | Uses::TRANSFER;
    Ring::with_buffers(capacity, (COUNT, SIZE), uses, 0, None).expect("a ring")
}

/// Waits for `count` completions, and takes what else has come.
pub(super) fn complete(ring: &mut Ring, count: usize) -> Vec<Completion> {
    let (mut all, mut found) = (Vec::new(), Vec::new());
    let end = Instant::now() + PATIENCE;
    while all.len() < count {
        assert!(Instant::now() < end, "{count} are expected: {all:?}");
        ring.wait(Some(PATIENCE), &mut found).expect("a wait");
        all.extend(std::iter::from_fn(|| ring.next_completion()));
    }
    all.extend(complete_now(ring));
    assert!(found.is_empty(), "nothing is watched");
    all
}

/// What is complete without waiting.
pub(super) fn complete_now(ring: &mut Ring) -> Vec<Completion> {
    let mut found = Vec::new();
    ring.wait(Some(Duration::ZERO), &mut found).expect("a look");
    std::iter::from_fn(|| ring.next_completion()).collect()
}

/// Watched keys that are found ready, in order, once `count` were.
fn find(ring: &mut Ring, count: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let end = Instant::now() + PATIENCE;
    while found.len() < count {
        assert!(Instant::now() < end, "{count} are expected: {found:?}");
        ring.wait(Some(PATIENCE), &mut found).expect("a wait");
    }
    let mut keys: Vec<_> = found.into_iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys
}

fn receive(ring: &mut Ring, pairs: &[(UnixStream, UnixStream)]) {
    for (key, (ours, _)) in pairs.iter().enumerate() {
        ring.receive(ours.as_fd(), key, SIZE).expect("queued");
    }
}

/// The number of bytes of each key's receive, which must have succeeded.
fn received(ring: &mut Ring, mut all: Vec<Completion>) -> Vec<usize> {
    all.sort_unstable_by_key(|one| one.key);
    let lengths = all.into_iter().enumerate().map(|(key, one)| {
        assert_eq!((one.key, one.operation), (key, Operation::Receive));
        let length = one.result.expect("bytes") as usize;
        let buffer = one.buffer.expect("bytes come in a buffer");
        assert!(
            ring.received(buffer, length)
                .iter()
                .all(|byte| usize::from(*byte) == key)
        );
        ring.put_back(buffer);
        length
    });
    lengths.collect()
}

#[test]
fn a_late_event_of_a_cancelled_watch_is_ignored() {
    let mut ring = Ring::with_capacity(8).expect("a ring");
    let ((old, mut old_peer), (new, mut new_peer)) = (pair(), pair());
    let none = ReadySet::NONE;
    ring.change(old.as_fd(), 1, none, ReadySet::READABLE)
        .expect("queued");
    old_peer.write_all(b"x").expect("sent");
    // The event is here, and nobody has looked at it.
    ring.enter(None).expect("a wait");
    ring.change(old.as_fd(), 1, ReadySet::READABLE, none)
        .expect("queued");
    ring.change(new.as_fd(), 1, none, ReadySet::READABLE)
        .expect("queued");
    let mut found = Vec::new();
    for _ in 0..3 {
        ring.wait(Some(Duration::ZERO), &mut found).expect("a look");
    }
    old_peer.write_all(b"x").expect("sent");
    ring.wait(Some(Duration::ZERO), &mut found).expect("a look");
    assert!(found.is_empty(), "{found:?}");
    new_peer.write_all(b"x").expect("sent");
    assert_eq!(find(&mut ring, 1), [1]);
}

#[test]
fn a_watch_goes_on_after_more_events_than_the_queue_holds() {
    const WATCHES: usize = 40;
    let mut ring = Ring::with_capacity(2).expect("a ring");
    let mut pairs = pairs(WATCHES);
    for (key, (ours, _)) in pairs.iter().enumerate() {
        ring.change(ours.as_fd(), key, ReadySet::NONE, ReadySet::READABLE)
            .expect("queued");
    }
    for _ in 0..3 {
        for (_, peer) in &mut pairs {
            peer.write_all(b"x").expect("sent");
        }
        let mut found = find(&mut ring, WATCHES);
        found.dedup();
        assert!(found.into_iter().eq(0..WATCHES));
        for (ours, _) in &mut pairs {
            ours.read_exact(&mut [0]).expect("received");
        }
        // An event may be reported again if its watch was renewed.
        ring.wait(Some(Duration::ZERO), &mut Vec::new())
            .expect("a look");
    }
}

#[test]
fn no_completion_is_lost_if_more_come_than_the_queue_holds() {
    let mut ring = ring(2);
    let mut pairs = pairs(usize::from(COUNT));
    receive(&mut ring, &pairs);
    assert!(complete_now(&mut ring).is_empty());
    for (key, (_, peer)) in pairs.iter_mut().enumerate() {
        peer.write_all(&vec![key as u8; key + 1]).expect("sent");
    }
    let all = complete(&mut ring, pairs.len());
    assert!(received(&mut ring, all).into_iter().eq(1..=pairs.len()));
}

#[test]
fn a_full_queue_is_handed_over_early_and_nothing_is_lost() {
    let mut ring = ring(2);
    let mut pairs = pairs(usize::from(COUNT));
    let texts: Vec<_> = (0..pairs.len())
        .map(|key| vec![key as u8; key + 1])
        .collect();
    for (key, ((ours, _), text)) in pairs.iter().zip(&texts).enumerate() {
        // SAFETY: the texts stay until the end.
        unsafe { ring.send_quietly(ours.as_fd(), key, &text[..1], &text[1..], SendKind::Plain) }
            .expect("queued");
        ring.receive(ours.as_fd(), key, SIZE).expect("queued");
    }
    let sent = complete(&mut ring, pairs.len());
    assert_eq!(sent.len(), pairs.len(), "{sent:?}");
    for one in sent {
        assert_eq!(one.operation, Operation::Send);
        assert_eq!(one.result, Ok(one.key as u32 + 1));
    }
    for ((_, peer), text) in pairs.iter_mut().zip(&texts) {
        let mut got = vec![0; text.len()];
        peer.read_exact(&mut got).expect("it was sent");
        assert_eq!(got, *text);
        peer.write_all(text).expect("sent");
    }
    let all = complete(&mut ring, pairs.len());
    assert!(received(&mut ring, all).into_iter().eq(1..=pairs.len()));
}

#[test]
fn idle_receives_hold_no_buffer() {
    let mut ring = ring(64);
    let mut pairs = pairs(3 * usize::from(COUNT));
    receive(&mut ring, &pairs);
    assert!(complete_now(&mut ring).is_empty());
    for (key, (_, peer)) in pairs.iter_mut().enumerate() {
        peer.write_all(b"x").expect("sent");
        let all = complete(&mut ring, 1);
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!((all[0].key, all[0].result), (key, Ok(1)));
        ring.put_back(all[0].buffer.expect("bytes come in a buffer"));
    }
}

#[test]
fn without_a_free_buffer_a_receive_fails_and_its_bytes_stay() {
    let mut ring = ring(64);
    let mut pairs = pairs(usize::from(COUNT) + 1);
    for (_, peer) in &mut pairs {
        peer.write_all(b"x").expect("sent");
    }
    receive(&mut ring, &pairs);
    let mut all = complete(&mut ring, pairs.len());
    let refused = all.iter().position(|one| one.result.is_err());
    let refused = all.remove(refused.expect("one"));
    assert_eq!(refused.result, Err(Errno::NOBUFS));
    assert_eq!(refused.buffer, None);
    let lent = all.pop().expect("the others").buffer.expect("bytes");
    ring.put_back(lent);
    let fd = pairs[refused.key].0.as_fd();
    ring.receive(fd, refused.key, SIZE).expect("queued");
    let again = complete(&mut ring, 1);
    assert_eq!((again[0].buffer, again[0].result), (Some(lent), Ok(1)));
}

#[test]
fn a_cancelled_operation_completes_once() {
    let mut ring = ring(8);
    let (ours, mut peer) = pair();
    for rounds in 0..3 {
        ring.receive(ours.as_fd(), 7, SIZE).expect("queued");
        if rounds > 0 {
            assert!(complete_now(&mut ring).is_empty());
        }
        for _ in 0..2 {
            ring.cancel_operation(Operation::Receive, ours.as_fd(), 7)
                .expect("queued");
        }
        let all = complete(&mut ring, 1);
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(all[0].result, Err(Errno::CANCELED));
    }
    // It has completed, and nobody has looked at it.
    ring.receive(ours.as_fd(), 7, SIZE).expect("queued");
    peer.write_all(b"x").expect("sent");
    ring.enter(None).expect("a wait");
    ring.cancel_operation(Operation::Receive, ours.as_fd(), 7)
        .expect("queued");
    let all = complete(&mut ring, 1);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].result, Ok(1));
}

/// Queues a quiet send of a text that stays until the end of the process.
fn send_quietly(ring: &mut Ring, socket: &UnixStream, text: &'static [u8]) {
    // SAFETY: the text is static.
    unsafe { ring.send_quietly(socket.as_fd(), 0, text, b"", SendKind::Plain) }.expect("queued");
}

#[test]
fn a_quiet_send_to_a_full_socket_completes_at_once() {
    let mut ring = ring(8);
    let (ours, _peer) = full_pair();
    send_quietly(&mut ring, &ours, b"more");
    let all = complete(&mut ring, 1);
    assert_eq!(
        (all[0].operation, all[0].result),
        (Operation::Send, Err(Errno::AGAIN))
    );
    let results = complete_now(&mut ring);
    assert!(results.is_empty(), "{results:?}");
}

#[test]
fn a_short_quiet_send_completes_once() {
    let mut ring = ring(8);
    let (ours, _peer) = pair();
    let text = vec![1; 16 * 1024 * 1024].leak();
    send_quietly(&mut ring, &ours, text);
    let all = complete(&mut ring, 1);
    assert!((1..text.len()).contains(&(all[0].result.expect("bytes") as usize)));
    let results = complete_now(&mut ring);
    assert!(results.is_empty(), "{results:?}");
}

#[test]
fn no_wait_goes_on_when_a_quiet_send_has_completed_before() {
    let mut ring = ring(2);
    let ((ours, _peer), idle) = (pair(), pairs(3));
    send_quietly(&mut ring, &ours, b"text");
    // The queue is full, and handed over early.
    receive(&mut ring, &idle);
    assert_eq!(ring.wanted(None), (1, Some(Duration::ZERO)));
    let all = complete(&mut ring, 1);
    assert_eq!((all[0].operation, all[0].result), (Operation::Send, Ok(4)));
}

#[test]
fn one_wait_sends_and_receives() {
    let mut ring = ring(8);
    let (ours, mut peer) = pair();
    peer.write_all(b"x").expect("sent");
    send_quietly(&mut ring, &ours, b"answer");
    ring.receive(ours.as_fd(), 0, SIZE).expect("queued");
    ring.wait(Some(PATIENCE), &mut Vec::new()).expect("a wait");
    let all: Vec<_> = std::iter::from_fn(|| ring.next_completion()).collect();
    let results: Vec<_> = all.iter().map(|one| (one.operation, one.result)).collect();
    assert_eq!(
        results,
        [(Operation::Send, Ok(6)), (Operation::Receive, Ok(1))]
    );
}

#[test]
fn what_the_kernel_does_not_register_is_named_by_its_descriptor() {
    let mut ring = sockets::tests::ring(4);
    // It registers no ring.
    let other = Ring::with_capacity(1).expect("a ring");
    // SAFETY: the ring lives to the end of this test.
    let fd = unsafe { BorrowedFd::borrow_raw(other.ring.as_raw_fd()) };
    assert_eq!(
        sockets::tests::receive(&mut ring, fd, 0),
        Err(Errno::CANCELED)
    );
    assert_eq!(
        sockets::tests::receive(&mut ring, fd, 0),
        Err(Errno::NOTSOCK)
    );
    ring.unregister(fd, 0).expect("queued");
    let (ours, mut peer) = pair();
    peer.write_all(b"x").expect("sent");
    assert_eq!(sockets::tests::receive(&mut ring, &ours, 0), Ok(1));
}
