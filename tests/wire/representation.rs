//! Representations: conditions, ranges, codings, request bodies, and the options of a site.

use crate::common::{Evserve, on_every_model, pattern};
use crate::validators::strong_tag;
use std::fs::{File, create_dir, write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;

const MODIFIED: &str = "Sun, 09 Sep 2001 01:46:40 GMT";

/// Writes a file with an old mtime, which gives it a strong entity tag.
fn old_file(path: &Path, bytes: &[u8]) {
    write(path, bytes).expect("written");
    let file = File::options().write(true).open(path).expect("opened");
    let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    file.set_modified(time).expect("set");
}

fn tree() -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    let path = |name: &str| root.path().join(name);
    old_file(&path("data"), &pattern(10_000));
    old_file(&path("empty"), b"");
    for directory in [".git", ".well-known", "list"] {
        create_dir(path(directory)).expect("made");
    }
    old_file(&path(".git/config"), b"secret");
    old_file(&path(".well-known/x"), b"public");
    old_file(&path("list/.hidden"), b"");
    old_file(&path("list/start.html"), b"start");
    old_file(&path("app.js"), b"plain script");
    old_file(&path("app.js.br"), b"brotli");
    old_file(&path("app.js.gz"), b"gzipped");
    old_file(&path("404.html"), b"<p>not here");
    root
}

#[test]
fn conditional_requests() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &["--cache-control", "max-age=60"]);
        let tag = strong_tag(&evserve, "/data");
        let plain = evserve.ask("GET", "/data", &[]);
        assert_eq!(plain.field("Last-Modified"), Some(MODIFIED));
        assert_eq!(plain.field("Accept-Ranges"), Some("bytes"));
        let status = |fields: &[&str]| evserve.ask("GET", "/data", fields).status;
        let (same, other) = (format!("If-None-Match: {tag}"), "If-None-Match: \"x\"");
        let since = format!("If-Modified-Since: {MODIFIED}");
        assert_eq!(status(&[&same]), 304);
        assert_eq!(status(&["If-None-Match: *"]), 304);
        assert_eq!(status(&[other]), 200);
        assert_eq!(status(&[&since]), 304);
        assert_eq!(status(&[other, &since]), 200, "the tag rules");
        assert_eq!(status(&["If-Match: \"x\""]), 412);
        assert_eq!(status(&[&format!("If-Match: {tag}")]), 200);
        assert_eq!(
            status(&["If-Unmodified-Since: Sat, 08 Sep 2001 01:46:40 GMT"]),
            412
        );
        let unchanged = evserve.ask("GET", "/data", &[&same]);
        assert_eq!(unchanged.body, b"");
        assert_eq!(unchanged.field("ETag"), Some(&*tag));
        assert_eq!(unchanged.field("Cache-Control"), Some("max-age=60"));
        assert_eq!(unchanged.field("Content-Length"), None);
        assert_eq!(unchanged.field("Content-Type"), None);
        assert_eq!(evserve.ask("HEAD", "/data", &[&same]).status, 304);
        // A listing has no entity tag; only `*` matches it.
        let listing = |field| evserve.ask("GET", "/list/", &[field]).status;
        assert_eq!(listing("If-None-Match: *"), 304);
        assert_eq!(listing("If-None-Match: \"x\""), 200);
        assert_eq!(listing("If-Match: \"x\""), 412);
        assert_eq!(listing("If-Match: *"), 200);
    });
}

