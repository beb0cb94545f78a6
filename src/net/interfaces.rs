//! Network interfaces and their addresses.

use crate::sys::untraced::{getifaddrs, if_indextoname, if_nameindex};
use crate::sys::{InterfaceAddress, InterfaceFlags};
use std::net::{IpAddr, SocketAddr};

/// The addresses by which other machines can reach a listener on all addresses, at the moment.
/// Empty for a listener on a single address. `only_v6` means that the listener excludes IPv4.
pub fn external_addresses(bound: SocketAddr, only_v6: bool) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return Vec::new();
    }
    let all = getifaddrs()
        .into_iter()
        .flatten()
        .filter_map(|one| usable(&one));
    let all = all.filter(|ip| match ip {
        IpAddr::V4(_) => bound.is_ipv4() || !only_v6,
        IpAddr::V6(_) => bound.is_ipv6(),
    });
    let mut all: Vec<_> = all.map(|ip| (ip, bound.port()).into()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The interface's address, if other machines can use it. Link-local addresses need the name of the
/// link, which differs between machines.
fn usable(interface: &InterfaceAddress) -> Option<IpAddr> {
    let is_up = interface.flags.contains(InterfaceFlags::IFF_UP);
    let address = interface.address.as_ref()?;
    let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => IpAddr::V4(v4.ip()),
        (None, Some(v6)) => IpAddr::V6(v6.ip()),
        (None, None) => return None,
    };
    let is_of_a_link = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    (is_up && !ip.is_loopback() && !is_of_a_link).then_some(ip)
}

/// Finds an interface by name or number.
///
/// # Errors
/// A sentence that lists the interfaces.
pub(super) fn index(zone: &str) -> Result<u32, String> {
    let interfaces =
        if_nameindex().map_err(|errno| format!("cannot list the network interfaces: {errno}"))?;
    let mut names = Vec::new();
    for interface in &interfaces {
        let name = interface.name().to_string_lossy();
        if name == zone || zone.parse() == Ok(interface.index()) {
            return Ok(interface.index());
        }
        names.push(name);
    }
    let names = names.join(", ");
    Err(format!(
        "this machine has no network interface `{zone}`; it has {names}"
    ))
}

/// An address with its interface, if it has one, after `mark`: `[fe80::1%eth0]:80`.
pub fn with_zone(address: SocketAddr, mark: &str) -> String {
    let SocketAddr::V6(v6) = address else {
        return address.to_string();
    };
    if v6.scope_id() == 0 {
        return address.to_string();
    }
    let name = if_indextoname(v6.scope_id()).ok();
    let name = name.and_then(|name| name.into_string().ok());
    let name = name.unwrap_or_else(|| v6.scope_id().to_string());
    format!("[{}{mark}{name}]:{}", v6.ip(), v6.port())
}
