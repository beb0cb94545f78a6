//! A run for people: charts, tables, and findings in words, for a page of its own and for chapters
//! in Markdown.
//!
//! It knows no experiment: all it says comes from what the [`Run`] says of itself.
//!
//! - [`cells`]: the figures of a contestant at a step, and what they show beside the baseline
//! - [`findings`]: what a figure shows, as sentences
//! - [`overview`]: all experiments and contestants in one table
//! - [`tables`]: figures as tables, and the gaps
//! - [`page`]: the page

mod cells;
mod findings;
#[cfg(test)]
pub mod made_up;
mod overview;
mod page;
mod tables;

pub use page::page;

use crate::chart::Drawing;
use crate::chart::bars::{Bar, Bars, Group};
use crate::chart::format::Format;
use crate::chart::lines::{Lines, Point, Series};
use crate::core_to_core::Distance;
use crate::page::wrapped;
use crate::run::{Contestant, Experiment, Figure, Run};
use cells::Cell;
use std::fmt::Write;

/// A figure of an experiment with its values.
struct Shown<'a> {
    run: &'a Run,
    experiment: &'a Experiment,
    figure: &'a Figure,
    format: Format,
    /// By contestant, then by step.
    cells: Vec<Cell<'a>>,
    /// The steps that have values.
    steps: Vec<u64>,
}

/// A picture of an experiment.
pub struct Picture {
    /// The name of its file.
    pub file: String,
    pub svg: String,
}

/// Draws all figures that have values.
pub fn pictures(run: &Run) -> Vec<Picture> {
    let all = run.experiments.iter().flat_map(|one| shown(run, one));
    let picture = |one: Shown<'_>| Picture {
        file: one.file(),
        svg: one.draw().file(),
    };
    all.map(picture).collect()
}

/// The figures of an experiment that have values.
fn shown<'a>(run: &'a Run, experiment: &'a Experiment) -> Vec<Shown<'a>> {
    let with_values = |figure| {
        let cells = cells::of(run, experiment, figure);
        let mut steps: Vec<_> = cells.iter().map(|cell| cell.step).collect();
        steps.sort_unstable();
        steps.dedup();
        Shown {
            run,
            experiment,
            figure,
            format: Format::of(&figure.unit),
            cells,
            steps,
        }
    };
    let all = experiment.figures.iter().map(with_values);
    all.filter(|one| !one.cells.is_empty()).collect()
}

impl<'a> Shown<'a> {
    fn file(&self) -> String {
        let figure = self.figure.name.replace('_', "-");
        format!("{}-{figure}.svg", self.experiment.name)
    }