/// All lines of a list field are one list (RFC 9110 section 5.3). Other fields are ignored if they
/// occur several times.
#[test]
fn repeated_list_fields_are_joined() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        let tag = strong_tag(&evserve, "/data");
        let status = |fields: &[&str]| evserve.ask("GET", "/data", fields).status;
        for name in ["If-Match", "If-None-Match"] {
            let (same, other) = (format!("{name}: {tag}"), format!("{name}: \"o\""));
            let (found, missing) = if name == "If-Match" {
                (200, 412)
            } else {
                (304, 200)
            };
            assert_eq!(status(&[&same, &other]), found);
            assert_eq!(status(&[&other, &same]), found);
            assert_eq!(
                status(&[&other, "X: y", &other.to_lowercase(), &same]),
                found
            );
            assert_eq!(status(&[&other, &other]), missing);
        }
        let coding = |fields: &[&str]| {
            let answer = evserve.ask("HEAD", "/app.js", fields);
            answer.field("Content-Encoding").map(str::to_owned)
        };
        let [br, gzip] = ["br", "gzip"].map(|name| Some(name.to_owned()));
        assert_eq!(
            coding(&["Accept-Encoding: br;q=0", "Accept-Encoding: *"]),
            gzip
        );
        assert_eq!(coding(&["Accept-Encoding: br", "Accept-Encoding: x"]), br);
        assert_eq!(
            coding(&["Accept-Encoding: *;q=0", "accept-encoding: gzip"]),
            gzip
        );
        let json = ["Accept: application/json", "Accept: text/html;q=0.5"];
        let listing = evserve.ask("GET", "/list/", &json);
        assert_eq!(listing.field("Content-Type"), Some("application/json"));
        let range = "Range: bytes=0-0";
        assert_eq!(status(&[range]), 206);
        assert_eq!(status(&[range, "Range: bytes=1-1"]), 200);
        let if_range = format!("If-Range: {tag}");
        assert_eq!(status(&[range, &if_range]), 206);
        assert_eq!(status(&[range, &if_range, &if_range]), 200);
        let since = format!("If-Modified-Since: {MODIFIED}");
        assert_eq!(status(&[&since, &since]), 200);
        let until = "If-Unmodified-Since: Sat, 08 Sep 2001 01:46:40 GMT";
        assert_eq!(status(&[until, until]), 200);
    });
}

/// The clock of the file system may be too coarse to show a second change, so the entity tag must
/// be weak.
#[test]
fn a_recently_changed_file_has_a_weak_etag() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        write(root.path().join("data"), "new").expect("written");
        let tag = evserve
            .ask("GET", "/data", &[])
            .field("ETag")
            .expect("a tag")
            .to_owned();
        assert!(tag.starts_with("W/\""), "{tag}");
        let if_range = format!("If-Range: {tag}");
        assert_eq!(
            evserve
                .ask("GET", "/data", &["Range: bytes=0-0", &if_range])
                .status,
            200
        );
    });
}

#[test]
fn single_ranges() {
    let root = tree();
    let bytes = pattern(10_000);
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        let cases = [
            ("bytes=0-99", 0..100),
            ("bytes=9999-", 9999..10_000),
            ("bytes=-500", 9500..10_000),
            ("bytes=5000-99999", 5000..10_000),
            ("bytes=-99999", 0..10_000),
        ];
        for (range, expected) in cases {
            let part = evserve.ask("GET", "/data", &[&format!("Range: {range}")]);
            assert_eq!(part.status, 206, "{range}");
            let shown = format!("bytes {}-{}/10000", expected.start, expected.end - 1);
            assert_eq!(part.field("Content-Range"), Some(&*shown), "{range}");
            assert!(part.body == bytes[expected], "{range}");
        }
        let beyond = evserve.ask("GET", "/data", &["Range: bytes=10000-"]);
        assert_eq!(beyond.status, 416);
        assert_eq!(beyond.field("Content-Range"), Some("bytes */10000"));
        for range in ["bytes=x", "lines=0-1", "bytes=9-5"] {
            let whole = evserve.ask("GET", "/data", &[&format!("Range: {range}")]);
            assert_eq!((whole.status, whole.body.len()), (200, 10_000), "{range}");
        }
        assert_eq!(
            evserve.ask("HEAD", "/data", &["Range: bytes=0-0"]).status,
            200
        );
        assert_eq!(
            evserve.ask("GET", "/empty", &["Range: bytes=0-"]).status,
            416
        );
        assert_eq!(
            evserve.ask("GET", "/empty", &["Range: bytes=-5"]).status,
            200
        );
        let stale = ["Range: bytes=0-0", "If-Range: \"x\""];
        assert_eq!(evserve.ask("GET", "/data", &stale).status, 200);
        let tag = strong_tag(&evserve, "/data");
        let fresh = ["Range: bytes=0-0", &format!("If-Range: {tag}")];
        assert_eq!(evserve.ask("GET", "/data", &fresh).status, 206);
    });
}

