//! Other programs as clients: curl, wrk, chromium, HAProxy. `tests/run` installs them.

#![allow(missing_docs)]

mod balancer;
mod browser;
mod command_line;
#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "tls")]
mod encrypted;
#[cfg(feature = "tls")]
mod scanner;
