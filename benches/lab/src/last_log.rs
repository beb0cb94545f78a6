//! What evserve has counted, from the lines that it logs at its end. Lines that are missing have no
//! numbers: it counts by loop only if there are several.

use crate::Outcome;
use crate::statistics::greatest;
use std::fs::read_to_string;
use std::path::Path;

/// The log of a server that has ended.
pub struct LastLog(String);

impl LastLog {
    /// # Errors
    /// Errors of the file system.
    pub fn read(path: &Path) -> Outcome<LastLog> {
        Ok(LastLog(read_to_string(path)?))
    }

    /// All requests of its life.
    pub fn requests(&self) -> Option<f64> {
        self.before(&[" requests on ", " request on "])
    }

    /// Readiness that the poller has reported.
    pub fn events(&self) -> Option<f64> {
        self.before(&[" events, ", " event, "])
    }

    /// Changes of what the poller watches for: calls of epoll_ctl(2) under epoll.
    pub fn interest_changes(&self) -> Option<f64> {
        self.before(&[" changes of interest", " change of interest"])
    }

    pub fn would_blocks(&self) -> Option<f64> {
        self.before(&[" calls would have blocked", " call would have blocked"])
    }

    /// System calls to wait and on sockets, per request.
    pub fn calls_per_request(&self) -> Option<f64> {
        let (_, rest) = self.0.split_once("system calls to wait")?;
        number_before(rest, " per request")
    }

    /// The accepted connections of each loop.
    pub fn connections_by_loop(&self) -> Option<Vec<f64>> {
        self.by_loop("connections by loop: ")
    }

    /// The part of the connections that the loop with the most of them has, in per cent.
    pub fn fullest_loop_percent(&self) -> Option<f64> {
        let counts = self.connections_by_loop()?;
        Some(100.0 * greatest(&counts)? / counts.iter().sum::<f64>())
    }

    /// Events of listeners after which a loop found no connection.
    pub fn vain_listener_events(&self) -> Option<f64> {
        let (_, line) = self.0.split_once("events of listeners: ")?;
        let (_, counts) = line.lines().next()?.split_once(", in vain: ")?;
        Some(sum_of(counts)?.iter().sum())
    }

    fn before(&self, all: &[&str]) -> Option<f64> {
        all.iter().find_map(|words| number_before(&self.0, words))
    }

    fn by_loop(&self, words: &str) -> Option<Vec<f64>> {
        let (_, line) = self.0.split_once(words)?;
        sum_of(line.split(';').next()?)
    }
}

/// The number before the first occurrence of some words.
fn number_before(text: &str, words: &str) -> Option<f64> {
    let (before, _) = text.split_once(words)?;
    number(before.rsplit(' ').next()?)
}

/// `1,200 + 800`
fn sum_of(text: &str) -> Option<Vec<f64>> {
    text.split(" + ").map(number).collect()
}

/// `1,200`
fn number(text: &str) -> Option<f64> {
    text.trim().replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::LastLog;

    const TEXT: &str = "\
2026-11-29T01:26:16.728Z INFO  [evserve] model epoll: one event loop over epoll(7)
2026-11-29T01:26:17.984Z INFO  [evserve] served 1,000 requests on 1 connection in 1.3 s; sent 2.4 KiB
2026-11-29T01:26:17.984Z INFO  [evserve] model epoll: 3,104 system calls to wait and on sockets, 3.10 per request: \
32 waits, 1 change of interest, 22 accepts, 20 receives, 10 sends, 10 others
2026-11-29T01:26:17.984Z INFO  [evserve] 1,031 events, 9 of them spurious; 12 calls would have blocked; 0 parts of \
files read ahead from a disk
2026-11-29T01:26:17.984Z INFO  [evserve] connections by loop: 1,200 + 800; events of listeners: 1,300 + 801, in vain: \
100 + 1
";

    #[test]
    fn the_counters_are_found() {
        let log = LastLog(TEXT.to_owned());
        assert_eq!(log.requests(), Some(1000.0));
        assert_eq!(log.events(), Some(1031.0));
        assert_eq!(log.interest_changes(), Some(1.0));
        assert_eq!(log.would_blocks(), Some(12.0));
        assert_eq!(log.calls_per_request(), Some(3.1));
        assert_eq!(log.connections_by_loop(), Some(vec![1200.0, 800.0]));
        assert_eq!(log.fullest_loop_percent(), Some(60.0));
        assert_eq!(log.vain_listener_events(), Some(101.0));
    }

    #[test]
    fn what_was_not_logged_has_no_number() {
        let log = LastLog("cannot listen\n".to_owned());
        assert_eq!(log.requests(), None);
        assert_eq!(log.calls_per_request(), None);
        assert_eq!(log.fullest_loop_percent(), None);
    }
}
