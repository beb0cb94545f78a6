//! HTTP/1.1, as a client sees it that writes bytes by hand.

use crate::common::{
    Client, Evserve, Response, on_every_concurrent_model, on_every_loop, on_every_model, pattern,
};
use std::fs::{create_dir, write};
use std::os::unix::fs::symlink;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// A small tree with one entry of each kind.
fn tree() -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    let path = |name: &str| root.path().join(name);
    write(path("empty"), "").expect("written");
    write(path("one"), "1").expect("written");
    write(path("a.txt"), "some text\n").expect("written");
    write(path("page.html"), "<p>page").expect("written");
    write(path("photo.jpg"), pattern(1024)).expect("written");
    write(path("large"), pattern(3_000_000)).expect("written");
    write(path("a b%#?é"), "odd").expect("written");
    for directory in ["list", "site", "old"] {
        create_dir(path(directory)).expect("made");
    }
    write(path("list/<b>"), "").expect("written");
    write(path("site/index.html"), "index").expect("written");
    write(path("site/index.htm"), "not this one").expect("written");
    write(path("old/index.htm"), "old index").expect("written");
    symlink("../../../../../etc/passwd", path("escape")).expect("linked");
    symlink("site/index.html", path("link")).expect("linked");
    root
}

/// Sends these bytes and reads the response until the server closes.
fn exchange(evserve: &Evserve, request: &[u8]) -> Response {
    let mut client = evserve.connect();
    client.send(request);
    let mut response = client.head();
    response.body = client.rest();
    response
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
}

#[test]
fn statuses() {
    let root = tree();
    let long = |length| format!("/{}", "a".repeat(length));
    let cases: Vec<(String, u16)> = vec![
        (get("/a.txt"), 200),
        (get("/one?query=1"), 200),
        (get("http://other.example/a.txt"), 200),
        (get("/site/"), 200),
        (get("/list/"), 200),
        (get("/link"), 200),
        (get("/./list/../a.txt"), 200),
        (get("//a.txt"), 200),
        (get("/list"), 301),
        (get("/.."), 400),
        (get("/../../etc/passwd"), 400),
        (get("/%2e%2e/%2e%2e/etc/passwd"), 400),
        (get("/a%00.txt"), 400),
        (get("/%"), 400),
        (get("a.txt"), 400),
        (
            "GET /a.txt HTTP/1.1\r\nConnection: close\r\n\r\n".into(),
            400,
        ),
        ("GET /a.txt HTTP/1.1\nHost: h\n\n".into(), 400),
        ("\0\0\0\0\r\n\r\n".into(), 400),
        (get("/escape"), 403),
        (get("/missing"), 404),
        (get("/a.txt/"), 404),
        (get("/..%2f..%2fetc%2fpasswd"), 404),
        (get("/..%5c..%5cetc%5cpasswd"), 404),
        (get(&long(300)), 404),
        (get("/").replace("GET", "DELETE"), 405),
        (get("*").replace("GET", "TRACE"), 400),
        (get(&long(8192)), 414),
        (
            get("/").replace("Host", &format!("A: {}\r\nHost", "a".repeat(16384))),
            431,
        ),
        (get("/").replace("GET", "BREW"), 501),
        (get("/").replace("/1.1", "/2.0"), 505),
    ];
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        for (request, status) in &cases {
            let response = exchange(&evserve, request.as_bytes());
            let shown = &request[..request.len().min(70)];
            assert_eq!(response.status, *status, "{shown:?}");
            assert_eq!(response.field("Connection"), Some("close"), "{shown:?}");
            let length = response.field("Content-Length").expect("a length");
            assert_eq!(length, response.body.len().to_string(), "{shown:?}");
            if *status >= 400 {
                assert!(response.body.starts_with(status.to_string().as_bytes()));
            }
            let allow = (*status == 405).then_some("GET, HEAD, OPTIONS");
            assert_eq!(response.field("Allow"), allow, "{shown:?}");
        }
        let log = evserve.stop().access_log;
        assert_eq!(log.lines().count(), cases.len(), "{log}");
    });
}

