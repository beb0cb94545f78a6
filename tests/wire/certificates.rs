//! Certificates: which one a client gets, how they are renewed, and what operators see of them.

use crate::common::{
    Client, Evserve, PATIENCE, Program, is_not_root, on_every_model, on_one_model_of_each_kind,
    skip,
};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use rustls::SignatureScheme;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore};
use std::fs::{self, Permissions, create_dir_all, rename, write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// Accepts any certificate: these tests compare them.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A client that asks for `name`, on a connection of its own.
fn client(name: &str, roots: Option<RootCertStore>) -> ClientConnection {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .expect("known");
    let config = match roots {
        Some(roots) => builder.with_root_certificates(roots),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate)),
    };
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    ClientConnection::new(Arc::new(config.with_no_client_auth()), name).expect("a client")
}

/// The certificate that a client gets who asks for `name`.
fn served(evserve: &Evserve, name: &str) -> Vec<u8> {
    let mut tls = client(name, None);
    let mut stream = TcpStream::connect(evserve.address()).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).expect("a handshake");
    }
    tls.peer_certificates().expect("certificates")[0].to_vec()
}

/// A certificate and its key.
struct Pair {
    der: Vec<u8>,
    pem: String,
    key: String,
}

fn pair(names: &[&str]) -> Pair {
    pair_until(names, 4000)
}

/// A certificate that is valid until this year.
fn pair_until(names: &[&str], year: i32) -> Pair {
    let key = KeyPair::generate().expect("a key");
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut parameters = CertificateParams::new(names).expect("names");
    parameters.not_after = date_time_ymd(year, 1, 1);
    let made = parameters.self_signed(&key).expect("made");
    Pair {
        der: made.der().to_vec(),
        pem: made.pem(),
        key: key.serialize_pem(),
    }
}

/// Certificates as clients of public authorities keep them: `live` leads to `archive` by links.
struct Lineage(TempDir);

