//! The server as one that can be seen at work.

use super::{add, report};
use crate::config::Config;
use crate::model::{Limits, ModelRow, Share};
use crate::net::{Address, Bound};
use crate::observe::{About, Board};
use crate::service::{self, Service};
use std::io;
use std::time::Instant;

/// Shows the server at work at the address, from its first loop.
pub(super) fn show(
    config: &Config,
    model: &ModelRow,
    address: &Address,
    about: About,
    shares: &mut [Share],
) -> io::Result<Bound> {
    let board = Board::new(about, shares.len(), Instant::now());
    for share in &mut *shares {
        share.board = Some(board.clone());
    }
    let service = service::status(board, config, address.is_local());
    let bound = add(
        config,
        model,
        address,
        std::slice::from_ref(&service),
        &mut shares[..1],
    )?;
    report::say(report::listening(&*service, &bound, model.name, false));
    Ok(bound)
}

/// What those who look are told about the server.
pub(super) fn about<'a>(
    model: &ModelRow,
    limits: &Limits,
    services: impl Iterator<Item = &'a dyn Service>,
) -> About {
    let counts = model.options.contains(&"max-connections");
    About {
        model: model.name,
        waits: model.about,
        one_by_one: model.apart,
        max_connections: counts.then_some(limits.max_connections),
        services: services
            .map(|service| (service.name().to_owned(), service.steps()))
            .collect(),
    }
}
