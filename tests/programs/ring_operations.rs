//! What an attacker can ask io_uring(7) for: with the ring of the server, and with a new one.

#![allow(unsafe_code)]

use io_uring::{IoUring, Parameters, Probe, opcode, squeue, types};
use rustix::fs::{CWD, readlink};
use rustix::net::{AddressFamily, SocketType, socket};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::mem::{ManuallyDrop, forget};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The user data of a request whose result the server ignores.
const IGNORED: u64 = u64::MAX;

/// The most entries that the rings of the server have room for.
const ENTRIES: u32 = 1024;

/// Asks the server's ring of this thread for each operation that there is. Returns a line for each
/// that it does not refuse, and others for a registered file and for registrations.
pub fn with_ring_of_server() -> String {
    let Some(fd) = ring_of_server() else {
        return "no ring\n".into();
    };
    let new: io::Result<IoUring> = IoUring::builder().setup_r_disabled().build(ENTRIES);
    let params: Parameters = new.expect("a new ring").params().clone();
    // SAFETY: the server's ring has as many entries, so it is laid out alike. The descriptor stays
    // open: `ring` is never dropped.
    let ring = unsafe { IoUring::from_fd(fd, params) }.expect("mapped");
    let mut ring = ManuallyDrop::new(ring);
    let mut lines = Vec::new();
    for code in 0..=u8::MAX {
        let mut request = opcode::Nop::new().build();
        // SAFETY: an entry begins with the opcode, and has no other invariant. A kernel that lets
        // this pass gets no pointers.
        unsafe { std::ptr::from_mut(&mut request).cast::<u8>().write(code) };
        match submit(&mut ring, request) {
            // EINVAL: there is no such operation.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            Err(error) if error.kind() == ErrorKind::InvalidInput && code > 60 => {}
            outcome => lines.push(format!("{code} {outcome:?}\n")),
        }
    }
    // There is no such place.
    let registered = opcode::PollAdd::new(types::Fixed(u32::MAX >> 1), 1).build();
    let outcome = submit(&mut ring, registered).map_err(|error| error.kind());
    lines.push(format!("FIXED_FILE {outcome:?}\n"));
    let mut probe = Probe::new();
    let submitter = ring.submitter();
    let registered = [
        ("probe", submitter.register_probe(&mut probe)),
        ("files", submitter.register_files(&[0])),
        ("personality", submitter.register_personality().map(drop)),
        ("enable", submitter.register_enable_rings()),
    ];
    for (what, outcome) in registered {
        lines.push(format!(
            "{what} {:?}\n",
            outcome.map_err(|error| error.kind())
        ));
    }
    lines.concat()
}

/// The descriptor of the only ring.
fn ring_of_server() -> Option<RawFd> {
    (0..64).find(|fd| {
        let link = readlink(format!("/proc/self/fd/{fd}"), Vec::new());
        link.is_ok_and(|link| link.as_bytes() == b"anon_inode:[io_uring]")
    })
}

/// Has a request performed, and returns its result. Leaves all results to the server.
fn submit(ring: &mut IoUring, request: squeue::Entry) -> io::Result<i32> {
    let before = ignored(ring).len();
    // SAFETY: callers keep what the request points at until it has completed.
    unsafe { ring.submission().push(&request.user_data(IGNORED)) }.expect("room");
    // What may wait for something gives no result, and is not waited for.
    ring.submit()?;
    match ignored(ring).get(before) {
        Some(result @ 0..) => Ok(*result),
        Some(errno) => Err(io::Error::from_raw_os_error(-errno)),
        None => Ok(0),
    }
}

/// The results so far of requests that the server ignores.
fn ignored(ring: &mut IoUring) -> Vec<i32> {
    let mut entries = ring.completion();
    let ours = entries.by_ref().filter(|one| one.user_data() == IGNORED);
    let results = ours.map(|one| one.result()).collect();
    // Dropped, it would take them away.
    forget(entries);
    results
}

