//! The lines at a server's start: what it serves, and where.

use super::sockets::Bound;
use super::task_limits::LimitSource;
use super::units::{count, grouped};
use super::urls::{self, Audience, reachable};
use crate::model::{Limits, ModelRow};
use crate::net::BoundAddress;
use crate::service::Service;
use log::Level;
use std::net::SocketAddr;

/// Commands to show below a service's addresses.
#[derive(Clone, Copy)]
pub(super) struct Hints {
    /// Commands to try the service. A server for proxies, or with passwords,
    /// would refuse them.
    pub commands: bool,
    /// A command to measure it.
    pub load: bool,
}

/// Logs the lines. Their target is the program, not a module.
pub(super) fn log_lines(level: Level, lines: impl IntoIterator<Item = String>) {
    for line in lines {
        log::log!(target: "evserve", level, "{line}");
    }
}

/// The lines of a service and its addresses. The addresses are indented, so that the operator's log
/// sets them off on a terminal.
pub(super) fn service(service: &dyn Service, bound: &[Bound], hints: Hints) -> Vec<String> {
    let (name, about) = (service.name(), service.about());
    let mut lines = vec![match service.url_scheme() == Some(name) {
        true => format!("serving {about} over {name}"),
        false => format!("serving {name}: {about}"),
    }];
    let rows = bound.iter().flat_map(|one| rows(one, scheme(service, one)));
    let rows: Vec<_> = rows.collect();
    let width = rows.iter().map(|(address, _)| address.len()).max();
    let width = width.unwrap_or_default();
    lines.extend(rows.iter().map(|(address, audience)| match audience {
        Some(audience) => format!("  {address:width$}   {audience}"),
        None => format!("  {address}"),
    }));
    let commands = bound.iter();
    let commands = commands.flat_map(|one| commands_for(one, scheme(service, one), hints));
    lines.extend(commands.map(|command| format!("  try: {command}")));
    let load = hints.load.then(|| load_command(service, bound)).flatten();
    lines.extend(load.map(|command| format!("  measure: {command}")));
    lines
}

/// The scheme of the URLs of a service at a socket.
fn scheme(service: &dyn Service, one: &Bound) -> Option<&'static str> {
    match (service.url_scheme(), one.is_encrypted) {
        (Some("http"), true) => Some("https"),
        (scheme, _) => scheme,
    }
}

/// The addresses of a socket, each as clients write it.
fn rows(one: &Bound, scheme: Option<&str>) -> Vec<(String, Option<Audience>)> {
    let bound = &one.address;
    let shown = |address: &BoundAddress| match one.is_encrypted {
        true => format!("tls:{address}"),
        false => address.to_string(),
    };
    let (BoundAddress::Tcp(address) | BoundAddress::Udp(address)) = bound else {
        return vec![(shown(bound), None)];
    };
    let row = |(address, audience)| {
        let tcp = BoundAddress::Tcp(address);
        let shown = match (bound, scheme) {
            (BoundAddress::Udp(_), _) => BoundAddress::Udp(address).to_string(),
            (_, Some(scheme)) => urls::url(scheme, address).unwrap_or_else(|| shown(&tcp)),
            _ => shown(&tcp),
        };
        (shown, Some(audience))
    };
    let all = reachable(*address, one.only_v6).into_iter();
    all.map(row).collect()
}

/// Commands to try a service, for this machine.
fn commands_for(one: &Bound, scheme: Option<&str>, hints: Hints) -> Vec<String> {
    let bound = &one.address;
    let nearest = |address: SocketAddr| reachable(address, one.only_v6)[0].0;
    if !hints.commands && !bound.is_datagram() {
        return Vec::new();
    }
    let connect = |bound: &BoundAddress| match one.is_encrypted {
        true => urls::openssl(bound),
        false => urls::netcat(bound),
    };
    match (bound, scheme) {
        (BoundAddress::Tcp(address), Some(scheme)) => {
            let url = urls::url_in_shell(scheme, nearest(*address));
            // A URL that a shell takes as it stands needs no command.
            let curl = url.starts_with('\'').then(|| format!("curl -i {url}"));
            curl.into_iter().collect()
        }
        (BoundAddress::Tcp(address), None) => {
            vec![connect(&BoundAddress::Tcp(nearest(*address)))]
        }
        (BoundAddress::Udp(address), _) => {
            vec![urls::netcat(&BoundAddress::Udp(nearest(*address)))]
        }
        (BoundAddress::Unix(path), Some(scheme)) => {
            vec![urls::curl_of_unix_socket(scheme, path)]
        }
        (BoundAddress::Unix(_) | BoundAddress::UnixDatagram(_), _) => vec![connect(bound)],
    }
}

/// A command that puts load on a service.
fn load_command(service: &dyn Service, bound: &[Bound]) -> Option<String> {
    let url = bound.iter().find_map(|one| match one.address {
        BoundAddress::Tcp(address) => {
            let nearest = reachable(address, one.only_v6)[0].0;
            Some(urls::url_in_shell(scheme(service, one)?, nearest))
        }
        _ => None,
    })?;
    Some(format!("wrk -t1 -c64 -d5s {url}"))
}

/// The URL of the first address that other machines can reach.
pub(super) fn url_for_others(service: &dyn Service, bound: &[Bound]) -> Option<String> {
    bound.iter().find_map(|one| {
        let BoundAddress::Tcp(address) = one.address else {
            return None;
        };
        let scheme = scheme(service, one)?;
        let all = reachable(address, one.only_v6).into_iter();
        let mut others = all.filter(|(_, audience)| *audience == Audience::Network);
        others.find_map(|(address, _)| urls::url(scheme, address))
    })
}

/// The lines that are logged when the server is about to serve.
pub(super) fn last(
    row: &ModelRow,
    is_chosen: bool,
    limits: &Limits,
    set_by: Option<LimitSource>,
) -> Vec<String> {
    let model = is_chosen.then(|| model(row));
    let limits = self::limits(row, limits, set_by);
    model.into_iter().chain([limits]).collect()
}

/// The line about a chosen model.
fn model(row: &ModelRow) -> String {
    let mut about = row.about.to_owned();
    if let Some(first) = about.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    format!("model {}: {about}", row.name)
}

/// The limit in the terms of the model, what sets it if the user does not, and how to stop.
fn limits(model: &ModelRow, limits: &Limits, set_by: Option<LimitSource>) -> String {
    let knows = |option| model.options.contains(&option);
    let most = if knows("max-connections") {
        format!(
            "up to {}",
            count(limits.max_connections as u64, "connection")
        )
    } else if knows("threads") {
        let threads = grouped(limits.threads as u64);
        format!("up to {threads} connections at each address, one per thread")
    } else if knows("max-children") {
        let processes = grouped(limits.max_children as u64);
        format!("up to {processes} connections, one per process")
    } else {
        "one connection at a time".into()
    };
    let by = match set_by {
        None | Some(LimitSource::OpenFiles) => String::new(),
        Some(source) => format!(" ({source} allows no more)"),
    };
    format!("{most}{by}. Press Ctrl-C to stop.")
}
