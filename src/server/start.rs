//! Makes a server that listens, [`BoundServer`], from its description, [`ServerSpec`].

use super::announcement::{self, Hints};
use super::budgets::{self, listing_bytes};
use super::certificates::LoadedCertificates;
use super::descriptors::{cache_files, raise_descriptor_limit};
use super::limits::limits;
use super::passwords::{self, PasswordReload};
use super::recording::RecordingFile;
use super::renewal::Renewal;
use super::sockets::{
    Bound, access_log, bind_datagrams, bind_error, bind_listeners, encrypted, require_datagrams,
};
use super::units::grouped;
use super::{certificates, status, task_limits};
use crate::config::{Config, StartError, Timeouts, Uring};
use crate::model::{
    self, Executor, HangupSignals, MODELS, ModelRow, ServerSetup, Signals, WorkerParts,
};
use crate::net::{self, Address, BoundAddress, ListenRequest};
use crate::service::{Admission, Service, Sharing};
use crate::tls::Tls;
use log::Level;
use std::io;
use std::sync::{Arc, OnceLock};

/// Describes a server.
pub(super) struct ServerSpec {
    pub config: Config,
    /// A model that is not in the table.
    pub custom_model: Option<&'static ModelRow>,
    /// The user has chosen the model, so its name and its costs are logged.
    pub is_model_chosen: bool,
    pub services: Vec<ServiceSpec>,
    pub listen: Vec<ListenSpec>,
    /// The port that redirects lead to, once it is known.
    pub redirect_port: Option<Arc<OnceLock<u16>>>,
}

/// Makes a service for one loop.
pub(super) type MakeService = Box<dyn Fn(&Config) -> Result<Arc<dyn Service>, StartError>>;

/// Describes a service.
pub(super) struct ServiceSpec {
    /// The prefix of its addresses on the command line, such as `http=`.
    pub label: String,
    /// Makes the service.
    pub make: MakeService,
    /// It redirects to an encrypted address of the same label.
    pub redirects: bool,
}

/// An address to listen at.
pub(super) struct ListenSpec {
    pub address: Address,
    /// The index of the service in [`ServerSpec::services`].
    pub service: usize,
}

/// A server that listens.
pub(super) struct BoundServer {
    pub model: &'static ModelRow,
    pub is_model_chosen: bool,
    pub serving: ServerSetup,
    pub addresses: Vec<BoundAddress>,
    /// The URL of the first address that other machines can reach.
    pub url_for_others: Option<String>,
    /// What is logged when the server is about to serve.
    pub last_lines: Vec<String>,
    /// The certificates of encrypted addresses, and what opens them again.
    pub renewal: Option<Renewal>,
    /// What reads users' passwords again.
    pub passwords: Option<PasswordReload>,
    /// The file that is recorded to.
    pub recording: Option<RecordingFile>,
}

