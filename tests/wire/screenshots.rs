//! Pictures of the terminal for the docs, drawn from real runs. `EVSERVE_WRITE=1 cargo test --test
//! wire screenshots` writes them, and needs port 8080 for that. Otherwise the words of a run are
//! compared with them.

use crate::common::Program;
use crate::terminal::{QR_COLOURS, Screen};
use std::fmt::Write as _;
use std::fs::{File, create_dir};
use std::path::Path;

/// Where the pictures show the served directory.
const HOME: &str = "/home/ada";

/// The size of a character in pixels, and the space around the text.
const CELL: (f64, f64) = (8.4, 19.0);
const MARGIN: f64 = 16.0;

const STYLE: &str = ".back{fill:#fff;stroke:#8886}.text{fill:#222}.url{fill:#06727e}.warning{fill:#8a5a00}\
    @media(prefers-color-scheme:dark){.back{fill:#16181d}.text{fill:#ddd}.url{fill:#5cc8d6}.warning{fill:#e0b050}}";

/// A directory that is served as `public`.
struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Site {
        let home = tempfile::tempdir().expect("a directory");
        let root = home.path().join("public");
        create_dir(&root).expect("made");
        std::fs::write(root.join("index.html"), vec![b'x'; 12_345]).expect("written");
        let film = File::create(root.join("film.mp4")).expect("made");
        film.set_len(64 << 20).expect("sparse");
        Site(home)
    }

    fn start(&self, options: &str) -> Screen {
        let program = Program::evserve(options).arg("public").env("NO_COLOR", "");
        Screen::of(program.current_dir(self.0.path()), (80, 30))
    }

    /// The lines of a screen, each with its escape sequences, below other lines.
    fn lines(&self, first: &[&str], screen: &Screen) -> Vec<String> {
        let real = self.0.path().canonicalize().expect("there");
        let shown = screen.shown.replace(&real.display().to_string(), HOME);
        let shown = shown.replace("\r\n", "\n");
        let lines = shown.trim_end().split('\n');
        let lines = lines.map(|line| line.rsplit('\r').next().unwrap_or_default().to_owned());
        let first = first.iter().map(|line| (*line).to_owned());
        first.chain(lines).collect()
    }
}

fn port() -> &'static str {
    if is_writing() { "8080" } else { "0" }
}

fn is_writing() -> bool {
    std::env::var_os("EVSERVE_WRITE").is_some()
}

/// The parts of a line, each with its class.
fn parts(line: &str) -> Vec<(&str, &'static str)> {
    let mut parts = Vec::new();
    for (index, part) in line.split("\x1b[").enumerate() {
        let (colour, text) = match part.split_once('m') {
            Some(split) if index > 0 => split,
            _ => ("0", part),
        };
        let class = match colour {
            "36" => "url",
            "0" => "text",
            _ => "warning",
        };
        if !text.is_empty() {
            parts.push((text, class));
        }
    }
    parts
}

fn drawn(lines: &[String]) -> String {
    let is_code = |line: &String| line.contains(QR_COLOURS);
    let columns = lines.iter().filter(|line| !is_code(line));
    let columns = columns.map(|line| {
        parts(line)
            .iter()
            .map(|(text, _)| text.chars().count())
            .sum()
    });
    let columns: usize = columns.max().unwrap_or_default();
    let width = columns as f64 * CELL.0 + 2.0 * MARGIN;
    let height = lines.len() as f64 * CELL.1 + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         font-family=\"ui-monospace, Menlo, Consolas, monospace\" font-size=\"14\">\n<style>{STYLE}</style>\n\
         <rect class=\"back\" x=\"1\" y=\"1\" width=\"{:.0}\" height=\"{:.0}\" rx=\"8\"/>\n",
        width - 2.0,
        height - 2.0
    );
    for (row, line) in lines.iter().enumerate() {
        let top = MARGIN + row as f64 * CELL.1;
        if is_code(line) {
            draw_code(&mut svg, line, top);
            continue;
        }
        let mut column = 0;
        for (text, class) in parts(line) {
            let length = text.chars().count();
            let indent = length - text.trim_start().chars().count();
            let words = text.trim();
            let count = words.chars().count();
            if count > 0 {
                let x = MARGIN + (column + indent) as f64 * CELL.0;
                let words = words.replace('&', "&amp;").replace('<', "&lt;");
                writeln!(
                    svg,
                    "<text class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{:.1}\" xml:space=\"preserve\">{words}</text>",
                    top + CELL.1 * 0.75,
                    count as f64 * CELL.0
                )
                .expect("written");
            }
            column += length;
        }
    }
    svg + "</svg>\n"
}