#[test]
fn several_ranges_are_sent_as_multipart() {
    let root = tree();
    let bytes = pattern(10_000);
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        let mut client = evserve.connect();
        client.send("GET /data HTTP/1.1\r\nHost: h\r\nRange: bytes=0-9,5000-5099,-1\r\n\r\n");
        let answer = client.response();
        assert_eq!(answer.status, 206);
        let kind = answer.field("Content-Type").expect("a type");
        let boundary = kind
            .strip_prefix("multipart/byteranges; boundary=")
            .expect(kind);
        let mut expected = Vec::new();
        for (first, last) in [(0, 9), (5000, 5099), (9999, 9999)] {
            let head = format!(
                "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n\
                 Content-Range: bytes {first}-{last}/10000\r\n\r\n"
            );
            expected.extend_from_slice(head.as_bytes());
            expected.extend_from_slice(&bytes[first..=last]);
        }
        expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert!(
            answer.body == expected,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        if answer.field("Connection") != Some("close") {
            client.send("GET /empty HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(client.response().status, 200, "the connection is in step");
        }
        let many: Vec<_> = (0..65).map(|n| format!("{0}-{0}", n * 150)).collect();
        let field = format!("Range: bytes={}", many.join(","));
        let whole = evserve.ask("GET", "/data", &[&field]);
        assert_eq!((whole.status, whole.body.len()), (200, 10_000));
    });
}

#[test]
fn ranges_beyond_four_gibibytes() {
    let root = tempfile::tempdir().expect("a directory");
    let file = File::create(root.path().join("huge")).expect("made");
    file.set_len(5 << 30).expect("sparse");
    std::os::unix::fs::FileExt::write_all_at(&file, b"marker", (5 << 30) - 6).expect("written");
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        let part = evserve.ask("GET", "/huge", &["Range: bytes=5368709114-"]);
        assert_eq!(part.body, b"marker");
        assert_eq!(
            part.field("Content-Range"),
            Some("bytes 5368709114-5368709119/5368709120")
        );
    });
}

#[test]
fn compressed_siblings() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        let with = |value: &str| {
            let field = format!("Accept-Encoding: {value}");
            evserve.ask("GET", "/app.js", &[&field])
        };
        let plain = evserve.ask("GET", "/app.js", &[]);
        assert_eq!(plain.body, b"plain script");
        assert_eq!(plain.field("Content-Encoding"), None);
        assert_eq!(plain.field("Vary"), Some("Accept-Encoding"));
        for (value, coding, body) in [
            ("gzip, br", "br", &b"brotli"[..]),
            ("gzip", "gzip", b"gzipped"),
            ("br;q=0.1, gzip;q=0.9", "gzip", b"gzipped"),
            ("zstd, gzip;q=0.1", "gzip", b"gzipped"),
            ("*", "br", b"brotli"),
        ] {
            let coded = with(value);
            assert_eq!(coded.field("Content-Encoding"), Some(coding), "{value}");
            assert_eq!(coded.body, body, "{value}");
            assert_eq!(coded.field("Vary"), Some("Accept-Encoding"));
            assert_eq!(coded.field("Content-Type"), plain.field("Content-Type"));
            assert_ne!(coded.field("ETag"), plain.field("ETag"));
        }
        assert_eq!(with("identity, gzip;q=0.5").body, b"plain script");
        assert_eq!(with("br;q=0, gzip;q=0").body, b"plain script");
        let beyond = evserve.ask(
            "GET",
            "/app.js",
            &["Accept-Encoding: br", "Range: bytes=99-"],
        );
        assert_eq!(beyond.status, 416);
        assert_eq!(beyond.field("Vary"), Some("Accept-Encoding"));
        assert_eq!(beyond.field("Content-Encoding"), None);
        let itself = evserve.ask("GET", "/app.js.gz", &["Accept-Encoding: gzip"]);
        assert_eq!(itself.field("Content-Encoding"), None);
        assert_eq!(
            evserve
                .ask("GET", "/data", &["Accept-Encoding: br"])
                .field("Vary"),
            None
        );
    });
    // The sibling is older than the last change of the file, so it is not used.
    write(root.path().join("app.js"), "changed").expect("written");
    let evserve = Evserve::http("epoll", root.path(), &[]);
    let now = evserve.ask("GET", "/app.js", &["Accept-Encoding: br, gzip"]);
    assert_eq!(
        (now.field("Content-Encoding"), &now.body[..]),
        (None, &b"changed"[..])
    );
}

