//! Claims, figures and verdicts as Markdown. Text from runs: it reads and writes no file.

use super::{Check, Claim, Finding, STEP};
use crate::page::{figure, table, wrapped};
use crate::run::{Experiment, Run};
use crate::statistics::Interval;
use std::fmt::Write;

/// A run with a name: that of its file.
pub struct Named {
    pub name: String,
    pub run: Run,
}

/// Returns the table of all verdicts, with a column for each run, and the machines below it.
pub fn verdicts(claims: &[&Claim], runs: &[Named]) -> String {
    let mut head = vec!["claim", "source"];
    head.extend(runs.iter().map(|one| one.name.as_str()));
    let rows: Vec<_> = claims
        .iter()
        .map(|claim| verdict_row(claim, runs))
        .collect();
    let mut text = left(&table(&head, &rows));
    for Named { name, run } in runs {
        let fact = |name| run.fact(name).unwrap_or("unknown");
        let _ = write!(
            text,
            "\n- **{name}**: {}; Linux {}; {}; run `{}`.",
            fact("processor"),
            fact("kernel"),
            fact("date"),
            run.pace,
        );
        if !run.unfit.is_empty() {
            let _ = write!(text, " Not to be believed: {}.", run.unfit.join("; "));
        }
    }
    text
}

fn verdict_row(claim: &Claim, runs: &[Named]) -> Vec<String> {
    let source = &claim.source;
    let mut row = vec![
        format!("[{}](#{})", claim.title, anchor(claim.title)),
        format!("{}, {}", source.author, source.year),
    ];
    row.extend(runs.iter().map(|one| {
        let verdict = claim.judge(one.run.experiment(claim.name));
        verdict.to_string()
    }));
    row
}

/// Returns a section for each claim.
pub fn sections(claims: &[&Claim], runs: &[Named]) -> String {
    let all: Vec<_> = claims.iter().map(|claim| section(claim, runs)).collect();
    all.join("\n")
}

fn section(claim: &Claim, runs: &[Named]) -> String {
    let source = &claim.source;
    let (author, year) = (source.author, source.year);
    let from = format!("{author}, {year}: [{}]({})", source.title, source.url);
    let mut text = format!(
        "## {}\n\n{}>\n{}\n{}",
        claim.title,
        wrap(claim.quote, "> "),
        wrap(&from, "> "),
        wrap(claim.experiment, ""),
    );
    for Named { name, run } in runs {
        let Some(experiment) = run.experiment(claim.name) else {
            continue;
        };
        if runs.len() > 1 {
            let _ = write!(text, "\nOn {name}:\n");
        }
        let _ = write!(text, "\n{}", contestants(claim, run, experiment));
        let _ = write!(text, "\n{}", checks(claim, experiment));
        for gap in &experiment.gaps {
            let line = format!(
                "Not measured, or not in all rounds: {}: {}.",
                gap.contestant, gap.why
            );
            let _ = write!(text, "\n{}", wrap(&line, ""));
        }
    }
    let changes = format!("**What would change it.** {}", claim.changes);
    let _ = write!(text, "\n{}", wrap(&changes, ""));
    text
}

/// The figures of all contestants.
fn contestants(claim: &Claim, run: &Run, experiment: &Experiment) -> String {
    let mut head = vec!["".to_owned(), "options of evserve".to_owned()];
    let of = |figure: &super::Figure| match figure.unit {
        "" => figure.title.to_owned(),
        unit => format!("{}, {unit}", figure.title),
    };
    head.extend(claim.figures.iter().map(of));
    let took_part = |name: &str| experiment.samples.iter().any(|one| one.contestant == name);
    let contestants = run.contestants.iter().filter(|one| took_part(&one.name));
    let rows: Vec<_> = contestants
        .map(|one| {
            let mut row = vec![one.name.clone(), format!("`{}`", one.options)];
            row.extend(claim.figures.iter().map(|figure| {
                let summary = experiment.summary(&one.name, STEP, figure.name);
                let interval = summary.and_then(|summary| summary.interval);
                cell(summary.map(|summary| summary.median), interval)
            }));
            row
        })
        .collect();
    let head: Vec<_> = head.iter().map(String::as_str).collect();
    // The options are text.
    table(&head, &rows).replacen(" ---: |", " --- |", 1)
}

fn checks(claim: &Claim, experiment: &Experiment) -> String {
    let row = |check: &Check| {
        let Finding {
            median,
            interval,
            verdict,
        } = check.judge(Some(experiment));
        let (title, rule) = (check.title.to_owned(), check.rule.to_string());
        vec![title, cell(median, interval), rule, verdict.to_string()]
    };
    let rows: Vec<_> = claim.checks.iter().map(row).collect();
    left(&table(&["check", "measured", "holds if", "verdict"], &rows))
}

/// The anchor that GitHub gives to a heading.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c })
        .collect::<String>()
        .to_lowercase()
}

