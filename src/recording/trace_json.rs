//! A recording as JSON for Perfetto (<https://ui.perfetto.dev>) and chrome://tracing: the "Trace
//! Event Format".
//!
//! Each thread is a track with its calls and with the turns of connections. Each connection is a
//! track of the process with its states. Requests are marks in it.

use super::format::{Kind, Table};
use super::read::{Recorded, Recording};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{self, Write};

/// Writes the JSON.
///
/// # Errors
/// Those of `out`.
pub fn write_trace_json(recording: &Recording, out: &mut impl Write) -> io::Result<()> {
    let mut writer = JsonWriter {
        recording,
        out,
        is_first: true,
        turns: HashMap::new(),
        states: HashMap::new(),
    };
    writer
        .out
        .write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
    let process = recording.contents.process;
    let name = format!("evserve {}", recording.fact("model").unwrap_or_default());
    writer.put(&json!({
        "name": "process_name", "ph": "M", "pid": process, "tid": process, "args": {"name": name},
    }))?;
    for one in &recording.events {
        writer.add(one)?;
    }
    writer.end()?;
    writer.out.write_all(b"\n]}\n")
}

struct JsonWriter<'a, W> {
    recording: &'a Recording,
    out: &'a mut W,
    is_first: bool,
    /// When the turn under way on a thread began.
    turns: HashMap<(u32, u32), u64>,
    /// The state of a connection, and the process that has it.
    states: HashMap<u64, (u32, &'a str)>,
}

impl<'a, W: Write> JsonWriter<'a, W> {
    fn add(&mut self, one: &'a Recorded) -> io::Result<()> {
        let (recording, event) = (self.recording, one.event);
        let thread = (one.process, one.thread);
        match event.kind {
            Kind::Call => {
                let name = recording.name(Table::Calls, event.code);
                let what =
                    json!({"fd": event.fd, "result": event.value, "connection": one.connection});
                self.complete(one, name, "call", event.at, event.extra, &what)
            }
            Kind::Turn => {
                self.turns.insert(thread, event.at);
                Ok(())
            }
            Kind::Stop => {
                let Some(begin) = self.turns.remove(&thread) else {
                    return Ok(());
                };
                let name = match one.connection {
                    Some(number) => format!("connection {number}"),
                    None => format!("fd {}", event.fd),
                };
                let why = recording.name(Table::Reasons, event.code);
                let what = json!({"stops": why, "fd": event.fd});
                let took = event.at.saturating_sub(begin);
                self.complete(one, &name, "turn", begin, took, &what)
            }
            Kind::Step => match one.connection {
                Some(number) => {
                    self.end_state(number, event.at)?;
                    let state = recording.name(Table::States, event.code);
                    self.begin_state(number, one.process, state, event.at)
                }
                None => Ok(()),
            },
            Kind::Closed => match one.connection {
                Some(number) => self.end_state(number, event.at),
                None => Ok(()),
            },
            Kind::Request => {
                let name = String::from_utf8_lossy(&one.text).into_owned();
                let what = json!({"status": event.detail, "connection": one.connection});
                self.instant(one, &name, "request", &what)
            }
            Kind::Expired | Kind::Woken | Kind::Queued | Kind::Completed | Kind::Forked => {
                let name = recording.name(Table::Kinds, event.kind as u8);
                let code = match event.kind {
                    Kind::Expired => recording.name(Table::Deadlines, event.code),
                    Kind::Queued | Kind::Completed => recording.name(Table::Operations, event.code),
                    _ => "",
                };
                let what = json!({"what": code, "fd": event.fd, "value": event.value});
                self.instant(one, name, "event", &what)
            }
            Kind::Waits
            | Kind::Found
            | Kind::Buffers
            | Kind::Opened
            | Kind::Text
            | Kind::Answered => Ok(()),
        }
    }

    fn complete(
        &mut self,
        one: &Recorded,
        name: &str,
        category: &str,
        at: u64,
        took: u64,
        what: &Value,
    ) -> io::Result<()> {
        self.put(&json!({
            "name": name, "cat": category, "ph": "X", "ts": micros(at), "dur": micros(took),
            "pid": one.process, "tid": one.thread, "args": what,
        }))
    }

    fn instant(
        &mut self,
        one: &Recorded,
        name: &str,
        category: &str,
        what: &Value,
    ) -> io::Result<()> {
        self.put(&json!({
            "name": name, "cat": category, "ph": "i", "s": "t", "ts": micros(one.event.at),
            "pid": one.process, "tid": one.thread, "args": what,
        }))
    }

    fn begin_state(
        &mut self,
        number: u64,
        process: u32,
        state: &'a str,
        at: u64,
    ) -> io::Result<()> {
        self.states.insert(number, (process, state));
        self.put_state("b", number, process, state, at)
    }

    fn end_state(&mut self, number: u64, at: u64) -> io::Result<()> {
        match self.states.remove(&number) {
            Some((process, state)) => self.put_state("e", number, process, state, at),
            None => Ok(()),
        }
    }

    fn put_state(
        &mut self,
        phase: &str,
        number: u64,
        process: u32,
        state: &str,
        at: u64,
    ) -> io::Result<()> {
        self.put(&json!({
            "name": state, "cat": "connection", "ph": phase, "id": number, "ts": micros(at),
            "pid": process, "tid": process,
        }))
    }

    /// Ends the states that last.
    fn end(&mut self) -> io::Result<()> {
        let mut open: Vec<_> = self.states.keys().copied().collect();
        open.sort_unstable();
        let at = self.recording.contents.written_at;
        open.into_iter()
            .try_for_each(|number| self.end_state(number, at))
    }

    fn put(&mut self, value: &Value) -> io::Result<()> {
        let comma: &[u8] = if self.is_first { b"\n" } else { b",\n" };
        self.is_first = false;
        self.out.write_all(comma)?;
        serde_json::to_writer(&mut *self.out, value).map_err(io::Error::from)
    }
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}