#[test]
fn response_heads_describe_the_body() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        for (path, media_type) in [
            ("/a.txt", "text/plain; charset=utf-8"),
            ("/page.html", "text/html; charset=utf-8"),
            ("/photo.jpg", "image/jpeg"),
            ("/one", "application/octet-stream"),
            ("/site/", "text/html; charset=utf-8"),
            ("/list/", "text/html; charset=utf-8"),
        ] {
            let response = evserve.get(path);
            assert_eq!(response.field("Content-Type"), Some(media_type), "{path}");
            assert!(response.head.contains("\r\nServer: evserve/"));
            let date = response.field("Date").expect("a date");
            httpdate::parse_http_date(date).expect("in HTTP's form");
        }
        let modified = std::fs::metadata(root.path().join("one"))
            .and_then(|m| m.modified())
            .expect("a time");
        let expected = httpdate::fmt_http_date(modified);
        let response = evserve.get("/one");
        assert_eq!(response.field("Last-Modified"), Some(&*expected));
    });
}

#[test]
fn files_of_all_sizes_arrive_whole() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        for name in ["empty", "one", "a.txt", "photo.jpg", "large"] {
            let expected = std::fs::read(root.path().join(name)).expect("read");
            let body = evserve.get(&format!("/{name}")).body;
            assert!(body == expected, "{name} differs");
        }
        assert_eq!(evserve.get("/a%20b%25%23%3f%c3%a9").body, b"odd");
        assert_eq!(evserve.get("/site/").body, b"index");
        assert_eq!(evserve.get("/old/").body, b"old index");
    });
}

#[test]
fn head_returns_the_fields_of_get() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        for path in ["/large", "/list/", "/list", "/missing", "/empty"] {
            let with_body = exchange(&evserve, get(path).as_bytes());
            let without = exchange(&evserve, get(path).replace("GET", "HEAD").as_bytes());
            let dateless = |response: &Response| {
                let lines = response.head.lines();
                // HEAD does not make the listing, so its length is not known.
                let is_left_out = |line: &str| {
                    line.starts_with("Date")
                        || (path == "/list/" && line.starts_with("Content-Length"))
                };
                let lines: Vec<_> = lines.filter(|line| !is_left_out(line)).collect();
                lines.join("\n")
            };
            assert_eq!(dateless(&without), dateless(&with_body), "{path}");
            assert_eq!(without.body, b"", "{path}");
        }
    });
}

#[test]
fn directories_redirect_to_their_slash_and_never_off_site() {
    let root = tree();
    let evil = root.path().join("evil.example");
    create_dir(evil).expect("made");
    create_dir(root.path().join("evil").with_file_name(r"\evil")).expect("made");
    create_dir(root.path().join("http:evil")).expect("made");
    create_dir(root.path().join("list/deep")).expect("made");
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        for (target, location) in [
            ("/list", "list/"),
            ("/list?a=1&b=%20?", "list/?a=1&b=%20?"),
            ("/list?", "list/?"),
            ("/list/deep", "deep/"),
            ("/list/deep?/x/y", "deep/?/x/y"),
            ("/list/../list//./deep", "deep/"),
            ("//evil.example", "evil.example/"),
            ("///evil.example", "evil.example/"),
            ("//evil.example/..//list", "list/"),
            ("/%5cevil", "%5Cevil/"),
            ("/\\evil", "%5Cevil/"),
            ("/http:evil", "http%3Aevil/"),
            ("/http%3aevil", "http%3Aevil/"),
            ("http://other.example/list", "list/"),
            ("http://other.example/list/deep?q", "deep/?q"),
        ] {
            let response = evserve.get(target);
            assert_eq!(response.status, 301, "{target}");
            assert_eq!(response.field("Location"), Some(location), "{target}");
        }
        let longest = format!("/list?{}", "\u{e9}".repeat(4000));
        let response = evserve.get(&longest);
        assert_eq!(response.field("Location").map(str::len), Some(6 + 24_000));
        let field = format!("X: {}", "x".repeat(4000));
        let evserve = Evserve::http(model, root.path(), &["--header", &field]);
        let response = evserve.get(&longest);
        assert_eq!(response.field("Location").map(str::len), Some(6 + 24_000));
        assert_eq!(response.field("X").map(str::len), Some(4000));
    });
}

