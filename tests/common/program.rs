//! Starts evserve or an example as a child process.

use super::{Client, PATIENCE, Response, wait_for_exit};
use evserve::model::find;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::Once;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

/// The last line that evserve logs before it serves.
pub const READY: &str = "Press Ctrl-C to stop";

/// What stands before an address that evserve logs, and before a command to try it.
const INDENTED: &str = "[evserve]   ";

/// The address that a line of the log shows, without the scheme and the path of a URL.
pub fn address_in(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(INDENTED)?;
    let address = rest.split("   ").next()?;
    let address = address.trim_start_matches("http://");
    let address = address
        .trim_start_matches("https://")
        .trim_start_matches("tls:");
    Some(address.trim_end_matches('/'))
}

/// The options of `EVSERVE_OPTIONS`, if they are for this model: the one that `EVSERVE_MODEL` names,
/// or else each that has all of them.
pub fn more_options(model: &str) -> Option<String> {
    let options = std::env::var("EVSERVE_OPTIONS").ok()?;
    let is_for_it = match std::env::var("EVSERVE_MODEL") {
        Ok(only) => only == model,
        Err(_) => find(model).is_some_and(|row| {
            let mut given = options
                .split_whitespace()
                .filter_map(|word| word.strip_prefix("--"));
            given.all(|option| row.options.contains(&option))
        }),
    };
    is_for_it.then_some(options)
}

/// A program to start: itself, or through another program such as strace.
pub struct Program {
    /// The program and its arguments.
    words: Vec<OsString>,
    /// An example prints its address to standard output.
    is_example: bool,
    /// More options. They give way to those in `words`.
    more: String,
    /// Environment and directory; the program and its arguments are in `words`.
    settings: Command,
    stdin: Option<Stdio>,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

impl Program {
    fn new(program: impl Into<OsString>, is_example: bool) -> Program {
        Program {
            words: vec![program.into()],
            is_example,
            more: String::new(),
            settings: Command::new(""),
            stdin: None,
            stdout: None,
            stderr: None,
        }
    }

    /// evserve. Options are separated by spaces.
    pub fn evserve(options: &str) -> Program {
        let own = std::env::var_os("EVSERVE_PROGRAM");
        let program = own.unwrap_or(env!("CARGO_BIN_EXE_evserve").into());
        Program::new(program, false).options(options)
    }

    /// evserve with a model, and with the options of `EVSERVE_OPTIONS` if they are for it.
    pub fn model(model: &str, options: &str) -> Program {
        let mut program = Program::evserve("--model").args([model]).options(options);
        program.more = more_options(model).unwrap_or_default();
        program
    }

    /// The program of `docs/examples/model.rs`, which has a model of its own.
    pub fn own_model(options: &str) -> Program {
        Program::new(example("model"), false).options(options)
    }

    pub fn example(name: &str) -> Program {
        Program::new(example(name), true)
    }

    /// Adds options, separated by spaces.
    pub fn options(self, options: &str) -> Program {
        self.args(options.split_whitespace())
    }

    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Program {
        let arguments = arguments.into_iter();
        self.words
            .extend(arguments.map(|argument| argument.as_ref().into()));
        self
    }

    pub fn arg(self, argument: impl AsRef<OsStr>) -> Program {
        self.args([argument])
    }

