//! Binds sockets to addresses, and opens the access log.

use crate::config::{Accept, Config, StartError};
use crate::model::{DatagramEndpoint, ModelRow, ReservedPermits, StreamEndpoint, WorkerParts};
use crate::net::{Address, AddressKind, BoundAddress, DatagramSocket, Listener};
use crate::observe::LogFile;
use crate::service::{Admission, Service};
use crate::tls::Tls;
use std::io;
use std::sync::Arc;

/// The address of a socket.
#[derive(Clone)]
pub(super) struct Bound {
    pub address: BoundAddress,
    /// IPv4 clients do not reach it.
    pub only_v6: bool,
    /// Connections are encrypted by TLS.
    pub is_encrypted: bool,
}

/// The admission to an address of a service. If the address is encrypted, connections are, too.
pub(super) fn encrypted(
    admission: &Admission,
    address: &Address,
    tls: Option<&Tls>,
    service: &dyn Service,
) -> Admission {
    match tls.filter(|_| address.is_encrypted()) {
        Some(tls) => {
            let is_http = service.url_scheme() == Some("http");
            admission.encrypted(tls.context(is_http))
        }
        None => admission.clone(),
    }
}

/// Gives each worker a listener for each endpoint of an address, with its service.
pub(super) fn bind_listeners(
    config: &Config,
    model: &ModelRow,
    address: &Address,
    services: &[Arc<dyn Service>],
    admission: &Admission,
    workers: &mut [WorkerParts],
) -> io::Result<Vec<Bound>> {
    let mut all = Vec::new();
    let one_socket = config.accept != Accept::Reuseport;
    for listeners in Listener::bind_several(address, config.unix_mode, workers.len(), one_socket)? {
        all.push(Bound {
            address: listeners[0].bound().clone(),
            only_v6: listeners[0].is_only_v6(),
            is_encrypted: address.is_encrypted(),
        });
        let behind = services.iter().cloned().zip(&mut *workers);
        for (listener, (service, worker)) in listeners.into_iter().zip(behind) {
            if model.waits_for_many()
                && (admission.client_speaks_first() || !service.speaks_first())
            {
                listener.defer_accept()?;
            }
            worker.stream_endpoints.push(StreamEndpoint {
                listener,
                service,
                admission: admission.clone(),
                reserved_permits: ReservedPermits::Equal,
            });
        }
    }
    Ok(all)
}

/// Refuses an address for datagrams if the service does not handle any.
pub(super) fn require_datagrams(
    service: &dyn Service,
    address: &Address,
) -> Result<(), StartError> {
    match service.datagram_handler() {
        Some(_) => Ok(()),
        None => Err(StartError(format!(
            "{} needs a connection: it cannot be served over {address}",
            service.name()
        ))),
    }
}

/// Gives each worker a datagram socket for each endpoint of an address, with its service.
pub(super) fn bind_datagrams(
    config: &Config,
    address: &Address,
    services: &[Arc<dyn Service>],
    workers: &mut [WorkerParts],
) -> io::Result<Vec<Bound>> {
    let mut all = Vec::new();
    for sockets in DatagramSocket::bind_several(address, config.unix_mode, workers.len())? {
        all.push(Bound {
            address: sockets[0].bound().clone(),
            only_v6: sockets[0].is_only_v6(),
            is_encrypted: false,
        });
        let behind = services.iter().cloned().zip(&mut *workers);
        for (socket, (service, worker)) in sockets.into_iter().zip(behind) {
            worker
                .datagram_endpoints
                .push(DatagramEndpoint { socket, service });
        }
    }
    Ok(all)
}

/// Opens the access log.
pub(super) fn access_log(config: &Config) -> Result<LogFile, StartError> {
    let (result, name) = match &config.access_log_file {
        Some(path) => (LogFile::open(path), path.display().to_string()),
        None => (LogFile::stdout(), "standard output".into()),
    };
    result.map_err(|error| StartError(format!("cannot write the access log to {name}: {error}")))
}

/// An error with a hint what to do about it.
pub(super) fn bind_error(address: &Address, error: &io::Error) -> StartError {
    let another = match address.kind() {
        AddressKind::Unix(_) | AddressKind::UnixDatagram(_) => "use another path",
        AddressKind::Udp(_)
        | AddressKind::Tcp(_)
        | AddressKind::Inherited(..)
        | AddressKind::Covered => "use another port (0 is any free one)",
    };
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => format!("; stop the program that uses it, or {another}"),
        io::ErrorKind::NotFound => "; its directory does not exist".into(),
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need privileges, higher ones do not".into()
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address".into(),
        _ => String::new(),
    };
    StartError(format!("cannot listen on {address}: {error}{hint}"))
}
