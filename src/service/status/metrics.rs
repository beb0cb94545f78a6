//! The status in the text format of Prometheus (exposition format 0.0.4).

use crate::observe::{Executors, LoopRow, StatusHub};
use crate::session::Counters;
use std::fmt::Display;

/// The media type, with the version of the format.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics that are not counters: name, type, labels and meaning. The counters follow from
/// [`Counters::ROWS`].
const METRICS: &[(&str, &str, &str, &str)] = &[
    (
        "build_info",
        "gauge",
        "version, model",
        "Always 1; the version of evserve and the I/O model that it runs.",
    ),
    (
        "uptime_seconds",
        "gauge",
        "",
        "Time since the server started.",
    ),
    (
        "draining",
        "gauge",
        "",
        "1 after the server was told to stop, else 0.",
    ),
    (
        "executors",
        "gauge",
        "kind",
        "Event loops, threads or processes that serve connections.",
    ),
    (
        "executors_busy",
        "gauge",
        "kind",
        "Event loops, threads or processes that have at least one connection.",
    ),
    (
        "loop_open_connections",
        "gauge",
        "loop",
        "Open connections of each event loop.",
    ),
    (
        "loop_accepted_connections_total",
        "counter",
        "loop",
        "Connections that each event loop was given, refused ones included.",
    ),
    (
        "loop_listener_events_total",
        "counter",
        "loop",
        "Events that reported waiting connections at a listener, by event loop.",
    ),
    (
        "loop_vain_listener_events_total",
        "counter",
        "loop",
        "Those of them after which no connection was waiting: another loop had accepted it.",
    ),
    (
        "open_connections",
        "gauge",
        "state",
        "Open connections, by the state of their session.",
    ),
    (
        "max_connections",
        "gauge",
        "",
        "Maximum number of open connections.",
    ),
    (
        "operations_in_flight",
        "gauge",
        "operation",
        "Operations on connections that io_uring(7) was given and has not completed.",
    ),
    (
        "state_transitions_total",
        "counter",
        "from, to",
        "Transitions of sessions from one state to another.",
    ),
    (
        "certificate_expiry_timestamp_seconds",
        "gauge",
        "file, name",
        "Time at which a certificate expires, in seconds since the epoch; its first name.",
    ),
    (
        "loop_wait_seconds_total",
        "counter",
        "",
        "Time that event loops have waited for events, added up over all loops.",
    ),
    (
        "system_calls_total",
        "counter",
        "call",
        "System calls that wait for events or work on sockets, by kind of call.",
    ),
];

/// All metrics: name, type, labels and meaning.
pub fn rows() -> Vec<[String; 4]> {
    let counters = Counters::ROWS.into_iter();
    let counters = counters.filter(|(name, _)| !name.ends_with(CALLS));
    let counters =
        counters.map(|(name, help)| (format!("{name}_total"), "counter", "", help.trim()));
    let others = METRICS.iter();
    let others =
        others.map(|(name, kind, labels, help)| ((*name).to_owned(), *kind, *labels, *help));
    let all = others.chain(counters);
    all.map(|(name, kind, labels, help)| {
        [
            format!("evserve_{name}"),
            kind.into(),
            labels.into(),
            help.into(),
        ]
    })
    .collect()
}

/// The text of all metrics.
pub fn text(hub: &StatusHub) -> Vec<u8> {
    let (snapshot, info) = (hub.snapshot(), hub.server_info());
    let mut text = MetricsText::default();
    text.begin("build_info");
    let version = env!("CARGO_PKG_VERSION");
    text.sample(&[("version", version), ("model", info.model)], 1);
    text.begin("uptime_seconds");
    text.sample(&[], snapshot.uptime.as_secs_f64());
    text.begin("draining");
    text.sample(&[], u8::from(hub.is_draining()));
    text.executors(&snapshot.executors);
    text.loops(&snapshot.loops);
    text.begin("open_connections");
    for (state, count) in &snapshot.states {
        text.sample(&[("state", state)], count);
    }
    if let Some(max) = info.max_connections {
        text.begin("max_connections");
        text.sample(&[], max);
    }
    text.begin("operations_in_flight");
    for (operation, count) in &snapshot.in_flight {
        text.sample(&[("operation", operation)], count);
    }
    text.begin("state_transitions_total");
    for ((from, to), count) in snapshot.transitions.iter() {
        text.sample(&[("from", from), ("to", to)], count);
    }
    text.begin("certificate_expiry_timestamp_seconds");
    for one in &*info.certificates.current() {
        let name = one.names.first().map_or("", |name| name);
        let file = one.file.display().to_string();
        text.sample(&[("file", &file), ("name", name)], one.validity.end);
    }
    text.begin("loop_wait_seconds_total");
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
        self.begin("executors");
        self.sample(&[("kind", executors.kind)], executors.count);
        self.begin("executors_busy");
        self.sample(&[("kind", executors.kind)], executors.busy);
    }

    fn loops(&mut self, loops: &[LoopRow]) {
        let metrics: [(&str, fn(&LoopRow) -> u64); 4] = [
            ("loop_open_connections", |row| row.connections as u64),
            ("loop_accepted_connections_total", |row| {
                row.accepted_connections
            }),
            ("loop_listener_events_total", |row| row.listener_events),
            ("loop_vain_listener_events_total", |row| {
                row.vain_listener_events
            }),
        ];
        for (name, value) in metrics {
            self.begin(name);
            for row in loops {
                self.sample(&[("loop", &row.index.to_string())], value(row));
            }
        }
    }

    /// Writes one metric per counter, except for system calls: these are one metric, so that they
    /// can be added up.
    fn counters(&mut self, counters: &Counters) {
        let rows = Counters::ROWS.into_iter().zip(counters.to_array());
        let (calls, others): (Vec<_>, Vec<_>) =
            rows.partition(|((name, _), _)| name.ends_with(CALLS));
        for ((name, help), number) in others {
            self.describe(&format!("{name}_total"), "counter", help.trim());
            self.sample(&[], number);
        }
        self.begin("system_calls_total");
        for ((name, _), number) in calls {
            self.sample(&[("call", name.trim_end_matches(CALLS))], number);
        }
    }

    /// Begins one of [`METRICS`].
    fn begin(&mut self, name: &str) {
        let row = METRICS.iter().find(|row| row.0 == name);
        let (_, kind, _, help) = row.unwrap_or(&("", "untyped", "", ""));
        self.describe(name, kind, help);
    }

    fn describe(&mut self, name: &str, kind: &str, help: &str) {
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
