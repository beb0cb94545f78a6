//! What a person sees on a terminal: the start, the end, and a QR code where it is of use.

use crate::common::{Client, Evserve, Program, READY, pattern, skip, terminal};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Ctrl-C, as a keyboard sends it.
const INTERRUPT: &[u8] = b"\x03";

/// The colours of a QR code.
pub const QR_COLOURS: &str = "\x1b[38;5;16;48;5;231m";

/// A server that leads a session of its own on a terminal.
pub struct Screen {
    master: File,
    evserve: Evserve,
    /// All that the terminal has shown, with its escape sequences.
    pub shown: String,
}

impl Screen {
    fn start((columns, rows): (u16, u16), options: &str, root: &Path) -> Screen {
        let program = Program::evserve(options).arg(root).env("NO_COLOR", "");
        Screen::of(program, (columns, rows))
    }

    pub fn of(program: Program, (columns, rows): (u16, u16)) -> Screen {
        let (master, slave) = terminal();
        let size = Winsize {
            ws_col: columns,
            ws_row: rows,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&slave, size).expect("a terminal");
        let stderr = slave.try_clone().expect("one more");
        let program = program.run_by(["setsid", "--ctty", "--wait"]);
        let program = program.stdin(slave).stdout(Stdio::null()).stderr(stderr);
        let mut screen = Screen {
            master: master.into(),
            evserve: program.spawn(),
            shown: String::new(),
        };
        screen.read_until(READY);
        screen
    }

    /// Reads on until this was shown, and the rest of its line.
    pub fn read_until(&mut self, text: &str) {
        let mut some = [0; 4096];
        while !self
            .shown
            .split_once(text)
            .is_some_and(|(_, rest)| rest.contains('\n'))
        {
            let count = self.master.read(&mut some).unwrap_or(0);
            assert!(count > 0, "no {text:?} in {}", self.shown);
            self.shown += &String::from_utf8_lossy(&some[..count]);
        }
    }

    /// Reads on until the server has ended.
    pub fn read_to_end(&mut self) {
        let mut some = [0; 4096];
        // EIO once nothing has the terminal open.
        while let Ok(count @ 1..) = self.master.read(&mut some) {
            self.shown += &String::from_utf8_lossy(&some[..count]);
        }
        assert!(self.evserve.status().success(), "{}", self.shown);
    }

    pub fn press_ctrl_c(&mut self) {
        self.master.write_all(INTERRUPT).expect("a terminal");
    }

    /// The lines as a person reads them, without colours.
    fn lines(&self) -> Vec<String> {
        let shown = self.shown.replace("\r\n", "\n");
        let shown = shown.split('\n').map(|line| {
            // A carriage return begins the line again.
            let line = line.rsplit('\r').next().unwrap_or_default();
            let mut plain = String::new();
            for (index, part) in line.split("\x1b[").enumerate() {
                let text = part.split_once('m').filter(|_| index > 0);
                plain += text.map_or(part, |(_, text)| text);
            }
            plain
        });
        shown.collect()
    }

    fn port(&self) -> u16 {
        let url = self
            .lines()
            .into_iter()
            .find(|line| line.starts_with("  http://"));
        let url = url.expect("a URL");
        let port = url
            .split(':')
            .nth(2)
            .and_then(|rest| rest.split('/').next());
        port.and_then(|port| port.parse().ok()).expect("a port")
    }

    pub fn connect(&self) -> Client {
        Client::connect(([127, 0, 0, 1], self.port()).into())
    }
}

fn site() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join("page"), pattern(1000)).expect("written");
    root
}