/// Browsers get a page, other clients plain text. Vary says that the response depends on Accept.
#[test]
fn errors_are_html_for_clients_that_accept_html() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        let ask = |method: &str, accept: &str| {
            let mut client = evserve.connect();
            client.send(format!("{method} /no HTTP/1.1\r\nHost: h\r\n{accept}\r\n"));
            client.response()
        };
        let browser = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";
        let cases = [
            ("GET", browser, Some("<b>404</b><h1>Not Found</h1>")),
            (
                "POST",
                browser,
                Some("<b>405</b><h1>Method Not Allowed</h1>"),
            ),
            ("GET", "Accept: */*\r\n", None),
            ("GET", "", None),
            ("GET", "Accept: text/plain, text/html;q=0.9\r\n", None),
            ("GET", "Accept: application/json\r\n", None),
        ];
        // The link to the root is relative, since a proxy may serve it below another path.
        let deep = format!("/no{}", "/x".repeat(99));
        for (path, way) in [
            ("/no", Some("./")),
            ("/no/", Some("../")),
            ("/no/where/at?all=/", Some("../../")),
            (&deep, None),
        ] {
            let mut client = evserve.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n{browser}\r\n"));
            let page = String::from_utf8(client.response().body).expect("a page");
            let link = page.split("href=\"").nth(1);
            let link = link.and_then(|rest| rest.split('"').next());
            assert_eq!(link, way, "{path}");
        }
        for (method, accept, page) in cases {
            let answer = ask(method, accept);
            let body = String::from_utf8_lossy(&answer.body);
            let policy = answer.field("Content-Security-Policy");
            assert_eq!(answer.field("Vary"), Some("Accept"), "{accept}");
            match page {
                Some(part) => {
                    assert!(body.contains(part), "{body}");
                    assert_eq!(
                        answer.field("Content-Type"),
                        Some("text/html; charset=utf-8")
                    );
                    assert!(
                        policy.is_some_and(|policy| policy.starts_with("default-src 'none'; "))
                    );
                }
                None => {
                    assert_eq!((answer.status, &*body), (404, "404 Not Found\n"));
                    assert_eq!(policy, None);
                }
            }
        }
        let mut client = evserve.connect();
        client.send(format!("HEAD /no HTTP/1.1\r\nHost: h\r\n{browser}\r\n"));
        let (head, get) = (client.head(), ask("GET", browser));
        assert_eq!(head.field("Content-Length"), get.field("Content-Length"));
        for (accept, has_policy) in [(browser, true), ("Accept: application/json\r\n", false)] {
            let mut client = evserve.connect();
            client.send(format!("GET /list/ HTTP/1.1\r\nHost: h\r\n{accept}\r\n"));
            let policy = client.response().field("Content-Security-Policy").is_some();
            assert_eq!(policy, has_policy, "{accept}");
        }
    });
}

#[test]
fn links_of_a_listing_lead_to_its_entries() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        let page = String::from_utf8(evserve.get("/").body).expect("UTF-8");
        let rows = page.split("<tr><td>").skip(1);
        let names: Vec<&str> = rows
            .map(|row| row.split("</svg>").nth(1).expect("a name"))
            .map(|name| name.split('<').next().expect("a name"))
            .collect();
        let sorted = [
            "list/",
            "old/",
            "site/",
            "a b%#?é",
            "a.txt",
            "empty",
            "large",
            "link",
            "one",
            "page.html",
            "photo.jpg",
        ];
        assert_eq!(names, sorted);
        let page = String::from_utf8(evserve.get("/list/").body).expect("UTF-8");
        assert!(
            page.contains(r#"<a href="%3Cb%3E"><svg><use href=#f /></svg>&lt;b&gt;</a>"#),
            "{page}"
        );
    });
}

/// Sends requests in chunks, on a new connection whenever the server closes one. Models that must
/// make room close a connection earlier; the responses must be the same.
fn answers(evserve: &Evserve, requests: &[String], chunks: &[usize]) -> Vec<Response> {
    let mut answers = Vec::new();
    while answers.len() < requests.len() {
        let mut client = evserve.connect();
        let bytes = requests[answers.len()..].concat().into_bytes();
        let stream = client.stream().try_clone().expect("a socket");
        let mut rest = &bytes[..];
        thread::scope(|scope| {
            scope.spawn(|| {
                use std::io::Write;
                for &chunk in chunks.iter().cycle() {
                    let (now, later) = rest.split_at(chunk.min(rest.len()));
                    // The server may have closed.
                    if now.is_empty() || (&stream).write_all(now).is_err() {
                        break;
                    }
                    rest = later;
                }
            });
            loop {
                let request = &requests[answers.len()];
                let response = if request.starts_with("HEAD") {
                    client.head()
                } else {
                    client.response()
                };
                let closes = response.field("Connection") == Some("close");
                answers.push(response);
                if closes || answers.len() == requests.len() {
                    break;
                }
            }
        });
    }
    answers
}

