//! The spellings of other servers, and what to type here: a table.

use Answer::{Host, HostIs, Root, Same, Type, Without};

/// What to type for an option of other servers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// Its value is the host of --listen.
    Host,
    /// It stands for this host of --listen.
    HostIs(&'static str),
    /// Its value is ROOT.
    Root,
    /// Type this instead, with its value in the place of `{}` if that is in it.
    Type(&'static str),
    /// Leave it out: evserve does this without it.
    Same(&'static str),
    /// There is no such thing, for this reason.
    Without(&'static str),
}

const NO_ACME: &str = "evserve fetches no certificates; a client such as certbot does, and --tls-cert names its files";
const A_PASSWORD: &str = "type --auth USER:PASSWORD, or --auth-file FILE with a line user:hash for each user, \
     as `htpasswd -nB USER` prints it";
const NO_WRITING: &str = "evserve only reads files: it has no uploads and no WebDAV";
const NO_ARCHIVES: &str =
    "evserve makes no archives; type for example: tar -czf public.tar.gz public";
const SYMLINKS: &str =
    "symbolic links are followed inside ROOT, and those that lead out of it are refused";
const FOREGROUND: &str = "evserve stays in the foreground; systemd can run it as a service";

/// The options of http.server, miniserve, serve, http-server, caddy, darkhttpd, dufs and
/// static-web-server that are spelt otherwise here, or are not here.
pub(super) const SPELLINGS: &[(&[&str], Answer)] = &[
    (
        &[
            "-b",
            "-i",
            "--bind",
            "--host",
            "--hostname",
            "--address",
            "--addr",
            "--ip",
            "--interface",
            "--interfaces",
        ],
        Host,
    ),
    (
        &[
            "-d",
            "--directory",
            "--dir",
            "--root",
            "--path",
            "--folder",
            "--webroot",
            "--web-root",
            "--document-root",
        ],
        Root,
    ),
    (&["-6", "--ipv6"], HostIs("::")),
    (&["-4", "--ipv4"], HostIs("0.0.0.0")),
    (
        &["-s", "--spa", "--single", "--try-file"],
        Type("--fallback index.html"),
    ),
    (&["-C", "--enable-cors"], Type("--cors")),
    (
        &[
            "-q",
            "--quiet",
            "--silent",
            "--no-log",
            "--no-request-logging",
        ],
        Type("--access-log off --log-level warn"),
    ),
    (&["-v", "--verbose", "--debug"], Type("--log-level debug")),
    (
        &["--log", "--log-file", "--logfile", "--accesslog"],
        Type("--access-log-file {}"),
    ),
    (
        &["--syslog"],
        Without("evserve has no syslog; systemd takes the log from standard error"),
    ),
    (
        &["--no-cache", "--no-caching"],
        Type("--cache-control no-store"),
    ),
    (
        &["--cache", "--cache-time", "--max-age"],
        Type("--cache-control max-age={}"),
    ),
    (
        &["-H", "--show-hidden", "--dotfiles", "--all-files"],
        Type("--hidden"),
    ),
    (
        &[
            "--no-directory-listing",
            "--no-dir-listing",
            "--no-dirlist",
            "--disable-indexing",
            "--disable-directory-listing",
        ],
        Type("--no-listing"),
    ),
    (
        &[
            "--browse",
            "--list",
            "--autoindex",
            "--directory-listing",
            "--show-listing",
        ],
        Same("directories are listed without it"),
    ),
    (
        &["--index-file", "--index-files", "--default-index"],
        Type("--index {}"),
    ),
    (
        &["--page404", "--error-page404", "--not-found"],
        Type("--error-page 404={}"),
    ),
    (
        &["--max-conn", "--maxconn", "--max-clients", "--concurrency"],
        Type("--max-connections {}"),
    ),
    (
        &["--timeout", "--keepalive-timeout", "--keep-alive-timeout"],
        Type("--idle-timeout {}"),
    ),
    (
        &["--uid", "--chuser", "--setuid", "--run-as"],
        Type("--user {}"),
    ),
    (
        &["--chroot", "--chdir-root"],
        Same("Landlock confines evserve to what it serves"),
    ),
    (
        &["--server-name", "--server-id"],
        Type("--header 'Server: {}'"),
    ),
    (
        &[
            "--metrics",
            "--metrics-port",
            "--health",
            "--health-port",
            "--admin",
        ],
        Type("--status {}"),
    ),
    (
        &["--protocol"],
        Without("evserve speaks HTTP/1.1, and HTTP/1.0 to clients that do"),
    ),
    (
        &["--http2", "--h2", "--http3"],
        Without("evserve speaks HTTP/1.1 only; put a proxy in front of it, such as caddy"),
    ),
    (
        &["-S", "--tls", "--ssl", "--https", "--http2-tls"],
        Type("--listen tls:8443 --tls-self-signed"),
    ),
    (
        &["--ssl-cert", "--cert", "--http2-tls-cert"],
        Type("--tls-cert {}"),
    ),
    (
        &["--ssl-key", "--key", "--http2-tls-key"],
        Type("--tls-key {}"),
    ),
    (&["--https-redirect"], Type("--redirect-to-https")),
    (
        &["--ssl-pass", "--tls-password-file"],
        Without("evserve does not ask for it: write the key without one, by openssl pkey"),
    ),
    (&["--domain", "--acme"], Without(NO_ACME)),
    (
        &["-a", "--username", "--password", "--basic-auth"],
        Without(A_PASSWORD),
    ),
    (
        &[
            "-u",
            "-A",
            "--upload",
            "--upload-files",
            "--allow-upload",
            "--allow-all",
            "--allow-delete",
            "--mkdir",
            "--put",
            "--webdav",
            "--enable-webdav",
        ],
        Without(NO_WRITING),
    ),
    (
        &[
            "-z",
            "-r",
            "-g",
            "--enable-zip",
            "--enable-tar",
            "--enable-tar-gz",
            "--allow-archive",
        ],
        Without(NO_ARCHIVES),
    ),
    (&["--gzip", "--brotli", "--compression"], Type("--compress")),
    (
        &["--precompressed", "--compression-static", "--gzip-static"],
        Same("FILE.br, FILE.zst and FILE.gz are sent in place of FILE without it"),
    ),
    (&["--no-symlinks", "--disable-symlinks"], Without(SYMLINKS)),
    (
        &["--symlinks", "--follow-symlinks", "--allow-symlink"],
        Same(SYMLINKS),
    ),
    (
        &["--random-route"],
        Without(
            "evserve serves ROOT at / only; a secret path is no protection, --auth USER:PASSWORD is",
        ),
    ),
    (
        &["--route-prefix", "--path-prefix", "--prefix", "--base-path"],
        Without(
            "evserve serves ROOT at / only; make a directory of that name, and move the files there",
        ),
    ),
    (
        &[
            "-D",
            "--daemon",
            "--daemonize",
            "--background",
            "--pidfile",
            "--pid-file",
        ],
        Without(FOREGROUND),
    ),
    (
        &["-o", "--open", "--open-browser"],
        Without("evserve opens no browser; open the URL that it prints"),
    ),
    (
        &["--qr", "--qrcode"],
        Without(
            "evserve draws a QR code on a terminal when other machines can connect: --listen :8080",
        ),
    ),
    (&["--cgi"], Without("evserve runs no programs")),
    (
        &["--proxy", "--reverse-proxy"],
        Without("evserve is no proxy"),
    ),
    (
        &["--watch", "--reload", "--livereload", "--live-reload"],
        Without("evserve reloads no pages; the next request gets the changed file"),
    ),
    (
        &["-c", "-f", "--config", "--config-file"],
        Without("evserve has no configuration file: all options are on the command line"),
    ),
    (
        &["-m", "-M"],
        Without("evserve has no short form of --mode and --model; type the long one"),
    ),
    (
        &["--title", "--theme", "--color-scheme"],
        Without("evserve's listings have one look, light or dark as the browser asks"),
    ),
];

/// The commands of other servers (caddy, docker-like programs); evserve has only one task.
pub(super) const COMMANDS: [&str; 5] = ["file-server", "http-server", "run", "serve", "start"];

/// The answer to an option of other servers.
pub(super) fn answer(name: &str) -> Option<Answer> {
    let row = SPELLINGS.iter().find(|(names, _)| names.contains(&name));
    row.map(|(_, answer)| *answer)
}

impl Answer {
    /// True if the other server's option has a value.
    pub(super) fn takes_value(self) -> bool {
        match self {
            Host | Root => true,
            Type(text) => text.contains("{}"),
            HostIs(_) | Same(_) | Without(_) => false,
        }
    }
}
