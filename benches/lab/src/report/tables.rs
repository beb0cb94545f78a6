//! Figures as tables, and the gaps with their reasons.

use super::Shown;
use super::cells::{Cell, factor};
use crate::chart::format::step;
use crate::page::{figure, table};
use crate::run::Experiment;
use maud::{Markup, html};

/// A table for Markdown: a row for each contestant, a column for each step.
pub fn markdown(shown: &Shown<'_>) -> String {
    let head: Vec<_> = [shown.experiment.steps_are.clone()]
        .into_iter()
        .chain(shown.steps.iter().map(|number| step(*number as f64)))
        .collect();
    let head: Vec<_> = head.iter().map(String::as_str).collect();
    let cell = |name: &str, step| match shown.at(name, step) {
        None => "–".to_owned(),
        Some(cell) => {
            let ratio = cell.ratio.map(|ratio| {
                let verdict = cell.verdict().unwrap_or_default();
                format!("<br>× {} {verdict}", factor(ratio.median))
            });
            format!(
                "{}<br>{}{}",
                figure(Some(cell.median)),
                spread(cell),
                ratio.unwrap_or_default()
            )
        }
    };
    let row = |name: &str| {
        let cells = shown.steps.iter().map(|step| cell(name, *step));
        [name.to_owned()]
            .into_iter()
            .chain(cells)
            .collect::<Vec<_>>()
    };
    let rows: Vec<_> = shown
        .contestants()
        .iter()
        .map(|one| row(&one.name))
        .collect();
    table(&head, &rows)
}

/// The interval, or the range of the samples, which has dots.
fn spread(cell: &Cell<'_>) -> String {
    let (low, high) = (figure(Some(cell.low())), figure(Some(cell.high())));
    match (cell.interval, cell.samples) {
        (Some(_), _) => format!("{low}–{high}"),
        (None, 1) => "–".to_owned(),
        (None, _) => format!("{low} … {high}"),
    }
}

/// A table for a page: a row for each contestant at each step, so that it fits on a phone.
pub fn html(shown: &Shown<'_>) -> Markup {
    // Some are compared with another build of themselves.
    let baseline = Some(shown.baseline());
    let is_usual = shown
        .cells
        .iter()
        .all(|cell| cell.against.is_none_or(|_| cell.against == baseline));
    html! {
        div.scroll tabindex="0" role="region" aria-label=(format!("Figures: {}", shown.figure.title)) {
            table.figures {
                thead { tr {
                    th scope="col" { "" }
                    th scope="col" { "median" }
                    th scope="col" { "interval, or " span.range { "range" } }
                    th scope="col" { @if is_usual { "× " (shown.baseline()) } @else { "ratio" } }
                    th scope="col" { "verdict" }
                } }
                @for number in &shown.steps {
                    tbody {
                        tr { th.step scope="rowgroup" colspan="5" { (super::findings::sentence(&shown.at_step(*number))) } }
                        @for cell in shown.cells.iter().filter(|cell| cell.step == *number) {
                            tr {
                                th scope="row" { (cell.contestant.name) }
                                td { (figure(Some(cell.median))) }
                                td.range[cell.interval.is_none()] { (spread(cell)) }
                                td {
                                    @if let Some(ratio) = cell.ratio {
                                        (factor(ratio.median))
                                        @if let Some(interval) = ratio.interval {
                                            br; span.soft { (factor(interval.low)) "–" (factor(interval.high)) }
                                        }
                                    }
                                }
                                td.verdict { (cell.verdict().unwrap_or("")) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A sentence for each contestant without figures at some steps, with the reason.
pub fn gaps(experiment: &Experiment) -> Vec<String> {
    let mut all: Vec<(&str, &str, Vec<String>)> = Vec::new();
    for gap in &experiment.gaps {
        let number = step(gap.step as f64);
        let is_it =
            |one: &&mut (&str, &str, Vec<String>)| one.0 == gap.contestant && one.1 == gap.why;
        match all.iter_mut().find(is_it) {
            Some((.., steps)) => steps.push(number),
            None => all.push((&gap.contestant, &gap.why, vec![number])),
        }
    }
    let sentence = |(name, why, steps): (&str, &str, Vec<String>)| {
        format!(
            "{name} at {}: {}.",
            steps.join(", "),
            why.trim_end_matches('.')
        )
    };
    all.into_iter().map(sentence).collect()
}