#[test]
fn pipelined_requests_are_answered_in_order_at_every_split() {
    let root = tree();
    let keep = |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut requests = Vec::new();
    for _ in 0..10 {
        requests.extend([
            keep("GET", "/one"),
            keep("GET", "/missing"),
            keep("HEAD", "/large"),
            keep("GET", "/photo.jpg"),
            keep("GET", "/empty"),
            keep("DELETE", "/one"),
            keep("GET", "/list/"),
            format!("\r\n{}", keep("GET", "/a.txt")),
        ]);
    }
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        let comparable = |chunks: &[usize]| -> Vec<_> {
            let answers = answers(&evserve, &requests, chunks);
            let answers = answers.into_iter();
            answers.map(|answer| (answer.status, answer.body)).collect()
        };
        let whole = comparable(&[usize::MAX]);
        let statuses: Vec<u16> = whole.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses[..8], [200, 404, 200, 200, 200, 405, 200, 200]);
        assert_eq!(whole[3].1, pattern(1024));
        for chunks in [&[1][..], &[2], &[7], &[40, 3], &[1000, 1]] {
            assert!(comparable(chunks) == whole, "split at {chunks:?}");
        }
    });
}

#[test]
fn pipelined_requests_may_exceed_every_buffer() {
    let root = tree();
    let request = "GET /photo.jpg HTTP/1.1\r\nHost: h\r\n\r\n";
    let evserve = Evserve::http("epoll", root.path(), &["--access-log", "off"]);
    let mut client = evserve.connect();
    let stream = client.stream().try_clone().expect("a socket");
    thread::scope(|scope| {
        scope.spawn(|| {
            use std::io::Write;
            (&stream).write_all(request.repeat(20_000).as_bytes())
        });
        let expected = pattern(1024);
        for _ in 0..20_000 {
            assert!(client.response().body == expected);
        }
    });
}

#[test]
fn keep_alive_follows_version_and_connection_field() {
    let root = tree();
    on_every_concurrent_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        let field = |request: &str| {
            let mut client = evserve.connect();
            client.send(request);
            client.response().field("Connection").map(String::from)
        };
        let close = Some("close".into());
        assert_eq!(field("GET /one HTTP/1.1\r\nHost: h\r\n\r\n"), None);
        assert_eq!(field("GET /one HTTP/1.0\r\n\r\n"), close);
        assert_eq!(
            field("GET /one HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"),
            Some("keep-alive".into())
        );
        // The rest is the body.
        assert_eq!(
            field("POST /one HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nGET /"),
            None
        );
        // Where the next request begins is unknown.
        assert_eq!(field("GET /one HTTP/1.1\r\n\r\n"), close);
    });
}

#[test]
fn a_half_closed_client_gets_its_responses() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        let mut client = evserve.connect();
        client.send(get("/large"));
        client.shutdown_write();
        assert!(client.response().body == pattern(3_000_000));
        assert_eq!(client.rest(), b"");
    });
}

/// A reset would destroy the response (RFC 9112 section 9.6).
#[test]
fn a_response_survives_an_unread_request_body() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        for _ in 0..5 {
            let mut client = evserve.connect();
            client.send("POST /one HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n");
            client.send(vec![b'x'; 500_000]);
            assert_eq!(client.response().status, 413);
            assert_eq!(client.rest(), b"");
        }
    });
}

#[test]
fn an_idle_connection_is_closed_silently() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &["--idle-timeout", "200ms"]);
        assert_eq!(evserve.connect().rest(), b"");
        let mut client = evserve.connect();
        client.send("GET /one HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().body, b"1");
        assert_eq!(client.rest(), b"");
    });
}

#[test]
fn a_client_that_stops_reading_is_dropped() {
    let root = tempfile::tempdir().expect("a directory");
    let file = std::fs::File::create(root.path().join("huge")).expect("made");
    file.set_len(1 << 30).expect("sparse");
    on_every_model(|model| {
        let evserve = Evserve::http(
            model,
            root.path(),
            &["--send-timeout", "200ms", "--cache-files", "0"],
        );
        let mut client = evserve.connect();
        client.send(get("/huge"));
        assert_eq!(client.head().status, 200);
        let open = || {
            let path = format!("/proc/{}/fd", evserve.id());
            let links = std::fs::read_dir(path).expect("it runs");
            let names = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
            names.filter(|name| name.ends_with("huge")).count()
        };
        // When the file is closed, the connection has been dropped.
        while open() > 0 {
            thread::sleep(Duration::from_millis(20));
        }
        let log = evserve.stop().access_log;
        let bytes: u64 = log
            .split(' ')
            .nth(9)
            .and_then(|n| n.parse().ok())
            .expect(&log);
        assert!(
            bytes > 0 && bytes < 1 << 30,
            "the log says what was sent: {log}"
        );
    });
}

