//! The rings of traced threads (io_uring(7)): finds the operations that a call hands over, and
//! makes one fail.
//!
//! Before the kernel reads it, the operation is replaced by one that does nothing but report the
//! error. To the program it looks like a completion that failed: links break, and a repeating
//! operation ends.

use crate::tracer::Arguments;
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace;
use nix::unistd::Pid;
use std::collections::HashMap;

/// The opcodes of io_uring_enter(2) with which this program deals.
pub mod opcode {
    pub const NOP: u8 = 0;
    pub const POLL_ADD: u8 = 6;
    pub const SENDMSG: u8 = 9;
    pub const FILES_UPDATE: u8 = 20;
    pub const SEND: u8 = 26;
    pub const RECV: u8 = 27;
    pub const SPLICE: u8 = 30;
}

/// IORING_NOP_INJECT_RESULT: the length of a NOP is its result. Known since Linux 6.10.
const INJECT_RESULT: u64 = 1;

/// IOSQE_IO_LINK, IOSQE_IO_HARDLINK and IOSQE_CQE_SKIP_SUCCESS: what a NOP keeps of the flags.
const KEPT_FLAGS: u64 = 1 << 2 | 1 << 3 | 1 << 6;

/// IORING_REGISTER_RESTRICTIONS. A restricted ring would refuse a NOP.
const REGISTER_RESTRICTIONS: u64 = 11;

/// IORING_SETUP_NO_SQARRAY: the n-th request is the n-th entry.
const NO_ARRAY: u32 = 1 << 16;

/// Where mmap(2) finds the entries of the queue of requests.
const ENTRIES: u64 = 0x1000_0000;

/// The bytes of an entry.
const ENTRY: u64 = 64;

/// The rings of traced threads. Each thread has at most one.
#[derive(Default)]
pub struct Rings {
    by_thread: HashMap<Pid, Ring>,
}

/// A ring in the memory of a traced thread.
struct Ring {
    fd: u64,
    flags: u32,
    /// Where the head, the tail, the mask and the array of the queue of requests are in its memory.
    head: u64,
    tail: u64,
    mask: u64,
    array: u64,
    /// The addresses of the queue of requests and of its entries.
    queue: u64,
    entries: u64,
}

/// True if the kernel knows an operation that only reports an error.
pub fn can_inject() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("it is there");
    let mut numbers = release.split(['.', '-']).map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return false;
    };
    (major, minor) >= (6u32, 10u32)
}

/// True if the call restricts a ring. Let it do nothing.
pub fn restricts(call: i64, arguments: &Arguments) -> bool {
    call == libc::SYS_io_uring_register && arguments[1] == REGISTER_RESTRICTIONS
}

impl Rings {
    /// A call has returned.
    pub fn see_end(
        &mut self,
        pid: Pid,
        call: i64,
        arguments: &Arguments,
        result: u64,
    ) -> Result<(), Errno> {
        if call == libc::SYS_io_uring_setup && result.cast_signed() >= 0 {
            // struct io_uring_params; the offsets of the queue of requests begin at byte 40.
            let field = |at| read_u32(pid, arguments[1] + at);
            let ring = Ring {
                fd: result,
                flags: field(8)?,
                head: field(40)?.into(),
                tail: field(44)?.into(),
                mask: field(48)?.into(),
                array: field(64)?.into(),
                queue: 0,
                entries: 0,
            };
            self.by_thread.insert(pid, ring);
        }
        if call == libc::SYS_mmap
            && let Some(ring) = self.by_thread.get_mut(&pid)
            && ring.fd == arguments[4]
        {
            match arguments[5] {
                0 => ring.queue = result,
                ENTRIES => ring.entries = result,
                _ => {}
            }
        }
        Ok(())
    }

    /// io_uring_enter(2) begins. Makes those operations fail for which `fails` returns an error.
    /// Their arguments are the descriptor, the offset, the address, the length, the flags of the
    /// operation and its priority.
    pub fn see_enter(
        &self,
        pid: Pid,
        count: u64,
        mut fails: impl FnMut(u8, &Arguments) -> Option<Errno>,
    ) -> Result<(), Errno> {
        let Some(ring) = self.by_thread.get(&pid).filter(|ring| ring.entries > 0) else {
            return Ok(());
        };
        let at = |offset| read_u32(pid, ring.queue + offset);
        let (head, tail, mask) = (at(ring.head)?, at(ring.tail)?, at(ring.mask)?);
        let queued = tail.wrapping_sub(head).min(count as u32);
        for position in (0..queued).map(|n| head.wrapping_add(n) & mask) {
            let index = match ring.flags & NO_ARRAY {
                0 => at(ring.array + 4 * u64::from(position))?,
                _ => position,
            };
            let entry = ring.entries + ENTRY * u64::from(index);
            let word = |n: u64| read(pid, entry + 8 * n);
            let (first, lengths) = (word(0)?, word(3)?);
            let (fd, length) = (first >> 32, lengths & u64::from(u32::MAX));
            let priority = first >> 16 & u64::from(u16::MAX);
            let arguments = [fd, word(1)?, word(2)?, length, lengths >> 32, priority];
            if let Some(errno) = fails(first as u8, &arguments) {
                let flags = first >> 8 & KEPT_FLAGS;
                let result = u64::from((-(errno as i32)).cast_unsigned());
                let user_data = word(4)?;
                let words = [
                    u64::from(opcode::NOP) | flags << 8 | u64::from(u32::MAX) << 32,
                    0,
                    0,
                    result | INJECT_RESULT << 32,
                    user_data,
                    0,
                    0,
                    0,
                ];
                for (n, word) in (0..).zip(words) {
                    ptrace::write(pid, pointer(entry + 8 * n), word.cast_signed())?;
                }
            }
        }
        Ok(())
    }
}

fn pointer(address: u64) -> ptrace::AddressType {
    address as usize as ptrace::AddressType
}

fn read(pid: Pid, address: u64) -> Result<u64, Errno> {
    ptrace::read(pid, pointer(address)).map(i64::cast_unsigned)
}

fn read_u32(pid: Pid, address: u64) -> Result<u32, Errno> {
    read(pid, address).map(|word| word as u32)
}
