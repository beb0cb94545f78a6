//! From a configuration to a running server.

use crate::config::{Config, Listen, StartError};
use crate::model::{self, Limits, Listening, ModelRow, Serving, Share, Signals};
use crate::net::{Bound, Listener};
use crate::observe::LogFile;
use crate::service;
use crate::session::Counters;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

/// A server that has everything it needs and listens already; connections wait until it [`run`](Server::run)s.
pub struct Server {
    model: &'static ModelRow,
    serving: Serving,
}

impl Server {
    /// Makes the services ready and listens. Says at level info what is served, and where.
    ///
    /// # Errors
    /// A sentence about what could not be had.
    pub fn start(config: &Config) -> Result<Server, StartError> {
        let descriptors = raise_descriptor_limit();
        let mut config = config.clone();
        config.http.cache_files = cache_files(&config, descriptors);
        let config = &config;
        let model = model::find(&config.model)
            .ok_or_else(|| StartError(format!("there is no model `{}`", config.model)))?;
        let mut shares = Vec::new();
        for _ in 0..config.workers {
            let signals = Signals::catch()
                .map_err(|error| StartError(format!("cannot catch signals: {error}")))?;
            let log = LogFile::stdout().map_err(|error| {
                StartError(format!("cannot write to the standard output: {error}"))
            })?;
            shares.push(Share {
                listening: Vec::new(),
                signals,
                log,
            });
        }
        for listen in &config.listen {
            add(config, model, listen, &mut shares)?;
        }
        Ok(Server {
            model,
            serving: Serving {
                shares,
                limits: Limits {
                    max_connections: max_connections(config, descriptors),
                    threads: config.threads,
                    max_children: config.max_children,
                },
                timeouts: config.timeouts.capped(),
            },
        })
    }

    /// Serves until SIGINT or SIGTERM ends it. Says at level info what was done.
    ///
    /// # Errors
    /// If the model cannot go on.
    pub fn run(self) -> io::Result<()> {
        let (begin, cpu_before) = (Instant::now(), cpu_time());
        let counters = (self.model.run)(self.serving)?;
        // Whoever became this program by exec(2), as `cargo run` does, had used time before.
        let cpu = cpu_time().saturating_sub(cpu_before);
        for line in summary(self.model.name, &counters, begin.elapsed(), cpu) {
            log::info!("{line}");
        }
        Ok(())
    }
}

/// Gives each share a listener at the address, and a service of its own behind it.
fn add(
    config: &Config,
    model: &ModelRow,
    listen: &Listen,
    shares: &mut [Share],
) -> Result<(), StartError> {
    let row = service::find(&listen.service)
        .ok_or_else(|| StartError(format!("there is no mode `{}`", listen.service)))?;
    let listeners = Listener::bind_several(&listen.address, config.unix_mode, shares.len())
        .map_err(|error| bind_error(listen, &error))?;
    for (index, (share, listener)) in shares.iter_mut().zip(listeners).enumerate() {
        let service = (row.start)(config)?;
        if index == 0 {
            let place = match (listener.bound(), service.url_scheme()) {
                (Bound::Tcp(address), Some(scheme)) => {
                    format!("{scheme}://{}/", reachable(*address))
                }
                (Bound::Tcp(address), None) => reachable(*address).to_string(),
                (bound @ Bound::Unix(_), _) => bound.to_string(),
            };
            let about = service.about();
            log::info!("{}: {about} at {place} (model {})", row.name, config.model);
        }
        if model.is_loop && !service.speaks_first() {
            let result = listener.defer_accept();
            result.map_err(|error| bind_error(listen, &error))?;
        }
        share.listening.push(Listening { listener, service });
    }
    Ok(())
}

fn bind_error(listen: &Listen, error: &io::Error) -> StartError {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "; stop the program that uses the port, or take any free one with --listen {}=127.0.0.1:0",
            listen.service
        ),
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need privileges, others do not".into()
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address".into(),
        _ => String::new(),
    };
    StartError(format!(
        "cannot listen on {}: {error}{hint}",
        listen.address
    ))
}

/// An address that leads to a listener from this machine: nobody can connect to "all addresses".
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// The usual 1,024 descriptors are too few for a thousand connections. The hard limit is what the administrator allows.
/// Says how many there are.
fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let result = setrlimit(Resource::Nofile, raised);
    if let Err(errno) = result {
        log::warn!("the limit of open files cannot be raised: {errno}");
    }
    let allowed = if result.is_ok() { raised } else { limit };
    let descriptors = allowed.current.unwrap_or(u64::MAX);
    usize::try_from(descriptors).unwrap_or(usize::MAX)
}

/// The descriptors that the program itself needs: its streams, listeners, root, poller and signals.
const OWN_DESCRIPTORS: usize = 16;

/// The most descriptors that are kept for files. Few connections send a file of their own at the same moment.
const FILE_DESCRIPTORS: usize = 1024;

/// How many files each share may keep open: they may not take more than an eighth of the descriptors.
fn cache_files(config: &Config, descriptors: usize) -> usize {
    let possible = descriptors / 8 / config.workers.max(1);
    config.http.cache_files.min(possible)
}

/// Connections must leave some descriptors to the files they ask for: one each, where there are not that many.
fn max_connections(config: &Config, descriptors: usize) -> usize {
    let cached = config.http.cache_files * config.workers;
    let spare = descriptors.saturating_sub(OWN_DESCRIPTORS + cached);
    let possible = (spare / 2)
        .max(spare.saturating_sub(FILE_DESCRIPTORS))
        .max(1);
    let wanted = config.max_connections.unwrap_or(possible);
    if wanted > possible {
        log::warn!(
            "{wanted} connections need more than the {descriptors} open files that are allowed: {possible} will do"
        );
    }
    wanted.min(possible)
}

/// What was done, for people: the first line in a user's terms, the second in the kernel's.
fn summary(model: &str, counters: &Counters, time: Duration, cpu: Duration) -> [String; 2] {
    let Counters {
        connections,
        requests,
        received,
        sent,
        waits,
        events,
        spurious,
        changes,
        accepts,
        receives,
        sends,
        would_blocks,
        fetches,
        others,
    } = counters;
    let cpu = cpu.as_secs_f64();
    let time = time.as_secs_f64();
    let calls = counters.system_calls();
    let per_request = match requests {
        0 => String::new(),
        _ => format!(", {:.2} per request", calls as f64 / *requests as f64),
    };
    [
        format!(
            "served {requests} requests on {connections} connections in {time:.1} s: \
             {sent} bytes sent, {received} received, {cpu:.3} s of CPU time"
        ),
        format!(
            "model {model}: {calls} system calls to wait and on sockets{per_request}: {waits} waits \
             ({events} events, {spurious} spurious), {changes} changes of interest, {accepts} accepts, \
             {receives} receives, {sends} sends, {others} others; {would_blocks} would have blocked; \
             {fetches} stretches of files were fetched from a disk"
        ),
    ]
}

/// The time spent by this process, all its threads, and its children that have ended.
fn cpu_time() -> Duration {
    let both = [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN];
    let times = both.into_iter().filter_map(|who| getrusage(who).ok());
    let times = times.flat_map(|usage| [usage.user_time(), usage.system_time()]);
    let micros: i64 = times.map(|time| time.num_microseconds()).sum();
    Duration::from_micros(micros.unsigned_abs())
}
