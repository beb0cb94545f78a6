//! Switching from root to an unprivileged user.

use crate::config::StartError;
use nix::unistd::{Gid, Uid, User, geteuid, getresgid, getresuid};
use nix::unistd::{initgroups, setresgid, setresuid};
use std::ffi::CString;
use std::io;

/// A user of this machine.
#[derive(Clone, Debug)]
pub struct Account {
    /// The login name (passwd(5)).
    pub name: String,
    /// The user ID.
    pub uid: u32,
    /// The ID of the user's group.
    pub gid: u32,
}

impl Account {
    /// Finds a user to switch to.
    ///
    /// # Errors
    /// A sentence if the user does not exist or is root, or if this process is not root's.
    pub fn find(name: &str) -> Result<Account, StartError> {
        let user = User::from_name(name)
            .map_err(|errno| StartError(format!("cannot look up the user {name}: {errno}")))?
            .ok_or_else(|| StartError(format!("there is no user {name}")))?;
        if user.uid.is_root() {
            return Err(StartError(format!(
                "--user {name} is root; name an unprivileged user"
            )));
        }
        if !is_root() {
            return Err(StartError(format!(
                "only root can switch to {name}; start the program as {name}, without --user"
            )));
        }
        Ok(Account {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        })
    }

    /// Switches all threads to this user: supplementary groups, and the real, effective and saved
    /// IDs. The process loses all capabilities (capabilities(7)).
    ///
    /// # Errors
    /// Those of initgroups(3), setresgid(2) and setresuid(2), and EPERM if the process could switch
    /// back.
    pub fn assume(&self) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        let name = CString::new(self.name.as_str())?;
        // Groups first: only root can change them.
        initgroups(&name, gid)?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
        let (users, groups) = (getresuid()?, getresgid()?);
        let ids = [users.real, users.effective, users.saved];
        let groups = [groups.real, groups.effective, groups.saved];
        let has_gone = ids == [uid; 3] && groups == [gid; 3];
        if !has_gone || setresuid(uid, Uid::from_raw(0), uid).is_ok() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(())
    }
}

/// True if this process runs as root.
pub fn is_root() -> bool {
    geteuid().is_root()
}
