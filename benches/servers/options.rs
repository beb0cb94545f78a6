//! The options of `cargo bench --bench servers --`.

use super::peers::BEFORE;
use super::workload::{WORKLOADS, Workload};
use clap::Parser;

/// Compare evserve with a stub and with the servers that are installed
#[derive(Parser)]
#[command(bin_name = "cargo bench --bench servers --")]
pub struct Options {
    /// Measurements of each server under each workload
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,

    /// Seconds for each measurement
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,

    /// Measure only this workload; may be repeated
    #[arg(long, value_name = "WORKLOAD", value_parser = workload_names())]
    only: Vec<String>,

    /// Measure only this server; may be repeated
    #[arg(long, value_name = "NAME")]
    server: Vec<String>,

    /// Also measure this build of evserve, as `before`: an absolute path
    #[arg(long, value_name = "PROGRAM")]
    pub against: Option<String>,

    /// Write the result into docs/performance.md instead of target/servers/
    #[arg(long)]
    pub write: bool,

    /// Cargo passes this to benchmarks
    #[arg(long, hide = true)]
    pub bench: bool,
}

impl Options {
    /// The chosen workloads.
    pub fn workloads(&self) -> Vec<&'static Workload> {
        let wanted = |workload: &&Workload| {
            self.only.is_empty() || self.only.iter().any(|name| name == workload.name)
        };
        WORKLOADS.iter().filter(wanted).collect()
    }

    /// Returns whether a server is to be measured.
    pub fn wants(&self, server: &str) -> bool {
        self.server.is_empty() || self.named(server) || server == BEFORE
    }

    /// Returns whether a server was chosen by name, and so must be installed.
    pub fn named(&self, server: &str) -> bool {
        self.server.iter().any(|name| name == server)
    }

    /// Returns the first chosen name that is not among these.
    pub fn unknown_server(&self, names: &[&str]) -> Option<&str> {
        let unknown = |name: &&String| !names.contains(&name.as_str());
        self.server.iter().find(unknown).map(String::as_str)
    }
}

fn workload_names() -> clap::builder::PossibleValuesParser {
    WORKLOADS
        .iter()
        .map(|workload| workload.name)
        .collect::<Vec<_>>()
        .into()
}
