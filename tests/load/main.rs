//! What the real program costs, in counted calls and bytes, and whether anything grows under mixed
//! load.

#![allow(missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod costs;
mod soak;