    /// Starts it through another program, which gets its command line as last arguments.
    pub fn run_by(mut self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Program {
        let words = words.into_iter().map(|word| word.as_ref().into());
        self.words.splice(0..0, words);
        self
    }

    /// Starts it through a shell script, which runs it as `"$@"`.
    pub fn in_shell(self, script: &str) -> Program {
        self.run_by(["bash", "-c", script, "bash"])
    }

    /// Passes a socket to it as descriptor 3, as systemd does (sd_listen_fds(3)).
    pub fn inherits(self, socket: impl Into<OwnedFd>) -> Program {
        // LISTEN_PID must be the id of the new process. Only that process knows it, so a shell sets
        // the variable and then becomes the program.
        let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
        self.in_shell(script).stdin(socket.into())
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Program {
        self.settings.env(name, value);
        self
    }

    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Program {
        self.settings.current_dir(directory);
        self
    }

    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Program {
        self.stdin = Some(stdin.into());
        self
    }

    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Program {
        self.stdout = Some(stdout.into());
        self
    }

    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Program {
        self.stderr = Some(stderr.into());
        self
    }

    /// Builds the command. Unless set otherwise, input is empty and output goes to pipes.
    fn command(self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        for option in self.more.split("--").skip(1) {
            let words: Vec<_> = option.split_whitespace().collect();
            let name = format!("--{}", words[0]);
            if !self.words.iter().any(|word| *word == *name) {
                command.arg(name).args(&words[1..]);
            }
        }
        for (name, value) in self.settings.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = self.settings.get_current_dir() {
            command.current_dir(directory);
        }
        command.stdin(self.stdin.unwrap_or_else(Stdio::null));
        command.stdout(self.stdout.unwrap_or_else(Stdio::piped));
        command.stderr(self.stderr.unwrap_or_else(Stdio::piped));
        command
    }

    /// Runs it until it exits.
    pub fn output(self) -> Output {
        self.command().output().expect("it starts")
    }

    /// Runs it, checks that it exits with `code`, and returns its standard error.
    pub fn fails(self, code: i32) -> String {
        let words = self.words.clone();
        let output = self.output();
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        said
    }

    /// Starts it and waits until it serves. Its output must be a pipe.
    pub fn start(self) -> Evserve {
        let is_example = self.is_example;
        let mut evserve = self.spawn();
        match is_example {
            true => evserve.read_address(),
            false => evserve.wait_until_ready(),
        }
        evserve
    }

    pub fn spawn(self) -> Evserve {
        let mut child = self.command().spawn().expect("it starts");
        let (sender, log) = channel();
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Evserve {
            stdout: child.stdout.take().map(BufReader::new),
            child,
            log,
            seen: Vec::new(),
            searched: 0,
            addresses: Vec::new(),
            udp: Vec::new(),
        }
    }
}

/// The path of an example's program. Builds the examples first: `cargo test --test wire` does not.
fn example(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let mut command = Command::new(env!("CARGO"));
        command.args(["build", "--quiet", "--locked", "--examples"]);
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        if cfg!(feature = "tokio") {
            command.args(["--features", "tokio"]);
        }
        assert!(command.status().expect("cargo is there").success());
    });
    let program = Path::new(env!("CARGO_BIN_EXE_evserve"));
    let directory = program.parent().expect("a directory");
    directory.join("examples").join(name)
}

/// A running evserve or example. Dropping it kills the process.
pub struct Evserve {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    /// Log lines that were not received yet.
    log: Receiver<String>,
    seen: Vec<String>,
    /// How many lines of `seen` [`Evserve::wait_for_log`] has searched.
    searched: usize,
    /// The TCP addresses, in the order in which they were logged.
    pub addresses: Vec<SocketAddr>,
    /// The UDP addresses, in the same order.
    pub udp: Vec<SocketAddr>,
}

/// The exit status and the output of an evserve that has exited.
pub struct Ended {
    pub status: ExitStatus,
    pub log: String,
    pub access_log: String,
}

impl Evserve {
    /// Serves `root` over HTTP on a free port.
    pub fn http(model: &str, root: &Path, options: &[&str]) -> Evserve {
        let program = Program::model(model, "--mode http --listen 127.0.0.1:0");
        program.arg(root).args(options).start()
    }

    /// Serves echo on a free port.
    pub fn echo(model: &str, options: &[&str]) -> Evserve {
        let program = Program::model(model, "--mode echo --listen 127.0.0.1:0");
        program.args(options).start()
    }

    /// Starts evserve with a model and waits until it serves.
    pub fn start(model: &str, options: &[&str]) -> Evserve {
        Program::model(model, "").args(options).start()
    }

    /// Waits until it serves, if it was [spawned](Program::spawn).
    pub fn wait_until_ready(&mut self) {
        self.wait_for_log(READY);
        self.searched = 0;
        for line in &self.seen {
            let Some(address) = address_in(line) else {
                continue;
            };
            let (list, address) = match address.strip_prefix("udp:") {
                Some(udp) => (&mut self.udp, udp),
                None => (&mut self.addresses, address),
            };
            // A URL with the loopback of IPv6 has its name.
            let address = address.replace("localhost", "[::1]").parse::<SocketAddr>();
            // A listener on all addresses is shown with each of them. The first is enough.
            let is_more = |address: &SocketAddr| {
                let last = list.last().map(SocketAddr::port);
                line.contains("visible to others") && last == Some(address.port())
            };
            list.extend(address.ok().filter(|address| !is_more(address)));
        }
    }

