//! What the server tells about itself while it works.

pub mod access_log;
mod board;
mod log_file;
mod operator_log;
mod view;

pub use board::{About, Board, Look, Poster};
pub use log_file::LogFile;
pub use operator_log::start_operator_log;
pub use view::{Cell, Doers, Readiness, View};
