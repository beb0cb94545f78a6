//! Endpoints: the sockets of an address, one or several with the same port.

use crate::sys::Errno;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How often to look for a port that is free at all addresses of a name. A port that is free at one
/// of them is rarely taken at another.
const PORT_ATTEMPTS: u32 = 16;

/// Where to bind one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    address: SocketAddr,
    families: Families,
}

/// The address families that a socket receives from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Families {
    /// The address's own family.
    Own,
    /// `[::]`: also IPv4, unless another listener uses this port for IPv4.
    Dual,
    /// `:PORT`: both families, or only IPv4 if there is no IPv6.
    All,
}

/// An address to bind to, and whether to exclude IPv4 (IPV6_V6ONLY).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BindAddress {
    pub address: SocketAddr,
    pub only_v6: bool,
}

impl Endpoint {
    /// One address. `[::]` includes IPv4, and an IPv4-mapped IPv6 address becomes an IPv4 address.
    pub(super) fn of(address: SocketAddr) -> Endpoint {
        let mut address = address;
        if let IpAddr::V4(ip) = address.ip().to_canonical() {
            address = (ip, address.port()).into();
        }
        let families = match address.ip() {
            IpAddr::V6(ip) if ip.is_unspecified() => Families::Dual,
            _ => Families::Own,
        };
        Endpoint { address, families }
    }

    /// All addresses of the machine.
    pub(super) fn any_address(port: u16) -> Endpoint {
        Endpoint {
            address: (Ipv6Addr::UNSPECIFIED, port).into(),
            families: Families::All,
        }
    }

    /// The address; `[::]` for all addresses of both families.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leaves IPv4 to another socket.
    pub(super) fn restrict_to_own_family(&mut self) {
        self.families = Families::Own;
    }

    /// True for `[::]` that also receives from IPv4.
    pub(super) fn is_dual(&self) -> bool {
        self.families == Families::Dual
    }

    /// True if a socket bound here would receive everything that one bound to `other` would. False
    /// for port 0, because the kernel will choose the port.
    pub(super) fn covers(&self, other: &Endpoint) -> bool {
        let (own, others) = (self.address, other.address);
        if own.port() != others.port() || own.port() == 0 {
            return false;
        }
        match (self.families, own.ip()) {
            (Families::All, _) => true,
            _ if other.families == Families::All => false,
            (_, ip) if ip.is_unspecified() => own.is_ipv4() == others.is_ipv4(),
            _ => own == others,
        }
    }

    /// The addresses to try, in this order, if the kernel or machine lacks the family of the one
    /// before.
    fn bind_addresses(&self) -> impl Iterator<Item = BindAddress> {
        let only_v6 = self.address.is_ipv6() && self.families == Families::Own;
        let first = BindAddress {
            address: self.address,
            only_v6,
        };
        let second = BindAddress {
            address: (Ipv4Addr::UNSPECIFIED, self.address.port()).into(),
            only_v6: false,
        };
        let has_second = self.families == Families::All;
        [first].into_iter().chain(has_second.then_some(second))
    }

    /// Calls `bind` for the first address whose family exists here.
    fn bind<T>(&self, bind: impl Fn(BindAddress) -> io::Result<T>) -> io::Result<T> {
        let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
        for bind_address in self.bind_addresses() {
            result = bind(bind_address);
            if !result.as_ref().is_err_and(is_missing) {
                break;
            }
        }
        result
    }

    fn with_port(mut self, port: u16) -> Endpoint {
        self.address.set_port(port);
        self
    }
}

/// Calls `bind` for `count` sockets at one address, and returns the actual address. If `bind` gets
/// true, it must let sockets share the port.
pub(super) fn bind_several<T>(
    bind_address: BindAddress,
    count: usize,
    bind: impl Fn(BindAddress, bool) -> io::Result<(SocketAddr, T)>,
) -> io::Result<(SocketAddr, Vec<T>)> {
    let (address, first) = bind(bind_address, false)?;
    if count == 1 {
        return Ok((address, vec![first]));
    }
    // Sockets with SO_REUSEPORT would share the port with those of another program. Binding the
    // first one alone showed that there are none.
    drop(first);
    let bind_address = BindAddress {
        address,
        ..bind_address
    };
    let all = (0..count).map(|_| Ok(bind(bind_address, true)?.1));
    Ok((address, all.collect::<io::Result<_>>()?))
}

/// Binds one socket per endpoint, all with the same port. `bind` also returns the actual address.
/// Endpoints that this kernel or machine does not support are left out, unless it supports none of
/// them.
///
/// # Errors
/// Those of `bind`. A port in use is retried only if the kernel chose it.
pub(super) fn bind_each<T>(
    endpoints: &[Endpoint],
    bind: impl Fn(BindAddress) -> io::Result<(SocketAddr, T)>,
) -> io::Result<Vec<T>> {
    let port_is_free = endpoints.iter().any(|one| one.address.port() == 0);
    let mut attempts = 1;
    loop {
        match try_each(endpoints, &bind) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && port_is_free
                    && attempts < PORT_ATTEMPTS =>
            {
                attempts += 1;
            }
            result => return result,
        }
    }
}

