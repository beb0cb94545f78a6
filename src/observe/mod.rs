//! What the server tells about itself while it works.

pub mod access_log;
mod log_file;

pub use log_file::LogFile;
