//! From a configuration to a running server.

mod announcement;
mod budgets;
mod certificates;
mod cgroup;
mod confinement;
mod descriptors;
mod directories;
mod limits;
mod passwords;
mod recording;
mod reload;
mod renewal;
mod sockets;
mod start;
mod status;
mod summary;
mod task_limits;
mod units;
mod urls;

use crate::config::{AccessLog, Config, Confinement, Redirect, StartError};
use crate::model::{ModelRow, SignalSender};
use crate::net::BoundAddress;
use crate::observe;
use crate::service::{self, Service, http};
use crate::sys;
use announcement::log_lines;
use log::Level;
use passwords::PasswordReload;
use recording::{RecordingFile, RunningRecording};
use renewal::Renewal;
use start::{BoundServer, ListenSpec, MakeService, ServerSpec, ServiceSpec};
use std::io;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Instant;

/// A server that listens. Connections wait in the backlog until it [`run`](Server::run)s.
///
/// ```
/// use evserve::service::http::{self, Handler, Response};
/// use evserve::{config::Config, http1::Request, server::Server, session::Time};
/// # use std::io::{Read, Write};
///
/// struct Hello;
///
/// impl Handler for Hello {
///     fn respond(&self, _: &Request<'_>, _: &Time) -> Response {
///         Response::text("Hello!\n")
///     }
/// }
///
/// let server = Server::builder()
///     .model("threaded")
///     .listen("127.0.0.1:0", |config| Ok(http::service(Hello, config)))?
///     .start()?;
/// let place = server.local_addresses()[0].to_string();
/// let handle = server.handle()?;
/// let running = std::thread::spawn(move || server.run());
/// // ... and later, from any thread:
/// # let mut client = std::net::TcpStream::connect(place)?;
/// # client.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
/// # let mut answer = String::new();
/// # client.read_to_string(&mut answer)?;
/// # assert!(answer.ends_with("Hello!\n"));
/// handle.shutdown();
/// running.join().expect("it ran")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server(BoundServer);

/// Describes a server before it starts.
pub struct Builder(ServerSpec);

/// Stops a server from any thread.
#[derive(Debug)]
pub struct Handle(Vec<SignalSender>);

impl Handle {
    /// Does what SIGTERM does. The first call stops accepting and lets responses finish; the second
    /// one ends the server at once.
    pub fn shutdown(&self) {
        self.0.iter().for_each(SignalSender::send);
    }
}

impl Builder {
    /// The server that a configuration describes.
    ///
    /// # Errors
    /// If the configuration names an unknown service.
    pub fn from_config(config: &Config) -> Result<Builder, StartError> {
        let (mut services, mut listen) = (Vec::<ServiceSpec>::new(), Vec::new());
        let redirect_port = match config.redirect {
            Redirect::Off => None,
            Redirect::ToEncrypted => Some(Arc::default()),
            Redirect::ToPort(port) => Some(Arc::new(OnceLock::from(port))),
        };
        for one in &config.listen {
            let row = service::find(&one.service)
                .ok_or_else(|| StartError(format!("there is no mode `{}`", one.service)))?;
            let label = format!("{}=", one.service);
            // All addresses of a mode share one service, except for those that redirect.
            let redirects =
                redirect_port.is_some() && row.name == "http" && !one.address.is_encrypted();
            let is_same = |spec: &ServiceSpec| spec.label == label && spec.redirects == redirects;
            let known = services.iter().position(is_same);
            listen.push(ListenSpec {
                address: one.address.clone(),
                service: known.unwrap_or(services.len()),
            });
            if known.is_none() {
                let make: MakeService = match redirect_port.clone().filter(|_| redirects) {
                    Some(port) => Box::new(move |config| http::redirects(config, port.clone())),
                    None => Box::new(row.start),
                };
                services.push(ServiceSpec {
                    label,
                    make,
                    redirects,
                });
            }
        }
        Ok(Builder(ServerSpec {
            config: config.clone(),
            custom_model: None,
            is_model_chosen: config.model != Config::default().model,
            services,
            listen,
            redirect_port,
        }))
    }

    /// Listens at an address with a service. `make` is called once for each event loop
    /// (`--workers`), or once in all for a service whose connections share state.
    ///
    /// # Errors
    /// If `address` is not an address.
    pub fn listen(
        mut self,
        address: &str,
        make: impl Fn(&Config) -> Result<Arc<dyn Service>, StartError> + 'static,
    ) -> Result<Builder, StartError> {
        let address = address.parse().map_err(StartError)?;
        let service = self.0.services.len();
        self.0.services.push(ServiceSpec {
            label: String::new(),
            make: Box::new(make),
            redirects: false,
        });
        self.0.listen.push(ListenSpec { address, service });
        Ok(self)
    }

    /// Chooses a model by its name in [`MODELS`](crate::model::MODELS).
    #[must_use]
    pub fn model(mut self, name: &str) -> Builder {
        self.0.config.model = name.into();
        self.0.is_model_chosen = true;
        self
    }

