//! A real browser (chromium, headless) against the real program.
//!
//! A page of the test drives the page under test and reports to a listener of the test. So each
//! step is an event, and no test depends on timing.

mod lessons;
mod recordings;
mod replay;
mod report;
mod status;
mod tab;

use crate::common::{Evserve, PATIENCE, is_missing};
use std::fs::write;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use tab::Tab;

/// The options of chromium.
const OPTIONS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
    // The exception that a user makes for a certificate that the server has made itself.
    "--ignore-certificate-errors",
];

fn program() -> &'static str {
    let is_there = |name: &str| Path::new("/usr/bin").join(name).exists();
    match !is_there("chromium") && is_there("chromium-browser") {
        true => "chromium-browser",
        false => "chromium",
    }
}

/// Lets one test run at a time: a browser uses a whole processor. Returns `None` if there is no
/// browser.
fn alone() -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::new(());
    let is_missing = is_missing(program());
    (!is_missing).then(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A chromium that shows one page. Dropping it ends it.
struct Browser {
    child: Child,
    reports: Receiver<String>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Shows the page at `url`. Its fragment is the address to report to.
    fn show(url: &str) -> Browser {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, reports) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { break };
                let mut request = [0; 4096];
                let count = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..count]).into_owned();
                let target = request.split(' ').nth(1).unwrap_or_default();
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
                if let Some(report) = target.strip_prefix("/report/")
                    && sender.send(report.to_owned()).is_err()
                {
                    break;
                }
            }
        });
        let profile = tempfile::tempdir().expect("a directory");
        let child = Command::new(program())
            .args(OPTIONS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("{url}#http://{address}/report/"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromium starts");
        Browser {
            child,
            reports,
            _profile: profile,
        }
    }

    fn report(&self) -> String {
        let report = self
            .reports
            .recv_timeout(PATIENCE)
            .expect("the page reports");
        percent_encoding::percent_decode_str(&report)
            .decode_utf8()
            .expect("UTF-8")
            .into_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const REPORT: &str = "const report = text => fetch(location.hash.slice(1) + encodeURIComponent(text), {mode: 'no-cors'});
    onerror = message => report('error: ' + message);";

/// A minute of silence with a click at its end: 8 kHz, mono, 16 bits (RIFF WAVE).
fn wav() -> Vec<u8> {
    let samples: u32 = 8000 * 60;
    let mut wav = Vec::new();
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + samples * 2).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt ");
    wav.extend_from_slice(&16_u32.to_le_bytes());
    for field in [1_u16, 1] {
        wav.extend_from_slice(&field.to_le_bytes());
    }
    for field in [8000_u32, 16_000] {
        wav.extend_from_slice(&field.to_le_bytes());
    }
    for field in [2_u16, 16] {
        wav.extend_from_slice(&field.to_le_bytes());
    }
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&(samples * 2).to_le_bytes());
    wav.resize(44 + samples as usize * 2 - 2, 0);
    wav.extend_from_slice(&[0xff, 0x7f]);
    wav
}

#[test]
#[ignore = "needs chromium"]
fn browser_seeks_in_a_video_with_ranges() {
    let Some(_alone) = alone() else {
        return;
    };
    let root = tempfile::tempdir().expect("a directory");
    write(root.path().join("clip.wav"), wav()).expect("written");
    let page = format!(
        "<!DOCTYPE html><title>seek</title><video id=v preload=metadata src=clip.wav></video><script>{REPORT}
        v.onerror = () => report('error: ' + v.error.message);
        v.onloadedmetadata = () => {{ v.currentTime = 55; }};
        v.onseeked = () => report('at ' + v.currentTime + ' of ' + v.duration);
        </script>"
    );
    write(root.path().join("seek.html"), page).expect("written");
    let check = |evserve: Evserve, url: &str| {
        let browser = Browser::show(url);
        assert_eq!(browser.report(), "at 55 of 60", "{url}");
        drop(browser);
        let log = evserve.stop().access_log;
        let parts = log
            .lines()
            .filter(|line| line.contains("/clip.wav") && line.contains("\" 206 "));
        assert!(parts.count() > 0, "{url}: {log}");
    };
    let evserve = Evserve::http("epoll", root.path(), &[]);
    let url = evserve.url("/seek.html");
    check(evserve, &url);
    #[cfg(feature = "tls")]
    for model in ["epoll", "threaded", "io-uring"] {
        let identity = crate::common::Identity::new();
        let program = crate::common::Program::model(model, "--listen tls:127.0.0.1:0");
        let program = program.args(identity.options()).arg(root.path());
        let evserve = program.start();
        let url = format!("https://{}/seek.html", evserve.address());
        check(evserve, &url);
    }
}

