//! One measurement of a side: a server on its core, and the load on the other one.

use super::claims::Row;
use super::clients;
use super::pace::Pace;
use super::work::{Ask, Side, Work};
use evserve_lab::Outcome;
use evserve_lab::cores::Cores;
use evserve_lab::cpu_time::CpuTime;
use evserve_lab::last_log::LastLog;
use evserve_lab::load::{self, Orders, Seen};
use evserve_lab::memory::private_bytes;
use evserve_lab::root::Root;
use evserve_lab::server::{Server, free_address};
use evserve_lab::statistics::median;
use evserve_lab::subprocess::Subprocess;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

/// How much longer than planned the generator may take.
const GRACE: Duration = Duration::from_secs(20);

/// About how long starting and ending the programs takes.
const STARTING: Duration = Duration::from_millis(80);

/// How long a load runs whose server stops, and for how long that does.
const PAUSED_RUN: Duration = Duration::from_millis(600);
const PAUSE: Duration = Duration::from_millis(60);

/// The new connections per second of many clients.
const CONNECTS_PER_SECOND: f64 = 5_000.0;

/// Many clients, each with a request a second, connect in a second. The rest is for a busy machine.
const CROWD_WARM_UP: Duration = Duration::from_secs(2);

/// The parts that all measurements share.
pub struct Bench {
    pub cores: Cores,
    pub root: Root,
    pub pace: &'static Pace,
}

/// The figures of a measurement, by name.
pub type Values = BTreeMap<String, f64>;

/// Why a side has no figures.
pub enum Failure {
    /// evserve does not start with its options here.
    Absent(String),
    /// The responses did not come in their time, as on a busy machine.
    Late(String),
    /// A response is wrong, or a program failed.
    Wrong(String),
}

/// Why a load shows nothing, unless it failed.
type Loaded<T> = Outcome<Result<T, String>>;

/// A load whose warm-up is over.
struct Begun {
    process: Subprocess,
    before: CpuTime,
}

impl Bench {
    /// The expected seconds of a round of a claim.
    pub fn round_seconds(&self, row: &Row) -> f64 {
        row.sides.iter().map(|side| self.seconds(side.work)).sum()
    }

    /// The expected seconds of a measurement.
    pub fn seconds(&self, work: Work) -> f64 {
        let pace = self.pace;
        let connecting = self.connecting().as_secs_f64();
        let load = match work {
            Work::Busy { .. } => pace.warm_up + pace.run,
            Work::BesideIdle { .. } => pace.warm_up + pace.run + 2 * self.connecting(),
            Work::Crowd { .. } => CROWD_WARM_UP + pace.crowd_run,
            Work::Paused { .. } => pace.warm_up + PAUSED_RUN,
            Work::TwoWrites { .. } => pace.run,
            Work::OneByOne { .. } => Duration::from_millis(100),
        };
        // Closing many connections takes time too.
        let closing = if work.is_crowd() {
            connecting / 2.0
        } else {
            0.0
        };
        (STARTING + load).as_secs_f64() + closing
    }

    /// How long many clients take to connect.
    fn connecting(&self) -> Duration {
        Duration::from_secs_f64(1.2 * self.pace.crowd as f64 / CONNECTS_PER_SECOND)
    }

    /// Makes a measurement.
    ///
    /// # Errors
    /// The reason if there are no figures.
    pub fn measure(&self, side: &Side) -> Result<Values, Failure> {
        let server = self
            .start(side)
            .map_err(|fault| Failure::Absent(first_line(&*fault)))?;
        let wrong = |fault: Box<dyn Error>| Failure::Wrong(first_line(&*fault));
        let values = self.load(&server, side.work).map_err(wrong)?;
        server.end().map_err(wrong)?;
        let log = LastLog::read(&self.log()).map_err(wrong)?;
        values
            .map(|mut values| {
                values.extend(
                    log.fullest_loop_percent()
                        .map(|share| ("busiest_percent".to_owned(), share)),
                );
                values
            })
            .map_err(Failure::Late)
    }

    /// The file of the server's log.
    fn log(&self) -> PathBuf {
        self.root.beside().join("evserve.log")
    }

    fn load(&self, server: &Server, work: Work) -> Loaded<Values> {
        match work {
            Work::Busy { ask, clients } => self.busy(server, ask, clients),
            Work::BesideIdle { ask, clients } => match self.connect_idle(server, ask)? {
                Err(why) => Ok(Err(why)),
                Ok(_idle) => self.busy(server, ask, clients),
            },
            Work::Crowd { ask } => self.crowd(server, ask),
            Work::Paused { ask, clients, rate } => self.paused(server, ask, clients, rate),
            Work::TwoWrites { nodelay } => self.two_writes(server, nodelay),
            Work::OneByOne { connections } => {
                clients::one_by_one(self.cores.load, server.address(), connections)?;
                Ok(Ok(Values::new()))
            }
        }
    }

    fn start(&self, side: &Side) -> Outcome<Server> {
        let address = free_address()?;
        let mode = side.work.ask().mode();
        let mut command = Command::new(env!("CARGO_BIN_EXE_evserve"));
        command
            .args(side.options.split(' '))
            .args(["--mode", mode, "--access-log", "off"])
            .args(["--listen", &address.to_string()]);
        if mode == "http" {
            // No idle connection may time out during the measurement.
            command
                .args(["--idle-timeout", "10m"])
                .arg(self.root.path());
        }
        Server::start(self.cores.server, &mut command, address, &self.log())
    }

    fn begin(&self, server: &Server, orders: &Orders) -> Outcome<Begun> {
        let mut process = Subprocess::start(self.cores.load, load::ARGUMENT, orders)?;
        process.line(orders.warm_up + GRACE)?;
        let before = CpuTime::of_tree(server.id())?;
        Ok(Begun { process, before })
    }

