//! The grammar of HTTP/1.1 (RFC 9112): where a request head ends and what it says, and how a response head is written.
//!
//! This room is pure, and knows no files: it turns bytes into meanings and meanings into bytes.

mod request;
mod response;
mod status;
mod target;

pub use request::{
    Body, HeadEnd, MAX_HEAD, MAX_HEADERS, MAX_TARGET, Method, Request, Version, request_line,
};
pub use response::{HEAD_ROOM, ResponseHead};
pub use status::Status;
pub use target::Target;
