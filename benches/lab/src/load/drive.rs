//! The generator's loop: it handles events and due times, sends requests and records latencies.

use super::arrivals::Arrivals;
use super::client::{Client, Outcome as Became};
use super::dispatch::Dispatcher;
use super::record::Record;
use super::script::Script;
use super::{Asks, Begun, Orders, Seen, thread_cpu_ns};
use crate::Outcome;
use mio::{Events, Poll, Token};
use std::io;
use std::time::{Duration, Instant};

/// The largest read.
const SCRATCH_BYTES: usize = 128 * 1024;

/// More broken connections than this are no accident.
const BROKEN_LIMIT: u64 = 10_000;

/// The kernel ends sleeps late. The loop stays awake for this long before a request is due.
const AWAKE_NS: u64 = 2_000_000;

/// The same requests at the same times in every measurement.
pub const SEED: u64 = 20_260_722;

/// The loop with its state. Times are nanoseconds since `start`.
pub struct Drive {
    poll: Poll,
    clients: Vec<Client>,
    /// The load, and the one beside it if there is one.
    streams: Vec<Stream>,
    start: Instant,
    begin_ns: u64,
    end_ns: u64,
    /// When the loop last looked for events, before it had those that it handles now.
    looked_ns: u64,
    /// How many bytes came in the warm-up.
    bytes_before: u64,
    has_answer: Vec<bool>,
    broken: u64,
}

/// Requests of one kind, and the clients that send them.
struct Stream {
    script: Script,
    /// It knows its clients by their places behind the first one.
    dispatcher: Dispatcher,
    record: Record,
    first_client: usize,
}

impl Drive {
    /// # Errors
    /// There is no poller.
    pub fn new(orders: &Orders) -> Outcome<Drive> {
        let begin_ns = orders.warm_up.as_nanos() as u64;
        let end_ns = begin_ns + orders.run.as_nanos() as u64;
        let stream = |asks: &Asks, clients, rate: Option<f64>, first_client, seed| {
            let arrivals = rate.map(|rate| Arrivals::new(rate, seed));
            Ok::<_, Box<dyn std::error::Error>>(Stream {
                script: Script::new(asks, orders.address)?,
                dispatcher: Dispatcher::new(arrivals, clients),
                record: Record::new(begin_ns, end_ns, rate.is_some()),
                first_client,
            })
        };
        let mut streams = vec![stream(&orders.asks, orders.clients, orders.rate, 0, SEED)?];
        let mut clients = orders.clients;
        if let Some(other) = &orders.beside {
            let first = clients;
            streams.push(stream(
                &other.asks,
                other.clients,
                Some(other.rate),
                first,
                SEED + 1,
            )?);
            clients += other.clients;
        }
        let client = |index| Client::new(Token(index), orders.address);
        Ok(Drive {
            poll: Poll::new()?,
            clients: (0..clients).map(client).collect(),
            streams,
            start: Instant::now(),
            begin_ns,
            end_ns,
            looked_ns: 0,
            bytes_before: 0,
            has_answer: vec![false; clients],
            broken: 0,
        })
    }

    /// When the load began. Due times count from here.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// Runs the load for its time.
    ///
    /// # Errors
    /// A response is wrong, or connections break again and again.
    pub fn run(&mut self, begun: Begun<'_>) -> Outcome<Seen> {
        let mut events = Events::with_capacity(1024);
        let mut scratch = vec![0; SCRATCH_BYTES];
        let mut cpu_before = None;
        loop {
            let now = self.now_ns();
            if now >= self.begin_ns && cpu_before.is_none() {
                cpu_before = Some(thread_cpu_ns()?);
                self.bytes_before = self.received();
                begun()?;
            }
            if now >= self.end_ns {
                break;
            }
            let has_sent = self.send_due()?;
            self.wait(&mut events, now, has_sent)?;
            for event in &events {
                self.advance(event.token().0, &mut scratch, event.is_read_closed())?;
            }
        }
        let cpu_ns = thread_cpu_ns()? - cpu_before.unwrap_or_default();
        Ok(self.sum_up(cpu_ns))
    }

    fn now_ns(&self) -> u64 {
        ns_since(self.start)
    }

    /// How many bytes all clients have received.
    fn received(&self) -> u64 {
        self.clients.iter().map(Client::received).sum()
    }

