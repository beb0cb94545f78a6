//! File systems that can hang, and which mounts below the root a lookup may enter.

use crate::sys::untraced::{fstat, fstatfs};
use crate::sys::{FsWord, ResolveFlags};
use std::os::fd::AsFd;

/// File systems that can hang because another process or machine answers for them (statfs(2)): FUSE
/// and virtiofs, NFS, SMB, CIFS, SMB2, 9P, Ceph, AFS (two of them), Coda, NCP, Lustre, OCFS2, GFS2,
/// OrangeFS, GPFS, the shared folders of VirtualBox and VMware, and autofs.
const CAN_HANG: &[FsWord] = &[
    0x6573_5546,
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x0102_1997,
    0x00c3_6400,
    0x5346_414f,
    0x6b41_4653,
    0x7375_7245,
    0x564c,
    0x0bd0_0bd0,
    0x7461_636f,
    0x0116_1970,
    0x2003_0528,
    0x4750_4653,
    0x786f_4256,
    0xbacb_acbc,
    0x0187,
];

/// The mounts that a lookup may enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounts {
    /// Only the root's own mount. A lookup that would enter another one fails with
    /// [`LookupError::OtherMount`](super::LookupError::OtherMount). It cannot hang if the root's
    /// file system cannot, so a loop may do it.
    Own,
    /// All mounts. The lookup can take as long as the slowest of them.
    All,
}

impl Mounts {
    /// The flags to add to the others of openat2(2).
    pub(super) fn flags(self) -> ResolveFlags {
        match self {
            Mounts::Own => ResolveFlags::NO_XDEV,
            Mounts::All => ResolveFlags::empty(),
        }
    }
}

/// True if this kind of file system can hang.
pub(super) fn can_hang(file_system: FsWord) -> bool {
    CAN_HANG.contains(&file_system)
}

/// Identifies the mount of a file or directory if that mount can hang; `None` if it cannot. This
/// call itself can hang.
pub fn remote_mount(file: impl AsFd) -> Option<u64> {
    let is_remote = fstatfs(&file).is_ok_and(|answer| can_hang(answer.f_type));
    let device = || fstat(&file).map_or(0, |stat| stat.st_dev);
    is_remote.then(device)
}
