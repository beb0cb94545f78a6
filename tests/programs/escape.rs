//! Tries to escape from the sandbox. A server with a service of its own confines itself as evserve
//! does, and at a request makes the calls that an attacker would make who had taken over the
//! process: at `/try` system calls, at `/ring` operations on the server's ring, at `/new-ring` on a
//! ring of its own.
//!
//! escape MODEL WORKERS confined|free|registered ROOT OUTSIDE PROCESS SOCKET

mod ring_operations;

use evserve::config::{Config, Confinement, Sandbox, UringFds};
use evserve::http1::Request;
use evserve::service::http;
use evserve::session::Time;
use evserve::{Fallback, PartialHandler, Response, Server, Sharing, cli};
use log::LevelFilter;
use rustix::process::{Pid, test_kill_process};
use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::{env, error::Error};

struct Escape {
    root: PathBuf,
    /// The address of a server outside.
    outside: String,
    /// The id of a process that is not the server's.
    process: i32,
    /// The name of an abstract socket on which that process listens (unix(7)).
    socket: String,
}

impl PartialHandler for Escape {
    fn try_respond(&self, request: &Request<'_>, _: &Time) -> Option<Response> {
        let tried = match request.target.path {
            b"/try" => self.try_all(),
            b"/ring" => ring_operations::with_ring_of_server(),
            b"/new-ring" => {
                let outside = self.outside.parse().expect("an address");
                ring_operations::with_new_ring(&self.root, outside)
            }
            _ => return None,
        };
        Some(Response::text(tried))
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }
}

impl Escape {
    fn try_all(&self) -> String {
        let page = self.root.join("page");
        let append = || File::options().append(true).open(&page);
        let victim = Pid::from_raw(self.process).expect("a process");
        let socket = SocketAddr::from_abstract_name(&self.socket).expect("a name");
        let outcomes = [
            ("read what is served", fs::read(&page).map(drop)),
            ("read a file", File::open("/etc/passwd").map(drop)),
            ("list a directory", fs::read_dir("/").map(drop)),
            ("make a file", File::create(self.root.join("new")).map(drop)),
            ("change a file", append().map(drop)),
            ("remove a file", fs::remove_file(self.root.join("victim"))),
            ("execute", Command::new("/bin/true").status().map(drop)),
            ("connect", TcpStream::connect(&self.outside).map(drop)),
            ("listen", TcpListener::bind("127.0.0.1:0").map(drop)),
            ("signal", test_kill_process(victim).map_err(io::Error::from)),
            ("reach", UnixStream::connect_addr(&socket).map(drop)),
        ];
        let lines = outcomes.map(|(what, outcome): (_, io::Result<()>)| match outcome {
            Ok(()) => format!("{what}: done\n"),
            Err(error) => format!("{what}: {:?}\n", error.kind()),
        });
        lines.concat()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [model, workers, how, root, outside, process, socket] = &arguments[..] else {
        return Err("see the header".into());
    };
    cli::start_operator_log(LevelFilter::Info);
    let (workers, process) = (workers.parse()?, process.parse()?);
    let (root, outside, socket) = (PathBuf::from(root), outside.clone(), socket.clone());
    let make = {
        let root = root.clone();
        move |config: &Config| {
            let escape = Escape {
                root: root.clone(),
                outside: outside.clone(),
                socket: socket.clone(),
                process,
            };
            let handler = Fallback::new(escape, http::files(config)?);
            Ok(http::service(handler, config))
        }
    };
    let server = Server::builder()
        .configure(|config| {
            (config.root, config.workers) = (root, workers);
            if how == "registered" {
                config.uring.fds = UringFds::Ring;
            }
        })
        .model(model)
        .listen("127.0.0.1:0", make)?
        .start()?;
    server.confine(&Confinement {
        user: None,
        sandbox: match how.as_str() {
            "confined" => Sandbox::Strict,
            _ => Sandbox::Off,
        },
    })?;
    println!("listening at {}", server.local_addresses()[0]);
    Ok(server.run()?)
}