    fn read_address(&mut self) {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().expect("piped");
        stdout.read_line(&mut line).expect("a line");
        let address = line.trim().rsplit(' ').next().expect("an address");
        self.addresses = vec![address.parse().expect("an address")];
    }

    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// Sends one request on a new connection.
    pub fn get(&self, path: &str) -> Response {
        let mut client = self.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        client.response()
    }

    /// Sends one request with these fields on a new connection, which ends with the response.
    pub fn ask(&self, method: &str, target: &str, fields: &[&str]) -> Response {
        let mut client = self.connect();
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        client.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n"
        ));
        let mut response = client.head();
        response.body = client.rest();
        response
    }

    /// The lines that it logged before it served.
    pub fn startup_log(&self) -> &[String] {
        let is_last = |line: &String| line.contains(READY);
        let end = self.seen.iter().position(is_last).expect("it serves");
        &self.seen[..=end]
    }

    /// Writes `bytes` to its standard input and closes that. Standard input must be a pipe.
    pub fn write_stdin(&mut self, bytes: &[u8]) {
        let mut stdin = self.child.stdin.take().expect("piped, and not closed yet");
        stdin.write_all(bytes).expect("it reads");
    }

    /// The next line of the log. Returns `None` at its end.
    pub fn next_line(&mut self) -> Option<String> {
        match self.log.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.seen.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("no log line and no end; the log: {:#?}", self.seen)
            }
        }
    }

    /// Waits for the next line of the log that contains `text`. The search starts behind the line
    /// that the last call returned.
    pub fn wait_for_log(&mut self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            if self.searched == self.seen.len() {
                let left = end.saturating_duration_since(Instant::now());
                let line = self.log.recv_timeout(left).unwrap_or_else(|error| {
                    panic!(
                        "no log line with {text:?} ({error}); the log: {:#?}",
                        self.seen
                    )
                });
                self.seen.push(line);
            }
            let line = &self.seen[self.searched];
            self.searched += 1;
            if line.contains(text) {
                return line.clone();
            }
        }
    }

    /// Sends a signal. After SIGSTOP, waits until all threads have stopped.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
        while signal == Signal::STOP && !self.is_stopped() {
            std::thread::yield_now();
        }
    }

    /// True if all threads are stopped (proc(5), `/proc/pid/task/tid/stat`).
    fn is_stopped(&self) -> bool {
        let tasks = format!("/proc/{}/task", self.id());
        std::fs::read_dir(tasks).expect("it runs").all(|task| {
            let stat = task.expect("an entry").path().join("stat");
            let stat = std::fs::read_to_string(stat).unwrap_or_default();
            let after_name = stat.rsplit_once(") ");
            after_name.is_none_or(|(_, rest)| rest.starts_with('T'))
        })
    }

    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGTERM to the child of strace, which does not forward signals.
    pub fn terminate_traced(&self) {
        let children = format!("/proc/{0}/task/{0}/children", self.id());
        let child = std::fs::read_to_string(children).expect("it runs");
        let child = child.trim().parse().ok().and_then(Pid::from_raw);
        kill_process(child.expect("one child"), Signal::TERM).expect("it runs");
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Waits for the exit and ignores the output.
    pub fn status(&mut self) -> ExitStatus {
        wait_for_exit(&mut self.child)
    }

    /// Waits until it exits, for whatever reason, and reads its output.
    pub fn wait(&mut self) -> Ended {
        let mut access_log = String::new();
        if let Some(mut stdout) = self.stdout.take() {
            stdout.read_to_string(&mut access_log).expect("text");
        }
        let status = self.child.wait().expect("a child");
        self.seen.extend(self.log.iter());
        Ended {
            status,
            log: self.seen.join("\n"),
            access_log,
        }
    }

    /// Stops it with SIGTERM and checks that it exits with success.
    pub fn stop(mut self) -> Ended {
        self.terminate();
        let ended = self.wait();
        assert!(ended.status.success(), "{}", ended.log);
        ended
    }

    /// A number from /proc/PID/status, in the unit used there.
    pub fn proc_status(&self, key: &str) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status.lines().find(|line| line.starts_with(key));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        value.and_then(|v| v.parse().ok()).expect("a number")
    }
}

impl Drop for Evserve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
