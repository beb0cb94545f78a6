//! Support for custom models: accepts connections, starts a thread for each, and provides the time
//! and a way to wait. The model itself drives a [`Connection`](crate::session::Connection).

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

/// How long accepting pauses after an error or at the limit, and how long a wait lasts if poll(2)
/// fails.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves a connection from its beginning to its end, on its own thread. Return an error to give
/// the connection up: its socket is closed.
pub type ServeConnection = fn(&Acceptor, OwnedFd, NewSession) -> io::Result<()>;

/// Accepts connections for a custom model, and starts a thread for each: see
/// `docs/examples/model.rs`. It receives no datagrams and publishes no status. All services share
/// its limit of connections.
pub struct Acceptor {
    timeouts: Timeouts,
    signals: super::Signals,
    log: Mutex<LogFile>,
    /// The number of open connections.
    open: AtomicUsize,
}

impl Acceptor {
    /// Runs `serve_connection` for each connection until a signal comes, then waits for the open
    /// connections. The alarm of [`limit_shutdown`](super::limit_shutdown) ends the process if that
    /// takes too long.
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
                    // New connections wait in the backlog.
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

    /// Creates a worker for one connection, which `queue` wakes.
    pub fn worker(&self, queue: &Arc<WakeQueue>) -> Worker {
        let (_, time) = Clock::start();
        new_worker(time, &self.timeouts, Some(Box::new(queue.clone())))
    }

    /// Begins a turn: sets the time, the allowed work and `stopping` in `worker`, and writes its
    /// access log lines.
    pub fn begin_turn(&self, worker: &mut Worker) {
        Clock::start().0.read(&mut worker.time);
        worker.work = WORK_PER_TURN;
        worker.stopping = self.is_stopping();
        if !worker.log.is_empty() {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            log.write(&mut worker.log);
        }
    }

    /// Waits until `action` may succeed without blocking, the connection is woken, a signal comes,
    /// or `left` has passed. Returns true if the connection was woken.
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
            // Not watched: if the peer is gone, the socket would end every wait at once.
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

    /// True once a signal has come. It is never taken from the descriptor, so this stays true.
    fn is_stopping(&self) -> bool {
        sys::is_readable(&self.signals)
    }
}
