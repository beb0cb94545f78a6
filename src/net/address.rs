//! Addresses to listen on, as a user writes them.

use super::bound_address::BoundAddress;
use super::endpoint::Endpoint;
use super::interfaces;
use socket2::{SockRef, Type};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// The longest path of a socket, in bytes (unix(7): 108 with the closing NUL).
const LONGEST_PATH: usize = 107;

/// An address to listen on.
#[derive(Clone, Debug)]
pub struct Address {
    text: String,
    kind: AddressKind,
}

/// What an address stands for.
#[derive(Clone, Debug)]
pub enum AddressKind {
    /// TCP, at each of these. Never empty.
    Tcp(Vec<Endpoint>),
    /// A stream socket in the file system (unix(7)).
    Unix(PathBuf),
    /// UDP, at each of these. Never empty.
    Udp(Vec<Endpoint>),
    /// A datagram socket in the file system (unix(7)).
    UnixDatagram(PathBuf),
    /// A socket that is bound already, and listens if it is one that does.
    Inherited(Arc<OwnedFd>, BoundAddress),
    /// Nowhere: another address of the same service covers it.
    Covered,
}

impl Address {
    /// The loopback address with this port; 0 for any free one.
    pub fn loopback(port: u16) -> Address {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Address {
            text: address.to_string(),
            kind: AddressKind::Tcp(vec![Endpoint::of(address)]),
        }
    }

    /// That of a socket which listens already, or which is bound and takes datagrams.
    ///
    /// # Errors
    /// Those of getsockname(2) and getsockopt(2).
    pub fn inherited(socket: OwnedFd) -> io::Result<Address> {
        let name = SockRef::from(&socket).local_addr()?;
        let is_datagram = SockRef::from(&socket).r#type()? == Type::DGRAM;
        let path = name.as_pathname().unwrap_or(Path::new(""));
        let bound = match (name.as_socket(), is_datagram) {
            (Some(address), false) => BoundAddress::Tcp(address),
            (Some(address), true) => BoundAddress::Udp(address),
            (None, false) => BoundAddress::Unix(path.into()),
            (None, true) => BoundAddress::UnixDatagram(path.into()),
        };
        Ok(Address {
            text: bound.to_string(),
            kind: AddressKind::Inherited(Arc::new(socket), bound),
        })
    }

    /// What it stands for.
    pub fn kind(&self) -> &AddressKind {
        &self.kind
    }

    /// True if it is reached over the loopback only.
    pub fn is_local(&self) -> bool {
        match &self.kind {
            AddressKind::Tcp(all) | AddressKind::Udp(all) => {
                all.iter().all(|one| one.address().ip().is_loopback())
            }
            AddressKind::Inherited(_, BoundAddress::Tcp(one) | BoundAddress::Udp(one)) => {
                one.ip().to_canonical().is_loopback()
            }
            AddressKind::Unix(_)
            | AddressKind::UnixDatagram(_)
            | AddressKind::Inherited(..)
            | AddressKind::Covered => false,
        }
    }

    /// Where its sockets are bound, if it is not in the file system and nobody else has bound it.
    pub(super) fn endpoints_mut(&mut self) -> Option<&mut Vec<Endpoint>> {
        match &mut self.kind {
            AddressKind::Tcp(all) | AddressKind::Udp(all) => Some(all),
            _ => None,
        }
    }

    /// Binds nothing here: another address covers it.
    pub(super) fn mark_covered(&mut self) {
        self.kind = AddressKind::Covered;
    }

    /// True if datagrams come there, and no connections.
    pub fn is_datagram(&self) -> bool {
        match &self.kind {
            AddressKind::Udp(_) | AddressKind::UnixDatagram(_) => true,
            AddressKind::Tcp(_) | AddressKind::Unix(_) | AddressKind::Covered => false,
            AddressKind::Inherited(_, bound) => bound.is_datagram(),
        }
    }
}

/// As the user wrote it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Address {
    type Err = String;

    /// `127.0.0.1:8080`, `[::1]:8080`, `[fe80::1%eth0]:8080`, `localhost:8080` for all addresses of a name, or `:8080`
    /// for all addresses of the machine (IPv6 and IPv4 where the kernel has both). Port 0 is any free one. `unix:/path` is a socket in the file system. The same with
    /// `udp:` before it, and `unix-dgram:/path`, are for datagrams.
    fn from_str(text: &str) -> Result<Address, String> {
        let kind = if let Some(address) = text.strip_prefix("udp:") {
            AddressKind::Udp(endpoints(text, address)?)
        } else if let Some(path) = text.strip_prefix("unix-dgram:") {
            AddressKind::UnixDatagram(socket_path(text, path)?)
        } else if let Some(path) = text.strip_prefix("unix:") {
            AddressKind::Unix(socket_path(text, path)?)
        } else {
            AddressKind::Tcp(endpoints(text, text)?)
        };
        Ok(Address {
            text: text.into(),
            kind,
        })
    }
}

fn expected(text: &str) -> String {
    format!(
        "`{text}` is no address; expected HOST:PORT, [IPV6]:PORT, :PORT, unix:PATH, or for datagrams udp:HOST:PORT, \
         unix-dgram:PATH"
    )
}

fn socket_path(text: &str, path: &str) -> Result<PathBuf, String> {
    match path.len() {
        0 => Err(expected(text)),
        1..=LONGEST_PATH => Ok(path.into()),
        _ => Err(format!(
            "`{path}` is too long for a socket: {LONGEST_PATH} bytes are allowed"
        )),
    }
}

