//! The switches for sites: clean URLs, CORS, isolation, Cache-Control and media types by name, the
//! fallback.

use crate::common::{Evserve, on_every_model};
use std::fs::{create_dir, remove_dir, remove_file, rename, write};
use std::path::Path;
use tempfile::TempDir;

const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";

fn tree() -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    let path = |name: &str| root.path().join(name);
    for directory in ["guide", "docs", "assets"] {
        create_dir(path(directory)).expect("made");
    }
    for (name, content) in [
        ("index.html", "home"),
        ("about.html", "about"),
        ("guide.html", "guide"),
        ("guide/a.html", "a"),
        ("docs/index.htm", "docs"),
        ("both", "plain"),
        ("both.html", "page"),
        ("a b&c.html", "odd"),
        ("assets/app.js", "script"),
        ("assets/app.js.gz", "gzipped"),
        ("notes.MD", "notes"),
        ("picture.svgz", "gzipped picture"),
        ("main.css", "css"),
    ] {
        write(path(name), content).expect("written");
    }
    root
}

/// The status, and the body or the target of the redirect.
fn get(evserve: &Evserve, target: &str) -> (u16, String) {
    let response = evserve.ask("GET", target, &[]);
    let shown = match response.field("Location") {
        Some(location) => location.to_owned(),
        None if response.status == 200 => String::from_utf8(response.body).expect("UTF-8"),
        None => String::new(),
    };
    (response.status, shown)
}

#[test]
fn clean_urls() {
    let root = tree();
    on_every_model(|model| {
        let options = [
            "--clean-urls",
            "--index",
            "index.html",
            "--index",
            "index.htm",
        ];
        let evserve = Evserve::http(model, root.path(), &options);
        // Twice: at first from the file system, then from the cache.
        for _ in 0..2 {
            for (target, status, shown) in [
                ("/", 200, "home"),
                ("/index.html", 301, "./"),
                ("/index.html?a=b", 301, "./?a=b"),
                ("/docs/", 200, "docs"),
                ("/docs/index.htm", 301, "./"),
                ("/docs", 301, "docs/"),
                ("/about", 200, "about"),
                ("/about.html", 301, "about"),
                ("/about.html?q=1", 301, "about?q=1"),
                ("/about/", 301, "../about"),
                ("/about//", 404, ""),
                ("/docs/../about/", 301, "../about"),
                ("/about/.", 404, ""),
                ("/%61bout.html", 301, "about"),
                ("/guide", 200, "guide"),
                ("/guide/a", 200, "a"),
                ("/guide/a/", 301, "../a"),
                ("/both", 200, "plain"),
                ("/both.html", 200, "page"),
                ("/a%20b&c.html", 301, "a%20b%26c"),
                ("/a%20b%26c", 200, "odd"),
                ("/none", 404, ""),
                ("/none/", 404, ""),
                ("/none.html", 404, ""),
                ("/.html", 404, ""),
                ("/about.htm", 404, ""),
                ("/main.css", 200, "css"),
            ] {
                let expected = (status, shown.to_owned());
                assert_eq!(get(&evserve, target), expected, "{model}: {target}");
            }
            assert_eq!(get(&evserve, "/guide/").0, 200, "{model}: a listing");
        }
        let head = evserve.ask("HEAD", "/about", &[]);
        assert_eq!(
            (head.status, head.field("Content-Length")),
            (200, Some("5"))
        );
        let part = evserve.ask("GET", "/about", &["Range: bytes=0-1"]);
        assert_eq!((part.status, &part.body[..]), (206, &b"ab"[..]));
    });
}

/// A page, a file and a directory may take each other's place at any time.
#[test]
fn clean_urls_are_never_stale() {
    on_every_model(|model| {
        let root = tree();
        let at = |name: &str| root.path().join(name);
        let evserve = Evserve::http(model, root.path(), &["--clean-urls"]);
        let get = |target: &str| get(&evserve, target).1;
        assert_eq!(get("/about"), "about", "{model}");
        write(at("about"), "file").expect("written");
        assert_eq!((&*get("/about"), &*get("/about.html")), ("file", "about"));
        remove_file(at("about")).expect("removed");
        assert_eq!((&*get("/about"), &*get("/about.html")), ("about", "about"));
        rename(at("about.html"), at("elsewhere")).expect("renamed");
        assert_eq!(get("/about"), "", "{model}");
        create_dir(at("about")).expect("made");
        assert_eq!(get("/about"), "about/", "{model}");
        rename(at("elsewhere"), at("about.html")).expect("renamed");
        assert_eq!(get("/about"), "about", "{model}");
        remove_dir(at("about")).expect("removed");
        assert_eq!(get("/about/"), "../about", "{model}");
    });
}

