//! Checks a model. `tests/model/main.rs` compiles it together with a file that contains one.

mod check;
mod sessions;

pub use check::{CASES, main};
