//! What checks a model. `tests/model/main.rs` compiles it together with a file that has one.

mod check;
mod sessions;

pub use check::{CASES, main};
