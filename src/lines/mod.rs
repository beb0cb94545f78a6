//! Lines for a reader that may not read: no write here waits for one.
//!
//! The access log, the operator's log and `--trace-requests` all go through [`LineWriter`]. This module knows none of
//! them.

mod standard_error;
mod writer;

pub use standard_error::{
    discard_pending_standard_error, finish_standard_error, flush_standard_error,
    standard_error_is_behind, write_to_standard_error,
};
pub use writer::LineWriter;
