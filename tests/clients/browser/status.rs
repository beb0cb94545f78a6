//! The status page: it shows connections in their states and while they act, fits every width, and
//! records.

use super::tab::Tab;
use super::{alone, screenshots};
use crate::common::{
    Client, Evserve, PATIENCE, limited_to, on_every_isolated_model, on_every_shared_model, row,
};
use evserve::model::Executor;
use evserve::recording::Recording;
use serde_json::json;
use std::fs::{read, write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// A server with a status page, and connections in known states.
struct StatusServer {
    evserve: Evserve,
    begun: Vec<Client>,
    _others: Vec<Client>,
    _root: tempfile::TempDir,
}

impl StatusServer {
    /// Opens 150 idle, 100 reading and 50 echoing connections.
    fn start(model: &str) -> StatusServer {
        let root = tempfile::tempdir().expect("a directory");
        write(root.path().join("a.txt"), "hello").expect("written");
        let path = root.path().to_str().expect("UTF-8");
        let options = "--mode http --listen http=127.0.0.1:0 --mode echo --listen echo=127.0.0.1:0 --status 0 \
                       --head-timeout 1h --idle-timeout 1h";
        let mut options: Vec<_> = options.split_whitespace().collect();
        options.push(path);
        let room = limited_to(model, 400);
        options.extend(room.iter().map(String::as_str));
        let evserve = Evserve::start(model, &options);
        let connect = |address: usize, bytes: &str| {
            let mut client = Client::connect(evserve.addresses[address]);
            client.send(bytes);
            client
        };
        let mut others = Vec::new();
        for _ in 0..150 {
            let mut client = connect(0, "GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(client.response().body, b"hello");
            others.push(client);
        }
        for _ in 0..50 {
            let mut client = connect(1, "12345");
            assert_eq!(client.read(5), b"12345");
            others.push(client);
        }
        let begun = (0..100).map(|_| connect(0, "GET /a.txt HT")).collect();
        StatusServer {
            evserve,
            begun,
            _others: others,
            _root: root,
        }
    }

    fn show(&self) -> Tab {
        Tab::show(&format!("http://{}/", self.evserve.addresses[2]))
    }
}

/// An expression that is true once the page counts at least `count` connections in a state. The
/// browser has a few connections too.
fn says(state: &str, count: usize) -> String {
    format!(
        "(number => {count} <= number && number < {count} + 8)(Number(
            document.getElementById('states').innerText.match(/^{state} ([0-9]+)$/m)[1]))"
    )
}

