//! Some members flood a chat: members that read stay and get the lines of the others, and memory is
//! bounded.

use crate::common::{Evserve, PATIENCE, Program, on_every_shared_model};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, scope};
use std::time::Duration;

/// The receive buffer of a reader in bytes. It is small, so that unread lines wait in the server.
const RECEIVE_BUFFER: usize = 32 * 1024;

/// How many bytes of a flood each reader receives: more than a room keeps.
const FLOOD: u64 = 3 * 1024 * 1024;

/// How many lines a member sends during a flood, and how many members receive them.
const MARKERS: u32 = 10;
const READERS: usize = 3;

/// After this many bytes from others, a line that was not delivered is lost: far more than the
/// kernel and the server buffer for the sender and its readers.
const STARVED: u64 = 64 * 1024 * 1024;

/// One flood at a time uses a whole machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// How many members the test of members that do not read drops.
const NON_READERS: usize = 40;

fn chat(model: &str, options: &[&str]) -> Evserve {
    let options = [&["--mode", "chat", "--listen", "127.0.0.1:0"], options].concat();
    Evserve::start(model, &options)
}

/// Runs a case on every model in which members can reach each other, and on two loops.
fn on_every_room(case: impl Fn(&Evserve, &str)) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    on_every_shared_model(|model| case(&chat(model, &[]), model));
    case(
        &chat("epoll", &["--workers", "2"]),
        "epoll with two workers",
    );
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket
        .set_recv_buffer_size(RECEIVE_BUFFER)
        .expect("a socket");
    socket.connect(&address.into()).expect("evserve listens");
    socket.set_tcp_nodelay(true).expect("a socket");
    let stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

struct Reader {
    stream: TcpStream,
    heard: Arc<AtomicU64>,
    /// Lines with `marker` in them, and notices about members that were too slow. Ends when the
    /// server closes.
    lines: Receiver<String>,
}

impl Reader {
    fn start<'scope>(scope: &'scope Scope<'scope, '_>, address: SocketAddr) -> Reader {
        let stream = connect(address);
        let mut reads = stream.try_clone().expect("a socket");
        // A member that was greeted gets all later lines.
        reads.read_exact(&mut [0; 16]).expect("greeted");
        let (sender, lines) = channel();
        let heard = Arc::new(AtomicU64::new(0));
        let counter = heard.clone();
        scope.spawn(move || {
            let (mut buffer, mut part) = (vec![0; 65536], Vec::new());
            while let Ok(count @ 1..) = reads.read(&mut buffer) {
                counter.fetch_add(count as u64, SeqCst);
                part.extend_from_slice(&buffer[..count]);
                let end = part.iter().rposition(|byte| *byte == b'\n');
                let whole: Vec<u8> = part.drain(..end.map_or(0, |at| at + 1)).collect();
                for line in String::from_utf8(whole).expect("text").lines() {
                    if line.contains("marker") || line.contains("too slow") {
                        let _ = sender.send(line.to_owned());
                    }
                }
            }
        });
        Reader {
            stream,
            heard,
            lines,
        }
    }

    fn say(&mut self, line: &str) {
        self.stream
            .write_all(line.as_bytes())
            .expect("it is still there");
    }

    /// Waits for a line that contains `text`, as long as anything comes. On a busy machine
    /// megabytes may precede it.
    fn wait_for(&self, text: &str, about: &str) {
        let begin = self.heard.load(SeqCst);
        let mut before = begin;
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return,
                Ok(line) => assert!(line.contains("marker"), "{about}: {line}"),
                Err(error) => {
                    let heard = self.heard.load(SeqCst);
                    let goes_on = error == RecvTimeoutError::Timeout && heard > before;
                    let bytes = heard - begin;
                    assert!(
                        goes_on && bytes < STARVED,
                        "{about}: {text}: {error} after {bytes}"
                    );
                    before = heard;
                }
            }
        }
    }
}

