//! A server for small protocols, HTTP among them, under every classic I/O model.
//!
//! The library serves the same sessions from an event loop (select, poll, epoll), from threads, or
//! from processes. The program `evserve` is a thin shell around it.
//!
//! # A server in ten lines
//!
//! ```toml
//! [dependencies]
//! evserve = { git = "URL of this repository", default-features = false }
//! ```
//!
//! Without its default feature `cli` the library brings neither clap nor a logger.
//!
//! ```no_run
//! use evserve::{Fallback, Response, Server, http1::Request, service::http, session::Time};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let hello = |request: &Request<'_>, _: &Time| match request.target.path {
//!         b"/hello" => Some(Response::text("Hello!\n")),
//!         _ => None, // a file of the document root
//!     };
//!     let server = Server::builder()
//!         .listen("127.0.0.1:8080", move |config| {
//!             Ok(http::service(Fallback::new(hello, http::files(config)?), config))
//!         })?
//!         .start()?;
//!     Ok(server.run()?)
//! }
//! ```
//!
//! `.model("threaded")` before `.start()` serves the same from a thread for each connection.
//!
//! # Where to go
//!
//! | to | see |
//! | --- | --- |
//! | answer HTTP requests | [`Handler`], [`PartialHandler`], [`Response`] |
//! | write a protocol | [`Session`], the state of a connection; [`Service`], which makes sessions |
//! | know what a model asks of a service | [`Sharing`] |
//! | choose addresses, limits and timeouts | [`Server::builder`], [`config::Config`] |
//! | stop a server | [`Server::handle`] |
//! | write an I/O model | [`session::Action`], then [`model::Acceptor`] |
//! | write a client | [`model::ClientLoop`] runs sessions, such as [`client::HttpClient`] |
//! | run a complete example | `docs/examples` in the repository |
//!
//! # Modules
//!
//! From the top down. A module imports only from rows below its own (`tests/layers/imports.rs`):
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`program`] | the program's main function: from the command line to the exit code |
//! | [`cli`] | the command line's options |
//! | [`server`] | makes listeners, services and a running model of a [`config::Config`] |
//! | [`model`] | the I/O models: event loops, threads, processes |
//! | [`poller`] | select(2), poll(2) and epoll(7): which descriptors are ready |
//! | [`client`] | the client's side of HTTP, a [`session::Session`] too |
//! | [`service`] | the protocols, each a [`session::Session`] |
//! | [`session`] | the state of one connection and its contract with the model; does no I/O |
//! | [`http1`] | the grammar of HTTP/1.1; does no I/O |
//! | [`files`] | the document root, its cache and directory listings |
//! | [`observe`] | the access log, status and metrics, rate limits for log lines |
//! | [`tls`] | certificates, keys and tickets; encrypts connections |
//! | [`confine`] | gives up rights before serving: user, Landlock |
//! | [`config`] | the configuration |
//! | [`net`] | sockets and their addresses |
//! | [`lines`] | writes log lines without ever waiting for their reader |
//! | [`auth`] | users and their passwords |
//! | [`sys`] | the system calls, each in one place |
//! | [`background`] | one thread for work that no request waits for |
//! | [`offload`] | threads for work that may wait for a file system |
//! | [`recording`] | recordings of what a server does, written and read |
//! | `replay` | a page that replays recordings in a browser |
//! | [`trace`] | logs the system calls of the first requests |
//!
//! `docs/architecture.md` walks a request through them.

pub use server::{Handle, Server};
pub use service::http::{Fallback, Handler, PartialHandler, Response};
pub use service::{Service, Sharing};
pub use session::{Context, Session, Timeout, Wait};

pub mod auth;
pub mod background;
#[cfg(feature = "cli")]
pub mod cli;
pub mod client;
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
pub mod recording;
#[cfg(feature = "cli")]
pub mod replay;
pub mod server;
pub mod service;
pub mod session;
pub mod sys;
pub mod tls;
pub mod trace;
pub mod uring;
