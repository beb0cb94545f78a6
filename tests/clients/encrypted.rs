//! Other programs as clients of encrypted addresses, under every model.

use crate::common::{Evserve, Identity, Program, is_missing, on_every_model, pattern};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

struct World {
    root: TempDir,
    identity: Identity,
}

impl World {
    fn new() -> World {
        let root = tempfile::tempdir().expect("a directory");
        for (name, length) in [("1k", 1024), ("100k", 102_400), ("10m", 10 << 20)] {
            std::fs::write(root.path().join(name), pattern(length)).expect("written");
        }
        let identity = Identity::new();
        World { root, identity }
    }

    fn start(&self, model: &str) -> Evserve {
        let program = Program::model(model, "--listen tls:127.0.0.1:0");
        let program = program.args(self.identity.options());
        program.arg(self.root.path()).start()
    }

    fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.root.path().join(name)).expect("it exists")
    }
}

fn url(evserve: &Evserve, name: &str) -> String {
    format!("https://{}/{name}", evserve.address())
}

/// Runs a command, with this input.
fn run(command: &mut Command, input: &[u8]) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    // It may end before it has read everything.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("a child")
}

#[test]
#[ignore = "needs curl"]
fn curl_gets_files_with_both_versions() {
    if is_missing("curl") {
        return;
    }
    let world = World::new();
    on_every_model(|model| {
        let evserve = world.start(model);
        let certificate = world.identity.certificate();
        for version in [&["--tlsv1.2", "--tls-max", "1.2"][..], &["--tlsv1.3"]] {
            let curl = |more: &[&str]| {
                let mut command = Command::new("curl");
                command.args(["--silent", "--show-error", "--fail", "--max-time", "60"]);
                command.arg("--cacert").arg(&certificate);
                let output = run(command.args(version).args(more), b"");
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success(), "{model} {version:?}: {said}");
                output.stdout
            };
            for name in ["1k", "100k", "10m"] {
                assert!(curl(&[&url(&evserve, name)]) == world.file(name), "{model}");
            }
            let range = curl(&["--range", "1000-90000", &url(&evserve, "100k")]);
            assert!(range == world.file("100k")[1000..=90_000], "{model}");
            // Two files over one connection, where the model keeps it.
            let one = url(&evserve, "1k");
            let codes = curl(&[
                &one,
                &one,
                "-o",
                "/dev/null",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code} %{http_version} ",
            ]);
            assert_eq!(
                String::from_utf8_lossy(&codes),
                "200 1.1 200 1.1 ",
                "{model}"
            );
        }
    });
}

#[test]
#[ignore = "needs openssl"]
fn openssl_finds_no_renegotiation_and_ends_early() {
    if is_missing("openssl") {
        return;
    }
    let world = World::new();
    on_every_model(|model| {
        let evserve = world.start(model);
        let address = evserve.address().to_string();
        let openssl = |more: &[&str], input: &[u8]| {
            let mut command = Command::new("openssl");
            command.args(["s_client", "-connect", &address]);
            let output = run(command.args(more), input);
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        let request = b"GET /1k HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        let said = openssl(&["-tls1_3", "-alpn", "h2,http/1.1", "-ign_eof"], request);
        assert!(said.contains("ALPN protocol: http/1.1"), "{model}: {said}");
        assert!(said.contains("HTTP/1.1 200 OK"), "{model}: {said}");
        // `R` asks for a renegotiation.
        let said = openssl(&["-tls1_2"], b"R\n");
        let refused = ["no renegotiation", "no_renegotiation", "alert"];
        assert!(
            refused.iter().any(|word| said.contains(word)),
            "{model}: {said}"
        );
        assert!(!said.contains("HTTP/1.1 200"), "{model}: {said}");
        // It leaves at once, without reading.
        openssl(&["-tls1_3"], b"Q\n");
        let said = openssl(&["-tls1_1", "-cipher", "ALL@SECLEVEL=0"], b"Q\n");
        assert!(said.contains("Cipher is (NONE)"), "{model}: {said}");
        let said = openssl(&["-tls1_3", "-alpn", "h2"], b"Q\n");
        assert!(
            said.contains("alert"),
            "{model}: no common protocol: {said}"
        );
    });
}

/// What the start says about it is what a user types.
#[test]
#[ignore = "needs curl"]
fn curl_trusts_the_certificate_that_the_server_has_made() {
    if is_missing("curl") {
        return;
    }
    let (world, state) = (World::new(), tempfile::tempdir().expect("a directory"));
    let program = Program::evserve("--listen tls:127.0.0.1:0 --tls-self-signed");
    let program = program.env("XDG_STATE_HOME", state.path());
    let mut evserve = program.arg(world.root.path()).start();
    let line = evserve.wait_for_log("--cacert ");
    let (_, file) = line.split_once("--cacert ").expect("a file");
    let address = evserve.address();
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{}/1k", address.port());
        let curl = |more: &[&str]| {
            let mut command = Command::new("curl");
            run(
                command
                    .args(["--silent", "--max-time", "60", &url])
                    .args(more),
                b"",
            )
        };
        assert!(
            curl(&["--cacert", file]).stdout == world.file("1k"),
            "{host}"
        );
        let without = curl(&[]).status.code();
        assert_eq!(without, Some(60), "{host}: a certificate of nobody known");
    }
}

