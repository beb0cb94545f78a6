//! The readiness loop: one thread, all connections.
//!
//! A turn: wait; read the clock; let events set bits; accept; queue what has expired; let each queued connection act
//! until it would block or its share is used up; free what has closed. Events never do the work themselves, so an
//! event for a connection that closed a moment ago does no harm.
//!
//! This file knows neither the poller behind it (it is generic) nor the protocols in front of it.

use super::clock::Clock;
use super::timeouts::Timeouts;
use super::{Listening, Serving, Share, Signals, send};
use crate::config;
use crate::net::{self, AcceptError};
use crate::observe::LogFile;
use crate::poller::{Poller, Ready};
use crate::session::{Action, BUFFER_SIZE, Connection, Counters, Timeout, Worker};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How many bytes a connection may move in one turn before the others get theirs.
const SHARE: usize = 256 * 1024;

/// How many connections a listener may accept in one turn, so that a flood does not starve those already there.
const ACCEPTS: usize = 64;

/// How many turns' worth of connections are still taken from the backlog when the server stops.
const BACKLOG_TURNS: usize = 64;

/// How many events one wait may bring.
const EVENTS: usize = 1024;

/// How long the loop does without accepting after it ran out of connections, unless one comes free earlier.
const EXHAUSTED_PAUSE: Duration = Duration::from_secs(1);

/// How long a connection has been idle that may be closed to make room for others: less, and its client's next request
/// may be on its way.
const IDLE_AGE: Duration = Duration::from_millis(100);

/// The same for one that has never asked for anything.
const FIRST_AGE: Duration = Duration::from_secs(1);

/// How soon lines are written that the access log's reader was too slow for.
const LOG_PAUSE: Duration = Duration::from_millis(50);

/// The key of the signals; those of the listeners follow, then those of the connections.
const SIGNALS_KEY: usize = 0;

/// Serves until a signal ends it: one loop on this thread, or one per share on a thread each.
///
/// # Errors
/// Those of making the poller and of waiting, after which no loop can go on.
pub fn run<P: Poller>(serving: Serving) -> io::Result<Counters> {
    let max_connections = serving
        .limits
        .max_connections
        .div_ceil(serving.shares.len());
    let (timeouts, shares) = (serving.timeouts, serving.shares);
    let run_one = |share| EventLoop::<P>::new(share, max_connections, &timeouts)?.run();
    let mut shares = shares.into_iter();
    let first = shares.next();
    std::thread::scope(|scope| {
        let others: Vec<_> = shares
            .map(|share| scope.spawn(move || run_one(share)))
            .collect();
        let mut sum = first.map_or(Ok(Counters::default()), run_one)?;
        for other in others {
            let counters = other
                .join()
                .map_err(|_| io::Error::other("a worker panicked"))?;
            sum.add(&counters?);
        }
        Ok(sum)
    })
}

struct EventLoop<P> {
    poller: P,
    clock: Clock,
    signals: Signals,
    doors: Vec<Door>,
    /// No connection was free; accepting goes on then, or when one closes.
    accept_again: Option<Instant>,
    /// When that was last said.
    exhausted_said: Option<Instant>,
    max_connections: usize,
    /// How many connections the poller had no place for.
    refused: u64,
    entries: Slab<Entry>,
    /// The keys of the connections that have something to do, each once.
    queue: VecDeque<usize>,
    /// The keys of those that closed in this turn.
    closed: Vec<usize>,
    timeouts: Timeouts,
    /// A signal has come.
    stopping: bool,
    drain_time: Duration,
    drain_end: Option<Instant>,
    worker: Worker,
    found: Vec<(usize, Ready)>,
    /// What every receive call receives into.
    scratch: Box<[u8]>,
    log: LogFile,
    first_connection_key: usize,
}

/// A listener and what is known of it.
struct Door {
    listening: Listening,
    ready: bool,
    watched: Ready,
}

/// A connection and what is known of its socket.
struct Entry {
    socket: OwnedFd,
    connection: Connection,
    /// What the socket was last known to be ready for. Only a call that would block clears it, or a short read.
    ready: Ready,
    /// What the poller has been told to watch for.
    watched: Ready,
    queued: bool,
    /// An event has come for it.
    event: bool,
    expired: bool,
}

