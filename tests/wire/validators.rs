//! Entity tags and dates: versions of a file differ in them, and copies of one version do not.

use crate::common::{Evserve, PATIENCE, Response, is_loop, on_every_model};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{File, metadata, rename, write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Writes a file and sets its mtime, as a copy does that preserves times.
fn file_of(path: &Path, bytes: &[u8], modified: SystemTime) {
    write(path, bytes).expect("written");
    let file = File::options().write(true).open(path).expect("opened");
    file.set_modified(modified).expect("set");
}

fn long_ago() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}

fn ask(evserve: &Evserve, path: &str, fields: &[&str]) -> Response {
    let mut client = evserve.connect();
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    client.send(format!(
        "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n"
    ));
    let mut response = client.head();
    response.body = client.rest();
    response
}

/// The entity tag without `W/`. Whether it is weak depends on the time.
fn tag(response: &Response) -> String {
    let tag = response.field("ETag").expect("a tag");
    tag.trim_start_matches("W/").to_owned()
}

/// Waits until the file is old enough for a strong entity tag.
pub fn strong_tag(evserve: &Evserve, path: &str) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let response = ask(evserve, path, &[]);
        let tag = response.field("ETag").expect("a tag");
        if tag.starts_with('"') {
            return tag.to_owned();
        }
        assert!(Instant::now() < end, "it stays weak: {tag}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const NO_CACHE: &[&str] = &["--cache-bytes", "0", "--cache-files", "0"];

#[test]
fn files_of_equal_length_and_time_have_different_etags() {
    on_every_model(|model| {
        for options in [&[][..], NO_CACHE] {
            let root = tempfile::tempdir().expect("a directory");
            let path = root.path().join("f");
            file_of(&path, b"AAAAA", long_ago());
            let evserve = Evserve::http(model, root.path(), options);
            let mut known = BTreeSet::from([strong_tag(&evserve, "/f")]);
            // Replaces the file, or its content.
            let replace = || {
                let new = root.path().join("new");
                file_of(&new, b"BBBBB", long_ago());
                rename(&new, &path).expect("renamed");
            };
            let overwrite = || {
                let before = metadata(&path).expect("it exists").ctime_nsec();
                // Until the coarse clock that the kernel uses for ctime has advanced.
                while metadata(&path).expect("it exists").ctime_nsec() == before {
                    file_of(&path, b"CCCCC", long_ago());
                }
            };
            let changes: [(&dyn Fn(), &[u8]); 2] = [(&replace, b"BBBBB"), (&overwrite, b"CCCCC")];
            for (change, content) in changes {
                change();
                for old in &known {
                    for old in [old.clone(), format!("W/{old}")] {
                        let condition = format!("If-None-Match: {old}");
                        assert_eq!(ask(&evserve, "/f", &[&condition]).status, 200, "{old}");
                        let condition = format!("If-Match: {old}");
                        assert_eq!(ask(&evserve, "/f", &[&condition]).status, 412, "{old}");
                        let condition = format!("If-Range: {old}");
                        let answer = ask(&evserve, "/f", &["Range: bytes=2-", &condition]);
                        assert_eq!((answer.status, &*answer.body), (200, content), "{old}");
                    }
                }
                assert!(known.insert(tag(&ask(&evserve, "/f", &[]))), "a new tag");
            }
        }
    });
}

/// The entity tag is the same in each loop, thread, process and model, after a restart, and at
/// any time.
#[test]
fn a_file_from_the_future_has_a_stable_etag_and_no_date() {
    let root = tempfile::tempdir().expect("a directory");
    let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
    file_of(&root.path().join("small"), b"12345", tomorrow);
    file_of(&root.path().join("large"), &[b'x'; 1 << 20], tomorrow);
    for path in ["/small", "/large"] {
        let tags = RefCell::new(BTreeSet::new());
        on_every_model(|model| {
            let workers: &[&str] = match is_loop(model) {
                true => &["--workers", "2"],
                false => &[],
            };
            for options in [&[][..], NO_CACHE] {
                let evserve = Evserve::http(model, root.path(), &[workers, options].concat());
                for _ in 0..4 {
                    let answer = ask(&evserve, path, &[]);
                    assert_eq!(answer.field("Last-Modified"), None);
                    tags.borrow_mut().insert(tag(&answer));
                }
                let tag = tags.borrow().first().cloned().expect("one");
                let status = |field: &str| ask(&evserve, path, &[field]).status;
                assert_eq!(status(&format!("If-None-Match: {tag}")), 304);
                // There is no date to compare these with.
                let date = httpdate::fmt_http_date(tomorrow);
                assert_eq!(status(&format!("If-Modified-Since: {date}")), 200);
                let now = httpdate::fmt_http_date(SystemTime::now());
                assert_eq!(status(&format!("If-Unmodified-Since: {now}")), 200);
                let if_range = format!("If-Range: {date}");
                let answer = ask(&evserve, path, &["Range: bytes=0-0", &if_range]);
                assert_eq!(answer.status, 200);
            }
        });
        assert_eq!(tags.borrow().len(), 1, "{tags:?}");
    }
}

/// A cached response gets the date too.
#[test]
fn a_future_date_is_sent_once_it_has_passed() {
    let root = tempfile::tempdir().expect("a directory");
    on_every_model(|model| {
        let path = root.path().join("f");
        let soon = SystemTime::now() + Duration::from_secs(2);
        file_of(&path, b"12345", soon);
        let expected = httpdate::fmt_http_date(soon);
        let evserve = Evserve::http(model, root.path(), &[]);
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = ask(&evserve, "/f", &[]);
            match answer.field("Last-Modified") {
                Some(date) => {
                    assert_eq!(date, expected);
                    let said = answer.field("Date").map(httpdate::parse_http_date);
                    let said = said.expect("a date").expect("in HTTP's form");
                    assert!(httpdate::parse_http_date(date).expect("a date") <= said);
                    break;
                }
                None => assert!(Instant::now() < end, "it never comes"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}

/// A date identifies a version only if mtime was never set.
#[test]
fn if_range_with_a_date() {
    let root = tempfile::tempdir().expect("a directory");
    write(root.path().join("own"), "12345").expect("written");
    file_of(&root.path().join("set"), b"12345", long_ago());
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        for (path, expected) in [("/own", 206), ("/set", 200)] {
            let tag = strong_tag(&evserve, path);
            let date = ask(&evserve, path, &[]);
            let date = date.field("Last-Modified").expect("a date").to_owned();
            let status = |value: &str| {
                let condition = format!("If-Range: {value}");
                ask(&evserve, path, &["Range: bytes=0-0", &condition]).status
            };
            assert_eq!(status(&date), expected, "{path}");
            assert_eq!(status(&tag), 206, "{path}");
            assert_eq!(status(&format!("W/{tag}")), 200, "{path}");
        }
    });
}

#[test]
fn a_sibling_counts_as_older_from_two_seconds_on() {
    let root = tempfile::tempdir().expect("a directory");
    let modified = long_ago() + Duration::from_millis(2_500);
    file_of(&root.path().join("a.css"), b"plain", modified);
    on_every_model(|model| {
        for (before, is_used) in [
            (Duration::ZERO, true),
            (Duration::from_millis(500), true),
            (Duration::from_nanos(1_999_999_999), true),
            (Duration::from_secs(2), false),
            (Duration::from_secs(60), false),
        ] {
            file_of(&root.path().join("a.css.gz"), b"zipped", modified - before);
            let evserve = Evserve::http(model, root.path(), &[]);
            let answer = ask(&evserve, "/a.css", &["Accept-Encoding: gzip"]);
            let expected: &[u8] = if is_used { b"zipped" } else { b"plain" };
            assert_eq!(answer.body, expected, "{before:?} older");
        }
    });
}

/// For several machines that serve copies with equal times.
#[test]
fn etags_of_length_and_time_are_weak_and_equal_for_copies() {
    let roots = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    for root in &roots {
        file_of(&root.path().join("f"), b"12345", long_ago());
    }
    on_every_model(|model| {
        let servers = roots
            .each_ref()
            .map(|root| Evserve::http(model, root.path(), &["--etag", "mtime"]));
        let tags = servers
            .each_ref()
            .map(|server| ask(server, "/f", &[]).field("ETag").map(str::to_owned));
        assert_eq!(tags[0], tags[1]);
        let tag = tags[0].as_ref().expect("a tag");
        assert!(tag.starts_with("W/\""), "{tag}");
        let status = |fields: &[&str]| ask(&servers[1], "/f", fields).status;
        assert_eq!(status(&[&format!("If-None-Match: {tag}")]), 304);
        assert_eq!(status(&[&format!("If-Match: {tag}")]), 412);
        let strong = tag.trim_start_matches("W/");
        let if_range = format!("If-Range: {strong}");
        assert_eq!(status(&["Range: bytes=0-0", &if_range]), 200);
    });
}
