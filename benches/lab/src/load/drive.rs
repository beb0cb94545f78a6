//! The generator's loop: it handles events and due times, sends requests and records latencies.

use super::arrivals::Arrivals;
use super::client::{Client, Outcome as Became};
use super::dispatch::Dispatcher;
use super::record::Record;
use super::script::Script;
use super::{Begun, Orders, Seen, thread_cpu_ns};
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
    script: Script,
    clients: Vec<Client>,
    dispatcher: Dispatcher,
    record: Record,
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

impl Drive {
    /// # Errors
    /// There is no poller.
    pub fn new(orders: &Orders) -> Outcome<Drive> {
        let begin_ns = orders.warm_up.as_nanos() as u64;
        let end_ns = begin_ns + orders.run.as_nanos() as u64;
        let client = |index| Client::new(Token(index), orders.address);
        let arrivals = orders.rate.map(|rate| Arrivals::new(rate, SEED));
        Ok(Drive {
            poll: Poll::new()?,
            script: Script::new(&orders.asks, orders.address)?,
            clients: (0..orders.clients).map(client).collect(),
            dispatcher: Dispatcher::new(arrivals, orders.clients),
            record: Record::new(begin_ns, end_ns, orders.rate.is_some()),
            start: Instant::now(),
            begin_ns,
            end_ns,
            looked_ns: 0,
            bytes_before: 0,
            has_answer: vec![false; orders.clients],
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
        self.start.elapsed().as_nanos() as u64
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
        let due = self.dispatcher.next_due_ns();
        let until = due.map_or(change, |due| change.min(due.saturating_sub(AWAKE_NS)));
        let slept_ns = self.now_ns();
        let patience_ns = until.saturating_sub(slept_ns);
        if patience_ns > 0 {
            self.poll_for(events, patience_ns)?;
        }
        self.looked_ns = self.now_ns();
        if patience_ns > 0 {
            self.record.asleep(slept_ns, self.looked_ns);
        }
        self.record.idle(turn_began_ns, self.looked_ns);
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
        while let Some(sending) = self.dispatcher.next(self.now_ns()) {
            self.record.sent(sending.due_ns, sending.lag_ns);
            let client = &mut self.clients[sending.client];
            client.ask(sending.due_ns, &self.script, self.poll.registry())?;
            has_sent = true;
        }
        Ok(has_sent)
    }

    fn advance(&mut self, index: usize, scratch: &mut [u8], ended: bool) -> Outcome<()> {
        match self.clients[index].advance(&mut self.script, scratch, ended)? {
            Became::Waits => {}
            Became::Answered(due_ns) => {
                self.has_answer[index] = true;
                self.record.answered(due_ns, self.now_ns());
                self.dispatcher.release(index, self.looked_ns);
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
                client.ask(again, &self.script, self.poll.registry())?;
            }
        }
        Ok(())
    }

    fn sum_up(&mut self, cpu_ns: u64) -> Seen {
        for due_ns in self.clients.iter().filter_map(Client::asked_ns) {
            self.record.unanswered(due_ns);
        }
        while let Some(due_ns) = self.dispatcher.take_waiting(self.end_ns) {
            self.record.unanswered(due_ns);
        }
        Seen {
            bytes: self.received() - self.bytes_before,
            clients_answered: self.has_answer.iter().filter(|has| **has).count(),
            broken: self.broken,
            ..self.record.seen(cpu_ns)
        }
    }
}
