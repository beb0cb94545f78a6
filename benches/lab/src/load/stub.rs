//! An echo server for the self-test: it does nothing for a while in each period, from its first event
//! on, and records when.

use crate::Outcome;
use crate::cores::stay_on;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often it checks whether to end.
const LOOK: Duration = Duration::from_millis(20);

/// The longest message.
pub const MESSAGE_BYTES: usize = 64;

const LISTENER: Token = Token(usize::MAX);

/// When it does nothing.
#[derive(Clone, Copy)]
pub struct Pauses {
    pub length: Duration,
    pub period: Duration,
}

/// One pause as it was: longer than planned if the machine was busy.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    pub from: Instant,
    pub to: Instant,
}

/// A running stub.
pub struct Stub {
    pub address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Vec<Pause>>>,
}

impl Stub {
    /// Starts it, on this core if there is one.
    ///
    /// # Errors
    /// There is no socket.
    pub fn start(pauses: Pauses, core: Option<usize>) -> Outcome<Stub> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let ends = Arc::new(AtomicBool::new(false));
        let has_ended = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            core.map_or(Ok(()), stay_on)?;
            let mut echo = Echo {
                pauses,
                begin: Instant::now(),
                listener,
                clients: Vec::new(),
                paused_in: None,
                had: Vec::new(),
            };
            echo.run(&has_ended)?;
            Ok(echo.had)
        });
        Ok(Stub {
            address,
            ends,
            thread,
        })
    }

    /// Ends it. Returns its pauses.
    ///
    /// # Errors
    /// It failed.
    pub fn end(self) -> Outcome<Vec<Pause>> {
        self.ends.store(true, Relaxed);
        Ok(self.thread.join().map_err(|_| "the stub panicked")??)
    }
}

struct Echo {
    pauses: Pauses,
    begin: Instant,
    listener: TcpListener,
    clients: Vec<TcpStream>,
    /// The number of the period in which it paused last.
    paused_in: Option<u128>,
    had: Vec<Pause>,
}

impl Echo {
    fn run(&mut self, has_ended: &AtomicBool) -> io::Result<()> {
        let mut poll = Poll::new()?;
        let registry = poll.registry();
        registry.register(&mut self.listener, LISTENER, Interest::READABLE)?;
        let mut events = Events::with_capacity(256);
        while !has_ended.load(Relaxed) {
            poll.poll(&mut events, Some(LOOK))?;
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(poll.registry())?,
                    Token(index) => self.answer(index)?,
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self, registry: &mio::Registry) -> io::Result<()> {
        while let Some((mut client, _)) = unless_it_blocks(self.listener.accept())? {
            client.set_nodelay(true)?;
            registry.register(&mut client, Token(self.clients.len()), Interest::READABLE)?;
            self.clients.push(client);
        }
        Ok(())
    }

    /// Answers one message: a client sends its next one when it has the answer.
    fn answer(&mut self, index: usize) -> io::Result<()> {
        self.pause();
        let mut bytes = [0; MESSAGE_BYTES];
        match unless_it_blocks(self.clients[index].read(&mut bytes))? {
            None | Some(0) => Ok(()),
            // A socket always has room for one short message.
            Some(count) => self.clients[index].write_all(&bytes[..count]),
        }
    }

    /// Does nothing for a while, once in each period.
    fn pause(&mut self) {
        let from = Instant::now();
        let period = (from - self.begin).as_nanos() / self.pauses.period.as_nanos();
        if self.pauses.length.is_zero() || Some(period) == self.paused_in {
            return;
        }
        self.paused_in = Some(period);
        thread::sleep(self.pauses.length);
        let to = Instant::now();
        self.had.push(Pause { from, to });
    }
}

fn unless_it_blocks<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        other => other.map(Some),
    }
}