/// A line of a QR code: white, with the dark modules as squares. A character is about twice as high
/// as it is wide.
fn draw_code(svg: &mut String, line: &str, top: f64) {
    let (before, code) = line.split_once(QR_COLOURS).expect("a code");
    let code = code.split('\x1b').next().unwrap_or_default();
    let (x, width) = (
        MARGIN + before.len() as f64 * CELL.0,
        code.chars().count() as f64 * CELL.0,
    );
    let half = CELL.1 / 2.0;
    let mut path = String::new();
    for (column, module) in code.chars().enumerate() {
        let left = x + column as f64 * CELL.0;
        let (y, height) = match module {
            '\u{2588}' => (top, CELL.1),
            '\u{2580}' => (top, half),
            '\u{2584}' => (top + half, half),
            _ => continue,
        };
        write!(
            path,
            "M{left:.1} {y:.1}h{0:.1}v{height:.1}h-{0:.1}z",
            CELL.0
        )
        .expect("written");
    }
    writeln!(
        svg,
        "<path fill=\"#fff\" d=\"M{x:.1} {top:.1}h{width:.1}v{:.1}h-{width:.1}z\"/><path shape-rendering=\"crispEdges\" d=\"{path}\"/>",
        CELL.1
    )
    .expect("written");
}

/// The words of a picture, with 0 for each number, and without what differs between machines.
fn words(svg: &str) -> String {
    let texts = svg.split("<text ").skip(1).filter_map(|part| {
        let (_, rest) = part.split_once('>')?;
        rest.split('<').next()
    });
    let mut words = String::new();
    for text in texts {
        let is_number = |c: char| c.is_ascii_digit() || ",.".contains(c);
        let mut last_is_number = false;
        for c in text.chars() {
            let number = is_number(c) && (last_is_number || c.is_ascii_digit());
            if !number {
                words.push(c);
            } else if !last_is_number {
                words.push('0');
            }
            last_is_number = number;
        }
        words.push('\n');
    }
    words
}

/// Compares a picture with the lines of a run, or writes it.
fn check(name: &str, lines: &[String]) {
    let (path, svg) = (Path::new("docs").join(name), drawn(lines));
    if is_writing() {
        return std::fs::write(path, svg).expect("written");
    }
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let how = "EVSERVE_WRITE=1 cargo test --test wire screenshots writes it";
    assert_eq!(
        words(&old),
        words(&svg),
        "{name} shows what is no longer so; {how}"
    );
}

/// One after the other: when they are written, they need the same port.
#[test]
fn the_pictures_show_what_a_terminal_shows() {
    let site = Site::new();
    let mut screen = site.start(&format!("--listen 127.0.0.1:{} --access-log off", port()));
    check(
        "terminal-start.svg",
        &site.lines(&["$ evserve public"], &screen),
    );

    // A film is under way at the first Ctrl-C, and is finished in time.
    let from = screen.shown.len();
    let mut client = screen.connect();
    for _ in 0..11 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    client.send("GET /film.mp4 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.head().status, 200);
    screen.press_ctrl_c();
    screen.read_until("stopping: ");
    assert_eq!(client.rest().len(), 64 << 20);
    screen.read_to_end();
    screen.shown.drain(..from);
    check(
        "terminal-end.svg",
        &site.lines(&["$ evserve public", "\u{22ee}"], &screen),
    );

    if is_writing() {
        let screen = site.start(&format!("--listen 0.0.0.0:{} --access-log off", port()));
        check(
            "terminal-network.svg",
            &site.lines(&["$ evserve --listen :8080 public"], &screen),
        );
    }
}