/// What `HOST:PORT` stands for; `text` is all that was written.
fn endpoints(text: &str, address: &str) -> Result<Vec<Endpoint>, String> {
    let (host, port) = address.rsplit_once(':').ok_or_else(|| expected(text))?;
    let port: u16 = port.parse().map_err(|_| expected(text))?;
    if host.is_empty() {
        return Ok(vec![Endpoint::any_address(port)]);
    }
    let addresses: Vec<SocketAddr> = if let Some(literal) = host.strip_prefix('[') {
        let literal = literal.strip_suffix(']').ok_or_else(|| expected(text))?;
        vec![ipv6(text, literal, port)?.into()]
    } else if host.contains(':') {
        return Err(expected(text));
    } else if is_localhost(host) {
        // This name never means another machine, and both of its addresses, whatever a resolver knows of it
        // (RFC 6761 section 6.3).
        let both = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        both.map(|ip| SocketAddr::new(ip, port)).into()
    } else {
        let all = (host, port).to_socket_addrs();
        all.map_err(|error| format!("cannot resolve `{host}`: {error}"))?
            .collect()
    };
    let mut all: Vec<Endpoint> = Vec::new();
    for endpoint in addresses.into_iter().map(Endpoint::of) {
        if !all.contains(&endpoint) {
            all.push(endpoint);
        }
    }
    match all.is_empty() {
        true => Err(format!("`{host}` has no address")),
        false => Ok(all),
    }
}

fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
}

/// The address that stands in brackets: one of a link has its interface behind a percent sign (RFC 4007 section 11).
fn ipv6(text: &str, literal: &str, port: u16) -> Result<SocketAddrV6, String> {
    let (ip, zone) = match literal.split_once('%') {
        Some((ip, zone)) => (ip, Some(zone)),
        None => (literal, None),
    };
    let ip: Ipv6Addr = ip.parse().map_err(|_| expected(text))?;
    let index = zone.map(interfaces::index).transpose()?;
    let scope = match (ip.is_unicast_link_local(), index) {
        (true, Some(index)) => index,
        (true, None) => {
            return Err(format!(
                "`{text}` is an address of a link; say of which interface, such as [{ip}%eth0]:{port}"
            ));
        }
        // Without a meaning there.
        (false, _) => 0,
    };
    Ok(SocketAddrV6::new(ip, port, 0, scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(all: &[Endpoint]) -> String {
        let all: Vec<_> = all.iter().map(|one| one.address().to_string()).collect();
        all.join(" ")
    }

    #[test]
    fn forms() {
        let first = |text: &str| {
            let address: Result<Address, _> = text.parse();
            match address.ok()?.kind() {
                AddressKind::Tcp(all) => Some(joined(all)),
                AddressKind::Unix(path) => Some(path.display().to_string()),
                AddressKind::Udp(all) => Some(format!("udp {}", joined(all))),
                AddressKind::UnixDatagram(path) => Some(format!("dgram {}", path.display())),
                AddressKind::Inherited(..) | AddressKind::Covered => None,
            }
        };
        let cases = [
            ("127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("[::1]:0", Some("[::1]:0")),
            ("localhost:80", Some("127.0.0.1:80 [::1]:80")),
            ("LocalHost.:0", Some("127.0.0.1:0 [::1]:0")),
            ("udp:localhost:80", Some("udp 127.0.0.1:80 [::1]:80")),
            ("[::ffff:127.0.0.1]:80", Some("127.0.0.1:80")),
            ("[::1%lo]:80", Some("[::1]:80")),
            ("[fe80::1%lo]:80", Some("[fe80::1%1]:80")),
            ("[fe80::1%1]:80", Some("[fe80::1%1]:80")),
            ("[fe80::1]:80", None),
            ("[fe80::1%]:80", None),
            ("[fe80::1%nothing0]:80", None),
            ("[fe80::1%4294967295]:80", None),
            ("[fe80::1%25lo]:80", None),
            ("[localhost]:80", None),
            ("[127.0.0.1]:80", None),
            ("[]:80", None),
            ("[::1]x:80", None),
            (":80", Some("[::]:80")),
            ("8080", None),
            ("127.0.0.1", None),
            ("::1:80", None),
            ("127.0.0.1:", None),
            ("127.0.0.1:65536", None),
            ("[::1:80", None),
            ("", None),
            ("unix:/run/x.socket", Some("/run/x.socket")),
            ("unix:x", Some("x")),
            ("unix:", None),
            (
                &format!("unix:/{}", "a".repeat(106)),
                Some(&*format!("/{}", "a".repeat(106))),
            ),
            (&format!("unix:/{}", "a".repeat(107)), None),
            ("udp:127.0.0.1:7007", Some("udp 127.0.0.1:7007")),
            ("udp::7007", Some("udp [::]:7007")),
            ("udp:[::1]:0", Some("udp [::1]:0")),
            ("udp:7007", None),
            ("udp:", None),
            ("unix-dgram:/run/x", Some("dgram /run/x")),
            ("unix-dgram:", None),
            (&format!("unix-dgram:/{}", "a".repeat(107)), None),
        ];
        for (text, expected) in cases {
            assert_eq!(first(text).as_deref(), expected, "{text}");
        }
    }
}
