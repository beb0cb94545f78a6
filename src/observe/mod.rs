//! What the server tells about itself while it works.

pub mod access_log;
mod log_file;
mod snapshot;
mod status_hub;
mod throttle;

pub use log_file::LogFile;
pub use status_hub::{About, Publisher, SnapshotStart, StatusHub};

/// The standard error, as far as models must know of it.
pub use crate::lines::{
    discard_pending_standard_error, finish_standard_error, flush_standard_error,
    standard_error_is_behind,
};
pub use snapshot::{ConnectionRow, Executors, Readiness, Snapshot};
pub(crate) use throttle::throttled;
pub use throttle::{PAUSE, Throttle, log_left_out, share_throttles};
