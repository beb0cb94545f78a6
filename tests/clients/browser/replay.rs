//! The page of `evserve replay`: it steps forward and back to the same picture, keeps two
//! recordings in step, finds the slowest request, and needs no network.

use super::{alone, screenshots, tab::Tab};
use evserve::recording::{
    Contents, Deadline, End, Event, Kind, NEVER, Part, Reason, Syscall, TEXT_SIZE, Table,
};
use evserve::replay::{Replayed, page};
use std::fs::write;

/// The least size of text in pixels.
const LEAST: f64 = 12.0;

/// The states of the sessions.
const STATES: &[&str] = &["accepted", "reading request", "writing head", "keep-alive"];

/// A thread of a server that is made up, event by event.
struct Thread {
    now: u64,
    events: Vec<[u64; 4]>,
}

impl Thread {
    fn begin(now: u64) -> Thread {
        let events = Vec::new();
        Thread { now, events }
    }

    fn push(&mut self, event: Event) -> &mut Thread {
        self.now += 100;
        let event = Event {
            at: self.now,
            ..event
        };
        self.events.push(event.to_words());
        self
    }

    fn on(&mut self, kind: Kind, fd: i32, code: u8, detail: u16) -> &mut Thread {
        let extra = if kind == Kind::Stop { NEVER } else { 0 };
        self.push(Event {
            code,
            detail,
            extra,
            ..Event::new(kind, fd)
        })
    }

    fn opened(&mut self, fd: i32, number: i64) -> &mut Thread {
        self.push(Event {
            value: number,
            ..Event::new(Kind::Opened, fd)
        });
        self.on(Kind::Step, fd, 2, 1)
    }

    fn call(&mut self, call: Syscall, fd: i32, value: i64, took: u64) -> &mut Thread {
        self.push(Event {
            code: call as u8,
            value,
            extra: took,
            ..Event::new(Kind::Call, fd)
        });
        self.now += took;
        self
    }

    /// A call that waits.
    fn wait(&mut self, call: Syscall, fd: i32, value: i64, took: u64) -> &mut Thread {
        self.push(Event {
            code: call as u8,
            value: -1,
            ..Event::new(Kind::Waits, fd)
        });
        self.call(call, fd, value, took)
    }

    /// The answer to a request, and the step to the state after it.
    fn answer(&mut self, fd: i32, target: &[u8]) -> &mut Thread {
        let length = target.len() as i64;
        self.push(Event {
            detail: 200,
            value: length,
            ..Event::new(Kind::Request, fd)
        });
        for part in target.chunks(TEXT_SIZE) {
            let mut words = [0; TEXT_SIZE];
            words[..part.len()].copy_from_slice(part);
            let (words, _) = words.as_chunks::<8>();
            self.push(Event {
                code: part.len() as u8,
                value: u64::from_le_bytes(words[0]) as i64,
                extra: u64::from_le_bytes(words[1]),
                ..Event::new(Kind::Text, fd)
            });
        }
        self.on(Kind::Step, fd, 3, 2)
            .call(Syscall::Send, fd, 300, 9_000)
            .on(Kind::Step, fd, 4, 3)
            .on(Kind::Answered, fd, 0, 0)
    }
}

fn recording(model: &str, threads: Vec<Thread>) -> Vec<u8> {
    let thread = |(index, thread): (usize, Thread)| Part {
        process: 10,
        thread: 10 + index as u32,
        events: thread.events,
    };
    let mut contents = Contents {
        process: 10,
        facts: vec![("model".into(), model.into())],
        parts: threads.into_iter().enumerate().map(thread).collect(),
        ..Contents::default()
    };
    contents.add_fixed_names();
    for (number, name) in STATES.iter().enumerate() {
        let key = (Table::States, number as u8 + 1);
        contents.names.insert(key, (*name).into());
    }
    contents.to_bytes()
}

