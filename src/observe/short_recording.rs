//! A recording of the next two seconds, for a client of the status.

use crate::recording;
use crate::sys::untraced::real_time;
use crate::trace;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::sleep;
use std::time::Duration;

/// How long such a recording lasts.
const SHORT_RECORDING: Duration = Duration::from_secs(2);

/// True while one is made: there is one recording in the process.
static UNDER_WAY: AtomicBool = AtomicBool::new(false);

/// Permits one recording at a time.
#[derive(Debug)]
pub struct RecordingPermit(());

/// What every recording says of its server.
pub fn recording_facts(model: &str, workers: usize) -> Vec<(String, String)> {
    [
        ("model", model.to_owned()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("workers", workers.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

impl RecordingPermit {
    /// `None` while another one is in use.
    pub fn take() -> Option<RecordingPermit> {
        let taken = UNDER_WAY.compare_exchange(false, true, SeqCst, SeqCst);
        taken.is_ok().then_some(RecordingPermit(()))
    }

    /// Records at most this many events. Waits meanwhile, so a loop must not call this. Returns the
    /// file. A recording that is under way anyway goes on, and is the source of this one.
    ///
    /// # Errors
    /// If there is no memory for the events.
    pub fn record(self, events: usize, facts: Vec<(String, String)>) -> io::Result<Vec<u8>> {
        recording::prepare(events, real_time(), facts)?;
        let (begin, begun) = (recording::now(), trace::start_recording());
        sleep(SHORT_RECORDING);
        if begun.is_ok() {
            trace::stop_recording();
        }
        let mut contents = recording::snapshot().ok_or(io::ErrorKind::Unsupported)?;
        contents.keep_since(begin);
        Ok(contents.to_bytes())
    }
}

impl Drop for RecordingPermit {
    fn drop(&mut self) {
        UNDER_WAY.store(false, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_recording_is_permitted_at_a_time() {
        let permit = RecordingPermit::take().expect("none is under way");
        assert!(RecordingPermit::take().is_none());
        drop(permit);
        assert!(RecordingPermit::take().is_some());
    }
}
