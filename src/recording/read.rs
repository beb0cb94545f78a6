//! A recording that was read: its events by time, each with its thread and its connection.

use super::FormatError;
use super::contents::Contents;
use super::format::{Event, Kind, MAX_TEXT, TEXT_SIZE, Table};
use std::collections::HashMap;

/// A recording.
pub struct Recording {
    /// All but the events.
    pub contents: Contents,
    /// The events by time.
    pub events: Vec<Recorded>,
}

/// An event of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its process.
    pub process: u32,
    /// Its thread.
    pub thread: u32,
    /// What happened.
    pub event: Event,
    /// The number of the connection that it belongs to. `None` if there is none, or if its beginning
    /// is lost.
    pub connection: Option<u64>,
    /// For [`Kind::Request`], the method and the target, as they came; they may be cut off.
    pub text: Vec<u8>,
}

impl Recording {
    /// Reads a recording. No bytes make this panic, or take more memory than a few times their
    /// length.
    ///
    /// # Errors
    /// If this is no complete recording of this version.
    pub fn parse(bytes: &[u8]) -> Result<Recording, FormatError> {
        let mut contents = Contents::from_bytes(bytes)?;
        let all = contents.events()?;
        let mut events: Vec<Recorded> = Vec::with_capacity(all.len());
        // The last request of each thread, whose text may go on.
        let mut requests: HashMap<(u32, u32), usize> = HashMap::new();
        let mut open: HashMap<(u32, i32), u64> = HashMap::new();
        for (index, event) in all {
            let part = &contents.parts[index];
            let thread = (part.process, part.thread);
            if event.kind == Kind::Text {
                if let Some(request) = requests.get(&thread) {
                    add_text(&mut events[*request].text, &event);
                }
                continue;
            }
            let key = (part.process, event.fd);
            if event.kind == Kind::Opened {
                open.insert(key, event.value as u64);
            }
            let connection = open.get(&key).copied();
            if event.kind == Kind::Closed {
                open.remove(&key);
            }
            if event.kind == Kind::Request {
                requests.insert(thread, events.len());
            }
            events.push(Recorded {
                process: part.process,
                thread: part.thread,
                event,
                connection,
                text: Vec::new(),
            });
        }
        contents.parts.clear();
        Ok(Recording { contents, events })
    }

    /// The name of a number; empty if it has none.
    pub fn name(&self, table: Table, number: u8) -> &str {
        let name = self.contents.names.get(&(table, number));
        name.map_or("", String::as_str)
    }

    /// What is known of the server under this key.
    pub fn fact(&self, key: &str) -> Option<&str> {
        let mut facts = self.contents.facts.iter();
        facts
            .find(|(known, _)| known == key)
            .map(|(_, value)| &**value)
    }
}

fn add_text(text: &mut Vec<u8>, event: &Event) {
    let bytes = [event.value as u64, event.extra].map(u64::to_le_bytes);
    let bytes = bytes.as_flattened();
    let count = usize::from(event.code).min(TEXT_SIZE);
    if text.len() + count <= MAX_TEXT {
        text.extend(&bytes[..count]);
    }
}

#[cfg(test)]
mod tests;
