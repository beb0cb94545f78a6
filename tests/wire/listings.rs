//! Listings: what they show, what they may cost, and for which clients they are made.

use crate::common::{
    Client, Evserve, Program, limited_to, on_every_model, on_every_shared_model,
    serves_one_at_a_time, with_one_loop,
};
use rustix::process::Signal;
use socket2::{Domain, SockRef, Socket, Type};
use std::ffi::OsStr;
use std::fs::{create_dir, write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Names that a terminal would obey, that reorder text, that are invisible or not UTF-8, or that
/// have a meaning in a URL or in HTML.
const NAMES: &[&[u8]] = &[
    b"\x1b[31mred",
    b"\xc2\x9b31m",
    b"new\nline",
    b"\x7f",
    b"\x01",
    "\u{202e}txt.exe".as_bytes(),
    "zero\u{200b}width".as_bytes(),
    "\u{2066}isolated".as_bytes(),
    b"\xff\xfe",
    b"half\xe2\x80",
    b"a:b",
    b"?x",
    b"#y",
    b" ",
    b"%41",
    b"\"",
    b"\\",
    b"\\x41",
    b"<b>&amp;",
    "plain \u{e9}\u{1f600}".as_bytes(),
];

fn odd_names() -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    for (index, name) in NAMES.iter().enumerate() {
        let path = root.path().join(OsStr::from_bytes(name));
        write(path, index.to_string()).expect("written");
    }
    symlink("gone", root.path().join("to nothing")).expect("linked");
    symlink("/etc", root.path().join("out")).expect("linked");
    symlink("../../../../etc/passwd", root.path().join("further out")).expect("linked");
    symlink("a:b", root.path().join("to a:b")).expect("linked");
    root
}

/// Creates `files` empty files with names of `length` bytes.
fn fill(directory: &Path, files: usize, length: usize) {
    for number in 0..files {
        write(directory.join(format!("{number:0length$}")), "").expect("written");
    }
}

#[test]
fn names_are_escaped_and_links_lead_to_them() {
    let root = odd_names();
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        for format in ["text", "json", "html"] {
            let page = evserve.get(&format!("/?format={format}")).body;
            let page = String::from_utf8(page).expect("UTF-8");
            let odd = |c: char| c.is_control() && c != '\n';
            let turns = ['\u{202e}', '\u{200b}', '\u{2066}'];
            assert!(!page.contains(|c| odd(c) || turns.contains(&c)), "{page:?}");
        }
        let text = evserve.get("/?format=text").body;
        assert_eq!(
            text.iter().filter(|b| **b == b'\n').count(),
            NAMES.len() + 1
        );
        let json = evserve.get("/?format=json").body;
        let entries: Vec<serde_json::Value> = serde_json::from_slice(&json).expect("JSON");
        assert_eq!(entries.len(), NAMES.len() + 1);
        for entry in entries {
            let name = entry["name"].as_str().expect("a name");
            let href = entry["href"].as_str().expect("a link");
            let number = evserve.get(&format!("/{href}")).body;
            let number: usize = String::from_utf8_lossy(&number).parse().expect(name);
            let is_it = String::from_utf8_lossy(NAMES[number]) == name || name == "to a:b";
            assert!(is_it, "{name:?} is {number}");
        }
    });
}

/// The names of a listing as text, in order.
fn names(evserve: &Evserve, query: &str) -> String {
    let body = evserve.get(&format!("/?format=text&{query}")).body;
    let text = String::from_utf8(body).expect("UTF-8");
    text.trim_end().replace('\n', " ")
}