impl<P: Poller> EventLoop<P> {
    fn new(
        share: Share,
        max_connections: usize,
        limits: &config::Timeouts,
    ) -> io::Result<EventLoop<P>> {
        let (clock, time) = Clock::start();
        let mut poller = P::new(EVENTS)?;
        let signals = share.signals;
        poller.change(signals.as_fd(), SIGNALS_KEY, Ready::NONE, Ready::READABLE)?;
        let first_connection_key = SIGNALS_KEY + 1 + share.listening.len();
        let doors = share.listening.into_iter();
        Ok(EventLoop {
            poller,
            clock,
            signals,
            doors: doors.map(Door::new).collect(),
            accept_again: None,
            exhausted_said: None,
            max_connections,
            refused: 0,
            entries: Slab::new(),
            queue: VecDeque::new(),
            closed: Vec::new(),
            timeouts: Timeouts::new(limits, time.now()),
            stopping: false,
            drain_time: limits.drain,
            drain_end: None,
            worker: Worker::new(time),
            found: Vec::with_capacity(EVENTS),
            scratch: vec![0; BUFFER_SIZE].into_boxed_slice(),
            log: share.log,
            first_connection_key,
        })
    }

    fn run(mut self) -> io::Result<Counters> {
        while !self.is_done() {
            self.turn()?;
        }
        Ok(self.worker.counters)
    }

    fn is_done(&self) -> bool {
        self.stopping && self.entries.is_empty()
    }

    fn turn(&mut self) -> io::Result<()> {
        self.watch_doors()?;
        let patience = self.patience();
        self.poller.wait(patience, &mut self.found)?;
        self.worker.counters.waits += 1;
        self.worker.counters.events += self.found.len() as u64;
        self.clock.read(&mut self.worker.time);
        if self.set_bits() {
            self.hear_signals();
        }
        self.accept();
        self.expire();
        for _ in 0..self.queue.len() {
            let key = self.queue.pop_front().expect("it was counted");
            self.act(key);
        }
        self.free_closed();
        self.log.write(&mut self.worker.log);
        Ok(())
    }

    /// How long the loop may wait: not at all while there is something to do, for ever if nothing has a deadline.
    fn patience(&self) -> Option<Duration> {
        let can_accept = self.accept_again.is_none() && self.doors.iter().any(|door| door.ready);
        if !self.queue.is_empty() || can_accept {
            return Some(Duration::ZERO);
        }
        let ends = [self.timeouts.next(), self.drain_end, self.accept_again];
        // The clock is as old as the last turn; what has passed since then only makes the wait longer than need be by
        // the length of a turn.
        let left = |end: Instant| end.saturating_duration_since(self.worker.time.now());
        let next_end = ends.into_iter().flatten().min().map(left);
        match self.log.is_behind() {
            true => Some(next_end.map_or(LOG_PAUSE, |end| end.min(LOG_PAUSE))),
            false => next_end,
        }
    }

    /// Lets the events set bits and queue connections. True if there was a signal.
    fn set_bits(&mut self) -> bool {
        let mut signalled = false;
        let mut found = std::mem::take(&mut self.found);
        for (key, ready) in found.drain(..) {
            if let Some(key) = key.checked_sub(self.first_connection_key) {
                if let Some(entry) = self.entries.get_mut(key) {
                    entry.ready |= ready;
                    entry.event = true;
                    enqueue(&mut self.queue, key, entry);
                }
            } else if let Some(door) = key.checked_sub(SIGNALS_KEY + 1) {
                if let Some(door) = self.doors.get_mut(door) {
                    door.ready = true;
                }
            } else {
                signalled = true;
            }
        }
        self.found = found;
        signalled
    }

    /// The first signal begins the end, the second one ends it.
    fn hear_signals(&mut self) {
        for _ in 0..self.signals.take() {
            if self.stopping {
                log::info!("second signal: ending at once");
                self.drain_end = Some(self.worker.time.now());
            } else {
                self.begin_drain();
            }
        }
    }