impl Lineage {
    fn new(first: &Pair) -> Lineage {
        let lineage = Lineage(tempfile::tempdir().expect("a directory"));
        create_dir_all(lineage.path("live/x")).expect("made");
        create_dir_all(lineage.path("archive/x")).expect("made");
        lineage.renew(1, first);
        lineage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes new files, and switches the links to them one after the other.
    fn renew(&self, number: u32, pair: &Pair) {
        for (name, text) in [("cert", &pair.pem), ("key", &pair.key)] {
            let file = format!("archive/x/{name}{number}.pem");
            write(self.path(&file), text).expect("written");
            let link = self.path("live/x/new");
            symlink(format!("../../{file}"), &link).expect("linked");
            rename(link, self.path(&format!("live/x/{name}.pem"))).expect("switched");
        }
    }

    fn options(&self) -> Vec<PathBuf> {
        let [certificate, key] =
            ["cert", "key"].map(|name| self.path(&format!("live/x/{name}.pem")));
        vec!["--tls-cert".into(), certificate, "--tls-key".into(), key]
    }

    /// A server of echo with this certificate.
    fn serve(&self, model: &str, options: &str) -> Evserve {
        let program = Program::model(model, "--mode echo --listen tls:127.0.0.1:0");
        program.args(self.options()).options(options).start()
    }
}

#[test]
fn a_certificate_is_chosen_by_name() {
    let pairs = [
        pair(&["first.example"]),
        pair(&["second.example", "*.second.example"]),
    ];
    let all = tempfile::tempdir().expect("a directory");
    let mut program = Program::evserve("--mode echo --listen tls:127.0.0.1:0");
    for (index, pair) in pairs.iter().enumerate() {
        // Both in one file, as haproxy has it.
        let file = all.path().join(index.to_string());
        write(&file, format!("{}{}", pair.key, pair.pem)).expect("written");
        program = program
            .arg("--tls-cert")
            .arg(&file)
            .arg("--tls-key")
            .arg(&file);
    }
    let evserve = program.start();
    let cases = [
        ("first.example", 0),
        ("second.example", 1),
        ("www.second.example", 1),
        ("a.www.second.example", 0),
        ("unknown.example", 0),
        ("127.0.0.1", 0),
    ];
    for (name, expected) in cases {
        assert!(served(&evserve, name) == pairs[expected].der, "{name}");
    }
}

#[test]
fn sighup_opens_certificates_again() {
    let [first, second] = [pair(&["h"]), pair(&["h"])];
    on_every_model(|model| {
        let lineage = Lineage::new(&first);
        let mut evserve = lineage.serve(model, "");
        assert!(served(&evserve, "h") == first.der, "{model}");
        // In place, so that the notice of the change comes no sooner than in a second.
        write(lineage.path("archive/x/cert1.pem"), &second.pem).expect("written");
        write(lineage.path("archive/x/key1.pem"), &second.key).expect("written");
        evserve.signal(Signal::HUP);
        evserve.wait_for_log("the certificates have been opened again");
        for _ in 0..4 {
            assert!(served(&evserve, "h") == second.der, "{model}");
        }
        evserve.stop();
    });
}

/// A process that is forked while the renewing thread holds a lock would wait for it forever.
#[test]
fn processes_are_forked_while_certificates_are_renewed() {
    let first = pair(&["h"]);
    let lineage = Lineage::new(&first);
    let mut evserve = lineage.serve("forking", "");
    for _ in 0..200 {
        evserve.signal(Signal::HUP);
        assert!(served(&evserve, "h") == first.der);
    }
    evserve.wait_for_log("the certificates have been opened again");
}

#[test]
fn all_workers_get_a_renewed_certificate() {
    let [first, second] = [pair(&["h"]), pair(&["h"])];
    let lineage = Lineage::new(&first);
    let mut evserve = lineage.serve("epoll", "--workers 2");
    lineage.renew(2, &second);
    evserve.signal(Signal::HUP);
    evserve.wait_for_log("the certificates have been opened again");
    for _ in 0..16 {
        assert!(served(&evserve, "h") == second.der);
    }
}

/// The sandbox must let the server read what the links lead to by then.
#[test]
fn a_changed_certificate_is_noticed() {
    let [first, second, third] = [pair(&["h"]), pair(&["h"]), pair(&["h"])];
    on_one_model_of_each_kind(|model| {
        let lineage = Lineage::new(&first);
        let mut evserve = lineage.serve(model, "");
        for (number, pair) in [(2, &second), (3, &third)] {
            lineage.renew(number, pair);
            evserve.wait_for_log("the certificates have been opened again");
            assert!(served(&evserve, "h") == pair.der, "{model}");
        }
        evserve.stop();
    });
}

#[test]
fn a_pair_that_cannot_be_used_keeps_the_old_one() {
    let [first, second] = [pair(&["h"]), pair(&["h"])];
    let lineage = Lineage::new(&first);
    let mut evserve = lineage.serve("epoll", "");
    let mut reload = |expected: &str| {
        evserve.signal(Signal::HUP);
        // A change of a file is a reason of its own to load it.
        let is_said = "the certificate that was loaded before stays in use";
        while !evserve.wait_for_log(is_said).contains(expected) {}
        assert!(served(&evserve, "h") == first.der);
    };
    write(lineage.path("archive/x/key1.pem"), &second.key).expect("written");
    reload("does not belong to the certificate");
    fs::remove_file(lineage.path("live/x/cert.pem")).expect("removed");
    reload("No such file or directory");
    // Nobody writes to it: to open it would wait.
    let pipe = lineage.path("live/x/cert.pem");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).expect("made");
    reload("it is empty");
    lineage.renew(2, &second);
    evserve.signal(Signal::HUP);
    evserve.wait_for_log("the certificates have been opened again");
    assert!(served(&evserve, "h") == second.der);
}

/// The sandbox allows directories, not names.
#[test]
fn a_replaced_directory_needs_a_restart() {
    let [first, second] = [pair(&["h"]), pair(&["h"])];
    let lineage = Lineage::new(&first);
    let mut evserve = lineage.serve("epoll", "");
    if !evserve.startup_log().join("\n").contains("sandboxed") {
        return skip("landlock", "this kernel has none");
    }
    rename(lineage.path("archive/x"), lineage.path("archive/old")).expect("moved");
    create_dir_all(lineage.path("archive/x")).expect("made");
    lineage.renew(2, &second);
    evserve.signal(Signal::HUP);
    while !evserve
        .wait_for_log("stays in use")
        .contains("restart evserve")
    {}
    assert!(served(&evserve, "h") == first.der);
}

/// The start says so while there is time: the next renewal is weeks away.
#[test]
fn a_user_who_cannot_read_the_files_is_warned_of() {
    if is_not_root() {
        return;
    }
    let [first, second] = [pair(&["h"]), pair(&["h"])];
    let lineage = Lineage::new(&first);
    let mode = |name: &str, mode| {
        let path = lineage.path(name);
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
    };
    mode("", 0o755);
    mode("live", 0o700);
    let mut evserve = lineage.serve("epoll", "--user nobody");
    let log = evserve.startup_log().join("\n");
    for name in ["cert", "key"] {
        let file = lineage.path(&format!("live/x/{name}.pem"));
        let warning = format!(
            "{} cannot be read any more, so a renewal needs a restart",
            file.display()
        );
        assert!(log.contains(&warning), "{log}");
    }
    lineage.renew(2, &second);
    evserve.signal(Signal::HUP);
    evserve.wait_for_log("Permission denied");
    assert!(served(&evserve, "h") == first.der);
}

