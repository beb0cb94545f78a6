//! Who has a socket, for the sentence that tells a user whom to stop. What /proc does not say is not known.

use rustix::fs::{CWD, Dir, Mode, OFlags, open, readlinkat};
use rustix::io::read;
use std::path::Path;

/// The program that has the socket at a path, such as `evserve (process 4711)`.
pub(super) fn of_path(path: &Path) -> Option<String> {
    let path = path.to_str()?;
    let table = text("/proc/net/unix")?;
    // Num RefCount Protocol Flags Type St Inode Path
    let mut fields = table.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(6);
        Some((fields.next()?, fields.next()?))
    });
    let (inode, _) = fields.find(|(_, bound)| *bound == path)?;
    of_socket(inode)
}

/// The program that has a UDP port, if it is a single socket: the same port of different addresses may belong to
/// several.
pub(super) fn of_udp_port(port: u16) -> Option<String> {
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(|table| text(table).unwrap_or_default());
    let suffix = format!(":{port:04X}");
    // sl local_address rem_address st queues tr retransmits uid timeout inode
    let mut inodes = tables
        .iter()
        .flat_map(|table| table.lines())
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            fields.nth(1).filter(|local| local.ends_with(&suffix))?;
            fields.nth(7)
        });
    match (inodes.next(), inodes.next()) {
        (Some(inode), None) => of_socket(inode),
        _ => None,
    }
}

/// The process of that id with its name.
pub(super) fn program(id: &str) -> Option<String> {
    let name = text(&format!("/proc/{id}/comm"))?;
    Some(format!("{} (process {id})", name.trim_end()))
}

/// The first process that has the socket of that number open. Other users' descriptors can be seen by root alone.
fn of_socket(inode: &str) -> Option<String> {
    let link = format!("socket:[{inode}]");
    let has_it = |id: &String| {
        let directory = format!("/proc/{id}/fd");
        names(&directory).is_some_and(|descriptors| {
            descriptors.iter().any(|descriptor| {
                let path = format!("{directory}/{descriptor}");
                readlinkat(CWD, path, Vec::new()).is_ok_and(|to| to.to_bytes() == link.as_bytes())
            })
        })
    };
    let processes = names("/proc")?.into_iter();
    let mut processes = processes.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    program(&processes.find(has_it)?)
}

fn names(directory: &str) -> Option<Vec<String>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let entries = Dir::new(open(directory, flags, Mode::empty()).ok()?).ok()?;
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_str().ok()?.to_owned()));
    Some(names.collect())
}

fn text(path: &str) -> Option<String> {
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let (mut all, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match read(&file, &mut part).ok()? {
            0 => return Some(String::from_utf8_lossy(&all).into_owned()),
            count => all.extend_from_slice(&part[..count]),
        }
    }
}
