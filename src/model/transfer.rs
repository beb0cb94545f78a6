//! Moves the pieces of a connection's output.

use crate::session::Piece;
use crate::sys::{self, Errno};
use std::os::fd::AsFd;

/// Sends as much of `piece` as the kernel takes, at most `share` bytes of a file, and says how much that was. 0 means
/// that a file has become shorter than was promised.
///
/// # Errors
/// Those of send(2), and [`sys::SENDFILE_REFUSED`].
pub fn send(socket: impl AsFd, piece: &Piece<'_>, share: usize) -> Result<usize, Errno> {
    match piece {
        Piece::Bytes { bytes, then, more } => sys::send(socket, bytes, then, *more),
        Piece::File {
            file,
            offset,
            count,
        } => {
            let count = usize::try_from(*count).unwrap_or(usize::MAX).min(share);
            sys::send_file(socket, file, *offset, count)
        }
    }
}

/// Reads as much of a stretch of a file as `buffer` holds, and says how much that was; 0 if the file ends before.
///
/// # Errors
/// Those of pread(2).
pub fn load(piece: &Piece<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    match piece {
        Piece::Bytes { .. } => Ok(0),
        Piece::File {
            file,
            offset,
            count,
        } => {
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            let room = count.min(buffer.len());
            sys::read_at(file, &mut buffer[..room], *offset)
        }
    }
}
