//! The server as one that can be seen at work.

use super::announcement::{self, Hints};
use super::sockets::bind_listeners;
use crate::config::Config;
use crate::model::{Limits, ModelRow, Quota, WorkerParts};
use crate::net::{Address, BoundAddress};
use crate::observe::{ServerInfo, StatusHub};
use crate::service::{self, Admission, Service};
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// How much the kernel keeps for one who watches and does not read, in bytes: by itself it would keep megabytes, and what is
/// read in the end would be how things stood long ago.
const MOST_UNREAD: usize = 64 * 1024;

/// Shows the server at work at the address, from its first loop. Returns where that is and what is logged of it.
pub(super) fn show(
    config: &Config,
    model: &ModelRow,
    address: &Address,
    about: ServerInfo,
    services: Vec<Arc<dyn Service>>,
    workers: &mut [WorkerParts],
) -> io::Result<(Vec<BoundAddress>, Vec<String>)> {
    let hub = StatusHub::new(about, workers.len(), Instant::now());
    for worker in &mut *workers {
        worker.hub = Some(hub.clone());
    }
    let service = service::status(hub, services, config, address.is_local());
    let before = workers[0].stream_endpoints.len();
    let all = bind_listeners(
        config,
        model,
        address,
        std::slice::from_ref(&service),
        &Admission::default(),
        &mut workers[..1],
    )?;
    for endpoint in &mut workers[0].stream_endpoints[before..] {
        endpoint.quota = Quota::Small;
        endpoint.listener.limit_send_buffers(MOST_UNREAD)?;
    }
    let hints = Hints {
        commands: false,
        load: false,
    };
    let lines = announcement::service(&*service, &all, hints);
    Ok((all.into_iter().map(|(bound, _)| bound).collect(), lines))
}

/// What those who look are told about the server.
pub(super) fn about<'a>(
    model: &ModelRow,
    limits: &Limits,
    services: impl Iterator<Item = &'a dyn Service>,
) -> ServerInfo {
    let knows = |option| model.options.contains(&option);
    ServerInfo {
        model: model.name,
        waits: model.about,
        why_no_stream: model.no_streams_because,
        max_connections: knows("max-connections").then_some(limits.max_connections),
        services: services
            .map(|service| (service.name().to_owned(), service.transitions()))
            .collect(),
    }
}