/// A median with its interval.
fn cell(median: Option<f64>, interval: Option<Interval>) -> String {
    let shown = |value| figure(Some(value));
    match (median, interval) {
        (Some(median), Some(Interval { low, high })) => {
            format!("{} ({} to {})", shown(median), shown(low), shown(high))
        }
        (median, _) => figure(median),
    }
}

/// A paragraph, each of whose lines has this prefix.
fn wrap(text: &str, prefix: &str) -> String {
    wrapped(text, prefix) + "\n"
}

/// Aligns all columns left.
fn left(table: &str) -> String {
    table.replace("---:", "---")
}

#[cfg(test)]
mod tests {
    use super::super::rule::Rule;
    use super::super::{Figure, Of, Source};
    use super::*;
    use crate::run::{Better, Contestant, FORMAT, Fact, Gap, Sample};

    const CLAIM: Claim = Claim {
        name: "rings",
        title: "Rings are faster",
        quote: "Rings are faster.",
        source: Source {
            author: "A. Author",
            year: "2020",
            title: "On rings",
            url: "https://example.com/rings",
        },
        experiment: "Both echo.",
        figures: &[Figure {
            name: "per_second",
            title: "messages",
            unit: "per s",
            better: Better::Higher,
        }],
        checks: &[Check {
            title: "ring / epoll",
            of: Of::Ratio("ring", "epoll"),
            figure: "per_second",
            rule: Rule::AtLeast(1.2),
        }],
        changes: "More cores.",
    };

    fn run(rounds: u32, ring: f64) -> Run {
        let contestant = |name: &str| Contestant {
            name: name.to_owned(),
            kind: 0,
            options: format!("--model {name}"),
            against: None,
        };
        let sample = |name: &str, round, value| Sample {
            contestant: name.to_owned(),
            step: STEP,
            round,
            values: [("per_second".to_owned(), value)].into(),
            disturbed: None,
        };
        let samples = (1..=rounds).flat_map(|round| {
            [
                sample("epoll", round, 1000.0),
                sample("ring", round, ring + f64::from(round)),
            ]
        });
        Run {
            format: FORMAT,
            benchmark: "claims".to_owned(),
            environment: vec![Fact {
                name: "kernel".to_owned(),
                value: "6.1".to_owned(),
            }],
            pace: "quick".to_owned(),
            within_percent: 5.0,
            unfit: vec!["it was busy".to_owned()],
            baseline: "epoll".to_owned(),
            contestants: vec![contestant("epoll"), contestant("ring")],
            experiments: vec![Experiment {
                name: "rings".to_owned(),
                title: "Rings are faster".to_owned(),
                about: "Both echo.".to_owned(),
                steps_are: String::new(),
                contestants: Vec::new(),
                figures: Vec::new(),
                samples: samples.collect(),
                gaps: vec![Gap {
                    contestant: "other".to_owned(),
                    step: STEP,
                    why: "no kernel for it".to_owned(),
                }],
            }],
            faults: Vec::new(),
        }
    }

    fn named(name: &str, run: Run) -> Named {
        let name = name.to_owned();
        Named { name, run }
    }

    #[test]
    fn every_run_has_a_column_of_verdicts() {
        let mut none = run(7, 1500.0);
        none.experiments.clear();
        let runs = [
            named("here", run(7, 1500.0)),
            named("there", run(7, 900.0)),
            named("short", run(5, 1500.0)),
            named("none", none),
        ];
        let text = verdicts(&[&CLAIM], &runs);
        let expected = "\
            | claim | source | here | there | short | none |\n\
            | --- | --- | --- | --- | --- | --- |\n\
            | [Rings are faster](#rings-are-faster) | A. Author, 2020 | holds here | does not hold here | not shown | \
            not measured |\n\
            \n- **here**: unknown; Linux 6.1; unknown; run `quick`. Not to be believed: it was busy.";
        assert_eq!(text.get(..expected.len()), Some(expected));
    }

    #[test]
    fn paragraphs_are_wrapped() {
        let text = format!("{} b c", "a".repeat(97));
        let expected = format!("> {}\n> b c\n", "a".repeat(97));
        assert_eq!(wrap(&text, "> "), expected);
    }

    #[test]
    fn a_section_shows_the_source_the_figures_and_the_rule() {
        let text = sections(&[&CLAIM], &[named("here", run(7, 1500.0))]);
        let expected = "\
            ## Rings are faster\n\
            \n> Rings are faster.\n\
            >\n\
            > A. Author, 2020: [On rings](https://example.com/rings)\n\
            \nBoth echo.\n\
            \n|  | options of evserve | messages, per s |\n\
            | --- | --- | ---: |\n\
            | epoll | `--model epoll` | 1,000 (1,000 to 1,000) |\n\
            | ring | `--model ring` | 1,504 (1,501 to 1,507) |\n\
            \n| check | measured | holds if | verdict |\n\
            | --- | --- | --- | --- |\n\
            | ring / epoll | 1.50 (1.50 to 1.51) | at least 1.2 | holds here |\n\
            \nNot measured, or not in all rounds: other: no kernel for it.\n\
            \n**What would change it.** More cores.\n";
        assert_eq!(text, expected);
    }
}