impl ServerSpec {
    /// See [`Builder::start`](super::Builder::start).
    pub fn start(mut self) -> Result<BoundServer, StartError> {
        let mut lines = self.reconcile_addresses()?;
        let descriptors = raise_descriptor_limit();
        let model = self.model()?;
        self.config.http.cache_files = cache_files(&self.config, descriptors);
        require(model, &self.config.uring)?;
        model.check_accept(self.config.accept).map_err(StartError)?;
        lines.extend(budgets::set(&mut self.config, model));
        divide_listing_bytes(&mut self.config, model);
        passwords::open(&mut self.config, model.executor == Executor::Process)?;
        let loaded = certificates::load(&self.config, self.listen.iter().map(|one| &one.address))?;
        let tls = loaded.as_ref().map(|loaded| loaded.tls.clone());
        let config = &self.config;
        let mut workers = make_workers(config)?;
        let services = make_services(&self.services, config, model)?;
        let firsts: Vec<_> = services.iter().map(|each| each[0].clone()).collect();
        let (mut addresses, bound) = self.bind(model, &services, tls.as_deref(), &mut workers)?;
        self.set_redirect_port(&firsts, &bound)?;
        let served = || firsts.iter().map(|service| &**service).zip(&bound);
        for (service, bound) in served() {
            lines.extend(announcement::service(service, bound, self.hints()));
        }
        lines.extend(passwords::announcement(config));
        let warnings = passwords::warnings(config, self.addresses_of_http(&firsts));
        announcement::log_lines(Level::Warn, warnings);
        lines.extend(tls.iter().flat_map(|tls| certificates::announcement(tls)));
        let mut urls = served().filter_map(|(one, all)| announcement::url_for_others(one, all));
        let url_for_others = urls.next();
        let sockets = workers[0].stream_endpoints.len() + workers[0].datagram_endpoints.len();
        let listeners = sockets + usize::from(config.status.is_some());
        let sharing = firsts.iter().map(|service| service.sharing());
        let sharing = sharing.max().unwrap_or(Sharing::Nothing);
        let (limits, set_by) = limits(config, model, descriptors, listeners, sharing);
        if let Some(address) = &config.status {
            let certificates = tls.iter().map(|tls| tls.certificates().clone()).next();
            // The sessions that redirect are counted with the others of http.
            let shown = self.services.iter().zip(served());
            let shown = shown.filter(|(spec, _)| !spec.redirects);
            let services = shown.map(|(_, (service, bound))| {
                let is_encrypted = bound.iter().any(|one| one.is_encrypted);
                (service, is_encrypted)
            });
            let info = status::server_info(model, &limits, services, certificates);
            let parts = (tls.as_deref(), &mut workers[..]);
            let firsts = firsts.clone();
            let (all, more) = status::listen(config, model, address, info, firsts, parts)
                .map_err(|error| bind_error(address, &error))?;
            addresses.extend(all);
            lines.extend(more);
        }
        let renewal = loaded.map(|loaded| renewal(loaded, &mut workers));
        let passwords = password_reload(config, &mut workers)?;
        let recording = RecordingFile::open(config, model)?;
        let timeouts = config.timeouts.capped();
        catch_signals(&mut workers, &timeouts).map_err(signal_error)?;
        announcement::log_lines(Level::Info, lines);
        log::debug!("up to {} files may be open", grouped(descriptors as u64));
        Ok(BoundServer {
            model,
            is_model_chosen: self.is_model_chosen,
            addresses,
            url_for_others,
            last_lines: announcement::last(model, self.is_model_chosen, &limits, set_by),
            renewal: renewal.transpose()?,
            passwords,
            recording,
            serving: ServerSetup {
                workers,
                limits,
                timeouts,
                accept: config.accept,
                by_loop: Arc::default(),
                trigger: config.trigger,
                uring: config.uring,
            },
        })
    }

