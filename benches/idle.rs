//! What an idle connection costs under each model: `cargo bench --bench idle`. With `-- --write` the table goes into
//! docs/io-models.md.
//!
//! Each server answers one request on each of 500 connections, which then stay open and silent. Its memory before and
//! after is the sum of what is private to its processes (/proc/PID/smaps_rollup); what the kernel keeps for sockets,
//! threads and processes is not in it.

#![allow(missing_docs)]

use std::fs::{read_dir, read_to_string, write};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

const CONNECTIONS: usize = 500;

const BEGIN: &str = "<!-- idle:begin -->\n";
const END: &str = "<!-- idle:end -->\n";

/// What each model needs to hold that many connections at once.
const OPTIONS: &[(&str, &[&str])] = &[
    ("forking", &["--max-children", "500"]),
    ("pool", &["--threads", "500"]),
];

struct Server(Child, SocketAddr);

impl Server {
    fn start(model: &str, options: &[&str]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_evserve"))
            .args([
                "--model",
                model,
                "--listen",
                "127.0.0.1:0",
                "--idle-timeout",
                "10m",
            ])
            .args(options)
            .args(["--access-log", "off", "docs/site"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("evserve starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let line = lines.next().expect("a line").expect("text");
        let (_, place) = line.split_once("http://").expect("an address");
        let (address, _) = place.split_once('/').expect("an address");
        let address = address.parse().expect("an address");
        // The rest of what it says would otherwise end in a closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Server(child, address)
    }

    /// One request, after which the server keeps the connection if it ever does.
    fn connect(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.1).expect("it listens");
        stream
            .write_all(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
            .expect("sent");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut some = [0; 1024];
            let count = stream.read(&mut some).expect("received");
            assert!(count > 0, "it closed early");
            answer.extend_from_slice(&some[..count]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        stream
    }

    /// The server's process and its children.
    fn processes(&self) -> Vec<u32> {
        let id = self.0.id();
        let mut processes = vec![id];
        for entry in read_dir("/proc").expect("proc").filter_map(Result::ok) {
            let status = read_to_string(entry.path().join("status")).unwrap_or_default();
            if figure(&status, "PPid:") == u64::from(id) {
                processes.extend(
                    entry
                        .file_name()
                        .to_str()
                        .and_then(|name| name.parse::<u32>().ok()),
                );
            }
        }
        processes
    }

    fn threads(&self) -> usize {
        let tasks = |id: &u32| read_dir(format!("/proc/{id}/task")).map_or(0, Iterator::count);
        self.processes().iter().map(tasks).sum()
    }

    /// In bytes.
    fn private_memory(&self) -> u64 {
        // Pages that are not dirty are the program's own text, which others may share.
        let of = |id: &u32| {
            let rollup = read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
            1024 * figure(&rollup, "Private_Dirty:")
        };
        self.processes().iter().map(of).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let id = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

fn figure(text: &str, key: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(key));
    let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    value.unwrap_or(0)
}

fn row(model: &str) -> String {
    let options = OPTIONS
        .iter()
        .find(|(name, _)| *name == model)
        .map_or(&[][..], |(_, o)| o);
    let server = Server::start(model, options);
    // What the first request touches is not the connections' cost.
    drop(server.connect());
    std::thread::sleep(std::time::Duration::from_millis(300));
    let (memory, threads) = (server.private_memory(), server.threads());
    if model == "blocking" {
        return format!("| blocking | none: it holds one connection at a time | {threads} | 1 |");
    }
    let connections: Vec<_> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    let per_connection = server.private_memory().saturating_sub(memory) / CONNECTIONS as u64;
    let shown = match per_connection {
        0..10_000 => format!("{per_connection} B"),
        _ => format!("{:.1} KiB", per_connection as f64 / 1024.0),
    };
    let row = format!(
        "| {} | {shown} | {} | {} |",
        [&[model], options].concat().join(" "),
        server.threads(),
        server.processes().len()
    );
    drop(connections);
    row
}

fn main() {
    let rows: Vec<_> = evserve::model::MODELS
        .iter()
        .map(|model| row(model.name))
        .collect();
    let head = "| model | private memory per connection | threads | processes |\n| --- | --- | --- | --- |";
    let table = format!("{head}\n{}\n", rows.join("\n"));
    println!("{CONNECTIONS} idle keep-alive connections\n\n{table}");
    if std::env::args().any(|argument| argument == "--write") {
        let path = "docs/io-models.md";
        let text = read_to_string(path).expect("the page is there");
        let (before, rest) = text.split_once(BEGIN).expect("the page marks the place");
        let (_, after) = rest.split_once(END).expect("the page marks the place");
        write(path, format!("{before}{BEGIN}\n{table}\n{END}{after}")).expect("written");
    }
}
