//! From a configuration to a running server.

mod budgets;
mod cgroup;
mod descriptors;
mod directories;
mod limits;
mod report;
mod showing;
mod tasks;

use crate::config::{AccessLog, Config, Confinement, Sandbox, StartError, Timeouts};
use crate::confine::{self, Account, Needs};
use crate::model::{self, Answering, Claim, Executor, Listening, MODELS, ModelRow};
use crate::model::{Hangups, Serving, Share, SignalSender, Signals};
use crate::net::{self, Address, Bound, DatagramSocket, Listener, Place, Request, SocketFile};
use crate::observe::{self, LogFile};
use crate::service::{self, Admission, Service};
use crate::sys;
use descriptors::{cache_files, raise_descriptor_limit};
use directories::{holders, log_directories};
use limits::limits;
use showing::{about, show};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

/// A server that has everything it needs and listens already; connections wait until it [`run`](Server::run)s.
///
/// ```
/// use evserve::service::http::{self, Handler, Response};
/// use evserve::{config::Config, http1::Request, server::Server, session::Time};
/// # use std::io::{Read, Write};
///
/// struct Hello;
///
/// impl Handler for Hello {
///     fn answer(&self, _: &Request<'_>, _: &Time) -> Response {
///         Response::text("Hello!\n")
///     }
/// }
///
/// let server = Server::builder()
///     .model("threaded")
///     .listen("127.0.0.1:0", |config| Ok(http::service(Hello, config)))?
///     .start()?;
/// let place = server.places()[0].to_string();
/// let handle = server.handle()?;
/// let running = std::thread::spawn(move || server.run());
/// // ... until somebody has had enough:
/// # let mut client = std::net::TcpStream::connect(place)?;
/// # client.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
/// # let mut answer = String::new();
/// # client.read_to_string(&mut answer)?;
/// # assert!(answer.ends_with("Hello!\n"));
/// handle.shutdown();
/// running.join().expect("it ran")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    model: &'static ModelRow,
    serving: Serving,
    places: Vec<Bound>,
}

/// What a server is to be made of.
pub struct Builder {
    config: Config,
    /// A model of one's own.
    model_row: Option<&'static ModelRow>,
    services: Vec<Making>,
    wanted: Vec<Wanted>,
}

/// A service that is to be made.
struct Making {
    /// What stands before its addresses where a user writes them, such as `http=`.
    label: String,
    /// Makes it, once for each loop.
    make: Box<dyn Fn(&Config) -> Result<Arc<dyn Service>, StartError>>,
}

/// An address at which a service is to listen.
struct Wanted {
    address: Address,
    /// The service's place in the list of them.
    service: usize,
}

/// Ends a server from any thread.
#[derive(Debug)]
pub struct Handle(Vec<SignalSender>);

impl Handle {
    /// The same as SIGTERM: nothing more is accepted, what is under way may end. The second time, all ends at once.
    pub fn shutdown(&self) {
        self.0.iter().for_each(SignalSender::send);
    }
}

impl Builder {
    /// What a configuration describes.
    ///
    /// # Errors
    /// If it names a service that there is not.
    pub fn from_config(config: &Config) -> Result<Builder, StartError> {
        let (mut services, mut wanted) = (Vec::<Making>::new(), Vec::new());
        for listen in &config.listen {
            let row = service::find(&listen.service)
                .ok_or_else(|| StartError(format!("there is no mode `{}`", listen.service)))?;
            let label = format!("{}=", listen.service);
            // All addresses of a mode lead to the same service.
            let known = services.iter().position(|making| making.label == label);
            wanted.push(Wanted {
                address: listen.address.clone(),
                service: known.unwrap_or(services.len()),
            });
            if known.is_none() {
                let make = Box::new(row.start);
                services.push(Making { label, make });
            }
        }
        Ok(Builder {
            config: config.clone(),
            model_row: None,
            services,
            wanted,
        })
    }

    /// Listens at an address with a service, which `make` makes for each loop that `--workers` asks for.
    ///
    /// # Errors
    /// If it is no address.
    pub fn listen(
        mut self,
        address: &str,
        make: impl Fn(&Config) -> Result<Arc<dyn Service>, StartError> + 'static,
    ) -> Result<Builder, StartError> {
        let address = address.parse().map_err(StartError)?;
        let service = self.services.len();
        self.services.push(Making {
            label: String::new(),
            make: Box::new(make),
        });
        self.wanted.push(Wanted { address, service });
        Ok(self)
    }

