//! The queues: requests go in, results come out.

#![allow(unsafe_code)]

use super::availability::explain;
use super::buffers::Buffers;
use super::messages::Messages;
use super::operation::{Completion, IGNORED, Operation, is_file_update};
use super::quiet_sends::QuietSends;
use super::registered::Registered;
use super::restrictions::{self, Uses};
use super::watches::Watches;
use crate::poller::QueueTraffic;
use crate::recording::Syscall;
use crate::sys::Errno;
use crate::trace;
use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{cqueue, opcode, squeue};
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// A ring. Use it only on the thread that made it.
pub struct Ring {
    pub(super) ring: io_uring::IoUring,
    uses: Uses,
    pub(super) watches: Watches,
    /// Results that no one has looked at yet.
    entries: Vec<cqueue::Entry>,
    /// Completed operations.
    pub(super) completions: VecDeque<Completion>,
    pub(super) messages: Messages,
    /// `None` in a ring that only watches.
    pub(super) buffers: Option<Buffers>,
    /// The sockets that are registered.
    pub(super) registered: Registered,
    pub(super) quiet_sends: QuietSends,
    /// How many sends were queued that will give a result at once, which is no reason for a wait to
    /// return.
    pub(super) unneeded_results: usize,
    /// What has passed through the queues and was not counted.
    pub(super) traffic: QueueTraffic,
}

/// How long a wait may go on although quiet sends have ended. Timeouts and the access log come that
/// much later, and so does output that a session adds after a send.
const QUIET_SEND_WAIT: Duration = Duration::from_millis(1);

/// How often a full queue is handed over in vain before it counts as an error: for about a second.
const MAX_TRIES: u32 = 1000;

/// How long the kernel has to find memory before the next try.
const RETRY_PAUSE: Duration = Duration::from_millis(1);

impl Ring {
    /// Creates a ring that watches, with room for `capacity` requests between two waits; more are
    /// handed over early.
    ///
    /// # Errors
    /// Those of io_uring_setup(2) and io_uring_register(2), with their cause and what to do.
    pub fn with_capacity(capacity: usize) -> io::Result<Ring> {
        let make = || Ring::disabled(capacity, Uses::WATCH, None)?.enabled();
        make().map_err(|error| explain(&error))
    }

    /// Creates a ring that can do all that it is used for. It [receives](Ring::receive) into
    /// `count` buffers of `size` bytes each; `count` is a power of two. If it registers sockets,
    /// keys below `sockets` have a place for theirs. With `sqpoll`, a kernel thread takes requests,
    /// and sleeps when none has come for that time.
    ///
    /// # Errors
    /// Those of io_uring_setup(2) and io_uring_register(2), with their cause and what to do.
    pub fn with_buffers(
        capacity: usize,
        (count, size): (u16, usize),
        uses: Uses,
        sockets: usize,
        sqpoll: Option<Duration>,
    ) -> io::Result<Ring> {
        let make = || {
            let mut ring = Ring::disabled(capacity, uses, sqpoll)?;
            let submitter = ring.ring.submitter();
            ring.buffers = Some(Buffers::register(&submitter, count, size)?);
            if uses.contains(Uses::REGISTERED) {
                ring.registered = Registered::register(&submitter, sockets)?;
            }
            ring.enabled()
        };
        make().map_err(|error| explain(&error))
    }

    /// Creates a ring that does not work yet. Register what it needs, then call
    /// [`enabled`](Ring::enabled).
    fn disabled(capacity: usize, uses: Uses, sqpoll: Option<Duration>) -> io::Result<Ring> {
        let mut ring = restrictions::build_disabled(capacity, sqpoll)?;
        ring.submitter().register_ring_fd()?;
        let messages = Messages::with_capacity(ring.submission().capacity());
        Ok(Ring {
            ring,
            uses,
            watches: Watches::default(),
            entries: Vec::new(),
            completions: VecDeque::new(),
            messages,
            buffers: None,
            registered: Registered::default(),
            quiet_sends: QuietSends::default(),
            unneeded_results: 0,
            traffic: QueueTraffic::default(),
        })
    }

    /// Lets it do what it is for, and nothing else.
    fn enabled(self) -> io::Result<Ring> {
        restrictions::enable(&self.ring, self.uses)?;
        Ok(self)
    }

    /// For how many results the next wait waits, and how long, if it may wait for `timeout`.
    pub(super) fn wanted(&self, timeout: Option<Duration>) -> (usize, Option<Duration>) {
        let wanted = 1 + self.unneeded_results;
        match timeout {
            _ if !self.entries.is_empty() || !self.completions.is_empty() => {
                (1, Some(Duration::ZERO))
            }
            _ if self.quiet_sends.is_empty() && wanted == 1 => (1, timeout),
            None => (wanted, Some(QUIET_SEND_WAIT)),
            Some(timeout) => (wanted, Some(timeout.min(QUIET_SEND_WAIT))),
        }
    }

