//! The parts of a measurement: a server on its core, load on the other core, and background
//! clients.
//!
//! Each measurement has a server of its own, so that no measurement affects the next.

use super::background::{self, BackgroundClients, Connected};
use super::computing::{self, Computing};
use super::contestant::{Build, Contestant, Needs, built};
use super::experiments::curves;
use super::handshakes::{self, Handshakes};
use super::pace::Pace;
use evserve_lab::Outcome;
use evserve_lab::cores::Cores;
use evserve_lab::exchange::Client;
use evserve_lab::load::{self, Asks, Orders, Seen};
use evserve_lab::program::copy_of;
use evserve_lab::root::{Root, content};
use evserve_lab::server::{Server, free_address};
use evserve_lab::subprocess::Subprocess;
use evserve_lab::tls::Tls;
use std::env::current_exe;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The small file.
pub const SMALL: &str = "/small.html";
pub const SMALL_BYTES: usize = 1024;

/// All files, with those of the experiment with large files.
pub const FILES: &[(&str, usize)] = &[
    ("small.html", SMALL_BYTES),
    ("64.html", 64 << 10),
    ("1024.html", 1 << 20),
    ("16384.html", 16 << 20),
];

/// How much longer than planned the generator may take to print its result.
pub const GRACE: Duration = Duration::from_secs(10);

/// The longest load of an experiment.
const LONGEST_LOAD: Duration = Duration::from_secs(5);

/// How long background clients may take to connect.
const BACKGROUND_LIMIT: Duration = Duration::from_secs(30);

/// The parts that all measurements share.
pub struct Bench {
    pub cores: Cores,
    pub root: Root,
    pub tls: Tls,
    pub pace: Pace,
    pub curves: curves::State,
}

/// One measurement, about to be made.
pub struct Trial<'a> {
    pub cores: Cores,
    pub pace: &'a Pace,
    /// A folder for logs.
    pub beside: &'a Path,
    root: PathBuf,
    tls: &'a Tls,
    pub contestant: &'a Contestant,
    pub step: u64,
    pub curves: &'a curves::State,
}