    /// Waits for the end. The connections stay open until the load is dropped.
    fn finish(&self, server: &Server, begun: &mut Begun, run: Duration) -> Loaded<(Seen, f64)> {
        let seen: Seen = serde_json::from_str(&begun.process.line(run + GRACE)?)?;
        let used = CpuTime::of_tree(server.id())?.since(&begun.before);
        let cpu_seconds = used.total.as_secs_f64();
        Ok(match seen.responses {
            0 => Err("no response came in time".to_owned()),
            _ => Ok((seen, cpu_seconds)),
        })
    }

    fn busy(&self, server: &Server, ask: Ask, clients: usize) -> Loaded<Values> {
        let pace = self.pace;
        let orders = Orders {
            address: server.address(),
            beside: None,
            asks: ask.orders(),
            clients,
            rate: None,
            warm_up: pace.warm_up,
            run: pace.run,
        };
        let mut load = self.begin(server, &orders)?;
        let finished = self.finish(server, &mut load, pace.run)?;
        Ok(finished.map(|(seen, cpu_seconds)| figures(&seen, cpu_seconds)))
    }

    fn paused(
        &self,
        server: &Server,
        ask: Ask,
        clients: usize,
        rate: Option<f64>,
    ) -> Loaded<Values> {
        let orders = Orders {
            address: server.address(),
            beside: None,
            asks: ask.orders(),
            clients,
            rate,
            warm_up: self.pace.warm_up,
            run: PAUSED_RUN,
        };
        let mut load = self.begin(server, &orders)?;
        sleep((PAUSED_RUN - PAUSE) / 2);
        let process =
            Pid::from_raw(server.id().cast_signed()).ok_or("the server has no process")?;
        kill_process(process, Signal::STOP)?;
        sleep(PAUSE);
        kill_process(process, Signal::CONT)?;
        let finished = self.finish(server, &mut load, PAUSED_RUN)?;
        Ok(finished.map(|(seen, cpu_seconds)| figures(&seen, cpu_seconds)))
    }

    fn two_writes(&self, server: &Server, nodelay: bool) -> Loaded<Values> {
        let (core, address) = (self.cores.load, server.address());
        let latencies = clients::in_two_parts(core, address, nodelay, self.pace.run)?;
        let p50_us = median(&latencies).unwrap_or_default();
        Ok(Ok(values(&[("p50_ms", p50_us / 1000.0)])))
    }

    /// Connects many clients, which have had a response each and stay connected until the result
    /// is dropped.
    fn connect_idle(&self, server: &Server, ask: Ask) -> Loaded<Subprocess> {
        let clients = self.pace.crowd;
        let orders = Orders {
            address: server.address(),
            beside: None,
            asks: ask.orders(),
            clients,
            rate: Some(CONNECTS_PER_SECOND),
            warm_up: Duration::ZERO,
            run: self.connecting(),
        };
        let mut begun = self.begin(server, &orders)?;
        Ok(match self.finish(server, &mut begun, orders.run)? {
            Err(why) => Err(why),
            Ok((seen, _)) if seen.clients_answered < clients => Err(format!(
                "only {} of {clients} have connected in time",
                seen.clients_answered
            )),
            Ok(_) => Ok(begun.process),
        })
    }

    fn crowd(&self, server: &Server, ask: Ask) -> Loaded<Values> {
        let clients = self.pace.crowd;
        let memory = private_bytes(server.id());
        let orders = Orders {
            address: server.address(),
            beside: None,
            asks: ask.orders(),
            clients,
            // Each client once a second.
            rate: Some(clients as f64),
            warm_up: CROWD_WARM_UP,
            run: self.pace.crowd_run,
        };
        let mut load = self.begin(server, &orders)?;
        let (seen, cpu_seconds) = match self.finish(server, &mut load, orders.run)? {
            Err(why) => return Ok(Err(why)),
            Ok(seen) => seen,
        };
        let each = private_bytes(server.id()).saturating_sub(memory) as f64 / clients as f64;
        let mut all = figures(&seen, cpu_seconds);
        all.extend(values(&[
            ("answered_percent", seen.answered_percent().unwrap_or(0.0)),
            ("cpu_percent", 100.0 * cpu_seconds / seen.seconds),
            ("private_bytes", each),
        ]));
        Ok(Ok(all))
    }
}

/// The figures of any load.
fn figures(seen: &Seen, cpu_seconds: f64) -> Values {
    let mib = seen.bytes as f64 / f64::from(1 << 20);
    let mut all = values(&[
        ("per_second", seen.per_second()),
        ("per_cpu_second", seen.responses as f64 / cpu_seconds),
        ("mib_per_second", mib / seen.seconds),
        ("mib_per_cpu_second", mib / cpu_seconds),
        ("generator_idle_percent", seen.generator.idle_percent),
    ]);
    let percentiles = [
        ("p50_ms", seen.p50_us),
        ("p99_ms", seen.p99_us),
        ("p999_ms", seen.p999_us),
    ];
    for (name, us) in percentiles {
        all.extend(us.map(|us| (name.to_owned(), us / 1000.0)));
    }
    all
}

/// Leaves out what is no number, such as a rate for no CPU time.
fn values(all: &[(&str, f64)]) -> Values {
    let numbers = all.iter().filter(|(_, value)| value.is_finite());
    let named = numbers.map(|(name, value)| ((*name).to_owned(), *value));
    named.collect()
}

/// The rest of what evserve says is about usage.
fn first_line(fault: &dyn Error) -> String {
    let text = fault.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}
