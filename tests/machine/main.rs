//! The protocols without a socket: whatever a peer does, however little a model can do at a time.

#![allow(missing_docs)]

mod allocations;
#[path = "../common/mod.rs"]
mod common;
mod hostile;
mod properties;
