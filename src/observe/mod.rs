//! What the server tells about itself while it works.

pub mod access_log;
mod log_file;
mod operator_log;

pub use log_file::LogFile;
pub use operator_log::start_operator_log;
