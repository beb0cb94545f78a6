//! What is seen of the server in the text format of Prometheus (exposition format 0.0.4).

use crate::observe::{Executors, StatusHub};
use crate::session::Counters;
use std::fmt::Display;

/// The media type that says which version of the format it is.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics.
pub fn text(hub: &StatusHub) -> Vec<u8> {
    let (snapshot, about) = (hub.snapshot(), hub.server_info());
    let mut text = MetricsText::default();
    text.begin("build_info", "gauge", "The server, and how it waits.");
    let version = env!("CARGO_PKG_VERSION");
    text.sample(&[("version", version), ("model", about.model)], 1);
    text.begin("uptime_seconds", "gauge", "How long it has been there.");
    text.sample(&[], snapshot.uptime.as_secs_f64());
    text.begin("draining", "gauge", "1 if it is about to stop.");
    text.sample(&[], u8::from(hub.is_draining()));
    text.executors(&snapshot.executors);
    text.begin(
        "open_connections",
        "gauge",
        "Connections, by the state of their session.",
    );
    for (state, count) in &snapshot.states {
        text.sample(&[("state", state)], count);
    }
    if let Some(most) = about.max_connections {
        text.begin(
            "max_connections",
            "gauge",
            "How many connections there may be at once.",
        );
        text.sample(&[], most);
    }
    text.begin(
        "steps_total",
        "counter",
        "Steps of sessions from one state to another.",
    );
    for ((from, to), count) in snapshot.steps.iter() {
        text.sample(&[("from", from), ("to", to)], count);
    }
    text.begin(
        "waited_seconds_total",
        "counter",
        "How long the loops have waited.",
    );
    text.sample(&[], snapshot.waited.as_secs_f64());
    text.begin(
        "system_calls_total",
        "counter",
        "System calls to wait and on sockets.",
    );
    text.sample(&[], snapshot.counters.system_calls());
    for ((name, help), number) in Counters::ROWS.iter().zip(snapshot.counters.to_array()) {
        text.begin(&format!("{name}_total"), "counter", help.trim());
        text.sample(&[], number);
    }
    text.bytes.into_bytes()
}

/// Metrics, one after the other, each with its samples behind it.
#[derive(Default)]
struct MetricsText {
    bytes: String,
    name: String,
}

impl MetricsText {
    fn executors(&mut self, executors: &Executors) {
        self.begin("doers", "gauge", "Loops, threads or processes that serve.");
        self.sample(&[("kind", executors.kind)], executors.number);
        self.begin(
            "busy_doers",
            "gauge",
            "Those of them that have a connection.",
        );
        self.sample(&[("kind", executors.kind)], executors.busy);
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

fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    text.replace('"', "\\\"")
}
