//! Flushing and reopening logs.

use crate::observe::LogFile;
use std::time::Duration;

/// How soon to retry writing log lines that the reader was too slow for.
pub(super) const LOG_RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// Reopens the access log's file, for SIGHUP. Does nothing if the log is not a file.
pub(super) fn reopen_log(log: &mut LogFile) {
    if log.reopen() {
        log::info!("the access log has been reopened");
    }
}
