//! Output that is not read delays neither requests nor shutdown.

use crate::common::{Evserve, PATIENCE, Program, on_every_model};
use nix::sys::termios::{FlowArg, tcflow};
use rustix::io::{Errno, ioctl_fionbio, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A server whose log the test does not read. It is found at the path of its socket.
struct Server {
    evserve: Evserve,
    path: std::path::PathBuf,
    _directory: tempfile::TempDir,
}

impl Server {
    fn start(model: &str, options: &[&str], stdout: Stdio, stderr: Stdio) -> Server {
        Server::serve(model, "docs/site", options, stdout, stderr)
    }

    fn serve(model: &str, root: &str, options: &[&str], stdout: Stdio, stderr: Stdio) -> Server {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let listen = format!("unix:{}", path.display());
        let program = Program::model(model, "--listen").args([&listen, root]);
        Server {
            evserve: program.args(options).stdout(stdout).stderr(stderr).spawn(),
            path,
            _directory: directory,
        }
    }

    fn connect(&self) -> UnixStream {
        let end = Instant::now() + PATIENCE;
        loop {
            match UnixStream::connect(&self.path) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                    return stream;
                }
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends requests with log lines of 4 KB, each on a new connection.
    fn send_requests(&self, requests: usize) {
        let agent = "x".repeat(4000);
        let request = format!("GET /none HTTP/1.0\r\nUser-Agent: {agent}\r\n\r\n");
        for _ in 0..requests {
            let mut stream = self.connect();
            stream.write_all(request.as_bytes()).expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("answered");
            assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        }
    }
}

fn copy(fd: &OwnedFd) -> Stdio {
    fd.try_clone().expect("one more").into()
}

/// A full pipe: its reader, and its writer, which would block.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    fill(&writer);
    (reader, writer)
}

fn socket_pair() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = UnixStream::pair().expect("a pair");
    (reader.into(), writer.into())
}

fn full_socket() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = socket_pair();
    fill(&writer);
    (reader, writer)
}

fn fill(writer: &OwnedFd) {
    ioctl_fionbio(writer, true).expect("open");
    for size in [4096, 1] {
        while write(writer, &[b'x'; 4096][..size]).is_ok() {}
    }
    ioctl_fionbio(writer, false).expect("open");
}

/// A stopped terminal, as after Ctrl-S.
fn stopped_terminal() -> (OwnedFd, OwnedFd) {
    let (master, slave) = crate::common::terminal();
    tcflow(&slave, FlowArg::TCOOFF).expect("stopped");
    (master, slave)
}

/// A full FIFO, as with `2>fifo` in a shell.
fn full_fifo(directory: &Path) -> (OwnedFd, OwnedFd) {
    let path = directory.join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).expect("made");
    let open = |options: &mut std::fs::OpenOptions| options.open(&path).expect("opened");
    let reader = open(std::fs::OpenOptions::new().read(true).write(true)).into();
    let writer = open(std::fs::OpenOptions::new().write(true)).into();
    fill(&writer);
    (reader, writer)
}

/// Runs a case with each kind of output as standard output and as standard error. The reader stays
/// open, so that writing would block.
fn each_unread_output(mut case: impl FnMut(&str, Stdio, Stdio)) {
    let fifos = tempfile::tempdir().expect("a directory");
    let (_reader, pipe) = full_pipe();
    case("stderr: a full pipe", Stdio::null(), copy(&pipe));
    let (_reader, pipe) = full_pipe();
    case("both: one full pipe", copy(&pipe), copy(&pipe));
    let (_reader, fifo) = full_fifo(fifos.path());
    case("both: one full FIFO", copy(&fifo), copy(&fifo));
    let (_reader, socket) = full_socket();
    case("stderr: a full socket", Stdio::null(), copy(&socket));
    let (_reader, socket) = socket_pair();
    case("stdout: a socket", copy(&socket), Stdio::null());
    let (_reader, socket) = socket_pair();
    case("both: one socket", copy(&socket), copy(&socket));
    let (_master, terminal) = stopped_terminal();
    case("stderr: a stopped terminal", Stdio::null(), copy(&terminal));
    let (_master, terminal) = stopped_terminal();
    case("both: a stopped terminal", copy(&terminal), copy(&terminal));
}