#[test]
fn a_certificate_beside_which_too_much_lies_is_pinned() {
    let lineage = Lineage::new(&pair(&["h"]));
    let everyone = Permissions::from_mode(0o777);
    fs::set_permissions(lineage.path("archive/x"), everyone).expect("set");
    let mut evserve = lineage.serve("epoll", "");
    let log = evserve.startup_log().join("\n");
    let file = lineage.path("live/x/key.pem");
    let warning = format!(
        "if {} is replaced, the server needs a restart: everyone can write",
        file.display()
    );
    assert!(log.contains(&warning), "{log}");
    // What was opened then may still be written to.
    evserve.signal(Signal::HUP);
    evserve.wait_for_log("the certificates have been opened again");
}

/// The sandbox has no rule for what a pipe holds, and stays.
#[test]
fn a_pair_may_come_from_pipes() {
    let first = pair(&["h"]);
    let lineage = Lineage::new(&first);
    let [certificate, key] =
        ["cert", "key"].map(|name| lineage.path(&format!("live/x/{name}.pem")));
    let script = "exec \"$@\" --tls-cert <(cat \"$C\") --tls-key <(cat \"$K\")";
    let program = Program::evserve("--mode echo --listen tls:127.0.0.1:0").in_shell(script);
    let evserve = program.env("C", certificate).env("K", key).start();
    assert!(served(&evserve, "h") == first.der);
    let log = evserve.startup_log().join("\n");
    assert!(!log.contains("no sandbox: failed"), "{log}");
}

#[test]
fn memory_with_keys_is_not_dumped() {
    let lineage = Lineage::new(&pair(&["h"]));
    let evserve = lineage.serve("epoll", "");
    let limits = fs::read_to_string(format!("/proc/{}/limits", evserve.id())).expect("it runs");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<_> = core.expect("a limit").split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"]);
    // Only root may read its memory (PR_SET_DUMPABLE).
    let owner = fs::metadata(format!("/proc/{}/mem", evserve.id()))
        .expect("it runs")
        .uid();
    assert_eq!(owner, 0);
}

#[test]
fn a_self_signed_certificate_is_kept_and_can_be_trusted() {
    let state = tempfile::tempdir().expect("a directory");
    let start = || {
        let program = Program::evserve("--mode echo --listen tls:127.0.0.1:0 --tls-self-signed");
        program.env("XDG_STATE_HOME", state.path()).start()
    };
    let mut evserve = start();
    let fingerprint = evserve.wait_for_log("SHA-256 ");
    let file = state.path().join("evserve/self-signed.crt");
    evserve.wait_for_log(&format!("--cacert {}", file.display()));
    let certificate = CertificateDer::from_pem_file(&file).expect("a certificate");
    for name in ["localhost", "127.0.0.1"] {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("a certificate");
        let mut client = Client::encrypted(evserve.address(), client(name, Some(roots)));
        client.send("hello");
        assert_eq!(client.read(5), b"hello", "{name}");
    }
    evserve.stop();
    let mode = |name: &str| {
        let path = state.path().join("evserve").join(name);
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    };
    assert_eq!(mode("self-signed.pem"), 0o600);
    assert_eq!(mode(""), 0o700);
    let mut evserve = start();
    let after = |line: &str| line.split_once("SHA-256 ").map(|(_, rest)| rest.to_owned());
    assert_eq!(
        after(&evserve.wait_for_log("SHA-256 ")),
        after(&fingerprint)
    );
    assert!(served(&evserve, "localhost") == certificate.to_vec());
}