    /// Chooses a model by its name in [`model::MODELS`].
    #[must_use]
    pub fn model(mut self, name: &str) -> Builder {
        self.config.model = name.into();
        self
    }

    /// Runs a model of one's own, whatever else is chosen.
    #[must_use]
    pub fn model_row(mut self, row: &'static ModelRow) -> Builder {
        self.model_row = Some(row);
        self
    }

    /// Chooses everything else, such as limits and timeouts.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Builder {
        change(&mut self.config);
        self
    }

    /// Makes the services ready and listens. Says at level info what is served, and where. SIGINT, SIGTERM and SIGHUP
    /// are caught from now on.
    ///
    /// # Errors
    /// A sentence about what could not be had.
    pub fn start(mut self) -> Result<Server, StartError> {
        let mut lines = self.reconcile_addresses()?;
        let descriptors = raise_descriptor_limit();
        let mut config = self.config;
        config.http.cache_files = cache_files(&config, descriptors);
        let model = self
            .model_row
            .or_else(|| model::find(&config.model))
            .ok_or_else(|| StartError(format!("there is no model `{}`", config.model)))?;
        lines.extend(budgets::set(&mut config, model));
        // Loops divide what listings may take, and processes share it.
        config.http.listing_bytes = listing_bytes(&config, tasks::memory());
        if model.executor == Executor::Process {
            config.http.listing_processes = config.max_children;
        }
        let mut shares = Vec::new();
        for _ in 0..config.workers {
            let signals = Signals::new().map_err(signal_error)?;
            let hangups = Hangups::new().map_err(signal_error)?;
            shares.push(Share {
                listening: Vec::new(),
                answering: Vec::new(),
                signals,
                hangups,
                log: access_log(&config)?,
                hub: None,
            });
        }
        let admission = Admission::new(&config);
        let mut services = Vec::new();
        for making in &self.services {
            let each = make_for_each(making, &config, model)?;
            require_known_clients(&config, model, &*each[0])?;
            services.push(each);
        }
        let mut places = Vec::new();
        for Wanted { address, service } in &self.wanted {
            let label = &self.services[*service].label;
            let services = &services[*service];
            let result = match address.is_datagram() {
                true => {
                    require_datagrams(&*services[0], address)?;
                    add_datagrams(&config, address, services, &mut shares)
                }
                false => add(&config, model, address, services, &admission, &mut shares),
            };
            let all = result
                .map_err(|error| bind_error(&format!("--listen {label}"), address, &error))?;
            let behind_proxy = config.proxies.is_some();
            let service = &*services[0];
            for bound in all {
                let says_how = !behind_proxy;
                lines.extend(report::listening(service, &bound, model.name, says_how));
                places.push(bound.0);
            }
        }
        let sockets = shares[0].listening.len() + shares[0].answering.len();
        let listeners = sockets + usize::from(config.status.is_some());
        let is_shared = services.iter().any(|each| each[0].is_shared());
        let (limits, set_by) = limits(&config, model, descriptors, listeners, is_shared);
        if let Some(address) = &config.status {
            let firsts: Vec<_> = services.iter().map(|each| each[0].clone()).collect();
            let about = about(model, &limits, firsts.iter().map(|one| &**one));
            let (all, more) = show(&config, model, address, about, firsts, &mut shares)
                .map_err(|error| bind_error("--status ", address, &error))?;
            places.extend(all);
            lines.extend(more);
        }
        lines.push(report::limits(model, &limits, set_by, descriptors));
        let timeouts = config.timeouts.capped();
        catch_signals(&mut shares, &timeouts).map_err(signal_error)?;
        report::say(lines);
        Ok(Server {
            model,
            places,
            serving: Serving {
                shares,
                limits,
                timeouts,
            },
        })
    }

    /// Makes the addresses fit together that were asked for. Returns what was changed, in sentences.
    fn reconcile_addresses(&mut self) -> Result<Vec<String>, StartError> {
        let services = &self.services;
        let wanted = self.wanted.iter_mut().map(|one| Request {
            option: format!("--listen {}{}", services[one.service].label, one.address),
            service: one.service,
            address: &mut one.address,
        });
        let status = self.config.status.iter_mut().map(|address| Request {
            option: format!("--status {address}"),
            service: usize::MAX,
            address,
        });
        let mut requests: Vec<_> = wanted.chain(status).collect();
        net::reconcile(&mut requests).map_err(StartError)
    }
}

