//! Bytes in, bytes out: the real program, on every row of the table of models.

#![allow(missing_docs)]

mod common;

#[path = "wire/access_log.rs"]
mod access_log;
#[path = "wire/addresses.rs"]
mod addresses;
#[path = "wire/cache.rs"]
mod cache;
#[path = "wire/chat.rs"]
mod chat;
#[path = "wire/chat_floods.rs"]
mod chat_floods;
#[path = "wire/confine.rs"]
mod confine;
#[path = "wire/datagrams.rs"]
mod datagrams;
#[path = "wire/daytime.rs"]
mod daytime;
#[path = "wire/disk.rs"]
mod disk;
#[path = "wire/echo.rs"]
mod echo;
#[path = "wire/floods.rs"]
mod floods;
#[path = "wire/grid.rs"]
mod grid;
#[path = "wire/hanging.rs"]
mod hanging;
#[path = "wire/http.rs"]
mod http;
#[path = "wire/inherited.rs"]
mod inherited;
#[path = "wire/limits.rs"]
mod limits;
#[path = "wire/listings.rs"]
mod listings;
#[path = "wire/models.rs"]
mod models;
#[path = "wire/packaging.rs"]
mod packaging;
#[path = "wire/per_ip.rs"]
mod per_ip;
#[path = "wire/process.rs"]
mod process;
#[path = "wire/proxied.rs"]
mod proxied;
#[path = "wire/refused_calls.rs"]
mod refused_calls;
#[path = "wire/representation.rs"]
mod representation;
#[path = "wire/root.rs"]
mod root;
#[path = "wire/shares.rs"]
mod shares;
#[path = "wire/slow.rs"]
mod slow;
#[path = "wire/status.rs"]
mod status;
#[path = "wire/stopping.rs"]
mod stopping;
#[path = "wire/trace.rs"]
mod trace;
#[path = "wire/unix.rs"]
mod unix;
#[path = "wire/unread.rs"]
mod unread;
#[path = "wire/validators.rs"]
mod validators;
#[path = "wire/warnings.rs"]
mod warnings;