#[test]
fn a_file_that_shrinks_during_its_transfer_ends_the_connection() {
    let root = tempfile::tempdir().expect("a directory");
    let file = std::fs::File::create(root.path().join("f")).expect("made");
    on_every_model(|model| {
        file.set_len(1 << 30).expect("sparse");
        let evserve = Evserve::http(model, root.path(), &[]);
        let mut client = evserve.connect();
        client.send(get("/f"));
        assert_eq!(client.head().status, 200);
        file.set_len(10).expect("truncated");
        let body = client.rest();
        assert!(body.len() < 1 << 30, "{} bytes", body.len());
        assert_eq!(evserve.get("/f").body.len(), 10, "other clients are served");
    });
}

#[test]
fn the_access_log_has_its_formats() {
    let root = tree();
    let request = "GET /a.txt?\"x HTTP/1.1\r\nHost: h\r\nReferer: r\r\nUser-Agent: u\\\r\n\r\n";
    on_every_model(|model| {
        for (form, end) in [
            ("off", None),
            ("common", Some("")),
            ("combined", Some(r#" "r" "u\\""#)),
        ] {
            let evserve = Evserve::http(model, root.path(), &["--access-log", form]);
            let mut client = evserve.connect();
            client.send(request);
            client.response();
            drop(client);
            let log = evserve.stop().access_log;
            let expected = end.map(|end| format!(r#"] "GET /a.txt?\"x HTTP/1.1" 200 10{end}"#));
            let Some(expected) = expected else {
                assert_eq!(log, "");
                continue;
            };
            assert!(log.starts_with("127.0.0.1 - - ["), "{log}");
            assert_eq!(log.find(']'), Some(41), "{log}");
            assert_eq!(log[41..].trim_end_matches('\n'), expected);
        }
    });
}

#[test]
fn responses_to_ten_clients_do_not_mix() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &["--access-log", "off"]);
        let address = evserve.address();
        thread::scope(|scope| {
            for number in 0..10 {
                scope.spawn(move || {
                    for _ in 0..20 {
                        let mut client = Client::connect(address);
                        let path = ["/one", "/large", "/photo.jpg"][number % 3];
                        client.send(get(path));
                        let expected = [1, 3_000_000, 1024][number % 3];
                        let body = client.response().body;
                        assert!(
                            body == if expected == 1 {
                                b"1".to_vec()
                            } else {
                                pattern(expected)
                            }
                        );
                    }
                });
            }
        });
    });
}

/// Input after the last request must not destroy the response to it.
#[test]
fn a_large_last_response_survives_late_input() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        for request in [get("/large"), "GET /large HTTP/1.0\r\n\r\n".into()] {
            let mut client = evserve.connect();
            client.send(request);
            let head = client.head();
            client.send("\r\nGET /one HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(head.field("Connection"), Some("close"));
            assert!(client.rest() == pattern(3_000_000));
        }
    });
}

#[test]
fn a_refused_head_request_gets_no_body() {
    let root = tree();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        for request in [
            "HEAD / HTTP/1.1\r\n\r\n",
            "HEAD / HTTP/3.0\r\n\r\n",
            "HEAD x HTTP/1.0\r\n\r\n",
        ] {
            let response = exchange(&evserve, request.as_bytes());
            assert!(
                response.status >= 400 && response.body.is_empty(),
                "{request:?}"
            );
        }
    });
}