    /// Hands over queued requests before the next wait, because a queue is full.
    ///
    /// # Errors
    /// Those of io_uring_enter(2); ENOMEM if the kernel has taken none in [`MAX_TRIES`] calls.
    pub(super) fn enter_early(&mut self) -> io::Result<()> {
        let queued = self.ring.submission().len();
        for number in 0..MAX_TRIES {
            let pause = if number == 0 {
                Duration::ZERO
            } else {
                RETRY_PAUSE
            };
            self.hand_over(pause)?;
            if self.ring.submission().len() < queued.max(1) {
                return Ok(());
            }
        }
        Err(Errno::NOMEM.into())
    }

    fn hand_over(&mut self, pause: Duration) -> io::Result<()> {
        let call = trace::call(Syscall::UringEnter, -1);
        let before = self.traffic.results;
        self.enter(Some(pause))?;
        if self.ring.params().is_setup_sqpoll() {
            // The call has woken the kernel's thread, but may have returned before it took any.
            self.ring.submitter().squeue_wait()?;
        }
        self.traffic.early_calls += 1;
        let taken = self.traffic.results - before;
        let called = || "io_uring_enter (the queue is full)".into();
        call.returned(&Ok(taken), called, u64::to_string);
        Ok(())
    }

    /// Hands over the queued requests, and waits until a result has come or `timeout` has passed.
    pub(super) fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let (wanted, timeout) = self.wanted(timeout);
        self.unneeded_results = 0;
        let submitter = self.ring.submitter();
        let result = match timeout {
            None => submitter.submit_and_wait(wanted),
            Some(timeout) => {
                let timeout = Timespec::from(timeout);
                submitter.submit_with_args(wanted, &SubmitArgs::new().timespec(&timeout))
            }
        };
        match result {
            Err(error) if !is_passing(&error) => return Err(error),
            _ => {}
        }
        let (_, requests, results) = self.ring.split();
        // In this order: what a kernel thread does meanwhile (--uring-sqpoll) is seen next time.
        let all_taken = requests.is_empty();
        let all_shown = !requests.cq_overflow();
        for entry in results {
            self.quiet_sends.note_result(entry.user_data());
            self.entries.push(entry);
            self.traffic.results += 1;
        }
        if all_taken {
            self.messages.clear();
            if all_shown {
                self.quiet_sends.complete(&mut self.completions);
            }
        }
        Ok(())
    }

    /// Hands over what is queued if there is no room for `count` requests more. Call this before a
    /// request points at one of the messages: they are dropped when all requests are handed over.
    pub(super) fn make_room(&mut self, count: usize) -> io::Result<()> {
        loop {
            let queue = self.ring.submission();
            let has_room = queue.capacity() - queue.len() >= count;
            drop(queue);
            if has_room && !self.messages.is_full() {
                return Ok(());
            }
            self.enter_early()?;
        }
    }

    /// Queues requests that are handed over together. If the queue is full, hands over what is in
    /// it.
    pub(super) fn push(&mut self, requests: &[squeue::Entry]) -> io::Result<()> {
        let is_allowed = |request| self.uses.allow(request);
        debug_assert!(requests.iter().all(is_allowed), "not in restrictions.rs");
        // SAFETY: requests point at memory of `messages`, which stays until they are handed over,
        // at static memory, or at what a caller of `send` promises to keep.
        while unsafe { self.ring.submission().push_multiple(requests) }.is_err() {
            self.enter_early()?;
        }
        self.traffic.requests += requests.len() as u64;
        Ok(())
    }

    /// Asks for the end of a request. It still gives a result, usually ECANCELED.
    pub(super) fn cancel(&mut self, user_data: u64) -> io::Result<()> {
        let request = opcode::AsyncCancel::new(user_data).build();
        let request = request.user_data(IGNORED);
        self.push(&[request.flags(squeue::Flags::SKIP_SUCCESS)])
    }

    /// Sorts the results into events of watches and completed operations.
    pub(super) fn sort_results(&mut self) -> io::Result<()> {
        let mut entries = std::mem::take(&mut self.entries);
        for entry in entries.drain(..) {
            let key = (entry.user_data() & u64::from(u32::MAX)) as usize;
            match Operation::of(entry.user_data()) {
                Some(operation) => {
                    let mut completion = Completion::new(key, operation, &entry);
                    self.excuse_refused(&mut completion);
                    self.completions.push_back(completion);
                }
                None if entry.user_data() == IGNORED => {}
                None if is_file_update(entry.user_data()) => self.update_failed(key)?,
                None => {
                    if let Some(request) = self.watches.take_event(key, &entry) {
                        self.push(&[request])?;
                    }
                }
            }
        }
        // What was taken while sorting made the queue overflow comes after these.
        entries.append(&mut self.entries);
        self.entries = entries;
        Ok(())
    }
}

/// True if a call may simply be repeated: its time was up, a signal came, or memory or room for
/// results ran out.
fn is_passing(error: &io::Error) -> bool {
    let passing = [
        Errno::TIME,
        Errno::INTR,
        Errno::AGAIN,
        Errno::BUSY,
        Errno::NOMEM,
    ];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}
