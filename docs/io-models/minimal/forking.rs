//! A process for each client.
#![allow(unsafe_code)]

use super::client;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use std::{io, net::TcpListener, process::exit};

pub fn serve(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept()?;
        // SAFETY: there is one thread, so the child can go on as the parent would.
        match unsafe { fork() }? {
            ForkResult::Child => exit(client::serve(client).is_err().into()),
            ForkResult::Parent { .. } => drop(client), // The child has it.
        }
        reap();
    }
}

/// Collects the children that have ended: until then each keeps its entry in the kernel's table.
fn reap() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            break;
        }
    }
}
