//! Standard error, shared by all writers in the process.

use super::LineWriter;
use std::io::stderr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The inner `None` means that standard error is unusable.
static WRITER: OnceLock<Mutex<Option<LineWriter>>> = OnceLock::new();
static IS_BEHIND: AtomicBool = AtomicBool::new(false);

fn writer() -> MutexGuard<'static, Option<LineWriter>> {
    let writer = WRITER.get_or_init(|| Mutex::new(LineWriter::shared(stderr().as_fd()).ok()));
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes whole lines. Drops them if the reader is too slow. Once the reader takes lines again,
/// `lost_lines_note` makes a line from the number of dropped ones.
pub fn write_to_standard_error(mut lines: Vec<u8>, lost_lines_note: impl FnOnce(usize) -> Vec<u8>) {
    let mut writer = writer();
    let Some(writer) = &mut *writer else {
        return;
    };
    // Write pending lines first. Otherwise the note could displace the lines that it counts.
    let _ = writer.flush();
    if !writer.is_behind() {
        match writer.take_lost() {
            0 => {}
            lost => {
                writer.push(&mut lost_lines_note(lost));
            }
        }
    }
    writer.push(&mut lines);
    let _ = writer.flush();
    IS_BEHIND.store(writer.is_behind(), Relaxed);
}

/// True if lines are pending. Call [`flush_standard_error`] soon.
#[inline]
pub fn standard_error_is_behind() -> bool {
    IS_BEHIND.load(Relaxed)
}

/// Writes as much of the pending lines as is possible now.
pub fn flush_standard_error() {
    if let Some(writer) = &mut *writer() {
        let _ = writer.flush();
        IS_BEHIND.store(writer.is_behind(), Relaxed);
    }
}

/// Waits for a slow reader, for at most `time`. Call this before the process ends.
pub fn finish_standard_error(time: Duration) {
    if let Some(writer) = &mut *writer() {
        writer.finish(time);
        IS_BEHIND.store(false, Relaxed);
    }
}

/// Discards pending lines, because the parent process writes them. Call this first in a child
/// process.
pub fn discard_pending_standard_error() {
    if let Some(writer) = &mut *writer() {
        writer.forget();
        IS_BEHIND.store(false, Relaxed);
    }
}
