//! The sandbox: Landlock (landlock(7)). It needs no privileges, and a process cannot leave it.

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, PathBeneath, RestrictionStatus, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// What the sandboxed process may still do.
#[derive(Clone, Debug, Default)]
pub struct AllowedAccess<'a> {
    /// Directories to read below, and single files to read.
    pub readable: Vec<BorrowedFd<'a>>,
    /// Directories that may hold replacements of those, with their paths. The process may read
    /// everything below them that its user may read.
    pub follow_in: Vec<(BorrowedFd<'a>, &'a Path)>,
    /// A clause for the summary, if replacements are not followed: what they need, and why.
    pub unfollowed: Option<String>,
    /// Directories to read below, and single files to read, for certificates and their keys.
    pub certificates: Vec<BorrowedFd<'a>>,
    /// Directories in which files are removed.
    pub remove_in: Vec<BorrowedFd<'a>>,
    /// Directories in which files are created and appended to.
    pub append_in: Vec<BorrowedFd<'a>>,
    /// Send to the abstract Unix sockets of other processes (unix(7)), to reply to their datagrams.
    pub abstract_sockets: bool,
}

/// The newest Landlock interface in use. Older kernels enforce less. Newer interfaces could forbid
/// what services need, such as sending datagrams.
const NEWEST: ABI = ABI::V7;

/// Forbids everything else to this thread and all that it starts. Returns what the kernel enforces.
pub(super) fn restrict(allowed: &AllowedAccess<'_>) -> Result<Restrictions, RulesetError> {
    let followed = allowed.follow_in.iter().map(|(fd, _)| fd);
    let readable = allowed.readable.iter().chain(followed);
    let readable = readable.chain(&allowed.certificates);
    let readable = readable.map(|fd| {
        // A rule for a file must not contain rights for directories (landlock_add_rule(2), EINVAL).
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

/// What the kernel enforces, in words.
pub(super) struct Restrictions {
    /// In a few words.
    pub summary: String,
    /// What is allowed and what is forbidden. Empty without a sandbox.
    pub details: String,
}

fn describe(status: &RestrictionStatus, allowed: &AllowedAccess<'_>) -> Restrictions {
    let none = |why: &str| Restrictions {
        summary: format!("no sandbox: {why}"),
        details: String::new(),
    };
    let abi = match status.landlock {
        LandlockStatus::NotImplemented => {
            return none("this kernel has no Landlock (Linux 5.13 or later)");
        }
        LandlockStatus::NotEnabled => {
            return none("Landlock is disabled in this kernel (boot option lsm=)");
        }
        LandlockStatus::Available { .. } if status.ruleset == RulesetStatus::NotEnforced => {
            return none("this kernel's Landlock enforces none of the rules");
        }
        LandlockStatus::Available { effective_abi, .. } => effective_abi,
    };
    let followed = allowed
        .follow_in
        .iter()
        .map(|(_, path)| path.display().to_string());
    let followed: Vec<_> = followed.collect();
    let reading = match (allowed.readable.is_empty(), followed.is_empty()) {
        (true, _) => "can read no file".into(),
        (false, true) => "can read only what it serves".into(),
        (false, false) => format!(
            "can read only what it serves, and replacements in {}",
            followed.join(" and ")
        ),
    };
    let certificates = match allowed.certificates.is_empty() {
        true => "",
        false => "; can read the directories of files that options name, such as certificates",
    };
    let writing = match allowed.append_in.is_empty() {
        true => "write nothing",
        false => "write only in the directories of the access log",
    };
    let network = match abi < ABI::V4 {
        true => "",
        false => "; cannot open TCP connections",
    };
    let signals = match abi < ABI::V6 {
        true => "",
        false => "; cannot signal other processes",
    };
    let and_certificates = match allowed.certificates.is_empty() {
        true => "",
        false => " and files that its options name",
    };
    let reads_nothing = allowed.readable.is_empty() && allowed.certificates.is_empty();
    let what = match allowed.readable.is_empty() {
        true => "files that its options name".into(),
        false => format!("what it serves{and_certificates}"),
    };
    let summary = match (reads_nothing, allowed.append_in.is_empty()) {
        (true, true) => "can open no file".into(),
        (true, false) => "can open no file but its access log".into(),
        (false, true) => format!("can read {what}, and write or run nothing"),
        (false, false) => format!("can read {what}, and write nothing but its access log"),
    };
    let abi = abi as i32;
    let restart = allowed.unfollowed.iter();
    let restart: String = restart.map(|what| format!("; {what}")).collect();
    Restrictions {
        summary: format!("sandboxed (Landlock ABI {abi}): {summary}{restart}"),
        details: format!(
            "sandbox: {reading}{certificates}; can {writing}, and run nothing{network}{signals}"
        ),
    }
}

pub(super) fn is_directory(place: impl AsFd) -> Result<bool, Errno> {
    let mode = fstat(place)?.st_mode;
    Ok(FileType::from_raw_mode(mode) == FileType::Directory)
}
