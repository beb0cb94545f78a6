//! The standard error, shared by all in the process that have something to say there.

use super::LineWriter;
use std::io::stderr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// `None` inside if the standard error cannot be used at all.
static WRITER: OnceLock<Mutex<Option<LineWriter>>> = OnceLock::new();
static IS_BEHIND: AtomicBool = AtomicBool::new(false);

fn writer() -> MutexGuard<'static, Option<LineWriter>> {
    let writer = WRITER.get_or_init(|| Mutex::new(LineWriter::shared(stderr().as_fd()).ok()));
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes whole lines. Those that nobody reads are dropped; `lost_lines_note` makes the line that says so, once lines
/// are taken again.
pub fn write_to_standard_error(mut lines: Vec<u8>, lost_lines_note: impl FnOnce(usize) -> Vec<u8>) {
    let mut writer = writer();
    let Some(writer) = &mut *writer else {
        return;
    };
    // What waits must be out first: else the count would push out the lines that it counts.
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

/// True if lines wait for their reader: call [`flush_standard_error`] again soon.
#[inline]
pub fn standard_error_is_behind() -> bool {
    IS_BEHIND.load(Relaxed)
}

/// Writes what can be written now of the lines that wait.
pub fn flush_standard_error() {
    if let Some(writer) = &mut *writer() {
        let _ = writer.flush();
        IS_BEHIND.store(writer.is_behind(), Relaxed);
    }
}

/// Waits for a slow reader, for so long at most. Call this before the process ends.
pub fn finish_standard_error(time: Duration) {
    if let Some(writer) = &mut *writer() {
        writer.finish(time);
        IS_BEHIND.store(false, Relaxed);
    }
}

/// Leaves the lines that wait to the parent. A child process calls this first.
pub fn discard_pending_standard_error() {
    if let Some(writer) = &mut *writer() {
        writer.forget();
        IS_BEHIND.store(false, Relaxed);
    }
}