#[test]
fn names_are_sorted_as_people_expect() {
    let root = tempfile::tempdir().expect("a directory");
    for name in [
        "img10",
        "IMG2",
        "img1",
        "\u{c4}pfel",
        "b",
        "A",
        "zoo",
        "2",
        "10",
    ] {
        write(root.path().join(name), name).expect("written");
    }
    create_dir(root.path().join("x")).expect("made");
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        let expected = "x/ 2 10 A \u{c4}pfel b img1 IMG2 img10 zoo";
        for query in ["", "sort=name", "sort=name&order=asc", "unknown=1", "q="] {
            assert_eq!(names(&evserve, query), expected, "{query}");
        }
        let reverse = "x/ zoo img10 IMG2 img1 b \u{c4}pfel A 10 2";
        for query in ["sort=-name", "sort=name&order=desc", "order=desc"] {
            assert_eq!(names(&evserve, query), reverse, "{query}");
        }
        let by_size = "x/ 2 A b 10 zoo img1 IMG2 img10 \u{c4}pfel";
        assert_eq!(names(&evserve, "sort=size"), by_size);
        let by_size = "x/ \u{c4}pfel img10 IMG2 img1 zoo 10 b A 2";
        assert_eq!(names(&evserve, "sort=-size"), by_size);
    });
}

#[test]
fn a_filter_chooses_names_in_every_format() {
    let root = tempfile::tempdir().expect("a directory");
    for name in [
        "IMG_1.jpg",
        "img_2.JPG",
        "img_3.png",
        "a <b> & \"c\"",
        "\u{c4}rger",
    ] {
        write(root.path().join(name), name).expect("written");
    }
    write(root.path().join("README"), "read me").expect("written");
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        for (query, expected) in [
            ("q=IMG", "IMG_1.jpg img_2.JPG img_3.png"),
            ("q=jpg+img", "IMG_1.jpg img_2.JPG"),
            ("q=jpg%20img&sort=-name", "img_2.JPG IMG_1.jpg"),
            ("sort=name&order=desc&q=jpg", "img_2.JPG IMG_1.jpg"),
            ("q=%C3%A4RGER", "\u{c4}rger"),
            ("q=arger", "\u{c4}rger"),
            ("q=none", ""),
            ("q=%ff%00", ""),
        ] {
            assert_eq!(names(&evserve, query), expected, "{model}: {query}");
        }
        let long = format!("q={}", "x".repeat(4000));
        assert_eq!(names(&evserve, &long), "", "{model}");
        let json = evserve.get("/?format=json&q=png").body;
        let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        assert_eq!(json[0]["name"], "img_3.png", "{model}");
        assert_eq!(json.as_array().map(Vec::len), Some(1));
        let page = evserve.get("/?format=html&q=%3Cb%3E+%22&sort=-size").body;
        let page = String::from_utf8(page).expect("UTF-8");
        for part in [
            "value=\"&lt;b&gt; &quot;\"",
            "<button name=\"sort\" value=\"-size\">Filter</button>",
            "1 of 6 names. <a href=\"./?sort=-size\">Show all</a>",
            ">a &lt;b&gt; &amp; &quot;c&quot;</a>",
        ] {
            assert!(page.contains(part), "{model}: {part} is not in {page}");
        }
        assert_eq!(page.matches("<tr><td>").count(), 1, "{model}");
        assert!(!page.contains("<pre"), "{model}");
    });
}

/// A README is shown as it is now, and as a request for it would get it.
#[test]
fn a_readme_is_shown_below_the_listing() {
    on_every_model(|model| {
        let root = tempfile::tempdir().expect("a directory");
        let evserve = Evserve::http(model, root.path(), &[]);
        let page = |target: &str| {
            let page = evserve.get(target).body;
            String::from_utf8(page).expect("UTF-8")
        };
        let shown = || {
            let page = page("/?format=html");
            let (_, text) = page.split_once("<pre dir=auto>\n")?;
            Some(text.split("</pre>").next().expect("a part").to_owned())
        };
        assert_eq!(shown(), None, "{model}");
        let write = |name: &str, content: &[u8]| {
            write(root.path().join(name), content).expect("written");
        };
        write("readme.txt", b"the third");
        assert_eq!(shown().as_deref(), Some("the third"), "{model}");
        write("readme.txt", b"<script>changed");
        assert_eq!(shown().as_deref(), Some("&lt;script&gt;changed"), "{model}");
        write("README", b"the second");
        write("ReadMe.md", b"# the first");
        assert_eq!(shown().as_deref(), Some("# the first"), "{model}");
        write("ReadMe.md", b"not UTF-8: \xff");
        assert_eq!(shown(), None, "{model}");
        write("ReadMe.md", "\u{e9}".repeat(100_000).as_bytes());
        assert_eq!(shown().map(|text| text.len()), Some(64 * 1024), "{model}");
        for format in ["text", "json"] {
            assert!(!page(&format!("/?format={format}")).contains("\u{e9}"));
        }
        std::fs::remove_file(root.path().join("ReadMe.md")).expect("removed");
        symlink("/etc/passwd", root.path().join("ReadMe.md")).expect("linked");
        assert_eq!(shown().as_deref(), Some("the second"), "{model}");
        std::fs::remove_file(root.path().join("README")).expect("removed");
        std::fs::remove_file(root.path().join("readme.txt")).expect("removed");
        create_dir(root.path().join("readme")).expect("made");
        write("readme/README", b"within");
        assert_eq!(shown(), None, "{model}");
        assert!(page("/readme/?format=html").contains("within"), "{model}");
    });
}