/// The result of a measurement.
pub struct Measurement {
    pub figures: Vec<(&'static str, f64)>,
    /// The reason if figures are missing.
    pub none: Option<String>,
}

impl Measurement {
    pub fn of(figures: &[(&'static str, f64)]) -> Measurement {
        Measurement {
            figures: figures.to_vec(),
            none: None,
        }
    }

    /// Adds the percentiles that have enough samples. If the 99th has not, says so.
    pub fn with_percentiles(mut self, seen: &Seen) -> Measurement {
        self.figures.extend(seen.percentiles());
        let generator = &seen.generator;
        let lag = generator.lag_p99_us.map(|lag| ("lag_p99_us", lag));
        self.figures.extend(lag);
        let limited = f64::from(generator.limited.is_some());
        self.figures.push(("generator_limited", limited));
        self.none = self.none.or(seen.too_few_for_p99());
        self
    }

    pub fn none(why: String) -> Measurement {
        Measurement {
            figures: Vec::new(),
            none: Some(why),
        }
    }
}

/// Background clients. They stay connected until this is dropped.
pub struct Background {
    _process: Option<Subprocess>,
    /// The reason if not all of them could connect.
    pub missing: Option<String>,
}

/// The path of the file of this size in KiB.
pub fn large_path(kib: u64) -> String {
    format!("/{kib}.html")
}

/// A request for the small file.
pub fn small(close: bool) -> Asks {
    Asks::Http {
        path: SMALL.to_owned(),
        bytes: SMALL_BYTES,
        close,
        pipelined: 1,
    }
}

impl Bench {
    /// Copies the programs that take part: the build under test, and these.
    ///
    /// # Errors
    /// There is only one core, or errors of the file system.
    pub fn prepare(pace: Pace, builds: &[Build]) -> Outcome<Bench> {
        let root = Root::make(FILES)?;
        let programs = builds.iter().map(|build| build.program.clone());
        for program in programs.chain([built(), current_exe()?]) {
            copy_of(&program, root.beside())?;
        }
        let tls = Tls::make(root.beside())?;
        Ok(Bench {
            cores: Cores::choose()?,
            root,
            tls,
            pace,
            curves: curves::State::default(),
        })
    }

    pub fn trial<'a>(&'a self, contestant: &'a Contestant, step: u64) -> Trial<'a> {
        Trial {
            cores: self.cores,
            pace: &self.pace,
            beside: self.root.beside(),
            root: self.root.path(),
            tls: &self.tls,
            contestant,
            step,
            curves: &self.curves,
        }
    }
}

impl Trial<'_> {
    /// The same for another contestant.
    pub fn of<'b>(&'b self, contestant: &'b Contestant) -> Trial<'b> {
        Trial {
            contestant,
            root: self.root.clone(),
            ..*self
        }
    }

    /// Starts the contestant's server with this mode, and checks its first response.
    ///
    /// # Errors
    /// The server does not start, or its response is wrong.
    pub fn start(&self, mode: &str, needs: Needs) -> Outcome<Server> {
        let address = free_address()?;
        let mut command = self.command(mode, address, needs)?;
        let server = Server::start(self.cores.server, &mut command, address, &self.log())?;
        if mode == "http" {
            check(address)?;
        }
        Ok(server)
    }

    /// Starts the contestant's server with HTTP at two addresses. At the second one it is encrypted.
    ///
    /// # Errors
    /// The server does not start, or its response is wrong.
    pub fn start_with_tls(&self, needs: Needs) -> Outcome<(Server, SocketAddr)> {
        let (address, encrypted) = (free_address()?, free_address()?);
        let mut command = self.command("http", address, needs)?;
        command.args(["--listen", &format!("tls:{encrypted}"), "--tls-cert"]);
        command.arg(&self.tls.certificate);
        command.arg("--tls-key").arg(&self.tls.key);
        let server = Server::start(self.cores.server, &mut command, address, &self.log())?;
        check(address)?;
        self.tls.client.shake_hands(encrypted)?;
        Ok((server, encrypted))
    }

    /// Starts the contestant as a server that also computes pages: this program, by its library.
    ///
    /// # Errors
    /// The server does not start, or its response is wrong.
    pub fn start_computing(&self) -> Outcome<Server> {
        let address = free_address()?;
        let orders = Computing {
            address,
            model: self.contestant.model.to_owned(),
            workers: self.contestant.workers,
            root: self.root.clone(),
        };
        let mut command = Command::new(copy_of(&current_exe()?, self.beside)?);
        command.arg(computing::ARGUMENT);
        command.arg(serde_json::to_string(&orders)?);
        let server = Server::start(self.cores.server, &mut command, address, &self.log())?;
        check(address)?;
        Ok(server)
    }

    fn command(&self, mode: &str, address: SocketAddr, needs: Needs) -> Outcome<Command> {
        let program = copy_of(&self.contestant.program, self.beside)?;
        let mut command = Command::new(program);
        command
            .args(self.contestant.options(needs))
            .args(["--mode", mode, "--access-log", "off"])
            // No idle connection may time out during the measurement.
            .args(["--idle-timeout", "10m"])
            .arg(&self.root)
            .args(["--listen", &address.to_string()]);
        Ok(command)
    }

    /// Starts clients that make so many handshakes a second. They end when this is dropped.
    ///
    /// # Errors
    /// Their process cannot be started.
    pub fn make_handshakes(&self, address: SocketAddr, per_second: f64) -> Outcome<Subprocess> {
        let handshakes = Handshakes {
            address,
            certificate: self.tls.certificate.clone(),
            per_second,
        };
        Subprocess::start(self.cores.load, handshakes::ARGUMENT, &handshakes)
    }

    /// The file of the server's log.
    pub fn log(&self) -> PathBuf {
        self.beside.join("evserve.log")
    }

    /// Connects background clients.
    ///
    /// # Errors
    /// Their process fails.
    pub fn connect_background(
        &self,
        server: &Server,
        clients: BackgroundClients,
    ) -> Outcome<Background> {
        if clients.idle + clients.silent + clients.slow == 0 {
            return Ok(Background {
                _process: None,
                missing: None,
            });
        }
        let clients = BackgroundClients {
            address: Some(server.address()),
            small: SMALL.to_owned(),
            ..clients
        };
        let mut process = Subprocess::start(self.cores.load, background::ARGUMENT, &clients)?;
        let connected: Connected = serde_json::from_str(&process.line(BACKGROUND_LIMIT)?)?;
        let missing = (connected.idle < clients.idle).then(|| {
            let why = connected
                .why
                .unwrap_or_else(|| "the server closed the others".to_owned());
            format!(
                "the server keeps {} of {} idle connections: {why}",
                connected.idle, clients.idle
            )
        });
        Ok(Background {
            _process: Some(process),
            missing,
        })
    }

    /// Runs a load to its end.
    ///
    /// # Errors
    /// A response is wrong, or the generator fails.
    pub fn load(
        &self,
        address: SocketAddr,
        asks: Asks,
        clients: usize,
        rate: Option<f64>,
    ) -> Outcome<Seen> {
        let mut process = self.begin_load(address, asks, clients, rate)?;
        self.finish_load(&mut process)
    }

    /// Starts a load, and returns when its warm-up is over.
    ///
    /// # Errors
    /// A response is wrong, or the generator fails.
    pub fn begin_load(
        &self,
        address: SocketAddr,
        asks: Asks,
        clients: usize,
        rate: Option<f64>,
    ) -> Outcome<Subprocess> {
        self.begin_orders(&Orders {
            address,
            asks,
            clients,
            rate,
            warm_up: self.pace.warm_up,
            run: rate.map_or(self.pace.run, |rate| self.pace.run_at(rate)),
            beside: None,
        })
    }

    /// Starts a load, and returns when its warm-up is over.
    ///
    /// # Errors
    /// A response is wrong, or the generator fails.
    pub fn begin_orders(&self, orders: &Orders) -> Outcome<Subprocess> {
        let mut process = Subprocess::start(self.cores.load, load::ARGUMENT, orders)?;
        process.line(orders.warm_up + GRACE)?;
        Ok(process)
    }

    /// Waits for the load's end. Its connections stay open until the process is dropped.
    ///
    /// # Errors
    /// A response is wrong, or the generator fails.
    pub fn finish_load(&self, process: &mut Subprocess) -> Outcome<Seen> {
        Ok(serde_json::from_str(&process.line(LONGEST_LOAD + GRACE)?)?)
    }
}

fn check(address: SocketAddr) -> Outcome<()> {
    let mut client = Client::connect(address)?;
    client.send(format!("GET {SMALL} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let response = client.receive(false)?;
    match response.status == 200 && response.body == content(SMALL_BYTES) {
        true => Ok(()),
        false => Err("the first response is wrong".into()),
    }
}
