//! The command `evserve replay`, and its options.

use clap::builder::ValueHint;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The word after the program's name. A directory of this name is served as `./replay`.
pub(super) const NAME: &str = "replay";

/// Write a page that replays what --record has recorded, in any browser
#[derive(Parser, Debug, PartialEq, Eq)]
#[command(
    bin_name = "evserve replay",
    max_term_width = 100,
    after_help = "Examples:
  evserve replay run.evrec -o run.html
  evserve replay blocking.evrec epoll.evrec -o both.html
  evserve replay run.evrec --trace-json -o run.json

The page needs no network and no other file: open it, or send it to somebody. Several recordings
run on one clock, which is 0 when each accepts its first connection."
)]
pub struct ReplayCommand {
    /// Recording of a server with --record; up to three are shown on one clock
    #[arg(value_name = "RECORDING", required = true, num_args = 1..=3, value_hint = ValueHint::FilePath)]
    pub recordings: Vec<PathBuf>,

    /// Text to show above the replay, with moments to go to and a question: see docs/replay.md
    #[arg(long, value_name = "FILE", conflicts_with = "trace_json", value_hint = ValueHint::FilePath)]
    pub lesson: Option<PathBuf>,

    /// Write one recording as JSON for Perfetto (ui.perfetto.dev) and chrome://tracing
    #[arg(long)]
    pub trace_json: bool,

    /// File to write
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
}

/// Reads the arguments from the word `replay` on.
pub(super) fn read(arguments: &[OsString]) -> Result<ReplayCommand, clap::Error> {
    let matches = ReplayCommand::command().try_get_matches_from(arguments);
    let command = matches.and_then(|matches| ReplayCommand::from_arg_matches(&matches));
    let command = command.and_then(
        |command| match (command.trace_json, &command.recordings[..]) {
            (true, [_, _, ..]) => Err(ReplayCommand::command().error(
                ErrorKind::TooManyValues,
                "--trace-json writes one recording; give it one",
            )),
            _ => Ok(command),
        },
    );
    command.map_err(
        |error| match error.use_stderr() && Path::new(NAME).is_dir() {
            true => clap::Error::raw(
                error.kind(),
                format!("{error}\nTo serve the directory {NAME}, type: evserve ./{NAME}\n"),
            ),
            false => error,
        },
    )
}