/// The page on a connection that ends with it.
fn get_page(screen: &Screen) {
    let mut client = screen.connect();
    client.send("GET /page HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().body.len(), 1000);
    client.wait_for_close();
}

#[test]
fn the_start_says_what_is_served_where_and_how_to_stop() {
    let root = site();
    let screen = Screen::start((80, 24), "--listen 127.0.0.1:0", root.path());
    let port = screen.port();
    let real = root.path().canonicalize().expect("there");
    let lines = screen.lines();
    assert_eq!(
        lines[..4],
        [
            format!("serving {} over http", real.display()),
            String::new(),
            format!("  http://127.0.0.1:{port}/   on this machine only"),
            String::new(),
        ]
    );
    assert!(lines[4].contains("sandbox"), "{lines:?}");
    assert!(
        lines[5].starts_with("up to ") && lines[5].ends_with(" connections. Press Ctrl-C to stop."),
        "{lines:?}"
    );
    assert_eq!(lines[6..], [""]);
    for word in ["INFO", "evserve]", "epoll", "wrk"] {
        assert!(!screen.shown.contains(word), "{}", screen.shown);
    }
}

#[test]
fn the_end_says_what_was_served() {
    let root = site();
    let mut screen = Screen::start((80, 24), "--listen 127.0.0.1:0", root.path());
    let start = screen.lines().len();
    get_page(&screen);
    screen.press_ctrl_c();
    screen.read_to_end();
    let lines = screen.lines();
    let [served, end] = &lines[start - 1..] else {
        panic!("{lines:#?}");
    };
    assert!(
        served.starts_with("served 1 request on 1 connection in "),
        "{served}"
    );
    assert!(served.ends_with(" KiB"), "{served}");
    assert_eq!(end, "");
}

/// Who chooses a model compares it, and gets its costs.
#[test]
fn a_chosen_model_is_named_with_its_costs() {
    let root = site();
    for (options, level) in [
        ("--model epoll", ""),
        ("--model pool", ""),
        ("--log-level debug", "debug: [evserve] "),
    ] {
        let options = format!("{options} --listen 127.0.0.1:0");
        let mut screen = Screen::start((80, 24), &options, root.path());
        let load = format!(
            "  measure: wrk -t1 -c64 -d5s http://127.0.0.1:{}/",
            screen.port()
        );
        let is_chosen = level.is_empty();
        assert_eq!(
            screen.lines().contains(&load),
            is_chosen,
            "{}",
            screen.shown
        );
        get_page(&screen);
        screen.press_ctrl_c();
        screen.read_to_end();
        let lines = screen.lines();
        let costs = format!("{level}model ");
        let costs: Vec<_> = lines
            .iter()
            .filter(|line| line.starts_with(&costs))
            .collect();
        let last = costs.last().expect(&screen.shown);
        assert!(
            last.contains(" system calls to wait and on sockets, "),
            "{last}"
        );
        assert_eq!(costs.len(), 1 + usize::from(is_chosen), "{costs:?}");
    }
}

#[test]
fn ctrl_c_under_a_transfer_says_how_long_it_waits_and_a_second_one_ends_it() {
    let root = tempfile::tempdir().expect("a directory");
    let file = File::create(root.path().join("huge")).expect("made");
    file.set_len(1 << 30).expect("sparse");
    crate::common::on_every_model(|model| {
        let options = format!("--model {model} --listen 127.0.0.1:0");
        let mut screen = Screen::start((80, 24), &options, root.path());
        let mut busy = screen.connect();
        busy.send("GET /huge HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(busy.head().status, 200);
        screen.press_ctrl_c();
        screen
            .read_until("stopping: waiting up to 8 s for 1 connection; Ctrl-C again stops at once");
        screen.press_ctrl_c();
        screen.read_to_end();
        let lines = screen.lines();
        assert!(
            lines.contains(&"warning: cut off 1 connection".into()),
            "{model}: {lines:#?}"
        );
        assert!(
            screen
                .shown
                .contains("served 1 request on 1 connection in "),
            "{model}: {lines:#?}"
        );
    });
}

/// Connections on which nothing is under way are no reason to wait.
#[test]
fn ctrl_c_ends_at_once_if_nothing_is_under_way() {
    let root = site();
    let mut screen = Screen::start((80, 24), "--listen 127.0.0.1:0", root.path());
    let mut idle = screen.connect();
    idle.send("GET /page HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(idle.response().status, 200);
    screen.press_ctrl_c();
    screen.read_to_end();
    assert!(!screen.shown.contains("cut off"), "{}", screen.shown);
}

/// The URL that a camera reads off the screen.
fn scanned(screen: &Screen) -> Option<String> {
    let lines = screen
        .shown
        .lines()
        .filter_map(|line| line.split_once(QR_COLOURS));
    let rows: Vec<Vec<char>> = lines
        .map(|(_, rest)| {
            rest.split('\x1b')
                .next()
                .unwrap_or_default()
                .chars()
                .collect()
        })
        .collect();
    let side = rows.first()?.len();
    let is_dark = |x: usize, y: usize| match rows[y / 2][x] {
        '\u{2588}' => true,
        '\u{2580}' => y.is_multiple_of(2),
        '\u{2584}' => !y.is_multiple_of(2),
        _ => false,
    };
    const PIXELS: usize = 4;
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(
        side * PIXELS,
        rows.len() * 2 * PIXELS,
        |x, y| {
            if is_dark(x / PIXELS, y / PIXELS) {
                0
            } else {
                255
            }
        },
    );
    let grids = image.detect_grids();
    let (_, text) = grids.first().expect("a code").decode().expect("readable");
    Some(text)
}

#[test]
fn on_all_addresses_others_can_see_it_and_scan_its_url() {
    let root = site();
    let screen = Screen::start((80, 24), "--listen 0.0.0.0:0", root.path());
    let port = screen.port();
    let lines = screen.lines();
    let urls: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("  http://"))
        .collect();
    assert!(
        urls[0].starts_with(&format!("  http://127.0.0.1:{port}/ ")),
        "{lines:#?}"
    );
    assert!(urls[0].ends_with("   on this machine"), "{lines:#?}");
    let Some(first) = urls.get(1) else {
        return skip("network", "this machine has no address but the loopback's");
    };
    for url in &urls[1..] {
        assert!(
            url.ends_with("   visible to others on the network"),
            "{url}"
        );
        let address = url
            .trim_start_matches("  http://")
            .split('/')
            .next()
            .expect("an address");
        let mut client = Client::connect(address.parse().expect(address));
        client.send("GET /page HTTP/1.0\r\n\r\n");
        assert_eq!(client.response().status, 200, "{url}");
    }
    let url = first.trim().split(' ').next();
    assert_eq!(scanned(&screen).as_deref(), url, "{}", screen.shown);
    // Its caption stands above the quiet zone.
    let caption = format!("  Scan this to open {}", url.expect("it was scanned"));
    let is_code = |line: &String| line.contains('\u{2580}');
    let at = lines.iter().position(is_code).expect("a code");
    assert_eq!((&*lines[at - 3], lines[at - 2].trim()), (&*caption, ""));
}

#[test]
fn no_qr_code_where_it_is_of_no_use() {
    let root = site();
    for (size, options) in [
        ((80, 24), "--listen 0.0.0.0:0 --no-qr"),
        ((80, 24), "--listen 127.0.0.1:0"),
        ((80, 24), "--listen localhost:0"),
        ((30, 24), "--listen 0.0.0.0:0"),
        ((80, 10), "--listen 0.0.0.0:0"),
        ((0, 0), "--listen 0.0.0.0:0"),
    ] {
        let screen = Screen::start(size, options, root.path());
        assert_eq!(scanned(&screen), None, "{options}: {}", screen.shown);
    }
    let monochrome = Program::evserve("--listen 0.0.0.0:0").env("NO_COLOR", "1");
    let screen = Screen::of(monochrome.arg(root.path()), (80, 24));
    assert!(!screen.shown.contains('\x1b'), "{}", screen.shown);
    assert!(!screen.shown.contains('\u{2580}'), "{}", screen.shown);
    let piped = Program::evserve("--listen 0.0.0.0:0")
        .arg(root.path())
        .start();
    let piped = piped.stop().log;
    assert!(!piped.contains(['\x1b', '\r', '\u{2580}']), "{piped}");
}

/// Away from a terminal each line has its time and its level, for log files and journald.
#[test]
fn elsewhere_lines_have_time_and_level() {
    let root = site();
    let piped = Program::evserve("--listen 127.0.0.1:0")
        .arg(root.path())
        .start();
    let log = piped.stop().log;
    for line in log.lines() {
        let (time, rest) = line.split_once(' ').expect("a time");
        assert!(time.ends_with('Z') && time.len() == 24, "{line}");
        assert!(rest.starts_with("INFO  [evserve"), "{line}");
    }
    assert_eq!(log.lines().count(), 5, "{log}");
}

#[test]
fn commands_printed_at_the_start_work() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a socket");
    let program = Program::evserve("--mode http --mode echo docs/site --listen http=[::1]:0");
    let program = program
        .arg("--listen")
        .arg(format!("http=unix:{}", path.display()));
    let evserve = program
        .options("--listen echo=127.0.0.1:0 --model poll")
        .start();
    let said = evserve.startup_log();
    let after = |mark: &str| -> Vec<String> {
        let lines = said.iter().filter_map(|line| line.split_once(mark));
        lines.map(|(_, rest)| rest.to_owned()).collect()
    };
    let tries = after("  try: ");
    let [over_unix, nc] = &tries[..] else {
        panic!("{said:#?}");
    };
    assert!(nc.starts_with("nc 127.0.0.1 "), "{nc}");
    let output = Command::new("sh").args(["-c", over_unix]).output();
    let heard = output.expect("it ran").stdout;
    assert!(heard.starts_with(b"HTTP/1.1 200 OK"), "{over_unix}");
    let url = after("  measure: wrk -t1 -c64 -d5s ");
    let port = evserve.address().port();
    assert_eq!(url, [format!("http://localhost:{port}/")]);
}