#[test]
fn request_bodies_are_discarded_and_the_next_request_answered() {
    let root = tree();
    let next = "GET /empty HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let post = |fields: &str, body: &str| {
        format!("POST /data HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n{body}{next}")
    };
    let large = "x".repeat(900_000);
    let requests = [
        post("Content-Length: 5", "GET /"),
        post("Content-Length: 0", ""),
        post("Content-Length: 900000", &large),
        post(
            "Transfer-Encoding: chunked",
            "5;a=b\r\nGET /\r\n0\r\nT: u\r\n\r\n",
        ),
        post(
            "Transfer-Encoding: chunked",
            &format!("dbba0\r\n{large}\r\n0\r\n\r\n"),
        ),
        post("Content-Length: 5", "GET /").replace("POST", "GET"),
    ];
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        for request in &requests {
            let (head, _) = request.split_at(60);
            for step in [usize::MAX, 7] {
                let mut client = evserve.connect();
                for chunk in request.as_bytes().chunks(step.max(request.len() / 2000)) {
                    // While clients wait, the connection may close before the next request is sent.
                    client.try_send(chunk);
                }
                let first = client.response();
                let expected = if request.starts_with("GET") { 200 } else { 405 };
                assert_eq!(first.status, expected, "{head:?}");
                if first.field("Connection") == Some("close") {
                    continue; // The blocking model: others wait.
                }
                assert_eq!(client.response().status, 200, "{head:?}");
                assert_eq!(client.rest(), b"");
            }
        }
    });
}

#[test]
fn bodies_that_are_too_long_or_malformed_are_refused() {
    let root = tree();
    // Little content and much framing.
    let extensions = format!("1;e={}\r\nx\r\n", "e".repeat(1000)).repeat(5);
    let zeros = "0000000000000001 \t \t \t \t ;e\r\nx\r\n".repeat(200);
    let trailers = format!("0\r\n{}", "Name: value\r\n".repeat(400));
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &["--max-body", "10"]);
        for (fields, body, status) in [
            ("Content-Length: 11", "", 413),
            ("Transfer-Encoding: chunked", "b\r\nhello", 413),
            ("Transfer-Encoding: chunked", "6\r\nhello!\r\n5\r\n", 413),
            ("Transfer-Encoding: chunked", &extensions, 413),
            ("Transfer-Encoding: chunked", &zeros, 413),
            ("Transfer-Encoding: chunked", &trailers, 413),
            ("Transfer-Encoding: chunked", "x\r\n", 400),
            ("Transfer-Encoding: chunked", "1\r\nab\r\n", 400),
            ("Transfer-Encoding: gzip", "", 400),
            ("Transfer-Encoding: chunked, gzip", "", 400),
            (
                "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
                "",
                501,
            ),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked", "", 400),
        ] {
            let mut client = evserve.connect();
            client.send(format!(
                "PUT /data HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n{body}"
            ));
            let answer = client.response();
            assert_eq!(answer.status, status, "{fields} {body:?}");
            assert_eq!(answer.field("Connection"), Some("close"));
            assert_eq!(client.rest(), b"");
        }
    });
}

#[test]
fn expect_100_continue() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        let mut client = evserve.connect();
        let head =
            "PUT /data HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
        client.send(head);
        assert_eq!(client.head().status, 100);
        client.send("hello");
        assert_eq!(client.response().status, 405);
        let mut client = evserve.connect();
        client.send(head.replace("100-continue", "a-miracle"));
        assert_eq!(client.response().status, 417);
        let mut client = evserve.connect();
        client.send(head.replace(" 5", " 5000000"));
        assert_eq!(
            client.response().status,
            413,
            "no need to send what is not wanted"
        );
    });
}

#[test]
fn a_body_that_does_not_come_times_out() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &["--body-timeout", "200ms"]);
        let mut client = evserve.connect();
        client.send("PUT /data HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel");
        assert_eq!(client.response().status, 408);
        assert_eq!(client.rest(), b"");
    });
}

#[test]
fn options_method() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        for target in ["/data", "*", "/gone"] {
            let answer = evserve.ask("OPTIONS", target, &[]);
            assert_eq!(answer.status, 200, "{target}");
            assert_eq!(answer.field("Allow"), Some("GET, HEAD, OPTIONS"));
            assert_eq!(answer.field("Content-Length"), Some("0"));
        }
    });
}

