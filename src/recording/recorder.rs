//! Adds events to the memory of the process.

use super::contents::{Contents, Part};
use super::format::{Event, Kind, MAX_TEXT, TEXT_SIZE, Table};
use super::ring::{CHUNK, Ring};
use rustix::process::getpid;
use rustix::thread::gettid;
use std::cell::Cell;
use std::io;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

static RECORDER: OnceLock<Recorder> = OnceLock::new();

struct Recorder {
    ring: Ring,
    /// Time 0.
    began: Instant,
    /// The wall clock at that time.
    wall: Duration,
    process: u32,
    facts: Vec<(String, String)>,
}

/// What a thread adds to.
struct Writer {
    /// The chunk that it holds.
    chunk: Cell<usize>,
    /// How many events that has; [`CHUNK`] also if it holds none.
    count: Cell<usize>,
    has_chunk: Cell<bool>,
    /// The process and the thread; 0 if they are not known yet.
    owner: Cell<u64>,
    /// The recording that it adds to. All but the process and the thread belong to that.
    recording: Cell<u64>,
    /// The clock, as it was last read.
    time: Cell<u64>,
    /// The descriptor of the connection that acts; -1 if none does.
    subject: Cell<i32>,
}

thread_local! {
    static WRITER: Writer = const {
        Writer {
            chunk: Cell::new(0),
            count: Cell::new(CHUNK),
            has_chunk: Cell::new(false),
            owner: Cell::new(0),
            recording: Cell::new(0),
            time: Cell::new(0),
            subject: Cell::new(-1),
        }
    };
    /// Releases the chunk when the thread ends. Apart, so that the writer has no destructor, which
    /// would cost a check with each event.
    static AT_END: ReleaseAtEnd = const { ReleaseAtEnd };
}

struct ReleaseAtEnd;

impl Drop for ReleaseAtEnd {
    fn drop(&mut self) {
        release();
    }
}

/// Takes memory for this many events. Call this before processes are forked that are to record.
/// `wall` is the wall clock. `facts` are put into each recording. A second call changes nothing.
///
/// # Errors
/// If there is no memory.
pub fn prepare(events: usize, wall: Duration, facts: Vec<(String, String)>) -> io::Result<()> {
    if is_prepared() {
        return Ok(());
    }
    // The wall clock was read right before.
    let began = Instant::now();
    let ring = Ring::new(events)?;
    let _ = RECORDER.set(Recorder {
        ring,
        began,
        wall,
        process: getpid().as_raw_pid().unsigned_abs(),
        facts,
    });
    Ok(())
}

/// True if there is memory for events.
pub fn is_prepared() -> bool {
    RECORDER.get().is_some()
}

/// Begins a recording, and discards the one before. Returns false if one is under way, or without
/// memory.
pub fn begin() -> bool {
    let recorder = RECORDER.get();
    recorder.is_some_and(|recorder| recorder.ring.begin(recorder.now()).is_some())
}

/// True if a recording is under way, in whatever process it was begun.
pub fn is_under_way() -> bool {
    let recorder = RECORDER.get();
    recorder.is_some_and(|recorder| recorder.ring.recording() & 1 == 1)
}

/// Ends the recording, in all threads and processes at once. Its events are kept.
pub fn end() {
    if let Some(recorder) = RECORDER.get() {
        recorder.ring.end();
    }
}

/// Calls `act` with the memory and what this thread adds to, if a recording is under way.
#[inline]
fn with_writer(act: impl FnOnce(&Recorder, &Writer)) {
    if let Some(recorder) = RECORDER.get() {
        WRITER.with(|writer| {
            if writer.recording.get() == recorder.ring.recording() || writer.join(recorder) {
                act(recorder, writer);
            }
        });
    }
}

/// Reads the clock: nanoseconds since time 0.
#[inline]
pub fn now() -> u64 {
    RECORDER.get().map_or(0, |recorder| recorder.now())
}

/// A time in nanoseconds since time 0; 0 if it is earlier.
pub fn time(instant: Instant) -> u64 {
    RECORDER.get().map_or(0, |recorder| recorder.time(instant))
}

/// Adds an event that happens now.
#[inline]
pub fn push_now(mut event: Event) {
    with_writer(|recorder, writer| {
        event.at = recorder.now();
        writer.time.set(event.at);
        writer.push(recorder, event);
    });
}

/// Adds an event that happened at `event.at`, when the clock was just read.
#[inline]
pub fn push_at(event: Event) {
    with_writer(|recorder, writer| {
        writer.time.set(event.at);
        writer.push(recorder, event);
    });
}

/// Adds an event at the time when this thread last read the clock.
#[inline]
pub fn push(mut event: Event) {
    with_writer(|recorder, writer| {
        event.at = writer.time.get();
        writer.push(recorder, event);
    });
}

/// Adds a call that began at `event.at` and returns now. One that began before the recording is not
/// added.
#[inline]
pub fn push_call(mut event: Event) {
    with_writer(|recorder, writer| {
        let now = recorder.now();
        event.extra = now.saturating_sub(event.at);
        writer.time.set(now);
        if event.at >= recorder.ring.began() {
            writer.push(recorder, event);
        }
    });
}

