//! One measurement: a server on its core, load on the other one, and the server's CPU time between
//! the load's warm-up and its end.

use super::steps::Step;
use super::workloads::Workload;
use evserve_lab::Outcome;
use evserve_lab::cores::Cores;
use evserve_lab::cpu_time::CpuTime;
use evserve_lab::load::{self, Orders, Seen};
use evserve_lab::root::Root;
use evserve_lab::server::{Server, free_address};
use evserve_lab::subprocess::Subprocess;
use std::process::Command;
use std::time::Duration;

/// The time before a measurement, which does not count.
const WARM_UP: Duration = Duration::from_millis(100);

/// How much longer than planned the generator may take.
const GRACE: Duration = Duration::from_secs(20);

/// Roughly what starting and ending the programs takes.
const STARTING: Duration = Duration::from_millis(60);

/// The parts that all measurements share.
pub struct Bench {
    pub cores: Cores,
    pub root: Root,
    /// The length of a measurement.
    pub run: Duration,
}

/// The figures of a measurement.
#[derive(Clone, Copy)]
pub struct Trial {
    /// Of the server with all its threads, for a request, or for a MiB of a large file.
    pub cpu_us: f64,
    /// Requests or MiB.
    pub per_second: f64,
}

impl Bench {
    /// The expected seconds of a measurement.
    pub fn seconds(&self) -> f64 {
        (WARM_UP + self.run + STARTING).as_secs_f64()
    }

    /// The steps that evserve can start with here. Says why of the others.
    ///
    /// # Errors
    /// There are none.
    pub fn startable(
        &self,
        steps: Vec<&'static Step>,
        left_out: &mut Vec<String>,
    ) -> Outcome<Vec<&'static Step>> {
        let mut startable = Vec::new();
        for step in steps {
            match self.try_start(step) {
                Ok(()) => startable.push(step),
                Err(fault) => {
                    let said = fault.to_string();
                    // The rest is about usage.
                    let first = said.lines().next().unwrap_or_default();
                    left_out.push(format!("{}: {first}", step.name));
                }
            }
        }
        match startable.is_empty() {
            true => Err(left_out.join("; ").into()),
            false => Ok(startable),
        }
    }

    /// Starts a server with these options, and ends it.
    ///
    /// # Errors
    /// It does not start.
    pub fn try_start(&self, step: &Step) -> Outcome<()> {
        self.start(step, "http")?.end()
    }

    fn start(&self, step: &Step, mode: &str) -> Outcome<Server> {
        let address = free_address()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_evserve"));
        command
            .args(step.options.split(' '))
            .args(["--mode", mode, "--access-log", "off", "--log-level", "warn"])
            .args(["--listen", &address.to_string()]);
        if mode == "http" {
            command.arg(self.root.path());
        }
        let log = self.root.beside().join("evserve.log");
        Server::start(self.cores.server, &mut command, address, &log)
    }

    /// Makes a measurement. Returns `None` if no response came in its time.
    ///
    /// # Errors
    /// A response is wrong, or a program fails.
    pub fn measure(&self, workload: &Workload, step: &Step) -> Outcome<Option<Trial>> {
        let server = self.start(step, workload.mode())?;
        let orders = Orders {
            address: server.address(),
            asks: workload.asks(),
            clients: workload.clients,
            rate: None,
            warm_up: WARM_UP,
            run: self.run,
            beside: None,
        };
        let mut load = Subprocess::start(self.cores.load, load::ARGUMENT, &orders)?;
        load.line(WARM_UP + GRACE)?;
        let before = CpuTime::of(&[server.id()])?;
        let seen: Seen = serde_json::from_str(&load.line(self.run + GRACE)?)?;
        let used = CpuTime::of(&[server.id()])?.since(&before).total;
        drop(load);
        server.end()?;
        let units = match workload.is_file() {
            true => seen.bytes as f64 / f64::from(1 << 20),
            false => (seen.responses * workload.pipelined as u64) as f64,
        };
        Ok((units > 0.0).then(|| Trial {
            cpu_us: used.as_secs_f64() * 1e6 / units,
            per_second: units / seen.seconds,
        }))
    }
}