#[test]
fn a_fallback_is_for_pages() {
    let root = tree();
    let options = ["--fallback", "index.html", "--cache-control", "max-age=60"];
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &options);
        for target in ["/route", "/some/route?a.b", "/some/v1.0/route"] {
            for method in ["GET", "HEAD"] {
                let page = evserve.ask(method, target, &[BROWSER]);
                assert_eq!(page.status, 200, "{model}: {method} {target}");
                assert_eq!(page.field("Vary"), Some("Accept"));
                assert_eq!(page.field("Cache-Control"), Some("no-cache"));
            }
        }
        for (target, accept) in [
            ("/route", "Accept: */*"),
            ("/route", "X: y"),
            ("/route", "Accept: application/json"),
            ("/route", "Accept: text/html;q=0, */*"),
            ("/app.js", BROWSER),
            ("/assets/gone.png", BROWSER),
            ("/.env", BROWSER),
            ("/.git/config", BROWSER),
            ("/.well-known/acme-challenge/token", BROWSER),
        ] {
            let missing = evserve.ask("GET", target, &[accept]);
            assert_eq!(missing.status, 404, "{model}: {target} {accept}");
            assert_eq!(missing.field("Cache-Control"), None);
            assert_eq!(missing.field("Vary"), Some("Accept"));
        }
        let with_page = [&options[..], &["--error-page", "404=about.html"]].concat();
        let paged = Evserve::http(model, root.path(), &with_page);
        let missing = paged.ask("GET", "/route", &["Accept: */*"]);
        assert_eq!((missing.status, &missing.body[..]), (404, &b"about"[..]));
        assert_eq!(missing.field("Vary"), Some("Accept"), "{model}");
        let own = evserve.ask("GET", "/index.html", &[BROWSER]);
        assert_eq!(own.field("Cache-Control"), Some("max-age=60"));
        assert_eq!(own.field("Vary"), None);
    });
}

#[test]
fn scripts_of_other_origins() {
    let root = tree();
    on_every_model(|model| {
        for (option, allowed) in [
            ("--cors", "*"),
            ("--cors=https://A.example:8443", "https://a.example:8443"),
        ] {
            let evserve = Evserve::http(model, root.path(), &[option]);
            let origin = "Origin: https://a.example:8443";
            for (target, fields, status) in [
                ("/main.css", &[origin][..], 200),
                ("/main.css", &[origin, "Range: bytes=1-"], 206),
                ("/main.css", &[origin, "Range: bytes=9-"], 416),
                ("/none", &[origin], 404),
                ("/guide/", &[origin], 200),
            ] {
                let response = evserve.ask("GET", target, fields);
                assert_eq!(response.status, status, "{model}: {target}");
                assert_eq!(response.field("Access-Control-Allow-Origin"), Some(allowed));
                let exposed = response.field("Access-Control-Expose-Headers");
                assert!(exposed.is_some_and(|names| names.contains("Content-Range")));
            }
            let preflight = [
                origin,
                "Access-Control-Request-Method: GET",
                "Access-Control-Request-Headers: range",
            ];
            let response = evserve.ask("OPTIONS", "/main.css", &preflight);
            assert_eq!(response.status, 200);
            assert_eq!(response.field("Access-Control-Allow-Origin"), Some(allowed));
            assert_eq!(
                response.field("Access-Control-Allow-Headers"),
                Some("*, Authorization")
            );
            assert_eq!(
                response.field("Access-Control-Allow-Methods"),
                Some("GET, HEAD, OPTIONS")
            );
        }
        let evserve = Evserve::http(model, root.path(), &[]);
        let response = evserve.ask("OPTIONS", "/main.css", &["Origin: https://a.example"]);
        assert!(
            !response.head.contains("Access-Control"),
            "{}",
            response.head
        );
    });
}

#[test]
fn isolated_pages() {
    let root = tree();
    let fields = |options: &[&str]| {
        let evserve = Evserve::http("epoll", root.path(), options);
        let response = evserve.ask("GET", "/", &[]);
        ["Opener", "Embedder", "Resource"].map(|name| {
            let name = format!("Cross-Origin-{name}-Policy");
            response.field(&name).unwrap_or_default().to_owned()
        })
    };
    assert_eq!(fields(&[]), ["", "", ""]);
    assert_eq!(
        fields(&["--isolate"]),
        ["same-origin", "require-corp", "same-origin"]
    );
    // What other origins may read they may also embed.
    assert_eq!(
        fields(&["--isolate", "--cors"]),
        ["same-origin", "require-corp", "cross-origin"]
    );
    let own = [
        "--isolate",
        "--header",
        "cross-origin-embedder-policy: credentialless",
    ];
    assert_eq!(
        fields(&own),
        ["same-origin", "credentialless", "same-origin"]
    );
}

