//! A server that records itself: this program, started again.

use super::forgetful;
use evserve::recording::Contents;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Says to the started program what to be.
const ROLE: &str = "EVSERVE_LESSON_SERVER";

/// Servers that read once for each event, and are no models of evserve: edge- and level-triggered.
pub const FORGETFUL: [&str; 2] = ["forgetful-edge", "forgetful-level"];

/// Serves, if this program was started as a server.
pub fn serve_if_asked() -> Option<ExitCode> {
    match std::env::var(ROLE).ok()?.as_str() {
        role if FORGETFUL.contains(&role) => Some(forgetful::main(role == FORGETFUL[0])),
        _ => Some(evserve::program::run(None)),
    }
}

/// A running server.
pub struct Server {
    child: Child,
    log: BufReader<ChildStderr>,
    file: PathBuf,
    pub address: SocketAddr,
    is_forgetful: bool,
    is_stopping: AtomicBool,
}

impl Server {
    /// Starts a server that records to a file in the folder.
    pub fn start(options: &str, folder: &Path) -> Server {
        let file = folder.join("recording");
        let is_forgetful = FORGETFUL.contains(&options);
        let mut command = Command::new(std::env::current_exe().expect("a program"));
        command.env(ROLE, if is_forgetful { options } else { "evserve" });
        command.args(options.split_whitespace().filter(|_| !is_forgetful));
        command.arg("--record").arg(&file);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("started");
        let mut log = BufReader::new(child.stderr.take().expect("piped"));
        let (mut address, mut line) = (None, String::new());
        while !line.contains("Press Ctrl-C") {
            line.clear();
            let read = log.read_line(&mut line).expect("text");
            assert!(read > 0, "the server has ended: {options}");
            let found = line.split("127.0.0.1:").nth(1).map(|rest| {
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
                digits.unwrap_or_default().parse::<u16>()
            });
            if let Some(Ok(port)) = found.filter(|_| address.is_none()) {
                address = Some(SocketAddr::from(([127, 0, 0, 1], port)));
            }
        }
        let address = address.expect("it names its address");
        Server {
            child,
            log,
            file,
            address,
            is_forgetful,
            is_stopping: AtomicBool::new(false),
        }
    }

    /// Sends SIGTERM.
    pub fn stop(&self) {
        self.is_stopping.store(true, Relaxed);
        let process = Pid::from_raw(self.child.id() as i32).expect("a process");
        kill_process(process, Signal::TERM).expect("it runs");
    }

    /// Ends the server, and reads its recording.
    pub fn end(mut self) -> Contents {
        drop(self.child.stdin.take());
        // A second signal would stop it at once.
        if !self.is_forgetful && !self.is_stopping.load(Relaxed) {
            self.stop();
        }
        let mut line = String::new();
        while self.log.read_line(&mut line).is_ok_and(|count| count > 0) {}
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}: {line}");
        let bytes = std::fs::read(&self.file).expect("a recording");
        Contents::from_bytes(&bytes).expect("a recording")
    }
}
