//! The results for people: plots, tables, and a page with all of them.

use super::experiments::{Experiment, Plot};
use super::pace::Pace;
use super::results::Results;
use evserve_lab::Outcome;
use evserve_lab::lines::{Line, Lines, figure_of_step};
use evserve_lab::page::{figure, table};
use maud::{DOCTYPE, PreEscaped, html};
use std::fmt::Write;

const STYLE: &str = "body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
svg { max-width: 100%; height: auto } table { border-collapse: collapse; font-size: 14px } td, th { padding: .1rem .6rem;
border-bottom: 1px solid #ddd; text-align: right } td:first-child, th:first-child { text-align: left } dt { font-weight: bold }
.gaps { font-size: 14px; color: #555 }";

/// A drawn plot and its experiment.
pub struct Picture {
    pub experiment: &'static Experiment,
    pub plot: &'static Plot,
    pub svg: String,
}

impl Picture {
    /// The name of its file.
    pub fn file(&self) -> String {
        let figure = self.plot.figure.replace('_', "-");
        format!("{}-{figure}.svg", self.experiment.name)
    }
}

/// Draws all plots that have figures.
///
/// # Errors
/// Errors of drawing.
pub fn pictures(
    results: &Results,
    experiments: &[&'static Experiment],
    pace: &Pace,
) -> Outcome<Vec<Picture>> {
    let mut pictures = Vec::new();
    for experiment in experiments {
        for plot in experiment.plots {
            let lines = lines(results, experiment, plot, pace);
            if lines.is_empty() {
                continue;
            }
            let svg = Lines {
                title: plot.title,
                measure: plot.measure,
                steps_are: experiment.steps_are,
                steps: experiment.steps(pace),
                series: &lines,
                logarithmic: plot.logarithmic,
            };
            pictures.push(Picture {
                experiment,
                plot,
                svg: svg.svg()?,
            });
        }
    }
    Ok(pictures)
}

/// Returns a line for each model with at least one point.
fn lines(results: &Results, experiment: &Experiment, plot: &Plot, pace: &Pace) -> Vec<Line> {
    let line = |(name, kind): &(String, usize)| Line {
        name: name.clone(),
        kind: *kind,
        points: experiment
            .steps(pace)
            .iter()
            .map(|step| results.point(experiment.name, name, *step, plot.figure))
            .collect(),
    };
    let all = results.models.iter().map(line);
    all.filter(|line| line.points.iter().any(Option::is_some))
        .collect()
}

/// Returns the head and the rows of a plot's table: medians, with half the distance from the
/// smallest to the largest.
fn rows(
    results: &Results,
    experiment: &Experiment,
    plot: &Plot,
    pace: &Pace,
) -> (Vec<String>, Vec<Vec<String>>) {
    let steps = experiment.steps(pace);
    let head = [experiment.steps_are.to_owned()]
        .into_iter()
        .chain(steps.iter().map(|step| figure_of_step(*step)));
    let cell = |name: &str, step: u64| match results.point(experiment.name, name, step, plot.figure)
    {
        None => figure(None),
        Some(point) if pace.rounds == 1 => figure(Some(point.median)),
        Some(point) => {
            let spread = (point.greatest - point.least) / 2.0;
            format!("{} ± {}", figure(Some(point.median)), figure(Some(spread)))
        }
    };
    let row = |line: Line| {
        let cells = steps.iter().map(|step| cell(&line.name, *step));
        [line.name.clone()].into_iter().chain(cells).collect()
    };
    (
        head.collect(),
        lines(results, experiment, plot, pace)
            .into_iter()
            .map(row)
            .collect(),
    )
}

/// Returns a sentence for each model without figures, with the reason.
fn gaps(results: &Results, experiment: &Experiment) -> Vec<String> {
    let mut all: Vec<(String, &str, Vec<String>)> = Vec::new();
    for gap in results.gaps_of(experiment.name) {
        let step = figure_of_step(gap.step);
        match all
            .iter_mut()
            .find(|(model, why, _)| *model == gap.model && *why == gap.why)
        {
            Some((_, _, steps)) => steps.push(step),
            None => all.push((gap.model.clone(), &gap.why, vec![step])),
        }
    }
    let sentence = |(model, why, steps): (String, &str, Vec<String>)| {
        format!("{model} at {}: {why}.", steps.join(", "))
    };
    all.into_iter().map(sentence).collect()
}

/// The part of a chapter of docs/io-models about an experiment: its plots, which are in `folder`
/// beside the chapter, its folded tables, and its gaps.
pub fn markdown(
    results: &Results,
    experiment: &Experiment,
    pictures: &[Picture],
    folder: &str,
    pace: &Pace,
) -> String {
    let mut text = String::new();
    for picture in pictures
        .iter()
        .filter(|picture| picture.experiment.name == experiment.name)
    {
        let plot = picture.plot;
        let (head, rows) = rows(results, experiment, plot, pace);
        let head: Vec<_> = head.iter().map(String::as_str).collect();
        let _ = write!(
            text,
            "![{}: {}]({folder}/{})\n\n<details><summary>Figures: {}</summary>\n\n{}\n</details>\n\n",
            plot.title,
            plot.measure,
            picture.file(),
            plot.measure,
            table(&head, &rows)
        );
    }
    for gap in gaps(results, experiment) {
        let _ = writeln!(text, "- {gap}");
    }
    text.trim_end().to_owned() + "\n"
}

/// The machine and the programs, as a list.
pub fn environment(results: &Results) -> String {
    results
        .environment
        .iter()
        .map(|(what, says)| format!("- {what}: {says}\n"))
        .collect()
}

/// The report: one page that needs no other file.
pub fn page(
    results: &Results,
    experiments: &[&'static Experiment],
    pictures: &[Picture],
    pace: &Pace,
) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "evserve: I/O models compared" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "I/O models compared" }
                p { "All models run the same protocol code; they differ only in how they wait. Points are medians; the \
                     thin lines reach from the smallest to the largest measurement." }
                dl { @for (what, says) in &results.environment { dt { (what) } dd { (says) } } }
                @for fault in &results.faults { p { strong { "Failed: " } (fault) } }
                @for experiment in experiments {
                    h2 id=(experiment.name) { (experiment.title) }
                    p { (experiment.about) }
                    @for picture in pictures.iter().filter(|picture| picture.experiment.name == experiment.name) {
                        (PreEscaped(&picture.svg))
                        (html_table(rows(results, experiment, picture.plot, pace), picture.plot))
                    }
                    @for gap in gaps(results, experiment) { p.gaps { (gap) } }
                }
            }
        }
    };
    page.into_string()
}

fn html_table((head, rows): (Vec<String>, Vec<Vec<String>>), plot: &Plot) -> maud::Markup {
    html! {
        details {
            summary { "Figures: " (plot.measure) }
            table {
                tr { @for cell in &head { th { (cell) } } }
                @for row in &rows { tr { @for cell in row { td { (cell) } } } }
            }
        }
    }
}