#[test]
fn an_encrypted_address_without_a_usable_certificate_is_refused() {
    let all = tempfile::tempdir().expect("a directory");
    let at = |name: &str| all.path().join(name).display().to_string();
    let [good, other] = [pair(&["h"]), pair(&["h"])];
    for (name, text) in [("c", &good.pem), ("k", &good.key), ("other", &other.key)] {
        write(at(name), text).expect("written");
    }
    let refused = |options: &str, code| Program::evserve(options).fails(code);
    let missing = refused("--listen tls:127.0.0.1:0", 1);
    assert!(
        missing.contains("--tls-cert and --tls-key, or --tls-self-signed"),
        "{missing}"
    );
    let cases = [
        (at("c"), at("other"), "does not belong to the certificate"),
        (at("k"), at("c"), "may be swapped"),
        (at("none"), at("k"), "cannot read the certificate"),
    ];
    for (certificate, key, expected) in cases {
        let options = format!("--listen tls:127.0.0.1:0 --tls-cert {certificate} --tls-key {key}");
        let why = refused(&options, 1);
        assert!(why.contains(expected), "{why}");
        assert_eq!(why.lines().count(), 1, "{why}");
    }
    let state = refused("--listen tls:127.0.0.1:0 --status udp:127.0.0.1:0", 2);
    assert!(state.contains("expected PORT"), "{state}");
    let program = Program::evserve("--listen tls:127.0.0.1:0 --tls-self-signed");
    let why = program.env("XDG_STATE_HOME", "/proc/none").fails(1);
    assert!(
        why.contains("cannot keep a self-signed certificate in /proc/none"),
        "{why}"
    );
}

#[test]
fn operators_see_when_a_certificate_expires() {
    let expired = pair_until(&["old.example"], 2020);
    let lineage = Lineage::new(&expired);
    on_one_model_of_each_kind(|model| {
        let options = "--mode echo --listen tls:127.0.0.1:0 --status 127.0.0.1:0";
        let program = Program::model(model, options).args(lineage.options());
        let mut evserve = program.start();
        let line = evserve.wait_for_log("has expired: clients refuse it since");
        assert!(
            line.contains("Wed, 01 Jan 2020 00:00:00 GMT; renew it"),
            "{line}"
        );
        let metrics = |evserve: &Evserve| {
            let mut client = Client::connect(evserve.addresses[1]);
            client.send("GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n");
            String::from_utf8(client.rest()).expect("text")
        };
        let sample = |seconds: i64| {
            let file = lineage.path("live/x/cert.pem");
            let labels = format!("file=\"{}\",name=\"old.example\"", file.display());
            format!("\nevserve_certificate_expiry_timestamp_seconds{{{labels}}} {seconds}\n")
        };
        let text = metrics(&evserve);
        assert!(text.contains(&sample(1_577_836_800)), "{model}: {text}");
        lineage.renew(2, &pair_until(&["old.example"], 3000));
        evserve.signal(Signal::HUP);
        evserve.wait_for_log("the certificates have been opened again");
        let text = metrics(&evserve);
        assert!(text.contains(&sample(32_503_680_000)), "{model}: {text}");
        lineage.renew(1, &expired);
    });
}

#[test]
fn requests_without_encryption_are_redirected() {
    let root = tempfile::tempdir().expect("a directory");
    create_dir_all(root.path().join(".well-known/acme-challenge")).expect("made");
    write(
        root.path().join(".well-known/acme-challenge/token"),
        "proof",
    )
    .expect("written");
    write(root.path().join("page"), "page").expect("written");
    let lineage = Lineage::new(&pair(&["h"]));
    on_every_model(|model| {
        let options = "--redirect-to-https --listen 127.0.0.1:0 --listen tls:127.0.0.1:0";
        let program = Program::model(model, options).args(lineage.options());
        let evserve = program.arg(root.path()).start();
        let [plain, encrypted] = evserve.addresses[..] else {
            panic!("two addresses: {:?}", evserve.addresses);
        };
        let ask = |request: &str| {
            let mut client = Client::connect(plain);
            client.send(format!("{request}\r\nConnection: close\r\n\r\n"));
            client.response()
        };
        let response = ask("GET /page?a=b HTTP/1.1\r\nHost: example.org:80");
        assert_eq!(response.status, 308, "{model}");
        let port = encrypted.port();
        let location = format!("https://example.org:{port}/page?a=b");
        assert_eq!(response.field("Location"), Some(&*location), "{model}");
        let response = ask("POST /form HTTP/1.1\r\nHost: h\r\nContent-Length: 0");
        assert_eq!(response.status, 308, "{model}");
        let challenge = "/.well-known/acme-challenge/token";
        let response = ask(&format!("GET {challenge} HTTP/1.1\r\nHost: h"));
        assert_eq!(
            (response.status, &*response.body),
            (200, &b"proof"[..]),
            "{model}"
        );
        let around = "/.well-known/acme-challenge/../../page";
        let response = ask(&format!("GET {around} HTTP/1.1\r\nHost: h"));
        assert_eq!(response.status, 308, "{model}");
        assert_eq!(ask("GET /page HTTP/1.0").status, 400, "{model}: no host");
        let mut client = Client::encrypted(encrypted, client("h", None));
        client.send("GET /page HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert_eq!(client.response().body, b"page", "{model}");
        evserve.stop();
    });
}