/// Makes a ring and asks it for what an attacker would want. Returns what each came to.
pub fn with_new_ring(root: &Path, outside: SocketAddrV4) -> String {
    let path = |name: &str| CString::new(root.join(name).as_os_str().as_bytes()).expect("no NUL");
    let (page, victim) = (path("page"), path("victim"));
    let [made, directory, link, linked, moved] =
        ["made", "directory", "link", "linked", "moved"].map(path);
    let file = File::open(root.join("page")).expect("served");
    let (to, here) = (
        address(outside),
        address(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)),
    );
    let sockets = [(); 3].map(|()| socket(AddressFamily::INET, SocketType::STREAM, None));
    let [one, two, three] = sockets.map(|socket| socket.expect("a socket"));
    let (how, mut statx) = (types::OpenHow::new(), [0_u64; 32]);
    let fd = |fd: &dyn AsRawFd| types::Fd(fd.as_raw_fd());
    let cwd = types::Fd(CWD.as_raw_fd());
    let (p, v, passwd) = (page.as_ptr(), victim.as_ptr(), c"/etc/passwd".as_ptr());
    let (xattr, m) = (c"user.evserve".as_ptr(), made.as_ptr());
    let requests = [
        ("openat what is served", opcode::OpenAt::new(cwd, p).build()),
        ("openat", opcode::OpenAt::new(cwd, passwd).build()),
        (
            "openat2",
            opcode::OpenAt2::new(cwd, passwd, &raw const how).build(),
        ),
        (
            "openat to write",
            opcode::OpenAt::new(cwd, p).flags(1).build(),
        ),
        (
            "openat to create",
            opcode::OpenAt::new(cwd, m).flags(0o101).mode(0o600).build(),
        ),
        (
            "mkdirat",
            opcode::MkDirAt::new(cwd, directory.as_ptr()).build(),
        ),
        (
            "symlinkat",
            opcode::SymlinkAt::new(cwd, p, link.as_ptr()).build(),
        ),
        (
            "linkat",
            opcode::LinkAt::new(cwd, p, cwd, linked.as_ptr()).build(),
        ),
        (
            "renameat",
            opcode::RenameAt::new(cwd, v, cwd, moved.as_ptr()).build(),
        ),
        ("unlinkat", opcode::UnlinkAt::new(cwd, p).build()),
        (
            "connect",
            opcode::Connect::new(fd(&one), to.as_ptr().cast(), 16).build(),
        ),
        (
            "bind",
            opcode::Bind::new(fd(&two), here.as_ptr().cast(), 16).build(),
        ),
        ("socket", opcode::Socket::new(2, 1, 0).build()),
        ("listen", opcode::Listen::new(fd(&three), 1).build()),
        (
            "statx",
            opcode::Statx::new(cwd, passwd, statx.as_mut_ptr().cast()).build(),
        ),
        (
            "fsetxattr",
            opcode::FSetXattr::new(fd(&file), xattr, p.cast(), 1).build(),
        ),
    ];
    // All that the requests point at lives as long as this function.
    let lines = requests.map(|(what, request)| match perform(&request) {
        Ok(()) => format!("{what}: done\n"),
        Err(error) => format!("{what}: {:?}\n", error.kind()),
    });
    lines.concat()
}

/// A sockaddr_in (ip(7)).
fn address(address: SocketAddrV4) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&2_u16.to_ne_bytes());
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    bytes[4..8].copy_from_slice(&address.ip().octets());
    bytes
}

/// Has a request performed by a new ring.
fn perform(request: &squeue::Entry) -> io::Result<()> {
    let mut ring = IoUring::new(8)?;
    // SAFETY: the caller keeps what the request points at, and its end is waited for.
    unsafe { ring.submission().push(request) }.expect("room");
    ring.submit_and_wait(1)?;
    let result = ring.completion().next().expect("a result").result();
    match result {
        0.. => Ok(()),
        errno => Err(io::Error::from_raw_os_error(-errno)),
    }
}
