//! What a ring may be asked for. The kernel refuses all else with EACCES, as long as the ring
//! exists (io_uring_register_restrictions(3)).
//!
//! Rings are made when the process has given up its privileges. They begin disabled, and are
//! enabled when everything that they need is registered. So nothing can be registered later.

use bitflags::bitflags;
use io_uring::register::Restriction;
use io_uring::squeue::{self, Flags};
use io_uring::{IoUring, Probe, opcode};
use std::io;
use std::time::Duration;

bitflags! {
    /// What a ring is used for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Uses: u8 {
        /// To watch descriptors. Each ring does.
        const WATCH = 1;
        /// To receive, to send, and to wait until a socket takes more.
        const TRANSFER = 2;
        /// To read files.
        const READ = 4;
        /// To send without a copy.
        const ZERO_COPY = 8;
        /// To name sockets by their place in a table.
        const REGISTERED = 16;
        /// To move files through pipes.
        const SPLICE = 32;
        /// To accept connections.
        const ACCEPT = 64;
    }
}

/// An operation that the kernel performs for a ring.
struct Allowed {
    opcode: u8,
    /// Its name after IORING_OP_.
    name: &'static str,
    /// Only a ring that is used for one of these may ask for it.
    uses: Uses,
}

/// All operations that any ring asks for. Add each new one; a debug build panics without it.
const ALLOWED: &[Allowed] = &[
    // Watches and `Operation::AwaitWritable`.
    allowed(opcode::PollAdd::CODE, "POLL_ADD", Uses::WATCH),
    // Changed watches, deadlines, and connections that close.
    allowed(opcode::AsyncCancel::CODE, "ASYNC_CANCEL", Uses::WATCH),
    // `Operation::Receive`.
    allowed(opcode::Recv::CODE, "RECV", Uses::TRANSFER),
    // `Operation::Send` of one stretch of bytes, and of two.
    allowed(opcode::Send::CODE, "SEND", Uses::TRANSFER),
    allowed(opcode::SendMsg::CODE, "SENDMSG", Uses::TRANSFER),
    // The same without a copy.
    allowed(opcode::SendZc::CODE, "SEND_ZC", Uses::ZERO_COPY),
    allowed(opcode::SendMsgZc::CODE, "SENDMSG_ZC", Uses::ZERO_COPY),
    // `Operation::Read`.
    allowed(opcode::Read::CODE, "READ", Uses::READ),
    // `Operation::Fill` and `Operation::Drain`.
    allowed(opcode::Splice::CODE, "SPLICE", Uses::SPLICE),
    // `Operation::Accept`.
    allowed(opcode::Accept::CODE, "ACCEPT", Uses::ACCEPT),
    // Sockets that come and go.
    allowed(opcode::FilesUpdate::CODE, "FILES_UPDATE", Uses::REGISTERED),
];

/// The flags that requests may have (io_uring_enter(2)).
const FLAGS: &[(Flags, Uses)] = &[
    // Cancelling, and quiet sends: only a failure gives a result.
    (Flags::SKIP_SUCCESS, Uses::WATCH),
    // Receives take a buffer when data has arrived.
    (Flags::BUFFER_SELECT, Uses::TRANSFER),
    // A fill of a pipe and the drain behind it.
    (Flags::IO_LINK, Uses::SPLICE),
    // Operations that name a socket by its place.
    (Flags::FIXED_FILE, Uses::REGISTERED),
];

const fn allowed(opcode: u8, name: &'static str, uses: Uses) -> Allowed {
    Allowed { opcode, name, uses }
}

impl Uses {
    fn operations(self) -> impl Iterator<Item = &'static Allowed> {
        ALLOWED.iter().filter(move |one| one.uses.intersects(self))
    }

    fn flags(self) -> Flags {
        let flags = FLAGS.iter().filter(|(_, uses)| uses.intersects(self));
        flags.map(|(flag, _)| *flag).collect()
    }

    /// True if a ring that is used so may ask for this.
    pub(super) fn allow(self, request: &squeue::Entry) -> bool {
        self.operations()
            .any(|one| u32::from(one.opcode) == request.get_opcode())
    }

    /// The names of the operations that these uses need and the kernel does not have.
    ///
    /// # Errors
    /// Those of io_uring_register(2).
    pub(super) fn missing(self, ring: &IoUring) -> io::Result<Vec<&'static str>> {
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let missing = self
            .operations()
            .filter(|one| !probe.is_supported(one.opcode));
        Ok(missing.map(|one| one.name).collect())
    }
}

/// Makes a ring that is disabled. Register what it needs, then [`enable`] it.
///
/// # Errors
/// Those of io_uring_setup(2).
pub(super) fn build_disabled(
    capacity: usize,
    sqpoll: Option<Duration>,
) -> io::Result<io_uring::IoUring> {
    let mut builder = io_uring::IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_clamp()
        .setup_r_disabled();
    match sqpoll {
        None => builder.setup_defer_taskrun(),
        // The kernel refuses both together.
        Some(idle) => {
            let idle = u32::try_from(idle.as_millis()).unwrap_or(u32::MAX);
            builder.setup_sqpoll(idle.max(1))
        }
    };
    builder.build(u32::try_from(capacity).unwrap_or(u32::MAX))
}

/// Enables a ring for these uses only.
///
/// # Errors
/// Those of io_uring_register(2).
pub(super) fn enable(ring: &IoUring, uses: Uses) -> io::Result<()> {
    let operations = uses.operations().map(|one| Restriction::sqe_op(one.opcode));
    let flags = Restriction::sqe_flags_allowed(uses.flags().bits());
    let mut restrictions: Vec<_> = operations.chain([flags]).collect();
    let submitter = ring.submitter();
    submitter.register_restrictions(&mut restrictions)?;
    submitter.register_enable_rings()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_that_watches_may_do_nothing_else() {
        let names: Vec<_> = Uses::WATCH.operations().map(|one| one.name).collect();
        assert_eq!(names, ["POLL_ADD", "ASYNC_CANCEL"]);
        assert_eq!(Uses::WATCH.flags(), Flags::SKIP_SUCCESS);
    }
}