/// A silent client and one with two requests, served by one loop.
fn epoll() -> Vec<u8> {
    let mut thread = Thread::begin(5_000);
    let turn_of = |thread: &mut Thread, fd: i32, received: i64| {
        thread
            .on(Kind::Turn, fd, 0, 0)
            .call(Syscall::Recv, fd, received, 2_000);
    };
    let waits = |thread: &mut Thread, fd: i32| {
        let (receive, idle) = (Reason::Receive as u8, Deadline::Idle as u16);
        thread.on(Kind::Stop, fd, receive, idle);
    };
    for (fd, number) in [(7, 1), (8, 2)] {
        thread
            .wait(Syscall::EpollWait, -1, 1, 3_000_000)
            .on(Kind::Found, 3, 1, 1)
            .call(Syscall::Accept, 3, fd.into(), 9_000)
            .opened(fd, number);
        turn_of(&mut thread, fd, -11);
        waits(&mut thread, fd);
    }
    for (target, asleep) in [
        (&b"GET /first"[..], 40_000),
        (b"GET /the-slowest-one", 90_000),
    ] {
        thread
            .wait(Syscall::EpollWait, -1, 1, asleep)
            .on(Kind::Found, 8, 0, 1);
        turn_of(&mut thread, 8, 60);
        if asleep == 90_000 {
            thread.call(Syscall::Openat2, -1, 9, 7_000_000);
        }
        thread.answer(8, target);
        waits(&mut thread, 8);
    }
    thread.on(Kind::Closed, 8, End::PeerEnded as u8, 0);
    recording("epoll", vec![thread])
}

/// The same clients, served by one thread: the second one waits until the first one has gone.
fn blocking() -> Vec<u8> {
    let mut thread = Thread::begin(9_000_000);
    thread
        .wait(Syscall::Accept, 3, 7, 1_000_000)
        .opened(7, 1)
        .wait(Syscall::Recv, 7, 0, 12_000_000)
        .on(Kind::Closed, 7, End::PeerEnded as u8, 0)
        .wait(Syscall::Accept, 3, 7, 20_000)
        .opened(7, 2)
        .wait(Syscall::Recv, 7, 60, 30_000)
        .answer(7, b"GET /first")
        .wait(Syscall::Recv, 7, 0, 500_000);
    recording("blocking", vec![thread])
}

/// A page, and the folder that it may need as long as the tab.
pub(super) struct Shown {
    pub(super) tab: Tab,
    folder: Option<tempfile::TempDir>,
}

fn show(recordings: &[(&str, Vec<u8>)]) -> Shown {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("page.html");
    let replayed = recordings
        .iter()
        .map(|(name, bytes)| Replayed { name, bytes });
    let page = page(&replayed.collect::<Vec<_>>()).expect("recordings");
    write(&file, page).expect("written");
    let mut shown = Shown::open(&format!("file://{}", file.display()));
    shown.folder = Some(folder);
    shown
}

/// All that a page shows but the focus.
const PICTURE: &str = "document.getElementById('now').innerHTML
    + document.getElementById('sentence').innerHTML + document.getElementById('sides').innerHTML";

impl Shown {
    pub(super) fn open(url: &str) -> Shown {
        let mut tab = Tab::show(url);
        tab.wait_until("document.body.dataset.ready == 'yes'");
        Shown { tab, folder: None }
    }

    pub(super) fn picture(&mut self) -> String {
        self.text(PICTURE)
    }

    /// Presses a key, and returns the picture.
    pub(super) fn press(&mut self, key: &str) -> String {
        let (shift, key) = match key.strip_prefix("Shift+") {
            Some(key) => (true, key),
            None => (false, key),
        };
        self.text(&format!(
            "document.body.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', shiftKey: {shift}, bubbles: true}}));
            {PICTURE}"
        ))
    }

    pub(super) fn text(&mut self, expression: &str) -> String {
        let value = self.tab.value(expression);
        value.as_str().unwrap_or_default().to_owned()
    }

    pub(super) fn sentence(&mut self) -> String {
        self.text("document.getElementById('sentence').textContent")
    }

