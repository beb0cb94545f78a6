//! From a configuration to a running server.

mod budgets;
mod cgroup;
mod confinement;
mod descriptors;
mod directories;
mod limits;
mod report;
mod sockets;
mod start;
mod status;
mod task_limits;

use crate::config::{AccessLog, Config, Confinement, StartError};
use crate::model::{ModelRow, SignalSender};
use crate::net::BoundAddress;
use crate::observe;
use crate::service::{self, Service};
use crate::sys;
use start::{BoundServer, ListenSpec, ServerSpec, ServiceSpec};
use std::io;
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
pub struct Server(BoundServer);

/// What a server is to be made of.
pub struct Builder(ServerSpec);

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
        let (mut services, mut listen) = (Vec::<ServiceSpec>::new(), Vec::new());
        for one in &config.listen {
            let row = service::find(&one.service)
                .ok_or_else(|| StartError(format!("there is no mode `{}`", one.service)))?;
            let label = format!("{}=", one.service);
            // All addresses of a mode lead to the same service.
            let known = services.iter().position(|spec| spec.label == label);
            listen.push(ListenSpec {
                address: one.address.clone(),
                service: known.unwrap_or(services.len()),
            });
            if known.is_none() {
                let make = Box::new(row.start);
                services.push(ServiceSpec { label, make });
            }
        }
        Ok(Builder(ServerSpec {
            config: config.clone(),
            custom_model: None,
            services,
            listen,
        }))
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
        let service = self.0.services.len();
        self.0.services.push(ServiceSpec {
            label: String::new(),
            make: Box::new(make),
        });
        self.0.listen.push(ListenSpec { address, service });
        Ok(self)
    }

    /// Chooses a model by its name in [`MODELS`](crate::model::MODELS).
    #[must_use]
    pub fn model(mut self, name: &str) -> Builder {
        self.0.config.model = name.into();
        self
    }

    /// Runs a model of one's own, whatever else is chosen.
    #[must_use]
    pub fn custom_model(mut self, row: &'static ModelRow) -> Builder {
        self.0.custom_model = Some(row);
        self
    }

    /// Chooses everything else, such as limits and timeouts.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Builder {
        change(&mut self.0.config);
        self
    }

    /// Makes the services ready and listens. Says at level info what is served, and where. SIGINT, SIGTERM and SIGHUP
    /// are caught from now on.
    ///
    /// # Errors
    /// A sentence about what could not be had.
    pub fn start(self) -> Result<Server, StartError> {
        self.0.start().map(Server)
    }
}

impl Server {
    /// A server of one's own services, with the usual limits.
    pub fn builder() -> Builder {
        Builder(ServerSpec {
            config: Config {
                access_log: AccessLog::Off,
                ..Config::default()
            },
            custom_model: None,
            services: Vec::new(),
            listen: Vec::new(),
        })
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
        self.0.model
    }

    /// Where it listens, in the order in which that was asked for. An address can be several, as `localhost` is;
    /// one that another address of the same service covers is none.
    pub fn local_addresses(&self) -> Vec<BoundAddress> {
        self.0.addresses.clone()
    }

    /// What ends it while it runs.
    ///
    /// # Errors
    /// If no descriptor is free.
    pub fn handle(&self) -> io::Result<Handle> {
        let workers = self.0.serving.workers.iter();
        let senders = workers.map(|worker| worker.signals.sender());
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
        confinement::confine(&self.0.serving.workers, confinement)
    }

    /// Serves until SIGINT, SIGTERM or a [`Handle`] ends it. Says at level info what was done.
    ///
    /// # Errors
    /// If the model cannot go on.
    pub fn run(self) -> io::Result<()> {
        let (begin, cpu_before) = (Instant::now(), sys::cpu_time());
        let BoundServer { model, serving, .. } = self.0;
        let counters = (model.run)(serving)?;
        // Whoever became this program by exec(2), as `cargo run` does, had used time before.
        let cpu = sys::cpu_time().saturating_sub(cpu_before);
        report::say(report::summary(model.name, &counters, begin.elapsed(), cpu));
        observe::log_suppressed();
        crate::model::cancel_alarm();
        Ok(())
    }
}