    /// All who may have values.
    fn all(&self) -> &'a [Contestant] {
        self.run.contestants_of(self.experiment)
    }

    /// The one that the others are compared with.
    fn baseline(&self) -> &'a str {
        self.run.baseline_of(self.experiment)
    }

    /// The values of a contestant, by step.
    fn of(&self, contestant: &str) -> impl Iterator<Item = &Cell<'a>> {
        let is_its = move |cell: &&Cell<'_>| cell.contestant.name == contestant;
        self.cells.iter().filter(is_its)
    }

    fn at(&self, contestant: &str, step: u64) -> Option<&Cell<'a>> {
        self.of(contestant).find(|cell| cell.step == step)
    }

    /// The contestants with values.
    fn contestants(&self) -> Vec<&'a Contestant> {
        let has_values = |one: &&Contestant| self.of(&one.name).next().is_some();
        self.all().iter().filter(has_values).collect()
    }

    /// Lines over the steps. A single step has bars.
    fn draw(&self) -> Drawing {
        if self.steps.len() == 1 {
            return self.draw_bars();
        }
        let point = |cell: &Cell<'_>| Point {
            step: cell.step,
            value: cell.median,
            low: cell.low(),
            high: cell.high(),
            is_interval: cell.interval.is_some(),
            note: self.note(cell),
        };
        let series = |one: &Contestant| Series {
            name: one.name.clone(),
            kind: one.kind,
            is_baseline: one.name == self.baseline(),
            points: self.of(&one.name).map(point).collect(),
        };
        let series: Vec<_> = self.contestants().into_iter().map(series).collect();
        Lines {
            title: &self.figure.title,
            measure: &self.figure.measure(),
            steps_are: &self.experiment.steps_are,
            logarithmic: self.figure.logarithmic,
            format: &self.format,
            series: &series,
        }
        .draw()
    }

    fn draw_bars(&self) -> Drawing {
        let bar = |cell: &Cell<'_>| Bar {
            name: cell.contestant.name.clone(),
            kind: cell.contestant.kind,
            is_baseline: cell.is_baseline,
            value: cell.median,
            range: (cell.low() < cell.high()).then(|| (cell.low(), cell.high())),
            note: self.note(cell),
        };
        let group = Group {
            title: findings::sentence(&self.at_step(self.steps[0])),
            bars: self.cells.iter().map(bar).collect(),
        };
        Bars {
            title: &self.figure.title,
            measure: &self.figure.measure(),
            logarithmic: self.figure.logarithmic,
            format: &self.format,
            groups: &[group],
            mark: None,
            limit: f64::INFINITY,
        }
        .draw()
    }

    /// All that is known of a value, in lines.
    fn note(&self, cell: &Cell<'_>) -> String {
        let (name, step) = (&cell.contestant.name, self.at_step(cell.step));
        let mut note = format!("{name}\n{step}: {}", self.format.full(cell.median));
        let (low, high) = (self.format.bare(cell.low()), self.format.bare(cell.high()));
        let _ = match (cell.interval, cell.samples) {
            (Some(_), samples) => write!(note, "\ninterval {low} to {high}, {samples} samples"),
            (None, 1) => write!(note, "\na single sample"),
            (None, samples) => write!(note, "\n{samples} samples from {low} to {high}"),
        };
        if let Some(distance) = self.experiment.distance(cell.step) {
            let _ = write!(note, "\n{}", distance.text());
        }
        if cell.disturbed > 0 {
            let _ = write!(note, ", {} disturbed", cell.disturbed);
        }
        if let Some(words) = cell.ratio_in_words() {
            let _ = write!(note, "\n{words}");
        }
        note
    }

    /// What the points and bars of the chart are.
    fn caption(&self) -> String {
        let counts = || self.cells.iter().map(|cell| cell.samples);
        let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
        let with_interval = self
            .cells
            .iter()
            .filter(|cell| cell.interval.is_some())
            .count();
        let samples = match (least, most) {
            (_, 1) => {
                return "Each point is a single sample, so nothing shows its spread. Only differences of a factor of 2 \
                        are named."
                    .to_owned();
            }
            (least, most) if least == most => format!("{most} samples"),
            (least, most) => format!("{least} to {most} samples"),
        };
        let spread = match with_interval {
            0 => {
                "thin lines reach from the least to the greatest. Intervals need 6 samples; without them only \
                 differences of a quarter are named."
            }
            count if count == self.cells.len() => {
                "broad bars are intervals that hold the true median in 95 of 100 cases."
            }
            _ => {
                "broad bars are intervals that hold the true median in 95 of 100 cases; thin lines, where \
                 there are too few samples for one, reach from the least to the greatest."
            }
        };
        let apart = self.apart();
        format!("Points are medians of {samples}; {spread}{apart}")
    }

    /// Where the cores were, if that differs between the steps.
    fn apart(&self) -> String {
        let steps = |distance: Distance| {
            let at = |step: &&u64| self.experiment.distance(**step) == Some(distance);
            let all: Vec<_> = self.steps.iter().filter(at).map(u64::to_string).collect();
            all.join(", ")
        };
        let (near, far) = (steps(Distance::Near), steps(Distance::Far));
        if near.is_empty() || far.is_empty() {
            return String::new();
        }
        format!(
            " The host moved the two cores: they shared a cache at {near}, and none at {far}. Compare models at \
             one step; between these steps a difference can be of the machine."
        )
    }
}

