//! Addresses to listen on, as a user writes them.

use super::listener::Bound;
use socket2::{SockRef, Type};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
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
    place: Place,
}

/// What an address stands for.
#[derive(Clone, Debug)]
pub enum Place {
    /// TCP; the first of these that works is meant. Never empty.
    Tcp(Vec<SocketAddr>),
    /// A stream socket in the file system (unix(7)).
    Unix(PathBuf),
    /// UDP; the first of these that works is meant. Never empty.
    Udp(Vec<SocketAddr>),
    /// A datagram socket in the file system (unix(7)).
    UnixDatagram(PathBuf),
    /// A socket that is bound already, and listens if it is one that does.
    Inherited(Arc<OwnedFd>, Bound),
}

impl Address {
    /// The loopback address with this port; 0 for any free one.
    pub fn loopback(port: u16) -> Address {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Address {
            text: address.to_string(),
            place: Place::Tcp(vec![address]),
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
            (Some(address), false) => Bound::Tcp(address),
            (Some(address), true) => Bound::Udp(address),
            (None, false) => Bound::Unix(path.into()),
            (None, true) => Bound::UnixDatagram(path.into()),
        };
        Ok(Address {
            text: bound.to_string(),
            place: Place::Inherited(Arc::new(socket), bound),
        })
    }

    /// What it stands for.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// True if it is reached over the loopback only.
    pub fn is_local(&self) -> bool {
        match &self.place {
            Place::Tcp(all) | Place::Udp(all) => all.iter().all(|one| one.ip().is_loopback()),
            Place::Inherited(_, Bound::Tcp(one) | Bound::Udp(one)) => one.ip().is_loopback(),
            Place::Unix(_) | Place::UnixDatagram(_) | Place::Inherited(..) => false,
        }
    }

    /// True if datagrams come there, and no connections.
    pub fn is_datagram(&self) -> bool {
        match &self.place {
            Place::Udp(_) | Place::UnixDatagram(_) => true,
            Place::Tcp(_) | Place::Unix(_) => false,
            Place::Inherited(_, bound) => bound.is_datagram(),
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

    /// `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, or `:8080` for all addresses of the machine (IPv6 and IPv4
    /// where the kernel has both). Port 0 is any free one. `unix:/path` is a socket in the file system. The same with
    /// `udp:` before it, and `unix-dgram:/path`, are for datagrams.
    fn from_str(text: &str) -> Result<Address, String> {
        let place = if let Some(address) = text.strip_prefix("udp:") {
            Place::Udp(candidates(text, address)?)
        } else if let Some(path) = text.strip_prefix("unix-dgram:") {
            Place::UnixDatagram(socket_path(text, path)?)
        } else if let Some(path) = text.strip_prefix("unix:") {
            Place::Unix(socket_path(text, path)?)
        } else {
            Place::Tcp(candidates(text, text)?)
        };
        Ok(Address {
            text: text.into(),
            place,
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

/// The addresses that `HOST:PORT` may stand for, of which the first that works is meant; `text` is all that was written.
fn candidates(text: &str, address: &str) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = address.rsplit_once(':').ok_or_else(|| expected(text))?;
    let port: u16 = port.parse().map_err(|_| expected(text))?;
    let candidates: Vec<_> = match host {
        "" => vec![
            (Ipv6Addr::UNSPECIFIED, port).into(),
            (Ipv4Addr::UNSPECIFIED, port).into(),
        ],
        _ if host.starts_with('[') || !host.contains(':') => address
            .to_socket_addrs()
            .map_err(|error| format!("cannot resolve `{host}`: {error}"))?
            .collect(),
        _ => return Err(expected(text)),
    };
    match candidates.is_empty() {
        true => Err(format!("`{host}` has no address")),
        false => Ok(candidates),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let first = |text: &str| {
            let address: Result<Address, _> = text.parse();
            match address.ok()?.place() {
                Place::Tcp(candidates) => Some(candidates[0].to_string()),
                Place::Unix(path) => Some(path.display().to_string()),
                Place::Udp(candidates) => Some(format!("udp {}", candidates[0])),
                Place::UnixDatagram(path) => Some(format!("dgram {}", path.display())),
                Place::Inherited(..) => None,
            }
        };
        let cases = [
            ("127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("[::1]:0", Some("[::1]:0")),
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
