//! evserve serves static files and small protocols from one readiness loop.
//!
//! The modules, from the top down. A module imports only from rows below its own (`tests/layers/imports.rs`):
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`program`] | what a command line comes to, and the exit code |
//! | [`cli`] | the options, as a user writes them |
//! | [`server`] | how a [`config::Config`] becomes listeners, services and a running model |
//! | [`model`] | how connections wait and act: event loops, threads, processes |
//! | [`poller`] | select(2), poll(2) and epoll(7), which report what is ready |
//! | [`service`] | the protocols, each a [`session::Session`] |
//! | [`session`] | the state of one connection, and what a model must do for it; pure |
//! | [`http1`] | the grammar of HTTP/1.1; pure |
//! | [`files`] | the document root |
//! | [`observe`] | the access log, the status, limits on repeated log lines |
//! | [`confine`] | what a process gives up before it serves |
//! | [`config`] | what the server is told to do |
//! | [`net`] | sockets |
//! | [`lines`] | log lines, written without waiting for their reader |
//! | [`sys`] | the system calls, each in one place |
//! | [`offload`] | threads that may wait for a file system |
//! | [`trace`] | what the first requests make the program do, call by call |
//!
//! `docs/architecture.md` walks a request through them.

pub use server::{Handle, Server};
pub use service::http::{Fallback, Handler, Pages, Response};
pub use service::{Service, Sharing};
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