/// Adds an event with a text behind it, of which [`MAX_TEXT`] bytes are kept.
pub fn push_text(event: Event, text: &[u8]) {
    push_now(event);
    for piece in text[..text.len().min(MAX_TEXT)].chunks(TEXT_SIZE) {
        let mut bytes = [0; TEXT_SIZE];
        bytes[..piece.len()].copy_from_slice(piece);
        let (words, _) = bytes.as_chunks::<8>();
        push(Event {
            code: piece.len() as u8,
            value: u64::from_le_bytes(words[0]) as i64,
            extra: u64::from_le_bytes(words[1]),
            ..Event::new(Kind::Text, event.fd)
        });
    }
}

/// The number of a session's state.
#[inline]
pub fn state_number(state: &'static str) -> u8 {
    let recorder = RECORDER.get();
    recorder.map_or(0, |recorder| recorder.ring.name_number(state))
}

/// Returns the number of the next connection.
pub fn next_connection() -> u64 {
    let recorder = RECORDER.get();
    recorder.map_or(0, |recorder| recorder.ring.next_connection())
}

/// Sets the descriptor of the connection that acts on this thread; -1 if none does.
#[inline]
pub fn set_subject(fd: i32) {
    with_writer(|_, writer| writer.subject.set(fd));
}

/// The descriptor of the connection that acts on this thread; -1 if none does, or if that was not
/// said since the recording began.
#[inline]
pub fn subject() -> i32 {
    let mut fd = -1;
    with_writer(|_, writer| fd = writer.subject.get());
    fd
}

/// Call this in a forked process before it records: the chunk belongs to its parent.
pub fn forked() {
    WRITER.with(|writer| {
        writer.has_chunk.set(false);
        writer.count.set(CHUNK);
        writer.owner.set(0);
    });
}

/// Call this when a thread or process records no more. Threads do so by themselves.
pub fn release() {
    WRITER.with(|writer| {
        if let Some(recorder) = RECORDER.get()
            && writer.has_chunk.replace(false)
        {
            writer.count.set(CHUNK);
            recorder.ring.release(writer.chunk.get());
        }
    });
}

/// Call this when a forked process has ended, in whatever way.
pub fn release_process(process: u32) {
    if let Some(recorder) = RECORDER.get() {
        recorder.ring.release_process(process);
    }
}

/// Copies the events of the recording that is under way, or of the last one. No thread waits for
/// this.
pub fn snapshot() -> Option<Contents> {
    let recorder = RECORDER.get()?;
    let (lost, complete_since) = recorder.ring.lost();
    let parts = recorder.ring.copy().into_iter().map(|copied| Part {
        process: (copied.owner >> 32) as u32,
        thread: copied.owner as u32,
        events: copied.events,
    });
    let mut contents = Contents {
        wall_clock: recorder.wall.as_nanos() as u64,
        lost,
        complete_since,
        process: recorder.process,
        facts: recorder.facts.clone(),
        parts: parts.collect(),
        ..Contents::default()
    };
    contents.written_at = recorder.now();
    contents.add_fixed_names();
    let names = recorder.ring.names().into_iter();
    let names = names.map(|(number, name)| ((Table::States, number), name));
    contents.names.extend(names);
    Some(contents)
}

impl Recorder {
    #[inline]
    fn now(&self) -> u64 {
        self.time(Instant::now())
    }

    #[inline]
    fn time(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.began);
        since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos())
    }
}

impl Writer {
    #[inline]
    fn push(&self, recorder: &Recorder, event: Event) {
        if self.count.get() == CHUNK && !self.take(&recorder.ring) {
            return recorder.ring.lose(1, event.at);
        }
        let count = self.count.get();
        recorder.ring.put(self.chunk.get(), count, event.to_words());
        self.count.set(count + 1);
    }

    /// Begins to add to the recording that is under way. Returns false if none is.
    #[cold]
    fn join(&self, recorder: &Recorder) -> bool {
        let number = recorder.ring.recording();
        if number & 1 == 0 {
            return false;
        }
        if self.has_chunk.replace(false) {
            recorder.ring.release(self.chunk.get());
        }
        self.count.set(CHUNK);
        self.recording.set(number);
        self.time.set(recorder.now());
        self.subject.set(-1);
        true
    }

    /// Takes a chunk. Returns false if there is none.
    #[cold]
    fn take(&self, ring: &Ring) -> bool {
        if self.has_chunk.replace(false) {
            ring.release(self.chunk.get());
        }
        if self.owner.get() == 0 {
            let [process, thread] =
                [getpid().as_raw_pid(), gettid().as_raw_pid()].map(i32::unsigned_abs);
            self.owner.set(u64::from(process) << 32 | u64::from(thread));
        }
        let Some(chunk) = ring.take(self.owner.get(), self.recording.get()) else {
            return false;
        };
        self.chunk.set(chunk);
        self.count.set(0);
        // A thread that is ending cannot register again, and keeps its last chunk.
        let is_registered = AT_END.try_with(|_| ()).is_ok();
        self.has_chunk.set(is_registered);
        if !is_registered {
            ring.release(chunk);
            self.count.set(CHUNK);
        }
        is_registered
    }
}
