//! What a model of one's own needs beside [`Connection`](crate::session::Connection): connections, a thread for each, the
//! time, and a way to wait.

use super::clock::Clock;
use super::panics::catch_panic;
use super::setup::ServerSetup;
use super::wake_queue::WakeQueue;
use super::worker::new_worker;
use crate::config::Timeouts;
use crate::net::AcceptError;
use crate::observe::LogFile;
use crate::session::{Action, Counters, NewSession, WORK_PER_TURN, Worker};
use crate::sys::{self, PollFd, PollFlags, SocketFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long it does without accepting where that fails or the limit is reached, and how long it waits where poll(2) fails.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs a connection from its beginning to its end, on a thread of its own. An error has closed it.
pub type ServeConnection = fn(&Acceptor, OwnedFd, NewSession) -> io::Result<()>;

/// Accepts connections for a model of one's own, and has a thread for each: see `docs/examples/model.rs`. It receives no
/// datagrams and shows no status. All services share its limit of connections.
pub struct Acceptor {
    timeouts: Timeouts,
    signals: super::Signals,
    log: Mutex<LogFile>,
    /// How many connections are open.
    open: AtomicUsize,
}

impl Acceptor {
    /// Runs `serve_connection` for each connection until a signal comes, and waits for those under way. The alarm of
    /// [`limit_shutdown`](super::limit_shutdown) ends what does not end by itself.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn serve(
        mut setup: ServerSetup,
        serve_connection: ServeConnection,
    ) -> io::Result<Counters> {
        let parts = setup.only_worker()?;
        let acceptor = Acceptor {
            timeouts: setup.timeouts,
            signals: parts.signals,
            log: Mutex::new(parts.log),
            open: AtomicUsize::new(0),
        };
        let most = setup.limits.max_connections;
        let (acceptor, mut counters) = (&acceptor, Counters::default());
        thread::scope(|scope| {
            while !acceptor.is_stopping() {
                let mut watched = vec![PollFd::new(&acceptor.signals, PollFlags::IN)];
                if acceptor.open.load(SeqCst) >= most {
                    // The others wait in the backlog.
                    sys::poll(&mut watched, Some(PAUSE))?;
                    continue;
                }
                let listeners = parts.stream_endpoints.iter().map(|one| &one.listener);
                watched.extend(listeners.map(|one| PollFd::new(one, PollFlags::IN)));
                sys::poll(&mut watched, None)?;
                for one in &parts.stream_endpoints {
                    if acceptor.open.load(SeqCst) >= most {
                        break;
                    }
                    match one.listener.accept(SocketFlags::NONBLOCK) {
                        Ok((socket, peer)) => {
                            counters.accepted_connections += 1;
                            let peer = peer.map(|peer| peer.ip().to_canonical());
                            let Some(start) = one.admit(peer, &mut counters) else {
                                continue;
                            };
                            acceptor.open.fetch_add(1, SeqCst);
                            let run = move || {
                                catch_panic(|| serve_connection(acceptor, socket, start));
                                acceptor.open.fetch_sub(1, SeqCst);
                            };
                            if thread::Builder::new().spawn_scoped(scope, run).is_err() {
                                // The connection is closed.
                                acceptor.open.fetch_sub(1, SeqCst);
                                thread::sleep(PAUSE);
                            }
                        }
                        Err(AcceptError::WouldBlock | AcceptError::Gone) => {}
                        Err(AcceptError::Exhausted(_) | AcceptError::Refused(_)) => {
                            thread::sleep(PAUSE);
                        }
                    }
                }
            }
            Ok(counters)
        })
    }

    /// A worker for one connection, which `queue` wakes.
    pub fn worker(&self, queue: &Arc<WakeQueue>) -> Worker {
        let (_, time) = Clock::start();
        new_worker(time, &self.timeouts, Some(Box::new(queue.clone())))
    }

    /// Begins a turn: says in `worker` what time it is, how much work may be done and whether the server is stopping, and
    /// writes the lines of its access log.
    pub fn begin_turn(&self, worker: &mut Worker) {
        Clock::start().0.read(&mut worker.time);
        worker.work = WORK_PER_TURN;
        worker.stopping = self.is_stopping();
        if !worker.log.is_empty() {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            log.write(&mut worker.log);
        }
    }

    /// Waits until what `action` does may no longer block, a signal has come, or the time is over; for a moment only where
    /// poll(2) fails. True if the connection was woken.
    pub fn wait(
        &self,
        queue: &WakeQueue,
        socket: &OwnedFd,
        action: Action,
        left: Option<Duration>,
    ) -> bool {
        let mut watched = vec![PollFd::new(queue, PollFlags::IN)];
        if !self.is_stopping() {
            watched.push(PollFd::new(&self.signals, PollFlags::IN));
        }
        match action {
            Action::Send => watched.push(PollFd::new(socket, PollFlags::OUT)),
            Action::Receive => watched.push(PollFd::new(socket, PollFlags::IN)),
            // A peer that is gone would end every wait at once.
            _ => {}
        }
        if queue.prepare_to_wait() && sys::poll(&mut watched, left).is_err() {
            thread::sleep(PAUSE);
        }
        queue.clear();
        let mut woken = Vec::new();
        queue.take_woken(&mut woken);
        !woken.is_empty()
    }

    /// True once a signal has come, which nobody takes.
    fn is_stopping(&self) -> bool {
        sys::is_readable(&self.signals)
    }
}
