//! Recordings of real servers under load, as the page of `evserve replay` shows them: its figures
//! are those that the server prints at its end, and it finds the slowest request.

use super::{alone, tab::Tab};
use crate::common::{Evserve, is_loop, is_missing, on_every_model};
use evserve::replay::{Replayed, page};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long the load lasts, unless `EVSERVE_LOAD_SECONDS` says it. In two seconds a server that was
/// built with optimizations makes more than a million events.
const LOAD: Duration = Duration::from_millis(500);

/// A recording, and what the server printed at its end.
struct Recorded {
    bytes: Vec<u8>,
    log: String,
}

/// Records a server that has 64 clients.
fn record(model: &str, root: &Path, events: &str) -> Recorded {
    let path = root.join(format!("{model}-{events}.evrec"));
    let file = path.to_str().expect("text");
    let options = [
        "--record",
        file,
        "--record-events",
        events,
        "--access-log",
        "off",
    ];
    let evserve = Evserve::http(model, root, &options);
    let seconds = crate::common::number("EVSERVE_LOAD_SECONDS").map(Duration::from_secs);
    let milliseconds = seconds.unwrap_or(LOAD).as_millis();
    let mut load = Command::new("timeout");
    // wrk itself counts whole seconds.
    load.args(["--signal=INT", &format!("{}", milliseconds as f64 / 1000.0)]);
    let load = load.args(["wrk", "-t1", "-c64", "-d60s", &evserve.url("/file")]);
    let output = load.output().expect("coreutils has timeout");
    assert!(!output.stdout.is_empty(), "{output:?}");
    let log = evserve.stop().log;
    let bytes = std::fs::read(path).expect("a recording");
    Recorded { bytes, log }
}

/// The number before a word in the summary at the end of the log, such as 1,234 in `1,234 receives`.
fn printed(log: &str, word: &str) -> u64 {
    let (_, summary) = log.rsplit_once("served ").expect("a summary");
    let words = summary.split([' ', '\n']).collect::<Vec<_>>();
    let is_it = |pair: &&[&str]| pair[1].trim_matches([',', ';', ':']) == word;
    let found = words.windows(2).filter(is_it).find_map(|pair| {
        let digits = pair[0].replace(',', "");
        digits.parse().ok()
    });
    found.unwrap_or_else(|| panic!("no {word} in {log}"))
}

/// Opens the page of a recording in the tab.
fn open(tab: &mut Tab, root: &Path, model: &str, recorded: &Recorded) {
    let replayed = Replayed {
        name: model,
        bytes: &recorded.bytes,
    };
    let page = page(&[replayed]).expect("a recording");
    let file = root.join(format!("{model}.html"));
    std::fs::write(&file, &page).expect("written");
    let url = format!("file://{}", file.display());
    tab.call("Page.navigate", &serde_json::json!({"url": url}));
    tab.wait_until(&format!(
        "location.href == '{url}' && document.body.dataset.ready == 'yes'"
    ));
    let opened = "performance.getEntriesByName('ready')[0].startTime";
    let (events, took) = (tab.value("order.time.length"), tab.value(opened));
    eprintln!(
        "{model}: {events} events, {} kB of page, opened in {:.0} ms",
        page.len() / 1000,
        took.as_f64().expect("a time")
    );
}

#[test]
#[ignore = "needs chromium and wrk"]
fn browser_shows_the_figures_of_servers_under_load_and_their_slowest_request() {
    let Some(_alone) = alone().filter(|_| !is_missing("wrk")) else {
        return;
    };
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join("file"), [b'x'; 1024]).expect("written");
    let tab = std::cell::RefCell::new(Tab::show("about:blank"));
    on_every_model(|model| {
        let recorded = record(model, root.path(), "8000000");
        let mut tab = tab.borrow_mut();
        open(&mut tab, root.path(), model, &recorded);
        assert_eq!(tab.value("sides[0].recording.lost"), 0);
        let figures = tab.value("sides[0].recording.figures()");
        let recorded_of = |name: &str| figures[name].as_u64().unwrap_or(0);
        let log = &recorded.log;
        let sends = ["send", "sendmsg", "sendfile"].map(recorded_of);
        assert_eq!(recorded_of("request"), printed(log, "requests"), "{log}");
        assert_eq!(recorded_of("recv"), printed(log, "receives"), "{log}");
        assert_eq!(sends.iter().sum::<u64>(), printed(log, "sends"), "{log}");
        assert_eq!(recorded_of("opened"), printed(log, "connections"), "{log}");
        if is_loop(model) {
            let call = crate::common::row(model).wait_call;
            assert_eq!(recorded_of(call), printed(log, "waits"), "{log}");
        }
        if log.contains("completions") {
            // At the end some are noted that the kernel never gets. Sends that succeed have no
            // completion of their own, so those are not compared.
            let queued = recorded_of("queued");
            let handed_over = printed(log, "operations");
            assert!((handed_over..handed_over + 64).contains(&queued), "{log}");
        }
        finds_the_slowest(&mut tab);
    });
    assert_eq!(tab.borrow().complaints, Vec::<String>::new());
}

/// The page goes to where the request begins that has taken longest, and says how long.
fn finds_the_slowest(tab: &mut Tab) {
    tab.value("slowest(); 0");
    let longest =
        "sides[0].recording.requests.reduce((most, one) => Math.max(most, lasted(one)), 0)";
    let longest = tab.value(longest);
    assert!(longest.as_f64().is_some_and(|longest| longest > 1.0));
    assert_eq!(tab.value("found[0].size"), longest);
    let says_so = "found[0].words.startsWith(time(found[0].size))";
    assert_eq!(tab.value(says_so), true);
    let words = tab.value("found[0].words");
    assert!(
        words
            .as_str()
            .is_some_and(|words| words.contains("GET /file, 200")),
        "{words}"
    );
    let moment = tab.value("[now, found[0].from]");
    assert!(moment[0].as_f64() <= moment[1].as_f64(), "{moment}");
}

#[test]
#[ignore = "needs chromium and wrk"]
fn browser_says_that_events_were_lost_and_not_that_its_figures_are_whole() {
    let Some(_alone) = alone().filter(|_| !is_missing("wrk")) else {
        return;
    };
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join("file"), [b'x'; 1024]).expect("written");
    let recorded = record("epoll", root.path(), "4096");
    let mut tab = Tab::show("about:blank");
    open(&mut tab, root.path(), "epoll", &recorded);
    let lost = tab.value("sides[0].recording.lost").as_u64();
    assert!(lost.is_some_and(|lost| lost > 4096), "{lost:?}");
    let facts = tab.value("sides[0].lost.textContent");
    assert!(
        facts
            .as_str()
            .is_some_and(|facts| facts.contains("older events are lost"))
    );
    tab.value("sides[0].figures.open = true; 0");
    tab.wait_until("sides[0].figures.textContent.includes('the server has counted more')");
    assert_ne!(
        tab.value("sides[0].recording.figures().request"),
        Value::from(printed(&recorded.log, "requests"))
    );
}