impl Server {
    /// A server of one's own services, with the usual limits.
    pub fn builder() -> Builder {
        Builder {
            config: Config {
                access_log: AccessLog::Off,
                ..Config::default()
            },
            model_row: None,
            services: Vec::new(),
            wanted: Vec::new(),
        }
    }

    /// The server that a configuration describes.
    ///
    /// # Errors
    /// Those of [`Builder::start`].
    pub fn start(config: &Config) -> Result<Server, StartError> {
        Builder::from_config(config)?.start()
    }

    /// The model that runs it.
    pub fn model(&self) -> &'static ModelRow {
        self.model
    }

    /// Where it listens, in the order in which that was asked for. An address can be several places, as `localhost` is;
    /// one that another address of the same service covers is none.
    pub fn places(&self) -> Vec<Bound> {
        self.places.clone()
    }

    /// What ends it while it runs.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn handle(&self) -> io::Result<Handle> {
        let shares = self.serving.shares.iter();
        let senders = shares.map(|share| share.signals.sender());
        Ok(Handle(senders.collect::<io::Result<_>>()?))
    }

    /// Gives up what the process does not need to [`run`](Server::run): root's rights, if a user is named; with a
    /// sandbox, everything in the file system but what the services read, and TCP connections of its own. Says at level
    /// info what was given up.
    ///
    /// This is for programs that do nothing but serve. It holds for the whole process and for good; nothing else in this
    /// library does it.
    ///
    /// # Errors
    /// A sentence about what could not be given up, or could not be read any more. Part of it may be gone by then.
    pub fn confine(&self, confinement: &Confinement) -> Result<(), StartError> {
        confine::require_single_thread()?;
        let shares = &self.serving.shares;
        let listening = || shares.iter().flat_map(|share| &share.listening);
        let answering = shares.iter().flat_map(|share| &share.answering);
        let of_listeners = listening().filter_map(|one| one.listener.file());
        let mut sockets = answering.clone().map(|one| one.socket.bound());
        let abstract_sockets = sockets.any(|bound| matches!(bound, Bound::UnixDatagram(_)));
        let of_sockets = answering.filter_map(|one| one.socket.file());
        let files: Vec<&SocketFile> = of_listeners.chain(of_sockets).collect();
        let mut roots: Vec<_> = listening()
            .flat_map(|one| one.service.directories())
            .collect();
        roots.sort();
        roots.dedup();
        let holders = match confinement.sandbox {
            Sandbox::Follow => roots.iter().flat_map(|root| holders(root)).collect(),
            Sandbox::Strict | Sandbox::Off => Vec::new(),
        };
        let log = shares.first().and_then(|share| share.log.path());
        let logs = log.map(|path| log_directories(path, confinement.sandbox));
        let logs = logs.unwrap_or_default();
        let opened = roots.iter().map(|root| confine::open_directory(root));
        let opened: Vec<_> = opened
            .collect::<io::Result<_>>()
            .map_err(|error| StartError(format!("what is served cannot be opened: {error}")))?;
        let needs = Needs {
            read_below: opened.iter().map(AsFd::as_fd).collect(),
            follow_in: holders
                .iter()
                .map(|one| (one.directory.as_fd(), &*one.path))
                .collect(),
            remove_in: files.iter().map(|file| file.directory()).collect(),
            append_in: logs.iter().map(|one| one.directory.as_fd()).collect(),
            abstract_sockets,
        };
        let was_root = confine::is_root();
        if let Some(name) = &confinement.user {
            become_user(&Account::find(name)?, &files, &needs)?;
        }
        confine::give_up_privileges(was_root)
            .map_err(|error| StartError(format!("cannot give up privileges: {error}")))?;
        match confinement.sandbox {
            Sandbox::Follow | Sandbox::Strict => confine::sandbox(&needs),
            Sandbox::Off => {
                log::warn!(
                    "no sandbox, as --sandbox off says: this process can do what its user can"
                );
            }
        }
        confine::look_at(&needs)
            .map_err(|error| StartError(format!("what is served cannot be read: {error}")))
    }

    /// Serves until SIGINT, SIGTERM or a [`Handle`] ends it. Says at level info what was done.
    ///
    /// # Errors
    /// If the model cannot go on.
    pub fn run(self) -> io::Result<()> {
        let (begin, cpu_before) = (Instant::now(), sys::cpu_time());
        let counters = (self.model.run)(self.serving)?;
        // Whoever became this program by exec(2), as `cargo run` does, had used time before.
        let cpu = sys::cpu_time().saturating_sub(cpu_before);
        report::say(report::summary(
            self.model.name,
            &counters,
            begin.elapsed(),
            cpu,
        ));
        observe::log_left_out();
        model::cancel_alarm();
        Ok(())
    }
}