    /// The addresses of services that may ask for a password.
    fn addresses_of_http<'a>(
        &'a self,
        services: &'a [Arc<dyn Service>],
    ) -> impl Iterator<Item = &'a Address> {
        let is_http = |one: &&ListenSpec| services[one.service].url_scheme() == Some("http");
        self.listen.iter().filter(is_http).map(|one| &one.address)
    }

    fn hints(&self) -> Hints {
        let config = &self.config;
        let refuses = config.trusted_proxies.is_some() || config.http.gate.is_some();
        Hints {
            commands: !refuses,
            load: self.is_model_chosen && !refuses,
        }
    }

    fn model(&self) -> Result<&'static ModelRow, StartError> {
        let name = &self.config.model;
        let custom = self.custom_model.map(Ok);
        custom.unwrap_or_else(|| model::choose(name).map_err(StartError))
    }

    /// Gives each worker a socket for each endpoint of each address. Returns the addresses in their
    /// order, and those of each service.
    fn bind(
        &self,
        model: &ModelRow,
        services: &[Vec<Arc<dyn Service>>],
        tls: Option<&Tls>,
        workers: &mut [WorkerParts],
    ) -> Result<(Vec<BoundAddress>, Vec<Vec<Bound>>), StartError> {
        let config = &self.config;
        let admission = Admission::new(config);
        let mut addresses = Vec::new();
        let mut bound: Vec<Vec<Bound>> = vec![Vec::new(); services.len()];
        for one in &self.listen {
            let each = &services[one.service];
            let admission = encrypted(&admission, &one.address, tls, &*each[0]);
            let all = bind(config, model, &one.address, each, &admission, workers)?;
            addresses.extend(all.iter().map(|socket| socket.address.clone()));
            bound[one.service].extend(all);
        }
        Ok((addresses, bound))
    }

    /// Redirects lead to the first encrypted address of http, unless the configuration names a
    /// port.
    fn set_redirect_port(
        &self,
        services: &[Arc<dyn Service>],
        bound: &[Vec<Bound>],
    ) -> Result<(), StartError> {
        let Some(port) = self
            .redirect_port
            .as_ref()
            .filter(|port| port.get().is_none())
        else {
            return Ok(());
        };
        let of_http = services.iter().zip(bound);
        let of_http = of_http.filter(|(service, _)| service.url_scheme() == Some("http"));
        let mut encrypted = of_http
            .flat_map(|(_, all)| all)
            .filter(|one| one.is_encrypted);
        let found = encrypted.find_map(|one| match one.address {
            BoundAddress::Tcp(address) => Some(address.port()),
            _ => None,
        });
        let found = found.ok_or_else(|| {
            StartError("there is no encrypted address of http to redirect to".into())
        })?;
        let _ = port.set(found);
        Ok(())
    }

    /// Resolves overlaps between the addresses. Returns sentences about what was changed.
    fn reconcile_addresses(&mut self) -> Result<Vec<String>, StartError> {
        let services = &self.services;
        let listen = self.listen.iter_mut().map(|one| ListenRequest {
            option: format!("--listen {}{}", services[one.service].label, one.address),
            service: one.service,
            address: &mut one.address,
        });
        let status = self.config.status.iter_mut().map(|address| ListenRequest {
            option: format!("--status {address}"),
            service: usize::MAX,
            address,
        });
        let mut requests: Vec<_> = listen.chain(status).collect();
        net::reconcile(&mut requests).map_err(StartError)
    }
}

/// Refuses a model that this kernel cannot run.
pub(super) fn require(model: &ModelRow, settings: &Uring) -> Result<(), StartError> {
    (model.check)(settings).map_err(|why| {
        let name = model.name;
        StartError(format!("cannot serve with --model {name}: {why}"))
    })
}

fn make_workers(config: &Config) -> Result<Vec<WorkerParts>, StartError> {
    let mut workers = Vec::new();
    for _ in 0..config.workers {
        let signals = Signals::new().map_err(signal_error)?;
        let hangups = HangupSignals::new().map_err(signal_error)?;
        workers.push(WorkerParts {
            stream_endpoints: Vec::new(),
            datagram_endpoints: Vec::new(),
            signals,
            hangups,
            log: access_log(config)?,
            hub: None,
        });
    }
    Ok(workers)
}

/// What opens certificates again after SIGHUP.
fn renewal(loaded: LoadedCertificates, workers: &mut [WorkerParts]) -> Result<Renewal, StartError> {
    let renewal = Renewal::new(loaded).map_err(signal_error)?;
    // One of them is enough: a signal reaches all.
    workers[0].hangups.forward_to(renewal.requests.request());
    Ok(renewal)
}

/// What reads passwords again after SIGHUP.
fn password_reload(
    config: &Config,
    workers: &mut [WorkerParts],
) -> Result<Option<PasswordReload>, StartError> {
    let reload = PasswordReload::new(config).map_err(signal_error)?;
    if let Some(reload) = &reload {
        workers[0].hangups.forward_to(reload.requests.request());
    }
    Ok(reload)
}

/// Makes each service for each loop.
fn make_services(
    specs: &[ServiceSpec],
    config: &Config,
    model: &ModelRow,
) -> Result<Vec<Vec<Arc<dyn Service>>>, StartError> {
    let make = |spec| {
        let each = make_per_worker(spec, config, model)?;
        check_proxy_protocol(config, model, &*each[0])?;
        Ok(each)
    };
    specs.iter().map(make).collect()
}