#[test]
fn unread_output_delays_neither_requests_nor_shutdown() {
    on_every_model(|model| {
        each_unread_output(|name, stdout, stderr| {
            eprintln!("{name}");
            let mut server = Server::start(model, &[], stdout, stderr);
            server.send_requests(70);
            server.evserve.signal(Signal::HUP);
            server.send_requests(1);
            server.evserve.signal(Signal::TERM);
            let status = server.evserve.status();
            assert!(status.success(), "{model}, {name}: {status:?}");
        });
    });
}

/// A connection that does not end by itself, and repeated signals.
#[test]
fn unread_output_does_not_delay_a_second_signal() {
    on_every_model(|model| {
        let root = tempfile::tempdir().expect("a directory");
        let file = std::fs::File::create(root.path().join("huge")).expect("made");
        file.set_len(1 << 30).expect("sparse");
        let root = root.path().to_str().expect("UTF-8");
        each_unread_output(|name, stdout, stderr| {
            eprintln!("{name}");
            let options = ["--drain-timeout", "1h", "--trace-requests", "9999"];
            let mut server = Server::serve(model, root, &options, stdout, stderr);
            let mut stuck = server.connect();
            stuck
                .write_all(b"GET /huge HTTP/1.0\r\n\r\n")
                .expect("sent");
            stuck.read_exact(&mut [0; 9]).expect("answered");
            let end = Instant::now() + PATIENCE;
            while !server.evserve.has_ended() {
                assert!(
                    Instant::now() < end,
                    "{model}, {name}: the server does not end"
                );
                server.evserve.signal(Signal::TERM);
                std::thread::sleep(Duration::from_millis(20));
            }
            let status = server.evserve.status();
            assert!(status.success(), "{model}, {name}: {status:?}");
        });
    });
}

/// When a reader returns, the log says how many lines were lost.
#[test]
fn lost_lines_are_counted_in_the_log() {
    let (reader, pipe) = full_pipe();
    let options = ["--trace-requests", "1000000", "--access-log", "off"];
    let mut server = Server::start("epoll", &options, Stdio::null(), copy(&pipe));
    drop(pipe);
    server.send_requests(2000);
    let mut log = Vec::new();
    ioctl_fionbio(&reader, true).expect("open");
    let end = Instant::now() + PATIENCE;
    loop {
        let mut some = [0; 65536];
        match read(&reader, &mut some) {
            Ok(0) => break,
            Ok(count) => log.extend_from_slice(&some[..count]),
            Err(Errno::AGAIN) => {
                assert!(Instant::now() < end, "it does not end");
                let text = String::from_utf8_lossy(&log);
                if text.contains(" lines lost: the reader was too slow\n") {
                    server.evserve.signal(Signal::TERM);
                }
                server.try_request();
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(errno) => panic!("{errno}"),
        }
    }
    assert!(server.evserve.status().success());
    let text = String::from_utf8_lossy(&log);
    assert!(text.contains("served "), "the summary comes after it");
}

impl Server {
    /// Sends another request, which is logged, unless the server has ended.
    fn try_request(&self) {
        if let Ok(mut stream) = UnixStream::connect(&self.path) {
            let _ = stream.write_all(b"GET /none HTTP/1.0\r\n\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
}

#[test]
fn the_message_of_a_panic_does_not_block() {
    on_every_model(|model| {
        let (_reader, pipe) = full_pipe();
        let mut server = Program::example("faulty")
            .arg(model)
            .stderr(copy(&pipe))
            .start();
        for _ in 0..3 {
            let mut client = server.connect();
            client.send("panic now");
            client.wait_for_close();
        }
        let mut client = server.connect();
        client.send("x");
        assert_eq!(client.read(1), b"x", "{model}");
        drop(client);
        server.signal(Signal::TERM);
        assert!(server.status().success(), "{model}");
    });
}
