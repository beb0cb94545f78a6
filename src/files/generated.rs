//! Files that the kernel makes as they are read, as in procfs and sysfs: their lengths say nothing of what comes.

use crate::sys::{self, Errno, FsWord};
use std::os::fd::OwnedFd;

/// The most that is read of such a file, in bytes. Some have no end, and all of it is read in one go into memory.
pub(super) const MAX_CONTENT: usize = 1 << 20;

/// What one call may bring, in bytes.
const READ_SIZE: usize = 16 * 1024;

/// File systems of this kind (statfs(2)): procfs, sysfs, debugfs, tracefs, securityfs, configfs, cgroups of both
/// versions, SELinux, Smack, pstore and binfmt_misc.
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

/// True if this kind of file system makes its files as they are read.
pub(super) fn is_generated(file_system: FsWord) -> bool {
    GENERATED.contains(&file_system)
}

/// What the file, which was opened without waiting (O_NONBLOCK), has to say now, up to [`MAX_CONTENT`].
///
/// # Errors
/// Those of read(2), if it has not brought anything before. AGAIN is not one: then the file has nothing to say.
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
