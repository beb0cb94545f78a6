//! File systems that can hang, and which of the mounts below a root a look-up may enter.

use crate::sys::untraced::{fstat, fstatfs};
use crate::sys::{FsWord, ResolveFlags};
use std::os::fd::AsFd;

/// File systems that another process or machine answers for, late or never (statfs(2)): FUSE and virtiofs, NFS, SMB,
/// CIFS, SMB2, 9P, Ceph, AFS (two of them), Coda, NCP, Lustre, OCFS2, GFS2, OrangeFS, GPFS, the shared folders of
/// VirtualBox and VMware, and autofs.
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

/// Which mounts a look-up may enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounts {
    /// The root's own only. If the root's file system cannot hang, such a look-up cannot either, so a loop may do it. It
    /// says [`LookupError::OtherMount`](super::LookupError::OtherMount) where it would have to enter another mount.
    Own,
    /// All of them. The look-up may wait as long as any of them likes.
    All,
}

impl Mounts {
    /// What this adds to the other conditions of openat2(2).
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

/// A number for the mount that a file or directory is on, if that can hang. To ask that can hang too.
pub fn remote_mount(file: impl AsFd) -> Option<u64> {
    let is_remote = fstatfs(&file).is_ok_and(|answer| can_hang(answer.f_type));
    let device = || fstat(&file).map_or(0, |stat| stat.st_dev);
    is_remote.then(device)
}