/// The policy allows the style of the page, and no other style, not even in an attribute.
#[test]
#[ignore = "needs chromium"]
fn browser_applies_only_the_style_of_the_page() {
    let Some(_alone) = alone() else {
        return;
    };
    let root = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(root.path().join("files")).expect("made");
    write(root.path().join("files/a.png"), "").expect("written");
    let page = format!(
        "<!DOCTYPE html><title>style</title><iframe id=f src=files/></iframe><script>{REPORT}
        f.onload = async () => {{
            const page = f.contentDocument, style = element => f.contentWindow.getComputedStyle(element);
            const table = style(page.querySelector('table')).borderTopLeftRadius;
            const glyph = page.querySelector('td svg').getBoundingClientRect().width;
            const all = page.createElement('p');
            all.setAttribute('style', 'color: red');
            page.body.append(all);
            const red = style(all).color == 'rgb(255, 0, 0)';
            await report(`${{table}} ${{glyph}} ${{red}}`);
            f.onload = () => report(style(f.contentDocument.querySelector('section')).textAlign);
            f.src = 'nothing';
        }};
        </script>"
    );
    write(root.path().join("style.html"), page).expect("written");
    let evserve = Evserve::http("epoll", root.path(), &[]);
    let browser = Browser::show(&evserve.url("/style.html"));
    assert_eq!(browser.report(), "10px 20 false");
    assert_eq!(browser.report(), "center");
}

#[test]
#[ignore = "needs chromium"]
fn browser_sorts_and_filters_a_listing_and_follows_odd_names() {
    let Some(_alone) = alone() else {
        return;
    };
    let root = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(root.path().join("files")).expect("made");
    for (name, size) in [("b", 3), ("a", 20), ("c & \"<d>\" #1 100%?", 1)] {
        write(root.path().join("files").join(name), "x".repeat(size)).expect("written");
    }
    let page = format!(
        "<!DOCTYPE html><title>sort</title><iframe id=f src=files/></iframe><script>{REPORT}
        const names = () => [...f.contentDocument.querySelectorAll('tbody a')].map(a => a.textContent).join('|');
        const click = text => [...f.contentDocument.querySelectorAll('button')].find(b => b.textContent.startsWith(text)).click();
        let step = 0;
        f.onload = async () => {{
            await report(names());
            if (++step < 3) return click('Size');
            if (step == 3) {{
                f.contentDocument.querySelector('input').value = '100% <D>';
                return click('Filter');
            }}
            if (step == 4) return click('Name');
            await report(f.contentWindow.location.search);
            const odd = await fetch([...f.contentDocument.querySelectorAll('tbody a')].at(-1).href);
            report(odd.status + ' ' + (await odd.text()).length);
        }};
        </script>"
    );
    write(root.path().join("sort.html"), page).expect("written");
    let evserve = Evserve::http("epoll", root.path(), &[]);
    let browser = Browser::show(&evserve.url("/sort.html"));
    let odd = "c & \"<d>\" #1 100%?";
    assert_eq!(browser.report(), format!("a|b|{odd}"), "by name");
    assert_eq!(browser.report(), format!("{odd}|b|a"), "by size");
    assert_eq!(
        browser.report(),
        format!("a|b|{odd}"),
        "by size, the largest first"
    );
    assert_eq!(browser.report(), odd, "those that contain both words");
    assert_eq!(browser.report(), odd, "sorted again");
    assert_eq!(browser.report(), "?q=100%25+%3CD%3E&sort=name");
    assert_eq!(browser.report(), "200 1");
}

/// The folder for screenshots, which stay in the build directory.
fn screenshots() -> PathBuf {
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&pictures).expect("made");
    pictures
}

/// Nothing overflows at any width, both color schemes differ, and the browser reports no error. The
/// screenshots stay in the build directory.
#[test]
#[ignore = "needs chromium"]
fn browser_shows_pages_narrow_and_wide_light_and_dark() {
    let Some(_alone) = alone() else {
        return;
    };
    let pictures = screenshots();
    let files = tempfile::tempdir().expect("a directory");
    for name in [
        "a.txt",
        "photo.jpg",
        "song.mp3",
        "page.html",
        "a-name-that-is-rather-long-for-a-file-on-a-phone.tar.gz",
        "README.md",
    ] {
        write(files.path().join(name), name.repeat(100)).expect("written");
    }
    let listing = Evserve::http("epoll", files.path(), &[]);
    let pages = [
        ("listing", listing.url("/")),
        ("filter", listing.url("/?q=a&sort=-size")),
    ];
    for (name, url) in pages {
        let mut tab = Tab::show(&url);
        tab.wait_until("document.readyState == 'complete' && document.body.innerText.length > 20");
        for (device, width) in [("phone", 390), ("desk", 1200)] {
            let mut papers = Vec::new();
            for scheme in ["light", "dark"] {
                tab.emulate_screen(width, scheme);
                let least = format!(
                    "innerWidth == {width} && matchMedia('(prefers-color-scheme: {scheme})').matches"
                );
                tab.wait_until(&least);
                let widest =
                    "document.documentElement.scrollWidth - document.documentElement.clientWidth";
                assert_eq!(
                    tab.value(widest),
                    0,
                    "{name}, {device}: something sticks out"
                );
                papers.push(tab.value("getComputedStyle(document.body).backgroundColor"));
                let file = pictures.join(format!("{name}-{device}-{scheme}.png"));
                write(&file, tab.screenshot()).expect("written");
            }
            assert_ne!(papers[0], papers[1], "{name}: by night as by day");
        }
        assert_eq!(tab.complaints, Vec::<String>::new(), "{name}");
    }
}
