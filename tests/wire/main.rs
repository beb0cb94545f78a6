//! Bytes in, bytes out: the real program on every model.

#![allow(missing_docs)]

#[path = "../common/mod.rs"]
mod common;

mod accept;
mod access_log;
mod addresses;
#[cfg(feature = "auth")]
mod auth;
mod cache;
#[cfg(feature = "tls")]
mod certificates;
mod chat;
mod chat_floods;
#[cfg(feature = "compress")]
mod compression;
mod confine;
mod course;
mod datagrams;
mod daytime;
mod demos;
mod disk;
mod documented;
mod echo;
mod examples;
mod fetch;
mod floods;
mod hanging;
mod http;
mod inherited;
mod limits;
mod listings;
mod matrix;
mod models;
mod multishot;
mod packaging;
mod per_ip;
mod process;
mod proxied;
mod recording;
mod refused_calls;
mod renames;
mod replay;
mod representation;
mod reservations;
mod rings;
mod root;
mod screenshots;
mod single_file;
mod site;
mod slow;
mod status;
mod status_recording;
mod stopping;
mod switches;
mod terminal;
#[cfg(feature = "tls")]
mod tls;
mod trace;
mod triggers;
mod unavailable;
mod unix;
mod unread;
mod validators;
mod warnings;
