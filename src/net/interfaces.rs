//! Network interfaces and their addresses.

use crate::sys::untraced::{getifaddrs, if_indextoname, if_nameindex};
use crate::sys::{InterfaceAddress, InterfaceFlags};
use socket2::{Domain, Socket, Type};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The addresses by which other machines can reach a listener on all addresses, at the moment.
/// Those of the default route come first: others may lead to containers only. Empty for a listener
/// on a single address. `only_v6` means that the listener excludes IPv4.
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
    let all = all.map(|ip| SocketAddr::new(ip, bound.port()));
    let mut all: Vec<_> = all.collect();
    let preferred = [source_address(FAR_V4), source_address(FAR_V6)];
    all.sort_unstable_by_key(|address| (!preferred.contains(&Some(address.ip())), *address));
    all.dedup();
    all
}

/// Any addresses beyond the default route: these are for documentation (RFC 5737, RFC 9637).
const FAR_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), 9);
const FAR_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 1)), 9);

/// This machine's address on the way to another one. Connecting a UDP socket finds the route and
/// sends nothing (connect(2)).
fn source_address(to: SocketAddr) -> Option<IpAddr> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None).ok()?;
    socket.connect(&to.into()).ok()?;
    let own = socket.local_addr().ok()?.as_socket()?;
    Some(own.ip())
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
