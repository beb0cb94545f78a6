//! The program, with the models of the library.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    evserve::program::run(None)
}
