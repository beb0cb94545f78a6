//! Real clients against the real program, and loads too heavy for an ordinary run. `tests/run`
//! installs the clients and runs these tests.

use crate::common::{Client, Evserve, is_missing, on_every_model, pattern, row};
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// The targets of all links on a page, in order.
fn links(page: &str) -> Vec<&str> {
    let (_, entries) = page.split_once("<tbody>").expect("a table");
    let parts = entries.split("href=\"").skip(1);
    parts
        .map(|part| part.split('"').next().expect("a link"))
        .collect()
}

fn curl(url: &str) -> Command {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "120",
        url,
    ]);
    command
}

/// Compares a file with what curl downloads, in pieces.
fn download_matches(url: &str, file: &Path) -> bool {
    let mut child = curl(url)
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl starts");
    let mut got = child.stdout.take().expect("piped");
    let mut expected = BufReader::with_capacity(1 << 20, File::open(file).expect("opened"));
    let (mut ours, mut theirs) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let same = loop {
        let count = got.read(&mut ours).expect("read");
        if count == 0 {
            break expected.read(&mut theirs).expect("read") == 0;
        }
        if expected.read_exact(&mut theirs[..count]).is_err() || ours[..count] != theirs[..count] {
            break false;
        }
    };
    same & child.wait().expect("a child").success()
}

#[test]
#[ignore = "needs curl and 110 MB in /tmp"]
fn curl_fetches_every_file_by_following_listings() {
    if is_missing("curl") {
        return;
    }
    let root = tempfile::tempdir().expect("a directory");
    let mut names: Vec<OsString> = Vec::new();
    for (name, length) in [
        ("0", 0),
        ("1", 1),
        ("1k", 1024),
        ("100k", 102_400),
        ("100M", 100 << 20),
    ] {
        std::fs::write(root.path().join(name), pattern(length)).expect("written");
        names.push(name.into());
    }
    let sparse = File::create(root.path().join("5G")).expect("made");
    sparse.set_len(5 << 30).expect("sparse");
    for at in [0, (1 << 32) - 3, (5 << 30) - 6] {
        sparse.write_all_at(b"marker", at).expect("written");
    }
    names.push("5G".into());
    let odd: [&[u8]; 14] = [
        b"with space",
        b"\"double\" 'single'",
        b"100%",
        b"%41",
        b"#hash",
        b"what?",
        b"a&b;c=d+e",
        "\u{e9}\u{4e2d}\u{1f600}".as_bytes(),
        b"new\nline",
        b"<script>alert(1)",
        b"\xff not UTF-8",
        b"back\\slash",
        b"x:y",
        b".hidden",
    ];
    for name in odd {
        let name = OsStr::from_bytes(name);
        std::fs::write(root.path().join(name), name.as_bytes()).expect("written");
        names.push(name.into());
    }
    names.sort();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &["--hidden"]);
        let output = curl(&evserve.url("/")).output().expect("curl runs");
        let page = String::from_utf8(output.stdout).expect("UTF-8");
        let mut linked = BTreeMap::new();
        for link in links(&page) {
            let name: Vec<u8> = percent_decode_str(link).collect();
            linked.insert(OsString::from_vec(name), link);
        }
        assert_eq!(
            linked.keys().collect::<Vec<_>>(),
            names.iter().collect::<Vec<_>>()
        );
        for (name, link) in linked {
            // 5 GiB once is enough: the differences between models do not depend on the length.
            if name == "5G" && model != "epoll" {
                continue;
            }
            let url = evserve.url(&format!("/{link}"));
            assert!(download_matches(&url, &root.path().join(&name)), "{name:?}");
        }
    });
}

#[test]
#[ignore = "needs curl"]
fn curl_resumes_fetches_ranges_and_revalidates() {
    if is_missing("curl") {
        return;
    }
    let root = tempfile::tempdir().expect("a directory");
    let here = |name: &str| root.path().join(name);
    let bytes = pattern(1 << 20);
    std::fs::write(here("data"), &bytes).expect("written");
    let script = b"plain ".repeat(1000);
    std::fs::write(here("app.js"), &script).expect("written");
    let gzip = Command::new("gzip")
        .arg("--keep")
        .arg(here("app.js"))
        .status();
    assert!(gzip.expect("gzip runs").success());
    let file = File::options()
        .write(true)
        .open(here("data"))
        .expect("opened");
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    file.set_modified(long_ago).expect("set");
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        let run = |path: &str, options: &[&str]| {
            let output = curl(&evserve.url(path))
                .args(options)
                .output()
                .expect("curl runs");
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            output.stdout
        };
        let partial = here("partial");
        std::fs::write(&partial, &bytes[..300_000]).expect("written");
        let to = partial.to_str().expect("UTF-8");
        run("/data", &["--continue-at", "-", "--output", to]);
        assert!(
            std::fs::read(&partial).expect("read") == bytes,
            "it resumed wrongly"
        );
        std::fs::remove_file(&partial).expect("removed");
        assert!(run("/data", &["--range", "100-199"]) == bytes[100..200]);
        let parts = run("/data", &["--range", "0-9,500000-500009"]);
        assert!(
            parts
                .windows(10)
                .any(|part| part == &bytes[500_000..500_010])
        );

        let (tags, again) = (here("tags"), here("again"));
        let tags = tags.to_str().expect("UTF-8");
        let again = again.to_str().expect("UTF-8");
        run("/data", &["--etag-save", tags, "--output", again]);
        let code = ["--output", again, "--write-out", "%{http_code}"];
        assert_eq!(
            run("/data", &[&["--etag-compare", tags][..], &code].concat()),
            b"304"
        );
        assert_eq!(
            run(
                "/data",
                &[&["--time-cond", "01 Jan 2020"][..], &code].concat()
            ),
            b"304"
        );
        assert_eq!(
            run(
                "/data",
                &[&["--time-cond", "01 Jan 2000"][..], &code].concat()
            ),
            b"200"
        );
        for name in [tags, again] {
            std::fs::remove_file(name).expect("removed");
        }
        assert!(run("/app.js", &["--compressed"]) == script);
        let size = [
            "--header",
            "Accept-Encoding: gzip",
            "--write-out",
            "%{size_download}",
            "--output",
            "/dev/null",
        ];
        let size: usize = String::from_utf8(run("/app.js", &size))
            .ok()
            .and_then(|n| n.parse().ok())
            .expect("a size");
        assert!(size < script.len() / 2, "{size} bytes");
        let json: serde_json::Value =
            serde_json::from_slice(&run("/", &["--header", "Accept: application/json"]))
                .expect("JSON");
        assert_eq!(json[0]["name"], "app.js");
    });
}

