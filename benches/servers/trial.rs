//! The measurement: under each workload, round after round, every server in turn.

use super::check::{Checked, check};
use super::peers::{EVSERVE, Peer, Place};
use super::stub::Constant;
use super::workload::{Ask, Workload};
use evserve_lab::Outcome;
use evserve_lab::cores::Cores;
use evserve_lab::cpu_time::Used;
use evserve_lab::progress::Progress;
use evserve_lab::root::Root;
use evserve_lab::server::{Server, free_address};
use evserve_lab::tls::Tls;
use evserve_lab::wrk::{Load, Traffic, Wrk};

pub const STUB: &str = "stub";

/// The length of the stub's head if evserve is not measured.
const HEAD_BYTES: usize = 250;

/// The parts that all measurements share.
pub struct Bench {
    pub cores: Cores,
    pub root: Root,
    pub tls: Tls,
    pub wrk: Wrk,
    /// Started once. The stub is not among them: it has one response, so it is started for each
    /// workload.
    pub servers: Vec<(&'static str, Server)>,
    /// The same servers with TLS.
    pub tls_servers: Vec<(&'static str, Server)>,
    pub has_stub: bool,
    pub rounds: u32,
    pub seconds: u64,
}

/// One server under one workload for a few seconds.
#[derive(Clone, Copy)]
pub struct Trial {
    pub traffic: Traffic,
    pub used: Used,
}

impl Trial {
    /// The server's CPU time, in microseconds.
    pub fn cpu_per_request(&self) -> f64 {
        self.used.total.as_secs_f64() * 1e6 / self.traffic.requests as f64
    }

    /// The same for 1,048,576 bytes.
    pub fn cpu_per_mib(&self) -> f64 {
        self.used.total.as_secs_f64() * 1e6 * f64::from(1 << 20) / self.traffic.bytes as f64
    }
}

/// The measurements under one workload.
pub struct Measured {
    pub workload: &'static Workload,
    /// By server, the stub first. Failed measurements are missing.
    pub rows: Vec<(&'static str, Vec<Option<Trial>>)>,
    /// The servers that could not be measured, with the reasons.
    pub left_out: Vec<String>,
    /// Failures, as sentences.
    pub faults: Vec<String>,
}

/// A server whose responses have been checked.
struct Contestant<'a> {
    name: &'static str,
    server: &'a mut Server,
    checked: Checked,
    trials: Vec<Option<Trial>>,
}

impl Bench {
    /// Starts a server to measure, with TLS or without.
    ///
    /// # Errors
    /// It does not start.
    pub fn add(&mut self, peer: &Peer, tls: bool) -> Outcome<()> {
        let (address, root, folder) = (free_address()?, self.root.path(), self.root.beside());
        let place = Place {
            address,
            root: &root,
            folder,
            tls: tls.then_some(&self.tls),
        };
        let log = folder.join(format!("{}{}.log", peer.name, place.suffix()));
        let server = Server::start(self.cores.server, &mut peer.command(&place)?, address, &log)?;
        match tls {
            true => self.tls_servers.push((peer.name, server)),
            false => self.servers.push((peer.name, server)),
        }
        Ok(())
    }

    /// Returns the number of servers to measure under a workload.
    pub fn contestants(&self, workload: &Workload) -> usize {
        match workload.tls {
            true => self.tls_servers.len(),
            false => self.servers.len() + usize::from(self.has_stub),
        }
    }

    /// Measures all servers under one workload. A server with wrong responses is left out and
    /// reported.
    ///
    /// # Errors
    /// The stub does not start, or the user wants to stop.
    pub fn measure(
        &mut self,
        workload: &'static Workload,
        progress: &mut Progress,
    ) -> Outcome<Measured> {
        let (mut left_out, mut faults) = (Vec::new(), Vec::new());
        let mut stub = if self.has_stub && !workload.tls {
            Some(self.start_stub(workload)?)
        } else {
            None
        };
        let servers = match workload.tls {
            true => &mut self.tls_servers,
            false => &mut self.servers,
        };
        let servers = servers.iter_mut().map(|(name, server)| (*name, server));
        let all = stub.iter_mut().map(|server| (STUB, server)).chain(servers);
        let mut field: Vec<Contestant<'_>> = Vec::new();
        for (name, server) in all {
            match check(workload, server.address(), &self.tls.client) {
                Ok(Checked {
                    unfit: Some(why), ..
                }) => left_out.push(format!("{name}: {why}")),
                Ok(checked) => field.push(Contestant {
                    name,
                    server,
                    checked,
                    trials: Vec::new(),
                }),
                Err(fault) => faults.push(format!("{name}, and so not measured: {fault}")),
            }
        }
        for round in 0..self.rounds {
            let count = field.len();
            for turn in 0..count {
                let contestant = &mut field[(turn + round as usize) % count];
                let (title, name) = (workload.title, contestant.name);
                progress.next(&format!("{title}, round {}: {name}", round + 1), 1.0)?;
                let trial = contestant.run(workload, &self.wrk, self.seconds);
                if let Err(fault) = &trial {
                    faults.push(format!("{}, round {}: {fault}", contestant.name, round + 1));
                }
                contestant.trials.push(trial.ok());
            }
        }
        for contestant in &field {
            if let Err(fault) = check(workload, contestant.server.address(), &self.tls.client) {
                faults.push(format!(
                    "{} sent a wrong response afterwards: {fault}",
                    contestant.name
                ));
            }
        }
        let rows = field
            .into_iter()
            .map(|contestant| (contestant.name, contestant.trials))
            .collect();
        Ok(Measured {
            workload,
            rows,
            left_out,
            faults,
        })
    }

    /// Starts a stub whose response is as long as evserve's.
    fn start_stub(&self, workload: &Workload) -> Outcome<Server> {
        let evserve = self.servers.iter().find(|(name, _)| *name == EVSERVE);
        // If evserve's response is wrong, its own check reports that.
        let model = evserve
            .and_then(|(_, server)| check(workload, server.address(), &self.tls.client).ok());
        let constant = Constant {
            status: workload.status(),
            head_bytes: model.map_or(HEAD_BYTES, |checked| checked.head_bytes),
            body_bytes: workload.body_bytes(),
            closes: workload.ask == Ask::Closing,
        };
        let (address, log) = (free_address()?, self.root.beside().join("stub.log"));
        Server::start(
            self.cores.server,
            &mut constant.command(address, self.root.beside())?,
            address,
            &log,
        )
    }
}

impl Contestant<'_> {
    fn run(&mut self, workload: &Workload, wrk: &Wrk, seconds: u64) -> Outcome<Trial> {
        let before = self.server.cpu_time()?;
        let traffic = wrk.run(&Load {
            address: self.server.address(),
            scheme: workload.scheme(),
            method: workload.method(),
            path: &workload.path(),
            fields: &self.checked.fields,
            connections: workload.connections,
            pipelined: workload.pipelined,
            seconds,
            status: workload.status(),
            response_bytes: self.checked.response_bytes..=self.checked.response_bytes,
        })?;
        let used = self.server.cpu_time()?.since(&before);
        Ok(Trial { traffic, used })
    }
}
