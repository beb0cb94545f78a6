//! The status page: where it listens and what it knows of the server.

use super::announcement::{self, Hints};
use super::sockets::{bind_listeners, encrypted};
use crate::config::Config;
use crate::model::{Executor, Limits, ModelRow, ReservedPermits, WorkerParts};
use crate::net::{Address, BoundAddress};
use crate::observe::{CertificateList, ExecutorKind, ServerInfo, StatusHub};
use crate::service::{self, Admission, Service};
use crate::session::{ACCEPTED, HANDSHAKING, Transition};
use crate::tls::Tls;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// The send buffer of a status connection, in bytes. By default the kernel buffers megabytes, and a
/// slow reader would see the server as it was long ago.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Listens for status requests, in the first loop. Returns the bound addresses and the lines to
/// log.
pub(super) fn listen(
    config: &Config,
    model: &ModelRow,
    address: &Address,
    about: ServerInfo,
    services: Vec<Arc<dyn Service>>,
    (tls, workers): (Option<&Tls>, &mut [WorkerParts]),
) -> io::Result<(Vec<BoundAddress>, Vec<String>)> {
    let hub = StatusHub::new(about, workers.len(), Instant::now());
    for worker in &mut *workers {
        worker.hub = Some(hub.clone());
    }
    let service = service::status(hub, services, config, address.is_local());
    let admission = encrypted(&Admission::default(), address, tls, &*service);
    let before = workers[0].stream_endpoints.len();
    let all = bind_listeners(
        config,
        model,
        address,
        std::slice::from_ref(&service),
        &admission,
        &mut workers[..1],
    )?;
    for endpoint in &mut workers[0].stream_endpoints[before..] {
        endpoint.reserved_permits = ReservedPermits::Few;
        endpoint.listener.limit_send_buffers(SEND_BUFFER_BYTES)?;
    }
    let hints = Hints {
        commands: false,
        load: false,
    };
    let lines = announcement::service(&*service, &all, hints);
    Ok((all.into_iter().map(|one| one.address).collect(), lines))
}

/// What the status page shows of the server as a whole. The services come with whether any of
/// their addresses is encrypted.
pub(super) fn server_info<'a>(
    model: &ModelRow,
    limits: &Limits,
    services: impl Iterator<Item = (&'a dyn Service, bool)>,
    certificates: Option<CertificateList>,
) -> ServerInfo {
    let knows = |option| model.options.contains(&option);
    ServerInfo {
        model: model.name,
        waits: model.about,
        executors: match model.executor {
            Executor::Loop => ExecutorKind::Loops,
            Executor::Thread | Executor::Task => ExecutorKind::Threads,
            Executor::Process => ExecutorKind::Processes,
        },
        why_no_stream: model.no_streams_because,
        max_connections: knows("max-connections").then_some(limits.max_connections),
        services: services
            .map(|(service, is_encrypted)| {
                let steps = service.transitions().to_vec();
                let steps = match is_encrypted {
                    true => behind_handshake(steps),
                    false => steps,
                };
                (service.name().to_owned(), steps)
            })
            .collect(),
        certificates: certificates.unwrap_or_default(),
    }
}

/// The transitions of sessions that begin at once or behind a handshake.
fn behind_handshake(steps: Vec<Transition>) -> Vec<Transition> {
    let is_first = |(from, _): &&Transition| *from == ACCEPTED;
    let first = steps.iter().filter(is_first);
    let behind: Vec<_> = first.map(|(_, to)| (HANDSHAKING, *to)).collect();
    let before = [(ACCEPTED, HANDSHAKING)].into_iter();
    before.chain(behind).chain(steps).collect()
}
