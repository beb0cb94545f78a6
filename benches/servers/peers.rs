//! The servers: how to start each with one thread for requests, no access log, and its best
//! settings.

use super::lab::Outcome;
use super::lab::environment;
use std::env::{split_paths, var_os};
use std::fs::write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file server.
pub struct Peer {
    pub name: &'static str,
    program: &'static str,
    version: &'static str,
    /// How to install it.
    pub install: &'static str,
    configure: fn(&mut Command, &Place<'_>) -> std::io::Result<()>,
}

/// What to serve, and where.
pub struct Place<'a> {
    pub address: SocketAddr,
    pub root: &'a Path,
    /// A folder for its configuration and other files that it writes.
    pub folder: &'a Path,
}

pub const EVSERVE: &str = "evserve";

/// evserve with the model `io-uring`. Not every kernel and container permits it.
pub const EVSERVE_URING: &str = "evserve-io-uring";

/// Another build of evserve, named on the command line.
pub const BEFORE: &str = "before";

pub const PEERS: &[Peer] = &[
    Peer {
        name: EVSERVE,
        program: env!("CARGO_BIN_EXE_evserve"),
        version: "--version",
        install: "cargo build",
        configure: evserve,
    },
    Peer {
        name: EVSERVE_URING,
        program: env!("CARGO_BIN_EXE_evserve"),
        version: "--version",
        install: "cargo build",
        configure: evserve_uring,
    },
    Peer {
        name: "lighttpd",
        program: "lighttpd",
        version: "-v",
        install: "apt-get install lighttpd",
        configure: lighttpd,
    },
    Peer {
        name: "h2o",
        program: "h2o",
        version: "--version",
        install: "apt-get install h2o",
        configure: h2o,
    },
    Peer {
        name: "nginx",
        program: "nginx",
        version: "-v",
        install: "apt-get install nginx-light",
        configure: nginx,
    },
    Peer {
        name: "static-web-server",
        program: "static-web-server",
        version: "--version",
        install: "cargo install static-web-server",
        configure: static_web_server,
    },
];

impl Peer {
    /// Another build of evserve, to compare two commits in one run.
    pub fn before(program: &str) -> Peer {
        Peer {
            name: BEFORE,
            // Made once, and needed until the program ends.
            program: program.to_owned().leak(),
            version: "--version",
            install: "name a program that exists",
            configure: evserve,
        }
    }

    /// Its name and version; `None` if it is not installed.
    pub fn version(&self) -> Option<String> {
        let program = self.find()?;
        let said = environment::version(program.to_str()?, self.version)?;
        let begins = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
        let number = said
            .split([' ', '/'])
            .find(begins)
            .unwrap_or("of unknown version");
        Some(format!("{} {number}", self.name))
    }

    /// The command that starts it.
    ///
    /// # Errors
    /// Its configuration cannot be written.
    pub fn command(&self, place: &Place<'_>) -> Outcome<Command> {
        let program = self
            .find()
            .ok_or_else(|| format!("{} is not installed", self.name))?;
        let mut command = Command::new(program);
        (self.configure)(&mut command, place)?;
        Ok(command)
    }

    fn find(&self) -> Option<PathBuf> {
        // Debian puts servers here, where users' paths do not lead.
        let path = split_paths(&var_os("PATH").unwrap_or_default())
            .chain(["/usr/sbin".into()])
            .collect::<Vec<_>>();
        path.iter()
            .map(|folder| folder.join(self.program))
            .find(|program| program.is_file())
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn evserve(command: &mut Command, place: &Place<'_>) -> std::io::Result<()> {
    command.args(["--access-log", "off", "--log-level", "warn", "--listen"]);
    command.arg(place.address.to_string()).arg(place.root);
    Ok(())
}

fn evserve_uring(command: &mut Command, place: &Place<'_>) -> std::io::Result<()> {
    command.args(["--model", "io-uring"]);
    evserve(command, place)
}

fn nginx(command: &mut Command, place: &Place<'_>) -> std::io::Result<()> {
    let folder = place.folder.display();
    // Without it the worker runs as a user who may be unable to read the root.
    let user = if is_root() { "user root root;" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {folder}/nginx-{what};\n"))
        .concat();
    // For a file this small, read and write are faster than sendfile; for all others sendfile is
    // faster.
    let text = format!(
        "daemon off; {user} worker_processes 1;
        pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;
        events {{ worker_connections 1024; multi_accept on; }}
        http {{
            {temporary}
            types {{ text/html html; }} default_type application/octet-stream;
            sendfile on; tcp_nopush on; access_log off;
            keepalive_requests 1000000000;
            open_file_cache max=1000 inactive=10m; open_file_cache_valid 10m;
            open_file_cache_min_uses 1; open_file_cache_errors on;
            server {{
                listen {} backlog=4096 deferred; root {};
                location = /1k.html {{ sendfile off; }}
            }}
        }}\n",
        place.address,
        place.root.display(),
    );
    let file = place.folder.join("nginx.conf");
    write(&file, text)?;
    command.arg("-p").arg(place.folder).arg("-c").arg(file);
    command.arg("-e").arg(place.folder.join("nginx-error.log"));
    Ok(())
}

fn lighttpd(command: &mut Command, place: &Place<'_>) -> std::io::Result<()> {
    // 65,535 is the largest number of requests per connection that it accepts.
    let text = format!(
        "server.document-root = \"{}\"
        server.bind = \"{}\"
        server.port = {}
        server.errorlog = \"{}/lighttpd-error.log\"
        server.max-worker = 0
        server.max-connections = 1024
        server.max-keep-alive-requests = 65535
        server.listen-backlog = 4096
        server.defer-accept = 1
        server.network-backend = \"sendfile\"
        server.stat-cache-engine = \"simple\"
        mimetype.assign = ( \".html\" => \"text/html\", \"\" => \"application/octet-stream\" )\n",
        place.root.display(),
        place.address.ip(),
        place.address.port(),
        place.folder.display(),
    );
    let file = place.folder.join("lighttpd.conf");
    write(&file, text)?;
    command.arg("-D").arg("-f").arg(file);
    Ok(())
}

fn h2o(command: &mut Command, place: &Place<'_>) -> std::io::Result<()> {
    let user = if is_root() { "user: root\n" } else { "" };
    let text = format!(
        "{user}num-threads: 1
max-connections: 1024
pid-file: {folder}/h2o.pid
error-log: {folder}/h2o-error.log
listen:
  host: {}
  port: {}
hosts:
  default:
    paths:
      /:
        file.dir: {}\n",
        place.address.ip(),
        place.address.port(),
        place.root.display(),
        folder = place.folder.display(),
    );
    let file = place.folder.join("h2o.conf");
    write(&file, text)?;
    command.arg("-c").arg(file);
    Ok(())
}

fn static_web_server(command: &mut Command, place: &Place<'_>) -> std::io::Result<()> {
    let (host, port) = (
        place.address.ip().to_string(),
        place.address.port().to_string(),
    );
    command.args([
        "--host",
        &host,
        "--port",
        &port,
        "--threads-multiplier",
        "1",
        "--log-level",
        "error",
    ]);
    command.args(["--compression", "false", "--cache-control-headers", "false"]);
    command.args([
        "--security-headers",
        "false",
        "--directory-listing",
        "false",
    ]);
    command.arg("--root").arg(place.root);
    Ok(())
}
