//! A fixed number of threads, each with one client at a time.

use super::blocking;
use std::{io, net::TcpListener, thread};

const THREADS: usize = 4;

pub fn serve(listener: &TcpListener) -> io::Result<()> {
    thread::scope(|scope| {
        for _ in 1..THREADS {
            scope.spawn(|| blocking::serve(listener));
        }
        blocking::serve(listener)
    })
}
