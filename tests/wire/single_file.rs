//! A single file as ROOT: it is served at `/` and at its name, and the rest of its directory is not.

use super::root::KeepAliveClient;
use crate::common::{Evserve, Program, Response, on_every_model, on_one_model_of_each_kind, skip};
use std::fs::{self, create_dir, remove_file, rename, write};
use std::os::unix::fs::symlink;
use tempfile::TempDir;

/// A directory with a picture, a compressed sibling of it, and other files.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in [
        ("photo.jpg", "picture"),
        ("photo.jpg.gz", "compressed"),
        ("other.txt", "other"),
        (".profile", "hidden"),
        ("index.html", "index"),
    ] {
        write(directory.path().join(name), text).expect("written");
    }
    create_dir(directory.path().join("below")).expect("made");
    write(directory.path().join("below/photo.jpg"), "below").expect("written");
    directory
}

fn ask(evserve: &Evserve, request: &str) -> Response {
    let mut client = evserve.connect();
    client.send(format!(
        "{request}\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    ));
    match request.starts_with("HEAD ") {
        true => client.head(),
        false => client.response(),
    }
}

#[test]
fn a_single_file_is_served_and_nothing_beside_it() {
    on_every_model(|model| {
        let directory = directory();
        let evserve = Evserve::http(model, &directory.path().join("photo.jpg"), &[]);
        for target in [
            "/",
            "/photo.jpg",
            "/%70hoto.jpg",
            "/?format=json",
            "/below/../photo.jpg",
        ] {
            let request = format!("GET {target} HTTP/1.1\r\nAccept-Encoding: gzip");
            let response = ask(&evserve, &request);
            assert_eq!(response.status, 200, "{target}");
            assert_eq!(response.body, b"picture", "{target}");
            assert_eq!(
                response.field("Content-Type"),
                Some("image/jpeg"),
                "{target}"
            );
            assert_eq!(response.field("Content-Encoding"), None, "{target}");
            let response = ask(&evserve, &format!("HEAD {target} HTTP/1.1"));
            assert_eq!(response.status, 200, "{target}");
            assert_eq!(response.field("Content-Length"), Some("7"), "{target}");
            let request = format!("GET {target} HTTP/1.1\r\nRange: bytes=1-3");
            let response = ask(&evserve, &request);
            assert_eq!(
                (response.status, &*response.body),
                (206, &b"ict"[..]),
                "{target}"
            );
        }
        for (target, status) in [
            ("/other.txt", 404),
            ("/photo.jpg.gz", 404),
            ("/photo.jpg/", 404),
            ("/photo.jpg/other.txt", 404),
            ("/photo", 404),
            ("/PHOTO.JPG", 404),
            ("/.profile", 404),
            ("/index.html", 404),
            ("/below", 404),
            ("/below/", 404),
            ("/below/photo.jpg", 404),
            ("/photo.jpg/../other.txt", 404),
            ("/../photo.jpg", 400),
            ("/%2e%2e/photo.jpg", 400),
            ("/..%2fphoto.jpg", 404),
        ] {
            let response = ask(&evserve, &format!("GET {target} HTTP/1.1"));
            assert_eq!(response.status, status, "{target}");
        }
    });
}

#[test]
fn a_single_file_may_be_hidden_and_have_any_name() {
    let directory = directory();
    write(directory.path().join("100% odd.txt"), "odd").expect("written");
    for (name, target, body) in [
        (".profile", "/.profile", "hidden"),
        ("100% odd.txt", "/100%25%20odd.txt", "odd"),
        ("photo.jpg.gz", "/photo.jpg.gz", "compressed"),
    ] {
        let evserve = Evserve::http("epoll", &directory.path().join(name), &[]);
        for target in ["/", target] {
            let response = ask(&evserve, &format!("GET {target} HTTP/1.1"));
            assert_eq!(response.status, 200, "{name}");
            assert_eq!(response.body, body.as_bytes(), "{name}");
        }
    }
}

#[test]
fn a_single_file_is_followed_by_its_name() {
    on_every_model(|model| {
        let directory = directory();
        let at = |name: &str| directory.path().join(name);
        let evserve = Evserve::http(model, &at("photo.jpg"), &[]);
        let mut asker = KeepAliveClient::new(evserve.address());
        asker.wait_for("/", 200, "picture");
        write(at("new"), "another picture").expect("written");
        rename(at("new"), at("photo.jpg")).expect("replaced");
        asker.wait_for("/", 200, "another picture");
        asker.wait_for("/photo.jpg", 200, "another picture");
        fs::write(at("photo.jpg"), "the same file, changed").expect("written");
        asker.wait_for("/photo.jpg", 200, "the same file, changed");
        remove_file(at("photo.jpg")).expect("removed");
        asker.wait_for("/photo.jpg", 503, "");
        // A directory in its place is not served.
        create_dir(at("photo.jpg")).expect("made");
        write(at("photo.jpg/index.html"), "index").expect("written");
        for target in ["/", "/photo.jpg", "/photo.jpg/", "/photo.jpg/index.html"] {
            let status = asker.ask(target).status;
            assert!([404, 503].contains(&status), "{target}: {status}");
        }
        fs::remove_dir_all(at("photo.jpg")).expect("removed");
        write(at("photo.jpg"), "a picture again").expect("written");
        asker.wait_for("/", 200, "a picture again");
        // So is its directory.
        let (here, away) = (directory.path(), directory.path().with_extension("away"));
        rename(here, &away).expect("moved");
        create_dir(here).expect("made");
        write(at("photo.jpg"), "in another directory").expect("written");
        // The sandbox does not let it in there, or it does.
        let status = loop {
            let response = asker.ask("/");
            if response.body != b"a picture again" {
                break response.status;
            }
        };
        assert!([200, 403, 503].contains(&status), "{status}");
        fs::remove_dir_all(away).expect("removed");
    });
}

#[test]
fn a_single_file_may_be_a_link_and_has_the_name_of_the_link() {
    on_one_model_of_each_kind(|model| {
        let directory = directory();
        let at = |name: &str| directory.path().join(name);
        for (release, text) in [("1", "one"), ("2", "two")] {
            fs::create_dir_all(at("r").join(release)).expect("made");
            write(at("r").join(release).join("blob"), text).expect("written");
        }
        symlink("r/1/blob", at("current.txt")).expect("linked");
        let options = ["--sandbox", "off"];
        let evserve = Evserve::http(model, &at("current.txt"), &options);
        let response = ask(&evserve, "GET /current.txt HTTP/1.1");
        assert_eq!((response.status, &*response.body), (200, &b"one"[..]));
        let media_type = response.field("Content-Type");
        assert_eq!(media_type, Some("text/plain; charset=utf-8"));
        assert_eq!(ask(&evserve, "GET /blob HTTP/1.1").status, 404);
        symlink("r/2/blob", at("next")).expect("linked");
        rename(at("next"), at("current.txt")).expect("switched");
        let mut asker = KeepAliveClient::new(evserve.address());
        asker.wait_for("/current.txt", 200, "two");
        asker.wait_for("/", 200, "two");
    });
}

#[test]
fn a_strict_sandbox_allows_the_single_file_alone() {
    on_one_model_of_each_kind(|model| {
        let directory = directory();
        let at = |name: &str| directory.path().join(name);
        let options = ["--sandbox", "strict"];
        let mut evserve = Evserve::http(model, &at("photo.jpg"), &options);
        let line = evserve.wait_for_log("sandbox");
        if !line.contains("Landlock ABI") {
            return skip("landlock", line);
        }
        let mut asker = KeepAliveClient::new(evserve.address());
        asker.wait_for("/", 200, "picture");
        rename(at("photo.jpg"), at("old")).expect("moved");
        write(at("photo.jpg"), "another").expect("written");
        asker.wait_for("/", 403, "");
        evserve.wait_for_log("or the sandbox does because it was replaced");
        rename(at("old"), at("photo.jpg")).expect("moved");
        asker.wait_for("/", 200, "picture");
    });
}

#[test]
fn a_single_file_must_be_a_regular_file() {
    let said = Program::evserve("--listen 127.0.0.1:0 /dev/null").fails(1);
    assert!(said.contains("name a directory or a file"), "{said}");
}
