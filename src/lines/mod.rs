//! Writers of log lines that never wait for the reader.
//!
//! The access log, the operator's log and `--trace-requests` use [`LineWriter`]. This module knows
//! none of them.

mod standard_error;
mod writer;

pub use standard_error::{
    discard_pending_standard_error, finish_standard_error, flush_standard_error,
    standard_error_is_behind, write_to_standard_error,
};
pub use writer::LineWriter;