/// Until now signals have ended the process at once, whatever it waited for: a file system that does not answer, for
/// instance. Whoever is told where the server listens may ask it to end.
fn catch_signals(shares: &mut [Share], timeouts: &Timeouts) -> io::Result<()> {
    model::limit_end(timeouts.delay.saturating_add(timeouts.drain));
    for (index, share) in shares.iter_mut().enumerate() {
        share.signals.catch(index == 0)?;
        share.hangups.catch()?;
    }
    Ok(())
}

#[allow(clippy::needless_pass_by_value, reason = "map_err passes it so")]
fn signal_error(error: io::Error) -> StartError {
    StartError(format!("cannot catch signals: {error}"))
}

/// From root to a user, to whom the sockets' files belong from then on: it is the one to remove them.
fn become_user(
    account: &Account,
    files: &[&SocketFile],
    needs: &Needs<'_>,
) -> Result<(), StartError> {
    let Account { name, uid, gid } = account;
    files
        .iter()
        .try_for_each(|file| file.give_to(*uid, *gid))
        .map_err(|error| StartError(format!("cannot give a socket to {name}: {error}")))?;
    account
        .assume()
        .map_err(|error| StartError(format!("cannot become {name}: {error}")))?;
    log::info!("runs as {name} (user {uid}, group {gid})");
    confine::look_at(needs)
        .map_err(|error| StartError(format!("{name} cannot read what is to be served: {error}")))
}

/// Refuses a service, or a model, for which it is known too late who the clients of a proxy are.
fn require_known_clients(
    config: &Config,
    model: &ModelRow,
    service: &dyn Service,
) -> Result<(), StartError> {
    if config.proxies.is_none() {
        return Ok(());
    }
    if config.max_per_ip.is_some()
        && let Some(why) = model.apart
    {
        return Err(StartError(format!(
            "connections of clients behind a proxy cannot be counted with --model {}: {why}; \
             leave out --max-per-ip, or take another model",
            model.name
        )));
    }
    match service.is_shared() {
        // Its sessions hear each other from the moment at which they connect.
        true => Err(StartError(format!(
            "{} cannot be served with --proxy-protocol",
            service.name()
        ))),
        false => Ok(()),
    }
}

/// How much each loop's listings may take: all together no more than a quarter of the memory that there is, for in a
/// container of 64 MiB the default would be all of it.
fn listing_bytes(config: &Config, memory: Option<u64>) -> usize {
    let quarter = memory.map_or(u64::MAX, |memory| memory / 4);
    let quarter = usize::try_from(quarter).unwrap_or(usize::MAX);
    config.http.listing_bytes.min(quarter) / config.workers.max(1)
}

/// A service for each loop: one of its own, unless its conversations hear each other.
fn make_for_each(
    making: &Making,
    config: &Config,
    model: &ModelRow,
) -> Result<Vec<Arc<dyn Service>>, StartError> {
    let first = (making.make)(config)?;
    if !first.is_shared() {
        let others = (1..config.workers).map(|_| (making.make)(config));
        return std::iter::once(Ok(first)).chain(others).collect();
    }
    if let Some(why) = model.apart {
        let able = MODELS.iter().filter(|row| row.apart.is_none());
        let able: Vec<_> = able.map(|row| row.name).collect();
        return Err(StartError(format!(
            "{} cannot be served with --model {}: {why}; it can with {}",
            first.name(),
            model.name,
            able.join(", ")
        )));
    }
    Ok(vec![first; config.workers])
}

