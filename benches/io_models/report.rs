//! The results for people: plots, tables, and a page with all of them.

use evserve_lab::Outcome;
use evserve_lab::lines::{Line, Lines, Point, figure_of_step};
use evserve_lab::page::{figure, table};
use evserve_lab::run::{Contestant, Experiment, Fact, Figure, Run};
use evserve_lab::statistics::{greatest, least, median};
use maud::{DOCTYPE, PreEscaped, html};
use std::fmt::Write;

const STYLE: &str = "body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
svg { max-width: 100%; height: auto } table { border-collapse: collapse; font-size: 14px } td, th { padding: .1rem .6rem;
border-bottom: 1px solid #ddd; text-align: right } td:first-child, th:first-child { text-align: left } dt { font-weight: bold }
.gaps { font-size: 14px; color: #555 }";

/// A drawn figure of an experiment.
pub struct Picture<'a> {
    pub experiment: &'a Experiment,
    pub figure: &'a Figure,
    pub svg: String,
}

impl Picture<'_> {
    /// The name of its file.
    pub fn file(&self) -> String {
        let figure = self.figure.name.replace('_', "-");
        format!("{}-{figure}.svg", self.experiment.name)
    }
}

/// Draws all figures that have values.
///
/// # Errors
/// Errors of drawing.
pub fn pictures(run: &Run) -> Outcome<Vec<Picture<'_>>> {
    let mut pictures = Vec::new();
    for experiment in &run.experiments {
        for figure in &experiment.figures {
            let lines = lines(run, experiment, figure);
            if lines.is_empty() {
                continue;
            }
            let svg = Lines {
                title: &figure.title,
                measure: &figure.measure(),
                steps_are: &experiment.steps_are,
                steps: &experiment.steps(),
                series: &lines,
                logarithmic: figure.logarithmic,
            };
            pictures.push(Picture {
                experiment,
                figure,
                svg: svg.svg()?,
            });
        }
    }
    Ok(pictures)
}

/// Returns a line for each contestant with at least one point.
fn lines(run: &Run, experiment: &Experiment, figure: &Figure) -> Vec<Line> {
    let line = |contestant: &Contestant| Line {
        name: contestant.name.clone(),
        kind: contestant.kind,
        points: experiment
            .steps()
            .iter()
            .map(|step| point(experiment, &contestant.name, *step, figure))
            .collect(),
    };
    let all = run.contestants.iter().map(line);
    all.filter(|line| line.points.iter().any(Option::is_some))
        .collect()
}

fn point(experiment: &Experiment, contestant: &str, step: u64, figure: &Figure) -> Option<Point> {
    let values = experiment.values(contestant, step, &figure.name);
    let values: Vec<_> = values.map(|(_, value)| value).collect();
    Some(Point {
        median: median(&values)?,
        least: least(&values)?,
        greatest: greatest(&values)?,
    })
}

/// Returns the head and the rows of a plot's table: medians, with half the distance from the
/// smallest to the largest.
fn rows(run: &Run, experiment: &Experiment, of: &Figure) -> (Vec<String>, Vec<Vec<String>>) {
    let steps = experiment.steps();
    let head = [experiment.steps_are.clone()]
        .into_iter()
        .chain(steps.iter().map(|step| figure_of_step(*step)));
    let cell = |name: &str, step: u64| match point(experiment, name, step, of) {
        None => figure(None),
        Some(point) if point.least.total_cmp(&point.greatest).is_eq() => figure(Some(point.median)),
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
        lines(run, experiment, of).into_iter().map(row).collect(),
    )
}

/// Returns a sentence for each model without figures, with the reason.
fn gaps(experiment: &Experiment) -> Vec<String> {
    let mut all: Vec<(String, &str, Vec<String>)> = Vec::new();
    for gap in &experiment.gaps {
        let step = figure_of_step(gap.step);
        match all
            .iter_mut()
            .find(|(model, why, _)| *model == gap.contestant && *why == gap.why)
        {
            Some((_, _, steps)) => steps.push(step),
            None => all.push((gap.contestant.clone(), &gap.why, vec![step])),
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
    run: &Run,
    experiment: &Experiment,
    pictures: &[Picture<'_>],
    folder: &str,
) -> String {
    let mut text = String::new();
    for picture in pictures
        .iter()
        .filter(|picture| picture.experiment.name == experiment.name)
    {
        let (title, measure) = (&picture.figure.title, picture.figure.measure());
        let (head, rows) = rows(run, experiment, picture.figure);
        let head: Vec<_> = head.iter().map(String::as_str).collect();
        let _ = write!(
            text,
            "![{title}: {measure}]({folder}/{})\n\n<details><summary>Figures: {measure}</summary>\n\n{}\n</details>\n\n",
            picture.file(),
            table(&head, &rows)
        );
    }
    for gap in gaps(experiment) {
        let _ = writeln!(text, "- {gap}");
    }
    text.trim_end().to_owned() + "\n"
}

/// The machine and the programs, as a list.
pub fn environment(run: &Run) -> String {
    let line = |fact: &Fact| format!("- {}: {}\n", fact.name, fact.value);
    run.environment.iter().map(line).collect()
}

/// The report: one page that needs no other file.
pub fn page(run: &Run, pictures: &[Picture<'_>]) -> String {
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
                dl { @for fact in &run.environment { dt { (fact.name) } dd { (fact.value) } } }
                @for fault in &run.faults { p { strong { "Failed: " } (fault) } }
                @for experiment in &run.experiments {
                    h2 id=(experiment.name) { (experiment.title) }
                    p { (experiment.about) }
                    @for picture in pictures.iter().filter(|picture| picture.experiment.name == experiment.name) {
                        (PreEscaped(&picture.svg))
                        (html_table(rows(run, experiment, picture.figure), picture.figure))
                    }
                    @for gap in gaps(experiment) { p.gaps { (gap) } }
                }
            }
        }
    };
    page.into_string()
}

fn html_table((head, rows): (Vec<String>, Vec<Vec<String>>), figure: &Figure) -> maud::Markup {
    html! {
        details {
            summary { "Figures: " (figure.measure()) }
            table {
                tr { @for cell in &head { th { (cell) } } }
                @for row in &rows { tr { @for cell in row { td { (cell) } } } }
            }
        }
    }
}