fn try_each<T>(
    endpoints: &[Endpoint],
    bind: impl Fn(BindAddress) -> io::Result<(SocketAddr, T)>,
) -> io::Result<Vec<T>> {
    let mut all = Vec::new();
    let mut port = None;
    let mut missing = Err(io::ErrorKind::AddrNotAvailable.into());
    for endpoint in endpoints {
        let endpoint = match (endpoint.address.port(), port) {
            (0, Some(port)) => endpoint.with_port(port),
            _ => *endpoint,
        };
        match endpoint.bind(&bind) {
            Ok((address, one)) => {
                port = Some(address.port());
                all.push(one);
            }
            Err(error) if is_missing(&error) => missing = Err(error),
            Err(error) => return Err(error),
        }
    }
    match all.is_empty() {
        true => missing,
        false => Ok(all),
    }
}

/// A kernel without IPv6 returns EAFNOSUPPORT, a machine with IPv6 disabled EADDRNOTAVAIL.
fn is_missing(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL | Errno::PROTONOSUPPORT)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn endpoint(text: &str) -> Endpoint {
        match text.strip_prefix(':') {
            Some(port) => Endpoint::any_address(port.parse().expect("a port")),
            None => Endpoint::of(text.parse().expect("an address")),
        }
    }

    #[test]
    fn endpoints_that_cover_others() {
        let cases = [
            ("127.0.0.1:80", "127.0.0.1:80", true, true),
            ("127.0.0.1:80", "127.0.0.1:81", false, false),
            ("127.0.0.1:80", "127.0.0.2:80", false, false),
            ("0.0.0.0:80", "127.0.0.1:80", true, false),
            ("0.0.0.0:80", "[::1]:80", false, false),
            ("[::]:80", "[::1]:80", true, false),
            ("[::]:80", "127.0.0.1:80", false, false),
            ("[::]:80", "0.0.0.0:80", false, false),
            ("[::]:80", "[::]:80", true, true),
            (":80", "[::]:80", true, false),
            (":80", "0.0.0.0:80", true, false),
            (":80", "127.0.0.1:80", true, false),
            (":80", "[::1]:80", true, false),
            (":80", ":80", true, true),
            (":80", "127.0.0.1:81", false, false),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true, true),
            ("[::ffff:0.0.0.0]:80", "127.0.0.1:80", true, false),
            ("[fe80::1%1]:80", "[fe80::1%2]:80", false, false),
            ("[::]:80", "[fe80::1%2]:80", true, false),
            ("127.0.0.1:0", "127.0.0.1:0", false, false),
            (":0", "127.0.0.1:0", false, false),
        ];
        for (one, other, there, back) in cases {
            let (a, b) = (endpoint(one), endpoint(other));
            assert_eq!((a.covers(&b), b.covers(&a)), (there, back), "{one} {other}");
        }
    }

    /// What gets bound if `refuses` returns these errors. The kernel's ports begin at 4000.
    fn bound(endpoints: &[&str], refuses: impl Fn(SocketAddr, usize) -> Option<Errno>) -> String {
        let endpoints: Vec<_> = endpoints.iter().map(|text| endpoint(text)).collect();
        let tried = RefCell::new(0);
        let result = bind_each(&endpoints, |bind_address| {
            let mut address = bind_address.address;
            *tried.borrow_mut() += 1;
            let tried = *tried.borrow();
            if let Some(errno) = refuses(address, tried) {
                return Err(errno.into());
            }
            if address.port() == 0 {
                address.set_port(4000 + tried as u16);
            }
            let only = if bind_address.only_v6 { " only" } else { "" };
            Ok((address, format!("{address}{only}")))
        });
        match result {
            Ok(all) => all.join(", "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn sockets_bound_for_an_address() {
        let has_all = |_, _| None;
        let without = |errno| move |one: SocketAddr, _| one.is_ipv6().then_some(errno);
        let localhost = ["127.0.0.1:0", "[::1]:0"];
        assert_eq!(bound(&[":80"], has_all), "[::]:80");
        assert_eq!(bound(&["[::]:80"], has_all), "[::]:80");
        assert_eq!(bound(&["0.0.0.0:80"], has_all), "0.0.0.0:80");
        assert_eq!(
            bound(&localhost, has_all),
            "127.0.0.1:4001, [::1]:4001 only"
        );
        for errno in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            let refuses = without(errno);
            assert_eq!(bound(&[":80"], refuses), "0.0.0.0:80");
            assert_eq!(bound(&localhost, refuses), "127.0.0.1:4001");
            assert_eq!(
                bound(&["[::1]:0", "127.0.0.1:0"], refuses),
                "127.0.0.1:4002"
            );
            let error = io::Error::from(errno).to_string();
            assert_eq!(bound(&["[::1]:80"], refuses), error);
            assert_eq!(bound(&["[::]:80"], refuses), error);
        }
        let in_use = io::Error::from(Errno::ADDRINUSE).to_string();
        let taken = |one: SocketAddr, _| one.is_ipv6().then_some(Errno::ADDRINUSE);
        assert_eq!(bound(&[":80"], taken), in_use, "IPv4 alone is no way out");
        assert_eq!(bound(&["127.0.0.1:80", "[::1]:80"], taken), in_use);
        assert_eq!(bound(&localhost, taken), in_use, "not without end");
        let taken_once =
            |one: SocketAddr, tried| (one.is_ipv6() && tried < 4).then_some(Errno::ADDRINUSE);
        assert_eq!(
            bound(&localhost, taken_once),
            "127.0.0.1:4003, [::1]:4003 only",
            "another port that both have"
        );
    }
}