/// Gives each share a listener at each place of the address, and its service behind it. Returns where they are, and
/// whether that is for IPv6 alone.
fn add(
    config: &Config,
    model: &ModelRow,
    address: &Address,
    services: &[Arc<dyn Service>],
    admission: &Admission,
    shares: &mut [Share],
) -> io::Result<Vec<(Bound, bool)>> {
    let mut all = Vec::new();
    for listeners in Listener::bind_several(address, config.unix_mode, shares.len())? {
        all.push((listeners[0].bound().clone(), listeners[0].is_only_v6()));
        let behind = services.iter().cloned().zip(&mut *shares);
        for (listener, (service, share)) in listeners.into_iter().zip(behind) {
            if model.is_loop() && (admission.expects_header() || !service.speaks_first()) {
                listener.defer_accept()?;
            }
            share.listening.push(Listening {
                listener,
                service,
                admission: admission.clone(),
                claim: Claim::Part,
            });
        }
    }
    Ok(all)
}

/// Refuses an address for datagrams where the service has no answer to them.
fn require_datagrams(service: &dyn Service, address: &Address) -> Result<(), StartError> {
    match service.datagrams() {
        Some(_) => Ok(()),
        None => Err(StartError(format!(
            "{} needs a connection: it cannot be served over {address}",
            service.name()
        ))),
    }
}

/// Gives each share a socket that takes datagrams at each place of the address, and what answers them. Returns the same
/// as [`add`].
fn add_datagrams(
    config: &Config,
    address: &Address,
    services: &[Arc<dyn Service>],
    shares: &mut [Share],
) -> io::Result<Vec<(Bound, bool)>> {
    let mut all = Vec::new();
    for sockets in DatagramSocket::bind_several(address, config.unix_mode, shares.len())? {
        all.push((sockets[0].bound().clone(), sockets[0].is_only_v6()));
        let behind = services.iter().cloned().zip(&mut *shares);
        for (socket, (service, share)) in sockets.into_iter().zip(behind) {
            share.answering.push(Answering { socket, service });
        }
    }
    Ok(all)
}

/// Opens what takes the access log's lines.
fn access_log(config: &Config) -> Result<LogFile, StartError> {
    let (result, name) = match &config.access_log_file {
        Some(path) => (LogFile::open(path), path.display().to_string()),
        None => (LogFile::stdout(), "the standard output".into()),
    };
    result.map_err(|error| StartError(format!("cannot write the access log to {name}: {error}")))
}

/// `option` is how the address was given, up to itself.
fn bind_error(option: &str, address: &Address, error: &io::Error) -> StartError {
    let free = match address.place() {
        Place::Unix(_) | Place::UnixDatagram(_) => "take another path".into(),
        Place::Udp(_) => format!("take any free port with {option}udp:127.0.0.1:0"),
        Place::Tcp(_) | Place::Inherited(..) | Place::Covered => {
            format!("take any free port with {option}127.0.0.1:0")
        }
    };
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => format!("; stop the program that uses it, or {free}"),
        io::ErrorKind::NotFound => "; its directory is not there".into(),
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need privileges, others do not".into()
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address".into(),
        _ => String::new(),
    };
    StartError(format!("cannot listen on {address}: {error}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_take_a_part_of_the_memory_that_there_is() {
        const MIB: usize = 1024 * 1024;
        let cases = [
            (1, None, 64 * MIB),
            (1, Some(16 << 30), 64 * MIB),
            (4, Some(16 << 30), 16 * MIB),
            (1, Some(64 << 20), 16 * MIB),
            (2, Some(64 << 20), 8 * MIB),
        ];
        for (workers, memory, expected) in cases {
            let config = Config {
                workers,
                ..Config::default()
            };
            assert_eq!(listing_bytes(&config, memory), expected, "{memory:?}");
        }
    }
}
