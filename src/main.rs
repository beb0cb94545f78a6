//! The program with the models that there are.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    evserve::program::run(None)
}
