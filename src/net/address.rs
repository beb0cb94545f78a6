//! Addresses to listen on, as a user writes them.

use super::listener::Bound;
use socket2::SockRef;
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
    /// A socket that listens already.
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

    /// That of a socket which listens already.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn inherited(socket: OwnedFd) -> io::Result<Address> {
        let name = SockRef::from(&socket).local_addr()?;
        let bound = match (name.as_socket(), name.as_pathname()) {
            (Some(address), _) => Bound::Tcp(address),
            (None, path) => Bound::Unix(path.unwrap_or(Path::new("")).into()),
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
    /// where the kernel has both). Port 0 is any free one. `unix:/path` is a socket in the file system.
    fn from_str(text: &str) -> Result<Address, String> {
        let expected = || {
            format!("`{text}` is no address; expected HOST:PORT, [IPV6]:PORT, :PORT or unix:PATH")
        };
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(expected());
            }
            if path.len() > LONGEST_PATH {
                return Err(format!(
                    "`{path}` is too long for a socket: {LONGEST_PATH} bytes are allowed"
                ));
            }
            return Ok(Address {
                text: text.into(),
                place: Place::Unix(path.into()),
            });
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let port: u16 = port.parse().map_err(|_| expected())?;
        let candidates = match host {
            "" => vec![
                (Ipv6Addr::UNSPECIFIED, port).into(),
                (Ipv4Addr::UNSPECIFIED, port).into(),
            ],
            _ if host.starts_with('[') || !host.contains(':') => text
                .to_socket_addrs()
                .map_err(|error| format!("cannot resolve `{host}`: {error}"))?
                .collect(),
            _ => return Err(expected()),
        };
        if candidates.is_empty() {
            return Err(format!("`{host}` has no address"));
        }
        Ok(Address {
            text: text.into(),
            place: Place::Tcp(candidates),
        })
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
        ];
        for (text, expected) in cases {
            assert_eq!(first(text).as_deref(), expected, "{text}");
        }
    }
}
