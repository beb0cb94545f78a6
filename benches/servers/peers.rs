//! The servers: how to start each with one thread for requests, no access log, and its best
//! settings.

use evserve_lab::Outcome;
use evserve_lab::environment;
use evserve_lab::program::copy_of;
use evserve_lab::tls::Tls;
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
    /// The certificate, to serve with TLS.
    pub tls: Option<&'a Tls>,
}

impl Place<'_> {
    /// Distinguishes the files of a server with TLS.
    pub fn suffix(&self) -> &'static str {
        if self.tls.is_some() { "-tls" } else { "" }
    }

    /// The path of a file of this kind that a server writes.
    fn file(&self, name: &str, kind: &str) -> PathBuf {
        let suffix = self.suffix();
        self.folder.join(format!("{name}{suffix}{kind}"))
    }
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
        name: "caddy",
        program: "caddy",
        version: "version",
        install: "apt-get install caddy",
        configure: caddy,
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
    /// Its configuration or its copy cannot be written.
    pub fn command(&self, place: &Place<'_>) -> Outcome<Command> {
        let program = self
            .find()
            .ok_or_else(|| format!("{} is not installed", self.name))?;
        let mut command = Command::new(copy_of(&program, place.folder)?);
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
    match place.tls {
        Some(tls) => {
            command.arg(format!("tls:{}", place.address));
            command.arg("--tls-cert").arg(&tls.certificate);
            command.arg("--tls-key").arg(&tls.key);
        }
        None => {
            command.arg(place.address.to_string());
        }
    }
    command.arg(place.root);
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
    let (ssl, certificate) = match place.tls {
        Some(tls) => (
            "ssl",
            format!(
                "ssl_certificate {}; ssl_certificate_key {}; ssl_session_cache shared:tls:10m;",
                tls.certificate.display(),
                tls.key.display()
            ),
        ),
        None => ("", String::new()),
    };
    let (pid, log) = (
        place.file("nginx", ".pid"),
        place.file("nginx", "-error.log"),
    );
    // For a file this small, read and write are faster than sendfile; for all others sendfile is
    // faster.
    let text = format!(
        "daemon off; {user} worker_processes 1;
        pid {}; error_log {};
        events {{ worker_connections 1024; multi_accept on; }}
        http {{
            {temporary}
            types {{ text/html html; }} default_type application/octet-stream;
            sendfile on; tcp_nopush on; access_log off;
            keepalive_requests 1000000000;
            open_file_cache max=1000 inactive=10m; open_file_cache_valid 10m;
            open_file_cache_min_uses 1; open_file_cache_errors on;
            server {{
                listen {} {ssl} backlog=4096 deferred; root {};
                {certificate}
                location = /1k.html {{ sendfile off; }}
            }}
        }}\n",
        pid.display(),
        log.display(),
        place.address,
        place.root.display(),
    );
    let file = place.file("nginx", ".conf");
    write(&file, text)?;
    command.arg("-p").arg(place.folder).arg("-c").arg(file);
    command.arg("-e").arg(log);
    Ok(())
}

fn lighttpd(command: &mut Command, place: &Place<'_>) -> std::io::Result<()> {
    let tls = place.tls.map_or(String::new(), |tls| {
        let both = tls.both.display();
        format!("server.modules = ( \"mod_openssl\" )\nssl.engine = \"enable\"\nssl.pemfile = \"{both}\"\n")
    });
    // 65,535 is the largest number of requests per connection that it accepts.
    let text = format!(
        "server.document-root = \"{}\"
        server.bind = \"{}\"
        server.port = {}
        server.errorlog = \"{}\"
        server.max-worker = 0
        server.max-connections = 1024
        server.max-keep-alive-requests = 65535
        server.listen-backlog = 4096
        server.defer-accept = 1
        server.network-backend = \"sendfile\"
        server.stat-cache-engine = \"simple\"
        mimetype.assign = ( \".html\" => \"text/html\", \"\" => \"application/octet-stream\" )
        {tls}",
        place.root.display(),
        place.address.ip(),
        place.address.port(),
        place.file("lighttpd", "-error.log").display(),
    );
    let file = place.file("lighttpd", ".conf");
    write(&file, text)?;
    command.arg("-D").arg("-f").arg(file);
    Ok(())
}

fn h2o(command: &mut Command, place: &Place<'_>) -> std::io::Result<()> {
    let user = if is_root() { "user: root\n" } else { "" };
    let tls = place.tls.map_or(String::new(), |tls| {
        let (certificate, key) = (tls.certificate.display(), tls.key.display());
        format!("  ssl:\n    certificate-file: {certificate}\n    key-file: {key}\n")
    });
    let text = format!(
        "{user}num-threads: 1
max-connections: 1024
pid-file: {}
error-log: {}
listen:
  host: {}
  port: {}
{tls}hosts:
  default:
    paths:
      /:
        file.dir: {}\n",
        place.file("h2o", ".pid").display(),
        place.file("h2o", "-error.log").display(),
        place.address.ip(),
        place.address.port(),
        place.root.display(),
    );
    let file = place.file("h2o", ".conf");
    write(&file, text)?;
    command.arg("-c").arg(file);
    Ok(())
}

fn caddy(command: &mut Command, place: &Place<'_>) -> std::io::Result<()> {
    let (scheme, tls) = match place.tls {
        Some(tls) => (
            "https",
            format!("tls {} {}", tls.certificate.display(), tls.key.display()),
        ),
        None => ("http", String::new()),
    };
    // It chooses a certificate by the name that a client sends. wrk sends none for an address.
    let text = format!(
        "{{
    admin off
    auto_https off
    default_sni localhost
    servers {{
        protocols h1
    }}
}}
{scheme}://:{port} {{
    bind {host}
    {tls}
    root * {root}
    file_server
}}
",
        host = place.address.ip(),
        port = place.address.port(),
        root = place.root.display(),
    );
    let file = place.file("caddy", ".conf");
    write(&file, text)?;
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(file);
    command
        .env("GOMAXPROCS", "1")
        .env("XDG_DATA_HOME", place.folder);
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
    if let Some(tls) = place.tls {
        command
            .args(["--http2", "true", "--http2-tls-cert"])
            .arg(&tls.certificate);
        command.arg("--http2-tls-key").arg(&tls.key);
    }
    command.arg("--root").arg(place.root);
    Ok(())
}
