//! What may be said after `cargo bench --bench servers --`.

use super::peers::BEFORE;
use super::workload::{WORKLOADS, Workload};
use clap::Parser;

/// Compares evserve with a stub and with the servers that are installed
#[derive(Parser)]
#[command(bin_name = "cargo bench --bench servers --")]
pub struct Options {
    /// How often each server is measured under each workload
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,

    /// How long one measurement takes
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,

    /// Measure this workload and no other; may be given more than once
    #[arg(long, value_name = "WORKLOAD", value_parser = workload_names())]
    only: Vec<String>,

    /// Measure this server and no other; may be given more than once
    #[arg(long, value_name = "NAME")]
    server: Vec<String>,

    /// Measure this build of evserve too, as `before`: an absolute path
    #[arg(long, value_name = "PROGRAM")]
    pub against: Option<String>,

    /// Write what comes out into docs/performance.md, and not into target/servers/
    #[arg(long)]
    pub write: bool,

    /// What cargo says to a benchmark
    #[arg(long, hide = true)]
    pub bench: bool,
}

impl Options {
    /// Those that are to be measured.
    pub fn workloads(&self) -> Vec<&'static Workload> {
        let wanted = |workload: &&Workload| {
            self.only.is_empty() || self.only.iter().any(|name| name == workload.name)
        };
        WORKLOADS.iter().filter(wanted).collect()
    }

    /// Whether a server is to be measured.
    pub fn wants(&self, server: &str) -> bool {
        self.server.is_empty() || self.named(server) || server == BEFORE
    }

    /// Whether it was asked for by name, and so must be there.
    pub fn named(&self, server: &str) -> bool {
        self.server.iter().any(|name| name == server)
    }

    /// The first name that is none of these.
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
