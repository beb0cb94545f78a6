//! The addresses by which other machines know this one.

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use std::net::{IpAddr, SocketAddr};

/// Where a listener on all addresses can be reached from other machines, as its interfaces stand now. Nothing for one
/// that listens on a single address.
pub fn reachable_from_elsewhere(bound: SocketAddr) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return Vec::new();
    }
    let all = getifaddrs()
        .into_iter()
        .flatten()
        .filter_map(|one| usable(&one));
    // One that listens on all IPv6 addresses has those of IPv4 too; the reverse does not hold.
    let all = all.filter(|ip| bound.is_ipv6() || ip.is_ipv4());
    let mut all: Vec<_> = all.map(|ip| (ip, bound.port()).into()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The address, if others can use it as it stands: one of a link has no meaning without the link's name.
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