/// Ends its thread also when the test fails.
impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Stops the flooders when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Sends the same bytes as fast as possible and reads what comes, until it is stopped.
fn flood(address: SocketAddr, said: &[u8], stopped: &AtomicBool) {
    let mut stream = connect(address);
    stream.set_nonblocking(true).expect("a socket");
    let mut place = 0;
    let mut buffer = vec![0; 65536];
    let patience = Timespec::try_from(Duration::from_millis(100)).expect("a time");
    while !stopped.load(SeqCst) {
        let mut watched = [PollFd::new(&stream, PollFlags::IN | PollFlags::OUT)];
        poll(&mut watched, Some(&patience)).expect("events");
        match stream.read(&mut buffer) {
            Ok(0) => panic!("a member that reads was dropped"),
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        match stream.write(&said[place..]) {
            Ok(count) => place = (place + count) % said.len(),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

/// Connects, sometimes sends something, and disconnects, until it is stopped.
fn connect_repeatedly(address: SocketAddr, _: &[u8], stopped: &AtomicBool) {
    for number in 0_u64.. {
        if stopped.load(SeqCst) {
            return;
        }
        let mut stream = connect(address);
        if number % 3 != 0 {
            // Once it is greeted, the others have their notice. The greeting may have to wait.
            let pause = Some(Duration::from_millis(100));
            stream.set_read_timeout(pause).expect("a socket");
            let _ = stream.read(&mut [0; 64]);
        }
        if number % 3 == 2 {
            let _ = stream.write_all(b"hello\n");
        }
        // A reset leaves no connection in TIME_WAIT, which would use up the ports.
        let reset = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        reset.expect("a socket");
    }
}

type Flood = fn(SocketAddr, &[u8], &AtomicBool);

/// While `flooders` members flood a room, one member sends a line now and then. The readers must
/// receive it.
fn check_during_flood(flooders: u8, flood: Flood, says: impl Fn(u8) -> Vec<u8>, least: u64) {
    on_every_room(|evserve, about| check_room(evserve, about, flooders, flood, &says, least));
}

/// Checks one server.
fn check_room(
    evserve: &Evserve,
    about: &str,
    flooders: u8,
    flood: Flood,
    says: impl Fn(u8) -> Vec<u8>,
    least: u64,
) {
    let (address, stopped) = (evserve.address(), AtomicBool::new(false));
    scope(|scope| {
        let _stop = Stop(&stopped);
        let mut readers: Vec<_> = (0..READERS + 1)
            .map(|_| Reader::start(scope, address))
            .collect();
        let mut speaker = readers.pop().expect("one more");
        speaker.say("marker of the beginning\n");
        readers
            .iter()
            .for_each(|one| one.wait_for("beginning", about));
        for number in 0..flooders {
            let (said, stopped) = (says(number), &stopped);
            scope.spawn(move || flood(address, &said, stopped));
        }
        let enough = |one: &Reader| one.heard.load(SeqCst) >= least;
        let mut said = 0;
        while said < MARKERS || !readers.iter().all(enough) {
            speaker.say(&format!("marker {said}.\n"));
            let marker = format!("marker {said}.");
            readers.iter().for_each(|one| one.wait_for(&marker, about));
            said += 1;
        }
    });
    let memory = evserve.proc_status("VmHWM");
    assert!(memory < 60_000, "{about}: {memory} KiB");
}

/// What a member of a flood of renames says.
fn renames(number: u8) -> Vec<u8> {
    let names = [b'x', b'y'].map(|c| format!("/nick flooder{number}{}\n", char::from(c)));
    names.concat().repeat(200).into_bytes()
}

#[test]
fn a_flood_of_renames_starves_no_member() {
    check_during_flood(5, flood, renames, FLOOD);
}

#[test]
fn a_flood_takes_no_buffers_that_single_receives_need() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let evserve = Program::evserve("--model io-uring --uring single --mode chat")
        .options("--listen 127.0.0.1:0")
        .start();
    check_room(&evserve, "single", 5, flood, renames, FLOOD);
}

#[test]
fn a_flood_of_lines_starves_no_member() {
    check_during_flood(10, flood, |_| b"it is me again\n".repeat(500), FLOOD);
}

#[test]
fn a_flood_of_one_byte_lines_starves_no_member() {
    check_during_flood(10, flood, |_| b"x\n".repeat(5000), FLOOD / 3);
}

#[test]
fn a_flood_of_the_longest_lines_starves_no_member() {
    let says = |_| [vec![b'x'; 4096], b"\r\n".to_vec()].concat().repeat(8);
    check_during_flood(10, flood, says, 3 * FLOOD);
}

#[test]
fn a_flood_of_commands_and_empty_lines_starves_no_member() {
    let says = |number| {
        let some =
            format!("/who\n\n\r\n \n/nick flooder{number}\n/nick a b\n/dance\n/nick f{number}\n\n");
        some.repeat(100).into_bytes()
    };
    check_during_flood(6, flood, says, FLOOD / 8);
    check_during_flood(6, flood, |_| b"\n".repeat(5000), 0);
}

#[test]
fn a_flood_of_connections_starves_no_member() {
    check_during_flood(6, connect_repeatedly, |_| Vec::new(), 64 * 1024);
}

/// Members that do not read are dropped, all of them, and delay the others only for a bounded time.
/// The memory of the room does not grow with their number.
#[test]
fn members_that_do_not_read_are_dropped() {
    on_every_room(|evserve, about| {
        let (address, stopped) = (evserve.address(), AtomicBool::new(false));
        scope(|scope| {
            let _stop = Stop(&stopped);
            let mut reader = Reader::start(scope, address);
            reader.say("/nick reader\n");
            let non_readers: Vec<_> = (0..NON_READERS).map(|_| connect(address)).collect();
            for mut one in &non_readers {
                // A member that was greeted has joined.
                one.read_exact(&mut [0; 16]).expect("greeted");
            }
            let line = b"a line of some length that everybody has to hear, again and again\n";
            for _ in 0..3 {
                let (said, stopped) = (line.repeat(200), &stopped);
                scope.spawn(move || flood(address, &said, stopped));
            }
            let mut dropped = 0;
            while dropped < NON_READERS {
                let line = reader.lines.recv_timeout(PATIENCE);
                let line =
                    line.unwrap_or_else(|error| panic!("{about}: {dropped} dropped, {error}"));
                assert!(!line.contains("reader"), "{about}: {line}");
                dropped += line.matches("guest").count();
            }
        });
        let memory = evserve.proc_status("VmHWM");
        assert!(memory < 40_000, "{about}: {memory} KiB");
    });
}