/// Headings are buttons, which wget does not press: it asks for each directory once.
#[test]
#[ignore = "needs wget"]
fn wget_mirrors_each_directory_once() {
    if is_missing("wget") {
        return;
    }
    let root = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(root.path().join("sub")).expect("made");
    let names: Vec<_> = (0..20).map(|number| format!("{number}.txt")).collect();
    for name in names
        .iter()
        .chain([&"sub/README.md".into(), &"sub/b c".into()])
    {
        std::fs::write(root.path().join(name), name).expect("written");
    }
    on_every_model(|model| {
        let to = tempfile::tempdir().expect("a directory");
        let evserve = Evserve::http(model, root.path(), &["--access-log", "json"]);
        let mut wget = Command::new("wget");
        wget.args([
            "--quiet",
            "--mirror",
            "--execute",
            "robots=off",
            "--tries",
            "1",
        ]);
        let mirror = wget.arg("--no-host-directories").arg("--directory-prefix");
        let status = mirror.arg(to.path()).arg(evserve.url("/")).status();
        assert!(status.expect("wget runs").success(), "{model}");
        for name in &names {
            let copy = std::fs::read_to_string(to.path().join(name)).expect("mirrored");
            assert_eq!(&copy, name);
        }
        let log = evserve.stop().access_log;
        let requests = log.lines().filter(|line| line.contains("GET")).count();
        // Each file and each directory.
        assert_eq!(requests, 22 + 2, "{model}: {log}");
    });
}

fn wrk(evserve: &Evserve, path: &str, options: &[&str]) -> String {
    let output = Command::new("wrk")
        .arg("-t1")
        .args(options)
        .arg(evserve.url(path))
        .output()
        .expect("wrk runs");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{said}");
    for bad in ["Socket errors", "Non-2xx"] {
        assert!(!said.contains(bad), "{said}");
    }
    said
}

#[test]
#[ignore = "needs wrk"]
fn wrk_finds_no_errors() {
    if is_missing("wrk") {
        return;
    }
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join("1k"), pattern(1024)).expect("written");
    let script = root.path().join("pipeline.lua");
    let lua = "init = function(args)
        local requests = {}
        for i = 1, 16 do requests[i] = wrk.format() end
        pipelined = table.concat(requests)
    end
    request = function() return pipelined end";
    std::fs::write(&script, lua).expect("written");
    let script = script.to_str().expect("UTF-8");
    let evserve = Evserve::http("epoll", root.path(), &["--access-log", "off"]);
    println!("{}", wrk(&evserve, "/1k", &["-c1000", "-d5s"]));
    println!("{}", wrk(&evserve, "/1k", &["-c64", "-d5s", "-s", script]));
}

#[test]
#[ignore = "needs wrk"]
fn wrk_finds_no_errors_under_any_model() {
    if is_missing("wrk") {
        return;
    }
    on_every_model(|model| {
        let evserve = Evserve::http(model, Path::new("docs/site"), &["--access-log", "off"]);
        let options = match row(model).isolated_because {
            Some(_) => &["-d1s", "-c8", "-H", "Connection: close"][..],
            None => &["-d1s", "-c64"],
        };
        println!("{model}\n{}", wrk(&evserve, "/style.css", options));
        evserve.stop();
    });
}

#[test]
#[ignore = "moves 1 GiB beside a thousand connections"]
fn echo_returns_a_gibibyte_beside_idle_and_stuck_clients() {
    let evserve = Evserve::echo("epoll", &[]);
    let _idle: Vec<_> = (0..1000).map(|_| evserve.connect()).collect();
    let stuck: Vec<_> = (0..10).map(|_| evserve.connect()).collect();
    for client in &stuck {
        let mut stream = client.stream();
        stream.set_nonblocking(true).expect("a socket");
        while stream.write(&[0; 65536]).is_ok() {}
    }
    let block = pattern(1 << 20);
    let client = evserve.connect();
    thread::scope(|scope| {
        let mut writer = client.stream().try_clone().expect("a socket");
        let sent = &block;
        scope.spawn(move || (0..1024).for_each(|_| writer.write_all(sent).expect("sent")));
        let mut got = vec![0; block.len()];
        for number in 0..1024 {
            let mut stream = client.stream();
            stream.read_exact(&mut got).expect("received in time");
            assert!(got == block, "MiB {number} differs");
        }
    });
    let peak = evserve.proc_status("VmHWM");
    println!("at most {peak} KiB of memory");
    assert!(peak < 20 * 1024, "{peak} KiB of memory");
    let mut others = Client::connect(evserve.address());
    others.send("still there");
    assert_eq!(others.read(11), b"still there");
}