/// The part of a chapter about an experiment: what it shows, its charts, which are in `folder`
/// beside the chapter, and its folded tables with the gaps.
pub fn markdown(run: &Run, experiment: &Experiment, folder: &str) -> String {
    let all = shown(run, experiment);
    let mut text = String::new();
    let mut paragraph = |title: &str, finding: &str| {
        let _ = writeln!(
            text,
            "{}\n",
            wrapped(&format!("**{title}.** {finding}"), "")
        );
    };
    if let Some(finding) = findings::of_all(&all) {
        paragraph("In short", &finding);
    }
    for one in &all {
        paragraph(&one.figure.title, &findings::of(one).text());
    }
    // In one paragraph, so that a wide page shows two beside each other.
    for one in &all {
        let (title, measure) = (&one.figure.title, one.figure.measure());
        let _ = writeln!(text, "![{title}: {measure}]({folder}/{})", one.file());
    }
    if let Some(first) = all.first() {
        let _ = write!(text, "\n{}\n\n", first.caption());
    }
    for one in &all {
        let table = tables::markdown(one);
        let (title, unit) = (&one.figure.title, &one.figure.unit);
        let _ = write!(
            text,
            "<details><summary>Figures: {title}, {unit}</summary>\n\n{table}\n</details>\n\n"
        );
    }
    for gap in tables::gaps(experiment) {
        let _ = writeln!(text, "- {gap}");
    }
    text.trim_end().to_owned() + "\n"
}

/// What the figures depend on, as a list in Markdown.
pub fn environment(run: &Run) -> String {
    let facts = run.environment.iter();
    let unfit = run
        .unfit
        .iter()
        .map(|why| format!("- **not to be believed**: {why}\n"));
    facts
        .map(|fact| format!("- {}: {}\n", fact.name, fact.value))
        .chain(unfit)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::sketch::check;
    use crate::core_to_core::FIGURE;

    #[test]
    fn every_picture_of_a_run_can_be_read() {
        for rounds in [1, 3, 8] {
            let run = made_up::run(rounds);
            let pictures = pictures(&run);
            assert_eq!(pictures.len(), 3, "the figures without values have none");
            for picture in pictures {
                check(&picture.svg);
            }
        }
    }

    #[test]
    fn a_picture_is_well_formed_and_has_no_link() {
        for picture in pictures(&made_up::run(8)) {
            let open = picture.svg.matches("<g ").count() + picture.svg.matches("<g>").count();
            assert_eq!(
                open,
                picture.svg.matches("</g>").count(),
                "{}",
                picture.file
            );
            assert!(!picture.svg.contains("href"), "{}", picture.file);
            assert!(picture.svg.contains("prefers-color-scheme:dark"));
        }
    }

    #[test]
    fn a_caption_says_where_the_cores_were_apart() {
        let mut run = made_up::run(8);
        let caption = |run: &Run| shown(run, &run.experiments[0])[0].caption();
        assert!(!caption(&run).contains("cores"));
        let samples = &mut run.experiments[0].samples;
        let first = samples[0].step;
        for sample in samples {
            let time = if sample.step == first { 45.0 } else { 440.0 };
            sample.values.insert(FIGURE.to_owned(), time);
        }
        let said = format!("they shared a cache at {first}, and none at ");
        assert!(caption(&run).contains(&said), "{}", caption(&run));
    }

    #[test]
    fn a_chapter_has_findings_pictures_tables_and_gaps() {
        let run = made_up::run(8);
        let text = markdown(&run, &run.experiments[0], "results");
        assert!(
            text.starts_with("**Throughput.** At 64 connections"),
            "{text}"
        );
        assert!(text.contains(
            "![Throughput: requests per second; higher is better](results/rate-requests-per-s.svg)"
        ));
        assert!(text.contains("hold the true median in 95 of 100 cases"));
        assert!(text.contains("<details>") && text.contains("| epoll |"));
        assert!(
            text.ends_with("- select at 64: it has no place for more.\n"),
            "{text}"
        );
    }
}
