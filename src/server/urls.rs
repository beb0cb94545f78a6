//! How clients reach a server: URLs and commands that browsers and shells take as they stand.

use crate::net::{BoundAddress, external_addresses, with_zone};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// The most external addresses to show for one listener. A machine with containers can have
/// hundreds.
const MAX_SHOWN: usize = 8;

/// Who can connect to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// This machine. The socket is not reachable from others.
    ThisMachineOnly,
    /// This machine. Others use other addresses of the same socket.
    ThisMachine,
    /// Other machines, too.
    Network,
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Audience::ThisMachineOnly => "on this machine only",
            Audience::ThisMachine => "on this machine",
            Audience::Network => "visible to others on the network",
        })
    }
}

/// The addresses at which clients reach a socket, the nearest first. Clients cannot connect to "all
/// addresses", so the loopback's and those of the interfaces take its place. `only_v6` means that
/// the socket excludes IPv4.
pub(super) fn reachable(bound: SocketAddr, only_v6: bool) -> Vec<(SocketAddr, Audience)> {
    let at = |ip: IpAddr| SocketAddr::new(ip, bound.port());
    match bound.ip().to_canonical() {
        ip if ip.is_unspecified() => {
            let loopback = match ip {
                IpAddr::V6(_) if only_v6 => at(Ipv6Addr::LOCALHOST.into()),
                _ => at(Ipv4Addr::LOCALHOST.into()),
            };
            let external = external_addresses(bound, only_v6).into_iter();
            let external = external.map(|address| (address, Audience::Network));
            let nearest = std::iter::once((loopback, Audience::ThisMachine));
            nearest.chain(external.take(MAX_SHOWN)).collect()
        }
        ip if ip.is_loopback() => vec![(at(ip), Audience::ThisMachineOnly)],
        ip if ip.is_ipv4() => vec![(at(ip), Audience::Network)],
        // With the number of its interface, if it has one.
        _ => vec![(bound, Audience::Network)],
    }
}

/// The URL of an address. `None` for one that needs the name of its interface, which browsers
/// refuse.
///
/// The loopback of IPv6 goes by its name, because zsh takes brackets for a pattern.
pub(super) fn url(scheme: &str, address: SocketAddr) -> Option<String> {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => None,
        SocketAddr::V6(v6) if v6.ip().is_loopback() => {
            Some(format!("{scheme}://localhost:{}/", address.port()))
        }
        _ => Some(format!("{scheme}://{address}/")),
    }
}

/// The same for a command, in quotes where a shell needs them. In a URL the percent sign before an
/// interface's name is escaped (RFC 6874 section 2).
pub(super) fn url_in_shell(scheme: &str, address: SocketAddr) -> String {
    let url = url(scheme, address);
    quoted(&url.unwrap_or_else(|| format!("{scheme}://{}/", with_zone(address, "%25"))))
}

/// A command that connects to a service which has no URL.
pub(super) fn netcat(bound: &BoundAddress) -> String {
    match bound {
        BoundAddress::Tcp(address) => format!("nc {}", host_and_port(*address)),
        BoundAddress::Udp(address) => format!("nc -u {}", host_and_port(*address)),
        BoundAddress::Unix(path) => format!("nc -U {}", quoted_path(path)),
        BoundAddress::UnixDatagram(path) => format!("nc -uU {}", quoted_path(path)),
    }
}

/// A command that connects to a service which has no URL, by TLS.
pub(super) fn openssl(bound: &BoundAddress) -> String {
    let to = match bound {
        BoundAddress::Tcp(address) | BoundAddress::Udp(address) => {
            format!("-connect {}", quoted(&with_zone(*address, "%")))
        }
        BoundAddress::Unix(path) | BoundAddress::UnixDatagram(path) => {
            format!("-unix {}", quoted_path(path))
        }
    };
    format!("openssl s_client -quiet {to}")
}

/// A command that sends an HTTP request to a Unix socket.
pub(super) fn curl_of_unix_socket(scheme: &str, path: &Path) -> String {
    let path = quoted_path(path);
    format!("curl -i --unix-socket {path} {scheme}://localhost/")
}

/// As nc(1) takes it: an address without brackets.
fn host_and_port(address: SocketAddr) -> String {
    let shown = with_zone(address, "%");
    let (host, port) = shown.rsplit_once(':').unwrap_or((&shown, ""));
    format!("{} {port}", host.trim_matches(['[', ']']))
}

pub(super) fn quoted_path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// A word of a command, in quotes if a shell would read it otherwise.
fn quoted(word: &str) -> String {
    // Only a NUL cannot be quoted, and no URL or path has one.
    shlex::try_quote(word).map_or_else(|_| word.into(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddrV6;

    fn parsed(address: &str) -> SocketAddr {
        address.parse().expect("an address")
    }

    #[test]
    fn urls_work_where_they_are_pasted() {
        for (address, plain, in_shell) in [
            (
                "127.0.0.1:8080",
                "http://127.0.0.1:8080/",
                "http://127.0.0.1:8080/",
            ),
            (
                "[::1]:8080",
                "http://localhost:8080/",
                "http://localhost:8080/",
            ),
            (
                "192.0.2.7:80",
                "http://192.0.2.7:80/",
                "http://192.0.2.7:80/",
            ),
            (
                "[2001:db8::7]:80",
                "http://[2001:db8::7]:80/",
                "'http://[2001:db8::7]:80/'",
            ),
        ] {
            let address = parsed(address);
            assert_eq!(url("http", address).as_deref(), Some(plain));
            assert_eq!(url_in_shell("http", address), in_shell);
        }
        let of_link = SocketAddrV6::new("fe80::1".parse().expect("an address"), 80, 0, 1).into();
        assert_eq!(url("http", of_link), None);
        assert_eq!(url_in_shell("http", of_link), "'http://[fe80::1%25lo]:80/'");
    }

    #[test]
    fn shells_read_what_is_quoted_as_one_word() {
        for (word, expected) in [
            ("/run/socket", "/run/socket"),
            ("/a b", "'/a b'"),
            ("it's", r#""it's""#),
            ("$(x)", "'$(x)'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }

    #[test]
    fn who_can_connect() {
        for (bound, expected) in [
            ("127.0.0.1:80", ("127.0.0.1:80", Audience::ThisMachineOnly)),
            ("127.1.2.3:80", ("127.1.2.3:80", Audience::ThisMachineOnly)),
            ("[::1]:80", ("[::1]:80", Audience::ThisMachineOnly)),
            (
                "[::ffff:127.0.0.1]:80",
                ("127.0.0.1:80", Audience::ThisMachineOnly),
            ),
            ("192.0.2.7:80", ("192.0.2.7:80", Audience::Network)),
            ("0.0.0.0:80", ("127.0.0.1:80", Audience::ThisMachine)),
            ("[::]:80", ("127.0.0.1:80", Audience::ThisMachine)),
        ] {
            let (address, audience) = expected;
            let all = reachable(parsed(bound), false);
            assert_eq!(all[0], (parsed(address), audience), "{bound}");
        }
        assert_eq!(reachable(parsed("[::]:80"), true)[0].0, parsed("[::1]:80"));
    }
}