#[test]
#[ignore = "needs chromium"]
fn browser_shows_connections_change_state() {
    let Some(_alone) = alone() else {
        return;
    };
    on_every_shared_model(|model| {
        let mut watched = StatusServer::start(model);
        let mut tab = watched.show();
        for (state, count) in [
            ("keep-alive", 150),
            ("reading request", 100),
            ("echoing", 50),
        ] {
            tab.wait_until(&says(state, count));
            let cells =
                format!("document.querySelectorAll('#cells [data-state=\"{state}\"]').length");
            let shown = tab.value(&cells).as_u64().expect("a number");
            assert!(shown >= count as u64, "{model}: {shown} {state}");
        }
        let step = |from: &str, to: &str| {
            format!(
                "document.querySelector('[data-from=\"{from}\"][data-to=\"{to}\"]').textContent"
            )
        };
        let taken = tab.value(&step("reading request", "writing head"));
        assert!(
            taken.as_str().is_some_and(|text| text.starts_with("15")),
            "{model}: {taken}"
        );
        // A click on a connection shows what it waits for.
        tab.value("document.querySelector('#cells [data-state=\"reading request\"]').click()");
        for shown in ["reading request, waits for input", "; 13 B received"] {
            tab.wait_until(&format!(
                "document.getElementById('selected').innerText.includes('{shown}')"
            ));
        }
        // The page shows that they change state.
        for client in &mut watched.begun {
            client.send("TP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(client.response().body, b"hello");
        }
        tab.wait_until(&says("keep-alive", 250));
        // After the server was stopped for a while, the page reconnects by itself.
        watched.evserve.signal(rustix::process::Signal::STOP);
        tab.wait_until("document.getElementById('summary').innerText.includes('no update')");
        watched.evserve.signal(rustix::process::Signal::CONT);
        tab.wait_until("document.getElementById('summary').innerText.includes('up for')");
        watched.begun.clear();
        tab.wait_until(&says("keep-alive", 150));
        assert_eq!(tab.complaints, Vec::<String>::new(), "{model}");
    });
}

/// The page says what it cannot show, and polls instead of streaming.
#[test]
#[ignore = "needs chromium"]
fn browser_shows_the_limited_status_of_forking_and_blocking() {
    let Some(_alone) = alone() else {
        return;
    };
    on_every_isolated_model(|model| {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().to_str().expect("UTF-8");
        let options = ["--listen", "127.0.0.1:0", "--status", "0", path];
        let evserve = Evserve::start(model, &options);
        let idle = evserve.connect();
        let mut tab = Tab::show(&format!("http://{}/", evserve.addresses[1]));
        tab.wait_until("Number(document.body.dataset.events) >= 3");
        let note = tab.value("document.querySelector('.note').innerText");
        let why = row(model).isolated_because;
        let why = why.expect("a reason");
        assert!(
            note.as_str().is_some_and(|note| note.contains(why)),
            "{note}"
        );
        tab.wait_until("document.querySelectorAll('#cells button').length >= 1");
        assert_eq!(tab.complaints, Vec::<String>::new(), "{model}");
        drop(idle);
    });
}

#[cfg(feature = "tls")]
#[test]
#[ignore = "needs chromium"]
fn browser_shows_when_the_certificate_expires() {
    let Some(_alone) = alone() else {
        return;
    };
    let identity = crate::common::Identity::new();
    let program = crate::common::Program::evserve("--mode echo --listen tls:127.0.0.1:0");
    let evserve = program
        .options("--status 0")
        .args(identity.options())
        .start();
    let mut tab = Tab::show(&format!("http://{}/", evserve.addresses[1]));
    tab.wait_until("Number(document.body.dataset.events) >= 1");
    tab.wait_until("!document.getElementById('certificate').parentElement.hidden");
    let text = tab.value("document.getElementById('certificate').innerText");
    let is_days = |text: &str| text.starts_with("in ") && text.ends_with(" days");
    assert!(text.as_str().is_some_and(is_days), "{text}");
    let title = tab.value("document.getElementById('certificate').parentElement.title");
    assert!(
        title
            .as_str()
            .is_some_and(|title| title.contains(": h, in /")),
        "{title}"
    );
    assert_eq!(tab.complaints, Vec::<String>::new());
}

/// Load by wrk. Dropping it ends it.
struct Load(Child);

impl Load {
    fn start(url: &str) -> Load {
        let mut wrk = Command::new("wrk");
        wrk.args(["-t1", "-c64", "-d600s", url])
            .stdout(Stdio::null());
        Load(wrk.spawn().expect("wrk is installed"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Clients that read nothing of a large file, and clients that have sent half a request.
fn slow_clients(evserve: &Evserve) -> Vec<Client> {
    let requests = [
        ("GET /large HTTP/1.1\r\nHost: h\r\n\r\n", 24),
        ("GET /a.txt HT", 8),
    ];
    let clients = requests.iter().flat_map(|(request, count)| {
        (0..*count).map(|_| {
            let mut client = evserve.connect();
            client.send(*request);
            client
        })
    });
    clients.collect()
}

/// A server of files with a status page, at its second address.
fn files(model: &str) -> (Evserve, tempfile::TempDir) {
    let root = tempfile::tempdir().expect("a directory");
    write(root.path().join("a.txt"), "hello").expect("written");
    let large = std::fs::File::create(root.path().join("large")).expect("made");
    large.set_len(64 << 20).expect("a sparse file");
    let evserve = Evserve::http(model, root.path(), &["--status", "0"]);
    (evserve, root)
}

/// The number that the legend has for a sign.
fn marked(class: &str) -> String {
    format!("Number(document.querySelector('[data-mark={class}]').innerText.replace(',', ''))")
}

/// Between turns, all of these connections would wait for input.
#[test]
#[ignore = "needs chromium"]
fn browser_shows_connections_while_they_act() {
    let Some(_alone) = alone() else {
        return;
    };
    for model in ["epoll", "io-uring"] {
        let (evserve, _root) = files(model);
        let _load = Load::start(&evserve.url("/a.txt"));
        let mut tab = Tab::show(&format!("http://{}/", evserve.addresses[1]));
        for shown in [
            format!("{} == 1", marked("acting")),
            format!("{} > 1", marked("nothing")),
            "document.querySelectorAll('#cells [data-state=\"writing head\"]').length > 0".into(),
        ] {
            tab.wait_until(&shown);
        }
        assert_eq!(tab.complaints, Vec::<String>::new(), "{model}");
    }
}

/// A model shows what it has: loops their waits, threads response times, processes neither.
#[test]
#[ignore = "needs chromium"]
fn browser_shows_the_last_minute() {
    let Some(_alone) = alone() else {
        return;
    };
    for (model, charts) in [
        ("epoll", vec!["requests", "times", "open", "idle"]),
        ("threaded", vec!["requests", "times", "open"]),
        ("forking", vec!["requests", "open"]),
    ] {
        let (evserve, _root) = files(model);
        let _load = Load::start(&evserve.url("/a.txt"));
        let mut tab = Tab::show(&format!("http://{}/", evserve.addresses[1]));
        // A scale, and then at least two seconds of curves.
        tab.wait_until(
            "document.readyState == 'complete' && Number(document.body.dataset.events) > 0",
        );
        tab.wait_until(
            "[...document.querySelectorAll('.chart')].every(chart => chart.querySelector('text'))",
        );
        let shown = "[...document.querySelectorAll('.chart')].map(chart => chart.dataset.chart)";
        assert_eq!(tab.value(shown), json!(charts), "{model}");
        if model != "forking" {
            tab.wait_until("document.querySelector('[data-chart=times] .line.four').getAttribute('d').split('H').length > 2");
            tab.wait_until("/^p50 .* µs · p99 .*s$/.test(document.querySelector('[data-chart=times]').parentElement.querySelector('span').innerText)");
        }
        assert_eq!(tab.complaints, Vec::<String>::new(), "{model}");
    }
}

#[test]
#[ignore = "needs chromium"]
fn browser_records_two_seconds() {
    let Some(_alone) = alone() else {
        return;
    };
    for model in [
        "epoll", "io-uring", "threaded", "pool", "blocking", "forking",
    ] {
        let (evserve, _root) = files(model);
        let folder = tempfile::tempdir().expect("a directory");
        let mut tab = Tab::show(&format!("http://{}/", evserve.addresses[1]));
        tab.wait_until("Number(document.body.dataset.events) >= 1");
        if row(model).executor == Executor::Process {
            assert_eq!(tab.value("document.getElementById('record')"), json!(null));
            continue;
        }
        let place = json!({"behavior": "allow", "downloadPath": folder.path()});
        tab.call("Page.setDownloadBehavior", &place);
        tab.value("document.getElementById('record').click()");
        tab.wait_until("document.getElementById('record').disabled");
        tab.wait_until("!document.getElementById('record').disabled");
        let said = tab.value("document.getElementById('recorded').innerText");
        let name = format!("evserve-{model}.evrec");
        assert!(
            said.as_str().is_some_and(|said| said.starts_with(&name)),
            "{model}: {said}"
        );
        // Chromium gives the file its name when it is complete.
        let path = folder.path().join(&name);
        let end = Instant::now() + PATIENCE;
        while !path.exists() {
            assert!(Instant::now() < end, "{model}: {name} does not come");
            tab.wait_until("true");
        }
        let bytes = read(&path).expect("a file");
        let recording = Recording::parse(&bytes).expect("a recording");
        assert_eq!(recording.fact("model"), Some(model));
        assert_eq!(tab.complaints, Vec::<String>::new(), "{model}");
    }
}

/// What is wider than its place, and may be scrolled or cut off.
const CUT: &str =
    "[...document.querySelectorAll('body *')].filter(one => one instanceof HTMLElement
    && one.clientWidth && one.scrollWidth > one.clientWidth + 1).map(one => one.outerHTML)";

/// Nothing is cut off at any width, and both color schemes differ. The screenshots stay in the build
/// directory. With `EVSERVE_WRITE=1` the one for the documentation is written.
#[test]
#[ignore = "needs chromium"]
fn browser_shows_the_status_narrow_and_wide_light_and_dark() {
    let Some(_alone) = alone() else {
        return;
    };
    let pictures = screenshots();
    for scene in ["idle", "load", "slow"] {
        let (evserve, _root) = files("epoll");
        let _load = (scene == "load").then(|| Load::start(&evserve.url("/a.txt")));
        let _slow = (scene == "slow").then(|| slow_clients(&evserve));
        let mut tab = Tab::show(&format!("http://{}/", evserve.addresses[1]));
        tab.wait_until("document.querySelectorAll('.chart .line').length > 0");
        for width in [390, 1280] {
            let mut papers = Vec::new();
            for scheme in ["light", "dark"] {
                tab.emulate_screen(width, scheme);
                tab.wait_until(&format!(
                    "innerWidth == {width} && matchMedia('(prefers-color-scheme: {scheme})').matches"
                ));
                assert_eq!(tab.value(CUT), json!([]), "{scene}, {width}");
                papers.push(tab.value("getComputedStyle(document.body).backgroundColor"));
                let file = pictures.join(format!("status-{scene}-{width}-{scheme}.png"));
                write(file, tab.screenshot()).expect("written");
            }
            assert_ne!(papers[0], papers[1], "by night as by day");
        }
        if scene == "load" && std::env::var_os("EVSERVE_WRITE").is_some() {
            // Half a minute of curves.
            tab.wait_until("minute.length >= 30");
            tab.emulate_screen(1280, "light");
            tab.wait_until("innerWidth == 1280");
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/live.png");
            write(file, tab.screenshot()).expect("written");
        }
        assert_eq!(tab.complaints, Vec::<String>::new(), "{scene}");
    }
}
