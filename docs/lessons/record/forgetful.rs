//! A server of echo that reads once for each event, as `minimal/epoll.rs` does. Edge-triggered, this
//! is a mistake. It records itself.

use evserve::poller::{EdgeEpoll, LevelEpoll, Poller, ReadySet};
use evserve::recording::{self, End, Event, Kind, NEVER, Reason, Syscall};
use evserve::session::BUFFER_SIZE;
use evserve::{sys, trace};
use rustix::net::SocketFlags;
use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

const LISTENER: usize = usize::MAX;
const STOP: usize = usize::MAX - 1;

pub fn main(is_edge_triggered: bool) -> ExitCode {
    let file = std::env::args().nth(2).expect("a file");
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock");
    let facts = vec![("model".into(), "epoll".into())];
    recording::prepare(4096, wall, facts).expect("memory");
    trace::start_recording().expect("there is memory");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    eprintln!("{}", listener.local_addr().expect("an address"));
    eprintln!("Press Ctrl-C");
    match is_edge_triggered {
        true => serve::<EdgeEpoll>(&listener),
        false => serve::<LevelEpoll>(&listener),
    }
    .expect("served");
    let contents = recording::snapshot().expect("a recording");
    std::fs::write(file, contents.to_bytes()).expect("written");
    ExitCode::SUCCESS
}

/// Serves until standard input ends.
fn serve<P: Poller>(listener: &TcpListener) -> io::Result<()> {
    let mut poller = P::new(64)?;
    let (none, input) = (ReadySet::NONE, ReadySet::READABLE);
    poller.change(listener.as_fd(), LISTENER, none, input)?;
    poller.change(io::stdin().as_fd(), STOP, none, input)?;
    let mut clients: HashMap<usize, OwnedFd> = HashMap::new();
    let mut found = Vec::new();
    loop {
        wait(&mut poller, &mut found)?;
        for (key, _) in found.drain(..) {
            match key {
                STOP => return Ok(()),
                LISTENER => {
                    note_found(listener.as_raw_fd(), recording::Source::Listener);
                    let (client, _) = sys::accept(listener, SocketFlags::NONBLOCK)?;
                    let key = client.as_raw_fd() as usize;
                    trace::note_opened(client.as_raw_fd());
                    trace::note_state("accepted", "echoing");
                    poller.change(client.as_fd(), key, none, input)?;
                    trace::note_turn(client.as_raw_fd(), || {}, String::new);
                    note_stop(client.as_raw_fd());
                    clients.insert(key, client);
                }
                _ => {
                    note_found(key as i32, recording::Source::Connection);
                    if !answer(&clients[&key]) {
                        trace::note_closed(key as i32, || End::PeerEnded);
                        clients.remove(&key);
                    }
                }
            }
        }
    }
}

/// Sends back what one read brings. Here is the mistake: there may be more. Returns false when the
/// client is gone.
fn answer(client: &OwnedFd) -> bool {
    let fd = client.as_raw_fd();
    trace::note_turn(fd, || {}, String::new);
    let mut buffer = [0; BUFFER_SIZE];
    let goes_on = match sys::receive(client, &mut buffer) {
        Ok(0) | Err(_) => false,
        Ok(count) => sys::send(client, &buffer[..count], &[], false).is_ok(),
    };
    if goes_on {
        note_stop(fd);
    }
    goes_on
}

fn wait(poller: &mut impl Poller, found: &mut Vec<(usize, ReadySet)>) -> io::Result<()> {
    trace::note_wait(Syscall::EpollWait, -1, || None, |limit| limit);
    let call = trace::call(Syscall::EpollWait, -1);
    let result = poller.wait(None, found);
    call.returned(&Ok(found.len()), String::new, usize::to_string);
    result
}

fn note_found(fd: i32, source: recording::Source) {
    trace::record(|| Event {
        code: source as u8,
        detail: ReadySet::READABLE.bits().into(),
        ..Event::new(Kind::Found, fd)
    });
}

fn note_stop(fd: i32) {
    trace::record(|| Event {
        code: Reason::Receive as u8,
        extra: NEVER,
        ..Event::new(Kind::Stop, fd)
    });
}