#[test]
fn cache_control_by_name() {
    let root = tree();
    let options = [
        "--cache-control",
        "assets/**=max-age=31536000, immutable",
        "--cache-control=*.html=no-cache",
        "--cache-control=max-age=60",
        "--clean-urls",
    ];
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &options);
        for (target, value) in [
            ("/assets/app.js", Some("max-age=31536000, immutable")),
            ("/", Some("no-cache")),
            ("/guide/a", Some("no-cache")),
            ("/main.css", Some("max-age=60")),
            ("/guide/", None),
            ("/none", None),
        ] {
            let response = evserve.ask("GET", target, &[]);
            assert_eq!(response.field("Cache-Control"), value, "{model}: {target}");
        }
    });
}

#[test]
fn media_types() {
    let root = tree();
    let at = |name: &str| root.path().join(name);
    write(at("latin.html"), b"caf\xe9").expect("written");
    write(at("latin.wiki"), b"caf\xe9").expect("written");
    write(at("utf8.html"), "café").expect("written");
    let large = |end: &[u8]| [&b"x".repeat(300_000)[..], end].concat();
    write(at("large.txt"), [b"\xe9", &large(b"")[..]].concat()).expect("written");
    // The 4,096th byte is within a character.
    write(at("cut.txt"), "é".repeat(200_000).into_bytes().split_off(1)).expect("written");
    write(
        at("whole.txt"),
        [b"x", "é".repeat(200_000).as_bytes()].concat(),
    )
    .expect("written");
    let options = [
        "--type",
        "md=text/markdown; charset=latin1",
        "--type=.css=text/x-mine",
        "--type=wiki=text/x-wiki",
    ];
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &options);
        for (target, expected) in [
            ("/notes.MD", "text/markdown; charset=latin1"),
            ("/main.css", "text/x-mine; charset=utf-8"),
            ("/latin.wiki", "text/x-wiki"),
            ("/index.html", "text/html; charset=utf-8"),
            ("/utf8.html", "text/html; charset=utf-8"),
            ("/latin.html", "text/html"),
            ("/large.txt", "text/plain"),
            ("/cut.txt", "text/plain"),
            ("/whole.txt", "text/plain; charset=utf-8"),
            ("/both", "application/octet-stream"),
        ] {
            let response = evserve.ask("HEAD", target, &[]);
            assert_eq!(
                response.field("Content-Type"),
                Some(expected),
                "{model}: {target}"
            );
        }
        let picture = evserve.ask("GET", "/picture.svgz", &[]);
        assert_eq!(picture.field("Content-Type"), Some("image/svg+xml"));
        assert_eq!(picture.field("Content-Encoding"), Some("gzip"));
        assert_eq!(picture.body, b"gzipped picture");
    });
}

#[test]
fn without_compressed_siblings() {
    let root = tree();
    let accept = &["Accept-Encoding: gzip"];
    let body = |options: &[&str]| {
        let evserve = Evserve::http("epoll", root.path(), options);
        let response = evserve.ask("GET", "/assets/app.js", accept);
        (response.field("Vary").map(str::to_owned), response.body)
    };
    assert_eq!(
        body(&[]),
        (Some("Accept-Encoding".to_owned()), b"gzipped".to_vec())
    );
    assert_eq!(body(&["--no-precompressed"]), (None, b"script".to_vec()));
}

#[test]
fn wrong_values_are_explained() {
    let root = tempfile::tempdir().expect("a directory");
    for (options, expected) in [
        (&["--type", "md"][..], "such as md=text/markdown"),
        (&["--type", "md=text"], "such as md=text/markdown"),
        (&["--type", "a/b=text/plain"], "such as md=text/markdown"),
        (&["--cors=example.org"], "such as https://example.org"),
        (&["--cors=https://example.org/path"], "without a path"),
        (&["--cache-control", "*.js="], "such as max-age=3600"),
        (&["--cache-control", "a[.js=no-cache"], "is no pattern"),
        (
            &[
                "--cache-control=no-cache",
                "--header=Cache-Control: no-store",
            ],
            "given twice",
        ),
    ] {
        let output = fails(root.path(), options);
        assert!(output.contains(expected), "{options:?}: {output}");
    }
}

/// What the program prints when it refuses its options.
fn fails(root: &Path, options: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_evserve"))
        .args(["--mode", "http", "--listen", "127.0.0.1:0"])
        .args(options)
        .arg(root)
        .output()
        .expect("it runs");
    assert!(!output.status.success(), "{options:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}