/// Gives each worker a socket for each endpoint of an address.
fn bind(
    config: &Config,
    model: &ModelRow,
    address: &Address,
    services: &[Arc<dyn Service>],
    admission: &Admission,
    workers: &mut [WorkerParts],
) -> Result<Vec<Bound>, StartError> {
    let result = match address.is_datagram() {
        true => {
            require_datagrams(&*services[0], address)?;
            bind_datagrams(config, address, services, workers)
        }
        false => bind_listeners(config, model, address, services, admission, workers),
    };
    result.map_err(|error| bind_error(address, &error))
}

/// Catches signals. Call this late: until then a signal ends the process at once, even if it waits
/// for a file system that does not respond. Call it before the addresses are logged: a program that
/// reads them may send a signal.
fn catch_signals(workers: &mut [WorkerParts], timeouts: &Timeouts) -> io::Result<()> {
    model::limit_shutdown(timeouts.drain_delay.saturating_add(timeouts.drain));
    for (index, worker) in workers.iter_mut().enumerate() {
        worker.signals.catch(index == 0)?;
        worker.hangups.catch()?;
    }
    Ok(())
}

#[allow(clippy::needless_pass_by_value, reason = "map_err passes it so")]
fn signal_error(error: io::Error) -> StartError {
    StartError(format!("cannot catch signals: {error}"))
}

/// Refuses a service or a model that needs the client's address before the PROXY header has come.
fn check_proxy_protocol(
    config: &Config,
    model: &ModelRow,
    service: &dyn Service,
) -> Result<(), StartError> {
    if config.trusted_proxies.is_none() {
        return Ok(());
    }
    if config.max_per_ip.is_some()
        && let Some(why) = model.isolated_because
    {
        return Err(StartError(format!(
            "connections of clients behind a proxy cannot be counted with --model {}: {why}; \
             leave out --max-per-ip, or take another model",
            model.name
        )));
    }
    match service.sharing() {
        // Its sessions exchange messages before the header has come.
        Sharing::Messages => Err(StartError(format!(
            "{} cannot be served with --proxy-protocol",
            service.name()
        ))),
        Sharing::Nothing | Sharing::Memory => Ok(()),
    }
}

/// Makes a service for each loop, or one for all loops if its connections share anything.
fn make_per_worker(
    spec: &ServiceSpec,
    config: &Config,
    model: &ModelRow,
) -> Result<Vec<Arc<dyn Service>>, StartError> {
    let first = (spec.make)(config)?;
    let sharing = first.sharing();
    if sharing == Sharing::Nothing {
        let others = (1..config.workers).map(|_| (spec.make)(config));
        return std::iter::once(Ok(first)).chain(others).collect();
    }
    require_sharing(model, &*first, sharing)?;
    if config.workers > 1 && first.notifier().is_some() {
        return Err(StartError(format!(
            "{} cannot be served by {} loops: its connections share memory, and a change that it watches for is \
             reported to one loop only; set workers to 1{UNLESS_NOTHING}",
            first.name(),
            config.workers
        )));
    }
    Ok(vec![first; config.workers])
}

/// Advice for a program whose service shares nothing but does not say so.
const UNLESS_NOTHING: &str = ", or let its method `sharing` return Sharing::Nothing if that is so";

/// Refuses a service whose connections share more than the model can provide.
fn require_sharing(
    model: &ModelRow,
    service: &dyn Service,
    sharing: Sharing,
) -> Result<(), StartError> {
    let Some(why) = model.cannot_share(sharing) else {
        return Ok(());
    };
    let able = MODELS
        .iter()
        .filter(|row| row.cannot_share(sharing).is_none());
    let able: Vec<_> = able.map(|row| row.name).collect();
    let unless = match sharing {
        Sharing::Nothing | Sharing::Messages => "",
        Sharing::Memory => UNLESS_NOTHING,
    };
    Err(StartError(format!(
        "{} cannot be served with --model {}: {why}; it can with {}{unless}",
        service.name(),
        model.name,
        able.join(", ")
    )))
}

/// Divides the memory for listings among loops. Processes share it.
fn divide_listing_bytes(config: &mut Config, model: &ModelRow) {
    config.http.listing_bytes = listing_bytes(config, task_limits::memory());
    if model.executor == Executor::Process {
        config.http.listing_processes = config.max_children;
        // A process would compress for its own connection only.
        config.http.compress = false;
    }
}
