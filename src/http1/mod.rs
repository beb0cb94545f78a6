//! The grammar of HTTP/1.1 (RFC 9112): finds the end of a head, parses it, and writes response
//! heads. Requests are parsed for servers, responses for clients.
//!
//! This module does no I/O and does not know files.

mod body;
mod conditional;
mod encoding;
mod head_end;
mod lexical;
mod list;
mod range;
mod received_head;
mod request;
mod response;
mod status;
mod target;

pub use body::BodyReader;
pub use conditional::{Conditions, FileVersion, TagParts, Validators, Verdict};
pub use encoding::{CODINGS, Coding, GZIP, accepted_codings, media_weight};
pub use head_end::{HeadEnd, MAX_HEAD, MAX_TARGET};
pub use lexical::is_token;
pub use list::{List, field_lines};
pub use range::{ByteRange, MAX_RANGES, Ranges};
pub use received_head::{ReceivedHead, ResponseBody, ResponseError};
pub use request::{MAX_FIELDS, Method, Request, RequestBody, Version, request_line};
pub use response::{FileFields, HEAD_ROOM, ResponseHead, SERVER, before_date};
pub use response::{is_connection_field, is_reserved_field, write_content_range};
pub use status::StatusCode;
pub use target::Target;
