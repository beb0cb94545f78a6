//! From a configuration to a running server.

use crate::config::{Config, Listen, StartError};
use crate::model::{self, Listening, ModelRow, Serving, Signals};
use crate::net::Listener;
use crate::observe::LogFile;
use crate::service;
use crate::session::Counters;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
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
        let model = model::find(&config.model)
            .ok_or_else(|| StartError(format!("there is no model `{}`", config.model)))?;
        let signals = Signals::catch()
            .map_err(|error| StartError(format!("cannot catch signals: {error}")))?;
        let log = LogFile::stdout()
            .map_err(|error| StartError(format!("cannot write to the standard output: {error}")))?;
        let listening = config.listen.iter().map(|listen| start(config, listen));
        let listening = listening.collect::<Result<_, _>>()?;
        Ok(Server {
            model,
            serving: Serving {
                listening,
                max_connections: max_connections(config, descriptors),
                timeouts: config.timeouts,
                signals,
                log,
            },
        })
    }

    /// Serves until SIGINT or SIGTERM ends it. Says at level info what was done.
    ///
    /// # Errors
    /// If the model cannot go on.
    pub fn run(self) -> io::Result<()> {
        let begin = Instant::now();
        let counters = (self.model.run)(self.serving)?;
        log::info!("{}", summary(&counters, begin.elapsed()));
        Ok(())
    }
}

fn start(config: &Config, listen: &Listen) -> Result<Listening, StartError> {
    let row = service::find(&listen.service)
        .ok_or_else(|| StartError(format!("there is no mode `{}`", listen.service)))?;
    let service = (row.start)(config)?;
    let listener = Listener::bind(&listen.address).map_err(|error| bind_error(listen, &error))?;
    let address = reachable(listener.address());
    let place = match service.url_scheme() {
        Some(scheme) => format!("{scheme}://{address}/"),
        None => address.to_string(),
    };
    log::info!(
        "{}: {} at {place} (model {})",
        row.name,
        service.about(),
        config.model
    );
    Ok(Listening { listener, service })
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

/// Connections must leave some descriptors to the files they ask for, and to the program itself.
fn max_connections(config: &Config, descriptors: usize) -> usize {
    let reserve = (descriptors / 8).clamp(16, 1024);
    let possible = descriptors.saturating_sub(reserve).max(1);
    let wanted = config.max_connections.unwrap_or(possible);
    if wanted > possible {
        log::warn!(
            "{wanted} connections need more than the {descriptors} open files that are allowed: {possible} will do"
        );
    }
    wanted.min(possible)
}

fn summary(counters: &Counters, time: Duration) -> String {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let cpu = Duration::try_from(cpu).unwrap_or_default();
    format!(
        "served {} requests on {} connections in {:.1} s: {} bytes sent, {} received, {:.3} s of CPU time",
        counters.requests,
        counters.connections,
        time.as_secs_f64(),
        counters.sent,
        counters.received,
        cpu.as_secs_f64()
    )
}