/// HEAD reads no names. Its head is that of GET, but for the length.
#[test]
fn head_of_a_listing_reads_no_name() {
    let root = tempfile::tempdir().expect("a directory");
    fill(root.path(), 100, 10);
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &["--trace-requests", "1000"]);
        let mut client = evserve.connect();
        client.send("HEAD / HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n\r\n");
        let head = client.head();
        assert_eq!((head.status, head.field("Content-Length")), (200, None));
        assert_eq!(head.field("Content-Type"), Some("text/html; charset=utf-8"));
        assert_eq!(head.field("Vary"), Some("Accept"));
        assert!(head.field("Content-Security-Policy").is_some());
        if head.field("Connection").is_none() {
            client.send("HEAD /?format=json HTTP/1.0\r\n\r\n");
            let head = client.head();
            assert_eq!(head.field("Content-Type"), Some("application/json"));
            assert_eq!(client.rest(), b"");
        }
        assert!(!evserve.stop().log.contains("getdents64"));
    });
}

#[test]
fn a_half_closed_client_gets_its_listing() {
    let root = tempfile::tempdir().expect("a directory");
    fill(root.path(), 5000, 60);
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        for format in ["text", "json", "html"] {
            let mut client = evserve.connect();
            client.send(format!("GET /?format={format} HTTP/1.0\r\n\r\n"));
            client.shutdown_write();
            let page = client.response().body;
            let rows = page
                .windows(60)
                .filter(|w| w.iter().all(u8::is_ascii_digit));
            assert!(rows.count() >= 5000, "{format}");
            assert_eq!(client.rest(), b"");
        }
    });
}

/// The clients have reset their connections before the server looked: no name is read for them.
#[test]
fn no_listing_is_read_for_departed_clients() {
    let root = tempfile::tempdir().expect("a directory");
    fill(root.path(), 2000, 10);
    create_dir(root.path().join("sub")).expect("made");
    write(root.path().join("sub/one"), "1").expect("written");
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &["--trace-requests", "100000"]);
        evserve.signal(Signal::STOP);
        for _ in 0..20 {
            let mut client = evserve.connect();
            client.send("GET / HTTP/1.0\r\n\r\n");
            let socket = SockRef::from(client.stream());
            socket.set_linger(Some(Duration::ZERO)).expect("a socket");
        }
        evserve.signal(Signal::CONT);
        assert_eq!(evserve.get("/sub/one").body, b"1");
        let log = evserve.stop().log;
        assert_eq!(log.matches("getdents64").count(), 0, "{model}: {log}");
    });
}

/// A client that reads very slowly.
fn slow_reader(evserve: &Evserve, request: &str) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a socket");
    let address = evserve.address().into();
    socket.connect(&address).expect("it listens");
    let mut client = Client::from(std::net::TcpStream::from(socket));
    client.send(request);
    client
}