    /// Runs a model that is not in [`MODELS`](crate::model::MODELS), whatever else is chosen.
    #[must_use]
    pub fn custom_model(mut self, row: &'static ModelRow) -> Builder {
        self.0.custom_model = Some(row);
        self.0.is_model_chosen = true;
        self
    }

    /// Changes the rest of the configuration, such as limits and timeouts.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Builder {
        change(&mut self.0.config);
        self
    }

    /// Makes the services, listens and catches SIGINT, SIGTERM and SIGHUP. Logs at level info what
    /// is served where.
    ///
    /// # Errors
    /// A sentence for the user about what failed.
    pub fn start(self) -> Result<Server, StartError> {
        self.0.start().map(Server)
    }
}

impl Server {
    /// Begins a server with services of a program, the default limits and no access log.
    pub fn builder() -> Builder {
        Builder(ServerSpec {
            config: Config {
                access_log: AccessLog::Off,
                ..Config::default()
            },
            custom_model: None,
            is_model_chosen: false,
            services: Vec::new(),
            listen: Vec::new(),
            redirect_port: None,
        })
    }

    /// Starts the server that a configuration describes.
    ///
    /// # Errors
    /// See [`Builder::start`].
    pub fn start(config: &Config) -> Result<Server, StartError> {
        Builder::from_config(config)?.start()
    }

    /// The model that runs it.
    pub fn model(&self) -> &'static ModelRow {
        self.0.model
    }

    /// The bound addresses, in the order in which they were asked for. A name such as `localhost`
    /// stands for several. An address that another one covers is left out.
    pub fn local_addresses(&self) -> Vec<BoundAddress> {
        self.0.addresses.clone()
    }

    /// The URL of the first address that other machines can reach, if there is one.
    pub fn url_for_others(&self) -> Option<&str> {
        self.0.url_for_others.as_deref()
    }

    /// Returns a handle that stops the server while it runs.
    ///
    /// # Errors
    /// If the process has no free descriptor.
    pub fn handle(&self) -> io::Result<Handle> {
        let workers = self.0.serving.workers.iter();
        let senders = workers.map(|worker| worker.signals.sender());
        Ok(Handle(senders.collect::<io::Result<_>>()?))
    }

    /// Gives up the privileges that the process does not need to [`run`](Server::run): those of
    /// root, if `confinement` names a user; and with a sandbox, all files that the services do not
    /// read, and outgoing TCP connections. Logs at level info what was given up.
    ///
    /// Call this only in a program that does nothing but serve: it holds for the whole process, and
    /// cannot be undone.
    ///
    /// # Errors
    /// A sentence for the user about what failed. Some privileges may be gone by then.
    pub fn confine(&self, confinement: &Confinement) -> Result<(), StartError> {
        let renewal = self.0.renewal.as_ref();
        let certificates = renewal.map_or(&[][..], |renewal| &renewal.loaded.files);
        let passwords = self.0.passwords.as_ref().map(PasswordReload::files);
        let renewed = [certificates, &passwords.unwrap_or_default()].concat();
        confinement::confine(&self.0.serving.workers, &renewed, confinement)?;
        // What is given up may be what the model needs.
        start::require(self.0.model, &self.0.serving.uring)
    }

    /// Serves until SIGINT, SIGTERM or a [`Handle`] stops it. Logs at level info what was served,
    /// and what it cost if the model was chosen.
    ///
    /// # Errors
    /// If the model fails as a whole, for example because the kernel refuses an epoll instance.
    pub fn run(self) -> io::Result<()> {
        let BoundServer {
            model,
            is_model_chosen,
            serving,
            last_lines,
            renewal,
            passwords,
            recording,
            ..
        } = self.0;
        log_lines(Level::Info, last_lines);
        let _renewing = renewal.and_then(Renewal::start);
        let _reloading = passwords.and_then(PasswordReload::start);
        let (begin, cpu_before) = (Instant::now(), sys::cpu_time());
        let by_loop = serving.by_loop.clone();
        let recording = recording.map(RecordingFile::start);
        let counters = (model.run)(serving)?;
        recording.into_iter().for_each(RunningRecording::finish);
        let by_loop = std::mem::take(&mut *by_loop.lock().unwrap_or_else(PoisonError::into_inner));
        let elapsed = begin.elapsed();
        // Leaves out the time used before exec(2), for example by `cargo run`.
        let cpu = sys::cpu_time().saturating_sub(cpu_before);
        log_lines(Level::Info, summary::served(&counters, elapsed));
        let level = match is_model_chosen {
            true => Level::Info,
            false => Level::Debug,
        };
        log_lines(level, summary::costs(model.name, &counters, elapsed, cpu));
        log_lines(level, summary::by_loop(&by_loop));
        observe::log_suppressed();
        crate::model::cancel_alarm();
        Ok(())
    }
}
