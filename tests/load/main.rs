//! What the real program costs: counted calls and bytes, and what grows under a mixed load.

#![allow(missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod costs;
mod soak;
