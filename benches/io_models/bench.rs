//! What a measurement is made with: a server on its core, load on the other, and company for both.
//!
//! Each measurement has a server of its own, so that none finds what another has left.

use super::company::{self, Company, Present};
use super::contestant::{Contestant, Needs};
use super::lab::Outcome;
use super::lab::cores::Cores;
use super::lab::exchange::Client;
use super::lab::root::{Root, content};
use super::lab::server::{Server, free_address};
use super::lab::wrk::Wrk;
use super::load::{self, Asks, Orders, Seen};
use super::own::OwnProcess;
use super::pace::Pace;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The small file.
pub const SMALL: &str = "/small.html";
pub const SMALL_BYTES: usize = 1024;

/// All files: those of the experiment with large files too.
pub const FILES: &[(&str, usize)] = &[
    ("small.html", SMALL_BYTES),
    ("64.html", 64 << 10),
    ("1024.html", 1 << 20),
    ("16384.html", 16 << 20),
];

/// How much longer than it was told to the generator may take to speak.
const GRACE: Duration = Duration::from_secs(10);

/// How long the company may take to be there.
const COMPANY_LIMIT: Duration = Duration::from_secs(30);

/// Everything that is there once for all measurements.
pub struct Bench {
    pub cores: Cores,
    pub root: Root,
    pub wrk: Wrk,
    pub pace: &'static Pace,
}

/// One measurement, about to be made.
pub struct Trial<'a> {
    pub cores: Cores,
    pub wrk: &'a Wrk,
    pub pace: &'static Pace,
    /// Where there is room for logs.
    pub beside: &'a Path,
    root: PathBuf,
    contestant: &'a Contestant,
    pub step: u64,
}

/// What came of it.
pub struct Measurement {
    pub figures: Vec<(&'static str, f64)>,
    /// Why there are none.
    pub none: Option<String>,
}

impl Measurement {
    pub fn of(figures: &[(&'static str, f64)]) -> Measurement {
        Measurement {
            figures: figures.to_vec(),
            none: None,
        }
    }

    pub fn none(why: String) -> Measurement {
        Measurement {
            figures: Vec::new(),
            none: Some(why),
        }
    }
}

/// Those who are there beside the load, until this is dropped.
pub struct Guests {
    _process: Option<OwnProcess>,
    /// Why not all of them could be there.
    pub absent: Option<String>,
}

/// Where the file of so many KiB is.
pub fn large_path(kib: u64) -> String {
    format!("/{kib}.html")
}

/// What is asked for where the file does not matter.
pub fn small(close: bool) -> Asks {
    Asks::Http {
        path: SMALL.to_owned(),
        bytes: SMALL_BYTES,
        close,
    }
}

impl Bench {
    pub fn trial<'a>(&'a self, contestant: &'a Contestant, step: u64) -> Trial<'a> {
        Trial {
            cores: self.cores,
            wrk: &self.wrk,
            pace: self.pace,
            beside: self.root.beside(),
            root: self.root.path(),
            contestant,
            step,
        }
    }
}

impl Trial<'_> {
    /// Starts the contestant's server with this mode, and sees that it answers rightly.
    ///
    /// # Errors
    /// It does not start, or its answer is wrong.
    pub fn start(&self, mode: &str, needs: Needs) -> Outcome<Server> {
        let address = free_address()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_evserve"));
        command
            .args(self.contestant.options(needs))
            .args(["--mode", mode, "--access-log", "off"])
            .args(["--listen", &address.to_string()])
            // Nobody's silence is to end before the measurement does.
            .args(["--idle-timeout", "10m"])
            .arg(&self.root);
        let server = Server::start(self.cores.server, &mut command, address, &self.log())?;
        if mode == "http" {
            check(address)?;
        }
        Ok(server)
    }

    /// Where the server's own words go.
    pub fn log(&self) -> PathBuf {
        self.beside.join("evserve.log")
    }

    /// Lets the company come.
    ///
    /// # Errors
    /// The process that holds it fails.
    pub fn invite(&self, server: &Server, company: Company) -> Outcome<Guests> {
        if company.idle + company.silent + company.slow == 0 {
            return Ok(Guests {
                _process: None,
                absent: None,
            });
        }
        let company = Company {
            address: Some(server.address()),
            small: SMALL.to_owned(),
            ..company
        };
        let mut process = OwnProcess::start(self.cores.load, company::ARGUMENT, &company)?;
        let present: Present = serde_json::from_str(&process.line(COMPANY_LIMIT)?)?;
        let absent = (present.idle < company.idle).then(|| {
            let why = present
                .why
                .unwrap_or_else(|| "the server closed the others".to_owned());
            format!(
                "it keeps {} of {} idle connections: {why}",
                present.idle, company.idle
            )
        });
        Ok(Guests {
            _process: Some(process),
            absent,
        })
    }

    /// Makes load and waits for its end.
    ///
    /// # Errors
    /// A wrong answer, or a generator that fails.
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

    /// Begins to make load, and returns when the warm-up is over.
    ///
    /// # Errors
    /// A wrong answer, or a generator that fails.
    pub fn begin_load(
        &self,
        address: SocketAddr,
        asks: Asks,
        clients: usize,
        rate: Option<f64>,
    ) -> Outcome<OwnProcess> {
        let orders = Orders {
            address,
            asks,
            clients,
            rate,
            warm_up: self.pace.warm_up,
            run: self.pace.run,
        };
        let mut process = OwnProcess::start(self.cores.load, load::ARGUMENT, &orders)?;
        process.line(self.pace.warm_up + GRACE)?;
        Ok(process)
    }

    /// Waits for the load's end; its connections stay until the process is dropped.
    ///
    /// # Errors
    /// A wrong answer, or a generator that fails.
    pub fn finish_load(&self, process: &mut OwnProcess) -> Outcome<Seen> {
        Ok(serde_json::from_str(&process.line(self.pace.run + GRACE)?)?)
    }
}

fn check(address: SocketAddr) -> Outcome<()> {
    let mut client = Client::connect(address)?;
    client.send(format!("GET {SMALL} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let answer = client.receive(false)?;
    match answer.status == 200 && answer.body == content(SMALL_BYTES) {
        true => Ok(()),
        false => Err("its first answer is wrong".into()),
    }
}
