//! evserve serves static files and small protocols from one readiness loop.
//!
//! The rooms, from the top down; imports point down only, which `tests/layers/imports.rs` checks:
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`program`] | what a command line comes to, and the exit code |
//! | [`cli`] | the options, as a user writes them |
//! | [`server`] | how a [`config::Config`] becomes listeners, services and a running model |
//! | [`model`] | who waits, and how |
//! | [`poller`] | who says what is ready |
//! | [`service`] | the protocols, each a [`session::Session`] |
//! | [`session`] | what a conversation is; pure |
//! | [`http1`] | the grammar of HTTP/1.1; pure |
//! | [`files`] | the document root |
//! | [`observe`] | access log |
//! | [`confine`] | what a process gives up before it serves |
//! | [`config`] | what the server is told to do |
//! | [`net`] | sockets |
//! | [`sys`] | the system calls, each in one place |
//! | [`lines`] | lines for readers that may not read |
//! | [`offload`] | threads that may wait for a file system |
//! | [`trace`] | what the first requests make the program do, call by call |
//!
//! `docs/architecture.md` walks a request through them.

pub use server::{Handle, Server};
pub use service::Service;
pub use service::http::{Fallback, Handler, Pages, Response};
pub use session::{Context, Session, Timeout, Wait};

#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod confine;
pub mod files;
pub mod http1;
pub mod lines;
pub mod model;
pub mod net;
pub mod observe;
pub mod offload;
pub mod poller;
#[cfg(feature = "cli")]
pub mod program;
pub mod server;
pub mod service;
pub mod session;
pub mod sys;
pub mod trace;
