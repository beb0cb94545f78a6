//! What a recording contains, as bytes.

use super::FormatError;
use super::format::{EVENT_SIZE, Event, HEADER_SIZE, MAGIC, Table, VERSION, fixed_names};
use std::collections::BTreeMap;

/// Events of one thread, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The process.
    pub process: u32,
    /// The thread (gettid(2)).
    pub thread: u32,
    /// The events, as in [`Event::to_words`].
    pub events: Vec<[u64; 4]>,
}

/// The contents of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The wall clock at time 0, in nanoseconds since 1970.
    pub wall_clock: u64,
    /// When the recording was written, in nanoseconds since time 0.
    pub written_at: u64,
    /// How many events were lost.
    pub lost: u64,
    /// No event is missing from this time on, in nanoseconds since time 0.
    pub complete_since: u64,
    /// The server's process.
    pub process: u32,
    /// What is known of the server, by key.
    pub facts: Vec<(String, String)>,
    /// The names of all numbers.
    pub names: BTreeMap<(Table, u8), String>,
    /// The events. Parts of one thread follow in their order.
    pub parts: Vec<Part>,
}

impl Contents {
    /// Adds the names that every recording has.
    pub fn add_fixed_names(&mut self) {
        let fixed = fixed_names().map(|(table, number, name)| ((table, number), name.to_owned()));
        self.names.extend(fixed);
    }

    /// Leaves out what happened before `at`, in nanoseconds since time 0.
    pub fn keep_since(&mut self, at: u64) {
        for part in &mut self.parts {
            part.events.retain(|[time, ..]| *time >= at);
        }
        self.parts.retain(|part| !part.events.is_empty());
        if self.complete_since <= at {
            self.lost = 0;
        }
        self.complete_since = self.complete_since.max(at);
    }

    /// The file. Texts longer than 64 KiB are cut off.
    pub fn to_bytes(&self) -> Vec<u8> {
        let events: usize = self.parts.iter().map(|part| part.events.len()).sum();
        let mut bytes = Vec::with_capacity(HEADER_SIZE + 8192 + events * EVENT_SIZE);
        bytes.extend(MAGIC);
        put_u32(&mut bytes, VERSION);
        put_u32(&mut bytes, HEADER_SIZE as u32);
        for number in [
            0,
            self.wall_clock,
            self.written_at,
            self.lost,
            self.complete_since,
        ] {
            bytes.extend(number.to_le_bytes());
        }
        let counts = [self.facts.len(), self.names.len(), self.parts.len()];
        counts
            .iter()
            .for_each(|count| put_u32(&mut bytes, *count as u32));
        put_u32(&mut bytes, self.process);
        bytes.resize(HEADER_SIZE, 0);
        for (key, value) in &self.facts {
            put_text(&mut bytes, key);
            put_text(&mut bytes, value);
        }
        for ((table, number), name) in &self.names {
            bytes.extend([*table as u8, *number]);
            put_text(&mut bytes, name);
        }
        for part in &self.parts {
            put_u32(&mut bytes, part.process);
            put_u32(&mut bytes, part.thread);
            put_u32(&mut bytes, part.events.len() as u32);
            let words = part.events.iter().flatten();
            words.for_each(|word| bytes.extend(word.to_le_bytes()));
        }
        let length = bytes.len() as u64;
        bytes[16..24].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// The contents of a file.
    ///
    /// # Errors
    /// If it is not a complete recording of this version. Bytes behind its end are ignored.
    pub fn from_bytes(bytes: &[u8]) -> Result<Contents, FormatError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(FormatError::NotARecording);
        }
        let mut rest = Input(&bytes[MAGIC.len()..]);
        let version = rest.u32()?;
        if version != VERSION {
            return Err(FormatError::UnknownVersion(version));
        }
        let header = rest.u32()? as usize;
        let length = usize::try_from(rest.u64()?).map_err(|_| FormatError::CutOff)?;
        let mut contents = Contents {
            wall_clock: rest.u64()?,
            written_at: rest.u64()?,
            lost: rest.u64()?,
            complete_since: rest.u64()?,
            ..Contents::default()
        };
        let [facts, names, parts] = [rest.u32()?, rest.u32()?, rest.u32()?];
        contents.process = rest.u32()?;
        if header < HEADER_SIZE {
            return Err(FormatError::CutOff);
        }
        let body = bytes.get(header..length).ok_or(FormatError::CutOff)?;
        let mut rest = Input(body);
        for _ in 0..facts {
            contents.facts.push((rest.text()?, rest.text()?));
        }
        for _ in 0..names {
            let [table, number] = rest.take()?;
            let name = rest.text()?;
            // A later program may add tables.
            if let Some(table) = table_of(table) {
                contents.names.insert((table, number), name);
            }
        }
        for _ in 0..parts {
            let mut part = Part {
                process: rest.u32()?,
                thread: rest.u32()?,
                events: Vec::new(),
            };
            let size = rest.u32()? as usize * EVENT_SIZE;
            // Checked before memory is taken.
            let (events, _) = rest.bytes(size)?.as_chunks::<8>();
            let words: Vec<_> = events
                .iter()
                .map(|word| u64::from_le_bytes(*word))
                .collect();
            part.events = words.as_chunks::<4>().0.to_vec();
            contents.parts.push(part);
        }
        Ok(contents)
    }

    /// Each event with the number of its part, by time. Events of one thread keep their order.
    ///
    /// # Errors
    /// If the kind of an event is unknown.
    pub(super) fn events(&self) -> Result<Vec<(usize, Event)>, FormatError> {
        let mut all = Vec::new();
        let mut latest: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        for (index, part) in self.parts.iter().enumerate() {
            let latest = latest.entry((part.process, part.thread)).or_default();
            for words in &part.events {
                let event = Event::from_words(*words)?;
                // A call is recorded when it returns, with the time at which it began.
                *latest = event.at.max(*latest);
                all.push((*latest, index, event));
            }
        }
        all.sort_by_key(|(at, ..)| *at);
        Ok(all
            .into_iter()
            .map(|(_, index, event)| (index, event))
            .collect())
    }
}

fn table_of(number: u8) -> Option<Table> {
    [
        Table::Kinds,
        Table::Calls,
        Table::Sources,
        Table::Reasons,
        Table::Ends,
        Table::Operations,
        Table::Deadlines,
        Table::States,
    ]
    .into_iter()
    .find(|table| *table as u8 == number)
}

fn put_u32(bytes: &mut Vec<u8>, number: u32) {
    bytes.extend(number.to_le_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let longest = text.len().min(usize::from(u16::MAX));
    let mut ends = (0..=longest).rev();
    let length = ends.find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(&text.as_bytes()[..length]);
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], FormatError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(FormatError::CutOff)?;
        self.0 = rest;
        Ok(taken)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(FormatError::CutOff)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, FormatError> {
        self.take().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<String, FormatError> {
        let length = self.take().map(u16::from_le_bytes)?;
        let bytes = self.bytes(length.into())?;
        let text = std::str::from_utf8(bytes).map_err(|_| FormatError::NotText)?;
        Ok(text.to_owned())
    }
}