    fn event(&mut self) -> u64 {
        let event = self.tab.value("Number(document.body.dataset.at)");
        event.as_u64().expect("a number")
    }

    /// Checks that nothing was loaded, and that the browser had nothing to complain about.
    pub(super) fn end(mut self) {
        let requests = "performance.getEntriesByType('resource').length";
        assert_eq!(self.tab.value(requests), 0, "the page loads something");
        assert_eq!(self.tab.complaints, Vec::<String>::new());
    }
}

#[test]
#[ignore = "needs chromium"]
fn browser_replays_a_recording_forward_and_back_to_the_same_pictures() {
    let Some(_alone) = alone() else {
        return;
    };
    for (name, bytes) in [("epoll", epoll()), ("blocking", blocking())] {
        let mut shown = show(&[(name, bytes)]);
        for (back, forward) in [
            ("ArrowLeft", "ArrowRight"),
            ("Shift+ArrowLeft", "Shift+ArrowRight"),
            (",", "."),
        ] {
            let first = shown.press("Home");
            let mut pictures = Vec::new();
            loop {
                let before = shown.event();
                let picture = shown.press(forward);
                if shown.event() == before {
                    break;
                }
                pictures.push(picture);
            }
            assert!(pictures.len() >= 3, "{name}, {forward}: {}", pictures.len());
            while pictures.pop().is_some() && !pictures.is_empty() {
                let picture = shown.press(back);
                assert!(
                    Some(&picture) == pictures.last(),
                    "{name}: {back} to {picture}"
                );
            }
            assert!(shown.press("Home") == first, "{name}: Home");
        }
        shown.end();
    }
}

/// The moments at which both recordings stand, and those of the cursors on the screen.
const CURSORS: &str = "[...document.querySelectorAll('.cursor')].map(line => line.getAttribute('d').split(' ')[0]).join(' ')";

#[test]
#[ignore = "needs chromium"]
fn browser_replays_two_recordings_on_one_clock() {
    let Some(_alone) = alone() else {
        return;
    };
    let mut shown = show(&[("one.evrec", blocking()), ("two.evrec", epoll())]);
    // Both have just opened their first connection, in whatever order.
    let clock = "document.getElementById('clock').textContent";
    assert_eq!(shown.text(clock), "0.0 µs");
    shown.press("Home");
    let mut seen = [0, 0];
    loop {
        let before = shown.event();
        shown.press("ArrowRight");
        if shown.event() == before {
            break;
        }
        let sentence = shown.sentence();
        seen[usize::from(sentence.starts_with("B: "))] += 1;
        let cursors = shown.text(CURSORS);
        let (one, two) = cursors.split_once(' ').expect("two cursors");
        assert_eq!(one, two, "{sentence}");
        // The later events of each recording have not happened.
        let is_in_step = "sides.every(side => {
            const last = side.state.count - 1;
            return (last < 0 || side.time(last) <= now)
                && (last + 1 >= side.recording.count || side.time(last + 1) >= order.time[at]);
        })";
        assert_eq!(shown.tab.value(is_in_step), true, "{sentence}");
    }
    assert!(seen.iter().all(|count| *count > 10), "{seen:?}");
    // While one sleeps for its client, the other answers: 10 ms after the first connection.
    shown.press("Home");
    shown.tab.value("goTo(3.2e6); 0");
    let labels = "[...document.querySelectorAll('.labels')].map(labels => labels.innerText.replace(/\\s+/g, ' ')).join('|')";
    let labels = shown.text(labels);
    let (blocking, epoll) = labels.split_once('|').expect("two recordings");
    assert!(blocking.contains("thread asleep in recv"), "{blocking}");
    assert!(blocking.contains("#2 not there yet"), "{blocking}");
    assert!(epoll.contains("#2 keep-alive"), "{epoll}");
    let code = "document.querySelectorAll('pre').length";
    assert_eq!(
        shown.tab.value(code),
        0,
        "the course's servers do not know HTTP"
    );
    shown.end();
}

