//! Sends and loads pieces of a connection's output.

use crate::session::{File, Piece};
use crate::sys::{self, Errno};
use std::os::fd::AsFd;

/// Sends as much of `piece` as the kernel takes; of a file at most `max_file_bytes`. Returns the
/// number of bytes; 0 means that a file has become shorter than promised.
///
/// # Errors
/// Those of send(2), and [`sys::SENDFILE_REFUSED`].
pub fn send(socket: impl AsFd, piece: &Piece<'_>, max_file_bytes: usize) -> Result<usize, Errno> {
    match piece {
        Piece::Bytes { bytes, then, more } => sys::send(socket, bytes, then, *more),
        Piece::File {
            file,
            offset,
            count,
        } => {
            let count = usize::try_from(*count)
                .unwrap_or(usize::MAX)
                .min(max_file_bytes);
            sys::send_file(socket, file, *offset, count)
        }
    }
}

/// Reads as much of a file range as `buffer` holds. Returns the number of bytes; 0 means that the
/// file ends before the range.
///
/// # Errors
/// Those of pread(2).
pub fn load(piece: &Piece<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    read(piece, buffer, |file, into, offset| {
        sys::read_at(file, into, offset)
    })
}

/// The same without waiting for a disk.
///
/// # Errors
/// EAGAIN if it would wait, and those of preadv2(2).
pub fn load_now(piece: &Piece<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    read(piece, buffer, |file, into, offset| {
        sys::read_now(file, into, offset)
    })
}

fn read(
    piece: &Piece<'_>,
    buffer: &mut [u8],
    read: impl FnOnce(&File, &mut [u8], u64) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    match piece {
        Piece::Bytes { .. } => Ok(0),
        Piece::File {
            file,
            offset,
            count,
        } => {
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            let room = count.min(buffer.len());
            read(file, &mut buffer[..room], *offset)
        }
    }
}
