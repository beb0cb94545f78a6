//! Files that are compressed once (`--compress`).

use crate::common::{Client, Evserve, Response, is_loop, on_every_model_of_shared_memory};
use flate2::read::GzDecoder;
use std::fs::{File, write};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

fn text(length: usize) -> Vec<u8> {
    let words = (0_u64..)
        .flat_map(|number| format!("word {} of a text. ", number * 7919 % 1000).into_bytes());
    words.take(length).collect()
}

/// Bytes that no compressor makes shorter.
fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..length).map(|_| random.u8(..)).collect()
}

/// A file that was not changed recently.
fn file(root: &Path, name: &str, content: &[u8]) {
    let path = root.join(name);
    write(&path, content).expect("written");
    let file = File::options().write(true).open(&path).expect("opened");
    file.set_modified(SystemTime::now() - Duration::from_secs(3600))
        .expect("set");
}

fn tree() -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    file(root.path(), "small.css", &text(20_000));
    file(root.path(), "large.js", &text(1_000_000));
    file(root.path(), "short.css", &text(1000));
    file(root.path(), "noise.txt", &noise(20_000));
    file(root.path(), "picture.png", &text(20_000));
    file(root.path(), "both.css", &text(20_000));
    file(root.path(), "both.css.gz", b"a sibling");
    root
}