    /// Looks for events. Sleeps only if there are none and nothing is due soon.
    fn wait(&mut self, events: &mut Events, turn_began_ns: u64, has_sent: bool) -> Outcome<()> {
        self.poll_for(events, 0)?;
        if !events.is_empty() || has_sent {
            // Events may have been there since the loop looked the last time.
            self.looked_ns = turn_began_ns;
            return Ok(());
        }
        let change = match turn_began_ns < self.begin_ns {
            true => self.begin_ns,
            false => self.end_ns,
        };
        let dues = self.streams.iter();
        let due = dues.filter_map(|one| one.dispatcher.next_due_ns()).min();
        let until = due.map_or(change, |due| change.min(due.saturating_sub(AWAKE_NS)));
        let slept_ns = self.now_ns();
        let patience_ns = until.saturating_sub(slept_ns);
        if patience_ns > 0 {
            self.poll_for(events, patience_ns)?;
        }
        self.looked_ns = self.now_ns();
        for stream in &mut self.streams {
            if patience_ns > 0 {
                stream.record.asleep(slept_ns, self.looked_ns);
            }
            stream.record.idle(turn_began_ns, self.looked_ns);
        }
        Ok(())
    }

    fn poll_for(&mut self, events: &mut Events, patience_ns: u64) -> Outcome<()> {
        match self
            .poll
            .poll(events, Some(Duration::from_nanos(patience_ns)))
        {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Sends what is due, as far as clients are free. Returns whether there was anything.
    fn send_due(&mut self) -> Outcome<bool> {
        let mut has_sent = false;
        for index in 0..self.streams.len() {
            loop {
                let now_ns = self.now_ns();
                let stream = &mut self.streams[index];
                let Some(sending) = stream.dispatcher.next(now_ns) else {
                    break;
                };
                stream.record.sent(sending.due_ns, sending.lag_ns);
                let client = &mut self.clients[stream.first_client + sending.client];
                client.ask(sending.due_ns, &stream.script, self.poll.registry())?;
                has_sent = true;
            }
        }
        Ok(has_sent)
    }

    fn advance(&mut self, index: usize, scratch: &mut [u8], ended: bool) -> Outcome<()> {
        let mut streams = self.streams.iter_mut().rev();
        let stream = streams.find(|stream| stream.first_client <= index);
        let stream = stream.expect("the first stream begins with the first client");
        match self.clients[index].advance(&mut stream.script, scratch, ended)? {
            Became::Waits => {}
            Became::Answered(due_ns) => {
                self.has_answer[index] = true;
                stream.record.answered(due_ns, ns_since(self.start));
                let client = index - stream.first_client;
                stream.dispatcher.release(client, self.looked_ns);
                self.send_due()?;
            }
            Became::Broken => {
                self.broken += 1;
                if self.broken > BROKEN_LIMIT {
                    return Err(
                        format!("{} connections broke before their response", self.broken).into(),
                    );
                }
                let client = &mut self.clients[index];
                let again = client.asked_ns().unwrap_or_default();
                client.ask(again, &stream.script, self.poll.registry())?;
            }
        }
        Ok(())
    }

    fn sum_up(&mut self, cpu_ns: u64) -> Seen {
        let mut seen: Option<Seen> = None;
        let mut clients = &self.clients[..];
        for stream in self.streams.iter_mut().rev() {
            let (others, its) = clients.split_at(stream.first_client);
            clients = others;
            for due_ns in its.iter().filter_map(Client::asked_ns) {
                stream.record.unanswered(due_ns);
            }
            while let Some(due_ns) = stream.dispatcher.take_waiting(self.end_ns) {
                stream.record.unanswered(due_ns);
            }
            let has_answer = &self.has_answer[stream.first_client..][..its.len()];
            seen = Some(Seen {
                clients_answered: has_answer.iter().filter(|has| **has).count(),
                beside: seen.map(Box::new),
                ..stream.record.seen(cpu_ns)
            });
        }
        let whole = seen.expect("there is a stream");
        Seen {
            bytes: self.received() - self.bytes_before,
            broken: self.broken,
            ..whole
        }
    }
}

fn ns_since(start: Instant) -> u64 {
    start.elapsed().as_nanos() as u64
}