    /// Stops accepting; idle connections close as soon as they have been looked at once more.
    fn begin_drain(&mut self) {
        log::info!("stopping: {} connections are open", self.entries.len());
        if self.refused > 0 {
            log::warn!(
                "{} connections were closed for want of a place",
                self.refused
            );
        }
        // Who is in the backlog has been accepted as far as it can tell.
        for door in &mut self.doors {
            door.ready = true;
        }
        for _ in 0..BACKLOG_TURNS {
            self.accept();
        }
        for (door, key) in self.doors.drain(..).zip(SIGNALS_KEY + 1..) {
            let fd = door.listening.listener.as_fd();
            if let Err(error) = self.poller.change(fd, key, door.watched, Ready::NONE) {
                log::warn!("a listener cannot be unwatched: {error}");
            }
        }
        self.stopping = true;
        self.worker.closing = true;
        self.accept_again = None;
        self.drain_end = Some(self.worker.time.now() + self.drain_time);
        for (key, entry) in &mut self.entries {
            // A request may have arrived that no event has told of yet.
            entry.ready |= Ready::READABLE;
            enqueue(&mut self.queue, key, entry);
        }
    }

    fn watch_doors(&mut self) -> io::Result<()> {
        for (door, key) in self.doors.iter_mut().zip(SIGNALS_KEY + 1..) {
            let open = P::EDGE || self.accept_again.is_none();
            let wanted = if open { Ready::READABLE } else { Ready::NONE };
            if wanted != door.watched {
                let fd = door.listening.listener.as_fd();
                self.poller.change(fd, key, door.watched, wanted)?;
                door.watched = wanted;
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        if self
            .accept_again
            .is_some_and(|time| self.worker.time.now() < time)
        {
            return;
        }
        self.resume_accepting();
        for index in 0..self.doors.len() {
            for _ in 0..ACCEPTS {
                let door = &mut self.doors[index];
                if !door.ready {
                    break;
                }
                if self.entries.len() >= self.max_connections {
                    return self.pause_accepting("there may be no more");
                }
                self.worker.counters.accepts += 1;
                match door.listening.listener.accept(SocketFlags::NONBLOCK) {
                    Ok((socket, _)) if cannot_watch::<P>(&socket) => self.refuse(&socket),
                    Ok((socket, peer)) => {
                        let peer = peer.map(|peer| peer.ip().to_canonical());
                        let session = door.listening.service.session(peer);
                        let connection = Connection::open(session, &mut self.worker);
                        self.admit(socket, connection);
                    }
                    Err(AcceptError::Gone) => {}
                    Err(AcceptError::WouldBlock) => {
                        self.worker.counters.would_blocks += 1;
                        door.ready = false;
                    }
                    Err(AcceptError::Exhausted(error)) => {
                        return self.pause_accepting(&error.to_string());
                    }
                    Err(AcceptError::Broken(error)) => {
                        log::error!(
                            "cannot accept on {}: {error}",
                            door.listening.listener.address()
                        );
                        door.ready = false;
                    }
                }
            }
        }
    }

    fn admit(&mut self, socket: OwnedFd, connection: Connection) {
        self.worker.counters.connections += 1;
        let key = self.entries.insert(Entry {
            socket,
            connection,
            // Try first, wait second: a client's request often comes with its handshake.
            ready: Ready::BOTH,
            watched: Ready::NONE,
            queued: false,
            event: false,
            expired: false,
        });
        enqueue(&mut self.queue, key, &mut self.entries[key]);
    }

    /// The poller has no place for the descriptor: rather no service than a wrong one. Said once.
    fn refuse(&mut self, socket: &OwnedFd) {
        self.refused += 1;
        if self.refused == 1 {
            log::warn!(
                "a connection is closed, for this model cannot watch descriptor {}: there are too many; others are \
                 served; --model poll or epoll has no such limit",
                socket.as_raw_fd()
            );
        }
    }

    /// The waiting connections stay in the backlog; the one that has been idle longest makes room.
    fn pause_accepting(&mut self, why: &str) {
        let now = self.worker.time.now();
        self.accept_again = Some(now + EXHAUSTED_PAUSE);
        let said = self
            .exhausted_said
            .filter(|said| now < *said + EXHAUSTED_PAUSE);
        if said.is_none() {
            self.exhausted_said = Some(now);
            log::warn!(
                "cannot accept more than {} connections: {why}; others wait until one closes",
                self.entries.len()
            );
        }
        // Those who come back for more are told to connect anew, so that everybody gets a turn; those who have long
        // been silent make room at once.
        self.worker.closing = true;
        for (kind, age) in [
            (Timeout::Linger, IDLE_AGE),
            (Timeout::Idle, IDLE_AGE),
            (Timeout::First, FIRST_AGE),
        ] {
            let oldest = self.timeouts.oldest(kind);
            let waited = |key: &usize| now - self.entries[*key].connection.waiting().1;
            if let Some(key) = oldest.filter(|key| waited(key) >= age) {
                return self.queue_expired(key);
            }
        }
    }

    fn resume_accepting(&mut self) {
        self.accept_again = None;
        self.worker.closing = self.stopping;
    }

    fn expire(&mut self) {
        let now = self.worker.time.now();
        while let Some(key) = self.timeouts.expired(now) {
            self.queue_expired(key);
        }
        if self.drain_end.is_some_and(|end| end <= now) {
            self.drain_end = None;
            log::warn!("{} connections were cut off", self.entries.len());
            for (key, entry) in &mut self.entries {
                entry.connection.abort();
                enqueue(&mut self.queue, key, entry);
            }
        }
    }

    fn queue_expired(&mut self, key: usize) {
        let entry = &mut self.entries[key];
        entry.expired = true;
        enqueue(&mut self.queue, key, entry);
    }

    /// Lets a connection do what it can.
    fn act(&mut self, key: usize) {
        let entry = &mut self.entries[key];
        entry.queued = false;
        let expired = std::mem::take(&mut entry.expired);
        if expired {
            // What came in time but has not been looked at yet still counts.
            entry.ready |= Ready::BOTH;
        }
        let waiting = entry.connection.waiting();
        let before = self.worker.counters.transfers();
        let mut stop = entry.advance(&mut self.worker, &mut self.scratch);
        if expired && stop == Stop::Blocked && entry.connection.waiting() == waiting {
            entry.connection.timed_out(&mut self.worker);
            stop = entry.advance(&mut self.worker, &mut self.scratch);
        }
        let in_vain = self.worker.counters.transfers() == before && stop != Stop::Closed;
        self.worker.counters.spurious += u64::from(std::mem::take(&mut entry.event) && in_vain);
        let idle_at_the_end = stop == Stop::Blocked && self.stopping && entry.connection.is_idle();
        if stop == Stop::Closed || idle_at_the_end {
            self.close(key);
            return;
        }
        if stop == Stop::ShareUsed {
            enqueue(&mut self.queue, key, entry);
        } else if let Some(wanted) = entry.watch::<P>() {
            let poller_key = self.first_connection_key + key;
            let fd = entry.socket.as_fd();
            if let Err(error) = self.poller.change(fd, poller_key, entry.watched, wanted) {
                log::warn!("a connection cannot be watched, so it is closed: {error}");
                self.close(key);
                return;
            }
            entry.watched = wanted;
            self.worker.counters.changes += u64::from(P::EDGE);
        }
        let (kind, since) = entry.connection.waiting();
        self.timeouts.start(key, kind, since);
    }

    /// The entry stays until the end of the turn, so that its key means nothing else before.
    fn close(&mut self, key: usize) {
        let entry = &mut self.entries[key];
        entry.connection.close(&mut self.worker);
        self.timeouts.stop(key);
        if !P::EDGE && entry.watched != Ready::NONE {
            let poller_key = self.first_connection_key + key;
            let fd = entry.socket.as_fd();
            if let Err(error) = self
                .poller
                .change(fd, poller_key, entry.watched, Ready::NONE)
            {
                log::error!("a closed connection is still watched: {error}");
            }
        }
        self.closed.push(key);
    }

    fn free_closed(&mut self) {
        if !self.closed.is_empty() {
            self.resume_accepting();
        }
        self.worker.counters.others += self.closed.len() as u64;
        for key in self.closed.drain(..) {
            self.entries.remove(key);
        }
    }
}

impl Door {
    fn new(listening: Listening) -> Door {
        Door {
            listening,
            ready: false,
            watched: Ready::NONE,
        }
    }
}

/// Why a connection does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Nothing more can be done before an event comes.
    Blocked,
    /// Others must have their turn first.
    ShareUsed,
    /// It is over.
    Closed,
}

impl Entry {
    /// Does what the connection asks for, as long as its share lasts and nothing would block.
    fn advance(&mut self, worker: &mut Worker, scratch: &mut [u8]) -> Stop {
        let mut share = SHARE;
        loop {
            let moved = match self.connection.next() {
                Action::Close => return Stop::Closed,
                _ if share == 0 || std::mem::take(&mut worker.costly) => return Stop::ShareUsed,
                Action::Send if !self.ready.has(Ready::WRITABLE) => return Stop::Blocked,
                Action::Receive(_) if !self.ready.has(Ready::READABLE) => return Stop::Blocked,
                Action::Send => self.send(share, worker),
                Action::Receive(_) => self.receive(scratch, worker),
                Action::ShutdownWrite => {
                    worker.counters.others += 1;
                    self.connection.shut();
                    net::shutdown_write(&self.socket).map(|()| 0)
                }
            };
            match moved {
                Ok(count) => share = share.saturating_sub(count),
                Err(Errno::INTR) => {}
                // The peer is gone, and with it whoever could be told.
                Err(_) => return Stop::Closed,
            }
        }
    }