/// Asks until the response has this coding.
fn compressed(evserve: &Evserve, target: &str, coding: &str) -> Response {
    let accept = format!("Accept-Encoding: {coding}");
    let end = std::time::Instant::now() + crate::common::PATIENCE;
    loop {
        let response = evserve.ask("GET", target, &[&accept]);
        assert_eq!(response.status, 200);
        assert_eq!(response.field("Vary"), Some("Accept-Encoding"));
        match response.field("Content-Encoding") {
            Some(its) if its == coding => return response,
            Some(other) => panic!("{target} came as {other}"),
            None => assert!(
                std::time::Instant::now() < end,
                "{target} is not compressed"
            ),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).expect("gzip");
    plain
}

#[test]
fn a_text_is_compressed_once() {
    let root = tree();
    on_every_model_of_shared_memory(|model| {
        let evserve = Evserve::http(model, root.path(), &["--compress"]);
        // A loop keeps the large file open; the other models do not.
        let targets = match is_loop(model) {
            true => &["/small.css", "/large.js"][..],
            false => &["/small.css"],
        };
        for target in targets {
            let plain = evserve.ask("GET", target, &[]);
            assert_eq!(plain.field("Content-Encoding"), None, "{model}: {target}");
            assert_eq!(plain.field("Vary"), Some("Accept-Encoding"));
            let gzip = compressed(&evserve, target, "gzip");
            assert_eq!(gunzip(&gzip.body), plain.body, "{model}: {target}");
            let brotli = compressed(&evserve, target, "br");
            let mut decoded = Vec::new();
            brotli::BrotliDecompress(&mut &brotli.body[..], &mut decoded).expect("brotli");
            assert_eq!(decoded, plain.body, "{model}: {target}");
            let tags: Vec<_> = [&plain, &gzip, &brotli]
                .map(|one| one.field("ETag").expect("a tag"))
                .to_vec();
            assert!(tags[0] != tags[1] && tags[1] != tags[2], "{tags:?}");
            let same = [
                "Accept-Encoding: gzip",
                &format!("If-None-Match: {}", tags[1]),
            ];
            assert_eq!(evserve.ask("GET", target, &same).status, 304);
            let range = ["Accept-Encoding: gzip", "Range: bytes=10-19"];
            let part = evserve.ask("GET", target, &range);
            assert_eq!((part.status, &part.body[..]), (206, &gzip.body[10..20]));
            let head = evserve.ask("HEAD", target, &["Accept-Encoding: gzip"]);
            let length = gzip.body.len().to_string();
            assert_eq!(
                head.field("Content-Length"),
                Some(&*length),
                "{model}: {target}"
            );
            // Who does not ask gets the file as it is.
            assert_eq!(
                evserve
                    .ask("GET", target, &["Accept-Encoding: identity"])
                    .body,
                plain.body
            );
        }
    });
}

#[test]
fn what_is_not_compressed() {
    let root = tree();
    let evserve = Evserve::http("epoll", root.path(), &["--compress"]);
    let accept = &["Accept-Encoding: gzip"];
    for _ in 0..20 {
        for (target, coding, vary) in [
            ("/short.css", None, None),
            ("/picture.png", None, None),
            ("/noise.txt", None, Some("Accept-Encoding")),
            ("/both.css", Some("gzip"), Some("Accept-Encoding")),
        ] {
            let response = evserve.ask("GET", target, accept);
            assert_eq!(response.field("Content-Encoding"), coding, "{target}");
            assert_eq!(response.field("Vary"), vary, "{target}");
        }
        // By now the noise has been tried, since jobs are done in order.
        compressed(&evserve, "/small.css", "gzip");
    }
    assert_eq!(evserve.ask("GET", "/both.css", accept).body, b"a sibling");
    let evserve = Evserve::http("epoll", root.path(), &[]);
    let response = evserve.ask("GET", "/small.css", accept);
    assert_eq!(
        (response.field("Vary"), response.body.len()),
        (None, 20_000)
    );
}

#[test]
fn listings_and_the_status_page_are_compressed() {
    let root = tempfile::tempdir().expect("a directory");
    for number in 0..3000 {
        write(root.path().join(format!("file {number}")), "").expect("written");
    }
    std::fs::create_dir(root.path().join("empty")).expect("made");
    let gzip = &["Accept-Encoding: br, gzip"];
    on_every_model_of_shared_memory(|model| {
        let options = ["--compress", "--status", "0"];
        let evserve = Evserve::http(model, root.path(), &options);
        for format in ["html", "json", "text"] {
            let target = format!("/?format={format}&sort=-name");
            let plain = evserve.ask("GET", &target, &[]);
            assert_eq!(plain.field("Content-Encoding"), None, "{model}");
            let response = evserve.ask("GET", &target, gzip);
            for one in [&plain, &response, &evserve.ask("HEAD", &target, gzip)] {
                assert_eq!(
                    one.field("Vary"),
                    Some("Accept, Accept-Encoding"),
                    "{model}"
                );
            }
            assert_eq!(
                response.field("Content-Encoding"),
                Some("gzip"),
                "{model}: {format}"
            );
            assert!(gunzip(&response.body) == plain.body, "{model}: {format}");
            assert!(
                response.body.len() < plain.body.len() / 4,
                "{model}: {format}"
            );
        }
        // It is shorter than a packet.
        let empty = evserve.ask("GET", "/empty/?format=json", gzip);
        assert_eq!(
            (empty.field("Content-Encoding"), &*empty.body),
            (None, &b"[\n]\n"[..])
        );
        for target in ["/", "/live.css", "/live.js"] {
            let ask = |fields: &str| {
                let mut client = Client::connect(evserve.addresses[1]);
                client.send(format!("GET {target} HTTP/1.0\r\n{fields}\r\n"));
                client.response()
            };
            let (plain, response) = (ask(""), ask("Accept-Encoding: gzip\r\n"));
            assert_eq!(
                response.field("Content-Encoding"),
                Some("gzip"),
                "{model}: {target}"
            );
            let vary = Some("Accept-Encoding");
            assert_eq!((plain.field("Vary"), response.field("Vary")), (vary, vary));
            assert!(gunzip(&response.body) == plain.body, "{model}: {target}");
        }
    });
}

/// While the memory for the result is missing, a listing is sent as it is.
#[test]
fn a_listing_without_memory_for_its_compressed_form_is_sent_as_it_is() {
    let root = tempfile::tempdir().expect("a directory");
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..200 {
        let name: String = (0..200).map(|_| random.alphanumeric()).collect();
        write(root.path().join(name), "").expect("written");
    }
    // Loops divide the memory.
    let options = ["--compress", "--listing-bytes", "100KiB", "--workers", "1"];
    let evserve = Evserve::http("epoll", root.path(), &options);
    let response = evserve.ask("GET", "/?format=text", &["Accept-Encoding: gzip"]);
    assert_eq!((response.status, response.body.len()), (200, 200 * 201));
    assert_eq!(response.field("Content-Encoding"), None);
}

/// A compressed version is dropped with the file's.
#[test]
fn a_changed_file_is_never_sent_as_it_was() {
    on_every_model_of_shared_memory(|model| {
        let root = tree();
        let evserve = Evserve::http(model, root.path(), &["--compress"]);
        compressed(&evserve, "/small.css", "gzip");
        let new: Vec<u8> = text(20_000).into_iter().rev().collect();
        write(root.path().join("small.css"), &new).expect("written");
        let accept = &["Accept-Encoding: gzip"];
        for _ in 0..3 {
            let response = evserve.ask("GET", "/small.css", accept);
            let body = match response.field("Content-Encoding") {
                Some(_) => gunzip(&response.body),
                None => response.body,
            };
            assert!(body == new, "{model}: the old version");
        }
        assert_eq!(
            gunzip(&compressed(&evserve, "/small.css", "gzip").body),
            new
        );
    });
}

/// Files for which no job can wait now are compressed later.
#[test]
fn more_files_than_can_wait_are_all_compressed() {
    let root = tempfile::tempdir().expect("a directory");
    let names: Vec<_> = (0..100).map(|number| format!("{number}.css")).collect();
    for name in &names {
        file(root.path(), name, &text(500_000));
    }
    let evserve = Evserve::http("epoll", root.path(), &["--compress"]);
    // When the newest file is old enough, all are: these requests come faster than the jobs end.
    compressed(&evserve, &format!("/{}", names[99]), "gzip");
    for name in &names {
        evserve.ask("HEAD", &format!("/{name}"), &["Accept-Encoding: gzip"]);
    }
    for name in &names {
        compressed(&evserve, &format!("/{name}"), "gzip");
    }
}
