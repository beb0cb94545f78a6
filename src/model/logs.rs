//! What models do with logs.

use crate::observe::LogFile;
use std::time::Duration;

/// How soon lines are written that a log's reader was too slow for.
pub(super) const LOG_RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// Reopens the access log's file, as SIGHUP asks for. A log that is no file stays as it is.
pub(super) fn reopen_log(log: &mut LogFile) {
    if log.reopen() {
        log::info!("the access log has been reopened");
    }
}
