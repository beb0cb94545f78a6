//! Addresses to listen on, in the user's notation.

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

/// The longest path of a Unix socket, in bytes (unix(7): 108 with the closing NUL).
const LONGEST_PATH: usize = 107;

/// What an address begins with if its connections are encrypted.
const ENCRYPTED: &str = "tls:";

/// An address to listen on.
#[derive(Clone, Debug)]
pub struct Address {
    text: String,
    kind: AddressKind,
    is_encrypted: bool,
}

/// The kinds of addresses.
#[derive(Clone, Debug)]
pub enum AddressKind {
    /// TCP at these endpoints. Never empty.
    Tcp(Vec<Endpoint>),
    /// A Unix stream socket at this path (unix(7)).
    Unix(PathBuf),
    /// UDP at these endpoints. Never empty.
    Udp(Vec<Endpoint>),
    /// A Unix datagram socket at this path (unix(7)).
    UnixDatagram(PathBuf),
    /// A socket that is already bound. A stream socket is also listening.
    Inherited(Arc<OwnedFd>, BoundAddress),
    /// No socket: another address of the same service covers this one.
    Covered,
}

impl Address {
    /// The IPv4 loopback address with this port; 0 for any free port.
    pub fn loopback(port: u16) -> Address {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Address {
            text: address.to_string(),
            kind: AddressKind::Tcp(vec![Endpoint::of(address)]),
            is_encrypted: false,
        }
    }

    /// The address of an inherited socket: a listening stream socket or a bound datagram socket.
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
            is_encrypted: false,
        })
    }

    /// The same address, with connections encrypted by TLS.
    ///
    /// # Errors
    /// A sentence if the address takes datagrams.
    pub fn encrypted(self) -> Result<Address, String> {
        let text = format!("{ENCRYPTED}{}", self.text);
        match self.is_datagram() {
            true => Err(format!(
                "`{text}` cannot be: TLS encrypts connections, not datagrams"
            )),
            false => Ok(Address {
                text,
                is_encrypted: true,
                ..self
            }),
        }
    }

    /// True if connections are encrypted by TLS.
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// The kind of address.
    pub fn kind(&self) -> &AddressKind {
        &self.kind
    }

    /// True if only this machine can reach it, over the loopback interface.
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

    /// The endpoints where sockets will be bound; `None` for paths and inherited sockets.
    pub(super) fn endpoints_mut(&mut self) -> Option<&mut Vec<Endpoint>> {
        match &mut self.kind {
            AddressKind::Tcp(all) | AddressKind::Udp(all) => Some(all),
            _ => None,
        }
    }

    /// Makes this address bind no sockets, because another address covers it.
    pub(super) fn mark_covered(&mut self) {
        self.kind = AddressKind::Covered;
    }

    /// True if the address takes datagrams, false if it takes connections.
    pub fn is_datagram(&self) -> bool {
        match &self.kind {
            AddressKind::Udp(_) | AddressKind::UnixDatagram(_) => true,
            AddressKind::Tcp(_) | AddressKind::Unix(_) | AddressKind::Covered => false,
            AddressKind::Inherited(_, bound) => bound.is_datagram(),
        }
    }
}

/// The user's text.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Address {
    type Err = String;

    /// Accepts these forms. Port 0 means any free port.
    ///
    /// - `127.0.0.1:8080`, `[::1]:8080`, `[fe80::1%eth0]:8080`: one address
    /// - `localhost:8080`: all addresses of a name
    /// - `:8080`: all addresses of the machine (IPv6 and IPv4 where the kernel has both)
    /// - `unix:/path`: a Unix stream socket
    /// - `udp:` and one of the first three forms: UDP
    /// - `unix-dgram:/path`: a Unix datagram socket
    /// - `tls:` and one of the first four forms: connections encrypted by TLS
    fn from_str(text: &str) -> Result<Address, String> {
        if let Some(address) = text.strip_prefix(ENCRYPTED) {
            return match address.starts_with(ENCRYPTED) {
                true => Err(expected(text)),
                false => address.parse::<Address>()?.encrypted(),
            };
        }
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
            is_encrypted: false,
        })
    }
}

fn expected(text: &str) -> String {
    format!(
        "`{text}` is not an address; expected HOST:PORT, [IPV6]:PORT, :PORT or unix:PATH, one of \
         these after tls:, or for datagrams udp:HOST:PORT or unix-dgram:PATH"
    )
}

fn socket_path(text: &str, path: &str) -> Result<PathBuf, String> {
    match path.len() {
        0 => Err(expected(text)),
        1..=LONGEST_PATH => Ok(path.into()),
        _ => Err(format!(
            "`{path}` is too long: the path of a socket has at most {LONGEST_PATH} bytes"
        )),
    }
}

/// The endpoints of `HOST:PORT`. `text` is the whole argument, for error messages.
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
        // `localhost` never means another machine, and always both of its addresses, whatever the
        // resolver knows (RFC 6761 section 6.3).
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
        true => Err(format!("`{host}` resolves to no address")),
        false => Ok(all),
    }
}

fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
}

/// Parses an address in brackets. A link-local one has its interface after a percent sign (RFC 4007
/// section 11).
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
                "`{text}` is link-local and needs an interface, such as [{ip}%eth0]:{port}"
            ));
        }
        // Other addresses need no interface.
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
    fn address_forms() {
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
            ("tls:127.0.0.1:8443", Some("127.0.0.1:8443")),
            ("tls::8443", Some("[::]:8443")),
            ("tls:unix:/run/x", Some("/run/x")),
            ("tls:udp:127.0.0.1:1", None),
            ("tls:unix-dgram:/run/x", None),
            ("tls:tls:127.0.0.1:1", None),
            ("tls:", None),
        ];
        for (text, expected) in cases {
            assert_eq!(first(text).as_deref(), expected, "{text}");
            let is_encrypted = |address: Address| address.is_encrypted();
            assert!(
                text.parse().is_ok_and(is_encrypted) == text.starts_with("tls:")
                    || expected.is_none()
            );
        }
    }
}
