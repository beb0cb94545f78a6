//! Files whose content the kernel generates as they are read, as in procfs and sysfs. Their lengths
//! in stat(2) mean nothing.

use crate::sys::{self, Errno, FsWord};
use std::os::fd::OwnedFd;

/// The most that is read of a generated file, in bytes. Some are endless, and a file is read into
/// memory whole.
pub(super) const MAX_CONTENT: usize = 1 << 20;

/// The size of one read, in bytes.
const READ_SIZE: usize = 16 * 1024;

/// File systems that generate their files (statfs(2)): procfs, sysfs, debugfs, tracefs, securityfs,
/// configfs, cgroups v1 and v2, SELinux, Smack, pstore and binfmt_misc.
const GENERATED: &[FsWord] = &[
    0x9fa0,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x6265_6570,
    0x0027_e0eb,
    0x6367_7270,
    0xf97c_ff8c,
    0x4341_5d53,
    0x6165_676c,
    0x4249_4e4d,
];

/// True if files on this kind of file system are generated.
pub(super) fn is_generated(file_system: FsWord) -> bool {
    GENERATED.contains(&file_system)
}

/// Returns the file's content now, up to [`MAX_CONTENT`]. Open the file with O_NONBLOCK: some block
/// until there is news.
///
/// # Errors
/// Those of read(2) if the first call fails. EAGAIN counts as the end.
pub(super) fn read_content(file: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let mut content = Vec::new();
    while content.len() < MAX_CONTENT {
        let filled = content.len();
        content.resize(MAX_CONTENT.min(filled + READ_SIZE), 0);
        let result = sys::read(file, &mut content[filled..]);
        content.truncate(filled + result.unwrap_or(0));
        match result {
            Ok(0) | Err(Errno::AGAIN) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) if filled > 0 => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(content)
}