    fn send(&mut self, share: usize, worker: &mut Worker) -> Result<usize, Errno> {
        worker.counters.sends += 1;
        match send(&self.socket, &self.connection.front(), share) {
            Ok(0) => self.connection.abort(),
            Ok(count) => {
                worker.counters.sent += count as u64;
                self.connection.sent(count, worker);
                return Ok(count);
            }
            Err(Errno::AGAIN) => {
                worker.counters.would_blocks += 1;
                self.ready = self.ready.without(Ready::WRITABLE);
            }
            Err(errno) => return Err(errno),
        }
        Ok(0)
    }

    fn receive(&mut self, scratch: &mut [u8], worker: &mut Worker) -> Result<usize, Errno> {
        let room = self.connection.room().min(scratch.len());
        worker.counters.receives += 1;
        match net::receive(&self.socket, &mut scratch[..room]) {
            Ok(0) => self.connection.ended(worker),
            Ok(count) => {
                worker.counters.received += count as u64;
                // A short read has emptied the socket, which spares the call that would say so; unless the end of
                // input is waiting behind it, of which an edge-triggered poller has told already.
                if count < room && !self.ready.has(Ready::END) {
                    self.ready = self.ready.without(Ready::READABLE);
                }
                self.connection.received(&scratch[..count], worker);
                return Ok(count);
            }
            Err(Errno::AGAIN) => {
                worker.counters.would_blocks += 1;
                self.ready = self.ready.without(Ready::READABLE | Ready::END);
            }
            Err(errno) => return Err(errno),
        }
        Ok(0)
    }

    /// What the poller should watch the blocked connection for, if that is not what it does. An edge-triggered poller
    /// is told once, of both directions, and never again.
    fn watch<P: Poller>(&self) -> Option<Ready> {
        let wanted = match self.connection.next() {
            _ if P::EDGE => Ready::BOTH,
            Action::Send => Ready::WRITABLE,
            Action::Receive(_) => Ready::READABLE,
            Action::ShutdownWrite | Action::Close => Ready::NONE,
        };
        (wanted != self.watched).then_some(wanted)
    }
}

fn cannot_watch<P: Poller>(socket: &OwnedFd) -> bool {
    P::FD_LIMIT.is_some_and(|limit| socket.as_raw_fd() >= limit)
}

/// Queues a connection, unless it is queued already.
fn enqueue(queue: &mut VecDeque<usize>, key: usize, entry: &mut Entry) {
    if !std::mem::replace(&mut entry.queued, true) {
        queue.push_back(key);
    }
}
