//! The privileges that a server gives up before it serves.

use super::directories::log_directories;
use crate::config::{Confinement, Sandbox, StartError};
use crate::confine::{self, Account, AllowedAccess, ParentDirectory, parent_directories};
use crate::model::WorkerParts;
use crate::net::{BoundAddress, SocketFile};
use crate::sys::untraced::open;
use crate::sys::{Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{PathBuf, absolute};

/// See [`Server::confine`](super::Server::confine).
pub(super) fn confine(
    workers: &[WorkerParts],
    certificates: &[PathBuf],
    confinement: &Confinement,
) -> Result<(), StartError> {
    confine::require_single_thread()?;
    let listening = || workers.iter().flat_map(|worker| &worker.stream_endpoints);
    let answering = workers.iter().flat_map(|worker| &worker.datagram_endpoints);
    let of_listeners = listening().filter_map(|one| one.listener.file());
    let mut sockets = answering.clone().map(|one| one.socket.bound());
    let abstract_sockets = sockets.any(|bound| matches!(bound, BoundAddress::UnixDatagram(_)));
    let of_sockets = answering.filter_map(|one| one.socket.file());
    let files: Vec<&SocketFile> = of_listeners.chain(of_sockets).collect();
    let mut roots: Vec<_> = listening()
        .flat_map(|one| one.service.served_paths())
        .collect();
    roots.sort();
    roots.dedup();
    let (followed, unfollowed) = followed_directories(&roots, confinement.sandbox);
    let log = workers.first().and_then(|worker| worker.log.path());
    let logs = log.map(|path| log_directories(path, confinement.sandbox));
    let logs = logs.unwrap_or_default();
    let (renewable, pinned) = match confinement.sandbox {
        Sandbox::Follow | Sandbox::Strict => certificate_directories(certificates),
        Sandbox::Off => Default::default(),
    };
    let opened = roots.iter().map(|root| confine::open_place(root));
    let opened: Vec<_> = opened
        .collect::<io::Result<_>>()
        .map_err(|error| StartError(format!("cannot open what is served: {error}")))?;
    let allowed = AllowedAccess {
        readable: opened.iter().map(AsFd::as_fd).collect(),
        follow_in: followed
            .iter()
            .map(|one| (one.directory.as_fd(), &*one.path))
            .collect(),
        unfollowed,
        certificates: renewable
            .iter()
            .map(|one| one.directory.as_fd())
            .chain(pinned.iter().map(AsFd::as_fd))
            .collect(),
        remove_in: files.iter().map(|file| file.directory()).collect(),
        append_in: logs.iter().map(|one| one.directory.as_fd()).collect(),
        abstract_sockets,
    };
    let was_root = confine::is_root();
    if let Some(name) = &confinement.user {
        become_user(&Account::find(name)?, &files, &allowed)?;
    }
    confine::give_up_privileges(was_root)
        .map_err(|error| StartError(format!("cannot give up privileges: {error}")))?;
    match confinement.sandbox {
        Sandbox::Follow | Sandbox::Strict => confine::sandbox(&allowed),
        Sandbox::Off => {
            log::warn!(
                "no sandbox, as --sandbox off says: this process can do whatever its user can"
            );
        }
    }
    warn_of_unreadable(certificates);
    confine::check_readable(&allowed)
        .map_err(|error| StartError(format!("cannot read what is served: {error}")))
}

/// Returns the directories in which certificates are renewed. A certificate whose directories hold
/// too much is only opened, which is logged.
fn certificate_directories(files: &[PathBuf]) -> (Vec<ParentDirectory>, Vec<OwnedFd>) {
    let (mut directories, mut pinned) = (Vec::new(), Vec::new());
    for file in files {
        let name = absolute(file).unwrap_or(file.clone());
        match parent_directories(&name) {
            Ok(more) => directories.extend(more),
            Err(why) => {
                let shown = file.display();
                log::warn!("if {shown} is replaced, the server needs a restart: {why}");
                // Landlock has no rules for pipes, which a shell makes of `<(command)`.
                let place = confine::open_place(&name).ok();
                pinned.extend(place.filter(confine::is_file));
            }
        }
    }
    (directories, pinned)
}

/// Logs a warning for each file that cannot be read any more. Its renewal needs a restart.
fn warn_of_unreadable(files: &[PathBuf]) {
    for file in files {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        if let Err(errno) = open(file, flags, Mode::empty()) {
            log::warn!(
                "{} cannot be read any more, so a renewal needs a restart: {errno}",
                file.display()
            );
        }
    }
}

/// Returns the directories in which replaced roots are followed, and the consequence for a root that
/// is not followed.
fn followed_directories(
    roots: &[PathBuf],
    sandbox: Sandbox,
) -> (Vec<ParentDirectory>, Option<String>) {
    let (mut followed, mut unfollowed) = (Vec::new(), None);
    for root in roots {
        let why = match sandbox {
            Sandbox::Follow => match parent_directories(root) {
                Ok(more) => {
                    followed.extend(more);
                    continue;
                }
                Err(why) => format!(" ({why})"),
            },
            Sandbox::Strict => String::new(),
            Sandbox::Off => continue,
        };
        let root = root.display();
        unfollowed = Some(format!(
            "if {root} is replaced, the server needs a restart{why}"
        ));
    }
    (followed, unfollowed)
}

/// Switches from root to a user, who then owns the files of Unix sockets and can remove them.
fn become_user(
    account: &Account,
    files: &[&SocketFile],
    allowed: &AllowedAccess<'_>,
) -> Result<(), StartError> {
    let Account { name, uid, gid } = account;
    files
        .iter()
        .try_for_each(|file| file.chown(*uid, *gid))
        .map_err(|error| StartError(format!("cannot give a socket to {name}: {error}")))?;
    account
        .assume()
        .map_err(|error| StartError(format!("cannot become {name}: {error}")))?;
    log::info!("running as {name} (user {uid}, group {gid})");
    confine::check_readable(allowed)
        .map_err(|error| StartError(format!("{name} cannot read what is served: {error}")))
}
