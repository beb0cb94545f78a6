//! The protocols without sockets, fed in the smallest steps that a model may make.

#![allow(missing_docs)]

mod allocations;
#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "tls")]
mod encrypted;
mod hostile;
mod properties;
