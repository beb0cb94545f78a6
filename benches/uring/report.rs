//! The results: a table of costs, one of rates, and a line of CSV for each pair.

use super::pairs::{Measured, Pair};
use super::steps::Step;
use super::trial::Trial;
use evserve_lab::page::{figure, table};
use evserve_lab::statistics::{Interval, median, median_interval};
use std::fmt::Write;

/// Returns the conditions, the steps, the tables and the failures, as a part of a page.
pub fn markdown(
    conditions: &[(String, String)],
    steps: &[&'static Step],
    all: &[Measured],
    left_out: &[String],
) -> String {
    let mut text = String::new();
    for (what, says) in conditions {
        let _ = writeln!(text, "- {what}: {says}");
    }
    let options: Vec<_> = steps
        .iter()
        .map(|step| vec![step.name.to_owned(), format!("`{}`", step.options)])
        .collect();
    let _ = write!(
        text,
        "\n{}",
        table(&["step", "options"], &options).replace("---:", "---")
    );
    let _ = write!(
        text,
        "\nCPU time per request, or per MiB of the large file, in terms of epoll's. Below 1, io_uring is\n\
         cheaper. Medians of the pairs, each with an interval that holds the true median in 95 of 100\n\
         cases:\n\n{}",
        ratios(steps, all, "epoll, µs", |trial| trial.cpu_us)
    );
    let _ = write!(
        text,
        "\nRequests or MiB per second, in terms of epoll's; above 1, io_uring is faster:\n\n{}",
        ratios(steps, all, "epoll, per s", |trial| trial.per_second)
    );
    for step in left_out {
        let _ = write!(text, "\nWithout {step}.\n");
    }
    for fault in all.iter().flat_map(|measured| &measured.faults) {
        let _ = write!(text, "\nFailed: {fault}.\n");
    }
    text
}

fn ratios(
    steps: &[&'static Step],
    all: &[Measured],
    of_epoll: &str,
    of: fn(&Trial) -> f64,
) -> String {
    let mut head = vec!["workload", of_epoll];
    head.extend(steps.iter().map(|step| step.name));
    let row = |measured: &Measured| {
        let epoll: Vec<_> = measured.pairs.iter().map(|pair| of(&pair.epoll)).collect();
        let mut row = vec![measured.workload.title.to_owned(), figure(median(&epoll))];
        row.extend(steps.iter().map(|step| {
            let pairs = measured.pairs.iter().filter(|pair| pair.step == step.name);
            let ratio = |pair: &Pair| of(&pair.trial) / of(&pair.epoll);
            cell(&pairs.map(ratio).collect::<Vec<_>>())
        }));
        row
    };
    table(&head, &all.iter().map(row).collect::<Vec<_>>())
}

/// A median with its interval, if there are enough values for one.
fn cell(ratios: &[f64]) -> String {
    match (median(ratios), median_interval(ratios)) {
        (None, _) => "–".to_owned(),
        (Some(median), None) => format!("{median:.2}"),
        (Some(median), Some(Interval { low, high })) => {
            format!("{median:.2} ({low:.2} to {high:.2})")
        }
    }
}

/// Returns every pair, one per line.
pub fn csv(all: &[Measured]) -> String {
    let mut text = String::from(
        "workload,step,round,cpu_us,epoll_cpu_us,cpu_ratio,per_second,epoll_per_second\n",
    );
    for measured in all {
        for pair in &measured.pairs {
            let (trial, epoll) = (&pair.trial, &pair.epoll);
            let _ = writeln!(
                text,
                "{},{},{},{:.4},{:.4},{:.4},{:.1},{:.1}",
                measured.workload.name,
                pair.step,
                pair.round,
                trial.cpu_us,
                epoll.cpu_us,
                trial.cpu_us / epoll.cpu_us,
                trial.per_second,
                epoll.per_second,
            );
        }
    }
    text
}
