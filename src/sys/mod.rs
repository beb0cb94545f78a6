//! The system calls that the server makes, each in one place.
//!
//! A function is thin: it names the call, says what its result means, and has the call appear in the trace
//! ([`crate::trace`]). This module knows neither who calls nor what for.

mod stream;
mod wait;

pub use stream::{
    SENDFILE_REFUSED, is_gone, read_at, receive, receive_now, send, send_file, set_receive_timeout,
    set_send_timeout, shutdown_both, shutdown_read, shutdown_write,
};
pub use wait::{is_readable, poll, poll_quietly, wait_for_memory};
