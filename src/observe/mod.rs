//! What operators can observe of a running server: the access log, the status, and throttled
//! warnings.

pub mod access_log;
mod certificates;
mod log_file;
mod response_times;
mod short_recording;
mod snapshot;
mod status_hub;
mod throttle;

pub use certificates::{CertificateInfo, CertificateList};
pub use log_file::LogFile;
pub use response_times::ResponseTimer;
pub use short_recording::{RecordingPermit, recording_facts};
pub use status_hub::{ExecutorKind, Publisher, ServerInfo, SnapshotStart, StatusHub};

/// Standard error, as far as models need it.
pub use crate::lines::{
    discard_pending_standard_error, finish_standard_error, flush_standard_error,
    standard_error_is_behind,
};
pub use snapshot::{ConnectionRow, Executors, LoopRow, Readiness, Snapshot};
pub(crate) use throttle::throttled;
pub use throttle::{LOG_INTERVAL, Throttle, log_suppressed, share_throttles};