/// A client that sends a lot, and then reads nothing for 130 ms: its thread sleeps in send.
fn slow_reader() -> Vec<u8> {
    let mut thread = Thread::begin(1_000_000);
    thread
        .wait(Syscall::Accept, 3, 7, 1_000_000)
        .opened(7, 1)
        .wait(Syscall::Recv, 7, 40_000, 30_000)
        .call(Syscall::Send, 7, 40_000, 130_000_000)
        .wait(Syscall::Recv, 7, 0, 500_000)
        .on(Kind::Closed, 7, End::PeerEnded as u8, 0);
    recording("threaded", vec![thread])
}

/// The names of the bars that the cursor crosses.
const AT_CURSOR: &str = "(() => {
    const x = Number(document.querySelector('.cursor').getAttribute('d').slice(1).split(' ')[0]);
    const number = (bar, name) => Number(bar.getAttribute(name));
    const isThere = bar => number(bar, 'x') < x && x < number(bar, 'x') + number(bar, 'width');
    return [...document.querySelectorAll('.lanes rect:not(.future):not(.gap)')].filter(isThere)
        .map(bar => bar.getAttribute('class')).join(' ');
})()";

#[test]
#[ignore = "needs chromium"]
fn browser_shows_a_send_that_waits_for_its_reader_as_sleep() {
    let Some(_alone) = alone() else {
        return;
    };
    let mut shown = show(&[("slow", slow_reader())]);
    shown.tab.value("goTo(60e6); 0");
    let bars = shown.text(AT_CURSOR);
    assert!(bars.contains("sleep"), "{bars}");
    assert!(!bars.contains("acts") && !bars.contains("send"), "{bars}");
    let labels = shown.text("document.querySelector('.labels').innerText");
    assert!(labels.contains("asleep in send for #1, "), "{labels}");
    assert!(
        labels.contains("its thread is asleep in send, "),
        "{labels}"
    );
    let asleep = shown.text("sides[0].asleep.textContent");
    assert!(asleep.contains("Thread in send for #1, "), "{asleep}");
    // The code of the same step, and the time from the input to its end.
    let runs = "[...document.querySelectorAll('code.runs')].map(line => line.textContent.trim()).join('|')";
    let runs = shown.text(runs);
    assert!(
        runs.contains("client.write_all(&buffer[..count])?"),
        "{runs}"
    );
    shown.press("s");
    let slowest = shown.text("document.getElementById('found').innerText");
    assert!(slowest.starts_with("130 ms: 39.1 KiB sent"), "{slowest}");
    // What does not occur is not explained.
    let legend = shown.text("document.getElementById('legend').innerText");
    assert!(legend.contains("asleep in a call"), "{legend}");
    assert!(
        !legend.contains("square") && !legend.contains("ready"),
        "{legend}"
    );
    shown.end();
}

/// Presses Space as a person does, on what has the focus.
fn press_space(shown: &mut Shown) {
    for kind in ["keyDown", "keyUp"] {
        let key = serde_json::json!({"type": kind, "key": " ", "code": "Space", "text": " ", "windowsVirtualKeyCode": 32});
        shown.tab.call("Input.dispatchKeyEvent", &key);
    }
}

#[test]
#[ignore = "needs chromium"]
fn browser_plays_by_space_whatever_has_the_focus() {
    let Some(_alone) = alone() else {
        return;
    };
    let mut shown = show(&[("epoll", epoll())]);
    shown.press("Home");
    let play = "document.getElementById('play').textContent";
    for focused in ["[data-do=in]", "#play", "#shorten", "#speed", "summary"] {
        let before = format!("document.querySelector('{focused}').focus(); scale");
        let scale = shown.tab.value(&before);
        press_space(&mut shown);
        assert_eq!(shown.text(play), "Pause", "{focused}");
        press_space(&mut shown);
        assert_eq!(shown.text(play), "Play", "{focused}");
        assert_eq!(shown.tab.value("scale"), scale, "{focused}");
        assert_eq!(shown.tab.value("find('shorten').checked"), true);
    }
    // But in the search field it is a space.
    shown.press("/");
    press_space(&mut shown);
    assert_eq!(shown.text("find('query').value"), " ");
    assert_eq!(shown.text(play), "Play");
    shown.end();
}

