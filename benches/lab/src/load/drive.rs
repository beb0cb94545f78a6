//! The generator's loop: it handles events and due times, sends requests and records latencies.

use super::client::{Client, Outcome as Became};
use super::schedule::Schedule;
use super::script::Script;
use super::{BEGIN, Orders, Seen, say};
use crate::Outcome;
use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};
use std::io;
use std::time::{Duration, Instant};

/// The largest read.
const SCRATCH_BYTES: usize = 128 * 1024;

/// More broken connections than this are no accident.
const BROKEN_LIMIT: u64 = 10_000;

/// The kernel ends sleeps late. The loop stays awake for this long before a request is due.
const AWAKE: Duration = Duration::from_millis(2);

/// In a closed loop, a request that has waited less than this at the end counts as under way.
const UNDER_WAY: Duration = Duration::from_millis(50);

/// Latencies are kept to three digits, up to ten minutes.
const GREATEST_NS: u64 = 600_000_000_000;

/// The loop with its state.
pub struct Drive {
    poll: Poll,
    script: Script,
    clients: Vec<Client>,
    schedule: Option<Schedule>,
    begin: Instant,
    end: Instant,
    latencies: Histogram<u64>,
    responses: u64,
    /// How many bytes came in the warm-up.
    bytes_before: u64,
    answers_before: u64,
    has_answer: Vec<bool>,
    unanswered: u64,
    broken: u64,
}

impl Drive {
    /// # Errors
    /// There is no poller.
    pub fn new(orders: &Orders) -> Outcome<Drive> {
        let start = Instant::now();
        let begin = start + orders.warm_up;
        let client = |index| Client::new(Token(index), orders.address);
        Ok(Drive {
            poll: Poll::new()?,
            script: Script::new(&orders.asks, orders.address)?,
            clients: (0..orders.clients).map(client).collect(),
            schedule: orders
                .rate
                .map(|rate| Schedule::new(start, rate, orders.clients)),
            begin,
            end: begin + orders.run,
            latencies: Histogram::new_with_bounds(1, GREATEST_NS, 3)?,
            responses: 0,
            bytes_before: 0,
            answers_before: 0,
            has_answer: vec![false; orders.clients],
            unanswered: 0,
            broken: 0,
        })
    }

    /// Runs the load for its time.
    ///
    /// # Errors
    /// A response is wrong, or connections break again and again.
    pub fn run(&mut self) -> Outcome<Seen> {
        let mut events = Events::with_capacity(1024);
        let mut scratch = vec![0; SCRATCH_BYTES];
        if self.schedule.is_none() {
            for index in 0..self.clients.len() {
                self.clients[index].ask(Instant::now(), &self.script, self.poll.registry())?;
            }
        }
        let mut has_begun = false;
        loop {
            let now = Instant::now();
            if now >= self.begin && !has_begun {
                has_begun = true;
                self.bytes_before = self.received();
                say(BEGIN)?;
            }
            if now >= self.end {
                break;
            }
            self.send_due_requests(now)?;
            match self
                .poll
                .poll(&mut events, Some(self.patience(now, has_begun)))
            {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(error.into());
                }
                _ => {}
            }
            for event in &events {
                self.advance(event.token().0, &mut scratch, event.is_read_closed())?;
            }
        }
        Ok(self.sum_up())
    }

    /// How many bytes all clients have received.
    fn received(&self) -> u64 {
        self.clients.iter().map(Client::received).sum()
    }

    /// How long the loop may sleep.
    fn patience(&self, now: Instant, has_begun: bool) -> Duration {
        let change = if has_begun { self.end } else { self.begin };
        let until_change = change.saturating_duration_since(now);
        let Some(schedule) = &self.schedule else {
            return until_change;
        };
        let until_due = schedule.next_time().saturating_duration_since(now);
        until_due.saturating_sub(AWAKE).min(until_change)
    }

    fn send_due_requests(&mut self, now: Instant) -> Outcome<()> {
        while let Some(index) = self
            .schedule
            .as_mut()
            .and_then(|schedule| schedule.next_due(now))
        {
            if self.clients[index].asked().is_none() {
                self.ask_next(index)?;
            }
        }
        Ok(())
    }

    /// Lets an idle client send a request that is due.
    fn ask_next(&mut self, index: usize) -> Outcome<()> {
        let time = match &mut self.schedule {
            None => Some(Instant::now()),
            Some(schedule) => schedule.take(index),
        };
        let Some(time) = time else { return Ok(()) };
        Ok(self.clients[index].ask(time, &self.script, self.poll.registry())?)
    }

    fn advance(&mut self, index: usize, scratch: &mut [u8], ended: bool) -> Outcome<()> {
        match self.clients[index].advance(&self.script, scratch, ended)? {
            Became::Waits => Ok(()),
            Became::Answered(asked) => {
                self.has_answer[index] = true;
                self.write_down(asked);
                self.ask_next(index)
            }
            Became::Broken => {
                self.broken += 1;
                if self.broken > BROKEN_LIMIT {
                    return Err(
                        format!("{} connections broke before their response", self.broken).into(),
                    );
                }
                let again = self.clients[index].asked().unwrap_or_else(Instant::now);
                Ok(self.clients[index].ask(again, &self.script, self.poll.registry())?)
            }
        }
    }

    fn write_down(&mut self, asked: Instant) {
        let now = Instant::now();
        // At a constant rate a latency counts from the time at which the request was due.
        let counts_from = if self.schedule.is_some() { asked } else { now };
        if counts_from >= self.begin && now <= self.end {
            self.responses += 1;
            self.latencies
                .saturating_record(now.duration_since(asked).as_nanos() as u64);
        } else if now <= self.end {
            self.answers_before += 1;
        }
    }

    /// Counts requests that still wait at the end: they have waited at least this long, and leaving
    /// them out would hide it.
    fn count_who_waits(&mut self) {
        let least = if self.schedule.is_some() {
            Duration::ZERO
        } else {
            UNDER_WAY
        };
        for index in 0..self.clients.len() {
            let mut next = self.clients[index].asked();
            while let Some(asked) = next {
                let waited = self.end.saturating_duration_since(asked);
                if waited > least && (asked >= self.begin || self.schedule.is_none()) {
                    self.unanswered += 1;
                    self.latencies.saturating_record(waited.as_nanos() as u64);
                }
                next = self
                    .schedule
                    .as_mut()
                    .and_then(|schedule| schedule.take(index));
            }
        }
    }

    fn sum_up(&mut self) -> Seen {
        self.count_who_waits();
        let us = |ns: u64| ns as f64 / 1000.0;
        Seen {
            responses: self.responses,
            bytes: self.received() - self.bytes_before,
            answers_before: self.answers_before,
            clients_answered: self.has_answer.iter().filter(|has| **has).count(),
            seconds: self.end.duration_since(self.begin).as_secs_f64(),
            p50_us: us(self.latencies.value_at_quantile(0.5)),
            p99_us: us(self.latencies.value_at_quantile(0.99)),
            greatest_us: us(self.latencies.max()),
            unanswered: self.unanswered,
            broken: self.broken,
        }
    }
}
