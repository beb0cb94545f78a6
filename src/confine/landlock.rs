//! The sandbox: Landlock (landlock(7)), which a process needs no privileges for and cannot leave again.

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, PathBeneath, RestrictionStatus, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// What is still done once everything else has been closed off.
#[derive(Clone, Debug, Default)]
pub struct AllowedAccess<'a> {
    /// Directories below which files and directories are opened for reading, and single files.
    pub readable: Vec<BorrowedFd<'a>>,
    /// Directories that hold what may take the place of those, and are read below as well, as far as the user may; with
    /// their paths.
    pub follow_in: Vec<(BorrowedFd<'a>, &'a Path)>,
    /// Directories in which files are removed.
    pub remove_in: Vec<BorrowedFd<'a>>,
    /// Directories in which files are made and appended to.
    pub append_in: Vec<BorrowedFd<'a>>,
    /// Replies may be sent to the abstract sockets of other processes (unix(7)), which had sent a datagram.
    pub abstract_sockets: bool,
}

/// The newest of the kernel's interfaces that this was tried with; of an older kernel less is asked. What later ones can
/// refuse, such as sending datagrams, services may need.
const NEWEST: ABI = ABI::V7;

/// Refuses to this thread, and to all that it starts, whatever is not needed. Says what that came to.
pub(super) fn restrict(allowed: &AllowedAccess<'_>) -> Result<Restricted, RulesetError> {
    let followed = allowed.follow_in.iter().map(|(fd, _)| fd);
    let readable = allowed.readable.iter().chain(followed);
    let readable = readable.map(|fd| {
        // A rule for a file must not speak of directories (landlock_add_rule(2), EINVAL).
        let read = match is_directory(fd) {
            Ok(false) => AccessFs::ReadFile.into(),
            Ok(true) | Err(_) => AccessFs::ReadFile | AccessFs::ReadDir,
        };
        PathBeneath::new(fd, read)
    });
    let remove = AccessFs::RemoveFile;
    let removable = allowed
        .remove_in
        .iter()
        .map(|fd| PathBeneath::new(fd, remove));
    let append = AccessFs::WriteFile | AccessFs::MakeReg;
    let appendable = allowed
        .append_in
        .iter()
        .map(|fd| PathBeneath::new(fd, append));
    let rules = readable
        .chain(removable)
        .chain(appendable)
        .map(Ok::<_, RulesetError>);
    let scopes = match allowed.abstract_sockets {
        true => Scope::Signal.into(),
        false => Scope::from_all(NEWEST),
    };
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(scopes)?
        .create()?
        .add_rules(rules)?
        .restrict_self()?;
    Ok(describe(&status, allowed))
}

/// What the kernel enforces from now on.
pub(super) struct Restricted {
    /// In a few words.
    pub summary: String,
    /// What is allowed and what is refused. Empty without a sandbox.
    pub details: String,
}

fn describe(status: &RestrictionStatus, allowed: &AllowedAccess<'_>) -> Restricted {
    let none = |why: &str| Restricted {
        summary: format!("no sandbox: {why}"),
        details: String::new(),
    };
    let abi = match status.landlock {
        LandlockStatus::NotImplemented => {
            return none("this kernel has no Landlock, which came with Linux 5.13");
        }
        LandlockStatus::NotEnabled => {
            return none("this kernel has Landlock but was told not to use it (lsm=)");
        }
        LandlockStatus::Available { .. } if status.ruleset == RulesetStatus::NotEnforced => {
            return none("this kernel's Landlock enforces nothing of it");
        }
        LandlockStatus::Available { effective_abi, .. } => effective_abi,
    };
    let followed = allowed
        .follow_in
        .iter()
        .map(|(_, path)| path.display().to_string());
    let followed: Vec<_> = followed.collect();
    let reading = match (allowed.readable.is_empty(), followed.is_empty()) {
        (true, _) => "no file can be read".into(),
        (false, true) => "only what is served can be read".into(),
        (false, false) => format!(
            "only what is served, and what may take its place in {}, can be read",
            followed.join(" and ")
        ),
    };
    let writing = match allowed.append_in.is_empty() {
        true => ", nothing written",
        false => ", written only where the access log is or may come to be",
    };
    let network = match abi < ABI::V4 {
        true => "",
        false => "; no TCP connection can be opened",
    };
    let others = match abi < ABI::V6 {
        true => "",
        false => "; no other process can be signalled",
    };
    let few_words = match (allowed.readable.is_empty(), allowed.append_in.is_empty()) {
        (true, true) => "can open no file",
        (true, false) => "can open no file but its access log",
        (false, true) => "can read what it serves, and write or run nothing",
        (false, false) => "can read what it serves, and write nothing but its access log",
    };
    let abi = abi as i32;
    Restricted {
        summary: format!("sandboxed (Landlock ABI {abi}): {few_words}"),
        details: format!("sandbox: {reading}{writing}, nothing executed{network}{others}"),
    }
}

pub(super) fn is_directory(place: impl AsFd) -> Result<bool, Errno> {
    let mode = fstat(place)?.st_mode;
    Ok(FileType::from_raw_mode(mode) == FileType::Directory)
}
