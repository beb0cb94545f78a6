//! The status in the text format of Prometheus (exposition format 0.0.4).

use crate::observe::{Executors, StatusHub};
use crate::session::Counters;
use std::fmt::Display;

/// The media type, with the version of the format.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics.
pub fn text(hub: &StatusHub) -> Vec<u8> {
    let (snapshot, info) = (hub.snapshot(), hub.server_info());
    let mut text = MetricsText::default();
    text.begin(
        "build_info",
        "gauge",
        "Always 1; the version of evserve and the I/O model that it runs.",
    );
    let version = env!("CARGO_PKG_VERSION");
    text.sample(&[("version", version), ("model", info.model)], 1);
    text.begin("uptime_seconds", "gauge", "Time since the server started.");
    text.sample(&[], snapshot.uptime.as_secs_f64());
    text.begin(
        "draining",
        "gauge",
        "1 after the server was told to stop, else 0.",
    );
    text.sample(&[], u8::from(hub.is_draining()));
    text.executors(&snapshot.executors);
    text.begin(
        "open_connections",
        "gauge",
        "Open connections, by the state of their session.",
    );
    for (state, count) in &snapshot.states {
        text.sample(&[("state", state)], count);
    }
    if let Some(max) = info.max_connections {
        text.begin(
            "max_connections",
            "gauge",
            "The most connections that may be open at once.",
        );
        text.sample(&[], max);
    }
    text.begin(
        "state_transitions_total",
        "counter",
        "Transitions of sessions from one state to another.",
    );
    for ((from, to), count) in snapshot.transitions.iter() {
        text.sample(&[("from", from), ("to", to)], count);
    }
    text.begin(
        "loop_wait_seconds_total",
        "counter",
        "Time that event loops have loop_wait for events, added up over all loops.",
    );
    text.sample(&[], snapshot.loop_wait.as_secs_f64());
    text.counters(&snapshot.counters);
    text.bytes.into_bytes()
}

/// Metrics, one after the other, each followed by its samples.
#[derive(Default)]
struct MetricsText {
    bytes: String,
    name: String,
}

impl MetricsText {
    fn executors(&mut self, executors: &Executors) {
        self.begin(
            "executors",
            "gauge",
            "Event loops, threads or processes that serve connections.",
        );
        self.sample(&[("kind", executors.kind)], executors.count);
        self.begin(
            "executors_busy",
            "gauge",
            "Event loops, threads or processes that have at least one connection.",
        );
        self.sample(&[("kind", executors.kind)], executors.busy);
    }

    /// Writes one metric per counter, except for system calls: these are one metric, so that they
    /// can be added up.
    fn counters(&mut self, counters: &Counters) {
        let rows = Counters::ROWS.into_iter().zip(counters.to_array());
        let (calls, others): (Vec<_>, Vec<_>) =
            rows.partition(|((name, _), _)| name.ends_with(CALLS));
        for ((name, help), number) in others {
            self.begin(&format!("{name}_total"), "counter", help.trim());
            self.sample(&[], number);
        }
        self.begin(
            "system_calls_total",
            "counter",
            "System calls that wait for events or work on sockets, by kind of call.",
        );
        for ((name, _), number) in calls {
            self.sample(&[("call", name.trim_end_matches(CALLS))], number);
        }
    }

    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        self.name = format!("evserve_{name}");
        let (name, help) = (&self.name, escaped(help));
        self.bytes += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let labels = labels.iter();
        let labels = labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        let labels: Vec<_> = labels.collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", labels.join(",")),
        };
        self.bytes += &format!("{}{labels} {value}\n", self.name);
    }
}

/// The suffix of each counter of system calls.
const CALLS: &str = "_calls";

fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    text.replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_calls_by_kind_add_up_to_all_system_calls() {
        let counters = Counters::from_array(std::array::from_fn(|index| 1 << index));
        let mut text = MetricsText::default();
        text.counters(&counters);
        let samples = text.bytes.lines();
        let samples = samples.filter_map(|line| line.strip_prefix("evserve_system_calls_total{"));
        let values = samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        assert_eq!(values.sum::<u64>(), counters.system_calls());
    }
}
