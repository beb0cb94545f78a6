//! Which program uses an address, as far as proc(5) tells.

use procfs::net::{TcpNetEntry, TcpState, UdpNetEntry};
use procfs::net::{tcp, tcp6, udp, udp6, unix};
use procfs::process::{FDTarget, Process, all_processes};
use socket2::Type;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

/// The program whose socket of this kind conflicts with `address`, such as `evserve (process
/// 4711)`. The descriptors of other users' programs are not visible; for these, returns the user.
fn owner_of_address(kind: Type, address: SocketAddr) -> Option<String> {
    let (_, user, inode) = sockets(kind)
        .into_iter()
        .find(|(local, ..)| overlap(*local, address))?;
    let name = owner_of_inode(inode);
    Some(name.unwrap_or_else(|| format!("a program of user {user}")))
}

/// The first process that has the socket with this inode open.
fn owner_of_inode(inode: u64) -> Option<String> {
    let has_it = |process: &Process| {
        let mut descriptors = process.fd().into_iter().flatten().flatten();
        descriptors.any(|fd| matches!(fd.target, FDTarget::Socket(socket) if socket == inode))
    };
    let mut processes = all_processes().into_iter().flatten().flatten();
    name(&processes.find(has_it)?)
}

/// Adds the program that uses the address to an EADDRINUSE error, if known.
pub(super) fn with_owner(error: io::Error, kind: Type, address: SocketAddr) -> io::Error {
    if error.kind() != io::ErrorKind::AddrInUse {
        return error;
    }
    match owner_of_address(kind, address) {
        Some(who) => io::Error::new(error.kind(), format!("{who} uses this port: {error}")),
        None => error,
    }
}

/// The program that has the Unix socket at this path.
pub(super) fn owner_of_path(path: &Path) -> Option<String> {
    let mut sockets = unix().ok()?.into_iter();
    let socket = sockets.find(|socket| socket.path.as_deref() == Some(path))?;
    owner_of_inode(socket.inode)
}

/// The name and number of a process.
pub(super) fn process_name(id: i32) -> Option<String> {
    name(&Process::new(id).ok()?)
}

fn name(process: &Process) -> Option<String> {
    let stat = process.stat().ok()?;
    Some(format!("{} (process {})", stat.comm, stat.pid))
}

/// All bound sockets: address, user and inode. A kernel without IPv6 has fewer tables.
fn sockets(kind: Type) -> Vec<(SocketAddr, u32, u64)> {
    let of_tcp = |one: TcpNetEntry| (one.local_address, one.uid, one.inode);
    let of_udp = |one: UdpNetEntry| (one.local_address, one.uid, one.inode);
    match kind {
        Type::DGRAM => {
            let all = [udp(), udp6()].into_iter().flatten().flatten();
            all.map(of_udp).collect()
        }
        _ => {
            let all = [tcp(), tcp6()].into_iter().flatten().flatten();
            // Other sockets on the port, such as connections, do not conflict (SO_REUSEADDR).
            let listening = all.filter(|one| one.state == TcpState::Listen);
            listening.map(of_tcp).collect()
        }
    }
}

/// True if sockets with these addresses conflict.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port() && (a == b || a.is_unspecified() || b.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket};

    #[test]
    fn the_owner_of_a_port_is_found() {
        let own = process_name(std::process::id().cast_signed()).expect("we run");
        for (kind, address) in [
            (Type::STREAM, "127.0.0.1:0"),
            (Type::STREAM, "[::1]:0"),
            (Type::DGRAM, "127.0.0.1:0"),
        ] {
            let address: SocketAddr = address.parse().expect("an address");
            let socket = Socket::new(Domain::for_address(address), kind, None).expect("a socket");
            socket.bind(&address.into()).expect("bound");
            if kind == Type::STREAM {
                socket.listen(1).expect("it listens");
            }
            let bound = socket.local_addr().expect("bound").as_socket();
            let bound = bound.expect("an address");
            let all = SocketAddr::from(([0, 0, 0, 0], bound.port()));
            for wanted in [bound, all] {
                assert_eq!(
                    owner_of_address(kind, wanted).as_ref(),
                    Some(&own),
                    "{wanted}"
                );
            }
        }
    }

    #[test]
    fn conflicting_addresses() {
        let cases = [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "[::]:80", true),
            ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", true),
            ("127.0.0.1:80", "[::1]:80", false),
        ];
        for (one, other, expected) in cases {
            let (a, b) = (one.parse(), other.parse());
            let (a, b) = (a.expect("an address"), b.expect("an address"));
            assert_eq!(overlap(a, b), expected, "{one} {other}");
            assert_eq!(overlap(b, a), expected, "{other} {one}");
        }
    }
}