#[test]
#[ignore = "needs chromium"]
fn browser_finds_requests_states_and_waits_in_a_recording() {
    let Some(_alone) = alone() else {
        return;
    };
    let mut shown = show(&[("epoll", epoll())]);
    shown.press("s");
    let found = "document.getElementById('found').innerText";
    let slowest = shown.text(found);
    assert!(
        slowest.starts_with("7.01 ms: GET /the-slowest-one, 200"),
        "{slowest}"
    );
    assert!(shown.sentence().contains("is readable"), "where it begins");
    let mut search = |words: &str| {
        shown.text(&format!(
            "document.getElementById('query').value = '{words}';
            document.getElementById('search').requestSubmit(); document.getElementById('found').innerText"
        ))
    };
    assert!(search("/first").contains("GET /first, 200, connection #2"));
    assert_eq!(search("keep-alive").lines().count(), 2);
    assert!(search("#1").contains("connection #1, descriptor 7"));
    let long = search(">2ms");
    assert_eq!(long.lines().count(), 4, "{long}");
    assert!(
        long.contains("7.00 ms: openat2 by the loop") || long.contains("7 ms: openat2"),
        "{long}"
    );
    assert_eq!(search("nothing like this"), "");
    // Names of clients are text, whatever they are.
    shown.press("?");
    assert_eq!(
        shown.tab.value("document.getElementById('keys').open"),
        true
    );
    shown.tab.value("document.getElementById('keys').close()");
    shown.press("/");
    assert_eq!(shown.text("document.activeElement.id"), "query");
    shown.tab.value("document.activeElement.blur()");
    // Playing moves the clock, and ends by the same key.
    shown.press("Home");
    shown
        .tab
        .value("document.getElementById('speed').value = 100000; 0");
    shown.press(" ");
    shown.tab.wait_until("Number(document.body.dataset.at) > 5");
    shown.press(" ");
    assert_eq!(
        shown.text("document.getElementById('play').textContent"),
        "Play"
    );
    shown.end();
}

#[test]
#[ignore = "needs chromium"]
fn browser_shows_replays_narrow_and_wide_light_and_dark() {
    let Some(_alone) = alone() else {
        return;
    };
    let pictures = screenshots();
    let mut shown = show(&[("blocking.evrec", blocking()), ("epoll.evrec", epoll())]);
    shown.tab.value("goTo(3.2e6); 0");
    for width in [390, 1280] {
        let mut papers = Vec::new();
        for scheme in ["light", "dark"] {
            shown.tab.emulate_screen(width, scheme);
            shown.tab.wait_until(&format!(
                "innerWidth == {width} && matchMedia('(prefers-color-scheme: {scheme})').matches"
            ));
            let beyond =
                "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(shown.tab.value(beyond), 0, "{width}: something sticks out");
            let smallest = "Math.min(...[...document.querySelectorAll('body *')]
                .map(element => parseFloat(getComputedStyle(element).fontSize)))";
            let smallest = shown.tab.value(smallest).as_f64().expect("a number");
            assert!(smallest >= LEAST, "{width}: text of {smallest} px");
            papers.push(shown.text("getComputedStyle(document.body).backgroundColor"));
            let file = pictures.join(format!("replay-{width}-{scheme}.png"));
            write(file, shown.tab.screenshot()).expect("written");
        }
        assert_ne!(papers[0], papers[1], "by night as by day");
    }
    // Without text there is a name for what a button does.
    let nameless = "[...document.querySelectorAll('button, input, select')].filter(one =>
        !one.textContent.trim() && !one.getAttribute('aria-label') && !(one.labels && one.labels.length)).length";
    assert_eq!(shown.tab.value(nameless), 0);
    shown.end();
}