/// When other listings have used up the memory, a client gets 503. A directory that is too large
/// alone gets 507.
#[test]
fn the_memory_of_listings_is_bounded() {
    let root = tempfile::tempdir().expect("a directory");
    let large = root.path().join("large");
    create_dir(&large).expect("made");
    fill(&large, 10_000, 250);
    create_dir(root.path().join("small")).expect("made");
    fill(&root.path().join("small"), 10, 10);
    const GET: &str = "GET /large/ HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n\r\n";
    on_every_model(|model| {
        // Loops divide the memory.
        let serve = |bytes: &str| {
            let program =
                Program::model(model, "--mode http --listen 127.0.0.1:0").arg(root.path());
            let program = program.args(["--listing-bytes", bytes]);
            program.args(with_one_loop(model)).start()
        };
        let evserve = serve("1MiB");
        for _ in 0..3 {
            let mut client = evserve.connect();
            client.send(GET);
            let answer = client.response();
            assert_eq!((answer.status, answer.field("Retry-After")), (507, None));
            let page = String::from_utf8(answer.body).expect("UTF-8");
            assert!(page.contains("too many entries"), "{page}");
            assert_eq!(evserve.get("/large/?format=text").status, 507);
            assert_eq!(evserve.get("/small/?format=text").status, 200);
        }
        let log = evserve.stop().log;
        assert_eq!(log.matches("--listing-bytes").count(), 1, "{log}");
        // It serves no other client beside the slow one.
        if serves_one_at_a_time(model) {
            return;
        }
        let evserve = serve("4MiB");
        let mut slow = slow_reader(&evserve, GET);
        assert_eq!(slow.head().status, 200);
        let mut client = evserve.connect();
        client.send(GET);
        let answer = client.response();
        assert_eq!(
            (answer.status, answer.field("Retry-After")),
            (503, Some("1"))
        );
        assert_eq!(evserve.get("/small/?format=text").status, 200);
        drop((slow, client));
        let is_there = |_: &i32| evserve.get("/large/?format=text").status == 200;
        assert!((0..1000).any(|n| is_there(&n)), "the memory is free again");
    });
}

/// Whether they read or not, fifty clients of a large directory use the memory of its entries once,
/// and a buffer each.
#[test]
fn clients_that_list_one_directory_share_its_memory() {
    const CLIENTS: usize = 50;
    let root = tempfile::tempdir().expect("a directory");
    fill(root.path(), 20_000, 60);
    // In the other models one thread serves one connection after the other, or each process has its
    // own memory.
    on_every_shared_model(|model| {
        let program = Program::model(model, "--listen 127.0.0.1:0").arg(root.path());
        // Each loop shares what it has itself, and has its part of the connections.
        let program = program.args(with_one_loop(model));
        let evserve = program.args(limited_to(model, 64)).start();
        evserve.get("/?format=text");
        let before = evserve.proc_status("VmHWM");
        let orders = [
            "sort=name",
            "sort=size",
            "sort=time&order=desc",
            "format=json",
        ];
        let mut clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let target = orders[n % orders.len()];
                slow_reader(
                    &evserve,
                    &format!("GET /?{target} HTTP/1.1\r\nHost: h\r\n\r\n"),
                )
            })
            .collect();
        for client in &mut clients {
            assert_eq!(client.head().status, 200);
        }
        let grown = evserve.proc_status("VmHWM") - before;
        // At most two versions of the directory, with three orders each: 2 * 20,000 * (78 + 3 * 4)
        // bytes are 3.6 MB.
        assert!(grown < 16 * 1024, "{model}: {grown} KiB");
        let mut last = clients.pop().expect("a client");
        assert!(
            last.read(2 << 20).len() == 2 << 20,
            "the clients make progress"
        );
    });
}

/// They would get 403.
#[test]
fn only_files_and_directories_are_listed() {
    let root = tempfile::tempdir().expect("a directory");
    let at = |name: &str| root.path().join(name);
    std::fs::write(at("file"), "").expect("written");
    std::fs::create_dir(at("directory")).expect("made");
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), kind, mode, 0).expect("made");
    std::os::unix::fs::symlink("fifo", at("link")).expect("made");
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("bound");
    on_every_model(|model| {
        let evserve = Evserve::http(model, root.path(), &[]);
        let listing = evserve.ask("GET", "/?format=text", &[]);
        assert_eq!(listing.body, b"directory/\nfile\n", "{model}");
    });
}
