//! The file of a recording: opened at the start, written when SIGUSR1 comes and at the end.
//!
//! A thread of its own waits for the signal, copies the events and writes them, so no loop waits.

use crate::config::{Config, StartError};
use crate::model::{ModelRow, Signals, without_forks};
use crate::observe::recording_facts;
use crate::recording::{self, Contents};
use crate::sys::untraced::{ftruncate, open, pread, pwrite, real_time};
use crate::sys::{Errno, EventFd, Mode, OFlags, PollFd, PollFlags, poll_untraced};
use crate::trace;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// The stack of the thread, in bytes.
const STACK: usize = 256 * 1024;

/// The file, and what says when it is to be written.
pub(super) struct RecordingFile {
    path: PathBuf,
    file: Mutex<OwnedFd>,
    requests: Signals,
}

/// A recording that goes on.
pub(super) struct RunningRecording {
    file: Arc<RecordingFile>,
    /// No other server of this process has begun it.
    is_ours: bool,
    stop: Option<Arc<EventFd>>,
    thread: Option<JoinHandle<()>>,
}

impl RecordingFile {
    /// Opens the file that the configuration names, takes the memory for events and catches SIGUSR1.
    ///
    /// # Errors
    /// A sentence for the user about what failed.
    pub fn open(config: &Config, model: &ModelRow) -> Result<Option<RecordingFile>, StartError> {
        let Some(path) = &config.record else {
            return Ok(None);
        };
        let error = |why: &dyn std::fmt::Display| {
            StartError(format!("cannot record to {}: {why}", path.display()))
        };
        let file = open_file(path).map_err(|errno| error(&errno))?;
        if is_something_else(&file) {
            return Err(error(
                &"it is a file that is no recording; take another name",
            ));
        }
        let facts = recording_facts(model.name, config.workers);
        recording::prepare(config.record_events, real_time(), facts)
            .map_err(|why| error(&format!("no memory for its events: {why}")))?;
        let requests = Signals::of_recording().map_err(|why| error(&why))?;
        Ok(Some(RecordingFile {
            path: path.clone(),
            file: Mutex::new(file),
            requests,
        }))
    }

    /// Begins to record.
    pub fn start(self) -> RunningRecording {
        let (file, stop) = (Arc::new(self), EventFd::new().map(Arc::new));
        let begun = trace::start_recording();
        if let Err(why) = begun {
            log::warn!("{why}: {} will have its events", file.path.display());
        }
        let (stop, thread) = match stop {
            Ok(stop) => {
                let (file, stopped) = (file.clone(), stop.clone());
                let builder = Builder::new().name("recording".into()).stack_size(STACK);
                (Some(stop), builder.spawn(move || file.wait(&stopped)))
            }
            Err(error) => (None, Err(error)),
        };
        if let Err(error) = &thread {
            log::warn!("cannot start a thread: {error}; SIGUSR1 does not write the recording");
        }
        RunningRecording {
            file,
            is_ours: begun.is_ok(),
            stop,
            thread: thread.ok(),
        }
    }

    /// Writes the recording whenever the signal comes, until `stop` is set.
    fn wait(&self, stop: &EventFd) {
        loop {
            let mut watched = [
                PollFd::new(&self.requests, PollFlags::IN),
                PollFd::new(stop, PollFlags::IN),
            ];
            if poll_untraced(&mut watched, None).is_err() {
                return;
            }
            if !watched[1].revents().is_empty() {
                return;
            }
            if self.requests.take() > 0 {
                self.write();
            }
        }
    }

    /// Writes the recording, instead of what the file has, and logs that.
    fn write(&self) {
        let Some(contents) = recording::snapshot() else {
            return;
        };
        let bytes = contents.to_bytes();
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let result = write_all(&file, &bytes);
        drop(file);
        // Logging takes a lock.
        without_forks(|| self.log(&contents, result));
    }

    fn log(&self, contents: &Contents, result: Result<(), Errno>) {
        let (path, lost) = (self.path.display(), contents.lost);
        let events: usize = contents.parts.iter().map(|part| part.events.len()).sum();
        let more = match lost {
            0 => String::new(),
            lost => format!("; {lost} earlier ones were lost (--record-events)"),
        };
        match result {
            Ok(()) => log::info!("recording: {events} events in {path}{more}"),
            Err(errno) => log::error!("cannot write the recording to {path}: {errno}"),
        }
    }
}

impl RunningRecording {
    /// Ends the recording and writes it. All threads and processes have ended.
    pub fn finish(mut self) {
        if self.is_ours {
            trace::stop_recording();
        }
        self.stop.iter().for_each(|stop| stop.set());
        if let Some(thread) = self.thread.take() {
            // A panic of it was logged.
            let _ = thread.join();
        }
        self.file.write();
    }
}

/// Opens the file for writing, and makes it if there is none. Only its owner may read it, since it
/// tells what clients have asked for.
fn open_file(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY;
    // A FIFO could block.
    open(path, flags | OFlags::NONBLOCK, Mode::from_raw_mode(0o600))
}

/// True if the file has content that is no recording, which must not be lost.
fn is_something_else(file: &OwnedFd) -> bool {
    let mut first = [0; recording::MAGIC.len()];
    match pread(file, &mut first, 0) {
        Ok(count) => count > 0 && first[..count] != recording::MAGIC[..count],
        // Neither can it be written at a place.
        Err(_) => true,
    }
}

fn write_all(file: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    // A reader of the unfinished file sees that it is shorter than its header says.
    ftruncate(file, 0)?;
    let mut at = 0;
    while at < bytes.len() {
        match pwrite(file, &bytes[at..], at as u64) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(count) => at += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
