//! The protocols without sockets, fed in the smallest steps that a model may make.

#![allow(missing_docs)]

mod allocations;
#[path = "../common/mod.rs"]
mod common;
mod hostile;
mod properties;