#[test]
#[ignore = "needs openssl"]
fn openssl_gets_the_certificate_of_the_name_it_asks_for() {
    if is_missing("openssl") {
        return;
    }
    let (first, second) = (Identity::new(), Identity::new());
    let made = rcgen::generate_simple_self_signed(["second.example".to_owned()]).expect("made");
    let (certificate, key) = (
        second.certificate(),
        second.certificate().with_extension("key"),
    );
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let program = Program::evserve("--mode echo --listen tls:127.0.0.1:0");
    let program = program
        .args(first.options())
        .arg("--tls-cert")
        .arg(certificate);
    let evserve = program.arg("--tls-key").arg(key).start();
    let address = evserve.address().to_string();
    let names = |name: &str| {
        let script = "openssl s_client -connect \"$0\" -servername \"$1\" </dev/null 2>/dev/null \
                      | openssl x509 -noout -ext subjectAltName";
        let output = run(Command::new("sh").args(["-c", script, &address, name]), b"");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(names("second.example").contains("DNS:second.example"));
    assert!(names("other.example").contains("DNS:h, "));
}

#[test]
#[ignore = "needs wget"]
fn wget_gets_a_file() {
    if is_missing("wget") {
        return;
    }
    let world = World::new();
    on_every_model(|model| {
        let evserve = world.start(model);
        let mut wget = Command::new("wget");
        wget.args(["--quiet", "--tries", "1", "-O", "-"]);
        let certificate = world.identity.certificate();
        wget.arg("--ca-certificate").arg(certificate);
        let output = run(wget.arg(url(&evserve, "10m")), b"");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.stdout == world.file("10m"), "{model}: {said}");
    });
}

const REQUESTS: &str = r#"
import requests, sys
url, certificate = sys.argv[1:]
with requests.Session() as session:
    # Otherwise the environment may name other certificates.
    session.trust_env, session.verify = False, certificate
    for _ in range(3):
        answer = session.get(url + "100k")
        assert answer.status_code == 200 and len(answer.content) == 102400, answer
    part = session.get(url + "100k", headers={"Range": "bytes=5-9"})
    assert part.status_code == 206 and part.content == answer.content[5:10]
    assert session.get(url + "gone").status_code == 404
try:
    requests.get(url)
except requests.exceptions.SSLError:
    pass
else:
    raise AssertionError("an unknown certificate was trusted")
print("fine")
"#;

#[test]
#[ignore = "needs Python with requests"]
fn requests_gets_files_and_trusts_no_unknown_certificate() {
    let has_requests = Command::new("python3")
        .args(["-c", "import requests"])
        .output();
    if !has_requests.is_ok_and(|output| output.status.success()) {
        crate::common::skip("requests", "Python cannot import it");
        return;
    }
    let world = World::new();
    on_every_model(|model| {
        let evserve = world.start(model);
        let mut python = Command::new("python3");
        python.args(["-c", REQUESTS, &url(&evserve, "")]);
        python.arg(world.identity.certificate());
        let output = run(&mut python, b"");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.stdout == b"fine\n", "{model}: {said}");
    });
}

/// A client that does not trust the certificate says so, and is counted.
#[test]
#[ignore = "needs curl"]
fn refusals_by_clients_are_counted() {
    if is_missing("curl") {
        return;
    }
    let world = World::new();
    let options = "--listen tls:127.0.0.1:0 --status 127.0.0.1:0";
    let program = Program::model("epoll", options).args(world.identity.options());
    let evserve = program.arg(Path::new(world.root.path())).start();
    let output = run(Command::new("curl").args(["-s", &url(&evserve, "1k")]), b"");
    assert_eq!(output.status.code(), Some(60), "it does not trust it");
    let status = format!("http://{}/metrics", evserve.addresses[1]);
    let metrics = run(Command::new("curl").args(["-s", &status]), b"");
    let metrics = String::from_utf8_lossy(&metrics.stdout);
    let line = "evserve_refusing_clients_total 1";
    assert!(metrics.contains(line), "{metrics}");
}
