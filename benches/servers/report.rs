//! The results: a table for each workload, a line of CSV for each measurement, and a chart.

use super::peers::EVSERVE;
use super::trial::{Measured, STUB, Trial};
use evserve_lab::chart::bars::{Bar, Bars, Group};
use evserve_lab::chart::format::Format;
use evserve_lab::page::{figure, table};
use evserve_lab::statistics::{greatest, least, median, median_of_ratios};
use std::fmt::Write;
use std::time::Duration;

pub const CSV_HEAD: &str = "workload,server,round,requests,bytes,seconds,requests_per_second,cpu_us_per_request,\
                            user_us_per_request,system_us_per_request,cpu_us_per_mib,p50_us,p99_us";

/// The figures of one server under one workload.
type Row = (&'static str, Vec<Option<Trial>>);

/// Returns the tables of all workloads, and the failures.
pub fn markdown(environment: &[(String, String)], all: &[Measured]) -> String {
    let mut text = String::new();
    for (what, says) in environment {
        let _ = writeln!(text, "- {what}: {says}");
    }
    for measured in all {
        let _ = write!(
            text,
            "\n### {}\n\n{}",
            measured.workload.title,
            workload_table(measured)
        );
        for left_out in &measured.left_out {
            let _ = write!(text, "\nWithout {left_out}.\n");
        }
        for fault in &measured.faults {
            let _ = write!(text, "\nFailed: {fault}.\n");
        }
    }
    text
}

fn workload_table(measured: &Measured) -> String {
    let mut head = vec![
        "server",
        "requests/s, best",
        "median",
        "CPU µs/request, best",
        "median",
        "of the stub's, best",
        "median",
        "evserve's of it, best",
        "median",
    ];
    if measured.workload.is_large() {
        head.push("CPU µs/MiB, median");
    }
    let rows: Vec<_> = measured
        .rows
        .iter()
        .map(|row| table_row(row, measured))
        .collect();
    table(&head, &rows)
}

fn table_row(row: &Row, measured: &Measured) -> Vec<String> {
    let rate = each(row, |trial| trial.traffic.requests_per_second());
    let cost = each(row, Trial::cpu_per_request);
    let of_stub = ratios(Some(row), named(measured, STUB));
    let of_evserve = match row.0 {
        EVSERVE => (None, None),
        _ => ratios(named(measured, EVSERVE), Some(row)),
    };
    let mut figures = vec![greatest(&rate), median(&rate), least(&cost), median(&cost)];
    figures.extend([of_stub.0, of_stub.1, of_evserve.0, of_evserve.1]);
    if measured.workload.is_large() {
        figures.push(median(&each(row, Trial::cpu_per_mib)));
    }
    let name = row.0.to_owned();
    [name]
        .into_iter()
        .chain(figures.into_iter().map(figure))
        .collect()
}

fn named<'a>(measured: &'a Measured, name: &str) -> Option<&'a Row> {
    measured.rows.iter().find(|(its, _)| *its == name)
}

fn each(row: &Row, figure: fn(&Trial) -> f64) -> Vec<f64> {
    row.1.iter().flatten().map(figure).collect()
}

/// Returns the ratio of two servers' CPU time per request: of their best figures, and the median of
/// those within rounds.
fn ratios(above: Option<&Row>, below: Option<&Row>) -> (Option<f64>, Option<f64>) {
    let (Some(above), Some(below)) = (above, below) else {
        return (None, None);
    };
    let best = |row| least(&each(row, Trial::cpu_per_request));
    let costs = |row: &Row| {
        row.1
            .iter()
            .map(|trial| trial.as_ref().map(Trial::cpu_per_request))
            .collect::<Vec<_>>()
    };
    let of_best = best(above)
        .zip(best(below))
        .map(|(above, below)| above / below);
    (of_best, median_of_ratios(&costs(above), &costs(below)))
}

/// Returns every measurement under a workload, one per line.
pub fn csv(measured: &Measured) -> String {
    let mut text = String::new();
    for (name, trials) in &measured.rows {
        for (round, trial) in trials.iter().enumerate() {
            let Some(trial) = trial else { continue };
            let traffic = &trial.traffic;
            let cost = trial.cpu_per_request();
            let user = cost * trial.used.user_share;
            let _ = writeln!(
                text,
                "{},{name},{},{},{},{:.6},{:.1},{cost:.4},{user:.4},{:.4},{:.3},{},{}",
                measured.workload.name,
                round + 1,
                traffic.requests,
                traffic.bytes,
                traffic.time.as_secs_f64(),
                traffic.requests_per_second(),
                cost - user,
                trial.cpu_per_mib(),
                shown(traffic.p50),
                shown(traffic.p99),
            );
        }
    }
    text
}

fn shown(latency: Option<Duration>) -> String {
    latency.map_or(String::new(), |latency| latency.as_micros().to_string())
}

/// Draws the CPU time per request of all servers relative to the stub's. Returns nothing without
/// the stub.
pub fn chart(all: &[Measured]) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in all.iter().flat_map(|measured| &measured.rows) {
        if *name != STUB && !names.contains(name) {
            names.push(name);
        }
    }
    let bar = |measured: &Measured, kind: usize, name: &str| {
        let value = ratios(named(measured, name), named(measured, STUB)).1?;
        Some(Bar {
            name: name.to_owned(),
            kind,
            is_baseline: name == EVSERVE,
            value,
            range: None,
            note: String::new(),
        })
    };
    let group = |measured: &Measured| {
        let named = names.iter().enumerate();
        Group {
            title: measured.workload.title.to_owned(),
            bars: named
                .filter_map(|(kind, name)| bar(measured, kind, name))
                .collect(),
        }
    };
    let groups: Vec<_> = all.iter().map(group).collect();
    if groups.iter().all(|group| group.bars.is_empty()) {
        return None;
    }
    let chart = Bars {
        title: "CPU time per request",
        measure: "in terms of the stub's, the line at 1; median of the pairs within rounds; lower is better; \
                  bars are cut at\u{a0}4",
        logarithmic: false,
        format: &Format::Number(String::new()),
        groups: &groups,
        mark: Some(1.0),
        limit: 4.0,
    };
    Some(chart.draw().file())
}