#[test]
fn hidden_files_and_options_of_a_site() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        let get = |evserve: &Evserve, path: &str| evserve.ask("GET", path, &[]);
        assert_eq!(get(&evserve, "/.git/config").status, 404);
        assert_eq!(get(&evserve, "/%2egit/config").status, 404);
        assert_eq!(get(&evserve, "/.git").status, 404);
        assert_eq!(get(&evserve, "/.well-known/x").body, b"public");
        let page = String::from_utf8(get(&evserve, "/list/").body).expect("UTF-8");
        assert!(
            page.contains("start.html") && !page.contains(".hidden"),
            "{page}"
        );
        assert_eq!(get(&evserve, "/data").field("Cache-Control"), None);

        let options = [
            "--hidden",
            "--index",
            "start.html",
            "--header",
            "X-A: b",
            "--header",
            "Y:c",
        ];
        let more = [
            "--error-page",
            "404=404.html",
            "--error-page",
            "416=404.html",
            "--error-page",
            "400=404.html",
        ];
        let evserve = Evserve::http(model, root.path(), &[&options[..], &more].concat());
        assert_eq!(get(&evserve, "/.git/config").body, b"secret");
        let index = get(&evserve, "/list/");
        assert_eq!(
            (&index.body[..], index.field("X-A"), index.field("Y")),
            (&b"start"[..], Some("b"), Some("c"))
        );
        let gone = get(&evserve, "/gone");
        assert_eq!((gone.status, &gone.body[..]), (404, &b"<p>not here"[..]));
        assert_eq!(gone.field("Content-Type"), Some("text/html; charset=utf-8"));
        let beyond = evserve.ask("GET", "/data", &["Range: bytes=10000-"]);
        assert_eq!(
            (beyond.status, &beyond.body[..]),
            (416, &b"<p>not here"[..])
        );
        assert_eq!(beyond.field("Content-Range"), Some("bytes */10000"));
        let coded = evserve.ask("GET", "/app.js", &["Range: bytes=99-"]);
        assert_eq!(
            (coded.status, coded.field("Vary")),
            (416, Some("Accept-Encoding"))
        );
        let bad = evserve.ask("GET", "/data", &["Host: twice"]);
        assert_eq!((bad.status, &bad.body[..]), (400, &b"<p>not here"[..]));
        let page = String::from_utf8(get(&evserve, "/").body).expect("UTF-8");
        assert!(page.contains(".git/"), "{page}");

        let options = [
            "--no-listing",
            "--fallback",
            "404.html",
            "--max-head",
            "300",
        ];
        let evserve = Evserve::http(model, root.path(), &options);
        assert_eq!(get(&evserve, "/list/").status, 403);
        let app = evserve.ask("GET", "/some/route", &["Accept: text/html"]);
        assert_eq!((app.status, &app.body[..]), (200, &b"<p>not here"[..]));
        assert_eq!(
            evserve
                .ask("GET", "/data", &[&format!("A: {}", "x".repeat(300))])
                .status,
            431
        );
    });
}

#[test]
fn added_fields_replace_their_namesakes() {
    let root = tree();
    let policy = "default-src 'self'";
    let added = [
        ("server", "mine"),
        ("Content-Security-Policy", policy),
        ("Cache-Control", "no-store"),
        ("X-One", "1"),
    ];
    let options = added.map(|(name, value)| format!("--header={name}: {value}"));
    let mut options: Vec<_> = options.iter().map(String::as_str).collect();
    options.extend(["--no-listing", "--error-page=403=404.html"]);
    on_every_model(|model| {
        for options in [&options[..4], &options[..]] {
            let evserve = Evserve::http(model, root.path(), options);
            let browser = "Accept: text/html";
            for (method, path, fields, statuses) in [
                ("GET", "/data", &[][..], &[200][..]),
                ("HEAD", "/app.js", &[], &[200]),
                ("GET", "/data", &["If-None-Match: *"], &[304]),
                ("GET", "/data", &["Range: bytes=0-0"], &[206]),
                ("GET", "/data", &["Range: bytes=0-0,500-500"], &[206]),
                ("GET", "/data", &["Range: bytes=99999-"], &[416]),
                ("GET", "/data", &["If-Match: \"x\"", browser], &[412]),
                ("GET", "/list/", &[browser], &[200, 403]),
                ("GET", "/list/", &["Accept: application/json"], &[200, 403]),
                ("GET", "/list", &[], &[301]),
                ("GET", "/no", &[browser], &[404]),
                ("GET", "/no", &[], &[404]),
                ("PUT", "/data", &[browser], &[405]),
                ("OPTIONS", "/", &[], &[200]),
                ("GET", "/%", &[browser], &[400]),
                ("GET", "/", &["Host: h"], &[400]),
            ] {
                let answer = evserve.ask(method, path, fields);
                assert!(statuses.contains(&answer.status), "{path} {fields:?}");
                let mut names: Vec<_> = answer
                    .head
                    .lines()
                    .skip(1)
                    .filter_map(|line| Some(line.split_once(':')?.0.to_lowercase()))
                    .collect();
                let all = names.len();
                names.sort();
                names.dedup();
                assert_eq!(names.len(), all, "{path} {fields:?}: {}", answer.head);
                for (name, value) in added {
                    assert_eq!(answer.field(name), Some(value), "{path} {fields:?}");
                }
            }
        }
    });
}