/// However many costly requests a client pipelines, they delay other clients by one of them at
/// most.
#[test]
fn costly_requests_take_turns() {
    let root = tempfile::tempdir().expect("a directory");
    create_dir(root.path().join("big")).expect("made");
    for number in 0..20_000 {
        write(root.path().join(format!("big/{number}")), "").expect("written");
    }
    write(root.path().join("one"), "1").expect("written");
    on_every_loop(|model| {
        let evserve = Evserve::http(model, root.path(), &["--access-log", "off"]);
        let mut greedy = evserve.connect();
        greedy.send("GET /big/?format=text HTTP/1.1\r\nHost: h\r\n\r\n".repeat(100));
        assert_eq!(greedy.head().status, 200);
        assert_eq!(evserve.get("/one").body, b"1");
        let stream = greedy.stream();
        stream.set_nonblocking(true).expect("a socket");
        let mut answers = vec![0; 100_000_000];
        let count = std::io::Read::read(&mut &*stream, &mut answers).unwrap_or(0);
        let heads = answers[..count]
            .windows(8)
            .filter(|w| w == b"HTTP/1.1")
            .count();
        assert!(
            heads < 90,
            "{heads} responses came before the other client's"
        );
    });
}

/// A request that arrived in time is answered, even if the server reads it after its deadline.
#[test]
fn a_request_that_came_in_time_is_answered_after_its_deadline() {
    let root = tree();
    on_every_loop(|model| {
        let evserve = Evserve::http(model, root.path(), &["--idle-timeout", "700ms"]);
        let mut client = evserve.connect();
        client.send("GET /one HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().body, b"1");
        evserve.signal(rustix::process::Signal::STOP);
        client.send("GET /one HTTP/1.1\r\nHost: h\r\n\r\n");
        thread::sleep(Duration::from_millis(1000));
        evserve.signal(rustix::process::Signal::CONT);
        assert_eq!(client.response().body, b"1");
    });
}

/// Requests that httparse would accept and a server should not. Each is refused, and the connection
/// closed.
#[test]
fn malformed_requests_are_refused() {
    let root = tree();
    let good = "GET /one HTTP/1.1\r\nHost: h\r\n";
    let many = "A: b\r\n".repeat(100);
    let cases: Vec<(String, u16)> = [
        ("GET /one HTTP/1.1\nHost: h\r\n\r\n", 400),
        ("GET /one HTTP/1.1\r\nHost: h\r\nA: b\n\r\n", 400),
        ("GET /one HTTP/1.1\r\nHost: h\r\nA: \rb\r\n\r\n", 400),
        ("\r\n\r\nGET /one HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET  /one HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /one  HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /one HTTP/1.1 \r\nHost: h\r\n\r\n", 400),
        ("GET /one\r\nHost: h\r\n\r\n", 400),
        ("GET /o ne HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /one#x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET ftp://h/one HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET http://u@h/one HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /one HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400),
        ("GET /one HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET /one HTTP/1.1\r\nHost: %zz\r\n\r\n", 400),
        ("GET /one HTTP/1.1\r\nHost: [::1::]\r\n\r\n", 400),
        ("GET /one HTTP/1.1\r\nHost: :80\r\n\r\n", 400),
        ("GET http://:80/one HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET http://h/one HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("LONGER-THAN-ANY /one HTTP/1.1\r\nHost: h\r\n\r\n", 501),
        ("GET /one HTTP/1.0\r\nHost: a/b\r\n\r\n", 400),
        ("GET /one HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ]
    .map(|(request, status)| (request.to_owned(), status))
    .into_iter()
    .chain([("M".repeat(10_000), 501)])
    .chain(
        [
            (" A: folded", 400),
            ("A : b", 400),
            ("A", 400),
            (": b", 400),
            ("A: \0", 400),
            ("A: \u{1}", 400),
            ("A: \u{7f}", 400),
            ("A\u{e9}: b", 400),
            ("Content-Length: -1", 400),
            ("Content-Length: 0x1", 400),
            ("Content-Length: 1\r\nContent-Length: 2", 400),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked", 400),
            ("Transfer-Encoding: chunked, gzip", 400),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                400,
            ),
            ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", 501),
            ("Expect: tea", 417),
            ("Expect: tea\r\nExpect: 100-continue", 417),
            (&many, 431),
        ]
        .map(|(field, status)| (format!("{good}{field}\r\n\r\n"), status)),
    )
    .collect();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &["--access-log", "off"]);
        for (request, status) in &cases {
            let response = exchange(&evserve, request.as_bytes());
            assert_eq!(response.status, *status, "{request:?}");
            assert_eq!(response.field("Connection"), Some("close"), "{request:?}");
        }
        let lenient = format!("\r\n{good}Connection: close\r\nA: \u{e9}\tb\r\n\r\n");
        assert_eq!(exchange(&evserve, lenient.as_bytes()).body, b"1");
    });
}
